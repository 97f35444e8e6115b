"""What a config says of general distillation, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxdistill.bilstm_section import BiLstmConfig
from jaxdistill.errors import UserError

if TYPE_CHECKING:
    from jaxdistill.sections import Config

GENERAL = "general"
"""config.method.name, and its stage's."""
KEYS = ("dev_rows", "steps", "lanes")
"""Keys of config.data that are its own."""


def check_general(config: Config) -> None:
    """Raises UserError where a config of general distillation contradicts itself."""
    data, start = config.data, config.student
    if missing := [f"config.data.{name}" for name in KEYS if getattr(data, name) is None]:
        raise UserError(
            f"{' and '.join(missing)} missing. Compare with configs/general_tinybert.py."
        )
    assert data.dev_rows is not None and data.steps is not None and data.lanes is not None
    share = data.held_out
    source = None if start is None or isinstance(start, BiLstmConfig) else start.source
    sizes = {name: plan.batch_size for name, plan in config.stages.items() if name == GENERAL}
    uneven = [size for size in sizes.values() if size % max(data.lanes, 1)]
    faults = {
        "config.data.corpus is empty: name a folder of .txt files or a data set of the hub": (
            not data.corpus
        ),
        f"config.data.held_out is {share}, and must be a share above 0 and below 1": (
            share is None or not 0 < share < 1
        ),
        f"config.data.dev_rows is {data.dev_rows}, steps {data.steps} and lanes {data.lanes}: each "
        f"must be at least 1": min(data.dev_rows, data.steps, data.lanes) < 1,
        f"config.data.lanes={data.lanes} does not divide "
        f"config.stages.{GENERAL}.batch_size={uneven and uneven[0]}": bool(uneven),
        f"config.data.max_length is {data.max_length}, and [CLS], [SEP] and a token take 3": (
            data.max_length < 3
        ),
        f"config.data.train_rows is {data.train_rows} and folder {data.folder!r}, which a stream "
        f"does not read: leave them 0 and empty": bool(data.train_rows or data.folder),
        "config.teacher is missing: config.teacher.source names a pre-trained BERT": (
            config.encoder is None
        ),
        "config.student is a BiLSTM, which has no attention to match": (
            isinstance(start, BiLstmConfig)
        ),
        "config.student.source is pretrained, and the teacher is what was pre-trained: choose "
        "teacher": source == "pretrained",
        "config.baseline is True, and there are no labels to train on": config.baseline,
        "config.augment is given, and there are no rows to add to": config.augment is not None,
    }
    if found := [text for text, holds in faults.items() if holds]:
        raise UserError(
            f"config.method.name is {GENERAL}, which distils a teacher on plain text: "
            f"{'; '.join(found)}. Compare with configs/general_tinybert.py."
        )


def check_plain(config: Config) -> None:
    """Raises UserError where another method is given a stream's keys."""
    if spare := [name for name in KEYS if getattr(config.data, name) is not None]:
        raise UserError(
            f"config.data.{spare[0]} is read by the method {GENERAL} alone, and this one is "
            f"{config.method['name']}. Leave it out."
        )
