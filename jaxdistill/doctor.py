"""python -m jaxdistill.doctor [--offline] [--data FOLDER] [--json]

Looks at what a run needs: packages, devices, memory, disk, data sets, checkpoints, the hub; says
what is missing and the command that brings it. Exits with 0 when all that the quickstart needs is
there, else with 1. --offline opens no socket.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from jaxdistill import cli, health
from jaxdistill.health import Finding


def main(argv: list[str]) -> None:
    """The verb; argv as sys.argv."""
    args = parse(argv[1:])
    looks: dict[str, Callable[[], list[Finding]]] = {
        "versions": health.versions,
        "devices": health.devices,
        "memory": health.memory,
        "disk": health.disk,
        "data": lambda: _data(args.data),
        "sources": _sources,
        "hub": lambda: health.hub(args.offline),
    }
    findings = [finding for about, look in looks.items() for finding in _looked(about, look)]
    missing = [finding for finding in findings if finding.state == "missing"]
    if args.json:
        told = [finding._asdict() for finding in findings]
        print(json.dumps({"ready": not missing, "findings": told}, ensure_ascii=False))
    else:
        for about, state, text, remedy in findings:
            print(f"{state:8s}{about:10s}{text}")
            if remedy:
                print(f"{'':18s}-> {remedy}")
        print(
            f"\n{len(missing)} missing: not ready for the quickstart."
            if missing
            else "\nReady: launch/quickstart.sh has all that it needs."
        )
    if missing:
        sys.exit(1)


def parse(words: list[str]) -> argparse.Namespace:
    """The command line; what does not fit exits with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxdistill.doctor", description="What is here for a run, what is missing."
    )
    parser.add_argument("--offline", action="store_true", help="open no socket: ask no hub")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="FOLDER",
        help="as config.data.folder; may be repeated (assets/glue, assets/data, glue, data)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    return parser.parse_args(words)


def _data(folders: list[str]) -> list[Finding]:
    from jaxdistill import inventory  # late: it needs packages that may be what is missing

    return inventory.data(folders)


def _sources() -> list[Finding]:
    from jaxdistill import inventory

    return inventory.sources()


def _looked(about: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """What a look found, or what kept it from looking: the other looks go on."""
    try:
        return look()
    except Exception as error:  # A doctor that falls ill of what it looks at is of no use.
        what = f"cannot be looked at: {type(error).__name__}: {error}"
        return [Finding(about, "missing", what, "see what is missing above")]


if __name__ == "__main__":
    sys.exit(cli.run(main, sys.argv))
