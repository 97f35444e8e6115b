"""Whether this machine runs a precision at all, found out before a run depends on it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxdistill.models.arithmetic import contract

TOLERANCE = 0.05
"""Largest relative distance of a gradient from float32's; bfloat16 keeps 8 bits, 0.4%."""


def runs(precision: str, *, width: int, inner: int, heads: int) -> bool:
    """Whether a layer's contractions, forward and backward, run and give float32's gradient.

    Some backends compile a contraction of narrow operands and then refuse to run it (XLA on a CPU:
    "UNIMPLEMENTED: Unsupported element type for DotThunk").

    Args:
      width, inner, heads: of the layer; heads divide the width.
    """
    if precision == "float32":
        return True
    draw = np.random.default_rng(0)
    x = draw.normal(size=(2, 16, inner)).astype(np.float32)
    kernel = (draw.normal(size=(inner, width)) / np.sqrt(inner)).astype(np.float32)

    def gradient(precision: str) -> np.ndarray:
        def loss(kernel: jax.Array) -> jax.Array:
            y = contract("btf,fd->btd", jnp.asarray(x), kernel, precision)
            y = y.reshape(2, 16, heads, width // heads).swapaxes(1, 2)  # [B, H, T, D/H]
            scores = jax.nn.softmax(contract("bhtd,bhsd->bhts", y, y, precision) / width)
            return jnp.square(contract("bhts,bhsd->bhtd", scores, y, precision)).sum()

        return np.asarray(jax.jit(jax.grad(loss))(kernel))

    expected = gradient("float32")
    try:
        found = gradient(precision)
    except jax.errors.JaxRuntimeError:
        return False
    return bool(np.linalg.norm(found - expected) < TOLERANCE * np.linalg.norm(expected))
