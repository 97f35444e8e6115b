"""Soft-label distillation: losses by hand, every preset against its row's formula in PyTorch."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdistill import presets, recipes
from jaxdistill.errors import UserError
from jaxdistill.losses import kl_divergence, mean_squared_error
from jaxdistill.methods.kd import Kd, shifted
from jaxdistill.planning import make_method
from jaxdistill.types import Batch, Outputs, Progress, Taught

RNG = np.random.default_rng(0)


def random(*size):
    return RNG.normal(size=size).astype(np.float32) * 3


def kd(**fields) -> Kd:
    given = {"soft_weight": 1.0, "hard_weight": 0.0, "temperature": 1.0}
    plain = recipes.kd(**{k: v for k, v in {**given, **fields}.items() if k[-4:] != "_end"})
    plain.update({k: v for k, v in fields.items() if k[-4:] == "_end"})
    return method(plain)


def method(section):
    values = section.to_dict()
    return make_method(values.pop("name"), values)


def batch_of(labels, weight=None, teacher=None):
    size = len(labels)
    ids = np.ones((size, 3), np.int32)
    weight = np.ones(size, np.float32) if weight is None else np.float32(weight)
    return Batch(ids[:, 0], ids, ids, ids > 0, np.array(labels), weight, None, teacher)


def terms(which: Kd, ours, theirs, labels, fraction=0.0):
    given = (jnp.array(ours, jnp.float32), jnp.array(theirs, jnp.float32))
    found = which.terms(*given, batch_of(labels), jnp.float32(fraction))
    return {name: float(value) for name, value in found.items()}


# ---- by hand


def test_kl_by_hand():
    """softmax([0, log 3]) is (1/4, 3/4); against (1/2, 1/2) the divergence is log 2 - entropy."""
    ours, theirs = jnp.zeros((1, 2)), jnp.array([[0.0, np.log(3)]])
    expected = 0.25 * np.log(0.5) + 0.75 * np.log(1.5)
    np.testing.assert_allclose(kl_divergence(ours, theirs), [expected], rtol=1e-6)
    np.testing.assert_allclose(kl_divergence(theirs, theirs), [0.0], atol=1e-7)


@pytest.mark.parametrize("impossible", [-1e30, -np.inf])
def test_a_class_that_the_teacher_rules_out_adds_nothing(impossible):
    theirs = jnp.array([[0.0, impossible]])
    value, gradient = jax.value_and_grad(lambda z: kl_divergence(z, theirs)[0])(jnp.zeros((1, 2)))
    np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient, [[-0.5, 0.5]], rtol=1e-6)


def test_mean_squared_error_by_hand():
    found = mean_squared_error(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 5.0]]))
    np.testing.assert_allclose(found, [(1 + 9) / 2])


def test_both_terms_by_hand():
    """At t = 2 the teacher's log 9 becomes log 3; t^2 = 4, and the student knows nothing."""
    found = terms(
        kd(soft_weight=0.7, hard_weight=0.3, temperature=2.0), [[0, 0]], [[0, np.log(9)]], [1]
    )
    assert found["soft"] == pytest.approx(0.7 * 4 * np.log(2))
    assert found["hard"] == pytest.approx(0.3 * np.log(2))
    two_sided = terms(kd(temperature=2.0, soft_loss="kl"), [[0, np.log(9)]], [[0, np.log(9)]], [1])
    assert two_sided["soft"] == pytest.approx(0.0, abs=1e-6)


def test_t_squared_keeps_the_gradients_size():
    """For t to infinity t^2 dKL/dz_s goes to (centred z_s - centred z_t) / C (Hinton, eq. 4)."""
    ours, theirs = random(4, 3), random(4, 3)

    def gradient(t):
        which = kd(temperature=t)
        return jax.grad(lambda z: which.terms(z, theirs, batch_of([0] * 4), 0.0)["soft"])(ours)

    def centred(z):
        return z - z.mean(1, keepdims=True)

    limit = (centred(ours) - centred(theirs)) / 3 / 4
    np.testing.assert_allclose(gradient(3000.0), limit, atol=2e-3)
    assert np.abs(gradient(100.0)).sum() > 0.9 * np.abs(limit).sum()


def test_a_regression_learns_the_teachers_number():
    which = kd(soft_weight=2.0, hard_weight=1.0, temperature=5.0)
    found = terms(which, [[1.0], [2.0]], [[3.0], [2.5]], np.float32([0.0, 2.0]))
    assert found == pytest.approx({"soft": 2 * (4 + 0.25) / 2, "hard": (1 + 0) / 2})


