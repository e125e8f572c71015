"""Sizes that restrict a noun: `taller than 1.5 m`, `at least 2 m long`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from groundplane.core.expressions import Measured, SetExpression
from groundplane.spatial.questions.quantities import QUANTITY, read_quantity
from groundplane.spatial.units import ON_FLOOR, convert, unit_of

__all__ = ["Sized", "find_sized"]

_MORE = {
    "taller": ("height", True), "shorter": ("height", False), "longer": ("size", True),
    "wider": ("width", True), "broader": ("width", True), "narrower": ("width", False),
    "deeper": ("depth", True), "bigger": ("size", True), "larger": ("size", True),
    "smaller": ("size", False), "higher": ("height", True),
}  # fmt: skip
_AS = {
    "tall": "height", "high": "height", "long": "size", "wide": "width", "broad": "width",
    "deep": "depth", "big": "size", "large": "size",
}  # fmt: skip
_LEAST = ("over", "more than", "above", "at least")
_MOST = ("under", "less than", "below", "at most", "up to")
_PATTERN = re.compile(
    rf"\b(?:(?P<more>{'|'.join(_MORE)}) than {QUANTITY}|"
    rf"(?P<bound>{'|'.join((*_LEAST, *_MOST))}) {QUANTITY.replace('quantity', 'amount')} "
    rf"(?P<as>{'|'.join(_AS)}))(?!\w)"
)
# By powers of a length: what is bigger than a length, an area, a volume.
_BY_POWER = {1: "size", 2: "floor_area", 3: "volume"}
# The limit itself belongs to `at least` and to `at most`; metres.
_AT_LIMIT = 1e-6


# The floor is no object: what stands on it, or on a rug, is hardly above it.
_FLOOR = re.compile(r"\bon the (?:floor|ground)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """A size in a text: where it stands, and what it says.

    Attributes:
        start: Its first character.
        end: One past its last.
        measure: Of one object.
        more: Whether more is wanted.
        limit: Metres, square metres or cubic metres.
    """

    start: int
    end: int
    measure: str
    more: bool
    limit: float

    def restrict(self, source: SetExpression) -> Measured:
        """Those that have this size."""
        operator: Literal["more", "fewer"] = "more" if self.more else "fewer"
        return Measured(source=source, measure=self.measure, operator=operator, limit=self.limit)


def find_sized(text: str) -> Sized | None:
    """The first size in a text.

    Examples:
        >>> found = find_sized("chairs taller than 90 cm")
        >>> found.measure, found.more, found.limit
        ('height', True, 0.9)
        >>> find_sized("chairs taller than the table") is None
        True
    """
    found = _PATTERN.search(text)
    floor = _FLOOR.search(text)
    if floor is not None and (found is None or floor.start() < found.start()):
        start, end = floor.span()
        return Sized(start=start, end=end, measure="elevation", more=False, limit=ON_FLOOR)
    if found is None:
        return None
    quantity = read_quantity(found["quantity"] or found["amount"])
    if quantity.unit == "px":
        return None
    power = (
        3 if quantity.unit == "l" else int(quantity.unit[-1]) if quantity.unit[-1] in "23" else 1
    )
    limit = convert(quantity.value, quantity.unit, unit_of("m", power))
    if found["more"]:
        measure, more = _MORE[found["more"]]
    else:
        measure, more = _AS[found["as"]], found["bound"] in _LEAST
        limit += {"at least": -_AT_LIMIT, "at most": _AT_LIMIT, "up to": _AT_LIMIT}.get(
            found["bound"], 0.0
        )
    if measure == "size" and (found["more"] or found["as"]) not in ("long", "longer"):
        measure = _BY_POWER[power]
    elif power != 1:
        return None
    return Sized(start=found.start(), end=found.end(), measure=measure, more=more, limit=limit)
