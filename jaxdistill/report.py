"""What a finished run says of itself: report.json for programs, report.md, curves.png for people.

The fields of a report, a plain dict (names that other tools rely on; "?" may be absent):

    task, method, seed, config_hash, wall_seconds
    metrics               {"dev": {"accuracy": ...}, "test": {...}?}
    selection?            the metric of dev that chooses the best checkpoint
    teacher?, baseline?   {"metrics": ..., "run"?, "parameters"?, "bytes"?, "examples_per_second"?}
    parameters            {"total", "without_embeddings"}
    parameters_sha256, bytes
    examples_per_second   inference, batch 32, this machine
    device?               this machine, in words
    stages?               [{"name", "steps", "seconds", "step", "metrics"?}] in order; step: that of
                          the parameters kept, metrics: theirs on dev

The baseline is the same student trained alone. No jax here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdistill.files import write_atomic, write_json
from jaxdistill.log import RESERVED, clock, read_metrics

REQUIRED = (
    "task",
    "method",
    "seed",
    "metrics",
    "parameters",
    "parameters_sha256",
    "bytes",
    "examples_per_second",
    "wall_seconds",
    "config_hash",
)

NOT_DRAWN = ("learning_rate", "gradient_norm", "examples_per_second", "tokens_per_second", "epoch")
"""Values of "train" and "eval" lines that are neither a loss nor a metric."""

DENSE = 60
"""Curves of more points are drawn thin, with their running mean over them."""

Cells = list[list[str]]
Curves = dict[str, tuple[list[int], list[float]]]


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Writes report.json, report.md and, from folder/metrics.jsonl, curves.png into folder.

    report.json is written last: where it is, the others are. ValueError for a report that lacks a
    field; OSError from the disk.
    """
    missing = [name for name in REQUIRED if name not in report]
    if missing:
        raise ValueError(f"the report lacks {', '.join(missing)}")
    selection = report["selection"] if "selection" in report else None
    drawn = draw_curves(read_metrics(folder), folder / "curves.png", selection)
    write_atomic(folder / "report.md", markdown(report, drawn))
    write_json(folder / "report.json", report)


def summary(report: Mapping[str, Any]) -> str:
    """Returns the plain text printed at the end of a run: a heading, a table, what is kept."""
    lines = [f"{report['task']}, {report['method']}, seed {report['seed']}", ""]
    lines += _plain(models_table(report))
    if stages := _stages(report):
        lines += ["", *_plain(stages)]
    lines += [
        "",
        f"{clock(report['wall_seconds'])} in all; config {report['config_hash'][:12]}, "
        f"parameters {report['parameters_sha256'][:12]}",
    ]
    return "\n".join(lines) + "\n"


def markdown(report: Mapping[str, Any], curves: bool) -> str:
    """Returns report.md; curves: whether there is a curves.png to show."""
    machine = report["device"] if "device" in report else "the machine that trained"
    parts = [
        f"# {report['task']}: {report['method']}",
        _markdown_table(models_table(report)),
        f"Examples per second: inference in batches of 32 on {machine}. "
        + ("Alone: the same student trained without the teacher. " if "baseline" in report else "")
        + "Sizes are those of the parameters as stored.",
    ]
    if stages := _stages(report):
        parts += ["## Stages", _markdown_table(stages)]
    if curves:
        parts.append("![Losses and dev metrics over the steps of each stage](curves.png)")
    facts: list[tuple[str, str]] = []
    if "teacher" in report and "run" in report["teacher"]:
        facts.append(("teacher", f"`{report['teacher']['run']}`"))
    facts += [
        ("seed", str(report["seed"])),
        ("wall time", f"{clock(report['wall_seconds'])} ({report['wall_seconds']:.0f} s)"),
        ("config", f"`{report['config_hash']}`"),
        ("parameters", f"SHA-256 `{report['parameters_sha256']}`"),
    ]
    parts.append("\n".join(f"- {name}: {value}" for name, value in facts))
    return "\n\n".join(parts) + "\n"


