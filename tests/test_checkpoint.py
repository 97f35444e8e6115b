"""checkpoint: what is saved comes back bit by bit, and damage never goes unnoticed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdistill import manifest
from jaxdistill.checkpoint import Checkpoints
from jaxdistill.errors import UserError
from jaxdistill.manifest import parameters_sha256

STEPS = (3, 5, 12)


class Pair(NamedTuple):
    left: Any
    right: Any


def training_state(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    params = {
        "dense": {
            "kernel": jnp.asarray(rng.normal(size=(2, 7, 5)), jnp.float32),
            "bias": jnp.asarray(rng.normal(size=5), jnp.bfloat16),
        },
        "head": jnp.asarray(rng.normal(size=(5, 2)), jnp.float32),
    }
    frozen = {"dense": True, "head": False}
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),  # EmptyState
        optax.masked(optax.adamw(optax.linear_schedule(1e-3, 0.0, 10)), frozen),  # MaskedNode
    )
    return {
        "params": params,
        "optimizer": optimizer.init(params),
        "step": jnp.int32(7),
        "rng": jax.random.key_data(jax.random.key(3)),
        "nothing": None,
        "empty": optax.EmptyState(),
        "no rows": np.zeros((0, 4), np.float32),
        "pair": Pair(np.array([True, False]), (np.float32(0.1), [])),
        "nan": jnp.asarray([np.nan, np.inf, -0.0], jnp.float32),
    }


def abstract_of(state: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)


def assert_equal(left: Any, right: Any) -> None:
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def made(tmp_path: Path, told: list[str]) -> Checkpoints:
    """Checkpoints of STEPS; the state of step s is training_state(s)."""
    result = Checkpoints(tmp_path / "latest", 3, told.append)
    for step in STEPS:
        assert result.save(step, training_state(step), {"epoch": step, "best": float("nan")})
    return result


def data_file(folder: Path) -> Path:
    """The largest file of a checkpoint: parameters."""
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def test_round_trip(made: Checkpoints, told: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert made.steps() == list(STEPS)
    found = made.restore(abstract_of(training_state()))
    assert found is not None
    assert found.step == 12
    assert found.details == {"epoch": 12, "best": "nan"}
    assert_equal(found.state, training_state(12))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(found.state))
    older = made.restore(abstract_of(training_state()), step=5)
    assert older is not None
    assert older.step == 5
    assert_equal(older.state, training_state(5))
    assert told == []
    assert capfd.readouterr() == ("", "")


def test_a_restored_state_can_be_donated(made: Checkpoints) -> None:
    found = made.restore(abstract_of(training_state()))
    assert found is not None
    step = jax.jit(lambda s: jax.tree.map(lambda x: x + x, s), donate_argnums=0)
    state = {"params": found.state["params"], "step": found.state["step"]}
    for _ in range(3):
        old, state = state, step(state)
        assert jax.tree.leaves(old)[0].is_deleted()
    expected = jax.tree.map(lambda x: x * 8, training_state(12)["params"])
    assert_equal(state["params"], expected)


def test_donation_reuses_the_restored_buffers(tmp_path: Path, told: list[str]) -> None:
    # Some of those that orbax hands out are NumPy's memory, which a donated step cannot reuse.
    state = {str(i): jnp.zeros(100_000 + i) for i in range(24)}
    made = Checkpoints(tmp_path, 1, told.append)
    made.save(1, state, {})
    found = made.restore(abstract_of(state))
    assert found is not None
    before = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(found.state)]
    step = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    after = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(step(found.state))]
    assert after == before


def test_parameters_come_back_without_saying_which(tmp_path: Path, told: list[str]) -> None:
    params = {**training_state()["params"], "none": {"x": np.zeros((0, 2), np.float32)}}
    Checkpoints(tmp_path, 1, told.append).save(4, params, {})
    found = Checkpoints(tmp_path, 1, told.append).restore(None)
    assert found is not None
    assert_equal(found.state, params)


def test_only_the_newest_are_kept(tmp_path: Path, told: list[str]) -> None:
    made = Checkpoints(tmp_path, 2, told.append)
    for step in range(4):
        made.save(step, {"a": jnp.float32(step)}, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2", "3"]
    assert told == []


def test_nothing_there(tmp_path: Path, told: list[str]) -> None:
    made = Checkpoints(tmp_path / "none", 1, told.append)
    assert made.restore({"a": jax.ShapeDtypeStruct((), jnp.float32)}) is None
    assert made.steps() == []
    assert told == []
    with pytest.raises(UserError, match="no checkpoint of step 4"):
        made.restore({}, step=4)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def flip_manifest(folder: Path) -> Path:
    """Changes a shape but stays valid JSON."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["leaves"]["params/head"]["shape"] = [5, 3]
    path.write_text(json.dumps(content))
    return path


