"""preemption: one signal asks, the second forces; also while the main thread is busy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from jaxdistill.errors import Preempted
from jaxdistill.preemption import SIGNALS, TWIN_SECONDS, Signals

LOOP = """
import sys, time
from jaxdistill.errors import Preempted
from jaxdistill.preemption import Signals
polls = sys.argv[1] == "polls"
with Signals() as signals:
    print("ready", flush=True)
    try:
        for _ in range(3000):
            time.sleep(0.01)
            if polls:
                signals.poll()
    except Preempted as error:
        print("preempted:", error, flush=True)
        sys.exit(85)
"""

BUSY = """
from jaxdistill.preemption import Signals
with Signals() as signals:
    print("ready", flush=True)
    # One C call that holds the main thread for minutes: no Python handler runs in it. It lets go of
    # the interpreter lock, as a compilation does.
    import ctypes
    ctypes.CDLL(None).poll(None, 0, 60_000)
    ctypes.CDLL(None).poll(None, 0, 60_000)
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_only_asks(number: signal.Signals) -> None:
    process = start(LOOP, "polls")
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 85
    assert out == f"preempted: stopped by {number.name}\n"
    assert err == f"{number.name}: finishing the step, saving; once more to leave at once\n"


@pytest.mark.parametrize(
    ("first", "second"),
    [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT)],
)
def test_the_second_leaves_at_once(first: signal.Signals, second: signal.Signals) -> None:
    process = start(LOOP, "does not poll")
    process.send_signal(first)
    time.sleep(TWIN_SECONDS + 0.1)
    assert process.poll() is None
    process.send_signal(second)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + second
    assert err.count("\n") == 2


def test_slurms_early_warning_is_not_the_first_of_two() -> None:
    process = start(LOOP, "does not poll")
    for number in (signal.SIGUSR1, signal.SIGUSR1, signal.SIGTERM):
        process.send_signal(number)
        time.sleep(TWIN_SECONDS + 0.1)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
    process.communicate()


def test_the_second_leaves_while_the_main_thread_is_in_c() -> None:
    process = start(BUSY)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    time.sleep(TWIN_SECONDS + 0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGINT
    assert err.startswith("SIGINT: finishing")


def test_one_request_may_arrive_twice() -> None:
    # As from coreutils' timeout, which signals its child and then the group the child is in.
    process = start(LOOP, "does not poll")
    process.send_signal(signal.SIGTERM)
    time.sleep(TWIN_SECONDS / 5)
    process.send_signal(signal.SIGTERM)
    time.sleep(TWIN_SECONDS)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert err.count("\n") == 2


def test_old_handlers_come_back() -> None:
    before = [signal.getsignal(n) for n in SIGNALS]
    with Signals() as signals:
        signals.poll()
        assert signals.requested is None
        assert all(signal.getsignal(n) not in before for n in SIGNALS)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert signals.requested == "SIGUSR1"
        with pytest.raises(Preempted, match="SIGUSR1"):
            signals.poll()
    assert [signal.getsignal(n) for n in SIGNALS] == before
    assert signal.set_wakeup_fd(-1) == -1
    with Signals() as again:  # and it can be entered again
        assert again.requested is None


def test_nothing_happens_outside_the_main_thread() -> None:
    seen: list[object] = []

    def enter() -> None:
        with Signals() as signals:
            seen.extend([signals.requested, signal.getsignal(signal.SIGTERM)])

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [None, before]


FORKS = """
import os, signal, sys, time
from jaxdistill.preemption import Signals
with Signals() as signals:
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    time.sleep(0.1)
    os.kill(pid, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)
    time.sleep(0.1)
    print(os.WTERMSIG(status), signals.requested)
"""


def test_a_forked_worker_dies_of_sigterm_and_its_parent_does_not_hear_of_it() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS], capture_output=True, text=True, timeout=20
    )
    assert done.stdout == f"{int(signal.SIGTERM)} None\n", done.stderr
