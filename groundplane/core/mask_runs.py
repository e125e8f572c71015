"""Runs of many masks at once: as bytes, and what two sets of masks share.

A set of masks is one column of numbers, mask after mask, with how many belong to each. Everything
here is arithmetic on such columns, with no loop over masks but the one over rows of a result.
Format of the bytes: see `core.masks`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Int32, Int64

from groundplane.core.errors import InputError

__all__ = ["MAX_GROUPS", "Spans", "read_runs", "shared_pixels", "spans_of", "write_runs"]

# A run of at most 2**28, or the difference of two, fits in six groups of five bits.
MAX_GROUPS = 6

_Column = Int64[np.ndarray, " _"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spans:
    """The pixels of masks of one size: each run of ones, down the columns.

    Attributes:
        starts: The place at which each run starts.
        ends: The place after its last pixel.
        counts: How many runs each mask has.
    """

    starts: Int64[np.ndarray, " k"]
    ends: Int64[np.ndarray, " k"]
    counts: Int64[np.ndarray, " n"]


# Bytes -----------------------------------------------------------------------------------------


def write_runs(runs: Int[np.ndarray, " k"], counts: Int64[np.ndarray, " n"]) -> list[bytes]:
    """Write the runs of masks as bytes.

    Args:
        runs: Checked runs, mask after mask.
        counts: How many runs each mask has.

    Examples:
        >>> write_runs(np.array([1, 3, 4]), np.array([2, 1]))
        [b'13', b'4']
    """
    index = _within(counts)
    values = runs.copy()
    late = np.flatnonzero(index > 2)
    values[late] -= runs[late - 2]
    # A group holds five bits, and the last one the sign as well.
    magnitude = np.where(values < 0, ~values, values)
    lengths = np.ones(values.size, dtype=np.int64)
    most = 1
    while most < MAX_GROUPS and (longer := magnitude >= 1 << (5 * most - 1)).any():
        lengths += longer
        most += 1
    starts = _bounds(lengths)
    text = np.empty(starts[-1], dtype=np.uint8)
    # Most numbers have one group: the further ones of the few others follow.
    rows = np.arange(values.size)
    for group in range(most):
        rows = rows[lengths[rows] > group]
        more = lengths[rows] - 1 > group
        bits = (values[rows] >> (5 * group)) & 31
        text[starts[rows] + group] = bits + np.where(more, 80, 48)
    cuts = starts[_bounds(counts)].tolist()
    every = text.tobytes()
    return [every[start:end] for start, end in itertools.pairwise(cuts)]


def read_runs(texts: Sequence[bytes]) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " n"]]:
    """Read the runs of masks, and how many each has; undoes `write_runs`.

    Raises:
        InputError: If bytes are malformed. Whether the runs make sense is not checked here.

    Examples:
        >>> read_runs([b"13", b"4"])
        (array([1, 3, 4]), array([2, 1]))
    """
    codes = np.frombuffer(b"".join(texts), dtype=np.uint8).astype(np.int64) - 48
    bounds = _bounds(np.array([len(text) for text in texts], dtype=np.int64))
    ends = np.flatnonzero(codes < 32)
    _check_codes(codes, bounds)
    starts = np.concatenate([[0], ends[:-1] + 1]) if ends.size else ends
    lengths = ends - starts + 1
    if lengths.size and lengths.max() > MAX_GROUPS + 1:
        raise InputError(f"mask: a number of {lengths.max()} bytes is no length of a run")
    shifts = 5 * _within(lengths)
    values = np.add.reduceat((codes & 31) << shifts, starts) if ends.size else ends
    runs = values - np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    counts = np.diff(np.searchsorted(ends, bounds))
    index = _within(counts)
    # From the fourth on, a run is written as its difference to the run before last.
    _accumulate(runs, index % 2 == 1, counts // 2)
    _accumulate(runs, (index % 2 == 0) & (index > 0), np.maximum(counts - 1, 0) // 2)
    return runs, counts


def _check_codes(codes: _Column, bounds: _Column) -> None:
    bad = np.flatnonzero((codes < 0) | (codes > 63))
    if bad.size:
        at = int(bad[0] - bounds[np.searchsorted(bounds, bad[0], side="right") - 1])
        raise InputError(f"mask: byte {int(codes[bad[0]]) + 48:#04x} at {at} is no part of a run")
    lasts = bounds[1:][np.diff(bounds) > 0] - 1
    if (codes[lasts] >= 32).any():
        raise InputError("mask: the compressed runs are cut off within a number")


def _accumulate(runs: _Column, chosen: Bool[np.ndarray, " _"], counts: _Column) -> None:
    """Sum up the chosen runs within each mask, which has so many of them, in place."""
    sums = np.cumsum(runs[chosen])
    before = np.concatenate([[0], sums])[np.cumsum(counts) - counts]
    runs[chosen] = sums - np.repeat(before, counts)


def _within(counts: _Column) -> _Column:
    """The place of each number within its own mask."""
    before = np.repeat(np.cumsum(counts) - counts, counts)
    within: _Column = np.arange(before.size) - before
    return within


def _bounds(counts: _Column) -> _Column:
    """Where each mask's numbers begin, and where the last one's end."""
    return np.concatenate([[0], np.cumsum(counts)])


# Overlaps --------------------------------------------------------------------------------------


def spans_of(runs: Int64[np.ndarray, " k"], counts: Int64[np.ndarray, " n"]) -> Spans:
    """The runs of ones that have a pixel.

    Examples:
        >>> spans = spans_of(np.array([1, 3, 0, 2]), np.array([2, 2]))
        >>> spans.starts, spans.ends, spans.counts
        (array([1, 0]), array([4, 2]), array([1, 1]))
    """
    sums = np.cumsum(runs)
    bounds = _bounds(counts)
    before = np.concatenate([[0], sums])[bounds[:-1]]
    ends = sums - np.repeat(before, counts)
    held = (_within(counts) % 2 == 1) & (runs > 0)
    kept = np.concatenate([[0], np.cumsum(held)])[bounds]
    return Spans(starts=(ends - runs)[held], ends=ends[held], counts=np.diff(kept))


def shared_pixels(a: Spans, b: Spans, *, height: int, width: int) -> Float64[np.ndarray, "n m"]:
    """Pixels that each mask of `a` shares with each of `b`; all have one size.

    Masks of things have one run in a column, or a few; then columns are compared with columns.
    Where they have many, as noise does, the runs are searched instead.
    """
    pieces_a = _pieces(a, height)
    pieces_b = pieces_a if b is a else _pieces(b, height)
    depths_a, depths_b = _depths(pieces_a), _depths(pieces_b)
    # Measured: comparing a column takes about a nanosecond, searching for a place a dozen.
    compared = depths_a.sum() * depths_b.sum() * width
    searched = a.counts.size * 2 * b.starts.size * 12
    if compared > searched + 2**20:
        return _searched(a, b)
    layers_a = _Layers(pieces_a, depths_a, width)
    layers_b = layers_a if b is a else _Layers(pieces_b, depths_b, width)
    return _compared(layers_a, layers_b)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pieces:
    """Runs cut at the ends of columns: whose, in which column, from which row, before which."""

    owner: _Column
    column: _Column
    top: _Column
    bottom: _Column
    rank: _Column  # among the pieces of its mask in its column
    counts: _Column  # pieces of each mask


def _pieces(spans: Spans, height: int) -> _Pieces:
    first, last = spans.starts // height, (spans.ends - 1) // height
    cuts = last - first + 1
    offset = _within(cuts)
    column = np.repeat(first, cuts) + offset
    top = np.where(offset == 0, np.repeat(spans.starts % height, cuts), 0)
    final = offset == np.repeat(cuts - 1, cuts)
    bottom = np.where(final, np.repeat((spans.ends - 1) % height + 1, cuts), height)
    owner = np.repeat(np.repeat(np.arange(spans.counts.size), spans.counts), cuts)
    # Pieces of a mask stand in the order of their columns.
    new = np.ones(column.size, dtype=bool)
    new[1:] = (column[1:] != column[:-1]) | (owner[1:] != owner[:-1])
    together = np.diff(np.concatenate([np.flatnonzero(new), [column.size]]))
    counts = np.bincount(owner, minlength=spans.counts.size)
    return _Pieces(
        owner=owner, column=column, top=top, bottom=bottom, rank=_within(together), counts=counts
    )


def _depths(pieces: _Pieces) -> _Column:
    """The most pieces that each mask has in a column."""
    depths = np.zeros(pieces.counts.size, dtype=np.int64)
    np.maximum.at(depths, pieces.owner, pieces.rank + 1)
    return depths


class _Layers:
    """Masks as layers with one piece a column at most, and the box around each mask."""

    def __init__(self, pieces: _Pieces, depths: _Column, width: int) -> None:
        self.bounds = _bounds(depths)
        self.owner = np.repeat(np.arange(depths.size), depths)
        row = self.bounds[pieces.owner] + pieces.rank
        self.top: Int32[np.ndarray, "_ _"] = np.zeros((depths.sum(), width), dtype=np.int32)
        self.bottom: Int32[np.ndarray, "_ _"] = np.zeros_like(self.top)
        self.top[row, pieces.column] = pieces.top
        self.bottom[row, pieces.column] = pieces.bottom
        held = np.flatnonzero(pieces.counts)
        self.low = np.full((depths.size, 2), 2**31)
        self.high = np.zeros((depths.size, 2), dtype=np.int64)
        if held.size:
            starts = _bounds(pieces.counts)[held]
            for axis, (least, most) in enumerate(
                ((pieces.column, pieces.column + 1), (pieces.top, pieces.bottom))
            ):
                self.low[held, axis] = np.minimum.reduceat(least, starts)
                self.high[held, axis] = np.maximum.reduceat(most, starts)


def _compared(a: _Layers, b: _Layers) -> Float64[np.ndarray, "n m"]:
    """Row by row, each layer of a mask against all layers of the masks whose boxes meet its own."""
    num_b = len(b.low)
    shared = np.zeros((len(a.low), num_b))
    for i in range(len(a.low)):
        meets = (np.maximum(a.low[i], b.low) < np.minimum(a.high[i], b.high)).all(axis=1)
        rows = np.flatnonzero(meets[b.owner])
        if not rows.size:
            continue
        columns = slice(a.low[i, 0], a.high[i, 0])
        top, bottom = b.top[rows, columns], b.bottom[rows, columns]
        for layer in range(a.bounds[i], a.bounds[i + 1]):
            common = np.minimum(bottom, a.bottom[layer, columns])
            common -= np.maximum(top, a.top[layer, columns])
            np.maximum(common, 0, out=common)
            # At most the pixels of a picture: in the range of the integers.
            pixels = common.sum(axis=1, dtype=np.int32)
            shared[i] += np.bincount(b.owner[rows], weights=pixels, minlength=num_b)
    return shared


def _searched(a: Spans, b: Spans) -> Float64[np.ndarray, "n m"]:
    """How many pixels of a mask come before a place grows by 1 a pixel within its runs and not at
    all between them. The difference over a run of another mask is what the two share there."""
    shared = np.zeros((a.counts.size, b.counts.size))
    bounds = _bounds(a.counts)
    owner = np.repeat(np.arange(b.counts.size), b.counts)
    for i in range(a.counts.size):
        starts, ends = (column[bounds[i] : bounds[i + 1]] for column in (a.starts, a.ends))
        if not starts.size:
            continue
        places = np.stack([starts, ends], axis=1).ravel()
        before = np.repeat(np.cumsum(ends - starts), 2)
        before[0::2] -= ends - starts
        # Exact: all places are whole and far below 2**53, all slopes are 0 or 1.
        within = np.interp(b.ends, places, before) - np.interp(b.starts, places, before)
        shared[i] = np.bincount(owner, weights=within, minlength=b.counts.size)
    return shared
