"""The process is replaced once, by itself with the C library's tunables, and keeps its number."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from jaxdistill.allocator import TUNABLES

PROGRAM = """
import os, sys
from jaxdistill.allocator import keep_memory
print("begun")
keep_memory()
print(os.getpid(), os.environ["GLIBC_TUNABLES"], sys.argv[1:])
"""


def start(**environment):
    clean = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", PROGRAM, "--config.a=b c", "é"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean | environment)
    lines = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 0
    return process.pid, lines


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_the_command_runs_again_with_the_tunables():
    pid, lines = start()
    assert lines == ["begun", "begun", f"{pid} {TUNABLES} ['--config.a=b c', 'é']"]


def test_what_the_user_has_set_stays():
    pid, lines = start(GLIBC_TUNABLES="glibc.malloc.arena_max=2")
    assert lines == ["begun", f"{pid} glibc.malloc.arena_max=2 ['--config.a=b c', 'é']"]
