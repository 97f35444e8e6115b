"""What a BiLSTM reads: words by hand, vocabularies, numbers, and how they travel in batches."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from jaxdistill.data.batches import batches, make_table
from jaxdistill.data.readers import cap, read_split
from jaxdistill.data.splitters import Splitter, split
from jaxdistill.data.tables import Examples
from jaxdistill.data.tasks import find_task
from jaxdistill.data.tokens import Tokens, load_tokenizer
from jaxdistill.data.views import (
    OWN,
    View,
    Words,
    build_vocabulary,
    every_piece,
    read_view,
    read_words,
    write_view,
)
from jaxdistill.data.vocabulary import write_tokenizer
from jaxdistill.errors import UserError


def cut(text: str, kind: str, lower: bool = True, tokenizer=None) -> list[str]:
    known, ids, offsets = split([text], Splitter(kind, lower, tokenizer), lambda: None)
    assert offsets.tolist() == [0, len(ids)]
    return [known[n] for n in ids.tolist()]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(tiny.write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def test_words_by_hand():
    assert cut("It's Naïve, really!", "words") == ["it", "'", "s", "naive", ",", "really", "!"]
    assert cut("It's", "words", lower=False) == ["It", "'", "s"]
    assert cut("买 iPhone", "words") == ["买", "iphone"]
    assert cut("a[MASK] b [MASK]", "words") == ["a", "[MASK]", "b", "[MASK]"]


def test_spaces_by_hand():
    assert cut("does n't  Work ,\u3000no", "spaces") == ["does", "n't", "work", ",", "no"]
    assert cut("a[MASK] B", "spaces", lower=False) == ["a", "[MASK]", "B"]


def test_characters_by_hand():
    assert cut("2D巅峰 倚\u3000\t天", "characters", lower=False) == [*"2D巅峰 倚 天"]
    assert cut("A[MASK]B", "characters") == ["a", "[MASK]", "b"]


def test_word_pieces_are_the_tokenizers(tokenizer):
    found = cut("The film is unknown [MASK]", "wordpieces", tokenizer=tokenizer)
    assert found == ["the", "film", "is", "[UNK]", "[MASK]"]


def test_jieba_finds_chinese_words():
    pytest.importorskip("jieba")
    found = cut("酒店的服务很好 [MASK] OK", "jieba")
    assert "".join(found) == "酒店的服务很好[MASK]ok"
    assert "酒店" in found and "服务" in found and "[MASK]" in found


def test_jieba_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(UserError, match="package jieba.*pip install 'jieba>=0.42.1'"):
        cut("酒店", "jieba")


TEXTS = (["b a a c", "a b [MASK]", "c d a"], ["x", "", "b"])


def vocabulary(texts=TEXTS, kind="words", **changes):
    given = {"size": 0, "least": 1, "given": None, "poll": lambda: None, **changes}
    return build_vocabulary(texts, Splitter(kind, True), **given)


def test_a_vocabulary_is_by_frequency_and_then_by_name(tmp_path):
    assert vocabulary() == (*OWN, "a", "b", "c", "d", "x")  # 4, 3, 2, 1, 1
    assert vocabulary(least=2) == (*OWN, "a", "b", "c")
    assert vocabulary(size=2) == (*OWN, "a", "b")
    listed = tmp_path / "words.txt"
    listed.write_bytes(b"d\r\nzzz\na\n\na\n")
    assert vocabulary(given=listed) == (*OWN, "d", "a")
    assert vocabulary(given=listed, size=1) == (*OWN, "a")  # the more frequent of those listed
    with pytest.raises(UserError, match="No word.*5 different words|No word.*at least 9 times"):
        vocabulary(least=9)
    listed.write_text("zzz\n")
    with pytest.raises(UserError, match=f"none of these is in {listed}"):
        vocabulary(given=listed)


def test_a_tokenizers_vocabulary_has_every_piece_that_a_text_may_have(tmp_path):
    pieces = ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "b", "a", "##c"]
    write_tokenizer(tmp_path, pieces)
    assert every_piece(load_tokenizer(tmp_path)) == (*OWN, "b", "a", "##c")
    assert every_piece(load_tokenizer(tmp_path), 8) == (*OWN, "b", "a")


def test_numbers_by_hand_and_what_is_told():
    view = View(Splitter("words", True), 3, (*OWN, "a", "b"))
    told: list[str] = []
    found = read_words(TEXTS, view, notice=told.append, poll=lambda: None)
    assert found.texts == 2
    texts = [
        found.ids[start:end].tolist()
        for start, end in zip(found.offsets, found.offsets[1:], strict=False)
    ]
    # "b a a c" is cut to three words; a text without words is one unknown word.
    assert texts == [[4, 3, 3], [1], [3, 4, 2], [1], [1, 1, 3], [4]]
    assert told[0].startswith("1 of 6 texts have more than 3 words")
    assert "12 words, 33.3% not in" in told[1]


def test_padding_is_nobodys_word(tokenizer):
    view = View(Splitter("wordpieces", True, tokenizer), 9, (*OWN, "the"))
    found = read_words((["the [PAD] [CLS] [UNK]"],), view, notice=print, poll=lambda: None)
    assert found.ids.tolist() == [3, 1, 1, 1]


@pytest.mark.parametrize("kind", ["words", "characters", "wordpieces"])
def test_what_is_written_is_read(kind, tmp_path, tokenizer):
    pieces = tokenizer if kind == "wordpieces" else None
    texts = (["the film is a  story", "great 好的 [MASK]"],)
    splitter = Splitter(kind, True, pieces)
    words = build_vocabulary(texts, splitter, size=0, least=1, given=None, poll=lambda: None)
    view = View(splitter, 7, words)
    assert (" " in words) == (kind == "characters")
    write_view(tmp_path, view)
    assert read_view(tmp_path, pieces) == view
    if pieces:
        with pytest.raises(UserError, match="reads word pieces, and the run has no tokenizer"):
            read_view(tmp_path, None)
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match=r"begins with \[PAD\]"):
        read_view(tmp_path, pieces)


# ---- batches


def table(lengths: list[int], words: list[tuple[int, ...]]):
    """Example i: lengths[i] tokens 100 i + 0, 1, ..., and texts of words[i] words 1, 2, ..."""
    count = len(lengths)
    row = np.arange(count, dtype=np.int32)
    ids = np.array([100 * i + k for i, n in enumerate(lengths) for k in range(n)], np.int32)
    offsets = np.cumsum([0, *lengths])
    flat = [n for example in words for n in example]
    numbers = np.array([k + 1 for n in flat for k in range(n)], np.int32)
    read = Words(numbers, np.cumsum([0, *flat]), len(words[0]))
    tokens = Tokens(ids, offsets, np.array(lengths, np.int32)) if any(lengths) else None
    return make_table(Examples(row, (), row % 2), tokens, read)


def test_batches_are_as_wide_as_their_words():
    """Of W 4 and 8; T is that of the longest example in the same bucket of words or before."""
    data = table([3, 16, 5, 7], [(2, 4), (1, 1), (5, 1), (8, 2)])
    epoch = batches(data, 1, buckets=(4, 8, 16), seed=0, epoch=0, training=False)
    shapes = [(epoch.width(k), b.words.shape, b.input_ids.shape) for k, b in enumerate(epoch)]
    assert shapes == [(4, (1, 2, 4), (1, 16))] * 2 + [(8, (1, 2, 8), (1, 16))] * 2
    assert epoch[0].words.tolist() == [[[1, 2, 0, 0], [1, 2, 3, 4]]]
    assert epoch[3].words[0, 1].tolist() == [1, 2, 0, 0, 0, 0, 0, 0]
    assert epoch[1].mask.sum() == 16 and epoch[1].input_ids[0, -1] == 115


def test_each_row_once_with_its_own_words_and_tokens():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 17, 50).tolist()
    words = [tuple(rng.integers(1, 9, 2).tolist()) for _ in lengths]
    data, seen, shapes = table(lengths, words), [], set()
    for batch in batches(data, 4, buckets=(4, 8, 16), seed=1, epoch=2, training=True):
        shapes.add((batch.words.shape, batch.input_ids.shape))
        for k in range(4):
            row = int(batch.row[k])
            assert tuple((batch.words[k] > 0).sum(1)) == words[row]
            assert batch.mask[k].sum() == lengths[row]
            assert batch.input_ids[k, 0] == 100 * row
            seen += [row] if batch.weight[k] else []
    assert sorted(seen) == list(range(50))
    assert len(shapes) <= 2


def test_without_tokens_there_are_none():
    data = table([0, 0], [(3,), (5,)])
    (batch,) = batches(data, 2, buckets=(4, 8), seed=0, epoch=0, training=False)
    assert batch.words.shape == (2, 1, 8)
    assert not batch.mask.any() and not batch.input_ids.any()
    with pytest.raises(UserError, match="5 words, but the last.*holds 4. Lower max_words"):
        batches(data, 2, buckets=(2, 4), seed=0, epoch=0, training=False)


def test_words_of_other_rows_are_a_mistake():
    row = np.arange(2, dtype=np.int32)
    words = Words(np.ones(3, np.int32), np.arange(4), 1)
    with pytest.raises(ValueError, match="2 examples, but words of 3 texts"):
        make_table(Examples(row, (), row), None, words)


# ---- real texts


def test_sst2_in_whole_words(glue: Path):
    """Dev's words that the train texts do not have are few: it is one kind of text."""
    task = find_task("sst2")
    train = cap(read_split(task, "train", glue), 20_000, 0)
    words = vocabulary(train.texts)
    told: list[str] = []
    view = View(Splitter("words", True), 64, words)
    dev = read_words(
        read_split(task, "dev", glue).texts, view, notice=told.append, poll=lambda: None
    )
    assert len(dev.offsets) == 873
    assert words[3:6] == ("the", ",", "a")
    assert (dev.ids == 1).mean() < 0.1
    assert vocabulary(train.texts) == words
