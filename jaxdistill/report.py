"""What a finished run says of itself: report.json for programs, report.md, curves.png for people.

The fields of a report, a plain dict (names that other tools rely on; "?" may be absent):

    task, method, seed, config_hash, wall_seconds
    metrics               {"dev": {"accuracy": ...}, "test": {...}?}
    selection?            the metric of dev that chooses the best checkpoint
    teacher?, baseline?   {"metrics": ..., "run"?, "parameters"?, "bytes"?, "examples_per_second"?}
                          the teacher's "others"? ([{"run", "metrics"}]) and "together"? too
    rows?                 {split: how many}; "stages" is there with it
    augment?, logits?     what was added to the train rows, by kind; the file of a teacher's logits
    precision?            what the kept model computes in
    parameters            {"total", "without_embeddings"}
    parameters_sha256, bytes
    examples_per_second   inference, batch 32, this machine
    device?               this machine, in words
    stages?               [{"name", "steps", "seconds", "step", "metrics"?}] in order; step: that of
                          the parameters kept, metrics: theirs on dev
    ledger?               {stage: {term: share}}, of the loss ledger (config.ledger_steps) the means
    ledger_values?        {stage: {term: value}}, the means of the same entries

The baseline is the same student trained alone; its "start"? says from where, in words. No jax here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdistill.curves import draw_curves
from jaxdistill.files import write_atomic, write_json
from jaxdistill.log import read_metrics
from jaxdistill.progress import clock

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

Cells = list[list[str]]

LEDGER = (
    "Of each term of a stage's loss its value, and its share: the norm of its gradient, divided by "
    "the sum of these norms. Means over the stage's entries in metrics.jsonl."
)


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Writes report.json, report.md and, from folder/metrics.jsonl, curves.png into folder.

    report.json is written last: where it is, the others are. ValueError for a report that lacks a
    field; OSError from the disk.
    """
    missing = [name for name in REQUIRED if name not in report]
    if missing:
        raise ValueError(f"the report lacks {', '.join(missing)}")
    selection = report["selection"] if "selection" in report else None
    records = read_metrics(folder)
    shares, values = ledger_means(records)
    if shares:
        report = {**report, "ledger": shares, "ledger_values": values}
    drawn = draw_curves(records, folder / "curves.png", selection)
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
        f"{clock(report['wall_seconds'])} of training; config {report['config_hash'][:12]}, "
        f"parameters {report['parameters_sha256'][:12]}",
    ]
    return "\n".join(lines) + "\n"


def markdown(report: Mapping[str, Any], curves: bool) -> str:
    """Returns report.md; curves: whether there is a curves.png to show."""
    machine = report["device"] if "device" in report else "the machine that trained"
    parts = [
        f"# {report['task']}: {report['method']}",
        _markdown_table(models_table(report)),
        f"Examples per second: inference in batches of 32 on {machine}{_precisions(report)}. "
        + (_alone(report["baseline"]) if "baseline" in report else "")
        + "Sizes are those of the parameters as stored.",
    ]
    if stages := _stages(report):
        parts += ["## Stages", _markdown_table(stages)]
    if "ledger" in report:
        table = _ledger(report["ledger"], report["ledger_values"])
        parts += ["## Loss ledger", _markdown_table(table), LEDGER]
    if curves:
        parts.append("![Losses and dev metrics over the steps of each stage](curves.png)")
    facts: list[tuple[str, str]] = []
    if "teacher" in report and "run" in report["teacher"]:
        runs = [report["teacher"], *report["teacher"].get("others", ())]
        facts.append(("teacher", ", ".join(f"`{each['run']}`" for each in runs)))
    if "logits" in report:
        facts.append(("learnt from", f"the logits in `{report['logits']}`, not from a run's"))
    if "rows" in report:
        counts = ", ".join(f"{count:,} {name}" for name, count in report["rows"].items())
        chosen = "; dev chose the checkpoint, too" if report["stages"] else ""
        facts.append(("rows", f"{counts}{chosen}"))
    if "augment" in report:
        facts.append(("trained on", _augmented(report["augment"])))
    facts += [
        ("seed", str(report["seed"])),
        ("training time", f"{clock(report['wall_seconds'])} ({report['wall_seconds']:.0f} s)"),
        ("config", f"`{report['config_hash']}`"),
        ("parameters", f"SHA-256 `{report['parameters_sha256']}`"),
    ]
    parts.append("\n".join(f"- {name}: {value}" for name, value in facts))
    return "\n\n".join(parts) + "\n"


