"""What teachers say of a split's rows: computed once, kept on disk, shared by every run that asks.

cache_folder()/teacher/KEY holds logits.npy and, where asked for, cls.npy (rowstore.py). KEY is a
hash of all that the answers depend on: the teachers' parameters, shapes, tokenizers and weights,
the precision they run in, the token ids of every row (texts, as that tokenizer cut them to
config.data.max_length), the widths they are padded to, and the layers asked for.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxdistill import mirror, processes
from jaxdistill.data.batches import Table, rows_of
from jaxdistill.data.logits import mix
from jaxdistill.errors import UserError
from jaxdistill.files import Busy, Lock, canonical_json, folder_bytes
from jaxdistill.log import RunLog
from jaxdistill.manifest import parameters_sha256
from jaxdistill.methods.taught import taught
from jaxdistill.models.build import build
from jaxdistill.rowstore import RowStore
from jaxdistill.runs import Run
from jaxdistill.scoring import BATCH, by_row
from jaxdistill.sharding import place
from jaxdistill.types import Taught

FORMAT = 1
"""Part of the key; changes with what is stored or how it is computed."""
CHUNK = 2048
"""Rows computed between two writes: what a kill costs. Batches are cut within a chunk, so that a
row's answer has the same bits whichever chunks were found."""
WAIT_SECONDS = 0.5
"""Between two looks at whether another process has finished filling the same cache."""


class Question(NamedTuple):
    """What is asked, of whom. Equal questions about equal rows have equal answers."""

    teachers: tuple[Run, ...]
    weights: tuple[float, ...]
    """One for each teacher, their sum 1."""
    combine: str
    """"logits" or "probabilities": what is averaged over several teachers."""
    precision: str
    """Of the contractions, the stage's."""
    layers: tuple[int, ...]
    """Of the one teacher, from 1, whose [CLS] is asked for; () for logits alone."""
    buckets: tuple[int, ...]
    """Widths in tokens that rows are padded to."""


class Room(NamedTuple):
    """Where answers are kept, and by whom they are computed."""

    folder: Path
    """cache_folder()/teacher."""
    limit: float
    """Bytes that everything in it may take together."""
    mesh: Mesh
    log: RunLog
    poll: Callable[[], None]
    """Called before every batch; it may raise to stop."""


def cached_answers(
    question: Question, table: Table, room: Room, *, name: str, chunk: int = CHUNK
) -> Taught | None:
    """The teachers' answers for every row of the table, memory-mapped; None where no room is left.

    What is on disk is verified and used, what is missing or damaged is computed. Says in one line
    what was found and what it takes. Collective: processes share the chunks, and the first writes.

    Args:
      name: of the stage, for the bar.
      chunk: rows computed between two writes.

    Raises UserError where a teacher's answer is not finite, and whatever poll raises; then all
    chunks but the one at work are kept.
    """
    table = table._replace(words=None)  # a BiLSTM's: teachers' batches are as wide as tokens need
    about = describe(question, table, chunk)
    key = hashlib.sha256(canonical_json(about).encode()).hexdigest()
    shape, rows = question.teachers[0].model.shape, len(table.row)
    shapes: dict[str, tuple[int, ...]] = {"logits": (rows, shape.classes)}
    if question.layers:
        shapes["cls"] = (rows, len(question.layers), shape.width)
    store = RowStore(room.folder / key, about, shapes, chunk)
    begun = time.monotonic()
    with ExitStack() as alone:
        found = processes.led(lambda: _look(store, room, alone))
        refused = found["refused"] or _fill(question, table, room, store, found["sound"], name)
        if refused:
            return _refuse(question, room, refused)
    if found["damaged"]:
        room.log.notice(
            f"teacher cache: {found['damaged']} of {store.count} chunks in {store.folder} were "
            f"damaged and have been computed again"
        )
    there = sum(store.span(n).stop - store.span(n).start for n in found["sound"])
    room.log.notice(
        f"teacher cache {key[:12]}: {there:,} of {rows:,} rows found ({100 * there / rows:.0f}%), "
        f"{rows - there:,} computed, {time.monotonic() - begun:.1f} s, "
        f"{_gigabytes(store.size)} in {room.folder}"
    )
    arrays = RowStore(mirror.here(store.folder), about, shapes, chunk).read()
    return Taught(arrays["logits"], arrays["cls"] if question.layers else None)


def describe(question: Question, table: Table, chunk: int = CHUNK) -> dict[str, Any]:
    """All that the answers depend on, as plain data."""
    text = hashlib.sha256()
    for array in (table.offsets, table.second, table.ids):
        text.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
    teachers = [
        {
            "parameters": parameters_sha256(run.params),
            "model": run.description.model,
            "shape": dataclasses.asdict(run.model.shape),
            "tokenizer": hashlib.sha256(run.tokenizer.to_str().encode()).hexdigest(),
        }
        for run in question.teachers
    ]
    return {
        "format": FORMAT,
        "device": f"{jax.default_backend()} {jax.devices()[0].device_kind}",  # float32 is not one
        "teachers": teachers,
        "weights": question.weights,
        "combine": question.combine if len(teachers) > 1 else "",
        "precision": question.precision,
        "layers": question.layers,
        "buckets": question.buckets,
        "text": text.hexdigest(),
        "batch": BATCH,
        "chunk": chunk,
    }


