"""log: strict JSON lines that survive kills and resumes, and progress fit for its reader."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxdistill import progress
from jaxdistill.errors import UserError
from jaxdistill.log import RunLog, read_metrics
from jaxdistill.progress import clock, number, short


def strictly(line: str) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(line, parse_constant=refuse)


def test_lines_are_strict_json_in_order(tmp_path: Path) -> None:
    with RunLog(tmp_path) as run:
        run.write("train", "kd", 10, {"loss": np.float32(0.5), "soft": float("nan")})
        run.write("eval", "kd", 10, {"accuracy": float("inf"), "split": "dev", "名": True})
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [strictly(line) for line in lines] == [
        {"kind": "train", "stage": "kd", "step": 10, "loss": 0.5, "soft": "nan"},
        {"kind": "eval", "stage": "kd", "step": 10, "accuracy": "inf", "split": "dev", "名": True},
    ]
    assert read_metrics(tmp_path) == [strictly(line) for line in lines]
    with RunLog(tmp_path) as run, pytest.raises(ValueError, match="'stage'"):
        run.write("train", "kd", 11, {"stage": 1})


def test_a_line_is_on_disk_when_write_returns(tmp_path: Path) -> None:
    run = RunLog(tmp_path)
    run.write("train", "kd", 1, {"loss": 1.0})
    assert len(read_metrics(tmp_path)) == 1
    run.close()


def fill(folder: Path) -> None:
    with RunLog(folder) as run:
        for stage, steps in (("first", (10, 20, 30)), ("second", (5, 15, 25)), ("third", (1,))):
            for step in steps:
                run.write("train", stage, step, {"loss": 1.0})
                run.write("eval", stage, step, {"accuracy": 1.0})


@pytest.mark.parametrize(
    ("stage", "step", "left"),
    [
        ("second", 15, "first10 first20 first30 second5 second15"),
        ("second", 16, "first10 first20 first30 second5 second15"),
        ("second", -1, "first10 first20 first30"),
        ("first", 0, ""),
        ("third", 1, "first10 first20 first30 second5 second15 second25 third1"),
        ("fourth", 0, "first10 first20 first30 second5 second15 second25 third1"),
    ],
)
def test_truncate(tmp_path: Path, stage: str, step: int, left: str) -> None:
    fill(tmp_path)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"kind": "train", "stage": "th')  # SIGKILL
    with RunLog(tmp_path) as run:
        run.truncate(stage, step, step)
        expected = [name for name in left.split() for _ in ("train", "eval")]
        assert [f"{r['stage']}{r['step']}" for r in read_metrics(tmp_path)] == expected
        run.write("train", "second", 16, {"loss": 2.0})
    assert read_metrics(tmp_path)[-1]["loss"] == 2.0
    assert len(read_metrics(tmp_path)) == len(expected) + 1


def test_the_ledger_of_a_step_that_is_made_again_goes(tmp_path: Path) -> None:
    """It is entered before its step is made, train lines after theirs."""
    with RunLog(tmp_path) as run:
        for kind, step in (("ledger", 0), ("train", 5), ("ledger", 10), ("train", 10)):
            run.write(kind, "kd", step, {"loss": 1.0})
        run.truncate("kd", 10, 10)
        left = [(r["kind"], r["step"]) for r in read_metrics(tmp_path)]
        assert left == [("ledger", 0), ("train", 5), ("train", 10)]
        run.truncate("kd", 0, 0)
        assert read_metrics(tmp_path) == []


def test_an_evaluation_that_was_broken_off_is_written_once(tmp_path: Path) -> None:
    """A signal in the midst of one saves its step before it is said to be judged."""
    with RunLog(tmp_path) as run:
        for kind, step in (("eval", 10), ("train", 20), ("eval", 20)):
            run.write(kind, "kd", step, {"loss": 1.0})
        run.truncate("kd", 20, 10)
    left = [(r["kind"], r["step"]) for r in read_metrics(tmp_path)]
    assert left == [("eval", 10), ("train", 20)]


def test_truncate_before_anything_was_written(tmp_path: Path) -> None:
    with RunLog(tmp_path) as run:
        run.truncate("kd", -1, -1)
    assert read_metrics(tmp_path) == []


def test_half_a_line_is_cut_off_before_more_is_written(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "metrics.jsonl"
    os.truncate(path, path.stat().st_size - 7)
    assert len(read_metrics(tmp_path)) == 13
    with RunLog(tmp_path) as run:
        run.write("train", "third", 2, {})
    assert [r["step"] for r in read_metrics(tmp_path)][-2:] == [1, 2]


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "metrics.jsonl"
    lines = path.read_text().splitlines()
    lines[2] = lines[2][:20]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl line 3"):
        read_metrics(tmp_path)


def events(folder: Path) -> list[tuple[str | int, int]]:
    """(tag, step) of each scalar, ("START", step) of each purge, over a folder's event files."""
    import struct

    from tensorboardX.proto.event_pb2 import Event

    result: list[tuple[str | int, int]] = []
    for path in sorted(folder.glob("events*")):
        data = path.read_bytes()
        at = 0
        while at < len(data):  # a record: length, its checksum, content, its checksum
            (size,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + size])
            at += size + 16
            if event.HasField("session_log"):
                result.append(("START", event.step))
            result += [(value.tag, event.step) for value in event.summary.value]
    return result


