"""python -m jaxdistill.main --config FILE [--workdir RUN] [--config.a.b=value ...]

Trains, resumes, or, where the run is finished, prints its report. On several machines the same
command runs on each: what a cluster tells its tasks is found out; elsewhere each process is given
--coordinator=HOST:PORT --processes=N --process=I (docs/scaling.md).
"""

from __future__ import annotations

import sys

from jaxdistill import cli
from jaxdistill.command_line import USAGE
from jaxdistill.config import from_command_line


def main(argv: list[str]) -> None:
    """The verb; argv as sys.argv."""
    if {"-h", "--help"} & set(argv[1:]):
        print(USAGE)
        return
    words, meeting = cli.take_meeting(argv)
    config = from_command_line(words)  # before jax is imported: a typo costs no seconds
    cli.meet(meeting)
    from jaxdistill.processes import lead
    from jaxdistill.recipe import ensure_run
    from jaxdistill.report import summary

    report = ensure_run(config)
    if lead():
        print(summary(report))


if __name__ == "__main__":
    sys.exit(cli.run(main, sys.argv))
