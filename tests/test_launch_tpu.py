"""tpu_vm.sh and worker.sh among fakes: how a run ends, is started again, and is kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

import pytest
from fakes import AWKWARD, ROOT, Fakes


@pytest.fixture
def fakes(tmp_path):
    made = Fakes(tmp_path / "fakes")
    yield made
    made.end()


RUN = "run --name kd --zone us-central1-a".split()
PUSHED = "kd:jaxdistill/runs.part/"
SPOT = "--spot --type v5litepod-16 --runtime v2".split()
TPU = """
answer() { head -n 1 "$there/$1"; sed -i '$!{1d}' "$there/$1"; }
case $4 in
  describe) answer state ;;
  create) answer created >/dev/null; exit "$(answer create)" ;;
  ssh)
    for word; do case $word in
      *"worker.sh status") said=$(answer status); [[ $said != broken ]] && echo "$said"; exit ;;
      *"worker.sh start"*) echo "${word#*worker.sh start }" >>"$there/started"; exit ;;
      *"[ -d runs ]"*) answer runs ;;
      *"[ -f installed ]"*) answer installed ;;
    esac; done ;;
esac
"""
"""A gcloud whose answers come from files, a line a call; the last one stays."""


def tpu(
    fakes: Fakes, words: list[str], rsync: str = "", **answers: str
) -> subprocess.CompletedProcess[str]:
    there = fakes.folder / "there"
    there.mkdir()
    defaults = {"state": "READY", "status": "none", "create": "0", "created": "", "runs": "yes"}
    defaults["installed"] = "yes"
    for name, text in {**defaults, **answers}.items():
        (there / name).write_text("\n".join(text.split(" ")) + "\n")
    fakes.does("gcloud", f"there='{there}'{TPU}")
    fakes.does("rsync", rsync)
    fakes.does("tar", 'for word; do if [[ $word == --file=* ]]; then echo >"${word#*=}"; fi; done')
    fakes.does("sleep", "")
    words = [*words, f"--runs={fakes.folder}/runs", "--", *AWKWARD]
    return fakes.launch("tpu_vm.sh", *words)


def starts(fakes: Fakes) -> int:
    return sum("worker.sh start" in call[-1] for call in fakes.calls("gcloud"))


def verbs(fakes: Fakes) -> list[str]:
    """gcloud's verbs in order, without the asking."""
    return [call[3] for call in fakes.calls("gcloud") if call[3] not in ("ssh", "describe", "scp")]


@pytest.mark.parametrize(
    ("status", "ended", "begun"),
    [
        ("none running running 0", 0, 1),
        ("running running 0", 0, 0),  # it was there: followed, not started
        ("none 85 85 running 85 none 0", 0, 3),  # stopped and saved: again, until it is done
        ("none running 2", 2, 1),  # wrong use: the same command would fail again
        ("none 1", 1, 1),
        ("none 137", 137, 1),
        ("none lost", 1, 1),
        ("none running broken running 0", 0, 1),  # no answer once, but the TPU VM is there
    ],
)
def test_how_a_run_on_a_tpu_ends(status, ended, begun, fakes):
    done = tpu(fakes, RUN, status=status)
    assert done.returncode == ended, done.stderr
    assert starts(fakes) == begun
    assert verbs(fakes) == []
    # The last thing is a copy of the run folder, whatever became of the run.
    assert fakes.calls()[-1][:3] == ["rsync", "--archive", "--delete-after"]


def test_a_spot_tpu_that_is_taken_away_is_made_anew(fakes):
    (fakes.folder / "runs").mkdir()
    done = tpu(
        fakes,
        [*RUN, *SPOT],
        # It answers; it is gone, as every question says until it is deleted; no room; made.
        state="READY PREEMPTED PREEMPTED PREEMPTED PREEMPTED   READY",
        status="none broken none running 0",
        create="1 0",
        runs="no",
        installed="yes no",
    )
    assert done.returncode == 0, done.stderr
    assert verbs(fakes) == ["delete", "create", "create"]
    assert starts(fakes) == 2
    # Installed on all workers, and the run folders back on worker 0, before it starts again.
    order = [call[0] if call[0] != "gcloud" else call[4] for call in fakes.calls()]
    pushed = [i for i, call in enumerate(fakes.calls()) if call[-1] == PUSHED]
    named = [i for i, call in enumerate(fakes.calls()) if "mv runs.part runs" in call[-1]]
    assert named == [pushed[0] + 1]
    again = [i for i, call in enumerate(fakes.calls()) if "worker.sh start" in call[-1]][1]
    assert len(pushed) == 1 and order.index("scp") < pushed[0] < again
    assert order.index("create") < order.index("scp")


