"""prefetch: tasks and checkpoints brought once, checked, kept, and read later without a network."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import test_sources
import tiny
from test_sources import FakeHub, hub  # noqa: F401  (a fixture)

from jaxdistill import network, prefetch
from jaxdistill.config import from_command_line
from jaxdistill.data import hub as splits
from jaxdistill.data.readers import read_split
from jaxdistill.data.tables import assemble
from jaxdistill.data.tasks import TASKS
from jaxdistill.data.writing import as_file
from jaxdistill.errors import UserError
from jaxdistill.files import read_json
from jaxdistill.models.huggingface import to_huggingface
from jaxdistill.recipe import ensure_run

ROOT = Path(__file__).parents[1]


def quiet(text: str) -> None:
    pass


# a split as a file


def test_files_by_hand():
    one = [["a\tb ", "字"]]
    sst2 = assemble(TASKS["sst2"], one, [1, 0])
    assert as_file(TASKS["sst2"], "train", sst2) == "sentence\tlabel\na b\t1\n字\t0\n"
    assert as_file(TASKS["sst2"], "test", sst2) == "index\tsentence\n0\ta b\n1\t字\n"
    assert as_file(TASKS["cola"], "dev", sst2) == "0\t1\t-\ta b\n1\t0\t-\t字\n"
    two = [["a"], ["b"]]
    rte = assemble(TASKS["rte"], two, [1])
    expected = "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tnot_entailment\n"
    assert as_file(TASKS["rte"], "dev", rte) == expected
    stsb = assemble(TASKS["stsb"], two, [3.799999952316284])
    assert as_file(TASKS["stsb"], "dev", stsb).splitlines()[1] == "0\t-\t-\t-\t-\t-\t-\ta\tb\t3.8"


@pytest.mark.parametrize("name", ["cola", "mrpc", "stsb", "rte", "wnli", "ax"])
def test_real_splits_read_back_as_they_were(glue: Path, tmp_path: Path, name: str):
    task = TASKS[name]
    for split in {"dev", "test"} & set(task.files):
        before = read_split(task, split, glue, quiet)
        path = tmp_path / task.folder / task.files[split]
        path.parent.mkdir(exist_ok=True)
        path.write_text(as_file(task, split, before), "utf-8")
        after = read_split(task, split, tmp_path, quiet)
        assert after.texts == before.texts
        np.testing.assert_array_equal(after.labels, before.labels)


# tasks


@pytest.fixture
def published(monkeypatch):
    """What the hub has, by configuration and split; .asked: what it was asked for."""
    datasets = pytest.importorskip("datasets")
    text = datasets.Value("string")
    features = {
        "sst2": {"sentence": text, "label": datasets.ClassLabel(names=["negative", "positive"])},
        "stsb": {"sentence1": text, "sentence2": text, "label": datasets.Value("float32")},
    }
    rows = {
        "sst2": {"sentence": ["fine film ", "a\tdull\nplot", "“so”"], "label": [1, 0, 1]},
        "stsb": {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [3.8, 0.25]},
    }
    asked: list[str] = []

    def load_dataset(path: str, config: str, split: str) -> object:
        asked.append(f"{config} {split}")
        found = dict(rows[config])
        if split == "test":
            found["label"] = [-1 for _ in found["label"]]
        return datasets.Dataset.from_dict(found, features=datasets.Features(features[config]))

    monkeypatch.setattr(splits, "unreachable", lambda: "")
    monkeypatch.setattr(network, "unreachable", lambda: "")
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    load_dataset.asked, load_dataset.rows = asked, rows
    return load_dataset


def fetch(folder: Path, *words: str) -> None:
    prefetch.main(["prefetch", "--output", str(folder), *words])


def test_tasks_are_written_as_config_data_folder_reads_them(published, tmp_path, capsys):
    fetch(tmp_path / "assets", "--task", "sst2,stsb")
    out = capsys.readouterr().out
    assert f"    --config.data.folder={tmp_path}/assets/glue\n" in out
    folder = tmp_path / "assets" / "glue"
    sst2 = read_split(TASKS["sst2"], "train", folder, quiet)
    assert sst2.texts == (["fine film", "a dull plot", "“so”"],)
    assert sst2.labels.tolist() == [1, 0, 1]
    assert read_split(TASKS["sst2"], "test", folder, quiet).labels.tolist() == [-1] * 3
    stsb = read_split(TASKS["stsb"], "dev", folder, quiet)
    assert (stsb.texts, stsb.labels.tolist()) == ((["a", "b"], ["c", "d"]), [np.float32(3.8), 0.25])
    assert len(published.asked) == 6
    files = read_json(tmp_path / "assets" / "manifest.json")["files"]
    assert len(files) == 6
    for path, about in files.items():
        data = (tmp_path / "assets" / path).read_bytes()
        assert about["sha256"] == hashlib.sha256(data).hexdigest()
        assert about["bytes"] == len(data)
    assert files["glue/SST-2/dev.tsv"]["rows"] == 3
    assert files["glue/SST-2/dev.tsv"]["source"] == "nyu-mll/glue sst2 validation"


def test_only_what_is_missing_or_changed_is_fetched_again(published, tmp_path, capsys):
    fetch(tmp_path, "--task", "sst2")
    published.asked.clear()
    fetch(tmp_path, "--task", "SST2".lower())
    assert published.asked == []
    assert "there already" in capsys.readouterr().err
    (tmp_path / "glue/SST-2/dev.tsv").unlink()
    with (tmp_path / "glue/SST-2/test.tsv").open("a") as file:
        file.write("7\tand more\n")
    fetch(tmp_path, "--task", "sst2")
    assert published.asked == ["sst2 validation", "sst2 test"]
    assert "test.tsv has changed since it was fetched" in capsys.readouterr().err


def test_what_breaks_off_goes_on_from_there(published, tmp_path, monkeypatch):
    rows = published.rows.pop("stsb")
    with pytest.raises(UserError, match=r"'train' of stsb.*What is complete is kept"):
        fetch(tmp_path, "--task", "stsb,sst2")  # the other one all the same
    assert [asked.split()[0] for asked in published.asked] == ["stsb", "sst2", "sst2", "sst2"]
    published.rows["stsb"] = rows
    published.asked.clear()
    fetch(tmp_path, "--task", "sst2", "--task", "stsb")
    assert published.asked == ["stsb train", "stsb validation", "stsb test"]


def test_a_split_that_cannot_be_read_back_is_refused(published, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxdistill.assets.as_file", lambda *_: "sentence\tlabel\nother\t1\n")
    with pytest.raises(UserError, match=r"train\.tsv, row 0, reads as .*'other'.*'fine film'"):
        fetch(tmp_path, "--task", "sst2")
    monkeypatch.setattr("jaxdistill.assets.as_file", lambda *_: "sentence\tlabel\nfine film\t1\n")
    with pytest.raises(UserError, match=r"reads as 1 rows, but the hub has 3"):
        fetch(tmp_path, "--task", "sst2")
    assert not (tmp_path / "manifest.json").exists()


def test_what_the_hub_has_not_is_told(tmp_path, capsys):
    with pytest.raises(UserError, match=r"reviews cannot be fetched: its rows are generated.*cola"):
        fetch(tmp_path, "--task", "reviews")
    with pytest.raises(UserError, match="Did you mean 'sst2'"):
        fetch(tmp_path, "--task", "sst3")
    with pytest.raises(UserError, match="is no hub name"):
        fetch(tmp_path, "--model", "./here")
    with pytest.raises(SystemExit):
        fetch(tmp_path)
    assert "nothing to fetch" in capsys.readouterr().err


def test_all_is_every_task_that_the_hub_has(monkeypatch, tmp_path):
    asked: list[str] = []

    def note(self, task):
        asked.append(task.name)
        return tmp_path

    monkeypatch.setattr("jaxdistill.assets.Assets.fetch_task", note)
    fetch(tmp_path, "--task", "all")
    assert {"cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli", "ax"} <= {*asked}
    assert all(TASKS[name].hub for name in asked)


# checkpoints, from a hub on this machine


def launch(
    endpoint: str, home: Path, *words: object, verb: str = "prefetch", **more: str
) -> subprocess.CompletedProcess:
    changes = {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "NO_PROXY": "127.0.0.1", **more}
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_OFFLINE")}
    return subprocess.run(
        [sys.executable, "-m", f"jaxdistill.{verb}", *map(str, words)],
        cwd=ROOT,
        env={**environment, "HF_HUB_DISABLE_PROGRESS_BARS": "1", **changes},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The files of a tiny BERT, by name."""
    tensors = to_huggingface(test_sources.PARAMS, test_sources.SHAPE)
    folder = test_sources.write(tmp_path_factory.mktemp("tiny") / "bert", tensors)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def served(hub, monkeypatch):  # noqa: F811
    """A hub that states the SHA-256 of weights, as the real one does."""

    def reply(self, status, content, headers, body):
        if "ETag" in headers and self.path.endswith("safetensors"):
            headers = {**headers, "ETag": f'"{self.stated or hashlib.sha256(content).hexdigest()}"'}
        FakeHub.reply(self, status, content, headers, body)

    monkeypatch.setattr(hub, "reply", reply)
    hub.stated = ""
    return hub


