"""Losses: pure functions in float32 that give one number per example, and the mean over them.

B examples, C classes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """-log softmax(logits)[label], nats. logits [B, C], labels [B] int -> [B].

    A label outside 0..C-1 gives NaN instead of another class's loss.
    """
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.take_along_axis(
        log_probabilities, labels[:, None], axis=1, mode="fill", fill_value=jnp.nan
    )[:, 0]


def squared_error(predicted: jax.Array, targets: jax.Array) -> jax.Array:
    """(predicted - target)^2. [B] and [B] -> [B]."""
    return jnp.square(predicted.astype(jnp.float32) - targets.astype(jnp.float32))


def weighted_mean(per_example: jax.Array, weight: jax.Array) -> jax.Array:
    """sum(weight * per_example) / sum(weight). [B] and [B] -> [].

    The sums run over the whole batch, so that padding rows (weight 0) and the way a batch is split
    over devices or microbatches change nothing. All weights 0 gives 0.
    """
    total = weight.sum()
    kept = jnp.where(weight > 0, per_example, 0.0)
    return (kept * weight).sum() / jnp.where(total > 0, total, 1.0)
