"""A cognitive map with some of its objects, or moved as a whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import shapely
import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.map import CognitiveMap

__all__ = ["take", "transform"]

# A transform keeps shapes: rows of its linear part are as long as each other, at right angles.
_TOLERANCE = 1e-6


def take(scene: CognitiveMap, rows: Sequence[int]) -> CognitiveMap:
    """The same scene with these objects only, in this order; counts are those of the boxes.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> scene = SceneBuilder().add("cup", at=(0, 0, 0)).add("pan", at=(1, 0, 0)).build()
        >>> take(scene, [1]).ids, len(take(scene, []))
        (('pan',), 0)
    """
    index = torch.tensor(list(rows), dtype=torch.long, device=scene.objects.centers.device)
    ids = tuple(scene.ids[i] for i in rows)
    return replace(
        scene,
        ids=ids,
        objects=scene.objects[index],
        labels=tuple(scene.labels[i] for i in rows),
        scores=scene.scores[index],
        attributes=tuple(scene.attributes[i] for i in rows),
        fronts=scene.fronts[index],
        counts={},
        first_seen=scene.first_seen[index],
        provenance={key: names for key, names in scene.provenance.items() if key in set(ids)},
    )


def transform(scene: CognitiveMap, matrix: Float[Tensor, "4 4"]) -> CognitiveMap:
    """The scene after a similarity about z: turned, shifted, scaled, and mirrored if need be.

    Boxes, fronts, the room, the floor, the camera's view and the boxes' noise move together. A
    mirrored box is the same box with one axis turned round, so its axes stay right-handed.

    Args:
        scene: The map.
        matrix: World to world, metres; the last row is (0, 0, 0, 1).

    Raises:
        InputError: If the matrix is not such a similarity.
    """
    matrix = matrix.to(scene.objects.centers)
    linear, shift = matrix[:3, :3], matrix[:3, 3]
    scale = _scale_of(matrix)
    boxes = scene.objects
    pure = linear / scale
    axes = boxes.axes @ pure.T
    handed = torch.linalg.det(pure).sign()
    axes = torch.cat([axes[:, :2], axes[:, 2:] * handed], dim=1)
    room = scene.room
    if room is not None:
        (a, b, _), (c, d, _), _ = linear.tolist()
        x, y, _ = shift.tolist()
        room = shapely.transform(room, lambda at: at @ [[a, c], [b, d]] + [x, y])
    area = None if scene.room_area is None else scene.room_area * scale**2
    return replace(
        scene,
        objects=Boxes3D(
            centers=boxes.centers @ linear.T + shift,
            sizes=boxes.sizes * scale,
            axes=axes,
            covariance=_noise(boxes, linear, scale),
        ),
        fronts=scene.fronts @ pure.to(scene.fronts).T,
        room=room,
        room_area=area,
        floor=None if scene.floor is None else scene.floor * scale + float(shift[2]),
        view=None if scene.view is None else pure.to(scene.view) @ scene.view,
    )


def _scale_of(matrix: Float[Tensor, "4 4"]) -> float:
    """How much longer everything becomes."""
    scale = float(matrix[2, 2])
    flat = matrix[:3, :3].clone()
    square = flat @ flat.T / scale**2 if scale > 0 else flat
    rest = torch.cat([matrix[2, :2], matrix[:2, 2], matrix[3, :3], matrix[3, 3:] - 1])
    off = max(float((square - torch.eye(3).to(square)).abs().max()), float(rest.abs().max()))
    if not (math.isfinite(scale) and scale > 0 and off <= _TOLERANCE * max(1.0, scale)):
        raise InputError(
            "transform: expected a 4 by 4 matrix that turns about z, scales, mirrors and shifts "
            f"only, got {[[round(x, 4) for x in row] for row in matrix.tolist()]}"
        )
    return scale


def _noise(
    boxes: Boxes3D, linear: Float[Tensor, "3 3"], scale: float
) -> Float[Tensor, "n 6 6"] | None:
    """The covariance of (center, size) after the transform; sizes are along the box's own axes."""
    if boxes.covariance is None:
        return None
    jacobian = torch.eye(6).to(boxes.covariance) * scale
    jacobian[:3, :3] = linear
    noise: Float[Tensor, "n 6 6"] = jacobian @ boxes.covariance @ jacobian.T
    return noise
