"""What the campaign (benchmarks/campaign.py) computes of finished runs."""

from __future__ import annotations

import numpy as np
import pytest

from jaxdistill.files import write_json
from jaxdistill.runs import write_predictions

campaign = pytest.importorskip("benchmarks.campaign")
LABELS = np.array([0, 1] * 100)


def made(run, hits, rate=100.0, taught=0.0):
    """A finished run that is right on the rows where hits is True; taught: its teacher's rate."""
    said = np.where(hits, LABELS, 1 - LABELS)
    order = np.random.default_rng(0).permutation(200)  # no order is promised
    rows = np.arange(200)[order]
    write_predictions(run / "predictions" / "dev.npz", rows, np.eye(2)[said][order], LABELS[order])
    sizes = {"total": 17_390_000, "without_embeddings": 5_470_000}
    report = {"parameters": sizes, "examples_per_second": rate}
    teacher = {"teacher": {"examples_per_second": taught}} if taught else {}
    write_json(run / "report.json", {**report, **teacher})
    return run


def test_the_bootstrap_is_paired():
    ours = np.array([1.0] * 160 + [0.0] * 40)
    same = campaign.bootstrap(ours, ours)
    assert same == (0.0, 0.0, 0.0)  # unpaired it would be 0 +- 0.078
    theirs = ours.copy()
    theirs[150:160], theirs[160:164] = 0, 1  # 10 rows won, 4 lost
    gain, low, high = campaign.bootstrap(ours, theirs)
    assert gain == pytest.approx(6 / 200)
    # The normal's interval: sqrt((14 - 6^2 / 200) / 200^2) = 0.01859
    assert low == pytest.approx(0.03 - 1.96 * 0.01859, abs=0.005)
    assert high == pytest.approx(0.03 + 1.96 * 0.01859, abs=0.005)
    assert campaign.bootstrap(theirs, ours)[0] == -gain


def test_the_table_by_hand(tmp_path):
    row = np.arange(200)
    right = {"teacher": (180, 184), "alone": (160, 164), "kd": (170, 170)}
    runs = {
        name: [
            made(tmp_path / name / str(s), row < n, 10.0 * s + 5, 5.0 * (name == "kd"))
            for s, n in enumerate(counts)
        ]
        for name, counts in right.items()
    }
    lines = campaign.table(runs, {"kd": "alone"}).splitlines()
    cells = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ") for line in lines[2:5]}
    assert cells["teacher"][1:3] == ["0.9100", "0.9000 to 0.9200"]
    assert cells["alone"][1] == "0.8100"
    assert cells["kd"][1:4] == ["0.8500", "0.8500 to 0.8500", "+0.0400"]
    low, high = map(float, cells["kd"][4].split(" to "))
    assert 0 < low < 0.04 < high < 0.08
    assert cells["kd"][5:] == ["93.4%", "17.39M", "5.47M", "10", "2.0"]  # of 5/5 and 15/5
    assert len(cells["alone"]) == len(cells["kd"]) - 1  # stripped: an empty cell
