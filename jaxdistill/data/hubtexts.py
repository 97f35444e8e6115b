"""Texts of the hub's data sets, streamed through the package `datasets`; nothing is downloaded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from jaxdistill.errors import Passing, UserError
from jaxdistill.network import unreachable

COLUMN = "text"
"""Where the hub's corpora have their texts."""
NAME = re.compile(r"(?P<path>[\w.-]+/[\w.-]+)(:(?P<config>[\w.-]+))?")
"""A data set, and which of its configurations: wikimedia/wikipedia:20231101.en."""


class HubTexts:
    """The texts of a streamed data set in blocks, which are its smallest shards.

    Of Parquet, what the hub keeps its data sets as, those are row groups, of about a thousand texts
    in Wikipedia; of a format that cannot be cut they are whole files, read on from their beginning.
    """

    def __init__(self, name: str, dataset: Any) -> None:
        """dataset: a datasets.IterableDataset. Raises UserError where it has no column of texts."""
        columns = dataset.column_names
        if columns is not None and COLUMN not in columns:
            raise UserError(
                f"config.data.corpus={name} has the columns {', '.join(columns)}, and texts are "
                f"read from {COLUMN!r}. Name another data set, or write its texts to .txt files, "
                f"one a line, and give their folder."
            )
        self.name = name
        self._dataset = dataset.select_columns([COLUMN]).reshard()
        self._blocks: int = self._dataset.num_shards
        about = f"{name} {self._blocks}"
        self.digest = hashlib.sha256(about.encode()).hexdigest()
        """Of its name and the number of its blocks."""

    def __len__(self) -> int:
        return self._blocks

    def read(self, block: int, skip: int) -> Iterator[str]:
        """The texts of a block from number `skip` on, as they come.

        Raises UserError where they cannot be had, after what `datasets` itself tries again.
        """
        shard = self._dataset.shard(num_shards=self._blocks, index=block)
        try:
            for example in shard.skip(skip) if skip else shard:
                yield example[COLUMN] or ""  # what is null there is no text
        except Exception as error:  # its own, pyarrow's, the HTTP client's: no common ancestor
            raise Passing(
                f"Block {block} of config.data.corpus={self.name} cannot be read: "
                f"{type(error).__name__}: {_first_line(error)}. The same command goes on from the "
                f"last checkpoint."
            ) from error


def open_hub(name: str) -> HubTexts:
    """The train split of a data set of the hub, by NAME.

    Raises UserError within seconds where the hub is out of reach, has no such data set, or lacks
    the package `datasets` here.
    """
    where = f"config.data.corpus={name}"
    match = NAME.fullmatch(name)
    if match is None:
        raise UserError(
            f"{where} is neither there nor a data set of the hub. Give a .txt file, a folder that "
            f"has some, or owner/name:configuration such as wikimedia/wikipedia:20231101.en."
        )
    if offline := unreachable():
        raise UserError(
            f"{where} is no folder here, and the hub cannot be reached ({offline}): a corpus is "
            f"streamed from it. Give a folder of .txt files, one text a line."
        )
    try:
        from datasets import load_dataset

        dataset = load_dataset(match["path"], match["config"], split="train", streaming=True)
    except Exception as error:  # as above
        raise UserError(
            f"{where} cannot be opened: {type(error).__name__}: {_first_line(error)}. Check name "
            f"and configuration, or give a folder of .txt files, one text a line."
        ) from error
    return HubTexts(name, dataset)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]
