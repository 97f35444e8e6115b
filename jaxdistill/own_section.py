"""What config.data says of files of one's own: checked, handed to the teacher, made a task."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from jaxdistill.data.labels import KINDS
from jaxdistill.data.own import SPLITS, own_task
from jaxdistill.data.tasks import OWN, Task
from jaxdistill.errors import UserError
from jaxdistill.notices import Notice

if TYPE_CHECKING:
    from jaxdistill.sections import Config, DataConfig

COLUMNS = ("text", "text_pair", "label", "labels")
SHARED = (*SPLITS, *COLUMNS)
"""Keys of config.data that say what the rows are."""
KEYS = (*SHARED, "selection")
"""Keys of config.data that a student's teacher is trained by too."""


def own_files(section: ConfigDict, *, unlabelled: bool) -> ConfigDict:
    """config.data of a recipe for files of one's own, all keys empty; see DataConfig.

    Args:
      unlabelled: whether there is a teacher to label texts.
    """
    for name in (*KEYS, *(("unlabelled",) if unlabelled else ())):
        section[name] = placeholder(str)
    return section


def take_unlabelled(plain: dict[str, Any]) -> None:
    """Hands config.data.unlabelled to config.augment, which adds such texts to the train rows."""
    data = plain["data"] if "data" in plain else {}
    path = data["unlabelled"] if "unlabelled" in data else None
    if not path:
        return
    augment = plain["augment"] if "augment" in plain else None
    if not augment or "text" not in augment or "name" not in augment:
        raise UserError(
            f"config.data.unlabelled={path} is for a teacher to label, and this recipe has no "
            f"config.augment that would add its texts. Take a recipe with a teacher, such as "
            f"configs/own_data.py."
        )
    if augment["text"] not in (None, "", path):
        raise UserError(
            f"config.data.unlabelled={path} and config.augment.text={augment['text']} are the same "
            f"thing said twice. Leave one of them empty."
        )
    augment["text"] = path
    if augment["name"] == "none":
        augment["name"] = "text"


def check_own(config: Config) -> None:
    """Raises UserError where the keys for files of one's own contradict each other or the task."""
    data = config.data
    given = {name: getattr(data, name) for name in (*KEYS, "unlabelled") if getattr(data, name)}
    if config.task != OWN.name:
        if spare := [name for name in given if name != "unlabelled"]:
            raise UserError(
                f"config.data.{spare[0]}={given[spare[0]]} is for files of one's own, and "
                f"config.task is {config.task}. Take configs/own_data.py or "
                f"configs/METHOD.py:{OWN.name}, or leave it empty."
            )
        return
    if missing := [name for name in ("train", "text", "label") if name not in given]:
        flags = " ".join(
            f"--config.data.{name}={'FILE' if name in SPLITS else 'COLUMN'}" for name in missing
        )
        raise UserError(
            f"config.task is {OWN.name}, files of your own, and of these "
            f"{' and '.join(f'config.data.{name}' for name in missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not given. Add {flags}."
        )
    columns = [given[name] for name in ("text", "text_pair", "label") if name in given]
    if len(set(columns)) < len(columns):
        raise UserError(
            f"config.data.text, text_pair and label name the columns {', '.join(columns)}: each "
            f"must be another one."
        )
    if data.labels and data.labels not in KINDS:
        raise UserError(
            f"config.data.labels is {data.labels!r}, and says what the labels are: one of "
            f"{', '.join(KINDS)}, or empty to find out. Their column goes to config.data.label."
        )
    if data.folder:
        raise UserError(
            f"config.data.folder={data.folder} is for tasks that are published, and config.task is "
            f"{OWN.name}: leave it empty, and give whole paths in config.data.train and dev."
        )


def carried(recipe: dict[str, Any], data: DataConfig) -> dict[str, Any]:
    """A teacher's recipe with its student's files, columns and metric, where both are for one's
    own.
    """
    if "task" not in recipe or recipe["task"] != OWN.name or "data" not in recipe:
        return recipe
    return {**recipe, "data": {**recipe["data"], **{name: getattr(data, name) for name in KEYS}}}


def settled(task: Task, data: DataConfig, notice: Notice) -> Task:
    """The task with what the files of one's own say; a published task as it is."""
    if not task.own:
        return task
    files = {name: getattr(data, name) for name in SPLITS if getattr(data, name)}
    texts = tuple(name for name in (data.text, data.text_pair) if name)
    assert data.label, "checked() saw to it"
    return own_task(
        files, texts, data.label, data.labels or None, notice, selection=data.selection or None
    )


def check_many(config: Config, task: Task) -> None:
    """Raises UserError where the config asks for what rows with several labels do not have."""
    if not task.many:
        return
    method, teacher, augment = config.method, config.teacher, config.augment
    faults = {
        "config.method.probability_shift swaps a wrong class with the right one: set it to False": (
            "probability_shift" in method and bool(method["probability_shift"])
        ),
        "config.teacher.combine=probabilities averages distributions over classes: set it to "
        "logits": teacher is not None and bool(teacher.others) and teacher.combine != "logits",
        "config.augment.confidence asks for the probability of one class: set it to 0": (
            augment is not None and augment.confidence > 0
        ),
    }
    if found := [text for text, holds in faults.items() if holds]:
        raise UserError(
            f"A row of {task.files['train']} has any number of labels, not one class: "
            f"{'; '.join(found)}."
        )


def without_unlabelled(data: DataConfig) -> DataConfig:
    """The section for a run that learns nothing, from texts without labels either: there is no best
    to be chosen.
    """
    return dataclasses.replace(data, unlabelled=None, selection=None)
