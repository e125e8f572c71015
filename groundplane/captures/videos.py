"""Videos: every picture with its time, and intrinsics where the user states them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from groundplane.captures.capture import Capture
from groundplane.captures.lenses import Lens, lens_matrix, shrink
from groundplane.captures.options import CaptureOptions
from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import MediaError
from groundplane.core.files import one_line
from groundplane.core.image import Image
from groundplane.core.video import read_frames

__all__ = ["ends_early", "open_video"]

_EARLY = "the video ends early"


def ends_early(notes: Iterable[str]) -> list[str]:
    """What the notes of a frame say of a fault after it, which is told of the whole video.

    Examples:
        >>> ends_early(["blurred", "the video ends early: cut off"])
        ['the video ends early: cut off']
        >>> ends_early([])
        []
    """
    return [note for note in notes if note.startswith(_EARLY)]


def open_video(path: Path, options: CaptureOptions) -> Capture:
    """Open a video; its frames are decoded when they are asked for."""
    return Capture(
        name=path.name,
        layout="video",
        up=options.up_or(None),
        length=None,
        gives=frozenset({"intrinsics"} if options.intrinsics else ()),
        source=_VideoSource(path=path, options=options),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _VideoSource:
    path: Path
    options: CaptureOptions

    def frames(self, start: int, step: int) -> Iterator[Frame]:
        # One is held back, so that the last one can tell of a fault after it.
        held: Frame | None = None
        try:
            for frame in self._decoded(start, step):
                if held is not None:
                    yield held
                held = frame
        except MediaError as error:
            if self.options.whole or held is None:
                if held is not None:
                    yield held
                raise
            held = replace(held, notes=(*held.notes, f"{_EARLY}: {error}"))
        if held is not None:
            yield held

    def _decoded(self, start: int, step: int) -> Iterator[Frame]:
        name = one_line(self.path.name)
        first: float | None = None
        frames = read_frames(
            self.path,
            name=name,
            limits=self.options.limits,
            wanted=lambda index: index >= start and (index - start) % step == 0,
        )
        for decoded in frames:
            first = float(decoded.time) if first is None else first
            if decoded.image is None:
                continue
            image = shrink(decoded.image, self.options.longest)
            yield Frame(
                image=image,
                index=decoded.index,
                time=float(decoded.time) - first,
                camera=self._camera(decoded.image, image),
                scale=self.options.scale or "metric",
            )

    def _camera(self, whole: Image, shrunk: Image) -> Camera | None:
        """Of the upright picture, whose size phones do not store it in."""
        if self.options.intrinsics is None:
            return None
        K = lens_matrix(self.options.intrinsics, where="capture option intrinsics")
        return Camera(K=Lens(K=K).scaled(whole.size, shrunk.size))
