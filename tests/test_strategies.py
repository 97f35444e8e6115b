"""Accumulation, FGM, PGD and loss scaling on a model small enough to work out by hand."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_optimizer import PLAN

from jaxdistill.adversary import SHIFT, TABLE, adversarial
from jaxdistill.errors import UserError
from jaxdistill.gradients import accumulate, gradient, ledger_entry, term_norms
from jaxdistill.losses import weighted_mean
from jaxdistill.models.bert import Bert, BertShape, initial_params
from jaxdistill.planning import make_stages
from jaxdistill.sharding import make_mesh
from jaxdistill.step import FIRST_SCALE, GROWS_AFTER, LossScale, _rescale, make_steps, stack, start
from jaxdistill.strategies import make_gradient
from jaxdistill.types import Batch, Progress, Stage

NOW = Progress(jnp.int32(0), jnp.float32(0), jax.random.key(1))
KEY = jax.random.key(0)
TABLE_AT_FIRST = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]], np.float32)


def trained(table=TABLE_AT_FIRST):
    return {"student": {"embeddings": {"word": {"embedding": jnp.asarray(table)}}}}


def rows(ids, labels, weight=None):
    ids = np.asarray(ids, np.int32)
    count = len(ids)
    weight = np.ones(count) if weight is None else weight
    return Batch(
        np.arange(count, dtype=np.int32),
        ids,
        np.zeros_like(ids),
        np.ones_like(ids, bool),
        np.asarray(labels, np.float32),
        np.asarray(weight, np.float32),
    )


def loss(trained, frozen, batch, rng, progress):
    """Per row: (the sum of its embeddings' products with (1, 2), minus the label) squared."""
    embeddings = trained["student"]["embeddings"] if trained else frozen["student"]["embeddings"]
    table = embeddings["word"]["embedding"] if "word" in embeddings else frozen["word"]
    x = table[batch.input_ids]
    if "shift" in embeddings:
        x = x + embeddings["shift"]
    seen = (x * jnp.array([[[1.0, 2.0]]])).sum((1, 2))
    value = weighted_mean(jnp.square(seen - batch.labels), batch.weight)
    return value, {"half": value / 2}


BATCH = rows([[0, 1], [2, 2], [1, 2], [0, 0]], [1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize("weight", [None, [1, 1, 1, 0], [1, 0, 0, 0]])
@pytest.mark.parametrize("parts", [2, 4])
def test_accumulation_is_the_large_batch_ragged_or_not(weight, parts):
    batch = rows(BATCH.input_ids, BATCH.labels, weight)
    whole = gradient(loss)(trained(), {}, batch, KEY, NOW)
    found = accumulate(gradient(loss), parts)(trained(), {}, batch, KEY, NOW)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), whole, found)


def test_accumulation_gives_row_r_to_part_r_modulo_n():
    seen = []

    def spy(trained, frozen, batch, rng, progress):
        jax.debug.callback(lambda r: seen.append(r.tolist()), batch.row, ordered=True)
        return gradient(loss)(trained, frozen, batch, rng, progress)

    jax.block_until_ready(accumulate(spy, 2)(trained(), {}, BATCH, KEY, NOW))
    assert seen == [[0, 2], [1, 3]]


@pytest.mark.parametrize(
    "changes", [{}, {"adversary": "fgm"}, {"adversary": "fgm", "attack_scope": "tokens"}]
)
def test_a_plan_accumulates(changes):
    """A batch has the same gradient in one part; that it is computed in two is seen here."""
    seen = set()

    def spy(trained, frozen, batch, rng, progress):
        seen.add(batch.input_ids.shape[0])
        return loss(trained, frozen, batch, rng, progress)

    stage = Stage("s", spy, lambda path: True, "best")
    plan = dataclasses.replace(PLAN, accumulate=2, **changes)
    make_gradient(stage, plan)(trained(), {}, BATCH, KEY, NOW)
    assert seen == {2}


def test_fgm_on_the_table_by_hand():
    attacked = adversarial(gradient(loss), scope="table", radius=1.0, step=1.0, steps=1)
    batch = rows([[0]], [1.0])
    (value, metrics), grads = attacked(trained(), {}, batch, KEY, NOW)
    # seen = 1 + 4 = 5, loss (5 - 1)^2 = 16, gradient 8 (1, 2), unit (1, 2) / sqrt 5: one move adds
    # sqrt 5 to what is seen; there loss (4 + sqrt 5)^2 and gradient 2 (4 + sqrt 5) (1, 2)
    root = np.sqrt(5)
    assert float(value) == pytest.approx(16)
    assert float(metrics["adversarial_loss"]) == pytest.approx((4 + root) ** 2, rel=1e-6)
    assert float(metrics["perturbation"]) == pytest.approx(1, rel=1e-6)
    expected = np.zeros((3, 2))
    expected[0] = (8 + 2 * (4 + root)) * np.array([1, 2])
    found = grads["student"]["embeddings"]["word"]["embedding"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_pgd_stays_within_its_radius_and_differs_from_fgm():
    def run(**how):
        return adversarial(gradient(loss), scope="table", **how)(trained(), {}, BATCH, KEY, NOW)

    fgm = run(radius=1.0, step=1.0, steps=1)
    pgd = run(radius=1.0, step=0.3, steps=3)
    bound = run(radius=0.5, step=0.3, steps=3)
    assert 0.3 < float(pgd[0][1]["perturbation"]) <= 0.9 + 1e-6
    assert float(bound[0][1]["perturbation"]) == pytest.approx(0.5, rel=1e-5)
    clean = gradient(loss)(trained(), {}, BATCH, KEY, NOW)[1]
    tables = [
        np.asarray(grads["student"]["embeddings"]["word"]["embedding"])
        for grads in (clean, fgm[1], pgd[1], bound[1])
    ]
    for i, one in enumerate(tables):
        assert all(np.abs(one - other).max() > 1e-3 for other in tables[:i])
    losses = [float(out[0][1]["adversarial_loss"]) for out in (fgm, pgd, bound)]
    assert min(losses) > float(fgm[0][0])  # each of them hurts


def test_tokens_are_attacked_example_by_example():
    attacked = adversarial(gradient(loss), scope="tokens", radius=1.0, step=1.0, steps=1)
    (_, metrics), grads = attacked(trained(), {}, BATCH, KEY, NOW)
    (_, alone), _ = attacked(trained(), {}, rows([[2, 2]], [2.0]), KEY, NOW)
    assert "shift" not in grads["student"]["embeddings"]
    assert float(metrics["perturbation"]) == pytest.approx(1, rel=1e-6)
    # Row 1 alone: seen 3, loss 1; the unit over both tokens has length 1 and direction (1, 2) each:
    # what is seen moves by sqrt(10).
    assert float(alone["adversarial_loss"]) == pytest.approx((1 + np.sqrt(10)) ** 2, rel=1e-5)
    whole = attacked(trained(), {}, BATCH, KEY, NOW)
    parts = accumulate(attacked, 2)(trained(), {}, BATCH, KEY, NOW)  # each row's own: nothing new
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), whole, parts)


