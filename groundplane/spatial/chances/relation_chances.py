"""Probabilities of relations between boxes that are known up to noise.

| relations | probability |
|---|---|
| `CLOSED_FORMS`: left, right, in front, behind | exact: linear in the boxes |
| `SHRUNK`: taller, shorter, longer, same size, parallel, ... | closed form; how alike is learned |
| `FIRST_ORDER`: touches, near, within, far, bigger, smaller | closed form, taken as linear |
| `SAMPLED`: all others | share of `SAMPLES` sampled worlds in which the relation holds |

Sampled worlds come one after another from one generator on the CPU, so that neither the device
nor the number of worlds taken at a time changes any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.spatial import relations
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.chances.likeness import (
    aligned_chance,
    parallel_chance,
    perpendicular_chance,
    same_size_chance,
)
from groundplane.spatial.chances.shrinkage import positive_chance
from groundplane.spatial.chances.uncertainty import covariance_of, signed_gap, variance_of
from groundplane.spatial.relations import THRESHOLDS, Thresholds
from groundplane.spatial.relations.definitions import DEFINITIONS
from groundplane.spatial.scene import check_pairs

__all__ = [
    "CLOSED_FORMS",
    "FIRST_ORDER",
    "SAMPLED",
    "SAMPLES",
    "SEED",
    "SHRUNK",
    "relation_probability",
    "sampled_worlds",
]

# A share of 200 worlds is off by 0.035 at most: one standard deviation, at a probability of half.
SAMPLES = 200
SEED = 0
# What these compare is linear in the boxes: centres along a direction.
CLOSED_FORMS = relations.VIEWER_RELATIONS
# Things of a kind are alike, and how alike is learned from all pairs together.
SHRUNK = (
    "taller", "shorter", "longer", "same_size", "parallel", "perpendicular", "aligned_with",
)  # fmt: skip
# Noise added once more would lengthen gaps that it has lengthened already (docs/error-bars.md).
FIRST_ORDER = ("touches", "near", "within", "far", "bigger", "smaller")
SAMPLED = tuple(
    name
    for name, found in DEFINITIONS.items()
    if found.arity == 2 and found.frame in ("none", "world")
    if name not in (*CLOSED_FORMS, *SHRUNK, *FIRST_ORDER)
)
_ALIKE = {
    "same_size": same_size_chance, "parallel": parallel_chance,
    "perpendicular": perpendicular_chance, "aligned_with": aligned_chance,
}  # fmt: skip
Measured = Callable[[Boxes3D], tuple[Tensor, Tensor]]
# A sampled side is never shorter than this, metres: the truth is positive.
_LEAST_SIDE = 1e-3
_TINY = 1e-12


def sampled_worlds(
    boxes: Boxes3D, *, samples: int = SAMPLES, seed: int = SEED
) -> Iterator[Boxes3D]:
    """The boxes as they may truly be, world after world.

    Args:
        boxes: n boxes; without covariance every world is as they are.
        samples: How many worlds.
        seed: Of the generator; the same seed gives the same worlds on every device.

    Yields:
        n boxes without covariance. Sides stay at least a millimetre long.

    Raises:
        InputError: If there are less than one samples.
    """
    if samples < 1:
        raise InputError(f"samples: expected at least 1, got {samples}")
    generator = torch.Generator().manual_seed(seed)
    root = _root(boxes)
    for _ in range(samples):
        noise = torch.randn(len(boxes), 6, 1, generator=generator, dtype=torch.float64)
        shift = (root @ noise.to(root))[..., 0]
        yield Boxes3D(
            centers=boxes.centers + shift[:, :3],
            sizes=(boxes.sizes + shift[:, 3:]).clamp(min=_LEAST_SIDE),
            axes=boxes.axes,
        )


def relation_probability(
    name: str, subjects: Boxes3D, anchors: Boxes3D, *, view: Float[Tensor, " 3"] | None = None,
    limit: float | None = None, thresholds: Thresholds = THRESHOLDS, seed: int = SEED,
) -> Float[Tensor, "n m"]:  # fmt: skip
    """How probable it is that a relation holds of each subject and each anchor.

    Every relation of two things is there that needs no front of its own.

    Args:
        name: One of `CLOSED_FORMS`, `SHRUNK`, `FIRST_ORDER` and `SAMPLED`.
        subjects: n boxes, each with an error of its own.
        anchors: m boxes on the same device, or the very `subjects`: then they are the same things,
            and a pair of one and itself has no meaning.
        view: Where the viewer looks, world frame; for the relations of the viewer.
        limit: For `within`, metres.
        thresholds: Every number that a relation turns on.
        seed: Of the sampled worlds.

    Raises:
        InputError: If there is no such relation, or a view or limit is missing or out of place.
        UnsupportedError: If so many pairs would not fit in memory.

    Examples:
        >>> box = Boxes3D(
        ...     centers=torch.zeros(1, 3), sizes=torch.ones(1, 3), axes=torch.eye(3)[None],
        ...     covariance=0.1**2 * torch.eye(6)[None],
        ... )
        >>> right = Boxes3D(
        ...     centers=torch.tensor([[0.2, 0, 0]]), sizes=torch.ones(1, 3), axes=box.axes
        ... )
        >>> ahead = torch.tensor([0.0, 1.0, 0.0])
        >>> round(float(relation_probability("left_of", box, right, view=ahead)), 2)
        0.84
        >>> nothing = box[torch.zeros(0, dtype=torch.long)]
        >>> relation_probability("near", box, nothing).shape
        torch.Size([1, 0])
    """
    _check_needs(name, view, limit)
    check_pairs(len(subjects), len(anchors))
    if view is not None:
        return _side_chance(subjects, anchors, _way(name, view).to(subjects.centers), thresholds)
    if name in ("shorter", "smaller"):
        inverse = {"shorter": "taller", "smaller": "bigger"}[name]
        return relation_probability(inverse, anchors, subjects).T
    if name == "bigger":
        return _chance(*_differences(_volume, subjects, anchors))
    if name in _ALIKE and not _is_exact(subjects, anchors):
        return _ALIKE[name](subjects, anchors, thresholds)
    if name in ("taller", "longer"):
        return _more_chance(_height if name == "taller" else _longest, subjects, anchors)
    if name in FIRST_ORDER:
        limits = {
            "touches": thresholds.touch_gap, "near": thresholds.near_gap, "far": thresholds.far_gap,
        }  # fmt: skip
        close = _within_chance(subjects, anchors, limits[name] if limit is None else limit)
        return 1 - close if name == "far" else close
    return _share_of_worlds(name, subjects, anchors, thresholds, seed)


def _check_needs(name: str, view: Tensor | None, limit: float | None) -> None:
    known = (*CLOSED_FORMS, *SHRUNK, *FIRST_ORDER, *SAMPLED)
    if name not in known:
        raise InputError(f"relation: expected one of {', '.join(known)}; got {name!r}")
    for what, given, needed in (
        ("view", view is not None, name in relations.VIEWER_RELATIONS),
        ("limit", limit is not None, name == "within"),
    ):
        if given != needed:
            raise InputError(f"relation {name!r} {'needs' if needed else 'takes no'} {what}")


def _way(name: str, view: Float[Tensor, " 3"]) -> Float[Tensor, " 3"]:
    """The direction along which a subject is further, of length 1."""
    flat = torch.stack([view[0], view[1], torch.zeros_like(view[0])])
    if not float(flat.norm()) > 1e-6:
        raise InputError(f"view: expected a direction with a horizontal part, got {view.tolist()}")
    ahead = flat / flat.norm()
    left = torch.stack([-ahead[1], ahead[0], ahead[2]])
    ways: dict[str, Tensor] = {
        "left_of": left,
        "right_of": -left,
        "in_front_of": -ahead,
        "behind": ahead,
    }
    return ways[name]


def _side_chance(
    subjects: Boxes3D, anchors: Boxes3D, way: Float[Tensor, " 3"], thresholds: Thresholds
) -> Float[Tensor, "n m"]:
    """The chance that a centre lies further along a direction by more than the offset."""
    slope = torch.cat([way, torch.zeros_like(way)])
    first, other = (variance_of(b, slope.expand(len(b), 6)) for b in (subjects, anchors))
    lead = (subjects.centers @ way)[:, None] - anchors.centers @ way - thresholds.side_offset
    return _chance(lead, first[:, None] + other)


def _more_chance(measure: Measured, subjects: Boxes3D, anchors: Boxes3D) -> Float[Tensor, "n m"]:
    """The chance that a measure of each subject exceeds that of each anchor."""
    lead, variance = _differences(measure, subjects, anchors)
    known = variance > 0
    if subjects is anchors:
        known &= ~torch.eye(len(subjects), dtype=torch.bool, device=known.device)
    shrunk = positive_chance(lead[known], variance[known])
    return _chance(lead, variance).masked_scatter(known, shrunk)


def _differences(
    measure: Measured, subjects: Boxes3D, anchors: Boxes3D
) -> tuple[Float[Tensor, "n m"], Float[Tensor, "n m"]]:
    """How much more each subject measures than each anchor, and the variance of that."""
    (more, first), (less, other) = (measure(boxes) for boxes in (subjects, anchors))
    return more[:, None] - less, first[:, None] + other


def _longest(boxes: Boxes3D) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """The longest side and its variance."""
    longest, place = boxes.sizes.max(dim=1)
    slope = torch.zeros_like(boxes.sizes).scatter(1, place[:, None], 1.0)
    return longest, variance_of(boxes, torch.cat([torch.zeros_like(slope), slope], dim=1))


def _volume(boxes: Boxes3D) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """The volume and its variance to first order."""
    x, y, z = boxes.sizes.unbind(dim=1)
    slope = torch.stack([y * z, x * z, x * y], dim=1)
    return x * y * z, variance_of(boxes, torch.cat([torch.zeros_like(slope), slope], dim=1))


def _height(boxes: Boxes3D) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """The vertical extent and its variance."""
    share = boxes.axes[:, :, 2].abs()
    slope = torch.cat([torch.zeros_like(share), share], dim=1)
    return (share * boxes.sizes).sum(dim=1), variance_of(boxes, slope)


def _within_chance(subjects: Boxes3D, anchors: Boxes3D, limit: float) -> Float[Tensor, "n m"]:
    """The chance that the gap is at most the limit, to first order."""
    rows = torch.arange(len(subjects), device=subjects.centers.device)
    columns = torch.arange(len(anchors), device=rows.device)
    pairs = torch.cartesian_prod(rows, columns).reshape(-1, 2)
    gap, spread = signed_gap(subjects[pairs[:, 0]], anchors[pairs[:, 1]])
    chance = _chance(limit - gap, spread.square(), at_zero=True)
    return chance.view(len(subjects), len(anchors))


def _chance(
    lead: Float[Tensor, "*shape"], variance: Float[Tensor, "*shape"], *, at_zero: bool = False
) -> Float[Tensor, "*shape"]:
    """The chance that a normal variable is positive; what is certain is 0 or 1."""
    sure = (lead >= 0 if at_zero else lead > 0).to(lead)
    chance = torch.special.ndtr(lead / variance.sqrt().clamp(min=_TINY))
    return torch.where(variance > 0, chance, sure)


def _share_of_worlds(
    name: str, subjects: Boxes3D, anchors: Boxes3D, thresholds: Thresholds, seed: int
) -> Float[Tensor, "n m"]:
    """The share of the sampled worlds in which a relation holds."""
    holds, n = DEFINITIONS[name].function, len(subjects)
    total = subjects.centers.new_zeros(n, len(anchors))
    if _is_exact(subjects, anchors) or not total.numel():
        return torch.add(total, holds(subjects, anchors, thresholds=thresholds))
    same = subjects is anchors
    for world in sampled_worlds(subjects if same else _joined(subjects, anchors), seed=seed):
        first, other = (world, world) if same else (_part(world, 0, n), _part(world, n, None))
        total += holds(first, other, thresholds=thresholds)
    return torch.div(total, SAMPLES)


def _is_exact(a: Boxes3D, b: Boxes3D) -> bool:
    return a.covariance is None and b.covariance is None


def _root(boxes: Boxes3D) -> Float[Tensor, "n 6 6"]:
    """What turns independent noise into the boxes' own; a covariance may be singular."""
    values, vectors = torch.linalg.eigh(covariance_of(boxes))
    return torch.mul(vectors, values.clamp(min=0).sqrt()[:, None])


def _joined(a: Boxes3D, b: Boxes3D) -> Boxes3D:
    return Boxes3D(
        centers=torch.cat([a.centers, b.centers]),
        sizes=torch.cat([a.sizes, b.sizes]),
        axes=torch.cat([a.axes, b.axes]),
        covariance=torch.cat([covariance_of(a), covariance_of(b)]),
    )


def _part(boxes: Boxes3D, start: int, end: int | None) -> Boxes3D:
    rows = slice(start, end)
    return Boxes3D(centers=boxes.centers[rows], sizes=boxes.sizes[rows], axes=boxes.axes[rows])
