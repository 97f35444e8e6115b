"""Where a model's training starts: drawn, cut from the teacher, or somebody's checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdistill.bilstm_section import BiLstmConfig
from jaxdistill.bilstm_start import Material, start_bilstm
from jaxdistill.data.tasks import Task
from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.data.views import View
from jaxdistill.data.vocabulary import build_vocabulary, write_tokenizer
from jaxdistill.errors import UserError
from jaxdistill.methods.layers import pick_layers
from jaxdistill.models.bert import Bert, BertShape, initial_params
from jaxdistill.models.build import Shape
from jaxdistill.models.sources import complete
from jaxdistill.notices import Notice
from jaxdistill.origins import at_hand, find_checkpoint, origin_of, run_named
from jaxdistill.runs import Run
from jaxdistill.sections import Config, ModelConfig
from jaxdistill.trees import flatten
from jaxdistill.types import Params

CUT = ("teacher", "pretrained")
"""Sources of which a student takes some layers."""
HEADS = 1 << 16
"""Folded into the run's key to draw what the source lacks; the stages fold in 0, 1, ..."""


class Start(NamedTuple):
    """Where a model's training starts."""

    shape: Shape
    params: Params
    """Host arrays."""
    tokenizer: Path | None
    """A folder with the tokenizer's files; None where nobody reads tokens."""
    projection: Params | None
    """TinyBERT's, where the source brings one."""
    view: View | None = None
    """How a BiLSTM reads texts."""

    @property
    def bert(self) -> BertShape:
        """The shape of a BERT."""
        assert isinstance(self.shape, BertShape), "a BiLSTM starts in start_bilstm"
        return self.shape


def make_start(
    config: Config,
    task: Task,
    teacher: Run | None,
    texts: Sequence[Sequence[str]],
    folder: Path,
    notice: Notice,
    poll: Callable[[], None] = lambda: None,
) -> Start:
    """What config.model or config.student names, fitted to the task's labels.

    Args:
      teacher: what a student is cut from, and whose tokenizer a new one reads.
      texts: to train on, without what is made of them; a new model without teacher, and a BiLSTM,
        build their vocabularies from them.
      folder: the run's, where such a vocabulary is written.
      poll: called while a BiLSTM's words are looked for; it may raise to stop.
    """
    wanted, where = config.start, config.start_key
    key = jax.random.fold_in(jax.random.key(config.seed), HEADS)
    if isinstance(wanted, BiLstmConfig):
        material = Material(config, task, teacher, texts, folder, notice, poll)
        found = start_bilstm(wanted, key, material)
        return Start(found.shape, found.params, found.tokenizer, None, found.view)
    if wanted.source in CUT:
        start = _cut(wanted, where, _uncut(config, task, teacher, key, notice))
    elif config.method["name"] == "pretrain":
        start = _of_words(config, task, texts, folder, key, notice)
    elif wanted.source == "random":
        start = _random(wanted, where, task, teacher, texts, folder, config.data.buckets[-1], key)
    else:
        as_it_is = config.method["name"] == "score"
        headless = config.encoder is not None
        start = _whole(
            wanted.source, where, task, key, notice, as_it_is=as_it_is, headless=headless
        )
    _tell_sizes(wanted, where, start.bert, notice)
    if wanted.lower is not None and (teacher or wanted.source != "random"):
        whose = "the teacher" if teacher else wanted.source
        notice(f"{where}.lower={wanted.lower} is not read: {whose} brings its tokenizer")
    if config.encoder:  # general distillation: there are no labels
        body = {part: tree for part, tree in start.params.items() if part != "classifier"}
        start = start._replace(params=body)
    if config.method["name"] == "theseus":
        _same_but_layers(start, where, teacher)
    if wanted.dropout is not None:
        rate = wanted.dropout
        shape = dataclasses.replace(
            start.bert, dropout=rate, attention_dropout=rate, head_dropout=rate
        )
        start = start._replace(shape=shape)
    if start.bert.positions < config.data.buckets[-1]:
        raise UserError(
            f"The longest of config.data.buckets is {config.data.buckets[-1]} tokens, and "
            f"{wanted.source} has {start.bert.positions} positions. Give buckets up to "
            f"{start.bert.positions}, and a config.data.max_length that fits them."
        )
    return start