def damage(kind: str, folder: Path) -> Path:
    """Damages one checkpoint and returns the file that must be named."""
    path = data_file(folder)
    if kind == "flipped byte":
        flip(path)
    elif kind == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif kind == "emptied":
        os.truncate(path, 0)
    elif kind == "deleted":
        path.unlink()
    elif kind == "details":
        path = folder / "details.json"
        flip(path)
    elif kind == "no manifest":
        path = folder / "manifest.json"
        path.unlink()
    elif kind == "half a manifest":
        path = folder / "manifest.json"
        os.truncate(path, 100)
    elif kind == "manifest":
        path = flip_manifest(folder)
    elif kind == "no state":
        shutil.rmtree(folder / "state")
        path = folder / "state"
    return path


KINDS = (
    "flipped byte",
    "truncated",
    "emptied",
    "deleted",
    "details",
    "no manifest",
    "half a manifest",
    "manifest",
    "no state",
)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_named_and_walked_back_over(
    made: Checkpoints, told: list[str], kind: str
) -> None:
    path = damage(kind, made.folder / "12")
    found = made.restore(abstract_of(training_state()))
    assert found is not None
    assert found.step == 5
    assert_equal(found.state, training_state(5))
    assert len(told) == 1
    assert str(path) in told[0]
    with pytest.raises(UserError, match="No sound checkpoint"):
        made.restore(abstract_of(training_state()), step=12)


def test_all_damaged_is_an_error_naming_all(made: Checkpoints) -> None:
    bad = [
        damage(kind, made.folder / str(step))
        for kind, step in zip(("flipped byte", "no manifest", "deleted"), STEPS, strict=True)
    ]
    with pytest.raises(UserError) as caught:
        made.restore(abstract_of(training_state()))
    assert all(str(path) in str(caught.value) for path in bad)


def test_a_walk_back_saves_over_the_damaged_ones(made: Checkpoints, told: list[str]) -> None:
    damage("flipped byte", made.folder / "12")
    assert made.restore(abstract_of(training_state())).step == 5  # type: ignore[union-attr]
    again = training_state(8)
    assert made.save(8, again, {})
    # 12 is from a future that did not happen: it must neither win nor push 8 out.
    assert made.steps() == [3, 5, 8]
    assert_equal(made.restore(abstract_of(again)).state, again)  # type: ignore[union-attr]


def test_damaged_ones_push_no_sound_one_out(made: Checkpoints) -> None:
    damage("flipped byte", made.folder / "12")
    made.restore(abstract_of(training_state()))
    made.save(14, training_state(), {})
    assert made.steps() == [3, 5, 14]


@pytest.mark.parametrize("kind", ["flipped byte", "no manifest"])
def test_the_damaged_step_is_saved_again(made: Checkpoints, told: list[str], kind: str) -> None:
    damage(kind, made.folder / "12")
    made.restore(abstract_of(training_state()))
    assert made.save(12, training_state(1), {})
    assert made.steps() == list(STEPS)
    assert_equal(made.restore(abstract_of(training_state())).state, training_state(1))  # type: ignore[union-attr]
    assert (made.folder / "12.aside").exists() == (kind == "no manifest")
    assert not (made.folder / "12.replaced").exists()


def test_foreign_folders_are_left_alone(made: Checkpoints, told: list[str]) -> None:
    (made.folder / "999").mkdir()
    (made.folder / "999" / "notes.txt").write_text("mine")
    (made.folder / "007").mkdir()
    (made.folder / "plots").mkdir()
    (made.folder / "13").write_text("a file")
    assert made.steps() == list(STEPS)
    assert made.restore(abstract_of(training_state())).step == 12  # type: ignore[union-attr]
    assert len(told) == 1
    assert str(made.folder / "999") in told[0]
    made.save(14, training_state(), {})
    names = {p.name for p in made.folder.iterdir()}
    assert names == {"999", "007", "plots", "13", "5", "12", "14"}
    assert (made.folder / "999" / "notes.txt").read_text() == "mine"