def test_a_tpu_that_only_did_not_answer_is_not_made_anew(fakes):
    # The state is unknown once: create fails, for the TPU VM is there. Nothing is pushed onto it.
    done = tpu(fakes, [*RUN, *SPOT], state="  READY", status="running 0", create="1")
    assert done.returncode == 0, done.stderr
    assert verbs(fakes) == ["create"]
    assert "scp" not in [call[3] for call in fakes.calls("gcloud")]
    assert PUSHED not in [call[-1] for call in fakes.calls("rsync")]


def test_half_of_the_run_folders_is_not_taken_for_all(fakes):
    """The connection breaks while they go to a new TPU VM: they go again, then get their name."""
    (fakes.folder / "runs").mkdir()
    cut = f"[[ ${{!#}} == {PUSHED} && ! -f '{fakes.folder}/cut' ]]"
    rsync = f"if {cut}; then touch '{fakes.folder}/cut'; exit 12; fi"
    done = tpu(fakes, [*RUN, *SPOT], rsync=rsync, status="none 0", runs="no", installed="no")
    assert done.returncode == 0, done.stderr
    assert [call[-1] for call in fakes.calls("rsync")].count(PUSHED) == 2
    assert sum("mv runs.part runs" in call[-1] for call in fakes.calls("gcloud")) == 1
    assert starts(fakes) == 1


def test_a_connection_that_breaks_is_not_the_end_of_the_run(fakes):
    """Neither the worker nor the question what became of the TPU VM is answered, once."""
    done = tpu(fakes, RUN, state="READY  READY", status="none running broken running 0")
    assert (done.returncode, starts(fakes)) == (0, 1), done.stderr


def test_a_start_that_fails_is_tried_again(fakes):
    done = tpu(fakes, ["all", *RUN[1:], *SPOT], status="broken none running 0")
    assert (done.returncode, starts(fakes)) == (0, 1), done.stderr


def test_a_worker_that_never_answers_ends_it(fakes):
    done = tpu(fakes, RUN, status="broken")
    assert (done.returncode, starts(fakes)) == (1, 0)


def test_what_says_that_it_is_finished_comes_last(fakes):
    assert tpu(fakes, RUN, status="none 0").returncode == 0
    first, last = fakes.calls("rsync")[-2:]
    assert {"--exclude=done.json", "--exclude=report.json"} <= set(first)
    assert not any("--exclude" in word for word in last) and "--delete-after" not in first


def test_wrong_use_is_not_tried_again_on_a_new_tpu(fakes):
    done = tpu(fakes, [*RUN, *SPOT], state="READY PREEMPTED", status="none 2")
    assert done.returncode == 2
    assert verbs(fakes) == []


def test_without_spot_a_lost_tpu_ends_it(fakes):
    done = tpu(fakes, RUN, state="READY TERMINATED", status="none broken")
    assert done.returncode == 1
    assert verbs(fakes) == []


@pytest.mark.parametrize(("status", "ended"), [("none 0", 0), ("none 2", 2)])
def test_all_leaves_no_tpu_behind(status, ended, fakes):
    done = tpu(fakes, ["all", *RUN[1:], *SPOT], status=status)
    assert done.returncode == ended, done.stderr
    assert verbs(fakes) == ["create", "delete"]
    assert fakes.calls("rsync")


def test_what_could_not_be_fetched_is_not_deleted(fakes):
    done = tpu(fakes, ["all", *RUN[1:], *SPOT], rsync="exit 23", status="none 0")
    assert done.returncode == 23
    assert verbs(fakes) == ["create"]


