"""Requests about one picture joined into one, and the answers parted and put together again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.image import Image
from groundplane.core.masks import RleMask
from groundplane.core.regions import Regions
from groundplane.grounding.result_merging import join_notes

__all__ = ["Joined", "Part", "combine", "join", "narrow", "pick", "read_only"]

Box = tuple[float, float, float, float]
# Phrase, threshold, exemplar, and which embedding: one state of a model is no other's equal.
_Ask = tuple[str, float | None, Box | None, int | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Joined:
    """Requests of which no two ask the same of the same picture.

    Attributes:
        requests: What to ask; their pixels cannot be written to.
        places: For each request that was given, the index of the joined one that holds it, and
            where in there each of its phrases stands.
    """

    requests: tuple[DetectRequest, ...]
    places: tuple[tuple[int, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """What one expert found for some of a request's phrases.

    Attributes:
        name: Whose answer it is.
        result: The answer, about these phrases alone.
        phrases: Their indices in the request.
    """

    name: str
    result: DetectResult
    phrases: tuple[int, ...]


@dataclass(slots=True, eq=False)
class _Group:
    """A joined request that grows."""

    image: Image
    asks: dict[_Ask, int] = field(default_factory=dict)
    states: dict[int, Tensor] = field(default_factory=dict)

    def request(self) -> DetectRequest:
        columns = zip(*self.asks, strict=True) if self.asks else ((),) * 4
        phrases, thresholds, exemplars, states = columns
        return DetectRequest(
            image=read_only(self.image),
            phrases=phrases,
            thresholds=None if None in thresholds else thresholds,
            exemplars=exemplars if any(box is not None for box in exemplars) else None,
            embeddings=tuple(None if key is None else self.states[key] for key in states)
            if any(key is not None for key in states)
            else None,
        )


def join(requests: Sequence[DetectRequest], *, alike: bool = False) -> Joined:
    """Join the requests about one picture; each phrase is asked once a threshold and exemplar.

    Requests with thresholds are kept apart from those that leave them to the expert.

    Args:
        requests: The requests.
        alike: Join only requests that ask the very same.
    """
    groups: list[_Group] = []
    near: dict[tuple[object, ...], list[int]] = {}
    places = []
    for request in requests:
        image = request.image
        own = request.thresholds is None or not request.phrases
        same = tuple(dict.fromkeys(_asks(request))) if alike else ()
        key = (image.source.content_hash, image.source.name, image.size, own, same)
        known = near.setdefault(key, [])
        index = next((i for i in known if _alike(groups[i].image, image)), -1)
        if index < 0:
            index = len(groups)
            known.append(index)
            groups.append(_Group(image))
        asks = groups[index].asks
        for state in request.embeddings or ():
            if state is not None:
                groups[index].states[id(state)] = state
        places.append((index, tuple(asks.setdefault(ask, len(asks)) for ask in _asks(request))))
    return Joined(requests=tuple(group.request() for group in groups), places=tuple(places))


def read_only(image: Image) -> Image:
    """The same image, with pixels that cannot be written to."""
    pixels = image.pixels.view()
    pixels.flags.writeable = False
    return replace(image, pixels=pixels)


def narrow(request: DetectRequest, phrases: Sequence[int]) -> DetectRequest:
    """The same request about some of its phrases only."""
    if tuple(phrases) == tuple(range(len(request.phrases))):
        return request
    least, boxes, states = request.thresholds, request.exemplars, request.embeddings
    return replace(
        request,
        phrases=tuple(request.phrases[i] for i in phrases),
        thresholds=None if least is None else tuple(least[i] for i in phrases),
        exemplars=None if boxes is None else tuple(boxes[i] for i in phrases),
        embeddings=None if states is None else tuple(states[i] for i in phrases),
    )


def pick(result: DetectResult, places: Sequence[int]) -> DetectResult:
    """The part of an answer that is about some of its phrases, in a new order.

    Args:
        result: The whole answer.
        places: Which phrases, as indices. A region of one that is named twice comes twice; the
            second time its id ends in `/` and the phrase's new index.

    Returns:
        The answer with a phrase for each place. Regions that answer no phrase are kept.
    """
    if tuple(places) == tuple(range(len(result.outcomes))):
        return result
    return replace(
        result,
        regions=_pick(result.regions, places),
        outcomes=tuple(result.outcomes[i] for i in places),
        candidates=None if result.candidates is None else _pick(result.candidates, places),
        presence=None if result.presence is None else tuple(result.presence[i] for i in places),
        uncounted=tuple(new for new, old in enumerate(places) if old in result.uncounted),
    )


def combine(request: DetectRequest, parts: Sequence[Part], *, note: str) -> DetectResult:
    """One answer from those of several experts.

    Ids of regions keep their name, or come after the expert's name and `:` where two experts use
    the same one. There are candidates and presences only where every expert gives them, and masks
    where every expert that found something does.

    Args:
        request: What was asked.
        parts: Who found what, no phrase in two of them; a phrase in none ends as `cannot`.
        note: What is to be known besides what the experts say.
    """
    outcomes = [Outcome.CANNOT] * len(request.phrases)
    for part in parts:
        for index, outcome in zip(part.phrases, part.result.outcomes, strict=True):
            outcomes[index] = outcome
    told = [(part.name, part.result.note) for part in parts if part.result.note]
    # A note says "this expert", which must not be taken for another.
    named = [f"{name}: {said}" if len(parts) > 1 else said for name, said in told]
    clash = _clash([part.result for part in parts])
    candidates = [p.result.candidates for p in parts if p.result.candidates is not None]
    whole = bool(parts) and len(candidates) == len(parts)
    scored = _stacked(request, parts, candidates, prefix=clash) if whole else None
    return DetectResult(
        regions=_stacked(request, parts, [part.result.regions for part in parts], prefix=clash),
        outcomes=tuple(outcomes),
        note=join_notes([*named, note]),
        candidates=None if scored is None else _best_first(scored),
        presence=_presence(parts, len(outcomes)),
        uncounted=tuple(sorted(p.phrases[i] for p in parts for i in p.result.uncounted)),
    )


def _asks(request: DetectRequest) -> list[_Ask]:
    nothing = (None,) * len(request.phrases)
    return list(
        zip(
            request.phrases,
            request.thresholds or nothing,
            request.exemplars or nothing,
            [None if state is None else id(state) for state in request.embeddings or nothing],
            strict=True,
        )
    )


def _alike(a: Image, b: Image) -> bool:
    """Whether two images are one picture; a hash alone could have been made up."""
    if a is b:
        return True
    same_way = np.array_equal(a.frame_map.matrix, b.frame_map.matrix)
    return same_way and (a.pixels is b.pixels or np.array_equal(a.pixels, b.pixels))


def _pick(regions: Regions, places: Sequence[int]) -> Regions:
    phrases = tuple(regions.phrases[i] for i in places)
    # Layer k holds where each phrase is named for the k-th time; index -1, unmapped, is the last
    # entry of a table.
    layers: list[dict[int, int]] = []
    for new, old in enumerate(places):
        layer = next((layer for layer in layers if old not in layer), None)
        if layer is None:
            layers.append(layer := {})
        layer[old] = new
    ids, dropped = regions.phrase_ids.long(), -2
    taken = set(regions.ids)
    chosen: list[Regions] = []
    for number, layer in enumerate(layers or [{}]):
        table = [layer.get(old, dropped) for old in range(len(regions.phrases))]
        table.append(dropped if number else -1)
        new_ids = torch.tensor(table, device=ids.device)[ids]
        keep = torch.nonzero(new_ids > dropped).flatten()
        rows = replace(regions.select(keep), phrases=phrases, phrase_ids=new_ids[keep])
        chosen.append(_renamed(rows, taken) if number else rows)
        taken.update(chosen[-1].ids)
    return chosen[0] if len(chosen) == 1 else _joined_rows(chosen, phrases)


def _renamed(regions: Regions, taken: set[str]) -> Regions:
    """Regions that come once more, each under an id that nobody else has."""
    ids = []
    for name, phrase in zip(regions.ids, regions.phrase_ids.tolist(), strict=True):
        new = f"{name}/{phrase}"
        while new in taken:
            new += f"/{phrase}"
        ids.append(new)
    return replace(regions, ids=tuple(ids))


def _clash(results: Sequence[DetectResult]) -> bool:
    """Whether two answers use one id."""
    seen: set[str] = set()
    for result in results:
        own = {*result.regions.ids, *(result.candidates.ids if result.candidates else ())}
        if seen & own:
            return True
        seen |= own
    return False


def _stacked(
    request: DetectRequest, parts: Sequence[Part], columns: Sequence[Regions], *, prefix: bool
) -> Regions:
    """Regions of several experts under the phrases of the whole request."""
    moved = []
    for part, regions in zip(parts, columns, strict=True):
        table = torch.tensor([*part.phrases, -1], device=regions.phrase_ids.device)
        moved.append(
            replace(
                regions,
                ids=tuple(f"{part.name}:{name}" for name in regions.ids) if prefix else regions.ids,
                phrases=request.phrases,
                phrase_ids=table[regions.phrase_ids.long()],
                sources=regions.sources or (part.name,) * len(regions),
            )
        )
    full = [regions for regions in moved if len(regions)]
    if not full:
        return Regions.empty(phrases=request.phrases, image_size=request.image.size)
    return _joined_rows(full, request.phrases)


def _joined_rows(parts: Sequence[Regions], phrases: tuple[str, ...]) -> Regions:
    first, device = parts[0], parts[0].boxes.device
    tracked = any(part.track_ids is not None for part in parts)
    tracks = [
        torch.full((len(part),), -1) if part.track_ids is None else part.track_ids for part in parts
    ]
    return Regions(
        ids=tuple(name for part in parts for name in part.ids),
        boxes=torch.cat([part.boxes.to(device) for part in parts]),
        scores=torch.cat([part.scores.to(device) for part in parts]),
        phrases=phrases,
        phrase_ids=torch.cat([part.phrase_ids.to(device).long() for part in parts]),
        image_size=first.image_size,
        masks=_masks(parts),
        track_ids=torch.cat([ids.to(device).long() for ids in tracks]) if tracked else None,
        sources=tuple(who for part in parts for who in part.sources),
    )


def _masks(parts: Sequence[Regions]) -> tuple[RleMask, ...] | None:
    masks: list[RleMask] = []
    for part in parts:
        if part.masks is None and len(part):
            return None
        masks += part.masks or ()
    return tuple(masks)


def _best_first(regions: Regions) -> Regions:
    return regions.select(torch.argsort(regions.scores, descending=True, stable=True))


def _presence(parts: Sequence[Part], count: int) -> tuple[float, ...] | None:
    said: dict[int, float] = {}
    for part in parts:
        if part.result.presence is not None:
            said |= dict(zip(part.phrases, part.result.presence, strict=True))
    return tuple(said[i] for i in range(count)) if count and len(said) == count else None
