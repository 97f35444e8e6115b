"""How far a stage is: a bar on a terminal, else lines; and numbers as short text. No jax here."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping
from time import monotonic
from types import TracebackType
from typing import Any

WINDOW_SECONDS = 30.0
"""Rates are over the last half minute: long enough to be calm, short enough to forget compiling."""


class Progress:
    """How far a stage is: one bar on a terminal, else a line every few seconds, on stderr."""

    def __init__(
        self, stage: str, total: int, done: int, every: float, *, shown: bool = True
    ) -> None:
        """As RunLog.progress, which shows one at a time; shown: whether anything is printed."""
        self.bar: Any = None
        """The rich.progress.Progress on a terminal."""
        self._stage, self._total, self._every = stage, total, every
        self._shown = shown
        self._step = done
        self._values: dict[str, float] = {}
        self._counts = (0, 0)
        self._marks: deque[tuple[float, int, int, int]] = deque()
        self._printed_at = 0.0
        self._printed_step: int | None = None

    def update(self, step: int, values: Mapping[str, float], examples: int, tokens: int) -> None:
        """Says that `step` steps of the stage are done.

        Args:
          step: optimizer steps done, over all processes that worked on the stage.
          values: loss terms by name, "loss" first; empty: those shown stay.
          examples: examples trained on since the last update.
          tokens: tokens (padding not counted) since the last update.
        """
        self._step = step
        if values:
            self._values = dict(values)
        self._counts = (self._counts[0] + examples, self._counts[1] + tokens)
        now = monotonic()
        self._marks.append((now, step, *self._counts))
        while len(self._marks) > 2 and now - self._marks[1][0] > WINDOW_SECONDS:
            self._marks.popleft()
        if self.bar is not None:
            self.bar.update(self._task, completed=step, text=self._text())
        elif now - self._printed_at >= self._every:
            self._print(now)

    def __enter__(self) -> Progress:
        now = monotonic()
        self._marks.append((now, self._step, 0, 0))
        self._printed_at = now
        if self._shown and sys.stderr.isatty():
            self.bar = _bar()
            self._task = self.bar.add_task(
                self._stage, total=self._total, completed=self._step, text=""
            )
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
        elif self._printed_step != self._step and len(self._marks) > 1:
            self._print(monotonic())

    def _print(self, now: float) -> None:
        if not self._shown:
            return
        head = f"{self._stage} {self._step}/{self._total}"
        print(f"{head}  {self._text()}", file=sys.stderr, flush=True)
        self._printed_at, self._printed_step = now, self._step

    def _text(self) -> str:
        (then, step0, examples0, tokens0), (now, step, examples, tokens) = (
            self._marks[0],
            self._marks[-1],
        )
        parts = [" ".join(f"{name} {number(value)}" for name, value in self._values.items())]
        seconds = now - then
        if seconds > 0:
            parts.append(f"{short((examples - examples0) / seconds)} ex/s")
            if tokens > tokens0:  # not everything that is counted has tokens
                parts.append(f"{short((tokens - tokens0) / seconds)} tok/s")
            if step > step0:
                parts.append(f"ETA {clock((self._total - step) * seconds / (step - step0))}")
        return "  ".join(part for part in parts if part)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    # The text gives way first, cut at its end, then the bar; never a second line.
    text = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    name = Column(no_wrap=True, overflow="ellipsis", max_width=32)
    return Bar(
        TextColumn("{task.description}", markup=False, table_column=name),
        BarColumn(bar_width=16),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[text]}", markup=False, table_column=text),
        console=Console(stderr=True),
        refresh_per_second=4,
        expand=True,
    )


def number(value: float) -> str:
    """Returns three significant digits: 0.412, 12.3, 1.5e-05."""
    return f"{float(value):.3g}"


def short(count: float) -> str:
    """Returns 0.52, 812, 10.2k or 3.4M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if count >= size:
            return f"{count / (1e3 if letter == 'k' else size):.1f}{letter}"
    return f"{count:.0f}" if count >= 10 else f"{count:.2g}"


def clock(seconds: float) -> str:
    """Returns 0:07, 3:20 or 1:02:03."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
