"""Which way is up in a capture: from floors and walls, else from how cameras are held.

Floors, tables and ceilings face up or down; walls face across. So the direction that most of
the seen surface is either along or across is up, or another of the three directions that walls
and floor have in common; the one that cameras are held to is taken.

Source: Coughlan and Yuille, Manhattan World, 1999, for three common directions; here they are
searched for over the half sphere about the cameras' up, and refined by least squares.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.camera import Frame
from groundplane.core.errors import InputError
from groundplane.spatial.mapping.surfaces import patches

__all__ = ["UpEstimate", "aligned", "estimate_up", "turn_to_up"]

# Surfaces that are used, over all frames; more tell no more.
_MOST = 12_000
# Steps across a picture; wider ones, where these show too little, are less noisy.
_GRIDS = (48, 20)
# Frames that are looked at for surfaces.
_FRAMES = 200
# Up is looked for within this angle of the cameras' up, radians.
_REACH = math.radians(60)
_CANDIDATES = 600
# A surface is along or across a direction within these angles, round after round, radians.
_ROUNDS = tuple(math.radians(angle) for angle in (10, 6, 4, 3, 3))
# Another of the three directions is a rival if it explains this share of what the best does.
_RIVAL = 0.75
# What the least surface and its least share are that say anything of up: square metres, and of
# the surface seen.
_LEAST_AREA = 0.3
_LEAST_SHARE = 0.35
# Surfaces of a frame are not independent: many have one wall, and one error of depth or pose.
_PATCHES_AN_ERROR = 200
_LEAST_SIGMA = math.radians(0.2)
# How far people hold a camera from level, when nothing else is known.
_HELD_SIGMA = math.radians(20)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpEstimate:
    """Which way is up.

    Attributes:
        up: Unit vector in the capture's own world.
        sigma: How far it may be off, a standard deviation about either axis, radians.
        how: `stated` by the capture, seen from `floor and walls`, or only from how the `camera`
            was held.
        notes: What a reader must know of it, in words.
    """

    up: tuple[float, float, float]
    sigma: float
    how: Literal["stated", "floor and walls", "camera"]
    notes: tuple[str, ...] = ()


def estimate_up(frames: Iterable[Frame], *, stated: Sequence[float] | None = None) -> UpEstimate:
    """Find which way is up in the world of a capture.

    Args:
        frames: Some frames of it, best spread over all of it. Those without a pose are left out;
            where none has one, the world is the camera of the first.
        stated: What the capture itself says, in its own world; it is believed.

    Raises:
        InputError: If there are no frames, or what is stated is no direction.

    Examples:
        >>> estimate_up([], stated=(0, -2, 0)).up
        (0.0, -1.0, 0.0)
    """
    if stated is not None:
        return UpEstimate(up=_unit(stated), sigma=0.0, how="stated")
    posed = _posed(frames)
    held, level = _held(posed)
    for across in _GRIDS:
        normals, areas = _surfaces(posed, across=across)
        found = _search(normals, areas, held=held, level=level)
        if found is not None:
            up, sigma = found
            return UpEstimate(up=_unit(up.tolist()), sigma=sigma, how="floor and walls")
    note = (
        "which way is up is guessed from how the camera was held, as too little floor and wall "
        f"was seen: it may be off by {math.degrees(_HELD_SIGMA):.0f} degrees"
    )
    return UpEstimate(up=_unit(held.tolist()), sigma=_HELD_SIGMA, how="camera", notes=(note,))


def turn_to_up(up: Sequence[float]) -> Float[np.ndarray, "4 4"]:
    """The motion that turns a world so that `up` becomes z, and nothing more than needed.

    Raises:
        InputError: If `up` is no direction.

    Examples:
        >>> turn_to_up((0, -1, 0)).round(6).tolist()[2]
        [0.0, -1.0, 0.0, 0.0]
    """
    x, y, z = _unit(up)
    turn = np.eye(4)
    across = x * x + y * y
    if across < 1e-24:
        # Upright, or upside down: half a turn about x.
        turn[:3, :3] = np.diag([1.0, math.copysign(1.0, z), math.copysign(1.0, z)])
        return turn
    # Rodrigues' formula for the turn about up x z, its angle given by their cosine z; written so
    # that it holds near half a turn: 1 / (1 + z) is (1 - z) / (x x + y y).
    cross = np.array([[0, 0, -x], [0, 0, -y], [x, y, 0]])
    turn[:3, :3] += cross + cross @ cross * ((1 - z) / across)
    return turn


def aligned(frame: Frame, up: UpEstimate | Sequence[float]) -> Frame:
    """The same frame in a world whose z is up; a frame without a pose stays as it is.

    Args:
        frame: In the capture's own world.
        up: Which way is up there.

    Raises:
        InputError: If `up` is no direction.
    """
    turn = turn_to_up(up.up if isinstance(up, UpEstimate) else up)
    camera = frame.camera
    if camera is None or camera.T_world_cam is None:
        return frame
    return replace(frame, camera=replace(camera, T_world_cam=turn @ camera.T_world_cam))


def _unit(direction: Sequence[float]) -> tuple[float, float, float]:
    vector = np.asarray(direction, dtype=np.float64)
    if vector.shape != (3,) or not 0 < (length := float(np.linalg.norm(vector))) < math.inf:
        raise InputError(f"up: expected three finite numbers that are not all 0, got {direction!r}")
    x, y, z = (vector / length).tolist()
    return (x, y, z)


def _posed(frames: Iterable[Frame]) -> list[tuple[Frame, Float[np.ndarray, "3 3"]]]:
    """Frames with the turn from their camera to the world."""
    first: Frame | None = None
    posed: list[tuple[Frame, Float[np.ndarray, "3 3"]]] = []
    for frame in frames:
        first = first or frame
        if frame.camera is not None and frame.camera.T_world_cam is not None:
            posed.append((frame, frame.camera.T_world_cam[:3, :3].astype(np.float64)))
    if first is None:
        raise InputError("up: expected at least one frame, got none")
    return posed or [(first, np.eye(3))]


def _held(
    posed: Sequence[tuple[Frame, Float[np.ndarray, "3 3"]]],
) -> tuple[Float[Tensor, " 3"], Float[Tensor, "n 3"]]:
    """The cameras' mean up, and their right axes, which people hold level."""
    turns = np.stack([turn for _, turn in posed])
    up = -turns[:, :, 1].mean(axis=0)
    if np.linalg.norm(up) < 1e-3:
        up = -turns[0, :, 1]  # cameras were held in all ways
    held = torch.from_numpy(up / np.linalg.norm(up))
    return held, torch.from_numpy(turns[:, :, 0])


