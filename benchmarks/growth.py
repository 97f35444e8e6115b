"""(g) Growth: 6,000, 67,000 and 670,000 rows through a whole run; time linear, memory flat.

    python -m benchmarks.growth --data GLUE

Each size is a run of `python -m jaxdistill.main` in a process and with caches of its own: reading,
tokenising, the teacher's cache, one epoch of its logits, evaluation. Rows beyond SST-2's 67,349
repeat. Models are tiny (2 layers, 64 wide), so that an epoch of 670,000 takes minutes; what grows
with the rows is the same for any model. Memory is the process's largest resident set.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.common import machine, say

TINY = ("source=random", "layers=2", "width=64", "heads=4", "inner=256")
SETTING = (
    "--config.baseline=False",
    "--config.data.buckets=(16,32,64,128)",
    "--config.method.stages_run=('prediction',)",
    "--config.stages.prediction.epochs=1",
    "--config.stages.prediction.eval_steps=0",
    "--config.teacher.margin=-1.0",
)


def main() -> None:
    """Parses the command line, trains a teacher, then measures each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the folder with SST-2/train.tsv")
    parser.add_argument("--sizes", default="6000,67000,670000")
    args = parser.parse_args()
    lines = (Path(args.data) / "SST-2" / "train.tsv").read_text("utf-8").split("\n")
    header, rows = lines[0], [line for line in lines[1:] if line]
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = write(folder / "data", header, rows[:2000], args.data)
        teacher = folder / "teacher"
        flags = [f"--config.model.{field}" for field in (*TINY, "vocab=4000")]
        run(data, teacher, "teacher_sst2", [*flags, "--config.stages.finetune.epochs=1"])
        for size in map(int, args.sizes.split(",")):
            repeated = (rows * -(-size // len(rows)))[:size]
            data = write(folder / f"data{size}", header, repeated, args.data)
            flags = [f"--config.student.{field}" for field in TINY]
            flags += [f"--config.teacher.run={teacher}", *SETTING]
            seconds, kibibytes = run(data, folder / f"run{size}", "tinybert_sst2", flags)
            row = {"rows": size, "seconds": seconds, "peak MiB": kibibytes / 1024}
            found.append({**row, "load": os.getloadavg()[0]})
            say(str(found[-1]))
    print(f"\n{__doc__.splitlines()[0]}\n{machine()}\n")
    print(f"{'rows':>8s} {'seconds':>8s} {'ms a row':>9s} {'peak MiB':>9s} {'load':>5s}")
    for row in found:
        each = row["seconds"] / row["rows"] * 1e3
        print(
            f"{row['rows']:8d} {row['seconds']:8.1f} {each:9.3f} {row['peak MiB']:9.0f} "
            f"{row['load']:5.1f}"
        )
    for low, high in pairwise(found):  # so that what every run costs anyway drops out
        more = high["rows"] - low["rows"]
        rate = (high["seconds"] - low["seconds"]) / more * 1e3
        memory = (high["peak MiB"] - low["peak MiB"]) * 2**20 / more
        print(f"{low['rows']:,} to {high['rows']:,}: {rate:.3f} ms and {memory:.0f} bytes a row")
    print("\n" + json.dumps(found))


def write(folder: Path, header: str, rows: Sequence[str], data: str) -> Path:
    """A folder in GLUE's layout with these train rows and SST-2's own dev."""
    task = folder / "SST-2"
    task.mkdir(parents=True)
    (task / "train.tsv").write_text("\n".join([header, *rows, ""]), "utf-8")
    dev = (Path(data) / "SST-2" / "dev.tsv").read_bytes()
    (task / "dev.tsv").write_bytes(dev)
    return folder


def run(data: Path, workdir: Path, recipe: str, flags: Sequence[str]) -> tuple[float, int]:
    """(seconds, KiB of the largest resident set) of a run of the command line."""
    environment = dict(os.environ, JAXDISTILL_CACHE=str(workdir) + "-cache")
    environment.pop("GLIBC_TUNABLES", None)
    log = Path(str(workdir) + ".log")
    begun = time.perf_counter()
    with log.open("wb") as output:
        child = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jaxdistill.main",
                f"--config=configs/{recipe}.py",
                f"--workdir={workdir}",
                f"--config.data.folder={data}",
                *flags,
            ],
            stdout=output,
            stderr=output,
            env=environment,
        )
    try:
        _, status, used = os.wait4(child.pid, 0)
    except BaseException:
        child.kill()
        raise
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(log.read_text()[-2000:])
    return time.perf_counter() - begun, used.ru_maxrss


if __name__ == "__main__":
    main()
