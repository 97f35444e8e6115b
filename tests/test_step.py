import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdistill.gradients import gradient
from jaxdistill.sharding import make_mesh
from jaxdistill.step import make_step, start
from jaxdistill.types import Batch

ROWS = np.arange(4, dtype=np.int32)
IDS = np.ones((4, 3), np.int32)


def batch(labels):
    return Batch(ROWS, IDS, IDS, IDS > 0, np.asarray(labels, np.float32), np.ones(4, np.float32))


def loss(trained, frozen, batch, rng, progress):
    value = (trained["w"] * batch.labels.mean() - frozen["target"]) ** 2
    return value, {"fraction": progress.fraction, "draw": jax.random.uniform(rng)}


def machine(rate=0.1):
    optimizer = optax.sgd(rate)
    state = start({"w": np.float32(1.0)}, optimizer, make_mesh())
    return make_step(gradient(loss), optimizer, 4), state, {"target": jnp.float32(0.0)}


def test_a_step_by_hand():
    step, state, frozen = machine()
    state, metrics = step(state, frozen, batch([1, 2, 3, 2]), jax.random.key(0))
    # w = 1, x = 2: loss (wx)^2 = 4, gradient 2 w x^2 = 8, w <- 1 - 0.1 * 8
    np.testing.assert_allclose(
        [metrics["loss"], metrics["gradient_norm"], state.params["w"]], [4.0, 8.0, 0.2], rtol=1e-6
    )
    assert int(state.step) == 1
    assert not metrics["skipped"]


def test_a_step_without_finite_loss_changes_nothing_and_says_so():
    step, state, frozen = machine()
    state, metrics = step(state, frozen, batch([1, np.nan, 3, 2]), jax.random.key(0))
    assert metrics["skipped"]
    assert float(state.params["w"]) == 1.0
    assert int(state.step) == 1


def test_progress_and_randomness_follow_the_step_and_not_the_process():
    step, state, frozen = machine(rate=0.0)
    seen = []
    for _ in range(3):
        state, metrics = step(state, frozen, batch([1, 1, 1, 1]), jax.random.key(7))
        seen.append((float(metrics["fraction"]), float(metrics["draw"])))
    assert [f for f, _ in seen] == [0.0, 0.25, 0.5]
    expected = [
        float(jax.random.uniform(jax.random.fold_in(jax.random.key(7), s))) for s in range(3)
    ]
    assert [d for _, d in seen] == expected


def test_a_step_compiles_once():
    step, state, frozen = machine()
    for _ in range(3):
        state, _ = step(state, frozen, batch([1, 1, 1, 1]), jax.random.key(7))
    assert step._cache_size() == 1