def test_a_checkpoint_is_brought_once(served, checkpoint, tmp_path):
    from jaxdistill.models.sources import load_pretrained

    served.models["someone/tiny"] = {**checkpoint, "README.md": b"hello"}
    words = ("--model", "someone/tiny", "--output", tmp_path / "assets")
    done = launch(served.url, tmp_path / "home", *words)
    assert done.returncode == 0, done.stderr
    assert f"--config.teacher.source={tmp_path}/assets/tiny\n" in done.stdout
    found = {path.name: path.read_bytes() for path in (tmp_path / "assets" / "tiny").iterdir()}
    assert found == {name: data for name, data in checkpoint.items() if name in found}
    assert {"config.json", "model.safetensors", "vocab.txt"} <= set(found)
    assert load_pretrained(str(tmp_path / "assets" / "tiny"), classes=3).has_classifier
    served.asked.clear()
    again = launch(served.url, tmp_path / "another home", *words)
    assert (again.returncode, served.asked) == (0, [])
    shutil.rmtree(tmp_path / "home")
    (tmp_path / "assets/tiny/config.json").unlink()
    again = launch(served.url, tmp_path / "home", *words)
    assert (tmp_path / "assets/tiny/config.json").read_bytes() == checkpoint["config.json"]
    assert "config.json: 0.00 MB" in again.stderr  # the others were there


