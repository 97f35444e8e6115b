"""Every method with every strategy, on 1 device and on 4: that they compose.

A new method is one row of ROWS, a new strategy one of STRATEGIES. What this costs is compiling, so
every program is compiled once, without XLA's optimizations, and all tests look at what it gave:

- each method's first stage with every strategy, and its later stages clean and accumulated, by
  plain gradient descent on one device;
- each method's first stage accumulated, and with one strategy, another for each (IN_TURN), by the
  step that runs use (make_steps, AdamW), on one device and on four, all in one process.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from test_optimizer import PLAN

from jaxdistill import recipes
from jaxdistill.methods import METHODS
from jaxdistill.models.bert import Bert, BertShape, initial_params
from jaxdistill.models.bilstm import BiLstm, BiLstmShape, initial_bilstm
from jaxdistill.optimizer import make_optimizer
from jaxdistill.sharding import place, split_stacked
from jaxdistill.step import make_steps, progress_at, stack, start
from jaxdistill.strategies import make_gradient
from jaxdistill.trees import flatten, merge, partition
from jaxdistill.types import Batch, Params, Stage, StagePlan

KD = recipes.kd(soft_weight=0.5, hard_weight=0.5, temperature=2.0)
PKD = recipes.pkd(KD, beta=1.0, last_layer=True, projection=True)
TINYBERT = {
    "stages_run": ("intermediate", "prediction"),
    "layer_map": (),
    "projection": "per_layer",
    "temperature": 1.0,
    "soft_weight": 1.0,
}
THESEUS = {"rate": 0.5, "slope": 0.0, "predecessor_dropout": False}

ENCODER = {"student/embeddings", "student/layers"}
STUDENT = ENCODER | {"student/pooler", "student/classifier"}
PROJECTION = {"extras/projection"}
BILSTM = {"student/embeddings", "student/lstm", "student/dense", "student/classifier"}

ROWS: dict[str, tuple[Any, dict[str, set[str]]]] = {
    "finetune": ({}, {"finetune": STUDENT}),
    "kd": (KD, {"kd": STUDENT}),
    "pkd": (PKD, {"pkd": STUDENT | PROJECTION}),
    "tinybert": (TINYBERT, {"intermediate": ENCODER | PROJECTION, "prediction": STUDENT}),
    "theseus": (THESEUS, {"replace": {"student/layers"}, "successor": {"student/layers"}}),
    "kd of a BiLSTM": (KD, {"kd": BILSTM}),
}
"""A method's fields, and what each of its stages moves. A row's first word is the method."""
ELSEWHERE = {
    "score": "trains nothing",
    "pretrain": "has no labels: test_pretrain.py",
    "general": "has no labels: test_general.py",
}

STRATEGIES: dict[str, dict[str, Any]] = {
    "clean": {},
    "accumulate": {"accumulate": 4},
    "bfloat16": {"precision": "bfloat16"},
    "fgm": {"adversary": "fgm"},
    "pgd": {"adversary": "pgd"},
    "all": {
        "accumulate": 2,
        "precision": "float16",
        "adversary": "pgd",
        "attack_scope": "tokens",
    },
}
"""What of a plan each changes."""
LATER = ("clean", "accumulate")

STAGES = [(method, stage) for method, (_, stages) in ROWS.items() for stage in stages]
CELLS = [
    (method, stage, strategy)
    for method, stage in STAGES
    for strategy in (STRATEGIES if stage == next(iter(ROWS[method][1])) else LATER)
]
FIRST = [(method, next(iter(stages))) for method, (_, stages) in ROWS.items()]
IN_TURN = [(*cell, list(STRATEGIES)[(i + 1) % len(STRATEGIES)]) for i, cell in enumerate(FIRST)]
IN_TURN += [cell for each in FIRST if (cell := (*each, "accumulate")) not in IN_TURN]

STEPS = 4
RADIUS = 0.5
SHAPE = BertShape(
    vocab=20,
    width=8,
    layers=2,
    heads=2,
    inner=16,
    classes=2,
    positions=8,
    dropout=0.0,
    attention_dropout=0.0,
    head_dropout=0.0,
)
WORDS = BiLstmShape(
    vocab=20,
    width=8,
    channels=2,
    hidden=8,
    directions=2,
    pooling="final",
    texts=2,
    pairs="product",
    dense=8,
    activation="tanh",
    classes=2,
    embedding_dropout=0.0,
    encoder_dropout=0.0,
    head_dropout=0.0,
)
"""Of pairs: the two halves of what the teacher reads."""
TINY_PLAN = dataclasses.replace(PLAN, attack_radius=RADIUS, attack_step=0.3 * RADIUS)
QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_llvm_disable_expensive_passes": True,
}
"""Compiles a third as long."""


@functools.cache
def batches(words: bool = False) -> Batch:
    """[STEPS, 8, ...]: of different lengths, and the last row of each only fills up."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(STEPS):
        ids = rng.integers(1, 20, (8, 8)).astype(np.int32)
        mask = np.arange(8)[None] < rng.integers(3, 9, (8, 1))
        labels = rng.integers(0, 2, 8).astype(np.int32)
        row, weight = np.arange(8, dtype=np.int32), np.ones(8, np.float32)
        weight[-1] = 0
        read = (ids * mask).reshape(8, 2, 4) if words else None
        found.append(Batch(row, ids * mask, np.zeros_like(ids), mask, labels, weight, read))
    return stack(found, STEPS)


