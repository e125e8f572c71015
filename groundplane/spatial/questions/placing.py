"""Forms about places: directions, relations, where something is, colour and material."""

from __future__ import annotations

import re
from dataclasses import replace

from groundplane.core.expressions import (
    Except,
    Or,
    Relate,
    Select,
    SetExpression,
    Unique,
    Viewpoint,
)
from groundplane.core.queries import (
    Attribute,
    Compare,
    Count,
    Direction,
    Exists,
    Expression,
    Sectors,
)
from groundplane.spatial.questions.form import Builder, Context, Form, Slots, make_form
from groundplane.spatial.questions.phrases import (
    PhraseError,
    find_relation,
    read_phrase,
    relate,
    viewer_side,
)
from groundplane.spatial.questions.text import split_list

__all__ = ["ATTRIBUTES", "DIRECTIONS", "RELATIONS", "read_related"]

_PARTICIPLE = (
    r"^(?:(?:located|standing|lying|placed|sitting|hanging|positioned|situated|resting|directly|"
    r"still|really|somewhere|stood|just) )+"
)
# What holds where a relation does not.
_NEGATED = {
    "on ": r"off(?: of)?", "inside ": r"outside(?: of)?|out of", "touching ": "detached from",
    "": "not",
}  # fmt: skip


def _view_of(anchor: str, context: Context) -> Viewpoint | None:
    """Who looks; one who only stands somewhere looks at the anchor."""
    if context.viewpoint is None and context.origin is not None:
        return Viewpoint(origin=context.origin, facing=read_phrase(anchor))
    return context.viewpoint


def read_related(subject: SetExpression, text: str, context: Context) -> SetExpression:
    """The subject restricted by the relation that `text` states from its first word on.

    Raises:
        PhraseError: If it states none, or what it relates to cannot be read.
    """
    text = re.sub(_PARTICIPLE, "", text)
    for opposite, wording in _NEGATED.items():
        denied = re.fullmatch(rf"(?:{wording}) (?P<rest>.+)", text)
        if denied:
            return Except(subject, read_related(subject, f"{opposite}{denied['rest']}", context))
    excluded = re.fullmatch(
        r"(.+?),? (?:except(?: for)?|other than|besides|apart from|excluding|but not) (.+)", text
    )
    if excluded:
        out = [read_phrase(item) for item in split_list(excluded[2])]
        kept = read_related(subject, excluded[1], context)
        return Except(kept, out[0] if len(out) == 1 else Or(tuple(out)))
    side = viewer_side(text)
    if side is not None:
        return Relate(source=subject, relation=side, anchor=None, viewpoint=context.viewpoint)
    found = find_relation(text)
    if found is None or found.start != 0:
        raise PhraseError(f"no relation in {text!r}")
    rest = text[found.end :].strip()
    if not rest and found.sized is None:
        raise PhraseError("the relation has no anchor")
    view = context.viewpoint if found.name == "between" else _view_of(rest, context)
    return relate(subject, found, rest, view=view)


def _direction(sectors: Sectors) -> Builder:
    def build(slots: Slots, context: Context) -> Expression:
        anchor = read_phrase(slots["b"]) if slots.get("b") else None
        view = _view_of(slots["b"], context) if anchor is not None else context.viewpoint
        target = read_phrase(slots["a"], view=view)
        if view is None and anchor is None and sectors == "compass":
            return Attribute(source=target, name="place")
        return Direction(target=target, viewpoint=view, anchor=anchor, sectors=sectors)

    return build


def _what_is(slots: Slots, context: Context) -> Expression:
    subject = read_phrase("all " + slots.get("a", "objects"), view=context.viewpoint)
    return read_related(subject, slots["r"], context)


def _supporting(slots: Slots, context: Context) -> Expression:
    """`what does the tv stand on`."""
    return Relate(
        source=Select(None),
        relation=f"{'supports' if slots['r'] == 'on' else 'contains'}",
        anchor=read_phrase(slots["a"], view=context.viewpoint),
    )


