"""General distillation on local text: TinyBERT on 6,000 rows of SST-2 from it and from nothing.

    python -m benchmarks.general --data GLUE --checkpoint CHECKPOINT [--work runs/general]

The corpus, WORK/corpus, is made of the texts of GLUE's train splits that are at hand, without their
labels: SST-2, CoLA, MRPC, RTE, STS-B, each text once. One run of configs/general_tinybert.py
distils CHECKPOINT, which has no task, into a thin student on it. Then for each seed:
configs/teacher.py:sst2 fine-tunes CHECKPOINT on a fixed subset of the train rows, and
configs/tinybert.py:sst2 distils that on the same rows into the same thin student, once from the
general run and once from random weights, with one plan for both.

Each run is a run folder below WORK; what is finished is reused, and after a SIGTERM or a crash the
same command goes on. Nothing is tuned. The best of the evaluations on dev is reported, chosen on
the very rows that it is reported on. SST-2's train texts, the 6,000 among them, are part of the
corpus: what is measured is distillation on text of the task's own domain.

Prints a table, and writes it to WORK/table.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.campaign import DRAWS, bootstrap, correct
from benchmarks.common import machine, say
from benchmarks.finishing import Flags, finish
from jaxdistill.data.readers import read_split
from jaxdistill.data.tasks import find_task
from jaxdistill.files import read_json, write_atomic

TEXTS = ("sst2", "cola", "mrpc", "rte", "stsb")
"""The tasks whose train texts are the corpus."""
STARTS = ("general", "random")
"""Where the students of SST-2 start."""


def main() -> None:
    """Parses the command line, trains what is missing, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the folder with SST-2/train.tsv and others")
    parser.add_argument("--checkpoint", required=True, help="the teacher, before any task")
    parser.add_argument("--work", default="runs/general", help="the folder of the runs")
    parser.add_argument("--steps", type=int, default=4000, help="of general distillation")
    parser.add_argument("--general-rate", type=float, default=5e-4, help="its learning rate")
    parser.add_argument("--rows", type=int, default=6000, help="of SST-2's train set")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rate", type=float, default=1e-4, help="of TinyBERT's stages")
    parser.add_argument("--epochs", type=int, default=10, help="of its first stage; second: a half")
    parser.add_argument("--teacher-epochs", type=int, default=3)
    parser.add_argument("--layers", type=int, default=3, help="of the student")
    parser.add_argument("--width", type=int, default=192, help="of the student")
    args = parser.parse_args()
    work = Path(args.work).expanduser().resolve()
    corpus = make_corpus(Path(args.data).expanduser(), work / "corpus")
    general = distil(args, work / "general", corpus)
    runs: dict[str, list[Path]] = {name: [] for name in ("teacher", *STARTS)}
    for seed in args.seeds:
        folder = work / str(seed)
        runs["teacher"].append(teach(args, folder / "teacher", seed))
        for name in STARTS:
            runs[name].append(
                learn(args, folder / name, seed, general if name == "general" else None)
            )
    heading = (
        f"General distillation: {args.steps:,} steps of 64 sequences of 64 tokens, learning rate "
        f"{args.general_rate:g}, of {args.checkpoint}. SST-2: {args.rows:,} train rows, students "
        f"of {args.layers} layers of {args.width}, {args.epochs} + {max(1, args.epochs // 2)} "
        f"epochs, learning rate {args.rate:g}, seeds {args.seeds}. {machine()}."
    )
    text = f"{heading}\n\n{table(general, runs)}"
    write_atomic(work / "table.md", text)
    print(f"\n{text}")


