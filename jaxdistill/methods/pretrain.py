"""Masked-LM pre-training on plain text (Devlin et al. 2019, arXiv:1810.04805, section 3.1).

The masks are drawn anew in every step (Liu et al. 2019, RoBERTa, section 4.1). There is no
next-sentence prediction: pooler and classifier are not trained, and a model from here has none of
the latter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdistill.errors import UserError
from jaxdistill.losses import masked_cross_entropy, weighted_mean
from jaxdistill.models.arithmetic import mix
from jaxdistill.trees import merge
from jaxdistill.types import Batch, LossFn, Metrics, Params, Progress, Stage, Vocabulary

if TYPE_CHECKING:
    from jaxdistill.types import Array

HIDDEN, CHANGED = 0.8, 0.9
"""The share of the chosen tokens that becomes [MASK], and that with those that become a random
piece; the rest stays."""
NEVER = np.uint32(2**32 - 1)
"""Beyond everything that is drawn."""
TRAINED = ("student/embeddings/", "student/layers/", "student/mlm/")
"""What the loss reaches. Pooler and classifier would be moved by weight decay alone."""


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Cross-entropy of the masked tokens, a mean over each example's and then over examples."""

    mask_rate: float
    """The share of an example's words that is to be predicted, chosen each by itself; one at least.
    80% of their tokens become [MASK], 10% a random piece, 10% stay."""
    whole_word: bool
    """Chooses words and not pieces: a piece and the "##" ones after it together. A Chinese
    character is a word of its own."""
    vocabulary: Vocabulary | None = None
    """Of the run's tokenizer: filled in by the run, no key of the config."""

    def extras(self, rng: Any, student: Any, teacher: Any) -> Params:
        """Nothing trains along."""
        return {}

    def stages(self, student: Any, teacher: Any) -> tuple[Stage, ...]:
        """One stage, judged by the same loss on held-out text with masks that stay the same.

        Raises UserError for a mask_rate that is no share.
        """
        if not 0 < self.mask_rate < 1:
            raise UserError(
                f"config.method.mask_rate is {self.mask_rate:g}, and must be a share of the words "
                f"above 0 and below 1, such as BERT's 0.15."
            )

        def moves(path: str) -> bool:
            return path.startswith(TRAINED)

        loss, judge = (self.loss(student, train=train) for train in (True, False))
        return (Stage("pretrain", loss, moves, "best", judge=judge),)

    def loss(self, student: Any, *, train: bool) -> LossFn:
        """The stage's loss; train=False: without dropout. Masks are drawn from progress.key."""
        vocabulary = self.vocabulary
        assert vocabulary is not None, "the run fills it in"

        def loss(
            trained: Params, frozen: Params, batch: Batch, rng: jax.Array, progress: Progress
        ) -> tuple[jax.Array, Metrics]:
            params = merge(trained, frozen)["student"]
            seen = mask_batch(batch, vocabulary, progress.key, self.mask_rate, self.whole_word)
            logits = student.apply(
                {"params": params},
                batch._replace(input_ids=seen.input_ids),
                train,
                seen.at,
                rngs={"dropout": rng},
                method="masked_lm",
            )  # [B, K, V]
            value = masked_cross_entropy(logits, seen.targets, seen.kept)  # [B]
            right = (logits.argmax(-1) == seen.targets) & seen.kept
            hits = right.sum(-1) / jnp.maximum(seen.kept.sum(-1), 1)  # [B]
            return weighted_mean(value, batch.weight), {
                "masked_accuracy": weighted_mean(hits, batch.weight)
            }

        return loss


class Masked(NamedTuple):
    """A batch with some of its tokens hidden; K is room(T, rate)."""

    input_ids: jax.Array
    """[B, T] int32, what the model sees."""
    at: jax.Array
    """[B, K] int32, positions, each once."""
    kept: jax.Array
    """[B, K] bool, True where the position is one to predict."""
    targets: jax.Array
    """[B, K] int32, what was there."""


def mask_batch(
    batch: Batch, vocabulary: Vocabulary, key: jax.Array, rate: float, whole_word: bool
) -> Masked:
    """Chooses what to predict in each row, and hides it.

    A pure function of the key and the row's number and tokens: neither the other rows of a batch
    nor how it is split into microbatches or over devices change a row's masks. Words with more
    pieces than K are never chosen.
    """
    B, T = batch.input_ids.shape
    K = room(T, rate)
    ids = jnp.asarray(batch.input_ids)
    seeds = jax.random.bits(key, (3,), jnp.uint32)
    for_choice, for_kind, for_piece = (hashed(seed, batch.row, T) for seed in seeds)  # [B, T] each
    ordinary = batch.mask & ~jnp.asarray(vocabulary.special)[ids]
    begins = ordinary & ~(jnp.asarray(vocabulary.continues)[ids] & whole_word)
    first = jax.lax.cummax(jnp.where(begins, jnp.arange(T)[None], 0), axis=1)  # of a token's word
    drawn = jnp.take_along_axis(for_choice, first, axis=1)
    drawn = jnp.where(ordinary, jnp.minimum(drawn, NEVER - 1), NEVER)
    wanted = ordinary & ((drawn < share(rate)) | (drawn == drawn.min(1, keepdims=True)))
    # In the order of what was drawn, the tokens of a word stay together; a word that would be cut
    # at K has the same number on both sides.
    order = jnp.where(wanted, drawn, NEVER)
    at = jnp.argsort(order, axis=1, stable=True)
    ranked = jnp.take_along_axis(order, at, axis=1)
    ranked = jnp.append(ranked, jnp.full((B, 1), NEVER), axis=1)  # [B, T+1]
    at, limit = at[:, :K], ranked[:, K, None]
    pieces = jnp.asarray(vocabulary.ordinary)
    other = pieces[for_piece % np.uint32(len(pieces))]
    shown = jnp.where(for_kind < share(HIDDEN), vocabulary.mask, ids)
    shown = jnp.where((for_kind >= share(HIDDEN)) & (for_kind < share(CHANGED)), other, shown)
    return Masked(
        input_ids=jnp.where(order < limit, shown, ids),
        at=at,
        kept=ranked[:, :K] < limit,
        targets=jnp.take_along_axis(ids, at, axis=1),
    )


def hashed(seed: Array, row: Array, width: int) -> jax.Array:
    """[B, T] uint32 drawn for each row [B] by its number and for each position; seed [] uint32.

    A hash as in models.arithmetic.dropout: threefry takes longer to compile than a layer.
    """
    seeds = mix(mix(jnp.asarray(row).astype(jnp.uint32)) ^ seed)  # [B]
    return mix(mix(jnp.arange(width, dtype=jnp.uint32))[None] ^ seeds[:, None])


def share(probability: float) -> np.uint32:
    """What a uint32 lies below with that probability."""
    return np.uint32(min(round(probability * 2**32), 2**32 - 1))


def room(width: int, rate: float) -> int:
    """K: the most tokens of a row of that width that are predicted, twice what is expected.

    So that the head runs over those and not over all. Where more are drawn (at a rate of 0.15 in
    one of 300 rows of 32 tokens, in one of 500,000 of 128), the words beyond are left alone.
    """
    return min(width, max(8, math.ceil(2 * rate * width)))
