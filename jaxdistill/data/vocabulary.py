"""A WordPiece vocabulary from texts, the same one in every process.

The usual trainers (tokenizers.BertWordPieceTokenizer and its kin) iterate hash tables whose order
is drawn anew in each process and break ties by it: the same text gives three vocabularies in three
processes, and no run could be repeated. Here pairs are merged by frequency as in byte pair encoding
(Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", algorithm 1),
on pieces spelt as WordPiece spells them, and ties go to the pair that sorts first.
"""

from __future__ import annotations

import heapq
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from jaxdistill.errors import UserError
from jaxdistill.files import write_atomic
from jaxdistill.types import Vocabulary

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""The first entries of every vocabulary, as in BERT's."""

_LONGEST = 100
"""Characters; WordPiece turns longer words into [UNK] without looking at them."""

Pair = tuple[str, str]


def build_vocabulary(texts: Iterable[str], size: int, *, lower: bool = True) -> list[str]:
    """At most `size` word pieces: the special ones, all characters, and the most frequent merges.

    Words are those of BERT's tokenizer (cleaned, each Chinese character and each punctuation mark
    by itself). A character comes alone and, if words go on with it, as its "##" form, so no word of
    the texts of up to 100 characters becomes [UNK]. Pairs that occur once are not merged, so that
    fewer pieces than `size` may come back. lower: also strips accents, as BERT's uncased models do.
    Raises UserError if `size` does not hold the special pieces and the characters.
    """
    words = _count_words(texts, lower)
    letters = {letter for word in words for letter in word}
    joining = {letter for letter in letters if _joins(letter)}
    pieces = [*SPECIAL, *sorted(letters), *(f"##{letter}" for letter in sorted(joining))]
    if size < len(pieces):
        raise UserError(
            f"A vocabulary of {size:,} word pieces is too small for these texts: their "
            f"{len(letters):,} different characters and the special pieces take {len(pieces):,}. "
            f"Set config.model.vocab (a teacher's: config.teacher.recipe.model.vocab) to "
            f"{2 * len(pieces):,} or so."
        )
    known = set(pieces)
    merges = _Merges(words)
    while len(pieces) < size and (pair := merges.best()) is not None:
        merged = merges.apply(pair)
        if merged not in known:  # "abc" may come from "ab" + "c" and from "a" + "bc".
            known.add(merged)
            pieces.append(merged)
    return pieces


def write_tokenizer(folder: Path, vocabulary: Sequence[str], *, lower: bool = True) -> None:
    """Writes vocab.txt and tokenizer_config.json, which data/tokens.py and transformers read.

    lower must be what the vocabulary was built with. Raises UserError if a piece would not survive
    in a file of one piece a line, OSError if the folder, made if need be, cannot be written.
    """
    broken = [piece for piece in vocabulary if not piece or piece != piece.strip() or "\n" in piece]
    if broken or len(set(vocabulary)) < len(vocabulary):
        raise UserError(
            f"{folder / 'vocab.txt'} cannot hold this vocabulary: it has one word piece a line, "
            f"each once, but there are {len(vocabulary) - len(set(vocabulary))} repeated ones and "
            f"{len(broken)} that are empty or have white space around them. Build it anew."
        )
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lower,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        **{f"{piece[1:-1].lower()}_token": piece for piece in SPECIAL},
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "vocab.txt", "".join(f"{piece}\n" for piece in vocabulary))
    write_atomic(folder / "tokenizer_config.json", json.dumps(settings, indent=2) + "\n")


