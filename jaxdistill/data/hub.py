"""Splits of a task from the hub, through the package `datasets`, without hanging when offline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jaxdistill.data.task import Hub, Task
from jaxdistill.errors import UserError
from jaxdistill.network import unreachable
from jaxdistill.notices import Notice


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
    """Where the hub has the task. Raises UserError where that is nowhere."""
    if task.hub is not None:
        return task.hub
    if task.generated:
        raise UserError(f"The rows of {task.name} are generated; the hub does not have them.")
    files = ", ".join(f"{task.folder}/{name}" for name in task.files.values())
    raise UserError(
        f"config.data.folder is empty, and no copy of {task.name} on the hub is known that the "
        f"package 'datasets' still reads. Give the folder that holds {files} in "
        "config.data.folder."
    )


def _load(task: Task, split: str) -> Any:
    """The split as a `datasets.Dataset`, downloaded, or from the cache when offline."""
    hub = _place(task)
    offline = unreachable()
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f"config.data.folder is empty, so {task.name} would come from the hub, but the package "
            f"'datasets' cannot be imported ({error}). Install it, or give a local folder in "
            "config.data.folder."
        ) from error
    try:
        if not offline:
            return datasets.load_dataset(hub.path, hub.config or None, split=hub.splits[split])
        with _cache_only(datasets):
            return datasets.load_dataset(hub.path, hub.config or None, split=hub.splits[split])
    except Exception as error:  # Its own, pyarrow's and the HTTP client's have no common ancestor.
        why = f"the hub cannot be reached ({offline}) and the cache does not hold it"
        if not offline:
            why = f"{type(error).__name__}: {str(error).strip() or 'no reason given'}"
        raise UserError(
            f"Cannot get split {split!r} of {task.name} from the hub ({_named(hub)}): {why}. Give "
            f"the folder that holds {task.folder}/{task.files[split]} in config.data.folder, or "
            "set HF_HOME to a cache that holds it."
        ) from error


def download(
    task: Task, split: str, remark: Notice | None = None
) -> tuple[list[list[str]], list[float]]:
    """Texts (one or two lists) and labels of a split, from the hub or its local cache.

    Classes are matched by *name*, because the hub numbers some of them differently; where it has
    plain numbers, they are those that the task's files write. Unlabelled examples are -1, or nan in
    a regression; those that the task calls undecided are dropped.

    Args:
      remark: is told how many are dropped.

    Raises UserError within 10 seconds if the hub is out of reach and the cache does not hold the
    task, at once if no copy there is known, and if class names or columns do not fit.
    """
    hub, dataset = _place(task), _load(task, split)
    missing = {*hub.texts, hub.label} - set(dataset.column_names)
    if missing:
        raise UserError(
            f"{_named(hub)}, {split}, has the columns "
            f"{', '.join(dataset.column_names)}, but {task.name} needs {', '.join(sorted(missing))}"
            " as well. Give a local folder in config.data.folder."
        )
    texts = [list(dataset[column]) for column in hub.texts]
    labels = list(dataset[hub.label])
    if task.regression:
        return texts, [value if value >= 0 else float("nan") for value in labels]
    classes = _classes(task, hub, dataset.features[hub.label], labels)
    if task.undecided:
        kept = [row for row, number in enumerate(classes) if number >= 0]
        if remark and len(kept) < len(classes):
            remark(f"{len(classes) - len(kept):,} rows without an agreed label dropped")
        return [[column[row] for row in kept] for column in texts], [classes[row] for row in kept]
    return texts, classes


def _classes(task: Task, hub: Hub, feature: Any, labels: Sequence[Any]) -> list[float]:
    """Our class number of each label as the hub has it, -1 for none."""
    if hasattr(feature, "names"):
        names = feature.names
        if sorted(names) != sorted(task.labels):
            raise UserError(
                f"{_named(hub)} has the classes {', '.join(names)}, but {task.name} has "
                f"{', '.join(task.labels)}. Give a local folder in config.data.folder."
            )
        ours: dict[Any, int] = {
            theirs: task.labels.index(name) for theirs, name in enumerate(names)
        }
        values = list(labels)
    else:
        ours = {written: number for number, written in enumerate(task.written)}
        values = [value if value == -1 else str(value).strip() for value in labels]
    ours[-1] = -1
    strange = [row for row, value in enumerate(values) if value not in ours]
    if strange:
        raise UserError(
            f"Row {strange[0]} of {_named(hub)} has the label {labels[strange[0]]!r}, but "
            f"{task.name} expects one of {', '.join(task.written)}. Give a local folder in "
            "config.data.folder."
        )
    return [ours[value] for value in values]


def _named(hub: Hub) -> str:
    return f"{hub.path}, {hub.config}" if hub.config else hub.path
