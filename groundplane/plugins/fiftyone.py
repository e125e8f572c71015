"""FiftyOne: a dataset of pictures, and in `videos/` one of videos, without FiftyOne itself.

Boxes are relative to the upright picture. A mask fills its box in FiftyOne, so the box of a
region with a mask is the mask's own, and the region's stands in `box_pixels`. Frames count from
1 there, and from 0 as they are decoded.

The files are those of FiftyOneDataset without a version in `metadata.json`, which its importer
reads without a database's documents; they are written by the published rules and have not been
read with FiftyOne here, since it needs a MongoDB. Source: voxel51/fiftyone,
`fiftyone/utils/data/importers.py` (LegacyFiftyOneDatasetImporter) and `fiftyone/core/utils.py`
(serialize_numpy_array).
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any, Literal, Self

import numpy as np
from jaxtyping import UInt8

from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord, ClassTable, VideoFrame
from groundplane.core.errors import InputError
from groundplane.core.exporting import ExportTarget, Feature, LossCounter, LossReport, Records
from groundplane.core.files import picture_ending
from groundplane.core.masks import RleMask, bounding_box, decode
from groundplane.core.output_folder import OutputNames

__all__ = ["FiftyOneExporter", "FiftyOneOptions"]

_WHO = "exporter 'fiftyone'"
_OWN = ("filepath", "tags", "metadata", "id", "frames", "frame_number")


@dataclass(frozen=True, slots=True, kw_only=True)
class FiftyOneOptions:
    """Options of `FiftyOneExporter`.

    Attributes:
        root: The folder that the pictures' and videos' paths are relative to, as FiftyOne will
            see it; empty names pictures where they lie on this machine, and what cannot be
            located relative to the export's folder.
        images: Whether pictures are named where they lie, or copied to `data/`. Videos are named.
        field: Name of the field that holds the regions.

    Raises:
        InputError: If the field has no name that FiftyOne takes.
    """

    root: str = ""
    images: Literal["link", "copy"] = "link"
    field: str = "groundplane"

    def __post_init__(self) -> None:
        if not self.field.isidentifier() or self.field.startswith("_") or self.field in _OWN:
            raise InputError(
                f"{_WHO}: option field: expected a name of letters, digits and _, which FiftyOne "
                f"does not use itself, got {self.field!r}"
            )


class FiftyOneExporter:
    """Writes `metadata.json` and `samples.json`, and for videos the same below `videos/`.

    Args:
        options: See `FiftyOneOptions`.
        device: Not used.
        dtype: Not used.
    """

    Options = FiftyOneOptions
    holds = frozenset(Feature) - {Feature.FAILURES, Feature.OUTCOMES, Feature.TURNED}

    def __init__(
        self, options: FiftyOneOptions, *, device: str = "cpu", dtype: object | None = None
    ) -> None:
        self._options = options

    def export(self, records: Records, target: ExportTarget) -> LossReport:
        """Write all records.

        Raises:
            OutputError: If something cannot be written.
            MediaError: If pictures are copied and one cannot be read.
            InputError: If pictures are to be copied and cannot be had.
        """
        if self._options.images == "copy" and target.read is None:
            raise InputError(f"{_WHO}: option images: the pictures of these records cannot be had")
        counter = LossCounter("fiftyone", holds=self.holds)
        copies = records if self._options.images == "copy" else ()
        names = OutputNames(record.path for record in copies if record.frame is None)
        target.folder.write("metadata.json", _metadata("image", target))
        with ExitStack() as stack:
            samples = _List(stack.enter_context(target.folder.open("samples.json")), "samples")
            videos = _Videos(self._options, target, records)
            stack.enter_context(videos)
            for record in records:
                counter.see(record)
                if record.status == "failed" or record.size is None:
                    continue
                regions = _detections(record, target.classes, counter)
                if record.frame is not None:
                    videos.add(record, record.frame, regions)
                    continue
                path = self._path(record, target, names, counter)
                samples.add(_sample(record, record.size, path) | {self._options.field: regions})
            videos.finish()
            samples.end()
        return counter.report()

    def _path(
        self,
        record: AnnotationRecord,
        target: ExportTarget,
        names: OutputNames,
        counter: LossCounter,
    ) -> str:
        """Where FiftyOne finds a picture."""
        if self._options.images == "copy" and target.read is not None:
            data = target.read(record)
            path = f"data/{names.of(record.path)}.{picture_ending(data)}"
            target.folder.write(path, data)
            return path
        if self._options.root:
            return _joined(self._options.root, record.path)
        file = None if target.locate is None else target.locate(record)
        if file is None:
            counter.lose("places of pictures", why="give the option root, or images=copy")
        return _shown(record.path if file is None else str(file))


class _List:
    """A JSON object of one list, written entry by entry."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._between = file, b"\n"
        file.write(f'{{"{name}": ['.encode())

    def add(self, entry: dict[str, Any]) -> None:
        self._file.write(self._between + json.dumps(entry).encode())
        self._between = b",\n"

    def end(self) -> None:
        self._file.write(b"\n]}\n")


