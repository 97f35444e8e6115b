"""The table of tasks: its rows hang together, and names are found or suggested."""

from __future__ import annotations

import pytest

from jaxdistill.data.tasks import TASKS, Task, find_task
from jaxdistill.errors import UserError

METRICS = {"accuracy", "f1", "matthews", "pearson", "spearman", "macro_f1"}
SELECTIONS = METRICS | {"mean_accuracy_f1", "mean_pearson_spearman"}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_row_is_consistent(task: Task) -> None:
    if task.generated:
        assert task.hub is None and not task.files
    else:
        assert task.files.keys() == task.rows.keys() == task.hub.splits.keys()
    assert len(task.labels) == len(set(task.labels)) == len(task.written)
    texts = {len(task.text_names), len(task.hub.texts if task.hub else task.text_names)}
    assert texts == {len(task.labelled.texts)} == {len(task.unlabelled.texts)}
    assert set(task.metrics) <= METRICS
    assert task.selection in SELECTIONS
    assert task.unlabelled.label is None
    assert task.regression == (task.outputs == 1)


def test_label_order_is_that_of_the_bert_code() -> None:
    orders = {name: task.labels for name, task in TASKS.items()}
    assert orders["mnli"] == orders["ax"] == ("contradiction", "entailment", "neutral")
    assert orders["rte"] == orders["qnli"] == ("entailment", "not_entailment")
    assert orders["wnli"] == ("not_entailment", "entailment")
    assert orders["sst2"] == ("negative", "positive")
    assert orders["stsb"] == ()


@pytest.mark.parametrize(
    ("name", "meant"), [("SST-2", "sst2"), ("ss2", "sst2"), ("RTE", "rte"), ("sts-b", "stsb")]
)
def test_misspelt_task_is_suggested(name: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"Did you mean '{meant}'") as caught:
        find_task(name)
    assert name in str(caught.value)


def test_find_task() -> None:
    assert find_task("mrpc") is TASKS["mrpc"]
    with pytest.raises(UserError, match="The tasks are cola, sst2") as caught:
        find_task("zzzzzzzz")
    assert "Did you mean" not in str(caught.value)
