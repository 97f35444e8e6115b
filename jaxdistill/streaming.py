"""What a finished run says of texts, block by block: any number of rows in constant memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from jaxdistill import processes
from jaxdistill.data.batches import Table, make_table
from jaxdistill.data.blocks import Texts, blocked, piped
from jaxdistill.data.rows import check_input, read_rows
from jaxdistill.data.tables import Examples
from jaxdistill.data.task import Task
from jaxdistill.data.tokens import check_ids, cutting, encode
from jaxdistill.data.views import read_words
from jaxdistill.errors import UserError
from jaxdistill.files import replacing, sha256_file
from jaxdistill.notices import Notice, ignore
from jaxdistill.progress import Progress
from jaxdistill.runs import Run
from jaxdistill.scoring import by_row, make_forward, shared_out
from jaxdistill.sharding import place

DIGITS = 6
"""Significant digits of a probability or score: about what float32 holds."""


class Predictor:
    """A run's model, ready to be asked. Blocks share its programs, one for each length bucket.

    Calls are collective: each process reads and answers its share of a block.
    """

    def __init__(self, run: Run, mesh: Mesh) -> None:
        self.rows = 0
        """Asked so far."""
        self.read = 0
        """Tokens of these, special ones included; of a BiLSTM words."""
        self.cut = 0
        """Rows that lost their ends; of a BiLSTM also those just as long as it reads."""
        self._run, self._mesh = run, mesh
        self._forward = make_forward(run.model)
        self._params = place(run.params, mesh)
        self._tokenizer = run.tokens and cutting(run.tokens, run.description.max_length)

    def __call__(self, texts: Texts) -> np.ndarray:
        """Logits [N, C] float32 of N texts or pairs, at least one, in their order."""
        logits = shared_out(
            len(texts[0]), lambda span: self._ask(tuple(column[span] for column in texts))
        )
        broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        if len(broken):
            raise UserError(
                f"{self._run.folder}, stage {self._run.stage}, has no finite answer to row "
                f"{self.rows + broken[0]}: {logits[broken[0]].tolist()}. Try --precision float32, "
                f"or another --stage."
            )
        self.rows += len(logits)
        return logits

    def remark(self) -> str:
        """What is to be said of long rows; nothing where there were none. Collective."""
        cut = processes.total(self.cut)
        if not cut:
            return ""
        share, view = f"{cut:,} of {self.rows:,} rows", self._run.view
        if view is not None:
            return f"{share} have {view.most} words or more, and the model reads no more."
        most = self._run.description.max_length
        return f"{share} are longer than {most} tokens and lost their ends."

    def _ask(self, texts: Texts) -> np.ndarray:
        logits: np.ndarray = by_row(
            self._forward,
            self._params,
            self._table(texts),
            buckets=self._run.description.buckets,
            mesh=self._mesh,
            poll=ignore,
        )
        return logits

    def _table(self, texts: Texts) -> Table:
        """The texts as the model reads them."""
        count, view = len(texts[0]), self._run.view
        row = np.arange(count, dtype=np.int32)
        examples = Examples(row, texts, np.zeros(count, dtype=np.int32))
        if view is not None:
            words = read_words(texts, view, notice=ignore, poll=ignore)
            self.read += len(words.ids)
            full = np.diff(words.offsets).reshape(count, -1) >= view.most
            self.cut += int(full.any(axis=1).sum())
            return make_table(examples, None, words)
        assert self._tokenizer is not None, "a BERT has one"
        tokens, cut = encode(texts, self._tokenizer, self._run.description.max_length, ignore)
        check_ids(tokens, self._run.model.shape.vocab)
        self.read += len(tokens.ids)
        self.cut += cut
        return make_table(examples, tokens)


def stream(
    predictor: Predictor,
    task: Task,
    labels: tuple[str, ...],
    source: str,
    target: str,
    columns: tuple[str, ...],
    notice: Notice,
) -> None:
    """Answers every row of source in target, in order.

    Args:
      source: a file, read through once before anything is computed; "-" for standard input.
      target: as open_output has it.
      columns: of the texts in source; () for the task's own.

    Raises UserError as read_rows, piped, open_output and Predictor, and BrokenPipeError where
    nobody reads standard output any more.
    """
    if "-" not in (source, target) and _one_file(source, target):
        raise UserError(
            f"--input and --output are the same file, {target}: the answers would take the place "
            f"of the texts. Give --output another name."
        )
    with open_output(target) as write, ExitStack() as stack:
        shown = None
        if source == "-":
            if sys.stdin.isatty():
                notice("Reads a text a line from the terminal; Ctrl-D ends it.")
            blocks = piped(task, sys.stdin.fileno(), notice)
        else:
            path = Path(source).expanduser()
            check_input(path)
            remedy = "Give every machine the same file in --input."
            processes.same("The input (its SHA-256)", _sha256(path), remedy)
            total = sum(1 for _ in read_rows(task, path, columns, notice))
            blocks = blocked(read_rows(task, path, columns, ignore))
            if target != "-" and processes.lead():
                shown = stack.enter_context(Progress("predict", total, 0, 5.0))
        for texts in blocks:
            first, read = predictor.rows, predictor.read
            write(as_lines(first, answers(predictor(texts), labels, many=task.many)))
            if shown:
                shown.update(predictor.rows, {}, len(texts[0]), predictor.read - read)


def answers(
    logits: np.ndarray, labels: tuple[str, ...], *, many: bool = False
) -> list[dict[str, Any]]:
    """What is said of each row: {"label", "probabilities": {name: p}}; {"score"} of a regression.

    Args:
      logits: [N, C] float32.
      labels: C names, or () for a regression.
      many: whether a row has any number of labels: {"labels": [those above 1/2], "probabilities"}.
    """
    if not labels:
        return [{"score": _short(value)} for value in logits[:, 0].tolist()]
    if many:
        each = (0.5 * (1 + np.tanh(logits.astype(np.float64) / 2))).tolist()  # the sigmoid
        return [
            {
                "labels": [name for name, p in zip(labels, row, strict=True) if p > 0.5],
                "probabilities": {name: _short(p) for name, p in zip(labels, row, strict=True)},
            }
            for row in each
        ]
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares = (exponentials / exponentials.sum(axis=1, keepdims=True)).tolist()
    best = logits.argmax(axis=1).tolist()
    return [
        {
            "label": labels[winner],
            "probabilities": {name: _short(p) for name, p in zip(labels, row, strict=True)},
        }
        for winner, row in zip(best, shares, strict=True)
    ]


def as_lines(first: int, said: list[dict[str, Any]]) -> bytes:
    """One JSON object a line, numbered from `first`; UTF-8."""
    lines = (
        json.dumps({"row": row, **answer}, ensure_ascii=False, allow_nan=False) + "\n"
        for row, answer in enumerate(said, start=first)
    )
    return "".join(lines).encode("utf-8")


@contextmanager
def open_output(target: str) -> Iterator[Callable[[bytes], None]]:
    """What takes whole lines: "-" for standard output, where each call's go out at once; or a file.

    A file is there when the context ends, whole, or stays as it was. What exists and is no plain
    file (/dev/null, a named pipe) is written to as it is. Raises UserError if it cannot be opened.
    """
    if target == "-":

        def out(data: bytes) -> None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

        yield out
        return
    path = Path(target).expanduser().resolve()
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"is in no folder: there is no {path.parent}"
        raise UserError(f"{target} {what}. Give the name of a file to write the answers to.")
    try:
        if path.exists() and not path.is_file():
            with path.open("wb", buffering=0) as device:
                yield lambda data: _all(device.write, data)
        else:
            with replacing(path) as file:
                yield lambda data: _all(file.write, data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}.") from error


def _sha256(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error


def _one_file(source: str, target: str) -> bool:
    one, other = (Path(name).expanduser() for name in (source, target))
    return one.is_file() and other.is_file() and one.samefile(other)


def _all(write: Callable[[bytes], int], data: bytes) -> None:
    """Writes all of data; an unbuffered file may take a part of it at a time."""
    while data:
        data = data[write(data) :]


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
