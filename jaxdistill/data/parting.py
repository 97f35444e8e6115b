"""Which rows of a file become its dev split: a pure function of texts and labels."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from jaxdistill.data.augment.words import normal
from jaxdistill.errors import UserError

SHARE = 0.1
"""Of the rows."""
MOST = 5000
"""Rows, about."""
_SALT = b"jaxdistill dev"


def held_out(texts: Sequence[Sequence[str]], labels: np.ndarray) -> np.ndarray:
    """[N] bool, True on rows of dev: SHARE of each label's rows, or MOST in all.

    A text is chosen by the hash of what it says, so that neither the order of the rows nor a seed
    matters, and rows of the same text (in BERT's eyes, letter case aside) are on one side. Each
    label of two different texts or more has a row on either side. Numbers are cut into tenths;
    of several labels a row counts for its rarest one.

    Args:
      texts: one or two columns [N].
      labels: [N] class numbers or numbers, or [N, C] of 0 and 1.

    Raises UserError where no row can be spared.
    """
    rows_of: dict[bytes, list[int]] = defaultdict(list)
    for row, said in enumerate(zip(*texts, strict=True)):
        words = "\0".join(map(normal, said)).encode("utf-8", "surrogatepass")
        rows_of[hashlib.blake2b(words, digest_size=16, key=_SALT).digest()].append(row)
    stratum = strata(labels)
    groups: dict[int, list[bytes]] = defaultdict(list)
    for key in sorted(rows_of):
        groups[int(stratum[rows_of[key]].min())].append(key)
    held = np.zeros(len(labels), bool)
    share = min(SHARE, MOST / max(len(labels), 1))
    for keys in groups.values():
        for key in _some(keys, [len(rows_of[key]) for key in keys], share):
            held[rows_of[key]] = True
    if not held.any():
        raise UserError(
            f"There is no dev file, and of {len(labels):,} rows ({len(rows_of):,} different texts) "
            f"none can be spared: no label has two different texts. Give more rows, or a file in "
            f"config.data.dev."
        )
    return held


def strata(labels: np.ndarray) -> np.ndarray:
    """[N] int: the kind of each row, of which dev gets its share."""
    if labels.ndim == 2:
        counts = labels.sum(0)
        rarity = np.where(labels > 0, counts, np.iinfo(np.int64).max)
        return np.where(labels.any(1), rarity.argmin(1), labels.shape[1])
    if labels.dtype.kind == "f":
        return np.searchsorted(np.quantile(labels, np.arange(1, 10) / 10), labels, side="right")
    return labels


def _some(keys: Sequence[bytes], sizes: Sequence[int], share: float) -> list[bytes]:
    """The first of the groups that a share of the rows has room for, one at least if others stay.

    Args:
      keys: in their order.
      sizes: rows of each group.
    """
    room = max(1, int(share * sum(sizes) + 0.5))
    chosen: list[bytes] = []
    for key, size in zip(keys, sizes, strict=True):
        if size <= room and len(chosen) + 1 < len(keys):
            chosen.append(key)
            room -= size
    if not chosen and len(keys) > 1:
        chosen.append(keys[int(np.argmin(sizes))])
    return chosen
