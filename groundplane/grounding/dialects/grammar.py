"""What a dialect is: the numbers it writes, the signs around them, and how a payload is read.

A dialect is a declaration. What every dialect has in common (finding signs in a stream of text,
tying boxes to phrases, bringing numbers to pixels, saying what is wrong) is in
`groundplane.grounding.scanning` and is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from groundplane.core.errors import InputError
from groundplane.core.frames import Frame
from groundplane.core.locations import ModelBox3D, ProblemKind
from groundplane.core.masks import RleMask

__all__ = [
    "PAYLOAD_LIMIT",
    "TAG_LIMIT",
    "Convention",
    "Dialect",
    "Enclosed",
    "Numbered",
    "Painter",
    "Processed",
    "Reading",
    "Shape",
    "Syntax",
]

# Longest tag, and longest text between two tags, characters; longer ones are shown as text.
TAG_LIMIT = 64
PAYLOAD_LIMIT = 4096

# Paints the mask of one box: given the box in pixels of the image (xyxy) and the image's width
# and height. Raises InputError where what the model wrote is no mask.
Painter = Callable[[tuple[float, float, float, float], tuple[int, int]], RleMask]

_CLOSERS = {"<": ">", "[": "]", "{": "}", "(": ")"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """What the numbers of a dialect mean.

    Attributes:
        order: Of the four numbers of a box.
        point_order: Of the two numbers of a point.
        divisor: What a number is divided by to get a share of the canvas's side; None where
            numbers are pixels of the canvas.
        decimals: How many a number is written with.
        bin_centre: A number is a bin, and stands for its middle.
        truncate: Pixels are cut to whole numbers, as the model's own code does.
        frame: The canvas: the image itself, a square around it, the Qwen2-VL patch grid, or the
            provider's resize.
        phrase: Where the phrase of a location stands: wrapped in tags of its own, as the noun
            phrase before it, as the whole line before it, after it, as a label within it, or
            nowhere.
        phrase_need: A location without a phrase is normal, is kept with a problem, or is dropped
            with one.
        tokens_are_special: The tags are special tokens: decode with them, or they vanish.
    """

    order: Literal["xyxy", "yxyx", "cxcywh", "xywh"] = "xyxy"
    point_order: Literal["xy", "yx"] = "xy"
    divisor: float | None = None
    decimals: int = 0
    bin_centre: bool = False
    truncate: bool = False
    frame: Literal["image", "padded", "smart", "provider"] = "image"
    phrase: Literal["wrapped", "before", "line", "after", "label", "none"] = "none"
    phrase_need: Literal["optional", "said", "dropped"] = "optional"
    tokens_are_special: bool = False

    def __post_init__(self) -> None:
        if self.divisor is not None and not self.divisor > 0:
            raise InputError(f"convention: expected a divisor above 0, got {self.divisor}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosed:
    """A payload between two signs.

    Attributes:
        open: The sign before it.
        close: The sign after it.
        role: A place (a location is read from the payload) or nothing (it is not shown).
        chars: The only characters that the payload may have; with any other one the whole is
            text. Empty: any character but a tag of the dialect.
        attributes: The payload is the attributes of a tag; signs in quotes do not count.
        phrase_after: The text after it, up to a closing phrase tag, is its phrase.
        undivided: Of a payload that is cut short nothing can be read.
        limit: Longest payload, characters.
    """

    open: str
    close: str
    role: Literal["place", "nothing"] = "place"
    chars: str = ""
    attributes: bool = False
    phrase_after: bool = False
    undivided: bool = False
    limit: int = PAYLOAD_LIMIT

    def __post_init__(self) -> None:
        if not self.open or not self.close or len(self.open) > TAG_LIMIT:
            raise InputError(f"dialect: {self.open!r} and {self.close!r} cannot enclose a payload")


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """A tag with a number in it, such as `<loc_52>`.

    Attributes:
        prefix: Before the digits.
        suffix: After them.
        role: A number of a location, or a state (a code that an expert must decode).
    """

    prefix: str
    suffix: str = ">"
    role: Literal["number", "state"] = "number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Syntax:
    """The signs that a scanner must know to read a dialect.

    Every tag starts with one of `<`, `[`, `{` or `(`, and the bracket that closes it is its last
    character and nowhere else in it.

    Attributes:
        phrases: Pairs of tags around a phrase.
        enclosed: Payloads between two signs.
        numbered: Tags with a number; outside a payload a run of them is one.
        states: Tags whose hidden state locates the phrase.
        within: Tags that stand only within a payload.
        joins: Tags between two places of one phrase.
        ignored: Control tokens, which are not shown.
        ends: Characters that end a phrase which stands after its place.
        objects: Locations are JSON objects.
        containers: Keys of an object that only holds a list of objects.
        object_limit: Longest JSON object, characters.
    """

    phrases: tuple[tuple[str, str], ...] = ()
    enclosed: tuple[Enclosed, ...] = ()
    numbered: tuple[Numbered, ...] = ()
    states: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    ends: str = ""
    objects: bool = False
    containers: tuple[str, ...] = ()
    object_limit: int = PAYLOAD_LIMIT

    def __post_init__(self) -> None:
        tags = [tag for pair in self.phrases for tag in pair]
        for tag in [*tags, *self.states, *self.within, *self.joins, *self.ignored]:
            closer = _CLOSERS.get(tag[:1])
            if closer is None or tag.find(closer) != len(tag) - 1 or len(tag) > TAG_LIMIT:
                raise InputError(f"dialect: {tag!r} is no tag that a scanner can find")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    """One location as it was written.

    Attributes:
        kind: Box (4 numbers), point (2) or polygon (6 or more, even).
        numbers: In the order of the dialect's convention; of a polygon always x, y.
        score: In [0, 1], where one was given.
        painter: Paints the mask of the box, where one was given.
    """

    kind: Literal["box", "point", "polygon"]
    numbers: tuple[float, ...]
    score: float | None = None
    painter: Painter | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """What one payload or object says.

    Attributes:
        shapes: The locations.
        label: The phrase that stands within the payload; None where it has none.
        indices: Rows of the list of regions.
        boxes_3d: 3-D boxes, metres.
        absent: The model says that the thing is not there.
        problems: What is wrong with it, each with one line of words.
    """

    shapes: tuple[Shape, ...] = ()
    label: str | None = None
    indices: tuple[int, ...] = ()
    boxes_3d: tuple[ModelBox3D, ...] = ()
    absent: bool = False
    problems: tuple[tuple[ProblemKind, str], ...] = ()


# A payload is read to None where it is no location at all: it is shown as text then.
PayloadReader = Callable[[str], Reading | None]
ObjectReader = Callable[[Mapping[str, Any]], Reading | None]
# Reads what a processor made of a text: None where it is not that.
ProcessedReader = Callable[[Mapping[str, Any]], "Processed | None"]
# Writes the locations of one phrase: the phrase (None to leave it out) and one row of numbers a
# box, in the dialect's order and scale, not yet rounded.
Writer = Callable[[str | None, Sequence[tuple[float, ...]]], str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dialect:
    """The location language of one family of models.

    Attributes:
        name: As users write it.
        convention: What its numbers mean.
        syntax: The signs around them.
        kind: What a location is: coordinates, indices into a list of regions, hidden states that
            an expert decodes, or nothing (the model has no published way to write one).
        read: Reads a payload between two signs, or the numbers of a run written with a comma.
        read_object: Reads a JSON object.
        processed: Reads the mapping that the model's processor makes of the text.
        write: Writes the locations of one phrase; None where nothing is to be written.
        joint: Between two phrases that are written.
        around: Before and after all that is written.
        note: What a user must know, one line.
    """

    name: str
    convention: Convention = Convention()
    syntax: Syntax = Syntax()
    kind: Literal["coordinates", "indices", "states", "nothing"] = "coordinates"
    read: PayloadReader | None = None
    read_object: ObjectReader | None = None
    processed: ProcessedReader | None = None
    write: Writer | None = None
    joint: str = " "
    around: tuple[str, str] = ("", "")
    note: str = ""

    def default_frame(self, size: tuple[int, int], seen: tuple[int, int] | None = None) -> Frame:
        """The frame of the model's coordinates where nothing else is known.

        Args:
            size: Width and height of the image, pixels.
            seen: Width and height that the model saw, pixels; None: what the model's own
                processor makes of it by default.

        Raises:
            InputError: If a size is not two whole numbers above 0, or the model pads to a
                square and `seen` is none.
        """
        kind = self.convention.frame
        if kind == "padded":
            padded = Frame.padded(size)
            if seen is None:
                return padded
            if len(set(seen)) != 1:
                raise InputError(
                    f"dialect {self.name}: the model sees a square, not {seen[0]} x {seen[1]}. "
                    "Try: leave `seen` out, or give a frame"
                )
            return padded.then(Frame.resized(padded.canvas, seen))
        if seen is not None:
            return Frame.resized(size, seen)
        if kind == "smart":
            return Frame.smart_resized(size)
        return Frame.provider_resized(size) if kind == "provider" else Frame.original(size)

    def numbers(
        self, box: tuple[float, float, float, float], frame: Frame
    ) -> tuple[float, float, float, float]:
        """A box of the image in the dialect's order and scale, not rounded.

        Args:
            box: `xyxy` pixels of the image.
            frame: The frame of the model's coordinates.
        """
        x0, y0, x1, y1 = frame.to_canvas.boxes(np.array([box], dtype=np.float64))[0].tolist()
        divisor = self.convention.divisor
        if divisor is not None:
            across, down = divisor / frame.canvas[0], divisor / frame.canvas[1]
            x0, y0, x1, y1 = x0 * across, y0 * down, x1 * across, y1 * down
        order = self.convention.order
        if order == "yxyx":
            return y0, x0, y1, x1
        if order == "cxcywh":
            return (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
        return (x0, y0, x1 - x0, y1 - y0) if order == "xywh" else (x0, y0, x1, y1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Processed:
    """What a model's own processor made of its text.

    Attributes:
        readings: Locations, pixels of the original image.
        text: What it left as it was, to be scanned.
        dialect: The language of that text.
    """

    readings: tuple[Reading, ...] = ()
    text: str = ""
    dialect: Dialect | None = None
