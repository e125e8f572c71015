"""Compute what each wording should be answered with, by brute force from the boxes.

Independent of groundplane: only numpy and the data's own numbers. A wording carries a recipe
(`truth`); this script turns it into `expect` and refuses a recipe whose truth is a near tie.

    python tests/wordings/make_truth.py            check wordings.jsonl; exit 1 if anything differs
    python tests/wordings/make_truth.py --write    compute `expect` anew
"""

from __future__ import annotations

import collections
import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["NotClear", "Scene", "box_distance", "check", "expect", "load_sources"]

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / ".." / "shared" / "data"
CORPUS = HERE / "wordings.jsonl"
# Per metre, or per square metre.
UNITS = {"m": 1.0, "cm": 100.0, "ft": 1 / 0.3048, "in": 1 / 0.0254, "m2": 1.0, "ft2": 1 / 0.3048**2}
TOLERANCE = 0.03
# Two lengths or two sizes are told apart from this ratio on, two distances also from this gap on.
CLEAR_RATIO = 1.12
CLEAR_GAP = 0.15
CLEAR_ANGLE = 15.0
# A box counts as upright when one of its axes is this close to the vertical.
UPRIGHT = np.cos(np.radians(12.0))
NEXT_TO = 0.5
# A photo is a flat scene: x to the right, z up, one pixel deep, in pixels.
IMAGE_SIDES = {"left": (0, -1), "right": (0, 1), "above": (2, 1), "below": (2, -1)}
CLEAR_PIXELS = 25.0
BOX_KEYS = ("centroid", "axesLengths", "normalizedAxes")

Recipe = dict[str, Any]


