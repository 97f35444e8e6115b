"""From the command line to a checked config, before anything heavy is imported.

A config file is Python with get_config() returning an ml_collections.ConfigDict; every value in
force stands in it, and --config.a.b=value overrides one.
"""

from __future__ import annotations

import math
from typing import Any

from jaxdistill.augmentation import AugmentConfig, check_augment
from jaxdistill.bilstm_section import BiLstmConfig, check_bilstm
from jaxdistill.command_line import parse
from jaxdistill.errors import UserError
from jaxdistill.general_section import GENERAL, check_general, check_plain
from jaxdistill.own_section import check_own, take_unlabelled
from jaxdistill.sections import (
    Config,
    DataConfig,
    EncoderConfig,
    ModelConfig,
    TeacherConfig,
    section,
)
from jaxdistill.tuned import start_teacher
from jaxdistill.types import StagePlan

VERSION = 1
"""Of the config's fields; a file of another version is refused."""
OPTIMIZERS = ("adamw", "adam", "adadelta", "bertadam")
SCHEDULES = ("linear", "polynomial", "constant")
PRECISIONS = ("float32", "bfloat16", "float16")
ADVERSARIES = ("none", "fgm", "pgd")
SCOPES = ("table", "tokens")

SECTIONS: dict[str, type[Any]] = {
    "data": DataConfig,
    "model": ModelConfig,
    "student": ModelConfig,
    "teacher": TeacherConfig,
    "augment": AugmentConfig,
    "alone": StagePlan,
}
"""The sections that are the keyword arguments of one constructor; a model with a view of words is a
BiLSTM."""


def from_command_line(argv: list[str]) -> Config:
    """Parses [program, flag, ...]; anything that is not understood is a UserError."""
    return checked(parse(argv))


def checked(plain: dict[str, Any]) -> Config:
    """The config with every section fitted to its constructor; missing or spare keys raise.

    Args:
      plain: nested dicts, of which some are changed.
    """
    if plain.get("version") != VERSION:
        raise UserError(
            f"config.version is {plain.get('version')!r}, and this jaxdistill reads {VERSION}. "
            f"Compare the file with the recipes in configs/."
        )
    if not plain.get("workdir"):
        plain["workdir"] = f"runs/{plain.get('name', 'run')}"
    if "name" not in plain.get("method", {}):
        raise UserError("config.method.name is missing: it says which method to run.")
    take_unlabelled(plain)
    start_teacher(plain)
    if plain.get("augment", {}).get("name") == "none":
        # Without it the run is as one that knows of no such thing.
        if plain.pop("augment").get("text"):
            raise UserError(
                "config.augment.text is given and config.augment.name is none, which adds nothing. "
                "Set config.augment.name=text, or tang or tinybert to make rows besides."
            )
    wanted: tuple[str, ...] = ("student", "teacher") if "teacher" in plain else ("model",)
    if plain["method"]["name"] == GENERAL:
        wanted = ("student",)
        if "teacher" in plain:
            plain["encoder"] = section(EncoderConfig, plain.pop("teacher"), "config.teacher")
    for name, constructor in SECTIONS.items():
        if name in plain:
            if constructor is ModelConfig and "view" in plain[name]:
                constructor = BiLstmConfig
            plain[name] = section(constructor, plain[name], f"config.{name}")
        elif name in ("data", *wanted):
            raise UserError(f"config.{name} is missing. Compare with the recipes in configs/.")
    data = plain["data"]
    if not data.buckets or data.max_length > data.buckets[-1]:
        raise UserError(
            f"config.data.max_length is {data.max_length}, and the longest of config.data.buckets "
            f"{data.buckets} does not hold that. Add a bucket or lower max_length."
        )
    plain["stages"] = {
        name: section(StagePlan, values, f"config.stages.{name}")
        for name, values in plain.get("stages", {}).items()
    }
    for name, stage in plain["stages"].items():
        _check_plan(stage, f"config.stages.{name}")
    if "alone" in plain:
        _check_plan(plain["alone"], "config.alone")
    if "teacher" in plain:
        _check_teacher(plain["teacher"])
    config = section(Config, plain, "config")
    if config.baseline and config.alone is None:
        raise UserError("config.baseline is True, but config.alone, its plan, is missing.")
    _check_rhythm(config)
    _check_bert(config)
    _check_text(config)
    check_own(config)
    check_augment(config)
    check_bilstm(config)
    return config


def _check_rhythm(config: Config) -> None:
    """How often something is written."""
    bounds = {
        "log_steps": (config.log_steps >= 1, "at least 1"),
        "ledger_steps": (config.ledger_steps >= 0, "0 (no ledger) or more"),
        "checkpoint_minutes": (config.checkpoint_minutes >= 0, "0 (every dispatch) or more"),
    }
    for name, (fits, wanted) in bounds.items():
        if not fits:
            raise UserError(f"config.{name} is {getattr(config, name)}, and must be {wanted}.")


