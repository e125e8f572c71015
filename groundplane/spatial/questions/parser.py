"""The question parser: an English question in, a query out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from groundplane.core.errors import InputError
from groundplane.core.expressions import Extreme, Or, Select, SetExpression, Unique
from groundplane.core.queries import Expression, Route, nodes_of
from groundplane.spatial.questions import chinese
from groundplane.spatial.questions.chinese_words import is_chinese
from groundplane.spatial.questions.choosing import CHOOSING, FINDING
from groundplane.spatial.questions.composing import (
    EXAMPLES,
    is_composed,
    read_composition,
)
from groundplane.spatial.questions.contrasting import CONTRASTING
from groundplane.spatial.questions.counting import COUNTING, LISTING, ORDERING
from groundplane.spatial.questions.denying import DENYING
from groundplane.spatial.questions.form import Context, match_form
from groundplane.spatial.questions.identifying import IDENTIFYING
from groundplane.spatial.questions.loose import PLAIN_WORDS, read_loosely
from groundplane.spatial.questions.measuring import MEASURING
from groundplane.spatial.questions.pairing import PAIRING
from groundplane.spatial.questions.phrases import PhraseError, read_phrase
from groundplane.spatial.questions.placing import ATTRIBUTES, DIRECTIONS, RELATIONS
from groundplane.spatial.questions.rewriting import rewrite
from groundplane.spatial.questions.routing import ROUTING
from groundplane.spatial.questions.sighting import SIGHTING
from groundplane.spatial.questions.spelling import unknown_words
from groundplane.spatial.questions.stand_ins import introduced, put_back, stand_in
from groundplane.spatial.questions.text import CleanQuestion, clean
from groundplane.spatial.questions.viewpoints import take_viewpoint

# From the particular to the general: the first form whose phrases can be read wins.
FORMS = (
    *ORDERING, *CONTRASTING, *PAIRING, *SIGHTING, *DENYING, *IDENTIFYING, *CHOOSING, *ROUTING, *MEASURING, *COUNTING, *DIRECTIONS, *FINDING, *ATTRIBUTES, *LISTING,
    *RELATIONS,
)  # fmt: skip

# What a refusal shows first where no form is like the question.
_TYPICAL = (
    "distance", "count", "exists", "size", "nearest", "relation", "direction", "way",
)  # fmt: skip

__all__ = ["FORMS", "NotUnderstoodError", "ParsedQuestion", "known_forms", "parse_question"]


class NotUnderstoodError(InputError):
    """The question is of no known form; the message says which forms are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedQuestion:
    """A question as a query.

    Attributes:
        expression: The query.
        form: Name of the form that matched.
        choices: The options, without their letters.
        unit: The unit asked for, or None.
        language: In which the answer is worded: `en` or `zh`.
    """

    expression: Expression
    form: str
    choices: tuple[str, ...] = ()
    unit: str | None = None
    language: Literal["en", "zh"] = "en"


def known_forms() -> tuple[str, ...]:
    """An example question of every form."""
    return (*dict.fromkeys(form.example for form in FORMS), *EXAMPLES)


