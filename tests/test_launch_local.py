"""launch/local.sh with several processes: what each gets, how they end together, and a real run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import tiny
from fakes import AWKWARD, ROOT, Fakes

from jaxdistill.files import read_json

SCRIPT = str(ROOT / "launch" / "local.sh")
PROCESS = """
if [[ $1 == -c ]]; then exec {python} "$@"; fi
folder={folder}
for word; do [[ $word == --process=* ]] && i=${{word#*=}}; done
printf '%s|%s|%s\\n' "$JAX_PLATFORMS" "$XLA_FLAGS" "$CUDA_VISIBLE_DEVICES" >"$folder/environment$i"
for name in TERM INT USR1; do trap "echo $name >>'$folder/signals$i'; on_$name" $name; done
on_TERM() {{ :; }}; on_INT() {{ :; }}; on_USR1() {{ :; }}
forever() {{ touch "$folder/ready$i"; while :; do sleep 0.05; done; }}
{body}
"""
"""A Python that is none: it notes environment and signals, then does what a test says."""


@pytest.fixture
def fakes(tmp_path):
    made = Fakes(tmp_path / "fakes")
    yield made
    made.end()


def processes(fakes: Fakes, body: str) -> str:
    """A Python whose processes run `body`, i being their number; its path."""
    script = PROCESS.format(python=sys.executable, folder=fakes.folder, body=body)
    return str(fakes.does("python", script))


def two(fakes: Fakes, body: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    python = processes(fakes, body)
    flags = ("--processes=2", "--grace=1", f"--python={python}", *words)
    return fakes.launch("local.sh", *flags, "--", *AWKWARD, **more)


def test_each_process_gets_its_flags_and_devices(fakes):
    done = two(fakes, "exit 0", "--devices", "4", XLA_FLAGS="--xla_dump_to=/tmp/a b")
    assert (done.returncode, done.stderr) == (0, "")
    ours = [call for call in fakes.calls("python") if call[0] == "-m"]
    ports = {call[2] for call in ours}
    assert len(ports) == 1 and int(ports.pop().removeprefix("--coordinator=127.0.0.1:")) > 0
    for i, call in enumerate(sorted(ours, key=lambda call: call[4])):
        assert call[:2] == ["-m", "jaxdistill.main"]
        assert call[3:] == ["--processes=2", f"--process={i}", *AWKWARD]
    flags = "--xla_dump_to=/tmp/a b --xla_force_host_platform_device_count=2"
    for i in range(2):
        assert (fakes.folder / f"environment{i}").read_text() == f"cpu|{flags}|\n"


def test_a_driver_that_does_not_work_is_no_gpu(fakes):
    fakes.does("nvidia-smi", "echo 'Failed to initialize NVML: Unknown Error'; exit 255")
    words = ("--dry-run", "--processes=4", "--python=python3", "--", *AWKWARD)
    unset = ["env", "-u", "CUDA_VISIBLE_DEVICES", "-u", "JAX_PLATFORMS", "bash", SCRIPT, *words]
    done = fakes.run(unset)
    assert done.returncode == 0, done.stderr
    assert "CUDA_VISIBLE_DEVICES" not in done.stdout


def test_gpus_are_shared_out(fakes):
    assert two(fakes, "exit 0", CUDA_VISIBLE_DEVICES="4,5,6,7").returncode == 0
    assert (fakes.folder / "environment0").read_text() == "||4,5\n"
    assert (fakes.folder / "environment1").read_text() == "||6,7\n"


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [(0, 0, 0), (85, 85, 85), (85, 0, 85), (0, 3, 3), (85, 3, 3), (2, 2, 2)],
)
def test_the_exit_status(first, second, status, fakes):
    done = two(fakes, f"statuses=({first} {second}); sleep 0.$((i)); exit ${{statuses[i]}}")
    assert done.returncode == status, done.stderr


def test_of_two_failures_the_first_counts(fakes):
    assert two(fakes, "((i)) && exit 3; sleep 0.8; exit 4").returncode == 3


def gone(fakes: Fakes) -> bool:
    """Whether no process of ours is left."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    return str(fakes.folder / "bin" / "python") not in listed


def test_a_dead_process_does_not_leave_the_others_behind(fakes):
    begun = time.monotonic()
    done = two(fakes, "if ((i == 0)); then forever; else kill -KILL $$; fi")
    assert done.returncode == 128 + signal.SIGKILL
    assert "process 1 ended with status 137" in done.stderr
    # Asked first, for what it may still save; it does not obey, so it is killed.
    assert (fakes.folder / "signals0").read_text() == "TERM\n"
    assert 2 <= time.monotonic() - begun < 15
    assert gone(fakes)


def started(fakes: Fakes, body: str) -> subprocess.Popen[str]:
    """local.sh in a session of its own, like a terminal's, with both processes up."""
    words = [
        "bash",
        SCRIPT,
        "--processes=2",
        f"--python={processes(fakes, body)}",
        "--",
        "--config",
    ]
    job = subprocess.Popen(
        words, env=fakes.environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 20
    while not all((fakes.folder / f"ready{i}").exists() for i in range(2)):
        assert time.monotonic() < deadline and job.poll() is None
        time.sleep(0.02)
    return job


SAVE = "on_TERM() { exit 85; }; on_INT() { exit 85; }; on_USR1() { exit 85; }; forever"


@pytest.mark.parametrize("name", ["TERM", "INT", "USR1"])
def test_a_signal_reaches_every_process_and_the_run_is_preempted(name, fakes):
    job = started(fakes, SAVE)
    job.send_signal(signal.Signals[f"SIG{name}"])
    job.communicate(timeout=20)
    assert job.returncode == 85
    for i in range(2):
        assert (fakes.folder / f"signals{i}").read_text() == f"{name}\n"


def test_a_ctrl_c_comes_once(fakes):
    # The terminal sends it to the whole group; twice would mean: leave at once, without saving.
    job = started(fakes, "on_INT() { [[ -z $had ]] && had=yes || exit 130; }; forever")
    os.killpg(job.pid, signal.SIGINT)
    time.sleep(1)
    for i in range(2):
        assert (fakes.folder / f"signals{i}").read_text() == "INT\n"
    assert job.poll() is None
    os.killpg(job.pid, signal.SIGINT)
    job.communicate(timeout=20)
    assert job.returncode == 130 and gone(fakes)


def test_a_real_run_by_two_processes(tmp_path, fakes):
    shape = replace(tiny.SHAPE, layers=1)
    checkpoint = tiny.write_checkpoint(tmp_path / "hub" / "bert", shape=shape)
    data = tiny.write_sst2(tmp_path / "glue", train=16, dev=8)
    # Scoring alone: what training by two processes gives is the matter of other tests.
    words = ["--config", "configs/score_sst2.py", f"--workdir={tmp_path / 'run'}"]
    words += [f"--config.data.folder={data}", f"--config.model.source={checkpoint}"]
    words += ["--config.data.buckets=(32,)", "--config.data.max_length=32"]
    flags = ("--devices=2", "--processes=2", f"--python={sys.executable}", "--")
    done = fakes.launch("local.sh", *flags, *words)
    assert done.returncode == 0, done.stderr
    report = read_json(tmp_path / "run" / "report.json")
    assert 0 <= report["metrics"]["dev"]["accuracy"] <= 1
    assert done.stdout.count("of training;") == 1  # process 0 alone speaks
