"""Contractions in two precisions, GELU and dropout: the arithmetic under every model.

"float32" is plain. "bfloat16" and "float16" round both operands and sum in float32, in the backward
pass too (tensor cores, the MXU and AMX do just this); parameters, sums and results stay float32.
Casting whole models instead would round every intermediate, and on a CPU XLA widens such a product
back to float32 and is slower than without. float16 is for GPUs without bfloat16 (T4, V100); its
gradients need loss scaling.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp

PRECISIONS = ("float32", "bfloat16", "float16")
NARROW = {"bfloat16": jnp.bfloat16, "float16": jnp.float16}
"""What operands are rounded to, by precision."""


def contract(equation: str, left: jax.Array, right: jax.Array, precision: str) -> jax.Array:
    """einsum of two arrays, float32 in and out (float64 where precision is float32 and they are).

    Args:
      equation: einsum's, with explicit output, without repeated or summed-alone letters, so that
        each operand's gradient is again one einsum ("btd,df->btf").
      left, right: the operands, float32.
      precision: one of PRECISIONS.
    """
    if precision == "float32":
        return jnp.einsum(equation, left, right, preferred_element_type=left.dtype)
    return _contract_narrow(equation, precision, left, right)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _contract_narrow(equation: str, precision: str, left: jax.Array, right: jax.Array) -> jax.Array:
    return _narrow(equation, precision, left, right)


def _forward(
    equation: str, precision: str, left: jax.Array, right: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    left, right = left.astype(NARROW[precision]), right.astype(NARROW[precision])
    return _narrow(equation, precision, left, right), (left, right)


def _backward(
    equation: str, precision: str, operands: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    # Autodiff would multiply the float32 gradient with a narrow operand, which falls off the
    # matrix unit; rounding the gradient as well keeps all three products on it.
    left, right = operands
    inputs, out = equation.split("->")
    a, b = inputs.split(",")
    gradient = gradient.astype(NARROW[precision])
    return (
        _narrow(f"{out},{b}->{a}", precision, gradient, right),
        _narrow(f"{a},{out}->{b}", precision, left, gradient),
    )


def _narrow(equation: str, precision: str, left: jax.Array, right: jax.Array) -> jax.Array:
    return jnp.einsum(
        equation,
        left.astype(NARROW[precision]),
        right.astype(NARROW[precision]),
        preferred_element_type=jnp.float32,
    )


_contract_narrow.defvjp(_forward, _backward)


@jax.custom_vjp
def gelu(x: jax.Array) -> jax.Array:
    """x times the normal distribution's share below it, of any shape and float type.

    jax.nn.gelu computes it by erfc, of which XLA makes three passes on a CPU, and keeps three
    arrays for the backward pass: 1.5 times this one's processor time. This keeps x alone.

    Source: Hendrycks, Gimpel 2016, "Gaussian Error Linear Units", section 2; without its tanh.
    """
    return x * _below(x)


def _gelu_forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return x * _below(x), x


def _gelu_backward(x: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    density = jnp.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
    return (gradient * (_below(x) + x * density),)


gelu.defvjp(_gelu_forward, _gelu_backward)


def _below(x: jax.Array) -> jax.Array:
    """The standard normal distribution function."""
    return 0.5 * (1 + jax.lax.erf(x * math.sqrt(0.5)))


def dropout(x: jax.Array, seed: jax.Array | None, rate: float) -> jax.Array:
    """Zeroes each element with probability rate and scales the others by 1 / (1 - rate).

    Which elements is a hash of (seed, position): the same on every backend and for any sharding.
    threefry would do, but it is a fifth of a training step on a CPU and half of its compilation.

    Args:
      x: any shape, of fewer than 2^32 elements.
      seed: [] uint32; None outside training, where x is returned as it is.
      rate: in [0, 1).
    """
    if seed is None or rate == 0.0:
        return x
    position = jnp.arange(x.size, dtype=jnp.uint32).reshape(x.shape)
    drawn = mix(mix(position) ^ seed)
    return jnp.where(drawn >= jnp.uint32(round(rate * 2**32)), x * (1.0 / (1.0 - rate)), 0.0)


def mix(x: jax.Array) -> jax.Array:
    """A bijection of uint32 in which every input bit flips each output bit half of the time.

    Source: C. Wellons, hash-prospector (2018), "lowbias32".
    """
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
