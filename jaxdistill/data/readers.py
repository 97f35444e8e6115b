"""The splits of a task, from a folder, the hub or a generator, and labelled files of the user's.

What these return is numbered, cleaned and labelled with class numbers; nothing is shuffled. Of each
file and each split of the hub one line of counts is printed.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from jaxdistill.data import hub
from jaxdistill.data.columns import by_content, by_position, numbering, of_the_hub
from jaxdistill.data.formats import FORMATS
from jaxdistill.data.order import CAP, permutation
from jaxdistill.data.own import read_own, read_own_file
from jaxdistill.data.reviews import generate
from jaxdistill.data.tables import Examples, assemble, decode, from_lines, say, split_lines
from jaxdistill.data.task import Task
from jaxdistill.errors import UserError
from jaxdistill.notices import Notice, print_notice

__all__ = ["Examples", "cap", "is_there", "read_file", "read_split"]


def read_split(
    task: Task, split: str, folder: str | Path, notice: Notice = print_notice
) -> Examples:
    """A split of the task from `folder`, or from the hub if that is the empty string.

    folder: holds the task's folder (SST-2/train.tsv), or is that folder itself; of no account for a
    task whose rows are generated. The notice has the number of examples and of each label, and
    whatever is odd about the file: rows with too few fields, which are skipped; a row count other
    than the task's; empty texts; an encoding other than UTF-8.
    Raises UserError for a split, file or folder that is not there, bytes that are no text, and
    labels that are not the task's.
    """
    if split not in task.splits:
        raise UserError(
            f"Task {task.name} has no split {split!r}. Its splits are {', '.join(task.splits)}; "
            f"jaxdistill.evaluate scores any labelled file with --data FILE."
        )
    if task.own:
        return read_own(task, split, folder, notice)
    if task.generated:
        column, classes = generate(task.generated, split, task.rows[split])
        return assemble(task, [column], classes)
    if str(folder):
        return _read_local(task, split, Path(os.path.expanduser(folder)), notice)
    said: list[str] = []
    texts, labels = hub.download(task, split, said.append)
    examples = assemble(task, texts, labels)
    unlabelled = np.flatnonzero(examples.unlabelled)
    if len(unlabelled) and not split.startswith("test"):
        raise UserError(
            f"Row {unlabelled[0]} of split {split!r} of {task.name} on the hub has no label. "
            "Give a local folder in config.data.folder."
        )
    say(task, f"{task.name} {split}, from the hub", examples, said, _rows(task, split), notice)
    return examples


def is_there(task: Task, split: str, folder: str | Path) -> bool:
    """Whether `folder` has the split's file; always True for the hub and for generated tasks."""
    return not str(folder) or bool(task.generated) or _find(task, split, folder) is not None


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

    .tsv and .txt are split on tabs without quoting, .csv is quoted, .jsonl has one object a line.
    Of a task of one's own the columns are those of its files. Else they are found by name: the
    task's, the hub's, or sentence (sentence1, sentence2) or text
    (text, text_pair), and the task's label name or "label". A .tsv without header is read as the
    task's train file; in one of a `detected` task text and label may change places. Labels are as
    the task's files write them, else class names, else class numbers of the task, or of the hub
    where the columns are named as there (the notice gives their order). Raises UserError for
    another ending, missing columns, no labels, a label that is not the task's, and what the format
    does not allow.
    """
    path = Path(os.path.expanduser(path))
    if task.own:
        return read_own_file(task, path, notice)
    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"Cannot tell what {path} holds: its name ends in {path.suffix or 'nothing'!r}, but "
            f"labelled files end in {', '.join(FORMATS)}."
        )
    written, remarks = numbering(task, path.parent)
    names = {name: number for number, name in enumerate(task.labels)}
    said: list[str] = list(remarks)
    sheet = FORMATS[path.suffix.lower()](task, path, {**names, **written}, said.append)
    layout = sheet.layout
    order = task.labels
    if task.hub and task.hub.order and sheet.header and of_the_hub(task, sheet.header):
        order = task.hub.order
    numbers = {str(number): names[name] for number, name in enumerate(order)}
    accepted = written | {k: v for k, v in (numbers | names).items() if k not in written}
    bare = numbers.keys() - written.keys()
    if layout.label is not None and any(
        line.fields[layout.label].strip() in bare
        for line in sheet.lines
        if len(line.fields) > max(*layout.texts, layout.label)
    ):
        shown = ", ".join(f"{number} {name}" for number, name in enumerate(order))
        whose = f"{task.name}'s order" if order == task.labels else "the order of the hub's files"
        said.append(f"labels are class numbers, read in {whose}: {shown}")
    return from_lines(
        task,
        path,
        sheet.lines,
        layout,
        sheet.header,
        accepted,
        notice,
        remarks=[*said, *sheet.remarks],
    )


def _read_local(task: Task, split: str, folder: Path, notice: Notice) -> Examples:
    path = _find(task, split, folder)
    if path is None:
        name, there = task.files[split], folder / task.folder
        or_hub = ", or leave that empty for the hub" if task.hub else ""
        raise UserError(
            f"Split {split!r} of {task.name} is neither {there / name} nor {folder / name}; "
            f"{_listing(there if os.path.isdir(there) else folder)}. Give the folder that holds "
            f"{task.folder}/{name} in config.data.folder{or_hub} (evaluate and predict: --folder)."
        )
    said: list[str] = []
    lines = split_lines(decode(path, said.append))
    accepted, remarks = numbering(task, path.parent)
    if task.detected:
        names = {name: number for number, name in enumerate(task.labels)}
        accepted = {**names, **accepted}
        labelled = not split.startswith("test")
        sheet = by_content(task, path, lines, accepted, labelled=labelled)
    else:
        sheet = by_position(task, split, lines)
    return from_lines(
        task,
        path,
        sheet.lines,
        sheet.layout,
        sheet.header,
        accepted,
        notice,
        remarks=[*said, *remarks, *sheet.remarks],
        expected=_rows(task, split),
    )


def _rows(task: Task, split: str) -> int | None:
    """How many the published split has, where that is known."""
    return task.rows[split] if split in task.rows else None


def _find(task: Task, split: str, folder: str | Path) -> Path | None:
    """The split's file, in the task's folder or in `folder` itself."""
    name, folder = task.files[split], Path(os.path.expanduser(folder))
    paths = (folder / task.folder / name, folder / name)
    return next((path for path in paths if os.path.exists(path)), None)


def _listing(folder: Path) -> str:
    """What lies in a folder, for an error message."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        return f"{folder} cannot be listed ({error.strerror})"
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"{folder} has {', '.join(names[:12]) or 'nothing in it'}{more}"
