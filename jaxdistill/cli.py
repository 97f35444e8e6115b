"""What every verb shares: the processes it runs in, errors as a paragraph, and the exit status."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable

from jaxdistill.allocator import keep_memory
from jaxdistill.errors import (
    EXIT_PASSING,
    EXIT_PREEMPTED,
    EXIT_USER_ERROR,
    Passing,
    Preempted,
    UserError,
)
from jaxdistill.files import cache_folder

MEETING = ("--coordinator", "--processes", "--process")
Meeting = tuple[str, int, int]
"""HOST:PORT of process 0, how many processes there are, the number of this one."""

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""What a disk that is full or not to be written says."""

_joined = False
"""Whether this is one of several processes."""


def run(verb: Callable[[list[str]], None], argv: list[str]) -> int:
    """Runs a verb on [program, argument, ...] and returns its exit status.

    0; 2 with a paragraph on standard error where the user can help, 75 where waiting may; 85 where
    a signal stopped the verb after everything was saved. What XLA compiles is kept for the next
    process. To be called first thing in a process of its own: see allocator.
    """
    keep_memory()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "xla"))
    try:
        verb(argv)
    except UserError as error:
        _say(f"error: {error}")
        return _ended(EXIT_PASSING if isinstance(error, Passing) else EXIT_USER_ERROR)
    except Preempted as stop:
        _say(f"{stop}; everything is saved. The same command goes on from here.")
        return EXIT_PREEMPTED
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK:
            _say(
                f"error: {error.filename or 'A file'}: {error.strerror}. Make room there or change "
                f"its permissions; the same command goes on from what is saved."
            )
            return _ended(EXIT_USER_ERROR)
        if not _joined:
            raise
        traceback.print_exc()
        _say("This process stops, and the others with it. If one of them died, it says why.")
        return _ended(1)
    return 0


def take_meeting(argv: list[str]) -> tuple[list[str], Meeting | None]:
    """The command line without --coordinator, --processes and --process, and what they say.

    Raises UserError where one of them is missing or is not what it should be.
    """
    rest, found = argv[:1], dict[str, str]()
    words = iter(argv[1:])
    for word in words:
        name, equals, value = word.partition("=")
        if name not in MEETING:
            rest.append(word)
            continue
        found[name] = value if equals else next(words, "")
    if not found:
        return rest, None
    if missing := [name for name in MEETING if not found.get(name)]:
        raise UserError(
            f"{' and '.join(missing)} must be given too: --coordinator=HOST:PORT is where process "
            f"0 waits for the others, --processes how many there are, --process this one's number."
        )
    numbers = [found[name] for name in MEETING[1:]]
    host, _, port = found[MEETING[0]].rpartition(":")
    if not (host and port.isdecimal() and all(number.isdecimal() for number in numbers)):
        raise UserError(
            f"--coordinator={found[MEETING[0]]} --processes={numbers[0]} --process={numbers[1]} is "
            f"not HOST:PORT and two whole numbers, such as --coordinator=10.0.0.1:8482 "
            f"--processes=2 --process=0."
        )
    processes, process = map(int, numbers)
    if process >= processes:
        raise UserError(
            f"--process={process} is none of --processes={processes}, which are numbered from 0."
        )
    return rest, (found[MEETING[0]], processes, process)


def meet(meeting: Meeting | None) -> None:
    """Joins the other processes, or finds out that there are none: processes.join."""
    global _joined
    from jaxdistill import processes

    processes.join(meeting and processes.Meeting(*meeting))
    _joined = processes.count() > 1


def _say(text: str) -> None:
    before = ""
    if _joined:
        from jaxdistill import processes

        before = f"process {processes.index()} of {processes.count()}: "
    print(f"\n{before}{text}", file=sys.stderr)


def _ended(status: int) -> int:
    """The status; one of several processes leaves with it now, since the others may not come."""
    if _joined:
        from jaxdistill import mirror

        mirror.leave(status)
    return status
