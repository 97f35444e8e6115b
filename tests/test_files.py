"""files: whole or not there, strict JSON, one writer per folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxdistill import cli, files
from jaxdistill.errors import Passing, UserError
from jaxdistill.files import Lock, canonical_json, read_json, sha256_file, write_atomic, write_json


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "é\r\n")
    assert path.read_bytes() == b"\xc3\xa9\r\n"
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, broken, full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_json_is_canonical_and_strict(tmp_path: Path) -> None:
    value = {"b": (1, np.float32(0.5)), "a": {"z": float("nan"), "y": -np.inf, "名": np.int64(3)}}
    path = tmp_path / "x.json"
    write_json(path, value)
    expected = (
        '{\n  "a": {\n    "y": "-inf",\n    "z": "nan",\n    "名": 3\n  },\n'
        '  "b": [\n    1,\n    0.5\n  ]\n}\n'
    )
    assert path.read_text(encoding="utf-8") == expected
    assert canonical_json(dict(reversed(value.items()))) == expected
    assert read_json(path) == json.loads(expected)
    with pytest.raises(TypeError, match="3"):
        canonical_json({3: 1})


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe", b"", b'{"a": 1} x', b"[" * 100_000])
def test_read_json_names_the_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="model.json"):
        read_json(path)


def test_read_json_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_json(tmp_path)


def test_sha256_file(tmp_path: Path) -> None:
    data = os.urandom(3_000_001)
    (tmp_path / "x").write_bytes(data)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(data).hexdigest()


HOLDER = """
import sys, time
from pathlib import Path
from jaxdistill.files import Lock
with Lock(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(UserError) as caught, Lock(run):
            pass
        for part in (str(run), f"pid {holder.pid}", f"host {os.uname().nodename}"):
            assert part in str(caught.value)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with Lock(run):
        assert f"pid {os.getpid()}\n" in (run / "lock").read_text()
        with pytest.raises(UserError, match=f"pid {os.getpid()}"), Lock(run):
            pass
    with Lock(run):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/run cannot be written"), Lock(tmp_path / "file/run"):
        pass


def test_a_full_disk_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "keep_memory", lambda: None)

    def fail(number: int) -> Callable[[list[str]], None]:
        def verb(argv: list[str]) -> None:
            raise OSError(number, os.strerror(number), "/full/metrics.jsonl")

        return verb

    assert cli.run(fail(errno.ENOSPC), ["main"]) == 2
    said = capsys.readouterr().err
    assert "error: /full/metrics.jsonl: No space left on device. Make room" in said
    with pytest.raises(OSError, match="Input/output"):
        cli.run(fail(errno.EIO), ["main"])


@pytest.mark.parametrize(("kind", "status"), [(UserError, 2), (files.Busy, 75), (Passing, 75)])
def test_what_may_pass_is_not_wrong_use(kind, status, monkeypatch, capsys):
    """A JobSet never starts a 2 again."""
    monkeypatch.setattr(cli, "keep_memory", lambda: None)

    def verb(argv):
        raise kind("the hub does not answer")

    assert cli.run(verb, ["main"]) == status
    assert capsys.readouterr().err.strip() == "error: the hub does not answer"
