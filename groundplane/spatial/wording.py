"""Answers as sentences, in pieces that know which objects they speak of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from groundplane.core.answer import Answer, Status
from groundplane.core.expressions import Extreme, Relate, Select, SetExpression, Unique
from groundplane.core.lexicon import normalise, plural
from groundplane.core.queries import (
    Attribute,
    Compare,
    Count,
    Direction,
    Exists,
    Expression,
    Measure,
    Order,
    Route,
)
from groundplane.spatial.nouns import noun, relation_words
from groundplane.spatial.units import format_number

__all__ = ["Piece", "word_answer"]

_LISTED = 20


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a sentence; `refers` are the objects it speaks of."""

    text: str
    refers: tuple[str, ...] = ()


def word_answer(expression: Expression, answer: Answer) -> tuple[Piece, ...]:
    """Say an answer in one or two plain sentences.

    Examples:
        >>> pieces = word_answer(Count(Select("chairs")), Answer(value=3, unit="count"))
        >>> "".join(piece.text for piece in pieces)
        'There are 3 chairs.'
    """
    if answer.value is None:
        return (Piece(_note_sentence(expression, answer)),)
    pieces = _sentence(expression, answer)
    if answer.status is Status.AMBIGUOUS:
        return (*pieces, Piece(f" This is open: {answer.note}."))
    return (*pieces, Piece(f" ({answer.note})")) if answer.note else pieces


def _note_sentence(expression: Expression, answer: Answer) -> str:
    note = answer.note or f"no answer: {answer.status.value}"
    if answer.status is Status.NEEDS_VIDEO:
        what = "the order of first sight" if isinstance(expression, Order) else "this"
        what = "the route" if isinstance(expression, Route) else what
        return f"{what[0].upper()}{what[1:]} {note}."
    return note if note.endswith((".", "?", "!")) else f"{note}."


def _sentence(node: Expression, answer: Answer) -> tuple[Piece, ...]:
    makers: dict[type, Callable[..., tuple[Piece, ...]]] = {
        Count: _count, Exists: _exists, Measure: _measure, Compare: _compare,
        Direction: _direction, Order: _order, Route: _route, Attribute: _attribute,
    }  # fmt: skip
    return makers.get(type(node), _objects)(node, answer)


def _count(node: Count, answer: Answer) -> tuple[Piece, ...]:
    number = answer.value
    words = noun(node.source)
    if number == 1:
        text = f"{_with_article(_one(node.source))}"
        return (Piece("There is "), Piece(text, answer.evidence[:1]), Piece("."))
    head, _, rest = _many(node.source).partition("\t")
    quantity = "no" if number == 0 else f"{number}"
    del words
    refers = answer.evidence[: int(number)] if isinstance(number, int | float) else ()
    return (Piece("There are "), Piece(f"{quantity} {head}{rest}", refers), Piece("."))


def _split(node: SetExpression) -> tuple[str, str]:
    """The thing counted, singular, and what restricts it."""
    base = node
    while isinstance(base, Relate | Unique):
        base = base.source
    head = "object" if isinstance(base, Select) and base.phrase is None else normalise(noun(base))
    full = noun(node)
    start = noun(base)
    return head, full[len(start) :] if full.startswith(start) else ""


def _one(node: SetExpression) -> str:
    head, rest = _split(node)
    return head + rest


def _many(node: SetExpression) -> str:
    head, rest = _split(node)
    return f"{plural(head)}\t{rest}"


def _with_article(words: str) -> str:
    return f"{'an' if words[:1] in 'aeiou' else 'a'} {words}"


def _exists(node: Exists, answer: Answer) -> tuple[Piece, ...]:
    yes = bool(answer.value)
    lead = Piece("Yes, " if yes else "No, ")
    source = node.source
    if isinstance(source, Relate) and isinstance(source.source, Unique):
        subject = noun(source.source, article=True)
        rest = noun(source)[len(noun(source.source)) :]
        verb = "is" if yes else "is not"
        return (lead, Piece(subject, answer.evidence[:1]), Piece(f" {verb}{rest}."))
    head, rest = _split(source)
    if yes and len(answer.evidence) == 1:
        return (lead, Piece(f"there is {_with_article(head)}{rest}", answer.evidence), Piece("."))
    words = f"there are {'' if yes else 'no '}{plural(head)}{rest}"
    return (lead, Piece(words, answer.evidence if yes else ()), Piece("."))