def _look(store: RowStore, room: Room, alone: ExitStack) -> dict[str, Any]:
    """{"sound": chunks, "damaged": how many, "refused": why nothing can be added, or ""}.

    Where something is missing, the store is locked until alone is left.
    """

    def told(refused: str) -> dict[str, Any]:
        return {"sound": sorted(found.sound), "damaged": len(found.damaged), "refused": refused}

    found = store.check()  # without the lock: what is whole may lie where nobody can write
    if len(found.sound) == store.count:
        return told("")
    taken = folder_bytes(room.folder) - folder_bytes(store.folder)
    if taken + store.size > room.limit:
        return told(
            f"it would take {_gigabytes(store.size)} beside {_gigabytes(taken)} of others in "
            f"{room.folder}, and config.teacher.cache_gigabytes is {room.limit / 1e9:g}"
        )
    try:
        alone.enter_context(_alone(store.folder, room))
    except UserError as error:
        return told(str(error))
    found = store.check()  # the process that was waited for may have done it
    return told("")


def _fill(
    question: Question, table: Table, room: Room, store: RowStore, sound: list[int], name: str
) -> str:
    """Computes every chunk that is not sound and writes it; why it cannot be written, or ""."""
    missing = sorted({*range(store.count)} - {*sound})
    asked = [_ask(run, question, room) for run in question.teachers] if missing else []

    def answer(numbers: list[int]) -> dict[str, np.ndarray]:
        if not numbers:
            return {}
        part = rows_of(table, store.span(*numbers))
        answers = [ask(part) for ask in asked]
        logits = answers[0].logits
        if len(answers) > 1:
            logits = mix([a.logits for a in answers], question.weights, question.combine)
        arrays = {"logits": logits, **({"cls": answers[0].cls} if question.layers else {})}
        _check_finite(arrays, part, question.teachers)
        return arrays

    with room.log.progress(f"{name}: teacher cache", store.count, len(sound)) as bar:
        for first in range(0, len(missing), processes.count()):
            now = missing[first : first + processes.count()]
            mine = now[processes.index() :][:1]
            found = processes.pooled(partial(answer, mine))
            refused = processes.led(partial(_write, store, dict(zip(now, found, strict=False))))
            if refused:
                return refused
            spans = [store.span(number) for number in now]
            rows = sum(span.stop - span.start for span in spans)
            read = sum(int(table.offsets[span.stop] - table.offsets[span.start]) for span in spans)
            bar.update(len(sound) + first + len(now), {}, rows, read)
    return ""


def _write(store: RowStore, chunks: dict[int, dict[str, np.ndarray]]) -> str:
    """Why they cannot be written, or ""."""
    try:
        for number, arrays in chunks.items():
            store.write(number, arrays)
    except OSError as error:
        return f"{store.folder} cannot be written: {error.strerror}"
    return ""


def _ask(run: Run, question: Question, room: Room) -> Callable[[Table], Any]:
    """A function that gives a teacher's Taught of a table, on this process's devices."""
    model = build(run.description.model, run.description.shape, question.precision)
    layers = question.layers
    forward = jax.jit(lambda params, batch: taught(model, {"teacher": params}, batch, layers))
    params = place(run.params, room.mesh)

    def ask(part: Table) -> Any:
        return by_row(
            forward, params, part, buckets=question.buckets, mesh=room.mesh, poll=room.poll
        )

    return ask


def _check_finite(arrays: dict[str, np.ndarray], part: Table, teachers: tuple[Run, ...]) -> None:
    for name, array in arrays.items():
        finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if not finite.all():
            raise UserError(
                f"The {name} that the teacher {' or '.join(str(t.folder) for t in teachers)} gives "
                f"for train row {part.row[np.argmin(finite)]} is not finite: its training has "
                f"diverged. Train it again with a lower learning rate, or give another in "
                f"config.teacher.run."
            )


@contextmanager
def _alone(folder: Path, room: Room) -> Iterator[None]:
    """The folder's lock, once nobody else fills the same cache; a UserError where it has none."""
    lock, told = Lock(folder), False
    while True:
        try:
            lock.__enter__()
            break
        except Busy:
            if not told:
                room.log.notice(f"teacher cache: another process is filling {folder}; waiting")
            told = True
            room.poll()
            time.sleep(WAIT_SECONDS)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _refuse(question: Question, room: Room, why: str) -> Taught | None:
    """None, with a notice that says why; a UserError where the step cannot ask instead."""
    if len(question.teachers) > 1:
        raise UserError(
            f"Several teachers are combined in the teacher cache, and there is no room for it: "
            f"{why}. Make room, or name another folder in the environment's JAXDISTILL_CACHE."
        )
    room.log.notice(f"teacher cache: {why}. The teacher runs in the step instead.")
    return None


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"
