from __future__ import annotations

import json
from dataclasses import replace

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.errors import UserError
from jaxdistill.models.bert import Bert, BertShape
from jaxdistill.models.hfconfig import head_from_config, read_config
from jaxdistill.models.hftable import expected
from jaxdistill.models.huggingface import (
    config_from_shape,
    from_huggingface,
    save_huggingface,
    shape_from_config,
    to_huggingface,
)
from jaxdistill.models.tensorfiles import read_tensors, sha256, weight_files
from jaxdistill.types import Batch

SHAPE = BertShape(vocab=20, width=8, layers=2, heads=2, inner=12, classes=3, positions=16)
QUERY = "encoder.layer.1.attention.self.query.weight"
CONFIG = {
    "model_type": "bert",
    "vocab_size": 20,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
}


def transformers_module():
    pytest.importorskip("torch", reason="transformers' models are PyTorch's")
    return pytest.importorskip("transformers", reason="the other side of the conversion")


def random_params(shape: BertShape = SHAPE, seed: int = 0):
    rng = np.random.default_rng(seed)
    tree: dict = {}
    for path, size in expected(shape).items():
        *modules, leaf = path.split("/")
        node = tree
        for module in modules:
            node = node.setdefault(module, {})
        node[leaf] = np.float32((leaf == "scale") + 0.1 * rng.standard_normal(size))
    return tree


PARAMS = random_params()


def without(tree, *heads):
    return {name: part for name, part in tree.items() if name not in heads}


def same(left, right) -> None:
    assert jax.tree.structure(left) == jax.tree.structure(right)
    jax.tree.map(np.testing.assert_array_equal, left, right)


def encoder() -> dict[str, np.ndarray]:
    """A BertModel's tensors, without a prefix."""
    tensors = to_huggingface(PARAMS, SHAPE)
    names = [name for name in tensors if name.startswith("bert.")]
    return {name.removeprefix("bert."): tensors[name] for name in names}


def test_by_hand():
    tensors = to_huggingface(PARAMS, SHAPE)
    key = tensors["bert.encoder.layer.1.attention.self.key.weight"]
    assert key[3, 5] == PARAMS["layers"]["key"]["kernel"][1, 5, 3]
    inner = tensors["bert.encoder.layer.0.intermediate.dense.weight"]
    assert inner.shape == (12, 8)  # [out, in]
    np.testing.assert_array_equal(inner, PARAMS["layers"]["ffn_in"]["kernel"][0].T)
    np.testing.assert_array_equal(
        tensors["bert.encoder.layer.1.output.LayerNorm.weight"],
        PARAMS["layers"]["ffn_norm"]["scale"][1],
    )
    np.testing.assert_array_equal(
        tensors["bert.embeddings.token_type_embeddings.weight"],
        PARAMS["embeddings"]["segment"]["embedding"],
    )
    np.testing.assert_array_equal(tensors["classifier.weight"], PARAMS["classifier"]["kernel"].T)
    assert all(array.flags.c_contiguous for array in tensors.values())


@pytest.mark.parametrize("mlm", [False, True])
def test_there_and_back(mlm):
    tensors = to_huggingface(PARAMS, SHAPE, mlm=mlm)
    params, projection, absent = from_huggingface(tensors, SHAPE)
    assert projection is None
    assert absent == (("pooler", "classifier") if mlm else ("mlm",))
    same(params, without(PARAMS, *absent))


def names_of(model: str, **changes) -> dict[str, np.ndarray]:
    transformers = transformers_module()
    config = transformers.BertConfig(**config_from_shape(SHAPE, ("a", "b", "c")), **changes)
    state = getattr(transformers, model)(config).state_dict()
    return {name: tensor.numpy() for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("model", "absent"),
    [
        ("BertModel", ("classifier", "mlm")),
        ("BertForSequenceClassification", ("mlm",)),
        ("BertForMaskedLM", ("pooler", "classifier")),
        ("BertForPreTraining", ("classifier",)),
        ("BertForNextSentencePrediction", ("classifier", "mlm")),
        ("BertForQuestionAnswering", ("pooler", "classifier", "mlm")),
    ],
)
def test_reads_every_architecture_of_transformers(model, absent):
    tensors = names_of(model)
    params, _, found = from_huggingface(tensors, SHAPE)
    assert found == absent
    assert set(params) == {"embeddings", "layers", "pooler", "classifier", "mlm"} - set(absent)
    word = tensors[("" if model == "BertModel" else "bert.") + "embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(params["embeddings"]["word"]["embedding"], word)


def test_our_names_are_transformers_names():
    ours = to_huggingface(PARAMS, SHAPE)
    assert {k: v.shape for k, v in ours.items()} == {
        k: v.shape for k, v in names_of("BertForSequenceClassification").items()
    }
    ours = to_huggingface(PARAMS, SHAPE, mlm=True)
    assert {k: v.shape for k, v in ours.items()} == {
        k: v.shape for k, v in names_of("BertForMaskedLM").items()
    }


def test_old_names_prefixes_and_buffers():
    old = {
        "module.bert."
        + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): array
        for name, array in encoder().items()
    }
    assert sum("gamma" in name for name in old) == 5
    old["module.bert.embeddings.position_ids"] = np.arange(16)[None]
    same(from_huggingface(old, SHAPE).params, without(PARAMS, "classifier", "mlm"))


