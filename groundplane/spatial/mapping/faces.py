"""Where the faces of a lifted box truly are, and how sure: pixels and noise move the outermost
points off them.

The outermost point of a region lies within the true end by what the grid of pixels and the erosion
of the mask leave out, and beyond it by the noise of depth. Both are taken back face by face. A side
that is looked at is met by many points and loses nothing to the grid: how many more points there
are within two steps of the grid than within one tells the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from groundplane.core.camera import Camera, DepthNoise
from groundplane.spatial.mapping.oriented import Uprights
from groundplane.spatial.mapping.spread import extreme_of_noise

__all__ = ["Faces", "Sampling", "faces_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampling:
    """How regions were taken from the picture, pixels.

    Attributes:
        strides: Step of each region's grid.
        lost: What erosion took off each side.
        outline: Standard deviation of the outline itself.
    """

    strides: Int64[np.ndarray, " n"]
    lost: Int64[np.ndarray, " n"]
    outline: Float64[np.ndarray, " n"]

    def select(self, keep: Bool[np.ndarray, " n"]) -> Sampling:
        """Of some of the regions."""
        return Sampling(
            strides=self.strides[keep], lost=self.lost[keep], outline=self.outline[keep]
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Faces:
    """Faces of boxes: the one on the negative side of each axis, then the positive one.

    Attributes:
        shift: How far each true face lies outwards of the fitted one, metres.
        variance: Of its place, square metres.
    """

    shift: Float64[np.ndarray, "n 3 2"]
    variance: Float64[np.ndarray, "n 3 2"]


def faces_of(
    points: Float[np.ndarray, "p 3"],
    counts: Int64[np.ndarray, " n"],
    boxes: Uprights,
    camera: Camera,
    *,
    noise: DepthNoise,
    sampling: Sampling,
) -> Faces:
    """Corrections of the faces of boxes fitted to points of one frame.

    Args:
        points: Region after region, metres, world.
        counts: How many each region has, at least 1.
        boxes: As fitted to them.
        camera: With its pose.
        noise: Of the depths.
        sampling: How pixels were chosen.
    """
    pixel, sigma = _scales(boxes, camera, noise)
    step = pixel * sampling.strides[:, None, None]
    tiny = 1e-6 + 1e-5 * boxes.sizes[..., None]  # what float32 points leave of a flat face
    one = step + 2 * sigma + tiny
    noisy = bool(sigma.any())
    widths = [one, one + step, sigma + tiny, 3 * sigma + tiny] if noisy else [one, one + step]
    found = _counts_near(points, counts, boxes, np.stack(widths))
    open_ended = np.clip(found[1] / found[0] - 1, 0, 1)
    half = sampling.strides[:, None, None] / 2 + sampling.lost[:, None, None]
    shift = open_ended * half * pixel
    spread = (sampling.strides**2 / 12 + sampling.outline**2)[:, None, None]
    variance = (open_ended * spread + 1 / 12) * pixel**2
    if noisy:
        mean, rest = extreme_of_noise(found[2], found[3])
        shift = shift - mean * sigma
        variance = variance + (rest * sigma) ** 2
    return Faces(shift=shift, variance=variance)


def _scales(
    boxes: Uprights, camera: Camera, noise: DepthNoise
) -> tuple[Float64[np.ndarray, "n 3 2"], Float64[np.ndarray, "n 3 2"]]:
    """What a pixel spans across the ray, and what noise moves along it, both along each axis."""
    assert camera.T_world_cam is not None
    turn, eye = camera.T_world_cam[:3, :3], camera.T_world_cam[:3, 3]
    axes = boxes.axes
    ends = np.array([-0.5, 0.5]) * boxes.sizes[..., None]
    middles = boxes.centers[:, None, None] + ends[..., None] * axes[:, :, None]
    way = middles - eye
    depth = np.maximum(way @ turn[:, 2], 1e-3)
    length = np.linalg.norm(way, axis=3)
    along = np.einsum("nafx,nax->naf", way, axes) / np.maximum(length, 1e-9)
    focal = float(np.sqrt(camera.K[0, 0] * camera.K[1, 1]))
    pixel = depth / focal * np.sqrt(np.clip(1 - along**2, 0, 1))
    sigma = noise.base + depth * (noise.linear + depth * noise.quadratic)
    return pixel, sigma * np.abs(along) * length / depth


def _counts_near(
    points: Float[np.ndarray, "p 3"],
    counts: Int64[np.ndarray, " n"],
    boxes: Uprights,
    widths: Float64[np.ndarray, "k n 3 2"],
) -> Float64[np.ndarray, "k n 3 2"]:
    """Points of each box that are at most so far within each of its faces."""
    starts = np.cumsum(counts) - counts
    owner = np.repeat(np.arange(len(counts)), counts)
    around = points - boxes.centers.astype(points.dtype)[owner]
    turn = boxes.directions.astype(points.dtype)[owner]
    x, y = around[:, 0], around[:, 1]
    place = (
        x * turn[:, 0] + y * turn[:, 1],
        y * turn[:, 0] - x * turn[:, 1],
        around[:, 2],
    )
    found = np.empty(widths.shape)
    inner = boxes.sizes[..., None] / 2 - widths
    inner = inner.astype(points.dtype)
    for axis in range(3):
        for k in range(len(widths)):
            low, high = inner[k, :, axis, 0][owner], inner[k, :, axis, 1][owner]
            for face, near in enumerate((place[axis] <= -low, place[axis] >= high)):
                found[k, :, axis, face] = np.add.reduceat(near.astype(np.float32), starts)
    return np.maximum(found, 1)
