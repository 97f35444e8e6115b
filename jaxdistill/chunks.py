"""Which steps go to the devices together."""

from __future__ import annotations

import numpy as np

from jaxdistill.trees import flatten
from jaxdistill.types import Batch, Batches, Params

CHUNK = 8
"""Most steps in one dispatch; data.batches lays out as many batches of one width in a row."""
SECONDS = 2.0
"""How long a dispatch may last at most, by the rule in chunk_size: a signal waits that long."""
RATES = {"cpu": 3e11, "gpu": 1e14, "tpu": 1e14}
"""Floating-point operations per second of one device that a step reaches at least."""


def chunk_size(parameters: int, tokens: int, *, devices: int, backend: str) -> int:
    """Steps that go in one dispatch, 1 to CHUNK: by rule and not by timing.

    Args:
      parameters: that every token passes through, of all models in the step.
      tokens: of one step, over all devices.
    """
    seconds = 6.0 * parameters * tokens / (RATES[backend] * devices)
    return int(min(max(SECONDS / seconds, 1), CHUNK)) if seconds > 0 else CHUNK


def passed_by_tokens(params: Params) -> int:
    """Parameters outside of the embeddings, of whole models by name."""
    leaves = flatten(params).items()
    return sum(int(np.size(leaf)) for path, leaf in leaves if "/embeddings/" not in path)


def next_chunk(epoch: Batches, index: int, limit: int) -> list[Batch]:
    """The batches from number `index` on that have its width, at most `limit` and one at least."""
    found = [epoch[index]]
    for following in range(index + 1, min(index + limit, len(epoch))):
        if epoch.width(following) != epoch.width(index):
            break
        found.append(epoch[following])
    return found
