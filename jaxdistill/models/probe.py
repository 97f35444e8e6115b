"""Whether this machine runs a precision at all, found out before a run depends on it."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxdistill.models.arithmetic import contract
from jaxdistill.models.lstm import bilstm

TOLERANCE = 0.05
"""Largest relative distance of a gradient from float32's; bfloat16 keeps 8 bits, 0.4%."""


def runs(precision: str, *, width: int, inner: int, heads: int) -> bool:
    """Whether a layer's contractions, forward and backward, run and give float32's gradient.

    Some backends compile a contraction of narrow operands and then refuse to run it (XLA on a CPU:
    "UNIMPLEMENTED: Unsupported element type for DotThunk").

    Args:
      width, inner, heads: of the layer; heads divide the width.
    """
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

    return _alike(precision, gradient)


def lstm_runs(precision: str, *, width: int, hidden: int) -> bool:
    """As runs, of an LSTM in two directions.

    Args:
      width, hidden: of its inputs and of a state.
    """
    draw = np.random.default_rng(0)
    x = draw.normal(size=(4, 8, width)).astype(np.float32)  # [W, N, E]
    mask = np.arange(4)[:, None] < draw.integers(1, 5, (1, 8))
    kernels = [
        (draw.normal(size=(2, size, 4 * hidden)) / np.sqrt(size)).astype(np.float32)
        for size in (width, hidden)
    ]

    def gradient(precision: str) -> np.ndarray:
        def loss(kernels: list[jax.Array]) -> jax.Array:
            into, onto = kernels
            bias = jnp.zeros((2, 4 * hidden))
            ways = {"every": False, "together": jax.default_backend() != "cpu"}
            states = bilstm(
                jnp.asarray(x), jnp.asarray(mask), (into, onto), bias, precision, **ways
            )
            return jnp.square(states).sum()

        found = jax.jit(jax.grad(loss))(kernels)
        return np.concatenate([np.asarray(leaf).ravel() for leaf in found])

    return _alike(precision, gradient)


def _alike(precision: str, gradient: Callable[[str], np.ndarray]) -> bool:
    if precision == "float32":
        return True
    expected = gradient("float32")
    try:
        found = gradient(precision)
    except jax.errors.JaxRuntimeError:
        return False
    return bool(np.linalg.norm(found - expected) < TOLERANCE * np.linalg.norm(expected))