def test_the_shift_by_hand():
    logits = jnp.array([[1.0, 5.0, 2.0], [1.0, 5.0, 2.0]])
    found = shifted(logits, jnp.array([2, 1]))
    np.testing.assert_array_equal(found, [[1.0, 2.0, 5.0], [1.0, 5.0, 2.0]])
    plain, moved = (
        terms(kd(probability_shift=on), [[0.0, 1.0, 2.0]], logits[:1], [2])["soft"]
        for on in (False, True)
    )
    assert moved < plain


def test_schedules_by_hand():
    which = kd(soft_weight=1.0, soft_weight_end=0.0, hard_weight=0.0, hard_weight_end=1.0)
    start, late = (terms(which, [[0, 0]], [[0, 0]], [0], f) for f in (0.0, 0.75))
    assert start == pytest.approx({"soft": np.log(2), "hard": 0.0})
    assert late == pytest.approx({"soft": 0.25 * np.log(2), "hard": 0.75 * np.log(2)})
    cooling = kd(temperature=4.0, temperature_end=2.0, temperature_squared=False)
    halfway = kd(temperature=3.0, temperature_squared=False)
    ours, theirs = random(2, 3), random(2, 3)
    assert terms(cooling, ours, theirs, [0, 0], 0.5) == pytest.approx(
        terms(halfway, ours, theirs, [0, 0])
    )


def test_without_a_hard_term_no_label_is_read():
    found = terms(kd(), [[0, 0]], [[0, 0]], [-1])
    assert found == pytest.approx({"soft": np.log(2)})


# ---- presets, each against its implementation's own formula

A, T = 0.3, 4.0


def formulas(torch):
    """Of (z_s, z_t, y): the loss as that implementation writes it, reductions and all."""
    F = torch.nn.functional

    def ce(z, y):
        return F.cross_entropy(z, y)

    def soft(z, t, T=1.0, both=True):  # -p log q, [B, C]
        return -F.softmax(t / T, -1) * F.log_softmax(z / T if both else z, -1)

    def kl(z, t):  # [B, C], torch's own: input log q, target p
        return F.kl_div(F.log_softmax(z / T, -1), F.softmax(t / T, -1), reduction="none")

    def p(z):
        return F.softmax(z, -1)

    return {
        "pkd_repo": lambda z, t, y: A * kl(z, t).mean() * T * T + (1 - A) * ce(z, y),
        # sums over the batch in the paper
        "pkd_paper": lambda z, t, y: (
            (A * soft(z, t, T).sum() + (1 - A) * len(y) * ce(z, y)) / len(y)
        ),
        "paddle": lambda z, t, y: A * soft(z, t, T, both=False).sum(-1).mean() + (1 - A) * ce(z, y),
        "oneflow_kd": lambda z, t, y: A * ce(z, y) + (1 - A) * soft(z, t).mean(),
        "oneflow_bilstm": lambda z, t, y: (1 - A) * ce(z, y) + A * soft(z, t).mean(),
        "oneflow_pkd": lambda z, t, y: (1 - A) * ce(z, y) + A * soft(z, t).mean(),
        "taishan1994": lambda z, t, y: ce(z, y) + kl(z, t).mean(),
        "tinybert": lambda z, t, y: soft(z, t).mean(),
        "tang": lambda z, t, y: A * ce(z, y) + (1 - A) * ((z - t) ** 2).sum(-1).mean(),
        "paddle_bilstm": lambda z, t, y: A * ce(z, y) + (1 - A) * F.mse_loss(z, t),
        "qiangsiwei": lambda z, t, y: A * ce(z, y) + (1 - A) * F.mse_loss(p(z), p(t)),
        "xiaopp123_v1": lambda z, t, y: A * ce(z, y) + (1 - A) * F.mse_loss(z, p(t)),
        "xiaopp123_v2": lambda z, t, y: A * ce(z, y) + (1 - A) * F.mse_loss(p(z), p(t)),
        "textbrewer_ce": lambda z, t, y: soft(z, t, T).sum(-1).mean(),
        "textbrewer_mse": lambda z, t, y: F.mse_loss(z / T, t / T),
        "torchdistill": lambda z, t, y: A * ce(z, y) + (1 - A) * T * T * kl(z, t).sum(-1).mean(),
    }


AT_ONE = ("oneflow_kd", "oneflow_bilstm", "oneflow_pkd", "tinybert")


@pytest.mark.parametrize("name", presets.KD)
@pytest.mark.parametrize("classes", [2, 5])
def test_a_preset_is_its_implementations_loss(name, classes):
    torch = pytest.importorskip("torch")
    formula = formulas(torch)[name]
    ours, theirs, labels = random(6, classes), random(6, classes), RNG.integers(0, classes, 6)
    z = torch.tensor(ours, requires_grad=True)
    expected = formula(z, torch.tensor(theirs), torch.tensor(labels))
    expected.backward()
    t = 1.0 if name in AT_ONE else T
    which = method(presets.kd(name, classes=classes, alpha=A, temperature=t))

    def loss(z):
        return sum(which.terms(z, jnp.array(theirs), batch_of(labels), jnp.float32(0)).values())

    value, gradient = jax.value_and_grad(loss)(jnp.array(ours))
    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient, z.grad.numpy(), atol=1e-5)


