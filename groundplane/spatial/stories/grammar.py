"""The grammar of stories: what a sentence says of where one thing lies from another.

A sentence opens at most once (`A and B are parallel, and ...`, `B is over there and ...`, `If B is
the center of a clock face, ...`) and then holds one or two clauses: a name, a verb, a place. A
place is directions and what they are seen from. What fits no such reading is refused with a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from groundplane.spatial.stories.words import Offset, Token, TokenKind, UnreadError

__all__ = ["Reading", "read_tokens"]

_JOINTS: tuple[TokenKind, ...] = ("comma", "and", "with")
_MANNERS: tuple[TokenKind, ...] = ("horizontal", "vertical", "diagonal")
_NOWHERE: Offset = (0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a clause says.

    Attributes:
        subject: Who is somewhere.
        anchor: From whom.
        kind: `place`, or `inside` (the subject lies in the anchor).
        offset: Steps to the right, up and towards the viewer, of the subject from the anchor.
    """

    subject: str
    anchor: str
    kind: Literal["place", "inside"] = "place"
    offset: Offset = _NOWHERE


@dataclass(slots=True)
class _Group:
    """Directions that share an anchor, as they are gathered."""

    offset: Offset = _NOWHERE
    anchor: str | None = None
    relation: Literal["place", "inside", "contains", "same"] = "place"
    said: bool = False

    def add(self, offset: Offset) -> None:
        self.offset = _united(self.offset, offset)
        self.said = True


@dataclass(slots=True)
class _Clause:
    subject: str
    groups: list[_Group]


@dataclass(slots=True)
class _Opening:
    """What a sentence begins with: two names, or one that the other is seen from."""

    names: tuple[str, ...] = ()
    pair: bool = False


def read_tokens(tokens: Sequence[Token]) -> tuple[Reading, ...]:
    """What a sentence says; empty where it only says that things are there.

    Raises:
        UnreadError: If it has no reading, or two parts of it exclude each other.

    Examples:
        >>> from groundplane.spatial.stories.words import tokens_of
        >>> read_tokens(tokens_of("A and B are side by side with A on the top and B at the bottom"))
        (Reading(subject='A', anchor='B', kind='place', offset=(0, 1, 0)),)
        >>> read_tokens(tokens_of("The objects A and B are over there"))
        ()
    """
    if not tokens:
        raise UnreadError("there are no words in it")
    return _Reader(tokens).sentence()


def _united(first: Offset, second: Offset) -> Offset:
    """Two directions said of one thing: `lower` and `left`."""
    if any(a * b < 0 for a, b in zip(first, second, strict=True)):
        raise UnreadError("two directions in it exclude each other")
    x, y, z = (a or b for a, b in zip(first, second, strict=True))
    return x, y, z


def _opposite(offset: Offset) -> Offset:
    x, y, z = offset
    return -x, -y, -z


