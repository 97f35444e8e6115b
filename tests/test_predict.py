"""predict: what evaluate would say, of any file or pipe, in order; and GLUE's submission files."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
from test_sources import random_params

from jaxdistill import predict, streaming
from jaxdistill.config import from_command_line
from jaxdistill.data.blocks import blocked
from jaxdistill.data.readers import read_split
from jaxdistill.data.tasks import TASKS
from jaxdistill.errors import UserError
from jaxdistill.models.huggingface import save_huggingface
from jaxdistill.streaming import answers, as_lines
from jaxdistill.submission import PARTS, parts_of, submission, submit

ROOT = Path(__file__).parents[1]
REFUSE = str(Path(__file__).parent / "refuse")
DEV = 40
LABELS = {
    "sst2": ("negative", "positive"),
    "rte": ("entailment", "not_entailment"),
    "stsb": (),
}


def write_pairs(folder: Path, name: str) -> None:
    """RTE or STS-B in GLUE's layout, 8 rows a split; rows are 3 to 40 words long."""
    rng = np.random.default_rng(3)
    (folder / TASKS[name].folder).mkdir(parents=True)
    for split, file in TASKS[name].files.items():
        before = "0" if name == "rte" else "0\ta\tb\tc\td\te\tf"
        header = "index" if name == "rte" else "index\tg\tf\ty\to\ts\tt"
        lines = [f"{header}\tsentence1\tsentence2" + ("" if split == "test" else "\tlabel")]
        for n in range(8):
            texts = (" ".join(rng.choice(tiny.PLAIN, rng.integers(3, 20))) for _ in range(2))
            label = "" if split == "test" else f"\t{('entailment', n / 2)[name != 'rte']}"
            lines.append(f"{before}\t" + "\t".join(texts) + label)
        (folder / TASKS[name].folder / file).write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs by task: classifiers of random weights, large enough to disagree, scored."""
    from jaxdistill.recipe import ensure_run

    folder = tmp_path_factory.mktemp("predict")
    tiny.write_sst2(folder / "glue", train=8, dev=DEV)
    write_pairs(folder / "glue", "rte")
    write_pairs(folder / "glue", "stsb")
    for name, labels in LABELS.items():
        shape = replace(tiny.SHAPE, classes=max(1, len(labels)))
        params = jax.tree.map(lambda x: x if x.ndim == 1 else 6 * x, random_params(shape))
        source, tokenizer = folder / name, tiny.write_tokenizer(folder / "tokenizer")
        save_huggingface(source, params, shape, labels, tokenizer)
        ensure_run(
            from_command_line(
                [
                    "main",
                    f"--config={ROOT / 'configs/score_sst2.py'}",
                    f"--workdir={folder / 'runs' / name}",
                    f"--config.task={name}",
                    f"--config.model.source={source}",
                    f"--config.data.folder={folder / 'glue'}",
                    "--config.data.max_length=32",
                    "--config.data.buckets=(16, 32)",
                ]
            )
        )
    return {name: folder / "runs" / name for name in LABELS}


@pytest.fixture(scope="module")
def glue_folder(runs):
    return runs["sst2"].parents[1] / "glue"


def ask(run: Path, source: Path, target: Path, *more: str) -> list[dict]:
    predict.main(["predict", str(run), "--input", str(source), "--output", str(target), *more])
    return [json.loads(line) for line in target.read_text("utf-8").splitlines()]


def positive(logits: np.ndarray) -> np.ndarray:
    """The second of two classes' probability, without a softmax."""
    return 1 / (1 + np.exp(logits[:, 0].astype(np.float64) - logits[:, 1]))


def test_equals_what_evaluate_wrote(runs, glue_folder, tmp_path):
    kept = np.load(runs["sst2"] / "predictions" / "dev.npz")
    said = ask(runs["sst2"], glue_folder / "SST-2" / "dev.tsv", tmp_path / "out.jsonl")
    assert [answer["row"] for answer in said] == kept["row"].tolist() == list(range(DEV))
    winners = kept["logits"].argmax(1)
    assert 5 < winners.sum() < DEV - 5  # both are said
    assert [answer["label"] for answer in said] == [LABELS["sst2"][n] for n in winners]
    shares = [list(answer["probabilities"].values()) for answer in said]
    assert all(list(answer["probabilities"]) == list(LABELS["sst2"]) for answer in said)
    np.testing.assert_allclose(np.array(shares)[:, 1], positive(kept["logits"]), atol=2e-6)
    np.testing.assert_allclose(np.sum(shares, axis=1), 1, atol=2e-6)


