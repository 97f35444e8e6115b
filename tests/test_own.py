"""Files of one's own: read, split, answered where they are wrong, learnt with every method."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdistill import evaluate, predict
from jaxdistill.config import from_command_line
from jaxdistill.data.augment.added import assemble
from jaxdistill.data.augment.made import Copy
from jaxdistill.data.labels import as_set, find_labels, names_in
from jaxdistill.data.own import from_plain, own_task, read_own, to_plain
from jaxdistill.data.parting import held_out
from jaxdistill.data.readers import read_file, read_split
from jaxdistill.data.tables import Examples
from jaxdistill.data.tasks import find_task
from jaxdistill.errors import UserError
from jaxdistill.files import read_json
from jaxdistill.finished_teacher import tell_changes
from jaxdistill.gate import gate
from jaxdistill.losses import binary_cross_entropy, binary_kl_divergence
from jaxdistill.methods.finetune import labelled_loss, task_loss
from jaxdistill.methods.kd import BINARY_LOSSES
from jaxdistill.methods.tinybert import TinyBert
from jaxdistill.metrics import multilabel
from jaxdistill.models.bert import Bert, initial_params
from jaxdistill.own_section import check_many
from jaxdistill.planning import make_method
from jaxdistill.recipe import ensure_run
from jaxdistill.scoring import score
from jaxdistill.streaming import answers
from jaxdistill.types import Batch, Progress

METHODS = ("teacher", "student", "kd", "pkd", "tinybert", "theseus", "bilstm")
TEXTS = ["a, quoted", 'he said "no"', "line\nfeed", "plain"]
LABELS = ["bug", "wish", "bug", "praise"]


@pytest.fixture(autouse=True)
def _at_the_root(request, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)


def quiet(text: str) -> None:
    """A notice that nobody reads."""


def put(path: Path, content: str) -> str:
    path.write_text(content, "utf-8")
    return str(path)


def task_of(train: str, *, text: str = "body", label: str = "kind", kind=None, pair="", **files):
    texts = (text, pair) if pair else (text,)
    return own_task({"train": train, **files}, texts, label, kind, files.pop("notice", quiet))


def parse(recipe: str, **values):
    flags = [f"--config.{key.replace('__', '.')}={value}" for key, value in values.items()]
    return from_command_line(["main", f"--config=configs/{recipe}", *flags])


def jsonl(rows) -> str:
    return "".join(json.dumps(dict(zip(("body", "kind"), row, strict=True))) + "\n" for row in rows)


def as_csv(folder: Path) -> Path:
    text = 'id,kind,body\r\n1,bug,"a, quoted"\r\n2,wish,"he said ""no"""\r\n3,bug,"line\nfeed"\r\n'
    return Path(put(folder / "a.csv", text + "4,praise,plain\r\n"))


def as_jsonl(folder: Path) -> Path:
    return Path(put(folder / "a.jsonl", jsonl(zip(TEXTS, LABELS, strict=True))))


def as_parquet(folder: Path) -> Path:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    columns = {"kind": LABELS, "id": [1, 2, 3, 4], "body": TEXTS}
    parquet.write_table(pyarrow.table(columns), folder / "a.parquet")
    return folder / "a.parquet"


def as_tsv(folder: Path) -> Path:
    lines = ["\ufeffkind\tbody", *(f"{k}\t{t}" for k, t in zip(LABELS, TEXTS, strict=True))]
    return Path(put(folder / "a.tsv", "\n".join(lines).replace("line\nfeed", "line feed")))


@pytest.mark.parametrize("write", [as_csv, as_jsonl, as_parquet, as_tsv])
def test_a_file_of_each_format_by_hand(write, tmp_path):
    path = write(tmp_path)
    said: list[str] = []
    task = (
        own_task(
            {"train": str(path), "dev": str(as_csv(tmp_path / ".."))},
            ("body",),
            "kind",
            None,
            said.append,
        )
        if path.suffix != ".csv"
        else task_of(str(path))
    )
    assert task.labels == ("bug", "praise", "wish")
    found = read_file(task, path, quiet)
    wanted = [text.replace("\n", " ") if path.suffix == ".tsv" else text for text in TEXTS]
    assert found.texts == (wanted,)
    assert found.labels.tolist() == [0, 2, 0, 1]
    if said:
        assert "taken for 3 classes (bug 2, praise 1, wish 1)" in said[0]


