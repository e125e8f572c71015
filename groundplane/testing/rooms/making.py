"""Rooms by number: the same seed gives the same room."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.testing.rooms.furniture import FURNITURE
from groundplane.testing.rooms.layout import Layout, Placed, furnish
from groundplane.testing.rooms.plan import Form, draw_outline
from groundplane.testing.rooms.room import Mesh, Room, RoomObject, Surface, Walk
from groundplane.testing.rooms.themes import THEMES
from groundplane.testing.rooms.walk import camera_walk

__all__ = ["RoomOptions", "make_room"]

_FORMS: tuple[Form, ...] = ("rectangle", "L", "T")
# Square metres below which a room with a corner cut out would have passages too narrow to walk.
_ONLY_RECTANGLES = 16.0
_PAINTS = ((214, 206, 190), (190, 202, 206), (204, 196, 206), (196, 206, 188), (222, 214, 204))
_FLOORS = ((158, 122, 84), (120, 104, 92), (176, 170, 160), (134, 96, 66))


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomOptions:
    """What rooms are made.

    Attributes:
        kinds: Sorts of rooms to choose from; empty for all.
        forms: Forms of the floor to choose from; small rooms are rectangles.
        most: How many things there may be in a room.
        turned: Whether a room is turned and moved in the world, its floor not at z = 0.

    Raises:
        InputError: If a kind or form is unknown, none is given, or `most` is less than 1.
    """

    kinds: tuple[str, ...] = ()
    forms: tuple[Form, ...] = _FORMS
    most: int = 60
    turned: bool = True

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in THEMES:
                raise InputError(
                    f"rooms: expected kinds among {listing(THEMES)}, got {kind!r}"
                    f"{did_you_mean(kind, THEMES)}"
                )
        if not self.forms or set(self.forms) - set(_FORMS):
            raise InputError(f"rooms: expected forms among {_FORMS}, got {self.forms}")
        if self.most < 1:
            raise InputError(f"rooms: expected most of at least 1, got {self.most}")


def make_room(seed: int, *, options: RoomOptions | None = None) -> Room:
    """Make a furnished room and a walk through it.

    Args:
        seed: At least 0; the same seed and options give the same room.
        options: What rooms are made; None for all sorts.

    Raises:
        InputError: If the seed is negative.
        PluginBrokenError: If the extra `render` is not installed.

    Examples:
        >>> room = make_room(3)
        >>> room.name, room.kind, len(room.objects) == len({thing.id for thing in room.objects})
        ('room-3', 'bathroom', True)
    """
    if seed < 0:
        raise InputError(f"rooms: expected a seed of at least 0, got {seed}")
    wanted = options or RoomOptions()
    rng = np.random.default_rng([seed, 8])
    kinds = wanted.kinds or tuple(THEMES)
    kind = kinds[seed % len(kinds)]
    area = float(rng.uniform(*THEMES[kind].area))
    form = wanted.forms[int(rng.integers(len(wanted.forms)))]
    height = float(rng.uniform(2.4, 3.0))
    outline = draw_outline(rng, form=form if area >= _ONLY_RECTANGLES else "rectangle", area=area)
    layout = furnish(THEMES[kind].things, outline, height=height, rng=rng, most=wanted.most)
    tour = camera_walk(layout, rng=rng)
    motion = _motion(outline, rng=rng) if wanted.turned else np.eye(4)
    room = Room(
        name=f"room-{seed}",
        seed=seed,
        kind=kind,
        objects=_objects(layout, keep=tour.seen),
        surfaces=_surfaces(outline, height=height, rng=rng),
        outline=outline,
        floor=0.0,
        height=height,
        walk=tour.walk,
    )
    return _moved(room, motion)


def _objects(layout: Layout, *, keep: np.ndarray) -> tuple[RoomObject, ...]:
    """Things that are seen, and stand on what is seen, with ids in the order of placing."""
    kept: dict[int, RoomObject] = {}
    for index, placed in enumerate(layout.placed):
        if not keep[index] or (placed.support >= 0 and placed.support not in kept):
            continue
        kept[index] = _object(placed, id=len(kept) + 1, kept=kept)
    return tuple(kept.values())


def _object(placed: Placed, *, id: int, kept: dict[int, RoomObject]) -> RoomObject:
    support = kept[placed.support].id if placed.support >= 0 else min(placed.support + 1, 0)
    return RoomObject(
        id=id,
        label=FURNITURE[placed.kind].label,
        mesh=placed.mesh,
        yaw=placed.yaw,
        support=support,
    )


def _surfaces(
    outline: Float64[np.ndarray, "k 2"], *, height: float, rng: np.random.Generator
) -> tuple[Surface, ...]:
    """Floor and ceiling over the outline, and a wall along each of its sides, seen from within."""
    paint = _PAINTS[int(rng.integers(len(_PAINTS)))]
    boards = _FLOORS[int(rng.integers(len(_FLOORS)))]
    flat = _triangles(outline)
    surfaces = [
        Surface(name="floor", mesh=_flat(outline, flat, z=0.0, colour=boards)),
        Surface(
            name="ceiling", mesh=_flat(outline, flat[:, ::-1], z=height, colour=(236, 234, 230))
        ),
    ]
    for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        corners = np.array([[*a, 0.0], [*b, 0.0], [*b, height], [*a, height]])
        faces = np.array([[0, 1, 2], [0, 2, 3]])
        tint = np.array(paint) + rng.integers(-8, 9)
        colours = np.tile(tint.astype(np.uint8), (2, 1))
        # Seen from within, a wall's corners go counter-clockwise with its face along -normal.
        mesh = Mesh(vertices=corners, faces=faces[:, ::-1].copy(), colours=colours)
        surfaces.append(Surface(name="wall", mesh=mesh))
    return tuple(surfaces)


def _triangles(outline: Float64[np.ndarray, "k 2"]) -> np.ndarray:
    """Triangles over a polygon that has no holes, by cutting off ears."""
    left, triangles = list(range(len(outline))), []
    while len(left) > 3:
        for i, b in enumerate(left):
            a, c = left[i - 1], left[(i + 1) % len(left)]
            if _is_ear(outline, (a, b, c), left):
                triangles.append((a, b, c))
                left.remove(b)
                break
    return np.array([*triangles, tuple(left)], dtype=np.int64)


def _is_ear(outline: np.ndarray, corner: tuple[int, int, int], left: list[int]) -> bool:
    a, b, c = (outline[i] for i in corner)
    if _side(a, b, c) <= 0:
        return False
    others = [outline[i] for i in left if i not in corner]
    return not any(
        _side(a, b, p) >= 0 and _side(b, c, p) >= 0 and _side(c, a, p) >= 0 for p in others
    )


def _side(a: np.ndarray, b: np.ndarray, p: np.ndarray) -> float:
    return float((b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]))


def _flat(
    outline: Float64[np.ndarray, "k 2"],
    faces: np.ndarray,
    *,
    z: float,
    colour: tuple[int, int, int],
) -> Mesh:
    vertices = np.column_stack([outline, np.full(len(outline), z)])
    colours = np.tile(np.array(colour, dtype=np.uint8), (len(faces), 1))
    return Mesh(vertices=vertices, faces=np.ascontiguousarray(faces), colours=colours)


# The room's place in the world ----------------------------------------------------------------


def _motion(
    outline: Float64[np.ndarray, "k 2"], *, rng: np.random.Generator
) -> Float64[np.ndarray, "4 4"]:
    """A turn about z and a shift; the floor moves up or down a little."""
    yaw = float(rng.uniform(-math.pi, math.pi))
    motion = np.eye(4)
    motion[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
    shift = rng.uniform([-2.0, -2.0, -0.3], [2.0, 2.0, 0.3])
    motion[:3, 3] = shift - motion[:3, :3] @ np.append(outline.mean(axis=0), 0.0)
    return motion


def _moved(room: Room, motion: Float64[np.ndarray, "4 4"]) -> Room:
    turn, shift = motion[:3, :3], motion[:3, 3]
    yaw = math.atan2(turn[1, 0], turn[0, 0])

    def move(mesh: Mesh) -> Mesh:
        return replace(mesh, vertices=mesh.vertices @ turn.T + shift)

    return replace(
        room,
        objects=tuple(
            replace(thing, mesh=move(thing.mesh), yaw=thing.yaw + yaw) for thing in room.objects
        ),
        surfaces=tuple(replace(s, mesh=move(s.mesh)) for s in room.surfaces),
        outline=room.outline @ turn[:2, :2].T + shift[:2],
        floor=float(shift[2]),
        walk=Walk(times=room.walk.times, poses=motion @ room.walk.poses),
    )
