"""Which of a teacher's layers stand for a student's. They count from 1; 0 is the embedding."""

from __future__ import annotations

from jaxdistill.errors import UserError


def uniform_map(teacher_layers: int, student_layers: int, where: str) -> tuple[int, ...]:
    """(0, r, 2r, ..., N) with r = N / M: the teacher's layer for each of the student's 0..M.

    Source: TinyBERT (Jiao et al. 2020), section 4.1, g(m).

    Raises:
      UserError: M does not divide N; where is the key that gives an explicit map.
    """
    if teacher_layers % student_layers:
        raise UserError(
            f"The student has {student_layers} layers and the teacher {teacher_layers}, which does "
            f"not divide evenly. Say in {where} which of the teacher's layers each of the "
            f"student's {student_layers} is to match, such as {_example(student_layers)}."
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
    parts = pick.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UserError(
            f"{where}.pick is {pick!r}; it is first, skip, last, or numbers such as 2,4,6."
        )
    return explicit_map(tuple(map(int, parts)), teacher_layers, count, f"{where}.pick")[1:]


def _example(count: int) -> str:
    return ",".join(str(2 * i + 1) for i in range(count))