class _Videos:
    """The dataset of videos: a file of frames for each, which follow one another."""

    def __init__(self, options: FiftyOneOptions, target: ExportTarget, records: Records) -> None:
        self._options, self._target = options, target
        there = dict.fromkeys(record.frame.video for record in records if record.frame is not None)
        self._names = OutputNames(there)
        self._samples: list[dict[str, Any]] = []
        self._open: tuple[str, ExitStack, IO[bytes]] | None = None

    def add(self, record: AnnotationRecord, frame: VideoFrame, regions: dict[str, Any]) -> None:
        """Add a frame."""
        between = b",\n"
        if self._open is None or self._open[0] != frame.video:
            self._end()
            name = f"frames/{self._names.of(frame.video)}.json"
            stack = ExitStack()
            file = stack.enter_context(self._target.folder.open(f"videos/{name}"))
            self._open = (frame.video, stack, file)
            file.write(b'{"frames": {')
            path = _joined(self._options.root, frame.video)
            self._samples.append({"filepath": path, "tags": [], "frames": name})
            between = b"\n"
        number = frame.index + 1
        entry = {"frame_number": number, "time": frame.time, **_facts(record)}
        entry[self._options.field] = regions
        self._open[2].write(between + f'"{number}": {json.dumps(entry)}'.encode())

    def finish(self) -> None:
        """Write what lists the videos, if there are any."""
        self._end()
        if self._samples:
            self._target.folder.write("videos/metadata.json", _metadata("video", self._target))
            with self._target.folder.open("videos/samples.json") as file:
                samples = _List(file, "samples")
                for sample in self._samples:
                    samples.add(sample)
                samples.end()

    def _end(self) -> None:
        if self._open is not None:
            self._open[2].write(b"\n}}\n")
            self._open[1].close()
            self._open = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        # On an error the file of the video that is under way is taken away.
        if self._open is not None:
            self._open[1].__exit__(*error)


# Documents -------------------------------------------------------------------------------------


def _metadata(media: str, target: ExportTarget) -> bytes:
    info = {"name": target.title, "classes": list(target.classes.names)}
    document = {"media_type": media, "default_classes": list(target.classes.names), "info": info}
    return (json.dumps(document, indent=1) + "\n").encode()


def _sample(record: AnnotationRecord, size: tuple[int, int], path: str) -> dict[str, Any]:
    metadata = {"_cls": "ImageMetadata", "width": size[0], "height": size[1], "num_channels": 3}
    return {"filepath": path, "tags": [], "metadata": metadata, **_facts(record)}


def _facts(record: AnnotationRecord) -> dict[str, str]:
    names = ("content_hash", "caption", "note")
    return {name: _shown(getattr(record, name)) for name in names if getattr(record, name)}


def _joined(root: str, path: str) -> str:
    return _shown(f"{root.rstrip('/')}/{path}" if root else path)


def _shown(text: str) -> str:
    """A text as a database holds it: no half of a surrogate pair, no NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _detections(
    record: AnnotationRecord, classes: ClassTable, counter: LossCounter
) -> dict[str, Any]:
    size = record.size or (1, 1)
    rows = range(len(record.regions))
    found = [dict(_detection(record.regions, row, classes, counter, size=size)) for row in rows]
    return {"_cls": "Detections", "detections": found}


def _detection(
    regions: AnnotatedRegions,
    row: int,
    classes: ClassTable,
    counter: LossCounter,
    *,
    size: tuple[int, int],
) -> Iterator[tuple[str, Any]]:
    """The fields of a region."""
    class_id, prompt_id = int(regions.class_ids[row]), int(regions.prompt_ids[row])
    box: list[float] = regions.boxes[row].tolist()
    mask = regions.masks[row] if regions.masks else None
    yield "_cls", "Detection"
    yield "label", _shown(classes.names[class_id]) if class_id >= 0 else None
    if mask is not None:
        around = bounding_box(mask)
        if around[2] > around[0]:
            yield "mask", _binary(_crop(mask, around))
            yield "box_pixels", box
            box = [float(edge) for edge in around]
        else:
            counter.lose("masks without a pixel", why="FiftyOne's masks fill their boxes")
    (x0, y0, x1, y1), (width, height) = box, size
    yield "bounding_box", [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height]
    yield "confidence", float(regions.scores[row])
    if regions.track_ids is not None and regions.track_ids[row] >= 0:
        yield "index", int(regions.track_ids[row])
    yield "region", _shown(regions.ids[row])
    if prompt_id >= 0:
        yield "prompt", _shown(classes.prompts[prompt_id].text)
    if regions.sources and regions.sources[row]:
        yield "source", _shown(regions.sources[row])
    if regions.attributes and regions.attributes[row]:
        # Names of facts may hold signs that a database's fields may not.
        facts = regions.attributes[row].items()
        yield "facts", [f"{_shown(name)}: {_shown(str(value))}" for name, value in facts]


def _crop(mask: RleMask, box: tuple[int, int, int, int]) -> UInt8[np.ndarray, "h w"]:
    return decode(mask)[box[1] : box[3], box[0] : box[2]].astype(np.uint8)


def _binary(array: UInt8[np.ndarray, "h w"]) -> dict[str, Any]:
    """An array as FiftyOne keeps it: numpy's file, compressed, as a binary value of MongoDB."""
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    data = base64.b64encode(zlib.compress(file.getvalue())).decode("ascii")
    return {"$binary": {"base64": data, "subType": "00"}}
