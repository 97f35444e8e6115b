"""A finished teacher is taken as it is: what it has otherwise than the config says, told."""

from __future__ import annotations

from pathlib import Path

from jaxdistill.data.tasks import Task
from jaxdistill.files import read_json
from jaxdistill.notices import Notice
from jaxdistill.origins import origin_of
from jaxdistill.preparing import flat
from jaxdistill.runs import Run
from jaxdistill.sections import TeacherConfig

TRAINED_BY = ("seed", "data.max_length", "data.buckets", "model.", "method.", "stages.")
"""What of config.teacher.recipe says how a teacher is trained; of model.source, see tell_origin."""
SHOWN = 4


def tell_changes(teacher: Run, task: Task, folder: Path, notice: Notice) -> None:
    """Says so where the teacher was trained on other rows, or its best chosen by another metric.

    Args:
      folder: of the run that is to learn from it, whose data.json is written.
    """
    path = teacher.folder / "data.json"
    if teacher.description.method == "score" or not path.is_file():
        return  # it was trained elsewhere
    if teacher.task.files != task.files:
        return  # open_teacher has said so
    before, now = read_json(path), read_json(folder / "data.json")
    if not task.own and before["train"] != now["train"]:
        rows = [about["train"]["rows"] for about in (before, now)]
        notice(
            f"the teacher {teacher.folder} was trained on {rows[0]:,} rows of {task.name}, and the "
            f"student is on {rows[1]:,}{'' if rows[0] != rows[1] else ' others'}. If that is not "
            f"meant, give another --config.teacher.run"
        )
    if task.own and before != now:
        notice(
            f"the rows of {task.files['train']}, or of its dev, are not those that the teacher "
            f"{teacher.folder} was trained on: it may know rows that it is judged by. For a new "
            f"teacher give another --config.teacher.run"
        )
    if teacher.task.selection != task.selection:
        notice(
            f"the teacher {teacher.folder} is finished and taken as it is: its best was chosen by "
            f"{teacher.task.selection}, not by {task.selection} (config.data.selection). If that "
            f"is not meant, give another --config.teacher.run"
        )


def tell_origin(teacher: Run, source: str, notice: Notice) -> None:
    """Says so where a finished teacher was not trained from config.teacher.source."""
    origin = origin_of(teacher)
    if origin != source:
        notice(
            f"the teacher {teacher.folder} is finished and taken as it is; it was trained from "
            f"{origin or 'what it does not say'}, not from config.teacher.source={source}: for a "
            f"teacher from there, give another --config.teacher.run"
        )


def tell_recipe(teacher: Run, about: TeacherConfig, notice: Notice) -> None:
    """Says so where a finished teacher was trained otherwise than config.teacher.recipe says.

    Not of somebody's classifier and of runs of another method, which no such recipe has trained.
    """
    path = teacher.folder / "config.json"
    if about.recipe is None or not path.is_file():
        return
    theirs, ours = flat(read_json(path)), flat(about.recipe)
    if theirs["method.name"] != ours["method.name"]:
        return
    shown = [
        f"{key} {theirs[key]!r}, not {value!r}"
        for key, value in ours.items()
        if key.startswith(TRAINED_BY) and key != "model.source"
        if key in theirs and theirs[key] != value
    ]
    if shown:
        notice(
            f"the teacher {teacher.folder} is finished and taken as it is, otherwise than "
            f"config.teacher.recipe would train it: {'; '.join(shown[:SHOWN])}"
            f"{' ...' if len(shown) > SHOWN else ''}. If that is not meant, give another "
            f"--config.teacher.run"
        )
