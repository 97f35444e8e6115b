"""The values that flow through a run. Imports neither jax nor any room of the house.

B examples, T tokens, D width, H heads, L layers, C classes, W words, S texts (1 or 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import jax
    import numpy as np

    Array = jax.Array | np.ndarray

Params = Mapping[str, Any]
"""A nested dict of arrays, what a Linen module keeps under "params"."""


class Taught(NamedTuple):
    """What a teacher says of examples, computed in the step or read from a cache of it."""

    logits: Array
    """[B, C] float32."""
    cls: Array | None = None
    """[B, len(Stage.layers), D'] float32, hidden states of the first token after those layers."""


class Batch(NamedTuple):
    """Examples on their way through a step; NumPy on the host, sharded over B on the devices.

    One structure per stage. Rows that only fill a batch up repeat a real row with weight 0.
    """

    row: Array
    """[B] int32, the example's stable number within its split."""
    input_ids: Array
    """[B, T] int32."""
    segments: Array
    """[B, T] int32, 0 for the first text and its special tokens, 1 for the second."""
    mask: Array
    """[B, T] bool, True on tokens, False on padding."""
    labels: Array
    """[B] int32 class numbers, [B] float32 targets of a regression, or [B, C] int32, 1 for each
    label that a row has and 0 for the others."""
    weight: Array
    """[B] float32, 1 on examples and 0 on rows that only fill up."""
    words: Array | None = None
    """[B, S, W] int32, the word view that a BiLSTM reads."""
    teacher: Taught | None = None
    """What a cache holds of the teacher for these rows; None where the step asks the teacher."""


class Batches(Protocol):
    """One epoch's batches, by number from 0."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Batch: ...

    def width(self, index: int, /) -> int:
        """T of that batch, where there are words W; known without building it."""
        ...


class Source(Protocol):
    """Where batches come from that cannot be had by number: a stream, numbered over the stage."""

    def position(self, index: int, /) -> Any:
        """Where batch number `index` begins, the next one or one just given, as JSON can hold it.

        Every process asks at the same time, and each gets the whole answer.
        """
        ...

    def seek(self, index: int, position: Any, /) -> None:
        """Batch number `index` is the next one, and begins where position(index) said."""
        ...


class Vocabulary(NamedTuple):
    """What masking words needs to know of a tokenizer; NumPy arrays."""

    mask: int
    """The id of [MASK]."""
    ordinary: Array
    """[N] int32, the ids of pieces that stand for text: neither special nor unused ones."""
    special: Array
    """[V] bool by id, True on those that are not ordinary."""
    continues: Array
    """[V] bool by id, True on pieces that go on with the word before them ("##ing")."""


class Outputs(NamedTuple):
    """Everything a model computes on the way; what a loss does not read costs nothing under jit."""

    logits: Array
    """[B, C] float32."""
    pooled: Array
    """[B, D] float32."""
    hiddens: Array
    """[L+1, B, T, D] float32; hiddens[0] is the embedding output, after its LayerNorm."""
    scores: Array
    """[L, B, H, T, T] float32, scaled query-key products before mask and softmax."""


class States(NamedTuple):
    """Outputs of a model without its heads."""

    hiddens: Array
    """As Outputs.hiddens."""
    scores: Array
    """As Outputs.scores."""


class Progress(NamedTuple):
    """Where a stage stands; losses with schedules read it."""

    step: Array
    """[] int32, optimizer steps done."""
    fraction: Array
    """[] float32 in [0, 1), steps done over steps planned."""
    key: Any = None
    """A jax.random.key of the step, the same in all its microbatches: for what is drawn once for a
    whole batch, or for each row by its number. What else is drawn comes from the loss's rng."""
    scale: Array | None = None
    """[] float32, what float16 training multiplies the loss by; None without it."""


Metrics = Mapping[str, Any]
"""Scalars by name."""

LossFn = Callable[[Params, Params, Batch, Any, Progress], tuple[Any, Metrics]]
"""(trained, frozen, batch, rng, progress) -> (loss [], metrics). The mean over weight > 0 rows."""

GradFn = Callable[[Params, Params, Batch, Any, Progress], tuple[tuple[Any, Metrics], Params]]
"""Same arguments -> ((loss, metrics), gradients of trained). Strategies map GradFn to GradFn."""


class Stage(NamedTuple):
    """Trains one model by one loss from what earlier stages left behind."""

    name: str
    loss: LossFn
    trains: Callable[[str], bool]
    """Which leaves move, asked by path ("student/layers/query/kernel"). The others are frozen."""
    keep: Literal["best", "last"]
    """Which parameters the stage ends with: the best on dev, or the last."""
    needs: tuple[Literal["logits", "cls", "hiddens", "scores"], ...] = ()
    """What the loss reads of the teacher. Where that is logits and cls alone, a cache can serve."""
    layers: tuple[int, ...] = ()
    """The teacher's layers, from 1, whose cls it reads."""
    judge: LossFn | None = None
    """What chooses the best: a loss without dropout, its mean over the held-out rows, of which less
    is better. None: the task's selection metric on dev, of which more is."""
    couples: bool = False
    """Whether a row's loss depends on the batch's other rows (distances between examples, say), so
    that microbatches would make another loss of it: such a stage is never accumulated."""


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """How one stage is trained: the section config.stages.<stage>."""

    epochs: int
    batch_size: int
    """Examples per optimizer step, over all devices together."""
    optimizer: str
    """adamw, adam, adadelta or bertadam."""
    learning_rate: float
    """The peak, reached after the warm-up."""
    betas: tuple[float, float]
    """Decay rates of the two moments; adadelta reads its rho from the second."""
    epsilon: float
    schedule: str
    """linear, polynomial or constant, after the warm-up."""
    power: float
    """The exponent of the polynomial schedule."""
    warmup: float
    """Fraction of the stage's steps over which the learning rate rises linearly from 0."""
    weight_decay: float
    """On everything but biases and LayerNorm; decoupled, and with adam and adadelta a part of the
    gradient."""
    clip: float
    """Largest global norm of the gradient of what trains (bertadam: of each tensor); 0: none."""
    precision: str
    """float32, or bfloat16 or float16 operands with float32 sums; parameters and losses stay
    float32. float16 scales the loss dynamically."""
    accumulate: int
    """Microbatches that a batch is computed in, one after another; 1: all at once."""
    adversary: str
    """none; fgm, which moves the student's word embeddings against the loss by attack_radius once;
    or pgd, which does so attack_steps times by attack_step, and never further than the radius."""
    attack_scope: str
    """table: the whole word embedding moves (where it does not train, tokens); tokens: each
    example's embeddings."""
    attack_radius: float
    """epsilon, a Euclidean norm."""
    attack_step: float
    """alpha, of pgd."""
    attack_steps: int
    """K, of pgd."""
    eval_steps: int
    """Steps between evaluations on dev; 0, or more than an epoch has: after every epoch."""


class Method(Protocol):
    """A distillation method: a frozen dataclass whose fields are the section config.method."""

    def extras(self, rng: Any, student: Any, teacher: Any) -> Params:
        """Parameters that train along and are never exported (TinyBERT's projection)."""
        ...

    def stages(self, student: Any, teacher: Any) -> tuple[Stage, ...]:
        """The stages in order; student and teacher are models (teacher None without one)."""
        ...
