"""Batches as a pure function of (seed, epoch): where a run stands is (epoch, index) and no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxdistill.data.order import BATCHES, ROWS, permutation
from jaxdistill.data.tables import Examples
from jaxdistill.data.tokens import Tokens
from jaxdistill.data.views import Words
from jaxdistill.errors import UserError
from jaxdistill.types import Batch, Taught

GROUP = 8
"""Batches of one width that follow each other in training, so that one dispatch can take them."""


class Table(NamedTuple):
    """One split, ready to be cut into batches."""

    row: np.ndarray
    """[N] int32, stable numbers of the examples."""
    ids: np.ndarray
    """[sum of lengths] int32."""
    offsets: np.ndarray
    """[N+1] int64; example i is ids[offsets[i]:offsets[i+1]]."""
    second: np.ndarray
    """[N] int32, where in the example segment 1 starts."""
    labels: np.ndarray
    """[N] int32 class numbers or float32 targets; [N, C] of 0 and 1, any number of labels."""
    teacher: Taught | None = None
    """What a cache holds of the teacher, leaves [N, ...], mapped from disk or in memory."""
    words: Words | None = None
    """What a BiLSTM reads of the examples."""


def make_table(examples: Examples, tokens: Tokens | None, words: Words | None = None) -> Table:
    """Examples with their tokens, their words or both, in the order of the examples."""
    count = len(examples.row)
    if tokens is None:  # nobody reads any: each example has none
        none = np.zeros(1, np.int32)  # of which a padded slot copies the first
        tokens = Tokens(none, np.zeros(count + 1, np.int64), np.zeros(count, np.int32))
    if count != len(tokens.second):
        raise ValueError(f"{count} examples, but tokens of {len(tokens.second)}")
    if words is not None and count * words.texts != len(words.offsets) - 1:
        raise ValueError(f"{count} examples, but words of {len(words.offsets) - 1} texts")
    table = Table(examples.row, tokens.ids, tokens.offsets, tokens.second, examples.labels)
    return table._replace(words=words)


def rows_of(table: Table, span: slice) -> Table:
    """Consecutive rows of a table, as a table; without what a cache holds of the teacher."""
    offsets = table.offsets[span.start : span.stop + 1]
    words = table.words
    if words is not None:
        ends = words.offsets[span.start * words.texts : span.stop * words.texts + 1]
        words = Words(words.ids[ends[0] : ends[-1]], ends - ends[0], words.texts)
    return Table(
        row=table.row[span],
        ids=table.ids[offsets[0] : max(offsets[-1], offsets[0] + 1)],  # a padded slot copies one
        offsets=offsets - offsets[0],
        second=table.second[span],
        labels=table.labels[span],
        words=words,
    )


class Epoch:
    """The batches of one epoch, built when asked for: len(epoch), epoch[k], iteration."""

    def __init__(
        self,
        table: Table,
        size: int,
        order: np.ndarray,
        cuts: np.ndarray,
        widths: np.ndarray,
        beside: dict[int, int],
        mine: np.ndarray | None,
    ):
        self._table = table
        self._size = size
        self._order = order
        self._cuts = cuts
        self._widths = widths
        self._beside = beside
        self._mine = mine

    def __len__(self) -> int:
        return len(self._cuts)

    def __iter__(self) -> Iterator[Batch]:
        return (self[index] for index in range(len(self)))

    def width(self, index: int) -> int:
        """T of batch number `index`; where there are words, W."""
        return int(self._widths[index])

    def __getitem__(self, index: int) -> Batch:
        """Batch number `index` from 0, of this process its rows; a padded slot has id 0, segment 0
        and mask False.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        start = self._cuts[index]
        chosen = self._order[start : start + self._size]  # [B], fewer in a ragged batch
        weight = np.zeros(self._size, dtype=np.float32)
        weight[: len(chosen)] = 1
        if len(chosen) < self._size:
            chosen = np.pad(chosen, (0, self._size - len(chosen)), mode="edge")
        if self._mine is not None:
            chosen, weight = chosen[self._mine], weight[self._mine]
        first = self._table.offsets[chosen][:, None]  # [B, 1]
        length = self._table.offsets[chosen + 1][:, None] - first  # [B, 1]
        width = self.width(index)
        at = np.arange(self._beside[width])  # [T]
        mask = at < length  # [B, T]
        return Batch(
            row=self._table.row[chosen],
            input_ids=np.where(mask, self._table.ids[np.where(mask, first + at, 0)], np.int32(0)),
            segments=(mask & (at >= self._table.second[chosen][:, None])).astype(np.int32),
            mask=mask,
            labels=self._table.labels[chosen],
            weight=weight,
            words=self._words(chosen, width),
            teacher=self._taught(chosen),
        )

    def _words(self, chosen: np.ndarray, width: int) -> np.ndarray | None:
        """[B, S, W], W being the width; a padded slot is 0."""
        words = self._table.words
        if words is None:
            return None
        text = chosen[:, None] * words.texts + np.arange(words.texts)  # [B, S]
        first = words.offsets[text][..., None]  # [B, S, 1]
        length = words.offsets[text + 1][..., None] - first
        at = np.arange(width)  # [W]
        there = at < length
        found: np.ndarray = np.where(there, words.ids[np.where(there, first + at, 0)], np.int32(0))
        return found

    def _taught(self, chosen: np.ndarray) -> Taught | None:
        """The cached answers of a batch's rows [B], copied out of what may be a memory map."""
        known = self._table.teacher
        if known is None:
            return None
        cls = None if known.cls is None else np.asarray(known.cls[chosen])
        return Taught(np.asarray(known.logits[chosen]), cls)


