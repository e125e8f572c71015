"""Pictures that a program hands over: paths, encoded bytes, pixels, Pillow pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image as PILImage

from groundplane.annotation.items import Item
from groundplane.annotation.sources.addresses import check_address, is_address
from groundplane.annotation.sources.files import Named, items_of
from groundplane.annotation.sources.lists import named_file
from groundplane.annotation.sources.source import Tally
from groundplane.core.errors import GroundplaneError, InputError, MediaError
from groundplane.core.media import MediaLimits, read_image

__all__ = ["Given", "GivenListing"]

One = str | os.PathLike[str] | bytes | np.ndarray | PILImage.Image
Given = One | tuple[str, One]
_LIMITS = MediaLimits()


class GivenListing:
    """Lists what a program hands over, in its order.

    A pair of a name and a picture goes by that name; paths go by their own, below the folder that
    is common to them where all are known; all else by its number.

    Args:
        given: The pictures. What can be iterated once only is listed once only.
        column: Which column of a table holds pictures; None for the one that is called so.
        http: Whether addresses of the web are read.
    """

    distinct = False

    def __init__(
        self, given: Iterable[Given], *, column: str | None = None, http: bool = False
    ) -> None:
        self._given = given
        self._column = column
        self._http = http
        self._known = given if isinstance(given, Sequence) else None
        self._spent = False
        self._top = _common(self._known) if self._known is not None else ""

    def items(self, tally: Tally) -> Iterator[Item]:
        """The items.

        Raises:
            InputError: If one is nothing that a picture can be read from, or they are over.
        """
        if self._known is None and self._spent:
            raise InputError("these pictures came from an iterator, which is at its end")
        self._spent = True
        for number, one in enumerate(self._given):
            pair = one if isinstance(one, tuple) else ("", one)
            if len(pair) != 2 or not isinstance(pair[0], str):
                raise InputError(f"picture {number}: expected a pair of a name and a picture")
            yield from self._items(*pair, number, tally)

    def count(self) -> int | None:
        """How many there are; None where they come one by one."""
        return None if self._known is None else len(self._known)

    def find(self, path: str) -> Item | None:
        """None: only listing tells."""
        return None

    def _items(self, name: str, thing: object, number: int, tally: Tally) -> Iterator[Item]:
        called = name or f"picture-{number:06d}"
        if isinstance(thing, str | os.PathLike):
            yield from self._files(name, os.fspath(thing), tally)
        elif isinstance(thing, bytes | np.ndarray):
            yield Item(path=called, held=thing)
        elif isinstance(thing, PILImage.Image):
            try:
                yield Item(path=called, held=read_image(thing, name=called, limits=_LIMITS).pixels)
            except MediaError as error:
                yield Item(path=called, kind="fault", where={"message": str(error)})
        else:
            raise InputError(
                f"picture {number}: expected a path, bytes, an array of pixels, a Pillow picture, "
                f"or a pair of a name and one of them, got {type(thing).__name__}"
            )

    def _files(self, name: str, path: str | bytes, tally: Tally) -> Iterator[Item]:
        text = os.fsdecode(path)
        if is_address(text):
            check_address(text, http=self._http)
            named = Named(path=name or text.partition("://")[2], file=text)
        else:
            plain = named_file(os.path.abspath(text), self._top or "/")
            named = Named(path=name or plain.path, file=plain.file)
        try:
            yield from items_of(named, f"{named.path}/", tally, column=self._column)
        except GroundplaneError as error:
            yield Item(path=named.path, kind="fault", where={"message": str(error)})


def _common(given: Sequence[Given]) -> str:
    """The folder that holds all files among those given; the root where there is none."""
    things = [one[1] if isinstance(one, tuple) and len(one) == 2 else one for one in given]
    paths = [os.fsdecode(one) for one in things if isinstance(one, str | os.PathLike)]
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths if not is_address(path)}
    return os.path.commonpath(folders) if folders else "/"