def test_of_the_tied_biases_either_will_do():
    tensors = to_huggingface(PARAMS, SHAPE, mlm=True)
    del tensors["cls.predictions.bias"]
    np.testing.assert_array_equal(
        from_huggingface(tensors, SHAPE).params["mlm"]["bias"], PARAMS["mlm"]["bias"]
    )


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_float_types_become_float32(dtype):
    narrow = {name: array.astype(dtype) for name, array in encoder().items()}
    params = from_huggingface(narrow, SHAPE).params
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(params))
    np.testing.assert_array_equal(
        params["pooler"]["kernel"], narrow["pooler.dense.weight"].T.astype(np.float32)
    )


def test_tinyberts_projections():
    rng = np.random.default_rng(0)
    shared = {
        "fit_dense.weight": rng.standard_normal((24, 8)),
        "fit_dense.bias": rng.standard_normal(24),
    }
    found = from_huggingface(encoder() | shared, SHAPE).projection
    np.testing.assert_array_equal(found["kernel"], np.float32(shared["fit_dense.weight"].T))
    np.testing.assert_array_equal(found["bias"], np.float32(shared["fit_dense.bias"]))

    each = {
        f"fit_denses.{i}.{leaf}": array + i
        for i in range(3)
        for leaf, array in (("weight", shared["fit_dense.weight"]), ("bias", np.zeros(24)))
    }
    found = from_huggingface(encoder() | each, SHAPE).projection
    assert found["kernel"].shape == (3, 8, 24)
    assert found["bias"].shape == (3, 24)
    np.testing.assert_array_equal(found["kernel"][2], np.float32(each["fit_denses.2.weight"].T))

    for broken, said in (
        (each | shared, "fit_dense and fit_denses are there both"),
        (each | {"fit_denses.1.weight": np.zeros((20, 8))}, "lead to several widths"),
        (each | {"fit_denses.3.weight": np.zeros((24, 8))}, r"spare: fit_denses\.3\.weight"),
        (shared | {"fit_dense.weight": np.zeros((24, 9))}, r"is \[24, 9\], must be \[any, 8\]"),
        ({"fit_dense.weight": shared["fit_dense.weight"]}, r"missing: fit_dense\.bias \[any\]"),
    ):
        with pytest.raises(UserError, match=said):
            from_huggingface(encoder() | broken, SHAPE)


def test_everything_that_does_not_fit_is_in_one_error():
    tensors = encoder()
    del tensors["embeddings.LayerNorm.bias"], tensors["pooler.dense.bias"]
    tensors["encoder.layer.2.output.dense.weight"] = np.zeros((8, 12))
    tensors["encoder.layer.3.output.dense.weight"] = np.zeros((8, 12))
    tensors["lstm.weight"] = np.zeros(4)
    tensors[QUERY] = np.zeros((8, 9))
    tensors["embeddings.word_embeddings.weight"] = np.zeros((20, 8), np.int64)
    tensors["embeddings.position_embeddings.weight"] = np.full((16, 8), np.nan)
    tensors["classifier.weight"] = np.zeros((2, 8))
    tensors["classifier.bias"] = np.zeros(2)
    with pytest.raises(UserError) as caught:
        from_huggingface(tensors, SHAPE)
    text = str(caught.value)
    for said in (
        "missing: embeddings.LayerNorm.bias [8], pooler.dense.bias [8];",
        "spare: encoder.layer.{2-3}.output.dense.weight [8, 12], lstm.weight [4];",
        f"{QUERY} is [8, 9], must be [8, 8]",
        "embeddings.word_embeddings.weight is int64, must be a float type",
        "embeddings.position_embeddings.weight has 128 values that are not finite",
        "classifier.weight is [2, 8], must be [3, 8]",
        "classifier.bias is [2], must be [3]",
    ):
        assert said in text
    assert "\n" not in text


