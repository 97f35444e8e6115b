"""One run, with everything it needs at hand: its stages one after another, then its report."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdistill import mirror, processes
from jaxdistill.bench import Bench, dev_logits, material, size_and_speed, train_table
from jaxdistill.checkpoint import Checkpoints
from jaxdistill.data.batches import batches
from jaxdistill.files import read_json, write_json
from jaxdistill.log import RunLog
from jaxdistill.models.bert import Bert
from jaxdistill.models.build import Model, describe
from jaxdistill.planning import Planned
from jaxdistill.report import write_report
from jaxdistill.runs import (
    VERSION,
    Description,
    Run,
    open_run,
    write_description,
    write_predictions,
    write_task,
)
from jaxdistill.scoring import (
    judge_split,
    make_encoder,
    make_forward,
    make_judge,
    score,
)
from jaxdistill.sharding import make_mesh, rows_here
from jaxdistill.starts import Start
from jaxdistill.surroundings import Surroundings
from jaxdistill.trainer import train_stage
from jaxdistill.trees import flatten
from jaxdistill.types import Batches, Method, Params, Stage, Taught

EXTRAS = (1 << 16) + 1
"""Folded into the run's key to draw what trains along and is never exported."""


Answers = Callable[[Planned], Taught | None]
"""What is known of the teacher for the train rows before a stage begins, leaves [N, ...]; None
where the stage asks the teacher in its steps, or needs nothing of it."""


Evaluate = Callable[[Params], dict[str, float]]
"""A whole run's parameters {"student", "extras"} -> metrics on dev."""


def run_stages(
    bench: Bench,
    method_name: str,
    method: Method,
    stages: tuple[Planned, ...],
    start: Start,
    teacher: Run | None,
    answers: Answers,
) -> dict[str, Any]:
    """Trains what is not trained yet; returns the run's own part of the report.

    Args:
      answers: asked once for each stage that is not finished.
    """
    model = stages[-1].model if stages else Bert(start.bert)
    names = tuple(planned.stage.name for planned in stages) or (method_name,)
    labels = bench.task.labels if "classifier" in start.params else ()
    selection = _selection(bench, stages[-1].stage if stages else None)
    described = _description(bench, method_name, model, names, labels, selection)
    write_description(bench.folder, described)
    write_task(bench.folder, bench.task, {name: t.labels for name, t in bench.tables.items()})
    extras = _extras(bench, method, model, start, teacher)
    params: Params = {"student": start.params, "extras": extras}
    frozen = {} if teacher is None else {"teacher": teacher.params}
    seconds = 0.0
    evaluate: Evaluate | None = None
    for number, planned in enumerate(stages):
        done = bench.folder / "checkpoints" / planned.stage.name / "done.json"
        known = None if done.is_file() else answers(planned)
        train = train_table(bench, planned.stage.name)._replace(teacher=known)
        here = bench._replace(tables={**bench.tables, "train": train})
        # A teacher that is not asked in the step takes no memory.
        still = frozen if known is None and planned.stage.needs else {}
        evaluate = _evaluate(bench, planned, still)
        around = _surroundings(here, evaluate, _selection(bench, planned.stage))
        params, record = train_stage(
            planned.stage, planned.plan, params, still, around, number=number
        )
        params = jax.device_get(params)
        seconds += record["seconds"]
    if not stages:
        _keep(bench.folder / "checkpoints" / names[0], params, bench.log)
    report = _report(bench, method_name, names, seconds, evaluate, params)
    return {**report, "selection": selection}


def _extras(
    bench: Bench, method: Method, model: Model, start: Start, teacher: Run | None
) -> Params:
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


def _selection(bench: Bench, stage: Stage | None) -> str:
    """The metric that chooses the best of a stage."""
    return bench.task.selection if stage is None or stage.judge is None else "loss"


def _evaluate(bench: Bench, planned: Planned, frozen: Params) -> Evaluate:
    """How the parameters of a stage are judged on dev: by its own judge, or by the task."""
    dev, judge = bench.tables["dev"], planned.stage.judge
    if judge is None:
        forward = make_forward(planned.model)
        return lambda params: score(dev_logits(bench, forward, params["student"]), dev.labels)
    judged = make_judge(judge)
    return lambda params: judge_split(
        judged,
        params,
        frozen,
        dev,
        buckets=bench.config.data.buckets,
        mesh=bench.mesh,
        poll=bench.signals.poll,
    )


