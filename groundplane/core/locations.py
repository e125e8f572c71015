"""Where a text says that things are, in pixels of the original image, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import numpy as np
from jaxtyping import Float64

from groundplane.core.errors import ShapeError
from groundplane.core.masks import RleMask

__all__ = ["Located", "ModelBox3D", "Problem", "ProblemKind", "Rung"]

# How a location was read: the strict grammar of the dialect's tokens, JSON, an object saved from
# broken JSON, a Python literal, brackets of another kind than the dialect's, or (only where the
# caller asks for it) any four numbers.
Rung = Literal["tokens", "json", "salvage", "literal", "brackets", "numbers"]


class ProblemKind(StrEnum):
    """What is wrong with a text's locations."""

    TRUNCATED = "truncated"
    """Cut off within a tag, a list or an object."""
    UNTERMINATED = "unterminated"
    """A fence or tag that is never closed, though what it holds is whole."""
    MALFORMED = "malformed"
    """A location that cannot be read; it is dropped alone."""
    INVERTED = "inverted"
    """Corners in the wrong order; they were swapped."""
    OUT_OF_RANGE = "out_of_range"
    """A number beyond the dialect's range; it is kept as it was said."""
    OUT_OF_IMAGE = "out_of_image"
    """Wholly outside the image, such as in its padding; it is dropped."""
    ZERO_AREA = "zero_area"
    """A box without area; it is dropped."""
    REPEATED = "repeated"
    """The same box of the same phrase again; it is kept once."""
    COUNT_MISMATCH = "count_mismatch"
    """Not as many phrases as groups of boxes."""
    ABSENT = "absent"
    """The model says that the thing is not there."""
    OTHER_DIALECT = "other_dialect"
    """Written in another model's dialect, and read as that."""
    BRACKETS = "brackets"
    """Brackets of another kind than the dialect's; read all the same."""
    UNLISTED_CLASS = "unlisted_class"
    """A phrase that is none of the classes asked for; it is dropped."""
    NO_PHRASE = "no_phrase"
    """A location without the phrase that the dialect wants."""
    TOO_LONG = "too_long"
    """A tag or payload over the limit; it is shown as text."""
    TOO_MANY = "too_many"
    """More boxes in one span than the limit; the rest is dropped."""
    NESTED = "nested"
    """A tag opened within one of its kind."""
    NOTHING = "nothing"
    """The text holds no location."""
    NO_LOCATION_LANGUAGE = "no_location_language"
    """This model has no published way to write locations: ask an expert for the phrase."""
    NEEDS_EXPERT = "needs_expert"
    """The location is in the model's hidden state: an expert must decode it."""
    NEEDS_REGIONS = "needs_regions"
    """The text picks regions by index, and the list of regions was not given."""
    UNKNOWN_REGION = "unknown_region"
    """An index that no region of the list has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with a text's locations.

    Attributes:
        kind: What it is.
        message: One line: what was found, and what became of it.
        span: Characters of the raw text, first and one past the last.
    """

    kind: ProblemKind
    message: str
    span: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBox3D:
    """A 3-D box as a model wrote it, camera frame: x right, y down, z forward.

    Attributes:
        center: x, y, z, metres.
        size: Along x, y, z before it is turned, metres.
        angles: Pitch, yaw, roll, radians.
        raw: The numbers as written.
    """

    center: tuple[float, float, float]
    size: tuple[float, float, float]
    angles: tuple[float, float, float]
    raw: tuple[float, ...]


def _no_boxes() -> Float64[np.ndarray, "n 4"]:
    return np.zeros((0, 4))


def _no_points() -> Float64[np.ndarray, "n 2"]:
    return np.zeros((0, 2))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Located:
    """Where one phrase is, pixels of the original image, origin top-left, y down.

    Attributes:
        boxes: `xyxy`, float64, half-open, as the model said: numbers beyond the image are kept,
            with a problem. `core.boxes.clip` brings them into it.
        points: x and y.
        polygons: One outline each, k points x and y.
        masks: One a box or token, at the image's size.
        boxes_3d: Metres, camera frame.
        scores: One a box, in [0, 1], where the model gives any; else empty.
        region_ids: For a dialect of indices: the regions picked, ids of the list given.
        states: For a dialect of hidden states: the tokens whose state locates the phrase, as
            (token text, how many in the text before it); an expert must decode them.
        rung: How it was read.
        source: Characters of the raw text that hold the location.
        phrase_source: Characters of the raw text that hold the phrase; None without one.
    """

    boxes: Float64[np.ndarray, "n 4"] = field(default_factory=_no_boxes)
    points: Float64[np.ndarray, "m 2"] = field(default_factory=_no_points)
    polygons: tuple[Float64[np.ndarray, "_ 2"], ...] = ()
    masks: tuple[RleMask, ...] = ()
    boxes_3d: tuple[ModelBox3D, ...] = ()
    scores: tuple[float, ...] = ()
    region_ids: tuple[str, ...] = ()
    states: tuple[tuple[str, int], ...] = ()
    rung: Rung = "tokens"
    source: tuple[int, int] = (0, 0)
    phrase_source: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4:
            raise ShapeError(f"located: expected boxes of shape (n, 4), got {self.boxes.shape}")
        if self.points.ndim != 2 or self.points.shape[1] != 2:
            raise ShapeError(f"located: expected points of shape (m, 2), got {self.points.shape}")
        if self.scores and len(self.scores) != len(self.boxes):
            raise ShapeError(f"located: {len(self.boxes)} boxes but {len(self.scores)} scores")
