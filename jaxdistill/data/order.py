"""Random orders that do not change with NumPy's version."""

from __future__ import annotations

import numpy as np

from jaxdistill.errors import UserError

CAP, ROWS, BATCHES, BLOCKS = 0, 1, 2, 3
"""What an order is drawn for. Different purposes draw independent orders from one seed."""


def permutation(n: int, *, seed: int, purpose: int, epoch: int = 0) -> np.ndarray:
    """[n] int64, a random order of 0..n-1: a pure function of its arguments.

    Sorts raw draws of Philox: NumPy promises the streams of its bit generators and of SeedSequence,
    but not that of Generator.permutation (NEP 19). Raises UserError for a negative seed.
    """
    if seed < 0:
        raise UserError(f"The seed is {seed}, but seeds are whole numbers from 0 on.")
    # The purpose goes into the spawn key: as part of the entropy, a trailing 0 would be no change.
    sequence = np.random.SeedSequence(seed, spawn_key=(purpose, epoch))
    return np.argsort(np.random.Philox(sequence).random_raw(n), kind="stable")
