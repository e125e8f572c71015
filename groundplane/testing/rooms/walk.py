"""The way of a camera through a room: where it goes, and where it looks.

It goes from one free spot to the next as far from it, at the height of an eye, and stops on the
way to look round. What it looks at is chosen so that every thing is seen, from more than one side
where that can be: at each step that look which shows most of what has been seen least. It begins
with a look at little and turns slowly, so that things are seen one after another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int64

from groundplane.testing.rooms.layout import Layout
from groundplane.testing.rooms.plan import CELL, FloorGrid
from groundplane.testing.rooms.room import Walk, intrinsics
from groundplane.testing.rooms.sights import HeightMap, SurfacePoints, sample_surface

__all__ = ["Tour", "camera_walk"]

_FPS = 30.0
_EYE = 1.5
# Metres between a person's middle and furniture, the best that leaves half of the floor to walk.
_CLEARANCES = (0.55, 0.45, 0.35, 0.3)
# Metres between stops.
_STOP = 1.0
# Slow enough that things come into view one after another.
_SPEED, _TURNING = 0.9, math.radians(35)
_YAWS, _PITCHES = 12, (math.radians(-8), math.radians(-32))
# How often a point should be seen, and what a look must add to be worth its second.
_WANTED, _WORTH = 2.0, 0.25
_FEWEST, _MOST = 10, 24
# Pixels of a picture 320 across that a thing must fill, and the share of it that must show.
_PIXELS, _SHARE = 60.0, 0.2
_NEAR, _FAR = 0.5, 7.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tour:
    """A walk, and which things are seen well on it.

    Attributes:
        walk: In the layout's frame: walls along x and y, the floor at z = 0.
        seen: For each placed thing whether enough of it is seen.
    """

    walk: Walk
    seen: Bool[np.ndarray, " n"]


def camera_walk(layout: Layout, *, rng: np.random.Generator) -> Tour:
    """Walk through a furnished room.

    Args:
        layout: What stands where; at least one thing.
        rng: Where random numbers come from.

    Returns:
        The walk, 15 to 80 seconds at 30 poses a second, and what is seen on it.
    """
    grid = FloorGrid(layout.outline)
    for placed in layout.placed:
        low = placed.mesh.vertices[:, 2].min()
        if placed.kind != "rug" and low < 1.0:
            grid.take(_corners(placed.mesh.vertices))
    path = _path(grid, rng=rng)
    reach = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    stops = np.linspace(0.0, reach[-1], max(2, min(14, round(reach[-1] / _STOP) + 1)))
    eyes = np.stack([np.interp(stops, reach, path[:, k]) for k in (0, 1)] + [0 * stops + _EYE], 1)
    points = sample_surface([placed.mesh for placed in layout.placed], rng=rng)
    shown, pixels = _shows(eyes, points, HeightMap(layout).visible(eyes, points))
    looks = _choose(shown, points)
    seen = _seen(shown[looks], pixels[looks], points, num=len(layout.placed))
    keys = _in_order([_first(looks, shown, points), *looks.tolist()], rng=rng)
    return Tour(walk=_poses(keys, stops=stops, path=path, reach=reach, rng=rng), seen=seen)


# The way -------------------------------------------------------------------------------------


def _corners(vertices: Float64[np.ndarray, "v 3"]) -> Float64[np.ndarray, "k 2"]:
    hull = cv2.convexHull(vertices[:, :2].astype(np.float32))
    return np.asarray(hull.reshape(-1, 2), dtype=np.float64)


def _path(grid: FloorGrid, *, rng: np.random.Generator) -> Float64[np.ndarray, "m 2"]:
    """A smooth way past spots that lie far from each other."""
    cells = _walked(grid)
    middles = grid.middles(cells)
    num = int(np.clip(len(middles) * CELL**2 / 2.5, 3, 7))
    spots = [int(rng.integers(len(middles)))]
    spots[0] = int(np.linalg.norm(middles - middles[spots[0]], axis=1).argmax())
    far = np.full(len(middles), np.inf)
    for _ in range(num - 1):
        far = np.minimum(far, np.linalg.norm(middles - middles[spots[-1]], axis=1))
        spots.append(int(far.argmax()))
    rest, at, ways = spots[1:], spots[0], [middles[spots[:1]]]
    while rest:
        steps = _steps_from(cells, grid, middles[at])
        rows, columns = grid.cells(middles[rest])
        nearest = int(steps[rows, columns].argmin())
        goal = rest.pop(nearest)
        ways.append(_back(steps, grid, middles[goal])[::-1][1:])
        at = goal
    return _smoothed(np.concatenate(ways), cells, grid)


def _walked(grid: FloorGrid) -> Bool[np.ndarray, "h w"]:
    """The cells to walk on: well away from things, where that does not leave out much."""
    ways = [grid.walkable(clearance=clearance)[0] for clearance in _CLEARANCES]
    return next(cells for cells in ways if 2 * cells.sum() >= ways[-1].sum())


def _steps_from(
    cells: Bool[np.ndarray, "h w"], grid: FloorGrid, start: Float64[np.ndarray, "2"]
) -> Int64[np.ndarray, "h w"]:
    """How many steps each cell is from a start, by a wave that grows cell by cell."""
    steps = np.full(cells.shape, 10**6, dtype=np.int64)
    free, wave = cells.astype(np.uint8), np.zeros(cells.shape, dtype=np.uint8)
    rows, columns = grid.cells(start[None])
    wave[rows, columns] = 1
    square, cross = np.ones((3, 3), np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    for step in range(cells.size):
        steps[(wave > 0) & (steps == 10**6)] = step
        # Squares and crosses in turn: the wave grows almost round.
        grown = np.asarray(cv2.dilate(wave, square if step % 2 else cross), dtype=np.uint8) & free
        if (grown == wave).all():
            if step % 2 == 0:
                break
            continue
        wave = grown
    return steps


def _back(
    steps: Int64[np.ndarray, "h w"], grid: FloorGrid, goal: Float64[np.ndarray, "2"]
) -> Float64[np.ndarray, "m 2"]:
    """The cells from a goal down to where the wave began."""
    rows, columns = grid.cells(goal[None])
    row, column = int(rows[0]), int(columns[0])
    way = [(column, row)]
    while steps[row, column] > 0:
        around = steps[row - 1 : row + 2, column - 1 : column + 2]
        down, right = np.unravel_index(int(around.argmin()), (3, 3))
        row, column = row + int(down) - 1, column + int(right) - 1
        way.append((column, row))
    return np.asarray(grid.low + (np.array(way) + 0.5) * CELL)


def _smoothed(
    way: Float64[np.ndarray, "m 2"], cells: Bool[np.ndarray, "h w"], grid: FloorGrid
) -> Float64[np.ndarray, "m 2"]:
    """As smooth as can be without coming nearer to things than allowed by more than a little."""
    for width in (17, 11, 7, 3):
        ends = np.concatenate([way[:1].repeat(width, 0), way, way[-1:].repeat(width, 0)])
        weights = np.hanning(2 * width + 3)[1:-1]
        weights = weights / weights.sum()
        smooth = np.stack([np.convolve(ends[:, k], weights, mode="valid") for k in (0, 1)], axis=1)
        if cells[grid.cells(smooth)].mean() > 0.98:
            return smooth
    return way


# The looks -----------------------------------------------------------------------------------


def _shows(
    eyes: Float64[np.ndarray, "s 3"],
    points: SurfacePoints,
    visible: Bool[np.ndarray, "s p"],
) -> tuple[Bool[np.ndarray, "q p"], Float64[np.ndarray, "q p"]]:
    """Which points each look shows, stop by stop, and how many pixels each of them stands for."""
    K = intrinsics((320, 240))
    ways = points.at[None] - eyes[:, None]
    distance = np.linalg.norm(ways, axis=2)
    facing = -(ways * points.normals[None]).sum(axis=2) / distance
    pixels = points.areas * facing.clip(0) * K[0, 0] ** 2 / distance**2
    fine = visible & (distance > _NEAR) & (distance < _FAR)
    shown = []
    yaws, pitches = np.array(_gazes()).T
    for axes in _camera_axes(yaws, pitches, np.zeros_like(yaws)):
        turned = ways @ axes.T
        depth = turned[..., 2]
        inside = depth > 0.2
        for axis in (0, 1):
            edge = K[axis, 2] / K[axis, axis] * 0.97
            inside &= np.abs(turned[..., axis]) < edge * depth
        shown.append(fine & inside)
    num = len(shown)
    by_look = np.stack(shown, axis=1).reshape(-1, len(points.owners))
    return by_look, np.repeat(pixels, num, axis=0)


def _gazes() -> list[tuple[float, float]]:
    """Yaw and pitch of each look, radians."""
    return [(2 * math.pi * i / _YAWS, pitch) for i in range(_YAWS) for pitch in _PITCHES]


def _camera_axes(
    yaw: Float64[np.ndarray, " n"],
    pitch: Float64[np.ndarray, " n"],
    roll: Float64[np.ndarray, " n"],
) -> Float64[np.ndarray, "n 3 3"]:
    """The camera's x, y and z axes in the world, one a row."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    x = np.stack([sy, -cy, 0 * cy], axis=1)
    y = np.stack([sp * cy, sp * sy, -cp], axis=1)
    z = np.stack([cy * cp, sy * cp, sp], axis=1)
    c, s = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return np.stack([c * x + s * y, c * y - s * x, z], axis=1)


