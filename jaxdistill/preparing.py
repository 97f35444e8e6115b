"""Whose a run folder is: from the first file in it to config.json, and after."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdistill import mirror, processes
from jaxdistill.augmentation import unread
from jaxdistill.errors import UserError
from jaxdistill.files import read_json, strict, write_json
from jaxdistill.notices import Notice
from jaxdistill.sections import NOT_THE_RUN, Config
from jaxdistill.trees import flatten

BEGUN = "begun.json"
"""Which config a run folder is being prepared for, until config.json says so."""
START = "start.json"
"""The hash of the parameters that training starts from."""
PREPARED = (
    "tokenizer",
    "words",
    "teacher",
    "augmented",
    "data.json",
    "task.json",
    "precisions.json",
    START,
)
"""What is in a run folder by then."""
OF_TEACHER = ("parameters.json", "logits.json", "cache.json", "dev.npz")
"""What a run keeps of its teacher in the folder of that name, where the teacher itself may be."""


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
            _clear(folder)
        write_json(mark, {"config": identity})

    processes.led(act)
    mirror.renewed(folder)


def afresh(folder: Path, changed: bool) -> None:
    """Removes what was prepared of other rows for a run that never began to train. Collective.

    Args:
      changed: whether the rows are others now.
    """

    def act() -> None:
        if changed and not (folder / "config.json").is_file():
            _clear(folder)

    processes.led(act)
    mirror.renewed(folder)


def tell_start(folder: Path, start: str, notice: Notice) -> None:
    """Says so where a run goes on from other parameters than it began with. Collective.

    What trains comes from the checkpoint; what does not, such as a BiLSTM's fixed vectors, comes
    from the start.

    Args:
      start: the SHA-256 of the parameters that training starts from.
    """

    def act() -> None:
        path = folder / START
        if (folder / "config.json").is_file() and path.is_file():
            if read_json(path)["sha256"] != start:
                notice(
                    f"{folder} began with other parameters (a file of vectors or a checkpoint has "
                    f"changed, or it is another machine's arithmetic): of these, what does not "
                    f"train is used as it is now. If that is not meant, put the old file back"
                )
            return
        write_json(path, {"sha256": start})

    processes.led(act)


def remembered(folder: Path, name: str, found: Any) -> Any:
    """What a run began with, by the file `name` in its folder; before it trains that is `found`.

    Args:
      found: what there is now, as JSON; it is written where the run has not begun to train.
    """
    path = folder / name
    if (folder / "config.json").is_file() and path.is_file():
        return read_json(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found)
    return found


def _clear(folder: Path) -> None:
    names = list(PREPARED)
    if (folder / "teacher" / "lock").exists():  # somebody's run: a teacher was trained there
        names.remove("teacher")
        names += [f"teacher/{name}" for name in OF_TEACHER]
    for path in (folder / name for name in names):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


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
    about = config.plain()["augment"]
    spare = {f"augment.{key}" for key in unread(about)} if about else set()
    keys = [key for key in {**before, **now} if key not in {*NOT_THE_RUN, *spare}]
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
