"""Do the poses of a capture fit its depth, and if not, how must they be read?

Depth of one frame is moved by the poses into another and compared with what that one saw. A wrong
reading (inverted, of another convention, another unit, another frame's) puts it elsewhere. Each is
tried, and the one that fits is named; nothing is corrected unless asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.camera import Camera, DepthNoise, Frame
from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.mapping.pose_readings import READINGS, scaled_moves
from groundplane.spatial.mapping.surfaces import grid_points

__all__ = ["PoseReport", "check_poses", "read_as"]

_Poses = Float[np.ndarray, "n 4 4"]
_Pairs = list[tuple[int, int]]

# Points of a frame that are moved into others; pairs of frames at most.
_POINTS = 800
_PAIRS = 24
# How far apart in the list the frames of a pair are: near ones overlap, far ones tell more.
_STRIDES = (1, 2, 4)
# Depth agrees within this share of it and twice its own error, but not within more than the most:
# there everything agrees.
_TOLERANCE, _MOST = 0.04, 0.2
# A reading that puts less than this share of the points into other views is not judged.
_OVERLAP = 0.05
# Poses fit if so much depth agrees; what nearer things hide in the other view never does.
_FITS = 0.55
# Poses do not fit, whatever else does, if less does; in between they may be good but rough.
_WRONG = 0.35
# Another reading is named only if it leaves less than this share of the disagreement, and agrees
# with so much more.
_LEFT, _MORE = 0.6, 0.06
# How far off the units of depth or of translations are, where they are.
_FACTORS = (0.001, 0.01, 0.1, 0.2, 5.0, 10.0, 100.0, 1000.0)
_UNITS = "pose units"
_SHIFTS = (1, -1, 2, -2, 3, -3)
# Distances at which indoor cameras see, metres.
_PLAUSIBLE = (0.2, 20.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseReport:
    """What was found of poses.

    Attributes:
        ok: Whether they fit as given; None where it cannot be told, as when they are so rough
            that nothing fits.
        reading: What fits: one of `READINGS`, `pose units`, `depth scale` or `unsynchronised`;
            `none` if nothing fits, `cannot tell` if it cannot be told.
        factor: What translations (`pose units`) or depths (`depth scale`) must be multiplied by.
        shift: A frame needs the pose of the frame so many places later in the list.
        agreement: Share of the depth that agrees, by reading; those that could be judged.
        message: What is wrong and what to do, in one line; or that they fit.
    """

    ok: bool | None
    reading: str
    factor: float = 1.0
    shift: int = 0
    agreement: Mapping[str, float]
    message: str

    @property
    def tells_unit(self) -> bool:
        """Whether the poses fit in their own unit clearly better than in any other.

        They do not where the camera stands, or sees nothing but one wall.
        """
        others = [share for name, share in self.agreement.items() if name.startswith(_UNITS)]
        given = self.agreement.get("as given", 0.0)
        return self.ok is True and given > max(others, default=0.0) + _MORE


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """One way to read the poses, and which pairs of frames can judge it."""

    reading: str
    poses: _Poses
    pairs: _Pairs
    factor: float = 1.0
    shift: int = 0

    @property
    def name(self) -> str:
        if self.reading == _UNITS:
            return f"{_UNITS} x {self.factor:g}"
        return f"poses shifted by {self.shift:+d}" if self.shift else self.reading


def check_poses(frames: Sequence[Frame], *, poses: _Poses | None = None) -> PoseReport:
    """Find which reading of the poses fits the depth.

    Args:
        frames: Some frames of a capture that overlap, in order, half a second apart or less;
            about ten tell. Those without metric depth, intrinsics or pose are passed over.
        poses: The matrices as a file has them, one a frame, where no camera can hold them, such
            as those that mirror. The poses of the frames are not looked at then.

    Raises:
        ShapeError: If there is not one pose a frame.

    Examples:
        >>> check_poses([]).message
        'cannot tell whether the poses fit: fewer than two frames have metric depth and a pose'
    """
    if poses is not None and len(poses) != len(frames):
        raise ShapeError(f"poses: {len(frames)} frames but {len(poses)} poses")
    kept, given = [], []
    for k, frame in enumerate(frames):
        if frame.depth is None or frame.camera is None or frame.scale != "metric":
            continue
        pose = frame.camera.T_world_cam if poses is None else poses[k]
        if pose is not None and _moves_rigidly(pose):
            kept.append(frame)
            given.append(pose)
    if len(kept) < 2:
        return _unsure({}, "fewer than two frames have metric depth and a pose")
    trials = list(_trials(np.array(given, dtype=np.float64)))
    views = [_View.of(frame) for frame in kept]
    shares = {trial.name: _agreement(trial, views) for trial in trials}
    return _judged(trials, {n: s for n, s in shares.items() if not math.isnan(s)}, kept)


def read_as(frame: Frame, report: PoseReport) -> Frame:
    """A frame with its pose or its depth read as a report says.

    Raises:
        InputError: If no frame can be read so by itself: it needs the pose of another, or no
            reading fits.
    """
    if report.reading == "depth scale":
        return replace(frame, depth=None if frame.depth is None else frame.depth * report.factor)
    if report.reading != "pose units" and report.reading not in READINGS:
        raise InputError(f"poses: a frame cannot be read as {report.reading!r}; {report.message}")
    camera = frame.camera
    if camera is None or camera.T_world_cam is None:
        return frame
    given = camera.T_world_cam[None].astype(np.float64)
    reading = READINGS.get(report.reading)
    read = scaled_moves(given, report.factor) if reading is None else reading.change(given)
    return replace(frame, camera=replace(camera, T_world_cam=read[0]))


def _moves_rigidly(pose: Float[np.ndarray, "4 4"]) -> bool:
    """Whether a matrix turns and moves; it may mirror."""
    turn = pose[:3, :3]
    return bool(np.isfinite(pose).all() and np.abs(turn @ turn.T - np.eye(3)).max() < 1e-2)


def _trials(poses: _Poses) -> Iterator[_Trial]:
    pairs = _pairs(len(poses))
    mirrors = bool(np.median(np.linalg.det(poses[:, :3, :3])) < 0)
    for name, reading in READINGS.items():
        if reading.mirrors == mirrors:
            yield _Trial(name, reading.change(poses), pairs)
    if mirrors:
        return
    for factor in _FACTORS:
        yield _Trial("pose units", scaled_moves(poses, factor), pairs, factor=factor)
    for shift in _SHIFTS:
        inside = range(max(0, -shift), len(poses) - max(0, shift))
        moved = [(i, j) for i, j in pairs if i in inside and j in inside]
        yield _Trial("unsynchronised", np.roll(poses, -shift, axis=0), moved, shift=shift)


def _pairs(num: int) -> _Pairs:
    """Pairs of frames, evenly over the list."""
    pairs = [(i, i + stride) for stride in _STRIDES for i in range(num - stride)]
    return pairs[:: math.ceil(len(pairs) / _PAIRS)]


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What a frame shows: points in camera axes, and depth to compare others with."""

    points: Float[Tensor, "n 3"]
    depth: Float[Tensor, "h w"]
    camera: Camera
    noise: DepthNoise

    @classmethod
    def of(cls, frame: Frame) -> _View:
        assert frame.depth is not None
        assert frame.camera is not None
        return cls(grid_points(frame, most=_POINTS), frame.depth, frame.camera, frame.noise)

    def tolerance(self, depth: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """How far depths may be off, as a share of each."""
        share = self.noise.sigma(depth) / depth.clamp_min(1e-3) + self.noise.common
        return (_TOLERANCE + 2 * share).clamp(max=_MOST)

    def seen_at(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Depth that this view has where points of its camera axes lie; 0 where it has none."""
        K = torch.as_tensor(self.camera.K, dtype=torch.float32, device=points.device)
        ahead = points[:, 2] > 1e-3
        pixels = (points @ K.T)[:, :2] / points[:, 2:].clamp_min(1e-3)
        rows, columns = self.depth.shape
        # Far outside, so that the turn to whole numbers is safe.
        at = torch.floor(pixels.clamp(-1, max(rows, columns) + 1)).long()
        inside = ahead & (at >= 0).all(dim=1) & (at[:, 0] < columns) & (at[:, 1] < rows)
        at = torch.where(inside[:, None], at, 0)
        depth = self.depth[at[:, 1], at[:, 0]]
        return torch.where(inside & torch.isfinite(depth), depth, 0.0)


def _agreement(trial: _Trial, views: Sequence[_View]) -> float:
    """Share of the depth that agrees over all pairs, both ways; NaN where too little overlaps."""
    total, overlap, agree = 0, [], []
    for first, second in trial.pairs:
        for i, j in ((first, second), (second, first)):
            own, other = views[i], views[j]
            move = np.linalg.inv(trial.poses[j]) @ trial.poses[i]
            T = torch.as_tensor(move, dtype=torch.float32, device=own.points.device)
            points = (own.points @ T[:3, :3].T + T[:3, 3]).to(other.depth.device)
            seen = other.seen_at(points)
            nearer = torch.minimum(points[:, 2], seen)
            close = (points[:, 2] - seen).abs() < other.tolerance(nearer) * nearer
            total += len(points)
            overlap.append((seen > 0).sum())
            agree.append((close & (seen > 0)).sum())
    if not total:
        return math.nan
    # One trip from the device for all pairs.
    both = torch.stack([torch.stack(overlap).sum(), torch.stack(agree).sum()]).tolist()
    return both[1] / both[0] if both[0] >= _OVERLAP * total else math.nan


def _judged(
    trials: Sequence[_Trial], shares: dict[str, float], frames: Sequence[Frame]
) -> PoseReport:
    """Choose among the readings; the poses as given where they do about as well as any."""
    if not shares:
        return _unsure(shares, "under no reading of them do the frames overlap")
    best = max((t for t in trials if t.name in shares), key=lambda trial: shares[trial.name])
    most, given = shares[best.name], shares.get("as given")
    said = "frames do not overlap" if given is None else f"{given:.0%} of it agrees"
    if best.reading in READINGS and READINGS[best.reading].mirrors:
        said = "they mirror, as no camera does"
    better = given is None or (1 - most < _LEFT * (1 - given) and most > given + _MORE)
    if given is not None and given >= _FITS and not better:
        message = f"the poses fit the depth: {said} between frames"
        return PoseReport(ok=True, reading="as given", agreement=shares, message=message)
    if (most < _FITS or not better) and given is not None and given >= _WRONG:
        return _unsure(shares, f"only {given:.0%} of the depth agrees between frames")
    if most < _FITS or not better:
        message = (
            f"the poses do not fit the depth ({said}), nor does any other reading "
            "of them. Check that they belong to this capture, or leave them to odometry"
        )
        return PoseReport(ok=False, reading="none", agreement=shares, message=message)
    reading, factor, cure = _cure(best, frames)
    message = (
        f"the poses do not fit the depth as given ({said}); read as {reading!r} "
        f"{most:.0%} agrees: {cure}"
    )
    return PoseReport(
        ok=False,
        reading=reading,
        factor=factor,
        shift=best.shift,
        agreement=shares,
        message=message,
    )


def _cure(trial: _Trial, frames: Sequence[Frame]) -> tuple[str, float, str]:
    """What is wrong, by which factor, and what to do about it."""
    if trial.shift:
        way = "later" if trial.shift > 0 else "earlier"
        cure = f"each frame needs the pose of the frame {abs(trial.shift)} places {way} among these"
        return trial.reading, 1.0, f"{cure}; shift the times of the poses"
    if trial.reading != "pose units":
        return trial.reading, 1.0, READINGS[trial.reading].cure
    by_depth = 1 / trial.factor
    if _is_depth(trial.factor, _median_depth(frames)):
        return "depth scale", by_depth, f"multiply the depth by {by_depth:g}, its scale is another"
    cure = f"multiply their translations by {trial.factor:g}, their unit is another"
    return trial.reading, trial.factor, f"{cure} (or the depth by {by_depth:g}, if that is wrong)"


def _median_depth(frames: Sequence[Frame]) -> float:
    depths = [grid_points(frame, most=_POINTS)[:, 2].cpu() for frame in frames]
    together = torch.cat(depths)
    return float(together.median()) if len(together) else 0.0


def _is_depth(factor: float, median: float) -> bool:
    """Whether the depth is in the wrong unit, rather than the translations.

    Reprojection cannot tell; how far a camera sees can. Five is the ratio of TUM's depth scale to
    that of most other files, and of no two units of length.
    """
    now, then = (_PLAUSIBLE[0] <= d <= _PLAUSIBLE[1] for d in (median, median / factor))
    return then and (not now or factor in (0.2, 5.0))


def _unsure(shares: Mapping[str, float], why: str) -> PoseReport:
    return PoseReport(
        ok=None,
        reading="cannot tell",
        agreement=shares,
        message=f"cannot tell whether the poses fit: {why}",
    )
