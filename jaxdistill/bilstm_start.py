"""Where a BiLSTM's training starts: its words, their vectors, and the rest drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from tokenizers import Tokenizer

from jaxdistill.bilstm_section import TEXTS, BiLstmConfig
from jaxdistill.data.splitters import Splitter
from jaxdistill.data.tasks import Task
from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.data.vectorfiles import ENDINGS, PACKED
from jaxdistill.data.vectors import derive, load_vectors
from jaxdistill.data.views import OWN, View, build_vocabulary, every_piece, read_view, write_view
from jaxdistill.errors import UserError
from jaxdistill.files import cache_folder
from jaxdistill.models.bilstm import VECTOR_STD, BiLstm, BiLstmShape, initial_bilstm
from jaxdistill.notices import Notice
from jaxdistill.origins import KEYWORDS, at_hand, find_checkpoint, origin_of
from jaxdistill.runs import WORDS, Run
from jaxdistill.sections import Config
from jaxdistill.types import Params


class Material(NamedTuple):
    """What a BiLSTM's start is made of."""

    config: Config
    task: Task
    teacher: Run | None
    texts: Sequence[Sequence[str]]
    """To train on, one list of N strings or two."""
    folder: Path
    """The run's, where the vocabulary is kept."""
    notice: Notice
    poll: Callable[[], None]


class BiLstmStart(NamedTuple):
    """What Start holds of a BiLSTM."""

    shape: BiLstmShape
    params: Params
    tokenizer: Path | None
    """Of what reads tokens (the teacher) or finds word pieces; None where nobody does."""
    view: View


class _WordTable(NamedTuple):
    """A BERT's word vectors."""

    rows: np.ndarray
    """[pieces, D]."""
    tokenizer: Path
    name: str


def start_bilstm(about: BiLstmConfig, key: jax.Array, material: Material) -> BiLstmStart:
    """A new BiLSTM with the vocabulary and the vectors that the section names.

    Args:
      key: draws the parameters, words without a vector among them.

    Raises UserError where vocabulary, vectors or tokenizer cannot be had.
    """
    table = _word_table(about, material)
    teacher = material.teacher
    tokenizer = teacher.folder / "tokenizer" if teacher else table.tokenizer if table else None
    view = _view(about, tokenizer, table, material)
    shape = BiLstmShape(
        vocab=len(view.vocabulary),
        width=about.width,
        channels=about.channels,
        hidden=about.hidden,
        directions=about.directions,
        pooling=about.pooling,
        texts=len(material.texts),
        pairs=about.pairs,
        dense=about.dense,
        activation=about.activation,
        classes=material.task.outputs,
        embedding_dropout=about.embedding_dropout,
        encoder_dropout=about.encoder_dropout,
        head_dropout=about.head_dropout,
    )
    params = jax.device_get(jax.jit(lambda k: initial_bilstm(BiLstm(shape), k))(key))
    drawn = params["embeddings"]["word"]["embedding"]
    vectors = {"embedding": _vectors(about, view, table, drawn, material)}
    tables = dict.fromkeys(params["embeddings"], vectors)
    return BiLstmStart(shape, {**params, "embeddings": tables}, tokenizer, view)


def _view(
    about: BiLstmConfig, tokenizer: Path | None, table: _WordTable | None, material: Material
) -> View:
    """How the run reads texts: as it began, or as the section says, written down."""
    folder = material.folder / WORDS
    pieces = None
    if about.view == "wordpieces":
        if tokenizer is None:
            raise UserError(
                f"{material.config.start_key}.view is wordpieces, and there is no teacher whose "
                f"tokenizer could cut texts into them. Name a BERT in "
                f"{material.config.start_key}.vectors, or set view=words."
            )
        pieces = load_tokenizer(tokenizer)
    if (folder / "view.json").is_file():
        return read_view(folder, pieces)
    splitter = Splitter(about.view, about.lower, pieces)
    if pieces and not about.vocabulary and not about.vocabulary_size and about.min_count <= 1:
        vocabulary = every_piece(pieces, None if table is None else len(table.rows))
    else:
        listed = about.vocabulary not in ("", TEXTS)
        vocabulary = build_vocabulary(
            material.texts,
            splitter,
            size=about.vocabulary_size,
            least=about.min_count,
            given=Path(about.vocabulary).expanduser() if listed else None,
            poll=material.poll,
        )
    view = View(splitter, about.max_words, vocabulary)
    write_view(folder, view)
    return view