def _choose(shown: Bool[np.ndarray, "q p"], points: SurfacePoints) -> Int64[np.ndarray, " k"]:
    """The looks that show most, in the order of what each adds to those before."""
    each = np.bincount(points.owners)[points.owners]
    worth = shown / each
    wanted = np.full(shown.shape[1], _WANTED)
    chosen: list[int] = []
    while len(chosen) < min(_MOST, len(shown)):
        gains = worth @ wanted
        gains[chosen] = -1.0
        best = int(gains.argmax())
        if len(chosen) >= _FEWEST and gains[best] < _WORTH:
            break
        chosen.append(best)
        # The first sight of a point counts twice as much as the second.
        wanted = np.where(shown[best], (wanted - 1.2).clip(0), wanted)
    return np.array(chosen, dtype=np.int64)


def _seen(
    shown: Bool[np.ndarray, "k p"],
    pixels: Float64[np.ndarray, "k p"],
    points: SurfacePoints,
    *,
    num: int,
) -> Bool[np.ndarray, " n"]:
    """Which things are seen well: large enough in one look, and enough of them in all."""
    share = np.bincount(points.owners, shown.any(axis=0)) / np.bincount(points.owners)
    best = np.zeros(num)
    for look, size in zip(shown, pixels, strict=True):
        best = np.maximum(best, np.bincount(points.owners, look * size))
    return np.asarray((share >= _SHARE) & (best >= _PIXELS))


