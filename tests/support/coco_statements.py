"""Statements about the photos of a COCO file, true ones and minimally changed false ones.

The truth comes from the boxes that people drew, by rules stricter than those that are tested:
left is left where the boxes share no column at all, above is above where they share no row.
Of a class with a crowd region nobody knows the number, so nothing is claimed of it but that it
is there.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from groundplane.core.lexicon import plural
from groundplane.spatial.nouns import with_article

__all__ = ["Photo", "Statement", "crowd_counts", "photos_of", "statements"]

Kind = Literal["exists", "count", "left or right", "above or below", "several claims"]
Box = tuple[float, float, float, float]

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
          "eleven", "twelve")  # fmt: skip
_THERE = (
    "There is {a}.", "There's {a} here.", "I can see {a} in the picture.", "The image shows {a}.",
    "In the photo, there is {a}.", "{A} is visible.", "{A} can be seen in the image.",
    "The photo contains {a}.",
)  # fmt: skip
_NOT_THERE = (
    "There is no {n}.", "There are no {p}.", "There isn't any {n}.", "No {p} are visible.",
    "The photo does not show {a}.", "I cannot see any {p}.", "There aren't any {p} in the image.",
)  # fmt: skip
_COUNTS = (
    "There are {k} {p}.", "The image shows {k} {p}.", "I can see {k} {p}.",
    "Exactly {k} {p} are visible.", "{K} {p} can be seen in the photo.",
    "In the picture, there are {k} {p}.",
)  # fmt: skip
_SIDES = (
    "The {x} is {r} the {y}.", "There is {ax} {r} {ay}.", "{AX} is {r} {ay}.",
    "The image shows {ax} {r} {ay}.", "The {x} can be seen {r} the {y}.",
    "There's {ax} that is {r} the {y}.",
)  # fmt: skip
_LEFT, _RIGHT = ("left of", "to the left of", "on the left side of"), (
    "right of", "to the right of", "on the right side of",
)  # fmt: skip
_ABOVE, _BELOW = ("above", "over"), ("below", "beneath", "under")


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A photo and what people marked in it: boxes by class, `xyxy` pixels."""

    name: str
    size: tuple[int, int]
    boxes: dict[str, tuple[Box, ...]]
    crowded: frozenset[str]
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A sentence about a photo, and whether it is true."""

    photo: str
    text: str
    kind: Kind
    true: bool


def photos_of(path: Path) -> tuple[Photo, ...]:
    """The photos of an instances file."""
    document = json.loads(path.read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in document["categories"]}
    boxes: dict[int, dict[str, list[Box]]] = defaultdict(lambda: defaultdict(list))
    crowded: dict[int, set[str]] = defaultdict(set)
    for annotation in document["annotations"]:
        name, image = names[annotation["category_id"]], annotation["image_id"]
        x, y, w, h = annotation["bbox"]
        boxes[image][name].append((x, y, x + w, y + h))
        if annotation["iscrowd"]:
            crowded[image].add(name)
    return tuple(
        Photo(
            name=image["file_name"],
            size=(image["width"], image["height"]),
            boxes={name: tuple(found) for name, found in boxes[image["id"]].items()},
            crowded=frozenset(crowded[image["id"]]),
            classes=tuple(names.values()),
        )
        for image in document["images"]
    )


def statements(photos: Sequence[Photo], *, seed: int = 0) -> list[Statement]:
    """Statements about photos: as many false as true ones, the same for the same seed."""
    rng = random.Random(seed)
    made: list[Statement] = []
    for photo in photos:
        made += _existence(photo, rng)
        made += _counts(photo, rng)
        made += _sides(photo, rng)
        made += _several(photo, rng)
    return made


def crowd_counts(photos: Sequence[Photo], *, seed: int = 0) -> list[Statement]:
    """Statements about how many there are of a class of which a part is a crowd: nobody knows."""
    rng = random.Random(seed)
    return [
        _counted(photo, name, len(boxes) + more, rng, true=False)
        for photo in photos
        for name, boxes in photo.boxes.items()
        if name in photo.crowded
        for more in (0, 1, 2)
    ]


def _existence(photo: Photo, rng: random.Random) -> Iterator[Statement]:
    absent = [name for name in photo.classes if name not in photo.boxes]
    for name in photo.boxes:
        other = rng.choice(absent)
        for word, there in ((name, True), (other, False)):
            for wordings, said in ((_THERE, True), (_THERE, True), (_NOT_THERE, False)):
                text = _filled(rng.choice(wordings), n=word, p=plural(word), a=with_article(word))
                yield Statement(photo=photo.name, text=text, kind="exists", true=there is said)


def _counts(photo: Photo, rng: random.Random) -> Iterator[Statement]:
    for name, boxes in photo.boxes.items():
        if name in photo.crowded:
            continue
        right = len(boxes)
        wrong = right + (rng.choice((-1, 1)) if right > 1 else 1)
        for count in (right, wrong, right, wrong):
            yield _counted(photo, name, count, rng, true=count == right)
        least = rng.choice(("at least", "no fewer than"))
        for count in (right, right + 1):
            text = f"There are {least} {_number(count, rng)} {plural(name)}."
            yield Statement(photo=photo.name, text=text, kind="count", true=count == right)


def _counted(photo: Photo, name: str, count: int, rng: random.Random, *, true: bool) -> Statement:
    word = _number(count, rng)
    wording = rng.choice(_COUNTS)
    if count == 1:
        wording = rng.choice(("There is only {k} {n}.", "The image shows exactly {k} {n}."))
    text = _filled(wording, k=word, n=name, p=plural(name))
    return Statement(photo=photo.name, text=text, kind="count", true=true)


def _number(count: int, rng: random.Random) -> str:
    return _WORDS[count] if count < len(_WORDS) and rng.random() < 0.7 else str(count)


def _sides(photo: Photo, rng: random.Random) -> Iterator[Statement]:
    """Pairs of which every box of one class lies on one side of every box of the other."""
    names = [name for name in photo.boxes if name not in photo.crowded]
    pairs = [(a, b) for a in names for b in names if a < b]
    for axis, kind, before, after in (
        (0, "left or right", _LEFT, _RIGHT), (1, "above or below", _ABOVE, _BELOW),
    ):  # fmt: skip
        parted = [pair for pair in pairs if _parted(photo, *pair, axis=axis)]
        for first, second in parted:
            for said in (before, after):
                for x, y in ((first, second), (second, first)):
                    true = (said is before) == (x == first)
                    single = len(photo.boxes[x]) == 1 == len(photo.boxes[y])
                    wording = rng.choice(_SIDES if single else _SIDES[1:4])
                    text = _filled(
                        wording, x=x, y=y, r=rng.choice(said), ax=with_article(x),
                        ay=with_article(y),
                    )  # fmt: skip
                    yield Statement(photo=photo.name, text=text, kind=kind, true=true)  # type: ignore[arg-type]


def _parted(photo: Photo, a: str, b: str, *, axis: int) -> bool:
    """Whether all of `a` ends before any of `b` begins; above, the same columns are shared too."""
    first, second = photo.boxes[a], photo.boxes[b]
    if max(box[axis + 2] for box in first) > min(box[axis] for box in second):
        return False
    return axis == 0 or all(_columns(p, q) for p in first for q in second)


def _columns(a: Box, b: Box) -> bool:
    shared = min(a[2], b[2]) - max(a[0], b[0])
    return shared >= 0.75 * min(a[2] - a[0], b[2] - b[0])


def _several(photo: Photo, rng: random.Random) -> Iterator[Statement]:
    """Two classes in one sentence; in the false one a single thing is wrong."""
    names = [name for name in photo.boxes if name not in photo.crowded]
    absent = [name for name in photo.classes if name not in photo.boxes]
    counts = Counter({name: len(photo.boxes[name]) for name in names})
    for a, b in itertools.pairwise(names):
        parts = [_some(name, counts[name], rng) for name in (a, b)]
        wrong = [parts[0], with_article(rng.choice(absent))]
        if counts[b] > 1 and rng.random() < 0.5:
            wrong[1] = _some(b, counts[b] + 1, rng)
        for told, true in ((parts, True), (wrong, False)):
            lead = "is" if told[0].startswith(("a ", "an ", "one ")) else "are"
            text = rng.choice((
                f"There {lead} {told[0]} and {told[1]}.",
                f"The image shows {told[0]} and {told[1]}.",
                f"I can see {told[0]}. There is also {told[1]}.",
                f"In the picture, there {lead} {told[0]}, as well as {told[1]}.",
            ))  # fmt: skip
            yield Statement(photo=photo.name, text=text, kind="several claims", true=true)


def _some(name: str, count: int, rng: random.Random) -> str:
    return with_article(name) if count == 1 else f"{_number(count, rng)} {plural(name)}"


def _filled(wording: str, **words: str) -> str:
    capital = {key.upper(): value[:1].upper() + value[1:] for key, value in words.items()}
    return wording.format(**words, **capital)
