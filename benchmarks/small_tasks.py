"""GLUE's small tasks with the recipes' defaults: a teacher, a student of 3 layers alone, distilled.

    python -m benchmarks.small_tasks --data GLUE --checkpoint CHECKPOINT [--work runs/small_tasks]
        [--learning-rate 1e-4]

For each task and seed: configs/teacher.py:<task> from CHECKPOINT, then its first layers alone
(student.py), and taught (kd.py, tinybert.py), by a poor teacher too, from which jaxdistill.main
would refuse to distil. --learning-rate is the teachers' alone. Each run is a run folder
WORK/<task>/<seed>/<name>; what is finished is reused, and after a SIGTERM or a crash the same
command goes on. Nothing is tuned. The best of the evaluations on dev is reported, chosen on the
very rows it is reported on.

Prints a table of every metric that the benchmark has for the task, mean over the seeds and their
range, and writes it to WORK/table.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.common import machine
from benchmarks.finishing import Flags, finish
from jaxdistill.data.tasks import find_task
from jaxdistill.files import read_json, write_atomic

NAMES = ("teacher", "student", "kd", "tinybert")
"""The recipes, the teacher's first; student is the twin of those after it."""


def main() -> None:
    """Parses the command line, trains what is missing, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the folder with RTE/train.tsv and others")
    parser.add_argument("--checkpoint", required=True, help="where teacher and twin start")
    parser.add_argument("--work", default="runs/small_tasks", help="the folder of the runs")
    parser.add_argument("--tasks", nargs="+", default=["rte", "mrpc", "stsb", "cola"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--layers", type=int, default=3, help="of the students")
    parser.add_argument("--learning-rate", type=float, help="of the teachers; else the recipe's")
    args = parser.parse_args()
    work = Path(args.work).expanduser().resolve()
    work.mkdir(parents=True, exist_ok=True)
    runs = {
        (task, seed, name): learn(args, work / task / str(seed) / name, task, seed)
        for seed in args.seeds
        for task in args.tasks
        for name in NAMES
    }
    rate = f"{args.learning_rate:g}" if args.learning_rate else "the recipe's"
    heading = f"Students of {args.layers} layers, teachers' learning rate {rate}. {machine()}."
    text = f"{heading}\n\n{table(args.tasks, args.seeds, runs)}"
    write_atomic(work / "table.md", text)
    print(f"\n{text}")


def learn(args: argparse.Namespace, run: Path, task: str, seed: int) -> Path:
    """The finished run of a recipe, whose name is the folder's; its teacher is beside it."""
    flags: Flags = {"seed": seed, "data.folder": Path(args.data).expanduser().resolve()}
    if run.name == "teacher":
        flags["model.source"] = args.checkpoint
        if args.learning_rate:
            flags["stages.finetune.learning_rate"] = args.learning_rate
    else:
        flags |= {"teacher.run": run.parent / "teacher", "student.layers": args.layers}
        flags["teacher.margin"] = -1.0
    return finish(f"configs/{run.name}.py:{task}", run, flags)


def table(tasks: list[str], seeds: list[int], runs: dict[tuple[str, int, str], Path]) -> str:
    """A row per task and metric: every recipe's mean over the seeds, and the range."""
    lines = [f"| | | {' | '.join(NAMES)} |", "|---|---|" + "---:|" * len(NAMES)]
    for task in tasks:
        for metric in find_task(task).metrics:
            cells = []
            for name in NAMES:
                reports = [read_json(runs[task, seed, name] / "report.json") for seed in seeds]
                values = [report["metrics"]["dev"][metric] for report in reports]
                cells.append(f"{np.mean(values):.4f} ({min(values):.3f} to {max(values):.3f})")
            lines.append(f"| {task} | {metric} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\nMeans over the seeds {seeds} on dev.\n"


if __name__ == "__main__":
    main()
