"""BERT against transformers in PyTorch, and against itself."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jaxdistill.models.arithmetic import contract, dropout, gelu
from jaxdistill.models.bert import Bert, BertShape, initial_params
from jaxdistill.models.hfconfig import read_config, shape_from_config
from jaxdistill.models.hftable import expected
from jaxdistill.models.huggingface import config_from_shape, from_huggingface
from jaxdistill.models.tensorfiles import read_tensors
from jaxdistill.types import Batch

TINY = BertShape(vocab=50, width=32, layers=2, heads=4, inner=64, classes=3, positions=40)
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0, "head_dropout": 0.0}
SENTENCES = (
    "A good film.",
    "the plot is thin , but it 's a gorgeous , witty , seductive movie .",
    "no",
    "unflinchingly bleak and desperate, and longer than anyone who paid to sit through it in an "
    "unheated hall on a wet Tuesday in November could be expected to forgive, critics included",
)


def torch_and_transformers():
    torch = pytest.importorskip("torch", reason="the reference is PyTorch's BERT")
    return torch, pytest.importorskip("transformers", reason="the reference is transformers' BERT")


def random_params(shape: BertShape):
    """No parameter is 0 or 1, so that none can be forgotten unseen."""
    rng = np.random.default_rng(0)
    tree: dict = {}
    for path, size in expected(shape).items():
        *modules, leaf = path.split("/")
        node = tree
        for module in modules:
            node = node.setdefault(module, {})
        node[leaf] = np.float32((leaf == "scale") + 0.1 * rng.standard_normal(size))
    return tree


def forward(model: Bert, params, batch: Batch, method: str = "__call__", seed: int | None = None):
    """The model, compiled; with a seed, in training."""
    rngs = None if seed is None else {"dropout": jax.random.key(seed)}
    train = seed is not None
    return compiled(model)({"params": params}, batch, method=method, train=train, rngs=rngs)


@cache
def compiled(model: Bert):
    return jax.jit(model.apply, static_argnames=("method", "train"))


@pytest.fixture(scope="module")
def tiny():
    return random_params(TINY)


def padded(rows: list[list[int]], segments: list[list[int]], length: int) -> Batch:
    """Rows of token ids, filled up with 0 to a length."""
    size = (len(rows), length)
    ids, segment_ids, mask = (
        np.zeros(size, np.int32),
        np.zeros(size, np.int32),
        np.zeros(size, bool),
    )
    for i, (row, segment) in enumerate(zip(rows, segments, strict=True)):
        ids[i, : len(row)], segment_ids[i, : len(row)], mask[i, : len(row)] = row, segment, True
    labels = np.arange(len(rows), dtype=np.int32) % 2
    return Batch(np.arange(len(rows)), ids, segment_ids, mask, labels, np.ones(len(rows)))


def random_batch(shape: BertShape, lengths: list[int], length: int, seed: int = 0) -> Batch:
    """Random tokens other than 0, the second half of each row in segment 1."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(1, shape.vocab, n).tolist() for n in lengths]
    segments = [[0] * (n - n // 2) + [1] * (n // 2) for n in lengths]
    return padded(rows, segments, length)


def torch_model(name: str, shape: BertShape, seed: int = 0):
    """A random transformers model of a shape, with no parameter left at 0 or 1."""
    torch, transformers = torch_and_transformers()
    torch.manual_seed(seed)
    labels = tuple(f"class {i}" for i in range(shape.classes))
    config = transformers.BertConfig(
        **config_from_shape(shape, labels), attn_implementation="eager"
    )
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def arrays(model) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}


def torch_inputs(batch: Batch):
    torch, _ = torch_and_transformers()
    return {
        "input_ids": torch.tensor(batch.input_ids).long(),
        "token_type_ids": torch.tensor(batch.segments).long(),
        "attention_mask": torch.tensor(batch.mask).long(),
    }


class Difference(NamedTuple):
    logits: float
    hidden: float


def difference(reference, shape: BertShape, batch: Batch) -> Difference:
    """Largest absolute differences to a BertForSequenceClassification, on tokens, not padding."""
    torch, _ = torch_and_transformers()
    params = from_huggingface(arrays(reference), shape).params
    ours = forward(Bert(shape, unroll=shape.layers < 6), params, batch)
    with torch.no_grad():
        theirs = reference(**torch_inputs(batch), output_hidden_states=True)
    hiddens = np.stack([hidden.numpy() for hidden in theirs.hidden_states])
    assert ours.hiddens.shape == hiddens.shape
    assert ours.logits.shape == tuple(theirs.logits.shape)
    return Difference(
        float(np.abs(ours.logits - theirs.logits.numpy()).max()),
        float(np.abs(np.asarray(ours.hiddens) - hiddens)[:, batch.mask].max()),
    )


def report(found: Difference, record_property) -> None:
    record_property("largest_difference", str(found))
    print(found)
    assert found.logits <= 1e-4
    assert found.hidden <= 1e-4


@pytest.fixture
def texts(request) -> list[str]:
    """Real sentences of SST-2's dev set where they are at hand, short and long ones."""
    try:
        folder = request.getfixturevalue("glue")
    except pytest.skip.Exception:
        return list(SENTENCES)
    lines = (folder / "SST-2" / "dev.tsv").read_text("utf-8").splitlines()[1:]
    by_length = sorted((line.split("\t")[0] for line in lines), key=len)
    return by_length[::40] + by_length[-2:]


def test_the_real_checkpoint_equals_transformers(real_checkpoint, texts, record_property):
    torch, transformers = torch_and_transformers()
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(real_checkpoint / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encoded = tokenizer.encode_batch([*texts[:-1], (texts[1], texts[-1])])  # the last is a pair
    lengths = [len(e.ids) for e in encoded]
    assert max(lengths) > 4 * min(lengths)
    assert max(encoded[-1].type_ids) == 1
    batch = padded([e.ids for e in encoded], [e.type_ids for e in encoded], max(lengths) + 3)

    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()  # that the classifier is new
    reference = transformers.BertForSequenceClassification.from_pretrained(
        real_checkpoint, num_labels=2, attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        reference.classifier.weight.normal_()  # logits near 1, not near 0
    shape = shape_from_config(read_config(real_checkpoint), 2)
    report(difference(reference, shape, batch), record_property)

    # What torch read from the file and what we read from it are the same weights.
    own = from_huggingface(read_tensors(real_checkpoint), shape)
    assert own.absent == ("classifier", "mlm")
    from_torch = from_huggingface(arrays(reference), shape).params
    del from_torch["classifier"]
    jax.tree.map(np.testing.assert_array_equal, own.params, from_torch)


@pytest.mark.parametrize(
    "shape",
    [
        BertShape(vocab=300, width=768, layers=12, heads=12, inner=3072, classes=3, positions=64),
        BertShape(vocab=300, width=312, layers=4, heads=12, inner=1200, classes=2, positions=64),
        replace(TINY, activation="gelu_new", norm_epsilon=1e-5),
        replace(TINY, activation="gelu_pytorch_tanh"),
        replace(TINY, activation="relu", segments=3),
    ],
    ids=["12x768", "4x312 with heads of 26", "gelu_new", "gelu_pytorch_tanh", "relu"],
)
def test_random_models_equal_transformers(shape, record_property):
    reference = torch_model("BertForSequenceClassification", shape)
    found = difference(reference, shape, random_batch(shape, [24, 1, 9, 17], 26))
    report(found, record_property)


def test_the_masked_lm_head_equals_transformers(record_property):
    torch, _ = torch_and_transformers()
    reference = torch_model("BertForMaskedLM", TINY)
    batch = random_batch(TINY, [20, 3, 11], 24)
    converted = from_huggingface(arrays(reference), TINY)
    assert converted.absent == ("pooler", "classifier")
    ours = forward(Bert(TINY), converted.params, batch, "masked_lm")
    with torch.no_grad():
        theirs = reference(**torch_inputs(batch)).logits.numpy()
    assert ours.shape == (3, 24, 50)
    found = np.abs(np.asarray(ours) - theirs)[batch.mask].max()
    record_property("largest_difference", float(found))
    print("masked-LM logits", found)
    assert found <= 1e-4


def test_scores_are_scaled_products_before_mask_and_softmax():
    torch, _ = torch_and_transformers()
    reference = torch_model("BertForSequenceClassification", TINY)
    batch = random_batch(TINY, [12, 5], 14)
    weights = arrays(reference)
    ours = forward(Bert(TINY), from_huggingface(weights, TINY).params, batch)
    with torch.no_grad():
        hiddens = reference(**torch_inputs(batch), output_hidden_states=True).hidden_states
    assert ours.scores.shape == (2, 2, 4, 14, 14)
    for layer in range(2):
        x = hiddens[layer].numpy()  # [B, T, 32]
        name = f"bert.encoder.layer.{layer}.attention.self"
        q = x @ weights[f"{name}.query.weight"].T + weights[f"{name}.query.bias"]
        k = x @ weights[f"{name}.key.weight"].T + weights[f"{name}.key.bias"]
        for b, n in enumerate([12, 5]):
            for head in range(4):
                part = slice(8 * head, 8 * head + 8)
                by_hand = q[b, :n, part] @ k[b, :n, part].T / np.sqrt(8)
                np.testing.assert_allclose(
                    ours.scores[layer, b, head, :n, :n], by_hand, atol=1e-5, rtol=0
                )


def cross_entropy(logits: jax.Array, labels) -> jax.Array:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()


def test_gradients_equal_torch_autograd(record_property):
    torch, _ = torch_and_transformers()
    shape = replace(TINY, **NO_DROPOUT)
    reference = torch_model("BertForSequenceClassification", shape)
    batch = random_batch(shape, [20, 3, 11, 7], 24)
    params = from_huggingface(arrays(reference), shape).params

    rngs = {"dropout": jax.random.key(0)}  # rates are 0: training mode must change nothing

    def loss(params):
        logits = Bert(shape).apply({"params": params}, batch, train=True, rngs=rngs).logits
        return cross_entropy(logits, batch.labels)

    ours, gradients = jax.jit(jax.value_and_grad(loss))(params)
    logits = reference(**torch_inputs(batch)).logits
    theirs = torch.nn.functional.cross_entropy(logits, torch.tensor(batch.labels).long())
    theirs.backward()
    assert abs(float(ours) - theirs.item()) < 1e-6
    # Gradients have their parameters' names and shapes, so the same table converts them.
    named = {name: p.grad.numpy() for name, p in reference.named_parameters()}
    wanted = from_huggingface(named, shape).params
    found = jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - b).max()), gradients, wanted)
    assert jax.tree.structure(gradients) == jax.tree.structure(wanted)
    record_property("largest_difference", max(jax.tree.leaves(found)))
    print("gradients", max(jax.tree.leaves(found)))
    assert max(jax.tree.leaves(found)) <= 1e-5
    assert all(np.abs(leaf).max() > 1e-4 for leaf in jax.tree.leaves(wanted["classifier"]))