def _the(node: SetExpression) -> str:
    text = noun(node, article=True)
    return text if text.startswith("the ") else f"the {text}"


_ADJECTIVES = {
    "height": "tall", "width": "wide", "depth": "deep", "length": "long",
}  # fmt: skip


def _measure(node: Measure, answer: Answer) -> tuple[Piece, ...]:
    if isinstance(answer.value, tuple):
        return (*_listed(answer.value, answer.evidence), Piece("."))
    if not isinstance(answer.value, int | float):
        return (Piece(f"{answer.value}."),)
    amount = format_number(float(answer.value), answer.unit)
    if node.name == "room_area":
        return (Piece(f"The room has a floor area of {amount}."),)
    ids = answer.evidence
    first = Piece(_capital(_the(node.of[0])), ids[:1])
    if node.name in ("distance", "center_distance"):
        if node.of[0] == node.of[1]:
            return (Piece(_capital(noun(node.of[0])), ids), Piece(f" are {amount} apart."))
        between = " between centres" if node.name == "center_distance" else ""
        second = Piece(_the(node.of[1]), ids[1:2])
        return (first, Piece(f" is {amount} from "), second, Piece(f"{between}."))
    if node.name in _ADJECTIVES:
        return (first, Piece(f" is {amount} {_ADJECTIVES[node.name]}."))
    lower = Piece(_the(node.of[0]), ids[:1])
    heads = {
        "size": "The longest side of ", "volume": "The volume of ", "elevation": "The bottom of ",
        "top": "The top of ", "floor_area": "The area seen from above of ",
    }  # fmt: skip
    ends = {"elevation": " above the floor", "top": " above the floor"}
    head = heads.get(node.name, f"The {node.name} of ")
    return (Piece(head), lower, Piece(f" is {amount}{ends.get(node.name, '')}."))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_MORE_WORDS = {
    "distance": ("farther", "closer"), "height": ("taller", "shorter"), "size": ("longer", "shorter"),
    "width": ("wider", "narrower"), "depth": ("deeper", "thinner"), "volume": ("bigger", "smaller"),
}  # fmt: skip


def _compare(node: Compare, answer: Answer) -> tuple[Piece, ...]:
    lead = "Yes" if answer.value else "No"
    detail = answer.measure.rpartition(": ")[2]
    if isinstance(node.left, Count):
        words = {"more": "more", "fewer": "fewer", "equal": "as many"}[node.operator]
        verb = "are" if answer.value else "are not"
        left, right = noun(node.left.source), _compared(node.right)
        link = "as" if node.operator == "equal" else "than"
        numbers = detail.replace(" count", "")
        return (Piece(f"{lead}, there {verb} {words} {left} {link} {right}: {numbers}."),)
    left, right = _the(node.left.of[0]), _compared(node.right)
    verb = "is" if answer.value else "is not"
    more, fewer = _MORE_WORDS.get(node.left.name, ("more", "less"))
    word = more if node.operator == "more" else fewer
    if node.left.name == "distance" and isinstance(node.right, Measure):
        near = f"{word} {'from' if word == 'farther' else 'to'} {_the(node.left.of[1])}"
        other = node.right.of
        than = f"to {_the(other[1])}" if other[0] == node.left.of[0] else _the(other[0])
        return (Piece(f"{lead}, "), Piece(left, answer.evidence[:1]),
                Piece(f" {verb} {near} than {than}: {detail}."))  # fmt: skip
    return (Piece(f"{lead}, "), Piece(left, answer.evidence[:1]),
            Piece(f" {verb} {word} than {right}: {detail}."))  # fmt: skip


def _compared(node: Count | Measure) -> str:
    return noun(node.source) if isinstance(node, Count) else _the(node.of[0])


