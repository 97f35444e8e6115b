"""What a task is: where its texts and labels lie, what its classes are called, what measures it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


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
    """Empty where the data set has one configuration alone."""
    splits: Mapping[str, str]
    """Our split name -> theirs."""
    texts: tuple[str, ...]
    """Names of the one or two text columns."""
    label: str
    """Name of the label column."""
    order: tuple[str, ...] = ()
    """The task's labels in the order of its class numbers; empty where that is the task's own."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One classification or regression task over one text or a pair."""

    name: str
    folder: str
    """The task's folder, by the name that its distribution has."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Split -> file name in that folder; none if the task is generated."""
    labelled: Layout
    """Layout of train and dev."""
    unlabelled: Layout
    """Layout of the test files, which in GLUE have no labels."""
    detected: bool = False
    """Whether the copies of the one text and its label that are about differ in header and order,
    so that each file is asked (columns.by_content) and `labelled` decides only where it is mute."""
    text_names: tuple[str, ...]
    """What the files' headers call the texts."""
    label_name: str
    """What the files' headers call the label."""
    labels: tuple[str, ...]
    """Class names in the order of the class numbers; empty for a regression."""
    written: tuple[str, ...]
    """How the files write each label, in the same order."""
    names_file: str = ""
    """A file in the folder with the classes' names, one a line, in the order of the numbers that
    the other files write; where it is there, it decides. Empty: there is none."""
    undecided: str = ""
    """What the files write in a label's place where their annotators did not agree; such rows are
    dropped and counted. Empty: there are none."""
    metrics: tuple[str, ...]
    """The metrics that the benchmark reports."""
    selection: str
    """The metric by which the best checkpoint is chosen."""
    rows: Mapping[str, int]
    """Expected examples per split, where they are known."""
    hub: Hub | None = None
    """None if the task is generated, or if no copy there is known that `datasets` still reads."""
    many: bool = False
    """Whether a row has any number of the labels, none too, where it else has one of them."""
    own: bool = False
    """Whether the files are somebody's own: whole paths instead of names in a folder, of any of the
    formats, with a header that names the columns (data/own.py)."""
    held_out: bool = False
    """Of one's own files: whether there is no dev file, so that it is a part of train's
    (data/parting.py)."""
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

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, train first."""
        return tuple(self.files or self.rows)

    def layout(self, split: str) -> Layout:
        """The layout of the split's file."""
        return self.unlabelled if split.startswith("test") else self.labelled
