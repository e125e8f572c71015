"""Pictures of rooms made of boxes, by rays: exact depth whose truth can be worked out by hand."""

import numpy as np
import torch

from groundplane.core.camera import Camera, Frame
from groundplane.core.image import FrameMap, Image, Source

# A room of 4 m by 3 m, 2.5 m high, with a table, a wardrobe and a low chest.
ROOM = ((0.0, 0.0, 0.0), (4.0, 3.0, 2.5))
THINGS = (
    ((1.5, 1.2, 0.0), (2.5, 1.8, 0.75)),
    ((0.0, 2.4, 0.0), (1.0, 3.0, 2.0)),
    ((3.2, 0.3, 0.0), (4.0, 0.8, 0.45)),
)


def look(eye, at, *, roll=0.0):
    """A pose `T_world_cam` that looks from a point at another; roll in radians."""
    eye, at = np.asarray(eye, float), np.asarray(at, float)
    z = (at - eye) / np.linalg.norm(at - eye)
    x = np.cross(z, (0, 0, 1.0))
    x /= np.linalg.norm(x)
    turn = np.stack([x, np.cross(z, x), z], axis=1)
    c, s = np.cos(roll), np.sin(roll)
    pose = np.eye(4)
    pose[:3, :3] = turn @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    pose[:3, 3] = eye
    return pose


def intrinsics(size):
    """Of a camera that sees 64 degrees across."""
    width, height = size
    return np.array([[0.8 * width, 0, width / 2], [0, 0.8 * width, height / 2], [0, 0, 1]])


def cast(pose, *, size=(160, 120), room=ROOM, things=THINGS):
    """Depth and colour of a view from inside of a room: slabs, ray by ray."""
    width, height = size
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([u, v, np.ones_like(u)], axis=2) @ np.linalg.inv(intrinsics(size)).T
    rays = rays @ pose[:3, :3].T
    rays = np.where(np.abs(rays) < 1e-12, 1e-12, rays)
    eye = pose[:3, 3]
    low, high = (np.asarray(corner, float) for corner in room)
    # z of the camera's axes is the length along a ray whose own z is 1.
    depth = np.maximum((low - eye) / rays, (high - eye) / rays).min(axis=2)
    for box in things:
        low, high = (np.asarray(corner, float) for corner in box)
        one, other = (low - eye) / rays, (high - eye) / rays
        enter, leave = np.minimum(one, other).max(axis=2), np.maximum(one, other).min(axis=2)
        depth = np.where((enter < leave) & (enter > 1e-6), np.minimum(depth, enter), depth)
    return depth.astype(np.float32), eye + rays * depth[..., None]


def _hash(cells, salt):
    """Whole numbers to noise in [0, 1)."""
    mixed = (cells * np.array([73856093, 19349663, 83492791])).sum(axis=-1) + salt * 2654435761
    mixed = (mixed ^ (mixed >> 13)) * 1274126177 & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 16)) & 0xFFFF) / 65536.0


def paint(points, *, salt=0):
    """A grey pattern fixed in the world: blocks of 2 to 12 cm, so that corners can be matched."""
    # Half a millimetre off: faces of boxes lie where cells would meet.
    levels = [_hash(np.floor((points + 5e-4) / side).astype(np.int64), salt + k)
              for k, side in enumerate((0.02, 0.05, 0.12))]  # fmt: skip
    grey = np.clip(np.mean(levels, axis=0) * 2 - 0.5, 0, 1)
    return np.repeat((grey * 255).astype(np.uint8)[..., None], 3, axis=2)


def frame_of(pose, *, index=0, size=(160, 120), painted=False, known=True, **scene):
    """A frame of that view; its pose is left out where it is not to be known."""
    depth, points = cast(pose, size=size, **scene)
    pixels = paint(points) if painted else np.zeros((*depth.shape, 3), np.uint8)
    return Frame(
        image=Image(
            pixels=pixels,
            source=Source(name=f"{index}.png", content_hash=f"{index:064x}"),
            frame_map=FrameMap.identity(),
        ),
        index=index,
        time=index / 30,
        camera=Camera(K=intrinsics(size), T_world_cam=pose if known else None),
        depth=torch.from_numpy(depth),
    )


def round_walk(num, *, height=1.5, start=0.0, turn=2 * np.pi):
    """Poses on a small circle in the middle of the room, looking outwards and a little down."""
    poses = []
    for angle in start + np.arange(num) / num * turn:
        ahead = np.array([np.cos(angle), np.sin(angle), 0])
        eye = np.array([2.0, 0.9, height]) + 0.3 * ahead
        poses.append(look(eye, eye + ahead - (0, 0, 0.35)))
    return poses
