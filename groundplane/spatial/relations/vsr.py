"""The relation words of VSR as relations of ours, or why a box cannot tell them.

The words and their classes are those of Visual Spatial Reasoning (Liu, Emerson and Collier, TACL
2023; the repository cambridgeltl/visual-spatial-reasoning lists them by class in
analysis_scripts/rel_meta_category_dict.txt). Of the 70 that stand there, 66 are left in the data
that was validated; the other four are marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["VSR_WORDS", "VsrWord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VsrWord:
    """A relation word.

    Attributes:
        word: As VSR writes it.
        category: Its class there.
        relations: Relations of `DEFINITIONS` that all hold; empty where boxes do not tell it.
        negated: It says that the relation does not hold.
        reason: Why boxes do not tell it, or what of its meaning is lost.
        validated: It is one of the 66 in the validated data.
    """

    word: str
    category: str
    relations: tuple[str, ...] = ()
    negated: bool = False
    reason: str = ""
    validated: bool = True


_CONTACT = "a box shows contact, not what joins two things"
_PATH = "tells a motion or a path, and a scene stands still"
_PART = "tells what a thing is made of, and a box has no parts"
_SPOT = "tells where on a thing, and no relation here parts its middle from its rim"
_ROUND = "whether it goes round the thing is not told"
_ENDS = "tells a motion; where it ends is told"

_TABLE: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    # A word: the relations that hold, `not` before what does not, `:` before the reason.
    "adjacency": {
        "adjacent to": ("next_to",),
        "alongside": ("next_to",),
        "at the side of": ("next_to",),
        "at the right side of": ("right_of",),
        "at the left side of": ("left_of",),
        "attached to": ("touches", f":{_CONTACT}"),
        "at the back of": ("behind",),
        "ahead of": ("in_front_of",),
        "against": ("touches",),
        "at the edge of": (f":{_SPOT}",),
    },
    "directional": {
        "off": ("not", "on"),
        "past": (f":{_PATH}",),
        "toward": ("facing", ":tells a motion or a turn; the turn is told"),
        "down": (f":{_PATH}",),
        "deep down": (f":{_PATH}",),
        "up": (f":{_PATH}",),
        "away from": ("not", "near"),
        "along": ("parallel", "next_to"),
        "around": ("near", f":{_ROUND}"),
        "from": (f":{_PATH}",),
        "into": ("inside", f":{_ENDS}"),
        "to": (f":{_PATH}",),
        "across": (f":{_PATH}",),
        "across from": ("opposite",),
        "through": (f":{_PATH}",),
        "down from": ("below",),
    },
    "orientation": {
        "facing": ("facing",),
        "facing away from": ("facing_away",),
        "parallel to": ("parallel",),
        "perpendicular to": ("perpendicular",),
    },
    "projective": {
        "on top of": ("on",),
        "beneath": ("under",),
        "beside": ("next_to",),
        "behind": ("behind",),
        "left of": ("left_of",),
        "right of": ("right_of",),
        "under": ("under",),
        "in front of": ("in_front_of",),
        "below": ("under", ":as in questions, what is tucked in under a thing is below it"),
        "above": ("above",),
        "over": ("above",),
        "in the middle of": (f":{_SPOT}",),
    },
    "proximity": {
        "by": ("near",),
        "close to": ("near",),
        "near": ("near",),
        "far from": ("far",),
        "far away from": ("far",),
    },
    "topological": {
        "connected to": ("touches", f":{_CONTACT}"),
        "detached from": ("not", "touches"),
        "has as a part": (f":{_PART}",),
        "part of": (f":{_PART}",),
        "contains": ("contains",),
        "within": ("inside",),
        "at": ("near",),
        "on": ("on",),
        "in": ("inside",),
        "with": (":tells company, not place",),
        "surrounding": ("near", f":{_ROUND}"),
        "among": (":tells of one thing and a group, and names no two things",),
        "consists of": (f":{_PART}",),
        "out of": ("not", "inside"),
        "between": ("between", ":needs two anchors, and VSR names one"),
        "inside": ("inside",),
        "outside": ("not", "inside"),
        "touching": ("touches",),
    },
    "unallocated": {
        "beyond": ("behind",),
        "next to": ("next_to",),
        "opposite to": ("opposite",),
        "after": (":tells an order in time or in a row, not a place",),
        "enclosed by": ("inside",),
    },
}
_LEFT_OUT = frozenset(["deep down", "up", "from", "after"])


def _word(word: str, category: str, parts: tuple[str, ...]) -> VsrWord:
    reasons = [part[1:] for part in parts if part.startswith(":")]
    return VsrWord(
        word=word,
        category=category,
        relations=tuple(part for part in parts if part != "not" and not part.startswith(":")),
        negated="not" in parts,
        reason=reasons[0] if reasons else "",
        validated=word not in _LEFT_OUT,
    )


VSR_WORDS: Mapping[str, VsrWord] = MappingProxyType(
    {
        word: _word(word, category, parts)
        for category, words in _TABLE.items()
        for word, parts in words.items()
    }
)
