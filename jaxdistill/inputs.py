"""A run's rows: read, capped, turned into tables of tokens, and the same when it is resumed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from jaxdistill import processes
from jaxdistill.data.batches import Table, make_table
from jaxdistill.data.corpus import read_corpus
from jaxdistill.data.own import check_apart
from jaxdistill.data.readers import Examples, cap, is_there, read_split
from jaxdistill.data.tasks import Task
from jaxdistill.data.tokens import Tokens, check_ids, tokenize
from jaxdistill.data.views import View, Words, read_words
from jaxdistill.errors import UserError
from jaxdistill.files import cache_folder, read_json
from jaxdistill.notices import Notice
from jaxdistill.preparing import remembered
from jaxdistill.sections import DataConfig

Texts = Sequence[Sequence[str]]
"""One list of N strings or two."""

CAP_SEED = 0
"""Draws config.data.train_rows: the same rows for every seed, so that runs differ by training."""


def read_splits(task: Task, data: DataConfig, notice: Notice) -> dict[str, Examples]:
    """The train split, capped, and dev, with dev_mismatched of MNLI where that is at hand; of a
    corpus, what is held out of it.
    """
    if data.corpus:
        assert data.held_out is not None, "checked() saw to it"
        splits = read_corpus(data.corpus, data.held_out, notice)
        return {**splits, "train": cap(splits["train"], data.train_rows, CAP_SEED)}
    train = read_split(task, "train", data.folder, notice)
    splits = {
        "train": cap(train, data.train_rows, CAP_SEED),
        "dev": read_split(task, "dev", data.folder, notice),
    }
    if task.own:
        check_apart(task, train, splits["dev"], notice)
    for name in task.splits:
        if name.startswith("dev_"):  # reported, and nothing is chosen by it
            if is_there(task, name, data.folder):
                splits[name] = read_split(task, name, data.folder, notice)
            else:
                notice(f"{task.name} {name} is not in {data.folder}: the report is without it")
    return splits


def make_split(
    examples: Examples,
    tokenizer: Tokenizer | None,
    max_length: int,
    vocab: int,
    notice: Notice,
    poll: Callable[[], None],
    view: View | None = None,
) -> Table:
    """Examples as a table ready to be batched. Collective: each process cuts its share of the texts
    into tokens or words, and all get all.

    Args:
      tokenizer: of a BERT, the student or a teacher; None where nobody reads tokens.
      max_length: tokens, special ones included; longer examples are cut.
      vocab: rows of that BERT's word embedding; a token beyond it is a UserError.
      poll: called between chunks; it may raise to stop.
      view: how a BiLSTM reads the texts.
    """
    tokens: Tokens | None = None
    if tokenizer is not None:
        cache = cache_folder() / "tokens"

        def cut(texts: Texts) -> Tokens:
            found = tokenize(texts, tokenizer, max_length, cache=cache, poll=poll, notice=notice)
            check_ids(found, vocab)
            return found

        ids, offsets, second = _shared_out(examples.texts, cut)
        tokens = Tokens(ids, offsets, second)
    words = None
    if view is not None:
        ids, offsets, each = _shared_out(
            examples.texts, lambda texts: read_words(texts, view, notice=notice, poll=poll)
        )
        words = Words(ids, offsets, int(each.max()))
    return make_table(examples, tokens, words)


def _shared_out(texts: Texts, read: Callable[[Texts], Tokens | Words]) -> list[np.ndarray]:
    """What read gives for all texts: ids and offsets of one piece after the other, and its rest."""

    def act() -> dict[str, np.ndarray]:
        span = processes.span(len(texts[0]))
        if span.start == span.stop and len(texts[0]):
            return {}
        part = read(texts if processes.count() == 1 else [column[span] for column in texts])
        return {name: np.asarray(array) for name, array in part._asdict().items()}

    parts = [list(each.values()) for each in processes.pooled(act) if each]
    if len(parts) == 1:
        return parts[0]
    ids, offsets, rest = zip(*parts, strict=True)
    begin = np.cumsum([0, *(each[-1] for each in offsets)])[:-1]
    whole = [each[:-1] + first for each, first in zip(offsets, begin, strict=True)]
    end = begin[-1] + offsets[-1][-1:]
    joined = [np.concatenate(ids), np.concatenate([*whole, end])]
    return [*joined, np.concatenate([np.atleast_1d(each) for each in rest])]


def data_changed(folder: Path, splits: Mapping[str, Examples]) -> bool:
    """Whether a run folder's data.json is of other rows; False where there is none."""
    path = folder / "data.json"
    return path.is_file() and read_json(path) != _about(splits)


def _about(splits: Mapping[str, Examples]) -> dict[str, dict[str, Any]]:
    return {name: {"rows": len(s.row), "sha256": digest(s)} for name, s in splits.items()}


def same_data(folder: Path, splits: Mapping[str, Examples], name: str = "data.json") -> None:
    """Refuses to go on with a run whose rows have changed; remembers them in a new one.

    Args:
      name: of the file in the run's folder that says which they are.
    """
    found = _about(splits)
    before = remembered(folder, name, found)
    changed = [split for split in found if found[split] != before.get(split)]
    if changed:
        split = changed[0]
        then = f"{before[split]['rows']:,} then" if split in before else "no such file then"
        raise UserError(
            f"The {split} rows are not those that {folder} was started with: "
            f"{found[split]['rows']:,} rows now and {then}, or other texts or labels. Put the old "
            f"file back, or use another --workdir."
        )


def rows_changed(folder: Path, split: str, examples: Examples) -> bool:
    """Whether a run was made with other rows of a split; False where that is not known."""
    path = folder / "data.json"
    known = read_json(path) if path.is_file() else {}
    return split in known and known[split]["sha256"] != digest(examples)


def digest(examples: Examples) -> str:
    """The SHA-256 of texts, row numbers and labels."""
    total = hashlib.sha256()
    for column in examples.texts:
        total.update("\0".join(column).encode("utf-8", "surrogatepass"))
        total.update(b"\1")
    total.update(examples.row.tobytes())
    total.update(examples.labels.tobytes())
    return total.hexdigest()