@functools.cache
def teacher_params() -> Params:
    """Of 2 layers, host arrays."""
    shapes = jax.eval_shape(lambda: initial_params(Bert(SHAPE, unroll=False), jax.random.key(0)))
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda s: rng.normal(0, 0.3, s.shape).astype(np.float32), shapes)


@functools.cache
def bilstm_params() -> Params:
    """Host arrays."""
    return jax.device_get(initial_bilstm(BiLstm(WORDS), jax.random.key(4)))


def setting(method: str, name: str, strategy: str) -> tuple[Stage, StagePlan, Params]:
    """The stage, its plan, and {"student", "extras"}; the student is cut from the teacher."""
    plan = dataclasses.replace(TINY_PLAN, **STRATEGIES[strategy])
    fields = {key: value for key, value in dict(ROWS[method][0]).items() if key != "name"}
    made = METHODS[method.split()[0]](**fields)
    ours, theirs = (
        Bert(dataclasses.replace(SHAPE, layers=layers), plan.precision, unroll=False)
        for layers in (1, 2)
    )
    if method == "kd of a BiLSTM":
        ours = BiLstm(WORDS, plan.precision)
        (stage,) = made.stages(ours, theirs)
        return stage, plan, {"student": bilstm_params(), "extras": {}}
    (stage,) = (stage for stage in made.stages(ours, theirs) if stage.name == name)
    teacher = teacher_params()
    student = {**teacher, "layers": jax.tree.map(lambda leaf: leaf[:1], teacher["layers"])}
    extras = made.extras(jax.random.key(2), ours, theirs)
    return stage, plan, {"student": student, "extras": jax.device_get(extras)}


class Trained(NamedTuple):
    """What came of STEPS steps; trees are flat."""

    before: dict[str, Any]
    after: dict[str, Any]
    losses: list[float]
    metrics: list[dict[str, Any]]
    again: list[float]
    """The losses of the same batches with the same randomness, from where the steps ended."""


@functools.cache
def descend(method: str, name: str, strategy: str) -> Trained:
    """Trains a stage by plain gradient descent."""
    stage, plan, params = setting(method, name, strategy)
    grad_fn = make_gradient(stage, plan)
    trained, still = partition(params, stage.trains)
    scale = jnp.float32(1024) if plan.precision == "float16" else None

    def step(trained: Params, frozen: Params, batch: Batch, number: Any) -> Any:
        rng, progress = progress_at(number, jax.random.key(3), STEPS, scale)
        out, grads = grad_fn(trained, frozen, batch, rng, progress)
        return out, jax.tree.map(lambda p, g: p - 0.02 * g, trained, grads)

    f = jax.jit(step, compiler_options=QUICK)
    frozen = merge(still, {"teacher": teacher_params()})
    found = []
    for number in [*range(STEPS)] * 2:
        batch = jax.tree.map(lambda leaf, n=number: leaf[n], batches("BiLSTM" in method))
        out, trained = f(trained, frozen, batch, np.int32(number))
        found.append((float(out[0]), jax.device_get(out[1]), trained))
    losses, metrics, moved = zip(*found, strict=True)
    after = flatten(merge(jax.device_get(moved[STEPS - 1]), still))
    return Trained(flatten(params), after, [*losses[:STEPS]], [*metrics[:STEPS]], [*losses[STEPS:]])


def furthest(one: Trained, other: Trained) -> float:
    """The largest difference of two parameters."""
    return max(np.abs(leaf - other.after[path]).max() for path, leaf in one.after.items())


