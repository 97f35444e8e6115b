"""What a stage is trained in: its batches, its judge, its folder, its log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jax.sharding import Mesh

from jaxdistill.log import RunLog
from jaxdistill.preemption import Signals
from jaxdistill.types import Batches, Params, Source


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a run hands to each of its stages."""

    folder: Path
    """RUN/checkpoints."""
    epochs: Callable[[int, int], Batches]
    """(batch size, epoch) -> the epoch's batches, always equally many; this process's rows."""
    source: Source | None = None
    """Where these come from, if they are streamed; where it stands is kept in checkpoints."""
    evaluate: Callable[[Params], dict[str, float]]
    """Parameters {"student", "extras"} -> metrics on dev."""
    selection: str
    """The metric, of those that evaluate gives, by which the best is chosen: more is better, or,
    where the stage has a judge, less."""
    seed: int
    log: RunLog
    signals: Signals
    mesh: Mesh
    """Of all processes' devices."""
    checkpoint_seconds: float
    """Seconds between checkpoints for resuming."""
    log_steps: int
    """Steps that one line of metrics.jsonl is the mean of."""
    ledger_steps: int
    """Steps between entries of the loss ledger; 0: none."""