def _tell_sizes(wanted: ModelConfig, where: str, shape: BertShape, notice: Notice) -> None:
    """Says which sizes of the section mean nothing, since the source brings its own."""
    names = ("layers", "width", "heads", "inner")
    given = [name for name in names if getattr(wanted, name) not in (None, getattr(shape, name))]
    if given:
        said = ", ".join(f"{where}.{name}={getattr(wanted, name)}" for name in given)
        theirs = ", ".join(f"{name} {getattr(shape, name)}" for name in given)
        notice(f"{said} is not read: {wanted.source} brings {theirs}")


def _of_words(
    config: Config,
    task: Task,
    texts: Sequence[Sequence[str]],
    folder: Path,
    key: jax.Array,
    notice: Notice,
) -> Start:
    """A model that predicts words: with a masked-LM head, and without a classifier."""
    wanted, where = config.bert, config.start_key
    if wanted.source == "random":
        widest = config.data.buckets[-1]
        start = _random(wanted, where, task, None, texts, folder, widest, key)
        drawn = jax.jit(lambda k: initial_params(Bert(start.bert), k, mlm=True)["mlm"])(key)
        body = {part: tree for part, tree in start.params.items() if part != "classifier"}
        return start._replace(params={**body, "mlm": jax.device_get(drawn)})
    found = find_checkpoint(wanted.source, where, task, notice, as_it_is=False)
    if found.has_classifier:
        notice(f"the classifier of {wanted.source} is left out: there are no labels to train it on")
    params = complete(found, Bert(found.shape), key, notice, classifier=False, mlm=True)
    return Start(found.shape, params, found.tokenizer, None)


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
        shape = dataclasses.replace(teacher.bert.shape, **sizes)
        tokenizer = teacher.folder / "tokenizer"
    else:
        tokenizer = folder / "tokenizer"
        if not (tokenizer / "vocab.txt").is_file():
            assert wanted.vocab
            lower = wanted.lower is not False
            every = [text for column in texts for text in column]
            pieces = build_vocabulary(every, wanted.vocab, lower=lower)
            write_tokenizer(tokenizer, pieces, lower=lower)
        vocab = load_tokenizer(tokenizer).get_vocab_size()
        shape = BertShape(vocab=vocab, positions=widest, **sizes)
    params = jax.device_get(jax.jit(lambda k: initial_params(Bert(shape), k))(key))
    return Start(shape, params, tokenizer, None)


def make_twin(
    config: Config, task: Task, teacher: Run | None, start: Start, notice: Notice
) -> tuple[Start, str]:
    """Where the same student starts when it is trained without its teacher, and that in words.

    A student cut from its fine-tuned teacher has learned from it already. Its twin is cut from the
    checkpoint that the teacher's own training started from, where there is one.
    """
    if isinstance(config.start, BiLstmConfig):
        free = not _of_teacher(config.start.vectors, teacher)
        said = "as the student, with the same word vectors" + (
            "" if free else ", which are the fine-tuned teacher's, so it is not free of it"
        )
        return start, said
    wanted, where = config.bert, config.start_key
    if wanted.source != "teacher":
        return start, f"as the student, from {wanted.source}"
    assert teacher is not None, "the student was cut from it"
    origin = origin_of(teacher)
    if origin is None:
        said = (
            f"as the student, from layers of the fine-tuned teacher, so it is not free of it: what "
            f"{teacher.folder} was trained from is not known"
        )
        notice(f"the student alone starts {said}")
        return start, said
    key = jax.random.fold_in(jax.random.key(config.seed), HEADS)
    before = dataclasses.replace(wanted, source="pretrained")
    try:
        whole = _uncut(dataclasses.replace(config, student=before), task, teacher, key, notice)
    except UserError as error:
        raise UserError(
            f"config.baseline=True trains the student alone from {origin}, which the teacher "
            f"{teacher.folder} was trained from. {error} Or choose config.baseline=False."
        ) from error
    said = f"from the same layers of {origin}, which the teacher's training started from"
    notice(f"the student alone starts {said}")
    cut = _cut(before, where, whole)
    return start._replace(params=cut.params), said


