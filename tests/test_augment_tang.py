"""Tang et al.'s augmentation: its rates, its passes over pairs, any text."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_augment_words import ANY, CUTTERS

from jaxdistill.data.augment.draws import RANGE
from jaxdistill.data.augment.lexicon import Lexicon
from jaxdistill.data.augment.tang import Tang
from jaxdistill.data.augment.words import MASK, characters, cut, words

W = 50
TEXT = " ".join(f"w{i}" for i in range(W))
OTHERS = [f"x{i}" for i in range(200)]
LEXICON = Lexicon({"w": OTHERS}, {"w": list(range(1, 201))})


def tag(found):
    return ["w" if word.startswith("w") else None for word in found]


def tang(**values) -> Tang:
    given = {
        "copies": 400,
        "seed": 0,
        "p_mask": 0.1,
        "p_pos": 0.2,
        "p_ng": 0.0,
        "ngram": (1, 5),
        "split": words,
        "tag": tag,
        "lexicon": LEXICON,
        **values,
    }
    return Tang(**given)


def within(count: int, of: int, probability: float) -> None:
    """Four standard deviations of a binomial around its mean."""
    assert abs(count - of * probability) < 4 * (of * probability * (1 - probability)) ** 0.5


def test_words_are_masked_and_replaced_as_often_as_asked():
    made = tang()(3, (TEXT,))
    assert [copy.copy for copy in made] == list(range(400))
    found = [word for copy in made for word in copy.texts[0].split()]
    assert len(found) == 400 * W
    within(sum(word == MASK for word in found), 400 * W, 0.1)
    within(sum(word.startswith("x") for word in found), 400 * W, 0.2)
    drawn = Counter(word for word in found if word.startswith("x"))
    assert len(drawn) == len(OTHERS)  # each of 200 in 4,000 draws
    assert max(drawn.values()) < 50
    places = Counter(copy.texts[0].split().index(MASK) for copy in made if MASK in copy.texts[0])
    assert len(places) > 15  # wherever a word stands


def test_ngrams_are_as_frequent_and_as_long_as_asked():
    made = tang(p_mask=0.0, p_pos=0.0, p_ng=0.25, copies=4000)(0, (TEXT,))
    short = [copy.texts[0].split() for copy in made if copy.texts[0] != TEXT]
    within(len(short), 4000, 0.25)
    lengths = Counter(map(len, short))
    assert sorted(lengths) == [1, 2, 3, 4, 5]
    for count in lengths.values():
        within(count, len(short), 0.2)
    for found in short:
        start = int(found[0][1:])
        assert found == [f"w{i}" for i in range(start, start + len(found))]
    assert {found[0] for found in short if len(found) == 1} > {"w0", f"w{W - 1}"}


def test_an_ngram_longer_than_the_text_is_the_text():
    made = tang(p_mask=0.0, p_pos=0.0, p_ng=1.0, ngram=(4, 9))(0, ("w1 w2, w3",))
    assert {copy.texts[0] for copy in made} == {"w1 w2, w3"}


def test_one_text_by_hand():
    quarter = RANGE // 4
    made = tang(p_mask=0.25, p_pos=0.5, p_ng=0.5)
    parts = cut("w1 w2, w3 w4", words)
    drawn = [
        *(quarter - 1, 9),  # masked
        *(quarter, 7),  # replaced by the word of the eighth of 200 parts
        *(quarter, 7),  # a comma, which has no class
        *(3 * quarter - 1, 200 * 5),
        *(3 * quarter, 1),
        *(2 * quarter, 0, 0),  # no n-gram
    ]
    assert made.change(parts, tag(parts.words), drawn) == "[MASK] x7, x0 w4"
    drawn[-3:] = [2 * quarter - 1, 5 + 2, 1]  # an n-gram of three from the second word
    assert made.change(parts, tag(parts.words), drawn) == "x7, x0"


def test_a_pair_in_three_passes():
    other = " ".join(f"w{i}" for i in range(W, 2 * W))
    work = tang(copies=30)
    made = work(1, (TEXT, other))
    assert work.per_row(2) == len(made) == 90
    assert [copy.copy for copy in made] == list(range(90))
    for copy in made:
        first, second = copy.texts
        assert (first == TEXT, second == other) == (
            (copy.copy >= 30) and (copy.copy < 60),
            copy.copy < 30,
        )
    assert len({copy.texts for copy in made}) == 90
    both = made[60].texts
    places = [[at for at, word in enumerate(text.split()) if word == MASK] for text in both]
    assert places[0] != places[1]  # each text draws for itself


def test_what_is_made_of_a_row_depends_on_its_number_and_the_seed_alone():
    made = tang(copies=5)(7, (TEXT,))
    assert tang(copies=9)(7, (TEXT,))[:5] == made
    assert tang(copies=5)(8, (TEXT,)) != made
    assert tang(copies=5, seed=1)(7, (TEXT,)) != made
    assert [copy.row for copy in made] == [7] * 5


def test_words_of_a_class_that_the_lexicon_lacks_stay():
    made = tang(p_mask=0.0, p_pos=1.0, tag=lambda found: ["unheard"] * len(found))(0, (TEXT,))
    assert {copy.texts[0] for copy in made} == {TEXT}


@pytest.mark.parametrize("split", [words, characters])
def test_nothing_but_words_changes(split):
    text = "酒店w1，很w2 好！w3"
    for copy in tang(split=split, p_ng=0.0)(0, (text,)):
        assert "酒" in copy.texts[0] or MASK in copy.texts[0]
        assert len(split(copy.texts[0])) == len(split(text))


@settings(deadline=None, max_examples=100)
@given(ANY, ANY, st.sampled_from(CUTTERS), st.integers(0, 2**31 - 1))
def test_any_pair_of_texts(one, other, split, row):
    work = tang(copies=3, split=split, p_ng=0.5, p_mask=0.3)
    made = work(row, (one, other))
    assert [(copy.row, copy.copy) for copy in made] == [(row, number) for number in range(9)]
    assert all(copy.texts[1] == other for copy in made[:3])
    assert all(copy.texts[0] == one for copy in made[3:6])
    assert made == work(row, (one, other))
