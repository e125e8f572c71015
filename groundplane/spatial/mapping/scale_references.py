"""Places of a picture whose distance is known, from which relative depth gets its unit.

A thing of known size, a known distance, and the floor below a camera of known height all come to
the same: at some places the true 1 / depth is known beside the estimated one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import InputError
from groundplane.core.masks import decode
from groundplane.core.regions import Regions

__all__ = ["KnownDistance", "Reference", "of_distances", "of_floor", "of_objects"]

# Pixels of the floor that are looked at, and pairs of them that a line is tried through.
_SAMPLES, _PAIRS = 4000, 400
# How far off the line a pixel of the floor may be, as a share of the steepest fall seen.
_TOLERANCE = 0.02
# The share of the pixels below the horizon that must be floor.
_LEAST_FLOOR = 0.15
# Nothing lies below a floor, but for this share of the pixels, so much below it.
_BELOW, _CLEARLY = 0.02, 1.12
# A level that this share as many pixels have as the commonest one is a floor if it is lower.
_RIVAL = 0.3
# How many levels a doubling of the height is divided into.
_LEVELS = 24
# Of a box, this much in the middle shows the thing itself.
_CORE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A place whose distance is known.

    Attributes:
        inverse: 1 / depth there, 1 / metres.
        disparity: 1 / depth as estimated, in an unknown unit.
        error: By what share the first may be off, a standard deviation.
        what: What is known, for the sentence `depth scaled by ...`.
    """

    inverse: float
    disparity: float
    error: float
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDistance:
    """How far the camera is from what a box of the picture shows.

    Attributes:
        box: `xyxy`, pixels; the depth in its middle half counts.
        metres: From the camera's lens.
        error: By what share it may be off.

    Raises:
        InputError: If a number is out of range.
    """

    box: tuple[float, float, float, float]
    metres: float
    error: float = 0.02

    def __post_init__(self) -> None:
        _check_metres("the distance", self.metres, self.error)
        x0, y0, x1, y1 = self.box
        if not (all(map(math.isfinite, self.box)) and x0 < x1 and y0 < y1):
            raise InputError(f"known distance: expected a box with area, got {self.box}")


def of_distances(frame: Frame, known: Sequence[KnownDistance]) -> list[Reference]:
    """References of distances that somebody measured.

    Raises:
        InputError: If the frame has no intrinsics, or no depth in a box.
    """
    found: list[Reference] = []
    for one in known:
        camera, depth = _camera(frame), _depth(frame)
        x0, y0, x1, y1 = one.box
        disparity = _disparity(depth, _inside(depth, one.box))
        if disparity is None:
            raise InputError(
                f"known distance: frame {frame.index} has no depth in the box {one.box}. Try: "
                "another box, on the thing and within the picture"
            )
        ray = np.linalg.inv(camera.K) @ [(x0 + x1) / 2, (y0 + y1) / 2, 1.0]
        found.append(
            Reference(
                inverse=float(np.linalg.norm(ray)) / one.metres,
                disparity=disparity,
                error=one.error,
                what=f"a known distance of {one.metres:.2f} m",
            )
        )
    return found


def of_objects(
    frame: Frame,
    regions: Regions,
    known: Mapping[str, float],
    *,
    side: Literal["height", "width"] = "height",
    error: float = 0.05,
) -> list[Reference]:
    """References of things of known size that stand whole in the picture.

    A thing is taken to face the camera; one that touches the picture's border is passed over,
    since it goes on there.

    Args:
        frame: With intrinsics and depth.
        regions: What was found in it.
        known: Metres of each label; only these count.
        side: Which side of the box the metres are of.
        error: By what share a size may be off. Two pixels of the box come on top.

    Raises:
        InputError: If a size or error is out of range, or the frame has no intrinsics.
    """
    sizes = {label.strip().casefold(): metres for label, metres in known.items()}
    for label, stated in sizes.items():
        _check_metres(f"the {side} of {label!r}", stated, error)
    if not sizes or not len(regions):
        return []
    axis = 1 if side == "height" else 0
    focal = float(_camera(frame).K[axis, axis])
    depth, found = _depth(frame), []
    for i, (box, phrase) in enumerate(_labelled(regions)):
        long = box[axis + 2] - box[axis]
        metres = sizes.get(phrase.strip().casefold())
        if metres is None or not long > 0 or _at_border(box, frame.image.size, axis=axis):
            continue
        where = _inside(depth, box)
        if regions.masks is not None:
            mask = torch.from_numpy(np.ascontiguousarray(decode(regions.masks[i])))
            where = mask.to(device=depth.device, dtype=torch.bool)
        middle = _disparity(depth, where)
        if middle is not None:
            found.append(
                Reference(
                    inverse=long / (focal * metres),
                    disparity=middle,
                    error=math.hypot(error, 2 / long),
                    what=f"the {side} of the {phrase.strip()} ({metres:.2f} m)",
                )
            )
    return found


