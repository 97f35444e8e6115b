"""The vocabulary: merges by hand and by brute force, no [UNK], the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdistill.config import from_command_line
from jaxdistill.data.reviews import generate
from jaxdistill.data.tasks import find_task
from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.data.vocabulary import SPECIAL, build_vocabulary, write_tokenizer
from jaxdistill.errors import UserError
from jaxdistill.starts import make_start
from jaxdistill.teachers import teacher_config


def slow_merges(words: list[str]) -> list[str]:
    """All merges, each from a fresh count of all pairs: short, and too slow for real texts."""
    pieces = [[word[0], *("##" + letter for letter in word[1:])] for word in words]
    found: list[str] = []
    while True:
        counts = Counter(pair for word in pieces for pair in pairwise(word))
        counts = Counter({pair: count for pair, count in counts.items() if count > 1})
        if not counts:
            return found
        a, b = min(counts, key=lambda pair: (-counts[pair], pair))
        if a + b[2:] not in found:
            found.append(a + b[2:])
        for word in pieces:
            i = 0
            while i + 1 < len(word):
                if word[i : i + 2] == [a, b]:
                    word[i : i + 2] = [a + b[2:]]
                i += 1


def test_merges_by_hand() -> None:
    # aab x2, ab x2: (##a, ##b) 2, (a, ##a) 2, (a, ##b) 2. All tie; "##a" sorts before "a".
    found = build_vocabulary(["aab ab", "Ab, AAB"], 100)
    assert found == [*SPECIAL, ",", "a", "b", "##a", "##b", "##ab", "aab", "ab"]
    assert build_vocabulary(["aab ab", "Ab, AAB"], 11) == found[:11]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text("ab c", min_size=1, max_size=12), min_size=1, max_size=12))
def test_merges_are_those_of_a_fresh_count(texts: list[str]) -> None:
    words = [word for text in texts for word in text.split()]
    found = build_vocabulary(texts, 10_000)
    letters = sorted(set("".join(words)))
    fixed = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    assert found[: len(fixed)] == fixed
    assert found[len(fixed) :] == slow_merges(words)
    assert build_vocabulary(reversed(texts), 10_000) == found


def test_words_are_those_of_bert() -> None:
    texts = ["Café 不好，很差!", "CAFÉ don't"]
    lower = build_vocabulary(texts, 200)
    assert {"不", "好", "，", "!", "'", "cafe"} < set(lower)
    assert not {"##不", "##，", "##!", "é", "C"} & set(lower)
    assert {"é", "##é", "C", "##F", "##É"} < set(build_vocabulary(texts, 200, lower=False))


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(UserError, match=r"8 word pieces.*3 different characters.*take 11"):
        build_vocabulary(["abc"], 8)


@pytest.mark.parametrize("pieces", [["a", "a"], ["a", " "], ["a", ""], ["a\nb"]])
def test_vocabulary_that_a_file_cannot_hold_is_refused(pieces: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"vocab.txt"):
        write_tokenizer(tmp_path / "new", pieces)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("language", "size"), [("en", 300), ("en", 2000), ("zh", 2000)])
def test_training_text_has_no_unknown_word(language: str, size: int, tmp_path: Path) -> None:
    texts, _ = generate(language, "train", 2000)
    pieces = build_vocabulary(texts, size)
    assert len(pieces) <= size and len(set(pieces)) == len(pieces)
    write_tokenizer(tmp_path, pieces)
    tokenizer = load_tokenizer(tmp_path)
    for text, encoding in zip(texts, tokenizer.encode_batch(texts), strict=True):
        assert "[UNK]" not in encoding.tokens
        said = "".join(piece.removeprefix("##") for piece in encoding.tokens[1:-1])
        assert said == text.lower().replace(" ", "")


@pytest.mark.parametrize("lower", [True, False])
def test_transformers_reads_the_same_tokenizer(lower: bool, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    texts = [*generate("en", "train", 200)[0], *generate("zh", "train", 200)[0], "Déjà vu?"]
    write_tokenizer(tmp_path, build_vocabulary(texts, 1500, lower=lower), lower=lower)
    ours = load_tokenizer(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs(texts)["input_ids"] == [e.ids for e in ours.encode_batch(texts)]
    assert (theirs.pad_token, theirs.mask_token) == ("[PAD]", "[MASK]")
    assert ("I" in ours.encode("I found it").tokens) is not lower


SCRIPT = """
import hashlib
from jaxdistill.data.reviews import generate
from jaxdistill.data.vocabulary import build_vocabulary
for language in ("en", "zh"):
    texts, labels = generate(language, "train", 1000)
    pieces = build_vocabulary(texts, 700)
    print(hashlib.sha256(repr((texts, labels, pieces)).encode()).hexdigest())
"""


def test_same_corpus_and_vocabulary_in_every_process() -> None:
    said = set()
    for seed in ("0", "1", "random"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", SCRIPT]
        said.add(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
    assert len(said) == 1 and len(said.pop().split()) == 2


def test_ten_thousand_texts_take_seconds() -> None:
    texts, _ = generate("en", "train", 10_000)
    start = time.process_time()
    build_vocabulary(texts, 2000)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("lower", ["", "False"])
def test_a_model_from_nothing_keeps_capitals_and_accents_where_it_is_told_to(
    lower, tmp_path, request, monkeypatch
):
    monkeypatch.chdir(request.config.rootpath)
    words = ["--config=configs/quickstart.py", "--config.teacher.recipe.model.vocab=60"]
    words += [f"--config.teacher.recipe.model.lower={lower}"] if lower else []
    config = teacher_config(from_command_line(["main", *words, f"--workdir={tmp_path / 'run'}"]))[0]
    assert config is not None
    start = make_start(config, find_task("sst2"), None, (["Schön war der Käse"],), tmp_path, print)
    assert start.tokenizer == tmp_path / "tokenizer"
    pieces = load_tokenizer(start.tokenizer).encode("Käse", add_special_tokens=False).tokens
    letters = [piece.removeprefix("##") for piece in pieces]
    assert "".join(letters) == ("Käse" if lower else "kase")
