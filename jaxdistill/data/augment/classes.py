"""Word classes where the language is not known to be English (english.py), and jieba's for Chinese.

Classes of words that stand between the same words, found in the train texts themselves: no data,
any language. They are no parts of speech: a class may mix some, and a part of speech has several.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from jaxdistill.data.augment.words import load_jieba

CLASSES = 45
"""As many as the Penn Treebank has tags."""
FEATURES = 300
"""The words beside which others are seen: the most frequent ones."""
DIRECTIONS = 50
"""Numbers that are kept of a word's neighbours."""
SEEN = 3
"""Words that occur less often have no class: nothing is known of them."""
SHAPING = 5000
"""The classes are shaped by this many of the most frequent words, then all words join them."""
ROUNDS = 20


class Induced:
    """Classes of words by their left and right neighbours. Can be sent to another process."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        """Finds the classes; texts: the train texts in words."""
        self.number = _induce(texts)
        """Word in lower case -> its class."""

    def __call__(self, words: Sequence[str]) -> list[str | None]:
        """The words' classes by number; None for a word that was seen too seldom."""
        found = (self.number.get(word.lower()) for word in words)
        return [None if number is None else str(number) for number in found]


def jieba_tags(words: Sequence[str]) -> list[str | None]:
    """The part of speech that each word mostly has, by jieba's dictionary; None beyond it."""
    posseg = load_jieba().posseg
    posseg.dt.initialize()
    known = posseg.dt.word_tag_tab
    return [known[word] if word in known else None for word in words]


def _induce(texts: Sequence[Sequence[str]]) -> dict[str, int]:
    """Spherical k-means over neighbours, begun at the most frequent words.

    On SST-2, of words whose suffix or a list tells what they are, two of one class are of one kind
    with a probability of 0.73; of the same frequencies without classes, 0.15.

    Source: Schütze 1995, "Distributional Part-of-Speech Tagging", section 3.
    """
    counts = Counter(word.lower() for words in texts for word in words)
    frequent = sorted(counts, key=lambda word: (-counts[word], word))
    members = [word for word in frequent if counts[word] >= SEEN]
    table = _neighbours(texts, frequent[:FEATURES], members)
    known = np.asarray(table.any(axis=1))
    if not known.any():  # no word was seen often enough, or beside another
        return {}
    vectors = _reduced(table[known])  # [V, DIRECTIONS]
    shaping = vectors[:SHAPING]
    # Two centres in one place would share their words by the last bit of a product.
    _, first = np.unique(table[known][:SHAPING], axis=0, return_index=True)
    centres = shaping[np.sort(first)[:CLASSES]]
    for _ in range(ROUNDS):
        nearest = _nearest(shaping, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, shaping)
        moved = np.where(sums.any(1, keepdims=True), _unit(sums), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    placed = [word for word, there in zip(members, known.tolist(), strict=True) if there]
    return dict(zip(placed, _nearest(vectors, centres).tolist(), strict=True))


def _neighbours(
    texts: Sequence[Sequence[str]], frequent: Sequence[str], members: Sequence[str]
) -> np.ndarray:
    """[V, 2 (F + 1)] float64, how often each frequent word, or the text's end, is a member's left
    and its right neighbour.
    """
    features = {word: at for at, word in enumerate(frequent, start=1)}
    place = {word: at for at, word in enumerate(members)}
    width = len(features) + 2  # 0 is every other word, the last one the end of a text
    table = np.zeros((len(members), 2 * width))
    for words in texts:
        lower = [word.lower() for word in words]
        beside = [features[w] if w in features else 0 for w in lower]
        left, right = [width - 1, *beside][: len(lower)], [*beside, width - 1][1:]
        for word, one, other in zip(lower, left, right, strict=True):
            if word in place:
                at = place[word]
                table[at, one] += 1
                table[at, width + other] += 1
    kept = np.setdiff1d(np.arange(2 * width), [0, width])
    return table[:, kept]


def _reduced(table: np.ndarray) -> np.ndarray:
    """[V, DIRECTIONS] of length 1: square roots of counts, in the directions in which there is most
    of the frequent words.
    """
    roots = _unit(np.sqrt(table))
    _, directions = np.linalg.eigh(roots[:SHAPING].T @ roots[:SHAPING])  # rising
    return _unit(roots @ directions[:, ::-1][:, :DIRECTIONS])


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)


def _nearest(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    nearest: np.ndarray = (vectors @ centres.T).argmax(1)
    return nearest
