"""Optimizer steps, several to a dispatch, compiled once per batch shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jaxdistill.sharding import pinned, place
from jaxdistill.types import Batch, GradFn, Metrics, Params, Progress

if TYPE_CHECKING:
    from jaxdistill.types import Array


GROWS_AFTER = 2000
"""Finite steps in a row after which the loss scale doubles (PyTorch's GradScaler)."""
FIRST_SCALE = 2.0**16


class LossScale(NamedTuple):
    """Dynamic loss scaling of float16 training (Micikevicius et al. 2018, section 3.2)."""

    value: Array
    """[] float32, halved by a step that is not finite."""
    good: Array
    """[] int32, finite steps since it last changed."""


class State(NamedTuple):
    """What a step moves. Its buffers are donated: a state given to a step is gone."""

    step: Array
    """[] int32, steps done in this stage."""
    params: Params
    """The leaves that train, float32."""
    optimizer: Any
    """The optimizer's own state."""
    scale: LossScale | None
    """Of float16 training; None in the other precisions."""


ONCE = 1 << 30
"""Folded into a step's key for what is drawn once for a whole batch."""

Steps = Callable[[State, Params, Batch, jax.Array, Any], tuple[State, Metrics]]


def start(
    params: Params, optimizer: optax.GradientTransformation, mesh: Mesh, *, scaled: bool
) -> State:
    """The state before the first step, on every device of the mesh.

    scaled: with dynamic loss scaling, as float16 needs.
    """
    scale = LossScale(np.array(FIRST_SCALE, np.float32), np.zeros([], np.int32)) if scaled else None
    state = State(np.zeros([], np.int32), params, jax.jit(optimizer.init)(params), scale)
    # Every leaf is placed as a step will return it, or the second step would compile again.
    return place(state, mesh)


def stack(batches: Sequence[Batch], size: int) -> Batch:
    """Batches of one shape as one Batch with leaves [size, B, ...]; the last fills it up."""
    filled = [*batches, *[batches[-1]] * (size - len(batches))]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *filled)


def progress_at(
    step: Array, key: jax.Array, steps: int, scale: Array | None
) -> tuple[jax.Array, Progress]:
    """A step's randomness, fold_in(key, step), and where it stands; `steps` are planned."""
    rng = jax.random.fold_in(key, step)
    fraction = jnp.float32(step) / steps
    return rng, Progress(step, fraction, jax.random.fold_in(rng, ONCE), scale)


def make_steps(
    grad_fn: GradFn, optimizer: optax.GradientTransformation, steps: int, mesh: Mesh
) -> Steps:
    """(state, frozen, batches, key, count) -> (state, metrics), jitted; state is donated.

    batches has leaves [K, B, ...]; the first `count` of them are trained on, one step each, and of
    each metric's K values as many mean something. One program serves every count from 0 to K, so
    that how steps are grouped into dispatches changes no bit of what they compute.

    A step draws its randomness from fold_in(key, state.step): a resumed run draws what an unbroken
    one would. A step whose loss or gradient is not finite changes nothing but the count of steps,
    and says so in metrics["skipped"].

    Args:
      steps: planned for the stage, the denominator of Progress.fraction.
      mesh: that state and batches lie on.
    """

    def one(state: State, frozen: Params, batch: Batch, key: jax.Array) -> tuple[State, Metrics]:
        scale = None if state.scale is None else state.scale.value
        rng, progress = progress_at(state.step, key, steps, scale)
        (loss, metrics), grads = grad_fn(state.params, frozen, batch, rng, progress)
        norm = optax.tree.norm(grads)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)

        def move(before: tuple[Params, Any]) -> tuple[Params, Any]:
            updates, after = optimizer.update(grads, before[1], before[0])
            return optax.apply_updates(before[0], updates), after

        # A branch and not a select over every leaf: that would copy the moments at each step.
        before = (state.params, state.optimizer)
        params, moments = jax.lax.cond(finite, move, lambda same: same, before)
        metrics = {"loss": loss, **metrics, "gradient_norm": norm, "skipped": ~finite}
        if state.scale is not None:
            metrics["loss_scale"] = state.scale.value
        return State(state.step + 1, params, moments, _rescale(state.scale, finite)), metrics

    def several(
        state: State, frozen: Params, batches: Batch, key: jax.Array, count: jax.Array
    ) -> tuple[State, Metrics]:
        def pick(index: Any) -> Batch:
            return jax.tree.map(
                lambda leaf: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False), batches
            )

        def body(index: jax.Array, carry: tuple[State, Metrics]) -> tuple[State, Metrics]:
            state, metrics = one(carry[0], frozen, pick(index), key)
            put = jax.tree.map(lambda all_, value: all_.at[index].set(value), carry[1], metrics)
            return state, put

        _, shapes = jax.eval_shape(one, state, frozen, pick(0), key)
        size = batches.row.shape[0]
        empty = jax.tree.map(lambda leaf: jnp.zeros((size, *leaf.shape), leaf.dtype), shapes)
        state, metrics = jax.lax.fori_loop(0, count, body, (state, empty))
        return pinned(state, mesh), pinned(metrics, mesh)

    return jax.jit(several, donate_argnums=0)


def _rescale(scale: LossScale | None, finite: jax.Array) -> LossScale | None:
    if scale is None:
        return None
    grows = scale.good + 1 >= GROWS_AFTER
    value = jnp.where(finite, jnp.where(grows, scale.value * 2, scale.value), scale.value / 2)
    good = jnp.where(finite & ~grows, scale.good + 1, 0)
    return LossScale(value, good)
