"""python -m jaxdistill.main --config FILE [--workdir RUN] [--config.a.b=value ...]

Trains, resumes, or, where the run is finished, prints its report.
"""

from __future__ import annotations

import sys

from jaxdistill import cli
from jaxdistill.config import USAGE, from_command_line


def main(argv: list[str]) -> None:
    """The verb; argv as sys.argv."""
    if {"-h", "--help"} & set(argv[1:]):
        print(USAGE)
        return
    config = from_command_line(argv)  # before jax is imported: a typo costs no seconds
    from jaxdistill.recipe import ensure_run
    from jaxdistill.report import summary

    print(summary(ensure_run(config)))


if __name__ == "__main__":
    sys.exit(cli.run(main, sys.argv))
