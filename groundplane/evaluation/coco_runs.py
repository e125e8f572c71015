"""A run of annotation against COCO annotations: pictures by their paths, classes by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from groundplane.core.annotation import AnnotationRecord, ClassTable
from groundplane.core.errors import InputError, listing
from groundplane.core.image import FrameMap
from groundplane.evaluation.coco import CocoTruth, stated_frame

__all__ = ["RunDetections", "detections_of_run"]

_MOST_COUNTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetections:
    """What a run found, as COCO counts it, and what of it could not be compared.

    Attributes:
        entries: In COCO's results format.
        unknown: Paths of pictures that the annotations do not describe.
        missing: Pictures of the annotations that the run does not hold; what is in them counts
            as not found.
        failed: Pictures of the annotations that the run failed on; the same.
        classes: Classes that are no category, with their number of regions.
        unmapped: Regions without a class.
    """

    entries: Sequence[dict[str, Any]]
    unknown: tuple[str, ...]
    missing: tuple[str, ...]
    failed: tuple[str, ...]
    classes: dict[str, int]
    unmapped: int


def detections_of_run(
    records: Iterable[AnnotationRecord], classes: ClassTable, truth: CocoTruth, *, masks: bool
) -> RunDetections:
    """Bring a run's regions to the pictures and categories of annotations.

    A record belongs to the picture whose `file_name` is its path, or else to the only one of
    which either is the end of the other, part by part: `val/1.jpg` and `1.jpg`.

    Args:
        records: As a view gives them.
        classes: The run's.
        truth: The annotations.
        masks: Whether masks are compared.

    Raises:
        InputError: If no class is a category or no picture is of the annotations, two pictures of
            the run are the same one, one has another size than stated, or masks are wanted of a
            region without or of a turned picture.
    """
    ids = _category_ids(classes, truth)
    pictures = _Pictures(truth)
    seen: dict[int, str] = {}
    unknown, failed = [], []
    entries: list[dict[str, Any]] = []
    strangers: Counter[int] = Counter()
    for record in records:
        key = pictures.of(record.path)
        if key is None:
            unknown.append(record.path)
            continue
        if key in seen:
            raise InputError(
                f"{record.path!r} and {seen[key]!r} of the run are both picture {key} of the "
                "annotations; give a run of one folder of pictures"
            )
        seen[key] = record.path
        if record.status == "failed":
            failed.append(record.path)
            continue
        strangers.update(c for c in record.regions.class_ids.tolist() if c < 0 or ids[c] is None)
        entries += _entries(record, key, ids, truth.images[key], masks=masks)
    if not seen:
        raise InputError(
            f"no picture of the run is in the annotations; they name {_shown(pictures.names)}, "
            f"the run {_shown(unknown)}"
        )
    missing = [name for key, (name, *_) in truth.images.items() if key not in seen]
    return RunDetections(
        entries=entries,
        unknown=tuple(unknown),
        missing=tuple(missing),
        failed=tuple(failed),
        classes={classes.names[c]: count for c, count in sorted(strangers.items()) if c >= 0},
        unmapped=strangers[-1],
    )


def _category_ids(classes: ClassTable, truth: CocoTruth) -> list[int | None]:
    """The category of each class, by its name."""
    ids = {name: key for key, name in truth.categories.items()}
    found = [ids.get(name) for name in classes.names]
    if all(key is None for key in found):
        raise InputError(
            f"no class of the run is a category of the annotations: the run has "
            f"{listing(map(repr, classes.names))}, they have "
            f"{listing(map(repr, truth.categories.values()))}"
        )
    return found


class _Pictures:
    """Finds a picture of the annotations by a path."""

    def __init__(self, truth: CocoTruth) -> None:
        self._whole = {name: key for key, (name, *_) in truth.images.items() if name}
        self.names = list(self._whole)
        # The ends of names; None where several end alike.
        self._ends: dict[str, int | None] = {}
        for name, key in self._whole.items():
            for end in _ends(name):
                self._ends[end] = key if end not in self._ends else None

    def of(self, path: str) -> int | None:
        if path in self._whole:
            return self._whole[path]
        if (key := self._ends.get(path)) is not None:
            return key
        found = (self._whole.get(end) for end in _ends(path))
        return next((key for key in found if key is not None), None)


def _ends(path: str) -> list[str]:
    """The path without its first parts, longest first."""
    parts = path.split("/")
    return ["/".join(parts[i:]) for i in range(1, len(parts))]


def _shown(names: Sequence[str]) -> str:
    return listing(map(repr, names), limit=3)


def _entries(
    record: AnnotationRecord,
    key: int,
    ids: Sequence[int | None],
    stated: tuple[str, int, int],
    *,
    masks: bool,
) -> list[dict[str, Any]]:
    """The regions of a picture in COCO's results format, of each category the best hundred."""
    regions = record.regions
    frame = _frame(record, stated)
    if masks and not np.array_equal(frame.matrix, FrameMap.identity().matrix):
        raise InputError(
            f"picture {record.path!r} is turned by its EXIF orientation, and so would its masks "
            "have to be; compare boxes, or annotate upright pictures"
        )
    boxes = frame.boxes(regions.boxes)
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
    scores, owners = regions.scores.tolist(), regions.class_ids.tolist()
    entries = []
    given: Counter[int] = Counter()
    for place in sorted(range(len(regions)), key=lambda i: -scores[i]):
        category = ids[owners[place]] if owners[place] >= 0 else None
        if category is None or given[category] == _MOST_COUNTED:
            continue
        given[category] += 1
        entry = {"image_id": key, "category_id": category, "bbox": xywh[place]}
        entry["score"] = scores[place]
        if masks:
            entry["segmentation"] = _mask(record, place)
        entries.append(entry)
    return entries


def _frame(record: AnnotationRecord, stated: tuple[str, int, int]) -> FrameMap:
    frame = FrameMap(matrix=np.array(record.to_stored).reshape(2, 3))
    return frame if record.size is None else stated_frame(record.size, frame, stated)


def _mask(record: AnnotationRecord, place: int) -> dict[str, Any]:
    mask = record.regions.masks[place] if record.regions.masks is not None else None
    if mask is None:
        raise InputError(
            f"picture {record.path!r}: region {record.regions.ids[place]!r} has no mask; compare "
            "boxes, or annotate with a segmenter"
        )
    return {"size": list(mask.size), "counts": mask.counts.decode("ascii")}