def test_padding_changes_nothing():
    shape = replace(TINY, positions=128)
    model = Bert(shape, unroll=False)
    params = random_params(shape)

    def loss(params, batch):
        outputs = model.apply({"params": params}, batch)
        words = model.apply({"params": params}, batch, method="masked_lm")
        return cross_entropy(outputs.logits, batch.labels), (outputs, words)

    batches = [random_batch(shape, [30, 1, 12], n) for n in (32, 128)]
    run = jax.jit(jax.value_and_grad(loss, has_aux=True))
    results = []
    for batch in batches:
        (value, (outputs, words)), gradients = run(params, batch)
        hiddens = np.asarray(outputs.hiddens)[:, batch.mask]
        results.append((outputs.logits, value, hiddens, np.asarray(words)[batch.mask], gradients))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5, rtol=0), *results)


@pytest.mark.parametrize("train", [False, True])
def test_unrolled_and_looped_layers_are_the_same(train, tiny):
    batch = random_batch(TINY, [9, 4], 10)
    models = Bert(TINY), Bert(TINY, unroll=False)
    outputs = [forward(model, tiny, batch, seed=1 if train else None) for model in models]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-6), *outputs)


def test_dropout_depends_on_its_key_alone_and_differs_between_layers(tiny):
    shape = replace(TINY, dropout=0.5)
    batch = random_batch(shape, [9, 4], 10)
    # Each layer ends in LayerNorm(x + dropout(b)) with a b beside which x is nothing: layers with
    # the same dropout would have the same result.
    layers = jax.tree.map(lambda leaf: leaf[:1].repeat(2, 0), tiny["layers"])
    rising = np.linspace(1e3, 2e3, 32, dtype=np.float32)[None].repeat(2, 0)
    layers["ffn_out"] = {**layers["ffn_out"], "bias": rising}
    params = {**tiny, "layers": layers}
    first, again, other = (
        np.asarray(forward(Bert(shape), params, batch, seed=seed).hiddens) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[1] - other[1]).max() > 0.1
    assert np.abs(first[1] - first[2]).max() > 0.1
    without = np.asarray(forward(Bert(TINY), params, batch).hiddens)
    assert np.abs(without[1] - without[2]).max() < 0.02
    still = [forward(Bert(shape), tiny, batch).logits for _ in range(2)]
    np.testing.assert_array_equal(*still)


