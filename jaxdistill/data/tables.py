"""Rows of text files, and the examples that they become.

GLUE's files are split on tabs and line feeds, without quoting: CSV rules lose rows silently (MRPC:
97 of 3,668), and str.splitlines cuts inside texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdistill.data.encoding import clean, decode, oddities, where_first
from jaxdistill.data.labels import as_number, as_set
from jaxdistill.data.task import Layout, Task
from jaxdistill.errors import UserError
from jaxdistill.notices import Notice

__all__ = [
    "Examples",
    "Line",
    "assemble",
    "clean",
    "decode",
    "from_lines",
    "no_example",
    "read_labels",
    "say",
    "split_lines",
    "written_labels",
]


class Examples(NamedTuple):
    """One split, in the order of its file."""

    row: np.ndarray
    """[N] int32, each example's number within its split; a cap or a shuffle does not change it."""
    texts: tuple[list[str], ...]
    """One list of N strings, or two for a task over pairs."""
    labels: np.ndarray
    """[N] int32 class numbers, -1 without label; or [N] float32 targets, nan without; or [N, C]
    int32, 1 where a row has the label, 0 where not, and all -1 without."""

    @property
    def unlabelled(self) -> np.ndarray:
        """[N] bool, True on rows that can be predicted and not scored."""
        if self.labels.dtype.kind == "f":
            return np.isnan(self.labels)
        without: np.ndarray = self.labels < 0
        return np.asarray(without.any(axis=tuple(range(1, without.ndim))))


class Line(NamedTuple):
    """One row of a file, cut into fields."""

    number: int
    """Counts from 1, the header included."""
    fields: list[str]


def split_lines(text: str) -> list[Line]:
    """The rows of a tab-separated file. Blank lines are no rows."""
    lines = enumerate(text.split("\n"), start=1)
    return [Line(n, line.removesuffix("\r").split("\t")) for n, line in lines if line.strip("\r")]


def read_labels(
    task: Task,
    values: Sequence[str],
    lines: Sequence[Line],
    path: Path,
    accepted: Mapping[str, int],
) -> list[Any]:
    """Class numbers, the numbers of a regression, or of each row which labels it has, [C] of 1 and
    0. Raises UserError naming file and line.
    """
    labels: list[Any] = []
    for value, line in zip(values, lines, strict=True):
        label: Any
        if task.many:
            label = as_set(value, accepted)
        else:
            label = as_number(value) if task.regression else accepted.get(value.strip())
        if label is None:
            wanted = "a finite number" if task.regression else f"one of {', '.join(accepted)}"
            remedy = "Correct the row, or check the task and the file's columns."
            if task.own and not task.regression:
                wanted = f"what {task.files['train']} has: {', '.join(accepted)}"
                remedy = "Correct the row, or add rows of that label to train."
            raise UserError(
                f"{path}, line {line.number}: the label is {_shown(value)}, but {task.name} "
                f"expects {wanted}. {remedy}"
            )
        labels.append(label)
    return labels


def from_lines(
    task: Task,
    path: Path,
    lines: list[Line],
    layout: Layout,
    header: list[str] | None,
    accepted: Mapping[str, int],
    notice: Notice,
    *,
    remarks: Sequence[str] = (),
    expected: int | None = None,
) -> Examples:
    """Examples from a file's rows without its header, and one notice of what was found there.

    Rows with too few fields are skipped, and those that the task calls undecided dropped; both are
    counted, as are texts that are empty or not sound.

    Args:
      remarks: what is known of the file already.
      expected: rows that the published split has.
    """
    said = list(remarks)
    rows = _complete(task, path, lines, layout, header, said)
    if layout.label is not None and task.undecided:
        kept = [line for line in rows if line.fields[layout.label].strip() != task.undecided]
        if len(kept) < len(rows):
            said.append(f"{_rows(len(rows) - len(kept))} labelled {task.undecided!r} dropped")
        rows = kept or rows  # None left: the labels are wrong, which read_labels says.
    texts = [[line.fields[at] for line in rows] for at in layout.texts]
    numbers = [line.number for line in rows]
    said += oddities(texts, numbers)
    if layout.label is None:
        labels = [float("nan") if task.regression else -1] * len(rows)
    else:
        values = [clean(line.fields[layout.label]) for line in rows]
        labels = read_labels(task, values, rows, path, accepted)
    examples = assemble(task, texts, labels)
    say(task, str(path), examples, said, expected, notice)
    return examples


