"""The pixels of a view: the square that every tower sees, and where it lies in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.features import View
from groundplane.core.frames import Frame
from groundplane.core.image import FrameMap, Image
from groundplane.core.pixels import PixelRule, resize_pixels, resize_planes

__all__ = ["canvas_to_tower", "view_frame", "view_pixels"]

# Most pixels of anything that is made on the way, as in `pixels.py`.
_MOST_PIXELS = 40_000_000
# Of padded rows that are resized at a time.
_BAND = 16_000_000


def view_frame(view: View, size: tuple[int, int]) -> Frame:
    """What of a picture a view shows; exact, the rounding of the resized side included.

    Args:
        view: How pictures are seen.
        size: Width and height of the picture, pixels.

    Raises:
        InputError: If a size is not above 0, or the picture is too narrow to be resized.

    Examples:
        >>> view_frame(View(size=336), (640, 480)).visible
        (80.0, 0.0, 560.0, 480.0)
        >>> view_frame(View(size=336, fit="pad"), (640, 480)).visible
        (0.0, 0.0, 640.0, 480.0)
    """
    side = view.size
    if view.fit == "stretch":
        return Frame.resized(size, (side, side))
    if view.fit == "pad":
        whole = Frame.padded(size)
        _check_area(size, whole.canvas[0] * side)
        return whole.then(Frame.resized(whole.canvas, (side, side)))
    resized = Frame.resized(size, _content(view, size))
    left, top = _corner(resized.canvas, side)
    shift = FrameMap(matrix=np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]]))
    return resized.then(Frame(image_size=resized.canvas, canvas=(side, side), to_canvas=shift))


def view_pixels(
    images: Sequence[Image], view: View, *, device: str | torch.device = "cpu"
) -> UInt8[Tensor, "b 3 s s"]:
    """Pictures as a view shows them.

    `crop` is what the CLIP image processor of transformers gives, `pad` LLaVA's padding to a
    square and the same resizing: of photos within one grey level, of Pillow's filters too; where
    neighbours are as unlike as in noise, single pixels are further from Pillow's.

    Args:
        images: Of any sizes.
        view: How they are seen.
        device: Where they are resized.

    Returns:
        Bytes, red, green, blue.

    Raises:
        ShapeError: If a picture has no pixels.
        InputError: If a picture is too narrow to be resized.

    Examples:
        >>> from groundplane.testing.detectors import make_image
        >>> grey = make_image(np.full((10, 20, 3), 7, np.uint8))
        >>> view_pixels([grey], View(size=2, fit="pad", fill=(0, 0, 0)))[0, 0].tolist()
        [[4, 4], [4, 4]]
        >>> view_pixels([], View(size=2)).shape
        torch.Size([0, 3, 2, 2])
    """
    if not images:
        return torch.zeros(0, 3, view.size, view.size, dtype=torch.uint8, device=device)
    ways = {"crop": _cropped, "pad": _padded, "stretch": _stretched}
    made = []
    for image in images:
        if min(image.size) < 1:
            raise ShapeError(f"image {image.source.name!r}: expected pixels, got {image.size}")
        try:
            made.append(ways[view.fit](image.pixels, view, torch.device(device)))
        except InputError as error:
            raise InputError(f"image {image.source.name!r}: {error}") from error
    return torch.stack(made)


def canvas_to_tower(
    pixels: Shaped[Tensor, "b 3 s s"],
    size: int,
    filter: Literal["bilinear", "bicubic"] = "bicubic",
) -> Float[Tensor, "b 3 t t"]:
    """Canvases as one tower sees them: of its side, in shares of full brightness.

    Nothing leaves the device.

    Args:
        pixels: Grey levels, 0 to 255, as bytes or as floating-point numbers.
        size: Side to get, pixels.
        filter: How colours between pixels are found, where the side differs.

    Returns:
        Float32, in 0 to 1.

    Raises:
        ShapeError: If the canvases are no batch of squares.

    Examples:
        >>> canvas_to_tower(torch.full((1, 3, 2, 2), 51, dtype=torch.uint8), 2).unique()
        tensor([0.2000])
        >>> canvas_to_tower(torch.zeros(0, 3, 2, 2), 4).shape
        torch.Size([0, 3, 4, 4])
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3 or pixels.shape[2] != pixels.shape[3]:
        raise ShapeError(
            f"canvas: expected pixels of shape (pictures, 3, side, side), got {tuple(pixels.shape)}"
        )
    shares = pixels.float() / 255
    if pixels.shape[-1] == size:
        return shares
    if not pixels.shape[0]:
        return shares.new_zeros(0, 3, size, size)
    shares = interpolate(shares, size=(size, size), mode=filter, antialias=True)
    # The filter overshoots at edges; a picture has nothing below black or above white.
    return shares.clamp(0, 1)


def _content(view: View, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the resized picture, of which the middle is cut out."""
    rule = PixelRule(fit="shortest", size=view.size)
    rule.canvas(size)  # refuses what would become too large
    return rule.content(size)


def _corner(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Where the middle square begins; half pixels are cut, as transformers does."""
    return (size[0] - side) // 2, (size[1] - side) // 2


def _cropped(
    pixels: UInt8[np.ndarray, "_ _ 3"], view: View, device: torch.device
) -> UInt8[Tensor, "3 s s"]:
    size = _content(view, (pixels.shape[1], pixels.shape[0]))
    left, top = _corner(size, view.size)
    whole = resize_pixels(pixels, size, filter=view.filter, device=device)
    return whole[:, top : top + view.size, left : left + view.size]


def _stretched(
    pixels: UInt8[np.ndarray, "_ _ 3"], view: View, device: torch.device
) -> UInt8[Tensor, "3 s s"]:
    return resize_pixels(pixels, (view.size, view.size), filter=view.filter, device=device)


def _padded(
    pixels: UInt8[np.ndarray, "_ _ 3"], view: View, device: torch.device
) -> UInt8[Tensor, "3 s s"]:
    """Rows first, then columns, as the filter does it, so that the square is never made whole.

    A plain colour stays what it is: above and below a wide picture it is added between the two.
    """
    height, width = pixels.shape[:2]
    side, target = max(height, width), view.size
    _check_area((width, height), side * target)
    left, top = (side - width) // 2, (side - height) // 2
    square = _filled((side, target), view, device)
    step = max(1, _BAND // side)
    for start in range(0, height, step):
        band = torch.from_numpy(np.require(pixels[start : start + step], requirements=["C", "W"]))
        rows = band.to(device).permute(2, 0, 1)
        if width < side:
            wide = _filled((rows.shape[1], side), view, device)
            wide[:, :, left : left + width] = rows
            rows = wide
        square[:, top + start : top + start + rows.shape[1]] = resize_planes(
            rows, (target, rows.shape[1]), filter=view.filter
        )
    return resize_planes(square, (target, target), filter=view.filter)


def _filled(size: tuple[int, int], view: View, device: torch.device) -> UInt8[Tensor, "3 h w"]:
    """Rows and columns of the colour of the padding."""
    planes = torch.empty(3, *size, dtype=torch.uint8, device=device)
    for plane, level in zip(planes, view.fill, strict=True):
        plane.fill_(level)
    return planes


def _check_area(size: tuple[int, int], area: int) -> None:
    if area > _MOST_PIXELS:
        raise InputError(
            f"picture of {size[0]} by {size[1]} pixels: expected at most {_MOST_PIXELS} pixels "
            f"while it is padded to a square and resized, got {area}; cut it into parts first"
        )
