"""The splits of a task, from a folder, the hub or a generator, and labelled files of the user's.

What these return is numbered, cleaned and labelled with class numbers; nothing is shuffled.
"""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from jaxdistill.data import hub
from jaxdistill.data.order import CAP, permutation
from jaxdistill.data.reviews import generate
from jaxdistill.data.tables import (
    Examples,
    Line,
    Notice,
    assemble,
    decode,
    from_lines,
    print_notice,
    read_labels,
    split_lines,
    written_labels,
)
from jaxdistill.data.tasks import Layout, Task
from jaxdistill.errors import UserError

__all__ = ["Examples", "Notice", "cap", "print_notice", "read_file", "read_split"]


def read_split(
    task: Task, split: str, folder: str | Path, notice: Notice = print_notice
) -> Examples:
    """A split of the task from `folder`, or from the hub if that is the empty string.

    folder: holds the task's folder (SST-2/train.tsv), or is that folder itself; of no account for a
    task whose rows are generated. Rows with too few fields are skipped and counted in a notice; a
    row count other than the task's is a notice too.
    Raises UserError for a split, file or folder that is not there, bytes that are not UTF-8, and
    labels that are not the task's.
    """
    if split not in task.rows:
        raise UserError(
            f"Task {task.name} has no split {split!r}. Its splits are {', '.join(task.rows)}."
        )
    if task.generated:
        column, classes = generate(task.generated, split, task.rows[split])
        return assemble(task, [column], classes)
    if str(folder):
        examples = _read_local(task, split, Path(os.path.expanduser(folder)), notice)
    else:
        texts, labels = hub.download(task, split)
        examples = assemble(task, texts, labels)
        unlabelled = np.flatnonzero(np.isnan(examples.labels) | (examples.labels < 0))
        if len(unlabelled) and not split.startswith("test"):
            raise UserError(
                f"Row {unlabelled[0]} of split {split!r} of {task.name} on the hub has no label. "
                "Give a local folder in config.data.folder."
            )
    found, expected = len(examples.row), task.rows[split]
    if found != expected:
        notice(f"{task.name} {split} has {found:,} examples; the published split has {expected:,}.")
    return examples


def cap(examples: Examples, rows: int, seed: int) -> Examples:
    """A random `rows` of the examples in their original order; 0, or more than there are: all.

    A pure function of (N, rows, seed); the subset for fewer rows lies within that for more.
    """
    if rows < 0:
        raise UserError(
            f"The number of rows is capped at {rows}; give 0 for all, or a positive one."
        )
    if rows == 0 or rows >= len(examples.row):
        return examples
    kept = np.sort(permutation(len(examples.row), seed=seed, purpose=CAP)[:rows])
    texts = tuple([column[i] for i in kept.tolist()] for column in examples.texts)
    return Examples(examples.row[kept], texts, examples.labels[kept])


def read_file(task: Task, path: str | Path, notice: Notice = print_notice) -> Examples:
    """The examples of a labelled file; `row` counts its rows.

    .tsv is split on tabs without quoting, .csv is quoted, .jsonl has one object a line. Columns are
    found by name: the task's own, the hub's, or sentence (sentence1, sentence2) or text (text,
    text_pair), and the task's label name or "label". A .tsv without header is read as the task's
    train file. Labels are as GLUE's files write them, else class names, else class numbers of the
    task (a notice gives their order). Raises UserError for another ending, missing columns, no
    labels, a label that is not the task's, and what the format does not allow.
    """
    path = Path(os.path.expanduser(path))
    readers = {".tsv": _read_tsv, ".csv": _read_csv, ".jsonl": _read_jsonl}
    if path.suffix.lower() not in readers:
        raise UserError(
            f"Cannot tell what {path} holds: its name ends in {path.suffix or 'nothing'!r}, but "
            f"labelled files end in {', '.join(readers)}."
        )
    lines, layout, header = readers[path.suffix.lower()](task, path)
    written = written_labels(task)
    names = {name: number for number, name in enumerate(task.labels)}
    numbers = {str(number): number for number in names.values()}
    accepted = written | {k: v for k, v in (numbers | names).items() if k not in written}
    examples = from_lines(task, path, lines, layout, header, accepted, notice)
    bare = numbers.keys() - written.keys()
    if layout.label is not None and any(
        line.fields[layout.label].strip() in bare
        for line in lines
        if len(line.fields) > max(*layout.texts, layout.label)
    ):
        order = ", ".join(f"{number} {name}" for name, number in names.items())
        notice(f"{path}: labels are class numbers, read in {task.name}'s order: {order}.")
    return examples


