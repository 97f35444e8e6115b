"""Two processes on this machine are one run: the same parameters, killed, resumed, shared out."""

from __future__ import annotations

import json
import re
import signal
import time

import numpy as np
import pytest
import tiny
import together
from test_distil import SHAPE

from jaxdistill.files import read_json
from jaxdistill.log import read_metrics
from jaxdistill.runs import open_run
from jaxdistill.trees import flatten

COUNTED = """
import json, sys
import numpy as np
import os
from jaxdistill import augmenting, cli, main, mirror, teacher_cache
from jaxdistill.data import batches, tokens
from jaxdistill.data.augment import made

# Several chunks, so that every process has some.
teacher_cache.cached_answers.__kwdefaults__["chunk"] = 64
augmenting.CHUNK = made.make.__kwdefaults__["size"] = 50
if "APART" in os.environ and "--process=1" in sys.argv:  # nothing of process 0's disk is seen
    stamp = mirror._stamp
    mirror._stamp = lambda path: stamp(path) if mirror.SCRATCH in str(path) else [-1, -1]

texts, rows = 0, {}
encode, item = tokens.encode, batches.Epoch.__getitem__

def counting(columns, *rest):
    global texts
    texts += len(columns[0])
    return encode(columns, *rest)

def looking(self, index):
    batch = item(self, index)
    if self._mine is not None:
        rows[index] = rows.get(index, 0) + int(batch.weight.sum())
    return batch

tokens.encode, batches.Epoch.__getitem__ = counting, looking
status = cli.run(main.main, sys.argv)
print(json.dumps({"texts": texts, "trained": sum(rows.values())}))
sys.exit(status)
"""
STEPS = 50
ROWS = 197  # 25 batches of 8, the last of them ragged
EPOCHS = {"kd": 2, "tinybert": 1, "theseus": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_sst2(tmp_path_factory.mktemp("glue"), train=ROWS)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny.write_checkpoint(tmp_path_factory.mktemp("hub") / "tiny-bert", shape=SHAPE)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data, checkpoint):
    """A folder with a finished teacher, and a function that gives the words of a student's run."""
    folder = tmp_path_factory.mktemp("runs")
    taught = tiny.arguments(checkpoint, data, folder / "teacher", data__buckets=(32,))
    ((status, _, err),) = together.finish(together.start(["-m", "jaxdistill.main", *taught[1:]], 1))
    assert status == 0, err

    def words(recipe: str, name: str, **overrides: object) -> list[str]:
        stages = {
            "kd": ("kd",),
            "theseus": ("replace", "successor"),
            "tinybert": ("intermediate", "prediction"),
        }[recipe]
        plans = {f"stages.{s}.{k}": v for s in stages for k, v in tiny.PLAN.items()}
        values = {
            **plans,
            **{f"stages.{s}.epochs": EPOCHS[recipe] for s in stages},
            # Adam makes steps of what is nothing but rounding, such as the gradient of the keys'
            # bias, which softmax does not see; not so with this epsilon.
            **{f"stages.{s}.epsilon": 1e-3 for s in stages},
            "data.folder": data,
            "data.buckets": (32,),
            "data.max_length": 32,
            "teacher.run": folder / "teacher",
            "student.layers": 2,
            "student.dropout": 0.0,
            "baseline": False,
            **{key.replace("__", "."): value for key, value in overrides.items()},
        }
        return [
            f"--config=configs/{recipe}_sst2.py",
            f"--workdir={folder / name}",
            *(f"--config.{k}={v}" for k, v in values.items()),
        ]

    return folder, words


def finished(words: list[str], count: int, **environment: str) -> list[tuple[dict, str]]:
    """What each process counted and said; none failed."""
    ended = together.finish(together.start(["-c", COUNTED, *words], count, **environment))
    for status, _, err in ended:
        assert status == 0, err
    return [(json.loads(out.splitlines()[-1]), err) for _, out, err in ended]


def parameters(run):
    return flatten(open_run(run, print).params)


def near(run, other):
    """All parameters to 1e-6; the same lines in the log, its losses and accuracies to 1e-5."""
    one, two = parameters(run), parameters(other)
    assert one.keys() == two.keys()
    for path, leaf in one.items():
        np.testing.assert_allclose(leaf, two[path], rtol=0, atol=1e-6, err_msg=path)
    lines = [read_metrics(run), read_metrics(other)]
    assert [line.keys() for line in lines[0]] == [line.keys() for line in lines[1]]
    for one, two in zip(*lines, strict=True):
        for name in {"loss", "accuracy"} & one.keys():
            assert one[name] == pytest.approx(two[name], abs=1e-5), name


