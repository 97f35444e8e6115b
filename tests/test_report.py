"""report: the fields other tools read, a table a person can read, curves that are drawn."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest

from jaxdistill import curves
from jaxdistill.curves import _series, draw_curves
from jaxdistill.log import RunLog
from jaxdistill.report import (
    REQUIRED,
    markdown,
    models_table,
    summary,
    write_report,
)

REPORT: dict[str, Any] = {
    "task": "sst2",
    "method": "tinybert",
    "seed": 7,
    "metrics": {
        "dev": {"accuracy": 0.885, "matthews": float("nan")},
        "test": {"accuracy": 0.9},
    },
    "teacher": {
        "run": "runs/teacher_sst2",
        "metrics": {"dev": {"accuracy": 0.92}},
        "parameters": {"total": 109_480_000, "without_embeddings": 85_640_000},
        "bytes": 437_900_000,
        "examples_per_second": 20.0,
    },
    "baseline": {"metrics": {"dev": {"accuracy": 0.86}}},
    "parameters": {"total": 14_350_000, "without_embeddings": 4_670_000},
    "parameters_sha256": "ab" * 32,
    "bytes": 57_400_000,
    "examples_per_second": 190.0,
    "wall_seconds": 3723.4,
    "config_hash": "cd" * 32,
    "selection": "accuracy",
    "device": "1 x cpu",
    "stages": [
        {
            "name": "intermediate",
            "step": 600,
            "steps": 600,
            "seconds": 3000.0,
            "metrics": {"loss": 0.5},
        },
        {
            "name": "prediction",
            "step": 60,
            "steps": 90,
            "seconds": 70.0,
            "metrics": {"accuracy": 0.86},
        },
    ],
}


def fill(folder: Path) -> None:
    with RunLog(folder) as run:
        for step in range(1, 601):
            fade = math.exp(-step / 200)
            noise = 0.1 * math.sin(step * 1.7) * fade
            hidden, attention = 0.4 * fade + noise, 0.2 * fade
            values = {"loss": hidden + attention, "hidden": hidden, "attention": attention}
            run.write("train", "intermediate", step, {**values, "learning_rate": 1e-4})
        for step in range(10, 91, 10):
            run.write("train", "prediction", step, {"loss": 1 / step, "soft": 0.5 / step})
            if step % 30 == 0:
                accuracy = float("nan") if step == 30 else 0.8 + step / 1000
                values = {"accuracy": accuracy, "mean_accuracy_f1": 0.79, "loss": 2 / step}
                values["epoch"] = step / 30
                run.write("eval", "prediction", step, values)


def test_three_files(tmp_path: Path) -> None:
    fill(tmp_path)
    write_report(tmp_path, REPORT)
    read = json.loads((tmp_path / "report.json").read_text())
    assert read["metrics"]["dev"] == {"accuracy": 0.885, "matthews": "nan"}
    assert {k: v for k, v in read.items() if k != "metrics"} == {
        k: v for k, v in REPORT.items() if k != "metrics"
    }
    assert "(curves.png)" in (tmp_path / "report.md").read_text()
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"curves.png", "metrics.jsonl", "report.json", "report.md", "tensorboard"}
    # What was written can be shown again: the same command on a finished run.
    assert summary(read) == summary(REPORT)


def test_models_are_compared() -> None:
    assert models_table(REPORT) == [
        ["", "teacher", "student", "alone", "student to teacher"],
        ["dev accuracy", "0.9200", "0.8850", "0.8600", "-0.0350"],
        ["dev matthews", "", "nan", "", ""],
        ["test accuracy", "", "0.9000", "", ""],
        ["parameters", "109.48M", "14.35M", "", "x 0.131"],
        ["without embeddings", "85.64M", "4.67M", "", "x 0.0545"],
        ["size", "437.9 MB", "57.4 MB", "", "x 0.131"],
        ["examples/s", "20", "190", "", "x 9.5"],
    ]


def test_a_teacher_alone_is_a_model() -> None:
    only = {name: REPORT[name] for name in REQUIRED}
    assert models_table(only)[:2] == [["", "model"], ["dev accuracy", "0.8850"]]
    assert "teacher" not in summary(only)
    assert "Alone" not in markdown(only, False)
    assert "curves.png" not in markdown(only, False)
    assert "ledger" not in markdown(only, False)


def test_summary_is_a_plain_table() -> None:
    lines = summary(REPORT).splitlines()
    assert lines[0] == "sst2, tinybert, seed 7"
    start = next(i for i, line in enumerate(lines) if line.startswith("dev accuracy"))
    assert lines[start].split() == ["dev", "accuracy", "0.9200", "0.8850", "0.8600", "-0.0350"]
    # Numbers stand below each other, at the right edge of their column.
    header = lines[2]
    for column, cell in (("teacher", "0.9200"), ("student", "0.8850"), ("alone", "0.8600")):
        edge = header.index(column) + len(column)
        assert lines[start][:edge].endswith(cell)
    assert any(line.split() == ["prediction", "90", "1:10", "60", "0.8600"] for line in lines)
    assert lines[-1].startswith("1:02:03 of training; config cdcdcdcdcdcd")


def test_a_report_that_lacks_a_field_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lacks seed, bytes"):
        write_report(tmp_path, {k: v for k, v in REPORT.items() if k not in ("seed", "bytes")})
    assert list(tmp_path.iterdir()) == []


def test_without_a_log_there_are_no_curves(tmp_path: Path) -> None:
    write_report(tmp_path, REPORT)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.json", "report.md"]


def test_the_ledgers_shares_are_means_per_stage_and_only_of_terms(tmp_path: Path) -> None:
    with RunLog(tmp_path) as run:
        run.write("train", "pkd", 1, {"loss": 1.0})
        for step, soft in ((0, 0.25), (10, 0.5)):
            shares = {"soft_share": soft, "hard_share": 1 - soft, "rate_share": 0.0}
            terms = {"soft": 4 * soft, "hard": 0.5, "rate": 0.5}
            norms = {"soft_norm": 3.0, "rate_norm": 0.0}
            run.write("ledger", "pkd", step, {**terms, **norms, **shares})
        run.write("ledger", "pkd", 20, {"soft": 9.0, "soft_norm": 0.0})  # nothing flowed: no shares
        run.write("ledger", "later", 0, {"patient": 12.0, "patient_share": 1.0})
        run.write("ledger", "before", 0, {"soft_norm": 1.0, "soft_share": 1.0})  # of older code
        run.write("ledger", "replace", 0, {"rate": 0.5, "rate_share": 0.0})
    write_report(tmp_path, REPORT)
    read = json.loads((tmp_path / "report.json").read_text())
    assert read["ledger"] == {"later": {"patient": 1.0}, "pkd": {"hard": 0.625, "soft": 0.375}}
    assert read["ledger_values"] == {"later": {"patient": 12.0}, "pkd": {"hard": 0.5, "soft": 1.5}}
    text = (tmp_path / "report.md").read_text()
    assert "| stage | soft | hard | patient |" in text
    assert "| pkd | 1.5 (37.5%) | 0.5 (62.5%) |  |" in text
    assert "| later |  |  | 12 (100.0%) |" in text


def size_of(png: Path) -> tuple[int, int]:
    data = png.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_a_row_of_panels_per_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panels: list[tuple[str, list[str], str]] = []
    real = curves._panel

    def spy(axes: Any, *arguments: Any) -> None:
        real(axes, *arguments)
        assert axes.get_xlabel() == "optimizer step"
        assert axes.get_ylabel()
        legend = axes.get_legend()
        names = [t.get_text() for t in legend.get_texts()] if legend else []
        panels.append((axes.get_title("left"), names, axes.get_title("right")))

    monkeypatch.setattr(curves, "_panel", spy)
    fill(tmp_path)
    write_report(tmp_path, REPORT)
    assert panels == [
        ("intermediate: losses", ["loss", "hidden", "attention"], "bold: running mean"),
        ("intermediate: dev metrics", [], ""),
        ("prediction: losses", ["loss", "soft", "loss on dev"], ""),
        (
            "prediction: dev metrics",
            ["accuracy", "best: 0.8900\nat step 90"],
            "",
        ),
    ]
    width, height = size_of(tmp_path / "curves.png")
    assert width > 1000
    assert height > 600


def test_values_that_are_not_numbers_leave_a_gap(tmp_path: Path) -> None:
    records = [
        {"kind": "train", "stage": "kd", "step": s, "loss": "nan" if s == 2 else 1.0, "note": "x"}
        for s in range(4)
    ]
    records.append({"kind": "eval", "stage": "kd", "step": 3, "accuracy": "inf"})
    curves = _series(records, "train")
    assert list(curves) == ["loss"]
    assert curves["loss"] == ([0, 1, 2, 3], pytest.approx([1.0, 1.0, math.nan, 1.0], nan_ok=True))
    assert draw_curves(records, tmp_path / "c.png") is True
    assert draw_curves([], tmp_path / "d.png") is False
    assert not (tmp_path / "d.png").exists()


def test_several_teachers_and_what_was_trained_on_are_told() -> None:
    more = {
        "others": [{"run": "runs/second", "metrics": {}}],
        "together": {"metrics": {"dev": {"accuracy": 0.93}}},
        "precision": "float32",
    }
    report = {
        **REPORT,
        "teacher": {**REPORT["teacher"], **more},
        "precision": "bfloat16",
        "rows": {"train": 6920, "dev": 872},
        "logits": "theirs.csv",
        "augment": {"original": 6920, "text": 0, "made": 55_000, "repeated": 9876, "unsure": 0},
        "stages": [{**REPORT["stages"][0], "skipped": 31}],
    }
    table = models_table(report)
    assert table[0] == [
        "",
        "teacher",
        "teachers together",
        "student",
        "alone",
        "student to teacher",
    ]
    accuracy = next(row for row in table if row[0] == "dev accuracy")
    assert accuracy[1:] == ["0.9200", "0.9300", "0.8850", "0.8600", "-0.0350"]
    text = markdown(report, curves=False)
    for part in (
        "- teacher: `runs/teacher_sst2`, `runs/second`",
        "- learnt from: the logits in `theirs.csv`, not from a run's",
        "- rows: 6,920 train, 872 dev; dev chose the checkpoint, too",
        "- trained on: 61,920 rows (6,920 original, 0 text, 55,000 made); left out: 9,876 repeated",
        "on 1 x cpu, the teacher in float32 and the student in bfloat16.",
        "| 600 (31 skipped) |",
    ):
        assert part in text, part


def test_what_is_no_loss_is_not_drawn_among_losses(tmp_path: Path, monkeypatch) -> None:
    drawn: list[list[str]] = []
    real = curves._panel

    def spy(axes: Any, *arguments: Any) -> None:
        real(axes, *arguments)
        drawn.append([text.get_text() for text in axes.get_legend().get_texts()])

    monkeypatch.setattr(curves, "_panel", spy)
    train = {"loss": 0.5, "loss_scale": 65536.0, "perturbation": 1.0, "rate": 0.5, "replaced": 3.0}
    records = [
        {"kind": "train", "stage": "kd", "step": 10, **train},
        {"kind": "eval", "stage": "kd", "step": 10, "mse": 900.0, "loss": 900.0, "pearson": 0.5},
    ]
    assert curves.draw_curves(records, tmp_path / "curves.png", "pearson")
    assert drawn[0] == ["loss", "loss on dev"]
    assert drawn[1][0] == "pearson" and "mse" not in drawn[1]


def test_the_running_mean_by_hand() -> None:
    nan = float("nan")
    values = [1.0, nan, 4.0, 1.0]
    assert curves._smooth(values) == [1.0, 2.5, 2.5, 2.5]
    assert math.isnan(curves._smooth([nan, nan, nan, 1.0])[0])
