"""How a text falls into the words that a BiLSTM reads; words here have no numbers yet."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from itertools import chain
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from jaxdistill.errors import UserError

KINDS = ("wordpieces", "words", "spaces", "jieba", "characters")
MASKED = "[MASK]"
"""What stands in a text for a word that is hidden; augmentation writes it."""
_CHUNK = 5_000
"""Texts between two polls."""


class Splitter(NamedTuple):
    """How a text falls into words."""

    kind: str
    """wordpieces, those of a BERT's tokenizer; words, as that tokenizer finds them before it cuts
    them into pieces (each Chinese character, each punctuation mark is one); spaces, what stands
    between white space, as GLUE's texts and GloVe's words were cut before ("does", "n't"); jieba,
    Chinese words; characters, white space being one of them."""
    lower: bool
    """Whether texts are lower-cased first (words: accents stripped as well); word pieces are as
    their tokenizer has them."""
    tokenizer: Tokenizer | None = None
    """Of word pieces."""


class Split(NamedTuple):
    """Texts in words that have no vocabulary yet."""

    known: list[str]
    """Each word once."""
    ids: np.ndarray
    """[sum of lengths] int64, places in known."""
    offsets: np.ndarray
    """[texts+1] int64."""


def split(texts: list[str], splitter: Splitter, poll: Callable[[], None]) -> Split:
    """Texts in words, each different one once. poll is called between chunks; it may raise."""
    if splitter.kind == "wordpieces":
        return _pieces(texts, splitter.tokenizer, poll)
    cut = _CUTTERS[splitter.kind](splitter.lower)
    known: dict[str, int] = {}
    ids: list[int] = []
    lengths = np.zeros(len(texts) + 1, np.int64)
    for row, text in enumerate(texts):
        if row % _CHUNK == 0:
            poll()
        before = len(ids)
        for n, part in enumerate(text.split(MASKED)):
            if n:
                ids.append(known.setdefault(MASKED, len(known)))
            ids.extend([known.setdefault(word, len(known)) for word in cut(part)])
        lengths[row + 1] = len(ids) - before
    return Split(list(known), np.array(ids, np.int64), np.cumsum(lengths))


def _pieces(texts: list[str], tokenizer: Tokenizer | None, poll: Callable[[], None]) -> Split:
    """The word pieces of texts, without [CLS] and [SEP]."""
    assert tokenizer is not None, "word pieces are those of a tokenizer"
    vocabulary = tokenizer.get_vocab()
    known = [""] * (1 + max(vocabulary.values()))
    for piece, number in vocabulary.items():
        known[number] = piece
    ids, lengths = [np.zeros(0, np.int64)], [np.zeros(1, np.int64)]
    for start in range(0, len(texts), _CHUNK):
        poll()
        chunk = texts[start : start + _CHUNK]
        found = [e.ids for e in tokenizer.encode_batch_fast(chunk, add_special_tokens=False)]
        ids.append(np.fromiter(chain.from_iterable(found), np.int64))
        lengths.append(np.fromiter(map(len, found), np.int64, len(found)))
    return Split(known, np.concatenate(ids), np.cumsum(np.concatenate(lengths)))


def _words(lower: bool) -> Callable[[str], list[str]]:
    normalizer = normalizers.BertNormalizer(lowercase=lower)
    splitter = pre_tokenizers.BertPreTokenizer()

    def cut(text: str) -> list[str]:
        return [word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))]

    return cut


def _spaces(lower: bool) -> Callable[[str], list[str]]:
    def cut(text: str) -> list[str]:
        return (text.lower() if lower else text).split()

    return cut


def _characters(lower: bool) -> Callable[[str], list[str]]:
    def cut(text: str) -> list[str]:
        return list(re.sub(r"\s+", " ", text.lower() if lower else text))

    return cut


def _jieba(lower: bool) -> Callable[[str], list[str]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own use of pkg_resources and bad escapes
            import jieba
    except ImportError as error:
        raise UserError(
            f"The view jieba needs the package jieba, which cannot be imported ({error}). Install "
            f"it (pip install 'jieba>=0.42.1'), or train with the view characters."
        ) from error
    jieba.setLogLevel(60)  # it tells on standard error that it loads its dictionary

    def cut(text: str) -> list[str]:
        found = jieba.lcut(text.lower() if lower else text)
        return [word for word in found if word.strip()]

    return cut


_CUTTERS: dict[str, Callable[[bool], Callable[[str], list[str]]]] = {
    "words": _words,
    "spaces": _spaces,
    "jieba": _jieba,
    "characters": _characters,
}
