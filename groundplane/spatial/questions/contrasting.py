"""Forms that ask by how much: differences, ratios, and whether a measure passes a limit."""

from __future__ import annotations

from dataclasses import replace

from groundplane.core.expressions import Unique
from groundplane.core.queries import Compare, Difference, Expression, Measure, Quantity
from groundplane.spatial.questions.form import COMPARATIVES, Context, Form, Slots, make_form
from groundplane.spatial.questions.phrases import NEAREST, PhraseError, read_phrase
from groundplane.spatial.questions.quantities import QUANTITY, read_number, read_quantity

__all__ = ["CONTRASTING"]

# What is as many times as another: the measure, by its adjective or its noun.
_ADJECTIVES = {
    "big": "volume", "large": "volume", "bulky": "volume", "tall": "height", "high": "height",
    "long": "size", "wide": "width", "broad": "width", "deep": "depth", "thick": "depth",
}  # fmt: skip
_NOUNS = {
    "height": "height", "width": "width", "depth": "depth", "length": "size", "volume": "volume",
    "size": "volume", "floor area": "floor_area", "footprint": "floor_area", "area": "floor_area",
    "longest side": "size",
}  # fmt: skip
_AS = rf"(?P<as>{'|'.join(_ADJECTIVES)})"
_NOUN = rf"(?P<noun>{'|'.join(sorted(_NOUNS, key=len, reverse=True))})"
# As big as is told by all sides (`same_size`); these go by one.
_EVEN = rf"(?P<as>{'|'.join(a for a in _ADJECTIVES if a not in ('big', 'large', 'bulky'))})"
_LONG = r"(?P<noun>height|width|depth|length|volume|floor area)"
_FARTHER = r"(?P<close>closer|nearer|farther|further)(?: away)?"
_MORE = r"(?P<more><MORE>)"
_BY = r"(?:by how much|how much|by what amount|by what distance|by how far|how far|by how)"
_HELD = r"(?: is| are| does| do)?"
_TIMES = r"(?:(?P<times>\d+(?:\.\d+)?|two|three|four|five|six|ten|twice|thrice|half)(?: times)?)"
_BOUND = (
    r"(?P<bound>over|more than|at least|no less than|less than|under|below|at most|no more than|"
    r"not more than|up to|above|exceeding)"
)
_LEAST = ("over", "more than", "at least", "no less than", "above", "exceeding")
_STRICT = ("over", "more than", "less than", "under", "below", "above", "exceeding")
# The limit itself belongs to the other side of `more` and `fewer`.
_AT_LIMIT = 1e-9
# `Twice as tall` without a bound: so near to it as a person would still say it.
_ABOUT = 0.05


def _measures(name: str, first: str, second: str, context: Context) -> tuple[Measure, Measure]:
    left, right = (read_phrase(text, view=context.viewpoint) for text in (first, second))
    if not isinstance(left, Unique) or not isinstance(right, Unique):
        raise PhraseError("one thing is held against one other")
    return Measure(name=name, of=(left,)), Measure(name=name, of=(right,))


def _difference(slots: Slots, context: Context) -> Expression:
    name, more = COMPARATIVES[slots["more"]]
    if slots["more"] == "lower":
        name, more = "top", False
    left, right = _measures(name, slots["a"], slots["b"], context)
    return Difference(left=left, right=right, more=more, unit=context.unit)


def _floor(slots: Slots, context: Context) -> Expression:
    left, right = _measures("floor_area", slots["a"], slots["b"], context)
    return Difference(left=left, right=right, more=slots["much"] == "more", unit=context.unit)


def _apart(slots: Slots, context: Context) -> Expression:
    left, right = _measures(_NOUNS[slots["noun"]], slots["a"], slots["b"], context)
    return Difference(left=left, right=right, tell="apart", unit=context.unit)


def _distances(slots: Slots) -> tuple[Measure, Measure]:
    """`the sofa to the tv than to the door`, `the bed from the door than the sofa is`."""
    a, b, c = (read_phrase(slots[name]) for name in "abc")
    if not all(isinstance(thing, Unique) for thing in (a, b, c)):
        raise PhraseError("one thing is held against one other")
    other = (a, c) if slots.get("to") else (c, b)
    return Measure(name="distance", of=(a, b)), Measure(name="distance", of=other)


def _closer(slots: Slots, context: Context) -> Expression:
    left, right = _distances(slots)
    return Difference(left=left, right=right, more=NEAREST[slots["close"]], unit=context.unit)


def _times(slots: Slots, context: Context) -> Expression:
    if slots.get("more"):
        name, more = COMPARATIVES[slots["more"]]
        left, right = _measures(name, slots["a"], slots["b"], context)
        return Difference(left=left, right=right, more=more, tell="ratio")
    name = _ADJECTIVES[slots["as"]] if slots.get("as") else _NOUNS[slots["noun"]]
    left, right = _measures(name, slots["a"], slots["b"], context)
    return Difference(left=left, right=right, tell="ratio")


