"""Masked-LM pre-training: what is masked, the loss by hand and against transformers."""

from __future__ import annotations

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from test_bert import arrays, torch_and_transformers, torch_inputs, torch_model
from test_table import QUICK, RADIUS, STRATEGIES, TINY_PLAN

from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.data.vocabulary import chinese_ids, masking_vocabulary, write_tokenizer
from jaxdistill.errors import UserError
from jaxdistill.gradients import accumulate, gradient
from jaxdistill.losses import masked_cross_entropy
from jaxdistill.methods import pretrain
from jaxdistill.methods.pretrain import Pretrain, mask_batch, room
from jaxdistill.models.bert import Bert, BertShape, initial_params
from jaxdistill.models.huggingface import from_huggingface
from jaxdistill.step import progress_at
from jaxdistill.strategies import make_gradient
from jaxdistill.trees import flatten
from jaxdistill.types import Batch, Progress, Vocabulary

V, ENDS = 50, 30
"""Ids 0 to 4 are special, from ENDS on pieces go on with a word."""
PAD, CLS, SEP, MASK = 0, 2, 3, 4
VOCABULARY = Vocabulary(MASK, np.arange(5, V, dtype=np.int32), np.arange(V) < 5, np.arange(V) >= 30)
KEY = jax.random.key(3)
SHAPE = BertShape(
    vocab=V, width=32, layers=2, heads=4, inner=64, classes=3, positions=40, initial_std=0.1
)
STILL = dataclasses.replace(SHAPE, dropout=0.0, attention_dropout=0.0, head_dropout=0.0)
METHOD = Pretrain(mask_rate=0.15, whole_word=False, vocabulary=VOCABULARY)


def batch_of(lengths, width, seed=0, high=V):
    """[CLS], ordinary pieces, [SEP], so many tokens in all."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((len(lengths), width), np.int32)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = [CLS, *rng.integers(5, high, length - 2), SEP]
        row[1:2] = np.minimum(row[1:2], ENDS - 1) if length > 2 else row[1:2]  # begins a word
    count = np.arange(len(lengths), dtype=np.int32)
    mask = np.arange(width)[None] < np.array(lengths)[:, None]
    return Batch(count, ids, np.zeros_like(ids), mask, count, np.ones(len(lengths), np.float32))


def hide(batch, key=KEY, rate=0.15, whole_word=False):
    return jax.device_get(masking(rate, whole_word, pretrain.room)(batch, key))


@cache
def masking(rate, whole_word, _):
    return jax.jit(lambda batch, key: mask_batch(batch, VOCABULARY, key, rate, whole_word))


def chosen(found, shape):
    """[B, T] bool, what is to be predicted."""
    out = np.zeros(shape, bool)
    np.put_along_axis(out, found.at, found.kept, axis=1)
    return out


# ---- what is masked


def test_15_in_100_of_which_80_10_10():
    batch = batch_of([64] * 2000, 64)
    found = hide(batch)
    picked = chosen(found, batch.mask.shape)
    n = picked.sum()
    assert picked[:, 1:-1].mean() == pytest.approx(0.15, abs=4 * np.sqrt(0.15 * 0.85 / (2000 * 62)))
    before, after = batch.input_ids[picked], found.input_ids[picked]
    sigma = 4 / np.sqrt(n)
    assert (after == MASK).mean() == pytest.approx(0.8, abs=0.4 * sigma)
    changed = (after != MASK) & (after != before)
    assert changed.mean() == pytest.approx(0.1 * 44 / 45, abs=0.3 * sigma)
    np.testing.assert_array_equal(found.input_ids[~picked], batch.input_ids[~picked])
    # What comes instead is any ordinary piece, each as likely, and never a special one.
    counts = np.bincount(after[changed], minlength=V)
    assert counts[:5].sum() == 0
    expected = changed.sum() / 45
    assert ((counts[5:] - expected) ** 2 / expected).sum() < 45 + 5 * np.sqrt(2 * 45)
    # Which positions are chosen does not depend on where they are.
    assert np.abs(picked[:, 1:-1].mean(0) - 0.15).max() < 5 * np.sqrt(0.15 * 0.85 / 2000)


def test_targets_are_what_was_there():
    batch = batch_of([20, 9], 24)
    found = hide(batch)
    for row in range(2):
        np.testing.assert_array_equal(found.targets[row], batch.input_ids[row][found.at[row]])


def test_special_tokens_and_padding_are_never_chosen():
    batch = batch_of([3, 10, 24, 16] * 50, 24)
    batch.input_ids[:, 5] = np.where(batch.mask[:, 5], 1, 0)  # [UNK] too
    for seed in range(5):
        picked = chosen(hide(batch, jax.random.key(seed), rate=0.9), batch.mask.shape)
        assert picked.any()
        assert not picked[batch.input_ids < 5].any()
        assert not picked[~batch.mask].any()


def test_every_row_with_a_word_has_something_to_predict():
    batch = batch_of([3, 4, 6, 2] * 100, 8)
    for whole_word in (False, True):
        count = hide(batch, whole_word=whole_word).kept.sum(1)
        assert (count[np.arange(400) % 4 != 3] >= 1).all()
        assert (count[3::4] == 0).all()  # [CLS] [SEP]


def words_of(batch):
    """[B, T], the position at which a token's word begins."""
    goes_on = batch.input_ids >= ENDS
    return np.maximum.accumulate(np.where(goes_on, 0, np.arange(goes_on.shape[1])), axis=1)


