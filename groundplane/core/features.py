"""What encoders see of a picture, and what they give: one grid of features over one square view.

Two encoders can be fused cell by cell only if both saw the same part of the picture. So the part
is a value of its own, a `View`, and every `FeatureGrid` says for each picture which part it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.frames import Frame
from groundplane.core.image import FrameMap, Image

__all__ = ["Encoder", "FeatureGrid", "View", "to_unit"]

# CLIP's mean colour in grey levels, with which LLaVA-1.5 pads.
_CLIP_GREY = (122, 116, 104)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The square of a picture that every tower sees.

    Attributes:
        fit: `crop`: the shorter side becomes `size` and the middle is cut out, as CLIP does;
            `pad`: the whole picture in the middle of a square of the colour `fill`, as LLaVA-1.5
            does; `stretch`: the whole picture, both sides become `size`.
        size: Side of the square, pixels.
        fill: Red, green, blue of the padding, grey levels.
        filter: How colours between pixels are found.

    Raises:
        InputError: If the size is not 1 to 65536, a colour is no grey level, or the fit or the
            filter is unknown.
    """

    fit: Literal["crop", "pad", "stretch"] = "crop"
    size: int = 336
    fill: tuple[int, int, int] = _CLIP_GREY
    filter: Literal["bilinear", "bicubic"] = "bicubic"

    def __post_init__(self) -> None:
        if self.fit not in ("crop", "pad", "stretch"):
            raise InputError(f"view: fit: expected crop, pad or stretch, got {self.fit!r}")
        if self.filter not in ("bilinear", "bicubic"):
            raise InputError(f"view: filter: expected bilinear or bicubic, got {self.filter!r}")
        if not (_is_whole(self.size) and 1 <= self.size <= 65_536):
            raise InputError(f"view: size: expected 1 to 65536 pixels, got {self.size!r}")
        levels = [level for level in self.fill if _is_whole(level) and 0 <= level <= 255]
        if len(levels) != 3 or len(self.fill) != 3:
            raise InputError(f"view: fill: expected three grey levels, 0 to 255, got {self.fill}")


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureGrid:
    """Features of a batch of pictures, one row of numbers a cell.

    Attributes:
        tokens: Cells in raster order, row by row; no class token, no registers.
        grid: Rows and columns of cells.
        patch: Side of a cell, pixels of the canvas.
        frames: For each picture what of it the encoder saw; the canvas is the encoder's input.
        summary: One vector a picture, whose cosine says how alike two pictures are to the
            encoder: CLIP's projected embedding, DINOv2's class token after the norm; None if
            the encoder has none.
        encoder: Names the encoder, its weights and its options: equal only where the same
            picture gives the same numbers.

    Raises:
        ShapeError: If the tokens do not fill the grid, or there is not one frame a picture.
    """

    tokens: Float[Tensor, "b n d"]
    grid: tuple[int, int]
    patch: float
    frames: tuple[Frame, ...]
    summary: Float[Tensor, "b e"] | None = None
    encoder: str = ""

    def __post_init__(self) -> None:
        rows, columns = self.grid
        if self.tokens.ndim != 3 or self.tokens.shape[1] != rows * columns:
            raise ShapeError(
                f"feature grid: expected tokens of shape (pictures, {rows * columns}, width) for "
                f"{rows} by {columns} cells, got {tuple(self.tokens.shape)}"
            )
        if len(self.frames) != self.tokens.shape[0]:
            raise ShapeError(
                f"feature grid: expected {self.tokens.shape[0]} frames, one a picture, got "
                f"{len(self.frames)}"
            )

    @property
    def width(self) -> int:
        """Numbers a cell."""
        return int(self.tokens.shape[2])

    def cell_boxes(self, picture: int) -> Float[np.ndarray, "n 4"]:
        """Where the cells lie, raster order.

        Args:
            picture: Index into the batch.

        Returns:
            `xyxy`, pixels of the picture. In a padded frame some lie beyond its edges.
        """
        rows, columns = self.grid
        width, height = self.frames[picture].canvas
        x, y = np.linspace(0, width, columns + 1), np.linspace(0, height, rows + 1)
        left, top = np.meshgrid(x[:-1], y[:-1])
        right, bottom = np.meshgrid(x[1:], y[1:])
        cells = np.stack([left, top, right, bottom], axis=-1).reshape(-1, 4)
        return self.frames[picture].to_image(cells)


@runtime_checkable
class Encoder(Protocol):
    """An encoder plugin: pictures in, one grid of features a picture out.

    An encoder whose network is to be part of a model, as in a mixture of features, has it as
    `tower`, a `groundplane.core.towers.Tower`, too; the protocol does not ask for it.
    """

    def encode(self, images: Sequence[Image]) -> FeatureGrid:
        """Encode pictures, in order. All are seen through one view, so they share one grid.

        No pictures give a grid without rows in the batch. The features are finite numbers.
        """
        ...


def to_unit(frame: Frame) -> FrameMap:
    """From pixels of the picture to shares of the canvas: what two encoders must have alike.

    Examples:
        >>> a, b = Frame.cropped((640, 480), shortest=336, crop=336), Frame.padded((640, 480))
        >>> to_unit(a).points(np.array([[320.0, 240.0]])).round(6).tolist()
        [[0.5, 0.5]]
        >>> to_unit(b).points(np.zeros((0, 2))).shape
        (0, 2)
    """
    width, height = frame.canvas
    shrink = FrameMap(matrix=np.array([[1 / width, 0.0, 0.0], [0.0, 1 / height, 0.0]]))
    return frame.to_canvas.then(shrink)
