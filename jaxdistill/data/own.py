"""Somebody's own files as a task: its labels found in train, dev split off where there is none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxdistill.data.columns import Sheet
from jaxdistill.data.formats import FORMATS
from jaxdistill.data.labels import find_labels
from jaxdistill.data.parting import held_out
from jaxdistill.data.tables import Examples, clean, from_lines, no_example, written_labels
from jaxdistill.data.task import Task
from jaxdistill.data.tasks import OWN
from jaxdistill.errors import UserError
from jaxdistill.metrics import choices
from jaxdistill.notices import Notice, ignore

SPLITS = ("train", "dev", "test")
MEASURED = {
    "classes": (("accuracy", "macro_f1"), "accuracy"),
    "number": (("pearson", "spearman"), "mean_pearson_spearman"),
    "many": (("micro_f1", "macro_f1", "subset_accuracy"), "micro_f1"),
}
"""By the kind of the labels: what is reported, and what chooses the best unless one says so."""
_EMPTY = ", or leave it empty: then a tenth of train is split off"
_PLAIN = ("text_names", "label_name", "labels", "many", "held_out")
"""The fields of a Task of one's own that its description holds besides its files."""


def own_task(
    files: Mapping[str, str],
    texts: tuple[str, ...],
    label: str,
    kind: str | None,
    notice: Notice,
    *,
    selection: str | None = None,
) -> Task:
    """The task that somebody's files are; the notice says what the labels of train were taken for.

    Args:
      files: train, and dev and test where there are such; of any of FORMATS, with a header.
      texts: the columns of the one or two texts.
      label: the column of the label.
      kind: of the labels (labels.KINDS); None to find out.
      selection: the metric that chooses the best; None for the one of MEASURED.

    Raises UserError where a file or a column is not there, dev is train again, the labels are not
    of one kind, or their kind has no such metric.
    """
    paths = {
        split: os.path.abspath(os.path.expanduser(files[split]))
        for split in SPLITS
        if split in files
    }
    for split, rest in (("dev", _EMPTY), ("test", "")):
        if split in paths and os.path.realpath(paths[split]) == os.path.realpath(paths["train"]):
            raise UserError(
                f"config.data.{split} and config.data.train are the same file, {paths['train']}. A "
                f"model is not judged by what it learnt: give another file in "
                f"config.data.{split}{rest}."
            )
    if parted := "dev" not in paths:
        paths["dev"] = paths["train"]
    order = {split: paths[split] for split in SPLITS if split in paths}
    task = replace(OWN, files=order, text_names=texts, label_name=label, held_out=parted)
    for split, place in order.items():
        _find(task, split, Path(place))
    path = Path(order["train"])
    sheet = _sheet(task, path, ignore)
    at = sheet.layout.label
    assert at is not None, "these formats have a label"
    whole = [line for line in sheet.lines if len(line.fields) > max(at, *sheet.layout.texts)]
    if not whole:
        raise no_example(task, path, len(sheet.lines), max(at, *sheet.layout.texts) + 1)
    found, said = find_labels(
        [clean(line.fields[at]) for line in whole],
        [line.number for line in whole],
        f"{path}, column {label}",
        kind,
    )
    notice(said)
    task = replace(task, labels=found.names, written=found.names, many=found.kind == "many")
    if selection and selection not in (there := choices(len(task.labels), many=task.many)):
        raise UserError(
            f"config.data.selection is {selection!r}, and what the labels of {path}, column "
            f"{label}, are (config.data.labels={found.kind}) has the metrics {', '.join(there)} to "
            f"choose the best by. Name one of these, or leave it empty for "
            f"{MEASURED[found.kind][1]}."
        )
    return _measured(task, selection)


