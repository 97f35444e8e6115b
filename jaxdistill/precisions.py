"""Which precision a run really computes in: what its plan says, where the machine can."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jaxdistill import processes
from jaxdistill.files import read_json, write_json
from jaxdistill.models.bilstm import BiLstmShape
from jaxdistill.models.build import Shape
from jaxdistill.models.probe import lstm_runs, runs


def settle(folder: Path, shape: Shape, notice: Callable[[str], None], wanted: str) -> str:
    """The wanted precision, or float32 where the machine does not run it. Collective: process 0's.

    The first answer is kept in RUN/precisions.json: a run that is resumed, on another machine too,
    goes on as it began.
    """
    return processes.led(lambda: _settle(folder, shape, notice, wanted))


def _settle(folder: Path, shape: Shape, notice: Callable[[str], None], wanted: str) -> str:
    path = folder / "precisions.json"
    chosen: dict[str, str] = dict(read_json(path)) if path.is_file() else {}
    if wanted not in chosen:
        if isinstance(shape, BiLstmShape):
            able = lstm_runs(wanted, width=shape.width * shape.channels, hidden=shape.hidden)
        else:
            able = runs(wanted, width=shape.width, inner=shape.inner, heads=shape.heads)
        if not able:
            notice(f"this machine does not compute in {wanted}: this run computes in float32")
        chosen[wanted] = wanted if able else "float32"
        write_json(path, chosen)
    return chosen[wanted]
