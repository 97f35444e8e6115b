"""Splits of a task from the hub, through the package `datasets`, without hanging when offline."""

from __future__ import annotations

import os
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jaxdistill.data.tasks import Hub, Task
from jaxdistill.errors import UserError

_PATIENCE = 5.0
"""Seconds within which the hub must answer; a name server that is silent counts as well."""


def _unreachable() -> str:
    """Why the hub cannot be reached, or the empty string if it can."""
    for switch in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        if os.environ.get(switch, "").upper() in ("1", "ON", "YES", "TRUE"):
            return f"{switch} is set"
    address = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    answer = [f"{address} gave no answer within {_PATIENCE:.0f} s"]

    def ask() -> None:
        request = urllib.request.Request(address, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=_PATIENCE).close()
            answer[0] = ""
        except urllib.error.HTTPError as error:
            error.close()
            answer[0] = ""  # Any status is an answer.
        except (OSError, ValueError) as error:
            # `datasets` brings its own certificates: what this interpreter trusts says nothing.
            trust = isinstance(getattr(error, "reason", error), ssl.SSLError)
            answer[0] = "" if trust else f"{address}: {error}"

    # A thread, because no timeout of the standard library covers the look-up of the name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return answer[0]


@contextmanager
def _cache_only(datasets: Any) -> Iterator[None]:
    """Lets `datasets` use its cache and no network: by itself it retries for half a minute."""
    import huggingface_hub.constants as constants

    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


def _place(task: Task) -> Hub:
    """Where the hub has the task. Raises UserError for a generated one."""
    if task.hub is None:
        raise UserError(f"The rows of {task.name} are generated; the hub does not have them.")
    return task.hub


def _load(task: Task, split: str) -> Any:
    """The split as a `datasets.Dataset`, downloaded, or from the cache when offline."""
    offline = _unreachable()
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f"config.data.folder is empty, so {task.name} would come from the hub, but the package "
            f"'datasets' cannot be imported ({error}). Install it, or give a local folder in "
            "config.data.folder."
        ) from error
    hub = _place(task)
    try:
        if not offline:
            return datasets.load_dataset(hub.path, hub.config, split=hub.splits[split])
        with _cache_only(datasets):
            return datasets.load_dataset(hub.path, hub.config, split=hub.splits[split])
    except Exception as error:  # Its own, pyarrow's and the HTTP client's have no common ancestor.
        why = f"the hub cannot be reached ({offline}) and the cache does not hold it"
        if not offline:
            why = f"{type(error).__name__}: {str(error).strip() or 'no reason given'}"
        raise UserError(
            f"Cannot get split {split!r} of {task.name} from the hub ({hub.path}, {hub.config}): "
            f"{why}. Give a local folder in GLUE's own layout in config.data.folder, or set "
            "HF_HOME to a cache that holds it."
        ) from error


def download(task: Task, split: str) -> tuple[list[list[str]], list[float]]:
    """Texts (one or two lists) and labels of a split, from the hub or its local cache.

    Classes are matched by *name*, because the hub numbers some of them differently; unlabelled
    examples are -1, or nan in a regression. Raises UserError within 10 seconds if the hub is out
    of reach and the cache does not hold the task, and if class names or columns do not fit.
    """
    hub, dataset = _place(task), _load(task, split)
    missing = {*hub.texts, hub.label} - set(dataset.column_names)
    if missing:
        raise UserError(
            f"{hub.path} ({hub.config}, {split}) has the columns "
            f"{', '.join(dataset.column_names)}, but {task.name} needs {', '.join(sorted(missing))}"
            " as well. Give a local folder in config.data.folder."
        )
    texts = [list(dataset[column]) for column in hub.texts]
    labels = list(dataset[hub.label])
    if task.regression:
        return texts, [value if value >= 0 else float("nan") for value in labels]
    names = dataset.features[hub.label].names
    if sorted(names) != sorted(task.labels):
        raise UserError(
            f"{hub.path} ({hub.config}) has the classes {', '.join(names)}, but "
            f"{task.name} has {', '.join(task.labels)}. Give a local folder in config.data.folder."
        )
    ours = {theirs: task.labels.index(name) for theirs, name in enumerate(names)} | {-1: -1}
    return texts, [ours[value] for value in labels]
