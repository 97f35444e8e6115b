"""Reading: real files give what is known of them, and bad ones a UserError that says where."""

from __future__ import annotations

import csv
import json
import os
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
from jaxdistill.data.readers import Examples, cap, read_file, read_split
from jaxdistill.data.tasks import TASKS
from jaxdistill.errors import UserError

SST2, MRPC, COLA, STSB, RTE, MNLI = (
    TASKS[name] for name in ("sst2", "mrpc", "cola", "stsb", "rte", "mnli")
)


def no_notice(text: str) -> None:
    raise AssertionError(f"unexpected notice: {text}")


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
]


@pytest.mark.parametrize(("name", "split", "rows", "counts"), REAL)
def test_real_counts(
    glue: Path, name: str, split: str, rows: int, counts: list[int] | None
) -> None:
    examples = read_split(TASKS[name], split, glue, no_notice)
    assert examples.row.dtype == examples.labels.dtype == np.int32
    np.testing.assert_array_equal(examples.row, np.arange(rows))
    assert {len(column) for column in examples.texts} == {rows}
    assert all(text == text.strip() and text for column in examples.texts for text in column)
    if counts is None:
        assert set(examples.labels.tolist()) == {-1}
    else:
        assert np.bincount(examples.labels).tolist() == counts


def test_real_scores(glue: Path) -> None:
    for split, rows in (("train", 5749), ("dev", 1500)):
        labels = read_split(STSB, split, glue, no_notice).labels
        assert labels.dtype == np.float32
        assert (len(labels), labels.min(), labels.max()) == (rows, 0, 5)
        assert 2 < labels.mean() < 3
    test = read_split(STSB, "test", glue, no_notice)
    assert len(test.row) == 1379
    assert np.isnan(test.labels).all()


def test_real_rows_word_by_word(glue: Path) -> None:
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


def test_folder_may_be_the_tasks_own(glue: Path) -> None:
    inside = read_split(SST2, "dev", glue / "SST-2")
    assert inside.texts == read_split(SST2, "dev", str(glue)).texts


def test_only_line_feeds_and_tabs_cut(tmp_path: Path) -> None:
    odd = 'a "quote\x0b\x0c\x1c\x85\u2028\u2029 b'
    content = f"\ufeffsentence\tlabel\r\n{odd}\t1\r\n\r\n x\0y \t0"
    put(tmp_path / "SST-2/dev.tsv", content)
    notices: list[str] = []
    examples = read_split(SST2, "dev", tmp_path, notices.append)
    assert examples.texts == ([odd, "x y"],)
    assert examples.labels.tolist() == [1, 0]
    assert notices == ["sst2 dev has 2 examples; the published split has 872."]


def test_short_rows_are_skipped_and_counted(tmp_path: Path) -> None:
    row = "1\t2\t3\tWhy ?\tWhy not ?\t1\n"
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    put(tmp_path / "QQP/train.tsv", header + row + "4\t5\t6\tcut\n here\t0\n" + row)
    notices: list[str] = []
    examples = read_split(TASKS["qqp"], "train", tmp_path, notices.append)
    assert examples.row.tolist() == [0, 1]
    assert examples.labels.tolist() == [1, 1]
    assert len(notices) == 2
    assert "2 rows have fewer than 6 fields" in notices[0]
    assert "line 3" in notices[0]


def test_short_row_does_not_take_a_text_for_the_label(tmp_path: Path) -> None:
    content = "index\tsentence1\tsentence2\tlabel\n0\ta\tentailment\n1\ta\tb\tentailment\n"
    put(tmp_path / "RTE/dev.tsv", content)
    assert read_split(RTE, "dev", tmp_path, lambda text: None).texts == (["a"], ["b"])


def test_mnli_takes_the_last_column(tmp_path: Path) -> None:
    names = ["index", "promptID", "pairID", "genre", "s1_b", "s2_b", "s1_p", "s2_p"]
    names += ["sentence1", "sentence2", *(f"label{i}" for i in range(1, 6)), "gold_label"]
    fields = ["0"] * 8 + ["P", "H"] + ["neutral"] * 5 + ["contradiction"]
    put(tmp_path / "MNLI/dev_mismatched.tsv", "\t".join(names) + "\n" + "\t".join(fields) + "\n")
    examples = read_split(MNLI, "dev_mismatched", tmp_path, lambda text: None)
    assert (examples.texts, examples.labels.tolist()) == ((["P"], ["H"]), [0])


