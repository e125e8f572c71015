"""What must be looked for to answer questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from groundplane.core.errors import InputError
from groundplane.core.expressions import Extreme, Or, Select, Unique
from groundplane.core.lexicon import canonical, normalise
from groundplane.core.queries import (
    Compare,
    Count,
    Exists,
    Order,
    nodes_of,
    phrases_of,
    selects_anything,
)
from groundplane.spatial.questions.parser import NotUnderstoodError, parse_question

__all__ = ["Asked", "phrases_asked", "pictures_suffice"]

Asked = tuple[str, Sequence[str]]


def phrases_asked(
    questions: Iterable[Asked], *, words: Callable[[], tuple[str, ...] | None]
) -> tuple[str, ...]:
    """The things that questions speak of, each once.

    Args:
        questions: Each with its options. One that is not understood adds nothing: whoever answers
            says so.
        words: What the experts can look for, None for any text; called where any thing will do.

    Raises:
        InputError: If a question is of all things, and nobody says what there may be.

    Examples:
        >>> phrases_asked([("Is the sofa left of the tv?", ())], words=lambda: None)
        ('sofa', 'tv')
        >>> phrases_asked([("What is the size of this room?", ())], words=lambda: None)
        ()
    """
    found: dict[str, str] = {}
    for question, choices in questions:
        try:
            expression = parse_question(question, choices=choices).expression
        except NotUnderstoodError:
            continue
        for phrase in phrases_of(expression):
            found.setdefault(canonical(phrase), normalise(phrase))
        if selects_anything(expression):
            if (known := words()) is None:
                raise InputError(
                    f"{question!r} is of all things there are; say what may be there: "
                    '--find "sofa, tv, chair"'
                )
            for word in known:
                found.setdefault(canonical(word), word)
    return tuple(found.values())


def pictures_suffice(questions: Iterable[Asked]) -> bool:
    """Whether all questions are of order and number alone, which pictures without depth tell.

    One that is not understood needs nothing.

    Examples:
        >>> pictures_suffice([("What appears first, the sofa or the tv?", ())])
        True
        >>> pictures_suffice([("How many chairs are near the table?", ())])
        False
        >>> pictures_suffice([])
        True
    """
    for question, choices in questions:
        try:
            expression = parse_question(question, choices=choices).expression
        except NotUnderstoodError:
            continue
        if not all(map(_is_told, nodes_of(expression))):
            return False
    return True


def _is_told(node: object) -> bool:
    if isinstance(node, Extreme):
        return node.measure == "first_seen" and node.anchor is None
    return isinstance(node, Compare | Count | Exists | Or | Order | Select | Unique)
