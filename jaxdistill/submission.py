"""Files as GLUE's server wants them: a run's predictions of its task's test rows.

Source: the benchmark's sample submission (names of the files, string labels of the NLI tasks).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdistill.data.blocks import BLOCK, Texts
from jaxdistill.data.readers import read_split
from jaxdistill.data.tables import Examples
from jaxdistill.data.tasks import Task, find_task
from jaxdistill.errors import UserError
from jaxdistill.files import write_atomic
from jaxdistill.notices import Notice

SCORES = (0.0, 5.0)
"""STS-B's scale, beyond which the server accepts nothing."""


class Part(NamedTuple):
    """One file of a submission."""

    task: str
    split: str
    name: str
    """Of the file, without .tsv."""


PARTS = (
    Part("cola", "test", "CoLA"),
    Part("sst2", "test", "SST-2"),
    Part("mrpc", "test", "MRPC"),
    Part("qqp", "test", "QQP"),
    Part("stsb", "test", "STS-B"),
    Part("mnli", "test", "MNLI-m"),
    Part("mnli", "test_mismatched", "MNLI-mm"),
    Part("qnli", "test", "QNLI"),
    Part("rte", "test", "RTE"),
    Part("wnli", "test", "WNLI"),
    Part("ax", "test", "AX"),
)


def parts_of(task: Task) -> tuple[Part, ...]:
    """The files that a run of the task can write; one of MNLI writes the diagnostic set's too.

    Raises UserError for a task that is not GLUE's.
    """
    found = tuple(part for part in PARTS if part.task == task.name)
    if not found:
        names = dict.fromkeys(part.task for part in PARTS if part.task != "ax")
        raise UserError(
            f"GLUE's server has no task {task.name}; it takes runs of {', '.join(names)}. Use "
            f"--input and --output for predictions of other texts."
        )
    return found + tuple(part for part in PARTS if task.name == "mnli" and part.task == "ax")


def read_part(part: Part, folder: str, notice: Notice) -> Examples:
    """The test rows of a part, in the order of the server's index.

    Raises UserError where they are not as many as were published: the index would be another's.
    """
    task = find_task(part.task)
    examples = read_split(task, part.split, folder, notice)
    count, published = len(examples.row), task.rows[part.split]
    if count != published:
        raise UserError(
            f"{part.name}.tsv: {task.name} {part.split} has {count:,} rows here, but GLUE's server "
            f"numbers {published:,}. Get the files as they were published: python -m "
            f"jaxdistill.prefetch --task {task.name} --output assets"
        )
    return examples


def submission(task: Task, logits: np.ndarray) -> str:
    """The file's text: index<TAB>prediction, labels as GLUE's files write them.

    Scores of a regression are kept within 0 and 5 and have three decimals.
    """
    if task.regression:
        said = [f"{score:.3f}" for score in np.clip(logits[:, 0], *SCORES).tolist()]
    else:
        said = [task.written[winner] for winner in logits.argmax(axis=1).tolist()]
    rows = (f"{index}\t{prediction}\n" for index, prediction in enumerate(said))
    return "index\tprediction\n" + "".join(rows)


def submit(
    task: Task,
    folder: str,
    target: Path | None,
    predict: Callable[[Texts], np.ndarray],
    notice: Notice,
) -> list[Path]:
    """Writes the task's files into target and returns their paths.

    Args:
      folder: the tasks' files, in GLUE's own layout; empty for the hub.
      target: None where another process writes.
      predict: texts -> logits [N, C], as Predictor.

    Without the diagnostic set's rows an MNLI run writes its own files, with a notice. Raises
    UserError for another task's run, and as read_part; then what is complete is written already.
    """
    written = []
    for part in parts_of(task):
        try:
            examples = read_part(part, folder, notice)
        except UserError as error:
            if part.task == task.name:
                raise
            notice(f"{part.name}.tsv is left out: {error}")
            continue
        blocks = (
            tuple(column[start : start + BLOCK] for column in examples.texts)
            for start in range(0, len(examples.row), BLOCK)
        )
        logits = np.concatenate([predict(texts) for texts in blocks])
        if target is None:
            continue
        path = target / f"{part.name}.tsv"
        try:
            target.mkdir(parents=True, exist_ok=True)
            write_atomic(path, submission(find_task(part.task), logits))
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
        written.append(path)
    return written
