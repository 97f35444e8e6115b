"""The synthetic reviews: the rule by hand, the splits, and that counting words is not enough."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdistill.data.phrases import Frames
from jaxdistill.data.readers import read_file, read_split
from jaxdistill.data.reviews import (
    LANGUAGES,
    Clause,
    Review,
    generate,
    mirror,
    reviews,
    value,
    verdict,
)
from jaxdistill.data.tasks import TASKS
from jaxdistill.errors import UserError

GOOD, BAD = 1, -1


def clause(sign: int, role: str = "stated", *, negated: bool = False, degree: int = 2) -> Clause:
    return Clause(0, False, 0, sign, negated, degree, role)


@pytest.mark.parametrize(
    ("said", "clauses", "positive"),
    [
        ("It was good.", [clause(GOOD)], True),
        ("It was never dull.", [clause(BAD, negated=True)], True),
        ("It was hardly good.", [clause(GOOD, negated=True)], False),
        (
            "It was a little good and it was utterly awful.",
            [clause(GOOD, degree=1), clause(BAD, degree=3)],
            False,
        ),
        ("It was good; it was utterly awful.", [clause(GOOD), clause(BAD, degree=3)], False),
        ("Not dull, a bit weak.", [clause(BAD, negated=True), clause(BAD, degree=1)], True),
        (
            "Although it was utterly awful, it was good.",
            [clause(BAD, "conceded", degree=3), clause(GOOD)],
            True,
        ),
        ("It was bad, although it was good.", [clause(BAD), clause(GOOD, "conceded")], False),
        ("My friend called it awful. It was good.", [clause(BAD, "reported"), clause(GOOD)], True),
        (
            "It was not good; I had expected it to be good.",
            [clause(GOOD, negated=True), clause(GOOD, "reported")],
            False,
        ),
    ],
)
def test_rule_by_hand(said: str, clauses: list[Clause], positive: bool) -> None:
    assert verdict(Review(0, tuple(clauses))) == positive, said


# Labels by reading, not by the rule.
READ = {
    "en": {
        "Although I found the fish somewhat good, the cake felt dreadful.": 0,
        "The pool hardly irritated me.": 1,
        "My friend called the bread frustrating; it was not fresh.": 0,
        "The keyboard was never admirable. In better hands it could have been good.": 0,
        "The neighbours said the script was not subtle. It was annoying.": 0,
        "I found the pool a little clean, and we thought the lounge absolutely charming.": 1,
        "The microphone utterly amused us, and I found the speaker dreadful.": 1,
        "The neighbours said the case was awful; I found the charger pleasant.": 1,
        "Check-in took ten minutes. We thought the suite so"
        "mewhat smelly; the terrace felt absolutely gloomy.": 0,
        "The cinema was half full. The neighbours said the "
        "pacing was subtle. The camera work was never wooden.": 1,
    },
    "zh": {
        "酒店离码头很近。没人会说茶室糟。": 1,
        "我觉得特效非常糟糕，尽管剪辑挺动人的。": 0,
        "台词极其棒，同时画面多少吸引了我们。": 1,
        "大堂算不上理想。": 0,
        "妹妹觉得台词很糟；表演激怒了我们。": 0,
        "网友都说大堂很出色；泳池并不明亮，不过房间挺出色的。": 1,
        "浴室特别敷衍，我觉得大堂比较让人失望。": 0,
        "面条可以说很令人后悔，但是凉菜最后深深吸引了我们。": 1,
        "我们四个人坐在窗边。尽管汤很棒，在我看来早餐格外敷衍。": 0,
        "晚上点了一份套餐。凉菜最后稍稍征服了我们；牛肉最后冒犯了我们。": 0,
    },
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_say_what_their_labels_say(language: str) -> None:
    texts, labels = generate(language, "dev", 400)
    found = dict(zip(texts, labels, strict=True))
    assert {text: found[text] for text in READ[language]} == READ[language]


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(list(LANGUAGES)), st.integers(0, 300), st.integers(0, 300))
def test_splits_share_no_text_and_fewer_rows_are_a_prefix(language: str, n: int, m: int) -> None:
    train, dev = generate(language, "train", n), generate(language, "dev", m)
    assert len(train[0]) == len(train[1]) == n
    assert len({*train[0], *dev[0]}) == n + m
    longer = generate(language, "train", n + 5)
    assert (longer[0][:n], longer[1][:n]) == train


@pytest.mark.parametrize("language", LANGUAGES)
def test_whole_corpus(language: str) -> None:
    train = reviews(language, "train", 12_000)
    dev = reviews(language, "dev", 2000)
    assert len({text for _, text in (*train, *dev)}) == 14_000
    for drawn in (train, dev):
        labels = np.array([verdict(review) for review, _ in drawn])
        np.testing.assert_array_equal(labels.reshape(-1, 2).sum(1), 1)  # one of two is positive
    clean = np.array([verdict(review) for review, _ in train])
    noisy = np.array(generate(language, "train", 12_000)[1])
    assert 0.04 < (clean != noisy).mean() < 0.06
    assert generate(language, "dev", 2000)[1] == [verdict(review) for review, _ in dev]
    clauses = [len(review.clauses) for review, _ in train]
    assert {1, 2, 3} == set(clauses)
    sizes = [len(text.split()) if language == "en" else len(text) for _, text in train]
    low, high = (12, 18) if language == "en" else (20, 30)
    assert low < np.mean(sizes) < high
    for review, text in train[:3000]:
        assert verdict(mirror(review)) == 1 - verdict(review)
        assert sum(map(value, review.clauses)) != 0
        assert "{" not in text and "  " not in text and ".." not in text
        assert text[0] == text[0].upper() and text[-1] in ".。"


@pytest.mark.parametrize("language", LANGUAGES)
def test_language_is_symmetric(language: str) -> None:
    """Praise and blame are as many and never the same; each frame has what it is filled with."""
    words = LANGUAGES[language]
    pairs = [words.adjectives, words.verbs, *(topic.adjectives for topic in words.topics)]
    for praise, blame in pairs:
        assert len(praise) == len(blame) == len({*praise, *blame}) / 2
    adjectives = [word for pair in pairs for side in pair for word in side]
    assert len(set(adjectives)) == len(adjectives)
    for frames in (words.adjective_frames, words.verb_frames):
        for name in Frames._fields[:5]:
            for frame in getattr(frames, name):
                assert (frame.count("{s}"), frame.count("{w}")) == (1, 1)
                assert frame.count("{i}") == (name == "graded")
    for join in words.concession_first + words.concession_last + words.addition + words.aside:
        assert join.index("{0}") < join.index("{1}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_counting_words_is_not_enough(language: str) -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    linear = pytest.importorskip("sklearn.linear_model")
    train, dev = generate(language, "train", 10_000), generate(language, "dev", 2000)
    scores = []
    for longest in (1, 2):
        # Chinese by characters: each is a word of its own to BERT's tokenizer.
        counter = text.CountVectorizer(
            ngram_range=(1, longest),
            token_pattern=r"\w+" if language == "en" else r"\w",
        )
        model = linear.LogisticRegression(C=0.3, solver="liblinear")
        model.fit(counter.fit_transform(train[0]), train[1])
        scores.append(model.score(counter.transform(dev[0]), dev[1]))
    assert 0.55 < scores[0] < 0.75 and 0.65 < scores[1] < 0.88, scores


# What other platforms, Python and NumPy versions must find, too.
DIGESTS = {
    "en": "9f0677ce010d35f480ca289fc97d9af1c36d8a0a343bc9b89e96c4802909b935",
    "zh": "c20c6792946b10e0c767d09d206290cb1a48848ae5908aff45546f862d1a0df5",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_corpus_is_always_the_same(language: str) -> None:
    both = [generate(language, split, 1000) for split in ("train", "dev")]
    assert hashlib.sha256(repr(both).encode()).hexdigest() == DIGESTS[language]


@pytest.mark.parametrize(
    ("language", "split", "rows"), [("de", "dev", 1), ("en", "test", 1), ("en", "dev", -1)]
)
def test_what_there_is_not_is_refused(language: str, split: str, rows: int) -> None:
    with pytest.raises(UserError, match=r"languages are en, zh, splits train, dev"):
        generate(language, split, rows)


@pytest.mark.parametrize(("name", "language"), [("reviews", "en"), ("reviews_zh", "zh")])
def test_task_is_generated_whatever_the_folder(name: str, language: str, tmp_path: Path) -> None:
    task, notices = TASKS[name], list[str]()
    for folder in ("", tmp_path / "nowhere"):
        for split in ("train", "dev"):
            examples = read_split(task, split, folder, notices.append)
            texts, labels = generate(language, split, task.rows[split])
            assert examples.texts == (texts,)
            np.testing.assert_array_equal(examples.labels, labels)
            assert examples.labels.dtype == np.int32
    assert notices == []
    with pytest.raises(UserError, match=r"no split 'test'. Its splits are train, dev"):
        read_split(task, "test", "")


@pytest.mark.parametrize("ending", [".tsv", ".csv", ".jsonl"])
def test_file_of_reviews_is_read_by_its_columns(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"mine{ending}"
    path.write_text(
        {
            ".tsv": "label\ttext\nnegative\tIt was dull.\n1\tIt was good.\n",
            ".csv": "label,text\nnegative,It was dull.\n1,It was good.\n",
            ".jsonl": '{"text": "It was dull.", "label": 0}\n'
            '{"text": "It was good.", "label": 1}\n',
        }[ending]
    )
    examples = read_file(TASKS["reviews"], path, lambda text: None)
    assert examples.texts == (["It was dull.", "It was good."],)
    assert examples.labels.tolist() == [0, 1]


def test_reviews_load_no_jax() -> None:
    script = "import sys, jaxdistill.data.reviews; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
