"""BERT (Devlin et al. 2019, arXiv:1810.04805), equal to Hugging Face's in float32.

Three parts that a method may also run alone: embed, through (the layers, stacked on axis 0 of every
leaf, so that a slice of the tree is a shallower model) and heads.

B examples, T tokens, D width, H heads, L layers, F inner width, C classes, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdistill.models.arithmetic import contract, dropout, gelu
from jaxdistill.models.attention import fused_context
from jaxdistill.types import Batch, Outputs, Params, States

if TYPE_CHECKING:
    from jaxdistill.types import Array

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": gelu,
    "gelu_new": nn.gelu,
    "gelu_pytorch_tanh": nn.gelu,
    "relu": nn.relu,
}
_MASKED = -1e9
"""Added to the scores of padding keys; finite, so that no gradient through it can be NaN."""


@dataclass(frozen=True, kw_only=True)
class BertShape:
    """What fixes every array's shape and the function computed; kept in a run's model.json."""

    vocab: int
    """V, rows of the word embedding."""
    width: int
    """D."""
    layers: int
    """L."""
    heads: int
    """H, must divide width."""
    inner: int
    """F, width of the feed-forward layer."""
    classes: int
    """C, outputs of the classifier: label names, or 1 for a regression."""
    positions: int = 512
    segments: int = 2
    activation: str = "gelu"
    norm_epsilon: float = 1e-12
    dropout: float = 0.1
    attention_dropout: float = 0.1
    head_dropout: float = 0.1
    initial_std: float = 0.02


class Dense(nn.Module):
    """x W + b over the last axis, [..., D] -> [..., features] float32."""

    features: int
    precision: str
    initial_std: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = nn.initializers.normal(self.initial_std)
        kernel = self.param("kernel", init, (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        axes = "btd"[-x.ndim :]
        y = contract(f"{axes},df->{axes[:-1]}f", x, kernel, self.precision)
        return y + bias.reshape((1,) * (x.ndim - 1) + (-1,))


class Norm(nn.Module):
    """LayerNorm over the last axis in float32, two-pass variance as in PyTorch."""

    epsilon: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (1,) * (x.ndim - 1) + (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],)).reshape(shape)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],)).reshape(shape)
        centred = x - x.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + self.epsilon) * scale + bias


class Embeddings(nn.Module):
    """Word + position + segment embeddings, LayerNorm, dropout."""

    shape: BertShape

    @nn.compact
    def __call__(self, input_ids: Array, segments: Array, seed: jax.Array | None) -> jax.Array:
        """input_ids and segments [B, T], seed of the dropout [] or None -> [B, T, D]."""
        s = self.shape

        def table(rows: int, name: str) -> nn.Embed:
            init = nn.initializers.normal(s.initial_std)
            return nn.Embed(rows, s.width, embedding_init=init, name=name)

        positions = jnp.arange(input_ids.shape[1])[None]  # [1, T]
        words = table(s.vocab, "word")(input_ids)  # [B, T, D]
        if self.has_variable("params", "shift"):  # of adversarial training, never stored
            words = words + self.get_variable("params", "shift")  # [B, T, D]
        x = (
            words
            + table(s.positions, "position")(positions)  # [1, T, D]
            + table(s.segments, "segment")(segments)  # [B, T, D]
        )
        return dropout(Norm(s.norm_epsilon, name="norm")(x), seed, s.dropout)


class Layer(nn.Module):
    """One transformer layer, LayerNorm after each residual sum (section 3.1 of Vaswani 2017)."""

    shape: BertShape
    precision: str
    fused: bool

    @nn.compact
    def __call__(
        self, x: jax.Array, bias: jax.Array, seeds: jax.Array | None
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """One layer's output, twice (what flows on, what a scan stacks), and its scores.

        Args:
          x: [B, T, D].
          bias: [B, 1, 1, T], added to the scores.
          seeds: [3] of the dropouts on attention, its output and the feed-forward output; or None.

        Returns:
          x [B, T, D], (x [B, T, D], scores [B, H, T, T]).
        """
        s = self.shape
        seed = (None, None, None) if seeds is None else seeds
        B, T, D = x.shape
        per_head = D // s.heads

        def dense(features: int, name: str) -> Dense:
            return Dense(features, self.precision, s.initial_std, name=name)

        def heads(y: jax.Array) -> jax.Array:  # head-major is 1.4 times faster on a CPU at T 128
            return y.reshape(B, T, s.heads, per_head).swapaxes(1, 2)  # [B, H, T, D/H]

        query, key, value = (heads(dense(D, name)(x)) for name in ("query", "key", "value"))
        scores = contract("bhtd,bhsd->bhts", query, key, self.precision) / math.sqrt(per_head)
        if self.fused and (seed[0] is None or not s.attention_dropout):
            lengths = (bias[:, 0, 0] == 0).sum(-1, dtype=jnp.int32)  # [B]
            context = fused_context(query, key, value, lengths, self.precision)
        else:
            attention = dropout(nn.softmax(scores + bias), seed[0], s.attention_dropout)
            context = contract("bhts,bhsd->bhtd", attention, value, self.precision)
        context = context.swapaxes(1, 2).reshape(B, T, D)
        output = dropout(dense(D, "attention_out")(context), seed[1], s.dropout)
        x = Norm(s.norm_epsilon, name="attention_norm")(x + output)
        inner = ACTIVATIONS[s.activation](dense(s.inner, "ffn_in")(x))  # [B, T, F]
        output = dropout(dense(D, "ffn_out")(inner), seed[2], s.dropout)
        x = Norm(s.norm_epsilon, name="ffn_norm")(x + output)
        return x, (x, scores)


class MaskedLmHead(nn.Module):
    """Dense, activation, LayerNorm, and a decoder tied to the word embedding."""

    shape: BertShape
    precision: str

    @nn.compact
    def __call__(self, x: jax.Array, word_embedding: jax.Array) -> jax.Array:
        """x [B, T, D], word_embedding [V, D] -> logits [B, T, V] float32."""
        s = self.shape
        x = Dense(s.width, self.precision, s.initial_std, name="dense")(x)
        x = Norm(s.norm_epsilon, name="norm")(ACTIVATIONS[s.activation](x))
        bias = self.param("bias", nn.initializers.zeros, (s.vocab,))
        return contract("btd,vd->btv", x, word_embedding, self.precision) + bias[None, None]


class Bert(nn.Module):
    """A BERT encoder with a classifier, and a masked-LM head beside it.

    module.apply({"params": p}, batch, train=...) -> Outputs. Parameters: embeddings, layers (each
    leaf [L, ...]), pooler, classifier, and mlm where the head is used.
    """

    shape: BertShape
    precision: str = "float32"
    unroll: bool = True
    """Layers written out one by one instead of looped over: 1.4 to 1.6 times faster to train on a
    CPU, and longer to compile. The result is the same."""
    fused: bool = False
    """Attention in one kernel wherever it drops nothing out (models.attention), for GPUs. Scores
    are then computed beside it, if something reads them."""

    def setup(self) -> None:
        s = self.shape
        self.embeddings = Embeddings(s)
        stacked = nn.scan(
            Layer,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(nn.broadcast, 0),
            length=s.layers,
            unroll=s.layers if self.unroll else 1,
        )
        self.layers = stacked(s, self.precision, self.fused)
        self.pooler = Dense(s.width, "float32", s.initial_std)
        self.classifier = Dense(s.classes, "float32", s.initial_std)
        self.mlm = MaskedLmHead(s, self.precision)

    def __call__(self, batch: Batch, train: bool = False) -> Outputs:
        """Everything of a batch; with train=True the rng "dropout" must be given."""
        seeds = self.seeds(train)
        x, hiddens, scores = self.encode(batch, seeds)
        pooled, logits = self.heads(x, None if seeds is None else seeds[-1, 1])
        return Outputs(logits, pooled, hiddens, scores)

    def states(self, batch: Batch, train: bool = False) -> States:
        """As a call, of a model that has no classifier, or no use for one."""
        return States(*self.encode(batch, self.seeds(train))[1:])

    def seeds(self, train: bool) -> jax.Array | None:
        """[L+1, 3] uint32: a row per layer, and one for embeddings and head; None: no dropout."""
        if not train:
            return None
        return jax.random.bits(self.make_rng("dropout"), (self.shape.layers + 1, 3), jnp.uint32)

    def encode(
        self, batch: Batch, seeds: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """-> last hidden [B, T, D], hiddens [L+1, B, T, D], scores [L, B, H, T, T]."""
        first, others = (None, None) if seeds is None else (seeds[-1, 0], seeds[:-1])
        x0 = self.embed(batch, first)
        x, hiddens, scores = self.through(x0, batch.mask, others)
        return x, jnp.concatenate([x0[None], hiddens]), scores

    def embed(self, batch: Batch, seed: jax.Array | None) -> jax.Array:
        """The embedding output [B, T, D]; seed [] of its dropout, or None."""
        return self.embeddings(batch.input_ids, batch.segments, seed)

    def through(
        self, x: jax.Array, mask: Array, seeds: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The layers alone, from a hidden state x [B, T, D]; seeds [L, 3], or None.

        -> last hidden [B, T, D], hiddens [L, B, T, D], scores [L, B, H, T, T].
        """
        bias = jnp.where(mask, 0.0, _MASKED)[:, None, None, :]
        x, (hiddens, scores) = self.layers(x, bias, seeds)
        return x, hiddens, scores

    def heads(self, x: jax.Array, seed: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """Last hidden [B, T, D] and seed [] or None -> pooled [B, D], logits [B, C]."""
        pooled = nn.tanh(self.pooler(x[:, 0]))
        return pooled, self.classifier(dropout(pooled, seed, self.shape.head_dropout))

    def masked_lm(self, batch: Batch, train: bool = False, at: Array | None = None) -> jax.Array:
        """Logits over the vocabulary, [B, T, V] float32; [B, K, V] where at [B, K] has positions.

        Few tokens are masked, and the head over all of them can cost more than the encoder.
        """
        x, _, _ = self.encode(batch, self.seeds(train))
        if at is not None:
            x = jnp.take_along_axis(x, at[:, :, None], axis=1)  # [B, K, D]
        return self.mlm(x, self.embeddings.variables["params"]["word"]["embedding"])


def initial_params(model: Bert, key: jax.Array, *, mlm: bool = False) -> Params:
    """Parameters drawn as BERT's: normal with initial_std, biases 0, LayerNorm 1 and 0.

    Args:
      key: a jax.random.key.
      mlm: also draw the masked-LM head.
    """
    token = jnp.zeros((1, 1), jnp.int32)
    row = jnp.zeros((1,), jnp.int32)
    batch = Batch(row, token, token, token == 0, row, jnp.ones((1,)))

    def everything(module: Bert, batch: Batch) -> None:
        module(batch)
        if mlm:
            module.masked_lm(batch)

    return model.init(key, batch, method=everything)["params"]
