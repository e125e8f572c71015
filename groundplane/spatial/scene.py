"""What the solver asks of a scene, and the scene of a cognitive map."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import shapely
import torch
from jaxtyping import Bool, Float, Int
from shapely.geometry.base import BaseGeometry
from torch import Tensor

from groundplane.core.errors import InputError, listing
from groundplane.core.lexicon import surface_share
from groundplane.spatial import relations
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.gap import box_gaps
from groundplane.spatial.geometry.sampling import sampled_gap
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.relations import THRESHOLDS, Thresholds
from groundplane.spatial.relations.definitions import DEFINITIONS, Definition
from groundplane.spatial.relations.orientation import has_front, has_long_side, horizontal_sides

__all__ = [
    "DistanceMethod",
    "MapScene",
    "Scene",
    "UnsupportedError",
    "check_pairs",
    "told_by_boxes",
]

DistanceMethod = Literal["exact", "sampled"]
# Relations hold about a hundred bytes a pair while they work: this many take about 2 GB.
_MOST_PAIRS = 20_000_000
# More than rounding, and than what gives a flat thing its footprint; metres.
_SLACK = 1e-3
# Relations that hold of what is close only, and those that need a side longer than the other.
_CLOSE = (*relations.WORLD_RELATIONS, "supports")
_OF_LONG_SIDES = ("parallel", "perpendicular")


class UnsupportedError(InputError):
    """The scene cannot tell this; the message says why and what could."""


def check_pairs(*counts: int) -> None:
    """Refuse a table of every object with every other that would not fit in memory.

    Raises:
        UnsupportedError: If there are more than 20 million pairs.
    """
    if math.prod(counts) > _MOST_PAIRS:
        sets = " by ".join(f"{count:,}" for count in counts)
        raise UnsupportedError(
            f"{sets} objects are more than {_MOST_PAIRS:,} pairs to compare; name fewer, such as "
            "one of them"
        )


def told_by_boxes(scene: Scene, attribute: str, rows: Sequence[int]) -> bool:
    """Whether an attribute that none of the objects states is told by their boxes: the size."""
    told = attribute == "size" and scene.kind == "map"
    return told and not any(attribute in scene.attributes(row) for row in rows)


@runtime_checkable
class Scene(Protocol):
    """Objects in columns, with the measures and relations that hold between them.

    Indices are positions in `ids`. `names` are for people, `ids` for evidence.
    """

    kind: Literal["map", "image"]
    ids: tuple[str, ...]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    counts: Mapping[str, int]
    unit: str
    method: str

    def vocabulary(self) -> tuple[str, ...]:
        """Every label, each once."""
        ...

    def rows(self, label: str) -> tuple[int, ...]:
        """The objects of a label."""
        ...

    def attributes(self, row: int) -> Mapping[str, str]:
        """What is stated of one object."""
        ...

    def gaps(self, a: Int[Tensor, " a"], b: Int[Tensor, " b"]) -> Float[Tensor, "a b"]:
        """Shortest distances between objects."""
        ...

    def distance(self, a: int, b: int) -> float:
        """The distance that is told of two objects."""
        ...

    def center_distances(self, a: Int[Tensor, " a"], b: Int[Tensor, " b"]) -> Float[Tensor, "a b"]:
        """Distances between the centres of objects."""
        ...

    def measure(self, name: str, index: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """A measure of each object; raises `UnsupportedError` for one it has not."""
        ...

    def sides(self, row: int) -> tuple[float, ...]:
        """The sides of one object's box, the longest first."""
        ...

    def room_area(self) -> float | None:
        """Area of the room, or None."""
        ...

    def relation(
        self, name: str, subjects: Int[Tensor, " a"], anchors: Int[Tensor, " b"],
        limit: float | None = None,
    ) -> Bool[Tensor, "a b"]:  # fmt: skip
        """Which subjects stand in a relation that needs no viewer to which anchors."""
        ...

    def undecided(self, name: str, index: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Which objects lack what the relation needs, so that it cannot be told of them."""
        ...

    def side(
        self, name: str, subjects: Int[Tensor, " a"], anchors: Int[Tensor, " b"],
        view: Float[Tensor, " d"],
    ) -> Bool[Tensor, "a b"]:  # fmt: skip
        """Left, right, in front and behind for a viewer who looks along `view`."""
        ...

    def ground(self, index: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
        """Where the centres stand on the ground."""
        ...

    def fronts(self, index: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
        """Horizontal direction of each front, NaN where unknown."""
        ...

    def middle(self) -> Float[Tensor, " 2"]:
        """The middle of the scene on the ground."""
        ...

    def view(self) -> Float[Tensor, " 2"] | None:
        """Horizontal direction in which the scene's own camera looks; None where it has none."""
        ...

    def first_seen(self, index: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Seconds, NaN where unknown."""
        ...


class MapScene:
    """The scene of a cognitive map: metres, z up.

    Args:
        scene: The map.
        distance: `exact`: closest points of the oriented boxes; `sampled`: closest points of
            VSI-Bench's 5 cm grid on them.
        thresholds: The numbers that its relations turn on.
    """

    kind: Literal["map", "image"] = "map"

    def __init__(
        self, scene: CognitiveMap, *, distance: DistanceMethod = "exact",
        thresholds: Thresholds = THRESHOLDS,
    ) -> None:  # fmt: skip
        if distance not in ("exact", "sampled"):
            raise InputError(f"distance: expected 'exact' or 'sampled', got {distance!r}")
        self.map = scene
        self._thresholds = thresholds
        self.ids = scene.ids
        self.names = scene.ids
        self.labels = scene.labels
        self.counts = scene.counts
        self.unit = "m" if scene.scale == "metric" else "map_unit"
        self._sampled = distance == "sampled"
        self.method = (
            "closest points of the boxes, sampled every 5 cm as VSI-Bench does"
            if self._sampled
            else "closest points of the oriented boxes, exact"
        )
        rows: dict[str, list[int]] = defaultdict(list)
        for i, label in enumerate(scene.labels):
            rows[label].append(i)
        self._rows = {label: tuple(found) for label, found in rows.items()}

    def vocabulary(self) -> tuple[str, ...]:
        """Every label, each once; labels that are only counted stand last."""
        return tuple(dict.fromkeys([*self._rows, *self.counts]))

    def rows(self, label: str) -> tuple[int, ...]:
        """The objects of a label."""
        return self._rows.get(label, ())

    def attributes(self, row: int) -> Mapping[str, str]:
        """What is stated of one object."""
        return self.map.attributes[row]

    def _boxes(self, index: Int[Tensor, " n"]) -> Boxes3D:
        return self.map.objects[index]

    def gaps(self, a: Int[Tensor, " a"], b: Int[Tensor, " b"]) -> Float[Tensor, "a b"]:
        """Exact shortest distances between boxes, metres; 0 where they touch."""
        check_pairs(len(a), len(b))
        return box_gaps(self._boxes(a), self._boxes(b))

    def distance(self, a: int, b: int) -> float:
        """The distance that is told of two objects, metres: exact, or sampled if so chosen."""
        first, second = torch.tensor([a]), torch.tensor([b])
        if self._sampled:
            return float(sampled_gap(self._boxes(first), self._boxes(second))[0])
        return float(self.gaps(first, second)[0, 0])

    def center_distances(self, a: Int[Tensor, " a"], b: Int[Tensor, " b"]) -> Float[Tensor, "a b"]:
        """Distances between centres, metres."""
        check_pairs(len(a), len(b))
        centers = self.map.objects.centers
        # By products, cdist would be off by micrometres far from the origin.
        mode = "donot_use_mm_for_euclid_dist"
        return torch.cdist(centers[a], centers[b], compute_mode=mode)

    def measure(self, name: str, index: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """A measure of each object: metres, square metres or cubic metres."""
        boxes = self._boxes(index)
        if name == "size":
            return boxes.sizes.amax(dim=1)
        if name == "volume":
            return boxes.sizes.prod(dim=1)
        low, high = boxes.hull()
        if name == "height":
            return high[:, 2] - low[:, 2]
        if name == "top":
            return high[:, 2] - self._floor
        if name == "elevation":
            return low[:, 2] - self._floor
        if name == "floor_area":
            return boxes.centers.new_tensor(shapely.area(boxes.footprints()))
        if name in ("width", "depth", "length"):
            width, depth = self._horizontal(boxes, self.fronts(index))
            sides = {"width": width, "depth": depth, "length": torch.maximum(width, depth)}
            return sides[name]
        raise UnsupportedError(f"a scene of boxes has no measure {name!r}")

    @functools.cached_property
    def _floor(self) -> float:
        """z of the floor: stated, else the lowest point of any box."""
        if self.map.floor is not None:
            return self.map.floor
        low, _ = self.map.objects.hull()
        return float(low[:, 2].min())

    @staticmethod
    def _horizontal(
        boxes: Boxes3D, fronts: Float[Tensor, "n 2"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Width and depth: across and along the front; longer and shorter side without one."""
        sides, flat = horizontal_sides(boxes)
        along = torch.einsum("nij,nj->ni", flat, fronts).abs().argmax(dim=1, keepdim=True)
        known = ~fronts.isnan().any(dim=1)
        longer = sides.argmin(dim=1, keepdim=True)
        depth_at = torch.where(known[:, None], along, longer)
        depth = sides.gather(1, depth_at)[:, 0]
        return sides.gather(1, 1 - depth_at)[:, 0], depth

    def sides(self, row: int) -> tuple[float, ...]:
        """The three sides of one box, metres, the longest first."""
        return tuple(sorted(self.map.objects.sizes[row].tolist(), reverse=True))

    def room_area(self) -> float | None:
        """Square metres as stated, else of the outline."""
        return self.map.room_area

    def relation(
        self, name: str, subjects: Int[Tensor, " a"], anchors: Int[Tensor, " b"],
        limit: float | None = None,
    ) -> Bool[Tensor, "a b"]:  # fmt: skip
        """A relation between boxes that needs no viewer."""
        if name in ("within", "beyond"):
            if limit is None:
                raise UnsupportedError(f"{name!r} needs a distance")
            near = self.gaps(subjects, anchors) <= limit
            return near if name == "within" else ~near
        check_pairs(len(subjects), len(anchors))
        if name not in _CLOSE:
            return self._wide_relation(name, subjects, anchors)
        low, high = self._boxes(subjects).hull()
        start, end = self._boxes(anchors).hull()
        # No relation without a stated distance holds between things further apart, from above.
        numbers = self._thresholds
        gaps = (numbers.next_gap, numbers.near_gap, numbers.hung_reach, numbers.touch_gap)
        reach = max(gaps) + _SLACK
        rows = _meets(low - reach, high + reach, start, end)
        columns = _meets(start, end, low - reach, high + reach)
        found = torch.zeros(len(subjects), len(anchors), dtype=torch.bool)
        found[rows[:, None] & columns] = self._close_relation(
            name, subjects[rows], anchors[columns]
        ).flatten()
        return found

    def _close_relation(
        self, name: str, subjects: Int[Tensor, " a"], anchors: Int[Tensor, " b"]
    ) -> Bool[Tensor, "a b"]:
        """A relation between boxes that lie near enough for it."""
        a, b = self._boxes(subjects), self._boxes(anchors)
        if name == "on":
            return self._on(a, b, anchors)
        if name == "supports":
            return self._on(b, a, subjects).T
        if name == "next_to":
            return self._next_to(a, b, anchors)
        found: Bool[Tensor, "a b"] = DEFINITIONS[name].function(a, b, thresholds=self._thresholds)
        return found

    def _wide_relation(
        self, name: str, subjects: Int[Tensor, " a"], anchors: Int[Tensor, " b"]
    ) -> Bool[Tensor, "a b"]:
        """A relation that may hold over any distance; one of fronts is told the fronts."""
        row = DEFINITIONS.get(name)
        if row is None or row.arity != 2 or row.frame == "viewer":
            raise UnsupportedError(f"a scene of boxes has no relation {name!r}")
        sides = (subjects, anchors) if row.symmetric else (subjects,)
        for rows in sides:
            lost = self.undecided(name, rows)
            if len(rows) and bool(lost.all()):
                raise UnsupportedError(_unknown_way(row, [self.names[i] for i in rows.tolist()]))
        fronts = [self.map.fronts[rows] for rows in sides] if row.frame == "object" else []
        found: Bool[Tensor, "a b"] = row.function(
            self._boxes(subjects), self._boxes(anchors), *fronts, thresholds=self._thresholds
        )
        return found

    def undecided(self, name: str, index: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Which objects lack what the relation needs: a known front, or a long side."""
        if name in DEFINITIONS and DEFINITIONS[name].frame == "object":
            return ~has_front(self.map.fronts[index])
        if name in _OF_LONG_SIDES:
            return ~has_long_side(self._boxes(index), thresholds=self._thresholds)
        return torch.zeros_like(index, dtype=torch.bool)

    def _next_to(
        self, subjects: Boxes3D, anchors: Boxes3D, rows: Int[Tensor, " b"]
    ) -> Bool[Tensor, "a b"]:
        """Side by side, or pushed in so far that the box of what is no container holds it."""
        shares = [surface_share(self.labels[i]) for i in rows.tolist()]
        opened = anchors.centers.new_tensor(shares).isfinite()
        numbers = self._thresholds
        pushed = relations.under(subjects, anchors, thresholds=numbers)
        pushed &= relations.inside(subjects, anchors, thresholds=numbers)
        beside = relations.next_to(subjects, anchors, thresholds=numbers) | (pushed & opened)
        return beside & relations.within(subjects, anchors, numbers.next_gap)

    def _on(
        self, subjects: Boxes3D, anchors: Boxes3D, rows: Int[Tensor, " b"]
    ) -> Bool[Tensor, "a b"]:
        """On top of, or on a surface inside the box of what is no container."""
        shares = [surface_share(self.labels[i]) for i in rows.tolist()]
        heights = anchors.centers.new_tensor(shares)
        numbers = self._thresholds
        return relations.on(subjects, anchors, thresholds=numbers) | relations.rests_in(
            subjects, anchors, heights, thresholds=numbers
        )

    def side(
        self, name: str, subjects: Int[Tensor, " a"], anchors: Int[Tensor, " b"],
        view: Float[Tensor, " d"],
    ) -> Bool[Tensor, "a b"]:  # fmt: skip
        """Left, right, in front and behind along a horizontal view direction."""
        check_pairs(len(subjects), len(anchors))
        look = torch.cat([view, view.new_zeros(1)])
        found: Bool[Tensor, "a b"] = getattr(relations, name)(
            self._boxes(subjects), self._boxes(anchors), look, thresholds=self._thresholds
        )
        return found

    def ground(self, index: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
        """x and y of the centres, metres."""
        return self.map.objects.centers[index, :2]

    def fronts(self, index: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
        """Horizontal unit direction of each front; NaN where unknown or vertical."""
        flat = self.map.fronts[index, :2]
        return flat / torch.where(flat.norm(dim=1) > 1e-6, flat.norm(dim=1), torch.nan)[:, None]

    def middle(self) -> Float[Tensor, " 2"]:
        """The middle of the room, or of the outline round all boxes where the room has none.

        It turns and moves with the scene, as the middle of a hull along x and y would not.
        """
        return self._middle

    @functools.cached_property
    def _middle(self) -> Float[Tensor, " 2"]:
        outline: BaseGeometry | None = self.map.room
        if outline is None:
            corners = self.map.objects.corners()[..., :2].reshape(-1, 2)
            # One line through all corners: its hull is theirs, and it is made at once.
            outline = shapely.LineString(corners.double().cpu().numpy()).convex_hull
        middle = outline.centroid
        return self.map.objects.centers.new_tensor([middle.x, middle.y])

    def view(self) -> Float[Tensor, " 2"] | None:
        """Horizontal unit direction in which the scene's own camera looks, if it has one."""
        if self.map.view is None:
            return None
        looks: Float[Tensor, " 2"] = self.map.view[:2]
        unit: Float[Tensor, " 2"] = looks / looks.norm()
        return unit

    def first_seen(self, index: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Seconds since the start of the video; NaN where unknown."""
        return self.map.first_seen[index]


def _unknown_way(row: Definition, names: list[str]) -> str:
    """Why a relation cannot be told of these objects."""
    several = len(names) > 1
    who = listing([name if name[-1:].isdigit() else f"the {name}" for name in names], limit=6)
    if row.name in _OF_LONG_SIDES:
        be, it = ("are", "they have") if several else ("is", "it has")
        return (
            f"{who} {be} about as wide as deep, so {it} no long side to be {row.name} to anything"
        )
    have, it, face = ("have", "they", "face") if several else ("has", "it", "faces")
    away = " away from" if row.name == "facing_away" else ""
    return (
        f"{who} {have} no known front, so it cannot be told what {it} {face}{away}; a scene file "
        "states a front as 'front'"
    )


def _meets(
    low: Float[Tensor, "n 3"], high: Float[Tensor, "n 3"],
    start: Float[Tensor, "m 3"], end: Float[Tensor, "m 3"],
) -> Bool[Tensor, " n"]:  # fmt: skip
    """Whether each hull meets, seen from above, the hull round all others."""
    if not len(start):
        return torch.zeros(len(low), dtype=torch.bool)
    before = (high[:, :2] >= start[:, :2].amin(dim=0)).all(dim=1)
    return before & (low[:, :2] <= end[:, :2].amax(dim=0)).all(dim=1)
