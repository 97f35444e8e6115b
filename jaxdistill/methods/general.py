"""TinyBERT's general distillation (Jiao et al. 2020, arXiv:1909.10351, section 3.2): no labels.

The teacher is pre-trained and not fine-tuned, and the student learns its embeddings, hidden states
and attention scores on plain text; there is nothing to predict. What comes out has no classifier,
and starts the task-specific distillation of methods.tinybert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxdistill.methods.tinybert import (
    drawn_projection,
    encoder,
    intermediate_terms,
    matched_layers,
    matching,
)
from jaxdistill.types import Batch, Params, Stage, States


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

        def terms(params: Params, ours: States, theirs: States, batch: Batch) -> dict[str, Any]:
            return intermediate_terms(params["extras"]["projection"], ours, theirs, batch, chosen)

        loss, judge = (
            matching(student, teacher, terms, train=train, method="states")
            for train in (True, False)
        )
        return (Stage("general", loss, encoder, "best", ("hiddens", "scores"), judge=judge),)
