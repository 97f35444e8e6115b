"""Files that are either whole or not there, and the lock that keeps a second writer away."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from jaxdistill.errors import Passing, UserError


def strict(value: Any) -> Any:
    """Returns value as strict JSON can hold it.

    JSON has no NaN and no infinity, and many readers stop at Python's `NaN`; they become the
    strings "nan", "inf" and "-inf", which float() reads back. NumPy and jax scalars become Python
    numbers, tuples lists. Keys must be strings.
    """
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"a JSON key must be a string, not {key!r}")
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if hasattr(value, "ndim") and hasattr(value, "item") and value.ndim == 0:
        return strict(value.item())
    return value


def canonical_json(value: Any) -> str:
    """Equal values give equal text: sorted keys, indent 2, one newline at the end, strict JSON."""
    text = json.dumps(strict(value), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return text + "\n"


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, which takes path's place when the context ends: the old bytes or the new.

    It is a temporary file in the same folder, flushed to the disk and renamed over path. Raises
    OSError (disk full, no permission); after that or any other exception inside the context there
    is neither a temporary file nor a changed path.
    """
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Writes content (text as UTF-8) so that path holds the old bytes or the new, never a part.

    Raises OSError and leaves nothing behind, as replacing.
    """
    with replacing(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


def sync_folder(folder: Path) -> None:
    """Makes renames and new names in folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def folder_bytes(folder: Path) -> int:
    """What the files in a folder and its own take; one that goes away meanwhile takes nothing."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def write_json(path: Path, value: Any) -> None:
    """Writes canonical_json(value) atomically."""
    write_atomic(path, canonical_json(value))


def read_json(path: Path) -> Any:
    """Returns the JSON value in path; UserError naming the file where missing or not JSON."""
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; it should be a JSON file.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        # JSONDecodeError and UnicodeDecodeError are ValueErrors.
        raise UserError(f"{path} is not valid JSON: {error}.") from error


def sha256_file(path: Path) -> str:
    """Returns the SHA-256 of path's bytes in hexadecimal. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Busy(Passing):
    """Another process holds the lock."""


class Lock:
    """Keeps other processes from writing into folder while the context is open.

    An flock on folder/lock, which holds the owner's process id and host. The operating system
    releases it when the process ends, however it ends; the file stays, since removing it would let
    two processes lock two files of one name. A second writer gets a Busy on entering.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: IO[str] | None = None

    def __enter__(self) -> Lock:
        path = self.folder / "lock"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = open(path, "a+", encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"{self.folder} cannot be written: {error.strerror} ({error.filename}). Choose "
                f"another run folder or change its permissions."
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = " ".join(file.read().split()) or "not written yet"
            file.close()
            raise Busy(
                f"{self.folder} is being written by another process ({owner}). Wait until it ends "
                f"or stop it, or give this run another folder."
            ) from error
        except OSError as error:
            file.close()
            raise UserError(
                f"{path} cannot be locked: {error.strerror}. The file system of the run folder "
                f"must support flock; choose a folder on another disk."
            ) from error
        try:
            file.truncate(0)
            file.write(f"pid {os.getpid()}\nhost {socket.gethostname()}\n")
            file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):  # it would write once more
                file.close()
            raise UserError(f"{path} cannot be written: {error.strerror}. Make room.") from error
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def cache_folder() -> Path:
    """Where what can be computed again is kept between runs: $JAXDISTILL_CACHE, else ~/.cache."""
    given = os.environ.get("JAXDISTILL_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "jaxdistill"