def _check_bert(config: Config) -> None:
    """A BERT's sizes and dropout, where they are given."""
    about, where = config.start, config.start_key
    if not isinstance(about, ModelConfig):
        return
    for name in ("layers", "width", "heads", "inner", "vocab"):
        size = getattr(about, name)
        if size is not None and size < 1:
            raise UserError(f"{where}.{name} is {size}, and must be at least 1.")
    if about.dropout is not None and not 0 <= about.dropout < 1:
        raise UserError(f"{where}.dropout is {about.dropout}, and must be from 0 to below 1.")


def _check_text(config: Config) -> None:
    """Learning from text alone is pretrain's, without a teacher, and general's, with one."""
    corpus, held_out = config.data.corpus, config.data.held_out
    if config.method["name"] == GENERAL:
        return check_general(config)
    check_plain(config)
    if config.method["name"] != "pretrain":
        if corpus is not None or held_out is not None:
            raise UserError(
                f"config.data.corpus={corpus!r} and held_out={held_out} are read by the methods "
                f"pretrain and general alone, and this one is {config.method['name']}. Leave both "
                f"out."
            )
        return
    faults = {
        "config.data.corpus is missing (empty: the texts of the task)": corpus is None,
        f"config.data.held_out is {held_out}, and must be a share above 0 and below 1": (
            held_out is None or not 0 < held_out < 1
        ),
        "config.teacher is given, and there is nothing to ask it": config.teacher is not None,
        "config.baseline is True, and there are no labels to train on": config.baseline,
    }
    if found := [text for text, holds in faults.items() if holds]:
        raise UserError(
            f"config.method.name is pretrain, which learns from text alone: {'; '.join(found)}. "
            f"Compare with configs/pretrain.py."
        )


def _check_plan(plan: StagePlan, where: str) -> None:
    """Numbers with which a stage could not be trained are refused, all at once."""
    bounds = {
        "epochs": (plan.epochs >= 1, "at least 1"),
        "batch_size": (plan.batch_size >= 1, "at least 1"),
        "learning_rate": (0 < plan.learning_rate < float("inf"), "above 0"),
        "optimizer": (plan.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}"),
        "schedule": (plan.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
        "precision": (plan.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
        "betas": (all(0 <= beta < 1 for beta in plan.betas), "two numbers from 0 to below 1"),
        "epsilon": (0 < plan.epsilon < float("inf"), "above 0"),
        "warmup": (0 <= plan.warmup < 1, "a fraction of the steps, from 0 to below 1"),
        "power": (0 <= plan.power < float("inf"), "0 or more"),
        "weight_decay": (plan.weight_decay >= 0, "0 or more"),
        "clip": (0 <= plan.clip < float("inf"), "0 (no limit) or more"),
        "eval_steps": (plan.eval_steps >= 0, "0 (every epoch) or more"),
        "accumulate": (
            plan.accumulate >= 1 and plan.batch_size % max(plan.accumulate, 1) == 0,
            f"1 or more, and divide batch_size={plan.batch_size}",
        ),
        "adversary": (plan.adversary in ADVERSARIES, f"one of {', '.join(ADVERSARIES)}"),
        "attack_scope": (plan.attack_scope in SCOPES, f"one of {', '.join(SCOPES)}"),
        "attack_radius": (0 < plan.attack_radius < float("inf"), "above 0"),
        "attack_step": (0 < plan.attack_step < float("inf"), "above 0"),
        "attack_steps": (plan.attack_steps >= 1, "at least 1"),
    }
    faults = [
        f"{where}.{name} is {getattr(plan, name)}, and must be {wanted}"
        for name, (fits, wanted) in bounds.items()
        if not fits
    ]
    if faults:
        raise UserError(f"The config cannot be trained: {'; '.join(faults)}.")


def _check_teacher(about: TeacherConfig) -> None:
    """A teacher from which nothing could be learnt, or that says two things, is refused."""
    where, several = "config.teacher", len(about.others) + 1
    positive = all(0 < weight < float("inf") for weight in about.weights)
    wrong = {
        f"{where}.margin is {about.margin}, and must be a number": not math.isfinite(about.margin),
        f"{where}.run is empty: name a teacher's run, or a file in {where}.logits": (
            not about.run and not about.logits
        ),
        f"{where}.cache_gigabytes is {about.cache_gigabytes}, and must be above 0; for no cache "
        f"set {where}.cache=False": not 0 < about.cache_gigabytes < float("inf"),
        f"{where}.combine is {about.combine!r}, and must be logits or probabilities": (
            about.combine not in ("logits", "probabilities")
        ),
        f"{where}.weights is {about.weights}, and needs a number above 0 for each of {several} "
        f"teacher(s), {where}.run first, or () for equal ones": (
            len(about.weights) not in (0, several) or not positive
        ),
        f"{where}.others are combined with {where}.run, which {where}.logits would replace: give "
        f"one or the other": bool(about.others and about.logits),
        f"{where}.others are combined when the cache is built: set {where}.cache=True": (
            bool(about.others) and not about.cache
        ),
    }
    if faults := [text for text, holds in wrong.items() if holds]:
        raise UserError(f"The config's teacher does not work: {'; '.join(faults)}.")
