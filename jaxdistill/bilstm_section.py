"""The section config.student, or config.model, of a recipe that trains a BiLSTM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxdistill.errors import UserError

if TYPE_CHECKING:
    from jaxdistill.sections import Config

VIEWS = ("wordpieces", "words", "spaces", "jieba", "characters")
TEXTS = "texts"
"""As config's `vocabulary`: what the texts to train on have."""
METHODS = ("finetune", "kd")
"""The others match layers or attention, which a BiLSTM has not."""
CHOICES = {
    "view": VIEWS,
    "pooling": ("final", "max"),
    "pairs": ("product", "sum"),
    "activation": ("relu", "tanh"),
    "channels": (1, 2),
    "directions": (1, 2),
}
DROPOUTS = ("embedding_dropout", "encoder_dropout", "head_dropout")


@dataclass(frozen=True, kw_only=True)
class BiLstmConfig:
    """A BiLSTM, the words that it reads, and where their vectors come from."""

    view: str
    """What a word is: one of the teacher's "wordpieces"; "words" between spaces and marks (each
    Chinese character is one); what stands between "spaces"; "jieba", Chinese words; "characters".
    See data/splitters.py."""
    lower: bool
    """Whether texts are lower-cased first. Word pieces are as their tokenizer has them."""
    vocabulary: str
    """"texts": the words of the texts to train on; a file with one word a line: those of its words
    that these have; empty: all that the tokenizer knows where words are its pieces (what dev and
    later texts have is no unknown word then, and the table is larger), else those of the texts."""
    vocabulary_size: int
    """The most words, by their frequency in the texts to train on; 0: no limit. With one, word
    pieces are those of the texts too."""
    min_count: int
    """How often a word must occur in the texts to train on. Above 1, word pieces are those of the
    texts too."""
    max_words: int
    """Words of a text that are read; the rest of it is cut."""
    vectors: str
    """Where word vectors start: "random"; a file (.txt, .vec, .bin, .npz: data/vectorfiles.py); or
    made of a BERT's own word table: "teacher", "pretrained" (the checkpoint that the teacher's
    training started from), a hub name, a Hugging Face folder or a run. Without a teacher this is
    also where word pieces come from."""
    width: int
    """Of a word's vector."""
    channels: int
    """1: vectors train; 2: and a copy of where they start stays beside them."""
    hidden: int
    """Width of a state of one direction."""
    directions: int
    """2, or 1 for an LSTM that only reads forwards."""
    pooling: str
    """"final" states, or the "max" over all words' states."""
    pairs: str
    """Of a task over pairs, what joins encodings: "product", [a; b; a * b; |a - b|], or "sum"."""
    dense: int
    """Width of the layer under the classifier; 0: none."""
    activation: str
    """Of that layer: relu or tanh."""
    embedding_dropout: float
    """Of word vectors' elements."""
    encoder_dropout: float
    """Of the elements of what the LSTM says of an example."""
    head_dropout: float
    """Of the elements of the layer under the classifier."""


def check_bilstm(config: Config) -> None:
    """Raises UserError where a BiLSTM's section contradicts itself or the rest of the config."""
    about, where = config.start, config.start_key
    if not isinstance(about, BiLstmConfig):
        return
    widest = config.data.buckets[-1]
    sizes = ("width", "hidden", "max_words", "min_count")
    faults = {
        **{
            f"{name} is {getattr(about, name)!r}, not one of {', '.join(map(str, known))}": (
                getattr(about, name) not in known
            )
            for name, known in CHOICES.items()
        },
        **{
            f"{name} is {getattr(about, name):g}, and must be from 0 to below 1": (
                not 0 <= getattr(about, name) < 1
            )
            for name in DROPOUTS
        },
        **{
            f"{name} is {getattr(about, name)}, and must be at least 1": getattr(about, name) < 1
            for name in sizes
        },
        f"dense is {about.dense} and vocabulary_size {about.vocabulary_size}: neither is below 0": (
            min(about.dense, about.vocabulary_size) < 0
        ),
        f"max_words is {about.max_words}, and the last of config.data.buckets holds {widest}": (
            about.max_words > widest
        ),
        f"vectors is {about.vectors}, and this recipe has no teacher's run to ask": (
            about.vectors in ("teacher", "pretrained")
            and (config.teacher is None or not config.teacher.run)
        ),
        "vectors is empty: name where word vectors start, such as random": not about.vectors,
        f"the method is {config.method['name']}, and a BiLSTM has neither layers nor attention "
        f"scores that it could match: its methods are {' and '.join(METHODS)}": (
            config.method["name"] not in METHODS
        ),
    }
    if found := [text for text, holds in faults.items() if holds]:
        raise UserError(f"{where} does not describe a BiLSTM: {'; '.join(found)}.")
