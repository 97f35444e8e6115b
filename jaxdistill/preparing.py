"""Whose a run folder is: from the first file in it to config.json, and after."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdistill import mirror, processes
from jaxdistill.errors import UserError
from jaxdistill.files import read_json, strict, write_json
from jaxdistill.sections import NOT_THE_RUN, Config
from jaxdistill.trees import flatten

BEGUN = "begun.json"
"""Which config a run folder is being prepared for, until config.json says so."""
PREPARED = (
    "tokenizer",
    "words",
    "teacher",
    "augmented",
    "data.json",
    "task.json",
    "precisions.json",
)
"""What is in a run folder by then."""


def begin(folder: Path, config: Config) -> None:
    """Removes what an attempt with another config prepared, which never began to train. Collective.

    For whoever holds the folder's lock. What the same config prepared stays, and is gone on with.
    """
    identity = config.hash()

    def act() -> None:
        mark = folder / BEGUN
        if (folder / "config.json").is_file():
            return
        if mark.is_file() and read_json(mark)["config"] != identity:
            for path in (folder / name for name in PREPARED):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        write_json(mark, {"config": identity})

    processes.led(act)
    mirror.renewed(folder)


def started(folder: Path, config: Config) -> None:
    """All is prepared and checked: from now on the folder belongs to the config."""
    write_json(folder / "config.json", config.plain())
    (folder / BEGUN).unlink(missing_ok=True)


def same_config(config: Config, folder: Path) -> None:
    """Refuses to go on with a run that was started with another config; names what differs."""
    path = folder / "config.json"
    if not path.is_file():
        return
    before, now = flat(read_json(path)), flat(config.plain())
    keys = [key for key in {**before, **now} if key not in NOT_THE_RUN]
    changed = [key for key in keys if before.get(key) != now.get(key)]
    if changed:
        shown = "; ".join(f"{k} was {before.get(k)!r}, is {now.get(k)!r}" for k in changed[:6])
        raise UserError(
            f"{folder} holds a run of another config: {shown}. Give the run a --workdir of its "
            f"own, or remove {folder}."
        )


def flat(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a nested config as JSON has them, by dotted key."""
    return {path.replace("/", "."): value for path, value in flatten(strict(plain)).items()}
