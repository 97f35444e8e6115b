"""The tasks: where each one's texts and labels lie, what its classes are called, what measures it.

A task is one row of TASKS. Label order is that of the original BERT code and of Hugging Face's GLUE
processors; `datasets` numbers MNLI differently, so labels are always matched by name. The rows of
"reviews" and "reviews_zh" are generated, so these two need neither files nor a network.

Source: Wang et al. 2019, "GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language
Understanding"; row counts of the files as distributed.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from jaxdistill.errors import UserError


class Layout(NamedTuple):
    """Where a tab-separated file keeps what; positions count from 0."""

    header: bool
    """Whether the first line names the columns."""
    texts: tuple[int, ...]
    """Positions of the one or two texts."""
    label: int | None
    """Position of the label; -1: the last column; None: the file has no labels."""


class Hub(NamedTuple):
    """Where the package `datasets` finds the task."""

    path: str
    config: str
    splits: Mapping[str, str]
    """Our split name -> theirs."""
    texts: tuple[str, ...]
    """Names of the one or two text columns."""
    label: str
    """Name of the label column."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One classification or regression task over one text or a pair."""

    name: str
    folder: str
    """The task's folder in GLUE's own layout."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Split -> file name in that folder; none if the task is generated."""
    labelled: Layout
    """Layout of train and dev."""
    unlabelled: Layout
    """Layout of the test files."""
    text_names: tuple[str, ...]
    """What the files' headers call the texts."""
    label_name: str
    """What the files' headers call the label."""
    labels: tuple[str, ...]
    """Class names in the order of the class numbers; empty for a regression."""
    written: tuple[str, ...]
    """How the files write each label, in the same order."""
    metrics: tuple[str, ...]
    """The metrics that the benchmark reports."""
    selection: str
    """The metric by which the best checkpoint is chosen."""
    rows: Mapping[str, int]
    """Expected examples per split."""
    hub: Hub | None = None
    """None if the task is generated."""
    generated: str = ""
    """Language of the synthetic reviews that are the task's rows (data/reviews.py), or nothing."""

    @property
    def regression(self) -> bool:
        """Whether the label is a number and not a class."""
        return not self.labels

    @property
    def outputs(self) -> int:
        """Width of a model's output: the number of classes, 1 for a regression."""
        return max(1, len(self.labels))

    def layout(self, split: str) -> Layout:
        """The layout of the split's file."""
        return self.unlabelled if split.startswith("test") else self.labelled


_FILES = {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}
_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
_PAIR = ("sentence1", "sentence2")
_NLI = ("contradiction", "entailment", "neutral")
_ENTAILED = ("entailment", "not_entailment")


def _glue(config: str, texts: tuple[str, ...], splits: Mapping[str, str] = _SPLITS) -> Hub:
    return Hub("nyu-mll/glue", config, splits, texts, "label")


def _reviews(name: str, language: str) -> Task:
    return Task(
        name=name,
        folder=name,
        labelled=Layout(True, (0,), 1),
        unlabelled=Layout(True, (0,), None),
        text_names=("text",),
        label_name="label",
        labels=("negative", "positive"),
        written=("0", "1"),
        metrics=("accuracy",),
        selection="accuracy",
        rows={"train": 12000, "dev": 2000},
        generated=language,
    )


