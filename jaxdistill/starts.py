"""Where a model's training starts: drawn, cut from the teacher, or somebody's checkpoint."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdistill.config import Config, ModelConfig
from jaxdistill.data.tasks import Task
from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.data.vocabulary import build_vocabulary, write_tokenizer
from jaxdistill.errors import UserError
from jaxdistill.manifest import parameters_sha256
from jaxdistill.methods.layers import pick_layers
from jaxdistill.models.bert import Bert, BertShape, initial_params
from jaxdistill.models.sources import Pretrained, align_labels, complete, load_pretrained
from jaxdistill.runs import Run, is_run, open_run
from jaxdistill.types import Params

Notice = Callable[[str], None]

HEADS = 1 << 16
"""Folded into the run's key to draw what the source lacks; the stages fold in 0, 1, ..."""


class Start(NamedTuple):
    """Where a model's training starts."""

    shape: BertShape
    params: Params
    """Host arrays."""
    tokenizer: Path
    """A folder with the tokenizer's files."""
    projection: Params | None
    """TinyBERT's, where the source brings one."""


def make_start(
    config: Config,
    task: Task,
    teacher: Run | None,
    texts: Sequence[Sequence[str]],
    folder: Path,
    notice: Notice,
) -> Start:
    """What config.model or config.student names, fitted to the task's labels.

    Args:
      teacher: what a student is cut from, and whose tokenizer a new one reads.
      texts: of the train split; a new model without teacher builds its vocabulary from them.
      folder: the run's, where such a vocabulary is written.
    """
    wanted, where = config.start, config.start_key
    key = jax.random.fold_in(jax.random.key(config.seed), HEADS)
    if wanted.source == "random":
        start = _random(wanted, where, task, teacher, texts, folder, config.data.buckets[-1], key)
    elif wanted.source == "teacher":
        start = _cut(wanted, where, teacher)
    else:
        as_it_is = config.method["name"] == "score"
        found = _find(wanted.source, where, task, notice, as_it_is=as_it_is)
        params = complete(found, Bert(found.shape), key, notice)
        start = Start(found.shape, params, found.tokenizer, found.projection)
    if wanted.dropout is not None:
        rate = wanted.dropout
        shape = dataclasses.replace(
            start.shape, dropout=rate, attention_dropout=rate, head_dropout=rate
        )
        start = start._replace(shape=shape)
    if start.shape.positions < config.data.buckets[-1]:
        raise UserError(
            f"The longest of config.data.buckets is {config.data.buckets[-1]} tokens, and "
            f"{wanted.source} has {start.shape.positions} positions. Give buckets up to "
            f"{start.shape.positions}, and a config.data.max_length that fits them."
        )
    return start


def _random(
    wanted: ModelConfig,
    where: str,
    task: Task,
    teacher: Run | None,
    texts: Sequence[Sequence[str]],
    folder: Path,
    widest: int,
    key: jax.Array,
) -> Start:
    names = ("layers", "width", "heads", "inner", *(() if teacher else ("vocab",)))
    missing = [f"{where}.{name}" for name in names if not getattr(wanted, name)]
    if missing:
        raise UserError(f"{where}.source is random, which needs {' and '.join(missing)}.")
    assert wanted.layers and wanted.width and wanted.heads and wanted.inner
    if wanted.width % wanted.heads:
        raise UserError(
            f"{where}.width is {wanted.width}, which {where}.heads={wanted.heads} does not divide."
        )
    sizes: dict[str, Any] = {
        "width": wanted.width,
        "layers": wanted.layers,
        "heads": wanted.heads,
        "inner": wanted.inner,
        "classes": task.outputs,
    }
    if teacher:
        shape = dataclasses.replace(teacher.model.shape, **sizes)
        tokenizer = teacher.folder / "tokenizer"
    else:
        tokenizer = folder / "tokenizer"
        if not (tokenizer / "vocab.txt").is_file():
            assert wanted.vocab
            words = build_vocabulary([t for column in texts for t in column], wanted.vocab)
            write_tokenizer(tokenizer, words)
        vocab = load_tokenizer(tokenizer).get_vocab_size()
        shape = BertShape(vocab=vocab, positions=widest, **sizes)
    params = jax.device_get(jax.jit(lambda k: initial_params(Bert(shape), k))(key))
    return Start(shape, params, tokenizer, None)


def _cut(wanted: ModelConfig, where: str, teacher: Run | None) -> Start:
    if teacher is None:
        raise UserError(f"{where}.source is teacher, and this recipe has none. Name a checkpoint.")
    missing = [f"{where}.{name}" for name in ("layers", "pick") if not getattr(wanted, name)]
    if missing:
        raise UserError(f"{where}.source is teacher, which needs {' and '.join(missing)}.")
    assert wanted.layers and wanted.pick
    chosen = pick_layers(wanted.pick, teacher.model.shape.layers, wanted.layers, where)
    rows = np.array(chosen) - 1
    params = dict(jax.device_get(teacher.params))
    params["layers"] = jax.tree.map(lambda leaf: leaf[rows], params["layers"])
    shape = dataclasses.replace(teacher.model.shape, layers=wanted.layers)
    return Start(shape, params, teacher.folder / "tokenizer", None)


def _find(source: str, key: str, task: Task, notice: Notice, *, as_it_is: bool) -> Pretrained:
    folder, _, stage = os.path.expanduser(source).rpartition(":")
    if folder and is_run(Path(folder)):
        found = _from_run(Path(folder), stage, notice)
    elif is_run(Path(os.path.expanduser(source))):
        found = _from_run(Path(os.path.expanduser(source)), None, notice)
    else:
        found = load_pretrained(source, classes=None if as_it_is else task.outputs)
    where = f"{key}.source={source}"
    alike = (found.shape.classes, found.regression) == (task.outputs, task.regression)
    if as_it_is and not alike:
        raise UserError(
            f"{where} is a classifier with {found.shape.classes} outputs ("
            f"{', '.join(found.labels) or 'a regression'}), and {task.name} has "
            f"{', '.join(task.labels) or 'a number to predict'}. What is scored as it is must "
            f"have been trained for this task; configs/teacher_sst2.py shows how to train one."
        )
    if not found.has_classifier:
        return found
    try:
        if not alike:
            raise UserError(f"{found.shape.classes} outputs instead of {task.outputs}")
        params = align_labels(found.params, found.labels, task.labels, notice)
    except UserError as error:
        if as_it_is:
            raise UserError(f"{where}: {error}") from error
        return dataclasses.replace(
            found,
            shape=dataclasses.replace(found.shape, classes=task.outputs),
            params={k: v for k, v in found.params.items() if k != "classifier"},
            has_classifier=False,
            left_out=f"a classifier for other labels: {', '.join(found.labels) or 'a regression'}",
        )
    return dataclasses.replace(found, params=params)


def _from_run(folder: Path, stage: str | None, notice: Notice) -> Pretrained:
    """A finished run, or one of its stages, as a source like any other."""
    run = open_run(folder, notice, stage=stage)
    labels = run.description.labels
    return Pretrained(
        shape=run.model.shape,
        params=jax.device_get(run.params),
        has_classifier=True,
        has_pooler=True,
        has_mlm=False,
        labels=labels,
        regression=not labels,
        projection=None,
        tokenizer=folder / "tokenizer",
        origin=str(folder),
        sha256=parameters_sha256(run.params),
        left_out="",
    )
