"""The processes that run the same command together: who this one is, what all know, what all see.

The engine is JAX's own multi-controller runtime: every process runs the whole program, and a global
array is made of the parts that each holds. What follows keeps their decisions equal: a decision is
taken by process 0 and told to the others, or from what all of them know. Folders are in mirror.py.

Everything here that says "collective" must be called by all processes, in the same order.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxdistill.errors import Passing, Preempted, UserError

T = TypeVar("T")

HEARTBEAT_SECONDS = 30
"""After which a silent process is taken for dead, and the others leave."""
BLOCK = 1 << 26
"""Bytes that travel at once, of all processes together."""


class Meeting(NamedTuple):
    """Where the processes find each other: --coordinator, --processes, --process."""

    coordinator: str
    """HOST:PORT of process 0."""
    processes: int
    process: int


def join(meeting: Meeting | None) -> None:
    """Joins the other processes; to be called before anything else asks jax for its devices.

    Without a meeting a cluster is looked for as jax does: tasks of a SLURM step or of Open MPI, the
    hosts of a TPU slice, the pods of a Kubernetes job. Where there is none, nothing happens.

    Raises UserError where the coordinator is not found, or the launcher is one that jax cannot ask.
    """
    if meeting is None and not detected():
        return
    # One mechanism for signals (preemption.py): jax's own swallows SIGTERM until it is asked.
    jax.config.update("jax_enable_preemption_service", False)
    coordinator, processes, process = meeting or (None, None, None)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            cluster_detection_method="deactivate" if meeting else None,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except ValueError:
        if meeting is None:  # a TPU, and nobody who knows of others
            return
        raise
    except RuntimeError as error:
        said = f"at {meeting.coordinator} " if meeting else ""
        raise Passing(
            f"The coordinator {said}was not reached, or not all processes came: "
            f"{str(error).splitlines()[0]} Start the same command in every process, with the "
            f"address of the host of process 0, a free port, and a number of its own for each."
        ) from error
    with _stdout_on_stderr():  # gloo greets on stdout when it is first used
        total(0)


def detected() -> bool:
    """Whether the environment is that of one of several tasks, by what their launchers set."""
    environment = os.environ
    step = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_LOCALID")
    if all(name in environment for name in step):
        return int(environment.get("SLURM_STEP_NUM_TASKS", environment.get("SLURM_NTASKS", 1))) > 1
    if int(environment.get("OMPI_COMM_WORLD_SIZE", 1)) > 1:
        if "OMPI_MCA_orte_hnp_uri" in environment:
            return True
        raise UserError(
            "This Open MPI does not tell its tasks where the first one is. Give them "
            "--coordinator=HOST:PORT --processes=$OMPI_COMM_WORLD_SIZE "
            "--process=$OMPI_COMM_WORLD_RANK, HOST being that of task 0."
        )
    if "tpu" in (environment.get("JAX_PLATFORMS") or "tpu").split(",") and _has_tpu():
        return True
    if "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment:
        return importlib.util.find_spec("kubernetes") is not None
    return False


def _has_tpu() -> bool:
    """Whether there is a TPU, and what drives it; asks nobody outside of this machine."""
    chips = any(Path("/dev").glob("accel[0-9]*")) or any(Path("/dev/vfio").glob("[0-9]*"))
    return chips and importlib.util.find_spec("libtpu") is not None


def count() -> int:
    """How many processes there are."""
    return jax.process_count()


def index() -> int:
    """The number of this one, from 0."""
    return jax.process_index()


def lead() -> bool:
    """Whether this is process 0, which writes and speaks."""
    return index() == 0


def span(rows: int, process: int | None = None) -> slice:
    """The rows, of so many, that a process works on; this one if none is given."""
    number = index() if process is None else process
    return slice(rows * number // count(), rows * (number + 1) // count())


def gather(arrays: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """What each process gave, in their order; shapes and names may differ. Collective."""
    if count() == 1:
        return [dict(arrays)]
    buffer = io.BytesIO()
    named: dict[str, Any] = dict(arrays)
    np.savez(buffer, **named)
    found = []
    for data in _exchange(buffer.getvalue()):
        with np.load(io.BytesIO(data), allow_pickle=False) as loaded:
            found.append({name: loaded[name] for name in loaded.files})
    return found


def pooled(act: Callable[[], Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """What act gave in each process, in their order. Collective.

    The UserError or Preempted that it raises in one of them is raised in all.
    """
    if count() == 1:
        return [dict(act())]
    ended: dict[str, str] = {}
    arrays: Mapping[str, np.ndarray] = {}
    try:
        arrays = act()
    except (UserError, Preempted) as error:
        ended = _told(error)
    for each in gather({"": as_bytes(json.dumps(ended).encode())}):
        _raise(json.loads(bytes(each[""])))
    return gather(arrays)


def total(number: int) -> int:
    """The sum over all processes. Collective."""
    return sum(int(each["n"]) for each in gather({"n": np.array(number)}))


def led(act: Callable[[], T]) -> T:
    """What act gives in process 0, which alone calls it; plain JSON data. Collective.

    Its UserError or Preempted is raised in all of them.
    """
    if count() == 1:
        return act()
    said: dict[str, Any] = {}
    if lead():
        try:
            said = {"value": act()}
        except (UserError, Preempted) as error:
            said = _told(error)
    said = json.loads(broadcast(json.dumps(said).encode()))
    _raise(said)
    value: T = said["value"]
    return value


_ENDS = {"passing": Passing, "wrong": UserError, "stopped": Preempted}
"""What is raised in all processes, the more particular first."""


def _told(error: Exception) -> dict[str, str]:
    return {next(name for name, kind in _ENDS.items() if isinstance(error, kind)): str(error)}


def _raise(said: Mapping[str, Any]) -> None:
    for name, kind in _ENDS.items():
        if name in said:
            raise kind(said[name])


def same(what: str, value: str, remedy: str) -> None:
    """Raises UserError, naming the process, where value is not that of process 0. Collective."""
    if count() == 1:
        return
    found = [bytes(each["said"]).decode() for each in gather({"said": as_bytes(value.encode())})]
    for number, other in enumerate(found):
        if other != found[0]:
            raise UserError(
                f"{what} of process {number} is not that of process 0 ({other[:80]} and "
                f"{found[0][:80]}). {remedy}"
            )


class Votes:
    """Wishes of every process, counted without anybody waiting: the answer comes later.

    Each cast() starts a count on the devices and gives the result of the one `delay` casts before,
    which is done by then, because what was dispatched after it has been waited for.
    """

    def __init__(self, mesh: jax.sharding.Mesh, delay: int) -> None:
        """mesh: of all processes' devices, on one axis "data"."""
        parts = jax.sharding.PartitionSpec
        self._split = jax.sharding.NamedSharding(mesh, parts("data"))
        whole = jax.sharding.NamedSharding(mesh, parts())
        self._any = jax.jit(lambda wishes: wishes.max(0), out_shardings=whole)
        self._local = int(sum(d.process_index == index() for d in mesh.devices.flat))
        self._delay = delay
        self._counting: list[jax.Array] = []

    def cast(self, *wishes: bool) -> tuple[bool, ...]:
        """Which of the wishes any process had, `delay` casts ago; of one process, these.
        Collective.
        """
        if count() == 1:
            return wishes
        ballots = np.tile(np.array(wishes, np.int32), (self._local, 1))  # [devices, wishes]
        everywhere = jax.make_array_from_process_local_data(self._split, ballots)
        self._counting.append(self._any(everywhere))
        if len(self._counting) <= self._delay:
            return (False,) * len(wishes)
        return tuple(bool(wish) for wish in np.asarray(self._counting.pop(0)))


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """Standard output belongs to results, also for what is not written in Python."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def as_bytes(data: bytes) -> np.ndarray:
    """Bytes as gather takes them."""
    return np.frombuffer(data, np.uint8)


def _exchange(data: bytes) -> list[bytes]:
    """The bytes of every process, in their order."""
    counted = multihost_utils.process_allgather(_size(data))
    sizes = [_read_size(each) for each in counted]
    parts: list[list[bytes]] = [[] for _ in sizes]
    most = max(BLOCK // count(), 1)
    for start in range(0, max(sizes), most):
        width = _rounded(min(most, max(sizes) - start), most)
        padded = np.zeros(width, np.uint8)
        mine = as_bytes(data[start : start + width])
        padded[: len(mine)] = mine
        found = multihost_utils.process_allgather(padded)
        for number, size in enumerate(sizes):
            parts[number].append(found[number, : max(0, size - start)].tobytes())
    return [b"".join(each) for each in parts]


def broadcast(data: bytes) -> bytes:
    """The bytes of process 0; what others give is not read. Collective."""
    size = _read_size(multihost_utils.broadcast_one_to_all(_size(data)))
    parts = []
    for start in range(0, size, BLOCK):
        width = min(BLOCK, size - start)
        padded = np.zeros(_rounded(width, BLOCK), np.uint8)
        if lead():
            padded[:width] = as_bytes(data[start : start + width])
        found = np.asarray(multihost_utils.broadcast_one_to_all(padded))
        parts.append(found[:width].tobytes())
    return b"".join(parts)


def _rounded(size: int, most: int) -> int:
    """A power of two from there on, `most` at most: each size is a program of its own."""
    return min(max(1 << (size - 1).bit_length(), 1024), most)


def _size(data: bytes) -> np.ndarray:
    return np.array(divmod(len(data), BLOCK), np.int32)  # jax has no 64 bits


def _read_size(found: Any) -> int:
    blocks, rest = np.asarray(found).tolist()
    return int(blocks * BLOCK + rest)
