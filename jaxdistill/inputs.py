"""A run's rows: read, capped, turned into tables of tokens, and the same when it is resumed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from tokenizers import Tokenizer

from jaxdistill.data.batches import Table, make_table
from jaxdistill.data.corpus import read_corpus
from jaxdistill.data.readers import Examples, cap, read_split
from jaxdistill.data.tasks import Task
from jaxdistill.data.tokens import check_ids, tokenize
from jaxdistill.errors import UserError
from jaxdistill.files import cache_folder, read_json, write_json
from jaxdistill.sections import DataConfig

Notice = Callable[[str], None]

CAP_SEED = 0
"""Draws config.data.train_rows: the same rows for every seed, so that runs differ by training."""


def read_splits(task: Task, data: DataConfig, notice: Notice) -> dict[str, Examples]:
    """The train split, capped, and dev; of a corpus, what is held out of it."""
    if data.corpus:
        assert data.held_out is not None, "checked() saw to it"
        splits = read_corpus(data.corpus, data.held_out, notice)
        return {**splits, "train": cap(splits["train"], data.train_rows, CAP_SEED)}
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
