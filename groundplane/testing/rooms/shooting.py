"""Pictures along a walk, as frames of a capture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256

import torch

from groundplane.captures.capture import Capture
from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import InputError
from groundplane.core.image import FrameMap, Image, Source
from groundplane.testing.rooms.rendering import Renderer
from groundplane.testing.rooms.room import RenderedFrame, Room

__all__ = ["RoomSource", "open_room", "shoot", "to_frame"]


def shoot(
    room: Room, *, step: int = 10, size: tuple[int, int] = (320, 240), colour: bool = True
) -> Iterator[RenderedFrame]:
    """What the camera sees along the walk; see `Room.shots`."""
    if step < 1:
        raise InputError(f"test rooms: expected a step of at least 1, got {step}")
    return _drawn(room, step=step, size=size, colour=colour)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoomSource:
    """Frames of a room, drawn when they are asked for."""

    room: Room
    step: int
    size: tuple[int, int]

    def frames(self, start: int, step: int) -> Iterator[Frame]:
        """Frames `start`, `start + step` and so on, each with its place in the capture."""
        poses = range(0, len(self.room.walk), self.step)
        with Renderer(self.room, size=self.size) as renderer:
            for place in range(start, len(poses), step):
                yield replace(to_frame(renderer.draw(poses[place])), index=place)


def open_room(room: Room, *, step: int = 10, size: tuple[int, int] = (320, 240)) -> Capture:
    """A room's walk as an open capture; see `Room.capture`."""
    if step < 1:
        raise InputError(f"test rooms: expected a step of at least 1, got {step}")
    return Capture(
        name=room.name,
        layout="rgbd",
        up=(0.0, 0.0, 1.0),
        length=len(range(0, len(room.walk), step)),
        gives=frozenset({"depth", "intrinsics", "pose"}),
        source=RoomSource(room=room, step=step, size=size),
    )


def _drawn(
    room: Room, *, step: int, size: tuple[int, int], colour: bool
) -> Iterator[RenderedFrame]:
    with Renderer(room, size=size, colour=colour) as renderer:
        for index in range(0, len(room.walk), step):
            yield renderer.draw(index)


def to_frame(shot: RenderedFrame) -> Frame:
    """A drawn picture as a frame of a capture, with exact depth and pose."""
    digest = sha256(shot.name.encode() + shot.colour.tobytes()).hexdigest()
    image = Image(
        pixels=shot.colour,
        source=Source(name=shot.name, content_hash=digest),
        frame_map=FrameMap.identity(),
    )
    return Frame(
        image=image,
        index=shot.index,
        time=shot.time,
        camera=Camera(K=shot.K, T_world_cam=shot.T_world_cam),
        depth=torch.from_numpy(shot.depth),
    )
