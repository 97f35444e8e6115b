"""What a model says of a split, and how good that is."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxdistill import processes
from jaxdistill.data.batches import Table, batches, rows_of
from jaxdistill.metrics import classification, multilabel, regression
from jaxdistill.sharding import place, split
from jaxdistill.types import Batch, LossFn, Metrics, Params, Progress

Forward = Callable[[Params, Batch], jax.Array]
"""(params, batch) -> logits [B, C], jitted."""
Judge = Callable[[Params, Params, Batch], Metrics]
"""(params, frozen, batch) -> {"loss": [], ...}, jitted."""

JUDGED_BY = 0
"""The seed of what a judge draws, whatever the run's own."""
BATCH = 64
"""Examples per forward pass, rounded up to a multiple of the devices."""
LOOKAHEAD = 4
"""Forward passes handed to the devices before the host waits for the oldest."""


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
    """Logits [N, C] float32 of a split, in the table's order. Collective: processes share the rows.

    Args:
      params: on the mesh.
      mesh: of this process's devices.
      poll: called before every batch; it may raise to stop.
      size: examples per forward pass.
    """

    def ask(span: slice) -> np.ndarray:
        logits: np.ndarray = by_row(
            forward, params, rows_of(table, span), buckets=buckets, mesh=mesh, poll=poll, size=size
        )
        return logits

    return shared_out(len(table.row), ask)


def shared_out(rows: int, ask: Callable[[slice], np.ndarray]) -> np.ndarray:
    """[N, ...]: what ask gives for all rows, each process asking about its span. Collective."""

    def act() -> dict[str, np.ndarray]:
        span = processes.span(rows)
        return {"answers": ask(span)} if span.start < span.stop else {}

    found = [each["answers"] for each in processes.pooled(act) if each]
    return found[0] if len(found) == 1 else np.concatenate(found)


