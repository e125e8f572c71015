"""Forms that choose or compare: nearest, farthest, biggest, bigger than."""

from __future__ import annotations

import re

from groundplane.core.expressions import And, Extreme, Or, Relate, SetExpression
from groundplane.core.queries import Compare, Exists, Expression, Measure
from groundplane.spatial.questions.form import (
    COMPARATIVES,
    Context,
    Form,
    Slots,
    make_form,
)
from groundplane.spatial.questions.phrases import (
    NEAREST,
    SUPERLATIVES,
    PhraseError,
    read_phrase,
)
from groundplane.spatial.questions.text import split_list

__all__ = ["CHOOSING", "FINDING", "read_options"]

# The relation of a comparative, where there is one.
_COMPARED = {
    ("volume", True): "bigger", ("volume", False): "smaller", ("height", True): "taller",
    ("height", False): "shorter", ("size", True): "longer",
}  # fmt: skip
_RANKS = {"second": 2, "2nd": 2, "third": 3, "3rd": 3, "next": 2}
_RANK = r"(?:(?P<rank>second|2nd|third|3rd|next) )?"
_VIEWER = ("me", "us", "you", "here", "where i stand", "where i am")
_CLOSE = r"(?P<close><CLOSE>)(?: away)?"
# What parts a question from its options; the dash of `chair-2` does not.
_THEN = r" ?(?:[,:;.(]|-(?!\d))+ ?"
# `nearest the door` does without `to`.
_TO = r"(?: (?:to|from|of))?"
_OF = r"(?:which (?:one )?of|of|out of|among|amongst|between|from|considering|given|comparing)"


def read_options(text: str) -> tuple[SetExpression, ...]:
    """The things of an enumeration, two at least.

    Raises:
        PhraseError: If there are fewer, or one is no noun phrase.
    """
    items = tuple(read_phrase(item) for item in split_list(re.sub(r"^either ", "", text)))
    if len(items) < 2:
        raise PhraseError("a choice needs two things or more")
    return items


def _anchor(text: str, context: Context) -> SetExpression:
    if text not in _VIEWER:
        return read_phrase(text, view=context.viewpoint)
    if context.place is None:
        raise PhraseError("'me' without a place to stand")
    return context.place


def _nearest_option(slots: Slots, context: Context) -> Expression:
    return Extreme(
        source=Or(read_options(slots["a"])),
        measure="distance",
        largest=NEAREST[slots["close"]],
        anchor=_anchor(slots["b"], context),
        rank=_RANKS.get(slots.get("rank", ""), 1),
    )


