"""Checkpoints that are known to be whole: a thin wrapper over orbax's v1 API.

What orbax 0.12.8 does not do is done here (each tried): it has no checksum (a flipped byte restores
as wrong weights), takes any stray numbered folder for the newest step, casts dtypes silently, does
not fall back to an older step, and refuses arrays without elements.

    folder/<step>/state/          orbax pytree: a flat dict from leaf path to array
    folder/<step>/details.json    what the caller wants to know besides the arrays
    folder/<step>/manifest.json   written last: leaves with shape and dtype, SHA-256 of every file
    folder/<step>.unfinished/     a save under way, or one that was interrupted
    folder/<step>.replaced/       the step's previous content while a new one takes its place
    folder/<step>.aside/          a folder without manifest that stood in the way of a save

The state is flattened here, not by orbax, so that a restored tree has exactly the structure that
the caller asked for (NamedTuples of optax, empty states, None).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as orbax

from jaxdistill.errors import UserError
from jaxdistill.files import canonical_json, read_json, sha256_file, sync_folder, write_json
from jaxdistill.trees import unflatten

FORMAT = "jaxdistill checkpoint"
VERSION = 1
MANIFEST = "manifest.json"
DETAILS = "details.json"


class Restored(NamedTuple):
    """What Checkpoints.restore found."""

    step: int
    state: Any
    """In the structure of the abstract tree; every leaf a jax.Array that owns its buffer."""
    details: dict[str, Any]


class Unsound(Exception):
    """A checkpoint of ours is damaged; the text names the file and what is wrong with it."""


class Checkpoints:
    """The checkpoints in one folder, of which the newest `keep` are kept. For one process.

    The owner of the run's lock saves; anybody may restore at the same time.
    """

    def __init__(self, folder: Path, keep: int, notice: Callable[[str], None]) -> None:
        """notice gets one line about everything that is not as it should be but did not stop us."""
        if keep < 1:
            raise ValueError(f"keep is {keep}; at least one checkpoint must be kept")
        self.folder = folder.absolute()  # orbax demands absolute paths
        self.keep = keep
        self.notice = notice
        self._unsound: set[int] = set()
        _quiet_orbax()

    def steps(self) -> list[int]:
        """Returns the steps that have a manifest, rising; whether they are sound is not checked."""
        found = (self._step_of(path, r"(\d+)(?:\.replaced)?") for path in self._folders())
        return sorted({step for step in found if step is not None and self._place(step)})

    def save(self, step: int, state: Any, details: Mapping[str, Any]) -> bool:
        """Saves state as checkpoint `step`, then removes what is not kept. Waits until it is done.

        Checkpoints of later steps are removed too: whoever saves step 6 after 7 has gone back.

        Args:
          step: optimizer steps done.
          state: a pytree of jax or NumPy arrays (no PRNG key objects; 64 bits only where jax has
            them enabled, since they would come back as 32).
          details: what strict JSON can hold.

        Returns False, after a notice, where the disk refuses; the older ones are kept then.
        Raises TypeError for other leaves, RuntimeError with several jax processes.
        """
        if jax.process_count() > 1:
            raise RuntimeError("Checkpoints.save is written for one process")
        leaves = _leaves(state)
        jax.block_until_ready(state)  # a failed computation is not a failed save
        canonical_json(details)  # nor is a value that JSON cannot hold
        unfinished = self.folder / f"{step}.unfinished"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _remove(unfinished)
            unfinished.mkdir()
            _write(unfinished, step, leaves, details)
            self._commit(step, unfinished)
        except (OSError, ValueError, RuntimeError) as error:
            # tensorstore reports a full disk as ValueError.
            shutil.rmtree(unfinished, ignore_errors=True)
            older = self.steps() or "there are none"
            self.notice(
                f"CHECKPOINT NOT SAVED: step {step} could not be written to {self.folder} "
                f"({_short(error)}). Older checkpoints are kept: {older}."
            )
            return False
        self._unsound.discard(step)
        try:
            self._prune(step)
        except OSError as error:
            self.notice(f"old checkpoints in {self.folder} could not be removed: {error}")
        return True

    def restore(self, abstract: Any, step: int | None = None) -> Restored | None:
        """Returns the newest sound checkpoint, or the given step; None where there is none at all.

        Every file is compared with the manifest first. What is damaged is named in a notice and the
        next older one is tried. Folders that are not ours are left alone, with a notice.

        Args:
          abstract: a pytree of jax.ShapeDtypeStruct. Leaves with a sharding are placed so,
            whatever the devices they were saved from; the others on the first device. None: all
            that was saved, as nested dicts (of what a state of nested dicts was).
          step: only this one; then a damaged or missing one is a UserError.

        Raises UserError where the leaves differ from abstract in path, shape or dtype (that is
        another model or optimizer, not damage), and where all that is there is damaged.
        """
        wanted = None if abstract is None else _leaves(abstract)
        candidates = self._candidates()
        if step is not None:
            if step not in candidates:
                raise UserError(
                    f"{self.folder} has no checkpoint of step {step}; there are {self.steps()}."
                )
            candidates = {step: candidates[step]}
        damage: list[str] = []
        for number, path in sorted(candidates.items(), reverse=True):
            try:
                manifest = _read_manifest(path)
                target = _as_saved(manifest["leaves"]) if wanted is None else abstract
                if wanted is not None:
                    _compare(path, manifest["leaves"], wanted)
                _verify_files(path, manifest["files"])
                return Restored(number, _load(path, target), read_json(path / DETAILS))
            except Unsound as error:
                self._unsound.add(number)
                damage.append(str(error))
                self.notice(f"checkpoint {path} is damaged and passed over: {error}")
        if damage:
            raise UserError(
                f"No sound checkpoint is left in {self.folder}: {'; '.join(damage)}. Put an intact "
                f"copy back, or remove this folder to start the stage again."
            )
        return None

    def _candidates(self) -> dict[int, Path]:
        """Every checkpoint of ours, also one whose manifest is lost; notices about the others."""
        result = {step: place for step in self.steps() if (place := self._place(step))}
        for path in self._folders():
            step = self._step_of(path, r"(\d+)")
            if step is None or step in result:
                continue
            if (path / DETAILS).exists() or (path / "state").exists():
                result[step] = path
            else:
                self.notice(f"{path} is ignored: it is no checkpoint (it has no {MANIFEST}).")
        return result

    def _folders(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if path.is_dir())

    @staticmethod
    def _step_of(path: Path, pattern: str) -> int | None:
        match = re.fullmatch(pattern, path.name)
        # "007" is not a name that we write.
        return int(match[1]) if match and str(int(match[1])) == match[1] else None

    def _place(self, step: int) -> Path | None:
        """Where step's checkpoint lies; .replaced where a save was interrupted between renames."""
        for name in (f"{step}", f"{step}.replaced"):
            if (self.folder / name / MANIFEST).is_file():
                return self.folder / name
        return None

    def _commit(self, step: int, unfinished: Path) -> None:
        final, replaced = self.folder / f"{step}", self.folder / f"{step}.replaced"
        if (final / MANIFEST).is_file():
            _remove(replaced)
            os.replace(final, replaced)
        elif final.exists():
            aside, number = self.folder / f"{step}.aside", 1
            while aside.exists():
                aside, number = self.folder / f"{step}.aside{number}", number + 1
            os.replace(final, aside)
            self.notice(f"{final} has no {MANIFEST} and stood in the way: moved to {aside}")
        os.replace(unfinished, final)
        sync_folder(self.folder)

    def _prune(self, newest: int) -> None:
        sound = [s for s in self.steps() if s <= newest and s not in self._unsound]
        kept = sound[-self.keep :]
        for path in self._folders():
            step = self._step_of(path, r"(\d+)(?:\.replaced|\.unfinished)?")
            if step is None:
                continue
            ours = path.suffix != "" or (path / MANIFEST).is_file()
            if ours and not (step in kept and path == self._place(step)):
                _remove(path)


