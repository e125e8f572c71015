"""Answers about two things as sentences: differences, identity, pairs, sight."""

from __future__ import annotations

import re

from groundplane.core.answer import Answer
from groundplane.core.pair_queries import Identity, Pair, Sight
from groundplane.core.queries import Difference
from groundplane.spatial.chances.hedging import Piece
from groundplane.spatial.nouns import MORE_WORDS, noun, the, verb_of
from groundplane.spatial.units import format_number

__all__ = ["difference_pieces", "identity_pieces", "pair_pieces", "sight_pieces"]

_ADJECTIVES = {
    "height": "tall", "width": "wide", "depth": "deep", "length": "long", "size": "long",
    "distance": "far", "center_distance": "far", "top": "high", "elevation": "high",
    "volume": "big", "floor_area": "large on the floor",
}  # fmt: skip
_APART = {
    "height": "height", "width": "width", "depth": "depth", "length": "length",
    "size": "length of the longest side", "volume": "volume", "top": "height of the top",
    "elevation": "height above the floor", "floor_area": "floor area",
}  # fmt: skip
_AMOUNT = re.compile(r"(-?\d[\d.e+-]*) (\w+)")


def difference_pieces(node: Difference, answer: Answer) -> tuple[Piece, ...]:
    """Say an answer to a `Difference`.

    Examples:
        >>> from groundplane.core.expressions import Select, Unique
        >>> from groundplane.core.queries import Measure
        >>> a, b = (Measure(name="height", of=(Unique(Select(n)),)) for n in ("bed", "lamp"))
        >>> answer = Answer(value=-0.5, unit="m", measure="height: 0.5 m against 1 m")
        >>> "".join(piece.text for piece in difference_pieces(Difference(left=a, right=b), answer))
        'The bed is not taller than the lamp, but 0.50 m shorter: 0.50 m against 1.00 m.'
    """
    value = float(str(answer.value))
    amount = format_number(abs(value), answer.unit)
    more, less = MORE_WORDS.get(node.left.name, ("more", "less"))
    word, other = (more, less) if node.more else (less, more)
    subject = Piece(_capital(the(node.left.of[0])), answer.evidence[:1])
    detail, be = _told(answer), verb_of(node.left.of[0])
    told = f": {detail}." if detail else "."
    if node.tell == "apart":
        thing = Piece(the(node.right.of[0]), answer.evidence[1:2])
        name = _APART.get(node.left.name, node.left.name)
        return (subject, Piece(" and "), thing, Piece(f" differ by {amount} in {name}{told}"))
    if node.tell == "ratio":
        return _times(node, answer, amount)
    # `closer to the tv than to the door`: what it is measured to stands behind the word.
    to = _measured_to(node, word)
    than = _than(node, word)
    if value == 0:
        even = _ADJECTIVES.get(node.left.name, "large")
        to = _measured_to(node, "farther" if even == "far" else even)
        return (subject, Piece(f" {be} as {even}{to} as {_than(node, 'farther')}{told}"))
    if value > 0:
        return (subject, Piece(f" {be} {amount} {word}{to} than {than}{told}"))
    return (subject, Piece(f" {be} not {word}{to} than {than}, but {amount} {other}{told}"))


def _times(node: Difference, answer: Answer, amount: str) -> tuple[Piece, ...]:
    """`The refrigerator is 2.00 times as tall as the stove.`"""
    left, right = (node.left, node.right) if node.more else (node.right, node.left)
    told = _told(answer)
    if not node.more:
        told = " against ".join(reversed(told.split(" against ")))
    word = _ADJECTIVES.get(left.name, "large")
    to = _measured_to(node, "farther" if word == "far" else word)
    subject = Piece(_capital(the(left.of[0])), answer.evidence[:1] if node.more else ())
    than = _than(node, "farther") if node.more else the(right.of[0])
    end = f": {told}." if told else "."
    return (subject, Piece(f" {verb_of(left.of[0])} {amount} as {word}{to} as {than}{end}"))


def _measured_to(node: Difference, word: str) -> str:
    if len(node.left.of) < 2:
        return ""
    return f" {'from' if word == 'farther' else 'to'} {the(node.left.of[1])}"


def _than(node: Difference, word: str) -> str:
    """What it is held against: another thing, or the other place that the distance goes to."""
    if len(node.right.of) > 1 and node.right.of[0] == node.left.of[0]:
        return f"{'from' if word == 'farther' else 'to'} {the(node.right.of[1])}"
    return the(node.right.of[0])


def _told(answer: Answer) -> str:
    detail = answer.measure.rpartition(": ")[2]
    return _AMOUNT.sub(lambda found: format_number(float(found[1]), found[2]), detail)


