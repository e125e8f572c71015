"""Records of annotation made up at random, as hostile as records can be.

The same seed gives the same records. Everything that may differ between formats occurs: names
that are no paths, class names of any script, boxes with fractions and without area, masks in
parts and with holes, some regions without one, tracks, facts, unmapped regions, pictures without
regions, failures, turned pictures and the frames of a video.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from PIL import Image as PILImage

from groundplane.core.annotation import (
    AnnotatedRegions,
    AnnotationPrompt,
    AnnotationRecord,
    ClassTable,
    Failure,
    VideoFrame,
    rounded_boxes,
    rounded_scores,
)
from groundplane.core.errors import MediaError
from groundplane.core.masks import RleMask, encode

__all__ = [
    "EXOTIC_CLASSES",
    "HOSTILE_NAMES",
    "GeneratedRecords",
    "random_classes",
    "random_records",
    "records_of_names",
]

EXOTIC_CLASSES = (
    "man", "woman", "car", "Car", "cargo ship", "t-shirt", "St. Bernard", "person: pedestrian",
    "no", "null", "1", "1.0", "~", "yes: no", "- dash", "# hash", "it's", 'a "quoted" one',
    "back\\slash", "a, b; c", "<b>&amp;</b>", "]]>", "=1+1", "two\nlines", "tab\there", "红色的车",
    "собака", "كلب", "🐕‍🦺", "e\u0301tui", "étui", "\u202eright to left", "{x: 1}", "[a]", "%s {}",
    "../up", "a" * 300, "\x1b[31mred", "\ufeffmark",
)  # fmt: skip

HOSTILE_NAMES = (
    "../up.jpg", "../../etc/passwd", "/etc/passwd", "/abs/a.jpg", "a/../../b.jpg", "a/./b.jpg",
    "a//b.jpg", "./here.jpg", "~root/x.jpg", "C:\\x.jpg", "a\\..\\b.jpg", "\\\\host\\share\\x.png",
    "con.jpg", "a/nul", "AUX.png", "..", ".", "...", ".hidden.jpg", " lead.jpg", "trail ", "trail.",
    "-rf", "--help.jpg", "$(touch x).jpg", "`touch x`.jpg", "; rm -rf x;.jpg", "|cat.jpg",
    "a'b\"c.jpg", "<script>.jpg", "&amp;.jpg", "]]>.jpg", "=cmd|' /C calc'!A0.jpg", "@sum.jpg",
    "new\nline.jpg", "carriage\rreturn.jpg", "tab\tname.jpg", "nul\0byte.jpg", "esc\x1b[31m.jpg",
    "\u202egpj.exe", "zero\u200bwidth.jpg", "line\u2028separator.jpg", "\ufeffmark.jpg",
    "e\u0301.jpg", "\u00e9.jpg", "红色的车/照片.jpg", "🐕‍🦺.jpg", "raw\udcff.jpg", "same.jpg",
    "same.png", "SAME.jpg", "walk.mp4#7", "walk.mp4#07", "x#12", "#", "%2e%2e/x.jpg", "%s{}.jpg",
    "file:///etc/passwd", "https://host/x.jpg?y=1#z", "labels/x.txt", "images/x.jpg", "data.yaml",
    "annotations.json", "loss.json", "renamed/0123456789abcdef.jpg", "n" * 255, "é" * 2048 + ".jpg",
    "/".join("d" * 200) + ".jpg", "one/" + "x" * 199 + ".jpg",
)  # fmt: skip

_TEXTS = ("", "red", "a, b", "two\nlines", 'say "no"', "=1+1", "<b>&", "雨の日", "🙂", "\\", "'")
_STAGES = ("read", "decode", "detect", "segment", "caption")
_TURNS = (
    (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    (-1.0, 0.0, 40.0, 0.0, -1.0, 30.0),
    (0.0, 1.0, 0.0, -1.0, 0.0, 40.0),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GeneratedRecords:
    """Records in the order of their paths, and what belongs to them.

    Attributes:
        classes: What their class and prompt ids point into.
        records: One a path; their arrays cannot be written to.
    """

    classes: ClassTable
    records: tuple[AnnotationRecord, ...]

    def __iter__(self) -> Iterator[AnnotationRecord]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def read(self, record: AnnotationRecord) -> bytes:
        """A PNG of the record's size in one colour that its path gives.

        Raises:
            MediaError: If the record is one of a failure.
        """
        if record.size is None:
            raise MediaError(f"{record.path!r} cannot be read")
        digest = hashlib.sha256(record.path.encode("utf-8", "surrogatepass")).digest()
        buffer = io.BytesIO()
        PILImage.new("RGB", record.size, tuple(digest[:3])).save(buffer, "PNG")
        return buffer.getvalue()


def random_records(
    seed: int, *, num: int = 6, classes: ClassTable | None = None, hostile: bool = True
) -> GeneratedRecords:
    """Make up records; the same seed gives the same.

    Args:
        seed: Any whole number from 0.
        num: How many pictures.
        classes: Their classes; None makes them up as well.
        hostile: Whether names may be anything; otherwise they are plain ones.

    Examples:
        >>> records = random_records(3, num=4)
        >>> len(records), [a.path for a in records] == [b.path for b in random_records(3, num=4)]
        (4, True)
        >>> len(random_records(3, num=0))
        0
    """
    rng = np.random.default_rng(seed)
    table = random_classes(seed) if classes is None else classes
    paths = _paths(rng, num, hostile=hostile)
    records = [_record(rng, path, table) for path in paths]
    records.sort(key=lambda record: record.path)
    return GeneratedRecords(classes=table, records=tuple(records))


def records_of_names(names: tuple[str, ...] = HOSTILE_NAMES) -> GeneratedRecords:
    """One picture of each name, with one region.

    Examples:
        >>> len(records_of_names()) == len(HOSTILE_NAMES)
        True
        >>> len(records_of_names(()))
        0
    """
    table = ClassTable(names=("dog",), prompts=(AnnotationPrompt(text="dog", class_id=0),))
    rng = np.random.default_rng(0)
    records = [_done(rng, name, table, num=1) for name in sorted(names)]
    return GeneratedRecords(classes=table, records=tuple(records))


def random_classes(seed: int) -> ClassTable:
    """Make up classes: one, a few, exotic ones, or 1,203 of them.

    Examples:
        >>> len(random_classes(0).names), len(random_classes(1).names)
        (1203, 1)
    """
    rng = np.random.default_rng((seed, 1))
    if seed % 50 == 0:  # rarely, since each takes its time
        names = [f"thing {i}" for i in range(1203)]
    elif seed % 10 == 1:
        names = ["dog"]
    else:
        most = len(EXOTIC_CLASSES)
        order = rng.permutation(most)[: int(rng.integers(1, most + 1))]
        names = [EXOTIC_CLASSES[i] for i in order.tolist()]
    prompts = [_prompt(rng, name, i) for i, name in enumerate(names)]
    if rng.random() < 0.7:
        prompts += [_prompt(rng, f"another {i}", i) for i in range(min(3, len(names)))]
    if rng.random() < 0.5:
        prompts.append(_prompt(rng, "what has no class", -1))
    return ClassTable(names=tuple(names), prompts=tuple(prompts))


def _prompt(rng: np.random.Generator, text: str, class_id: int) -> AnnotationPrompt:
    threshold = round(float(rng.random()), 3) if rng.random() < 0.3 else None
    return AnnotationPrompt(text=text, class_id=class_id, threshold=threshold)


def _paths(rng: np.random.Generator, num: int, *, hostile: bool) -> list[str]:
    """So many names, each once: plain ones, frames of a video, and others."""
    frames = [f"clips/walk.mp4#{3 * i}" for i in range(int(rng.integers(0, 4)))]
    names = [*HOSTILE_NAMES] if hostile else []
    odd = [names[i] for i in rng.permutation(len(names))[: num // 2].tolist()]
    plain = [f"{'ab'[i % 2]}/{i // 2}.jpg" for i in range(num)]
    return list(dict.fromkeys([*frames, *odd, *plain]))[:num]


def _record(rng: np.random.Generator, path: str, table: ClassTable) -> AnnotationRecord:
    if rng.random() < 0.15:
        read = rng.random() < 0.5
        return AnnotationRecord(
            path=path,
            content_hash=_hash(rng) if read else "",
            status="failed",
            size=(20, 10) if read else None,
            failure=Failure(stage=_STAGES[rng.integers(len(_STAGES))], message=_text(rng)),
        )
    return _done(rng, path, table, num=int(rng.integers(0, 6)) if rng.random() < 0.8 else 0)


def _done(rng: np.random.Generator, path: str, table: ClassTable, *, num: int) -> AnnotationRecord:
    size = (int(rng.integers(1, 64)), int(rng.integers(1, 48)))
    if rng.random() < 0.1:
        size = [(1, 1), (1, 700), (20_000, 3)][int(rng.integers(3))]
    video, mark, index = path.rpartition("#")
    frame = None
    if mark and video.endswith(".mp4") and str(int(index)) == index:
        frame = VideoFrame(video=video, index=int(index), time=int(index) / 29.97)
    return AnnotationRecord(
        path=path,
        content_hash=_hash(rng),
        status="done",
        size=size,
        to_stored=_TURNS[int(rng.integers(3))] if rng.random() < 0.3 else _TURNS[0],
        regions=_regions(rng, num, size, table),
        outcomes=tuple(
            ("found", "none", "cannot")[i] for i in rng.integers(0, 3, len(table.prompts)).tolist()
        ),
        frame=frame,
        caption=_text(rng) if rng.random() < 0.3 else "",
        note=_text(rng) if rng.random() < 0.2 else "",
    )


def _regions(
    rng: np.random.Generator, num: int, size: tuple[int, int], table: ClassTable
) -> AnnotatedRegions:
    if not num:
        return AnnotatedRegions.empty()
    corners = np.sort(rng.random((num, 2, 2)) * np.array(size), axis=1)
    boxes = corners.reshape(num, 4)
    whole = rng.random(num) < 0.3
    boxes[whole] = np.floor(boxes[whole])
    prompt_ids = rng.integers(-1, len(table.prompts), num)
    class_ids = np.array([table.prompts[i].class_id if i >= 0 else -1 for i in prompt_ids.tolist()])
    columns = {
        "boxes": rounded_boxes(boxes),
        "scores": rounded_scores(rng.random(num)),
        "prompt_ids": prompt_ids,
        "class_ids": class_ids,
        "kept": rng.random(num) < 0.8,
        "track_ids": np.where(rng.random(num) < 0.7, rng.integers(0, 2**40, num), -1),
    }
    for column in columns.values():
        column.setflags(write=False)
    if rng.random() < 0.5:
        del columns["track_ids"]
    ids = [f"r{i}" if rng.random() < 0.8 else f"{_text(rng)} {i}" for i in range(num)]
    return AnnotatedRegions(
        ids=tuple(ids),
        masks=_masks(rng, num, size) if rng.random() < 0.7 else None,
        attributes=tuple(_facts(rng) for _ in ids) if rng.random() < 0.5 else (),
        sources=tuple(_text(rng) for _ in ids) if rng.random() < 0.7 else (),
        **columns,
    )


def _masks(
    rng: np.random.Generator, num: int, size: tuple[int, int]
) -> tuple[RleMask | None, ...] | None:
    masks = tuple(encode(_mask(rng, size)) if rng.random() < 0.8 else None for _ in range(num))
    return masks if any(masks) else None


def _mask(rng: np.random.Generator, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Rectangles joined and cut out, noise, nothing or all."""
    width, height = size
    kind = rng.random()
    if kind < 0.1:
        return np.full((height, width), bool(rng.random() < 0.5))
    if kind < 0.3:
        return rng.random((height, width)) < rng.random()
    mask = np.zeros((height, width), dtype=np.bool_)
    for filled in (True, True, True, False, False, True):
        (x0, x1), (y0, y1) = (np.sort(rng.integers(0, n + 1, 2)).tolist() for n in size)
        if rng.random() < 0.7:
            mask[y0:y1, x0:x1] = filled
    return mask


def _facts(rng: np.random.Generator) -> dict[str, str | float | int | bool]:
    known: dict[str, str | float | int | bool] = {
        "colour": _text(rng),
        "caption": _text(rng),
        "two\nlines = x": _text(rng),
        "small": float(rng.random()) * 1e-9,
        "number": int(rng.integers(-(2**53), 2**53)),
        "occluded": bool(rng.random() < 0.5),
        "颜色": "红",
    }
    return {key: value for key, value in known.items() if rng.random() < 0.4}


def _text(rng: np.random.Generator) -> str:
    return _TEXTS[int(rng.integers(len(_TEXTS)))]


def _hash(rng: np.random.Generator) -> str:
    return hashlib.sha256(rng.bytes(8)).hexdigest()
