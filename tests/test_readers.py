"""Reading: real files give what is known of them, whatever form copies of them have."""

from __future__ import annotations

import csv
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdistill.data import hub
from jaxdistill.data.readers import Examples, cap, is_there, read_file, read_split
from jaxdistill.data.tasks import TASKS, Task
from jaxdistill.errors import UserError

SST2, MRPC, COLA, STSB, RTE, MNLI, SNLI, CHN, TITLES, ARTICLES = (
    TASKS[name] for name in "sst2 mrpc cola stsb rte mnli snli chnsenticorp thucnews cnews".split()
)


def quiet(text: str) -> None:
    """A notice that nobody reads."""


def counted(text: str) -> None:
    """A notice that has counts and nothing odd to tell."""
    assert re.fullmatch(r".+: [\d,]+ examples? \([^;]+\)\.", text), text


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# Counts from shared/data/README.md; label counts from awk over the files.
REAL = [
    ("sst2", "train", 67349, [29780, 37569]),
    ("sst2", "dev", 872, [428, 444]),
    ("sst2", "test", 1821, None),
    ("cola", "train", 8551, [2528, 6023]),
    ("cola", "dev", 1043, [322, 721]),
    ("cola", "test", 1063, None),
    ("mrpc", "train", 3668, [1194, 2474]),
    ("mrpc", "dev", 408, [129, 279]),
    ("mrpc", "test", 1725, None),
    ("rte", "train", 2490, [1249, 1241]),
    ("rte", "dev", 277, [146, 131]),
    ("rte", "test", 3000, None),
    ("wnli", "train", 635, [323, 312]),
    ("wnli", "dev", 71, [40, 31]),
    ("wnli", "test", 146, None),
    ("qnli", "dev", 5463, [2702, 2761]),
    ("ax", "test", 1104, None),
    ("chnsenticorp", "train", 9600, [4801, 4799]),
    ("chnsenticorp", "dev", 1200, [607, 593]),
    ("chnsenticorp_dedup", "train", 7566, [3419, 4147]),
    ("chnsenticorp_dedup", "dev", 1169, [584, 585]),
    (
        "thucnews",
        "train",
        45000,  # a quarter of the published ones
        [4480, 4508, 4529, 4424, 4477, 4515, 4486, 4472, 4530, 4579],
    ),
    ("thucnews", "dev", 10000, [1000] * 10),
]


@pytest.mark.parametrize(("name", "split", "rows", "counts"), REAL)
def test_real_counts(
    shared_data: Path, name: str, split: str, rows: int, counts: list[int] | None
) -> None:
    notices: list[str] = []
    folder = shared_data / ("zh" if TASKS[name].detected else "glue")
    examples = read_split(TASKS[name], split, folder, notices.append)
    assert examples.row.dtype == examples.labels.dtype == np.int32
    np.testing.assert_array_equal(examples.row, np.arange(rows))
    assert {len(column) for column in examples.texts} == {rows}
    assert all(text == text.strip() and text for column in examples.texts for text in column)
    if counts is None:
        assert examples.unlabelled.all()
        assert set(examples.labels.tolist()) == {-1}
    else:
        assert not examples.unlabelled.any()
        assert np.bincount(examples.labels).tolist() == counts
    [notice] = notices
    assert f": {rows:,} examples (" in notice
    if (name, split) == ("thucnews", "train"):
        assert notice.endswith("; the published split has 180,000.")
    else:
        counted(notice)


def test_real_scores(glue: Path) -> None:
    for split, rows in (("train", 5749), ("dev", 1500)):
        labels = read_split(STSB, split, glue, counted).labels
        assert labels.dtype == np.float32
        assert (len(labels), labels.min(), labels.max()) == (rows, 0, 5)
        assert 2 < labels.mean() < 3
    test = read_split(STSB, "test", glue, counted)
    assert len(test.row) == 1379
    assert np.isnan(test.labels).all()
    assert test.unlabelled.all()


