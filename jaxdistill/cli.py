"""What every verb shares: errors as a paragraph, and the exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from jaxdistill.allocator import keep_memory
from jaxdistill.errors import EXIT_PREEMPTED, EXIT_USER_ERROR, Preempted, UserError
from jaxdistill.files import cache_folder


def run(verb: Callable[[list[str]], None], argv: list[str]) -> int:
    """Runs a verb on [program, argument, ...] and returns its exit status.

    0; 2 with a paragraph on standard error where the user can help; 85 where a signal stopped the
    verb after everything was saved. What XLA compiles is kept for the next process. To be called
    first thing in a process of its own: see allocator.
    """
    keep_memory()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "xla"))
    try:
        verb(argv)
    except UserError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except Preempted as stop:
        print(
            f"\n{stop}; everything is saved. The same command goes on from here.", file=sys.stderr
        )
        return EXIT_PREEMPTED
    return 0
