"""Arrays in a folder, by orbax in this process alone; what it says is left to its exceptions."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as orbax

from jaxdistill import processes
from jaxdistill.manifest import Unsound, leaves_of


def write_arrays(folder: Path, arrays: Mapping[str, Any]) -> None:
    """Writes arrays by name; those without elements are left out, and no folder is made of these
    alone. Raises OSError, ValueError or RuntimeError where the disk refuses.
    """
    # orbax refuses arrays without elements; their shape says all.
    some = {name: array for name, array in arrays.items() if 0 not in array.shape}
    if some:
        with _orbax() as checkpointer:
            checkpointer.save(folder, some)


def read_arrays(folder: Path, abstract: Any) -> Any:
    """What write_arrays wrote, in the structure of abstract, a pytree of jax.ShapeDtypeStruct.

    Leaves with a sharding are placed so, the others on the first device; each owns its buffer.
    Raises Unsound where orbax cannot read the folder.
    """
    targets = leaves_of(abstract)
    loaded: dict[str, np.ndarray] = {}
    if any(0 not in target.shape for target in targets.values()):
        try:
            with _orbax() as checkpointer:
                loaded = checkpointer.restore(folder)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise Unsound(f"{folder} cannot be read by orbax: {short(error)}") from error
    leaves = []
    for path, target in targets.items():
        value = loaded[path] if path in loaded else np.zeros(target.shape, target.dtype)
        sharding = getattr(target, "sharding", None)
        if sharding is None:
            sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        part = jax.make_array_from_callback(target.shape, sharding, value.__getitem__)
        # A buffer that is NumPy's memory must not be donated; a copy may.
        leaves.append(jnp.copy(part))
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(abstract), leaves)


class _OrbaxChatter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return f"{os.sep}orbax{os.sep}" not in record.pathname


_CHATTER = _OrbaxChatter()


def _orbax() -> orbax.Checkpointer:
    """What writes and reads arrays in this process, and asks no other."""
    # It tells absl's logger of every step of a save, and of a failure once per thread. What fails
    # it raises as well, and that is reported in one line by us.
    logging.getLogger("absl").addFilter(_CHATTER)  # adding it twice changes nothing
    me = processes.index()
    alone = orbax.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"process{me}"
    )
    return orbax.Checkpointer(
        orbax.PyTreeCheckpointHandler(multiprocessing_options=alone), multiprocessing_options=alone
    )


def short(error: BaseException) -> str:
    """What went wrong, as the part of a sentence."""
    # tensorstore: "... Failed to write 157133 bytes to file 14: No space left on device
    # [os_error_code='28']", after several nested paths.
    cause = re.search(r": ([^:\[]+) \[os_error_code", str(error))
    lines = str(error).strip().splitlines()
    if cause or not lines:
        return cause[1] if cause else type(error).__name__
    return f"{type(error).__name__}: {lines[0][:300]}".rstrip(".")  # a sentence goes on