def test_weights_that_are_not_what_the_hub_states_are_refused(served, checkpoint, tmp_path):
    served.models["someone/tiny"] = checkpoint
    served.stated = "0" * 64
    done = launch(served.url, tmp_path / "home", "--model=someone/tiny", "--output", tmp_path / "a")
    assert done.returncode == 2
    assert "has not the SHA-256 that the hub states" in done.stderr
    assert "Delete" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "a" / "tiny" / "model.safetensors").exists()
    assert (tmp_path / "a" / "tiny" / "config.json").exists()  # half of it is not taken for all
    served.stated = ""
    words = ("--model=someone/tiny", "--output", tmp_path / "a")
    again = launch(served.url, tmp_path / "another home", *words)
    assert again.returncode == 0, again.stderr
    weights = (tmp_path / "a" / "tiny" / "model.safetensors").read_bytes()
    assert weights == checkpoint["model.safetensors"]


def test_another_architecture_is_refused(served, checkpoint, tmp_path):
    served.models["roberta"] = {**checkpoint, "config.json": b'{"model_type": "roberta"}'}
    done = launch(served.url, tmp_path / "home", "--model=roberta", "--output", tmp_path / "a")
    assert done.returncode == 2
    assert "model_type 'roberta' is not supported" in done.stderr
    assert not (tmp_path / "a" / "roberta").exists()


def test_two_models_of_one_last_name_are_not_mixed(served, checkpoint, tmp_path):
    (tmp_path / "manifest.json").write_text(
        json.dumps({"version": 1, "files": {"tiny/config.json": {"source": "other/tiny"}}})
    )
    with pytest.raises(UserError, match=r"tiny holds other/tiny, which ends as someone/tiny does"):
        fetch(tmp_path, "--model", "someone/tiny")


# without a network

BLACK_HOLE = """
import os, socket, time
def silent(*arguments, **named):
    with open(os.environ["ASKED"], "a") as file:
        print(time.time(), *arguments, file=file)
    time.sleep(60)
socket.getaddrinfo = silent
"""
LESS_PATIENCE = """
import jaxdistill.network
jaxdistill.network.PATIENCE -= 4
"""


