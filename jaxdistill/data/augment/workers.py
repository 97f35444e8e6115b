"""A function over many inputs, in other processes; no process outlives this one.

multiprocessing's pools leave their workers behind when their parent is killed, waiting for ever on
a pipe that they hold open themselves. Here each has a pipe of its own, whose end of file ends it.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")
POLL_SECONDS = 0.2


def mapped(
    work: Callable[[In], Out],
    inputs: Iterable[tuple[int, In]],
    workers: int,
    poll: Callable[[], None],
) -> Iterator[tuple[int, Out]]:
    """(number, work(input)) for each (number, input), in whatever order they are done.

    Args:
      work: with several workers it, its inputs and outputs are pickled.
      inputs: asked for one by one, when somebody is free to work on it.
      workers: 1: this process does it. More are started afresh, not forked: this process may run
        threads, as JAX does. A script that asks for them must not do so when it is imported.
      poll: called while others work; what it raises ends them.
    """
    if workers == 1:
        for number, given in inputs:
            yield number, work(given)
        return
    context = multiprocessing.get_context("spawn")
    waiting = iter(inputs)
    at_work: dict[Any, Any] = {}  # the pipe to each process that has something to do
    started: list[Any] = []
    try:
        for _ in range(workers):
            job = next(waiting, None)
            if job is None:
                break
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, work), daemon=True)
            process.start()
            started.append(process)
            theirs.close()
            ours.send(job)
            at_work[ours] = process
        while at_work:
            poll()
            for found in wait(list(at_work), POLL_SECONDS):
                pipe: Any = found
                yield _answer(pipe, at_work[pipe], poll)
                job = next(waiting, None)
                if job is None:
                    del at_work[pipe]
                    pipe.close()
                else:
                    pipe.send(job)
    finally:
        for process in started:
            if at_work:  # something went wrong: they hold nothing that would be lost
                process.kill()
            process.join()


def _answer(pipe: Any, process: Any, poll: Callable[[], None]) -> tuple[int, Any]:
    """What a process has found; RuntimeError with its own traceback where it failed."""
    try:
        number, result, trouble = pipe.recv()
    except (EOFError, OSError):
        poll()  # what ended it may have been meant for all of us
        process.join()
        raise RuntimeError(f"a worker ended with status {process.exitcode}") from None
    if trouble:
        raise RuntimeError(f"a worker failed:\n{trouble}")
    return number, result


def _serve(pipe: Any, work: Callable[[Any], Any]) -> None:
    """Answers until the other end is closed, by whatever end of its process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # the parent decides what a signal means
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            number, given = pipe.recv()
            try:
                answer = (number, work(given), "")
            except Exception:
                answer = (number, None, traceback.format_exc())
            pipe.send(answer)
