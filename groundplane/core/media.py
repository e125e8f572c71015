"""Pictures from files, bytes, Pillow images and arrays: bounded, upright, RGB.

Every limit is checked on the header, before a pixel is decoded. Whatever is wrong with a
picture ends as a `MediaError` of one line. Videos are read elsewhere.

Grey of 16 or 32 bits, or of floats, is scaled so that white becomes 255. PNG states its white:
65535. In other files 10 or 12 bits often lie in a wider container, so white is the largest
number of the smallest even bit depth, 8 or more, that holds the largest value. Float pictures
within [0, 1] have white at 1. Where values are negative, the range from the smallest to the
largest is spread over 0 to 255. NaN is black.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as PILImage
from PIL import UnidentifiedImageError

from groundplane.core.errors import MediaError
from groundplane.core.image import FrameMap, Image, Source
from groundplane.core.regular_files import read_regular

__all__ = ["MediaLimits", "is_picture_name", "list_images", "read_image"]

_log = logging.getLogger(__name__)

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_SUFFIX = re.compile(r"\.(jpe?g|jpe|jfif|a?png|webp|bmp|dib|tiff?|gif)", re.IGNORECASE)
_ORIENTATION_TAG = 0x0112
_PHOTOMETRIC_TAG = 0x0106

# What Pillow and the codecs raise on hostile data; the fuzz test holds the list to be complete.
_DECODER_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    PILImage.DecompressionBombError,
)

# How the upright picture comes from the stored one, by EXIF orientation.
_TURNS = {
    2: PILImage.Transpose.FLIP_LEFT_RIGHT,
    3: PILImage.Transpose.ROTATE_180,
    4: PILImage.Transpose.FLIP_TOP_BOTTOM,
    5: PILImage.Transpose.TRANSPOSE,
    6: PILImage.Transpose.ROTATE_270,
    7: PILImage.Transpose.TRANSVERSE,
    8: PILImage.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """What a picture may be at most; the rest is refused before it is decoded.

    Pillow has a limit of its own (`PIL.Image.MAX_IMAGE_PIXELS`) which is left as it is: above
    twice that number a picture is refused whatever stands here.

    Attributes:
        max_pixels: Width times height.
        max_aspect: The longer side over the shorter one.
        max_bytes: Size of the encoded file.
        formats: Names of the formats that may be opened, as Pillow writes them.

    Raises:
        MediaError: If a limit is below 1 or Pillow cannot read one of the formats.
    """

    max_pixels: int = 40_000_000
    max_aspect: float = 200.0
    max_bytes: int = 256 * 2**20
    formats: tuple[str, ...] = _FORMATS

    def __post_init__(self) -> None:
        for name in ("max_pixels", "max_aspect", "max_bytes"):
            value = getattr(self, name)
            if not value >= 1:  # so that NaN fails too
                raise MediaError(f"media limits: {name} must be 1 or more, got {value}")
        if not self.formats:
            raise MediaError("media limits: formats is empty; name at least one, such as 'JPEG'")
        if not set(self.formats) <= set(_FORMATS):
            PILImage.init()
            unknown = sorted(set(self.formats) - set(PILImage.OPEN))
            if unknown:
                raise MediaError(f"media limits: Pillow reads no format called {unknown[0]!r}")


_DEFAULT_LIMITS = MediaLimits()


def read_image(
    source: str | Path | bytes | PILImage.Image | np.ndarray,
    *,
    name: str | None = None,
    limits: MediaLimits = _DEFAULT_LIMITS,
) -> Image:
    """Read a picture as upright RGB.

    EXIF orientation is applied, and `frame_map` leads back to the stored pixels. Of several
    frames the first is taken (of a Pillow image the one it stands at). Transparent pixels are
    laid on white. Colours become 8 bit without colour management; for grey of 16 bits and more
    see the top of this module.

    Args:
        source: A file's path, encoded bytes, a Pillow image, or uint8 pixels of shape (h, w)
            grey, (h, w, 3) RGB or (h, w, 4) RGBA. A string is always a path, never a URL.
        name: What to call the picture, in messages too; the path's last part by default.
        limits: What is refused.

    Returns:
        The picture. Its content hash is of the encoded bytes; for Pillow images and arrays of
        the upright pixels and their shape.

    Raises:
        MediaError: If it is missing, broken, truncated, of another format or over a limit.

    Examples:
        >>> read_image(np.zeros((2, 3), dtype=np.uint8), name="dark").size
        (3, 2)
    """
    if isinstance(source, np.ndarray):
        label = name if name is not None else "<array>"
        return _finish(_picture_of(source, label), name=label, limits=limits)
    if isinstance(source, PILImage.Image):
        filename = os.path.basename(str(getattr(source, "filename", "")))
        label = name if name is not None else filename or "<picture>"
        return _finish(source, name=label, limits=limits)
    if isinstance(source, bytes):
        label, data = name if name is not None else "<bytes>", source
    else:
        label = name if name is not None else os.path.basename(source) or str(source)
        data = read_regular(source, name=label, max_bytes=limits.max_bytes)
    if len(data) > limits.max_bytes:
        raise _too_heavy(label, limits)
    picture = _open(data, name=label, limits=limits)
    return _finish(picture, name=label, limits=limits, digest=hashlib.sha256(data).hexdigest())


def is_picture_name(path: str | Path) -> bool:
    """Whether a file's ending says that it is a picture.

    Examples:
        >>> is_picture_name("a.JPG"), is_picture_name("a.json")
        (True, False)
    """
    return _SUFFIX.fullmatch(os.path.splitext(str(path))[1]) is not None


def list_images(folder: str | Path) -> list[Path]:
    """Find the pictures in a folder and below it, by file extension, sorted by path.

    Hidden files and folders (a leading dot) are left out. A link to a picture counts; a link to
    a folder is not entered, so the search ends whatever the links do.

    Raises:
        MediaError: If the folder is missing, cannot be listed or holds no picture.
    """
    top = Path(folder)
    shown = repr(str(folder))
    if not top.is_dir():
        what = "is a file, not a folder" if top.exists() else "does not exist"
        raise MediaError(f"folder {shown} {what}; expected a folder of pictures")

    def fail(error: OSError) -> None:
        raise MediaError(f"folder {shown} cannot be listed: {error.strerror}") from error

    found: list[Path] = []
    for root, folders, files in os.walk(top, onerror=fail):
        folders[:] = [entry for entry in folders if not entry.startswith(".")]
        paths = (Path(root, file) for file in files if not file.startswith("."))
        found += [path for path in paths if is_picture_name(path) and path.is_file()]
    if not found:
        raise MediaError(
            f"folder {shown} holds no picture; expected files ending in "
            ".jpg, .png, .webp, .bmp, .tif or .gif"
        )
    return sorted(found)


# Errors and warnings ------------------------------------------------------------------------


def _error(name: str, what: str) -> MediaError:
    """A one-line error about the picture called `name`."""
    return MediaError(f"cannot read picture {name!r}: {what}")


def _brief(error: Exception) -> str:
    """An error's type and text on one printable line of bounded length."""
    text = "".join(c if c.isprintable() else " " for c in str(error))
    return f"{type(error).__name__}: {' '.join(text.split())[:160]}".removesuffix(": ")


