"""Patient knowledge distillation (Sun et al. 2019, arXiv:1908.09355)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdistill.errors import UserError
from jaxdistill.losses import squared_distance, unit, weighted_mean
from jaxdistill.methods.kd import Kd
from jaxdistill.methods.layers import patient_map
from jaxdistill.methods.projection import initial_projection, project
from jaxdistill.methods.taught import needed, taught
from jaxdistill.trees import merge
from jaxdistill.types import Batch, Metrics, Params, Progress, Stage

if TYPE_CHECKING:
    from jaxdistill.types import Array

REDUCTIONS = ("sum", "mean")
TOKENS = ("cls", "all")


@dataclass(frozen=True, kw_only=True)
class Pkd(Kd):
    """Kd's terms, and beta times the distance between hidden states of matched layers.

    What beta means depends on the reductions: the paper and TextBrewer sum over layers and width,
    the paper's code takes the mean over both, Paddle sums means over the width.
    """

    beta: float
    strategy: str
    """The teacher's layer for each of the student's: skip (every N/M-th), last, or numbers from 1
    such as "4,8"."""
    last_layer: bool
    """Whether the student's last layer is matched too; its signal is in the soft labels already."""
    tokens: str
    """cls, the first token's states; or all tokens' of the layers and of the embedding (seed 004),
    a mean over tokens, for which no cache can stand in."""
    padded_length: int
    """With tokens="all" the length that every batch must have and over which the mean runs, padding
    included, as seed 004 does; 0 leaves padding out."""
    normalise: bool
    """Divides each state by its length first, as in the paper."""
    over_layers: str
    """sum or mean."""
    over_width: str
    """sum or mean of the squared differences in a state."""
    projection: bool
    """A learned linear takes the student's states to the teacher's width; never exported. Where the
    widths are equal it starts as the identity."""

    def extras(self, rng: Any, student: Any, teacher: Any) -> Params:
        """{"projection": {"kernel" [D, D'], "bias" [D']}}, or nothing without one."""
        if not self.projection:
            return {}
        return {"projection": initial_projection(rng, student, teacher)}

    def stages(self, student: Any, teacher: Any) -> tuple[Stage, ...]:
        """One stage, in which the student and the projection move.

        Raises UserError where the layers do not map, widths differ without a projection, or fields
        contradict each other.
        """
        needed(teacher, "hidden states")
        self.check(student)
        here, there = student.shape, teacher.shape
        if here.width != there.width and not self.projection:
            raise UserError(
                f"The student is {here.width} wide and the teacher {there.width}, so their hidden "
                f"states cannot be subtracted. Choose config.method.projection=True, which learns "
                f"a linear from one to the other, or a student of the teacher's width."
            )
        theirs = patient_map(
            self.strategy, there.layers, here.layers, self.last_layer, "config.method.strategy"
        )
        ours = tuple(range(1, len(theirs) + 1))

        def loss(
            trained: Params, frozen: Params, batch: Batch, rng: jax.Array, progress: Progress
        ) -> tuple[jax.Array, Metrics]:
            params = merge(trained, frozen)
            rngs = {"dropout": rng}
            mine = student.apply({"params": params["student"]}, batch, train=True, rngs=rngs)
            if self.tokens == "cls":
                his = taught(teacher, params, batch, theirs)
                logits, wanted = his.logits, jnp.asarray(his.cls)  # [B, K, D']
                seen = jnp.swapaxes(mine.hiddens[np.array(ours), :, 0], 0, 1)
            else:
                whole = jax.lax.stop_gradient(teacher.apply({"params": params["teacher"]}, batch))
                logits = whole.logits
                wanted = jnp.swapaxes(whole.hiddens[np.array((0, *theirs))], 0, 1)
                seen = jnp.swapaxes(mine.hiddens[np.array((0, *ours))], 0, 1)  # [B, K, T, D]
            if self.projection:
                seen = project(params["extras"]["projection"], seen)
            patient = weighted_mean(self._distance(seen, wanted, batch.mask), batch.weight)
            terms = self.terms(mine.logits, logits, batch, progress.fraction)
            terms["patient"] = self.beta * patient
            return sum(terms.values(), jnp.zeros([])), terms

        def trains(path: str) -> bool:
            return path.startswith(("student/", "extras/"))

        if self.tokens == "cls":
            return (Stage("pkd", loss, trains, "best", ("logits", "cls"), theirs),)
        return (Stage("pkd", loss, trains, "best", ("logits", "hiddens")),)

    def _distance(self, ours: Array, theirs: Array, mask: Array) -> jax.Array:
        """[B, K, D'] or [B, K, T, D'] twice, mask [B, T] -> [B]."""
        if self.normalise:
            ours, theirs = unit(ours), unit(theirs)
        found = squared_distance(ours, theirs)  # [B, K] or [B, K, T]
        if self.over_width == "mean":
            found = found / theirs.shape[-1]
        if found.ndim == 3:
            counted = self._counted(mask)[:, None]  # [B, 1, T]
            found = jnp.where(counted, found, 0.0).sum(-1) / counted.sum(-1)
        return found.mean(-1) if self.over_layers == "mean" else found.sum(-1)

    def _counted(self, mask: Array) -> Array:
        """The tokens that the mean runs over, [B, T] bool. Asked while a step is traced."""
        if not self.padded_length:
            return mask
        self.check_widths(mask.shape[1:])
        return jnp.ones_like(mask)

    def check_widths(self, widths: Sequence[int]) -> None:
        """Raises UserError where padding counts and batches, T tokens wide, are not all alike."""
        if self.padded_length and {*widths} != {self.padded_length}:
            raise UserError(
                f"config.method.padded_length is {self.padded_length}, so that padding counts in "
                f"the loss and every batch must be that long; there are some of "
                f"{' and '.join(str(w) for w in widths if w != self.padded_length)} tokens. "
                f"Choose config.data.buckets=({self.padded_length},), or padded_length=0."
            )

    def check(self, student: Any) -> None:
        """As Kd's, and of the fields that are PKD's own."""
        super().check(student)
        for name, known in (
            ("tokens", TOKENS),
            ("over_layers", REDUCTIONS),
            ("over_width", REDUCTIONS),
        ):
            if getattr(self, name) not in known:
                raise UserError(
                    f"config.method.{name} is {getattr(self, name)!r}, not one of "
                    f"{', '.join(known)}."
                )
        if not 0 < self.beta < math.inf:
            raise UserError(
                f"config.method.beta is {self.beta:g}, and must be above 0: without the patient "
                f"term this is the method kd."
            )
        if self.padded_length and self.tokens == "cls":
            raise UserError(
                f"config.method.padded_length is {self.padded_length} and tokens is cls: the first "
                f"token is never padding. Set padded_length=0, or tokens=all."
            )
