"""One optimizer step, compiled once per batch shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jaxdistill.sharding import replicate
from jaxdistill.types import Batch, GradFn, Metrics, Params, Progress

if TYPE_CHECKING:
    from jaxdistill.types import Array


class State(NamedTuple):
    """What a step moves. Its buffers are donated: a state given to a step is gone."""

    step: Array
    """[] int32, steps done in this stage."""
    params: Params
    """The leaves that train, float32."""
    optimizer: Any
    """The optimizer's own state."""


Step = Callable[[State, Params, Batch, jax.Array], tuple[State, Metrics]]


def start(params: Params, optimizer: optax.GradientTransformation, mesh: Mesh) -> State:
    """The state before the first step, on every device of the mesh."""
    state = State(np.zeros([], np.int32), params, jax.jit(optimizer.init)(params))
    # Every leaf is placed as a step will return it, or the second step would compile again.
    return replicate(state, mesh)


def make_step(grad_fn: GradFn, optimizer: optax.GradientTransformation, steps: int) -> Step:
    """(state, frozen, batch, key) -> (state, metrics), jitted; state is donated.

    A step draws its randomness from fold_in(key, state.step): a resumed run draws what an unbroken
    one would. A step whose loss or gradient is not finite changes nothing but the count of steps,
    and says so in metrics["skipped"].

    Args:
      steps: planned for the stage, the denominator of Progress.fraction.
    """

    def step(state: State, frozen: Params, batch: Batch, key: jax.Array) -> tuple[State, Metrics]:
        rng = jax.random.fold_in(key, state.step)
        progress = Progress(state.step, state.step.astype(jnp.float32) / steps)
        (loss, metrics), grads = grad_fn(state.params, frozen, batch, rng, progress)
        norm = optax.tree.norm(grads)
        updates, after = optimizer.update(grads, state.optimizer, state.params)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)

        def keep(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(finite, new, old)

        params = jax.tree.map(keep, optax.apply_updates(state.params, updates), state.params)
        optimizer_state = jax.tree.map(keep, after, state.optimizer)
        metrics = {"loss": loss, **metrics, "gradient_norm": norm, "skipped": ~finite}
        return State(state.step + 1, params, optimizer_state), metrics

    return jax.jit(step, donate_argnums=0)
