"""Pre-training as it is run: the text, the recipe, resuming, and what can be made of the run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tiny
from test_optimizer import PLAN
from test_step import Listed
from test_strategies import BATCH

from jaxdistill import curves, evaluate
from jaxdistill.config import checked, from_command_line
from jaxdistill.data.corpus import read_corpus
from jaxdistill.data.tasks import find_task
from jaxdistill.errors import Preempted, UserError
from jaxdistill.files import read_json
from jaxdistill.log import RunLog, read_metrics
from jaxdistill.models.sources import load_pretrained
from jaxdistill.origins import find_checkpoint
from jaxdistill.preemption import Signals
from jaxdistill.recipe import ensure_run
from jaxdistill.runs import open_run, read_description
from jaxdistill.sharding import make_mesh
from jaxdistill.surroundings import Surroundings
from jaxdistill.trainer import train_stage
from jaxdistill.trees import flatten
from jaxdistill.types import Stage

SHAPE = {"layers": 2, "width": 64, "heads": 2, "inner": 32, "vocab": 200, "dropout": 0.0}
TEXTS = 480


@pytest.fixture(scope="module", autouse=True)
def _at_the_root(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(request.config.rootpath)
        yield


def ignore(text: str) -> None:
    pass


def write_corpus(path: Path, count: int = TEXTS) -> Path:
    """Texts in which good words stand with good ones and bad with bad: without labels, a half."""
    rng = np.random.default_rng(1)
    lines = []
    for number in range(count):
        words = [*rng.choice(tiny.GOOD if number % 2 else tiny.BAD, 5), *rng.choice(tiny.PLAIN, 3)]
        lines.append(" ".join(rng.permutation(words).tolist()))
    path.write_text("\n".join(lines) + "\n\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "texts.txt")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_sst2(tmp_path_factory.mktemp("glue"), train=200, dev=200)


def parse(recipe: str, run: Path, values: dict[str, object]):
    flags = [f"--config.{k.replace('__', '.')}={v}" for k, v in values.items()]
    return from_command_line(["main", f"--config=configs/{recipe}.py", f"--workdir={run}", *flags])


def pretraining(run: Path, corpus: Path | str, **overrides: object):
    model = {f"model__{name}": value for name, value in SHAPE.items()}
    plan = {f"stages__pretrain__{name}": value for name, value in tiny.PLAN.items()}
    values = {
        **model,
        **plan,
        "method__mask_rate": 0.3,
        "stages__pretrain__epochs": 14,
        "stages__pretrain__learning_rate": 3e-3,
        "stages__pretrain__batch_size": 16,
        "stages__pretrain__eval_steps": 90,
        "data__corpus": corpus,
        "data__held_out": 0.1,
        "data__buckets": (24,),
        "data__max_length": 24,
    }
    return parse("pretrain", run, values | overrides)


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "pretrain"
    return run, ensure_run(pretraining(run, corpus))


# ---- the text


def test_a_file_and_a_folder_of_the_same_texts_are_split_alike(tmp_path):
    texts = [f"text {i % 40}" for i in range(80)]  # each twice
    (tmp_path / "a").mkdir()
    (tmp_path / "one.txt").write_text("\n".join(texts), "utf-8")
    (tmp_path / "a" / "one.txt").write_text("\r\n".join([*texts[:50], " ", "", ""]), "utf-8")
    (tmp_path / "a" / "b").mkdir()
    (tmp_path / "a" / "b" / "two.TXT").write_text("\ufeff" + "\n".join(texts[50:]), "utf-8")
    (tmp_path / "a" / "notes.md").write_text("no text", "utf-8")
    said = []
    one = read_corpus(str(tmp_path / "one.txt"), 0.1, said.append)
    other = read_corpus(str(tmp_path / "a"), 0.1, said.append)
    for split, size in (("train", 72), ("dev", 8)):
        assert len(one[split].row) == len(other[split].row) == size
        assert sorted(one[split].texts[0]) == sorted(other[split].texts[0])
        assert (one[split].labels == -1).all()
    assert not set(one["train"].texts[0]) & set(one["dev"].texts[0])
    assert sorted([*one["train"].row, *one["dev"].row]) == list(range(80))
    assert [texts[row] for row in one["dev"].row] == one["dev"].texts[0]
    assert "80 texts in 2 file(s), 8 of them held out" in said[1]


def test_one_text_at_least_on_each_side(tmp_path):
    path = tmp_path / "two.txt"
    path.write_text("one\ntwo\n", "utf-8")
    for share in (0.01, 0.99):
        found = read_corpus(str(path), share, ignore)
        assert [len(found[split].row) for split in ("train", "dev")] == [1, 1]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("gone.txt", None, "gone.txt is not there"),
        ("rows.csv", b"a,b\n", r"'\.csv'.*one text a line.*\.txt"),
        ("empty.txt", b"\n \n", r"0 different text.*needs two"),
        ("same.txt", b"a\na\n", r"1 different text"),
        ("latin.txt", b"good\ncaf\xe9\n", r"latin\.txt, line 2: the byte 0xe9 is not UTF-8"),
    ],
)
def test_a_corpus_that_is_none_is_a_paragraph(name, text, said, tmp_path):
    if text is not None:
        (tmp_path / name).write_bytes(text)
    with pytest.raises(UserError, match=said):
        read_corpus(str(tmp_path / name), 0.1, ignore)


def test_a_folder_without_text_is_a_paragraph(tmp_path):
    with pytest.raises(UserError, match=r"without a \.txt file"):
        read_corpus(str(tmp_path), 0.1, ignore)


# ---- the config


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"data__held_out": 0.0}, "held_out is 0.0.*above 0 and below 1"),
        ({"method__mask_rate": 15.0}, "mask_rate is 15"),
        ({"model__source": "teacher"}, "no teacher"),
        ({"data__corpus": "nowhere"}, "corpus=nowhere is not there"),
    ],
)
def test_what_cannot_be_pre_trained_is_a_paragraph(overrides, said, corpus, tmp_path):
    with pytest.raises(UserError, match=said):
        ensure_run(pretraining(tmp_path / "run", corpus, **overrides))


def test_other_methods_have_no_corpus():
    config = parse("teacher_sst2", Path("run"), {})
    assert config.data.corpus is None
    plain = config.plain()
    plain["data"] |= {"buckets": (16,), "max_length": 16, "corpus": "texts", "held_out": 0.1}
    plain = {k: v for k, v in plain.items() if v is not None}
    for stage in plain["stages"].values():
        stage["betas"] = tuple(stage["betas"])
    with pytest.raises(UserError, match="corpus='texts'.*pretrain and general alone.*is finetune"):
        checked(plain)


def test_words_of_one_piece_each_are_no_whole_words(corpus, tmp_path):
    checkpoint = tiny.write_checkpoint(tmp_path / "hub" / "tiny-bert")
    overrides = {"model__source": checkpoint, "method__whole_word": True}
    with pytest.raises(UserError, match=r"0\.0% go on with a word.*whole_word=False"):
        ensure_run(pretraining(tmp_path / "run", corpus, **overrides))


def test_chinese_words_are_not_known_to_word_pieces(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("我们去看电影 playing\n这部电影很好看 playing\n他们不喜欢 playing\n", "utf-8")
    with pytest.raises(UserError, match=r"single Chinese characters.*whole_word=False"):
        ensure_run(pretraining(tmp_path / "run", path, method__whole_word=True))


# ---- the run


def test_the_held_out_loss_falls_and_chooses(finished):
    run, report = finished
    lines = [line for line in read_metrics(run) if line["kind"] == "eval"]
    assert len(lines) == 14  # once an epoch, more often than every 90 steps
    losses = [line["loss"] for line in lines]
    assert losses[-1] < min(losses[0], np.log(22)) - 0.2
    best = lines[int(np.argmin(losses))]
    assert report["stages"][0]["step"] == best["step"]
    assert report["metrics"]["dev"] == pytest.approx(
        {name: best[name] for name in ("loss", "masked_accuracy")}
    )
    assert (report["task"][-9:], report["selection"]) == ("texts.txt", "loss")
    assert read_json(run / "model.json")["selection"] == "loss"
    assert not (run / "predictions").exists()
    assert (run / "curves.png").is_file()
    assert "its dev loss" in (run / "report.md").read_text()


def test_a_run_from_text_is_a_source_and_no_classifier(finished):
    run, _ = finished
    found = open_run(run, ignore, headless=True)
    assert found.headless
    assert set(found.params) == {"embeddings", "layers", "pooler", "mlm"}
    assert read_description(run).labels == ()
    with pytest.raises(UserError, match=r"no classifier.*model\.source"):
        evaluate.main(["evaluate", str(run)])
    source = find_checkpoint(str(run), "config.model", find_task("mnli"), ignore, as_it_is=False)
    assert (source.has_classifier, source.has_mlm, source.shape.classes) == (False, True, 3)
    with pytest.raises(UserError, match="no classifier to be scored as it is"):
        find_checkpoint(str(run), "config.model", find_task("sst2"), ignore, as_it_is=True)


def test_interrupted_again_and_again_ends_with_the_same_bits(
    finished, corpus, tmp_path, monkeypatch
):
    times = 0

    def asked(self):
        nonlocal times
        times += 1
        return times % 17 == 0

    monkeypatch.setattr(Signals, "asked", asked)
    run, stops = tmp_path / "run", 0
    while not (run / "report.json").exists():
        try:
            ensure_run(pretraining(run, corpus))
        except Preempted:
            stops += 1
    assert stops >= 3
    one, other = (read_json(f / "report.json") for f in (finished[0], run))
    assert one["parameters_sha256"] == other["parameters_sha256"]
    assert one["metrics"] == other["metrics"]


def fine_tuning(run: Path, data: Path, **overrides: object):
    values = {
        **{f"stages__finetune__{name}": value for name, value in tiny.PLAN.items()},
        "data__folder": data,
        "data__train_rows": 16,
        "stages__finetune__epochs": 10,
        "data__buckets": (24,),
        "data__max_length": 24,
    }
    return ensure_run(parse("teacher_sst2", run, values | overrides))


def test_a_teacher_from_it_beats_one_from_nothing(finished, data, tmp_path):
    """16 labelled rows: what good words have in common is known from the text alone."""
    source, _ = finished
    theirs = fine_tuning(tmp_path / "pretrained", data, model__source=source)
    nothing = {f"model__{name}": value for name, value in SHAPE.items()}
    alone = fine_tuning(tmp_path / "random", data, model__source="random", **nothing)
    assert set(open_run(tmp_path / "pretrained", ignore).params) == {
        "embeddings",
        "layers",
        "pooler",
        "classifier",
    }
    ours, other = (report["metrics"]["dev"]["accuracy"] for report in (theirs, alone))
    print("from text", ours, "from nothing", other)
    assert ours > 0.9 > other


def test_going_on_from_somebodys_classifier(data, tmp_path):
    """Its own text, its dev held out; the pooler stays to the bit, the classifier goes."""
    checkpoint = tiny.write_checkpoint(tmp_path / "hub" / "tiny-bert")
    config = pretraining(
        tmp_path / "run",
        "",
        task="sst2",
        data__folder=data,
        data__train_rows=40,
        model__source=checkpoint,
        stages__pretrain__epochs=1,
        stages__pretrain__eval_steps=0,
        stages__pretrain__weight_decay=0.5,
    )
    report = ensure_run(config)
    assert (report["task"], report["stages"][0]["steps"]) == ("sst2", 3)
    before = flatten(load_pretrained(str(checkpoint), classes=2).params)
    after = flatten(open_run(tmp_path / "run", ignore, headless=True).params)
    for path in ("pooler/kernel", "pooler/bias"):
        np.testing.assert_array_equal(after[path], before[path])
    assert "mlm/dense/kernel" in after and "classifier/kernel" not in after
    assert not np.array_equal(after["layers/query/kernel"], before["layers/query/kernel"])


# ---- less is better


@pytest.mark.parametrize(("judged", "step"), [(True, 2), (False, 3)])
def test_of_a_judged_stage_less_is_better(judged, step, tmp_path):
    def loss(trained, frozen, batch, rng, progress):
        return trained["student"]["w"] ** 2, {}

    values = iter([0.5, 0.25, 0.75])
    stage = Stage("s", loss, lambda path: True, "best", judge=loss if judged else None)
    around = Surroundings(
        folder=tmp_path,
        epochs=lambda size, epoch: Listed([BATCH] * 3),
        evaluate=lambda params: {"loss": next(values)},
        selection="loss",
        seed=0,
        log=RunLog(None),
        signals=Signals(),
        mesh=make_mesh(),
        checkpoint_seconds=1e9,
        log_steps=100,
        ledger_steps=0,
    )
    plan = dataclasses.replace(PLAN, batch_size=4, eval_steps=1)
    start = {"student": {"w": np.float32(1.0)}}
    _, record = train_stage(stage, plan, start, {}, around, number=0)
    assert record["step"] == step


def test_the_smallest_loss_is_marked(tmp_path, monkeypatch):
    stars = []
    real = curves._panel

    def spy(axes, *arguments):
        real(axes, *arguments)
        stars.append([t.get_text() for t in axes.get_legend().get_texts()])

    monkeypatch.setattr(curves, "_panel", spy)
    records = []
    for step in (1, 2, 3):
        values = {"loss": [3.0, 1.0, 2.0][step - 1], "masked_accuracy": step / 10}
        records += [
            {"kind": kind, "stage": "pretrain", "step": step, **values}
            for kind in ("train", "eval")
        ]
    assert curves.draw_curves(records, tmp_path / "c.png", "loss")
    assert stars == [
        ["loss", "loss on dev", "best: 1.0000\nat step 2"],
        ["masked_accuracy in training", "masked_accuracy"],
    ]
