"""Reads PyTorch checkpoints (pytorch_model.bin) without PyTorch and without running anything.

A checkpoint is a pickle, and a pickle is a program. This reader follows it with a table of the few
names that a dict of tensors needs, each bound to a function of ours; any other name is refused
before it is looked up. Both layouts are read: the zip of torch 1.6 and later, and the older chain
of pickles.

Source: torch/serialization.py (_save, _legacy_save) and torch/_utils.py (_rebuild_tensor_v2).
"""

from __future__ import annotations

import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from jaxdistill.errors import UserError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_DTYPES = {
    "FloatStorage": np.dtype(np.float32),
    "DoubleStorage": np.dtype(np.float64),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
_TORCH_DTYPES = (
    *("float32", "float64", "float16", "bfloat16"),
    *("int64", "int32", "int16", "int8", "uint8", "bool"),
)
_RESAVE = (
    "Where PyTorch is installed and the file is trusted, write its weights anew: "
    "safetensors.torch.save_file({k: v.contiguous() for k, v in torch.load(PATH).items()}, "
    "'model.safetensors')."
)


class _Broken(Exception):
    """The file contradicts itself; the text says how."""


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint that torch.save wrote from a state dict, by name.

    They may share memory and may be views of it, as they did in PyTorch; bfloat16 is ml_dtypes'.

    Raises:
      UserError: the file is broken or no checkpoint, holds something else than a flat dict of
        tensors, or names anything that such a dict does not need (nothing is ever executed).
    """
    try:
        with path.open("rb") as file:
            read = _read_zip if zipfile.is_zipfile(file) else _read_legacy
            return _arrays(read(file, path), path)
    except (UserError, MemoryError):
        raise
    # What a damaged pickle raises depends on where it is damaged: nearly any exception is possible.
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a PyTorch checkpoint: it is damaged or something else "
            f"({type(error).__name__}: {error}). Download it again, or: {_RESAVE}"
        ) from error


def _arrays(content: Any, path: Path) -> dict[str, np.ndarray]:
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise UserError(f"{path} holds a {kind}, not a dict of tensors. {_RESAVE}")
    entries = list(dict.items(content))  # a pickle can give its OrderedDict another .items
    other = [k for k, v in entries if not (isinstance(k, str) and isinstance(v, _Tensor))]
    if other:
        shown = ", ".join(repr(k) for k in other[:8])
        raise UserError(
            f"{path} is no flat dict of tensors: {len(other)} of its {len(entries)} entries are "
            f"something else ({shown}). If it is a training checkpoint, save the model's own "
            "state_dict() instead."
        )
    return {name: tensor.view() for name, tensor in entries}


# What the pickle gets to hold are named tuples and strings: the opcode BUILD can change the state
# of arrays and dtypes, and of nothing in these.


class _Storage(NamedTuple):
    """One stretch of memory that tensors are views of: [numel], native byte order."""

    values: np.ndarray


class _Tensor(NamedTuple):
    """A view of a storage that has been found to lie within it; offset and stride in elements."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def view(self) -> np.ndarray:
        values = self.storage.values
        if 0 in self.size:
            return np.zeros(self.size, values.dtype)
        strides = tuple(step * values.itemsize for step in self.stride)
        start = values[self.offset :]
        return np.lib.stride_tricks.as_strided(start, self.size, strides, writeable=False)


class _Unpickler(pickle.Unpickler):
    """A pickle reader that knows the names of a dict of tensors and refuses all others."""

    def __init__(
        self, file: Any, path: Path, load_storage: Callable[[str, np.dtype, int], np.ndarray]
    ) -> None:
        super().__init__(file, encoding="utf-8")
        self._path = path
        self._load_storage = load_storage
        self._storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return _tensor
        if module == "torch._utils" and name == "_rebuild_parameter":
            return _parameter
        if module == "torch" and name in _DTYPES:
            return name  # persistent_load looks it up
        if module == "torch" and name in _TORCH_DTYPES:
            return f"torch.{name}"
        raise UserError(
            f"{self._path} asks for {module}.{name}, which a dict of tensors does not need; it was "
            "not run, and the file is not read any further. It may be malicious, or hold more than "
            f"weights. {_RESAVE}"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _location, numel, *view = pid
        if kind != "storage" or storage_type not in _DTYPES or type(numel) is not int or numel < 0:
            raise _Broken(f"unknown reference {pid!r}")
        dtype = _DTYPES[storage_type]
        if view not in ([], [None]):
            raise _Broken(f"storage {key!r} is a view of another, as before torch 0.4")
        if key not in self._storages:
            self._storages[key] = _Storage(self._load_storage(key, dtype, numel))
        storage = self._storages[key]
        if storage.values.dtype != dtype or storage.values.size != numel:
            raise _Broken(f"storage {key!r} is declared twice, differently")
        return storage


def _tensor(
    storage: _Storage,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool,
    hooks: Any,
    metadata: Any = None,
) -> _Tensor:
    """torch._utils._rebuild_tensor_v2."""
    size, stride = tuple(size), tuple(stride)
    numbers = (offset, *size, *stride)
    if not isinstance(storage, _Storage) or len(size) != len(stride):
        raise _Broken(f"a tensor of size {size}, stride {stride}")
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise _Broken(f"a tensor of size {size}, stride {stride}, offset {offset}")
    # as_strided believes whatever it is told: without this check a file could read other memory.
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and last >= storage.values.size:
        raise _Broken(f"a tensor reaches to element {last} of a storage of {storage.values.size}")
    return _Tensor(storage, offset, size, stride)


def _parameter(data: _Tensor, requires_grad: bool, hooks: Any) -> _Tensor:
    return data


def _native(raw: bytes, dtype: np.dtype, order: str) -> np.ndarray:
    """raw as [numel] dtype. Swapped as plain integers: bfloat16 has no byte order in NumPy."""
    words = np.frombuffer(raw, f"u{dtype.itemsize}")
    return (words if order == sys.byteorder else words.byteswap()).view(dtype)


def _read_zip(file: BinaryIO, path: Path) -> Any:
    """torch >= 1.6: NAME/data.pkl, NAME/data/KEY (raw, never compressed), NAME/byteorder."""
    with zipfile.ZipFile(file) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _Broken("a zip archive without one data.pkl")
        top = pickles[0].removesuffix("data.pkl")
        order = "little"  # what torch before 2.1 wrote, without saying so, on every usual machine
        if f"{top}byteorder" in entries:
            order = archive.read(f"{top}byteorder").decode()
        if order not in ("little", "big"):
            raise _Broken(f"byte order {order!r}")

        def load_storage(key: str, dtype: np.dtype, numel: int) -> np.ndarray:
            info = entries[f"{top}data/{key}"]
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != numel * dtype.itemsize:
                raise _Broken(f"storage {key!r} has {info.file_size} bytes for {numel} of {dtype}")
            return _native(archive.read(info), dtype, order)

        with archive.open(pickles[0]) as stream:
            return _Unpickler(stream, path, load_storage).load()


def _read_legacy(file: BinaryIO, path: Path) -> Any:
    """torch < 1.6: five pickles (magic, protocol, system, object, keys), then the raw storages."""
    file.seek(0, 2)
    bytes_in_file = file.tell()
    file.seek(0)
    pending: dict[str, np.ndarray] = {}

    def load_storage(key: str, dtype: np.dtype, numel: int) -> np.ndarray:
        if numel * dtype.itemsize > bytes_in_file:
            raise _Broken(f"storage {key!r} of {numel} {dtype} is larger than the file")
        pending[key] = np.empty(numel, dtype)  # filled below, after the tensors that view it
        return pending[key]

    def load() -> Any:
        return _Unpickler(file, path, load_storage).load()

    if load() != _LEGACY_MAGIC or load() != _LEGACY_PROTOCOL:
        raise _Broken("it starts like no known version of torch.save")
    load()  # the writer's system; sizes and storages are little-endian whatever it was
    content = load()
    for key in load():
        storage = pending.pop(key)
        numel = int.from_bytes(file.read(8), "little", signed=True)
        raw = file.read(storage.nbytes)
        if numel != storage.size or len(raw) != storage.nbytes:
            raise _Broken(f"storage {key!r} has {numel} elements, {len(raw)} bytes; cut short?")
        storage[:] = _native(raw, storage.dtype, "little")
    if pending:
        raise _Broken(f"storages {sorted(pending)} are missing")
    return content
