"""What a video tells without depth: when things are first seen, and how many at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import torch

from groundplane.captures.capture import Capture
from groundplane.captures.videos import ends_early
from groundplane.core.camera import Frame
from groundplane.core.files import one_line
from groundplane.mapping.looking import Looker
from groundplane.mapping.tally import readable_notes
from groundplane.mapping.terms import MapTerms
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.mapping.keyframes import KeyframeChooser

__all__ = ["look_through"]

_NOTE = (
    "answered from the pictures, without depth: a thing is first seen where two looks in a row "
    "find it, and a count is the most that is seen at a time; there may be more"
)


@dataclass(slots=True)
class _Seen:
    """Of one label: how often it was found in the look before, when, and what is sure of it."""

    before: int = 0
    time: float = math.nan
    first: float = math.nan
    most: int = 0
    regions: list[str] = field(default_factory=list)

    def look(self, time: float, ids: list[str]) -> None:
        """Take in a look; what one look alone finds may be a false alarm."""
        sure = min(self.before, len(ids))
        if sure and math.isnan(self.first):
            self.first, self.regions = self.time, ids
        self.most = max(self.most, sure)
        self.before, self.time = len(ids), time


def look_through(capture: Capture, looker: Looker, terms: MapTerms) -> CognitiveMap:
    """When each phrase is first seen in a capture and how many at a time, as a map without places.

    The boxes of this map mean nothing, and its scale is relative: it serves questions of order and
    number alone, which its note says.

    Raises:
        MediaError: If a picture cannot be read.
        DetectorError: If an expert fails, or no expert can look for any phrase.
    """
    seen = {phrase: _Seen() for phrase in looker.phrases}
    ends: list[str] = []
    frames = _chosen(capture, terms, ends)
    while batch := list(islice(frames, terms.batch)):
        for frame, regions in zip(batch, looker.look(batch), strict=True):
            labels = regions.labels()
            for phrase, one in seen.items():
                found = zip(regions.ids, labels, strict=True)
                ids = [f"{frame.index}:{name}" for name, label in found if label == phrase]
                one.look(frame.time, ids)
    there = [phrase for phrase, one in seen.items() if one.most]
    cannot = [f"nobody could look for {phrase!r}: {why}" for phrase, why in looker.cannot.items()]
    number = len(there)
    return CognitiveMap(
        name=one_line(capture.name),
        ids=tuple(there),
        objects=Boxes3D(
            centers=torch.zeros(number, 3, dtype=torch.float64),
            sizes=torch.ones(number, 3, dtype=torch.float64),
            axes=torch.eye(3, dtype=torch.float64).expand(number, 3, 3).clone(),
        ),
        labels=tuple(there),
        scores=torch.ones(number, dtype=torch.float64),
        attributes=tuple({} for _ in there),
        fronts=torch.full((number, 3), math.nan, dtype=torch.float64),
        counts={phrase: one.most for phrase, one in seen.items() if phrase not in looker.cannot},
        first_seen=torch.tensor([seen[name].first for name in there], dtype=torch.float64),
        scale="relative",
        provenance={name: tuple(seen[name].regions) for name in there},
        notes=readable_notes([_NOTE, *capture.notes, *ends, *cannot]),
    )


def _chosen(capture: Capture, terms: MapTerms, ends: list[str]) -> Iterator[Frame]:
    """Frames that are worth a look, as many as the terms allow; what is said of the end is added.

    A video that ends early says so of its last frame, be that one worth a look or not.
    """
    chooser = KeyframeChooser(terms.keyframes)

    def wanted() -> Iterator[Frame]:
        for glance in capture.glances(0, terms.every):
            ends.extend(ends_early(glance.notes))
            if chooser.may_want(glance.time, glance.pose, glance.scale):
                yield glance.read()

    return islice(filter(chooser.wants, wanted()), terms.limit)