@pytest.mark.parametrize("name", ["rte", "stsb"])
def test_pairs_and_a_regression(runs, glue_folder, name, tmp_path):
    kept = np.load(runs[name] / "predictions" / "dev.npz")["logits"]
    said = ask(runs[name], glue_folder / TASKS[name].folder / "dev.tsv", tmp_path / "out")
    if name == "stsb":
        assert [list(answer) for answer in said] == [["row", "score"]] * 8
        np.testing.assert_allclose([a["score"] for a in said], kept[:, 0], rtol=2e-5, atol=2e-6)
    else:
        shares = [answer["probabilities"]["not_entailment"] for answer in said]
        np.testing.assert_allclose(shares, positive(kept), atol=2e-6)


def test_every_format_and_every_block_size_say_the_same(runs, glue_folder, tmp_path, monkeypatch):
    pyarrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    texts = read_split(TASKS["sst2"], "dev", glue_folder, lambda text: None).texts[0]
    whole = ask(runs["sst2"], glue_folder / "SST-2" / "dev.tsv", tmp_path / "whole.jsonl")
    (tmp_path / "x.txt").write_text("\n".join(texts))
    with open(tmp_path / "x.csv", "w", newline="") as file:
        csv.writer(file).writerows([["id", "body"], *enumerate(texts)])
    lines = "".join(json.dumps({"body": text}) + "\n" for text in texts)
    (tmp_path / "x.jsonl").write_text(lines)
    parquet.write_table(pyarrow.table({"body": texts}), tmp_path / "x.parquet")
    monkeypatch.setattr(streaming, "blocked", partial(blocked, size=7))
    for name in ("x.txt", "x.csv", "x.jsonl", "x.parquet"):
        more = () if name == "x.txt" else ("--text", "body")
        found = ask(runs["sst2"], tmp_path / name, tmp_path / "out.jsonl", *more)
        assert [(a["row"], a["label"]) for a in found] == [(a["row"], a["label"]) for a in whole]
        for one, other in zip(found, whole, strict=True):
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=2e-6)


def test_few_programs_serve_any_number_of_blocks(runs, tmp_path):
    from jaxdistill.runs import open_run
    from jaxdistill.sharding import make_mesh

    predictor = streaming.Predictor(open_run(runs["sst2"], print), make_mesh())
    rng = np.random.default_rng(0)
    for count in (1, 3, 70, 64, 129):
        texts = [" ".join(rng.choice(tiny.PLAIN, rng.integers(0, 60))) for _ in range(count)]
        assert predictor((texts,)).shape == (count, 2)
    assert predictor.rows == 1 + 3 + 70 + 64 + 129
    assert 0 < predictor.cut < predictor.rows
    assert predictor._forward._cache_size() <= 2  # as many as buckets


