"""A picture of a red and a blue square, and boxes around them and around nothing."""

from __future__ import annotations

import numpy as np
import torch

from groundplane.core.image import Image
from groundplane.testing.detectors import make_image

RED, BLUE, GREY = (220, 20, 20), (20, 20, 220), (150, 150, 150)
BOXES = {"red": (8, 8, 40, 40), "blue": (56, 8, 88, 40), "grey": (8, 56, 40, 88)}


def picture_of_squares(shift: int = 0) -> Image:
    """A red, a blue and no square on grey."""
    pixels = np.full((96, 96, 3), GREY, np.uint8)
    for colour, name in ((RED, "red"), (BLUE, "blue")):
        x0, y0, x1, y1 = BOXES[name]
        pixels[y0 + shift : y1 + shift, x0:x1] = colour
    return make_image(pixels)


def box_of(*names: str, shift: int = 0) -> torch.Tensor:
    return torch.tensor([BOXES[name] for name in names]).float() + torch.tensor(
        [0, shift, 0, shift]
    )
