import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdistill.chunks import CHUNK, chunk_size, next_chunk
from jaxdistill.data.batches import GROUP
from jaxdistill.gradients import gradient
from jaxdistill.sharding import make_mesh
from jaxdistill.step import make_steps, stack, start
from jaxdistill.types import Batch

ROWS = np.arange(4, dtype=np.int32)
IDS = np.ones((4, 3), np.int32)


def batch(labels, width=3):
    ids = np.ones((4, width), np.int32)
    return Batch(ROWS, ids, ids, ids > 0, np.asarray(labels, np.float32), np.ones(4, np.float32))


def loss(trained, frozen, batch, rng, progress):
    value = (trained["w"] * batch.labels.mean() - frozen["target"]) ** 2
    return value, {"fraction": progress.fraction, "draw": jax.random.uniform(rng)}


def machine(optimizer=None):
    optimizer = optimizer or optax.sgd(0.1)
    state = start({"w": np.float32(1.0)}, optimizer, make_mesh(), scaled=False)
    return (
        make_steps(gradient(loss), optimizer, 4, make_mesh()),
        state,
        {"target": jnp.float32(0.0)},
    )


def test_a_step_by_hand():
    run, state, frozen = machine()
    key = jax.random.key(0)
    state, metrics = run(state, frozen, stack([batch([1, 2, 3, 2])], 1), key, np.int32(1))
    # w = 1, x = 2: loss (wx)^2 = 4, gradient 2 w x^2 = 8, w <- 1 - 0.1 * 8
    seen = [metrics["loss"][0], metrics["gradient_norm"][0], state.params["w"]]
    np.testing.assert_allclose(seen, [4.0, 8.0, 0.2], rtol=1e-6)
    assert int(state.step) == 1
    assert not metrics["skipped"][0]


def test_a_step_without_finite_loss_changes_nothing_and_says_so():
    run, state, frozen = machine(optax.adam(0.1))
    before = jax.device_get(state)
    batches = stack([batch([1, np.nan, 3, 2]), batch([1, 1, 1, 1])], 2)
    state, metrics = run(state, frozen, batches, jax.random.key(0), np.int32(1))
    assert metrics["skipped"][0]
    assert float(state.params["w"]) == 1.0
    assert int(state.step) == 1
    assert jax.tree.all(jax.tree.map(np.array_equal, before.optimizer, state.optimizer))
    state, metrics = run(state, frozen, batches, jax.random.key(0), np.int32(2))  # the good one too
    assert metrics["skipped"].tolist() == [True, False]
    assert float(state.params["w"]) != 1.0


def test_progress_and_randomness_follow_the_step_and_not_the_process():
    run, state, frozen = machine()
    key = jax.random.key(7)
    same = stack([batch([1, 1, 1, 1])] * 2, 2)
    state, first = run(state, frozen, same, key, np.int32(2))
    state, second = run(state, frozen, same, key, np.int32(1))
    assert [*first["fraction"].tolist(), second["fraction"][0]] == [0.0, 0.25, 0.5]
    expected = [float(jax.random.uniform(jax.random.fold_in(key, s))) for s in range(3)]
    assert [*first["draw"].tolist(), float(second["draw"][0])] == expected


def test_how_steps_are_grouped_changes_no_bit_and_compiles_nothing():
    ends = []
    run, _, frozen = machine(optax.adamw(0.05))
    batches = [batch([x, 2, 3, 4]) for x in range(6)]
    for parts in ((6,), (1, 1, 1, 1, 1, 1), (4, 2), (1, 5)):
        _, state, _ = machine(optax.adamw(0.05))
        done = 0
        for count in parts:
            chunk = stack(batches[done : done + count], 6)
            state, _ = run(state, frozen, chunk, jax.random.key(7), np.int32(count))
            done += count
        ends.append(jax.device_get(state))
    for other in ends[1:]:
        assert jax.tree.all(jax.tree.map(np.array_equal, ends[0], other))
    assert run._cache_size() == 1


def test_chunks_by_rule():
    # 6 * 5.5e6 * 512 = 17 GFLOP, 56 ms at the CPU's rate: eight fit in 2 s
    assert chunk_size(5_500_000, 512, devices=1, backend="cpu") == 8
    # 6 * 85e6 * 4096 = 2.1 TFLOP, 7 s on a CPU, 21 ms on an accelerator
    assert chunk_size(85_000_000, 4096, devices=1, backend="cpu") == 1
    assert chunk_size(85_000_000, 4096, devices=1, backend="gpu") == 8
    # 6 * 15e6 * 1024 = 92 GFLOP, 0.307 s: six
    assert chunk_size(15_000_000, 1024, devices=1, backend="cpu") == 6
    assert chunk_size(0, 512, devices=1, backend="cpu") == CHUNK == GROUP


class Listed(list):
    def width(self, index):
        return self[index].input_ids.shape[1]


@pytest.mark.parametrize(
    ("index", "limit", "expected"),
    [(0, 8, 3), (1, 8, 2), (0, 2, 2), (3, 8, 1), (4, 8, 2), (5, 8, 1)],
)
def test_a_chunk_ends_with_its_width_its_limit_and_the_epoch(index, limit, expected):
    epoch = Listed(batch([1, 2, 3, 4], width) for width in (3, 3, 3, 5, 3, 3))
    found = next_chunk(epoch, index, limit)
    assert len(found) == expected
    assert found[0] is epoch[index]
