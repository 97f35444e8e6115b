"""What a run tells while it trains: metrics.jsonl, TensorBoard events, a progress bar, notices.

metrics.jsonl holds one strict JSON object per line:

    {"kind": "train" | "eval" | ..., "stage": str, "step": int, "<name>": number or string, ...}

A NaN is written as "nan", an infinity as "inf" or "-inf" (files.strict). Everything for people goes
to stderr; stdout belongs to results. Nothing here imports jax.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import time_ns
from types import TracebackType
from typing import IO, Any

from jaxdistill.errors import UserError
from jaxdistill.files import strict, write_atomic
from jaxdistill.progress import Progress

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"
RESERVED = ("kind", "stage", "step")


class RunLog:
    """The log of one run folder; without a folder (None) it only shows progress and notices."""

    def __init__(self, folder: Path | None, *, speaks: bool = True) -> None:
        """speaks: whether anything is shown; of several processes one does."""
        self.folder = folder
        self._speaks = speaks
        self._file: IO[str] | None = None
        self._writers: dict[str, Any] = {}
        self._progress: Progress | None = None

    def write(self, kind: str, stage: str, step: int, values: Mapping[str, Any]) -> None:
        """Appends one line and, for the numbers in it, TensorBoard scalars "<stage>/<name>".

        Args:
          kind: "train", "eval" or another word; scalars of kinds other than "train" are named
            "<stage>/<kind>/<name>".
          stage: the stage's name.
          step: optimizer steps done in this stage.
          values: numbers or strings by name; the names kind, stage and step are taken.
        """
        for name in RESERVED:
            if name in values:
                raise ValueError(f"a logged value must not be named {name!r}")
        if self.folder is None:
            return
        record = {"kind": kind, "stage": stage, "step": step, **strict(values)}
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            _mend(self.folder / METRICS)
            path = self.folder / METRICS
            self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (stays open)
        self._file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()
        writer = self._writer(stage, None)
        prefix = stage if kind == "train" else f"{stage}/{kind}"
        for name, value in values.items():
            # TensorBoard has no place for a NaN; metrics.jsonl does.
            if not isinstance(value, (str, bool)) and math.isfinite(value):
                writer.add_scalar(f"{prefix}/{name}", float(value), step)

    def truncate(self, stage: str, step: int, evaluated: int) -> None:
        """Forgets what came after a resume point, so that the resumed run writes it again.

        Drops this stage's lines beyond `step` (-1: all of them), those of evaluations beyond
        `evaluated` and the ledger's of `step` itself, which is entered before the step is made,
        all lines of stages that came after it, and a last line that a kill left half written.
        TensorBoard is told the same.
        """
        if self.folder is None:
            return
        self.close()
        path = self.folder / METRICS
        if path.exists():
            records = read_metrics(self.folder)
            order = list(dict.fromkeys(r["stage"] for r in records))
            later = set(order[order.index(stage) + 1 :]) if stage in order else set()
            last = {"eval": min(step, evaluated), "ledger": step - 1}
            kept = [
                r
                for r in records
                if r["stage"] not in later
                and (r["stage"] != stage or r["step"] <= last.get(r["kind"], step))
            ]
            write_atomic(path, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in kept))
            for name in sorted(later):
                self._writer(name, 0)
        self._writer(stage, step + 1)

    def notice(self, text: str) -> None:
        """Prints one line to stderr, above the progress bar where one is shown."""
        if not self._speaks:
            return
        line = " ".join(text.split())
        bar = self._progress.bar if self._progress is not None else None
        if bar is not None:
            bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)

    @contextmanager
    def progress(
        self, stage: str, total_steps: int, done: int, every: float = 5.0
    ) -> Iterator[Progress]:
        """Returns a context manager that shows how far the stage is; one at a time.

        Args:
          stage: its name, shown in front.
          total_steps: optimizer steps of the whole stage.
          done: steps already done when this process took over.
          every: seconds between two lines where stderr is not a terminal.
        """
        if self._progress is not None:
            raise RuntimeError("a progress is already shown")
        self._progress = Progress(stage, total_steps, done, every, shown=self._speaks)
        try:
            with self._progress as shown:
                yield shown
        finally:
            self._progress = None

    def close(self) -> None:
        """Closes the files; a later write opens them again."""
        if self._file is not None:
            self._file.close()
            self._file = None
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _writer(self, stage: str, purge_step: int | None) -> Any:
        # A folder per stage: purging goes by step within a folder, and every stage starts at 0.
        if stage not in self._writers:
            from tensorboardX import SummaryWriter

            assert self.folder is not None
            folder = self.folder / TENSORBOARD / stage
            # Its own name tells seconds only: a quick second writer would overwrite the first.
            self._writers[stage] = SummaryWriter(
                str(folder), purge_step=purge_step, filename_suffix=f".{time_ns()}"
            )
        return self._writers[stage]


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Returns the lines of folder/metrics.jsonl in order, [] without the file.

    A last line without its newline was cut off by a kill and is left out. UserError naming file and
    line for any other line that is not a record.
    """
    path = folder / METRICS
    if not path.exists():
        return []
    records = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            record = json.loads(line.decode("utf-8"))
            whole = isinstance(record, dict) and all(name in record for name in RESERVED)
        except ValueError:
            whole = False
        if not whole:
            raise UserError(
                f"{path} line {number} is not a JSON object with kind, stage and step: "
                f"{line[:80]!r}. Delete that line and run again."
            )
        records.append(record)
    return records


def _mend(path: Path) -> None:
    """Cuts off a last line that has no newline."""
    if path.exists():
        data = path.read_bytes()
        if not data.endswith(b"\n") and data:
            write_atomic(path, data[: data.rfind(b"\n") + 1])
