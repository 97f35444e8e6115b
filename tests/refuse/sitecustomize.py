"""On PYTHONPATH, every attempt of a process to reach a network ends it: nothing may even try."""

import os
import socket
import sys


def refuse(*arguments: object, **named: object) -> None:
    print(f"NETWORK TOUCHED: {arguments[1:]}", file=sys.stderr, flush=True)
    os._exit(99)


socket.socket.connect = refuse  # type: ignore[method-assign, assignment]
socket.socket.connect_ex = refuse  # type: ignore[method-assign, assignment]
socket.getaddrinfo = refuse  # type: ignore[assignment]