class _Reader:
    """Reads one sentence from left to right."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        kinds = [token.kind for token in tokens[:3]]
        if kinds == ["there", "verb", "name"]:  # `There is a cup to the left of the plate`
            alone = not tokens[3:] or tokens[3].kind in _JOINTS
            tokens = [tokens[2], tokens[1], *tokens[: 1 if alone else 0], *tokens[3:]]
        self._tokens = tokens
        self._at = 0
        self._manners: list[TokenKind] = []

    def sentence(self) -> tuple[Reading, ...]:
        """The whole sentence, or an error."""
        opening = self._clock() or self._opening()
        self._take_joints()
        clauses: list[_Clause] = []
        while self._kind() is not None:
            clauses.append(self._clause(opening, clauses))
            self._take_joints()
        if not clauses and opening.pair and self._manners:
            raise UnreadError("it says that two things lie beside each other, not on which side")
        readings = tuple(dict.fromkeys(self._readings(opening, clauses)))
        for reading in readings:
            self._check(reading)
        return readings

    def _kind(self, ahead: int = 0) -> TokenKind | None:
        at = self._at + ahead
        return self._tokens[at].kind if at < len(self._tokens) else None

    def _take(self, kind: TokenKind, what: str = "") -> Token:
        if self._kind() != kind:
            got = "its end" if self._kind() is None else repr(self._tokens[self._at].text)
            raise UnreadError(f"expected {what or kind}, got {got}")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take_joints(self) -> None:
        while self._kind() in _JOINTS:
            self._at += 1

    def _clock(self) -> _Opening | None:
        """`If B is the center of a clock face, ...`."""
        if self._kind() != "if":
            return None
        self._at += 1
        name = self._take("name", "a name").text
        self._take("verb", "a verb")
        self._take("center", "the center of a clock face")
        return _Opening(names=(name,))

    def _opening(self) -> _Opening:
        """`A and B are side by side`, `B is over there`; nothing where a clause begins at once."""
        start = self._at
        names = [self._tokens[self._at].text] if self._kind() == "name" else []
        self._at += len(names)
        while self._kind() in ("and", "comma") and self._kind(1) == "name" and names:
            names.append(self._tokens[self._at + 1].text)
            self._at += 2
        if self._kind() == "verb" and names:
            self._at += 1
            arranged = self._arrangement()
            if arranged and (len(names) > 1 or arranged == ["there"]):
                self._manners += [kind for kind in arranged if kind != "there"]
                return _Opening(names=tuple(names), pair=len(names) > 1)
        self._at = start
        self._manners.clear()
        return _Opening()

    def _arrangement(self) -> list[TokenKind]:
        found: list[TokenKind] = []
        while (kind := self._kind()) in ("there", "pair", "horizontal", "vertical", "diagonal"):
            found.append(kind)
            self._at += 1
        return found

    def _clause(self, opening: _Opening, before: Sequence[_Clause]) -> _Clause:
        """`A is below and to the left of B`; the verb may be missing behind an opening."""
        subject = self._take("name", "a name").text
        anchors = (group.anchor for clause in before for group in clause.groups)
        subjects = (clause.subject for clause in before)
        others = (*opening.names, *subjects, *(name for name in anchors if name is not None))
        if self._kind() == "contains":
            self._at += 1
            inner = _Group(anchor=self._name(subject, others), relation="contains", said=True)
            return _Clause(subject, [inner])
        if self._kind() == "verb":
            self._at += 1
        elif self._kind() != "same" and not opening.names and not before:
            self._take("verb", f"a verb behind {subject!r}")
        return _Clause(subject, self._place(subject, others))

    def _name(self, subject: str, others: Sequence[str]) -> str:
        """The anchor, or what `it` stands for: the other one of two."""
        if self._kind() != "it":
            return self._take("name", "a name").text
        self._at += 1
        meant = dict.fromkeys(name for name in others if name != subject)
        if len(meant) != 1:
            raise UnreadError("it is not clear what 'it' stands for")
        return next(iter(meant))

    def _place(self, subject: str, others: Sequence[str]) -> list[_Group]:
        groups = [_Group()]
        seen = list(others)
        while (kind := self._kind()) is not None:
            if kind in ("and", "comma") and self._kind(1) in (None, "name", "with"):
                break
            if kind in ("name", "it", "of", "own") and not self._may_anchor(kind):
                break
            self._place_token(kind, groups, subject, seen)
        return _merged([group for group in groups if group.said or group.anchor is not None])

    def _may_anchor(self, kind: TokenKind) -> bool:
        """Whether an anchor may stand here: a name behind a preposition, or behind `of`."""
        before = self._tokens[self._at - 1].kind
        if kind == "name" and self._kind(1) == "own":
            return True
        if kind in ("name", "it"):
            return before in ("preposition", "of", "inside", "same")
        return kind == "of"

    def _place_token(
        self, kind: TokenKind, groups: list[_Group], subject: str, seen: list[str]
    ) -> None:
        group = groups[-1]
        if kind in ("name", "it"):
            name = self._name(subject, seen)
            seen[:] = [name]
            if self._kind() == "own":
                self._at += 1
                groups.append(_Group(anchor=name))
            elif group.anchor in (None, name):
                group.anchor = name
            else:
                raise UnreadError(f"it is seen from {group.anchor!r} and from {name!r}")
            return
        token = self._tokens[self._at]
        self._at += 1
        if kind in ("place", "preposition"):
            self._direction(token, groups)
        elif kind in ("inside", "same"):
            groups.append(_Group(relation="inside" if kind == "inside" else "same", said=True))
        elif kind in _MANNERS:
            self._manners.append(kind)
        elif kind == "near":
            raise UnreadError(f"{token.text!r} says that something is close, not on which side")
        elif kind not in ("and", "comma", "of", "verb"):
            raise UnreadError(f"{token.text!r} is out of place")

    def _direction(self, token: Token, groups: list[_Group]) -> None:
        """A direction belongs to the anchor before it, unless one of its own follows."""
        group = groups[-1]
        closed = group.anchor is not None and group.said
        if closed and self._own_anchor():
            groups.append(_Group())
        elif group.relation != "place":
            raise UnreadError(f"{token.text!r} is out of place")
        groups[-1].add(token.offset)

    def _own_anchor(self) -> bool:
        """Whether `of B` or `below B` follows before the next joint that a name stands behind."""
        at = self._at
        if self._tokens[at - 1].kind == "preposition" and self._kind() in ("name", "it"):
            return True
        while at < len(self._tokens) and self._tokens[at].kind in (
            "place", "preposition", "of", "and", *_MANNERS
        ):  # fmt: skip
            follows = self._tokens[at + 1].kind if at + 1 < len(self._tokens) else None
            if self._tokens[at].kind in ("of", "preposition") and follows in ("name", "it"):
                return True
            at += 1
        return False

    def _readings(self, opening: _Opening, clauses: Sequence[_Clause]) -> list[Reading]:
        readings: list[Reading] = []
        alone: list[tuple[str, Offset]] = []
        for clause in clauses:
            if not clause.groups:
                raise UnreadError(f"it does not say where {clause.subject!r} is")
            if opening.pair and clause.subject not in opening.names:
                raise UnreadError(f"{clause.subject!r} is none of those that it began with")
            for group in clause.groups:
                if group.anchor is None:
                    alone.append((clause.subject, _directed(group)))
                else:
                    readings.append(_reading(clause.subject, group))
        return [*readings, *_paired(opening, alone)]

    def _check(self, reading: Reading) -> None:
        """`horizontal` and its like go with what is said besides."""
        x, y, _ = reading.offset
        bad = {
            "horizontal": y != 0 or x == 0,
            "vertical": x != 0 or y == 0,
            "diagonal": x == 0 or y == 0,
        }
        for manner in self._manners:
            if bad.get(manner, False):
                raise UnreadError(f"{manner} does not go with the direction that it says")


def _merged(groups: Sequence[_Group]) -> list[_Group]:
    """`left of B and below B` is one place."""
    merged: list[_Group] = []
    for group in groups:
        same = [
            other for other in merged
            if group.relation == "place" == other.relation and other.anchor == group.anchor
        ]  # fmt: skip
        if same and group.anchor is not None:
            same[0].add(group.offset)
        else:
            merged.append(group)
    return merged


def _directed(group: _Group) -> Offset:
    if group.offset == _NOWHERE or group.relation != "place":
        raise UnreadError("what it is seen from is missing")
    return group.offset


def _reading(subject: str, group: _Group) -> Reading:
    anchor = group.anchor or ""
    if group.relation == "inside":
        return Reading(subject=subject, anchor=anchor, kind="inside")
    if group.relation == "contains":
        return Reading(subject=anchor, anchor=subject, kind="inside")
    if group.relation == "place" and group.offset == _NOWHERE:
        raise UnreadError(f"it does not say on which side of {anchor!r}")
    return Reading(subject=subject, anchor=anchor, offset=group.offset)


def _paired(opening: _Opening, alone: Sequence[tuple[str, Offset]]) -> list[Reading]:
    """Places without an anchor are seen from the other one of two."""
    if not alone:
        return []
    names = dict.fromkeys((*opening.names, *(name for name, _ in alone)))
    if len(names) != 2:
        raise UnreadError("it does not say from what the place is seen")
    first, second = names
    readings = []
    for name, offset in alone:
        if not opening.pair and name in opening.names:
            raise UnreadError(f"it does not say from what {name!r} is seen")
        other = second if name == first else first
        readings.append(Reading(subject=name, anchor=other, offset=offset))
    if opening.names == () and len(alone) < 2:
        raise UnreadError("it does not say from what the place is seen")
    turned = {
        reading.offset if reading.subject == first else _opposite(reading.offset)
        for reading in readings
    }
    if len(turned) > 1:
        raise UnreadError("two directions in it exclude each other")
    return readings[:1]
