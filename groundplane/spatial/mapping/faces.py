"""Where the faces of a lifted box truly are, and how sure: pixels and noise move the outermost
points off them.

The outermost point of a region lies within the true end by what the grid of pixels and the erosion
of the mask leave out, and beyond it by the noise of depth. Both are taken back face by face. A side
that is looked at is met by many points and loses nothing to the grid: how many more points there
are within two steps of the grid than within one tells the two apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from groundplane.core.camera import Camera, DepthNoise
from groundplane.spatial.mapping.oriented import Uprights
from groundplane.spatial.mapping.spread import extreme_of_noise

__all__ = ["Faces", "Sampling", "faces_of"]

# Metres: nearer to the camera nothing is measured.
_LEAST_DEPTH = 1e-3
# How far within the rim the outermost pixel of the grid lies, as a share of its step: rims run
# across the grid, so that one of many comes near. Measured on traced boxes, as the test repeats.
_OF_STRIDE = 0.1
# Sine of the flattest view of a surface that is told apart from a flatter one.
_FLATTEST = 1 / 6


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
    grid, off = pixel.mean(axis=2) * sampling.strides[:, None], sigma.mean(axis=2)
    tiny = 1e-6 + 1e-5 * boxes.sizes  # what float32 points leave of a flat face
    one = grid + 2 * off + tiny
    noisy = bool(sigma.any())
    widths = [one, one + grid, off + tiny, 3 * off + tiny] if noisy else [one, one + grid]
    found = _counts_near(points, counts, boxes, np.stack(widths))
    open_ended = np.clip(found[1] / found[0] - 1, 0, 1)
    inset = sampling.lost + _OF_STRIDE * sampling.strides
    shift = open_ended * inset[:, None, None] * pixel
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
    """How far along each axis one pixel takes at each face, and how far noise moves points.

    A face that looks away ends a surface along which the axis runs: the flatter the view along
    it, the farther apart its pixels. One that faces the camera is met from all over.
    """
    assert camera.T_world_cam is not None
    turn, eye = camera.T_world_cam[:3, :3], camera.T_world_cam[:3, 3]
    axes, outward = boxes.axes, np.array([-1.0, 1.0])
    way = boxes.centers[:, None, None] - eye
    way = way + (outward * boxes.sizes[..., None] / 2)[..., None] * axes[:, :, None]
    depth = np.maximum(way @ turn[:, 2], _LEAST_DEPTH)
    length = np.maximum(np.linalg.norm(way, axis=3), _LEAST_DEPTH)
    along = (way @ axes[..., None])[..., 0] / length
    across = np.sqrt(np.clip(1 - along**2, 0, 1))
    stretch = np.where(along * outward < 0, across, 1 / np.maximum(across, _FLATTEST))
    focal = math.sqrt(camera.K[0, 0] * camera.K[1, 1])
    sigma = noise.base + depth * (noise.linear + depth * noise.quadratic)
    return stretch * depth / focal, sigma * np.abs(along) * length / depth


def _counts_near(
    points: Float[np.ndarray, "p 3"],
    counts: Int64[np.ndarray, " n"],
    boxes: Uprights,
    widths: Float64[np.ndarray, "k n 3"],
) -> Float64[np.ndarray, "k n 3 2"]:
    """Points of each box within so much of each of its faces; each counts for the nearer one.

    Which of the widths hold a point are the bits of one number, so one count of numbers does.
    """
    num, levels = len(counts), 1 << len(widths)
    place, owner = _places(points, counts, boxes)
    room = (boxes.sizes.T[None] / 2 - widths.transpose(0, 2, 1)).astype(points.dtype)
    beyond = np.abs(place) >= np.repeat(room, counts, axis=2)
    code = (place > 0).view(np.uint8) * np.uint8(levels)
    for k, within in enumerate(beyond.view(np.uint8)):
        code |= within << k
    cell = (np.arange(3)[:, None] * num + owner) * (2 * levels) + code
    found = np.bincount(cell.ravel(), minlength=6 * num * levels).reshape(3, num, 2, levels)
    bits = (np.arange(levels)[:, None] >> np.arange(len(widths))) & 1
    totals: Float64[np.ndarray, "k n 3 2"] = (found @ bits).transpose(3, 1, 0, 2)
    least: Float64[np.ndarray, "k n 3 2"] = np.maximum(totals, 1.0)
    return least


def _places(
    points: Float[np.ndarray, "p 3"], counts: Int64[np.ndarray, " n"], boxes: Uprights
) -> tuple[Float[np.ndarray, "3 p"], Int64[np.ndarray, " p"]]:
    """Where points lie in their boxes, along each axis from the middle; and whose they are."""
    kind = points.dtype
    x, y, z = points.T - np.repeat(boxes.centers.T.astype(kind), counts, axis=1)
    along, across = np.repeat(boxes.directions.T.astype(kind), counts, axis=1)
    place = np.stack([x * along + y * across, y * along - x * across, z])
    return place, np.repeat(np.arange(len(counts)), counts)
