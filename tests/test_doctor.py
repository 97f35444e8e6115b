"""doctor: what is there and what is missing, with the command; no socket when told so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import tiny

from jaxdistill import doctor, health, inventory
from jaxdistill.health import Finding

ROOT = Path(__file__).parents[1]
REFUSE = str(Path(__file__).parent / "refuse")


def launch(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The verb in a working folder, in a house without a network."""
    first = more.pop("PYTHONPATH", REFUSE)
    return subprocess.run(
        [sys.executable, "-m", "jaxdistill.doctor", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{first}{os.pathsep}{ROOT}", **more},
        capture_output=True,
        text=True,
        timeout=120,
    )


def write_checkpoint(folder: Path, kind: str = "bert") -> None:
    """What looks like a model's folder; nobody reads its weights here."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    for name in ("model.safetensors", "vocab.txt"):
        (folder / name).write_text("")


def told(done: subprocess.CompletedProcess[str]) -> tuple[bool, dict[str, list[dict]]]:
    """Whether it is ready, and the findings by what they are about."""
    result = json.loads(done.stdout)
    by_about: dict[str, list[dict]] = {}
    for finding in result["findings"]:
        by_about.setdefault(finding["about"], []).append(finding)
    return result["ready"], by_about


def test_offline_opens_no_socket_and_is_ready(tmp_path):
    tiny.write_sst2(tmp_path / "data", train=16, dev=8)
    write_checkpoint(tmp_path / "assets" / "bert")
    done = launch(tmp_path, "--offline", "--json", "--data", "data")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    ready, found = told(done)
    assert ready
    assert list(found) == ["versions", "devices", "memory", "disk", "data", "sources", "hub"]
    assert "cpu" in found["devices"][0]["text"]
    assert f"jax {metadata.version('jax')}" in found["versions"][0]["text"]
    train, dev, test = found["data"]
    assert "train.tsv: 16 examples" in train["text"] and train["state"] == "note"
    assert "the published split has 67,349" in train["text"]
    assert "872" in dev["text"]
    assert "test.tsv is not there" in test["text"]
    assert test["remedy"] == "python -m jaxdistill.prefetch --task sst2 --output assets"
    assert found["sources"] == [
        {"about": "sources", "state": "ok", "text": "assets/bert: a checkpoint", "remedy": ""}
    ]
    assert found["hub"][0]["text"] == "not asked (--offline)"


def test_a_jax_that_cannot_be_imported_is_said_for_people(tmp_path):
    (tmp_path / "jax.py").write_text("raise ImportError('libcudart is not what it was')")
    done = launch(tmp_path, "--offline", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "missing devices   JAX finds no device that works" in done.stdout
    assert "libcudart is not what it was" in done.stdout
    assert "1 missing: not ready" in done.stdout


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise RuntimeError('device is busy')", "device is busy"),
        ("import os; os.abort()", "it ended with -6"),
        ("import time; time.sleep(60)", "not named its devices within 1 s"),
    ],
)
def test_devices_that_fail(program, said, monkeypatch):
    monkeypatch.setattr(health, "_PROBE", program)
    monkeypatch.setattr(health, "PATIENCE", 1 if "sleep" in program else 60)
    (finding,) = health.devices()
    assert finding.state == "missing"
    assert said in finding.text
    assert "JAX_PLATFORMS=cpu" in finding.remedy


@pytest.mark.parametrize("asked", ["", "cpu"])
@pytest.mark.parametrize("plugin", ["", "jax_cuda13_plugin"])
def test_a_gpu_that_is_not_used_is_explained(plugin, asked, monkeypatch):
    answer = 'import sys; print("driver too old", file=sys.stderr); print(\'["cpu", "cpu", 1, 0]\')'
    monkeypatch.setattr(health, "_PROBE", answer)
    monkeypatch.setattr(health, "find_spec", lambda name: name == plugin)
    monkeypatch.setattr(Path, "exists", lambda self: True)
    monkeypatch.setenv(health.PLATFORMS, asked)
    _, found = health.devices()
    assert found.state == "note"
    if asked:
        assert found.remedy == "unset JAX_PLATFORMS, which says cpu"
    elif plugin:
        assert "although jax_cuda13_plugin is installed: driver too old" in found.text
        assert "nvidia-smi" in found.remedy
    else:
        assert found.remedy == "pip install 'jax[cuda13]'"


def test_requirements_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    expected = [line.split(">=") for line in project["dependencies"]]
    assert health.requirements() == {name: lowest for name, lowest in expected}  # noqa: C416


def test_packages_that_are_missing_or_old_are_named(monkeypatch):
    real = metadata.version

    def version(name):
        if name == "flax":
            raise metadata.PackageNotFoundError(name)
        return "0.9.30" if name == "jax" else real(name)

    monkeypatch.setattr(health.metadata, "version", version)
    first, *others = health.versions()
    assert first.state == "missing"
    assert "flax is not installed" in first.text
    needed = health.requirements()
    assert first.remedy == f"pip install 'flax>={needed['flax']}' 'jax>={needed['jax']}'"
    assert {finding.state for finding in others} == {"ok"}  # torch and the like are not needed


def test_versions_are_compared_as_numbers():
    assert health._number("0.10.2") > health._number("0.9.30")
    assert health._number("1.0.0rc1") == (1, 0, 0)


def test_memory_and_disk_have_numbers(tmp_path, monkeypatch):
    (finding,) = health.memory()
    assert "of memory" in finding.text and "processors" in finding.text
    monkeypatch.setenv("JAXDISTILL_CACHE", str(tmp_path / "not" / "yet"))
    caches, _ = health.disk()
    assert caches.state == "ok"
    (tmp_path / "not/yet/tokens").mkdir(parents=True)
    (tmp_path / "not/yet/tokens/x.npz").write_bytes(bytes(3_200_000))
    (tmp_path / "not/yet/augmented/key").mkdir(parents=True)
    (tmp_path / "not/yet/augmented/key/0.json").write_bytes(bytes(100_000))
    assert "augmented 0.1 MB, tokens 3.2 MB" in health.disk()[0].text
    monkeypatch.setattr(health.os, "access", lambda *_: False)
    assert [finding.state for finding in health.disk()] == ["missing", "missing"]


def test_the_hub_is_asked_only_when_it_may_be(monkeypatch):
    monkeypatch.setattr(health, "unreachable", lambda: pytest.fail("asked"))
    assert health.hub(offline=True)[0].state == "ok"
    monkeypatch.setattr(health, "unreachable", lambda: "no answer")
    (finding,) = health.hub(offline=False)
    assert finding.state == "note"  # no reason to leave with 1
    assert "no answer" in finding.text and "prefetch" in finding.remedy
    monkeypatch.setattr(health, "unreachable", lambda: "")
    assert "answers" in health.hub(offline=False)[0].text


def test_data_is_read_and_what_is_wrong_is_said(tmp_path):
    tiny.write_sst2(tmp_path, train=4, dev=4)
    with (tmp_path / "SST-2" / "dev.tsv").open("a") as file:
        file.write("a fine film\t7\n")
    train, dev, _ = inventory.data([str(tmp_path / "SST-2")])
    assert train.text.endswith("the published split has 67,349.")
    assert dev.state == "note"
    assert "dev.tsv, line 6: the label is '7'" in dev.text
    (finding,) = inventory.data([str(tmp_path / "nowhere")])
    assert "holds no task's folder" in finding.text


def test_real_counts_are_those_of_the_table(glue):
    findings = inventory.data([str(glue)])
    complete = [finding for finding in findings if finding.state == "ok"]
    assert len(complete) == 20  # CoLA, SST-2, MRPC, RTE, STS-B, WNLI: 3 each; QNLI dev; AX
    assert any("67,349 examples" in finding.text for finding in complete)


def test_sources_are_found_without_a_question(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    assert [finding.state for finding in inventory.sources()] == ["note"]
    write_checkpoint(tmp_path / "hf/hub/models--someone--tiny/snapshots/0123")
    write_checkpoint(tmp_path / "assets" / "other", "roberta")
    (tmp_path / "runs/x").mkdir(parents=True)
    (tmp_path / "runs/x/model.json").write_text("{}")
    assert [finding.text for finding in inventory.sources()] == [
        "someone/tiny: in the hub's cache",
        "runs/x: a run that is not finished",
    ]


def test_a_look_that_fails_does_not_end_the_others(monkeypatch, capsys):
    def broken():
        raise OSError("no such device")

    ready = [Finding("devices", "ok", "1 x cpu")]
    monkeypatch.setattr(health, "memory", broken)
    monkeypatch.setattr(health, "devices", lambda: ready)
    with pytest.raises(SystemExit) as caught:
        doctor.main(["doctor", "--offline"])
    assert caught.value.code == 1
    out = capsys.readouterr().out
    assert "missing memory    cannot be looked at: OSError: no such device" in out
    assert "not asked (--offline)" in out
