"""Random numbers by address, (seed, row, copy, column): whoever asks, in whatever order."""

from __future__ import annotations

import functools

import numpy as np

RANGE = 1 << 64
"""A draw is one of 0..RANGE-1."""
_PURPOSE = 3
"""Beside data.order's, so that no other order is drawn from the same numbers."""


def draws(seed: int, row: int, copy: int, column: int, count: int) -> list[int]:
    """`count` numbers, each one of 0..RANGE-1, independent of those of any other address.

    Philox counts: the address is where its counter starts, so that nothing need be drawn to get
    there, and NumPy promises its stream (NEP 19).

    Args:
      row: the example's number.
      copy: the number of what is made of it.
      column: which of its texts.
    """
    counter = np.array([0, column, copy, row], np.uint64)
    bits = np.random.Philox(counter=counter, key=_key(seed))
    drawn: list[int] = bits.random_raw(count).tolist()
    return drawn


def below(probability: float) -> int:
    """The number that a draw is less than with that probability, to within 2^-53."""
    return round(probability * RANGE)


@functools.lru_cache(maxsize=8)
def _key(seed: int) -> np.ndarray:
    return np.random.SeedSequence(seed, spawn_key=(_PURPOSE,)).generate_state(2, np.uint64)