def cut_words(batch, picked):
    """How many words are chosen in part only."""
    cut = 0
    for starts, row, real in zip(words_of(batch), picked, batch.mask, strict=True):
        for word in np.unique(starts[real]):
            part = row[real & (starts == word)]
            cut += part.any() and not part.all()
    return cut


def test_whole_words_are_masked_together():
    batch = batch_of([64] * 300, 64)
    whole, pieces = (chosen(hide(batch, whole_word=way), batch.mask.shape) for way in (True, False))
    assert cut_words(batch, whole) == 0
    assert cut_words(batch, pieces) > 100
    assert whole[:, 1:-1].mean() == pytest.approx(0.15, abs=0.01)
    # Within a word each token is hidden by itself: some words are [MASK] in part only.
    hidden = hide(batch, whole_word=True).input_ids == MASK
    assert cut_words(batch, hidden & whole) > 10


def test_a_word_that_does_not_fit_is_left_alone(monkeypatch):
    batch = batch_of([40] * 100, 40)
    monkeypatch.setattr(pretrain, "room", lambda width, rate: 4)
    found = hide(batch, rate=0.5, whole_word=True)
    picked = chosen(found, batch.mask.shape)
    assert found.at.shape == (100, 4)
    assert picked.sum(1).max() == 4
    assert cut_words(batch, picked) == 0
    np.testing.assert_array_equal(
        found.input_ids != batch.input_ids, (found.input_ids != batch.input_ids) & picked
    )


def test_room():
    assert [room(width, 0.15) for width in (4, 16, 128)] == [4, 8, 39]
    assert room(128, 0.9) == 128
    batch = batch_of([128] * 4000, 128)
    drawn = hide(batch).kept.sum(1)
    assert drawn.max() < 39  # so that what the room cuts off is no matter


def test_a_rows_masks_are_its_own_whatever_is_beside_it():
    batch = batch_of([20, 12, 24, 9, 17, 24], 24)
    whole = hide(batch)
    some = np.array([4, 1])
    part = hide(jax.tree.map(lambda leaf: leaf[some], batch))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[some], b), whole, part)


def test_masks_differ_from_step_to_step_and_are_the_steps_own():
    batch = batch_of([24] * 4, 24)
    keys = [progress_at(jnp.int32(step), KEY, 10, None)[1].key for step in (0, 1, 1)]
    first, second, again = (hide(batch, key) for key in keys)
    assert (first.input_ids != second.input_ids).any(1).all()
    np.testing.assert_array_equal(second.input_ids, again.input_ids)


