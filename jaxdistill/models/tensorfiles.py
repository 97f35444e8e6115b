"""The weight files of a Hugging Face model folder, as NumPy arrays by name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import ml_dtypes  # noqa: F401  (makes bfloat16 a NumPy dtype, which safetensors then returns)
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from jaxdistill.errors import UserError
from jaxdistill.models.torchbin import read_torch

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""What may hold a folder's weights; the first that exists is read. An index names its shards."""


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files that hold the folder's weights, sorted by name.

    Raises:
      UserError: the folder has none of WEIGHTS, or an index is broken or names files that are not
        there.
    """
    for name in WEIGHTS:
        path = folder / name
        if path.is_file():
            return _shards(path) if name.endswith(".index.json") else (path,)
    raise UserError(f"{folder} holds no weights: none of {', '.join(WEIGHTS)} is in it.")


def read_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Every tensor of the folder's weight files by its name, in the type it was stored in.

    Raises:
      UserError: as weight_files, or a file cannot be read, or two shards hold the same name.
    """
    tensors: dict[str, np.ndarray] = {}
    for path in weight_files(folder):
        _refuse_pointer(path)
        part = read_torch(path) if path.suffix == ".bin" else _read_safetensors(path)
        twice = sorted(tensors.keys() & part.keys())
        if twice:
            raise UserError(f"{path} holds {twice[0]!r}, which another shard of it holds too.")
        tensors |= part
    return tensors


def sha256(files: tuple[Path, ...]) -> str:
    """The SHA-256 of the files' bytes one after the other; of one file, what sha256sum prints."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _shards(index: Path) -> tuple[Path, ...]:
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index} is no index of shards: it has no readable weight_map.") from error
    if not names or not all(isinstance(name, str) and name == Path(name).name for name in names):
        raise UserError(f"{index} must name files beside it; its weight_map names {names}.")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise UserError(
            f"{index} names {len(names)} shards, of which {', '.join(missing)} are not beside it. "
            "The download is incomplete: fetch the missing files."
        )
    return tuple(index.parent / name for name in names)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as safetensors: {error}. It is damaged, cut short or another "
            "kind of file; download it again."
        ) from error


def _refuse_pointer(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(23) == b"version https://git-lfs":
            raise UserError(
                f"{path} is a Git LFS pointer, not the weights themselves: run `git lfs pull` "
                "where it was cloned."
            )
