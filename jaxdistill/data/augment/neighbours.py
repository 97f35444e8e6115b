"""The nearest words by the cosine of their vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from tokenizers import Tokenizer

BLOCK = 128
"""Words whose neighbours are looked for at once."""


class Neighbours:
    """The nearest words among those with vectors; the same whoever asks, in whatever order.

    Found for all words of `asked` at the first question, because the last bit of a product of
    matrices depends on what else is in them: a run that goes on must find what it found before.
    """

    def __init__(
        self, words: Sequence[str], matrix: np.ndarray, asked: Sequence[str], count: int
    ) -> None:
        """Copies what it keeps.

        Args:
          words: V different words.
          matrix: [V, D] float, their vectors; a row of zeros is left out.
          asked: the words that will be asked about; those without a vector are not known.
          count: neighbours of a word, itself not counted; fewer where there are fewer words.
        """
        vectors = np.asarray(matrix, np.float32)
        length = np.linalg.norm(vectors, axis=1)
        kept = np.flatnonzero(length > 0)
        self.words = [words[at] for at in kept.tolist()]
        self.vectors = vectors[kept] / length[kept, None]  # [V, D]
        place = {word: at for at, word in reversed(list(enumerate(self.words)))}
        self.asked = sorted({word for word in asked if word in place})
        self.count = min(count, len(self.words) - 1)
        self._places = np.array([place[word] for word in self.asked], np.int64)
        self._found: dict[str, list[str]] | None = None

    def __call__(self, words: Sequence[str]) -> Mapping[str, list[str]]:
        """Word -> its neighbours, best first, of those words that are known."""
        if self._found is None:
            self._found = self._find()
        return {word: self._found[word] for word in words if word in self._found}

    def digest(self) -> str:
        """A hash of what the answers depend on."""
        total = hashlib.sha256(f"{self.count} {self.vectors.shape}".encode())
        for part in (self.words, self.asked):
            total.update("\0".join(part).encode("utf-8", "surrogatepass") + b"\1")
        total.update(np.ascontiguousarray(self.vectors, "<f4").tobytes())
        return total.hexdigest()

    def _find(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        if self.count < 1:
            return found
        for start in range(0, len(self.asked), BLOCK):
            places = self._places[start : start + BLOCK]
            near = self.vectors[places] @ self.vectors.T  # [block, V]
            near[np.arange(len(places)), places] = -np.inf  # a word is not its own neighbour
            top = np.argpartition(-near, self.count - 1, axis=1)[:, : self.count]
            for word, row, chosen in zip(self.asked[start:], near, top, strict=False):
                order = chosen[np.lexsort((chosen, -row[chosen]))]
                found[word] = [self.words[at] for at in order]
        return found


def piece_vectors(words: Sequence[str], tokenizer: Tokenizer, table: np.ndarray) -> np.ndarray:
    """[N, D] float32, the mean of each word's pieces in a table [V, D], less the mean of all words.

    What all rows of a BERT's embedding have in common is most of them: without it, cosines say
    little. A word of unknown pieces alone has zeros.
    """
    found = np.zeros((len(words), table.shape[1]), np.float64)
    unknown = tokenizer.token_to_id("[UNK]")
    known = np.zeros(len(words), bool)
    for at, encoding in enumerate(tokenizer.encode_batch(list(words), add_special_tokens=False)):
        ids = [number for number in encoding.ids if number != unknown]
        if ids:
            found[at], known[at] = table[ids].mean(0), True
    found[known] -= found[known].mean(0) if known.any() else 0.0
    return found.astype(np.float32)