def test_a_bilstm_reads_its_own_words():
    """As evaluate asks it, in one table; a text of more words than it reads is counted."""
    from jaxdistill.data.splitters import Splitter
    from jaxdistill.data.tables import Examples
    from jaxdistill.data.views import OWN, View
    from jaxdistill.inputs import make_split
    from jaxdistill.models.build import build, draw
    from jaxdistill.runs import Description, Run
    from jaxdistill.scoring import predict as whole
    from jaxdistill.sharding import make_mesh

    view = View(Splitter("words", True), 8, (*OWN, *tiny.GOOD, *tiny.PLAIN))
    shape = {"vocab": len(view.vocabulary), "width": 6, "channels": 1, "hidden": 5, "directions": 2}
    shape |= {
        "pooling": "final",
        "texts": 1,
        "pairs": "product",
        "dense": 0,
        "activation": "relu",
        "classes": 2,
    }
    shape |= {"embedding_dropout": 0.0, "encoder_dropout": 0.0, "head_dropout": 0.0}
    about = Description(
        version=1,
        method="finetune",
        model="bilstm",
        shape=shape,
        precision="float32",
        task="sst2",
        labels=LABELS["sst2"],
        selection="accuracy",
        data_folder="",
        max_length=32,
        buckets=(8,),
        stages=("finetune",),
    )
    model = build("bilstm", shape, "float32")
    params = jax.jit(lambda key: draw(model, key))(jax.random.key(0))
    run = Run(Path("run"), about, "finetune", model, params, None, {}, view)
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(tiny.PLAIN, n % 12)) for n in range(90)]
    examples = Examples(np.arange(90, dtype=np.int32), (texts,), np.zeros(90, np.int32))
    table = make_split(examples, None, 32, 0, print, lambda: None, view)
    mesh = make_mesh()
    predictor = streaming.Predictor(run, mesh)
    forward = predictor._forward  # one program for both
    expected = whole(forward, params, table, buckets=(8,), mesh=mesh, poll=lambda: None)
    found = [predictor(block) for block in blocked([(text,) for text in texts], 13)]
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-6)
    assert np.ptp(expected[:, 0]) > 0.01
    longest = sum(n % 12 >= 8 for n in range(90))
    assert predictor.remark().startswith(f"{longest} of 90 rows have 8 words or more")


def test_a_stage_by_name(runs, glue_folder, tmp_path):
    dev = glue_folder / "SST-2" / "dev.tsv"
    assert ask(runs["sst2"], dev, tmp_path / "a", "--stage=score") == ask(
        runs["sst2"], dev, tmp_path / "b"
    )
    with pytest.raises(UserError, match="has no stage 'other'; its stages are score"):
        ask(runs["sst2"], dev, tmp_path / "c", "--stage=other")


def test_a_bad_row_is_told_before_anything_is_written(runs, tmp_path, monkeypatch):
    """The last of many rows; the model is never asked, and an older output stays."""
    monkeypatch.setattr(streaming.Predictor, "__call__", lambda *_: pytest.fail("computed"))
    bad = tmp_path / "x.jsonl"
    bad.write_text('{"text": "fine"}\n' * 50 + '{"text": 5}\n')
    (tmp_path / "out.jsonl").write_text("older")
    with pytest.raises(UserError, match=r"x\.jsonl, row 50 \(line 51\): text is 5"):
        ask(runs["sst2"], bad, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "x.jsonl"]


