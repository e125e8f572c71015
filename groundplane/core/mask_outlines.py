"""The outlines of masks along the edges of their pixels: polygons that fill back to the very mask.

Two pixels belong to one part if they share a side; gaps of a part that touch over a corner are
one hole. Tracers of pixel centres, such as OpenCV's, lose half a pixel on each side; these lose
nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from groundplane.core.masks import RleMask, to_counts

__all__ = ["MaskPart", "bridged", "joined", "mask_parts", "ring_area"]

Ring = Int64[np.ndarray, "_ 2"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskPart:
    """One part of a mask. A ring is its corners `x, y`, pixels, from the topmost one on.

    Attributes:
        outer: The ring around it, clockwise as the picture is seen.
        holes: The rings around its holes, counter-clockwise.
    """

    outer: Ring
    holes: tuple[Ring, ...] = ()


def mask_parts(mask: RleMask) -> list[MaskPart]:
    """The parts of a mask, from the top down.

    Raises:
        InputError: If its bytes are malformed.
        ShapeError: If the runs do not fill it.

    Examples:
        >>> from groundplane.core.masks import from_counts
        >>> mask_parts(from_counts([1, 2, 2, 1], (3, 2)))[0].outer.tolist()
        [[0, 1], [1, 1], [1, 2], [2, 2], [2, 3], [0, 3]]
        >>> mask_parts(from_counts([6], (3, 2)))
        []
    """
    rings = _rings(mask)
    outer = [ring_area(ring) > 0 for ring in rings]
    above = _edges_above(rings, [not is_outer for is_outer in outer])
    owner: dict[int, int] = {}
    holes: dict[int, list[Ring]] = defaultdict(list)
    for i, ring in enumerate(rings):  # from the top down: what lies above has an owner already
        owner[i] = i if outer[i] else owner[above[i][0]]
        if not outer[i]:
            holes[owner[i]].append(ring)
    return [MaskPart(outer=ring, holes=tuple(holes[i])) for i, ring in enumerate(rings) if outer[i]]


def ring_area(ring: Ring) -> int:
    """What a ring encloses, pixels; negative for the ring of a hole.

    Examples:
        >>> ring_area(np.array([[0, 0], [2, 0], [2, 3], [0, 3]]))
        6
        >>> ring_area(np.zeros((0, 2), dtype=np.int64))
        0
    """
    x, y = ring[:, 0], ring[:, 1]
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) // 2


def bridged(part: MaskPart) -> Ring:
    """A part with its holes as one ring, which goes to each hole and back on the same line.

    Filled by the even-odd rule, as pycocotools and OpenCV fill, it is the part; the lines have
    no width.

    Examples:
        >>> square = np.array([[0, 0], [2, 0], [2, 3], [0, 3]])
        >>> bridged(MaskPart(outer=square)).tolist() == square.tolist()
        True
    """
    rings = [part.outer, *part.holes]
    hung: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, edge in _edges_above(rings, [False, *[True] * len(part.holes)]).items():
        hung[edge].append(i)

    points: list[tuple[int, int]] = []
    ways = [_walk(rings, hung, 0)]
    while ways:
        step = next(ways[-1], None)
        if step is None:
            ways.pop()
        elif isinstance(step, int):
            ways.append(_walk(rings, hung, step))
        elif not points or points[-1] != step:
            points.append(step)
    return np.array(points, dtype=np.int64)


def joined(parts: Sequence[MaskPart]) -> Ring:
    """All parts as one ring, which goes from part to part and back on the same lines.

    Filled by the even-odd rule it is all of them; the lines have no width.

    Examples:
        >>> squares = [np.array([[x, 0], [x + 1, 0], [x + 1, 1], [x, 1]]) for x in (0, 4)]
        >>> joined([MaskPart(outer=square) for square in squares]).tolist()
        [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0], [4, 0], [5, 0], [5, 1], [4, 1], [4, 0]]
        >>> joined([]).shape
        (0, 2)
    """
    rings = [bridged(part) for part in parts]
    if len(rings) < 2:
        return rings[0] if rings else np.zeros((0, 2), dtype=np.int64)
    for i in range(1, len(rings)):
        away = rings[i] - rings[i - 1][0]
        rings[i] = np.roll(rings[i], -int(np.argmin((away**2).sum(axis=1))), axis=0)
    there = [np.concatenate([ring, ring[:1]]) for ring in rings]
    back = [ring[:1] for ring in rings[-2:0:-1]]
    return np.concatenate([*there, *back])


# Tracing -------------------------------------------------------------------------------------


def _rings(mask: RleMask) -> list[Ring]:
    """All rings, the inner side on the right hand, in the order of their topmost corners.

    Corners come in the order of the rows, so each two that follow one another there are the ends
    of a horizontal edge; in the order of the columns, of a vertical one.
    """
    x, y, below = _corners(mask)
    if not x.size:
        return []
    left, right = np.arange(0, x.size, 2), np.arange(1, x.size, 2)
    ahead = below[left] > 0
    tails, heads = np.where(ahead, left, right), np.where(ahead, right, left)
    # Where two parts touch at a corner it stands twice: each goes on around its own pixel.
    twice = np.flatnonzero((np.diff(x) == 0) & (np.diff(y) == 0))
    side = np.zeros(x.size, dtype=np.int64)
    side[twice] = below[twice] <= 0
    side[twice + 1] = below[twice] > 0
    down = np.lexsort((side, y, x))
    onward = np.empty(x.size, dtype=np.int64)
    onward[down[0::2]], onward[down[1::2]] = down[1::2], down[0::2]
    onward[tails] = heads
    corners = np.stack([x, y], axis=1)
    return [corners[cycle] for cycle in _cycles(onward.tolist())]


def _corners(
    mask: RleMask,
) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
    """Where outlines turn, by rows: x, y, and 1 where the edge to the right has the mask below.

    Corners at which two pixels touch over it stand twice: for the edges to the left and to the
    right.
    """
    column, top, bottom = _column_spans(mask)
    height = mask.size[0] + 1
    changes = np.concatenate([column * height + top, column * height + bottom])
    signs = np.repeat([1.0, -1.0], top.size)
    # A change in a column is seen from the grid points on its left and on its right.
    places, which = np.unique(np.concatenate([changes, changes + height]), return_inverse=True)
    half = changes.size
    on_right = np.bincount(which[:half], weights=signs, minlength=places.size).astype(np.int64)
    on_left = np.bincount(which[half:], weights=signs, minlength=places.size).astype(np.int64)
    turns = on_right != on_left
    places, on_right, on_left = places[turns], on_right[turns], on_left[turns]
    times = 1 + (on_right * on_left != 0)
    x, y = np.divmod(np.repeat(places, times), height)
    below = np.repeat(on_right, times)
    order = np.lexsort((x, y))
    return x[order], y[order], below[order]


def _column_spans(
    mask: RleMask,
) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
    """The runs of ones within each column: its index, the first row, and that after the last."""
    edges = np.cumsum(np.array(to_counts(mask), dtype=np.int64))
    starts, ends = edges[0::2][: edges[1::2].size], edges[1::2]
    starts, ends = starts[ends > starts], ends[ends > starts]
    # Runs of no zeros lie between ones that belong together.
    starts, ends = starts[starts != np.roll(ends, 1)], ends[ends != np.roll(starts, -1)]
    height = mask.size[0]
    first, last = starts // max(height, 1), (ends - 1) // max(height, 1)
    times = last - first + 1
    column = np.repeat(first, times) + _places_within(times)
    top = np.maximum(np.repeat(starts, times) - column * height, 0)
    bottom = np.minimum(np.repeat(ends, times) - column * height, height)
    return column, top, bottom


def _places_within(lengths: Int64[np.ndarray, " k"]) -> Int64[np.ndarray, " m"]:
    """0, 1, ... for each group of so many, one after the other."""
    ends = np.cumsum(lengths)
    places = np.arange(lengths.sum())
    return np.asarray(places - np.repeat(ends - lengths, lengths))


def _cycles(onward: list[int]) -> Iterator[list[int]]:
    """The cycles of a permutation, each from its lowest member on, in their order."""
    seen = bytearray(len(onward))
    for start in range(len(onward)):
        if not seen[start]:
            cycle, here = [], start
            while not seen[here]:
                seen[here] = 1
                cycle.append(here)
                here = onward[here]
            yield cycle


# Holes ---------------------------------------------------------------------------------------


def _edges_above(rings: Sequence[Ring], wanted: Sequence[bool]) -> dict[int, tuple[int, int]]:
    """For each wanted ring the edge above its first corner: its ring, and where it starts there."""
    which = [i for i, want in enumerate(wanted) if want]
    if not which:
        return {}
    lengths = np.array([len(ring) for ring in rings])
    ring = np.repeat(np.arange(len(rings)), lengths)
    corner = _places_within(lengths)
    start = np.concatenate(rings)
    end = np.concatenate([np.roll(r, -1, axis=0) for r in rings])
    flat = start[:, 1] == end[:, 1]
    ring, corner, start, end = ring[flat], corner[flat], start[flat], end[flat]
    width = np.abs(end[:, 0] - start[:, 0])
    edge = np.repeat(np.arange(width.size), width)
    height = int(start[:, 1].max()) + 1
    column = np.minimum(start[:, 0], end[:, 0])[edge] + _places_within(width)
    keys = column * height + start[edge, 1]
    order = np.argsort(keys)
    corners = np.array([rings[i][0] for i in which])
    found = edge[order[np.searchsorted(keys[order], corners[:, 0] * height + corners[:, 1]) - 1]]
    edges = zip(ring[found].tolist(), corner[found].tolist(), strict=True)
    return dict(zip(which, edges, strict=True))


def _walk(
    rings: Sequence[Ring], hung: dict[tuple[int, int], list[int]], i: int
) -> Iterator[int | tuple[int, int]]:
    """The corners of a ring; where holes hang from an edge, the way to each and its index."""
    corners = rings[i].tolist()
    for k, (x, y) in enumerate(corners):
        yield x, y
        holes = sorted(hung.get((i, k), ()), key=lambda hole: int(rings[hole][0, 0]))
        if corners[(k + 1) % len(corners)][0] < x:
            holes.reverse()
        for hole in holes:
            top = int(rings[hole][0, 0]), y
            yield top
            yield hole
            yield top
    if i:
        yield corners[0][0], corners[0][1]