def identity_pieces(node: Identity, answer: Answer) -> tuple[Piece, ...]:
    """Say an answer to an `Identity`.

    Examples:
        >>> from groundplane.core.expressions import Extreme, Select, Unique
        >>> tallest = Unique(Extreme(source=Select(None), measure="height", largest=True))
        >>> node = Identity(subject=Unique(Select("bed")), described=tallest)
        >>> answer = Answer(value=False, measure="height: lamp")
        >>> "".join(piece.text for piece in identity_pieces(node, answer))
        'No, the tallest object is the lamp.'
    """
    described = noun(node.described, article=True)
    if answer.value:
        subject = Piece(the(node.subject), answer.evidence[:1])
        return (Piece("Yes, "), subject, Piece(f" {verb_of(node.subject)} {described}."))
    name = answer.measure.rpartition(": ")[2]
    return (Piece(f"No, {described} is "), Piece(_named(name), answer.evidence[1:2]), Piece("."))


def pair_pieces(node: Pair, answer: Answer) -> tuple[Piece, ...]:
    """Say an answer to a `Pair`.

    Examples:
        >>> from groundplane.core.expressions import Select
        >>> two = ("chair-1", "chair-2")
        >>> answer = Answer(value=two, evidence=two, measure="exact: 0.5 m")
        >>> "".join(piece.text for piece in pair_pieces(Pair(source=Select("chairs")), answer))
        'Of the chairs, chair-1 and chair-2 are closest to each other: 0.50 m.'
    """
    which = "farthest apart" if node.farthest else "closest to each other"
    whole = noun(node.source)
    if isinstance(answer.value, tuple):
        names = [_named(name) for name in answer.value]
        first, second = (
            Piece(name, answer.evidence[i : i + 1]) for i, name in enumerate(names)
        )  # fmt: skip
        told = f" are {which}: {_told(answer)}."
        return (Piece(f"Of the {whole}, "), first, Piece(" and "), second, Piece(told))
    amount = format_number(float(str(answer.value)), answer.unit)
    ids = " and ".join(_named(name) for name in answer.evidence[:2])
    two = Piece(ids, answer.evidence[:2])
    return (Piece(f"The two {whole} {which}, "), two, Piece(f", are {amount} apart."))


def sight_pieces(node: Sight, answer: Answer) -> tuple[Piece, ...]:
    """Say an answer to a `Sight`.

    Examples:
        >>> from groundplane.core.expressions import Select, Unique
        >>> node = Sight(viewer=Unique(Select("sofa")), target=Unique(Select("tv")))
        >>> answer = Answer(value=True, measure="share: all of it is in sight")
        >>> "".join(piece.text for piece in sight_pieces(node, answer))
        'Yes, one sees the tv from the sofa: all of it is in sight.'
    """
    target, viewer = the(node.target), the(node.viewer)
    share = answer.measure.rpartition(": ")[2]
    seen = not share.startswith("none")
    assumed = f" ({answer.frame.text.removeprefix('world, ')})" if answer.frame else ""
    if node.tell == "blocker":
        if answer.value == ():
            free = f"Nothing is in the way from {viewer} to {target}"
            return (Piece(f"{free}: {share}{assumed}."),)
        thing = _named(str(answer.value))
        part = "a part of " if seen else ""
        told = f" hides {part}{target} from {viewer}: {share}{assumed}."
        return (Piece(_capital(thing), answer.evidence[:1]), Piece(told))
    if node.tell == "share":
        amount = format_number(float(str(answer.value)), answer.unit)
        told = f" of {target} is in sight from {viewer}: {share}{assumed}."
        return (Piece(amount), Piece(told, answer.evidence[1:2]))
    lead = "Yes, " if answer.value else "No, "
    if node.by is not None:
        verb = "hides a part of" if answer.value else "does not hide"
        return (Piece(f"{lead}{the(node.by)} {verb} {target} from {viewer}: {share}{assumed}."),)
    if node.tell == "obstructed":
        what = "something is" if answer.value else "nothing is"
        middle = f"{what} in the way from {viewer} to {target}"
        return (Piece(f"{lead}{middle}: {share}{assumed}."),)
    verb = "sees" if seen else "does not see"
    return (
        Piece(f"{lead}one {verb} "), Piece(target, answer.evidence[1:2]),
        Piece(f" from {viewer}: {share}{assumed}."),
    )  # fmt: skip


def _named(name: str) -> str:
    """A label takes an article, an id does not."""
    return name if name[-1:].isdigit() else f"the {name}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
