"""Where in pictures two encoders disagree, on one grid and in the pictures' own pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from groundplane.core.disagreement import disagreement
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.features import FeatureGrid, to_unit
from groundplane.core.frames import Frame
from groundplane.core.fusion.resampling import resample

__all__ = ["DisagreementMap", "disagreement_map"]

# Views of unlike size may be rounded by half a pixel each; a tenth of a cell is not seen.
_ALIKE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DisagreementMap:
    """How differently two encoders see each cell of each picture.

    Attributes:
        values: See `disagreement`; NaN where more than half of a cell shows padding.
        grid: Rows and columns of cells, the first encoder's.
        frames: For each picture what of it was seen.
        encoders: Names of the two.
    """

    values: Float[Tensor, "b n"]
    grid: tuple[int, int]
    frames: tuple[Frame, ...]
    encoders: tuple[str, str]

    def cell_boxes(self, picture: int) -> Float[np.ndarray, "n 4"]:
        """Where the cells lie, raster order: `xyxy`, pixels of the picture, cut at its edges."""
        frame = self.frames[picture]
        return _cut(_boxes(frame, self.grid), frame)


def disagreement_map(first: FeatureGrid, second: FeatureGrid) -> DisagreementMap:
    """Compare what two encoders gave for the same pictures, cell by cell.

    The second one's features are resampled to the first one's grid. What lies in the padding
    takes no part in the comparison.

    Args:
        first: Of one encoder.
        second: Of the other, of the same pictures through the same view.

    Raises:
        ShapeError: If the pictures are not as many.
        InputError: If they are on unlike devices, a picture's size differs, or the two saw
            unlike parts of it.
    """
    _check(first, second)
    tokens = resample(second.tokens, second.grid, first.grid)
    shown = [_shown(frame, first.grid) for frame in first.frames]
    if all(bool(cells.all()) for cells in shown):
        values = disagreement(first.tokens, tokens)
    else:
        values = _apart(first.tokens, tokens, shown)
    return DisagreementMap(
        values=values,
        grid=first.grid,
        frames=first.frames,
        encoders=(first.encoder, second.encoder),
    )


def _apart(
    first: Float[Tensor, "b n d"], second: Float[Tensor, "b n e"], shown: list[Bool[Tensor, " n"]]
) -> Float[Tensor, "b n"]:
    """Each picture by itself, since each has other cells."""
    rows = []
    for one, other, cells in zip(first, second, shown, strict=True):
        index = torch.nonzero(cells).flatten().to(one.device)
        found = disagreement(one[index][None], other[index][None])[0]
        row = torch.full((len(one),), float("nan"), dtype=found.dtype, device=found.device)
        rows.append(row.index_copy(0, index, found))
    return torch.stack(rows)


def _shown(frame: Frame, grid: tuple[int, int]) -> Bool[Tensor, " n"]:
    """Of which cells at least half shows the picture."""
    boxes = _boxes(frame, grid)
    cut = _cut(boxes, frame)
    part = np.prod(cut[:, 2:] - cut[:, :2], axis=1) / np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    # Half, less what rounding takes: an edge may lie in the very middle of a cell.
    return torch.from_numpy(part >= 0.5 - 1e-6)


def _boxes(frame: Frame, grid: tuple[int, int]) -> Float[np.ndarray, "n 4"]:
    one = FeatureGrid(
        tokens=torch.zeros(1, grid[0] * grid[1], 0), grid=grid, patch=1.0, frames=(frame,)
    )
    return one.cell_boxes(0)


def _cut(boxes: Float[np.ndarray, "n 4"], frame: Frame) -> Float[np.ndarray, "n 4"]:
    return np.asarray(np.clip(boxes, 0, np.array(frame.image_size * 2, dtype=np.float64)))


def _check(first: FeatureGrid, second: FeatureGrid) -> None:
    if len(first.frames) != len(second.frames):
        raise ShapeError(
            f"disagreement map: expected two grids of the same pictures, got {len(first.frames)} "
            f"of the first encoder and {len(second.frames)} of the second"
        )
    if first.tokens.device != second.tokens.device:
        raise InputError(
            f"disagreement map: the first grid is on {first.tokens.device}, the second on "
            f"{second.tokens.device}. Try: the same device for both encoders"
        )
    finest = max(*first.grid, *second.grid)
    for place, (a, b) in enumerate(zip(first.frames, second.frames, strict=True)):
        if a.image_size != b.image_size:
            raise InputError(
                f"disagreement map: picture {place} is of {a.image_size} pixels to the first "
                f"encoder and of {b.image_size} to the second"
            )
        corners = np.array([[0.0, 0.0], a.image_size], dtype=np.float64)
        apart = np.abs(to_unit(a).points(corners) - to_unit(b).points(corners)).max() * finest
        if apart > _ALIKE:
            raise InputError(
                f"disagreement map: the encoders saw unlike parts of picture {place}: the first "
                f"{_told(a)}, the second {_told(b)}. Try: the same fit (crop, pad or stretch) "
                "for both"
            )


def _told(frame: Frame) -> str:
    return "xyxy " + ", ".join(f"{edge:.1f}" for edge in frame.visible)
