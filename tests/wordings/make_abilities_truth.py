"""Compute what each wording of `abilities.jsonl` should be answered with, by brute force.

Independent of groundplane, as `make_truth.py` is, whose boxes and distances it uses: only numpy
and the data's own numbers. Sight is told by rays to random points, free width by a raster.

    python tests/wordings/make_abilities_truth.py            check; exit 1 if anything differs
    python tests/wordings/make_abilities_truth.py --write    compute every `expect` anew
"""

from __future__ import annotations

import collections
import functools
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import make_truth as plain  # noqa: E402 - a script beside this one
from make_truth import Box, NotClear, Recipe, Scene, box_distance  # noqa: E402

__all__ = ["check", "expect", "load_rooms"]

CORPUS = HERE / "abilities.jsonl"
APARTMENT = HERE.parents[1] / "examples" / "apartment.json"
EYE = 1.6
# Sight is clear from this share of what is turned to the eye on.
IN_SIGHT, WHOLE = 0.1, 0.97
STEP = 0.02
PASSAGES = ("door",)
UNITS = plain.UNITS | {"yd": 1 / 0.9144, "l": 1000.0, "ft3": 1 / 0.3048**3, "times": 1.0}


@functools.cache
def apartment() -> dict[str, Any]:
    """The map of the examples."""
    document: dict[str, Any] = json.loads(APARTMENT.read_text(encoding="utf-8"))
    return document


def own_room() -> Scene:
    """The apartment as boxes."""
    boxes = []
    for item in apartment()["objects"]:
        yaw = np.radians(item.get("yaw", 0.0))
        axes = np.array(
            [[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1.0]]
        )
        boxes.append(
            Box(label=item["label"], center=np.array(item["center"], float),
                sizes=np.array(item["size"], float), axes=axes)
        )  # fmt: skip
    counts = collections.Counter(box.label for box in boxes)
    return Scene(boxes=tuple(boxes), counts=dict(counts), room=0.0)


def load_rooms() -> dict[str, Scene]:
    """Every room of the data folder, and the apartment."""
    return {**plain.load_sources(), "own:apartment": own_room()}


def item_of(box: Box) -> dict[str, Any]:
    """What the apartment's file says of a box."""
    return next(item for item in apartment()["objects"] if np.allclose(item["center"], box.center))


def one(scene: Scene, ref: Any) -> Box:
    """A label's one box, or `[id, chair-3]`."""
    if isinstance(ref, list) and ref[0] == "id":
        return next(box for box in scene.boxes if item_of(box).get("id") == ref[1])
    return scene.one(ref)


def group(scene: Scene, recipe: Recipe, *, but: Box | None = None) -> list[Box]:
    """The boxes of a label, or all."""
    label = recipe.get("among")
    return [b for b in scene.boxes if b is not but and label in (None, b.label)]


def measure(box: Box, by: str) -> float:
    """A measure, as `make_truth` has them, or how high the top is."""
    if by == "top":
        return float(box.extent[1, 2])
    return plain.MEASURES[by](box)


# -- order ---------------------------------------------------------------------------------------


def ranked(values: list[float], rank: int) -> None:
    """Refuse where what stands at a rank is a near tie with its neighbours."""
    for first, second in itertools.pairwise(values[: rank + 1]):
        plain.clear(first, second)


def is_most(scene: Scene, recipe: Recipe) -> bool:
    """Whether an object measures most (least) of all."""
    of = one(scene, recipe["of"])
    by, least = recipe["by"], recipe.get("how") == "least"
    # The leaning ones are taken by their extent: it is enough to know who is out of reach.
    size = (lambda b: float(np.ptp(b.extent[:, 2]))) if by == "height" else plain.MEASURES[by]
    order = sorted(group(scene, recipe), key=size, reverse=not least)
    if order[0] is of:
        plain.clear(size(of), size(order[1]))
        return True
    plain.clear(size(of), size(order[0]))
    return False


