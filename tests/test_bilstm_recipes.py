"""The BiLSTM recipes whose data is not here: whole runs on little files in the real formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Set
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tiny

from jaxdistill import evaluate
from jaxdistill.config import from_command_line
from jaxdistill.files import read_json
from jaxdistill.recipe import ensure_run
from jaxdistill.runs import open_run

TRAIN, DEV = 72, 24
GOOD, BAD = "干净 舒适 满意 热情".split(), "嘈杂 破旧 失望 冷淡".split()


def put(path: Path, rows: list[str], end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{row}{end}" for row in rows).encode())


def questions(folder: Path) -> None:
    """QQP: six columns, a header, both questions in one row."""
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate"
    draw = np.random.default_rng(0)
    for split, count in (("train", TRAIN), ("dev", DEV)):
        rows = [header]
        for n in range(count):
            first, second = (f"how do i {draw.choice(tiny.GOOD)} it no {n} ?" for _ in "ab")
            rows.append(f"{n}\t{2 * n}\t{2 * n + 1}\t{first}\t{second}\t{int(first == second)}")
        put(folder / "QQP" / f"{split}.tsv", rows)


def reviews(folder: Path, name: str, row: str, ending: str, header: str = "") -> None:
    """Of a hotel, each text another one; some words are in the train texts alone or in dev's."""
    for split, count, end in (("train", TRAIN, "下次"), ("dev", DEV, "推荐")):
        kinds = [(n, n % 2, (GOOD if n % 2 else BAD)[n // 2 % 4]) for n in range(count)]
        rows = [row.format(label=k, text=f"第{n}号房间很{word}，{end}") for n, k, word in kinds]
        put(folder / name / f"{split}{ending}", [*([header] if header else []), *rows])


def vectors(path: Path, words: list[str], width: int) -> None:
    """word2vec's .bin."""
    drawn = np.random.default_rng(0).normal(size=(len(words), width)).astype("<f4")
    lines = zip(words, drawn, strict=True)
    body = [word.encode() + b" " + row.tobytes() + b"\n" for word, row in lines]
    path.write_bytes(f"{len(words)} {width}\n".encode() + b"".join(body))


def articles(folder: Path) -> None:
    """cnews: Chinese class names first, in files of its own names, and its list of characters."""
    for split, count in (("train", TRAIN), ("val", DEV)):
        kinds = "体育 财经 房产 家居 教育 科技 时尚 时政 游戏 娱乐".split()
        rows = [
            f"{kinds[n % 10]}\t关于{kinds[n % 10]}的第{n}篇" + "报道" * 40 for n in range(count)
        ]
        put(folder / "cnews" / f"cnews.{split}.txt", rows)
    put(folder / "cnews.vocab.txt", ["<PAD>", *"关于体育财经房产的第篇报道"])


def titles(folder: Path) -> None:
    """thucnews: a title, a tab, a number."""
    for split, count in (("train", TRAIN), ("dev", DEV)):
        rows = [f"第{n}号{'词汇阅读股票房价足球'[n % 10]}消息\t{n % 10}" for n in range(count)]
        put(folder / "thucnews" / f"{split}.txt", rows)
    put(folder / "more.txt", ["鲸鱼消息", "第1号鹤消息", "第0号词消息"])
    with (folder / "thucnews" / "dev.txt").open("ab") as dev:
        dev.write("第1号鹤消息\t1\n".encode())


class Case(NamedTuple):
    """A recipe's files, and what is changed of it."""

    write: Callable[[Path], None]
    flags: dict[str, object]
    words: Set[str]
    """Some that the run's vocabulary has."""
    abroad: Set[str] = frozenset()
    """And none of these."""


ABROAD = {"推荐", "从不出现"}
"""Words of dev alone, and of no text at all (trap 29)."""


CASES = {
    "qqp": Case(
        questions,
        {"student.view": "words", "student.vectors": "{}/google.bin", "augment.name": "tang"},
        {"how", "?"},
    ),
    "chnsenticorp": Case(
        lambda folder: reviews(
            folder, "chnsenticorp", "{label}\t{text}", ".tsv", header="label\ttext_a"
        ),
        {"student.vocabulary": "{}/senta_word_dict.txt"},
        {"房间", "满意"},
        ABROAD,
    ),
    "thucnews": Case(
        titles,
        {"augment.name": "text", "augment.text": "{}/more.txt"},
        {"号", "票", "鲸"},
        {"鹤"},
    ),
    "cnews": Case(articles, {"student.vocabulary": "{}/cnews.vocab.txt"}, {"关", "育"}),
    "hotel": Case(
        lambda folder: reviews(folder, "hotel", "{label}\t{text}", ".txt"), {}, {"下次"}, ABROAD
    ),
}
STUDENT = {"max_words": 16, "width": 8, "hidden": 8}
TEACHER = {"layers": 1, "width": 16, "heads": 2, "inner": 16, "vocab": 300}
QUICK = {"epochs": 1, "batch_size": 12, "eval_steps": 0, "precision": "float32"}


@pytest.mark.parametrize("name", CASES)
def test_a_recipe_runs_on_files_in_its_datas_format(name, tmp_path, request, monkeypatch, capsys):
    monkeypatch.chdir(request.config.rootpath)
    if name in ("chnsenticorp", "hotel"):
        pytest.importorskip("jieba")
    case, data = CASES[name], tmp_path / "data"
    case.write(data)
    vectors(data / "google.bin", ["how", "do", "?"], STUDENT["width"])
    put(
        data / "senta_word_dict.txt",
        ["房间", "满意", "失望", "[UNK]", "推荐", "从不出现"],
        end="\r\n",
    )
    size = {"max_length": 24, "buckets": (24,)}
    values = {
        "data.folder": data,
        "teacher.run": tmp_path / "teacher",
        "teacher.source": "random",
        "teacher.margin": -1.0,  # nothing is learnt in six steps
        **{f"{where}data.{k}": v for where in ("", "teacher.recipe.") for k, v in size.items()},
        **{f"teacher.recipe.model.{k}": v for k, v in TEACHER.items()},
        **{f"student.{k}": v for k, v in STUDENT.items()},
        **{f"teacher.recipe.stages.finetune.{k}": v for k, v in QUICK.items()},
        **{f"stages.kd.{k}": v for k, v in QUICK.items()},
        **case.flags,
    }
    if case.flags.get("augment.name") == "tang":
        values["augment.copies"] = 1
    words = [f"--config.{key}={str(value).format(data)}" for key, value in values.items()]
    run = tmp_path / "student"
    recipe = f"configs/bilstm_{name}.py"
    report = ensure_run(
        from_command_line(["main", f"--config={recipe}", f"--workdir={run}", *words])
    )
    opened = open_run(run, print)
    assert case.words <= set(opened.view.vocabulary)
    assert not case.abroad & set(opened.view.vocabulary)
    assert read_json(run / "teacher" / "cache.json") == {"kd": True}
    if name == "qqp":
        assert opened.model.shape.texts == 2
        assert report["augment"]["made"] > TRAIN  # three passes
        assert "word vectors" in capsys.readouterr().err
    evaluate.main(["evaluate", str(run), "--json"])
    said = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert said == pytest.approx(report["metrics"]["dev"], rel=1e-4)
