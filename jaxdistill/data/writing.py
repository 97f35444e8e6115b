"""A split of a task as a file in the layout that read_split reads."""

from __future__ import annotations

import re

import numpy as np

from jaxdistill.data.tables import Examples
from jaxdistill.data.task import Task

_CUTS = re.compile("[\t\r\n]")


def one_line(text: str) -> str:
    """The text as a field of a tab-separated file can hold it: tabs and line ends are spaces."""
    return _CUTS.sub(" ", text).strip()


def as_file(task: Task, split: str, examples: Examples) -> str:
    """The text of the split's file.

    Texts and label stand where the task's layout has them; the first column that neither takes has
    the row's number, others "-". A label is written as the task's own files do, a number of a
    regression so that the same float32 is read; of test files none.
    """
    layout = task.layout(split)
    width = max(*layout.texts, layout.label or 0) + 1
    label = layout.label
    if label == -1:
        width, label = width + 1, width
    free = [at for at in range(width) if at not in (*layout.texts, label)]
    line = ["-"] * width
    lines = []
    if layout.header:
        names = dict(zip(layout.texts, task.text_names, strict=True))
        names |= {at: f"column{at}" for at in free} | ({free[0]: "index"} if free else {})
        if label is not None:
            names[label] = task.label_name
        lines.append("\t".join(names[at] for at in range(width)))
    for row, texts in enumerate(zip(*examples.texts, strict=True)):
        if free:
            line[free[0]] = str(row)
        for at, text in zip(layout.texts, texts, strict=True):
            line[at] = one_line(text)
        if label is not None:
            line[label] = _written(task, examples.labels[row])
        lines.append("\t".join(line))
    return "\n".join(lines) + "\n"


def _written(task: Task, label: np.generic) -> str:
    """A float32 as its shortest decimal, a class as GLUE's files write it."""
    return str(np.float32(label)) if task.regression else task.written[int(label)]