def _holds_for_all(text: str, subject: SetExpression, related: SetExpression) -> Expression:
    """`are the chairs near the table`: of all that are named; of anything, whether any is."""
    if re.match(r"(?:any|some|at least one|one of)\b", text):
        return Exists(related)
    if subject == Select(None) and not re.match(r"(?:everything|all|every)\b", text):
        return Exists(related)
    if subject == Select(None) and isinstance(related, Relate) and related.anchor is not None:
        # Nothing is near itself: the anchor does not count.
        subject = Except(subject, related.anchor)
        related = replace(related, source=subject)
    return Compare(left=Count(related), operator="equal", right=Count(subject))


def _is_related(slots: Slots, context: Context) -> Expression:
    """The subject is the shortest beginning that a relation follows."""
    text = slots["a"]
    for start in (match.end() for match in re.finditer(r" ", text)):
        try:
            subject = read_phrase(text[:start], view=context.viewpoint)
            related = read_related(subject, text[start:], context)
            return Exists(related) if isinstance(subject, Unique) else _holds_for_all(
                text, subject, related)  # fmt: skip
        except PhraseError:
            continue
    raise PhraseError("no relation")


def _attribute(name: str) -> Builder:
    def build(slots: Slots, context: Context) -> Expression:
        return Attribute(source=read_phrase(slots["a"], view=context.viewpoint), name=name)

    return build


_HAND = r"<SIDE>(?:left|right)(?: hand)?(?: side)?"
_QUARTER = r"(?:(?:to|at|on|in) )?(?:my |the )?(?:front|back)_(?:left|right)"
_WHERE_BE = (
    r"(?: (?:located|placed|positioned|lie|relative to (?:me|us)|in relation to me|standing|"
    r"situated|from (?:me|here|there|my perspective|my point of view|my position)))*"
)

DIRECTIONS: tuple[Form, ...] = (
    make_form(
        "direction, quadrants", "Standing at the sofa facing the tv, is the lamp front-left or back-right?",
        _direction("quadrants"),
        rf"(?:is|are) {{a}} {_QUARTER}(?:,? or |, ){_QUARTER}(?:.*)",
        r"(?:in|on) (?:which|what) quadrant(?: of my view)? (?:is|are|lies) {a}",
    ),
    make_form(
        "direction, with back", "Standing at the sofa facing the tv, is the lamp to my left, right or back?",
        _direction("sides_and_back"),
        r"(?:is|are) {a} <SIDE>left, <SIDE>right,? or <SIDE>(?:back|rear|behind(?: me)?)",
        r"(?:is|are) {a} <SIDE>left, <SIDE>right,? or (?:in )?(?:back of|behind) (?:me|us)",
    ),
    make_form(
        "direction, front or back", "Standing at the sofa facing the tv, is the lamp in front of me or behind me?",
        _direction("front_back"),
        r"(?:is|are) {a} (?:in front(?: of (?:me|you|us))?|ahead(?: of (?:me|you|us))?|<SIDE>front) "
        r"or (?:behind(?: (?:me|you|us))?|<SIDE>back|at my back)",
        r"(?:is|are) {a} (?:behind(?: (?:me|you|us))?|<SIDE>back) or "
        r"(?:in front(?: of (?:me|you|us))?|ahead(?: of (?:me|you|us))?|<SIDE>front)",
    ),
    make_form(
        "direction, sides", "Standing at the sofa facing the tv, is the lamp to the left or the right of the tv?",
        _direction("sides"),
        rf"(?:is|are) {{a}} (?:located |standing |placed )?{_HAND}(?: of it)?,? or {_HAND} "
        r"(?:of|from) (?P<b>(?!me$).+)",
        rf"(?:is|are) {{a}} (?:located |standing |placed )?{_HAND}(?: of me)?,? or {_HAND}"
        r"(?: of me)?",
        r"(?:on|to) (?:which|what) side of (?P<b>(?!me ).+?) (?:is|are|lies|stands) {a}",
        r"(?:on|to) (?:which|what) (?:side|hand)(?: of me)? (?:is|are|lies|do i (?:have|see|find)) "
        r"{a}",
        r"(?:which|what) side of (?P<b>(?!me ).+?) (?:is|are) {a}(?: on| at)?",
        r"(?:which|what) (?:side|hand) (?:is|are) {a}(?: on| at)?",
        r"(?:do|should|must|would|will) i (?:have to |need to )?(?:turn|look|go) (?:to )?(?:the |my )?"
        r"(?:left|right) or (?:to )?(?:the |my )?(?:left|right) (?:to (?:see|face|reach|look at|"
        r"get to|go to|find)|for) {a}",
        r"(?:left or right|right or left)[,:;]? (?:where )?(?:is |are )?{a}",
    ),
    make_form(
        "direction", "Standing at the sofa facing the tv, where is the table?",
        _direction("compass"),
        r"(?:where|in (?:which|what) direction|which (?:way|direction)) (?:is|are|lies) {a} "
        r"(?:relative to|in relation to|with respect to|compared to|as seen from|seen from|from) "
        r"(?P<b>(?!me$|here$|my ).+)",
        rf"(?:where|whereabouts) (?:is|are|do i (?:see|find)|can i (?:see|find)|could i find|"
        rf"should i look for|lies|stands) {{a}}{_WHERE_BE}",
        rf"(?:in|to|at|from) (?:which|what) direction (?:is|are|do i (?:see|find|have to (?:go|look|"
        rf"turn) for)|lies) {{a}}{_WHERE_BE}",
        r"(?:which|what) (?:way|direction) (?:is|are|to) {a}(?: in)?",
        r"(?:which way|where|in which direction) (?:do|should|must) i (?:have to |need to )?"
        r"(?:turn|look|go) (?:to (?:see|face|reach|find|look at|get to)|for) {a}",
        r"(?:what is )?(?:the )?(?:location|position|direction|whereabouts) of {a}",
    ),
)  # fmt: skip

