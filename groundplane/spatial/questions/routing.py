"""Forms that ask for a way: how one gets somewhere, how far one walks, whether one can."""

from __future__ import annotations

import re
from typing import Literal

from groundplane.core.expressions import SetExpression
from groundplane.core.queries import Expression, Way
from groundplane.spatial.questions.form import Context, Form, Slots, make_form
from groundplane.spatial.questions.phrases import PhraseError, read_phrase
from groundplane.spatial.questions.rewriting import MOVERS
from groundplane.spatial.questions.text import ALL_UNITS
from groundplane.spatial.units import convert

__all__ = ["ROUTING"]

_WHO = r"(?:i|we|you|one|it|somebody|someone|people|a person|a robot|the robot)"
_LENGTHS = ("mm", "cm", "m", "ft", "in")
_WIDE = (
    rf"(?:somebody|someone|something|anybody|i|(?:an?|the|my|our) {MOVERS})"
    r"(?: that is| who is| am)? (?P<width>\d+(?:\.\d+)?) ?"
    rf"(?P<unit>{'|'.join(ALL_UNITS[unit] for unit in _LENGTHS)}) wide"
)
_WIDTH = rf"(?P<width>\d+(?:\.\d+)?) ?(?P<unit>{'|'.join(ALL_UNITS[unit] for unit in _LENGTHS)})"
_NARROW = (
    r"(?:(?:narrowest|tightest|smallest) (?:passage|gap|spot|point|part|place|bottleneck)"
    r"(?: (?:on|of|along) (?:the )?(?:way|route|path|walk))?|bottleneck)"
)
_ANY = rf"(?:somebody|someone|something|i|a person|(?:an?|the|my|our) {MOVERS})"
_GO = r"(?:get|walk|go|move|travel|come|drive|navigate|pass|fit through|fit|squeeze through|get through|pass through|make it|find (?:my|the|a) way)"
_WAY = r"(?:way|route|path|walk|walkway|walking route|walking path|walking way|passage)"
_SHORT = r"(?:the |a )?(?:(?:shortest|quickest|best|fastest|direct|walkable|free) )*"
_FROM = r"(?:from|between|for|of) {a} (?:to|and|till|until|over to) {b}"


def _width(slots: Slots) -> float | None:
    """How wide the walker is, metres, where that is said."""
    if "width" not in slots:
        return None
    unit = next(unit for unit in _LENGTHS if re.fullmatch(ALL_UNITS[unit], slots["unit"]))
    width = convert(float(slots["width"]), unit, "m")
    if width <= 0:
        raise PhraseError("nobody has no width")
    return width


def _place(text: str, context: Context) -> SetExpression:
    """A place; `here` is where the asker stands, if that is said."""
    if text in ("here", "me", "my place", "where i am", "where i stand"):
        if context.place is None:
            raise PhraseError("it is not said where the asker is")
        return context.place
    return read_phrase(text)


def _way(
    tell: Literal["length", "steps", "possible"], slots: Slots, context: Context
) -> Expression:
    return Way(
        start=_place(slots.get("a", "here"), context),
        goal=_place(slots["b"], context),
        tell=tell,
        unit=context.unit if tell == "length" else None,
        width=_width(slots),
    )


def _steps(slots: Slots, context: Context) -> Expression:
    """`What is the shortest way` with a unit asks for its length."""
    return _way("steps" if context.unit is None else "length", slots, context)


def _length(slots: Slots, context: Context) -> Expression:
    return _way("length", slots, context)


def _possible(slots: Slots, context: Context) -> Expression:
    return _way("possible", slots, context)


def _wide(slots: Slots, context: Context) -> Expression:
    start, goal = _place(slots["a"], context), _place(slots["b"], context)
    return Way(start=start, goal=goal, tell="width", unit=context.unit)


def _both(before: str, after: str = "") -> tuple[str, str]:
    """From one to the other, said in either order."""
    return (
        rf"{before} from {{a}} (?:over |on )?to {{b}}{after}",
        rf"{before} to {{b}} from {{a}}{after}",
    )


_MUST = (
    rf"how far (?:do|does|must|should|would|will|is it for) {_WHO}"
    rf"(?: (?:have to|need to|got to|to))* {_GO}"
)
_MAY = rf"(?:can|could|may|is it possible for|would|will) (?:{_WIDE}|{_WHO})(?: be able)?(?: to)? {_GO}"
_HOW = rf"how (?:do|does|can|could|should|would|must) (?:{_WIDE}|{_WHO}) (?:best )?{_GO}"
_ON_FOOT = r" (?:on foot|walking|if i walk|when walking)"

