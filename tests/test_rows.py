"""Texts to be answered: every row of a file or pipe in order, or told by its number."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdistill.data import blocks as blocks_of
from jaxdistill.data.blocks import blocked, piped
from jaxdistill.data.readers import read_file
from jaxdistill.data.rows import read_rows
from jaxdistill.data.tasks import OWN, TASKS
from jaxdistill.errors import UserError

SST2, RTE, COLA, STSB, NEWS = (TASKS[n] for n in ("sst2", "rte", "cola", "stsb", "thucnews"))
ODD = ['a "quoted", text', "", "two\u2028lines\x85of\x0cone", "字 😀", "x"]


def no_notice(text: str) -> None:
    raise AssertionError(f"unexpected notice: {text}")


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(task, path: Path, *columns: str) -> list[tuple[str, ...]]:
    return list(read_rows(task, path, columns, no_notice))


def as_txt(texts: list[str]) -> str:
    return "".join(f"{text}\n" for text in texts)


def as_csv(texts: list[str]) -> str:
    fields = [text.replace('"', '""') for text in texts]
    return "id,sentence\r\n" + "".join(f'{n},"{text}"\r\n' for n, text in enumerate(fields))


def as_tsv(texts: list[str]) -> str:
    return "index\tsentence\n" + "".join(f"{n}\t{text}\n" for n, text in enumerate(texts))


def as_jsonl(texts: list[str]) -> str:
    return "\n".join(json.dumps({"text": text}) for text in texts)


@pytest.mark.parametrize("write", [as_txt, as_csv, as_tsv, as_jsonl])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_formats_give_the_same_rows(tmp_path: Path, write: Callable, mark: str) -> None:
    path = put(tmp_path / f"x.{write.__name__[3:]}", mark + write(ODD))
    assert rows(SST2, path) == [(text,) for text in ODD]


def test_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    pyarrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    many = [f"{text} {n}" for n in range(700) for text in ODD]  # more than one batch of it
    table = pyarrow.table({"label": [1] * len(many), "sentence": many})
    parquet.write_table(table, tmp_path / "x.parquet")
    assert rows(SST2, tmp_path / "x.parquet") == [(text.strip(),) for text in many]


def test_lines_of_a_text_file_are_rows_empty_ones_too(tmp_path: Path) -> None:
    path = put(tmp_path / "x.TXT", " a\tb \r\n\n\0c\nlast")
    assert rows(SST2, path) == [("a\tb",), ("",), ("c",), ("last",)]
    assert rows(SST2, put(path, "")) == []


def test_a_labelled_text_file_is_read_by_column_as_evaluate_does(tmp_path: Path) -> None:
    own = replace(
        OWN, text_names=("body",), label_name="kind", labels=("a", "b"), written=("a", "b")
    )
    said: list[str] = []
    path = put(tmp_path / "x.txt", "body\tkind\nfine\ta\ndull\tb\n")
    assert list(read_rows(own, path, (), said.append)) == [("fine",), ("dull",)]
    path = put(tmp_path / "x.txt", "题目\t3\n标题\t9\n")
    assert list(read_rows(NEWS, path, (), said.append)) == [("题目",), ("标题",)]
    assert ["read by column" in text for text in said] == [True, True]
    assert rows(NEWS, put(tmp_path / "x.txt", "题目\t三\n标题\n")) == [("题目\t三",), ("标题",)]


def test_a_text_file_with_columns_of_ones_own_needs_no_label(tmp_path: Path) -> None:
    said: list[str] = []
    path = put(tmp_path / "x.txt", "id\tbody\n17\tfine\n18\tdull\n")
    assert list(read_rows(OWN_TEXT, path, (), said.append)) == [("fine",), ("dull",)]
    assert rows(OWN_TEXT, path, "body") == rows(SST2, path, "body") == [("fine",), ("dull",)]
    pairs = replace(OWN, text_names=("a", "b"), label_name="kind", labels=("x", "y"))
    path = put(tmp_path / "y.txt", "b\ta\nfine\tdull\n")
    assert list(read_rows(pairs, path, (), said.append)) == [("dull", "fine")]
    assert ["read by column" in text for text in said] == [True, True]
    assert rows(OWN_TEXT, put(path, "the body\tof it\nbody\n")) == [("the body\tof it",), ("body",)]


def test_spaces_around_a_columns_name_are_none_and_it_stands_once(tmp_path: Path) -> None:
    path = put(tmp_path / "x.csv", "id, body\n1,fine\n")
    assert rows(OWN_TEXT, path) == rows(OWN_TEXT, path, "body") == [("fine",)]
    with pytest.raises(UserError, match="2 columns 'body', of which --text can only mean one"):
        rows(OWN_TEXT, put(path, "body,body\na,b\n"), "body")


@pytest.mark.parametrize("start", ["", "label\ttext_a\n"])
def test_a_tab_belongs_to_the_text_as_evaluate_has_it(start: str, tmp_path: Path) -> None:
    path = put(tmp_path / "x.tsv", f"{start}1\t房间\t太小\n0\t好\n")
    found = read_file(TASKS["chnsenticorp"], path, lambda text: None)
    assert rows(TASKS["chnsenticorp"], path) == [(text,) for text in found.texts[0]]
    assert found.texts[0] == ["房间\t太小", "好"]


OWN_TEXT = replace(OWN, text_names=("body",), label_name="kind", labels=("a", "b"))


@pytest.mark.parametrize(("task", "name"), [(OWN_TEXT, "body"), (SST2, "sentence")])
def test_a_comma_in_an_unquoted_text_is_told(task, name: str, tmp_path: Path) -> None:
    path = put(tmp_path / "x.csv", f"{name}\nfine\ngood, nice\n")
    with pytest.raises(UserError, match="row 1 .line 3.: 2 fields, and the first line names 1"):
        rows(task, path)


def test_a_tab_in_a_text_of_ones_own_is_told(tmp_path: Path) -> None:
    assert rows(OWN_TEXT, put(tmp_path / "y.tsv", "body\tkind\ngood\ta\t\n")) == [("good",)]
    path = put(tmp_path / "x.tsv", "body\tkind\ngood\tnice\ta\n")
    with pytest.raises(UserError, match="row 0 .line 2.: 3 fields, and the first line names 2"):
        rows(OWN_TEXT, path)


@pytest.mark.parametrize("ending", [".tsv", ".csv"])
def test_a_blank_line_is_an_empty_text_where_there_is_one_column(ending: str, tmp_path) -> None:
    path = put(tmp_path / f"x{ending}", "body\r\ngood\r\n\r\nbad\r\n")
    assert rows(OWN_TEXT, path) == [("good",), ("",), ("bad",)]
    mark, said = {".tsv": "\t", ".csv": ","}[ending], []
    path = put(tmp_path / f"y{ending}", f"body{mark}kind\ngood{mark}a\n\nbad{mark}b\n")
    assert list(read_rows(OWN_TEXT, path, (), said.append)) == [("good",), ("bad",)]
    assert said == [f"{path}: 1 blank lines are no rows"]


def test_a_csv_cut_by_semicolons_is_told(tmp_path: Path) -> None:
    path = put(tmp_path / "x.csv", "body;kind\na;b\n")
    for columns in ((), ("body",)):
        with pytest.raises(UserError, match="separated by semicolons, and a .csv is by commas"):
            rows(OWN_TEXT, path, *columns)
    for text in ('"body";"kind"\n"a, b";x\n', "body;kind\na, b;x\n"):
        for read in (lambda p: rows(OWN_TEXT, p), lambda p: read_file(OWN_TEXT, p, no_notice)):
            with pytest.raises(UserError, match="separated by semicolons, and a .csv is by commas"):
                read(put(path, text))
    for name, text in (("x.csv", '"good, body"'), ("x.tsv", "good, nice"), ("x.jsonl", "")):
        with pytest.raises(UserError) as error:
            rows(OWN_TEXT, put(tmp_path / name, text or '{"good; body": 1}'))
        assert "separated" not in str(error.value)


def test_pairs(tmp_path: Path) -> None:
    expected = [("a", "b"), ("c", "")]
    assert rows(RTE, put(tmp_path / "x.txt", "a\tb\nc\t\n")) == expected
    assert rows(RTE, put(tmp_path / "x.csv", "text_pair,no,text\nb,1,a\n,2,c\n")) == expected
    tsv = put(tmp_path / "x.tsv", "index\tsentence1\tsentence2\n0\ta\tb\n1\tc\t\n")
    assert rows(RTE, tsv) == expected
    assert rows(RTE, tsv, "sentence2", "sentence1") == [("b", "a"), ("", "c")]


def test_files_of_the_task_are_read_by_position(tmp_path: Path) -> None:
    assert rows(COLA, put(tmp_path / "x.tsv", "g\t1\t\ta\ng\t0\t*\tb\n")) == [("a",), ("b",)]
    assert rows(NEWS, put(tmp_path / "x.tsv", "题目\t3\n标题\t9\n")) == [("题目",), ("标题",)]
    assert rows(NEWS, put(tmp_path / "x.tsv", "3\t题目\n")) == [("题目",)]
    nine = "0\tm\tM\t12\t4\tn\tn\ta\tb\t"
    assert rows(STSB, put(tmp_path / "x.tsv", f"{nine}3.25\n{nine}0\n")) == [("a", "b")] * 2


@pytest.mark.parametrize(
    ("name", "split", "count"), [("cola", "train", 8551), ("mrpc", "test", 1725)]
)
def test_real_files_give_the_rows_of_their_split(
    glue: Path, name: str, split: str, count: int
) -> None:
    from jaxdistill.data.readers import read_split

    task = TASKS[name]
    found = rows(task, glue / task.folder / task.files[split])
    examples = read_split(task, split, glue, lambda text: None)
    assert len(found) == count
    assert tuple(map(list, zip(*found, strict=True))) == examples.texts


def test_other_encodings_are_told_and_read(tmp_path: Path) -> None:
    said: list[str] = []
    chinese = "这部电影很好看\n不喜欢这家酒店的服务\n"
    path = put(tmp_path / "x.txt", chinese.encode("gb18030"))
    assert list(read_rows(SST2, path, (), said.append)) == [(t,) for t in chinese.split()]
    assert "gb18030" in said[0]
    path = put(tmp_path / "y.txt", "a\nb".encode("utf-16"))
    assert list(read_rows(SST2, path, (), said.append)) == [("a",), ("b",)]


def test_rows_with_more_fields_are_counted(tmp_path: Path) -> None:
    said: list[str] = []
    path = put(tmp_path / "x.tsv", "sentence\na\tb\nc\n")
    assert list(read_rows(SST2, path, (), said.append)) == [("a",), ("c",)]
    assert "1 rows have more fields" in said[0]


NOT_PARQUET = b"PAR0 and more that is no Parquet"
WRONG = {
    "no ending": ("x", "a\n", "ends in 'nothing'", ".parquet"),
    "another ending": ("x.xlsx", "a\n", ".xlsx", ".csv"),
    "not there": ("nowhere/x.csv", None, "There is no file", "nowhere"),
    "neither UTF-8 nor Chinese": ("x.txt", b"a\nb\xff\xfec\xe9\n", "line 2", "iconv"),
    "no such column": ("x.csv", "body,kind\na,b\n", "body, kind", "--text"),
    "empty csv": ("x.csv", "", "has the columns", "sentence"),
    "empty tsv": ("x.tsv", "", "has the columns", "sentence"),
    "short tsv row": ("x.tsv", "i\tsentence\n0\ta\n1\n", "row 1 (line 3): 1 field,", "Complete"),
    "short csv row": ("x.csv", "i,sentence\n0,a\n\n1\n", "row 1 (line 4)", "Complete the row"),
    "quote that nobody closes": ("x.csv", 'sentence\na\n"b\n', "row 1", "not sound CSV"),
    "text after a quote": ("x.csv", 'sentence\n"a" b\n', "row 0 (line 2)", "a quote in it twice"),
    "json with a comma": ("x.jsonl", '{"text": "a"}\n{"text": "b",}\n', "row 1 (line 2)", "JSON"),
    "json list": ("x.jsonl", '["a"]\n', "row 0 (line 1)", "not a JSON object"),
    "json without the key": ("x.jsonl", '{"text": "a"}\n\n{"txt": 1}', "row 1 (line 3)", "missing"),
    "json number": ("x.jsonl", '{"text": 3}', "text is 3", "must be a string"),
    "json that nests": ("x.jsonl", '{"text": ' + "[" * 9**5, "row 0 (line 1)", "not sound JSON"),
    "no parquet": ("x.parquet", NOT_PARQUET, "x.parquet", "not sound Parquet"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_told(tmp_path: Path, case: str) -> None:
    name, content, where, remedy = WRONG[case]
    path = tmp_path / name
    if content is not None:
        put(path, content)
    with pytest.raises(UserError) as caught:
        rows(SST2, path)
    assert where in str(caught.value)
    assert remedy in str(caught.value)


def test_wrong_pairs_and_columns_are_told(tmp_path: Path) -> None:
    path = put(tmp_path / "x.txt", "a\tb\nonly one\n")
    with pytest.raises(UserError, match=r"row 1 \(line 2\): 0 tabs, but rte judges pairs"):
        rows(RTE, path)
    with pytest.raises(UserError, match="plain text"):
        rows(SST2, path, "body")
    path = put(tmp_path / "x.csv", "body,more\na,b\n")
    assert rows(SST2, path, "body") == [("a",)]
    for columns in (("nobody",), ("body", "more")):
        with pytest.raises(UserError, match=r"body, more, of which --text must name 1"):
            rows(SST2, path, *columns)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=120) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "replace")),
    st.sampled_from([".txt", ".csv", ".tsv", ".jsonl", ".parquet"]),
    st.sampled_from([SST2, RTE, NEWS]),
)
def test_no_bytes_give_a_traceback_and_no_line_is_lost(
    tmp_path_factory, content: bytes, ending: str, task
) -> None:
    path = put(tmp_path_factory.getbasetemp() / f"any{ending}", content)
    try:
        found = list(read_rows(task, path, (), lambda text: None))
    except UserError:
        return
    assert all(len(row) == len(task.text_names) for row in found)
    if ending == ".txt" and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        assert len(found) == content.count(b"\n") + (not content.endswith(b"\n") and content != b"")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=9), max_size=40), st.integers(1, 9), st.booleans())
def test_a_pipe_gives_the_rows_of_a_text_file(
    tmp_path_factory, texts: list[str], size: int, closed: bool
) -> None:
    content = "\n".join(texts).encode("utf-8", "replace") + b"\n" * closed
    expected = rows(SST2, put(tmp_path_factory.getbasetemp() / "piped.txt", content))
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    blocks = list(piped(SST2, reading, lambda text: None, size))
    os.close(reading)
    assert [(text,) for block in blocks for text in block[0]] == expected
    assert all(1 <= len(block[0]) <= size for block in blocks)


def test_a_line_that_comes_alone_is_not_kept_waiting() -> None:
    reading, writing = os.pipe()
    blocks = piped(SST2, reading, no_notice, 4)
    os.write(writing, b"\xef\xbb\xbfone\ntw")
    assert next(blocks) == (["one"],)
    os.write(writing, b"o\n" + b"x\n" * 9 + b"rest")
    os.close(writing)
    assert [len(block[0]) for block in blocks] == [4, 4, 3]
    os.close(reading)


def test_a_line_that_does_not_end_is_put_together_once(monkeypatch) -> None:
    monkeypatch.setattr(blocks_of, "_READ", 3)
    reading, writing = os.pipe()
    os.write(writing, b"\xef\xbb\xbfone long line\n\nab\ncde\nfghij")
    os.close(writing)
    found = [text for block in piped(SST2, reading, no_notice, 9) for text in block[0]]
    assert found == ["one long line", "", "ab", "cde", "fghij"]
    os.close(reading)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ('{"sentence": "fine"}', "JSON"),
        ('id,"sentence"', "a header"),
        ("sentence;label", "a header"),
        ("sentence", ""),
        ("a sentence, and more", ""),
    ],
)
def test_a_pipe_that_seems_to_have_columns_is_told(line: str, kind: str) -> None:
    reading, writing = os.pipe()
    os.write(writing, f"{line}\nsentence,x\n".encode())
    os.close(writing)
    told: list[str] = []
    blocks = list(piped(SST2, reading, told.append))
    assert blocks[0][0][0] == line
    os.close(reading)
    assert [f"looks like {kind}," in text for text in told] == [True] * bool(kind)


def test_rows_before_a_bad_one_come_first() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"a\nb\nc\n\xff\nd\n")
    os.close(writing)
    blocks = piped(SST2, reading, no_notice, 2)
    assert [next(blocks), next(blocks)] == [(["a", "b"],), (["c"],)]
    with pytest.raises(UserError, match=r"standard input, row 3 \(line 4\): the byte 0xff"):
        next(blocks)
    os.close(reading)


def test_only_a_block_is_in_memory() -> None:
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield (str(taken),)

    blocks = blocked(endless(), 5)
    for number in range(1, 4):
        assert len(next(blocks)[0]) == 5
        assert taken == 5 * number
