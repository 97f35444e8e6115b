"""Metrics of a task from predictions and labels; NumPy only, sums in float64.

Where a formula divides by zero the value is 0.0, as in GLUE's own scripts and scikit-learn's
zero_division=0: precision of a class never predicted, correlations with a constant side. Numbers
that are not finite among predicted values give NaN, which never counts as best.

Sources: GLUE (Wang et al. 2019, table 1) for which task uses which; the definitions are
scikit-learn's and SciPy's, with which the tests compare.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def classification(predicted: ArrayLike, labels: ArrayLike, classes: int) -> dict[str, float]:
    """Returns every metric of a classification, each a Python float.

    Args:
      predicted: [N] class numbers in [0, classes).
      labels: [N] class numbers in [0, classes).
      classes: the number of classes.

    accuracy; macro_precision, macro_recall and macro_f1 (unweighted means over the classes);
    matthews; with two classes also precision, recall and f1 of class 1, and mean_accuracy_f1 (what
    GLUE averages for MRPC and QQP).
    """
    table = confusion(predicted, labels, classes)
    precision, recall, macro_f1 = _macro(table)
    result = {
        "accuracy": float(np.trace(table) / table.sum()),
        "macro_precision": precision,
        "macro_recall": recall,
        "macro_f1": macro_f1,
        "matthews": _matthews(table),
    }
    if classes == 2:
        result["precision"], result["recall"], result["f1"] = _of_class(table, 1)
        result["mean_accuracy_f1"] = (result["accuracy"] + result["f1"]) / 2
    return result


def multilabel(predicted: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Returns what is measured where a row has any number of C labels, each a Python float.

    Args:
      predicted: [N, C] of 0 and 1.
      labels: [N, C] of 0 and 1.

    micro_precision, micro_recall and micro_f1 (of all N * C answers together); macro_f1 (the
    unweighted mean over all C labels, 0 for one that is nowhere); subset_accuracy (the share of
    rows with every label right).
    """
    ours, wanted = np.asarray(predicted, np.int64), np.asarray(labels, np.int64)
    if ours.ndim != 2 or ours.shape != wanted.shape or ours.size == 0:
        raise ValueError(f"predicted {ours.shape} and labels {wanted.shape} must both be [N, C]")
    right, said, there = (ours & wanted).sum(0), ours.sum(0), wanted.sum(0)  # [C] each
    each = [_ratio(2 * r, s + t) for r, s, t in zip(right, said, there, strict=True)]
    return {
        "micro_precision": _ratio(right.sum(), said.sum()),
        "micro_recall": _ratio(right.sum(), there.sum()),
        "micro_f1": _ratio(2 * right.sum(), said.sum() + there.sum()),
        "macro_f1": float(np.mean(each)),
        "subset_accuracy": float((ours == wanted).all(1).mean()),
    }


