"""Which precision a run really computes in: what its plan says, where the machine can."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from jaxdistill import processes
from jaxdistill.files import read_json, write_json
from jaxdistill.models.bilstm import BiLstmShape
from jaxdistill.models.build import Shape, fused_lstm
from jaxdistill.models.probe import lstm_runs, runs
from jaxdistill.notices import Notice

LSTM = "lstm"
"""In RUN/precisions.json beside the precisions: how an LSTM's run began."""
WAYS = {True: "cuDNN's LSTM (float32, products in TF32)", False: "the loop of models/lstm.py"}


def settle(folder: Path, shapes: Iterable[Shape], notice: Notice, wanted: str) -> str:
    """The wanted precision, or float32 where the machine does not run it. Collective: process 0's.

    The first answer is kept in RUN/precisions.json: a run that is resumed, on another machine too,
    goes on as it began. What it cannot go on with, cuDNN's LSTM, is told.

    Args:
      shapes: of the models that compute in it: the run's, and its teacher's.
    """
    return processes.led(lambda: _settle(folder, shapes, notice, wanted))


def _settle(folder: Path, shapes: Iterable[Shape], notice: Notice, wanted: str) -> str:
    path = folder / "precisions.json"
    chosen: dict[str, str] = dict(read_json(path)) if path.is_file() else {}
    if wanted in chosen:
        return chosen[wanted]
    able = all(_runs(wanted, shape) for shape in shapes)
    if not able:
        notice(f"this machine does not compute in {wanted}: this run computes in float32")
    chosen[wanted] = wanted if able else "float32"
    write_json(path, chosen)
    return chosen[wanted]


def tell_lstm(folder: Path, shape: Shape, notice: Notice) -> None:
    """Says where an LSTM's run goes on in another way than it began, which RUN/precisions.json has.

    Collective: process 0's.
    """
    if not isinstance(shape, BiLstmShape):
        return
    way = WAYS[fused_lstm(shape)]
    path = folder / "precisions.json"

    def look() -> None:
        known: dict[str, str] = dict(read_json(path)) if path.is_file() else {}
        began = known.setdefault(LSTM, way)
        if began != way:
            notice(f"this run began with {began} and goes on with {way}: its last bits will differ")
        write_json(path, known)

    processes.led(look)


def _runs(wanted: str, shape: Shape) -> bool:
    if isinstance(shape, BiLstmShape):
        return lstm_runs(wanted, width=shape.width * shape.channels, hidden=shape.hidden)
    return runs(wanted, width=shape.width, inner=shape.inner, heads=shape.heads)
