"""Run-length masks in the format of pycocotools.

Runs go down the columns, zeros first. The compressed form writes each run (from the fourth on,
its difference to the run before last) in groups of five bits, the lowest first, one printable
byte a group. Format: Lin et al., Microsoft COCO: Common Objects in Context, 2014, and the mask
API published with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.mask_runs import Spans, read_runs, shared_pixels, spans_of, write_runs

__all__ = [
    "RleMask",
    "area",
    "bounding_box",
    "decode",
    "encode",
    "from_counts",
    "from_polygons",
    "intersection_over_union",
    "to_counts",
    "union",
]

# 16384 by 16384: larger than any picture that Pillow opens unasked, small enough to decode.
_MAX_PIXELS = 2**28
# COCO polygons are drawn on a grid five times as fine as the pixels.
_FINE = 5.0
# Points of a polygon's outline on that grid; bounds the memory that one polygon can take.
_MAX_OUTLINE = 2**24


@dataclass(frozen=True, slots=True, kw_only=True)
class RleMask:
    """A compressed run-length mask (COCO: column-major runs, zeros first, LEB128-like bytes).

    The runs are checked when they are read, not here.

    Attributes:
        size: Height and width, pixels (COCO's order).
        counts: The compressed runs.

    Raises:
        ShapeError: If the size is not two whole numbers, or has more than 2**28 pixels.
    """

    size: tuple[int, int]
    counts: bytes

    def __post_init__(self) -> None:
        _check_size(self.size)


def _check_size(size: tuple[int, int]) -> None:
    whole = len(size) == 2 and all(isinstance(n, int | np.integer) and n >= 0 for n in size)
    if not whole or int(size[0]) * int(size[1]) > _MAX_PIXELS:
        raise ShapeError(
            "mask: expected a size of (height, width), whole numbers with a product of at most "
            f"{_MAX_PIXELS}, got {size!r}"
        )


# Masks and runs ------------------------------------------------------------------------------


def encode(mask: Bool[np.ndarray, "h w"]) -> RleMask:
    """Compress a mask.

    Raises:
        ShapeError: If it is not a boolean array of two axes, or too large.

    Examples:
        >>> encode(np.array([[False, True], [True, True]]))
        RleMask(size=(2, 2), counts=b'13')
        >>> encode(np.zeros((0, 4), dtype=bool)).counts
        b'0'
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ShapeError(
            f"mask: expected a boolean array of shape (h, w), got {mask.dtype} {mask.shape}"
        )
    height, width = mask.shape
    _check_size((height, width))
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    first = np.zeros(int(flat.size > 0 and flat[0]), dtype=np.int64)
    edges = np.concatenate([first, changes, [flat.size]])
    return _pack(np.diff(edges, prepend=0), (height, width))


def decode(rle: RleMask) -> Bool[np.ndarray, "h w"]:
    """Expand a mask.

    Raises:
        InputError: If the bytes are malformed.
        ShapeError: If the runs do not fill the mask.

    Examples:
        >>> decode(RleMask(size=(2, 2), counts=b"13")).tolist()
        [[False, True], [True, True]]
    """
    runs = _unpack(rle)
    flat = np.repeat(np.arange(runs.size) % 2 == 1, runs)
    return flat.reshape(rle.size, order="F")


def from_counts(counts: Sequence[int], size: tuple[int, int]) -> RleMask:
    """Compress runs (COCO's uncompressed form): zeros, ones, zeros, ... down the columns.

    Args:
        counts: Length of each run, pixels. Kept as they are, runs of length 0 too.
        size: Height and width, pixels.

    Raises:
        InputError: If a run is negative or not a whole number.
        ShapeError: If the runs do not fill the mask.

    Examples:
        >>> from_counts([1, 3], (2, 2))
        RleMask(size=(2, 2), counts=b'13')
    """
    _check_size(size)
    try:
        runs = np.asarray(counts) if len(counts) else np.zeros(0, dtype=np.int64)
    except (TypeError, ValueError) as error:
        raise InputError("mask: expected a flat list of runs, whole numbers") from error
    if runs.ndim != 1 or runs.dtype.kind not in "iu":
        raise InputError("mask: expected a flat list of runs, whole numbers in 64 bits")
    if runs.size and int(runs.max()) > _MAX_PIXELS:
        raise ShapeError(f"mask: a run of {runs.max()} pixels does not fit in {tuple(size)}")
    runs = runs.astype(np.int64)
    _check_runs(runs, size)
    return _pack(runs, (int(size[0]), int(size[1])))


def to_counts(rle: RleMask) -> list[int]:
    """The runs as numbers, pixels: zeros, ones, zeros, ... down the columns.

    Raises:
        InputError: If the bytes are malformed.
        ShapeError: If the runs do not fill the mask.

    Examples:
        >>> to_counts(RleMask(size=(2, 2), counts=b"13"))
        [1, 3]
    """
    counts: list[int] = _unpack(rle).tolist()
    return counts


def _check_runs(runs: Int64[np.ndarray, " k"], size: tuple[int, int]) -> None:
    if runs.size and runs.min() < 0:
        raise InputError(f"mask: a run has the negative length {runs.min()}")
    height, width = size
    if runs.sum() != int(height) * int(width):
        raise ShapeError(
            f"mask: the runs fill {runs.sum()} pixels, expected {height} x {width} = "
            f"{int(height) * int(width)}"
        )


def _pack(runs: Int64[np.ndarray, " k"], size: tuple[int, int]) -> RleMask:
    """Write checked runs as bytes."""
    return RleMask(size=size, counts=write_runs(runs, np.array([runs.size]))[0])


def _unpack(rle: RleMask) -> Int64[np.ndarray, " k"]:
    """Read and check the runs."""
    runs, _ = read_runs([rle.counts])
    _check_runs(runs, rle.size)
    return runs


# Polygons ------------------------------------------------------------------------------------


def from_polygons(polygons: Sequence[Sequence[float | int]], size: tuple[int, int]) -> RleMask:
    """Fill polygons and join them, pixel for pixel as pycocotools does.

    Args:
        polygons: One flat list `x, y, x, y, ...` a part, pixels, three points or more.
        size: Height and width, pixels.

    Raises:
        InputError: If there is no polygon, or one has too few or too many numbers, is not
            finite or lies absurdly far outside.

    Examples:
        >>> decode(from_polygons([[1, 0, 3, 0, 3, 2, 1, 2]], (2, 4))).astype(int).tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    _check_size(size)
    if not polygons:
        raise InputError("mask: expected one polygon or more, got none")
    parts = [_fill(_outline(polygon), size) for polygon in polygons]
    return parts[0] if len(parts) == 1 else union(parts)


def _outline(polygon: Sequence[float | int]) -> Int64[np.ndarray, "m 2"]:
    """The fine grid points that a closed polygon's edges pass, in order."""
    try:
        flat = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("mask: a polygon holds something that is no number") from error
    if flat.ndim != 1 or flat.size < 6 or flat.size % 2:
        got = f"{flat.size} entries" if flat.ndim == 1 else f"an array of shape {flat.shape}"
        raise InputError(
            "mask: expected a polygon of three points or more as a flat list x, y, x, y, ..., "
            f"got {got}"
        )
    # Far beyond any picture; it also keeps the lengths below in the integers' range.
    if not np.isfinite(flat).all() or np.abs(flat).max() > _MAX_PIXELS:
        raise InputError("mask: a polygon has a coordinate that is not finite or absurdly large")
    # The cast cuts towards zero, as the original's does.
    start = (_FINE * flat.reshape(-1, 2) + 0.5).astype(np.int64)
    step = np.roll(start, -1, axis=0) - start
    lengths = np.abs(step).max(axis=1) + 1
    total = int(lengths.sum())
    if total > _MAX_OUTLINE:
        raise InputError(
            f"mask: a polygon's outline is {total / _FINE:.0f} pixels long; "
            f"expected {_MAX_OUTLINE / _FINE:.0f} at most"
        )
    along = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return _walk(start, step, along, lengths)


def _walk(
    start: Int64[np.ndarray, "k 2"],
    step: Int64[np.ndarray, "k 2"],
    along: Int64[np.ndarray, " m"],
    lengths: Int64[np.ndarray, " k"],
) -> Int64[np.ndarray, "m 2"]:
    """Step along each edge's longer axis; round the other, from its lower end up."""
    rows = np.arange(len(start))
    major = (np.abs(step[:, 0]) < np.abs(step[:, 1])).astype(np.int64)
    minor = 1 - major
    flip = step[rows, major] < 0
    low = np.where(flip[:, None], start + step, start)
    forward = np.where(flip[:, None], -step, step)
    # An edge of one point has no slope; it takes no step either.
    slope = forward[rows, minor] / np.maximum(forward[rows, major], 1)
    edge = np.repeat(rows, lengths)
    along = np.where(flip[edge], lengths[edge] - 1 - along, along)
    points = np.empty((along.size, 2), dtype=np.int64)
    where = np.arange(along.size)
    points[where, major[edge]] = low[edge, major[edge]] + along
    rounded = (low[edge, minor[edge]] + slope[edge] * along + 0.5).astype(np.int64)
    points[where, minor[edge]] = rounded
    return points


def _fill(outline: Int64[np.ndarray, "m 2"], size: tuple[int, int]) -> RleMask:
    """Fill what an outline encloses: each crossing of a pixel column's middle turns the fill."""
    height, width = int(size[0]), int(size[1])
    before, after = outline[:-1], outline[1:]
    crossed = before[:, 0] != after[:, 0]
    before, after = before[crossed], after[crossed]
    fine_x = np.where(after[:, 0] < before[:, 0], after[:, 0], after[:, 0] - 1)
    fine_y = np.minimum(before[:, 1], after[:, 1])
    x = (fine_x + 0.5) / _FINE - 0.5
    y = np.ceil(np.clip((fine_y + 0.5) / _FINE - 0.5, 0, height)).astype(np.int64)
    inside = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    places = x[inside].astype(np.int64) * height + y[inside]
    turns, times = np.unique(places, return_counts=True)
    turns = turns[(times % 2 == 1) & (turns < height * width)]
    return _from_edges(turns, (height, width))


def _from_edges(turns: Int64[np.ndarray, " k"], size: tuple[int, int]) -> RleMask:
    """A mask from the sorted places, all before the end, at which it changes."""
    edges = np.concatenate([turns, [size[0] * size[1]]])
    return _pack(np.diff(edges, prepend=0), size)


# Measures and sets ---------------------------------------------------------------------------


def area(rle: RleMask) -> int:
    """How many pixels the mask holds.

    Examples:
        >>> area(RleMask(size=(2, 2), counts=b"13"))
        3
    """
    return int(_unpack(rle)[1::2].sum())


def bounding_box(rle: RleMask) -> tuple[int, int, int, int]:
    """The smallest box around the mask, `xyxy` pixels, half-open; all 0 for an empty mask.

    Examples:
        >>> bounding_box(RleMask(size=(2, 2), counts=b"13"))
        (0, 0, 2, 2)
        >>> bounding_box(RleMask(size=(2, 2), counts=b"4"))
        (0, 0, 0, 0)
    """
    return _box(_spans(rle), rle.size[0])


def union(masks: Sequence[RleMask]) -> RleMask:
    """Join masks of one size.

    Raises:
        InputError: If there is no mask.
        ShapeError: If the sizes differ.

    Examples:
        >>> both = union([from_counts([1, 1, 2], (2, 2)), from_counts([3, 1], (2, 2))])
        >>> to_counts(both)
        [1, 1, 1, 1]
    """
    if not masks:
        raise InputError("mask: expected one mask or more to join, got none")
    size = _common_size(masks)
    spans = [_spans(rle) for rle in masks]
    starts = np.concatenate([start for start, _ in spans])
    ends = np.concatenate([end for _, end in spans])
    places, inverse = np.unique(np.concatenate([starts, ends]), return_inverse=True)
    step = np.repeat([1.0, -1.0], starts.size)
    covered = np.cumsum(np.bincount(inverse, weights=step, minlength=places.size)) > 0
    turns = places[covered != np.concatenate([[False], covered[:-1]])]
    return _from_edges(turns[turns < size[0] * size[1]], size)


def intersection_over_union(
    a: Sequence[RleMask], b: Sequence[RleMask], *, crowd: Sequence[bool] | None = None
) -> Float64[np.ndarray, "n m"]:
    """Overlap of each mask of `a` with each of `b`.

    Args:
        a: The masks found.
        b: The true masks, of the same size.
        crowd: Which of `b` stand for a crowd: with them the overlap is divided by the area of
            `a` alone. None: no crowd.

    Returns:
        In [0, 1]; 0 where both masks are empty.

    Raises:
        ShapeError: If sizes differ, or `crowd` is not as long as `b`.

    Examples:
        >>> left, all_ = from_counts([0, 2, 2], (2, 2)), from_counts([0, 4], (2, 2))
        >>> intersection_over_union([left], [all_, left]).tolist()
        [[0.5, 1.0]]
    """
    if crowd is not None and len(crowd) != len(b):
        raise ShapeError(f"mask: {len(b)} true masks but {len(crowd)} crowd flags")
    if not a or not b:
        return np.zeros((len(a), len(b)))
    height, width = _common_size([*a, *b])
    spans_a = _all_spans(a)
    spans_b = spans_a if b is a else _all_spans(b)
    shared = shared_pixels(spans_a, spans_b, height=height, width=width)
    area_a, area_b = _areas(spans_a)[:, None], _areas(spans_b)[None, :]
    is_crowd = np.zeros(len(b), dtype=bool) if crowd is None else np.asarray(crowd, dtype=bool)
    whole = np.where(is_crowd[None, :], area_a, area_a + area_b - shared)
    return np.asarray(np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0))


