"""VSI-Bench's distance between objects: between points sampled in their boxes.

The benchmark (Yang et al., Thinking in Space, 2024, arXiv:2412.14171) does not measure the exact
gap. It fills each box with a lattice of points and takes the least distance between two points of
different boxes, so its answers lie up to a step off the exact ones. `sampled_gap` gives the
benchmark's number without forming all pairs of points: for each point of one box the nearest point
of the other lattice is found by rounding, axis by axis.

The lattice of a box: along each of its own axes from one face on, every `step` metres, the far
face left out (`numpy.arange(-size / 2, size / 2, step)`); a side of no length keeps one layer,
where the benchmark would have no points at all. Points strictly inside the concentric box of half
the size are left out. What is left is a union of six blocks, one for each face, and in a block
the axes are independent: that makes the nearest point a matter of rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.boxes import Boxes3D

__all__ = ["sampled_gap"]

# Lattice points worked on together: about 60 numbers each, so 64 MB.
_CHUNK = 131_072
# At 5 cm this is a box of 50 metres each way: more is a mistake of unit, refused before it runs.
_MOST_POINTS = 10**9


def sampled_gap(a: Boxes3D, b: Boxes3D, *, step: float = 0.05) -> Float[Tensor, " n"]:
    """Least distance between the sampled points of box i of `a` and of box i of `b`.

    Args:
        a: n boxes, metres.
        b: As many boxes on the same device.
        step: Distance of neighbouring points along each axis of a box, metres.

    Returns:
        Metres. Never less than the exact gap, save by rounding, and not 0 for most boxes that
        overlap: no two points need fall together.

    Raises:
        ShapeError: If the numbers of boxes differ.
        InputError: If the step is not a positive number, or too small for the boxes.

    Examples:
        >>> def cube(x):
        ...     return Boxes3D(
        ...         centers=torch.tensor([[x, 0.0, 0.0]]),
        ...         sizes=torch.ones(1, 3),
        ...         axes=torch.eye(3)[None],
        ...     )
        >>> sampled_gap(cube(0.0), cube(3.0))  # the exact gap is 2; the far face is left out
        tensor([2.0500])
        >>> sampled_gap(cube(0.0)[torch.zeros(0).long()], cube(3.0)[torch.zeros(0).long()])
        tensor([])
    """
    if len(a) != len(b):
        raise ShapeError(
            f"sampled_gap: box i of a is paired with box i of b, got {len(a)} and {len(b)} boxes;"
            " repeat the shorter side"
        )
    if not (math.isfinite(step) and step > 0):
        raise InputError(f"sampled_gap: step must be a positive number of metres, got {step}")
    dtype = torch.promote_types(a.centers.dtype, b.centers.dtype)
    first, second = _Lattice.of(a, step=step), _Lattice.of(b, step=step)
    # The distance is the same both ways, so walk over the points of the smaller box.
    smaller = first.num_points() <= second.num_points()
    walked, other = first.where(smaller, second), second.where(smaller, first)
    return _walk(walked, other).to(dtype)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Lattice:
    """The sampled points of boxes, as indices along each axis. All float64.

    A point lies in the hollow, and is left out, where `low < index < high` along all three axes.
    """

    centers: Float[Tensor, "n 3"]
    axes: Float[Tensor, "n 3 3"]
    start: Float[Tensor, "n 3"]
    pace: Float[Tensor, "n 3"]
    counts: Float[Tensor, "n 3"]  # as floats, which neither wrap nor hide NaN
    low: Int[Tensor, "n 3"]
    high: Int[Tensor, "n 3"]

    @classmethod
    def of(cls, boxes: Boxes3D, *, step: float) -> _Lattice:
        """The lattice of each box."""
        sizes = boxes.sizes.double()
        start = -sizes / 2
        # numpy.arange takes its pace from its first two values; with the same rounding the same
        # points fall into the hollow.
        pace = (start + step) - start
        low = ((-sizes / 4 - start) / pace).floor()
        high = ((sizes / 4 - start) / pace).ceil()
        # A quarter of the size is exact and whole paces are as well, so `low` is; three quarters
        # may round across a point, so `high` is decided by the points themselves.
        high -= (start + (high - 1) * pace >= sizes / 4).double()
        high += (start + high * pace < sizes / 4).double()
        return cls(
            centers=boxes.centers.double(),
            axes=boxes.axes.double(),
            start=start,
            pace=pace,
            counts=(sizes / step).ceil().clamp(min=1),
            low=low.long(),
            high=high.long(),
        )

    def num_points(self) -> Float[Tensor, " n"]:
        """How many points each lattice holds, with its hollow."""
        return self.counts.prod(dim=1)

    def where(self, keep: Tensor, other: _Lattice) -> _Lattice:
        """This lattice where `keep` holds, the other one elsewhere."""
        names = ("centers", "axes", "start", "pace", "counts", "low", "high")
        mine = [getattr(self, name) for name in names]
        theirs = [getattr(other, name) for name in names]
        chosen = [
            torch.where(keep.reshape(-1, *(1,) * (x.ndim - 1)), x, y)
            for x, y in zip(mine, theirs, strict=True)
        ]
        return _Lattice(**dict(zip(names, chosen, strict=True)))

    def take(self, rows: Int[Tensor, " k"]) -> _Lattice:
        """The lattices of these boxes."""
        return _Lattice(
            centers=self.centers[rows],
            axes=self.axes[rows],
            start=self.start[rows],
            pace=self.pace[rows],
            counts=self.counts[rows],
            low=self.low[rows],
            high=self.high[rows],
        )

    def hollow(self) -> Bool[Tensor, "n 1"]:
        """Whether any point is left out."""
        return (self.low + 1 < self.high).all(dim=1, keepdim=True)


def _walk(walked: _Lattice, other: _Lattice) -> Float[Tensor, " n"]:
    """The least distance of each walked lattice to the other one."""
    num_points = walked.num_points()
    if len(num_points) == 0:
        return num_points
    # Zero times what is not finite is NaN: the box not walked must be finite as well.
    most = float((num_points + 0 * other.num_points()).max())
    if not most <= _MOST_POINTS:
        raise InputError(
            f"sampled_gap: the smaller box of a pair has {most:.3g} sample points, expected at"
            f" most {_MOST_POINTS:.3g}; check that sizes are finite and in metres, or raise step"
        )
    num_walked = num_points.long()
    ends = num_walked.cumsum(dim=0)
    best = torch.full_like(num_points, math.inf)
    total = int(ends[-1])
    for start in range(0, total, _CHUNK):
        flat = torch.arange(start, min(start + _CHUNK, total), device=ends.device)
        rows = torch.searchsorted(ends, flat, right=True)
        place = flat - (ends - num_walked)[rows]
        square = _nearest_square(walked.take(rows), place, other.take(rows))
        best.scatter_reduce_(0, rows, square, reduce="amin")
    return best.sqrt()


def _nearest_square(
    walked: _Lattice, place: Int[Tensor, " k"], other: _Lattice
) -> Float[Tensor, " k"]:
    """Squared distance of one point of each walked lattice to the nearest of the other."""
    counts = walked.counts.long()
    index = torch.stack(
        [
            place // (counts[:, 1] * counts[:, 2]),
            place // counts[:, 2] % counts[:, 1],
            place % counts[:, 2],
        ],
        dim=1,
    )
    local = walked.start + index * walked.pace
    left_out = ((walked.low < index) & (index < walked.high)).all(dim=1)
    offset = walked.centers - other.centers + (local[:, :, None] * walked.axes).sum(dim=1)
    seen = (offset[:, None] * other.axes).sum(dim=2)
    return torch.where(left_out, math.inf, _to_lattice(seen, other))


def _to_lattice(points: Float[Tensor, "k 3"], lattice: _Lattice) -> Float[Tensor, " k"]:
    """Squared distance of each point, in the lattice's own frame, to its nearest lattice point."""
    nearest = ((points - lattice.start) / lattice.pace).round().long()
    last = lattice.counts.long() - 1
    zero = torch.zeros_like(last)

    def squares(index: Tensor) -> Tensor:
        return (points - lattice.start - index * lattice.pace).square()

    free = squares(nearest.clamp(min=zero, max=last))
    below = squares(nearest.clamp(min=zero, max=lattice.low))
    above = squares(torch.minimum(torch.maximum(nearest, lattice.high), last))
    above = torch.where(lattice.high > last, math.inf, above)
    # Outside the hollow along one axis at least; there the two other axes are free.
    bound = torch.where(lattice.hollow(), torch.minimum(below, above), free)
    x, y, z = free.unbind(dim=1)
    blocks = [bound[:, 0] + y + z, x + bound[:, 1] + z, x + y + bound[:, 2]]
    return torch.stack(blocks).amin(dim=0)
