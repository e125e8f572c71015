"""Pictures as models take them: resized, normalised, padded to a batch, with the way back.

The filter is the one that image models are trained with: bilinear or bicubic, widened where a
picture is shrunk, so that all of its pixels count. It works on bytes, as the pipelines do that
it replaces; on a card the bytes are moved first, a quarter of the size of what comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.image import FrameMap

__all__ = ["PixelBatch", "PixelRule", "prepare_pixels", "resize_pixels", "resize_planes"]

_Size = tuple[int, int]
# Of ImageNet, red, green, blue, in shares of full brightness.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
# A batch of one picture may not need more: a strip of 1 by 100,000 pixels would ask for terabytes.
_MOST_PIXELS = 40_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelRule:
    """How a model wants its pictures.

    Attributes:
        fit: `shortest`: the shorter side becomes `size`, unless the longer would pass `longest`;
            `longest`: the longer side becomes `size`; `stretch`: both do, whatever the shape.
        size: Side, pixels.
        longest: Most that the longer side may become, pixels; only for `shortest`.
        square: Pad below and to the right to a square (after `longest`: a model's canvas).
        multiple: Pad below and to the right to a multiple of this, pixels.
        mean: Taken from each channel, in shares of full brightness, red, green, blue.
        std: Each channel is then divided by this.
        filter: How colours between pixels are found.

    Raises:
        InputError: If a size or a divisor is not above 0.
    """

    fit: Literal["shortest", "longest", "stretch"] = "shortest"
    size: int = 800
    longest: int | None = None
    square: bool = False
    multiple: int = 1
    mean: tuple[float, float, float] = _MEAN
    std: tuple[float, float, float] = _STD
    filter: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        sides = {"size": self.size, "longest": self.longest or 1, "multiple": self.multiple}
        for name, value in sides.items():
            if not 1 <= value <= 65_536:
                raise InputError(f"pixel rule: {name}: expected 1 to 65536 pixels, got {value}")
        if not all(value > 0 for value in self.std):  # NaN is not either
            raise InputError(f"pixel rule: std: expected numbers above 0, got {self.std}")

    def content(self, size: _Size) -> _Size:
        """Width and height to which a picture of a size is resized, pixels, without padding.

        Source: the rules of transformers for detectors, their rounding included: the side that
        is stated is exact, the other is cut to a whole number, never below 1.

        Examples:
            >>> PixelRule(size=800, longest=1333).content((1280, 960))
            (1066, 800)
            >>> PixelRule(size=800, longest=1333).content((1000, 100))
            (1333, 133)
        """
        width, height = size
        if self.fit == "stretch":
            return self.size, self.size
        short, long = min(size), max(size)
        side: float = self.size
        if self.fit == "longest":
            scale = self.size / long
            return max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))
        capped = self.longest is not None and long / short * self.size > self.longest
        if capped and self.longest is not None:
            side = self.longest * short / long
        if short == round(side):
            return size
        least, other = max(1, round(side)), max(1, int(side * long / short))
        return (other, least) if width >= height else (least, other)

    def canvas(self, size: _Size) -> _Size:
        """Width and height of what the model gets for a picture of a size, padding included.

        Examples:
            >>> PixelRule(size=800, longest=1333, multiple=32).canvas((1280, 960))
            (1088, 800)
        """
        width, height = self.content(size)
        if self.square:
            width = height = max(width, height)
        step = self.multiple
        canvas = -(-width // step) * step, -(-height // step) * step
        if canvas[0] * canvas[1] > _MOST_PIXELS:
            raise InputError(
                f"picture of {size[0]} by {size[1]} pixels: expected at most {_MOST_PIXELS} pixels "
                f"after resizing, got {canvas[0]} by {canvas[1]}; cut it into parts first"
            )
        return canvas

    def frame_map(self, size: _Size) -> FrameMap:
        """From pixels of the canvas to those of the picture."""
        width, height = self.content(size)
        across, down = size[0] / width, size[1] / height
        return FrameMap(matrix=np.array([[across, 0.0, 0.0], [0.0, down, 0.0]]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PixelBatch:
    """Pictures of one canvas, ready for a model.

    Attributes:
        values: Normalised, padding 0.
        mask: True where there is picture, False where there is padding.
        frame_maps: For each picture from pixels of the canvas to its own.
    """

    values: Float[Tensor, "b 3 h w"]
    mask: Bool[Tensor, "b h w"]
    frame_maps: tuple[FrameMap, ...]


def prepare_pixels(
    pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    rule: PixelRule,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> PixelBatch:
    """Resize, normalise and pad pictures to one batch.

    Args:
        pictures: RGB. They need not have one size: smaller canvases are padded to the largest.
        rule: What the model wants.
        device: Where the batch is made; the bytes are moved there first.
        dtype: Of the values.

    Raises:
        ShapeError: If there is no picture, or one has no pixels.
        InputError: If a picture would become too large.

    Examples:
        >>> grey = np.full((10, 20, 3), 128, dtype=np.uint8)
        >>> batch = prepare_pixels([grey], PixelRule(size=5, multiple=8))
        >>> batch.values.shape, int(batch.mask.sum())
        (torch.Size([1, 3, 8, 16]), 50)
    """
    if not pictures or any(picture.size == 0 for picture in pictures):
        raise ShapeError("pictures: expected at least one, each with pixels")
    sizes = [(picture.shape[1], picture.shape[0]) for picture in pictures]
    canvases = [rule.canvas(size) for size in sizes]
    width, height = (max(side) for side in zip(*canvases, strict=True))
    padded = any(rule.content(size) != (width, height) for size in sizes)
    make = torch.zeros if padded else torch.empty
    values = make(len(pictures), 3, height, width, dtype=dtype, device=device)
    mask = torch.zeros(len(pictures), height, width, dtype=torch.bool, device=device)
    for i, (picture, size) in enumerate(zip(pictures, sizes, strict=True)):
        wide, high = rule.content(size)
        resized = resize_pixels(picture, (wide, high), filter=rule.filter, device=device)
        _normalise(resized, rule, out=values[i, :, :high, :wide])
        mask[i, :high, :wide] = True
    frame_maps = tuple(rule.frame_map(size) for size in sizes)
    return PixelBatch(values=values, mask=mask, frame_maps=frame_maps)


def resize_pixels(
    picture: UInt8[np.ndarray, "_ _ 3"],
    size: _Size,
    *,
    filter: Literal["bilinear", "bicubic"] = "bilinear",
    device: torch.device | str = "cpu",
) -> UInt8[Tensor, "3 h w"]:
    """Resize a picture, in bytes, on a device.

    Within one grey level of Pillow's filter of the same name.

    Args:
        picture: RGB.
        size: Width and height to get, pixels.
        filter: How colours between pixels are found.
        device: Where it is done.

    Examples:
        >>> resize_pixels(np.full((4, 4, 3), 7, dtype=np.uint8), (2, 1)).tolist()
        [[[7, 7]], [[7, 7]], [[7, 7]]]
    """
    width, height = size
    # torch takes no array that may not be written to; such a one is copied.
    whole = np.require(picture, requirements=["C", "W"])
    planes = torch.from_numpy(whole).to(device).permute(2, 0, 1)
    return resize_planes(planes, (width, height), filter=filter)


def resize_planes(
    planes: UInt8[Tensor, "3 _ _"],
    size: _Size,
    *,
    filter: Literal["bilinear", "bicubic"] = "bilinear",
) -> UInt8[Tensor, "3 h w"]:
    """Resize planes of colours, in bytes, where they are; see `resize_pixels`.

    Args:
        planes: Red, green, blue.
        size: Width and height to get, pixels.
        filter: How colours between pixels are found.

    Returns:
        The planes themselves if they are of the size.

    Examples:
        >>> resize_planes(torch.full((3, 4, 4), 7, dtype=torch.uint8), (1, 2)).tolist()
        [[[7], [7]], [[7], [7]], [[7], [7]]]
    """
    width, height = size
    if planes.shape[1:] == (height, width):
        return planes
    # Of contiguous planes of a width of 1 torch takes rows for channels.
    mistaken = planes.is_contiguous() and min(planes.shape[2], width) == 1
    if planes.is_cuda or mistaken:
        # There bytes are not resized; rounding to them keeps the results of both devices alike.
        wide = _interpolate(planes.float(), (height, width), filter)
        return wide.round_().clamp_(0, 255).to(torch.uint8)
    return _interpolate(planes, (height, width), filter)


def _interpolate(planes: Tensor, size: _Size, mode: str) -> Tensor:
    """`torch` calls the height first."""
    return interpolate(planes[None], size=size, mode=mode, antialias=True)[0]


def _normalise(
    planes: UInt8[Tensor, "3 h w"], rule: PixelRule, *, out: Float[Tensor, "3 h w"]
) -> None:
    """`(x / 255 - mean) / std`, channel by channel: numbers are quicker than rows of them."""
    # Half precision is rounded from float32 once: sums in it would lose grey levels.
    whole = out if out.dtype == torch.float32 else torch.empty_like(out, dtype=torch.float32)
    for channel, plane, mean, std in zip(whole, planes, rule.mean, rule.std, strict=True):
        channel.copy_(plane).mul_(1 / (255 * std)).add_(-mean / std)
    if whole is not out:
        out.copy_(whole)
