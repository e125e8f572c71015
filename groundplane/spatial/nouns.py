"""Expressions as words: what a set is called in a sentence."""

from __future__ import annotations

from groundplane.core.expressions import (
    And,
    Except,
    Extreme,
    Filter,
    Or,
    Relate,
    Select,
    SetExpression,
    Unique,
)
from groundplane.core.lexicon import normalise, plural

__all__ = ["noun", "relation_words"]

_RELATIONS = {
    "left_of": "left of", "right_of": "right of", "in_front_of": "in front of",
    "next_to": "next to", "touches": "touching", "inside": "in",
}  # fmt: skip
_VIEWER = {
    "left_of": "to your left", "right_of": "to your right", "in_front_of": "in front of you",
    "behind": "behind you", "next_to": "next to you", "near": "near you",
}  # fmt: skip
_SMALLEST = {
    "volume": "smallest", "height": "shortest", "size": "shortest", "width": "narrowest",
    "depth": "thinnest", "elevation": "lowest", "top": "lowest", "floor_area": "smallest",
}  # fmt: skip
_LARGEST = {
    "volume": "biggest", "height": "tallest", "size": "longest", "width": "widest",
    "depth": "deepest", "elevation": "highest", "top": "highest", "floor_area": "largest",
}  # fmt: skip
_RANKS = {1: "", 2: "second ", 3: "third ", 4: "fourth "}


def relation_words(relation: str, *, limit: float | None = None) -> str:
    """A relation as it stands in a sentence.

    Examples:
        >>> relation_words("left_of"), relation_words("within", limit=2.0)
        ('left of', 'within 2 m of')
    """
    if relation in ("within", "beyond"):
        return f"{'within' if relation == 'within' else 'more than'} {limit:g} m " + (
            "of" if relation == "within" else "from"
        )
    return _RELATIONS.get(relation, relation.replace("_", " "))


def noun(node: SetExpression, *, article: bool = False) -> str:
    """What a set is called.

    Args:
        node: The expression.
        article: Put `the` before a single thing.

    Examples:
        >>> noun(Unique(Select("the sofa")), article=True)
        'the sofa'
        >>> noun(Relate(source=Select("lamps"), relation="on", anchor=Unique(Select("table"))))
        'lamps on the table'
    """
    the = "the " if article else ""
    match node:
        case Select(phrase=None):
            return "objects"
        case Select():
            return _words(node.phrase or "")
        case Unique():
            inner = noun(node.source)
            if isinstance(node.source, Select) and node.source.phrase is not None:
                inner = normalise(node.source.phrase)
            return the + inner
        case Filter():
            return f"{node.value} {noun(node.source)}"
        case Relate():
            return _related(node)
        case Extreme():
            return the + _extreme(node)
        case Or():
            names = [noun(source, article=article) for source in node.sources]
            return ", ".join(names[:-1]) + f" or {names[-1]}" if len(names) > 1 else names[0]
        case And():
            return " and ".join(noun(source) for source in node.sources)
        case Except():
            return f"{noun(node.source)} other than {noun(node.excluded, article=True)}"


def _words(phrase: str) -> str:
    """A phrase as the user wrote it, without article; `table(s)` becomes `tables`."""
    if "(s)" in phrase:
        return plural(normalise(phrase))
    words = phrase.split()
    one = normalise(phrase).split()
    return " ".join([*one[:-1], words[-1]]) if one else phrase


def _related(node: Relate) -> str:
    subject = noun(node.source)
    if isinstance(node.source, Select) and node.source.phrase is None:
        subject = "objects"
    if node.relation == "between" and isinstance(node.anchor, Or):
        names = [noun(source, article=True) for source in node.anchor.sources]
        return f"{subject} between {' and '.join(names)}"
    words = relation_words(node.relation, limit=node.limit)
    if node.anchor is None:
        return f"{subject} {_VIEWER.get(node.relation, words + ' you')}"
    return f"{subject} {words} {noun(node.anchor, article=True)}"


def _extreme(node: Extreme) -> str:
    subject = noun(node.source)
    subject = "object" if subject == "objects" else normalise(subject)
    rank = _RANKS.get(node.rank, f"{node.rank}th ")
    if node.measure == "distance":
        far = "farthest" if node.largest else "closest"
        where = f" to {noun(node.anchor, article=True)}" if node.anchor is not None else ""
        where = where.replace(" to ", " from ", 1) if node.largest else where
        return f"{rank}{far} {subject}{where}"
    if node.measure == "first_seen":
        return f"{subject} seen {'last' if node.largest else 'first'}"
    if node.measure == "count":
        return f"most numerous of {subject}" if node.largest else f"least numerous of {subject}"
    words = _LARGEST if node.largest else _SMALLEST
    return f"{rank}{words.get(node.measure, node.measure)} {subject}"
