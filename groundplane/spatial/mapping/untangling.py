"""Objects that turn out to be one are merged; one that turns out to be two is divided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from groundplane.spatial.mapping.association import RARE, SHOWN, WITHIN
from groundplane.spatial.mapping.cells import Cells, meet
from groundplane.spatial.mapping.tallies import Tally
from groundplane.spatial.mapping.things import Things
from groundplane.spatial.mapping.voxels import Voxels

__all__ = ["Apart", "alike", "divide", "merge"]

# Shares of an object that must lie where another is for the two to be one.
_MERGED = 0.5
# An object seen so many times less often than another may be a mistake for it.
_RARER = 3
# Frames in which two objects were seen side by side, from which on they are never merged.
_APART = 2
# Frames in which two regions claimed an object, and of its frames the least share, to divide it.
_CLAIMS, _CLAIM_SHARE = 3, 0.3
_KEPT_CLAIMS = 8


class Apart:
    """Pairs of objects that were seen in one frame, each by itself, and how often.

    Args:
        seen: Pairs known before.
    """

    def __init__(self, seen: Mapping[tuple[int, int], int] | None = None) -> None:
        self.seen = dict(seen or {})

    def note(self, slots: Sequence[int], near: Bool[np.ndarray, "n n"]) -> None:
        """Objects seen in one frame; only pairs that are near could ever be mixed up."""
        for i, j in np.argwhere(np.triu(near, 1)).tolist():
            if slots[i] != slots[j]:
                pair = _pair(slots[i], slots[j])
                self.seen[pair] = min(self.seen.get(pair, 0) + 1, _APART)

    def holds(self, a: int, b: int) -> bool:
        """Whether two objects are known to be two."""
        return self.seen.get(_pair(a, b), 0) >= _APART

    def ever(self, a: int, b: int) -> bool:
        """Whether two objects were seen side by side at all."""
        return _pair(a, b) in self.seen

    def rename(self, old: int, new: int | None) -> None:
        """An object is gone, or is another one now."""
        for pair in [pair for pair in self.seen if old in pair]:
            times = self.seen.pop(pair)
            other = pair[0] if pair[1] == old else pair[1]
            if new is not None and other != new:
                kept = _pair(new, other)
                self.seen[kept] = max(self.seen.get(kept, 0), times)


def merge(things: Things, slots: Sequence[int], apart: Apart) -> dict[int, int]:
    """Merge objects into others that are where they are.

    Their labels agree, or the one was seen rarely, never beside the other, and covers much of it:
    then a detector called it by a wrong word before it found the right one.

    Args:
        things: All objects.
        slots: Those that have changed.
        apart: Pairs that must stay two.

    Returns:
        Slots that are free now, and whose things theirs became.
    """
    pairs = _near_pairs(things, slots, apart)
    merged: dict[int, int] = {}
    while pairs:
        shares = _common(things, pairs)
        best = max(range(len(pairs)), key=lambda k: (shares[k], -pairs[k][0], -pairs[k][1]))
        if shares[best] < _MERGED:
            break
        into, gone = sorted(pairs[best], key=lambda slot: things.tally(slot).born)
        things.merge(into, gone)
        apart.rename(gone, into)
        merged = {slot: into if to == gone else to for slot, to in merged.items()} | {gone: into}
        renamed = {_pair(*(into if slot == gone else slot for slot in pair)) for pair in pairs}
        pairs = sorted(pair for pair in renamed if pair[0] != pair[1] and not apart.holds(*pair))
    return merged


def alike(first: Tally, second: Tally) -> bool:
    """Whether two objects might have one label.

    Examples:
        >>> sofa, either, bed = {"sofa": 3.0}, {"sofa": 1.0, "bed": 1.0}, {"bed": 3.0}
        >>> tallies = [Tally(born=k, votes=votes) for k, votes in enumerate([sofa, either, bed])]
        >>> alike(tallies[0], tallies[1]), alike(tallies[0], tallies[2])
        (True, False)
    """
    return any(
        first.agreement(name) > RARE and second.agreement(name) > RARE for name in first.votes
    )


def divide(things: Things, slot: int, *, born: int, places: list[list[float]]) -> int | None:
    """Two regions of one frame claimed an object: divide it where they keep doing so.

    Args:
        things: All objects.
        slot: The object.
        born: Number of the new object.
        places: Middles of the two regions, metres; the first is the one that was given to it.

    Returns:
        The slot of the new object; None where the object stays one for now.
    """
    tally = things.tally(slot)
    tally.claims = [*tally.claims, places][-_KEPT_CLAIMS:]
    if len(tally.claims) < max(_CLAIMS, min(_KEPT_CLAIMS, _CLAIM_SHARE * tally.hits)):
        return None
    halves = _halves(np.array(tally.claims))
    tally.claims = []
    voxels, _ = things.of([slot])
    middles = torch.from_numpy(halves).to(voxels.means)
    off = torch.cdist(voxels.means, middles, compute_mode="donot_use_mm_for_euclid_dist")
    theirs = off[:, 1] < off[:, 0]
    if not bool(theirs.any()) or bool(theirs.all()):
        return None
    return _divided(things, slot, born, theirs)


def _divided(things: Things, slot: int, born: int, theirs: Bool[Tensor, " v"]) -> int:
    """The new object, which was seen whenever both were."""
    tally = things.tally(slot)
    other = Tally(born=born)
    other.take(tally, things.options)
    other.born, other.claims = born, []
    # Boxes of both together are of neither.
    tally.boxes, other.boxes = [], []
    new = things.begin(other)
    things.divide(slot, new=new, theirs=theirs)
    return new


def _halves(claims: Float[np.ndarray, "k 2 3"]) -> Float[np.ndarray, "2 3"]:
    """The two places that regions claimed, whichever of them was named first."""
    first = claims[0]
    straight = np.linalg.norm(claims - first, axis=2).sum(axis=1)
    crossed = np.linalg.norm(claims[:, ::-1] - first, axis=2).sum(axis=1)
    sorted_ = np.where((crossed < straight)[:, None, None], claims[:, ::-1], claims)
    return np.asarray(sorted_.mean(axis=0))


def _near_pairs(things: Things, slots: Sequence[int], apart: Apart) -> list[tuple[int, int]]:
    """Pairs of objects of one label whose boxes' spheres overlap, and that may be one."""
    live = things.live()
    reach = np.linalg.norm(things.sizes, axis=1) / 2
    labels = {slot: things.tally(slot) for slot in live}
    pairs = set()
    places = np.array(live)
    for slot in sorted(set(slots) & set(live)):
        off = np.linalg.norm(things.centers[places] - things.centers[slot], axis=1)
        for other in places[off <= reach[places] + reach[slot]].tolist():
            if other == slot or apart.holds(slot, other):
                continue
            if alike(labels[slot], labels[other]) or _is_shadow(labels, slot, other, apart):
                pairs.add(_pair(slot, other))
    return sorted(pairs)


