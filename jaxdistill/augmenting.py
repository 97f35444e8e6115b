"""Rows added to the train rows as config.augment says: made once, kept on disk, checked again.

cache_folder()/augmented/KEY holds what is made (data/augment/made.py). KEY is a hash of all that it
depends on: the texts and their numbers, the section's values, and what was found in the train
texts, the masked-LM and the vectors. RUN/augmented has a hash of what the run began with, and some
rows to look at.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxdistill import processes
from jaxdistill.augmentation import AugmentConfig, asks_jieba, check_confidence
from jaxdistill.data.augment.added import Added, assemble, judged, keep
from jaxdistill.data.augment.made import CHUNK, Chunks, Copy, Report, make
from jaxdistill.data.augment.words import load_jieba
from jaxdistill.data.tables import Examples
from jaxdistill.files import cache_folder, canonical_json, read_json, write_atomic
from jaxdistill.inputs import make_split, same_data
from jaxdistill.makers import Maker, Room, make_maker
from jaxdistill.scoring import make_forward, predict
from jaxdistill.sharding import place

FORMAT = 1
"""Part of the key; changes with what is made or how it is stored."""
SAMPLE = 200
"""Added rows that RUN/augmented/sample.jsonl shows, at most."""


def augment(
    about: AugmentConfig,
    splits: Mapping[str, Examples],
    own: Sequence[tuple[int, tuple[str, ...]]],
    room: Room,
) -> tuple[Examples, dict[str, int]]:
    """The train rows with those that are added, and the counts of both.

    Args:
      splits: "train", and those to judge by, of which no text is added.
      own: what read_own found in about.text, if that is given.

    Raises UserError where a model or vectors cannot be read, the teacher cannot judge, or a
    run that is gone on with began with other rows; and whatever room.poll raises.
    """
    check_confidence(about, room.task)
    train = splits["train"]
    made: list[Copy] = []
    per_row = 1
    if about.name != "text":
        maker = make_maker(about, train, room)
        made, per_row = _make(about, train, maker, room), maker.work.per_row(len(train.texts))
    added = assemble(
        train,
        own,
        made,
        per_row=per_row,
        labels=about.labels,
        others=judged(splits),
    )
    if about.confidence:
        first = added.counts["original"]
        texts = tuple(column[first:] for column in added.examples.texts)
        added = keep(added, _confidence(texts, room) >= about.confidence)
    said = ", ".join(f"{count:,} {name}" for name, count in added.counts.items())
    room.log.notice(f"augment {about.name}: {len(added.source):,} rows to train on ({said})")
    folder = room.folder / "augmented"
    folder.mkdir(exist_ok=True)
    same_data(room.folder, {"augmented": added.examples}, "augmented/data.json")
    rows = json.dumps(read_json(folder / "data.json"), sort_keys=True)
    remedy = "Give every machine the same files, and the same versions of what cuts words."
    processes.same("What was added (augmented/data.json)", rows, remedy)
    _show(folder / "sample.jsonl", added)
    return added.examples, added.counts


def _make(about: AugmentConfig, train: Examples, maker: Maker, room: Room) -> list[Copy]:
    """The copies of the train rows, from the cache where they are there. Collective: processes
    share the chunks.
    """
    identity = {
        "format": FORMAT,
        "name": about.name,
        "copies": about.copies,
        "seed": about.seed,
        "words": about.words,
        "chunk": CHUNK,
        "text": _digest(train),
        **maker.identity,
    }
    if asks_jieba(about):
        identity["jieba"] = load_jieba().__version__
    key = hashlib.sha256(canonical_json(identity).encode()).hexdigest()
    chunks = Chunks(cache_folder() / "augmented" / key)
    total = -(-len(train.row) // CHUNK)
    shares = processes.span(total)
    with room.log.progress(f"augment: {about.name}", shares.stop - shares.start, 0) as bar:
        report = Report(
            poll=room.poll,
            done=lambda there, rows: bar.update(there, {}, rows, 0),
            notice=room.log.notice,
        )

        def mine() -> list[Copy]:
            span = slice(shares.start * CHUNK, shares.stop * CHUNK)
            return make(
                train.row[span].tolist(),
                [column[span] for column in train.texts],
                maker.work,
                maker.prepare,
                chunks,
                report,
                workers=about.workers,
                first=shares.start,
            )

        if processes.count() == 1:
            return mine()

        def act() -> dict[str, np.ndarray]:
            data = json.dumps([[each.row, each.copy, *each.texts] for each in mine()])
            return {"copies": np.frombuffer(data.encode("ascii"), np.uint8)}

        found = [json.loads(bytes(each["copies"])) for each in processes.pooled(act)]
    return [Copy(row, copy, tuple(texts)) for part in found for row, copy, *texts in part]


def _confidence(texts: tuple[list[str], ...], room: Room) -> np.ndarray:
    """[N], the teacher's largest probability of each text."""
    teacher = room.teacher
    assert teacher is not None, "checked() saw to it"
    count = len(texts[0])
    if not count:
        return np.zeros(0)
    about = teacher.description
    none = np.zeros(count, np.int32)
    table = make_split(
        Examples(none, texts, none),
        teacher.tokenizer,
        about.max_length,
        teacher.model.shape.vocab,
        room.log.notice,
        room.poll,
    )
    logits = predict(
        make_forward(teacher.bert),
        place(teacher.params, room.mesh),
        table,
        buckets=about.buckets,
        mesh=room.mesh,
        poll=room.poll,
    ).astype(np.float64)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    largest: np.ndarray = (shares / shares.sum(1, keepdims=True)).max(1)
    return largest


def _show(path: Path, added: Added) -> None:
    """Some of the added rows, evenly from all of them, each with the row it was made of."""
    first, count = added.counts["original"], len(added.source)
    step = max(1, -(-(count - first) // SAMPLE))
    lines = [
        json.dumps(
            {
                "row": int(added.examples.row[at]),
                "source": int(added.source[at]),
                "label": added.examples.labels[at].tolist(),
                "texts": [column[at] for column in added.examples.texts],
            },
            ensure_ascii=False,
        )
        for at in range(first, count, step)
    ]
    write_atomic(path, "".join(f"{line}\n" for line in lines))


def _digest(train: Examples) -> str:
    total = hashlib.sha256(train.row.astype("<i4").tobytes())
    for column in train.texts:
        lengths = np.fromiter(map(len, column), dtype="<i8", count=len(column))
        total.update(lengths.tobytes())
        total.update("".join(column).encode("utf-8", "surrogatepass"))
    return total.hexdigest()
