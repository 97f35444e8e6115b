"""Masking, replacement by words of the same class, and n-grams (Tang et al. 2019).

Source: "Distilling Task-Specific Knowledge from BERT into Simple Neural Networks",
arXiv:1903.12136, section 3.3. Implementations differ: PaddleNLP replaces no words, takes n from
2..6 (English) or 2..10 (Chinese), and changes both texts of a pair at once, in one pass and not
three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxdistill.data.augment.draws import below, draws
from jaxdistill.data.augment.lexicon import Lexicon, Tagger
from jaxdistill.data.augment.made import Copy
from jaxdistill.data.augment.words import MASK, Split, Words, cut, rebuild

PASSES = {1: ((0,),), 2: ((0,), (1,), (0, 1))}
"""By the number of texts of an example, the texts that each pass changes."""


@dataclass(frozen=True, kw_only=True)
class Tang:
    """Makes `copies` examples of one in each pass. Can be sent to another process."""

    copies: int
    """n_iter."""
    seed: int
    p_mask: float
    """For each word: the probability that it is masked."""
    p_pos: float
    """For each word: the probability that a word of its class takes its place, itself perhaps. The
    two exclude each other, so their sum is at most 1."""
    p_ng: float
    """The probability that an n-gram of what came of this stands for the whole."""
    ngram: tuple[int, int]
    """n is one of these or between; all words where there are fewer."""
    split: Split
    tag: Tagger | None = None
    """With the lexicon; not asked where p_pos is 0."""
    lexicon: Lexicon | None = None

    def per_row(self, columns: int) -> int:
        """How many copies there are of an example with that many texts."""
        return self.copies * len(PASSES[columns])

    def __call__(self, row: int, texts: tuple[str, ...]) -> list[Copy]:
        """What is made of an example, in order; a text that no pass changes stays as it is."""
        cuts = [cut(text, self.split) for text in texts]
        tags = [self._tags(each.words) for each in cuts]
        made = []
        for number, columns in enumerate(PASSES[len(texts)]):
            for copy in range(number * self.copies, (number + 1) * self.copies):
                changed = list(texts)
                for column in columns:
                    drawn = draws(self.seed, row, copy, column, 2 * len(tags[column]) + 3)
                    changed[column] = self.change(cuts[column], tags[column], drawn)
                made.append(Copy(row, copy, tuple(changed)))
        return made

    def change(self, text: Words, tags: Sequence[str | None], drawn: Sequence[int]) -> str:
        """One text anew.

        Args:
          tags: of its W words.
          drawn: 2 W + 3 draws: two for each word, and three for the n-gram.
        """
        masked, replaced = below(self.p_mask), below(self.p_mask + self.p_pos)
        after = list(text.words)
        for i, tag in enumerate(tags):
            if drawn[2 * i] < masked:
                after[i] = MASK
            elif drawn[2 * i] < replaced and tag is not None:
                assert self.lexicon is not None, "a word has a class"
                after[i] = self.lexicon.draw(tag, drawn[2 * i + 1])
        start, stop = 0, len(after)
        if after and drawn[-3] < below(self.p_ng):
            shortest, longest = self.ngram
            size = min(shortest + drawn[-2] % (longest - shortest + 1), len(after))
            start = drawn[-1] % (len(after) - size + 1)
            stop = start + size
        return rebuild(text, after, start, stop)

    def _tags(self, words: list[str]) -> list[str | None]:
        if not self.p_pos or self.tag is None or self.lexicon is None:
            return [None] * len(words)
        known = self.lexicon.words
        return [tag if tag in known else None for tag in self.tag(words)]
