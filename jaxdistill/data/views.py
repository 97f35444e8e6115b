"""What a BiLSTM reads of a text: words of one kind or another, numbered by a vocabulary of its own.

Vocabularies come from the texts to train on or are a tokenizer's, never from what judges. The
numbers 0, 1 and 2 are padding, unknown words and hidden ones ("[MASK]" in a text); padding stands
for nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from jaxdistill.data.splitters import KINDS, MASKED, Splitter, split
from jaxdistill.data.tables import decode
from jaxdistill.errors import UserError
from jaxdistill.files import read_json, write_atomic
from jaxdistill.notices import Notice

OWN = ("[PAD]", "[UNK]", MASKED)
"""The first words of every vocabulary; their places are PADDING, UNKNOWN and 2."""
PADDING, UNKNOWN = 0, 1
_NO_WORDS = (*OWN, "[CLS]", "[SEP]")
"""What a tokenizer may have in its vocabulary that stands for no text."""
_UNUSED = re.compile(r"\[unused\d+\]")
"""And the places that BERT's vocabularies keep free."""


class Words(NamedTuple):
    """The words of N examples, each of one text or two, as numbers."""

    ids: np.ndarray
    """[sum of lengths] int32, none of them 0."""
    offsets: np.ndarray
    """[N*texts+1] int64; text s of example i is ids[offsets[k]:offsets[k+1]], k = i*texts+s. Each
    has one word at least: a text without any has one unknown word."""
    texts: int
    """1 or 2."""


class View(NamedTuple):
    """A splitter with its vocabulary."""

    splitter: Splitter
    most: int
    """Words of a text that are read; the rest of it is cut."""
    vocabulary: tuple[str, ...]
    """By number, OWN first."""


def build_vocabulary(
    texts: Sequence[Sequence[str]],
    splitter: Splitter,
    *,
    size: int,
    least: int,
    given: Path | None,
    poll: Callable[[], None],
) -> tuple[str, ...]:
    """A vocabulary: OWN, then words of the texts.

    Args:
      texts: to train on, one list of N strings or two.
      size: most words besides OWN, the most frequent ones (of those given); 0: no limit.
      least: how often a word must occur.
      given: a list of words, one a line; of these, those that occur, in the list's order. None: all
        that occur, by frequency, and by name where that is equal.
      poll: called every few thousand texts; it may raise to stop.

    Raises UserError where the list cannot be read, or no word is left.
    """
    known, ids, _ = split(list(chain(*texts)), splitter, poll)
    counts = np.bincount(ids, minlength=len(known)).tolist()
    often = {
        word: count
        for word, count in zip(known, counts, strict=True)
        if count >= max(least, 1) and word not in _NO_WORDS
    }
    words = sorted(often, key=lambda word: (-often[word], word))
    listed: dict[str, None] = {}
    if given is not None:
        listed = dict.fromkeys(line.removesuffix("\r") for line in decode(given).split("\n"))
        words = [word for word in words if word in listed]
    if size:
        words = words[:size]
    if given is not None:
        kept = set(words)
        words = [word for word in listed if word in kept]
    if not words:
        raise UserError(
            f"No word of the train texts is left for the vocabulary: {len(known):,} different "
            f"{splitter.kind} occur, {len(often):,} of them at least {least} times"
            + (f", and none of these is in {given}" if given and often else "")
            + ". Lower min_count, or take another view or vocabulary."
        )
    return (*OWN, *words)


def every_piece(tokenizer: Tokenizer, rows: int | None = None) -> tuple[str, ...]:
    """A vocabulary: OWN, then the pieces that a tokenizer may cut a text into, by their number.

    Args:
      rows: of a model's word table; pieces beyond it, which were added later, are left out.
    """
    pieces = tokenizer.get_vocab()
    known = (w for w, number in pieces.items() if rows is None or number < rows)
    words = (w for w in known if w not in _NO_WORDS and not _UNUSED.fullmatch(w))
    return (*OWN, *sorted(words, key=pieces.__getitem__))


def read_words(
    texts: Sequence[Sequence[str]],
    view: View,
    *,
    notice: Notice,
    poll: Callable[[], None],
) -> Words:
    """The texts as a view has them; what is cut and what is unknown is told.

    Args:
      texts: one list of N strings or two.
      poll: called every few thousand texts; it may raise to stop.
    """
    rows = list(chain(*zip(*texts, strict=True)))
    known, raw, offsets = split(rows, view.splitter, poll)
    number = {word: n for n, word in enumerate(view.vocabulary) if n != PADDING}
    table = np.array([number.get(word, UNKNOWN) for word in known] or [UNKNOWN], np.int32)
    lengths = np.diff(offsets)
    kept = np.minimum(lengths, view.most)
    size = np.maximum(kept, 1)  # a text without words has one, unknown
    ends = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    place = np.arange(ends[-1]) - np.repeat(ends[:-1], size)  # of each word in its text
    real = place < np.repeat(kept, size)
    ids = np.full(ends[-1], UNKNOWN, np.int32)
    ids[real] = table[raw[(np.repeat(offsets[:-1], size) + place)[real]]]
    if cut := int((lengths > view.most).sum()):
        many = f"{cut:,} of {len(rows):,} texts"
        notice(f"{many} have more than {view.most} words (max_words) and are cut.")
    if len(ids):
        share = float((ids == UNKNOWN).mean())
        notice(f"{len(ids):,} {view.splitter.kind}, {share:.1%} not in the BiLSTM's vocabulary")
    return Words(ids, ends, len(texts))


def write_view(folder: Path, view: View) -> None:
    """Writes vocab.txt, one word a line, and view.json."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "vocab.txt", "".join(f"{word}\n" for word in view.vocabulary))
    about = {"kind": view.splitter.kind, "lower": view.splitter.lower, "most": view.most}
    write_atomic(folder / "view.json", json.dumps(about, indent=2) + "\n")


def read_view(folder: Path, tokenizer: Tokenizer | None) -> View:
    """What write_view wrote; the tokenizer is that of word pieces.

    Raises UserError where a file is missing or broken, or word pieces have no tokenizer.
    """
    about = read_json(folder / "view.json")
    vocabulary = tuple(decode(folder / "vocab.txt").split("\n")[:-1])
    sound = isinstance(about, dict) and about.keys() == {"kind", "lower", "most"}
    if not sound or about["kind"] not in KINDS or vocabulary[: len(OWN)] != OWN:
        raise UserError(
            f"{folder} does not hold what a BiLSTM reads: view.json has kind, lower and most, and "
            f"vocab.txt begins with {', '.join(OWN)}. Copy the folder again from the run."
        )
    if about["kind"] == "wordpieces" and tokenizer is None:
        raise UserError(
            f"{folder / 'view.json'} says that the BiLSTM reads word pieces, and the run has no "
            f"tokenizer beside it. Copy the folder {folder.parent / 'tokenizer'} again."
        )
    return View(Splitter(about["kind"], about["lower"], tokenizer), about["most"], vocabulary)
