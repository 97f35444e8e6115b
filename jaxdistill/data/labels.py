"""What the label column of somebody's own file says: classes, a number, or several labels at once.

Several labels stand in one field with "|" between them (a|b), or as a JSON list (["a", "b"]).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxdistill.errors import UserError

KINDS = ("classes", "number", "many")
"""What labels can be: one of some names, a number to predict, or any of some names."""
SEPARATOR = "|"
NULL = "(null)"
"""What a label that JSON or Parquet leaves out reads as: no label was given, not none of them."""
MOST_CLASSES = 20
"""Whole numbers of no more different values than this are taken for the names of classes."""
_OTHERWISE = "If that is wrong, say --config.data.labels="


class Found(NamedTuple):
    """What a column of labels was found to hold."""

    kind: str
    names: tuple[str, ...]
    """Of classes, in the order of their numbers: numbers by size, other names by their letters."""


def find_labels(
    values: Sequence[str], lines: Sequence[int], where: str, kind: str | None
) -> tuple[Found, str]:
    """What the labels [N] are, and a sentence that says so.

    Args:
      lines: [N], where in the file each stands.
      where: the file and its column, for messages.
      kind: one of KINDS; None to find out.

    Raises UserError, naming the line, where labels are of several kinds, missing, all the same, or
    so many that they look like something else.
    """
    values = [value.strip() for value in values]
    gaps = ["" if value == NULL else value for value in values]
    taken = _infer(gaps, lines, where) if kind is None else kind
    by = "taken for" if kind is None else "read as"
    rest = ", ".join(other for other in KINDS if other != taken)
    remedy = f" {_OTHERWISE}{rest.replace(', ', ' or ')}." if kind is None else ""
    _no_gaps(gaps if taken != "many" else [value != NULL for value in values], lines, where)
    if taken == "number":
        spread = _spread(values, lines, where)
        return Found(taken, ()), f"{where}: labels {by} numbers; {spread}.{remedy}"
    sets = [names_in(value) if taken == "many" else [value] for value in values]
    counts = Counter(name for names in sets for name in dict.fromkeys(names))
    if taken == "many" and len(counts) == 1:
        ((name, count),) = counts.items()
        raise UserError(
            f"{where}: one label alone, {name!r}, in {count:,} of {len(values):,} rows. Where the "
            f"others are its opposite, write a name for them too, and say "
            f"--config.data.labels=classes."
        )
    if len(counts) < 2:
        only = f"is always {next(iter(counts))!r}" if counts else "names no label anywhere"
        raise UserError(
            f"{where}: the label {only} in all {len(values):,} rows, so that there is nothing to "
            f"tell apart. Give rows of at least two labels, or name another column in "
            f"config.data.label."
        )
    if kind is None and len(counts) > MOST_CLASSES and 2 * len(counts) > len(values):
        raise UserError(
            f"{where}: {len(counts):,} different labels in {len(values):,} rows, such as "
            f"{next(iter(counts))[:40]!r}: is that the column of labels? Name it in "
            f"config.data.label; if it is, say --config.data.labels=classes, many or number."
        )
    names = tuple(sorted(counts, key=_by_size if all(map(_whole, counts)) else str))
    shown = ", ".join(f"{name} {counts[name]:,}" for name in names[:MOST_CLASSES])
    more = f" and {len(names) - MOST_CLASSES:,} more" if len(names) > MOST_CLASSES else ""
    what = "classes" if taken == "classes" else "names of which a row has any number"
    return Found(taken, names), f"{where}: labels {by} {len(names)} {what} ({shown}{more}).{remedy}"


def names_in(value: str) -> list[str]:
    """The names in a field that may hold several; none in an empty one."""
    listed = _listed(value)
    if listed is not None:
        return [as_text(item).strip() for item in listed]
    return [name for name in map(str.strip, value.split(SEPARATOR)) if name]


def as_set(value: str, accepted: Mapping[str, int]) -> list[int] | None:
    """[C] of 1 and 0, which of the accepted names are in the field; None if it has another."""
    names = names_in(value)
    if any(name not in accepted for name in names):
        return None
    found = {accepted[name] for name in names}
    return [int(number in found) for number in range(len(accepted))]


def as_number(value: str) -> float | None:
    """The value as a finite float32, None if it is none."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) <= float(np.finfo(np.float32).max) else None


