"""Pictures of a small world, what their captions say, and what can be asked of them.

As on the web, a caption names some of what a picture shows and never the rest: here the colour,
the pattern and the ground are named; which way the fish faces, whether the sea is calm, how many
bubbles there are and of which form are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ATTRIBUTES",
    "NAMED",
    "SIDE",
    "UNNAMED",
    "Pictures",
    "captions",
    "draw",
    "question",
    "render",
]

SIDE = 42
# Pixels of the sheet on which a picture is drawn before it is made small, so that edges are soft.
_SCALE = 4

# What can be asked, and the words of an answer; the captions name the first three.
NAMED: dict[str, tuple[str, ...]] = {
    "colour": ("red", "green", "blue", "yellow", "purple", "orange"),
    "pattern": ("solid", "hollow", "striped"),
    "ground": ("black", "grey", "white", "brown"),
}
UNNAMED: dict[str, tuple[str, ...]] = {
    "way": ("left", "right"),
    "sea": ("calm", "wavy"),
    "bubbles": ("two", "three"),
    "form": ("full", "empty"),
}
ATTRIBUTES: dict[str, tuple[str, ...]] = {**NAMED, **UNNAMED}

_QUESTIONS = {
    "colour": "is its colour {} or {} ?",
    "pattern": "is it {} or {} ?",
    "ground": "is the ground {} or {} ?",
    "way": "does it face {} or {} ?",
    "sea": "is the sea {} or {} ?",
    "bubbles": "are there {} or {} bubbles ?",
    "form": "are the bubbles {} or {} ?",
}
_CAPTIONS = (
    "a {colour} {pattern} fish on {ground} ground",
    "{colour} {pattern} fish , {ground} ground",
    "a photo of a {colour} {pattern} fish on {ground}",
    "{ground} ground with a {colour} {pattern} fish",
)
_COLOURS = {
    "red": (210, 45, 40),
    "green": (50, 165, 70),
    "blue": (50, 90, 215),
    "yellow": (235, 205, 50),
    "purple": (145, 60, 170),
    "orange": (240, 135, 35),
}
_GROUNDS = {
    "black": (25, 25, 28),
    "grey": (125, 125, 125),
    "white": (232, 232, 228),
    "brown": (110, 75, 45),
}
# A fish in a square of -1 to 1, y down; it faces right.
_OUTLINE = [
    *[(1, 0), (0.5, 0.55), (0, 0.62), (-0.45, 0.15), (-1, 0.6)],
    *[(-1, -0.6), (-0.45, -0.15), (0, -0.62), (0.5, -0.55)],
]
_WATER = (90, 200, 215)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """Rendered pictures and the truth about them.

    Attributes:
        pixels: `n SIDE SIDE 3`, RGB, grey levels.
        truth: Attribute to the index of its answer in `ATTRIBUTES`, one a picture.
    """

    pixels: NDArray[np.uint8]
    truth: dict[str, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.pixels)

    def word(self, attribute: str, picture: int) -> str:
        """The true answer."""
        return ATTRIBUTES[attribute][self.truth[attribute][picture]]


def render(count: int, *, seed: int) -> Pictures:
    """Draw pictures whose attributes are independent of one another.

    Args:
        count: How many.
        seed: The same pictures each time.
    """
    draws = np.random.default_rng(seed)
    truth = {name: draws.integers(len(words), size=count) for name, words in ATTRIBUTES.items()}
    pixels = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for index in range(count):
        words = {name: ATTRIBUTES[name][truth[name][index]] for name in ATTRIBUTES}
        pixels[index] = draw(words, draws)
    return Pictures(pixels=pixels, truth=truth)


def draw(words: dict[str, str], draws: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one picture; place, size, light and noise are as it comes."""
    side = SIDE * _SCALE
    light = draws.uniform(0.85, 1.1)
    sheet = np.empty((side, side, 3), np.float32)
    sheet[:] = np.array(_GROUNDS[words["ground"]]) * light
    colour = tuple(float(level * light) for level in _COLOURS[words["colour"]])
    reach = draws.uniform(0.27, 0.32) * side
    centre = np.array([draws.uniform(0.38, 0.62), draws.uniform(0.42, 0.52)]) * side
    outline = np.array(_OUTLINE) * reach
    if words["way"] == "left":
        outline[:, 0] *= -1
    points = np.round(outline + centre).astype(np.int32)
    if words["pattern"] != "hollow":
        body = np.zeros((side, side), np.uint8)
        cv2.fillPoly(body, [points], 1)
        if words["pattern"] == "striped":
            body[:, np.arange(side) // 8 % 2 == 0] = 0
        sheet[body == 1] = colour
    cv2.polylines(sheet, [points], True, colour, thickness=8)
    _draw_sea(sheet, words["sea"] == "wavy", draws)
    _draw_bubbles(sheet, words, draws)
    small = cv2.resize(sheet, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    noisy = small + draws.normal(0, 4, small.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _draw_sea(sheet: NDArray[np.float32], wavy: bool, draws: np.random.Generator) -> None:
    """A line along the upper edge, straight or in waves."""
    side = sheet.shape[0]
    x = np.arange(side)
    height = 0.05 * np.sin(2 * np.pi * (4 * x / side + draws.uniform())) if wavy else 0 * x
    y = (draws.uniform(0.08, 0.12) + height) * side
    points = np.stack([x, y], axis=1).round().astype(np.int32)
    cv2.polylines(sheet, [points], False, _WATER, thickness=6)


def _draw_bubbles(
    sheet: NDArray[np.float32], words: dict[str, str], draws: np.random.Generator
) -> None:
    """Bubbles in a row along the lower edge, wherever there is room."""
    side = sheet.shape[0]
    count = 3 if words["bubbles"] == "three" else 2
    for place in draws.choice(6, size=count, replace=False):
        x = (0.12 + 0.15 * place + draws.uniform(-0.02, 0.02)) * side
        y = draws.uniform(0.86, 0.9) * side
        line = -1 if words["form"] == "full" else 5
        cv2.circle(sheet, (round(x), round(y)), round(0.06 * side), _WATER, line)


def captions(
    pictures: Pictures, chosen: NDArray[np.int64], draws: np.random.Generator
) -> list[str]:
    """A caption of each chosen picture, in one of a few wordings; it names what is `NAMED`."""
    forms = draws.integers(len(_CAPTIONS), size=len(chosen))
    return [
        _CAPTIONS[form].format(**{name: pictures.word(name, index) for name in NAMED})
        for form, index in zip(forms, chosen.tolist(), strict=True)
    ]


def question(attribute: str, first: str, second: str) -> str:
    """A question with two choices.

    Examples:
        >>> question("way", "right", "left")
        'does it face right or left ?'
    """
    return _QUESTIONS[attribute].format(first, second)
