"""The fused kernel's path, with another implementation of the same call: no GPU is needed."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from jaxdistill.models import attention
from jaxdistill.models.bert import Bert, BertShape, initial_params
from jaxdistill.models.build import build
from jaxdistill.types import Batch

SHAPE = BertShape(vocab=30, width=20, layers=2, heads=2, inner=24, classes=3, positions=16)


@pytest.fixture
def kernel(monkeypatch):
    """As on a GPU, with XLA's own attention for cuDNN's."""
    monkeypatch.setattr(attention, "KERNEL", "xla")
    monkeypatch.setattr(attention.jax, "default_backend", lambda: "gpu")
    attention.fused_runs.cache_clear()
    yield
    attention.fused_runs.cache_clear()


def batch():
    ids = np.random.default_rng(0).integers(0, 30, (3, 12)).astype(np.int32)
    mask = np.arange(12) < np.array([[12], [7], [1]])
    rows = np.arange(3, dtype=np.int32)
    return Batch(rows, ids, np.zeros_like(ids), mask, rows, np.ones(3, np.float32))


def outputs(model, params, train):
    rngs = {"dropout": jax.random.key(3)} if train else None
    run = jax.jit(lambda p: model.apply({"params": p}, batch(), train=train, rngs=rngs))
    return run(params)


@pytest.mark.parametrize("train", [False, True])
def test_fused_attention_is_the_same_and_pads_a_heads_width(kernel, train):
    shape = dataclasses.replace(SHAPE, attention_dropout=0.0)  # heads of 10, padded to 16
    plain, fused = (Bert(shape, "bfloat16", unroll=False, fused=fused) for fused in (False, True))
    params = initial_params(plain, jax.random.key(0))
    params = jax.tree.map(lambda leaf: leaf * 5, params)  # scores that matter
    expected, found = outputs(plain, params, train), outputs(fused, params, train)
    assert np.abs(expected.scores).max() > 1
    mask = batch().mask
    np.testing.assert_allclose(found.logits, expected.logits, atol=0.02 * np.ptp(expected.logits))
    for ours, theirs in zip(found.hiddens, expected.hiddens, strict=True):
        np.testing.assert_allclose(ours[mask], theirs[mask], atol=0.15)


def test_where_attention_drops_out_the_kernel_is_not_used(kernel):
    plain, fused = (Bert(SHAPE, "bfloat16", unroll=False, fused=fused) for fused in (False, True))
    params = initial_params(plain, jax.random.key(0))
    np.testing.assert_array_equal(
        outputs(plain, params, True).logits, outputs(fused, params, True).logits
    )


def test_it_is_chosen_where_it_runs_and_nobody_reads_scores(kernel, monkeypatch):
    def chosen(**how):
        return build("bert", dataclasses.asdict(SHAPE), how.pop("precision", "bfloat16"), **how)

    assert chosen().fused
    assert not chosen(scores=True).fused
    assert not chosen(precision="float32").fused
    attention.fused_runs.cache_clear()
    monkeypatch.setattr(attention, "fused_context", lambda q, k, v, lengths, precision: v)
    assert not chosen().fused  # it runs, and computes something else
    attention.fused_runs.cache_clear()
    monkeypatch.setattr(attention, "KERNEL", "cudnn")
    monkeypatch.undo()
    assert not chosen().fused  # no GPU
