"""Large pictures seen in overlapping tiles, so that small things are large enough to be found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from groundplane.core import masks as rle
from groundplane.core.answer import Step
from groundplane.core.detection import Detector, DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError, InputError
from groundplane.core.image import FrameMap, Image, Source
from groundplane.core.masks import RleMask
from groundplane.core.regions import Regions
from groundplane.grounding.behind import BeforeDetector
from groundplane.grounding.checking import BreachError, check_result
from groundplane.grounding.duplicates import settle
from groundplane.grounding.near_pairs import BoxIndex, areas, shared_areas
from groundplane.grounding.result_merging import join_notes

__all__ = ["SlicedDetector", "tiles"]

Tile = tuple[int, int, int, int]

# A box that ends so near to the inner edge of a tile is cut by it, pixels.
_NEAR = 3.0
_MAX_TILES = 4096


def tiles(size: tuple[int, int], *, tile: int, overlap: float = 0.2) -> list[Tile]:
    """Cut a picture into tiles of one size, spread evenly, row by row.

    Args:
        size: Width and height of the picture, pixels.
        tile: Side of a tile, pixels; a picture with a shorter side has tiles as short.
        overlap: The least share of its side that a tile has in common with the next one.

    Returns:
        Boxes `xyxy`, pixels; the whole picture alone if it is not larger than one tile.

    Raises:
        InputError: If a number is out of range, or there would be more than 4096 tiles.

    Examples:
        >>> tiles((150, 80), tile=100, overlap=0.5)
        [(0, 0, 100, 80), (50, 0, 150, 80)]
        >>> tiles((60, 80), tile=100)
        [(0, 0, 60, 80)]
    """
    if tile < 1 or not 0 <= overlap <= 0.9 or min(size) < 1:
        raise InputError(
            f"tiles: expected a tile of 1 pixel or more, an overlap from 0 to 0.9 and a picture, "
            f"got tile {tile}, overlap {overlap}, size {size}"
        )
    across, down = (_starts(side, tile=tile, overlap=overlap) for side in size)
    if len(across) * len(down) > _MAX_TILES:
        raise InputError(
            f"tiles: a picture of {size[0]} x {size[1]} pixels would be cut into "
            f"{len(across) * len(down)} tiles of {tile}; expected {_MAX_TILES} at most. "
            "Try a larger tile"
        )
    wide, high = min(tile, size[0]), min(tile, size[1])
    return [(x, y, x + wide, y + high) for y in down for x in across]


def _starts(side: int, *, tile: int, overlap: float) -> list[int]:
    """Where the tiles along one side begin."""
    if side <= tile:
        return [0]
    step = max(1, math.floor(tile * (1 - overlap)))
    steps = math.ceil((side - tile) / step)
    return [round(i * (side - tile) / steps) for i in range(steps + 1)]


class SlicedDetector(BeforeDetector):
    """Asks a detector about the tiles of each picture and about the whole of it, in one call.

    Boxes come back in pixels of the picture. One that an inner edge of a tile cuts is dropped if
    it reaches less deep into the tile than tiles overlap: the next tile sees more of that thing.
    Two views show one thing if, where both look, they show boxes that overlap by more than
    `iou`; a box that no edge cuts is preferred, then the better score, and the best score of all
    its views is kept. Pieces that are left of a thing that no view shows whole become the box
    around them.

    As with fusion, thresholds apply to what was merged. A request with exemplars is looked at as
    a whole: an exemplar is in few of the tiles.

    Args:
        detector: The expert.
        tile: Side of a tile, pixels; a picture no larger than that is seen as a whole only.
        overlap: Share of its side that a tile has in common with the next one, at least. Things
            up to this size are seen whole by some tile.
        iou: Intersection over union above which two boxes are one thing.

    Raises:
        InputError: If a number is out of range.
    """

    def __init__(
        self, detector: Detector, *, tile: int, overlap: float = 0.2, iou: float = 0.5
    ) -> None:
        if not 0 <= iou <= 1:
            raise InputError(f"slicing: expected iou from 0 to 1, got {iou}")
        tiles((1, 1), tile=tile, overlap=overlap)
        super().__init__(detector)
        self._tile, self._overlap, self._iou = tile, overlap, iou

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order.

        Raises:
            DetectorError: If the detector gives another number of results, or one that is not
                well formed.
            InputError: If a picture would be cut into more than 4096 tiles.
        """
        views = [self._views(request) for request in requests]
        asked = [
            _part(request, view)
            for request, seen in zip(requests, views, strict=True)
            for view in seen
        ]
        given = self._detector.detect(asked) if asked else []
        if len(given) != len(asked):
            raise DetectorError(
                f"slicing: the detector gave {len(given)} results for {len(asked)} requests"
            )
        try:
            checked = iter([check_result(r, q) for r, q in zip(given, asked, strict=True)])
        except BreachError as breach:
            raise DetectorError(f"slicing: the detector broke its contract: {breach}") from breach
        return [
            self._merged(request, seen, [next(checked) for _ in seen])
            for request, seen in zip(requests, views, strict=True)
        ]

    def _views(self, request: DetectRequest) -> list[Tile]:
        """The whole picture, then its tiles."""
        width, height = request.image.size
        whole = (0, 0, width, height)
        if not request.phrases or any(box is not None for box in request.exemplars or ()):
            return [whole]
        cut = tiles((width, height), tile=self._tile, overlap=self._overlap)
        return [whole, *cut] if len(cut) > 1 else [whole]

    def _merged(
        self, request: DetectRequest, views: list[Tile], results: list[DetectResult]
    ) -> DetectResult:
        if len(views) == 1:
            return results[0]
        depth = math.floor(self._tile * self._overlap)
        joiner = _Joiner(request=request, views=views, iou=self._iou, depth=depth)
        kept = [r.candidates for r in results if r.candidates is not None]
        candidates = joiner.joined(kept) if len(kept) == len(results) else None
        plain = tuple(
            Outcome.CANNOT if set(seen) == {Outcome.CANNOT} else Outcome.NONE
            for seen in zip(*(result.outcomes for result in results), strict=True)
        )
        if candidates is not None and request.thresholds is not None:
            looked = DetectResult(regions=candidates, outcomes=plain, candidates=candidates)
            looked = looked.at(request.thresholds)
        else:
            regions = joiner.joined([result.regions for result in results])
            found = set(regions.phrase_ids.tolist())
            outcomes = tuple(Outcome.FOUND if i in found else o for i, o in enumerate(plain))
            looked = DetectResult(regions=regions, outcomes=outcomes, candidates=candidates)
        told = [result.presence for result in results if result.presence is not None]
        detail = f"{len(views) - 1} tiles of {self._tile} pixels and the whole picture"
        return replace(
            looked,
            note=join_notes(result.note for result in results),
            presence=tuple(max(p) for p in zip(*told, strict=True)) if told else None,
            uncounted=tuple(sorted({i for result in results for i in result.uncounted})),
            steps=(*results[0].steps, Step(name="slice", detail=detail)),
        )


