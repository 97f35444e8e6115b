"""What the steps of a stage answer: read back a dispatch late, counted, shown and logged."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxdistill.errors import UserError
from jaxdistill.optimizer import make_schedule
from jaxdistill.progress import Progress
from jaxdistill.surroundings import Surroundings
from jaxdistill.types import Batch, StagePlan

BAD_STEPS = 20
"""Steps in a row without a finite loss after which a stage gives up."""


def fresh_counts() -> dict[str, Any]:
    """Intake.counts() before the first step."""
    return {"window": [], "skipped": 0, "in_a_row": 0}


class Intake:
    """Takes in the metrics of a stage's steps, in their order."""

    def __init__(
        self,
        stage: str,
        plan: StagePlan,
        around: Surroundings,
        *,
        steps: int,
        per_epoch: int,
        counts: Mapping[str, Any],
    ) -> None:
        """steps, per_epoch: of the stage and of an epoch; counts: fresh_counts(), or what
        counts() was when an earlier attempt was saved.
        """
        self.stage, self.plan, self.around = stage, plan, around
        self.steps, self.per_epoch = steps, per_epoch
        self.schedule = make_schedule(plan, steps)
        self.window: list[dict[str, float]] = list(counts["window"])
        """The metrics since the last logged line, which is to be their mean."""
        self.skipped: int = counts["skipped"]
        """Steps that changed nothing, for their loss or gradient was not finite."""
        self.in_a_row: int = counts["in_a_row"]
        """Of these, how many were the last steps."""
        self._pending: deque[_Pending] = deque()

    def counts(self) -> dict[str, Any]:
        """What a checkpoint must hold for another Intake to go on; JSON."""
        return {"window": self.window, "skipped": self.skipped, "in_a_row": self.in_a_row}

    def add(self, step: int, batches: list[Batch], metrics: Any) -> None:
        """A dispatch of these batches, after `step` steps; metrics: arrays [>= len(batches)] by
        name, which need not be there yet.
        """
        self._pending.append(_Pending(step, batches, metrics))

    def drain(self, left: int, bar: Progress | None = None) -> None:
        """Waits for all but the newest `left` dispatches and takes their metrics in.

        Raises UserError where the loss was not finite for BAD_STEPS steps in a row.
        """
        while len(self._pending) > left:
            first, batches, metrics = self._pending.popleft()
            columns = {name: np.asarray(column) for name, column in metrics.items()}
            for index, batch in enumerate(batches):
                values = {name: float(column[index]) for name, column in columns.items()}
                self._take_in(first + index + 1, batch, values, bar)

    def _take_in(
        self, step: int, batch: Batch, found: dict[str, float], bar: Progress | None
    ) -> None:
        """One step's metrics: counted, shown, and at every log_steps written."""
        values = {"loss": found.pop("loss"), **found}  # jit returns names in sorted order
        bad = values.pop("skipped") > 0
        self.skipped += bad
        self.in_a_row = self.in_a_row + 1 if bad else 0
        if self.in_a_row >= BAD_STEPS:
            raise UserError(
                f"Stage {self.stage}: loss or gradient was not finite for {BAD_STEPS} "
                f"steps in a row, last on rows {batch.row[:8].tolist()} and others. Nothing "
                f"was changed by those steps. Lower the learning rate "
                f"({self.plan.learning_rate:g}) or look at these rows."
            )
        if bad and self.skipped == 1 and self.plan.precision != "float16":
            self.around.log.notice(
                f"{self.stage} step {step}: loss or gradient was not finite, on rows "
                f"{batch.row[:8].tolist()} and others; such steps change nothing and are counted"
            )
        if not bad:
            self.window.append(values)
        if bar is not None:
            real = batch.weight > 0
            read = batch.mask if batch.words is None else batch.words > 0
            # Of one process; the others have as many rows, and tokens that are much alike.
            there = self.plan.batch_size // len(batch.row)
            bar.update(step, values, there * int(real.sum()), there * int(read[real].sum()))
        if self.window and (step % self.around.log_steps == 0 or step == self.steps):
            self._write(step)

    def _write(self, step: int) -> None:
        """The window's means into the log, after which it is empty."""
        means = {name: float(np.mean([v[name] for v in self.window])) for name in self.window[0]}
        where = {
            "epoch": step / self.per_epoch,
            # A step that changed nothing has not moved the schedule on either.
            "learning_rate": float(self.schedule(max(step - 1 - self.skipped, 0))),
        }
        self.around.log.write("train", self.stage, step, {**where, **means})
        self.window.clear()


class _Pending(NamedTuple):
    """A dispatch whose metrics have not been read yet."""

    step: int
    """Steps done before it."""
    batches: list[Batch]
    metrics: Any
