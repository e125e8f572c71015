"""Rooms of plain blocks, whose truth can be worked out by hand."""

import numpy as np

from groundplane.testing.rooms.room import Mesh, RenderedFrame, Room, RoomObject, Walk

CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
FACES = np.array([face for a, b, c, d in QUADS for face in ((a, b, c), (a, c, d))])


def block(key, label, at, size, *, yaw=0.0, support=0):
    """A thing that is a block: its middle, its full extents, and its turn in degrees."""
    angle = np.radians(yaw)
    turn = np.array(
        [[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    mesh = Mesh(
        vertices=(CORNERS * size) @ turn + np.array(at, dtype=float),
        faces=FACES,
        colours=np.zeros((len(FACES), 3), dtype=np.uint8),
    )
    return RoomObject(id=key, label=label, mesh=mesh, yaw=float(angle), support=support)


def block_room(*things, outline=((0, 0), (6, 0), (6, 5), (0, 5)), name="blocks", seed=0):
    """A room of blocks that nobody walks through."""
    walk = Walk(times=np.zeros(0), poses=np.zeros((0, 4, 4)))
    return Room(
        name=name, seed=seed, kind="test", objects=tuple(things), surfaces=(), floor=0.0,
        height=2.5, outline=np.array(outline, dtype=float), walk=walk,
    )  # fmt: skip


def shot(ids, time):
    """What a camera sees: ids alone."""
    ids = np.asarray(ids, dtype=np.int32)
    return RenderedFrame(
        colour=np.zeros((*ids.shape, 3), dtype=np.uint8),
        depth=np.ones(ids.shape, dtype=np.float32), ids=ids, K=np.eye(3),
        T_world_cam=np.eye(4), time=time,
    )  # fmt: skip
