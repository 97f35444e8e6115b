"""PKD: layers by hand, every implementation's scale against PyTorch, the projection, refusals."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_kd import batch_of, method, random, run

from jaxdistill import presets, recipes
from jaxdistill.errors import UserError
from jaxdistill.losses import squared_distance, unit
from jaxdistill.methods.layers import patient_map
from jaxdistill.types import Outputs, Taught

KEY = "config.method.strategy"


def pkd(**fields):
    soft_labels = recipes.kd(soft_weight=1.0, hard_weight=0.0, temperature=1.0)
    return method(recipes.pkd(soft_labels, **{"beta": 1.0, **fields}))


# ---- layers, from 1, by hand


@pytest.mark.parametrize(
    ("strategy", "teacher", "student", "without", "last"),
    [
        ("skip", 12, 6, (2, 4, 6, 8, 10), 12),
        ("skip", 12, 3, (4, 8), 12),
        ("skip", 24, 6, (4, 8, 12, 16, 20), 24),
        ("last", 12, 6, (7, 8, 9, 10, 11), 12),
        ("last", 12, 3, (10, 11), 12),
        ("last", 24, 6, (19, 20, 21, 22, 23), 24),
    ],
)
def test_the_papers_layers(strategy, teacher, student, without, last):
    assert patient_map(strategy, teacher, student, False, KEY) == without
    assert patient_map(strategy, teacher, student, True, KEY) == (*without, last)


def test_explicit_layers():
    assert patient_map("3, 9", 12, 3, False, KEY) == (3, 9)
    assert patient_map("3,9,12", 12, 3, True, KEY) == (3, 9, 12)


@pytest.mark.parametrize(
    ("strategy", "teacher", "student", "said"),
    [
        ("3,9,12", 12, 3, "has 3 entries and the student 3 layers, of which the last is left out"),
        ("3,13", 12, 3, "layer 13, and the teacher's layers are 1 to 12"),
        ("odd", 12, 3, "'odd'; it is skip, last, or numbers"),
        ("skip", 12, 5, "5 layers and the teacher 12"),
        ("last", 2, 3, "3 layers where the teacher has 2"),
        ("skip", 12, 1, "1 layer.*last_layer=True"),
    ],
)
def test_layers_that_do_not_map_are_refused(strategy, teacher, student, said):
    with pytest.raises(UserError, match=said):
        patient_map(strategy, teacher, student, False, KEY)


# ---- the distance


def test_the_distance_by_hand():
    """(3, 4) is (0.6, 0.8) of length 1; to (1, 0) that is 0.16 + 0.64."""
    found = squared_distance(unit(jnp.array([[3.0, 4.0]])), unit(jnp.array([[7.0, 0.0]])))
    np.testing.assert_allclose(found, [0.8], rtol=1e-6)


def test_a_zero_vector_has_a_finite_gradient():
    f = jax.value_and_grad(lambda x: squared_distance(unit(x), jnp.array([0.6, 0.8])))
    value, gradient = f(jnp.zeros(2))
    assert value == pytest.approx(1.0)
    assert np.isfinite(gradient).all()


class Fixed:
    """A model whose logits and hidden states are its parameters."""

    fixed = False
    """Whether it is a teacher, which must not be asked as if it trained."""

    def __init__(self, layers, width):
        self.shape = SimpleNamespace(layers=layers, width=width, classes=2, initial_std=0.5)

    def apply(self, variables, batch, train=False, rngs=None):
        assert train == (rngs is not None)
        assert not (train and self.fixed), "a teacher drops nothing out"
        given, empty = variables["params"], jnp.zeros(())
        return Outputs(given["logits"], empty, given["hiddens"], empty)


B, TOKENS, WIDTH = 3, 4, 5
MASK = np.arange(TOKENS)[None] < np.array([[2], [4], [3]])


def situation(which, *, widths=(WIDTH, WIDTH), layers=(3, 6)):
    """A stage, the parameters that train, those that do not, and a batch."""
    student, teacher = (Fixed(n, d) for n, d in zip(layers, widths, strict=True))
    teacher.fixed = True
    ours, theirs = (
        {"logits": random(B, 2), "hiddens": random(n + 1, B, TOKENS, d)}
        for n, d in zip(layers, widths, strict=True)
    )
    extras = which.extras(jax.random.key(0), student, teacher)
    (stage,) = which.stages(student, teacher)
    batch = batch_of([0, 1, 1])._replace(
        input_ids=np.ones((B, TOKENS), np.int32), mask=jnp.array(MASK)
    )
    params = jax.tree.map(jnp.array, {"student": ours, "extras": extras})
    return stage, params, {"teacher": jax.tree.map(jnp.array, theirs)}, batch


def formulas(torch):
    """Of (student's hiddens, teacher's, projected): L_PT as that implementation writes it."""
    F = torch.nn.functional

    def first(hiddens, layers):  # [B, K, D]
        return F.normalize(hiddens[list(layers), :, 0], dim=-1).transpose(0, 1)

    def paddle(s, t, w):
        pairs = zip((1, 2, 3), (2, 4, 6), strict=True)
        return sum(F.mse_loss(first(s, [i]), first(t, [j])) for i, j in pairs)

    def textbrewer(s, t, w):
        pairs = zip((1, 2), (2, 4), strict=True)
        return sum(((first(s, [i]) - first(t, [j])) ** 2).sum(-1).mean() for i, j in pairs)

    def oneflow(s, t, w):  # all tokens, padding too, embedding and last layer too
        pairs = zip((0, 1, 2, 3), (0, 2, 4, 6), strict=True)
        return sum(F.mse_loss(s[i] @ w[0] + w[1], t[j]) for i, j in pairs)

    return {
        "pkd_repo": lambda s, t, w: F.mse_loss(first(s, (1, 2)), first(t, (2, 4))),
        "pkd_paper": lambda s, t, w: ((first(s, (1, 2)) - first(t, (2, 4))) ** 2).sum() / B,
        "paddle": paddle,
        "textbrewer": textbrewer,
        "oneflow": oneflow,
    }


@pytest.mark.parametrize("name", presets.PKD)
def test_a_preset_is_its_implementations_patient_loss(name):
    torch = pytest.importorskip("torch")
    which = method(
        presets.pkd(name, classes=2, alpha=0.5, temperature=1.0, beta=10.0, length=TOKENS)
    )
    widths = (3, WIDTH) if which.projection else (WIDTH, WIDTH)
    stage, params, frozen, batch = situation(which, widths=widths)
    f = jax.grad(lambda p: run(stage, p, frozen, batch)[1]["patient"])
    _, metrics = run(stage, params, frozen, batch)
    gradient = f(params)

    def leaf(x):
        return torch.tensor(np.array(x), requires_grad=True)

    s, t = leaf(params["student"]["hiddens"]), leaf(frozen["teacher"]["hiddens"])
    linear = params["extras"]["projection"] if which.projection else {"kernel": 0, "bias": 0}
    w = [leaf(np.float32(linear[part])) for part in ("kernel", "bias")]
    expected = 10 * formulas(torch)[name](s, t.detach(), w)
    expected.backward()
    np.testing.assert_allclose(metrics["patient"], expected.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient["student"]["hiddens"], s.grad.numpy(), atol=1e-5)
    if which.projection:
        for part, mine in zip(("kernel", "bias"), w, strict=True):
            found = gradient["extras"]["projection"][part]
            np.testing.assert_allclose(found, mine.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_padding_is_left_out_of_all_tokens_unless_asked_for():
    """The same as one mean over each example's own tokens, written out with NumPy."""
    stage, params, frozen, batch = situation(
        pkd(tokens="all", normalise=False, over_width="mean", over_layers="mean", last_layer=True)
    )
    _, metrics = run(stage, params, frozen, batch)
    s = np.array(params["student"]["hiddens"])
    t = np.array(frozen["teacher"]["hiddens"])[[0, 2, 4, 6]]
    each = [((s - t)[:, b, : MASK[b].sum()] ** 2).mean() for b in range(B)]
    np.testing.assert_allclose(metrics["patient"], np.mean(each), rtol=1e-5)
    assert stage.needs == ("logits", "hiddens")


