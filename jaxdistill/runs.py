"""Run folders: what one says of itself, and opening a finished one.

RUN/config.json    the config in force       RUN/model.json    what the verbs read
RUN/tokenizer/     the tokenizer's files     RUN/checkpoints/<stage>/{latest,best}/<step>/
RUN/metrics.jsonl  RUN/tensorboard/  RUN/predictions/<split>.npz
RUN/report.json    RUN/report.md     RUN/curves.png    RUN/lock
RUN/words/         what a BiLSTM reads: its view of texts and its vocabulary
RUN/task.json      of files of one's own: where they are, their columns, the labels found in them
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from jaxdistill import processes
from jaxdistill.checkpoint import Checkpoints, Restored
from jaxdistill.data.own import counts, from_plain, to_plain
from jaxdistill.data.tasks import Task, find_task
from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.data.views import View, read_view
from jaxdistill.errors import UserError
from jaxdistill.files import read_json, write_atomic, write_json
from jaxdistill.models.bert import Bert
from jaxdistill.models.build import Model, abstract_params, build
from jaxdistill.models.huggingface import TOKENIZER_FILES
from jaxdistill.notices import Notice
from jaxdistill.trees import flatten
from jaxdistill.types import Params

VERSION = 1
"""Of model.json."""
WORDS = "words"
"""The folder in a run of what its BiLSTM reads."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """RUN/model.json: enough to use the model without the config that made it."""

    version: int
    method: str
    model: str
    """A key of MODELS."""
    shape: dict[str, Any]
    """The fields of that model's shape."""
    precision: str
    """Of the contractions when the run itself evaluated."""
    task: str
    labels: tuple[str, ...]
    """Class names in the order of the logits; empty for a regression and without a classifier."""
    selection: str
    """The metric that chose the parameters."""
    data_folder: str
    """Where the task's files were read; empty for the hub."""
    max_length: int
    buckets: tuple[int, ...]
    stages: tuple[str, ...]
    """In order; the last one's parameters are the run's."""


@dataclass(frozen=True)
class Run:
    """A run opened for use."""

    folder: Path
    description: Description
    stage: str
    model: Model
    params: Params
    """The student's parameters of the stage."""
    tokens: Tokenizer | None
    """The tokenizer; None where nothing of a BiLSTM's run reads tokens."""
    record: dict[str, Any]
    """{"step", "metrics", ...} of the parameters."""
    view: View | None = None
    """How a BiLSTM reads texts; None for a BERT, which reads tokens."""
    extras: Params = field(default_factory=dict)
    """What trained along with the student, such as TinyBERT's projection."""
    finished: bool = True
    """Whether the run's last stage is, whichever stage this is."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of a BERT."""
        assert self.tokens is not None, "a BERT has one"
        return self.tokens

    @property
    def bert(self) -> Bert:
        """The model. Raises UserError where it is none that can teach or be started from."""
        if not isinstance(self.model, Bert):
            raise UserError(
                f"{self.folder} holds a BiLSTM, which can be evaluated, and can neither teach nor "
                f"be started from: its words are its own. Give a run of a BERT."
            )
        return self.model

    @property
    def task(self) -> Task:
        """What it was trained for."""
        path = self.folder / "task.json"
        if not path.is_file():
            return find_task(self.description.task)
        plain = read_json(path)
        if plain["version"] != VERSION:
            raise UserError(f"{path} is not of version {VERSION}, which this jaxdistill reads.")
        return from_plain(plain)

    @property
    def headless(self) -> bool:
        """Whether it was trained without labels and has no classifier: a source, no classifier."""
        return "classifier" not in self.params

    @property
    def place(self) -> str:
        """Where in the run the parameters are from, in words."""
        if self.finished:
            return f"stage {self.stage}"
        return f"stage {self.stage}, step {self.record['step']}, of a run that is not finished"


def write_description(folder: Path, description: Description) -> None:
    """Writes RUN/model.json."""
    write_json(folder / "model.json", dataclasses.asdict(description))


def write_task(folder: Path, task: Task, labels: Mapping[str, np.ndarray]) -> None:
    """Writes RUN/task.json where the task is one's own files, which nothing else describes.

    Args:
      labels: of each split, for people to see how many there are.
    """
    if task.own:
        found = {split: counts(task, array) for split, array in labels.items()}
        plain = {"version": VERSION, **to_plain(task), "counts": found}
        write_json(folder / "task.json", plain)


def read_description(folder: Path) -> Description:
    """Reads RUN/model.json. Raises UserError where the folder is no run or of another version."""
    if not (folder / "model.json").is_file():
        what = "holds no model.json" if folder.is_dir() else "does not exist"
        raise UserError(
            f"{folder} is not a run folder: it {what}. Give the folder that a "
            f"`python -m jaxdistill.main` has written, such as runs/teacher_sst2."
        )
    plain = read_json(folder / "model.json")
    fields = {f.name for f in dataclasses.fields(Description)}
    if not isinstance(plain, dict) or plain.keys() != fields or plain["version"] != VERSION:
        raise UserError(
            f"{folder / 'model.json'} is not of version {VERSION}, which this jaxdistill reads."
        )
    lists = {key: tuple(value) for key, value in plain.items() if isinstance(value, list)}
    return Description(**{**plain, **lists})


