"""Rows made in chunks by any number of processes and kept on disk; and what is trained on."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_augment_tang import tang
from test_augment_words import ANY

from jaxdistill.config import from_command_line
from jaxdistill.data.augment.added import MADE, TEXT, assemble, keep, read_own, with_own
from jaxdistill.data.augment.made import Chunks, Copy, Report, Work, make
from jaxdistill.data.augment.words import normal
from jaxdistill.data.augment.workers import mapped
from jaxdistill.data.tables import Examples
from jaxdistill.data.tasks import find_task
from jaxdistill.errors import Preempted, UserError
from jaxdistill.makers import make_maker

ROWS = [3 * n for n in range(23)]
TEXTS = ([f"w{n} w{n + 1}, x{n % 5}" for n in range(23)], [f"y{n % 7} w{n}" for n in range(23)])
WORK = tang(copies=4, p_ng=0.3)


def plainly(rows, texts):
    return list(zip(rows, texts, strict=True))


def made(folder, workers: int = 1, poll=lambda: None, work=WORK, said=None, done=None):
    said, done = [] if said is None else said, [] if done is None else done
    report = Report(poll, lambda there, rows: done.append((there, rows)), said.append)
    return make(ROWS, TEXTS, work, plainly, Chunks(folder), report, workers=workers, size=5)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def expected():
    return Work(WORK)(plainly(ROWS, list(zip(*TEXTS, strict=True))))


def test_one_and_two_processes_make_the_same(tmp_path):
    alone, both = made(tmp_path / "1"), made(tmp_path / "2", workers=2)
    assert alone == both == expected()
    assert files(tmp_path / "1") == files(tmp_path / "2")
    assert len(alone) > 150
    assert [copy.row for copy in alone] == sorted(copy.row for copy in alone)


def test_chinese_words_in_other_processes(tmp_path):
    pytest.importorskip("jieba")
    rows, texts = [0, 1], ["房间很干净，服务也好", "我喜欢这部电影的故事"]
    train = Examples(np.array(rows, np.int32), (texts,), np.zeros(2, np.int32))
    recipe = str(Path(__file__).parents[1] / "configs" / "kd.py") + ":reviews_zh"
    flags = ["--config.augment.name=tang", "--config.augment.p_mask=0.2"]
    about = from_command_line(["main", f"--config={recipe}", *flags]).augment
    said: list[str] = []
    maker = make_maker(
        about,
        train,
        SimpleNamespace(tokenizer=None, poll=lambda: None, log=SimpleNamespace(notice=said.append)),
    )
    report = Report(lambda: None, lambda there, rows: None, said.append)
    one, two = (
        make(rows, (texts,), maker.work, maker.prepare, chunks, report, workers=n, size=1)
        for n, chunks in ((1, Chunks(tmp_path / "1")), (2, Chunks(tmp_path / "2")))
    )
    assert one == two
    assert {copy.row for copy in one} == {0, 1}
    assert any("[MASK]" in copy.texts[0] for copy in one)
    assert not any(" " in copy.texts[0] for copy in one)
    assert said == ["augment tang: 8 word classes by jieba; 92% of the train texts' words have one"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopped_making_goes_on_where_it_stopped(workers, tmp_path):
    asked = 0

    def poll():
        nonlocal asked
        asked += 1
        if asked == 4:
            raise Preempted("stopped by the test")

    with pytest.raises(Preempted):
        made(tmp_path / "broken", workers, poll)
    kept = len(files(tmp_path / "broken")) if (tmp_path / "broken").is_dir() else 0
    assert kept < 5
    done: list[tuple[int, int]] = []
    assert made(tmp_path / "broken", done=done) == expected()
    assert len(done) == 5 - kept
    assert sorted(there for there, _ in done) == list(range(kept + 1, 6))
    if workers == 1:
        assert kept == 3
        assert [rows for _, rows in done] == [5, 3]
    made(tmp_path / "whole")
    assert files(tmp_path / "broken") == files(tmp_path / "whole")
    made(tmp_path / "whole", work=None)  # nothing is made again


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "gone"])
def test_damage_costs_its_chunk(damage, tmp_path):
    made(tmp_path)
    before = files(tmp_path)
    path = tmp_path / "000002.jsonl"
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        flipped = whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]
        path.write_bytes({"flipped": flipped, "cut": whole[:-9], "empty": b""}[damage])
    said, done = [], []
    assert made(tmp_path, said=said, done=done) == expected()
    assert done == [(5, 5)]
    assert files(tmp_path) == before
    assert [("1 of 5 chunks" in line) for line in said] == ([] if damage == "gone" else [True])


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path):
    (tmp_path / "file").write_text("")
    said: list[str] = []
    assert made(tmp_path / "file" / "folder", said=said) == expected()
    assert len(said) == 1
    assert "cannot be written" in said[0]


class Fails:
    """Raises, ends its process or takes its time, by the input."""

    def __call__(self, given):
        if given == "raises":
            raise ValueError("what it was")
        if given == "ends":
            raise SystemExit(3)
        time.sleep(30)


@pytest.mark.parametrize(("given", "said"), [("raises", "what it was"), ("ends", "status 3")])
def test_a_worker_that_fails_is_said(given, said):
    with pytest.raises(RuntimeError, match=said):
        list(mapped(Fails(), [(0, given)], 2, lambda: None))


def test_workers_are_ended_by_a_signal_to_this_process():
    begun = time.monotonic()

    def poll():
        if time.monotonic() - begun > 1:
            raise Preempted("stopped by the test")

    import multiprocessing

    with pytest.raises(Preempted):
        list(mapped(Fails(), [(0, "sleeps"), (1, "sleeps")], 2, poll))
    assert time.monotonic() - begun < 25
    assert not multiprocessing.active_children()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(ANY, ANY), max_size=8))
def test_any_texts_are_kept_in_order_and_nothing_is_there_twice(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("any")
    rows = list(range(len(pairs)))
    columns = tuple([pair[n] for pair in pairs] for n in (0, 1))
    report = Report(lambda: None, lambda there, rows: None, lambda text: None)
    chunks = Chunks(folder)
    copies = make(rows, columns, WORK, plainly, chunks, report, workers=1, size=3)
    assert make(rows, columns, None, plainly, chunks, report, workers=1, size=3) == copies
    train = Examples(np.array(rows, np.int32), columns, np.zeros(len(rows), np.int32))
    added = assemble(train, [], copies, per_row=12, labels="source", others=[])
    assert [column[: len(rows)] for column in added.examples.texts] == list(columns)
    assert (np.diff(added.examples.row) > 0).all()
    assert (np.diff(added.source[len(rows) :]) >= 0).all()
    said = [tuple(map(normal, texts)) for texts in zip(*added.examples.texts, strict=True)]
    assert len(set(said[len(rows) :])) == len(said) - len(rows)
    assert not set(said[len(rows) :]) & set(said[: len(rows)])


# ---- rows


TRAIN = Examples(
    np.array([5, 2], np.int32), (["a good film", "A film"],), np.array([1, 0], np.int32)
)
COPIES = [
    Copy(5, 0, ("a [MASK] film",)),
    Copy(5, 2, ("a  FILM",)),  # the other original
    Copy(2, 0, ("film",)),
    Copy(2, 1, ("a [MASK]  film",)),  # made already
    Copy(2, 3, ("of dev",)),
    Copy(2, 4, ("my own",)),
]
OWN = [(0, ("my own",)), (4, ("a film",)), (7, ("also mine",))]


@pytest.mark.parametrize(("labels", "theirs"), [("source", [1, 0]), ("none", [-1, -1])])
def test_rows_by_hand(labels, theirs):
    added = assemble(TRAIN, OWN, COPIES, per_row=10, labels=labels, others=[("Of dev",)])
    assert added.examples.texts == (
        ["a good film", "A film", "my own", "also mine", "a [MASK] film", "film"],
    )
    assert added.examples.row.tolist() == [5, 2, TEXT, TEXT + 7, MADE + 50, MADE + 20]
    assert added.examples.row.dtype == added.source.dtype == np.int32
    assert added.examples.labels.tolist() == [1, 0, -1, -1, *theirs]
    assert added.source.tolist() == [5, 2, TEXT, TEXT + 7, 5, 2]
    assert added.counts == {"original": 2, "text": 2, "made": 2, "repeated": 5}
    kept = keep(added, np.array([False, True, True, False]))
    assert kept.examples.texts == (["a good film", "A film", "also mine", "a [MASK] film"],)
    assert kept.examples.labels.tolist() == [1, 0, -1, theirs[0]]
    assert kept.source.tolist() == [5, 2, TEXT + 7, 5]
    assert kept.counts == {"original": 2, "text": 1, "made": 1, "repeated": 5, "unsure": 2}


def test_texts_to_train_on_are_those_of_ones_own_too_and_none_that_judges():
    dev = Examples(np.zeros(2, np.int32), (["also mine", "Of dev"],), np.zeros(2, np.int32))
    own = [*OWN, (9, ("of  dev",)), (11, ("MY own",)), (12, ("more",))]
    assert with_own({"train": TRAIN, "dev": dev}, own) == (
        ["a good film", "A film", "my own", "more"],
    )
    assert with_own({"train": TRAIN, "dev": dev}, []) == TRAIN.texts


def test_a_regression_has_no_number_without_a_label():
    train = TRAIN._replace(labels=np.array([0.5, 4.0], np.float32))
    added = assemble(train, OWN, COPIES, per_row=10, labels="source", others=[])
    assert added.examples.labels.dtype == np.float32
    np.testing.assert_array_equal(added.examples.labels[:5], [0.5, 4.0, np.nan, np.nan, 0.5])


def test_originals_stay_as_they_are_even_twice():
    train = Examples(np.arange(2, dtype=np.int32), (["same", "same"],), np.zeros(2, np.int32))
    added = assemble(train, [], [], per_row=1, labels="source", others=[("same",)])
    assert added.examples.texts == (["same", "same"],)


def test_more_rows_than_can_be_numbered_are_refused():
    many = TRAIN._replace(row=np.array([2**28, 1], np.int32))
    with pytest.raises(UserError, match="config.augment.copies"):
        assemble(many, [], [], per_row=10, labels="source", others=[])


def test_texts_of_ones_own(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("one\n\n two \n", "utf-8")
    assert read_own(find_task("sst2"), path, print) == [(0, ("one",)), (2, ("two",))]
    path.write_text("one\tother\n\t\n", "utf-8")
    assert read_own(find_task("rte"), path, print) == [(0, ("one", "other"))]
    path.write_text("\n", "utf-8")
    with pytest.raises(UserError, match="holds no text"):
        read_own(find_task("sst2"), path, print)


def test_chunks_are_ascii_and_say_what_they_hold(tmp_path):
    Chunks(tmp_path).write(0, [Copy(1, 2, ("é\ud800\u2028", "b"))])
    head, line = (tmp_path / "000000.jsonl").read_text("ascii").splitlines()
    assert len(head) == 64
    assert json.loads(line) == [1, 2, "é\ud800\u2028", "b"]
    assert Chunks(tmp_path).read(0) == [Copy(1, 2, ("é\ud800\u2028", "b"))]
