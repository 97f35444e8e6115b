"""What a run would refuse after hours is refused before its teacher is trained."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import tiny

from jaxdistill.config import from_command_line
from jaxdistill.data.augment import words
from jaxdistill.data.tables import Examples
from jaxdistill.data.tasks import known_task
from jaxdistill.errors import UserError
from jaxdistill.foresight import foresee
from jaxdistill.inputs import data_changed, same_data
from jaxdistill.preparing import afresh, tell_start
from jaxdistill.recipe import ensure_run
from jaxdistill.teachers import teacher_config

BILSTM, KD = "bilstm_sst2.py", "kd_sst2.py"


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def look(config) -> None:
    recipe, _ = teacher_config(config)
    foresee(config, known_task(config.task), recipe)


@pytest.fixture
def parse(tmp_path, request, monkeypatch):
    """A recipe's config, with files in the working folder."""
    root = request.config.rootpath
    monkeypatch.chdir(tmp_path)

    def parsed(recipe: str, **flags: object):
        given = [f"--config.{name.replace('__', '.')}={value}" for name, value in flags.items()]
        return from_command_line(["main", f"--config={root}/configs/{recipe}", *given])

    return parsed


WRONG = {
    "vectors that are not there": (
        BILSTM,
        {"student__view": "words", "student__vectors": "glove.txt"},
        "config.student.vectors=glove.txt is no file",
    ),
    "vectors of another width": (
        BILSTM,
        {"student__view": "words", "student__vectors": "three.txt"},
        "three.txt has vectors of 3 numbers.* Set --config.student.width=3",
    ),
    "words that are not there": (
        BILSTM,
        {"student__vocabulary": "words.txt"},
        "config.student.vocabulary=words.txt is no file",
    ),
    "texts that are not there": (
        KD,
        {"augment__name": "text", "augment__text": "mroe.txt"},
        "There is no file mroe.txt",
    ),
    "texts in another column": (
        KD,
        {"augment__name": "text", "augment__text": "more.csv"},
        "more.csv has the columns a, b",
    ),
    "texts that are none": (
        KD,
        {"augment__name": "text", "augment__text": "empty.txt"},
        "empty.txt holds no text",
    ),
    "a text that is none, further down": (
        KD,
        {"augment__name": "text", "augment__text": "more.jsonl"},
        "more.jsonl.*line 2",
    ),
    "logits that are not there": (
        KD,
        {"teacher__logits": "logits.csv"},
        "config.teacher.logits=logits.csv is no file",
    ),
    "other teachers that are not there": (
        KD,
        {"teacher__others": "('runs/other',)"},
        "config.teacher.others names runs/other, which holds no finished run",
    ),
    "a student's start that is not there": (
        KD,
        {"student__source": "./studnet"},
        "config.student.source=./studnet is no folder",
    ),
    "a student's start that the hub cannot be asked for": (
        KD,
        {"student__source": "assets/studnet"},
        "assets/studnet is neither a local folder nor in the cache .*HF_HUB_OFFLINE is set",
    ),
    "a student's start that no hub could have": (
        KD,
        {"student__source": "assets/studnets/best"},
        "assets/studnets/best is neither a local folder nor a hub name",
    ),
    "a masked-LM that is not there": (
        KD,
        {"augment__name": "tinybert", "augment__model": "runs/masked"},
        "config.augment.model=runs/masked is no folder",
    ),
    "vectors of a teacher from nothing": (
        BILSTM,
        {"teacher__source": "random"},
        "vectors is pretrained, and the teacher begins with drawn ones",
    ),
    "vectors of a narrow teacher": (
        BILSTM,
        {
            "student__vectors": "teacher",
            "teacher__source": "random",
            "teacher__recipe__model__width": 64,
        },
        "config.student.width is 300, and the teacher's word vectors will have 64",
    ),
    "a loss that is none": (
        KD,
        {"method__soft_loss": "mse"},
        "config.method.soft_loss is 'mse', not one of",
    ),
    "layers that do not divide": (
        "tinybert_sst2.py",
        {"teacher__source": "bert", "student__layers": 5},
        "The student has 5 layers and the teacher 12",
    ),
    "more layers than there are": (
        KD,
        {"teacher__source": "bert", "student__layers": 13},
        "config.student.layers is 13, and the teacher has 12",
    ),
    "a stage without a plan": (
        "tinybert_sst2.py",
        {"teacher__source": "bert", "method__stages_run": "('joint',)"},
        "add config.stages.joint",
    ),
    "logits for a stage that reads states": (
        "pkd_sst2.py",
        {"teacher__source": "bert", "teacher__logits": "logits.csv", "data__folder": "glue"},
        "config.teacher.logits can only give logits|reads the teacher's",
    ),
    "logits that lack a row": (
        KD,
        {"teacher__logits": "few.csv", "data__folder": "glue"},
        "few.csv",
    ),
    "confidence of a regression": (
        "kd.py:stsb",
        {"augment__name": "tang", "augment__confidence": 0.5},
        "stsb is a regression.* Set it to 0",
    ),
    "neighbours that are not there": (
        KD,
        {"augment__name": "tinybert", "augment__model": "", "augment__vectors": "near.txt"},
        "config.augment.vectors=near.txt is no file",
    ),
}


