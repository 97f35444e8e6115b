"""What makes copies of a train row, as config.augment says: Tang et al.'s way, or TinyBERT's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh
from tokenizers import Tokenizer

from jaxdistill import processes
from jaxdistill.augmentation import AugmentConfig
from jaxdistill.data.augment.classes import Induced, jieba_tags
from jaxdistill.data.augment.english import English
from jaxdistill.data.augment.lexicon import Tagger, count_words
from jaxdistill.data.augment.made import Item, Prepare
from jaxdistill.data.augment.neighbours import Neighbours, piece_vectors
from jaxdistill.data.augment.tang import Tang
from jaxdistill.data.augment.tinybert import Proposer, TinyBert, eligible
from jaxdistill.data.augment.words import MASK, SPLITS, Split, has_ideograph
from jaxdistill.data.tables import Examples
from jaxdistill.data.tasks import Task
from jaxdistill.data.vectors import read_vectors
from jaxdistill.errors import UserError
from jaxdistill.log import RunLog
from jaxdistill.maskedwords import MaskedWords, load_masked_words
from jaxdistill.runs import Run

POLLED = 2_000
"""Texts that are cut between two polls."""


class Room(NamedTuple):
    """What augmenting works with."""

    folder: Path
    """The run's."""
    task: Task
    teacher: Run | None
    tokenizer: Tokenizer | None
    """The run's, which must know MASK where words are masked; None where nobody reads tokens."""
    mesh: Mesh
    log: RunLog
    poll: Callable[[], None]
    """Called between chunks and batches; it may raise to stop."""


class Maker(NamedTuple):
    """What makes the copies of a row."""

    work: Tang | TinyBert
    prepare: Prepare
    identity: Mapping[str, Any]
    """What its work depends on besides the texts, as plain data."""


def make_maker(about: AugmentConfig, train: Examples, room: Room) -> Maker:
    """The maker that about.name names, with what it asks of the train rows.

    Raises UserError where a model or vectors cannot be read, masked words would be read as letters,
    or the texts have no words of the kind.
    """
    if about.name == "tang" and not about.p_pos and about.words != "words":
        return _tang(about, [], room)  # it asks nothing of the texts
    texts: list[list[str]] = []
    for text in chain.from_iterable(train.texts):
        # Not in what is pooled, where one process alone must not stop.
        if len(texts) % POLLED == 0 and processes.count() == 1:
            room.poll()
        texts.append(SPLITS[about.words](text))
    _check_words(about, texts)
    if about.name == "tang":
        return _tang(about, texts, room)
    return _tinybert(about, texts, room)


def _check_words(about: AugmentConfig, texts: list[list[str]]) -> None:
    """Refuses to take whole Chinese clauses for words."""
    if about.words != "words":
        return
    total = max(sum(map(len, texts)), 1)
    chinese = sum(has_ideograph(word) for words in texts for word in words)
    if chinese / total > 0.2:
        raise UserError(
            f"config.augment.words=words cuts at spaces and marks, and {chinese / total:.0%} of "
            f"what comes out of the train texts is Chinese, which has none between words. Set "
            f"config.augment.words=jieba, with config.augment.tagger=jieba, or words=characters."
        )


def _tang(about: AugmentConfig, texts: list[list[str]], room: Room) -> Maker:
    if about.p_mask and room.tokenizer and MASK not in room.tokenizer.get_vocab():
        raise UserError(
            f"config.augment.p_mask is {about.p_mask:g}, and the run's tokenizer has no {MASK}, so "
            f"that a masked word would be read as letters. Set config.augment.p_mask=0."
        )
    shortest, longest = about.ngram[0], about.ngram[-1]
    tag, lexicon = None, None
    if about.p_pos:
        tag = _tagger(about.tagger, texts)
        lexicon, share = count_words(texts, tag)
        room.log.notice(
            f"augment tang: {len(lexicon.words)} word classes by {about.tagger}; {share:.0%} of "
            f"the train texts' words have one"
        )
    work = Tang(
        copies=about.copies,
        seed=about.seed,
        p_mask=about.p_mask,
        p_pos=about.p_pos,
        p_ng=about.p_ng,
        ngram=(shortest, longest),
        split=SPLITS[about.words],
        tag=tag,
        lexicon=lexicon,
    )
    return Maker(
        work,
        lambda rows, texts: list(zip(rows, texts, strict=True)),
        {
            "rates": [about.p_mask, about.p_pos, about.p_ng, shortest, longest],
            "tagger": about.tagger if about.p_pos else "",
            "lexicon": lexicon.digest() if lexicon else "",
        },
    )


def _tagger(name: str, texts: list[list[str]]) -> Tagger:
    if name == "jieba":
        return jieba_tags
    return English(texts) if name == "english" else Induced(texts)


def _tinybert(about: AugmentConfig, texts: list[list[str]], room: Room) -> Maker:
    split: Split = SPLITS[about.words]
    model = None
    if about.model:
        model = load_masked_words(
            about.model,
            room.task,
            count=about.candidates + 1,  # the word itself is likely, and left out
            visible=about.original_visible,
            mesh=room.mesh,
            poll=room.poll,
            notice=room.log.notice,
        )
    near = _neighbours(about, texts, room) if about.vectors else None
    if near is None and model is not None:
        _tell_left(model, texts, room)
    proposer = Proposer(
        split=split,
        count=about.candidates,
        fill=model,
        single=model.single if model else lambda word: False,
        shown=model.shown if model else lambda words: (0, 0),
        near=near,
    )

    def prepare(rows: Any, texts: Any) -> list[Item]:
        columns = [proposer(column) for column in zip(*texts, strict=True)]
        return list(zip(rows, texts, zip(*columns, strict=True), strict=True))

    return Maker(
        TinyBert(copies=about.copies, seed=about.seed, p_t=about.p_t, split=split),
        prepare,
        {
            "p_t": about.p_t,
            "candidates": about.candidates,
            "model": model.digest if model else "",
            "vectors": near.digest() if near else "",
        },
    )


def _tell_left(model: MaskedWords, texts: list[list[str]], room: Room) -> None:
    """Says which words stay, where no vectors are asked about what a masked-LM is not."""
    there = [word for words in texts for word in words if eligible(word)]
    single = {word: model.single(word) for word in set(there)}
    left = sum(not single[word] for word in there)
    room.log.notice(
        f"augment tinybert: {left:,} of {len(there):,} words that may be replaced "
        f"({left / max(len(there), 1):.0%}) are several word pieces, for which a masked-LM "
        f"proposes nothing; config.augment.vectors=teacher, or a file, does"
    )


def _neighbours(about: AugmentConfig, texts: list[list[str]], room: Room) -> Neighbours:
    """Word vectors, asked about the words of the train texts that may be replaced."""
    asked = sorted({word.lower() for words in texts for word in words if eligible(word)})
    if about.vectors == "teacher":
        assert room.teacher is not None, "checked() saw to it"
        table = np.asarray(room.teacher.params["embeddings"]["word"]["embedding"])
        words, matrix = asked, piece_vectors(asked, room.teacher.tokenizer, table)
    else:
        words, matrix = read_vectors(Path(str(about.vectors)).expanduser(), about.vector_rows)
    near = Neighbours(words, matrix, asked, about.candidates)
    room.log.notice(
        f"augment tinybert: {len(near.asked):,} of {len(asked):,} words that may be replaced have "
        f"a vector in {about.vectors}"
    )
    return near
