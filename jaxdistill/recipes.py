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
    return config


def data(
    *, folder: str = "", train_rows: int = 0, max_length: int = 128, buckets: tuple[int, ...]
) -> ConfigDict:
    """config.data; see jaxdistill.config.DataConfig."""
    return ConfigDict(
        {
            "folder": folder,  # empty: the hub
            "train_rows": train_rows,  # 0: all
            "max_length": max_length,
            "buckets": buckets,
        }
    )


def start(source: str, **given: Any) -> ConfigDict:
    """config.model or config.student; see jaxdistill.config.ModelConfig. The rest is empty."""
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
    eval_steps: int = 500,
) -> ConfigDict:
    """config.stages.<stage>, by default as BERT is fine-tuned; see jaxdistill.types.StagePlan."""
    return ConfigDict(dict(locals()))


def teacher(run: str, recipe: ConfigDict, *, margin: float = 0.02) -> ConfigDict:
    """config.teacher; see jaxdistill.config.TeacherConfig."""
    return ConfigDict({"run": run, "source": placeholder(str), "margin": margin, "recipe": recipe})
