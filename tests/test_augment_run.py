"""Augmentation as it is asked for: the config, hard labels, a whole run on generated reviews."""

from __future__ import annotations

import dataclasses
import functools
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from test_kd import kd, terms

from jaxdistill import recipe
from jaxdistill.bench import train_table
from jaxdistill.config import from_command_line
from jaxdistill.data import readers
from jaxdistill.data.augment.added import MADE, TEXT
from jaxdistill.data.reviews import generate
from jaxdistill.data.tables import Examples
from jaxdistill.data.vocabulary import build_vocabulary, write_tokenizer
from jaxdistill.errors import Preempted, UserError
from jaxdistill.files import cache_folder, read_json
from jaxdistill.makers import make_maker
from jaxdistill.methods.finetune import labelled_loss, task_loss
from jaxdistill.models.bert import Bert, initial_params
from jaxdistill.models.huggingface import save_huggingface
from jaxdistill.preparing import same_config
from jaxdistill.recipe import ensure_run
from jaxdistill.sections import Config


@pytest.fixture(scope="module", autouse=True)
def _at_the_root(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(request.config.rootpath)
        patch.setattr(readers, "generate", functools.cache(generate))  # 14,000 reviews, once
        yield


def parse(name: str, **overrides: object) -> Config:
    flags = [f"--config.{k.replace('__', '.')}={v}" for k, v in overrides.items()]
    return from_command_line(["main", f"--config=configs/{name}", *flags])


# ---- the config


def test_what_adds_nothing_is_no_part_of_the_config():
    assert parse("kd_sst2.py").augment is None
    assert parse("kd_sst2.py", augment__copies=3) == parse("kd_sst2.py")
    assert "augment" not in json.dumps(parse("teacher_sst2.py").plain()["data"])


def test_the_papers_values_by_task_and_language():
    english = parse("tinybert.py:mrpc", augment__name="tang").augment
    assert english is not None
    assert (english.copies, english.words, english.tagger) == (30, "words", "english")
    assert (english.p_mask, english.p_pos, english.p_ng, english.ngram) == (0.1, 0.1, 0.25, (1, 5))
    assert (english.p_t, english.candidates, english.model) == (0.4, 15, "bert-base-uncased")
    chinese = parse("kd.py:reviews_zh", augment__name="tang").augment
    assert chinese is not None
    assert (chinese.copies, chinese.words, chinese.tagger) == (20, "jieba", "jieba")
    assert (chinese.ngram, chinese.model) == ((2, 10), "bert-base-chinese")
    assert (english.vectors, chinese.vectors) == (None, "teacher")


def test_what_is_not_read_may_change(tmp_path):
    def begun(**given) -> None:
        (tmp_path / "config.json").write_text(json.dumps(parse("kd_sst2.py", **given).plain()))

    given = {"augment__text": "a.txt", "augment__name": "text"}
    begun(**given, augment__tagger="contexts", augment__vectors="b.txt")
    same_config(parse("kd_sst2.py", **given), tmp_path)
    begun(augment__name="tang", augment__tagger="contexts")
    with pytest.raises(UserError, match="augment.tagger was 'contexts', is 'english'"):
        same_config(parse("kd_sst2.py", augment__name="tang"), tmp_path)
    begun(augment__name="tang", augment__p_pos=0.0, augment__tagger="contexts")
    same_config(parse("kd_sst2.py", augment__name="tang", augment__p_pos=0.0), tmp_path)


def test_the_number_of_processes_may_change(tmp_path):
    one = parse("kd_sst2.py", augment__name="tang")
    two = parse("kd_sst2.py", augment__name="tang", augment__workers=2)
    assert one.hash() == two.hash()
    (tmp_path / "config.json").write_text(json.dumps(one.plain()))
    same_config(two, tmp_path)
    with pytest.raises(UserError, match="augment.copies was 20, is 3"):
        same_config(parse("kd_sst2.py", augment__name="tang", augment__copies=3), tmp_path)


WRONG = {
    "no such name": ({"name": "eda"}, "name is 'eda', not one of none, tang"),
    "probabilities": ({"name": "tang", "p_mask": 0.6, "p_pos": 0.5}, "p_mask is 0.6, p_pos 0.5"),
    "ngram": ({"name": "tang", "ngram": "(3, 2)"}, r"ngram is \(3, 2\)"),
    "copies": ({"name": "tang", "copies": 0}, "copies is 0"),
    "words": ({"name": "tang", "words": "spaces"}, "words is 'spaces'"),
    "stages": ({"name": "tang", "stages": "('kd', 'x')"}, "stages names x.*config.stages has kd"),
    "nothing to ask": ({"name": "tinybert", "model": ""}, "needs a masked-LM in model, or vectors"),
    "no text": ({"name": "text"}, "there is none in text"),
    "no name": ({"text": "mine.txt"}, "name is none, which adds nothing.*name=text"),
    "confidence": ({"name": "tang", "confidence": 1.0}, "confidence is 1,"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_work_is_said(case):
    overrides, said = WRONG[case]
    with pytest.raises(UserError, match=said):
        parse("kd_sst2.py", **{f"augment__{k}": v for k, v in overrides.items()})


def test_what_does_not_work_with_the_rest_is_said():
    with pytest.raises(UserError, match="train rows alone"):
        parse("kd_sst2.py", augment__name="tang", teacher__logits="x.csv")
    with pytest.raises(UserError, match="theseus learns from labels alone.*labels=source"):
        parse("theseus_sst2.py", augment__name="tang", augment__labels="none")
    assert parse("theseus_sst2.py", augment__name="tang").augment is not None


# ---- rows without labels


def test_hard_losses_leave_rows_without_label_out():
    logits = jnp.array([[1.0, -1.0], [0.5, 2.0], [3.0, 3.0]])
    known = labelled_loss(logits, jnp.array([0, 1, 1]))
    np.testing.assert_array_equal(known, task_loss(logits, jnp.array([0, 1, 1])))
    found = labelled_loss(logits, jnp.array([0, -1, 1]))
    np.testing.assert_array_equal(found, known * np.array([1, 0, 1]))
    assert np.isnan(labelled_loss(logits, jnp.array([0, 2, 1]))[1])  # no class: told, not hidden
    numbers = labelled_loss(logits[:, :1], jnp.array([2.0, jnp.nan, 3.0]))
    np.testing.assert_array_equal(numbers, [1.0, 0.0, 0.0])


@pytest.mark.parametrize("labels", [[0, -1], [0.5, float("nan")]])
def test_their_gradient_is_zero_and_not_nan(labels):
    logits = jnp.ones([2, 2 if isinstance(labels[0], int) else 1])
    found = jax.grad(lambda x: labelled_loss(x, jnp.array(labels)).sum())(logits)
    assert np.isfinite(found).all()
    assert (found[1] == 0).all()
    assert (found[0] != 0).any()


def test_soft_labels_teach_rows_without_a_label():
    which = kd(soft_weight=1.0, hard_weight=1.0)
    ours, theirs = [[0.0, 1.0], [2.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]
    both, one = (terms(which, ours, theirs, labels) for labels in ([1, 0], [1, -1]))
    assert one["soft"] == both["soft"]
    first = terms(which, ours[:1], theirs[:1], [1])["hard"]
    assert one["hard"] == pytest.approx(first / 2)
    shifting = kd(probability_shift=True, hard_weight=0.0)
    plain = kd(hard_weight=0.0)
    assert terms(shifting, ours, theirs, [-1, -1]) == terms(plain, ours, theirs, [0, 1])


# ---- whole runs

SMALL = {
    **{f"student.{key}": value for key, value in {"width": 16, "heads": 2, "inner": 32}.items()},
    **{f"stages.prediction.{key}": 1 for key in ("epochs", "accumulate")},
    "stages.prediction.precision": "float32",
    "stages.prediction.batch_size": 32,
    "method.stages_run": "('prediction',)",
    "data.buckets": (48,),
    "data.train_rows": 96,
    "teacher.margin": -1.0,  # it has learnt nothing
    "baseline": False,
}
TANG = {"augment.name": "tang", "augment.copies": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With "teacher", a BERT with random weights that knows the words of the reviews."""
    folder = tmp_path_factory.mktemp("runs")
    words = build_vocabulary(generate("en", "train", 400)[0], 300)
    write_tokenizer(folder / "tokenizer", words)
    shape = dataclasses.replace(tiny.SHAPE, vocab=len(words), initial_std=0.5)
    params = jax.device_get(initial_params(Bert(shape), jax.random.key(0)))
    labels = ("negative", "positive")
    save_huggingface(folder / "teacher", params, shape, labels, folder / "tokenizer")
    return folder


def run(folder, name: str, **overrides: object):
    values = {**SMALL, "teacher.run": folder / "teacher", **overrides}
    flags = [f"--config.{k}={v}" for k, v in values.items()]
    words = ["main", "--config=configs/quickstart.py", f"--workdir={folder / name}", *flags]
    return ensure_run(from_command_line(words))


@pytest.fixture(scope="module")
def first(folder):
    return run(folder, "first", **TANG)


@pytest.fixture
def benches(monkeypatch):
    """What each method of a run would train on, which stops there."""
    seen = {}

    def run_stages(bench, method, *rest):
        seen[method] = bench
        if bench.config.baseline and method != "finetune":
            return {}
        raise Preempted("seen")

    monkeypatch.setattr(recipe, "run_stages", run_stages)
    return seen


def sample(folder, name: str):
    lines = (folder / name / "augmented" / "sample.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_a_run_trains_on_what_was_made_and_is_judged_on_dev_alone(first, folder):
    counts = first["augment"]
    assert counts["original"] == 96
    assert 96 < counts["made"] < 3 * 96
    assert counts["made"] + counts["repeated"] < 3 * 96  # a row's own copies are left out before
    rows = counts["original"] + counts["made"]
    assert [stage["steps"] for stage in first["stages"]] == [-(-rows // 32)]
    assert len(np.load(folder / "first" / "predictions" / "dev.npz")["row"]) == 2000
    assert set(first["metrics"]) == {"dev"}
    assert f"{counts['made']} made" in (folder / "first" / "report.md").read_text()
    found = sample(folder, "first")
    assert all(row["row"] == MADE + 3 * row["source"] + (row["row"] - MADE) % 3 for row in found)
    assert any("[MASK]" in row["texts"][0] for row in found)
    assert {row["label"] for row in found} == {0, 1}


def test_another_run_finds_what_was_made(first, folder, benches):
    kept = cache_folder() / "augmented"
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*.jsonl")}
    with pytest.raises(Preempted):
        run(folder, "second", **TANG, **{"augment.workers": 2}, baseline=True)
    assert before
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*.jsonl")} == before
    one, two = (folder / name / "augmented" / "data.json" for name in ("first", "second"))
    assert read_json(one) == read_json(two)
    # The student alone learns from the originals.
    rows = {method: len(train_table(bench, "any").row) for method, bench in benches.items()}
    assert rows == {"tinybert": 96 + first["augment"]["made"], "finetune": 96}


def test_the_teachers_vectors_a_text_of_ones_own_and_a_doubting_teacher(folder, benches, capfd):
    mine = folder / "mine.txt"
    mine.write_text("the room was clean\nthe room was clean\n", "utf-8")
    given = {
        "augment.name": "tinybert",
        "augment.copies": 2,
        "augment.model": "",
        "augment.vectors": "teacher",
        "augment.text": mine,
        "augment.labels": "none",
        "augment.confidence": 0.5,  # of two classes one has that much
    }
    with pytest.raises(Preempted):
        run(folder, "third", **given)
    assert "96 original, 1 text" in capfd.readouterr().err
    table = train_table(benches["tinybert"], "any")
    assert len(table.row) > 200
    assert table.row[96] == TEXT
    assert set(table.labels[:96].tolist()) == {0, 1}
    assert set(table.labels[96:].tolist()) == {-1}
    found = sample(folder, "third")
    assert not any("[MASK]" in row["texts"][0] for row in found)
    with pytest.raises(Preempted):
        run(folder, "third", **given)  # gone on with
    mine.write_text("another text\n", "utf-8")
    with pytest.raises(UserError, match="The augmented rows are not those"):
        run(folder, "third", **given)
    with pytest.raises(Preempted):
        run(folder, "fourth", **{**given, "augment.confidence": 0.999})
    assert len(train_table(benches["tinybert"], "any").row) < len(table.row)


def test_a_model_without_a_masked_lm_head_is_refused(folder):
    given = {"augment.name": "tinybert", "augment.model": folder / "teacher"}
    with pytest.raises(UserError, match="has no masked-LM head"):
        run(folder, "fifth", **given)


def test_a_stage_may_train_on_the_originals():
    class Bench:
        tables = {"train": "few"}  # noqa: RUF012
        augmented: str | None = "many"
        config = parse("tinybert_sst2.py", augment__name="tang", augment__stages="('prediction',)")

    assert [train_table(Bench, name) for name in ("intermediate", "prediction")] == ["few", "many"]
    Bench.augmented = None
    assert train_table(Bench, "prediction") == "few"


def test_texts_that_the_words_do_not_fit_are_refused():
    about = parse("kd_sst2.py", augment__name="tang").augment
    label = np.zeros(1, np.int32)
    tokenizer = SimpleNamespace(get_vocab=lambda: {"[UNK]": 0})
    room = SimpleNamespace(tokenizer=tokenizer, poll=lambda: None)
    with pytest.raises(UserError, match=r"tokenizer has no \[MASK\].*p_mask=0"):
        make_maker(about, Examples(label, (["a film"],), label), room)
    with pytest.raises(UserError, match="67% of what comes out.*words=jieba"):
        make_maker(about, Examples(label, (["房间很干净，服务也好"],), label), room)
