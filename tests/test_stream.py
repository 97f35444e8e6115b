"""A corpus as a stream: blocks, lanes, batches, held-out text, and going on anywhere."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdistill.data import lanes as lanes_module
from jaxdistill.data import stream as stream_module
from jaxdistill.data import textfiles
from jaxdistill.data.heldout import held_out_table
from jaxdistill.data.hubtexts import HubTexts
from jaxdistill.data.lanes import Lane, held_out
from jaxdistill.data.order import BLOCKS, permutation
from jaxdistill.data.stream import Layout, Stream, open_corpus
from jaxdistill.data.textfiles import open_files, scan
from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.errors import UserError

BLOCK = 4
LAYOUT = Layout(length=9, size=6, lanes=3, epoch=4, held_out=0.2, seed=5)


def ignore(text: str) -> None:
    pass


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(tiny.write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


@pytest.fixture(scope="module")
def texts() -> list[list[str]]:
    """Of three files, all different; some are longer than a sequence, some blank."""
    rng = np.random.default_rng(0)
    words = [*tiny.GOOD, *tiny.BAD, *tiny.PLAIN]
    found = []
    for size in (41, 1, 22):
        lines = [" ".join(rng.choice(words, rng.integers(1, 25))) for _ in range(size)]
        lines[len(lines) // 2 :: 9] = ["  "] * len(lines[len(lines) // 2 :: 9])
        found.append(lines)
    return found


@pytest.fixture(scope="module")
def folder(texts, tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus")
    for name, lines in zip("abc", texts, strict=True):
        (path / f"{name}.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture
def corpus(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(textfiles, "BLOCK", BLOCK)
    return open_files(str(folder), tmp_path, ignore)


def expected(texts, tokenizer, layout: Layout, batches: int) -> np.ndarray:
    """[batches, B, T]: the stream's definition, token by token, all of it in memory."""
    blocks = [part[at : at + BLOCK] for part in texts for at in range(0, len(part), BLOCK)]
    vocab = tokenizer.get_vocab()
    found = []
    for lane in range(layout.lanes):
        wanted, rows, row = batches * layout.size // layout.lanes, [], []
        for passed in count():
            order = permutation(len(blocks), seed=layout.seed, purpose=BLOCKS, epoch=passed)
            for block in order[lane :: layout.lanes]:
                for text in blocks[block]:
                    if not text.strip() or held_out(text, layout.held_out):
                        continue
                    for piece in ([vocab["[SEP]"]] if row else []) + [
                        vocab[word] for word in text.split()
                    ]:
                        row.append(piece)
                        if len(row) == layout.length - 2:
                            rows.append([vocab["[CLS]"], *row, vocab["[SEP]"]])
                            row = []
            if len(rows) >= wanted:
                break
        share = layout.size // layout.lanes
        found.append(np.array(rows[:wanted]).reshape(batches, share, layout.length))
    return np.concatenate(found, axis=1)


def read(stream: Stream, numbers) -> list[np.ndarray]:
    return [stream[number].input_ids for number in numbers]


# ---- the order


def test_the_stream_is_its_definition(texts, corpus, tokenizer):
    """Through the corpus several times."""
    stream = Stream(corpus, tokenizer, LAYOUT, np.arange(6))
    wanted = expected(texts, tokenizer, LAYOUT, 50)
    np.testing.assert_array_equal(read(stream, range(50)), wanted)
    assert min(place[0] for place in stream.position(50)) >= 2
    batch = stream[50]
    assert batch.row.tolist() == [300, 301, 302, 303, 304, 305]
    assert batch.mask.all() and batch.weight.all() and not batch.segments.any()
    assert (batch.labels == -1).all()
    stream.close()


