"""The frame that a model's coordinates live in, and the way between it and the image.

A model rarely sees the picture as it is: it is padded, cropped, resized to a patch grid or shrunk
by a provider. A number in the model's answer means nothing until that is known. A `Frame` is a
value with an inverse, and frames compose: what is done first comes first in `then`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from groundplane.core.errors import InputError
from groundplane.core.image import FrameMap

__all__ = ["Frame", "provider_size", "smart_size"]

_Size = tuple[int, int]
# Above this ratio of the sides the Qwen processors refuse a picture.
_MAX_ASPECT = 200


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """The picture that a model saw.

    Attributes:
        image_size: Width and height of the original image, pixels.
        canvas: Width and height of what the model saw, pixels.
        to_canvas: From the image's pixels to the canvas's.

    Raises:
        InputError: If a size is not two whole numbers above 0.

    Examples:
        >>> frame = Frame.padded((640, 480))
        >>> frame.to_image(np.array([[160.0, 160.0, 480.0, 480.0]])).tolist()
        [[160.0, 80.0, 480.0, 400.0]]
        >>> frame.to_image(np.zeros((0, 4))).shape
        (0, 4)
    """

    image_size: _Size
    canvas: _Size
    to_canvas: FrameMap

    def __post_init__(self) -> None:
        _check(self.image_size, "image size")
        _check(self.canvas, "canvas")

    @classmethod
    def original(cls, size: _Size) -> Frame:
        """The model's coordinates are those of the image itself.

        Args:
            size: Width and height, pixels.
        """
        return cls.resized(size, size)

    @classmethod
    def resized(cls, size: _Size, seen: _Size) -> Frame:
        """The image was stretched to another size; x and y each have their own scale.

        Args:
            size: Width and height of the image, pixels.
            seen: Width and height that the model saw, pixels.

        Examples:
            >>> frame = Frame.resized((1920, 1080), (1316, 728))
            >>> frame.to_image(np.array([[100.0, 200.0, 300.0, 400.0]])).round(2).tolist()
            [[145.9, 296.7, 437.69, 593.41]]
        """
        _check(size, "image size")
        _check(seen, "size seen")
        across, down = seen[0] / size[0], seen[1] / size[1]
        return cls(image_size=size, canvas=seen, to_canvas=_scaling(across, down))

    @classmethod
    def padded(cls, size: _Size) -> Frame:
        """The image was put in the middle of the smallest square around it, half pixels cut.

        Shikra (white) and LLaVA-1.5 (mean colour) see it so; what the square is then scaled to
        does not matter to coordinates given as shares of it.

        Source: `Expand2square` and `expand2square` of the models' own repositories.
        """
        _check(size, "image size")
        side = max(size)
        shift = ((side - size[0]) // 2, (side - size[1]) // 2)
        return cls(image_size=size, canvas=(side, side), to_canvas=_scaling(1.0, 1.0, shift))

    @classmethod
    def cropped(cls, size: _Size, *, shortest: int, crop: int) -> Frame:
        """The shortest side was resized, then the middle square cut out.

        Args:
            size: Width and height of the image, pixels.
            shortest: What the shortest side was resized to, pixels.
            crop: Side of the square, pixels.

        Source: transformers, `CLIPImageProcessor`.
        """
        _check(size, "image size")
        _check((shortest, crop), "resize and crop")
        scale = shortest / min(size)
        shift = ((crop - size[0] * scale) / 2, (crop - size[1] * scale) / 2)
        return cls(image_size=size, canvas=(crop, crop), to_canvas=_scaling(scale, scale, shift))

    @classmethod
    def smart_resized(
        cls, size: _Size, *, factor: int = 28, least: int = 56 * 56, most: int = 28 * 28 * 1280
    ) -> Frame:
        """The image was resized to a grid of patches, as Qwen2-VL and Qwen2.5-VL do.

        Args:
            size: Width and height of the image, pixels.
            factor: Both sides become multiples of it.
            least: Least area, square pixels.
            most: Greatest area. The defaults are those of transformers' processor; a published
                checkpoint overrides them in its `preprocessor_config.json`: read it.
        """
        return cls.resized(size, smart_size(size, factor=factor, least=least, most=most))

    @classmethod
    def provider_resized(cls, size: _Size, *, long_edge: int = 1568, tokens: int = 1568) -> Frame:
        """The image was shrunk by a provider to a longest edge and a number of 28 px tokens.

        Args:
            size: Width and height of the image, pixels.
            long_edge: The longest side that is kept, pixels.
            tokens: The most tokens of 28 by 28 pixels.
        """
        return cls.resized(size, provider_size(size, long_edge=long_edge, tokens=tokens))

    def then(self, after: Frame) -> Frame:
        """What was done to the image, and then what was done to the result.

        Raises:
            InputError: If `after` does not start from this frame's canvas.

        Examples:
            >>> both = Frame.padded((640, 480)).then(Frame.resized((640, 640), (336, 336)))
            >>> both.canvas, both.to_image(np.array([[84.0, 84.0, 252.0, 252.0]])).tolist()
            ((336, 336), [[160.0, 80.0, 480.0, 400.0]])
        """
        if after.image_size != self.canvas:
            raise InputError(
                f"frame: the second one starts from an image of {after.image_size}, "
                f"the first one ends at {self.canvas}"
            )
        return Frame(
            image_size=self.image_size,
            canvas=after.canvas,
            to_canvas=self.to_canvas.then(after.to_canvas),
        )

    def to_image(self, boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        """Boxes from canvas pixels to image pixels; nothing is cut at the edges."""
        return self.to_canvas.inverse().boxes(boxes)

    def points_to_image(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Points from canvas pixels to image pixels; nothing is cut at the edges."""
        return self.to_canvas.inverse().points(points)

    @property
    def visible(self) -> tuple[float, float, float, float]:
        """The part of the image that the model saw, `xyxy` pixels of the image.

        Examples:
            >>> Frame.cropped((640, 480), shortest=336, crop=336).visible
            (80.0, 0.0, 560.0, 480.0)
        """
        whole = np.array([[0.0, 0.0, *map(float, self.canvas)]])
        (x0, y0, x1, y1), (width, height) = self.to_image(whole)[0].tolist(), self.image_size
        return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))

    @property
    def covers(self) -> tuple[float, float, float, float]:
        """The part of the canvas that shows the image, `xyxy` pixels of the canvas.

        Examples:
            >>> Frame.padded((640, 480)).covers
            (0.0, 80.0, 640.0, 560.0)
        """
        whole = np.array([[0.0, 0.0, *map(float, self.image_size)]])
        (x0, y0, x1, y1), (width, height) = self.to_canvas.boxes(whole)[0].tolist(), self.canvas
        return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))


