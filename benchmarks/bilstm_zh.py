"""Seed 003's BiLSTM rows on real Chinese texts: alone by every strategy, taught at T = 1 to 20.

    python -m benchmarks.bilstm_zh --data ZH [--task thucnews] [--pretrained RUN] [--work RUNS]

Tasks: thucnews (titles, characters) and chnsenticorp_dedup (reviews, words by jieba). There is no
Chinese checkpoint here: a small BERT is pre-trained on the task's train texts, as
benchmarks/seed003.py does (--pretrained: its run, if it is there), and fine-tuned with several
seeds on the very rows that the BiLSTM has; the teachers' mean teaches. Each row of the table is a
run folder WORK/<task>/<seed>/<row> of jaxdistill.main; what is finished is reused, and after a
SIGTERM or a crash the same command goes on. Nothing is tuned. Rows have the recipe's bfloat16, but
where they say float32, as the document's plain ones have, or amp, which is float16 with a loss
scale. Dev is scored after every epoch and the best is reported, chosen on the very rows that it is
reported on.

Prints a table, writes it to WORK/<task>/table.md, says how far the teachers are above the BiLSTM
alone, and fails where two rows are the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.common import machine
from benchmarks.finishing import Flags, finish
from benchmarks.seed003 import differ, table
from jaxdistill.files import read_json, write_atomic


class About(NamedTuple):
    """What differs between the tasks."""

    recipe: str
    """configs/bilstm_<recipe>.py, its twin student_bilstm_<recipe>.py."""
    batch: int
    rate: float
    """Of the twin's recipe: accumulation has four times as much of both."""
    length: int
    """Tokens that the BERT reads, and words that the BiLSTM does."""
    buckets: str


TASKS = {
    "thucnews": About("thucnews", 128, 1e-3, 32, "(16, 24, 32)"),
    "chnsenticorp_dedup": About("chnsenticorp", 64, 3e-4, 128, "(32, 64, 128)"),
}
TEMPERATURES = (1.0, 5.0, 10.0, 20.0)
OPTIMIZER = (
    "epochs",
    "batch_size",
    "optimizer",
    "learning_rate",
    "epsilon",
    "schedule",
    "warmup",
    "weight_decay",
    "clip",
    "eval_steps",
    "precision",
)
"""Of the BiLSTM alone's stage, what the taught ones have too, and its betas."""
GOAL = 0.02
"""How far above the BiLSTM alone the teacher should be, in accuracy."""


def rows(about: About) -> Mapping[str, Flags]:
    """By row of the BiLSTM alone, what is changed of its stage."""
    four = {
        "accumulate": 4,
        "batch_size": 4 * about.batch,
        "learning_rate": 4 * about.rate,
    }
    half = {"precision": "float16"}
    return {
        "bilstm": {},
        "float32": {"precision": "float32"},
        "ga": four,
        "amp": half,
        "amp ga": {**four, **half},
        "fgm": {"adversary": "fgm"},
        "pgd": {"adversary": "pgd"},
        "fgm amp": {"adversary": "fgm", **half},
    }


