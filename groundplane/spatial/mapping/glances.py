"""The sightings of one frame, ready to be told apart: in an order that regions cannot choose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.mapping.cells import Cells
from groundplane.spatial.mapping.fusing import face_columns
from groundplane.spatial.mapping.sightings import Sightings
from groundplane.spatial.mapping.tallies import Glimpse
from groundplane.spatial.mapping.voxels import PLACE_BITS, Voxels
from groundplane.spatial.maps.matching import fold

__all__ = ["Glances", "take_in"]

# Points of each sighting that are looked for in the boxes of objects.
_SAMPLES = 48


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Glances:
    """What one frame shows, the surest sighting first.

    Attributes:
        glimpses: One a sighting, on the host.
        labels: Of each, folded.
        voxels: Of all, owned by their places in `glimpses`.
        cells: That the voxels lie in.
        moved: The same in the grid moved by half a cell.
        samples: Some points of each, metres, on the host.
        centers: Of the boxes, metres.
    """

    glimpses: tuple[Glimpse, ...]
    labels: tuple[str, ...]
    voxels: Voxels
    cells: Cells
    moved: Cells
    samples: Float[np.ndarray, "n k 3"]
    centers: Float[np.ndarray, "n 3"]

    def __len__(self) -> int:
        return len(self.glimpses)


def take_in(sightings: Sightings, *, voxel: float) -> Glances:
    """Bring the sightings of a frame into the builder's form.

    They are sorted by score, label and place, so that it does not matter in which order a
    detector named them.

    Args:
        sightings: At least one.
        voxel: Side of a voxel, metres.

    Raises:
        ShapeError: If the counts do not add up to the points.
        InputError: If a point, a score or the time is no good number, or a region has no points.
    """
    table = _host_table(sightings)
    counts = table[:, 1].astype(np.int64)
    if counts.sum() != len(sightings.points):
        raise ShapeError(
            f"sightings: {len(sightings.points)} points but counts of {counts.sum()} in all"
        )
    scores = table[:, 0]
    if not (np.isfinite(sightings.time) and ((scores >= 0) & (scores <= 1)).all()):
        raise InputError(
            f"sightings of frame {sightings.frame}: expected a finite time and scores in [0, 1]"
        )
    if len(counts) and counts.min() < 1:
        raise InputError(f"sightings of frame {sightings.frame}: a region has no points")
    order = np.lexsort((*table.T[5:8], counts, np.array(sightings.labels), -scores))
    rank = np.argsort(order)
    device = sightings.points.device
    owners = (
        torch.from_numpy(rank)
        .to(device)
        .repeat_interleave(torch.from_numpy(counts).to(device), output_size=len(sightings.points))
    )
    voxels = Voxels.of(sightings.points, owners=owners, size=voxel)
    cells, moved = Cells.grids(voxels, voxel=voxel)
    glimpses = tuple(_glimpse(sightings, table, i) for i in order.tolist())
    return Glances(
        glimpses=glimpses,
        labels=tuple(fold(glimpse.label) for glimpse in glimpses),
        voxels=voxels,
        cells=cells,
        moved=moved,
        samples=_samples(voxels, len(glimpses)),
        centers=table[order, 5:8],
    )


def _host_table(sightings: Sightings) -> Float[np.ndarray, "n c"]:
    """All small columns in one, so that they leave the device in one trip."""
    boxes, n = sightings.boxes, len(sightings)
    noise = boxes.covariance
    flat = boxes.centers.new_zeros(n, 36) if noise is None else noise.reshape(n, 36)
    singles = (
        sightings.scores,
        sightings.counts,
        sightings.pixels,
        sightings.truncated,
        sightings.occluded,
    )
    parts = [column.double()[:, None] for column in singles]
    parts += [boxes.centers.double(), boxes.axes.double().reshape(n, 9), flat.double()]
    parts.append(boxes.sizes.double())
    if sightings.features is not None:
        parts.append(sightings.features.double())
    return np.asarray(torch.cat(parts, dim=1).cpu().numpy())


def _glimpse(sightings: Sightings, table: Float[np.ndarray, "n c"], i: int) -> Glimpse:
    row = table[i]
    axes, noise = row[8:17].reshape(3, 3), row[17:53].reshape(6, 6)
    turn = np.eye(6)
    turn[3:, 3:] = axes.T
    return Glimpse(
        region=sightings.region_ids[i],
        label=sightings.labels[i],
        score=float(row[0]),
        time=sightings.time,
        pixels=int(row[2]),
        whole=not (row[3] or row[4]),
        # Centre, sizes, the first side seen from above, and how sure the faces are.
        box=[
            *row[5:8].tolist(),
            *row[53:56].tolist(),
            *row[8:10].tolist(),
            float(not row[3:5].any()),
            *face_columns(noise, axes).tolist(),
        ],
        spread=turn @ noise @ turn.T,
        looks=None if sightings.features is None else row[56:],
    )


def _samples(voxels: Voxels, num: int) -> Float[np.ndarray, "n k 3"]:
    """Every so many voxels of each sighting, as many of each."""
    device = voxels.keys.device
    edges = torch.arange(num + 1, device=device) << PLACE_BITS
    ends = torch.searchsorted(voxels.keys, edges)
    first, length = ends[:-1], ends[1:] - ends[:-1]
    steps = torch.arange(_SAMPLES, device=device)
    places = first[:, None] + steps * length[:, None] // _SAMPLES
    return np.asarray(_to_host(voxels.means[places]))


def _to_host(points: Float[Tensor, "n k 3"]) -> Float[np.ndarray, "n k 3"]:
    return np.asarray(points.double().cpu().numpy())
