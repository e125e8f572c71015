"""Which sighting is of which object: overlap, labels and looks in one table, one to one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from groundplane.spatial.mapping.tallies import BuilderOptions
from groundplane.spatial.mapping.voxels import PLACE_BITS, Voxels
from groundplane.spatial.maps.matching import nearest_first

__all__ = [
    "RARE",
    "SHOWN",
    "WITHIN",
    "Evidence",
    "assign",
    "common_shares",
    "duplicates",
    "inside_shares",
    "likeness",
    "misnamed",
]

# A label that an object was given this rarely counts as another one.
RARE = 0.15
# Shares of the sighting, and of the object, that must be in common where the labels differ.
WITHIN, SHOWN = 0.6, 0.3
# Of a sighting that has no point in common with an object so much must lie in the object's box.
_INSIDE = 0.5
# Points in a box say less than points in common.
_BOX_WEIGHT = 0.8
# Regions of one frame that share so many of their voxels show one thing.
_DUPLICATE_SAME, _DUPLICATE_OTHER = 0.5, 0.7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What speaks for each sighting being of each object; rows are sightings.

    Attributes:
        of_seen: Share of the sighting that is where the object is.
        of_known: Share of the object that is where the sighting is.
        inside: Share of the sighting in the object's box.
        agreement: Share of the object's votes for the sighting's label.
        looks: Cosine of the appearances, NaN where either has none.
    """

    of_seen: Float[np.ndarray, "n m"]
    of_known: Float[np.ndarray, "n m"]
    inside: Float[np.ndarray, "n m"]
    agreement: Float[np.ndarray, "n m"]
    looks: Float[np.ndarray, "n m"]


def likeness(evidence: Evidence, options: BuilderOptions) -> Float[np.ndarray, "n m"]:
    """How well each sighting fits each object of its label, in [0, 1]; 0 where it does not.

    Examples:
        >>> one, none = np.ones((1, 1)), np.zeros((1, 1))
        >>> whole = Evidence(of_seen=one, of_known=one, inside=one, agreement=one, looks=one)
        >>> apart = Evidence(of_seen=none, of_known=none, inside=none, agreement=one, looks=one)
        >>> [likeness(each, BuilderOptions()).tolist() for each in (whole, apart)]
        [[[1.0]], [[0.0]]]
    """
    either = np.maximum(evidence.of_seen, evidence.of_known)
    boxed = np.where(evidence.inside >= _INSIDE, _BOX_WEIGHT * evidence.inside, 0)
    share = np.maximum(either, boxed)
    fits = (evidence.agreement > RARE) & (share >= options.least_overlap)
    # Half by the label, so that of two objects in one place the one of that name is chosen.
    return np.where(fits, share * (0.5 + 0.5 * evidence.agreement) * _liking(evidence, options), 0)


def misnamed(evidence: Evidence, options: BuilderOptions) -> Float[np.ndarray, "n m"]:
    """How well each sighting fits each object if its label is a mistake; 0 where it does not.

    Nearly all of the sighting must be where the object is, and it must show much of the object, or
    a cushion would become a part of its sofa.

    Examples:
        >>> one, none = np.ones((1, 1)), np.zeros((1, 1))
        >>> same = Evidence(of_seen=one, of_known=one, inside=one, agreement=none, looks=one)
        >>> part = Evidence(of_seen=one, of_known=0.1 * one, inside=one, agreement=none, looks=one)
        >>> [misnamed(each, BuilderOptions()).tolist() for each in (same, part)]
        [[[1.0]], [[0.0]]]
    """
    fits = (
        (evidence.agreement <= RARE) & (evidence.of_seen >= WITHIN) & (evidence.of_known >= SHOWN)
    )
    share = np.sqrt(evidence.of_seen * evidence.of_known)
    return np.where(fits, share * _liking(evidence, options), 0)


def _liking(evidence: Evidence, options: BuilderOptions) -> Float[np.ndarray, "n m"]:
    """How far appearance speaks for each pair; 1 where it is not known."""
    looks = np.clip(np.where(np.isnan(evidence.looks), 1, evidence.looks), 0, 1)
    return np.asarray(1 - options.looks + options.looks * looks)


