"""What a run may end with besides success: the user can fix it, or somebody asked it to stop."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right: a key, a file, a row, a shape.

    Its text is one paragraph naming both sides of what does not fit, where, and the remedy. Every
    verb prints it without a traceback and exits with 2.
    """


class Passing(UserError):
    """What may be over by itself: a process that is not there yet, a stream that broke off.

    The same command may succeed later; verbs exit with 75, as EX_TEMPFAIL of sysexits.h.
    """


class Preempted(Exception):
    """A signal asked to stop and all that was done is saved. Verbs print how to go on; exit 85."""


EXIT_USER_ERROR = 2
EXIT_PASSING = 75
EXIT_PREEMPTED = 85
