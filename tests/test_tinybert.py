"""TinyBERT's losses by hand and against PyTorch, its layer maps, and what its stages move."""

from __future__ import annotations

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from jaxdistill.errors import UserError
from jaxdistill.losses import hidden_mse, score_mse, soft_cross_entropy
from jaxdistill.methods.layers import explicit_map, pick_layers, uniform_map
from jaxdistill.methods.tinybert import TinyBert, intermediate_terms
from jaxdistill.models.bert import Bert, initial_params
from jaxdistill.types import Batch, Outputs, Progress

RNG = np.random.default_rng(0)
PROGRESS = Progress(jnp.int32(0), jnp.float32(0))
METHOD = TinyBert(
    stages_run=("intermediate", "prediction"),
    layer_map=(),
    projection="shared",
    temperature=1.0,
    soft_weight=1.0,
)


def random(*size):
    return RNG.normal(size=size).astype(np.float32)


def mask_of(*lengths, width=5):
    return np.arange(width)[None] < np.array(lengths)[:, None]


# ---- layer maps, from 1, by hand


@pytest.mark.parametrize(
    ("teacher", "student", "expected"),
    [(12, 4, (0, 3, 6, 9, 12)), (12, 6, (0, 2, 4, 6, 8, 10, 12)), (6, 3, (0, 2, 4, 6))],
)
def test_the_uniform_map(teacher, student, expected):
    assert uniform_map(teacher, student, "key") == expected


def test_layers_that_do_not_divide_are_refused_with_an_example():
    with pytest.raises(UserError, match=r"5 layers and the teacher 12.*layer_map.*3,5,8,10,12"):
        uniform_map(12, 5, "config.method.layer_map")


def test_the_explicit_map_names_both_sides():
    assert explicit_map((1, 5, 12), 12, 3, "key") == (0, 1, 5, 12)
    with pytest.raises(UserError, match="has 3 entries but the student has 4 layers"):
        explicit_map((3, 6, 9), 12, 4, "config.method.layer_map")
    with pytest.raises(UserError, match="layer 13, and the teacher's layers are 1 to 12"):
        explicit_map((3, 13), 12, 2, "key")


@pytest.mark.parametrize(
    ("pick", "count", "expected"),
    [
        ("first", 3, (1, 2, 3)),
        ("last", 3, (10, 11, 12)),
        ("skip", 3, (4, 8, 12)),
        ("skip", 6, (2, 4, 6, 8, 10, 12)),
        ("3,7,11", 3, (3, 7, 11)),
    ],
)
def test_which_layers_a_student_starts_from(pick, count, expected):
    assert pick_layers(pick, 12, count, "config.student") == expected


@pytest.mark.parametrize("pick", ["middle", "1,2,", ""])
def test_a_pick_that_is_none_is_refused(pick):
    with pytest.raises(UserError, match="first, skip, last, or numbers"):
        pick_layers(pick, 12, 3, "config.student")


# ---- losses


def test_soft_cross_entropy_by_hand():
    teacher = jnp.log(jnp.array([[0.25, 0.75]]))
    student = jnp.log(jnp.array([[0.5, 0.5]]))
    np.testing.assert_allclose(soft_cross_entropy(student, teacher, 1.0), [np.log(2)], rtol=1e-6)
    # temperature 2 on both sides: roots of the probabilities, normalised
    p = np.sqrt([0.25, 0.75]) / np.sqrt([0.25, 0.75]).sum()
    q = np.sqrt([0.9, 0.1]) / np.sqrt([0.9, 0.1]).sum()
    loss = soft_cross_entropy(jnp.log(jnp.array([[0.9, 0.1]])), teacher, 2.0)
    np.testing.assert_allclose(loss, [-(p * np.log(q)).sum()], rtol=1e-6)


def test_a_class_of_probability_0_adds_nothing():
    loss = soft_cross_entropy(jnp.zeros((1, 2)), jnp.array([[0.0, -1e30]]), 1.0)
    np.testing.assert_allclose(loss, [np.log(2)], rtol=1e-6)


