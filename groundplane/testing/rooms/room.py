"""What a room whose truth is known is made of, and what a camera sees of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, UInt8

from groundplane.core.errors import InputError, ShapeError

if TYPE_CHECKING:
    from groundplane.captures.capture import Capture
    from groundplane.core.camera import Frame

__all__ = ["Mesh", "RenderedFrame", "Room", "RoomObject", "Surface", "Walk", "intrinsics"]

# Of a phone held upright across: 64 degrees across, 50 down at four to three.
_FOCAL = 0.8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mesh:
    """Triangles in the world.

    Attributes:
        vertices: Metres, world, z up.
        faces: Three vertices a triangle, counter-clockwise from outside.
        colours: RGB of each triangle.

    Raises:
        ShapeError: If there is not one colour a face.
        InputError: If a face names a vertex that is not there.
    """

    vertices: Float64[np.ndarray, "v 3"]
    faces: Int64[np.ndarray, "f 3"]
    colours: UInt8[np.ndarray, "f 3"]

    def __post_init__(self) -> None:
        if len(self.colours) != len(self.faces):
            raise ShapeError(f"mesh: {len(self.faces)} faces but {len(self.colours)} colours")
        if self.faces.size and not 0 <= self.faces.min() <= self.faces.max() < len(self.vertices):
            raise InputError(f"mesh: a face names none of the {len(self.vertices)} vertices")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoomObject:
    """A thing in a room.

    Attributes:
        id: At least 1, unique in the room; what its pixels hold in a picture of ids.
        label: Its category, a word of VSI-Bench where that has one.
        mesh: Its surface in the world.
        yaw: How far its own x axis is turned from the world's about z, radians, counter-clockwise
            from above. Its front looks along its own -y.
        support: Id of the thing that it stands on; 0 for the floor, -1 for a wall.
    """

    id: int
    label: str
    mesh: Mesh
    yaw: float
    support: int = 0

    def __post_init__(self) -> None:
        if self.id < 1:
            raise InputError(f"room object: expected an id of at least 1, got {self.id}")

    @property
    def axes(self) -> Float64[np.ndarray, "3 3"]:
        """Its own axes in the world, one a row; the last is up."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])

    @property
    def box(self) -> tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]:
        """Centre in the world and full extents along its own axes, metres: its true box."""
        own = self.mesh.vertices @ self.axes.T
        low, high = own.min(axis=0), own.max(axis=0)
        return (low + high) / 2 @ self.axes, high - low

    @property
    def footprint(self) -> Float64[np.ndarray, "4 2"]:
        """The corners of its box seen from above, counter-clockwise, metres."""
        center, size = self.box
        signs = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
        return np.asarray(center[:2] + (signs * size[:2] / 2) @ self.axes[:2, :2])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """A part of the room itself: `floor`, `ceiling` or `wall`; its pixels hold id 0."""

    name: str
    mesh: Mesh


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walk:
    """Where a camera is while it is carried through the room.

    Attributes:
        times: Seconds from the start, evenly spaced.
        poses: `T_world_cam` at each time.

    Raises:
        ShapeError: If there is not one pose a time.
    """

    times: Float64[np.ndarray, " n"]
    poses: Float64[np.ndarray, "n 4 4"]

    def __post_init__(self) -> None:
        if self.poses.shape != (len(self.times), 4, 4):
            raise ShapeError(f"walk: {len(self.times)} times but poses {self.poses.shape}")

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RenderedFrame:
    """What the camera sees at one time, with the truth of each pixel.

    Attributes:
        colour: RGB.
        depth: z in the camera, metres; 0 where there is nothing.
        ids: Id of the thing that each pixel shows; 0 for walls, floor and ceiling.
        K: Intrinsics, pixels; the middle of the top-left pixel is at (0.5, 0.5).
        T_world_cam: Maps camera points to the world, metres.
        index: Its place in the walk.
        time: Seconds from the start.
        room: Name of the room.
    """

    colour: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]
    ids: Int32[np.ndarray, "h w"]
    K: Float64[np.ndarray, "3 3"]
    T_world_cam: Float64[np.ndarray, "4 4"]
    index: int = 0
    time: float = 0.0
    room: str = "room"

    @property
    def name(self) -> str:
        """What its picture is called: the room and the place in the walk."""
        return f"{self.room}-{self.index:05d}.png"

    def frame(self) -> Frame:
        """The same as a frame of a capture: picture, exact depth and pose, without the ids."""
        from groundplane.testing.rooms.shooting import to_frame

        return to_frame(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Room:
    """A furnished room, and a walk through it; all in metres, world z up.

    Attributes:
        name: Its name.
        seed: What it was made from.
        kind: What sort of room it is: `living room`, `kitchen`, ...
        objects: The things in it; doors, windows and pictures too.
        surfaces: Floor, ceiling and walls.
        outline: Corners of the floor, counter-clockwise from above.
        floor: Height of the floor in the world.
        height: From floor to ceiling.
        walk: The way of the camera.
    """

    name: str
    seed: int
    kind: str
    objects: tuple[RoomObject, ...]
    surfaces: tuple[Surface, ...]
    outline: Float64[np.ndarray, "k 2"]
    floor: float
    height: float
    walk: Walk

    @property
    def area(self) -> float:
        """Of the floor, square metres."""
        x, y = self.outline.T
        return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2

    def shots(
        self, *, step: int = 10, size: tuple[int, int] = (320, 240), colour: bool = True
    ) -> Iterator[RenderedFrame]:
        """What the camera sees along the walk, one picture after another.

        Args:
            step: Every so many poses of the walk.
            size: Width and height, pixels.
            colour: Whether pictures are wanted; without them they are black and cost less.

        Raises:
            PluginBrokenError: If the extra `render` or EGL is missing.
            InputError: If a number is less than 1.
        """
        from groundplane.testing.rooms.shooting import shoot

        return shoot(self, step=step, size=size, colour=colour)

    def frames(self, *, step: int = 10, size: tuple[int, int] = (320, 240)) -> Iterator[Frame]:
        """The same as frames of a capture, with exact depth and poses; see `shots`."""
        return (shot.frame() for shot in self.shots(step=step, size=size))

    def capture(self, *, step: int = 10, size: tuple[int, int] = (320, 240)) -> Capture:
        """The walk as an open capture; its frames are drawn when they are asked for."""
        from groundplane.testing.rooms.shooting import open_room

        return open_room(self, step=step, size=size)

    def save(
        self,
        folder: str | Path,
        *,
        step: int = 10,
        size: tuple[int, int] = (320, 240),
        video: bool = False,
    ) -> Path:
        """Write the walk as a capture, and the truth; see `groundplane.testing.rooms.saving`."""
        from groundplane.testing.rooms.saving import save_room

        return save_room(self, folder, step=step, size=size, video=video)


def intrinsics(size: tuple[int, int]) -> Float64[np.ndarray, "3 3"]:
    """K of the camera that walks through rooms, for pictures of a width and height in pixels.

    Examples:
        >>> intrinsics((320, 240)).tolist()
        [[256.0, 0.0, 160.0], [0.0, 256.0, 120.0], [0.0, 0.0, 1.0]]
    """
    width, height = size
    focal = _FOCAL * width
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