@pytest.fixture(scope="module")
def kd(runs, tmp_path_factory):
    """One process's KD."""
    folder, words = runs
    finished(words("kd", "kd1"), 1, JAXDISTILL_CACHE=str(tmp_path_factory.mktemp("cache")))
    return folder / "kd1"


AUGMENTED = {
    "augment.name": "tang",
    "augment.copies": 1,
    "augment.p_pos": 0.0,
    "augment.stages": ("prediction",),
}


@pytest.mark.parametrize(
    ("recipe", "more"),
    [
        ("kd", {}),
        ("tinybert", AUGMENTED),
        ("theseus", {"stages.replace.accumulate": 2}),
    ],
)
def test_two_processes_are_one(recipe, more, runs, kd, tmp_path):
    folder, words = runs
    if recipe != "kd":
        cache = {"JAXDISTILL_CACHE": str(tmp_path / "other cache")}
        finished(words(recipe, f"{recipe}1", **more), 1, **cache)
    apart = {"APART": "1"} if recipe == "theseus" else {}  # no disk is shared
    cache = {"JAXDISTILL_CACHE": str(tmp_path / "cache")}
    two = finished(words(recipe, f"{recipe}2", **more), 2, **apart, **cache)
    near(folder / f"{recipe}1", folder / f"{recipe}2")
    (first, spoken), (second, silent) = two
    # Half of the texts each, and half of what was trained on.
    for what in ("texts", "trained"):
        assert first[what] == pytest.approx(second[what], abs=8)
    if recipe != "tinybert":
        assert first["texts"] + second["texts"] == ROWS + 40
        assert first["trained"] + second["trained"] == 2 * ROWS
    assert "2 cpu device(s)" in spoken and "on dev" in spoken
    assert "on dev" not in silent and "rows" not in silent
    one, other = (read_json(folder / f"{recipe}{n}" / "report.json") for n in (1, 2))
    assert one["metrics"]["dev"]["accuracy"] == other["metrics"]["dev"]["accuracy"]
    if recipe == "kd":
        assert "0 of 197 rows found (0%), 197 computed" in spoken


@pytest.mark.parametrize("devices", [2, 4])
def test_devices_are_one(devices, runs, kd):
    folder, words = runs
    name = f"kd-on-{devices}"
    flags = f"--xla_force_host_platform_device_count={devices}"
    ((_, said),) = finished(words("kd", name), 1, XLA_FLAGS=flags)
    assert f"{devices} cpu device(s)" in said
    near(kd, folder / name)


def test_evaluate_and_predict_share_the_rows(kd, data, tmp_path):
    one, two = (
        together.finish(together.start(["-m", "jaxdistill.evaluate", kd, "--json"], count))
        for count in (1, 2)
    )
    assert [status for status, *_ in (*one, *two)] == [0, 0, 0]
    assert json.loads(two[0][1])["metrics"] == pytest.approx(json.loads(one[0][1])["metrics"])
    assert two[1][1] == ""
    texts = tmp_path / "texts.txt"
    lines = (data / "SST-2" / "dev.tsv").read_text().splitlines()[1:]
    texts.write_text("".join(line.split("\t")[0] + "\n" for line in lines) + "one more\n")
    said = []
    for count in (1, 2):
        out = tmp_path / f"said{count}.jsonl"
        ended = together.finish(
            together.start(
                ["-m", "jaxdistill.predict", kd, f"--input={texts}", f"--output={out}"], count
            )
        )
        assert [status for status, *_ in ended] == [0] * count, ended
        said.append([json.loads(line) for line in out.read_text().splitlines()])
    assert len(said[0]) == 41
    for a, b in zip(*said, strict=True):
        assert (a["row"], a["label"]) == (b["row"], b["label"])
        assert a["probabilities"] == pytest.approx(b["probabilities"], abs=1e-5)
    (status, _, err), _ = together.finish(together.start(["-m", "jaxdistill.predict", kd]))
    assert status == 2 and "2 processes share the rows of a file" in err