def assign(scores: Float[np.ndarray, "n m"]) -> Int64[np.ndarray, " n"]:
    """The object of each sighting, -1 for none: one to one, the best pair first.

    Examples:
        >>> assign(np.array([[0.9, 0.8], [0.85, 0.0]])).tolist()
        [0, -1]
        >>> assign(np.zeros((0, 3))).tolist()
        []
    """
    chosen = np.full(len(scores), -1, dtype=np.int64)
    pairs = nearest_first(-scores, allowed=scores > 0)
    chosen[pairs[:, 0]] = pairs[:, 1]
    return chosen


def common_shares(voxels: Voxels, num: int) -> Float[np.ndarray, "n n"]:
    """Share of the voxels of thing i that thing j is in too; the very voxels, no neighbours."""
    place = voxels.keys & ((1 << PLACE_BITS) - 1)
    places, row = torch.unique(place, return_inverse=True)
    marks = torch.zeros(len(places), num, device=place.device)
    marks[row, voxels.owners] = 1
    common = (marks.T @ marks).cpu().numpy().astype(np.float64)
    return np.asarray(common / np.maximum(common.diagonal(), 1)[:, None])


def duplicates(
    shares: Float[np.ndarray, "n n"], same_label: Bool[np.ndarray, "n n"]
) -> Bool[np.ndarray, "n n"]:
    """Whether two regions of one frame show one thing, by the voxels that they share.

    One of them may be a part of the other if the labels agree; else each must cover the other.

    Examples:
        >>> shares = np.array([[1.0, 0.9], [0.2, 1.0]])
        >>> duplicates(shares, np.ones((2, 2), dtype=bool)).tolist()
        [[True, True], [True, True]]
        >>> duplicates(shares, np.eye(2, dtype=bool)).tolist()
        [[True, False], [False, True]]
    """
    larger, smaller = np.maximum(shares, shares.T), np.minimum(shares, shares.T)
    part, whole = larger >= _DUPLICATE_SAME, smaller >= _DUPLICATE_OTHER
    return np.asarray(np.where(same_label, part, whole))


def inside_shares(
    points: Float[np.ndarray, "n k 3"],
    boxes: tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, "m 3"], Float[np.ndarray, "m 3 3"]],
    *,
    allowed: Bool[np.ndarray, "n m"],
    margin: float,
) -> Float[np.ndarray, "n m"]:
    """Share of some points of each sighting that lie in each object's box or near it.

    It is 0 where the middle of the points does not: then they reach into the box from beside it.

    Args:
        points: As many of each sighting, metres.
        boxes: Centres, sizes and axes of the objects.
        allowed: Pairs that are asked for; the others get 0.
        margin: Metres beyond the box.

    Examples:
        >>> box = (np.zeros((1, 3)), np.ones((1, 3)), np.eye(3)[None])
        >>> points = np.array([[[0.0, 0, 0], [0.6, 0, 0]]])
        >>> allowed = np.ones((1, 1), dtype=bool)
        >>> inside_shares(points, box, allowed=allowed, margin=0.0).tolist()
        [[0.5]]
        >>> inside_shares(points, box, allowed=allowed, margin=0.2).tolist()
        [[1.0]]
    """
    centers, sizes, axes = boxes
    shares = np.zeros(allowed.shape)
    low, high = points.min(axis=1), points.max(axis=1)
    reach = np.linalg.norm(sizes, axis=1) / 2 + margin
    # Pairs whose box and sphere are apart have nothing inside.
    nearest = np.clip(centers[None], low[:, None], high[:, None])
    near = np.square(nearest - centers[None]).sum(axis=2) <= np.square(reach)[None]
    rows, columns = np.nonzero(allowed & near)
    middle = (low + high)[:, None] / 2
    offset = np.concatenate([middle, points], axis=1)[rows] - centers[columns][:, None]
    local = np.abs(offset @ axes[columns].transpose(0, 2, 1))
    within = (local <= (sizes[columns] / 2 + margin)[:, None]).all(axis=2)
    shares[rows, columns] = within[:, 0] * within[:, 1:].mean(axis=1)
    return shares