def test_hidden_mse_by_hand():
    student = jnp.array([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    teacher = jnp.zeros((1, 3, 2))
    loss = hidden_mse(student, teacher, jnp.array([[True, True, False]]))
    np.testing.assert_allclose(loss, [(1 + 4 + 9 + 16) / 4])


def test_score_mse_by_hand():
    """Two heads, three tokens of which the last is padding: four pairs a head count."""
    student = jnp.arange(18.0).reshape(1, 2, 3, 3)
    loss = score_mse(student, jnp.zeros((1, 2, 3, 3)), jnp.array([[True, True, False]]))
    kept = np.array([0, 1, 3, 4, 9, 10, 12, 13.0])
    np.testing.assert_allclose(loss, [(kept**2).mean()])


def test_what_stands_on_padding_changes_neither_loss_nor_gradient():
    mask = jnp.array(mask_of(3, 5))
    for loss, size in ((hidden_mse, (2, 5, 4)), (score_mse, (2, 3, 5, 5))):
        ours, theirs = random(*size), random(*size)
        spoilt = ours.copy()
        spoilt[0, ..., 3:, :] = 1e9
        if loss is score_mse:
            spoilt[0, ..., 3:] = -1e9
        f = jax.value_and_grad(lambda x, of=loss, t=theirs: of(x, t, mask).sum())
        clean, spoiled = f(jnp.array(ours)), f(jnp.array(spoilt))
        np.testing.assert_allclose(clean[0], spoiled[0], rtol=1e-6)
        np.testing.assert_allclose(clean[1][1], spoiled[1][1], rtol=1e-6)


def torch_terms(torch, kernel, bias, ours, theirs, mask, layer_map):
    """Written independently, from the paper: loops over examples and takes out their tokens."""
    total = {"embedding": 0.0, "hidden": 0.0, "attention": 0.0}
    count = mask.shape[0]
    for b in range(count):
        n = int(mask[b].sum())
        for m, g in enumerate(layer_map):
            seen = ours["hiddens"][m][b, :n] @ kernel + bias
            error = torch.nn.functional.mse_loss(seen, theirs["hiddens"][g][b, :n])
            name = "hidden" if m else "embedding"
            total[name] = total[name] + error / count
            if m:
                error = torch.nn.functional.mse_loss(
                    ours["scores"][m - 1][b, :, :n, :n], theirs["scores"][g - 1][b, :, :n, :n]
                )
                total["attention"] = total["attention"] + error / count
    return total


def test_terms_and_gradients_equal_torch():
    torch = pytest.importorskip("torch")
    B, T, H, D, E = 3, 5, 2, 4, 6
    mask = mask_of(2, 5, 4)
    ours = {"hiddens": random(3, B, T, D), "scores": random(2, B, H, T, T)}
    theirs = {"hiddens": random(5, B, T, E), "scores": random(4, B, H, T, T)}
    kernel, bias = random(D, E), random(E)
    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in ours.items()}
    w, b = torch.tensor(kernel, requires_grad=True), torch.tensor(bias, requires_grad=True)
    constant = {k: torch.tensor(v) for k, v in theirs.items()}
    expected = torch_terms(torch, w, b, leaves, constant, mask, (0, 2, 4))
    sum(expected.values()).backward()
    ids = np.zeros((B, T), np.int32)
    batch = Batch(ids[:, 0], ids, ids, jnp.array(mask), ids[:, 0], jnp.ones(B))
    empty = jnp.zeros(())

    def total(hiddens, scores, projection):
        mine = Outputs(empty, empty, hiddens, scores)
        his = Outputs(empty, empty, jnp.array(theirs["hiddens"]), jnp.array(theirs["scores"]))
        terms = intermediate_terms(projection, mine, his, batch, (0, 2, 4))
        return sum(terms.values()), terms

    arguments = (
        jnp.array(ours["hiddens"]),
        jnp.array(ours["scores"]),
        {"kernel": jnp.array(kernel), "bias": jnp.array(bias)},
    )
    (_, terms), gradients = jax.value_and_grad(total, (0, 1, 2), has_aux=True)(*arguments)
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value.item(), rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(gradients[0], leaves["hiddens"].grad.numpy(), atol=1e-5)
    np.testing.assert_allclose(gradients[1], leaves["scores"].grad.numpy(), atol=1e-5)
    np.testing.assert_allclose(gradients[2]["kernel"], w.grad.numpy(), atol=1e-5)
    np.testing.assert_allclose(gradients[2]["bias"], b.grad.numpy(), atol=1e-5)


def test_soft_cross_entropy_and_its_gradient_equal_torch():
    torch = pytest.importorskip("torch")
    ours, theirs = random(4, 3) * 5, random(4, 3) * 5
    z = torch.tensor(ours, requires_grad=True)
    t = torch.tensor(theirs)
    expected = torch.nn.functional.cross_entropy(z / 3, torch.softmax(t / 3, -1))
    expected.backward()
    f = jax.value_and_grad(lambda x: soft_cross_entropy(x, jnp.array(theirs), 3.0).mean())
    value, gradient = f(jnp.array(ours))
    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient, z.grad.numpy(), atol=1e-6)


# ---- the method


def tiny_batch(size=4, width=8):
    ids = RNG.integers(1, 20, (size, width)).astype(np.int32)
    mask = mask_of(*RNG.integers(3, width + 1, size), width=width)
    labels = RNG.integers(0, 2, size).astype(np.int32)
    row = np.arange(size, dtype=np.int32)
    return Batch(row, ids * mask, np.zeros_like(ids), mask, labels, np.ones(size, np.float32))


def models(**student):
    shape = dataclasses.replace(
        tiny.SHAPE, layers=4, dropout=0.0, attention_dropout=0.0, head_dropout=0.0
    )
    smaller = dataclasses.replace(shape, **{"layers": 2, **student})
    teacher, ours = Bert(shape, unroll=False), Bert(smaller, unroll=False)  # quicker to compile
    key = jax.random.key(0)
    params = {"student": initial_params(ours, key), "extras": METHOD.extras(key, ours, teacher)}
    return ours, teacher, params, {"teacher": initial_params(teacher, jax.random.key(1))}


