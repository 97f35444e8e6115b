"""What a run that learns from text alone asks of its tokenizer: ids, and where words begin."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxdistill.data.batches import Table
from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.data.vocabulary import chinese_ids, masking_vocabulary
from jaxdistill.errors import UserError
from jaxdistill.methods.pretrain import Pretrain
from jaxdistill.starts import Start
from jaxdistill.types import Method


def with_vocabulary(method: Method, start: Start) -> Method:
    """The method, told of the tokenizer if it is one that masks words."""
    if not isinstance(method, Pretrain):
        return method
    assert start.tokenizer is not None, "a BERT has one"
    tokenizer = load_tokenizer(start.tokenizer)
    vocabulary = masking_vocabulary(tokenizer, start.shape.vocab, str(start.tokenizer))
    return dataclasses.replace(method, vocabulary=vocabulary)


def check_words(method: Method, start: Start, table: Table) -> None:
    """Raises UserError where whole words are to be masked in texts that do not mark them.

    Word pieces say by "##" that they go on with a word. A Chinese character never does, whatever
    the word: that would need a segmenter, and masking it alone is not what was asked for.
    """
    if not isinstance(method, Pretrain) or not method.whole_word:
        return
    assert method.vocabulary is not None, "with_vocabulary filled it in"
    assert start.tokenizer is not None, "a BERT has one"
    ids = table.ids[~np.asarray(method.vocabulary.special)[table.ids]]
    going_on = np.asarray(method.vocabulary.continues)[ids].mean() if len(ids) else 0.0
    chinese = np.isin(ids, chinese_ids(load_tokenizer(start.tokenizer))).mean() if len(ids) else 0.0
    if going_on > 0 and chinese <= 0.5:
        return
    raise UserError(
        f"config.method.whole_word=True masks the pieces of a word together, but of the train "
        f'texts\' word pieces {going_on:.1%} go on with a word ("##ing") and {chinese:.1%} are '
        f"single Chinese characters, of which the tokenizer does not say where words begin. Set "
        f"config.method.whole_word=False, which masks piece by piece."
    )