def test_half_a_file_is_never_there(runs, tmp_path, monkeypatch):
    calls = []

    def fail_at_the_second(self, texts):
        calls.append(len(texts[0]))
        if len(calls) == 2:
            raise RuntimeError("no more")
        return np.zeros((len(texts[0]), 2), np.float32)

    monkeypatch.setattr(streaming.Predictor, "__call__", fail_at_the_second)
    monkeypatch.setattr(streaming, "blocked", partial(blocked, size=3))
    (tmp_path / "x.txt").write_text("fine\n" * 5)
    with pytest.raises(RuntimeError, match="no more"):
        ask(runs["sst2"], tmp_path / "x.txt", tmp_path / "out.jsonl")
    assert calls == [3, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


def test_a_named_pipe_stays_one(runs, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "x.txt").write_text("fine\ndull\n")
    read: list[str] = []
    thread = threading.Thread(
        target=lambda: read.append((tmp_path / "fifo").read_text()), daemon=True
    )
    thread.start()
    words = ["--input", str(tmp_path / "x.txt"), "--output", str(tmp_path / "fifo")]
    predict.main(["predict", str(runs["sst2"]), *words])
    thread.join(20)
    assert [json.loads(line)["row"] for line in read[0].splitlines()] == [0, 1]
    assert (tmp_path / "fifo").is_fifo()


def test_an_output_that_cannot_be_is_told_first(runs, tmp_path):
    (tmp_path / "x.txt").write_text("fine\n")
    for target, said in ((tmp_path, "is a folder"), (tmp_path / "no" / "x", "there is no")):
        with pytest.raises(UserError, match=said):
            ask(runs["sst2"], tmp_path / "x.txt", target)


def test_an_input_that_breaks_is_not_the_outputs_fault(runs, tmp_path, monkeypatch):
    def broken(path):
        raise OSError(5, "Input/output error")

    (tmp_path / "x.txt").write_text("fine\n")
    monkeypatch.setattr(streaming, "sha256_file", broken)
    with pytest.raises(UserError, match="Cannot read .*x.txt: Input/output error"):
        ask(runs["sst2"], tmp_path / "x.txt", tmp_path / "y.jsonl")
    assert not (tmp_path / "y.jsonl").exists()


def test_the_answers_do_not_take_the_place_of_the_texts(runs, tmp_path):
    (tmp_path / "x.jsonl").write_text('{"sentence": "fine"}\n')
    (tmp_path / "y.jsonl").symlink_to(tmp_path / "x.jsonl")
    for target in ("x.jsonl", "y.jsonl"):
        with pytest.raises(UserError, match="are the same file.*Give --output another name"):
            ask(runs["sst2"], tmp_path / "x.jsonl", tmp_path / target)
    assert (tmp_path / "x.jsonl").read_text() == '{"sentence": "fine"}\n'


def shell(script: str, run: Path) -> subprocess.CompletedProcess[str]:
    """A bash pipeline in which $PREDICT is the verb on the run, in a house without a network."""
    return subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": REFUSE,
            "PREDICT": f"{sys.executable} -m jaxdistill.predict {run}",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_pipe_in_and_a_pipe_out_without_a_socket(runs):
    """head closes its end after two lines: predict ends quietly, with 0."""
    done = shell(
        "yes 'a fine film' | head -n 30000 | $PREDICT | head -n 2; echo ${PIPESTATUS[2]}",
        runs["sst2"],
    )
    first, second, status = done.stdout.splitlines()
    assert [json.loads(line)["row"] for line in (first, second)] == [0, 1]
    assert (status, done.stderr) == ("0", ""), done.stderr


def test_a_pipe_that_breaks_off_has_answered_what_came(runs):
    done = shell(r"printf 'fine\ndull\n\xff\nwarm\n' | $PREDICT", runs["sst2"])
    assert [json.loads(line)["row"] for line in done.stdout.splitlines()] == [0, 1]
    assert done.returncode == 2
    assert "row 2 (line 3): the byte 0xff is not UTF-8" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--glue", "x", "--input", "y.txt"], "leave --input out"),
        (["--glue", "x", "--folder", "y", "--output", "z"], "leave --output out"),
        (["--folder", "x"], "--folder goes with --glue"),
        (["--text", "body"], "a pipe has a text a line"),
    ],
)
def test_flags_that_do_not_go_together(words, said, capsys):
    with pytest.raises(SystemExit) as caught:
        predict.parse(["run", *words])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_missing_input_is_told_before_the_run_is_opened(tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        predict.main(["predict", "no run", "--input", str(tmp_path / "x.csv")])


def test_answers_by_hand():
    logits = np.array([[0, np.log(3)], [np.log(9), 0], [1000, -1000]], np.float32)
    assert answers(logits, ("差", "好")) == [
        {"label": "好", "probabilities": {"差": 0.25, "好": 0.75}},
        {"label": "差", "probabilities": {"差": 0.9, "好": 0.1}},
        {"label": "差", "probabilities": {"差": 1.0, "好": 0.0}},
    ]
    assert answers(np.array([[3.1415926]], np.float32), ()) == [{"score": 3.14159}]
    assert as_lines(7, [{"label": "好"}, {"label": "差"}]).decode() == (
        '{"row": 7, "label": "好"}\n{"row": 8, "label": "差"}\n'
    )


# GLUE's server


def test_submissions_by_hand():
    two = np.array([[1, 0], [0, 1]], np.float32)
    three = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], np.float32)
    head = "index\tprediction\n"
    for name in ("cola", "sst2", "mrpc", "qqp", "wnli"):
        assert submission(TASKS[name], two) == head + "0\t0\n1\t1\n"
    for name in ("qnli", "rte"):
        assert submission(TASKS[name], two) == head + "0\tentailment\n1\tnot_entailment\n"
    for name in ("mnli", "ax"):
        expected = head + "0\tneutral\n1\tentailment\n2\tcontradiction\n"
        assert submission(TASKS[name], three) == expected
    scores = np.array([[-0.3], [5.7], [2.34567], [5]], np.float32)
    assert submission(TASKS["stsb"], scores) == head + "0\t0.000\n1\t5.000\n2\t2.346\n3\t5.000\n"


