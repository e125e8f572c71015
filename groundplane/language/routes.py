"""Who finds the places of what a language model says."""

from __future__ import annotations

from typing import Literal, get_args

from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.core.session import LanguageModel
from groundplane.language.afterwards import AfterModel
from groundplane.language.marks import MarksModel

__all__ = ["ROUTES", "Route", "check_route", "routed"]

# The model writes places, or tokens that stand for them, in its dialect; experts look for what
# its sentences name; experts first, and the model picks numbers on the picture; nobody.
Route = Literal["own", "after", "marks", "none"]
ROUTES: tuple[Route, ...] = get_args(Route)


def check_route(route: str, *, who: str) -> Route:
    """The route of a name.

    Args:
        route: As a user wrote it.
        who: Names the plugin in the message.

    Raises:
        InputError: If there is none of that name.

    Examples:
        >>> check_route("marks", who="language model 'litellm'")
        'marks'
    """
    for known in ROUTES:
        if route == known:
            return known
    raise InputError(
        f"{who}: option route: expected one of {listing(ROUTES)}, got {route!r}."
        f"{did_you_mean(route, ROUTES)}"
    )


def routed(
    model: LanguageModel,
    route: Route,
    *,
    phrases: int = 12,
    marks: int = 30,
    structured: bool = False,
) -> LanguageModel:
    """A language model whose places are found by a route.

    Args:
        model: For `after` and `marks` one that reads no dialect of its own.
        route: See `ROUTES`; with `own` and `none` the model is given back as it is.
        phrases: Of `after`: how many different phrases of a text are looked for.
        marks: Of `marks`: how many regions get a number.
        structured: Of `marks`: the model answers by `mark_answers.marks_format`.

    Raises:
        InputError: If a number is out of range or the route is unknown.

    Examples:
        >>> from groundplane.testing.language_models import ScriptedModel
        >>> model = ScriptedModel([])
        >>> routed(model, "none") is model, type(routed(model, "after")).__name__
        (True, 'AfterModel')
    """
    check_route(route, who="routed")
    if route == "after":
        return AfterModel(model, phrases=phrases)
    if route == "marks":
        return MarksModel(model, most=marks, structured=structured)
    return model