def _vectors(
    about: BiLstmConfig,
    view: View,
    table: _WordTable | None,
    drawn: np.ndarray,
    material: Material,
) -> np.ndarray:
    """[V, E] float32, where word vectors start; padding's are 0.

    Args:
      drawn: [V, E], for words that have no vector, with the standard deviation VECTOR_STD.
    """
    found, words = np.array(drawn), view.vocabulary
    if table is not None:
        tokenizer = load_tokenizer(table.tokenizer)
        rows = _rows(words[1:], view, tokenizer, table)
        unknown = [tokenizer.get_vocab()["[UNK]"]]
        lacking = sum(each == unknown for each in rows[1:])  # [UNK] itself is none of these
        section = material.config.start_key
        found[1:] = derive(table.rows, rows, about.width, VECTOR_STD, table.name, section)
        material.notice(
            f"word vectors of {table.name}: its {table.rows.shape[1]} numbers reduced to "
            f"{about.width}, for {len(words) - 1 - lacking:,} of {len(words) - 1:,} words"
            + ("; the others have that of [UNK]" if lacking else "")
        )
    elif about.vectors != "random":
        given = load_vectors(
            Path(about.vectors).expanduser(),
            words[len(OWN) :],
            about.width,
            cache=cache_folder() / "vectors",
            section=material.config.start_key,
            notice=material.notice,
            poll=material.poll,
        )
        found *= given.matrix[given.found].std() / VECTOR_STD  # so that all are of one size
        found[len(OWN) :][given.found] = given.matrix[given.found]
    found[0] = 0.0
    return found


def _rows(
    words: Sequence[str], view: View, tokenizer: Tokenizer, table: _WordTable
) -> list[list[int]]:
    """Of which pieces of a BERT each word consists."""
    pieces = tokenizer.get_vocab()
    unknown = [pieces["[UNK]"]]
    if view.splitter.kind == "wordpieces":
        rows = [[pieces[word]] if word in pieces else unknown for word in words]
    else:
        cut = tokenizer.encode_batch_fast(list(words), add_special_tokens=False)
        rows = [encoding.ids or unknown for encoding in cut]
    largest = max(map(max, rows))
    if largest >= len(table.rows):
        raise UserError(
            f"The tokenizer of {table.name} gives the token id {largest}, and its word table has "
            f"{len(table.rows)} rows: they do not belong together. Use the tokenizer that the "
            f"model was trained with."
        )
    return rows


def names_file(vectors: str) -> bool:
    """Whether config's `vectors` is a file of word vectors: no keyword, and no BERT."""
    path = Path(vectors).expanduser()
    return vectors not in KEYWORDS and (path.suffix in (*ENDINGS, *PACKED) or path.is_file())


def _word_table(about: BiLstmConfig, material: Material) -> _WordTable | None:
    """The BERT whose word vectors are to be reduced; None where vectors are of another kind."""
    source, where, teacher = about.vectors, material.config.start_key, material.teacher
    if source == "random" or names_file(source):
        return None
    if source == "teacher":
        assert teacher is not None, "checked() saw to it"
        rows = np.asarray(teacher.params["embeddings"]["word"]["embedding"])
        return _WordTable(rows, teacher.folder / "tokenizer", str(teacher.folder))
    if source == "pretrained":
        assert teacher is not None, "checked() saw to it"
        origin = origin_of(teacher)
        if origin is None or origin == "random":
            why = "began with drawn ones" if origin else "does not say what it was trained from"
            raise UserError(
                f"{where}.vectors is pretrained, and the teacher {teacher.folder} {why}. Set "
                f"{where}.vectors=teacher for its own, or random, or name a file or a BERT."
            )
        source = at_hand(origin)
    found = find_checkpoint(source, where, material.task, material.notice, as_it_is=False)
    return _WordTable(found.params["embeddings"]["word"]["embedding"], found.tokenizer, source)