def test_rows_that_only_fill_up_are_not_attacked():
    attacked = adversarial(gradient(loss), scope="tokens", radius=1.0, step=1.0, steps=1)
    some = attacked(trained(), {}, rows([[0], [1]], [1.0, 2.0], [1, 0]), KEY, NOW)
    one = attacked(trained(), {}, rows([[0]], [1.0]), KEY, NOW)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), some, one)


def bert():
    shape = BertShape(vocab=20, width=8, layers=2, heads=2, inner=16, classes=2, positions=8)
    shape = dataclasses.replace(shape, dropout=0.0, attention_dropout=0.0, head_dropout=0.0)
    model = Bert(shape, unroll=False)
    params = jax.jit(lambda k: initial_params(model, k))(KEY)
    return model, params


def test_frozen_embeddings_are_attacked_where_they_are_looked_up():
    model, params = bert()

    def loss(trained, frozen, batch, rng, progress):
        student = {**params, **trained["student"]}
        if "embeddings" in trained["student"]:
            student["embeddings"] = {**params["embeddings"], **trained["student"]["embeddings"]}
        logits = model.apply({"params": student}, batch).logits
        return weighted_mean(jnp.square(logits).sum(-1), batch.weight), {}

    stage = Stage("s", loss, lambda path: path.startswith("student/layers/"), "best")
    plan = dataclasses.replace(PLAN, adversary="fgm", attack_radius=0.1)
    inputs = ({"student": {"layers": params["layers"]}}, {"student": params})
    batch = rows([[1, 2, 3], [4, 5, 6]], [0, 1])
    attack = jax.jit(make_gradient(stage, plan))

    def merged(trained, frozen):  # what the attack needs to know of the frozen table
        return trained, {"student": {"embeddings": frozen["student"]["embeddings"]}}

    (value, metrics), grads = attack(*merged(*inputs), batch, KEY, NOW)
    assert set(grads["student"]) == {"layers"}
    assert float(metrics["perturbation"]) == pytest.approx(0.1, rel=1e-5)
    assert float(metrics["adversarial_loss"]) > float(value)


