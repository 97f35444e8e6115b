"""A learned linear from the student's width to the teacher's; it trains along, never exported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from jaxdistill.types import Params

if TYPE_CHECKING:
    from jaxdistill.types import Array


def initial_projection(
    rng: Any, student: Any, teacher: Any, stack: tuple[int, ...] = ()
) -> dict[str, jax.Array]:
    """{"kernel" [*stack, D, D'], "bias" [*stack, D']}.

    The identity where the widths are equal; else normal with the student's initial_std.
    """
    here, there = student.shape, teacher.shape
    size = (*stack, here.width, there.width)
    if here.width == there.width:
        kernel = jnp.broadcast_to(jnp.eye(here.width), size)
    else:
        kernel = jax.random.normal(rng, size) * here.initial_std
    return {"kernel": kernel, "bias": jnp.zeros((*stack, there.width))}


def project(projection: Params, x: Array) -> jax.Array:
    """x W + b. [..., D] -> [..., D']."""
    bias = projection["bias"].reshape((1,) * (x.ndim - 1) + (-1,))
    return jnp.einsum("...d,de->...e", x, projection["kernel"]) + bias
