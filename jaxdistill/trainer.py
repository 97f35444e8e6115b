"""Trains one stage: steps, evaluation, selection of the best, checkpoints, resume.

Knows no method and no model: it is handed the stage, its batches and a way to evaluate. What it
does is a pure function of these and of the seed, whatever interrupts it.
"""

from __future__ import annotations

import math
import shutil
import time
from typing import Any

import jax
import numpy as np

from jaxdistill import mirror, processes
from jaxdistill.checkpoint import Checkpoints
from jaxdistill.chunks import chunk_size, next_chunk, passed_by_tokens
from jaxdistill.errors import Preempted, UserError
from jaxdistill.files import read_json, write_json
from jaxdistill.gradients import ledger_entry, term_norms
from jaxdistill.intake import Intake, fresh_counts
from jaxdistill.optimizer import make_optimizer
from jaxdistill.sharding import fetch, place, shapes, split, split_stacked
from jaxdistill.step import State, make_steps, progress_at, stack, start
from jaxdistill.strategies import make_gradient
from jaxdistill.surroundings import Surroundings
from jaxdistill.trees import merge, partition
from jaxdistill.types import Batch, Batches, Params, Stage, StagePlan

LOOKAHEAD = 1
"""Dispatches handed to the devices before the host waits for the oldest."""


def train_stage(
    stage: Stage,
    plan: StagePlan,
    params: Params,
    frozen: Params,
    around: Surroundings,
    *,
    number: int,
) -> tuple[Params, dict[str, Any]]:
    """Runs a stage to its end, from where an earlier attempt got to. Collective.

    Args:
      params: {"student": ..., "extras": ...}, host arrays, where the stage starts.
      frozen: {"teacher": ...} or {}; never moves.
      number: of the stage in its run, from 0; stages draw from streams of their own.

    Returns:
      The parameters that the stage leaves behind (host arrays, same tree), and its record:
      {"step", "metrics", "steps", "seconds", "skipped"}, the first two of the parameters kept; no
      metrics where the last are.

    Raises:
      Preempted: a signal came; the state is saved.
      UserError: the loss was not finite for intake.BAD_STEPS steps in a row, or a checkpoint is
        unusable.
    """
    folder = around.folder / stage.name
    done = folder / "done.json"
    best = Checkpoints(folder / "best", 1, around.log.notice)
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _Training(stage, plan, params, frozen, around, number, best).run()
    mirror.renewed(folder / "best")
    record = read_json(done)
    # Of another step than this record they would not be what it says.
    there = record["step"] in best.steps()
    restored = best.restore(shapes(params), record["step"]) if there else None
    if restored is None:
        raise UserError(
            f"{done} says that stage {stage.name} is finished, but {folder / 'best'} holds no "
            f"checkpoint of step {record['step']}. Remove {folder} to train the stage again."
        )
    shutil.rmtree(folder / "latest", ignore_errors=True)
    return restored[1], record