def test_leftovers_of_interrupted_saves_are_ignored_then_removed(made: Checkpoints) -> None:
    shutil.copytree(made.folder / "12", made.folder / "13.unfinished")
    (made.folder / "13.unfinished" / "manifest.json").unlink()
    assert made.restore(abstract_of(training_state())).step == 12  # type: ignore[union-attr]
    assert (made.folder / "13.unfinished").exists()  # a reader removes nothing
    made.save(14, training_state(), {})
    assert not (made.folder / "13.unfinished").exists()


def test_killed_between_the_two_renames(made: Checkpoints, told: list[str]) -> None:
    os.rename(made.folder / "12", made.folder / "12.replaced")
    assert made.steps() == list(STEPS)
    assert made.restore(abstract_of(training_state())).step == 12  # type: ignore[union-attr]
    made.save(14, training_state(), {})
    assert made.steps() == [5, 12, 14]
    assert told == []


KILLED = """
import os, sys
from pathlib import Path
import jax.numpy as jnp
from jaxdistill import checkpoint, manifest
made = checkpoint.Checkpoints(Path(sys.argv[1]), 2, print)
made.save(1, {"a": jnp.arange(3.0)}, {})
room, at = sys.argv[2].split(".")
room = {"checkpoint": checkpoint, "manifest": manifest}[room]
assert hasattr(room, at)
setattr(room, at, lambda *arguments: os.kill(os.getpid(), 9))
made.save(2, {"a": jnp.arange(3.0) + 1}, {})
"""

KILLED_AGAIN = """
import os, sys
from pathlib import Path
import jax.numpy as jnp
from jaxdistill.checkpoint import Checkpoints
made = Checkpoints(Path(sys.argv[1]), 1, print)
made.save(1, {"a": jnp.arange(3.0)}, {})
real = os.replace
def dies(source, target):
    if target == made.folder / "1":
        os.kill(os.getpid(), 9)
    real(source, target)
os.replace = dies
made.save(1, {"a": jnp.arange(3.0)}, {})
"""


@pytest.mark.parametrize(
    "at", ["manifest.write_json", "manifest._digest", "checkpoint.sync_folder"]
)
def test_sigkill_during_a_save(tmp_path: Path, told: list[str], at: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), at], timeout=60)
    assert done.returncode == -9
    found = Checkpoints(tmp_path, 2, told.append).restore(
        {"a": jax.ShapeDtypeStruct((3,), jnp.float32)}
    )
    assert found is not None
    # Whether or not the rename was reached, what is found is whole.
    expected = 2 if at == "checkpoint.sync_folder" else 1
    assert found.step == expected
    assert found.state["a"].tolist() == [expected - 1.0, expected, expected + 1.0]
    assert told == []


def test_sigkill_while_a_step_is_replaced(tmp_path: Path, told: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_AGAIN, str(tmp_path)], timeout=60)
    assert done.returncode == -9
    assert not (tmp_path / "1").exists()
    found = Checkpoints(tmp_path, 1, told.append).restore(None)
    assert found is not None
    assert found.state["a"].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s["params"].update(head=jnp.zeros((5, 3))),
            r"params/head: checkpoint float32\[5,2\], this run float32\[5,3\]",
        ),
        (
            lambda s: s["params"].update(head=jnp.zeros((5, 2), jnp.bfloat16)),
            r"params/head: checkpoint float32\[5,2\], this run bfloat16\[5,2\]",
        ),
        (
            lambda s: s.update(more=jnp.zeros(1)),
            r"more: checkpoint has none, this run float32\[1\]",
        ),
        (lambda s: s.pop("rng"), r"rng: checkpoint uint32\[2\], this run has none"),
        (
            lambda s: s.update({"no rows": np.zeros((0, 5), np.float32)}),
            r"no rows: checkpoint float32\[0,4\], this run float32\[0,5\]",
        ),
    ],
)
def test_another_model_is_not_damage(
    made: Checkpoints, told: list[str], change: Callable[[Any], None], message: str
) -> None:
    other = training_state()
    change(other)
    with pytest.raises(UserError, match=message):
        made.restore(abstract_of(other))
    assert told == []


