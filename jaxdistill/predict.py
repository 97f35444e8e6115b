"""python -m jaxdistill.predict RUN [--input FILE|-] [--output FILE|-]
   python -m jaxdistill.predict RUN --glue FOLDER

What a finished run, or one of its stages, says of texts; with --unfinished the best so far of a
run that is not finished. Input by its ending: .txt, a text a line
(of a task over pairs two, with a tab between them); .csv, .tsv, .jsonl, .parquet by the run's
columns; - is a pipe, a text a line. Output is one JSON object a line, in the order of the input,
{"row": 0, "label": "positive", "probabilities": {"negative": 0.1, "positive": 0.9}}, with "score"
in the place of both from a regression, "labels" in that of "label" where a row has any number of
them; rows count from 0. No number of rows takes more memory.

A file is read through before anything is computed: a row that cannot be read is told, and nothing
is written. A pipe's rows are answered as they come, up to one that cannot be read. An output file
is whole or not there. --glue writes the task's test predictions as GLUE's server wants them.
Several processes (see main) share the rows of a file; the first one writes.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from jaxdistill import cli
from jaxdistill.errors import UserError
from jaxdistill.notices import ignore, print_notice


def main(argv: list[str]) -> None:
    """The verb; argv as sys.argv."""
    words, meeting = cli.take_meeting(argv)
    args = parse(words[1:])
    from jaxdistill.data.rows import check_input

    if args.input != "-":
        check_input(Path(args.input).expanduser())  # before jax is imported: a typo costs no time
    cli.meet(meeting)
    from jaxdistill import mirror, processes
    from jaxdistill.runs import open_run
    from jaxdistill.sharding import own_mesh
    from jaxdistill.streaming import Predictor, stream
    from jaxdistill.submission import parts_of, submit

    if args.input == "-" and args.glue is None and processes.count() > 1:
        raise UserError(
            f"{processes.count()} processes share the rows of a file, and a pipe is in one of "
            f"them. Give --input FILE, or run one process."
        )
    lead = processes.lead()
    notice = print_notice if lead else ignore
    folder = mirror.here(Path(args.run))
    run = open_run(
        folder, notice, stage=args.stage, precision=args.precision, unfinished=args.unfinished
    )
    about = run.description
    task = run.task
    if args.glue is not None:
        parts_of(task)  # refuses other tasks before anything is moved to a device
        data = about.data_folder if args.folder is None else args.folder
        predictor = Predictor(run, own_mesh())
        submitted = Path(args.glue).expanduser() if lead else None
        for path in submit(task, data, submitted, predictor, notice):
            print(path)
    else:
        columns = tuple(name for name in (args.text, args.text_pair) if name)
        predictor = Predictor(run, own_mesh())
        target = args.output if lead else os.devnull
        try:
            stream(predictor, task, about.labels, args.input, target, columns, notice)
        except BrokenPipeError:
            # Nobody reads on (head): end quietly. Else what is buffered would fail once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if processes.count() > 1:
                mirror.leave(0)
            return
        except KeyboardInterrupt:
            sys.exit(130)
    if remark := predictor.remark():
        notice(remark)


def parse(words: list[str]) -> argparse.Namespace:
    """The command line; what does not fit exits with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxdistill.predict", description="What a finished run says of texts."
    )
    parser.add_argument("run", help="a run folder, such as runs/tinybert_sst2")
    parser.add_argument("--input", default="-", help=".txt .csv .tsv .jsonl .parquet, - a pipe (-)")
    parser.add_argument(
        "--output", default="-", help="a file for JSON lines, - standard output (-)"
    )
    parser.add_argument("--text", help="the column of the texts (the task's own)")
    parser.add_argument("--text_pair", help="the column of the second texts")
    parser.add_argument("--stage", help="one of the run's stages (the last)")
    parser.add_argument(
        "--unfinished", action="store_true", help="the best so far of a run that is not finished"
    )
    parser.add_argument("--precision", help="float32, bfloat16 or float16 (as in the run)")
    parser.add_argument("--glue", metavar="FOLDER", help="write GLUE's submission files there")
    parser.add_argument(
        "--folder", help="with --glue: where the task's files are, if not as in RUN"
    )
    args = parser.parse_args(words)
    given = {name for name in ("input", "output") if getattr(args, name) != "-"}
    given |= {name for name in ("text", "text_pair", "folder") if getattr(args, name) is not None}
    if args.glue is not None and given - {"folder"}:
        parser.error(
            f"--glue reads the task's own test rows: leave --{min(given - {'folder'})} out"
        )
    if args.glue is None and "folder" in given:
        parser.error("--folder goes with --glue; texts are given with --input")
    if args.input == "-" and given & {"text", "text_pair"}:
        parser.error("--text names a column, but a pipe has a text a line: give --input FILE")
    return args


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # half a file goes with the process
    sys.exit(cli.run(main, sys.argv))
