"""Forms that ask whether nothing, or none of some things, is as described."""

from __future__ import annotations

import re

from groundplane.core.expressions import SetExpression
from groundplane.core.queries import Compare, Count, Expression
from groundplane.spatial.questions.form import Context, Form, Slots, make_form
from groundplane.spatial.questions.nested import NounReader, plain
from groundplane.spatial.questions.phrases import PhraseError, read_phrase

__all__ = ["DENYING"]


def _none(source: SetExpression) -> Compare:
    return Compare(left=Count(plain(source)), operator="equal", right=0)


def _described(slots: Slots, context: Context) -> Expression:
    """`none of the chairs red`, `nothing on the bed`: a noun and a predicate behind it."""
    if context.viewpoint is not None or context.origin is not None:
        raise PhraseError("a denial from a viewpoint is not read")
    text = f"things {slots['r']}" if "r" in slots else slots["t"].removeprefix("the ")
    for found in re.finditer(" ", text):
        try:
            reader = NounReader(
                f"all {text[: found.start()]} that are{text[found.start() :]}", context
            )
            described = reader.phrase()
            reader.end()
        except PhraseError:
            continue
        return _none(described)
    raise PhraseError("nothing is said of it")


def _absent(slots: Slots, context: Context) -> Expression:
    return _none(read_phrase("all " + slots["a"], view=context.viewpoint))


DENYING: tuple[Form, ...] = (
    make_form(
        "none", "Is nothing on the bed?", _described,
        r"(?:is|are)(?: there)? nothing(?: else)?(?: that is)? (?P<r>.+)",
        r"(?:is|are)(?: there)? none of (?P<t>.+)",
        r"(?:is|are)(?: there)? (?:no|not one|not a single|not any) (?P<t>.+)",
        r"(?:is|are) not (?:any|one) of (?P<t>.+)",
    ),
    make_form(
        "no such thing", "Is there no lamp here?", _absent,
        r"(?:is|are) there (?:no|not a single|not any) {a}<SCOPE>",
    ),
)  # fmt: skip