def _is_shadow(tallies: Mapping[int, Tally], a: int, b: int, apart: Apart) -> bool:
    """Whether one of two objects may be a mistake for the other."""
    few, many = sorted((tallies[a].hits, tallies[b].hits))
    return few * _RARER <= many and not apart.ever(a, b)


def _common(things: Things, pairs: list[tuple[int, int]]) -> list[float]:
    """Share of the one or the other object of each pair that is where its partner is.

    Where labels differ, `_MERGED` if the rarer one is where the other is and covers much of it,
    else 0.
    """
    slots = sorted({slot for pair in pairs for slot in pair})
    place = {slot: k for k, slot in enumerate(slots)}
    voxels, owner = things.of(slots)
    owned = Voxels(
        keys=voxels.keys, means=voxels.means, counts=voxels.counts, seen=voxels.seen
    ).moved(owner)
    size, num = things.options.voxel, len(slots)
    seen = Cells.of(owned, voxel=size, moved=True)
    found = meet(seen, Cells.of(owned, voxel=size), num_seen=num, num_known=num)
    table = found.of_seen.cpu().numpy()
    shares = []
    for pair in pairs:
        rare, often = sorted(pair, key=lambda slot: (things.tally(slot).hits, slot))
        within, covered = table[place[rare], place[often]], table[place[often], place[rare]]
        if alike(things.tally(rare), things.tally(often)):
            shares.append(float(max(within, covered)))
        else:
            shares.append(_MERGED if within >= WITHIN and covered >= SHOWN else 0.0)
    return shares


def _pair(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)
