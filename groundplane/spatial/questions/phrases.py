"""Noun phrases: from words to the set of objects that they name.

`the chair nearest the door`, `the biggest table`, `things on the table next to the sofa`. A
phrase is read from its first relation on, so that `the lamp on the table next to the sofa` is a
lamp on a table, and the table stands next to the sofa.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from groundplane.core.expressions import (
    And,
    Except,
    Extreme,
    Or,
    Relate,
    Select,
    SetExpression,
    Unique,
    Viewpoint,
)
from groundplane.core.lexicon import ANYTHING, singular
from groundplane.spatial.questions.sizes import Sized, find_sized
from groundplane.spatial.questions.text import ALL_UNITS, split_list

__all__ = ["NEAREST", "RELATIONS", "SUPERLATIVES", "PhraseError", "find_relation", "read_phrase"]

_SIDE = r"(?:on|to|at|towards?|in|off to) "
# What people write for a relation; longer wordings first. `None` as anchor: the viewer.
RELATIONS: tuple[tuple[str, str], ...] = (
    ("facing_away", r"(?:facing|faces?|turned|looking) away from|with (?:its|the|their) back to(?:wards?)?"),
    ("facing", r"facing(?: towards?)?|faces?(?= (?:the|a|an|my|towards?) )(?: towards?)?|(?:turned|oriented|pointing|points) (?:to|at|towards?)"),
    ("opposite", r"(?:directly |right |just )?(?:opposite (?:to|from|of)|opposite(?= (?:the|a|an|my) )|"
                 r"across from|face to face with)"),
    ("aligned_with", r"(?:aligned|lined up|in line|in a line) with"),
    ("parallel", r"parallel (?:to|with)"),
    ("perpendicular", r"(?:perpendicular|orthogonal|at (?:a )?right angles?) (?:to|with)"),
    ("same_size", r"(?:just |about |exactly )?(?:as (?:big|large) as|(?:of )?the same size as|(?:of )?equal in size (?:to|with))"),
    ("bigger", r"(?:bigger|larger) than"), ("smaller", r"smaller than"),
    ("taller", r"taller than"), ("shorter", r"shorter than"), ("longer", r"longer than"),
    ("visible_from", r"(?:visible|in view|in sight|to be seen|seen) from"),
    ("far", r"(?:very |quite )?(?:far (?:away )?from|a long way (?:away )?from|nowhere near)"),
    ("contains", r"containing|contains|contain|holding"),
    ("left_of", _SIDE + r"the left(?: hand)?(?: side)? of|(?:directly |just )?left (?:of|from)|"
                + _SIDE + r"left(?: hand)?(?: side)? of"),
    ("right_of", _SIDE + r"the right(?: hand)?(?: side)? of|(?:directly |just )?right (?:of|from)|"
                 + _SIDE + r"right(?: hand)?(?: side)? of"),
    ("in_front_of", r"(?:directly |right |just )?(?:in front|to the front|at the front|ahead) of"),
    ("behind", r"(?:directly |right |just )?(?:behind|in back of|(?:at|to) the (?:back|rear) of|beyond)"),
    ("between", r"(?:in )?between|in the middle (?:of|between)(?= .+ and )"),
    ("next_to", r"(?:(?:directly|right|just|immediately) )?(?:next to|beside|alongside|"
                r"adjacent to|(?:by|at) the side of|bordering|neighbou?ring)|right by"),
    ("near", r"(?:very |quite )?(?:close to|near to|nearby|near|around|in the vicinity of|by|"
             r"not far from|close by|surrounding)"),
    ("on", r"(?:on top of|on the top of|atop|upon|on to|onto|resting on|on)"),
    ("under", r"(?:directly |right |just )?(?:underneath|under neath|under|beneath|below|"
              r"at the bottom of)"),
    ("above", r"(?:directly |right |just |up )?(?:above|over)"),
    ("inside", r"(?:inside of|inside|within|enclosed by|in)"),
    ("touches", r"(?:touching|touch|touches|in contact with|(?:attached|connected|joined) to|leaning against|leaning on|"
                r"up against|against)"),
)  # fmt: skip
NEAREST = {
    "nearest": False, "closest": False, "nearer": False, "closer": False, "farthest": True,
    "furthest": True, "most distant": True, "farther": True, "further": True, "remotest": True,
    "furthest away": True, "farthest away": True, "further away": True, "farther away": True,
    "least distant": False, "most remote": True,
}  # fmt: skip
SUPERLATIVES: dict[str, tuple[str, bool]] = {
    "biggest": ("volume", True), "largest": ("volume", True), "smallest": ("volume", False),
    "tiniest": ("volume", False), "bulkiest": ("volume", True), "tallest": ("height", True),
    "highest": ("top", True), "lowest": ("elevation", False), "shortest": ("height", False),
    "longest": ("size", True), "widest": ("width", True), "narrowest": ("width", False),
    "deepest": ("depth", True), "thinnest": ("depth", False), "thickest": ("depth", True),
    "bigger": ("volume", True), "larger": ("volume", True), "smaller": ("volume", False),
    "taller": ("height", True), "longer": ("size", True), "wider": ("width", True),
    "broadest": ("width", True), "hugest": ("volume", True), "least tall": ("height", False), "littlest": ("volume", False),
}  # fmt: skip
_RANKS = {"second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4, "next": 2}
_FUNCTION_WORDS = frozenset(
    [
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "am",
        "do",
        "does",
        "did",
        "could",
        "will",
        "would",
        "shall",
        "should",
        "may",
        "might",
        "what",
        "which",
        "who",
        "whom",
        "whose",
        "where",
        "when",
        "why",
        "how",
        "if",
        "whether",
        "i",
        "me",
        "we",
        "us",
        "you",
        "he",
        "him",
        "she",
        "they",
        "them",
        "it",
        "and",
        "or",
        "but",
        "nor",
        "than",
        "then",
        "from",
        "to",
        "at",
        "as",
        "so",
        "because",
        "facing",
        "standing",
        "while",
        "there",
        "here",
        "not",
        "no",
        "more",
        "less",
        "fewer",
        "far",
        "many",
        "much",
        "please",
        "left",
        "right",
        "between",
        "these",
        "those",
        "another",
        "each",
        "other",
        "have",
        "has",
        "had",
        "same",
        "and/or",
        "versus",
        "vs",
    ]
)
_ARTICLES = frozenset(["the", "a", "an"])  # inside a name; in front they are taken off
# A name that ends in one of these was cut out of a sentence about something else.
_VERBS = frozenset(
    ["live", "lives", "fit", "fits", "cost", "costs", "weigh", "weighs", "belong", "belongs", "eat",
     "eats", "need", "needs", "want", "wants", "work", "works", "go", "goes", "come", "comes"]
)  # fmt: skip
_LEADS = re.compile(
    r"^(?:(?:all|each|both|any|every|some|one|single) (?:of )?|other |only |different |"
    r"of |the |a |an |this |that |these |those |my |your |our |its |visible )+"
)
_LINKS = re.compile(
    r"\s+(?:(?:that|which|who) (?:is|are|stands?|lies?|sits?|hangs?|can be (?:seen|found))|that|"
    r"standing|lying|sitting|located|placed|hanging|positioned|situated|resting|stood|parked|kept|"
    r"mounted|found|which)$"
)
# A dash stands only before a number: `chair-2` is an id, any other dash parts two things.
_NAME = re.compile(r"(?=.*[^\W\d_])(?:[\w #&'.]|(?<=\w)-(?=\d))+")
# A tv stand is a thing, so `stand` is a verb only behind a plural.
_TAIL = re.compile(r"\s+(?:is|are|lies?|sits?|there|here)$|(?<=[^us]s)\s+stand$")
_METRES = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "ft": 0.3048, "in": 0.0254, "yd": 0.9144, "px": 1.0}
_UNIT = "|".join(rf"(?P<{unit}>{ALL_UNITS[unit]})" for unit in _METRES)
_WITHIN = re.compile(
    r"(?P<how>within|closer than|nearer than|less than|no more than|at most|not more than|"
    r"more than|farther than|further than|at least|over)\s+(?P<number>\d+(?:\.\d+)?|one|two|three|"
    rf"four|five|half a|one and a half|an?)\s*(?:{_UNIT})\b(?: away)?(?: (?:of|from|to|around))?"
)
# Metres; far less than any box is known to.
_AT_LIMIT = 1e-6
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "half a": 0.5,
            "one and a half": 1.5, "a": 1, "an": 1}  # fmt: skip


class PhraseError(ValueError):
    """The words are no noun phrase; internal to the parser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRelation:
    """A relation in a text: its name, where it stands, the limit of `within`, or a size."""

    name: str
    start: int
    end: int
    limit: float | None = None
    sized: Sized | None = None


