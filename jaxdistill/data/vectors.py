"""The vectors that a BiLSTM's words start from: of a file, or made of a BERT's own word table."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdistill.data.vectorfiles import stream
from jaxdistill.errors import UserError
from jaxdistill.files import replacing
from jaxdistill.notices import Notice

_FORMAT = 1
"""Part of the cache's key; changes with what is stored."""
_POLL = 50_000
"""Words between two polls."""


class Vectors(NamedTuple):
    """Vectors of V words, as far as they were found."""

    matrix: np.ndarray
    """[V, D] float32, zeros where there is none."""
    found: np.ndarray
    """[V] bool."""


def load_vectors(
    path: Path,
    words: Sequence[str],
    width: int,
    *,
    cache: Path | None,
    section: str,
    notice: Notice,
    poll: Callable[[], None],
) -> Vectors:
    """The words' vectors in a file; a word that it does not have is looked up in lower case.

    Says how many were found.

    Args:
      words: V different ones.
      width: D.
      cache: a folder in which the result is kept, or None.
      section: of the config, which names file, width and view, for messages.
      poll: called every few thousand words of the file; it may raise to stop.

    Raises UserError where the file cannot be read, is not of its format or of another width, or has
    none of the words.
    """
    stored = cache / f"vectors-{_key(path, words, width)}.npz" if cache else None
    result = _read(stored, len(words), width) if stored else None
    if result is None:
        result = _look_up(path, words, width, section, poll)
        if stored:
            try:
                _write(stored, result)
            except OSError as error:
                notice(f"The word vectors could not be kept in {stored} ({error}); the run goes on")
    count = int(result.found.sum())
    if not count:
        raise UserError(
            f"{path} has a vector for none of {len(words):,} words, such as "
            f"{', '.join(repr(word) for word in words[:4])}. Is it of another language, or are its "
            f"words cut in another way than {section}.view says?"
        )
    notice(f"word vectors of {path}: {count:,} of {len(words):,} words ({count / len(words):.1%})")
    return result


def read_vectors(path: Path, rows: int) -> tuple[list[str], np.ndarray]:
    """The first words of a file, each once, and their vectors [V, D] float32; rows 0: all.

    Raises UserError as load_vectors does.
    """
    found: dict[str, np.ndarray] = {}
    for word, vector in stream(path):
        found.setdefault(word, vector)
        if len(found) == rows:
            break
    return list(found), np.array(list(found.values()), np.float32)


def derive(
    table: np.ndarray,
    rows: Sequence[Sequence[int]],
    width: int,
    std: float,
    name: str,
    section: str,
) -> np.ndarray:
    """[V, width] float32, a BERT's word vectors reduced by principal components.

    A word's vector is the mean of those of its pieces. What is kept of it are the directions in
    which the words differ most, scaled so that all numbers together have the standard deviation.

    Args:
      table: [pieces, D], D at least the width.
      rows: V lists of pieces, of one at least each.
      name: what the table is of, for messages.
      section: of the config, which says the width, for messages.

    Raises UserError where the table is narrower than the width.
    """
    if table.shape[1] < width:
        raise UserError(
            f"{section}.width is {width}, and word vectors of {name} have {table.shape[1]} "
            f"numbers: they can be made narrower and not wider. Set {section}.width to at most "
            f"that, or take vectors of another source."
        )
    lengths = np.array([len(pieces) for pieces in rows])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    flat = np.concatenate([np.asarray(pieces, np.int64) for pieces in rows])
    means = np.add.reduceat(table[flat].astype(np.float64), starts) / lengths[:, None]  # [V, D]
    means -= means.mean(0)
    _, directions = np.linalg.eigh(means.T @ means)  # rising
    kept = directions[:, ::-1][:, :width]  # [D, width]
    # A direction's sign is the library's whim: the largest number of each is made positive.
    kept = kept * np.sign(kept[np.abs(kept).argmax(0), np.arange(width)])
    reduced = means @ kept
    return (reduced * (std / max(float(reduced.std()), 1e-12))).astype(np.float32)


def check_width(path: Path, found: int, width: int, section: str) -> None:
    """Raises UserError where a file's vectors are of another width than the config's section."""
    if found != width:
        raise UserError(
            f"{path} has vectors of {found} numbers, and {section}.width is {width}. Set "
            f"--{section}.width={found}, or give another file."
        )


def width_of(path: Path) -> int:
    """D of a file's vectors, by its first one. Raises UserError as load_vectors does."""
    for _, vector in stream(path):
        return len(vector)
    raise UserError(f"{path} holds no word vectors. Give another file.")


def _look_up(
    path: Path, words: Sequence[str], width: int, section: str, poll: Callable[[], None]
) -> Vectors:
    exact = {word: at for at, word in enumerate(words)}
    lowered: dict[str, list[int]] = {}
    for at, word in enumerate(words):
        if word != word.lower():
            lowered.setdefault(word.lower(), []).append(at)
    matrix = np.zeros((len(words), width), np.float32)
    how = np.zeros(len(words), np.int8)  # 2: by itself, 1: in lower case
    seen = 0

    def wanted(word: str) -> bool:
        nonlocal seen
        if seen % _POLL == 0:
            poll()
        seen += 1
        return seen == 1 or word in exact or word in lowered  # the first one tells the width

    for word, vector in stream(path, wanted):
        check_width(path, len(vector), width, section)
        if word in exact and how[exact[word]] < 2:
            matrix[exact[word]], how[exact[word]] = vector, 2
        for at in lowered.get(word, ()):
            if not how[at]:
                matrix[at], how[at] = vector, 1
    return Vectors(matrix, how > 0)


def _key(path: Path, words: Sequence[str], width: int) -> str:
    """A hash of the file, by its name, size and time, and of what is wanted of it."""
    try:
        about = path.stat()
    except OSError as error:
        raise UserError(f"Cannot read the word vectors {path}: {error.strerror}.") from error
    where = f"{_FORMAT} {width} {about.st_size} {about.st_mtime_ns} {path.resolve()}"
    return hashlib.sha256("\n".join([where, *words]).encode("utf-8", "replace")).hexdigest()


def _read(path: Path, count: int, width: int) -> Vectors | None:
    """What the cache holds, None if that is nothing or not sound."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            vectors = Vectors(file["matrix"], file["found"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    sound = vectors.matrix.shape == (count, width) and vectors.found.shape == (count,)
    return vectors if sound else None


def _write(path: Path, vectors: Vectors) -> None:
    """Whole or not at all: other runs may read the same folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.savez(file, **vectors._asdict())