def test_a_run_is_not_started_where_its_folders_could_not_be_brought_back(fakes):
    (fakes.folder / "runs").mkdir()
    words = ["all", *RUN[1:], *SPOT]
    assert tpu(fakes, words, rsync="exit 12", runs="no").returncode == 12
    assert starts(fakes) == 0


@pytest.fixture
def there(tmp_path, fakes):
    """The home folder of a TPU's worker: this repository's scripts and a Python that is none."""
    home = tmp_path / "home"
    (home / "jaxdistill" / ".venv" / "bin").mkdir(parents=True)
    shutil.copytree(ROOT / "launch", home / "jaxdistill" / "launch")
    python = fakes.does("python", f". '{fakes.folder}/body'")
    (home / "jaxdistill" / ".venv" / "bin" / "python").symlink_to(python)
    return home


def worker(fakes, there, *words):
    done = fakes.run(["bash", f"{there}/jaxdistill/launch/worker.sh", *words])
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def until(fakes, there, wanted):
    deadline = time.monotonic() + 20
    while (said := worker(fakes, there, "status")) != wanted:
        assert time.monotonic() < deadline, said
        time.sleep(0.05)


def test_words_survive_the_way_to_a_worker(fakes, there):
    # gcloud hands --command to ssh, which hands it to a shell over there: here it is bash.
    (fakes.folder / "body").write_text("exit 0")
    ssh = 'ssh) bash -c "${!##--command=}" ;;'
    script = f"cd '{there}'; case $4 in describe) echo READY ;; {ssh} esac"
    fakes.does("gcloud", script)
    fakes.does("rsync", "")
    fakes.does("sleep", "/bin/sleep 0.1")
    done = fakes.launch("tpu_vm.sh", *RUN, f"--runs={fakes.folder}/runs", "--", *AWKWARD)
    assert done.returncode == 0, done.stderr
    assert fakes.calls("python") == [["-m", "jaxdistill.main", *AWKWARD]]


def test_a_workers_run_outlives_the_connection_and_says_how_it_ended(fakes, there):
    go = fakes.folder / "go"
    (fakes.folder / "body").write_text(
        f"echo hello; while [[ ! -e '{go}' ]]; do sleep 0.05; done; exit 85"
    )
    assert worker(fakes, there, "status") == "none"
    worker(fakes, there, "start", "--config", "x")  # returns although the run goes on
    until(fakes, there, "running")
    # In a session of its own: what ends the connection's does not come to it.
    leader = int((there / "jaxdistill" / "runs" / "worker.pid").read_text())
    assert os.getsid(leader) == leader
    go.touch()
    until(fakes, there, "85")
    (fakes.folder / "body").write_text("exit 0")
    worker(fakes, there, "start", "--config", "x")
    until(fakes, there, "0")
    assert (there / "jaxdistill" / "runs" / "worker.log").read_text() == "hello\n"
    # As after a machine went down: a process that is no more, and no status.
    ended = subprocess.Popen(["true"])
    ended.wait()
    (there / "jaxdistill" / "runs" / "worker.pid").write_text(str(ended.pid))
    (there / "jaxdistill" / "runs" / "worker.status").unlink()
    assert worker(fakes, there, "status") == "lost"


def test_a_run_that_still_ends_is_waited_for(fakes, there):
    (fakes.folder / "body").write_text("echo begin; sleep 0.4; echo end")
    worker(fakes, there, "start", "--config", "x")
    worker(fakes, there, "start", "--config", "x")
    until(fakes, there, "0")
    log = (there / "jaxdistill" / "runs" / "worker.log").read_text().split()
    assert log == ["begin", "end", "begin", "end"]


def test_rsync_reaches_worker_0(fakes):
    fakes.does("gcloud", "")
    words = ["us-central1-a", "kd", "rsync", "--server", ".", "jaxdistill/runs/*"]
    assert fakes.launch("tpu_rsh.sh", *words).returncode == 0
    ssh = "compute tpus tpu-vm ssh kd --zone=us-central1-a --worker=0".split()
    assert fakes.calls("gcloud") == [[*ssh, "--command=rsync --server . jaxdistill/runs/*"]]
