"""Plain text without labels: a file or a folder of .txt, one text a line, some of it held out."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from jaxdistill.data.tables import Examples, clean, decode
from jaxdistill.errors import UserError
from jaxdistill.notices import Notice


def read_corpus(name: str, held_out: float, notice: Notice) -> dict[str, Examples]:
    """The texts as "train" and "dev", in the order of the files; `row` counts all texts together.

    Blank lines are no texts. The texts whose SHA-256 sorts first are held out: which ones is a
    function of the texts alone, and a text that occurs twice is on one side.

    Args:
      name: a .txt file, or a folder whose .txt files, those in folders within it too, are read in
        the order of their paths.
      held_out: the share of the different texts that goes to dev, one at least.

    Raises UserError for a path that is not there or has no .txt, fewer than two different texts,
    and bytes that are no text (see encoding.decode).
    """
    path = Path(os.path.expanduser(name))
    files = text_files(path, name)
    texts, said = list[str](), ""
    for file in files:
        remarks = list[str]()
        lines = decode(file, remarks.append).split("\n")
        texts += [text for line in lines if (text := clean(line))]
        said += "".join(f"; {file} is {remark}" for remark in remarks)
    different = sorted(set(texts), key=_digest)
    if len(different) < 2:
        raise UserError(
            f"config.data.corpus={name} has {len(different)} different text(s) in {len(files)} "
            f"file(s), and needs two at least: one to learn from and one to hold out. Give files "
            f"with one text a line."
        )
    count = min(max(1, round(held_out * len(different))), len(different) - 1)
    kept_back = set(different[:count])
    chosen = np.array([text in kept_back for text in texts])
    found = {
        split: _examples(texts, np.flatnonzero(which))
        for split, which in (("train", ~chosen), ("dev", chosen))
    }
    notice(
        f"{name}: {len(texts):,} texts in {len(files):,} file(s), {len(found['dev'].row):,} of "
        f"them held out{said}"
    )
    return found


def text_files(path: Path, name: str) -> list[Path]:
    """The .txt files of config.data.corpus=name, in the order of their paths; see read_corpus."""
    where = f"config.data.corpus={name}"
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() == ".txt" and p.is_file())
        if not files:
            raise UserError(f"{where} is a folder without a .txt file. Give one that has some.")
        return files
    if not path.is_file():
        raise UserError(f"{where} is not there. Give a .txt file, or a folder that has some.")
    if path.suffix.lower() != ".txt":
        raise UserError(
            f"{where} ends in {path.suffix or 'nothing'!r}, and a corpus is plain text, one text a "
            f"line, in files that end in .txt. Write its texts into one."
        )
    return [path]


def _examples(texts: list[str], rows: np.ndarray) -> Examples:
    chosen = [texts[row] for row in rows.tolist()]
    return Examples(rows.astype(np.int32), (chosen,), np.full(len(rows), -1, np.int32))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8")).digest()
