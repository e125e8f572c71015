"""Regions cut out of their pictures: a file each, in a folder a class, and an index.

Folders of classes are what loaders of pictures for classifiers take (torchvision's `ImageFolder`,
`datasets`' `imagefolder`). Names of files are ours; `crops.jsonl` says what each holds.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image as PILImage

from groundplane.core.annotation import AnnotationRecord, ClassTable
from groundplane.core.cutting import cut_out, pixels_of
from groundplane.core.errors import InputError, MediaError
from groundplane.core.exporting import ExportTarget, Feature, LossCounter, LossReport, Records
from groundplane.core.files import one_line
from groundplane.core.image import Image
from groundplane.core.media import MediaLimits, read_image
from groundplane.core.output_folder import plain_name

__all__ = ["CropsExporter", "CropsOptions"]

_HOLDS = frozenset(
    {
        Feature.SCORES, Feature.FRACTIONS, Feature.TRACKS, Feature.ATTRIBUTES, Feature.UNMAPPED,
        Feature.PROMPTS, Feature.SOURCES, Feature.IDS, Feature.HASHES,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CropsOptions:
    """Options of `CropsExporter`.

    Attributes:
        format: Of the files.
        margin: What is added on each side of a region, in shares of its width and height.
        quality: Of JPEG files, from 1 to 100.

    Raises:
        InputError: If a number is out of range.
    """

    format: Literal["png", "jpeg"] = "png"
    margin: float = 0.0
    quality: int = 95

    def __post_init__(self) -> None:
        if not 0 <= self.margin <= 10:
            raise InputError(f"crops: expected a margin from 0 to 10, got {self.margin}")
        if not 1 <= self.quality <= 100:
            raise InputError(f"crops: expected a quality from 1 to 100, got {self.quality}")


class CropsExporter:
    """Writes the pixels of each region's box as a picture of its own, upright.

    Args:
        options: See `CropsOptions`.
        device: Not used.
        dtype: Not used.
    """

    Options = CropsOptions
    holds = _HOLDS

    def __init__(
        self, options: CropsOptions, *, device: str = "cpu", dtype: object | None = None
    ) -> None:
        self._options = options

    def export(self, records: Records, target: ExportTarget) -> LossReport:
        """Write all regions, in one pass; each picture that has some is read once.

        Raises:
            OutputError: If a file is there already or cannot be written.
            MediaError: If a picture cannot be had, or is not the one that was annotated.
        """
        counter = LossCounter("crops", holds=self.holds)
        with target.folder.open("crops.jsonl") as index:
            for number, record in enumerate(records):
                counter.see(record)
                if not len(record.regions):
                    continue
                image = _read(record, target)
                for row in range(len(record.regions)):
                    line = self._cut(record, row, image, target, number=number)
                    index.write(json.dumps(line).encode("ascii") + b"\n")
        return counter.report()

    def _cut(
        self, record: AnnotationRecord, row: int, image: Image, target: ExportTarget, *, number: int
    ) -> dict[str, Any]:
        """Write a region; gives its line of the index."""
        regions, options = record.regions, self._options
        class_id, prompt_id = int(regions.class_ids[row]), int(regions.prompt_ids[row])
        ending = "png" if options.format == "png" else "jpg"
        name = f"{_folder(class_id, target.classes)}/{number:08d}-{row:05d}.{ending}"
        part = cut_out(image, regions.boxes[row], margin=options.margin)
        target.folder.write(name, self._encoded(part))
        track = -1 if regions.track_ids is None else int(regions.track_ids[row])
        return {
            "file": name,
            "path": record.path,
            "content_hash": record.content_hash,
            "id": regions.ids[row],
            "class": target.classes.names[class_id] if class_id >= 0 else None,
            "prompt": target.classes.prompts[prompt_id].text if prompt_id >= 0 else None,
            "score": float(regions.scores[row]),
            "box": regions.boxes[row].tolist(),
            "pixels": list(pixels_of(regions.boxes[row], image.size, margin=options.margin)),
            "track": track if track >= 0 else None,
            "source": regions.sources[row] if regions.sources else "",
            "attributes": dict(regions.attributes[row]) if regions.attributes else {},
        }

    def _encoded(self, part: Image) -> bytes:
        data = io.BytesIO()
        picture = PILImage.fromarray(part.pixels)
        if self._options.format == "png":
            picture.save(data, "PNG")
        else:
            picture.save(data, "JPEG", quality=self._options.quality)
        return data.getvalue()


def _folder(class_id: int, classes: ClassTable) -> str:
    """The folder of a class: its id, and its name where that is harmless."""
    if class_id < 0:
        return "unmapped"
    name = classes.names[class_id]
    plain = "/" not in name and len(name) <= 40 and plain_name(name) is not None
    return f"{class_id:04d}-{name}" if plain else f"{class_id:04d}"


def _read(record: AnnotationRecord, target: ExportTarget) -> Image:
    """A record's picture, upright."""
    shown = one_line(record.path)
    if target.read is None or record.size is None:
        raise MediaError(f"crops: the picture {shown} cannot be had, so nothing can be cut out")
    width, height = record.size
    # As large as it was when it was annotated; that was within the limits of then.
    limits = MediaLimits(max_pixels=width * height, max_aspect=max(width, height))
    image = read_image(target.read(record), name=shown, limits=limits)
    if image.size != record.size:
        raise MediaError(
            f"crops: the picture {shown} has {image.size[0]} x {image.size[1]} pixels, but "
            f"{width} x {height} were annotated"
        )
    return image
