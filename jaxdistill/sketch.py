"""A run's stages before its teacher is there, from the shapes that its models will have."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from jaxdistill.data.tasks import Task
from jaxdistill.methods.kd import Kd
from jaxdistill.methods.layers import pick_layers
from jaxdistill.models.bert import Bert, BertShape
from jaxdistill.models.hfconfig import read_config, shape_from_config
from jaxdistill.origins import run_named
from jaxdistill.planning import check_widths, make_method, name_stages
from jaxdistill.runs import read_description
from jaxdistill.sections import Config, ModelConfig
from jaxdistill.starts import CUT
from jaxdistill.teaching import check_needs


def check_method(config: Config, task: Task, recipe: Config) -> None:
    """Raises UserError where the method would refuse its fields, its models or its stages.

    Where a shape is not known yet, a hub model's say, or a BiLSTM is to learn, fields are looked at
    that need none.

    Args:
      recipe: of the teacher that is yet to be trained.
    """
    values = dict(config.method)
    method = make_method(values.pop("name"), values)
    check_widths(method, config.data.buckets)
    start = recipe.model
    teacher = _shape_of(start, task, None) if isinstance(start, ModelConfig) else None
    wanted = config.start
    student = _shape_of(wanted, task, teacher) if isinstance(wanted, ModelConfig) else None
    if teacher is None or student is None:
        if isinstance(method, Kd):
            method.check(Bert(_any_shape(task)))
        return
    if isinstance(wanted, ModelConfig) and wanted.source in CUT and wanted.pick:
        pick_layers(wanted.pick, teacher.layers, student.layers, config.start_key)
    stages = name_stages(method, config.stages, Bert(student), Bert(teacher))
    check_needs(stages, config.teacher)


def _shape_of(wanted: ModelConfig, task: Task, teacher: BertShape | None) -> BertShape | None:
    """What a section's model will be like, None where that is not known without a network.

    Args:
      teacher: whose layers a student takes.
    """
    sizes = {key: getattr(wanted, key) for key in ("layers", "width", "heads", "inner")}
    if wanted.source in CUT:
        if teacher is None or not wanted.layers:
            return None
        return dataclasses.replace(teacher, layers=wanted.layers)
    if wanted.source == "random":
        fits = all(sizes.values()) and sizes["width"] % sizes["heads"] == 0
        return dataclasses.replace(teacher or _any_shape(task), **sizes) if fits else None
    folder = Path(wanted.source).expanduser()
    if named := run_named(wanted.source):
        about = read_description(named[0])
        plain = {**about.shape, "classes": task.outputs}
        return BertShape(**plain) if about.model == "bert" else None
    if (folder / "config.json").is_file():
        return shape_from_config(read_config(folder), task.outputs)
    return None


def _any_shape(task: Task) -> BertShape:
    return BertShape(vocab=1, width=2, layers=2, heads=1, inner=2, classes=task.outputs)