def batches(
    table: Table,
    size: int,
    *,
    buckets: Sequence[int],
    seed: int,
    epoch: int,
    training: bool,
    mine: np.ndarray | None = None,
) -> Epoch:
    """The batches of an epoch: ceil(N / size), each row once with weight 1.

    An example belongs to the smallest bucket (a width in tokens, or in words where there are some)
    that holds it. Rows are laid out by bucket and cut every `size`, so that what is left over of a
    bucket is carried into the next longer one, and only the last batch can be ragged: it is filled
    by repeating its last row with weight 0. A batch is as wide as its longest row's bucket; where
    that is W, T holds the tokens of all rows of that bucket and of shorter ones. Every batch has
    `size` rows, so there are no more shapes than buckets.

    training: rows are shuffled within their bucket, then groups of GROUP batches of one width, both
    by (seed, epoch); else rows are in their order within a bucket, and seed and epoch are not read.
    mine: [b] positions in a batch; the batches then hold these rows alone (sharding.rows_here).
    Raises UserError if the buckets do not increase, or an example is longer than the last one.
    """
    if size < 1:
        raise UserError(f"The batch size is {size}, but a batch has at least one example.")
    widths = np.asarray(buckets, dtype=np.int64)
    if len(widths) == 0 or widths[0] < 1 or (np.diff(widths) <= 0).any():
        raise UserError(
            f"config.data.buckets is {tuple(buckets)}, but lengths in tokens must increase from at "
            "least 1."
        )
    tokens, words = np.diff(table.offsets), _most_words(table)
    for lengths, what, key in ((tokens, "tokens", "max_length"), (words, "words", "max_words")):
        if lengths.max(initial=0) > widths[-1]:
            raise UserError(
                f"The longest example has {lengths.max()} {what}, but the last of "
                f"config.data.buckets {tuple(buckets)} holds {widths[-1]}. Lower {key} or add a "
                f"bucket."
            )
    count = len(tokens)
    bucket = np.searchsorted(widths, tokens if table.words is None else words)  # [N]
    beside = np.zeros(len(widths), np.int64)
    np.maximum.at(beside, bucket, np.searchsorted(widths, tokens))
    beside = widths[np.maximum.accumulate(beside)]  # [buckets]: T
    order = (
        permutation(count, seed=seed, purpose=ROWS, epoch=epoch) if training else np.arange(count)
    )
    order = order[np.argsort(bucket[order], kind="stable")]
    cuts = np.arange(0, count, size)
    longest = order[np.minimum(cuts + size, count) - 1]  # [batches]: the last row of each
    wide = widths[bucket[longest]]  # [batches], rising
    if training:
        first = np.searchsorted(wide, wide)  # [batches]: the first one of the same width
        group = np.cumsum((np.arange(len(cuts)) - first) % GROUP == 0) - 1  # [batches], rising
        place = permutation(group.max(initial=-1) + 1, seed=seed, purpose=BATCHES, epoch=epoch)
        order_of_batches = np.argsort(place[group], kind="stable")
        cuts, wide = cuts[order_of_batches], wide[order_of_batches]
    most = dict(zip(widths.tolist(), beside, strict=True))
    return Epoch(table, size, order, cuts, wide, most, mine)


def _most_words(table: Table) -> np.ndarray:
    """[N] words of each example's longest text; zeros where nobody reads words."""
    if table.words is None:
        return np.zeros(len(table.row), np.int64)
    longest: np.ndarray = np.diff(table.words.offsets).reshape(-1, table.words.texts).max(1)
    return longest
