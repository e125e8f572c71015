"""Stated lengths, areas and volumes: `1.5 m`, `half a metre`, `5 ft 3 in`."""

from __future__ import annotations

import re

from groundplane.core.errors import InputError
from groundplane.core.queries import Quantity
from groundplane.spatial.questions.text import ALL_UNITS

__all__ = ["QUANTITY", "read_number", "read_quantity"]

_WORDS = {
    "half a": 0.5, "half an": 0.5, "one and a half": 1.5, "two and a half": 2.5, "a": 1.0,
    "an": 1.0, "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0,
    "seven": 7.0, "eight": 8.0, "nine": 9.0, "ten": 10.0, "twice": 2.0, "thrice": 3.0,
}  # fmt: skip
_NUMBER = rf"(?:\d+(?:\.\d+)?|{'|'.join(sorted(_WORDS, key=len, reverse=True))})"
_UNIT = "|".join(ALL_UNITS.values())
# A pattern of one named group, for forms.
QUANTITY = rf"(?P<quantity>{_NUMBER} ?(?:{_UNIT}))"
_QUANTITY = re.compile(rf"(?P<number>{_NUMBER}) ?(?P<unit>{_UNIT})")


def read_number(text: str) -> float:
    """A number in digits or words.

    Raises:
        InputError: If it is none.

    Examples:
        >>> read_number("2.5"), read_number("half a")
        (2.5, 0.5)
    """
    if text in _WORDS:
        return _WORDS[text]
    if not re.fullmatch(r"\d+(?:\.\d+)?", text):
        raise InputError(f"{text!r} is no number")
    return float(text)


def read_quantity(text: str) -> Quantity:
    """A number with its unit.

    Raises:
        InputError: If it is none, or the unit is of no length, area or volume.

    Examples:
        >>> read_quantity("200 cm").value, read_quantity("half a metre").value
        (200.0, 0.5)
    """
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise InputError(f"{text!r} is no quantity")
    unit = next(name for name, words in ALL_UNITS.items() if re.fullmatch(words, found["unit"]))
    return Quantity(read_number(found["number"]), unit)
