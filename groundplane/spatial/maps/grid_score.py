"""The map accuracy of VSI-Bench: are categories as far apart on a written map as they are?

For each pair of categories the shortest distance between their instances on the grid is compared
with the true map's; it counts as right within one grid unit. Pairs are grouped by the true
distance into the eight published bins. A map that is turned, mirrored or shifted scores alike.

Source: Yang et al., Thinking in Space (VSI-Bench), 2024, section on cognitive maps. Where the
paper is silent, here: distances are in tenths of the grid's side, so that a 20 x 20 map is
measured in the units of the bins; labels are compared without case, underscores and spaces at
the ends, and `chair 2` or `chair_2` is an instance of `chair` where the true map has no other
such label; pairs that the written map lacks are told apart and count in `strict` only; pairs
nearer than 1.0 (in one cell) or further than 10.0 are in no bin, but in the total.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from groundplane.core.errors import InputError
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.maps.cogmap import GridMap
from groundplane.spatial.maps.views import Grid

__all__ = ["BIN_EDGES", "GridScore", "ScoreBin", "score"]

# The first bin holds both of its ends, the others only the upper one.
BIN_EDGES = (1.0, 2.1, 3.3, 4.4, 5.5, 6.6, 7.8, 8.9, 10.0)
# One cell of the 10 x 10 grid; the rest is rounding, for square roots lie beside it.
TOLERANCE = 1.0
_ROUNDING = 1e-9
# All pairs of places are looked at: 64 MB of distances.
_PLACE_LIMIT = 2000
_NUMBERED = re.compile(r"[ _-]?#?\d{1,4}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreBin:
    """Pairs of categories whose true distance lies in a range.

    Attributes:
        low: Least true distance, tenths of the grid's side.
        high: Greatest.
        pairs: Pairs of categories of the true map.
        found: Those that the written map has too.
        correct: Those within one grid unit.
    """

    low: float
    high: float
    pairs: int
    found: int
    correct: int

    @property
    def accuracy(self) -> float | None:
        """The share of the found pairs that are right; None where there are none."""
        return self.correct / self.found if self.found else None

    @property
    def strict(self) -> float | None:
        """The share of all pairs that are right: a missing category is wrong."""
        return self.correct / self.pairs if self.pairs else None


@dataclass(frozen=True, slots=True, kw_only=True)
class GridScore:
    """How well a written map keeps the true distances.

    Attributes:
        total: Over all pairs of categories, also those in no bin.
        bins: The eight published ones.
        missing: Categories of the true map that the written one lacks.
        extra: Categories that the true map lacks; they count for nothing.
    """

    total: ScoreBin
    bins: tuple[ScoreBin, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]


def score(
    written: GridMap | Grid | CognitiveMap, truth: GridMap | Grid | CognitiveMap
) -> GridScore:
    """Compare a written map with the true one by the distances of categories.

    Args:
        written: Such as `read_grid` gives it; a cognitive map is put on a grid of 10 cells.
        truth: The true map.

    Raises:
        InputError: If a map has more than 2,000 places.

    Examples:
        >>> truth = GridMap(objects={"chair": ((0, 0), (9, 9)), "sofa": ((0, 3),), "tv": ((5, 3),)})
        >>> turned = GridMap(objects={"sofa": ((6, 9),), "chair": ((9, 9),), "TV": ((6, 1),)})
        >>> made = score(turned, truth)
        >>> made.total.correct, made.total.found
        (1, 3)
        >>> [(part.high, part.accuracy) for part in made.bins if part.found]
        [(3.3, 1.0), (5.5, 0.0), (6.6, 0.0)]
        >>> score(GridMap(objects={}), truth).total.accuracy is None
        True
    """
    true = _folded(_places(truth))
    own = _folded(_places(written), known=frozenset(true))
    names = list(true)
    shared = [i for i, name in enumerate(names) if name in own]
    distances = _closest([true[name] for name in names])
    other = np.full_like(distances, np.inf)
    other[np.ix_(shared, shared)] = _closest([own[names[i]] for i in shared])
    once = np.triu_indices(len(names), k=1)
    pairs = _Pairs(distances[once], other[once])
    return GridScore(
        total=pairs.count(0.0, float("inf"), closed=True),
        bins=tuple(
            pairs.count(low, high, closed=low == BIN_EDGES[0]) for low, high in pairwise(BIN_EDGES)
        ),
        missing=tuple(name for name in names if name not in own),
        extra=tuple(name for name in own if name not in true),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Distances of pairs of categories, tenths of the side; infinite where a map lacks one."""

    true: Float[np.ndarray, " p"]
    written: Float[np.ndarray, " p"]

    def count(self, low: float, high: float, *, closed: bool) -> ScoreBin:
        """The pairs truly further than `low` (as far, if `closed`) and no further than `high`."""
        inside = (self.true >= low) if closed else (self.true > low)
        inside &= self.true <= high
        right = np.abs(self.written - self.true) <= TOLERANCE + _ROUNDING
        return ScoreBin(
            low=low,
            high=high,
            pairs=int(inside.sum()),
            found=int((inside & np.isfinite(self.written)).sum()),
            correct=int((inside & right).sum()),
        )


Places = Float[np.ndarray, "_ 2"]


def _places(source: GridMap | Grid | CognitiveMap) -> dict[str, Places]:
    """Places by category, tenths of the side."""
    grid = source.grid(10) if isinstance(source, CognitiveMap) else source
    if (total := sum(map(len, grid.objects.values()))) > _PLACE_LIMIT:
        raise InputError(f"score: expected at most {_PLACE_LIMIT} places in a map, got {total}")
    return {
        label: np.array(at, dtype=np.float64) * (10 / grid.cells)
        for label, at in grid.objects.items()
        if at
    }


def _folded(places: Mapping[str, Places], known: frozenset[str] = frozenset()) -> dict[str, Places]:
    """The same by labels that compare; a numbered instance joins a category that is known."""
    parts: dict[str, list[Places]] = {}
    for label, at in places.items():
        name = " ".join(label.replace("_", " ").casefold().split())
        if name not in known and (base := _NUMBERED.sub("", name)) in known:
            name = base
        parts.setdefault(name, []).append(at)
    return {name: np.concatenate(at) for name, at in parts.items()}


def _closest(groups: Sequence[Places]) -> Float[np.ndarray, "c c"]:
    """Shortest distance between the places of each two groups."""
    if not groups:
        return np.zeros((0, 0))
    points = np.concatenate(groups)
    starts = np.cumsum([0, *map(len, groups[:-1])])
    table = np.sqrt(((points[:, None] - points) ** 2).sum(axis=-1))
    rows = np.minimum.reduceat(table, starts, axis=0)
    return np.asarray(np.minimum.reduceat(rows, starts, axis=1))