def test_tensorboard_has_the_scalars_and_forgets_on_resume(tmp_path: Path) -> None:
    with RunLog(tmp_path) as run:
        run.write("train", "kd", 1, {"loss": 1.0, "note": "text", "hidden": float("nan")})
        run.write("eval", "kd", 1, {"accuracy": 0.5})
        run.write("train", "kd", 2, {"loss": 1.0})
    with RunLog(tmp_path) as run:
        run.truncate("kd", 1, 1)
        run.write("train", "kd", 2, {"loss": 0.5})
    assert events(tmp_path / "tensorboard" / "kd") == [
        ("kd/loss", 1),
        ("kd/eval/accuracy", 1),
        ("kd/loss", 2),
        ("START", 2),
        ("kd/loss", 2),
    ]


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock: time[0] is now."""
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    return now


def test_piped_lines(time: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    run = RunLog(None)
    with run.progress("tinybert/intermediate", 4210, 100) as progress:
        for step in range(101, 113):
            time[0] += 1.0
            progress.update(step, {"loss": 0.4123, "hidden": 0.3}, 812, 10_200)
        run.notice("a  notice\nin one line")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "tinybert/intermediate 105/4210  loss 0.412 hidden 0.3  812 ex/s  10.2k tok/s  ETA 1:08:25",
        "tinybert/intermediate 110/4210  loss 0.412 hidden 0.3  812 ex/s  10.2k tok/s  ETA 1:08:20",
        "a notice in one line",
        "tinybert/intermediate 112/4210  loss 0.412 hidden 0.3  812 ex/s  10.2k tok/s  ETA 1:08:18",
    ]


def test_rates_forget_the_slow_first_step(
    time: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with RunLog(None).progress("kd", 200, 0) as progress:
        time[0] += 60.0  # compiling
        for step in range(1, 101):
            time[0] += 1.0
            progress.update(step, {}, 32, 640)
    assert capsys.readouterr().err.splitlines()[-1] == "kd 100/200  32 ex/s  640 tok/s  ETA 1:40"


def test_nothing_is_printed_twice_or_without_a_step(
    time: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunLog(None)
    with run.progress("kd", 2, 2):
        pass
    with run.progress("kd", 2, 0, every=0.0) as progress:
        time[0] += 1.0
        progress.update(2, {"loss": 1.0}, 1, 1)
        with pytest.raises(RuntimeError, match="already shown"), run.progress("kd", 1, 0):
            pass
    assert len(capsys.readouterr().err.splitlines()) == 1


TERMINAL = """
import sys, time
from jaxdistill.log import RunLog
assert "rich" not in sys.modules and "jax" not in sys.modules
run = RunLog(None)
with run.progress("tinybert/intermediate", 40, 10) as progress:
    for step in range(11, 41):
        time.sleep(0.02)
        progress.update(step, {"loss": 0.5, "hidden [x]": 0.25, "attention": 0.125}, 32, 640)
        if step == 25:
            run.notice("a [red]notice " + "that is long " * 10)
run.notice("after the bar")
"""


def on_a_terminal(code: str, columns: int) -> str:
    """Everything the code writes to a terminal of that width."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "LINES": "24", "TERM": "xterm"}
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environment
    )
    os.close(follower)
    data = b""
    while select.select([leader], [], [], 20)[0]:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not part:
            break
        data += part
    os.close(leader)
    assert process.wait(timeout=20) == 0, data.decode()
    return data.decode()


@pytest.mark.parametrize("columns", [60, 140])
def test_one_bar_on_a_terminal(columns: int) -> None:
    raw = on_a_terminal(TERMINAL, columns)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw)
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    bars = [line for line in lines if line.startswith("tinybert/intermediate")]
    assert len(bars) >= 2
    assert all(len(line) <= columns for line in bars)
    assert "40/40" in bars[-1]
    if columns == 140:
        assert re.search(r"loss 0\.5 hidden \[x\] 0\.25 attention 0\.125  \d+ ex/s", bars[-1])
    assert raw.count("\n") <= 8  # redrawn in place
    assert "".join(lines).count("a [red]notice " + "that is long " * 9) == 1
    assert lines[-1] == "after the bar"


def test_numbers_for_people() -> None:
    assert [number(x) for x in (0.41234, 12.345, 1.5e-5, float("nan"))] == [
        "0.412",
        "12.3",
        "1.5e-05",
        "nan",
    ]
    assert [short(x) for x in (0.516, 812, 9999, 10_200, 3.44e6, 2e9)] == [
        "0.52",
        "812",
        "9999",
        "10.2k",
        "3.4M",
        "2.0G",
    ]
    assert [clock(x) for x in (7, 200, 3723, -1)] == ["0:07", "3:20", "1:02:03", "0:00"]
