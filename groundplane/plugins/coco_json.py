"""Regions as a COCO instances file; what COCO has no place for stands in keys of our own.

Readers of COCO pass over unknown keys. Boxes are `x, y, width, height`, ids begin at 1 (a class's
id is 0-based in a run), and a mask is run lengths or polygons. Pictures that failed are not among
`images`, where they would be taken for pictures without objects, and regions without a class not
among `annotations`.

Format: Lin et al., Microsoft COCO: Common Objects in Context, 2014, and pycocotools, which the
tests read it with.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from groundplane.core.annotation import AnnotationRecord, ClassTable
from groundplane.core.annotation_json import (
    classes_document,
    read_classes_document,
    read_record_document,
    record_document,
)
from groundplane.core.errors import GroundplaneError, InputError
from groundplane.core.export_pictures import PictureChoice, picture_ending, put_picture
from groundplane.core.exporting import ExportTarget, Feature, LossCounter, LossReport, Records
from groundplane.core.mask_outlines import bridged, mask_parts
from groundplane.core.masks import RleMask, area, from_polygons
from groundplane.core.output_folder import OutputNames

__all__ = ["CocoExporter", "CocoOptions"]

# Where datumaro and CVAT look for it.
_FILE = "annotations/instances_default.json"
_RESULTS = "results.json"
_VERSION = 1
_OWN = "groundplane"
_PLAIN = frozenset({
    Feature.SCORES, Feature.FRACTIONS, Feature.MASKS, Feature.MASK_PARTS, Feature.MASK_HOLES,
    Feature.EMPTY,
})  # fmt: skip
_WHY = {
    Feature.UNMAPPED: "an annotation has a category",
    Feature.FAILURES: "a picture without annotations counts as one without objects",
}
# Of a record's document what stands in COCO's own fields.
_ELSEWHERE = ("path", "status", "size", "regions")
# What COCO has no place for, by the names of a record's columns.
_OWN_COLUMNS = {
    "ids": "id", "prompt_ids": "prompt_id", "kept": "kept", "track_ids": "track_id",
    "attributes": "attributes", "sources": "source",
}  # fmt: skip
_NEEDED = ("ids", "boxes", "scores", "prompt_ids", "class_ids", "kept")


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoOptions:
    """Options of `CocoExporter`.

    Attributes:
        masks: `rle`, or `polygons`: one a part of the mask, along the edges of its pixels. It
            goes to each hole and back on lines of no width, so pycocotools fills it to the very
            mask.
        extras: Whether to write what COCO has no place for in keys named `groundplane`; without
            them it is lost, and counted.
        results: Whether to write `results.json` as well: the regions as COCO's evaluation takes
            results.
        images: What stands in `images/`: nothing, and pictures are named as they are in the
            source; or a link to each (a copy of what is no file of its own, such as a video's
            frame), or a copy, and they are named as they are there.
    """

    masks: Literal["rle", "polygons"] = "rle"
    extras: bool = True
    results: bool = False
    images: PictureChoice = "none"


class CocoExporter:
    """Writes `annotations/instances_default.json`, a COCO instances file, and reads it back.

    Args:
        options: See `CocoOptions`.
        device: Not used.
        dtype: Not used.
    """

    Options = CocoOptions

    def __init__(
        self, options: CocoOptions, *, device: str = "cpu", dtype: object | None = None
    ) -> None:
        self._options = options

    @property
    def holds(self) -> frozenset[Feature]:
        """Everything; without extras pictures, boxes, classes, scores and masks."""
        return frozenset(Feature) if self._options.extras else _PLAIN

    def export(self, records: Records, target: ExportTarget) -> LossReport:
        """Write all records.

        Raises:
            OutputError: If a file is there already or cannot be written.
            MediaError: If a picture is needed and cannot be read.
        """
        counter = LossCounter("coco", holds=self.holds, why=_WHY)
        name_of = _naming(records, self._options.images)
        with ExitStack() as stack:
            file = stack.enter_context(target.folder.open(_FILE))
            # Each list is kept apart until those before it are whole: in a file without a name.
            aside = {
                name: _Entries(stack.enter_context(tempfile.TemporaryFile(dir=target.folder.path)))
                for name in ("annotations", "unmapped", "failed", "results")
            }
            file.write(_head(target))
            writer = _Writer(self._options, counter, {"images": _Entries(file), **aside})
            for record in records:
                name = name_of(record)
                writer.write(record, name)
                if record.status == "done":
                    where, choice = f"images/{name}", self._options.images
                    put_picture(record, target, counter, name=where, choice=choice)
            file.write(b'\n],\n"annotations": [')
            aside["annotations"].append_to(file)
            file.write(b"\n]")
            if self._options.extras:
                self._write_own(file, target.classes, aside)
            file.write(b"\n}\n")
            if self._options.results:
                listed = stack.enter_context(target.folder.open(_RESULTS))
                listed.write(b"[")
                aside["results"].append_to(listed)
                listed.write(b"\n]\n")
        return counter.report()

    def load(self, folder: Path) -> tuple[ClassTable, Iterator[AnnotationRecord]]:
        """Read an export back that was written with extras; the whole file is held in memory.

        Raises:
            InputError: If it is malformed or was written without extras.
        """
        document = _read(folder / _FILE)
        own = _own_of(document, where=_FILE)
        if own.get("version") != _VERSION:
            raise InputError(
                f"{_FILE}: expected {_OWN}.version {_VERSION}, got {own.get('version')!r}; only "
                "what was written with extras, by this version, can be read back"
            )
        classes = read_classes_document(own.get("classes"), where=f"{_FILE}: {_OWN}.classes")
        return classes, iter(_records(document, own, classes=classes))

    def _write_own(self, file: IO[bytes], classes: ClassTable, aside: dict[str, _Entries]) -> None:
        listed = _json(_exact({"classes": classes_document(classes)}))
        file.write(b',\n"%s": {"version": %d, %s' % (_OWN.encode(), _VERSION, listed[1:-1]))
        for name in ("unmapped", "failed"):
            file.write(b',\n"%s": [' % name.encode())
            aside[name].append_to(file)
            file.write(b"\n]")
        file.write(b"}")


# Writing -------------------------------------------------------------------------------------


class _Entries:
    """A list in a file, an entry a line."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._between = b"\n"

    def add(self, entry: Mapping[str, Any]) -> None:
        self._file.write(self._between + _json(entry))
        self._between = b",\n"

    def append_to(self, file: IO[bytes]) -> None:
        self._file.seek(0)
        shutil.copyfileobj(self._file, file)


