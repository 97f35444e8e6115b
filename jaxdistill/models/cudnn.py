"""An LSTM in one call of NVIDIA's cuDNN, for a CUDA GPU.

The loop of models/lstm.py starts several small kernels for each word, and so little is computed in
one that a GPU mostly waits for the next. cuDNN has all words of a layer in one call; jax binds its
float32 (products in TF32, as of all float32 products on such a GPU).

W steps, K directions, N texts, E inputs, H width of a state; gates in PyTorch's order, which is
cuDNN's: input, forget, cell, output.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxdistill.models.lstm import bilstm

TOLERANCE = 0.05
"""Largest relative distance of a gradient from the loop's; TF32 keeps 11 bits, 0.05%."""


def fused_bilstm(
    x: jax.Array,
    mask: jax.Array,
    kernels: tuple[jax.Array, jax.Array],
    bias: jax.Array,
    *,
    every: bool,
) -> jax.Array:
    """As lstm.bilstm, of the same arguments, but that the states on padding are 0.

    Args:
      x: [W, N, E] float32.
      mask: [W, N] bool, True on words, which come first in a text.
      kernels: of the inputs [K, E, 4H] and of the state [K, H, 4H]; direction 1 reads from the end.
      bias: [K, 4H].
      every: all states are wanted, not the last alone.

    Returns:
      [W, N, K H] where every, else [N, K H]; float32.
    """
    from jax.experimental import rnn  # experimental: where it is gone, the loop is left

    directions, inputs, hidden = (*kernels[0].shape[:2], kernels[1].shape[1])
    # Of each direction W_ih and W_hh; then of each b_ih and b_hh, of which one is enough.
    parts = [kernel[k].T for k in range(directions) for kernel in kernels]
    parts += [part for k in range(directions) for part in (bias[k], jnp.zeros_like(bias[k]))]
    lengths = mask.sum(0, dtype=jnp.int32)
    there = mask[..., None]
    start = jnp.zeros((directions, x.shape[1], hidden), x.dtype)
    states, last, _ = rnn.lstm(
        jnp.where(there, x, 0.0).swapaxes(0, 1),
        start,
        start,
        jnp.concatenate([part.ravel() for part in parts]),
        jnp.maximum(lengths, 1),  # it takes no text without a word; a filled-up batch has such
        inputs,
        hidden,
        1,
        0.0,
        directions == 2,
    )
    if every:
        return jnp.where(there, states.swapaxes(0, 1), 0.0)
    return jnp.where(lengths[:, None] > 0, jnp.concatenate(list(last), -1), 0.0)


@functools.cache
def fused_lstm_runs(width: int, hidden: int, directions: int) -> bool:
    """Whether this machine has cuDNN's LSTM of that size, and its gradient is the loop's.

    Tried out once in a process. False without a GPU, and with several: the call is not divided
    among them.

    Args:
      width: E.
      hidden: H.
      directions: K.
    """
    if jax.default_backend() != "gpu" or jax.device_count() > 1:
        return False
    draw = np.random.default_rng(0)
    x = draw.normal(size=(4, 8, width)).astype(np.float32)  # [W, N, E]
    mask = np.arange(4)[:, None] < draw.permutation(8) % 5  # texts without a word too
    leaves = [
        (draw.normal(size=(directions, size, 4 * hidden)) / np.sqrt(size)).astype(np.float32)
        for size in (width, hidden)
    ]
    leaves.append(np.zeros((directions, 4 * hidden), np.float32))
    pulls = draw.normal(size=(4, 8, directions * hidden)).astype(np.float32)

    def gradient(fused: bool, every: bool) -> np.ndarray:
        def loss(leaves: list[jax.Array], x: jax.Array) -> jax.Array:
            into, onto, bias = leaves
            given = (x, jnp.asarray(mask), (into, onto), bias)
            if fused:
                states = fused_bilstm(*given, every=every)
            else:
                states = bilstm(*given, "float32", every=every, together=True)
            # What either says of padding nobody reads.
            return (states * (pulls * mask[..., None] if every else pulls[0])).sum()

        found = jax.jit(jax.grad(loss, argnums=(0, 1)))(leaves, x)
        return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(found)])

    try:
        found = np.concatenate([gradient(True, every) for every in (False, True)])
    except (ImportError, RuntimeError, ValueError, TypeError, AttributeError):
        return False
    expected = np.concatenate([gradient(False, every) for every in (False, True)])
    return bool(np.linalg.norm(found - expected) < TOLERANCE * np.linalg.norm(expected))