def is_nearest(scene: Scene, recipe: Recipe) -> bool:
    """Whether an object is the nearest (farthest, second nearest) to another."""
    of, to, rank = one(scene, recipe["of"]), one(scene, recipe["to"]), recipe.get("rank", 1)
    far = recipe.get("how") == "farthest"
    order = sorted(group(scene, recipe, but=to), key=lambda box: box_distance(box, to), reverse=far)
    gaps = [box_distance(box, to) for box in order]
    if order[rank - 1] is of:
        if rank < len(gaps) and gaps[rank - 1] == gaps[rank]:
            raise NotClear("as near as another")
        ranked(gaps, rank)
        return True
    if abs(gaps[order.index(of)] - gaps[rank - 1]) < plain.CLEAR_GAP:
        raise NotClear("nearly the nearest")
    return False


def pair(scene: Scene, recipe: Recipe) -> tuple[Box, Box, float]:
    """The two that are closest to each other, or farthest apart."""
    pairs = itertools.combinations(group(scene, recipe), 2)
    gaps = sorted(((box_distance(a, b), i, a, b) for i, (a, b) in enumerate(pairs)))
    if recipe.get("how") == "farthest":
        gaps.reverse()
    if len(gaps) > 1 and abs(gaps[0][0] - gaps[1][0]) < 0.03:
        raise NotClear(f"{gaps[0][0]:.3f} and {gaps[1][0]:.3f} m are a near tie")
    return gaps[0][2], gaps[0][3], gaps[0][0]


# -- sight ---------------------------------------------------------------------------------------


def cuts(start: np.ndarray, ends: np.ndarray, box: Box) -> np.ndarray:
    """Whether the lines from a point to points run through a box."""
    from_, way = (start - box.center) @ box.axes.T, (ends - start) @ box.axes.T
    way = np.where(np.abs(way) < 1e-12, 1e-12, way)
    half = np.maximum(box.sizes / 2 - 1e-4, box.sizes / 4)
    low, high = (-half - from_) / way, (half - from_) / way
    enter, leave = np.minimum(low, high).max(-1), np.maximum(low, high).min(-1)
    return (enter <= leave) & (leave > 1e-4) & (enter < 1 - 1e-4)