class _Writer:
    """Brings records to the lists of a COCO file; counts what does not go there."""

    def __init__(
        self, options: CocoOptions, counter: LossCounter, lists: Mapping[str, _Entries]
    ) -> None:
        self._options = options
        self._counter = counter
        self._lists = lists
        self._image_id = self._id = 0

    def write(self, record: AnnotationRecord, name: str) -> None:
        """Take a record, whose picture is called so in the file."""
        unmapped = int((record.regions.class_ids < 0).sum())
        gone = 0 if self._options.extras else unmapped
        self._counter.see(record, regions=len(record.regions) - gone)
        document = record_document(record)
        if record.status == "failed":
            if self._options.extras:
                self._lists["failed"].add(_exact(document))
            return
        self._image_id += 1
        width, height = record.size or (0, 0)
        image = {
            "id": self._image_id, "file_name": name, "width": width, "height": height,
        }  # fmt: skip
        if self._options.extras:
            own = {key: value for key, value in document.items() if key not in _ELSEWHERE}
            if name != record.path:
                own["path"] = record.path
            image[_OWN] = _exact(own)
        elif name != record.path:
            self._counter.lose("names of pictures", why="no Unicode, or another file's here")
        self._lists["images"].add(image)
        for row in range(len(record.regions)):
            self._region(record, document["regions"], row)

    def _region(self, record: AnnotationRecord, columns: dict[str, Any], row: int) -> None:
        self._id += 1
        x0, y0, x1, y1 = columns["boxes"][row]
        # Boxes are hundredths of a pixel, and so are their sides: what is lost in a float is not
        # theirs.
        sides = round(x1 - x0, 2), round(y1 - y0, 2)
        mask = record.regions.masks[row] if record.regions.masks else None
        class_id = columns["class_ids"][row]
        entry: dict[str, Any] = {"id": self._id, "image_id": self._image_id}
        if class_id >= 0:
            entry["category_id"] = class_id + 1
        entry |= {
            "bbox": [_short(number) for number in (x0, y0, *sides)],
            "area": _short(round(sides[0] * sides[1], 4)) if mask is None else area(mask),
            "iscrowd": 0,
            "segmentation": [] if mask is None else self._segmentation(mask),
            "score": _short(columns["scores"][row]),
        }
        if self._options.results and class_id >= 0:
            kept = ("image_id", "category_id", "bbox", "score", "segmentation")
            result = {key: entry[key] for key in kept if entry[key] != []}
            self._lists["results"].add(result)
        if self._options.extras:
            own = {
                name: columns[column][row]
                for column, name in _OWN_COLUMNS.items()
                if column in columns
            }
            if mask is not None and not entry["segmentation"]:
                own["mask"] = columns["masks"][row]
            entry[_OWN] = _exact(own)
        self._lists["annotations" if class_id >= 0 else "unmapped"].add(entry)

    def _segmentation(self, mask: RleMask) -> object:
        if self._options.masks == "rle":
            return {"size": list(mask.size), "counts": mask.counts.decode("ascii")}
        polygons = [bridged(part).ravel().tolist() for part in mask_parts(mask)]
        if not polygons and not self._options.extras:
            self._counter.lose("masks without pixels", why="they have no polygon")
        return polygons


