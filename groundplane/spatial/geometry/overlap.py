"""Volume that oriented boxes share, exactly, and their intersection over union.

The common part of two boxes is bounded by twelve planes. Its volume is a sum over its edges alone:
a body's volume is a sum over its faces of height times area, and a face's area a sum over its
edges in the same way (Lasserre, J. Optim. Theory Appl. 39, 1983). An edge lies on the line where
two planes meet and is that line clipped by the other box, so no polygon is ever built: edges of a
clipped by b, edges of b clipped by a, and the 36 lines where a face of one cuts a face of the
other.

Work is done in float64 whatever the boxes come in, for lines of nearly parallel planes lose half
the digits.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import ShapeError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.box_features import TOUCH, separation
from groundplane.spatial.geometry.box_pairs import Pairs, paired, ranges, tile_size, tiles, total

__all__ = ["paired_intersection", "paired_iou", "volume_intersection", "volume_iou"]

# Box b is taken larger by this share of the pair's extent: where faces of both boxes lie in one
# plane, an edge would else be counted once for each of them. It changes a volume by as little.
_LARGER = 2.0**-40
# Planes whose angle has a smaller sine do not meet in a line worth clipping (radians).
_PARALLEL = 1e-13
# The 36 lines of a pair take about ten tables of 36 numbers: 3,072 pairs of float64 take 10 MB.
_TILES_TO_A_VOLUME = 4


def volume_intersection(a: Boxes3D, b: Boxes3D) -> Float[Tensor, "n m"]:
    """Volume that each box of `a` shares with each box of `b`.

    Args:
        a: n boxes, metres.
        b: m boxes on the same device.

    Returns:
        Cubic metres; 0 where the boxes are apart or only touch, and for a box without thickness.
        A box holding NaN gives NaN.

    Source: Lasserre, An analytical expression and an algorithm for the volume of a convex
        polyhedron in R^n, J. Optim. Theory Appl. 39, 1983.

    Examples:
        >>> eye = torch.eye(3)[None]
        >>> one = Boxes3D(centers=torch.zeros(1, 3), sizes=torch.ones(1, 3), axes=eye)
        >>> near = Boxes3D(
        ...     centers=torch.tensor([[0.75, 0, 0]]), sizes=torch.ones(1, 3), axes=eye
        ... )
        >>> volume_intersection(one, near)
        tensor([[0.2500]])
        >>> volume_intersection(one, one[torch.zeros(0, dtype=torch.long)]).shape
        torch.Size([1, 0])
    """
    return _table(a, b).to(_dtype(a, b))


def volume_iou(a: Boxes3D, b: Boxes3D) -> Float[Tensor, "n m"]:
    """Shared volume over joint volume of each box of `a` with each box of `b`.

    Args:
        a: n boxes, metres.
        b: m boxes on the same device.

    Returns:
        A share in [0, 1]; 0 where neither box has a volume. A box holding NaN gives NaN.

    Examples:
        >>> eye = torch.eye(3)[None]
        >>> one = Boxes3D(centers=torch.zeros(1, 3), sizes=torch.ones(1, 3), axes=eye)
        >>> half = Boxes3D(
        ...     centers=torch.zeros(1, 3), sizes=torch.tensor([[1.0, 1.0, 0.5]]), axes=eye
        ... )
        >>> volume_iou(one, half)
        tensor([[0.5000]])
        >>> volume_iou(one[torch.zeros(0, dtype=torch.long)], one).shape
        torch.Size([0, 1])
    """
    return _share(_table(a, b), _volumes(a)[:, None], _volumes(b)).to(_dtype(a, b))


def paired_intersection(a: Boxes3D, b: Boxes3D) -> Float[Tensor, " n"]:
    """Volume that box i of `a` shares with box i of `b`, as `volume_intersection` gives it.

    Raises:
        ShapeError: If the numbers of boxes differ.

    Examples:
        >>> one = Boxes3D(
        ...     centers=torch.zeros(1, 3), sizes=torch.ones(1, 3), axes=torch.eye(3)[None]
        ... )
        >>> paired_intersection(one, one)
        tensor([1.])
        >>> paired_intersection(one[torch.zeros(0).long()], one[torch.zeros(0).long()])
        tensor([])
    """
    return _column(a, b, "paired_intersection").to(_dtype(a, b))


def paired_iou(a: Boxes3D, b: Boxes3D) -> Float[Tensor, " n"]:
    """Shared over joint volume of box i of `a` and box i of `b`, as `volume_iou` gives it.

    Raises:
        ShapeError: If the numbers of boxes differ.

    Examples:
        >>> one = Boxes3D(
        ...     centers=torch.zeros(1, 3), sizes=torch.ones(1, 3), axes=torch.eye(3)[None]
        ... )
        >>> paired_iou(one, one)
        tensor([1.])
        >>> paired_iou(one[torch.zeros(0).long()], one[torch.zeros(0).long()])
        tensor([])
    """
    return _share(_column(a, b, "paired_iou"), _volumes(a), _volumes(b)).to(_dtype(a, b))


def _dtype(a: Boxes3D, b: Boxes3D) -> torch.dtype:
    return torch.promote_types(a.centers.dtype, b.centers.dtype)


def _double(boxes: Boxes3D) -> Boxes3D:
    return Boxes3D(
        centers=boxes.centers.double(), sizes=boxes.sizes.double(), axes=boxes.axes.double()
    )


def _volumes(boxes: Boxes3D) -> Float[Tensor, " n"]:
    return boxes.sizes.double().prod(dim=1)


def _share(
    common: Float[Tensor, "*pairs"], a: Float[Tensor, "*_"], b: Float[Tensor, "*_"]
) -> Float[Tensor, "*pairs"]:
    """Common over joint volume; nothing over nothing is 0."""
    joint = a + b - common
    return torch.where(joint == 0, 0.0, common / joint).clamp(max=1)


def _poison(boxes: Boxes3D) -> Float[Tensor, " n"]:
    """0 for a box of finite numbers, NaN for any other."""
    numbers = [boxes.centers, boxes.sizes, boxes.axes.flatten(1)]
    return torch.cat(numbers, dim=1).double().mul(0).sum(dim=1)


def _table(a: Boxes3D, b: Boxes3D) -> Float[Tensor, "n m"]:
    """All common volumes, float64: only pairs whose upright hulls meet are looked at."""
    volumes = _poison(a)[:, None] + _poison(b)
    low_a, high_a = _double(a).hull()
    low_b, high_b = _double(b).hull()
    for rows, columns in tiles(len(a), len(b), size=tile_size(volumes.device)):
        meet = (low_a[rows, None] < high_b[None, columns]).all(dim=-1)
        meet &= (low_b[None, columns] < high_a[rows, None]).all(dim=-1)
        row, column = meet.nonzero().unbind(dim=1)
        row, column = row + rows.start, column + columns.start
        volumes[row, column] = _of_pairs(_double(a[row]), _double(b[column]))
    return volumes


def _column(a: Boxes3D, b: Boxes3D, name: str) -> Float[Tensor, " n"]:
    """The common volumes of box i and box i, float64."""
    if len(a) != len(b):
        raise ShapeError(
            f"{name}: box i of a is paired with box i of b, got {len(a)} and {len(b)} boxes;"
            " use volume_intersection or volume_iou for all pairs"
        )
    return _of_pairs(_double(a), _double(b)) + _poison(a) + _poison(b)


def _of_pairs(a: Boxes3D, b: Boxes3D) -> Float[Tensor, " n"]:
    """The common volumes of box i and box i, of boxes in float64."""
    volumes = torch.zeros_like(a.centers[:, 0])
    for part in ranges(len(a), step=tile_size(volumes.device) // _TILES_TO_A_VOLUME):
        some = torch.arange(part.start, part.stop, device=volumes.device)
        pairs = paired(a[some], b[some])
        met = (separation(pairs) <= pairs.rounding(TOUCH)).nonzero()[:, 0]
        volumes[some[met]] = _volume(pairs.pick(met))
    return torch.minimum(volumes, torch.minimum(_volumes(a), _volumes(b)))


def _volume(pairs: Pairs) -> Float[Tensor, " pairs"]:
    """The common volume of pairs that overlap, from the lengths of its edges."""
    larger = pairs.rounding(_LARGER / torch.finfo(torch.float64).eps)
    pairs = dataclasses.replace(pairs, half_b=pairs.half_b + larger)
    centre = pairs.to_b(pairs.offset)
    # How far the faces of b lie from the centre of a, outwards: lower faces, then upper ones.
    heights_b = torch.stack([pairs.half_b - centre, pairs.half_b + centre])
    heights_a = torch.stack([pairs.half_a, pairs.half_a])
    edges = _own_edges(pairs, heights_a) + _own_edges(pairs.swapped(), heights_b)
    volume = edges + _crossing_edges(pairs, heights_b)
    # What the enlarging alone may add is no volume: the boxes touch.
    surface = 8 * total(pairs.half_b * pairs.half_b.roll(1, dims=0), dim=0)
    return torch.where(volume <= 2 * larger * surface, 0.0, volume)


def _own_edges(pairs: Pairs, heights: Float[Tensor, "2 3 pairs"]) -> Float[Tensor, " pairs"]:
    """What the edges of the first box add to the volume; its faces are at right angles."""
    centre = -pairs.to_b(pairs.offset)[:, None, None]
    volume = torch.zeros_like(pairs.offset[0])
    for along in range(3):
        first, second = (k for k in range(3) if k != along)
        # Points of b's frame: the middles of the four edges; first face, second face, pairs.
        middles = centre + _arms(pairs, first)[:, :, None] + _arms(pairs, second)[:, None]
        inside = _clipped(
            middles,
            pairs.turn[along][:, None, None],
            pairs.half_b[:, None, None],
            reach=pairs.half_a[along],
        )
        weights = heights[:, None, first] * heights[None, :, second] / 3
        volume += (inside * weights).sum(dim=(0, 1))
    return volume


def _arms(pairs: Pairs, axis: int) -> Float[Tensor, "3 2 pairs"]:
    """From the centre of a to its lower and its upper face across an axis, in b's frame."""
    arm = pairs.turn[axis] * pairs.half_a[axis]
    return torch.stack([-arm, arm], dim=1)


