"""BERT-of-Theseus: which model a coin makes, what moves, the curriculum, and coins on 4 devices."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from test_tinybert import tiny_batch

from jaxdistill import recipes
from jaxdistill.errors import UserError
from jaxdistill.methods.finetune import Finetune
from jaxdistill.methods.theseus import Theseus, mixed_logits
from jaxdistill.models.bert import Bert, initial_params
from jaxdistill.optimizer import make_optimizer
from jaxdistill.planning import check_steps
from jaxdistill.trees import flatten, merge, partition, unflatten
from jaxdistill.types import Progress, StagePlan

QUIET = {"dropout": 0.0, "attention_dropout": 0.0, "head_dropout": 0.0}
SHAPE = dataclasses.replace(tiny.SHAPE, layers=4, initial_std=0.3)
BATCH = jax.tree.map(jnp.array, tiny_batch())
FINETUNE = Finetune()


def at(step=0, key=0):
    return Progress(jnp.int32(step), jnp.float32(0), jax.random.key(key))


def theseus(**fields):
    return Theseus(**{"rate": 0.5, "slope": 0.0, "predecessor_dropout": False, **fields})


def models(layers=2, **fields):
    """A successor and its predecessor of twice the layers, and a student's and a teacher's params.

    fields: of the successor's shape alone.
    """
    shape = dataclasses.replace(SHAPE, layers=2 * layers)
    own = dataclasses.replace(shape, layers=layers, **fields)
    student, teacher = (Bert(s, unroll=False) for s in (own, shape))  # quicker to compile
    theirs = initial_params(teacher, jax.random.key(1))
    other = initial_params(student, jax.random.key(2))["layers"]
    return student, teacher, {"student": {**theirs, "layers": other}}, {"teacher": theirs}


def finetune_loss(model, params, rng):
    (stage,) = FINETUNE.stages(model, None)
    return stage.loss({"student": params}, {}, BATCH, rng, at())[0]


def replace_loss(which, student, teacher):
    return jax.jit(which.stages(student, teacher)[0].loss)


def test_a_rate_that_never_reaches_1_is_refused():
    rising = theseus(rate=0.3, slope=7e-3)  # 1 at step 100
    rising.check_steps(101)
    with pytest.raises(UserError, match=r"reaches 1 at step 100, and the stage replace has 99"):
        rising.check_steps(99)
    between = theseus(rate=0.3, slope=0.7 / 99.5)  # step 99, the last of 100, has 0.996
    between.check_steps(101)
    with pytest.raises(UserError, match=r"reaches 1 at step 100, and the stage replace has 100"):
        between.check_steps(100)
    theseus().check_steps(1)  # a constant rate has a second stage
    plan = recipes.plan(epochs=3, learning_rate=1e-3, batch_size=8)
    plans = {"replace": StagePlan(**plan.to_dict())}
    asked = []
    check_steps(rising, plans, lambda stage: asked.append(stage) or 265)  # 34 batches an epoch
    assert asked == ["replace"]
    with pytest.raises(UserError, match="the stage replace has 99"):
        check_steps(rising, plans, lambda stage: 264)


def test_rate_0_is_the_predecessor_and_rate_1_the_successor():
    """To the bit, operation by operation: compiled whole, XLA fuses sums with what is around.

    The predecessor, whose shape has dropout, does without.
    """
    student, teacher, params, frozen = models(layers=1, **QUIET)
    key = jax.random.key(0)
    stage = theseus(rate=0.0, slope=1e-3).stages(student, teacher)[0]
    quiet = teacher.clone(shape=dataclasses.replace(teacher.shape, **QUIET))
    for step, model, whole in (
        (0, quiet, frozen["teacher"]),
        (1000, student, params["student"]),
    ):
        progress = at(step)
        with jax.disable_jit():
            loss, metrics = stage.loss(params, frozen, BATCH, key, progress)
            expected = finetune_loss(model, whole, key)
        assert metrics["rate"] == metrics["replaced"] == step / 1000
        assert loss == expected


def test_the_successor_drops_out_as_in_fine_tuning():
    student, teacher, params, frozen = models(layers=1)
    f = replace_loss(theseus(rate=1.0), student, teacher)
    whole = jax.jit(lambda key: finetune_loss(student, params["student"], key))
    losses = []
    for key in map(jax.random.key, range(2)):
        losses.append(f(params, frozen, BATCH, key, at())[0])
        expected = whole(key)
        np.testing.assert_allclose(losses[-1], expected, rtol=1e-6)
    assert losses[0] != losses[1]


def test_the_predecessor_drops_out_where_asked():
    student, teacher, params, frozen = models(layers=1, **QUIET)
    f = replace_loss(theseus(rate=0.0, slope=1.0, predecessor_dropout=True), student, teacher)
    losses = {float(f(params, frozen, BATCH, jax.random.key(k), at())[0]) for k in range(3)}
    assert len(losses) == 3


@pytest.mark.parametrize(("precision", "near"), [("float32", 1e-6), ("bfloat16", 2e-3)])
def test_a_mixture_is_the_model_with_those_layers(precision, near):
    """Coins (1, 0): the successor's first layer, then the predecessor's third and fourth."""
    student, teacher, params, frozen = models(**QUIET)
    student, teacher = (m.clone(precision=precision) for m in (student, teacher))
    both = {**params, **frozen}
    f = jax.jit(
        lambda coins: mixed_logits(student, teacher, both, BATCH, coins, jax.random.key(0), False)
    )
    ours, theirs = params["student"], frozen["teacher"]
    three = teacher.clone(shape=dataclasses.replace(teacher.shape, layers=3))
    for coins, parts in (
        ((True, False), ((ours, slice(0, 1)), (theirs, slice(2, 4)))),
        ((False, True), ((theirs, slice(0, 2)), (ours, slice(1, 2)))),
    ):
        first, second = (jax.tree.map(lambda x, r=r: x[r], p["layers"]) for p, r in parts)
        layers = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)
        expected = three.apply({"params": {**theirs, "layers": layers}}, BATCH).logits
        np.testing.assert_allclose(f(jnp.array(coins)), expected, rtol=1e-5, atol=near)


@pytest.mark.parametrize("predecessor_dropout", [False, True])
def test_what_a_module_drops_out_does_not_depend_on_another_modules_coin(predecessor_dropout):
    """Where all that module 0 computes is the sum with 0, of either model, its coin is nothing."""
    student, teacher, params, frozen = models(layers=2)
    both = {"student": _passing(params["student"], 1), "teacher": _passing(frozen["teacher"], 2)}
    f = jax.jit(
        lambda coins, rng: mixed_logits(
            student, teacher, both, BATCH, coins, rng, predecessor_dropout
        )
    )
    for second in (False, True):
        said = []
        for key in map(jax.random.key, range(2)):
            theirs, ours = (f(jnp.array([first, second]), key) for first in (False, True))
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
            said.append(ours)
        assert np.abs(said[0] - said[1]).max() > 1e-2


def _passing(params, count: int):
    """Parameters whose first so many layers pass on what they are given, normalised."""

    def silent(path: str, leaf):
        if not path.startswith("layers/"):
            return leaf
        leaf = np.array(leaf)
        leaf[:count] = 1.0 if path.endswith("scale") else 0.0
        return leaf

    return unflatten({path: silent(path, leaf) for path, leaf in flatten(params).items()})


@pytest.fixture(scope="module")
def drawn():
    """(loss, share of modules replaced) for 200 keys, at rate 0.75."""
    student, teacher, params, frozen = models(**QUIET)
    f = replace_loss(theseus(rate=0.75), student, teacher)
    seen = (f(params, frozen, BATCH, jax.random.key(0), at(key=k)) for k in range(200))
    return [(float(loss), float(metrics["replaced"])) for loss, metrics in seen]


def test_coins_fall_for_each_module_and_batch_and_as_often_as_the_rate_says(drawn):
    assert len({round(loss, 5) for loss, _ in drawn}) == 4  # each module for itself, once a batch
    assert np.mean([share for _, share in drawn]) == pytest.approx(0.75, abs=0.08)  # 3.7 errors


def test_only_the_branch_that_was_drawn_is_computed():
    student, teacher, params, frozen = models(**QUIET)
    text = replace_loss(theseus(), student, teacher).lower(
        params, frozen, BATCH, jax.random.key(0), at()
    ).as_text()  # fmt: skip
    assert text.count("stablehlo.case") == 2


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.3), (500, 0.6), (1166, 0.9996), (1167, 1.0), (9999, 1.0)]
)
def test_the_curriculum_by_hand(step, rate):
    assert theseus(rate=0.3, slope=6e-4).rate_at(jnp.int32(step)) == pytest.approx(rate, rel=1e-6)


def test_only_the_successors_layers_move_and_the_rest_keeps_every_bit():
    student, teacher, params, frozen = models(layers=1)
    replace, successor = theseus().stages(student, teacher)
    assert (replace.name, replace.keep, replace.needs) == ("replace", "best", ("hiddens",))
    assert (successor.name, successor.keep, successor.needs) == ("successor", "best", ())
    assert successor.trains is replace.trains
    trained, still = partition(params, replace.trains)
    plan = StagePlan(**recipes.plan(epochs=1, learning_rate=1e-2, weight_decay=0.1).to_dict())
    optimizer = make_optimizer(plan, 50)
    gradient = jax.value_and_grad(replace.loss, has_aux=True)

    @jax.jit
    def fifty(trained, others):
        def step(i, carry):
            trained, state = carry
            rng = jax.random.fold_in(jax.random.key(0), i)
            _, grads = gradient(trained, others, BATCH, rng, at()._replace(key=rng))
            updates, state = optimizer.update(grads, state, trained)
            return optax.apply_updates(trained, updates), state

        return jax.lax.fori_loop(0, 50, step, (trained, optimizer.init(trained)))[0]

    after = flatten(merge(jax.device_get(fifty(trained, merge(still, frozen))), still))
    for path, leaf in flatten(params).items():
        same = np.array_equal(leaf, after[path])
        assert same == (not path.startswith("student/layers/")), path


def test_a_curriculum_is_one_stage():
    student, teacher, _, _ = models()
    assert [s.name for s in theseus(rate=0.3, slope=1e-3).stages(student, teacher)] == ["replace"]


@pytest.mark.parametrize(
    ("fields", "shape", "said"),
    [
        ({}, {"layers": 3}, "3 layers and the teacher 4.*one of 1, 2"),
        ({}, {"inner": 64}, "teacher have inner 64 and 32.*source=teacher"),
        ({"rate": 1.5}, {}, "rate is 1.5"),
        ({"slope": -0.1}, {}, "slope -0.1"),
        ({"rate": 0.0}, {}, "rate is 0 and never rises"),
    ],
)
def test_what_cannot_be_is_refused(fields, shape, said):
    teacher = Bert(SHAPE)
    student = Bert(dataclasses.replace(SHAPE, **{"layers": 2, **shape}))
    with pytest.raises(UserError, match=said):
        theseus(**fields).stages(student, teacher)


FOUR = """
import json, sys, jax, numpy as np, test_theseus as t
from jaxdistill.sharding import make_mesh, place, split
student, teacher, params, frozen = t.models(**t.QUIET)
f = t.replace_loss(t.theseus(rate=0.75), student, teacher)
mesh = make_mesh()
assert mesh.shape["data"] == 4
params, frozen, batch = *place((params, frozen), mesh), split(t.BATCH, mesh)
for k, (loss, share) in enumerate(json.loads(sys.argv[1])):
    found, metrics = f(params, frozen, batch, jax.random.key(0), t.at(key=k))
    assert metrics["replaced"] == share
    np.testing.assert_allclose(found, loss, rtol=1e-5)
"""


def test_the_same_coins_on_1_and_4_devices(drawn):
    assert len({share for _, share in drawn[:20]}) == 3
    here = os.path.dirname(__file__)
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "PYTHONPATH": os.pathsep.join([here, os.path.dirname(here)]),
    }
    words = [sys.executable, "-c", FOUR, json.dumps(drawn[:20])]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
