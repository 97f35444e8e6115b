"""A folder of data sets and checkpoints, fetched once, that later runs read without a network.

FOLDER/glue/SST-2/train.tsv   GLUE's tasks in GLUE's own layout: config.data.folder=FOLDER/glue
FOLDER/data/...               other tasks, in the same manner: config.data.folder=FOLDER/data
FOLDER/bert-base-uncased/     a checkpoint in Hugging Face's: config.teacher.source=...
FOLDER/manifest.json          {"files": {path: {"sha256", "bytes", "source", "rows"?}}}
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from jaxdistill.data.glue import GLUE
from jaxdistill.data.readers import read_split
from jaxdistill.data.tables import Examples
from jaxdistill.data.task import Task
from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.data.writing import as_file, one_line
from jaxdistill.errors import UserError
from jaxdistill.files import read_json, replacing, sha256_file, write_atomic, write_json
from jaxdistill.models.hub import TOKENIZER_FILES, download, is_hub_name
from jaxdistill.models.tensorfiles import WEIGHTS, weight_files
from jaxdistill.notices import Notice

MANIFEST = "manifest.json"
VERSION = 1


class Assets:
    """The folder and its manifest, which is written after every file: what is there is kept."""

    def __init__(self, folder: Path, notice: Notice) -> None:
        """Opens the folder, or one that is to be made.

        Args:
          notice: is told of every file, and what is odd about one.

        Raises UserError for a manifest that is not one of ours.
        """
        self.folder, self._notice = folder, notice
        self._files: dict[str, dict[str, Any]] = {}
        path = folder / MANIFEST
        if path.is_file():
            found = read_json(path)
            if (
                not isinstance(found, dict)
                or {*found} != {"version", "files"}
                or (found["version"] != VERSION)
            ):
                raise UserError(f"{path} is none that this version writes. Give another --output.")
            self._files = found["files"]

    def fetch_task(self, task: Task) -> Path:
        """Brings every split of the task; returns the folder for config.data.folder.

        Raises UserError where the hub does not give it, or gives other rows than can be read back.
        """
        where = "glue" if task in GLUE else "data"
        assert task.hub is not None, "the verb asks for tasks that the hub has"
        for split, name in task.files.items():
            path = f"{where}/{task.folder}/{name}"
            if self._sound(path):
                continue
            source = " ".join((task.hub.path, task.hub.config, task.hub.splits[split]))
            examples = read_split(task, split, "", self._notice)
            try:
                (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
                write_atomic(self.folder / path, as_file(task, split, examples))
            except OSError as error:
                raise self._unwritten(path, error) from error
            again = read_split(task, split, self.folder / where, lambda text: None)
            _same(task, split, self.folder / path, examples, again)
            self._keep(path, source, rows=len(examples.row))
        return self.folder / where

    def fetch_model(self, name: str) -> Path:
        """Brings a checkpoint's config, weights and tokenizer; returns the folder for a source.

        Raises UserError for what is no hub name, no BERT, not to be had, or not what the hub says.
        """
        if not is_hub_name(name):
            raise UserError(
                f"--model {name} is no hub name (name or owner/name). A local folder needs no "
                f"fetching: give it as config.teacher.source or config.model.source."
            )
        target = name.rpartition("/")[2]
        others = {
            about["source"] for path, about in self._files.items() if path.startswith(f"{target}/")
        }
        if others - {name}:
            raise UserError(
                f"{self.folder / target} holds {min(others)}, which ends as {name} does. Give one "
                f"of them another --output."
            )
        known = [path for path in self._files if path.startswith(f"{target}/")]
        sound = [self._sound(path) for path in known]
        if all(sound) and self._complete(target):
            return self.folder / target
        found = download(name)
        load_tokenizer(found)
        index = next(weights for weights in WEIGHTS if (found / weights).is_file())
        names = dict.fromkeys(
            ["config.json", *TOKENIZER_FILES, *(p.name for p in weight_files(found)), index]
        )
        for file in names:
            path = f"{target}/{file}"
            if (found / file).is_file() and not (path in known and self._sound(path, quiet=True)):
                try:
                    (self.folder / target).mkdir(parents=True, exist_ok=True)
                    _copy(found / file, self.folder / path)
                except OSError as error:
                    raise self._unwritten(path, error) from error
                self._keep(path, name)
        return self.folder / target

    def _complete(self, target: str) -> bool:
        """Whether the manifest has all of a checkpoint, whose weights come last."""
        try:
            weights = weight_files(self.folder / target)
        except UserError:
            return False
        return all(f"{target}/{path.name}" in self._files for path in weights)

    def _sound(self, path: str, quiet: bool = False) -> bool:
        """Whether the file is as the manifest has it; says so."""
        if path not in self._files or not (self.folder / path).is_file():
            return False
        if sha256_file(self.folder / path) != self._files[path]["sha256"]:
            self._notice(f"{self.folder / path} has changed since it was fetched: fetched again")
            return False
        if not quiet:
            self._notice(f"{self.folder / path}: there already, sha256 as in {MANIFEST}")
        return True

    def _keep(self, path: str, source: str, **more: Any) -> None:
        """Enters a file in the manifest."""
        file = self.folder / path
        digest, size = sha256_file(file), file.stat().st_size
        self._files[path] = {"sha256": digest, "bytes": size, "source": source, **more}
        write_json(self.folder / MANIFEST, {"version": VERSION, "files": self._files})
        rows = f"{more['rows']:,} rows, " if more else ""
        self._notice(f"{file}: {rows}{size / 1e6:,.2f} MB, sha256 {digest[:12]}")

    def _unwritten(self, path: str, error: OSError) -> UserError:
        return UserError(
            f"{self.folder / path} cannot be written: {error.strerror or error}. What is complete "
            f"is kept; the same command goes on from there."
        )


def _copy(source: Path, target: Path) -> None:
    """Copies a file out of the hub's cache, whole or not at all.

    The cache names large files by the SHA-256 that the hub states, which nobody has compared yet.
    """
    stated = source.resolve().name
    if re.fullmatch("[0-9a-f]{64}", stated) and sha256_file(source) != stated:
        raise UserError(
            f"{source} has not the SHA-256 that the hub states, {stated}: it was damaged on its "
            f"way. Delete {source.resolve()} and run the same command again."
        )
    with replacing(target) as file, source.open("rb") as original:
        shutil.copyfileobj(original, file, 1 << 20)


def _same(task: Task, split: str, path: Path, fetched: Examples, read: Examples) -> None:
    """Refuses a file that does not read as what was fetched."""
    labels = task.layout(split).label is not None
    rows = list(zip(*fetched.texts, fetched.labels.tolist(), strict=True))
    found = list(zip(*read.texts, read.labels.tolist(), strict=True))
    for row, (one, other) in enumerate(zip(rows, found, strict=False)):
        texts = tuple(one_line(str(text)) for text in one[:-1])
        if texts != other[:-1] or (labels and one[-1] != other[-1]):
            raise UserError(
                f"{path}, row {row}, reads as {other!r}, but the hub has {one!r}: {task.name} "
                f"{split} cannot be kept as a file. Leave config.data.folder empty for it."
            )
    if len(rows) != len(found):
        raise UserError(
            f"{path} reads as {len(found):,} rows, but the hub has {len(rows):,} of {task.name} "
            f"{split}: it cannot be kept as a file. Leave config.data.folder empty for it."
        )