def _of_teacher(vectors: str, teacher: Run | None) -> bool:
    """Whether a BiLSTM's word vectors are the fine-tuned teacher's, by keyword or by name."""
    named = run_named(vectors)
    same = teacher and named and named[0].absolute() == teacher.folder.absolute()
    return vectors == "teacher" or bool(same)


def _uncut(
    config: Config, task: Task, teacher: Run | None, key: jax.Array, notice: Notice
) -> Start:
    """The whole model that a student is cut from: the teacher, or what it was trained from."""
    wanted, where = config.bert, config.start_key
    if teacher is None:
        raise UserError(
            f"{where}.source is {wanted.source}, and this recipe has no teacher. Name a checkpoint."
        )
    if wanted.source == "teacher":
        tokenizer = teacher.folder / "tokenizer"
        return Start(teacher.bert.shape, jax.device_get(teacher.params), tokenizer, None)
    origin = origin_of(teacher)
    if origin is None:
        raise UserError(
            f"{where}.source is pretrained, and the teacher {teacher.folder} does not say which "
            f"checkpoint it was trained from: it was adopted as it is, or is a student itself. "
            f"Choose {where}.source=teacher, or name a checkpoint."
        )
    if origin == "random":
        shape = teacher.bert.shape
        params = jax.device_get(jax.jit(lambda k: initial_params(Bert(shape), k))(key))
        return Start(shape, params, teacher.folder / "tokenizer", None)
    return _whole(at_hand(origin), where, task, key, notice, as_it_is=False)


def _cut(wanted: ModelConfig, where: str, whole: Start) -> Start:
    missing = [f"{where}.{name}" for name in ("layers", "pick") if not getattr(wanted, name)]
    if missing:
        raise UserError(f"{where}.source is {wanted.source}, which needs {' and '.join(missing)}.")
    assert wanted.layers and wanted.pick
    rows = np.array(pick_layers(wanted.pick, whole.bert.layers, wanted.layers, where)) - 1
    layers = jax.tree.map(lambda leaf: leaf[rows], whole.params["layers"])
    shape = dataclasses.replace(whole.bert, layers=wanted.layers)
    return whole._replace(shape=shape, params={**whole.params, "layers": layers}, projection=None)


def _same_but_layers(start: Start, where: str, teacher: Run | None) -> None:
    """Theseus trains layers alone, inside its teacher: the rest must be the teacher's own."""
    if teacher is None:
        return  # the method says what it needs of one
    ours, theirs = (
        {p: leaf for p, leaf in flatten(params).items() if not p.startswith(("layers/", "mlm/"))}
        for params in (start.params, teacher.params)
    )
    if ours.keys() != theirs.keys() or not all(np.array_equal(ours[p], theirs[p]) for p in ours):
        raise UserError(
            f"The student's embeddings, pooler or classifier are not those of the teacher "
            f"{teacher.folder}, and Theseus takes them over without training them. Choose "
            f"{where}.source=teacher, or a run of theseus with the same teacher."
        )


def _whole(
    source: str,
    where: str,
    task: Task,
    key: jax.Array,
    notice: Notice,
    *,
    as_it_is: bool,
    headless: bool = False,
) -> Start:
    found = find_checkpoint(source, where, task, notice, as_it_is=as_it_is)
    params = complete(found, Bert(found.shape), key, notice, classifier=not headless)
    return Start(found.shape, params, found.tokenizer, found.projection)