def _crossing_edges(pairs: Pairs, heights: Float[Tensor, "2 3 pairs"]) -> Float[Tensor, " pairs"]:
    """What the lines where a face of a cuts a face of b add to the volume."""
    volume = torch.zeros_like(pairs.offset[0])
    for axis in range(3):
        for other in range(3):
            volume += _cuts(pairs, heights[:, other], axis=axis, other=other)
    return volume


def _cuts(
    pairs: Pairs, heights: Float[Tensor, "2 pairs"], *, axis: int, other: int
) -> Float[Tensor, " pairs"]:
    """What the four lines of two faces of a, across an axis, and two of b, across another, add."""
    sides = pairs.offset.new_tensor([-1.0, 1.0])[:, None]
    level = torch.stack([pairs.turn[k, other] for k in range(3) if k != axis])
    sine = level.square().sum(dim=0).sqrt()
    meet = sine > _PARALLEL
    sine = torch.where(meet, sine, 1.0)
    level = level / sine
    # Tables over the face of a, the face of b, the pairs.
    cosine = sides[:, None] * sides * pairs.turn[axis, other]
    height_a = pairs.half_a[axis]
    # In the plane of a's face, the line is so far from the middle of the face.
    away = (heights - cosine * height_a) / sine
    point = [away * sides * part for part in level]
    point.insert(axis, (sides * height_a)[:, None].expand_as(away))
    along = [-level[1], level[0]]
    along.insert(axis, torch.zeros_like(sine))
    inside = _cut_lengths(pairs, torch.stack(point), torch.stack(along), axis=axis, other=other)
    # Height times distance in both faces, so written that nearly parallel planes do not cancel.
    apart = height_a - cosine.sign() * heights
    product = sine.square() / (1 + cosine.abs()) * 2 * height_a * heights
    weights = (product - cosine * apart.square()) / (6 * sine)
    return torch.where(meet, (inside * weights).sum(dim=(0, 1)), 0.0)