_RELATION = re.compile(
    r"\b(?:" + "|".join(f"(?P<{name}>{wording})" for name, wording in RELATIONS) + r")\b"
)


def find_relation(text: str) -> FoundRelation | None:
    """The first relation wording in a text.

    Examples:
        >>> found = find_relation("lamp on the table next to the sofa")
        >>> found.name, found.start
        ('on', 5)
    """
    sized = find_sized(text)
    limited = _WITHIN.search(text)
    plain = _RELATION.search(text)
    first = min((found.start() for found in (limited, plain) if found), default=len(text))
    if sized is not None and sized.start <= first:
        return FoundRelation(name="sized", start=sized.start, end=sized.end, sized=sized)
    if limited and (plain is None or limited.start() <= plain.start()):
        unit = next(u for u in _METRES if limited[u])
        number = limited["number"]
        metres = (_NUMBERS.get(number) or float(number)) * _METRES[unit]
        far = limited["how"] in ("more than", "farther than", "further than", "at least", "over")
        name = "beyond" if far else "within"
        if limited["how"] in ("at least", "less than", "closer than", "nearer than"):
            # The limit itself belongs to the other side.
            metres -= _AT_LIMIT
        return FoundRelation(name=name, start=limited.start(), end=limited.end(), limit=metres)
    if plain is None or plain.lastgroup is None:
        return None
    return FoundRelation(name=plain.lastgroup, start=plain.start(), end=plain.end())


