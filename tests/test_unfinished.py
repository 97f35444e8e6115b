"""--unfinished: the best so far of a run that is not finished, by every verb that opens one."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
import together
from test_export import SHAPE, ignore, random_params, write_run

from jaxdistill import evaluate, export, predict, running, scoring
from jaxdistill.checkpoint import Checkpoints
from jaxdistill.config import from_command_line
from jaxdistill.errors import Preempted, UserError
from jaxdistill.log import read_metrics
from jaxdistill.models.bert import Bert
from jaxdistill.recipe import ensure_run
from jaxdistill.runs import open_run
from jaxdistill.trees import flatten

PARAMS = random_params(SHAPE)


def keep(run: Path, stage: str, step: int, *, shift: float = 0.0, most: int = 1) -> Path:
    """Saves a best one so far, its parameters moved by shift; the folder."""
    folder = run / "checkpoints" / stage / "best"
    state = {"student": jax.tree.map(lambda leaf: np.float32(leaf + shift), PARAMS)}
    record = {"step": step, "metrics": {"accuracy": 0.5}}
    assert Checkpoints(folder, most, ignore).save(step, state, record)
    return folder / str(step)


def unfinished(folder: Path, *steps: int) -> Path:
    """A run in whose last stage there are bests of these steps, moved by the step."""
    run = write_run(folder / "run", PARAMS, Bert(SHAPE))
    shutil.rmtree(run / "checkpoints" / "last")
    for step in steps:
        keep(run, "last", step, shift=step, most=len(steps))
    return run


def shift_of(run) -> float:
    """By how much every parameter was moved."""
    found, kept = flatten(run.params), flatten(PARAMS)
    shifts = [np.asarray(found[path], np.float64) - kept[path] for path in kept]
    assert max(np.ptp(each) for each in shifts) < 1e-4
    return round(float(shifts[0].mean()), 3)


def test_the_refusal_says_what_there_is(tmp_path):
    run = unfinished(tmp_path, 7)
    said = "not finished stage 'last'.*best so far, step 7 of stage 'last', with --unfinished"
    with pytest.raises(UserError, match=said):
        open_run(run, ignore)
    shutil.rmtree(run / "checkpoints" / "last")
    with pytest.raises(UserError, match="so far, step 3 of stage 'first', with --unfinished"):
        open_run(run, ignore)
    with pytest.raises(UserError, match="not finished stage 'last'") as refused:
        open_run(run, ignore, stage="last")
    assert "--unfinished" not in str(refused.value)
    with pytest.raises(UserError, match="kept no parameters yet that --unfinished"):
        open_run(run, ignore, stage="last", unfinished=True)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UserError, match="kept no parameters yet that --unfinished"):
        open_run(run, ignore, unfinished=True)


def test_the_newest_of_the_last_stage_that_has_one(tmp_path):
    said: list[str] = []
    run = unfinished(tmp_path, 5, 9)
    found = open_run(run, said.append, unfinished=True)
    assert (found.stage, found.finished, found.record["step"]) == ("last", False, 9)
    assert (shift_of(found), found.record["metrics"]) == (9, {"accuracy": 0.5})
    assert said == [
        f"{run} is not finished: these are its best parameters so far, of step 9 of stage 'last'"
    ]
    assert found.place == "stage last, step 9, of a run that is not finished"
    for file in (run / "checkpoints" / "last" / "best" / "9" / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    found = open_run(run, said.append, unfinished=True)  # the newest that is sound
    assert (found.record["step"], shift_of(found)) == (5, 5)
    assert "damaged and passed over" in said[1] and "of step 5 of stage 'last'" in said[2]
    shutil.rmtree(run / "checkpoints" / "last")
    found = open_run(run, said.append, unfinished=True)
    assert (found.stage, found.finished, shift_of(found)) == ("first", False, 1)
    assert "of step 3 of stage 'first'" in said[-1]


def test_what_is_finished_is_as_without_the_flag(tmp_path):
    said: list[str] = []
    run = write_run(tmp_path / "run", PARAMS, Bert(SHAPE))
    for stage, shift in ((None, 0), ("last", 0), ("first", 1)):
        found = open_run(run, said.append, stage=stage, unfinished=True)
        assert (found.finished, shift_of(found)) == (True, shift)
        assert found.place == f"stage {stage or 'last'}"
    (run / "checkpoints" / "last" / "done.json").unlink()
    found = open_run(run, said.append, stage="first")  # a finished stage of one that goes on
    assert (found.finished, shift_of(found)) == (False, 1)
    assert said == []


def test_a_run_that_goes_on_replaces_it_meanwhile(tmp_path, monkeypatch):
    run, whole = unfinished(tmp_path, 4), Checkpoints.restore
    later = [6, 8]

    def restore(self, abstract, step=None):
        """Between looking and reading, another best is put in the place of what was seen."""
        if not later:
            return whole(self, abstract, step)
        keep(run, "last", step := later.pop(0), shift=step)
        if step == 6:
            raise UserError("No sound checkpoint is left")
        return None

    monkeypatch.setattr(Checkpoints, "restore", restore)
    found = open_run(run, ignore, unfinished=True)
    assert (found.record["step"], shift_of(found)) == (8, 8)
    monkeypatch.setattr(Checkpoints, "restore", lambda *_: None)
    with pytest.raises(UserError, match="holds no checkpoint"):
        open_run(run, ignore, unfinished=True)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that a signal stopped after its second evaluation; dev's file."""
    folder = tmp_path_factory.mktemp("stopped")
    checkpoint = tiny.write_checkpoint(folder / "hub" / "tiny-bert")
    data = tiny.write_sst2(folder / "glue", train=48)
    words = tiny.arguments(
        checkpoint, data, folder / "run", stages__finetune__epochs=5, stages__finetune__eval_steps=3
    )
    left = [None, None]

    def score(logits, labels):
        left.pop()
        if not left:
            os.kill(os.getpid(), signal.SIGTERM)
        return scoring.score(logits, labels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "score", score)
        patch.chdir(Path(__file__).parents[1])
        with pytest.raises(Preempted):
            ensure_run(from_command_line(words))
    assert not (folder / "run" / "checkpoints" / "finetune" / "done.json").exists()
    return folder / "run", data / "SST-2" / "dev.tsv"


