"""The launch scripts: what they would run, word for word, and what they refuse."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest
from fakes import AWKWARD, ROOT, Fakes

EXPECTED = ROOT / "tests" / "expected"
RUN = ("--", "--config", "configs/kd_sst2.py", "--config.data.buckets=(16, 32)")
TPU = "--name kd --zone us-central1-a --type v5litepod-16 --runtime v2-alpha-tpuv5-lite".split()
SLICE = "--nodes 4 --tpu tpu-v5-lite-podslice --topology 4x4".split()
GKE = "--name kd --image registry/jaxdistill:1 --claim runs".split()
DRY_RUNS = {
    "local_one.txt": ("local.sh", "--devices", "4", *RUN),
    "local_two.txt": ("local.sh", "--devices=4", "--processes=2", *RUN),
    "local_gpus.txt": ("local.sh", "--processes", "2", "--python", "python3", *RUN),
    "slurm_cpus.txt": ("slurm.sh", "--nodes", "2", "--tasks-per-node", "2", *RUN),
    "slurm_gpus.txt": (
        *("slurm.sh", "--nodes", "2", "--gpus-per-node", "8", "--tasks-per-node", "8"),
        *("--cpus-per-task", "12", "--time", "24:00:00", "--warning", "300"),
        *("--partition", "gpu", "--account", "me", "--name", "kd", *RUN),
    ),
    "tpu_vm_all.txt": ("tpu_vm.sh", "all", *TPU, "--spot", "--assets", "/my data/assets", *RUN),
    "tpu_vm_run.txt": ("tpu_vm.sh", "run", *TPU[:4], "--every", "60", *RUN),
    "gke_tpu.txt": ("gke.sh", *GKE, *SLICE, "--spot", "--namespace", "nlp", *RUN),
    "gke_gpus.txt": ("gke.sh", *GKE, "--gpus=8", "--gpu=nvidia-h200-141gb", "--restarts=3", *RUN),
}
"""File of tests/expected -> the command whose dry run it holds, the repository's folder as ROOT."""


@pytest.fixture
def fakes(tmp_path):
    made = Fakes(tmp_path / "fakes")
    yield made
    made.end()


def dry_run(fakes: Fakes, script: str, *words: str) -> str:
    verb = words[:1] if script == "tpu_vm.sh" else ()
    gpus = "0,1,2,3" if "python3" in words else ""
    words = (*verb, "--dry-run", *words[len(verb) :])
    done = fakes.launch(script, *words, CUDA_VISIBLE_DEVICES=gpus)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("name", DRY_RUNS)
def test_a_dry_run_is_as_expected_and_calls_nothing(name, fakes):
    said = dry_run(fakes, *DRY_RUNS[name]).replace(str(ROOT), "ROOT")
    assert said == (EXPECTED / name).read_text("utf-8")
    assert fakes.calls() == []


def test_a_dry_run_needs_no_tool(fakes):
    shutil.rmtree(fakes.folder / "bin")
    bare = fakes.folder / "bare"
    bare.mkdir()
    for tool in "bash basename cat dirname sed".split():  # what the scripts are made of
        (bare / tool).symlink_to(shutil.which(tool))
    for script, *words in DRY_RUNS.values():
        where = 1 if script == "tpu_vm.sh" else 0
        words.insert(where, "--dry-run")
        done = fakes.run(
            [str(bare / "bash"), str(ROOT / "launch" / script), *words], PATH=str(bare)
        )
        assert (done.returncode, done.stderr) == (0, ""), script
    words = ("run", *TPU, *RUN)
    done = fakes.run([str(bare / "bash"), f"{ROOT}/launch/tpu_vm.sh", *words], PATH=str(bare))
    assert done.returncode == 2 and "gcloud is not installed" in done.stderr


def test_words_survive_the_shell_that_reads_a_dry_run(fakes):
    line = dry_run(fakes, "local.sh", "--devices", "2", "--", *AWKWARD)
    assert shlex.split(line)[-len(AWKWARD) :] == AWKWARD
    # Bash is the judge, not shlex; `env` and what follows is what it would run.
    program = 'env() { printf "%s\\0" "$@"; }; ' + line
    seen = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert seen.stdout.split("\0")[-len(AWKWARD) - 1 : -1] == AWKWARD


