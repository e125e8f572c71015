"""What a map is built from, brought to a capture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from groundplane.captures.capture import Capture
from groundplane.captures.opening import open_capture
from groundplane.core.camera import Frame
from groundplane.core.errors import InputError
from groundplane.core.image import Image
from groundplane.mapping.geometry import known_of
from groundplane.mapping.terms import MapTerms

__all__ = ["capture_of"]


@dataclass(slots=True, eq=False)
class _Given:
    """Frames that a program gives, once."""

    given: Iterator[Frame]

    def frames(self, start: int, step: int) -> Iterator[Frame]:
        return islice(self.given, start, None, step)


def capture_of(source: str | Path | Capture | Image | Iterable[Frame], terms: MapTerms) -> Capture:
    """The capture of a path, of a picture, or of frames that a program gives.

    Raises:
        InputError: If it is none of these, or there is no frame.
        MediaError: If it cannot be read.
    """
    if isinstance(source, Capture):
        return source
    if isinstance(source, str | Path):
        return open_capture(source, layout=terms.layout, options=terms.capture)
    if isinstance(source, Image):
        frame = Frame(image=source)
        return _captured(iter([frame]), name=source.source.name, length=1)
    if not isinstance(source, Iterable):
        raise InputError(
            "map: expected a path, a capture, an image or frames, got " + type(source).__name__
        )
    return _captured(iter(source), name="frames", length=None)


def _captured(frames: Iterator[Frame], *, name: str, length: int | None) -> Capture:
    first = next(frames, None)
    if first is None:
        raise InputError("map: there is no frame to build a map from")
    if not isinstance(first, Frame):
        raise InputError(f"map: expected frames, got {type(first).__name__}")
    return Capture(
        name=name, layout="frames", up=None, length=length, gives=known_of(first),
        source=_Given(chain([first], frames)),
    )  # fmt: skip
