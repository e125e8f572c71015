"""CVAT XML 1.1: a file for all pictures, and one for each video.

Corners are in pixels of the upright picture, as CVAT shows it. In `annotations.xml` a region with
a mask is a mask, or polygons; in a video's file regions are boxes on tracks, as CVAT keeps no
masks on tracks. Frames count from 0 as they are decoded. `labels.json` is for the raw editor of a
project's labels: CVAT drops attributes that its labels do not declare.

Source: https://docs.cvat.ai/docs/manual/advanced/xml_format, and cvat-ai/cvat, where `rle` is
written: run lengths of a mask's crop, row by row, zeros first.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, Literal
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord, ClassTable
from groundplane.core.exporting import ExportTarget, Feature, LossCounter, LossReport, Records
from groundplane.core.mask_outlines import bridged, mask_parts
from groundplane.core.masks import RleMask, bounding_box, decode
from groundplane.core.output_folder import OutputNames
from groundplane.core.xml_text import distinct_names, xml_plain

__all__ = ["CvatExporter", "CvatOptions"]

_OWN = ("score", "prompt", "found by", "region", "track")
# What readers of the format put beside the attributes.
_CVATS = ("occluded", "outside", "keyframe", "track_id", "z_order", "rotation", "source")
_LONGEST_LABEL = 64
_LACKS = frozenset(
    {
        Feature.CAPTIONS, Feature.FAILURES, Feature.HASHES, Feature.NOTES, Feature.OUTCOMES,
        Feature.TIMES, Feature.TURNED, Feature.UNMAPPED,
    }
)  # fmt: skip
_FACTS = frozenset({Feature.SCORES, Feature.PROMPTS, Feature.SOURCES, Feature.IDS})
_MASKS = frozenset({Feature.MASKS, Feature.MASK_PARTS, Feature.MASK_HOLES})


@dataclass(frozen=True, slots=True, kw_only=True)
class CvatOptions:
    """Options of `CvatExporter`.

    Attributes:
        masks: `rle`: a region with a mask is a mask; `polygons`: a polygon for each part, which
            belong to one group and go to holes and back on lines of no width; `none`: a box.
        facts: Whether the score, the prompt, who found a region, its id and its further facts
            go out as attributes of text.
    """

    masks: Literal["rle", "polygons", "none"] = "rle"
    facts: bool = True


class CvatExporter:
    """Writes `annotations.xml`, `labels.json`, and `videos/NAME.xml` for each video.

    Args:
        options: See `CvatOptions`.
        device: Not used.
        dtype: Not used.
    """

    Options = CvatOptions

    def __init__(
        self, options: CvatOptions, *, device: str = "cpu", dtype: object | None = None
    ) -> None:
        self._options = options

    @property
    def holds(self) -> frozenset[Feature]:
        """Boxes, masks, tracks and what attributes can say."""
        lacks = set(_LACKS)
        if not self._options.facts:
            lacks |= {*_FACTS, Feature.ATTRIBUTES, Feature.TRACKS}
        if self._options.masks == "none":
            lacks |= _MASKS
        return frozenset(Feature) - lacks

    def export(self, records: Records, target: ExportTarget) -> LossReport:
        """Write all records, in two passes: the head of a file counts what comes after it.

        Raises:
            OutputError: If something cannot be written.
        """
        counter = LossCounter("cvat", holds=self.holds)
        survey = _Survey()
        for record in records:
            survey.see(record)
        maker = _Maker(self._options, target.classes, survey, counter)
        labels = [{"name": n, "attributes": maker.declared()} for n in maker.labels]
        target.folder.write(
            "labels.json", (json.dumps(labels, ensure_ascii=False, indent=1) + "\n").encode()
        )
        names = OutputNames(survey.videos)
        video: _Video | None = None
        with ExitStack() as stack:
            file = stack.enter_context(target.folder.open("annotations.xml"))
            file.write(maker.head(target.title, size=survey.pictures))
            number = 0
            for record in records:
                counter.see(record, regions=int((record.regions.class_ids >= 0).sum()))
                if video is not None and (not record.frame or record.frame.video != video.name):
                    video.finish(target, maker, names)
                    video = None
                if record.status == "failed" or record.size is None:
                    continue
                if record.frame is None:
                    file.write(maker.image(record, number=number, size=record.size))
                    number += 1
                    continue
                if video is None:
                    spool = stack.enter_context(tempfile.TemporaryFile(dir=target.folder.path))
                    video = _Video(name=record.frame.video, size=record.size, spool=spool)
                video.add(record, maker, counter)
            if video is not None:
                video.finish(target, maker, names)
            file.write(b"</annotations>\n")
        return counter.report()


class _Survey:
    """What the first pass learns."""

    def __init__(self) -> None:
        self.pictures = 0
        self.videos: dict[str, None] = {}
        self.facts: dict[str, None] = {}

    def see(self, record: AnnotationRecord) -> None:
        if record.status == "failed":
            return
        if record.frame is None:
            self.pictures += 1
        else:
            self.videos[record.frame.video] = None
        for facts in record.regions.attributes:
            self.facts |= dict.fromkeys(facts)


class _Maker:
    """Pieces of XML."""

    def __init__(
        self, options: CvatOptions, classes: ClassTable, survey: _Survey, counter: LossCounter
    ) -> None:
        self._options, self._classes, self._counter = options, classes, counter
        self.masks = options.masks != "none"
        self.labels = distinct_names(classes.names, xml_plain)
        changed = sum(map(str.__ne__, self.labels, classes.names))
        if changed:
            counter.lose("names of classes that XML cannot hold", changed, why="see labels.json")
        long = sum(len(label) > _LONGEST_LABEL for label in self.labels)
        if long:
            counter.lose("names of classes that CVAT refuses", long, why="over 64 signs")
        facts = list(survey.facts) if options.facts else []
        own = {*_OWN, *_CVATS}
        plain = distinct_names(
            facts, lambda name: f"fact {name}" if name in own else xml_plain(name)
        )
        self._facts = dict(zip(facts, plain, strict=True))

    def declared(self) -> list[dict[str, object]]:
        """The attributes of every label, as CVAT's raw editor takes them."""
        if not self._options.facts:
            return []
        usual = {"input_type": "text", "mutable": True, "default_value": "", "values": [""]}
        return [{"name": name, **usual} for name in (*_OWN, *self._facts.values())]

    def head(self, title: str, *, size: int, video: tuple[int, int] | None = None) -> bytes:
        """The beginning of a file; a video's frames have one size."""
        attributes = "".join(
            f"<attribute><name>{_text(str(each['name']))}</name><mutable>True</mutable>"
            "<input_type>text</input_type><default_value></default_value><values></values>"
            "</attribute>\n"
            for each in self.declared()
        )
        mode = "annotation" if video is None else "interpolation"
        lines = [
            '<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "<version>1.1</version>",
            "<meta><task>", f"<name>{_text(title)}</name>", f"<size>{size}</size>",
            f"<mode>{mode}</mode>", "<overlap>0</overlap>", "<flipped>False</flipped>", "<labels>",
        ]  # fmt: skip
        for label in self.labels:
            lines.append(f"<label><name>{_text(label)}</name>")
            lines.append(f"<attributes>\n{attributes}</attributes></label>")
        lines.append("</labels>")
        if video is not None:
            size_of = f"<width>{video[0]}</width><height>{video[1]}</height>"
            lines.append(f"<original_size>{size_of}</original_size>")
        return "\n".join([*lines, "</task></meta>", ""]).encode()

    def image(self, record: AnnotationRecord, *, number: int, size: tuple[int, int]) -> bytes:
        """A picture with its regions."""
        self.check_name(record.path)
        name = {"name": record.path, "width": size[0], "height": size[1]}
        lines = [f"<image{_pairs({'id': number, **name})}>"]
        for row, class_id in enumerate(record.regions.class_ids.tolist()):
            if class_id >= 0:
                lines += self._shapes(record.regions, row, label=self.labels[class_id])
        return "\n".join([*lines, "</image>", ""]).encode()

    def check_name(self, path: str) -> None:
        """Count a path that cannot go out as it is."""
        if xml_plain(path) != path:
            self._counter.lose("names of pictures that XML cannot hold", why="U+FFFD instead")

    def _shapes(self, regions: AnnotatedRegions, row: int, *, label: str) -> Iterator[str]:
        mask = regions.masks[row] if regions.masks else None
        whole = {"label": label, "source": "auto", "occluded": 0}
        if mask is None or self._options.masks == "none":
            yield self.element("box", {**whole, **_box(regions, row)}, regions, row)
            return
        self._counter.lose("boxes of regions with masks", why="the mask's own box instead")
        if self._options.masks == "rle":
            yield self.element("mask", {**whole, **_rle(mask)}, regions, row)
            return
        rings = [bridged(part) for part in mask_parts(mask)]
        if not rings:
            self._counter.lose("masks without a pixel", why="a box instead")
            yield self.element("box", {**whole, **_box(regions, row)}, regions, row)
        group = {"group_id": row + 1} if len(rings) > 1 else {}
        for ring in rings:
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in ring.tolist())
            given = {**whole, "points": points, **group}
            yield self.element("polygon", given, regions, row)

    def element(
        self, tag: str, given: Mapping[str, object], regions: AnnotatedRegions, row: int
    ) -> str:
        """A shape with its attributes."""
        inner = "".join(
            f"<attribute name={_quoted(name)}>{_text(value)}</attribute>\n"
            for name, value in self._attributes(regions, row)
        )
        return f"<{tag}{_pairs(given)}>\n{inner}</{tag}>"

    def _attributes(self, regions: AnnotatedRegions, row: int) -> Iterator[tuple[str, str]]:
        if not self._options.facts:
            return
        yield "score", f"{regions.scores[row]:.4f}"
        prompt = int(regions.prompt_ids[row])
        yield "prompt", self._classes.prompts[prompt].text if prompt >= 0 else ""
        yield "found by", regions.sources[row] if regions.sources else ""
        yield "region", regions.ids[row]
        track = -1 if regions.track_ids is None else int(regions.track_ids[row])
        yield "track", str(track) if track >= 0 else ""
        for name, value in (regions.attributes[row] if regions.attributes else {}).items():
            yield self._facts[name], str(value).lower() if isinstance(value, bool) else str(value)


