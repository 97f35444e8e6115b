"""The teacher of a run: found or trained, its labels compared, scored before anything learns."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxdistill import processes
from jaxdistill.bench import Bench, dev_logits, size_and_speed
from jaxdistill.config import checked
from jaxdistill.data.own import SPLITS
from jaxdistill.data.tasks import OWN, Task
from jaxdistill.errors import UserError
from jaxdistill.files import canonical_json, read_json
from jaxdistill.gate import gate
from jaxdistill.models.hub import TOKENIZER_FILES
from jaxdistill.models.sources import align_labels
from jaxdistill.models.tensorfiles import sha256, weight_files
from jaxdistill.notices import Notice
from jaxdistill.origins import run_named
from jaxdistill.own_section import SHARED, carried, without_unlabelled
from jaxdistill.preparing import BEGUN
from jaxdistill.runs import Run, is_run, open_run, write_predictions
from jaxdistill.scoring import Forward, make_forward, score
from jaxdistill.sections import Config, DataConfig, ModelConfig, TeacherConfig

ADOPTED = "adopted.json"
"""In a run that adopted somebody's classifier: the hash of its weights at that time."""
LOOKS_LIKE_A_RUN = ("runs/", "./", "../", "/", "~")
"""How config.teacher.run begins where it names a folder that may not be there yet."""


def teacher_config(config: Config) -> tuple[Config | None, Path]:
    """The config of the teacher's run and its folder; None where a finished run is just opened.

    The recipe that the student carries is trained on the student's own data, at the same place.
    """
    about = config.teacher
    assert about is not None
    folder = Path(os.path.expanduser(about.run))
    found = processes.led(lambda: _found(folder, about.run))
    if found == "finished":
        return None, folder
    if found == "somebody's":
        adopted = Path(os.path.expanduser(config.workdir)).parent / _adopter(config, about.run)
        if processes.led(lambda: _adopted(config, about, adopted)):
            return None, adopted
        return _as_it_is(config, about, adopted), adopted
    if about.recipe is None:
        raise UserError(
            f"config.teacher.run={about.run} holds no finished run, and the config carries no "
            f"config.teacher.recipe to train it by. Give a finished run or a classifier."
        )
    recipe = checked(carried(dict(about.recipe), config.data))
    if recipe.task != config.task:
        raise UserError(
            f"config.teacher.recipe is for task {recipe.task!r} and the student's task is "
            f"{config.task!r}."
        )
    if not isinstance(recipe.model, ModelConfig):
        raise UserError(
            "config.teacher.recipe trains a BiLSTM, and a teacher is a BERT. Give the recipe of "
            "one, such as configs/teacher.py."
        )
    if recipe.data.max_length < config.data.max_length:
        wanted = f"{tuple(config.data.buckets)}".replace(" ", "")
        raise UserError(
            f"config.data.max_length is {config.data.max_length} tokens, and the teacher would be "
            f"trained on {recipe.data.max_length}. Add --config.teacher.recipe.data.max_length="
            f'{config.data.max_length} --config.teacher.recipe.data.buckets="{wanted}".'
        )
    for key in ("folder", "train_rows", "selection"):
        given, ours = about.recipe["data"].get(key), getattr(config.data, key)
        if given and given != ours:
            raise UserError(
                f"config.teacher.recipe.data.{key} is {given}, and the teacher takes the student's "
                f"data, config.data.{key}={ours}. Leave it out; for another teacher train it by "
                f"itself and name its folder in config.teacher.run."
            )
    source = about.source or recipe.model.source
    data = replace(recipe.data, folder=config.data.folder, train_rows=config.data.train_rows)
    return (
        replace(
            recipe,
            workdir=str(folder),
            model=replace(recipe.model, source=source),
            data=data,
            checkpoint_minutes=config.checkpoint_minutes,
        ),
        folder,
    )


def _found(folder: Path, name: str) -> str:
    """What config.teacher.run names: a "finished" run, a "run", or "somebody's" classifier."""
    if (folder / "report.json").is_file():
        return "finished"
    named = run_named(name)
    if named and named[1] is not None:
        raise UserError(
            f"config.teacher.run={name} names the stage {named[1]} of a run, and a teacher is a "
            f"whole run: its last stage. Give {named[0]}."
        )
    # A run has a config.json too; one that was killed early has data.json and no model.json yet.
    begun = is_run(folder) or (folder / "data.json").is_file()
    if not begun and folder.is_dir() and not (folder / "config.json").is_file():
        _check_begun(folder)
    alien = not begun and ((folder / "config.json").is_file() or not _names_a_run(name))
    return "somebody's" if alien else "run"


def _check_begun(folder: Path) -> None:
    """Refuses to train a teacher into a folder of something else."""
    there = sorted(path.name for path in folder.iterdir())
    if there and not {"lock", BEGUN} & set(there):
        shown = ", ".join(there[:8]) + (" and more" if len(there) > 8 else "")
        raise UserError(
            f"config.teacher.run={folder} holds {shown}, and is neither a run nor a model (there "
            f"is no config.json). Give the folder that has the model's config.json and weights, or "
            f"a new folder to train a teacher in."
        )


def _names_a_run(name: str) -> bool:
    return name.startswith(LOOKS_LIKE_A_RUN) or os.path.isdir(os.path.expanduser(name))


def _adopter(config: Config, source: str) -> str:
    """Name of the run that adopts a classifier for the task; of one's own, for these very files."""
    name = source.strip("/").replace("/", "--").lstrip(".~-")
    if config.task != OWN.name:
        return f"{config.task}-{name}"
    files = {key: getattr(config.data, key) for key in SHARED}
    files |= {key: files[key] and os.path.abspath(files[key]) for key in SPLITS}
    return f"{config.task}-{name}-{hashlib.sha256(canonical_json(files).encode()).hexdigest()[:8]}"


