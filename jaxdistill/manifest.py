"""What a checkpoint's manifest says, and whether the files beside it still agree.

folder/manifest.json, written last:

    format, version, step
    leaves    {path: {"shape", "dtype"}}
    files     {path within folder: SHA-256}, every other file
    sha256    of all of the above as canonical JSON

Besides, the one hash by which two trees of parameters are compared.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdistill.errors import UserError
from jaxdistill.files import canonical_json, sha256_file, write_json

FORMAT = "jaxdistill checkpoint"
VERSION = 1
MANIFEST = "manifest.json"


class Unsound(Exception):
    """A checkpoint of ours is damaged; the text names the file and what is wrong with it."""


def write_manifest(folder: Path, step: int, leaves: Mapping[str, Any]) -> None:
    """Flushes every file in folder to the disk, then writes what they hold.

    Args:
      folder: holds nothing but the checkpoint's files.
      step: optimizer steps done.
      leaves: the arrays saved, by path.
    """
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


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns folder's manifest without its own hash.

    Raises Unsound where it is missing or damaged, UserError where another version wrote it.
    """
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


def verify_files(folder: Path, files: Mapping[str, str]) -> None:
    """Raises Unsound where a file is missing or is not as it was; files: SHA-256 by name."""
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


def compare(folder: Path, saved: Mapping[str, Any], leaves: Mapping[str, Any]) -> None:
    """Raises UserError naming the leaves that differ in path, shape or dtype.

    Args:
      folder: the checkpoint's, for the message.
      saved: the manifest's "leaves".
      leaves: what the run wants, by path.
    """
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


def leaves_of(tree: Any) -> dict[str, Any]:
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


def parameters_sha256(params: Any) -> str:
    """Returns one hash of a tree of arrays: sorted leaf paths, dtypes, shapes and bytes (C order).

    Equal exactly where the parameters are bit-equal, whatever their sharding.
    """
    total = hashlib.sha256()
    for path, leaf in sorted(leaves_of(params).items()):
        array = np.asarray(leaf)
        total.update(f"{path}\0{array.dtype.name}\0{array.shape}\0".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _describe(leaves: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        path: {"shape": list(leaf.shape), "dtype": np.dtype(leaf.dtype).name}
        for path, leaf in leaves.items()
    }


def _show(leaf: Mapping[str, Any] | None) -> str:
    if leaf is None:
        return "has none"
    return f"{leaf['dtype']}[{','.join(str(n) for n in leaf['shape'])}]"


def _digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(manifest).encode()).hexdigest()