def test_a_slice_of_the_layers_is_a_shallower_model(tiny):
    batch = random_batch(TINY, [9, 4], 10)
    first = {**tiny, "layers": jax.tree.map(lambda leaf: leaf[:1], tiny["layers"])}
    shallow = forward(Bert(replace(TINY, layers=1)), first, batch)
    whole = forward(Bert(TINY), tiny, batch)
    np.testing.assert_allclose(shallow.hiddens, whole.hiddens[:2], atol=1e-6)


def test_initial_parameters_are_drawn_as_berts():
    shape = replace(TINY, width=64, inner=256, initial_std=0.05)
    draw = jax.jit(lambda key: initial_params(Bert(shape), key, mlm=True))
    params = jax.tree.map(np.asarray, draw(jax.random.key(0)))
    flat = {jax.tree_util.keystr(k): v for k, v in jax.tree_util.tree_leaves_with_path(params)}
    assert set(params) == {"embeddings", "layers", "pooler", "classifier", "mlm"}
    for path, leaf in flat.items():
        if "bias" in path:
            assert not leaf.any(), path
        elif "scale" in path:
            assert (leaf == 1).all(), path
        else:
            assert abs(float(leaf.std()) / 0.05 - 1) < 0.25, path
    assert "mlm" not in jax.eval_shape(lambda: initial_params(Bert(shape), jax.random.key(0)))
    two = params["layers"]["query"]["kernel"]
    assert np.abs(two[0] - two[1]).max() > 0.01  # layers are not copies of one another


