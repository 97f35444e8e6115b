"""A stream of random choices that does not change with NumPy's version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Dice:
    """Choices drawn one by one from raw Philox numbers, which NumPy promises to keep (NEP 19).

    Other keys draw independent streams from one seed. See also data/order.py.
    """

    def __init__(self, seed: int, *key: int) -> None:
        self._bits = np.random.Philox(np.random.SeedSequence(seed, spawn_key=key))
        self._ready: list[int] = []

    def below(self, n: int) -> int:
        """One of 0..n-1, each as likely to within n / 2^64."""
        if not self._ready:
            self._ready = self._bits.random_raw(4096).tolist()[::-1]
        return self._ready.pop() % n

    def chance(self, percent: int) -> bool:
        """True that often in a hundred."""
        return self.below(100) < percent

    def sign(self) -> int:
        """1 or -1."""
        return 1 if self.below(2) else -1

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices."""
        return choices[self.below(len(choices))]
