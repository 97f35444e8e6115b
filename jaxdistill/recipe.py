"""From a config to a finished run; the only room that opens a config.

ensure_run does whatever of a run is not done yet, its teacher's first: a second call, after a crash
or a signal, goes on where the first one stopped, and on a finished run it reads the report and
returns.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdistill import mirror, processes
from jaxdistill.augmenting import augment
from jaxdistill.bench import Bench, material, of_tokens, train_table
from jaxdistill.bilstm_section import BiLstmConfig
from jaxdistill.data.augment.added import read_own, with_own
from jaxdistill.data.tasks import known_task
from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.data.views import write_view
from jaxdistill.errors import UserError
from jaxdistill.files import Lock, read_json, write_json
from jaxdistill.foresight import foresee
from jaxdistill.general import distil
from jaxdistill.inputs import data_changed, make_split, read_splits, same_data
from jaxdistill.log import RunLog
from jaxdistill.makers import Room
from jaxdistill.manifest import parameters_sha256
from jaxdistill.methods.finetune import Finetune
from jaxdistill.models.build import in_words
from jaxdistill.notices import ignore
from jaxdistill.origins import at_hand
from jaxdistill.own_section import check_many, settled
from jaxdistill.planning import check_steps, check_widths, make_method, make_stages
from jaxdistill.precisions import settle, tell_lstm
from jaxdistill.preemption import Signals
from jaxdistill.preparing import afresh, begin, same_config, started, tell_start
from jaxdistill.pretraining import check_words, with_vocabulary
from jaxdistill.running import read_report, run_stages, save_report
from jaxdistill.runs import WORDS, Run, copy_tokenizer
from jaxdistill.sections import Config
from jaxdistill.sharding import check_batch_size, make_mesh, own_mesh
from jaxdistill.starts import Start, make_start, make_twin
from jaxdistill.teachers import ADOPTED, check_vocabularies, files_of, teacher_config
from jaxdistill.teaching import answers, check_needs, check_teachers, gather, same_teachers
from jaxdistill.trees import flatten

COMPARED = ("metrics", "parameters", "bytes", "examples_per_second")
"""What a report says of the baseline."""


def ensure_run(config: Config) -> dict[str, Any]:
    """Finishes the run that the config describes, and its teacher's, and returns its report.

    Collective: with several processes the run folder is that of process 0 (processes.here).

    Raises:
      UserError: the config, a file or the run folder needs the user.
      Preempted: a signal came; the same call goes on from there.
    """
    task = known_task(config.task)
    if config.teacher and config.teacher.run and _one_folder(config.workdir, config.teacher.run):
        raise UserError(
            f"--workdir and config.teacher.run are the same folder, {config.workdir}: the student "
            f"would take its teacher's place. Give one of them another name."
        )
    values = dict(config.method)
    name = values.pop("name")
    method = make_method(name, values)
    folder = mirror.here(Path(os.path.expanduser(config.workdir)))
    same_config(config, folder)
    if (folder / "report.json").is_file():
        return read_report(folder)
    plans = {f"config.stages.{stage}": plan for stage, plan in config.stages.items()}
    if config.baseline and config.alone:
        plans["config.alone"] = config.alone
    for where, plan in plans.items():
        check_batch_size(plan.batch_size, make_mesh(), f"{where}.batch_size")
    taught_by = _ensure_teacher(config)
    config = _at_hand(config, folder)
    mesh = own_mesh()
    with Lock(folder), _log(folder) as log, Signals() as signals:
        # Elsewhere than in what is pooled, one process must not stop by itself.
        poll = signals.poll if processes.count() == 1 else ignore
        begin(folder, config)
        if config.encoder:
            bench = Bench(config, folder, task, {}, mesh, log, signals)
            return save_report(folder, distil(bench, method, poll))
        task = settled(task, config.data, log.notice)
        check_many(config, task)
        splits = read_splits(task, config.data, log.notice)
        afresh(folder, data_changed(folder, splits))
        same_data(folder, splits)
        check_widths(method, config.data.buckets)
        teaching = gather(config, task, taught_by, splits["train"], log)
        teacher = teaching.teacher
        mine = config.augment.text if config.augment else None
        own = read_own(task, Path(mine).expanduser(), log.notice) if mine else []
        texts = with_own(splits, own) if own else splits["train"].texts
        start = make_start(config, task, teacher, texts, folder, log.notice, poll)
        tell_start(folder, _same_everywhere(folder, start), log.notice)
        twin = make_twin(config, task, teacher, start, log.notice) if config.baseline else None
        asked = (run.model.shape for run in (teacher, *teaching.others) if run)
        shapes = (start.shape, *asked)
        precision_of = partial(settle, folder, shapes, log.notice)
        tell_lstm(folder, start.shape, log.notice)
        method = with_vocabulary(method, start)
        stages = make_stages(method, config.stages, start, teacher, precision_of)
        check_needs([planned.stage for planned in stages], config.teacher)
        tokenizer = None
        if start.tokenizer:
            copy_tokenizer(start.tokenizer, folder)
            tokenizer = load_tokenizer(folder / "tokenizer")
        for run in (teacher, *teaching.others):
            if run and tokenizer:
                check_vocabularies(tokenizer.get_vocab(), run)
        more: dict[str, Any] = {}
        if config.augment:
            room = Room(folder, task, teacher, tokenizer, mesh, log, signals.poll)
            rows, more["augment"] = augment(config.augment, splits, own, room)
            splits = {**splits, "augmented": rows}
        vocab = _vocab(start, teacher)
        reads = tokenizer if vocab else None
        tables = {
            split: make_split(
                examples, reads, config.data.max_length, vocab, log.notice, signals.poll, start.view
            )
            for split, examples in splits.items()
        }
        augmented = tables.pop("augmented", None)
        check_words(method, start, tables["train"])
        bench = Bench(config, folder, task, tables, mesh, log, signals, augmented)
        check_steps(method, config.stages, lambda stage: len(train_table(bench, stage).row))
        _announce(bench, start)
        if teacher:
            more["teacher"] = check_teachers(of_tokens(bench), teaching)
        if teaching.logits is not None:
            more["logits"] = config.teacher.logits if config.teacher else None
        same_teachers(folder, teaching)
        started(folder, config)
        known = partial(answers, bench, teaching)
        report = run_stages(bench, name, method, stages, start, teacher, known)
        if twin:
            more["baseline"] = _train_alone(bench, *twin)
        return save_report(folder, {**report, **more})


def _one_folder(one: str, other: str) -> bool:
    paths = [os.path.realpath(os.path.expanduser(name)) for name in (one, other)]
    return paths[0] == paths[1]


def _ensure_teacher(config: Config) -> Path | None:
    """The folder of the finished teacher; trains it first if need be."""
    if config.teacher is None or not config.teacher.run:
        return None
    recipe, folder = teacher_config(config)
    if recipe is not None:
        foresee(config, known_task(config.task), recipe)
        if recipe.method["name"] == "score":
            files = files_of(config.teacher.run) if processes.lead() else {}
            ensure_run(recipe)
            if files:
                write_json(folder / ADOPTED, files)
        else:
            _train_teacher(config, recipe)
    return mirror.here(folder)


def _train_teacher(config: Config, recipe: Config) -> None:
    """Finishes the teacher's run, but for a run that began with another one, which is gone."""
    begun = Path(os.path.expanduser(config.workdir)) / "teacher" / "parameters.json"
    assert config.teacher is not None
    if processes.led(begun.is_file):
        raise UserError(
            f"{config.workdir} was started with a teacher in {config.teacher.run}, and there is no "
            f"finished one now (looked for {Path(config.teacher.run).expanduser().absolute()}). "
            f"Put it back, or a link to it, or use another --workdir."
        )
    try:
        ensure_run(recipe)
    except UserError as error:
        raise type(error)(
            f"In the teacher's run, whose folder is config.teacher.run={recipe.workdir} and whose "
            f"keys begin with config.teacher.recipe, but for the data, which are the student's "
            f"(config.data.folder and train_rows): {error}"
        ) from error


