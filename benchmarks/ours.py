"""jaxdistill's side. What the programs need of the package's step is in make_epoch alone."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.material import (
    BATCH,
    BUCKETS,
    LEARNING_RATE,
    epoch_of,
    first_of_each_width,
    inference_batches,
    read_table,
)
from jaxdistill import recipes
from jaxdistill.chunks import chunk_size, next_chunk, passed_by_tokens
from jaxdistill.data.batches import Epoch, Table
from jaxdistill.gradients import gradient
from jaxdistill.methods.finetune import Finetune
from jaxdistill.methods.tinybert import TinyBert
from jaxdistill.models.bert import Bert
from jaxdistill.models.sources import load_pretrained
from jaxdistill.optimizer import make_optimizer
from jaxdistill.scoring import make_forward, predict
from jaxdistill.sharding import make_mesh, place, split, split_stacked
from jaxdistill.step import make_steps, stack, start
from jaxdistill.trees import merge, partition
from jaxdistill.types import Params, Stage, StagePlan

LOOKAHEAD = 1
"""Dispatches handed to the device before the host waits for the oldest, as the trainer does."""


def plan(warmup: float, precision: str, batch: int) -> StagePlan:
    """AdamW with clipping, the same for everyone."""
    return StagePlan(
        epochs=1,
        batch_size=batch,
        optimizer="adamw",
        learning_rate=LEARNING_RATE,
        betas=(0.9, 0.999),
        epsilon=1e-8,
        schedule="linear",
        power=1.0,
        warmup=warmup,
        weight_decay=0.01,
        clip=1.0,
        precision=precision,
        accumulate=1,
        adversary="none",
        attack_scope="table",
        attack_radius=1.0,
        attack_step=0.3,
        attack_steps=3,
        eval_steps=0,
    )


def load(folder: Path, precision: str, dropout: float | None = None) -> tuple[Bert, Params]:
    """A classifier in Hugging Face's layout."""
    found = load_pretrained(str(folder), classes=None)
    shape = found.shape
    if dropout is not None:
        shape = dataclasses.replace(
            shape, dropout=dropout, attention_dropout=dropout, head_dropout=dropout
        )
    params = {k: v for k, v in found.params.items() if k != "mlm"}
    return Bert(shape, precision), params


def make_stage(what: str, student: Bert, teacher: Bert | None, temperature: float) -> Any:
    """The stage that a program measures, and its extras: kd, intermediate or finetune."""
    if what == "finetune":
        return Finetune().stages(student, None)[0], {}
    stage = {"kd": "prediction", "intermediate": "intermediate"}[what]
    values = recipes.tinybert(stages_run=(stage,), temperature=temperature).to_dict()
    method = TinyBert(**{name: value for name, value in values.items() if name != "name"})
    extras = method.extras(jax.random.key(0), student, teacher)
    return method.stages(student, teacher)[0], jax.device_get(extras)


def make_epoch(
    stage: Stage, plan: StagePlan, params: Params, frozen: Params, steps: int, *, chunked: bool
) -> Callable[[Epoch, int, int], list[float]]:
    """A function that trains on some of an epoch's batches, from where its last call ended.

    The only place that knows the package's step: adapt it here.

    Args:
      params: {"student", "extras"}; frozen: {"teacher"} or {}.
      steps: of the schedule.
      chunked: several steps per dispatch where the package can; else one.

    Returns:
      (epoch, first, last) -> losses of batches first to last - 1, once the device is done.
    """
    mesh = make_mesh()
    trained, still = partition(params, stage.trains)
    optimizer = make_optimizer(plan, steps)
    run_steps = make_steps(gradient(stage.loss), optimizer, steps, mesh)
    parameters = passed_by_tokens(params) + passed_by_tokens(frozen)
    frozen = place(merge(still, frozen), mesh)
    key = jax.random.key(0)
    state = start(trained, optimizer, mesh, scaled=False)

    def run(epoch: Epoch, first: int, last: int) -> list[float]:
        nonlocal state
        losses: list[float] = []
        pending = []

        def drain(left: int) -> None:
            while len(pending) > left:
                count, metrics = pending.pop(0)
                losses.extend(np.asarray(metrics["loss"])[:count].tolist())

        while first < last:
            tokens = plan.batch_size * epoch.width(first)
            size = 1
            if chunked:
                size = chunk_size(
                    parameters, tokens, devices=mesh.size, backend=jax.default_backend()
                )
            batches = next_chunk(epoch, first, min(size, last - first))
            stacked = split_stacked(stack(batches, size), mesh)
            state, metrics = run_steps(state, frozen, stacked, key, np.int32(len(batches)))
            pending.append((len(batches), metrics))
            first += len(batches)
            drain(LOOKAHEAD)
        drain(0)
        jax.block_until_ready(state)
        return losses

    return run


def logits_of(model: Bert, params: Params, table: Table) -> np.ndarray:
    """The model's logits of every row, [N, C]."""
    mesh = make_mesh()
    return predict(
        make_forward(model),
        place(params, mesh),
        table,
        buckets=BUCKETS,
        mesh=mesh,
        poll=lambda: None,
    )


