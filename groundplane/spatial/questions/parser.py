"""The question parser: an English question in, a query out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from groundplane.core.errors import InputError
from groundplane.core.expressions import Select, Unique
from groundplane.core.queries import Expression, Route
from groundplane.spatial.questions.forms import FORMS, Context, Form
from groundplane.spatial.questions.phrases import PhraseError, read_phrase
from groundplane.spatial.questions.text import CleanQuestion, clean
from groundplane.spatial.questions.viewpoints import take_viewpoint

__all__ = ["NotUnderstoodError", "ParsedQuestion", "known_forms", "parse_question"]


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
    """

    expression: Expression
    form: str
    choices: tuple[str, ...] = ()
    unit: str | None = None


def known_forms() -> tuple[str, ...]:
    """An example question of every form."""
    return tuple(dict.fromkeys(form.example for form in FORMS))


def parse_question(question: str, *, choices: Sequence[str] = ()) -> ParsedQuestion:
    """Turn a question into a query.

    Args:
        question: One English question; options may stand behind it (`A. left B. right`).
        choices: The options, if they are given apart.

    Raises:
        NotUnderstoodError: If no form fits.

    Examples:
        >>> parsed = parse_question("How many chairs are near the table?")
        >>> parsed.form, parsed.expression.source.relation
        ('count in relation', 'near')
    """
    if not question.strip():
        raise NotUnderstoodError(_complaint(question, "it is empty"))
    try:
        cleaned = clean(question, choices)
    except InputError as error:
        raise NotUnderstoodError(str(error)) from error
    route = _read_route(cleaned.text)
    if route is not None:
        return ParsedQuestion(expression=route, form="route", choices=cleaned.choices)
    if len(cleaned.text) > 400:
        raise NotUnderstoodError(_complaint(question, "it is too long for one question"))
    found = _try_forms(cleaned)
    if found is not None:
        return found
    if len([part for part in re.split(r"\?", cleaned.text) if part.strip()]) > 1:
        raise NotUnderstoodError(_complaint(question, "it holds several questions; ask one"))
    raise NotUnderstoodError(_complaint(question, "it has none of the known forms"))


def _complaint(question: str, why: str) -> str:
    shown = " ".join(question.split())
    shown = shown if len(shown) <= 120 else shown[:117] + "..."
    examples = " | ".join(f"{example}" for example in known_forms()[:8])
    return f"question not understood: {shown!r}: {why}. Forms that are: {examples}"


def _try_forms(cleaned: CleanQuestion) -> ParsedQuestion | None:
    scenery = take_viewpoint(cleaned.text)
    contexts = [
        (
            scenery.text,
            Context(viewpoint=scenery.viewpoint, origin=scenery.origin, unit=cleaned.unit),
        )
    ]
    if scenery.text != cleaned.text:
        contexts.append((cleaned.text, Context(viewpoint=None, origin=None, unit=cleaned.unit)))
    for text, context in contexts:
        for form in FORMS:
            expression = _try_form(form, _core(text), context)
            if expression is not None:
                return ParsedQuestion(
                    expression=expression,
                    form=form.name,
                    choices=cleaned.choices,
                    unit=cleaned.unit,
                )
    return None


def _core(text: str) -> str:
    """The question without its opening words and a comma that a clause has left."""
    text = text.strip(" ,.;:?!")
    return re.sub(r"^(?:then|so|and|tell me|do you know|please) ", "", text)


def _try_form(form: Form, text: str, context: Context) -> Expression | None:
    for pattern in form.patterns:
        match = pattern.match(text)
        if match is None:
            continue
        slots = {name: value for name, value in match.groupdict().items() if value is not None}
        if "centers2" in slots:
            slots["centers"] = slots.pop("centers2")
        try:
            return form.build(slots, context)
        except PhraseError:
            continue
    return None


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
    if not stops or "?" not in turns:
        return None
    return Route(
        start=_landmark(match["start"]),
        facing=_landmark(match["facing"]),
        stops=tuple(stops),
        turns=tuple(turns),
    )


def with_unit(expression: Expression, unit: str | None) -> Expression:
    """The expression with a unit for its measure, where it has one."""
    if unit and dataclasses.is_dataclass(expression) and hasattr(expression, "unit"):
        return dataclasses.replace(expression, unit=unit)
    return expression
