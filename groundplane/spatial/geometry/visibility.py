"""What is in sight from where, with boxes in the way.

Boxes are taken as opaque and full: what stands in a shelf is hidden by the shelf's box, though an
eye might see it. A box that holds the eye hides nothing, for nobody stands inside a solid thing:
such a box is the hull of something open.

How much of an object is in sight is a share of its solid angle, the part of the view that it would
fill with nothing in the way. It is summed over fixed sample points on the faces turned to the eye,
each weighted by the solid angle of its cell, so that the same scene gives the same share.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.box_pairs import ranges
from groundplane.spatial.geometry.gap import points_to_boxes

__all__ = ["EYE_HEIGHT", "Sight", "blocked", "eyes_at", "sees", "sight"]

# Metres above the floor: a person who stands. A convention, as good as its first digit.
EYE_HEIGHT = 1.6

# A box cut by less than this share of a line's length is grazed, not in the way; so much is also
# left out at both ends, where the line starts and ends on surfaces.
_GRAZED = 1e-5
# Lines times boxes worked on together: about a dozen tables of three numbers each.
_LINES_CPU = 65_536
_LINES_GPU = 4_194_304


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sight:
    """How much of each target each eye sees.

    Attributes:
        share: Of the target's solid angle, in [0, 1]; NaN where the eye or the target holds NaN.
        blocker: The box that hides most of the target from the eye, an index into the boxes; -1
            where nothing hides any of it.
    """

    share: Float[Tensor, "n t"]
    blocker: Int[Tensor, "n t"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Samples:
    """Points on the faces of k targets turned to k eyes, and what each stands for."""

    points: Float[Tensor, "k s 3"]
    weights: Float[Tensor, "k s"]


def eyes_at(boxes: Boxes3D, *, floor: float, height: float = EYE_HEIGHT) -> Float[Tensor, "n 3"]:
    """Eyes of a person who stands where each box is.

    Args:
        boxes: Places to stand, metres.
        floor: Height of the floor, world z, metres.
        height: Of the eyes above the floor, metres.

    Returns:
        A point over the middle of each box, or in it or under it, at that height.

    Examples:
        >>> box = Boxes3D(
        ...     centers=torch.tensor([[2.0, 1, 0.5]]),
        ...     sizes=torch.ones(1, 3),
        ...     axes=torch.eye(3)[None],
        ... )
        >>> eyes_at(box, floor=0.0)
        tensor([[2.0000, 1.0000, 1.6000]])
        >>> eyes_at(box[torch.zeros(0, dtype=torch.long)], floor=0.0).shape
        torch.Size([0, 3])
    """
    level = torch.full_like(boxes.centers[:, :1], floor + height)
    return torch.cat([boxes.centers[:, :2], level], dim=1)


def blocked(
    starts: Float[Tensor, "n 3"], ends: Float[Tensor, "n 3"], boxes: Boxes3D
) -> Bool[Tensor, "n m"]:
    """Whether each box is in the way of each straight line.

    Args:
        starts: World frame, metres.
        ends: As many points.
        boxes: m boxes on the same device. A sheet without thickness blocks what passes through it.

    Returns:
        True where the line runs through the box; touching or grazing is not enough. False where
        anything is NaN.

    Examples:
        >>> box = Boxes3D(
        ...     centers=torch.zeros(1, 3), sizes=torch.ones(1, 3), axes=torch.eye(3)[None]
        ... )
        >>> here = torch.tensor([[-3.0, 0, 0], [-3.0, 0, 0]])
        >>> blocked(here, torch.tensor([[3.0, 0, 0], [0, 3.0, 0]]), box)
        tensor([[ True],
                [False]])
        >>> blocked(here[:0], here[:0], box).shape
        torch.Size([0, 1])
    """
    parts = [
        _blocked(starts[rows], ends[rows], boxes)
        for rows in ranges(len(starts), step=_at_once(len(boxes), starts.device))
    ]
    none = torch.zeros(0, len(boxes), dtype=torch.bool, device=starts.device)
    return torch.cat(parts or [none])


def sight(
    eyes: Float[Tensor, "n 3"],
    boxes: Boxes3D,
    *,
    targets: Int[Tensor, " t"] | None = None,
    at: Int[Tensor, " n"] | None = None,
    samples: int = 5,
) -> Sight:
    """How much of each target is in sight of each eye, and what hides it most.

    Args:
        eyes: World frame, metres.
        boxes: All that may be seen or in the way, on the same device.
        targets: Which boxes to look at; all of them where None.
        at: Per eye the box that the viewer stands at, which hides nothing from that eye; -1 for
            none. None where nobody stands at a box.
        samples: Points along each side of a face: an object has up to 3 x samples x samples.

    Returns:
        One row per eye, one column per target. A target that holds the eye is seen in full. A bar
        or a point, which fills no solid angle, is given the plain share of its sample points.

    Raises:
        InputError: If `samples` is below 1.

    Examples:
        >>> boxes = Boxes3D(
        ...     centers=torch.tensor([[2.0, 0, 0], [5.0, 0, 0], [0, 5.0, 0]]),
        ...     sizes=torch.ones(3, 3),
        ...     axes=torch.eye(3).expand(3, 3, 3),
        ... )
        >>> seen = sight(torch.zeros(1, 3), boxes)
        >>> seen.share
        tensor([[1., 0., 1.]])
        >>> seen.blocker
        tensor([[-1,  0, -1]])
        >>> sight(torch.zeros(0, 3), boxes).share.shape
        torch.Size([0, 3])
    """
    if samples < 1:
        raise InputError(f"sight: samples must be at least 1, got {samples}")
    if targets is None:
        targets = torch.arange(len(boxes), device=eyes.device)
    ignored = points_to_boxes(eyes, boxes) == 0
    if at is not None:
        ignored |= at[:, None] == torch.arange(len(boxes), device=eyes.device)
    eye = torch.arange(len(eyes), device=eyes.device).repeat_interleave(len(targets))
    target = targets.repeat(len(eyes))
    step = _at_once(len(boxes), eyes.device)
    parts = [
        _look(eyes[eye[some]], boxes, target[some], ignored[eye[some]], samples=samples)
        for some in ranges(len(eye), step=step)
    ]
    shares = torch.cat([part[0] for part in parts] or [eyes.new_zeros(0)])
    blockers = torch.cat([part[1] for part in parts] or [targets.new_zeros(0)])
    shape = (len(eyes), len(targets))
    return Sight(share=shares.view(shape), blocker=blockers.view(shape))


def sees(
    eyes: Float[Tensor, "n 3"],
    boxes: Boxes3D,
    *,
    targets: Int[Tensor, " t"] | None = None,
    at: Int[Tensor, " n"] | None = None,
    samples: int = 5,
) -> Bool[Tensor, "n t"]:
    """Whether any sample point of each target is in sight of each eye; arguments as of `sight`.

    Examples:
        >>> boxes = Boxes3D(
        ...     centers=torch.tensor([[2.0, 0, 0], [5.0, 0, 0]]),
        ...     sizes=torch.ones(2, 3),
        ...     axes=torch.eye(3).expand(2, 3, 3),
        ... )
        >>> sees(torch.zeros(1, 3), boxes)
        tensor([[ True, False]])
        >>> sees(torch.zeros(0, 3), boxes).shape
        torch.Size([0, 2])
    """
    return sight(eyes, boxes, targets=targets, at=at, samples=samples).share > 0


def _at_once(many: int, device: torch.device) -> int:
    """How many rows of so many lines or boxes are worked on together."""
    return max(1, (_LINES_CPU if device.type == "cpu" else _LINES_GPU) // max(1, many))


def _blocked(
    starts: Float[Tensor, "n 3"], ends: Float[Tensor, "n 3"], boxes: Boxes3D
) -> Bool[Tensor, "n m"]:
    """`blocked` of a few lines."""
    way = ends - starts
    offset = (starts[:, None] - boxes.centers).movedim(-1, 0)
    return _cut(
        _turned(boxes.axes[None], offset),
        _turned(boxes.axes[None], way.T[:, :, None]),
        boxes.sizes.T[:, None] / 2,
        graze=_GRAZED * torch.linalg.vector_norm(way, dim=1)[:, None],
    )


def _turned(axes: Float[Tensor, "*rows 3 3"], vectors: Tensor) -> Tensor:
    """World vectors in the frames of boxes; x, y, z come first, and the rest broadcasts."""
    x, y, z = axes.unbind(dim=-1)
    parts = zip(x.unbind(dim=-1), y.unbind(dim=-1), z.unbind(dim=-1), strict=True)
    return torch.stack([vectors[0] * p + vectors[1] * q + vectors[2] * r for p, q, r in parts])


def _cut(place: Tensor, slope: Tensor, half: Tensor, *, graze: Tensor) -> Bool[Tensor, "*lines"]:
    """Whether lines go through boxes, each clipped by three slabs.

    Line t -> place + t * slope, t in [0, 1], runs in the frame of its box; x, y, z come first.
    """
    half = torch.maximum(half - graze, half / 2)
    tiny = torch.finfo(slope.dtype).tiny
    slope = torch.where(slope.abs() < tiny, tiny, slope)
    one, two = (-half - place) / slope, (half - place) / slope
    start = torch.minimum(one, two).amax(dim=0)
    end = torch.maximum(one, two).amin(dim=0)
    return (start <= end) & (end > _GRAZED) & (start < 1 - _GRAZED)


def _look(
    eyes: Float[Tensor, "k 3"],
    boxes: Boxes3D,
    target: Int[Tensor, " k"],
    ignored: Bool[Tensor, "k m"],
    *,
    samples: int,
) -> tuple[Float[Tensor, " k"], Int[Tensor, " k"]]:
    """Share of each target in sight of its eye, and the box that hides most of it."""
    held = ignored.gather(1, target[:, None])[:, 0]
    looked = _samples(eyes, boxes[target], count=samples)
    hides = _may_hide(eyes, boxes, target) & ~ignored.scatter(1, target[:, None], True)
    pair, box = hides.nonzero().unbind(dim=1)
    covered = torch.zeros_like(looked.weights)
    hidden = torch.zeros(ignored.shape, dtype=covered.dtype, device=covered.device)
    for some in ranges(len(pair), step=_at_once(covered.shape[1], eyes.device)):
        row, column = pair[some], box[some]
        cut = _hides(eyes[row], looked.points[row], boxes[column]).to(covered.dtype)
        covered.index_add_(0, row, cut)
        hidden[row, column] = (cut * looked.weights[row]).sum(dim=1)
    whole = looked.weights.sum(dim=1)
    seen = (looked.weights * (covered == 0)).sum(dim=1) / whole
    most, blocker = hidden.max(dim=1)
    # Of a target that holds the eye all is seen, save that NaN stays NaN.
    share = torch.where(held, whole / whole, seen.clamp(max=1))
    return share, torch.where((most > 0) & ~held, blocker, -1)


def _may_hide(
    eyes: Float[Tensor, "k 3"], boxes: Boxes3D, target: Int[Tensor, " k"]
) -> Bool[Tensor, "k m"]:
    """Whether the sphere about a box comes near any line from an eye to a target."""
    radius = torch.linalg.vector_norm(boxes.sizes, dim=1) / 2
    way = boxes.centers[target] - eyes
    offset = boxes.centers - eyes[:, None]
    square = way.square().sum(dim=1).clamp(min=torch.finfo(way.dtype).tiny)
    along = ((offset * way[:, None]).sum(dim=2) / square[:, None]).clamp(0, 1)
    distance = torch.linalg.vector_norm(offset - along[..., None] * way[:, None], dim=2)
    # A hundredth more than the spheres need: rounding must not lose a box.
    near: Tensor = distance <= 1.01 * (radius + radius[target][:, None])
    return near


def _hides(
    eyes: Float[Tensor, "c 3"], points: Float[Tensor, "c s 3"], boxes: Boxes3D
) -> Bool[Tensor, "c s"]:
    """Whether box i is between eye i and each of its points."""
    way = points - eyes[:, None]
    return _cut(
        _turned(boxes.axes, (eyes - boxes.centers).T)[:, :, None],
        _turned(boxes.axes[:, None], way.movedim(-1, 0)),
        boxes.sizes.T[:, :, None] / 2,
        graze=_GRAZED * torch.linalg.vector_norm(way, dim=2),
    )


def _samples(eyes: Float[Tensor, "k 3"], boxes: Boxes3D, *, count: int) -> _Samples:
    """Middles of the cells of the three faces that may be turned to an eye."""
    local = ((eyes - boxes.centers)[:, None] * boxes.axes).sum(dim=-1)
    half = boxes.sizes / 2
    side = torch.where(local < 0, -1.0, 1.0)
    steps = (torch.arange(count, device=eyes.device, dtype=local.dtype) + 0.5) * 2 / count - 1
    grid = torch.cartesian_prod(steps, steps).view(-1, 2)
    tiny = torch.finfo(local.dtype).tiny
    points, weights = [], []
    for axis in range(3):
        flat = grid.new_ones(len(grid), 3)
        flat[:, [k for k in range(3) if k != axis]] = grid
        scale = half.clone()
        scale[:, axis] *= side[:, axis]
        cells = flat * scale[:, None]
        away = local[:, None] - cells
        area = 4 * half[:, [k for k in range(3) if k != axis]].prod(dim=1) / len(grid)
        height = (local[:, axis].abs() - half[:, axis]).clamp(min=0)
        cube = torch.linalg.vector_norm(away, dim=-1).pow(3).clamp(min=tiny)
        points.append(cells)
        weights.append((area * height)[:, None] / cube)
    weight = torch.cat(weights, dim=1)
    weight = torch.where(weight.sum(dim=1, keepdim=True) == 0, torch.ones_like(weight), weight)
    cells = torch.cat(points, dim=1)
    world = (cells[..., None] * boxes.axes[:, None]).sum(dim=2) + boxes.centers[:, None]
    return _Samples(points=world, weights=weight)
