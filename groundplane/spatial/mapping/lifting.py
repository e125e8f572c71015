"""Regions of a frame, lifted into the world: points, upright boxes, and how sure they are.

A region's pixels are read off the runs of its mask, a grid's worth of them and none twice. Their
depths are the only thing that leaves the device, once a frame; all regions go on together, as one
column of points. How sure a box is, and why, is told on the page docs/mapping.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.regions import Regions
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.mapping.depth_clusters import above_ground, main_depths
from groundplane.spatial.mapping.faces import Sampling, faces_of
from groundplane.spatial.mapping.oriented import LEAST_SIZE, fit_uprights
from groundplane.spatial.mapping.outlines import SIDES, nearer_shares, outline_of
from groundplane.spatial.mapping.region_pixels import (
    RegionPixels,
    RegionSpans,
    spans_of_boxes,
    spans_of_masks,
)
from groundplane.spatial.mapping.sightings import Sightings
from groundplane.spatial.mapping.spread import covariance_of_faces, hidden_variance

__all__ = ["Lifter", "LiftingOptions"]

# A mask of which erosion leaves less than this share is thin: it is taken as it is.
_THIN = 0.25
# Standard deviation of the outline of a mask, pixels, and of a box, as a share of its side: with
# noise of depth the floor and the wall round a thing in a box are told from it less well.
_OUTLINE_OF_MASK, _OUTLINE_OF_BOX = 0.5, 0.07
# Standard deviations of depth by which a point of the ground may lie above the lowest one.
_SLACK = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftingOptions:
    """How regions are lifted.

    Attributes:
        points: About how many a region gives at most; at most twice as many.
        erosion: Pixels taken off a mask's rim, where depths mix.
        box_share: The share of a box's sides within which the thing's depth is sought, where a
            region has no mask.
        gap: An emptiness of twice this share of the depth parts a thing from what is behind it.
        piece_share: Parts of a mask apart in depth are kept from this share of its pixels on.
        least_points: Regions with fewer points are left out, and named.
        least_size: No side of a box is shorter, metres.
        jump: How much nearer a neighbour is that hides something, as a share of the depth.
        hidden_share: From this share of a side of the outline on, the region counts as occluded.

    Raises:
        InputError: If a value is out of range.
    """

    points: int = 1_000
    erosion: int = 1
    box_share: float = 0.5
    gap: float = 0.04
    piece_share: float = 0.1
    least_points: int = 8
    least_size: float = LEAST_SIZE
    jump: float = 0.05
    hidden_share: float = 0.2

    def __post_init__(self) -> None:
        for name, low, high in (
            ("points", 1, 2**20), ("erosion", 0, 16), ("least_points", 1, 2**20),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise InputError(
                    f"lifting: {name} must lie in [{low}, {high}], got {getattr(self, name)}"
                )
        for name in ("box_share", "gap", "piece_share", "jump", "hidden_share"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"lifting: {name} must lie in (0, 1], got {getattr(self, name)}")
        if not 0 < self.least_size < float("inf"):
            raise InputError(f"lifting: least_size must be positive, got {self.least_size}")


class Lifter:
    """Lifts regions of frames.

    Args:
        options: How.

    Examples:
        >>> from groundplane.core.image import FrameMap, Image, Source
        >>> black, source = np.zeros((8, 8, 3), dtype=np.uint8), Source(name="w", content_hash="")
        >>> picture = Image(pixels=black, source=source, frame_map=FrameMap.identity())
        >>> camera = Camera(K=np.array([[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]), T_world_cam=np.eye(4))
        >>> frame = Frame(image=picture, camera=camera, depth=torch.full((8, 8), 2.0))
        >>> wall = Regions(
        ...     ids=("a",), boxes=torch.tensor([[2.0, 2, 6, 6]]), scores=torch.ones(1),
        ...     phrases=("wall",), phrase_ids=torch.zeros(1, dtype=torch.long), image_size=(8, 8),
        ... )
        >>> seen = Lifter().lift(wall, frame)
        >>> seen.region_ids, seen.boxes.centers.tolist(), seen.counts.tolist()
        (('0:a',), [[0.0, 0.0, 2.0]], [16])
        >>> len(Lifter().lift(Regions.empty(phrases=["wall"], image_size=(8, 8)), frame))
        0
    """

    def __init__(self, options: LiftingOptions = LiftingOptions()) -> None:
        self.options = options

    def lift(
        self, regions: Regions, frame: Frame, *, features: Float[Tensor, "n d"] | None = None
    ) -> Sightings:
        """Lift the regions of one frame.

        Args:
            regions: In the frame's picture, with masks or without.
            frame: With depth, intrinsics and pose; z up.
            features: One row a region; they go with it.

        Returns:
            The regions that have enough depth, in their order, on the depth's device; `dropped`
            tells of the others. Ids are those of the regions behind the frame's index.

        Raises:
            InputError: If the frame has no depth, camera or pose, or a mask is malformed.
            ShapeError: If regions, masks or features do not fit the picture or one another.
        """
        _, depth = _geometry_of(frame)
        _check_sizes(regions, frame, features)
        taken = _take_pixels(regions, self.options, (depth.shape[0], depth.shape[1]))
        seen = _look(taken, frame, self.options)
        good = seen.counts >= self.options.least_points
        dropped = tuple(
            (f"{frame.index}:{regions.ids[i]}", _why_not(taken, seen, int(i), self.options))
            for i in np.flatnonzero(~good)
        )
        points, counts = seen.points, seen.counts
        if dropped:
            points, counts = points[np.repeat(good, counts)], counts[good]
        beyond = np.maximum(taken.borders, seen.nearer)[good]
        boxes = _boxes_of(points, counts, taken.sampling.select(good), beyond, frame, self.options)
        device = depth.device
        rows = torch.from_numpy(np.flatnonzero(good))
        kept = regions.select(rows.to(regions.boxes.device)) if dropped else regions
        return Sightings(
            frame=frame.index,
            time=frame.time,
            region_ids=tuple(f"{frame.index}:{name}" for name in kept.ids),
            labels=kept.labels(),
            scores=kept.scores.to(device),
            points=torch.from_numpy(points).to(device),
            counts=torch.from_numpy(counts).to(device),
            pixels=torch.from_numpy(taken.areas[good]).to(device),
            boxes=boxes.to(device),
            truncated=torch.from_numpy(taken.borders[good].any(axis=1)).to(device),
            occluded=torch.from_numpy(
                (seen.nearer[good] >= self.options.hidden_share).any(axis=1)
            ).to(device),
            features=None if features is None else features[rows.to(features.device)],
            dropped=dropped,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Taken:
    """What of a picture stands for its regions."""

    pixels: RegionPixels
    areas: Int64[np.ndarray, " n"]
    borders: Bool[np.ndarray, "n 4"]
    sampling: Sampling
    central: Bool[np.ndarray, " p"] | None  # pixels in the middle of their box; None for masks
    size: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Seen:
    """What the depths say of the regions."""

    points: Float[np.ndarray, "p 3"]
    counts: Int64[np.ndarray, " n"]
    known: Int64[np.ndarray, " n"]  # pixels with a depth, the thing's or not
    nearer: Float64[np.ndarray, "n 4"]


def _geometry_of(frame: Frame) -> tuple[Camera, Float[Tensor, "h w"]]:
    camera, depth = frame.camera, frame.depth
    missing = [
        name
        for name, absent in (
            ("depth", depth is None),
            ("intrinsics", camera is None),
            ("a pose", camera is None or camera.T_world_cam is None),
        )
        if absent
    ]
    if missing or camera is None or depth is None:
        raise InputError(
            f"lifting: frame {frame.index} has no {' and no '.join(missing)}; let a geometry "
            "expert fill it in, such as recorded, depth-anything or odometry"
        )
    return camera, depth


def _check_sizes(regions: Regions, frame: Frame, features: Tensor | None) -> None:
    height, width = frame.image.pixels.shape[:2]
    if tuple(regions.image_size) != (width, height):
        raise ShapeError(
            f"lifting: regions in a picture of {tuple(regions.image_size)} pixels, but frame "
            f"{frame.index} has {(width, height)} (width, height)"
        )
    if features is not None and len(features) != len(regions):
        raise ShapeError(f"lifting: {len(regions)} regions but {len(features)} rows of features")


def _take_pixels(regions: Regions, options: LiftingOptions, size: tuple[int, int]) -> _Taken:
    """Choose the pixels of each region."""
    sides = regions.boxes.detach().cpu().double().numpy()
    if regions.masks is None:
        spans = whole = spans_of_boxes(sides, size)
        lost = np.zeros(len(regions), dtype=np.int64)
        outline = _OUTLINE_OF_BOX * np.abs(sides[:, 2:] - sides[:, :2]).mean(axis=1)
    else:
        whole = spans_of_masks(regions.masks, size)
        spans, lost = _eroded(whole, options.erosion)
        outline = np.full(len(regions), _OUTLINE_OF_MASK)
    strides = np.ceil(np.sqrt(spans.areas() / options.points)).astype(np.int64)
    strides = np.maximum(strides, 1)
    pixels = spans.on_grid(strides)
    return _Taken(
        pixels=pixels,
        areas=whole.areas(),
        borders=whole.at_borders(),
        sampling=Sampling(strides=strides, lost=lost, outline=outline),
        central=None if regions.masks is not None else _in_middle(pixels, sides, options),
        size=size,
    )


def _eroded(whole: RegionSpans, pixels: int) -> tuple[RegionSpans, Int64[np.ndarray, " n"]]:
    """Masks without their rims, thin ones as they are; and what each lost."""
    core = whole.eroded(pixels)
    thin = core.areas() < _THIN * whole.areas()
    if thin.any():
        rest, uncut = core.select(~thin[core.owner]), whole.select(thin[whole.owner])
        core = rest.joined(uncut)
    return core, np.where(thin, 0, pixels)


def _in_middle(
    pixels: RegionPixels, boxes: Float64[np.ndarray, "n 4"], options: LiftingOptions
) -> Bool[np.ndarray, " p"]:
    """Whether each pixel lies in the middle of its box."""
    low, high = boxes[:, :2], boxes[:, 2:]
    middle, half = ((low + high) / 2)[pixels.owner], ((high - low) / 2)[pixels.owner]
    place = np.column_stack([pixels.columns, pixels.rows]) + 0.5
    inside: Bool[np.ndarray, " p"] = (
        np.abs(place - middle) <= options.box_share * np.abs(half)
    ).all(axis=1)
    return inside


def _look(taken: _Taken, frame: Frame, options: LiftingOptions) -> _Seen:
    """Read the depths, drop what is not the thing, and go to the world."""
    camera, picture = _geometry_of(frame)
    num, pixels = len(taken.areas), taken.pixels
    reach = taken.sampling.strides + taken.sampling.lost + 1
    rim = outline_of(pixels, taken.size, step=reach)
    flat = pixels.rows * taken.size[1] + pixels.columns
    at, inside, near, far = _depths_at(picture, (flat, rim.inside, rim.near, rim.far))
    if taken.central is None:
        nearer = nearer_shares(rim, (inside, near, far), num, jump=options.jump)
    else:  # the outline of a box is not that of the thing in it
        nearer = np.zeros((num, 4))
    rows = np.flatnonzero((at > 0) & np.isfinite(at))
    known = np.bincount(pixels.owner[rows], minlength=num)
    central = None if taken.central is None else taken.central[rows]
    points = _points_at(pixels.rows[rows], pixels.columns[rows], at[rows], camera)
    owner, depth = pixels.owner[rows], at[rows]
    if central is not None:
        slack = _SLACK * frame.noise.sigma(torch.from_numpy(depth)).numpy()
        above = above_ground(points[:, 2], owner, num, slack=slack)
        points, owner, depth, central = points[above], owner[above], depth[above], central[above]
    main = main_depths(
        depth, owner, num, gap=options.gap, share=options.piece_share, central=central
    )
    if not main.all():
        points, owner = points[main], owner[main]
    return _Seen(
        points=points, counts=np.bincount(owner, minlength=num), known=known, nearer=nearer
    )


def _depths_at(
    depth: Float[Tensor, "h w"], places: tuple[Int64[np.ndarray, " _"], ...]
) -> list[Float[np.ndarray, " _"]]:
    """The depth at flat places of the picture: one way to the device and one back."""
    every = torch.from_numpy(np.concatenate(places)).to(depth.device)
    found = depth.detach().reshape(-1).index_select(0, every).cpu().numpy()
    return np.split(found, np.cumsum([place.size for place in places])[:-1])


def _points_at(
    rows: Int64[np.ndarray, " p"], columns: Int64[np.ndarray, " p"],
    depth: Float[np.ndarray, " p"], camera: Camera,
) -> Float[np.ndarray, "p 3"]:  # fmt: skip
    """Points in the world, float32."""
    assert camera.T_world_cam is not None
    pose = camera.T_world_cam.astype(np.float64)
    rays = pose[:3, :3] @ np.linalg.inv(camera.K.astype(np.float64))
    # The middle of a pixel lies half a pixel from its corner.
    rays[:, 2] += (rays[:, 0] + rays[:, 1]) / 2
    x, y = columns.astype(np.float32), rows.astype(np.float32)
    points = np.empty((depth.size, 3), dtype=np.float32)
    for axis, (a, b, c) in enumerate(rays.astype(np.float32)):
        points[:, axis] = (x * a + y * b + c) * depth + np.float32(pose[axis, 3])
    return points


def _boxes_of(
    points: Float[np.ndarray, "p 3"], counts: Int64[np.ndarray, " n"], sampling: Sampling,
    beyond: Float64[np.ndarray, "n 4"], frame: Frame, options: LiftingOptions,
) -> Boxes3D:  # fmt: skip
    """Boxes round the points, put right for pixels and noise, with how sure they are."""
    camera, _ = _geometry_of(frame)
    assert camera.T_world_cam is not None
    fitted = fit_uprights(points, counts)
    faces = faces_of(points, counts, fitted, camera, noise=frame.noise, sampling=sampling)
    axes, pose = fitted.axes, camera.T_world_cam.astype(np.float64)
    sizes = np.maximum(fitted.sizes + faces.shift.sum(axis=2), options.least_size)
    move = (faces.shift[..., 1] - faces.shift[..., 0]) / 2
    centers = fitted.centers + (move[..., None] * axes).sum(axis=1)
    sides = np.array(SIDES) @ pose[:3, :2].T
    hidden = hidden_variance(beyond, sides, axes, sizes)
    common = frame.noise.common * np.concatenate([centers - pose[:3, 3], sizes], axis=1)
    covariance = covariance_of_faces(
        faces.variance[..., 0] + hidden[0], faces.variance[..., 1] + hidden[1], axes, common=common
    )
    columns = (torch.from_numpy(column).float() for column in (centers, sizes, axes, covariance))
    center, size, axis, spread = columns
    return Boxes3D(centers=center, sizes=size, axes=axis, covariance=spread)


def _why_not(taken: _Taken, seen: _Seen, i: int, options: LiftingOptions) -> str:
    """Why a region was left out; in so few ways that whoever sees many can count them."""
    if not taken.areas[i]:
        return "it covers no pixel of the picture"
    if not seen.known[i]:
        return "none of the pixels looked at has a depth"
    return (
        "too few of the pixels looked at have a depth that is the thing's: "
        f"{options.least_points} are needed"
    )
