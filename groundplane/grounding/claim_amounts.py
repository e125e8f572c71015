"""Measures that a text states: `2 m from`, `at least 40 cm wide`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from groundplane.core.claims import Amount
from groundplane.core.queries import Quantity
from groundplane.grounding.claim_words import LENGTHS, NUMBERS, Token

__all__ = ["AmountWords", "read_amount"]

_MEASURES = {
    "tall": "height", "high": "height", "wide": "width", "deep": "depth", "long": "length",
}  # fmt: skip
_Bound = Literal["equal", "more", "fewer"]
_BOUNDS: dict[tuple[str, ...], _Bound] = {
    ("at", "least"): "more", ("more", "than"): "more", ("over",): "more",
    ("at", "most"): "fewer", ("less", "than"): "fewer", ("under",): "fewer",
    ("within",): "fewer", ("about",): "equal", ("around",): "equal", ("approximately",): "equal",
    ("roughly",): "equal", ("exactly",): "equal",
}  # fmt: skip
# A number that is stated plainly may be rounded by so much and is no lie.
_ROUNDED = 0.1
_ABOUT = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountWords:
    """A stated measure.

    Attributes:
        amount: What is stated, in metres.
        after: Index of the first word behind it; of a distance, where the thing begins that it
            is measured to.
    """

    amount: Amount
    after: int


def read_amount(words: Sequence[Token], at: int) -> AmountWords | None:
    """Read the measure that begins at a word; None where none does.

    Examples:
        >>> from groundplane.grounding.claim_words import words_of
        >>> read_amount(words_of("2 m away from the table"), 0).amount.quantity.value
        2.0
        >>> read_amount(words_of("two dogs"), 0) is None
        True
    """
    bound, first, i = _bound(words, at)
    value = _value(_word(words, i))
    unit = LENGTHS.get(_word(words, i + 1))
    if value is None or unit is None:
        return None
    about = _ABOUT if first in ("about", "around", "approximately", "roughly") else _ROUNDED
    quantity = Quantity(value * unit, "m", 0.0 if bound != "equal" else about)
    i += 2
    measure = _MEASURES.get(_word(words, i))
    if measure is not None:
        return AmountWords(
            amount=Amount(measure=measure, quantity=quantity, bound=bound), after=i + 1
        )
    i += _word(words, i) in ("away", "apart")
    to = _word(words, i) in ("from", "of", "to")
    if not to:
        return None
    distance = Amount(measure="distance", quantity=quantity, bound=bound)
    return AmountWords(amount=distance, after=i + 1)


def _word(words: Sequence[Token], at: int) -> str:
    return words[at].word if at < len(words) else ""


def _bound(words: Sequence[Token], at: int) -> tuple[_Bound, str, int]:
    """Whether a limit is stated, the word that says so, and where the number stands."""
    for length in (2, 1):
        key = tuple(_word(words, at + k) for k in range(length))
        if key in _BOUNDS:
            return _BOUNDS[key], key[0], at + length
    return "equal", "", at


def _value(word: str) -> float | None:
    if word in NUMBERS:
        return float(NUMBERS[word])
    if word in ("a", "an"):
        return 1.0
    if not word[:1].isdigit() or len(word) > 9 or word.count(".") + word.count(",") > 1:
        return None
    return float(word.replace(",", "."))