def regression(predicted: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Returns pearson, spearman, their mean mean_pearson_spearman (STS-B), and mse; both [N]."""
    result = {"pearson": pearson(predicted, labels), "spearman": spearman(predicted, labels)}
    result["mean_pearson_spearman"] = (result["pearson"] + result["spearman"]) / 2
    result["mse"] = mean_squared_error(predicted, labels)
    return result


def confusion(predicted: ArrayLike, labels: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Returns [classes, classes] counts, rows by label and columns by prediction."""
    predicted, labels = _pair(predicted, labels)
    for name, values in (("predicted", predicted), ("labels", labels)):
        wrong = np.flatnonzero((values < 0) | (values >= classes) | (values != np.floor(values)))
        if wrong.size:
            raise ValueError(
                f"{name}[{wrong[0]}] is {values[wrong[0]]}, not a class in [0, {classes})"
            )
    pairs = labels.astype(np.int64) * classes + predicted.astype(np.int64)  # [N]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def per_class(table: NDArray[np.int64]) -> list[dict[str, float]]:
    """Returns precision, recall, f1 and support, its rows, of each class of a confusion table."""
    return [_about(table, which) for which in range(len(table))]


def per_label(predicted: ArrayLike, labels: ArrayLike) -> list[dict[str, float]]:
    """Returns the same of each of C labels of which a row has any number; both [N, C], 0 and 1."""
    columns = zip(np.asarray(predicted).T, np.asarray(labels).T, strict=True)
    return [_about(confusion(ours, wanted, 2), 1) for ours, wanted in columns]


def choices(classes: int, *, many: bool) -> tuple[str, ...]:
    """Returns the metrics of which more is better, by which a best can be chosen.

    Args:
      classes: 0 of a regression.
      many: whether a row has any number of them.
    """
    if many:
        return tuple(multilabel([[0]], [[0]]))
    if not classes:
        return tuple(name for name in regression([0.0], [0.0]) if name != "mse")
    return tuple(classification([0], [0], min(classes, 3)))  # names differ for two alone


def accuracy(predicted: ArrayLike, labels: ArrayLike) -> float:
    """Fraction of rows where predicted [N] equals labels [N]."""
    predicted, labels = _pair(predicted, labels)
    return float(np.mean(predicted == labels))


def macro(predicted: ArrayLike, labels: ArrayLike, classes: int) -> tuple[float, float, float]:
    """Returns (precision, recall, F1), each the mean over the classes seen in either side.

    A class that is neither a label nor a prediction is left out, as scikit-learn does by default.
    """
    return _macro(confusion(predicted, labels, classes))


def f1(predicted: ArrayLike, labels: ArrayLike) -> float:
    """F1 of class 1 against class 0."""
    return _of_class(confusion(predicted, labels, 2), 1)[2]


def matthews(predicted: ArrayLike, labels: ArrayLike, classes: int) -> float:
    """Matthews correlation coefficient; 0.0 where either side is constant.

    Source: Gorodkin 2004 (R_K), which for two classes is Matthews 1975.
    """
    return _matthews(confusion(predicted, labels, classes))


def pearson(predicted: ArrayLike, labels: ArrayLike) -> float:
    """Pearson's correlation; 0.0 where either side is constant, NaN where not all is finite."""
    predicted, labels = _pair(predicted, labels)
    if not (np.isfinite(predicted).all() and np.isfinite(labels).all()):
        return float("nan")
    if np.ptp(predicted) == 0 or np.ptp(labels) == 0:
        return 0.0
    left, right = _direction(predicted), _direction(labels)
    return float(np.clip(left @ right, -1.0, 1.0))


def spearman(predicted: ArrayLike, labels: ArrayLike) -> float:
    """Pearson's correlation of the ranks, equal values sharing their average rank."""
    predicted, labels = _pair(predicted, labels)
    if not (np.isfinite(predicted).all() and np.isfinite(labels).all()):
        return float("nan")
    return pearson(ranks(predicted), ranks(labels))


def mean_squared_error(predicted: ArrayLike, labels: ArrayLike) -> float:
    """Mean of the squared difference, in the labels' unit squared; NaN where not all is finite."""
    predicted, labels = _pair(predicted, labels)
    if not (np.isfinite(predicted).all() and np.isfinite(labels).all()):
        return float("nan")
    return float(np.mean((predicted - labels) ** 2))


def ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Returns [N] ranks from 1; equal values get the mean of the ranks they take up."""
    _, group, count = np.unique(
        np.asarray(values, np.float64), return_inverse=True, return_counts=True
    )
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[group]


def _pair(
    predicted: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    left, right = np.asarray(predicted, np.float64), np.asarray(labels, np.float64)
    if left.ndim != 1 or left.shape != right.shape or left.size == 0:
        raise ValueError(
            f"predicted {left.shape} and labels {right.shape} must both be [N] with N > 0"
        )
    return left, right


def _direction(values: NDArray[np.float64]) -> NDArray[np.float64]:
    centered = values - values.mean()
    centered /= np.abs(centered).max()  # no overflow or underflow in the squares
    return centered / np.linalg.norm(centered)


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else 0.0


def _of_class(table: NDArray[np.int64], which: int) -> tuple[float, float, float]:
    """(precision, recall, F1) of one class."""
    right, labelled, predicted = table[which, which], table[which].sum(), table[:, which].sum()
    return (
        _ratio(right, predicted),
        _ratio(right, labelled),
        _ratio(2 * right, labelled + predicted),
    )


def _about(table: NDArray[np.int64], which: int) -> dict[str, float]:
    """What is told of one class."""
    precision, recall, f1 = _of_class(table, which)
    support = int(table[which].sum())
    return {"precision": precision, "recall": recall, "f1": f1, "support": support}


def _macro(table: NDArray[np.int64]) -> tuple[float, float, float]:
    seen = np.flatnonzero(table.sum(0) + table.sum(1))
    means = np.mean([_of_class(table, which) for which in seen.tolist()], axis=0)
    precision, recall, macro_f1 = means.tolist()
    return precision, recall, macro_f1


def _matthews(table: NDArray[np.int64]) -> float:
    # Python integers: the products pass 2^63 from about 55,000 rows on.
    total, right = int(table.sum()), int(np.trace(table))
    labelled, predicted = [int(n) for n in table.sum(1)], [int(n) for n in table.sum(0)]
    together = right * total - sum(a * b for a, b in zip(labelled, predicted, strict=True))
    spread = (total**2 - sum(n * n for n in labelled)) * (total**2 - sum(n * n for n in predicted))
    return together / spread**0.5 if spread else 0.0
