"""The BiLSTM: the paper's size, an independent forward pass, its dropout, and whole runs."""

from __future__ import annotations

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from test_optimizer import PLAN as TINY
from test_table import QUICK

from jaxdistill import evaluate, presets
from jaxdistill.bilstm_section import CHOICES
from jaxdistill.config import checked, from_command_line
from jaxdistill.data.splitters import KINDS
from jaxdistill.data.tasks import find_task
from jaxdistill.errors import UserError
from jaxdistill.files import read_json
from jaxdistill.log import read_metrics
from jaxdistill.methods.finetune import Finetune, whole_student
from jaxdistill.models.bilstm import ACTIVATIONS, BiLstm, BiLstmShape, initial_bilstm
from jaxdistill.models.build import abstract_params, build, describe, in_words
from jaxdistill.models.probe import lstm_runs
from jaxdistill.models.sources import load_pretrained
from jaxdistill.optimizer import make_optimizer
from jaxdistill.recipe import ensure_run
from jaxdistill.runs import open_run
from jaxdistill.sharding import make_mesh, place, split_stacked
from jaxdistill.starts import make_start
from jaxdistill.step import make_steps, stack, start
from jaxdistill.strategies import make_gradient
from jaxdistill.trees import flatten, partition
from jaxdistill.types import Batch

jit = functools.partial(jax.jit, compiler_options=QUICK)
SHAPE = BiLstmShape(
    vocab=12,
    width=4,
    channels=2,
    hidden=5,
    directions=2,
    pooling="final",
    texts=2,
    pairs="product",
    dense=7,
    activation="relu",
    classes=3,
    embedding_dropout=0.0,
    encoder_dropout=0.0,
    head_dropout=0.0,
)
PAPER = dataclasses.replace(SHAPE, vocab=100, width=300, hidden=150, texts=1, dense=200, classes=2)


def outside_of_embeddings(shape: BiLstmShape) -> int:
    leaves = flatten(abstract_params(BiLstm(shape))).items()
    return sum(leaf.size for path, leaf in leaves if not path.startswith("embeddings/"))


def test_the_papers_model_has_963_002_parameters():
    """Table 2 says 0.96M: word vectors are not counted, two biases are."""
    assert outside_of_embeddings(PAPER) == 963_002


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [("paddle", 2, 1_625_702), ("taishan1994", 10, 2_115_082), ("oneflow", 2, 843_602)],
)
def test_the_seeds_models_have_theirs(name, classes, count):
    """By hand: K 4H (E + H + 2) of the LSTM, then the layers over it."""
    row = {**presets.PLAIN, **presets.STUDENTS[name]}
    fields = {f.name: row[f.name] for f in dataclasses.fields(BiLstmShape) if f.name in row}
    shape = BiLstmShape(**{**fields, "vocab": 30, "texts": 1, "classes": classes})
    assert outside_of_embeddings(shape) == count


# ---- what is computed

WORDS = np.array(
    [
        [[3, 4, 5, 0], [6, 7, 0, 0]],
        [[8, 0, 0, 0], [9, 10, 11, 3]],
        [[1, 2, 0, 0], [4, 4, 4, 0]],
    ],
    np.int32,
)


def batch(words=WORDS) -> Batch:
    count = len(words)
    row, token = np.arange(count, dtype=np.int32), np.zeros((count, 1), np.int32)
    return Batch(row, token, token, token > 0, row % 3, np.ones(count, np.float32), words)


def drawn(shape: BiLstmShape, seed: int = 0):
    rng = np.random.default_rng(seed)
    shapes = abstract_params(BiLstm(shape))
    return jax.tree.map(lambda leaf: rng.normal(0, 0.4, leaf.shape).astype(np.float32), shapes)


def computed(model: BiLstm, params, words=WORDS, **more):
    """Outputs, compiled: many small programs take longer."""
    apply = jit(lambda params: model.apply({"params": params}, batch(words), **more))
    return apply(params)


