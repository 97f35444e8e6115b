"""Pieces that recipes are put together from; importable wherever the package is installed.

A recipe is a Python file whose get_config() returns a ConfigDict. Each function here returns one
section of it, and its keyword arguments are that section's keys.
"""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from jaxdistill.augmentation import augment
from jaxdistill.data.tasks import OWN
from jaxdistill.own_section import own_files
from jaxdistill.tuned import BUCKETS, CHECKPOINTS, FINE_TUNED, FINE_TUNING, LENGTHS


def frame(name: str, task: str) -> ConfigDict:
    """What every recipe begins with.

    Args:
      name: of the recipe; its run folder is runs/<name>.
      task: a key of jaxdistill.data.tasks.TASKS, or "own".
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


def streamed(
    *,
    corpus: str,
    steps: int,
    max_length: int,
    held_out: float = 0.01,
    dev_rows: int = 1024,
    lanes: int = 8,
) -> ConfigDict:
    """config.data of general distillation, which streams its text; see DataConfig."""
    section = data(max_length=max_length, buckets=(max_length,))
    section.update(
        {
            "corpus": corpus,
            "held_out": held_out,
            "dev_rows": dev_rows,
            "steps": steps,
            "lanes": lanes,
        }
    )
    return section


def start(source: str, **given: Any) -> ConfigDict:
    """config.model or config.student; see jaxdistill.sections.ModelConfig. The rest is empty."""
    section = ConfigDict(
        {"source": source, "dropout": placeholder(float), "pick": placeholder(str)}
    )
    for name in ("layers", "width", "heads", "inner", "vocab"):
        section[name] = placeholder(int)
    section.lower = placeholder(bool)
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


def _data(task: str, buckets: tuple[int, ...], *, unlabelled: bool = False) -> ConfigDict:
    """config.data of a task, with the keys for files of one's own where it is that."""
    section = data(max_length=buckets[-1], buckets=buckets)
    return own_files(section, unlabelled=unlabelled) if task == OWN.name else section


def finetuned(task: str) -> ConfigDict:
    """The recipe of configs/teacher.py:<task>, which students of that task carry along."""
    config = frame(f"teacher_{task}", task)
    config.method = ConfigDict({"name": "finetune"})
    config.model = start(CHECKPOINTS[task] if task in CHECKPOINTS else "bert-base-uncased")
    buckets = LENGTHS[task] if task in LENGTHS else BUCKETS
    config.data = _data(task, buckets)
    stage = plan(**(FINE_TUNING[task] if task in FINE_TUNING else FINE_TUNED))
    config.stages = ConfigDict({"finetune": stage})
    return config


def distilled(
    name: str,
    task: str,
    *,
    student: ConfigDict,
    method: ConfigDict,
    stages: dict[str, ConfigDict],
    alone: ConfigDict,
    buckets: tuple[int, ...] | None = None,
) -> ConfigDict:
    """The recipe <name>_<task>, whose teacher is that of finetuned(task).

    Args:
      student: of start(...).
      method: config.method.
      stages: of plan(...), by the method's names.
      alone: of plan(...), for the same student on labels alone, which --config.baseline=True trains
        too.
      buckets: those of the teacher by default.
    """
    config = frame(f"{name}_{task}", task)
    config.teacher = teacher(f"runs/teacher_{task}", finetuned(task))
    config.student = student
    buckets = buckets or config.teacher.recipe.data.buckets
    config.data = _data(task, buckets, unlabelled=True)
    checkpoint = config.teacher.recipe.model.source
    config.augment = augment(task, checkpoint, chinese=task in CHECKPOINTS)
    config.method = method
    # Copies: one plan given twice would be one section, and overriding it here change it there.
    each = {name: stage.copy_and_resolve_references() for name, stage in stages.items()}
    config.stages = ConfigDict(each)
    config.baseline = False
    config.alone = alone.copy_and_resolve_references()
    return config


def alone(
    name: str,
    task: str,
    *,
    model: ConfigDict,
    stage: ConfigDict,
    buckets: tuple[int, ...] | None = None,
) -> ConfigDict:
    """The recipe <name>_<task>, of a model that learns from labels and has no teacher.

    Args:
      model: of start(...) or presets.bilstm(...).
      stage: of plan(...).
      buckets: those of the task's teacher by default.
    """
    config = frame(f"{name}_{task}", task)
    config.method = ConfigDict({"name": "finetune"})
    config.model = model
    buckets = buckets or (LENGTHS[task] if task in LENGTHS else BUCKETS)
    config.data = _data(task, buckets)
    config.stages = ConfigDict({"finetune": stage})
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


def tinybert(
    *,
    stages_run: tuple[str, ...] = ("intermediate", "prediction"),
    layer_map: tuple[int, ...] = (),
    projection: str = "shared",
    temperature: float = 1.0,
    soft_weight: float = 1.0,
) -> ConfigDict:
    """config.method of tinybert, by default the paper's; see jaxdistill.methods.tinybert.TinyBert.

    Args:
      layer_map: () for every N/M-th layer.
    """
    return ConfigDict({"name": "tinybert", **locals()})


def general(*, layer_map: tuple[int, ...] = (), projection: str = "shared") -> ConfigDict:
    """config.method of general, by default the paper's; see jaxdistill.methods.general.General.

    Args:
      layer_map: () for every N/M-th layer.
    """
    return ConfigDict({"name": "general", **locals()})


def theseus(*, rate: float, slope: float = 0.0, predecessor_dropout: bool = False) -> ConfigDict:
    """config.method of theseus; see jaxdistill.methods.theseus.Theseus."""
    return ConfigDict({"name": "theseus", **locals()})
