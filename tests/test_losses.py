import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdistill.losses import cross_entropy, squared_error, weighted_mean
from jaxdistill.methods.finetune import task_loss


def test_cross_entropy_by_hand():
    logits = jnp.array([[0.0, 0.0], [np.log(3.0), 0.0]])
    loss = cross_entropy(logits, jnp.array([1, 0]))
    np.testing.assert_allclose(loss, [np.log(2.0), np.log(4 / 3)], rtol=1e-6)


def test_a_label_outside_the_classes_is_nan_and_not_another_class():
    assert np.isnan(cross_entropy(jnp.zeros((3, 2)), jnp.array([2, -1, -2]))).all()


def test_cross_entropy_and_its_gradient_equal_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(5, 3)).astype(np.float32) * 9, rng.integers(0, 3, 5)
    theirs = torch.tensor(logits, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(theirs, torch.tensor(labels))
    loss.backward()
    ours, gradient = jax.value_and_grad(
        lambda z: weighted_mean(cross_entropy(z, jnp.array(labels)), jnp.ones(5))
    )(jnp.array(logits))
    np.testing.assert_allclose(ours, loss.item(), rtol=1e-6)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), atol=1e-7)


def test_weighted_mean_forgets_rows_of_weight_0_even_if_they_are_nan():
    loss = jnp.array([1.0, 3.0, jnp.nan])
    weight = jnp.array([1.0, 1.0, 0.0])
    assert weighted_mean(loss, weight) == 2.0
    assert weighted_mean(loss, jnp.zeros(3)) == 0.0
    np.testing.assert_array_equal(jax.grad(weighted_mean)(loss, weight), [0.5, 0.5, 0.0])


def test_one_output_is_a_regression():
    np.testing.assert_allclose(
        task_loss(jnp.array([[2.0], [0.5]]), jnp.array([5.0, 0.0])), [9.0, 0.25]
    )
    np.testing.assert_allclose(squared_error(jnp.array([1.0]), jnp.array([3.0])), [4.0])