# ---- the loss


def test_the_loss_by_hand():
    logits = jnp.log(jnp.array([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], [[0.2, 0.2, 0.6]] * 2]))
    targets = jnp.array([[0, 2], [1, 1]])
    kept = jnp.array([[True, True], [True, False]])
    found = masked_cross_entropy(logits, targets, kept)
    np.testing.assert_allclose(found, [(np.log(2) - np.log(0.8)) / 2, np.log(5)], rtol=1e-6)


def test_nothing_masked_is_0_and_no_gradient():
    logits, targets = jnp.array([[[jnp.inf, 1.0]], [[0.0, 1.0]]]), jnp.array([[0], [0]])
    found = masked_cross_entropy(logits, targets, jnp.array([[False], [True]]))
    assert found[0] == 0 and found[1] > 0
    batch = batch_of([2] * 6, 16)
    (loss, metrics), grads = gradients(STILL, batch)
    assert (float(loss), float(metrics["masked_accuracy"])) == (0, 0)
    assert all((leaf == 0).all() for leaf in flatten(grads).values())


def test_gradients_come_from_masked_positions_alone():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 6)).astype(np.float32)
    targets, kept = rng.integers(0, 6, (3, 4)), rng.random((3, 4)) < 0.5
    found = jax.grad(lambda x: masked_cross_entropy(x, targets, kept).sum())(logits)
    np.testing.assert_array_equal(np.abs(found).sum(-1) > 0, kept)


@cache
def parameters(shape):
    model = Bert(shape, unroll=False)
    drawn = jax.jit(lambda key: initial_params(model, key, mlm=True))(jax.random.key(0))
    return {"student": {k: v for k, v in jax.device_get(drawn).items() if k != "classifier"}}


def gradients(shape, batch, parts=1, params=None, trains=True):
    now = Progress(jnp.int32(0), jnp.float32(0), KEY)
    run = compiled(shape, parts, trains)
    return run(params or parameters(shape), {}, batch, jax.random.key(1), now)


@cache
def compiled(shape, parts, trains):
    (stage,) = METHOD.stages(Bert(shape, unroll=False), None)
    return jax.jit(accumulate(gradient(stage.loss if trains else stage.judge), parts))


def test_loss_and_gradients_equal_transformers(record_property):
    """BertForMaskedLM's own loss, of one row at a time, on the same masks."""
    torch, _ = torch_and_transformers()
    reference = torch_model("BertForMaskedLM", SHAPE)
    tree = from_huggingface(arrays(reference), SHAPE).params
    batch = batch_of([16, 3, 11, 5, 16, 4], 16)
    (ours, _), grads = gradients(STILL, batch, params={"student": tree})
    found = hide(batch)
    inputs = torch_inputs(batch._replace(input_ids=found.input_ids))
    labels = torch.tensor(np.where(chosen(found, batch.mask.shape), batch.input_ids, -100)).long()
    losses = [
        reference(**{k: x[i : i + 1] for k, x in inputs.items()}, labels=labels[i : i + 1]).loss
        for i in range(6)
    ]
    theirs = torch.stack(losses).mean()
    theirs.backward()
    difference = abs(float(ours) - theirs.item())
    record_property("loss_difference", difference)
    assert difference < 1e-5
    wanted = {name: p.grad.numpy() for name, p in reference.named_parameters()}
    expected = flatten(from_huggingface(wanted, SHAPE).params)
    for path, leaf in flatten(grads["student"]).items():
        np.testing.assert_allclose(leaf, expected[path], atol=1e-5, err_msg=path)