def make_corpus(data: Path, folder: Path) -> Path:
    """The folder of the texts, a file for each task; made once."""
    seen: set[str] = set()
    folder.mkdir(parents=True, exist_ok=True)
    for name in TEXTS:
        columns = read_split(find_task(name), "train", str(data), say).texts
        texts = [" ".join(text.split()) for row in zip(*columns, strict=True) for text in row]
        new = [text for text in dict.fromkeys(texts) if text and text not in seen]
        seen.update(new)
        path = folder / f"{name}.txt"
        if not path.is_file():
            write_atomic(path, "".join(f"{text}\n" for text in new))
    say(f"{folder}: {len(seen):,} texts")
    return folder


def distil(args: argparse.Namespace, run: Path, corpus: Path) -> Path:
    """The finished run of general distillation, which all seeds start from."""
    flags: Flags = {
        "teacher.source": args.checkpoint,
        "data.corpus": corpus,
        "data.max_length": 64,
        "data.buckets": "(64,)",
        "data.held_out": 0.02,
        "data.dev_rows": 256,
        "data.steps": args.steps,
        **{f"student.{name}": value for name, value in sizes(args).items()},
        "stages.general.epochs": 1,
        "stages.general.batch_size": 64,
        "stages.general.learning_rate": args.general_rate,
        "stages.general.eval_steps": max(1, args.steps // 8),
    }
    return finish("configs/general_tinybert.py", run, flags)


def teach(args: argparse.Namespace, run: Path, seed: int) -> Path:
    """The finished teacher of a seed."""
    flags = task(args, seed) | {
        "model.source": args.checkpoint,
        "stages.finetune.epochs": args.teacher_epochs,
        "stages.finetune.eval_steps": 0,
    }
    return finish("configs/teacher.py:sst2", run, flags)


def learn(args: argparse.Namespace, run: Path, seed: int, general: Path | None) -> Path:
    """A finished student of a seed, started from general distillation or from nothing."""
    flags = task(args, seed) | {"teacher.run": run.parent / "teacher"}
    if general:
        flags["student.source"] = general
    else:
        flags |= {f"student.{name}": value for name, value in sizes(args).items()}
        flags["student.source"] = "random"
    for stage, epochs in (("intermediate", args.epochs), ("prediction", max(1, args.epochs // 2))):
        each = {"epochs": epochs, "learning_rate": args.rate, "eval_steps": 0}
        flags |= {f"stages.{stage}.{name}": value for name, value in each.items()}
    return finish("configs/tinybert.py:sst2", run, flags)


def task(args: argparse.Namespace, seed: int) -> Flags:
    """What the runs on SST-2 share."""
    folder = Path(args.data).expanduser().resolve()
    return {"seed": seed, "data.folder": folder, "data.train_rows": args.rows}


def sizes(args: argparse.Namespace) -> Flags:
    """The thin student's."""
    return {"layers": args.layers, "width": args.width, "heads": 12, "inner": 4 * args.width}


def table(general: Path, runs: dict[str, Sequence[Path]] | dict[str, list[Path]]) -> str:
    """Accuracy on dev by start, and how much general distillation adds; its own held-out loss."""
    hits = {name: np.stack([correct(run) for run in folders]) for name, folders in runs.items()}
    lines = ["| | dev accuracy | min to max |", "|---|---:|---:|"]
    for name, hit in hits.items():
        each = hit.mean(1)
        lines.append(f"| {name} | {hit.mean():.4f} | {each.min():.4f} to {each.max():.4f} |")
    gain, low, high = bootstrap(*(hits[name].mean(0) for name in STARTS))
    report = read_json(general / "report.json")
    told = ", ".join(f"{name} {value:.4f}" for name, value in report["metrics"]["dev"].items())
    return "\n".join(
        [
            *lines,
            "",
            f"From general distillation against from nothing: {gain:+.4f}, 95% {low:+.4f} to "
            f"{high:+.4f} (a paired bootstrap over {hits['teacher'].shape[1]} dev rows, {DRAWS:,} "
            f"draws, {hits['teacher'].shape[0]} seed(s) averaged first).",
            f"General distillation on held-out text: {told}; {report['wall_seconds']:.0f} s.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