ROWS = {
    "one class": ("classes", ["a", "a", "a"]),
    "one number": ("number", [2.5, 2.5, 2.5]),
    "one set": ("many", ["a|b", "b|a", "a|b"]),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_dev_that_no_teacher_can_beat_is_foreseen(case, parse, tmp_path):
    kind, dev = ROWS[case]
    for name, rows in (("train", ["a", "b", "a", "b"]), ("dev", dev)):
        labels = [1, 2, 3, 4] if kind == "number" and name == "train" else rows
        lines = [f"{name} {n},{label}\n" for n, label in enumerate(labels)]
        (tmp_path / f"{name}.csv").write_text("".join(["body,kind\n", *lines]))
    flags = {"data__train": "train.csv", "data__dev": "dev.csv", "data__text": "body"}
    flags |= {"data__label": "kind", "data__labels": kind}
    with pytest.raises(UserError, match="All rows of dev have the same label.*margin=-1"):
        look(parse("kd.py:own", **flags))
    look(parse("kd.py:own", **flags, teacher__margin=-1.0))


@pytest.mark.parametrize("case", WRONG)
def test_it_is_foreseen(case, parse, tmp_path):
    (tmp_path / "three.txt").write_text("film 1 2 3\n")
    (tmp_path / "more.csv").write_text("a,b\nx,y\n")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "more.jsonl").write_text('{"text": "a"}\n{"text": null}\n')
    (tmp_path / "few.csv").write_text("row,negative,positive\n0,1.5,0.5\n")
    (tmp_path / "bert").mkdir()
    sizes = {"vocab_size": 9, "hidden_size": 24, "num_hidden_layers": 12, "model_type": "bert"}
    sizes |= {"num_attention_heads": 12, "intermediate_size": 48}
    (tmp_path / "bert" / "config.json").write_text(json.dumps(sizes))
    tiny.write_sst2(tmp_path / "glue", train=8)
    recipe, flags, said = WRONG[case]
    config = parse(recipe, **flags)
    with pytest.raises(UserError, match=said):
        look(config)