def test_a_parquet_of_a_published_task(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    table = pyarrow.table({"sentence": ["fine", "dull"], "label": [1, 0]})
    parquet.write_table(table, tmp_path / "a.parquet")
    found = read_file(find_task("sst2"), tmp_path / "a.parquet", quiet)
    assert (found.texts[0], found.labels.tolist()) == (["fine", "dull"], [1, 0])


@pytest.mark.parametrize(
    ("values", "kind", "names"),
    [
        (["spam", "ham", "spam"], "classes", ("ham", "spam")),
        (["10", "9", "2", "9"], "classes", ("2", "9", "10")),
        (["1", "0", "-1"], "classes", ("-1", "0", "1")),
        (["0.5", "1", "3.25"], "number", ()),
        ([str(2 * n) for n in range(40)], "number", ()),
        ([str(n) for n in (*range(40), 80)], "number", ()),
        (["a|b", "", "b"], "many", ("a", "b")),
        (['["a", "b"]', "[]", '["c"]'], "many", ("a", "b", "c")),
        (["[spam]", "ham"], "classes", ("[spam]", "ham")),
    ],
)
def test_what_labels_are_is_found_out(values, kind, names):
    found, said = find_labels(values, range(len(values)), "a.csv, column kind", None)
    assert found == (kind, names)
    assert "--config.data.labels=" in said
    again, said = find_labels(values, range(len(values)), "a.csv, column kind", kind)
    assert again == found
    assert "--config.data.labels=" not in said


def test_several_labels_in_a_field():
    assert names_in(" a | b|") == ["a", "b"]
    assert names_in('["a|b", 2, 3.0]') == ["a|b", "2", "3"]
    accepted = {"a": 0, "b": 1, "c": 2}
    assert as_set("c|a|c", accepted) == [1, 0, 1]
    assert as_set("", accepted) == [0, 0, 0]
    assert as_set("a|x", accepted) is None


def test_who_says_what_labels_are_is_believed():
    names = [f"name {n % 30}" for n in range(50)]
    with pytest.raises(UserError, match="30 different labels in 50 rows.*labels=classes, many"):
        find_labels(names, range(50), "a.csv, column kind", None)
    for kind in ("classes", "many"):
        assert len(find_labels(names, range(50), "a.csv", kind)[0].names) == 30
    long = ["1" * 5000, "2"]  # more digits than Python makes a number of
    assert find_labels(long, range(2), "a.csv", "classes")[0].names == ("1" * 5000, "2")


PIECES = [b"body", b"kind", b"\t", b",", b"\n", b"\r", b'"', b"{", b"}", b":", b"[", b"]", b"|"]
PIECES += [b"1", b"2.5", b"a", b"b", b"\xff", b"\0", "好".encode(), b"\\ud800", b"\xed\xa0\x80"]
PIECES += [b"NaN", b"null"]


def test_half_a_character_in_a_label_is_replaced_as_in_a_text(tmp_path):
    path = tmp_path / "a.csv"
    rows = b"".join(b"x%d,a\xed\xa0\x80\ny%d,b\n" % (n, n) for n in range(10))
    path.write_bytes(b"body,kind\n" + rows)
    task = task_of(str(path))
    assert task.labels == ("a\ufffd", "b")
    parts = [read_own(task, split, "", quiet) for split in ("train", "dev")]
    assert sum(len(part.row) for part in parts) == 20


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([".csv", ".tsv", ".txt", ".jsonl", ".parquet"]),
    st.sampled_from([None, "classes", "number", "many"]),
    st.booleans(),
    st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join),
)
def test_any_bytes_are_a_task_or_a_user_error(tmp_path_factory, ending, kind, headed, content):
    start = {".csv": b"body,kind\n", ".jsonl": b'{"body": "x", "kind": "a"}\n'}
    path = tmp_path_factory.getbasetemp() / f"own{ending}"
    path.write_bytes((start.get(ending, b"body\tkind\n") if headed else b"") + content)
    try:
        task = task_of(str(path), kind=kind)
        parts = [read_own(task, split, "", quiet) for split in ("train", "dev")]
    except UserError:
        return
    assert len(parts[0].row) > 0
    assert not set(parts[0].row.tolist()) & set(parts[1].row.tolist())
    json.dumps(to_plain(task), ensure_ascii=False).encode()  # as RUN/task.json is written


