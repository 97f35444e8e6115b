"""The section config.augment: what is made of the train rows, and whether the rest agrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from jaxdistill.data.task import Task
from jaxdistill.data.tasks import OWN
from jaxdistill.errors import UserError

if TYPE_CHECKING:
    from jaxdistill.sections import Config

NAMES = ("none", "tang", "tinybert", "text")
SPLITS = ("words", "jieba", "characters")
TAGGERS = ("english", "contexts", "jieba")
LABELS = ("source", "none")
FROM_LABELS = ("finetune", "theseus")
"""Methods whose every loss reads labels: rows without one would teach them nothing."""
FROM_TEXT = ("pretrain", "score")
"""Methods that have no use for more rows to be labelled."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Rows added to the train rows, for the teacher to label. Dev is never touched."""

    name: str
    """tang (words masked, or replaced by others of their class, and n-grams); tinybert (words
    replaced by what a masked-LM or word vectors propose); text (nothing is made, `text` is added);
    none (then the other keys are not read)."""
    copies: int
    """Attempts for each train row; of a pair tang makes three times as many, tinybert twice. What
    repeats a text is left out."""
    stages: tuple[str, ...]
    """The stages that train on the added rows too; () for all."""
    labels: str
    """Of what is made: that of its "source", which hard losses read; or "none", and they leave the
    row out. Texts of `text` have none."""
    confidence: float
    """Added rows of which the teacher's largest probability is lower are left out; 0: none."""
    text: str | None
    """A file of texts without labels to add as they are: .txt with one a line (of a pair both, with
    a tab between), .csv, .tsv, .jsonl or .parquet."""
    seed: int
    """Draws what is made; the same for every config.seed, so that runs differ by training and share
    the teacher's answers."""
    words: str
    """How texts are cut into words: "words" between spaces and marks, "jieba" (Chinese), or
    "characters"."""
    workers: int
    """Processes that make rows; they change nothing of what comes out."""
    p_mask: float
    """tang: the probability that a word is masked."""
    p_pos: float
    """tang: the probability that a word of its class takes a word's place; words without a class,
    such as rare ones with "contexts", stay."""
    p_ng: float
    """tang: the probability that an n-gram takes the text's place."""
    ngram: tuple[int, ...]
    """tang: the least and the greatest n."""
    tagger: str
    """tang: whose classes: "english", the parts of speech of English words by lists, endings and
    neighbours (data/augment/english.py); "contexts", of any language, words that stand between the
    same words in the train texts (data/augment/classes.py); "jieba", its dictionary's parts of
    speech."""
    p_t: float
    """tinybert: the probability that a candidate takes the place of a word that has some."""
    candidates: int
    """tinybert: K, the most candidates of a word."""
    model: str | None
    """tinybert: a BERT with a masked-LM head (hub name, folder, run of pretrain) for words that are
    one word piece to it. Empty: word vectors for all."""
    original_visible: bool
    """tinybert: whether the masked-LM sees the whole text as a second segment, as in the original
    code, or only the text in which the word is masked, as in the paper."""
    vectors: str | None
    """tinybert: a file of word vectors for all other words, or "teacher", the mean of a word's
    pieces in the teacher's embedding. Empty: they stay."""
    vector_rows: int
    """tinybert: rows of that file that are read, the first ones; 0: all."""


def asks_jieba(about: AugmentConfig) -> bool:
    """Whether what is made depends on the package jieba."""
    tags = about.name == "tang" and about.p_pos > 0 and about.tagger == "jieba"
    return about.name != "text" and (about.words == "jieba" or tags)


READ_BY = {
    "tang": ("p_mask", "p_pos", "p_ng", "ngram", "tagger"),
    "tinybert": ("p_t", "candidates", "model", "original_visible", "vectors", "vector_rows"),
}
"""Keys of the section that no other name reads."""


def unread(plain: Mapping[str, Any]) -> set[str]:
    """The keys of a section config.augment, as JSON has it, that change nothing of what it adds."""
    spare = {key for name, keys in READ_BY.items() if name != plain["name"] for key in keys}
    return spare | ({"tagger"} if not plain["p_pos"] else set())


COPIES = {"cola": 30, "mnli": 10, "mrpc": 30, "qqp": 10, "rte": 30, "stsb": 30}
"""By task, where it is not 20. Source: TinyBERT's data_augmentation.py; Tang et al. have 20 for
SST-2 and 10 for MNLI and QQP."""


