"""A BiLSTM classifier of one text or two, as it is distilled from BERT (Tang et al. 2019).

Source: Tang, Lu, Liu, Mou, Vechtomova, Lin 2019, "Distilling Task-Specific Knowledge from BERT into
Simple Neural Networks", arXiv:1903.12136, section 3.1; the variants of other implementations are
the rows of presets.STUDENTS.

B examples, S texts, N = B S, W words, E width of a word vector, K directions, H width of a state,
C classes, V vocabulary. Words are numbered by data/views.py: 0 is padding, and nothing else is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdistill.models.arithmetic import contract, dropout
from jaxdistill.models.cudnn import fused_bilstm
from jaxdistill.models.lstm import bilstm
from jaxdistill.types import Batch, Outputs, Params

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {"relu": nn.relu, "tanh": jnp.tanh}
VECTOR_STD = 0.3
"""Of word vectors that are drawn, and of those that are derived from a BERT's."""


@dataclass(frozen=True, kw_only=True)
class BiLstmShape:
    """What fixes every array's shape and the function computed; kept in a run's model.json."""

    vocab: int
    """V, rows of a word table."""
    width: int
    """E."""
    channels: int
    """1: one table, which trains; 2: and a copy of where it starts that stays as it is, beside it
    (the paper's multichannel embeddings)."""
    hidden: int
    """H, of one direction."""
    directions: int
    """K: 2, or 1 for an LSTM that reads forwards only."""
    pooling: str
    """final: the states after the last word read, forwards and backwards; max: of all words' states
    the largest of each element."""
    texts: int
    """S: 1, or 2 for a pair, both read by the same LSTM."""
    pairs: str
    """What joins the encodings a, b of a pair: product, [a; b; a * b; |a - b|] (the paper's), or
    sum, [a; b; a + b; |a - b|] (Paddle's)."""
    dense: int
    """Width of the layer under the classifier; 0: none."""
    activation: str
    """Of that layer: relu (the paper's) or tanh."""
    classes: int
    """C, outputs of the classifier: label names, or 1 for a regression."""
    embedding_dropout: float
    """Of the elements of word vectors."""
    encoder_dropout: float
    """Of the elements of what the LSTM says of an example, pair features included."""
    head_dropout: float
    """Of the elements of the layer under the classifier."""


class BiLstm(nn.Module):
    """module.apply({"params": p}, batch, train=...) -> Outputs, reading batch.words alone.

    Of Outputs, pooled is what the classifier reads, and hiddens and scores are empty ([0]): there
    are no layers and no attention that a loss could match.

    Parameters: embeddings/word and, with two channels, embeddings/fixed; lstm/input and
    lstm/hidden, a kernel [K, E or H, 4H] and a bias [K, 4H] each (two biases as PyTorch, Paddle and
    cuDNN have, which the paper's 0.96M counts); dense, where there is one; classifier.
    """

    shape: BiLstmShape
    precision: str = "float32"
    together: bool = False
    """Both directions in one loop; the result is the same."""
    fused: bool = False
    """No loop, but the call of models/cudnn.py, whatever the precision."""

    def setup(self) -> None:
        s = self.shape
        self.embeddings = Embeddings(s)
        self.lstm = Lstm(s, self.precision, self.together, self.fused)
        if s.dense:
            self.dense = Dense(s.dense)
        self.classifier = Dense(s.classes)

    def __call__(self, batch: Batch, train: bool = False) -> Outputs:
        """Everything of a batch; with train=True the rng "dropout" must be given."""
        s, words = self.shape, batch.words
        if words is None:
            raise ValueError("a BiLSTM reads batch.words, and the batch has none")
        seeds = [None] * 3
        if train:
            seeds = list(jax.random.bits(self.make_rng("dropout"), (3,), jnp.uint32))
        x = self.embeddings(words, seeds[0])  # [B, S, W, E or 2E]
        mask = jnp.asarray(words != 0)
        B, S, W = words.shape
        encoded = self.lstm(x.reshape(B * S, W, -1), mask.reshape(B * S, W)).reshape(B, S, -1)
        features = encoded[:, 0]  # [B, K H]
        if S == 2:
            a, b = encoded[:, 0], encoded[:, 1]
            joined = a * b if s.pairs == "product" else a + b
            features = jnp.concatenate([a, b, joined, jnp.abs(a - b)], -1)  # [B, 4 K H]
        pooled = dropout(features, seeds[1], s.encoder_dropout)
        if s.dense:
            pooled = ACTIVATIONS[s.activation](self.dense(pooled))
            pooled = dropout(pooled, seeds[2], s.head_dropout)
        nothing = jnp.zeros((0,))
        return Outputs(self.classifier(pooled), pooled, nothing, nothing)