def test_missing_header_and_stray_tab_are_noticed(tmp_path: Path) -> None:
    put(tmp_path / "SST-2/dev.tsv", "good\t1\nbad\t0\nso\t1\tso\n")
    notices: list[str] = []
    read_split(SST2, "dev", tmp_path, notices.append)
    assert "taken for the header" in notices[0]
    assert "more fields" in notices[1]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"sentence\tlabel\ngood\t1\nb\xe4d\t0\n", ["dev.tsv, line 3", "0xe4", "not UTF-8"]),
        (b"sentence\tlabel\ngood\t1\nbad\t7\n", ["dev.tsv, line 3", "'7'", "one of 0, 1"]),
        (b"sentence\tlabel\ngood\tpositive\n", ["dev.tsv, line 2", "'positive'", "0, 1"]),
        (b"sentence\tlabel\n", ["no example of sst2", "config.data.folder"]),
        (b"", ["no example of sst2"]),
        (b"sentence\tlabel\ngood\nbad\n", ["no example of sst2", "2 rows"]),
    ],
)
def test_bad_file(tmp_path: Path, content: bytes, parts: list[str]) -> None:
    put(tmp_path / "SST-2/dev.tsv", content)
    with pytest.raises(UserError) as caught:
        read_split(SST2, "dev", tmp_path, lambda text: None)
    assert all(part in str(caught.value) for part in parts), caught.value


@pytest.mark.parametrize("score", ["", "high", "nan", "inf", "1e39"])
def test_bad_score(tmp_path: Path, score: str) -> None:
    put(tmp_path / "f.tsv", f"sentence1\tsentence2\tscore\na\tb\t2.5\na\tb\t{score}\n")
    with pytest.raises(UserError, match=r"line 3: the label is .* finite number"):
        read_file(STSB, tmp_path / "f.tsv", no_notice)


def test_missing_file_names_what_is_there(tmp_path: Path) -> None:
    put(tmp_path / "SST-2/train.tsv", "")
    with pytest.raises(UserError) as caught:
        read_split(SST2, "dev", tmp_path)
    assert str(tmp_path / "SST-2/dev.tsv") in str(caught.value)
    assert "SST-2 has train.tsv" in str(caught.value)
    with pytest.raises(UserError, match=r"config.data.folder"):
        read_split(SST2, "dev", tmp_path / "none")
    (tmp_path / "SST-2/dev.tsv").mkdir()
    with pytest.raises(UserError, match="Cannot read"):
        read_split(SST2, "dev", tmp_path)
    with pytest.raises(UserError, match="has no split 'dev_mismatched'"):
        read_split(SST2, "dev_mismatched", tmp_path)


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
    examples = read_file(SST2, path, no_notice)
    assert examples.texts == (["fine", "poor"],)
    assert examples.labels.tolist() == [1, 0]
    assert examples.row.tolist() == [0, 1]


@pytest.mark.parametrize(
    "names", [["Quality", "#1 String", "#2 String"], ["label", "sentence1", "sentence2"]]
)
def test_file_of_pairs(tmp_path: Path, names: list[str]) -> None:
    path = write(tmp_path / "a.csv", names, [["1", 'say "a", b', "two\nlines"]])
    assert read_file(MRPC, path, no_notice).texts == (['say "a", b'], ["two\nlines"])


def test_file_without_header_is_read_by_position(tmp_path: Path, glue: Path) -> None:
    dev = read_split(COLA, "dev", glue)
    assert read_file(COLA, glue / "CoLA/dev.tsv", no_notice).texts == dev.texts
    content = (glue / "SST-2/dev.tsv").read_text().partition("\n")[2]
    bare = read_file(SST2, put(tmp_path / "bare.tsv", content), no_notice)
    assert bare.texts == read_split(SST2, "dev", glue).texts