def _first(
    looks: Int64[np.ndarray, " k"], shown: Bool[np.ndarray, "q p"], points: SurfacePoints
) -> int:
    """The look at the first stop that shows least, so that not all is seen at once."""
    num = len(_gazes())
    stop = int(looks.min()) // num
    each = np.bincount(points.owners)[points.owners]
    return stop * num + int((shown[stop * num :][:num] / each).sum(axis=1).argmin())


def _in_order(looks: Sequence[int], *, rng: np.random.Generator) -> list[tuple[int, float, float]]:
    """Looks as stop, yaw and pitch: stop after stop, turning one way at each."""
    gazes = _gazes()
    keys: list[tuple[int, float, float]] = []
    yaw = gazes[looks[0] % len(gazes)][0]
    turning = 1.0 if rng.random() < 0.5 else -1.0
    for stop in sorted({look // len(gazes) for look in looks}):
        here = [gazes[look % len(gazes)] for look in looks if look // len(gazes) == stop]
        ahead = [((turning * (gaze[0] - yaw)) % (2 * math.pi), gaze[1]) for gaze in here]
        behind = [((-turning * (gaze[0] - yaw)) % (2 * math.pi), gaze[1]) for gaze in here]
        if max(behind)[0] < max(ahead)[0]:
            ahead, turning = behind, -turning
        start = yaw
        for turn, pitch in sorted(ahead):
            yaw = start + turning * turn
            keys.append((stop, yaw, pitch))
    return keys


def _poses(
    keys: list[tuple[int, float, float]],
    *,
    stops: Float64[np.ndarray, " s"],
    path: Float64[np.ndarray, "m 2"],
    reach: Float64[np.ndarray, " m"],
    rng: np.random.Generator,
) -> Walk:
    """Poses from one look to the next, at the pace of a person."""
    along = np.array([stops[stop] for stop, _, _ in keys])
    yaws, pitches = (np.array([key[k] for key in keys]) for k in (1, 2))
    lasts = np.maximum.reduce(
        [
            np.diff(along, prepend=along[0]) / _SPEED,
            np.abs(np.diff(yaws, prepend=yaws[0])) / _TURNING,
            np.full(len(keys), 0.2),
        ]
    )
    at = np.cumsum(lasts)
    num = int((at[-1] + 0.4) * _FPS)
    times = np.arange(num) / _FPS
    place, yaw, pitch = (_eased(np.interp(times, at, v)) for v in (along, yaws, pitches))
    phase = rng.uniform(0, 2 * math.pi, 3)
    poses = np.tile(np.eye(4), (num, 1, 1))
    roll = math.radians(1.2) * np.sin(1.7 * times + phase[0])
    poses[:, :3, :3] = _camera_axes(yaw, pitch, roll).transpose(0, 2, 1)
    poses[:, 0, 3] = np.interp(place, reach, path[:, 0])
    poses[:, 1, 3] = np.interp(place, reach, path[:, 1])
    poses[:, 2, 3] = _EYE + 0.02 * np.sin(4.1 * times + phase[1])
    return Walk(times=times, poses=poses)


def _eased(values: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Without jerks: the mean over half a second."""
    width = int(0.5 * _FPS) | 1
    ends = np.concatenate([np.full(width // 2, values[0]), values, np.full(width // 2, values[-1])])
    return np.convolve(ends, np.full(width, 1 / width), mode="valid")
