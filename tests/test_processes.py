"""How processes find each other, what they tell each other, and what each sees of a folder."""

from __future__ import annotations

import json

import pytest
import together

from jaxdistill import mirror, processes
from jaxdistill.cli import take_meeting
from jaxdistill.errors import UserError

TOLD = """
import json, sys
from pathlib import Path
import jax, numpy as np
from jaxdistill import cli, mirror, processes
from jaxdistill.errors import Preempted, UserError
from jaxdistill.sharding import fetch, make_mesh, own_mesh, place, rows_here, split
from jaxdistill.types import Batch

words, meeting = cli.take_meeting(sys.argv)
cli.meet(meeting)
me, said = processes.index(), {}

def caught(act):
    try:
        return act()
    except (UserError, Preempted) as error:
        return [type(error).__name__, str(error)]

def fails(number, error):
    def act():
        if me == number:
            raise error
        return {"a": np.arange(me + 1)}
    return act

processes.BLOCK = 1000  # several blocks
large = np.arange(me * 700, dtype=np.int64) - 2**40
parts = processes.gather({"x": large, **({"mine": np.float32(0.1)} if me else {})})
said["gathered"] = [[each["x"].tolist() == list(range(-2**40, -2**40 + n * 700)), sorted(each)]
                    for n, each in enumerate(parts)]
said["pooled"] = [each["a"].tolist() for each in processes.pooled(fails(9, None))]
said["pooled wrong"] = caught(lambda: processes.pooled(fails(1, UserError("row 7"))))
said["pooled stopped"] = caught(lambda: processes.pooled(fails(0, Preempted("SIGTERM"))))
said["total"] = processes.total(10 + me)
said["led"] = processes.led(lambda: {"who": me, "long": "é" * 3000})["who"]
said["led wrong"] = caught(lambda: processes.led(fails(0, UserError("no file"))))
said["same"] = caught(lambda: processes.same("This", "x", "Do that."))
said["not same"] = caught(lambda: processes.same("This", "xy"[me], "Do that."))
said["spans"] = [processes.span(5).start, processes.span(5).stop, processes.span(1).stop]

votes = processes.Votes(make_mesh(), 2)
said["votes"] = [list(votes.cast(me == 1 and n == 1, me == 0 and n == 2)) for n in range(6)]

batch = np.arange(8, dtype=np.int32)
rows = rows_here(8, make_mesh())
whole = split({"row": batch[rows]}, make_mesh())["row"]
said["rows"] = rows.tolist()
squares = jax.jit(lambda x: (x * x).sum())(whole)
said["whole"] = [whole.shape[0], int(squares), fetch(whole).tolist()]
tree = place({"w": np.float32([1, 2])}, make_mesh())
said["placed"] = [fetch(tree)["w"].tolist(), tree["w"].is_fully_replicated]
said["own"] = own_mesh().size

folder = Path(words[1])
if words[2] == "apart":  # no disk is shared
    stamp = mirror._stamp
    mirror._stamp = lambda path: (
        stamp(path) if me == 0 or "jaxdistill-process-" in str(path) else [-1, -1]
    )
shown = mirror.here(folder)
def seen():
    files = [path for path in sorted(shown.rglob("*")) if path.is_file()]
    return {str(path.relative_to(shown)): path.read_text() for path in files}
said["seen"] = seen()
said["links"] = sum(p.is_symlink() for p in shown.rglob("*"))
(shown / "sub" / f"by{me}").write_text("new")
processes.gather({})
if me == 0:
    (folder / "a").write_text("changed")
    (folder / "sub" / "b").unlink()
mirror.renewed(shown / "sub")
said["sub"] = seen()
mirror.renewed(shown)
said["again"] = seen()
said["is it"] = shown == folder
print(json.dumps(said))
"""


@pytest.fixture(scope="module", params=["shared", "apart"])
def told(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    (folder / "sub").mkdir(parents=True)
    for name in ("a", "sub/b", "lock"):
        (folder / name).write_text(f"old {name}")
    ended = together.finish(together.start(["-c", TOLD, folder, request.param]))
    for status, _, err in ended:
        assert status == 0, err
    left = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}
    return request.param, [json.loads(out.splitlines()[-1]) for _, out, _ in ended], left