def stopped(folder, name, words, count, how, which):
    """What the processes of a run end with, one of which got a signal after some steps."""
    started = together.start(["-m", "jaxdistill.main", *words], count)
    log, deadline = folder / name / "metrics.jsonl", time.monotonic() + 200
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        assert all(process.poll() is None for process in started), together.finish(started)
        time.sleep(0.02)
    began = time.monotonic()
    started[which].send_signal(how)
    ended = together.finish(started)
    return ended, time.monotonic() - began


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_signal_to_one_stops_all_and_others_go_on(before, after, runs, kd):
    folder, words = runs
    name = f"kd{before}then{after}"
    more = {"log_steps": 3}
    ended, _ = stopped(folder, name, words("kd", name, **more), before, signal.SIGTERM, before - 1)
    assert [status for status, *_ in ended] == [85] * before, ended
    assert "The same command goes on from here" in ended[0][2]
    saved = [int(p.name) for p in (folder / name / "checkpoints" / "kd" / "latest").iterdir()]
    assert 0 < max(saved) < STEPS
    said = finished(words("kd", name, **more), after)
    assert f"resuming at step {max(saved)} of {STEPS}" in said[0][1]
    for path, leaf in parameters(kd).items():
        np.testing.assert_allclose(leaf, parameters(folder / name)[path], rtol=0, atol=1e-6)


@pytest.mark.parametrize("which", [0, 1])
def test_when_one_dies_the_other_leaves(which, runs):
    folder, words = runs
    name = f"killed{which}"
    run = words("kd", name, stages__kd__epochs=400, log_steps=3)
    ended, seconds = stopped(folder, name, run, 2, signal.SIGKILL, which)
    assert ended[which][0] == -signal.SIGKILL
    assert ended[1 - which][0] not in (0, 2, 85)
    assert seconds < 60  # processes.HEARTBEAT_SECONDS and what it takes to notice


SMALL_BLOCKS = """
import os, signal, sys
from jaxdistill import cli, main
from jaxdistill.data import stream, textfiles

textfiles.BLOCK = 16
give = stream.Stream.__getitem__

def stopping(self, index):
    if "--process=1" in sys.argv and str(index) == os.environ.get("KILLED_AT"):
        os.kill(os.getpid(), signal.SIGKILL)
    return give(self, index)

stream.Stream.__getitem__ = stopping
sys.exit(cli.run(main.main, sys.argv))
"""


def test_a_stream_killed_in_one_of_two_goes_on_at_its_place(checkpoint, tmp_path):
    """General distillation, the process killed hard; a checkpoint after every dispatch."""
    rng = np.random.default_rng(0)
    lines = (" ".join(rng.choice(tiny.PLAIN + tiny.GOOD, rng.integers(3, 30))) for _ in range(900))
    (tmp_path / "texts.txt").write_text("\n".join(lines))
    student = {"layers": 1, "width": 8, "heads": 2, "inner": 16, "dropout": 0.1}
    values = {
        **{f"student.{name}": value for name, value in student.items()},
        **{f"stages.general.{name}": value for name, value in tiny.PLAN.items()},
        "stages.general.epochs": 3,
        "stages.general.eval_steps": 10,
        "teacher.source": checkpoint,
        "data.corpus": tmp_path / "texts.txt",
        "data.held_out": 0.05,
        "data.dev_rows": 16,
        "data.steps": 10,
        "data.lanes": 4,
        "data.max_length": 16,
        "data.buckets": (16,),
        "checkpoint_minutes": 1e-4,
    }

    def run(name: str, **environment: str) -> list[tuple[int, str, str]]:
        words = [f"--workdir={tmp_path / name}", *(f"--config.{k}={v}" for k, v in values.items())]
        command = ["-c", SMALL_BLOCKS, "--config=configs/general_tinybert.py", *words]
        return together.finish(together.start(command, 2, **environment))

    whole = run("whole")
    assert [status for status, *_ in whole] == [0, 0], whole
    killed = run("killed", KILLED_AT="23")
    assert killed[1][0] == -signal.SIGKILL
    assert killed[0][0] not in (0, 2, 85)
    again = run("killed")
    assert [status for status, *_ in again] == [0, 0], again
    step = int(re.search(r"resuming at step (\d+) of 30", again[0][2])[1])
    assert 0 < step < 23
    one, other = (read_json(tmp_path / name / "report.json") for name in ("whole", "killed"))
    assert one["parameters_sha256"] == other["parameters_sha256"]
    assert one["metrics"] == other["metrics"]


def test_a_wrong_run_is_told_by_both(runs):
    folder, words = runs
    started = together.start(
        ["-m", "jaxdistill.main", *words("kd", "odd", stages__kd__batch_size=7)]
    )
    for number, (status, _, err) in enumerate(together.finish(started)):
        assert status == 2, err
        assert f"process {number} of 2: error: config.stages.kd.batch_size is 7" in err
    assert not (folder / "odd").exists()
