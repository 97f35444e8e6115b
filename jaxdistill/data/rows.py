"""Texts to be answered, from a file of any length: one row after the other, none skipped.

A row is a line of a .txt, an empty one too; a line of a .tsv, a record of a .csv and a line of a
.jsonl that is not blank, where a blank one is an empty text if there is but one column; a row of a
.parquet. Each becomes one or two texts, or a UserError that names it, so that
what comes out can be laid beside what went in.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jaxdistill.data.columns import check_commas, check_tabs, otherwise, together
from jaxdistill.data.encoding import decode
from jaxdistill.data.formats import check_strings, unsound
from jaxdistill.data.tables import Line, clean
from jaxdistill.data.task import Task
from jaxdistill.data.textcolumns import as_example, find_texts, has_columns
from jaxdistill.errors import UserError
from jaxdistill.notices import Notice

Row = tuple[str, ...]
"""One text, or two."""
_Reader = Callable[[Task, Path, Sequence[str], Notice], Iterator[Row]]

_PARQUET_ROWS = 1024
_PIECE = 1 << 20


def check_input(path: Path) -> None:
    """Raises UserError unless the path is a file and its name's ending says what it holds."""
    if path.suffix.lower() not in _READERS:
        raise UserError(
            f"Cannot tell what {path} holds: its name ends in {path.suffix or 'nothing'!r}. Files "
            f"of texts end in {', '.join(_READERS)}; to jaxdistill.predict - is a pipe with a text "
            f"a line."
        )
    if not path.is_file():
        raise UserError(f"There is no file {path} (looked for {path.absolute()}).")


def read_rows(task: Task, path: Path, columns: Sequence[str], notice: Notice) -> Iterator[Row]:
    """The rows of a file, from the first to the last, cleaned as a split's texts are.

    .txt has a text a line, unless its first line is that of a labelled file with a tab between text
    and label; for a task over pairs two texts, with a tab between them. The other formats
    are those of labelled files, and .parquet, and need no labels: texts are found by name
    (`columns` if there are any, else those that read_file knows); a .tsv whose first line is an
    example of the task's own files is read by position. What is not UTF-8 is read whole, since only
    all of it tells what it is. Blank lines that are no rows, and rows of a
    task's .tsv with more fields than its first line, are a notice at the end; of files of one's own
    such rows are an error.
    Raises UserError for what check_input refuses, columns that are not there, and at a row that
    cannot be read.
    """
    check_input(path)
    try:
        yield from _READERS[path.suffix.lower()](task, path, columns, notice)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error


def from_line(task: Task, where: object, row: int, text: str) -> Row:
    """The texts of row number `row` of a .txt or a pipe, which is line row + 1 of it."""
    if len(task.text_names) == 1:
        return (clean(text),)
    parts = text.split("\t")
    if len(parts) != 2:
        raise UserError(
            f"{place(where, row, row + 1)}: {len(parts) - 1} tabs, but {task.name} judges pairs of "
            f"texts ({' and '.join(task.text_names)}). Write both in one line with one tab between "
            f"them, or give a .csv, .tsv or .jsonl with a column for each."
        )
    return clean(parts[0]), clean(parts[1])


def place(where: object, row: int, line: int | None) -> str:
    """Where a row stands, as the output counts from 0 and as an editor does from 1."""
    return f"{where}, row {row}" + ("" if line is None else f" (line {line})")


def _read_txt(task: Task, path: Path, columns: Sequence[str], notice: Notice) -> Iterator[Row]:
    first = _fields(next(_lines(path, lambda text: None), (1, ""))[1])
    if columns and len(first) > 1 and set(columns) <= set(map(str.strip, first)):
        yield from _read_tsv(task, path, columns, notice)
        return
    if columns:
        raise UserError(
            f"{path} is plain text, a text a line: its first line does not name "
            f"{' and '.join(columns)} between tabs. Leave --text out, or give it such a line."
        )
    if has_columns(task, path, first):
        notice(f"{path}: the first line is that of a labelled file of {task.name}; read by column.")
        yield from _read_tsv(task, path, columns, notice)
        return
    for number, line in _lines(path, notice):
        yield from_line(task, path, number - 1, line)


