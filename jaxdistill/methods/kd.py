"""Distillation by soft labels (Hinton, Vinyals, Dean 2015, arXiv:1503.02531)."""

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
    binary_kl_divergence,
    kl_divergence,
    mean_squared_error,
    soft_cross_entropy,
    squared_error,
    weighted_mean,
)
from jaxdistill.methods.finetune import labelled_loss, whole_student
from jaxdistill.methods.taught import taught
from jaxdistill.trees import merge
from jaxdistill.types import Batch, Metrics, Params, Progress, Stage

if TYPE_CHECKING:
    from jaxdistill.types import Array

SOFT_LOSSES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "cross_entropy": lambda ours, theirs: soft_cross_entropy(ours, theirs, 1.0),
    "kl": kl_divergence,
    "logit_mse": mean_squared_error,
    "probability_mse": lambda ours, theirs: mean_squared_error(
        jax.nn.softmax(ours), jax.nn.softmax(theirs)
    ),
    "logit_to_probability_mse": lambda ours, theirs: mean_squared_error(
        ours, jax.nn.softmax(theirs)
    ),
}
"""Of the student's and the teacher's logits, divided by their temperatures: [B, C] twice -> [B]."""
BINARY_LOSSES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "cross_entropy": lambda ours, theirs: binary_cross_entropy(ours, jax.nn.sigmoid(theirs)),
    "kl": binary_kl_divergence,
    "logit_mse": mean_squared_error,
    "probability_mse": lambda ours, theirs: mean_squared_error(
        jax.nn.sigmoid(ours), jax.nn.sigmoid(theirs)
    ),
    "logit_to_probability_mse": lambda ours, theirs: mean_squared_error(
        ours, jax.nn.sigmoid(theirs)
    ),
}
"""The same where a row has any number of C labels, each a matter of its own; means over labels."""
SIDES = ("both", "teacher")


