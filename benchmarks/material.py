"""What a comparison runs on, laid in a folder that every worker reads: models, rows, logits.

FOLDER/teacher, FOLDER/student: Hugging Face layout, the same weights for everyone.
FOLDER/table.npz: the rows as a Table.   FOLDER/logits.npy: the teacher's, float32, by place.
Loads no JAX until a function that needs a model is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxdistill.data.batches import Epoch, Table, batches, make_table
from jaxdistill.data.readers import cap, read_split
from jaxdistill.data.tasks import find_task
from jaxdistill.data.tokens import load_tokenizer, tokenize
from jaxdistill.types import Batch, Taught

BUCKETS = (16, 32, 64, 128)
BATCH = 32
LEARNING_RATE = 1e-4
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
"""Names of the rates in transformers' configurations."""
LABELS = ("negative", "positive")


def sst2(folder: Path, data: str, tokenizer: Path, rows: int, split: str = "train") -> Table:
    """Real rows of SST-2, as the product draws them; written to FOLDER/table.npz."""
    examples = cap(read_split(find_task("sst2"), split, data), rows, 0)
    tokens = tokenize(examples.texts, load_tokenizer(tokenizer), 128, cache=None, poll=lambda: None)
    return write_table(folder, make_table(examples, tokens))


def full_length(folder: Path, data: str, tokenizer: Path, rows: int, length: int) -> Table:
    """Rows of exactly `length` tokens, cut from SST-2's texts one after another."""
    table = sst2(folder, data, tokenizer, 0)
    inner = np.ones(len(table.ids), bool)
    inner[table.offsets[:-1]] = inner[table.offsets[1:] - 1] = False
    first, last = table.ids[table.offsets[0]], table.ids[table.offsets[1] - 1]
    body = table.ids[inner][: rows * (length - 2)].reshape(rows, length - 2)
    ids = np.pad(body, ((0, 0), (1, 1)))
    ids[:, 0], ids[:, -1] = first, last
    cut = Table(
        np.arange(rows, dtype=np.int32),
        ids.reshape(-1).astype(np.int32),
        np.arange(rows + 1, dtype=np.int64) * length,
        np.full(rows, length, np.int32),
        table.labels[:rows],
    )
    return write_table(folder, cut)


def write_table(folder: Path, table: Table) -> Table:
    """Writes FOLDER/table.npz."""
    columns = table._replace(teacher=None)._asdict()
    np.savez(folder / "table.npz", **{k: v for k, v in columns.items() if v is not None})
    return table


def read_table(folder: Path, *, cached: bool = False) -> Table:
    """Reads FOLDER/table.npz; cached: with the teacher's logits of FOLDER/logits.npy."""
    with np.load(folder / "table.npz") as file:
        table = Table(**file)
    return table._replace(teacher=Taught(np.load(folder / "logits.npy"))) if cached else table


def epoch_of(options: dict[str, Any], *, cached: bool = False) -> Epoch:
    """The epoch that everyone trains on, the same batches in the same order."""
    return batches(
        read_table(Path(options["folder"]), cached=cached),
        options.get("batch", BATCH),
        buckets=BUCKETS,
        seed=0,
        epoch=0,
        training=True,
    )


def first_of_each_width(epoch: Epoch, count: int) -> list[int]:
    """Numbers of batches that between them have every shape of the first `count`."""
    return sorted({epoch.width(number): number for number in reversed(range(count))}.values())


def places(table: Table) -> np.ndarray:
    """[largest row number + 1], the place in the table of a row number."""
    found = np.full(int(table.row.max()) + 1, -1, np.int64)
    found[table.row] = np.arange(len(table.row))
    return found


def inference_batches(table: Table, size: int, count: int) -> list[Batch]:
    """Up to `count` batches, spread over the lengths."""
    epoch = batches(table, size, buckets=BUCKETS, seed=0, epoch=0, training=False)
    return [epoch[int(i)] for i in np.linspace(0, len(epoch) - 1, min(count, len(epoch)))]


def kd_models(folder: Path, teacher: str, pick: tuple[int, ...]) -> None:
    """FOLDER/teacher from a run or a Hugging Face folder; FOLDER/student cut from its layers.

    Args:
      pick: the teacher's layers, from 1, that the student keeps.
    """
    import dataclasses

    import jax

    from jaxdistill.models.huggingface import save_huggingface
    from jaxdistill.models.sources import load_pretrained
    from jaxdistill.runs import is_run, open_run

    if is_run(Path(teacher)):
        run = open_run(Path(teacher), print)
        params, shape, tokenizer = run.params, run.model.shape, run.folder / "tokenizer"
    else:
        found = load_pretrained(teacher, classes=None)
        params, shape, tokenizer = found.params, found.shape, found.tokenizer
    params = jax.device_get(params)
    save_huggingface(folder / "teacher", params, shape, LABELS, tokenizer)
    rows = np.array(pick) - 1
    student = {**params, "layers": jax.tree.map(lambda leaf: leaf[rows], params["layers"])}
    shape = dataclasses.replace(shape, layers=len(pick))
    save_huggingface(folder / "student", student, shape, LABELS, tokenizer)


def drawn_model(folder: Path, **shape: int) -> None:
    """FOLDER: a BERT classifier of that shape, drawn; its vocabulary is there for form's sake."""
    import json

    import jax
    from safetensors.numpy import save_file

    from jaxdistill.models.bert import Bert, BertShape, initial_params
    from jaxdistill.models.hfconfig import config_from_shape
    from jaxdistill.models.huggingface import to_huggingface

    model = Bert(BertShape(classes=2, **shape))
    params = jax.device_get(jax.jit(lambda k: initial_params(model, k))(jax.random.key(0)))
    folder.mkdir(parents=True, exist_ok=True)
    tensors = to_huggingface(params, model.shape)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n")
    (folder / "config.json").write_text(json.dumps(config_from_shape(model.shape, LABELS)))


def drawn_rows(folder: Path, rows: int, length: int, vocab: int) -> Table:
    """Rows of drawn tokens, all of `length`."""
    random = np.random.default_rng(0)
    table = Table(
        np.arange(rows, dtype=np.int32),
        random.integers(0, vocab, rows * length).astype(np.int32),
        np.arange(rows + 1, dtype=np.int64) * length,
        np.full(rows, length, np.int32),
        random.integers(0, 2, rows).astype(np.int32),
    )
    return write_table(folder, table)


def with_classifier(folder: Path, checkpoint: str) -> None:
    """FOLDER/student: a checkpoint without classifier, and a drawn one."""
    import jax

    from jaxdistill.models.bert import Bert
    from jaxdistill.models.huggingface import save_huggingface
    from jaxdistill.models.sources import complete, load_pretrained

    found = load_pretrained(checkpoint, classes=2)
    params = complete(found, Bert(found.shape), jax.random.key(0), print)
    save_huggingface(
        folder / "student", jax.device_get(params), found.shape, LABELS, found.tokenizer
    )


def teacher_logits(folder: Path, table: Table) -> None:
    """FOLDER/logits.npy: the teacher's logits of every row in float32, for everyone."""
    from benchmarks.ours import load, logits_of

    model, params = load(folder / "teacher", "float32")
    np.save(folder / "logits.npy", logits_of(model, params, table))
