"""BERT-of-Theseus: a model whose modules are replaced one by one (Xu et al. 2020, 2002.02925)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from jaxdistill.errors import UserError
from jaxdistill.losses import weighted_mean
from jaxdistill.methods.finetune import Finetune, task_loss
from jaxdistill.methods.taught import needed
from jaxdistill.trees import merge
from jaxdistill.types import Batch, Metrics, Params, Progress, Stage

if TYPE_CHECKING:
    from jaxdistill.types import Array

PREDECESSOR = 1
"""Folded into a step's randomness for the predecessor's dropout."""
MAY_DIFFER = ("layers", "dropout", "attention_dropout", "head_dropout", "initial_std")
"""Of the models' shapes."""


@dataclass(frozen=True, kw_only=True)
class Theseus:
    """Trains a successor's layers in the place of their predecessor's, on labels alone.

    Module i is the successor's layer i, or the r = N / M layers of the predecessor (the teacher)
    that it stands for. A coin per module and batch chooses. Embeddings, pooler and classifier are
    the predecessor's and never move; only the successor is evaluated and kept.
    """

    rate: float
    """Probability that a module is the successor's; where it rises, at the first step (b)."""
    slope: float
    """The rate's rise per optimizer step (k): p(t) = min(1, k t + b) in the one stage "replace";
    1 is reached at step (1 - b) / k, which should be well within it. 0: a constant rate, and a
    second stage, "successor", fine-tunes the successor alone."""
    predecessor_dropout: bool
    """Whether the predecessor's layers drop out while training, as they do in the original code."""

    def extras(self, rng: Any, student: Any, teacher: Any) -> Params:
        """Nothing trains along."""
        return {}

    def stages(self, student: Any, teacher: Any) -> tuple[Stage, ...]:
        """replace and successor, or replace alone where the rate rises.

        Raises UserError where M does not divide N, the models do not fit, or no layer would ever be
        replaced.
        """
        needed(teacher, "layers")
        self._check(student.shape, teacher.shape)
        modules = student.shape.layers

        def replace(
            trained: Params, frozen: Params, batch: Batch, rng: jax.Array, progress: Progress
        ) -> tuple[jax.Array, Metrics]:
            params = merge(trained, frozen)
            rate = self.rate_at(progress.step)
            coins = jax.random.bernoulli(progress.key, rate, (modules,))  # one batch, one model
            logits = mixed_logits(
                student, teacher, params, batch, coins, rng, self.predecessor_dropout
            )
            loss = weighted_mean(task_loss(logits, batch.labels), batch.weight)
            return loss, {"rate": rate, "replaced": coins.mean()}

        def layers(path: str) -> bool:
            return path.startswith("student/layers/")

        first = Stage("replace", replace, layers, "best", ("hiddens",))
        if self.slope:
            return (first,)
        (alone,) = Finetune().stages(student, None)
        return (first, alone._replace(name="successor", trains=layers))

    def rate_at(self, step: Array) -> jax.Array:
        """p(t) [] in [0, 1]; step [], optimizer steps done."""
        return jnp.minimum(1.0, self.slope * step + self.rate)

    def check_steps(self, steps: int) -> None:
        """Raises UserError where the rate rises and has not reached 1 after so many steps."""
        reached = (1 - self.rate) / self.slope if self.slope else 0.0
        if reached > steps - 1 + 1e-6:
            enough = (1 - self.rate) / max(steps - 1.5, 0.5)
            raise UserError(
                f"config.method.rate={self.rate:g} with slope={self.slope:g} reaches 1 at step "
                f"{math.ceil(reached):,}, and the stage replace has {steps:,}: the successor would "
                f"never have run whole. Set a slope above {enough:.3g}, or more "
                f"epochs."
            )

    def _check(self, here: Any, there: Any) -> None:
        if there.layers % here.layers:
            fitting = [str(m) for m in range(1, there.layers) if there.layers % m == 0]
            raise UserError(
                f"The student has {here.layers} layers and the teacher {there.layers}: a layer of "
                f"the one stands for equally many of the other, so config.student.layers is one "
                f"of {', '.join(fitting)}."
            )
        sizes = (dataclasses.asdict(shape) for shape in (here, there))
        differing = [
            f"{name} {ours} and {theirs}"
            for (name, ours), theirs in zip(next(sizes).items(), next(sizes).values(), strict=True)
            if ours != theirs and name not in MAY_DIFFER
        ]
        if differing:
            raise UserError(
                f"The student's layers are to stand in for the teacher's, but the student and the "
                f"teacher have {', '.join(differing)}. Choose config.student.source=teacher."
            )
        if not 0 <= self.rate <= 1 or not 0 <= self.slope < math.inf:
            raise UserError(
                f"config.method.rate is {self.rate:g} and slope {self.slope:g}: a rate is a "
                f"probability from 0 to 1, and rises by 0 or more per step."
            )
        if not self.rate and not self.slope:
            raise UserError(
                "config.method.rate is 0 and never rises (slope=0): no layer of the successor "
                "would be trained. Choose a rate such as 0.5."
            )


def mixed_logits(
    student: Any,
    teacher: Any,
    params: Params,
    batch: Batch,
    coins: Array,
    rng: jax.Array,
    predecessor_dropout: bool,
) -> jax.Array:
    """Logits [B, C] of a model that is partly successor and partly predecessor, while training.

    Every dropout seed is drawn whatever the coins say; a module that is not chosen costs nothing.

    Args:
      params: {"student", "teacher"} among others.
      coins: [M] bool, True where a module is the successor's.
    """
    ours, theirs = params["student"], params["teacher"]
    group = teacher.shape.layers // student.shape.layers
    short, long = _of_layers(student, 1), _of_layers(teacher, group)
    seeds = student.apply({"params": ours}, True, rngs={"dropout": rng}, method="seeds")  # [M+1, 3]
    drawn = None
    if predecessor_dropout:
        key = jax.random.fold_in(rng, PREDECESSOR)
        drawn = jax.random.bits(key, (teacher.shape.layers, 3), jnp.uint32)
    x = student.apply({"params": ours}, batch, seeds[-1, 0], method="embed")
    for i in range(student.shape.layers):

        def successor(x: jax.Array, i: int = i) -> jax.Array:
            return _through(short, ours, slice(i, i + 1), x, batch.mask, seeds)

        def predecessor(x: jax.Array, i: int = i) -> jax.Array:
            which = slice(i * group, (i + 1) * group)
            return _through(long, theirs, which, x, batch.mask, drawn)

        x = jax.lax.cond(coins[i], successor, predecessor, x)
    logits: jax.Array = student.apply({"params": ours}, x, seeds[-1, 1], method="heads")[1]
    return logits


def _of_layers(model: Any, count: int) -> Any:
    """The same module with so many layers."""
    return model.clone(shape=dataclasses.replace(model.shape, layers=count))


def _through(
    module: Any, params: Params, which: slice, x: Array, mask: Array, seeds: Array | None
) -> jax.Array:
    """x [B, T, D] through some layers of params; seeds [L or more, 3], or None."""
    chosen = {"layers": jax.tree.map(lambda leaf: leaf[which], params["layers"])}
    some = None if seeds is None else seeds[which]
    hidden: jax.Array = module.apply({"params": chosen}, x, mask, some, method="through")[0]
    return hidden
