"""Losses: pure functions in float32 that give one number per example, and the mean over them.

B examples, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from jaxdistill.types import Array


def cross_entropy(logits: Array, labels: Array) -> jax.Array:
    """-log softmax(logits)[label], nats. logits [B, C], labels [B] int -> [B].

    A label outside 0..C-1 gives NaN instead of another class's loss.
    """
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.take_along_axis(
        log_probabilities, labels[:, None], axis=1, mode="fill", fill_value=jnp.nan
    )[:, 0]


def squared_error(predicted: Array, targets: Array) -> jax.Array:
    """(predicted - target)^2. [B] and [B] -> [B]."""
    return jnp.square(predicted.astype(jnp.float32) - targets.astype(jnp.float32))


def weighted_mean(per_example: Array, weight: Array) -> jax.Array:
    """sum(weight * per_example) / sum(weight). [B] and [B] -> [].

    The sums run over the whole batch, so that padding rows (weight 0) and the way a batch is split
    over devices or microbatches change nothing. All weights 0 gives 0.
    """
    total = weight.sum()
    kept = jnp.where(weight > 0, per_example, 0.0)
    return (kept * weight).sum() / jnp.where(total > 0, total, 1.0)


def soft_cross_entropy(student: Array, teacher: Array, temperature: float) -> jax.Array:
    """-sum_c softmax(teacher / t) log softmax(student / t). [B, C] twice -> [B], nats.

    Differs from the KL divergence of the two by the teacher's entropy only, so its gradient is the
    same. Not multiplied by t^2. A class that the teacher gives probability 0 adds 0.

    Source: Hinton, Vinyals, Dean 2015, section 2; TinyBERT (Jiao et al. 2020), equation 10.
    """
    targets = jax.nn.softmax(teacher.astype(jnp.float32) / temperature)
    log_probabilities = jax.nn.log_softmax(student.astype(jnp.float32) / temperature)
    return -(targets * log_probabilities).sum(-1)


def hidden_mse(student: Array, teacher: Array, mask: Array) -> jax.Array:
    """Mean squared error over an example's tokens and the width, padding left out.

    Args:
      student, teacher: [B, T, D].
      mask: [B, T] bool, True on tokens.

    Returns:
      [B].

    Source: TinyBERT (Jiao et al. 2020), equations 8 and 9; there padding counts too.
    """
    error = jnp.square(student.astype(jnp.float32) - teacher.astype(jnp.float32)).mean(-1)
    return jnp.where(mask, error, 0.0).sum(-1) / mask.sum(-1)


def score_mse(student: Array, teacher: Array, mask: Array) -> jax.Array:
    """Mean squared error of attention scores over heads and over pairs of an example's tokens.

    Args:
      student, teacher: [B, H, T, T], scaled query-key products before mask and softmax.
      mask: [B, T] bool; a pair counts where both its query and its key are tokens.

    Returns:
      [B].

    Source: TinyBERT (Jiao et al. 2020), equation 7, on scores before the softmax; its code finds
    padding by a threshold on the scores, and counts padding queries.
    """
    pairs = (mask[:, :, None] & mask[:, None, :])[:, None]  # [B, 1, T, T]
    error = jnp.square(student.astype(jnp.float32) - teacher.astype(jnp.float32))
    kept = jnp.where(pairs, error, 0.0).sum((1, 2, 3))
    return kept / (student.shape[1] * pairs.sum((1, 2, 3)))
