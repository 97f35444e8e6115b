"""Files of word vectors in the usual formats, streamed: a file may be larger than the memory.

text      word v1 ... vD     GloVe; word2vec and fastText with a first line "words D"
binary    word2vec's .bin: the same first line, then word, space, D float32 in little endian
npz       one array [V, D], and the words in an array "words" or, one a line, in the file
          NAME.vocab.txt beside NAME.npz (or NAME.f16.npz)
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from jaxdistill.data.tables import decode
from jaxdistill.errors import UserError

ENDINGS = (".txt", ".vec", ".bin", ".npz")
"""Of files that hold word vectors; the first two are text."""
PACKED = (".gz", ".bz2", ".xz", ".zip")
"""Of files as they are distributed, which must be unpacked."""
_BLOCK = 1 << 22
"""Bytes of a binary file that are read at once."""

Wanted = Callable[[str], bool]


def stream(path: Path, wanted: Wanted = lambda word: True) -> Iterator[tuple[str, np.ndarray]]:
    """(word, vector [D] float32) of the words that are wanted, in the file's order.

    Bytes that are not UTF-8 become U+FFFD. Raises UserError where the file cannot be read, or is
    not of its format.
    """
    if path.suffix not in ENDINGS or not path.is_file():
        raise UserError(
            f"{path} is no file of word vectors: these end in {', '.join(ENDINGS)}, and it "
            + ("ends in another way. " if path.exists() else "does not exist. ")
            + ("Unpack it first." if path.suffix in PACKED else "Rename or convert it.")
        )
    readers = {".bin": _binary, ".npz": _npz}
    yield from (readers[path.suffix] if path.suffix in readers else _text)(path, wanted)


def _text(path: Path, wanted: Wanted) -> Iterator[tuple[str, np.ndarray]]:
    """Lines are split from the right: some words of GloVe 840B have spaces in them."""
    width = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            line = line.rstrip()
            if number == 1 and (header := _header(line)):
                width = header[1]
                continue
            if not line:
                continue
            width = width or len(line.split(b" ")) - 1
            word, *numbers = line.rsplit(b" ", width)
            text = word.decode("utf-8", "replace")
            if len(numbers) == width and not wanted(text):
                continue
            try:
                vector = np.array(numbers, "S").astype(np.float32)
            except ValueError:
                vector = np.zeros(0, np.float32)
            if not width or len(vector) != width or not np.isfinite(vector).all():
                raise UserError(
                    f"{path}, line {number}: not a word and {width} numbers with single spaces "
                    f"between them, but {line[:60].decode('utf-8', 'replace')!r}. Give a text file "
                    f"of GloVe, word2vec or fastText."
                )
            yield text, vector


def _binary(path: Path, wanted: Wanted) -> Iterator[tuple[str, np.ndarray]]:
    with path.open("rb") as file:
        header = _header(file.readline(100).rstrip())
        if header is None:
            raise UserError(
                f"{path} does not begin with a line of two numbers (words and width), as "
                f"word2vec's binary files do. If it is text, its name should end in .txt or .vec."
            )
        count, width = header
        buffer, at, number = b"", 0, 0
        while number < count:
            space = buffer.find(b" ", at)
            end = space + 1 + 4 * width
            if space < 0 or end > len(buffer):
                more = file.read(_BLOCK)
                if not more:
                    raise UserError(
                        f"{path} ends after {number:,} of {count:,} words. Download it again."
                    )
                buffer, at = buffer[at:] + more, 0
                continue
            word = buffer[at:space].lstrip(b"\n").decode("utf-8", "replace")
            at, number, first = end, number + 1, space + 1
            if wanted(word):
                vector = np.frombuffer(buffer, "<f4", width, first).astype(np.float32)
                yield word, _finite(path, word, vector)


def _npz(path: Path, wanted: Wanted) -> Iterator[tuple[str, np.ndarray]]:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no sound npz file ({error}).") from error
    matrices = [array for array in arrays.values() if array.ndim == 2]
    if len(matrices) != 1:
        raise UserError(f"{path} has {len(matrices)} arrays of two axes; word vectors are one.")
    if "words" in arrays:
        words = [str(word) for word in arrays["words"]]
    else:
        stem = path.name.removesuffix(".npz")
        names = [f"{stem}.vocab.txt", f"{stem.rpartition('.')[0]}.vocab.txt"]
        beside = next((path.parent / n for n in names if (path.parent / n).is_file()), None)
        if beside is None:
            raise UserError(
                f"{path} has no array 'words', and no {names[0]} lies beside it with the words."
            )
        words = decode(beside).removesuffix("\n").split("\n")
    if len(words) != len(matrices[0]):
        raise UserError(f"{path} has {len(matrices[0]):,} vectors, and {len(words):,} words.")
    for word, vector in zip(words, matrices[0], strict=True):
        if wanted(word):
            yield word, _finite(path, word, vector.astype(np.float32))


def _finite(path: Path, word: str, vector: np.ndarray) -> np.ndarray:
    if not np.isfinite(vector).all():
        raise UserError(
            f"{path}: the vector of {word!r} has numbers that are not finite. Is the file whole, "
            f"and of this format?"
        )
    return vector


def _header(line: bytes) -> tuple[int, int] | None:
    """(words, width) of word2vec's first line; None for another."""
    fields = line.split()
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        return int(fields[0]), int(fields[1])
    return None