def _naming(records: Records, images: PictureChoice) -> Callable[[AnnotationRecord], str]:
    """What pictures are called: as in the source, or as the files that are written here."""
    if images == "none":
        return lambda record: _plain(record.path)
    names = OutputNames(record.path for record in records)
    return lambda record: f"{names.of(record.path)}{picture_ending(record)}"


def _head(target: ExportTarget) -> bytes:
    categories = [
        {"id": i, "name": _plain(name), "supercategory": ""}
        for i, name in enumerate(target.classes.names, start=1)
    ]
    info = _json({"description": _plain(target.title)})
    listed = b",\n".join(map(_json, categories))
    return b'{\n"info": %s,\n"licenses": [],\n"categories": [\n%s\n],\n"images": [' % (info, listed)


def _exact(own: dict[str, Any]) -> dict[str, Any]:
    """Values as they are; with half a surrogate pair, which strict readers refuse, as a text."""
    try:
        json.dumps(own, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return {"exact": json.dumps(own)}
    return own


def _plain(text: str) -> str:
    """A text without half a surrogate pair, such as a name that is no UTF-8 on disk."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _short(number: float) -> float | int:
    return int(number) if number == int(number) else number


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(", ", ": "), allow_nan=False).encode("ascii")


# Reading back --------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name}: is not JSON that can be read: {error}") from error
    return _object(document, where=path.name)


def _records(
    document: dict[str, Any], own: dict[str, Any], *, classes: ClassTable
) -> list[AnnotationRecord]:
    """The records, in the order of their paths."""
    regions: dict[int, dict[int, dict[str, Any]]] = defaultdict(dict)
    for holder, name in ((document, "annotations"), (own, "unmapped")):
        for entry, where in _listed(holder, name):
            number = _whole(entry, "id", where=where)
            regions[_whole(entry, "image_id", where=where)][number] = _region(entry, where=where)
    records = []
    for image, where in _listed(document, "images"):
        found = regions.pop(_whole(image, "id", where=where), {})
        width, height = (_whole(image, side, where=where) for side in ("width", "height"))
        whole = {
            "path": image.get("file_name"),
            "status": "done",
            "size": [width, height],
            **_own_of(image, where=where),
            "regions": _columns([found[k] for k in sorted(found)], (height, width), where=where),
        }
        record = read_record_document(whole, where=where)
        for name, known in (("class_ids", classes.names), ("prompt_ids", classes.prompts)):
            ids = getattr(record.regions, name)
            if ((ids < -1) | (ids >= len(known))).any():
                raise InputError(f"{where}: {name}: expected ids below {len(known)}, got {ids}")
        records.append(record)
    if regions:
        raise InputError(f"{_FILE}: annotations: no image has the id {next(iter(regions))}")
    for entry, where in _listed(own, "failed"):
        records.append(read_record_document(_whole_of(entry, where=where), where=where))
    return sorted(records, key=lambda record: record.path)


def _region(entry: dict[str, Any], *, where: str) -> dict[str, Any]:
    """A region's values by the names of a record's columns, but for its mask."""
    box = entry.get("bbox")
    if not isinstance(box, list) or [type(n) in (int, float) for n in box] != [True] * 4:
        raise InputError(f"{where}: bbox: expected four numbers, got {ascii(box)[:80]}")
    x, y, width, height = box
    category = _whole(entry, "category_id", where=where) if "category_id" in entry else 0
    own = _own_of(entry, where=where)
    values = {column: own[name] for column, name in _OWN_COLUMNS.items() if name in own}
    return values | {
        "boxes": [x, y, round(x + width, 2), round(y + height, 2)],
        "scores": entry.get("score"),
        "class_ids": category - 1,
        "segmentation": own.get("mask", entry.get("segmentation")),
    }


def _columns(
    rows: list[dict[str, Any]], size: tuple[int, int], *, where: str
) -> dict[str, list[Any]]:
    """The columns of a picture's regions, as in a record's document."""
    names = dict.fromkeys([*_NEEDED, *(name for row in rows for name in row)])
    try:
        columns = {name: [row[name] for row in rows] for name in names if name != "segmentation"}
    except KeyError as error:
        raise InputError(f"{where}: an annotation lacks what gives {error}") from error
    try:
        masks = [_mask(row["segmentation"], size) for row in rows]
    except GroundplaneError as error:
        raise InputError(f"{where}: a segmentation: {error}") from error
    return {**columns, "masks": masks} if any(masks) else columns


def _mask(segmentation: object, size: tuple[int, int]) -> object:
    """A mask as in a record's document."""
    if not isinstance(segmentation, list) or not segmentation:
        return segmentation or None
    if not all(isinstance(part, list) for part in segmentation):
        raise InputError("expected a list of polygons or run lengths")
    mask = from_polygons(segmentation, size)
    return {"size": list(mask.size), "counts": mask.counts.decode("ascii")}


def _listed(holder: dict[str, Any], name: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The entries of a list and where each stands."""
    entries = holder.get(name)
    if not isinstance(entries, list):
        raise InputError(f"{_FILE}: {name}: expected a list, got {ascii(entries)[:80]}")
    for place, entry in enumerate(entries):
        where = f"{_FILE}: {name}[{place}]"
        yield _object(entry, where=where), where


def _own_of(entry: dict[str, Any], *, where: str) -> dict[str, Any]:
    return _whole_of(_object(entry.get(_OWN, {}), where=f"{where}: {_OWN}"), where=where)


def _whole_of(own: dict[str, Any], *, where: str) -> dict[str, Any]:
    """What `_exact` was given."""
    if "exact" not in own:
        return own
    try:
        return {**own, **_object(json.loads(own["exact"]), where=where)}
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: exact: is not JSON that can be read: {error}") from error


def _object(value: object, *, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, got {ascii(value)[:80]}")
    return value


def _whole(entry: dict[str, Any], name: str, *, where: str) -> int:
    value = entry.get(name)
    if type(value) is not int:
        raise InputError(f"{where}: {name}: expected a whole number, got {ascii(value)[:80]}")
    return value
