"""The forms of questions that are understood: each a pattern and what it builds.

A form's pattern is matched against a cleaned question from end to end; `{a}`, `{b}`, ... stand
for noun phrases. The first form whose phrases can all be read wins, so the order is from the
particular to the general.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from groundplane.core.expressions import Extreme, Or, Relate, Select, SetExpression, Viewpoint
from groundplane.core.queries import (
    Attribute,
    Compare,
    Count,
    Direction,
    Exists,
    Expression,
    Measure,
    Order,
)
from groundplane.spatial.questions.phrases import (
    NEAREST,
    SUPERLATIVES,
    FoundRelation,
    PhraseError,
    find_relation,
    read_phrase,
    relate,
    viewer_side,
)
from groundplane.spatial.questions.text import split_list

__all__ = ["FORMS", "Context", "Form"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What was taken out of the question before the forms are tried."""

    viewpoint: Viewpoint | None
    origin: SetExpression | None
    unit: str | None


Slots = dict[str, str]
Builder = Callable[[Slots, Context], Expression]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One way to ask.

    Attributes:
        name: The family, for traces and messages.
        example: A question of this form.
        patterns: Regular expressions over the cleaned question.
        build: Makes the query; raises `PhraseError` if a phrase cannot be read.
    """

    name: str
    example: str
    patterns: tuple[re.Pattern[str], ...]
    build: Builder


_CLOSE = "|".join(sorted(NEAREST, key=len, reverse=True))
_ROOM = (
    r"(?:(?:this|the|my|our|whole|entire|full|total|combined) )*(?:room|apartment|flat|house|space|scene|"
    r"place|home|studio|area|bedroom|living room|office|unit)"
)
_THERE = r"(?: (?:are|is)(?: there)?| exist| there)?"
_SIDE_WORDS = r"(?:(?:on|to|at|towards?) )?(?:my|the|your|its)?(?: )?"
# Longer, wider, ...: the measure, and whether the larger wins.
_COMPARATIVES: dict[str, tuple[str, bool]] = {
    "bigger": ("volume", True), "larger": ("volume", True), "smaller": ("volume", False),
    "bulkier": ("volume", True), "taller": ("height", True), "higher": ("height", True),
    "shorter": ("height", False), "longer": ("size", True), "wider": ("width", True),
    "broader": ("width", True), "narrower": ("width", False), "deeper": ("depth", True),
    "thicker": ("depth", True), "thinner": ("depth", False), "lower": ("height", False),
}  # fmt: skip
_MORE = "|".join(_COMPARATIVES)
_MOST = "|".join([*SUPERLATIVES, "broadest"])
_SIZE_WORDS = {
    "big": "size", "large": "size", "long": "size", "tall": "height", "high": "height",
    "wide": "width", "broad": "width", "deep": "depth", "thick": "depth", "size": "size",
    "length": "size", "height": "height", "width": "width", "breadth": "width", "depth": "depth",
    "thickness": "depth", "volume": "volume", "dimensions": "size", "dimension": "size",
    "measurements": "size", "longest side": "size", "longest dimension": "size",
    "longest edge": "size", "longest extent": "size", "maximum dimension": "size",
    "largest dimension": "size", "biggest dimension": "size", "longest length": "size",
    "footprint": "floor_area", "floor area": "floor_area", "floor space": "floor_area",
    "area": "floor_area", "small": "size", "sizes": "size", "bulky": "volume", "proportions": "size",
    "vertical extent": "height", "vertical size": "height", "longest axis": "size",
    "greatest dimension": "size", "overall size": "size", "max dimension": "size",
}  # fmt: skip
_SIZES = "|".join(sorted(_SIZE_WORDS, key=len, reverse=True))


def _form(name: str, example: str, build: Builder, *patterns: str) -> Form:
    """Compile the patterns; `{a}` becomes a slot."""
    compiled = tuple(
        re.compile("^" + re.sub(r"\{([a-z])\}", r"(?P<\1>.+?)", pattern) + "$")
        for pattern in patterns
    )
    return Form(name=name, example=example, patterns=compiled, build=build)


def _measure(name: str, *texts: str, context: Context) -> Measure:
    of = tuple(read_phrase(text, view=context.viewpoint) for text in texts)
    return Measure(name=name, of=of, unit=context.unit)


def _distance(slots: Slots, context: Context) -> Expression:
    if "b" in slots and slots["b"] not in ("me", "us", "you", "here", "where i stand"):
        name = "center_distance" if slots.get("centers") else "distance"
        return _measure(name, slots["a"], slots["b"], context=context)
    origin = context.viewpoint.origin if context.viewpoint else context.origin
    if origin is None:
        pair = read_phrase(slots["a"])
        if "b" in slots or not isinstance(pair, Select):
            raise PhraseError("a distance needs two things")
        return Measure(name="distance", of=(pair, pair), unit=context.unit)
    return Measure(name="distance", of=(read_phrase(slots["a"]), origin), unit=context.unit)


def _size(slots: Slots, context: Context) -> Expression:
    return _measure(_SIZE_WORDS[slots["size"]], slots["a"], context=context)


def _floor_space(slots: Slots, context: Context) -> Expression:
    return _measure("floor_area", slots["a"], context=context)


def _room(slots: Slots, context: Context) -> Expression:
    del slots
    return Measure(name="room_area", unit=context.unit)


def _count(slots: Slots, context: Context) -> Expression:
    return Count(read_phrase("all " + slots["a"], view=context.viewpoint))


def _exists(slots: Slots, context: Context) -> Expression:
    text = slots["a"] if "n" not in slots else f"{slots['n']} {slots['a']}"
    return Exists(read_phrase("any " + text, view=context.viewpoint))


def _list_all(slots: Slots, context: Context) -> Expression:
    del slots, context
    return Select(None)


def _options(text: str) -> tuple[SetExpression, ...]:
    items = tuple(read_phrase(item) for item in split_list(re.sub(r"^either ", "", text)))
    if len(items) < 2:
        raise PhraseError("a choice needs two things or more")
    return items


def _nearest_option(slots: Slots, context: Context) -> Expression:
    anchor = slots["b"]
    origin = context.viewpoint.origin if context.viewpoint else context.origin
    if anchor in ("me", "us", "you") and origin is None:
        raise PhraseError("'me' without a place to stand")
    return Extreme(
        source=Or(_options(slots["a"])),
        measure="distance",
        largest=NEAREST[slots["close"]],
        anchor=origin if anchor in ("me", "us", "you") else read_phrase(anchor),
        rank={"second": 2, "third": 3}.get(slots.get("rank") or "", 1),
    )


def _nearest_of_two(slots: Slots, context: Context) -> Expression:
    """`is the sofa closer to the tv or the table`: b and c are the options."""
    del context
    return Extreme(
        source=Or((read_phrase(slots["b"]), read_phrase(slots["c"]))),
        measure="distance",
        largest=NEAREST[slots["close"]],
        anchor=read_phrase(slots["a"]),
    )


def _closer_than(slots: Slots, context: Context) -> Expression:
    """`is a closer to b than c`, `than to c`."""
    del context
    a, b, c = (read_phrase(slots[name]) for name in "abc")
    other = (a, c) if slots.get("to") else (c, b)
    return Compare(
        left=Measure(name="distance", of=(a, b)),
        operator="more" if NEAREST[slots["close"]] else "fewer",
        right=Measure(name="distance", of=other),
    )


def _phrase(slots: Slots, context: Context) -> Expression:
    """A noun phrase is its own answer: `which chair is nearest the door`."""
    return read_phrase(slots["a"], view=context.viewpoint)


def _nearest(slots: Slots, context: Context) -> Expression:
    what = slots.get("a") or "object"
    rank = slots.get("rank")
    lead = f"{rank} " if rank else ""
    anchor = slots.get("b") or "me"
    if anchor in ("me", "us", "you"):
        origin = context.viewpoint.origin if context.viewpoint else context.origin
        if origin is None:
            raise PhraseError("'me' without a place to stand")
        source = read_phrase("all " + what)
        return Extreme(
            source=source, measure="distance", largest=NEAREST[slots["close"]], anchor=origin
        )
    return read_phrase(f"{lead}{slots['close']} {what} to {anchor}", view=context.viewpoint)


def _most(slots: Slots, context: Context) -> Expression:
    rank = slots.get("rank")
    lead = f"{rank} " if rank else ""
    most = "widest" if slots["most"] == "broadest" else slots["most"]
    return read_phrase(f"{lead}{most} {slots.get('a') or 'object'}", view=context.viewpoint)


def _most_option(slots: Slots, context: Context) -> Expression:
    del context
    word = slots["more"]
    measure, largest = _COMPARATIVES.get(word) or SUPERLATIVES[word]
    return Extreme(source=Or(_options(slots["a"])), measure=measure, largest=largest)


def _bigger_than(slots: Slots, context: Context) -> Expression:
    del context
    measure, largest = _COMPARATIVES[slots["more"]]
    return Compare(
        left=Measure(name=measure, of=(read_phrase(slots["a"]),)),
        operator="more" if largest else "fewer",
        right=Measure(name=measure, of=(read_phrase(slots["b"]),)),
    )


def _more_than(slots: Slots, context: Context) -> Expression:
    del context
    operator = {"more": "more", "fewer": "fewer", "less": "fewer", "as many": "equal"}
    return Compare(
        left=Count(read_phrase("all " + slots["a"])),
        operator=operator[slots["more"]],  # type: ignore[arg-type]
        right=Count(read_phrase("all " + slots["b"])),
    )


def _most_numerous(slots: Slots, context: Context) -> Expression:
    del context
    items = split_list(slots["a"])
    sources = tuple(read_phrase("all " + item) for item in items)
    if len(sources) < 2:
        raise PhraseError("a choice needs two things or more")
    return Extreme(source=Or(sources), measure="count", largest=slots["more"] == "more")


def _view(context: Context) -> Viewpoint | None:
    return context.viewpoint


def _direction(sectors: str) -> Builder:
    def build(slots: Slots, context: Context) -> Expression:
        anchor = read_phrase(slots["b"]) if slots.get("b") else None
        view = _view(context)
        if view is None and context.origin is not None and anchor is not None:
            view = Viewpoint(origin=context.origin, facing=anchor)
        target = read_phrase(slots["a"], view=view)
        if view is None and anchor is None and sectors == "compass":
            return Attribute(source=target, name="place")
        return Direction(target=target, viewpoint=view, anchor=anchor, sectors=sectors)  # type: ignore[arg-type]

    return build


def _viewpoint_for(anchor_text: str, context: Context) -> Viewpoint | None:
    if context.viewpoint is None and context.origin is not None:
        return Viewpoint(origin=context.origin, facing=read_phrase(anchor_text))
    return context.viewpoint


def _related(subject: SetExpression, text: str, context: Context) -> SetExpression:
    """The subject restricted by the relation that `text` states from its first word on."""
    side = viewer_side(text)
    if side is not None:
        return Relate(source=subject, relation=side, anchor=None, viewpoint=context.viewpoint)
    found: FoundRelation | None = find_relation(text)
    if found is None or found.start != 0:
        raise PhraseError(f"no relation in {text!r}")
    rest = text[found.end :].strip()
    both = re.fullmatch(r"(.+?) and (.+)", rest)
    if both and found.name != "between":
        second = find_relation(both[2])
        if second is not None and second.start == 0:
            raise PhraseError("two relations")
    view = _viewpoint_for(rest, context) if found.name != "between" else context.viewpoint
    return relate(subject, found, rest, view=view)


def _what_is(slots: Slots, context: Context) -> Expression:
    what = slots.get("a") or "objects"
    subject = read_phrase("all " + what, view=context.viewpoint)
    return _related(subject, slots["r"], context)


def _is_related(slots: Slots, context: Context) -> Expression:
    text = f"{slots['a']}"
    for start in (m.start() for m in re.finditer(r"\b", text)):
        if start == 0:
            continue
        head, tail = text[:start].strip(), text[start:].strip()
        if not head or not tail:
            continue
        try:
            subject = read_phrase(head, view=context.viewpoint)
            return Exists(_related(subject, re.sub(r"^(?:located|standing|lying|placed|sitting|"
                                                   r"hanging|positioned|situated|resting|directly|"
                                                   r"still|really) ", "", tail), context))  # fmt: skip
        except PhraseError:
            continue
    raise PhraseError("no relation")


def _how_many_related(slots: Slots, context: Context) -> Expression:
    subject = read_phrase("all " + slots["a"], view=context.viewpoint)
    return Count(_related(subject, slots["r"], context))


def _attribute(name: str) -> Builder:
    def build(slots: Slots, context: Context) -> Expression:
        return Attribute(source=read_phrase(slots["a"], view=context.viewpoint), name=name)

    return build


def _order(slots: Slots, context: Context) -> Expression:
    del context
    sources = _options(slots["a"])
    order = Order(sources)
    return order


def _first_seen(slots: Slots, context: Context) -> Expression:
    del context
    return Extreme(
        source=Or(_options(slots["a"])), measure="first_seen", largest=slots["which"] == "last"
    )


_BE = r"(?:is|are|was|were|lies|lie|sits|sit|stands|stand|hangs|hang)"
_SEE = (
    r"(?:(?:is|are)(?: there)?(?: (?:visible|present|shown|here|seen|around|available|placed|"
    r"located|standing|sitting|lying|to be seen|to see|on display|in view|in total))?|(?:do|can|could) "
    r"(?:i|you|we|one) (?:see|count|find|spot|have|make out|identify|detect|notice)|exist|"
    r"(?:has|does|do|have) (?:it|{room}|the place|we) (?:have|contain|got|hold|include)|have we got|"
    r"(?:did|have) you (?:see|find|seen|found|spot|count)|there (?:are|is)|you (?:can )?see)"
).replace("{room}", _ROOM)
_SCOPE = (
    rf"(?: (?:in|inside|within|of|around|throughout|across) (?:(?:all|the whole) of )?(?:{_ROOM}|here|it|the (?:picture|image|photo|"
    r"photograph|scene|video|map|frame|shot)|this (?:picture|image|photo|photograph|scene|video|"
    r"map|frame|shot))| here| visible| present| shown)?"
)

FORMS: tuple[Form, ...] = (
    _form(
        "appearance order", "In what order do the sofa, the tv and the door appear?", _order,
        r"what will be the first time appearance order of the following categories in the video: {a}",
        r"(?:in )?(?:what|which) order (?:do|does|did|are|were|will) {a} (?:first )?"
        r"(?:appear|seen|shown|show up|come into view)(?: first)?(?: in the video)?",
        r"what is the (?:first time )?(?:appearance )?order (?:of|in which) {a}"
        r"(?: (?:appear|are seen|show up))?(?: in the video)?",
    ),
    _form(
        "seen first", "What appears first, the sofa or the tv?", _first_seen,
        r"(?:what|which|which one|which object|which of them) (?:appears?|appeared|is seen|was seen|"
        r"shows up|is shown|comes into view|came|comes|do you see|did you see|do i see) (?P<which>first|last)"
        r"(?: in the video)?[,:]? {a}(?: in the video)?",
        r"(?:which of|of|between|among) {a},? (?:which|what)(?: one)? (?:appears?|appeared|is seen|was seen) "
        r"(?P<which>first|last)(?: in the video)?",
        r"(?:do|does|did) {a} (?:appear|come|show up) (?P<which>first|last)(?: in the video)?",
    ),
    _form(
        "size", "How tall is the refrigerator?", _size,
        r"(?:what is |how long is )?(?:the )?length of the (?P<size>longest dimension) "
        r"\(length, width, or height\) of {a}, measured in centimeters",
        r"(?:what is )?(?:the )?length of the (?P<size>longest dimension) "
        r"\(length, width, or height\) of {a}",
    ),
    _form(
        "room size", "How big is this room?", _room,
        rf"how (?:big|large|spacious|roomy|small) (?:is |are )?{_ROOM}(?: overall| in total| in all)?",
        rf"(?:what is |what are )?(?:the )?(?:total |overall |approximate |floor |whole |combined |rough |estimated )*"
        rf"(?:size|area|floor area|floor space|surface area|surface|square footage|footage|floorspace|dimensions|"
        rf"floor size|footprint) (?:of|for|in|does) {_ROOM}(?: have)?",
        rf"(?:what is )?{_ROOM} (?:size|area|floor area|floor space|surface|square footage)",
        r"what (?:size|area|square footage|floor area|floor space|surface)(?: is| does| has| of)? " + _ROOM + r"(?: have| cover| take up)?",
        rf"how much (?:floor |free )?(?:space|area|room|floor|square footage) (?:does|is|has|do) (?:there in |there |the floor of )?(?:{_ROOM}|we|there)"
        rf"(?: (?:have|cover|take up|got|in {_ROOM}))?",
        rf"how big (?:is|are|does|has) {_ROOM}(?: have| measure| cover)?",
        rf"how big (?:does )?{_ROOM} (?:measure|is|have)",
        rf"how (?:big|large) (?:is|in) the (?:floor|floor area|floor space|area)(?: (?:of|in) {_ROOM})?",
        r"(?:the )?(?:size|area|floor area|floor space) of " + _ROOM,
        rf"how big (?:a|of a) (?:room|space|place)(?: is (?:this|it))?",
    ),
    _form(
        "elevation", "How high above the floor is the window?",
        lambda slots, context: _measure("elevation", slots["a"], context=context),
        r"how (?:high|far)(?: up)? (?:above|off|from|over) the (?:floor|ground) (?:is|are|does|do) {a}(?: (?:hang|start|begin|sit))?",
        r"how (?:high|far)(?: up)? (?:is|are|does|do) {a}(?: (?:hang|sit|start))? (?:above|off|from|over) the (?:floor|ground)",
        r"how high up (?:is|are) {a}",
    ),
    _form(
        "nearest option", "Which is closest to the door: the chair, the table or the tv?",
        _nearest_option,
        rf"which of (?:these|the following)(?: \w+)? ?[(:]{{a}}[):,]+ ?(?:is|lies) (?:the )?(?P<close>{_CLOSE}) (?:to|from) {{b}}",
        rf"(?:what|which|who)(?: one| object| thing| item| of them| of these| of the following| of these objects| of the two| of the following objects)? "
        rf"(?:is|lies|stands|sits|would be|are)(?: located)? (?:the )?(?:(?P<rank>second|third) )?(?P<close>{_CLOSE}) (?:to|from) {{b}}[,:;.(-]+ ?(?:is it |out of |of |among |between |from |either )?{{a}}\)?",
        rf"(?:which of|of|out of|among|amongst|between|from|considering|given|comparing) {{a}},? (?:which|what)?(?: one| object| thing| item| of them)?(?: ?(?:is|lies|stands|sits))? (?:the )?"
        rf"(?:(?P<rank>second|third) )?(?P<close>{_CLOSE}) (?:to|from) {{b}}",
        rf"which (?:one )?is (?P<close>{_CLOSE}),? {{a}},? (?:to|from) {{b}}",
        rf"{{a}}[,:;.-]+ ?(?:which|what)(?: one| object| of them| of these)? (?:is|lies) (?:the )?(?P<close>{_CLOSE}) (?:to|from) {{b}}",
        rf"(?:is|are) {{a}} (?:the )?(?P<close>{_CLOSE}) (?:to|from) {{b}}",
        rf"(?:is|are) (?:it )?{{a}} (?:that|which) is (?P<close>{_CLOSE}) (?:to|from) {{b}}",
        rf"(?P<close>{_CLOSE}) (?:to|from) {{b}}[,:;(-]+ ?{{a}}\)?",
        rf"(?:what|which)(?: one)? is (?P<close>{_CLOSE}) (?:to|from) {{b}},? (?=.*(?: or |, )){{a}}",
    ),
    _form(
        "nearer of two", "Is the sofa closer to the tv or to the table?", _nearest_of_two,
        rf"(?:is|are|does|do) {{a}} (?:lie |stand |sit )?(?P<close>{_CLOSE}) (?:to|from) {{b}},? or (?:is it (?:{_CLOSE}) )?(?:to |from )?{{c}}",
        rf"(?:what|which)(?: one)? is {{a}} (?P<close>{_CLOSE}) (?:to|from)[,:;]? {{b}},? or (?:to |from )?{{c}}",
    ),
    _form(
        "closer than", "Is the tv closer to the sofa than the bed is?", _closer_than,
        rf"(?:is|are) {{a}} (?P<close>{_CLOSE}) (?:to|from) {{b}} than (?:(?P<to>to|from) )?{{c}}(?: is| are)?",
    ),
    _form(
        "distance", "How far is the sofa from the tv?", _distance,
        r"how far(?: away| apart)?(?: (?:is|are|lies|lie|sits|sit|stands|stand|would))?(?: the distance)? {a}(?: (?:placed|located|situated|standing|sitting|positioned|stands?|sits?|lies?|be))?(?: (?:away|apart|far))? (?:from|to|of) {b}(?: (?:away|apart))?",
        r"how far(?: away| apart| separated)? (?:is|are|do|does) {a} and {b}(?: (?:apart|away|separated|lie apart|stand apart|sit apart|stand|sit|lie|from each other|from one another|away from each other|apart from each other|far apart))?",
        r"how far (?:separate|lie between|are between|do|is the space between|apart) {a} and {b}",
        r"how far (?:separates|separate) {a} (?:and|from) {b}",
        r"how far (?:is (?:it|there)|is the way|does it go|would it be|is the gap|is the distance|are there)? ?(?:between|from) {a} (?:and|to|till|until) {b}",
        r"how (?:close|near)(?: by)? (?:is|are|do|does|lies|sits|stands) {a}(?: (?:stand|sit|lie|get))? (?:to|and|from) {b}(?: (?:to each other|together))?",
        r"how (?:close|near)(?: together)? (?:are|is) {a} and {b}(?: to each other| together)?",
        r"(?:what is |what would be |what |how (?:big|large|wide|long|much|great|small) is |i need )?(?:the |a )?(?:direct |shortest |minimum |minimal |straight line |straight |exact |closest |nearest |free |actual |total |approximate |rough |clear |edge to edge |horizontal )*"
        r"(?P<centers>center to center |centre to centre )?(?:distance|gap|space|separation|clearance|spacing|room)(?: is(?: there)?| lies)? (?:between|from|of|separating) (?P<centers2>the cent(?:er|re)s? of )?{a} (?:and|to|from|until) (?:the cent(?:er|re) of )?{b}",
        r"distance,? {a}(?: to| and|,| -) {b}",
        r"{a} to {b},? distance",
        r"how much (?:space|room|distance|clearance|gap|separation) (?:is|lies|do i have|do we have|have we got)(?: there| left)? (?:between|separating) {a} and {b}",
        r"how much (?:space|room|distance|clearance) separates {a} (?:from|and) {b}",
        r"how far (?:away )?(?:apart )?(?:is|are) {a}(?: (?:apart|away|from each other|from one another|from me|away from me|apart from each other))?",
        r"(?:what is )?(?:the )?distance (?:between|to) {a}",
    ),
    _form(
        "more or fewer", "Are there more chairs than tables?", _more_than,
        r"(?:are|is) there (?P<more>more|fewer|less|as many) {a} (?:than|as) (?:there are )?{b}" + _SCOPE,
        r"(?:do|does|can) (?:we|you|i|it|the room|this room) (?:have|see|contain) (?P<more>more|fewer|less|as many) {a} (?:than|as) {b}" + _SCOPE,
    ),
    _form(
        "most numerous", "Are there more chairs or tables?", _most_numerous,
        r"(?:are|is) there (?P<more>more|fewer) (?P<a>.+? or .+)",
        r"(?:what|which)(?: one)? (?:are|is) there (?P<more>more|fewer)(?: of)?,? {a}",
        r"of which (?:are|is) there (?P<more>more|fewer),? {a}",
    ),
    _form(
        "count", "How many chairs are there?", _count,
        rf"how many {{a}} {_SEE}{_SCOPE}",
        rf"how many {{a}}{_SCOPE}",
        rf"(?:count|count up|number|tally)(?: all| up)?(?: of)?(?: the)? {{a}}{_SCOPE}",
        rf"(?:what is )?(?:the )?(?:total |exact |overall )?(?:number|count|amount|quantity|total) of (?:the )?{{a}}(?: {_SEE})?{_SCOPE}",
        rf"(?:what is )?(?:the )?{{a}} count{_SCOPE}",
        rf"how many (?:are|is) there (?:of )?{{a}}{_SCOPE}",
    ),
    _form(
        "count in relation", "How many chairs are near the table?", _how_many_related,
        rf"how many {{a}} (?:{_BE}|do i see|can i see|do you see|can you see|do we have|have we got|there are|are there|will be|would be)(?: (?:there|located|placed|found|standing|sitting|lying))? (?P<r>.+)",
        rf"how many {{a}} (?P<r>(?:on|near|next|by|in|left|right|behind|under|above|within|to|at|around|beside|between|closer|less|more|farther) ?.+?)(?: (?:are|is) there| do you see| can you see| do i see)?",
    ),
    _form(
        "exists", "Is there a lamp on the table?", _exists,
        rf"(?:is|are) there (?:also )?(?:any |a |an |some |at least one |one |more than one )?{{a}}{_SCOPE}",
        rf"(?:do|does|can|did|could) (?:i|you|we|it|they|one|anyone|{_ROOM}) (?:see|have|contain|find|own|spot|got|include) (?:any |a |an |some |at least one )?{{a}}{_SCOPE}",
        rf"(?:have|has) (?:we|you|it|{_ROOM}) (?:got|seen|found) (?:any |a |an |some )?{{a}}{_SCOPE}",
        rf"(?:does|do) (?:any |a |an |some )?{{a}} exist{_SCOPE}",
        rf"any {{a}}{_SCOPE}",
        rf"(?:is|are) (?:any |a |an |some ){{a}} (?:present|visible|available|here|there|in sight){_SCOPE}",
        rf"(?:is|are) (?:any |a |an |some ){{a}}(?: in {_ROOM}| in the (?:picture|image|photo|scene)| in this (?:picture|image|photo|scene))",
    ),
    _form(
        "direction, quadrants", "Standing at A facing B, is C front-left or back-right?",
        _direction("quadrants"),
        r"is {a} (?:to|at|on|in) my front_left, front_right, back_left,? or back_right",
        r"(?:is|are) {a} (?:to|at|on|in)? ?(?:my|the)? ?(?:front|back)_(?:left|right)(?:,? or |, )(?:(?:to|at|on|in) )?(?:my |the )?(?:front|back)_(?:left|right).*",
        r"(?:in|on) (?:which|what) quadrant (?:is|are|lies) {a}",
    ),
    _form(
        "direction, with back", "Standing at A facing B, is C to my left, right or back?",
        _direction("sides_and_back"),
        r"(?:is|are) {a} (?:(?:to|at|on) )?(?:my |the )?left, (?:(?:to|at|on) )?(?:my |the )?right,? or (?:(?:to|at|on) )?(?:my |the )?(?:back|behind(?: me)?)",
        r"(?:is|are) {a} (?:(?:to|at|on) )?(?:my |the )?left, (?:(?:to|at|on) )?(?:my |the )?right,? or (?:in )?(?:back of|behind) (?:me|us)",
    ),
    _form(
        "direction, sides", "Standing at A facing B, is C to the left or the right of B?",
        _direction("sides"),
        rf"(?:is|are) {{a}} (?:located |standing |placed )?{_SIDE_WORDS}(?:left|right)(?: hand)?(?: side)?,? or {_SIDE_WORDS}(?:left|right)(?: hand)?(?: side)?(?: of me| side)?",
        rf"(?:is|are) {{a}} (?:located |standing |placed )?{_SIDE_WORDS}(?:left|right)(?: hand)?(?: side)?(?: of it)?,? or {_SIDE_WORDS}(?:left|right)(?: hand)?(?: side)? (?:of|from) {{b}}",
        r"(?:on|to) (?:which|what) (?:side|hand)(?: of me)? (?:is|are|lies|would|will|do i (?:have|see|find)) {a}(?: be)?",
        r"(?:on|to) (?:which|what) side of {b} (?:is|are|lies|stands) {a}",
        r"(?:which|what) (?:side|hand) (?:is|are) {a}(?: on| at)?",
        r"(?:which|what) side of {b} (?:is|are) {a}(?: on| at)?",
        r"(?:do|should|must|would|will) i (?:have to |need to )?(?:turn|look|go) (?:to )?(?:the )?(?:left|right) or (?:to )?(?:the )?(?:left|right) to (?:see|face|reach|look at|get to|go to|find) {a}",
        r"(?:is|are) {a} (?P<r>left or right|right or left)",
    ),
    _form(
        "direction", "Standing at the sofa facing the tv, where is the table?", _direction("compass"),
        r"(?:where|whereabouts)(?: exactly)? (?:is|are|would|will|do i (?:see|find)|can i (?:see|find)|could i find|should i look for|lies|stands) {a}(?: (?:be|located|placed|positioned|lie|relative to me|in relation to me|from here|standing|situated|from me|from my perspective))?",
        r"(?:in|to|at|from) (?:which|what) direction (?:is|are|do i (?:see|find|have to (?:go|look|turn) for)|would|will|lies) {a}(?: be)?",
        r"(?:which|what) (?:way|direction) (?:is|are|to) {a}(?: in)?",
        r"(?:where|in which direction|in what direction|which way) (?:is|are|lies) {a} (?:relative to|in relation to|with respect to|from|compared to|as seen from|seen from) {b}",
        r"(?:which way|where|in which direction) (?:do|should|must|would) i (?:have to |need to )?(?:turn|look|go) (?:to (?:see|face|reach|find|look at|get to)|for) {a}",
        r"(?:what is )?(?:the )?(?:location|position|direction) of {a}",
    ),
    _form(
        "size", "How long is the table?", _size,
        rf"how (?P<size>{_SIZES}) (?:is|are|does|do|would|was) {{a}}(?: (?:measure|be|reach|stand|get|in size|overall))?",
        rf"(?:what is |what are )?(?:the )?(?:exact |approximate |maximum |total |overall |full |physical |rough |max )*(?P<size>{_SIZES})(?: \(.*\))? (?:of|for) {{a}}",
        rf"(?:what|which) (?P<size>{_SIZES}) (?:is|are|does|do|has|of) {{a}}(?: have)?",
        rf"(?:what is )?{{a}} (?P<size>longest side|longest dimension|height|width|length|depth|size|volume|dimensions|footprint)",
        rf"how (?:long|big|large|much) is the (?:length of the )?(?P<size>longest side|longest dimension|longest edge|length|height|width|depth) of {{a}}",
        rf"how (?P<size>{_SIZES}) {{a}}(?: is)?",
    ),
    _form(
        "floor space", "How much floor space does the bed take up?", _floor_space,
        r"how much (?:floor )?(?:space|area|room|floor) (?:does|do) {a} (?:take up|take|occupy|cover|need|use|use up|fill)(?: on the floor)?",
        r"how (?:big|much|large) (?:floor space |of the floor |space |floor area )?(?:does|do) {a} (?:take up|take|occupy|cover)(?: on the floor)?",
        r"how (?:big|large) (?:is|are) the (?:footprint|floor area) of {a}",
    ),
    _form(
        "biggest of", "Which is bigger, the sofa or the bed?", _most_option,
        rf"(?:what|which|who)(?: one| object| thing| item| of them| of these| of these two| of the two)? (?:is|are|has|would be|stands|sits|hangs|reaches) (?:the )?(?P<more>{_MORE}|{_MOST})[,:;.(-]+ ?(?:is it |out of |of |among |between )?{{a}}\)?",
        rf"(?:is|are) (?:the )?(?P<more>{_MORE}|{_MOST})[,:;.]* {{a}}",
        rf"(?:which of|of|out of|among|amongst|between|from|comparing|is it) {{a}},? (?:which|what|that)?(?: one| object| thing| of them)?(?: ?(?:is|are))? (?:the )?(?P<more>{_MORE}|{_MOST})(?: one)?",
        rf"{{a}}[,:;.-]+ ?(?:which|what)(?: one| object| of them)? is (?:the )?(?P<more>{_MORE}|{_MOST})(?: one)?",
        rf"(?:is|are) (?P<a>.+? or .+?) (?:the )?(?P<more>{_MORE}|{_MOST})(?: one)?",
        rf"(?:what|which)(?: one)? is (?:the )?(?P<more>{_MORE}) (?P<a>.+? or .+)",
        rf"(?P<more>{_MORE})[,:;.]+ ?{{a}}",
    ),
    _form(
        "bigger than", "Is the fridge taller than the stove?", _bigger_than,
        rf"(?:is|are) {{a}} (?P<more>{_MORE}) (?:than|then) {{b}}(?: is| are)?(?: tall| wide| long| high)?",
        rf"does {{a}} (?:reach|stand|go|sit) (?P<more>{_MORE}) than {{b}}",
    ),
    _form(
        "nearest", "Which chair is closest to the door?", _nearest,
        rf"(?:what|which|who)(?: (?!is\b|are\b){{a}})? (?:is|are|lies|stands|sits|would be)(?: located)? (?:the )?(?:(?P<rank>second|third|next) )?(?P<close>{_CLOSE}) (?:to|from|of)? ?{{b}}",
        rf"(?:what|which|who|where)? ?(?:is|are|would be)? ?(?:the |my )?(?:(?P<rank>second|third|next) )?(?P<close>{_CLOSE})(?: (?!to\b|from\b){{a}})? (?:to|from|of) {{b}}",
        rf"(?:what|which|who) (?:is|are) (?:the )?(?P<close>{_CLOSE}) {{a}}",
    ),
    _form(
        "biggest", "What is the tallest object?", _most,
        rf"(?:what|which|who)(?: (?!is\b|are\b){{a}})?{_SCOPE} (?:is|are|has|sits|stands|hangs|reaches|takes up) (?:the )?(?:(?P<rank>second|third) )?(?P<most>{_MOST})(?: one| of all| of them| in size| overall)?{_SCOPE}",
        rf"(?:what|which|who)? ?(?:is|are)? ?(?:the )?(?:(?P<rank>second|third) )?(?P<most>{_MOST})(?: {{a}})?{_SCOPE}",
    ),
    _form(
        "list", "What objects are there?", _list_all,
        rf"(?:what|which)(?: \w+)? (?:objects|things|items|furniture|all|else) ?(?:{_SEE}|is|are)?(?: objects| things)?{_SCOPE}",
        rf"(?:what|which) ?{_SEE}{_SCOPE}",
        rf"(?:list|name|describe|show)?(?: me)? ?(?:all|everything|every object)(?: the| of the)?(?: objects| things| items)?{_SCOPE}",
        rf"(?:list|name) (?:the )?(?:objects|things|items|furniture|contents){_SCOPE}",
        r"what (?:does|do) (?:" + _ROOM + r"|you|i|we|it) (?:contain|have|see|hold|find)",
        rf"what (?:is|are){_SCOPE}",
    ),
    _form(
        "what is there", "What is to the left of the sofa?", _what_is,
        rf"(?:what|which|who)(?: (?!is\b|are\b){{a}})?(?: (?:is|are|lies|lie|sits|sit|stands|stand|hangs|hang|can be seen|can be found|do i see|do i find|do i have|can i (?:see|find)|do you see|can you see|have i|would i see|would be|will i see|have you got))"
        rf"(?: (?:there|located|placed|found|standing|sitting|lying|directly|hanging|positioned|situated|to be found|kept|resting))* (?P<r>.+)",
        rf"(?:what|which) (?:kind of |sort of )?{{a}} (?P<r>(?:on|near|next|by|in|left|right|behind|under|above|within|to|at|around|beside|between|touching) .+)",
        rf"(?:what|which) (?P<r>(?:touches|surrounds) .+)",
        rf"(?:list|name|find|show)(?: me)?(?: all)? {{a}} (?P<r>(?:on|near|next|by|in|left|right|behind|under|above|within|to|at|around|beside|between|closer|less) .+)",
        rf"(?:list|name|find|show)(?: me)? (?:what|everything|anything)(?: that)? (?:is|lies|stands) (?P<r>.+)",
        rf"(?:everything|anything|what) (?:that is )?(?P<r>(?:on|near|next|by|in|behind|under|above|within|around|beside|between) .+)",
    ),
    _form(
        "colour", "What colour is the sofa?", _attribute("color"),
        r"(?:what|which) colou?r (?:is|are|does|has) {a}(?: have)?",
        r"(?:what is )?(?:the )?colou?r of {a}",
    ),
    _form(
        "material", "What is the table made of?", _attribute("material"),
        r"what (?:is|are) {a} made (?:of|from|out of)",
        r"(?:what|which) material (?:is|are) {a}(?: made of)?",
        r"(?:what is )?(?:the )?material of {a}",
    ),
    _form(
        "relation", "Is the lamp on the table?", _is_related,
        r"(?:is|are|was|does|do|will|would) {a}",
        r"(?:can|do) (?:i|you) (?:see|find) {a}",
    ),
)  # fmt: skip
