"""Where a model may come from: the hub, a folder or a run, its classifier fitted to the task."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import jax

from jaxdistill import mirror, processes
from jaxdistill.data.tasks import Task
from jaxdistill.errors import UserError
from jaxdistill.files import read_json
from jaxdistill.general_section import GENERAL
from jaxdistill.manifest import parameters_sha256
from jaxdistill.models.sources import Pretrained, align_labels, load_pretrained
from jaxdistill.notices import Notice
from jaxdistill.runs import Run, is_run, open_run

KEYWORDS = ("random", "teacher", "pretrained", "text")
"""What a section may say in the place of a folder."""


def run_named(source: str) -> tuple[Path, str | None] | None:
    """The folder of the run that a source names, RUN, and the stage where it is RUN:stage; None
    where it names no run. A folder's own name may have a colon.
    """
    whole = Path(os.path.expanduser(source))
    if is_run(whole):
        return whole, None
    run, _, stage = source.rpartition(":")
    folder = Path(os.path.expanduser(run))
    return (folder, stage) if run and is_run(folder) else None


def at_hand(source: str) -> str:
    """A source that names a folder of process 0 (RUN:stage too), as it is found here. Collective.

    For process 0, and for a word that names no folder, the source as it is.
    """
    if processes.count() == 1 or source in KEYWORDS:
        return source
    whole = os.path.expanduser(source)
    folder, _, stage = whole.rpartition(":")

    def kind() -> str:
        if os.path.isdir(whole):
            return "folder"
        return "stage" if run_named(source) else ""

    named = processes.led(kind)
    if not named:
        return source
    found = mirror.here(Path(folder if named == "stage" else whole))
    if processes.lead():
        return source
    return f"{found}:{stage}" if named == "stage" else str(found)


def find_checkpoint(
    source: str, key: str, task: Task, notice: Notice, *, as_it_is: bool
) -> Pretrained:
    """What a source names; its classifier is kept where its labels are the task's, in their order.

    Args:
      source: a hub name, a folder in Hugging Face's layout, a finished run (RUN or RUN:stage).
      key: the config section that names it, for messages.
      as_it_is: it is to be used without training, so that its classifier must fit the task.

    Raises UserError where there is none, or it does not fit.
    """
    if named := run_named(source):
        found = _from_run(*named, notice)
    else:
        found = load_pretrained(source, classes=None if as_it_is else task.outputs)
    where = f"{key}.source={source}"
    if as_it_is and not found.has_classifier:
        raise UserError(
            f"{where} was trained on text alone and has no classifier to be scored as it is. Train "
            f"one from it first; configs/teacher_sst2.py shows how."
        )
    alike = (found.shape.classes, found.regression) == (task.outputs, task.regression)
    alike = alike and found.many in (None, task.many)
    if as_it_is and not alike:
        raise UserError(
            f"{where} is a classifier with {found.shape.classes} outputs ("
            f"{_labels(found.labels, found.many)}), and {task.name} has "
            f"{_labels(task.labels, task.many)}. What is scored as it is must have been trained "
            f"for this task; configs/teacher_sst2.py shows how to train one."
        )
    if not found.has_classifier:
        shape = dataclasses.replace(found.shape, classes=task.outputs)
        return dataclasses.replace(found, shape=shape)
    try:
        if not alike:
            raise UserError("its outputs are of another kind or number")
        params = align_labels(found.params, found.labels, task.labels, notice)
    except UserError as error:
        if as_it_is:
            raise UserError(f"{where}: {error}") from error
        return dataclasses.replace(
            found,
            shape=dataclasses.replace(found.shape, classes=task.outputs),
            params={k: v for k, v in found.params.items() if k != "classifier"},
            has_classifier=False,
            left_out=f"a classifier for other labels: {_labels(found.labels, found.many)}",
        )
    return dataclasses.replace(found, params=params)


def _labels(names: tuple[str, ...], many: bool | None) -> str:
    """Outputs in words."""
    return (", ".join(names) or "a regression") + (", any number of them" if many else "")


def origin_of(teacher: Run) -> str | None:
    """config.model.source of a fine-tuned teacher; None where it is not known."""
    plain = read_json(teacher.folder / "config.json")
    if plain["method"]["name"] != "finetune" or plain["model"] is None:
        return None
    source: str = plain["model"]["source"]
    return source


def _from_run(folder: Path, stage: str | None, notice: Notice) -> Pretrained:
    """A finished run, or one of its stages, as a source like any other."""
    run = open_run(folder, notice, stage=stage, headless=True)
    labels = run.description.labels
    return Pretrained(
        shape=run.bert.shape,
        params=jax.device_get(run.params),
        has_classifier=not run.headless,
        has_mlm="mlm" in run.params,
        labels=labels,
        regression=not labels and not run.headless,
        many=None if run.headless else run.task.many,
        projection=run.extras["projection"] if run.description.method == GENERAL else None,
        tokenizer=folder / "tokenizer",
        origin=str(folder),
        sha256=parameters_sha256(run.params),
        left_out="",
    )