def by_row(
    forward: Callable[[Params, Batch], Any],
    params: Params,
    table: Table,
    *,
    buckets: tuple[int, ...],
    mesh: Mesh,
    poll: Callable[[], None],
    size: int = BATCH,
) -> Any:
    """What forward says of a split of at least one row, in the table's order.

    Every leaf [B, ...] of its answer becomes one [N, ...] in host memory. The other arguments are
    those of predict.
    """
    devices = mesh.shape["data"]
    count = len(table.row)
    numbered = table._replace(row=np.arange(count, dtype=np.int32), teacher=None)
    epoch = batches(
        numbered, -(-size // devices) * devices, buckets=buckets, seed=0, epoch=0, training=False
    )
    answers: Any = None
    pending: deque[tuple[Batch, Any]] = deque()

    def gather(left: int) -> None:
        nonlocal answers
        while len(pending) > left:
            batch, output = pending.popleft()
            found = jax.device_get(output)
            if answers is None:
                answers = jax.tree.map(lambda x: np.empty((count, *x.shape[1:]), x.dtype), found)
            real = batch.weight > 0
            for whole, part in zip(jax.tree.leaves(answers), jax.tree.leaves(found), strict=True):
                whole[batch.row[real]] = part[real]

    for batch in epoch:
        poll()
        pending.append((batch, forward(params, split(batch, mesh))))
        gather(LOOKAHEAD)
    gather(0)
    return answers


def make_encoder(model: Any) -> Forward:
    """The model's last hidden state [B, T, D] without dropout, for a model without classifier."""

    def encode(params: Params, batch: Batch) -> jax.Array:
        hidden: jax.Array = model.apply({"params": params}, batch, None, method="encode")[0]
        return hidden

    return jax.jit(encode)


def make_judge(loss: LossFn) -> Judge:
    """What a stage without labels is judged by: its judge's mean over a batch's held-out rows."""

    def judge(params: Params, frozen: Params, batch: Batch) -> Metrics:
        key = jax.random.key(JUDGED_BY)
        now = Progress(jnp.int32(0), jnp.float32(0), key)
        value, metrics = loss(params, frozen, batch, key, now)
        return {"loss": value, **metrics}

    return jax.jit(judge)


def judge_split(
    judge: Judge,
    params: Params,
    frozen: Params,
    table: Table,
    *,
    buckets: tuple[int, ...],
    mesh: Mesh,
    poll: Callable[[], None],
    size: int = BATCH,
) -> dict[str, float]:
    """{"loss": ..., and the judge's other metrics}, means over the split's examples.

    What is drawn comes from one key, and for each row by its number: the same in every evaluation
    and in every run. Collective: processes share the rows.

    Args:
      params, frozen: of a whole run ({"student", "extras"}, {"teacher"} or {}).
      mesh: of this process's devices.
      poll: called before every batch; it may raise to stop.
    """
    devices = mesh.shape["data"]
    mine = rows_of(table, processes.span(len(table.row)))
    epoch = batches(
        mine, -(-size // devices) * devices, buckets=buckets, seed=0, epoch=0, training=False
    )
    params, frozen = place(params, mesh), place(frozen, mesh)

    def act() -> dict[str, np.ndarray]:
        total: dict[str, float] = {}
        for batch in epoch:
            poll()
            found = jax.device_get(judge(params, frozen, split(batch, mesh)))
            for name, value in found.items():
                total[name] = total.get(name, 0.0) + float(value) * float(batch.weight.sum())
        return {name: np.array(value) for name, value in total.items()}

    everywhere = processes.pooled(act)
    names = {name for each in everywhere for name in each}
    ordered = ["loss", *sorted(names - {"loss"})]
    whole = {name: sum(float(each.get(name, 0.0)) for each in everywhere) for name in ordered}
    return {name: value / len(table.row) for name, value in whole.items()}


def throughput(
    forward: Forward, params: Params, table: Table, *, buckets: tuple[int, ...], mesh: Mesh
) -> float:
    """Examples per second of inference at batch 32, the median of passes over 16 batches, on this
    process's devices.

    The batches are spread over the split, and compiled before the clock starts; a row that only
    fills one up takes as long as another, and counts. There are three passes at least, and as many
    as take a second together: one over a small model says little.
    """
    devices = mesh.shape["data"]
    epoch = batches(
        table, -(-32 // devices) * devices, buckets=buckets, seed=0, epoch=0, training=False
    )
    chosen = [epoch[i] for i in range(0, len(epoch), -(-len(epoch) // 16))]
    params = place(params, mesh)
    seconds: list[float] = []
    while len(seconds) < 4 or (sum(seconds[1:]) < 1 and len(seconds) < 100):
        begun = time.perf_counter()
        for batch in chosen:
            forward(params, split(batch, mesh)).block_until_ready()
        seconds.append(time.perf_counter() - begun)
    return float(sum(len(batch.row) for batch in chosen) / np.median(seconds[1:]))


def score(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Every metric of the task's kind, and the mean loss.

    Args:
      logits: [N, C]; C = 1 is a regression.
      labels: [N] class numbers, or targets; or [N, C] of 0 and 1, where a logit above 0 says that
        a row has the label.

    Where a logit is not finite every metric is NaN: an argmax would answer for a broken model.
    """
    if not np.isfinite(logits).all():
        return dict.fromkeys(score(np.zeros_like(logits), labels), math.nan)
    if logits.shape[1] == 1:
        predicted = logits[:, 0].astype(np.float64)
        loss = float(np.square(predicted - labels).mean())
        return {**regression(predicted, labels), "loss": loss}
    if labels.ndim == 2:
        wide = logits.astype(np.float64)
        loss = float((np.logaddexp(0, wide) - wide * labels).mean())
        return {**multilabel(wide > 0, labels), "loss": loss}
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(1))
    loss = float((log_sum - shifted[np.arange(len(labels)), labels]).mean())
    return {**classification(logits.argmax(1), labels, logits.shape[1]), "loss": loss}
