"""Depth from files: PNG of 16 bits, or NPY of numbers."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image as PILImage
from PIL import UnidentifiedImageError

from groundplane.core.errors import MediaError
from groundplane.core.files import one_line
from groundplane.core.media import MediaLimits
from groundplane.core.regular_files import read_regular

__all__ = ["DEPTH_ENDINGS", "read_depth"]

DEPTH_ENDINGS = (".png", ".npy")

_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, LookupError, TypeError,
    ArithmeticError, PILImage.DecompressionBombError,
)  # fmt: skip
_WHY = {
    ".exr": "; OpenEXR is not read: write PNG of 16 bits or NPY",
    ".jpg": "; a JPEG changes depths",
    ".jpeg": "; a JPEG changes depths",
}


def read_depth(
    path: Path, *, scale: float, limits: MediaLimits
) -> tuple[Float[np.ndarray, "h w"], int]:
    """Read depths, and how many could be none.

    Args:
        path: A grey PNG of 16 bits, or an NPY file of shape (h, w) or (h, w, 1).
        scale: What one metre is in the file.
        limits: Most pixels and bytes.

    Returns:
        float32 in metres, 0 where unknown, and the count of values that were negative, infinite
        or NaN: those are 0 too.

    Raises:
        MediaError: If it is missing, broken, of another format or over a limit.
    """
    ending = path.suffix.lower()
    if ending not in DEPTH_ENDINGS:
        raise _error(path, f"expected a PNG of 16 bits or an NPY file{_WHY.get(ending, '')}")
    raw = _from_npy(path, limits) if ending == ".npy" else _from_png(path, limits)
    if raw.size == 0:
        raise _error(path, f"it has no pixels (shape {raw.shape})")
    with np.errstate(over="ignore", invalid="ignore"):
        depth = raw.astype(np.float32)
        if scale != 1:
            depth /= np.float32(scale)
        if raw.dtype == np.uint16:
            return depth, 0
        bad = ~(depth >= 0) | (depth == np.inf)
    depth[bad] = 0
    return depth, int(np.count_nonzero(bad))


def _from_png(path: Path, limits: MediaLimits) -> np.ndarray:
    name = one_line(path.name)
    data = read_regular(path, name=name, max_bytes=limits.max_bytes)
    try:
        with PILImage.open(io.BytesIO(data), formats=("PNG",)) as picture:
            _check_size(picture.size, path, limits)
            if picture.mode not in ("I;16", "I"):
                raise _error(path, f"expected grey of 16 bits, got a PNG of mode {picture.mode}")
            return np.asarray(picture, dtype=np.uint16 if picture.mode == "I;16" else np.int32)
    except UnidentifiedImageError as error:
        raise _error(path, "it is no PNG, or its header is broken") from error
    except MediaError:
        raise
    except _ERRORS as error:
        raise _error(path, f"its data is broken or cut off ({type(error).__name__})") from error


def _from_npy(path: Path, limits: MediaLimits) -> np.ndarray:
    if not path.is_file():
        raise _error(path, "there is no such file")
    try:
        # Mapped, so that a header of terabytes is told before anything is read.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except _ERRORS as error:
        raise _error(path, f"it is no NPY file of numbers, or cut off ({error})"[:200]) from error
    if not isinstance(mapped, np.ndarray) or mapped.dtype.kind not in "fiu":
        raise _error(path, "expected one array of numbers")
    if mapped.ndim == 3 and mapped.shape[2] == 1:
        mapped = mapped[:, :, 0]
    if mapped.ndim != 2:
        raise _error(path, f"expected an array of shape (h, w), got {mapped.shape}")
    _check_size((mapped.shape[1], mapped.shape[0]), path, limits)
    return np.array(mapped)


def _check_size(size: tuple[int, int], path: Path, limits: MediaLimits) -> None:
    if size[0] * size[1] > limits.max_pixels:
        raise _error(path, f"{size[0]} x {size[1]} pixels are more than {limits.max_pixels}")


def _error(path: Path, what: str) -> MediaError:
    return MediaError(f"cannot read depth {one_line(path.name)!r}: {what}")
