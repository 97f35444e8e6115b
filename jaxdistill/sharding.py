"""Where arrays live: parameters as spec says, a batch split over the mesh axis "data"."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxdistill.errors import UserError
from jaxdistill.types import Batch

ROWS = PartitionSpec("data")
"""Of a batch: its rows, axis 0 of every leaf, are shared out over the devices."""


def spec(path: str, shape: tuple[int, ...]) -> PartitionSpec:
    """How the leaf of that path and shape, a parameter or a moment of one, lies on the mesh.

    Data parallel: whole on every device. What is to be cut along another axis of the mesh is one
    more rule here; whatever places, restores or saves a state asks this function.
    """
    return PartitionSpec()


def make_mesh() -> Mesh:
    """All devices of all processes on one axis "data", those of a process next to each other.

    Not jax.make_mesh, which on TPUs mixes them for the sake of neighbours. Gradients are summed
    over all devices in any order; what a process has to read depends on which rows it takes.
    """
    ordered = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(ordered), ("data",), axis_types=(AxisType.Auto,))


def own_mesh() -> Mesh:
    """This process's devices alone, on one axis "data"."""
    return Mesh(np.array(jax.local_devices()), ("data",), axis_types=(AxisType.Auto,))


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


def rows_here(size: int, mesh: Mesh) -> np.ndarray:
    """[b] int64, rising: the rows of a batch of `size` that this process's devices take."""
    spans = NamedSharding(mesh, ROWS).addressable_devices_indices_map((size,)).values()
    rows = [np.arange(size)[index] for index in spans if index is not None]
    return np.unique(np.concatenate(rows))


def place(tree: Any, mesh: Mesh) -> Any:
    """A copy of a tree of host arrays on the mesh's devices, each leaf as spec says, in buffers of
    its own (a step may donate them). Every process of the mesh gives the same tree.
    """

    def put(path: Any, leaf: Any) -> jax.Array:
        value = np.array(leaf)
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        sharding = NamedSharding(mesh, spec(name, value.shape))
        if sharding.is_fully_addressable:
            return jax.device_put(value, sharding, may_alias=False)
        # The parts may be NumPy's memory; a copy is not.
        return jnp.copy(jax.make_array_from_callback(value.shape, sharding, value.__getitem__))

    return jax.tree_util.tree_map_with_path(put, tree)


def shapes(tree: Any, mesh: Mesh | None = None) -> Any:
    """The tree's leaves as jax.ShapeDtypeStruct, placed as spec says where a mesh is given."""

    def shape(path: Any, leaf: Any) -> jax.ShapeDtypeStruct:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        size = np.shape(leaf)
        sharding = None if mesh is None else NamedSharding(mesh, spec(name, size))
        return jax.ShapeDtypeStruct(size, leaf.dtype, sharding=sharding)

    return jax.tree_util.tree_map_with_path(shape, tree)


def pinned(tree: Any, mesh: Mesh) -> Any:
    """Within jit: the tree, to lie as spec says whatever XLA would choose."""

    def pin(path: Any, leaf: Any) -> jax.Array:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return jax.lax.with_sharding_constraint(leaf, NamedSharding(mesh, spec(name, leaf.shape)))

    return jax.tree_util.tree_map_with_path(pin, tree)


def fetch(tree: Any) -> Any:
    """The tree as host arrays, whole in every process, wherever its parts lie. Collective."""

    def get(leaf: Any) -> np.ndarray:
        if isinstance(leaf, jax.Array) and not (
            leaf.is_fully_addressable or leaf.is_fully_replicated
        ):
            leaf = multihost_utils.process_allgather(leaf, tiled=True)
        return np.asarray(leaf)

    return jax.tree.map(get, tree)


def split(batch: Batch, mesh: Mesh) -> Batch:
    """The batch with its rows, axis 0 of every leaf, shared out over the devices.

    Each process gives the rows that rows_here says.
    """
    return _shared(batch, NamedSharding(mesh, ROWS))


def split_stacked(batches: Batch, mesh: Mesh) -> Batch:
    """As split, of several batches stacked on axis 0: rows are axis 1 of every leaf."""
    return _shared(batches, NamedSharding(mesh, PartitionSpec(None, *ROWS)))


def _shared(batch: Batch, sharding: NamedSharding) -> Batch:
    if sharding.is_fully_addressable:
        return jax.device_put(batch, sharding)
    made: Batch = jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(sharding, leaf), batch
    )
    return made