def test_a_loss_over_padding_forces_one_length():
    which = pkd(tokens="all", padded_length=TOKENS + 1)
    stage, params, frozen, batch = situation(which)
    with pytest.raises(UserError, match=r"padded_length is 5.*some of 4 tokens.*buckets=\(5,\)"):
        run(stage, params, frozen, batch)
    with pytest.raises(UserError, match="some of 16 and 32 tokens"):
        which.check_widths((16, 32))
    which.check_widths((TOKENS + 1,))
    pkd(tokens="all", padded_length=0).check_widths((16, 32))


def test_a_cached_teacher_gives_the_same_loss():
    stage, params, frozen, batch = situation(pkd())
    assert (stage.needs, stage.layers) == (("logits", "cls"), (2, 4))
    asked, metrics = run(stage, params, frozen, batch)
    theirs = frozen["teacher"]
    known = Taught(theirs["logits"], jnp.swapaxes(theirs["hiddens"][np.array([2, 4]), :, 0], 0, 1))
    cached, _ = run(stage, params, {}, batch._replace(teacher=known))
    assert asked == cached
    assert asked == pytest.approx(float(metrics["soft"] + metrics["patient"]))


def test_beta_scales_its_term_alone():
    stage, params, frozen, batch = situation(pkd())
    other, *_ = situation(pkd(beta=7.0))
    (_, one), (_, seven) = (run(s, params, frozen, batch) for s in (stage, other))
    assert seven["patient"] == pytest.approx(7 * float(one["patient"]))
    assert seven["soft"] == one["soft"]