def test_torchdistill_leaves_t_squared_out_without_alpha():
    plain = presets.kd("torchdistill", classes=2, alpha=0.0, temperature=T)
    assert (plain.temperature_squared, plain.soft_weight, plain.hard_weight) == (False, 1.0, 0.0)


def test_torchdistills_regression_weighs_label_and_teacher_alike():
    number = presets.kd("torchdistill", classes=1, alpha=0.9, temperature=T)
    assert (number.soft_weight, number.hard_weight, number.temperature_squared) == (1.0, 1.0, False)


# ---- the stage


class Fixed:
    """A model whose logits are its parameters."""

    def __init__(self, classes=2):
        self.shape = SimpleNamespace(classes=classes)

    def apply(self, variables, batch, train=False, rngs=None):
        assert train == (rngs is not None)
        empty = jnp.zeros(())
        return Outputs(variables["params"]["logits"], empty, empty, empty)


def run(stage, params, frozen, batch):
    progress = Progress(jnp.int32(0), jnp.float32(0))
    return stage.loss(params, frozen, batch, jax.random.key(0), progress)


def test_a_cached_teacher_is_read_and_no_other_is_asked():
    ours, theirs = jnp.array(random(3, 2)), jnp.array(random(3, 2))
    (stage,) = kd(hard_weight=1.0).stages(Fixed(), Fixed())
    assert (stage.name, stage.keep, stage.needs) == ("kd", "best", ("logits",))
    params = {"student": {"logits": ours}}
    asked, metrics = run(stage, params, {"teacher": {"logits": theirs}}, batch_of([0, 1, 1]))
    (stage,) = kd(hard_weight=1.0).stages(Fixed(), None)
    cached, _ = run(stage, params, {}, batch_of([0, 1, 1], teacher=Taught(theirs)))
    assert asked == cached
    assert asked == pytest.approx(float(metrics["soft"] + metrics["hard"]))
    with pytest.raises(UserError, match="no teacher that could be asked"):
        run(stage, params, {}, batch_of([0, 1, 1]))


def test_the_teacher_gets_no_gradient_and_rows_that_fill_up_do_not_count():
    ours, theirs = jnp.array(random(3, 2)), jnp.array(random(3, 2))
    (stage,) = kd(hard_weight=1.0).stages(Fixed(), Fixed())

    def loss(z, t, labels, weight):
        params, frozen = {"student": {"logits": z}}, {"teacher": {"logits": t}}
        return run(stage, params, frozen, batch_of(labels, weight))[0]

    value, gradients = jax.value_and_grad(loss, (0, 1))(ours, theirs, [0, 1, 1], [1, 1, 0])
    assert value == pytest.approx(float(loss(ours[:2], theirs[:2], [0, 1], [1, 1])))
    assert not gradients[0][2].any()
    assert gradients[0][:2].all()
    assert not gradients[1].any()


def test_the_whole_student_moves_and_nothing_else():
    (stage,) = kd().stages(Fixed(), Fixed())
    assert stage.trains("student/embeddings/word/embedding")
    assert not stage.trains("extras/projection/kernel")


@pytest.mark.parametrize("name", ["soft_weight", "hard_weight"])
def test_a_weight_may_grow_from_0(name):
    none = {"soft_weight": 0.0, "hard_weight": 0.0}
    assert len(kd(**none, **{f"{name}_end": 1.0}).stages(Fixed(), Fixed())) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"soft_loss": "mse"}, "soft_loss is 'mse', not one of cross_entropy, kl, logit_mse"),
        ({"temperature_on": "student"}, "temperature_on is 'student', not one of both, teacher"),
        ({"temperature": 0.0}, "temperature is 0; a temperature is above 0"),
        ({"temperature_end": -1.0}, "temperature_end is -1"),
        ({"hard_weight": -0.5}, "hard_weight is -0.5; a weight is 0 or more"),
        ({"soft_weight": 0.0}, "nothing to learn"),
    ],
)
def test_what_cannot_be_is_refused(fields, said):
    with pytest.raises(UserError, match=said):
        kd(**fields).stages(Fixed(), Fixed())


def test_a_regression_has_no_wrong_class():
    with pytest.raises(UserError, match="labels are numbers"):
        kd(probability_shift=True).stages(Fixed(classes=1), Fixed(classes=1))
