"""A run of jaxdistill.main, finished: begun, gone on with, or found done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.common import say
from jaxdistill.errors import EXIT_PREEMPTED
from jaxdistill.files import read_json

ROOT = Path(__file__).parents[1]

Flags = dict[str, Any]
"""Key below config -> value."""


def finish(config: str, run: Path, flags: Flags) -> Path:
    """The folder of a finished run. Where the run does not finish, leaves with its status.

    After a SIGTERM or a SIGINT everything is saved, and the same call goes on. What the run prints
    goes to RUN.log.

    Args:
      config: what --config is given, below the root of the repository.
    """
    words = [f"--config={config}", f"--workdir={run}"]
    words += [f"--config.{name}={value}" for name, value in flags.items()]
    run.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with run.with_suffix(".log").open("a") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "jaxdistill.main", *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
        # A scheduler may signal this process alone, a terminal both: the child saves and stops.
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        signal.signal(signal.SIGINT, lambda *_: None)
        status = child.wait()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if status == EXIT_PREEMPTED:
        say(f"{run}: stopped, everything is saved. The same command goes on from here.")
        sys.exit(status)
    if status:
        say(f"{run}: status {status}. {log.name} ends so:\n" + Path(log.name).read_text()[-2000:])
        sys.exit(1)
    metrics = read_json(run / "report.json")["metrics"]["dev"]
    told = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    say(f"{run}: dev {told}, {time.monotonic() - begun:.0f} s")
    return run
