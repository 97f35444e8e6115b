"""python -m jaxdistill.prefetch [--task NAME ...] [--model NAME ...] --output FOLDER

Brings data sets and checkpoints into a folder that later runs read without a network, and prints
the flags with which they do. --task all is every task that the hub has. HF_ENDPOINT names a mirror.
What is there already is not fetched again: each file's SHA-256 is in FOLDER/manifest.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jaxdistill import cli
from jaxdistill.errors import UserError
from jaxdistill.notices import print_notice


def main(argv: list[str]) -> None:
    """The verb; argv as sys.argv."""
    args = parse(argv[1:])
    from jaxdistill.assets import Assets
    from jaxdistill.data.tasks import TASKS, find_task
    from jaxdistill.files import Lock
    from jaxdistill.network import unreachable

    published = [task.name for task in TASKS.values() if task.hub is not None]
    names = [name for given in args.task for name in given.split(",")]
    names = published if "all" in names else [find_task(name).name for name in names]
    nowhere = [name for name in names if name not in published]
    if nowhere:
        kind = "generated" if TASKS[nowhere[0]].generated else "nowhere on the hub that we know of"
        raise UserError(
            f"{nowhere[0]} cannot be fetched: its rows are {kind}. Tasks that can are "
            f"{', '.join(published)}, or all."
        )
    folder = Path(args.output).expanduser()
    flags: set[str] = set()
    failed: list[str] = []
    with Lock(folder):
        assets = Assets(folder, print_notice)
        for kind, name in [("model", n) for n in args.model] + [("task", n) for n in names]:
            try:
                if kind == "model":
                    flags.add(f"--config.teacher.source={assets.fetch_model(name)}")
                else:
                    flags.add(f"--config.data.folder={assets.fetch_task(TASKS[name])}")
            except UserError as error:
                failed.append(str(error))
                if unreachable():
                    break  # the others would wait for the same silence
    if flags:
        print("Runs read these without a network:")
        for flag in sorted(flags):
            print(f"    {flag}")
        if args.model:
            print("A recipe that trains a teacher has --config.model.source for the last one.")
    if failed:
        raise UserError(
            " ".join(failed) + " What is complete is kept; the same command goes on from there."
        )


def parse(words: list[str]) -> argparse.Namespace:
    """The command line; what does not fit exits with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxdistill.prefetch",
        description="Brings data sets and checkpoints into a folder for runs without a network.",
    )
    parser.add_argument("--task", action="append", default=[], help="a task, a,b,c, or all")
    parser.add_argument("--model", action="append", default=[], help="a hub name; may be repeated")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="such as assets")
    args = parser.parse_args(words)
    if not args.task and not args.model:
        parser.error("nothing to fetch: give --task sst2, --model bert-base-uncased, or both")
    return args


if __name__ == "__main__":
    sys.exit(cli.run(main, sys.argv))
