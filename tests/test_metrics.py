"""metrics: against scikit-learn and SciPy, and the conventions where a formula divides by zero."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdistill import metrics
from jaxdistill.scoring import score

TOLERANCE = 1e-9


def test_by_hand() -> None:
    # labels 1 1 1 0 0, predicted 1 1 0 1 0: two true positives, one false each way.
    result = metrics.classification([1, 1, 0, 1, 0], [1, 1, 1, 0, 0], 2)
    assert result["accuracy"] == pytest.approx(3 / 5)
    assert result["f1"] == pytest.approx(2 / 3)
    assert (result["precision"], result["recall"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert result["macro_f1"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert result["matthews"] == pytest.approx((2 * 1 - 1 * 1) / 6)
    assert result["mean_accuracy_f1"] == pytest.approx((3 / 5 + 2 / 3) / 2)
    assert metrics.ranks([30.0, 10.0, 30.0, 20.0]).tolist() == [3.5, 1.0, 3.5, 2.0]
    assert metrics.mean_squared_error([1.0, 2.0], [2.0, 4.0]) == 2.5
    assert metrics.pearson([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]) == pytest.approx(0.5)


@st.composite
def classes_and_rows(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    classes = draw(st.integers(2, 5))
    number = st.integers(0, classes - 1)
    return classes, draw(st.lists(st.tuples(number, number), min_size=1, max_size=40))


@settings(deadline=None, max_examples=100)
@given(classes_and_rows())
def test_classification_equals_scikit_learn(case: tuple[int, list[tuple[int, int]]]) -> None:
    sk: Any = pytest.importorskip("sklearn.metrics")
    classes, rows = case
    predicted, labels = (np.array(side, np.int32) for side in zip(*rows, strict=True))
    result = metrics.classification(predicted, labels, classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one class only
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            labels, predicted, average="macro", zero_division=0
        )
        expected = {
            "accuracy": sk.accuracy_score(labels, predicted),
            "macro_precision": precision,
            "macro_recall": recall,
            "macro_f1": f1,
            "matthews": sk.matthews_corrcoef(labels, predicted),
        }
        if classes == 2:
            of_class_1 = sk.precision_recall_fscore_support(
                labels, predicted, average="binary", pos_label=1, zero_division=0
            )
            expected |= dict(zip(("precision", "recall", "f1"), of_class_1, strict=False))
            expected["mean_accuracy_f1"] = (expected["accuracy"] + expected["f1"]) / 2
    assert result == pytest.approx(expected, abs=TOLERANCE)
    assert all(type(value) is float for value in result.values())
    single = metrics.macro(predicted, labels, classes)
    assert single == (result["macro_precision"], result["macro_recall"], result["macro_f1"])
    assert metrics.accuracy(predicted, labels) == result["accuracy"]
    assert metrics.matthews(predicted, labels, classes) == result["matthews"]
    if classes == 2:
        assert metrics.f1(predicted, labels) == result["f1"]


VALUES = st.one_of(
    st.integers(-3, 3).map(float),  # many ties
    st.floats(-1e3, 1e3, allow_subnormal=False).map(lambda x: round(x, 3)),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=40))
def test_regression_equals_scipy(rows: list[tuple[float, float]]) -> None:
    stats: Any = pytest.importorskip("scipy.stats")
    predicted, labels = (np.array(side) for side in zip(*rows, strict=True))
    result = metrics.regression(predicted, labels)
    constant = len(set(predicted)) == 1 or len(set(labels)) == 1
    expected = {"pearson": 0.0, "spearman": 0.0}
    if not constant:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nearly constant
            expected["pearson"] = stats.pearsonr(predicted, labels)[0]
            expected["spearman"] = stats.spearmanr(predicted, labels)[0]
    expected["mean_pearson_spearman"] = (expected["pearson"] + expected["spearman"]) / 2
    expected["mse"] = np.mean((predicted - labels) ** 2)
    assert result == pytest.approx(expected, abs=TOLERANCE)


def test_one_class_predicted() -> None:
    result = metrics.classification([0, 0, 0, 0], [0, 1, 1, 0], 2)
    assert result["accuracy"] == 0.5
    assert result["f1"] == 0.0
    assert result["matthews"] == 0.0
    assert result["macro_precision"] == 0.25  # 1/2 for class 0, 0 by convention for class 1
    assert (result["macro_recall"], result["macro_f1"]) == (0.5, pytest.approx(1 / 3))
    assert (result["precision"], result["recall"]) == (0.0, 0.0)


@pytest.mark.parametrize("predicted", [0, 7, 9])
def test_one_class_of_ten_predicted_equals_scikit_learn(predicted: int) -> None:
    sk: Any = pytest.importorskip("sklearn.metrics")
    labels = np.arange(30) % 9  # class 9 is nowhere, but where it is predicted
    result = metrics.classification([predicted] * 30, labels, 10)
    expected = sk.precision_recall_fscore_support(
        labels, [predicted] * 30, average="macro", zero_division=0
    )
    found = [result[name] for name in ("macro_precision", "macro_recall", "macro_f1")]
    assert found == pytest.approx(expected[:3], abs=TOLERANCE)
    assert result["matthews"] == 0.0


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e100])
def test_a_constant_side_correlates_with_nothing(constant: float) -> None:
    result = metrics.regression([constant] * 7, np.arange(7.0))
    assert (result["pearson"], result["spearman"]) == (0.0, 0.0)
    assert metrics.pearson(np.arange(7.0), [constant] * 7) == 0.0


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_pearson_neither_over_nor_underflows(scale: float) -> None:
    values = np.array([1.0, 2.0, 4.0, 3.0])
    assert metrics.pearson(values * scale, values) == pytest.approx(1.0)


def test_nan_stays_nan() -> None:
    result = metrics.regression([1.0, math.nan, 3.0], [1.0, 2.0, 3.0])
    assert all(math.isnan(value) for value in result.values())


@pytest.mark.parametrize(
    "labels", [np.array([0, 0, 1]), np.array([[0, 1], [1, 1], [0, 0]]), np.array([0.5, 1.0, 2.0])]
)
def test_a_logit_that_is_not_finite_leaves_no_metric(labels: np.ndarray) -> None:
    """An argmax over NaN is class 0, which would be right for most rows here."""
    logits = np.zeros((3, 1 if labels.dtype.kind == "f" else 2), np.float32)
    names = set(score(logits, labels))
    for bad in (math.nan, math.inf):
        logits[1, 0] = bad
        found = score(logits, labels)
        assert set(found) == names
        assert all(math.isnan(value) for value in found.values())


def test_matthews_of_many_rows_does_not_overflow() -> None:
    labels = np.tile([0, 1], 4_000_000)
    assert metrics.matthews(labels, labels, 2) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("predicted", "labels", "message"),
    [
        ([0, 1], [0, -1], r"labels\[1\] is -1.0"),
        ([0, 2], [0, 1], r"predicted\[1\] is 2.0"),
        ([0.5, 1], [0, 1], r"predicted\[0\] is 0.5"),
        ([0, 1, 1], [0, 1], r"\(3,\) and labels \(2,\)"),
        ([[0, 1]], [[0, 1]], r"\[N\]"),
        ([], [], "N > 0"),
    ],
)
def test_rows_outside_the_task_are_refused(predicted: Any, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.classification(predicted, labels, 2)