def test_the_verbs_take_the_best_of_a_stopped_run(stopped, tmp_path, capsys):
    run, dev = stopped
    judged = [line for line in read_metrics(run) if line["kind"] == "eval"]
    best = max(judged, key=lambda line: line["accuracy"])  # the first of equal ones
    step = best["step"]
    words = {
        "evaluate": (evaluate, []),
        "predict": (predict, [f"--input={dev}", f"--output={tmp_path / 'said.jsonl'}"]),
        "export": (export, [f"--output={tmp_path / 'out'}"]),
    }
    for name, (verb, more) in words.items():
        with pytest.raises(UserError, match=f"step {step} of stage 'finetune', with --unfinished"):
            verb.main([name, str(run), *more])
        assert not (tmp_path / "out").exists() and not (tmp_path / "said.jsonl").exists()
    place = f"stage finetune, step {step}, of a run that is not finished"
    for name, (verb, more) in words.items():
        capsys.readouterr()
        verb.main([name, str(run), *more, "--unfinished"])
        out, err = capsys.readouterr()
        assert f"not finished: these are its best parameters so far, of step {step} of" in err
        assert (place in out) == (name != "predict")
        if name == "evaluate":
            said = json.loads(out.splitlines()[-1])
            assert (said["finished"], said["step"]) == (False, step)
            for metric, value in said["metrics"].items():
                assert value == pytest.approx(best[metric], abs=1e-6)
    rows = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    labels = [line.rsplit("\t", 1)[1] for line in dev.read_text().splitlines()[1:]]
    right = [
        row["label"] == ("negative", "positive")[int(n)]
        for row, n in zip(rows, labels, strict=True)
    ]
    assert np.mean(right) == pytest.approx(best["accuracy"])
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_two_processes_take_the_same(stopped, capsys):
    run, _ = stopped
    evaluate.main(["evaluate", str(run), "--unfinished", "--json"])
    alone = json.loads(capsys.readouterr().out)
    words = ["-m", "jaxdistill.evaluate", run, "--unfinished", "--json"]
    (status, out, err), (other, nothing, quiet) = together.finish(together.start(words))
    assert (status, other, nothing) == (0, 0, ""), err + quiet
    assert json.loads(out)["metrics"] == pytest.approx(alone["metrics"], abs=1e-6)
    assert json.loads(out)["step"] == alone["step"]
    assert "is not finished" in err and "is not finished" not in quiet