def parse_question(
    question: str, *, choices: Sequence[str] = (), nouns: Iterable[str] = ()
) -> ParsedQuestion:
    """Turn a question into a query.

    Args:
        question: One question, English or Chinese; options may stand behind it (`A. left B. right`).
        choices: The options, if they are given apart.
        nouns: Names of things that may be meant, such as the labels of a scene.

    Raises:
        NotUnderstoodError: If no form fits.

    Examples:
        >>> parsed = parse_question("How many chairs are near the table?")
        >>> parsed.form, parsed.expression.source.relation
        ('count', 'near')
    """
    if not question.strip():
        raise NotUnderstoodError(_complaint(question, "it is empty"))
    if is_chinese(question):
        return _parse_chinese(question, choices, nouns)
    try:
        cleaned = clean(question, choices)
    except InputError as error:
        raise NotUnderstoodError(_complaint(question, str(error))) from error
    route = _read_route(cleaned.text)
    if route is not None:
        options = tuple(map(_turns_in, cleaned.choices))
        route = replace(route, options=tuple(turns for turns in options if turns))
        return ParsedQuestion(expression=route, form="route", choices=cleaned.choices)
    if len(cleaned.text) > 400:
        raise NotUnderstoodError(_complaint(question, "it is too long for one question"))
    found = _try_forms(cleaned)
    if found is not None:
        return replace(found, expression=_among(found.expression, found.choices))
    several = len([part for part in cleaned.text.split("?") if part.strip()]) > 1
    loose = None if several else read_loosely(cleaned.text, unit=cleaned.unit, nouns=nouns)
    if loose is not None:
        return ParsedQuestion(
            expression=loose, form="by clues", choices=cleaned.choices, unit=cleaned.unit
        )
    if several:
        raise NotUnderstoodError(_complaint(question, "it holds several questions; ask one"))
    raise NotUnderstoodError(_complaint(question, "it has none of the known forms", nouns))


def _parse_chinese(question: str, choices: Sequence[str], nouns: Iterable[str]) -> ParsedQuestion:
    try:
        read = chinese.read_chinese(question, choices)
    except PhraseError as error:
        raise NotUnderstoodError(chinese.complaint(question, error, nouns)) from error
    return ParsedQuestion(
        expression=read.expression,
        form=read.form,
        choices=read.choices,
        unit=read.unit,
        language="zh",
    )


def _among(expression: Expression, choices: Sequence[str]) -> Expression:
    """`which is closest to the door` with options chooses among the options."""
    inner = expression.source if isinstance(expression, Unique) else expression
    if len(choices) < 2 or not isinstance(inner, Extreme) or inner.source != Select(None):
        return expression
    try:
        return replace(inner, source=Or(tuple(read_phrase(choice) for choice in choices)))
    except PhraseError:
        return expression


def _complaint(question: str, why: str, nouns: Iterable[str] = ()) -> str:
    """Why a question is refused: its unknown words, and forms that are most like it."""
    unknown = unknown_words(question.lower(), FORMS, nouns)
    why = f"{why}. {unknown}".removesuffix("?") if unknown else why
    shown = " ".join(question.split())
    shown = shown if len(shown) <= 120 else shown[:117] + "..."
    words = set(re.findall(r"[a-z]+", question.lower()[:400])) - PLAIN_WORDS
    typical = [form.example for name in _TYPICAL for form in FORMS if form.name == name]
    nearest = sorted(
        dict.fromkeys((*typical, *known_forms())),
        key=lambda example: -len(words.intersection(example.lower().split())),
    )
    mark = "?" if unknown else "."
    return (
        f"question not understood: {shown!r}: {why}{mark} Forms that are: {' | '.join(nearest[:8])}"
    )


def _try_forms(cleaned: CleanQuestion) -> ParsedQuestion | None:
    scenery = take_viewpoint(cleaned.text)
    viewed = Context(viewpoint=scenery.viewpoint, origin=scenery.origin, unit=cleaned.unit)
    attempts = [(scenery.text, viewed)]
    if scenery.text != cleaned.text:
        attempts.append((cleaned.text, Context(unit=cleaned.unit)))
    for text, context in attempts:
        found = _read(_core(text), context)
        if found is not None:
            form, expression = found
            return ParsedQuestion(
                expression=expression, form=form, choices=cleaned.choices, unit=cleaned.unit
            )
    return None


def _read(text: str, context: Context) -> tuple[str, Expression] | None:
    """A form and its query: what only the grammar can say, then the forms, then the grammar."""
    composed = read_composition(text, context)
    if composed is not None and not _uses(composed, context):
        composed = None
    if composed is not None and is_composed(composed):
        return "composition", composed
    opened = introduced(text, context)
    if opened is not None and (asked := _put_back(_read(opened[0], context), opened[1])):
        return asked
    found = _match_forms(text, context)
    if found is None and composed is not None:
        return "composition", composed
    if found is not None:
        return found
    nested = stand_in(text, context)
    return None if nested is None else _put_back(_match_forms(nested[0], context), nested[1])