def _part(request: DetectRequest, view: Tile) -> DetectRequest:
    """The same request about a part of its picture."""
    image = request.image
    if view == (0, 0, *image.size):
        return request
    x0, y0, x1, y1 = view
    place = f"{x0},{y0},{x1},{y1}"
    digest = sha256(f"{image.source.content_hash}:{place}".encode()).hexdigest()
    shift = FrameMap(matrix=np.array([[1.0, 0.0, x0], [0.0, 1.0, y0]]))
    cut = Image(
        pixels=np.ascontiguousarray(image.pixels[y0:y1, x0:x1]),
        source=Source(name=f"{image.source.name}#{place}", content_hash=digest),
        frame_map=shift.then(image.frame_map),
    )
    return replace(request, image=cut, exemplars=None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Seen:
    """Boxes of all views in pixels of the picture; `places` is which view and which row of it."""

    boxes: Float64[np.ndarray, "n 4"]
    scores: Float64[np.ndarray, " n"]
    groups: Int64[np.ndarray, " n"]
    views: Float64[np.ndarray, "n 4"]
    cut: Bool[np.ndarray, " n"]
    places: Int64[np.ndarray, "n 2"]

    def take(self, rows: Int64[np.ndarray, " m"]) -> _Seen:
        return _Seen(
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            groups=self.groups[rows],
            views=self.views[rows],
            cut=self.cut[rows],
            places=self.places[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Joiner:
    """Brings what the views of one picture show together; `depth` is their overlap, pixels."""

    request: DetectRequest
    views: list[Tile]
    iou: float
    depth: int

    def joined(self, parts: Sequence[Regions]) -> Regions:
        """One region a thing, best first."""
        seen = self._seen(parts)
        first, second = self._pairs(seen)
        won = settle(first, second, num=len(seen.boxes))
        # Pieces of things that no view shows whole: each chain of them is one thing.
        piece = seen.cut & seen.cut[won]
        chains = _Chains()
        both = piece[first] & piece[second]
        for a, b in zip(first[both].tolist(), second[both].tolist(), strict=True):
            chains.join(a, b)
        whose = won.copy()
        for row in np.flatnonzero(piece).tolist():
            whose[row] = chains.first(row)
        scores = np.zeros(won.size)
        np.maximum.at(scores, whose, seen.scores)
        chosen = np.flatnonzero(whose == np.arange(won.size))
        chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
        rows = [
            np.flatnonzero(piece & (whose == r)) if piece[r] else chosen[i : i + 1]
            for i, r in enumerate(chosen)
        ]
        boxes = np.array([_around(seen.boxes[some]) for some in rows]).reshape(-1, 4)
        return self._regions(parts, seen, boxes=boxes, scores=scores[chosen], rows=rows)

    def _seen(self, parts: Sequence[Regions]) -> _Seen:
        """All boxes but shallow pieces, uncut ones first, then by score."""
        columns = [
            torch.cat(
                [p.boxes.double(), p.scores.double()[:, None], p.phrase_ids.double()[:, None]],
                dim=1,
            )
            for p in parts
        ]
        host = torch.cat(columns).cpu().numpy()
        number = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        row = np.concatenate([np.arange(len(part)) for part in parts])
        views = np.array(self.views, dtype=np.float64)[number]
        boxes = host[:, :4] + views[:, [0, 1, 0, 1]]
        inner = np.array([(0.0, 0.0, *self.request.image.size)]) != views
        gap = np.abs(boxes - views)
        cut = (inner & (gap <= _NEAR)).any(axis=1)
        # How deep a box reaches into its view from each of the edges that cut it.
        reach = np.abs(boxes[:, [2, 3, 0, 1]] - views)
        shallow = (inner & (gap <= _NEAR) & (reach < self.depth)).any(axis=1)
        order = np.lexsort((-host[:, 4], cut))
        order = order[~shallow[order]]
        return _Seen(
            boxes=boxes,
            scores=host[:, 4],
            groups=host[:, 5].astype(np.int64),
            views=views,
            cut=cut,
            places=np.stack([number, row], axis=1),
        ).take(order)

    def _pairs(self, seen: _Seen) -> tuple[Int64[np.ndarray, " p"], Int64[np.ndarray, " p"]]:
        """Boxes that show one thing, the one that is preferred first."""
        found = [np.zeros((2, 0), dtype=np.int64)]
        index = BoxIndex(seen.boxes, seen.groups)
        for asked, near in index.pairs(seen.boxes, seen.groups, least=0.0):
            down = near > asked
            a, b = asked[down], near[down]
            both = np.concatenate(
                [
                    np.maximum(seen.views[a, :2], seen.views[b, :2]),
                    np.minimum(seen.views[a, 2:], seen.views[b, 2:]),
                ],
                axis=1,
            )
            one, two = (_clipped(seen.boxes[rows], both) for rows in (a, b))
            shared = shared_areas(one, two)
            same = shared > self.iou * (areas(one) + areas(two) - shared)
            found.append(np.stack([a[same], b[same]]))
        first, second = np.concatenate(found, axis=1)
        return first, second

    def _regions(
        self,
        parts: Sequence[Regions],
        seen: _Seen,
        *,
        boxes: Float64[np.ndarray, "n 4"],
        scores: Float64[np.ndarray, " n"],
        rows: list[Int64[np.ndarray, " _"]],
    ) -> Regions:
        """Columns of regions, each made of some of the boxes seen."""
        where = [seen.places[some].tolist() for some in rows]
        names = ["whole", *(f"tile{i}" for i in range(len(self.views) - 1))]
        masked = all(part.masks is not None for part in parts if len(part))
        device = parts[0].boxes.device
        return Regions(
            ids=tuple(f"{names[some[0][0]]}/{parts[some[0][0]].ids[some[0][1]]}" for some in where),
            boxes=torch.tensor(boxes, dtype=torch.float32, device=device),
            scores=torch.tensor(scores, dtype=torch.float32, device=device),
            phrases=self.request.phrases,
            phrase_ids=torch.tensor(
                [int(seen.groups[some[0]]) for some in rows], dtype=torch.long, device=device
            ),
            image_size=self.request.image.size,
            masks=tuple(self._mask(parts, some) for some in where) if masked and where else None,
            sources=tuple(parts[some[0][0]].sources[some[0][1]] for some in where)
            if all(part.sources for part in parts if len(part))
            else (),
        )

    def _mask(self, parts: Sequence[Regions], where: list[list[int]]) -> RleMask:
        """The masks of some rows, in the whole picture, as one."""
        width, height = self.request.image.size
        whole = np.zeros((height, width), dtype=bool)
        for view, row in where:
            x0, y0, x1, y1 = self.views[view]
            masks = parts[view].masks
            assert masks is not None
            whole[y0:y1, x0:x1] |= rle.decode(masks[row])
        return rle.encode(whole)


class _Chains:
    """Rows that belong together, each chain known by its first row."""

    def __init__(self) -> None:
        self._before: dict[int, int] = {}

    def first(self, row: int) -> int:
        """The first row of a row's chain."""
        while row in self._before:
            row = self._before[row]
        return row

    def join(self, a: int, b: int) -> None:
        """Say that two rows belong together."""
        one, two = sorted((self.first(a), self.first(b)))
        if one != two:
            self._before[two] = one


def _around(boxes: Float64[np.ndarray, "n 4"]) -> list[float]:
    """The box around some boxes."""
    return [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]


def _clipped(
    boxes: Float64[np.ndarray, "n 4"], to: Float64[np.ndarray, "n 4"]
) -> Float64[np.ndarray, "n 4"]:
    """Boxes cut by the box in their place; empty where they do not meet."""
    low = np.maximum(boxes[:, :2], to[:, :2])
    return np.concatenate([low, np.maximum(np.minimum(boxes[:, 2:], to[:, 2:]), low)], axis=1)
