"""TinyBERT's task-specific distillation (Jiao et al. 2020, arXiv:1909.10351)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from jaxdistill.errors import UserError
from jaxdistill.losses import (
    binary_cross_entropy,
    hidden_mse,
    score_mse,
    soft_cross_entropy,
    squared_error,
)
from jaxdistill.losses import weighted_mean as mean
from jaxdistill.methods.layers import explicit_map, uniform_map
from jaxdistill.methods.projection import initial_projection, project
from jaxdistill.methods.taught import needed, taught
from jaxdistill.trees import merge
from jaxdistill.types import (
    Batch,
    LossFn,
    Metrics,
    Outputs,
    Params,
    Progress,
    Stage,
    States,
    Taught,
)

if TYPE_CHECKING:
    from jaxdistill.types import Array

STAGES = ("intermediate", "prediction", "joint")
PROJECTIONS = ("shared", "per_layer")

Terms = Callable[[Params, Any, Any, Batch], dict[str, jax.Array]]
"""(trained and frozen together, Outputs or States of student and teacher, batch) -> terms [] of a
loss by name."""


@dataclass(frozen=True, kw_only=True)
class TinyBert:
    """Matches embeddings, hidden states and attention scores, then predictions.

    Differs from the original code: padding is masked in every term; both models keep the head
    they were trained with (there it gets a ReLU that a teacher trained elsewhere never saw), and
    the student's drops out; a regression learns the teacher's number, there the label. The soft
    loss is not multiplied by the squared temperature, as in the code.
    """

    stages_run: tuple[str, ...]
    """("intermediate", "prediction") as in the paper; one of them, the second from a saved first;
    or ("joint",), both losses summed in one stage (seed 004)."""
    layer_map: tuple[int, ...]
    """The teacher's layer, from 1, for each of the student's; () for every N/M-th."""
    projection: str
    """From the student's width to the teacher's: "shared" by embedding and all layers (original
    code), or "per_layer" (its v2 checkpoints). Never part of the student."""
    temperature: float
    """Of the prediction loss, on both sides; 1 in the paper."""
    soft_weight: float
    """Of the prediction loss, a mean over examples of sums over classes (where a row has any number
    of labels, of means over them). 1/C gives the original
    code's mean over both, which matters in the joint stage, where it is summed with others."""

    def extras(self, rng: Any, student: Any, teacher: Any) -> Params:
        """{"projection": {"kernel" [D, D'] or [M+1, D, D'], "bias" [D'] or [M+1, D']}}.

        The identity where the widths are equal; else normal with the student's initial_std. Nothing
        where no stage that runs reads it.
        """
        if not self._matches:
            return {}
        return drawn_projection(self.projection, rng, student, teacher)

    def stages(self, student: Any, teacher: Any) -> tuple[Stage, ...]:
        """The stages that stages_run names.

        Raises UserError where states are matched and head counts differ, or the layers do not map.
        """
        known = dict.fromkeys(self.stages_run)
        if not known or any(name not in STAGES for name in known):
            raise UserError(
                f"config.method.stages_run is {self.stages_run}; it names some of "
                f"{', '.join(STAGES)}."
            )
        if not 0 < self.soft_weight < math.inf:
            raise UserError(
                f"config.method.soft_weight is {self.soft_weight:g}, and must be above 0."
            )
        chosen: tuple[int, ...] = ()
        if self._matches:
            needed(teacher, "hidden states and attention scores")
            chosen = matched_layers(self.layer_map, student, teacher)

        def intermediate(
            params: Params, ours: Outputs, theirs: Outputs, batch: Batch
        ) -> dict[str, jax.Array]:
            return intermediate_terms(params["extras"]["projection"], ours, theirs, batch, chosen)

        def prediction(
            trained: Params, frozen: Params, batch: Batch, rng: jax.Array, progress: Progress
        ) -> tuple[jax.Array, Metrics]:
            params = merge(trained, frozen)
            theirs = taught(teacher, params, batch)
            rngs = {"dropout": rng}
            ours = student.apply({"params": params["student"]}, batch, train=True, rngs=rngs)
            soft = self._prediction(ours, theirs, batch)
            return soft, {"soft": soft}

        def joint(
            params: Params, ours: Outputs, theirs: Outputs, batch: Batch
        ) -> dict[str, jax.Array]:
            soft = self._prediction(ours, theirs, batch)
            return intermediate(params, ours, theirs, batch) | {"soft": soft}

        made = {
            "intermediate": Stage(
                "intermediate",
                matching(student, teacher, intermediate),
                encoder,
                "last",
                ("hiddens", "scores"),
            ),
            "prediction": Stage("prediction", prediction, _student, "best", ("logits",)),
            "joint": Stage(
                "joint",
                matching(student, teacher, joint),
                lambda path: True,
                "best",
                ("logits", "hiddens", "scores"),
            ),
        }
        return tuple(made[name] for name in known)

    @property
    def _matches(self) -> bool:
        """Whether a stage that runs matches hidden states and scores."""
        return any(name != "prediction" for name in self.stages_run)

    def _prediction(self, ours: Outputs, theirs: Outputs | Taught, batch: Batch) -> jax.Array:
        """[], the weighted prediction loss."""
        soft = self._soft(ours.logits, theirs.logits, batch.labels)
        return self.soft_weight * mean(soft, batch.weight)

    def _soft(self, ours: Array, theirs: Array, labels: Array) -> jax.Array:
        """[B]; of the labels only the kind is read: [B, C] where a row has any number of them."""
        if ours.shape[1] == 1:  # over one output the soft loss is constant
            return squared_error(ours[:, 0], theirs[:, 0])
        if labels.ndim == 2:
            t = self.temperature
            return binary_cross_entropy(ours / t, jax.nn.sigmoid(theirs / t))
        return soft_cross_entropy(ours, theirs, self.temperature)