def main() -> None:
    """Parses the command line, trains what is missing, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the folder with thucnews/train.txt")
    parser.add_argument("--task", default="thucnews", choices=TASKS)
    parser.add_argument("--pretrained", help="a finished run of configs/pretrain.py on the task")
    parser.add_argument("--work", default="runs/bilstm_zh", help="the folder of the runs")
    parser.add_argument("--rows", type=int, default=9_000, help="labelled train rows; 0: all")
    parser.add_argument("--seed", type=int, default=123, help="as the seed document")
    parser.add_argument("--teachers", type=int, default=3, help="whose mean teaches")
    parser.add_argument("--epochs", type=int, default=10, help="of the BiLSTMs")
    parser.add_argument("--teacher-epochs", type=int, default=3)
    parser.add_argument("--teacher-rate", type=float, default=1e-4)
    parser.add_argument("--pretrain-epochs", type=int, default=10)
    args = parser.parse_args()
    about = TASKS[args.task]
    work = Path(args.work).expanduser().resolve() / args.task
    work.mkdir(parents=True, exist_ok=True)
    source = args.pretrained or pretrain(args, about, work / "pretrain")
    teachers = [teach(args, about, work, args.seed + n, source) for n in range(args.teachers)]
    here = work / str(args.seed)
    found = {name: alone(args, about, here, name) for name in rows(about)}
    for temperature in TEMPERATURES:
        name = f"kd T={temperature:g}"
        found[name] = taught(args, about, here, name, temperature, teachers)
    differ([*teachers, *found.values()])
    every = {"teacher": teachers, **{name: [run] for name, run in found.items()}}
    count = read_json(found["bilstm"] / "data.json")["train"]["rows"]
    heading = (
        f"{args.task}, {count:,} train rows, {args.epochs} epochs, seed {args.seed}; the teacher's "
        f"row is the mean of {args.teachers}. {machine()}."
    )
    text = f"{heading}\n\n{table(every)}\n{gap(found)}\n"
    write_atomic(work / "table.md", text)
    print(f"\n{text}")


def common(args: argparse.Namespace) -> Flags:
    """What the runs of the task share."""
    return {
        "task": args.task,
        "data.folder": Path(args.data).expanduser().resolve(),
        "data.train_rows": args.rows,
    }


def pretrain(args: argparse.Namespace, about: About, run: Path) -> Path:
    """The run of the pre-trained BERT: 4 layers of 256, a vocabulary from the texts."""
    sizes = {"layers": 4, "width": 256, "heads": 4, "inner": 1024, "vocab": 6_000}
    plan = {"epochs": args.pretrain_epochs, "batch_size": 64, "learning_rate": 5e-4}
    flags = {
        **common(args),
        "data.train_rows": 0,  # it needs no labels
        "data.max_length": about.length,
        "data.buckets": about.buckets,
        **{f"model.{name}": value for name, value in sizes.items()},
        **{f"stages.pretrain.{name}": value for name, value in plan.items()},
    }
    return finish("configs/pretrain.py", run, flags)


def teach(
    args: argparse.Namespace, about: About, work: Path, seed: int, source: str | Path
) -> Path:
    """The finished teacher of a seed."""
    plan = {"epochs": args.teacher_epochs, "learning_rate": args.teacher_rate, "eval_steps": 0}
    flags = {
        **common(args),
        "seed": seed,
        "model.source": source,
        "data.max_length": about.length,
        "data.buckets": about.buckets,
        **{f"stages.finetune.{name}": value for name, value in plan.items()},
    }
    return finish(f"configs/teacher.py:{args.task}", work / f"teacher_{seed}", flags)


def alone(args: argparse.Namespace, about: About, work: Path, name: str) -> Path:
    """The finished run of a row without teacher."""
    stage = {"epochs": args.epochs, **rows(about)[name]}
    flags = {
        **common(args),
        "seed": args.seed,
        "model.max_words": about.length,
        "data.max_length": about.length,
        "data.buckets": about.buckets,
        **{f"stages.finetune.{key}": value for key, value in stage.items()},
    }
    recipe = f"configs/student_bilstm_{about.recipe}.py"
    return finish(recipe, work / name.replace(" ", "_"), flags)


def taught(
    args: argparse.Namespace,
    about: About,
    work: Path,
    name: str,
    temperature: float,
    teachers: list[Path],
) -> Path:
    """The finished run of a row with teachers: CE + T^2 KL, trained just as the BiLSTM alone."""
    stage = read_json(work / "bilstm" / "config.json")["stages"]["finetune"]
    flags = {
        **common(args),
        "seed": args.seed,
        "teacher.run": teachers[0],
        "teacher.others": tuple(str(run) for run in teachers[1:]),
        "method.soft_loss": "kl",
        "method.soft_weight": 1.0,
        "method.hard_weight": 1.0,
        "method.temperature": temperature,
        "method.temperature_on": "both",
        "method.temperature_squared": True,
        "baseline": False,
        "student.max_words": about.length,
        "data.max_length": about.length,
        "data.buckets": about.buckets,
        **{f"stages.kd.{key}": stage[key] for key in OPTIMIZER},
        "stages.kd.betas": tuple(stage["betas"]),
    }
    return finish(f"configs/bilstm_{about.recipe}.py", work / name.replace(" ", "_"), flags)


def gap(found: Mapping[str, Path]) -> str:
    """What the gate asked of each teacher, who passed it, and how much there was to learn."""
    report = read_json(found["kd T=1"] / "report.json")
    about = report["teacher"]
    teacher = about["together"] if "together" in about else about
    best = teacher["metrics"]["dev"]["accuracy"]
    plain = read_json(found["bilstm"] / "report.json")["metrics"]["dev"]["accuracy"]
    labels = np.load(found["bilstm"] / "predictions" / "dev.npz")["labels"]
    guess = np.bincount(labels).max() / len(labels)
    verdict = "enough to teach" if best - plain >= GOAL else f"less than the {GOAL:.0%} hoped for"
    above = f"{best - plain:+.4f} against the BiLSTM alone"
    margin = read_json(found["kd T=1"] / "config.json")["teacher"]["margin"]
    gate = f"Each teacher passed the gate, which asks for more than {guess + margin:.4f}."
    return f"{gate} Together they have {best:.4f}, {above}, {verdict}."


if __name__ == "__main__":
    main()
