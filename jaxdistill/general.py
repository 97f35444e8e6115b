"""General distillation: a pre-trained teacher, a stream of plain text, a student without labels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdistill import processes
from jaxdistill.bench import Bench, size_and_speed
from jaxdistill.data.batches import Table
from jaxdistill.data.heldout import held_out_table
from jaxdistill.data.lanes import Corpus
from jaxdistill.data.stream import Layout, Stream, open_corpus
from jaxdistill.data.tasks import Task
from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.errors import UserError
from jaxdistill.files import cache_folder, canonical_json
from jaxdistill.general_section import GENERAL
from jaxdistill.manifest import parameters_sha256
from jaxdistill.models.bert import Bert
from jaxdistill.models.build import describe, in_words
from jaxdistill.models.sources import complete
from jaxdistill.notices import Notice
from jaxdistill.origins import find_checkpoint
from jaxdistill.planning import make_stages
from jaxdistill.precisions import settle
from jaxdistill.preparing import remembered, started
from jaxdistill.running import run_stages
from jaxdistill.runs import VERSION, Description, Run, copy_tokenizer
from jaxdistill.scoring import make_encoder
from jaxdistill.sections import Config
from jaxdistill.sharding import make_mesh, rows_here
from jaxdistill.starts import HEADS, Start, make_start
from jaxdistill.teachers import check_vocabularies
from jaxdistill.types import Method


def distil(bench: Bench, method: Method, poll: Callable[[], None]) -> dict[str, Any]:
    """Trains what is not trained yet; returns the report. Collective: processes share the lanes.

    Args:
      bench: without tables. Its task says nothing but how many outputs a later student's classifier
        is described with.
      poll: called while text is read before training; it may raise to stop.

    Raises UserError where teacher, student, corpus and processes do not fit, or are not those that
    the run was started with.
    """
    config, folder, task, log = bench.config, bench.folder, bench.task, bench.log
    corpus = open_corpus(_named(config), cache_folder() / "corpora", log.notice)
    teacher = open_encoder(config, task, folder, log.notice)
    start = make_start(config, task, teacher, (), folder, log.notice, poll)
    shapes = (start.shape, teacher.model.shape)
    stages = make_stages(
        method, config.stages, start, teacher, partial(settle, folder, shapes, log.notice)
    )
    assert start.tokenizer is not None, "a BERT has one"
    copy_tokenizer(start.tokenizer, folder)
    tokenizer = load_tokenizer(folder / "tokenizer")
    check_vocabularies(tokenizer.get_vocab(), teacher)
    size = config.stages[GENERAL].batch_size
    layout = layout_of(config, size)
    _check_lanes(layout)
    assert config.data.dev_rows is not None, "checked() saw to it"
    dev = held_out_table(
        corpus, tokenizer, layout.length, layout.held_out, config.data.dev_rows, poll
    )
    _check_ids(tokenizer.get_vocab(), min(start.shape.vocab, teacher.model.shape.vocab))
    _same(folder, corpus, dev, teacher, start)
    stream = Stream(corpus, tokenizer, layout, rows_here(size, make_mesh()), _gathered)
    started(folder, config)
    tables = {"train": _none(dev), "dev": dev}
    bench = bench._replace(tables=tables, stream=stream)
    log.notice(
        f"{folder}: {corpus.name} in {len(corpus):,} blocks, {layout.lanes} lanes; "
        f"{len(dev.row):,} sequences of {layout.length} tokens held out; {in_words(start.shape)} "
        f"from {in_words(teacher.model.shape)}; {jax.device_count()} {jax.default_backend()} "
        f"device(s); seed {config.seed}"
    )
    try:
        report = run_stages(bench, GENERAL, method, stages, start, teacher, lambda planned: None)
    finally:
        stream.close()
    assert config.encoder is not None, "checked() saw to it"
    about = {"run": config.encoder.source, "metrics": {}}
    sizes = size_and_speed(bench, make_encoder(teacher.model), teacher)
    return {**report, "teacher": {**about, **sizes}}


def layout_of(config: Config, size: int) -> Layout:
    """What the config says of the stream; size: of a batch, over all processes."""
    data = config.data
    assert data.lanes is not None and data.steps is not None, "checked() saw to it"
    assert data.held_out is not None, "checked() saw to it"
    return Layout(
        length=data.max_length,
        size=size,
        lanes=data.lanes,
        epoch=data.steps,
        held_out=data.held_out,
        seed=config.seed,
    )


def open_encoder(config: Config, task: Task, folder: Path, notice: Notice) -> Run:
    """The teacher, without heads, as a run; its tokenizer is copied to RUN/teacher/tokenizer.

    Raises UserError where its source names no BERT, or it has fewer positions than sequences have
    tokens.
    """
    assert config.encoder is not None, "checked() saw to it"
    source, where = config.encoder.source, "config.teacher"
    found = find_checkpoint(source, where, task, notice, as_it_is=False)
    if found.has_classifier or found.left_out:
        notice(
            f"{where}.source={source} was fine-tuned for a task: general distillation learns from "
            f"a BERT that was not. Its classifier is not used"
        )
    if found.shape.positions < config.data.buckets[-1]:
        raise UserError(
            f"The longest of config.data.buckets is {config.data.buckets[-1]} tokens, and "
            f"{where}.source={source} has {found.shape.positions} positions. Give buckets and a "
            f"config.data.max_length up to that."
        )
    model = Bert(found.shape)
    key = jax.random.fold_in(jax.random.key(config.seed), HEADS)
    params = complete(found, model, key, notice, classifier=False)
    copy_tokenizer(found.tokenizer, folder / "teacher")
    name, shape = describe(model)
    about = Description(
        version=VERSION,
        method="",  # it is somebody's
        model=name,
        shape=shape,
        precision=model.precision,
        task=task.name,
        labels=(),
        selection="",
        data_folder="",
        max_length=config.data.max_length,
        buckets=config.data.buckets,
        stages=(),
    )
    tokens = load_tokenizer(folder / "teacher" / "tokenizer")
    return Run(folder / "teacher", about, "", model, params, tokens, {})


def _check_lanes(layout: Layout) -> None:
    if layout.lanes % processes.count():
        near = math.lcm(layout.lanes, processes.count())
        raise UserError(
            f"config.data.lanes is {layout.lanes}, and {processes.count()} processes each read "
            f"whole lanes: give a multiple of that, such as {near}, that divides the batch size "
            f"{layout.size}. Other lanes are another order of the text, and another run."
        )


def _gathered(places: np.ndarray) -> np.ndarray:
    """Where the lanes of all processes stand, [L, 4]; -1 in what a process does not know."""
    found: np.ndarray = np.max([each["at"] for each in processes.gather({"at": places})], axis=0)
    return found


def _named(config: Config) -> str:
    assert config.data.corpus, "checked() saw to it"
    return config.data.corpus


def _check_ids(vocabulary: dict[str, int], size: int) -> None:
    largest = max(vocabulary.values())
    if largest >= size:
        raise UserError(
            f"The tokenizer of config.teacher.source gives ids up to {largest}, and the smaller "
            f"word embedding of teacher and student has {size} rows: tokenizer and model do not "
            f"belong together. Use the tokenizer that the model was trained with."
        )


def _same(folder: Path, corpus: Corpus, dev: Table, teacher: Run, start: Start) -> None:
    """Refuses to go on with another corpus or teacher; remembers them in a new run.

    And where a process has another than process 0, or another start.
    """
    tokens = hashlib.sha256(dev.ids.tobytes() + dev.offsets.tobytes())
    found = {
        "corpus": {"blocks": len(corpus), "sha256": corpus.digest},
        "held-out text": {"rows": len(dev.row), "sha256": tokens.hexdigest()},
        "teacher": {"sha256": parameters_sha256(teacher.params)},
    }
    here = canonical_json({**found, "start": parameters_sha256(start.params)})
    processes.same(
        "What was read (the SHA-256 of corpus, teacher and the student's start)",
        hashlib.sha256(here.encode()).hexdigest(),
        "Give every machine the same corpus and the same checkpoints.",
    )
    before = remembered(folder, "data.json", found)
    if changed := [name for name in found if before.get(name) != found[name]]:
        raise UserError(
            f"The {changed[0]} is not what {folder} was started with: {found[changed[0]]} now and "
            f"{before.get(changed[0])} then. Put the old one back, or use another --workdir."
        )


def _none(dev: Table) -> Table:
    """A table like it without rows: those that are trained on come from the stream."""
    kept = {name: getattr(dev, name)[:0] for name in ("row", "ids", "second", "labels")}
    return dev._replace(**kept, offsets=np.zeros(1, np.int64))
