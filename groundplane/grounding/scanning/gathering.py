"""Places gathered for one phrase, until the phrase has no more of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from groundplane.core.answer import Mention
from groundplane.core.errors import InputError
from groundplane.core.locations import Located, ModelBox3D, ProblemKind, Rung
from groundplane.core.masks import RleMask
from groundplane.core.regions import Regions
from groundplane.grounding.dialects.grammar import Reading, Shape
from groundplane.grounding.scanning.painting import outlined
from groundplane.grounding.scanning.placing import Placer

__all__ = ["BOXES_LIMIT", "Group", "Phrase"]

# Locations of one phrase at most; the rest is dropped.
BOXES_LIMIT = 1000

_Fault = tuple[ProblemKind, str]


@dataclass(slots=True)
class Phrase:
    """A phrase that is shown, and where.

    Attributes:
        text: Without the blanks around it.
        start: Where it starts in the shown text.
        source: Characters of the raw text; None where nothing was written.
    """

    text: str = ""
    start: int = 0
    source: tuple[int, int] | None = None


@dataclass(slots=True)
class _Spot:
    """One box, and what came with it."""

    box: tuple[float, ...]
    score: float | None = None
    mask: RleMask | None = None
    outline: list[tuple[float, float]] | None = None


@dataclass(slots=True)
class Group:
    """The places of one phrase, growing."""

    phrase: Phrase
    rung: Rung | None = None
    """How it was read, where that is not how the text is read as a whole."""
    placed: bool = False
    """Whether a place was written at all, even one that was dropped."""
    source: tuple[int, int] = (0, 0)
    spots: list[_Spot] = field(default_factory=list)
    points: list[tuple[float, float]] = field(default_factory=list)
    boxes_3d: list[ModelBox3D] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    states: list[tuple[str, int]] = field(default_factory=list)
    count: int = 0
    crowded: bool = False
    pending: bool = False
    """Whether indices were written for a list of regions that was not given."""

    def at(self, span: tuple[int, int]) -> None:
        """A place stands at these characters of the raw text."""
        self.source = (self.source[0], span[1]) if self.placed else span
        self.placed = True

    def add(self, reading: Reading, placer: Placer, size: tuple[int, int]) -> list[_Fault]:
        """Take the locations of one payload; gives what is wrong with them."""
        faults = list(reading.problems)
        if reading.absent:
            faults.append((ProblemKind.ABSENT, "the model says that the thing is not there"))
        for shape in reading.shapes:
            if self._full(faults):
                break
            self.count += 1
            faults += self._shape(shape, placer, size)
        if reading.boxes_3d and not self._full(faults):
            self.count += len(reading.boxes_3d)
            self.boxes_3d += reading.boxes_3d
        return faults

    def pick(self, rows: tuple[int, ...], regions: Regions | None) -> list[_Fault]:
        """Take regions by their row in a list; gives what is wrong with them."""
        faults: list[_Fault] = []
        if regions is None:
            self.pending = True
            what = "regions picked by index, but no list of regions was given"
            return [(ProblemKind.NEEDS_REGIONS, what)]
        for row in rows:
            if self._full(faults):
                break
            self.count += 1
            if not 0 <= row < len(regions):
                what = f"index {row} is none of the {len(regions)} regions; dropped"
                faults.append((ProblemKind.UNKNOWN_REGION, what))
            elif regions.ids[row] in self.ids:
                faults.append((ProblemKind.REPEATED, f"region {row} again; kept once"))
            else:
                self.ids.append(regions.ids[row])
                self.spots.append(_Spot(tuple(map(float, regions.boxes[row].tolist()))))
        return faults

    def state(self, token: str, order: int) -> None:
        """Take a token whose hidden state locates the phrase."""
        if self.count < BOXES_LIMIT:
            self.count += 1
            self.states.append((token, order))

    def mention(self, rung: Rung, seen: set[tuple[object, ...]]) -> tuple[Mention | None, bool]:
        """The mention, without what was said before of the same phrase; None where nothing is left.

        Returns:
            The mention, and whether anything was said before.
        """
        again = self._drop_repeated(seen)
        anything = self.spots or self.points or self.boxes_3d or self.states
        if not anything and not self.pending:
            return None, again
        phrase, spots = self.phrase, self.spots
        scores = tuple(spot.score for spot in spots if spot.score is not None)
        located = Located(
            boxes=np.array([spot.box for spot in spots], dtype=np.float64).reshape(-1, 4),
            points=np.array(self.points, dtype=np.float64).reshape(-1, 2),
            polygons=tuple(
                np.array(spot.outline, dtype=np.float64)
                for spot in spots
                if spot.outline is not None
            ),
            masks=tuple(spot.mask for spot in spots if spot.mask is not None),
            boxes_3d=tuple(self.boxes_3d),
            scores=scores if len(scores) == len(spots) else (),
            region_ids=tuple(self.ids),
            states=tuple(self.states),
            rung=rung,
            source=self.source,
            phrase_source=phrase.source,
        )
        span = (phrase.start, phrase.start + len(phrase.text))
        return Mention(span=span, ids=tuple(self.ids), phrase=phrase.text, located=located), again

    def _full(self, faults: list[_Fault]) -> bool:
        if self.count < BOXES_LIMIT:
            return False
        if not self.crowded:
            what = f"more than {BOXES_LIMIT:,} locations of one phrase; the rest is dropped"
            faults.append((ProblemKind.TOO_MANY, what))
        self.crowded = True
        return True

    def _shape(self, shape: Shape, placer: Placer, size: tuple[int, int]) -> list[_Fault]:
        if shape.kind == "point":
            point, faults = placer.point(shape.numbers)
            if point is not None:
                self.points.append(point)
            return faults
        if shape.kind == "polygon":
            return self._polygon(shape, placer, size)
        box, faults = placer.box(shape.numbers)
        if box is None:
            return faults
        spot = _Spot(box, shape.score)
        self.spots.append(spot)
        if shape.painter is not None:
            try:
                spot.mask = shape.painter(box, size)
            except InputError as error:
                faults.append((ProblemKind.MALFORMED, f"{error}; the box is kept without mask"))
        return faults

    def _polygon(self, shape: Shape, placer: Placer, size: tuple[int, int]) -> list[_Fault]:
        """An outline, with the box around it and the mask that it draws."""
        corners, faults = placer.polygon(shape.numbers)
        columns, rows = [x for x, _ in corners], [y for _, y in corners]
        box = (min(columns), min(rows), max(columns), max(rows))
        if box[0] >= size[0] or box[1] >= size[1] or box[2] <= 0 or box[3] <= 0:
            faults.append((ProblemKind.OUT_OF_IMAGE, "an outline outside the image; dropped"))
        elif box[0] == box[2] or box[1] == box[3]:
            faults.append((ProblemKind.ZERO_AREA, "an outline without area; dropped"))
        else:
            self.spots.append(_Spot(box, shape.score, outlined(corners, size), corners))
        return faults

    def _drop_repeated(self, seen: set[tuple[object, ...]]) -> bool:
        """Leave out boxes and points that the same phrase had before."""
        label, again = self.phrase.text, False
        if self.ids:
            # Regions are told apart by their index.
            return False
        spots, points = [], []
        for spot in self.spots:
            key = (label, *spot.box, *(spot.outline or ()))
            again |= key in seen
            if key not in seen:
                spots.append(spot)
            seen.add(key)
        for point in self.points:
            again |= (label, *point) in seen
            if (label, *point) not in seen:
                points.append(point)
            seen.add((label, *point))
        self.spots, self.points = spots, points
        return again
