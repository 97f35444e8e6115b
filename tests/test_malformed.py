"""What cannot be read or trained: each answered in a paragraph with where, both sides and a remedy.

One table: a row gives what is wrong, and what its answer must say.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jaxdistill.config import from_command_line
from jaxdistill.data.readers import cap, read_file, read_split
from jaxdistill.data.tasks import TASKS
from jaxdistill.errors import UserError

ROOT = Path(__file__).parents[1]
SST2 = b"sentence\tlabel\n"
PAIR = b"index\tsentence1\tsentence2\tlabel\n"
REVIEW = "label\ttext_a\n1\t服务周到，房间很大，下次还来\n".encode()
Wrong = Callable[[Path], object]
"""Does the wrong thing in a folder of its own."""


def quiet(text: str) -> None:
    """A notice that nobody reads."""


def put(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def split(task: str, content: bytes | str | None, name: str = "train", **more: str) -> Wrong:
    """The task's split, whose file has this content; more: other files of the folder."""

    def wrong(folder: Path) -> object:
        about = TASKS[task]
        if content is not None:
            put(folder / about.folder / about.files[name], content)
        for stem, text in more.items():
            put(folder / about.folder / f"{stem}.txt", text)
        return read_split(about, name, folder, quiet)

    return wrong


def file(task: str, name: str, content: bytes | str) -> Wrong:
    """A labelled file of the user's."""
    return lambda folder: read_file(TASKS[task], put(folder / name, content), quiet)


def config(*words: str) -> Wrong:
    """A command line; a flag after the recipe is below --config."""
    flags = [words[0], *(f"--config.{word}" for word in words[1:])]
    return lambda folder: from_command_line(["main", f"--config={flags[0]}", *flags[1:]])