def test_real_rows_word_by_word(shared_data: Path) -> None:
    glue, zh = shared_data / "glue", shared_data / "zh"
    sst2 = read_split(SST2, "train", glue)
    assert (sst2.texts[0][0], sst2.labels[0]) == ("hide new secretions from the parental units", 0)
    mrpc = read_split(MRPC, "train", glue)
    assert mrpc.texts[0][0].startswith('Amrozi accused his brother , whom he called " the witness')
    assert mrpc.texts[1][0].startswith('Referring to him as only " the witness " ,')
    cola = read_split(COLA, "train", glue)
    assert cola.texts[0][0].startswith("Our friends won't buy this analysis")
    rte = read_split(RTE, "dev", glue)
    assert rte.texts[1][0] == "Christopher Reeve had an accident."
    assert RTE.labels[rte.labels[0]] == "not_entailment"
    chn = read_split(CHN, "train", zh)
    assert chn.texts[0][0].startswith("选择珠江花园的原因就是方便")
    assert CHN.labels[chn.labels[0]] == "positive"
    titles = read_split(TITLES, "dev", zh)
    assert titles.texts[0][0] == "体验2D巅峰 倚天屠龙记十大创新概览"
    assert TITLES.labels[titles.labels[0]] == "game"


def test_the_rows_of_dev_that_train_has_are_gone_from_the_other_task(shared_data: Path) -> None:
    for name, share in (("chnsenticorp", 0.28), ("chnsenticorp_dedup", 0.0)):
        train, dev = (
            read_split(TASKS[name], split, shared_data / "zh", quiet).texts[0]
            for split in ("train", "dev")
        )
        known = set(train)
        assert sum(text in known for text in dev) / len(dev) == pytest.approx(share, abs=0.01)


def test_folder_may_be_the_tasks_own(glue: Path) -> None:
    inside = read_split(SST2, "dev", glue / "SST-2")
    assert inside.texts == read_split(SST2, "dev", str(glue)).texts
    assert is_there(SST2, "dev", glue / "SST-2") and is_there(SST2, "dev", glue)
    assert not is_there(MNLI, "dev_mismatched", glue)
    assert is_there(MNLI, "dev_mismatched", "")


def test_only_line_feeds_and_tabs_cut(tmp_path: Path) -> None:
    odd = 'a "quote\x0b\x0c\x1c\x85\u2028\u2029 b'
    content = f"\ufeffsentence\tlabel\r\n{odd}\t1\r\n\r\n x\0y \t0"
    path = put(tmp_path / "SST-2/dev.tsv", content)
    notices: list[str] = []
    examples = read_split(SST2, "dev", tmp_path, notices.append)
    assert examples.texts == ([odd, "x y"],)
    assert examples.labels.tolist() == [1, 0]
    assert notices == [
        f"{path}: 2 examples (negative 1, positive 1); the published split has 872; 1 text with "
        "NUL, which is read as a space (line 4)."
    ]


def test_short_rows_are_skipped_and_counted(tmp_path: Path) -> None:
    row = "1\t2\t3\tWhy ?\tWhy not ?\t1\n"
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    put(tmp_path / "QQP/train.tsv", header + row + "4\t5\t6\tcut\n here\t0\n" + row)
    notices: list[str] = []
    examples = read_split(TASKS["qqp"], "train", tmp_path, notices.append)
    assert examples.row.tolist() == [0, 1]
    assert examples.labels.tolist() == [1, 1]
    [notice] = notices
    assert "2 examples (not_duplicate 0, duplicate 2); the published split has 363,846; " in notice
    assert "2 rows with fewer than 6 fields skipped (the first is line 3)." in notice


def test_short_row_does_not_take_a_text_for_the_label(tmp_path: Path) -> None:
    content = "index\tsentence1\tsentence2\tlabel\n0\ta\tentailment\n1\ta\tb\tentailment\n"
    put(tmp_path / "RTE/dev.tsv", content)
    assert read_split(RTE, "dev", tmp_path, quiet).texts == (["a"], ["b"])


def nli(*names: str, rows: list[list[str]]) -> str:
    """A file of MNLI's or SNLI's: eight columns before the texts or seven, labels at the end."""
    return "".join("\t".join(row) + "\n" for row in [list(names), *rows])


