"""What is known of one thing on a growing map, beside where its points are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from groundplane.core.errors import InputError
from groundplane.spatial.mapping.fusing import thinned
from groundplane.spatial.maps.matching import fold

__all__ = ["BuilderOptions", "Glimpse", "Tally"]

# Beyond these odds more sightings change nothing, so that a thing taken away is forgotten in time.
_LOG_ODDS_LIMIT = 10.0
_Spread = Float[np.ndarray, "6 6"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderOptions:
    """How sightings become objects.

    Attributes:
        voxel: Side of the finest voxels, metres. Things are compared in cells four times as wide.
        most_voxels: Voxels of one object at most; where there would be more, they double in side.
        least_overlap: Share of a sighting, or of an object, that must be where the other is.
        margin: How far points may lie outside of an object's box and still count as in it, metres:
            what is seen from behind has no point in common with what was seen from the front.
        looks: How far appearance counts, where features are given: 0 not at all, 1 alone.
        least_pixels: Fewer do not make a thing first seen; VSI-Bench does not state its number.
        recall: Chance that a detector finds a thing in full view. Things found less often than
            about half of that are taken for false alarms in the end.
        false_alarm: Chance that it finds one where there is none.
        least_existence: Objects less likely than that are left out of the frozen map.
        least_frames: Objects seen in fewer frames are left out too.
        common: Share of a box's variance that is the same in all frames and does not average out.
        most_regions: Regions that an object names as its evidence: half the first, half the best.
        scale: Whether depth and poses were metric.

    Raises:
        InputError: If a number is out of range.
    """

    voxel: float = 0.025
    most_voxels: int = 4096
    least_overlap: float = 0.3
    margin: float = 0.12
    looks: float = 0.3
    least_pixels: int = 100
    recall: float = 0.6
    false_alarm: float = 0.1
    least_existence: float = 0.5
    least_frames: int = 1
    common: float = 0.5
    most_regions: int = 16
    scale: Literal["metric", "relative"] = "metric"

    def __post_init__(self) -> None:
        for name in ("least_overlap", "looks", "recall", "false_alarm", "least_existence"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"builder: {name} must be in [0, 1], got {getattr(self, name)}")
        if not 0 < self.false_alarm < self.recall < 1:
            raise InputError(
                "builder: expected 0 < false_alarm < recall < 1, got "
                f"{self.false_alarm} and {self.recall}"
            )
        if not (0 < self.voxel < math.inf and 0 <= self.margin < math.inf and self.common >= 0):
            raise InputError(
                "builder: expected a voxel above 0, a margin and a share of at least 0"
            )
        if self.common > 1 or self.scale not in ("metric", "relative"):
            raise InputError("builder: common is at most 1, scale is 'metric' or 'relative'")
        for name, least in (("most_voxels", 8), ("least_frames", 1), ("most_regions", 2)):
            if getattr(self, name) < least:
                raise InputError(f"builder: {name} must be at least {least}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Glimpse:
    """One sighting, as a tally takes it in.

    Attributes:
        region: Its id.
        label: As the detector named it.
        score: In [0, 1].
        time: Seconds.
        pixels: Pixels in the picture.
        whole: Whether nothing of the thing is cut off or hidden.
        box: Its box, as `fusing.fuse` takes it.
        spread: Covariance of centre and sides, all along the world's axes.
        looks: Appearance, or None.
    """

    region: str
    label: str
    score: float
    time: float
    pixels: int
    whole: bool
    box: list[float]
    spread: _Spread
    looks: Float[np.ndarray, " d"] | None


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a growing map knows of one object; it changes as sightings come in.

    Attributes:
        born: Running number, in the order in which objects were found.
        level: How often its voxels have doubled in side.
        hits: Frames in which it was seen.
        log_odds: Of its existence.
        votes: Score given to each label, folded.
        names: Each label as it was written first.
        first: When it was first seen with enough pixels, seconds; NaN for never.
        glimpsed: When it was seen at all.
        regions: Scores and ids of its first regions.
        best: Scores and ids of its best regions.
        whole: Sum of the covariances of whole views.
        num_whole: How many they were.
        partial: Sum of the covariances of other views.
        num_partial: How many they were.
        looks: Sum of the appearances, or None.
        boxes: Of its views, thinned out where there are many.
        claims: Pairs of places that two regions of one frame took it for.
    """

    born: int
    level: int = 0
    hits: int = 0
    log_odds: float = 0.0
    votes: dict[str, float] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    first: float = math.nan
    glimpsed: float = math.nan
    regions: list[tuple[float, str]] = field(default_factory=list)
    best: list[tuple[float, str]] = field(default_factory=list)
    whole: _Spread = field(default_factory=lambda: np.zeros((6, 6)))
    num_whole: int = 0
    partial: _Spread = field(default_factory=lambda: np.zeros((6, 6)))
    num_partial: int = 0
    looks: Float[np.ndarray, " d"] | None = None
    boxes: list[list[float]] = field(default_factory=list)
    claims: list[list[list[float]]] = field(default_factory=list)

    @property
    def existence(self) -> float:
        """How likely it is that there is such a thing, in [0, 1]."""
        return 1 / (1 + math.exp(-self.log_odds))

    @property
    def label(self) -> str:
        """The label with most votes; of equal ones the first by alphabet."""
        return self.names[min(self.votes, key=lambda name: (-self.votes[name], name))]

    @property
    def first_seen(self) -> float:
        """When it was first seen with enough pixels; if it never was, when it was seen at all."""
        return self.glimpsed if math.isnan(self.first) else self.first

    def see(self, glimpse: Glimpse, options: BuilderOptions) -> None:
        """Take in a sighting."""
        self.hits += 1
        self._believe(glimpse.score * math.log(options.recall / options.false_alarm))
        self.note(glimpse, options)
        self.boxes = thinned([*self.boxes, glimpse.box])
        if glimpse.whole:
            self.whole, self.num_whole = self.whole + glimpse.spread, self.num_whole + 1
        else:
            self.partial, self.num_partial = self.partial + glimpse.spread, self.num_partial + 1
        self.glimpsed = _earlier(self.glimpsed, glimpse.time)
        if glimpse.pixels >= options.least_pixels:
            self.first = _earlier(self.first, glimpse.time)
        if glimpse.looks is not None:
            self.looks = glimpse.looks if self.looks is None else self.looks + glimpse.looks

    def note(self, glimpse: Glimpse, options: BuilderOptions) -> None:
        """Take in another region of a frame in which the thing is counted already."""
        # A score of 0 names the thing all the same.
        name = fold(glimpse.label)
        self.votes[name] = self.votes.get(name, 0.0) + max(glimpse.score, 1e-6)
        self.names.setdefault(name, glimpse.label)
        self._cite([(glimpse.score, glimpse.region)], [(glimpse.score, glimpse.region)], options)

    def miss(self, options: BuilderOptions) -> None:
        """It was in full view of a frame, and no region shows it."""
        self._believe(math.log((1 - options.recall) / (1 - options.false_alarm)))

    def take(self, other: Tally, options: BuilderOptions) -> None:
        """Another tally turned out to be of the same thing."""
        self.born, self.hits = min(self.born, other.born), self.hits + other.hits
        self._believe(other.log_odds)
        for name, votes in other.votes.items():
            self.votes[name] = self.votes.get(name, 0.0) + votes
            self.names.setdefault(name, other.names[name])
        self.first = _earlier(self.first, other.first)
        self.glimpsed = _earlier(self.glimpsed, other.glimpsed)
        self._cite(other.regions, other.best, options)
        self.boxes = thinned([*self.boxes, *other.boxes])
        self.whole, self.num_whole = self.whole + other.whole, self.num_whole + other.num_whole
        self.partial = self.partial + other.partial
        self.num_partial += other.num_partial
        if other.looks is not None:
            self.looks = other.looks if self.looks is None else self.looks + other.looks

    def spread(self, common: float) -> _Spread:
        """Covariance of centre and sides along the world's axes, of all that was seen.

        Only whole views count where there is one: what is cut off or hidden widens no further.
        """
        total, num = (
            (self.whole, self.num_whole) if self.num_whole else (self.partial, self.num_partial)
        )
        mean: _Spread = total / max(1, num)
        return mean * (common + (1 - common) / max(1, num))

    def agreement(self, label: str) -> float:
        """Share of the votes that a folded label has, in [0, 1]."""
        return self.votes.get(label, 0.0) / sum(self.votes.values())

    def cited(self) -> tuple[str, ...]:
        """Regions that show it: the first ones, then the best of the rest."""
        return tuple(dict.fromkeys(name for _, name in (*self.regions, *self.best)))

    def _believe(self, log_ratio: float) -> None:
        belief = self.log_odds + log_ratio
        self.log_odds = min(max(belief, -_LOG_ODDS_LIMIT), _LOG_ODDS_LIMIT)

    def _cite(
        self,
        first: Sequence[tuple[float, str]],
        best: Sequence[tuple[float, str]],
        options: BuilderOptions,
    ) -> None:
        half = options.most_regions // 2
        self.regions = [*self.regions, *first][:half]
        self.best = sorted([*self.best, *best], key=lambda entry: (-entry[0], entry[1]))[:half]


def _earlier(a: float, b: float) -> float:
    """The lesser of two times; NaN is none."""
    return float(np.fmin(a, b))
