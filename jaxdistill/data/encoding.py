"""The text of a file whose encoding nobody wrote down, and what in it no text should hold."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxdistill.errors import UserError
from jaxdistill.notices import Notice

_BEYOND_ASCII = re.compile("[^\x00-\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def decode(path: Path, remark: Notice | None = None) -> str:
    """The file's text, without a byte order mark.

    UTF-8; UTF-16 where a byte order mark says so; gb18030 where the bytes are not UTF-8 and the
    characters that they make are everyday Chinese. Lone surrogates that a program has written as if
    they were characters stay for `clean` to replace; pairs of them are joined.

    Args:
      remark: is told the encoding where it is not UTF-8.

    Raises UserError, naming the line, for a file that cannot be read and for any other bytes.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _utf16(path, data, remark)
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        fault = error
    try:
        text = data.decode("utf-8", "surrogatepass")
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    except UnicodeDecodeError:
        pass
    if (chinese := _gb18030(data)) is not None:
        if remark:
            remark("gb18030, not UTF-8")
        return chinese
    line = data.count(b"\n", 0, fault.start) + 1
    raise UserError(
        f"{path}, line {line}: the byte 0x{data[fault.start]:02x} is not UTF-8, and the file is no "
        "Chinese in gb18030 either. Convert the file, for example with iconv -f cp1252 -t utf-8 "
        "(Western Europe; -f gb18030 for Chinese), or mend the line."
    )


def _utf16(path: Path, data: bytes, remark: Notice | None) -> str:
    try:
        text = data.decode("utf-16", "surrogatepass")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} begins like UTF-16 and is none ({error.reason} at byte {error.start:,}). Save "
            "the file as UTF-8."
        ) from error
    if remark:
        remark("UTF-16, not UTF-8")
    return text


def _gb18030(data: bytes) -> str | None:
    """The text if the bytes are Chinese in gb18030, None if they are not.

    Nearly all bytes are *some* gb18030. Other encodings of Latin letters give characters that GB
    2312 does not have, because it pairs two bytes beyond ASCII; damaged UTF-8 is UTF-8 for the most
    part.
    """
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        return None
    characters = "".join(_BEYOND_ASCII.findall(text))
    everyday = len(characters.encode("gb2312", "ignore")) // 2
    as_utf8 = len(_BEYOND_ASCII.findall(data.decode("utf-8", "ignore")))
    return text if 2 * everyday > len(characters) > 2 * as_utf8 else None


def clean(text: str) -> str:
    """Without surrounding white space; NUL becomes a space and a lone surrogate U+FFFD."""
    return _SURROGATE.sub("\ufffd", text.replace("\0", " ")).strip()


def oddities(columns: Sequence[Sequence[str]], lines: Sequence[int]) -> list[str]:
    """What `clean` will change or leave empty in columns of texts [N], counted, in words.

    Args:
      lines: [N] numbers of their lines.
    """
    tests: dict[str, Callable[[str], object]] = {
        "empty": lambda text: not text or text.isspace(),
        "with NUL, which is read as a space": lambda text: "\0" in text,
        "with lone surrogates, which are read as U+FFFD": _SURROGATE.search,
    }
    found = {
        what: [n for column in columns for n, text in zip(lines, column, strict=True) if is_(text)]
        for what, is_ in tests.items()
    }
    return [
        f"{len(odd):,} text{'s' if len(odd) != 1 else ''} {what}{where_first(odd)}"
        for what, odd in found.items()
        if odd
    ]


def where_first(lines: Sequence[int]) -> str:
    """Where to look: the only line, or the first of several."""
    return f" (line {lines[0]})" if len(lines) == 1 else f" (the first is line {min(lines)})"