class _Reading(threading.local):
    """Whether this thread is inside Pillow on our behalf."""

    active = False


_reading = _Reading()


class _OnlyWhileReading(type):
    """Makes `issubclass` true for Pillow's warnings, in a thread that reads a picture."""

    def __subclasscheck__(cls, subclass: type) -> bool:
        return _reading.active and issubclass(subclass, (UserWarning, RuntimeWarning))


class _PillowWarning(Warning, metaclass=_OnlyWhileReading):
    """The category of our warning filter: it matches nothing outside `_quiet`."""


def _not_while_reading(record: logging.LogRecord) -> bool:
    return not _reading.active or record.levelno < logging.WARNING


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Pillow's warnings about a picture off the terminal, in this thread only.

    `warnings.catch_warnings` swaps the filters of the whole process and loses other threads'
    changes. One filter that matches only in a reading thread can stay where it is.
    """
    if not warnings.filters or warnings.filters[0][2] is not _PillowWarning:
        warnings.simplefilter("ignore", category=_PillowWarning)
    # The only plugin of ours that logs above DEBUG; it raises as well.
    logging.getLogger("PIL.TiffImagePlugin").addFilter(_not_while_reading)
    before, _reading.active = _reading.active, True
    try:
        yield
    finally:
        _reading.active = before


# From a source to a Pillow image -------------------------------------------------------------


def _too_heavy(name: str, limits: MediaLimits) -> MediaError:
    return _error(
        name, f"more than {limits.max_bytes} bytes; make it smaller or raise MediaLimits.max_bytes"
    )


def _picture_of(pixels: np.ndarray, name: str) -> PILImage.Image:
    """A Pillow image of grey, RGB or RGBA pixels."""
    shape_ok = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if pixels.dtype != np.uint8 or not shape_ok:
        raise _error(
            name,
            "expected uint8 pixels of shape (h, w), (h, w, 3) or (h, w, 4), "
            f"got {pixels.dtype} {pixels.shape}",
        )
    if pixels.size == 0:
        raise _error(name, f"it has no pixels (shape {pixels.shape})")
    return PILImage.fromarray(np.ascontiguousarray(pixels))


def _open(data: bytes, *, name: str, limits: MediaLimits) -> PILImage.Image:
    """Read the header of encoded bytes."""
    if not data:
        raise _error(name, "the file is empty")
    try:
        with _quiet():
            return PILImage.open(io.BytesIO(data), formats=limits.formats)
    except UnidentifiedImageError as error:
        raise _error(name, _why_unidentified(data, name, limits)) from error
    except PILImage.DecompressionBombError as error:
        raise _error(name, f"it declares too many pixels ({_brief(error)})") from error
    except _DECODER_ERRORS as error:
        raise _error(name, f"its header is broken ({_brief(error)})") from error


def _why_unidentified(data: bytes, name: str, limits: MediaLimits) -> str:
    """Tell another format from a broken header, by signature or else by extension."""
    allowed = f"allowed: {', '.join(limits.formats)}"
    prefix = data[:16]
    if len(prefix) < 16:
        return f"{len(prefix)} bytes are too few for a picture; {allowed}"
    PILImage.init()
    answers = {key: accept(prefix) for key, (_, accept) in PILImage.OPEN.items() if accept}
    # An answer in words means that this Pillow was built without the format.
    known = [key for key, answer in answers.items() if answer and not isinstance(answer, str)]
    broken = [key for key in known if key in limits.formats]
    if broken:
        return f"its {broken[0]} header is broken"
    by_suffix = PILImage.registered_extensions().get(os.path.splitext(name)[1].lower())
    other = [*known, *([by_suffix] if by_suffix and by_suffix not in limits.formats else [])]
    if other:
        return f"format {other[0]} is not allowed; {allowed}"
    return f"it is not a picture of a known format; {allowed}"


# From a Pillow image to upright RGB ----------------------------------------------------------


def _finish(
    picture: PILImage.Image, *, name: str, limits: MediaLimits, digest: str | None = None
) -> Image:
    """Check the header's size, then decode."""
    _check_size(picture.size, name, limits)
    try:
        with _quiet():
            pixels, orientation = _decode(picture)
    except _DECODER_ERRORS as error:
        raise _error(name, f"its data is broken or cut off ({_brief(error)})") from error
    if digest is None:
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    return Image(
        pixels=pixels,
        source=Source(name=name, content_hash=digest),
        frame_map=_to_stored(orientation, height=pixels.shape[0], width=pixels.shape[1]),
    )


