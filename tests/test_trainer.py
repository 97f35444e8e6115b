"""The loop around the steps: which parameters a stage leaves, how often it saves."""

from __future__ import annotations

import dataclasses
import shutil
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_optimizer import PLAN
from test_step import Listed
from test_strategies import BATCH, trained
from test_strategies import loss as toy_loss

from jaxdistill import processes, running, trainer
from jaxdistill.checkpoint import Checkpoints
from jaxdistill.data.batches import make_table
from jaxdistill.data.tables import Examples
from jaxdistill.data.tokens import Tokens
from jaxdistill.log import RunLog, read_metrics
from jaxdistill.preemption import Signals
from jaxdistill.sharding import make_mesh
from jaxdistill.surroundings import Surroundings
from jaxdistill.trainer import train_stage
from jaxdistill.types import Stage

TRAINED = dataclasses.replace(PLAN, epochs=1, batch_size=4, eval_steps=1)
START = {"student": {"w": np.float32(1.0)}}


def loss(trained, frozen, batch, rng, progress):
    return trained["student"]["w"] ** 2, {}


def around(folder: Path, found, steps: int, **changes) -> Surroundings:
    """found: what dev has at each evaluation."""
    values = iter(found)
    plain = Surroundings(
        folder=folder,
        epochs=lambda size, epoch: Listed([BATCH] * steps),
        evaluate=lambda params: {"accuracy": next(values)},
        selection="accuracy",
        seed=0,
        log=RunLog(None, speaks=False),
        signals=Signals(),
        mesh=make_mesh(),
        checkpoint_seconds=0.0,
        log_steps=100,
        ledger_steps=0,
    )
    return dataclasses.replace(plain, **changes)


def test_after_a_kill_the_best_is_what_is_kept_on_disk(tmp_path):
    """The newest state knows of the best at step 2; step 3 was better, and has replaced it."""
    stage = Stage("s", loss, lambda path: True, "best")
    with pytest.raises(StopIteration):  # killed at step 4
        train_stage(stage, TRAINED, START, {}, around(tmp_path, [0.1, 0.2, 0.9], 4), number=0)
    assert Checkpoints(tmp_path / "s" / "latest", 2, print).steps() == [2, 3]
    shutil.rmtree(tmp_path / "s" / "latest" / "3")
    kept = Checkpoints(tmp_path / "s" / "best", 1, print).restore(None)
    other = around(tmp_path, [0.15, 0.15], 4)  # as on another machine
    params, record = train_stage(stage, TRAINED, START, {}, other, number=0)
    assert (record["step"], record["metrics"], kept.step) == (3, {"accuracy": 0.9}, 3)
    assert params["student"]["w"] == kept.state["student"]["w"]


def test_a_stage_is_trained_as_its_plan_says(tmp_path):
    stage = Stage("s", toy_loss, lambda path: True, "last")
    found, seen, norms = {}, {}, {}
    for name, changes in {
        "none": {},
        "fgm": {"adversary": "fgm"},
        "pgd": {"adversary": "pgd"},
        "float16": {"precision": "float16"},
    }.items():
        plan = dataclasses.replace(TRAINED, **changes)
        with RunLog(tmp_path / name) as log:
            surroundings = around(tmp_path / name, [], 2, log=log, log_steps=1)
            params, _ = train_stage(stage, plan, trained(), {}, surroundings, number=0)
        found[name] = np.asarray(params["student"]["embeddings"]["word"]["embedding"])
        lines = [line for line in read_metrics(tmp_path / name) if line["kind"] == "train"]
        (seen[name],) = {frozenset(line) & {"adversarial_loss", "loss_scale"} for line in lines}
        norms[name] = round(lines[0]["gradient_norm"], 3)
    attacked = {"adversarial_loss"}
    assert seen == {"none": set(), "fgm": attacked, "pgd": attacked, "float16": {"loss_scale"}}
    assert norms["float16"] == norms["none"]
    assert len(set(norms.values())) == 3  # what the optimizer is given is another gradient
    np.testing.assert_allclose(found["float16"], found["none"], rtol=1e-5)


@pytest.mark.parametrize(
    ("every", "judged"), [(0, [3, 6]), (2, [2, 4, 6]), (3, [3, 6]), (5, [3, 6]), (500, [3, 6])]
)
def test_dev_is_judged_once_an_epoch_at_least(every, judged, tmp_path):
    plan = dataclasses.replace(TRAINED, epochs=2, eval_steps=every)
    stage = Stage("s", loss, lambda path: True, "best")
    with RunLog(tmp_path) as log:
        train_stage(stage, plan, START, {}, around(tmp_path, [0.1] * 9, 3, log=log), number=0)
    assert [x["step"] for x in read_metrics(tmp_path) if x["kind"] == "eval"] == judged


def test_a_wish_to_save_is_cast_once(tmp_path, monkeypatch):
    """Where the answer comes two dispatches later, as with several processes."""

    class Late:
        def __init__(self, mesh, delay):
            self.cast_before = deque([(False, False)] * delay)

        def cast(self, *wishes):
            self.cast_before.append(wishes)
            return self.cast_before.popleft()

    saved = []
    real = Checkpoints.save

    def save(self, step, state, details):
        saved.append(step) if self.folder.name == "latest" else None
        return real(self, step, state, details)

    now = iter(range(10_000))
    monkeypatch.setattr(processes, "Votes", Late)
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: float(next(now))))
    monkeypatch.setattr(trainer, "chunk_size", lambda *sizes, **where: 1)
    monkeypatch.setattr(Checkpoints, "save", save)
    stage = Stage("s", loss, lambda path: True, "last")
    surroundings = around(tmp_path, [], 60, checkpoint_seconds=8.0)
    train_stage(stage, TRAINED, START, {}, surroundings, number=0)
    apart = np.diff(saved)
    assert len(saved) > 2
    assert apart.min() > 1, saved


def test_a_run_shuffles_by_its_seed_in_every_epoch(tmp_path):
    """What the order is, test_batches has; here, that training asks for it."""
    count = 40
    tokens = Tokens(np.arange(count), np.arange(count + 1), np.ones(count, np.int32))
    examples = Examples(np.arange(count), (), np.zeros(count, np.int32))
    data = SimpleNamespace(buckets=(8,))
    config = SimpleNamespace(data=data, seed=7, checkpoint_minutes=1.0, log_steps=1, ledger_steps=0)
    bench = SimpleNamespace(
        config=config,
        tables={"train": make_table(examples, tokens)},
        stream=None,
        folder=tmp_path,
        log=RunLog(None, speaks=False),
        signals=Signals(),
    )
    epochs = running._surroundings(bench, lambda params: {}, "accuracy").epochs

    def order(epoch: int) -> list[int]:
        made = epochs(8, epoch)
        return [int(row) for at in range(len(made)) for row in made[at].row]

    first, second = order(0), order(1)
    assert sorted(first) == sorted(second) == list(range(count))
    assert first == order(0) and first != second and first != sorted(first)
    config.seed = 8
    assert order(0) != first