def test_mnli_takes_the_last_column(tmp_path: Path) -> None:
    names = ["index", "promptID", "pairID", "genre", "s1_b", "s2_b", "s1_p", "s2_p"]
    names += ["sentence1", "sentence2", *(f"label{i}" for i in range(1, 6)), "gold_label"]
    fields = ["0"] * 8 + ["P", "H"] + ["neutral"] * 5 + ["contradiction"]
    put(tmp_path / "MNLI/dev_mismatched.tsv", nli(*names, rows=[fields]))
    examples = read_split(MNLI, "dev_mismatched", tmp_path, quiet)
    assert (examples.texts, examples.labels.tolist()) == ((["P"], ["H"]), [0])


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_snli_drops_and_counts_what_nobody_agreed_on(tmp_path: Path, split: str) -> None:
    labels = ["label1"] if split == "train" else [f"label{i}" for i in range(1, 6)]
    names = ["index", "captionID", "pairID", "s1_b", "s2_b", "s1_p", "s2_p"]
    rows = [
        [*["x"] * 7, f"P{n}", f"H{n}", *["entailment"] * len(labels), gold]
        for n, gold in enumerate(["neutral", "-", "entailment", "-", "contradiction"])
    ]
    header = [*names, "sentence1", "sentence2", *labels, "gold_label"]
    put(tmp_path / f"SNLI/{split}.tsv", nli(*header, rows=rows))
    notices: list[str] = []
    examples = read_split(SNLI, split, tmp_path, notices.append)
    assert examples.texts == (["P0", "P2", "P4"], ["H0", "H2", "H4"])
    assert [SNLI.labels[i] for i in examples.labels] == ["neutral", "entailment", "contradiction"]
    assert examples.row.tolist() == [0, 1, 2]
    assert "2 rows labelled '-' dropped" in notices[0] and len(notices) == 1


def test_a_test_file_with_the_header_of_the_labelled_ones_is_scored(tmp_path: Path) -> None:
    put(tmp_path / "SST-2/test.tsv", "sentence\tlabel\nfine\t1\ndull\t0\n")
    examples = read_split(SST2, "test", tmp_path, quiet)
    assert (examples.texts, examples.labels.tolist()) == ((["fine", "dull"],), [1, 0])
    put(tmp_path / "SST-2/test.tsv", "sentence\tlabel\nfine\t-1\ndull\t-1\n")  # held back
    assert read_split(SST2, "test", tmp_path, quiet).unlabelled.all()
    put(tmp_path / "SST-2/test.tsv", "sentence\tlabel\nfine\t1\ndull\t-1\n")
    with pytest.raises(UserError, match="line 3: the label is '-1'"):
        read_split(SST2, "test", tmp_path, quiet)
    put(tmp_path / "SST-2/test.tsv", "index\tsentence\n0\tfine\n1\tdull\n")
    examples = read_split(SST2, "test", tmp_path, quiet)
    assert (examples.texts, examples.labels.tolist()) == ((["fine", "dull"],), [-1, -1])


def test_missing_header_and_stray_tab_are_noticed(tmp_path: Path) -> None:
    put(tmp_path / "SST-2/dev.tsv", "good\t1\nbad\t0\nso\t1\tso\n")
    notices: list[str] = []
    read_split(SST2, "dev", tmp_path, notices.append)
    assert len(notices) == 1
    assert "taken for the header" in notices[0]
    assert "1 row with more fields" in notices[0] and "line 3" in notices[0]


# ---- the same reviews as the copies that are about have them; a tab belongs to its text

