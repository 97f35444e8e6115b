"""Optimizers of the field as optax chains, and their learning-rate schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdistill.errors import UserError
from jaxdistill.trees import flatten, unflatten
from jaxdistill.types import Params, StagePlan

NO_DECAY = ("bias", "scale")
"""Last parts of the paths that weight decay leaves alone: biases and LayerNorm's parameters."""


def make_schedule(plan: StagePlan, steps: int) -> optax.Schedule:
    """Learning rate by steps done: up from 0 over the warm-up, then as the plan says.

    linear falls to 0 at `steps` (transformers' get_linear_schedule_with_warmup), polynomial as
    (1 - t)^power, constant stays.

    Args:
      steps: of the whole stage, warm-up included.
    """
    warmup = int(plan.warmup * steps)
    powers = {"constant": 0.0, "linear": 1.0, "polynomial": plan.power}
    if plan.schedule not in powers:
        raise UserError(f"schedule {plan.schedule!r} is not one of {', '.join(powers)}.")
    power = powers[plan.schedule]

    def schedule(step: Any) -> jax.Array:
        rising = step / max(warmup, 1)
        left = jnp.clip((steps - step) / max(steps - warmup, 1), 0.0, 1.0)
        return plan.learning_rate * jnp.where(step < warmup, rising, left**power)

    return schedule


def make_optimizer(plan: StagePlan, steps: int) -> optax.GradientTransformation:
    """The plan's optimizer over what trains; frozen leaves must not be in its tree."""
    if plan.optimizer not in OPTIMIZERS:
        raise UserError(f"optimizer {plan.optimizer!r} is not one of {', '.join(OPTIMIZERS)}.")
    return OPTIMIZERS[plan.optimizer](plan, make_schedule(plan, steps))


def decays(params: Params) -> dict[str, Any]:
    """True on the leaves that weight decay shrinks."""
    return unflatten({path: path.split("/")[-1] not in NO_DECAY for path in flatten(params)})


def _adamw(plan: StagePlan, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Loshchilov and Hutter 2019, algorithm 2, after a clip by the global norm."""
    return optax.chain(
        _clip_global(plan.clip),
        optax.scale_by_adam(*plan.betas, eps=plan.epsilon),
        optax.add_decayed_weights(plan.weight_decay, mask=decays),
        optax.scale_by_learning_rate(schedule),
    )


def _adam(plan: StagePlan, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Kingma and Ba 2015; weight decay is added to the gradient (L2), as PyTorch's Adam does."""
    return optax.chain(
        _clip_global(plan.clip),
        optax.add_decayed_weights(plan.weight_decay, mask=decays),
        optax.scale_by_adam(*plan.betas, eps=plan.epsilon),
        optax.scale_by_learning_rate(schedule),
    )


def _adadelta(plan: StagePlan, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Zeiler 2012; rho is betas[1]."""
    return optax.chain(
        _clip_global(plan.clip),
        optax.add_decayed_weights(plan.weight_decay, mask=decays),
        optax.scale_by_adadelta(rho=plan.betas[1], eps=plan.epsilon),
        optax.scale_by_learning_rate(schedule),
    )


def _bertadam(plan: StagePlan, schedule: optax.Schedule) -> optax.GradientTransformation:
    """The optimizer of BERT's own code: Adam without bias correction, clipped per tensor."""
    return optax.chain(
        _clip_each(plan.clip),
        _scale_by_uncorrected_adam(*plan.betas, plan.epsilon),
        optax.add_decayed_weights(plan.weight_decay, mask=decays),
        optax.scale_by_learning_rate(schedule),
    )


OPTIMIZERS: dict[str, Callable[[StagePlan, optax.Schedule], optax.GradientTransformation]] = {
    "adamw": _adamw,
    "adam": _adam,
    "adadelta": _adadelta,
    "bertadam": _bertadam,
}


def _clip_global(norm: float) -> optax.GradientTransformation:
    """The whole gradient to at most `norm`.

    One product per leaf, which XLA fuses into what reads it; optax.clip_by_global_norm selects
    between two trees and so writes the gradient once more.
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        length = optax.tree.norm(updates)
        scale = jnp.where(length > norm, norm / length, 1.0)
        return jax.tree.map(lambda g: g * scale, updates), state

    if norm <= 0:
        return optax.identity()
    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _clip_each(norm: float) -> optax.GradientTransformation:
    """Each tensor to at most `norm`. A leaf stacked over layers or directions [L, ...] holds L."""

    def clip(path: str, g: jax.Array) -> jax.Array:
        parts = path.split("/")
        single = 2 if parts[-1] == "kernel" else 1  # dimensions of one projection's leaves
        stacked = {"layers", "lstm"} & {*parts} or ("projection" in parts and g.ndim > single)
        axes = tuple(range(1 if stacked else 0, g.ndim))
        length = jnp.sqrt(jnp.square(g).sum(axes, keepdims=True))
        return g * jnp.minimum(1.0, norm / (length + 1e-6))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return unflatten({path: clip(path, g) for path, g in flatten(updates).items()}), state

    if norm <= 0:
        return optax.identity()
    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _scale_by_uncorrected_adam(
    b1: float, b2: float, epsilon: float
) -> optax.GradientTransformation:
    def init(params: Any) -> Any:
        return optax.ScaleByAdamState(
            jnp.zeros([], jnp.int32), optax.tree.zeros_like(params), optax.tree.zeros_like(params)
        )

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        mu = optax.tree.update_moment(updates, state.mu, b1, 1)
        nu = optax.tree.update_moment(updates, state.nu, b2, 2)
        scaled = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + epsilon), mu, nu)
        return scaled, optax.ScaleByAdamState(state.count + 1, mu, nu)

    return optax.GradientTransformation(init, update)
