"""A precision that this machine cannot run is found out before a run depends on it."""

from __future__ import annotations

import jax
import pytest

from jaxdistill import precisions
from jaxdistill.models import arithmetic, probe
from jaxdistill.models.bert import BertShape
from jaxdistill.models.bilstm import BiLstmShape

SIZES = {"width": 16, "inner": 32, "heads": 2}


@pytest.mark.parametrize("precision", arithmetic.PRECISIONS)
def test_every_precision_runs_here(precision):
    assert probe.runs(precision, **SIZES)


def test_a_backend_that_refuses_is_found_out(monkeypatch):
    def refuses(equation, left, right, precision):
        if precision == "float32":
            return arithmetic.contract(equation, left, right, precision)
        raise jax.errors.JaxRuntimeError("UNIMPLEMENTED: Unsupported element type for DotThunk")

    monkeypatch.setattr(probe, "contract", refuses)
    assert not probe.runs("bfloat16", **SIZES)
    assert probe.runs("float32", **SIZES)


def test_a_backend_that_computes_something_else_is_found_out(monkeypatch):
    def wrong(equation, left, right, precision):
        sign = 1.0 if precision == "float32" else 0.9
        return sign * arithmetic.contract(equation, left, right, "float32")

    monkeypatch.setattr(probe, "contract", wrong)
    assert not probe.runs("bfloat16", **SIZES)


def test_the_choice_is_kept_in_the_run(monkeypatch, tmp_path):
    shape = (BertShape(vocab=8, width=16, layers=1, heads=2, inner=32, classes=2),)
    told = []
    monkeypatch.setattr(precisions, "runs", lambda precision, **sizes: precision == "float16")
    assert precisions.settle(tmp_path, shape, told.append, "bfloat16") == "float32"
    assert precisions.settle(tmp_path, shape, told.append, "float16") == "float16"
    assert len(told) == 1 and "bfloat16" in told[0]
    monkeypatch.setattr(precisions, "runs", lambda precision, **sizes: precision == "bfloat16")
    assert precisions.settle(tmp_path, shape, told.append, "bfloat16") == "float32"  # as it began
    assert precisions.settle(tmp_path, shape, told.append, "float16") == "float16"


LSTM = BiLstmShape(
    vocab=8,
    width=4,
    channels=1,
    hidden=5,
    directions=2,
    pooling="final",
    texts=1,
    pairs="sum",
    dense=0,
    activation="tanh",
    classes=2,
    embedding_dropout=0.0,
    encoder_dropout=0.0,
    head_dropout=0.0,
)


def test_a_teacher_that_cannot_is_found_out_too(monkeypatch, tmp_path):
    teacher = BertShape(vocab=8, width=16, layers=1, heads=2, inner=32, classes=2)
    monkeypatch.setattr(precisions, "runs", lambda precision, **sizes: False)
    alone, taught = tmp_path / "alone", tmp_path / "taught"
    alone.mkdir()
    taught.mkdir()
    assert precisions.settle(alone, (LSTM,), print, "bfloat16") == "bfloat16"
    assert precisions.settle(taught, (LSTM, teacher), print, "bfloat16") == "float32"


def test_another_lstm_than_the_run_began_with_is_told(monkeypatch, tmp_path):
    told = []
    for fused in (True, True, False):
        monkeypatch.setattr(precisions, "fused_lstm", lambda shape, fused=fused: fused)
        precisions.tell_lstm(tmp_path, LSTM, told.append)
    (said,) = told
    assert "began with cuDNN's LSTM" in said and "goes on with the loop" in said
    assert precisions.settle(tmp_path, (LSTM,), print, "float32") == "float32"
