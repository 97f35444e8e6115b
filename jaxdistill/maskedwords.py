"""What a masked-LM would put in a word's place; TinyBERT's augmentation asks it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tokenizers import Tokenizer

from jaxdistill.data.augment.words import MASK
from jaxdistill.data.batches import make_table
from jaxdistill.data.tables import Examples
from jaxdistill.data.tasks import Task
from jaxdistill.data.tokens import check_ids, load_tokenizer, tokenize
from jaxdistill.data.vocabulary import masking_vocabulary
from jaxdistill.errors import UserError
from jaxdistill.models.bert import Bert, BertShape
from jaxdistill.models.build import build
from jaxdistill.notices import Notice, ignore
from jaxdistill.origins import find_checkpoint
from jaxdistill.scoring import by_row
from jaxdistill.sharding import place
from jaxdistill.types import Batch, Params, Vocabulary

BUCKETS = (16, 32, 64, 128, 256)
"""Widths in tokens that texts are padded to, and then the model's longest."""


class MaskedWords:
    """A BERT with its masked-LM head, asked for whole words. In float32: ranks hang on little."""

    def __init__(
        self,
        shape: BertShape,
        params: Params,
        tokenizer: Tokenizer,
        *,
        count: int,
        visible: bool,
        mesh: Mesh,
        poll: Callable[[], None],
        name: str,
        identity: str,
    ) -> None:
        """Puts the parameters on the devices.

        Args:
          params: with embeddings, layers and mlm.
          count: words that an answer has.
          visible: whether the text without mask follows as the second segment.
          poll: called before every batch; it may raise to stop.
          name: what the model is called in messages.
          identity: a hash of its parameters.
        """
        self.tokenizer = tokenizer
        self.visible, self.mesh, self.poll = visible, mesh, poll
        self.widths = (*(w for w in BUCKETS if w < shape.positions), shape.positions)
        vocabulary = masking_vocabulary(tokenizer, shape.vocab, name)
        self.vocab = shape.vocab
        self.mask = vocabulary.mask
        self.pieces = {number: piece for piece, number in tokenizer.get_vocab().items()}
        kept = {part: params[part] for part in ("embeddings", "layers", "mlm")}
        self.params = place(kept, mesh)
        model = build("bert", dataclasses.asdict(shape), "float32")
        assert isinstance(model, Bert), "of that name"
        self.ask = jax.jit(_asker(model, vocabulary, count))
        about = f"{identity} {count} {visible} {tokenizer.to_str()}"
        self.digest = hashlib.sha256(about.encode()).hexdigest()
        """A hash of what the answers depend on."""

    def __call__(self, hidden: list[str], whole: list[str]) -> list[list[str]]:
        """The likeliest words where each text has its mask, best first.

        Fewer than were asked for where the vocabulary has fewer; none where a text is so long that
        the mask is cut off.

        Args:
          hidden: N texts with a MASK each, of which the first counts.
          whole: the same texts without.
        """
        none = np.zeros(len(hidden), np.int32)
        texts = (hidden, whole) if self.visible else (hidden,)
        tokens = tokenize(
            texts, self.tokenizer, self.widths[-1], cache=None, poll=self.poll, notice=ignore
        )
        check_ids(tokens, self.vocab)
        table = make_table(Examples(none, tuple(map(list, texts)), none), tokens)
        ids, found = by_row(
            self.ask, self.params, table, buckets=self.widths, mesh=self.mesh, poll=self.poll
        )
        return [
            [self.pieces[number] for number in row[good].tolist()]
            for row, good in zip(ids, found, strict=True)
        ]

    def single(self, word: str) -> bool:
        """Whether the word is one word piece, and a known one."""
        pieces = self.tokenizer.encode(word, add_special_tokens=False).tokens
        return len(pieces) == 1 and pieces[0] not in ("[UNK]", MASK)

    def shown(self, words: list[str]) -> tuple[int, int]:
        """How many of a text's first words fit, and how many beside them as the second segment."""
        cut = self.tokenizer.encode_batch_fast(words, add_special_tokens=False)
        ends = np.cumsum([len(encoding.ids) for encoding in cut], dtype=np.int64)
        room = self.widths[-1] - (3 if self.visible else 2)  # [CLS], [SEP], [SEP]
        first = int(np.searchsorted(ends, room, "right"))
        taken = ends[first - 1] if first else 0
        second = int(np.searchsorted(ends, room - taken, "right")) if self.visible else 0
        return first, second


def _asker(model: Bert, vocabulary: Vocabulary, count: int) -> Callable[[Params, Batch], Any]:
    """(params, batch) -> the ids [B, K] int32 of the likeliest words, and which count, [B, K]."""
    shape = model.shape
    kept = ~(np.asarray(vocabulary.special) | np.asarray(vocabulary.continues))[: shape.vocab]
    largest = min(count, shape.vocab)

    def ask(params: Params, batch: Batch) -> tuple[jax.Array, jax.Array]:
        is_mask = jnp.asarray(batch.input_ids) == vocabulary.mask  # [B, T]
        at = jnp.argmax(is_mask, axis=1)[:, None]  # [B, 1]
        found: Any = model.apply({"params": params}, batch, False, at, method="masked_lm")
        words = jnp.where(jnp.asarray(kept)[None], found[:, 0], -jnp.inf)  # [B, V]
        best, ids = jax.lax.top_k(words, largest)
        return ids.astype(jnp.int32), jnp.isfinite(best) & is_mask.any(1)[:, None]

    return ask


def load_masked_words(
    source: str,
    task: Task,
    *,
    count: int,
    visible: bool,
    mesh: Mesh,
    poll: Callable[[], None],
    notice: Notice,
) -> MaskedWords:
    """The model that config.augment.model names; see MaskedWords.

    Raises UserError where there is none, or it has no masked-LM head.
    """
    found = find_checkpoint(source, "config.augment", task, notice, as_it_is=False)
    if not found.has_mlm:
        raise UserError(
            f"config.augment.model={source} has no masked-LM head, so that it proposes no words. "
            f"Give a BertForMaskedLM, such as bert-base-uncased, or a run of configs/pretrain.py; "
            f"or leave it empty and give word vectors in config.augment.vectors."
        )
    return MaskedWords(
        found.shape,
        found.params,
        load_tokenizer(Path(found.tokenizer)),
        count=count,
        visible=visible,
        mesh=mesh,
        poll=poll,
        name=source,
        identity=found.sha256,
    )
