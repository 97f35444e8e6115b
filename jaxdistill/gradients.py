"""From a loss to its gradient. Strategies are functions from GradFn to GradFn over these."""

from __future__ import annotations

import jax

from jaxdistill.types import GradFn, LossFn


def gradient(loss: LossFn) -> GradFn:
    """The GradFn of a loss: differentiates by the first argument, what trains, and only by it."""
    return jax.value_and_grad(loss, has_aux=True)
