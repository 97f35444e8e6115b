"""config.json of a Hugging Face BERT, from and to a BertShape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxdistill.errors import UserError
from jaxdistill.models.bert import ACTIVATIONS, BertShape

_SIZES = {
    "vocab": "vocab_size",
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "inner": "intermediate_size",
}
_FORMAT_DEFAULTS: Mapping[str, Any] = {
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "classifier_dropout": None,
    "initializer_range": 0.02,
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}
"""What a key that is left out means, by the format's definition (transformers' BertConfig). Old
files, Google's and TinyBERT's among them, leave several out."""


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder; UserError where it is no JSON object."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} holds a {type(config).__name__}, not a JSON object.")
    return config


def shape_from_config(config: Mapping[str, Any], classes: int) -> BertShape:
    """The shape that a config.json describes, with a classifier of so many outputs.

    Raises:
      UserError: another architecture than BERT, by name; an activation, position embedding or
        decoder that BertShape cannot say; a size that is absent or wrong. All in one paragraph.
    """
    _refuse_other_models(config)
    missing = [name for name in _SIZES.values() if name not in config]
    if missing:
        raise UserError(f"config.json lacks {', '.join(missing)}: a BERT's config.json has them.")
    c = {**_FORMAT_DEFAULTS, **config}
    counts = (*_SIZES.values(), "max_position_embeddings", "type_vocab_size")
    wrong = [f"{k} is {c[k]!r}, not a positive integer" for k in counts if not _positive(c[k])]
    if not wrong and c["hidden_size"] % c["num_attention_heads"]:
        wrong.append(
            f"hidden_size {c['hidden_size']} is not divisible by num_attention_heads "
            f"{c['num_attention_heads']}"
        )
    if c["hidden_act"] not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        wrong.append(f"hidden_act {c['hidden_act']!r} is not supported (supported: {known})")
    if c["position_embedding_type"] != "absolute":
        wrong.append(
            f"position_embedding_type {c['position_embedding_type']!r} is not supported "
            "(supported: absolute)"
        )
    if c["is_decoder"] or c["add_cross_attention"]:
        wrong.append("it is a decoder (is_decoder or add_cross_attention); encoders are supported")
    head_dropout = c["classifier_dropout"]
    if head_dropout is None:  # the format's rule as well
        head_dropout = c["hidden_dropout_prob"]
    floats = {
        "layer_norm_eps": c["layer_norm_eps"],
        "hidden_dropout_prob": c["hidden_dropout_prob"],
        "attention_probs_dropout_prob": c["attention_probs_dropout_prob"],
        "classifier_dropout": head_dropout,
        "initializer_range": c["initializer_range"],
    }
    wrong += [f"{k} is {v!r}, not a number in [0, 1)" for k, v in floats.items() if not _unit(v)]
    if wrong:
        raise UserError(f"config.json does not describe a BERT we can run: {'; '.join(wrong)}.")
    return BertShape(
        **{ours: c[theirs] for ours, theirs in _SIZES.items()},
        classes=classes,
        positions=c["max_position_embeddings"],
        segments=c["type_vocab_size"],
        activation=c["hidden_act"],
        norm_epsilon=float(c["layer_norm_eps"]),
        dropout=float(c["hidden_dropout_prob"]),
        attention_dropout=float(c["attention_probs_dropout_prob"]),
        head_dropout=float(head_dropout),
        initial_std=float(c["initializer_range"]),
    )


def config_from_shape(
    shape: BertShape, labels: tuple[str, ...], *, many: bool = False
) -> dict[str, Any]:
    """config.json of a BertForSequenceClassification of this shape, as transformers reads it.

    Args:
      labels: the classes' names in the order of the logits; () for a regression (classes 1).
      many: whether a text may have any number of them.

    Raises:
      UserError: names and outputs that are not equally many.
    """
    if len(labels) != shape.classes and (labels or shape.classes != 1):
        raise UserError(
            f"{len(labels)} label names ({', '.join(labels)}) for a classifier of {shape.classes} "
            "outputs: name each, or none for the one output of a regression."
        )
    names = labels if labels else ("LABEL_0",)
    kind = "multi_label_classification" if many else "single_label_classification"
    return {
        **headless_config(shape, "BertForSequenceClassification"),
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
        "problem_type": kind if labels else "regression",
    }


def headless_config(shape: BertShape, architecture: str) -> dict[str, Any]:
    """config.json of a BERT of this shape that classifies nothing, as transformers reads it.

    architecture: its class there, such as BertModel.
    """
    return {
        "architectures": [architecture],
        "model_type": "bert",
        **{theirs: getattr(shape, ours) for ours, theirs in _SIZES.items()},
        "max_position_embeddings": shape.positions,
        "type_vocab_size": shape.segments,
        "hidden_act": shape.activation,
        "layer_norm_eps": shape.norm_epsilon,
        "hidden_dropout_prob": shape.dropout,
        "attention_probs_dropout_prob": shape.attention_dropout,
        "classifier_dropout": shape.head_dropout,
        "initializer_range": shape.initial_std,
        "position_embedding_type": "absolute",
        "pad_token_id": 0,
        "dtype": "float32",
    }


KINDS = ("single_label_classification", "multi_label_classification")
"""What problem_type may say of a classifier with two outputs or more."""


class Head(NamedTuple):
    """What a classifier's outputs stand for."""

    labels: tuple[str, ...]
    """Their names in order; () of a regression."""
    regression: bool
    many: bool | None
    """Whether a text may have any number of the labels; None where the config does not say."""


