"""Labelled files by their ending: .tsv and .txt, .csv, .jsonl, .parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdistill.data.columns import (
    Sheet,
    by_content,
    by_name,
    check_commas,
    check_tabs,
    otherwise,
)
from jaxdistill.data.labels import NULL, as_text
from jaxdistill.data.tables import (
    Line,
    clean,
    decode,
    read_labels,
    split_lines,
    where_first,
    written_labels,
)
from jaxdistill.data.task import Layout, Task
from jaxdistill.errors import UserError
from jaxdistill.notices import Notice

Format = Callable[[Task, Path, Mapping[str, int], Notice], Sheet]
"""(task, file, labels that are accepted, what is told of its encoding) -> what the file holds."""


def read_tsv(task: Task, path: Path, accepted: Mapping[str, int], remark: Notice) -> Sheet:
    """A file split on tabs and line feeds, with a header or as the task's own files are."""
    lines = split_lines(decode(path, remark))
    if not lines:
        raise UserError(f"{path} has no rows.")
    if task.detected:
        return by_content(task, path, lines, accepted, labelled=True)
    first, layout = lines[0], task.labelled
    width = max(*layout.texts, layout.label or 0) + 1
    if layout.label is not None and len(first.fields) >= width:
        # A first line with a sound label where the task's train file has it is data, no header.
        try:
            read_labels(task, [first.fields[layout.label]], [first], path, written_labels(task))
            return Sheet(lines, layout._replace(header=False), first.fields)
        except UserError:
            pass
    named = by_name(task, path, first.fields)
    if task.own:
        for line in lines[1:]:
            check_tabs(f"{path}, line {line.number}", line.fields, first.fields)
        if quoted := [line.number for line in lines if any(map(_quoted, line.fields))]:
            remark(
                f"{len(quoted):,} rows quoted as in a .csv{where_first(quoted)} read as they are"
            )
    return Sheet(lines[1:], named, first.fields)


def read_csv(task: Task, path: Path, accepted: Mapping[str, int], remark: Notice) -> Sheet:
    """A file of comma-separated values with a header, quoted as RFC 4180 has it."""
    text = decode(path, remark)
    pieces = text.removesuffix("\n").split("\n")  # cut at line feeds alone, as predict does
    reader = csv.reader((f"{piece}\n" for piece in pieces), strict=True)
    limit = csv.field_size_limit(max(len(text), 1))  # else a text ends the reading at 131,072
    try:
        lines = [Line(reader.line_num, fields) for fields in reader if fields]
    except csv.Error as error:
        raise UserError(
            f"{path}, line {reader.line_num}: not sound CSV ({error}). Quote texts that hold "
            f"quotes or line feeds, and double the quotes within.{otherwise(task, path, pieces[0])}"
        ) from error
    finally:
        csv.field_size_limit(limit)
    if not lines:
        raise UserError(f"{path} has no rows.")
    header = lines[0].fields
    layout = by_name(task, path, header)
    for line in lines[1:]:
        check_commas(f"{path}, line {line.number}", line.fields, header)
    return Sheet(lines[1:], layout, header)


def read_jsonl(task: Task, path: Path, accepted: Mapping[str, int], remark: Notice) -> Sheet:
    """A file of JSON objects, one a line, with the same keys."""
    lines: list[Line] = []
    layout, header, names = Layout(True, (), None), [""], [""]
    for number, text in enumerate(decode(path, remark).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{path}, line {number}: not sound JSON ({error}). Give one object a line."
            ) from error
        if not isinstance(entry, dict):
            raise UserError(
                f"{path}, line {number}: not a JSON object but {text.strip()[:40]!r}. Give one a "
                "line, such as {...}, without brackets or commas around them."
            )
        if not lines:
            header = list(entry)
            layout = by_name(task, path, header)
            assert layout.label is not None
            names = [header[at] for at in (*layout.texts, layout.label)]
        missing = [name for name in names if name not in entry]
        if missing:
            raise UserError(
                f"{path}, line {number}: {', '.join(missing)} missing; there are "
                f"{', '.join(entry) or 'no keys'}."
            )
        texts = [entry[name] for name in names[:-1]]
        check_strings(f"{path}, line {number}", names, texts)
        lines.append(Line(number, [*texts, _label(task, entry[names[-1]])]))
    if not lines:
        raise UserError(f"{path} has no rows.")
    return Sheet(lines, Layout(True, tuple(range(len(names) - 1)), len(names) - 1), names)


def read_parquet(task: Task, path: Path, accepted: Mapping[str, int], remark: Notice) -> Sheet:
    """The columns of a Parquet file; its rows count from 1, as lines do."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            layout = by_name(task, path, file.schema_arrow.names)
            assert layout.label is not None
            names = [file.schema_arrow.names[at] for at in (*layout.texts, layout.label)]
            table = file.read(columns=names)
            columns = [table.column(name).to_pylist() for name in names]
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (pyarrow.ArrowException, UnicodeDecodeError, KeyError) as error:
        raise unsound(path, error) from error
    lines: list[Line] = []
    for number, (*texts, label) in enumerate(zip(*columns, strict=True), start=1):
        check_strings(f"{path}, line {number}", names, texts)
        lines.append(Line(number, [*texts, _label(task, label)]))
    if not lines:
        raise UserError(f"{path} has no rows.")
    return Sheet(lines, Layout(True, tuple(range(len(names) - 1)), len(names) - 1), names)


FORMATS: Mapping[str, Format] = {
    ".tsv": read_tsv,
    ".txt": read_tsv,
    ".csv": read_csv,
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
}
"""By the ending of the file's name, in lower case."""


def check_strings(where: str, names: Sequence[str], values: Sequence[object]) -> None:
    """Raises UserError for a text of JSON or Parquet that is none."""
    for name, value in zip(names, values, strict=False):
        if not isinstance(value, str):
            found = "missing" if value is None else repr(value)[:40]
            raise UserError(
                f"{where}: {name} is {found}, but must be a string, an empty one where there is no "
                f"text."
            )


def _quoted(field: str) -> bool:
    """Whether a field looks as a .csv writes one with quotes in it."""
    return len(field) > 3 and field[0] == field[-1] == '"' and '""' in field[1:-1]


def unsound(path: Path, error: Exception) -> UserError:
    """What is said of a file that pyarrow cannot read."""
    reason = (str(error).splitlines() or ["it is damaged"])[0]
    return UserError(f"{path} is not sound Parquet ({reason}). Write the file again.")


def _label(task: Task, value: Any) -> str:
    """The label as a file of lines would have it; in one's own files null is none."""
    missing = value is None or value != value  # json.dump writes a missing number as NaN
    return NULL if missing and task.own else clean(as_text(value))
