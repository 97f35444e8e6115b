"""A precision that this machine cannot run is found out before a run depends on it."""

from __future__ import annotations

import jax
import pytest

from jaxdistill import precisions
from jaxdistill.models import arithmetic, probe
from jaxdistill.models.bert import BertShape

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
    shape = BertShape(vocab=8, width=16, layers=1, heads=2, inner=32, classes=2)
    told = []
    monkeypatch.setattr(precisions, "runs", lambda precision, **sizes: precision == "float16")
    assert precisions.settle(tmp_path, shape, told.append, "bfloat16") == "float32"
    assert precisions.settle(tmp_path, shape, told.append, "float16") == "float16"
    assert len(told) == 1 and "bfloat16" in told[0]
    monkeypatch.setattr(precisions, "runs", lambda precision, **sizes: precision == "bfloat16")
    assert precisions.settle(tmp_path, shape, told.append, "bfloat16") == "float32"  # as it began
    assert precisions.settle(tmp_path, shape, told.append, "float16") == "float16"
