"""How sure a teacher is of rows that it was trained on, and whose students answer as it does.

    python -m benchmarks.sureness TEACHER [STUDENT ...] [--rows 20000]

TEACHER and STUDENTs are finished runs on one task. Prints the teacher's accuracy, its mean largest
probability, and the quantiles of its margins (largest logit less the next) on its train rows and on
dev; then, of each student's predictions on dev, the share that is the teacher's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.seed003 import predictions
from jaxdistill.data.readers import cap, read_split
from jaxdistill.inputs import CAP_SEED, make_split
from jaxdistill.notices import print_notice
from jaxdistill.runs import Run, open_run
from jaxdistill.scoring import make_forward, predict
from jaxdistill.sharding import make_mesh, place

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def main() -> None:
    """Parses the command line, asks the teacher, prints what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("teacher", type=Path, help="a finished run")
    parser.add_argument("students", type=Path, nargs="*", help="finished runs")
    parser.add_argument("--rows", type=int, default=0, help="config.data.train_rows of the teacher")
    args = parser.parse_args()
    run = open_run(args.teacher, print_notice)
    for split, rows in (("train", args.rows), ("dev", 0)):
        logits, labels = asked(run, split, rows)
        print(f"{split}: {about(logits, labels)}")
    theirs = predictions(args.teacher).argmax(1)
    for student in args.students:
        same = predictions(student).argmax(1) == theirs
        print(f"{student}: {same.mean():.4f} of dev as the teacher")


def asked(run: Run, split: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The run's logits [N, C] of a split's rows, and their labels [N]."""
    about = run.description
    examples = cap(read_split(run.task, split, about.data_folder, print_notice), rows, CAP_SEED)
    table = make_split(
        examples, run.tokens, about.max_length, run.model.shape.vocab, print_notice, lambda: None
    )
    mesh = make_mesh()
    params, buckets = place(run.params, mesh), about.buckets
    forward = make_forward(run.model)
    logits = predict(forward, params, table, buckets=buckets, mesh=mesh, poll=lambda: None)
    return logits, table.labels


def about(logits: np.ndarray, labels: np.ndarray) -> str:
    """What the logits [N, C] say of rows with these labels [N]."""
    wide = np.sort(logits.astype(np.float64), axis=1)
    largest = 1 / np.exp(wide - wide[:, -1:]).sum(1)
    margins = np.quantile(wide[:, -1] - wide[:, -2], QUANTILES)
    shown = ", ".join(f"{value:.2f}" for value in margins)
    return (
        f"{len(labels):,} rows, accuracy {np.mean(logits.argmax(1) == labels):.4f}, mean largest "
        f"probability {largest.mean():.4f}, margins {shown} (quantiles {QUANTILES})"
    )


if __name__ == "__main__":
    main()
