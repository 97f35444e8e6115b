"""The BiLSTM on real SST-2: alone, distilled, distilled with augmentation, by its word vectors.

    python -m benchmarks.bilstm_sst2 --data GLUE --checkpoint CHECKPOINT --glove GLOVE
        [--work runs/bilstm_sst2] [--rows 0 --seeds 0 --copies 20] [--teachers runs/campaign]

All of a seed learn from one teacher, fine-tuned from CHECKPOINT: WORK/<seed>/teacher, or where
--teachers is given, the finished one that benchmarks/campaign.py left in its folder, or one that
configs/score_sst2.py adopted there. GLOVE is a text file of vectors.

Vectors: "random"; "glove", whose words are cut at marks, as BERT's tokenizer begins; "spaces",
GloVe too, of words as the texts have them between spaces; "derived", the word-piece table of
CHECKPOINT reduced to 300; "whole", that of all its pieces, where the others have those of the train
texts.
Each run is a run folder WORK/<seed>/<vectors>[_augmented], made by jaxdistill.main from
configs/bilstm_sst2.py; its folder "alone" is the twin, the same BiLSTM trained for as many epochs
on the labels alone: with augmentation, one of its epochs is several times as many steps as one of
its twin's. What is finished is reused, and after a SIGTERM or a crash the same command goes on.
Nothing is tuned; dev is scored after every epoch and the best is reported, chosen on the very rows
that it is reported on.

Prints a table, and writes it to WORK/table.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.campaign import table, teacher_of
from benchmarks.common import machine
from benchmarks.finishing import Flags, finish
from jaxdistill.files import write_atomic

VECTORS = ("random", "glove", "spaces", "derived", "whole")


def main() -> None:
    """Parses the command line, trains what is missing, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the folder with SST-2/train.tsv")
    parser.add_argument("--checkpoint", required=True, help="a folder: where the teacher starts")
    parser.add_argument("--glove", required=True, help="vectors of 50 numbers, a word a line")
    parser.add_argument("--work", default="runs/bilstm_sst2", help="the folder of the runs")
    parser.add_argument("--teachers", help="TEACHERS/<seed>/teacher is there already")
    parser.add_argument("--rows", type=int, default=20_000, help="of the train set; 0: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--vectors", nargs="+", default=list(VECTORS), choices=VECTORS)
    parser.add_argument("--copies", type=int, default=5, help="n_iter of the augmentation")
    parser.add_argument("--epochs", type=int, default=6, help="of the BiLSTMs; the teacher's: 3")
    args = parser.parse_args()
    work = Path(args.work).expanduser().resolve()
    work.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[Path]] = {}
    for seed in args.seeds:
        teacher = teach(args, work, seed)
        found = {"teacher": teacher}
        for vectors in args.vectors:
            flags = {"teacher.run": teacher, **given(args, vectors)}
            run = learn(args, work / str(seed) / vectors, seed, flags)
            made = {"augment.name": "tang", "augment.copies": args.copies, "baseline": False}
            more = learn(
                args,
                work / str(seed) / f"{vectors}_augmented",
                seed,
                {**flags, **made},
            )
            found |= {f"{vectors}, alone": run / "alone", f"{vectors}, distilled": run}
            found[f"{vectors}, augmented"] = more
        for name, run in found.items():
            runs.setdefault(name, []).append(run)
    twins = {name: f"{name.split(',')[0]}, alone" for name in runs if name.endswith("ed")}
    rows = f"{args.rows:,}" if args.rows else "all"
    heading = (
        f"SST-2, {rows} train rows, seeds {args.seeds}, {args.epochs} epochs, {args.copies} copies "
        f"of each row for the augmentation. {machine()}."
    )
    text = f"{heading}\n\n{table(runs, twins)}"
    write_atomic(work / "table.md", text)
    print(f"\n{text}")


def common(args: argparse.Namespace, seed: int) -> Flags:
    """What all runs of a seed share."""
    folder = Path(args.data).expanduser().resolve()
    return {"seed": seed, "data.folder": folder, "data.train_rows": args.rows}


def given(args: argparse.Namespace, vectors: str) -> Flags:
    """The flags of the word vectors."""
    if vectors in ("glove", "spaces"):
        name = Path(args.glove).expanduser().resolve()
        view = "words" if vectors == "glove" else vectors
        return {"student.view": view, "student.vectors": name, "student.width": 50}
    few = {} if vectors == "whole" else {"student.vocabulary": "texts"}
    if vectors == "random":
        return {"student.vectors": "random", **few}
    return {"student.vectors": Path(args.checkpoint).expanduser().resolve(), **few}


def teach(args: argparse.Namespace, work: Path, seed: int) -> Path:
    """The finished teacher of a seed: found among --teachers, or fine-tuned."""
    run = teacher_of(args, work / str(seed), seed)
    if args.teachers:
        return run
    flags = {**common(args, seed), "model.source": args.checkpoint}
    return finish("configs/teacher_sst2.py", run, flags)


def learn(args: argparse.Namespace, run: Path, seed: int, flags: Flags) -> Path:
    """A finished run of configs/bilstm_sst2.py."""
    plans = {"stages.kd.epochs": args.epochs, "alone.epochs": args.epochs}
    whole = {"baseline": True, **plans, **flags}
    return finish("configs/bilstm_sst2.py", run, {**common(args, seed), **whole})


if __name__ == "__main__":
    main()