class NotClear(ValueError):  # noqa: N818 - named for what it says of a truth
    """The truth of a recipe is a near tie, or its reference names more than one object."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Box:
    """One oriented box: metres, world z up; the rows of `axes` are the box axes."""

    label: str
    center: np.ndarray
    sizes: np.ndarray
    axes: np.ndarray

    @property
    def corners(self) -> np.ndarray:
        """The eight corners, (8, 3) metres."""
        signs = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)])
        return self.center + (signs * self.sizes / 2) @ self.axes

    @property
    def extent(self) -> np.ndarray:
        """Lowest and highest x, y and z, (2, 3) metres."""
        return np.stack([self.corners.min(0), self.corners.max(0)])

    def horizontal(self) -> tuple[float, float]:
        """The longer and the shorter horizontal side, metres; the box must stand upright."""
        lean = np.abs(self.axes[:, 2])
        up = int(lean.argmax())
        if lean[up] < UPRIGHT:
            raise NotClear(f"{self.label}: the box leans, so its sides are not clear")
        sides = np.delete(self.sizes, up)
        return float(sides.max()), float(sides.min())


def point_distances(points: np.ndarray, box: Box) -> np.ndarray:
    """Distance of points (n, 3) to a solid box, metres."""
    local = (points - box.center) @ box.axes.T
    return np.linalg.norm(np.maximum(np.abs(local) - box.sizes / 2, 0.0), axis=-1)


def edge_distance(edged: Box, solid: Box) -> float:
    """Smallest distance from any edge of one box to the other box: a convex search along each."""
    corners = edged.corners
    pairs = [(i, j) for i in range(8) for j in range(i + 1, 8) if (i ^ j) in (1, 2, 4)]
    start, end = (corners[[p[k] for p in pairs]] for k in (0, 1))
    low, high = np.zeros((12, 1)), np.ones((12, 1))
    for _ in range(80):
        third = (high - low) / 3
        left = point_distances(start + (low + third) * (end - start), solid)
        right = point_distances(start + (high - third) * (end - start), solid)
        nearer_left = (left <= right)[:, None]
        high = np.where(nearer_left, high - third, high)
        low = np.where(nearer_left, low, low + third)
    return float(point_distances(start + low * (end - start), solid).min())


def box_distance(first: Box, second: Box) -> float:
    """Distance between the closest points of two solid boxes, metres; 0 where they meet.

    The closest points of two convex solids always lie on an edge of one of them.

    Examples:
        >>> unit = dict(sizes=np.ones(3), axes=np.eye(3))
        >>> a = Box(label="a", center=np.zeros(3), **unit)
        >>> b = Box(label="b", center=np.array([3.0, 0.2, 0.1]), **unit)
        >>> round(box_distance(a, b), 6)
        2.0
    """
    return min(edge_distance(first, second), edge_distance(second, first))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """A room: its boxes, its stated counts and its floor area in square metres."""

    boxes: tuple[Box, ...]
    counts: dict[str, int]
    room: float

    def of(self, label: str) -> list[Box]:
        """The boxes of a label."""
        return [box for box in self.boxes if box.label == label]

    def others(self, anchor: Box, recipe: Recipe) -> list[Box]:
        """The boxes that a recipe asks of (all if it names none), without the anchor."""
        label = recipe.get("of")
        return [b for b in self.boxes if b is not anchor and label in (None, b.label)]

    def one(self, ref: Any) -> Box:
        """The one box that a label, `[nearest, label, anchor]` or `[biggest, label]` names."""
        if isinstance(ref, Box):
            return ref
        if isinstance(ref, str):
            found = self.of(ref)
            if len(found) != 1:
                raise NotClear(f"{ref!r} names {len(found)} objects")
            return found[0]
        how, label, *anchor = ref
        if how == "nearest":
            goal = self.one(*anchor)
            order = sorted(self.of(label), key=lambda box: box_distance(box, goal))
            clear(box_distance(order[0], goal), box_distance(order[1], goal), CLEAR_GAP)
            return order[0]
        order = sorted(self.of(label), key=MEASURES["volume"], reverse=True)
        for other in order[1:]:
            compare(self, {"of": [order[0], other], "by": ["volume", "longest"]})
        return order[0]


def clear(first: float, second: float, gap: float = 0.0) -> None:
    """Refuse two sizes or distances that a person could not tell apart."""
    if abs(first - second) < gap or max(first, second) < CLEAR_RATIO * min(first, second):
        raise NotClear(f"{first:.3g} and {second:.3g} are a near tie")


# Lengths in metres, areas in square metres; all but the longest side and the volume need a box
# that stands upright. Length and width are the longer and the shorter horizontal side.
MEASURES: dict[str, Callable[[Box], float]] = {
    "longest": lambda box: float(box.sizes.max()),
    "volume": lambda box: float(box.sizes.prod()),
    "height": lambda box: float(np.ptp(box.extent[:, 2])) * bool(box.horizontal()),
    "length": lambda box: box.horizontal()[0],
    "width": lambda box: box.horizontal()[1],
    "floor_area": lambda box: float(np.prod(box.horizontal())),
}


def bearing(scene: Scene, recipe: Recipe, target: Box | None = None) -> float:
    """Angle to the target for who stands `at` and faces `to`, degrees, left positive."""
    at, to = (scene.one(recipe[key]).center[:2] for key in ("at", "to"))
    gaze, aim = to - at, (target or scene.one(recipe["of"])).center[:2] - at
    if min(np.linalg.norm(gaze), np.linalg.norm(aim)) < 0.4:
        raise NotClear("too near to have a direction")
    angle = np.arctan2(gaze[0] * aim[1] - gaze[1] * aim[0], gaze @ aim)
    turned = np.degrees(angle) + recipe.get("turn", 0.0)
    return float((turned + 180.0) % 360.0 - 180.0)


def away_from(angle: float, borders: tuple[float, ...]) -> None:
    """Refuse an angle close to a border, degrees."""
    for border in borders:
        if abs((angle - border + 180.0) % 360.0 - 180.0) < CLEAR_ANGLE:
            raise NotClear(f"{angle:.0f} degrees is close to the border {border:.0f}")


def sides(angle: float, options: str) -> list[str]:
    """The names of a direction that are right among the options, degrees, left positive.

    Examples:
        >>> sides(100, "sides"), sides(-120, "quadrants"), sorted(sides(60, "any"))
        (['left'], ['back-right'], ['front-left', 'left'])
    """
    side = "left" if angle > 0 else "right"
    end = "front" if abs(angle) < 90 else "back"
    ways = {
        "sides": (side, (0, 180)),
        "ends": (end, (90, -90)),
        "sides_and_back": ("back" if abs(angle) >= 135 else side, (0, 135, -135)),
        "quadrants": (f"{end}-{side}", (0, 90, 180, -90)),
    }
    if options in ways:
        name, borders = ways[options]
        away_from(angle, borders)
        return [name]
    # Asked freely: every name whose own direction is within half a quadrant is fair.
    names = {"front": 0, "front-left": 45, "left": 90, "back-left": 135, "back": 180}
    names |= {"back-right": -135, "right": -90, "front-right": -45}
    off = {n: abs((angle - a + 180) % 360 - 180) for n, a in names.items()}
    return sorted(n for n in off if off[n] <= 45.0)


def around(scene: Scene, recipe: Recipe) -> list[str]:
    """Labels of what lies on one side of who stands `at` and faces `to`; all must be clear."""
    at, to, side = scene.one(recipe["at"]), scene.one(recipe["to"]), recipe["side"]
    found: set[str] = set()
    lost: set[str] = set()
    for box in scene.others(at, recipe):
        if box is to:
            continue
        angle = bearing(scene, recipe, target=box)
        # 45 and 135 split the four sides, 0 and 180 the two: a clear truth is the same for both.
        away_from(angle, (45, 135, -45, -135) if side in ("front", "back") else (0, 180))
        names = sides(angle, "any")
        (found if side in names else lost).add(box.label)
        if side not in names and side in "-".join(names):
            raise NotClear(f"{box.label} at {angle:.0f} degrees is only partly {side}")
    if found & lost:
        raise NotClear(f"{found & lost} lie on both sides")
    return sorted(found)


def within(scene: Scene, recipe: Recipe) -> list[Box]:
    """The boxes of `of` at most `limit` metres from the anchor; none may lie near the limit."""
    anchor, limit = scene.one(recipe["to"]), recipe.get("limit", NEXT_TO)
    found = []
    for box in scene.others(anchor, recipe):
        gap = box_distance(box, anchor)
        if abs(gap - limit) < max(0.1, 0.05 * limit):
            raise NotClear(f"{box.label} is {gap:.2f} m away, near the limit {limit} m")
        found += [box] if gap < limit else []
    return found


def vertical(box: Box, relation: str, anchor: Box) -> bool:
    """Whether a box is on, under or above another; refuses what is half so."""
    if relation == "under":
        return vertical(anchor, "above", box)
    (low, high), (floor, top) = box.extent, anchor.extent
    inner = np.minimum(high, top) - np.maximum(low, floor)
    # How much of the box's x-y extent lies over the anchor's.
    share = np.maximum(inner[:2], 0).prod() / (high - low)[:2].prod()
    gap, rise = low[2] - top[2], low[2] - floor[2]
    # Off to the side (the boxes may cut into each other), or both stand on the same floor.
    if share < 0.05 or (share < 0.4 and gap < -0.25) or (rise < 0.15 and gap < -0.3):
        return False
    if box.center[2] < anchor.center[2]:
        return False
    if relation == "above" and share > 0.5 and gap > -0.1:
        return True
    if relation == "on":
        if gap > 0.5:
            return False
        on_top = share > 0.6 and abs(gap) < 0.25 and rise > 0.3
        # A cushion lies wholly over a sofa and touches it, lower than the top of its back.
        on_seat = anchor.label in ("sofa", "bed", "chair") and share > 0.9 and rise > 0.2
        if on_top or (on_seat and box_distance(box, anchor) == 0):
            return True
    raise NotClear(f"{box.label} over {anchor.label}: share {share:.2f}, gap {gap:.2f} m")


def stacked(scene: Scene, recipe: Recipe) -> list[str]:
    """Labels of what is on, under or above the anchor."""
    anchor = scene.one(recipe["to"])
    others = scene.others(anchor, recipe)
    return sorted({b.label for b in others if vertical(b, recipe["relation"], anchor)})


def beside(scene: Scene, recipe: Recipe) -> list[str]:
    """Labels left, right, above or below in a photo; centres and whole boxes must agree."""
    axis, sign = IMAGE_SIDES[recipe["side"]]
    anchor = scene.one(recipe["to"])
    found: set[str] = set()
    for box in scene.others(anchor, recipe):
        offset = sign * (box.center - anchor.center)[axis]
        apart = offset - (box.sizes + anchor.sizes)[axis] / 2
        # Boxes may touch or cut into each other by two pixels.
        if abs(offset) < CLEAR_PIXELS or (offset > 0 and apart < -2):
            raise NotClear(f"{box.label}: not clearly {recipe['side']} or not")
        found |= {box.label} if offset > 0 else set()
    return sorted(found)


def count(scene: Scene, label: str) -> int:
    """How many objects a label has; refuses where the stated number is not that of the boxes."""
    total = scene.counts.get(label, 0)
    if total != len(scene.of(label)):
        raise NotClear(f"{label}: stated {total}, boxes {len(scene.of(label))}")
    return total


def compare(scene: Scene, recipe: Recipe) -> bool:
    """Whether the first of two objects measures more than the second, by every measure given."""
    verdicts = set()
    for by in recipe["by"]:
        first, second = (MEASURES[by](scene.one(ref)) for ref in recipe["of"])
        clear(first, second)
        verdicts.add(first > second)
    if len(verdicts) > 1:
        raise NotClear("the measures of size disagree")
    return verdicts.pop()


def is_left(scene: Scene, recipe: Recipe) -> bool:
    """Whether an object is left of another for a viewer; bearing and offset must both say so."""
    at, to, than = (scene.one(recipe[key]) for key in ("at", "to", "than"))
    gaze = (to.center - at.center)[:2] / np.linalg.norm((to.center - at.center)[:2])
    offset = (scene.one(recipe["of"]).center - than.center)[:2] @ np.array([-gaze[1], gaze[0]])
    turn = bearing(scene, recipe) - bearing(scene, recipe, target=than)
    if abs(offset) < 0.4 or abs(turn) < CLEAR_ANGLE or (offset > 0) != (0 < turn < 180):
        raise NotClear(f"offset {offset:.2f} m, bearing {turn:.0f} degrees")
    return bool(offset > 0)


def closest(scene: Scene, recipe: Recipe) -> str:
    """The label of the nearest (farthest, second nearest) object to the anchor."""
    anchor, options = scene.one(recipe["to"]), recipe.get("of")
    gaps: dict[str, float] = {}
    for box in scene.boxes:
        if box is not anchor and (options is None or box.label in options):
            gap = box_distance(box, anchor)
            gaps[box.label] = min(gap, gaps.get(box.label, gap))
    order = sorted(gaps, key=lambda name: gaps[name], reverse=recipe.get("how") == "farthest")
    rank = recipe.get("rank", 1)
    for first, second in itertools.pairwise(order[: rank + 1]):
        clear(gaps[first], gaps[second], CLEAR_GAP)
    return order[rank - 1]


def scene_value(scene: Scene, recipe: Recipe) -> Any:
    """The value of a recipe on a room: a number, a label, labels or a truth value."""
    op, of = recipe["op"].removeprefix("any_"), recipe.get("of", "")
    ways: dict[str, Callable[[], Any]] = {
        "distance": lambda: box_distance(*map(scene.one, of)),
        "centers": lambda: np.linalg.norm(np.subtract(*(scene.one(ref).center for ref in of))),
        "elevation": lambda: (
            scene.one(of).extent[0, 2] - min(box.extent[0, 2] for box in scene.boxes)
        ),
        "room": lambda: scene.room,
        "count": lambda: count(scene, of),
        "count_within": lambda: len(within(scene, recipe)),
        "exists": lambda: count(scene, of) > 0,
        "more_of": lambda: count(scene, of[0]) > count(scene, of[1]),
        "same_of": lambda: count(scene, of[0]) == count(scene, of[1]),
        "beside": lambda: beside(scene, recipe),
        "around": lambda: around(scene, recipe),
        "within": lambda: sorted({box.label for box in within(scene, recipe)}),
        "stacked": lambda: stacked(scene, recipe),
        "side": lambda: sides(bearing(scene, recipe), recipe["options"]),
        "is_side": lambda: recipe["side"] in sides(bearing(scene, recipe), recipe["options"]),
        "side_than": lambda: ["left" if is_left(scene, recipe) else "right"],
        "is_left": lambda: is_left(scene, recipe),
        "compare": lambda: compare(scene, recipe),
        "which": lambda: of[0] if compare(scene, recipe) else of[1],
        "which_less": lambda: of[1] if compare(scene, recipe) else of[0],
        "nearer": lambda: closest(scene, recipe) == of[0],
        "closest": lambda: closest(scene, recipe),
        "label": lambda: scene.one(of).label,
    }
    value = ways[op]() if op in ways else MEASURES[op](scene.one(of))
    return value if op == recipe["op"] else bool(value)


def expect_one(source: Scene, recipe: Recipe) -> dict[str, Any]:
    """What one recipe lets a wording be answered with."""
    status = {"status": recipe.get("status", ["answered"])}
    status |= {"frame": True} if recipe.get("frame") else {}
    if recipe["op"] == "status":
        return status
    value = scene_value(source, recipe)
    if recipe["op"] == "label":
        status |= {"center": [round(float(x), 3) for x in source.one(recipe["of"]).center]}
    if isinstance(value, bool):
        return status | {"bool": value != recipe.get("negate", False)}
    if isinstance(value, str):
        return status | {"label": value}
    if recipe["op"] in ("side", "side_than"):
        options = [status | {"side": name} for name in value]
        return options[0] if len(options) == 1 else {"any_of": options}
    if isinstance(value, list):
        return status | {"labels": sorted({*value, *recipe.get("also", [])})}
    unit = recipe.get("unit", "count")
    if unit == "count":
        return status | {"number": int(value), "tolerance": 0.0, "unit": unit}
    if value < 0.15:
        raise NotClear(f"{value:.2f} is too small for a relative tolerance")
    scaled = round(float(value) * UNITS[unit], 4)
    return status | {"number": scaled, "tolerance": TOLERANCE, "unit": unit}


def expect(source: Scene, truth: Recipe | list[Recipe]) -> dict[str, Any]:
    """What a wording may be answered with; a list of recipes are alternatives.

    Examples:
        >>> room = Scene(boxes=(), counts={}, room=10.0)
        >>> expect(room, {"op": "room", "unit": "ft2"})["number"]
        107.6391
        >>> expect(room, {"op": "exists", "of": "bed"})
        {'status': ['answered'], 'bool': False}
    """
    if isinstance(truth, dict):
        return expect_one(source, truth)
    found = [expect_one(source, recipe) for recipe in truth]
    return {"any_of": [one for item in found for one in item.get("any_of", [item])]}


def load_sources(data: Path = DATA) -> dict[str, Scene]:
    """Every room and photo of the data folder by its source name (`vsi:...`, `coco:...`)."""
    sources: dict[str, Scene] = {}
    for name, raw in json.loads((data / "vsi" / "scenes.json").read_text()).items():
        boxes = tuple(
            Box(label=label, center=item[0], sizes=item[1], axes=item[2].reshape(3, 3))
            for label, items in raw["object_bbox"].items()
            for item in ([np.array(raw_box[key]) for key in BOX_KEYS] for raw_box in items)
        )
        sources[f"vsi:{name}"] = Scene(
            boxes=boxes, counts=raw["object_counts"], room=raw["room_size"]
        )
    coco = json.loads((data / "coco" / "instances.json").read_text())
    names = {item["id"]: item["name"] for item in coco["categories"]}
    for image in coco["images"]:
        mine = [a for a in coco["annotations"] if a["image_id"] == image["id"]]
        boxes = tuple(
            Box(
                label=names[a["category_id"]],
                center=np.array([x + w / 2, 0.0, -y - h / 2]),
                sizes=np.array([w, 1.0, h]),
                axes=np.eye(3),
            )
            for a in mine
            for x, y, w, h in [a["bbox"]]
            if not a["iscrowd"]
        )
        # A heap counts but has no box, so that a count of its label is refused.
        counts = collections.Counter(names[a["category_id"]] for a in mine)
        sources[f"coco:{image['file_name']}"] = Scene(boxes=boxes, counts=counts, room=0.0)
    return sources


def check(rows: list[dict[str, Any]], sources: dict[str, Scene]) -> list[str]:
    """What is wrong with a corpus: near ties, answers that differ from the truth, doubles.

    Examples:
        >>> rooms = {"vsi:x": Scene(boxes=(), counts={}, room=10.0)}
        >>> row = {"id": "a", "source": "vsi:x", "question": "how big is this room?"}
        >>> row |= {"truth": {"op": "room", "unit": "m2"}}
        >>> check([row | {"expect": expect(rooms["vsi:x"], row["truth"])}], rooms)
        []
        >>> wrong = {"status": ["answered"], "number": 11.0, "tolerance": 0.03, "unit": "m2"}
        >>> check([row | {"expect": wrong}], rooms)
        ['a: expect differs from the truth']
        >>> row["truth"] = {"op": "count", "of": "bed"}
        >>> rooms["vsi:x"].counts["bed"] = 2
        >>> check([row | {"expect": wrong}], rooms)
        ['a: bed: stated 2, boxes 0']
    """
    seen = collections.Counter(row["id"] for row in rows)
    faults = [f"{name}: stands {n} times" for name, n in seen.items() if n > 1]
    for row in rows:
        try:
            found = expect(sources[row["source"]], row["truth"])
        except NotClear as error:
            faults.append(f"{row['id']}: {error}")
            continue
        if found != row.get("expect"):
            faults.append(f"{row['id']}: expect differs from the truth")
    return faults


def main(arguments: list[str]) -> int:
    """Check the corpus, or write `expect` anew; 1 if anything is wrong."""
    rows = [json.loads(line) for line in CORPUS.read_text().splitlines()]
    sources = load_sources()
    if "--write" in arguments:
        rows = [row | {"expect": expect(sources[row["source"]], row["truth"])} for row in rows]
        CORPUS.write_text("".join(json.dumps(row) + "\n" for row in rows))
    faults = check(rows, sources)
    families = collections.Counter(row["family"] for row in rows)
    lines = faults + [f"{n:4d} {family}" for family, n in families.items()]
    sys.stdout.write("\n".join([*lines, f"{len(rows):4d} in all"]) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