RELATIONS: tuple[Form, ...] = (
    make_form(
        "what it is on", "What does the tv stand on?", _supporting,
        r"(?:what|which)(?: \w+)? (?:does|do) {a} (?:stand|lie|sit|rest|hang) (?P<r>on|in)(?: top of)?",
        r"(?:what|which)(?: \w+)? (?:is|are) {a} (?:standing |lying |sitting |resting |placed )?"
        r"(?P<r>on|in)(?: top of)?",
    ),
    make_form(
        "what is there", "What is to the left of the sofa?", _what_is,
        r"(?:what|which|who)(?: (?!is\b|are\b){a})? (?:<BE>|can be (?:seen|found)|do (?:i|you) "
        r"(?:see|find|have)|can (?:i|you) (?:see|find)|have i|would (?:i see|be)|will i see|"
        r"have you got)(?: (?:there|to be found|kept))* (?P<r>.+)",
        r"(?:what|which) (?:kind of |sort of )?{a} (?P<r>(?:on|near|next|by|in|left|right|behind|"
        r"under|underneath|above|within|to|at|around|beside|between|touching|facing|opposite|across|"
        r"parallel|perpendicular|bigger|smaller|taller|shorter|longer|containing) .+)",
        r"(?:what|which) (?P<r>(?:touches|surrounds|faces|contains) .+)",
        r"(?:what|which) (?:kind of |sort of )?{a} (?P<r>(?:faces?|contains?) .+)",
        r"(?:list|name|find|show|give)(?: me)?(?: all)? {a} (?P<r>(?:on|near|next|by|in|left|right|"
        r"behind|under|above|within|to|at|around|beside|between|closer|less) .+)",
        r"(?:everything|anything|what) (?:that is )?(?P<r>(?:on|near|next|by|in|behind|under|above|"
        r"within|around|beside|between|to|left|right) .+)",
        r"(?P<a>objects|things|items) (?P<r>(?:on|near|next|by|in|behind|under|above|within|around|"
        r"beside|between|to|left|right) .+)",
    ),
    make_form(
        "relation", "Is the lamp on the table?", _is_related,
        r"(?:is|are|was|does|do) {a}",
        r"(?:can|do) (?:i|you) (?:see|find) {a}",
    ),
)  # fmt: skip

ATTRIBUTES: tuple[Form, ...] = (
    make_form(
        "colour", "What colour is the sofa?", _attribute("color"),
        r"(?:what|which) colou?r (?:is|are|does|has) {a}(?: have)?",
        r"(?:what is )?(?:the )?colou?r of {a}",
    ),
    make_form(
        "material", "What is the table made of?", _attribute("material"),
        r"what (?:is|are) {a} made (?:of|from|out of)",
        r"(?:what|which) material (?:is|are) {a}(?: made of)?",
        r"(?:what is )?(?:the )?material of {a}",
    ),
)  # fmt: skip
