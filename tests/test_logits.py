"""Somebody's logits from a file: read by row number and label name, or refused with both sides."""

from __future__ import annotations

import json

import numpy as np
import pytest

from jaxdistill.data.logits import read_logits
from jaxdistill.data.tasks import TASKS
from jaxdistill.errors import UserError

SST2, STSB = TASKS["sst2"], TASKS["stsb"]
ROWS = np.array([0, 1, 2], np.int32)
WANTED = [[1.0, -1.0], [0.5, 2.0], [-3.0, 0.25]]
SHUFFLED = [(2, 0.25, -3), (0, -1, 1), (1, 2, 0.5)]
"""(row, positive, negative)."""


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def read(path, task=SST2, row=ROWS, whole=True, said=None):
    notice = (lambda text: None) if said is None else said.append
    return read_logits(task, path, row, whole=whole, notice=notice)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_by_row_and_label_in_any_order(name, tmp_path):
    gap = "," if name == "a.csv" else "\t"
    lines = [gap.join(("row", "positive", "Negative"))]
    lines += [gap.join(map(str, entry)) for entry in SHUFFLED]
    if name == "a.jsonl":
        keys = ("row", "positive", "negative")
        lines = [json.dumps(dict(zip(keys, entry, strict=True))) for entry in SHUFFLED]
    found = read(write(tmp_path, name, "\n".join(lines) + "\n"))
    assert found.tolist() == WANTED
    assert found.dtype == np.float32


def test_numbered_columns_are_the_tasks_order_and_said(tmp_path):
    said = []
    text = "row,logits_0,logits_1\n0,1,-1\n1,0.5,2\n2,-3,0.25\n"
    assert read(write(tmp_path, "a.csv", text), said=said).tolist() == WANTED
    assert "logits_0 and on are taken for negative, positive" in said[0]


def test_the_file_that_a_run_writes(tmp_path):
    path = tmp_path / "dev.npz"
    order = [2, 0, 1]
    np.savez(path, row=ROWS[order], logits=np.array(WANTED)[order], labels=np.zeros(3))
    assert read(path).tolist() == WANTED


def test_a_regression_has_one_column(tmp_path):
    found = read(write(tmp_path, "a.csv", "score,row\n2.5,1\n0,0\n5,2\n"), STSB)
    assert found.tolist() == [[0.0], [2.5], [5.0]]


def test_a_capped_train_set_takes_its_rows(tmp_path):
    said = []
    text = "row,negative,positive\n" + "".join(f"{n},{n},0\n" for n in range(5))
    path = write(tmp_path, "a.csv", text)
    rows = np.array([1, 4], np.int32)
    assert read(path, row=rows, whole=False, said=said).tolist() == [[1, 0], [4, 0]]
    assert "3 rows are not among the 2" in said[0]


HEAD = "row,negative,positive\n"
BAD = {
    "row missing": (
        "a.csv",
        HEAD + "0,1,2\n2,1,2\n",
        "lacks 1 of 3 train rows, the first is row 1",
    ),
    "last missing": ("a.csv", HEAD + "0,1,2\n1,1,2\n", "the first is row 2"),
    "none": ("a.csv", HEAD, "lacks 3 of 3"),
    "row twice": ("a.csv", HEAD + "0,1,2\n1,1,2\n2,1,2\n1,3,4\n", "row 1 .* line 3 and line 5"),
    "other data": ("a.csv", HEAD + "0,1,2\n1,1,2\n2,1,2\n3,1,2\n", "line 5: row 3 is not in the"),
    "negative row": ("a.csv", HEAD + "-1,1,2\n0,1,2\n1,1,2\n2,1,2\n", "row -1 is not in the"),
    "another label": ("a.csv", "row,bad,good\n0,1,2\n", "columns row, bad, good.* negative, pos"),
    "one more label": ("a.csv", "row,negative,neutral,positive\n", "and no others"),
    "no rows": ("a.csv", "negative,positive\n1,2\n", "are in row, negative, positive"),
    "not finite": ("a.csv", HEAD + "0,1,2\n1,nan,2\n2,1,2\n", "line 3: the logits of row 1"),
    "minus infinity": ("a.csv", HEAD + "0,1,2\n1,1,2\n2,1,-inf\n", "row 2 .*probability 0 as -30"),
    "too large": ("a.csv", HEAD + "0,1e300,2\n1,1,2\n2,1,2\n", "row 0 are .*finite in float32"),
    "no number": ("a.csv", HEAD + "0,1,2\n1,much,2\n", "line 3: .*'much'"),
    "half a row": ("a.csv", HEAD + "0.5,1,2\n", "line 2: .*is not a row number"),
    "too short": ("a.csv", HEAD + "0,1\n", "line 2"),
    "empty": ("a.csv", "", "is empty"),
    "keys differ": (
        "a.jsonl",
        '{"row": 0, "negative": 1, "positive": 2}\n{"row": 1, "negative": 1}\n',
        "line 2: the keys are row, negative",
    ),
    "no object": ("a.jsonl", "[0, 1, 2]\n", "line 1: not a JSON object"),
    "no json": ("a.jsonl", "{\n", "line 1: not sound JSON"),
    "a null": ("a.jsonl", '{"row": 0, "negative": null, "positive": 2}\n', "line 1"),
    "ending": ("a.xlsx", "", "ends in '.xlsx'"),
    "no npz": ("a.npz", "text", "cannot be read as an .npz"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_names_row_and_file(case, tmp_path):
    name, text, said = BAD[case]
    with pytest.raises(UserError, match=said) as error:
        read(write(tmp_path, name, text))
    assert str(tmp_path / name) in str(error.value)


def test_an_npz_of_another_shape(tmp_path):
    np.savez(tmp_path / "a.npz", row=ROWS, logits=np.zeros((3, 4)))
    with pytest.raises(UserError, match=r"logits float64\[3, 4\]; sst2 needs"):
        read(tmp_path / "a.npz")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="Cannot read"):
        read(tmp_path / "a.csv")
