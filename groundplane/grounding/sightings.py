"""From what an expert found to what is known of each phrase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import torch

from groundplane.core import boxes as box_ops
from groundplane.core.attributes import meaning_of
from groundplane.core.claims import Sighting
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.lexicon import match_phrase, normalise
from groundplane.core.regions import Regions
from groundplane.grounding.claim_chances import Trust
from groundplane.grounding.claim_words import PEOPLE
from groundplane.grounding.vocabulary import look_up

__all__ = ["LookPlan", "plan_look", "sightings_of", "with_parts"]

_PERSON = "person"
# What people call many kinds of things by; an expert that knows some of them can tell that there
# is one, and never that there is none.
_KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "animal": ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra",
                   "giraffe"),
        "vehicle": ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
        "fruit": ("banana", "apple", "orange"),
        "food": ("banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza",
                 "donut", "cake"),
        "furniture": ("chair", "couch", "bed", "dining table"),
    }
)  # fmt: skip

_COLORS = ("black", "white", "gray", "red", "orange", "yellow", "green", "blue", "brown", "pink")
# Boxes that share so much are looks at one thing in two colours.
_SAME_THING = 0.7
# Scores of two colours that differ by less than a tenth are even.
_EVEN = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class LookPlan:
    """What an expert is asked, so that it can tell of phrases that it does not know.

    Attributes:
        asked: The phrases to look for, each once.
        parts: For a phrase that is not asked itself: what it is told by, and whether those may be
            something else (`fewer`) or not all of it (`more`).
        rivals: For a phrase that names a colour: the same thing in other colours, asked along.
    """

    asked: tuple[str, ...]
    parts: Mapping[str, tuple[tuple[str, ...], bool]]
    rivals: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def plan_look(phrases: Sequence[str], vocabulary: Sequence[str] | None) -> LookPlan:
    """Choose what to ask an expert.

    An expert of any text finds cars where it is asked for a red one, whatever their colour. So it
    is asked for other colours too, and a car is red where red fits it best.

    Args:
        phrases: What claims speak of.
        vocabulary: The words that the expert knows; None if it takes any text.

    Examples:
        >>> plan = plan_look(["man", "dog"], ["person", "dog"])
        >>> plan.asked, plan.parts["man"]
        (('person', 'dog'), (('person',), False))
        >>> plan_look(["man"], None).asked
        ('man',)
        >>> plan_look(["red car"], None).rivals["red car"][:2]
        ('black car', 'white car')
    """
    asked: dict[str, None] = {}
    parts: dict[str, tuple[tuple[str, ...], bool]] = {}
    for phrase in phrases:
        told = None if vocabulary is None else _parts_of(phrase, vocabulary)
        if told is not None:
            parts[phrase] = told
        asked.update(dict.fromkeys(told[0] if told else (phrase,)))
    rivals = {} if vocabulary is not None else {
        phrase: others for phrase in phrases if (others := _rivals_of(phrase))
    }  # fmt: skip
    for others in rivals.values():
        asked.update(dict.fromkeys(others))
    return LookPlan(asked=tuple(asked), parts=parts, rivals=rivals)


def _rivals_of(phrase: str) -> tuple[str, ...]:
    """The same thing in other colours; none where no colour is named."""
    word, _, noun = phrase.partition(" ")
    meaning = meaning_of(word)
    if meaning is None or meaning[1] not in _COLORS or not noun:
        return ()
    return tuple(f"{color} {noun}" for color in _COLORS if color != meaning[1])


def _parts_of(phrase: str, vocabulary: Sequence[str]) -> tuple[tuple[str, ...], bool] | None:
    """What an expert knows instead of a phrase, and whether there is more of that kind."""
    if look_up(phrase, vocabulary)[0]:
        return None
    name = normalise(phrase)
    if name in PEOPLE and match_phrase(_PERSON, vocabulary) is not None:
        return (_PERSON,), False
    kinds = tuple(kind for kind in _KINDS.get(name, ()) if look_up(kind, vocabulary)[0])
    return (kinds, True) if kinds else None


def sightings_of(
    result: DetectResult, plan: LookPlan, *, trust: Trust
) -> tuple[Mapping[str, Sighting], Regions]:
    """What is known of each phrase, and the regions that this rests on.

    Args:
        result: What the expert found of `plan.asked`.
        plan: What it was asked for.
        trust: Which scores are believed.

    Returns:
        A sighting for each phrase asked or told by parts, and every region that one of them names.
    """
    regions, sure = _believed(result, trust)
    ids: dict[int, list[str]] = {i: [] for i in range(-1, len(result.regions.phrases))}
    maybe: dict[int, list[str]] = {i: [] for i in ids}
    order = torch.argsort(regions.scores, descending=True, stable=True).tolist()
    phrase_ids = regions.phrase_ids.tolist()
    for row in order:
        told = ids if regions.ids[row] in sure else maybe
        told[phrase_ids[row]].append(regions.ids[row])
    sightings = {
        phrase: Sighting(
            phrase=phrase,
            ids=tuple(ids[i]),
            possible=tuple(maybe[i]),
            known=result.outcomes[i] is not Outcome.CANNOT,
            more=i in result.uncounted,
            note=_note(phrase, result),
        )
        for i, phrase in enumerate(result.regions.phrases)
    }
    for phrase, rivals in plan.rivals.items():
        others = [name for rival in rivals for name in _names(sightings[rival])]
        sightings[phrase] = _contrasted(sightings[phrase], others, regions)
    return with_parts(sightings, plan), regions


def _contrasted(seen: Sighting, others: Sequence[str], regions: Regions) -> Sighting:
    """A sighting without the finds that another colour fits better; where it is even, open."""
    names = _names(seen)
    if not names or not others:
        return seen
    place = {name: i for i, name in enumerate(regions.ids)}
    rows, rows_of_others = [place[name] for name in names], [place[name] for name in others]
    same = box_ops.iou(regions.boxes[rows], regions.boxes[rows_of_others]) >= _SAME_THING
    scores = regions.scores[rows_of_others].expand_as(same)
    best = torch.where(same, scores, 0.0).amax(dim=1)
    own = regions.scores[rows]
    fits = dict(zip(names, (own >= best * _EVEN).tolist(), strict=True))
    lost = dict(zip(names, (own * _EVEN < best).tolist(), strict=True))
    if all(fits.values()):
        return seen
    return replace(
        seen,
        ids=tuple(name for name in seen.ids if fits[name]),
        possible=tuple(
            name for name in names if not lost[name] and not (fits[name] and name in seen.ids)
        ),
        note="other colours fit as well or better",
    )


def _names(seen: Sighting) -> tuple[str, ...]:
    return (*seen.ids, *seen.possible)


def with_parts(sightings: Mapping[str, Sighting], plan: LookPlan) -> Mapping[str, Sighting]:
    """Add the phrases that are told by what was asked instead of them.

    Examples:
        >>> plan = plan_look(["man"], ["person"])
        >>> seen = with_parts({"person": Sighting(phrase="person", ids=("p1",))}, plan)["man"]
        >>> seen.ids, seen.possible, seen.fewer
        ((), ('p1',), True)
    """
    told = {
        phrase: _of_parts(phrase, [sightings[part] for part in parts], kinds=kinds)
        for phrase, (parts, kinds) in plan.parts.items()
    }
    return {**sightings, **told}


def _believed(result: DetectResult, trust: Trust) -> tuple[Regions, frozenset[str]]:
    """The regions with a score that counts, and the ids of those that are taken to be there."""
    found = result.regions
    pool = found
    if result.candidates is not None and set(found.ids) <= set(result.candidates.ids):
        pool = result.candidates
    if trust.high is None:
        sure = frozenset(found.ids)
        keep = pool.scores >= trust.low
        listed = torch.tensor([name in sure for name in pool.ids], dtype=torch.bool)
        return pool.select(keep | listed.to(keep.device)), sure
    pool = pool.select(pool.scores >= trust.low)
    high = (pool.scores >= trust.high).tolist()
    return pool, frozenset(name for name, is_high in zip(pool.ids, high, strict=True) if is_high)


def _note(phrase: str, result: DetectResult) -> str:
    """What the expert says of this phrase; its notes name the phrases that they are about."""
    parts = [part for part in result.note.split("; ") if repr(phrase) in part]
    return "; ".join(parts)


def _of_parts(phrase: str, parts: Sequence[Sighting], *, kinds: bool) -> Sighting:
    """What is known of a phrase by what it is a kind of, or by its kinds."""
    ids = tuple(name for part in parts for name in part.ids)
    possible = tuple(name for part in parts for name in part.possible)
    whole = Sighting(
        phrase=phrase, known=all(part.known for part in parts),
        more=kinds or any(part.more for part in parts),
        note=f"what is known is {', '.join(part.phrase for part in parts)}, not {phrase}",
    )  # fmt: skip
    if kinds:
        return replace(whole, ids=ids, possible=possible)
    return replace(whole, possible=(*ids, *possible), fewer=True)