def models_table(report: Mapping[str, Any]) -> Cells:
    """Returns rows of cells, headings first: a row per figure, a column per model there is.

    With a teacher a last column compares the student with it: metrics by difference, the rest by
    ratio.
    """
    teacher = report["teacher"] if "teacher" in report else None
    alone = report["baseline"] if "baseline" in report else None
    models = [("student" if teacher or alone else "model", report)]
    if alone:
        models.append(("alone", alone))
    if teacher:
        models.insert(0, ("teacher", teacher))
    rows = [["", *(name for name, _ in models), *(["student to teacher"] if teacher else [])]]

    def add(label: str, values: Sequence[float | None], show: Any, compare: Any) -> None:
        if all(value is None for value in values):
            return
        cells = [label, *("" if value is None else show(value) for value in values)]
        if teacher:
            both = values[0] is not None and values[1] is not None
            cells.append(compare(values[1], values[0]) if both else "")
        rows.append(cells)

    for split in report["metrics"]:
        for name in report["metrics"][split]:
            values = [_find(model, "metrics", split, name) for _, model in models]
            add(f"{split} {name}", values, _metric, lambda new, old: f"{_signed(new - old)}")
    for label, path, show in (
        ("parameters", ("parameters", "total"), _count),
        ("without embeddings", ("parameters", "without_embeddings"), _count),
        ("size", ("bytes",), _bytes),
        ("examples/s", ("examples_per_second",), _speed),
    ):
        add(label, [_find(model, *path) for _, model in models], show, _ratio)
    return rows


def _find(model: Mapping[str, Any], *path: str) -> float | None:
    """A number of a model's report; None where teacher or baseline do not tell it."""
    value: Any = model
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return None if value is None else float(value)  # "nan" too


def _stages(report: Mapping[str, Any]) -> Cells:
    if "stages" not in report or not report["stages"]:
        return []
    selection = report["selection"] if "selection" in report else None
    rows = [["stage", "steps", "time", "kept step", f"its dev {selection}" if selection else ""]]
    for stage in report["stages"]:
        value = _find(stage, "metrics", selection) if selection else None
        rows.append(
            [
                stage["name"],
                str(stage["steps"]),
                clock(stage["seconds"]),
                str(stage["step"]),
                "" if value is None else _metric(value),
            ]
        )
    return rows


def _metric(value: float) -> str:
    return f"{value:.4f}"


def _signed(value: float) -> str:
    return f"{value:+.4f}"


def _ratio(new: float, old: float) -> str:
    return f"x {new / old:.3g}" if old else ""


def _count(value: float) -> str:
    return f"{value / 1e6:.2f}M" if value >= 1e5 else f"{value:.0f}"


def _bytes(value: float) -> str:
    return f"{value / 1e6:.1f} MB" if value >= 1e5 else f"{value:.0f} B"


def _speed(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _plain(rows: Cells) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([first, *rest]).rstrip())
    return [lines[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]]


def _markdown_table(rows: Cells) -> str:
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [rows[0], rule, *rows[1:]])


def draw_curves(
    records: Sequence[Mapping[str, Any]], path: Path, selection: str | None = None
) -> bool:
    """Draws a row per stage over its steps: losses at the left, dev metrics at the right.

    Reads the lines of kind "train" and "eval"; the loss on dev, where evaluation logs one, is drawn
    among the losses. The best value of `selection` is marked. Values that are not finite leave a
    gap. Returns False, and draws nothing, where there is no line. Raises OSError.
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
        on_dev = {"loss on dev": metrics.pop("loss")} if "loss" in metrics else {}
        _panel(left, losses, on_dev, f"{stage}: losses", "loss, mean per example", None)
        _panel(right, {}, metrics, f"{stage}: dev metrics", "metric", selection)
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
            best, step = max(points, key=lambda point: point[0])  # the first of equals
            star = {"marker": "*", "markersize": 12, "color": line.get_color(), "linestyle": ""}
            axes.plot([step], [best], label=f"best: {best:.4f}\nat step {step}", **star)
    legend = axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for handle in legend.get_lines():
        handle.set(alpha=1.0, linewidth=1.6)


def _smooth(values: Sequence[float]) -> list[float]:
    """Mean over a window of about a thirtieth of the curve, shorter at its ends; gaps stay out."""
    half = max(1, len(values) // 60)
    result = []
    for i in range(len(values)):
        near = [v for v in values[max(0, i - half) : i + half + 1] if not math.isnan(v)]
        result.append(sum(near) / len(near) if near else math.nan)
    return result
