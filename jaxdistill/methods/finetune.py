"""Training on labels alone, and no training at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from jaxdistill.losses import binary_cross_entropy, cross_entropy, squared_error, weighted_mean
from jaxdistill.trees import merge
from jaxdistill.types import Batch, Metrics, Params, Progress, Stage

if TYPE_CHECKING:
    from jaxdistill.types import Array


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Fine-tuning of a whole model on hard labels (Devlin et al. 2019, section 4.1).

    Cross-entropy over classes, or of each label where a row has any number of them; the squared
    error where the model has a single output.
    """

    def extras(self, rng: Any, student: Any, teacher: Any) -> Params:
        """Nothing trains along."""
        return {}

    def stages(self, student: Any, teacher: Any) -> tuple[Stage, ...]:
        """One stage, in which the whole student moves."""

        def loss(
            trained: Params, frozen: Params, batch: Batch, rng: jax.Array, progress: Progress
        ) -> tuple[jax.Array, Metrics]:
            params = merge(trained, frozen)["student"]
            outputs = student.apply({"params": params}, batch, train=True, rngs={"dropout": rng})
            return weighted_mean(task_loss(outputs.logits, batch.labels), batch.weight), {}

        return (Stage("finetune", loss, whole_student, "best"),)


@dataclass(frozen=True, kw_only=True)
class Score:
    """A classifier that somebody has fine-tuned already: scored as it is, never trained again."""

    def extras(self, rng: Any, student: Any, teacher: Any) -> Params:
        """Nothing trains."""
        return {}

    def stages(self, student: Any, teacher: Any) -> tuple[Stage, ...]:
        """None."""
        return ()


def whole_student(path: str) -> bool:
    """Every leaf of the student, but a BiLSTM's second channel of word vectors, which stays."""
    return path.startswith("student/") and not path.startswith("student/embeddings/fixed/")


def task_loss(logits: Array, labels: Array) -> jax.Array:
    """The loss on hard labels. [B, C], [B] or [B, C] -> [B]; C = 1 is a regression."""
    if logits.shape[1] == 1:
        return squared_error(logits[:, 0], labels)
    if labels.ndim == 2:
        return binary_cross_entropy(logits, labels)
    return cross_entropy(logits, labels)


def labelled_loss(logits: Array, labels: Array) -> jax.Array:
    """As task_loss, and 0 for an example without a label (-1, nan), which only a teacher labels.

    [B, C], [B] or [B, C] -> [B]. Each labelled example counts as in a batch that is all labelled.
    """
    labels = jnp.asarray(labels)
    there = ~jnp.isnan(labels) if logits.shape[1] == 1 else labels >= 0
    if labels.ndim == 2:
        return jnp.where(there.all(1), task_loss(logits, jnp.where(there, labels, 0)), 0.0)
    # The label is replaced before the loss: a gradient through a NaN is one, whatever hides it.
    return jnp.where(there, task_loss(logits, jnp.where(there, labels, 0)), 0.0)
