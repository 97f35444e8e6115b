"""What every part of a run works with, and what is measured of a model on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh

from jaxdistill.data.batches import Table
from jaxdistill.data.stream import Stream
from jaxdistill.data.tasks import Task
from jaxdistill.log import RunLog
from jaxdistill.manifest import parameters_sha256
from jaxdistill.models.build import computed_in
from jaxdistill.preemption import Signals
from jaxdistill.runs import Run
from jaxdistill.scoring import Forward, predict, throughput
from jaxdistill.sections import Config
from jaxdistill.sharding import place
from jaxdistill.trees import flatten
from jaxdistill.types import Params


class Bench(NamedTuple):
    """What every part of one run works with."""

    config: Config
    folder: Path
    task: Task
    tables: dict[str, Table]
    mesh: Mesh
    """Of this process's devices, on which models are asked; training takes those of all."""
    log: RunLog
    signals: Signals
    augmented: Table | None = None
    """The train rows and those that were added to them."""
    stream: Stream | None = None
    """Where batches come from instead of the train rows, of which there are none then."""


def of_tokens(bench: Bench) -> Bench:
    """The bench for a BiLSTM's teacher: its batches are as wide as tokens need, without words."""
    tables = {split: table._replace(words=None) for split, table in bench.tables.items()}
    return bench._replace(tables=tables)


def train_table(bench: Bench, stage: str) -> Table:
    """What a stage trains on: the train rows, with those that were added if it is to have them."""
    about = bench.config.augment
    if bench.augmented is None or (about and about.stages and stage not in about.stages):
        return bench.tables["train"]
    return bench.augmented


def material(bench: Bench) -> str:
    """What the run learns from, for people: the task, or a corpus."""
    return bench.config.data.corpus or bench.task.name


def dev_logits(bench: Bench, forward: Forward, params: Params, split: str = "dev") -> np.ndarray:
    """Logits [N, C] of the dev split, or of another that the bench has, in its order."""
    return predict(
        forward,
        place(params, bench.mesh),
        bench.tables[split],
        buckets=bench.config.data.buckets,
        mesh=bench.mesh,
        poll=bench.signals.poll,
    )


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
        "precision": computed_in(run.model),
        "examples_per_second": throughput(
            forward, run.params, bench.tables["dev"], buckets=buckets, mesh=bench.mesh
        ),
    }