def test_files_that_changed_since_the_teacher_was_trained_are_told(tmp_path):
    said: list[str] = []
    task = task_of(put(tmp_path / "a.csv", csv_of(ROWS)))
    for name, rows in (("teacher", 4), ("same", 4), ("more", 5)):
        (tmp_path / name).mkdir()
        put(tmp_path / name / "data.json", json.dumps({"train": {"rows": rows}}))
    trained = SimpleNamespace(method="finetune")
    teacher = SimpleNamespace(folder=tmp_path / "teacher", task=task, description=trained)
    tell_changes(teacher, task, tmp_path / "same", said.append)
    assert said == []
    tell_changes(teacher, task, tmp_path / "more", said.append)
    assert len(said) == 1 and "not those that the teacher" in said[0]
    teacher.task = find_task("sst2")
    tell_changes(teacher, find_task("sst2"), tmp_path / "more", said.append)
    assert "was trained on 4 rows of sst2, and the student is on 5. If" in said[1]
    teacher.description = SimpleNamespace(method="score")  # who knows on what
    tell_changes(teacher, find_task("sst2"), tmp_path / "more", said.append)
    assert len(said) == 2


def test_dev_is_split_off_by_what_texts_say():
    texts = [f"text number {n // 2}" for n in range(1000)]  # each twice
    labels = np.array([0 if n // 2 % 5 else 1 for n in range(1000)])  # 800 and 200
    held = held_out((texts,), labels)
    assert np.array_equal(held[0::2], held[1::2])  # the same text, the same side
    assert (held & (labels == 0)).sum() == 80
    assert (held & (labels == 1)).sum() == 20
    order = np.random.default_rng(0).permutation(1000)
    shuffled = held_out(([texts[i] for i in order],), labels[order])
    assert np.array_equal(shuffled, held[order])
    shouted = held_out(([text.upper() if n % 2 else text for n, text in enumerate(texts)],), labels)
    assert np.array_equal(shouted[0::2], shouted[1::2])


def test_dev_of_numbers_of_sets_and_of_rare_labels():
    texts = ([f"t{n}" for n in range(400)],)
    targets = np.linspace(0, 5, 400, dtype=np.float32)
    held = held_out(texts, targets)
    assert [held[n : n + 40].sum() for n in range(0, 400, 40)] == [4] * 10  # each tenth its share
    sets = np.zeros((400, 2), np.int32)
    sets[:, 0] = 1
    sets[:10, 1] = 1  # rare, and always with the other
    assert held_out(texts, sets)[:10].sum() == 1
    rare = np.array([0] * 397 + [1, 1, 2])
    found = held_out(texts, rare)
    assert (found[397:399].sum(), found[399]) == (1, False)  # one of two, and a single one stays
    many = held_out(([f"t{n}" for n in range(100_000)],), np.arange(100_000) % 4)
    assert many.sum() == 5000


def test_the_split_of_a_file_keeps_its_row_numbers(tmp_path):
    path = put(tmp_path / "a.jsonl", jsonl((f"text {n}", "ab"[n % 2]) for n in range(100)))
    task = task_of(path)
    assert task.held_out
    said: list[str] = []
    train = read_split(task, "train", "", said.append)
    dev = read_split(task, "dev", "", said.append)
    assert sorted([*train.row.tolist(), *dev.row.tolist()]) == list(range(100))
    assert dev.texts[0] == [f"text {n}" for n in dev.row.tolist()]
    assert dev.labels.tolist() == [n % 2 for n in dev.row.tolist()]
    assert len(dev.row) == 10
    assert sum("10 of the 100 rows are split off as dev" in line for line in said) == 1
    moved = tmp_path / "there"
    moved.mkdir()
    Path(path).rename(moved / "a.jsonl")
    assert read_own(task, "dev", moved, quiet).row.tolist() == dev.row.tolist()
    assert from_plain(json.loads(json.dumps(to_plain(task)))) == task


ROWS = [("good film", "yes"), ("bad film", "no"), ("a film", "yes"), ("no film", "no")]
GOOD = jsonl(ROWS)


def csv_of(rows) -> str:
    return "body,kind\n" + "".join(f"{body},{kind}\n" for body, kind in rows)


NUMBERS = csv_of([(f"t{n}", f"{n}.5") for n in range(30)])
Wrong = Callable[[Path], object]


def own(train: str, dev: str = "", name: str = "a.csv", **columns) -> Wrong:
    def wrong(folder: Path) -> object:
        files = {"dev": put(folder / f"dev{Path(name).suffix}", dev)} if dev else {}
        task = task_of(put(folder / name, train), **columns, **files)
        return [read_split(task, split, "", quiet) for split in ("train", "dev")]

    return wrong


def recipe(name: str, **values) -> Wrong:
    return lambda folder: parse(name, **values)


def same_file(folder: Path) -> object:
    path = put(folder / "a.csv", csv_of(ROWS))
    (folder / "b.csv").symlink_to(path)
    return task_of(path, dev=str(folder / "b.csv"))


GIVEN = {"data__train": "a.csv", "data__text": "body", "data__label": "kind"}
WRONG: dict[str, tuple[Wrong, str]] = {
    "no such column": (
        own(csv_of(ROWS).replace("body", "text")),
        "a.csv has no column 'body', which config.data.text names.*gives text, kind",
    ),
    "nearly that column": (own(csv_of(ROWS), label="kinds"), "Did you mean 'kind'"),
    "no header": (own("good,yes\nbad,no\n"), "no column 'body'.*gives good, yes.*first line"),
    "semicolons": (own("body;kind\na;b\n"), "no column 'body'.*by semicolons.* with commas. Name"),
    "tabs called csv": (own("body\tkind\na\tb\n"), "separated by tabs.*Call it .tsv"),
    "commas in a text that is no header": (
        own("I like it, really\tyes\nno\tno\n", name="a.tsv"),
        "no column 'body'.*gives I like it, really, yes. Name the column, or give",
    ),
    "a tab in a text of a .tsv": (
        own("body\tkind\ngood\tnice\tyes\n", name="a.tsv"),
        "a.tsv, line 2: 3 fields.*names 2 columns.*a space",
    ),
    "a line feed in a text of a .tsv": (
        own('body\tkind\nx\tyes\n"two\nlines"\tno\n', name="a.tsv"),
        "a.tsv, line 3: a quote begins.*a .csv",
    ),
    "a column twice": (own("body,kind,kind\na,b,c\n"), "2 columns 'kind'.*config.data.label"),
    "dev without the label": (
        own(csv_of(ROWS), "body\nx\n"),
        "dev.csv has no column 'kind'",
    ),
    "a label that train has not": (
        own(csv_of(ROWS), csv_of([("x", "yes"), ("y", "maybe")])),
        "dev.csv, line 3: the label is 'maybe'.*a.csv has: no, yes.*add rows",
    ),
    "a set with a label that train has not": (
        own(csv_of([("x", "a|b"), ("y", "b")]), csv_of([("z", "a|c")])),
        "dev.csv, line 2: the label is 'a.c'.*has: a, b",
    ),
    "one class": (own(csv_of([("x", "yes"), ("y", "yes")])), "always 'yes' in all 2 rows"),
    "one number": (own(csv_of([("x", "2"), ("y", "2")]), kind="number"), "is 2 in all 2 rows"),
    "no label in any set": (own("body,kind\nx,\ny,\n", kind="many"), "names no label anywhere"),
    "an empty label": (
        own(csv_of([*ROWS, ("x", "")])),
        "line 6: the label is empty .1 such rows.*config.data.unlabelled",
    ),
    "no number": (own(csv_of(ROWS), kind="number"), "a.csv, column kind, line 2: .* 'yes'.*finite"),
    "no number in dev": (
        own(NUMBERS, csv_of([("x", "1.5"), ("y", "nan")])),
        "dev.csv, line 3: the label is 'nan', but own expects a finite number",
    ),
    "numbers and a name": (
        own(NUMBERS + "x,n/a\n"),
        "labels of two kinds: 30 of 31 are numbers, and line 32 has 'n/a'",
    ),
    "numbers of classes, or amounts": (
        own(csv_of([("x", str(n % 77)) for n in range(400)])),
        "whole numbers from 0 to 76, 77 different ones.*config.data.labels=classes .or number",
    ),
    "numbers of classes of which one is missing": (
        own(csv_of([("x", str(100 + n % 77)) for n in range(400) if n % 77 != 40])),
        "whole numbers from 100 to 176, 76 different ones.*config.data.labels=classes .or number",
    ),
    "one label of which a row has it or not": (
        own("body,kind\nx,bug\ny,\nz,\n", kind="many"),
        "one label alone, 'bug', in 1 of 3 rows.*data.labels=classes",
    ),
    "no labels given where there may be none": (
        own(jsonl([("x", ["a"]), ("y", []), ("z", None), ("w", ["b"])]), name="a.jsonl"),
        "line 3: the label is empty .1 such rows.*unlabelled",
    ),
    "no labels given in dev": (
        own(jsonl([("x", ["a"]), ("y", ["b"])]), jsonl([("z", None)]), name="a.jsonl"),
        "dev.jsonl, line 1: the label is .*null",
    ),
    "lists and a name": (
        own(jsonl([("x", ["a"]), ("y", "b")]), name="a.jsonl"),
        "labels of two kinds: line 1 has a list and line 2 has 'b'",
    ),
    "the texts for labels": (
        own(csv_of([(f"t{n}", f"name {n}") for n in range(30)])),
        "30 different labels in 30 rows.*is that the column of labels",
    ),
    "nothing": (own(""), "no rows"),
    "a header alone": (own("body,kind\n"), "columns' names and no rows"),
    **{
        f"rows too short, {kind or 'whatever they are'}": (
            own("body,kind\nx;1\ny;2\n", kind=kind),
            "no example of own: 2 rows, of which none has the 2 fields.*columns.*commas",
        )
        for kind in (None, "classes", "number", "many")
    },
    "a comma in a text": (
        own(csv_of(ROWS) + "good, nice film,yes\n"),
        "a.csv, line 6: 3 fields, and the first line names 2 columns.*quotes",
    ),
    "a carriage return in a text": (own(csv_of(ROWS) + "a\rb,yes\n"), "line 6: not sound CSV"),
    "a label that is NaN": (
        own(GOOD + '{"body": "x", "kind": NaN}\n', name="a.jsonl"),
        "line 5: the label is empty",
    ),
    "a line without the text": (
        own(GOOD + '{"kind": "yes"}\n', name="a.jsonl"),
        "a.jsonl, line 5: body missing; there are kind",
    ),
    "a text that is none": (
        own(GOOD + '{"body": null, "kind": "yes"}\n', name="a.jsonl"),
        "line 5: body is .* must be a string, an empty one",
    ),
    "a label that is null": (
        own(GOOD + '{"body": "x", "kind": null}\n', name="a.jsonl"),
        "line 5: the label is empty",
    ),
    "another ending": (own(GOOD, name="a.json"), "ends in '.json'.*.csv, .jsonl, .parquet"),
    "no Parquet": (own("hello", name="a.parquet"), "a.parquet is not sound Parquet"),
    "no file": (lambda folder: task_of(str(folder / "a.csv")), "config.data.train.*is not there"),
    "a folder": (lambda folder: task_of(str(folder)), "config.data.train.*is a folder"),
    "no dev file": (
        lambda folder: task_of(put(folder / "a.csv", csv_of(ROWS)), dev=str(folder / "b.csv")),
        "config.data.dev, .*b.csv, is not there",
    ),
    "dev is train": (same_file, "config.data.dev and config.data.train are the same file"),
    "nothing to spare": (own(csv_of([("x", "a"), ("y", "b")])), "none can be spared"),
    "no keys": (
        recipe("own_data.py"),
        "config.data.train and config.data.text and config.data.label are not given. Add "
        "--config.data.train=FILE --config.data.text=COLUMN",
    ),
    "a column for two things": (
        recipe("kd.py:own", **{**GIVEN, "data__label": "body"}),
        "name the columns body, body",
    ),
    "no such kind": (recipe("kd.py:own", **GIVEN, data__labels="one"), "classes, number, many"),
    "a folder besides": (recipe("kd.py:own", **GIVEN, data__folder="glue"), "leave it empty"),
    "files of a published task": (
        recipe("kd.py:own", **GIVEN, task="sst2"),
        "config.data.train=a.csv is for files of one's own, and config.task is sst2",
    ),
    "files for the recipe of another task": (
        recipe("kd_sst2.py", data__train="a.csv"),
        "no key 'train' there. config.data.train is for files of your own: take configs/own_da",
    ),
    "labels for a method of labels": (
        recipe("theseus.py:own", **GIVEN, data__unlabelled="m.txt"),
        "theseus learns from labels alone",
    ),
    "unlabelled texts twice": (
        recipe("kd.py:own", **GIVEN, data__unlabelled="m.txt", augment__text="n.txt"),
        "the same thing said twice",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(case, tmp_path):
    wrong, said = WRONG[case]
    with pytest.raises(UserError, match=f"(?s){said}"):
        wrong(tmp_path)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_files_of_ones_own(method):
    config = parse(f"{method}.py:own", **GIVEN, data__text_pair="other")
    assert (config.task, config.data.text_pair, config.name) == ("own", "other", f"{method}_own")


def test_unlabelled_texts_are_what_augment_adds():
    config = parse("kd.py:own", **GIVEN, data__unlabelled="more.txt")
    assert (config.augment.name, config.augment.text) == ("text", "more.txt")
    made = parse("kd.py:own", **GIVEN, data__unlabelled="more.txt", augment__name="tang")
    assert (made.augment.name, made.augment.text) == ("tang", "more.txt")


def test_what_sets_of_labels_do_not_have_is_refused():
    config = parse("kd.py:own", **GIVEN, method__probability_shift=True)
    task = dataclasses.replace(find_task("sst2"), many=True)
    with pytest.raises(UserError, match="probability_shift"):
        check_many(config, task)
    check_many(config, find_task("sst2"))


Z = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, -4.0]], np.float32)
T = np.array([[-1.0, 2.0, 0.0], [5.0, 1.0, -2.0]], np.float32)
Y = np.array([[1, 0, 1], [0, 0, 1]], np.int32)


def test_binary_losses_by_hand():
    p, q = 1 / (1 + np.exp(-T.astype(float))), 1 / (1 + np.exp(-Z.astype(float)))
    hard = -(Y * np.log(q) + (1 - Y) * np.log(1 - q)).mean(1)
    soft = -(p * np.log(q) + (1 - p) * np.log(1 - q)).mean(1)
    kl = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean(1)
    np.testing.assert_allclose(binary_cross_entropy(Z, Y), hard, rtol=1e-6)
    np.testing.assert_allclose(task_loss(jnp.asarray(Z), jnp.asarray(Y)), hard, rtol=1e-6)
    np.testing.assert_allclose(binary_kl_divergence(Z, T), kl, rtol=1e-5)
    for name, wanted in {
        "cross_entropy": soft,
        "kl": kl,
        "logit_mse": ((Z - T) ** 2).mean(1),
        "probability_mse": ((q - p) ** 2).mean(1),
        "logit_to_probability_mse": ((Z - p) ** 2).mean(1),
    }.items():
        np.testing.assert_allclose(BINARY_LOSSES[name](Z, T), wanted, rtol=1e-5, err_msg=name)
    without = jnp.asarray([Y[0].tolist(), [-1, -1, -1]])
    found, gradient = jax.value_and_grad(lambda z: labelled_loss(z, without).sum())(jnp.asarray(Z))
    assert float(found) == pytest.approx(hard[0], rel=1e-6)
    assert np.array_equal(gradient[1], np.zeros(3))


def test_kd_and_tinybert_of_sets_of_labels():
    values = dict(parse("kd.py:own", **GIVEN).method)
    method = make_method(values.pop("name"), {**values, "soft_weight": 0.7, "hard_weight": 0.3})
    batch = SimpleNamespace(labels=jnp.asarray(Y), weight=jnp.ones(2))
    terms = method.terms(jnp.asarray(Z), jnp.asarray(T), batch, jnp.float32(0))
    t = method.temperature
    p = 1 / (1 + np.exp(-T.astype(float) / t))
    on = Z.astype(float) if method.temperature_on == "teacher" else Z.astype(float) / t
    soft = (np.logaddexp(0, on) - on * p).mean() * (t**2 if method.temperature_squared else 1)
    assert float(terms["soft"]) == pytest.approx(0.7 * soft, rel=1e-5)
    hard = (np.logaddexp(0, Z.astype(float)) - Z * Y).mean()
    assert float(terms["hard"]) == pytest.approx(0.3 * hard, rel=1e-5)
    tinybert = TinyBert(
        stages_run=("prediction",),
        layer_map=(),
        projection="shared",
        temperature=2,
        soft_weight=1.0,
    )
    p, on = 1 / (1 + np.exp(-T.astype(float) / 2)), Z.astype(float) / 2
    wanted = (np.logaddexp(0, on) - on * p).mean(1)
    found = tinybert._soft(jnp.asarray(Z), jnp.asarray(T), jnp.asarray(Y))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("name", ["kd", "pkd", "tinybert", "theseus"])
def test_every_loss_takes_sets_of_labels(name):
    shape = dataclasses.replace(tiny.SHAPE, classes=3)
    student, teacher = Bert(dataclasses.replace(shape, layers=1)), Bert(shape)
    ids, rows = np.ones((2, 8), np.int32), np.arange(2, dtype=np.int32)
    batch = Batch(rows, ids, ids, ids > 0, Y, np.ones(2, np.float32))
    values = dict(parse(f"{name}.py:own", **GIVEN).method)
    method = make_method(values.pop("name"), values)
    key = jax.random.key(0)

    def losses(key):
        mine = {
            "student": initial_params(student, key),
            "extras": method.extras(key, student, teacher),
        }
        theirs = {"teacher": initial_params(teacher, key)}
        now = Progress(jnp.int32(0), jnp.float32(0), key)
        stages = method.stages(student, teacher)
        return [stage.loss(mine, theirs, batch, key, now)[0] for stage in stages]

    assert {found.shape for found in jax.eval_shape(losses, key)} == {()}


def test_binary_loss_is_torchs():
    torch = pytest.importorskip("torch")
    wanted = torch.nn.BCEWithLogitsLoss()(torch.tensor(Z), torch.tensor(Y).float())
    assert float(binary_cross_entropy(Z, Y).mean()) == pytest.approx(float(wanted), rel=1e-6)
    assert score(Z, Y)["loss"] == pytest.approx(float(wanted), rel=1e-6)


def test_metrics_of_sets_are_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for classes, share in ((2, 0.5), (5, 0.2), (7, 0.0)):
        labels = (rng.random((60, classes)) < 0.3).astype(np.int32)
        predicted = (rng.random((60, classes)) < share).astype(np.int32)
        labels[:, -1] = 0  # a label that is nowhere
        found = multilabel(predicted, labels)
        for average in ("micro", "macro"):
            wanted = metrics.f1_score(labels, predicted, average=average, zero_division=0)
            assert found[f"{average}_f1"] == pytest.approx(wanted, abs=1e-9)
        assert found["subset_accuracy"] == metrics.accuracy_score(labels, predicted)
        for name, theirs in (
            ("precision", metrics.precision_score),
            ("recall", metrics.recall_score),
        ):
            wanted = theirs(labels, predicted, average="micro", zero_division=0)
            assert found[f"micro_{name}"] == pytest.approx(wanted, abs=1e-9)
    assert multilabel([[1, 0], [1, 1]], [[1, 1], [1, 1]]) == pytest.approx(
        {
            "micro_precision": 1.0,
            "micro_recall": 0.75,
            "micro_f1": 6 / 7,
            "macro_f1": (1 + 2 / 3) / 2,
            "subset_accuracy": 0.5,
        }
    )


def test_a_teacher_of_sets_must_be_better_than_one_answer_for_all():
    labels = np.array([[1, 0], [1, 0], [1, 1], [0, 0]], np.int32)
    guess = multilabel(np.array([[1, 0]] * 4), labels)
    with pytest.raises(UserError, match=f"the same labels has {guess['micro_f1']:.4f}"):
        gate(guess, labels, 0.0, "t")
    gate(multilabel(labels, labels), labels, 0.0, "t")


def test_what_is_said_of_a_row_with_several_labels():
    (first, second) = answers(Z[:, :2], ("a", "b"), many=True)
    assert (first["labels"], second["labels"]) == (["a"], ["b"])  # a logit of 0 is no yes
    assert first["probabilities"] == pytest.approx({"a": 0.880797, "b": 0.268941}, abs=1e-6)


def test_added_rows_of_sets():
    train = Examples(np.arange(2, dtype=np.int32), (["x", "y"],), np.array([[1, 0], [1, 1]], "i4"))
    own, made = [(0, ("new",))], [Copy(1, 0, ("made",))]
    for labels, wanted in (("source", [1, 1]), ("none", [-1, -1])):
        added = assemble(train, own, made, per_row=2, labels=labels, others=[])
        assert added.examples.labels.tolist() == [[1, 0], [1, 1], [-1, -1], wanted]
        assert added.examples.unlabelled.tolist() == [False, False, True, wanted[0] < 0]


SMALL = {
    **{f"teacher.recipe.stages.finetune.{k}": v for k, v in tiny.PLAN.items()},
    **{f"stages.kd.{k}": v for k, v in tiny.PLAN.items()},
    **{f"{where}data.buckets": "(32,)" for where in ("", "teacher.recipe.")},
    **{f"{where}data.max_length": 32 for where in ("", "teacher.recipe.")},
    **{f"student.{k}": v for k, v in {"layers": 1, "width": 16, "heads": 2, "inner": 32}.items()},
    **{
        f"teacher.recipe.model.{k}": v
        for k, v in {"layers": 1, "width": 16, "heads": 2, "inner": 32, "vocab": 120}.items()
    },
    "teacher.margin": -1.0,
    "baseline": False,
}


def write_reviews(folder: Path, labels: Callable[[bool, bool], str], count: int = 100) -> str:
    """A .csv whose label depends on whether a good and whether a bad word is in the text."""
    rng = np.random.default_rng(0)
    lines = ["id,body,kind"]
    for number in range(count):
        good, bad = bool(rng.integers(2)), bool(rng.integers(2))
        words = [str(word) for word in rng.choice(tiny.PLAIN, 6)]
        words += [str(rng.choice(tiny.GOOD))] * good + [str(rng.choice(tiny.BAD))] * bad
        lines.append(f'{number},"{", ".join(words)} {number}",{labels(good, bad)}')
    return put(folder / "reviews.csv", "\n".join(lines) + "\n")


def run(folder: Path, train: str, **values):
    given = {**SMALL, "teacher.run": folder / "teacher", **values}
    flags = [f"--config.{key}={value}" for key, value in given.items()]
    columns = [
        f"--config.data.{k}={v}"
        for k, v in {"train": train, "text": "body", "label": "kind"}.items()
    ]
    words = ["--config=configs/own_data.py", f"--workdir={folder / 'run'}", *columns, *flags]
    return ensure_run(from_command_line(["main", *words]))


def evaluated(folder: Path, capsys, *more: str) -> dict[str, float]:
    capsys.readouterr()
    evaluate.main(["evaluate", str(folder / "run"), "--json", *more])
    return json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]


