"""Lay one map over another: the turn about z, the shift, and if asked the scale and the mirror.

Objects of the same label may be the same thing. Any two such pairs fix a motion; every motion, or
a fixed random sample of them where there are very many (RANSAC, Fischler and Bolles, 1981), is
judged by how near all objects come to one of their label, both ways, each distance counting no more
than the tolerance. The best few motions that differ are refined by least squares over one-to-one
pairs (Umeyama, 1991, in the plane). Heights take no part; they are shifted by their median.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.maps.map_change import transform
from groundplane.spatial.maps.matching import common_labels, nearest_first

__all__ = ["Alignment", "align"]

# Motions that are judged; beyond, a sample is drawn with this seed.
_MOTIONS = 20_000
_SEED = 0
# Motions are judged by the objects of the rarest labels, at least so many, and by more as long as
# the table of their distances to all objects of the other map is no larger. Refining takes all.
_JUDGES = 20
_TABLE = 4_000
# Numbers in a table of distances at a time: it stays in the cache (3 MB).
_TILE = 200_000
# Motions that are refined, and steps each takes at most.
_RIVALS = 12
_STEPS = 20
# Two motions are as good as each other, and a mirror is no better, within this share of the
# squared tolerance, summed over objects.
_TIE = 0.25
# Of a sample of motions, one that matches so much of what the best does is chance like it.
_CHANCE = 0.8
_LEAST = 1e-9

Plan = Float[np.ndarray, "_ 2"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alignment:
    """How to lay map `a` over map `b`.

    Attributes:
        matrix: From a's world to b's: mirrored (x to -x) if `mirrored`, turned, scaled, shifted.
        rotation: Turn about z, radians, counter-clockwise from above.
        scale: Length in b over length in a.
        mirrored: Whether the matrix mirrors.
        residual: Root mean square distance of matched centres seen from above, b's unit.
        matched: Ids of a and of b that fall together.
        ambiguous: Whether another motion fits as well, or may: a symmetric layout, too few
            objects, or a sample of motions of which the best matches less than half, or hardly
            more than others.
        mirror_better: Whether a mirrored map fits clearly better than one that is not.
        unit: What a unit of the result is: b's, or a's where the scale was held fixed and theirs
            differ.
    """

    matrix: Float[Tensor, "4 4"]
    rotation: float
    scale: float
    mirrored: bool
    residual: float
    matched: tuple[tuple[str, str], ...]
    ambiguous: bool
    mirror_better: bool
    unit: Literal["metric", "relative"]

    def apply(self, scene: CognitiveMap) -> CognitiveMap:
        """The map `a`, or another in its world, in the world of `b` and in `unit`."""
        return replace(transform(scene, self.matrix), scale=self.unit)


def align(
    a: CognitiveMap,
    b: CognitiveMap,
    *,
    scale: bool = False,
    mirror: bool = False,
    tolerance: float = 0.5,
) -> Alignment:
    """Find the motion that lays map `a` over map `b` by objects of the same label.

    Args:
        a: The map to move.
        b: The map that stays.
        scale: Whether lengths may change, as for a map on a grid.
        mirror: Whether the map may be mirrored, as a model may have written it. Without it
            `mirror_better` still says whether that would fit better.
        tolerance: Two objects further apart are not the same, b's unit.

    Raises:
        InputError: If no object of the one has a label of the other, or the tolerance is not
            positive.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> before = SceneBuilder().add("sofa", at=(0, 0, 0)).add("tv", at=(3, 0, 0))
        >>> after = SceneBuilder().add("sofa", at=(1, 0, 0)).add("tv", at=(1, 3, 0))
        >>> made = align(before.add("lamp", at=(0, 1, 0)).build(),
        ...              after.add("lamp", at=(0, 0, 0)).build())
        >>> round(math.degrees(made.rotation)), made.ambiguous, round(made.residual, 6)
        (90, False, 0.0)
    """
    if not 0 < tolerance < math.inf:
        raise InputError(f"align: expected a tolerance above 0, got {tolerance}")
    same = common_labels(a, b)
    if not same.any():
        raise _nothing_shared(a, b)
    finder = _Finder(a=_plan(a), b=_plan(b), same=same, free_scale=scale, tolerance=tolerance)
    plain, mirrored = finder.best(mirrored=False), finder.best(mirrored=True)
    if plain is None or mirrored is None:
        return _told(a, b, _single(a, b, same), finder, better=False)
    better = mirrored.cost < plain.cost - _TIE * tolerance**2
    return _told(a, b, mirrored if mirror and better else plain, finder, better=better)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Motions:
    """Similarities of the plane: `scale * turn(mirror(point)) + shift`, as complex numbers."""

    turn: np.ndarray  # complex: scale times a unit
    shift: np.ndarray  # complex
    mirrored: bool

    def move(self, points: Plan) -> np.ndarray:
        """Each point by each motion, as complex numbers: motions by points."""
        moved = self.turn[:, None] * _complex(points, self.mirrored) + self.shift[:, None]
        return np.asarray(moved)

    def pick(self, index: Int[np.ndarray, " k"]) -> _Motions:
        return _Motions(turn=self.turn[index], shift=self.shift[index], mirrored=self.mirrored)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fit:
    """One motion, refined."""

    motion: _Motions
    pairs: Int[np.ndarray, "k 2"]
    cost: float
    ambiguous: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Finder:
    """Looks for the motion of points `a` onto points `b`."""

    a: Plan
    b: Plan
    same: Bool[np.ndarray, "n m"]
    free_scale: bool
    tolerance: float

    def best(self, *, mirrored: bool) -> _Fit | None:
        """The best motion; None where no two pairs of objects fix one."""
        motions = self._motions(mirrored)
        if not len(motions.turn):
            return None
        costs = self._costs(motions)
        fits = [self._refined(motions.pick(np.array([i]))) for i in self._distinct(motions, costs)]
        fits.sort(key=lambda fit: fit.cost)
        best, *rivals = fits
        moved = best.motion.move(self.a)
        apart = [float(np.abs(rival.motion.move(self.a) - moved).mean()) for rival in rivals]
        others = [rival for off, rival in zip(apart, rivals, strict=True) if off > self.tolerance]
        rivalled = any(rival.cost <= best.cost + _TIE * self.tolerance**2 for rival in others)
        doubtful = self._is_sampled() and self._is_doubtful(best, others)
        return replace(best, ambiguous=best.ambiguous or rivalled or doubtful)

    def _is_doubtful(self, best: _Fit, others: Sequence[_Fit]) -> bool:
        """Whether the right motion may not be in the sample: the best matches little, or no more
        than others do by chance, as where things stand closer than the tolerance."""
        possible = min(self.same.any(axis=1).sum(), self.same.any(axis=0).sum())
        most = max((len(other.pairs) for other in others), default=0)
        return bool(2 * len(best.pairs) < possible) or most >= _CHANCE * len(best.pairs)

    def _motions(self, mirrored: bool) -> _Motions:
        """The motions that each two pairs of objects fix, lengths permitting."""
        first, second = self._pairs_of_pairs()
        (i, k), (j, m) = first.T, second.T
        a, b = _complex(self.a, mirrored), _complex(self.b, False)
        before, after = a[j] - a[i], b[m] - b[k]
        known = np.minimum(np.abs(before), np.abs(after)) > _LEAST
        if not self.free_scale:
            known &= np.abs(np.abs(before) - np.abs(after)) <= 2 * self.tolerance
        i, j, k, m, before, after = (part[known] for part in (i, j, k, m, before, after))
        turn = after / before
        if not self.free_scale:
            turn = turn / np.abs(turn)
        return _Motions(
            turn=turn, shift=(b[k] + b[m] - turn * (a[i] + a[j])) / 2, mirrored=mirrored
        )

    def _is_sampled(self) -> bool:
        """Whether there are more motions than are judged."""
        count = int(self.same.sum())
        return count * (count - 1) // 2 > _MOTIONS

    def _pairs_of_pairs(self) -> tuple[Int[np.ndarray, "h 2"], Int[np.ndarray, "h 2"]]:
        """Two candidate pairs (row of a, row of b) for each motion, with four different objects."""
        pairs = np.argwhere(self.same)
        count = len(pairs)
        if not self._is_sampled():
            one, two = np.triu_indices(count, k=1)
        else:
            # A rare label says more: each label's pairs weigh as much as those of any other.
            many = self.same.sum(axis=1)[pairs[:, 0]] * self.same.sum(axis=0)[pairs[:, 1]]
            chance = 1 / many / (1 / many).sum()
            draw = np.random.default_rng(_SEED)
            one, two = draw.choice(count, size=(2, _MOTIONS), p=chance)
        first, second = pairs[one], pairs[two]
        different = (first != second).all(axis=1)
        return first[different], second[different]

    def _costs(self, motions: _Motions) -> Float[np.ndarray, " h"]:
        """How far each motion leaves objects from their like, both ways, squared and bounded."""
        costs = np.zeros(len(motions.turn))
        target = _complex(self.b, False)
        for rows, columns, axis in self._judges():
            same = self.same[np.ix_(rows, columns)]
            step = max(_TILE // max(same.size, 1), 1)
            for start in range(0, len(costs), step):
                part = np.arange(start, min(start + step, len(costs)))
                off = motions.pick(part).move(self.a[rows])[:, :, None] - target[columns]
                square = np.where(same, off.real**2 + off.imag**2, np.inf).min(axis=axis)
                costs[part] += np.minimum(square, self.tolerance**2).mean(axis=1)
        return costs

    def _judges(self) -> Iterator[tuple[Int[np.ndarray, " r"], Int[np.ndarray, " c"], int]]:
        """Some objects of a with all of b, all of a with some of b; and the axis of the all."""
        n, m = self.same.shape
        own, other = (
            _rarest(self.same.sum(axis=axis), max(_TABLE // size, _JUDGES))
            for axis, size in ((1, m), (0, n))
        )
        yield own, np.arange(m), 2
        yield np.arange(n), other, 1

    def _distinct(self, motions: _Motions, costs: Float[np.ndarray, " h"]) -> Iterator[int]:
        """The best motions that move the objects to different places, the best first."""
        middle = self.a.mean(axis=0)
        spread = float(np.abs(self.a - middle).max()) or 1.0
        moved = motions.move(middle + spread * np.array([[1.0, 0], [0, 1], [-1, -1]]))
        left = np.isfinite(costs)
        for _ in range(_RIVALS):
            if not left.any():
                return
            best = int(np.argmin(np.where(left, costs, np.inf)))
            yield best
            left &= np.abs(moved - moved[best]).max(axis=1) > self.tolerance

    def _refined(self, motion: _Motions) -> _Fit:
        """Least squares over the pairs that fall together, until they stay the same."""
        pairs = self._together(motion)
        for _ in range(_STEPS):
            if len(pairs) < 2 or (fitted := self._fitted(pairs, motion)) is None:
                break
            motion, before = fitted, pairs
            pairs = self._together(motion)
            if np.array_equal(before, pairs):
                break
        off = self._off(motion, pairs)
        alone = self.same.any(axis=1).sum() + self.same.any(axis=0).sum() - 2 * len(pairs)
        cost = float(2 * (off**2).sum() + alone * self.tolerance**2)
        return _Fit(motion=motion, pairs=pairs, cost=cost, ambiguous=len(pairs) < 2)

    def _together(self, motion: _Motions) -> Int[np.ndarray, "k 2"]:
        off = np.abs(motion.move(self.a)[0][:, None] - _complex(self.b, False))
        return nearest_first(off, allowed=self.same & (off <= self.tolerance))

    def _off(self, motion: _Motions, pairs: Int[np.ndarray, "k 2"]) -> Float[np.ndarray, " k"]:
        moved = motion.move(self.a)[0][pairs[:, 0]]
        return np.asarray(np.abs(moved - _complex(self.b, False)[pairs[:, 1]]))

    def _fitted(self, pairs: Int[np.ndarray, "k 2"], motion: _Motions) -> _Motions | None:
        """The motion of least squares; None where the pairs lie in one place."""
        a = _complex(self.a, motion.mirrored)[pairs[:, 0]]
        b = _complex(self.b, False)[pairs[:, 1]]
        centered, target = a - a.mean(), b - b.mean()
        product, square = (centered.conj() * target).sum(), (np.abs(centered) ** 2).sum()
        if square <= _LEAST or abs(product) <= _LEAST:
            return None
        turn = product / square if self.free_scale else product / abs(product)
        shift = b.mean() - turn * a.mean()
        return _Motions(turn=np.array([turn]), shift=np.array([shift]), mirrored=motion.mirrored)


def _rarest(many: Int[np.ndarray, " n"], most: int) -> Int[np.ndarray, " k"]:
    """Rows with a like one in the other map, those with the fewest first."""
    rows = np.flatnonzero(many)
    return np.asarray(np.sort(rows[np.argsort(many[rows], kind="stable")][:most]))


def _single(a: CognitiveMap, b: CognitiveMap, same: Bool[np.ndarray, "n m"]) -> _Fit:
    """One pair of objects only: it fixes the shift; fronts, where both are known, fix the turn."""
    i, j = np.argwhere(same)[0].tolist()
    fronts = [complex(*scene.fronts[k, :2].tolist()) for scene, k in ((a, i), (b, j))]
    known = all(abs(front) > _LEAST for front in fronts)  # NaN compares false
    turn = fronts[1] / fronts[0] if known else complex(1)
    turn /= abs(turn)
    places = [_complex(_plan(scene)[[k]], False)[0] for scene, k in ((a, i), (b, j))]
    motion = _Motions(
        turn=np.array([turn]), shift=np.array([places[1] - turn * places[0]]), mirrored=False
    )
    pairs = np.array([[i, j]])
    # Several candidates for the one pair leave the shift open too.
    return _Fit(motion=motion, pairs=pairs, cost=0.0, ambiguous=not known or int(same.sum()) > 1)


def _told(
    a: CognitiveMap, b: CognitiveMap, fit: _Fit, finder: _Finder, *, better: bool
) -> Alignment:
    turn, shift = complex(fit.motion.turn[0]), complex(fit.motion.shift[0])
    rows, columns = fit.pairs.T.tolist() if len(fit.pairs) else ([], [])
    heights = (a.objects.centers[rows, 2].cpu(), b.objects.centers[columns, 2].cpu())
    lift = heights[1].double() - abs(turn) * heights[0].double()
    raised = float(lift.median()) if len(lift) else 0.0
    flip = -1.0 if fit.motion.mirrored else 1.0
    matrix = [
        [turn.real * flip, -turn.imag, 0, shift.real],
        [turn.imag * flip, turn.real, 0, shift.imag],
        [0, 0, abs(turn), raised],
        [0, 0, 0, 1],
    ]
    off = finder._off(fit.motion, fit.pairs)
    return Alignment(
        matrix=torch.tensor(matrix, dtype=torch.float64, device=a.objects.centers.device),
        rotation=math.atan2(turn.imag, turn.real),
        scale=abs(turn),
        mirrored=fit.motion.mirrored,
        residual=float(np.sqrt((off**2).mean())) if len(off) else math.nan,
        matched=tuple((a.ids[i], b.ids[j]) for i, j in zip(rows, columns, strict=True)),
        ambiguous=fit.ambiguous,
        mirror_better=better,
        unit=b.scale if finder.free_scale and len(fit.pairs) > 1 else a.scale,
    )


def _plan(scene: CognitiveMap) -> Plan:
    return np.asarray(scene.objects.centers[:, :2].detach().double().cpu().numpy())


def _complex(points: Plan, mirrored: bool) -> np.ndarray:
    """Points as x + iy; mirrored, as -x + iy."""
    return np.asarray((-points[:, 0] if mirrored else points[:, 0]) + 1j * points[:, 1])


def _nothing_shared(a: CognitiveMap, b: CognitiveMap) -> InputError:
    own, other = (list(dict.fromkeys(scene.labels)) for scene in (a, b))
    hint = next((text for label in own if (text := did_you_mean(label, other))), "")
    return InputError(
        "align: expected objects of the same label in both maps, got "
        f"{listing(own, limit=6)} and {listing(other, limit=6)}.{hint}"
    )