def surface(box: Box, eye: np.ndarray, many: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Random points on the faces turned to an eye, and how much of the view each stands for."""
    random = np.random.default_rng(0)
    points, weights = [], []
    local = (eye - box.center) @ box.axes.T
    for axis in range(3):
        side = np.sign(local[axis])
        if abs(local[axis]) <= box.sizes[axis] / 2:
            continue
        at = random.uniform(-0.5, 0.5, (many, 3)) * box.sizes
        at[:, axis] = side * box.sizes[axis] / 2
        away = local - at
        area = np.delete(box.sizes, axis).prod() / many
        weights.append(area * np.abs(away[:, axis]) / np.linalg.norm(away, axis=1) ** 3)
        points.append(at @ box.axes + box.center)
    return np.concatenate(points), np.concatenate(weights)


def share(scene: Scene, at: Box, of: Box) -> tuple[float, dict[str, float]]:
    """The share of a target in sight of who stands at a box, and what hides how much of it."""
    floor = 0.0 if scene.room == 0 else min(box.extent[0, 2] for box in scene.boxes)
    eye = np.array([*at.center[:2], floor + EYE])
    points, weights = surface(of, eye)
    open_, hidden = np.ones(len(points), bool), {}
    for box in scene.boxes:
        holds = np.all(np.abs((eye - box.center) @ box.axes.T) <= box.sizes / 2)
        if box is at or box is of or holds:
            continue
        cut = cuts(eye, points, box)
        open_ &= ~cut
        if cut.any():
            part = float(weights[cut].sum() / weights.sum())
            hidden[box.label] = max(part, hidden.get(box.label, 0.0))
    return float(weights[open_].sum() / weights.sum()), hidden


def sees(scene: Scene, recipe: Recipe, of: Box | None = None) -> bool:
    """Whether a target is in sight; refuses what only peeps out."""
    seen, _ = share(scene, one(scene, recipe["at"]), of or one(scene, recipe["of"]))
    if recipe.get("clear") and IN_SIGHT < seen < WHOLE:
        raise NotClear(f"{seen:.3f} of it are in sight")
    if 0 < seen < IN_SIGHT:
        raise NotClear(f"{seen:.3f} of it are in sight")
    return seen >= IN_SIGHT


def hides(scene: Scene, recipe: Recipe) -> str:
    """What hides most of a target."""
    _, hidden = share(scene, one(scene, recipe["at"]), one(scene, recipe["of"]))
    order = sorted(hidden, key=hidden.__getitem__, reverse=True)
    if not order or (len(order) > 1 and hidden[order[0]] < 1.3 * hidden[order[1]]):
        raise NotClear(f"what hides it is not clear: {hidden}")
    return order[0]


def seen(scene: Scene, recipe: Recipe) -> list[Box]:
    """What is in sight."""
    at = one(scene, recipe["at"])
    return [box for box in group(scene, recipe, but=at) if sees(scene, recipe, of=box)]


# -- fronts and sides ----------------------------------------------------------------------------


def faces(of: Box, to: Box) -> bool:
    """Whether a front points at an object; refuses 30 to 60 degrees off."""
    front = np.array(item_of(of)["front"][:2], float)
    way = (to.center - of.center)[:2]
    off = np.degrees(np.arccos(front @ way / np.linalg.norm(front) / np.linalg.norm(way)))
    if 30 < off < 60:
        raise NotClear(f"{off:.0f} degrees off")
    return bool(off <= 30)


def turned(first: Box, second: Box) -> float:
    """The angle between the long sides, degrees in [0, 90]."""
    long = [box.axes[int(np.argmax(box.sizes[:2]))][:2] for box in (first, second)]
    return float(np.degrees(np.arccos(min(1.0, abs(long[0] @ long[1])))))


# -- free width ----------------------------------------------------------------------------------


@functools.cache
def clearance() -> tuple[np.ndarray, np.ndarray]:
    """Cells of the apartment's floor (n, m, 2), and how far each is from what stands about."""
    outline = np.array(apartment()["room"]["polygon"], float)
    x, y = (np.arange(STEP / 2, outline[:, k].max(), STEP) for k in (0, 1))
    cells = np.stack(np.meshgrid(x, y, indexing="ij"), -1)
    free = np.full(cells.shape[:2], np.inf)
    for start, end in zip(outline, np.roll(outline, -1, 0), strict=True):
        way = end - start
        t = np.clip((cells - start) @ way / (way @ way), 0, 1)
        free = np.minimum(free, np.linalg.norm(cells - start - t[..., None] * way, axis=-1))
    inside = np.zeros(cells.shape[:2], bool)
    for (ax, ay), (bx, by) in zip(outline, np.roll(outline, -1, 0), strict=True):
        if ay != by:
            crosses = (ay > cells[..., 1]) != (by > cells[..., 1])
            inside ^= crosses & (cells[..., 0] < ax + (cells[..., 1] - ay) * (bx - ax) / (by - ay))
    free[~inside] = -1
    for box in own_room().boxes:
        low, high = box.extent[:, 2]
        # Rugs are walked over, pictures and doors not walked round.
        if high > 0.05 and low < 2.0 and box.label not in PASSAGES:
            free = np.minimum(free, floor_gap(cells, box))
    return cells, free


def floor_gap(cells: np.ndarray, box: Box) -> np.ndarray:
    """Distance of cells to the outline of a box on the floor, metres."""
    local = (cells - box.center[:2]) @ box.axes[:2, :2].T
    gap: np.ndarray = np.linalg.norm(np.maximum(np.abs(local) - box.sizes[:2] / 2, 0), axis=-1)
    return gap


def narrowest(scene: Scene, recipe: Recipe) -> float:
    """The widest that gets from within reach of one object to within reach of another, metres."""
    cells, free = clearance()
    gaps = [floor_gap(cells, one(scene, ref)) for ref in recipe["of"]]
    low, high = 0.0, float(free.max())
    while high - low > 0.004:
        middle = (low + high) / 2
        # Who is wide is at a thing as soon as their rim is.
        ends = [gap <= max(0.75, middle) + 0.05 for gap in gaps]
        if connected(free >= middle, *ends):
            low = middle
        else:
            high = middle
    return 2 * low


def connected(open_: np.ndarray, start: np.ndarray, goal: np.ndarray) -> bool:
    """Whether some open cell of the start is joined to one of the goal."""
    reached = open_ & start
    while True:
        grown = reached.copy()
        for axis, shift in itertools.product((0, 1), (1, -1)):
            moved = np.roll(reached, shift, axis)
            edge = [slice(None)] * 2
            edge[axis] = 0 if shift == 1 else -1  # type: ignore[call-overload]
            moved[tuple(edge)] = False
            grown |= moved
        grown &= open_
        if (grown & goal).any():
            return True
        if grown.sum() == reached.sum():
            return False
        reached = grown


# -- values --------------------------------------------------------------------------------------


def more(value: float, limit: float) -> bool:
    """Whether a value is over a limit; refuses what lies near it."""
    if abs(value - limit) < 0.05 * max(abs(limit), 0.2):
        raise NotClear(f"{value:.3f} is near the limit {limit}")
    return value > limit


def difference(scene: Scene, recipe: Recipe) -> float:
    """How much more the first measures than the second."""
    first, second = (measure(one(scene, ref), recipe["by"]) for ref in recipe["of"])
    return abs(first - second) if recipe.get("absolute") else first - second


def gaps_of(scene: Scene, recipe: Recipe) -> tuple[float, float]:
    """The distances of the second and the third from the first."""
    anchor, b, c = (one(scene, ref) for ref in recipe["of"])
    return box_distance(anchor, b), box_distance(anchor, c)


def around(scene: Scene, recipe: Recipe) -> list[Box]:
    """What is within so many metres; none may be near the limit."""
    to = one(scene, recipe["to"])
    return [
        box for box in group(scene, recipe, but=to)
        if not more(box_distance(box, to), recipe["limit"])
    ]  # fmt: skip


def value_of(scene: Scene, recipe: Recipe) -> Any:
    """The value of a recipe."""

    def of() -> list[Box]:
        return [one(scene, ref) for ref in recipe["of"]]

    ways: dict[str, Callable[[], Any]] = {
        "is_most": lambda: is_most(scene, recipe),
        "is_nearest": lambda: is_nearest(scene, recipe),
        "difference": lambda: difference(scene, recipe),
        "difference_over": lambda: more(difference(scene, recipe), recipe["limit"]),
        "distance_difference": lambda: float(np.subtract(*gaps_of(scene, recipe))),
        "ratio": lambda: float(np.divide(*(measure(box, recipe["by"]) for box in of()))),
        "ratio_over": lambda: more(
            float(np.divide(*(measure(box, recipe["by"]) for box in of()))), recipe["limit"]
        ),
        "distance_ratio": lambda: float(np.divide(*gaps_of(scene, recipe))),
        "sees": lambda: sees(scene, recipe),
        "hides": lambda: hides(scene, recipe),
        "seen": lambda: seen(scene, recipe),
        "seen_count": lambda: len(seen(scene, recipe)),
        "pair": lambda: list(pair(scene, recipe)[:2]),
        "pair_distance": lambda: pair(scene, recipe)[2],
        "above": lambda: sorted(
            {b.label for b in scene.boxes if b is not one(scene, recipe["to"])
             and plain.vertical(b, "above", one(scene, recipe["to"]))}
        ),
        "faces": lambda: [
            b for b in group(scene, recipe) if faces(b, one(scene, recipe["to"]))
        ],
        "is_facing": lambda: faces(one(scene, recipe["of"]), one(scene, recipe["to"])),
        "parallel": lambda: turned(*of()) < 10,
        "perpendicular": lambda: turned(*of()) > 80,
        "narrowest": lambda: narrowest(scene, recipe),
        "fits": lambda: more(narrowest(scene, recipe), recipe["width"]),
        "within": lambda: sorted({box.label for box in around(scene, recipe)}),
        "count_within": lambda: len(around(scene, recipe)),
        "count_beyond": lambda: len(group(scene, recipe)) - len(around(scene, recipe)),
        "all_within": lambda: len(group(scene, recipe)) == len(around(scene, recipe)),
        "beyond": lambda: more(box_distance(*of()), recipe["limit"]),
        "distance": lambda: box_distance(*of()),
        "measure": lambda: measure(one(scene, recipe["of"]), recipe["by"]),
        "measure_over": lambda: more(
            measure(one(scene, recipe["of"]), recipe["by"]), recipe["limit"]
        ),
        "taller": lambda: sorted(
            {b.label for b in scene.boxes if more(float(np.ptp(b.extent[:, 2])), recipe["limit"])}
        ),
        "stated": lambda: recipe["value"],
        "objects": of,
    }  # fmt: skip
    return ways[recipe["op"]]()


def expect_one(scene: Scene, recipe: Recipe) -> dict[str, Any]:
    """What one recipe lets a wording be answered with."""
    status: dict[str, Any] = {"status": recipe.get("status", ["answered"])}
    if recipe["op"] == "status":
        return status
    if recipe["op"] == "suggest":
        return {"status": recipe["status"], "words": recipe["words"]}
    value = value_of(scene, recipe)
    if isinstance(value, bool):
        return status | {"bool": value != recipe.get("negate", False)}
    if isinstance(value, str):
        return status | {"label": value}
    if isinstance(value, list) and value and isinstance(value[0], Box):
        labels = sorted({box.label for box in value})
        centers = [[round(float(x), 3) for x in box.center] for box in value]
        return status | {"labels": labels, "centers": centers}
    if isinstance(value, list):
        return status | {"labels": value}
    if isinstance(value, int):
        return status | {"number": value, "tolerance": 0.0, "unit": "count"}
    unit = recipe.get("unit", "times")
    tolerance = recipe.get("tolerance", plain.TOLERANCE)
    scaled = round(float(value) * UNITS.get(unit, 1.0), 4)
    return status | {"number": scaled, "tolerance": tolerance, "unit": unit}


def expect(scene: Scene, truth: Recipe | list[Recipe]) -> dict[str, Any]:
    """What a wording may be answered with; a list of recipes are alternatives."""
    if isinstance(truth, dict):
        return expect_one(scene, truth)
    return {"any_of": [expect_one(scene, recipe) for recipe in truth]}


def check(rows: list[dict[str, Any]], rooms: dict[str, Scene]) -> list[str]:
    """What is wrong with the corpus: near ties, answers that differ from the truth, doubles."""
    seen_ids = collections.Counter(row["id"] for row in rows)
    faults = [f"{name}: stands {n} times" for name, n in seen_ids.items() if n > 1]
    for row in rows:
        try:
            found = expect(rooms[row["source"]], row["truth"])
        except NotClear as error:
            faults.append(f"{row['id']}: {error}")
            continue
        if found != row.get("expect"):
            faults.append(f"{row['id']}: expect differs from the truth")
    return faults


def main(arguments: list[str]) -> int:
    """Check the corpus, or write `expect` anew; 1 if anything is wrong."""
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    rooms = load_rooms()
    if "--write" in arguments:
        rows = [row | {"expect": expect(rooms[row["source"]], row["truth"])} for row in rows]
        CORPUS.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    faults = check(rows, rooms)
    families = collections.Counter(row["family"] for row in rows)
    lines = faults + [f"{n:4d} {family}" for family, n in families.items()]
    sys.stdout.write("\n".join([*lines, f"{len(rows):4d} in all"]) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
