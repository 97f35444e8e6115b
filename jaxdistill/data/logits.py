"""Logits that no model of the run computes: mixed of several teachers, or read from a file.

Files are of another framework's teacher, or of an LLM's labels:

.csv .tsv    a header; the column `row` and one per class: the label names, or logits_0,
             logits_1 ... in the task's order; `score` of a regression
.jsonl       one object a line with the same keys
.npz         row [N] and logits [N, C] in the task's order, such as a run's predictions/dev.npz
"""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdistill.data.tables import Line, decode, split_lines
from jaxdistill.data.tasks import Task
from jaxdistill.errors import UserError
from jaxdistill.notices import Notice, print_notice

ROW = "row"
"""The column with the example's number within its split, from 0 in the order of the task's file."""


class _Found(NamedTuple):
    row: np.ndarray
    """[M] int64."""
    logits: np.ndarray
    """[M, C] float32."""
    where: Sequence[str]
    """[M], how an error names each row's place in the file."""


def mix(logits: Sequence[np.ndarray], weights: Sequence[float], combine: str) -> np.ndarray:
    """One target [N, C] float32 of several teachers' logits [N, C], in float64 on the way.

    combine: "logits" for their weighted mean; "probabilities" for the logarithm of the weighted
    mean of their softmax, of which the softmax gives that mean back.
    """
    stack = np.stack(logits).astype(np.float64)  # [teachers, N, C]
    shares = np.asarray(weights, np.float64)[:, None, None]
    if combine == "logits":
        return (stack * shares).sum(0).astype(np.float32)
    # In logarithms: a class that every teacher all but excludes keeps a finite one.
    scaled = _log_softmax(stack) + np.log(shares)
    return np.logaddexp.reduce(scaled, axis=0).astype(np.float32)


def _log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(-1, keepdims=True)
    logarithms: np.ndarray = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return logarithms


def read_logits(
    task: Task,
    path: str | Path,
    row: np.ndarray,
    *,
    whole: bool,
    notice: Notice = print_notice,
) -> np.ndarray:
    """Logits [N, C] float32 for the examples numbered `row` [N], classes in the task's order.

    Args:
      whole: `row` is all of the split, so that the file may number no other example; else the rest
        is left out with a notice.

    Raises UserError naming file and row for another ending, columns that are not the task's, a row
    that is missing, is there twice or is not in the split, and a number that is none or not finite.
    """
    path = Path(os.path.expanduser(path))
    readers = {".csv": _read_csv, ".tsv": _read_tsv, ".jsonl": _read_jsonl, ".npz": _read_npz}
    if path.suffix.lower() not in readers:
        raise UserError(
            f"config.teacher.logits={path} ends in {path.suffix or 'nothing'!r}, but files of "
            f"logits end in {', '.join(readers)}."
        )
    found = readers[path.suffix.lower()](task, path, notice)
    bad = np.flatnonzero(~np.isfinite(found.logits).all(axis=1))
    if len(bad):
        raise UserError(
            f"{path}, {found.where[bad[0]]}: the logits of row {found.row[bad[0]]} are "
            f"{found.logits[bad[0]].tolist()}, and must be finite in float32. Give the logarithm "
            f"of a probability 0 as -30 or so."
        )
    order = np.argsort(found.row, kind="stable")
    numbers = found.row[order]
    twice = np.flatnonzero(numbers[1:] == numbers[:-1])
    if len(twice):
        one, other = found.where[order[twice[0]]], found.where[order[twice[0] + 1]]
        raise UserError(
            f"{path}: row {numbers[twice[0]]} is there twice, {one} and {other}. Keep one of them."
        )
    place = np.searchsorted(numbers, row)  # [N]
    there = place < len(numbers)
    there[there] = numbers[place[there]] == row[there]
    if not there.all():
        missing = row[~there]
        raise UserError(
            f"{path} lacks {len(missing):,} of {len(row):,} train rows, the first is row "
            f"{missing[0]}. Rows are numbered from 0 in the order of the split's file; add them, "
            f"or train on fewer with config.data.train_rows."
        )
    spare = np.flatnonzero(~np.isin(numbers, row))
    if len(spare):
        first = numbers[spare[0]]
        if whole or first < 0:
            raise UserError(
                f"{path}, {found.where[order[spare[0]]]}: row {first} is not in the train split, "
                f"whose {len(row):,} rows are numbered from 0. Is this file for other data?"
            )
        notice(f"{path}: {len(spare):,} rows are not among the {len(row):,} trained on.")
    return found.logits[order[place]]