def by_hand(params, shape: BiLstmShape, words) -> np.ndarray:
    """Logits, one text and one step at a time, in float64."""

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def encode(text):
        text = [word for word in text if word]
        tables = params["embeddings"]
        names = ("word", "fixed")[: shape.channels]
        x = np.array([np.concatenate([tables[n]["embedding"][w] for n in names]) for w in text])
        ends, all_states = [], []
        for k in range(shape.directions):
            into, onto = params["lstm"]["input"], params["lstm"]["hidden"]
            h = c = np.zeros(shape.hidden)
            states = []
            for step in x if k == 0 else x[::-1]:
                gates = step @ into["kernel"][k] + h @ onto["kernel"][k]
                i, f, g, o = np.split(gates + into["bias"][k] + onto["bias"][k], 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
                states.append(h)
            ends.append(h)
            all_states.append(np.array(states if k == 0 else states[::-1]))
        return np.concatenate(ends) if shape.pooling == "final" else np.hstack(all_states).max(0)

    logits = []
    for example in words:
        a = encode(example[0])
        if shape.texts == 2:
            b = encode(example[1])
            a = np.concatenate([a, b, a * b if shape.pairs == "product" else a + b, abs(a - b)])
        if shape.dense:
            a = a @ params["dense"]["kernel"] + params["dense"]["bias"]
            a = np.maximum(a, 0) if shape.activation == "relu" else np.tanh(a)
        logits.append(a @ params["classifier"]["kernel"] + params["classifier"]["bias"])
    return np.array(logits)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pairs": "sum", "activation": "tanh", "channels": 1},
        {"pooling": "max", "dense": 0, "directions": 1},
        {"texts": 1, "pooling": "max"},
    ],
)
def test_the_logits_are_those_worked_out_step_by_step(changes):
    shape = dataclasses.replace(SHAPE, **changes)
    words = WORDS[:, : shape.texts]
    params = drawn(shape)
    outputs = computed(BiLstm(shape), params, words)
    np.testing.assert_allclose(outputs.logits, by_hand(params, shape, words), rtol=1e-4, atol=1e-5)
    assert outputs.hiddens.shape == outputs.scores.shape == (0,)
    together = computed(BiLstm(shape, together=True), params, words)
    np.testing.assert_allclose(together.logits, outputs.logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling", ["final", "max"])
def test_neither_neighbours_nor_padding_change_a_row(pooling):
    shape = dataclasses.replace(SHAPE, pooling=pooling)
    params, model = drawn(shape), BiLstm(shape)
    logits = computed(model, params).logits
    wide = computed(model, params, np.pad(WORDS, ((0, 0), (0, 0), (0, 3)))).logits
    alone = computed(model, params, WORDS[1:2]).logits
    np.testing.assert_allclose(wide, logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(alone, logits[1:2], rtol=1e-5, atol=1e-6)


def test_each_place_of_dropout_is_a_place():
    params = drawn(SHAPE)
    plain = computed(BiLstm(SHAPE), params).logits
    rngs = {"dropout": jax.random.key(1)}
    found = [plain]
    for where in ("embedding_dropout", "encoder_dropout", "head_dropout"):
        model = BiLstm(dataclasses.replace(SHAPE, **{where: 0.5}))
        found.append(computed(model, params, train=True, rngs=rngs).logits)
    evaluated = computed(model, params).logits
    none = computed(BiLstm(SHAPE), params, train=True, rngs=rngs).logits
    assert np.array_equal(evaluated, plain) and np.array_equal(none, plain)
    for i, one in enumerate(found):
        assert all(np.abs(one - other).max() > 1e-3 for other in found[:i])


def test_the_second_channel_stays():
    params, model = drawn(SHAPE), BiLstm(SHAPE)

    def total(params):
        return jnp.square(model.apply({"params": params}, batch()).logits).sum()

    grads = flatten(jit(jax.grad(total))(params))
    assert not np.any(grads["embeddings/fixed/embedding"])
    assert np.any(grads["embeddings/word/embedding"])
    moving = {path for path in grads if whole_student(f"student/{path}")}
    assert set(grads) - moving == {"embeddings/fixed/embedding"}
    both = jit(lambda key: initial_bilstm(model, key))(jax.random.key(0))["embeddings"]
    assert np.array_equal(both["word"]["embedding"], both["fixed"]["embedding"])


def test_a_description_gives_the_model_back():
    model = BiLstm(SHAPE, "bfloat16")
    name, shape = describe(model)
    assert build(name, json.loads(json.dumps(shape)), "bfloat16") == model
    assert in_words(SHAPE) == "BiLSTM 8-5, 12 words"


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_this_machine_runs_a_narrow_lstm(precision):
    assert lstm_runs(precision, width=16, hidden=16)


def test_adadelta_and_float16_learn():
    """A batch by heart; the loss scale is no business of the optimizer's."""
    plan = dataclasses.replace(
        TINY, optimizer="adadelta", learning_rate=2.0, betas=(0.9, 0.95), precision="float16"
    )
    model = BiLstm(dataclasses.replace(SHAPE, embedding_dropout=0.1), "float16")
    (stage,) = Finetune().stages(model, None)
    trained, still = partition({"student": drawn(SHAPE), "extras": {}}, stage.trains)
    optimizer, mesh = make_optimizer(plan, 60), make_mesh()
    state = start(trained, optimizer, mesh, scaled=True)
    made = make_steps(make_gradient(stage, plan), optimizer, 60, mesh)
    run = jit(made.__wrapped__, donate_argnums=0)
    rows = split_stacked(stack([batch()] * 60, 60), mesh)
    state, metrics = run(state, place(still, mesh), rows, jax.random.key(0), np.int32(60))
    assert not metrics["skipped"].any()
    assert metrics["loss"][-1] < 0.5 * metrics["loss"][0]


# ---- recipes


def parse(name: str, *flags: str):
    return from_command_line(["main", f"--config=configs/{name}", *flags])


NAMES = ("sst2", "qqp", "chnsenticorp", "thucnews", "cnews", "hotel")


@pytest.fixture(scope="module", autouse=True)
def _at_the_root(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(request.config.rootpath)
        yield


@pytest.mark.parametrize("name", NAMES)
def test_a_twin_is_its_student_without_a_teacher(name):
    student, alone = parse(f"bilstm_{name}.py"), parse(f"student_bilstm_{name}.py")
    assert student.task == alone.task == name
    assert student.student == dataclasses.replace(alone.model, vectors=student.student.vectors)
    assert student.data == alone.data
    assert alone.teacher is None
    assert alone.stages == {"finetune": student.alone}
    source = checked(dict(student.teacher.recipe)).model.source
    wanted = {"pretrained": source, "random": "random"}[student.student.vectors]
    assert alone.model.vectors == wanted


def test_the_config_knows_what_the_model_knows():
    assert CHOICES["view"] == KINDS
    assert set(CHOICES["activation"]) == set(ACTIVATIONS)


ADAM = {"optimizer": "adam", "schedule": "constant", "warmup": 0.0, "clip": 0.0}
ADADELTA = {**ADAM, "optimizer": "adadelta", "betas": (0.9, 0.95)}
ADAMW_003 = {
    "optimizer": "adamw",
    "epochs": 10,
    "batch_size": 32,
    "learning_rate": 2e-5,
    "betas": (0.9, 0.98),
    "epsilon": 1e-8,
    "weight_decay": 0.01,
    "warmup": 0.1,
    "clip": 0.0,
    "eval_steps": 100,
}
PADDLE = {"width": 300, "hidden": 300, "dense": 300, "activation": "tanh", "pairs": "sum"}
QUIET = {"embedding_dropout": 0.0, "encoder_dropout": 0.0, "head_dropout": 0.0}
DOCUMENTS = {
    "qqp": (
        {**PADDLE, **QUIET, "view": "wordpieces", "max_words": 128, "pooling": "final"},
        {**ADADELTA, "epochs": 6, "batch_size": 256, "learning_rate": 1.0},
        {**ADADELTA, "epochs": 35, "batch_size": 256, "learning_rate": 2.0},
        {"soft_loss": "logit_mse", "soft_weight": 1.0, "hard_weight": 0.0},
    ),
    "chnsenticorp": (
        {**PADDLE, **QUIET, "view": "jieba", "vectors": "random", "pooling": "final"},
        {**ADADELTA, "epochs": 6, "batch_size": 64, "learning_rate": 1.0},
        {**ADAM, "epochs": 20, "batch_size": 64, "learning_rate": 3e-4},
        {"soft_loss": "logit_mse", "soft_weight": 1.0, "hard_weight": 0.0},
    ),
    "cnews": (
        {
            **QUIET,
            "view": "characters",
            "vocabulary_size": 5_000,
            "max_words": 256,
            "width": 300,
            "hidden": 384,
            "directions": 2,
            "pooling": "max",
            "dense": 0,
            "vectors": "random",
        },
        ADAMW_003,
        ADAMW_003,
        {
            "soft_loss": "kl",
            "soft_weight": 0.1,
            "hard_weight": 1.0,
            "temperature_squared": False,
            "temperature_on": "both",
        },
    ),
    "hotel": (
        {
            "view": "jieba",
            "max_words": 50,
            "width": 64,
            "hidden": 128,
            "dense": 0,
            "embedding_dropout": 0.2,
            "encoder_dropout": 0.0,
            "pooling": "final",
        },
        {**ADAM, "epochs": 15, "batch_size": 64, "learning_rate": 1e-4},
        {**ADAM, "epochs": 15, "batch_size": 64, "learning_rate": 1e-4},
        {"soft_loss": "probability_mse", "soft_weight": 1.0, "hard_weight": 0.0},
    ),
}
"""METHODS sections 4.3, 5 and 12: the student, its plan, the twin's, the loss. Dropout that did
nothing there is none here (trap 24)."""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_recipes_have_the_documents_settings(name):
    config = parse(f"bilstm_{name}.py")
    student, plan, alone, method = DOCUMENTS[name]
    for given, wanted in (
        (config.student, student),
        (config.stages["kd"], plan),
        (config.alone, alone),
    ):
        assert {key: getattr(given, key) for key in wanted} == wanted
    assert {key: config.method[key] for key in method} == method


@pytest.mark.parametrize(
    ("name", "row"),
    [
        (
            "tang",
            {
                "view": "words",
                "width": 300,
                "channels": 2,
                "hidden": 150,
                "dense": 200,
                "activation": "relu",
                "pairs": "product",
                "pooling": "final",
                **QUIET,
            },
        ),
        (
            "oneflow",
            {
                "view": "spaces",
                "lower": False,
                "vocabulary_size": 10_000,
                "max_words": 32,
                "width": 300,
                "hidden": 300,
                "directions": 1,
                "dense": 400,
                "activation": "relu",
                **QUIET,
                "head_dropout": 0.5,
            },
        ),
        (
            "qiangsiwei",
            {
                "max_words": 50,
                "width": 256,
                "hidden": 256,
                "dense": 0,
                "embedding_dropout": 0.2,
                "pooling": "final",
            },
        ),
    ],
)
def test_other_implementations_by_name(name, row):
    given = presets.bilstm(name)
    assert {key: given[key] for key in row} == row


def test_seed_004_on_any_task():
    config = parse("oneflow_bilstm.py:mrpc")
    assert (config.task, config.stages["kd"].epochs, config.student.max_words) == ("mrpc", 30, 32)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["student.pooling=mean"],
            "config.student does not describe.*pooling is 'mean'.*final, max",
        ),
        (["student.hidden=0"], "hidden is 0, and must be at least 1"),
        (["student.head_dropout=1.0"], "head_dropout is 1, and must be from 0 to below 1"),
        (
            ["student.max_words=129"],
            "max_words is 129, and the last of config.data.buckets holds 128",
        ),
        (
            ["student.layers=2"],
            "The recipe has no --config.student.layers; config.student has activation, cha",
        ),
        (
            ["method.name=pkd"],
            "a BiLSTM has neither layers nor attention.*finetune and kd",
        ),
        (["teacher.run=", "teacher.logits=x.csv"], "vectors is pretrained, and this recipe has no"),
    ],
)
def test_what_is_no_bilstm_is_said(flags, said):
    with pytest.raises(UserError, match=said):
        parse("bilstm_sst2.py", *(f"--config.{flag}" for flag in flags))