class Training:
    """Worker: trains a stage on the epoch in FOLDER.

    Options: what (kd, intermediate, finetune), cache, chunked, precision, steps (of a block; 0: the
    whole epoch), check_steps, temperature.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.folder = Path(options["folder"])
        self.cached = options["what"] == "kd" and options.get("cache", True)
        self.epoch = epoch_of(options, cached=self.cached)
        self.steps = min(options.get("steps") or len(self.epoch), len(self.epoch))

    def threads(self) -> str:
        """Of XLA's pool."""
        return f"{os.cpu_count()} (XLA)"

    def _trainer(self, precision: str, dropout: float | None, warmup: float) -> Any:
        student, params = load(self.folder / "student", precision, dropout)
        teacher, frozen = None, {}
        if self.options["what"] != "finetune":
            teacher, theirs = load(self.folder / "teacher", precision)
            frozen = {} if self.cached else {"teacher": theirs}
        stage, extras = make_stage(
            self.options["what"], student, teacher, self.options["temperature"]
        )
        whole = {"student": params, "extras": extras}
        chunked = self.options.get("chunked", True)
        steps = len(self.epoch)
        planned = plan(warmup, precision, self.options.get("batch", BATCH))
        return make_epoch(stage, planned, whole, frozen, steps, chunked=chunked)

    def check(self) -> dict[str, list[float]]:
        """Losses of the first steps without dropout: in float32, and in the precision timed."""
        count, precision = self.options["check_steps"], self.options["precision"]
        return {
            "float32 losses": self._trainer("float32", 0.0, 0.0)(self.epoch, 0, count),
            "timed losses": self._trainer(precision, 0.0, 0.0)(self.epoch, 0, count),
        }

    def warm(self) -> dict[str, float]:
        """Compiles every shape of the block; builds the cache once, after a first time."""
        self.run = self._trainer(self.options["precision"], None, 0.1)
        begun = time.perf_counter()
        for number in first_of_each_width(self.epoch, self.steps):
            for _ in range(2):
                self.run(self.epoch, number, number + 1)
        once = {"first steps, compilation included": time.perf_counter() - begun}
        if self.cached:
            model, params = load(self.folder / "teacher", self.options["precision"])
            table = read_table(self.folder)
            forward, mesh = make_forward(model), make_mesh()
            params = place(params, mesh)
            for _ in range(2):
                begun = time.perf_counter()
                predict(forward, params, table, buckets=BUCKETS, mesh=mesh, poll=lambda: None)
            once["building the teacher's cache"] = time.perf_counter() - begun
        return once

    def block(self) -> dict[str, float]:
        """An epoch, or its first steps."""
        begun = time.perf_counter()
        losses = self.run(self.epoch, 0, self.steps)
        seconds = time.perf_counter() - begun
        assert np.isfinite(losses).all()
        return {f"{self.steps} steps": seconds}

    def memory(self) -> dict[str, float]:
        """Most bytes in use on the device since the process began; {} where that is not known."""
        found = jax.devices()[0].memory_stats() or {}
        return {"peak": found["peak_bytes_in_use"]} if "peak_bytes_in_use" in found else {}

    def device(self) -> str:
        """Its kind."""
        return jax.devices()[0].device_kind

    def ceiling(self, size: int) -> float:
        """Floating-point operations per second of a bfloat16 product of drawn [size, size]."""
        left, right = jax.random.normal(jax.random.key(0), (2, size, size), jax.numpy.bfloat16)
        product = jax.jit(lambda a, b: a @ b)
        seconds = []
        for _ in range(12):
            begun = time.perf_counter()
            product(left, right).block_until_ready()
            seconds.append(time.perf_counter() - begun)
        return 2 * size**3 / float(np.median(seconds[2:]))

    def profile(self, folder: str) -> None:
        """A block under jax.profiler, written to the folder."""
        with jax.profiler.trace(folder):
            self.run(self.epoch, 0, min(self.steps, 8))


class Inference:
    """Worker: forward passes of FOLDER/teacher and FOLDER/student at batch 1 and 32."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.folder = Path(options["folder"])
        self.table = read_table(self.folder)

    def threads(self) -> str:
        """Of XLA's pool."""
        return f"{os.cpu_count()} (XLA)"

    def check(self) -> dict[str, Any]:
        """The logits of 16 rows, in float32 and as timed."""
        found = {}
        for name, precision in (("float32", "float32"), ("timed", self.options["precision"])):
            for which in ("teacher", "student"):
                model, params = load(self.folder / which, precision)
                batch = inference_batches(self.table, 16, 1)[0]
                logits = make_forward(model)(params, batch)
                found[f"{name} logits, {which}"] = np.asarray(logits).tolist()
        return found

    def warm(self) -> dict[str, float]:
        """Compiles every shape."""
        self.mesh = make_mesh()
        self.cells = {}
        for which in ("teacher", "student"):
            model, params = load(self.folder / which, self.options["precision"])
            forward, params = make_forward(model), place(params, self.mesh)
            for size in (1, 32):
                chosen = inference_batches(self.table, size, self.options["passes"])
                self.cells[f"{which}, batch {size}"] = (forward, params, chosen)
        self.block()
        return {}

    def block(self) -> dict[str, float]:
        """Seconds per forward pass, by cell: the mean over batches spread over dev."""
        seconds = {}
        for cell, (forward, params, chosen) in self.cells.items():
            begun = time.perf_counter()
            for batch in chosen:
                np.asarray(forward(params, split(batch, self.mesh)))
            seconds[cell] = (time.perf_counter() - begun) / len(chosen)
        return seconds
