"""In what the records of two runs differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Int64

from groundplane.annotation.codec import RecordHead
from groundplane.annotation.listing import order_key
from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord, ClassTable
from groundplane.core.errors import InputError
from groundplane.core.files import one_line
from groundplane.grounding.near_pairs import BoxIndex, areas, shared_areas

__all__ = ["ClassChange", "PictureChange", "RunDifference", "compare_records"]

_SHOWN = 20
Column = tuple[Iterable[AnnotationRecord], ClassTable]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassChange:
    """What became of the regions of a class, in the pictures that both runs have.

    Attributes:
        same: Regions with the same box and score.
        moved: Those that overlap one of before, but with another box.
        rescored: Those with the same box but another score.
        added: Those that no region of before is like.
        removed: Regions of before that none is like.
    """

    same: int = 0
    moved: int = 0
    rescored: int = 0
    added: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureChange:
    """A picture that is not the same in both.

    Attributes:
        path: Its path.
        what: `only old`, `only new`, `status`, `content` (the file is another one) or `regions`.
        detail: In words.
    """

    path: str
    what: Literal["only old", "only new", "status", "content", "regions"]
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDifference:
    """In what two runs differ.

    Attributes:
        same: Pictures that are the same in both.
        counts: Of the others, how many by what changed.
        pictures: The first of them, in the order of their paths.
        classes: By the class's name what became of its regions; an empty name for none.
    """

    same: int
    counts: Mapping[str, int]
    pictures: tuple[PictureChange, ...]
    classes: Mapping[str, ClassChange]

    @property
    def is_none(self) -> bool:
        """Whether there is none."""
        return not self.counts

    def record(self) -> dict[str, Any]:
        """The difference as plain JSON values."""
        names = ("same", "moved", "rescored", "added", "removed")
        return {
            "same": self.same,
            "counts": dict(self.counts),
            "pictures": [
                {"path": p.path, "what": p.what, "detail": p.detail} for p in self.pictures
            ],
            "classes": {
                name: {key: getattr(change, key) for key in names}
                for name, change in self.classes.items()
            },
        }

    def lines(self) -> list[str]:
        """The difference for people."""
        told = [f"{self.same} pictures are the same"]
        told += [f"{count} pictures differ: {what}" for what, count in self.counts.items()]
        for name, change in self.classes.items():
            if change != ClassChange(same=change.same):
                told.append(
                    f"{one_line(name) if name else '(no class)'}: {change.added} added, "
                    f"{change.removed} removed, {change.moved} moved, {change.rescored} rescored, "
                    f"{change.same} the same"
                )
        for picture in self.pictures:
            detail = f" ({picture.detail})" if picture.detail else ""
            told.append(f"{one_line(picture.path)}: {picture.what}{detail}")
        more = sum(self.counts.values()) - len(self.pictures)
        return [*told, f"and {more} more"] if more else told


def compare_records(
    old: Column, new: Column, *, least: float = 0.5, shown: int = _SHOWN
) -> RunDifference:
    """Compare records picture by picture and region by region.

    Args:
        old: Records in the order of `Run.records`, and their classes; held one at a time.
        new: The others. Classes are matched by name.
        least: Two regions of one class are one thing where their intersection over union is
            this or more; the best pairs first.
        shown: How many changed pictures are named.

    Raises:
        InputError: If `least` is not above 0 and at most 1.
    """
    if not 0 < least <= 1:
        raise InputError(f"diff: expected an overlap above 0 and at most 1, got {least}")
    counting = _Counting(old[1], new[1], least)
    pictures: list[PictureChange] = []
    for before, after in _paired(old[0], new[0]):
        change = counting.see(before, after)
        if change is not None and len(pictures) < shown:
            pictures.append(change)
    return RunDifference(
        same=counting.same,
        counts=dict(sorted(counting.counts.items())),
        pictures=tuple(pictures),
        classes=counting.changes(),
    )


def _paired(
    old: Iterable[AnnotationRecord], new: Iterable[AnnotationRecord]
) -> Iterator[tuple[AnnotationRecord | None, AnnotationRecord | None]]:
    """Records of one path together, of two that are sorted."""
    olds, news = iter(old), iter(new)
    before, after = next(olds, None), next(news, None)
    while before is not None or after is not None:
        a, b = _key(before), _key(after)
        if b is None or (a is not None and a < b):
            yield before, None
            before = next(olds, None)
        elif a is None or b < a:
            yield None, after
            after = next(news, None)
        else:
            yield before, after
            before, after = next(olds, None), next(news, None)


def _key(record: AnnotationRecord | None) -> bytes | None:
    if record is None:
        return None
    return order_key(record.path, RecordHead.of(record).frame)


@dataclass(slots=True, eq=False)
class _Counting:
    old: ClassTable
    new: ClassTable
    least: float
    same: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    regions: Counter[tuple[str, str]] = field(default_factory=Counter)

    def see(
        self, before: AnnotationRecord | None, after: AnnotationRecord | None
    ) -> PictureChange | None:
        """Take a picture into account; what changed, if anything did."""
        change = self._change(before, after)
        if change is None:
            self.same += 1
        else:
            self.counts[change.what] += 1
        return change

    def _change(
        self, before: AnnotationRecord | None, after: AnnotationRecord | None
    ) -> PictureChange | None:
        if before is None or after is None:
            only: Literal["only new", "only old"] = "only new" if before is None else "only old"
            there = after or before
            return None if there is None else PictureChange(path=there.path, what=only)
        path = after.path
        regions = self._regions(before.regions, after.regions)
        if before.status != after.status:
            detail = f"{_told(before)} -> {_told(after)}"
            return PictureChange(path=path, what="status", detail=detail)
        if before.content_hash != after.content_hash:
            return PictureChange(path=path, what="content", detail=regions)
        return PictureChange(path=path, what="regions", detail=regions) if regions else None

    def _regions(self, before: AnnotatedRegions, after: AnnotatedRegions) -> str:
        """Count what became of each region; in words what is not the same."""
        names = sorted({*self.old.names, *self.new.names})
        place = {name: i for i, name in enumerate(names)}
        groups = [
            np.array([place[t.names[i]] if i >= 0 else -1 for i in r.class_ids.tolist()], np.int64)
            for t, r in ((self.old, before), (self.new, after))
        ]
        pairs = _matched(before.boxes, after.boxes, groups, self.least)
        told = Counter[str]()
        for i, j in pairs:
            same_box = bool((before.boxes[i] == after.boxes[j]).all())
            same_score = bool(before.scores[i] == after.scores[j])
            what = "moved" if not same_box else "same" if same_score else "rescored"
            self._count(names, int(groups[1][j]), what, told)
        for what, group, seen in (
            ("removed", groups[0], {i for i, _ in pairs}),
            ("added", groups[1], {j for _, j in pairs}),
        ):
            for i in set(range(group.size)) - seen:
                self._count(names, int(group[i]), what, told)
        del told["same"]
        return ", ".join(f"{count} {what}" for what, count in sorted(told.items()))

    def _count(self, names: list[str], group: int, what: str, told: Counter[str]) -> None:
        self.regions[names[group] if group >= 0 else "", what] += 1
        told[what] += 1

    def changes(self) -> dict[str, ClassChange]:
        by_class: dict[str, dict[str, int]] = {}
        for (name, what), count in sorted(self.regions.items()):
            by_class.setdefault(name, {})[what] = count
        return {name: ClassChange(**counts) for name, counts in by_class.items()}


def _told(record: AnnotationRecord) -> str:
    failure = record.failure
    return record.status if failure is None else f"failed at {failure.stage}: {failure.message}"


def _matched(
    old: Float64[np.ndarray, "n 4"],
    new: Float64[np.ndarray, "m 4"],
    groups: list[Int64[np.ndarray, " _"]],
    least: float,
) -> list[tuple[int, int]]:
    """Pairs of regions that are one thing, the best first, each region once.

    A box without area overlaps nothing; it is the same thing where the box is the same.
    """
    if not len(old) or not len(new):
        return []
    none = np.zeros(0, np.int64)
    firsts, seconds = [none], [none]
    index = BoxIndex(new, groups[1])
    # Pairs that exceed a bound are never missing; ours may lie on it.
    for asked, near in index.pairs(old, groups[0], least=least * (1 - 1e-9)):
        firsts.append(asked)
        seconds.append(near)
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    shared = shared_areas(old[first], new[second])
    whole = areas(old[first]) + areas(new[second]) - shared
    overlap = np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
    overlap[(old[first] == new[second]).all(axis=1)] = 1.0
    order = np.lexsort((second, first, -overlap))
    pairs: list[tuple[int, int]] = []
    seen_old: set[int] = set()
    seen_new: set[int] = set()
    for k in order[overlap[order] >= least].tolist():
        i, j = int(first[k]), int(second[k])
        if i not in seen_old and j not in seen_new:
            pairs.append((i, j))
            seen_old.add(i)
            seen_new.add(j)
    return pairs
