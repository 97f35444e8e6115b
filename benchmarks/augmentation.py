"""TinyBERT on few rows of SST-2, with its augmentation (Jiao et al. 2020, section 3.2) and without.

    python -m benchmarks.augmentation --data GLUE --checkpoint CHECKPOINT --glove GLOVE
        [--work runs/augmentation] [--rows 6000]

For each seed one teacher, fine-tuned from CHECKPOINT on --rows rows, and students of 3 layers that
start from it: without augmentation; without, but for as many steps as the augmented ones get; with
candidates from word vectors (GLOVE, a text file); with candidates from a masked-LM, and from GLOVE
where a word is several pieces to it. CHECKPOINT need not have a masked-LM head: the model is made
of it once, by configs/pretrain.py on the texts of the train split. The teacher labels what is made.

Each run is a run folder WORK/<seed>/<row>, made by jaxdistill.main; what is finished is reused, and
after a SIGTERM or a crash the same command goes on. Nothing is tuned; the best of the evaluations
on dev is reported, chosen on the very rows that it is reported on.

Prints a table, and writes it to WORK/table.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from benchmarks.campaign import table
from benchmarks.common import machine
from benchmarks.finishing import Flags, finish
from jaxdistill.files import write_atomic

TWINS = {
    "as many steps": "plain",
    "word vectors": "as many steps",
    "masked-LM": "as many steps",
}
STAGES = {"intermediate": 1, "prediction": 2}
"""Epochs, as in the recipe."""


def main() -> None:
    """Parses the command line, trains what is missing, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the folder with SST-2/train.tsv")
    parser.add_argument("--checkpoint", required=True, help="where teacher and masked-LM start")
    parser.add_argument("--glove", required=True, help="a text file of word vectors")
    parser.add_argument("--work", default="runs/augmentation", help="the folder of the runs")
    parser.add_argument("--rows", type=int, default=6_000, help="of the train set")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--copies", type=int, default=5, help="N of the paper, which has 20")
    parser.add_argument("--pretrain-epochs", type=int, default=1, help="over the train texts")
    args = parser.parse_args()
    work = Path(args.work).expanduser().resolve()
    work.mkdir(parents=True, exist_ok=True)
    masked = pretrain(args, work / "pretrain")
    runs: dict[str, list[Path]] = {"teacher": []}
    for seed in args.seeds:
        runs["teacher"].append(teach(args, work / str(seed) / "teacher", seed))
        for name, flags in rows(args, masked).items():
            run = work / str(seed) / name.replace(" ", "_")
            runs.setdefault(name, []).append(learn(args, run, seed, flags))
    heading = (
        f"SST-2, {args.rows:,} train rows, seeds {args.seeds}, students of 3 layers, "
        f"{args.copies} copies of each row. {machine()}."
    )
    text = f"{heading}\n\n{table(runs, TWINS)}"
    write_atomic(work / "table.md", text)
    print(f"\n{text}")


def rows(args: argparse.Namespace, masked: Path) -> Mapping[str, Flags]:
    """By row of the table, what is changed of configs/tinybert_sst2.py."""
    longer = {
        f"stages.{name}.epochs": epochs * (1 + args.copies) for name, epochs in STAGES.items()
    }
    glove = Path(args.glove).expanduser().resolve()
    made = {"augment.name": "tinybert", "augment.copies": args.copies, "augment.vectors": glove}
    return {
        "plain": {},
        "as many steps": longer,
        "word vectors": {**made, "augment.model": ""},
        "masked-LM": {**made, "augment.model": masked},
    }


def common(args: argparse.Namespace) -> Flags:
    """What all runs share."""
    return {"data.folder": Path(args.data).expanduser().resolve()}


def pretrain(args: argparse.Namespace, run: Path) -> Path:
    """The run of the masked-LM."""
    plan = {"epochs": args.pretrain_epochs, "batch_size": 32, "learning_rate": 1e-4}
    flags = {
        **common(args),
        "task": "sst2",
        "model.source": args.checkpoint,
        "data.max_length": 64,
        "data.buckets": "(16, 24, 32, 64)",
        **{f"stages.pretrain.{name}": value for name, value in plan.items()},
    }
    return finish("configs/pretrain.py", run, flags)


def teach(args: argparse.Namespace, run: Path, seed: int) -> Path:
    """The finished teacher of a seed."""
    flags = {"seed": seed, "data.train_rows": args.rows, "model.source": args.checkpoint}
    return finish("configs/teacher_sst2.py", run, {**common(args), **flags})


def learn(args: argparse.Namespace, run: Path, seed: int, flags: Flags) -> Path:
    """The finished student of a row, whose teacher is beside it."""
    fixed = {"seed": seed, "data.train_rows": args.rows, "teacher.run": run.parent / "teacher"}
    fixed |= {f"stages.{name}.epochs": epochs for name, epochs in STAGES.items()}
    return finish("configs/tinybert_sst2.py", run, {**common(args), **fixed, **flags})


if __name__ == "__main__":
    main()
