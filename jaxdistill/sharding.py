"""Where arrays live: parameters on every device, a batch split over the mesh axis "data"."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxdistill.errors import UserError
from jaxdistill.types import Batch


def make_mesh() -> Mesh:
    """All devices on one axis "data"."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def check_batch_size(size: int, mesh: Mesh, where: str) -> None:
    """Refuses a global batch that the devices cannot share evenly.

    Args:
      size: examples per step over all devices.
      where: the config key it comes from, for the message.
    """
    devices = mesh.shape["data"]
    if size < 1 or size % devices:
        lower = size // devices * devices
        near = f"{lower} or {lower + devices}" if lower else f"{devices}"
        raise UserError(
            f"{where} is {size}, which {devices} devices cannot share evenly: every step gives "
            f"each device the same number of examples. Use a multiple of {devices}, such as {near}."
        )


def replicate(tree: Any, mesh: Mesh) -> Any:
    """A copy of the tree on every device, in buffers of its own (a step may donate them)."""
    sharding = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda x: jax.device_put(np.array(x), sharding, may_alias=False), tree)


def split(batch: Batch, mesh: Mesh) -> Batch:
    """The batch with its rows, axis 0 of every leaf, shared out over the devices."""
    return jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data")))


def split_stacked(batches: Batch, mesh: Mesh) -> Batch:
    """As split, of several batches stacked on axis 0: rows are axis 1 of every leaf."""
    return jax.device_put(batches, NamedSharding(mesh, PartitionSpec(None, "data")))
