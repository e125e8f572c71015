"""Images as groundplane sees them: upright RGB, with the way back to the file's pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from groundplane.core.errors import ShapeError

__all__ = ["FrameMap", "Image", "Source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an image came from.

    Attributes:
        name: File name or another name for people; data, never a path to write to.
        content_hash: SHA-256 of the encoded bytes (or of the pixels), hexadecimal.
    """

    name: str
    content_hash: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameMap:
    """A reversible affine map of image coordinates, pixels to pixels.

    Attributes:
        matrix: `[x', y'] = matrix @ [x, y, 1]`. Points are in pixels, origin at the outer
            corner of the top-left pixel, x right, y down.
    """

    matrix: Float[np.ndarray, "2 3"]

    def __post_init__(self) -> None:
        if self.matrix.shape != (2, 3):
            raise ShapeError(f"frame map: expected a 2 by 3 matrix, got {self.matrix.shape}")
        if not np.isfinite(self.matrix).all() or abs(self._det()) < 1e-12:
            raise ShapeError("frame map: the matrix is not invertible")

    def _det(self) -> float:
        m = self.matrix
        return float(m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0])

    @classmethod
    def identity(cls) -> FrameMap:
        """The map that changes nothing."""
        return cls(matrix=np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))

    def points(self, xy: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Map points, pixels to pixels."""
        return np.asarray(xy @ self.matrix[:, :2].T + self.matrix[:, 2])

    def boxes(self, xyxy: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        """Map boxes; where the map turns the image the hull of the four corners is given."""
        corners = xyxy[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
        moved = self.points(corners).reshape(-1, 4, 2)
        return np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)

    def inverse(self) -> FrameMap:
        """The map that undoes this one."""
        linear = np.linalg.inv(self.matrix[:, :2])
        return FrameMap(matrix=np.concatenate([linear, -linear @ self.matrix[:, 2:]], axis=1))

    def then(self, after: FrameMap) -> FrameMap:
        """First this map, then `after`."""
        linear = after.matrix[:, :2] @ self.matrix[:, :2]
        offset = after.matrix[:, :2] @ self.matrix[:, 2:] + after.matrix[:, 2:]
        return FrameMap(matrix=np.concatenate([linear, offset], axis=1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Image:
    """A decoded picture.

    Attributes:
        pixels: RGB, upright (EXIF orientation applied).
        source: Name and content hash.
        frame_map: From these upright pixels back to the file's stored pixels.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    source: Source
    frame_map: FrameMap

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ShapeError(
                f"image {self.source.name!r}: expected uint8 pixels of shape (h, w, 3), "
                f"got {self.pixels.dtype} {self.pixels.shape}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[0])
