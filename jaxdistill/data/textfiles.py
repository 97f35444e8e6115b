"""Plain text larger than memory: files of one text a line, read in blocks from anywhere in them.

`datasets` streams such files too, but goes on in the middle of one by reading all before it
(measured, 5.2.0: 130 MB/s; where lanes share a file, each would read the whole of it). Here one
scan finds where blocks begin, and any of them is a seek away.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxdistill.data.corpus import text_files
from jaxdistill.errors import UserError
from jaxdistill.files import write_atomic
from jaxdistill.notices import Notice

BLOCK = 1024
"""Lines of a block."""
KEPT = 1 << 26
"""Bytes from which on where blocks begin is kept: a scan reads about 400 MB/s."""
_CHUNK = 1 << 24
_FORMAT = 1
"""Part of the cache's key; changes with what is stored."""


class TextFiles:
    """Blocks of BLOCK lines, numbered through all files; the last of each file may have fewer."""

    def __init__(self, name: str, files: list[Path], starts: list[np.ndarray]) -> None:
        """starts: what scan finds in each file."""
        self.name = name
        self._files = files
        self._starts = starts
        self._first = np.cumsum([0, *(len(found) - 1 for found in starts)])  # [files + 1]
        self.digest = hashlib.sha256(b"".join(found.tobytes() for found in starts)).hexdigest()
        """Of the files' sizes and lengths of lines, in their order."""

    def __len__(self) -> int:
        return int(self._first[-1])

    def read(self, block: int, skip: int) -> Iterator[str]:
        """The lines of a block from number `skip` on. One block is in memory at a time.

        Raises UserError where the file is no longer what it was.
        """
        number = int(np.searchsorted(self._first, block, side="right")) - 1
        at = block - int(self._first[number])
        start, end = (int(x) for x in self._starts[number][at : at + 2])
        path = self._files[number]
        try:
            with path.open("rb") as file:
                file.seek(start)
                data = file.read(end - start)
            text = data.removeprefix(codecs.BOM_UTF8 if at == 0 else b"").decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{path} could be read when this began, and no longer can ({error}). Put the file "
                f"back as it was; the same command goes on from the last checkpoint."
            ) from error
        return iter(text.removesuffix("\n").split("\n")[skip:])


def open_files(name: str, cache: Path, notice: Notice) -> TextFiles:
    """The corpus config.data.corpus=name, a .txt file or a folder of such.

    Args:
      cache: a folder for where blocks of big files begin.

    Raises UserError for a path without .txt, files without text, and bytes that are not UTF-8.
    """
    files = text_files(Path(os.path.expanduser(name)), name)
    starts = [_indexed(path, cache, notice) for path in files]
    if not sum(len(found) - 1 for found in starts):
        raise UserError(
            f"config.data.corpus={name} has no text in {len(files)} file(s). Give files with one "
            f"text a line."
        )
    return TextFiles(name, files, starts)


def _indexed(path: Path, cache: Path, notice: Notice) -> np.ndarray:
    """What scan finds, kept for big files under their name, size and time."""
    about = path.stat()
    if about.st_size < KEPT:
        return scan(path)
    said = f"{_FORMAT} {BLOCK} {path.absolute()} {about.st_size} {about.st_mtime_ns}"
    kept = cache / f"blocks-{hashlib.sha256(said.encode()).hexdigest()}.npy"
    try:
        found: np.ndarray = np.load(kept, allow_pickle=False)
        if found.ndim == 1 and found[-1] == about.st_size:
            return found
    except (OSError, ValueError, EOFError):
        pass  # not there, or not whole
    notice(f"{path}: looking for its blocks of {BLOCK:,} lines, {about.st_size / 1e9:.1f} GB")
    found = scan(path)
    buffer = io.BytesIO()
    np.save(buffer, found)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(kept, buffer.getvalue())
    except OSError as error:
        notice(f"where the blocks of {path} begin could not be kept in {kept} ({error})")
    return found


def scan(path: Path) -> np.ndarray:
    """[blocks + 1] int64, where in bytes a file's blocks begin, and its end.

    Reads the whole file once, so that bytes that are no UTF-8 are found before training begins.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    starts, size, lines = [0], 0, 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                begun, _ = decoder.getstate()  # a character that the last chunk cut
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError as error:
                    raise _not_utf8(path, lines, begun + chunk, error.start) from error
                ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == 10)  # line feeds
                starts += (size + 1 + ends[BLOCK - 1 - lines % BLOCK :: BLOCK]).tolist()
                lines += len(ends)
                size += len(chunk)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    if rest := decoder.getstate()[0]:
        raise _not_utf8(path, lines, rest, 0)
    return np.array([*starts, size] if starts[-1] < size else starts, np.int64)


def _not_utf8(path: Path, lines: int, chunk: bytes, at: int) -> UserError:
    line = lines + chunk.count(b"\n", 0, at) + 1
    return UserError(
        f"{path}, line {line}: the byte 0x{chunk[at]:02x} is not UTF-8. Convert the file, "
        f"for example with iconv -f latin1 -t utf-8 (-f gb18030), or mend the line."
    )
