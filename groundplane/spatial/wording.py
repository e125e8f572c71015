"""Answers as sentences, in pieces that know which objects they speak of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from groundplane.core.answer import Answer, FrameOfReference, Status
from groundplane.core.expressions import Extreme, Filter, Or, Relate, Select, SetExpression, Unique
from groundplane.core.lexicon import normalise, plural
from groundplane.core.pair_queries import Identity, Pair, Sight
from groundplane.core.queries import (
    Attribute,
    Compare,
    Count,
    Difference,
    Direction,
    Exists,
    Expression,
    Measure,
    Order,
    Quantity,
    Route,
    Way,
)
from groundplane.spatial.chances.hedging import Piece, hedged
from groundplane.spatial.nouns import (
    MORE_WORDS,
    base_of,
    is_plural,
    noun,
    ordinal,
    relation_words,
    said_of,
    the,
    verb_of,
    with_article,
)  # fmt: skip
from groundplane.spatial.pair_words import (
    difference_pieces,
    identity_pieces,
    pair_pieces,
    sight_pieces,
)
from groundplane.spatial.routes.way_words import way_pieces
from groundplane.spatial.units import format_number

__all__ = ["Piece", "word_answer"]

_LISTED = 20


def word_answer(expression: Expression, answer: Answer) -> tuple[Piece, ...]:
    """Say an answer in one or two plain sentences.

    Examples:
        >>> pieces = word_answer(Count(Select("chairs")), Answer(value=3, unit="count"))
        >>> "".join(piece.text for piece in pieces)
        'There are 3 chairs.'
    """
    if answer.value is None:
        return (Piece(_note_sentence(expression, answer)),)
    pieces = hedged(_sentence(expression, answer), answer)
    if not answer.note:
        return pieces
    note = answer.note if answer.status is Status.AMBIGUOUS else _sentence_of(answer.note)
    lead = " This is open: " if answer.status is Status.AMBIGUOUS else " "
    return (*pieces, Piece(f"{lead}{_stopped(note)}"))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _stopped(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _sentence_of(note: str) -> str:
    return _stopped(_capital(note))


def _note_sentence(expression: Expression, answer: Answer) -> str:
    note = answer.note or f"no answer: {answer.status.value}"
    if answer.status is Status.NEEDS_VIDEO:
        what = "the order of first sight" if isinstance(expression, Order) else "this"
        what = "the route" if isinstance(expression, Route) else what
        note = f"{what} {note}"
    return _sentence_of(note)


def _sentence(node: Expression, answer: Answer) -> tuple[Piece, ...]:
    makers: dict[type, Callable[..., tuple[Piece, ...]]] = {
        Count: _count, Exists: _exists, Measure: _measure, Compare: _compare,
        Direction: _direction, Order: _order, Route: _route, Attribute: _attribute,
        Way: way_pieces, Difference: difference_pieces, Identity: identity_pieces,
        Pair: pair_pieces, Sight: sight_pieces,
    }  # fmt: skip
    return makers.get(type(node), _objects)(node, answer)


def _count(node: Count, answer: Answer) -> tuple[Piece, ...]:
    number = answer.value
    if number == 1:
        text = with_article(_one(node.source))
        return (Piece("There is "), Piece(text, answer.evidence[:1]), Piece("."))
    quantity = "no" if number == 0 else f"{number}"
    refers = answer.evidence[: int(number)] if isinstance(number, int | float) else ()
    return (Piece("There are "), Piece(f"{quantity} {_many(node.source)}", refers), Piece("."))


def _split(node: SetExpression) -> tuple[str, str]:
    """The thing counted, singular, with what is said before it, and what restricts it."""
    base = base_of(node)
    while isinstance(base, Filter):
        base = base_of(base.source)
    before, _, after = noun(node).partition(noun(base))
    head = "object" if _is_anything(base) else normalise(noun(base))
    return before + head, after


def _one(node: SetExpression) -> str:
    return "".join(_split(node))


def _many(node: SetExpression) -> str:
    head, rest = _split(node)
    return f"{plural(head)}{rest}"


def _inner(node: SetExpression) -> SetExpression:
    return node.source if isinstance(node, Unique) else node


def _exists(node: Exists, answer: Answer) -> tuple[Piece, ...]:
    yes = bool(answer.value)
    lead = Piece("Yes, " if yes else "No, ")
    source = node.source
    said = said_of(source)
    if said is not None and isinstance(said[0], Unique):
        be, thing = verb_of(said[0]), Piece(the(said[0]), answer.evidence[:1])
        words = said[1] if yes else f" not{said[1]}".removeprefix(" not not")
        return (lead, thing, Piece(f" {be}{words}{_seen_from(answer.frame)}."))
    words = _existing(source, yes=yes, alone=len(answer.evidence) == 1)
    return (lead, Piece(f"there {words}", answer.evidence if yes else ()), Piece("."))


def _existing(source: SetExpression, *, yes: bool, alone: bool) -> str:
    """`is a lamp on the table`; the number is that of the question where it is not known."""
    head, rest = _split(source)
    if _is_anything(base_of(source)):
        return f"is {'something' if yes else 'nothing'}{rest}"
    if is_plural(source) and not alone:
        return f"are {'' if yes else 'no '}{plural(head)}{rest}"
    return f"is {with_article(head) if yes else 'no ' + head}{rest}"


_ADJECTIVES = {
    "height": "tall", "width": "wide", "depth": "deep", "length": "long",
}  # fmt: skip
_EACH = {
    "height": "Heights", "width": "Widths", "depth": "Depths", "length": "Lengths",
    "size": "Longest sides", "volume": "Volumes", "floor_area": "Floor areas",
    "elevation": "Bottoms above the floor", "top": "Tops above the floor", "color": "Colours",
    "material": "Materials", "shape": "Shapes",
}  # fmt: skip


def _each(name: str, answer: Answer) -> tuple[Piece, ...]:
    """One value an object: the values come as `chair-1: 0.90 m`."""
    told = [value.replace(": ", " ", 1) for value in _names(answer.value)]
    head = _EACH.get(name, "Each")
    return (Piece(f"{head}: "), *_listed(told, answer.evidence), Piece("."))


def _measure(node: Measure, answer: Answer) -> tuple[Piece, ...]:
    if isinstance(answer.value, tuple):
        return _each(node.name, answer)
    if not isinstance(answer.value, int | float):
        return _attribute(Attribute(source=node.of[0], name=node.name), answer)
    amount = format_number(float(answer.value), answer.unit)
    if node.name == "room_area":
        return (Piece(f"The room has a floor area of {amount}."),)
    if node.name in ("distance", "center_distance"):
        return _distance(node, answer, amount)
    thing, ids, be = the(node.of[0]), answer.evidence[:1], verb_of(node.of[0])
    if node.name in _ADJECTIVES:
        return (Piece(_capital(thing), ids), Piece(f" {be} {amount} {_ADJECTIVES[node.name]}."))
    if node.name == "floor_area" and not (answer.unit or "").startswith("px"):
        verb = "take up" if be == "are" else "takes up"
        return (Piece(_capital(thing), ids), Piece(f" {verb} {amount} of floor."))
    heads = {
        "size": "The longest side of ", "volume": "The volume of ", "elevation": "The bottom of ",
        "top": "The top of ", "floor_area": "The area of ",
    }  # fmt: skip
    ends = {"elevation": " above the floor", "top": " above the floor"}
    head = heads.get(node.name, f"The {node.name} of ")
    return (Piece(head), Piece(thing, ids), Piece(f" is {amount}{ends.get(node.name, '')}."))


def _distance(node: Measure, answer: Answer, amount: str) -> tuple[Piece, ...]:
    ids, (a, b) = answer.evidence, node.of
    centers = node.name == "center_distance"
    if a == b:
        between = " from centre to centre" if centers else ""
        return (Piece(_capital(the(a)), ids), Piece(f" are {amount} apart{between}."))
    if centers:
        return (
            Piece("The centre of "), Piece(the(a), ids[:1]),
            Piece(f" is {amount} from the centre of "), Piece(the(b), ids[1:2]), Piece("."),
        )  # fmt: skip
    link = Piece(f" {verb_of(a)} {amount} from ")
    return (Piece(_capital(the(a)), ids[:1]), link, Piece(the(b), ids[1:2]), Piece("."))


_NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_AMOUNT = re.compile(r"(\d[\d.e+-]*) (\w+)")


def _compare(node: Compare, answer: Answer) -> tuple[Piece, ...]:
    lead, yes = "Yes" if answer.value else "No", bool(answer.value)
    if isinstance(node.left, Attribute) and isinstance(node.right, Attribute):
        return _alike(node.left, node.right, answer)
    if isinstance(node.right, Quantity):
        return _against_stated(node, answer)
    detail = _AMOUNT.sub(
        lambda found: format_number(float(found[1]), found[2]),
        answer.measure.rpartition(": ")[2],
    )
    numbers = [
        round(float(number)) for number in re.findall(_NUMBER, answer.measure.rpartition(": ")[2])
    ]
    if isinstance(node.left, Count) and isinstance(node.right, int):
        counted = replace(answer, value=numbers[0], note="")
        there, *rest = _count(Count(node.left.source), counted)
        return (Piece(f"{lead}, {there.text[0].lower()}{there.text[1:]}"), *rest)
    if isinstance(node.left, Count) and _is_share(node):
        return _share(node.left.source, answer, numbers)
    if isinstance(node.left, Count):
        words = {"more": "more", "fewer": "fewer", "equal": "as many"}[node.operator]
        link = "as" if node.operator == "equal" else "than"
        verb = "are" if yes else "are not"
        left, right = _many(node.left.source), _compared(node.right)
        return (Piece(f"{lead}, there {verb} {words} {left} {link} {right}: {detail}."),)
    measured = cast(Measure, node.left)
    subject = Piece(the(measured.of[0]), answer.evidence[:1])
    said = _compared_words(measured, node, yes=yes)
    return (Piece(f"{lead}, "), subject, Piece(f" {said}: {detail}."))


def _against_stated(node: Compare, answer: Answer) -> tuple[Piece, ...]:
    """`Yes, the refrigerator is 1.80 m tall.`"""
    number, unit = answer.measure.rpartition(": ")[2].split(" ")[:2]
    found = replace(answer, value=float(number), unit=unit, measure="", note="")
    first, *rest = _sentence(node.left, found)
    said = first.text if first.text[1:2].isupper() else first.text[:1].lower() + first.text[1:]
    return (Piece("Yes, " if answer.value else "No, "), replace(first, text=said), *rest)


def _alike(left: Attribute, right: Attribute, answer: Answer) -> tuple[Piece, ...]:
    """`Yes, the cube is of the same color as the ball: red.`"""
    said = f"{verb_of(left.source)}{'' if answer.value else ' not'} of the same {left.name} as "
    told = answer.measure.rpartition(": ")[2].replace(" against ", " and ")
    told = told.partition(" and ")[0] if answer.value else told
    ids = answer.evidence
    return (
        Piece(f"{'Yes' if answer.value else 'No'}, "), Piece(the(left.source), ids[:1]),
        Piece(f" {said}"), Piece(the(right.source), ids[1:2]), Piece(f": {told}."),
    )  # fmt: skip


def _is_share(node: Compare) -> bool:
    """Whether it is asked if something holds for all of a set."""
    left, right = node.left, node.right
    if not (isinstance(left, Count) and isinstance(right, Count)):
        return False
    said = said_of(left.source)
    return said is not None and said[0] == right.source


def _share(related: SetExpression, answer: Answer, numbers: list[int]) -> tuple[Piece, ...]:
    """`No, 3 of 4 chairs are near the table.`"""
    some, every = numbers
    subject, rest = said_of(related) or (related, "")
    if every == 1:
        be = verb_of(subject) + ("" if answer.value else " not")
        lead = "Yes" if answer.value else "No"
        thing = Piece(f"the {noun(subject)}", answer.evidence[:1])
        return (Piece(f"{lead}, "), thing, Piece(f" {be}{rest}{_seen_from(answer.frame)}."))
    be = "is" if some == 1 and not answer.value else "are"
    lead = f"Yes, all {every}" if answer.value else f"No, {some or 'none'} of {every}"
    return (Piece(f"{lead} {_many(subject)} {be}{rest}{_seen_from(answer.frame)}."),)


def _compared_words(left: Measure, node: Compare, *, yes: bool) -> str:
    """`is not taller than the bed`."""
    more, fewer = MORE_WORDS.get(left.name, ("more", "less"))
    word = more if node.operator == "more" else fewer
    be, many = verb_of(left.of[0]), verb_of(left.of[0]) == "are"
    right = _compared(node.right)
    if left.name == "floor_area":
        verb = ("take up" if many else "takes up") if yes else (
            "do not take up" if many else "does not take up"
        )  # fmt: skip
        return f"{verb} {'more' if node.operator == 'more' else 'less'} floor space than {right}"
    verb = be if yes else f"{be} not"
    if left.name == "distance" and isinstance(node.right, Measure):
        link = "from" if word == "farther" else "to"
        c, d = node.right.of
        than = f"{link} {the(d)}" if c == left.of[0] else the(c)
        return f"{verb} {word} {link} {the(left.of[1])} than {than}"
    return f"{verb} {word} than {right}"


def _compared(node: Count | Measure | Attribute | Quantity | int) -> str:
    if isinstance(node, Quantity):
        return format_number(node.value, node.unit)
    if isinstance(node, int):
        return f"{node}"
    if isinstance(node, Measure):
        return the(node.of[0])
    return _many(node.source) if isinstance(node, Count) else the(node.source)


def _direction(node: Direction, answer: Answer) -> tuple[Piece, ...]:
    be = verb_of(node.target)
    target = Piece(_capital(the(node.target)), answer.evidence[:1])
    value, frame = str(answer.value), answer.frame
    if frame is not None and frame.kind == "image":
        where = f"{value} of {the(node.anchor)}" if node.anchor is not None else (
            f"in the {value} half of the picture" if node.sectors == "sides"
            else f"{value} of the middle of the picture"
        )  # fmt: skip
        return (target, Piece(f" {be} {where} (in the picture)."))
    if node.anchor is not None and (node.viewpoint is None or node.viewpoint.facing != node.anchor):
        link = "" if value == "behind" else " of"
        return (target, Piece(f" {be} {value}{link} {the(node.anchor)}{_seen_from(frame)}."))
    words = {"left": "to your left", "right": "to your right", "front": "in front of you",
             "back": "behind you, at your back"}  # fmt: skip
    where = words.get(value, f"to your {value}")
    angle = answer.measure.rpartition(": ")[2]
    measured = f" ({angle})" if angle else ""
    if frame is None:
        return (target, Piece(f" {be} {where}{measured}."))
    thing = Piece(the(node.target), answer.evidence[:1])
    return (Piece(f"{_capital(frame.text)}: "), thing, Piece(f" {be} {where}{measured}."))


def _names(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple) else (str(value),)


def _listed(names: Sequence[str], ids: Sequence[str]) -> tuple[Piece, ...]:
    """`a, b and c`, each tied to its object."""
    shown = list(names)[:_LISTED]
    left = len(names) - len(shown)
    pieces: list[Piece] = []
    for i, name in enumerate(shown):
        last = i == len(shown) - 1 and not left
        joint = "" if i == 0 else " and " if last else ", "
        pieces += [Piece(joint)] * bool(joint) + [Piece(name, tuple(ids[i : i + 1]))]
    return (*pieces, Piece(f" and {left} more")) if left else tuple(pieces)


def _order(node: Order, answer: Answer) -> tuple[Piece, ...]:
    del node
    return (
        Piece("In order of first sight: "),
        *_listed(_names(answer.value), answer.evidence),
        Piece("."),
    )


def _route(node: Route, answer: Answer) -> tuple[Piece, ...]:
    del node
    return (Piece(_capital(", then ".join(_names(answer.value))) + "."),)


def _attribute(node: Attribute, answer: Answer) -> tuple[Piece, ...]:
    subject = Piece(_capital(the(node.source)), answer.evidence[:1])
    if isinstance(answer.value, tuple) and node.name == "place":
        lead = "In the picture: " if answer.frame and answer.frame.kind == "image" else ""
        return (Piece(lead), *_listed(answer.value, answer.evidence), Piece("."))
    if isinstance(answer.value, tuple):
        return _each(node.name, answer)
    made = "made of " if node.name == "material" else ""
    image = answer.frame is not None and answer.frame.kind == "image"
    place = f"at the {answer.value} of the picture" if image and node.name == "place" else (
        f"{made}{answer.value}")  # fmt: skip
    return (subject, Piece(f" {verb_of(node.source)} {place}."))


def _objects(node: SetExpression, answer: Answer) -> tuple[Piece, ...]:
    inner = _inner(node)
    names, ids = _names(answer.value), answer.evidence
    if isinstance(inner, Extreme):
        return _chosen(inner, answer)
    if _is_anything(inner):
        return _everything(names)
    if not isinstance(inner, Relate):
        if not names:
            return (Piece(f"There are no {_many(node)}."),)
        return (Piece(_capital(noun(node)) + ": "), *_listed(names, ids), Piece("."))
    if inner.relation in _CARRIES and inner.anchor is not None:
        return _carried(inner, answer)
    where = noun(inner)[len(noun(inner.source)) :].strip() or relation_words(inner.relation)
    seen = _seen_from(answer.frame)
    if not names:
        what = "Nothing" if _is_anything(inner.source) else f"No {_one(inner.source)}"
        return (Piece(f"{what} is {where}{seen}."),)
    return (Piece(f"{_capital(where)}{seen}: "), *_listed(names, ids), Piece("."))


def _everything(names: Sequence[str]) -> tuple[Piece, ...]:
    """All there is, grouped by label."""
    if not names:
        return (Piece("There is nothing."),)
    groups = Counter(name.rpartition("-")[0] if name[-1:].isdigit() else name for name in names)
    told = [f"{n} {plural(normalise(label))}" if n > 1 else label for label, n in groups.items()]
    listed = " and ".join(part for part in (", ".join(told[:-1]), told[-1]) if part)
    number = f"are {len(names)} objects" if len(names) > 1 else "is 1 object"
    return (Piece(f"There {number}: {listed}."),)


_CARRIES = {"supports": "on", "contains": "in"}


def _carried(node: Relate, answer: Answer) -> tuple[Piece, ...]:
    """What a thing stands on or in."""
    names = [_named(name) for name in _names(answer.value)]
    anchor = node.anchor if node.anchor is not None else Select(None)
    lead = Piece(f"{_capital(the(anchor))} {verb_of(anchor)} {_CARRIES[node.relation]} ")
    if not names:
        return (lead, Piece("nothing here."))
    return (lead, *_listed(names, answer.evidence), Piece("."))


def _is_anything(node: SetExpression) -> bool:
    return isinstance(node, Select) and node.phrase is None


def _seen_from(frame: FrameOfReference | None) -> str:
    if frame is None or frame.kind == "world":
        return ""
    return " (in the picture)" if frame.kind == "image" else f" ({frame.text})"


def _named(name: str) -> str:
    """A label takes an article, an id does not."""
    return name if name[-1:].isdigit() else f"the {name}"


_OF_TWO = {
    "biggest": "bigger", "smallest": "smaller", "tallest": "taller", "shortest": "shorter",
    "longest": "longer", "widest": "wider", "narrowest": "narrower", "deepest": "deeper",
    "thinnest": "thinner", "largest": "larger", "highest": "higher", "lowest": "lower",
    "closest": "closer", "farthest": "farther",
}  # fmt: skip


def _option(node: Extreme, value: str) -> tuple[str, str]:
    """The chosen one as the question wrote it, and its verb: `the shoes`, `are`."""
    for option in node.source.sources if isinstance(node.source, Or) else ():
        if normalise(noun(option)) == value:
            return the(option), verb_of(option)
    return _named(value), "is"


def _chosen(node: Extreme, answer: Answer) -> tuple[Piece, ...]:
    value = ", ".join(_names(answer.value))
    if node.measure == "count":
        return (Piece(f"There are {'more' if node.largest else 'fewer'} {plural(value)}."),)
    words, be = _option(node, value)
    name = Piece(_capital(words), answer.evidence[:1])
    if node.measure == "first_seen":
        return (name, Piece(f" {be} seen {'last' if node.largest else 'first'}."))
    two = isinstance(node.source, Or) and len(node.source.sources) == 2 and node.rank == 1
    if node.measure == "distance" and node.anchor is not None:
        far = "farthest" if node.largest else "closest"
        far = f"{_OF_TWO[far] if two else far} {'from' if node.largest else 'to'}"
        anchor = Piece(the(node.anchor), answer.evidence[1:2])
        return (name, Piece(f" {be} {ordinal(node.rank)}{far} "), anchor, Piece("."))
    adjective = noun(node).removeprefix(ordinal(node.rank)).split()[0]
    if two:
        return (name, Piece(f" {be} {_OF_TWO.get(adjective, adjective)}."))
    return (name, Piece(f" {be} the {ordinal(node.rank)}{adjective}."))
