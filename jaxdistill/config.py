"""From the command line to a checked config, before anything heavy is imported.

A config file is Python with get_config() returning an ml_collections.ConfigDict; every value in
force stands in it, and --config.a.b=value overrides one.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import re
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from jaxdistill.errors import UserError
from jaxdistill.types import StagePlan

VERSION = 1
"""Of the config's fields; a file of another version is refused."""
NOT_THE_RUN = ("workdir", "checkpoint_minutes")
"""Keys that may change between a run and its resumption."""

USAGE = (
    "usage: python -m jaxdistill.main --config FILE [--workdir RUN] [--config.a.b=value ...]\n"
    "FILE is a recipe such as configs/teacher_sst2.py; RUN defaults to runs/<the recipe's name>."
)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The section config.data."""

    folder: str
    """A folder in GLUE's own layout (SST-2/train.tsv ...); empty for the hub."""
    train_rows: int
    """Size of a fixed random subset of the train set; 0 for all of it."""
    max_length: int
    """Longest input in tokens, special tokens included; longer ones are cut."""
    buckets: tuple[int, ...]
    """Lengths that batches are padded to, rising; the last one is max_length or more."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The section config.model of a recipe that trains a teacher, config.student of the others."""

    source: str
    """Where training starts: a hub name, a local Hugging Face folder, a finished run (RUN or
    RUN:stage), "teacher" for some of the teacher's layers, "random" for a new model."""
    dropout: float | None
    """Replaces the source's dropout rates, all of them; empty to keep them."""
    layers: int | None
    """Of a model that starts from "teacher" or "random"; other sources bring their own."""
    pick: str | None
    """The teacher's layers: first, skip (every N/M-th), last, or numbers from 1: "2,4,6"."""
    width: int | None
    """Of a "random" model."""
    heads: int | None
    """Of a "random" model; with a teacher whose scores are matched, as many as it has."""
    inner: int | None
    """Of a "random" model: width of the feed-forward layer."""
    vocab: int | None
    """Of a "random" model without teacher: word pieces, built from the train texts."""


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """The section config.teacher."""

    run: str
    """A run folder, trained first from the recipe if it holds no finished run; or a classifier of
    somebody's, a folder with its head or a hub name, used as it is."""
    source: str | None
    """Where the teacher's own training starts, instead of what its recipe says."""
    margin: float
    """By how much its accuracy on dev must exceed the majority class's share (of a regression: its
    Pearson correlation must exceed 0)."""
    recipe: dict[str, Any] | None
    """The whole config of the teacher's run."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """A config whose sections fit their constructors; .method holds keyword arguments."""

    version: int
    name: str
    workdir: str
    seed: int
    task: str
    method: dict[str, Any]
    data: DataConfig
    stages: dict[str, StagePlan]
    checkpoint_minutes: float
    """Minutes between checkpoints for resuming."""
    log_steps: int
    """Steps that one line of metrics.jsonl is the mean of."""
    model: ModelConfig | None = None
    """What a recipe without teacher trains."""
    student: ModelConfig | None = None
    """What a recipe with a teacher trains."""
    teacher: TeacherConfig | None = None
    baseline: bool = False
    """Also train the same student on the labels alone, by alone's plan."""
    alone: StagePlan | None = None

    @property
    def start(self) -> ModelConfig:
        """The section that says where the trained model starts."""
        found = self.student if self.teacher else self.model
        assert found is not None, "checked() saw to it"
        return found

    @property
    def start_key(self) -> str:
        """That section's name, for messages."""
        return "config.student" if self.teacher else "config.model"

    def hash(self) -> str:
        """sha256 of all that makes the run what it is."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()

    def identity(self) -> dict[str, Any]:
        """The config as plain data without the keys that may change on resuming."""
        plain = self.plain()
        return {key: plain[key] for key in plain if key not in NOT_THE_RUN}

    def plain(self) -> dict[str, Any]:
        """The config as plain data, for RUN/config.json."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


SECTIONS = {
    "data": DataConfig,
    "model": ModelConfig,
    "student": ModelConfig,
    "teacher": TeacherConfig,
    "alone": StagePlan,
}
"""The sections that are the keyword arguments of one constructor."""


