"""What a language brings to the synthetic reviews (data/reviews.py): words and turns of phrase.

In frames, {s} is what is judged, {w} the judging word, {i} an adverb of degree; in joins, {0} and
{1} are clauses in the order in which they are read. Praise and blame are lists of equal length, and
every frame takes both, so that no word but the judging ones leans to either side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Words(NamedTuple):
    """Judging words: praise[i] and blame[i] are counterparts."""

    praise: tuple[str, ...]
    blame: tuple[str, ...]


class Topic(NamedTuple):
    """What is reviewed."""

    aspects: tuple[str, ...]
    """What is judged about it."""
    adjectives: Words
    """Those that only this topic uses."""
    openings: tuple[str, ...]
    """Sentences that judge nothing."""


class Frames(NamedTuple):
    """The clauses that one kind of judging word stands in."""

    plain: tuple[str, ...]
    graded: tuple[str, ...]
    negated: tuple[str, ...]
    reported: tuple[str, ...]
    """What others find, what was expected or would have been possible: not the writer's verdict."""
    reported_negated: tuple[str, ...]
    strong: tuple[str, ...]
    """Adverbs that intensify."""
    weak: tuple[str, ...]
    """Adverbs that weaken."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """All that a review of one language is made of."""

    topics: tuple[Topic, ...]
    adjectives: Words
    """Those that every topic uses."""
    verbs: Words
    adjective_frames: Frames
    verb_frames: Frames
    pronoun: str
    """Stands for an aspect that the clause before has named."""
    concession_first: tuple[str, ...]
    """Joins of a conceded clause and a stated one."""
    concession_last: tuple[str, ...]
    """Joins of a stated clause and a conceded one."""
    addition: tuple[str, ...]
    """Joins of two stated clauses."""
    aside: tuple[str, ...]
    """Joins of a reported clause and the rest, in either order."""
    stop: str
    """Ends a sentence."""


def words(text: str) -> tuple[str, ...]:
    """The parts of "a|b|c"."""
    return tuple(part.strip() for part in text.split("|"))
