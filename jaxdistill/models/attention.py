"""Attention in one kernel, for GPUs and for where nobody reads its scores.

B examples, H heads, T tokens, E width of a head.
"""

from __future__ import annotations

import functools
import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdistill.models.arithmetic import NARROW

KERNEL: Literal["cudnn", "xla"] = "cudnn"
"""An implementation of jax.nn.dot_product_attention; NVIDIA's, in its Flash form."""
MULTIPLE = 8
"""Of a head's width that the kernel takes; TinyBERT's 26 are padded to 32."""


def fused_context(
    query: jax.Array, key: jax.Array, value: jax.Array, lengths: jax.Array, precision: str
) -> jax.Array:
    """softmax(query key / sqrt E) value over an example's first tokens, without dropout.

    Args:
      query, key, value: [B, H, T, E] float32.
      lengths: [B] int32, tokens of each example; the rest is padding.
      precision: bfloat16 or float16, what the kernel computes in.

    Returns:
      [B, H, T, E] float32.
    """
    width = query.shape[-1]
    padding = [(0, 0)] * 3 + [(0, -width % MULTIPLE)]

    def prepared(x: jax.Array) -> jax.Array:  # [B, T, H, E or a little more]
        return jnp.pad(x.swapaxes(1, 2).astype(NARROW[precision]), padding)

    context: jax.Array = jax.nn.dot_product_attention(
        prepared(query),
        prepared(key),
        prepared(value),
        key_value_seq_lengths=lengths,
        scale=1 / math.sqrt(width),
        implementation=KERNEL,
    )
    return context[..., :width].swapaxes(1, 2).astype(jnp.float32)


@functools.cache
def fused_runs(width: int, precision: str) -> bool:
    """Whether this machine has the kernel for heads of that width, and it computes the same.

    Tried out once in a process; False without a GPU, and in float32, which the kernel does not do.
    """
    if jax.default_backend() != "gpu" or precision not in NARROW:
        return False
    draw = np.random.default_rng(0)
    q, k, v = (draw.normal(size=(2, 2, 16, width)).astype(np.float32) for _ in range(3))
    lengths = np.array([16, 5], np.int32)
    scores = np.einsum("bhtd,bhsd->bhts", q, k) / math.sqrt(width)
    scores = np.where(np.arange(16) < lengths[:, None, None, None], scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = np.einsum("bhts,bhsd->bhtd", weights / weights.sum(-1, keepdims=True), v)
    try:
        found = np.asarray(jax.jit(fused_context, static_argnums=4)(q, k, v, lengths, precision))
    except (RuntimeError, ValueError, NotImplementedError):
        return False
    return bool(np.abs(found - expected).max() < 0.05)
