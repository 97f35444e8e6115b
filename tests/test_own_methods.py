"""Files of one's own with every method, as a user runs them: from a CSV to what is said of texts.

Columns have names of their own and texts have commas; one fine-tuned teacher serves every student.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tiny

from jaxdistill import evaluate, predict, scoring
from jaxdistill.config import from_command_line
from jaxdistill.files import read_json
from jaxdistill.recipe import ensure_run

LABELS = ["complaint", "praise", "question"]
STAGES = {
    "student": ("finetune",),
    "kd": ("kd",),
    "pkd": ("pkd",),
    "tinybert": ("intermediate", "prediction"),
    "theseus": ("replace", "successor"),
    "bilstm": ("kd",),
}
ROWS, FRESH = 150, 30
SMALL = {"data.buckets": (16,), "data.max_length": 16}
STUDENT = {"bilstm": {"max_words": 16, "width": 16, "hidden": 8, "dense": 16}}
LEARNT = {"bilstm": {"epochs": 6, "learning_rate": 2e-2}}


@pytest.fixture(scope="module", autouse=True)
def _at_the_root(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(request.config.rootpath)
        yield


def write(path: Path, count: int, seed: int) -> list[str]:
    """A CSV of messages and what they are, which their last two words say; the kinds in order."""
    rng = np.random.default_rng(seed)
    words = dict(zip(LABELS, (tiny.BAD, tiny.GOOD, ["it", "very"]), strict=True))
    kinds = [LABELS[n] for n in rng.permutation(np.arange(count) % 3)]
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["ticket no.", "what it is", "message, as sent"])
        for number, kind in enumerate(kinds):
            text = ", ".join([*rng.choice(tiny.PLAIN[:10], 3), *rng.choice(words[kind], 2)])
            rows.writerow([number, kind, text])
    assert '"' in path.read_text("utf-8").splitlines()[1]  # the commas are in quotes
    return kinds


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The folder of all: the messages to learn from, those to judge by, a tiny BERT."""
    folder = tmp_path_factory.mktemp("own")
    write(folder / "train.csv", ROWS, seed=0)
    write(folder / "fresh.csv", FRESH, seed=1)
    shape = dataclasses.replace(tiny.SHAPE, initial_std=0.1)
    tiny.write_checkpoint(folder / "bert", shape=shape)
    return folder


def learn(name: str, files: Path, **values: object) -> tuple[Path, dict]:
    columns = {"train": files / "train.csv", "text": "message, as sent", "label": "what it is"}
    given = {**SMALL, **{f"data.{k}": v for k, v in columns.items()}, **values}
    flags = [f"--config.{key}={value}" for key, value in given.items()]
    run = files / name
    words = ["main", f"--config=configs/{name}.py:own", f"--workdir={run}", *flags]
    return run, ensure_run(from_command_line(words))


@pytest.fixture(scope="module")
def teacher(files):
    plan = {f"stages.finetune.{k}": v for k, v in {**tiny.PLAN, "epochs": 6}.items()}
    return learn("teacher", files, **{"model.source": files / "bert", **plan})


def student(name: str, files: Path, teacher: Path) -> tuple[Path, dict]:
    plan = {**tiny.PLAN, **LEARNT.get(name, {})}
    values = {
        **{f"stages.{stage}.{k}": v for stage in STAGES[name] for k, v in plan.items()},
        **{f"teacher.recipe.{k}": v for k, v in SMALL.items()},
        **{f"student.{k}": v for k, v in STUDENT.get(name, {"layers": 1}).items()},
        "teacher.run": teacher,
        "teacher.source": files / "bert",
    }
    return learn(name, files, **values)


@pytest.mark.parametrize("name", ["teacher", *STAGES])
def test_from_a_csv_to_what_is_said_of_texts(name, files, teacher, capsys, monkeypatch):
    run, report = teacher if name == "teacher" else student(name, files, teacher[0])
    about = read_json(run / "task.json")
    assert about["labels"] == LABELS
    counts = {split: about["counts"][split]["rows"] for split in ("train", "dev")}
    kept = np.load(run / "predictions" / "dev.npz")
    assert counts == {"train": ROWS - len(kept["row"]), "dev": len(kept["row"])}
    assert counts["dev"] == 15
    assert read_json(run / "report.json")["metrics"] == report["metrics"]
    if name != "teacher":
        assert [stage["name"] for stage in report["stages"]] == [*STAGES[name]]
        assert report["teacher"]["metrics"] == teacher[1]["metrics"]

    scored: list[tuple[np.ndarray, np.ndarray]] = []
    score = scoring.score

    def noting(logits, labels):
        scored.append((logits, labels))
        return score(logits, labels)

    monkeypatch.setattr(scoring, "score", noting)
    capsys.readouterr()
    fresh = str(files / "fresh.csv")
    evaluate.main(["evaluate", str(run), "--data", fresh, "--json"])
    said = json.loads(capsys.readouterr().out)
    ((logits, labels),) = scored
    kinds = [row[1] for row in csv.reader(Path(fresh).read_text("utf-8").splitlines())][1:]
    assert [LABELS[number] for number in labels] == kinds
    assert (said["rows"], logits.shape) == (FRESH, (FRESH, 3))
    assert said["metrics"]["accuracy"] > 0.7  # of three kinds alike

    predict.main(["predict", str(run), "--input", fresh])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["row"] for line in lines] == list(range(FRESH))
    assert all(list(line["probabilities"]) == LABELS for line in lines)
    assert [line["label"] for line in lines] == [LABELS[n] for n in logits.argmax(1)]
    right = [line["label"] == kind for line, kind in zip(lines, kinds, strict=True)]
    assert said["metrics"]["accuracy"] == pytest.approx(np.mean(right))
