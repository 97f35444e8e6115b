"""Losses: pure functions in float32 that give one number per example, and the mean over them.

B examples, C classes, T tokens, D width, H heads.
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
    known = jnp.where(labels < 0, logits.shape[1], labels)  # -1 would be the last class
    return -jnp.take_along_axis(
        log_probabilities, known[:, None], axis=1, mode="fill", fill_value=jnp.nan
    )[:, 0]


def binary_cross_entropy(logits: Array, targets: Array) -> jax.Array:
    """The mean over C labels of -y log p - (1 - y) log(1 - p), p = sigmoid(logit), nats.

    Args:
      logits: [B, C].
      targets: [B, C], y: 0 or 1, or a teacher's probabilities.

    Returns:
      [B]. The reduction is that of torch's BCEWithLogitsLoss.
    """
    wide = jnp.asarray(logits, jnp.float32)
    return (jax.nn.softplus(wide) - wide * jnp.asarray(targets, jnp.float32)).mean(-1)


def masked_cross_entropy(logits: Array, targets: Array, kept: Array) -> jax.Array:
    """The mean of -log softmax(logits)[target] over an example's masked tokens, nats.

    Args:
      logits: [B, K, V].
      targets: [B, K] int, the pieces that were there.
      kept: [B, K] bool, False where an example has fewer than K masked tokens.

    Returns:
      [B]; 0 for an example without a masked token.

    Source: Devlin et al. 2019, section 3.1; their code takes the mean over all masked tokens of the
    batch, which is the same where examples have equally many.
    """
    flat = cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))
    return jnp.where(kept, flat.reshape(targets.shape), 0.0).sum(-1) / jnp.maximum(kept.sum(-1), 1)


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


def kl_divergence(student: Array, teacher: Array) -> jax.Array:
    """sum_c p log(p / q) of p = softmax(teacher), q = softmax(student). [B, C] twice -> [B], nats.

    Logits come divided by their temperatures. A class that the teacher gives probability 0 adds 0.

    Source: Hinton, Vinyals, Dean 2015, section 2.
    """
    log_p = jax.nn.log_softmax(teacher.astype(jnp.float32))
    log_q = jax.nn.log_softmax(student.astype(jnp.float32))
    p = jnp.exp(log_p)
    return jnp.where(p > 0, p * (log_p - log_q), 0.0).sum(-1)


def binary_kl_divergence(student: Array, teacher: Array) -> jax.Array:
    """The mean over C labels of p log(p / q) + (1 - p) log((1 - p) / (1 - q)), nats.

    [B, C] twice -> [B]; p = sigmoid(teacher), q = sigmoid(student), logits divided by their
    temperatures. Its gradient is that of binary_cross_entropy with targets p.
    """
    z, t = jnp.asarray(student, jnp.float32), jnp.asarray(teacher, jnp.float32)
    p = jax.nn.sigmoid(t)
    here = p * (jax.nn.log_sigmoid(t) - jax.nn.log_sigmoid(z))
    there = (1 - p) * (jax.nn.log_sigmoid(-t) - jax.nn.log_sigmoid(-z))
    return (here + there).mean(-1)


def mean_squared_error(student: Array, teacher: Array) -> jax.Array:
    """The mean over classes of (student - teacher)^2, of logits or probabilities.

    [B, C] twice -> [B]. C times it is the squared distance of Tang et al. 2019.
    """
    return jnp.square(student.astype(jnp.float32) - teacher.astype(jnp.float32)).mean(-1)


def unit(x: Array) -> jax.Array:
    """x / sqrt(|x|^2 + 1e-12) over the last axis; zeros stay zeros, with a finite gradient."""
    wide = jnp.asarray(x, jnp.float32)
    return wide * jax.lax.rsqrt(jnp.square(wide).sum(-1, keepdims=True) + 1e-12)


def squared_distance(student: Array, teacher: Array) -> jax.Array:
    """|student - teacher|^2. [..., D] twice -> [...].

    Source: PKD (Sun et al. 2019, L_PT), of unit vectors.
    """
    return jnp.square(student.astype(jnp.float32) - teacher.astype(jnp.float32)).sum(-1)


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
