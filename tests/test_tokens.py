"""Tokens equal those of transformers on real texts, from either tokenizer file or the cache."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from jaxdistill.data.readers import read_split
from jaxdistill.data.tasks import TASKS
from jaxdistill.data.tokens import Tokens, check_ids, load_tokenizer, tokenize
from jaxdistill.errors import UserError

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##d", "e", "é", "我"]
ODD = ["Café [MASK] naïve", "我爱 you", "", "x" * 200, "a\u2028b \ufffd \U0001f600", "[SEP] A ["]


def nothing() -> None:
    pass


def no_notice(text: str) -> None:
    raise AssertionError(f"unexpected notice: {text}")


def silent(text: str) -> None:
    pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    return tmp_path


def pieces(tokens: Tokens, vocab: Sequence[str] = VOCAB) -> list[list[str]]:
    return [[vocab[i] for i in part] for part in np.split(tokens.ids, tokens.offsets[1:-1])]


def test_by_hand(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    single = tokenize([["A bd", "", "c z É"]], tokenizer, 9, cache=None, poll=nothing)
    assert pieces(single) == [
        ["[CLS]", "a", "b", "##d", "[SEP]"],
        ["[CLS]", "[SEP]"],
        ["[CLS]", "c", "[UNK]", "e", "[SEP]"],
    ]
    assert single.offsets.tolist() == [0, 5, 7, 12]
    assert single.second.tolist() == [5, 2, 5]
    assert [part.dtype for part in single] == [np.int32, np.int64, np.int32]
    pair = tokenize(
        [["a", "", "a [SEP] b"], ["b c", "", "c"]], tokenizer, 9, cache=None, poll=nothing
    )
    assert pieces(pair) == [
        ["[CLS]", "a", "[SEP]", "b", "c", "[SEP]"],
        ["[CLS]", "[SEP]", "[SEP]"],
        ["[CLS]", "a", "[SEP]", "b", "[SEP]", "c", "[SEP]"],
    ]
    assert pair.second.tolist() == [3, 2, 5]  # a [SEP] inside a text starts no segment


def test_longest_first_by_hand(folder: Path) -> None:
    notices: list[str] = []
    texts = [["a a a a a", "a", "a a"], ["b b", "b b b b b b", "b b"]]
    tokens = tokenize(
        texts, load_tokenizer(folder), 7, cache=None, poll=nothing, notice=notices.append
    )
    assert ["".join(p).replace("[CLS]", "").replace("[SEP]", "|") for p in pieces(tokens)] == [
        "aa|bb|",
        "a|bbb|",
        "aa|bb|",
    ]
    assert tokens.second.tolist() == [4, 3, 4]
    assert len(notices) == 1
    assert "2 of 3 examples are longer than 7 tokens" in notices[0]


@pytest.mark.parametrize("length", [128, 32])
@pytest.mark.parametrize("name", ["sst2", "mrpc"])
def test_equals_transformers(real_checkpoint: Path, glue: Path, name: str, length: int) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertTokenizer.from_pretrained(str(real_checkpoint))
    texts = [[*column[:1500], *ODD] for column in read_split(TASKS[name], "train", glue).texts]
    expected = theirs(*texts, truncation="longest_first", max_length=length)
    ours = tokenize(
        texts, load_tokenizer(real_checkpoint), length, cache=None, poll=nothing, notice=silent
    )
    bounds = ours.offsets[1:-1]
    assert [part.tolist() for part in np.split(ours.ids, bounds)] == expected["input_ids"]
    segments = [
        [0] * second + [1] * (size - second)
        for second, size in zip(ours.second.tolist(), np.diff(ours.offsets).tolist(), strict=True)
    ]
    assert segments == expected["token_type_ids"]


def test_vocabulary_route_equals_tokenizer_json(
    real_checkpoint: Path, glue: Path, tmp_path: Path
) -> None:
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(real_checkpoint / name, tmp_path / name)
    texts = [[*column, *ODD] for column in read_split(TASKS["mrpc"], "dev", glue).texts]
    routes = [
        tokenize(texts, load_tokenizer(f), 40, cache=None, poll=nothing, notice=silent)
        for f in (real_checkpoint, tmp_path)
    ]
    for one, other in zip(*routes, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ({}, ["a", "e", "我"]),
        ({"do_lower_case": False}, ["[UNK]", "é", "我"]),
        ({"do_lower_case": True, "strip_accents": False}, ["a", "é", "我"]),
        ({"tokenize_chinese_chars": False}, ["a", "[UNK]"]),
    ],
)
def test_configuration(folder: Path, configuration: dict[str, bool], expected: list[str]) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(configuration))
    tokens = tokenize([["A é我"]], load_tokenizer(folder), 9, cache=None, poll=nothing)
    assert pieces(tokens)[0][1:-1] == expected


def test_cased_vocabulary_without_configuration_is_not_lower_cased(folder: Path) -> None:
    cased = [*VOCAB, "The"]
    (folder / "vocab.txt").write_text("\r\n".join(cased), encoding="utf-8")
    tokens = tokenize([["The A a"]], load_tokenizer(folder), 9, cache=None, poll=nothing)
    assert pieces(tokens, cased)[0][1:-1] == ["The", "[UNK]", "a"]


def test_baked_in_padding_and_truncation_are_removed(real_checkpoint: Path) -> None:
    baked = Tokenizer.from_file(str(real_checkpoint / "tokenizer.json"))
    assert baked.padding
    assert baked.truncation
    tokenizer = load_tokenizer(real_checkpoint)
    assert tokenizer.padding is None
    assert tokenizer.truncation is None
    tokens = tokenize([["word " * 300]], tokenizer, 512, cache=None, poll=nothing, notice=no_notice)
    assert tokens.offsets.tolist() == [0, 302]


def test_callers_tokenizer_is_left_alone(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    tokenizer.enable_padding(length=8)
    tokenizer.enable_truncation(6)
    before = tokenizer.to_str()
    tokens = tokenize([["a b c a b c"]], tokenizer, 5, cache=None, poll=nothing, notice=silent)
    assert tokens.offsets.tolist() == [0, 5]
    assert tokenizer.to_str() == before


def test_poll_is_called_between_chunks_and_may_raise(folder: Path) -> None:
    calls = []
    tokenizer = load_tokenizer(folder)
    tokens = tokenize([["a"] * 45_000], tokenizer, 5, cache=None, poll=lambda: calls.append(1))
    assert len(calls) == 3
    assert tokens.offsets.tolist() == list(range(0, 135_001, 3))

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenize([["a"]], tokenizer, 5, cache=folder / "cache", poll=stop)
    assert not (folder / "cache").exists()


def equal(one: Tokens, other: Tokens) -> bool:
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(one, other, strict=True))


def unexpected() -> None:
    raise AssertionError("tokenized again")


def test_cache(folder: Path) -> None:
    cache, tokenizer = folder / "deep" / "cache", load_tokenizer(folder)
    texts = [["a b c a", "b"], ["c", "a b c"]]
    notices: list[str] = []
    first = tokenize(texts, tokenizer, 6, cache=cache, poll=nothing, notice=notices.append)
    (file,) = cache.iterdir()
    again = tokenize(texts, tokenizer, 6, cache=cache, poll=unexpected, notice=notices.append)
    assert equal(first, again)
    assert len(notices) == 2
    assert notices[0] == notices[1]
    others = [
        ([["a b c a", "b"], ["c", "a b d"]], 6),
        ([["a b c ", "ab"], ["c", "a b c"]], 6),  # the same letters, cut elsewhere
        ([["a b c a", "b", "c", "a b c"]], 6),
        (texts, 7),
    ]
    for number, (other, length) in enumerate(others, start=2):
        tokenize(other, tokenizer, length, cache=cache, poll=nothing, notice=silent)
        assert len(list(cache.iterdir())) == number
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    tokenize(texts, load_tokenizer(folder), 6, cache=cache, poll=nothing, notice=silent)
    assert len(list(cache.iterdir())) == 6
    assert file.exists()


def test_corrupt_cache_is_rebuilt(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    texts = [["a b c"] * 50]
    first = tokenize(texts, tokenizer, 9, cache=folder / "c", poll=nothing)
    (file,) = (folder / "c").iterdir()
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(first.ids.tobytes()) + 5] ^= 1
    for broken in (b"", b"no archive", whole[:100], whole[:-30], bytes(flipped)):
        file.write_bytes(broken)
        assert equal(first, tokenize(texts, tokenizer, 9, cache=folder / "c", poll=nothing))
        assert equal(first, tokenize(texts, tokenizer, 9, cache=folder / "c", poll=unexpected))
        assert [child.name for child in (folder / "c").iterdir()] == [file.name]


def test_cache_that_cannot_be_written_is_a_notice(folder: Path) -> None:
    (folder / "file").write_text("")
    notices: list[str] = []
    tokenizer = load_tokenizer(folder)
    tokens = tokenize(
        [["a"]], tokenizer, 5, cache=folder / "file", poll=nothing, notice=notices.append
    )
    assert tokens.offsets.tolist() == [0, 3]
    assert "could not be kept" in notices[0]


def test_failed_write_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: str) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    tokenize([["a"]], load_tokenizer(folder), 5, cache=folder / "c", poll=nothing, notice=silent)
    assert list((folder / "c").iterdir()) == []


@pytest.mark.parametrize(("texts", "room"), [([["a a a"]], 3), ([["a a a"], ["b b b"]], 5)])
def test_smallest_max_length(folder: Path, texts: list[list[str]], room: int) -> None:
    tokenizer = load_tokenizer(folder)
    tokens = tokenize(texts, tokenizer, room, cache=None, poll=nothing, notice=silent)
    assert tokens.offsets.tolist() == [0, room]
    with pytest.raises(UserError, match=f"max_length is {room - 1}"):
        tokenize(texts, tokenizer, room - 1, cache=None, poll=nothing)


def test_no_texts(folder: Path) -> None:
    tokens = tokenize([[]], load_tokenizer(folder), 5, cache=folder / "c", poll=nothing)
    assert [part.tolist() for part in tokens] == [[], [0], []]
    again = tokenize([[]], load_tokenizer(folder), 5, cache=folder / "c", poll=unexpected)
    assert equal(tokens, again)
    check_ids(tokens, 1)


def test_ids_outside_the_model(folder: Path) -> None:
    tokens = tokenize([["a 我"]], load_tokenizer(folder), 9, cache=None, poll=nothing)
    check_ids(tokens, 12)
    with pytest.raises(UserError, match=r"id 11, .* has 11 entries"):
        check_ids(tokens, 11)


def test_folder_without_sound_tokenizer(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"neither tokenizer.json nor vocab.txt"):
        load_tokenizer(folder / "none")
    (folder / "tokenizer_config.json").write_text("[1")
    with pytest.raises(UserError, match="not a sound JSON object"):
        load_tokenizer(folder)
    (folder / "tokenizer_config.json").unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\na\n")
    with pytest.raises(UserError, match=r"has no \[CLS\], \[SEP\]"):
        load_tokenizer(folder)
    (folder / "vocab.txt").write_bytes(b"[PAD]\n\xff")
    with pytest.raises(UserError, match="not UTF-8"):
        load_tokenizer(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="not a sound tokenizer"):
        load_tokenizer(folder)


def test_tokenizer_that_is_not_berts(folder: Path) -> None:
    definition = json.loads(load_tokenizer(folder).to_str())
    definition["post_processor"] = None
    (folder / "tokenizer.json").write_text(json.dumps(definition))
    with pytest.raises(UserError, match="segments 0 and 1"):
        load_tokenizer(folder)
    for token in definition["added_tokens"]:
        token["content"] = token["content"].replace("[CLS]", "<s>")
    definition["model"]["vocab"]["<s>"] = definition["model"]["vocab"].pop("[CLS]")
    (folder / "tokenizer.json").write_text(json.dumps(definition))
    with pytest.raises(UserError, match=r"has no \[CLS\]"):
        load_tokenizer(folder)
