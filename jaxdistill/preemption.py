"""Signals that ask a run to stop: the first lets it finish the step and save, the second does not.

Orbax's own preemption save does nothing in a single process without jax.distributed.initialize()
(measured, orbax 0.12.8), so these are plain handlers. Nothing here needs jax.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, NoReturn

from jaxdistill.errors import Preempted

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""SIGTERM: schedulers and `kill`; SIGINT: Ctrl-C; SIGUSR1: Slurm's `--signal`, an early warning."""

TWIN_SECONDS = 1.0
"""One request may arrive twice: `timeout` signals the process and then its group at once, a
scheduler the job's step and then, through srun, its tasks."""


class Signals:
    """Context manager that catches SIGTERM, SIGINT and SIGUSR1 and restores the old handlers.

    The first signal sets `requested` and prints a line; a second SIGTERM or SIGINT leaves at once
    with status 128 + its number. (A SIGUSR1 before them does not count as the first: Slurm sends it
    well before SIGTERM.) Outside the main thread Python allows no handlers: there the context does
    nothing. One context at a time.

    Python runs its handlers only between bytecodes, so never while the main thread compiles. The
    second signal must work then too: a thread reads the signal numbers that the C handler writes to
    a pipe.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        """The name of the first signal received, such as "SIGTERM"."""
        self._old: dict[signal.Signals, Any] = {}
        self._old_wakeup = -1
        self._pipe: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None

    def poll(self) -> None:
        """Raises Preempted when a signal has come; to be called where all that is done is saved."""
        if self.asked():
            self.stop()

    def asked(self) -> bool:
        """Whether a signal has come to this process."""
        return self.requested is not None

    def stop(self) -> NoReturn:
        """Raises Preempted: a signal has come, to this process or to another."""
        raise Preempted(f"stopped by {self.requested or 'a signal to another process'}")

    def __enter__(self) -> Signals:
        global _active
        if threading.current_thread() is not threading.main_thread():
            return self
        if _active is not None:
            raise RuntimeError("Signals is already active in this process")
        read, write = os.pipe()
        os.set_blocking(write, False)  # set_wakeup_fd demands it
        self._pipe = read, write
        self._thread = threading.Thread(target=self._watch, args=(read,), daemon=True)
        self._thread.start()
        self._old_wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in SIGNALS:
            self._old[number] = signal.signal(number, self._handle)
        _active = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        global _active
        if self._pipe is None or self._thread is None:
            return
        self._restore()
        _active = None
        read, write = self._pipe
        os.close(write)  # the thread reads the end of the pipe and returns
        self._thread.join()
        os.close(read)
        self._pipe = self._thread = None

    def _restore(self) -> None:
        for number, handler in self._old.items():
            # None: installed by C code, which Python cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._old.clear()
        signal.set_wakeup_fd(self._old_wakeup)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # The thread does the rest; here too so that a step that ends now already sees it.
        if self.requested is None:
            self.requested = signal.Signals(number).name

    def _watch(self, read: int) -> None:
        announced = False
        stop_asked: float | None = None
        while data := os.read(read, 1):
            number = data[0]
            if number not in SIGNALS:
                continue  # a handler of somebody else
            name = signal.Signals(number).name
            if self.requested is None:
                self.requested = name
            if not announced:
                announced = True
                _say(f"{name}: finishing the step, saving; once more to leave at once")
            if number == signal.SIGUSR1:
                continue
            now = time.monotonic()
            if stop_asked is None:
                stop_asked = now
            elif now - stop_asked > TWIN_SECONDS:
                _say(f"{name} again: leaving at once")
                os._exit(128 + number)


def _say(text: str) -> None:
    # Not sys.stderr: the main thread may hold its lock. A new line first, away from a progress bar.
    start = "\n" if os.isatty(2) else ""
    with contextlib.suppress(OSError):  # stderr may be closed; the request still counts
        os.write(2, f"{start}{text}\n".encode())


_active: Signals | None = None


def _forget_in_child() -> None:
    # A forked worker must die of a SIGTERM, and must not write into its parent's pipe.
    global _active
    if _active is not None:
        _active._restore()
        _active = None


os.register_at_fork(after_in_child=_forget_in_child)
