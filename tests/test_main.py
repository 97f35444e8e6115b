"""The verbs as a user runs them, on a tiny checkpoint and a tiny SST-2."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny

from jaxdistill.config import from_command_line
from jaxdistill.files import read_json

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_sst2(tmp_path_factory.mktemp("glue"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny.write_checkpoint(tmp_path_factory.mktemp("hub") / "tiny-bert")


def launch(module: str, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"jaxdistill.{module}", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def ensure(words: list[str]) -> dict[str, object]:
    from jaxdistill.recipe import ensure_run

    return ensure_run(from_command_line(words))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data, checkpoint):
    """A run made by the command itself."""
    run = tmp_path_factory.mktemp("runs") / "teacher"
    words = tiny.arguments(checkpoint, data, run, stages__finetune__epochs=10)
    done = launch("main", *words[1:])
    assert done.returncode == 0, done.stderr
    return run, words, done


def test_the_run_folder_explains_itself(finished):
    run, _, done = finished
    for name in (
        "config.json",
        "model.json",
        "tokenizer/vocab.txt",
        "metrics.jsonl",
        "predictions/dev.npz",
        "report.json",
        "report.md",
        "curves.png",
        "checkpoints/finetune/done.json",
    ):
        assert (run / name).exists(), name
    assert list((run / "tensorboard").rglob("*tfevents*"))
    assert not (run / "checkpoints/finetune/latest").exists()
    assert "finetune 120/120" in done.stderr  # one line every few seconds, and the last
    assert "accuracy" in done.stdout
    report = read_json(run / "report.json")
    assert report["metrics"]["dev"]["accuracy"] > 0.9  # two words decide; it must have learnt them
    embeddings = 60 * 16 + 64 * 16 + 2 * 16 + 32
    layer = 4 * (16 * 16 + 16) + 2 * 32 + 16 * 32 + 32 + 32 * 16 + 16
    heads = 16 * 16 + 16 + 16 * 2 + 2
    assert report["parameters"]["total"] == embeddings + 2 * layer + heads
    assert report["bytes"] == 4 * report["parameters"]["total"]


def test_evaluate_in_a_new_process_equals_the_report(finished):
    run, _, _ = finished
    done = launch("evaluate", run, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["metrics"] == read_json(run / "report.json")["metrics"]["dev"]


def test_evaluate_reads_a_file_that_the_task_never_saw(finished, data, tmp_path):
    run, _, _ = finished
    lines = (data / "SST-2" / "dev.tsv").read_text().splitlines()
    file = tmp_path / "held-out.tsv"
    file.write_text("\n".join(lines[:1] + lines[1:11]) + "\n")
    result = json.loads(launch("evaluate", run, "--data", file).stdout.splitlines()[-1])
    kept = np.load(run / "predictions" / "dev.npz")
    expected = (kept["logits"][:10].argmax(1) == kept["labels"][:10]).mean()
    assert result["rows"] == 10
    assert result["metrics"]["accuracy"] == pytest.approx(expected)


def test_the_same_command_on_a_finished_run_prints_the_report_and_returns(finished):
    run, words, done = finished
    before = sorted((p, p.stat().st_mtime_ns) for p in run.rglob("*") if p.is_file())
    again = launch("main", *words[1:])
    assert again.returncode == 0
    assert again.stdout == done.stdout
    after = sorted((p, p.stat().st_mtime_ns) for p in run.rglob("*") if p.is_file())
    assert [p for p, _ in before] == [p for p, _ in after]
    assert {p.name for p, t in set(before) ^ set(after)} <= {"lock"}


def test_a_moved_run_folder_still_serves(finished, tmp_path):
    run, _, _ = finished
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-r", str(run), str(moved)], check=True)
    result = launch("evaluate", moved, "--json")
    assert json.loads(result.stdout)["metrics"] == read_json(run / "report.json")["metrics"]["dev"]


def test_bfloat16_and_float32_agree_on_the_same_weights(finished):
    run, _, _ = finished
    scores = [
        json.loads(launch("evaluate", run, "--json", "--precision", p).stdout)["metrics"]["loss"]
        for p in ("float32", "bfloat16")
    ]
    assert scores[0] != scores[1]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)


def test_four_devices_equal_one(data, checkpoint, tmp_path):
    """24 steps in float32 without dropout; the same global batches, split in four."""
    runs = {}
    for devices in (1, 4):
        run = tmp_path / f"on{devices}"
        words = tiny.arguments(
            checkpoint, data, run, model__dropout=0.0, stages__finetune__learning_rate=5e-5
        )
        flags = f"--xla_force_host_platform_device_count={devices}"
        done = launch("main", *words[1:], XLA_FLAGS=flags)
        assert done.returncode == 0, done.stderr
        runs[devices] = run
    from jaxdistill.runs import open_run
    from jaxdistill.trees import flatten

    one, four = (flatten(open_run(runs[n], print).params) for n in (1, 4))
    assert "4 x cpu" in read_json(runs[4] / "report.json")["device"]
    for path in one:
        np.testing.assert_allclose(one[path], four[path], atol=1e-5, err_msg=path)


def test_a_classifier_of_somebodys_is_scored_as_it_is(data, tmp_path):
    """Its names are in the other order: the outputs are swapped, with a notice."""
    theirs = tiny.write_checkpoint(tmp_path / "theirs", labels=("Positive", "Negative"))
    ours = tiny.write_checkpoint(tmp_path / "ours", labels=("negative", "positive"))
    results = {}
    for name, source in (("theirs", theirs), ("ours", ours)):
        run = tmp_path / f"run-{name}"
        done = launch(
            "main",
            "--config=configs/score_sst2.py",
            f"--config.model.source={source}",
            f"--config.data.folder={data}",
            "--config.data.max_length=32",
            "--config.data.buckets=(32,)",
            f"--workdir={run}",
        )
        assert done.returncode == 0, done.stderr
        results[name] = np.load(run / "predictions" / "dev.npz")["logits"]
    np.testing.assert_allclose(results["theirs"], results["ours"][:, ::-1], atol=1e-6)


WRONG = {
    "misspelt key": (["--config.data.train_row=1"], "train_rows", False),
    "forgotten --config.": (["data.train_rows=1"], "--config.data.train_rows=1", False),
    "wrong type": (["--config.seed=one"], "seed=one", False),
    "missing data folder": (["--config.data.folder=nowhere"], "nowhere", True),
    "missing source": (["--config.model.source=./nowhere"], "nowhere", True),
    "unknown task": (["--config.task=sst3"], "sst2", True),
    "unknown method": (["--config.method.name=kdd"], "finetune", True),
    "batch that devices cannot share": (
        ["--config.stages.finetune.batch_size=6"],
        "4 devices cannot share evenly.* 4 or 8",
        True,
    ),
    "length over the buckets": (["--config.data.max_length=33"], "max_length is 33", False),
    "buckets over the positions": (["--config.data.buckets=(16,128)"], "has 64 positions", True),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_a_paragraph_and_exit_2(case, data, checkpoint, tmp_path):
    wrong, said, heavy = WRONG[case]
    words = tiny.arguments(checkpoint, data, tmp_path / "run")[1:]
    begun = time.monotonic()
    done = launch("main", *words, *wrong, XLA_FLAGS="--xla_force_host_platform_device_count=4")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(said, done.stderr), done.stderr
    assert heavy or time.monotonic() - begun < 3.0  # before jax is imported


def test_a_label_outside_the_task_names_its_row(data, checkpoint, tmp_path):
    bad = tiny.write_sst2(tmp_path / "glue")
    file = bad / "SST-2" / "train.tsv"
    lines = file.read_text().splitlines()
    lines[7] = "a dull film\t-1"
    file.write_text("\n".join(lines) + "\n")
    done = launch("main", *tiny.arguments(checkpoint, bad, tmp_path / "run")[1:])
    assert done.returncode == 2
    assert "train.tsv, line 8: the label is '-1'" in done.stderr


def test_a_run_of_another_config_is_not_touched(finished):
    _, words, _ = finished
    done = launch("main", *words[1:], "--config.seed=5")
    assert done.returncode == 2
    assert "seed was 0, is 5" in done.stderr


def test_evaluate_says_what_a_folder_lacks(finished, tmp_path):
    run, _, _ = finished
    for words, said in (
        ([tmp_path], "is not a run folder"),
        ([run, "--stage=replace"], "has no stage 'replace'; its stages are finetune"),
        ([run, "--split=test"], "test.tsv"),
        ([run, "--data=nothing.tsv"], "nothing.tsv"),
        ([run, "--precision=int8"], "float32, bfloat16"),
    ):
        done = launch("evaluate", *words)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        assert said in done.stderr
