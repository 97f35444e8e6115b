"""The table of tasks: what is learnt, by name.

A task is one row. Label order is that of the original BERT code and of Hugging Face's GLUE
processors; `datasets` numbers MNLI differently, so labels are always matched by name. The rows of
"reviews" and "reviews_zh" are generated, so these two need neither files nor a network.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from jaxdistill.data.chinese import CHINESE
from jaxdistill.data.glue import GLUE
from jaxdistill.data.task import Hub, Layout, Task
from jaxdistill.errors import UserError

__all__ = ["OWN", "TASKS", "Hub", "Layout", "Task", "find_task", "known_task"]


def _reviews(name: str, language: str) -> Task:
    return Task(
        name=name,
        folder=name,
        labelled=Layout(True, (0,), 1),
        unlabelled=Layout(True, (0,), None),
        text_names=("text",),
        label_name="label",
        labels=("negative", "positive"),
        written=("0", "1"),
        metrics=("accuracy",),
        selection="accuracy",
        rows={"train": 12000, "dev": 2000},
        generated=language,
    )


_ROWS = (*GLUE, *CHINESE, _reviews("reviews", "en"), _reviews("reviews_zh", "zh"))

TASKS: Mapping[str, Task] = {task.name: task for task in _ROWS}
"""Every task by its name."""

OWN = Task(
    name="own",
    folder="",
    labelled=Layout(True, (0,), None),
    unlabelled=Layout(True, (0,), None),
    text_names=("text",),
    label_name="label",
    labels=(),
    written=(),
    metrics=(),
    selection="",
    rows={},
    own=True,
)
"""The task of somebody's own files, before these are known (data/own.py); not in TASKS."""


def known_task(name: str) -> Task:
    """As find_task, and OWN by its name: what a recipe is made for."""
    return OWN if name == OWN.name else find_task(name)


def find_task(name: str) -> Task:
    """The task of that name. Raises UserError with the nearest name if there is none."""
    if name in TASKS:
        return TASKS[name]
    # "SST-2", "RTE" and the like: the folder's name is what many people know the task by.
    known = {spelling: task.name for task in _ROWS for spelling in (task.name, task.folder.lower())}
    near = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f" Did you mean {known[near[0]]!r}?" if near else ""
    raise UserError(
        f"There is no task {name!r}.{hint} The tasks are {', '.join(TASKS)}; for "
        f"files of your own there are configs/own_data.py and configs/METHOD.py:{OWN.name}."
    )