@dataclass(frozen=True, kw_only=True)
class Kd:
    """soft_weight t^2 soft(z_s / t, z_t / t) + hard_weight CE(z_s, label), a mean over examples.

    A regression (C = 1) learns the teacher's number by the squared error, whatever the soft loss
    and the temperature. Where a row has any number of labels, each is a class of its own beside its
    absence, and both losses are means over labels. The reductions of other implementations:
    jaxdistill/presets.py.
    """

    soft_weight: float
    hard_weight: float
    """Of the loss on labels, to which an example without label adds nothing. A weight of 0 leaves
    its term out: then no label is read."""
    soft_loss: str
    """cross_entropy or kl, summed over classes, with the same gradient; logit_mse or
    probability_mse, a mean over classes; logit_to_probability_mse, a student's logits against
    probabilities (a mistake, kept to reproduce seed 002)."""
    temperature: float
    """t, divides logits before the soft loss."""
    temperature_on: str
    """"both" sides, or "teacher" alone (Paddle), which trains the student's own logits towards the
    softened teacher."""
    temperature_squared: bool
    """Multiplies the soft term by t^2, so that its gradient keeps its size when t changes."""
    probability_shift: bool
    """Where the teacher's largest logit is not the label's, swaps the two (TextBrewer)."""
    soft_weight_end: float | None
    """What soft_weight becomes, linearly over the stage's steps; empty: it stays."""
    hard_weight_end: float | None
    temperature_end: float | None

    def extras(self, rng: Any, student: Any, teacher: Any) -> Params:
        """Nothing trains along."""
        return {}

    def stages(self, student: Any, teacher: Any) -> tuple[Stage, ...]:
        """One stage, in which the whole student moves.

        Raises UserError where fields contradict each other or the task.
        """
        self.check(student)
        weights = (self.soft_weight, self.soft_weight_end, self.hard_weight, self.hard_weight_end)
        if not any(weights):
            raise UserError(
                "config.method.soft_weight and hard_weight are 0, so that there is nothing to "
                "learn. Give one of them a weight, such as soft_weight=1."
            )

        def loss(
            trained: Params, frozen: Params, batch: Batch, rng: jax.Array, progress: Progress
        ) -> tuple[jax.Array, Metrics]:
            params = merge(trained, frozen)
            theirs = taught(teacher, params, batch)
            rngs = {"dropout": rng}
            ours = student.apply({"params": params["student"]}, batch, train=True, rngs=rngs)
            terms = self.terms(ours.logits, theirs.logits, batch, progress.fraction)
            return sum(terms.values(), jnp.zeros([])), terms

        return (Stage("kd", loss, whole_student, "best", ("logits",)),)

    def terms(
        self, ours: Array, theirs: Array, batch: Batch, fraction: Array
    ) -> dict[str, jax.Array]:
        """The weighted terms "soft" and "hard", [] each; the loss is their sum.

        Args:
          ours, theirs: logits [B, C] of student and teacher.
          fraction: of the stage's steps that are done, in [0, 1).
        """
        found = {}
        if self.soft_weight or self.soft_weight_end:
            weight = moved(self.soft_weight, self.soft_weight_end, fraction)
            soft = self._soft(ours, theirs, batch.labels, fraction)
            found["soft"] = weight * weighted_mean(soft, batch.weight)
        if self.hard_weight or self.hard_weight_end:
            weight = moved(self.hard_weight, self.hard_weight_end, fraction)
            hard = labelled_loss(ours, batch.labels)
            found["hard"] = weight * weighted_mean(hard, batch.weight)
        return found

    def _soft(self, ours: Array, theirs: Array, labels: Array, fraction: Array) -> jax.Array:
        if ours.shape[1] == 1:  # one output has no distribution
            return squared_error(ours[:, 0], theirs[:, 0])
        if self.probability_shift:
            theirs = shifted(theirs, labels)
        t = moved(self.temperature, self.temperature_end, fraction)
        softened = ours / t if self.temperature_on == "both" else ours
        losses = BINARY_LOSSES if labels.ndim == 2 else SOFT_LOSSES
        soft = losses[self.soft_loss](jnp.asarray(softened), theirs / t)
        return soft * t**2 if self.temperature_squared else soft

    def check(self, student: Any) -> None:
        """Raises UserError where a field has no such value, or fields contradict each other."""
        where = "config.method"
        for name, known in (("soft_loss", SOFT_LOSSES), ("temperature_on", SIDES)):
            if getattr(self, name) not in known:
                raise UserError(
                    f"{where}.{name} is {getattr(self, name)!r}, not one of {', '.join(known)}."
                )
        for name in ("soft_weight", "soft_weight_end", "hard_weight", "hard_weight_end"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise UserError(f"{where}.{name} is {value:g}; a weight is 0 or more.")
        for name in ("temperature", "temperature_end"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"{where}.{name} is {value:g}; a temperature is above 0.")
        if self.probability_shift and student.shape.classes == 1:
            raise UserError(
                f"{where}.probability_shift swaps a wrong class with the label's, and this task's "
                f"labels are numbers. Set it to False."
            )


def moved(start: float, end: float | None, fraction: Array) -> Any:
    """start, or the way to end that the fraction of the stage says."""
    return start if end is None else start + (end - start) * fraction


def shifted(logits: Array, labels: Array) -> jax.Array:
    """Logits whose largest is the label's: where it is not, the two change places.

    logits [B, C], labels [B] int -> [B, C]; without a label (-1) nothing moves. Source: TextBrewer,
    probability_shift.
    """
    classes = jnp.arange(logits.shape[1])[None]  # [1, C]
    top = jnp.argmax(logits, 1)[:, None]  # [B, 1]
    right = jnp.where(labels < 0, top[:, 0], labels)[:, None]
    largest = jnp.take_along_axis(logits, top, 1)
    other = jnp.take_along_axis(logits, right, 1)
    return jnp.where(classes == right, largest, jnp.where(classes == top, other, logits))
