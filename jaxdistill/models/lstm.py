"""The recurrence of an LSTM (Hochreiter and Schmidhuber 1997), forwards and backwards in time.

What does not depend on the state before is done for all steps in one product: the inputs' share of
the gates ahead of the loop, the gradient of the recurrent kernel after it. Autodiff would add to
that gradient in every step, and multiply float32 gradients with narrow operands.

W steps, K directions, N texts, E inputs, H width of a state; gates in PyTorch's order: input,
forget, cell, output.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxdistill.models.arithmetic import NARROW, contract


def bilstm(
    x: jax.Array,
    mask: jax.Array,
    kernels: tuple[jax.Array, jax.Array],
    bias: jax.Array,
    precision: str,
    *,
    every: bool,
    together: bool,
) -> jax.Array:
    """The states of an LSTM in one direction or two, none of which reads padding.

    A text's state stays as it is where the mask is False: the last one is that after its last word,
    and, backwards, that after its first, whatever the length of its neighbours.

    Args:
      x: [W, N, E].
      mask: [W, N] bool, True on words, which come first in a text.
      kernels: of the inputs [K, E, 4H] and of the state [K, H, 4H]; direction 1 reads from the end.
      bias: [K, 4H].
      precision: see models.arithmetic.
      every: all states are wanted, not the last alone.
      together: both directions in one loop, of half as many and twice as wide steps.

    Returns:
      [W, N, K H] where every, else [N, K H]; float32.
    """
    count = bias.shape[0]
    masks = jnp.stack([mask, mask[::-1]][:count], 1)  # [W, K, N]
    # Each direction by itself: of two at once XLA's CPU backend cannot run narrow operands.
    gates = [
        contract("wne,ef->wnf", x if k == 0 else x[::-1], kernels[0][k], precision)
        + bias[k][None, None]
        for k in range(count)
    ]
    parts = [slice(0, count)] if together else [slice(k, k + 1) for k in range(count)]
    found = [
        recurrence(jnp.stack(gates[part], 1), kernels[1][part], masks[:, part], precision, every)
        for part in parts
    ]
    states = jnp.concatenate(found, -3)  # [W, K, N, H] or [K, N, H]
    each = [states[..., k, :, :] for k in range(count)]
    if every and count == 2:
        each[1] = each[1][::-1]
    return jnp.concatenate(each, -1)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def recurrence(
    gates: jax.Array, kernel: jax.Array, mask: jax.Array, precision: str, every: bool
) -> jax.Array:
    """The loop over time.

    Args:
      gates: [W, K, N, 4H], what the inputs give to the gates before their activations.
      kernel: [K, H, 4H].
      mask: [W, K, N] bool; the state stays where it is False.

    Returns:
      The states [W, K, N, H] after each step where every, else the last [K, N, H].
    """
    return _loop(gates, kernel, mask, precision, every, keep=False)[0]


def _loop(
    gates: jax.Array, kernel: jax.Array, mask: jax.Array, precision: str, every: bool, keep: bool
) -> tuple[jax.Array, Any]:
    """-> what recurrence returns; with keep also (states, cells [W, K, N, H], gates activated)."""
    narrow = _narrowed(kernel, precision)

    def step(before: tuple[jax.Array, jax.Array], now: Any) -> tuple[Any, Any]:
        given, valid = now
        i, f, g, o = _activated(given + contract("knh,khf->knf", before[0], narrow, precision))
        cell = f * before[1] + i * g
        cell_now = jnp.where(valid, cell, before[1])
        state_now = jnp.where(valid, o * jnp.tanh(cell), before[0])
        kept = (cell_now, jnp.concatenate([i, f, g, o], -1)) if keep else None
        return (state_now, cell_now), (state_now if every or keep else None, kept)

    zero = jnp.zeros((*gates.shape[1:-1], kernel.shape[1]), gates.dtype)  # [K, N, H]
    (last, _), (states, kept) = jax.lax.scan(step, (zero, zero), (gates, mask[..., None]))
    return (states if every else last), (states, *(kept or ()))


def _forward(
    gates: jax.Array, kernel: jax.Array, mask: jax.Array, precision: str, every: bool
) -> tuple[jax.Array, Any]:
    found, kept = _loop(gates, kernel, mask, precision, every, keep=True)
    return found, (*kept, kernel, mask)


def _backward(
    precision: str, every: bool, residuals: Any, gradient: jax.Array
) -> tuple[jax.Array, jax.Array, None]:
    states, cells, gates, kernel, mask = residuals
    narrow = _narrowed(kernel, precision)
    zero = jnp.zeros_like(states[0])
    earlier = jnp.concatenate([zero[None], cells[:-1]])  # [W, K, N, H], the cell before each step

    def step(after: tuple[jax.Array, jax.Array], now: Any) -> tuple[Any, jax.Array]:
        """Gradients of the state and cell after a step -> those before it, and the gates'."""
        of_output, activated, cell, before, valid = now
        of_state = after[0] if of_output is None else after[0] + of_output
        i, f, g, o = jnp.split(activated, 4, -1)
        top = jnp.tanh(cell)
        state = jnp.where(valid, of_state, 0.0)
        cell_ = jnp.where(valid, after[1], 0.0) + state * o * (1 - top * top)
        of_gates = jnp.concatenate(
            [
                cell_ * g * i * (1 - i),
                cell_ * before * f * (1 - f),
                cell_ * i * (1 - g * g),
                state * top * o * (1 - o),
            ],
            -1,
        )  # 0 on padding, where the gradients go by
        passed = contract("knf,khf->knh", of_gates, narrow, precision)
        of_state = jnp.where(valid, passed, of_state)
        return (of_state, jnp.where(valid, cell_ * f, after[1])), of_gates

    start = (zero, zero) if every else (gradient, zero)
    outputs = gradient if every else None
    steps = (outputs, gates, cells, earlier, mask[..., None])
    _, of_gates = jax.lax.scan(step, start, steps, reverse=True)  # [W, K, N, 4H]
    of_kernel = contract("wknh,wknf->khf", states[:-1], of_gates[1:], precision)
    return of_gates, of_kernel, None


recurrence.defvjp(_forward, _backward)


def _activated(gates: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """[..., 4H] -> input, forget, cell and output gate, [..., H] each."""
    i, f, g, o = jnp.split(gates, 4, -1)
    return jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)


def _narrowed(kernel: jax.Array, precision: str) -> jax.Array:
    """The kernel as it is multiplied, rounded once and not in every step."""
    return kernel.astype(NARROW[precision]) if precision in NARROW else kernel
