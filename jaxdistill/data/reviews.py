"""Synthetic reviews with a known rule, English and Chinese: data that needs no network.

A review has one to three clauses; each says something good or bad about one aspect of a film, a
meal, a hotel or a gadget. Its label follows from its structure by `verdict` alone:

    negation     turns a clause over: "was never dull" is praise
    degree       weighs it: a little 1, plain 2, utterly 3; the larger sum decides
    concession   "although the soup was good, ..." does not count, the other clause does
    report       what others say, what was expected or would have been possible does not count

Every structure is as frequent with all its words turned into their counterparts, and so with the
other label. What single words tell is little: logistic regression on 10,000 rows reaches about 0.65
by counting words and 0.84 by counting pairs of neighbours. The texts are made up: accuracy on them
says nothing about accuracy on real ones.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from jaxdistill.data.dice import Dice
from jaxdistill.data.phrases import Frames, Language
from jaxdistill.data.phrases_en import ENGLISH
from jaxdistill.data.phrases_zh import CHINESE
from jaxdistill.errors import UserError

LANGUAGES: Mapping[str, Language] = {"en": ENGLISH, "zh": CHINESE}
"""By ISO 639-1 code."""
SPLITS = ("train", "dev")
NOISE = 5
"""Percent of the train rows whose label is turned over; dev has none."""

_SEED = 20_260_101
_TEXTS, _NOISE = 0, 1
"""What random numbers are drawn for."""


class Clause(NamedTuple):
    """One judgement."""

    aspect: int
    """Which of the topic's aspects."""
    verb: bool
    """Whether the judging word is a verb ("annoyed us") or an adjective ("was dull")."""
    word: int
    """Which pair of judging words."""
    sign: int
    """The judging word's own: 1 praise, -1 blame."""
    negated: bool = False
    degree: int = 2
    """1 weakened, 2 plain, 3 intensified; a negated clause is plain."""
    role: str = "stated"
    """"stated", "conceded" or "reported"."""


@dataclass(frozen=True)
class Review:
    """What is said, before it is put into words."""

    topic: int
    clauses: tuple[Clause, ...]
    """In the order in which they are read; a reported one comes first or last."""


def value(clause: Clause) -> int:
    """What a clause adds to the verdict."""
    if clause.role != "stated":
        return 0
    return clause.sign * clause.degree * (-1 if clause.negated else 1)


def verdict(review: Review) -> int:
    """The review's class: 0 negative, 1 positive. Its values never sum to 0."""
    return int(sum(map(value, review.clauses)) > 0)


def mirror(review: Review) -> Review:
    """The review with every judging word turned into its counterpart: the other verdict."""
    clauses = tuple(clause._replace(sign=-clause.sign) for clause in review.clauses)
    return replace(review, clauses=clauses)


def generate(language: str, split: str, rows: int) -> tuple[list[str], list[int]]:
    """The first `rows` texts of a split and their classes (0 negative, 1 positive).

    A pure function: the same in every process, on every platform. Fewer rows are a prefix of more;
    classes are balanced before the noise. No text is there twice, and none is in both splits.
    Raises UserError for another language than en and zh, and another split than train and dev.
    """
    drawn = reviews(language, split, rows)
    labels = [verdict(review) for review, _ in drawn]
    if split == "train":
        dice = _dice(_NOISE, language, split)
        labels = [1 - label if dice.chance(NOISE) else label for label in labels]
    return [text for _, text in drawn], labels


def reviews(language: str, split: str, rows: int) -> list[tuple[Review, str]]:
    """The reviews behind `generate`, each with its text; no noise. Raises what generate does."""
    if language not in LANGUAGES or split not in SPLITS or rows < 0:
        raise UserError(
            f"There are no {rows} synthetic reviews in language {language!r}, split {split!r}: "
            f"languages are {', '.join(LANGUAGES)}, splits {', '.join(SPLITS)}, rows 0 or more."
        )
    dice, words = _dice(_TEXTS, language, split), LANGUAGES[language]
    drawn: list[tuple[Review, str]] = []
    seen: set[str] = set()
    wanted = 0
    while len(drawn) < rows:
        # Of two rows in a row, one is positive.
        wanted = 1 - wanted if len(drawn) % 2 else dice.below(2)
        while True:
            review = _draw(dice, words)
            review = review if verdict(review) == wanted else mirror(review)
            text = _say(review, words, dice)
            key = _key(text)
            if _split_of(key) == split and key not in seen:
                break
        seen.add(key)
        drawn.append((review, text))
    return drawn


def _dice(purpose: int, language: str, split: str) -> Dice:
    return Dice(_SEED, purpose, list(LANGUAGES).index(language), SPLITS.index(split))


def _key(text: str) -> str:
    """The text's letters: texts that differ in case or punctuation only count as one."""
    return "".join(character for character in text.lower() if character.isalnum())


def _split_of(key: str) -> str:
    """A text belongs to one split by its hash, so that dev is not in train whatever the rows."""
    return "dev" if hashlib.sha256(key.encode()).digest()[0] < 64 else "train"