def _read_local(task: Task, split: str, folder: Path, notice: Notice) -> Examples:
    name = task.files[split]
    paths = (folder / task.folder / name, folder / name)
    path = next((path for path in paths if os.path.exists(path)), None)
    if path is None:
        there = folder / task.folder
        raise UserError(
            f"Split {split!r} of {task.name} is neither {paths[0]} nor {paths[1]}; "
            f"{_listing(there if os.path.isdir(there) else folder)}. Give the folder that holds "
            f"{task.folder}/{name} in config.data.folder, or leave that empty for the hub."
        )
    layout = task.layout(split)
    lines = split_lines(decode(path))
    header = None
    if layout.header and lines:
        header = [field.strip() for field in lines.pop(0).fields]
        found = [header[at] if at < len(header) else "nothing" for at in layout.texts]
        if [name.lower() for name in found] != [name.lower() for name in task.text_names]:
            notice(
                f"{path}: the first line is taken for the header, but where {task.name} has "
                f"{', '.join(task.text_names)} it says {', '.join(found)}."
            )
    return from_lines(task, path, lines, layout, header, written_labels(task), notice)


def _listing(folder: Path) -> str:
    """What lies in a folder, for an error message."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        return f"{folder} cannot be listed ({error.strerror})"
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"{folder} has {', '.join(names[:12]) or 'nothing in it'}{more}"


def _text_names(task: Task) -> list[tuple[str, ...]]:
    """What the text columns may be called, the likeliest first."""
    general: list[tuple[str, ...]] = [("sentence",), ("text",)]
    if len(task.text_names) == 2:
        general = [("sentence1", "sentence2"), ("text", "text_pair")]
    published = [task.hub.texts] if task.hub else []
    return list(dict.fromkeys([task.text_names, *published, *general]))


def _columns(task: Task, path: Path, header: list[str]) -> Layout:
    """Positions of the columns that the header names. Raises UserError for those that miss."""
    names = [name.strip().lower() for name in header]
    spellings = _text_names(task)
    for spelling in spellings:
        if all(name.lower() in names for name in spelling):
            texts = tuple(names.index(name.lower()) for name in spelling)
            break
    else:
        wanted = " or ".join(" and ".join(spelling) for spelling in spellings)
        raise UserError(
            f"{path} has the columns {', '.join(header)}, but {task.name} reads its texts from "
            f"{wanted}. Rename the columns."
        )
    for name in (task.label_name.lower(), "label"):
        if name in names:
            return Layout(True, texts, names.index(name))
    raise UserError(
        f"{path} has the columns {', '.join(header)} and none of labels, but scoring needs them. "
        f"Add a column {task.label_name}."
    )


def _read_tsv(task: Task, path: Path) -> tuple[list[Line], Layout, list[str] | None]:
    lines = split_lines(decode(path))
    if not lines:
        raise UserError(f"{path} has no rows.")
    first, layout = lines[0], task.labelled
    width = max(*layout.texts, layout.label or 0) + 1
    if layout.label is not None and len(first.fields) >= width:
        # A first line with a sound label where the task's train file has it is data, no header.
        try:
            read_labels(task, [first.fields[layout.label]], [first], path, written_labels(task))
            return lines, layout._replace(header=False), first.fields
        except UserError:
            pass
    return lines[1:], _columns(task, path, first.fields), first.fields


def _read_csv(task: Task, path: Path) -> tuple[list[Line], Layout, list[str]]:
    reader = csv.reader(io.StringIO(decode(path), newline=""), strict=True)
    try:
        lines = [Line(reader.line_num, fields) for fields in reader if fields]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not sound CSV ({error}).") from error
    if not lines:
        raise UserError(f"{path} has no rows.")
    return lines[1:], _columns(task, path, lines[0].fields), lines[0].fields


def _read_jsonl(task: Task, path: Path) -> tuple[list[Line], Layout, list[str]]:
    lines: list[Line] = []
    layout, header, names = Layout(True, (), None), [""], [""]
    for number, text in enumerate(decode(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {number}: not sound JSON ({error}).") from error
        if not isinstance(entry, dict):
            raise UserError(f"{path}, line {number}: not a JSON object but {text.strip()[:40]!r}.")
        if not lines:
            header = list(entry)
            layout = _columns(task, path, header)
            assert layout.label is not None
            names = [header[at] for at in (*layout.texts, layout.label)]
        missing = [name for name in names if name not in entry]
        if missing:
            raise UserError(
                f"{path}, line {number}: {', '.join(missing)} missing; there are "
                f"{', '.join(entry) or 'no keys'}."
            )
        texts = [entry[name] for name in names[:-1]]
        if not all(isinstance(value, str) for value in texts):
            raise UserError(f"{path}, line {number}: {' and '.join(names[:-1])} must be strings.")
        lines.append(Line(number, [*texts, _written(entry[names[-1]])]))
    if not lines:
        raise UserError(f"{path} has no rows.")
    return lines, Layout(True, tuple(range(len(names) - 1)), len(names) - 1), names


def _written(label: Any) -> str:
    """A JSON label as a file would write it; what writes 1.0 for class 1 is common."""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)