def test_the_model_adds_the_shift_to_what_it_looks_up():
    model, params = bert()
    batch = rows([[1, 2, 3]], [0])
    row = (
        params["embeddings"]["word"]["embedding"][7] - params["embeddings"]["word"]["embedding"][2]
    )
    shift = jnp.zeros((1, 3, 8)).at[0, 1].set(row)
    assert SHIFT.removeprefix("student/") == "embeddings/shift"
    assert TABLE.removeprefix("student/") == "embeddings/word/embedding"
    shifted = {**params, "embeddings": {**params["embeddings"], "shift": shift}}
    found = model.apply({"params": shifted}, batch).logits
    expected = model.apply({"params": params}, rows([[1, 7, 3]], [0])).logits
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "outside"),
    [({"attack_scope": "table"}, "table"), ({"attack_scope": "tokens"}, "tokens")],
)
def test_a_plan_gives_what_it_names(changes, outside):
    plan = dataclasses.replace(PLAN, adversary="pgd", accumulate=2, **changes)
    stage = Stage("s", loss, lambda path: True, "best")
    found = make_gradient(stage, plan)(trained(), {}, BATCH, KEY, NOW)
    attack = {"scope": outside, "radius": 1.0, "step": 0.3, "steps": 3}
    expected = adversarial(gradient(loss), **attack)(trained(), {}, BATCH, KEY, NOW)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected)


def test_a_scaled_loss_has_the_same_gradient():
    plain = gradient(loss)(trained(), {}, BATCH, KEY, NOW)
    scaled = gradient(loss)(trained(), {}, BATCH, KEY, NOW._replace(scale=jnp.float32(1024.0)))
    jax.tree.map(np.testing.assert_array_equal, plain, scaled)  # a power of two loses nothing


def test_the_loss_scale_halves_doubles_and_skips():
    scale = LossScale(jnp.float32(8.0), jnp.int32(GROWS_AFTER - 2))
    seen = []
    for finite in (True, True, True, False):
        scale = _rescale(scale, jnp.bool_(finite))
        seen.append((float(scale.value), int(scale.good)))
    assert seen == [(8.0, GROWS_AFTER - 1), (16.0, 0), (16.0, 1), (8.0, 0)]

    def overflows(trained, frozen, batch, rng, progress):  # float16 ends at 65504
        return (trained["w"] * 2.0) ** 2, {}

    def narrow(*inputs):
        (value, metrics), grads = gradient(overflows)(*inputs)
        flowed = jax.tree.map(lambda g: (g * inputs[-1].scale).astype(jnp.float16), grads)
        back = jax.tree.map(lambda g: g.astype(jnp.float32) / inputs[-1].scale, flowed)
        return (value, metrics), back

    optimizer = optax.sgd(0.01)
    state = start({"w": np.float32(1.0)}, optimizer, make_mesh(), scaled=True)
    run = make_steps(narrow, optimizer, 10, make_mesh())
    state, metrics = run(state, {}, stack([rows([[0]], [0.0])] * 5, 5), KEY, np.int32(5))
    # gradient 8: 8 * 2^16, 2^15, 2^14 and 2^13 overflow, 8 * 2^12 = 32768 does not
    assert metrics["skipped"].tolist() == [True, True, True, True, False]
    assert metrics["loss_scale"].tolist() == [FIRST_SCALE / 2**n for n in range(5)]
    assert float(state.params["w"]) == pytest.approx(1 - 0.01 * 8)


