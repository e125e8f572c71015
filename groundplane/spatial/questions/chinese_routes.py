"""VSI-Bench's route question in Chinese."""

from __future__ import annotations

import re
from collections.abc import Sequence

from groundplane.core.expressions import Select, Unique
from groundplane.core.queries import Route
from groundplane.spatial.questions.chinese_phrases import read_thing
from groundplane.spatial.questions.chinese_words import english_option
from groundplane.spatial.questions.phrases import PhraseError

__all__ = ["read_route"]

_ROUTE = re.compile(
    r".{0,20}?机器人.{0,10}?(?:从|在)(?P<start>[^.;]{1,60}?)(?:旁边?|处|那里)?(?:开始|出发|起步)?,?(?:并|且)?"
    r"(?:面向|面对|面朝|朝向|朝着)(?P<facing>[^.;]{1,60}?)[.,;](?:你)?(?:想要?|要|需要|打算)"
    r"(?:导航|走|前往|去|到|移动){0,3}(?:到|去|至)?(?P<goal>[^.;]{1,60}?)[.,;](?P<rest>.+)"
)
_STEP = re.compile(r"(?<!\d)\d{1,2}[.)、:]")
_FORWARD = re.compile(
    r"(?:向前|往前|直|一直)?(?:直)?(?:走|前进|行走|移动)(?:,)?(?:直)?(?:到|至)(?:达)?(?P<a>.+)"
)


def read_route(text: str, choices: Sequence[str]) -> Route | None:
    """VSI-Bench's route question: numbered actions with turns left out."""
    match = _ROUTE.fullmatch(text)
    if match is None:
        return None
    stops: list[Unique] = []
    turns: list[str | None] = []
    pending: str | None = None
    for action in _STEP.split(match["rest"])[1:]:
        step = re.split(r"[.,;]|你已|已到达", action)[0].strip(" ")
        turn = english_option(step)
        if "填" in step:
            pending = "?"
        elif turn.startswith("turn "):
            pending = turn
        else:
            forward = _FORWARD.fullmatch(step)
            stops.append(_landmark(forward["a"] if forward else step))
            turns.append(pending)
            pending = None
    if not stops or "?" not in turns:
        return None
    offered = (tuple(part.strip() for part in choice.split(",")) for choice in choices)
    return Route(
        start=_landmark(match["start"]), facing=_landmark(match["facing"]), stops=tuple(stops),
        turns=tuple(turns),
        options=tuple(o for o in offered if o and all(turn.startswith("turn ") for turn in o)),
    )  # fmt: skip


def _landmark(text: str) -> Unique:
    """A landmark of a route: what is not known stays a name that no scene has."""
    try:
        thing = read_thing(text.strip(" ."))
    except PhraseError:
        return Unique(Select(text.strip(" .")))
    return thing if isinstance(thing, Unique) else Unique(thing)
