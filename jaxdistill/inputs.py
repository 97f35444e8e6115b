"""What a run starts from: the task's rows as tables of tokens, and a model's parameters."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
from tokenizers import Tokenizer

from jaxdistill.checkpoint import parameters_sha256
from jaxdistill.config import DataConfig, ModelConfig
from jaxdistill.data.batches import Table, make_table
from jaxdistill.data.readers import Examples, cap, read_split
from jaxdistill.data.tasks import Task
from jaxdistill.data.tokens import check_ids, tokenize
from jaxdistill.errors import UserError
from jaxdistill.files import cache_folder, read_json, write_json
from jaxdistill.models.bert import Bert, BertShape
from jaxdistill.models.sources import Pretrained, align_labels, complete, load_pretrained
from jaxdistill.runs import is_run, open_run
from jaxdistill.types import Params

Notice = Callable[[str], None]

HEADS = 1 << 16
"""Folded into the run's key to draw new heads; the stages fold in 0, 1, ..."""
CAP_SEED = 0
"""Draws config.data.train_rows: the same rows for every seed, so that runs differ by training."""


class Start(NamedTuple):
    """Where a model's training starts."""

    shape: BertShape
    params: Params
    tokenizer: Path
    """A folder with the tokenizer's files."""


def read_splits(task: Task, data: DataConfig, notice: Notice) -> dict[str, Examples]:
    """The train split, capped, and dev."""
    train = read_split(task, "train", data.folder, notice)
    return {
        "train": cap(train, data.train_rows, CAP_SEED),
        "dev": read_split(task, "dev", data.folder, notice),
    }


def make_split(
    examples: Examples,
    tokenizer: Tokenizer,
    max_length: int,
    vocab: int,
    notice: Notice,
    poll: Callable[[], None],
) -> Table:
    """Examples as a table ready to be batched.

    Args:
      max_length: tokens, special ones included; longer examples are cut.
      vocab: rows of the model's word embedding; a token beyond it is a UserError.
      poll: called between chunks; it may raise to stop.
    """
    tokens = tokenize(
        examples.texts,
        tokenizer,
        max_length,
        cache=cache_folder() / "tokens",
        poll=poll,
        notice=notice,
    )
    check_ids(tokens, vocab)
    return make_table(examples, tokens)


def same_data(folder: Path, splits: Mapping[str, Examples]) -> None:
    """Refuses to go on with a run whose rows have changed; remembers them in a new one."""
    found = {name: {"rows": len(s.row), "sha256": _digest(s)} for name, s in splits.items()}
    path = folder / "data.json"
    if not path.is_file():
        write_json(path, found)
        return
    before = read_json(path)
    changed = [name for name in found if found[name] != before.get(name)]
    if changed:
        name = changed[0]
        raise UserError(
            f"The {name} rows are not those that {folder} was started with: {found[name]['rows']:,}"
            f" rows now and {before[name]['rows']:,} then, or other texts or labels. Put the old "
            f"file back, or use another --workdir."
        )


def _digest(examples: Examples) -> str:
    total = hashlib.sha256()
    for column in examples.texts:
        total.update("\0".join(column).encode("utf-8", "surrogatepass"))
        total.update(b"\1")
    total.update(examples.row.tobytes())
    total.update(examples.labels.tobytes())
    return total.hexdigest()


def load_start(
    model: ModelConfig, task: Task, seed: int, notice: Notice, *, as_it_is: bool
) -> Start:
    """The model that config.model names, fitted to the task's labels.

    Args:
      seed: draws the heads that the source lacks.
      as_it_is: the source must be a classifier with a head for just these labels; otherwise a head
        that does not fit is replaced by a new one, announced.
    """
    found = _find(model.source, task, notice, as_it_is=as_it_is)
    shape = found.shape
    if model.dropout is not None:
        rates = ("dropout", "attention_dropout", "head_dropout")
        shape = dataclasses.replace(shape, **dict.fromkeys(rates, model.dropout))
    key = jax.random.fold_in(jax.random.key(seed), HEADS)
    return Start(shape, complete(found, Bert(shape), key, notice), found.tokenizer)


def _find(source: str, task: Task, notice: Notice, *, as_it_is: bool) -> Pretrained:
    folder = Path(os.path.expanduser(source))
    if is_run(folder):
        found = _from_run(folder, notice)
    else:
        found = load_pretrained(source, classes=None if as_it_is else task.outputs)
    where = f"config.model.source={source}"
    alike = (found.shape.classes, found.regression) == (task.outputs, task.regression)
    if as_it_is and not alike:
        raise UserError(
            f"{where} is a classifier with {found.shape.classes} outputs ("
            f"{', '.join(found.labels) or 'a regression'}), and {task.name} has "
            f"{', '.join(task.labels) or 'a number to predict'}. What is scored as it is must "
            f"have been trained for this task; configs/teacher_sst2.py shows how to train one."
        )
    if not found.has_classifier:
        return found
    try:
        if not alike:
            raise UserError(f"{found.shape.classes} outputs instead of {task.outputs}")
        params = align_labels(found.params, found.labels, task.labels, notice)
    except UserError as error:
        if as_it_is:
            raise UserError(f"{where}: {error}") from error
        return dataclasses.replace(
            found,
            shape=dataclasses.replace(found.shape, classes=task.outputs),
            params={k: v for k, v in found.params.items() if k != "classifier"},
            has_classifier=False,
            left_out=f"a classifier for other labels: {', '.join(found.labels) or 'a regression'}",
        )
    return dataclasses.replace(found, params=params)


def _from_run(folder: Path, notice: Notice) -> Pretrained:
    """A finished run as a source like any other."""
    run = open_run(folder, notice)
    labels = run.description.labels
    return Pretrained(
        shape=run.model.shape,
        params=jax.device_get(run.params),
        has_classifier=True,
        has_pooler=True,
        has_mlm=False,
        labels=labels,
        regression=not labels,
        projection=None,
        tokenizer=folder / "tokenizer",
        origin=str(folder),
        sha256=parameters_sha256(run.params),
        left_out="",
    )
