"""What is made of the train rows, a chunk of them at a time: by any number of processes, on disk.

    folder/000012.jsonl    of chunk 12: SHA-256 of what follows, then a line [row, copy, text, ...]
                           for each text that is not that of its own row or of an earlier copy

A chunk is there whole or not at all, and what is damaged is made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxdistill.data.augment.words import normal
from jaxdistill.data.augment.workers import mapped
from jaxdistill.files import write_atomic
from jaxdistill.notices import Notice

CHUNK = 500
"""Rows made between two writes: what a kill costs."""


class Copy(NamedTuple):
    """One example made of another."""

    row: int
    """The number of the example that it was made of."""
    copy: int
    """Its own number among those made of that one."""
    texts: tuple[str, ...]


Item = tuple[Any, ...]
"""(row, texts, ...): the arguments that one row's copies are made of."""
Prepare = Callable[[Sequence[int], Sequence[tuple[str, ...]]], list[Item]]
"""Rows and their texts -> an Item each. Runs in this process, in which the models are."""


class Report(NamedTuple):
    """How making is watched; all three are called in this process."""

    poll: Callable[[], None]
    """Called before every chunk; it may raise to stop."""
    done: Callable[[int, int], None]
    """(chunks that are there, rows in the last one)."""
    notice: Notice


class Chunks:
    """Chunks of copies in a folder."""

    def __init__(self, folder: Path) -> None:
        """Touches nothing."""
        self.folder = folder
        self.damaged = 0
        """Files that were there and not as they were written."""

    def path(self, number: int) -> Path:
        """Where a chunk lies."""
        return self.folder / f"{number:06d}.jsonl"

    def read(self, number: int) -> list[Copy] | None:
        """A chunk as it was written; None where it is not there, or damaged."""
        try:
            stated, _, body = self.path(number).read_bytes().partition(b"\n")
        except OSError:
            return None
        if hashlib.sha256(body).hexdigest().encode() != stated:
            self.damaged += 1
            return None
        lines = map(json.loads, body.decode("ascii").splitlines())
        return [Copy(row, copy, tuple(texts)) for row, copy, *texts in lines]

    def write(self, number: int, copies: Sequence[Copy]) -> None:
        """Puts a chunk on the disk, for good. Raises OSError."""
        # ASCII, so that whatever a text holds (a lone surrogate) is read as it was written.
        lines = [json.dumps([each.row, each.copy, *each.texts]) for each in copies]
        body = "".join(f"{line}\n" for line in lines).encode("ascii")
        self.folder.mkdir(parents=True, exist_ok=True)
        head = hashlib.sha256(body).hexdigest().encode() + b"\n"
        write_atomic(self.path(number), head + body)


def make(
    rows: Sequence[int],
    texts: Sequence[Sequence[str]],
    work: Callable[..., list[Copy]],
    prepare: Prepare,
    chunks: Chunks,
    report: Report,
    *,
    workers: int,
    size: int = CHUNK,
    first: int = 0,
) -> list[Copy]:
    """The copies of all rows in order; those on disk are taken from there.

    Args:
      rows: [N], the examples' numbers.
      texts: one list of N strings, or two.
      work: an Item's values -> the copies of that row, a pure function. With several workers it is
        sent to other processes.
      workers: processes; with 1 it is this one.
      size: rows of a chunk.
      first: the number of the first chunk, where the rows are a part of more.

    Raises whatever poll raises; then all chunks but those at work are kept.
    """
    spans = [slice(start, start + size) for start in range(0, len(rows), size)]
    found = [chunks.read(first + number) for number in range(len(spans))]
    missing = [number for number, copies in enumerate(found) if copies is None]
    if chunks.damaged:
        report.notice(
            f"{chunks.damaged} of {len(spans)} chunks in {chunks.folder} were damaged and are made "
            f"again"
        )
    can_write = True

    def items(number: int) -> list[Item]:
        report.poll()
        span = spans[number]
        return prepare(rows[span], list(zip(*(column[span] for column in texts), strict=True)))

    results = mapped(Work(work), ((n, items(n)) for n in missing), workers, report.poll)
    for done, (number, copies) in enumerate(results, start=len(spans) - len(missing) + 1):
        found[number] = copies
        if can_write:
            try:
                chunks.write(first + number, copies)
            except OSError as error:
                can_write = False
                report.notice(f"{chunks.folder} cannot be written ({error}); the run goes on.")
        report.done(done, len(rows[spans[number]]))
    return [copy for copies in found if copies is not None for copy in copies]


class Work:
    """Makes a chunk; leaves out what its own row, or an earlier copy of it, says already."""

    def __init__(self, work: Callable[..., list[Copy]]) -> None:
        self.work = work

    def __call__(self, items: Sequence[Item]) -> list[Copy]:
        """The copies of all items, in order."""
        made = []
        for item in items:
            seen = {tuple(map(normal, item[1]))}
            for copy in self.work(*item):
                known = tuple(map(normal, copy.texts))
                if known not in seen:
                    seen.add(known)
                    made.append(copy)
        return made