def augment(task: str, checkpoint: str, *, chinese: bool) -> ConfigDict:
    """config.augment of a recipe: the papers' values, and nothing made until a name is given.

    Args:
      task: a name of data.tasks; the language of "own" is not known.
      checkpoint: a BERT with a masked-LM head.
      chinese: words by jieba, its parts of speech, and the n of seed 000.
    """
    section = ConfigDict(
        {
            "name": "none",
            "copies": COPIES[task] if task in COPIES else 20,
            "stages": (),  # all
            "labels": "source",
            "confidence": 0.0,  # all rows stay
            "text": placeholder(str),
            "seed": 0,
            "words": "jieba" if chinese else "words",
            "workers": 1,
            "p_mask": 0.1,
            "p_pos": 0.1,
            "p_ng": 0.25,
            "ngram": (2, 10) if chinese else (1, 5),
            "tagger": "jieba" if chinese else "contexts" if task == OWN.name else "english",
            "p_t": 0.4,
            "candidates": 15,
            "model": checkpoint,
            "original_visible": True,
            "vectors": placeholder(str),
            "vector_rows": 100_000,
        }
    )
    if chinese:  # its words are several pieces to a BERT, whose head can only propose one
        section.vectors = "teacher"
    return section


def check_augment(config: Config) -> None:
    """Raises UserError where config.augment contradicts itself or the rest of the config."""
    about = config.augment
    if about is None:
        return
    method = config.method["name"]
    teacher = config.teacher
    spare = [name for name in about.stages if name not in config.stages]
    unlabelled = about.labels == "none" or bool(about.text)
    tinybert = about.name == "tinybert"
    faults = {
        f"name is {about.name!r}, not one of {', '.join(NAMES)}": about.name not in NAMES,
        f"words is {about.words!r}, not one of {', '.join(SPLITS)}": about.words not in SPLITS,
        f"tagger is {about.tagger!r}, not one of {', '.join(TAGGERS)}": about.tagger not in TAGGERS,
        f"labels is {about.labels!r}, not one of {', '.join(LABELS)}": about.labels not in LABELS,
        f"copies is {about.copies}, candidates {about.candidates}, workers {about.workers}: each "
        f"must be at least 1": min(about.copies, about.candidates, about.workers) < 1,
        f"seed is {about.seed} and vector_rows {about.vector_rows}: neither is below 0": (
            min(about.seed, about.vector_rows) < 0
        ),
        f"p_mask is {about.p_mask:g}, p_pos {about.p_pos:g}, p_ng {about.p_ng:g} and p_t "
        f"{about.p_t:g}: probabilities, of which the first two sum to 1 at most": (
            not all(0 <= p <= 1 for p in (about.p_mask, about.p_pos, about.p_ng, about.p_t))
            or about.p_mask + about.p_pos > 1
        ),
        f"ngram is {about.ngram}, and must be the least and the greatest n, from 1": (
            len(about.ngram) != 2 or not 1 <= about.ngram[0] <= about.ngram[-1]
        ),
        f"confidence is {about.confidence:g}, and must be from 0 to below 1": (
            not 0 <= about.confidence < 1
        ),
        "confidence is the teacher's, and there is none to ask: set it to 0": (
            about.confidence > 0 and (teacher is None or not teacher.run)
        ),
        f"stages names {', '.join(spare)}, and config.stages has {', '.join(config.stages)}": (
            bool(spare)
        ),
        "name is text, and there is none in text": about.name == "text" and not about.text,
        "name is tinybert, which needs a masked-LM in model, or vectors": (
            tinybert and not about.model and not about.vectors
        ),
        'vectors is "teacher", and there is none to ask': (
            tinybert and about.vectors == "teacher" and (teacher is None or not teacher.run)
        ),
        f"the method {method} has no use for rows that a teacher would label": method in FROM_TEXT,
        f"the method {method} learns from labels alone, and added rows would have none: leave text "
        f"empty, and labels=source": method in FROM_LABELS and unlabelled,
        "config.teacher.logits holds the teacher's logits of the train rows alone: leave it empty, "
        "or augment nothing": teacher is not None and bool(teacher.logits),
    }
    if found := [text for text, holds in faults.items() if holds]:
        raise UserError(f"config.augment does not work: {'; '.join(found)}.")


def check_confidence(about: AugmentConfig, task: Task) -> None:
    """Raises UserError where a regression's teacher is asked how sure it is."""
    if about.confidence and task.regression:
        raise UserError(
            f"config.augment.confidence asks for the teacher's probabilities, and {task.name} is a "
            f"regression, which has none. Set it to 0."
        )