@pytest.mark.parametrize("weight", [[1] * 6, [1, 1, 1, 1, 0, 0]])
def test_accumulation_is_the_large_batch(weight):
    """Ragged too, and with a row that has nothing to predict."""
    batch = batch_of([16, 5, 2, 9, 16, 12], 16)._replace(weight=np.array(weight, np.float32))
    whole, parts = (gradients(STILL, batch, parts) for parts in (1, 2))
    assert float(whole[0][0]) > 1
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), whole, parts)


@pytest.mark.parametrize("strategy", ["fgm", "all"])
def test_it_composes_with_the_strategies(strategy):
    """The word table is the output layer too: an attack on it moves both, one on tokens neither."""
    plan = dataclasses.replace(TINY_PLAN, **STRATEGIES[strategy])
    (stage,) = METHOD.stages(Bert(STILL, plan.precision, unroll=False), None)
    attacked = jax.jit(make_gradient(stage, plan), compiler_options=QUICK)
    batch, rng = batch_of([16, 5, 2, 9, 16, 12], 16), jax.random.key(1)
    scale = jnp.float32(1024) if plan.precision == "float16" else None
    now = Progress(jnp.int32(0), jnp.float32(0), KEY, scale)
    (loss, metrics), grads = attacked(parameters(STILL), {}, batch, rng, now)
    (clean, _), plain = gradients(STILL, batch)
    np.testing.assert_allclose(loss, clean, rtol=1e-5 if scale is None else 1e-2)
    assert metrics["adversarial_loss"] > loss and 0 < metrics["perturbation"] < RADIUS + 1e-5
    for path, leaf in flatten(grads).items():
        assert np.isfinite(leaf).all(), path
    table = "student/embeddings/word/embedding"
    assert np.abs(flatten(grads)[table] - flatten(plain)[table]).max() > 1e-4


def test_the_judge_is_the_loss_without_dropout():
    batch = batch_of([16, 9, 5, 16, 8, 4], 16)
    still, judged, dropped = (
        gradients(shape, batch, trains=trains)[0]
        for shape, trains in ((STILL, True), (SHAPE, False), (SHAPE, True))
    )
    np.testing.assert_allclose(judged[0], still[0], rtol=1e-6)
    assert judged[1] == still[1]
    assert abs(float(dropped[0]) - float(judged[0])) > 1e-3


def test_only_what_the_loss_reaches_moves():
    (stage,) = METHOD.stages(Bert(SHAPE), None)
    paths = flatten(parameters(SHAPE))
    moving = {path.split("/")[1] for path in paths if stage.trains(path)}
    assert moving == {"embeddings", "layers", "mlm"}
    _, grads = gradients(STILL, batch_of([16, 9, 5, 16, 8, 4], 16))
    reached = {path for path, leaf in flatten(grads).items() if (leaf != 0).any()}
    assert {path.split("/")[1] for path in reached} == moving


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(UserError, match=r"mask_rate.*0\.15"):
        dataclasses.replace(METHOD, mask_rate=rate).stages(Bert(SHAPE), None)


# ---- the vocabulary


def test_what_a_tokenizer_tells(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", "play", "##ing", "##", "我"]
    write_tokenizer(tmp_path, words)
    tokenizer = load_tokenizer(tmp_path)
    found = masking_vocabulary(tokenizer, 10, "here")
    assert found.mask == 4
    assert found.ordinary.tolist() == [6, 7, 8, 9]
    assert np.flatnonzero(found.special).tolist() == [0, 1, 2, 3, 4, 5]
    assert np.flatnonzero(found.continues).tolist() == [7]
    assert chinese_ids(tokenizer).tolist() == [9]
    assert masking_vocabulary(tokenizer, 8, "here").ordinary.tolist() == [
        6,
        7,
    ]  # what the model has
    with pytest.raises(UserError, match=r"here has no \[MASK\].*3 word pieces"):
        masking_vocabulary(tokenizer, 3, "here")


def test_an_extra_row_of_the_model_is_special(tmp_path):
    tokenizer = load_tokenizer(tiny.write_tokenizer(tmp_path))
    assert masking_vocabulary(tokenizer, 60, "here").special[27:].all()
