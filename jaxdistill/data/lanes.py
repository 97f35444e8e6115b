"""Lanes: streams of equally long sequences out of a corpus of any size, each a function of the
corpus, the seed and its number alone.

The corpus is numbered blocks of consecutive texts. In every pass the blocks are put in an order by
(seed, pass), and lane l of L reads number l, l + L, l + 2L ... of them. Within a block texts keep
their order. Their word pieces follow each other without padding, [SEP] between two texts; every
sequence is [CLS], what fits, [SEP], and what of a text does not fit goes on in the lane's next one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
from tokenizers import Tokenizer

from jaxdistill.data.order import BLOCKS, permutation
from jaxdistill.data.tables import clean
from jaxdistill.errors import UserError

AT_ONCE = 128
"""Texts that are tokenized together, and that a lane holds the pieces of."""


class Corpus(Protocol):
    """Texts in numbered blocks, any of which can be read without those before it."""

    name: str
    digest: str
    """Changes when texts do, as far as that is seen without reading them all."""

    def __len__(self) -> int:
        """The number of blocks."""
        ...

    def read(self, block: int, skip: int) -> Iterator[str]:
        """The texts of a block, without the first `skip`."""
        ...


class Place(NamedTuple):
    """Where a lane stands: what its next sequence begins with."""

    passed: int
    """Passes through all of its blocks."""
    block: int
    """Blocks that it is through with in this pass."""
    text: int
    """Texts of the block that it is through with, blank and held-out ones counted."""
    token: int
    """Pieces of the next text that it is through with."""


START = Place(0, 0, 0, 0)


def held_out(text: str, share: float) -> bool:
    """Whether a text is kept from training: by its SHA-256, so the same wherever it occurs."""
    drawn = int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big")
    return drawn < share * 2.0**64


class Lane:
    """One lane, from a place on. Reading it is all that moves it."""

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: Tokenizer,
        length: int,
        *,
        number: int = 0,
        lanes: int = 1,
        seed: int = 0,
        keep: Callable[[str], bool],
        place: Place = START,
        once: bool = False,
    ) -> None:
        """A lane of sequences of `length` tokens.

        Args:
          tokenizer: BERT's, of which [CLS] and [SEP] are taken.
          keep: which texts, cleaned and not blank, it is made of.
          place: where it begins.
          once: it ends after one pass, with a shorter sequence, and then empty ones.
        """
        vocab = tokenizer.get_vocab()
        self._corpus, self._tokenizer = corpus, tokenizer
        self._cls, self._sep = vocab["[CLS]"], vocab["[SEP]"]
        self._length, self._keep, self._once = length, keep, once
        self._number, self._lanes, self._seed = number, lanes, seed
        self._texts = self._pieces(place)
        self._ids = np.zeros(0, np.int32)  # of the text that is being read
        self._skip = place.token
        self.place = place

    def take(self) -> np.ndarray:
        """The next sequence, [length] int32."""
        body = np.empty(self._length - 2, np.int32)
        filled = 0
        while filled < len(body):
            if self.place.token >= len(self._ids):
                found = next(self._texts, None)
                if found is None:
                    break
                self.place, self._ids = found
                self.place, self._skip = self.place._replace(token=self._skip), 0
                if filled:
                    body[filled] = self._sep
                    filled += 1
            part = self._ids[self.place.token :][: len(body) - filled]
            body[filled : filled + len(part)] = part
            filled += len(part)
            self._advance(len(part))
        if not filled:
            return body[:0]
        return np.concatenate([[self._cls], body[:filled], [self._sep]]).astype(np.int32)

    def _advance(self, count: int) -> None:
        """Past so many pieces of the text; past its last one, to the text after it."""
        place = self.place
        if place.token + count < len(self._ids):
            self.place = place._replace(token=place.token + count)
        else:
            self.place = place._replace(text=place.text + 1, token=0)
            self._ids = self._ids[:0]

    def _pieces(self, place: Place) -> Iterator[tuple[Place, np.ndarray]]:
        """Each text from a place on: where it is, and its pieces, one at least."""
        passed, block, text, _ = place
        while True:
            order = self._order(passed)
            found = block > 0 or text > 0
            for at in range(block, len(order)):
                for number, ids in self._block(int(order[at]), text):
                    found = True
                    yield Place(passed, at, number, 0), ids
                text = 0
            if self._once:
                return
            if not found:
                raise UserError(
                    f"Lane {self._number} of config.data.lanes={self._lanes} found no text to "
                    f"learn from in {len(order)} of the {len(self._corpus)} blocks of "
                    f"config.data.corpus={self._corpus.name}. Give a larger corpus, or fewer lanes."
                )
            passed, block = passed + 1, 0

    def _order(self, passed: int) -> np.ndarray:
        """The lane's blocks in the order of a pass."""
        count = len(self._corpus)
        order = permutation(count, seed=self._seed, purpose=BLOCKS, epoch=passed)
        return order[self._number :: self._lanes].copy()

    def _block(self, block: int, skip: int) -> Iterator[tuple[int, np.ndarray]]:
        """The texts of a block that are kept, by number, and their pieces."""
        lines = enumerate(self._corpus.read(block, skip), start=skip)
        cleaned = ((number, clean(line)) for number, line in lines)
        kept = ((number, text) for number, text in cleaned if text and self._keep(text))
        while texts := list(islice(kept, AT_ONCE)):
            encodings = self._tokenizer.encode_batch_fast(
                [text for _, text in texts], add_special_tokens=False
            )
            pieces = [np.array(encoding.ids, np.int32) for encoding in encodings]
            del encodings  # of each piece they hold ten times more
            yield from (
                (number, ids) for (number, _), ids in zip(texts, pieces, strict=True) if len(ids)
            )