def _direction(node: Direction, answer: Answer) -> tuple[Piece, ...]:
    target = Piece(_capital(_the(node.target)), answer.evidence[:1])
    value = str(answer.value)
    frame = answer.frame
    if frame is not None and frame.kind == "image":
        where = f"{value} of {_the(node.anchor)}" if node.anchor is not None else (
            f"in the {value} half of the picture" if node.sectors == "sides"
            else f"{value} of the middle of the picture"
        )  # fmt: skip
        return (target, Piece(f" is {where} (in the picture)."))
    if node.anchor is not None and (node.viewpoint is None or node.viewpoint.facing != node.anchor):
        link = "" if value in ("behind",) else " of"
        return (
            target,
            Piece(f" is {value}{link} {_the(node.anchor)}, {frame.text if frame else ''}."),
        )
    words = {"left": "to your left", "right": "to your right", "front": "in front of you",
             "back": "behind you, at your back"}  # fmt: skip
    where = words.get(value, f"to your {value}")
    angle = answer.measure.rpartition(": ")[2]
    view = f"{_capital(frame.text)}: " if frame is not None else ""
    return (
        Piece(view),
        Piece(_the(node.target), answer.evidence[:1]),
        Piece(f" is {where} ({angle})."),
    )


def _names(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, tuple) else (str(value),)


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
    subject = Piece(_capital(_the(node.source)), answer.evidence[:1])
    if isinstance(answer.value, tuple) and node.name == "place":
        return (Piece(f"In the picture: {', '.join(answer.value)}."),)
    if isinstance(answer.value, tuple):
        return (*_listed(answer.value, answer.evidence), Piece("."))
    made = "made of " if node.name == "material" else ""
    image = answer.frame is not None and answer.frame.kind == "image"
    place = f"at the {answer.value} of the picture" if image and node.name == "place" else (
        f"{made}{answer.value}")  # fmt: skip
    return (subject, Piece(f" is {place}."))


def _objects(node: SetExpression, answer: Answer) -> tuple[Piece, ...]:
    inner = node.source if isinstance(node, Unique) else node
    names, ids = _names(answer.value), answer.evidence
    if isinstance(inner, Extreme):
        return _chosen(inner, answer)
    if isinstance(inner, Select) and inner.phrase is None:
        groups = Counter(name.rpartition("-")[0] if name[-1:].isdigit() else name for name in names)
        told = [f"{n} {plural(label)}" if n > 1 else label for label, n in groups.items()]
        count = f"{len(names)} object{'' if len(names) == 1 else 's'}"
        return (
            (Piece(f"There are {count}: {', '.join(told)}."),)
            if names
            else (Piece("There is nothing."),)
        )
    if not isinstance(inner, Relate):
        return (Piece(_capital(noun(node)) + ": "), *_listed(names, ids), Piece("."))
    where = noun(inner)[len(noun(inner.source)) :].strip() or relation_words(inner.relation)
    if not answer.value:
        what = "Nothing" if _is_anything(inner.source) else f"No {normalise(noun(inner.source))}"
        return (Piece(f"{what} is {where}{_seen_from(answer)}."),)
    return (Piece(f"{_capital(where)}{_seen_from(answer)}: "), *_listed(names, ids), Piece("."))


def _is_anything(node: SetExpression) -> bool:
    return isinstance(node, Select) and node.phrase is None


def _seen_from(answer: Answer) -> str:
    frame = answer.frame
    if frame is None or frame.kind == "world":
        return ""
    return " (in the picture)" if frame.kind == "image" else f", {frame.text}"


def _chosen(node: Extreme, answer: Answer) -> tuple[Piece, ...]:
    value = ", ".join(_names(answer.value))
    words = noun(node)
    if node.measure == "count":
        return (Piece(f"There are {'more' if node.largest else 'fewer'} {plural(value)}."),)
    name = Piece(f"The {value}", answer.evidence[:1])
    if node.measure == "distance" and node.anchor is not None:
        far = "farthest from" if node.largest else "closest to"
        rank = {1: "", 2: "second "}.get(node.rank, f"{node.rank}. ")
        anchor = Piece(_the(node.anchor), answer.evidence[1:2])
        return (name, Piece(f" is {rank}{far} "), anchor, Piece("."))
    if node.measure == "first_seen":
        return (name, Piece(f" is seen {'last' if node.largest else 'first'}."))
    adjective = words.split()[0] if node.rank == 1 else " ".join(words.split()[:2])
    return (name, Piece(f" is the {adjective}."))