class Embeddings(nn.Module):
    """One channel of word vectors or two, and dropout on them."""

    shape: BiLstmShape

    @nn.compact
    def __call__(self, words: Any, seed: jax.Array | None) -> jax.Array:
        """words [B, S, W], seed of the dropout [] or None -> [B, S, W, E], or 2E wide."""
        s = self.shape

        def table(name: str) -> nn.Embed:
            init = nn.initializers.normal(VECTOR_STD)
            return nn.Embed(s.vocab, s.width, embedding_init=init, name=name)

        x = table("word")(words)
        if self.has_variable("params", "shift"):  # of adversarial training, never stored
            x = x + self.get_variable("params", "shift")  # [B, S, W, E]
        if s.channels == 2:
            x = jnp.concatenate([x, jax.lax.stop_gradient(table("fixed")(words))], -1)
        return dropout(x, seed, s.embedding_dropout)


class Lstm(nn.Module):
    """What an LSTM of K directions says of each text as a whole."""

    shape: BiLstmShape
    precision: str
    together: bool
    fused: bool

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """x [N, W, E], mask [N, W] bool, True on words -> [N, K H]."""
        s = self.shape
        bound = 1 / math.sqrt(s.hidden)
        into, bias = Weights(s.directions, 4 * s.hidden, bound, name="input")(x.shape[-1])
        onto, more = Weights(s.directions, 4 * s.hidden, bound, name="hidden")(s.hidden)
        every = s.pooling == "max"
        given = (x.swapaxes(0, 1), mask.T, (into, onto), bias + more)
        if self.fused:
            found = fused_bilstm(*given, every=every)
        else:
            found = bilstm(*given, self.precision, every=every, together=self.together)
        if not every:
            return found
        # A state lies within (-1, 1): -1 never is the largest of a text's own words.
        return jnp.where(mask.T[..., None], found, -1.0).max(0)


class Weights(nn.Module):
    """A kernel and a bias for each direction, uniform within the bound, as PyTorch draws them."""

    directions: int
    features: int
    bound: float

    @nn.compact
    def __call__(self, inputs: int) -> tuple[jax.Array, jax.Array]:
        """-> kernel [K, inputs, features], bias [K, features]."""
        init, K = _uniform(self.bound), self.directions
        kernel: jax.Array = self.param("kernel", init, (K, inputs, self.features))
        bias: jax.Array = self.param("bias", init, (K, self.features))
        return kernel, bias


class Dense(nn.Module):
    """x W + b, [B, D] -> [B, features] float32, uniform within 1 / sqrt D as PyTorch draws it."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = _uniform(1 / math.sqrt(x.shape[-1]))
        kernel = self.param("kernel", init, (x.shape[-1], self.features))
        bias = self.param("bias", init, (self.features,))
        return contract("bd,df->bf", x, kernel, "float32") + bias[None]


def _uniform(bound: float) -> Callable[..., jax.Array]:
    def init(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.uniform(key, shape, jnp.float32, -bound, bound)

    return init


def initial_bilstm(model: BiLstm, key: jax.Array) -> Params:
    """Parameters drawn as PyTorch draws an LSTM and linear layers; word vectors normal.

    Both channels of word vectors, where there are two, are the same.

    Args:
      key: a jax.random.key.
    """
    row = jnp.zeros((1,), jnp.int32)
    token = jnp.zeros((1, 1), jnp.int32)
    words = jnp.ones((1, model.shape.texts, 1), jnp.int32)
    batch = Batch(row, token, token, token == 0, row, jnp.ones((1,)), words)
    params = dict(model.init(key, batch)["params"])
    if model.shape.channels == 2:
        table = params["embeddings"]["word"]
        params["embeddings"] = {"word": table, "fixed": table}
    return params