def test_a_deeper_shape_than_the_checkpoint():
    with pytest.raises(
        UserError, match=r"missing: encoder\.layer\.\{2-5\}\.attention\.self\.query"
    ):
        from_huggingface(encoder(), replace(SHAPE, layers=6))


def test_the_same_tensor_twice():
    tensors = encoder()
    tensors[f"bert.{QUERY}"] = tensors[QUERY]
    with pytest.raises(UserError, match=rf"two tensors are {QUERY}"):
        from_huggingface(tensors, SHAPE)


def test_exporting_what_does_not_fit():
    wrong = without(PARAMS, "pooler") | {"projection": {"kernel": np.zeros((8, 24))}}
    wrong["classifier"] = {"kernel": np.zeros((8, 2)), "bias": np.zeros(3)}
    with pytest.raises(UserError) as caught:
        to_huggingface(wrong, SHAPE)
    for said in (
        "pooler/kernel is missing, must be [8, 8]",
        "classifier/kernel is [8, 2], must be [8, 3]",
        "projection/kernel is spare",
    ):
        assert said in str(caught.value)
    assert "classifier/bias" not in str(caught.value)


# config.json


def test_config_there_and_back():
    shape = replace(SHAPE, activation="relu", norm_epsilon=1e-5, segments=3, head_dropout=0.3)
    config = json.loads(json.dumps(config_from_shape(shape, ("no", "maybe", "yes"))))
    assert shape_from_config(config, 3) == shape
    assert head_from_config(config, 3) == (("no", "maybe", "yes"), False, False)
    assert config["label2id"] == {"no": 0, "maybe": 1, "yes": 2}


def test_a_regressions_config():
    shape = replace(SHAPE, classes=1)
    config = config_from_shape(shape, ())
    assert config["problem_type"] == "regression"
    assert head_from_config(config, 1) == ((), True, False)
    with pytest.raises(UserError, match="2 label names"):
        config_from_shape(SHAPE, ("a", "b"))


def test_keys_that_old_files_leave_out():
    assert shape_from_config(CONFIG, 3) == replace(SHAPE, positions=512)
    old = {k: v for k, v in CONFIG.items() if k != "model_type"}
    assert shape_from_config(old, 3) == replace(SHAPE, positions=512)
    assert head_from_config(CONFIG, 2) == (("LABEL_0", "LABEL_1"), False, None)
    dropping = {"hidden_dropout_prob": 0.2, "classifier_dropout": None}
    assert shape_from_config(CONFIG | dropping, 3).head_dropout == 0.2
    assert shape_from_config(CONFIG | {"classifier_dropout": 0.0}, 3).head_dropout == 0.0