def test_what_processes_tell_each_other(told):
    for number, said in enumerate(told[1]):
        assert said["gathered"] == [[True, ["x"]], [True, ["mine", "x"]]]
        assert said["pooled"] == [[0], [0, 1]]
        assert said["pooled wrong"] == ["UserError", "row 7"]
        assert said["pooled stopped"] == ["Preempted", "SIGTERM"]
        assert said["total"] == 21
        assert said["led"] == 0
        assert said["led wrong"] == ["UserError", "no file"]
        assert said["same"] is None
        kind, text = said["not same"]
        assert kind == "UserError"
        assert text == "This of process 1 is not that of process 0 (y and x). Do that."
        assert said["spans"] == ([0, 2, 0], [2, 5, 1])[number]


def test_wishes_are_known_two_casts_later(told):
    none, stop, save = [False, False], [True, False], [False, True]
    for said in told[1]:
        assert said["votes"] == [none, none, none, stop, save, none]


def test_arrays_of_all_processes(told):
    for number, said in enumerate(told[1]):
        assert said["rows"] == ([0, 1, 2, 3], [4, 5, 6, 7])[number]
        assert said["whole"] == [8, 140, list(range(8))]
        assert said["placed"] == [[1.0, 2.0], True]
        assert said["own"] == 1


def test_a_folder_of_process_0_is_seen_by_all_and_written_by_one(told):
    disk, (first, second), left = told
    old = {"a": "old a", "sub/b": "old sub/b"}
    assert first["seen"] == {**old, "lock": "old lock"}  # the folder itself
    assert second["seen"] == old
    assert (first["is it"], second["is it"]) == (True, False)
    assert second["links"] == (2 if disk == "shared" else 0)
    assert second["sub"]["sub/by0"] == "new"
    assert "sub/by1" not in second["sub"] and "sub/b" not in second["sub"]
    assert second["again"] == {"a": "changed", "sub/by0": "new"}
    assert left == {"a": "changed", "sub/by0": "new", "lock": "old lock"}  # nothing of process 1


def test_one_process_asks_nobody(tmp_path):
    assert processes.count() == 1 and processes.lead()
    assert mirror.here(tmp_path) == tmp_path == mirror.renewed(tmp_path)
    assert processes.led(lambda: tmp_path) is tmp_path  # not even through JSON
    assert processes.span(7) == slice(0, 7)


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, False),  # sbatch's shell
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4"}, True),
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "4"}, False),  # srun -n1 in a larger job
        ({"OMPI_MCA_orte_hnp_uri": "1;tcp://a:1", "OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"OMPI_MCA_orte_hnp_uri": "1;tcp://a:1", "OMPI_COMM_WORLD_SIZE": "1"}, False),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, False),
    ],
)
def test_several_tasks_are_told_from_one(environment, several, monkeypatch):
    if "SLURM_STEP_NUM_TASKS" in environment:
        step = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_LOCALID")
        environment = {**environment, **dict.fromkeys(step, "1")}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert processes.detected() is several


def test_the_flags_are_taken_off_the_command_line():
    words = ["main", "--coordinator", "h:1", "--config=c.py", "--processes=2", "--process", "1"]
    assert take_meeting(words) == (["main", "--config=c.py"], ("h:1", 2, 1))
    assert take_meeting(["main", "--config=c.py"]) == (["main", "--config=c.py"], None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--coordinator=h:1"], "--processes and --process must be given too"),
        (["--coordinator=h", "--processes=2", "--process=0"], "is not HOST:PORT"),
        (["--coordinator=h:1", "--processes=two", "--process=0"], "two whole numbers"),
        (["--coordinator=h:1", "--processes=2", "--process=2"], "numbered from 0"),
    ],
)
def test_half_a_meeting_is_refused(words, said):
    with pytest.raises(UserError, match=said):
        take_meeting(["main", *words])
