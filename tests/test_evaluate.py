"""evaluate: what it tells of each label, against scikit-learn, and how it is shown."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_export import LABELS, SHAPE, random_params, write_run

from jaxdistill import evaluate
from jaxdistill.data.own import to_plain
from jaxdistill.data.tasks import OWN
from jaxdistill.evaluate import by_label, in_words
from jaxdistill.files import write_json
from jaxdistill.models.bert import Bert
from jaxdistill.runs import VERSION

KEYS = {"precision": "precision", "recall": "recall", "f1": "f1-score", "support": "support"}


def theirs(report: dict[str, Any], names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """What scikit-learn's report says of each label, by our keys."""
    return {name: {k: report[name][theirs] for k, theirs in KEYS.items()} for name in names}


@pytest.mark.parametrize("classes", [2, 5, 20])
def test_classes_are_scikit_learns(classes: int) -> None:
    sk: Any = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(classes)
    names = tuple(f"class {n}" for n in range(classes))
    labels = rng.integers(classes - 1, size=60)  # the last one is nowhere
    logits = rng.normal(size=(60, classes)).astype(np.float32)
    logits[:, 0] -= 9  # never predicted
    found, predicted = by_label(logits, labels, names), logits.argmax(1)
    report = sk.classification_report(
        labels,
        predicted,
        labels=range(classes),
        target_names=names,
        output_dict=True,
        zero_division=0,
    )
    assert list(found["per_class"]) == list(names)
    for name, each in theirs(report, names).items():
        assert found["per_class"][name] == pytest.approx(each, abs=1e-9)
    table = sk.confusion_matrix(labels, predicted, labels=range(classes)).tolist()
    assert found["confusion"] == {"labels": list(names), "counts": table}
    assert json.loads(json.dumps(found)) == found


def test_any_number_of_labels_is_scikit_learns() -> None:
    sk: Any = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    names = ("a", "b", "c", "d")
    labels = (rng.random((50, 4)) < 0.3).astype(np.int32)
    labels[:, 2] = 0
    logits = rng.normal(size=(50, 4)).astype(np.float32)
    logits[0] = 0.0  # no yes
    found = by_label(logits, labels, names)
    report = sk.classification_report(
        labels, logits > 0, target_names=names, output_dict=True, zero_division=0
    )
    assert list(found) == ["per_class"]
    for name, each in theirs(report, names).items():
        assert found["per_class"][name] == pytest.approx(each, abs=1e-9)


def test_nothing_is_told_of_numbers_nor_of_a_broken_model() -> None:
    assert by_label(np.ones((2, 1), np.float32), np.ones(2, np.float32), ()) == {}
    broken = np.array([[0.0, math.nan], [1.0, 0.0]], np.float32)
    assert by_label(broken, np.array([0, 1]), ("no", "yes")) == {}
    assert in_words({"metrics": {}}) == []


def test_the_tables_by_hand() -> None:
    logits = np.array([[2, 1], [2, 1], [2, 1], [1, 2]], np.float32)
    found = by_label(logits, np.array([0, 0, 1, 1]), ("体育", "a\nb"))
    assert in_words(found) == [
        "",
        "  label  rows  precision  recall      f1",
        "  体育      2     0.6667  1.0000  0.8000",
        "  a b       2     1.0000  0.5000  0.6667",
        "",
        "  true \\ predicted  体育  a b",
        "  体育                 2    0",
        "  a b                  1    1",
    ]


def test_a_large_confusion_table_is_in_the_json_alone() -> None:
    for classes in (12, 13):
        names = tuple(f"n{n}" for n in range(classes))
        found = by_label(np.eye(classes, dtype=np.float32), np.arange(classes), names)
        assert len(found["confusion"]["counts"]) == classes
        lines = in_words(found)
        assert any("predicted" in line for line in lines) == (classes == 12)
        assert ("confusion of 13 labels" in lines[-1]) == (classes == 13)


@pytest.mark.parametrize("many", [False, True])
def test_what_is_printed(many: bool, tmp_path, capsys) -> None:
    """The labels of the run in its order; rows and hits as the metrics have them."""
    run = write_run(tmp_path / "run", random_params(SHAPE), Bert(SHAPE), task=OWN.name)
    task = replace(OWN, labels=LABELS, many=many, text_names=("text",))
    write_json(run / "task.json", {"version": VERSION, **to_plain(task)})
    words = ["a dull film", "the plot is fine", "great cast", "it is a story", "very cold"]
    rows = [f"{text},{LABELS[n % 3]}" for n, text in enumerate(words)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    words = ["evaluate", str(run), "--data", str(tmp_path / "rows.csv")]
    evaluate.main(words)
    *shown, last = capsys.readouterr().out.splitlines()
    said = json.loads(last)
    assert (said["finished"], said["step"], said["rows"]) == (True, 3, 5)
    assert shown[0] == f"{run}, stage last, {tmp_path / 'rows.csv'}, 5 rows"
    assert shown[1:] == [
        *(f"  {name:16s} {value:.4f}" for name, value in said["metrics"].items()),
        *in_words(said),
    ]
    each = said["per_class"]
    assert {name: about["support"] for name, about in each.items()} == dict(
        zip(LABELS, (2, 2, 1), strict=True)
    )
    assert said["metrics"]["macro_f1"] == pytest.approx(
        np.mean([about["f1"] for about in each.values() if about["support"] or about["f1"]]),
        abs=1e-6,
    )
    assert ("confusion" in said) != many
    if not many:
        right = np.trace(said["confusion"]["counts"])
        assert said["metrics"]["accuracy"] == right / 5
    evaluate.main([*words, "--json"])
    assert capsys.readouterr().out.splitlines() == [last]
