"""Furniture from simple parts: what a piece is made of, and its mesh."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from groundplane.core.errors import InputError
from groundplane.core.hub import need_library
from groundplane.testing.rooms.room import Mesh

__all__ = ["Colour", "Draw", "Part", "Piece", "Top", "assemble", "block", "disc", "legs"]

Colour = tuple[int, int, int]
Triple = tuple[float, float, float]
Shape = Literal["box", "cylinder", "cone", "ball"]

_WOODS: tuple[Colour, ...] = ((150, 104, 62), (110, 72, 44), (190, 148, 98), (84, 60, 46))
_CLOTHS: tuple[Colour, ...] = (
    (88, 104, 128), (140, 60, 56), (96, 120, 84), (170, 150, 120), (70, 74, 84), (196, 150, 62),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One simple solid of a piece.

    Attributes:
        shape: A box, an upright cylinder or cone, or a ball; it fills its size.
        center: In the piece's own frame, metres.
        size: Full extents before it is turned, metres.
        colour: RGB.
        turn: About z, radians.
        tilt: About its own x axis, before it is turned, radians.
    """

    shape: Shape
    center: Triple
    size: Triple
    colour: Colour
    turn: float = 0.0
    tilt: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """A level rectangle on which things can stand: corners and height in the piece's frame."""

    low: tuple[float, float]
    high: tuple[float, float]
    z: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of furniture in its own frame: centred over the origin, its foot at z = 0.

    x runs along its width, its front looks along -y and its back stands at a wall.

    Attributes:
        parts: What it is made of.
        tops: Where things can stand on it.
    """

    parts: tuple[Part, ...]
    tops: tuple[Top, ...] = ()


class Draw:
    """Random numbers by names that read well; all of a piece's come from one generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def between(self, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        return float(self._rng.uniform(low, high))

    def count(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return int(self._rng.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        """True in that share of cases."""
        return bool(self._rng.random() < share)

    def wood(self) -> Colour:
        """A colour of wood."""
        return self.near(_WOODS[self.count(0, len(_WOODS) - 1)])

    def cloth(self) -> Colour:
        """A colour of cloth."""
        return self.near(_CLOTHS[self.count(0, len(_CLOTHS) - 1)])

    def near(self, colour: Colour, *, by: int = 14) -> Colour:
        """A colour near another: lighter or darker, and a little of another hue."""
        shade = self.count(-by, by)
        r, g, b = (int(np.clip(c + shade + self.count(-by // 4, by // 4), 8, 247)) for c in colour)
        return r, g, b


def block(
    x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], *, colour: Colour
) -> Part:
    """A box by its sides, metres."""
    center = ((x[0] + x[1]) / 2, (y[0] + y[1]) / 2, (z[0] + z[1]) / 2)
    size = (x[1] - x[0], y[1] - y[0], z[1] - z[0])
    return Part(shape="box", center=center, size=size, colour=colour)


def disc(at: tuple[float, float], z: tuple[float, float], *, width: float, colour: Colour) -> Part:
    """An upright cylinder by its axis and its ends, metres."""
    return Part(
        shape="cylinder",
        center=(*at, (z[0] + z[1]) / 2),
        size=(width, width, z[1] - z[0]),
        colour=colour,
    )


def legs(width: float, depth: float, *, height: float, thick: float, colour: Colour) -> list[Part]:
    """Four legs under the corners of a rectangle around the origin."""
    x, y = width / 2 - thick / 2, depth / 2 - thick / 2
    half = thick / 2
    return [
        block((a - half, a + half), (b - half, b + half), (0.0, height), colour=colour)
        for a in (-x, x)
        for b in (-y, y)
    ]


def assemble(parts: Sequence[Part], *, at: Triple = (0.0, 0.0, 0.0), yaw: float = 0.0) -> Mesh:
    """The mesh of parts, turned about z and then moved.

    Args:
        parts: In their piece's frame; at least one.
        at: Where the piece's origin goes, metres.
        yaw: Radians, counter-clockwise from above.

    Raises:
        InputError: If there is no part.
        PluginBrokenError: If trimesh is not installed.

    Examples:
        >>> mesh = assemble([block((0, 1), (0, 2), (0, 3), colour=(9, 9, 9))], at=(1, 0, 0))
        >>> mesh.vertices.min(axis=0).tolist(), mesh.vertices.max(axis=0).tolist()
        ([1.0, 0.0, 0.0], [2.0, 2.0, 3.0])
    """
    if not parts:
        raise InputError("furniture: expected one part or more, got none")
    by_shape: dict[Shape, list[Part]] = defaultdict(list)
    for part in parts:
        by_shape[part.shape].append(part)
    vertices, faces, colours, start = [], [], [], 0
    for shape, some in by_shape.items():
        unit, corners = _unit(shape)
        sizes = np.array([part.size for part in some], dtype=np.float64)
        turned = np.einsum("nij,nvj->nvi", _turns(some), unit[None] * sizes[:, None])
        centers = np.array([part.center for part in some], dtype=np.float64)
        vertices.append((turned + centers[:, None]).reshape(-1, 3))
        offsets = start + len(unit) * np.arange(len(some))
        faces.append((corners[None] + offsets[:, None, None]).reshape(-1, 3))
        tints = np.array([part.colour for part in some], dtype=np.uint8)
        colours.append(np.repeat(tints, len(corners), axis=0))
        start += len(unit) * len(some)
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return Mesh(
        vertices=np.concatenate(vertices) @ turn.T + np.array(at, dtype=np.float64),
        faces=np.concatenate(faces),
        colours=np.concatenate(colours),
    )


def _turns(parts: Sequence[Part]) -> Float64[np.ndarray, "n 3 3"]:
    turn = np.array([part.turn for part in parts], dtype=np.float64)
    tilt = np.array([part.tilt for part in parts], dtype=np.float64)
    ct, st, cx, sx = np.cos(turn), np.sin(turn), np.cos(tilt), np.sin(tilt)
    zero = np.zeros_like(turn)
    # Rz(turn) Rx(tilt)
    rows = [ct, -st * cx, st * sx, st, ct * cx, -ct * sx, zero, sx, cx]
    return np.stack(rows, axis=1).reshape(-1, 3, 3)


@functools.cache
def _unit(shape: Shape) -> tuple[Float64[np.ndarray, "v 3"], Int64[np.ndarray, "f 3"]]:
    """A solid that fills the cube from -0.5 to 0.5."""
    trimesh = need_library("trimesh", who="test rooms", extra="render")
    creation = trimesh.creation
    solid = {
        "box": lambda: creation.box((1.0, 1.0, 1.0)),
        "cylinder": lambda: creation.cylinder(radius=0.5, height=1.0, sections=16),
        "cone": lambda: creation.cone(radius=0.5, height=1.0, sections=12),
        "ball": lambda: creation.icosphere(subdivisions=1, radius=0.5),
    }[shape]()
    vertices = np.array(solid.vertices, dtype=np.float64)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    filled = (vertices - (low + high) / 2) / (high - low)
    return filled, np.array(solid.faces, dtype=np.int64)
