"""Models by name: from a plain description to a module, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from jaxdistill.errors import UserError
from jaxdistill.models.arithmetic import PRECISIONS
from jaxdistill.models.attention import fused_runs
from jaxdistill.models.bert import Bert, BertShape, initial_params

MODELS = {"bert": (BertShape, Bert)}
"""The architectures by the name a run's model.json gives: what fixes the shape, and the module."""


def build(name: str, shape: Mapping[str, Any], precision: str, *, scores: bool = False) -> Bert:
    """The module of a description such as model.json holds.

    Args:
      name: a key of MODELS.
      shape: its shape's fields.
      precision: of the contractions, see models.arithmetic.
      scores: whether somebody will read the attention scores; else a GPU may fuse them away.
    """
    if name not in MODELS:
        raise UserError(f"Model {name!r} is not one of {', '.join(MODELS)}.")
    if precision not in PRECISIONS:
        raise UserError(f"Precision {precision!r} is not one of {', '.join(PRECISIONS)}.")
    make_shape, module = MODELS[name]
    described = make_shape(**shape)
    fused = not scores and fused_runs(described.width // described.heads, precision)
    return module(described, precision, unroll=jax.default_backend() == "cpu", fused=fused)


def describe(model: Bert) -> tuple[str, dict[str, Any]]:
    """Name and shape as plain data; the inverse of build but for the precision."""
    name = next(name for name, (_, module) in MODELS.items() if module is type(model))
    return name, dataclasses.asdict(model.shape)


def abstract_params(model: Bert) -> Any:
    """The model's parameter tree with jax.ShapeDtypeStruct as leaves; computes nothing."""
    return jax.eval_shape(lambda: initial_params(model, jax.random.key(0)))
