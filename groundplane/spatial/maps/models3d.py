"""Maps as 3-D models to look at: PLY, GLB and rerun's RRD.

Every object is a frame of bars along the edges of its box, in the colour that its label has on the
plan; the points that it was built from stand among them where they were kept. PLY and RRD keep
the world with z up; GLB has y up, as glTF 2.0 states.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from groundplane.core.errors import InputError, OutputError
from groundplane.core.files import one_line, write_whole
from groundplane.core.hub import need_library
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.mapping.cloud import Cloud
from groundplane.spatial.palette import label_colors

__all__ = ["ENDINGS", "save_model"]

# Thickness of a bar, as a share of the box's mean side, and its limits in metres.
_SHARE, _THIN, _THICK = 0.01, 0.004, 0.03
# Corners in the order of `Boxes3D.corners`: bit 2 is x, bit 1 is y, bit 0 is z.
_EDGES = np.array([(a, a | bit) for bit in (4, 2, 1) for a in range(8) if not a & bit])
_CUBE = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_FACES = np.array([
    (0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1),
    (2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3),
])  # fmt: skip
_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
_ROOM = (140, 148, 156)


def save_model(
    scene: CognitiveMap,
    path: str | Path,
    *,
    cloud: Cloud | None = None,
    cameras: Sequence[Float[np.ndarray, "4 4"]] = (),
) -> None:
    """Write a map as a model; what kind its name's ending says.

    Args:
        scene: The map.
        path: A file that ends in `.ply`, `.glb` or `.rrd`.
        cloud: Points to show among the boxes.
        cameras: Poses of the camera, camera to world, in order; drawn as a path in RRD.

    Raises:
        InputError: If the ending is another one.
        OutputError: If the file cannot be written.
        PluginBrokenError: If trimesh or the rerun SDK is not installed.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise InputError(
            f"{one_line(str(path))}: a model is a file that ends in .ply, .glb or .rrd"
        )
    data = ENDINGS[ending](scene, cloud, np.array([pose[:3, 3] for pose in cameras]))
    write_whole(path, data)


def _as_ply(scene: CognitiveMap, cloud: Cloud | None, path: Float[np.ndarray, "*_"]) -> bytes:
    """One mesh of all bars, whose further vertices are the cloud."""
    trimesh = need_library("trimesh", who="writing PLY", extra="view3d")
    bars = [_bars(box) for box in _corners(scene)]
    colors = _colors(scene)
    count = len(_CUBE) * len(_EDGES)
    vertices = [np.concatenate([v for v, _ in bars])] if bars else [np.zeros((0, 3))]
    tints = [np.repeat(colors, count, axis=0)]
    faces = [face + count * i for i, (_, face) in enumerate(bars)]
    if cloud is not None:
        vertices.append(cloud.points)
        tints.append(cloud.colors)
    every = np.concatenate(tints)
    if not len(every):
        return _EMPTY_PLY
    if not faces:
        return bytes(trimesh.PointCloud(np.concatenate(vertices), every).export(file_type="ply"))
    mesh = trimesh.Trimesh(
        np.concatenate(vertices), np.concatenate(faces), vertex_colors=every, process=False
    )
    return bytes(mesh.export(file_type="ply", vertex_normal=False))


def _as_glb(scene: CognitiveMap, cloud: Cloud | None, path: Float[np.ndarray, "*_"]) -> bytes:
    """A node for each object, named by its id; label and size stand in its `extras`."""
    trimesh = need_library("trimesh", who="writing GLB", extra="view3d")
    model = trimesh.Scene(base_frame="world")
    sizes = scene.objects.sizes.tolist()
    for i, (box, color) in enumerate(zip(_corners(scene), _colors(scene), strict=True)):
        vertices, faces = _bars(box)
        mesh = trimesh.Trimesh(
            vertices, faces, vertex_colors=np.tile(color, (len(vertices), 1)), process=False
        )
        told = {"label": scene.labels[i], "size": sizes[i], "score": float(scene.scores[i])}
        mesh.metadata.update(told)
        model.add_geometry(
            mesh, node_name=scene.ids[i], geom_name=scene.ids[i], transform=_Y_UP, metadata=told
        )
    if cloud is not None and len(cloud):
        points = trimesh.PointCloud(cloud.points, cloud.colors)
        model.add_geometry(points, node_name="points", geom_name="points", transform=_Y_UP)
    if not model.geometry:
        raise InputError(
            f"map {scene.name!r} holds nothing to draw: no object and no point; GLB cannot be empty"
        )
    return bytes(model.export(file_type="glb"))