# ---- runs


SMALL = {
    "data.buckets": (24,),
    "data.max_length": 24,
    "student.max_words": 24,
    "student.width": 8,
    "student.hidden": 12,
    "student.dense": 8,
    "student.embedding_dropout": 0.1,
}
PLAN = {**tiny.PLAN, "learning_rate": 2e-2, "batch_size": 16}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("bilstm")
    shape = dataclasses.replace(tiny.SHAPE, layers=1, initial_std=0.1)
    checkpoint = tiny.write_checkpoint(root / "hub" / "tiny-bert", shape=shape)
    return root, tiny.write_sst2(root / "glue", train=240), checkpoint


@pytest.fixture(scope="module")
def distilled(folders):
    """(run folder, report) of a BiLSTM distilled from a tiny teacher, and its twin."""
    root, data, checkpoint = folders
    config = configured(root, data, checkpoint, root / "student", baseline=True)
    return root / "student", ensure_run(config)


def configured(root, data, checkpoint, run, **more):
    teacher = "teacher.recipe.stages.finetune"
    values = {
        "data.folder": data,
        **SMALL,
        "student.channels": 2,
        "teacher.run": root / "teacher",
        "teacher.source": checkpoint,
        "teacher.recipe.data.buckets": (24,),
        "teacher.recipe.data.max_length": 24,
        **{f"{teacher}.{k}": v for k, v in tiny.PLAN.items()},
        f"{teacher}.epochs": 4,
        **{f"{s}.{k}": v for s in ("stages.kd", "alone") for k, v in PLAN.items()},
        **{k.replace("__", "."): v for k, v in more.items()},
    }
    flags = [f"--config.{key}={value}" for key, value in values.items()]
    return parse("bilstm_sst2.py", f"--workdir={run}", *flags)


