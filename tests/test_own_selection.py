"""config.data.selection: the metric by which the best of files of one's own is chosen."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from test_own import GIVEN, NUMBERS, ROWS, csv_of, parse, put, quiet

from jaxdistill import evaluate, running, scoring
from jaxdistill.data.own import from_plain, own_task, to_plain
from jaxdistill.errors import UserError
from jaxdistill.files import read_json, write_json
from jaxdistill.finished_teacher import tell_changes
from jaxdistill.log import read_metrics
from jaxdistill.metrics import choices
from jaxdistill.own_section import without_unlabelled
from jaxdistill.recipe import ensure_run
from jaxdistill.runs import open_run
from jaxdistill.scoring import score
from jaxdistill.teachers import teacher_config

THREE = csv_of([(f"t{n}", "abc"[n % 3]) for n in range(30)])
MANY = csv_of([(f"t{n}", ("a|b", "b", "c")[n % 3]) for n in range(30)])
SCORED = {  # one row of each kind, as evaluations score it
    "two": (csv_of(ROWS), np.zeros((1, 2)), np.zeros(1, int), "accuracy"),
    "three": (THREE, np.zeros((1, 3)), np.zeros(1, int), "accuracy"),
    "number": (NUMBERS, np.zeros((1, 1)), np.zeros(1), "mean_pearson_spearman"),
    "many": (MANY, np.zeros((1, 3)), np.zeros((1, 3), int), "micro_f1"),
}


@pytest.fixture(autouse=True)
def _at_the_root(request, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)


def task_by(path: str, selection: str | None):
    return own_task({"train": path}, ("body",), "kind", None, quiet, selection=selection)


@pytest.mark.parametrize("kind", SCORED)
def test_whatever_is_scored_and_better_if_more_can_choose(kind, tmp_path):
    content, logits, labels, usual = SCORED[kind]
    path = put(tmp_path / "a.csv", content)
    names = set(score(logits.astype(np.float32), labels)) - {"loss", "mse"}
    task = task_by(path, None)
    assert (task.selection, task_by(path, "").selection) == (usual, usual)
    assert set(choices(len(task.labels), many=task.many)) == names
    assert ("f1" in names) == (kind == "two")
    for name in sorted(names):
        task = task_by(path, name)
        assert task.selection == name
        assert from_plain(json.loads(json.dumps(to_plain(task)))) == task
    for wrong in ("loss", "mse", "makro_f1"):
        with pytest.raises(UserError) as refused:
            task_by(path, wrong)
        said = str(refused.value)
        assert f"config.data.selection is {wrong!r}" in said and f"empty for {usual}." in said
        assert {word.strip(",") for word in said.split()} >= names


def test_the_task_of_an_old_run_is_read(tmp_path):
    plain = to_plain(task_by(put(tmp_path / "a.csv", MANY), "macro_f1"))
    assert plain.pop("selection") == "macro_f1"
    assert from_plain(plain).selection == "micro_f1"


def test_it_is_for_files_of_ones_own():
    with pytest.raises(UserError, match="selection=f1 is for files of one's own, and config.task"):
        parse("kd.py:own", task="sst2", data__selection="f1")
    with pytest.raises(UserError, match="config.data.selection is for files of your own"):
        parse("kd_sst2.py", data__selection="f1")


def test_a_teacher_that_is_yet_to_be_trained_is_chosen_by_it(tmp_path):
    more = {"data__selection": "macro_f1", "teacher__run": f"{tmp_path / 'teacher'}/"}
    config = parse("own_data.py", **GIVEN, **more)
    recipe, _ = teacher_config(config)
    assert recipe is not None and recipe.data.selection == "macro_f1"
    # Of a classifier that is taken as it is, no best is chosen.
    assert without_unlabelled(config.data).selection is None


def test_a_teacher_that_another_metric_chose_is_told(tmp_path):
    path = put(tmp_path / "a.csv", THREE)
    for name in ("teacher", "student"):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "data.json", {"train": {"rows": 27}})
    teacher = SimpleNamespace(
        folder=tmp_path / "teacher",
        task=task_by(path, None),
        description=SimpleNamespace(method="finetune"),
    )
    said: list[str] = []
    tell_changes(teacher, task_by(path, "accuracy"), tmp_path / "student", said.append)
    assert said == []
    tell_changes(teacher, task_by(path, "macro_f1"), tmp_path / "student", said.append)
    assert len(said) == 1 and "chosen by accuracy, not by macro_f1" in said[0]


def test_a_name_that_is_none_is_refused_before_anything_is_made(tmp_path):
    """Of three classes f1 is none, which only the file tells; the teacher would come first."""
    train = put(tmp_path / "a.csv", THREE)
    given = {**GIVEN, "data__train": train, "data__selection": "f1"}
    more = {"workdir": tmp_path / "run", "teacher__run": f"{tmp_path / 'teacher'}/"}
    config = parse("own_data.py", **given, **more)
    with pytest.raises(UserError, match="selection is 'f1'.*macro_f1"):
        ensure_run(config)
    assert not (tmp_path / "teacher").exists()
    assert not (tmp_path / "run" / "model.json").exists()


@pytest.mark.parametrize("selection", [None, "macro_f1"])
def test_the_best_is_chosen_by_it(selection, tmp_path, monkeypatch, capsys):
    """Of three evaluations the accuracy is best in the last one, macro F1 in the first."""
    train = put(tmp_path / "a.csv", THREE)
    values = iter([{"accuracy": 0.1 * n, "macro_f1": 1 - 0.1 * n} for n in range(1, 4)])

    def forged(logits, labels):
        return {**scoring.score(logits, labels), **next(values, {})}

    monkeypatch.setattr(running, "score", forged)
    checkpoint = tiny.write_checkpoint(tmp_path / "hub" / "tiny-bert")
    plan = {f"stages__finetune__{k}": v for k, v in tiny.PLAN.items()}
    more = {**GIVEN, "data__train": train, "workdir": tmp_path / "run", "model__source": checkpoint}
    more |= {"data__buckets": "(16,)", "data__max_length": 16}
    if selection:
        more["data__selection"] = selection
    report = ensure_run(parse("teacher.py:own", **more, **plan))
    name = selection or "accuracy"
    judged = [line for line in read_metrics(tmp_path / "run") if line["kind"] == "eval"]
    assert len(judged) == 3
    wanted = judged[0 if selection else 2]["step"]
    assert (report["selection"], report["stages"][0]["step"]) == (name, wanted)
    assert read_json(tmp_path / "run" / "task.json")["selection"] == name
    found = open_run(tmp_path / "run", quiet)
    assert (found.task.selection, found.description.selection) == (name, name)
    evaluate.main(["evaluate", str(tmp_path / "run"), "--json"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["step"] == wanted
