"""From a loss to its gradient, and strategies over it: functions from GradFn to GradFn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdistill.types import Batch, GradFn, LossFn, Metrics, Params, Progress


def gradient(loss: LossFn) -> GradFn:
    """The GradFn of a loss: differentiates by the first argument, what trains, and only by it.

    With a progress.scale the loss is multiplied by it before and the gradient divided by it after,
    so that what flows back in float16 does not vanish. Loss and gradient returned are without it.
    """

    def scaled(*inputs: Any) -> tuple[jax.Array, tuple[jax.Array, Metrics]]:
        value, metrics = loss(*inputs)
        return value * inputs[-1].scale, (value, metrics)

    plain = jax.value_and_grad(loss, has_aux=True)
    through_scale = jax.value_and_grad(scaled, has_aux=True)

    def grad_fn(
        trained: Params, frozen: Params, batch: Batch, rng: Any, progress: Progress
    ) -> tuple[tuple[Any, Metrics], Params]:
        if progress.scale is None:
            found: tuple[tuple[Any, Metrics], Params] = plain(trained, frozen, batch, rng, progress)
            return found
        (_, out), grads = through_scale(trained, frozen, batch, rng, progress)
        return out, jax.tree.map(lambda g: g / progress.scale, grads)

    return grad_fn


def accumulate(grad_fn: GradFn, parts: int) -> GradFn:
    """The gradient of a whole batch from `parts` microbatches, one after another in one program.

    Row r goes to microbatch r % parts, so that no row changes its device. Microbatches count by the
    sum of their weights: the result is the large batch's, ragged or not, for any loss that is the
    weighted mean of one number per row.

    Args:
      parts: must divide the batch size; 1 returns grad_fn itself.
    """
    if parts == 1:
        return grad_fn

    def accumulated(
        trained: Params, frozen: Params, batch: Batch, rng: Any, progress: Progress
    ) -> tuple[tuple[Any, Metrics], Params]:
        micro = jax.tree.map(
            lambda leaf: leaf.reshape(-1, parts, *leaf.shape[1:]).swapaxes(0, 1), batch
        )  # [parts, B / parts, ...]

        def one(part: Batch, number: Any) -> Any:
            key = jax.random.fold_in(rng, number)
            return grad_fn(trained, frozen, part, key, progress)

        def add(total: Any, inputs: tuple[Batch, Any]) -> tuple[Any, None]:
            part, _ = inputs
            found = one(*inputs)
            return jax.tree.map(lambda t, f: t + part.weight.sum() * f, total, found), None

        shapes = jax.eval_shape(one, jax.tree.map(lambda leaf: leaf[0], micro), 0)
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        total, _ = jax.lax.scan(add, zeros, (micro, jnp.arange(parts)))
        weight = batch.weight.sum()
        mean: tuple[tuple[Any, Metrics], Params] = jax.tree.map(
            lambda leaf: leaf / jnp.where(weight > 0, weight, 1.0), total
        )
        return mean

    return accumulated


def ledger_entry(found: Mapping[str, tuple[Any, Any]]) -> dict[str, float]:
    """Of each term its value, gradient norm and share of all norms, as metrics.jsonl has them.

    Empty where a norm is not finite: float16 overflowed, and the step itself will be skipped. There
    are no shares where nothing flows.

    Args:
      found: by name, what term_norms gives, on the host.
    """
    total = sum(float(norm) for _, norm in found.values())
    if not math.isfinite(total):
        return {}
    entry = {name: float(value) for name, (value, _) in found.items()}
    entry |= {f"{name}_norm": float(norm) for name, (_, norm) in found.items()}
    if total > 0:
        entry |= {f"{name}_share": float(norm) / total for name, (_, norm) in found.items()}
    return entry


def term_norms(loss: LossFn, parts: int) -> Callable[..., dict[str, tuple[Any, Any]]]:
    """(trained, frozen, batch, rng, progress) -> each term's value and gradient norm, both [].

    For the ledger; a term is an entry of the loss's metrics. A microbatch runs through the model
    once, and back once for every term, scaled as gradient() scales it.

    Args:
      parts: microbatches, as in accumulate.
    """

    def each(
        trained: Params, frozen: Params, batch: Batch, rng: Any, progress: Progress
    ) -> tuple[tuple[Any, Metrics], Params]:
        terms, pull = jax.vjp(lambda p: dict(loss(p, frozen, batch, rng, progress)[1]), trained)
        none = jax.tree.map(jnp.zeros_like, terms)
        scale = 1.0 if progress.scale is None else progress.scale
        slopes = {
            name: pull({**none, name: jnp.full_like(value, scale)})[0]
            for name, value in terms.items()
        }
        return (0.0, terms), jax.tree.map(lambda g: g / scale, slopes)

    def norms(*inputs: Any) -> dict[str, tuple[Any, Any]]:
        (_, terms), slopes = accumulate(each, parts)(*inputs)
        return {name: (value, optax.tree.norm(slopes[name])) for name, value in terms.items()}

    return norms
