"""Regions as YOLO reads them: a line of numbers a region, a text file a picture.

Numbers are parts of the upright picture's sides, class ids its names' places in `data.yaml`, from
0. A picture without regions has an empty file, which training takes as one without objects;
pictures that failed have none. Readers find a picture's labels by putting `labels` for the last
`images` in its path, so no name holds either word.

Format: Ultralytics, dataset pages for detection and segmentation
(https://docs.ultralytics.com/datasets/detect/).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from groundplane.core.annotation import AnnotationRecord, ClassTable
from groundplane.core.export_pictures import PictureChoice, picture_ending, put_picture
from groundplane.core.exporting import ExportTarget, Feature, LossCounter, LossReport, Records
from groundplane.core.mask_outlines import MaskPart, joined, mask_parts, ring_area
from groundplane.core.output_folder import OutputNames

__all__ = ["YoloExporter", "YoloOptions", "YoloSegmentExporter", "YoloSegmentOptions"]

_NO_UNMAPPED = "a line begins with a class"
_NO_TURN = "numbers are of the upright picture; readers must turn it as its file says"
_WHY = {Feature.UNMAPPED: _NO_UNMAPPED, Feature.TURNED: _NO_TURN}
_HALF = re.compile("[\ud800-\udfff]")
_JOINED = "a line holds one ring, which goes there and back on lines of no width"
_LARGEST = "a line holds one ring: that around the largest part"

_Lines = Callable[[AnnotationRecord, LossCounter], Iterator[tuple[int, Float64[np.ndarray, " _"]]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloOptions:
    """Options of `YoloExporter`.

    Attributes:
        images: What stands in `images/`: a link to each picture (a copy of what is no file of
            its own, such as a video's frame), a copy, or nothing.
    """

    images: PictureChoice = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloSegmentOptions:
    """Options of `YoloSegmentExporter`.

    Attributes:
        images: As of `YoloOptions`.
        parts: What becomes of a mask in parts or with holes: `joined` makes one ring that goes
            there and back on lines of no width, as Ultralytics' own converter does; `largest` is
            the ring around the largest part.
    """

    images: PictureChoice = "link"
    parts: Literal["joined", "largest"] = "joined"


class YoloExporter:
    """Writes boxes: `data.yaml`, `labels/` and `images/`.

    Args:
        options: See `YoloOptions`.
        device: Not used.
        dtype: Not used.
    """

    Options = YoloOptions
    holds = frozenset({Feature.FRACTIONS, Feature.EMPTY})

    def __init__(
        self, options: YoloOptions, *, device: str = "cpu", dtype: object | None = None
    ) -> None:
        self._options = options

    def export(self, records: Records, target: ExportTarget) -> LossReport:
        """Write all records.

        Raises:
            OutputError: If something is there already or cannot be written.
            MediaError: If a picture is needed and cannot be read.
        """
        counter = LossCounter("yolo", holds=self.holds, why=_WHY)
        _write(records, target, counter, images=self._options.images, lines=_boxes)
        return counter.report()


class YoloSegmentExporter:
    """Writes masks as rings: `data.yaml`, `labels/` and `images/`.

    A region without a mask stands as its rectangle.

    Args:
        options: See `YoloSegmentOptions`.
        device: Not used.
        dtype: Not used.
    """

    Options = YoloSegmentOptions
    holds = frozenset({Feature.MASKS, Feature.EMPTY})

    def __init__(
        self, options: YoloSegmentOptions, *, device: str = "cpu", dtype: object | None = None
    ) -> None:
        self._options = options

    def export(self, records: Records, target: ExportTarget) -> LossReport:
        """Write all records.

        Raises:
            OutputError: If something is there already or cannot be written.
            MediaError: If a picture is needed and cannot be read.
        """
        why = {**_WHY, Feature.FRACTIONS: "a region with a mask has the box of its outline"}
        counter = LossCounter("yolo-segment", holds=self.holds, why=why)
        _write(records, target, counter, images=self._options.images, lines=self._rings)
        return counter.report()

    def _rings(
        self, record: AnnotationRecord, counter: LossCounter
    ) -> Iterator[tuple[int, Float64[np.ndarray, " _"]]]:
        regions = record.regions
        for row, class_id in enumerate(regions.class_ids.tolist()):
            mask = regions.masks[row] if regions.masks else None
            parts = mask_parts(mask) if mask is not None else []
            why = _JOINED if self._options.parts == "joined" else _LARGEST
            if len(parts) > 1:
                counter.lose(Feature.MASK_PARTS.value, why=why)
            if any(part.holes for part in parts):
                counter.lose(Feature.MASK_HOLES.value, why=why)
            if class_id < 0:
                continue
            if not parts:
                what = "masks without pixels" if mask is not None else "regions without a mask"
                counter.lose(what, why="they stand as their rectangle")
                yield class_id, regions.boxes[row][[0, 1, 2, 1, 2, 3, 0, 3]]
            else:
                yield class_id, self._ring(parts)

    def _ring(self, parts: list[MaskPart]) -> Float64[np.ndarray, " _"]:
        if self._options.parts == "joined":
            ring = joined(parts)
        else:
            ring = max(parts, key=lambda part: ring_area(part.outer)).outer
        return ring.ravel().astype(np.float64)


def _boxes(
    record: AnnotationRecord, counter: LossCounter
) -> Iterator[tuple[int, Float64[np.ndarray, " _"]]]:
    """Class, and centre and sides, pixels."""
    del counter
    boxes = record.regions.boxes
    rows = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
    for class_id, row in zip(record.regions.class_ids.tolist(), rows, strict=True):
        if class_id >= 0:
            yield class_id, row


def _write(
    records: Records,
    target: ExportTarget,
    counter: LossCounter,
    *,
    images: PictureChoice,
    lines: _Lines,
) -> None:
    """Write the labels that `lines` gives of each record, in pixels."""
    folder = target.folder
    folder.write("data.yaml", _data(target.classes, images=images != "none"))
    for name in target.classes.names:
        if _HALF.search(name):
            counter.lose("names of classes", why="half a surrogate pair stands as U+FFFD")
    names = OutputNames((record.path for record in records), avoid=("images", "labels"))
    with folder.open("renamed.jsonl") as renamed:
        for record in records:
            mapped = int((record.regions.class_ids >= 0).sum())
            counter.see(record, regions=mapped)
            if record.size is None or record.status == "failed":
                continue
            name = names.of(record.path)
            written = [_line(i, xy, record.size) for i, xy in lines(record, counter)]
            folder.write(f"labels/{name}.txt", "".join(written).encode("ascii"))
            if name.startswith("renamed/"):
                row = {"name": name, "path": record.path}
                renamed.write(json.dumps(row).encode("ascii") + b"\n")
            picture = f"images/{name}{picture_ending(record)}"
            put_picture(record, target, counter, name=picture, choice=images)


def _line(class_id: int, pixels: Float64[np.ndarray, " _"], size: tuple[int, int]) -> str:
    """A class and its numbers, with digits enough for a thousandth of a pixel."""
    digits = max(6, len(str(max(size))) + 3)
    parts = pixels / np.resize(np.array(size, dtype=np.float64), pixels.size)
    numbers = " ".join(f"{part:.{digits}f}" for part in parts.clip(0, 1).tolist())
    return f"{class_id} {numbers}\n"


# data.yaml -----------------------------------------------------------------------------------


def _data(classes: ClassTable, *, images: bool) -> bytes:
    """The file that names the classes; without a path, readers take its own folder as the root."""
    lines = ["# labels/ and images/ hold files of the same names; renamed.jsonl says which are"]
    lines += ["# not called as the pictures are"]
    lines += ["train: images", "val: images"] if images else []
    lines += ["names:" if classes.names else "names: {}"]
    lines += [f"  {i}: {_quoted(name)}" for i, name in enumerate(classes.names)]
    return ("\n".join(lines) + "\n").encode("utf-8")


def _quoted(text: str) -> str:
    """A text in YAML's double quotes; what is not seen is escaped."""
    signs = {'"': '\\"', "\\": "\\\\"}
    return f'"{"".join(signs.get(c, c if c.isprintable() else _escaped(c)) for c in text)}"'


def _escaped(sign: str) -> str:
    # Half a surrogate pair has no escape in YAML.
    return "\ufffd" if _HALF.match(sign) else f"\\U{ord(sign):08X}"
