"""COCO's twelve numbers for boxes and masks; pycocotools does the counting.

Source: Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014; the evaluation page of
cocodataset.org. We differ where its code does not say that a file is at fault: an annotation with
the id 0 counts as never found there, so ids are given anew here; detections without a mask are
refused for masks, and the area of a mask is its own, not that of a box beside it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from groundplane.core.detection import Detector
from groundplane.core.errors import (
    DetectorError,
    GroundplaneError,
    InputError,
    PluginBrokenError,
    listing,
)
from groundplane.core.image import FrameMap
from groundplane.core.masks import RleMask, area, from_counts
from groundplane.core.regions import Regions
from groundplane.evaluation.documents import Row, read_json, rows_of
from groundplane.evaluation.looking import Look, Pictures, look_at, scored

__all__ = [
    "CocoResult",
    "CocoTruth",
    "IouType",
    "detect_coco",
    "evaluate_coco",
    "read_coco",
    "stated_frame",
]

IouType = Literal["bbox", "segm"]

# In the order in which pycocotools gives them.
_NAMES = (
    "AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl",
)  # fmt: skip
_PARTS = ("coco", "cocoeval", "mask")
_MAX_SIDE = 100_000
_MOST_COUNTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoTruth:
    """The annotations of a COCO instances file, checked.

    Attributes:
        images: Id of each picture to its `file_name` (empty where the file has none) and its
            width and height, pixels (0 where the file has none).
        categories: Id of each category to its name, in the file's order.
        annotations: As pycocotools takes them, with ids from 1 on.
    """

    images: Mapping[int, tuple[str, int, int]]
    categories: Mapping[int, str]
    annotations: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoResult:
    """The numbers of a set of detections.

    Attributes:
        iou_type: What was compared: boxes or masks.
        stats: The twelve numbers by name, `AP` to `ARl`; -1 where there is nothing to find.
        categories: AP of each category, -1 where there is nothing of it to find.
        num_images: Pictures in the annotations.
        num_annotations: Regions in the annotations.
        num_detections: Detections that were given.
        strangers: How many detections are of a category id that the annotations lack; they
            are not counted.
    """

    iou_type: IouType
    stats: Mapping[str, float]
    categories: Mapping[str, float]
    num_images: int
    num_annotations: int
    num_detections: int
    strangers: Mapping[int, int]

    def record(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {
            "benchmark": "coco",
            "iou_type": self.iou_type,
            "stats": dict(self.stats),
            "categories": dict(self.categories),
            "images": self.num_images,
            "annotations": self.num_annotations,
            "detections": self.num_detections,
            "unknown_categories": {str(key): count for key, count in self.strangers.items()},
        }


def read_coco(path: str | Path, *, iou_type: IouType = "bbox") -> CocoTruth:
    """Read the annotations that detections are compared with.

    Raises:
        InputError: If the file is malformed; the message names the field.
    """
    document = read_json(path, what="annotations")
    images: dict[int, tuple[str, int, int]] = {}
    categories: dict[int, str] = {}
    for row in rows_of(document, path=path, what="annotations", key="images"):
        _once(row, images)
        name = row.text("file_name") if "file_name" in row else ""
        images[row.whole("id")] = (name, _side(row, "width"), _side(row, "height"))
    for row in rows_of(document, path=path, what="annotations", key="categories"):
        _once(row, categories)
        categories[row.whole("id")] = row.text("name")
    seen: set[int] = set()
    annotations = []
    for row in rows_of(document, path=path, what="annotations", key="annotations"):
        _once(row, seen)
        seen.add(row.whole("id"))
        annotations.append(_annotation(row, len(seen), images, categories, iou_type=iou_type))
    return CocoTruth(images=images, categories=categories, annotations=tuple(annotations))


def evaluate_coco(
    truth: CocoTruth, detections: str | Path | Sequence[Mapping[str, Any]], *, iou_type: IouType
) -> CocoResult:
    """Compare detections with annotations.

    Args:
        truth: See `read_coco`, for the same `iou_type`.
        detections: A file in COCO's results format, or its entries: `image_id`, `category_id`,
            `score`, and `bbox` (left, top, width, height in pixels) or `segmentation`.
        iou_type: `bbox` or `segm`.

    Raises:
        InputError: If an entry is malformed or of a picture that the annotations lack, or all
            are of categories that they lack.
        PluginBrokenError: If pycocotools is not installed.
    """
    library = _pycocotools()
    if isinstance(detections, str | Path):
        document = read_json(detections, what="detections")
        rows = rows_of(document, path=detections, what="detections")
    else:
        rows = [Row(values=d, place=f"detections: [{i}]") for i, d in enumerate(detections)]
    entries = [_detection(row, truth, library, iou_type=iou_type) for row in rows]
    strangers = Counter(
        entry["category_id"] for entry in entries if entry["category_id"] not in truth.categories
    )
    if entries and strangers.total() == len(entries):
        raise InputError(
            f"{rows[0].place}: no detection is of a category of the annotations, which have the "
            f"ids {listing(map(str, truth.categories))}; got {listing(map(str, strangers))}"
        )
    counted = _count(truth, entries, library, iou_type=iou_type)
    return CocoResult(
        iou_type=iou_type,
        stats=dict(zip(_NAMES, map(float, counted.stats), strict=True)),
        categories=_by_category(counted, truth),
        num_images=len(truth.images),
        num_annotations=len(truth.annotations),
        num_detections=len(entries),
        strangers=dict(strangers),
    )


def detect_coco(
    truth: CocoTruth, folder: str | Path, expert: Detector, *, name: str, masks: bool = False
) -> list[dict[str, Any]]:
    """Let an expert look for every category in every picture.

    Args:
        truth: The annotations; the pictures are found by their `file_name`.
        folder: Where the pictures are.
        expert: The expert.
        name: What messages call it.
        masks: Whether its masks are wanted.

    Returns:
        What it scored, the low ones too, in COCO's results format: of each picture and category
        the best 100, which is what COCO counts.

    Raises:
        InputError: If a picture is missing or has another size than the annotations say.
        DetectorError: If the expert fails, or gives no masks where they are wanted.
    """
    phrases = tuple(truth.categories.values())
    ids = tuple(truth.categories)
    if unnamed := [key for key, (file_name, *_) in truth.images.items() if not file_name]:
        raise InputError(f"annotations: picture {unnamed[0]} has no file_name to find it by")
    looks = [Look(picture=file_name, phrases=phrases) for file_name, *_ in truth.images.values()]
    found = look_at(expert, looks, Pictures(folder), name=name)
    entries: list[dict[str, Any]] = []
    for (key, stated), (image, result) in zip(truth.images.items(), found, strict=True):
        regions = scored(result)
        if masks and len(regions) and regions.masks is None:
            raise DetectorError(f"detector {name!r} gives no masks; score its boxes instead")
        frame = stated_frame(image.size, image.frame_map, stated)
        if masks and not np.array_equal(frame.matrix, FrameMap.identity().matrix):
            raise InputError(
                f"picture {stated[0]!r} is turned by its EXIF orientation, and so would its masks "
                "have to be; give the picture upright"
            )
        entries += _entries(regions, key, ids, frame, masks=masks)
    return entries


# Reading -------------------------------------------------------------------------------------


def _once(row: Row, seen: Mapping[int, object] | set[int]) -> None:
    if row.whole("id") in seen:
        raise row.error("id", "an id that is not used twice", row.whole("id"))


def _known(row: Row, key: str, known: Mapping[int, object]) -> int:
    value = row.whole(key)
    if value not in known:
        raise row.error(key, "an id that the annotations have", value)
    return value


def _annotation(
    row: Row,
    number: int,
    images: Mapping[int, tuple[str, int, int]],
    categories: Mapping[int, str],
    *,
    iou_type: IouType,
) -> dict[str, Any]:
    image = _known(row, "image_id", images)
    crowd = row.whole("iscrowd") if "iscrowd" in row else 0
    if crowd not in (0, 1):
        raise row.error("iscrowd", "0 or 1", crowd)
    entry = {
        # pycocotools takes a match with the id 0 for none.
        "id": number,
        "image_id": image,
        "category_id": _known(row, "category_id", categories),
        "bbox": _bbox(row),
        "area": row.number("area", least=0),
        "iscrowd": crowd,
    }
    if iou_type == "segm":
        if not images[image][1] or not images[image][2]:
            raise InputError(f"{row.place}: masks need the width and height of picture {image}")
        entry["segmentation"] = _segmentation(row, images[image][2], images[image][1])
    return entry


def _side(row: Row, key: str) -> int:
    if key not in row:
        return 0
    side = row.whole(key)
    if not 1 <= side <= _MAX_SIDE:
        raise row.error(key, f"1 to {_MAX_SIDE} pixels", side)
    return side


def _bbox(row: Row) -> list[float]:
    box = row.four("bbox")
    if box[2] < 0 or box[3] < 0:
        raise row.error("bbox", "left, top, width and height, the last two not negative", [*box])
    return list(box)


def _segmentation(row: Row, height: int, width: int) -> Any:
    """Polygons as they are, or compressed runs; both checked, which pycocotools does not do."""
    value = row.values.get("segmentation")
    if isinstance(value, list) and value and all(map(_is_polygon, value)):
        return value
    if not isinstance(value, dict) or "counts" not in value:
        raise row.error("segmentation", "polygons of at least three points, or runs", value)
    if value.get("size") != [height, width]:
        raise row.error("segmentation", f"the size {[height, width]} (height, width)", value)
    try:
        if isinstance(value["counts"], list):
            mask = from_counts(value["counts"], (height, width))
        else:
            mask = RleMask(size=(height, width), counts=str(value["counts"]).encode("ascii"))
        area(mask)  # reads the runs, so that broken ones are found here
    except (GroundplaneError, UnicodeEncodeError) as error:
        raise row.error("segmentation", f"runs of a mask ({error})", value["counts"]) from error
    return {"size": [height, width], "counts": mask.counts}


def _is_polygon(part: object) -> bool:
    # pycocotools walks along every edge, so far corners would take for ever.
    return (
        isinstance(part, list)
        and len(part) >= 6
        and len(part) % 2 == 0
        and all(type(n) in (int, float) and abs(n) <= _MAX_SIDE for n in part)
    )


def _detection(
    row: Row, truth: CocoTruth, library: _Library, *, iou_type: IouType
) -> dict[str, Any]:
    image = _known(row, "image_id", truth.images)
    entry: dict[str, Any] = {
        "image_id": image,
        "category_id": row.whole("category_id"),
        "score": row.number("score"),
    }
    if iou_type == "bbox":
        return entry | {"bbox": _bbox(row)}
    _, width, height = truth.images[image]
    mask = _segmentation(row, height, width)
    if isinstance(mask, list):
        mask = library.mask.merge(library.mask.frPyObjects(mask, height, width))
    return entry | {"segmentation": mask}


# Counting ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Library:
    """The modules of pycocotools."""

    coco: ModuleType
    cocoeval: ModuleType
    mask: ModuleType


def _pycocotools() -> _Library:
    try:
        coco, cocoeval, mask = (importlib.import_module(f"pycocotools.{name}") for name in _PARTS)
    except ImportError as error:
        raise PluginBrokenError(
            "evaluate coco: pycocotools is not installed, and it does the counting. "
            "Try: pip install 'groundplane[evaluate]'"
        ) from error
    return _Library(coco=coco, cocoeval=cocoeval, mask=mask)


def _count(
    truth: CocoTruth, entries: Sequence[dict[str, Any]], library: _Library, *, iou_type: IouType
) -> Any:
    """A finished `COCOeval`."""
    # It prints what it does; nothing of that is for our stdout.
    with contextlib.redirect_stdout(io.StringIO()):
        known = library.coco.COCO()
        known.dataset = {
            "images": [
                {"id": key, "width": width, "height": height}
                for key, (_, width, height) in truth.images.items()
            ],
            "categories": [{"id": key, "name": name} for key, name in truth.categories.items()],
            "annotations": [dict(annotation) for annotation in truth.annotations],
        }
        known.createIndex()
        if entries:
            found = known.loadRes([dict(entry) for entry in entries])
        else:
            found = library.coco.COCO()
            found.dataset = {**known.dataset, "annotations": []}
            found.createIndex()
        counted = library.cocoeval.COCOeval(known, found, iou_type)
        counted.evaluate()
        counted.accumulate()
        counted.summarize()
    return counted


def _by_category(counted: Any, truth: CocoTruth) -> dict[str, float]:
    """AP over all IoUs, areas and 100 detections a picture, a category."""
    precision: Float[np.ndarray, "t r k a m"] = counted.eval["precision"]
    shares = {}
    for place, key in enumerate(counted.params.catIds):
        known = precision[:, :, place, 0, -1]
        known = known[known > -1]
        shares[truth.categories[int(key)]] = float(known.mean()) if known.size else -1.0
    return shares


# Looking -------------------------------------------------------------------------------------


def stated_frame(
    size: tuple[int, int], frame_map: FrameMap, stated: tuple[str, int, int]
) -> FrameMap:
    """From a picture's upright pixels to those that the annotations speak of.

    Args:
        size: Width and height of the upright picture.
        frame_map: From its upright pixels to the stored ones.
        stated: What the annotations say of it: name, width and height (0 where they do not).

    Raises:
        InputError: If it is another picture by its size.
    """
    name, width, height = stated
    upright = np.array([[0.0, 0.0, *size]])
    if not width or np.allclose(frame_map.boxes(upright)[0], (0, 0, width, height), atol=0.5):
        return frame_map
    if size == (width, height):
        return FrameMap.identity()
    raise InputError(
        f"picture {name!r} has {size[0]} x {size[1]} pixels, but the annotations "
        f"describe one of {width} x {height}; give the picture that was annotated"
    )


def _entries(
    regions: Regions, key: int, ids: Sequence[int], frame: FrameMap, *, masks: bool
) -> list[dict[str, Any]]:
    """The regions of a picture in COCO's results format; those of no phrase are left out."""
    boxes = frame.boxes(regions.boxes.double().cpu().numpy())
    sizes = boxes[:, 2:] - boxes[:, :2]
    xywh = np.concatenate([boxes[:, :2], sizes], axis=1).tolist()
    scores: list[float] = regions.scores.tolist()
    phrases: list[int] = regions.phrase_ids.tolist()
    entries = []
    given: Counter[int] = Counter()
    for place in sorted(range(len(regions)), key=lambda i: -scores[i]):
        phrase = phrases[place]
        given[phrase] += 1
        # More of one category in one picture are never counted, and many pictures have many.
        if phrase < 0 or given[phrase] > _MOST_COUNTED:
            continue
        entry = {"image_id": key, "category_id": ids[phrase], "bbox": xywh[place]}
        entry["score"] = scores[place]
        if masks and regions.masks is not None:
            mask = regions.masks[place]
            runs = {"size": list(mask.size), "counts": mask.counts.decode("ascii")}
            entry["segmentation"] = runs
        entries.append(entry)
    return entries
