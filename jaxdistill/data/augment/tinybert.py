"""Words replaced by others that a masked-LM or word vectors propose (TinyBERT).

Source: Jiao et al. 2020, arXiv:1909.10351, algorithm 1, and its data_augmentation.py. As in the
code and not in the paper, candidates are found once for each word of the original, and stop words,
numbers and punctuation stay; of a text too long for the masked-LM the end is left out where it
stands unmasked, as in the code, before any word is. Unlike the code, a word is no candidate for
itself, and there are K whole words (the code takes K pieces and leaves parts of words out then);
words of letters beyond English may be replaced, and those with a hyphen or an apostrophe, which the
code takes for two, stay; and of a pair each text is changed beside the other's original (the code
leaves the last changed one there).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jaxdistill.data.augment.draws import below, draws
from jaxdistill.data.augment.made import Copy
from jaxdistill.data.augment.stopwords import STOPWORDS
from jaxdistill.data.augment.words import MASK, Split, Words, cut, rebuild

Fill = Callable[[list[str], list[str]], list[list[str]]]
"""(texts with one MASK each, the same texts without) -> the words likeliest there, best first."""

Near = Callable[[Sequence[str]], Mapping[str, list[str]]]
"""Words in lower case -> the words nearest to each that is known, best first."""

ASKED = 2_000
"""Questions to a masked-LM at once: each is a text."""

Candidates = list[list[str]]
"""For each word of a text the words that may take its place; empty: it stays."""


@dataclass(frozen=True, kw_only=True)
class Proposer:
    """Finds what may take the place of a text's words."""

    split: Split
    count: int
    """K, most candidates of a word."""
    fill: Fill | None
    """A masked-LM, asked about words of a single piece."""
    single: Callable[[str], bool]
    """Whether a word is a single piece to it; not asked without it."""
    shown: Callable[[list[str]], tuple[int, int]]
    """How many of a text's first words it reads where one of them is hidden, and how many of the
    same text beside them; not asked without it."""
    near: Near | None
    """Word vectors, asked about all other words, and those beyond what a masked-LM reads."""

    def __call__(self, texts: Sequence[str]) -> list[Candidates]:
        """For each text, the candidates of its words."""
        cuts = [cut(text, self.split) for text in texts]
        found: list[Candidates] = [[[] for _ in each.words] for each in cuts]
        seen = [(0, 0) if self.fill is None else self.shown(each.words) for each in cuts]
        asked: list[tuple[int, int]] = []
        rest: list[tuple[int, int]] = []
        for number, each in enumerate(cuts):
            for at, word in enumerate(each.words):
                if eligible(word):
                    by_model = at < seen[number][0] and self.single(word)
                    (asked if by_model else rest).append((number, at))
        beside = [
            text if count == len(each.words) else rebuild(each, each.words, 0, count)
            for text, each, (_, count) in zip(texts, cuts, seen, strict=True)
        ]
        for start in range(0, len(asked), ASKED):
            assert self.fill is not None, "nothing is asked without it"
            now = asked[start : start + ASKED]
            hidden = [_hide(cuts[number], at, seen[number][0]) for number, at in now]
            answers = self.fill(hidden, [beside[number] for number, _ in now])
            for (number, at), words in zip(now, answers, strict=True):
                found[number][at] = self._others(cuts[number].words[at], words)
        if self.near is not None and rest:
            wanted = sorted({cuts[number].words[at].lower() for number, at in rest})
            known = self.near(wanted)
            for number, at in rest:
                word = cuts[number].words[at]
                if word.lower() in known:
                    found[number][at] = self._others(word, known[word.lower()])
        return found

    def _others(self, word: str, words: Sequence[str]) -> list[str]:
        others = [other for other in words if other.lower() != word.lower()][: self.count]
        return [other.title() for other in others] if word.istitle() else others


@dataclass(frozen=True, kw_only=True)
class TinyBert:
    """Makes `copies` examples of each text of one. Can be sent to another process."""

    copies: int
    """N."""
    seed: int
    p_t: float
    """For each word that has candidates: the probability that one of them takes its place."""
    split: Split

    def per_row(self, columns: int) -> int:
        """How many copies there are of an example with that many texts."""
        return self.copies * columns

    def __call__(
        self, row: int, texts: tuple[str, ...], candidates: Sequence[Candidates]
    ) -> list[Copy]:
        """What is made of an example, in order: first of its first text, then of its second.

        Args:
          candidates: of the words of each text.
        """
        made = []
        for column, text in enumerate(texts):
            words = cut(text, self.split)
            for copy in range(column * self.copies, (column + 1) * self.copies):
                drawn = draws(self.seed, row, copy, column, 2 * len(words.words))
                changed = list(texts)
                changed[column] = self.change(words, candidates[column], drawn)
                made.append(Copy(row, copy, tuple(changed)))
        return made

    def change(self, text: Words, candidates: Candidates, drawn: Sequence[int]) -> str:
        """One text anew; drawn: two draws for each word."""
        replaced = below(self.p_t)
        after = [
            choices[drawn[2 * i + 1] % len(choices)]
            if choices and drawn[2 * i] < replaced
            else word
            for i, (word, choices) in enumerate(zip(text.words, candidates, strict=True))
        ]
        return rebuild(text, after, 0, len(after))


def eligible(word: str) -> bool:
    """Whether a word may be replaced: letters alone, and no stop word."""
    return word.isalpha() and word.lower() not in STOPWORDS


def _hide(text: Words, at: int, count: int) -> str:
    """The text's first words, with one of them hidden."""
    after = [*text.words[:at], MASK, *text.words[at + 1 :]]
    return rebuild(text, after, 0, count)
