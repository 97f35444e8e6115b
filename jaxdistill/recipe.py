"""From a config to a finished run; the only room that opens a config.

ensure_run does whatever of a run is not done yet: a second call, after a crash or a signal, goes on
where the first one stopped, and on a finished run it reads the report and returns.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxdistill.checkpoint import Checkpoints, parameters_sha256
from jaxdistill.config import NOT_THE_RUN, Config, section
from jaxdistill.data.batches import Epoch, Table, batches
from jaxdistill.data.tasks import Task, find_task
from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.errors import UserError
from jaxdistill.files import Lock, read_json, write_json
from jaxdistill.inputs import Start, load_start, make_split, read_splits, same_data
from jaxdistill.log import RunLog
from jaxdistill.methods import METHODS
from jaxdistill.models.bert import Bert
from jaxdistill.models.build import build, describe
from jaxdistill.preemption import Signals
from jaxdistill.report import write_report
from jaxdistill.runs import (
    VERSION,
    Description,
    copy_tokenizer,
    open_run,
    write_description,
    write_predictions,
)
from jaxdistill.scoring import Forward, make_forward, predict, score, throughput
from jaxdistill.sharding import check_batch_size, make_mesh, replicate
from jaxdistill.trainer import Surroundings, train_stage
from jaxdistill.trees import flatten
from jaxdistill.types import Method, Params, Stage, StagePlan


class Planned(NamedTuple):
    """A stage of a method with its section of the config."""

    stage: Stage
    plan: StagePlan
    model: Bert
    """The student in the stage's precision."""


class Bench(NamedTuple):
    """What every part of one run works with."""

    config: Config
    folder: Path
    task: Task
    tables: dict[str, Table]
    mesh: Mesh
    log: RunLog
    signals: Signals


def ensure_run(config: Config) -> dict[str, Any]:
    """Finishes the run that the config describes and returns its report.

    Raises:
      UserError: the config, a file or the run folder needs the user.
      Preempted: a signal came; the same call goes on from there.
    """
    folder = Path(os.path.expanduser(config.workdir))
    task = find_task(config.task)
    method = make_method(config)
    mesh = make_mesh()
    for name, plan in config.stages.items():
        check_batch_size(plan.batch_size, mesh, f"config.stages.{name}.batch_size")
    with Lock(folder), RunLog(folder) as log, Signals() as signals:
        same_config(config, folder)
        if (folder / "report.json").is_file():
            return read_report(folder)
        splits = read_splits(task, config.data, log.notice)
        same_data(folder, splits)
        as_it_is = config.method["name"] == "score"
        start = load_start(config.model, task, config.seed, log.notice, as_it_is=as_it_is)
        check_positions(config, start)
        copy_tokenizer(start.tokenizer, folder)
        tokenizer = load_tokenizer(folder / "tokenizer")
        tables = {
            name: make_split(
                examples,
                tokenizer,
                config.data.max_length,
                start.shape.vocab,
                log.notice,
                signals.poll,
            )
            for name, examples in splits.items()
        }
        write_json(folder / "config.json", config.plain())
        bench = Bench(config, folder, task, tables, mesh, log, signals)
        return _finish(bench, start, make_stages(method, config, start))


def check_positions(config: Config, start: Start) -> None:
    """The model must have a position embedding for every column of the widest batch."""
    widest = config.data.buckets[-1]
    if widest > start.shape.positions:
        raise UserError(
            f"The longest of config.data.buckets is {widest} tokens, and {config.model.source} has "
            f"{start.shape.positions} positions. Give buckets up to {start.shape.positions}, and a "
            f"config.data.max_length that fits them."
        )


def make_method(config: Config) -> Method:
    """The method that config.method names, given the section's other keys."""
    values = dict(config.method)
    name = values.pop("name")
    if name not in METHODS:
        raise UserError(f"config.method.name is {name!r}; the methods are {', '.join(METHODS)}.")
    method: Method = section(METHODS[name], values, "config.method")
    return method


def make_stages(method: Method, config: Config, start: Start) -> tuple[Planned, ...]:
    """The method's stages, each with its plan; refuses a section without stage or the reverse."""

    def student(precision: str) -> Bert:
        return build("bert", dataclasses.asdict(start.shape), precision)

    names = [stage.name for stage in method.stages(student("float32"), None)]
    if set(names) != set(config.stages):
        raise UserError(
            f"config.stages has {', '.join(config.stages) or 'no section'}, and method "
            f"{config.method['name']} has {', '.join(names) or 'no stage'}: give each stage its "
            f"section."
        )
    planned = []
    for number, name in enumerate(names):
        model = student(config.stages[name].precision)
        stage = method.stages(model, None)[number]
        planned.append(Planned(stage, config.stages[name], model))
    return tuple(planned)