def _read_tsv(task: Task, path: Path, columns: Sequence[str], notice: Notice) -> Iterator[Row]:
    lines = _lines(path, notice)
    header = _fields(next((line for _, line in lines if line.strip("\r")), ""))
    found = None if columns else as_example(task, header)
    at = found or find_texts(task, path, header, columns)
    # Of copies that are told apart by their content a tab belongs to the text, as for read_file.
    width = 0 if not task.detected else 2 if found else len(header)
    if found:
        fields = together(Line(1, header), width or len(header), at[0]).fields
        yield tuple(clean(fields[i]) for i in at)
    wide, blank, row = 0, 0, int(bool(found))
    for number, line in lines:
        fields = _fields(line)
        if fields == [""] and len(header) > 1:  # else it is an empty text
            blank += 1
            continue
        if width:
            fields = together(Line(number, fields), width, at[0]).fields
        if task.own:
            check_tabs(place(path, row, number), fields, header)
        wide += any(fields[len(header) :])
        yield _pick(task, path, row, number, fields, at)
        row += 1
    _say_wide(path, wide, notice)
    _say_blank(path, blank, notice)


def _read_csv(task: Task, path: Path, columns: Sequence[str], notice: Notice) -> Iterator[Row]:
    reader = csv.reader((line + "\n" for _, line in _lines(path, notice)), strict=True)
    row, blank = -1, 0
    limit = csv.field_size_limit(path.stat().st_size + 1)  # else a text ends it at 131,072
    try:
        header = next(filter(None, reader), [])
        at = find_texts(task, path, header, columns)
        for fields in reader:
            if not fields and len(header) > 1:  # else it is an empty text
                blank += 1
                continue
            row += 1
            check_commas(place(path, row, reader.line_num), fields, header)
            yield _pick(task, path, row, reader.line_num, fields or [""], at)
    except csv.Error as error:
        raise UserError(
            f"{place(path, row + 1, reader.line_num)}: not sound CSV ({error}). A text with a "
            f"quote, a comma or a line feed in it stands between quotes, a quote in it twice."
            f"{otherwise(task, path, next(_lines(path, lambda text: None), (1, ''))[1])}"
        ) from error
    finally:
        csv.field_size_limit(limit)
    _say_blank(path, blank, notice)


def _read_jsonl(task: Task, path: Path, columns: Sequence[str], notice: Notice) -> Iterator[Row]:
    lines = ((number, line) for number, line in _lines(path, notice) if line.strip())
    names: list[str] = []
    for row, (number, line) in enumerate(lines):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{place(path, row, number)}: not sound JSON ({error}). Give one object a line."
            ) from error
        if not isinstance(entry, dict):
            raise UserError(
                f"{place(path, row, number)}: not a JSON object but {line[:40]!r}. Give one a line."
            )
        if not names:
            keys = list(entry)
            names = [keys[i] for i in find_texts(task, path, keys, columns)]
        yield _strings(path, row, number, names, [entry.get(name) for name in names])


def _read_parquet(task: Task, path: Path, columns: Sequence[str], notice: Notice) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    row = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            header = file.schema_arrow.names
            names = [header[i] for i in find_texts(task, path, header, columns)]
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=names):
                found = [batch.column(name).to_pylist() for name in names]
                for texts in zip(*found, strict=True):
                    yield _strings(path, row, None, names, texts)
                    row += 1
    except (pyarrow.ArrowException, UnicodeDecodeError, KeyError) as error:
        raise unsound(path, error) from error


_READERS: dict[str, _Reader] = {
    ".txt": _read_txt,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}


def _lines(path: Path, notice: Notice) -> Iterator[tuple[int, str]]:
    """Lines from 1 without their feed, which alone cuts."""
    if not _is_utf8(path):
        lines = decode(path, lambda remark: notice(f"{path}: {remark}.")).split("\n")
        yield from enumerate(lines if lines[-1] else lines[:-1], start=1)
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            text = line.removesuffix(b"\n")
            yield number, (text.removeprefix(codecs.BOM_UTF8) if number == 1 else text).decode()


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while data := file.read(_PIECE):
                decoder.decode(data)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _fields(line: str) -> list[str]:
    return line.removesuffix("\r").split("\t")


def _pick(
    task: Task, path: Path, row: int, number: int, fields: list[str], at: Sequence[int]
) -> Row:
    if len(fields) <= max(at):
        raise UserError(
            f"{place(path, row, number)}: {len(fields)} field{'s' if len(fields) > 1 else ''}, but "
            f"the texts of {task.name} need {max(at) + 1}. Complete the row; a line feed that "
            f"belongs to a text must become a space."
        )
    return tuple(clean(fields[i]) for i in at)


def _strings(
    path: Path, row: int, number: int | None, names: Sequence[str], values: Sequence[object]
) -> Row:
    check_strings(place(path, row, number), names, values)
    return tuple(clean(str(value)) for value in values)


def _say_wide(path: Path, wide: int, notice: Notice) -> None:
    if wide:
        notice(
            f"{path}: {wide:,} rows have more fields than the first line and are read by position: "
            f"is a tab part of a text?"
        )


def _say_blank(path: Path, blank: int, notice: Notice) -> None:
    if blank:
        notice(f"{path}: {blank:,} blank lines are no rows")
