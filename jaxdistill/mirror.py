"""What each of several processes sees of a folder of process 0.

Run folders are written by process 0. The others work in a folder of their own that `here` makes: it
shows the files of process 0, by a link where the disk is shared and as a copy where it is not. What
they write goes there and is thrown away, so that no code above needs to ask who it is.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from jaxdistill.processes import as_bytes, broadcast, count, gather, lead, led

PIECE = 1 << 28
"""Bytes of a file that are in memory at once."""
PRIVATE = ("lock",)
"""Files of a folder that are of no use to another process."""
PATIENCE = 2.0
"""Seconds that process 0 stays when it fails: with it goes what the others are connected to."""
SCRATCH = "jaxdistill-process-"
"""How folders for other processes than 0 begin; their process's id follows."""
_scratch: Path | None = None
_origins: dict[Path, Path] = {}
"""Folders that `here` made, and what they show."""


def here(folder: Path) -> Path:
    """Where this process finds and may write what process 0 has in a folder. Collective.

    For process 0, and where there is no other, the folder itself. A folder that process 0 does not
    have is an empty one here.
    """
    global _scratch
    if count() == 1:
        return folder
    shown = folder
    if not lead():
        if _scratch is None:
            _sweep()
            _scratch = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-"))
            atexit.register(shutil.rmtree, _scratch, ignore_errors=True)
        name = hashlib.sha256(os.path.abspath(folder).encode()).hexdigest()[:12]
        shown = _scratch / name / (folder.name or "folder")
        _origins[shown] = folder
    _mirror(folder, shown)
    return shown


def renewed(folder: Path) -> Path:
    """The same folder, or one in it, that `here` gave, as it is in process 0 now. Collective."""
    if count() == 1:
        return folder
    if lead():
        _mirror(folder, folder)
        return folder
    root = next(root for root in (folder, *folder.parents) if root in _origins)
    _mirror(_origins[root] / folder.relative_to(root), folder)
    return folder


def _sweep() -> None:
    """Removes what processes left behind that did not live to remove it."""
    for left in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*-*"):
        owner = left.name.removeprefix(SCRATCH).split("-")[0]
        if owner.isdecimal() and not _alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's
    return True


def leave(status: int) -> NoReturn:
    """Ends this process without waiting for the others, which notice, and leave too.

    Process 0 goes a little later: whoever has the same to say should not be cut short.
    """
    if lead():
        time.sleep(PATIENCE)
    if _scratch is not None:
        shutil.rmtree(_scratch, ignore_errors=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _mirror(folder: Path, shown: Path) -> None:
    """Makes shown, which process 0 has as folder, show its files; others that were there go."""
    files: dict[str, list[int]] = led(lambda: _listing(folder))
    missing: list[str] = []
    if not lead():
        shown.mkdir(parents=True, exist_ok=True)
        for path in _walk(shown):
            if str(path.relative_to(shown)) not in files:
                path.unlink()
        for name, stamp in files.items():
            if not _show(folder / name, shown / name, stamp):
                missing.append(name)
    wanted: set[str] = set()
    for each in gather({"names": as_bytes(json.dumps(missing).encode())}):
        wanted.update(json.loads(bytes(each["names"])))
    for name in sorted(wanted):
        with ExitStack() as open_files:
            target = None
            if name in missing:
                (shown / name).unlink(missing_ok=True)
                target = open_files.enter_context((shown / name).open("wb"))
            source = open_files.enter_context((folder / name).open("rb")) if lead() else None
            size, changed = files[name]
            for start in range(0, size, PIECE):
                data = broadcast(source.read(min(PIECE, size - start)) if source else b"")
                if target:
                    target.write(data)
        if name in missing:
            os.utime(shown / name, ns=(changed, changed))


def _listing(folder: Path) -> dict[str, list[int]]:
    """Size and time of every file."""
    found = (path for path in _walk(folder) if path.is_file())
    return {str(path.relative_to(folder)): _stamp(path) for path in found}


def _walk(folder: Path) -> Iterator[Path]:
    """Its files, also those in folders that are links: only a file may be a link here."""
    for parent, _, names in os.walk(folder, followlinks=True):
        for name in sorted(names):
            path = Path(parent, name)
            if name not in PRIVATE and (path.is_file() or path.is_symlink()):
                yield path


def _show(original: Path, shown: Path, stamp: list[int]) -> bool:
    """Whether a file is shown as it is in process 0: by a link, where the original is at hand."""
    try:
        if _stamp(shown) == stamp:
            return True
    except OSError:
        pass
    shown.parent.mkdir(parents=True, exist_ok=True)
    try:
        if _stamp(original) != stamp:
            return False
    except OSError:
        return False
    shown.unlink(missing_ok=True)
    shown.symlink_to(os.path.abspath(original))
    return True


def _stamp(path: Path) -> list[int]:
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]