def from_command_line(argv: list[str]) -> Config:
    """Parses [program, flag, ...]; anything that is not understood is a UserError."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "a recipe", flag_values=values)
    flags.DEFINE_string("workdir", None, "the run folder", flag_values=values)
    words = [argv[0], *map(_locate, argv[1:])]
    _check_file(words)
    before, sys.argv = sys.argv, words  # config_flags looks for overrides there
    try:
        rest = values(words)
        if values.workdir is not None:
            values.config.workdir = values.workdir
        plain = values.config.to_dict()
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(_explain(error)) from None
    finally:
        sys.argv = before
    for word in rest[1:]:
        key, _, value = word.partition("=")
        hint = f"Did you mean --config.{key}={value}?" if value else USAGE
        raise UserError(f"{word!r} on the command line is not a flag. {hint}")
    return checked(plain)


def checked(plain: dict[str, Any]) -> Config:
    """The config with every section fitted to its constructor; missing or spare keys raise."""
    if plain.get("version") != VERSION:
        raise UserError(
            f"config.version is {plain.get('version')!r}, and this jaxdistill reads {VERSION}. "
            f"Compare the file with the recipes in configs/."
        )
    if not plain.get("workdir"):
        plain["workdir"] = f"runs/{plain.get('name', 'run')}"
    if "name" not in plain.get("method", {}):
        raise UserError("config.method.name is missing: it says which method to run.")
    wanted = ("student", "teacher") if "teacher" in plain else ("model",)
    for name, constructor in SECTIONS.items():
        if name in plain:
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
    config = section(Config, plain, "config")
    if config.baseline and config.alone is None:
        raise UserError("config.baseline is True, but config.alone, its plan, is missing.")
    return config


def _check_plan(plan: StagePlan, where: str) -> None:
    """Numbers with which a stage could not be trained are refused, all at once."""
    bounds = {
        "epochs": (plan.epochs >= 1, "at least 1"),
        "batch_size": (plan.batch_size >= 1, "at least 1"),
        "learning_rate": (0 < plan.learning_rate < float("inf"), "above 0"),
        "warmup": (0 <= plan.warmup < 1, "a fraction of the steps, from 0 to below 1"),
        "weight_decay": (plan.weight_decay >= 0, "0 or more"),
        "clip": (plan.clip >= 0, "0 (no limit) or more"),
        "eval_steps": (plan.eval_steps >= 0, "0 (every epoch) or more"),
    }
    faults = [
        f"{where}.{name} is {getattr(plan, name)}, and must be {wanted}"
        for name, (fits, wanted) in bounds.items()
        if not fits
    ]
    if faults:
        raise UserError(f"The config cannot be trained: {'; '.join(faults)}.")


def section(constructor: type[Any], values: Mapping[str, Any], where: str) -> Any:
    """constructor(**values), with every missing, spare or mistyped key in one UserError."""
    hints = typing.get_type_hints(constructor)
    fields = {f.name: hints[f.name] for f in dataclasses.fields(constructor)}
    needed = [f.name for f in dataclasses.fields(constructor) if f.default is dataclasses.MISSING]
    faults = [f"{where}.{name} is missing" for name in needed if name not in values]
    for name, value in values.items():
        if name not in fields:
            near = difflib.get_close_matches(name, list(fields), 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            faults.append(f"{where}.{name} is not a key of it{hint}")
        elif not _fits(value, fields[name]):
            wanted = getattr(fields[name], "__name__", str(fields[name]))
            faults.append(f"{where}.{name} is {value!r}, which is no {wanted}")
    if faults:
        raise UserError(f"The config does not fit: {'; '.join(faults)}.")
    return constructor(**{k: float(v) if fields[k] is float else v for k, v in values.items()})


def _fits(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin is tuple:
        return isinstance(value, tuple) and all(
            _fits(item, typing.get_args(hint)[0]) for item in value
        )
    if origin is dict:
        return isinstance(value, dict)
    if origin is not None:  # a union
        return any(_fits(value, option) for option in typing.get_args(hint))
    return isinstance(value, hint)


def _locate(flag: str) -> str:
    """--config=configs/x.py finds the recipe shipped with the package where there is none here."""
    match = re.fullmatch(r"(--?config=)?(configs/[^:]+\.py)(:.*)?", flag)
    if match is None or Path(match[2]).exists():
        return flag
    shipped = Path(__file__).parent / match[2]
    return f"{match[1] or ''}{shipped}{match[3] or ''}" if shipped.exists() else flag


def _check_file(words: list[str]) -> None:
    """The config's file is named, is there, and is Python that gives a config."""
    matches = [re.fullmatch(r"--?config(?:=(.*))?", word) for word in words]
    index, match = next(((i, m) for i, m in enumerate(matches) if m), (0, None))
    if match is None:
        raise UserError(f"--config is missing.\n{USAGE}")
    named = match[1] if match[1] is not None else "".join(words[index + 1 : index + 2])
    path = Path(named.split(":")[0])
    if not path.is_file():
        known = ", ".join(sorted(str(p) for p in Path("configs").glob("*.py")))
        raise UserError(
            f"There is no config file {str(path)!r}."
            + (f" Recipes here: {known}." if known else "")
        )
    try:
        compile(path.read_text("utf-8"), str(path), "exec")
    except (SyntaxError, ValueError) as error:
        raise UserError(f"The config file {path} is not Python: {error}.") from None


def _explain(error: BaseException) -> str:
    first = error.args[0] if isinstance(error, KeyError) and error.args else error  # unquoted
    text = " ".join(str(first).split())
    return f"The command line does not fit the config: {text or type(error).__name__}"
