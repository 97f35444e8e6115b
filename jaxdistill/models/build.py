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
from jaxdistill.models.bilstm import BiLstm, BiLstmShape, initial_bilstm
from jaxdistill.models.cudnn import fused_lstm_runs

Model = Bert | BiLstm
Shape = BertShape | BiLstmShape
MODELS: dict[str, tuple[type[Any], type[Any]]] = {
    "bert": (BertShape, Bert),
    "bilstm": (BiLstmShape, BiLstm),
}
"""The architectures by the name a run's model.json gives: what fixes the shape, and the module."""


def build(name: str, shape: Mapping[str, Any], precision: str, *, scores: bool = False) -> Model:
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
    described = MODELS[name][0](**shape)
    on_cpu = jax.default_backend() == "cpu"
    if isinstance(described, BiLstmShape):
        return BiLstm(described, precision, together=not on_cpu, fused=fused_lstm(described))
    fused = not scores and fused_runs(described.width // described.heads, precision)
    return Bert(described, precision, unroll=on_cpu, fused=fused)


def fused_lstm(shape: BiLstmShape) -> bool:
    """Whether this machine computes such an LSTM by cuDNN's call."""
    return fused_lstm_runs(shape.width * shape.channels, shape.hidden, shape.directions)


def name_of(shape: Shape) -> str:
    """The key of MODELS whose shape it is."""
    return next(name for name, (known, _) in MODELS.items() if known is type(shape))


def describe(model: Model) -> tuple[str, dict[str, Any]]:
    """Name and shape as plain data; the inverse of build but for the precision."""
    return name_of(model.shape), dataclasses.asdict(model.shape)


def computed_in(model: Model) -> str:
    """The numbers of a model's products, for people."""
    by_cudnn = isinstance(model, BiLstm) and model.fused
    return "float32 by cuDNN" if by_cudnn else model.precision


def in_words(shape: Shape) -> str:
    """An architecture and its size, for people."""
    if isinstance(shape, BiLstmShape):
        kind = "BiLSTM" if shape.directions == 2 else "LSTM"
        return f"{kind} {shape.width * shape.channels}-{shape.hidden}, {shape.vocab:,} words"
    return f"BERT {shape.layers}x{shape.width}"


def draw(model: Model, key: jax.Array) -> Any:
    """New parameters of the model."""
    return initial_bilstm(model, key) if isinstance(model, BiLstm) else initial_params(model, key)


def abstract_params(model: Model) -> Any:
    """The model's parameter tree with jax.ShapeDtypeStruct as leaves; computes nothing."""
    return jax.eval_shape(lambda: draw(model, jax.random.key(0)))