def same_config(config: Config, folder: Path) -> None:
    """Refuses to go on with a run that was started with another config; names what differs."""
    path = folder / "config.json"
    if not path.is_file():
        return
    before, now = _flat(read_json(path)), _flat(config.plain())
    keys = [key for key in {**before, **now} if key not in NOT_THE_RUN]
    changed = [key for key in keys if before.get(key) != now.get(key)]
    if changed:
        shown = "; ".join(f"{k} was {before.get(k)!r}, is {now.get(k)!r}" for k in changed[:6])
        raise UserError(
            f"{folder} holds a run of another config: {shown}. Give the run a --workdir of its "
            f"own, or remove {folder}."
        )


def _flat(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {path.replace("/", "."): value for path, value in flatten(plain).items()}


def _finish(bench: Bench, start: Start, stages: tuple[Planned, ...]) -> dict[str, Any]:
    """Trains what is not trained yet, and reports."""
    model = stages[-1].model if stages else Bert(start.shape)
    names = tuple(p.stage.name for p in stages) or (bench.config.method["name"],)
    write_description(bench.folder, _description(bench, model, names))
    _announce(bench, start)
    params: Params = {"student": start.params, "extras": {}}
    seconds = 0.0
    for number, planned in enumerate(stages):
        around = _surroundings(bench, make_forward(planned.model))
        params, record = train_stage(planned.stage, planned.plan, params, {}, around, number=number)
        seconds += record["seconds"]
    if not stages:
        _keep(bench.folder / "checkpoints" / names[0], params, bench.log)
    return _report(bench, names, seconds)


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
        return score(_logits(bench, forward, params["student"]), tables["dev"].labels)

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


def _logits(bench: Bench, forward: Forward, params: Params) -> np.ndarray:
    return predict(
        forward,
        replicate(params, bench.mesh),
        bench.tables["dev"],
        buckets=bench.config.data.buckets,
        mesh=bench.mesh,
        poll=bench.signals.poll,
    )


def _description(bench: Bench, model: Bert, stages: tuple[str, ...]) -> Description:
    config, task = bench.config, bench.task
    name, shape = describe(model)
    folder = config.data.folder
    return Description(
        version=VERSION,
        method=config.method["name"],
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


def _announce(bench: Bench, start: Start) -> None:
    train, dev = (len(bench.tables[name].row) for name in ("train", "dev"))
    shape = start.shape
    total = size_of(start.params)["parameters"]["total"]
    bench.log.notice(
        f"{bench.folder}: {bench.task.name}, {train:,} train rows, {dev:,} dev; BERT "
        f"{shape.layers}x{shape.width}, {total / 1e6:.2f}M parameters; {jax.device_count()} "
        f"{jax.default_backend()} device(s); seed {bench.config.seed}"
    )


def _keep(folder: Path, params: Params, log: RunLog) -> None:
    """Makes parameters that nothing trains look like a stage's, for whoever opens the run."""
    Checkpoints(folder / "best", 1, log.notice).save(0, params, {})
    write_json(folder / "done.json", {"step": 0, "steps": 0, "seconds": 0.0, "skipped": 0})


def _report(bench: Bench, stages: tuple[str, ...], seconds: float) -> dict[str, Any]:
    """Evaluates the checkpoint as it was written, and writes the report."""
    run = open_run(bench.folder, bench.log.notice)
    forward, dev = make_forward(run.model), bench.tables["dev"]
    logits = _logits(bench, forward, run.params)
    write_predictions(bench.folder, "dev", dev.row, logits, dev.labels)
    report = {
        "task": bench.task.name,
        "method": bench.config.method["name"],
        "seed": bench.config.seed,
        "metrics": {"dev": score(logits, dev.labels)},
        "selection": bench.task.selection,
        "stages": [
            {"name": name, **read_json(bench.folder / "checkpoints" / name / "done.json")}
            for name in stages
        ],
        **size_of(run.params),
        "examples_per_second": throughput(
            forward, run.params, dev, buckets=bench.config.data.buckets, mesh=bench.mesh
        ),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "wall_seconds": seconds,
        "config_hash": bench.config.hash(),
    }
    write_report(bench.folder, report)
    return read_report(bench.folder)


def read_report(folder: Path) -> dict[str, Any]:
    """RUN/report.json, as the next process will read it."""
    return dict(read_json(folder / "report.json"))


def size_of(params: Params) -> dict[str, Any]:
    """Parameters with and without embeddings, bytes as float32, and their hash."""
    counts = {path: int(np.size(leaf)) for path, leaf in flatten(params).items()}
    embedded = sum(n for path, n in counts.items() if path.startswith("embeddings/"))
    total = sum(counts.values())
    return {
        "parameters": {"total": total, "without_embeddings": total - embedded},
        "parameters_sha256": parameters_sha256(params),
        "bytes": 4 * total,
    }
