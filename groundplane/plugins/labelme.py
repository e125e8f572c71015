"""Regions as LabelMe opens them: a JSON file a picture, beside the picture.

A region with a mask is a polygon for each part, along the edges of its pixels, and the parts of
one share a `group_id`; a region without one is a rectangle. Scores and facts stand in keys that
LabelMe does not need, `score` and `attributes`. Points are of the upright picture, which LabelMe
shows.

Format: labelme, https://github.com/wkentaro/labelme, files of version 5.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from groundplane.core.annotation import AnnotatedRegions, ClassTable
from groundplane.core.export_pictures import PictureChoice, picture_ending, put_picture
from groundplane.core.exporting import ExportTarget, Feature, LossCounter, LossReport, Records
from groundplane.core.mask_outlines import bridged, mask_parts
from groundplane.core.masks import RleMask
from groundplane.core.output_folder import OutputNames

__all__ = ["LabelMeExporter", "LabelMeOptions"]

_VERSION = "5.5.0"
_WHY = {
    Feature.FRACTIONS: "a region with a mask has the box of its outline",
    Feature.MASK_HOLES: "a polygon goes to each hole and back on a line of no width",
    Feature.UNMAPPED: "a shape has a label",
    Feature.TURNED: "points are of the upright picture",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMeOptions:
    """Options of `LabelMeExporter`.

    Attributes:
        images: What stands beside each JSON file: a link to its picture (a copy of what is no
            file of its own, such as a video's frame), a copy, or nothing.
    """

    images: PictureChoice = "link"


class LabelMeExporter:
    """Writes a JSON file a picture.

    Args:
        options: See `LabelMeOptions`.
        device: Not used.
        dtype: Not used.
    """

    Options = LabelMeOptions
    holds = frozenset({
        Feature.SCORES, Feature.MASKS, Feature.MASK_PARTS, Feature.ATTRIBUTES, Feature.EMPTY,
    })  # fmt: skip

    def __init__(
        self, options: LabelMeOptions, *, device: str = "cpu", dtype: object | None = None
    ) -> None:
        self._options = options

    def export(self, records: Records, target: ExportTarget) -> LossReport:
        """Write all records.

        Raises:
            OutputError: If something is there already or cannot be written.
            MediaError: If a picture is needed and cannot be read.
        """
        counter = LossCounter("labelme", holds=self.holds, why=_WHY)
        # The report of losses stands here too.
        names = OutputNames((record.path for record in records), avoid=("loss",))
        for record in records:
            counter.see(record, regions=int((record.regions.class_ids >= 0).sum()))
            if record.size is None or record.status == "failed":
                continue
            name = names.of(record.path)
            picture = f"{name}{picture_ending(record)}"
            document: dict[str, Any] = {
                "version": _VERSION,
                "flags": {},
                "shapes": list(_shapes(record.regions, target.classes, counter)),
                "imagePath": picture.rpartition("/")[2],
                "imageData": None,
                "imageHeight": record.size[1],
                "imageWidth": record.size[0],
            }
            if name.startswith("renamed/"):
                document["path"] = record.path
            text = json.dumps(document, indent=1, allow_nan=False) + "\n"
            target.folder.write(f"{name}.json", text.encode("ascii"))
            put_picture(record, target, counter, name=picture, choice=self._options.images)
        return counter.report()


def _shapes(
    regions: AnnotatedRegions, classes: ClassTable, counter: LossCounter
) -> Iterator[dict[str, Any]]:
    for row, class_id in enumerate(regions.class_ids.tolist()):
        mask = regions.masks[row] if regions.masks else None
        polygons = [] if mask is None else _polygons(mask, counter, mapped=class_id >= 0)
        if class_id < 0:
            continue
        facts = dict(regions.attributes[row]) if regions.attributes else {}
        caption = facts.get("caption", "")
        x0, y0, x1, y1 = regions.boxes[row].tolist()
        for points in polygons or [[[x0, y0], [x1, y1]]]:
            yield {
                "label": classes.names[class_id],
                "points": points,
                "group_id": row if len(polygons) > 1 else None,
                "description": caption if isinstance(caption, str) else "",
                "shape_type": "polygon" if polygons else "rectangle",
                "flags": {},
                "mask": None,
                "score": float(regions.scores[row]),
                "attributes": facts,
            }


def _polygons(mask: RleMask, counter: LossCounter, *, mapped: bool) -> list[list[list[int]]]:
    parts = mask_parts(mask)
    if any(part.holes for part in parts):
        counter.lose(Feature.MASK_HOLES.value, why=_WHY[Feature.MASK_HOLES])
    if mapped and not parts:
        counter.lose("masks without pixels", why="they stand as their rectangle")
    return [bridged(part).tolist() for part in parts]
