"""Whether a teacher is better than a guess, and what is said of one that is not."""

from __future__ import annotations

import numpy as np

from jaxdistill.errors import UserError

MEASURES = {1: "accuracy", 2: "micro_f1"}
"""What the gate reads, by the dimensions of labels that are no numbers."""


def gate(
    metrics: dict[str, float],
    labels: np.ndarray,
    margin: float,
    name: str,
    *,
    split: str = "dev",
    remedy: str = "Give another in config.teacher.run; one that is yet to be trained is trained by "
    "config.teacher.recipe, longer or at another rate with config.teacher.recipe.stages.finetune."
    "epochs and .learning_rate.",
) -> None:
    """Raises UserError where a teacher's metrics on a split are those of a guess.

    Args:
      labels: [N] of the split, class numbers or targets; or [N, C] of 0 and 1.
      margin: see TeacherConfig; where a guess leaves less than twice that, half of what it leaves.
    """
    numbers = labels.dtype.kind == "f"
    value = metrics["pearson" if numbers else MEASURES[labels.ndim]]
    if margin <= -1 and np.isfinite(value):
        return
    if same_answer(labels) and margin >= 0:
        raise UserError(one_answer(split))
    if numbers:
        if not value > 0:  # nor is NaN
            raise UserError(
                f"The teacher {name} has a Pearson correlation of {value:.4f} with {split}'s "
                f"targets: there is nothing to learn from it. {remedy}{_nevertheless(value)}"
            )
        return
    if labels.ndim == 2:
        guess = _best_guess(labels)
        measure, answer = "a micro F1", "giving every text the same labels"
    else:
        guess = float(np.bincount(labels).max() / len(labels))
        measure, answer = "an accuracy", "always saying the most frequent label"
    margin = min(margin, (1 - guess) / 2)
    if not value > guess + margin:  # nor is NaN
        raise UserError(
            f"The teacher {name} has {measure} of {value:.4f} on {split}, where {answer} has "
            f"{guess:.4f}; config.teacher.margin asks for {margin:g} more. A student would learn a "
            f"guess. {remedy}{_nevertheless(value)}"
        )


def one_answer(split: str) -> str:
    """What is said of rows by which no teacher can be told from a guess."""
    return (
        f"All rows of {split} have the same label: nothing can be seen there to be better than a "
        f"guess, and no checkpoint to be better than another. Give rows of every label in "
        f"config.data.{split}, or to learn from the teacher nevertheless, set "
        f"config.teacher.margin=-1."
    )


def same_answer(labels: np.ndarray) -> bool:
    """Whether all rows [N] or [N, C] have the same label, number or labels."""
    return bool((labels == labels[:1]).all())


def _nevertheless(value: float) -> str:
    """How to learn from a teacher that is no better than a guess, if it answers at all."""
    if not np.isfinite(value):
        return ""
    return " To learn from this one nevertheless, set config.teacher.margin=-1."


def _best_guess(labels: np.ndarray) -> float:
    """The highest micro F1 on labels [N, C] that the same answer for every row can have."""
    there = np.sort(labels.sum(0))[::-1]  # [C]: the most frequent labels are the best to say
    said = len(labels) * np.arange(1, len(there) + 1)
    return float((2 * there.cumsum() / (said + there.sum())).max())
