"""The train rows with what was added to them: numbers that stay, labels, nothing twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdistill.data.augment.made import Copy
from jaxdistill.data.augment.words import normal
from jaxdistill.data.rows import read_rows
from jaxdistill.data.tables import Examples
from jaxdistill.data.tasks import Task
from jaxdistill.errors import UserError
from jaxdistill.notices import Notice

TEXT = 1 << 29
"""Rows of a text of one's own are numbered from here on, by the line."""
MADE = 1 << 30
"""Rows that were made are numbered from here on."""
_LAST = np.iinfo(np.int32).max


class Added(NamedTuple):
    """Rows to train on: the originals, then somebody's own texts, then what was made."""

    examples: Examples
    source: np.ndarray
    """[N] int32, the row that each was made of; its own where it was not made."""
    counts: dict[str, int]
    """How many rows are "original", "text" and "made", and how many were left out, "repeated"."""


def assemble(
    train: Examples,
    own: Sequence[tuple[int, tuple[str, ...]]],
    made: Sequence[Copy],
    *,
    per_row: int,
    labels: str,
    others: Iterable[tuple[str, ...]],
) -> Added:
    """The train rows, all of them as they are, and each added row that says something new.

    New is what neither an original, nor an earlier row, nor one of `others` says; texts are
    compared as BERT's tokenizer first cuts them, in lower case. A row has the same number in every
    run: MADE + (its source's row) * per_row + (its copy), or TEXT + (its line).

    Args:
      own: (line, texts) of texts without labels.
      made: in order.
      per_row: copies that a row may have.
      labels: "source", that of the row it was made of; or "none".
      others: texts that may not be trained on, such as those of dev.

    Raises UserError where the numbers do not fit into 31 bits.
    """
    last = max((int(train.row.max(initial=0)) + 1) * per_row, 1)
    if int(train.row.max(initial=0)) >= TEXT or last > _LAST - MADE:
        raise UserError(
            f"{last:,} rows would be made of {len(train.row):,} at most, and rows are numbered to "
            f"{_LAST - MADE:,}. Lower config.augment.copies or config.data.train_rows."
        )
    kind = train.labels.dtype
    none = np.nan if kind.kind == "f" else -1
    place = {row: at for at, row in enumerate(train.row.tolist())}
    kept = [TEXT + line for line, _ in own] + [MADE + c.row * per_row + c.copy for c in made]
    source = [TEXT + line for line, _ in own] + [copy.row for copy in made]
    texts = [texts for _, texts in own] + [copy.texts for copy in made]
    before = [*others, *zip(*train.texts, strict=True)]
    new = _first(before, texts)
    chosen = np.flatnonzero(new)
    label = np.full((len(texts), *train.labels.shape[1:]), none, kind)
    if labels == "source":
        label[len(own) :] = train.labels[np.array([place[copy.row] for copy in made], np.int64)]
    of_own = int(new[: len(own)].sum())
    examples = Examples(
        row=np.concatenate([train.row, np.array(kept, np.int32)[chosen]]).astype(np.int32),
        texts=tuple(
            [*column, *(texts[at][number] for at in chosen)]
            for number, column in enumerate(train.texts)
        ),
        labels=np.concatenate([train.labels, label[chosen]]),
    )
    counts = {
        "original": len(train.row),
        "text": of_own,
        "made": len(chosen) - of_own,
        "repeated": len(texts) - len(chosen),
    }
    whole = np.concatenate([train.row, np.array(source, np.int32)[chosen]]).astype(np.int32)
    return Added(examples, whole, counts)


def judged(splits: Mapping[str, Examples]) -> list[tuple[str, ...]]:
    """The texts of every split but "train", which may not be trained on."""
    tables = (rows.texts for split, rows in splits.items() if split != "train")
    return [texts for columns in tables for texts in zip(*columns, strict=True)]


def with_own(
    splits: Mapping[str, Examples], own: Sequence[tuple[int, tuple[str, ...]]]
) -> tuple[list[str], ...]:
    """The texts of "train", then those of one's own that say something new, as Examples has them.

    What is made of them is not among these.
    """
    texts = [texts for _, texts in own]
    train = splits["train"].texts
    before = [*judged(splits), *zip(*train, strict=True)] if own else []
    new = np.flatnonzero(_first(before, texts))
    return tuple(
        [*column, *(texts[at][number] for at in new)] for number, column in enumerate(train)
    )


def read_own(task: Task, path: Path, notice: Notice) -> list[tuple[int, tuple[str, ...]]]:
    """(row, texts) of a file of texts without labels, as data.rows reads them; empty ones are left
    out.

    Raises UserError for what read_rows refuses, and a file without a text.
    """
    rows = enumerate(read_rows(task, path, (), notice))
    found = [(row, texts) for row, texts in rows if any(texts)]
    if not found:
        raise UserError(
            f"config.augment.text={path} holds no text. Give a .txt of one text a line."
        )
    return found


def keep(added: Added, which: np.ndarray) -> Added:
    """Without the added rows that are not wanted.

    Args:
      which: [M] bool, of the rows after the originals.
    """
    first = added.counts["original"]
    chosen = np.concatenate([np.arange(first), first + np.flatnonzero(which)])
    examples = Examples(
        added.examples.row[chosen],
        tuple([column[at] for at in chosen] for column in added.examples.texts),
        added.examples.labels[chosen],
    )
    made = int(which[added.counts["text"] :].sum())
    counts = {**added.counts, "text": int(which.sum()) - made, "made": made}
    counts["unsure"] = int((~which).sum())
    return Added(examples, added.source[chosen], counts)


def _first(before: Sequence[tuple[str, ...]], texts: Sequence[tuple[str, ...]]) -> np.ndarray:
    """[M] bool: whether a text is neither one of those before nor an earlier one."""
    hashes = np.array([_hash(each) for each in (*before, *texts)], np.uint64)
    _, first = np.unique(hashes, return_index=True)
    new = np.zeros(len(hashes), bool)
    new[first] = True
    return new[len(before) :]


def _hash(texts: tuple[str, ...]) -> int:
    """64 bits: of ten million texts two collide once in 400,000 such sets, and cost a row."""
    said = "\0".join(map(normal, texts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "little")