def _adopted(config: Config, about: TeacherConfig, folder: Path) -> bool:
    """Whether a finished run has adopted this classifier for the task, by any student's config.

    Raises UserError where its weights are others by now.
    """
    if not (folder / "report.json").is_file():
        return False
    plain = read_json(folder / "config.json")
    if plain["task"] != config.task or not _one_place(plain["model"]["source"], about.run):
        return False
    if (folder / ADOPTED).is_file() and (now := files_of(about.run)):
        before = read_json(folder / ADOPTED)
        if any(now.get(name) != value for name, value in before.items()):
            raise UserError(
                f"{folder} has adopted the classifier {about.run}, whose files are others by now "
                f"(weights, config.json or tokenizer). Remove {folder}, so that it is adopted "
                f"anew, or put the old files back."
            )
    return True


def _one_place(one: str, other: str) -> bool:
    """Whether two sources are the same: by name, or as folders."""
    paths = [os.path.realpath(os.path.expanduser(name)) for name in (one, other)]
    return one == other or (paths[0] == paths[1] and os.path.isdir(paths[0]))


def files_of(source: str) -> dict[str, str]:
    """The SHA-256 of the weights in a local folder, and of all that says how they are read; nothing
    of a hub name, or if there are none.
    """
    folder = Path(os.path.expanduser(source))
    try:
        weights = sha256(weight_files(folder))
    except UserError:
        return {}
    about = [folder / name for name in ("config.json", *TOKENIZER_FILES)]
    return {"sha256": weights, "about": sha256(tuple(path for path in about if path.is_file()))}


def _as_it_is(config: Config, about: TeacherConfig, folder: Path) -> Config:
    """A run that adopts somebody's classifier."""
    none: dict[str, Any] = dict.fromkeys(ModelConfig.__dataclass_fields__)
    data: DataConfig = without_unlabelled(config.data)
    return replace(
        config,
        name=folder.name,
        workdir=str(folder),
        seed=0,  # nothing is drawn: one run serves students of every seed
        method={"name": "score"},
        model=ModelConfig(**{**none, "source": about.run}),
        data=data,
        student=None,
        teacher=None,
        stages={},
        augment=None,
        baseline=False,
        alone=None,
    )


def open_teacher(folder: Path, task: Task, notice: Notice) -> Run:
    """Opens a finished teacher, its outputs in the order of the task's labels.

    Raises UserError where its labels are not the task's.
    """
    run = open_run(folder, notice)
    theirs = run.description.labels
    if run.task.many != task.many:
        kinds = [("one label", "any number of labels")[about.many] for about in (run.task, task)]
        raise UserError(
            f"The teacher {folder} gives a text {kinds[0]}, and {task.name} has {kinds[1]} for "
            f"each. Give a teacher of this task in config.teacher.run."
        )
    if task.own and run.task.files != task.files:
        notice(
            f"the teacher {folder} was trained on {_files(run.task)}, and the student is on "
            f"{_files(task)}: if that is not meant, give another --config.teacher.run"
        )
    if theirs == task.labels:
        return run
    try:
        params = align_labels(run.params, theirs, task.labels, notice)
    except UserError as error:
        raise UserError(
            f"The teacher {folder} does not know the labels of {task.name}: {error}"
        ) from error
    return replace(run, params=params, description=replace(run.description, labels=task.labels))


def check_vocabularies(ours: dict[str, int], teacher: Run) -> None:
    """Teacher and student read the same token ids, so their vocabularies must be the same."""
    theirs = teacher.tokenizer.get_vocab()
    if ours == theirs:
        return
    word = next(w for w in sorted({**ours, **theirs}) if ours.get(w) != theirs.get(w))
    raise UserError(
        f"The student's vocabulary ({len(ours):,} word pieces) is not that of the teacher "
        f"{teacher.folder} ({len(theirs):,}): {word!r} is {ours.get(word)} for one and "
        f"{theirs.get(word)} for the other. Start the student from a checkpoint with the "
        f"teacher's vocabulary, or from config.student.source=teacher or random."
    )


def _files(task: Task) -> str:
    return f"{task.files['train']} of one's own" if task.own else task.name


def check_teacher(bench: Bench, teacher: Run) -> dict[str, Any]:
    """Scores the teacher on dev before a student learns from it; the report's section "teacher".

    Writes RUN/teacher/dev.npz, so that the student's folder can be moved away from the teacher's.
    Raises UserError where it is no better than a guess.
    """
    forward = make_forward(teacher.model)
    logits, metrics = score_on_dev(bench, teacher, forward)
    dev = bench.tables["dev"]
    write_predictions(bench.folder / "teacher" / "dev.npz", dev.row, logits, dev.labels)
    report = {"run": str(teacher.folder), "metrics": {"dev": metrics}}
    return {**report, **size_and_speed(bench, forward, teacher)}


def score_on_dev(
    bench: Bench, teacher: Run, forward: Forward
) -> tuple[np.ndarray, dict[str, float]]:
    """A teacher's logits [N, C] of dev and its metrics; UserError where those are a guess's."""
    about, labels = bench.config.teacher, bench.tables["dev"].labels
    assert about is not None
    logits = dev_logits(bench, forward, teacher.params)
    metrics = processes.led(lambda: score(logits, labels))
    gate(metrics, labels, about.margin, str(teacher.folder))
    shown = metrics[bench.task.selection]
    bench.log.notice(f"teacher {teacher.folder}: dev {bench.task.selection} {shown:.4f}")
    return logits, metrics