def drawn_projection(kind: str, rng: Any, student: Any, teacher: Any) -> Params:
    """What TinyBert.extras gives, where config.method.projection is `kind`."""
    if kind not in PROJECTIONS:
        raise UserError(
            f"config.method.projection is {kind!r}, not one of {', '.join(PROJECTIONS)}."
        )
    stack = () if kind == "shared" else (student.shape.layers + 1,)
    return {"projection": initial_projection(rng, student, teacher, stack)}


def matched_layers(layer_map: tuple[int, ...], student: Any, teacher: Any) -> tuple[int, ...]:
    """[M+1], the teacher's layer for each of the student's; layer_map as TinyBert.layer_map.

    Raises UserError where head counts differ, or the layers do not map.
    """
    if student.shape.heads != teacher.shape.heads:
        raise UserError(
            f"The student has {student.shape.heads} attention heads and the teacher "
            f"{teacher.shape.heads}: TinyBERT matches scores head by head, so both need the "
            f"same number. Choose config.student.heads={teacher.shape.heads}."
        )
    where, layers = "config.method.layer_map", teacher.shape.layers
    if layer_map:
        return explicit_map(layer_map, layers, student.shape.layers, where)
    return uniform_map(layers, student.shape.layers, where)


def encoder(path: str) -> bool:
    """Whether a leaf moves where hidden states and scores are matched: all but the heads."""
    return not path.startswith(("student/pooler/", "student/classifier/"))


def _student(path: str) -> bool:
    return path.startswith("student/")


def matching(
    student: Any, teacher: Any, terms: Terms, *, train: bool = True, method: str | None = None
) -> LossFn:
    """Sums terms of what both models compute; the teacher without dropout.

    Args:
      train: whether the student drops out.
      method: of both models, "states" for all but the heads; None: outputs.
    """

    def total(
        trained: Params, frozen: Params, batch: Batch, rng: jax.Array, progress: Progress
    ) -> tuple[jax.Array, Metrics]:
        params = merge(trained, frozen)
        theirs = teacher.apply({"params": params["teacher"]}, batch, method=method)
        ours = student.apply(
            {"params": params["student"]}, batch, train, rngs={"dropout": rng}, method=method
        )
        found = terms(params, ours, jax.lax.stop_gradient(theirs), batch)
        return sum(found.values(), jnp.zeros([])), found

    return total


def intermediate_terms(
    projection: Params,
    ours: Outputs | States,
    theirs: Outputs | States,
    batch: Batch,
    layer_map: tuple[int, ...],
) -> dict[str, jax.Array]:
    """Sums over matched layers: embedding, hidden and attention errors, [] each.

    Args:
      projection: {"kernel", "bias"}, shared or stacked over the student's layers 0..M.
      layer_map: [M+1], the teacher's layer for each of the student's; the first is 0.

    Source: TinyBERT, equations 7 to 9 and 11.
    """
    kernel, bias = projection["kernel"], projection["bias"]

    def hidden(layer: int) -> jax.Array:
        per_layer = kernel.ndim == 3
        w, b = (kernel[layer], bias[layer]) if per_layer else (kernel, bias)
        seen = project({"kernel": w, "bias": b}, ours.hiddens[layer])
        return mean(hidden_mse(seen, theirs.hiddens[layer_map[layer]], batch.mask), batch.weight)

    def attention(layer: int) -> jax.Array:
        here, there = ours.scores[layer - 1], theirs.scores[layer_map[layer] - 1]
        return mean(score_mse(here, there, batch.mask), batch.weight)

    layers = range(1, len(layer_map))
    return {
        "embedding": hidden(0),
        "hidden": sum((hidden(m) for m in layers), jnp.zeros([])),
        "attention": sum((attention(m) for m in layers), jnp.zeros([])),
    }