def test_a_bilstm_learns_from_its_teacher(distilled, capsys):
    run, report = distilled
    assert report["metrics"]["dev"]["accuracy"] > 0.9
    assert report["baseline"]["metrics"]["dev"]["accuracy"] > 0.8
    assert report["baseline"]["start"] == "as the student, with the same word vectors"
    assert read_json(run / "teacher" / "cache.json") == {"kd": True}
    assert any("soft" in line for line in read_metrics(run))
    opened = open_run(run, print)
    total = sum(np.size(leaf) for leaf in flatten(opened.params).values())
    words = 2 * 8 * len(opened.view.vocabulary)
    expected = {"total": total, "without_embeddings": total - words}
    assert report["parameters"] == expected
    for folder in (run, run / "alone"):
        evaluate.main(["evaluate", str(folder), "--json"])
        said = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
        dev = read_json(folder / "report.json")["metrics"]["dev"]
        assert said == pytest.approx(dev, rel=1e-4)


def test_the_vectors_begin_as_the_checkpoints_and_the_second_channel_stays(distilled, folders):
    checkpoint = folders[2]
    run, _ = distilled
    kept, alone = (open_run(f, print).params["embeddings"] for f in (run, run / "alone"))
    assert np.array_equal(kept["fixed"]["embedding"], alone["fixed"]["embedding"])
    fixed = np.asarray(kept["fixed"]["embedding"])
    assert not fixed[0].any()
    assert fixed[1:].std() == pytest.approx(0.3, rel=0.02)
    assert np.abs(kept["word"]["embedding"] - fixed)[3:].max() > 0.01
    table = load_pretrained(str(checkpoint), classes=2).params["embeddings"]["word"]["embedding"]
    pieces = open_run(run, print).tokenizer.get_vocab()
    words = open_run(run, print).view.vocabulary[1:]
    rows = table[[pieces[word] for word in words]].astype(np.float64)
    rows -= rows.mean(0)
    left, sizes, _ = np.linalg.svd(rows, full_matrices=False)  # principal components another way
    expected = np.abs(left * sizes)[:, :8]
    found = np.abs(fixed[1:].astype(np.float64))
    np.testing.assert_allclose(
        found, expected * (found.std() / expected.std()), rtol=0.2, atol=2e-2
    )