@pytest.mark.parametrize(("name", "folder"), [("mrpc", "MRPC"), ("stsb", "STS-B"), ("rte", "RTE")])
def test_file_equals_the_split_it_is(glue: Path, name: str, folder: str) -> None:
    file = read_file(TASKS[name], glue / folder / "dev.tsv", no_notice)
    split = read_split(TASKS[name], "dev", glue)
    assert file.texts == split.texts
    np.testing.assert_array_equal(file.labels, split.labels)


def test_class_numbers_are_announced(tmp_path: Path) -> None:
    rows = [["a", "b", "0"], ["a", "b", "neutral"]]
    path = write(tmp_path / "a.tsv", ["premise", "hypothesis", "label"], rows)
    notices: list[str] = []
    assert read_file(MNLI, path, notices.append).labels.tolist() == [0, 2]
    assert "0 contradiction, 1 entailment, 2 neutral" in notices[0]


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.tsv", "index\tsentence\n0\tfine\n", ["index, sentence", "none of labels", "scoring"]),
        ("a.csv", "sentence\nfine\n", ["none of labels"]),
        ("a.jsonl", '{"sentence": "fine"}\n', ["none of labels"]),
        ("a.tsv", "phrase\ttarget\nfine\t1\n", ["phrase, target", "Rename"]),
        ("a.csv", "sentence,label\nfine,2\n", ["line 2", "'2'", "0, 1, negative, positive"]),
        ("a.csv", 'sentence,label\n"fine,1\n', ["not sound CSV"]),
        (
            "a.jsonl",
            '{"sentence": "a", "label": 1}\n{"sentence": "b"}\n',
            ["line 2", "label missing"],
        ),
        ("a.jsonl", '{"sentence": 3, "label": 1}\n', ["line 1", "strings"]),
        ("a.jsonl", "[1]\n", ["line 1", "not a JSON object"]),
        ("a.jsonl", '{"sentence"\n', ["line 1", "not sound JSON"]),
        ("a.jsonl", "", ["no rows"]),
        ("a.csv", "", ["no rows"]),
        ("a.tsv", "", ["no rows"]),
        ("a.xlsx", "", [".tsv, .csv, .jsonl"]),
    ],
)
def test_bad_held_out_file(tmp_path: Path, name: str, content: str, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        read_file(SST2, put(tmp_path / name, content), lambda text: None)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_lone_surrogates_and_float_classes_of_json(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", r'{"sentence": "a\ud800b\u0000 ", "label": 1.0}')
    examples = read_file(SST2, path, no_notice)
    assert examples.texts == (["a\ufffdb"],)
    assert examples.labels.tolist() == [1]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([".tsv", ".csv", ".jsonl"]),
    st.binary(max_size=80),
    st.sampled_from(list(TASKS)),
)
def test_any_bytes_give_examples_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, ending: str, content: bytes, name: str
) -> None:
    path = put(tmp_path_factory.getbasetemp() / f"any{ending}", content)
    try:
        examples = read_file(TASKS[name], path, lambda text: None)
    except UserError:
        return
    assert len(examples.row) == len(examples.labels) == len(examples.texts[0]) > 0


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
    examples = read_file(SST2, path, no_notice)
    assert examples.texts[0] == [text.replace("\0", " ").strip() for text, _ in rows]
    assert examples.labels.tolist() == [int(label) for _, label in rows]


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

    monkeypatch.setattr(hub, "_unreachable", lambda: "")
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    examples = read_split(MNLI, "dev", "", lambda text: None)
    assert asked == [("nyu-mll/glue", "mnli", "validation_matched")]
    assert [MNLI.labels[i] for i in examples.labels] == ["entailment", "neutral", "contradiction"]
    assert examples.texts == (["a", "b", "c"], ["d", "e", "f"])
    rows["label"] = [0, -1, 2]
    assert read_split(MNLI, "test", "", lambda text: None).labels.tolist() == [1, -1, 0]
    with pytest.raises(UserError, match=r"Row 1 .* has no label"):
        read_split(MNLI, "dev", "", lambda text: None)
    with pytest.raises(UserError, match="has the columns"):
        read_split(SST2, "dev", "", lambda text: None)


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