def _names(task: Task) -> tuple[str, ...]:
    return task.labels or ("score",)


def _columns(task: Task, path: Path, header: Sequence[str], notice: Notice) -> list[int]:
    """Positions of `row` and of each class in its order; anything else in the header is refused."""
    have = [name.strip().casefold() for name in header]
    numbered = [f"logits_{number}" for number in range(task.outputs)]
    for wanted in ([name.casefold() for name in _names(task)], numbered):
        if sorted(have) == sorted([ROW, *wanted]):
            if wanted == numbered and task.labels:
                notice(f"{path}: logits_0 and on are taken for {', '.join(task.labels)}.")
            return [have.index(name) for name in (ROW, *wanted)]
    raise UserError(
        f"{path} has the columns {', '.join(header)}, but logits for {task.name} are in "
        f"{', '.join([ROW, *_names(task)])} (or {', '.join([ROW, *numbered])}) and no others. "
        f"Rename or remove columns."
    )


def _from_lines(path: Path, lines: Sequence[Line], at: list[int]) -> _Found:
    rows, logits = [], []
    for line in lines:
        try:
            fields = [line.fields[position] for position in at]
            number = float(fields[0])
            if not number.is_integer():
                raise ValueError
            rows.append(int(number))
            logits.append([float(field) for field in fields[1:]])
        except (ValueError, IndexError):
            raise UserError(
                f"{path}, line {line.number}: {line.fields} is not a row number and "
                f"{len(at) - 1} logit(s). Correct the line."
            ) from None
    with np.errstate(over="ignore"):  # told as not finite
        values = np.array(logits, np.float64).reshape(len(rows), len(at) - 1).astype(np.float32)
    return _Found(np.array(rows, np.int64), values, [f"line {line.number}" for line in lines])


def _read_csv(task: Task, path: Path, notice: Notice) -> _Found:
    reader = csv.reader(io.StringIO(decode(path), newline=""), strict=True)
    try:
        lines = [Line(reader.line_num, fields) for fields in reader if fields]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not sound CSV ({error}).") from error
    return _from_table(task, path, lines, notice)


def _read_tsv(task: Task, path: Path, notice: Notice) -> _Found:
    return _from_table(task, path, split_lines(decode(path)), notice)


def _from_table(task: Task, path: Path, lines: list[Line], notice: Notice) -> _Found:
    if not lines:
        raise UserError(f"{path} is empty; it should hold logits for {task.name}.")
    return _from_lines(path, lines[1:], _columns(task, path, lines[0].fields, notice))


def _read_jsonl(task: Task, path: Path, notice: Notice) -> _Found:
    lines: list[Line] = []
    header: list[str] = []
    for number, text in enumerate(decode(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {number}: not sound JSON ({error}).") from error
        if not isinstance(entry, dict):
            raise UserError(f"{path}, line {number}: not a JSON object but {text.strip()[:40]!r}.")
        header = header or list(entry)
        if sorted(entry) != sorted(header):
            raise UserError(
                f"{path}, line {number}: the keys are {', '.join(entry)}, and those of the first "
                f"object {', '.join(header)}. Give every row the same."
            )
        lines.append(Line(number, [str(entry[name]) for name in header]))
    if not lines:
        raise UserError(f"{path} is empty; it should hold logits for {task.name}.")
    return _from_lines(path, lines, _columns(task, path, header, notice))


def _read_npz(task: Task, path: Path, notice: Notice) -> _Found:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            row, logits = np.asarray(file["row"]), np.asarray(file["logits"])
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} cannot be read as an .npz with the arrays row and logits ({error})."
        ) from error
    kinds = (row.dtype.kind in "iu", logits.dtype.kind in "fiu")
    if not all(kinds) or (row.ndim, logits.shape) != (1, (len(row), task.outputs)):
        raise UserError(
            f"{path} has row {row.dtype}{list(row.shape)} and logits {logits.dtype}"
            f"{list(logits.shape)}; {task.name} needs whole numbers [N] and floats "
            f"[N, {task.outputs}]."
        )
    if task.labels:
        notice(f"{path}: the columns of logits are taken for {', '.join(task.labels)}.")
    with np.errstate(over="ignore"):
        values = logits.astype(np.float32)
    return _Found(row.astype(np.int64), values, [f"entry {n}" for n in range(len(row))])
