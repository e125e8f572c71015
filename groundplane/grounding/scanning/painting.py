"""Outlines that a model wrote, as masks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from groundplane.core.masks import RleMask, encode

__all__ = ["outlined"]

# Corners further out than this draw nothing else than corners here do.
_FAR = 2**20


def outlined(corners: Sequence[tuple[float, float]], size: tuple[int, int]) -> RleMask:
    """Fill an outline whose corners are pixels, the pixels of the outline with it.

    Models of places write their outlines so, as pixels and not as the edges between them; it is
    filled as `supervision` fills it.

    Args:
        corners: x and y, pixels.
        size: Width and height of the image, pixels.

    Examples:
        >>> from groundplane.core.masks import area
        >>> area(outlined([(1.0, 1.0), (2.0, 1.0), (2.0, 2.0), (1.0, 2.0)], (10, 10)))
        4
        >>> area(outlined([], (10, 10)))
        0
    """
    canvas = np.zeros((size[1], size[0]), dtype=np.uint8)
    if corners:
        points = np.clip(np.array(corners, dtype=np.float64), -_FAR, _FAR).astype(np.int32)
        cv2.fillPoly(canvas, [points], (1,))
    return encode(canvas.astype(bool))