@pytest.mark.parametrize("script", "local slurm tpu_vm gke install worker quickstart test".split())
def test_help(script, fakes):
    done = fakes.launch(f"{script}.sh", "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert f"launch/{script}.sh" in done.stdout
    assert "#" not in done.stdout and "set -e" not in done.stdout
    assert fakes.calls() == []


WRONG = [
    ("local.sh", "", "main's flags come after --"),
    ("local.sh", "--config configs/kd_sst2.py", "does not know --config"),
    ("local.sh", "--processes 0 -- --config x", "--processes is 0"),
    ("local.sh", "--processes", "--processes wants a value"),
    ("local.sh", "--devices 3 --processes 2 -- --config x", "--devices 3 cannot be shared out"),
    ("local.sh", "--python /nowhere -- --config x", "--python /nowhere does not run"),
    ("local.sh", "--dry-run=no -- --config x", "does not know no"),
    ("slurm.sh", "--nodes 1.5 -- --config x", "--nodes is 1.5"),
    ("slurm.sh", "--gpus-per-node 8 --tasks-per-node 3 -- -c", "--gpus-per-node 8 cannot be"),
    ("slurm.sh", "--time tomorrow -- --config x", "--time is tomorrow"),
    ("slurm.sh", "--name a/b -- --config x", "--name is a/b"),
    ("slurm.sh", "--python /nowhere -- --config x", "/nowhere is not there"),
    ("tpu_vm.sh", "", "does not know nothing; the verbs are"),
    ("tpu_vm.sh", "stop --name a --zone b", "does not know stop"),
    ("tpu_vm.sh", "delete --zone us-central1-a", "needs --name"),
    ("tpu_vm.sh", "delete --name Kd --zone us-central1-a", "--name is Kd"),
    ("tpu_vm.sh", "create --name kd --zone us-central1-a", "needs --type"),
    ("tpu_vm.sh", "run --name kd --zone us-central1-a", "main's flags come after --"),
    ("tpu_vm.sh", "run --name kd --zone us-central1-a --spot -- -c", "needs --type"),
    ("tpu_vm.sh", "install --name kd --zone z-1 --assets /nowhere", "--assets /nowhere is not"),
    ("gke.sh", "--name kd --image i -- --config x", "needs --claim"),
    ("gke.sh", "--name kd --image i --claim c --tpu t -- -c", "needs --topology"),
    ("gke.sh", "--name kd --image i --claim c --gpu a -- -c", "--gpu a wants --gpus"),
    ("gke.sh", "--name kd --image i --claim c --gpus 1 --tpu t -- -c", "one or the other"),
    ("gke.sh", "--name kd --image i --claim c --tpu t --topology 4x4 -- -c", "has 16 chips"),
    ("gke.sh", "--name kd --image i --claim c --tpu t --topology 44 -- -c", "--topology is 44"),
    ("gke.sh", "--name kd --image i --claim c --mount runs -- -c", "--mount is runs"),
    ("install.sh", "--tpu", "does not know --tpu"),
    ("worker.sh", "stop", "does not know stop"),
]


@pytest.mark.parametrize(("script", "words", "said"), WRONG)
def test_wrong_use_is_told_and_calls_nothing(script, words, said, fakes):
    done = fakes.launch(script, *words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr and done.stderr.startswith(f"launch/{script}: ")
    assert fakes.calls() == []


def test_gpus_that_cannot_be_shared_out_are_told(fakes):
    words = ("--processes", "2", "--dry-run", *RUN)
    done = fakes.launch("local.sh", *words, CUDA_VISIBLE_DEVICES="0,1,5")
    assert done.returncode == 2 and "3 GPU(s) cannot be shared out" in done.stderr
    fakes.does("nvidia-smi", "printf '0\\n1\\n2\\n3\\n'")
    environment = fakes.environment()
    del environment["CUDA_VISIBLE_DEVICES"]
    script = str(ROOT / "launch" / "local.sh")
    done = subprocess.run(["bash", script, *words], env=environment, capture_output=True, text=True)
    assert done.stdout.count("CUDA_VISIBLE_DEVICES=0,1 ") == 1
    assert done.stdout.count("CUDA_VISIBLE_DEVICES=2,3 ") == 1
