"""GLUE, and SNLI in its layout: UTF-8 files split on tabs, each with columns of its own.

Label order is that of the original BERT code and of Hugging Face's GLUE processors; `datasets`
numbers MNLI and SNLI differently, so labels are always matched by name.

Source: Wang et al. 2019, "GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language
Understanding"; Bowman et al. 2015 (SNLI); row counts of the files as distributed.
"""

from __future__ import annotations

from collections.abc import Mapping

from jaxdistill.data.task import Hub, Layout, Task

_FILES = {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}
_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
_PAIR = ("sentence1", "sentence2")
_NLI = ("contradiction", "entailment", "neutral")
_HUB_NLI = ("entailment", "neutral", "contradiction")
_ENTAILED = ("entailment", "not_entailment")


def _glue(
    config: str,
    texts: tuple[str, ...],
    splits: Mapping[str, str] = _SPLITS,
    order: tuple[str, ...] = (),
) -> Hub:
    return Hub("nyu-mll/glue", config, splits, texts, "label", order)


GLUE = (
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
            _HUB_NLI,
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
        hub=_glue("ax", ("premise", "hypothesis"), {"test": "test"}, _HUB_NLI),
    ),
    Task(
        name="snli",
        folder="SNLI",
        files=_FILES,
        labelled=Layout(True, (7, 8), -1),
        unlabelled=Layout(True, (7, 8), -1),  # gold_label too: the test rows are scored
        text_names=_PAIR,
        label_name="gold_label",
        labels=_NLI,
        written=_NLI,
        undecided="-",
        metrics=("accuracy",),
        selection="accuracy",
        rows={"train": 549367, "dev": 9842, "test": 9824},
        hub=Hub(
            "stanfordnlp/snli",
            "plain_text",
            _SPLITS,
            ("premise", "hypothesis"),
            "label",
            _HUB_NLI,
        ),
    ),
)
"""The rows of TASKS that are GLUE's, and SNLI."""