def test_two_identical_models_give_loss_0():
    ours, teacher, params, frozen = models(layers=4)
    params["student"] = frozen["teacher"]
    stage = METHOD.stages(ours, teacher)[0]
    loss, terms = stage.loss(params, frozen, tiny_batch(), jax.random.key(0), PROGRESS)
    assert float(loss) == 0.0
    assert set(terms) == {"embedding", "hidden", "attention"}


@pytest.mark.parametrize("projection", ["shared", "per_layer"])
def test_every_stage_lowers_its_loss_and_leaves_the_teacher_alone(projection):
    method = dataclasses.replace(
        METHOD, stages_run=("intermediate", "prediction", "joint"), projection=projection
    )
    ours, teacher, params, frozen = models(width=8, inner=16, initial_std=0.3)
    params["extras"] = method.extras(jax.random.key(3), ours, teacher)
    batch = tiny_batch()
    for stage in method.stages(ours, teacher):
        f = jax.jit(jax.value_and_grad(stage.loss, argnums=(0, 1), has_aux=True))
        key = jax.random.key(0)
        (before, _), (gradient, of_frozen) = f(params, frozen, batch, key, PROGRESS)
        moved = jax.tree.map(lambda p, g: p - 0.05 * g, params, gradient)
        (after, _), _ = f(moved, frozen, batch, key, PROGRESS)
        assert after < before, stage.name
        assert all(not leaf.any() for leaf in jax.tree.leaves(of_frozen))


def test_what_moves_in_which_stage():
    ours, teacher, _, _ = models()
    intermediate, prediction = METHOD.stages(ours, teacher)
    assert intermediate.trains("student/layers/query/kernel")
    assert intermediate.trains("extras/projection/kernel")
    assert not intermediate.trains("student/classifier/kernel")
    assert prediction.trains("student/classifier/kernel")
    assert not prediction.trains("extras/projection/kernel")


def test_a_student_with_other_heads_is_refused():
    ours, teacher, _, _ = models(heads=4)
    with pytest.raises(UserError, match="4 attention heads and the teacher 2.*heads=2"):
        METHOD.stages(ours, teacher)


def test_the_prediction_stage_reads_logits_alone():
    """Other heads, layers that do not map, no hidden states of the teacher: it takes them all."""
    ours, teacher, params, frozen = models(heads=4, layers=3)
    batch = tiny_batch()
    alone = dataclasses.replace(METHOD, stages_run=("prediction",), soft_weight=0.5)
    assert alone.extras(jax.random.key(0), ours, teacher) == {}
    loss = alone.stages(ours, teacher)[0].loss
    half, _ = loss(params, frozen, batch, jax.random.key(0), PROGRESS)
    whole = dataclasses.replace(alone, soft_weight=1.0).stages(ours, teacher)[0].loss
    twice, _ = whole(params, frozen, batch, jax.random.key(0), PROGRESS)
    assert float(half) == float(twice) / 2 > 0
    with pytest.raises(UserError, match="soft_weight is 0"):
        dataclasses.replace(alone, soft_weight=0.0).stages(ours, teacher)


def test_an_unknown_stage_or_projection_is_refused():
    ours, teacher, _, _ = models()
    with pytest.raises(UserError, match="stages_run"):
        dataclasses.replace(METHOD, stages_run=("final",)).stages(ours, teacher)
    with pytest.raises(UserError, match="projection"):
        dataclasses.replace(METHOD, projection="none").extras(jax.random.key(0), ours, teacher)


@pytest.mark.parametrize(("teacher", "student"), [(6, 4), (12, 5), (3, 7)])
def test_the_map_that_a_refusal_proposes_is_one(teacher, student):
    with pytest.raises(UserError) as refused:
        uniform_map(teacher, student, "config.method.layer_map")
    proposed = re.search(r"such as ([\d,]+)\.", str(refused.value))[1]
    numbers = tuple(map(int, proposed.split(",")))
    assert explicit_map(numbers, teacher, student, "there") == (0, *numbers)
    assert numbers[-1] == teacher


def test_a_regression_learns_the_teachers_number_and_reads_no_label():
    """In the original code it learns the label, or, by the soft loss, nothing at all."""
    ours, theirs = jnp.array([[1.0], [3.0]]), jnp.array([[2.0], [1.0]])
    batch = Batch(*[None] * len(Batch._fields))._replace(
        labels=jnp.full(2, jnp.nan), weight=jnp.ones(2)
    )

    def loss(z):
        outputs = [Outputs(each, None, None, None) for each in (z, theirs)]
        return METHOD._prediction(*outputs, batch)

    assert loss(ours) == pytest.approx((1 + 4) / 2)
    assert jax.grad(loss)(ours).ravel().tolist() == pytest.approx([-1.0, 2.0])
