"""Whether the hub answers, told within seconds. Standard library only, and one request."""

from __future__ import annotations

import os
import ssl
import threading
import urllib.error
import urllib.request

PATIENCE = 5.0
"""Seconds within which the hub must answer; a name server that is silent counts as well."""

_silent: dict[str, str] = {}
"""Addresses that did not answer, and why."""


def endpoint() -> str:
    """The hub's address: HF_ENDPOINT, which names a mirror, else its own."""
    return os.environ.get("HF_ENDPOINT") or "https://huggingface.co"


def forbidden(*, datasets: bool = True) -> str:
    """Which environment variable forbids the network, or the empty string if none does.

    datasets: whether that of the package `datasets` counts, which says nothing of models.
    """
    for switch in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")[: 1 + datasets]:
        if os.environ.get(switch, "").upper() in ("1", "ON", "YES", "TRUE"):
            return switch
    return ""


def unreachable(*, datasets: bool = True) -> str:
    """Why the hub cannot be reached, or the empty string if it can; within PATIENCE.

    One that did not answer is not asked again by this process: a run looks for several things.
    datasets: as forbidden.
    """
    if switch := forbidden(datasets=datasets):
        return f"{switch} is set"
    address = endpoint()
    if address in _silent:
        return _silent[address]
    answer = [f"{address} gave no answer within {PATIENCE:.0f} s"]

    def ask() -> None:
        try:
            request = urllib.request.Request(address, method="HEAD")
            urllib.request.urlopen(request, timeout=PATIENCE).close()
            answer[0] = ""
        except urllib.error.HTTPError as error:
            error.close()
            answer[0] = ""  # Any status is an answer.
        except (OSError, ValueError) as error:
            # Clients bring their own certificates: what this interpreter trusts says nothing.
            trust = isinstance(getattr(error, "reason", error), ssl.SSLError)
            answer[0] = "" if trust else f"{address}: {error}"

    # A thread, because no timeout of the standard library covers the look-up of the name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    why = answer[0]  # once: the thread may still answer
    if why:
        _silent[address] = why
    return why