@pytest.mark.parametrize("name", ["roberta", "distilbert", "electra", "albert", "xlm-roberta"])
def test_other_models_are_refused_by_name(name):
    with pytest.raises(UserError, match=f"model_type '{name}' is not supported; supported: bert"):
        shape_from_config({"model_type": name, "vocab_size": 3}, 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": None, "architectures": ["RobertaModel"]}, "model_type None"),
        ({"architectures": ["RobertaForMaskedLM"]}, "architecture 'RobertaForMaskedLM'"),
        ({"hidden_act": "silu"}, "hidden_act 'silu' is not supported .*gelu"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key'"),
        ({"is_decoder": True}, "decoder"),
        ({"hidden_size": 9}, "hidden_size 9 is not divisible by num_attention_heads 2"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0, not a positive integer"),
        ({"vocab_size": "20"}, "vocab_size is '20'"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob is 1.5"),
    ],
)
def test_configs_that_are_refused(change, said):
    with pytest.raises(UserError, match=said):
        shape_from_config(CONFIG | change, 2)


def test_all_that_is_wrong_with_a_config_is_in_one_error():
    with pytest.raises(UserError, match=r"hidden_act 'silu'.*decoder"):
        shape_from_config(CONFIG | {"hidden_act": "silu", "is_decoder": True}, 2)
    with pytest.raises(UserError, match="lacks hidden_size, intermediate_size"):
        shape_from_config(without(CONFIG, "hidden_size", "intermediate_size"), 2)


@pytest.mark.parametrize(
    ("config", "classes", "said"),
    [
        ({"id2label": {"0": "a", "1": "b"}}, 3, "3 outputs"),
        ({"id2label": {"0": "a", "1": "a"}}, 2, "each differently"),
        ({"id2label": {"1": "a", "2": "b"}}, 2, "must name 0 to 1"),
        ({"id2label": ["a", "b"]}, 2, "no table"),
        ({"problem_type": "token_classification"}, 2, "multi_label_classification, regression"),
        ({"problem_type": "regression"}, 2, "2 outputs"),
    ],
)
def test_labels_that_do_not_fit_their_classifier(config, classes, said):
    with pytest.raises(UserError, match=said):
        head_from_config(config, classes)


# folders


def tokens(ids: np.ndarray) -> Batch:
    count = len(ids)
    ones = np.ones(count, np.float32)
    return Batch(np.arange(count), ids, ids * 0, ids > 0, np.zeros(count, np.int32), ones)


def test_transformers_loads_the_export_of_the_real_checkpoint(
    real_checkpoint, tmp_path, record_property
):
    transformers = transformers_module()
    import torch

    shape = shape_from_config(read_config(real_checkpoint), 2)
    params = from_huggingface(read_tensors(real_checkpoint), shape).params
    rng = np.random.default_rng(0)
    head = {
        "kernel": rng.standard_normal((384, 2), np.float32),
        "bias": rng.standard_normal(2, np.float32),
    }
    params = jax.tree.map(jax.numpy.asarray, params | {"classifier": head})
    save_huggingface(tmp_path, params, shape, ("bad", "good"), real_checkpoint)

    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert type(model).__name__ == "BertForSequenceClassification"
    assert not any(info.values()), info
    assert model.config.id2label == {0: "bad", 1: "good"}
    tensors = {k: torch.tensor(v) for k, v in to_huggingface(params, shape).items()}
    model.load_state_dict(tensors, strict=True)

    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    inputs = tokenizer(["A fine film.", "no"], return_tensors="np", padding=True)
    assert tokenizer.convert_ids_to_tokens(inputs["input_ids"][1])[:3] == ["[CLS]", "no", "[SEP]"]
    batch = tokens(np.asarray(inputs["input_ids"], np.int32))
    ours = jax.jit(Bert(shape, unroll=False).apply)({"params": params}, batch).logits
    with torch.no_grad():
        theirs = model.eval()(**{k: torch.tensor(v) for k, v in inputs.items()}).logits.numpy()
    found = float(np.abs(ours - theirs).max())
    record_property("largest_difference", found)
    print("export", found)
    assert found <= 1e-5

    # And back: what was exported is what was there.
    again = from_huggingface(read_tensors(tmp_path), shape)
    same(again.params, jax.tree.map(np.asarray, params))
    assert shape_from_config(read_config(tmp_path), 2) == shape


def vocab_folder(folder):
    folder.mkdir()
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmno"]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    return folder


def test_a_regression_with_a_bare_vocabulary_and_a_masked_lm_export(tmp_path):
    transformers = transformers_module()
    import torch

    shape = replace(SHAPE, classes=1)
    params = random_params(shape)
    save_huggingface(tmp_path / "out", params, shape, (), vocab_folder(tmp_path / "tokenizer"))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert (model.config.num_labels, model.config.problem_type) == (1, "regression")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("a b")["input_ids"] == [2, 5, 6, 3]

    config = transformers.BertConfig(**config_from_shape(shape, ()))
    masked = transformers.BertForMaskedLM(config)
    tensors = to_huggingface(params, shape, mlm=True)
    masked.load_state_dict({k: torch.tensor(v) for k, v in tensors.items()}, strict=True)


@pytest.mark.parametrize("longest", [None, 6, 99])
def test_a_cased_vocabulary_stays_cased_and_texts_are_cut(longest, tmp_path):
    """transformers lowers letters and cuts nothing, unless it is told."""
    transformers = transformers_module()
    source = vocab_folder(tmp_path / "tokenizer")
    with (source / "vocab.txt").open("a") as file:
        file.write("Film\nfilm\n")
    ancestor = {"model_max_length": 4} if longest else {}  # read less
    (source / "tokenizer_config.json").write_text(json.dumps(ancestor))
    labels = ("a", "b", "c")
    save_huggingface(tmp_path / "out", PARAMS, SHAPE, labels, source, longest=longest)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    read = 6 if longest == 6 else SHAPE.positions
    for text in ("Film film a", "a " * 500):
        ours = load_tokenizer(source).encode(text).ids
        found = theirs(text, truncation=True)["input_ids"]
        assert found == [*ours[:-1][: read - 1], ours[-1]]


def test_an_export_leaves_nothing_of_the_one_before_it(tmp_path):
    source, other = vocab_folder(tmp_path / "tokenizer"), vocab_folder(tmp_path / "other")
    load_tokenizer(other).save(str(other / "tokenizer.json"))
    labels = ("a", "b", "c")
    save_huggingface(tmp_path / "out", PARAMS, SHAPE, labels, other)
    assert (tmp_path / "out" / "tokenizer.json").is_file()
    save_huggingface(tmp_path / "out", PARAMS, SHAPE, labels, source)
    assert not (tmp_path / "out" / "tokenizer.json").exists()


def test_saving_over_an_old_export_and_without_a_tokenizer(tmp_path):
    source = vocab_folder(tmp_path / "tokenizer")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no tokenizer"):
        save_huggingface(tmp_path / "x", PARAMS, SHAPE, ("a", "b", "c"), tmp_path / "empty")
    assert not (tmp_path / "x").exists()
    for labels in (("a", "b", "c"), ("x", "y", "z")):
        save_huggingface(source, PARAMS, SHAPE, labels, source)  # into the tokenizer's own folder
        assert head_from_config(read_config(source), 3).labels == labels


def test_shards_bfloat16_and_pickles(tmp_path):
    tensors = {name: array.astype(ml_dtypes.bfloat16) for name, array in encoder().items()}
    names = sorted(tensors)
    files = {
        "model-00001-of-00002.safetensors": names[:9],
        "model-00002-of-00002.safetensors": names[9:],
    }
    for file, part in files.items():
        # Other writers than ours may hand over what is not contiguous; a copy it is.
        save_file({n: np.ascontiguousarray(tensors[n]) for n in part}, tmp_path / file)
    index = {"metadata": {}, "weight_map": {n: f for f, part in files.items() for n in part}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    read = read_tensors(tmp_path)
    assert [path.name for path in weight_files(tmp_path)] == sorted(files)
    assert all(array.dtype == ml_dtypes.bfloat16 for array in read.values())
    same(from_huggingface(read, SHAPE).params, from_huggingface(tensors, SHAPE).params)

    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"2 shards, of which model-00002-of-00002.safetensors"):
        read_tensors(tmp_path)
    for broken in ("{}", "[]", "nonsense", '{"weight_map": {}}', '{"weight_map": {"a": "../b"}}'):
        (tmp_path / "model.safetensors.index.json").write_text(broken)
        with pytest.raises(UserError, match="index"):
            read_tensors(tmp_path)


def test_pickled_shards(tmp_path):
    torch = pytest.importorskip("torch", reason="writes pytorch_model.bin")
    tensors = encoder()
    names = sorted(tensors)
    parts = {"pytorch_model-1.bin": names[:5], "pytorch_model-2.bin": names[5:]}
    for file, part in parts.items():
        torch.save({n: torch.tensor(tensors[n]) for n in part}, tmp_path / file)
    index = {"weight_map": {n: f for f, part in parts.items() for n in part}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    same(read_tensors(tmp_path), tensors)
    torch.save({names[0]: torch.tensor(tensors[names[0]])}, tmp_path / "pytorch_model-2.bin")
    with pytest.raises(UserError, match="which another shard of it holds too"):
        read_tensors(tmp_path)


def test_broken_weight_files(tmp_path):
    with pytest.raises(UserError, match="holds no weights: none of model.safetensors"):
        read_tensors(tmp_path)
    path = tmp_path / "model.safetensors"
    save_file({"x": np.zeros(100)}, path)
    content = path.read_bytes()
    for cut in (0, 4, 30, 400):
        path.write_bytes(content[:cut])
        with pytest.raises(UserError, match=r"model\.safetensors cannot be read as safetensors"):
            read_tensors(tmp_path)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:53aa\nsize 9\n")
    with pytest.raises(UserError, match="git lfs pull"):
        read_tensors(tmp_path)


def test_sha256_of_one_file_is_sha256sums(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert sha256((tmp_path / "a",)) == known
    assert sha256((tmp_path / "a", tmp_path / "a")) != known