def _read_between(subject: SetExpression, rest: str, view: Viewpoint | None) -> SetExpression:
    items = split_list(rest)
    if len(items) == 1:
        ends = read_phrase(items[0])
    elif len(items) == 2:
        ends = Or(tuple(read_phrase(item) for item in items))
    else:
        raise PhraseError(f"'between' needs two things, got {len(items)}")
    return Relate(source=subject, relation="between", anchor=ends, viewpoint=view)


def relate(
    subject: SetExpression, found: FoundRelation, rest: str, *, view: Viewpoint | None = None
) -> SetExpression:
    """The subject restricted by a relation to what `rest` names."""
    if found.sized is not None:
        if rest:
            raise PhraseError("what stands behind a size is not clear")
        return found.sized.restrict(subject)
    if found.name == "between":
        return _read_between(subject, rest, view)
    if rest in ("me", "us", "you", "myself", "where i stand", "where i am", "here"):
        return Relate(
            source=subject, relation=found.name, anchor=None, viewpoint=view, limit=found.limit
        )
    return Relate(
        source=subject,
        relation=found.name,
        anchor=read_phrase(rest),
        viewpoint=view,
        limit=found.limit,
    )


def read_phrase(text: str, *, view: Viewpoint | None = None) -> SetExpression:
    """Read a noun phrase; a singular one gives `Unique`.

    Raises:
        PhraseError: If the words are no noun phrase.

    Examples:
        >>> read_phrase("the chair nearest the door").source.anchor
        Unique(source=Select(phrase='door'))
        >>> read_phrase("chairs")
        Select(phrase='chairs')
    """
    text = _LINKS.sub("", _TAIL.sub("", text.strip(" ,.;:?!()")))
    several = re.match(r"(?:all|both|any|every|each|some) ", text) is not None
    text = _LEADS.sub("", text + " ").strip()
    if not text:
        raise PhraseError("nothing is named")
    expression = (
        _read_excluded(text) or _read_superlative(text) or _read_nearest(text, view)
        or _read_related(text, view)
    )  # fmt: skip
    if expression is not None:
        return expression
    return _read_words(text, several=several)