def _augmented(counts: Mapping[str, int]) -> str:
    """What the train rows became."""
    left_out = ("repeated", "unsure")
    used = {name: count for name, count in counts.items() if name not in left_out}
    said = f"{sum(used.values()):,} rows ({_listed(used)})"
    left = {name: counts[name] for name in left_out if counts.get(name)}
    return f"{said}; left out: {_listed(left)}" if left else said


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _precisions(report: Mapping[str, Any]) -> str:
    """In which numbers teacher and student were timed, where these differ."""
    ours = report.get("precision")
    theirs = report.get("teacher", {}).get("precision")
    return (
        f", the teacher in {theirs} and the student in {ours}" if theirs not in (None, ours) else ""
    )


def _alone(baseline: Mapping[str, Any]) -> str:
    start = f", {baseline['start']}" if "start" in baseline else ""
    return f"Alone: the same student trained without the teacher{start}. "


def models_table(report: Mapping[str, Any]) -> Cells:
    """Returns rows of cells, headings first: a row per figure, a column per model there is.

    With a teacher a last column compares the student with it: metrics by difference, the rest by
    ratio. Several teachers' mean has a column of its own.
    """
    teacher = report["teacher"] if "teacher" in report else None
    alone = report["baseline"] if "baseline" in report else None
    models = [("student" if teacher or alone else "model", report)]
    if alone:
        models.append(("alone", alone))
    if teacher and "together" in teacher:
        models.insert(0, ("teachers together", teacher["together"]))
    if teacher:
        models.insert(0, ("teacher", teacher))
    student = next(at for at, (_, model) in enumerate(models) if model is report)
    rows = [["", *(name for name, _ in models), *(["student to teacher"] if teacher else [])]]

    def add(label: str, values: Sequence[float | None], show: Any, compare: Any) -> None:
        if all(value is None for value in values):
            return
        cells = [label, *("" if value is None else show(value) for value in values)]
        if teacher:
            both = values[0] is not None and values[student] is not None
            cells.append(compare(values[student], values[0]) if both else "")
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
                str(stage["steps"])
                + (f" ({stage['skipped']} skipped)" if stage.get("skipped") else ""),
                clock(stage["seconds"]),
                str(stage["step"]),
                "" if value is None else _metric(value),
            ]
        )
    return rows


def ledger_means(
    records: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Stage -> term -> its share of the gradient; and its value: means over lines of kind "ledger".

    What a loss logs beside its terms (Theseus's rate) has no gradient, and is left out. So is a
    line without any gradient, which has no shares.
    """
    entries: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for record in records:
        if record["kind"] == "ledger":
            stage = entries.setdefault(record["stage"], {})
            for name, value in record.items():
                if f"{name}_share" in record:
                    seen = (float(record[f"{name}_share"]), float(value))
                    stage.setdefault(name, []).append(seen)
    shares: dict[str, dict[str, float]] = {}
    values: dict[str, dict[str, float]] = {}
    for where, terms in entries.items():
        for name, pairs in terms.items():
            if share := sum(pair[0] for pair in pairs) / len(pairs):
                shares.setdefault(where, {})[name] = share
                values.setdefault(where, {})[name] = sum(pair[1] for pair in pairs) / len(pairs)
    return shares, values


def _ledger(
    shares: Mapping[str, Mapping[str, float]], values: Mapping[str, Mapping[str, float]]
) -> Cells:
    names = list(dict.fromkeys(name for terms in shares.values() for name in terms))
    rows = [["stage", *names]]
    for stage, terms in shares.items():
        of = values[stage]
        cells = (f"{of[name]:.4g} ({terms[name]:.1%})" if name in terms else "" for name in names)
        rows.append([stage, *cells])
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
