"""Oriented 3-D boxes in columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from groundplane.core.errors import ShapeError

__all__ = ["Boxes3D"]

# The eight corners of a box in half extents, in binary order: x varies slowest.
_SIGNS = tuple((x, y, z) for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Boxes3D:
    """Oriented boxes in the world frame, z up.

    Only shapes are checked here. A size of 0 is a sheet, a bar or a point; a box that holds NaN is
    unknown, and what is measured of it is NaN; a negative size has no meaning. Maps and scene files
    are stricter: they take finite, positive sizes and orthonormal axes only.

    Attributes:
        centers: Metres.
        sizes: Full extents along the box's own axes, metres.
        axes: Rows are the unit axes: row i belongs to `sizes[:, i]`.
        covariance: Of (center, size), metres squared, or None.
    """

    centers: Float[Tensor, "n 3"]
    sizes: Float[Tensor, "n 3"]
    axes: Float[Tensor, "n 3 3"]
    covariance: Float[Tensor, "n 6 6"] | None = None

    def __post_init__(self) -> None:
        n = self.centers.shape[0]
        for name, shape in (("centers", (n, 3)), ("sizes", (n, 3)), ("axes", (n, 3, 3))):
            got = tuple(getattr(self, name).shape)
            if got != shape:
                raise ShapeError(f"boxes: {name} must have shape {shape}, got {got}")
        if self.covariance is not None and tuple(self.covariance.shape) != (n, 6, 6):
            raise ShapeError(f"boxes: covariance must have shape {(n, 6, 6)}")

    def __len__(self) -> int:
        return int(self.centers.shape[0])

    def __getitem__(self, index: Int[Tensor, " m"] | Bool[Tensor, " n"]) -> Boxes3D:
        return Boxes3D(
            centers=self.centers[index],
            sizes=self.sizes[index],
            axes=self.axes[index],
            covariance=None if self.covariance is None else self.covariance[index],
        )

    def to(self, device: str | torch.device) -> Boxes3D:
        """The same boxes on another device."""
        return Boxes3D(
            centers=self.centers.to(device),
            sizes=self.sizes.to(device),
            axes=self.axes.to(device),
            covariance=None if self.covariance is None else self.covariance.to(device),
        )

    def corners(self) -> Float[Tensor, "n 8 3"]:
        """The eight corners, metres."""
        signs = self.centers.new_tensor(_SIGNS)
        local = signs[None] * (self.sizes / 2)[:, None]
        return self.centers[:, None] + local @ self.axes

    def hull(self) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        """Least and greatest corner of the axis-aligned hull, metres."""
        reach = (self.axes.abs() * (self.sizes / 2)[:, :, None]).sum(dim=1)
        return self.centers - reach, self.centers + reach

    def vertical(self) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Least and greatest height of each box, world z, metres."""
        low, high = self.hull()
        return low[:, 2], high[:, 2]

    def footprints(self) -> NDArray[np.object_]:
        """The outline of each box seen from above: a shapely geometry in x and y, metres.

        A polygon, or a line or point where the box stands on edge and has no thickness.
        """
        corners = self.corners()[..., :2].double().cpu().numpy()
        return np.asarray(shapely.convex_hull(shapely.multipoints(corners)), dtype=object)
