"""How sure a lifted box is: the variance of its six faces, as a covariance of centre and size.

A box's centre and size along one of its axes are the mean and the difference of two faces. Errors
of faces are taken as independent, so six variances fill the covariance. What shifts or stretches
all of a frame at once, as the scale of a depth model does, comes on top and averages out over
nothing.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

__all__ = ["covariance_of_faces", "extreme_of_noise", "hidden_variance"]

# Standard deviation of what is not seen beyond a side, as a share of what is seen across it.
_HIDDEN = 0.5
# Least squares over simulated ends of both kinds with 1 to 2,000 points: the mean of either kind is
# met within 0.6 standard deviations from 4 points on (tests/spatial/mapping/test_spread.py).
_OFFSET, _OF_NEAR, _OF_WIDE = -0.03, -0.69, 0.81
_REST, _REST_OF_ONE = 0.6, 0.6


def covariance_of_faces(
    low: Float[np.ndarray, "n 3"],
    high: Float[np.ndarray, "n 3"],
    axes: Float[np.ndarray, "n 3 3"],
    *,
    common: Float[np.ndarray, "n 6"] | None = None,
) -> Float64[np.ndarray, "n 6 6"]:
    """The covariance of (centre, size) from the variances of faces.

    Args:
        low: Variance of the face on the negative side of each axis, square metres.
        high: The same on the positive side.
        axes: Rows are the unit axes.
        common: By how much centre (world) and size move, one standard deviation of an error that
            all of the frame shares; metres.

    Examples:
        >>> one, eye = np.ones((1, 3)), np.eye(3)[None]
        >>> covariance_of_faces(one, one, eye)[0].diagonal().tolist()
        [0.5, 0.5, 0.5, 2.0, 2.0, 2.0]
        >>> covariance_of_faces(one[:0], one[:0], eye[:0]).shape
        (0, 6, 6)
    """
    total = np.zeros((len(low), 6, 6))
    turned = axes.transpose(0, 2, 1).astype(np.float64)
    middle, cross = (low + high) / 4, (high - low) / 2
    total[:, :3, :3] = (turned * middle[:, None]) @ axes
    total[:, :3, 3:] = turned * cross[:, None]
    total[:, 3:, :3] = total[:, :3, 3:].transpose(0, 2, 1)
    rows = np.arange(3, 6)
    total[:, rows, rows] = low + high
    if common is not None:
        total += common[:, :, None] * common[:, None]
    return total


def extreme_of_noise(
    near: Float[np.ndarray, "*n"], wide: Float[np.ndarray, "*n"]
) -> tuple[Float64[np.ndarray, "*n"], Float64[np.ndarray, "*n"]]:
    """How far the outermost of noisy points lies beyond their true end, and how sure that is.

    The more points lie near the end, the farther out the outermost one is. Points spread evenly
    up to an end, and points that all lie at it, as on a wall that is looked at, differ in how
    many are near and how many less near; the two counts together tell how far.

    Args:
        near: Points within one standard deviation of the outermost one, itself counted.
        wide: Points within three.

    Returns:
        Mean and standard deviation of the excess, in standard deviations of the noise.

    Examples:
        >>> mean, sigma = extreme_of_noise(np.array([1.0, 12.0]), np.array([1.0, 400.0]))
        >>> mean.round(1).tolist(), sigma.round(1).tolist()
        ([0.0, 3.1], [1.2, 0.6])
        >>> extreme_of_noise(np.zeros(0), np.zeros(0))[0].tolist()
        []
    """
    near, wide = np.maximum(near, 1.0), np.maximum(wide, 1.0)
    mean = _OFFSET + _OF_NEAR * np.log(near) + _OF_WIDE * np.log(wide)
    return np.maximum(mean, 0.0), _REST + _REST_OF_ONE / np.sqrt(wide)


def hidden_variance(
    beyond: Float[np.ndarray, "n 4"],
    sides: Float[np.ndarray, "4 3"],
    axes: Float[np.ndarray, "n 3 3"],
    sizes: Float[np.ndarray, "n 3"],
) -> tuple[Float64[np.ndarray, "n 3"], Float64[np.ndarray, "n 3"]]:
    """Variance that faces get from what is hidden behind the border or behind something nearer.

    Nothing is known of what is not seen but that it goes on. Its length has a standard deviation
    of half of what is seen, towards that side only; the other face stays as sure as it was.

    Args:
        beyond: The share of each side of the picture (left, top, right, bottom) on which the
            region may go on.
        sides: The direction of each of these in the world, unit vectors.
        axes: Rows are the unit axes of the boxes.
        sizes: Metres.

    Returns:
        Of the faces on the negative and on the positive side of each axis, square metres.

    Examples:
        >>> left = np.array([[1.0, 0, 0, 0]])
        >>> sides = np.array([[-1.0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 0, -1]])
        >>> low, high = hidden_variance(left, sides, np.eye(3)[None], np.array([[2.0, 1, 1]]))
        >>> low.tolist(), high.tolist()
        ([[1.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]])
    """
    facing = axes @ sides.T  # n 3 4: how far each side points along each axis
    reach = _HIDDEN * sizes[..., None] * facing * beyond[:, None]
    low = (np.minimum(reach, 0) ** 2).max(axis=2)
    high = (np.maximum(reach, 0) ** 2).max(axis=2)
    return low, high