def test_one_slot_left_after_a_text_is_a_separator(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("the film is\nfine a story of\ngreat plot\n", "utf-8")
    found = open_files(str(tmp_path), tmp_path, ignore)
    lane = Lane(found, tokenizer, 6, keep=lambda text: True, once=True)
    vocab = {number: piece for piece, number in tokenizer.get_vocab().items()}
    said = [" ".join(vocab[int(i)] for i in lane.take()) for _ in range(4)]
    assert said == [
        "[CLS] the film is [SEP] [SEP]",
        "[CLS] fine a story of [SEP]",
        "[CLS] great plot [SEP]",
        "",
    ]


@pytest.mark.parametrize("shares", [[(0, 1, 2, 3), (4, 5)], [(0, 3, 5), (1,), (2, 4)]])
def test_shares_of_processes_are_the_whole(shares, corpus, tokenizer):
    whole = Stream(corpus, tokenizer, LAYOUT, np.arange(6))
    parts = [Stream(corpus, tokenizer, LAYOUT, np.array(share)) for share in shares]
    order = np.argsort(np.concatenate(shares))
    for number in range(8):
        for field in ("input_ids", "row"):
            joined = np.concatenate([getattr(part[number], field) for part in parts])[order]
            np.testing.assert_array_equal(joined, getattr(whole[number], field))


def test_a_process_reads_its_own_lanes_alone(corpus, tokenizer, monkeypatch):
    asked: list[int] = []
    read_block = corpus.read
    monkeypatch.setattr(
        corpus, "read", lambda block, skip: asked.append(block) or read_block(block, skip)
    )
    monkeypatch.setattr(stream_module, "AHEAD", 1)
    order = permutation(len(corpus), seed=LAYOUT.seed, purpose=BLOCKS, epoch=0)
    stream = Stream(corpus, tokenizer, LAYOUT, np.array([2, 3]))
    read(stream, range(4))
    assert set(asked) <= set(order[1::3].tolist())
    stream.close()


# ---- going on


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(st.integers(0, 25), min_size=1, max_size=3),
    length=st.integers(3, 14),
    mine=st.sets(st.integers(0, 5), min_size=1).map(sorted),
    ahead=st.integers(1, 4),
)
def test_going_on_at_any_batch_is_the_same(texts, folder, tokenizer, steps, length, mine, ahead):
    layout = Layout(length=length, size=6, lanes=3, epoch=4, held_out=0.2, seed=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(textfiles, "BLOCK", BLOCK)
        patch.setattr(stream_module, "AHEAD", ahead)
        corpus = open_files(str(folder), folder, ignore)
        wanted = expected(texts, tokenizer, layout, 28)[:, mine]
        stream = Stream(corpus, tokenizer, layout, np.array(mine))
        for step in steps:  # forwards and backwards, in one process
            np.testing.assert_array_equal(stream[step].input_ids, wanted[step])
        position = json.loads(json.dumps(stream.position(steps[-1] + 1)))
        other = Stream(corpus, tokenizer, layout, np.array(mine))
        other.seek(steps[-1] + 1, position)
        assert other.position(steps[-1] + 1) == position
        numbers = range(steps[-1] + 1, steps[-1] + 3)
        np.testing.assert_array_equal(read(other, numbers), wanted[list(numbers)])
        stream.close()
        other.close()


def test_going_on_reads_no_block_before(corpus, tokenizer, monkeypatch):
    stream = Stream(corpus, tokenizer, LAYOUT, np.arange(6))
    read(stream, range(5))
    position = stream.position(5)
    stream.close()
    asked = []
    block = corpus.read
    monkeypatch.setattr(
        corpus, "read", lambda number, skip: asked.append((number, skip)) or block(number, skip)
    )
    monkeypatch.setattr(stream_module, "AHEAD", 1)
    other = Stream(corpus, tokenizer, LAYOUT, np.arange(6))
    other.seek(5, position)
    assert len(other[5].row) == 6
    order = permutation(len(corpus), seed=LAYOUT.seed, purpose=BLOCKS, epoch=0)
    for lane, (passed, done, text, _) in enumerate(position):
        assert passed == 0
        mine = order[lane::3].tolist()
        seen = [(number, skip) for number, skip in asked if number in mine]
        assert seen[0] == (mine[done], text)
        assert not {number for number, _ in seen} & set(mine[:done])


def test_places_of_several_processes_come_together(corpus, tokenizer):
    whole = Stream(corpus, tokenizer, LAYOUT, np.arange(6))
    parts = [Stream(corpus, tokenizer, LAYOUT, np.array(share)) for share in ((0, 1), (2, 3, 4, 5))]
    for stream in (whole, *parts):
        read(stream, range(3))
    both = np.max([part.position(3) for part in parts], axis=0).tolist()
    assert both == whole.position(3)
    assert parts[0].position(3)[1] == [-1] * 4
    alone = Stream(corpus, tokenizer, LAYOUT, np.arange(6))
    alone.seek(3, both)
    np.testing.assert_array_equal(alone[3].input_ids, whole[3].input_ids)


def test_epochs_go_on_where_one_ends(corpus, tokenizer):
    stream = Stream(corpus, tokenizer, LAYOUT, np.arange(6))
    first, second = stream.epoch(6, 0), stream.epoch(6, 1)
    assert (len(first), first.width(3)) == (4, 9)
    np.testing.assert_array_equal(second[1].input_ids, stream[5].input_ids)


# ---- memory, the thread


class Endless:
    """A corpus of 30 blocks of 1,000 texts that counts those it gave, and the blocks in reading."""

    name, digest = "endless", ""

    def __init__(self):
        self.given = self.open = self.most_open = 0

    def __len__(self):
        return 30

    def read(self, block, skip):
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        for number in range(skip, 1000):
            self.given += 1
            yield "the film is a story " * (1 + number % 5) + f"of fine plot {number}"
        self.open -= 1


def test_of_a_lane_a_few_texts_are_in_memory(tokenizer, monkeypatch):
    """Through two blocks of it, of which 8 texts at a time are read."""
    monkeypatch.setattr(lanes_module, "AT_ONCE", 8)
    corpus = Endless()
    lane = Lane(corpus, tokenizer, 128, lanes=3, keep=lambda text: True)
    lag = 0
    while lane.place.block < 2:
        lane.take()
        lag = max(lag, corpus.given - (1000 * lane.place.block + lane.place.text))
    assert 1 < lag <= 8
    assert corpus.most_open == 1


def test_batches_are_built_ahead_and_their_errors_come_in_turn(tokenizer, monkeypatch):
    class Broken(Endless):
        def read(self, block, skip):
            for _ in range(skip, 3):
                yield "the film is a story of fine plot"
            raise UserError("the line is dead")

    monkeypatch.setattr(lanes_module, "AT_ONCE", 1)
    layout = Layout(length=9, size=1, lanes=1, epoch=1, held_out=1e-9, seed=0)
    stream = Stream(Broken(), tokenizer, layout, np.arange(1))
    read(stream, range(3))  # the third one's texts are at hand; what follows has failed by now
    for _ in range(2):
        with pytest.raises(UserError, match="the line is dead"):
            read(stream, range(3, 6))
    stream.close()


# ---- held-out text


def test_held_out_texts_are_on_one_side_and_chosen_by_themselves(texts, corpus, tokenizer):
    table = held_out_table(corpus, tokenizer, 9, 0.2, 1000, lambda: None)
    vocab = tokenizer.get_vocab()
    framed = {vocab["[CLS]"], vocab["[SEP]"]}
    said = [int(i) for i in table.ids if int(i) not in framed]
    held = [t for part in texts for t in part if t.strip() and held_out(t, 0.2)]
    assert 3 < len(held) < 20
    assert sorted(said) == sorted(vocab[word] for text in held for word in text.split())
    lengths = np.diff(table.offsets)
    assert (lengths[:-1] == 9).all() and 3 <= lengths[-1] <= 9
    assert (table.labels == -1).all() and (table.second == lengths).all()
    few = held_out_table(corpus, tokenizer, 9, 0.2, 2, lambda: None)
    np.testing.assert_array_equal(few.ids, table.ids[:18])


def test_a_text_that_occurs_twice_is_held_out_once(tmp_path, tokenizer):
    text = next(t for t in map("the film {}".format, range(99)) if held_out(t, 0.5))
    (tmp_path / "a.txt").write_text(f"{text}\n{text}\n", "utf-8")
    found = open_files(str(tmp_path), tmp_path, ignore)
    layout = Layout(length=12, size=1, lanes=1, epoch=1, held_out=0.5, seed=0)
    assert np.diff(held_out_table(found, tokenizer, 12, 0.5, 9, lambda: None).offsets).tolist() == [
        2 + len(tokenizer.encode(text, add_special_tokens=False).ids)
    ]
    with pytest.raises(UserError, match=r"config\.data\.lanes=1 found no text to learn from"):
        Stream(found, tokenizer, layout, np.arange(1))[0]


def test_the_share_that_is_held_out():
    hits = sum(held_out(f"text {number}", 0.1) for number in range(4000))
    assert 400 - 80 < hits < 400 + 80  # four standard deviations


def test_nothing_held_out_is_a_paragraph(corpus, tokenizer):
    with pytest.raises(UserError, match=r"held_out=1e-09 holds nothing out.*Raise it"):
        held_out_table(corpus, tokenizer, 9, 1e-9, 9, lambda: None)


# ---- files


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("ending", ["\n", ""])
def test_blocks_are_the_lines(chunk, ending, tmp_path, monkeypatch):
    monkeypatch.setattr(textfiles, "BLOCK", 3)
    monkeypatch.setattr(textfiles, "_CHUNK", chunk)
    lines = [f"línea {i} 电影" * ((i + 1) % 4) for i in range(10)]
    for name, size in (("b", 10), ("a", 6), ("empty", 0), ("c", 1)):
        text = "\n".join(lines[:size]) + (ending if size else "")
        (tmp_path / f"{name}.txt").write_text(("\ufeff" if name == "b" else "") + text, "utf-8")
    found = open_files(str(tmp_path), tmp_path / "cache", ignore)
    sizes = [len(list(found.read(block, 0))) for block in range(len(found))]
    assert sizes == [3, 3, 3, 3, 3, 1, 1]
    read_back = [line for block in range(len(found)) for line in found.read(block, 0)]
    assert read_back == lines[:6] + lines + lines[:1]
    assert list(found.read(3, 2)) == lines[5:6]


@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
def test_bytes_that_are_no_text_are_found_by_line(chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(textfiles, "_CHUNK", chunk)
    path = tmp_path / "a.txt"
    path.write_bytes("größe\nfein\n".encode() + b"caf\xe9 \nand more\n")
    with pytest.raises(UserError, match=r"a\.txt, line 3: the byte 0xe9 is not UTF-8.*iconv"):
        scan(path)
    path.write_bytes("fein\ngrö".encode()[:-1])  # ends within a character
    with pytest.raises(UserError, match=r"a\.txt, line 2: the byte 0xc3"):
        scan(path)


def test_where_blocks_begin_is_kept_for_big_files(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(textfiles, "KEPT", 100)
    first = open_files(str(folder), tmp_path, ignore)
    monkeypatch.setattr(textfiles, "scan", lambda path: pytest.fail(f"scanned {path} again"))
    big = [path for path in folder.glob("*.txt") if path.stat().st_size >= 100]
    for path in big:
        assert open_files(str(path), tmp_path, ignore).digest
    monkeypatch.undo()
    assert open_files(str(folder), tmp_path, ignore).digest == first.digest
    (tmp_path / "more.txt").write_text("one more\n", "utf-8")
    assert open_files(str(tmp_path / "more.txt"), tmp_path, ignore).digest != first.digest


def test_a_file_that_is_gone_is_a_paragraph(tmp_path):
    (tmp_path / "a.txt").write_text("one\n", "utf-8")
    found = open_files(str(tmp_path), tmp_path, ignore)
    (tmp_path / "a.txt").unlink()
    with pytest.raises(UserError, match=r"a\.txt could be read when this began"):
        list(found.read(0, 0))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("./gone", "is not there"),
        ("gone.txt", "is not there"),
        ("gone", "neither there nor a data set of the hub"),
        ("somebody/corpus:part", "hub cannot be reached"),
    ],
)
def test_what_is_no_corpus_is_a_paragraph(name, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        open_corpus(name, tmp_path, ignore)


def test_an_empty_corpus_and_too_many_lanes_are_paragraphs(tmp_path, corpus, tokenizer):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a.txt").write_text("", "utf-8")
    with pytest.raises(UserError, match=r"no text in 1 file"):
        open_files(str(tmp_path / "a"), tmp_path, ignore)
    layout = Layout(length=9, size=60, lanes=60, epoch=4, held_out=0.2, seed=5)
    with pytest.raises(UserError, match=rf"has {len(corpus)} block\(s\).*lanes=60.*60"):
        Stream(corpus, tokenizer, layout, np.arange(60))


# ---- the hub's


def parquet(path: Path, column: str, texts: list[str | None]):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as writer

    table = pyarrow.table({"id": list(range(len(texts))), column: texts})
    writer.write_table(table, path, row_group_size=BLOCK)
    return str(path)


def streamed(*files: str):
    from datasets import load_dataset

    return load_dataset("parquet", data_files=list(files), streaming=True, split="train")


def test_a_data_set_of_the_hub_is_the_same_stream(texts, corpus, tokenizer, tmp_path):
    """As files of one's own with its blocks; a text that is null is none."""
    rows = [[text if text.strip() else None for text in part] for part in texts]
    files = [parquet(tmp_path / f"{n}.parquet", "text", part) for n, part in enumerate(rows)]
    found = HubTexts("some/corpus", streamed(*files))
    assert len(found) == len(corpus)
    assert list(found.read(2, 3)) == [texts[0][11]]
    ours, theirs = (Stream(each, tokenizer, LAYOUT, np.arange(6)) for each in (corpus, found))
    np.testing.assert_array_equal(read(theirs, range(4)), read(ours, range(4)))
    again = Stream(found, tokenizer, LAYOUT, np.arange(6))
    again.seek(3, theirs.position(3))
    np.testing.assert_array_equal(again[3].input_ids, ours[3].input_ids)
    for stream in (ours, theirs, again):
        stream.close()


def test_a_data_set_without_texts_is_a_paragraph(tmp_path):
    file = parquet(tmp_path / "a.parquet", "sentence", ["one", "two"])
    with pytest.raises(UserError, match=r"columns id, sentence.*read from 'text'"):
        HubTexts("some/corpus", streamed(file))


def test_a_data_set_that_breaks_is_a_paragraph(tmp_path):
    file = parquet(tmp_path / "a.parquet", "text", ["one", "two"])
    found = HubTexts("some/corpus", streamed(file))
    Path(file).write_bytes(b"no longer")
    with pytest.raises(UserError, match=r"Block 0 of config\.data\.corpus=some/corpus"):
        list(found.read(0, 0))
