"""TinyBERT's general distillation (Jiao et al. 2020, arXiv:1909.10351, section 3.2): no labels.

The teacher is pre-trained and not fine-tuned, and the student learns its embeddings, hidden states
and attention scores on plain text; there is nothing to predict. What comes out has no classifier,
and starts the task-specific distillation of methods.tinybert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxdistill.methods.tinybert import (
    drawn_projection,
    encoder,
    intermediate_terms,
    matched_layers,
)
from jaxdistill.trees import merge
from jaxdistill.types import Batch, LossFn, Metrics, Params, Progress, Stage


@dataclass(frozen=True, kw_only=True)
class General:
    """Matches embeddings, hidden states and attention scores of a teacher without a task."""

    layer_map: tuple[int, ...]
    """The teacher's layer, from 1, for each of the student's; () for every N/M-th."""
    projection: str
    """From the student's width to the teacher's: "shared" by embedding and all layers (original
    code), or "per_layer" (its v2 checkpoints). Whoever starts from the run starts with it."""

    def extras(self, rng: Any, student: Any, teacher: Any) -> Params:
        """{"projection"}, as TinyBert.extras."""
        return drawn_projection(self.projection, rng, student, teacher)

    def stages(self, student: Any, teacher: Any) -> tuple[Stage, ...]:
        """One stage, judged by the same loss without dropout on held-out text.

        Raises UserError where head counts differ, or the layers do not map.
        """
        chosen = matched_layers(self.layer_map, student, teacher)
        loss, judge = (matching(student, teacher, chosen, train=train) for train in (True, False))
        return (Stage("general", loss, encoder, "best", ("hiddens", "scores"), judge=judge),)


def matching(student: Any, teacher: Any, layer_map: tuple[int, ...], *, train: bool) -> LossFn:
    """The sum of intermediate_terms; the teacher without dropout, the student too but to train.

    layer_map: [M+1], the teacher's layer for each of the student's; the first is 0.
    """

    def loss(
        trained: Params, frozen: Params, batch: Batch, rng: jax.Array, progress: Progress
    ) -> tuple[jax.Array, Metrics]:
        params = merge(trained, frozen)
        theirs = teacher.apply({"params": params["teacher"]}, batch, method="states")
        ours = student.apply(
            {"params": params["student"]}, batch, train, rngs={"dropout": rng}, method="states"
        )
        found = intermediate_terms(
            params["extras"]["projection"], ours, jax.lax.stop_gradient(theirs), batch, layer_map
        )
        return sum(found.values(), jnp.zeros([])), found

    return loss
