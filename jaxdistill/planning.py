"""A method's stages, each with its section of the config and its models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxdistill.errors import UserError
from jaxdistill.methods import METHODS
from jaxdistill.methods.pkd import Pkd
from jaxdistill.methods.theseus import Theseus
from jaxdistill.models.build import Model, build, name_of
from jaxdistill.runs import Run
from jaxdistill.sections import section
from jaxdistill.starts import Start
from jaxdistill.types import Method, Stage, StagePlan


class Planned(NamedTuple):
    """A stage of a method with its section of the config."""

    stage: Stage
    plan: StagePlan
    model: Model
    """The student in the stage's precision."""


def make_method(name: str, values: dict[str, Any]) -> Method:
    """The method of that name, given its fields as config.method holds them."""
    if name not in METHODS:
        raise UserError(f"config.method.name is {name!r}; the methods are {', '.join(METHODS)}.")
    method: Method = section(METHODS[name], values, "config.method")
    return method


def check_widths(method: Method, buckets: Sequence[int]) -> None:
    """Raises UserError where the method cannot train on batches of these widths in tokens."""
    if isinstance(method, Pkd):
        method.check_widths(buckets)


def check_steps(
    method: Method, plans: Mapping[str, StagePlan], rows_of: Callable[[str], int]
) -> None:
    """Raises UserError where a stage is too short for the method.

    Args:
      rows_of: that a stage trains on, those that were added to the train split with them.
    """
    if isinstance(method, Theseus) and "replace" in plans:
        plan = plans["replace"]
        method.check_steps(plan.epochs * -(-rows_of("replace") // plan.batch_size))


def name_stages(
    method: Method, plans: Mapping[str, StagePlan], student: Model, teacher: Model | None
) -> tuple[Stage, ...]:
    """The method's stages. Raises UserError where one has no section of config.stages."""
    stages = method.stages(student, teacher)
    names = [stage.name for stage in stages]
    missing = [name for name in names if name not in plans]
    if missing:
        raise UserError(
            f"config.stages has {', '.join(plans) or 'no section'}, and the method runs "
            f"{', '.join(names)}: add config.stages.{missing[0]}."
        )
    return stages


def make_stages(
    method: Method,
    plans: dict[str, StagePlan],
    start: Start,
    teacher: Run | None,
    precision_of: Callable[[str], str],
) -> tuple[Planned, ...]:
    """The method's stages, each with its plan and in its precision.

    Args:
      precision_of: the precision to compute in, given the one that a plan asks for.

    Raises UserError where a stage has no section of config.stages, or one that accumulates a loss
    which couples rows. A section that the method does not ask for now is left alone: a method may
    run some of its stages only.
    """

    def models(precision: str, scores: bool) -> tuple[Model, Model | None]:
        student = build(
            name_of(start.shape), dataclasses.asdict(start.shape), precision, scores=scores
        )
        if teacher is None:
            return student, None
        about = teacher.description
        return student, build(about.model, about.shape, precision, scores=scores)

    sketched = name_stages(method, plans, *models("float32", False))
    planned = []
    for number, name in enumerate(stage.name for stage in sketched):
        plan = dataclasses.replace(plans[name], precision=precision_of(plans[name].precision))
        student, taught_by = models(plan.precision, "scores" in sketched[number].needs)
        stage = method.stages(student, taught_by)[number]
        if stage.couples and plan.accumulate > 1:
            raise UserError(
                f"config.stages.{name}.accumulate is {plan.accumulate}, and that stage's loss "
                f"compares the rows of a batch with each other: microbatches would make another "
                f"loss of it. Set accumulate=1, and batch_size to what fits."
            )
        planned.append(Planned(stage, plan, student))
    return tuple(planned)