def _draw(dice: Dice, words: Language) -> Review:
    topic = dice.below(len(words.topics))
    shape = dice.below(100)
    core: tuple[Clause, ...]
    if shape < 50:
        core = (_clause(dice, words, topic, dice.sign(), negated=30),)
        reported = dice.chance(50)
    elif shape < 75:
        # A concession is the opposite of what is stated, or "although" makes no sense.
        sign = dice.sign()
        core = (
            _clause(dice, words, topic, sign, dice.pick((2, 3))),
            _clause(dice, words, topic, -sign, dice.pick((1, 1, 2)))._replace(role="conceded"),
        )
        core = core[::-1] if dice.chance(60) else core
        reported = dice.chance(15)
    else:
        # Two degrees, never the same one twice: the sum of opposites is not 0.
        one = dice.sign()
        other = -one if dice.chance(45) else one
        low, high = dice.pick(((1, 3), (1, 3), (1, 3), (1, 2), (2, 3)))
        core = (_clause(dice, words, topic, one, low), _clause(dice, words, topic, other, high))
        core = core[::-1] if dice.chance(50) else core
        reported = dice.chance(10)
    if len(core) == 2:
        core = (core[0], core[1]._replace(aspect=_another(dice, words, topic, core[0].aspect)))
    if not reported:
        return Review(topic, core)
    aside = _report(dice, words, topic, core)
    return Review(topic, (aside, *core) if dice.chance(70) else (*core, aside))


def _clause(
    dice: Dice, words: Language, topic: int, sign: int, degree: int = 2, *, negated: int = 10
) -> Clause:
    """A clause that amounts to `sign`; `negated` percent of the plain ones negate the opposite."""
    verb = dice.chance(20)
    turned = degree == 2 and dice.chance(negated)
    pairs = words.verbs.praise if verb else _adjectives(words, topic, 1)
    return Clause(
        aspect=dice.below(len(words.topics[topic].aspects)),
        verb=verb,
        word=dice.below(len(pairs)),
        sign=-sign if turned else sign,
        negated=turned,
        degree=degree,
    )


def _report(dice: Dice, words: Language, topic: int, core: tuple[Clause, ...]) -> Clause:
    """A reported clause, for or against the verdict, about the one clause's aspect or another."""
    mine = 1 if verdict(Review(topic, core)) else -1
    clause = _clause(dice, words, topic, mine * dice.sign(), negated=20)
    same = len(core) == 1 and dice.chance(50)
    aspect = core[0].aspect if same else _another(dice, words, topic, core[0].aspect)
    return clause._replace(aspect=aspect, role="reported")


def _another(dice: Dice, words: Language, topic: int, aspect: int) -> int:
    count = len(words.topics[topic].aspects)
    return (aspect + 1 + dice.below(count - 1)) % count


def _adjectives(words: Language, topic: int, sign: int) -> tuple[str, ...]:
    own = words.topics[topic].adjectives
    return words.adjectives.praise + own.praise if sign > 0 else words.adjectives.blame + own.blame


def _say(review: Review, words: Language, dice: Dice) -> str:
    """The review in words; the dice choose among turns of phrase that mean the same."""
    aspects = [None, *(clause.aspect for clause in review.clauses)]
    said = [
        _say_clause(clause, review.topic, words, dice, again=clause.aspect == before)
        for clause, before in zip(review.clauses, aspects, strict=False)
    ]
    roles = [clause.role for clause in review.clauses]
    at = roles.index("reported") if "reported" in roles else None
    aside = said.pop(at) if at is not None else None
    roles = [role for role in roles if role != "reported"]
    text = said[0]
    if len(said) == 2:
        joins = words.addition
        if "conceded" in roles:
            first = roles[0] == "conceded"
            joins = words.concession_first if first else words.concession_last
        text = dice.pick(joins).format(*said)
    if aside is not None:
        text = dice.pick(words.aside).format(*((aside, text) if at == 0 else (text, aside)))
    if len(review.clauses) < 3 and dice.chance(40):
        space = " " if words.stop == "." else ""
        text = f"{dice.pick(words.topics[review.topic].openings)}{words.stop}{space}{text}"
    capitals = re.sub(r"(^|\. )([a-z])", lambda found: found[1] + found[2].upper(), text)
    return capitals + words.stop


def _say_clause(clause: Clause, topic: int, words: Language, dice: Dice, *, again: bool) -> str:
    frames = words.verb_frames if clause.verb else words.adjective_frames
    if clause.verb:
        known = words.verbs.praise if clause.sign > 0 else words.verbs.blame
    else:
        known = _adjectives(words, topic, clause.sign)
    return dice.pick(_frames(clause, frames)).format(
        s=words.pronoun if again else words.topics[topic].aspects[clause.aspect],
        w=known[clause.word],
        i=dice.pick(frames.strong if clause.degree == 3 else frames.weak),
    )


def _frames(clause: Clause, frames: Frames) -> tuple[str, ...]:
    if clause.role == "reported":
        return frames.reported_negated if clause.negated else frames.reported
    if clause.negated:
        return frames.negated
    return frames.plain if clause.degree == 2 else frames.graded
