"""Which of a teacher's layers stand for a student's. They count from 1; 0 is the embedding."""

from __future__ import annotations

from jaxdistill.errors import UserError


def uniform_map(teacher_layers: int, student_layers: int, where: str) -> tuple[int, ...]:
    """(0, r, 2r, ..., N) with r = N / M: the teacher's layer for each of the student's 0..M.

    Source: TinyBERT (Jiao et al. 2020), section 3.1, g(m).

    Raises:
      UserError: M does not divide N; where is the key that gives an explicit map.
    """
    if teacher_layers % student_layers:
        raise UserError(
            f"The student has {student_layers} layers and the teacher {teacher_layers}, which does "
            f"not divide evenly. Say in {where} which of the teacher's layers each of the "
            f"student's {student_layers} is to match, such as "
            f"{_example(teacher_layers, student_layers)}."
        )
    step = teacher_layers // student_layers
    return tuple(range(0, teacher_layers + 1, step))


def explicit_map(
    layers: tuple[int, ...], teacher_layers: int, student_layers: int, where: str
) -> tuple[int, ...]:
    """(0, *layers), checked: one of the teacher's layers for each of the student's."""
    if len(layers) != student_layers:
        raise UserError(
            f"{where} has {len(layers)} entries but the student has {student_layers} layers. Give "
            f"one of the teacher's layers, 1 to {teacher_layers}, for each."
        )
    wrong = [layer for layer in layers if not 1 <= layer <= teacher_layers]
    if wrong:
        raise UserError(
            f"{where} names layer {wrong[0]}, and the teacher's layers are 1 to {teacher_layers}."
        )
    return (0, *layers)


def pick_layers(pick: str, teacher_layers: int, count: int, where: str) -> tuple[int, ...]:
    """The teacher's layers, from 1, that a student of `count` layers starts from.

    Args:
      pick: "first" (1..M), "skip" (r, 2r, ..., N), "last" (N-M+1..N), or numbers: "2,4,6".
      where: the config section, for messages.
    """
    if count > teacher_layers:
        raise UserError(
            f"{where}.layers is {count}, and the teacher has {teacher_layers}: a student that "
            f"starts from its layers has at most as many."
        )
    if pick == "first":
        return tuple(range(1, count + 1))
    if pick == "last":
        return tuple(range(teacher_layers - count + 1, teacher_layers + 1))
    if pick == "skip":
        return uniform_map(teacher_layers, count, f"{where}.pick")[1:]
    key = f"{where}.pick"
    return explicit_map(_numbers(pick, "first, skip, last", key), teacher_layers, count, key)[1:]


def patient_map(
    strategy: str, teacher_layers: int, student_layers: int, last_layer: bool, where: str
) -> tuple[int, ...]:
    """I(1), I(2), ...: the teacher's layer for each of the student's, without its last or with it.

    skip is I(j) = j N / M, last is I(j) = N - M + j; both give N for the student's last layer.

    Args:
      strategy: "skip", "last", or numbers: "4,8".
      last_layer: whether the student's last layer M has one too; else j = 1..M-1.
      where: the config key of the strategy, for messages.

    Source: PKD (Sun et al. 2019), section 3.2.
    """
    count = student_layers if last_layer else student_layers - 1
    if not count:
        raise UserError(
            "The student has 1 layer, and PKD leaves the last one out: nothing is left to match. "
            "Choose config.method.last_layer=True, or a student of more layers."
        )
    if strategy == "skip":
        return uniform_map(teacher_layers, student_layers, where)[1 : count + 1]
    if strategy == "last":
        if student_layers > teacher_layers:
            raise UserError(
                f"{where} is last, and the student has {student_layers} layers where the teacher "
                f"has {teacher_layers}. Name the teacher's layers instead, such as "
                f"{','.join('1' * count)}."
            )
        below = teacher_layers - student_layers
        return tuple(range(below + 1, below + count + 1))
    numbers = _numbers(strategy, "skip, last", where)
    if len(numbers) != count:
        which = "layers" if last_layer else "layers, of which the last is left out"
        raise UserError(
            f"{where} has {len(numbers)} entries and the student {student_layers} {which}: give "
            f"one of the teacher's layers, 1 to {teacher_layers}, for each of its {count}."
        )
    return explicit_map(numbers, teacher_layers, count, where)[1:]


def _numbers(text: str, words: str, where: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UserError(f"{where} is {text!r}; it is {words}, or numbers such as 2,4,6.")
    return tuple(map(int, parts))


def _example(teacher_layers: int, student_layers: int) -> str:
    """Layers as evenly spread as they can be, the last one the teacher's last."""
    spread = (-(-j * teacher_layers // student_layers) for j in range(1, student_layers + 1))
    return ",".join(map(str, spread))