def _check_size(size: tuple[int, int], name: str, limits: MediaLimits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise _error(name, f"it has no pixels ({width} x {height})")
    if width * height > limits.max_pixels:
        raise _error(
            name,
            f"{width} x {height} pixels are more than {limits.max_pixels}; "
            "make it smaller or raise MediaLimits.max_pixels",
        )
    if max(size) > limits.max_aspect * min(size):
        raise _error(
            name,
            f"{width} x {height} pixels are longer than {limits.max_aspect:g} to 1; "
            "crop it or raise MediaLimits.max_aspect",
        )


def _decode(picture: PILImage.Image) -> tuple[UInt8[np.ndarray, "h w 3"], int]:
    """Upright RGB pixels, and the EXIF orientation that they were stored in."""
    # Pillow turns a TIFF upright while it loads, and then forgets the tag.
    turned = picture.format == "TIFF"
    orientation = _orientation(picture) if turned else 1
    rescaled_key = _rescaled_key(picture)
    picture.load()
    if not turned:
        orientation = _orientation(picture)
    rgb = _to_rgb(picture, rescaled_key)
    if not turned and orientation in _TURNS:
        rgb = rgb.transpose(_TURNS[orientation])
    return np.array(rgb, dtype=np.uint8), orientation


def _orientation(picture: PILImage.Image) -> int:
    """EXIF orientation 1 to 8; 1 where it is not stated or the metadata is broken."""
    try:
        value = picture.getexif().get(_ORIENTATION_TAG, 1)
    except _DECODER_ERRORS as error:
        _log.debug("broken EXIF data, taken as upright: %s", _brief(error))
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


def _to_stored(orientation: int, *, height: int, width: int) -> FrameMap:
    """The map from upright pixels (height by width) to the stored file's pixels."""
    h, w = float(height), float(width)
    rows = {
        1: ((1, 0, 0), (0, 1, 0)),
        2: ((-1, 0, w), (0, 1, 0)),
        3: ((-1, 0, w), (0, -1, h)),
        4: ((1, 0, 0), (0, -1, h)),
        5: ((0, 1, 0), (1, 0, 0)),
        6: ((0, 1, 0), (-1, 0, w)),
        7: ((0, -1, h), (-1, 0, w)),
        8: ((0, -1, h), (1, 0, 0)),
    }
    return FrameMap(matrix=np.array(rows[orientation], dtype=np.float64))


def _rescaled_key(picture: PILImage.Image) -> int | tuple[int, ...] | None:
    """A PNG's transparent colour on the scale of the decoded pixels; None if it needs no change.

    Pillow spreads 2 and 4 bit grey to 8 bits, and takes the high byte of 16 bit RGB, but leaves
    the transparent colour on the file's scale. Must be called before the picture is loaded.
    """
    key = picture.info.get("transparency")
    tiles = getattr(picture, "tile", None)
    if key is None or picture.format != "PNG" or not tiles:
        return None
    match tiles[0][3]:
        case "L;2":
            return int(key) * 85
        case "L;4":
            return int(key) * 17
        case "RGB;16B":
            return tuple(int(value) >> 8 for value in key)
    return None


def _to_rgb(picture: PILImage.Image, key: int | tuple[int, ...] | None) -> PILImage.Image:
    """Any mode to RGB; transparency on white."""
    if picture.mode.startswith("I") or picture.mode == "F":
        return PILImage.fromarray(_deep_to_grey(picture)).convert("RGB")
    if picture.mode == "LAB":
        from PIL import ImageCms

        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
        return transform.apply(picture)
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    if key is not None:
        picture = picture.copy()
        picture.info["transparency"] = key
    if picture.mode == "La":
        picture = picture.convert("LA")
    white = PILImage.new("RGBA", picture.size, "white")
    return PILImage.alpha_composite(white, picture.convert("RGBA")).convert("RGB")


def _deep_to_grey(picture: PILImage.Image) -> UInt8[np.ndarray, "h w"]:
    """Grey of 16 or 32 bits or floats to 8 bits, by the rule at the top of this module."""
    stored = np.asarray(picture)
    values = stored.astype(np.float64)
    finite = values[np.isfinite(values)]
    low = float(finite.min(initial=0.0))
    high = float(finite.max(initial=low))
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    white = _white(high, low=low, picture=picture)
    grey = np.rint((values - low) * (255 / white)).astype(np.uint8)
    if getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC_TAG) == 0:
        grey = 255 - grey  # TIFF's WhiteIsZero, which Pillow leaves to the reader in deep modes
    if isinstance(key := picture.info.get("transparency"), int):
        grey[stored == key] = 255
    return grey


def _white(high: float, *, low: float, picture: PILImage.Image) -> float:
    """What counts as white, above `low`, in a grey picture whose largest value is `high`."""
    if low < 0:
        return high - low or 1.0
    if picture.format == "PNG":
        return 65535.0
    if picture.mode == "F" and high <= 1:
        return 1.0
    return float(2.0 ** max(8, 2 * math.ceil(math.log2(high + 1) / 2)) - 1)