TEACHER, KD = "configs/teacher_sst2.py", "configs/kd_thucnews.py"
CASES: dict[str, tuple[Wrong, list[str]]] = {
    # ---- bytes
    "Latin letters": (
        split("sst2", SST2 + b"good\t1\nb\xe4d\t0\n"),
        ["train.tsv, line 3", "0xe4", "not UTF-8", "iconv -f cp1252"],
    ),
    "UTF-8 that was damaged": (
        split("chnsenticorp", REVIEW * 3 + b"0\t\xe6\x9c\n"),
        ["train.tsv, line 7", "0xe6", "mend the line"],
    ),
    "a file cut within a character": (  # whose bytes are everyday Chinese in gb18030 as well
        split("chnsenticorp", b"label\ttext_a\n1\t" + "锌价难续去年辉煌".encode()[:-2]),
        ["train.tsv, line 2", "0xe7", "not UTF-8"],
    ),
    "UTF-16 that was cut": (
        split("sst2", "sentence\tlabel\n".encode("utf-16")[:-1]),
        ["train.tsv", "UTF-16", "as UTF-8"],
    ),
    "a picture": (split("sst2", b"\x89PNG\r\n\x1a\n\0\0"), ["train.tsv, line 1", "0x89", "iconv"]),
    # ---- rows and columns
    "empty": (split("sst2", b""), ["no example of sst2", "0 rows", "config.data.folder"]),
    "header alone": (split("sst2", SST2), ["no example of sst2", "0 rows", "config.data.folder"]),
    "one field a row": (
        split("sst2", SST2 + b"good\nbad\n"),
        ["no example of sst2", "2 rows", "the 2 fields", "config.task"],
    ),
    "commas in a .tsv": (split("sst2", "sentence,label\ngood,1\n"), ["1 row,", "split by tabs"]),
    "carriage returns alone": (split("sst2", "sentence\tlabel\rgood\t1\r"), ["line feeds"]),
    "labels cut off": (
        split("rte", PAIR + b"0\ta\tb\n1\tc\td\n"),
        ["no example of rte", "2 rows", "the 4 fields"],
    ),
    "a header of one column": (
        split("stsb", "score\n5.0\n"),
        ["no example of stsb", "1 row", "the 9 fields"],
    ),
    # ---- labels
    "another class": (
        split("sst2", SST2 + b"good\t1\nbad\t7\n"),
        ["train.tsv, line 3", "'7'", "one of 0, 1", "Correct the row"],
    ),
    "a class by its name": (
        split("sst2", SST2 + b"good\tpositive\n"),
        ["train.tsv, line 2", "'positive'", "0, 1", "check the task"],
    ),
    "no label": (split("sst2", SST2 + b"good\t\n"), ["line 2", "the label is ''", "0, 1"]),
    "a label that is a text": (
        split("sst2", SST2 + b"1\t" + b"good " * 50 + b"\n"),
        ["line 2", "'good good", " ..., but sst2 expects"],
    ),
    "a pair's label": (
        split("rte", PAIR + b"0\ta\tb\tneutral\n"),
        ["line 2", "'neutral'", "entailment, not_entailment"],
    ),
    "undecided in MNLI": (
        split("mnli", "\t".join("abcdefghij") + "\tgold_label\n" + "\t".join("abcdefghij-")),
        ["line 2", "'-'", "contradiction, entailment, neutral"],
    ),
    "nothing but undecided in SNLI": (
        split("snli", "\t".join("abcdefghi") + "\tgold_label\n" + "\t".join("abcdefghi-")),
        ["line 2", "'-'", "contradiction, entailment, neutral"],
    ),
    **{
        f"the score {score!r}": (
            file("stsb", "f.tsv", f"sentence1\tsentence2\tscore\na\tb\t2.5\na\tb\t{score}\n"),
            ["f.tsv, line 3", f"the label is {score!r}", "a finite number"],
        )
        for score in ("", "high", "nan", "inf", "1e39")
    },
    # ---- Chinese sets
    "a review of 3 stars": (
        split("chnsenticorp", REVIEW + "3\t一般\n".encode()),
        ["train.tsv, line 3", "'3'", "Correct the row"],
    ),
    "reviews whose labels are named otherwise": (
        split("chnsenticorp", "类别\t评论\n1\t好\n0\t坏\n"),
        ["train.tsv, line 1", "'类别'", "the file's columns"],
    ),
    "reviews without labels": (
        split("chnsenticorp", "qid\ttext_a\n1\t好\n"),
        ["qid, text_a", "none of labels", "Add a column label"],
    ),
    "an eleventh class": (
        split("thucnews", "球队夺冠\t7\n股市大涨\t10\n"),
        ["train.txt, line 2", "'10'", "thucnews"],
    ),
    "titles of other classes": (
        split("thucnews", "球队夺冠\t7\n", **{"class": "体育\n财经\n"}),
        ["class.txt", "体育, 财经", "finance, realty", "another config.task"],
    ),
    "articles where titles should be": (
        split("thucnews", "体育\t球队夺冠\n"),
        ["line 1", "'球队夺冠'", "finance"],
    ),
    "titles where articles should be": (
        split("cnews", "球队夺冠\t7\n"),
        ["line 1", "'球队夺冠'", "体育, 财经"],
    ),
    # ---- files
    "another split's file": (
        split("sst2", None, name="dev", notes="mine"),
        ["SST-2/dev.tsv", "SST-2 has notes.txt", "config.data.folder", "for the hub"],
    ),
    "no folder": (
        lambda folder: read_split(TASKS["sst2"], "dev", folder / "none", quiet),
        ["none", "cannot be listed (No such file", "config.data.folder"],
    ),
    "a folder in the place of a file": (
        lambda folder: [
            (folder / "SST-2/dev.tsv").mkdir(parents=True),
            read_split(TASKS["sst2"], "dev", folder, quiet),
        ],
        ["Cannot read", "SST-2/dev.tsv"],
    ),
    "no such split": (
        lambda folder: read_split(TASKS["sst2"], "dev_mismatched", folder, quiet),
        ["no split 'dev_mismatched'", "train, dev, test"],
    ),
    "diagnostics to train on": (
        lambda folder: read_split(TASKS["ax"], "train", folder, quiet),
        ["ax has no split 'train'", "Its splits are test"],
    ),
    "a set that the hub lacks": (
        lambda folder: read_split(TASKS["cnews"], "train", "", quiet),
        ["config.data.folder is empty", "cnews/cnews.train.txt", "no copy of cnews"],
    ),
    "a negative cap": (
        lambda folder: cap(read_split(TASKS["reviews"], "dev", ""), -1, 0),
        ["-1", "0 for all"],
    ),
    # ---- files of the user's
    "a spreadsheet": (
        file("sst2", "a.xlsx", b""),
        ["a.xlsx", "'.xlsx'", ".tsv, .txt, .csv, .jsonl"],
    ),
    "an open quote": (
        file("sst2", "a.csv", 'sentence,label\n"fine,1\n'),
        ["a.csv, line 2", "not sound CSV", "double the quotes"],
    ),
    "semicolons": (file("sst2", "a.csv", "sentence;label\nfine;1\n"), ["sentence;label", "Rename"]),
    "other columns": (
        file("sst2", "a.tsv", "phrase\ttarget\nfine\t1\n"),
        ["phrase, target", "sentence or text", "Rename the columns"],
    ),
    "one text of a pair": (
        file("rte", "a.csv", "sentence1,label\na,entailment\n"),
        ["sentence1, label", "sentence1 and sentence2", "Rename"],
    ),
    "no labels": (
        file("sst2", "a.tsv", "index\tsentence\n0\tfine\n"),
        ["index, sentence", "none of labels", "scoring", "Add a column label"],
    ),
    "no labels in .csv": (file("sst2", "a.csv", "sentence\nfine\n"), ["Add a column label"]),
    "no labels in .jsonl": (file("sst2", "a.jsonl", '{"text": "a"}\n'), ["Add a column label"]),
    "a class too many": (
        file("sst2", "a.csv", "sentence,label\nfine,2\n"),
        ["a.csv, line 2", "'2'", "0, 1, negative, positive"],
    ),
    "a row without a key": (
        file("sst2", "a.jsonl", '{"sentence": "a", "label": 1}\n{"sentence": "b"}\n'),
        ["a.jsonl, line 2", "label missing", "there are sentence"],
    ),
    "a number for a text": (
        file("sst2", "a.jsonl", '{"sentence": 3, "label": 1}\n'),
        ["a.jsonl, line 1", "but must be a string"],
    ),
    "null for a label": (
        file("sst2", "a.jsonl", '{"sentence": "a", "label": null}\n'),
        ["a.jsonl, line 1", "'None'", "0, 1"],
    ),
    "JSON in brackets": (
        file("sst2", "a.jsonl", '[{"sentence": "a", "label": 1}]\n'),
        ["a.jsonl, line 1", "not a JSON object", "without brackets"],
    ),
    "half of a JSON object": (
        file("sst2", "a.jsonl", '{"sentence"\n'),
        ["a.jsonl, line 1", "not sound JSON"],
    ),
    "an empty .jsonl": (file("sst2", "a.jsonl", "\n\n"), ["a.jsonl has no rows"]),
    "an empty .csv": (file("sst2", "a.csv", ""), ["a.csv has no rows"]),
    "an empty .tsv": (file("sst2", "a.tsv", ""), ["a.tsv has no rows"]),
    # ---- configs
    "no such task": (config("configs/kd.py:thucnew"), ["'thucnew'", "Did you mean 'thucnews'"]),
    "a task by its folder": (config("configs/kd.py:STS-B"), ["Did you mean 'stsb'"]),
    "a misspelt key": (config(KD, "data.folders=zh"), ["folders", "folder"]),
    "a section that is not there": (config(TEACHER, "student.layers=3"), ["student"]),
    "a text for a number": (config(KD, "stages.kd.epochs=ten"), ["epochs=ten"]),
    "a length over the buckets": (
        config(KD, "data.max_length=512"),
        ["config.data.max_length is 512", "(16, 32, 64, 128)", "Add a bucket"],
    ),
    "no epochs": (config(KD, "stages.kd.epochs=0"), ["config.stages.kd.epochs is 0", "at least 1"]),
    "several at once": (
        config(KD, "stages.kd.warmup=2.0", "stages.kd.accumulate=3"),
        ["config.stages.kd.warmup is 2.0", "config.stages.kd.accumulate is 3", "batch_size=32"],
    ),
    "an unknown adversary": (
        config(TEACHER, "stages.finetune.adversary=pdg"),
        ["adversary is pdg", "none, fgm, pgd"],
    ),
    "no teacher": (config(KD, "teacher.run="), ["config.teacher.run is empty", "a file in"]),
    "weights for other teachers": (
        config(KD, "teacher.weights=(1.0, 2.0)"),
        ["config.teacher.weights", "each of 1 teacher(s)"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_is_answered(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong, parts = CASES[case]
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError) as caught:
        wrong(tmp_path)
    said = str(caught.value)
    assert all(part in said for part in parts), said
    assert "\n" not in said  # one paragraph


def test_the_verb_prints_it_without_a_traceback_and_exits_with_2(tmp_path: Path) -> None:
    put(tmp_path / "zh/thucnews/train.txt", "股市大涨\t2\n球队夺冠\t11\n")
    words = [
        "--config=configs/teacher_thucnews.py",
        f"--config.data.folder={tmp_path / 'zh'}",
        f"--workdir={tmp_path / 'run'}",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "jaxdistill.main", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert "train.txt, line 2: the label is '11', but thucnews expects" in done.stderr
    assert "Traceback" not in done.stderr
