"""What a run learns from besides labels: a teacher, several as one, or somebody's logits.

A stage that reads the teacher's logits and its [CLS] alone gets them with its batches, from the
teacher cache or a file; the teacher's parameters are then not part of its step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxdistill import mirror, processes
from jaxdistill.bench import Bench, train_table
from jaxdistill.data.logits import read_logits
from jaxdistill.data.readers import Examples
from jaxdistill.data.tasks import Task
from jaxdistill.errors import UserError
from jaxdistill.files import cache_folder, read_json, write_json
from jaxdistill.finished_teacher import tell_changes, tell_origin, tell_recipe
from jaxdistill.gate import gate
from jaxdistill.log import RunLog
from jaxdistill.manifest import parameters_sha256
from jaxdistill.planning import Planned
from jaxdistill.preparing import remembered
from jaxdistill.runs import Run
from jaxdistill.scoring import make_forward, score
from jaxdistill.sections import Config, TeacherConfig
from jaxdistill.teacher_cache import Question, Room, cached_answers, mix
from jaxdistill.teachers import check_teacher, open_teacher, score_on_dev
from jaxdistill.types import Stage, Taught

SERVED = {"logits", "cls"}
"""What of Stage.needs a cache can hold."""


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """Everybody that a run learns from, opened."""

    teacher: Run | None
    others: tuple[Run, ...] = ()
    weights: tuple[float, ...] = (1.0,)
    """One for each teacher, their sum 1."""
    logits: np.ndarray | None = None
    """[N, C] of the train rows, from a file."""


def gather(
    config: Config, task: Task, folder: Path | None, train: Examples, log: RunLog
) -> Teaching:
    """Reads the file of logits and opens the teachers, outputs in the order of the task's labels.

    Args:
      folder: of the finished first teacher.
      train: the rows that the run trains on.

    Raises UserError where a run is not finished or of other labels, a regression's teachers are to
    be averaged as probabilities, or the file does not fit the rows (see read_logits).
    """
    about = config.teacher
    if about is None:
        return Teaching(teacher=None)
    if about.others and about.combine == "probabilities" and task.regression:
        raise UserError(
            f"config.teacher.combine is probabilities, and {task.name} is a regression, which has "
            f"none. Set config.teacher.combine=logits."
        )
    logits = _read_file(config, about, about.logits, task, train, log) if about.logits else None
    others = [mirror.here(Path(each).expanduser()) for each in about.others]
    folders = [*([] if folder is None else [folder]), *others]
    opened = [open_teacher(each, task, log.notice) for each in folders]
    if folder is not None:
        tell_recipe(opened[0], about, log.notice)
        if about.source:
            tell_origin(opened[0], about.source, log.notice)
    for run in opened:
        tell_changes(run, task, Path(config.workdir).expanduser(), log.notice)
        if run.bert.shape.positions < config.data.buckets[-1]:
            raise UserError(
                f"The longest of config.data.buckets is {config.data.buckets[-1]} tokens, and the "
                f"teacher {run.folder} has {run.bert.shape.positions} positions. Give buckets and "
                f"a config.data.max_length up to that."
            )
    given = about.weights or (1.0,) * len(opened)
    return Teaching(
        teacher=opened[0] if opened else None,
        others=tuple(opened[1:]),
        weights=tuple(weight / sum(given) for weight in given),
        logits=logits,
    )


def _read_file(
    config: Config, about: TeacherConfig, name: str, task: Task, train: Examples, log: RunLog
) -> np.ndarray:
    """The file config.teacher.logits; the same as when the run began, and better than a guess."""
    whole = config.data.train_rows == 0 and not task.held_out
    logits = read_logits(task, name, train.row, whole=whole, notice=log.notice)
    metrics = score(logits, train.labels)
    remedy = "Do its rows number this split from 0, and are its columns named as they should be?"
    if task.many:
        remedy += " Of several labels a probability p goes in as log(p / (1 - p))."
    gate(metrics, train.labels, about.margin, name, split="train", remedy=remedy)
    shown = metrics[task.selection]
    log.notice(f"teacher {name}: train {task.selection} {shown:.4f}")
    found = {"sha256": hashlib.sha256(logits.tobytes()).hexdigest()}
    remedy = "Give every machine the same file in config.teacher.logits."
    processes.same("The file of logits (its SHA-256)", found["sha256"], remedy)
    if remembered(Path(config.workdir).expanduser(), "teacher/logits.json", found) != found:
        raise UserError(
            f"config.teacher.logits={name} does not hold the logits that the run "
            f"{config.workdir} was started with. Put the old file back, or use another --workdir."
        )
    return logits


def same_teachers(folder: Path, teaching: Teaching) -> None:
    """Refuses to go on with a run whose teachers have other parameters by now; remembers them in a
    new one. What a stage learnt of one, or keeps of it, must not be mixed with another's.
    """
    if teaching.teacher is None:
        return
    opened = (teaching.teacher, *teaching.others)
    found = [parameters_sha256(run.params) for run in opened]
    then = remembered(folder, "teacher/parameters.json", found)
    for run, before, now in zip(opened, then, found, strict=True):
        if before != now:
            raise UserError(
                f"The teacher {run.folder} has other parameters than when {folder} was started "
                f"with it. Put the old one back, or use another --workdir."
            )


def check_needs(stages: Sequence[Stage], about: TeacherConfig | None) -> None:
    """Refuses a stage that several teachers, or logits from a file, cannot serve."""
    if about is None or not (about.others or about.logits):
        return
    key = "config.teacher.others" if about.others else "config.teacher.logits"
    for stage in stages:
        needs = set(stage.needs)
        # A file says nothing of what a stage reads besides; a run may, where there is one.
        beside = "logits" in needs or about.others or not about.run
        if needs - {"logits"} and beside:
            raise UserError(
                f"Stage {stage.name} reads the teacher's {', '.join(sorted(needs))}, and "
                f"{key} can only give logits. Leave that empty, or run stages that read logits "
                f"alone."
            )
    if not any("logits" in stage.needs for stage in stages):
        raise UserError(
            f"{key} is given, and no stage of config.method reads a teacher's logits "
            f"({', '.join(stage.name for stage in stages) or 'there is no stage'}). Leave it empty."
        )


def check_teachers(bench: Bench, teaching: Teaching) -> dict[str, Any]:
    """Scores each teacher on dev before a student learns from it, and what they say together.

    Returns the report's section "teacher": the first one's, with {"others", "together"} where there
    are several. Raises UserError for the first that is no better than a guess.
    """
    assert teaching.teacher is not None and bench.config.teacher is not None
    report = check_teacher(bench, teaching.teacher)
    if not teaching.others:
        return report
    logits = [np.load(bench.folder / "teacher" / "dev.npz")["logits"]]
    others = []
    for run in teaching.others:
        found, metrics = score_on_dev(bench, run, make_forward(run.model))
        logits.append(found)
        others.append({"run": str(run.folder), "metrics": {"dev": metrics}})
    labels = bench.tables["dev"].labels
    together = score(mix(logits, teaching.weights, bench.config.teacher.combine), labels)
    name = bench.task.selection
    bench.log.notice(f"{len(logits)} teachers together: dev {name} {together[name]:.4f}")
    return {**report, "others": others, "together": {"metrics": {"dev": together}}}


def answers(bench: Bench, teaching: Teaching, planned: Planned) -> Taught | None:
    """What is known of the teacher for the train rows before a stage begins; see running.Answers.

    Where the teacher ran in the step when the stage began, it goes on to, whatever room there is
    now: both differ in the last bits, and a resumed run ends with those of an unbroken one.
    """
    about, stage = bench.config.teacher, planned.stage
    if about is None or not stage.needs or not set(stage.needs) <= SERVED:
        return None
    if teaching.logits is not None and stage.needs == ("logits",):
        return Taught(teaching.logits)
    if not about.cache or teaching.teacher is None:
        return None
    path = bench.folder / "teacher" / "cache.json"
    decided = read_json(path) if path.is_file() else {}
    if stage.name in decided and not decided[stage.name]:
        bench.log.notice(f"{stage.name}: the teacher runs in the step, as when the stage began")
        return None
    question = Question(
        teachers=(teaching.teacher, *teaching.others),
        weights=teaching.weights,
        combine=about.combine,
        precision=planned.plan.precision,
        layers=stage.layers if "cls" in stage.needs else (),
        buckets=bench.config.data.buckets,
    )
    room = Room(
        folder=cache_folder() / "teacher",
        limit=about.cache_gigabytes * 1e9,
        mesh=bench.mesh,
        log=bench.log,
        poll=bench.signals.poll,
    )
    table = train_table(bench, stage.name)
    found = cached_answers(question, table, room, name=stage.name)
    if found is None and stage.name in decided:
        raise UserError(
            f"Stage {stage.name} began with a teacher cache, and the line above says why there is "
            f"none now; without it the last bits would differ. Make room in {room.folder} (or "
            f"raise config.teacher.cache_gigabytes), or start again in another --workdir."
        )
    path.parent.mkdir(exist_ok=True)
    write_json(path, {**decided, stage.name: found is not None})
    return found