def parameters_sha256(params: Any) -> str:
    """Returns one hash of a tree of arrays: sorted leaf paths, dtypes, shapes and bytes (C order).

    Equal exactly where the parameters are bit-equal, whatever their sharding.
    """
    total = hashlib.sha256()
    for path, leaf in sorted(_leaves(params).items()):
        array = np.asarray(leaf)
        total.update(f"{path}\0{array.dtype.name}\0{array.shape}\0".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _leaves(tree: Any) -> dict[str, Any]:
    """Returns {"opt/0/mu/kernel": leaf}; TypeError for leaves that would not come back the same."""
    result: dict[str, Any] = {}
    for keys, leaf in jax.tree_util.tree_leaves_with_path(tree):
        path = jax.tree_util.keystr(keys, simple=True, separator="/")
        if path in result:
            raise TypeError(f"two leaves of the state have the path {path!r}")
        if not hasattr(leaf, "shape") or not hasattr(leaf, "dtype"):
            raise TypeError(f"leaf {path!r} of the state is a {type(leaf).__name__}, not an array")
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            raise TypeError(f"leaf {path!r} of the state is a PRNG key: save its key_data")
        if jax.dtypes.canonicalize_dtype(leaf.dtype) != leaf.dtype:
            raise TypeError(f"leaf {path!r} of the state is {leaf.dtype}, which jax cannot hold")
        result[path] = leaf
    return result


def _describe(leaves: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        path: {"shape": list(leaf.shape), "dtype": np.dtype(leaf.dtype).name}
        for path, leaf in leaves.items()
    }


def _write(folder: Path, step: int, leaves: dict[str, Any], details: Mapping[str, Any]) -> None:
    arrays = {
        path: leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
        for path, leaf in leaves.items()
        if 0 not in leaf.shape  # orbax refuses them; their shape says all
    }
    if arrays:
        orbax.save(folder / "state", arrays)
    write_json(folder / DETAILS, details)
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        files[path.relative_to(folder).as_posix()] = digest
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "step": step,
        "leaves": _describe(leaves),
        "files": files,
    }
    # Without a hash of its own, a flipped byte here would read as another model's shape.
    write_json(folder / MANIFEST, {**manifest, "sha256": _digest(manifest)})


