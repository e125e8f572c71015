"""An expert looks at the pictures of a benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from groundplane.core.detection import Detector, DetectRequest, DetectResult
from groundplane.core.errors import InputError, did_you_mean
from groundplane.core.image import Image
from groundplane.core.media import list_images, read_image
from groundplane.core.regions import Regions
from groundplane.grounding.router import Router

__all__ = ["Look", "Pictures", "look_at", "scored"]

# Pictures that are open at once: enough to batch, few enough to hold in memory.
_BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What to look for in a picture, which has the name that the benchmark gives it."""

    picture: str
    phrases: tuple[str, ...]


class Pictures:
    """The pictures of a folder and below it, found by name.

    A name is a path within the folder, or the last part of one where only one picture has it.

    Raises:
        MediaError: If the folder holds no picture.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._by_name: dict[str, list[Path]] = {}
        for path in list_images(folder):
            self._by_name.setdefault(path.name, []).append(path)

    def read(self, name: str) -> Image:
        """Read a picture.

        Raises:
            InputError: If none has the name, or several have.
            MediaError: If it cannot be read.
        """
        return read_image(self.find(name))

    def find(self, name: str) -> Path:
        """Where a picture lies.

        Raises:
            InputError: If none has the name, or several have.
        """
        parts = PurePosixPath(name.replace("\\", "/"))
        # A name comes from a file of somebody else: it is looked up, never joined to a path.
        found = self._by_name.get(parts.name, [])
        exact = [p for p in found if p.relative_to(self._folder).as_posix() == parts.as_posix()]
        if not found:
            raise InputError(
                f"{str(self._folder)!r} holds no picture {parts.name!r}; give the folder of the "
                f"benchmark's pictures.{did_you_mean(parts.name, self._by_name)}"
            )
        if len(found) > 1 and not exact:
            raise InputError(
                f"{str(self._folder)!r} holds {len(found)} pictures {parts.name!r}; give the "
                "folder of one"
            )
        return (exact or found)[0]


def look_at(
    expert: Detector, looks: Sequence[Look], pictures: Pictures, *, name: str
) -> Iterator[tuple[Image, DetectResult]]:
    """Let an expert look, a few pictures at a time.

    Args:
        expert: The expert; what it answers is checked.
        looks: What to look for; looks at one picture that follow each other share its reading.
        pictures: Where the pictures are.
        name: What messages call the expert.

    Yields:
        For each look, in order, the picture and what was found.

    Raises:
        InputError, MediaError: If a picture is missing or cannot be read.
        DetectorError: If the expert fails on one, or breaks its contract.
    """
    router = expert if isinstance(expert, Router) else Router.of(expert, name=name)
    for start in range(0, len(looks), _BATCH):
        group = looks[start : start + _BATCH]
        names = dict.fromkeys(look.picture for look in group)
        images = {picture: pictures.read(picture) for picture in names}
        requests = [
            DetectRequest(image=images[look.picture], phrases=look.phrases) for look in group
        ]
        for request, result in zip(requests, router.detect(requests), strict=True):
            yield request.image, result


def scored(result: DetectResult) -> Regions:
    """All that an expert scored, the low ones too where it keeps them."""
    return result.regions if result.candidates is None else result.candidates
