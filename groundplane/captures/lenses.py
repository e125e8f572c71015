"""Lenses: intrinsics with what bends straight lines, and pictures and depth brought to one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from groundplane.core.errors import InputError
from groundplane.core.image import FrameMap, Image, Source

__all__ = ["Lens", "lens_matrix", "resample_depth", "shrink", "straighten", "unturned"]

_Size = tuple[int, int]
_STRAIGHT = (0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lens:
    """A pinhole with distortion.

    Attributes:
        K: Intrinsics, pixels, the origin at the outer corner of the top-left pixel.
        size: Width and height of the pictures that K speaks of; None for pictures as they come.
        distortion: k1, k2, p1, p2, k3 of Brown's model as OpenCV numbers them; zeros for none.
            (Brown, Close-range camera calibration, 1971.)
    """

    K: Float[np.ndarray, "3 3"]
    size: _Size | None = None
    distortion: tuple[float, float, float, float, float] = _STRAIGHT

    @property
    def bends(self) -> bool:
        """Whether straight lines are bent in its pictures."""
        return any(self.distortion)

    def scaled(self, size: _Size, to: _Size) -> Float[np.ndarray, "3 3"]:
        """K of pictures that were resized from one size to another."""
        factors = np.array([to[0] / size[0], to[1] / size[1], 1.0])
        return np.asarray(self.K * factors[:, None])


def lens_matrix(
    numbers: tuple[float, float, float, float], *, where: str, centred: bool = False
) -> Float[np.ndarray, "3 3"]:
    """Intrinsics as a matrix.

    Args:
        numbers: fx, fy, cx, cy, pixels.
        where: Names their place, for messages.
        centred: Whether (0, 0) is the middle of the top-left pixel in the file, which puts the
            numbers half a pixel off ours.

    Raises:
        InputError: If a focal length is not above 0 or a number not finite.

    Examples:
        >>> lens_matrix((525.0, 525.0, 319.5, 239.5), where="a file", centred=True)[:2, 2].tolist()
        [320.0, 240.0]
    """
    fx, fy, cx, cy = numbers
    if not (np.isfinite(numbers).all() and fx > 0 and fy > 0):
        raise InputError(
            f"{where}: expected finite intrinsics with focal lengths above 0, got "
            f"fx {fx}, fy {fy}, cx {cx}, cy {cy}"
        )
    half = 0.5 if centred else 0.0
    return np.array([[fx, 0, cx + half], [0, fy, cy + half], [0, 0, 1.0]])


def unturned(image: Image) -> Image:
    """A picture as its file stores it, where EXIF had turned it upright.

    Intrinsics, depth and poses speak of the stored pixels; the pose tells which way is up.
    """
    matrix = image.frame_map.matrix
    if np.array_equal(matrix, FrameMap.identity().matrix):
        return image
    pixels = image.pixels
    if matrix[0, 0] == 0:  # x of the one is y of the other
        pixels = pixels.transpose(1, 0, 2)
    x_of, y_of = (int(np.sign(row.sum())) for row in matrix[:, :2])
    return Image(
        pixels=np.ascontiguousarray(pixels[::y_of, ::x_of]),
        source=image.source,
        frame_map=FrameMap.identity(),
    )


def shrink(image: Image, longest: int | None) -> Image:
    """A picture whose longer side has at most so many pixels; each counts by its area."""
    width, height = image.size
    if longest is None or max(width, height) <= longest:
        return image
    share = longest / max(width, height)
    size = max(1, round(width * share)), max(1, round(height * share))
    back = FrameMap(matrix=np.array([[width / size[0], 0, 0.0], [0, height / size[1], 0.0]]))
    return Image(
        pixels=cv2.resize(image.pixels, size, interpolation=cv2.INTER_AREA),
        source=_changed(image.source, f"{size[0]}x{size[1]}"),
        frame_map=back.then(image.frame_map),
    )


def straighten(image: Image, lens: Lens) -> Image:
    """A picture as a pinhole of the same K would have shown it; black where it saw nothing."""
    if not lens.bends:
        return image
    x, y = _seen(lens.K, image.size, lens.K, lens.distortion)
    # OpenCV counts from the middle of the first pixel.
    maps = (x - 0.5).astype(np.float32), (y - 0.5).astype(np.float32)
    return Image(
        pixels=cv2.remap(image.pixels, *maps, interpolation=cv2.INTER_LINEAR),
        source=_changed(image.source, repr((lens.K.tolist(), lens.distortion))),
        frame_map=image.frame_map,
    )


def resample_depth(
    depth: Float32[np.ndarray, "_ _"],
    source: Lens,
    K: Float[np.ndarray, "3 3"],
    size: _Size,
) -> Float32[np.ndarray, "h w"]:
    """Depth as the pixels of a picture see it: each takes the one that its middle falls on.

    Never a mean of several, which across an edge is where nothing is.

    Args:
        depth: Metres; z is the same in both, since both look from the same point.
        source: The lens of the depth.
        K: Intrinsics of the picture.
        size: Width and height of the picture, pixels.

    Returns:
        0 where the picture sees what the depth does not.
    """
    height, width = depth.shape
    if size == (width, height) and not source.bends and np.allclose(K, source.K, atol=1e-6):
        return depth
    if not source.bends and not K[0, 1] and not source.K[0, 1]:
        columns, inside_x = _along(K[0, [0, 2]], source.K[0, [0, 2]], size[0], width)
        rows, inside_y = _along(K[1, [1, 2]], source.K[1, [1, 2]], size[1], height)
        picked: Float32[np.ndarray, "_ _"] = depth[np.ix_(rows, columns)]
        if not (inside_x.all() and inside_y.all()):
            picked[~(inside_y[:, None] & inside_x)] = 0
        return picked
    x, y = _seen(K, size, source.K, source.distortion)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    columns = np.where(inside, x, 0).astype(np.int64)
    rows = np.where(inside, y, 0).astype(np.int64)
    return np.where(inside, depth[rows, columns], np.float32(0))


def _along(
    lens: Float[np.ndarray, "2"], to_lens: Float[np.ndarray, "2"], length: int, to_length: int
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Where the middles of pixels fall along one side, and whether they do at all."""
    rays = np.arange(length) + 0.5 - lens[1]
    at = np.floor(rays * (to_lens[0] / lens[0]) + to_lens[1] + 1e-9)
    inside = (at >= 0) & (at < to_length)
    return np.where(inside, at, 0).astype(np.int64), inside


def _seen(
    K: Float[np.ndarray, "3 3"],
    size: _Size,
    source_K: Float[np.ndarray, "3 3"],
    distortion: tuple[float, ...],
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Where a bending lens shows what the middle of each pixel of a pinhole sees."""
    columns, rows = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    y = (rows - K[1, 2]) / K[1, 1]
    x = (columns - K[0, 2] - K[0, 1] * y) / K[0, 0]
    k1, k2, p1, p2, k3 = distortion
    with np.errstate(over="ignore", invalid="ignore"):
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        bent_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        bent_y = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        seen_x = source_K[0, 0] * bent_x + source_K[0, 1] * bent_y + source_K[0, 2]
        seen_y = source_K[1, 1] * bent_y + source_K[1, 2]
    return seen_x, seen_y


def _changed(source: Source, how: str) -> Source:
    """The name stays; other pixels have another hash, so that no cache takes them for these."""
    if not source.content_hash:
        return source
    digest = hashlib.sha256(f"{source.content_hash}|{how}".encode()).hexdigest()
    return Source(name=source.name, content_hash=digest)
