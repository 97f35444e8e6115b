"""Word vectors: every format from bytes written here, what is missing, and what is derived."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import tiny
from test_views import OWN

from jaxdistill.bilstm_section import BiLstmConfig
from jaxdistill.bilstm_start import (
    Material,
    _rows,
    _vectors,
    _view,
    _word_table,
    start_bilstm,
)
from jaxdistill.data.tasks import find_task
from jaxdistill.data.tokens import load_tokenizer
from jaxdistill.data.vectorfiles import stream
from jaxdistill.data.vectors import derive, load_vectors, read_vectors
from jaxdistill.errors import UserError
from jaxdistill.presets import PLAIN

WORDS = {"the": [1.0, -2.0], "new york": [0.5, 0.25], "café": [3.0, 4.0]}


def glove(path: Path) -> Path:
    path.write_bytes("".join(f"{w} {a} {b}\n" for w, (a, b) in WORDS.items()).encode())
    return path


def text(path: Path) -> Path:
    lines = [f"{len(WORDS)} 2", *(f"{w} {a} {b} " for w, (a, b) in WORDS.items())]  # fastText's
    path.write_bytes("\r\n".join(lines).encode())
    return path


def binary(path: Path, newline: bytes = b"\n") -> Path:
    body = b"".join(
        w.replace(" ", "_").encode() + b" " + struct.pack("<2f", *v) + newline
        for w, v in WORDS.items()
    )
    path.write_bytes(f"{len(WORDS)} 2\n".encode() + body)
    return path


def arrays(path: Path) -> Path:
    np.savez(path, embeddings=np.array([*WORDS.values()], np.float16), words=[*WORDS])
    return path


def beside(path: Path) -> Path:
    np.savez(path, embeddings=np.array([*WORDS.values()], np.float16))
    path.with_name("beside.vocab.txt").write_bytes("".join(f"{w}\n" for w in WORDS).encode())
    return path


FORMATS = {
    "glove.txt": glove,
    "word2vec.vec": text,
    "binary.bin": binary,
    "bare.bin": lambda path: binary(path, b""),
    "arrays.npz": arrays,
    "beside.f16.npz": beside,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_vectors(name, tmp_path):
    path = FORMATS[name](tmp_path / name)
    found = {word.replace("_", " "): vector.tolist() for word, vector in stream(path)}
    assert found == WORDS
    assert [word for word, _ in stream(path, lambda word: word == "café")] == ["café"]
    words, matrix = read_vectors(path, 2)
    assert len(words) == 2 and matrix.tolist() == [*WORDS.values()][:2]
    assert matrix.dtype == np.float32


def load(path, words, width=2, told=None, **more):
    notice = print if told is None else told.append
    given = {"cache": None, "notice": notice, "poll": lambda: None}
    given |= {"section": "config.student", **more}
    return load_vectors(path, words, width, **given)


def test_words_are_found_by_themselves_or_in_lower_case(tmp_path):
    path, told = glove(tmp_path / "glove.txt"), []
    found = load(path, ["The", "the", "CAFÉ", "none"], told=told)
    assert found.found.tolist() == [True, True, True, False]
    assert found.matrix.tolist() == [[1, -2], [1, -2], [3, 4], [0, 0]]
    assert told == [f"word vectors of {path}: 3 of 4 words (75.0%)"]


def test_what_was_found_is_kept(tmp_path, monkeypatch):
    path, cache = glove(tmp_path / "glove.txt"), tmp_path / "cache"
    first = load(path, ["the", "none"], cache=cache)
    monkeypatch.setattr("jaxdistill.data.vectors.stream", None)  # nobody reads the file again
    again = load(path, ["the", "none"], cache=cache)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    (stored,) = cache.iterdir()
    with pytest.raises(TypeError):
        load(path, ["the", "other"], cache=cache)
    stored.write_bytes(b"broken")
    with pytest.raises(TypeError):
        load(path, ["the", "none"], cache=cache)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"the 1 2\ncat 1\n", "a.txt, line 2: not a word and 2 numbers"),
        ("a.txt", b"the 1 2\nthe one two\n", "a.txt, line 2: not a word and 2 numbers"),
        ("a.txt", b"the 1 nan\n", "a.txt, line 1"),
        ("a.txt", b"the 1 2 3\n", "vectors of 3 numbers, and config.student.width is 2.*width=3"),
        ("a.txt", b"cat 1 2\n", "for none of 1 words, such as 'the'"),
        ("a.bin", b"the 1 2\n", "does not begin with a line of two numbers"),
        ("a.bin", b"2 2\nthe " + bytes(8), "ends after 1 of 2 words"),
        (
            "a.bin",
            b"1 2\nthe " + struct.pack("<2f", 1, float("nan")),
            "of 'the' has numbers",
        ),
        ("a.npz", b"PK", "no sound npz"),
        ("a.csv", b"", "no file of word vectors.*ends in another way. Rename or convert it"),
        ("a.bin.gz", b"", "no file of word vectors.*Unpack it first"),
    ],
)
def test_what_is_no_such_file_is_told(name, content, said, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=said):
        load(path, ["the"])


def test_the_section_that_is_named_is_the_recipes(tmp_path):
    (tmp_path / "a.txt").write_text("the 1 2 3\n")
    with pytest.raises(UserError, match="Set --config.model.width=3"):
        load(tmp_path / "a.txt", ["the"], section="config.model")


def test_an_npz_that_is_not_finite_is_told(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, embeddings=np.array([[1, np.inf]]), words=np.array(["the"]))
    with pytest.raises(UserError, match="a.npz: the vector of 'the' has numbers that are not fin"):
        load(path, ["the"])


def test_npz_without_words_is_told(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, embeddings=np.ones((2, 2)))
    with pytest.raises(UserError, match="no array 'words', and no a.vocab.txt"):
        load(path, ["the"])
    (tmp_path / "a.vocab.txt").write_text("one\n")
    with pytest.raises(UserError, match="2 vectors, and 1 words"):
        load(path, ["the"])
    with pytest.raises(UserError, match="does not exist"):
        load(tmp_path / "b.npz", ["the"])


def test_a_table_is_reduced_to_its_principal_components():
    """Four pieces in a plane of three dimensions: two numbers tell them apart as well as three."""
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(2, 3))
    table = rng.normal(size=(40, 2)) @ plane + 5.0
    rows = [[n] for n in range(38)] + [[38, 39]]
    found = derive(table, rows, 2, 0.3, "a table", "config.student")
    means = np.array([table[pieces].mean(0) for pieces in rows])
    assert found.dtype == np.float32 and found.shape == (39, 2)
    assert found.std() == pytest.approx(0.3, rel=1e-5)

    def distances(x):
        return np.linalg.norm(x[:, None] - x[None], axis=-1)

    ratio = distances(found)[0, 1] / distances(means)[0, 1]
    np.testing.assert_allclose(distances(found), ratio * distances(means), rtol=1e-4, atol=1e-5)
    assert found[:, 0].var() > found[:, 1].var()
    assert np.array_equal(derive(table, rows, 2, 0.3, "a table", "config.student"), found)
    with pytest.raises(UserError, match="width is 4, and word vectors of a table have 3"):
        derive(table, rows, 4, 0.3, "a table", "config.student")


# ---- the start of a BiLSTM


TEXTS = (["the café is none", "the the café " + " ".join(f"w{n}" for n in range(300))],)


def material(tmp_path, told):
    config = type("Config", (), {"start_key": "config.model"})
    return Material(config, find_task("sst2"), None, TEXTS, tmp_path, told.append, lambda: None)


def section(**changes):
    small = {"view": "words", "lower": False, "width": 2, "hidden": 3, "channels": 2}
    return BiLstmConfig(**{**PLAIN, **small, **changes})


def test_words_without_a_vector_are_drawn_of_the_same_size(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDISTILL_CACHE", str(tmp_path / "cache"))
    about, told = section(vectors=str(glove(tmp_path / "glove.txt"))), []
    run = material(tmp_path / "run", told)
    found = start_bilstm(about, jax.random.key(0), run)
    assert found.view.vocabulary[:7] == (*OWN, "the", "café", "is", "none")
    assert found.tokenizer is None and found.shape.vocab == 307
    table = found.params["embeddings"]["word"]["embedding"]
    assert table[0].tolist() == [0, 0]
    assert table[3:5].tolist() == [WORDS["the"], WORDS["café"]]
    known = np.std([WORDS["the"], WORDS["café"]])
    assert table[5:].std() == pytest.approx(known, rel=0.1)
    assert np.array_equal(found.params["embeddings"]["fixed"]["embedding"], table)
    assert "2 of 304 words (0.7%)" in told[0]
    (tmp_path / "run" / "words" / "vocab.txt").write_text("\n".join([*OWN, "the", ""]))
    again = _view(about, None, None, run)  # a run goes on as it began
    assert again.vocabulary == (*OWN, "the")


def test_word_pieces_take_the_vectors_of_words(tmp_path, monkeypatch):
    """As seed 000 gives Google's to those of its pieces that are words."""
    monkeypatch.setenv("JAXDISTILL_CACHE", str(tmp_path / "cache"))
    tiny.write_tokenizer(tmp_path / "teacher" / "tokenizer")
    (tmp_path / "glove.txt").write_text("film 1.5 -2.0\nstory 0.5 0.25\ncafé 1 1\n")
    about = section(view="wordpieces", vectors=str(tmp_path / "glove.txt"), vocabulary="texts")
    told: list[str] = []
    texts = (["the film is a story", "a fine film"],)
    teacher = SimpleNamespace(folder=tmp_path / "teacher")
    run = material(tmp_path / "run", told)._replace(teacher=teacher, texts=texts)
    found = start_bilstm(about, jax.random.key(0), run)
    table = found.params["embeddings"]["word"]["embedding"]
    at = found.view.vocabulary.index
    assert table[at("film")].tolist() == [1.5, -2.0] and table[at("story")].tolist() == [0.5, 0.25]
    assert "2 of 6 words" in told[-1]
    whole = dataclasses.replace(about, vocabulary="")
    found = start_bilstm(whole, jax.random.key(0), run._replace(folder=tmp_path / "whole"))
    pieces = load_tokenizer(tmp_path / "teacher" / "tokenizer").get_vocab()
    named = sorted((p for p in pieces if p[0] != "["), key=pieces.__getitem__)
    assert found.view.vocabulary == (*OWN, *named)
    assert {"dull", "cast"} <= set(found.view.vocabulary)  # which no text has
    rare = dataclasses.replace(about, vocabulary="", min_count=2)
    found = start_bilstm(rare, jax.random.key(0), run._replace(folder=tmp_path / "rare"))
    assert found.view.vocabulary == (*OWN, "a", "film")


