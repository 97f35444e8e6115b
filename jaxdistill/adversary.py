"""Adversarial training: the loss again where the student's word embeddings were moved against it.

FGM moves them once, PGD several times and never further than a radius. The gradient is the clean
one plus the one at the last point. Source: Miyato, Dai, Goodfellow 2017 (FGM); Madry et al. 2018
(PGD); the sums and the whole-table norm as in Chinese competition code (seed 003).
"""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxdistill.trees import flatten, merge, unflatten
from jaxdistill.types import Batch, GradFn, Metrics, Params, Progress

TABLE = "student/embeddings/word/embedding"
"""[V, D], what scope "table" moves."""
SHIFT = "student/embeddings/shift"
"""[B, T, D], or [B, S, W, D] where words are read, what scope "tokens" moves: models add it to the
embeddings that they look up."""


def adversarial(
    grad_fn: GradFn, *, scope: Literal["table", "tokens"], radius: float, step: float, steps: int
) -> GradFn:
    """The clean gradient plus the one after `steps` moves uphill; FGM is one move of the radius.

    Only what is looked up by the student moves; a teacher, with its own embeddings, does not.

    Args:
      scope: "table" moves the whole word embedding, with norms over all of it (it must train);
        "tokens" the embeddings looked up, each example's with norms of its own.
      radius: epsilon, the furthest that the embeddings may be from where they were.
      step: alpha, the length of one move.
      steps: moves, 1 or more.

    Adds to the metrics: "adversarial_loss" at the last point, and "perturbation", the length of
    the last move from the start (of scope "tokens" the mean over examples).
    """
    path = TABLE if scope == "table" else SHIFT

    def attacked(
        trained: Params, frozen: Params, batch: Batch, rng: Any, progress: Progress
    ) -> tuple[tuple[Any, Metrics], Params]:
        flat = flatten(trained)
        if scope == "tokens":
            width = flatten(merge(trained, frozen))[TABLE].shape[1]
            read = batch.input_ids if batch.words is None else batch.words
            flat[SHIFT] = jnp.zeros((*read.shape, width))
        origin = flat[path]
        axes = None if scope == "table" else tuple(range(1, origin.ndim))

        def at(point: jax.Array) -> tuple[Any, dict[str, Any]]:
            moved = unflatten({**flat, path: point})
            out, grads = grad_fn(moved, frozen, batch, rng, progress)
            return out, flatten(grads)

        (loss, metrics), clean = at(origin)

        def climb(_: Any, carry: Any) -> Any:
            point, grads, _ = carry
            moved = point + step * _unit(grads[path], axes) - origin
            length = _norm(moved, axes)
            point = origin + moved * jnp.where(length > radius, radius / length, 1.0)
            (value, _), grads = at(point)
            return point, grads, value

        point, last, value = jax.lax.fori_loop(0, steps, climb, (origin, clean, loss))
        total = {name: clean[name] + last[name] for name in clean if name != SHIFT}
        moved = _norm(point - origin, axes).reshape(-1)
        if scope == "tokens":
            moved = (moved * batch.weight).sum() / jnp.maximum(batch.weight.sum(), 1.0)
        more = {"adversarial_loss": value, "perturbation": moved.reshape(())}
        return (loss, {**metrics, **more}), unflatten(total)

    return attacked


def _norm(x: jax.Array, axes: tuple[int, ...] | None) -> jax.Array:
    return jnp.sqrt(jnp.square(x).sum(axes, keepdims=True))


def _unit(x: jax.Array, axes: tuple[int, ...] | None) -> jax.Array:
    """x by its norm; 0 where that is 0 or not finite."""
    norm = _norm(x, axes)
    usable = jnp.isfinite(norm) & (norm > 0)
    return jnp.where(usable, x / jnp.where(usable, norm, 1.0), 0.0)
