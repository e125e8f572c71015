"""Boxes as Pascal VOC has them: an XML file a picture, names for classes.

VOC counts pixels from 1 and names the last pixel that a box covers. So a box from 10 to 20, half
open, is written as 11 and 20: only the least corner moves. The development kit, supervision and
datumaro (`coordinate_mode="voc-one-based"`) read it so. Numbers are whole, and a box covers each
pixel that it touches, unless the option `fractions` keeps what it is.

Format: Everingham et al., The PASCAL Visual Object Classes Challenge: a Retrospective, 2015, and
its development kit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord
from groundplane.core.export_pictures import PictureChoice, picture_ending, put_picture
from groundplane.core.exporting import ExportTarget, Feature, LossCounter, LossReport, Records
from groundplane.core.output_folder import OutputNames
from groundplane.core.xml_text import distinct_names, xml_plain

__all__ = ["VocExporter", "VocOptions"]

_FLAGS = ("truncated", "difficult", "occluded")
_WHY = {
    Feature.FRACTIONS: "boxes cover each pixel that they touch; option fractions keeps them",
    Feature.ATTRIBUTES: f"but for {', '.join(_FLAGS)} where they are true or false",
    Feature.UNMAPPED: "an object has the name of a class",
    Feature.TURNED: "numbers are of the upright picture; readers must turn it as its file says",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VocOptions:
    """Options of `VocExporter`.

    Attributes:
        images: What stands in `JPEGImages/`: a link to each picture (a copy of what is no file
            of its own, such as a video's frame), a copy, or nothing.
        fractions: Whether boxes keep their fractions of pixels; not every reader takes them.
    """

    images: PictureChoice = "link"
    fractions: bool = False


class VocExporter:
    """Writes `Annotations/`, `JPEGImages/` and `ImageSets/Main/trainval.txt`.

    VOC has no place for the table of classes; `dataset_meta.json` is where datumaro has it.

    Args:
        options: See `VocOptions`.
        device: Not used.
        dtype: Not used.
    """

    Options = VocOptions

    def __init__(
        self, options: VocOptions, *, device: str = "cpu", dtype: object | None = None
    ) -> None:
        self._options = options

    @property
    def holds(self) -> frozenset[Feature]:
        """Boxes and classes, pictures without regions, and fractions if they are asked for."""
        exact = {Feature.FRACTIONS} if self._options.fractions else set()
        return frozenset({Feature.EMPTY, *exact})

    def export(self, records: Records, target: ExportTarget) -> LossReport:
        """Write all records.

        Raises:
            OutputError: If something is there already or cannot be written.
            MediaError: If a picture is needed and cannot be read.
        """
        counter = LossCounter("voc", holds=self.holds, why=_WHY)
        classes = distinct_names(target.classes.names, xml_plain)
        for name, shown in zip(target.classes.names, classes, strict=True):
            if name != shown:
                counter.lose("names of classes", why="XML cannot hold all of their signs")
        meta = json.dumps({"labels": classes}, indent=1) + "\n"
        target.folder.write("dataset_meta.json", meta.encode())
        names = OutputNames(record.path for record in records)
        with target.folder.open("ImageSets/Main/trainval.txt") as listed:
            for record in records:
                counter.see(record, regions=int((record.regions.class_ids >= 0).sum()))
                if record.size is None or record.status == "failed":
                    continue
                name = names.of(record.path)
                listed.write(f"{name}\n".encode())
                picture = f"{name}{picture_ending(record)}"
                lines = self._lines(record, classes, counter, picture=picture)
                target.folder.write(f"Annotations/{name}.xml", "\n".join(lines).encode())
                where = f"JPEGImages/{picture}"
                put_picture(record, target, counter, name=where, choice=self._options.images)
        return counter.report()

    def _lines(
        self,
        record: AnnotationRecord,
        classes: list[str],
        counter: LossCounter,
        *,
        picture: str,
    ) -> Iterator[str]:
        size = record.size or (0, 0)
        if xml_plain(record.path) != record.path:
            counter.lose("names of pictures", why="XML cannot hold all of their signs")
        yield "<annotation>"
        yield "  <folder>JPEGImages</folder>"
        yield f"  <filename>{_text(picture)}</filename>"
        yield f"  <path>{_text(record.path)}</path>"
        yield f"  <size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
        yield "  <segmented>0</segmented>"
        for row, class_id in enumerate(record.regions.class_ids.tolist()):
            if class_id >= 0:
                yield "  <object>"
                yield f"    <name>{_text(classes[class_id])}</name>"
                yield "    <pose>Unspecified</pose>"
                yield from _flags(record.regions, row)
                yield self._box(record.regions.boxes[row].tolist(), size, counter)
                yield "  </object>"
        yield "</annotation>\n"

    def _box(self, box: list[float], size: tuple[int, int], counter: LossCounter) -> str:
        sides = box[2] - box[0], box[3] - box[1]
        if self._options.fractions:
            least, most = [box[0] + 1, box[1] + 1], box[2:]
            if min(sides) < 1:
                counter.lose("boxes under a pixel", why="their first number is above the last")
        else:
            least = [min(math.floor(n) + 1, end) for n, end in zip(box[:2], size, strict=True)]
            most = [max(math.ceil(n), low) for n, low in zip(box[2:], least, strict=True)]
            if min(sides) == 0:
                counter.lose("boxes without area", why="they stand as the pixel they lie in")
        ends = zip(("xmin", "ymin", "xmax", "ymax"), (*least, *most), strict=True)
        tags = "".join(f"<{tag}>{round(n, 2):.12g}</{tag}>" for tag, n in ends)
        return f"    <bndbox>{tags}</bndbox>"


def _flags(regions: AnnotatedRegions, row: int) -> Iterator[str]:
    facts = regions.attributes[row] if regions.attributes else {}
    for name in _FLAGS:
        yield f"    <{name}>{int(facts.get(name) is True)}</{name}>"


def _text(text: str) -> str:
    return escape(xml_plain(text), {"\r": "&#13;"})
