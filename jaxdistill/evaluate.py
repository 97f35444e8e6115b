"""python -m jaxdistill.evaluate RUN [--split dev|test] [--stage NAME] [--data FILE] [--json]

Scores a finished run, or one of its stages, from its checkpoint in a process of its own. The last
line of the output is one JSON object {"metrics": {...}}.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from jaxdistill import cli
from jaxdistill.errors import UserError


def main(argv: list[str]) -> None:
    """The verb; argv as sys.argv."""
    words, meeting = cli.take_meeting(argv)
    args = parse(words[1:])
    cli.meet(meeting)
    from jaxdistill import mirror, processes
    from jaxdistill.data.readers import print_notice, read_file, read_split
    from jaxdistill.files import strict
    from jaxdistill.inputs import digest, make_split, rows_changed
    from jaxdistill.runs import open_run
    from jaxdistill.scoring import make_forward, predict, score
    from jaxdistill.sharding import own_mesh, place

    notice = print_notice if processes.lead() else _pass
    folder = mirror.here(Path(args.run))
    run = open_run(folder, notice, stage=args.stage, precision=args.precision)
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
        "data": args.data or args.split,
        "rows": len(table.row),
        "precision": run.model.precision,
        "metrics": metrics,
    }
    if not processes.lead():
        return
    if not args.json:
        print(f"{args.run}, stage {run.stage}, {result['data']}, {len(table.row):,} rows")
        for name, value in metrics.items():
            print(f"  {name:16s} {value:.4f}")
    print(json.dumps(strict(result)))


def _pass(text: str) -> None:
    """Says nothing."""


def parse(words: list[str]) -> argparse.Namespace:
    """The command line; what does not fit is a UserError."""
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
    parser.add_argument("--precision", help="float32 or bfloat16 (as in the run)")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(cli.run(main, sys.argv))
