"""What a run would refuse after hours is refused before its teacher is trained."""

from __future__ import annotations

import sys

import pytest

from jaxdistill.config import from_command_line
from jaxdistill.data.augment import words
from jaxdistill.data.tasks import known_task
from jaxdistill.errors import UserError
from jaxdistill.foresight import foresee
from jaxdistill.recipe import ensure_run
from jaxdistill.teachers import teacher_config

BILSTM, KD = "bilstm_sst2.py", "kd_sst2.py"


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
    "confidence of a regression": (
        "kd.py:stsb",
        {"augment__name": "tang", "augment__confidence": 0.5},
        "stsb is a regression.* Set it to 0",
    ),
    "neighbours that are not there": (
        KD,
        {"augment__name": "tinybert", "augment__vectors": "near.txt"},
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
    tinybert = {"augment__name": "tinybert", **characters}
    masked = {"augment__name": "tang", "augment__p_pos": 0.0, **characters}
    own = {"teacher__run": "runs/mine", "student__vectors": "runs/mine"}
    for flags in ({}, own, text, tang, tinybert, masked):
        look(parse(BILSTM, **flags))