def test_names_are_the_servers():
    names = "CoLA SST-2 MRPC QQP STS-B MNLI-m MNLI-mm QNLI RTE WNLI AX".split()
    assert [part.name for part in PARTS] == names
    assert [part.name for part in parts_of(TASKS["mnli"])] == ["MNLI-m", "MNLI-mm", "AX"]
    assert [part.name for part in parts_of(TASKS["stsb"])] == ["STS-B"]
    with pytest.raises(UserError, match="no task reviews; it takes runs of cola, sst2"):
        parts_of(TASKS["reviews"])


def test_the_index_is_the_row_in_the_published_files(glue):
    for part in PARTS:
        path = glue / TASKS[part.task].folder / TASKS[part.task].files[part.split]
        if not path.is_file():
            continue
        lines = [line for line in path.read_text("utf-8").split("\n")[1:] if line]
        assert [line.split("\t")[0] for line in lines] == [str(n) for n in range(len(lines))]
        examples = read_split(TASKS[part.task], part.split, glue, lambda text: None)
        assert len(examples.row) == len(lines) == TASKS[part.task].rows[part.split]


def test_an_rte_run_writes_rte(runs, glue_folder, tmp_path, monkeypatch, capsys):
    words = ["predict", str(runs["rte"]), "--glue", str(tmp_path / "server")]
    with pytest.raises(UserError, match="8 rows here, but GLUE's server numbers 3,000"):
        predict.main(words)
    assert not (tmp_path / "server").exists()
    monkeypatch.setitem(TASKS["rte"].rows, "test", 8)
    predict.main(words)
    assert capsys.readouterr().out == f"{tmp_path / 'server' / 'RTE.tsv'}\n"
    said = ask(runs["rte"], glue_folder / "RTE" / "test.tsv", tmp_path / "out.jsonl")
    expected = "".join(f"{answer['row']}\t{answer['label']}\n" for answer in said)
    found = (tmp_path / "server" / "RTE.tsv").read_text()
    assert found == "index\tprediction\n" + expected


def test_an_mnli_run_writes_three_files(tmp_path, monkeypatch):
    """What is said of a pair is its hypothesis' first word; 5,000 rows are more than a block."""
    nli = TASKS["mnli"].labels
    counts = {"test": 5000, "test_mismatched": 3}
    header = "index\tp\ti\tg\ta\tb\tc\td\tsentence1\tsentence2\n"
    (tmp_path / "MNLI").mkdir()
    for split, count in counts.items():
        monkeypatch.setitem(TASKS["mnli"].rows, split, count)
        rows = (f"{n}\t" + "x\t" * 7 + f"P\t{nli[n * n % 3]}\n" for n in range(count))
        (tmp_path / "MNLI" / TASKS["mnli"].files[split]).write_text(header + "".join(rows))

    def read(texts):
        return np.array([[word == name for name in nli] for word in texts[1]], np.float32)

    notices: list[str] = []
    ask_for = partial(submit, TASKS["mnli"], str(tmp_path), tmp_path / "out", read, notices.append)
    assert [path.name for path in ask_for()] == ["MNLI-m.tsv", "MNLI-mm.tsv"]
    assert notices[-1].startswith("AX.tsv is left out: ")
    lines = (tmp_path / "out" / "MNLI-m.tsv").read_text().splitlines()
    assert lines[1:] == [f"{n}\t{nli[n * n % 3]}" for n in range(5000)]
    (tmp_path / "AX").mkdir()
    monkeypatch.setitem(TASKS["ax"].rows, "test", 1)
    (tmp_path / "AX" / "diagnostic.tsv").write_text(
        "index\tsentence1\tsentence2\n0\tP\tentailment\n"
    )
    assert [path.name for path in ask_for()][-1] == "AX.tsv"
    assert (tmp_path / "out" / "AX.tsv").read_text() == "index\tprediction\n0\tentailment\n"
