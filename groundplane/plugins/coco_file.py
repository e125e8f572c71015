"""The annotations of a COCO instances file, played back as an expert.

For pictures that people have annotated: what is in the file is the answer, with score 1. Format:
Lin et al., Microsoft COCO: Common Objects in Context, 2014.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
import torch

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import (
    DetectorError,
    GroundplaneError,
    InputError,
    did_you_mean,
)
from groundplane.core.image import FrameMap, Image
from groundplane.core.masks import RleMask, area, decode, encode, from_counts, from_polygons
from groundplane.core.regions import Regions
from groundplane.grounding.result_merging import join_notes
from groundplane.grounding.vocabulary import look_up

__all__ = ["CocoFileDetector", "CocoFileOptions"]

_WHO = "detector 'coco-file'"
# COCO rounds boxes to hundredths; more than a pixel outside belongs to another picture.
_EDGE = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoFileOptions:
    """Options of `CocoFileDetector`.

    Attributes:
        annotations: The COCO instances file (JSON, UTF-8).
        crowd: Whether to give the regions marked `iscrowd`, which stand for a group whose
            number is not known. The note says so wherever a phrase's regions hold one, or where
            one was left out.
        max_bytes: A larger file is refused.
    """

    annotations: Path
    crowd: bool = True
    max_bytes: int = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class _Annotation:
    """One annotated region; `place` is where it stands in the file."""

    place: str
    id: int
    category: str
    bbox: tuple[float, float, float, float]
    crowd: bool
    segmentation: object


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """A picture of the file; `size` is width and height in pixels."""

    name: str
    size: tuple[int, int]
    annotations: list[_Annotation] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """An annotation that answers a phrase."""

    annotation: _Annotation
    phrase: int


class CocoFileDetector:
    """Answers with the annotations of a COCO instances file, which is read once.

    A picture is found by its file name (folders in the file's `file_name` are ignored unless the
    picture's name is the very same) and must have the size that the file states. COCO's numbers
    refer to the stored pixels, so they are turned with the picture; where only the upright size
    agrees with the file, they are taken to refer to the upright picture.

    Regions are called `ann-<annotation id>`. One that answers several phrases of a request is
    given once for each, and from the second on its name ends in `/` and the phrase's index.

    Args:
        options: See `CocoFileOptions`.
        device: Where the regions' tensors are put.
        dtype: Not used: nothing is computed. Boxes and scores are float32.

    Raises:
        InputError: If the file is missing or malformed; the message names the field.
    """

    Options = CocoFileOptions
    capabilities = Capabilities(prompts=frozenset({"vocabulary"}), masks=True)

    def __init__(
        self, options: CocoFileOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self._crowd = options.crowd
        self._device = torch.device(device)
        self._file = options.annotations.name
        document = _read(options.annotations, max_bytes=options.max_bytes)
        self._categories, pictures = _Parser(self._file).parse(document)
        self._num_pictures = len(pictures)
        self._by_name: dict[str, list[_Picture]] = {}
        for picture in pictures:
            self._by_name.setdefault(_basename(picture.name), []).append(picture)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The names of the categories, in the file's order."""
        return self._categories

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order.

        Raises:
            DetectorError: If a picture is not in the file, not clearly one of it, or of another
                size.
            InputError: If a segmentation in the file is malformed.
        """
        return [self._answer(request) for request in requests]

    def _answer(self, request: DetectRequest) -> DetectResult:
        picture, frame = self._picture_of(request.image)
        rows: list[_Row] = []
        outcomes, notes, crowded = [], [], []
        for index, phrase in enumerate(request.phrases):
            labels, note = look_up(phrase, self._categories)
            least = request.thresholds[index] if request.thresholds else 0.0
            matching = [a for a in picture.annotations if a.category in labels]
            kept = [a for a in matching if least <= 1.0 and (self._crowd or not a.crowd)]
            notes += [note, _crowd_note(phrase, matching, kept=self._crowd)]
            if any(a.crowd for a in matching):
                crowded.append(index)
            # Nothing but a crowd that was left out is neither found nor absent.
            unsaid = not labels or (not kept and least <= 1.0 and bool(matching))
            outcomes.append(Outcome.CANNOT if unsaid else Outcome.FOUND if kept else Outcome.NONE)
            rows += [_Row(annotation=annotation, phrase=index) for annotation in kept]
        regions, note = self._regions(rows, request, picture=picture, frame=frame)
        told = join_notes([*notes, note])
        return DetectResult(
            regions=regions, outcomes=tuple(outcomes), note=told, uncounted=tuple(crowded)
        )

    def _picture_of(self, image: Image) -> tuple[_Picture, FrameMap]:
        """The picture of the file, and the way from the image's pixels to its pixels."""
        name = image.source.name
        named = self._by_name.get(_basename(name), [])
        named = [picture for picture in named if picture.name == name] or named
        if not named:
            raise DetectorError(
                f"{_WHO}: picture {name!r} is not among the {self._num_pictures} pictures of "
                f"{self._file!r}.{did_you_mean(name, self._by_name)}"
            )
        fitting = [(p, frame) for p in named if (frame := _frame_of(p, image)) is not None]
        if not fitting:
            sizes = " or ".join(sorted({f"{p.size[0]} x {p.size[1]}" for p in named}))
            raise DetectorError(
                f"{_WHO}: picture {name!r} has {image.size[0]} x {image.size[1]} pixels, but "
                f"{self._file!r} describes one of {sizes}; give the picture that was annotated"
            )
        if len(fitting) > 1:
            raise DetectorError(
                f"{_WHO}: picture {name!r} may be any of {len(fitting)} in {self._file!r}: "
                f"{', '.join(repr(p.name) for p, _ in fitting[:3])}; name it as the file does"
            )
        return fitting[0]

    def _regions(
        self,
        rows: Sequence[_Row],
        request: DetectRequest,
        *,
        picture: _Picture,
        frame: FrameMap,
    ) -> tuple[Regions, str]:
        """The columns of a result, and a note where there are no masks."""
        xywh = np.array([row.annotation.bbox for row in rows], dtype=np.float64).reshape(-1, 4)
        corner, size = xywh[:, :2], xywh[:, 2:]
        boxes = frame.inverse().boxes(np.concatenate([corner, corner + size], axis=1))
        boxes = boxes.clip(0, np.array(request.image.size * 2, dtype=np.float64))
        bare = [row.annotation for row in rows if not row.annotation.segmentation]
        masks = None
        if not bare:
            height_width = (picture.size[1], picture.size[0])
            filled = [self._filled(row.annotation, height_width) for row in rows]
            masks = tuple(_turned(mask, frame, request.image) for mask in filled)
        note = f"no masks: {bare[0].place} of {self._file!r} has no segmentation" if bare else ""
        regions = Regions(
            ids=_ids(rows),
            boxes=torch.tensor(boxes, dtype=torch.float32, device=self._device),
            scores=torch.ones(len(rows), device=self._device),
            phrases=request.phrases,
            phrase_ids=torch.tensor(
                [row.phrase for row in rows], dtype=torch.long, device=self._device
            ),
            image_size=request.image.size,
            masks=masks,
            sources=("coco-file",) * len(rows),
        )
        return regions, note

    def _filled(self, annotation: _Annotation, size: tuple[int, int]) -> RleMask:
        try:
            return _filled(annotation.segmentation, size)
        except (GroundplaneError, UnicodeEncodeError) as error:
            raise InputError(f"{self._file!r}: {annotation.place}.segmentation: {error}") from error


def _basename(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name


def _ids(rows: Sequence[_Row]) -> tuple[str, ...]:
    taken: dict[str, None] = {}
    for row in rows:
        name = f"ann-{row.annotation.id}"
        taken[f"{name}/{row.phrase}" if name in taken else name] = None
    return tuple(taken)


def _crowd_note(phrase: str, annotations: Sequence[_Annotation], *, kept: bool) -> str:
    num_crowds = sum(annotation.crowd for annotation in annotations)
    if not num_crowds:
        return ""
    covers = "covers" if num_crowds == 1 else "cover"
    which = f"{num_crowds} of the {len(annotations)} regions of {phrase!r} {covers} a group"
    return f"{which}, so there are more" if kept else f"{which} and are left out (crowd=False)"


# Frames and masks ----------------------------------------------------------------------------


def _frame_of(picture: _Picture, image: Image) -> FrameMap | None:
    """From the image's upright pixels to those the file speaks of; None if the sizes differ."""
    width, height = image.size
    stored = image.frame_map.boxes(np.array([[0.0, 0.0, width, height]]))[0]
    if np.allclose(stored, (0, 0, *picture.size), atol=0.5):
        return image.frame_map
    return FrameMap.identity() if image.size == picture.size else None


def _filled(segmentation: object, size: tuple[int, int]) -> RleMask:
    """A mask (height by width) from polygons, runs or compressed runs."""
    if not isinstance(segmentation, dict):
        return from_polygons([_numbers(part) for part in _expect(segmentation, list)], size)
    counts = segmentation.get("counts")
    stated = segmentation.get("size")
    if stated != list(size):
        raise InputError(f"expected the size {list(size)} (height, width), got {_shown(stated)}")
    if not isinstance(counts, str):
        return from_counts([_expect(run, int) for run in _expect(counts, list)], size)
    mask = RleMask(size=size, counts=counts.encode("ascii"))
    area(mask)  # reads the runs, so that broken ones are found here
    return mask


def _turned(mask: RleMask, frame: FrameMap, image: Image) -> RleMask:
    """Bring a mask to an image's pixels: each takes what lies at its centre."""
    matrix = frame.matrix
    if np.array_equal(matrix, FrameMap.identity().matrix):
        return mask
    straight, turned = matrix[[0, 1], [0, 1]], matrix[[0, 1], [1, 0]]
    if straight.any() and turned.any():
        raise DetectorError(
            f"{_WHO}: picture {image.source.name!r} is turned by no multiple of 90 degrees, "
            "so its masks cannot be brought to its pixels; give the picture as it is in its file"
        )
    width, height = image.size
    scale = straight if straight.any() else turned
    along_x, along_y = (width, height) if straight.any() else (height, width)
    columns = np.floor(scale[0] * (np.arange(along_x) + 0.5) + matrix[0, 2]).astype(np.int64)
    rows = np.floor(scale[1] * (np.arange(along_y) + 0.5) + matrix[1, 2]).astype(np.int64)
    stored = decode(mask)
    columns, rows = columns.clip(0, mask.size[1] - 1), rows.clip(0, mask.size[0] - 1)
    picked = stored[np.ix_(rows, columns)]
    return encode(picked if straight.any() else picked.T)


# Reading the file ----------------------------------------------------------------------------


def _read(path: Path, *, max_bytes: int) -> object:
    name = path.name
    try:
        if not path.is_file():
            raise InputError(f"{_WHO}: there is no file {str(path)!r}; expected COCO instances")
        num_bytes = path.stat().st_size
        if num_bytes > max_bytes:
            raise InputError(
                f"{name!r} has {num_bytes} bytes; expected at most {max_bytes} (option max_bytes)"
            )
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{name!r} cannot be read: {error.strerror}") from error
    try:
        document: object = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{name!r} is not UTF-8: byte {error.start} is wrong") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name!r} is not JSON that can be read: {error}") from error
    return document


class _Parser:
    """Checks a document field by field; every error names the file and the field."""

    def __init__(self, file: str) -> None:
        self._file = file

    def parse(self, document: object) -> tuple[tuple[str, ...], list[_Picture]]:
        """The names of the categories and the pictures with their annotations."""
        top = self._typed(document, dict, "top level")
        categories = {
            key: self._text(entry, "name", place)
            for key, entry, place in self._entries(top, "categories")
        }
        pictures = {key: self._picture(e, place) for key, e, place in self._entries(top, "images")}
        for key, entry, place in self._entries(top, "annotations"):
            picture = self._named(entry, "image_id", pictures, place)
            category = self._named(entry, "category_id", categories, place)
            picture.annotations.append(
                _Annotation(
                    place=place,
                    id=key,
                    category=category,
                    bbox=self._bbox(entry, place, picture.size),
                    crowd=self._crowd(entry, place),
                    segmentation=self._segmentation(entry, place),
                )
            )
        return tuple(dict.fromkeys(categories.values())), list(pictures.values())

    def _error(self, place: str, expected: str, got: object) -> InputError:
        return InputError(f"{self._file!r}: {place}: expected {expected}, got {_shown(got)}")

    def _typed(self, value: object, kind: type[T], place: str) -> T:
        # True and False are whole numbers to Python, but not in a file.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self._error(place, _WORDS[kind], value)
        return value

    def _entries(self, top: dict[str, Any], key: str) -> list[tuple[int, dict[str, Any], str]]:
        """Each entry of a list with its id and its place; ids are unique."""
        entries, seen = [], set()
        for index, value in enumerate(self._typed(top.get(key), list, key)):
            place = f"{key}[{index}]"
            entry = self._typed(value, dict, place)
            number = self._typed(entry.get("id"), int, f"{place}.id")
            if number in seen:
                raise self._error(f"{place}.id", "an id that is not used twice", number)
            seen.add(number)
            entries.append((number, entry, place))
        return entries

    def _text(self, entry: dict[str, Any], key: str, place: str) -> str:
        text = self._typed(entry.get(key), str, f"{place}.{key}")
        if not text.strip():
            raise self._error(f"{place}.{key}", "a text that is not empty", text)
        return text

    def _picture(self, entry: dict[str, Any], place: str) -> _Picture:
        sides = []
        for key in ("width", "height"):
            side = self._typed(entry.get(key), int, f"{place}.{key}")
            if not 1 <= side <= 100_000:
                raise self._error(f"{place}.{key}", "1 to 100000 pixels", side)
            sides.append(side)
        return _Picture(name=self._text(entry, "file_name", place), size=(sides[0], sides[1]))

    def _named(self, entry: dict[str, Any], key: str, known: dict[int, T], place: str) -> T:
        number = self._typed(entry.get(key), int, f"{place}.{key}")
        if number not in known:
            raise self._error(f"{place}.{key}", "an id that the file defines", number)
        return known[number]

    def _bbox(
        self, entry: dict[str, Any], place: str, size: tuple[int, int]
    ) -> tuple[float, float, float, float]:
        value, where = entry.get("bbox"), f"{place}.bbox"
        if not isinstance(value, list) or len(value) != 4 or not all(map(_is_finite, value)):
            raise self._error(where, "four finite numbers x, y, width, height", value)
        x, y, w, h = (float(number) for number in value)
        inside = (
            x >= -_EDGE and y >= -_EDGE and x + w <= size[0] + _EDGE and y + h <= size[1] + _EDGE
        )
        if w < 0 or h < 0 or not inside:
            raise self._error(where, f"a box within {size[0]} x {size[1]} pixels", value)
        return x, y, w, h

    def _crowd(self, entry: dict[str, Any], place: str) -> bool:
        value = entry.get("iscrowd", 0)
        if value not in (0, 1):
            raise self._error(f"{place}.iscrowd", "0 or 1", value)
        return bool(value)

    def _segmentation(self, entry: dict[str, Any], place: str) -> object:
        """Polygons or runs as they stand; they are read when somebody asks for them."""
        value = entry.get("segmentation")
        if value is not None and not isinstance(value, list | dict):
            raise self._error(f"{place}.segmentation", "polygons or run lengths", value)
        return value


_WORDS = {dict: "an object", list: "a list", int: "a whole number", str: "a text"}


def _expect(value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise InputError(f"expected {_WORDS[kind]}, got {_shown(value)}")
    return value


def _numbers(value: object) -> list[float]:
    entries = _expect(value, list)
    if strange := [entry for entry in entries if not _is_finite(entry)]:
        raise InputError(f"expected finite numbers, got {_shown(strange[0])}")
    return [float(entry) for entry in entries]


def _is_finite(value: object) -> bool:
    # A whole number can be too large to become a float.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e9 and math.isfinite(value)


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
