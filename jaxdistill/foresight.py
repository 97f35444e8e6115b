"""What is known to be missing before a teacher is trained for hours: files, packages, columns."""

from __future__ import annotations

from pathlib import Path

from jaxdistill import processes
from jaxdistill.augmentation import AugmentConfig, asks_jieba, check_confidence
from jaxdistill.bilstm_section import TEXTS, BiLstmConfig
from jaxdistill.bilstm_start import names_file
from jaxdistill.data.augment.added import read_own
from jaxdistill.data.augment.words import load_jieba
from jaxdistill.data.logits import read_logits
from jaxdistill.data.splitters import Splitter, split
from jaxdistill.data.tasks import Task
from jaxdistill.data.vectors import check_width, width_of
from jaxdistill.errors import UserError
from jaxdistill.gate import one_answer, same_answer
from jaxdistill.inputs import read_splits
from jaxdistill.models.hub import check_there
from jaxdistill.notices import ignore
from jaxdistill.origins import KEYWORDS
from jaxdistill.own_section import check_many, settled
from jaxdistill.sections import Config, ModelConfig
from jaxdistill.sketch import check_method
from jaxdistill.teachers import LOOKS_LIKE_A_RUN


def foresee(config: Config, task: Task, recipe: Config) -> None:
    """Raises UserError for what the run would refuse after its teacher was trained. Collective:
    process 0 looks.

    Args:
      recipe: of that teacher.

    What is right it leaves alone: everything is read again, and told, when its time comes.
    """

    def look() -> None:
        known = settled(task, config.data, ignore)
        check_many(config, known)
        if isinstance(config.start, BiLstmConfig):
            _words_of(config.start, config.start_key, recipe)
        else:
            _source(config.start.source, f"{config.start_key}.source", recipe)
        check_method(config, known, recipe)
        _beside(config, known)
        if known.own and config.teacher and config.teacher.margin >= 0:
            dev = read_splits(known, config.data, ignore)["dev"]
            if same_answer(dev.labels):
                raise UserError(one_answer("dev"))
        if config.augment and config.augment.name != "none":
            _added_by(config.augment, known, recipe)

    processes.led(look)


def _beside(config: Config, task: Task) -> None:
    """What teaches beside the teacher's run."""
    about = config.teacher
    if about and about.logits:
        _there(about.logits, "config.teacher.logits")
        rows = read_splits(task, config.data, ignore)["train"].row
        whole = config.data.train_rows == 0 and not task.held_out
        read_logits(task, about.logits, rows, whole=whole, notice=ignore)
    for name in about.others if about else ():
        report = Path(name).expanduser().absolute() / "report.json"
        if not report.is_file():
            raise UserError(
                f"config.teacher.others names {name}, which holds no finished run (looked for "
                f"{report}). Train it first, or leave it out."
            )


def _source(name: str, key: str, recipe: Config) -> None:
    """A folder that something starts from, or a model of the hub, which must be within reach."""
    will_be = Path(recipe.workdir).expanduser().absolute()
    paths = [Path(each).expanduser() for each in (name, name.rpartition(":")[0] or name)]
    if name in KEYWORDS or any(path.is_dir() or path.absolute() == will_be for path in paths):
        return
    if name.startswith(LOOKS_LIKE_A_RUN):
        raise UserError(f"{key}={name} is no folder (looked for {paths[-1].absolute()}).")
    check_there(name)


def _words_of(about: BiLstmConfig, where: str, recipe: Config) -> None:
    if about.view != "wordpieces":
        split([""], Splitter(about.view, about.lower), lambda: None)  # loads what it needs
    if about.vocabulary not in ("", TEXTS):
        _there(about.vocabulary, f"{where}.vocabulary")
    if names_file(about.vectors):
        _there(about.vectors, f"{where}.vectors")
        path = Path(about.vectors).expanduser()
        check_width(path, width_of(path), about.width, where)
        return
    _source(about.vectors, f"{where}.vectors", recipe)
    start = recipe.model
    if not isinstance(start, ModelConfig) or start.source != "random":
        return
    if about.vectors == "pretrained":
        raise UserError(
            f"{where}.vectors is pretrained, and the teacher begins with drawn ones "
            f"(config.teacher.recipe.model.source=random). Set {where}.vectors=teacher for its "
            f"own, or random, or name a file or a BERT."
        )
    if about.vectors == "teacher" and start.width and start.width < about.width:
        raise UserError(
            f"{where}.width is {about.width}, and the teacher's word vectors will have "
            f"{start.width} numbers: they can be made narrower and not wider. Set {where}.width "
            f"to at most that, or take vectors of another source."
        )


def _added_by(about: AugmentConfig, task: Task, recipe: Config) -> None:
    check_confidence(about, task)
    if asks_jieba(about):
        load_jieba()
    if about.name == "tinybert" and about.model:
        _source(about.model, "config.augment.model", recipe)
    if about.name == "tinybert" and about.vectors and about.vectors != "teacher":
        _there(about.vectors, "config.augment.vectors")
    if about.text:
        read_own(task, Path(about.text).expanduser(), ignore)


def _there(name: str, key: str) -> None:
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"{key}={name} is no file (looked for {path.absolute()}).")
