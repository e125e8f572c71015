"""Depth and poses made worse, as sensors and trackers make them.

What is drawn for a frame depends on the seed and the frame's index and time alone: frames may be
left out, or come in any order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64

from groundplane.core.camera import DepthNoise, Frame
from groundplane.core.errors import InputError

__all__ = ["DepthErrors", "PoseErrors", "worse_depth", "worse_pose"]

# Seconds between the knots of a drift, and how far ahead it is drawn at once.
_KNOT, _AHEAD = 0.1, 1024
# A jump of depth of that share is an edge, at which pixels fly.
_EDGE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthErrors:
    """How depths are off; as it stands, not at all.

    Attributes:
        noise: Standard deviation of each pixel by itself, and, as `common`, of the scale of all
            frames of a capture together.
        holes: Share of pixels without depth, in patches.
        flying: Share of the pixels at edges that hold a depth between the near and the far side.
        step: Depths are rounded to that many metres; 0 for not.
        farthest: Metres; what is farther is unknown.
        seed: Other seeds give other errors.

    Raises:
        InputError: If a share is not in [0, 1], or another number is negative or not a number.
    """

    noise: DepthNoise = field(default_factory=DepthNoise)
    holes: float = 0.0
    flying: float = 0.0
    step: float = 0.0
    farthest: float = math.inf
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("holes", "flying"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(
                    f"depth errors: expected {name} from 0 to 1, got {getattr(self, name)}"
                )
        for name in ("step", "farthest", "seed"):
            if not getattr(self, name) >= 0:
                raise InputError(
                    f"depth errors: expected {name} of at least 0, got {getattr(self, name)}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseErrors:
    """How poses are off; as it stands, not at all.

    Attributes:
        shift: Metres along each axis, standard deviation, frame by frame.
        turn: Degrees about each axis, standard deviation, frame by frame.
        drift: Metres along each axis after one second, standard deviation: a random walk, so
            twice as far after four.
        drift_turn: Degrees about each axis after one second, likewise.
        seed: Other seeds give other errors.

    Raises:
        InputError: If a number is negative or not finite.
    """

    shift: float = 0.0
    turn: float = 0.0
    drift: float = 0.0
    drift_turn: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("shift", "turn", "drift", "drift_turn", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(
                    f"pose errors: expected {name} of at least 0, got {getattr(self, name)}"
                )


def worse_depth(frame: Frame, errors: DepthErrors) -> Frame:
    """A frame with a worse depth, which says how far it may be off.

    Raises:
        InputError: If the frame has no depth.
    """
    if frame.depth is None:
        raise InputError(f"depth errors: frame {frame.index} has no depth")
    rng = np.random.default_rng([errors.seed, 1, frame.index])
    true = frame.depth.cpu().numpy()
    depth = _flying(true, rng, share=errors.flying)
    sigma = errors.noise.sigma(torch.from_numpy(true)).numpy()
    common = np.random.default_rng([errors.seed, 2]).normal() * errors.noise.common
    depth = depth * np.float32(1 + common) + sigma * rng.standard_normal(true.shape, np.float32)
    if errors.step:
        depth = np.round(depth / errors.step) * errors.step
    gone = (true <= 0) | (depth <= 0) | (depth > errors.farthest)
    gone |= _holes(true.shape, rng, share=errors.holes)
    worse = torch.from_numpy(np.where(gone, 0.0, depth).astype(np.float32))
    return replace(frame, depth=worse.to(frame.depth.device), noise=_told(errors))


def _told(errors: DepthErrors) -> DepthNoise:
    """What a frame says of its noise: rounding adds its own."""
    rounding = errors.step / math.sqrt(12)
    return replace(errors.noise, base=math.hypot(errors.noise.base, rounding))


def _flying(
    depth: Float32[np.ndarray, "h w"], rng: np.random.Generator, *, share: float
) -> Float32[np.ndarray, "h w"]:
    """Pixels beside a jump of depth, drawn towards the other side."""
    if share == 0:
        return depth
    moved = depth.copy()
    for axis in (0, 1):
        other = np.roll(depth, 1, axis=axis)
        edge = (np.abs(depth - other) > _EDGE * np.minimum(depth, other)) & (other > 0)
        edge[(0, slice(None)) if axis == 0 else (slice(None), 0)] = False
        hit = edge & (rng.random(depth.shape, np.float32) < share)
        weight = rng.random(depth.shape, np.float32)
        moved = np.where(hit, weight * depth + (1 - weight) * other, moved)
    return moved


def _holes(
    shape: tuple[int, ...], rng: np.random.Generator, *, share: float
) -> Bool[np.ndarray, "h w"]:
    """Blocks of eight by eight pixels."""
    height, width = shape
    blocks = rng.random((-(-height // 8), -(-width // 8))) < share
    return np.asarray(np.kron(blocks, np.ones((8, 8), dtype=bool))[:height, :width])


def worse_pose(frame: Frame, errors: PoseErrors) -> Frame:
    """A frame with its camera moved and turned a little.

    Raises:
        InputError: If the frame has no pose, or its time is negative.
    """
    camera = frame.camera
    if camera is None or camera.T_world_cam is None:
        raise InputError(f"pose errors: frame {frame.index} has no pose")
    if frame.time < 0:
        raise InputError(f"pose errors: expected a time of at least 0, got {frame.time}")
    rng = np.random.default_rng([errors.seed, 3, frame.index])
    drift = _drift(errors.seed, frame.time)
    shift = errors.shift * rng.normal(size=3) + errors.drift * drift[:3]
    turn = np.radians(errors.turn * rng.normal(size=3) + errors.drift_turn * drift[3:])
    worse = camera.T_world_cam.astype(np.float64)
    worse[:3, :3] = _rotation(turn) @ worse[:3, :3]
    worse[:3, 3] += shift
    return replace(frame, camera=replace(camera, T_world_cam=worse))


def _drift(seed: int, time: float) -> Float64[np.ndarray, "6"]:
    """A random walk of six numbers at a time; its standard deviation is 1 after a second."""
    at = time / _KNOT
    knots = _knots(seed, int(at) // _AHEAD + 1)
    part = at - int(at)
    return np.asarray((1 - part) * knots[int(at)] + part * knots[int(at) + 1])


@lru_cache(maxsize=16)
def _knots(seed: int, chunks: int) -> Float64[np.ndarray, "k 6"]:
    rng = np.random.default_rng([seed, 4])
    steps = rng.normal(size=(chunks * _AHEAD, 6)) * math.sqrt(_KNOT)
    return np.concatenate([np.zeros((1, 6)), np.cumsum(steps, axis=0)])


def _rotation(turn: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "3 3"]:
    """The turn about an axis by its length in radians (Rodrigues)."""
    angle = float(np.linalg.norm(turn))
    if angle == 0:
        return np.eye(3)
    x, y, z = turn / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross)
