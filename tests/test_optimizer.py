import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdistill.errors import UserError
from jaxdistill.optimizer import decays, make_optimizer, make_schedule
from jaxdistill.types import StagePlan

PLAN = StagePlan(
    epochs=1,
    batch_size=8,
    optimizer="adamw",
    learning_rate=1e-2,
    betas=(0.9, 0.99),
    epsilon=1e-6,
    schedule="constant",
    power=2.0,
    warmup=0.0,
    weight_decay=0.1,
    clip=0.0,
    precision="float32",
    accumulate=1,
    adversary="none",
    attack_scope="table",
    attack_radius=1.0,
    attack_step=0.3,
    attack_steps=3,
    eval_steps=0,
)
RNG = np.random.default_rng(0)
PARAMS = {
    "layers": {"q": {"kernel": RNG.normal(size=(2, 3, 4)), "bias": RNG.normal(size=(2, 4))}},
    "norm": {"scale": RNG.normal(size=3)},
}
PARAMS = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), PARAMS)
GRADS = [jax.tree.map(lambda x, s=s: x * s + 0.1, PARAMS) for s in (3.0, -1.0, 0.5, 2.0, 7.0)]


def ours(plan: StagePlan, grads=GRADS, params=PARAMS):
    optimizer = make_optimizer(plan, 10)
    state = optimizer.init(params)
    for g in grads:
        updates, state = optimizer.update(g, state, params)
        params = optax.apply_updates(params, updates)
    return params


def close(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, np.asarray(y), rtol=2e-5, atol=1e-6)


def theirs(make, clip=0.0):
    torch = pytest.importorskip("torch")
    leaves = [torch.nn.Parameter(torch.tensor(np.asarray(x))) for x in jax.tree.leaves(PARAMS)]
    flags = jax.tree.leaves(decays(PARAMS))
    groups = [
        {"params": [p for p, d in zip(leaves, flags, strict=True) if d == flag]}
        | ({} if flag else {"weight_decay": 0.0})
        for flag in (True, False)
    ]
    optimizer = make(torch.optim, groups)
    for g in GRADS:
        for p, x in zip(leaves, jax.tree.leaves(g), strict=True):
            p.grad = torch.tensor(np.asarray(x))
        if clip:
            torch.nn.utils.clip_grad_norm_(leaves, clip)
        optimizer.step()
    return jax.tree.unflatten(jax.tree.structure(PARAMS), [p.detach().numpy() for p in leaves])


def test_decay_spares_biases_and_layernorm():
    assert decays(PARAMS) == {
        "layers": {"q": {"kernel": True, "bias": False}},
        "norm": {"scale": False},
    }


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_adamw_equals_torch(clip):
    expected = theirs(
        lambda o, g: o.AdamW(g, lr=1e-2, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.1), clip
    )
    close(ours(dataclasses.replace(PLAN, clip=clip)), expected)


def test_adam_equals_torch():
    expected = theirs(
        lambda o, g: o.Adam(g, lr=1e-2, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.1)
    )
    close(ours(dataclasses.replace(PLAN, optimizer="adam")), expected)


def test_adadelta_equals_torch():
    expected = theirs(lambda o, g: o.Adadelta(g, lr=1.0, rho=0.95, eps=1e-6, weight_decay=0.1))
    plan = dataclasses.replace(PLAN, optimizer="adadelta", betas=(0.9, 0.95), learning_rate=1.0)
    close(ours(plan), expected)


def test_bertadam_by_hand():
    """One weight, two steps: no bias correction, and its own clip."""
    plan = dataclasses.replace(PLAN, optimizer="bertadam", clip=1.0, betas=(0.9, 0.999))
    params = {"kernel": jnp.array([2.0])}
    m = v = 0.0
    p = 2.0
    for g in (3.0, -0.5):
        g = g / max(1.0, abs(g))  # clipped to length 1
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p = p - 1e-2 * (m / (v**0.5 + 1e-6) + 0.1 * p)
    after = ours(plan, [{"kernel": jnp.array([3.0])}, {"kernel": jnp.array([-0.5])}], params)
    np.testing.assert_allclose(after["kernel"], [p], rtol=1e-5)


def test_bertadam_clips_each_layer_of_a_stack_by_itself():
    plan = dataclasses.replace(PLAN, optimizer="bertadam", clip=1.0, weight_decay=0.0)
    both = jnp.array([[30.0, 40.0], [0.3, 0.4]])
    alone = [ours(plan, [{"kernel": g}], {"kernel": jnp.zeros(2)})["kernel"] for g in both]
    whole = ours(plan, [{"kernel": both}], {"kernel": jnp.zeros((2, 2))})["kernel"]
    assert not np.allclose(whole, np.stack(alone))
    for name, leaf, expected in (
        ("layers", "kernel", alone),
        ("lstm", "kernel", alone),  # of two directions
        ("projection", "bias", alone),  # of two layers
        ("projection", "kernel", whole),  # one for all layers
    ):
        tree = {name: {leaf: both}}
        found = ours(plan, [tree], jax.tree.map(jnp.zeros_like, tree))[name][leaf]
        np.testing.assert_allclose(found, np.stack(expected), err_msg=name)


def test_linear_schedule_equals_transformers():
    pytest.importorskip("torch")
    import torch
    from transformers import get_linear_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-2)
    schedule = get_linear_schedule_with_warmup(optimizer, 20, 200)
    expected = []
    for _ in range(200):
        expected.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    mine = make_schedule(dataclasses.replace(PLAN, schedule="linear", warmup=0.1), 200)
    np.testing.assert_allclose([mine(s) for s in range(200)], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]),
        ("polynomial", [0.0, 0.5, 1.0, 0.5625, 0.25, 0.0625, 0.0]),
    ],
)
def test_schedules_by_hand(schedule, expected):
    plan = dataclasses.replace(PLAN, schedule=schedule, warmup=1 / 3, learning_rate=1.0)
    rate = make_schedule(plan, 6)
    np.testing.assert_allclose([rate(s) for s in range(7)], expected, atol=1e-6)


@pytest.mark.parametrize("field", ["optimizer", "schedule"])
def test_unknown_names_are_refused(field):
    with pytest.raises(UserError, match=r"'sgdd' is not one of"):
        make_optimizer(dataclasses.replace(PLAN, **{field: "sgdd"}), 10)