def _match_forms(text: str, context: Context) -> tuple[str, Expression] | None:
    for wording in dict.fromkeys((rewrite(text), text)):
        for form in FORMS:
            expression = match_form(form, wording, context)
            if expression is not None and _uses(expression, context):
                return form.name, expression
    return None


def _put_back(
    found: tuple[str, Expression] | None, things: Mapping[str, SetExpression]
) -> tuple[str, Expression] | None:
    """A query whose stand-ins are exchanged for what they stand for, if all were read as names."""
    query = None if found is None else put_back(found[1], things)
    return None if found is None or query is None else (found[0], query)


def _uses(expression: Expression, context: Context) -> bool:
    """Whether what was said of a viewpoint has a part in the query; else it was misread."""
    if context.viewpoint is None and context.origin is None:
        return True
    told = (context.viewpoint, context.viewpoint and context.viewpoint.origin, context.origin)
    parts = list(nodes_of(expression))
    return any(part is not None and part in parts for part in told)


def _core(text: str) -> str:
    """The question without its opening words and a comma that a clause has left."""
    text = text.strip(" ,.;:?!")
    return re.sub(r"^(?:then|so|and|tell me|do you know|please) ", "", text)


_ROUTE = re.compile(
    r"you are a robot beginning (?:at|by|in|on|near) (?P<start>.+?),? (?:and )?facing (?:towards? |to )?(?P<facing>.+?)\. "
    r"you want to (?:navigate|go|get|move) to (?P<goal>.+?)\. (?P<rest>.+)"
)
_ACTION = re.compile(r"\s*\d{1,2}\s*[.)]\s*")


def _landmark(text: str) -> Unique:
    """A landmark of a route: what cannot be read stays a name that no scene has."""
    words = re.sub(r"^the (?=the )", "", text.strip(" .,"))
    words = re.sub(r"^(?:passing|reaching|you reach|you are at|you get to|you pass) ", "", words)
    try:
        place = read_phrase(words)
    except PhraseError:
        return Unique(Select(words))
    return place if isinstance(place, Unique) else Unique(place)


def _turns_in(choice: str) -> tuple[str, ...]:
    """The turns of an option: `Turn Back, Turn Left`."""
    words = (" ".join(part.lower().split()) for part in choice.split(","))
    return tuple(word for word in words if re.fullmatch(r"turn (?:left|right|back)", word))


def _read_route(text: str) -> Route | None:
    """VSI-Bench's route question: numbered actions with turns left out."""
    match = _ROUTE.match(text)
    if match is None:
        return None
    actions = [a.strip(" .") for a in _ACTION.split(match["rest"])[1:]]
    stops: list[Unique] = []
    turns: list[str | None] = []
    pending: str | None = None
    for action in actions:
        step = re.split(r"\. |\.?\s*you have reached", action)[0].strip(" .")
        if "please fill in" in step:
            pending = "?"
        elif re.match(r"turn (?:left|right|back)", step):
            pending = " ".join(step.split()[:2])
        else:
            until = re.match(r"go forward (?:until|to|till)(?: reaching)? (.+)", step)
            stops.append(_landmark(until[1] if until else step))
            turns.append(pending)
            pending = None
    if stops and pending is not None:
        # A turn behind the last stop leads nowhere: it is asked for at that stop.
        stops.append(stops[-1])
        turns.append(pending)
    if not stops or "?" not in turns:
        return None
    return Route(
        start=_landmark(match["start"]),
        facing=_landmark(match["facing"]),
        stops=tuple(stops),
        turns=tuple(turns),
    )
