"""What a model says of a split, and how good that is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxdistill.data.batches import Table, batches
from jaxdistill.metrics import classification, regression
from jaxdistill.sharding import replicate, split
from jaxdistill.types import Batch, Params

Forward = Callable[[Params, Batch], jax.Array]
"""(params, batch) -> logits [B, C], jitted."""

BATCH = 64
"""Examples per forward pass, rounded up to a multiple of the devices."""


def make_forward(model: Any) -> Forward:
    """The model's logits without dropout."""
    return jax.jit(lambda params, batch: model.apply({"params": params}, batch).logits)


def predict(
    forward: Forward,
    params: Params,
    table: Table,
    *,
    buckets: tuple[int, ...],
    mesh: Mesh,
    poll: Callable[[], None],
    size: int = BATCH,
) -> np.ndarray:
    """Logits [N, C] float32 of a split, in the table's order.

    Args:
      poll: called before every batch; it may raise to stop.
      size: examples per forward pass.
    """
    devices = mesh.shape["data"]
    epoch = batches(
        table, -(-size // devices) * devices, buckets=buckets, seed=0, epoch=0, training=False
    )
    place = {int(row): index for index, row in enumerate(table.row)}
    pending = []
    for batch in epoch:
        poll()
        pending.append((batch, forward(params, split(batch, mesh))))
    logits: np.ndarray | None = None
    for batch, output in pending:
        values = np.asarray(output)
        if logits is None:
            logits = np.empty((len(table.row), values.shape[1]), np.float32)
        real = batch.weight > 0
        logits[[place[int(row)] for row in batch.row[real]]] = values[real]
    assert logits is not None, "a split holds at least one row"
    return logits


def throughput(
    forward: Forward, params: Params, table: Table, *, buckets: tuple[int, ...], mesh: Mesh
) -> float:
    """Examples per second of inference at batch 32, the median of three passes over 16 batches.

    The batches are spread over the split, and compiled before the clock starts.
    """
    devices = mesh.shape["data"]
    epoch = batches(
        table, -(-32 // devices) * devices, buckets=buckets, seed=0, epoch=0, training=False
    )
    chosen = [epoch[i] for i in range(0, len(epoch), -(-len(epoch) // 16))]
    params = replicate(params, mesh)
    seconds = []
    for _ in range(4):
        begun = time.perf_counter()
        for batch in chosen:
            forward(params, split(batch, mesh)).block_until_ready()
        seconds.append(time.perf_counter() - begun)
    return float(sum(b.weight.sum() for b in chosen) / np.median(seconds[1:]))


def score(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Every metric of the task's kind, and the mean loss.

    Args:
      logits: [N, C]; C = 1 is a regression.
      labels: [N] class numbers, or targets.
    """
    if logits.shape[1] == 1:
        predicted = logits[:, 0].astype(np.float64)
        loss = float(np.square(predicted - labels).mean())
        return {**regression(predicted, labels), "loss": loss}
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(1))
    loss = float((log_sum - shifted[np.arange(len(labels)), labels]).mean())
    return {**classification(logits.argmax(1), labels, logits.shape[1]), "loss": loss}
