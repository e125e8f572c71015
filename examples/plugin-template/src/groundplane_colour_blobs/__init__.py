"""A groundplane detector: regions of a named colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from groundplane.core.detection import Detector, DetectRequest, DetectResult, Outcome
from groundplane.core.errors import InputError
from groundplane.core.regions import Regions

__all__ = ["ColourBlobs", "Options"]

# First and last hue of each colour, in OpenCV's half degrees; red goes through zero.
HUES = {
    "red": (170, 8),
    "orange": (9, 21),
    "yellow": (22, 34),
    "green": (35, 85),
    "blue": (95, 130),
    "purple": (131, 155),
}
# Words that may follow the colour without changing what is meant.
NOUNS = {"area", "blob", "region"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What users may set; text from the command line is converted to these types.

    Attributes:
        min_area: The least number of pixels of a region.
        min_saturation: How colourful a pixel must be, 0 to 255.
    """

    min_area: int = 64
    min_saturation: int = 90

    def __post_init__(self) -> None:
        if self.min_area < 1 or not 0 <= self.min_saturation <= 255:
            raise InputError(f"expected min_area >= 1, min_saturation in [0, 255]; got {self}")


class ColourBlobs(Detector):
    """Connected regions of one colour; the score is how much of its box a region fills."""

    Options = Options

    def __init__(self, options: Options, *, device: str, dtype: torch.dtype | None = None) -> None:
        # The work is done by OpenCV on the CPU, whatever device and number type are asked for.
        self._options = options

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The colours it can look for."""
        return tuple(HUES)

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: DetectRequest) -> DetectResult:
        hsv = cv2.cvtColor(request.image.pixels, cv2.COLOR_RGB2HSV)
        rows: list[tuple[int, list[float], float]] = []
        outcomes = []
        for index, phrase in enumerate(request.phrases):
            colour = _colour(phrase)
            if colour is None:
                outcomes.append(Outcome.CANNOT)
                continue
            least = request.thresholds[index] if request.thresholds else 0.0
            found = [(b, s) for b, s in self._blobs(hsv, colour) if s >= least]
            outcomes.append(Outcome.FOUND if found else Outcome.NONE)
            rows += [(index, box, score) for box, score in found]
        regions = Regions(
            ids=tuple(f"blob-{i}" for i in range(len(rows))),
            boxes=torch.tensor([box for _, box, _ in rows]).reshape(-1, 4),
            scores=torch.tensor([score for _, _, score in rows]),
            phrases=request.phrases,
            phrase_ids=torch.tensor([index for index, _, _ in rows], dtype=torch.long),
            image_size=request.image.size,
            sources=("colour-blobs",) * len(rows),
        )
        note = f"it can look for {', '.join(HUES)}" if Outcome.CANNOT in outcomes else ""
        return DetectResult(regions=regions, outcomes=tuple(outcomes), note=note)

    def _blobs(self, hsv: np.ndarray, colour: str) -> list[tuple[list[float], float]]:
        """Box and score of each region of the colour."""
        hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
        first, last = HUES[colour]
        inside = (hue >= first) & (hue <= last)
        if first > last:
            inside = (hue >= first) | (hue <= last)
        # Dark pixels have a hue too, but it is noise.
        mask = inside & (saturation >= self._options.min_saturation) & (value >= 50)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        blobs = []
        for x, y, width, height, area in stats[1:count].tolist():  # row 0 is the background
            if area >= self._options.min_area:
                box = [float(x), float(y), float(x + width), float(y + height)]
                blobs.append((box, area / (width * height)))
        return blobs


def _colour(phrase: str) -> str | None:
    """The colour that a phrase names, or None if it says anything else."""
    words = phrase.lower().split()
    named = words[0] if words and set(words[1:]) <= NOUNS else ""
    return named if named in HUES else None