def of_floor(
    frame: Frame,
    height: float,
    *,
    up: Sequence[float] | None = None,
    affine: bool = True,
    error: float = 0.05,
) -> list[Reference]:
    """References of the floor below a camera of known height.

    A ray that falls by q metres a metre of depth meets the floor at 1 / depth = q / height. So of
    the pixels below the horizon those of the floor lie on a line: q against the estimated
    1 / depth. What stands on the floor is nearer, and lies beside it.

    Args:
        frame: With intrinsics and depth.
        height: Of the camera over the floor, metres.
        up: Which way is up in the camera (x right, y down, z forward); None takes it from the
            frame's pose, in a world whose z is up.
        affine: Whether 1 / depth has an unknown offset. Without it the floor is the lowest level
            that many pixels have.
        error: By what share the height may be off.

    Returns:
        One reference, or two where there is an offset; none where too little floor is seen.

    Raises:
        InputError: If a number is out of range, or intrinsics or the way up are not known.
    """
    _check_metres("the camera's height", height, error)
    disparity, fall = _below_horizon(_camera(frame), _depth(frame), _up(frame, up))
    if len(disparity) < 50:
        return []
    what = f"the camera height of {height:.2f} m"
    places = _on_line(disparity, fall) if affine else _on_level(disparity, fall)
    return [Reference(inverse=q / height, disparity=d, error=error, what=what) for d, q in places]


