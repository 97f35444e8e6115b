"""Text that a stream leaves out, for what is learnt from it to be judged on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tokenizers import Tokenizer

from jaxdistill.data.batches import Table
from jaxdistill.data.lanes import Corpus, Lane, held_out
from jaxdistill.errors import UserError

SEED = 0
"""Orders the blocks in which held-out text is looked for: the same for every run's seed."""


def held_out_table(
    corpus: Corpus,
    tokenizer: Tokenizer,
    length: int,
    share: float,
    count: int,
    poll: Callable[[], None],
) -> Table:
    """Sequences of the texts that are held out, at most `count`, as rows without labels.

    Blocks are read in an order of their own, the same in every run, until there are enough; each
    text counts once. Only the corpus' last sequence may be shorter than the others.

    Args:
      length: of a sequence, in tokens.
      share: of the texts that is held out, as the lanes' keep has it.
      poll: called after each sequence; it may raise to stop.

    Raises UserError where no text is held out.
    """
    seen = set[str]()

    def keep(text: str) -> bool:
        if not held_out(text, share) or text in seen:
            return False
        seen.add(text)
        return True

    lane = Lane(corpus, tokenizer, length, seed=SEED, keep=keep, once=True)
    rows: list[np.ndarray] = []
    while len(rows) < count and len(ids := lane.take()):
        rows.append(ids)
        poll()
    if not rows:
        raise UserError(
            f"config.data.held_out={share:g} holds nothing out of "
            f"config.data.corpus={corpus.name}, and what is learnt must be judged on something. "
            f"Raise it."
        )
    lengths = np.array([len(ids) for ids in rows])
    return Table(
        row=np.arange(len(rows), dtype=np.int32),
        ids=np.concatenate(rows),
        offsets=np.concatenate([[0], lengths.cumsum()]),
        second=lengths.astype(np.int32),
        labels=np.full(len(rows), -1, np.int32),
    )
