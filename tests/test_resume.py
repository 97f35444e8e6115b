"""Interrupted at random moments and started again: bit-equal to a run that nothing interrupted."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny

from jaxdistill.files import read_json
from jaxdistill.log import read_metrics

ROOT = Path(__file__).parents[1]
KILLS = 5
EPOCHS = 60


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    checkpoint = tiny.write_checkpoint(folder / "hub" / "tiny-bert")
    data = tiny.write_sst2(folder / "glue", train=250)

    def words(run: Path) -> list[str]:
        return tiny.arguments(
            checkpoint,
            data,
            run,
            checkpoint_minutes=0.005,
            log_steps=7,
            stages__finetune__epochs=EPOCHS,
            stages__finetune__eval_steps=50,
            stages__finetune__learning_rate=1e-3,
        )[1:]

    return words


def begin(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "jaxdistill.main", *words],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def unbroken(words, tmp_path_factory):
    run = tmp_path_factory.mktemp("unbroken") / "run"
    process = begin(words(run))
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return run


def wait_for_steps(run: Path, process: subprocess.Popen[str]) -> None:
    """Until the newest process has trained a little: the log or a checkpoint has grown."""
    log = run / "metrics.jsonl"
    before = log.stat().st_size if log.exists() else 0
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if log.exists() and log.stat().st_size > before:
            return
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_interrupted_five_times_and_bit_equal(how, words, unbroken, tmp_path):
    run = tmp_path / "run"
    moments = random.Random(int(how))
    interrupted = 0
    resumed = []
    while True:
        process = begin(words(run))
        if interrupted < KILLS:
            wait_for_steps(run, process)
            time.sleep(moments.uniform(0.0, 0.6))
            process.send_signal(how)
        _, err = process.communicate(timeout=300)
        resumed += re.findall(r"resuming at step (\d+) of", err)
        if process.returncode == 0:
            break
        interrupted += 1
        if how == signal.SIGTERM:
            assert process.returncode == 85, err
            assert "The same command goes on from here" in err
        else:
            assert process.returncode == -signal.SIGKILL, err
    assert interrupted == KILLS  # the run is long enough for all of them
    steps = [int(step) for step in resumed]
    assert steps == sorted(steps)
    assert steps[-1] > steps[0]
    one, other = read_json(unbroken / "report.json"), read_json(run / "report.json")
    assert other["parameters_sha256"] == one["parameters_sha256"]
    assert other["metrics"] == one["metrics"]
    assert read_metrics(run) == read_metrics(unbroken)


def test_a_flipped_byte_is_named_and_walked_back_over(words, unbroken, tmp_path):
    run = tmp_path / "run"
    process = begin(words(run))
    latest = run / "checkpoints" / "finetune" / "latest"
    while len(list(latest.glob("[0-9]*/manifest.json"))) < 2:  # two, so that one is left to go to
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    steps = sorted(int(p.parent.name) for p in latest.glob("*/manifest.json"))
    newest = max(
        (p for p in (latest / str(steps[-1]) / "state").rglob("*") if p.is_file()),
        key=lambda p: p.stat().st_size,
    )
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    process = begin(words(run))
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert newest.name in err
    assert "damaged and passed over" in err
    assert f"resuming at step {steps[-2]} of" in err
    report = read_json(run / "report.json")
    assert report["parameters_sha256"] == read_json(unbroken / "report.json")["parameters_sha256"]


def test_a_broken_final_checkpoint_is_said(words, unbroken, tmp_path):
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(unbroken), str(run)], check=True)
    best = next((run / "checkpoints" / "finetune" / "best").glob("*/manifest.json")).parent
    for file in (best / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-m", "jaxdistill.evaluate", str(run)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert "No sound checkpoint is left" in done.stderr


def test_a_run_whose_rows_changed_is_not_continued(words, tmp_path):
    run = tmp_path / "run"
    process = begin(words(run))
    wait_for_steps(run, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 85
    other = tiny.write_sst2(tmp_path / "other", train=250, seed=1)
    more = [w for w in words(run) if not w.startswith("--config.data.folder")]
    read = read_json(run / "config.json")
    read["data"]["folder"] = str(other)
    (run / "config.json").write_text(__import__("json").dumps(read))
    process = begin([*more, f"--config.data.folder={other}"])
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "The train rows are not those" in err