def _below_horizon(
    camera: Camera, depth: Float[Tensor, "h w"], up: Float[np.ndarray, "3"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Estimated 1 / depth and fall of some pixels below the horizon."""
    rows, columns = depth.shape
    across, down, along = (-(up @ np.linalg.inv(camera.K))).tolist()
    u = torch.arange(columns, device=depth.device) + 0.5
    v = torch.arange(rows, device=depth.device) + 0.5
    fall = across * u[None] + (down * v[:, None] + along)
    good = (depth > 0) & (fall > 0.02)
    disparity, fall = 1 / depth[good], fall[good]
    step = max(1, len(fall) // _SAMPLES)
    return disparity[::step], fall[::step].to(disparity.dtype)


def _on_line(
    disparity: Float[Tensor, " n"], fall: Float[Tensor, " n"]
) -> list[tuple[float, float]]:
    """Two places on the line on which most pixels lie, and that no pixel contradicts.

    A line is contradicted by pixels that it would put behind the camera, or below the floor: then
    it is the top of a bed or table.
    """
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(len(fall), (2, _PAIRS), generator=generator).to(fall.device)
    d, q = disparity[pairs], fall[pairs]
    slope = (q[1] - q[0]) / (d[1] - d[0])
    offset = q[0] - slope * d[0]
    usable = slope.isfinite() & (slope > 0)
    slope, offset = torch.where(usable, slope, 1.0), torch.where(usable, offset, 0.0)
    fits = slope[:, None] * disparity + offset[:, None]
    tolerance = _TOLERANCE * fall.max()
    near = (fits - fall).abs() < tolerance
    usable &= (fits > 0).float().mean(dim=1) > 1 - _BELOW
    usable &= (fits < fall - 3 * tolerance).float().mean(dim=1) < _BELOW
    votes = torch.where(usable, near.float().mean(dim=1), 0.0)
    best = votes.argmax()
    on, share = near.index_select(0, best[None])[0], float(votes.max())
    if share < _LEAST_FLOOR:
        return []
    d, q = disparity[on].double(), fall[on].double()
    spread = d - d.mean()
    if float(spread.std()) < 0.05 * float(d.mean()):
        return []
    slope = (spread * q).sum() / (spread * spread).sum()
    ends = torch.quantile(d, torch.tensor([0.1, 0.9], dtype=d.dtype, device=d.device))
    return _pairs(ends, q.mean() + slope * (ends - d.mean()))


def _on_level(
    disparity: Float[Tensor, " n"], fall: Float[Tensor, " n"]
) -> list[tuple[float, float]]:
    """A place on the lowest level that many pixels have."""
    level = torch.log2(fall / disparity)
    bins = ((level - level.min()) * _LEVELS).long()
    counts = torch.bincount(bins).float()
    # A level may fall between two bins.
    counts = torch.nn.functional.avg_pool1d(counts[None], 3, 1, 1, count_include_pad=True)[0] * 3
    if float(counts.max()) < _LEAST_FLOOR * len(level):
        return []
    lowest = (counts >= _RIVAL * counts.max()).nonzero()[-1]
    peak = counts[max(0, int(lowest) - 3) : int(lowest) + 1].argmax() + max(0, int(lowest) - 3)
    on = (bins - peak).abs() <= 1
    middle = torch.exp2(level[on].median())
    q = fall[on].median()
    if float((fall / disparity > _CLEARLY * middle).float().mean()) > _BELOW:
        return []
    return _pairs((q / middle)[None], q[None])


def _pairs(d: Float[Tensor, " k"], q: Float[Tensor, " k"]) -> list[tuple[float, float]]:
    found = torch.stack([d.double(), q.double()], dim=1).tolist()
    return [(a, b) for a, b in found if a > 0 and b > 0]


def _labelled(regions: Regions) -> list[tuple[list[float], str]]:
    ids = regions.phrase_ids.tolist()
    words = ["" if i < 0 else regions.phrases[i] for i in ids]
    return list(zip(regions.boxes.tolist(), words, strict=True))


def _at_border(box: Sequence[float], size: tuple[int, int], *, axis: int) -> bool:
    return box[axis] <= 1 or box[axis + 2] >= size[axis] - 1


def _inside(depth: Float[Tensor, "h w"], box: Sequence[float]) -> Bool[Tensor, "h w"]:
    """Pixels in the middle of a box, at least one where it lies in the picture."""
    x0, y0, x1, y1 = box
    across, down = (x1 - x0) * (1 - _CORE) / 2, (y1 - y0) * (1 - _CORE) / 2
    where = torch.zeros_like(depth, dtype=torch.bool)
    rows = slice(max(0, math.floor(y0 + down)), max(0, math.ceil(y1 - down)))
    columns = slice(max(0, math.floor(x0 + across)), max(0, math.ceil(x1 - across)))
    where[rows, columns] = True
    return where


def _disparity(depth: Float[Tensor, "h w"], where: Bool[Tensor, "h w"]) -> float | None:
    """The middle of 1 / depth at some pixels; None where none of them is known."""
    seen = depth[where & (depth > 0)]
    return float(1 / seen.median()) if len(seen) else None


def _depth(frame: Frame) -> Float[Tensor, "h w"]:
    if frame.depth is None:
        raise InputError(f"scaling: frame {frame.index} has no depth that could be scaled")
    return frame.depth


def _camera(frame: Frame) -> Camera:
    if frame.camera is None:
        raise InputError(
            f"scaling: frame {frame.index} has no intrinsics: how large things look says nothing "
            "without. Try: option fov of the geometry expert, in degrees"
        )
    return frame.camera


def _up(frame: Frame, up: Sequence[float] | None) -> Float[np.ndarray, "3"]:
    if up is None:
        pose = None if frame.camera is None else frame.camera.T_world_cam
        if pose is None:
            raise InputError(
                f"scaling: frame {frame.index} has no pose, so that which way is up must be told. "
                "Try: up=(0, -1, 0) for a level camera"
            )
        return np.asarray(pose[2, :3], dtype=np.float64)
    way = np.asarray(up, dtype=np.float64)
    length = float(np.linalg.norm(way)) if way.shape == (3,) else 0.0
    if not (math.isfinite(length) and length > 0):
        raise InputError(f"scaling: expected up as three numbers that are a direction, got {up}")
    return np.asarray(way / length)


def _check_metres(what: str, metres: float, error: float) -> None:
    if not 0 < metres < 10_000:
        raise InputError(
            f"scaling: expected {what} as metres above 0 and below 10000, got {metres}"
        )
    if not 0 <= error <= 1:
        raise InputError(f"scaling: expected the error of {what} as a share 0 to 1, got {error}")