ROUTING: tuple[Form, ...] = (
    make_form(
        "walking distance", "How far do I have to walk from the sofa to the door?", _length,
        *_both(_MUST),
        rf"{_MUST} to (?:get to |reach )?{{b}}",
        rf"{_MUST} to (?:get to |reach ){{b}} from {{a}}",
        rf"how (?:far|long) is (?:it|the way|the walk)? ?(?:to walk|to go on foot|on foot|walking) "
        rf"{_FROM}",
        rf"how far is (?:it|the way) {_FROM}{_ON_FOOT}",
        rf"how far is {{b}} from {{a}}{_ON_FOOT}",
        rf"how (?:long|far) (?:is |does )?{_SHORT}{_WAY}(?: be)? {_FROM}(?: take)?",
        rf"(?:what is )?(?:the )?(?:length of {_SHORT}{_WAY}|walking distance|distance on foot|"
        rf"(?:shortest )?path length|(?:shortest )?route length) {_FROM}",
        rf"what is (?:the )?(?:distance|length) {_FROM}{_ON_FOOT}",
    ),
    make_form(
        "way possible", "Can I get from the sofa to the door?", _possible,
        *_both(_MAY),
        rf"{_MAY} to {{b}}",
        rf"(?:can|could) (?:{_WIDE}|{_WHO}) reach {{b}} from {{a}}",
        *_both(rf"is it possible to {_GO}"),
        rf"is there {_SHORT}{_WAY}(?: for (?:{_WIDE}|{_WHO}))? {_FROM}",
        r"is {b} (?:reachable|accessible)(?: on foot)? from {a}",
        rf"is {_SHORT}{_WAY} {_FROM} (?:free|clear|open|passable)",
        *_both(rf"is there (?:enough )?(?:room|space) for (?:{_WIDE}|{_WHO}) to {_GO}"),
        rf"is {_SHORT}{_WAY} {_FROM} (?:at least )?{_WIDTH} wide(?: everywhere| throughout| all along)?",
        rf"is {_SHORT}{_WAY} {_FROM} wide enough for {_WIDE}",
        rf"is {_SHORT}{_WAY} {_FROM} (?:wider than|more than|over) {_WIDTH}(?: wide)?",
        rf"is there {_SHORT}{_WAY} (?:that is )?(?:at least )?{_WIDTH} wide {_FROM}",
    ),
    make_form(
        "width of the way", "How wide is the narrowest passage between the sofa and the door?",
        _wide,
        rf"how wide is (?:the )?{_NARROW} {_FROM}",
        rf"(?:what is )?(?:the )?width of (?:the )?{_NARROW} {_FROM}",
        rf"how (?:wide|broad) is {_SHORT}(?:{_WAY}|corridor|aisle|hallway) {_FROM}(?: at (?:its|it is|the) (?:narrowest|tightest)(?: point| spot| place)?)?",
        *_both(rf"how wide (?:may|can|could|must) {_ANY} (?:at most )?be(?: at most)? (?:and still |to |so as to )(?:still )?{_GO}"),
        *_both(
            rf"(?:what is )?(?:the )?(?:maximum|maximal|largest|greatest|max) width of (?:an? )?{MOVERS} "
            rf"(?:that|which) (?:can|could|may) {_GO}"
        ),
        *_both(rf"how wide an? {MOVERS} (?:can|could|may) {_GO}"),
        *_both(rf"(?:what|how wide|how big) is the widest (?:{MOVERS}|thing|object|walker) (?:that|which) (?:can|could|may) {_GO}"),
    ),
    make_form(
        "way", "How do I get from the sofa to the door?", _steps,
        *_both(_HOW),
        rf"{_HOW} to {{b}}",
        *_both(rf"how to {_GO}"),
        rf"(?:what is |which is |show me |find |plan |tell me |describe |give me )?{_SHORT}{_WAY} "
        rf"{_FROM}",
        *_both(r"(?:give me |show me |tell me |what are )?(?:the )?(?:walking )?directions"),
        r"(?:guide|lead|take|navigate|route|walk|bring) (?:me|us)? ?from {a} to {b}",
        *_both(rf"(?:which|what) {_WAY} (?:leads|goes|should i (?:take|go)|do i (?:take|go))"),
    ),
)  # fmt: skip
