"""Where a file keeps texts and label: by position, by the names in its header, by its content."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from jaxdistill.data.encoding import decode, where_first
from jaxdistill.data.tables import Line, split_lines, written_labels
from jaxdistill.data.task import Layout, Task
from jaxdistill.errors import UserError


class Sheet(NamedTuple):
    """A file cut into rows, and where in them what lies."""

    lines: list[Line]
    """Without the header."""
    layout: Layout
    header: list[str] | None
    """None if the file has none, or if it does not tell how many fields a row should have."""
    remarks: tuple[str, ...] = ()
    """What the user should know of the columns."""


def by_position(task: Task, split: str, lines: list[Line]) -> Sheet:
    """The columns as the task's distribution has them.

    A test file whose header is that of the labelled files is read as one of these, unless every
    label in it is -1, as the hub writes a label that is held back.
    """
    layout = task.layout(split)
    if not layout.header or not lines:
        return Sheet(lines, layout, None)
    header = [field.strip() for field in lines[0].fields]
    whole = task.labelled
    if layout.label is None and whole.header and whole.label is not None:
        names = _at(header, whole.texts), _at(header, (whole.label,))
        if names == (_lower(task.text_names), _lower((task.label_name,))):
            held = all(line.fields[whole.label :][:1] == ["-1"] for line in lines[1:])
            layout = whole._replace(label=None) if held else whole
    remarks: tuple[str, ...] = ()
    if _at(header, layout.texts) != _lower(task.text_names):
        found = [header[at] if at < len(header) else "nothing" for at in layout.texts]
        remarks = (
            f"the first line is taken for the header, but where {task.name} has "
            f"{', '.join(task.text_names)} it says {', '.join(found)}",
        )
    return Sheet(lines[1:], layout, header, remarks)


def by_name(task: Task, path: Path, header: list[str], *, labelled: bool = True) -> Layout:
    """Positions of the columns that the header names.

    Args:
      labelled: whether there must be labels.

    Raises UserError for columns that miss.
    """
    if task.own:
        return _own(task, path, header, labelled=labelled)
    texts = _texts(task, header)
    if texts is None:
        wanted = " or ".join(" and ".join(spelling) for spelling in _spellings(task))
        raise UserError(
            f"{path} has the columns {', '.join(header)}, but {task.name} reads its texts from "
            f"{wanted}. Rename the columns."
            f"{cut_otherwise(path, header, list(chain.from_iterable(_spellings(task))))}"
        )
    names = _lower(header)
    for name in _lower((task.label_name, "label")):
        if name in names:
            return Layout(True, texts, names.index(name))
    if not labelled:
        return Layout(True, texts, None)
    raise UserError(
        f"{path} has the columns {', '.join(header)} and none of labels, but scoring needs them. "
        f"Add a column {task.label_name}."
    )


def by_content(
    task: Task, path: Path, lines: list[Line], accepted: Mapping[str, int], *, labelled: bool
) -> Sheet:
    """The columns of a text and its label as this copy of a `detected` task has them.

    A first line that names the text, and has no label, is the header. Without one, the label is in
    the first or the last column, wherever more rows have what the task accepts. Tabs within a text
    stay in it.

    Args:
      accepted: labels as files write them -> class numbers.
      labelled: whether there must be labels.
    """
    header = [field.strip() for field in lines[0].fields] if lines else []
    if _texts(task, header) is not None and not any(field in accepted for field in header):
        layout, width = by_name(task, path, header, labelled=labelled), len(header)
        lines = lines[1:]
    elif not labelled and all(len(line.fields) == 1 for line in lines):
        layout, width = Layout(False, (0,), None), 1
    else:
        layout, width = _two_columns(task, lines, accepted), 2
    cut = [together(line, width, layout.texts[0]) for line in lines]
    tabs = [line.number for line, old in zip(cut, lines, strict=True) if line is not old]
    if not tabs:
        return Sheet(cut, layout, None)
    remark = f"{len(tabs):,} text{'s' if len(tabs) != 1 else ''} with tabs{where_first(tabs)}"
    return Sheet(cut, layout, None, (remark,))


MARKS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}
"""What files are cut by, the right or the wrong one."""


def of_the_hub(task: Task, header: Sequence[str]) -> bool:
    """Whether a header names the texts as the hub does, and not as the task's own files."""
    names = set(_lower(header))
    hubs = set(_lower(task.hub.texts)) if task.hub else set()
    return hubs != set(_lower(task.text_names)) and hubs <= names


def check_commas(where: str, fields: Sequence[str], header: Sequence[str]) -> None:
    """Raises UserError where a row of a .csv has more than its header has columns."""
    if any(fields[len(header) :]):
        raise UserError(
            f"{where}: {len(fields)} fields, and the first line names {len(header)} columns. A "
            f"text with a comma in it stands between quotes, and a quote in it is doubled."
        )


def check_tabs(where: str, fields: Sequence[str], header: Sequence[str]) -> None:
    """Raises UserError where a row of somebody's .tsv has other fields than its header.

    Such files are not quoted: what another program quoted falls apart at its tabs and line feeds.
    """
    if any(fields[len(header) :]):
        raise UserError(
            f"{where}: {len(fields)} fields, and the first line names {len(header)} columns. A "
            f".tsv is split at every tab: write a space for one within a text, or a .csv, which "
            f"may be quoted."
        )
    opened = fields[-1].startswith('"') and fields[-1].count('"') % 2
    if len(fields) < len(header) and opened:
        raise UserError(
            f"{where}: a quote begins, and the line ends before all of the {len(header)} columns. "
            f"A .tsv is split at every line feed: write a space for one within a text, or a .csv, "
            f"which may be quoted."
        )