def _cut_lengths(
    pairs: Pairs,
    point: Float[Tensor, "3 2 2 pairs"],
    along: Float[Tensor, "3 pairs"],
    *,
    axis: int,
    other: int,
) -> Float[Tensor, "2 2 pairs"]:
    """How long each line runs inside both boxes; it lies in a face of either across these axes."""
    of_a = [k for k in range(3) if k != axis]
    of_b = [k for k in range(3) if k != other]
    way = point - pairs.offset[:, None, None]
    places = [point[k] for k in of_a]
    places += [total(way * pairs.turn[:, k, None, None], dim=0) for k in of_b]
    slopes = [along[k] for k in of_a] + [total(along * pairs.turn[:, k], dim=0) for k in of_b]
    halves = [pairs.half_a[k] for k in of_a] + [pairs.half_b[k] for k in of_b]
    # No line inside a box is longer than the box's diagonal.
    return _clipped(
        torch.stack(places),
        torch.stack(slopes)[:, None, None],
        torch.stack(halves)[:, None, None],
        reach=2 * total(pairs.half_a + point[:, 0, 0].abs(), dim=0),
    )


def _clipped(
    places: Float[Tensor, "k 2 2 pairs"],
    slopes: Float[Tensor, "k 1 1 pairs"],
    halves: Float[Tensor, "k 1 1 pairs"],
    *,
    reach: Float[Tensor, " pairs"],
) -> Float[Tensor, "2 2 pairs"]:
    """Length of lines inside k slabs, from `-reach` to `reach` along each line.

    A line runs along slab i at `places[i] + t * slopes[i]`, and the slab is `halves[i]` deep on
    both sides of 0.
    """
    tiny = torch.finfo(slopes.dtype).tiny
    slopes = torch.where(slopes.abs() < tiny, tiny, slopes)
    one, two = (-halves - places) / slopes, (halves - places) / slopes
    start = torch.maximum(torch.minimum(one, two).amax(dim=0), -reach)
    end = torch.minimum(torch.maximum(one, two).amin(dim=0), reach)
    return (end - start).clamp(min=0)