# Videos ----------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True, eq=False)
class _Video:
    """The regions of one video, of which only places in a file without a name are held.

    Attributes:
        tracks: For each track and class the frames, and where its boxes lie in the spool.
        frames: Those that were looked at.
    """

    name: str
    size: tuple[int, int]
    spool: IO[bytes]
    tracks: dict[tuple[int, int], dict[int, tuple[int, int]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    frames: list[int] = field(default_factory=list)
    _alone: int = 0

    def add(self, record: AnnotationRecord, maker: _Maker, counter: LossCounter) -> None:
        """Add the regions of a frame."""
        if record.frame is None:
            return
        index, regions = record.frame.index, record.regions
        self.frames.append(index)
        for row, class_id in enumerate(regions.class_ids.tolist()):
            if class_id < 0:
                continue
            if maker.masks and regions.masks and regions.masks[row] is not None:
                counter.lose("masks in videos", why="tracks of CVAT hold none; boxes instead")
            track = -1 if regions.track_ids is None else int(regions.track_ids[row])
            if track < 0 or index in self.tracks[track, class_id]:
                self._alone -= 1  # a track of one frame, of its own
                track = self._alone
            given = {"frame": index, "keyframe": 1, "outside": 0, "occluded": 0}
            piece = maker.element("box", {**given, **_box(regions, row)}, regions, row).encode()
            self.tracks[track, class_id][index] = (self.spool.tell(), len(piece))
            self.spool.write(piece)

    def finish(self, target: ExportTarget, maker: _Maker, names: OutputNames) -> None:
        """Write the video's file."""
        self.frames.sort()
        maker.check_name(self.name)
        after = dict(zip(self.frames, self.frames[1:], strict=False))
        with target.folder.open(f"videos/{names.of(self.name)}.xml") as file:
            file.write(maker.head(self.name, size=self.frames[-1] + 1, video=self.size))
            # Those of one frame come last, in the order in which they were seen.
            order = sorted(self.tracks, key=lambda key: (key[0] < 0, abs(key[0]), key[1]))
            for number, key in enumerate(order):
                given = {"id": number, "label": maker.labels[key[1]], "source": "auto"}
                file.write(f"<track{_pairs(given)}>\n".encode())
                for piece in self._pieces(self.tracks[key], after):
                    file.write(piece + b"\n")
                file.write(b"</track>\n")
            file.write(b"</annotations>\n")
        self.spool.close()

    def _pieces(
        self, places: Mapping[int, tuple[int, int]], after: Mapping[int, int]
    ) -> Iterator[bytes]:
        """A track's boxes by frame; where the next frame has none, the last again, as outside."""
        for index in sorted(places):
            place, length = places[index]
            self.spool.seek(place)
            piece = self.spool.read(length)
            yield piece
            following = after.get(index)
            if following is not None and following not in places:
                was = f'frame="{index}" keyframe="1" outside="0"'.encode()
                now = f'frame="{following}" keyframe="1" outside="1"'.encode()
                yield piece.replace(was, now, 1)


# Values ----------------------------------------------------------------------------------------


def _box(regions: AnnotatedRegions, row: int) -> dict[str, str]:
    edges = [f"{edge:.2f}" for edge in regions.boxes[row].tolist()]
    return dict(zip(("xtl", "ytl", "xbr", "ybr"), edges, strict=True))


def _rle(mask: RleMask) -> dict[str, object]:
    """The run lengths of a mask's crop, and where it lies; a mask without a pixel has one zero."""
    left, top, right, bottom = bounding_box(mask)
    if right == left:
        return {"rle": "1", "left": 0, "top": 0, "width": 1, "height": 1}
    flat = decode(mask)[top:bottom, left:right].ravel()
    turns = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(turns, prepend=0, append=flat.size).tolist()
    runs = [0, *runs] if flat[0] else runs
    place = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    return {"rle": ", ".join(map(str, runs)), **place}


def _pairs(given: Mapping[str, object]) -> str:
    return "".join(f" {name}={_quoted(str(value))}" for name, value in given.items())


def _quoted(text: str) -> str:
    return quoteattr(xml_plain(text))


def _text(text: str) -> str:
    return escape(xml_plain(text), {"\r": "&#13;"})
