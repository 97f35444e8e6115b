"""On PYTHONPATH, every attempt of a process to open a socket ends it: nothing may even try.

What tells libraries to stay offline is taken away: a run from local files must not need it.
"""

import os
import sys

for switch in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ.pop(switch, None)


UNIX = 1
"""AF_UNIX: asyncio wakes itself by a pair of such, which lead nowhere."""


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    inside = event == "socket.gethostname" or (event == "socket.__new__" and arguments[1] == UNIX)
    if event.startswith("socket.") and not inside:
        print(f"NETWORK TOUCHED: {event} {arguments}", file=sys.stderr, flush=True)
        os._exit(99)


sys.addaudithook(refuse)
