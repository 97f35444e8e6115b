"""Training on labels alone, and no training at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax

from jaxdistill.losses import cross_entropy, squared_error, weighted_mean
from jaxdistill.trees import merge
from jaxdistill.types import Batch, Metrics, Params, Progress, Stage

if TYPE_CHECKING:
    from jaxdistill.types import Array


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Fine-tuning of a whole model on hard labels (Devlin et al. 2019, section 4.1).

    Cross-entropy over classes; the squared error where the model has a single output.
    """

    def extras(self, rng: Any, student: Any, teacher: Any) -> Params:
        """Nothing trains along."""
        return {}

    def stages(self, student: Any, teacher: Any) -> tuple[Stage, ...]:
        """One stage, in which every leaf moves."""

        def loss(
            trained: Params, frozen: Params, batch: Batch, rng: jax.Array, progress: Progress
        ) -> tuple[jax.Array, Metrics]:
            params = merge(trained, frozen)["student"]
            outputs = student.apply({"params": params}, batch, train=True, rngs={"dropout": rng})
            return weighted_mean(task_loss(outputs.logits, batch.labels), batch.weight), {}

        return (Stage("finetune", loss, lambda path: path.startswith("student/"), "best"),)


@dataclass(frozen=True, kw_only=True)
class Score:
    """A classifier that somebody has fine-tuned already: scored as it is, never trained again."""

    def extras(self, rng: Any, student: Any, teacher: Any) -> Params:
        """Nothing trains."""
        return {}

    def stages(self, student: Any, teacher: Any) -> tuple[Stage, ...]:
        """None."""
        return ()


def task_loss(logits: Array, labels: Array) -> jax.Array:
    """The loss on hard labels. [B, C] and [B] -> [B]; C = 1 is a regression."""
    if logits.shape[1] == 1:
        return squared_error(logits[:, 0], labels)
    return cross_entropy(logits, labels)
