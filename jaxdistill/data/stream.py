"""Batches out of a corpus that is larger than memory, built ahead of the step in a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from jaxdistill.data.hubtexts import open_hub
from jaxdistill.data.lanes import START, Corpus, Lane, Place, held_out
from jaxdistill.data.textfiles import open_files
from jaxdistill.errors import UserError
from jaxdistill.notices import Notice
from jaxdistill.types import Batch

AHEAD = 16
"""Batches that are built before they are asked for: two dispatches of chunks.CHUNK steps."""
MARKS = 64
"""Batches whose beginnings are remembered."""

Gather = Callable[[np.ndarray], np.ndarray]
"""[L, 4] of this process -> the same in every process, the largest of what each has."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What fixes a stream's order, besides corpus and tokenizer."""

    length: int
    """T, tokens of every sequence."""
    size: int
    """B, sequences of a batch, over all processes."""
    lanes: int
    """L, must divide size: positions b of a batch belong to lane b L // B."""
    epoch: int
    """Batches that are called an epoch."""
    held_out: float
    """The share of the texts that no batch has."""
    seed: int


def open_corpus(name: str, cache: Path, notice: Notice) -> Corpus:
    """A .txt file or a folder of such where there is one of that name, else a hub's data set."""
    local = name.startswith((".", "/", "~")) or name.endswith(".txt")
    if local or Path(name).exists():
        return open_files(name, cache, notice)
    return open_hub(name)


@dataclass(frozen=True)
class Part:
    """An epoch of a stream: layout.epoch of its batches; the next one goes on after them."""

    stream: Stream
    first: int

    def __len__(self) -> int:
        return self.stream.layout.epoch

    def __getitem__(self, index: int) -> Batch:
        return self.stream[self.first + index]

    def width(self, index: int) -> int:
        """T, of every batch."""
        return self.stream.layout.length


class Stream:
    """Batches by number from 0, without end; one after another is fast, any other one is not.

    Batch k has from each lane its next B / L sequences, in the lanes' order. It is the same
    whichever processes share the lanes: one that feeds the positions `mine` reads theirs alone.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: Tokenizer,
        layout: Layout,
        mine: np.ndarray,
        gather: Gather = lambda places: places,
    ) -> None:
        """A stream at its beginning.

        Args:
          mine: [b] int, rising, the positions of a batch that this process feeds.
          gather: what brings together where the lanes of all processes stand.

        Raises UserError where the corpus has fewer blocks than there are lanes.
        """
        if len(corpus) < layout.lanes:
            raise UserError(
                f"config.data.corpus={corpus.name} has {len(corpus)} block(s) of consecutive "
                f"texts, and config.data.lanes={layout.lanes} read different ones. Set "
                f"config.data.lanes={len(corpus)} or less, a divisor of the batch size "
                f"{layout.size}."
            )
        self.layout = layout
        self._corpus, self._tokenizer = corpus, tokenizer
        self._mine, self._gather = mine, gather
        self._numbers: list[int] = np.unique(mine * layout.lanes // layout.size).tolist()
        self._worker = ThreadPoolExecutor(1, "stream")
        self._waiting: deque[Future[tuple[Batch, Places]]] = deque()
        self._lanes: dict[int, Lane] = {}
        self._marks: dict[int, Places] = {0: dict.fromkeys(self._numbers, START)}
        self._next = 0
        self._building = 0

    def epoch(self, size: int, epoch: int) -> Part:
        """Epoch number `epoch`, of batches of layout.size."""
        assert size == self.layout.size, "a stream is laid out for one batch size"
        return Part(self, epoch * self.layout.epoch)

    def __getitem__(self, index: int) -> Batch:
        """Batch number `index`: leaves [b, ...], of the positions of this process."""
        if index != self._next or not self._waiting:
            self._go_to(index)
        try:
            batch, after = self._waiting.popleft().result()
        except Exception:
            self._drop()  # what was built after it has a hole
            raise
        self._next += 1
        self._marks[self._next] = after
        for old in sorted(self._marks)[1:-MARKS]:  # the beginning stays
            del self._marks[old]
        self._fill()
        return batch

    def position(self, index: int) -> list[list[int]]:
        """Where batch number `index`, the next one or one just given, begins: Place by lane.

        Every process asks at the same time.
        """
        found = np.full((self.layout.lanes, len(START)), -1, np.int64)
        for number, place in self._marks[index].items():
            found[number] = place
        whole: list[list[int]] = self._gather(found).tolist()
        return whole

    def seek(self, index: int, position: Sequence[Sequence[int]]) -> None:
        """Batch number `index` begins at what position(index) said, maybe in another process."""
        self._marks[index] = {number: Place(*position[number]) for number in self._numbers}
        self._drop()

    def close(self) -> None:
        """Ends the thread; nothing can be read any more."""
        self._worker.shutdown(cancel_futures=True)

    def _go_to(self, index: int) -> None:
        """Begins anew, at the last mark before the batch."""
        self._drop()
        at = max(mark for mark in self._marks if mark <= index)
        places = self._marks[at]
        self._lanes = {number: self._open(number, places[number]) for number in self._numbers}
        self._building = at
        for _ in range(at, index):
            self._submit().result()
        self._next = index
        self._fill()

    def _drop(self) -> None:
        """Throws away what was built ahead."""
        for future in self._waiting:
            future.cancel()
        self._waiting.clear()

    def _fill(self) -> None:
        while len(self._waiting) < AHEAD:
            self._waiting.append(self._submit())

    def _submit(self) -> Future[tuple[Batch, Places]]:
        self._building += 1
        return self._worker.submit(self._build, self._lanes, self._building - 1)

    def _open(self, number: int, place: Place) -> Lane:
        about = self.layout
        return Lane(
            self._corpus,
            self._tokenizer,
            about.length,
            number=number,
            lanes=about.lanes,
            seed=about.seed,
            keep=lambda text: not held_out(text, about.held_out),
            place=place,
        )

    def _build(self, lanes: dict[int, Lane], index: int) -> tuple[Batch, Places]:
        """The next batch of the lanes, and where they stand after it; in the thread."""
        about, b = self.layout, len(self._mine)
        share = about.size // about.lanes
        taken = {n: np.stack([lane.take() for _ in range(share)]) for n, lane in lanes.items()}
        numbers, within = self._mine // share, self._mine % share  # [b] each
        ids = np.stack([taken[n][i] for n, i in zip(numbers, within, strict=True)])  # [b, T]
        batch = Batch(
            row=((index * about.size + self._mine) % 2**31).astype(np.int32),
            input_ids=ids,
            segments=np.zeros_like(ids),
            mask=np.ones(ids.shape, bool),
            labels=np.full(b, -1, np.int32),
            weight=np.ones(b, np.float32),
        )
        return batch, {number: lane.place for number, lane in lanes.items()}


Places = dict[int, Place]
"""Of the lanes that a process reads, by number."""
