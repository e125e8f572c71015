"""Two encoders whose blindness is known: one sees colours alone, the other edges alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PILImage

from groundplane.core.features import FeatureGrid
from groundplane.core.frames import Frame
from groundplane.core.image import Image

_BINS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainOptions:
    """Options of both: cells a side, whether the whole picture is stretched or its middle seen."""

    cells: int = 6
    crop: bool = False


class _PlainEncoder:
    Options = PlainOptions
    name = ""
    # Pixels a cell.
    patch = 8

    def __init__(
        self, options: PlainOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self.options, self.device = options, torch.device(device)
        self.key = (self.name, options)
        self.num_encoded = 0

    def encode(self, images: Sequence[Image]) -> FeatureGrid:
        self.num_encoded += len(images)
        side, cells = self.options.cells * self.patch, self.options.cells
        rows, frames = [], []
        for image in images:
            width, height = image.size
            if self.options.crop:
                frame = Frame.cropped(image.size, shortest=side, crop=side)
                middle, half = (width / 2, height / 2), min(width, height) / 2
                box = (middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half)
            else:
                frame, box = Frame.resized(image.size, (side, side)), (0, 0, width, height)
            small = PILImage.fromarray(image.pixels).resize((side, side), box=box)
            rows.append(self._cells(np.asarray(small).astype(np.float64) / 255))
            frames.append(frame)
        width = rows[0].shape[1] if rows else 1
        tokens = torch.from_numpy(np.array(rows).reshape(len(rows), cells * cells, width)).float()
        return FeatureGrid(
            tokens=tokens.to(self.device),
            grid=(cells, cells),
            patch=float(self.patch),
            frames=tuple(frames),
            summary=self._summary(tokens).to(self.device),
            encoder=self.name,
        )

    def _split(self, values: np.ndarray) -> np.ndarray:
        """Values of pixels as one row of them a cell."""
        n, p = self.options.cells, self.patch
        cells = values.reshape(n, p, n, p, -1).transpose(0, 2, 1, 3, 4)
        return cells.reshape(n * n, p * p, values.shape[-1])


class ColourEncoder(_PlainEncoder):
    """How much of each of 27 colours is in a cell, or in the picture."""

    name = "colours"

    def _cells(self, pixels: np.ndarray) -> np.ndarray:
        level = np.minimum((pixels * 3).astype(int), 2)
        index = level @ np.array([9, 3, 1])
        return self._split(np.eye(27)[index]).mean(axis=1)

    def _summary(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.mean(1)


class EdgeEncoder(_PlainEncoder):
    """How much edge of each of 8 directions is in a cell; the picture is all its cells."""

    name = "edges"

    def _cells(self, pixels: np.ndarray) -> np.ndarray:
        down, across = np.gradient(pixels.mean(axis=2))
        turn = np.arctan2(down, across) % np.pi
        index = np.minimum((turn / np.pi * _BINS).astype(int), _BINS - 1)
        strength = np.hypot(down, across)[:, :, None] * np.eye(_BINS)[index]
        # A little of everything, so that a cell without edges has a direction too.
        return self._split(strength).mean(axis=1) + 1e-3

    def _summary(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.flatten(1)


def install(folder: Path) -> None:
    """Make both known as plugins to whoever has the folder on its path."""
    info = folder / "plain_encoders-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plain-encoders\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[groundplane.encoders]\n"
        "colours = plain_encoders:ColourEncoder\n"
        "edges = plain_encoders:EdgeEncoder\n"
    )


def stripes(
    *, across: bool, colours: tuple[tuple[int, int, int], tuple[int, int, int]], side: int = 96
) -> np.ndarray:
    """A picture of stripes 8 pixels wide, lying or standing."""
    band = (np.arange(side) // 8) % 2
    which = np.broadcast_to(band[:, None] if across else band[None, :], (side, side))
    return np.array(colours, dtype=np.uint8)[which]