def _surroundings(bench: Bench, evaluate: Evaluate, selection: str) -> Surroundings:
    config, tables, mesh = bench.config, bench.tables, make_mesh()

    def epochs(size: int, epoch: int) -> Batches:
        if bench.stream is not None:
            return bench.stream.epoch(size, epoch)
        return batches(
            tables["train"],
            size,
            buckets=config.data.buckets,
            seed=config.seed,
            epoch=epoch,
            training=True,
            mine=None if processes.count() == 1 else rows_here(size, mesh),
        )

    return Surroundings(
        folder=bench.folder / "checkpoints",
        epochs=epochs,
        source=bench.stream,
        evaluate=evaluate,
        selection=selection,
        seed=config.seed,
        log=bench.log,
        signals=bench.signals,
        mesh=mesh,
        checkpoint_seconds=config.checkpoint_minutes * 60,
        log_steps=config.log_steps,
        ledger_steps=config.ledger_steps,
    )


def _description(
    bench: Bench,
    method: str,
    model: Model,
    stages: tuple[str, ...],
    labels: tuple[str, ...],
    selection: str,
) -> Description:
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
        labels=labels,
        selection=selection,
        data_folder=os.path.abspath(os.path.expanduser(folder)) if folder else "",
        max_length=config.data.max_length,
        buckets=config.data.buckets,
        stages=stages,
    )


def _keep(folder: Path, params: Params, log: RunLog) -> None:
    """Makes parameters that nothing trains look like a stage's, for whoever opens the run."""
    folder.mkdir(parents=True, exist_ok=True)
    Checkpoints(folder / "best", 1, log.notice).save(0, params, {})
    mirror.renewed(folder / "best")
    write_json(folder / "done.json", {"step": 0, "steps": 0, "seconds": 0.0, "skipped": 0})


def _report(
    bench: Bench,
    method: str,
    stages: tuple[str, ...],
    seconds: float,
    evaluate: Evaluate | None,
    params: Params,
) -> dict[str, Any]:
    """Evaluates the checkpoint as it was written; a model without classifier as its stage was.
    Collective.

    Args:
      evaluate: that of the last stage.
      params: of the whole run at its end.
    """
    run = open_run(bench.folder, bench.log.notice, headless=True)
    if run.headless:
        assert evaluate is not None, "a stage that left the classifier out"
        forward = make_encoder(run.model)
        metrics = {"dev": evaluate({**params, "student": run.params})}
    else:
        forward, metrics = make_forward(run.model), {}
        for split, table in bench.tables.items():
            if split.startswith("dev"):
                logits = dev_logits(bench, forward, run.params, split)
                path = bench.folder / "predictions" / f"{split}.npz"
                write_predictions(path, table.row, logits, table.labels)
                metrics[split] = score(logits, table.labels)
    folder = bench.folder / "checkpoints"
    return {
        "task": material(bench),
        "method": method,
        "seed": bench.config.seed,
        "metrics": metrics,
        "stages": [{"name": name, **read_json(folder / name / "done.json")} for name in stages],
        **size_and_speed(bench, forward, run),
        "rows": {split: len(table.row) for split, table in bench.tables.items() if len(table.row)},
        "device": _device(),
        "wall_seconds": seconds,
        "config_hash": bench.config.hash(),
    }


def _device() -> str:
    """What examples per second are measured on: the devices of this process."""
    here, count = jax.local_device_count(), jax.device_count()
    return f"{here}{'' if here == count else f' of {count}'} x {jax.devices()[0].device_kind}"


def save_report(folder: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Writes report.json, report.md and curves.png; returns what the next process will read.
    Collective: the report is that of process 0.
    """

    def write() -> dict[str, Any]:
        write_report(folder, report)
        return read_report(folder)

    return processes.led(write)


def read_report(folder: Path) -> dict[str, Any]:
    """RUN/report.json."""
    return dict(read_json(folder / "report.json"))