def as_text(label: Any) -> str:
    """A JSON label as a file would write it; what writes 1.0 for class 1 is common."""
    if isinstance(label, list):
        return json.dumps(label, ensure_ascii=False)
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def _infer(values: Sequence[str], lines: Sequence[int], where: str) -> str:
    lists = [bool(value) and _listed(value) is not None for value in values]
    if any(lists):
        for value, line, is_list in zip(values, lines, lists, strict=True):
            if value and not is_list:
                one = lines[lists.index(True)]
                raise UserError(
                    f"{where}: labels of two kinds: line {one} has a list and line {line} has "
                    f"{value[:40]!r}. Write a list in every row, or say what the labels are with "
                    f"--config.data.labels=many (or classes)."
                )
        return "many"
    if any(SEPARATOR in value for value in values):
        return "many"
    known = [as_number(value) for value in values]
    numbers = [number for number in known if number is not None]
    fine = any(not number.is_integer() for number in numbers)
    different = set(numbers)
    measured = fine or len(different) > MOST_CLASSES
    if len(numbers) == len(values) and measured and not fine:
        least = int(min(different))
        if 3 * len(different) > 2 * (int(max(different)) - least + 1):
            raise UserError(
                f"{where}: the labels are whole numbers from {least} to {max(different):.0f}, "
                f"{len(different)} different ones. They may number classes, or be amounts: say "
                f"which with --config.data.labels=classes (or number)."
            )
    if measured and 2 * len(numbers) > len(values):
        for value, line, number in zip(values, lines, known, strict=True):
            if number is None:
                raise UserError(
                    f"{where}: labels of two kinds: {len(numbers):,} of {len(values):,} are "
                    f"numbers, and line {line} has {value[:40]!r}. Mend or remove the row, or say "
                    f"what the labels are with --config.data.labels=classes (or number)."
                )
        return "number"
    return "classes"


def _no_gaps(values: Sequence[object], lines: Sequence[int], where: str) -> None:
    empty = [line for value, line in zip(values, lines, strict=True) if not value]
    if empty:
        raise UserError(
            f"{where}, line {empty[0]}: the label is empty ({len(empty):,} such rows). Give each "
            f"row its label, or move the texts without one to a file of their own, for a teacher "
            f"to label: --config.data.unlabelled=FILE."
        )


def _spread(values: Sequence[str], lines: Sequence[int], where: str) -> str:
    """From where to where the numbers go, for people."""
    numbers = []
    for value, line in zip(values, lines, strict=True):
        number = as_number(value)
        if number is None:
            raise UserError(
                f"{where}, line {line}: the label is {value[:40]!r}, and a finite number is "
                f"needed. Mend the row; for names say --config.data.labels=classes."
            )
        numbers.append(number)
    least, most = min(numbers), max(numbers)
    if least == most:
        raise UserError(
            f"{where}: the label is {least:g} in all {len(numbers):,} rows, so that there is "
            f"nothing to learn. Name another column in config.data.label."
        )
    wide = max(abs(least), abs(most)) > 10
    advice = "; that is far for a model that starts near 0: divide them to within 5" if wide else ""
    return f"{least:g} to {most:g}{advice}"


def _listed(value: str) -> list[Any] | None:
    """The JSON list that a field holds, None if it holds none."""
    if not value.lstrip().startswith("["):
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _whole(name: str) -> bool:
    digits = name.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 19


def _by_size(name: str) -> tuple[int, str]:
    return int(name), name