_ROWS = (
    Task(
        name="cola",
        folder="CoLA",
        files=_FILES,
        labelled=Layout(False, (3,), 1),
        unlabelled=Layout(True, (1,), None),
        text_names=("sentence",),
        label_name="label",
        labels=("unacceptable", "acceptable"),
        written=("0", "1"),
        metrics=("matthews",),
        selection="matthews",
        rows={"train": 8551, "dev": 1043, "test": 1063},
        hub=_glue("cola", ("sentence",)),
    ),
    Task(
        name="sst2",
        folder="SST-2",
        files=_FILES,
        labelled=Layout(True, (0,), 1),
        unlabelled=Layout(True, (1,), None),
        text_names=("sentence",),
        label_name="label",
        labels=("negative", "positive"),
        written=("0", "1"),
        metrics=("accuracy",),
        selection="accuracy",
        rows={"train": 67349, "dev": 872, "test": 1821},
        hub=_glue("sst2", ("sentence",)),
    ),
    Task(
        name="mrpc",
        folder="MRPC",
        files=_FILES,
        labelled=Layout(True, (3, 4), 0),
        unlabelled=Layout(True, (3, 4), None),
        text_names=("#1 String", "#2 String"),
        label_name="Quality",
        labels=("not_equivalent", "equivalent"),
        written=("0", "1"),
        metrics=("f1", "accuracy"),
        selection="mean_accuracy_f1",
        rows={"train": 3668, "dev": 408, "test": 1725},
        hub=_glue("mrpc", _PAIR),
    ),
    Task(
        name="qqp",
        folder="QQP",
        files=_FILES,
        labelled=Layout(True, (3, 4), 5),
        unlabelled=Layout(True, (1, 2), None),
        text_names=("question1", "question2"),
        label_name="is_duplicate",
        labels=("not_duplicate", "duplicate"),
        written=("0", "1"),
        metrics=("f1", "accuracy"),
        selection="mean_accuracy_f1",
        rows={"train": 363846, "dev": 40430, "test": 390965},
        hub=_glue("qqp", ("question1", "question2")),
    ),
    Task(
        name="stsb",
        folder="STS-B",
        files=_FILES,
        labelled=Layout(True, (7, 8), -1),
        unlabelled=Layout(True, (7, 8), None),
        text_names=_PAIR,
        label_name="score",
        labels=(),
        written=(),
        metrics=("pearson", "spearman"),
        selection="mean_pearson_spearman",
        rows={"train": 5749, "dev": 1500, "test": 1379},
        hub=_glue("stsb", _PAIR),
    ),
    Task(
        name="mnli",
        folder="MNLI",
        files={
            "train": "train.tsv",
            "dev": "dev_matched.tsv",
            "dev_mismatched": "dev_mismatched.tsv",
            "test": "test_matched.tsv",
            "test_mismatched": "test_mismatched.tsv",
        },
        # The dev files put label1..label5 before gold_label, which is the last column everywhere.
        labelled=Layout(True, (8, 9), -1),
        unlabelled=Layout(True, (8, 9), None),
        text_names=_PAIR,
        label_name="gold_label",
        labels=_NLI,
        written=_NLI,
        metrics=("accuracy",),
        selection="accuracy",
        rows={
            "train": 392702,
            "dev": 9815,
            "dev_mismatched": 9832,
            "test": 9796,
            "test_mismatched": 9847,
        },
        hub=_glue(
            "mnli",
            ("premise", "hypothesis"),
            {
                "train": "train",
                "dev": "validation_matched",
                "dev_mismatched": "validation_mismatched",
                "test": "test_matched",
                "test_mismatched": "test_mismatched",
            },
        ),
    ),
    Task(
        name="qnli",
        folder="QNLI",
        files=_FILES,
        labelled=Layout(True, (1, 2), -1),
        unlabelled=Layout(True, (1, 2), None),
        text_names=("question", "sentence"),
        label_name="label",
        labels=_ENTAILED,
        written=_ENTAILED,
        metrics=("accuracy",),
        selection="accuracy",
        rows={"train": 104743, "dev": 5463, "test": 5463},
        hub=_glue("qnli", ("question", "sentence")),
    ),
    Task(
        name="rte",
        folder="RTE",
        files=_FILES,
        labelled=Layout(True, (1, 2), -1),
        unlabelled=Layout(True, (1, 2), None),
        text_names=_PAIR,
        label_name="label",
        labels=_ENTAILED,
        written=_ENTAILED,
        metrics=("accuracy",),
        selection="accuracy",
        rows={"train": 2490, "dev": 277, "test": 3000},
        hub=_glue("rte", _PAIR),
    ),
    Task(
        name="wnli",
        folder="WNLI",
        files=_FILES,
        labelled=Layout(True, (1, 2), -1),
        unlabelled=Layout(True, (1, 2), None),
        text_names=_PAIR,
        label_name="label",
        labels=("not_entailment", "entailment"),
        written=("0", "1"),
        metrics=("accuracy",),
        selection="accuracy",
        rows={"train": 635, "dev": 71, "test": 146},
        hub=_glue("wnli", _PAIR),
    ),
    Task(
        name="ax",
        folder="AX",
        files={"test": "diagnostic.tsv"},
        labelled=Layout(True, (1, 2), None),
        unlabelled=Layout(True, (1, 2), None),
        text_names=_PAIR,
        label_name="label",
        labels=_NLI,
        written=_NLI,
        metrics=("matthews",),
        selection="matthews",
        rows={"test": 1104},
        hub=_glue("ax", ("premise", "hypothesis"), {"test": "test"}),
    ),
    _reviews("reviews", "en"),
    _reviews("reviews_zh", "zh"),
)


TASKS: Mapping[str, Task] = {task.name: task for task in _ROWS}
"""Every task by its name."""


def find_task(name: str) -> Task:
    """The task of that name. Raises UserError with the nearest name if there is none."""
    if name in TASKS:
        return TASKS[name]
    # "SST-2", "RTE" and the like: the folder's name is what many people know the task by.
    known = {spelling: task.name for task in _ROWS for spelling in (task.name, task.folder.lower())}
    near = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f" Did you mean {known[near[0]]!r}?" if near else ""
    raise UserError(f"There is no task {name!r}.{hint} The tasks are {', '.join(TASKS)}.")