def _vocab(start: Start, teacher: Run | None) -> int:
    """How many tokens the model, or of a BiLSTM its teacher, knows; 0 where nobody reads tokens."""
    if start.view is None:
        return start.shape.vocab
    return teacher.bert.shape.vocab if teacher else 0


def _at_hand(config: Config, folder: Path) -> Config:
    """The config with the folders that process 0 reads runs and checkpoints from, as found here."""

    def found(section: Any) -> Any:
        if isinstance(section, BiLstmConfig):
            return replace(section, vectors=at_hand(section.vectors))
        if section is None:
            return section
        return replace(section, source=at_hand(section.source))

    made = config.augment
    return replace(
        config,
        workdir=str(folder),
        model=found(config.model),
        student=found(config.student),
        encoder=found(config.encoder),
        augment=made and replace(made, model=made.model and at_hand(made.model)),
    )


def _same_everywhere(folder: Path, start: Start) -> str:
    """Refuses to train where processes have other rows or another start than process 0; the SHA-256
    of the start's parameters.
    """
    rows = json.dumps(read_json(folder / "data.json"), sort_keys=True)
    processes.same(
        "What was read (data.json)", rows, "Give every machine the same files of the task."
    )
    if start.view is not None:
        reads = json.dumps([start.view.splitter.kind, *start.view.vocabulary])
        processes.same(
            "The words that the BiLSTM reads (their SHA-256)",
            hashlib.sha256(reads.encode()).hexdigest(),
            "Give every machine the same versions of what cuts words.",
        )
    found = parameters_sha256(start.params)
    processes.same(
        "Where training starts (the SHA-256 of its parameters)",
        found,
        "Give every machine the same checkpoint, or a folder that all of them see.",
    )
    return found