def _nearer_of_two(slots: Slots, context: Context) -> Expression:
    """`is the sofa closer to the tv or the table`: b and c are the options."""
    return Extreme(
        source=Or((read_phrase(slots["b"]), read_phrase(slots["c"]))),
        measure="distance",
        largest=NEAREST[slots["close"]],
        anchor=_anchor(slots["a"], context),
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


def _nearest(slots: Slots, context: Context) -> Expression:
    what = slots.get("a") or "object"
    if re.match(r"(?:two|three|four|five|\d+) ", what):
        raise PhraseError("one is chosen, not several")
    anchor = slots.get("b") or "me"
    if anchor in _VIEWER:
        return Extreme(
            source=read_phrase("all " + what),
            measure="distance",
            largest=NEAREST[slots["close"]],
            anchor=_anchor(anchor, context),
            rank=_RANKS.get(slots.get("rank", ""), 1),
        )
    lead = f"{slots['rank']} " if slots.get("rank") else ""
    return read_phrase(f"{lead}{slots['close']} {what} to {anchor}", view=context.viewpoint)


def _best(word: str) -> tuple[str, bool]:
    return COMPARATIVES.get(word) or SUPERLATIVES[word]


def _most_option(slots: Slots, context: Context) -> Expression:
    del context
    measure, largest = _best(slots["more"])
    return Extreme(source=Or(read_options(slots["a"])), measure=measure, largest=largest)


def _most(slots: Slots, context: Context) -> Expression:
    lead = f"{slots['rank']} " if slots.get("rank") else ""
    return read_phrase(
        f"{lead}{slots['most']} {slots.get('a') or 'object'}", view=context.viewpoint
    )


def _bigger_than(slots: Slots, context: Context) -> Expression:
    measure, largest = COMPARATIVES[slots["more"]]
    others = split_list(slots["b"])
    if len(others) > 1 and (measure, largest) in _COMPARED and " or " not in slots["b"]:
        subject = read_phrase(slots["a"], view=context.viewpoint)
        relation = _COMPARED[measure, largest]
        return Exists(
            And(
                tuple(
                    Relate(source=subject, relation=relation, anchor=read_phrase(other))
                    for other in others
                )
            )
        )
    return Compare(
        left=Measure(name=measure, of=(read_phrase(slots["a"], view=context.viewpoint),)),
        operator="more" if largest else "fewer",
        right=Measure(name=measure, of=(read_phrase(slots["b"], view=context.viewpoint),)),
    )


CHOOSING: tuple[Form, ...] = (
    make_form(
        "nearest option", "Which is closest to the door: the chair, the table or the tv?",
        _nearest_option,
        r"which of (?:these|those)(?: \w+)? ?[(:]{a}[):,]+ ?(?:is|lies) (?:the )?"
        rf"{_RANK}{_CLOSE}{_TO} {{b}}",
        rf"(?:what|which|who)<THING> (?:is|lies|stands|sits|would be|are)(?: located)? (?:the )?"
        rf"{_RANK}{_CLOSE}{_TO} {{b}}{_THEN}(?:is it |out of |of |among |between |from |"
        r"either )?{a}\)?",
        rf"(?:what|which|who)<THING> (?:is|lies|stands|sits|are) (?:the )?{_RANK}{_CLOSE}{_TO} {{b}} "
        r"(?:out of|of|among|amongst|between) {a}",
        rf"{_OF} {{a}},? (?:(?:which|what|who)<THING> )?(?:is|lies|stands|sits|are) (?:the )?"
        rf"{_RANK}{_CLOSE}{_TO} {{b}}",
        rf"which<THING> is (?:the )?{_CLOSE},? {{a}},? (?:to|from) {{b}}",
        rf"{{a}} ?[,:;.-]+ ?(?:which|what|who)<THING> (?:is|lies|stands|sits) (?:the )?"
        rf"{_RANK}{_CLOSE}{_TO} {{b}}",
        rf"(?:is|are) (?:it )?(?P<a>.+? or .+?) (?:that is |which is )?(?:the )?{_CLOSE}{_TO} {{b}}",
        rf"{_CLOSE}{_TO} {{b}}{_THEN}{{a}}\)?",
        rf"(?:what|which|who)<THING> is {_CLOSE}{_TO} {{b}},? (?P<a>(?:the|a) .+ or .+)",
    ),
    make_form(
        "nearer of two", "Is the sofa closer to the tv or to the table?", _nearer_of_two,
        rf"(?:is|are) {{a}} {_CLOSE}{_TO} {{b}},? or (?:is it (?:<CLOSE>) )?(?:to |from )?{{c}}",
        rf"(?:does|do) {{a}} (?:lie |stand |sit )?{_CLOSE}{_TO} {{b}},? or (?:to |from )?{{c}}",
        rf"(?:what|which|who)<THING> is {{a}} {_CLOSE}{_TO}[,:;]? {{b}},? or (?:to |from )?{{c}}",
        rf"(?:which|what)<THING> (?:does|do) {{a}} (?:stand|lie|sit) {_CLOSE}{_TO}[,:;]? {{b}},? or "
        r"{c}",
    ),
    make_form(
        "closer than", "Is the tv closer to the sofa than the bed is?", _closer_than,
        rf"(?:is|are) {{a}} {_CLOSE}{_TO} {{b}} than (?:(?P<to>to|from) )?{{c}}(?: is| are)?",
    ),
    make_form(
        "biggest of", "Which is bigger, the sofa or the bed?", _most_option,
        r"(?:what|which|who)<THING> (?:is|are|has|would be|stands|sits|hangs|reaches) (?:the )?"
        r"(?P<more><MORE>|<MOST>)(?: one)?<SCOPE> ?[,:;.(-]+ ?(?:is it |out of |of |among |between )?{a}\)?",
        r"(?:what|which|who)<THING> (?:is|are) (?:the )?(?P<more><MORE>|<MOST>)(?: one)? "
        r"(?:out of|of|among|amongst|between) {a}",
        r"(?:is|are) (?:the )?(?P<more><MORE>|<MOST>)[,:;.]* {a}",
        rf"{_OF} {{a}},? (?:(?:which|what|who)<THING> )?(?:is|are) (?:the )?(?P<more><MORE>|<MOST>)"
        r"(?: one)?",
        r"{a} ?[,:;.-]+ ?(?:which|what|who)<THING> (?:is|are) (?:the )?(?P<more><MORE>|<MOST>)"
        r"(?: one)?",
        r"(?:is|are) (?:it )?(?P<a>.+? or .+?) (?:that is )?(?:the )?(?P<more><MORE>|<MOST>)(?: one)?",
        r"(?:what|which|who)<THING> is (?:the )?(?P<more><MORE>) (?P<a>.+? or .+)",
        r"(?P<more><MORE>) ?[,:;.]+ ?{a}",
    ),
    make_form(
        "bigger than", "Is the fridge taller than the stove?", _bigger_than,
        r"(?:is|are) {a} (?P<more><MORE>) (?:than|then) {b}(?: is| are)?",
        r"does {a} (?:reach|stand|go|sit) (?P<more><MORE>) than {b}(?: does)?",
    ),
)  # fmt: skip

FINDING: tuple[Form, ...] = (
    make_form(
        "nearest", "Which chair is closest to the door?", _nearest,
        r"(?:what|which|who)(?: (?!is\b|are\b){a})? (?:is|are|lies|stands|sits|would be)"
        rf"(?: located)? (?:the )?{_RANK}{_CLOSE}{_TO} {{b}}",
        rf"(?:(?:what|which|who|where) )?(?:is |are |would be )?(?:the |my )?{_RANK}{_CLOSE}"
        r"(?: (?!to\b|from\b){a})? (?:to|from|of) {b}",
        rf"(?:what|which|who)(?: {{a}})? (?:is|are) {{b}} (?:the )?{_CLOSE}(?: to| from)?",
        rf"(?:what|which|who) (?:is|are) (?:the )?{_RANK}{_CLOSE}(?: {{a}})?",
    ),
    make_form(
        "biggest", "What is the tallest object?", _most,
        r"(?:what|which|who)(?: (?!is\b|are\b){a})?<SCOPE> (?:is|are|has|sits|stands|hangs|reaches|"
        r"takes up) (?:the )?(?:(?P<rank>second|third) )?(?P<most><MOST>)"
        r"(?: one| of all| of them| object| thing| item)?<SCOPE>",
        r"(?:(?:what|which|who) )?(?:is |are )?(?:the )?(?:(?P<rank>second|third) )?(?P<most><MOST>)"
        r"(?: {a})?<SCOPE>",
    ),
)  # fmt: skip
