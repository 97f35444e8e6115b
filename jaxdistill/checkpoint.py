"""Checkpoints that are known to be whole: a thin wrapper over orbax.

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

With several processes the first one writes, and each reads by itself. That is orbax's older API
with one active process; its v1 asks all of them at every save (tried: it hangs), and wants them to
share a disk.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdistill import processes
from jaxdistill.arrays import read_arrays, short, write_arrays
from jaxdistill.errors import UserError
from jaxdistill.files import canonical_json, read_json, sync_folder, write_json
from jaxdistill.manifest import (
    MANIFEST,
    Unsound,
    compare,
    leaves_of,
    read_manifest,
    verify_files,
    write_manifest,
)
from jaxdistill.notices import Notice
from jaxdistill.sharding import fetch
from jaxdistill.trees import unflatten

DETAILS = "details.json"


class Restored(NamedTuple):
    """What Checkpoints.restore found."""

    step: int
    state: Any
    """In the structure of the abstract tree; every leaf a jax.Array that owns its buffer."""
    details: dict[str, Any]


class Checkpoints:
    """The checkpoints in one folder, of which the newest `keep` are kept.

    The owner of the run's lock saves; anybody may restore at the same time.
    """

    def __init__(self, folder: Path, keep: int, notice: Notice) -> None:
        """notice gets one line about everything that is not as it should be but did not stop us."""
        if keep < 1:
            raise ValueError(f"keep is {keep}; at least one checkpoint must be kept")
        self.folder = folder.absolute()  # orbax demands absolute paths
        self.keep = keep
        self.notice = notice
        self._unsound: set[int] = set()

    def steps(self) -> list[int]:
        """Returns the steps that have a manifest, rising; whether they are sound is not checked."""
        found = (self._step_of(path, r"(\d+)(?:\.replaced)?") for path in self._folders())
        return sorted({step for step in found if step is not None and self._place(step)})

    def save(self, step: int, state: Any, details: Mapping[str, Any]) -> bool:
        """Saves state as checkpoint `step`, then removes what is not kept. Waits until it is done.
        Collective: process 0 writes.

        Checkpoints of later steps are removed too: whoever saves step 6 after 7 has gone back.

        Args:
          step: optimizer steps done.
          state: a pytree of jax or NumPy arrays (no PRNG key objects; 64 bits only where jax has
            them enabled, since they would come back as 32).
          details: what strict JSON can hold.

        Returns False, after a notice, where the disk refuses; the older ones are kept then.
        Raises TypeError for other leaves.
        """
        leaves_of(state)
        canonical_json(details)  # a value that JSON cannot hold is not a failed save
        leaves = leaves_of(fetch(state))  # nor is a failed computation
        return processes.led(lambda: self._save(step, leaves, details))

    def _save(self, step: int, leaves: dict[str, Any], details: Mapping[str, Any]) -> bool:
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
                f"({short(error)}). Older checkpoints are kept: {older}."
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
        wanted = None if abstract is None else leaves_of(abstract)
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
                manifest = read_manifest(path)
                target = _as_saved(manifest["leaves"]) if wanted is None else abstract
                if wanted is not None:
                    compare(path, manifest["leaves"], wanted)
                verify_files(path, manifest["files"])
                state = read_arrays(path / "state", target)
                return Restored(number, state, read_json(path / DETAILS))
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


def _write(folder: Path, step: int, state: dict[str, Any], details: Mapping[str, Any]) -> None:
    write_arrays(folder / "state", state)
    write_json(folder / DETAILS, details)
    write_manifest(folder, step, state)


def _as_saved(leaves: Mapping[str, Any]) -> dict[str, Any]:
    return unflatten(
        {
            path: jax.ShapeDtypeStruct(tuple(leaf["shape"]), jnp.dtype(leaf["dtype"]))
            for path, leaf in leaves.items()
        }
    )


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