def smart_size(
    size: _Size, *, factor: int = 28, least: int = 56 * 56, most: int = 28 * 28 * 1280
) -> _Size:
    """The width and height that a Qwen2-VL processor brings an image to, pixels.

    Raises:
        InputError: If a size is not above 0 or one side is over 200 times the other.

    Source: `smart_resize` of transformers and of qwen-vl-utils.

    Examples:
        >>> smart_size((640, 480)), smart_size((1920, 1080)), smart_size((4032, 3024))
        ((644, 476), (1316, 728), (1148, 840))
    """
    _check(size, "image size")
    if factor < 1 or not 0 < least <= most:
        raise InputError(f"smart size: factor {factor}, least {least}, most {most} do not fit")
    if max(size) > _MAX_ASPECT * min(size):
        raise InputError(f"smart size: {size[0]} x {size[1]} is narrower than {_MAX_ASPECT} to 1")
    width, height = (max(factor, round(side / factor) * factor) for side in size)
    if width * height > most:
        shrink = math.sqrt(size[0] * size[1] / most)
        width, height = (max(factor, int(side / shrink / factor) * factor) for side in size)
    elif width * height < least:
        grow = math.sqrt(least / (size[0] * size[1]))
        width, height = (math.ceil(side * grow / factor) * factor for side in size)
    return width, height


def provider_size(size: _Size, *, long_edge: int = 1568, tokens: int = 1568) -> _Size:
    """The largest size of the same shape within a longest edge and a number of 28 px tokens.

    Args:
        size: Width and height of the image, pixels.
        long_edge: 1568 in Claude's standard tier, 2576 in its newer tier of high resolution.
        tokens: 1568 and 4784 there.

    Raises:
        InputError: If a size or limit is not above 0.

    Source: the provider's page on coordinates, as quoted in public; it reproduces the worked
    examples given there.

    Examples:
        >>> provider_size((1075, 1520)), provider_size((4032, 3024))
        ((924, 1307), (1270, 952))
        >>> provider_size((2576, 2576), long_edge=2576, tokens=4784)
        (1932, 1932)
    """
    _check(size, "image size")
    _check((long_edge, tokens), "longest edge and tokens")
    longest = max(size)
    for edge in range(min(longest, long_edge), 0, -1):
        width, height = (max(1, round(side * edge / longest)) for side in size)
        if math.ceil(width / 28) * math.ceil(height / 28) <= tokens:
            return width, height
    return 1, 1


def _scaling(across: float, down: float, shift: tuple[float, float] = (0.0, 0.0)) -> FrameMap:
    return FrameMap(matrix=np.array([[across, 0.0, shift[0]], [0.0, down, shift[1]]]))


def _check(size: object, what: str) -> None:
    whole = isinstance(size, tuple) and len(size) == 2
    if not whole or not all(
        isinstance(side, int) and not isinstance(side, bool) and side > 0
        for side in size  # type: ignore[attr-defined]
    ):
        raise InputError(f"frame: expected a {what} of two whole numbers above 0, got {size!r}")
