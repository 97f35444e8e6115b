"""General distillation: its loss, its run and resuming it, and what starts from it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from safetensors.numpy import save_file
from test_huggingface import random_params
from test_pretrain_run import ignore, parse, write_corpus
from test_table import QUICK, RADIUS, STRATEGIES, TINY_PLAN

from jaxdistill import evaluate
from jaxdistill.data import textfiles
from jaxdistill.data.stream import Stream
from jaxdistill.data.tasks import find_task
from jaxdistill.errors import Preempted, UserError
from jaxdistill.files import read_json, write_json
from jaxdistill.general import open_encoder
from jaxdistill.log import read_metrics
from jaxdistill.manifest import parameters_sha256
from jaxdistill.methods.general import General
from jaxdistill.methods.tinybert import TinyBert
from jaxdistill.models.bert import Bert
from jaxdistill.models.hfconfig import headless_config
from jaxdistill.models.huggingface import save_huggingface, to_huggingface
from jaxdistill.models.sources import load_pretrained
from jaxdistill.origins import find_checkpoint
from jaxdistill.recipe import ensure_run
from jaxdistill.runs import open_run
from jaxdistill.starts import make_start
from jaxdistill.strategies import make_gradient
from jaxdistill.trees import flatten
from jaxdistill.types import Batch, Progress

SHAPE = dataclasses.replace(tiny.SHAPE, width=32, initial_std=0.3)
"""The teacher's; its weights are large enough for there to be something to learn."""
STUDENT = {"layers": 1, "width": 16, "heads": 2, "inner": 32, "dropout": 0.1}
STEPS = 24


