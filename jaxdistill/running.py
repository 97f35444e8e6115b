"""One run, with everything it needs at hand: its stages one after another, then its report."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxdistill.checkpoint import Checkpoints
from jaxdistill.config import Config, section
from jaxdistill.data.batches import Epoch, Table, batches
from jaxdistill.data.tasks import Task
from jaxdistill.errors import UserError
from jaxdistill.files import read_json, write_json
from jaxdistill.log import RunLog
from jaxdistill.manifest import parameters_sha256
from jaxdistill.methods import METHODS
from jaxdistill.models.bert import Bert
from jaxdistill.models.build import build, describe
from jaxdistill.preemption import Signals
from jaxdistill.report import write_report
from jaxdistill.runs import (
    VERSION,
    Description,
    Run,
    open_run,
    write_description,
    write_predictions,
)
from jaxdistill.scoring import Forward, make_forward, predict, score, throughput
from jaxdistill.sharding import replicate
from jaxdistill.starts import Start
from jaxdistill.trainer import Surroundings, train_stage
from jaxdistill.trees import flatten
from jaxdistill.types import Method, Params, Stage, StagePlan

EXTRAS = (1 << 16) + 1
"""Folded into the run's key to draw what trains along and is never exported."""


class Bench(NamedTuple):
    """What every part of one run works with."""

    config: Config
    folder: Path
    task: Task
    tables: dict[str, Table]
    mesh: Mesh
    log: RunLog
    signals: Signals


class Planned(NamedTuple):
    """A stage of a method with its section of the config."""

    stage: Stage
    plan: StagePlan
    model: Bert
    """The student in the stage's precision."""


def make_method(name: str, values: dict[str, Any]) -> Method:
    """The method of that name, given its fields as config.method holds them."""
    if name not in METHODS:
        raise UserError(f"config.method.name is {name!r}; the methods are {', '.join(METHODS)}.")
    method: Method = section(METHODS[name], values, "config.method")
    return method


def make_stages(
    method: Method, plans: dict[str, StagePlan], start: Start, teacher: Run | None
) -> tuple[Planned, ...]:
    """The method's stages, each with its plan and in its precision.

    Raises UserError where a stage has no section of config.stages. A section that the method does
    not ask for now is left alone: a method may run some of its stages only.
    """

    def models(precision: str) -> tuple[Bert, Bert | None]:
        student = build("bert", dataclasses.asdict(start.shape), precision)
        if teacher is None:
            return student, None
        about = teacher.description
        return student, build(about.model, about.shape, precision)

    names = [stage.name for stage in method.stages(*models("float32"))]
    missing = [name for name in names if name not in plans]
    if missing:
        raise UserError(
            f"config.stages has {', '.join(plans) or 'no section'}, and the method runs "
            f"{', '.join(names)}: add config.stages.{missing[0]}."
        )
    planned = []
    for number, name in enumerate(names):
        student, taught_by = models(plans[name].precision)
        stage = method.stages(student, taught_by)[number]
        planned.append(Planned(stage, plans[name], student))
    return tuple(planned)


def run_stages(
    bench: Bench,
    method_name: str,
    method: Method,
    stages: tuple[Planned, ...],
    start: Start,
    teacher: Run | None,
) -> dict[str, Any]:
    """Trains what is not trained yet; returns the run's own part of the report."""
    model = stages[-1].model if stages else Bert(start.shape)
    names = tuple(planned.stage.name for planned in stages) or (method_name,)
    write_description(bench.folder, _description(bench, method_name, model, names))
    extras = _extras(bench, method, model, start, teacher)
    params: Params = {"student": start.params, "extras": extras}
    frozen = {} if teacher is None else {"teacher": teacher.params}
    seconds = 0.0
    for number, planned in enumerate(stages):
        around = _surroundings(bench, make_forward(planned.model))
        params, record = train_stage(
            planned.stage, planned.plan, params, frozen, around, number=number
        )
        params = jax.device_get(params)
        seconds += record["seconds"]
    if not stages:
        _keep(bench.folder / "checkpoints" / names[0], params, bench.log)
    return _report(bench, method_name, names, seconds)


