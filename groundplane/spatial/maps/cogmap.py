"""Grid maps as language models write them: VSI-Bench's dictionary of categories and cells.

The benchmark asks for `{"category name": [(x_1, y_1), ...], ...}` on a 10 x 10 grid, with tuples,
so what it asks for is not JSON. Which corner is the origin is not said, and a model may turn or
mirror the scene: compare two such maps by distances only (`grid_score`), or after `alignment`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from groundplane.core.errors import InputError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.maps.loose_text import Entries, Problem, Problems, inside_tag, scan
from groundplane.spatial.maps.views import Grid, tuple_text
from groundplane.spatial.scenes.fields import make_ids

__all__ = ["GridMap", "GridReading", "cells_of", "label_of", "point_map", "read_grid"]

Cell = tuple[float, float]
# Keys that hold the whole map, not one category; beside them stands only what is about the map.
_WRAPPERS = ("objects", "cognitive_map", "cognitive map", "cogmap", "map", "grid", "layout")
_NAMES = ("name", "category", "label", "object", "class", "id")
_PLACES = (
    "position", "positions", "center", "centre", "centers", "location", "locations",
    "coordinates", "coordinate", "coords", "cell", "cells", "point", "points", "xy",
)  # fmt: skip
# Keys that tell of the grid where they hold two bare numbers, and are no category.
_ABOUT = (
    "grid_size", "grid size", "size", "map_size", "map size", "dimensions", "dimension", "shape",
    "resolution", "origin", "bounds", "room_size", "room size",
)  # fmt: skip
_NUMBER = re.compile(r"[+-]?\d{1,9}(?:\.\d{0,9})?")
_NUMBERED = re.compile(r"[ _#-]{0,3}\d{1,4}")
# No category is longer; what is, is a sentence in the wrong place.
_LONGEST = 100
# Far beyond any grid, and small enough that squares stay finite.
_FARTHEST = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class GridMap:
    """Categories on a square grid without a measure.

    Attributes:
        cells: Cells along each side.
        objects: Category to the places of its instances in cells. A `Grid` has whole numbers
            from 0 to cells - 1; what a model wrote may be fractions, or lie outside.

    Raises:
        InputError: If `cells` is not positive, or a place is not finite.
    """

    cells: int = 10
    objects: Mapping[str, tuple[Cell, ...]]

    def __post_init__(self) -> None:
        if self.cells < 1:
            raise InputError(f"grid: expected at least 1 cell a side, got {self.cells}")
        for label, places in self.objects.items():
            if not all(abs(part) <= _FARTHEST for place in places for part in place):
                raise InputError(f"grid: {label!r}: expected places within {_FARTHEST:g}")

    @classmethod
    def of(cls, grid: Grid) -> GridMap:
        """A map's own grid, without its transform."""
        return cls(cells=grid.cells, objects={key: tuple(at) for key, at in grid.objects.items()})

    def to_text(self) -> str:
        """The published dictionary of tuples; it is not JSON.

        Examples:
            >>> GridMap(objects={"chair": ((1, 2), (3, 4))}).to_text()
            '{"chair": [(1, 2), (3, 4)]}'
        """
        return tuple_text(self.objects)

    def to_json(self) -> str:
        """The same dictionary as JSON, with lists for tuples.

        Examples:
            >>> GridMap(objects={"chair": ((1, 2),)}).to_json()
            '{"chair": [[1, 2]]}'
        """
        lists = {label: [list(place) for place in at] for label, at in self.objects.items()}
        return json.dumps(lists, ensure_ascii=False, allow_nan=False)

    def to_map(self, *, side: float | None = None, name: str = "") -> CognitiveMap:
        """A cognitive map with a point at the middle of each cell, to ask questions of.

        Args:
            side: Length of the grid's side in metres; without it the map's scale is relative and
                its unit is one cell.
            name: Name of the scene.

        Raises:
            InputError: If `side` is not positive.

        Examples:
            >>> GridMap(objects={"chair": ((1, 2),)}).to_map(side=5.0).objects.centers.tolist()
            [[0.75, 1.25, 0.0]]
        """
        if side is not None and not 0 < side <= _FARTHEST:
            raise InputError(f"grid: expected a side above 0 metres, got {side}")
        step = 1.0 if side is None else side / self.cells
        rows = [(label, place) for label, at in self.objects.items() for place in at]
        centers = np.array([place for _, place in rows], dtype=np.float64).reshape(-1, 2)
        return point_map(
            name=name,
            labels=[label for label, _ in rows],
            centers=(centers + 0.5) * step,
            step=step,
            scale="relative" if side is None else "metric",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GridReading:
    """What was read, and what had to be repaired or was lost.

    Attributes:
        grid: The map; without objects where there was none in the text.
        problems: In the order of the text; empty for a text in the published form.
    """

    grid: GridMap
    problems: tuple[Problem, ...]


def read_grid(text: str, *, cells: int = 10) -> GridReading:
    """Read a grid map from a model's answer.

    The text is never refused save for its length: what can be read is read, and each repair and
    loss is listed. Of several maps in the text the one with the most places counts, of two alike
    the last. Values that are all at least 1 and reach `cells` are taken to count from 1.

    Args:
        text: The model's answer, prose and all.
        cells: Cells along each side of the grid that was asked for.

    Raises:
        InputError: If the text is too long, or `cells` is not positive.

    Examples:
        >>> reading = read_grid("Sure! {'chair': (1, 2), 'table': [(3, 4), (5, 6)")
        >>> reading.grid.to_text()
        '{"chair": [(1, 2)], "table": [(3, 4), (5, 6)]}'
        >>> sorted({problem.kind for problem in reading.problems})
        ['prose', 'quotes', 'single', 'truncated']
        >>> read_grid("I cannot tell.").grid.objects
        {}
    """
    found = scan(inside_tag(text, "cogmap"))
    problems = found.problems
    best: list[tuple[str, Cell]] = []
    chosen: Problems | None = None
    # Records that stand side by side without a list round them are one map.
    records = [root for root in found.roots if _name(root) is not None]
    maps = [[root] for root in found.roots if _name(root) is None]
    several = 0
    for group in [*maps, *([records] if records else [])]:
        own = Problems()
        rows = [row for root in group for row in _rows(root, own)]
        several += bool(rows)
        if chosen is None or len(rows) >= max(len(best), 1):
            best, chosen = rows, own
    for problem in chosen.found if chosen else ():
        problems.note(problem.kind, problem.at, problem.detail, lost=problem.lost)
    if several > 1:
        problems.note("several", 0, f"{several} maps; the one with the most places was taken")
    if not best:
        problems.note("none", 0, "there is no map in the text", lost=True)
    grid = GridMap(cells=cells, objects=_group(_from_zero(best, cells, problems)))
    return GridReading(grid=grid, problems=problems.told())


def cells_of(value: object, problems: Problems, *, at: int = 0) -> list[Cell]:
    """The places in a value: a pair, a list of pairs, nested lists, or a record with a position."""
    if isinstance(value, Entries):
        return _placed(value, problems)
    if isinstance(value, str):
        return _worded(value, problems, at)
    if not isinstance(value, list):
        return []
    quoted = [_NUMBER.fullmatch(item) for item in value if isinstance(item, str)]
    if value and len(quoted) == len(value) and all(quoted):
        return _worded(", ".join(map(str, value)), problems, at)
    numbers = [item for item in value if isinstance(item, int | float)]
    if numbers:
        return _paired(numbers, problems, at)
    if any(isinstance(item, list) and item and isinstance(item[0], list) for item in value):
        problems.note("nested", at, "lists within lists were flattened")
    return [cell for item in value for cell in cells_of(item, problems, at=at)]


def label_of(words: str) -> str:
    """A category as written: printable, single spaces; empty where it is none.

    Examples:
        >>> label_of(" coffee\\ttable"), label_of("x" * 101)
        ('coffee table', '')
    """
    label = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return label if len(label) <= _LONGEST else ""


def point_map(
    *,
    name: str,
    labels: Sequence[str],
    centers: np.ndarray,
    step: float,
    scale: Literal["metric", "relative"],
) -> CognitiveMap:
    """A map of things whose places are known and whose sizes are not: a hundredth of a cell."""
    n = len(labels)
    flat = torch.from_numpy(np.asarray(centers, dtype=np.float64).reshape(n, 2))
    none = torch.full((n, 3), math.nan, dtype=torch.float64)
    return CognitiveMap(
        name=name,
        ids=make_ids(labels, {}),
        objects=Boxes3D(
            centers=torch.cat([flat, flat.new_zeros(n, 1)], dim=1),
            sizes=flat.new_full((n, 3), step / 100),
            axes=torch.eye(3, dtype=torch.float64).repeat(n, 1, 1),
        ),
        labels=tuple(labels),
        scores=flat.new_ones(n),
        attributes=({},) * n,
        fronts=none,
        first_seen=none[:, 0],
        scale=scale,
    )


def _rows(root: Entries, problems: Problems) -> list[tuple[str, Cell]]:
    """Category and place of everything in a dictionary."""
    fields = root.fields()
    wrapper = next((key for key in _WRAPPERS if _is_map(fields.get(key))), None)
    if wrapper is not None:
        return _listed(fields[wrapper], problems, root.at)
    name = _name(root)
    if name:
        return [(name, cell) for cell in _placed(root, problems)]
    rows: list[tuple[str, Cell]] = []
    seen: set[str] = set()
    for key, value in root.pairs:
        label = label_of(key)
        if label.lower() in _ABOUT and isinstance(value, list) and _is_bare(value):
            problems.note("dropped", root.at, f"{label!r} tells of the grid, not of a thing on it")
            continue
        cells = cells_of(value, problems, at=root.at)
        if label in seen:
            problems.note("duplicate", root.at, f"{label[:40]!r} is there twice; both were kept")
        seen.add(label)
        if cells and label:
            if isinstance(value, list) and value and not isinstance(value[0], list | Entries):
                problems.note("single", root.at, f"{label[:40]!r} has a pair, not a list of pairs")
            rows += [(label, cell) for cell in cells]
        elif isinstance(value, Entries):
            rows += _within(label, _rows(value, problems))
        elif value != []:  # an empty list says that there is none
            told = f"{label[:40]!r} has no place" if label else "places without a category"
            problems.note("dropped", root.at, told, lost=True)
    return rows


def _within(label: str, rows: list[tuple[str, Cell]]) -> list[tuple[str, Cell]]:
    """What stands in a dictionary under a label: its instances, where they have but numbers."""
    numbered = all(_NUMBERED.fullmatch(name.removeprefix(label)) for name, _ in rows)
    return [(label, cell) for _, cell in rows] if numbered and label else rows


def _listed(value: object, problems: Problems, at: int) -> list[tuple[str, Cell]]:
    """What stands in a wrapper: a dictionary, or a list of records."""
    if isinstance(value, Entries):
        return _rows(value, problems)
    rows: list[tuple[str, Cell]] = []
    for item in value if isinstance(value, list) else ():
        if isinstance(item, Entries):
            rows += _rows(item, problems)
        else:
            problems.note("dropped", at, "something in the list of objects is none", lost=True)
    return rows


def _is_map(value: object) -> bool:
    return isinstance(value, Entries) or (
        isinstance(value, list) and any(isinstance(item, Entries) for item in value)
    )


def _name(record: Entries) -> str | None:
    """The category of a record `{"name": "chair", "position": [1, 2]}`."""
    fields = record.fields()
    if not _is_placed(fields):
        return None
    names = (fields[key] for key in _NAMES if key in fields)
    return next((label_of(name) for name in names if isinstance(name, str) and name), None)


def _is_bare(value: list[object]) -> bool:
    return all(isinstance(item, int | float) for item in value)


def _is_placed(fields: Mapping[str, object]) -> bool:
    return any(key in fields for key in _PLACES) or {"x", "y"} <= fields.keys()


def _placed(record: Entries, problems: Problems) -> list[Cell]:
    """The places of a record, by its position or its x and y."""
    fields = record.fields()
    x, y = fields.get("x"), fields.get("y")
    if isinstance(x, int | float) and isinstance(y, int | float):
        return _paired([x, y], problems, record.at)
    places = (fields[key] for key in _PLACES if key in fields)
    return [cell for value in places for cell in cells_of(value, problems, at=record.at)]


def _worded(value: str, problems: Problems, at: int) -> list[Cell]:
    """The places in a text such as "(1, 2)"."""
    numbers = [float(part) for part in _NUMBER.findall(value[:200])]
    if not numbers or any(char.isalpha() for char in value):
        return []
    problems.note("quotes", at, "places within quotes")
    return _paired([int(x) if x.is_integer() else x for x in numbers], problems, at)


def _paired(numbers: Sequence[float], problems: Problems, at: int) -> list[Cell]:
    """Pairs of numbers; a third number of one place is its height."""
    if any(abs(number) > _FARTHEST for number in numbers):
        problems.note("number", at, f"a place beyond {_FARTHEST:g} cells", lost=True)
        return []
    if len(numbers) == 3:
        problems.note("height", at, "the third number of a place was left out", lost=True)
        numbers = numbers[:2]
    if len(numbers) % 2:
        problems.note("dropped", at, f"{len(numbers)} numbers are no pair", lost=True)
        return []
    if len(numbers) > 2:
        problems.note("nested", at, "a row of numbers was taken two by two")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _from_zero(
    rows: list[tuple[str, Cell]], cells: int, problems: Problems
) -> list[tuple[str, Cell]]:
    """Count from 0, and say what is odd about the numbers."""
    parts = [part for _, cell in rows for part in cell]
    if any(part != int(part) for part in parts):
        problems.note("fraction", 0, "places with fractions were kept")
    if parts and min(parts) >= 1 and max(parts) == cells:
        problems.note("one_based", 0, f"places from 1 to {cells} were taken to count from 1")
        return [(label, (x - 1, y - 1)) for label, (x, y) in rows]
    if parts and not (min(parts) >= 0 and max(parts) < cells):
        problems.note("outside", 0, f"places outside 0 to {cells - 1} were kept")
    return rows


def _group(rows: Iterable[tuple[str, Cell]]) -> dict[str, tuple[Cell, ...]]:
    objects: dict[str, list[Cell]] = {}
    for label, cell in rows:
        objects.setdefault(label, []).append(cell)
    return {label: tuple(places) for label, places in objects.items()}