def read_own(task: Task, split: str, folder: str | Path, notice: Notice) -> Examples:
    """A split of one's own files; of what dev was split off, its rows keep the file's numbers.

    Args:
      folder: where the files are now, by their names; empty: where they were.

    Raises UserError for what cannot be read, and labels that train has not.
    """
    path = Path(task.files[split])
    if str(folder):
        path = Path(folder).expanduser() / path.name
    _find(task, split, path)
    if not task.held_out or split not in ("train", "dev"):
        return read_own_file(task, path, notice)
    whole = read_own_file(task, path, notice if split == "train" else ignore)
    held = held_out(whole.texts, whole.labels)
    if split == "train":
        notice(
            f"{path}: {int(held.sum()):,} of the {len(held):,} rows are split off as dev, the same "
            f"ones every time; a file of your own goes to config.data.dev."
        )
    kept = np.flatnonzero(held if split == "dev" else ~held)
    texts = tuple([column[row] for row in kept.tolist()] for column in whole.texts)
    return Examples(whole.row[kept], texts, whole.labels[kept])


def read_own_file(task: Task, path: Path, notice: Notice) -> Examples:
    """The examples of a labelled file with the task's columns; `row` counts its rows."""
    said: list[str] = []
    sheet = _sheet(task, path, said.append)
    accepted, remarks = written_labels(task), [*said, *sheet.remarks]
    return from_lines(
        task, path, sheet.lines, sheet.layout, sheet.header, accepted, notice, remarks=remarks
    )


def check_apart(task: Task, train: Examples, dev: Examples, notice: Notice) -> None:
    """Says how much of dev is in train word for word. Raises UserError where that is all of it."""
    if task.held_out:
        return
    known = set(zip(*train.texts, strict=True))
    seen = sum(texts in known for texts in zip(*dev.texts, strict=True))
    if seen == len(dev.row):
        raise UserError(
            f"Every text of config.data.dev={task.files['dev']} is in train too "
            f"({task.files['train']}), so that dev would say nothing about new texts. Give other "
            f"rows, or leave config.data.dev empty: then a tenth of train is split off."
        )
    if seen:
        notice(
            f"{seen:,} of {len(dev.row):,} texts of dev are in train word for word: the model is "
            f"judged by what it has seen to that part."
        )


def counts(task: Task, labels: np.ndarray) -> dict[str, int]:
    """How many rows there are and, by its name, how many of each label."""
    found = {"rows": len(labels)}
    if task.regression:
        return found
    each = labels.sum(0) if task.many else np.bincount(labels, minlength=len(task.labels))
    return {**found, **dict(zip(task.labels, each.tolist(), strict=True))}


def to_plain(task: Task) -> dict[str, Any]:
    """What RUN/task.json holds of a task of one's own."""
    values = {name: getattr(task, name) for name in _PLAIN}
    return {"files": dict(task.files), "selection": task.selection, **values}


def from_plain(plain: Mapping[str, Any]) -> Task:
    """The task that to_plain was given; one written before there was a choice has no selection."""
    values = {name: plain[name] for name in _PLAIN}
    for name in ("text_names", "labels"):
        values[name] = tuple(values[name])
    task = replace(OWN, files=plain["files"], written=values["labels"], **values)
    return _measured(task, plain.get("selection"))


def _measured(task: Task, chosen: str | None) -> Task:
    metrics, selection = MEASURED[
        "many" if task.many else "number" if task.regression else "classes"
    ]
    return replace(task, metrics=metrics, selection=chosen or selection)


def _find(task: Task, split: str, path: Path) -> None:
    if path.is_file():
        return
    key = "train" if task.held_out and split == "dev" else split
    what = "is a folder" if path.is_dir() else "is not there"
    raise UserError(
        f"The file of config.data.{key}, {path}, {what}. Give the file's path; evaluate finds "
        f"it elsewhere with --folder."
    )


def _sheet(task: Task, path: Path, remark: Notice) -> Sheet:
    """The file's rows, one at least."""
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise UserError(
            f"Cannot tell what {path} holds: its name ends in {path.suffix or 'nothing'!r}, but "
            f"labelled files end in {', '.join(FORMATS)}."
        )
    sheet = FORMATS[ending](task, path, {}, remark)
    if not sheet.lines:
        raise UserError(f"{path} has a first line with the columns' names and no rows. Add some.")
    return sheet
