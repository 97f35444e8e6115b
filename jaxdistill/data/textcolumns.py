"""Where texts lie in a file to be answered, which may have labels and needs none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jaxdistill.data.columns import by_name, cut_otherwise
from jaxdistill.data.task import Layout, Task
from jaxdistill.errors import UserError

_EITHER_WAY = (Layout(False, (1,), 0), Layout(False, (0,), 1))
"""Where a text and its label may lie in the files of a `detected` task."""


def as_example(task: Task, fields: list[str]) -> Sequence[int] | None:
    """Positions of the texts if a first line is no header but has a sound label in its place."""
    accepted = {*task.written, *task.labels, *map(str, range(len(task.labels)))}
    for layout in (task.labelled, *(_EITHER_WAY if task.detected else ())):
        if layout.label is None or len(fields) <= max(*layout.texts, layout.label):
            continue
        last = task.detected and layout.label > 0  # behind a text with tabs in it
        label = fields[-1 if last else layout.label].strip()
        if label in accepted or (task.regression and label.replace(".", "", 1).isdigit()):
            return layout.texts
    return None


def has_columns(task: Task, path: Path, first: list[str]) -> bool:
    """Whether the first line of a .txt is that of a labelled file, as evaluate reads .txt; in files
    of one's own, that of columns with the texts among them.
    """
    if len(first) < 2 or (len(task.text_names) != 1 and not task.own):
        return False
    if as_example(task, first) is not None:
        return True
    try:
        return by_name(task, path, first, labelled=not task.own).label is not None or task.own
    except UserError:
        return False


def find_texts(task: Task, path: Path, header: list[str], columns: Sequence[str]) -> Sequence[int]:
    """Positions of the texts by the names that the header gives.

    Args:
      columns: what the user calls them, by flags; none: what read_file knows.

    Raises UserError where they are not there, or doubled.
    """
    flags = " and ".join(("--text", "--text_pair")[: len(task.text_names)])
    if not columns:
        try:
            return by_name(task, path, header, labelled=False).texts
        except UserError as error:
            raise UserError(f"{error} To jaxdistill.predict {flags} name others.") from error
    header = [name.strip() for name in header]
    if doubled := [name for name in columns if header.count(name) > 1]:
        raise UserError(
            f"{path} has {header.count(doubled[0])} columns {doubled[0]!r}, of which {flags} can "
            f"only mean one. Rename the others."
        )
    missing = [name for name in columns if name not in header]
    if missing or len(columns) != len(task.text_names):
        raise UserError(
            f"{path} has the columns {', '.join(header[:20]) or '(none)'}, of which {flags} must "
            f"name {len(task.text_names)} for {task.name}, not {', '.join(columns)}."
            f"{cut_otherwise(path, header, columns)}"
        )
    return [header.index(name) for name in columns]
