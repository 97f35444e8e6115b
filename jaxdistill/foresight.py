"""What is known to be missing before a teacher is trained for hours: files, packages, columns."""

from __future__ import annotations

from pathlib import Path

from jaxdistill import processes
from jaxdistill.augmentation import AugmentConfig, check_confidence
from jaxdistill.bilstm_section import TOKENIZER, BiLstmConfig
from jaxdistill.bilstm_start import names_file
from jaxdistill.data.augment.added import read_own
from jaxdistill.data.augment.words import load_jieba
from jaxdistill.data.splitters import Splitter, split
from jaxdistill.data.tasks import Task
from jaxdistill.data.vectors import check_width, width_of
from jaxdistill.errors import UserError
from jaxdistill.own_section import check_many, settled
from jaxdistill.sections import Config


def foresee(config: Config, task: Task) -> None:
    """Raises UserError for what the run would refuse after its teacher was trained. Collective:
    process 0 looks.

    What is right it leaves alone: everything is read again, and told, when its time comes.
    """

    def look() -> None:
        known = settled(task, config.data, _hush)
        check_many(config, known)
        if isinstance(config.start, BiLstmConfig):
            _words_of(config.start, config.start_key)
        if config.augment and config.augment.name != "none":
            _added_by(config.augment, known)

    processes.led(look)


def _words_of(about: BiLstmConfig, where: str) -> None:
    if about.view != "wordpieces":
        split([""], Splitter(about.view, about.lower), lambda: None)  # loads what it needs
    if about.vocabulary not in ("", TOKENIZER):
        _there(about.vocabulary, f"{where}.vocabulary")
    if names_file(about.vectors):
        _there(about.vectors, f"{where}.vectors")
        path = Path(about.vectors).expanduser()
        check_width(path, width_of(path), about.width, where)


def _added_by(about: AugmentConfig, task: Task) -> None:
    check_confidence(about, task)
    if about.name != "text" and "jieba" in (about.words, about.tagger):
        load_jieba()
    if about.name == "tinybert" and about.vectors and about.vectors != "teacher":
        _there(about.vectors, "config.augment.vectors")
    if about.text:
        read_own(task, Path(about.text).expanduser(), _hush)


def _there(name: str, key: str) -> None:
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"{key}={name} is no file (looked for {path.absolute()}).")


def _hush(text: str) -> None:
    """Says nothing: the same is said when it is read in earnest."""
