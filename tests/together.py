"""Starts the processes of one run on this machine, and waits for them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 300
"""Seconds after which a test gives up on processes that hang."""


def start(
    words: Sequence[object], count: int = 2, **environment: str
) -> list[subprocess.Popen[str]]:
    """The processes of `python WORDS`, which are told of each other where there are several."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    command = [sys.executable, *map(str, words)]
    meeting = [f"--coordinator=127.0.0.1:{port}", f"--processes={count}"]
    return [
        subprocess.Popen(
            [*command, *([*meeting, f"--process={number}"] if count > 1 else [])],
            cwd=ROOT,
            env={**os.environ, "XLA_FLAGS": "", **environment},  # compiled as runs are
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]


def finish(processes: Sequence[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """(status, stdout, stderr) of each; none is left behind."""
    try:
        ended = [process.communicate(timeout=PATIENCE) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, *said) for p, said in zip(processes, ended, strict=True)]