_Spans = tuple[Int64[np.ndarray, " _"], Int64[np.ndarray, " _"]]


def _spans(rle: RleMask) -> _Spans:
    """Where each run of ones starts and ends, down the columns; empty runs left out."""
    runs = _unpack(rle)
    edges = np.cumsum(runs)
    starts, ends = edges[0::2][: edges[1::2].size], edges[1::2]
    return starts[ends > starts], ends[ends > starts]


def _box(spans: _Spans, height: int) -> tuple[int, int, int, int]:
    """The smallest box around runs, `xyxy` pixels, half-open; all 0 where there is none."""
    starts, ends = spans
    if starts.size == 0:
        return (0, 0, 0, 0)
    left, right = int(starts[0] // height), int((ends[-1] - 1) // height) + 1
    if (starts // height != (ends - 1) // height).any():
        # A run that goes on in the next column touches the last row and the first.
        return (left, 0, right, height)
    return (left, int((starts % height).min()), right, int(((ends - 1) % height).max()) + 1)


def _all_spans(masks: Sequence[RleMask]) -> Spans:
    """The pixels of masks of one size, read and checked at once."""
    runs, counts = read_runs([rle.counts for rle in masks])
    sums = np.diff(np.concatenate([[0], np.cumsum(runs)])[np.cumsum([0, *counts])])
    height, width = masks[0].size
    if (sums != int(height) * int(width)).any() or (runs < 0).any():
        for rle in masks:
            _unpack(rle)  # says which fault it is
    return spans_of(runs, counts)


def _areas(spans: Spans) -> Float64[np.ndarray, " n"]:
    sums = np.concatenate([[0], np.cumsum(spans.ends - spans.starts)])
    areas: Float64[np.ndarray, " n"] = np.diff(sums[np.cumsum([0, *spans.counts])]).astype(float)
    return areas


def _common_size(masks: Sequence[RleMask]) -> tuple[int, int]:
    """The size that all masks have."""
    sizes = sorted({rle.size for rle in masks})
    if len(sizes) > 1:
        raise ShapeError(f"mask: expected masks of one size, got {sizes[0]} and {sizes[1]}")
    return sizes[0]