REVIEWS = [("很好，下次还来", "positive"), ("房间\t太小", "negative"), ("服务周到！", "positive")]
NUMBER = {"negative": "0", "positive": "1"}
COPIES = {
    "label first": ([], [[NUMBER[label], text] for text, label in REVIEWS]),
    "text first": ([], [[text, NUMBER[label]] for text, label in REVIEWS]),
    "text first, names": ([], [[text, label] for text, label in REVIEWS]),
    "label, text_a": (["label", "text_a"], [[NUMBER[label], text] for text, label in REVIEWS]),
    "text, label": (["Text", "Label"], [[text, label] for text, label in REVIEWS]),
    "qid, label, text_a": (
        ["qid", "label", "text_a"],
        [[str(n), NUMBER[label], text] for n, (text, label) in enumerate(REVIEWS)],
    ),
}


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_copies_of_chnsenticorp_are_told_apart(copy: str, end: str, tmp_path: Path) -> None:
    header, rows = COPIES[copy]
    lines = ["\t".join(row) for row in [*([header] if header else []), *rows]]
    path = put(tmp_path / "chnsenticorp/train.tsv", end.join(lines) + end)
    notices: list[str] = []
    split = read_split(CHN, "train", tmp_path, notices.append)
    assert split.texts == ([text for text, _ in REVIEWS],)
    assert [CHN.labels[i] for i in split.labels] == [label for _, label in REVIEWS]
    assert f"1 text with tabs (line {2 + bool(header)})" in notices[0] and len(notices) == 1
    file = read_file(CHN, path, quiet)
    assert (file.texts, file.labels.tolist()) == (split.texts, split.labels.tolist())
    test = read_split(CHN, "test", path.rename(path.with_name("test.tsv")).parent, quiet)
    assert test.labels.tolist() == split.labels.tolist()


@pytest.mark.parametrize("content", ["很好\n太小\n", "qid\ttext_a\n7\t很好\n8\t太小\n"])
def test_a_chinese_test_file_without_labels_is_not_scored(content: str, tmp_path: Path) -> None:
    put(tmp_path / "chnsenticorp/test.tsv", content)
    examples = read_split(CHN, "test", tmp_path, quiet)
    assert examples.texts == (["很好", "太小"],)
    assert examples.unlabelled.all()


def test_thucnews_numbers_are_matched_by_the_folders_own_names(tmp_path: Path) -> None:
    content = "股市大涨\t2\n球队夺冠\t7\n"
    path = put(tmp_path / "thucnews/train.txt", content)
    expected = ["stocks", "sports"]
    for names, said in (
        (None, ""),
        (TITLES.labels, ""),
        (TITLES.labels[::-1], "class numbers are those of class.txt"),
    ):
        if names is not None:
            put(tmp_path / "thucnews/class.txt", "\r\n".join(names))
        notices: list[str] = []
        split = read_split(TITLES, "train", tmp_path, notices.append)
        found = [TITLES.labels[i] for i in split.labels]
        assert found == (expected[::-1] if said else expected), names
        assert said in notices[0] and ("class.txt" in notices[0]) == bool(said)
        assert read_file(TITLES, path, quiet).labels.tolist() == split.labels.tolist()


def test_the_articles_of_cnews(tmp_path: Path) -> None:
    article = "马晓旭意外受伤。" * 400
    put(tmp_path / "cnews/cnews.val.txt", f"体育\t{article}\n娱乐\t短\n")
    examples = read_split(ARTICLES, "dev", tmp_path, quiet)
    assert examples.texts == ([article, "短"],)
    assert [ARTICLES.labels[i] for i in examples.labels] == ["体育", "娱乐"]


@pytest.mark.parametrize("name", ["hotel", "clothing", "fruit", "pda", "shampoo"])
def test_the_review_domains(name: str, tmp_path: Path) -> None:
    put(tmp_path / name / "dev.txt", "1\t很好\n0\t太小")
    notices: list[str] = []
    examples = read_split(TASKS[name], "dev", tmp_path, notices.append)
    assert (examples.texts, examples.labels.tolist()) == ((["很好", "太小"],), [1, 0])
    assert "the published split has 8,000" in notices[0]


# ---- files as they come

