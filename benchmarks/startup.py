"""(e) From the command to the first step, and the quickstart from start to end.

    python -m benchmarks.startup --data GLUE --checkpoint CHECKPOINT [--quickstart] [--root FOLDER]

Runs `python -m jaxdistill.main` as a user does, with caches of its own: "cold" with empty ones,
then "warm" with what the first left (tokens, what XLA compiled). The first step is done when
metrics.jsonl has its first line of training, which is that of a whole dispatch. All 67,349 rows of
SST-2 are read. --root: another checkout of the package, such as an older one, to compare with.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.common import Measured, report, say, wait_for_quiet


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the folder with SST-2/train.tsv")
    parser.add_argument("--checkpoint", required=True, help="a BERT in Hugging Face's layout")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--quickstart", action="store_true", help="that too: minutes each")
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for quiet")
    parser.add_argument("--root", default=".", help="a checkout of the package")
    args = parser.parse_args()
    measured = Measured(defaultdict(dict), {}, {}, [], [], {})
    root = Path(args.root).resolve()
    for _ in range(args.processes):
        with tempfile.TemporaryDirectory() as temporary:
            for name in ("cold", "warm"):
                measured.loads.append(os.getloadavg()[0])
                measured.others.append(wait_for_quiet(args.patience))
                seconds = first_step(root, args, Path(temporary), name)
                measured.seconds["command to first step"].setdefault(name, []).append(seconds)
                say(f"{name}: {seconds:.1f} s to the first step")
        if args.quickstart:
            with tempfile.TemporaryDirectory() as temporary:
                for name in ("cold", "warm"):
                    measured.loads.append(os.getloadavg()[0])
                    measured.others.append(wait_for_quiet(args.patience))
                    seconds = quickstart(root, Path(temporary), name)
                    measured.seconds["quickstart"].setdefault(name, []).append(seconds)
                    say(f"{name}: quickstart {seconds:.0f} s")
    report(__doc__.splitlines()[0], measured, {"root": args.root})


def command(
    root: Path, temporary: Path, name: str, *flags: str
) -> tuple[subprocess.Popen[bytes], Path]:
    """The verb, started in a workdir of its own."""
    environment = dict(os.environ, JAXDISTILL_CACHE=str(temporary / "cache"))
    environment["PYTHONPATH"] = str(root)
    environment.pop("GLIBC_TUNABLES", None)
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    workdir = temporary / name
    with (temporary / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "jaxdistill.main", f"--workdir={workdir}", *flags],
            stdout=log,
            stderr=log,
            cwd=root,
            env=environment,
        )
    return child, workdir


def first_step(root: Path, args: argparse.Namespace, temporary: Path, name: str) -> float:
    """Seconds from the command to the first line of training; the run is then ended."""
    begun = time.perf_counter()
    child, workdir = command(
        root,
        temporary,
        name,
        "--config=configs/teacher_sst2.py",
        f"--config.data.folder={args.data}",
        f"--config.model.source={args.checkpoint}",
        "--config.log_steps=1",
    )
    metrics = workdir / "metrics.jsonl"
    try:
        while not (metrics.is_file() and metrics.stat().st_size):
            if child.poll() is not None:
                raise RuntimeError((temporary / f"{name}.log").read_text()[-2000:])
            time.sleep(0.02)
        return time.perf_counter() - begun
    finally:
        child.kill()
        child.wait()


def quickstart(root: Path, temporary: Path, name: str) -> float:
    """Seconds of the whole quickstart, installation aside."""
    begun = time.perf_counter()
    child, _ = command(
        root,
        temporary,
        name,
        "--config=configs/quickstart.py",
        f"--config.teacher.run={temporary / name}-teacher",
    )
    if child.wait():
        raise RuntimeError((temporary / f"{name}.log").read_text()[-2000:])
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