def _times_far(slots: Slots, context: Context) -> Expression:
    del context
    left, right = _distances(slots)
    more = NEAREST.get(slots.get("close", "farther"), True)
    return Difference(left=left, right=right, more=more, tell="ratio")


def _limited(left: Measure | Difference, limit: Quantity, bound: str | None) -> Compare:
    """Whether a value passes a limit; `at least 2` holds for 2, `twice` for about twice."""
    if bound is None:
        return Compare(left=left, operator="equal", right=replace(limit, about=_ABOUT))
    operator = "more" if bound in _LEAST else "fewer"
    if bound not in _STRICT:
        slack = _AT_LIMIT * max(abs(limit.value), 1.0) * (-1 if operator == "more" else 1)
        limit = replace(limit, value=limit.value + 2 * slack)
    return Compare(left=left, operator=operator, right=limit)  # type: ignore[arg-type]


def _times_over(slots: Slots, context: Context) -> Expression:
    times = slots.get("times", "one")
    number = 0.5 if times == "half" else read_number(times)
    found = _times_far(slots, context) if slots.get("c") else _times(slots, context)
    assert isinstance(found, Difference)
    return _limited(found, Quantity(number, "times"), slots.get("bound"))


def _difference_over(slots: Slots, context: Context) -> Expression:
    found = _closer(slots, context) if slots.get("c") else _difference(slots, context)
    assert isinstance(found, Difference)
    return _limited(replace(found, unit=None), read_quantity(slots["quantity"]), slots.get("bound"))


def _over(slots: Slots, context: Context) -> Expression:
    """`over 5 feet tall`, `longer than 200 cm`."""
    if slots.get("more"):
        name, more = COMPARATIVES[slots["more"]]
        # So low is said of how high a thing reaches.
        name = "top" if name == "elevation" else name
        bound = "more than" if more else "less than"
    else:
        name, bound = _ADJECTIVES[slots["as"]], slots["bound"]
    quantity = read_quantity(slots["quantity"])
    if name == "volume" and not quantity.unit.endswith("3") and quantity.unit != "l":
        # `bigger than 2 m` is said of the longest side.
        name = "floor_area" if quantity.unit.endswith("2") else "size"
    thing = read_phrase(slots["a"], view=context.viewpoint)
    if not isinstance(thing, Unique):
        raise PhraseError("which of several is meant is not clear")
    return _limited(Measure(name=name, of=(thing,)), quantity, bound)


def _room_over(slots: Slots, context: Context) -> Expression:
    del context
    bound = slots.get("bound") or {"bigger": "over", "larger": "over", "smaller": "under"}.get(
        slots["more"]
    )
    quantity = read_quantity(slots["quantity"])
    if bound is None or not quantity.unit.endswith("2"):
        raise PhraseError("a room is held against an area")
    return _limited(Measure(name="room_area"), quantity, bound)


