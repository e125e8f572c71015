"""How much more one thing measures than another, and how many times as much."""

from __future__ import annotations

from groundplane.core.answer import Answer, Status, Step
from groundplane.core.errors import InputError
from groundplane.core.queries import Count, Difference, Measure, Quantity
from groundplane.spatial.found import StopError
from groundplane.spatial.measuring import Number, in_unit, measure_words, numbers_of
from groundplane.spatial.sets import SetSolver
from groundplane.spatial.units import UNIT_WORDS, convert, format_number

__all__ = ["TIMES", "difference_answer", "side_numbers"]

# The unit of a ratio.
TIMES = "times"


def side_numbers(
    finder: SetSolver, node: Count | Measure | Difference | Quantity | int, *, unit: str = ""
) -> list[Number]:
    """The value of one side of a comparison; several where a singular fits several objects.

    Args:
        finder: Finds sets.
        node: The side.
        unit: What a stated quantity is given in; its own where none is named.

    Raises:
        StopError: If it cannot be told.
    """
    if isinstance(node, Difference):
        return [_number(finder, node)]
    if isinstance(node, Quantity):
        return [_stated(node, unit or node.unit)]
    return numbers_of(finder, node)


def _stated(quantity: Quantity, unit: str) -> Number:
    """A stated quantity in the unit of what it is held against."""
    try:
        return Number(value=convert(quantity.value, quantity.unit, unit), unit=unit, evidence=())
    except InputError as error:
        told = format_number(quantity.value, quantity.unit)
        words = UNIT_WORDS.get(unit, unit)
        raise StopError(
            Status.CANNOT_DETECT, f"{told} cannot be compared with what is measured in {words} here"
        ) from error


def difference_answer(finder: SetSolver, node: Difference) -> Answer:
    """Solve a `Difference`.

    Raises:
        StopError: If a thing is not in the scene or not the only one of its name, or nothing can
            be so many times as much as what measures nothing.
    """
    number = _number(finder, node)
    value, unit, notes = in_unit(finder, number, None if node.tell == "ratio" else node.unit)
    sides = [_only(finder, side) for side in (node.left, node.right)]
    wanted = node.unit or sides[0].unit
    told = " against ".join(
        f"{convert(side.value, side.unit, wanted):.4g} {wanted}" for side in sides
    )
    finder.steps.append(Step(name="compare", detail=told))
    name = node.left.name
    words = finder.scene.method if name == "distance" else measure_words(finder, name)
    return Answer(
        value=value,
        unit=unit,
        status=Status.AMBIGUOUS if number.open else Status.ANSWERED,
        evidence=finder.ids(number.evidence),
        measure=f"{words}: {told}",
        note="; ".join(notes),
    )


def _only(finder: SetSolver, measure: Measure) -> Number:
    """The one value of a measure; a name that fits several objects of other size is asked back."""
    numbers = numbers_of(finder, measure)
    if len({number.value for number in numbers}) > 1:
        told = ", ".join(f"{number.value:.2f} {number.unit}" for number in numbers[:8])
        names = finder.names([number.evidence[0] for number in numbers])
        raise StopError(Status.AMBIGUOUS, f"it depends on which is meant of {names}: {told}")
    return numbers[0]


def _number(finder: SetSolver, node: Difference) -> Number:
    left, right = (_only(finder, side) for side in (node.left, node.right))
    more, less = (left, right) if node.more else (right, left)
    value = more.value - less.value
    if node.tell == "ratio":
        if less.value == 0:
            raise StopError(
                Status.CANNOT_DETECT, "nothing is so many times as much as 0: they touch or overlap"
            )
        value = more.value / less.value
    return Number(
        value=abs(value) if node.tell == "apart" else value,
        unit=TIMES if node.tell == "ratio" else left.unit,
        evidence=(left.evidence[0], right.evidence[0], *left.evidence[1:], *right.evidence[1:]),
        notes=tuple(dict.fromkeys((*left.notes, *right.notes))),
        open=left.open or right.open,
    )
