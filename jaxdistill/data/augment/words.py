"""Texts as words that can be changed one by one, and texts again of what was changed.

Between words is what was between them: a text of which no word changed is the same text.
"""

from __future__ import annotations

import functools
import logging
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxdistill.errors import UserError

Split = Callable[[str], list[str]]
"""A text's words in order. Where they are not parts of the text (lower-cased ones, say), the texts
that are made have single spaces between them."""

MASK = "[MASK]"
"""How a text says that a word is hidden: BERT's tokenizer reads it as its mask token."""

_WORD = re.compile(r"\[MASK\]|['’](?:s|m|d|ll|re|ve)\b|\w+(?:[-'’]\w+)*|[^\w\s]", re.IGNORECASE)
_IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff"
_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")
_CHARACTER = re.compile(rf"\[MASK\]|[{_IDEOGRAPHS}]|[^\W{_IDEOGRAPHS}]+|[^\w\s]")


class Words(NamedTuple):
    """A text in parts."""

    words: list[str]
    gaps: list[str]
    """What follows each word before the next: white space or nothing."""


def words(text: str) -> list[str]:
    """Words as English has them, with hyphens and apostrophes in them; each other mark by itself.

    "it's well-made!" -> it's, well-made, !
    """
    return _WORD.findall(text)


def characters(text: str) -> list[str]:
    """Each Chinese character by itself, and what is between them as BERT's tokenizer cuts it."""
    return _CHARACTER.findall(text)


def jieba_words(text: str) -> list[str]:
    """Chinese words by jieba. Raises UserError where that is not installed."""
    return [word for word in load_jieba().lcut(text) if word.strip()]


SPLITS: dict[str, Split] = {"words": words, "jieba": jieba_words, "characters": characters}
"""By the name that config.augment.words gives."""


def load_jieba() -> Any:
    """The package, silent; asked for only where Chinese words are. Raises UserError without it."""
    return _jieba()


@functools.cache
def _jieba() -> Any:
    try:
        with warnings.catch_warnings():  # its last release is older than Python's newer warnings
            warnings.simplefilter("ignore")
            import jieba
            import jieba.posseg
    except ImportError as error:
        raise UserError(
            "Chinese words are cut by the package jieba, which is not installed. Install it (pip "
            "install 'jieba>=0.42.1'), or set config.augment.words=characters and "
            "config.augment.tagger=contexts."
        ) from error
    jieba.setLogLevel(logging.ERROR)
    return jieba


def cut(text: str, split: Split) -> Words:
    """The text's words, and what is between them. White space before the first one is left out."""
    found = split(text)
    gaps, end = [], 0
    for number, word in enumerate(found):
        start = text.find(word, end)
        if start < 0 or text[end:start].strip():
            return Words(found, [" "] * len(found))
        if number:
            gaps.append(text[end:start])
        end = start + len(word)
    return Words(found, [*gaps, ""] if found else [])


def rebuild(text: Words, after: Sequence[str], start: int, stop: int) -> str:
    """The text of the words start..stop-1, some of which have become others.

    Args:
      after: one for each word of the text.
    """
    parts = []
    for i in range(start, stop):
        gap = text.gaps[i] if i + 1 < stop else ""
        if not gap and i + 1 < stop:
            changed = after[i] != text.words[i] or after[i + 1] != text.words[i + 1]
            gap = " " if changed and _run_together(after[i], after[i + 1]) else ""
        parts.append(after[i] + gap)
    return "".join(parts)


def _run_together(left: str, right: str) -> bool:
    """Whether two words without a space between would be read as one, as Chinese ones are not."""
    ends = (left[-1:], right[:1])
    return all(end.isascii() and end.isalnum() for end in ends)


def normal(text: str) -> str:
    """What tells texts apart: pieces as BERT's tokenizer cuts a text first, in lower case."""
    return " ".join(characters(text)).casefold()


def has_ideograph(word: str) -> bool:
    """Whether there is a Chinese character in the word."""
    return _IDEOGRAPH.search(word) is not None
