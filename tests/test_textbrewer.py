"""The losses, their gradients too, beside those of TextBrewer's published package."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_table import QUICK

from jaxdistill.losses import (
    hidden_mse,
    mean_squared_error,
    score_mse,
    soft_cross_entropy,
    squared_distance,
    unit,
)
from jaxdistill.methods.kd import shifted

RNG = np.random.default_rng(0)
B, C, T, D, H = 4, 3, 5, 6, 2
LABELS = np.array([0, 2, 1, 1])
MASK = np.arange(T)[None] < 3
"""Of one example: TextBrewer's mean is over all tokens of a batch, ours over each example's."""


@pytest.fixture(scope="module")
def theirs():
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package is of 2021
        pytest.importorskip("textbrewer")
        from textbrewer import distiller_utils, losses
    return SimpleNamespace(**vars(losses), shift=distiller_utils.probability_shift_)


LOSSES = {
    "soft cross-entropy": (
        (B, C),
        lambda s, t, m: soft_cross_entropy(s, t, 4.0).mean(),
        lambda of, s, t, m: of.kd_ce_loss(s, t, temperature=4.0),
    ),
    "logits' mean squared error": (
        (B, C),
        lambda s, t, m: mean_squared_error(s / 4.0, t / 4.0).mean(),
        lambda of, s, t, m: of.kd_mse_loss(s, t, temperature=4.0),
    ),
    "soft cross-entropy with the teacher's mistakes mended": (
        (B, C),
        lambda s, t, m: soft_cross_entropy(s, shifted(t, jnp.asarray(LABELS)), 1.0).mean(),
        lambda of, s, t, m: of.kd_ce_loss(s, of.shift(t.clone(), LABELS)),
    ),
    "PKD": (
        (B, T, D),
        lambda s, t, m: squared_distance(unit(s[:, 0]), unit(t[:, 0])).mean(),
        lambda of, s, t, m: of.pkd_loss(s, t),
    ),
    "hidden states": (
        (1, T, D),
        lambda s, t, m: hidden_mse(s, t, m).mean(),
        lambda of, s, t, m: of.hid_mse_loss(s, t, mask=m),
    ),
    "hidden states without padding": (
        (B, T, D),
        lambda s, t, m: hidden_mse(s, t, jnp.ones((B, T), bool)).mean(),
        lambda of, s, t, m: of.hid_mse_loss(s, t),
    ),
    "attention scores": (
        (1, H, T, T),
        lambda s, t, m: score_mse(s, t, m).mean(),
        lambda of, s, t, m: of.att_mse_loss(s, t, mask=m),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_gradient_are_textbrewers(name, theirs):
    import torch

    shape, our_loss, their_loss = LOSSES[name]
    student, teacher = (RNG.normal(size=shape).astype(np.float32) * 3 for _ in range(2))
    step = jax.jit(jax.value_and_grad(our_loss), compiler_options=QUICK)
    value, gradient = step(student, teacher, MASK)
    s, t = torch.tensor(student, requires_grad=True), torch.tensor(teacher)
    loss = their_loss(theirs, s, t, torch.tensor(MASK))
    loss.backward()
    assert float(value) == pytest.approx(loss.item(), rel=1e-5)
    assert np.abs(gradient).max() > 1e-3
    np.testing.assert_allclose(gradient, s.grad.numpy(), rtol=1e-5, atol=1e-6)