ROWS = [("酒店很好，服务周到。😀", 1), ("房间太小，设施陈旧！", 0)] * 20


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("gb18030", "; gb18030, not UTF-8"),
        ("utf-16", "; UTF-16, not UTF-8"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_give_the_same_rows(encoding: str, said: str, end: str, tmp_path: Path) -> None:
    lines = ["label\ttext_a", *(f"{label}\t{text}" for text, label in ROWS)]
    path = put(tmp_path / "chnsenticorp/dev.tsv", end.join([*lines, ""]).encode(encoding))
    notices: list[str] = []
    examples = read_split(CHN, "dev", tmp_path, notices.append)
    assert examples.texts == ([text for text, _ in ROWS],)
    assert examples.labels.tolist() == [label for _, label in ROWS]
    assert notices == [
        f"{path}: 40 examples (negative 20, positive 20); the published split has 1,200{said}."
    ]
    commas = path.read_bytes().decode(encoding).replace("\t", ",").encode(encoding)
    assert read_file(CHN, put(tmp_path / "copy.csv", commas), quiet).texts == examples.texts


def test_real_reviews_in_gb18030(shared_data: Path, tmp_path: Path) -> None:
    content = (shared_data / "zh/chnsenticorp/dev.tsv").read_text("utf-8")
    put(tmp_path / "chnsenticorp/dev.tsv", content.encode("gb18030"))
    notices: list[str] = []
    examples = read_split(CHN, "dev", tmp_path, notices.append)
    assert examples.texts == read_split(CHN, "dev", shared_data / "zh", quiet).texts
    assert "gb18030" in notices[0]


def test_surrogates_written_as_characters(tmp_path: Path) -> None:
    """What Java's modified UTF-8 has: a pair is its character, a lone one none."""
    pair = "😀".encode("utf-16-be")
    halves = [chr(int.from_bytes(pair[i : i + 2], "big")) for i in (0, 2)]
    content = f"sentence\tlabel\n{''.join(halves)} good\t1\n{halves[0]}bad{halves[1]}\t0\n"
    put(tmp_path / "SST-2/dev.tsv", content.encode("utf-8", "surrogatepass"))
    notices: list[str] = []
    examples = read_split(SST2, "dev", tmp_path, notices.append)
    assert examples.texts == (["😀 good", "\ufffdbad\ufffd"],)
    assert "1 text with lone surrogates, which are read as U+FFFD (line 3)" in notices[0]


def test_empty_texts_stay_and_are_counted(tmp_path: Path) -> None:
    put(tmp_path / "SST-2/dev.tsv", "sentence\tlabel\n\t1\nfine\t0\n \t0\n")
    notices: list[str] = []
    examples = read_split(SST2, "dev", tmp_path, notices.append)
    assert examples.texts == (["", "fine", ""],)
    assert "2 texts empty (the first is line 2)" in notices[0]


@pytest.mark.parametrize("ending", [".tsv", ".csv", ".jsonl"])
def test_a_text_of_30_000_words(ending: str, tmp_path: Path) -> None:
    """Beyond 131,072 characters, where the library's CSV reader gives up by itself."""
    limit = csv.field_size_limit()
    text = " ".join(["very"] * 30_000) + " good"
    path = write(tmp_path / f"long{ending}", ["sentence", "label"], [[text, "1"], ["bad", "0"]])
    assert read_file(SST2, path, counted).texts == ([text, "bad"],)
    assert csv.field_size_limit() == limit


def write(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    """The same table as .tsv, .csv or .jsonl."""
    if path.suffix == ".tsv":
        return put(path, "".join("\t".join(row) + "\n" for row in [header, *rows]))
    if path.suffix == ".jsonl":
        lines = [json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows]
        return put(path, "".join(lines))
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.mark.parametrize("ending", [".tsv", ".csv", ".jsonl", ".TSV"])
@pytest.mark.parametrize("names", [["id", "label", "sentence"], ["id", "Label", "text"]])
def test_file_by_column_names(tmp_path: Path, ending: str, names: list[str]) -> None:
    if ending == ".TSV":
        path = write(tmp_path / "a.tsv", names, [["9", "1", "fine"], ["8", "negative", "poor"]])
        path = path.rename(tmp_path / "a.TSV")
    else:
        path = write(
            tmp_path / f"a{ending}", names, [["9", "1", "fine"], ["8", "negative", "poor"]]
        )
    examples = read_file(SST2, path, counted)
    assert examples.texts == (["fine", "poor"],)
    assert examples.labels.tolist() == [1, 0]
    assert examples.row.tolist() == [0, 1]


@pytest.mark.parametrize(
    "names", [["Quality", "#1 String", "#2 String"], ["label", "sentence1", "sentence2"]]
)
def test_file_of_pairs(tmp_path: Path, names: list[str]) -> None:
    path = write(tmp_path / "a.csv", names, [["1", 'say "a", b', "two\nlines"]])
    assert read_file(MRPC, path, counted).texts == (['say "a", b'], ["two\nlines"])


def test_file_without_header_is_read_by_position(tmp_path: Path, glue: Path) -> None:
    dev = read_split(COLA, "dev", glue)
    assert read_file(COLA, glue / "CoLA/dev.tsv", counted).texts == dev.texts
    content = (glue / "SST-2/dev.tsv").read_text().partition("\n")[2]
    bare = read_file(SST2, put(tmp_path / "bare.tsv", content), counted)
    assert bare.texts == read_split(SST2, "dev", glue).texts


@pytest.mark.parametrize(("name", "folder"), [("mrpc", "MRPC"), ("stsb", "STS-B"), ("rte", "RTE")])
def test_file_equals_the_split_it_is(glue: Path, name: str, folder: str) -> None:
    file = read_file(TASKS[name], glue / folder / "dev.tsv", counted)
    split = read_split(TASKS[name], "dev", glue)
    assert file.texts == split.texts
    np.testing.assert_array_equal(file.labels, split.labels)


def test_class_numbers_are_announced(tmp_path: Path) -> None:
    rows = [["a", "b", "0"], ["a", "b", "neutral"]]
    path = write(tmp_path / "a.tsv", ["sentence1", "sentence2", "label"], rows)
    notices: list[str] = []
    assert read_file(MNLI, path, notices.append).labels.tolist() == [0, 2]
    assert "mnli's order: 0 contradiction, 1 entailment, 2 neutral" in notices[0]


@pytest.mark.parametrize("task", [MNLI, TASKS["snli"]])
def test_class_numbers_of_the_hubs_own_files(task, tmp_path: Path) -> None:
    """There 0 is entailment (the features of nyu-mll/glue and stanfordnlp/snli)."""
    entries = [{"premise": "a", "hypothesis": "b", "label": n} for n in (0, 1, 2)]
    path = put(tmp_path / "a.jsonl", "\n".join(map(json.dumps, entries)))
    notices: list[str] = []
    names = [task.labels[n] for n in read_file(task, path, notices.append).labels]
    assert names == ["entailment", "neutral", "contradiction"]
    assert "the order of the hub's files: 0 entailment, 1 neutral" in notices[0]


def test_lone_surrogates_and_float_classes_of_json(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", r'{"sentence": "a\ud800b\u0000 ", "label": 1.0}')
    examples = read_file(SST2, path, quiet)
    assert examples.texts == (["a\ufffdb"],)
    assert examples.labels.tolist() == [1]


# Bytes of any kind, and what looks nearly like a file: labels, tabs, quotes, braces, stray bytes.
PIECES = ["\t", "\n", "\r", ",", '"', "{", "}", ":", "0", "1", "-", "体育", "entailment", "好"]
NAMES = ["sentence", "label", "text", "text_a", "sentence1", "sentence2", "gold_label", "score"]
anything = st.one_of(
    st.binary(max_size=80),
    st.lists(st.sampled_from([piece.encode() for piece in PIECES + NAMES] + [b"\xff", b"\0"])).map(
        b"".join
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([".tsv", ".csv", ".jsonl", ".txt"]), anything, st.sampled_from(list(TASKS)))
def test_any_bytes_give_examples_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, ending: str, content: bytes, name: str
) -> None:
    path = put(tmp_path_factory.getbasetemp() / f"any{ending}", content)
    try:
        examples = read_file(TASKS[name], path, quiet)
    except UserError:
        return
    assert len(examples.row) == len(examples.labels) == len(examples.texts[0]) > 0


FILES = [(task, split) for task in TASKS.values() for split in task.files]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(FILES), anything)
def test_any_bytes_in_a_split_give_examples_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, which: tuple[Task, str], content: bytes
) -> None:
    task, split = which
    folder = tmp_path_factory.getbasetemp() / "split"
    put(folder / task.folder / task.files[split], content)
    notices: list[str] = []
    try:
        examples = read_split(task, split, folder, notices.append)
    except UserError:
        return
    assert len(notices) == 1 and "\n" not in notices[0].removeprefix(str(folder))
    assert len(examples.row) == len(examples.labels) == len(examples.texts[0]) > 0
    assert examples.row.tolist() == list(range(len(examples.row)))


texts = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), min_size=1)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([".tsv", ".csv", ".jsonl"]),
    st.lists(st.tuples(texts, st.sampled_from("01")), min_size=1, max_size=8),
)
def test_no_row_is_lost_or_moved(
    tmp_path_factory: pytest.TempPathFactory, ending: str, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / f"rows{ending}"
    write(path, ["sentence", "label"], [list(row) for row in rows])
    examples = read_file(SST2, path, quiet)
    assert examples.texts[0] == [text.replace("\0", " ").strip() for text, _ in rows]
    assert examples.labels.tolist() == [int(label) for _, label in rows]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(texts, st.integers(0, 1)), min_size=1, max_size=8),
    st.booleans(),
    st.sampled_from([("0", "1"), ("negative", "positive")]),
    st.booleans(),
)
def test_no_row_of_a_detected_task_is_lost_or_moved(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, int]],
    text_first: bool,
    names: tuple[str, str],
    header: bool,
) -> None:
    """With tabs within texts; a text that is itself a label would leave no way to tell."""
    framed = [(f"<{text}\t{text}>", names[label]) for text, label in rows]
    lines = [("text_a", "label"), *framed] if header else framed
    content = "".join("\t".join(line if text_first else line[::-1]) + "\n" for line in lines)
    folder = tmp_path_factory.getbasetemp() / "detected"
    put(folder / "chnsenticorp/train.tsv", content)
    examples = read_split(CHN, "train", folder, quiet)
    assert examples.texts[0] == [text.replace("\0", " ") for text, _ in framed]
    assert examples.labels.tolist() == [label for _, label in rows]


