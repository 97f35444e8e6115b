"""One run on 1, 2 and 4 forced host devices, and in two processes: the same result, time per step.

    python -m benchmarks.devices [--rounds 3]

The quickstart's first stage (a student of 2 layers of 64, a teacher of 4 of 128, generated reviews)
with dropout off and float32, on this machine's cores in all cases: what is seen is what sharing
costs, not what more hardware gains. Each variant runs twice, for EPOCHS epochs and for three times
as many; the difference of the times that the stage took, over the difference of its steps, is the
time per step, compilation left out. The teacher is trained once, for an epoch.
Prints a table: median time per step over the rounds, and the largest difference of a parameter from
one device's, after the shorter run.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.common import machine, say
from jaxdistill.files import read_json
from jaxdistill.runs import open_run
from jaxdistill.trees import flatten

VARIANTS = {"1 device": (1, 1), "2 devices": (1, 2), "4 devices": (1, 4), "2 processes": (2, 1)}
"""Processes, and devices of each."""
EPOCHS = 1


def main() -> None:
    """Parses the command line, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    steps: dict[str, list[float]] = defaultdict(list)
    params = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        for number in range(args.rounds):
            for name, (processes, devices) in VARIANTS.items():
                short, long = (
                    train(
                        work, f"{number}-{name}-{times}".replace(" ", ""), processes, devices, times
                    )
                    for times in (1, 3)
                )
                (before, few), (after, many) = map(timed, (short, long))
                steps[name].append((after - before) / (many - few))
                params[name] = flatten(open_run(short, lambda text: None).params)
                say(f"round {number}, {name}: {1000 * steps[name][-1]:.1f} ms a step")
    one = params["1 device"]
    print(f"{machine()}\n\n| | ms a step | ratio | largest difference |\n|---|---:|---:|---:|")
    for name, found in steps.items():
        ratio = np.median(found) / np.median(steps["1 device"])
        apart = max(float(np.abs(one[path] - leaf).max()) for path, leaf in params[name].items())
        print(f"| {name} | {1000 * np.median(found):.1f} | {ratio:.2f} | {apart:.1e} |")


def train(work: Path, name: str, processes: int, devices: int, times: int) -> Path:
    """The finished run of a variant."""
    flags = {
        "teacher.run": work / "teacher",
        "teacher.recipe.stages.finetune.epochs": 1,
        "teacher.margin": -1.0,
        "method.stages_run": '("intermediate",)',
        "student.dropout": 0.0,
        "stages.intermediate.epochs": EPOCHS * times,
        "stages.intermediate.precision": "float32",
        "baseline": False,
    }
    command = [sys.executable, "-m", "jaxdistill.main", "--config=configs/quickstart.py"]
    command += [f"--workdir={work / name}", *(f"--config.{k}={v}" for k, v in flags.items())]
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    meeting = [f"--coordinator=127.0.0.1:{port}", f"--processes={processes}"]
    forced = f"--xla_force_host_platform_device_count={devices}"
    children = [
        subprocess.Popen(
            [*command, *([*meeting, f"--process={number}"] if processes > 1 else [])],
            env={**os.environ, "XLA_FLAGS": forced},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if number else None,
        )
        for number in range(processes)
    ]
    if any(child.wait() for child in children):
        sys.exit(f"{name} failed")
    return work / name


def timed(run: Path) -> tuple[float, int]:
    """Seconds and steps of the run's stage."""
    done = read_json(run / "checkpoints" / "intermediate" / "done.json")
    return done["seconds"], done["steps"]


if __name__ == "__main__":
    main()
