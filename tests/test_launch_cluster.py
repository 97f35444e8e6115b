"""slurm.sh and gke.sh among fakes that do what the real programs would do."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest
from fakes import AWKWARD, Fakes

NODES = "--nodes=2 --gpus-per-node=8 --tasks-per-node=2".split()


@pytest.fixture
def fakes(tmp_path):
    made = Fakes(tmp_path / "fakes")
    yield made
    made.end()


# SLURM


def submitted(fakes: Fakes, *words: str) -> list[str]:
    """The command that runs the job whose script sbatch was given."""
    fakes.does("sbatch", f"cat >'{fakes.folder}/job'")
    fakes.does("scontrol", "")
    python = fakes.does("python", 'echo "$JAX_LOCAL_DEVICE_IDS" >>"${0%/*}/../devices"')
    done = fakes.launch("slurm.sh", f"--python={python}", *words, "--", *AWKWARD)
    assert done.returncode == 0, done.stderr
    return ["bash", str(fakes.folder / "job")]


def test_every_task_gets_mains_words_and_its_gpus(fakes):
    job = submitted(fakes, *NODES)
    (asked,) = fakes.calls("sbatch")
    assert {"--signal=USR1@120", "--requeue", "--gpus-per-node=8"} <= set(asked)
    each = "while [[ $1 == --* ]]; do shift; done; for SLURM_LOCALID in 0 1; do"
    fakes.does("srun", f'{each} export SLURM_LOCALID; "$@"; done')
    done = fakes.run(job, SLURM_JOB_ID="4711")
    assert (done.returncode, done.stderr) == (0, "")
    assert fakes.calls("python") == [["-m", "jaxdistill.main", *AWKWARD]] * 2
    assert (fakes.folder / "devices").read_text() == "0,1,2,3\n4,5,6,7\n"
    assert fakes.calls("scontrol") == []


@pytest.mark.parametrize("status", [0, 1, 2, 85, 137])
def test_only_a_preempted_run_goes_back_to_the_queue(status, fakes):
    job = submitted(fakes)
    fakes.does("srun", f"exit {status}")
    assert fakes.run(job, SLURM_JOB_ID="4711").returncode == status
    assert fakes.calls("scontrol") == ([["requeue", "4711"]] if status == 85 else [])


@pytest.mark.parametrize("name", ["TERM", "USR1"])
def test_a_signal_to_the_jobs_shell_lets_the_step_save(name, fakes):
    job = submitted(fakes)
    ready = fakes.folder / "ready"
    # Saving takes a while, and a second signal comes meanwhile.
    fakes.does(
        "srun", f"trap 'sleep 0.5; exit 85' USR1; touch '{ready}'; while :; do sleep 0.05; done"
    )
    shell = subprocess.Popen(job, env=fakes.environment(SLURM_JOB_ID="4711"))
    deadline = time.monotonic() + 20
    while not ready.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    shell.send_signal(signal.Signals[f"SIG{name}"])
    time.sleep(0.1)
    shell.send_signal(signal.Signals[f"SIG{name}"])
    assert shell.wait(timeout=20) == 85
    assert fakes.calls("scontrol") == [["requeue", "4711"]]


# Kubernetes


def expanded(word: str, variables: dict[str, str]) -> str:
    """What Kubernetes makes of $(NAME) and $$ in args (its third_party/.../expansion)."""
    out, i = "", 0
    while i < len(word):
        if word[i] == "$" and word[i + 1 : i + 2] == "$":
            out, i = out + "$", i + 2
        elif word[i] == "$" and word[i + 1 : i + 2] == "(" and ")" in word[i:]:
            name = word[i + 2 : word.index(")", i)]
            out, i = out + variables.get(name, f"$({name})"), i + len(name) + 3
        else:
            out, i = out + word[i], i + 1
    return out


def test_what_kubernetes_gets(fakes):
    yaml = pytest.importorskip("yaml")
    fakes.does("kubectl", f"cat >'{fakes.folder}/manifest'")
    words = "--name kd --image registry/jaxdistill:1 --claim runs --nodes 4 --gpus 8".split()
    done = fakes.launch("gke.sh", *words, "--", *AWKWARD, "--g=$(PROCESS)")
    assert (done.returncode, done.stderr) == (0, "")
    assert fakes.calls("kubectl") == [["apply", "--filename=-"]]
    jobset = yaml.safe_load((fakes.folder / "manifest").read_text("utf-8"))
    (group,) = jobset["spec"]["replicatedJobs"]
    job = group["template"]["spec"]
    assert job["completions"] == job["parallelism"] == 4 and job["completionMode"] == "Indexed"
    # Status 2 fails the JobSet; anything else fails the job for another reason: a restart of all.
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob" and rule["onExitCodes"]["values"] == [2]
    assert job["backoffLimit"] == 0 and job["template"]["spec"]["restartPolicy"] == "Never"
    (rule,) = jobset["spec"]["failurePolicy"]["rules"]
    assert rule == {"action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}
    (container,) = job["template"]["spec"]["containers"]
    (process,) = container["env"]
    index = process["valueFrom"]["fieldRef"]["fieldPath"]
    assert index == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    words = [expanded(word, {process["name"]: "3", "HOME": "/"}) for word in container["args"]]
    coordinator = f"--coordinator=kd-{group['name']}-0-0.kd:8482"  # job's pod 0, JobSet's service
    assert words == [coordinator, "--processes=4", "--process=3", *AWKWARD, "--g=$(PROCESS)"]


def test_a_refusal_of_kubectl_is_the_exit_status(fakes):
    words = "--name kd --image i --claim runs -- --config x".split()
    assert fakes.launch("gke.sh", *words).returncode == 97
