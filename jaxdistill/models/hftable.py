"""Which array of bert.py is which tensor of a Hugging Face checkpoint: one table, read both ways.

Hugging Face keeps a dense layer's weight as [out, in] and one tensor per layer; here kernels are
[in, out] and the layers stacked on axis 0.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxdistill.models.bert import BertShape

_TABLE = (("embedding", "weight"),)
_DENSE = (("kernel", "weight"), ("bias", "bias"))
_NORM = (("scale", "weight"), ("bias", "bias"))


class _Row(NamedTuple):
    ours: str
    """Path of a module in the parameter tree."""
    theirs: str
    """Its name in a BertModel, or beside one for a head; {} for the layer's number."""
    leaves: tuple[tuple[str, str], ...]
    """(our leaf, their leaf) of the module."""
    axes: str
    """Axes of our first leaf, keys of sizes in leaves(); a bias has the last. "?": any length."""


_ROWS = (
    _Row("embeddings/word", "embeddings.word_embeddings", _TABLE, "VD"),
    _Row("embeddings/position", "embeddings.position_embeddings", _TABLE, "PD"),
    _Row("embeddings/segment", "embeddings.token_type_embeddings", _TABLE, "SD"),
    _Row("embeddings/norm", "embeddings.LayerNorm", _NORM, "D"),
    _Row("layers/query", "encoder.layer.{}.attention.self.query", _DENSE, "DD"),
    _Row("layers/key", "encoder.layer.{}.attention.self.key", _DENSE, "DD"),
    _Row("layers/value", "encoder.layer.{}.attention.self.value", _DENSE, "DD"),
    _Row("layers/attention_out", "encoder.layer.{}.attention.output.dense", _DENSE, "DD"),
    _Row("layers/attention_norm", "encoder.layer.{}.attention.output.LayerNorm", _NORM, "D"),
    _Row("layers/ffn_in", "encoder.layer.{}.intermediate.dense", _DENSE, "DF"),
    _Row("layers/ffn_out", "encoder.layer.{}.output.dense", _DENSE, "FD"),
    _Row("layers/ffn_norm", "encoder.layer.{}.output.LayerNorm", _NORM, "D"),
    _Row("pooler", "pooler.dense", _DENSE, "DD"),
    _Row("classifier", "classifier", _DENSE, "DC"),
    _Row("mlm/dense", "cls.predictions.transform.dense", _DENSE, "DD"),
    _Row("mlm/norm", "cls.predictions.transform.LayerNorm", _NORM, "D"),
    _Row("mlm", "cls.predictions", (("bias", "bias"),), "V"),
    # TinyBERT's projections, student width to teacher width: one that all hidden states share, or
    # (its second release) one for each of the L+1.
    _Row("projection", "fit_dense", _DENSE, "D?"),
    _Row("projections", "fit_denses.{}", _DENSE, "D?"),
)


class Leaf(NamedTuple):
    """One array of ours, and the tensor or tensors of theirs that it is made of."""

    path: tuple[str, ...]
    names: tuple[str, ...]
    """Without "bert."; one per layer where stacked."""
    stacked: bool
    shape: tuple[int | None, ...]
    """Of each of their tensors; None: any length."""
    transposed: bool


def leaves(shape: BertShape) -> tuple[Leaf, ...]:
    """Every array that a checkpoint of this shape may hold; projections come last."""
    sizes: dict[str, int | None] = {
        "V": shape.vocab,
        "P": shape.positions,
        "S": shape.segments,
        "D": shape.width,
        "F": shape.inner,
        "C": shape.classes,
        "?": None,
    }
    out = []
    for row in _ROWS:
        stacked = "{}" in row.theirs
        count = shape.layers + (row.ours == "projections") if stacked else 1
        for ours, theirs in row.leaves:
            axes = row.axes[-1] if ours == "bias" else row.axes
            transposed = ours == "kernel"
            out.append(
                Leaf(
                    path=(*row.ours.split("/"), ours),
                    names=tuple(f"{row.theirs.format(i)}.{theirs}" for i in range(count)),
                    stacked=stacked,
                    shape=tuple(sizes[a] for a in (axes[::-1] if transposed else axes)),
                    transposed=transposed,
                )
            )
    return tuple(out)


def expected(shape: BertShape) -> dict[str, tuple[int, ...]]:
    """The shape of every array in the tree of bert.py by path ("layers/query/kernel")."""
    out = {}
    for leaf in leaves(shape):
        if not leaf.path[0].startswith("projection"):
            own = leaf.shape[::-1] if leaf.transposed else leaf.shape
            layers = (len(leaf.names),) if leaf.stacked else ()
            out["/".join(leaf.path)] = layers + tuple(n for n in own if n is not None)
    return out
