"""How often a word that Tang et al.'s augmentation draws is of the part of speech it replaces.

    python -m benchmarks.parts_of_speech --data GLUE --lexicon LEXICON

LEXICON has a word and its most frequent Penn tag a line, such as the file en/en-lexicon.txt of the
package textblob; words that it lacks do not count. Each token of a task's train texts is replaced
in turn by a word of its class, as often as that occurs. Prints for each task and tagger the
probability that both have the same tag, that without words drawn for themselves, and the share of
tokens that have a class.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from jaxdistill.data.augment.classes import Induced
from jaxdistill.data.augment.english import English
from jaxdistill.data.augment.lexicon import Tagger
from jaxdistill.data.augment.words import words
from jaxdistill.data.readers import read_split
from jaxdistill.data.tasks import find_task
from jaxdistill.notices import ignore

TASKS = ("sst2", "mrpc", "cola")
"""The lists and endings of `english` were made on the first one alone."""


def main() -> None:
    """Reads, tags, counts, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the folder with SST-2/train.tsv and others")
    parser.add_argument("--lexicon", required=True, help="a word and its tag a line")
    args = parser.parse_args()
    known = read_lexicon(Path(args.lexicon))
    print("| | | same tag | of other words | with a class |\n|---|---|---:|---:|---:|")
    for name in TASKS:
        split = read_split(find_task(name), "train", args.data, ignore)
        texts = [words(text) for column in split.texts for text in column]
        for tagger, tag in (
            ("english", English(texts)),
            ("contexts", Induced(texts)),
            ("no classes", lambda found: ["any"] * len(found)),
        ):
            cells = " | ".join(f"{share:.3f}" for share in agreement(texts, tag, known))
            print(f"| {name} | {tagger} | {cells} |")


def read_lexicon(path: Path) -> dict[str, str]:
    """Word -> tag; a word in lower case has that of its first spelling where it has no other."""
    pairs = [line.split() for line in path.read_text("utf-8").splitlines()]
    known = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    for word, tag in list(known.items()):
        known.setdefault(word.lower(), tag)
    return known


def agreement(
    texts: Sequence[Sequence[str]], tag: Tagger, known: dict[str, str]
) -> tuple[float, float, float]:
    """(P(same tag), P(same tag | another word), the share of tokens with a class)."""
    counts = Counter(word for text in texts for word in text)
    classes = dict(zip(counts, tag(list(counts)), strict=True))
    drawn: dict[str, Counter[str]] = defaultdict(Counter)
    itself: Counter[str] = Counter()
    for word, count in counts.items():
        right = known.get(word, known.get(word.lower()))
        where = classes[word]
        if right is not None and where is not None:
            drawn[where][right] += count
            itself[where] += count * count
    tokens = sum(found.total() for found in drawn.values())
    same = sum(n * n / found.total() for found in drawn.values() for n in found.values())
    alone = sum(itself[where] / found.total() for where, found in drawn.items())
    with_class = sum(count for word, count in counts.items() if classes[word] is not None)
    return same / tokens, (same - alone) / (tokens - alone), with_class / counts.total()


if __name__ == "__main__":
    main()
