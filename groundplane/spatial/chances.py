"""Probabilities of relations between boxes that are known up to noise.

`CLOSED_FORMS` have one, since they compare a linear form of the boxes with a number. All other
relations have the share of `SAMPLES` sampled worlds in which they hold. Sampled worlds come one
after another from one generator on the CPU, so that neither the device nor the number of worlds
taken at a time changes any of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.spatial import relations
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.relations import THRESHOLDS, Thresholds
from groundplane.spatial.scene import check_pairs
from groundplane.spatial.uncertainty import covariance_of, variance_of

__all__ = ["CLOSED_FORMS", "SAMPLES", "SEED", "relation_probability", "sampled_worlds"]

# A share of 200 worlds is off by 0.035 at most: one standard deviation, at a probability of half.
SAMPLES = 200
SEED = 0
# What these compare is linear in the boxes: centres along a direction.
CLOSED_FORMS = relations.VIEWER_RELATIONS
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
    thresholds: Thresholds = THRESHOLDS, samples: int = SAMPLES, seed: int = SEED,
) -> Float[Tensor, "n m"]:  # fmt: skip
    """How probable it is that a relation holds of each subject and each anchor.

    Args:
        name: A relation of `WORLD_RELATIONS`, or of `VIEWER_RELATIONS`.
        subjects: n boxes, each with an error of its own.
        anchors: m boxes. A pair of a box and itself has no meaning here.
        view: Where the viewer looks, world frame; for the relations of the viewer.
        thresholds: Every number that a relation turns on.
        samples: Worlds to sample for a relation without a closed form.
        seed: Of the generator.

    Raises:
        InputError: If there is no such relation, or a view is missing or out of place.

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
    """
    needs_view = name in relations.VIEWER_RELATIONS
    if not needs_view and name not in relations.WORLD_RELATIONS:
        known = ", ".join((*relations.WORLD_RELATIONS, *relations.VIEWER_RELATIONS))
        raise InputError(f"relation: expected one of {known}; got {name!r}")
    if needs_view != (view is not None):
        need = "needs a view" if needs_view else "takes no view"
        raise InputError(f"relation {name!r} {need}; it is where the viewer looks")
    if view is not None:
        return _side_probability(name, subjects, anchors, view, thresholds.side_offset)
    check_pairs(len(subjects), len(anchors))
    holds = getattr(relations, name)
    both, n = _joined(subjects, anchors), len(subjects)
    total = subjects.centers.new_zeros(n, len(anchors))
    for world in sampled_worlds(both, samples=samples, seed=seed):
        total += holds(_part(world, slice(0, n)), _part(world, slice(n, None)),
                       thresholds=thresholds)  # fmt: skip
    return total / samples


def _side_probability(
    name: str, subjects: Boxes3D, anchors: Boxes3D, view: Float[Tensor, " 3"], offset: float
) -> Float[Tensor, "n m"]:
    """The chance that the difference of the centres along a direction exceeds the offset."""
    flat = torch.stack([view[0], view[1], torch.zeros_like(view[0])])
    ahead = flat / flat.norm()
    left = torch.stack([-ahead[1], ahead[0], ahead[2]])
    way = {"left_of": left, "right_of": -left, "in_front_of": -ahead, "behind": ahead}[name]
    way = way.to(subjects.centers)
    lead = (subjects.centers @ way)[:, None] - anchors.centers @ way
    slope = torch.cat([way, torch.zeros_like(way)])
    variance = variance_of(subjects, slope.expand(len(subjects), 6))[:, None] + variance_of(
        anchors, slope.expand(len(anchors), 6)
    )
    sure = (lead > offset).to(lead)
    chance = torch.special.ndtr((lead - offset) / variance.sqrt().clamp(min=_TINY))
    return torch.where(variance > 0, chance, sure)


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


def _part(boxes: Boxes3D, rows: slice) -> Boxes3D:
    return Boxes3D(centers=boxes.centers[rows], sizes=boxes.sizes[rows], axes=boxes.axes[rows])