def table(n: int) -> Examples:
    numbers = np.arange(n, dtype=np.int32)
    return Examples(numbers, ([f"text {i}" for i in range(n)],), numbers % 3)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 80), st.integers(0, 2**32))
def test_cap(n: int, rows: int, seed: int) -> None:
    capped = cap(table(n), rows, seed)
    assert len(capped.row) == (min(n, rows) if rows else n)
    assert (np.diff(capped.row) > 0).all()
    assert capped.texts[0] == [f"text {i}" for i in capped.row]
    np.testing.assert_array_equal(capped.labels, capped.row % 3)
    np.testing.assert_array_equal(capped.row, cap(table(n), rows, seed).row)
    if rows > 1:
        assert set(cap(table(n), rows - 1, seed).row) <= set(capped.row)


def test_cap_does_not_change_between_versions() -> None:
    first = [175, 406, 621, 830, 847]  # as drawn by numpy 2.4.6
    assert cap(table(1000), 5, 7).row.tolist() == first
    assert cap(table(1000), 5, 8).row.tolist() != first
    with pytest.raises(UserError, match="-1"):
        cap(table(3), -1, 0)
    with pytest.raises(UserError, match="seed"):
        cap(table(3), 1, -1)


def test_hub_matches_classes_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        premise=datasets.Value("string"),
        hypothesis=datasets.Value("string"),
        label=datasets.ClassLabel(names=["entailment", "neutral", "contradiction"]),
    )
    rows = {"premise": ["a ", "b", "c"], "hypothesis": ["d", "e", "f"], "label": [0, 1, 2]}
    asked = []

    def load_dataset(path: str, config: str, split: str) -> object:
        asked.append((path, config, split))
        return datasets.Dataset.from_dict(rows, features=features)

    monkeypatch.setattr(hub, "unreachable", lambda: "")
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    examples = read_split(MNLI, "dev", "", quiet)
    assert asked == [("nyu-mll/glue", "mnli", "validation_matched")]
    assert [MNLI.labels[i] for i in examples.labels] == ["entailment", "neutral", "contradiction"]
    assert examples.texts == (["a", "b", "c"], ["d", "e", "f"])
    rows["label"] = [0, -1, 2]
    assert read_split(MNLI, "test", "", quiet).labels.tolist() == [1, -1, 0]
    with pytest.raises(UserError, match=r"Row 1 .* has no label"):
        read_split(MNLI, "dev", "", quiet)
    with pytest.raises(UserError, match="has the columns"):
        read_split(SST2, "dev", "", quiet)
    rows["label"] = [0, -1, 2]
    notices: list[str] = []
    undecided = read_split(SNLI, "dev", "", notices.append)
    assert undecided.texts == (["a", "c"], ["d", "f"])
    assert [SNLI.labels[i] for i in undecided.labels] == ["entailment", "contradiction"]
    assert "1 rows without an agreed label dropped" in notices[0] and "from the hub" in notices[0]