def _extras(bench: Bench, method: Method, model: Bert, start: Start, teacher: Run | None) -> Params:
    key = jax.random.fold_in(jax.random.key(bench.config.seed), EXTRAS)
    extras = dict(jax.device_get(method.extras(key, model, teacher and teacher.model)))
    if start.projection is None or "projection" not in extras:
        return extras
    found, wanted = (
        {path: np.shape(leaf) for path, leaf in flatten(tree).items()}
        for tree in (start.projection, extras["projection"])
    )
    if found == wanted:
        bench.log.notice("the projection starts from the source's own")
        return {**extras, "projection": start.projection}
    bench.log.notice(f"the source's projection {found} is left out: this run's is {wanted}")
    return extras


def _surroundings(bench: Bench, forward: Forward) -> Surroundings:
    config, tables = bench.config, bench.tables

    def epochs(size: int, epoch: int) -> Epoch:
        return batches(
            tables["train"],
            size,
            buckets=config.data.buckets,
            seed=config.seed,
            epoch=epoch,
            training=True,
        )

    def evaluate(params: Params) -> dict[str, float]:
        return score(dev_logits(bench, forward, params["student"]), tables["dev"].labels)

    return Surroundings(
        folder=bench.folder / "checkpoints",
        epochs=epochs,
        evaluate=evaluate,
        selection=bench.task.selection,
        seed=config.seed,
        log=bench.log,
        signals=bench.signals,
        mesh=bench.mesh,
        checkpoint_seconds=config.checkpoint_minutes * 60,
        log_steps=config.log_steps,
    )


def dev_logits(bench: Bench, forward: Forward, params: Params) -> np.ndarray:
    """Logits [N, C] of the dev split, in its order."""
    return predict(
        forward,
        replicate(params, bench.mesh),
        bench.tables["dev"],
        buckets=bench.config.data.buckets,
        mesh=bench.mesh,
        poll=bench.signals.poll,
    )


def _description(bench: Bench, method: str, model: Bert, stages: tuple[str, ...]) -> Description:
    config, task = bench.config, bench.task
    name, shape = describe(model)
    folder = config.data.folder
    return Description(
        version=VERSION,
        method=method,
        model=name,
        shape=shape,
        precision=model.precision,
        task=task.name,
        labels=task.labels,
        selection=task.selection,
        data_folder=os.path.abspath(os.path.expanduser(folder)) if folder else "",
        max_length=config.data.max_length,
        buckets=config.data.buckets,
        stages=stages,
    )


def _keep(folder: Path, params: Params, log: RunLog) -> None:
    """Makes parameters that nothing trains look like a stage's, for whoever opens the run."""
    Checkpoints(folder / "best", 1, log.notice).save(0, params, {})
    write_json(folder / "done.json", {"step": 0, "steps": 0, "seconds": 0.0, "skipped": 0})


def _report(bench: Bench, method: str, stages: tuple[str, ...], seconds: float) -> dict[str, Any]:
    """Evaluates the checkpoint as it was written."""
    run = open_run(bench.folder, bench.log.notice)
    forward, dev = make_forward(run.model), bench.tables["dev"]
    logits = dev_logits(bench, forward, run.params)
    write_predictions(bench.folder / "predictions" / "dev.npz", dev.row, logits, dev.labels)
    folder = bench.folder / "checkpoints"
    return {
        "task": bench.task.name,
        "method": method,
        "seed": bench.config.seed,
        "metrics": {"dev": score(logits, dev.labels)},
        "selection": bench.task.selection,
        "stages": [{"name": name, **read_json(folder / name / "done.json")} for name in stages],
        **size_and_speed(bench, forward, run),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "wall_seconds": seconds,
        "config_hash": bench.config.hash(),
    }


def size_and_speed(bench: Bench, forward: Forward, run: Run) -> dict[str, Any]:
    """Parameters with and without embeddings, bytes as float32, hash, examples per second."""
    counts = {path: int(np.size(leaf)) for path, leaf in flatten(run.params).items()}
    embedded = sum(n for path, n in counts.items() if path.startswith("embeddings/"))
    total = sum(counts.values())
    buckets = bench.config.data.buckets
    return {
        "parameters": {"total": total, "without_embeddings": total - embedded},
        "parameters_sha256": parameters_sha256(run.params),
        "bytes": 4 * total,
        "examples_per_second": throughput(
            forward, run.params, bench.tables["dev"], buckets=buckets, mesh=bench.mesh
        ),
    }


def save_report(folder: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Writes report.json, report.md and curves.png; returns what the next process will read."""
    write_report(folder, report)
    return read_report(folder)


def read_report(folder: Path) -> dict[str, Any]:
    """RUN/report.json."""
    return dict(read_json(folder / "report.json"))
