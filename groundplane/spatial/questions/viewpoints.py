"""Where somebody stands and looks, read out of a question."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from groundplane.core.expressions import SetExpression, Viewpoint
from groundplane.spatial.questions.phrases import PhraseError, read_phrase

__all__ = ["Scenery", "take_viewpoint"]

_WHO = r"(?:i|you|we|one|someone|somebody|a person|the person|the robot|a robot|he|she)"
_IF = (
    r"(?:(?:if|when|while|suppose|supposing|imagine|assume|assuming|say|let us say|given|with|as|"
    r"once|after|pretend|now)(?: that)? )?"
)
_STAND = (
    r"(?:(?:am|are|is|was|were|be|being|would be|were to be|go and)? ?(?:just )?"
    r"(?:standing|stand|stands|stood|sitting|sit|sits|sat|seated|lying|lie|positioned|located|placed|"
    r"waiting|being)|am|are|is|were|was) ?"
)
_AT = (
    r"(?:right )?(?:at|by|near|next to|beside|on|in|close to|with|inside|where|"
    r"from|against|over by)"
)
# A run of joints may be cut in one way only and is short, or `and , and , ...` takes for ever.
_LOOK = (
    r"(?:and |, ?|while |then |but ){0,4}(?:(?:i|you|we|one|they) )?(?:am |are |is )?"
    r"(?:facing(?: towards?| toward)?|faced|faces|face|looking (?:at|towards?|to|over at|straight at|"
    r"over to|in the direction of|out at|in direction of)|look(?:s)? (?:at|towards?|to|over at|"
    r"straight at)|turned (?:to|towards?)|turning (?:to|towards?)|turn to(?:wards)?|"
    r"staring at|watching|oriented (?:to|towards?)|pointing (?:at|to|towards?)|gazing at|"
    r"with (?:my|your) (?:face|eyes) (?:to|towards?|on))"
)
_BACK = (
    r"(?:and |, ?){0,4}(?:with )?(?:(?:my|your|the) )?back (?:is |turned )?"
    r"(?:to|towards?|against|on|at)"
)
_ASK = (
    r"(?=(?:is|are|was|where|what|which|who|on (?:which|what)|in (?:which|what)|to (?:which|what)|"
    r"how|does|do|will|would|can|could|should|am|tell|will|name|list|count|find|the|a|an)\b)"
)
_PLACE = rf"(?P<p>.+?)(?:, ?| )(?:{_LOOK} (?P<o>.+?)|{_BACK} (?P<b>.+?))"
_AHEAD = (
    r"(?:with|having) (?P<o>.+?) (?:straight ahead|dead ahead|ahead|in front|in view|before)"
    r"(?: of)?(?: me| you)?"
)
_PLACE_TURNED = rf"(?:{_LOOK} (?P<o>.+?)|{_BACK} (?P<b>.+?)),? (?:from|standing (?:at|by|next to|near)|while (?:standing|sitting) (?:at|by|on|near)|at|and (?:standing|stand) (?:at|by|next to|near)|(?:when|if|while) (?:i am )?(?:standing |sitting )?(?:at|by|near)) (?P<p>.+?)"
_STANDING = rf"{_IF}(?:{_WHO} )?{_STAND}{_AT}"
# Behind the question the clause must announce itself, or `what is in front of` would be one.
_STANDING_AFTER = (
    rf"(?:(?:if|when|while|suppose|supposing|imagine|assuming|given|as|once|with|after)(?: that)? "
    rf"(?:{_WHO} )?{_STAND}|(?:standing|sitting|seated|lying|positioned|{_WHO} (?:am|are|is|stand|"
    rf"sit)(?: standing| sitting)?) ){_AT}"
)

# Each has p (place) and o (looked at) or b (at the back); the rest of the question is `q`.
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"^{_STANDING} {_PLACE}\s*[,.;:]\s*(?:then |so |and )?(?P<q>.+)$",
        rf"^{_STANDING} {_PLACE}\s+{_ASK}(?P<q>.+)$",
        rf"^(?P<q>.+?),? (?:as )?{_STANDING_AFTER} {_PLACE}$",
        rf"^(?:seen |viewed |looking |as seen )?from {_PLACE}\s*[,.;:]\s*(?P<q>.+)$",
        rf"^(?P<q>.+?),? (?:as )?(?:seen |viewed |looking |as seen |watched )?from {_PLACE}$",
        rf"^{_IF}(?:{_WHO} )?(?:am |are |is )?{_PLACE_TURNED}\s*[,.;:]\s*(?P<q>.+)$",
        rf"^{_IF}(?:{_WHO} )?(?:am |are |is )?{_PLACE_TURNED}\s+{_ASK}(?P<q>.+)$",
        rf"^(?P<q>.+?),? {_IF}(?:{_WHO} )?(?:am |are |is )?{_PLACE_TURNED}$",
        rf"^at {_PLACE}\s*[,.;:]\s*(?P<q>.+)$",
        rf"^(?:{_STANDING}|(?:seen |viewed |as seen |looking )?from) (?P<p>.+?),? {_AHEAD}\s*[,.;:]\s*(?P<q>.+)$",
        rf"^(?P<q>.+?),? (?:{_STANDING_AFTER}|(?:seen |viewed |as seen |looking )from) (?P<p>.+?),? {_AHEAD}$",
        rf"^{_IF}(?:{_WHO} )?(?:look|looking|looked) from (?P<p>.+?) (?:towards?|to|at|over to) (?P<o>.+?)\s*[,.;:]\s*(?P<q>.+)$",
        rf"^(?P<q>.+?),? {_IF}(?:{_WHO} )?(?:look|looking|looked) from (?P<p>.+?) (?:towards?|to|at|over to) (?P<o>.+)$",
    )
)
# Only where one looks, or only where one stands.
_FACING_ONLY = tuple(
    re.compile(pattern)
    for pattern in (
        rf"^{_IF}(?:{_WHO} )?(?:am |are |is )?{_LOOK} (?P<o>.+?)\s*[,.;:]\s*(?P<q>.+)$",
        rf"^(?P<q>(?:is|are|where|what|which|on|who|how|does) .+?),? {_IF}(?:{_WHO} )?(?:am |are |is )?{_LOOK} (?P<o>.+)$",
    )
)
_PLACE_ONLY = tuple(
    re.compile(pattern)
    for pattern in (
        rf"^{_STANDING} (?P<p>.+?)\s*[,.;:]\s*(?P<q>.+)$",
        r"^(?:seen |viewed |as seen |looking )?from (?P<p>.+?)(?: point of view| perspective)?\s*[,.;:]\s*(?P<q>.+)$",
        r"^(?P<q>.+?),? (?:as )?(?:seen|viewed|as seen|looking|looked at) from (?P<p>.+?)(?: point of view| perspective)?$",
        rf"^(?P<q>(?:is|are|where|what|which|on|who|how|does) .+?),? (?:if|when|while) (?:{_WHO} )?{_STAND}{_AT} (?P<p>.+)$",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenery:
    """A question and the viewpoint taken out of it.

    Attributes:
        text: The rest of the question.
        viewpoint: Complete viewpoint, or None.
        origin: Where one stands if only that is said.
    """

    text: str
    viewpoint: Viewpoint | None = None
    origin: SetExpression | None = None


def _try(pattern: re.Pattern[str], text: str) -> Scenery | None:
    match = pattern.match(text)
    if match is None:
        return None
    parts = match.groupdict()
    rest = parts["q"].strip(" ,.;:?")
    try:
        place = read_phrase(parts["p"]) if parts.get("p") else None
        looked_at = parts.get("o") or parts.get("b")
        if looked_at is None:
            return Scenery(text=rest, origin=place)
        turn = math.pi if parts.get("o") is None else 0.0
        facing = read_phrase(looked_at)
    except PhraseError:
        return None
    return Scenery(text=rest, viewpoint=Viewpoint(origin=place, facing=facing, turn=turn))


def take_viewpoint(text: str) -> Scenery:
    """Take the words that say where somebody stands and looks out of a question.

    Args:
        text: A cleaned question.

    Examples:
        >>> scenery = take_viewpoint("if i am standing by the tv and facing the bed, is the door "
        ...                          "to my left")
        >>> scenery.text, scenery.viewpoint.facing
        ('is the door to my left', Unique(source=Select(phrase='bed')))
    """
    text = re.sub(r"[?!]", ",", text)
    for pattern in (*_PATTERNS, *_FACING_ONLY, *_PLACE_ONLY):
        scenery = _try(pattern, text)
        if scenery is not None:
            return scenery
    return Scenery(text=text)