def cut_otherwise(path: Path, header: Sequence[str], wanted: Sequence[str]) -> str:
    """What to say of a header in one piece that holds a wanted column if cut by something else."""
    own = {".csv": ",", ".tsv": "\t", ".txt": "\t"}.get(path.suffix.lower())
    for mark, named in MARKS.items():
        pieces = header[0].split(mark) if len(header) == 1 else []
        if own and mark != own and set(map(str.strip, pieces)) & set(wanted):
            ending = {",": ".csv", "\t": ".tsv"}.get(mark)
            remedy = f"Call it {ending}" if ending else f"Write it again with {MARKS[own]}"
            return (
                f" The line seems to be separated by {named}, and a {path.suffix} is by "
                f"{MARKS[own]}. {remedy}."
            )
    return ""


def otherwise(task: Task, path: Path, first: str) -> str:
    """As cut_otherwise, of a first line with the task's columns that may stand in quotes."""
    names = (*task.text_names, task.label_name)
    return cut_otherwise(path, [first.replace('"', "").strip()], names)


def numbering(task: Task, folder: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """How the files of a folder write each label -> class number, and what is to be said of that.

    Where the folder names its classes (`Task.names_file`), the numbers are matched by these names.
    Raises UserError where they are not the task's.
    """
    accepted = written_labels(task)
    path = folder / task.names_file
    if not task.names_file or not path.is_file():
        return accepted, ()
    names = [line.fields[0].strip() for line in split_lines(decode(path))]
    if sorted(names) != sorted(task.labels):
        raise UserError(
            f"{path} names the classes {', '.join(names) or 'of nothing'}, but {task.name} has "
            f"{', '.join(task.labels)}: the folder holds another data set. Give the folder of "
            f"{task.name}, or another config.task."
        )
    found = {str(number): task.labels.index(name) for number, name in enumerate(names)}
    if found == accepted:
        return accepted, ()
    return found, (f"class numbers are those of {path.name}, whose order is its own",)


def _own(task: Task, path: Path, header: Sequence[str], *, labelled: bool) -> Layout:
    """The columns of somebody's own file, by the very names that the config gives."""
    found = [name.strip() for name in header]
    keys = ("text", "text_pair")[: len(task.text_names)]
    wanted = dict(zip(keys, task.text_names, strict=True))
    if labelled or task.label_name in found:
        wanted["label"] = task.label_name
    for key, name in wanted.items():
        if found.count(name) == 1:
            continue
        shown = ", ".join(found[:20]) or "(none)"
        if name in found:
            raise UserError(
                f"{path} has {found.count(name)} columns {name!r}, of which config.data.{key} can "
                f"only mean one: {shown}. Rename the others."
            )
        near = difflib.get_close_matches(name, found, n=1, cutoff=0.5)
        hint = cut_otherwise(path, header, [name]) or (
            f" Did you mean {near[0]!r}?" if near else ""
        )
        raise UserError(
            f"{path} has no column {name!r}, which config.data.{key} names; its first line gives "
            f"{shown}.{hint} "
            f"Name the column, or give the file a first line of columns' names."
        )
    label = found.index(task.label_name) if "label" in wanted else None
    return Layout(True, tuple(found.index(wanted[key]) for key in keys), label)


def _two_columns(task: Task, lines: Sequence[Line], accepted: Mapping[str, int]) -> Layout:
    """Which of two columns has the labels: the one with more of them, else the task's own."""
    rows = [line.fields for line in lines if len(line.fields) > 1]
    first, last = (sum(row[at].strip() in accepted for row in rows) for at in (0, -1))
    if first == last:
        return task.labelled
    return Layout(False, (1,), 0) if first > last else Layout(False, (0,), 1)


def together(line: Line, width: int, at: int) -> Line:
    """The line in `width` fields: what is too many belongs to the text, which is field `at`."""
    more = len(line.fields) - width
    if more <= 0:
        return line
    text = "\t".join(line.fields[at : at + more + 1])
    return Line(line.number, [*line.fields[:at], text, *line.fields[at + more + 1 :]])


def _spellings(task: Task) -> list[tuple[str, ...]]:
    """What the text columns may be called, the likeliest first."""
    general: list[tuple[str, ...]] = [("sentence",), ("text",)]
    if len(task.text_names) == 2:
        general = [("sentence1", "sentence2"), ("text", "text_pair")]
    published = [task.hub.texts] if task.hub else []
    return list(dict.fromkeys([task.text_names, *published, *general]))


def _texts(task: Task, header: Sequence[str]) -> tuple[int, ...] | None:
    """Positions of the texts in a header; None where it does not name them."""
    names = _lower(header)
    for spelling in map(_lower, _spellings(task)):
        if all(name in names for name in spelling):
            return tuple(names.index(name) for name in spelling)
    return None


def _lower(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.strip().lower() for name in names)


def _at(header: Sequence[str], positions: Sequence[int]) -> tuple[str, ...]:
    """What a header says there, in lower case; nothing where it ends before."""
    return _lower([header[at] if -1 <= at < len(header) else "" for at in positions])