def _as_rrd(scene: CognitiveMap, cloud: Cloud | None, path: Float[np.ndarray, "*_"]) -> bytes:
    """Boxes with their labels, the room's outline, the points and the way of the camera."""
    rerun = need_library("rerun", who="writing RRD", extra="view3d")
    recording = rerun.RecordingStream(
        "groundplane", recording_id=scene.name or "map", send_properties=False
    )
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "map.rrd"
        recording.save(draft)
        recording.log("world", rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        for name, thing in _rerun_parts(rerun, scene, cloud, path):
            recording.log(f"world/{name}", thing, static=True)
        recording.flush()
        recording.disconnect()
        try:
            return draft.read_bytes()
        except OSError as error:
            raise OutputError(f"the rerun SDK wrote no recording: {error.strerror}") from error


def _rerun_parts(
    rerun: Any, scene: CognitiveMap, cloud: Cloud | None, path: Float[np.ndarray, "*_"]
) -> list[tuple[str, Any]]:
    boxes = scene.objects
    # Rows are the box's axes, so the transpose turns the box into the world.
    turns = boxes.axes.transpose(1, 2).double().cpu().numpy()
    parts: list[tuple[str, Any]] = [
        (
            "objects",
            rerun.Boxes3D(
                centers=boxes.centers.double().cpu().numpy(),
                half_sizes=(boxes.sizes / 2).double().cpu().numpy(),
                quaternions=[_quaternion(turn) for turn in turns],
                colors=_colors(scene),
                labels=list(scene.ids),
            ),
        )
    ]
    if scene.room is not None:
        ring = np.array([point[:2] for point in scene.room.exterior.coords])
        height = np.full((len(ring), 1), scene.floor or 0.0)
        parts.append(("room", rerun.LineStrips3D([np.hstack([ring, height])], colors=[_ROOM])))
    if cloud is not None and len(cloud):
        parts.append(("points", rerun.Points3D(cloud.points, colors=cloud.colors)))
    if len(path) > 1:
        parts.append(("camera", rerun.LineStrips3D([path])))
    return parts


def _quaternion(turn: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, " 4"]:
    """x, y, z, w of a rotation: the eigenvector of its largest eigenvalue.

    Source: Bar-Itzhack, New method for extracting the quaternion from a rotation matrix, 2000.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = turn
    table = np.array([
        [xx - yy - zz, yx + xy, zx + xz, zy - yz],
        [yx + xy, yy - xx - zz, zy + yz, xz - zx],
        [zx + xz, zy + yz, zz - xx - yy, yx - xy],
        [zy - yz, xz - zx, yx - xy, xx + yy + zz],
    ])  # fmt: skip
    found: Float[np.ndarray, " 4"] = np.linalg.eigh(table)[1][:, -1]
    return found


def _corners(scene: CognitiveMap) -> Float[np.ndarray, "n 8 3"]:
    corners: Float[np.ndarray, "n 8 3"] = scene.objects.corners().double().cpu().numpy()
    return corners


def _bars(
    corners: Float[np.ndarray, "8 3"],
) -> tuple[Float[np.ndarray, "k 3"], Int[np.ndarray, "f 3"]]:
    """A bar along each of the twelve edges of a box: vertices and triangles."""
    axes = corners[[4, 2, 1]] - corners[0]
    sides = np.linalg.norm(axes, axis=1)
    units = axes / sides[:, None]
    thick = float(np.clip(_SHARE * sides.mean(), _THIN, _THICK))
    middles = corners[_EDGES].mean(axis=1)
    lengths = np.full((12, 3), thick)
    lengths[np.arange(12), np.repeat(np.arange(3), 4)] += np.repeat(sides, 4)
    vertices = middles[:, None] + (_CUBE[None] * lengths[:, None]) @ units
    faces = _FACES[None] + 8 * np.arange(12)[:, None, None]
    return vertices.reshape(-1, 3), faces.reshape(-1, 3)


def _colors(scene: CognitiveMap) -> UInt8[np.ndarray, "n 3"]:
    """The colour of each object's label, as on the plan."""
    from matplotlib.colors import to_rgb

    hues = label_colors(scene.labels)
    rows = [to_rgb(hues[label]) for label in scene.labels]
    return (np.array(rows).reshape(-1, 3) * 255).round().astype(np.uint8)


# trimesh writes no file without a vertex.
_EMPTY_PLY = (
    b"ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nproperty float y\n"
    b"property float z\nend_header\n"
)
ENDINGS: dict[
    str, Callable[[CognitiveMap, Cloud | None, Float[np.ndarray, "*_"]], bytes]
] = {".ply": _as_ply, ".glb": _as_glb, ".rrd": _as_rrd}  # fmt: skip