def head_from_config(config: Mapping[str, Any], classes: int) -> Head:
    """What problem_type and id2label say of a classifier.

    A regression (problem_type, or one output) has no names. Without id2label, the format's own
    LABEL_0, LABEL_1 ... are given.

    Args:
      classes: the outputs that the classifier in the weight file has.

    Raises:
      UserError: id2label does not number the outputs from 0, or the head is of another kind, such
        as one of several numbers.
    """
    kind = config["problem_type"] if "problem_type" in config else None
    if kind == "regression" or classes == 1:
        if classes != 1 or kind not in (None, "regression"):
            raise UserError(
                f"config.json says problem_type {kind!r} and the classifier has {classes} outputs; "
                "supported are a regression of 1 and a classification of 2 or more."
            )
        return Head((), regression=True, many=False)
    if kind not in (None, *KINDS):
        raise UserError(
            f"config.json says problem_type {kind!r}, which is not supported; supported: "
            f"{', '.join(KINDS)}, regression."
        )
    many = None if kind is None else kind == KINDS[1]
    if "id2label" not in config:
        return Head(tuple(f"LABEL_{i}" for i in range(classes)), regression=False, many=many)
    try:
        names = {int(k): str(v) for k, v in config["id2label"].items()}
    except (AttributeError, ValueError) as error:
        raise UserError(f"config.json's id2label {config['id2label']!r} is no table.") from error
    if sorted(names) != list(range(classes)) or len(set(names.values())) != classes:
        raise UserError(
            f"config.json's id2label names {names}, but the classifier in the weight file has "
            f"{classes} outputs: it must name 0 to {classes - 1}, each differently."
        )
    return Head(tuple(names[i] for i in range(classes)), regression=False, many=many)


def _refuse_other_models(config: Mapping[str, Any]) -> None:
    names = config["architectures"] if "architectures" in config else None
    names = names if isinstance(names, list) else []
    if "model_type" in config and config["model_type"] != "bert":
        raise UserError(f"model_type {config['model_type']!r} is not supported; supported: bert.")
    other = [name for name in names if not str(name).startswith(("Bert", "TinyBert"))]
    if other:
        raise UserError(f"architecture {other[0]!r} is not supported; supported: Bert...")


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _unit(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1