def say(
    task: Task,
    where: str,
    examples: Examples,
    remarks: Sequence[str],
    expected: int | None,
    notice: Notice,
) -> None:
    """The one line of counts that is printed of a file or a split."""
    count = len(examples.row)
    found = [f"{where}: {count:,} example{'s' if count != 1 else ''} ({_labels(task, examples)})"]
    if expected is not None and count != expected:
        found.append(f"the published split has {expected:,}")
    notice(f"{'; '.join([*found, *remarks])}.")


def written_labels(task: Task) -> dict[str, int]:
    """How GLUE's files write each label -> class number."""
    return {written: number for number, written in enumerate(task.written)}


def assemble(task: Task, texts: Sequence[Sequence[str]], labels: Sequence[Any]) -> Examples:
    """Examples of cleaned texts, numbered in order; labels as read_labels has them."""
    kind = np.float32 if task.regression else np.int32
    return Examples(
        np.arange(len(labels), dtype=np.int32),
        tuple([clean(text) for text in column] for column in texts),
        np.asarray(labels, dtype=kind),
    )


def _complete(
    task: Task,
    path: Path,
    lines: list[Line],
    layout: Layout,
    header: list[str] | None,
    said: list[str],
) -> list[Line]:
    """The rows with all fields that are read; says what is odd. UserError where there is none."""
    needed = max(*layout.texts, layout.label or 0) + 1
    if layout.label == -1 and header is not None:
        needed = max(needed, len(header))  # With a field missing, the last one is not the label.
    rows = [line for line in lines if len(line.fields) >= needed]
    if not rows:
        raise no_example(task, path, len(lines), needed)
    short = [line.number for line in lines if len(line.fields) < needed]
    if short:
        where = where_first(short)
        said.append(f"{_rows(len(short))} with fewer than {needed} fields skipped{where}")
    wide = [line.number for line in rows if header is not None and len(line.fields) > len(header)]
    if wide:
        mark = "comma" if _commas(path) else "tab"
        said.append(
            f"{_rows(len(wide))} with more fields than the first line read by position"
            f"{where_first(wide)}, as if a {mark} were part of a text"
        )
    return rows


def no_example(task: Task, path: Path, rows: int, needed: int) -> UserError:
    """What is said of a file of which no row has the fields that are needed."""
    where = "the columns" if task.own else "config.data.folder and config.task"
    return UserError(
        f"{path} has no example of {task.name}: {_rows(rows)}, of which none has the {needed} "
        f"fields that are needed. Check {where}, and that the file is split by "
        f"{'commas' if _commas(path) else 'tabs'} and line feeds."
    )


def _commas(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _labels(task: Task, examples: Examples) -> str:
    """How the labels are distributed, for people."""
    missing = int(examples.unlabelled.sum())
    if missing == len(examples.row):
        return "without labels"
    known = examples.labels[~examples.unlabelled]
    if task.regression:
        shown = f"{task.label_name} {known.min():g} to {known.max():g}, mean {known.mean():.2f}"
    elif task.many:
        counts = [*known.sum(0).tolist(), int((~known.any(1)).sum())]
        names = [*task.labels, "none of them"]
        shown = ", ".join(f"{name} {n:,}" for name, n in zip(names, counts, strict=True))
    else:
        counts = np.bincount(known, minlength=len(task.labels)).tolist()
        shown = ", ".join(f"{name} {n:,}" for name, n in zip(task.labels, counts, strict=True))
    return f"{shown}, without label {missing:,}" if missing else shown


def _rows(count: int) -> str:
    return f"{count:,} row{'s' if count != 1 else ''}"


def _shown(value: str) -> str:
    """A label in an error message: a long one is cut, since it may be a text."""
    value = value.strip()
    return repr(value) if len(value) <= 60 else f"{value[:60]!r} ..."
