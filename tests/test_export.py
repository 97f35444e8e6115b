"""The verb export: what transformers makes of the folder, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
from test_bilstm import SHAPE as LSTM
from test_huggingface import random_params

from jaxdistill import export
from jaxdistill.checkpoint import Checkpoints
from jaxdistill.data.own import to_plain
from jaxdistill.data.tasks import OWN
from jaxdistill.errors import UserError
from jaxdistill.files import write_json
from jaxdistill.models.bert import Bert
from jaxdistill.models.build import build, describe
from jaxdistill.models.sources import load_pretrained
from jaxdistill.runs import VERSION, Description, copy_tokenizer, write_description
from jaxdistill.trees import flatten
from jaxdistill.types import Batch

SHAPE = dataclasses.replace(tiny.SHAPE, classes=3)
LABELS = ("contradiction", "neutral", "entailment")


def ignore(text: str) -> None:
    pass


def write_run(folder: Path, params, model, task: str = "mnli", labels=LABELS) -> Path:
    """A finished run as it lies on the disk."""
    name, shape = describe(model)
    about = Description(
        version=VERSION,
        method="finetune",
        model=name,
        shape=shape,
        precision="float32",
        task=task,
        labels=labels,
        selection="accuracy",
        data_folder="",
        max_length=12,
        buckets=(12,),
        stages=("first", "last"),
    )
    folder.mkdir(parents=True)
    write_description(folder, about)
    for stage in about.stages:
        stored = jax.tree.map(lambda leaf, s=stage: np.float32(leaf + (s == "first")), params)
        place = folder / "checkpoints" / stage
        assert Checkpoints(place / "best", 1, ignore).save(3, {"student": stored}, {})
        write_json(place / "done.json", {"step": 3, "steps": 3, "seconds": 1.0, "skipped": 0})
    copy_tokenizer(tiny.write_tokenizer(folder.parent / "words"), folder)
    return folder


def headless(*heads: str):
    params = random_params(SHAPE)
    return {part: tree for part, tree in params.items() if part in ("embeddings", "layers", *heads)}


def written(run: Path, *more: str) -> Path:
    folder = run.parent / "out"
    export.main(["export", str(run), f"--output={folder}", *more])
    return folder


def asked(tokenizer):
    """Ids and mask [2, T] as torch tensors, and a batch of the same."""
    import torch

    found = tokenizer(["the film is fine", "a dull plot"], padding=True, return_tensors="pt")
    ids, mask = found["input_ids"].numpy(), found["attention_mask"].numpy() > 0
    row = np.arange(2, dtype=np.int32)
    batch = Batch(row, ids.astype(np.int32), 0 * ids, mask, row, np.ones(2, np.float32))
    return {name: torch.as_tensor(array) for name, array in found.items()}, batch


def test_a_classifier_is_read_by_transformers(tmp_path, capsys):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")
    params = random_params(SHAPE)
    folder = written(write_run(tmp_path / "run", params, Bert(SHAPE)))
    assert "BertForSequenceClassification of" in capsys.readouterr().out
    model, about = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, output_loading_info=True
    )
    assert not about["missing_keys"] and not about["unexpected_keys"]
    assert model.config.id2label == dict(enumerate(LABELS))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer.model_max_length == 12  # the run's max_length
    inputs, batch = asked(tokenizer)
    theirs = model.eval()(**inputs).logits.detach().numpy()
    ours = Bert(SHAPE).apply({"params": params}, batch).logits
    np.testing.assert_allclose(theirs, ours, atol=2e-6)


@pytest.mark.parametrize(("heads", "name"), [(("pooler",), "BertModel"), (("mlm",), "MaskedLM")])
def test_a_run_without_labels_is_read_by_transformers(heads, name, tmp_path):
    """A general student, and one of pretrain; any class of theirs takes what it knows of it."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")
    params = headless("pooler", *heads)
    folder = written(write_run(tmp_path / "run", params, Bert(SHAPE), labels=()))
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"][0].endswith(name) and "id2label" not in config
    loader = transformers.AutoModelForMaskedLM if name == "MaskedLM" else transformers.AutoModel
    model, about = loader.from_pretrained(folder, output_loading_info=True)
    assert not about["missing_keys"] and not about["unexpected_keys"]
    inputs, batch = asked(transformers.AutoTokenizer.from_pretrained(folder))
    found = model.eval()(**inputs)
    if name == "MaskedLM":
        ours = Bert(SHAPE).apply({"params": params}, batch, method="masked_lm")
        theirs = found.logits
    else:
        ours = Bert(SHAPE).apply({"params": params}, batch, method="states").hiddens[-1]
        theirs = found.last_hidden_state
    at = batch.mask
    np.testing.assert_allclose(theirs.detach().numpy()[at], np.asarray(ours)[at], atol=2e-6)
    _, about = transformers.BertForSequenceClassification.from_pretrained(
        folder, output_loading_info=True
    )
    new = {"classifier.weight", "classifier.bias"}
    missing = {key for key in about["missing_keys"] if not key.startswith("bert.pooler.")}
    assert missing == new


@pytest.mark.parametrize("stage", ["first", "last"])
def test_what_is_written_is_read_back(stage, tmp_path):
    params = headless("pooler")
    folder = written(write_run(tmp_path / "run", params, Bert(SHAPE), labels=()), "--stage", stage)
    found = load_pretrained(str(folder), classes=3)
    assert (found.has_classifier, found.shape) == (False, SHAPE)
    for path, leaf in flatten(found.params).items():
        wanted = np.float32(flatten(params)[path] + (stage == "first"))
        np.testing.assert_array_equal(leaf, wanted)


def test_many_labels_and_a_regression_say_so(tmp_path):
    run = write_run(tmp_path / "a" / "run", random_params(SHAPE), Bert(SHAPE), task=OWN.name)
    task = dataclasses.replace(OWN, labels=LABELS, many=True)
    write_json(run / "task.json", {"version": VERSION, **to_plain(task)})
    config = json.loads((written(run) / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert list(config["label2id"]) == list(LABELS)
    one = dataclasses.replace(SHAPE, classes=1)
    run = write_run(tmp_path / "b" / "run", random_params(one), Bert(one), "stsb", ())
    assert json.loads((written(run) / "config.json").read_text())["problem_type"] == "regression"


def test_a_bilstm_is_refused(tmp_path):
    model = build("bilstm", dataclasses.asdict(LSTM), "float32")
    run = write_run(tmp_path / "run", {"lstm": np.zeros(3)}, model, "sst2", ())
    with pytest.raises(UserError, match=r"holds a BiLSTM.*predict"):
        written(run)
    assert not (tmp_path / "out").exists()


def test_a_run_folder_is_not_overwritten(tmp_path):
    run = write_run(tmp_path / "run", headless("pooler"), Bert(SHAPE), labels=())
    before = (run / "model.json").read_bytes()
    with pytest.raises(UserError, match="is a run folder"):
        export.main(["export", str(run), "--output", str(run)])
    assert (run / "model.json").read_bytes() == before
    with pytest.raises(UserError, match="is not a run folder"):
        export.main(["export", str(tmp_path / "gone"), "--output", str(tmp_path / "out")])
