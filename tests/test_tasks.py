"""The table of tasks: its rows hang together, and names are found or suggested."""

from __future__ import annotations

import pytest

from jaxdistill.data.tasks import TASKS, Task, find_task
from jaxdistill.errors import UserError
from jaxdistill.metrics import classification, regression


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_row_is_consistent(task: Task) -> None:
    assert task.rows.keys() <= set(task.splits)
    if task.generated:
        assert task.hub is None and not task.files
    elif task.hub:
        assert task.files.keys() == task.hub.splits.keys()
    else:
        assert task.detected
    assert len(task.labels) == len(set(task.labels)) == len(task.written)
    texts = {len(task.text_names), len(task.hub.texts if task.hub else task.text_names)}
    assert texts == {len(task.labelled.texts)} == {len(task.unlabelled.texts)}
    known = (
        regression([0, 1], [0, 1]) if task.regression else classification([0], [0], task.outputs)
    )
    assert {*task.metrics, task.selection} <= known.keys()
    assert not (task.detected and len(task.text_names) == 2)  # tabs go into the one text
    scored = task.detected or task.name == "snli"  # these have labelled test rows
    assert (task.unlabelled.label is None) == (not scored)
    assert task.regression == (task.outputs == 1)


def test_label_order_is_that_of_the_bert_code() -> None:
    orders = {name: task.labels for name, task in TASKS.items()}
    assert orders["mnli"] == orders["ax"] == ("contradiction", "entailment", "neutral")
    assert orders["rte"] == orders["qnli"] == ("entailment", "not_entailment")
    assert orders["wnli"] == ("not_entailment", "entailment")
    assert orders["sst2"] == ("negative", "positive")
    assert orders["stsb"] == ()
    assert orders["snli"] == orders["mnli"]


def test_the_two_sets_of_thucnews_are_not_one_task() -> None:
    titles, articles = TASKS["thucnews"], TASKS["cnews"]
    assert not set(titles.labels) & set(articles.labels)
    assert titles.written == tuple(str(number) for number in range(10))
    assert articles.written == articles.labels
    assert len(set(articles.labels)) == 10
    for task in (titles, articles):  # what seed 003 reports
        assert task.metrics == ("accuracy", "macro_precision", "macro_recall", "macro_f1")
        assert task.selection == "macro_f1"


def test_mnli_is_selected_on_matched() -> None:
    mnli = TASKS["mnli"]
    assert mnli.files["dev"] == "dev_matched.tsv"
    assert mnli.splits == ("train", "dev", "dev_mismatched", "test", "test_mismatched")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("SST-2", "sst2"), ("ss2", "sst2"), ("RTE", "rte"), ("sts-b", "stsb"), ("cnew", "cnews")],
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
