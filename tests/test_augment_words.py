"""Texts in words and back, word classes, the lexicon: by hand and on any text."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdistill.data.augment import classes
from jaxdistill.data.augment.classes import Induced, jieba_tags
from jaxdistill.data.augment.draws import RANGE, below, draws
from jaxdistill.data.augment.lexicon import count_words
from jaxdistill.data.augment.words import (
    SPLITS,
    characters,
    cut,
    jieba_words,
    normal,
    rebuild,
    words,
)

PARTS = [*"我 喜欢 这家 酒店 的电影 。 ， iPhone 15 [MASK]".split(), " ", "\u3000"]
ANY = st.one_of(
    st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("\ud800\udfff 我'-_"))),
    st.lists(st.sampled_from(PARTS)).map("".join),
)
CUTTERS = [words, characters, str.split, *([jieba_words] if find_spec("jieba") else [])]
"""Ways to cut a text; jieba's where it is installed."""


def test_words_by_hand():
    assert words("It's well-made, isn't it?!") == "It's well-made , isn't it ? !".split()
    assert words("it 's 'quoted' [MASK] 好看") == "it 's ' quoted ' [MASK] 好看".split()
    assert characters("我爱iPhone 15, ok[MASK]") == "我 爱 iPhone 15 , ok [MASK]".split()


@settings(deadline=None)
@given(ANY, st.sampled_from(CUTTERS))
def test_an_unchanged_text_is_the_same_text(text, split):
    parts = cut(text, split)
    assert rebuild(parts, parts.words, 0, len(parts.words)) == text.strip()
    assert len(parts.words) == len(parts.gaps)


def test_what_is_changed_stands_where_it_stood():
    parts = cut("a  good,\tfilm", words)
    assert rebuild(parts, ["a", "[MASK]", ",", "plot"], 0, 4) == "a  [MASK],\tplot"
    assert rebuild(parts, parts.words, 1, 3) == "good,"
    joined = cut("iphone手机好", characters)
    assert rebuild(joined, ["iphone", "app", "机", "好"], 0, 4) == "iphone app机好"
    assert rebuild(joined, joined.words, 0, 4) == "iphone手机好"


def test_words_that_are_no_part_of_the_text_have_single_spaces():
    parts = cut("A GOOD  film", lambda text: text.lower().split())
    assert rebuild(parts, parts.words, 0, 3) == "a good film"


def test_what_tells_texts_apart():
    assert normal("A good, film") == normal(" a GOOD  ,film") == "a good , film"
    assert normal("我爱 你") == normal("我 爱你")
    assert normal("ab c") != normal("a bc")


def test_jieba_words():
    pytest.importorskip("jieba")
    assert jieba_words("我喜欢这家酒店 very much") == ["我", "喜欢", "这家", "酒店", "very", "much"]
    text = "房间  很干净，服务也好"
    parts = cut(text, SPLITS["jieba"])
    assert rebuild(parts, parts.words, 0, len(parts.words)) == text
    assert jieba_tags(["喜欢", "手机", "qqqqx"]) == ["v", "n", None]


# ---- draws


def test_draws_are_what_they_were():
    """NumPy promises these streams; were they to change, so would everybody's rows."""
    assert draws(0, 0, 0, 0, 2) == GOLDEN[0]
    assert draws(1, 2, 3, 1, 2) == GOLDEN[1]


GOLDEN = [
    [16768343927085259644, 15672511704816297422],
    [9796768203084217364, 3333988372348407581],
]


def test_draws_have_an_address():
    addresses = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    found = [draws(*address, 64) for address in addresses]
    assert len({number for numbers in found for number in numbers}) == 5 * 64
    assert draws(0, 1, 0, 0, 8) == found[2][:8]


def test_below():
    assert below(0.0) == 0
    assert below(1.0) == RANGE
    assert below(0.25) == RANGE // 4


# ---- classes


def test_a_lexicon_by_hand():
    def tag(found):
        return ["long" if len(w) > 2 else "short" if w != "," else None for w in found]

    texts = [["a", "film", ",", "a"], ["b", "film", "plot", ","]]
    lexicon, share = count_words(texts, tag)
    assert lexicon.words == {"long": ["film", "plot"], "short": ["a", "b"]}
    assert lexicon.reach == {"long": [2, 3], "short": [2, 3]}
    assert share == 6 / 8
    drawn = [lexicon.draw("short", number) for number in range(6)]
    assert drawn == ["a", "a", "b", "a", "a", "b"]
    other, _ = count_words([*texts, ["b"]], tag)
    assert lexicon.digest() != other.digest()


NOUNS, VERBS = "film plot cast story".split(), "bores moves drags shines".split()


def test_words_between_the_same_words_are_of_one_class(monkeypatch):
    monkeypatch.setattr(classes, "CLASSES", 4)
    texts = [["The", noun, verb, "."] for noun in NOUNS for verb in VERBS]
    tagger = Induced([*texts, ["once"]])
    assert len(set(tagger(NOUNS))) == len(set(tagger(VERBS))) == 1
    assert len({tagger([word])[0] for word in ("film", "bores", "the", ".")}) == 4
    assert tagger(["FILM", "once", "never"]) == [tagger(["film"])[0], None, None]


@pytest.mark.parametrize(
    ("texts", "number"),
    [([], {}), ([[]], {}), ([["one"]], {}), ([["a", "a"], ["a", "a"]], {"a": 0})],
)
def test_few_texts_have_few_classes(texts, number):
    tagger = Induced(texts)
    assert tagger.number == number
    assert tagger(["b"]) == [None]
