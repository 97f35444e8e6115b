"""Rows to be answered, in blocks, in order: no more than a block of them is ever in memory."""

from __future__ import annotations

import codecs
import os
import re
import select
from collections.abc import Iterable, Iterator

from jaxdistill.data.rows import Row, from_line, place
from jaxdistill.data.task import Task
from jaxdistill.errors import UserError
from jaxdistill.notices import Notice

Texts = tuple[list[str], ...]
"""The rows of a block: one list of N strings or two, as in Examples."""

BLOCK = 4096
"""Rows of a block: enough for every length bucket to fill batches of its own."""
_PAUSE = 0.05
"""Seconds without a new line after which those that a pipe has brought are answered."""
_READ = 1 << 16
_PIPE = "standard input"


def blocked(rows: Iterable[Row], size: int = BLOCK) -> Iterator[Texts]:
    """The rows in blocks of `size`, the last one smaller. What precedes a bad row comes first."""
    block: list[Row] = []
    try:
        for row in rows:
            block.append(row)
            if len(block) == size:
                yield _columns(block)
                block = []
    except UserError:
        if block:
            yield _columns(block)
        raise
    if block:
        yield _columns(block)


def piped(task: Task, descriptor: int, notice: Notice, size: int = BLOCK) -> Iterator[Texts]:
    """The lines of a pipe, as those of a .txt, in blocks of what has arrived, `size` at most.

    So a line that comes alone is answered at once, and a flood of them in whole blocks.

    Args:
      notice: is told where the first line is no text by its looks, and is read as one.
    """
    row = 0
    for lines in _arrived(descriptor, size):
        if row == 0 and (kind := _kind(task, _decode(0, lines[0]))):
            notice(
                f"The first line of {_PIPE} looks like {kind}, and is read as a text, as every "
                f"line of a pipe is. Columns are read from a file: --input=FILE"
            )
        numbered = enumerate(lines, start=row)
        yield from blocked(
            (from_line(task, _PIPE, n, _decode(n, line)) for n, line in numbered), size
        )
        row += len(lines)


def _kind(task: Task, line: str) -> str:
    """What a line is that seems to be of a file with columns; "" for a text."""
    if line.startswith("{") and line.rstrip().endswith("}"):
        return "JSON"
    fields = {field.strip().strip('"') for field in re.split("[,;\t]", line)}
    return "a header" if len(fields) > 1 and fields & set(task.text_names) else ""


def _columns(rows: list[Row]) -> Texts:
    return tuple(map(list, zip(*rows, strict=True)))


def _decode(row: int, line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{place(_PIPE, row, row + 1)}: the byte 0x{line[error.start]:02x} is not UTF-8. "
            f"Convert the texts first, for example with iconv -f cp1252 -t utf-8 (Western Europe; "
            f"-f gb18030 for Chinese)."
        ) from error


def _arrived(descriptor: int, size: int) -> Iterator[list[bytes]]:
    """Whole lines in the order of their arrival; waits for the first one of each list."""
    lines: list[bytes] = []
    parts: list[bytes] = []  # of a line that has not ended
    first = True
    while data := os.read(descriptor, _READ):
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = b"".join([*parts, whole[0]])
            parts = []
        parts.append(rest)
        if first and whole:
            whole[0], first = whole[0].removeprefix(codecs.BOM_UTF8), False
        lines += whole
        while len(lines) >= size:
            yield lines[:size]
            lines = lines[size:]
        if lines and not select.select([descriptor], [], [], _PAUSE)[0]:
            yield lines
            lines = []
    if rest := b"".join(parts):
        lines.append(rest.removeprefix(codecs.BOM_UTF8) if first else rest)
    if lines:
        yield lines
