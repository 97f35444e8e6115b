"""The words of the train texts by class, and how often each occurs."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

Tagger = Callable[[Sequence[str]], list[str | None]]
"""The class of each word of a text, such as its part of speech; None for one without a class."""


@dataclass(frozen=True)
class Lexicon:
    """Words by class."""

    words: dict[str, list[str]]
    """Class -> its words, sorted."""
    reach: dict[str, list[int]]
    """Class -> how often its words up to each one occur: the last is the sum."""

    def draw(self, tag: str, number: int) -> str:
        """A word of the class, each as often as it occurs; number: one of draws()."""
        reach = self.reach[tag]
        return self.words[tag][bisect_right(reach, number % reach[-1])]

    def digest(self) -> str:
        """A hash of everything in it."""
        total = hashlib.sha256()
        for tag in sorted(self.words):
            parts = [tag, *self.words[tag], *map(str, self.reach[tag])]
            total.update("\0".join(parts).encode("utf-8", "surrogatepass") + b"\1")
        return total.hexdigest()


def count_words(texts: Iterable[Sequence[str]], tag: Tagger) -> tuple[Lexicon, float]:
    """The lexicon of texts in words, and the share of their words that have a class.

    Source: Tang et al. 2019, section 3.3: the unigram distribution over the train texts,
    renormalised within each part of speech.
    """
    counts: Counter[tuple[str, str]] = Counter()
    total = 0
    for words in texts:
        found = zip(tag(words), words, strict=True)
        counts.update((name, word) for name, word in found if name is not None)
        total += len(words)
    members: dict[str, list[str]] = {}
    often: dict[str, list[int]] = {}
    for (name, word), count in sorted(counts.items()):
        members.setdefault(name, []).append(word)
        often.setdefault(name, []).append(count)
    reach = {name: list(accumulate(numbers)) for name, numbers in often.items()}
    share = sum(counts.values()) / total if total else 0.0
    return Lexicon(members, reach), share
