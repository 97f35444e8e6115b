"""Who teaches a run: what a config may say of it, which stages a cache or a file serves."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from jaxdistill import teaching
from jaxdistill.config import from_command_line
from jaxdistill.data.readers import Examples
from jaxdistill.data.tasks import TASKS
from jaxdistill.errors import UserError
from jaxdistill.files import read_json
from jaxdistill.log import RunLog
from jaxdistill.teaching import Teaching, answers, check_needs, gather
from jaxdistill.types import Stage, Taught


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


def parse(*words):
    return from_command_line(["main", "--config=configs/tinybert_sst2.py", *words])


def stage(name, *needs):
    return Stage(name, lambda *_: None, lambda path: True, "last", needs, (2,))


def planned(name, *needs):
    return SimpleNamespace(stage=stage(name, *needs), plan=SimpleNamespace(precision="float32"))


def test_every_recipe_states_the_cache():
    about = parse().teacher
    assert (about.cache, about.cache_gigabytes, about.logits) == (True, 10.0, None)
    assert (about.others, about.weights, about.combine) == ((), (), "logits")


T = "--config.teacher."


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([T + "run="], "teacher.run is empty"),
        ([T + "cache_gigabytes=0"], "cache_gigabytes is 0.0, and must be above 0"),
        ([T + "cache_gigabytes=nan"], "cache_gigabytes is nan"),
        ([T + "combine=mean"], "combine is 'mean'"),
        ([T + "weights=(0.5,0.5)"], r"weights is \(0.5, 0.5\).* 1 teacher"),
        ([T + "others=('a',)", T + "weights=(1.0,0.0)"], "above 0 for each of 2"),
        ([T + "others=('a',)", T + "logits=a.csv"], "one or the other"),
        ([T + "others=('a',)", T + "cache=False"], "set config.teacher.cache=True"),
    ],
)
def test_a_config_that_does_not_work_is_refused(words, said):
    with pytest.raises(UserError, match=said):
        parse(*words)


@pytest.mark.parametrize(
    ("words", "needs", "said"),
    [
        ([], ("hiddens", "scores"), None),
        ([T + "others=('a',)"], ("logits",), None),
        ([T + "others=('a',)"], ("logits", "cls"), "cls, logits, and config.teacher.others"),
        ([T + "others=('a',)"], ("hiddens",), "can only give logits"),
        ([T + "others=('a',)"], (), "no stage of config.method reads"),
        ([T + "logits=a.csv"], ("logits",), None),
        ([T + "logits=a.csv"], ("logits", "cls"), "config.teacher.logits can only give logits"),
        ([T + "logits=a.csv"], ("hiddens",), "no stage of config.method reads"),
        ([T + "logits=a.csv", T + "run="], ("logits",), None),
        ([T + "logits=a.csv", T + "run="], ("hiddens",), "can only give logits"),
    ],
)
def test_what_a_stage_reads_must_be_there(words, needs, said):
    about = parse(*words).teacher
    if said is None:
        check_needs((stage("s", *needs),), about)
        return
    with pytest.raises(UserError, match=said):
        check_needs((stage("s", *needs),), about)


def test_a_file_serves_the_last_stage_and_the_run_the_first():
    both = (stage("one", "hiddens", "scores"), stage("two", "logits"))
    check_needs(both, parse(T + "logits=a.csv").teacher)
    with pytest.raises(UserError, match="Stage one"):
        check_needs(both, parse(T + "logits=a.csv", T + "run=").teacher)


# ---- a file of logits

TRAIN = Examples(np.arange(4, dtype=np.int32), (["a"] * 4,), np.array([0, 1, 1, 0], np.int32))
GOOD = "row,negative,positive\n0,1,0\n1,0,1\n2,0,1\n3,1,0\n"


def gathered(tmp_path, text, **given):
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "run").mkdir(exist_ok=True)
    words = [f"--workdir={tmp_path / 'run'}", f"{T}logits={tmp_path / 'a.csv'}", T + "run="]
    config = dataclasses.replace(parse(*words), **given)
    return gather(config, TASKS["sst2"], None, TRAIN, RunLog(None))


def test_logits_alone_are_a_teacher(tmp_path, capsys):
    found = gathered(tmp_path, GOOD)
    assert found.teacher is None
    assert found.logits.tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]
    assert "train accuracy 1.0000" in capsys.readouterr().err
    again = gathered(tmp_path, GOOD)
    assert np.array_equal(again.logits, found.logits)


def test_a_file_that_guesses_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"0.0000 on train.*columns named"):
        gathered(tmp_path, GOOD.replace("negative,positive", "positive,negative"))


def test_a_file_that_changes_under_a_run_is_refused(tmp_path):
    gathered(tmp_path, GOOD)
    gathered(tmp_path, GOOD.replace("0,1,0", "0,2,0"))  # nothing was trained yet
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="does not hold the logits that the run"):
        gathered(tmp_path, GOOD)


def test_probabilities_of_a_regression_are_refused(tmp_path):
    config = parse(T + "others=('a',)", T + "combine=probabilities")
    with pytest.raises(UserError, match="stsb is a regression"):
        gather(config, TASKS["stsb"], tmp_path, TRAIN, RunLog(None))


# ---- which stages are served


@pytest.fixture
def bench(tmp_path):
    (tmp_path / "teacher").mkdir()
    return SimpleNamespace(
        config=parse(),
        folder=tmp_path,
        tables={"train": "train"},
        augmented=None,
        mesh=None,
        log=RunLog(None),
        signals=SimpleNamespace(poll=None),
    )


@pytest.fixture
def asked(monkeypatch):
    """What the cache was asked, instead of a cache; its answer is asked.answer."""
    seen = SimpleNamespace(questions=[], answer=Taught(np.zeros((4, 2))))

    def cached(question, table, room, *, name):
        seen.questions.append(question)
        return seen.answer

    monkeypatch.setattr(teaching, "cached_answers", cached)
    return seen


ONE = Teaching(teacher="teacher")


@pytest.mark.parametrize(
    ("needs", "layers"),
    [(("logits",), ()), (("cls",), (2,)), (("logits", "cls"), (2,))],
)
def test_a_stage_of_logits_and_cls_is_served(needs, layers, bench, asked):
    assert answers(bench, ONE, planned("s", *needs)) is asked.answer
    assert [question.layers for question in asked.questions] == [layers]


@pytest.mark.parametrize("needs", [(), ("hiddens",), ("logits", "hiddens")])
def test_another_stage_asks_the_teacher(needs, bench, asked):
    assert answers(bench, ONE, planned("s", *needs)) is None
    assert asked.questions == []


def test_without_cache_the_step_asks(bench, asked):
    bench.config = parse(T + "cache=False")
    assert answers(bench, ONE, planned("s", "logits")) is None
    assert asked.questions == []


def test_a_file_goes_before_the_teacher(bench, asked):
    logits = np.ones((4, 2), np.float32)
    bench.config = parse(T + "logits=a.csv")
    taught = dataclasses.replace(ONE, logits=logits)
    assert answers(bench, taught, planned("s", "logits")).logits is logits
    assert answers(bench, taught, planned("s", "cls")) is asked.answer


def test_a_stage_that_began_without_cache_goes_on_without(bench, asked):
    """Both differ in the last bits, and a resumed run is bit-equal to an unbroken one."""
    known, asked.answer = asked.answer, None
    assert answers(bench, ONE, planned("s", "logits")) is None
    asked.answer = known
    assert answers(bench, ONE, planned("s", "logits")) is None
    assert answers(bench, ONE, planned("t", "logits")) is known
    assert read_json(bench.folder / "teacher" / "cache.json") == {"s": False, "t": True}
