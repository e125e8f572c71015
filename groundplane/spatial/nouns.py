"""Expressions as words: what a set is called in a sentence."""

from __future__ import annotations

import re

from groundplane.core.expressions import (
    And,
    Except,
    Extreme,
    Filter,
    Measured,
    Or,
    Relate,
    Same,
    Select,
    SetExpression,
    Unique,
)
from groundplane.core.lexicon import PLURAL_ONLY, head_of, normalise, plural, singular
from groundplane.spatial.units import ON_FLOOR, power_of

__all__ = [
    "MORE_WORDS",
    "base_of",
    "is_plural",
    "noun",
    "ordinal",
    "relation_words",
    "said_of",
    "the",
    "verb_of",
    "with_article",
]

_RELATIONS = {
    "left_of": "left of", "right_of": "right of", "in_front_of": "in front of",
    "next_to": "next to", "touches": "touching", "inside": "in", "contains": "containing",
    "far": "far from", "facing_away": "facing away from", "parallel": "parallel to",
    "perpendicular": "perpendicular to", "same_size": "the same size as", "bigger": "bigger than",
    "smaller": "smaller than", "taller": "taller than", "shorter": "shorter than",
    "longer": "longer than",
}  # fmt: skip
_VIEWER = {
    "left_of": "to your left", "right_of": "to your right", "in_front_of": "in front of you",
    "behind": "behind you", "next_to": "next to you", "near": "near you",
}  # fmt: skip
# What has more of a measure, and what has less.
MORE_WORDS = {
    "distance": ("farther", "closer"), "center_distance": ("farther", "closer"),
    "height": ("taller", "shorter"), "size": ("longer", "shorter"), "length": ("longer", "shorter"),
    "width": ("wider", "narrower"), "depth": ("deeper", "thinner"), "volume": ("bigger", "smaller"),
    "top": ("higher", "lower"), "elevation": ("higher", "lower"),
    "floor_area": ("larger on the floor", "smaller on the floor"),
}  # fmt: skip
_SMALLEST = {
    "volume": "smallest", "height": "shortest", "size": "shortest", "width": "narrowest",
    "depth": "thinnest", "elevation": "lowest", "top": "lowest", "floor_area": "smallest",
}  # fmt: skip
_LARGEST = {
    "volume": "biggest", "height": "tallest", "size": "longest", "width": "widest",
    "depth": "deepest", "elevation": "highest", "top": "highest", "floor_area": "largest",
}  # fmt: skip
_PAIRS = frozenset(
    {"scissors", "skis", "pants", "trousers", "jeans", "shorts", "headphones", "goggles"}
)
# An article goes by the sound: `a unicorn`, `an hourglass`.
_CONSONANT = re.compile(r"eu|one\b|uni(?!n|m)|use|usb|ute")
_VOWEL = re.compile(r"[aeiou]|hour|honou?r|heir")
_RANKS = {1: "", 2: "second ", 3: "third ", 4: "fourth "}


def ordinal(rank: int) -> str:
    """A rank before a superlative, with a space; none for the first.

    Examples:
        >>> ordinal(1), ordinal(2), ordinal(7)
        ('', 'second ', '7th ')
    """
    return _RANKS.get(rank, f"{rank}th ")


def base_of(node: SetExpression) -> SetExpression:
    """What a set is a part of: chairs, for `chairs near the table`."""
    while isinstance(node, Relate | Same | Measured | Unique | Except | And):
        node = node.sources[0] if isinstance(node, And) else node.source
    return node


def is_plural(node: SetExpression) -> bool:
    """Whether the words of a set take `are`.

    Examples:
        >>> is_plural(Select("the shoes")), is_plural(Unique(Select("chest of drawers")))
        (True, False)
    """
    base = base_of(node)
    if isinstance(base, Filter):
        return is_plural(base.source)
    if not isinstance(base, Select):
        return False
    words = (base.phrase or "objects").lower().split()
    word = words[head_of(words)] if words else ""
    return word.endswith("(s)") or word in PLURAL_ONLY or singular(word) != word