def test_from_a_csv_to_a_student_and_back(tmp_path, capsys):
    train = write_reviews(tmp_path, lambda good, bad: f"{'good' * good}|{'bad' * bad}")
    more = put(tmp_path / "more.txt", "a fine story\nthe cast is cold\n")
    report = run(tmp_path, train, **{"data.unlabelled": more})
    assert report["metrics"]["dev"]["micro_f1"] > 0.5
    assert report["selection"] == "micro_f1"
    assert report["augment"]["text"] == 2
    assert evaluated(tmp_path, capsys) == pytest.approx(report["metrics"]["dev"], abs=1e-6)
    about = read_json(tmp_path / "run" / "task.json")
    assert (about["labels"], about["many"], about["held_out"]) == (["bad", "good"], True, True)
    assert about["counts"]["train"]["rows"] + about["counts"]["dev"]["rows"] == 100
    predict.main(["predict", str(tmp_path / "run"), f"--input={train}"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 100
    assert set(lines[0]["probabilities"]) == {"good", "bad"}
    kept = np.load(tmp_path / "run" / "predictions" / "dev.npz")
    assert kept["labels"].shape == kept["logits"].shape == (about["counts"]["dev"]["rows"], 2)
    row = int(kept["row"][0])  # the file's own number
    says = dict(zip(about["labels"], kept["logits"][0] > 0, strict=True))
    assert lines[row]["labels"] == [name for name in about["labels"] if says[name]]
    evaluate.main(["evaluate", str(tmp_path / "run")])
    assert "are not those" not in capsys.readouterr().err
    put(Path(train), Path(train).read_text() + "".join(f"{n},new {n},good\n" for n in range(40)))
    evaluate.main(["evaluate", str(tmp_path / "run")])
    assert "the dev rows are not those that" in capsys.readouterr().err


def test_numbers_of_ones_own(tmp_path):
    train = write_reviews(tmp_path, lambda good, bad: str(1.5 + good - bad))
    test = put(tmp_path / "test.csv", "body,kind\nthe film is fine,2.5\nthe film is dull,0.5\n")
    said: list[str] = []
    task = own_task({"train": train, "test": test}, ("body",), "kind", None, said.append)
    assert "labels taken for numbers; 0.5 to 2.5" in said[0]
    assert (task.regression, task.outputs, task.selection) == (True, 1, "mean_pearson_spearman")
    opened = from_plain(json.loads(json.dumps(to_plain(task))))  # as evaluate finds it in the run
    assert read_split(opened, "test", "", quiet).labels.tolist() == [2.5, 0.5]
    found = read_split(opened, "dev", "", quiet)
    assert found.labels.dtype == np.float32
    logits = found.labels[:, None] * 2 + 1
    metrics = score(logits, found.labels)
    assert metrics[task.selection] == pytest.approx(1)
    wanted = np.square(found.labels.astype(float) + 1).mean()
    assert metrics["mse"] == pytest.approx(wanted)
    loss = task_loss(jnp.asarray(logits), jnp.asarray(found.labels)).mean()
    assert float(loss) == pytest.approx(wanted)
    gate(metrics, found.labels, 0.0, "t")
    with pytest.raises(UserError, match="Pearson"):
        gate(score(-logits, found.labels), found.labels, 0.0, "t")


def test_from_numbers_to_a_student_and_back(tmp_path, capsys):
    train = write_reviews(tmp_path, lambda good, bad: str(1.5 + good - bad), count=300)
    longer = {"stages.kd.epochs": 12, "teacher.recipe.stages.finetune.epochs": 12}
    report = run(tmp_path, train, **longer)
    assert report["selection"] == "mean_pearson_spearman"
    assert report["teacher"]["metrics"]["dev"]["pearson"] > 0.3
    assert report["metrics"]["dev"]["pearson"] > 0.3
    assert evaluated(tmp_path, capsys) == pytest.approx(report["metrics"]["dev"], abs=1e-6)
    predict.main(["predict", str(tmp_path / "run"), f"--input={train}"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kept = np.load(tmp_path / "run" / "predictions" / "dev.npz")
    for row, (said,) in zip(kept["row"].tolist(), kept["logits"].tolist(), strict=True):
        assert lines[row] == {"row": row, "score": pytest.approx(said, rel=1e-4, abs=1e-5)}