def test_hub_has_plain_numbers_of_chnsenticorp(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"text": ["好", "坏"], "label": [1, 0]}
    asked = []

    def load_dataset(path: str, config: str | None, split: str) -> object:
        asked.append((config, split))
        return datasets.Dataset.from_dict(rows)

    monkeypatch.setattr(hub, "unreachable", lambda: "")
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    examples = read_split(CHN, "dev", "", quiet)
    assert (examples.texts, examples.labels.tolist()) == ((["好", "坏"],), [1, 0])
    assert asked == [(None, "validation")]
    rows["label"] = [1, 2]
    with pytest.raises(UserError, match="Row 1 .* has the label 2, but chnsenticorp expects"):
        read_split(CHN, "dev", "", quiet)


BLACK_HOLE = """
import sys, time
from jaxdistill.data.readers import read_split
from jaxdistill.data.tasks import TASKS
from jaxdistill.errors import UserError
try:
    examples = read_split(TASKS["rte"], "dev", "", lambda text: None)
    print(examples.texts, examples.labels.tolist())
except UserError as error:
    print("UserError", error)
"""


def test_silent_network_is_a_user_error_in_ten_seconds_and_the_cache_serves(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    names = ["entailment", "not_entailment"]
    features = datasets.Features(
        sentence1=datasets.Value("string"),
        sentence2=datasets.Value("string"),
        label=datasets.ClassLabel(names=names),
    )
    rows = {"sentence1": ["a"], "sentence2": ["b"], "label": [1]}

    def read(home: Path) -> str:
        unset = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "http_proxy", "HTTP_PROXY")
        environment = {k: v for k, v in os.environ.items() if k not in unset}
        environment |= {
            "HF_HOME": str(home),
            "HF_ENDPOINT": f"http://127.0.0.1:{server.getsockname()[1]}",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        command = [sys.executable, "-c", BLACK_HOLE]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        return run.stdout

    with socket.create_server(("127.0.0.1", 0)) as server:  # Accepts, and never says a word.
        start = time.monotonic()
        said = read(tmp_path / "empty")
        assert time.monotonic() - start < 10
        assert said.startswith("UserError")
        assert "config.data.folder" in said
        assert "HF_HOME" in said
        cached = tmp_path / "full/datasets/nyu-mll___glue/rte/0.0.0/0123456789abcdef"
        cached.parent.mkdir(parents=True)
        saved = datasets.Dataset.from_dict(rows, features=features)
        saved.save_to_disk(cached)
        (cached / "data-00000-of-00001.arrow").rename(cached / "glue-validation.arrow")
        split = {"name": "validation", "num_bytes": 9, "num_examples": 1, "dataset_name": "glue"}
        info = json.loads((cached / "dataset_info.json").read_text())
        info |= {
            "builder_name": "parquet",
            "dataset_name": "glue",
            "config_name": "rte",
            "version": {"version_str": "0.0.0", "major": 0, "minor": 0, "patch": 0},
            "splits": {"validation": split},
        }
        (cached / "dataset_info.json").write_text(json.dumps(info))
        assert read(tmp_path / "full") == "(['a'], ['b']) [1]\n"