def test_a_bert_gives_words_the_mean_of_their_pieces(tmp_path, real_checkpoint):
    about, told = section(vectors=str(real_checkpoint)), []
    run = material(tmp_path, told)
    view, table = _view(about, None, None, run), _word_table(about, run)
    found = _vectors(about, view, table, np.zeros((307, 2), np.float32), run)
    pieces = load_tokenizer(real_checkpoint).encode("café w7", add_special_tokens=False).ids
    assert _rows(["café", "w7", " "], view, load_tokenizer(real_checkpoint), table) == [
        pieces[:1],
        pieces[1:],
        [100],
    ]
    assert len(pieces) == 3
    assert found.shape == (307, 2) and not found[0].any()
    assert found[1:].std() == pytest.approx(0.3, rel=1e-3)
    assert "its 384 numbers reduced to 2, for 306 of 306 words" in told[-1]


def test_real_vectors_cover_real_words(shared_data):
    embeddings = shared_data / "embeddings"
    told: list[str] = []
    found = load(embeddings / "glove.6B.50d.subset.txt", ["The", "movie", "qqqq"], 50, told)
    assert found.found.tolist() == [True, True, False]
    assert found.matrix[0, 0] == pytest.approx(0.418)
    found = load(embeddings / "tencent-char-200d.f16.npz", ["大", " ", "国"], 200)
    assert found.found.all()
