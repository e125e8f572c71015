"""What changed between two maps of one place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from groundplane.core.errors import InputError
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.maps.matching import (
    center_distances,
    common_labels,
    nearest_first,
    reordered,
)

__all__ = ["MapDiff", "Moved", "Relabelled", "Resized", "diff"]

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """An object that stands elsewhere: its ids, its shift and how far that is, metres."""

    before: str
    after: str
    shift: Triple
    distance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Resized:
    """An object of another size: its ids, and how much longer each side of the earlier box is."""

    before: str
    after: str
    growth: Triple


@dataclass(frozen=True, slots=True, kw_only=True)
class Relabelled:
    """An object that is called something else: its ids and labels."""

    before: str
    after: str
    label_before: str
    label_after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MapDiff:
    """What changed from map `a` to map `b`; an object may have moved and been resized.

    Attributes:
        added: Ids of b.
        removed: Ids of a.
        moved: Beyond the tolerance, in the order of a.
        resized: A side changed beyond the tolerance.
        relabelled: Same place and size, another label.
        same: Ids in a and b of what has not changed.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    moved: tuple[Moved, ...]
    resized: tuple[Resized, ...]
    relabelled: tuple[Relabelled, ...]
    same: tuple[tuple[str, str], ...]

    def __bool__(self) -> bool:
        """Whether anything changed."""
        parts = (self.added, self.removed, self.moved, self.resized, self.relabelled)
        return any(map(bool, parts))


def diff(
    a: CognitiveMap, b: CognitiveMap, *, tolerance: float = 0.1, by_id: bool = False
) -> MapDiff:
    """Compare two maps of one place that stand in one frame.

    Objects of one label are matched one to one, the nearest first, so that what stayed is never
    taken for what moved; a thing has moved however far it went. What is left over in the same
    place and size under another label was relabelled. The rest was added or removed.

    Args:
        a: The earlier map.
        b: The later one; see `alignment.align` for maps in different frames.
        tolerance: What counts as a change of place or of a side, metres.
        by_id: Whether objects of the same id and label are the same thing first of all, as in two
            states of one map.

    Raises:
        InputError: If the tolerance is negative, or the scales differ.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> before = SceneBuilder().add("cup", at=(0, 0, 0)).add("pan", at=(1, 0, 0)).build()
        >>> after = SceneBuilder().add("cup", at=(0, 2, 0)).add("pot", at=(1, 0, 0)).build()
        >>> made = diff(before, after)
        >>> [(part.before, part.distance) for part in made.moved]
        [('cup', 2.0)]
        >>> [(part.label_before, part.label_after) for part in made.relabelled]
        [('pan', 'pot')]
        >>> bool(diff(before, before))
        False
    """
    if not tolerance >= 0:
        raise InputError(f"diff: expected a tolerance of at least 0, got {tolerance}")
    if a.scale != b.scale:
        raise InputError(f"diff: the one map is {a.scale}, the other {b.scale}; align them first")
    b = b.to(a.objects.centers.device)
    same = common_labels(a, b)
    off = center_distances(a, b)
    kept = nearest_first(np.where(_same_ids(a, b), -1.0, off) if by_id else off, allowed=same)
    left, right = _free(kept[:, 0], len(a)), _free(kept[:, 1], len(b))
    near = (off <= tolerance) & left[:, None] & right
    renamed = nearest_first(off, allowed=near)
    renamed = renamed[(np.abs(_growth(a, b, renamed)) <= tolerance).all(axis=1)]
    changed, growth = off[kept[:, 0], kept[:, 1]] > tolerance, _growth(a, b, kept)
    grown = (np.abs(growth) > tolerance).any(axis=1)
    gone = _free(np.concatenate([kept[:, 0], renamed[:, 0]]), len(a))
    new = _free(np.concatenate([kept[:, 1], renamed[:, 1]]), len(b))
    return MapDiff(
        added=tuple(b.ids[j] for j in np.flatnonzero(new).tolist()),
        removed=tuple(a.ids[i] for i in np.flatnonzero(gone).tolist()),
        moved=tuple(_moved(a, b, i, j) for i, j in kept[changed].tolist()),
        resized=tuple(
            Resized(before=a.ids[i], after=b.ids[j], growth=tuple(by))
            for (i, j), by in zip(kept[grown].tolist(), growth[grown].tolist(), strict=True)
        ),
        relabelled=tuple(
            Relabelled(
                before=a.ids[i], after=b.ids[j], label_before=a.labels[i], label_after=b.labels[j]
            )
            for i, j in renamed.tolist()
        ),
        same=tuple((a.ids[i], b.ids[j]) for i, j in kept[~changed & ~grown].tolist()),
    )


def _moved(a: CognitiveMap, b: CognitiveMap, i: int, j: int) -> Moved:
    shift = b.objects.centers[j] - a.objects.centers[i]
    x, y, z = shift.tolist()
    return Moved(before=a.ids[i], after=b.ids[j], shift=(x, y, z), distance=float(shift.norm()))


def _same_ids(a: CognitiveMap, b: CognitiveMap) -> np.ndarray:
    rows = {name: j for j, name in enumerate(b.ids)}
    table = np.zeros((len(a), len(b)), dtype=bool)
    for i, name in enumerate(a.ids):
        if name in rows:
            table[i, rows[name]] = True
    return table


def _free(used: Int[np.ndarray, " k"], count: int) -> np.ndarray:
    free = np.ones(count, dtype=bool)
    free[used] = False
    return free


def _growth(
    a: CognitiveMap, b: CognitiveMap, pairs: Int[np.ndarray, "k 2"]
) -> Float[np.ndarray, "k 3"]:
    """How much longer each side of the first box is in the second, its axes in the same order."""
    i, j = (torch.from_numpy(part.copy()).to(a.objects.centers.device) for part in pairs.T)
    like = a.objects[i]
    later, _ = reordered(b.objects[j], like)
    return np.asarray((later.sizes - like.sizes).detach().double().cpu().numpy())
