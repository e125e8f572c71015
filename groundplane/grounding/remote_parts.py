"""What the messages of remote experts are made of: fields, pictures, text of the other side.

Both sides trust nothing that they read: every field is checked, and what a message says is shown
on one printable line.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from PIL import Image as PILImage

from groundplane.core.image import Image
from groundplane.core.media import read_image
from groundplane.grounding.checking import BreachError

__all__ = ["VERSION", "Fields", "is_number", "pack_image", "printable", "unpack_image"]

VERSION = 1

_MAX_WORDS = 100_000
_JPEG_QUALITY = 95


def printable(text: object, *, limit: int = 200) -> str:
    """Somebody else's text on one line, without what a terminal would obey.

    Examples:
        >>> printable("a\\x1b[31m\\nb")
        'a [31m b'
        >>> printable("abcdef", limit=3)
        'abc ...'
    """
    shown = "".join(c if c.isprintable() else " " for c in str(text)[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[:limit]} ..."


def pack_image(image: Image, picture: Literal["png", "jpeg"]) -> bytes:
    """A picture as a file; `jpeg` is smaller and loses a little."""
    buffer = io.BytesIO()
    made = PILImage.fromarray(image.pixels)
    if picture == "jpeg":
        made.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    else:
        made.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def unpack_image(fields: Fields) -> Image:
    """The picture of an object with `name` and `data`.

    Raises:
        BreachError: If the data are no base64.
        MediaError: If they are no picture, or one that a limit refuses.
    """
    try:
        data = base64.b64decode(fields.text("data", limit=None), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BreachError("an image: expected data in base64") from error
    return read_image(data, name=printable(fields.text("name")))


@dataclass(frozen=True, slots=True, eq=False)
class Fields:
    """A JSON object whose fields are taken out by type.

    Attributes:
        values: The object.
        what: What it is, for messages.

    Raises:
        BreachError: If it is no object; each method, if its field is of another type.
    """

    values: Any
    what: str

    def __post_init__(self) -> None:
        if not isinstance(self.values, dict):
            raise BreachError(f"{self.what}: expected an object, got {_kind(self.values)}")

    @classmethod
    def of(cls, data: bytes, *, what: str) -> Fields:
        """The object that a message is."""
        try:
            return cls(json.loads(data, parse_constant=_no_constant), what)
        except (ValueError, RecursionError) as error:
            if isinstance(error, BreachError):
                raise
            raise BreachError(f"{what}: expected JSON, got: {printable(error)}") from error

    def version(self) -> None:
        """Check that it is of our version of the protocol."""
        if self.values.get("protocol") != VERSION:
            got = printable(self.values.get("protocol"))
            raise BreachError(f"{self.what}: expected protocol {VERSION}, got {got}")

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self.values.get(name) is not None

    def items(self, name: str) -> list[Any]:
        """A list."""
        given = self.values.get(name)
        if not isinstance(given, list):
            raise BreachError(f"{self.what}: expected {name} as a list, got {_kind(given)}")
        return given

    def text(self, name: str, *, limit: int | None = 10_000) -> str:
        """Text, of at most `limit` characters."""
        given = self.values.get(name)
        if not isinstance(given, str) or (limit is not None and len(given) > limit):
            raise BreachError(f"{self.what}: expected {name} as text, got {_kind(given)}")
        return given

    def words(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        given = self.items(name)
        if len(given) > _MAX_WORDS or not all(isinstance(word, str) for word in given):
            raise BreachError(f"{self.what}: expected {name} as a list of words")
        return tuple(given)

    def numbers(self, name: str, *, many: bool = True) -> tuple[float, ...]:
        """Finite numbers: a list of them, or one."""
        given = self.items(name) if many else [self.values.get(name)]
        if not all(is_number(value) for value in given):
            raise BreachError(f"{self.what}: expected {name} as finite numbers")
        return tuple(float(value) for value in given)


def is_number(value: object) -> bool:
    """Whether it is a finite number that a float holds, and no truth value."""
    # An integer may be too large for a float.
    return (type(value) is float and math.isfinite(value)) or (
        type(value) is int and abs(value) < 2**53
    )


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", type(None): "nothing"}
    return names.get(type(value), "a number")


def _no_constant(word: str) -> NoReturn:
    raise BreachError(f"expected finite numbers, got {word}")