class _Training:
    """The moving parts of train_stage."""

    def __init__(
        self,
        stage: Stage,
        plan: StagePlan,
        params: Params,
        frozen: Params,
        around: Surroundings,
        number: int,
        best: Checkpoints,
    ) -> None:
        self.stage, self.plan, self.around = stage, plan, around
        self.per_epoch = len(around.epochs(plan.batch_size, 0))
        self.steps = plan.epochs * self.per_epoch
        trained, self.still = partition(params, stage.trains)
        optimizer = make_optimizer(plan, self.steps)
        self.run_steps = make_steps(make_gradient(stage, plan), optimizer, self.steps, around.mesh)
        self.norms = jax.jit(term_norms(stage.loss, plan.accumulate))
        self.frozen = place(merge(self.still, frozen), around.mesh)
        self.parameters = passed_by_tokens(params) + passed_by_tokens(frozen)
        self.key = jax.random.fold_in(jax.random.key(around.seed), number)
        self.epoch: tuple[int, Batches] | None = None
        self.best = best
        self.latest = Checkpoints(around.folder / stage.name / "latest", 2, around.log.notice)
        self.begun = time.monotonic()
        fresh = start(trained, optimizer, around.mesh, scaled=plan.precision == "float16")
        self.state, self.details = self._resume(fresh, params)
        self.intake = Intake(
            stage.name,
            plan,
            around,
            steps=self.steps,
            per_epoch=self.per_epoch,
            counts=self.details,
        )
        self.saved = time.monotonic()

    def _resume(self, fresh: State, params: Params) -> tuple[State, dict[str, Any]]:
        restored = self.latest.restore(shapes(fresh, self.around.mesh))
        if restored is None:
            self.around.log.truncate(self.stage.name, 0, 0)
            return fresh, {"evaluated": 0, "best": None, "seconds": 0.0, **fresh_counts()}
        step, state, details = restored
        self.around.log.truncate(self.stage.name, step, details["evaluated"])
        # After a kill there may be a later best one, which has replaced that of this step.
        if self.best.steps()[-1:] >= [step]:
            kept = self.best.restore(shapes(params))
            assert kept is not None, "there is one"
            details["best"] = kept.details
        if self.around.source is not None:
            self.around.source.seek(step, details["stream"])
        epoch, index = divmod(step, self.per_epoch)
        self.around.log.notice(
            f"{self.stage.name}: resuming at step {step} of {self.steps} "
            f"(epoch {epoch + 1}, batch {index})"
        )
        return state, details

    def run(self) -> None:
        """To the end of the stage, or to a signal."""
        around, stage = self.around, self.stage
        step = int(self.state.step)
        processes.same(
            f"The newest checkpoint in {self.latest.folder}, by its step,",
            str(step),
            "Its files differ: remove the other processes' temporary folders and start again.",
        )
        votes = processes.Votes(around.mesh, LOOKAHEAD + 1)
        try:
            with around.log.progress(stage.name, self.steps, step) as bar:
                while True:
                    if self._due(step):
                        self.intake.drain(0, bar)
                        self._evaluate(step)
                    late = time.monotonic() - self.saved > around.checkpoint_seconds
                    if late:  # one wish, of which the answer may come later
                        self.saved = time.monotonic()
                    stop, save = votes.cast(around.signals.asked(), late and processes.lead())
                    if stop:
                        around.signals.stop()
                    if step == self.steps:
                        break
                    if save:
                        self.intake.drain(0, bar)
                        self._save(step)
                    batches, size = self._chunk(step)
                    if around.ledger_steps and step % around.ledger_steps == 0:
                        self.intake.drain(0, bar)
                        self._enter(step, batches[0])
                    self.state, metrics = self.run_steps(
                        self.state,
                        self.frozen,
                        split_stacked(stack(batches, size), around.mesh),
                        self.key,
                        np.int32(len(batches)),
                    )
                    self.intake.add(step, batches, metrics)
                    step += len(batches)
                    self.intake.drain(LOOKAHEAD, bar)
        except Preempted:
            self.intake.drain(0)
            self._must(self._save(step), self.latest)
            raise
        self._finish(step)

    def _chunk(self, step: int) -> tuple[list[Batch], int]:
        """The next dispatch's batches, and how many it has room for.

        They are of one width and end where the epoch does, or where parameters are to be judged or
        the ledger is due.
        """
        epoch, index = divmod(step, self.per_epoch)
        if self.epoch is None or self.epoch[0] != epoch:
            self.epoch = (epoch, self.around.epochs(self.plan.batch_size, epoch))
        batches = self.epoch[1]
        size = chunk_size(
            self.parameters,
            self.plan.batch_size * batches.width(index),
            devices=self.around.mesh.size,
            backend=jax.default_backend(),
        )
        ledger = self.around.ledger_steps
        due = next(
            (
                n
                for n in range(1, size)
                if self._due(step + n) or (ledger and (step + n) % ledger == 0)
            ),
            size,
        )
        return next_chunk(batches, index, due), size

    def _enter(self, step: int, batch: Batch) -> None:
        """Each term's value and its share of the gradient, before this step, into the ledger."""
        state = self.state
        scale = None if state.scale is None else state.scale.value
        rng, progress = progress_at(state.step, self.key, self.steps, scale)
        found = jax.device_get(
            self.norms(state.params, self.frozen, split(batch, self.around.mesh), rng, progress)
        )
        if entry := ledger_entry(found):
            self.around.log.write("ledger", self.stage.name, step, entry)

    def _due(self, step: int) -> bool:
        """Whether parameters are to be judged, or just kept, before the next step."""
        if step <= self.details["evaluated"]:
            return False
        if self.stage.keep == "last":
            return step == self.steps
        every = min(self.plan.eval_steps or self.per_epoch, self.per_epoch)
        return step % every == 0 or step == self.steps

    def _evaluate(self, step: int) -> None:
        params = self._params()
        if self.stage.keep == "last":
            self._keep(step, params, {"step": step})
            self.details["evaluated"] = step
            return
        found = self.around.evaluate(params)
        metrics = processes.led(lambda: found)  # the last bits of another processor may differ
        value = metrics[self.around.selection]
        where = {"epoch": step / self.per_epoch}
        self.around.log.write("eval", self.stage.name, step, {**where, **metrics})
        kept = self.details["best"]
        sign = 1 if self.stage.judge is None else -1
        better = kept is None or sign * (value - kept["metrics"][self.around.selection]) > 0
        if math.isfinite(value) and better:
            self._keep(step, params, {"step": step, "metrics": metrics})
        shown = ", ".join(f"{name} {number:.4f}" for name, number in metrics.items())
        self.around.log.notice(f"{self.stage.name} step {step}/{self.steps} on dev: {shown}")
        self.details["evaluated"] = step

    def _keep(self, step: int, params: Params, record: dict[str, Any]) -> None:
        self._must(self.best.save(step, params, record), self.best)
        self.details["best"] = record

    def _params(self) -> Params:
        """The run's parameters as they stand, host arrays."""
        return merge(fetch(self.state.params), self.still)

    def _save(self, step: int) -> bool:
        now = time.monotonic()
        seconds = self.details["seconds"] + now - self.begun
        details = {**self.details, **self.intake.counts(), "seconds": seconds}
        if self.around.source is not None:
            details["stream"] = self.around.source.position(step)
        done = self.latest.save(step, self.state, details)
        self.saved = time.monotonic()
        return done

    def _finish(self, step: int) -> None:
        kept = self.details["best"]
        if kept is None:
            raise UserError(
                f"Stage {self.stage.name}: {self.around.selection} on dev was never a finite "
                f"number, so that no parameters could be chosen. See metrics.jsonl."
            )
        seconds = self.details["seconds"] + time.monotonic() - self.begun
        skipped = self.intake.skipped
        if skipped:
            self.around.log.notice(
                f"{self.stage.name}: {skipped} of {step} steps were skipped, whose loss or "
                f"gradient was not finite"
            )
        write_json(
            self.around.folder / self.stage.name / "done.json",
            {**kept, "steps": step, "seconds": seconds, "skipped": skipped},
        )

    def _must(self, saved: bool, where: Checkpoints) -> None:
        if not saved:
            raise UserError(
                f"Stage {self.stage.name} could not be saved to {where.folder}; the line above "
                f"says why. Make room there and run the same command again: it goes on from the "
                f"newest checkpoint there is."
            )