def relation_words(relation: str, *, limit: float | None = None) -> str:
    """A relation as it stands in a sentence.

    Examples:
        >>> relation_words("left_of"), relation_words("within", limit=2.0)
        ('left of', 'within 2 m of')
    """
    if relation in ("within", "beyond"):
        return f"{'within' if relation == 'within' else 'more than'} {limit:.4g} m " + (
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
                inner = _single(node.source.phrase)
            return inner if inner[-1:].isdigit() else the + inner
        case Filter():
            return f"{node.value} {noun(node.source)}"
        case Relate():
            return _related(node)
        case Measured():
            return f"{noun(node.source)} {_sized(node)}"
        case Same():
            return f"{noun(node.source)} of the same {node.attribute} as {_definite(node.anchor)}"
        case Extreme():
            return the + _extreme(node)
        case Or():
            names = [noun(source, article=article) for source in node.sources]
            return ", ".join(names[:-1]) + f" or {names[-1]}" if len(names) > 1 else names[0]
        case And():
            return _all_of(node)
        case Except():
            return _without(node)


def verb_of(node: SetExpression) -> str:
    """`are` for what is plural, else `is`.

    Examples:
        >>> verb_of(Select("the shoes")), verb_of(Unique(Select("sofa")))
        ('are', 'is')
    """
    inner = node.source if isinstance(node, Unique) else node
    return "are" if is_plural(node) and not isinstance(inner, Extreme) else "is"


def the(node: SetExpression) -> str:
    """What a set is called, with its article; an id goes without.

    Examples:
        >>> the(Select("the shoes")), the(Unique(Select("chair-2")))
        ('the shoes', 'chair-2')
    """
    text = noun(node, article=True)
    return text if text.startswith("the ") or text[-1:].isdigit() else f"the {text}"


def with_article(words: str) -> str:
    """A name of one thing with `a` or `an`.

    Examples:
        >>> with_article("hourglass"), with_article("unicorn"), with_article("jeans")
        ('an hourglass', 'a unicorn', 'a pair of jeans')
    """
    head = words.split()[head_of(words.split())] if words else ""
    if head in _PAIRS:
        return f"a pair of {words}"
    if is_plural(Select(words)) and head in PLURAL_ONLY:
        return f"a set of {words}"
    return f"{'an' if _VOWEL.match(words) and not _CONSONANT.match(words) else 'a'} {words}"


def said_of(node: SetExpression) -> tuple[SetExpression, str] | None:
    """A set parted into its subject and what is said of it; None where nothing plain is.

    Examples:
        >>> cup = Unique(Select("cup"))
        >>> said_of(Relate(source=cup, relation="on", anchor=Unique(Select("table"))))
        (Unique(source=Select(phrase='cup')), ' on the table')
        >>> said_of(And((Filter(cup, "color", "red"), Filter(cup, "size", "small"))))
        (Unique(source=Select(phrase='cup')), ' red and small')
        >>> said_of(cup) is None
        True
    """
    match node:
        case Filter():
            return node.source, f" {node.value}"
        case Measured():
            return node.source, f" {_sized(node)}"
        case Relate() | Same():
            return node.source, noun(node)[len(noun(node.source)) :]
        case Except():
            out = said_of(node.excluded)
            return (node.source, f" not{out[1]}") if out and out[0] == node.source else None
        case And() | Or():
            parts = [part for source in node.sources if (part := said_of(source)) is not None]
            if len(parts) < len(node.sources) or any(part[0] != parts[0][0] for part in parts):
                return None
            link = " and" if isinstance(node, And) else " or"
            return parts[0][0], link.join(words for _, words in parts)
    return None


def _without(node: Except) -> str:
    """`chairs not near the table`, `chairs other than the red chair`."""
    said = said_of(node)
    if said is not None:
        return noun(said[0]) + said[1]
    return f"{noun(node.source)} other than {noun(node.excluded, article=True)}"


def _sized(node: Measured) -> str:
    """`taller than 1.5 m`."""
    if node.measure == "elevation":
        if node.operator == "fewer" and node.limit == ON_FLOOR:
            return "on the floor"
        bound = "more" if node.operator == "more" else "less"
        return f"{bound} than {node.limit:g} m above the floor"
    more, fewer = MORE_WORDS.get(node.measure, ("more", "less"))
    unit = {1: "m", 2: "m²", 3: "m³"}[power_of(node.measure)]
    return f"{more if node.operator == 'more' else fewer} than {node.limit:g} {unit}"


def _single(phrase: str) -> str:
    """A phrase for one thing; an id such as `chair-2` stays as it is."""
    return phrase if phrase[-1:].isdigit() else normalise(phrase)


def _words(phrase: str) -> str:
    """A phrase as the user wrote it, without article; `table(s)` becomes `tables`."""
    one = normalise(phrase)
    if "(s)" in phrase:
        return plural(one)
    if phrase[-1:].isdigit() or not one:
        return phrase
    return plural(one) if is_plural(Select(phrase)) else one


def _all_of(node: And) -> str:
    """`red chairs near the table and left of the sofa`: the subject is said once."""
    parts = [said_of(source) for source in node.sources]
    if said_of(node) is not None and parts[0] is not None:
        values = [source.value for source in node.sources if isinstance(source, Filter)]
        rest = [part[1] for part, source in zip(parts, node.sources, strict=True)
                if part is not None and not isinstance(source, Filter)]  # fmt: skip
        return " ".join([*values, noun(parts[0][0])]) + " and".join(rest)
    first, *others = (noun(source) for source in node.sources)
    start = noun(base_of(node))
    after = [other[len(start) :].strip() if other.startswith(start) else other for other in others]
    return " and ".join([first, *after])


def _definite(node: SetExpression) -> str:
    """A set with its article: `the shoes`."""
    text = noun(node, article=True)
    plain = isinstance(node, Select) and node.phrase is not None
    return f"the {text}" if plain and not text[-1:].isdigit() else text


def _related(node: Relate) -> str:
    subject = noun(node.source)
    if node.relation == "between" and isinstance(node.anchor, Or):
        names = [_definite(source) for source in node.anchor.sources]
        return f"{subject} between {' and '.join(names)}"
    words = relation_words(node.relation, limit=node.limit)
    if node.anchor is None:
        return f"{subject} {_VIEWER.get(node.relation, words + ' you')}"
    return f"{subject} {words} {_definite(node.anchor)}"


def _extreme(node: Extreme) -> str:
    subject = noun(node.source)
    base = noun(base_of(node.source))
    if subject.startswith(base) and not isinstance(node.source, Or):
        subject = ("object" if base == "objects" else normalise(base)) + subject[len(base) :]
    rank = ordinal(node.rank)
    if node.measure == "distance":
        far = "farthest" if node.largest else "closest"
        where = f" to {_definite(node.anchor)}" if node.anchor is not None else ""
        where = where.replace(" to ", " from ", 1) if node.largest else where
        return f"{rank}{far} {subject}{where}"
    if node.measure == "first_seen":
        return f"{subject} seen {'last' if node.largest else 'first'}"
    if node.measure == "count":
        return f"most numerous of {subject}" if node.largest else f"least numerous of {subject}"
    words = _LARGEST if node.largest else _SMALLEST
    return f"{rank}{words.get(node.measure, node.measure)} {subject}"