def masking_vocabulary(tokenizer: Tokenizer, size: int, name: str) -> Vocabulary:
    """Which ids of BERT's tokenizer may be masked, and which go on with a word.

    Special are [PAD], [UNK], [CLS], [SEP], [MASK] and the [unused...] entries of published
    vocabularies, which stand for no text.

    Args:
      size: V, rows of the model's word embedding; pieces beyond it never replace another.
      name: where the tokenizer is, for messages.

    Raises UserError where the vocabulary has no [MASK], or nothing but special pieces.
    """
    pieces = tokenizer.get_vocab()
    if "[MASK]" not in pieces or pieces["[MASK]"] >= size:
        raise UserError(
            f"The tokenizer in {name} has no [MASK] that the model knows ({size:,} word pieces): "
            f"nothing can be hidden from it. Use the tokenizer of a BERT checkpoint, or start from "
            f"a random model with a vocabulary of its own."
        )
    special = np.ones(max(size, 1 + max(pieces.values())), bool)
    continues = np.zeros_like(special)
    for piece, number in pieces.items():
        special[number] = piece in SPECIAL or re.fullmatch(r"\[unused\d+\]", piece) is not None
        continues[number] = piece.startswith("##") and len(piece) > 2
    ordinary = np.flatnonzero(~special[:size]).astype(np.int32)
    if not len(ordinary):
        raise UserError(f"The tokenizer in {name} has only special word pieces, and no text.")
    return Vocabulary(pieces["[MASK]"], ordinary, special, continues)


def chinese_ids(tokenizer: Tokenizer) -> np.ndarray:
    """[N] int64, the ids of single Chinese characters (CJK unified ideographs)."""
    pieces = tokenizer.get_vocab().items()
    found = [n for piece, n in pieces if len(piece) == 1 and "\u4e00" <= piece <= "\u9fff"]
    return np.array(found, np.int64)


def _count_words(texts: Iterable[str], lower: bool) -> Counter[str]:
    """How often each word occurs, in the order of their first occurrences."""
    normalizer = normalizers.BertNormalizer(lowercase=lower)
    splitter = pre_tokenizers.BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        words.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    return words


def _joins(letter: str) -> bool:
    """Whether the letter can follow another within a word; punctuation and Chinese cannot."""
    normalizer = normalizers.BertNormalizer(lowercase=False)
    text = normalizer.normalize_str(f"a{letter}")
    return len(pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)) == 1


class _Merges:
    """The words in pieces, and how often which pieces are neighbours, kept up to date."""

    def __init__(self, words: Counter[str]) -> None:
        kept = [(word, count) for word, count in words.items() if len(word) <= _LONGEST]
        self._words = [[word[0], *(f"##{letter}" for letter in word[1:])] for word, _ in kept]
        self._counts = [count for _, count in kept]
        self._pairs: Counter[Pair] = Counter()
        self._where: dict[Pair, set[int]] = {}
        """The words that a pair is or was in."""
        for number in range(len(self._words)):
            self._add(number, 1)
        # Negated counts, so that the smallest entry is the most frequent pair that sorts first.
        self._heap = [(-count, pair) for pair, count in self._pairs.items()]
        heapq.heapify(self._heap)

    def best(self) -> Pair | None:
        """The most frequent pair, None if none occurs twice."""
        while self._heap:
            count, pair = heapq.heappop(self._heap)
            now = self._pairs[pair]
            if now == -count:
                return pair if now > 1 else None
            if now:  # The entry is out of date.
                heapq.heappush(self._heap, (-now, pair))
        return None

    def apply(self, pair: Pair) -> str:
        """Joins the pair wherever it occurs and returns the new piece."""
        left, right = pair
        merged = left + right.removeprefix("##")
        touched: set[Pair] = set()
        for number in self._where.pop(pair):
            self._add(number, -1)
            self._words[number] = _join(self._words[number], left, right, merged)
            touched.update(self._add(number, 1))
        # An entry that is too high is corrected when it surfaces, one too low never would be. The
        # order of a heap's equal entries is that of the pairs, whatever the order of insertion.
        for changed in touched:
            heapq.heappush(self._heap, (-self._pairs[changed], changed))
        return merged

    def _add(self, number: int, sign: int) -> list[Pair]:
        """Counts a word's pairs in (1) or out (-1), and returns them."""
        word = self._words[number]
        pairs = list(pairwise(word))
        for pair in pairs:
            self._pairs[pair] += sign * self._counts[number]
            if sign > 0:
                self._where.setdefault(pair, set()).add(number)
        return pairs


def _join(word: list[str], left: str, right: str, merged: str) -> list[str]:
    """The word with left, right replaced by merged, from the left."""
    joined: list[str] = []
    i = 0
    while i < len(word):
        if word[i] == left and word[i + 1 : i + 2] == [right]:
            joined.append(merged)
            i += 2
        else:
            joined.append(word[i])
            i += 1
    return joined
