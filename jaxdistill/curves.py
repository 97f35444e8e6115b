"""How a run went: losses and dev metrics over its steps, from metrics.jsonl. No jax here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdistill.log import RESERVED

NOT_DRAWN = (
    "learning_rate",
    "gradient_norm",
    "loss_scale",
    "perturbation",
    "rate",
    "replaced",
    "epoch",
)
"""Values of "train" and "eval" lines that are neither a loss nor a metric."""

NOT_DRAWN_OF_DEV = (
    "precision",
    "recall",
    "macro_precision",
    "macro_recall",
    "mean_accuracy_f1",
    "mean_pearson_spearman",
    "mse",
)
"""Metrics whose curves lie on those of others; report.json has them. The selecting one is drawn."""

DENSE = 60
"""Curves of more points are drawn thin, with their running mean over them."""

ON_DEV = "loss on dev"
"""A curve's name; the only one of which the best value is the smallest."""

Curves = dict[str, tuple[list[int], list[float]]]


def draw_curves(
    records: Sequence[Mapping[str, Any]], path: Path, selection: str | None = None
) -> bool:
    """Draws a row per stage over its steps: losses at the left, dev metrics at the right.

    Reads the lines of kind "train" and "eval"; the loss on dev, where evaluation logs one, is drawn
    among the losses, and what training logs of a metric that evaluation has too, beside that. The
    best value of `selection` is marked: the largest, of a loss the smallest. Values that are not
    finite leave a gap. Returns False, and draws nothing, where there is no line. Raises OSError.
    """
    stages = list(dict.fromkeys(r["stage"] for r in records if r["kind"] in ("train", "eval")))
    if not stages:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 0.4 + 3.1 * len(stages)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(stages), 2, squeeze=False)  # [stages, 2]
    for stage, (left, right) in zip(stages, panels, strict=True):
        mine = [r for r in records if r["stage"] == stage]
        losses, metrics = _series(mine, "train"), _series(mine, "eval")
        hidden = [n for n in metrics if n in NOT_DRAWN_OF_DEV and n != selection]
        metrics = {name: curve for name, curve in metrics.items() if name not in hidden}
        on_dev = {ON_DEV: metrics.pop("loss")} if "loss" in metrics else {}
        trained = {f"{n} in training": losses.pop(n) for n in metrics if n in losses}
        chosen = ON_DEV if selection == "loss" else None
        _panel(left, losses, on_dev, f"{stage}: losses", "loss, mean per example", chosen)
        _panel(right, trained, metrics, f"{stage}: dev metrics", "metric", selection)
    temporary = path.with_suffix(".partial.png")
    try:
        figure.savefig(temporary, dpi=110)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _series(records: Sequence[Mapping[str, Any]], kind: str) -> Curves:
    """Returns {name: (steps, values)}, "loss" first."""
    result: Curves = {}
    for record in records:
        if record["kind"] != kind:
            continue
        for name, value in record.items():
            if name in (*RESERVED, *NOT_DRAWN) or isinstance(value, bool):
                continue
            try:
                y = float(value)  # "nan" and "inf" too
            except (TypeError, ValueError):
                continue
            steps, values = result.setdefault(name, ([], []))
            steps.append(record["step"])
            values.append(y if math.isfinite(y) else math.nan)
    return dict(sorted(result.items(), key=lambda item: item[0] != "loss"))


def _panel(
    axes: Any, train: Curves, dev: Curves, title: str, ylabel: str, selection: str | None
) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    if not train and not dev:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "nothing logged", transform=axes.transAxes, ha="center", color="grey")
        return
    axes.grid(alpha=0.3)
    for name, (steps, values) in train.items():
        dense = len(steps) > DENSE
        style: dict[str, Any] = {"linewidth": 0.7, "alpha": 0.35} if dense else {"linewidth": 1.4}
        marker = "o" if len(steps) == 1 else ""
        line = axes.plot(steps, values, label=name, marker=marker, markersize=3, **style)[0]
        if dense:
            axes.plot(steps, _smooth(values), color=line.get_color(), linewidth=1.6)
            axes.set_title("bold: running mean", loc="right", fontsize=8, color="grey")
    for name, (steps, values) in dev.items():
        width = 2.2 if name == selection else 1.2
        style = {"linewidth": width, "marker": "o", "markersize": 3}
        if train:  # among training's curves
            style |= {"color": "black", "linestyle": "--"}
        line = axes.plot(steps, values, label=name, **style)[0]
        points = [(v, s) for v, s in zip(values, steps, strict=True) if not math.isnan(v)]
        if name == selection and points:
            choose = min if name == ON_DEV else max
            best, step = choose(points, key=lambda point: point[0])  # the first of equals
            star = {"marker": "*", "markersize": 12, "color": line.get_color(), "linestyle": ""}
            axes.plot([step], [best], label=f"best: {best:.4f}\nat step {step}", **star)
    legend = axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for handle in legend.get_lines():
        handle.set(alpha=1.0, linewidth=1.6)


def _smooth(values: Sequence[float]) -> list[float]:
    """Mean over a window of about a thirtieth of the curve, shorter at its ends; gaps stay out."""
    half = max(1, len(values) // 60)
    sums, counts = [0.0], [0]  # of what comes before each point
    for value in values:
        gap = math.isnan(value)
        sums.append(sums[-1] + (0.0 if gap else value))
        counts.append(counts[-1] + (not gap))
    result = []
    for i in range(len(values)):
        first, end = max(0, i - half), min(len(values), i + half + 1)
        count = counts[end] - counts[first]
        result.append((sums[end] - sums[first]) / count if count else math.nan)
    return result