def test_the_ledger_has_each_terms_gradient():
    def terms(trained, frozen, batch, rng, progress):
        w = trained["w"]
        return 3 * w[0] + 4 * w[1] ** 2, {"a": 3 * w[0], "b": 4 * w[1] ** 2, "flat": jnp.ones([])}

    found = term_norms(terms, 1)({"w": jnp.array([1.0, 2.0])}, {}, BATCH, KEY, NOW)
    assert {name: tuple(map(float, pair)) for name, pair in found.items()} == {
        "a": (3.0, 3.0),
        "b": (16.0, 16.0),
        "flat": (1.0, 0.0),
    }


def test_an_entry_of_the_ledger_by_hand():
    wanted = {"a": 2.0, "b": 5.0, "a_norm": 1.0, "b_norm": 3.0, "a_share": 0.25, "b_share": 0.75}
    assert ledger_entry({"a": (2.0, 1.0), "b": (5.0, 3.0)}) == wanted
    assert ledger_entry({"a": (2.0, 0.0)}) == {"a": 2.0, "a_norm": 0.0}
    for overflown in (np.inf, np.nan):
        assert ledger_entry({"a": (2.0, overflown), "b": (5.0, 3.0)}) == {}


def test_the_ledger_of_microbatches_is_that_of_the_whole_batch():
    batch = rows([[0, 1], [2, 2], [1, 2], [0, 0]], [1.0, 2.0, 3.0, 4.0], weight=[1, 1, 1, 0])
    whole, parts = (term_norms(loss, n)(trained(), {}, batch, KEY, NOW)["half"] for n in (1, 2))
    np.testing.assert_allclose(parts, whole, rtol=1e-6)
    microbatch = term_norms(loss, 1)(trained(), {}, jax.tree.map(lambda a: a[::2], batch), KEY, NOW)
    assert abs(microbatch["half"][1] / whole[1] - 1) > 0.1


def test_the_ledger_is_scaled_as_float16_training_is():
    def tiny(trained, frozen, batch, rng, progress):
        value = 1e-9 * as_half(trained["w"])
        return value, {"tiny": value}

    at = ({"w": jnp.float32(1.0)}, {}, BATCH, KEY)
    assert term_norms(tiny, 1)(*at, NOW)["tiny"][1] == 0  # what float16 makes of 1e-9
    norm = term_norms(tiny, 1)(*at, NOW._replace(scale=jnp.float32(2.0**16)))["tiny"][1]
    assert float(norm) == pytest.approx(1e-9, rel=1e-2)


@jax.custom_vjp
def as_half(x):
    """x, its gradient rounded to float16 on the way back."""
    return x


as_half.defvjp(lambda x: (x, None), lambda _, g: (g.astype(jnp.float16).astype(jnp.float32),))


def test_a_loss_that_couples_rows_is_not_accumulated():
    stage = Stage("near", loss, lambda path: True, "last", couples=True)
    method = SimpleNamespace(stages=lambda student, teacher: (stage,))
    begun = SimpleNamespace(
        shape=BertShape(vocab=5, width=4, layers=1, heads=1, inner=4, classes=2)
    )

    def planned(parts):
        plans = {"near": dataclasses.replace(PLAN, accumulate=parts)}
        return make_stages(method, plans, begun, None, lambda wanted: wanted)

    assert planned(1)[0].stage == stage
    with pytest.raises(UserError, match="config.stages.near.accumulate is 2, and that stage's"):
        planned(2)
