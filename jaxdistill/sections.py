"""The sections of a config: frozen dataclasses, whose keyword arguments a section's keys are."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxdistill.augmentation import AugmentConfig
from jaxdistill.bilstm_section import BiLstmConfig
from jaxdistill.errors import UserError
from jaxdistill.types import StagePlan

NOT_THE_RUN = ("workdir", "checkpoint_minutes", "augment.workers", "teacher.cache_gigabytes")
"""Keys that may change between a run and its resumption."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The section config.data."""

    folder: str
    """A folder in GLUE's own layout (SST-2/train.tsv ...); empty for the hub."""
    train_rows: int
    """Size of a fixed random subset of the train set; 0 for all of it."""
    max_length: int
    """Longest input in tokens, special tokens included; longer ones are cut."""
    buckets: tuple[int, ...]
    """Lengths that batches are padded to, rising; the last one is max_length or more."""
    corpus: str | None = None
    """Of pretrain and general alone: a .txt file, or a folder of such, one text a line. Of
    pretrain, empty for the texts of the task, with dev held out. Of general, which reads it as a
    stream, also a data set of the hub, owner/name:configuration."""
    held_out: float | None = None
    """Of pretrain and general alone: the share of a corpus' different texts that is held out."""
    dev_rows: int | None = None
    """Of general alone, as the next two: sequences of held-out text that it is judged on, at
    most."""
    steps: int | None = None
    """Batches of the stream that are called an epoch. The next epoch goes on where one ends; when
    the corpus is through it begins anew, in another order."""
    lanes: int | None = None
    """Parts of the corpus that are read side by side. A batch has equally many sequences of each,
    and a process reads whole ones: a divisor of the batch size, a multiple of the processes."""
    train: str | None = None
    """Of the task "own" alone, as all that follows: a labelled file with a header, .csv, .tsv (or
    .txt, split on tabs), .jsonl or .parquet."""
    dev: str | None = None
    """A file like it to choose the best by. Empty: a tenth of train is split off."""
    test: str | None = None
    """A file like it for `evaluate --split test`; training does not read it."""
    text: str | None = None
    """The column of the texts."""
    text_pair: str | None = None
    """The column of the second texts, where two are judged together."""
    label: str | None = None
    """The column of the label. Several stand with "|" between them, or as a JSON list."""
    labels: str | None = None
    """What they are: "classes", a "number" to predict, or "many" (any of some names). Empty: found
    out, and said."""
    selection: str | None = None
    """The metric of dev that chooses the best parameters, such as macro_f1 (f1 of two classes is
    that of the second). Empty: accuracy, of numbers mean_pearson_spearman, of any number of labels
    micro_f1."""
    unlabelled: str | None = None
    """Of recipes with a teacher: texts without labels that it labels. The same as config.augment's
    `text`."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The section config.model of a recipe that trains a teacher, config.student of the others."""

    source: str
    """Where training starts: a hub name, a local Hugging Face folder, a finished run (RUN or
    RUN:stage), "teacher" for some of the teacher's layers, "pretrained" for some of the layers of
    the checkpoint that the teacher's own training started from, "random" for a new model."""
    dropout: float | None
    """Replaces the source's dropout rates, all of them; empty to keep them."""
    layers: int | None
    """Of a model from "teacher", "pretrained" or "random"; other sources bring their own."""
    pick: str | None
    """Of "teacher" and "pretrained", which layers: first, skip (every N/M-th), last, or numbers
    from 1: "2,4,6"."""
    width: int | None
    """Of a "random" model."""
    heads: int | None
    """Of a "random" model; with a teacher whose scores are matched, as many as it has."""
    inner: int | None
    """Of a "random" model: width of the feed-forward layer."""
    vocab: int | None
    """Of a "random" model without teacher: word pieces, built from the train texts."""
    lower: bool | None = None
    """Whether these are without capitals and accents, as BERT's uncased ones; empty: they are."""


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The section config.teacher of general distillation, whose teacher has no task."""

    source: str
    """A pre-trained BERT: a hub name, a local Hugging Face folder, a finished run of pretrain."""


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """The section config.teacher."""

    run: str
    """A run folder, trained first from the recipe if it holds no finished run; or a classifier of
    somebody's, a folder with its head or a hub name, used as it is. Empty where `logits` is all
    that there is of the teacher."""
    source: str | None
    """Where the teacher's own training starts, instead of what its recipe says."""
    margin: float
    """By how much its accuracy on dev must exceed the majority class's share, or by half of what
    that leaves, if it is less (of a regression: its Pearson correlation must exceed 0)."""
    recipe: dict[str, Any] | None
    """The whole config of the teacher's run."""
    cache: bool
    """Ask the teacher once per train row and keep its answers for this and other runs; else it runs
    in every step. Only for stages that read its logits and its [CLS] alone."""
    cache_gigabytes: float
    """What all such caches on this machine may take together (10^9 bytes each). Where a stage's
    would go beyond it, the teacher runs in the step instead, with a notice."""
    logits: str | None
    """A file of somebody's logits for the train rows: .csv, .tsv or .jsonl with the columns `row`
    and one per label name (`score` of a regression), or .npz with `row` and `logits`. Stages that
    read logits alone learn from these."""
    others: tuple[str, ...]
    """Finished runs of further teachers, combined with `run` into one when the cache is built."""
    weights: tuple[float, ...]
    """One above 0 for each teacher, `run` first, divided by their sum; () for equal ones."""
    combine: str
    """What is averaged over several teachers: "logits", or "probabilities", of which the logarithm
    is kept."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """A config whose sections fit their constructors; .method holds keyword arguments."""

    version: int
    name: str
    workdir: str
    seed: int
    task: str
    method: dict[str, Any]
    data: DataConfig
    stages: dict[str, StagePlan]
    checkpoint_minutes: float
    """Minutes between checkpoints for resuming."""
    log_steps: int
    """Steps that one line of metrics.jsonl is the mean of."""
    ledger_steps: int
    """Steps between entries of the loss ledger in metrics.jsonl: each term's value, the norm of its
    gradient, and its share of their sum. Each costs a backward pass per term; 0: none."""
    model: ModelConfig | BiLstmConfig | None = None
    """What a recipe without teacher trains."""
    student: ModelConfig | BiLstmConfig | None = None
    """What a recipe with a teacher trains."""
    teacher: TeacherConfig | None = None
    encoder: EncoderConfig | None = None
    """What config.teacher is of general distillation."""
    augment: AugmentConfig | None = None
    """What is added to the train rows; none: nothing."""
    baseline: bool = False
    """Also train the same student on the labels alone, by alone's plan."""
    alone: StagePlan | None = None

    @property
    def start(self) -> ModelConfig | BiLstmConfig:
        """The section that says where the trained model starts."""
        found = self.student if self.taught else self.model
        assert found is not None, "checked() saw to it"
        return found

    @property
    def bert(self) -> ModelConfig:
        """That section, where it is a BERT's."""
        found = self.start
        assert isinstance(found, ModelConfig), "a BiLSTM starts in start_bilstm"
        return found

    @property
    def start_key(self) -> str:
        """That section's name, for messages."""
        return "config.student" if self.taught else "config.model"

    @property
    def taught(self) -> bool:
        """Whether there is a teacher of either kind."""
        return self.teacher is not None or self.encoder is not None

    def hash(self) -> str:
        """sha256 of all that makes the run what it is."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()

    def identity(self) -> dict[str, Any]:
        """The config as plain data without the keys that may change on resuming."""
        plain = self.plain()
        for name in NOT_THE_RUN:
            *sections, key = name.split(".")
            place = plain
            for each in sections:
                place = place[each] or {}
            place.pop(key, None)
        return plain

    def plain(self) -> dict[str, Any]:
        """The config as plain data, for RUN/config.json."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def section(constructor: type[Any], values: Mapping[str, Any], where: str) -> Any:
    """constructor(**values), with every missing, spare or mistyped key in one UserError."""
    hints = typing.get_type_hints(constructor)
    fields = {f.name: hints[f.name] for f in dataclasses.fields(constructor)}
    needed = [f.name for f in dataclasses.fields(constructor) if f.default is dataclasses.MISSING]
    faults = [f"{where}.{name} is missing" for name in needed if name not in values]
    for name, value in values.items():
        if name not in fields:
            near = difflib.get_close_matches(name, list(fields), 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            faults.append(f"{where}.{name} is not a key of it{hint}")
        elif not _fits(value, fields[name]):
            wanted = getattr(fields[name], "__name__", str(fields[name]))
            faults.append(f"{where}.{name} is {value!r}, which is no {wanted}")
    if faults:
        raise UserError(f"The config does not fit: {'; '.join(faults)}.")
    return constructor(**{k: float(v) if fields[k] is float else v for k, v in values.items()})


def _fits(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin is tuple:
        kinds = typing.get_args(hint)
        long = kinds[-1] is not Ellipsis  # of a length of its own: tuple[float, float]
        return (
            isinstance(value, tuple)
            and (not long or len(value) == len(kinds))
            and all(_fits(item, kinds[0]) for item in value)
        )
    if origin is dict:
        return isinstance(value, dict)
    if origin is not None:  # a union
        return any(_fits(value, option) for option in typing.get_args(hint))
    return isinstance(value, hint)
