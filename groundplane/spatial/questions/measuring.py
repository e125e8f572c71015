"""Forms that ask for a measure: room size, distance, size of an object."""

from __future__ import annotations

import re

from groundplane.core.expressions import Select
from groundplane.core.queries import Compare, Expression, Measure
from groundplane.spatial.questions.form import Context, Form, Slots, make_form
from groundplane.spatial.questions.phrases import NEAREST, PhraseError, read_phrase

__all__ = ["MEASURING"]

_SIZE_WORDS = {
    "big": "size", "large": "size", "long": "size", "small": "size", "tall": "height",
    "high": "height", "wide": "width", "broad": "width", "deep": "depth", "thick": "depth",
    "bulky": "volume", "size": "size", "length": "size", "height": "height", "width": "width",
    "breadth": "width", "depth": "depth", "thickness": "depth", "volume": "volume",
    "dimensions": "size", "measurements": "size", "proportions": "size",
    "footprint": "floor_area", "floor area": "floor_area", "floor space": "floor_area",
    "area": "floor_area", "vertical extent": "height",
}  # fmt: skip
_CUBIC = ("m3", "cm3", "ft3", "in3", "l")
_LONGEST = (
    r"(?:longest|largest|biggest|greatest|maximum|max|maximal|longer) "
    r"(?:side|dimension|edge|extent|length|axis|measurement)"
)
_SIZES = "|".join(sorted(_SIZE_WORDS, key=len, reverse=True))
_SIZE = rf"(?P<size>{_SIZES})"
_AREA = (
    r"(?:size|area|floor area|floor space|floorspace|surface area|surface|square footage|footage|"
    r"dimensions|floor size|footprint|number of square met(?:er|re)s)"
)
_ROUGHLY = r"(?:(?:total|overall|approximate|floor|whole|combined|rough|estimated|usable|free) )*"
_DISTANCE = r"(?:distance|gap|space|separation|clearance|spacing|room)"
_EXACT = (
    r"(?:(?:direct|shortest|minimum|minimal|straight line|straight|exact|closest|nearest|free|"
    r"actual|total|approximate|rough|clear|edge to edge|horizontal|physical|real|smallest) )*"
)
_CENTER = r"(?:the )?(?:cent(?:er|re)|middle|midpoint)s? of "
_CLOSE = "|".join(sorted(NEAREST, key=len, reverse=True))
_VIEWER = ("me", "us", "you", "here", "where i stand", "where i am", "myself")


def _measure(name: str, *texts: str, context: Context) -> Measure:
    of = tuple(read_phrase(text, view=context.viewpoint) for text in texts)
    return Measure(name=name, of=of, unit=context.unit)


def _distance(slots: Slots, context: Context) -> Expression:
    centers = slots.get("centers") or slots.get("middles")
    name = "center_distance" if centers else "distance"
    if slots.get("b", "me") not in _VIEWER:
        extreme = re.fullmatch(rf"(?:the )?(?:{_CLOSE}) [\w ]+", slots["a"])
        # `how far is the farthest object from the door`: the door counts twice.
        first = f"{slots['a']} to {slots['b']}" if extreme else slots["a"]
        return _measure(name, first, slots["b"], context=context)
    if context.place is not None:
        return Measure(name=name, of=(read_phrase(slots["a"]), context.place), unit=context.unit)
    pair = read_phrase(slots["a"])
    if "b" in slots or not isinstance(pair, Select):
        raise PhraseError("a distance needs two things")
    return Measure(name=name, of=(pair, pair), unit=context.unit)


def _size(slots: Slots, context: Context) -> Expression:
    name = _SIZE_WORDS[slots.get("size", "size")]
    if name == "size" and context.unit is not None and context.unit.endswith("2"):
        name = "floor_area"
    if name == "size" and context.unit in _CUBIC:
        name = "volume"
    return _measure(name, slots["a"], context=context)


def _floor_space(slots: Slots, context: Context) -> Expression:
    return _measure("floor_area", slots["a"], context=context)


def _elevation(slots: Slots, context: Context) -> Expression:
    return _measure("elevation", slots["a"], context=context)


