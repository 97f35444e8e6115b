"""The quickstart's recipe, shortened, in both languages, in processes that may open no socket."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from test_main import launch

from jaxdistill.files import read_json

REFUSE = str(Path(__file__).parent / "refuse")
SHORT = [
    f"--config.{section}.{key}={value}"
    for section in (
        "teacher.recipe.stages.finetune",
        "stages.intermediate",
        "stages.prediction",
        "alone",
    )
    for key, value in {"epochs": 1, "batch_size": 32, "precision": "float32"}.items()
]
SMALL = ["--config.data.buckets=(48,)", "--config.teacher.recipe.data.buckets=(48,)"]
SMALL += [f"--config.student.{k}={v}" for k, v in {"width": 16, "inner": 16, "layers": 1}.items()]
SMALL += [
    f"--config.teacher.recipe.model.{k}={v}"
    for k, v in {"width": 16, "inner": 16, "layers": 2}.items()
]


@pytest.mark.parametrize(
    ("task", "less"),
    [
        ("reviews", []),
        ("reviews_zh", ["--config.baseline=False", "--config.method.stages_run=('prediction',)"]),
    ],
)
def test_quickstart_opens_no_socket(task, less, tmp_path):
    done = launch(
        "main",
        "--config=configs/quickstart.py",
        f"--workdir={tmp_path / 'student'}",
        f"--config.teacher.run={tmp_path / 'teacher'}",
        f"--config.task={task}",
        f"--config.teacher.recipe.task={task}",
        "--config.data.train_rows=96",
        "--config.teacher.margin=-1.0",  # nothing is learnt in three steps
        *SHORT,
        *SMALL,
        *less,
        PYTHONPATH=REFUSE,
        **({} if less else {"XLA_FLAGS": ""}),  # one of the two compiled as users' runs are
    )
    assert done.returncode == 0, done.stderr
    report = read_json(tmp_path / "student" / "report.json")
    assert {"teacher", "metrics"} <= set(report)
    assert ("baseline" in report) == (not less)
    again = launch("evaluate", tmp_path / "student", "--json", PYTHONPATH=REFUSE)
    assert again.returncode == 0, again.stderr


def test_a_local_glue_run_opens_no_socket(tmp_path):
    checkpoint = tiny.write_checkpoint(tmp_path / "hub" / "bert")
    data = tiny.write_sst2(tmp_path / "glue", train=16, dev=8)
    words = tiny.arguments(checkpoint, data, tmp_path / "run", stages__finetune__epochs=1)
    done = launch("main", *words[1:], PYTHONPATH=REFUSE)
    assert done.returncode == 0, done.stderr


def test_the_refusal_itself_works():
    import os
    import subprocess
    import sys

    environment = {**os.environ, "PYTHONPATH": REFUSE, "HF_HUB_OFFLINE": "1"}
    for code, status in (
        ("import urllib.request as u; u.urlopen('http://127.0.0.1:9')", 99),
        ("import socket; socket.gethostbyname('localhost')", 99),
        ("import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", 99),
        ("import socket; socket.gethostname()", 0),
        ("from jaxdistill.network import unreachable; unreachable()", 99),  # nobody forbade it
    ):
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
        assert done.returncode == status, (code, done.stderr)
