"""The tagger of English words: sentences by hand, any words, and Tang et al.'s rate on SST-2."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_augment_words import ANY

from jaxdistill.config import from_command_line
from jaxdistill.data.augment.english import English
from jaxdistill.data.augment.english_words import CLOSED, OPEN
from jaxdistill.data.augment.lexicon import Lexicon, count_words
from jaxdistill.data.augment.words import MASK, SPLITS, words
from jaxdistill.data.tables import Examples
from jaxdistill.makers import make_maker

BY_ITSELF = {
    "lists": ("the man and his dog were in it", "DT NN CC PRP$ NN VBD IN PRP"),
    "wh-words": ("who knows which of them , when and whose", "WP VBZ WDT IN PRP , WRB CC WP$"),
    "modals": ("she could n't be there", "PRP MD RB VB EX"),
    "endings": (
        "gloomiest kindness obviously imagination famous harmless organize violinist",
        "JJS NN RB NN JJ JJ VB NN",
    ),
    "forms of verbs": ("walks carried stopping moves watches", "NNS VBN VBG NNS NNS"),
    "forms of known words": (
        "brings denied proving cities bigger happier noblest simply unhappy rewrite men",
        "VBZ VBN VBG NNS JJR JJR JJS RB JJ VB NNS",
    ),
    "contractions": (
        "it's film's don't you'll 's can’t",
        "PRP+VBZ NN+POS VBP+RB PRP+MD POS MD+RB",
    ),
    "numbers": ("two 1990 1990s 3rd 90-minute", "CD CD CD JJ JJ"),
    "hyphens": ("well-made thought-provoking low-budget", "JJ JJ JJ"),
    "marks": ('. ! ? , ; : ( ) " ` % 。 [MASK]', ". . . , : : ( ) '' `` % 。 [mask]"),
    "nobody's words": ("zorp zorps [MASK]zorp", "NN NNS [mask] NN"),
}


@pytest.mark.parametrize("case", BY_ITSELF)
def test_words_by_themselves(case):
    text, tags = BY_ITSELF[case]
    assert English([])(words(text)) == tags.split()


TEXTS = """the film is sad . | the plot is dull . | a very sad story . | a very dull story .
the story has a dull man . | they want to bring it . | they want to leave it . | we want to know .
you want to know it . | they bring a dog . | she brings the dog . | she knows it . | he leaves it .
the dogs are dull . | the men are sad . | two dogs and two cities . | these cities are sad .
the book is sad . | a book for the man . | the man has a dog ."""
NEW = """the blick is sad . | a blick for the man . | they want to drimp . | we want to drimp it .
you want to drimp . | a very zorgy story . | the story is zorgy . | the zorgy plot is sad .
she clomes the dog . | he clomes it . | she clomes . | two glones and two dogs .
these glones are dull ."""


def sentences(text: str) -> list[list[str]]:
    return [words(line) for line in text.replace("\n", " | ").split("|")]


def test_unknown_words_by_their_neighbours():
    tagger = English(sentences(TEXTS) * 5 + sentences(NEW) * 5)
    found = tagger("blick drimp zorgy clomes glones".split())
    assert found == ["NN", "VB", "JJ", "VBZ", "NNS"]
    # By themselves they would be what words with such endings mostly are.
    assert English([])("drimp clomes".split()) == ["NN", "NNS"]


def test_names_have_capitals_inside_sentences():
    texts = [
        "I saw Frodo .",
        "Clumsy Frodo saw a White House .",
        "The American has a white house .",
    ]
    tagger = English([words(text) for text in texts])
    found = tagger("Frodo White House white The American I".split())
    assert found == ["NNP", "NNP", "NNP", "JJ", "DT", "JJ", "PRP"]


def test_no_word_is_listed_twice():
    listed = Counter(word for lists in (*CLOSED.values(), *OPEN.values()) for word in lists.split())
    assert [word for word, count in listed.items() if count > 1] == []


@settings(deadline=None)
@given(st.lists(ANY, max_size=4), ANY, st.sampled_from([*SPLITS.values(), str.split]))
def test_every_word_has_a_tag(texts, other, split):
    cuts = [split(text) for text in texts]
    tagger = English(cuts)
    for found in (*cuts, split(other)):
        assert all(tagger(found))
        assert len(tagger(found)) == len(found)
    assert count_words(cuts, tagger)[1] == (1.0 if any(cuts) else 0.0)


def test_another_process_has_the_same_tags():
    texts = sentences(TEXTS) + sentences(NEW)
    tagger = English(texts)
    assert pickle.loads(pickle.dumps(tagger)).tags == tagger.tags
    program = (
        "import pickle, sys; from jaxdistill.data.augment.english import English; "
        "print(sorted(English(pickle.load(sys.stdin.buffer)).tags.items()))"
    )
    for seed in ("0", "1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=pickle.dumps(texts),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        assert done.stdout.decode().strip() == str(sorted(tagger.tags.items()))


# ---- the rate

ROWS, COPIES = 1500, 8


@pytest.fixture(scope="module")
def texts(glue):
    """Rows of SST-2 whose words all stand between spaces, so that they can be counted again."""
    lines = (glue / "SST-2" / "train.tsv").read_text("utf-8").splitlines()[1:]
    found = [line.split("\t")[0].strip() for line in lines]
    return [text for text in found if words(text) == text.split()][:ROWS]


def maker(texts, request, **flags):
    """What a run of the recipe makes copies with."""
    given = {"name": "tang", "copies": COPIES, **flags}
    recipe = f"--config={request.config.rootpath}/configs/kd_sst2.py"
    flags = [f"--config.augment.{key}={value}" for key, value in given.items()]
    about = from_command_line(["main", recipe, *flags]).augment
    assert about is not None and about.p_pos == 0.1
    rows = np.arange(len(texts), dtype=np.int32)
    room = SimpleNamespace(
        tokenizer=None, poll=lambda: None, log=SimpleNamespace(notice=lambda said: None)
    )
    return make_maker(about, Examples(rows, (texts,), rows), room).work


def within(count: int, mean: float, variance: float) -> None:
    assert abs(count - mean) < 4 * variance**0.5, (count, mean, variance**0.5)


def test_as_many_words_become_others_as_the_lexicon_says(texts, request):
    work = maker(texts, request, p_mask=0.0, p_ng=0.0)
    cuts = [text.split() for text in texts]
    often = Counter(word for found in cuts for word in found)
    tags = dict(zip(often, English(cuts)(list(often)), strict=True))
    of_tag: Counter[str] = Counter()
    for word, count in often.items():
        of_tag[tags[word]] += count
    # A word is drawn in its own place as often as it is one of its class.
    other = {word: 0.1 * (1 - count / of_tag[tags[word]]) for word, count in often.items()}
    expected = [COPIES * count * other[word] for word, count in often.items()]
    variance = [COPIES * count * other[w] * (1 - other[w]) for w, count in often.items()]
    changed: Counter[tuple[str, str]] = Counter()
    for row, text in enumerate(texts):
        for copy in work(row, (text,)):
            changed.update(zip(text.split(), copy.texts[0].split(), strict=True))
    different = {pair: count for pair, count in changed.items() if pair[0] != pair[1]}
    within(sum(different.values()), sum(expected), sum(variance))
    assert all(tags[before] == tags[after] for before, after in different)


def test_words_are_drawn_for_as_often_as_asked(texts, request, monkeypatch):
    work = maker(texts, request)
    asked: list[str] = []
    draw = Lexicon.draw
    monkeypatch.setattr(Lexicon, "draw", lambda *given: asked.append(given[1]) or draw(*given))
    made = [copy.texts[0] for row, text in enumerate(texts) for copy in work(row, (text,))]
    total = COPIES * sum(len(text.split()) for text in texts)
    within(len(asked), 0.1 * total, 0.09 * total)
    assert any(MASK in text for text in made)