def into_the_hole(
    folder: Path, limit: float, verb: str, *words: object, then: str = ""
) -> subprocess.CompletedProcess:
    """A verb where no name is ever found: it asks once, and ends within the limit of seconds."""
    (folder / "sitecustomize.py").write_text(BLACK_HOLE + then)
    more = {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "ASKED": str(folder / "asked")}
    done = launch("https://huggingface.co", folder / "home", *words, verb=verb, **more)
    ended = time.time()
    (asked,) = (folder / "asked").read_text().splitlines()
    assert ended - float(asked.split()[0]) < limit, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


def test_a_silent_name_server_is_given_up_within_ten_seconds(tmp_path):
    """Both kinds of downloads in one process: the second does not wait again."""
    words = ("--model", "bert-base-uncased", "--task", "sst2", "--output", tmp_path / "assets")
    done = into_the_hole(tmp_path, 10, "prefetch", *words)
    assert done.returncode == 2, done.stderr
    assert "gave no answer within 5 s" in done.stderr
    assert "HF_ENDPOINT" in done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a tiny run, the checkpoint bert that it adopted, and the data in glue."""
    folder = tmp_path_factory.mktemp("finished")
    data = tiny.write_sst2(folder / "glue", train=8, dev=8)
    values = {
        "model.source": tiny.write_checkpoint(folder / "bert"),
        "data.folder": data,
        "data.max_length": 16,
        "data.buckets": (16,),
    }
    flags = [f"--config.{key}={value}" for key, value in values.items()]
    recipe = f"--config={ROOT / 'configs' / 'score_sst2.py'}"
    ensure_run(from_command_line(["main", recipe, f"--workdir={folder / 'run'}", *flags]))
    return folder


TEACHER = ("main", "--config=configs/teacher_sst2.py", "--workdir={run}_new")
HOLES = {
    "a hub's name": (
        *TEACHER,
        "--config.data.folder={glue}",
        "--config.model.source=bert-base-uncased",
    ),
    "a hub's data": (*TEACHER, "--config.model.source={bert}"),
    "evaluate": ("evaluate", "{run}", "--folder="),
    "predict": ("predict", "{run}", "--glue={run}_glue", "--folder="),
}


@pytest.mark.parametrize("case", HOLES)
def test_no_verb_waits_longer_for_what_only_the_hub_has(case, finished, tmp_path):
    """Here it waits for one second, to save the others' time."""
    places = {name: finished / name for name in ("run", "glue", "bert")}
    verb, *words = (word.format(**places) for word in HOLES[case])
    done = into_the_hole(tmp_path, 10, verb, *words, then=LESS_PATIENCE)
    assert done.returncode == 2, done.stderr
    assert "(https://huggingface.co gave no answer within 1 s)" in done.stderr
    missing = "bert-base-uncased" if case == "a hub's name" else "split '[a-z]+' of sst2"
    assert re.search(f"error: .*{missing}", done.stderr)


def test_doctor_tells_of_a_silent_name_server(tmp_path):
    done = into_the_hole(tmp_path, 10, "doctor", "--json", then=LESS_PATIENCE)
    said = json.loads(done.stdout)["findings"][-1]
    assert (said["about"], said["state"]) == ("hub", "note")
    assert "gave no answer within 1 s" in said["text"]


def test_a_refused_network_names_the_remedies(tmp_path):
    done = launch("http://127.0.0.1:9", tmp_path, "--task=rte", "--output", tmp_path / "assets")
    assert done.returncode == 2
    assert "refused" in done.stderr
    assert "HF_HOME" in done.stderr
    assert "the same command goes on" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_silence_is_enough(monkeypatch):
    asked: list[float] = []

    def refuse(request, timeout):
        asked.append(timeout)
        raise OSError("silence")

    for switch in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(switch, raising=False)
    monkeypatch.setattr(network, "_silent", {})
    monkeypatch.setattr(network.urllib.request, "urlopen", refuse)
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.invalid")
    assert network.unreachable() == network.unreachable() == "http://mirror.invalid: silence"
    assert asked == [5.0]
    monkeypatch.setenv("HF_ENDPOINT", "http://another.invalid")
    assert "another" in network.unreachable()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert network.unreachable() == "HF_HUB_OFFLINE is set"
    assert len(asked) == 2