def test_a_full_disk_is_told_and_the_old_ones_stay(
    tmp_path: Path, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    made = Checkpoints(tmp_path, 1, told.append)
    state = {"a": np.random.default_rng(0).normal(size=(300, 300)).astype(np.float32)}
    assert made.save(1, state, {})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))  # writing more fails
    try:
        saved = made.save(2, state, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved is False
    assert len(told) == 1
    assert "step 2 could not be written" in told[0]
    assert "File too large" in told[0]
    assert [p.name for p in tmp_path.iterdir()] == ["1"]
    assert caplog.records == []  # not the hundred lines that orbax prints
    assert made.save(3, state, {})
    assert made.steps() == [3]


def test_a_folder_that_cannot_be_made(tmp_path: Path, told: list[str]) -> None:
    (tmp_path / "file").write_text("")
    made = Checkpoints(tmp_path / "file" / "latest", 1, told.append)
    assert made.save(1, {"a": jnp.zeros(2)}, {}) is False
    assert "Not a directory" in told[0]


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        (3, "is a int, not an array"),
        (np.int64(3), "int64, which jax cannot hold"),
        (jax.eval_shape(lambda: jax.random.key(0)), "PRNG key"),
    ],
)
def test_leaves_that_would_not_come_back_are_refused(
    tmp_path: Path, told: list[str], leaf: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=f"'a/b'.*{message}"):
        Checkpoints(tmp_path, 1, told.append).save(1, {"a": {"b": leaf}}, {})
    with pytest.raises(TypeError, match="'a/b'"):
        Checkpoints(tmp_path, 1, told.append).save(
            1, {"a": {"b": jnp.zeros(1)}, "a/b": jnp.zeros(1)}, {}
        )


def test_another_format_version_is_not_damage(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Checkpoints(tmp_path, 1, told.append)
    monkeypatch.setattr(manifest, "VERSION", 2)
    made.save(1, {"a": jnp.zeros(2)}, {})
    monkeypatch.undo()
    with pytest.raises(UserError, match="version 2; this program reads version 1"):
        made.restore({"a": jax.ShapeDtypeStruct((2,), jnp.float32)})


FOUR_DEVICES = """
import sys
from pathlib import Path
import jax, jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxdistill.checkpoint import Checkpoints
mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
split = NamedSharding(mesh, PartitionSpec("data"))
whole = NamedSharding(mesh, PartitionSpec())
made = Checkpoints(Path(sys.argv[1]), 2, print)
if sys.argv[2] == "save":
    made.save(1, {"a": jax.device_put(jnp.arange(8.0), split),
                  "b": jax.device_put(jnp.arange(3), whole)}, {})
else:
    found = made.restore({"a": jax.ShapeDtypeStruct((8,), jnp.float32, sharding=split),
                          "b": jax.ShapeDtypeStruct((3,), jnp.int32, sharding=whole)})
    assert found.state["a"].sharding == split and found.state["b"].sharding == whole
    assert found.state["a"].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    double = jax.jit(lambda s: jax.tree.map(lambda x: x + x, s), donate_argnums=0)
    assert double(found.state)["b"].tolist() == [0, 2, 4]
"""


def test_four_devices_and_one(tmp_path: Path, told: list[str]) -> None:
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    environment["JAX_PLATFORMS"] = "cpu"

    def four(what: str) -> None:
        command = [sys.executable, "-W", "error::UserWarning", "-c", FOUR_DEVICES]
        subprocess.run([*command, str(tmp_path), what], env=environment, timeout=120, check=True)

    four("save")
    made = Checkpoints(tmp_path, 2, told.append)
    found = made.restore(
        {
            "a": jax.ShapeDtypeStruct((8,), jnp.float32),
            "b": jax.ShapeDtypeStruct((3,), jnp.int32),
        }
    )
    assert found is not None
    assert found.state["a"].tolist() == list(range(8))
    assert found.state["a"].sharding == jax.sharding.SingleDeviceSharding(jax.devices()[0])
    assert made.save(2, found.state, {})
    four("restore")
    assert told == []


def test_parameters_sha256_sees_every_bit_and_no_order() -> None:
    def params() -> dict[str, Any]:
        return {"b": {"x": jnp.arange(6.0).reshape(2, 3)}, "a": jnp.zeros(2, jnp.bfloat16)}

    one = parameters_sha256(params())
    assert one == parameters_sha256(dict(reversed(params().items())))
    assert one == parameters_sha256(jax.tree.map(np.asarray, params()))
    others = [
        {**params(), "a": jnp.zeros(2, jnp.float16)},
        {**params(), "a": -jnp.zeros(2, jnp.bfloat16)},
        {**params(), "b": {"x": jnp.arange(6.0).reshape(3, 2)}},
        {**params(), "b": {"y": jnp.arange(6.0).reshape(2, 3)}},
    ]
    assert len({one, *map(parameters_sha256, others)}) == 5