def test_bfloat16_is_near_float32_and_returns_float32(tiny):
    batch = random_batch(TINY, [9, 4], 10)
    full = forward(Bert(TINY), tiny, batch)
    half = forward(Bert(TINY, precision="bfloat16"), tiny, batch)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(half))
    gap = np.abs(full.hiddens - half.hiddens).max()
    assert 1e-4 < gap < 0.2


# the arithmetic under it


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_drops_its_share_evenly_and_scales_the_rest(rate):
    x = jnp.ones((200, 50, 40))
    masks = []
    for seed in (0, 1, 2**31 + 7):
        y = np.asarray(dropout(x, jnp.uint32(seed), rate))
        np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - rate)], rtol=1e-6)
        masks.append(y == 0)
    error = np.sqrt(rate * (1 - rate) / x.size)  # standard error of a share
    for mask in masks:
        assert abs(mask.mean() - rate) < 5 * error
        for axis, count in enumerate(x.shape):  # no row, column or feature is dropped more often
            others = tuple(a for a in range(3) if a != axis)
            assert np.abs(mask.mean(others) - rate).max() < 5 * error * np.sqrt(count)
        for shift in (1, 40, 2000):  # neighbours along each axis fall independently
            both = (mask.ravel()[shift:] & mask.ravel()[:-shift]).mean()
            assert abs(both - rate**2) < 6 * error
    for other in masks[1:]:
        assert abs((masks[0] & other).mean() - rate**2) < 6 * error
    assert dropout(x, None, rate) is x
    assert dropout(x, jnp.uint32(0), 0.0) is x


def test_bfloat16_products_round_operands_and_gradients_and_sum_in_float32():
    rng = np.random.default_rng(0)
    x, w, g = (np.float32(rng.standard_normal(s)) for s in ((2, 3, 64), (64, 5), (2, 3, 5)))
    y, pull = jax.vjp(lambda x, w: contract("btd,df->btf", x, w, "bfloat16"), x, w)
    rx, rw, rg = (a.astype(ml_dtypes.bfloat16).astype(np.float64) for a in (x, w, g))
    dx, dw = pull(jnp.asarray(g))
    np.testing.assert_allclose(y, rx @ rw, atol=1e-5)
    np.testing.assert_allclose(dx, rg @ rw.T, atol=1e-5)
    np.testing.assert_allclose(dw, np.einsum("btd,btf->df", rx, rg), atol=1e-5)
    assert {a.dtype for a in (y, dx, dw)} == {jnp.dtype("float32")}


def test_gelu_by_hand():
    x = jnp.array([0.0, 1.0, -2.0, 12.0, -12.0, 3.0e38, -3.0e38], jnp.float32)
    value, pull = jax.vjp(gelu, x)
    # x times the table of the normal distribution: 0.84134475 below 1, 0.02275013 below -2
    np.testing.assert_allclose(value[:3], [0, 0.84134475, -0.04550026], rtol=3e-6)
    np.testing.assert_allclose(value[3:], [12, 0, 3.0e38, 0], atol=1e-30)
    (slope,) = pull(2 * jnp.ones(7))
    # that share plus x times the density, 0.24197072 at 1 and 0.05399097 at -2
    np.testing.assert_allclose(slope[:3], [1, 2 * 1.08331547, 2 * -0.08523180], rtol=1e-5)
    np.testing.assert_allclose(slope[3:], [2, 0, 2, 0], atol=1e-30)