@pytest.mark.parametrize("flags", [{"view": "jieba"}, {}])
def test_jieba_is_asked_for_where_it_cuts(flags, parse, monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    words._jieba.cache_clear()
    given = {f"student__{name}": value for name, value in flags.items()}
    given |= {} if flags else {"augment__name": "tang", "augment__words": "jieba"}
    config = parse(BILSTM, **given)
    with pytest.raises(UserError, match="pip install 'jieba"):
        look(config)


def test_a_run_foresees_before_it_trains_a_teacher(parse, tmp_path):
    (tmp_path / "three.txt").write_text("film 1 2 3\n")
    given = {"student__view": "words", "student__vectors": "three.txt"}
    config = parse(BILSTM, teacher__run="runs/none", data__folder=tmp_path, **given)
    with pytest.raises(UserError, match="three.txt has vectors of 3 numbers"):
        ensure_run(config)
    assert not (tmp_path / "runs" / "none").exists()


def test_what_is_not_asked_for_may_be_missing(parse, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    words._jieba.cache_clear()
    (tmp_path / "more.txt").write_text("film\n")
    text = {"augment__name": "text", "augment__text": "more.txt", "augment__words": "jieba"}
    tang = {"augment__name": "tang", "augment__vectors": "none.txt"}
    characters = {"augment__words": "characters", "augment__tagger": "jieba"}
    tinybert = {"augment__name": "tinybert", "augment__model": "runs/10:30", **characters}
    masked = {"augment__name": "tang", "augment__p_pos": 0.0, **characters}
    own = {"teacher__run": "runs/mine", "student__vectors": "runs/mine"}
    (tmp_path / "runs" / "10:30").mkdir(parents=True)
    odd = {"student__vectors": "runs/10:30"}
    for flags in ({}, own, odd, text, tang, tinybert, masked):
        look(parse(BILSTM, **flags))


# ---- where the teacher is


def test_the_student_does_not_take_its_teachers_place(parse):
    config = parse(KD, teacher__run="runs/kd_sst2/")
    with pytest.raises(UserError, match="--workdir and config.teacher.run are the same folder"):
        ensure_run(config)


def test_a_teacher_is_not_trained_into_a_folder_of_something_else(parse, tmp_path):
    (tmp_path / "out" / "checkpoint-500").mkdir(parents=True)
    with pytest.raises(UserError, match="out holds checkpoint-500, and is neither a run nor a mod"):
        teacher_config(parse(KD, teacher__run="out"))
    (tmp_path / "out" / "begun.json").write_text("{}")  # a run that was killed early
    assert teacher_config(parse(KD, teacher__run="out"))[0] is not None
    (tmp_path / "out" / "model.json").write_text("{}")
    with pytest.raises(UserError, match="names the stage kd of a run.* Give out"):
        teacher_config(parse(KD, teacher__run="out:kd"))


def test_the_teachers_data_are_the_students(parse):
    given = {"teacher__recipe__data__train_rows": 2000}
    with pytest.raises(UserError, match="recipe.data.train_rows is 2000, .*train_rows=0"):
        teacher_config(parse(KD, **given))
    recipe, _ = teacher_config(parse(KD, data__train_rows=2000, **given))
    assert recipe.data.train_rows == 2000


def test_a_run_that_has_lost_its_teacher_gets_no_other(parse, tmp_path):
    (tmp_path / "runs" / "kd_sst2" / "teacher").mkdir(parents=True)
    (tmp_path / "runs" / "kd_sst2" / "teacher" / "parameters.json").write_text("[]")
    tiny.write_sst2(tmp_path / "glue", train=8)
    with pytest.raises(UserError, match="was started with a teacher in runs/gone, and there is no"):
        ensure_run(parse(KD, teacher__run="runs/gone", data__folder="glue"))
    assert not (tmp_path / "runs" / "gone").exists()


def test_what_is_wrong_with_the_teachers_run_says_whose_keys_are_meant(parse, tmp_path):
    tiny.write_sst2(tmp_path / "glue", train=8)
    config = parse(KD, teacher__source="./none", data__folder="glue")
    with pytest.raises(UserError, match="In the teacher's run, .*begin with config.teacher.recipe"):
        ensure_run(config)


def test_rows_that_are_mended_before_training_begins_are_the_runs(tmp_path):
    def splits(text: str):
        return {"train": Examples(np.zeros(1, np.int32), ([text],), np.zeros(1, np.int32))}

    same_data(tmp_path, splits("old"))
    for name in ("words", "teacher"):
        (tmp_path / name).mkdir()
    (tmp_path / "teacher" / "report.json").write_text("{}")
    (tmp_path / "teacher" / "lock").write_text("")  # somebody trained one there
    (tmp_path / "teacher" / "parameters.json").write_text("[]")
    assert not data_changed(tmp_path, splits("old"))
    for text, kept in (("old", True), ("new", False)):
        afresh(tmp_path, data_changed(tmp_path, splits(text)))
        same_data(tmp_path, splits(text))
        assert (tmp_path / "words").is_dir() == kept
        assert (tmp_path / "teacher" / "parameters.json").is_file() == kept
    assert (tmp_path / "teacher" / "report.json").is_file()
    (tmp_path / "config.json").write_text("{}")
    afresh(tmp_path, data_changed(tmp_path, splits("old")))
    with pytest.raises(UserError, match="The train rows are not those"):
        same_data(tmp_path, splits("old"))


def test_another_start_than_the_run_began_with_is_told(tmp_path):
    told: list[str] = []
    tell_start(tmp_path, "a", told.append)
    tell_start(tmp_path, "b", told.append)  # nothing was trained yet
    (tmp_path / "config.json").write_text("{}")
    tell_start(tmp_path, "b", told.append)
    assert told == []
    tell_start(tmp_path, "a", told.append)
    assert "began with other parameters" in told[0]
