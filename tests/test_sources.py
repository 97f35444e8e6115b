from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from hashlib import sha1
from hashlib import sha256 as sha256_of

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxdistill.data.tasks import OWN
from jaxdistill.errors import UserError
from jaxdistill.models.bert import Bert, BertShape, initial_params
from jaxdistill.models.hftable import expected
from jaxdistill.models.hub import is_hub_name
from jaxdistill.models.huggingface import config_from_shape, to_huggingface
from jaxdistill.models.sources import align_labels, complete, load_pretrained
from jaxdistill.origins import find_checkpoint, run_named

SHAPE = BertShape(vocab=20, width=8, layers=2, heads=2, inner=12, classes=3, positions=16)
NAMES = ("entailment", "neutral", "contradiction")


def random_params(shape: BertShape = SHAPE):
    rng = np.random.default_rng(0)
    tree: dict = {}
    for path, size in expected(shape).items():
        *modules, leaf = path.split("/")
        node = tree
        for module in modules:
            node = node.setdefault(module, {})
        node[leaf] = np.float32((leaf == "scale") + 0.1 * rng.standard_normal(size))
    return tree


PARAMS = random_params()


def write(folder, tensors, **changes):
    """A model folder with a config of SHAPE and NAMES."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config_from_shape(SHAPE, NAMES) | changes))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture
def classifier(tmp_path):
    return write(tmp_path / "classifier", to_huggingface(PARAMS, SHAPE))


@pytest.fixture
def masked(tmp_path):
    tensors = to_huggingface(PARAMS, SHAPE, mlm=True)
    return write(tmp_path / "masked", tensors, architectures=["BertForMaskedLM"])


def same(left, right) -> None:
    assert jax.tree.structure(left) == jax.tree.structure(right)
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_a_classifier_as_it_is(classifier):
    found = load_pretrained(str(classifier), classes=None)
    assert found.shape == SHAPE
    assert (found.has_classifier, found.has_mlm) == (True, False)
    assert (found.labels, found.regression, found.left_out) == (NAMES, False, "")
    assert (found.projection, found.tokenizer, found.origin) == (None, classifier, str(classifier))
    weights = (classifier / "model.safetensors").read_bytes()
    assert found.sha256 == sha256_of(weights).hexdigest()
    same(found.params, {k: v for k, v in PARAMS.items() if k != "mlm"})


def test_a_classifier_of_other_outputs_is_left_out_and_said(classifier):
    found = load_pretrained(str(classifier), classes=2)
    assert found.shape == replace(SHAPE, classes=2)
    assert not found.has_classifier
    assert found.labels == ()
    said: list[str] = []
    params = complete(found, Bert(found.shape), jax.random.key(0), said.append)
    assert said == [f"new classifier [8, 2]: {classifier} has one of 3 outputs"]
    assert params["classifier"]["kernel"].shape == (8, 2)
    same(params["layers"], PARAMS["layers"])


@pytest.mark.parametrize(
    ("kind", "fits_one", "fits_many"),
    [(None, True, True), ("single_label", True, False), ("multi_label", False, True)],
)
def test_a_classifier_fits_tasks_of_its_kind(kind, fits_one, fits_many, tmp_path):
    """One label for a text, or any number: the softmax of one is not the sigmoid of the other."""
    problem = kind and f"{kind}_classification"
    folder = str(write(tmp_path / "x", to_huggingface(PARAMS, SHAPE), problem_type=problem))
    one = replace(OWN, labels=NAMES)
    for task, fits in ((one, fits_one), (replace(one, many=True), fits_many)):
        found = find_checkpoint(folder, "config.model", task, print, as_it_is=False)
        assert found.has_classifier == fits
        assert ("other labels: entailment" in found.left_out) != fits
        if not fits:
            with pytest.raises(UserError, match=r"any number of them.*must have been trained for"):
                find_checkpoint(folder, "config.model", task, print, as_it_is=True)


def test_a_head_of_another_task_is_left_out(tmp_path):
    architectures = ["BertForTokenClassification"]
    folder = write(tmp_path / "x", to_huggingface(PARAMS, SHAPE), architectures=architectures)
    found = load_pretrained(str(folder), classes=3)
    assert not found.has_classifier
    assert found.left_out == "one of 3 outputs, as a BertForTokenClassification"
    with pytest.raises(UserError, match="no classifier.*as a BertForTokenClassification"):
        load_pretrained(str(folder), classes=None)


def test_a_regression(tmp_path):
    shape = replace(SHAPE, classes=1)
    folder = write(tmp_path / "x", to_huggingface(random_params(shape), shape))
    (folder / "config.json").write_text(json.dumps(config_from_shape(shape, ())))
    for classes in (1, None):
        found = load_pretrained(str(folder), classes=classes)
        assert (found.has_classifier, found.regression, found.labels) == (True, True, ())


def test_missing_heads_are_new_and_said(masked):
    with pytest.raises(UserError, match="has no classifier"):
        load_pretrained(str(masked), classes=None)
    found = load_pretrained(str(masked), classes=2)
    assert (found.has_classifier, found.has_mlm) == (False, True)
    assert (found.labels, found.regression) == ((), False)
    model = Bert(found.shape)
    said: list[str] = []
    params = complete(found, model, jax.random.key(3), said.append)
    assert said == [
        f"new pooler [8, 8]: not in {masked}",
        f"new classifier [8, 2]: not in {masked}",
    ]
    assert set(params) == {"embeddings", "layers", "pooler", "classifier"}
    drawn = jax.jit(lambda key: initial_params(model, key))(jax.random.key(3))
    for head in ("pooler", "classifier"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), params[head], drawn[head]
        )
    with_words = complete(found, model, jax.random.key(3), said.append, mlm=True)
    same(with_words["mlm"], PARAMS["mlm"])
    assert "pooler" not in found.params  # what was found stays as it was found


def test_a_new_masked_lm_head(classifier):
    found = load_pretrained(str(classifier), classes=3)
    said: list[str] = []
    params = complete(found, Bert(found.shape), jax.random.key(0), said.append, mlm=True)
    assert said == [f"new mlm [8, 8]: not in {classifier}"]
    sizes = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    assert sizes == expected(SHAPE)
    same(params["classifier"], PARAMS["classifier"])


def test_the_real_checkpoint(real_checkpoint):
    found = load_pretrained(str(real_checkpoint), classes=2)
    assert (found.has_classifier, found.has_mlm) == (False, False)
    assert sum(leaf.size for leaf in jax.tree.leaves(found.params)) == 22_713_216
    assert found.sha256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_weights_that_do_not_fit_name_their_source(classifier):
    tensors = load_file(classifier / "model.safetensors")
    del tensors["bert.pooler.dense.bias"]
    save_file(tensors, classifier / "model.safetensors")
    with pytest.raises(UserError, match=r"classifier: .*missing: pooler\.dense\.bias \[8\]"):
        load_pretrained(str(classifier), classes=3)
    del tensors["classifier.weight"]
    save_file(tensors, classifier / "model.safetensors")
    with pytest.raises(UserError, match=r"missing: pooler\.dense\.bias.*classifier\.weight"):
        load_pretrained(str(classifier), classes=3)


def test_other_architectures_are_refused_before_their_weights_are_read(classifier):
    (classifier / "config.json").write_text('{"model_type": "roberta"}')
    (classifier / "model.safetensors").write_text("not even tensors")
    with pytest.raises(UserError, match="model_type 'roberta' is not supported"):
        load_pretrained(str(classifier), classes=2)
    (classifier / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json cannot be read as JSON"):
        load_pretrained(str(classifier), classes=2)


def test_incomplete_folders(classifier, tmp_path):
    (classifier / "vocab.txt").unlink()
    (classifier / "config.json").unlink()
    with pytest.raises(UserError) as caught:
        load_pretrained(str(classifier), classes=3)
    text = str(caught.value)
    assert "lacks config.json; tokenizer.json or vocab.txt. It holds model.safetensors." in text
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"lacks config\.json; model\.safetensors or .*nothing"):
        load_pretrained(str(tmp_path / "empty"), classes=3)
    with pytest.raises(UserError, match="is a file; give the model's folder"):
        load_pretrained(str(classifier / "model.safetensors"), classes=3)


@pytest.mark.parametrize(
    "path", ["./nowhere", "../nowhere", "/nowhere", "~/nowhere", "a/b/c", "nowhere/", ".", "x y"]
)
def test_missing_folders_do_not_touch_the_network(path, monkeypatch, tmp_path):
    def forbidden(source):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("jaxdistill.models.sources.download", forbidden)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"There is no folder|no complete model folder"):
        load_pretrained(path, classes=2)


def test_a_home_folder_is_expanded(classifier, monkeypatch):
    monkeypatch.setenv("HOME", str(classifier.parent))
    assert load_pretrained("~/classifier", classes=3).tokenizer == classifier


def test_hub_names():
    for name in ("bert-base-uncased", "google-bert/bert-base-uncased", "huawei-noah/TinyBERT_4L"):
        assert is_hub_name(name)
    for name in ("", ".", "..", "~", "a/", "/a", "a//b", "a/b/c", "a\\b", "./a", "a/.b", "a b"):
        assert not is_hub_name(name)


# the hub


class FakeHub(http.server.BaseHTTPRequestHandler):
    """As much of the hub's protocol as downloading a public model needs."""

    models: dict[str, dict[str, bytes]]
    asked: list[str]

    def do_GET(self):
        self.answer(body=True)

    def do_HEAD(self):
        self.answer(body=False)

    def answer(self, body: bool) -> None:
        path = self.path.split("?")[0].lstrip("/").removeprefix("api/models/")
        self.asked.append(path)
        name, _, rest = path.partition("/resolve/") if "/resolve/" in path else (path, "", "")
        name = name.split("/tree/")[0].split("/revision/")[0]
        if name not in self.models:
            self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
            return
        files = self.models[name]
        commit = sha1(name.encode()).hexdigest()
        if rest:
            content = files[rest.split("/", 1)[1]]
            headers = {"ETag": f'"{sha1(content).hexdigest()}"', "X-Repo-Commit": commit}
            self.reply(200, content, headers, body)
        elif "/tree/" in path:
            entries = [
                {"type": "file", "path": k, "size": len(v), "oid": sha1(v).hexdigest()}
                for k, v in files.items()
            ]
            self.reply(200, json.dumps(entries).encode(), {}, body)
        else:
            siblings = [{"rfilename": k} for k in files]
            info = {"id": name, "sha": commit, "siblings": siblings}
            self.reply(200, json.dumps(info).encode(), {}, body)

    def reply(self, status, content, headers, body) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub():
    """A hub on this machine: .models to fill, .asked to read, .url."""
    handler = type("Hub", (FakeHub,), {"models": {}, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    handler.url = f"http://127.0.0.1:{server.server_port}"
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


LOAD = """
import sys, time
from jaxdistill.errors import UserError
from jaxdistill.models.hub import download
for source in sys.argv[1:]:
    start = time.time()
    try:
        print(f"{time.time() - start:.1f}", sorted(p.name for p in download(source).iterdir()))
    except UserError as error:
        print(f"{time.time() - start:.1f}", error)
"""


def download_in_a_process(home, endpoint, *sources, offline="0") -> list[tuple[float, str]]:
    """One (seconds, file names or error) per source, in a process with this cache and endpoint."""
    changes = {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": offline}
    changes |= {"NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", LOAD, *sources],
        env=os.environ | changes,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line.partition(" ") for line in result.stdout.splitlines()]
    assert len(lines) == len(sources), result.stdout
    return [(float(seconds), text) for seconds, _, text in lines]


def test_downloads_what_is_needed_once_and_then_from_the_cache(hub, classifier, tmp_path):
    config = (classifier / "config.json").read_bytes()
    small = {"config.json": config, "vocab.txt": b"[PAD]\n", "README.md": b"hello"}
    weights = (classifier / "model.safetensors").read_bytes()
    both = {"model.safetensors": weights, "pytorch_model.bin": b"old", "flax_model.msgpack": b"x"}
    hub.models["someone/both"] = small | both
    hub.models["someone/old"] = small | {"pytorch_model.bin": b"old"}
    sources = ("someone/both", "someone/old", "someone/none")

    first = download_in_a_process(tmp_path / "home", hub.url, *sources)
    asked = len(hub.asked)
    assert asked > 0
    offline = download_in_a_process(tmp_path / "home", hub.url, *sources, offline="1")
    assert len(hub.asked) == asked
    away = download_in_a_process(tmp_path / "home", "http://127.0.0.1:9", *sources)
    for found in (first, offline, away):
        assert found[0][1] == "['config.json', 'model.safetensors', 'vocab.txt']"
        assert found[1][1] == "['config.json', 'pytorch_model.bin', 'vocab.txt']"
    assert f"someone/none is neither a local folder nor a model on {hub.url}" in first[2][1]
    for found, why in ((offline, "offline"), (away, "refused")):
        assert "someone/none is neither a local folder nor in the cache" in found[2][1]
        assert why in found[2][1].lower()
        for remedy in ("HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE", "give their folder"):
            assert remedy in found[2][1]


def test_what_is_no_bert_is_refused_before_its_weights_come(hub, tmp_path):
    config = json.dumps({"model_type": "distilbert"}).encode()
    hub.models["someone/other"] = {"config.json": config, "model.safetensors": b"gigabytes"}
    [(_, text)] = download_in_a_process(tmp_path, hub.url, "someone/other")
    assert text.startswith("someone/other: ") and "distilbert" in text
    assert not [path for path in hub.asked if path.endswith(".safetensors")]


def test_a_hub_that_does_not_answer_is_given_up_within_ten_seconds(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        [(seconds, text)] = download_in_a_process(tmp_path, url, "bert-base-uncased")
    assert "bert-base-uncased is neither a local folder nor in the cache" in text
    assert 2 < seconds < 10
    assert time.monotonic() - start < 60


def test_a_download_that_is_read(classifier, monkeypatch):
    monkeypatch.setattr("jaxdistill.models.sources.download", lambda source: classifier)
    found = load_pretrained("someone/model", classes=3)
    assert (found.origin, found.tokenizer) == ("someone/model", classifier)
    (classifier / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"someone/model \(downloaded to .*lacks model"):
        load_pretrained("someone/model", classes=3)


# labels


def aligned(theirs, ours):
    said: list[str] = []
    params = align_labels(PARAMS, theirs, ours, said.append)
    return params, said


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(NAMES, NAMES), (("ENTAILMENT", "Neutral", "contradiction "), NAMES), ((), ())],
)
def test_the_same_labels_change_nothing(theirs, ours):
    params, said = aligned(theirs, ours)
    assert params is PARAMS
    assert said == []


def test_another_order_moves_the_outputs():
    ours = ("contradiction", "entailment", "neutral")
    params, said = aligned(NAMES, ours)
    head, old = params["classifier"], PARAMS["classifier"]
    for i, name in enumerate(ours):
        j = NAMES.index(name)
        np.testing.assert_array_equal(head["kernel"][:, i], old["kernel"][:, j])
        assert head["bias"][i] == old["bias"][j]
    assert said == [
        "classifier outputs moved from the order [entailment, neutral, contradiction] to "
        "[contradiction, entailment, neutral]"
    ]
    same({**params, "classifier": old}, PARAMS)
    back = align_labels(params, ours, NAMES, said.append)
    same(back, PARAMS)


def test_dashes_and_underscores_are_spaces():
    params, said = aligned(
        ("Not-Entailment", "x", "ENTAILMENT"), ("entailment", "x", "not_entailment")
    )
    np.testing.assert_array_equal(
        params["classifier"]["bias"], PARAMS["classifier"]["bias"][[2, 1, 0]]
    )
    assert len(said) == 1


@pytest.mark.parametrize("theirs", [("LABEL_0", "LABEL_1", "LABEL_2"), ("0", "1", "2")])
def test_labels_without_names_are_taken_as_ours(theirs):
    params, said = aligned(theirs, NAMES)
    assert params is PARAMS
    assert len(said) == 1
    assert "taken as [entailment, neutral, contradiction]" in said[0]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (("negative", "neutral", "positive"), NAMES),
        (NAMES, ("entailment", "not_entailment")),
        (("LABEL_0", "LABEL_1"), NAMES),
        (("LABEL_1", "LABEL_0", "LABEL_2"), NAMES),
        (("1", "2", "3"), NAMES),
        ((), NAMES),
    ],
)
def test_other_labels_are_refused_with_both_lists(theirs, ours):
    with pytest.raises(UserError) as caught:
        aligned(theirs, ours)
    assert f"[{', '.join(theirs)}], the task [{', '.join(ours)}]" in str(caught.value)


def test_the_run_that_a_source_names(tmp_path):
    for name in ("a", "10:30"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_text("{}")
    odd = tmp_path / "10:30"
    assert run_named(f"{tmp_path}/a") == (tmp_path / "a", None)
    assert run_named(f"{tmp_path}/a:kd") == (tmp_path / "a", "kd")
    assert run_named(str(odd)) == (odd, None)  # a folder's own name
    assert run_named(f"{odd}:kd") == (odd, "kd")
    assert run_named(f"{tmp_path}/b:kd") is None
    assert run_named("bert-base-uncased") is None