def is_run(folder: Path) -> bool:
    """Whether the folder says that it is a run, finished or not."""
    return (folder / "model.json").is_file()


def open_run(
    folder: Path,
    notice: Notice,
    *,
    stage: str | None = None,
    precision: str | None = None,
    headless: bool = False,
    unfinished: bool = False,
) -> Run:
    """Opens a finished stage of a run, verified against its manifest. Collective if unfinished.

    Args:
      stage: the last one by default.
      precision: instead of the run's own.
      headless: also a run that has no classifier (pretrain's).
      unfinished: of a stage that is not finished its best so far, and by default of the last stage
        that has any.

    Raises UserError where the folder is no run, or has no such stage, or has not finished it, or
    its checkpoint is damaged, or it has no classifier and should have one.
    """
    description = read_description(folder)
    if stage is not None and stage not in description.stages:
        raise UserError(
            f"{folder} has no stage {stage!r}; its stages are {', '.join(description.stages)}."
        )
    stages = (stage,) if stage else description.stages
    stage, places = stages[-1], folder / "checkpoints"
    finished = (places / description.stages[-1] / "done.json").is_file()
    if begun := not (places / stage / "done.json").is_file():
        stage = _so_far(folder, stages, notice, asked=unfinished)
    model = build(description.model, description.shape, precision or description.precision)
    kept = read_params(places / stage / "best", model, notice)
    params = kept.state["student"]
    extras = kept.state["extras"] if "extras" in kept.state else {}
    if begun:
        where = f"step {kept.step} of stage {stage!r}"
        notice(f"{folder} is not finished: these are its best parameters so far, of {where}")
    if unfinished:
        processes.same(
            f"The best so far in {folder}, by its stage and step,",
            f"{stage} {kept.step}",
            "The run goes on meanwhile: ask again.",
        )
    done = places / stage / "done.json"
    record = read_json(done) if done.is_file() else kept.details
    tokenizer = None
    if isinstance(model, Bert) or (folder / "tokenizer").is_dir():
        tokenizer = load_tokenizer(folder / "tokenizer")
    view = None if isinstance(model, Bert) else read_view(folder / WORDS, tokenizer)
    run = Run(folder, description, stage, model, params, tokenizer, record, view, extras, finished)
    if run.headless and not headless:
        raise UserError(
            f"{folder} was trained on text alone ({description.method}) and has no classifier, so "
            f"that it tells no labels. Fine-tune it first: configs/teacher_sst2.py with "
            f"--config.model.source={folder}."
        )
    return run


def _so_far(folder: Path, stages: tuple[str, ...], notice: Notice, *, asked: bool) -> str:
    """The last of the stages with a best so far; a UserError if none has, or it was not asked."""
    on = "Run the command that started it again to go on where it stopped."
    for stage in reversed(stages):
        steps = Checkpoints(folder / "checkpoints" / stage / "best", 1, notice).steps()
        if steps and asked:
            return stage
        if steps:
            raise UserError(
                f"{folder} has not finished stage {stages[-1]!r}. {on} evaluate, predict and "
                f"export take its best so far, step {steps[-1]} of stage {stage!r}, with "
                f"--unfinished."
            )
    nothing = " It has kept no parameters yet that --unfinished could take." if asked else ""
    raise UserError(f"{folder} has not finished stage {stages[-1]!r}.{nothing} {on}")


def read_params(folder: Path, model: Model, notice: Notice) -> Restored:
    """The newest of a whole run's checkpoints in a folder, which fits the model.

    With the masked-LM head where there is one; without classifier where the run has none.
    """
    restored = _newest(Checkpoints(folder, 1, notice))
    if restored is None:
        raise UserError(f"{folder} holds no checkpoint. Remove its stage's folder and run again.")
    params = restored.state["student"]
    wanted = {p: tuple(x.shape) for p, x in flatten(abstract_params(model)).items()}
    found = {p: tuple(x.shape) for p, x in flatten(params).items() if not p.startswith("mlm/")}
    if "classifier" not in params:
        wanted = {p: size for p, size in wanted.items() if not p.startswith("classifier/")}
    if wanted != found:
        names = sorted(p for p in wanted | found if wanted.get(p) != found.get(p))
        raise UserError(
            f"{folder} does not hold the model that model.json describes: "
            + "; ".join(
                f"{p} is {found.get(p)} there and {wanted.get(p)} by model.json" for p in names[:4]
            )
            + "."
        )
    return restored


def _newest(checkpoints: Checkpoints) -> Restored | None:
    """The newest sound one, also where a run that goes on puts another in its place meanwhile."""
    while True:
        before = checkpoints.steps()
        try:
            found = checkpoints.restore(None)
        except UserError:
            if checkpoints.steps() == before:
                raise
            continue
        if found is not None or checkpoints.steps() == before:
            return found


def write_predictions(path: Path, row: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> None:
    """Writes an npz of row [N], logits [N, C] and labels [N] or [N, C]: RUN/predictions/dev.npz."""
    buffer = io.BytesIO()
    np.savez(buffer, row=row, logits=logits, labels=labels)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copies a tokenizer's files into RUN/tokenizer."""
    target = folder / "tokenizer"
    target.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if (source / name).is_file() and not (target / name).is_file():
            write_atomic(target / name, (source / name).read_bytes())
