"""Pieces that recipes are put together from; importable wherever the package is installed.

A recipe is a Python file whose get_config() returns a ConfigDict. Each function here returns one
section of it, and its keyword arguments are that section's keys.
"""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def frame(name: str, task: str) -> ConfigDict:
    """What every recipe begins with.

    Args:
      name: of the recipe; its run folder is runs/<name>.
      task: a key of jaxdistill.data.tasks.TASKS.
    """
    config = ConfigDict()
    config.version = 1
    config.name = name
    config.workdir = placeholder(str)  # runs/<name>
    config.seed = 0
    config.task = task
    config.checkpoint_minutes = 10.0
    config.log_steps = 50
    config.ledger_steps = 0  # no loss ledger
    return config


def data(
    *, folder: str = "", train_rows: int = 0, max_length: int = 128, buckets: tuple[int, ...]
) -> ConfigDict:
    """config.data; see jaxdistill.sections.DataConfig."""
    return ConfigDict(
        {
            "folder": folder,  # empty: the hub
            "train_rows": train_rows,  # 0: all
            "max_length": max_length,
            "buckets": buckets,
        }
    )


def text(*, corpus: str = "", held_out: float = 0.05, **given: Any) -> ConfigDict:
    """config.data of a recipe that learns from text alone; given: see data above."""
    section = data(**given)
    section.corpus = corpus  # empty: the texts of the task, with dev held out
    section.held_out = held_out  # of a corpus
    return section


def start(source: str, **given: Any) -> ConfigDict:
    """config.model or config.student; see jaxdistill.sections.ModelConfig. The rest is empty."""
    section = ConfigDict(
        {"source": source, "dropout": placeholder(float), "pick": placeholder(str)}
    )
    for name in ("layers", "width", "heads", "inner", "vocab"):
        section[name] = placeholder(int)
    section.update(given)
    return section


def plan(
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int = 32,
    optimizer: str = "adamw",
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-6,
    schedule: str = "linear",
    power: float = 1.0,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    clip: float = 1.0,
    precision: str = "bfloat16",
    accumulate: int = 1,
    adversary: str = "none",
    attack_scope: str = "table",
    attack_radius: float = 1.0,
    attack_step: float = 0.3,
    attack_steps: int = 3,
    eval_steps: int = 500,
) -> ConfigDict:
    """config.stages.<stage>, by default as BERT is fine-tuned; see jaxdistill.types.StagePlan."""
    return ConfigDict(dict(locals()))


def teacher(
    run: str,
    recipe: ConfigDict,
    *,
    margin: float = 0.02,
    cache: bool = True,
    cache_gigabytes: float = 10.0,
    others: tuple[str, ...] = (),
    weights: tuple[float, ...] = (),
    combine: str = "logits",
) -> ConfigDict:
    """config.teacher; see jaxdistill.sections.TeacherConfig. source and logits are empty."""
    return ConfigDict(
        {
            "run": run,
            "source": placeholder(str),
            "margin": margin,
            "recipe": recipe,
            "cache": cache,
            "cache_gigabytes": cache_gigabytes,
            "logits": placeholder(str),
            "others": others,  # none
            "weights": weights,  # equal ones
            "combine": combine,
        }
    )


def teacher_sst2() -> ConfigDict:
    """The recipe of configs/teacher_sst2.py, which students of SST-2 carry along."""
    config = frame("teacher_sst2", "sst2")
    config.method = ConfigDict({"name": "finetune"})
    config.model = start("bert-base-uncased")
    config.data = data(max_length=128, buckets=(16, 32, 64, 128))
    config.stages = ConfigDict({"finetune": plan(epochs=3, learning_rate=5e-5)})
    return config


def kd(
    *,
    soft_weight: float,
    hard_weight: float,
    soft_loss: str = "cross_entropy",
    temperature: float,
    temperature_on: str = "both",
    temperature_squared: bool = True,
    probability_shift: bool = False,
) -> ConfigDict:
    """config.method of kd; see jaxdistill.methods.kd.Kd. The weights and temperature stay."""
    section = ConfigDict({"name": "kd", **locals()})
    for name in ("soft_weight_end", "hard_weight_end", "temperature_end"):
        section[name] = placeholder(float)
    return section


def pkd(
    soft_labels: ConfigDict,
    *,
    beta: float,
    strategy: str = "skip",
    last_layer: bool = False,
    tokens: str = "cls",
    padded_length: int = 0,
    normalise: bool = True,
    over_layers: str = "sum",
    over_width: str = "sum",
    projection: bool = False,
) -> ConfigDict:
    """config.method of pkd, by default the paper's; see jaxdistill.methods.pkd.Pkd.

    Args:
      soft_labels: of kd(...), whose terms are a part of it.
    """
    own = {name: value for name, value in locals().items() if name != "soft_labels"}
    section = ConfigDict(soft_labels)
    section.update({**own, "name": "pkd"})
    return section