def test_a_bilstm_neither_teaches_nor_is_started_from(distilled, folders, tmp_path):
    root, data, checkpoint = folders
    run, _ = distilled
    with pytest.raises(UserError, match="holds a BiLSTM, which can be evaluated"):
        ensure_run(configured(root, data, checkpoint, tmp_path / "a", teacher__run=run))
    teacher = parse(
        "teacher_sst2.py",
        f"--config.data.folder={data}",
        f"--config.model.source={run}",
        f"--workdir={tmp_path / 'b'}",
    )
    with pytest.raises(UserError, match="holds a BiLSTM, which can be evaluated"):
        ensure_run(teacher)


def test_generated_reviews_need_neither_teacher_nor_tokenizer(tmp_path, capsys):
    run = tmp_path / "reviews"
    values = {
        "task": "reviews",
        "data.train_rows": 2500,
        "data.buckets": (48,),
        "data.max_length": 48,
        "model.view": "words",
        "model.vectors": "random",
        "model.max_words": 48,
        "model.width": 16,
        "model.hidden": 24,
        "model.dense": 0,
        "model.pooling": "max",
        **{f"stages.finetune.{k}": v for k, v in PLAN.items()},
        "stages.finetune.epochs": 2,
        "stages.finetune.batch_size": 32,
        "stages.finetune.learning_rate": 1e-2,
    }
    flags = [f"--config.{key}={value}" for key, value in values.items()]
    report = ensure_run(parse("student_bilstm_sst2.py", f"--workdir={run}", *flags))
    assert report["metrics"]["dev"]["accuracy"] > 0.55
    assert not (run / "tokenizer").exists()
    evaluate.main(["evaluate", str(run), "--json"])
    said = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert said == pytest.approx(report["metrics"]["dev"], rel=1e-4)
    (run / "words" / "vocab.txt").unlink()
    with pytest.raises(UserError, match="vocab.txt"):
        open_run(run, print)


def test_word_pieces_without_a_bert_are_told(tmp_path):
    config = parse("student_bilstm_sst2.py", "--config.model.vectors=random")
    with pytest.raises(UserError, match="view is wordpieces, and there is no teacher.*view=words"):
        make_start(config, find_task("sst2"), None, (["a"],), tmp_path, print)