@pytest.fixture(scope="module", autouse=True)
def _in_a_small_world(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(request.config.rootpath)
        patch.setattr(textfiles, "BLOCK", 16)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """texts.txt, 480 texts, and encoder/, a BERT without head in Hugging Face's layout."""
    folder = tmp_path_factory.mktemp("general")
    write_corpus(folder / "texts.txt")
    encoder = tiny.write_tokenizer(folder / "encoder")
    tensors = to_huggingface(random_params(SHAPE), SHAPE, classifier=False)
    save_file(tensors, encoder / "model.safetensors")
    (encoder / "config.json").write_text(json.dumps(headless_config(SHAPE, "BertModel")))
    return folder


def distilling(world: Path, run: Path, **overrides: object):
    student = {f"student__{name}": value for name, value in STUDENT.items()}
    plan = {f"stages__general__{name}": value for name, value in tiny.PLAN.items()}
    values = {
        **student,
        **plan,
        "stages__general__epochs": 3,
        "stages__general__eval_steps": 4,
        "teacher__source": world / "encoder",
        "data__corpus": world / "texts.txt",
        "data__held_out": 0.1,
        "data__dev_rows": 20,
        "data__steps": STEPS // 3,
        "data__lanes": 4,
        "data__max_length": 16,
        "data__buckets": (16,),
    }
    return parse("general_tinybert", run, values | overrides)


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "general"
    return run, ensure_run(distilling(world, run))


# ---- the loss


def batch_of(rows: int = 3, width: int = 6) -> Batch:
    rng = np.random.default_rng(1)
    return Batch(
        row=np.arange(rows, dtype=np.int32),
        input_ids=rng.integers(5, SHAPE.vocab, (rows, width)).astype(np.int32),
        segments=np.zeros((rows, width), np.int32),
        mask=np.arange(width)[None] < np.array([6, 4, 5, 3])[:rows, None],
        labels=np.zeros(rows, np.int32),
        weight=np.array([1, 1, 0, 1], np.float32)[:rows],
    )


def test_it_is_tinyberts_intermediate_loss_without_heads():
    """As TinyBERT's own stage has it of the same models with heads; the judge drops nothing out."""
    small = dataclasses.replace(SHAPE, width=16, layers=1, dropout=0.5)
    exact = dataclasses.replace(small, dropout=0.0, attention_dropout=0.0)
    teacher = Bert(SHAPE)
    fields = {"layer_map": (2,), "projection": "per_layer"}
    general = General(**fields)
    tinybert = TinyBert(stages_run=("intermediate",), temperature=1.0, soft_weight=1.0, **fields)
    params = {
        "student": random_params(small),
        "teacher": random_params(SHAPE),
        "extras": general.extras(jax.random.key(0), Bert(small), teacher),
    }
    headless = {
        name: {part: leaf for part, leaf in tree.items() if part not in ("pooler", "classifier")}
        for name, tree in params.items()
    }
    (ours,) = general.stages(Bert(small), teacher)
    (theirs,) = tinybert.stages(Bert(exact), teacher)
    now = Progress(jnp.int32(0), jnp.float32(0))
    keys = [jax.random.key(n) for n in (0, 1)]
    wanted, terms = jax.jit(theirs.loss)(params, {}, batch_of(), keys[0], now)
    found, parts = jax.jit(ours.judge)(headless, {}, batch_of(), keys[1], now)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert parts.keys() == terms.keys() == {"embedding", "hidden", "attention"}
    for name, value in parts.items():
        np.testing.assert_allclose(value, terms[name], rtol=1e-6)
    loss = jax.jit(ours.loss)
    drawn = {float(loss(headless, {}, batch_of(), key, now)[0]) for key in keys}
    assert len(drawn | {float(wanted)}) == 3
    assert not ours.trains("student/pooler/kernel")
    assert ours.trains("student/layers/query/kernel") and ours.trains("extras/projection/bias")
    assert (ours.keep, ours.needs) == ("best", ("hiddens", "scores"))


def test_it_composes_with_the_strategies():
    """Accumulated, in float16, attacked on the tokens: the gradient stays near the plain one's."""
    small = dataclasses.replace(SHAPE, layers=1, dropout=0.0, attention_dropout=0.0)
    teacher = Bert(SHAPE)
    general = General(layer_map=(2,), projection="per_layer")
    heads = ("pooler", "classifier")
    params = {
        "student": {k: v for k, v in random_params(small).items() if k not in heads},
        "extras": general.extras(jax.random.key(0), Bert(small), teacher),
    }
    found = {}
    for strategy in ("clean", "all"):
        plan = dataclasses.replace(TINY_PLAN, **STRATEGIES[strategy])
        (stage,) = general.stages(Bert(small, plan.precision), Bert(SHAPE, plan.precision))
        scale = jnp.float32(1024) if plan.precision == "float16" else None
        now = Progress(jnp.int32(0), jnp.float32(0), jax.random.key(5), scale)
        run = jax.jit(make_gradient(stage, plan), compiler_options=QUICK)
        still = {"teacher": random_params(SHAPE)}
        found[strategy] = run(params, still, batch_of(rows=4), jax.random.key(1), now)
    ((clean, _), plain), ((loss, metrics), grads) = found["clean"], found["all"]
    np.testing.assert_allclose(loss, clean, rtol=1e-2)
    assert metrics["adversarial_loss"] > loss and 0 < metrics["perturbation"] < RADIUS + 1e-5
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    kernel = [tree["student"]["layers"]["query"]["kernel"] for tree in (grads, plain)]
    assert np.abs(kernel[0] - kernel[1]).max() > 1e-5


# ---- the run


def test_the_held_out_loss_falls_and_chooses(finished, world):
    run, report = finished
    lines = [line for line in read_metrics(run) if line["kind"] == "eval"]
    losses = [line["loss"] for line in lines]
    assert [line["step"] for line in lines] == [4, 8, 12, 16, 20, 24]
    assert losses[-1] < 0.8 * losses[0]
    best = lines[int(np.argmin(losses))]
    assert report["stages"][0]["step"] == best["step"]
    names = ("loss", "embedding", "hidden", "attention")
    assert report["metrics"]["dev"] == pytest.approx({name: best[name] for name in names})
    assert (report["task"], report["selection"]) == (str(world / "texts.txt"), "loss")
    assert report["teacher"]["run"] == str(world / "encoder")
    assert "student to teacher" in (run / "report.md").read_text()


def test_the_teacher_stays_as_it_was(finished, world):
    _, report = finished
    found = load_pretrained(str(world / "encoder"), classes=2)
    assert report["teacher"]["parameters_sha256"] == parameters_sha256(found.params)


def test_interrupted_again_and_again_ends_with_the_same_bits(
    finished, world, tmp_path, monkeypatch
):
    left, sought = [2, 9, 17], []
    give, seek = Stream.__getitem__, Stream.seek

    def stopping(self, index):
        if left and index >= left[0]:
            del left[0]
            os.kill(os.getpid(), signal.SIGTERM)
        return give(self, index)

    def seeking(self, index, position):
        sought.append((index, position))
        seek(self, index, position)

    monkeypatch.setattr(Stream, "__getitem__", stopping)
    monkeypatch.setattr(Stream, "seek", seeking)
    run, steps, places = tmp_path / "run", [], []
    while not (run / "report.json").exists():
        try:
            ensure_run(distilling(world, run))
        except Preempted:
            saved = run.glob("checkpoints/general/latest/*/details.json")
            path = max(saved, key=lambda path: int(path.parent.name))
            steps.append(int(path.parent.name))
            places.append(read_json(path)["stream"])
    assert len(steps) == 3 and any(step % (STEPS // 3) for step in steps)  # within an epoch too
    assert np.shape(places) == (3, 4, 4) and np.min(places) >= 0
    assert sought == list(zip(steps, places, strict=True))
    one, other = (read_json(f / "report.json") for f in (finished[0], run))
    assert one["parameters_sha256"] == other["parameters_sha256"]
    assert one["metrics"] == other["metrics"]


def test_another_corpus_or_teacher_is_another_run(world, finished, tmp_path):
    """Told before anything is trained, in a run that was begun."""
    run, _ = finished

    def begun(name, **values):
        config = distilling(world, tmp_path / name, **values)
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.json").write_bytes((run / "data.json").read_bytes())
        write_json(tmp_path / name / "config.json", config.plain())
        return config

    other = tmp_path / "other"
    shutil.copytree(world / "encoder", other)
    tensors = to_huggingface(random_params(SHAPE, seed=9), SHAPE, classifier=False)
    save_file(tensors, other / "model.safetensors")
    with pytest.raises(UserError, match=r"The teacher is not what .* was started with"):
        ensure_run(begun("one", teacher__source=other))
    write_corpus(tmp_path / "texts.txt", 470)
    with pytest.raises(UserError, match=r"The corpus is not what .* was started with"):
        ensure_run(begun("another", data__corpus=tmp_path / "texts.txt"))


def test_what_another_config_prepared_is_not_gone_on_with(world, tmp_path):
    """A teacher's tokenizer, copied before the run was refused, is not the next one's."""
    folder = tmp_path / "run"
    (folder / "teacher" / "tokenizer").mkdir(parents=True)
    (folder / "teacher" / "tokenizer" / "vocab.txt").write_text("of another teacher")
    (folder / "begun.json").write_text('{"config": "another"}')
    with pytest.raises(UserError, match="4 attention heads and the teacher 2"):
        ensure_run(distilling(world, folder, student__heads=4))
    copied = (folder / "teacher" / "tokenizer" / "vocab.txt").read_text()
    assert copied == (world / "encoder" / "vocab.txt").read_text()


# ---- what is made of it


def test_it_is_a_source_with_its_projection_and_no_classifier(finished):
    run, _ = finished
    found = open_run(run, ignore, headless=True)
    assert found.headless
    assert set(found.params) == {"embeddings", "layers", "pooler"}
    with pytest.raises(UserError, match="no classifier"):
        evaluate.main(["evaluate", str(run)])
    source = find_checkpoint(str(run), "config.student", find_task("sst2"), ignore, as_it_is=False)
    assert not source.has_classifier
    assert source.projection["kernel"].shape == (16, 32)
    drawn = General(layer_map=(), projection="shared").extras(
        jax.random.key(0), found.model, Bert(SHAPE)
    )
    assert not np.allclose(source.projection["kernel"], drawn["projection"]["kernel"])


def test_tinybert_starts_from_it(finished, world, tmp_path, capsys):
    """With its encoder and projection, to the bit: a learning rate of nothing shows them."""
    run, _ = finished
    tokenizer = tiny.write_tokenizer(tmp_path / "tokenizer")
    labels = ("negative", "positive")
    save_huggingface(tmp_path / "classifier", random_params(SHAPE), SHAPE, labels, tokenizer)
    values = {
        **{f"stages__intermediate__{name}": value for name, value in tiny.PLAN.items()},
        "stages__intermediate__epochs": 1,
        "stages__intermediate__learning_rate": 1e-30,
        "method__stages_run": '("intermediate",)',
        "teacher__run": tmp_path / "classifier",
        "teacher__margin": -1.0,
        "student__source": run,
        "data__folder": tiny.write_sst2(tmp_path / "glue", train=16, dev=8),
        "data__buckets": (24,),
        "data__max_length": 24,
    }
    ensure_run(parse("tinybert_sst2", tmp_path / "run", values))
    assert "the projection starts from the source's own" in capsys.readouterr().err
    before = open_run(run, ignore, headless=True)
    after = open_run(tmp_path / "run", ignore)
    kept = [path for path in flatten(before.params) if path.startswith(("embeddings/", "layers/"))]
    assert len(kept) > 10
    for path in kept:
        np.testing.assert_array_equal(flatten(after.params)[path], flatten(before.params)[path])
    np.testing.assert_array_equal(
        after.extras["projection"]["kernel"], before.extras["projection"]["kernel"]
    )
    assert "classifier/kernel" in flatten(after.params)


@pytest.mark.parametrize("source", ["teacher", "run"])
def test_students_from_elsewhere_have_no_classifier(source, finished, world, tmp_path):
    overrides = {"student__source": finished[0]}
    if source == "teacher":
        overrides = {"student__source": "teacher", "student__pick": "last"}
    config = distilling(world, tmp_path / "run", **overrides)
    task = find_task("sst2")
    teacher = open_encoder(config, task, tmp_path / "run", ignore)
    start = make_start(config, task, teacher, (), tmp_path / "run", ignore)
    assert set(start.params) == {"embeddings", "layers", "pooler"}
    if source == "teacher":
        assert start.shape == dataclasses.replace(SHAPE, layers=1, dropout=0.1)
        np.testing.assert_array_equal(
            start.params["layers"]["query"]["bias"], teacher.params["layers"]["query"]["bias"][1:]
        )
    else:
        assert start.projection["kernel"].shape == (16, 32)


# ---- the config


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"data__corpus": ""}, "corpus is empty"),
        ({"data__held_out": 1.0}, "held_out is 1.0, and must be a share"),
        ({"data__steps": 0}, "steps 0 and lanes 4: each must be at least 1"),
        ({"data__lanes": 3}, "lanes=3 does not divide config.stages.general.batch_size=8"),
        ({"data__train_rows": 9}, "train_rows is 9"),
        ({"data__max_length": 2}, "max_length is 2"),
        ({"student__source": "pretrained"}, "the teacher is what was pre-trained"),
        ({"method__layer_map": "(1, 2)"}, "layer_map has 2 entries but the student has 1 layers"),
        ({"student__heads": 4}, "4 attention heads and the teacher 2"),
        ({"data__lanes": 8, "stages__general__batch_size": 64, "data__corpus": "few"}, "lanes=8"),
        ({"teacher__source": "/nowhere"}, "There is no folder /nowhere"),
        ({"data__buckets": (16, 80)}, "80 tokens, and config.teacher.source=.* 64 positions"),
    ],
)
def test_what_cannot_be_distilled_is_a_paragraph(overrides, said, world, tmp_path):
    if overrides.get("data__corpus") == "few":
        (tmp_path / "few.txt").write_text("the film\n" * 20, "utf-8")
        overrides = overrides | {"data__corpus": tmp_path / "few.txt", "data__held_out": 0.999}
    with pytest.raises(UserError, match=said):
        ensure_run(distilling(world, tmp_path / "run", **overrides))


def test_other_methods_stream_nothing():
    with pytest.raises(UserError, match=r"no key 'lanes'|lanes"):
        parse("pretrain", Path("run"), {"data__lanes": 8})