CONTRASTING: tuple[Form, ...] = (
    make_form(
        "how much closer", "How much closer is the sofa to the tv than to the door?", _closer,
        rf"{_BY}(?: is)? {_FARTHER} (?:is|are) {{a}} (?:to|from) {{b}} than (?:(?P<to>to|from) )?{{c}}{_HELD}",
        rf"{_BY} {_FARTHER} (?:to|from) {{b}} (?:is|are) {{a}} than {{c}}{_HELD}",
        rf"{_BY} (?:is|are) {{a}} {_FARTHER} (?:to|from) {{b}} than (?:(?P<to>to|from) )?{{c}}{_HELD}",
        rf"(?:is|are)? ?{{a}} (?:is|are) {_BY} {_FARTHER} (?:to|from) {{b}} than (?:(?P<to>to|from) )?{{c}}{_HELD}",
    ),
    make_form(
        "how much taller", "How much taller is the refrigerator than the stove?", _difference,
        rf"{_BY} {_MORE} (?:is|are) {{a}} (?:than|compared (?:to|with)) {{b}}{_HELD}",
        rf"{{a}} (?:is|are) {_MORE} than {{b}},? by how much",
        rf"{_BY} {_MORE} than {{b}} (?:is|are) {{a}}",
        rf"{_BY} (?:is|are|does|do) {{a}} {_MORE} than {{b}}{_HELD}",
        rf"{{a}} (?:is|are) {_BY} {_MORE} than {{b}}{_HELD}",
    ),
    make_form(
        "how much more floor", "How much more floor does the bed take up than the sofa?", _floor,
        r"(?:by )?how much (?P<much>more|less) (?:of the )?(?:floor space|floor area|floor|space|room) "
        r"(?:does|do) {a} (?:take up|take|occupy|cover|need|use)(?: up)? than {b}(?: does| do)?",
    ),
    make_form(
        "difference", "What is the height difference between the refrigerator and the bed?", _apart,
        rf"(?:what is |how (?:big|large|great) is )?(?:the )?{_NOUN} difference (?:between|of) {{a}} and {{b}}",
        rf"(?:what is |how (?:big|large|great) is )?(?:the )?difference (?:in|of) {_NOUN} (?:between|of) {{a}} and {{b}}",
        rf"how much do {{a}} and {{b}} differ in {_NOUN}",
        rf"(?:what is |how (?:big|large|great) is )?(?:the )?difference between the {_NOUN}s? of {{a}} "
        r"and (?:that of |the (?:\w+) of )?{b}",
    ),
    make_form(
        "times", "How many times taller is the refrigerator than the coffee table?", _times,
        rf"how many times {_MORE} (?:is|are) {{a}} than {{b}}{_HELD}",
        rf"how many times (?:is|are) {{a}} {_MORE} than {{b}}{_HELD}",
        rf"how many times (?:is|are) {{a}} as {_AS} as {{b}}{_HELD}",
        rf"by (?:what|which) factor (?:is|are) {{a}} {_MORE} than {{b}}{_HELD}",
        rf"how many times as {_AS} as {{b}} (?:is|are) {{a}}",
        rf"how many times {_MORE} than {{b}} (?:is|are) {{a}}",
        rf"how many times as {_AS} (?:is|are) {{a}} as {{b}}",
        rf"(?:what is )?(?:the )?ratio (?:of|between) (?:the )?{_NOUN}s? of {{a}} (?:to|and) (?:that|the (?:\w+)) of {{b}}",
        r"(?:what is )?(?:the )?ratio (?:of|between) {a} (?P<noun>height|width|depth|length|volume|size) "
        r"(?:to|and) {b} (?P=noun)",
        rf"(?:what is )?(?:the )?{_NOUN} ratio (?:of|between) {{a}} (?:to|and) {{b}}",
    ),
    make_form(
        "times as far", "How many times farther is the door from the bed than the tv is?", _times_far,
        rf"how many times {_FARTHER} (?:is|are) {{a}} (?:to|from) {{b}} than (?:(?P<to>to|from) )?{{c}}{_HELD}",
        rf"how many times (?:is|are) {{a}} {_FARTHER} (?:to|from) {{b}} than (?:(?P<to>to|from) )?{{c}}{_HELD}",
        r"how many times as far (?:is|are) {a} from {b} as (?:(?P<to>from) )?{c}(?: is| are)?",
    ),
    make_form(
        "is it twice as tall", "Is the bookshelf at least twice as tall as the sofa?", _times_over,
        rf"(?:is|are) {{a}} (?:{_BOUND} )?{_TIMES} as {_AS} as {{b}}{_HELD}",
        rf"(?:is|are) {{a}} (?:{_BOUND} )?{_TIMES} the {_NOUN} of {{b}}",
        rf"(?:is|are) {{a}} as {_EVEN} as {{b}}{_HELD}",
        rf"(?:is|are) {{a}} and {{b}} (?:equally|as) {_EVEN}(?: as (?:each other|one another))?",
        rf"(?:is|are) {{a}} and {{b}} (?:of )?(?:the same|equal) {_LONG}",
        rf"(?:do|does) {{a}} and {{b}} have the same {_LONG}",
        rf"(?:is|are) {{a}} (?:of )?the same {_LONG} as {{b}}",
        rf"(?:is|are) {{a}} (?:{_BOUND} )?{_TIMES} as far (?:away )?from {{b}} as (?:(?P<to>from) )?{{c}}{_HELD}",
    ),
    make_form(
        "is it so much taller", "Is the refrigerator more than half a metre taller than the stove?",
        _difference_over,
        rf"(?:is|are) {{a}} (?:{_BOUND} )?{QUANTITY} {_MORE} than {{b}}{_HELD}",
        rf"(?:is|are) {{a}} (?:{_BOUND} )?{QUANTITY} {_FARTHER} (?:to|from) {{b}} than "
        rf"(?:(?P<to>to|from) )?{{c}}{_HELD}",
    ),
    make_form(
        "is the room so big", "Is the room bigger than 20 square metres?", _room_over,
        rf"(?:is|are) <ROOM> {_MORE} than {QUANTITY}",
        rf"(?:is|are) <ROOM> {_BOUND} {QUANTITY}(?: (?:big|large))?",
    ),
    make_form(
        "is it so tall", "Is the refrigerator over 5 feet tall?", _over,
        rf"(?:is|are) {{a}} {_BOUND} {QUANTITY} {_AS}",
        rf"(?:is|are) {{a}} {_MORE} than {QUANTITY}",
    ),
)  # fmt: skip
