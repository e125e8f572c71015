"""Forms that ask whether one thing is the nearest, the tallest, the second biggest."""

from __future__ import annotations

import re

from groundplane.core.expressions import Extreme, Select, SetExpression, Unique
from groundplane.core.pair_queries import Identity
from groundplane.core.queries import Expression
from groundplane.spatial.questions.form import COMPARATIVES, Context, Form, Slots, make_form
from groundplane.spatial.questions.phrases import NEAREST, SUPERLATIVES, PhraseError, read_phrase

__all__ = ["IDENTIFYING"]

_RANK = r"(?:(?P<rank>second|2nd|third|3rd|fourth|4th) )?"
# A comparative chooses between two, and here there is no second.
_NEAR = "|".join(
    sorted((w for w in NEAREST if not w.endswith(("er", "er away"))), key=len, reverse=True)
)
_BEST = "|".join(sorted((w for w in SUPERLATIVES if not w.endswith("er")), key=len, reverse=True))
_ALL = (
    r"(?:everything|anything|all) (?:else|other)|all (?:of )?(?:the )?(?:others|other objects|"
    r"other things|other items|rest)|(?:any|every) other (?:object|thing|item)|the rest|all others"
)


def _subject(text: str, context: Context) -> SetExpression:
    """One thing that is named; what it may be is described by the rest."""
    subject = read_phrase(text, view=context.viewpoint)
    open_ended = re.search(r" (?:or |(?:is|are|that|which|who)$)", text)
    if not isinstance(subject, Unique) or open_ended:
        raise PhraseError("one thing is asked about")
    return subject


def _nearest(slots: Slots, context: Context) -> Expression:
    lead = f"{slots['rank']} " if slots.get("rank") else ""
    what = slots.get("c") or slots.get("d") or "object"
    if " or " in slots["b"]:
        raise PhraseError("that is a choice, not a yes or no")
    described = read_phrase(f"{lead}{slots['close']} {what} to {slots['b']}")
    return Identity(subject=_subject(slots["a"], context), described=described)


def _most(slots: Slots, context: Context) -> Expression:
    lead = f"{slots['rank']} " if slots.get("rank") else ""
    what = slots.get("c") or "object"
    described = read_phrase(f"{lead}{slots['most']} {what}", view=context.viewpoint)
    return Identity(subject=_subject(slots["a"], context), described=described)


def _more_than_all(slots: Slots, context: Context) -> Expression:
    measure, largest = COMPARATIVES[slots["more"]]
    among = read_phrase("all " + slots["c"]) if slots.get("c") else Select(None)
    described = Unique(Extreme(source=among, measure=measure, largest=largest))
    return Identity(subject=_subject(slots["a"], context), described=described)


_CLOSE = rf"(?P<close>{_NEAR})(?: away)?"
_MOST = rf"(?P<most>{_BEST})"

IDENTIFYING: tuple[Form, ...] = (
    make_form(
        "is it the nearest", "Is the tv closest to the sofa?", _nearest,
        rf"(?:is|are) {{a}} (?:the )?{_RANK}{_CLOSE} (?:to|from) {{b}}",
        rf"(?:is|are) {{a}} (?:the )?{_RANK}{_CLOSE} {{c}} (?:to|from) {{b}}",
        rf"(?:is|are) {{a}} the (?P<d>[a-z ]+?) (?:that is |which is )?(?:the )?{_RANK}{_CLOSE} "
        r"(?:to|from) {b}",
        rf"(?:is|are) (?:it|that) {{a}} (?:that|which) (?:is|stands|lies) (?:the )?{_RANK}{_CLOSE} "
        r"(?:to|from) {b}",
        rf"(?P<a>(?:the|my|our|this|that) .+?|\S+-\d+)(?<! that)(?<! which)(?<! who) (?:is|are) (?:the )?{_RANK}{_CLOSE}(?: {{c}})? (?:to|from) {{b}}",
        rf"(?:is|are) the {_RANK}{_CLOSE} {{c}} (?:to|from) {{b}} (?P<a>(?:the|my|our) .+|\S+-\d+)",
        rf"(?:does|do) {{a}} (?:stand|lie|sit) (?:the )?{_RANK}{_CLOSE} (?:to|from) {{b}}",
    ),
    make_form(
        "is it the most", "Is the refrigerator the tallest object?", _most,
        rf"(?:is|are) {{a}} (?:the |our )?{_RANK}{_MOST}(?: of all| one| of them all)?<SCOPE>",
        rf"(?:is|are) {{a}} (?:the |our )?{_RANK}{_MOST}(?: of all)?(?: the)? {{c}}<SCOPE>",
        rf"(?:is|are) (?:it|that) {{a}} (?:that|which) (?:is|are) (?:the )?{_RANK}{_MOST}<SCOPE>",
        rf"(?:is|are) the {_RANK}{_MOST} {{c}} (?P<a>(?:the|my|our) .+|\S+-\d+)",
        rf"(?P<a>(?:the|my|our) .+?|\S+-\d+) (?:is|are) the {_RANK}{_MOST}(?: {{c}})?<SCOPE>",
    ),
    make_form(
        "more than all", "Is the bed bigger than everything else?", _more_than_all,
        rf"(?:is|are) {{a}} (?P<more><MORE>) than (?:{_ALL})<SCOPE>",
        r"(?:is|are) {a} (?P<more><MORE>) than (?:all (?:of )?(?:the )?other|any other|every other|"
        r"each other) {c}<SCOPE>",
    ),
)  # fmt: skip
