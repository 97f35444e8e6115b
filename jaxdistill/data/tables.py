"""Rows of text files, and the examples that they become.

GLUE's files are UTF-8, split on tabs and line feeds, without quoting: CSV rules lose rows silently
(MRPC: 97 of 3,668), and str.splitlines cuts inside texts.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdistill.data.tasks import Layout, Task
from jaxdistill.errors import UserError

Notice = Callable[[str], None]
"""Is told what the user should know and what is no error."""


def print_notice(text: str) -> None:
    """Prints to standard error, so that standard output stays the verb's own."""
    print(text, file=sys.stderr)


class Examples(NamedTuple):
    """One split, in the order of its file."""

    row: np.ndarray
    """[N] int32, each example's number within its split; a cap or a shuffle does not change it."""
    texts: tuple[list[str], ...]
    """One list of N strings, or two for a task over pairs."""
    labels: np.ndarray
    """[N] int32 class numbers, -1 without label; or [N] float32 targets, nan without."""


class Line(NamedTuple):
    """One row of a file, cut into fields."""

    number: int
    """Counts from 1, the header included."""
    fields: list[str]


_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Without surrounding white space; NUL becomes a space and a lone surrogate U+FFFD."""
    return _SURROGATE.sub("\ufffd", text.replace("\0", " ")).strip()


def decode(path: Path) -> str:
    """The file's text, without a byte order mark. Raises UserError naming the line otherwise."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: the byte 0x{data[error.start]:02x} is not UTF-8. Convert the "
            "file, for example with iconv -f gb18030 -t utf-8."
        ) from error


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
) -> list[float]:
    """Class numbers, or the numbers of a regression. Raises UserError naming file and line."""
    labels: list[float] = []
    for value, line in zip(values, lines, strict=True):
        label = _number(value) if task.regression else accepted.get(value.strip())
        if label is None:
            wanted = "a finite number" if task.regression else f"one of {', '.join(accepted)}"
            raise UserError(
                f"{path}, line {line.number}: the label is {value.strip()!r}, but {task.name} "
                f"expects {wanted}. Correct the row, or check the task and the file's columns."
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
) -> Examples:
    """Examples from a file's rows without its header; rows with too few fields are skipped."""
    needed = max(*layout.texts, layout.label or 0) + 1
    if layout.label == -1 and header is not None:
        needed = len(header)  # With a field missing, the last one is not the label.
    rows = [line for line in lines if len(line.fields) >= needed]
    remarks = []
    if len(rows) < len(lines):
        first = next(line.number for line in lines if len(line.fields) < needed)
        remarks.append(
            f"{len(lines) - len(rows):,} rows have fewer than {needed} fields and are skipped "
            f"(the first is line {first})"
        )
    wide = [line.number for line in rows if header is not None and len(line.fields) > len(header)]
    if wide:
        remarks.append(
            f"{len(wide):,} rows have more fields than the first line and are read by position "
            f"(the first is line {wide[0]}): is a tab part of a text?"
        )
    if remarks:
        notice(f"{path}: {'; '.join(remarks)}.")
    if not rows:
        raise UserError(
            f"{path} has no example of {task.name}: {len(lines):,} rows, of which none has the "
            f"{needed} fields that are needed. Check config.data.folder and config.data.task."
        )
    texts = [[line.fields[at] for line in rows] for at in layout.texts]
    if layout.label is None:
        return assemble(task, texts, [float("nan") if task.regression else -1] * len(rows))
    values = [line.fields[layout.label] for line in rows]
    return assemble(task, texts, read_labels(task, values, rows, path, accepted))


def written_labels(task: Task) -> dict[str, int]:
    """How GLUE's files write each label -> class number."""
    return {written: number for number, written in enumerate(task.written)}


def _number(value: str) -> float | None:
    """The value as a finite float32, None if it is none."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) <= float(np.finfo(np.float32).max) else None


def assemble(task: Task, texts: Sequence[Sequence[str]], labels: Sequence[float]) -> Examples:
    """Examples of cleaned texts, numbered in order."""
    kind = np.float32 if task.regression else np.int32
    return Examples(
        np.arange(len(labels), dtype=np.int32),
        tuple([clean(text) for text in column] for column in texts),
        np.asarray(labels, dtype=kind),
    )
