"""What is said to a person beside the result, a line at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable

Notice = Callable[[str], None]
"""Is told a sentence."""


def print_notice(text: str) -> None:
    """A Notice: prints to standard error, so that standard output stays the verb's own."""
    print(text, file=sys.stderr)


def ignore(*_: object) -> None:
    """A Notice that nobody hears; or a poll that never stops what polls it."""
