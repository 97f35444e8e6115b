"""Arrays by row on disk: written a chunk at a time, resumed after a kill, verified when read.

    folder/<name>.npy       one float32 array each, rows first, as numpy.load maps it
    folder/progress.json    what is stored, and SHA-256 of every chunk that is written, by array

A chunk counts once progress.json says so, which is written after the chunk has reached the disk:
a kill loses at most the chunk at work. Damage is found by its hash and costs its chunk alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdistill.files import write_json

PROGRESS = "progress.json"


class Checked(NamedTuple):
    """What a look at the disk found, as chunk numbers."""

    sound: frozenset[int]
    damaged: frozenset[int]
    """Written once, and not as they were written: a flipped byte, a file cut off."""


class RowStore:
    """Arrays of the same N rows in a folder. One process writes at a time: the caller locks."""

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, Any],
        shapes: Mapping[str, tuple[int, ...]],
        rows: int,
    ) -> None:
        """Touches nothing.

        Args:
          about: plain data that says what is stored; what a folder holds of anything else is void.
          shapes: of each array, [N, ...].
          rows: of a chunk; the last one has what is left.
        """
        self.folder = folder
        self.shapes = dict(shapes)
        self.total = next(iter(self.shapes.values()))[0]
        self.count = -(-self.total // rows)
        """Chunks."""
        self._rows = rows
        self._head = {
            "about": json.loads(json.dumps(about)),
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "rows": rows,
        }
        self._chunks: dict[str, dict[str, str]] = {}

    @property
    def size(self) -> int:
        """Bytes of all arrays together once they are whole."""
        return sum(4 * math.prod(shape) for shape in self.shapes.values())

    def span(self, number: int) -> slice:
        """The rows of a chunk."""
        return slice(number * self._rows, min((number + 1) * self._rows, self.total))

    def check(self) -> Checked:
        """Reads everything that is there and compares it with its hashes; raises nothing."""
        recorded = self._recorded()
        sound: set[int] = set()
        damaged: set[int] = set()
        for number in range(self.count):
            if str(number) not in recorded:
                continue
            stated = recorded[str(number)]
            found = {name: self._digest(name, number) for name in self.shapes}
            (sound if found == stated else damaged).add(number)
        self._chunks = {str(number): recorded[str(number)] for number in sorted(sound)}
        return Checked(frozenset(sound), frozenset(damaged))

    def write(self, number: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Puts a chunk's rows of every array on the disk, for good. Raises OSError."""
        digests = {}
        for name, shape in self.shapes.items():
            span = self.span(number)
            array = np.ascontiguousarray(arrays[name], dtype="<f4")
            if array.shape != (span.stop - span.start, *shape[1:]):
                raise ValueError(f"{name} of chunk {number} is {array.shape}, of {shape} in all")
            data = array.tobytes()
            # Not through a memory map: on a full disk that is a SIGBUS and not an error.
            descriptor = os.open(self._path(name), os.O_RDWR | os.O_CREAT, 0o644)
            with open(descriptor, "r+b") as file:
                file.write(self._header(name))
                file.seek(self._offset(name, number))
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            digests[name] = hashlib.sha256(data).hexdigest()
        self._chunks[str(number)] = digests
        write_json(self.folder / PROGRESS, {**self._head, "chunks": self._chunks})

    def read(self) -> dict[str, np.ndarray]:
        """The whole arrays, mapped read-only; to be called when every chunk is sound."""
        return {name: np.load(self._path(name), mmap_mode="r") for name in self.shapes}

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def _header(self, name: str) -> bytes:
        buffer = io.BytesIO()
        described = {"descr": "<f4", "fortran_order": False, "shape": self.shapes[name]}
        np.lib.format.write_array_header_1_0(buffer, described)
        return buffer.getvalue()

    def _offset(self, name: str, number: int) -> int:
        row = 4 * math.prod(self.shapes[name][1:])
        return len(self._header(name)) + self.span(number).start * row

    def _digest(self, name: str, number: int) -> str | None:
        """SHA-256 of a chunk as it lies on the disk; None where it does not."""
        span, header = self.span(number), self._header(name)
        size = 4 * math.prod(self.shapes[name][1:]) * (span.stop - span.start)
        try:
            with open(self._path(name), "rb") as file:
                if file.read(len(header)) != header:
                    return None
                file.seek(self._offset(name, number))
                return hashlib.sha256(file.read(size)).hexdigest()
        except OSError:
            return None

    def _recorded(self) -> dict[str, dict[str, str]]:
        """The hashes in progress.json, {} where it is not there, not sound or about others."""
        try:
            record = json.loads((self.folder / PROGRESS).read_bytes().decode("utf-8"))
            chunks = record.pop("chunks")
        except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
            return {}
        return chunks if record == self._head and isinstance(chunks, dict) else {}
