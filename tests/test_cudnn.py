"""The call of cuDNN's LSTM, with jax's reference of it in its place: no GPU is needed."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn
from test_table import QUICK

from jaxdistill.models import cudnn
from jaxdistill.models.bilstm import BiLstm, BiLstmShape, initial_bilstm
from jaxdistill.models.build import build
from jaxdistill.presets import PLAIN
from jaxdistill.types import Batch

FIELDS = {f.name: PLAIN[f.name] for f in dataclasses.fields(BiLstmShape) if f.name in PLAIN}
SHAPE = BiLstmShape(
    **{**FIELDS, "width": 5, "hidden": 6, "channels": 2}, vocab=20, texts=2, classes=3
)
LENGTHS = np.array([[4, 7], [1, 0], [5, 2]])  # of [B, S]; one text without a word


def reference(x, h, c, weights, lengths, inputs, hidden, layers, rate, both, precision=None):
    """rnn.lstm, which only a GPU has, of weights as it lays them out."""
    parts = rnn.unpack_lstm_weights(weights, inputs, hidden, layers, both)
    return rnn.lstm_ref(x, h, c, *parts, lengths, inputs, hidden, layers, rate, both)


@pytest.fixture
def gpu(monkeypatch):
    """As on one GPU."""
    monkeypatch.setattr(rnn, "lstm", reference)
    monkeypatch.setattr(cudnn.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(cudnn.jax, "device_count", lambda: 1)
    cudnn.fused_lstm_runs.cache_clear()
    yield
    cudnn.fused_lstm_runs.cache_clear()


def batch():
    words = np.random.default_rng(0).integers(1, 20, (3, 2, 8)).astype(np.int32)
    words = np.where(np.arange(8) < LENGTHS[..., None], words, 0)
    row = np.arange(3, dtype=np.int32)
    token = np.zeros((3, 1), np.int32)
    return Batch(row, token, token, token == 0, row, np.ones(3, np.float32), words)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("pooling", ["final", "max"])
def test_it_is_the_loop_forwards_and_backwards(gpu, pooling, directions):
    shape = dataclasses.replace(SHAPE, pooling=pooling, directions=directions)
    loop, fused = (BiLstm(shape, fused=fused) for fused in (False, True))
    params = initial_bilstm(loop, jax.random.key(0))
    pull = np.random.default_rng(1).normal(size=(3, 3))

    def loss(model):
        def weighted(params):
            logits = model.apply({"params": params}, batch()).logits
            return (logits * pull).sum(), logits

        step = jax.jit(jax.value_and_grad(weighted, has_aux=True), compiler_options=QUICK)
        return step(params)

    ((_, expected), slopes), ((_, found), steps) = loss(loop), loss(fused)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    assert np.abs(slopes["lstm"]["hidden"]["kernel"]).max() > 1e-3
    for ours, theirs in zip(jax.tree.leaves(steps), jax.tree.leaves(slopes), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


def test_of_a_text_without_a_word_nothing_is_said_and_nothing_learnt(gpu):
    x = np.full((4, 2, 3), np.nan, np.float32)  # [W, N, E], whatever lies on padding
    x[:2, 0] = 1.0
    mask = jnp.asarray(np.arange(4)[:, None] < np.array([2, 0]))
    kernels = (jnp.ones((2, 3, 8)), jnp.ones((2, 2, 8)))

    def states(x, every):
        return cudnn.fused_bilstm(x, mask, kernels, jnp.zeros((2, 8)), every=every)

    def found(x):
        slope = jax.grad(lambda x: states(x, False).sum())(x)
        return states(x, False), states(x, True), slope

    last, every, slope = map(np.asarray, jax.jit(found, compiler_options=QUICK)(x))
    assert last[0].all() and not last[1].any()
    for each in (every, slope):
        assert each[:2, 0].all() and not each[2:, 0].any() and not each[:, 1].any()


def test_it_is_chosen_where_it_runs_and_computes_what_the_loop_does(gpu, monkeypatch):
    def chosen():
        cudnn.fused_lstm_runs.cache_clear()
        return build("bilstm", dataclasses.asdict(SHAPE), "bfloat16").fused

    def without_a_gate(x, h, c, weights, *sizes):
        return reference(x, h, c, weights.at[:60].set(0), *sizes)

    def without_a_gradient(x, *rest):
        return reference(jax.lax.stop_gradient(x), *rest)

    def refused(*given):
        raise RuntimeError("CUDNN_STATUS_NOT_SUPPORTED")

    assert chosen()
    for wrong in (without_a_gate, without_a_gradient, refused):
        with monkeypatch.context() as patch:
            patch.setattr(rnn, "lstm", wrong)
            assert not chosen()
    assert chosen()
    with monkeypatch.context() as patch:
        patch.setattr(cudnn.jax, "device_count", lambda: 2)
        assert not chosen()
    with monkeypatch.context() as patch:
        patch.setattr(cudnn.jax, "default_backend", lambda: "cpu")
        assert not chosen()
