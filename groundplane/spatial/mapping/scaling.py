"""Relative depth becomes metres by something that is known: a size, a distance, the floor.

Networks for relative depth tell 1 / depth up to a factor and an offset, both unknown and other in
every frame (Ranftl et al., Towards Robust Monocular Depth Estimation, 2020, section 4). One known
thing gives the factor alone; two at unlike distances, or a floor, give both. Frames of one
reconstruction share one factor, and their poses have it too: see `common_scale`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch

from groundplane.core.camera import Camera, DepthNoise, Frame
from groundplane.core.errors import InputError, listing
from groundplane.core.geometry import UNKNOWN_SHIFT
from groundplane.core.regions import Regions
from groundplane.spatial.mapping.scale_references import (
    KnownDistance,
    Reference,
    of_distances,
    of_floor,
    of_objects,
)

__all__ = ["DepthScale", "Scaler", "ScalingOptions", "common_scale", "find_scale", "scaled"]

# References tell an offset only if their estimated 1 / depth differs by this factor.
_APART = 1.25
# By what share depths may be off where one known thing leaves the offset open: an assumption.
_OPEN_SHIFT = 0.2
# Farther than this is no depth of a room or street, metres.
_FARTHEST = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthScale:
    """How estimated depth becomes metres: 1 / metres = factor x (1 / depth) + shift.

    Attributes:
        factor: Above 0.
        shift: 1 / metres.
        error: By what share all depths of a frame may be off together, a standard deviation.
        notes: By what it was found, for the answer.

    Raises:
        InputError: If a number is out of range.
    """

    factor: float
    shift: float = 0.0
    error: float = 0.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (0 < self.factor < math.inf and math.isfinite(self.shift)):
            raise InputError(
                f"depth scale: expected a factor above 0 and a finite shift, got {self.factor} "
                f"and {self.shift}"
            )
        if not 0 <= self.error < math.inf:
            raise InputError(f"depth scale: expected an error of 0 or more, got {self.error}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingOptions:
    """What is known of a scene, to give relative depth its unit.

    Attributes:
        known: Metres of things by label, such as `{"door": 2.0}`; none is known by default.
        side: Which side of a thing's box these are of.
        camera_height: Of the camera over the floor, metres; 0: not known.
        up: Which way is up in the camera, for `camera_height`; None: from the frame's pose.
        distances: Measured distances to places of the picture.
        error: By what share sizes and heights may be off.

    Raises:
        InputError: If a number is out of range.
    """

    known: Mapping[str, float] = field(default_factory=dict)
    side: Literal["height", "width"] = "height"
    camera_height: float = 0.0
    up: tuple[float, float, float] | None = None
    distances: tuple[KnownDistance, ...] = ()
    error: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.camera_height < 10_000:
            raise InputError(f"scaling: expected camera_height in metres, got {self.camera_height}")
        if not 0 <= self.error <= 1:
            raise InputError(f"scaling: expected error as a share 0 to 1, got {self.error}")


class Scaler:
    """Gives frames of relative depth their unit, each by what is known in it.

    Args:
        options: See `ScalingOptions`.
    """

    def __init__(self, options: ScalingOptions) -> None:
        self._options = options

    def scale(self, frame: Frame, regions: Regions | None = None) -> Frame:
        """The frame in metres.

        Args:
            frame: Metric ones are given back as they are.
            regions: What was found in it, for sizes that are known by label.

        Returns:
            The frame in metres, or as it was with a note that says what is missing.

        Raises:
            InputError: If intrinsics or the way up, which the options need, are not known.
        """
        if frame.scale == "metric" or frame.depth is None:
            return frame
        found = find_scale(self.references(frame, regions), affine=UNKNOWN_SHIFT in frame.notes)
        if found is None:
            said = f"depth stays without unit: {self._missing()}"
            return replace(frame, notes=tuple(dict.fromkeys((*frame.notes, said))))
        return scaled(frame, found)

    def references(self, frame: Frame, regions: Regions | None = None) -> list[Reference]:
        """All that is known in a frame, of which `find_scale` makes its scale."""
        options = self._options
        found = of_distances(frame, options.distances)
        if options.camera_height:
            found += of_floor(
                frame,
                options.camera_height,
                up=options.up,
                affine=UNKNOWN_SHIFT in frame.notes,
                error=options.error,
            )
        if regions is not None and options.known:
            found += of_objects(
                frame, regions, options.known, side=options.side, error=options.error
            )
        return found

    def _missing(self) -> str:
        options = self._options
        looked = [f"no whole {label} was seen" for label in options.known]
        if options.camera_height:
            looked.append("too little floor was seen")
        return listing(looked, empty="nothing of known size, distance or height was given")


def find_scale(references: Sequence[Reference], *, affine: bool) -> DepthScale | None:
    """The scale that agrees best with all references; None where there is none.

    Args:
        references: Places whose distance is known.
        affine: Whether 1 / depth has an unknown offset as well.

    Raises:
        InputError: If a reference is no place in front of the camera.

    Examples:
        >>> near = Reference(inverse=0.5, disparity=1.0, error=0.05, what="a door (2.00 m)")
        >>> find_scale([near], affine=False)
        DepthScale(factor=0.5, shift=0.0, error=0.05, notes=('depth scaled by a door (2.00 m)',))
        >>> find_scale([], affine=False) is None
        True
    """
    if not references:
        return None
    for one in references:
        if not (0 < one.inverse < math.inf and 0 < one.disparity < math.inf):
            raise InputError(f"scaling: expected a place in front of the camera, got {one}")
    how = listing(dict.fromkeys(one.what for one in references))
    notes = [f"depth scaled by {how}"]
    disparities = [one.disparity for one in references]
    if affine and max(disparities) >= _APART * min(disparities):
        fitted = _affine(references, tuple(notes))
        if fitted is not None:
            return fitted
        notes.append("what is known contradicts itself: nearer things would be farther")
    ratios = np.log([one.inverse / one.disparity for one in references])
    weights = _weights(references)
    middle = float((weights * ratios).sum() / weights.sum())
    scatter = float((weights * (ratios - middle) ** 2).sum() / weights.sum())
    error = math.sqrt(_error(references) ** 2 + scatter)
    if affine:
        notes.append("what is much nearer or farther than that is less sure")
        error = math.hypot(error, _OPEN_SHIFT)
    return DepthScale(factor=math.exp(middle), error=error, notes=tuple(notes))


def common_scale(scales: Sequence[DepthScale]) -> DepthScale | None:
    """One scale for frames that share a unit, as those of one reconstruction do.

    The middle of the factors, so that one wrong frame does not move it; how far they scatter is
    part of its error. Frames of a network for single pictures share nothing: scale each alone.

    Raises:
        InputError: If one has a shift: those are frames that share no unit.

    Examples:
        >>> common_scale([DepthScale(factor=2.0), DepthScale(factor=2.0)]).factor
        2.0
        >>> common_scale([]) is None
        True
    """
    if not scales:
        return None
    if any(one.shift for one in scales):
        raise InputError(
            "scaling: expected frames that share a unit, got a scale with a shift, which is other "
            "in every frame. Try: scale each frame by itself"
        )
    logs = np.log([one.factor for one in scales])
    middle = float(np.median(logs))
    # 1.48 makes a standard deviation of the middle distance.
    scatter = 1.48 * float(np.median(np.abs(logs - middle)))
    error = math.hypot(float(np.median([one.error for one in scales])), scatter)
    notes = tuple(dict.fromkeys(note for one in scales for note in one.notes))
    return DepthScale(factor=math.exp(middle), error=error, notes=notes)


def scaled(frame: Frame, scale: DepthScale, *, with_pose: bool = False) -> Frame:
    """A frame in metres.

    Args:
        frame: Its depth is brought to metres; what would come to lie behind the camera or beyond
            a kilometre becomes unknown.
        scale: See `DepthScale`.
        with_pose: Whether the pose has the depth's unit and is brought to metres too, as in a
            reconstruction from pictures; else it is in metres already.

    Raises:
        InputError: If `with_pose` is asked for a scale with a shift, which no pose has.
    """
    if with_pose and scale.shift:
        raise InputError("scaling: expected a scale without shift for a pose, got one with it")
    depth, share, lost = frame.depth, 1.0, 0
    if depth is not None:
        known = depth > 0
        inverse = scale.factor / torch.where(known, depth, 1.0) + scale.shift
        good = known & (inverse > 1 / _FARTHEST)
        # By what share an error of 1 / depth counts in metres.
        slope = (inverse - scale.shift) / inverse
        share = float(slope[good].median()) if bool(good.any()) else 1.0
        lost = int((known & ~good).sum())
        depth = torch.where(good, 1 / inverse, 0.0)
    notes = [note for note in frame.notes if note != UNKNOWN_SHIFT] + list(scale.notes)
    if lost:
        notes.append(f"{lost} pixels are too far to tell after scaling")
    return replace(
        frame,
        depth=depth,
        camera=_moved(frame.camera, 1 / scale.factor) if with_pose else frame.camera,
        noise=_scaled_noise(frame.noise, scale, share=share),
        scale="metric",
        notes=tuple(dict.fromkeys(notes)),
    )


def _moved(camera: Camera | None, metres: float) -> Camera | None:
    if camera is None or camera.T_world_cam is None:
        return camera
    pose = camera.T_world_cam.astype(np.float64)
    pose[:3, 3] *= metres
    return replace(camera, T_world_cam=pose)


def _scaled_noise(noise: DepthNoise, scale: DepthScale, *, share: float) -> DepthNoise:
    """Shares stay shares, times what the shift does to them; lengths are scaled."""
    return DepthNoise(
        base=noise.base / scale.factor * share,
        linear=noise.linear * share,
        quadratic=noise.quadratic * scale.factor * share,
        common=math.hypot(noise.common * share, scale.error),
    )


def _affine(references: Sequence[Reference], notes: tuple[str, ...]) -> DepthScale | None:
    """Factor and shift by least squares; None where nearer things would come out farther."""
    d = np.array([one.disparity for one in references])
    inverse = np.array([one.inverse for one in references])
    weights = _weights(references) / inverse**2
    rows = np.stack([d, np.ones_like(d)], axis=1)
    normal = rows.T @ (weights[:, None] * rows)
    factor, shift = np.linalg.solve(normal, rows.T @ (weights * inverse)).tolist()
    if not (factor > 0 and math.isfinite(shift)):
        return None
    residual = (factor * d + shift - inverse) / inverse
    error = math.sqrt(_error(references) ** 2 + float((residual**2).mean()))
    return DepthScale(factor=factor, shift=shift, error=error, notes=notes)


def _weights(references: Sequence[Reference]) -> np.ndarray:
    return np.array([1 / max(one.error, 1e-3) ** 2 for one in references])


def _error(references: Sequence[Reference]) -> float:
    """Of all together; what is told twice by one thing, as a floor's two ends, counts once."""
    once = {one.what: max(one.error, 1e-3) for one in references}
    return 1 / math.sqrt(sum(1 / error**2 for error in once.values()))
