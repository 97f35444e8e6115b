"""python -m jaxdistill.evaluate RUN [--split dev|test] [--stage NAME] [--data FILE] [--json]
                                    [--unfinished]

Scores a finished run, or one of its stages, from its checkpoint in a process of its own; with
--unfinished the best so far of a run that is not finished. The last line of the output is one JSON
object {"metrics": {...}, ...}. Of labels that are no numbers it has "per_class" too, {label:
{"precision", "recall", "f1", "support"}}; where a row has one of them, "confusion", {"labels":
[...], "counts": [[...], ...]}, a row for each true label and a column for each predicted one.
"""

from __future__ import annotations

import argparse
import json
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxdistill import cli
from jaxdistill.errors import UserError
from jaxdistill.notices import ignore, print_notice

if TYPE_CHECKING:
    import numpy as np

SHOWN = 12
"""Labels of which the confusion table is printed; that of more is in the JSON alone."""


def main(argv: list[str]) -> None:
    """The verb; argv as sys.argv."""
    words, meeting = cli.take_meeting(argv)
    args = parse(words[1:])
    cli.meet(meeting)
    from jaxdistill import mirror, processes
    from jaxdistill.data.readers import read_file, read_split
    from jaxdistill.files import strict
    from jaxdistill.inputs import digest, make_split, rows_changed
    from jaxdistill.runs import open_run
    from jaxdistill.scoring import make_forward, predict, score
    from jaxdistill.sharding import own_mesh, place

    notice = print_notice if processes.lead() else ignore
    folder = mirror.here(Path(args.run))
    run = open_run(
        folder, notice, stage=args.stage, precision=args.precision, unfinished=args.unfinished
    )
    about = run.description
    task = run.task
    data = about.data_folder if args.folder is None else args.folder
    if args.data is not None:
        examples = read_file(task, args.data, notice)
    else:
        examples = read_split(task, args.split, data, notice)
        if args.split != "train" and rows_changed(folder, args.split, examples):
            notice(
                f"the {args.split} rows are not those that {folder} was trained with: the run may "
                f"have learnt from some of them"
            )
    processes.same(
        "The rows to score (their SHA-256)", digest(examples), "Give every machine the same file."
    )
    if examples.unlabelled.any():
        raise UserError(
            f"The {args.split} split of {task.name} has no labels, so there is nothing to score. "
            f"Give a labelled file with --data, or score --split dev."
        )
    table = make_split(
        examples,
        run.tokens if run.view is None else None,
        about.max_length,
        run.model.shape.vocab,
        notice,
        lambda: None,
        run.view,
    )
    mesh = own_mesh()
    logits = predict(
        make_forward(run.model),
        place(run.params, mesh),
        table,
        buckets=about.buckets,
        mesh=mesh,
        poll=lambda: None,
    )
    metrics = score(logits, table.labels)
    result = {
        "run": args.run,
        "stage": run.stage,
        "step": run.record["step"],
        "finished": run.finished,
        "data": args.data or args.split,
        "rows": len(table.row),
        "precision": run.model.precision,
        "metrics": metrics,
        **by_label(logits, table.labels, about.labels),
    }
    if not processes.lead():
        return
    if not args.json:
        print(f"{args.run}, {run.place}, {result['data']}, {len(table.row):,} rows")
        for name, value in metrics.items():
            print(f"  {name:16s} {value:.4f}")
        print("".join(f"{line}\n" for line in in_words(result)), end="")
    print(json.dumps(strict(result)))


def by_label(logits: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    """The result's "per_class" and "confusion"; nothing of numbers, nor where a logit is none.

    Args:
      logits, labels: as scoring.score has them.
      names: of the labels, in the order of the logits.
    """
    import numpy as np

    from jaxdistill.metrics import confusion, per_class, per_label

    if not names or not np.isfinite(logits).all():
        return {}
    if labels.ndim == 2:
        return {"per_class": dict(zip(names, per_label(logits > 0, labels), strict=True))}
    counts = confusion(logits.argmax(1), labels, len(names))
    return {
        "per_class": dict(zip(names, per_class(counts), strict=True)),
        "confusion": {"labels": list(names), "counts": counts.tolist()},
    }


def in_words(result: dict[str, Any]) -> list[str]:
    """The lines that show what by_label has found."""
    if "per_class" not in result:
        return []
    rows = [["label", "rows", "precision", "recall", "f1"]]
    for name, each in result["per_class"].items():
        shares = [f"{each[key]:.4f}" for key in rows[0][2:]]
        rows.append([name, f"{each['support']:,}", *shares])
    lines = ["", *_aligned(rows)]
    if "confusion" not in result:
        return lines
    names, counts = result["confusion"]["labels"], result["confusion"]["counts"]
    if len(names) > SHOWN:
        return [*lines, "", f"confusion of {len(names)} labels: see the JSON line"]
    rows = [["true \\ predicted", *names]]
    rows += [[name, *map(str, row)] for name, row in zip(names, counts, strict=True)]
    return [*lines, "", *_aligned(rows)]


def _aligned(rows: list[list[str]]) -> list[str]:
    """A table as lines: the first column to the left, the others to the right."""
    rows = [[" ".join(cell.split()) for cell in row] for row in rows]  # a label may have two lines
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        spaces = [" " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
        rest = [space + cell for space, cell in zip(spaces[1:], row[1:], strict=True)]
        lines.append("  " + "  ".join([row[0] + spaces[0], *rest]))
    return lines


def _width(text: str) -> int:
    """Columns of a terminal: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def parse(words: list[str]) -> argparse.Namespace:
    """The command line; what does not fit exits with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxdistill.evaluate", description="Scores a finished run."
    )
    parser.add_argument("run", help="a run folder, such as runs/teacher_sst2")
    parser.add_argument("--split", default="dev", help="of the run's task (dev)")
    parser.add_argument("--stage", help="one of the run's stages (the last)")
    parser.add_argument(
        "--data", help="a labelled file in the place of a split, of any format that data may have"
    )
    parser.add_argument("--folder", help="where the task's files are now, if they have moved")
    parser.add_argument(
        "--unfinished", action="store_true", help="the best so far of a run that is not finished"
    )
    parser.add_argument("--precision", help="float32, bfloat16 or float16 (as in the run)")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(cli.run(main, sys.argv))