def _log(folder: Path) -> RunLog:
    """The run's log, which process 0 keeps."""
    return RunLog(folder) if processes.lead() else RunLog(None, speaks=False)


def _train_alone(bench: Bench, start: Start, said: str) -> dict[str, Any]:
    """The same student on the labels alone, in RUN/alone; said: where it starts, for the report."""
    folder = bench.folder / "alone"
    assert bench.config.alone is not None, "checked() saw to it"
    if not (folder / "report.json").is_file():
        if start.tokenizer:
            copy_tokenizer(bench.folder / "tokenizer", folder)
        if start.view:
            write_view(folder / WORDS, start.view)
        method = Finetune()
        precision_of = partial(settle, bench.folder, (start.shape,), bench.log.notice)
        plans = {"finetune": bench.config.alone}
        stages = make_stages(method, plans, start, None, precision_of)
        with _log(folder) as log:
            alone = bench._replace(folder=folder, log=log, augmented=None)
            report = run_stages(
                alone, "finetune", method, stages, start, None, lambda planned: None
            )
            report = save_report(folder, report)
    else:
        report = read_report(folder)
    return {"run": "alone", "start": said, **{name: report[name] for name in COMPARED}}


def _announce(bench: Bench, start: Start) -> None:
    train, dev = (len(bench.tables[name].row) for name in ("train", "dev"))
    total = sum(np.size(leaf) for leaf in flatten(start.params).values())
    bench.log.notice(
        f"{bench.folder}: {material(bench)}, {train:,} train rows, {dev:,} dev; "
        f"{in_words(start.shape)}, {total / 1e6:.2f}M parameters; "
        f"{jax.device_count()} {jax.default_backend()} device(s); seed {bench.config.seed}"
    )