def _read_words(text: str, *, several: bool) -> SetExpression:
    words = text.split()
    bad = (
        (_FUNCTION_WORDS | _ARTICLES) & set(words)
        or _ends_in_verb(words)
        or words[0] in ("difference", "differences", "ratio")
        or words[:2] in (["number", "of"], ["amount", "of"])
        or not _NAME.fullmatch(text)
    )
    # `chairs face` and `face the tv` are no names, though a face is one.
    bad = bad or bool({"face", "faces"} & set(words[1:] if len(words) > 1 else ()))
    if len(words) > 7 or bad:
        raise PhraseError(f"{text!r} is no name of an object")
    opening = _RELATION.match(text)
    if opening is not None and opening.lastgroup != "touches":
        raise PhraseError(f"{text!r} is a place, not an object")
    if words[-1] in ("furniture", "else") or singular(words[-1]) in ANYTHING:
        modifiers = [w for w in words[:-1] if w not in {"of", "piece", "pieces", *ANYTHING}]
        if not modifiers:
            return Select(None)
        thing = words[-1] if singular(words[-1]) in ANYTHING else "things"
        what = Select(" ".join([*modifiers, thing]))
        return Unique(what) if thing == singular(thing) and not several else what
    number = re.fullmatch(r"(?:two|three|four|five|six|\d{1,2}) (.+)", text)
    if number:
        if re.fullmatch("|".join(ALL_UNITS.values()), number[1]):
            raise PhraseError(f"{text!r} is a length, not an object")
        return Select(number[1])
    if several or singular(words[-1]) != words[-1]:
        return Select(text)
    return Unique(Select(text))


def _ends_in_verb(words: list[str]) -> bool:
    """`people live` and `people can` are no names; `trash can` is one."""
    before = words[-2] if len(words) > 1 else ""
    return words[-1] in _VERBS or (
        "can" in words and (words[0] == "can" or singular(before) != before)
    )


def _read_excluded(text: str) -> SetExpression | None:
    match = re.fullmatch(
        r"(?P<what>.+?)(?: other than| except(?: for)?| apart from| excluding| besides) (?P<out>.+)",
        text,
    )
    if match is None:
        return None
    out = [read_phrase(item) for item in split_list(match["out"])]
    excluded = out[0] if len(out) == 1 else Or(tuple(out))
    return Except(read_phrase("all " + match["what"]), excluded)


def _plain(expression: SetExpression) -> SetExpression:
    """The candidates behind a singular: `the biggest chair` chooses among all chairs."""
    return expression.source if isinstance(expression, Unique) else expression


def _read_superlative(text: str) -> SetExpression | None:
    names = "|".join(SUPERLATIVES)
    rank = "|".join(_RANKS)
    match = re.fullmatch(rf"(?:(?P<rank>{rank}) )?(?P<name>{names})(?: (?P<what>.+))?", text)
    if match is None:
        return None
    measure, largest = SUPERLATIVES[match["name"]]
    source = _plain(read_phrase(match["what"] or "object"))
    return Unique(
        Extreme(
            source=source, measure=measure, largest=largest, rank=_RANKS.get(match["rank"] or "", 1)
        )
    )