def _room(slots: Slots, context: Context) -> Expression:
    del slots
    return Measure(name="room_area", unit=context.unit)


def _more_floor(slots: Slots, context: Context) -> Expression:
    return Compare(
        left=_measure("floor_area", slots["a"], context=context),
        operator="more" if slots["more"] == "more" else "fewer",
        right=_measure("floor_area", slots["b"], context=context),
    )


MEASURING: tuple[Form, ...] = (
    make_form(
        "longest side", "What is the longest side of the bed, in cm?",
        lambda slots, context: _measure("size", slots["a"], context=context),
        r"(?:what is |how (?:long|big|large) is )?(?:the )?length of the longest dimension "
        r"\(length, width,? or height\) of {a}(?:, measured in centimeters)?",
        rf"(?:what is |how (?:long|big|large|much) is )?(?:the )?(?:length of the )?{_LONGEST}"
        r"(?: \(.*\))?(?: of| for) {a}",
        rf"(?:what is |how (?:long|big|large) is )?{{a}} {_LONGEST}",
    ),
    make_form(
        "room size", "How big is this room?", _room,
        r"how (?:big|large|spacious|roomy|small|much) (?:is |are )?<ROOM>(?: measure)?",
        rf"(?:what is |what are |how (?:big|large|much) is )?(?:the )?{_ROUGHLY}{_AREA}"
        r"(?: (?:of|for|in|does|is) <ROOM>(?: have| cover)?)?",
        rf"(?:what is )?<ROOM> (?:{_AREA})",
        rf"what {_AREA}(?: is| does| has| of)? <ROOM>(?: have| cover| take up| got)?",
        r"how much (?:floor |free )?(?:space|area|room|floor|square footage)"
        r"(?: (?:is|does|do|has|have))?(?: there| we| it| <ROOM>)?"
        r"(?: (?:have|cover|take up|got|in|on the floor))*(?: <ROOM>)?(?: to work with)?",
        r"how big (?:is |are |does |has |have )?(?:<ROOM>|it|this|we got|have we got|that)"
        r"(?: (?:have|measure|cover|got|here|in all))*",
        r"how (?:big|large) (?:is )?(?:the )?(?:floor|floor area|floor space|area)"
        r"(?: (?:of|in) <ROOM>)?",
        r"how big (?:is )?(?:a|of a) (?:room|space|place)(?: is (?:this|it))?(?: is <ROOM>)?",
        r"how big (?:is )?(?:the )?(?:floor )?(?:in|of) <ROOM>",
    ),
    make_form(
        "elevation", "How high above the floor is the window?", _elevation,
        r"how (?:high|far)(?: up)? (?:above|off|from|over) the (?:floor|ground) "
        r"(?:is|are|does|do) {a}(?: (?:hang|start|begin|sit))?",
        r"how (?:high|far)(?: up)? (?:is|are|does|do) {a}(?: (?:hang|sit|start))? "
        r"(?:above|off|from|over) the (?:floor|ground)",
        r"how high up (?:is|are|does|do) {a}(?: hang| sit)?",
        r"(?:what is )?(?:the )?(?:height|distance) of {a} (?:above|from|off|over) the "
        r"(?:floor|ground)",
    ),
    make_form(
        "more floor", "Does the sofa take up more floor space than the bed?", _more_floor,
        r"(?:does|do) {a} (?:take up|take|occupy|cover|need|use) (?P<more>more|less) "
        r"(?:of the )?(?:floor space|floor area|floor|space|room|area) (?:than|then) {b}"
        r"(?: does| do)?",
    ),
    make_form(
        "distance", "How far is the sofa from the tv?", _distance,
        r"how far (?:separates?|lies? between|are between|is between|apart) {a} (?:and|from) {b}",
        rf"how far(?: away| apart)?(?: is| are)?(?: it)?(?: from)? (?P<centers>{_CENTER}){{a}} "
        rf"(?:to|from|and) (?:{_CENTER})?{{b}}(?: apart)?",
        r"how far(?: away| apart)? (?:is|are|lies?|sits?|stands?|would) {a}"
        r"(?: (?:placed|located|situated|standing|sitting|positioned|be))?(?: (?:away|apart))? "
        r"from {b}(?: (?:away|apart))?",
        r"how far(?: away| apart)?(?: is| are)?(?: it)? from {b} (?:is|are|lies?|stands?|sits?) {a}",
        r"how far(?: away| apart)?(?: (?:is|are))? {a} (?:from|of) {b}",
        r"how far(?: away| apart| separated)? (?:is|are|do|does) {a} and {b}(?: (?:apart|away|"
        r"separated|lie|sit|from each other|from one another|far))*",
        r"how far(?: apart)? {a} and {b}(?: are)?(?: apart)?",
        r"how far (?:do|does) (?:separate|lie between|part) {a} (?:and|from) {b}",
        r"how far (?:is (?:it|there|that)|is the way|does it go|would it be|are there|there is|there are|is|are)? ?"
        r"(?:between|from) {a} (?:and|to|till|until) {b}",
        r"how far(?: away| apart)? (?:is|are|lies?|sits?|stands?|would) {a}(?: (?:away|apart))? "
        r"to {b}",
        r"how (?:close|near)(?: by| together)? (?:is|are|lies|sits|stands) {a} (?:to|and) {b}"
        r"(?: (?:to each other|together))?",
        r"how (?:close|near)(?: by| together)? (?:do|does) {a}"
        r"(?: (?:stand|sit|lie|get|come))? (?:to|and) {b}(?: (?:to each other|together))?",
        rf"(?:what is |what would be |what |how (?:big|large|wide|long|much|great|small) is )?"
        rf"(?:i (?:need|want|would like) )?(?:the |a )?{_EXACT}"
        rf"(?:(?P<centers>cent(?:er|re) to cent(?:er|re)) )?{_DISTANCE}(?: is)?(?: there| lies?)?,? "
        rf"(?:between|from|of) (?:(?P<middles>{_CENTER}))?{{a}} (?:and|to|from|until) (?:{_CENTER})?{{b}}",
        rf"(?:what |how much |how big a )?{_EXACT}{_DISTANCE}(?: (?:is|lies|do (?:i|we) have))?"
        r"(?: there| left)? (?:between|separates|separating|parts) {a} (?:and|from) {b}",
        r"distance:?,? {a}(?: to| and|,| -|/) {b}",
        r"{a} (?:to|and|-) {b}:?,? distance",
        r"how far (?:away )?(?:apart )?(?:is|are) {a}(?: (?:apart|away|from each other|from one "
        r"another|from (?P<b>me|us|you)))*",
        r"(?:what is )?(?:the )?distance (?:between|to) {a}",
    ),
    make_form(
        "size", "How tall is the refrigerator?", _size,
        rf"how {_SIZE} (?:is|are|was) {{a}}",
        rf"how {_SIZE} (?:does|do|would) {{a}}(?: (?:measure|be|reach|stand|get|come out))?",
        rf"(?:what is |what are )?(?:the )?(?:(?:exact|approximate|maximum|total|overall|full|"
        rf"physical|rough|max) )*{_SIZE}(?: \(.*\))? (?:of|for) {{a}}",
        rf"(?:what|which) {_SIZE} (?:is|are|does|do|has|of) {{a}}(?: have)?",
        r"(?:what is )?{a} (?P<size>height|width|length|depth|size|volume|dimensions|footprint)",
        rf"how {_SIZE} {{a}}(?: is)?",
    ),
    make_form(
        "floor space", "How much floor space does the bed take up?", _floor_space,
        r"how much (?:of the )?(?:floor )?(?:space|area|room|floor) (?:does|do|is) {a} "
        r"(?:take up|take|occupy|cover|need|use|use up|fill|taking up|covering)(?: on the floor)?",
        r"how (?:big|much|large) (?:is )?(?:the )?(?:floor space |of the floor |space |floor area |"
        r"area )?(?:does|do) {a} (?:take up|take|occupy|cover)(?: on the floor)?",
        r"how (?:big|large) (?:is|are) the (?:footprint|floor area|area) of {a}",
    ),
)  # fmt: skip