def test_neither_the_teacher_nor_its_unmatched_layers_get_gradients():
    stage, params, frozen, batch = situation(pkd())
    ours, theirs = jax.grad(lambda p, f: run(stage, p, f, batch)[0], (0, 1))(params, frozen)
    moved = [bool(layer[:, 0].any()) for layer in ours["student"]["hiddens"]]
    assert moved == [False, True, True, False]
    assert not any(leaf.any() for leaf in jax.tree.leaves(theirs))


def test_the_projection_starts_as_the_identity_and_moves():
    which = pkd(projection=True)
    stage, params, frozen, batch = situation(which)
    plain, *_ = situation(pkd())
    one, other = run(stage, params, frozen, batch)[0], run(plain, params, frozen, batch)[0]
    assert one == pytest.approx(float(other))
    assert stage.trains("extras/projection/kernel")
    assert stage.trains("student/pooler/kernel")
    assert not stage.trains("teacher/pooler/kernel")
    shapes = jax.tree.map(np.shape, which.extras(jax.random.key(0), Fixed(3, 4), Fixed(6, 8)))
    assert shapes == {"projection": {"kernel": (4, 8), "bias": (8,)}}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tokens": "first"}, "tokens is 'first', not one of cls, all"),
        ({"over_layers": "max"}, "over_layers is 'max', not one of sum, mean"),
        ({"beta": 0.0}, "beta is 0, and must be above 0"),
        ({"padded_length": 128}, "padded_length is 128 and tokens is cls"),
    ],
)
def test_what_cannot_be_is_refused(fields, said):
    with pytest.raises(UserError, match=said):
        pkd(**fields).stages(Fixed(3, 4), Fixed(6, 4))


def test_other_widths_need_a_projection_and_hidden_states_a_teacher():
    with pytest.raises(UserError, match="4 wide and the teacher 8.*projection=True"):
        pkd().stages(Fixed(3, 4), Fixed(6, 8))
    with pytest.raises(UserError, match="reads of its teacher hidden states"):
        pkd().stages(Fixed(3, 4), None)