def _digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(manifest).encode()).hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise Unsound(f"{path} is missing")
    try:
        manifest = json.loads(path.read_bytes().decode("utf-8"))
        stated = manifest.pop("sha256")
    except OSError as error:
        raise Unsound(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise Unsound(f"{path} is not one of our manifests") from error
    if stated != _digest(manifest):
        raise Unsound(f"{path} does not have the SHA-256 it states")
    if (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
        raise UserError(
            f"{path} is {manifest['format']} version {manifest['version']}; this program reads "
            f"version {VERSION}. Use the version of jaxdistill that wrote the run."
        )
    return manifest


def _verify_files(folder: Path, files: Mapping[str, str]) -> None:
    for name, digest in files.items():
        path = folder / name
        try:
            found = sha256_file(path)
        except FileNotFoundError as error:
            raise Unsound(f"{path} is missing") from error
        except OSError as error:
            raise Unsound(f"{path} cannot be read: {error.strerror}") from error
        if found != digest:
            raise Unsound(
                f"{path} ({path.stat().st_size} bytes) has another SHA-256 than when it was written"
            )


def _compare(folder: Path, saved: Mapping[str, Any], leaves: Mapping[str, Any]) -> None:
    """UserError listing the leaves where the checkpoint and the run differ."""
    wanted = _describe(leaves)
    lines = []
    for path in sorted({**saved, **wanted}):
        here, there = saved[path] if path in saved else None, wanted.get(path)
        if here != there:
            lines.append(f"{path}: checkpoint {_show(here)}, this run {_show(there)}")
    if lines:
        more = f" and {len(lines) - 8} more" if len(lines) > 8 else ""
        raise UserError(
            f"The checkpoint {folder} belongs to another model or optimizer than this run: "
            f"{'; '.join(lines[:8])}{more}. Use the configuration that the run was started "
            f"with, or another run folder."
        )


def _as_saved(leaves: Mapping[str, Any]) -> dict[str, Any]:
    return unflatten(
        {
            path: jax.ShapeDtypeStruct(tuple(leaf["shape"]), jnp.dtype(leaf["dtype"]))
            for path, leaf in leaves.items()
        }
    )


def _show(leaf: Mapping[str, Any] | None) -> str:
    if leaf is None:
        return "has none"
    return f"{leaf['dtype']}[{','.join(str(n) for n in leaf['shape'])}]"


def _load(folder: Path, abstract: Any) -> Any:
    targets = {}
    for path, leaf in _leaves(abstract).items():
        sharding = getattr(leaf, "sharding", None)
        if sharding is None:
            sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        targets[path] = jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
    stored = {path: target for path, target in targets.items() if 0 not in target.shape}
    try:
        loaded = orbax.load(folder / "state", stored) if stored else {}
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise Unsound(f"{folder / 'state'} cannot be read by orbax: {_short(error)}") from error
    leaves = []
    for path, target in targets.items():
        if path in stored:
            # A buffer that orbax took over from NumPy must not be donated; a copy may.
            leaves.append(jnp.copy(loaded[path]))
        else:
            leaves.append(jax.device_put(jnp.zeros(target.shape, target.dtype), target.sharding))
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(abstract), leaves)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        if path.suffix == "":
            # Renamed first: half removed, it must not look like a damaged checkpoint.
            doomed = path.with_name(path.name + ".unfinished")
            shutil.rmtree(doomed, ignore_errors=True)
            os.replace(path, doomed)
            path = doomed
        shutil.rmtree(path)


def _short(error: BaseException) -> str:
    # tensorstore: "... Failed to write 157133 bytes to file 14: No space left on device
    # [os_error_code='28']", after several nested paths.
    cause = re.search(r": ([^:\[]+) \[os_error_code", str(error))
    lines = str(error).strip().splitlines()
    if cause or not lines:
        return cause[1] if cause else type(error).__name__
    return f"{type(error).__name__}: {lines[0][:300]}"


class _OrbaxChatter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return f"{os.sep}orbax{os.sep}" not in record.pathname


_CHATTER = _OrbaxChatter()


def _quiet_orbax() -> None:
    """Orbax tells absl's logger of every step of a save, and of a failure once per thread.

    What fails it raises as well, and that is reported in one line here.
    """
    logging.getLogger("absl").addFilter(_CHATTER)  # adding it twice changes nothing
