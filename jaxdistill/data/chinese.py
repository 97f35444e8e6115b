"""The Chinese tasks of the seed documents, each file two columns: a text and its label.

Copies differ in header, order and how labels are written, so these tasks are `detected`. Two of
them come from THUCNews (Sun et al. 2016, THUCTC) and are not to be confused: `cnews` has whole
articles with Chinese class names, `thucnews` has titles with numbers, for other classes.

Source: seed documents 000 to 003, and the files they name; row counts as distributed.
"""

from __future__ import annotations

from collections.abc import Mapping

from jaxdistill.data.task import Hub, Layout, Task

_LABEL_FIRST = Layout(False, (1,), 0)
_TEXT_FIRST = Layout(False, (0,), 1)
_TSV = {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}
_TXT = {"train": "train.txt", "dev": "dev.txt", "test": "test.txt"}
_OF_TEN = ("accuracy", "macro_precision", "macro_recall", "macro_f1")


def _sentiment(
    name: str,
    *,
    folder: str,
    files: Mapping[str, str],
    rows: Mapping[str, int],
    metrics: tuple[str, ...] = ("accuracy",),
    hub: Hub | None = None,
) -> Task:
    return Task(
        name=name,
        folder=folder,
        files=files,
        labelled=_LABEL_FIRST,
        unlabelled=_LABEL_FIRST,
        detected=True,
        text_names=("text_a",),
        label_name="label",
        labels=("negative", "positive"),
        written=("0", "1"),
        metrics=metrics,
        selection="accuracy",
        rows=rows,
        hub=hub,
    )


def _domain(name: str) -> Task:
    """Reviews of one kind of goods. The names of the files are kept: dev is the larger one."""
    rows = {"train": 1000, "dev": 8000, "test": 1000}
    return _sentiment(name, folder=name, files=_TXT, rows=rows, metrics=("accuracy", "f1"))


CHINESE = (
    _sentiment(
        "chnsenticorp",
        folder="chnsenticorp",
        files=_TSV,
        rows={"train": 9600, "dev": 1200, "test": 1200},
        hub=Hub(
            "lansinuote/ChnSentiCorp",
            "",
            {"train": "train", "dev": "validation", "test": "test"},
            ("text",),
            "label",
        ),
    ),
    # 28% of dev above is verbatim in train: a flattering number. Here duplicates and texts with
    # both labels are gone.
    _sentiment(
        "chnsenticorp_dedup",
        folder="chnsenticorp-dedup",
        files=_TSV,
        rows={"train": 7566, "dev": 1169},
    ),
    Task(
        name="thucnews",
        folder="thucnews",
        files=_TXT,
        labelled=_TEXT_FIRST,
        unlabelled=_TEXT_FIRST,
        detected=True,
        text_names=("text",),
        label_name="label",
        labels=(
            "finance",
            "realty",
            "stocks",
            "education",
            "science",
            "society",
            "politics",
            "sports",
            "game",
            "entertainment",
        ),
        written=tuple("0123456789"),
        names_file="class.txt",
        metrics=_OF_TEN,
        selection="macro_f1",
        rows={"train": 180000, "dev": 10000, "test": 10000},
    ),
    Task(
        name="cnews",
        folder="cnews",
        files={"train": "cnews.train.txt", "dev": "cnews.val.txt", "test": "cnews.test.txt"},
        labelled=_LABEL_FIRST,
        unlabelled=_LABEL_FIRST,
        detected=True,
        text_names=("text",),
        label_name="label",
        labels=tuple("体育 财经 房产 家居 教育 科技 时尚 时政 游戏 娱乐".split()),
        written=tuple("体育 财经 房产 家居 教育 科技 时尚 时政 游戏 娱乐".split()),
        metrics=_OF_TEN,
        selection="macro_f1",
        rows={"train": 50000, "dev": 5000, "test": 10000},
    ),
    *(_domain(name) for name in ("hotel", "clothing", "fruit", "pda", "shampoo")),
)
"""The rows of TASKS that are in Chinese and not generated."""
