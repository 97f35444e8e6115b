"""The recurrence: PyTorch's states and gradients, and that nobody reads padding."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_table import QUICK

from jaxdistill.models import lstm
from jaxdistill.models.lstm import bilstm, recurrence

jit = functools.partial(jax.jit, compiler_options=QUICK)
W, N, E, H = 5, 4, 3, 6
LENGTHS = np.array([5, 1, 3, 4])
MASK = np.arange(W)[:, None] < LENGTHS[None]  # [W, N]
WAYS = [(every, together) for every in (False, True) for together in (False, True)]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(W, N, E))
INTO = RNG.normal(size=(2, E, 4 * H)) / 2
ONTO = RNG.normal(size=(2, H, 4 * H)) / 2
BIAS = RNG.normal(size=(2, 4 * H))
PULL = RNG.normal(size=(W, N, 2 * H))
"""What the states are weighted by, so that each has a gradient of its own."""


def loss(leaves, every, together, precision="float32", mask=MASK, pull=PULL):
    x, into, onto, bias = leaves
    states = bilstm(
        x, jnp.asarray(mask), (into, onto), bias, precision, every=every, together=together
    )
    pull = jnp.asarray(pull if every else pull[0])
    there = jnp.asarray(mask)[..., None] if every else True
    return jnp.where(there, jnp.sin(states) * pull, 0.0).sum(), states


@functools.cache
def torch_states_and_gradients():
    """[W, N, 2H] (0 on padding), [N, 2H], and by `every` the gradients of x, into, onto, bias."""
    torch = pytest.importorskip("torch")
    net = torch.nn.LSTM(E, H, bidirectional=True).double()
    with torch.no_grad():
        for k, name in enumerate(("", "_reverse")):
            getattr(net, f"weight_ih_l0{name}").copy_(torch.tensor(INTO[k].T))
            getattr(net, f"weight_hh_l0{name}").copy_(torch.tensor(ONTO[k].T))
            getattr(net, f"bias_ih_l0{name}").copy_(torch.tensor(BIAS[k]))
            getattr(net, f"bias_hh_l0{name}").zero_()
    x = torch.tensor(X, requires_grad=True)
    pack = torch.nn.utils.rnn.pack_padded_sequence
    packed = pack(x, torch.tensor(LENGTHS), enforce_sorted=False)
    outputs, (last, _) = net(packed)
    states = torch.nn.utils.rnn.pad_packed_sequence(outputs)[0]
    last = torch.cat([last[0], last[1]], -1)
    gradients = {}
    for every, found in ((True, states), (False, last)):
        net.zero_grad()
        x.grad = None
        pull = torch.tensor(PULL if every else PULL[0])
        (torch.sin(found) * pull).sum().backward(retain_graph=True)
        stacked = [
            np.stack([getattr(net, f"{name}_l0{way}").grad.numpy().T for way in ("", "_reverse")])
            for name in ("weight_ih", "weight_hh", "bias_ih")
        ]
        gradients[every] = [x.grad.numpy().copy(), *(leaf.copy() for leaf in stacked)]
    return states.detach().numpy(), last.detach().numpy(), gradients


@pytest.mark.parametrize(("every", "together"), WAYS)
def test_states_and_gradients_are_those_of_pytorchs_packed_lstm(every, together):
    states, last, gradients = torch_states_and_gradients()
    with jax.enable_x64(True):
        leaves = [jnp.asarray(leaf) for leaf in (X, INTO, ONTO, BIAS)]
        found, grads = jit(
            jax.grad(functools.partial(loss, every=every, together=together), has_aux=True)
        )(leaves)[::-1]
        assert found.dtype == jnp.float64
    found = np.where(MASK[..., None], found, 0.0) if every else found
    np.testing.assert_allclose(found, states if every else last, rtol=0, atol=1e-12)
    for ours, theirs in zip(grads, gradients[every], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_the_gradient_is_that_of_the_loop_as_it_is_written():
    """Without PyTorch: by autodiff through the loop itself."""
    gates = jnp.asarray(RNG.normal(size=(W, 2, N, 4 * H)), jnp.float32)
    kernel = jnp.asarray(ONTO, jnp.float32)
    mask = jnp.stack([jnp.asarray(MASK), jnp.asarray(MASK[::-1])], 1)
    pull = jnp.asarray(RNG.normal(size=(W, 2, N, H)), jnp.float32)

    def total(run, every, gates, kernel):
        states = run(gates, kernel, mask, "float32", every)
        return (jnp.sin(states) * (pull if every else pull[0])).sum()

    def plain(*inputs):
        return lstm._loop(*inputs, keep=False)[0]

    for every in (False, True):
        ours, expected = (
            jit(jax.grad(functools.partial(total, run, every), argnums=(0, 1)))(gates, kernel)
            for run in (recurrence, plain)
        )
        for one, other in zip(ours, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_narrow_operands_are_near(precision):
    leaves = [jnp.asarray(leaf, jnp.float32) for leaf in (X, INTO, ONTO, BIAS)]
    exact, near = (
        jit(
            jax.grad(functools.partial(loss, every=True, together=False, precision=p), has_aux=True)
        )(leaves)
        for p in ("float32", precision)
    )
    assert near[1].dtype == jnp.float32
    for one, other in zip(jax.tree.leaves(near), jax.tree.leaves(exact), strict=True):
        distance = np.linalg.norm(one - other) / np.linalg.norm(other)
        assert 1e-6 < distance < 2e-2


def test_padding_and_neighbours_change_nothing():
    """A text alone, and in a wider batch beside others with anything in its padding."""
    leaves = [np.asarray(leaf, np.float32) for leaf in (X, INTO, ONTO, BIAS)]
    wide = RNG.normal(size=(2 * W, N, E)).astype(np.float32) * 100
    wide[:W] = leaves[0]
    mask = np.concatenate([MASK, np.zeros_like(MASK)])
    pull = np.concatenate([PULL, PULL])
    for every in (False, True):
        run = functools.partial(loss, every=every, together=False, mask=mask, pull=pull)
        grads, states = jit(jax.grad(run, has_aux=True))([wide, *leaves[1:]])
        assert not np.asarray(grads[0])[~mask].any()
        for n in (2, 3):
            length, part = LENGTHS[n], slice(n, n + 1)
            there, its = np.ones((length, 1), bool), PULL[:length, part]
            run = functools.partial(loss, every=every, together=False, mask=there, pull=its)
            _, expected = jit(run)([leaves[0][:length, part], *leaves[1:]])
            found = states[:length, part] if every else states[part]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_one_direction_reads_forwards():
    leaves = [
        jnp.asarray(X, jnp.float32),
        *(jnp.asarray(p[:1], jnp.float32) for p in (INTO, ONTO, BIAS)),
    ]
    run = functools.partial(loss, every=True, together=False, pull=PULL[..., :H])
    _, states = jit(run)(leaves)
    both = [jnp.asarray(leaf, jnp.float32) for leaf in (X, INTO, ONTO, BIAS)]
    _, expected = jit(functools.partial(loss, every=True, together=False))(both)
    assert states.shape == (W, N, H)
    np.testing.assert_allclose(states, expected[..., :H], rtol=1e-6)