def _read_nearest(text: str, view: Viewpoint | None) -> SetExpression | None:
    names = "|".join(sorted(NEAREST, key=len, reverse=True))
    rank = "|".join(_RANKS)
    before = re.fullmatch(
        rf"(?:(?P<rank>{rank}) )?(?P<name>{names}) (?P<what>.+?) (?:to|from|of) (?P<anchor>.+)",
        text,
    )
    after = re.fullmatch(
        rf"(?P<what>.+?) (?:(?:that|which) (?:is|are|lies|stands) )?(?:the )?"
        rf"(?:(?P<rank>{rank}) )?(?P<name>{names})(?: (?:away )?(?:to|from|of))? (?P<anchor>.+)",
        text,
    )
    bare = re.fullmatch(
        rf"(?:(?P<rank>{rank}) )?(?P<name>{names}) (?:away )?(?:to|from) (?P<anchor>.+)", text
    )
    match = bare or before or after
    if match is None:
        return None
    what = match.groupdict().get("what") or "object"
    anchor_text = match["anchor"]
    viewer = anchor_text in ("me", "us", "you", "where i stand", "where i am", "here")
    anchor: SetExpression | None = None
    if viewer:
        if view is None or view.origin is None:
            raise PhraseError("'me' without a place to stand")
        anchor = view.origin
    return Unique(
        Extreme(
            source=_plain(read_phrase(what)),
            measure="distance",
            largest=NEAREST[match["name"]],
            anchor=anchor or read_phrase(anchor_text),
            rank=_RANKS.get(match["rank"] or "", 1),
        )
    )


_VIEWER_SIDE = {
    "left_of": r"(?:on|to|at|off to) (?:my|your|our|the|his|her) (?:left|lefthand)(?: hand)?(?: side)?",
    "right_of": r"(?:on|to|at|off to) (?:my|your|our|the|his|her) (?:right|righthand)(?: hand)?(?: side)?",
    "in_front_of": r"(?:in front of (?:me|us|you)|ahead of (?:me|us|you)|in front|ahead)",
    "behind": r"(?:behind (?:me|us|you)|at my back|to my back|behind|in my back)",
}  # fmt: skip


def viewer_side(text: str) -> str | None:
    """The relation to the viewer that a text states: `on my left` is `left_of`."""
    return next((n for n, words in _VIEWER_SIDE.items() if re.fullmatch(words, text)), None)


def _read_related(text: str, view: Viewpoint | None) -> SetExpression | None:
    for name, words in _VIEWER_SIDE.items():
        match = re.fullmatch(rf"(?P<what>.+?) {words}", text)
        if match:
            subject = _plain(read_phrase(match["what"]))
            return Unique(Relate(source=subject, relation=name, anchor=None, viewpoint=view)) \
                if _is_singular(match["what"]) else \
                Relate(source=subject, relation=name, anchor=None, viewpoint=view)  # fmt: skip
    found = find_relation(text)
    if found is None or found.start == 0:
        return None
    what = text[: found.start].strip()
    also = re.search(r"\s+and (?=" + _RELATION.pattern + ")", text[found.end :])
    rest = text[found.end :].strip()
    if also:
        rest = text[found.end : found.end + also.start()].strip()
    subject = read_phrase(what)
    related = relate(_plain(subject), found, rest, view=view)
    if also:
        tail = text[found.end + also.end() :]
        second = find_relation(tail)
        if second is None:  # pragma: no cover - the search above found one
            raise PhraseError("a relation is missing")
        related = And(
            (related, relate(_plain(subject), second, tail[second.end :].strip(), view=view))
        )
    return Unique(related) if isinstance(subject, Unique) else related


def _is_singular(text: str) -> bool:
    return isinstance(read_phrase(text), Unique)
