"""Ways as sentences."""

from __future__ import annotations

import re

from groundplane.core.answer import Answer
from groundplane.core.queries import Way
from groundplane.spatial.chances.hedging import Piece
from groundplane.spatial.nouns import the
from groundplane.spatial.routes.ways import NO_WAY
from groundplane.spatial.units import format_number

__all__ = ["way_pieces"]

_LENGTH = re.compile(r"(\d+\.\d+) m$")


def way_pieces(node: Way, answer: Answer) -> tuple[Piece, ...]:
    """Say an answer to a `Way`.

    Examples:
        >>> from groundplane.core.expressions import Select, Unique
        >>> way = Way(start=Unique(Select("sofa")), goal=Unique(Select("door")))
        >>> answer = Answer(value=4.237, unit="m", evidence=("sofa", "door"))
        >>> "".join(piece.text for piece in way_pieces(way, answer))
        'From the sofa to the door it is 4.24 m on foot.'
        >>> "".join(piece.text for piece in way_pieces(way, Answer(value="no way")))
        'There is no way from the sofa to the door.'
    """
    ends = _ends(node, answer)
    if node.tell == "width":
        return (*_capital(ends), Piece(f" {_width(answer)}."))
    if answer.value in (False, NO_WAY):
        lead = "No, one cannot get " if answer.value is False else "There is no way "
        return (Piece(lead), *ends, Piece("."))
    if isinstance(answer.value, tuple):
        return (*_capital(ends), Piece(f" ({_total(answer)}): {', '.join(answer.value)}."))
    if answer.value is True:
        return (Piece("Yes, one can get "), *ends, Piece(f": {_total(answer)} on foot."))
    amount = format_number(float(str(answer.value)), answer.unit)
    return (*_capital(ends), Piece(f" it is {amount} on foot."))


def _width(answer: Answer) -> str:
    width = float(str(answer.value))
    if width == 0:
        return "every way is shut"
    return f"the widest way is {format_number(width, answer.unit)} wide where it is narrowest"


def _ends(node: Way, answer: Answer) -> tuple[Piece, ...]:
    return (
        Piece("from "),
        Piece(the(node.start), answer.evidence[:1]),
        Piece(" to "),
        Piece(the(node.goal), answer.evidence[1:2]),
    )


def _capital(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    return (Piece("From "), *pieces[1:])


def _total(answer: Answer) -> str:
    """The length, which the measure tells last."""
    found = _LENGTH.search(answer.measure)
    return f"{found[1]} m" if found else "a way"