def _surfaces(
    posed: Sequence[tuple[Frame, Float[np.ndarray, "3 3"]]], *, across: int
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, " n"]]:
    """Normals in the world and areas of what the frames show."""
    normals, areas = [torch.zeros(0, 3, dtype=torch.float64)], [torch.zeros(0, dtype=torch.float64)]
    for frame, turn in posed[:: math.ceil(len(posed) / _FRAMES)]:
        if frame.depth is None or frame.camera is None:
            continue
        seen = patches(frame, across=across)
        normals.append(seen.normals.double().cpu() @ torch.from_numpy(turn).T)
        areas.append(seen.areas.double().cpu())
    normal, area = torch.cat(normals), torch.cat(areas)
    step = math.ceil(len(area) / _MOST) or 1
    return normal[::step], area[::step] * step


def _search(
    normals: Float[Tensor, "n 3"],
    areas: Float[Tensor, " n"],
    *,
    held: Float[Tensor, " 3"],
    level: Float[Tensor, "f 3"],
) -> tuple[Float[Tensor, " 3"], float] | None:
    """The direction that most surface is along or across, nearest to how cameras are held."""
    total = float(areas.sum())
    if total < _LEAST_AREA:
        return None
    candidates = _cap(held)
    thin = max(1, len(areas) // 2000)
    explained = _explained(candidates, normals[::thin], areas[::thin] * thin)
    best: list[tuple[float, float, Float[Tensor, " 3"], float]] = []
    for _ in range(3):
        top = int(explained.argmax())
        if explained[top] <= 0:
            break
        refined = _refine(candidates[top], normals, areas)
        # What lies near it is the same direction again.
        explained = explained.masked_fill(candidates @ candidates[top] > math.cos(0.3), 0.0)
        if refined is None:
            continue
        up, sigma = refined
        share = float(_explained(up[None], normals, areas, angle=_ROUNDS[-1])[0]) / total
        likely = float(up @ held) - float((level @ up).abs().mean())
        best.append((share, likely, up, sigma))
    best = [hit for hit in best if hit[0] >= _RIVAL * max(other[0] for other in best)]
    if not best:
        return None
    share, _, up, sigma = max(best, key=lambda hit: hit[1])
    return None if share < _LEAST_SHARE else (up, sigma)


def _cap(middle: Float[Tensor, " 3"]) -> Float[Tensor, "n 3"]:
    """Directions evenly over the part of the sphere about one of them (a Fibonacci spiral)."""
    index = torch.arange(_CANDIDATES, dtype=torch.float64)
    z = 1 - (index + 0.5) / _CANDIDATES * (1 - math.cos(_REACH))
    around = index * (math.pi * (3 - math.sqrt(5)))
    radius = (1 - z * z).sqrt()
    local = torch.stack([radius * around.cos(), radius * around.sin(), z], dim=1)
    back = torch.from_numpy(turn_to_up(middle.tolist())[:3, :3])
    return local @ back


def _explained(
    ups: Float[Tensor, "c 3"],
    normals: Float[Tensor, "n 3"],
    areas: Float[Tensor, " n"],
    *,
    angle: float = math.radians(8),
) -> Float[Tensor, " c"]:
    """Square metres that lie along or across each direction.

    More surface lies across a direction by chance than along it: a band of the sphere against
    two caps. Each kind counts less what chance gives.
    """
    along = (ups @ normals.T).abs()
    caps, band = 1 - math.cos(angle), math.sin(angle)
    kind = (along > math.cos(angle)).double() * (1 - caps) + (along < band).double() * (1 - band)
    explained: Float[Tensor, " c"] = kind @ areas
    return explained


def _refine(
    up: Float[Tensor, " 3"], normals: Float[Tensor, "n 3"], areas: Float[Tensor, " n"]
) -> tuple[Float[Tensor, " 3"], float] | None:
    """The direction by least squares, and its standard deviation; None where it is not fixed."""
    weights = areas.clamp(max=20 * float(areas.median()))
    for angle in _ROUNDS:
        cosine = (normals @ up).abs()
        floor, wall = cosine > math.cos(angle), cosine < math.sin(angle)
        across = (normals[wall] * weights[wall, None]).T @ normals[wall]
        along = (normals[floor] * weights[floor, None]).T @ normals[floor]
        # The sum of squared sines of floors and cosines of walls is up' M up.
        matrix = across + torch.eye(3, dtype=torch.float64) * weights[floor].sum() - along
        values, vectors = torch.linalg.eigh(matrix)
        up = vectors[:, 0] * torch.sign(vectors[:, 0] @ up)
    used = float(weights[floor | wall].sum())
    # Both tilts must be fixed: walls that face one way leave up free to turn about their normal.
    if used <= 0 or float(values[1] - values[0]) < 0.05 * used:
        return None
    count = max(1.0, int((floor | wall).sum()) / _PATCHES_AN_ERROR)
    spread = float(values[0].clamp_min(0)) / float(values[1] - values[0]) / count
    return up, max(_LEAST_SIGMA, math.sqrt(spread))