def what_moved(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """The parts in which any bit is another; all leaves must be there."""
    assert before.keys() == after.keys()
    paths = (path for path in before if not np.array_equal(before[path], after[path]))
    return {"/".join(path.split("/")[:2]) for path in paths}


def test_every_method_has_its_row():
    assert {row.split()[0] for row in ROWS} | ELSEWHERE.keys() == METHODS.keys()


@pytest.mark.parametrize(("method", "stage", "strategy"), CELLS)
def test_steps_lower_the_loss_and_move_what_the_stage_trains(method, stage, strategy):
    found = descend(method, stage, strategy)
    assert np.mean(found.again) < np.mean(found.losses)
    assert what_moved(found.before, found.after) == ROWS[method][1][stage]


@pytest.mark.parametrize(("method", "stage"), STAGES)
def test_accumulated_steps_are_those_of_the_large_batch(method, stage):
    whole, parts = (descend(method, stage, strategy) for strategy in LATER)
    assert furthest(whole, parts) < 1e-6
    np.testing.assert_allclose(parts.losses, whole.losses, rtol=1e-5)
    for one, other in zip(whole.metrics, parts.metrics, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-5), one, other)


@pytest.mark.parametrize(("method", "stage"), FIRST)
def test_clean_fgm_and_pgd_differ(method, stage):
    ways = ("clean", "fgm", "pgd", "all")
    clean, fgm, pgd, tokens = (descend(method, stage, strategy) for strategy in ways)
    for one, other in ((clean, fgm), (clean, pgd), (fgm, pgd), (clean, tokens)):
        assert furthest(one, other) > 1e-5
    for attacked in (fgm, pgd, tokens):
        lengths = [metrics["perturbation"] for metrics in attacked.metrics]
        assert 0 < max(lengths) < RADIUS + 1e-5
        worse = [metrics["adversarial_loss"] for metrics in attacked.metrics]
        assert np.mean(worse) > np.mean(attacked.losses)


# ---- the step that runs use, on 1 and 4 devices


def steps(method: str, name: str, strategy: str, devices: int) -> dict[str, Any]:
    """STEPS steps as a run takes them: the loss of each, and all parameters that they leave."""
    stage, plan, params = setting(method, name, strategy)
    where = {"devices": jax.devices()[:devices], "axis_types": (AxisType.Auto,)}
    mesh = jax.make_mesh((devices,), ("data",), **where)
    optimizer = make_optimizer(dataclasses.replace(plan, epsilon=1e-2), STEPS)
    trained, still = partition(params, stage.trains)
    frozen = place(merge(still, {"teacher": teacher_params()}), mesh)
    state = start(trained, optimizer, mesh, scaled=plan.precision == "float16")
    made: Any = make_steps(make_gradient(stage, plan), optimizer, STEPS, mesh)
    run = jax.jit(made.__wrapped__, donate_argnums=0, compiler_options=QUICK)
    rows = split_stacked(batches("BiLSTM" in method), mesh)
    state, metrics = run(state, frozen, rows, jax.random.key(3), np.int32(STEPS))
    assert not metrics["skipped"].any()
    return {"loss": metrics["loss"], **flatten(merge(state.params, frozen))}


BESIDE = """
import sys, jax, numpy as np, test_table as table
assert jax.device_count() == 4
for method, stage, strategy in table.IN_TURN:
    for devices in (1, 4):
        found = table.steps(method, stage, strategy, devices)
        np.savez(f"{sys.argv[1]}/{method} {strategy} {devices}.npz", **found)
"""


@pytest.fixture(scope="module", autouse=True)
def beside(tmp_path_factory):
    """Begins IN_TURN in another process, beside the other tests; called, waits for its files."""
    folder, here = tmp_path_factory.mktemp("beside"), os.path.dirname(__file__)
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "PYTHONPATH": os.pathsep.join([here, os.path.dirname(here)]),
    }
    words = [sys.executable, "-c", BESIDE, str(folder)]
    with open(folder / "said", "w") as said:
        process = subprocess.Popen(words, env=environment, stdout=said, stderr=said)

    def finished():
        assert process.wait(600) == 0, (folder / "said").read_text()
        return folder

    yield finished
    process.kill()
    process.wait()


@pytest.mark.parametrize(("method", "stage", "strategy"), IN_TURN)
def test_a_runs_steps_are_the_same_on_1_and_4_devices(method, stage, strategy, beside):
    _, plan, params = setting(method, stage, strategy)
    before = flatten({**params, "teacher": teacher_params()})
    one, four = (
        dict(np.load(beside() / f"{method} {strategy} {devices}.npz")) for devices in (1, 4)
    )
    near = 1e-5 if plan.precision == "float32" else 2e-3
    np.testing.assert_allclose(four.pop("loss"), one.pop("loss"), rtol=near)
    for found in (one, four):
        assert what_moved(before, found) == ROWS[method][1][stage]  # and nothing of the teacher's
    for path, leaf in one.items():
        np.testing.assert_allclose(four[path], leaf, atol=near, err_msg=path)
