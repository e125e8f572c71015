"""Reading by clues: the last resort for wordings that no form fits.

Names of known things are found first, then one intention (distance, count, size, ...), told by its
clue words. The reading counts only if every word of the question is explained: as a known name, a
clue of that one intention, or a word without meaning of its own. An unknown word, or clues of two
intentions, and the question is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from groundplane.core.expressions import (
    Extreme,
    Or,
    Relate,
    Select,
    SetExpression,
    Unique,
    Viewpoint,
)
from groundplane.core.lexicon import known_nouns, normalise, singular
from groundplane.core.queries import (
    Compare,
    Count,
    Direction,
    Exists,
    Expression,
    Measure,
    Sectors,
)
from groundplane.spatial.questions.phrases import NEAREST

__all__ = ["PLAIN_WORDS", "read_loosely"]

PLAIN_WORDS = frozenset(
    "the a an this that these those is are was were be been being am do does did has have had got "
    "i me my you your we us our one ones he she they them someone somebody who would could can will "
    "shall should may might must please kindly tell say said give show name list find see seen know "
    "let want need like think guess work out up if so then and or of to for in with as it its 's "
    "there here what which how much any some all everything anything something things thing objects "
    "object items item when where were while suppose imagine picture yourself myself self room "
    "scene image photo shot video apartment house flat space place get gets come comes go just about "
    "exactly roughly approximately currently really actually answer ask question yes no not isn aren "
    "hand side sides look's eyes else also put stand stands standing stood sit sits sitting lie lies "
    "lying located placed at by from on near next beside around located whole entire".split()
)
_UNITS = {
    "m": "m", "metre": "m", "meter": "m", "cm": "cm", "centimetre": "cm", "centimeter": "cm",
    "mm": "mm", "millimetre": "mm", "millimeter": "mm", "foot": "ft", "ft": "ft", "inch": "in",
}  # fmt: skip
_CLUES: dict[str, frozenset[str]] = {
    "distance": frozenset(
        "distance far apart away separate separates separated separation distant gap between "
        "straight line walk walked closest points measure measured measuring space".split()
    ),
    "count": frozenset("many count number total amount quantity counted lying around".split()),
    "height": frozenset("tall height high taller tallest vertical".split()),
    "width": frozenset("wide width broad breadth".split()),
    "depth": frozenset("deep depth".split()),
    "size": frozenset("long length big large size longest dimension side measure".split()),
    "room": frozenset(
        "big large spacious area floor surface size square footage total how overall".split()
    ),
    "outnumber": frozenset("outnumber outnumbers more numerous than".split()),
}
_FACE = frozenset(
    "facing face faces faced look looking looks looked gaze gazing eyes toward towards turn turns "
    "turned turning watching".split()
)
_STAND = frozenset(
    "at by near beside standing stand stands stood sit sits sitting from on position where "
    "against next".split()
)
_SIDES = frozenset(
    "left right front behind back rear ahead front_left front_right back_left back_right direction "
    "way straight hand".split()
)
_ASKS_LIST = frozenset("what list name which everything things objects".split())
_RELATIONS = {
    "left": "left_of", "right": "right_of", "front": "in_front_of", "ahead": "in_front_of",
    "behind": "behind", "back": "behind", "rear": "behind",
}  # fmt: skip
# Words that name things and are clues as well: here they are clues.
_NOT_NAMES = frozenset({"face", "faces", "eye", "eyes", "picture", "pictures", "range"})
_ROOMS = frozenset({"room", "space", "apartment", "flat", "house", "place"})
_RANKS = {"second": 2, "third": 3}
# A negation would be lost, and of two questions one.
_UNREAD = re.compile(r"\b(?:not|no)\b|\b(?:is|are) there\b.*\bhow (?!many)")


@dataclass(frozen=True, slots=True)
class _Token:
    """A word, or a known name with the expression that it stands for."""

    word: str
    thing: SetExpression | None = None


def _name_of(words: tuple[str, ...], nouns: frozenset[str]) -> bool:
    if words[0] in ("a", "an", "the", "any", "some") or words[0] in _NOT_NAMES:
        return False
    return normalise(" ".join(words)) in nouns


def _tokens(text: str, nouns: frozenset[str]) -> list[_Token]:
    """Words and names, the longest names first."""
    words = re.findall(r"[\w']+", text)
    tokens: list[_Token] = []
    at = 0
    while at < len(words):
        for length in (3, 2, 1):
            chunk = tuple(words[at : at + length])
            if len(chunk) == length and _name_of(chunk, nouns):
                phrase = " ".join(chunk)
                several = singular(chunk[-1]) != chunk[-1]
                thing = Select(phrase) if several else Unique(Select(phrase))
                tokens.append(_Token(phrase, thing))
                at += length
                break
        else:
            tokens.append(_Token(words[at]))
            at += 1
    return tokens


def _words(tokens: Iterable[_Token]) -> list[str]:
    return [token.word for token in tokens if token.thing is None]


def _things(tokens: Iterable[_Token]) -> list[SetExpression]:
    return [token.thing for token in tokens if token.thing is not None]


def _explained(tokens: Iterable[_Token], clues: Iterable[str]) -> bool:
    """Whether every word is plain, a unit or a clue."""
    known = PLAIN_WORDS | frozenset(clues)
    return all(word in known or singular(word) in _UNITS for word in _words(tokens))


def _unit(words: Iterable[str]) -> str | None:
    return next((_UNITS[singular(word)] for word in words if singular(word) in _UNITS), None)


def _many(words: Iterable[str]) -> set[str]:
    """`many` counts units (`how many metres`), or it asks for a count."""
    return {"many"} if _unit(words) else set()


def _all_of(thing: SetExpression) -> SetExpression:
    return thing.source if isinstance(thing, Unique) else thing


def _distance(tokens: list[_Token], unit: str | None) -> Expression | None:
    things, words = _things(tokens), _words(tokens)
    measured = unit or _unit(words)
    told = {"distance", "far", "apart", "separates", "separated", "distant", "gap", "space"}
    if len(things) != 2 or not (told.intersection(words) or _unit(words)):
        return None
    if "closest" in words and "points" not in words:
        return None
    if not _explained(tokens, {*_CLUES["distance"], *_many(words)}):
        return None
    return Measure(name="distance", of=(things[0], things[1]), unit=measured)


def _count(tokens: list[_Token], unit: str | None) -> Expression | None:
    del unit
    things, words = _things(tokens), _words(tokens)
    if len(things) != 1 or not {"many", "count", "number", "total"}.intersection(words):
        return None
    if _unit(words) or not _explained(tokens, _CLUES["count"]):
        return None
    return Count(_all_of(things[0]))


def _measure(name: str) -> Callable[[list[_Token], str | None], Expression | None]:
    def read(tokens: list[_Token], unit: str | None) -> Expression | None:
        things, words = _things(tokens), _words(tokens)
        clues = _CLUES[name]
        if len(things) != 1 or not clues.difference({"side", "measure"}).intersection(words):
            return None
        if not _explained(tokens, {*clues, *_many(words)}):
            return None
        return Measure(name=name, of=(things[0],), unit=unit or _unit(words))

    return read


def _room(tokens: list[_Token], unit: str | None) -> Expression | None:
    words = _words(tokens)
    told = {"area", "spacious", "square", "surface", "floor"}.intersection(words)
    sized = {"big", "large", "size"}.intersection(words) and _ROOMS.intersection(words)
    if _things(tokens) or not (told or sized) or not _explained(tokens, _CLUES["room"]):
        return None
    return Measure(name="room_area", unit=unit)


def _exists(tokens: list[_Token], unit: str | None) -> Expression | None:
    """`does this room come with a piano`: a yes or no about one thing and nothing else."""
    things, words = _things(tokens), _words(tokens)
    opening = words[:1] in (["is"], ["are"], ["does"], ["do"], ["has"], ["have"], ["any"])
    told = {"there", "with", "any", "got", "have", "contain"}.intersection(words)
    if len(things) != 1 or unit or not (opening and told):
        return None
    placed = {"on", "near", "next", "beside", "around", "at", "by", "from", "side", "hand"}
    if placed.intersection(words) or not _explained(tokens, {"contain", "living", "dining"}):
        return None
    return Exists(_all_of(things[0]))


def _outnumber(tokens: list[_Token], unit: str | None) -> Expression | None:
    del unit
    things, words = _things(tokens), _words(tokens)
    if len(things) != 2 or not {"outnumber", "numerous"}.intersection(words):
        return None
    if not _explained(tokens, _CLUES["outnumber"]):
        return None
    return Compare(left=Count(_all_of(things[0])), operator="more", right=Count(_all_of(things[1])))


def _nearest(tokens: list[_Token], unit: str | None) -> Expression | None:
    """The thing behind the clue is measured to; those around it are the options."""
    del unit
    clue = next((i for i, t in enumerate(tokens) if t.thing is None and t.word in NEAREST), None)
    if clue is None or not _explained(tokens, {*NEAREST, *_RANKS}):
        return None
    clues = [token.word for token in tokens if token.thing is None and token.word in NEAREST]
    if len(set(clues)) > 1 or {"and", "much", "see", "seen"}.intersection(_words(tokens)):
        return None
    behind = [i for i in range(clue, len(tokens)) if tokens[i].thing is not None]
    if not behind or any(word in ("apart", "between") for word in _words(tokens)):
        return None
    anchor = tokens[behind[0]].thing
    options = [t.thing for i, t in enumerate(tokens) if t.thing is not None and i != behind[0]]
    if len(options) > 1:
        source: SetExpression = Or(tuple(options))
    else:
        source = _all_of(options[0]) if options else Select(None)
    words = _words(tokens)
    rank = next((_RANKS[word] for word in words if word in _RANKS), 1)
    return Extreme(
        source=source, measure="distance", largest=NEAREST[tokens[clue].word], anchor=anchor,
        rank=rank,
    )  # fmt: skip


@dataclass(slots=True)
class _Roles:
    """Who stands where, looks at what, and what is looked for."""

    origin: SetExpression | None = None
    facing: SetExpression | None = None
    turn: float = 0.0
    anchor: SetExpression | None = None
    target: SetExpression | None = None
    spoiled: bool = False

    def put(self, role: str, thing: SetExpression) -> None:
        """Give a thing its role; a role twice spoils the reading."""
        self.spoiled = self.spoiled or getattr(self, role) is not None
        setattr(self, role, thing)


def _roles(tokens: list[_Token]) -> _Roles:
    roles = _Roles()
    since: list[str] = []
    for at, token in enumerate(tokens):
        if token.thing is None:
            since.append(token.word)
            continue
        after = [t.word for t in tokens[at + 1 : at + 4] if t.thing is None]
        roles.put(_role(since, after, roles), token.thing)
        if "back" in since and {"to", "against"}.intersection(since):
            roles.turn = 0.0 if "against" in since else math.pi
        since = []
    return roles


def _role(since: list[str], after: list[str], roles: _Roles) -> str:
    """What the words between two names make of the second."""
    if "with" in since and (after[:2] == ["straight", "ahead"] or after[:1] == ["ahead"]):
        return "facing"
    of = since[-2:] in (["of", "the"], ["of", "a"]) or since[-1:] == ["of"]
    if of and {"left", "right", "front"}.intersection(since[-6:]):
        # `standing on the left of the sofa` is no place that a box gives.
        roles.spoiled = roles.spoiled or roles.target is None
        return "anchor"
    if "back" in since and {"to", "against"}.intersection(since):
        return "origin" if "against" in since else "facing"
    if _FACE.intersection(since) and not {"see", "find"}.intersection(since):
        return "facing"
    if _STAND.intersection(since) and roles.origin is None and not _asked(since):
        return "origin"
    return "target"


def _asked(since: list[str]) -> bool:
    """Whether the words lead to what is asked for, not to a place to stand."""
    return since[-2:-1] in (["is"], ["are"], ["see"], ["find"]) or since[-1:] in (["is"], ["are"])


def _direction(tokens: list[_Token], unit: str | None) -> Expression | None:
    del unit
    clues = {*_FACE, *_STAND, *_SIDES, "that"}
    roles = _roles(tokens)
    if roles.spoiled or roles.facing is None or not _explained(tokens, clues):
        return None
    view = Viewpoint(origin=roles.origin, facing=roles.facing, turn=roles.turn)
    words = [word for word in _words(tokens) if word in _SIDES or word in ("where", "side")]
    if "back" in words and any(t.word in ("against",) for t in tokens):
        words.remove("back")
    if "with" in _words(tokens) and "ahead" in words:
        words = [word for word in words if word not in ("ahead", "straight")]
    if roles.target is None:
        return _listed(words, view, asked=bool(_ASKS_LIST.intersection(_words(tokens))))
    sectors = _sectors(set(words))
    if sectors is not None:
        return Direction(target=roles.target, viewpoint=view, anchor=roles.anchor, sectors=sectors)
    named = [_RELATIONS[word] for word in words if word in _RELATIONS]
    if len(set(named)) != 1:
        return None
    return Exists(
        Relate(source=roles.target, relation=named[0], anchor=roles.anchor, viewpoint=view)
    )


def _listed(words: list[str], view: Viewpoint, *, asked: bool) -> Expression | None:
    named = {_RELATIONS[word] for word in words if word in _RELATIONS}
    if not asked or len(named) != 1:
        return None
    return Relate(source=Select(None), relation=named.pop(), anchor=None, viewpoint=view)


def _sectors(words: set[str]) -> Sectors | None:
    if {"front_left", "front_right", "back_left", "back_right"} & words:
        return "quadrants"
    back = bool({"back", "behind", "rear"} & words)
    if {"left", "right"} <= words:
        return "sides_and_back" if back else "sides"
    if back and {"front", "ahead"} & words:
        return "front_back"
    if {"left", "right", "front", "behind", "back"} & words:
        return None
    return "compass" if {"direction", "way", "where", "side"} & words else None


_READERS = (
    _direction, _nearest, _distance, _count, _measure("height"), _measure("width"),
    _measure("depth"), _measure("size"), _room, _outnumber, _exists,
)  # fmt: skip


_TRUTHS = (_direction, _outnumber, _exists)
_AUXILIARIES = frozenset("is are was were does do did has have can could isn aren".split())


def read_loosely(text: str, *, unit: str | None, nouns: Iterable[str] = ()) -> Expression | None:
    """Read a question by its clues; None unless one reading explains every word.

    Args:
        text: A cleaned question.
        unit: The unit that was asked for, if it was taken out.
        nouns: Names of things besides those of the lexicon, such as a scene's labels.

    Examples:
        >>> read_loosely("sofa fridge distance", unit=None).name
        'distance'
        >>> read_loosely("how much does the tv cost", unit=None) is None
        True
    """
    known = known_nouns() | {normalise(noun) for noun in nouns}
    text = re.sub(r", ?(?:right|correct)$", "", text.strip(" .,;:?!"))
    if _UNREAD.search(text):
        return None
    tokens = _tokens(text, frozenset(known))
    first = tokens[0].word if tokens else ""
    asked = {"how", "what", "which", "where", "many"}.intersection(_words(tokens))
    # A yes or no is no number: `is the sofa far from the tv` has no answer in metres.
    yes_or_no = first in _AUXILIARIES and not asked
    readings = [
        found
        for reader in _READERS
        if (not yes_or_no or reader in _TRUTHS) and (found := reader(tokens, unit)) is not None
    ]
    return readings[0] if len(readings) == 1 else None
