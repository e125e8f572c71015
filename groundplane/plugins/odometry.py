"""Where the camera is in frames with depth: matched corners, refined by the shape of the depth.

Corners of a frame are matched with those of a keyframe whose depth tells where they are in space;
the pose that most of them agree on is refined by aligning the two clouds of points. Frames are
placed against keyframes, the oldest that sees the same, not against the frame before: so errors do
not add up while the camera looks at one place, and it finds back when it returns.

Source: Rublee et al., ORB, 2011, for corners; Segal, Haehnel and Thrun, Generalized-ICP, 2009, as
small_gicp has it; Zhang, Kaess and Singh, On Degeneracy of Optimization-based State Estimation
Problems, 2016, for clouds that leave a direction free, such as a bare wall.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import InputError
from groundplane.core.geometry import GeometryCapabilities
from groundplane.core.hub import need_library

__all__ = ["OdometryGeometry", "OdometryOptions"]

_WHO = "geometry 'odometry'"
_Pose = Float[np.ndarray, "4 4"]
_Points = Float[np.ndarray, "n 3"]

# Corners that differ in more bits of 256 are not the same.
_FAR_BITS = 64
# So many of the corners that seem the same must agree on one pose.
_SHARE = 0.1
# A corner may lie so many pixels off where its pose puts it.
_REPROJECTION = 3.0
# Where depth changes by this share over a corner's neighbours, it lies on an edge: whose depth it
# has is chance.
_EDGE = 0.03
# Depth of two frames agrees within this share of it; so much of it must, where corners agree too,
# and where there are none.
_TOLERANCE = 0.04
# A pose is sure, and no other way is tried, if so much of it agrees within this smaller share.
_CLOSE, _SURE = 0.01, 0.85
_AGREES, _AGREES_ALONE = 0.5, 0.75
# Points of a frame that are compared so, and those that must lie in both views.
_COMPARED = 1200
_LEAST_COMPARED = 100
# A direction in which a cloud holds this share of what it holds in its best one is free to slide.
_FREE = 0.02
# The clouds may not pull a pose that corners agree on further than this, metres and radians.
_PULL, _PULL_TURN = 0.10, math.radians(4)
# A keyframe sees the same as a frame if its camera is no further off, in these units, together.
_NEAR_MOVE, _NEAR_TURN = 0.5, math.radians(30)
# Keyframes that a lost frame is compared with.
_SEARCHED = 24
# Pictures with a shorter side have no corners to match.
_LEAST_SIDE = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class OdometryOptions:
    """Options of `OdometryGeometry`.

    Attributes:
        features: Corners of a frame, at most.
        matches: Corners that must agree on a pose.
        grain: Of the clouds that are aligned, as a share of a frame's median depth.
        limit: Depth beyond which points are not used, metres.
        overlap: A frame of which a smaller share is seen in its keyframe becomes one.
        keyframes: How many are remembered, to find back to; about 0.4 MB each.

    Raises:
        InputError: If a value is out of range.
    """

    features: int = 700
    matches: int = 20
    grain: float = 0.02
    limit: float = 6.0
    overlap: float = 0.65
    keyframes: int = 150

    def __post_init__(self) -> None:
        limits = {
            "features": (50, 20_000),
            "matches": (6, 10_000),
            "grain": (0.002, 0.2),
            "limit": (0.1, 1000.0),
            "overlap": (0.1, 0.95),
            "keyframes": (2, 100_000),
        }
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(f"{_WHO}: option {name}: expected {least} to {most}, got {value}")


@dataclass(slots=True, eq=False)
class _Look:
    """What a frame shows: corners with their places in space, a cloud, depth to compare with."""

    K: Float[np.ndarray, "3 3"]
    grey: UInt8[np.ndarray, "h w"]
    depth: Float[np.ndarray, "h w"]
    descriptors: UInt8[np.ndarray, "n 32"]
    pixels: Float[np.ndarray, "n 2"]
    points: _Points
    grid: Float[np.ndarray, "g 3"]
    cloud: Any
    tree: Any
    voxel: float
    pose: _Pose


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """A pose, how many corners agree on it, what share of the depth does, and how much overlaps.

    `close` is the share that agrees within the stricter tolerance.
    """

    pose: _Pose
    matches: int
    agrees: float
    close: float
    overlap: float


_Way = Callable[[_Look, _Look], tuple[_Pose, int] | None]


class OdometryGeometry:
    """Tells the poses of frames that have depth and intrinsics.

    The world is the camera of the first frame (or that of the given poses, where the first frames
    have one: these are kept, and gaps between them filled). Needs metric depth, or depth of one
    unit throughout. Frames that cannot be placed are left without a pose and with a note; later
    ones are compared with all keyframes until one fits. Carries state: not for several threads.

    Args:
        options: See `OdometryOptions`.
        device: Not used: it runs on the CPU, and leaves depth where it is.
        dtype: Not used.

    Raises:
        PluginBrokenError: If small_gicp is not installed.
    """

    Options = OdometryOptions
    capabilities = GeometryCapabilities(
        gives=frozenset({"pose"}), needs=frozenset({"depth", "intrinsics"}), sequential=True
    )

    def __init__(
        self, options: OdometryOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self._gicp = need_library("small_gicp", who=_WHO, extra="odometry")
        self._options = options
        self._orb = cv2.ORB.create(nfeatures=options.features, fastThreshold=7)
        # Spreads the contrast of each part of a picture: walls have corners too, faint ones.
        self._spread = cv2.createCLAHE(clipLimit=6.0, tileGridSize=(8, 8))
        self._matcher = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True)
        self.begin()

    def begin(self) -> None:
        """Forget the keyframes: the next frame is the first of a new world."""
        self._keys: list[_Look] = []
        self._before: _Look | None = None
        self._last: _Pose = np.eye(4)
        self._step: _Pose = np.eye(4)

    def estimate(self, frames: Sequence[Frame]) -> list[Frame]:
        """Fill in the poses; see `GeometryExpert.estimate`.

        Raises:
            InputError: If a frame lacks intrinsics, or none of them has depth.
        """
        for frame in frames:
            if frame.camera is None:
                raise InputError(
                    f"{_WHO}: frame {frame.index} has no intrinsics: expected them before poses. "
                    "Try a geometry expert that gives them first, such as depth-pro"
                )
        return [self._placed(frame) for frame in frames]

    def _placed(self, frame: Frame) -> Frame:
        """The frame with its pose, or with a note."""
        camera = frame.camera
        assert camera is not None
        look = self._look(frame, camera)
        if look is None:
            return _lost(frame, camera, "too little depth is known")
        if camera.T_world_cam is not None:
            self._remember(look, camera.T_world_cam.astype(np.float64), key=True)
            return frame
        if not self._keys:
            self._remember(look, np.eye(4), key=True)
            note = "poses are from odometry; the world is the camera of its first frame"
            return _with_pose(frame, camera, np.eye(4), note)
        placed = self._track(look) or self._find_back(look)
        if placed is None:
            return _lost(frame, camera, "too little in common with the frames before")
        self._remember(look, placed.pose, key=placed.overlap < self._options.overlap)
        # Rounded, so that a long capture has few different notes.
        note = f"pose from odometry: about {round(placed.agrees, 1):.0%} of the depth agrees"
        return _with_pose(frame, camera, placed.pose, note)

    def _look(self, frame: Frame, camera: Camera) -> _Look | None:
        if frame.depth is None:
            return None
        depth = frame.depth.detach().cpu().numpy().astype(np.float32)
        depth = np.where(np.isfinite(depth) & (depth > 0), depth, 0.0).astype(np.float32)
        K = camera.K.astype(np.float64)
        grid = _grid(np.where(depth <= self._options.limit, depth, 0.0), K, most=12_000)
        if len(grid) < _LEAST_COMPARED:
            return None
        grey = self._spread.apply(cv2.cvtColor(frame.image.pixels, cv2.COLOR_RGB2GRAY))
        pixels, descriptors = self._corners(grey)
        z = _depth_at(_steady(depth), pixels)
        voxel = self._options.grain * float(np.median(grid[:, 2]))
        cloud, tree = self._gicp.preprocess_points(
            grid, downsampling_resolution=voxel, num_neighbors=12
        )
        return _Look(
            K=K,
            grey=grey,
            depth=depth,
            descriptors=descriptors,
            pixels=pixels,
            points=_lift(pixels, z, K),
            grid=grid[:: math.ceil(len(grid) / _COMPARED)],
            cloud=cloud,
            tree=tree,
            voxel=voxel,
            pose=np.eye(4),
        )

    def _corners(
        self, grey: UInt8[np.ndarray, "h w"]
    ) -> tuple[Float[np.ndarray, "n 2"], UInt8[np.ndarray, "n 32"]]:
        none = np.zeros((0, 2)), np.zeros((0, 32), np.uint8)
        if min(grey.shape) < _LEAST_SIDE:
            return none
        found, descriptors = self._orb.detectAndCompute(grey, None)
        if not found or descriptors is None:
            return none
        # OpenCV counts from the middle of the first pixel, we from its corner.
        return np.asarray(cv2.KeyPoint.convert(found), dtype=np.float64) + 0.5, descriptors

    def _track(self, look: _Look) -> _Placed | None:
        """Place a frame near where the camera was last."""
        guess = self._last @ self._step
        near = self._nearest(guess)
        best: _Placed | None = None
        for placed in self._ways(look, near):
            if placed.close >= _SURE:
                return placed
            if best is None or placed.close > best.close:
                best = placed
        return best or self._by_shape(look, self._keys[near], guess)

    def _ways(self, look: _Look, near: int) -> Iterator[_Placed]:
        """Ways to place a frame, the one that drifts least first."""
        for key in dict.fromkeys((near, len(self._keys) - 1)):
            if placed := self._place(look, self._keys[key], by=self._by_corners):
                yield placed
        before = self._before
        if before is not None and (placed := self._place(look, before, by=self._by_flow)):
            yield replace(placed, overlap=self._overlap(look, placed.pose))

    def _overlap(self, look: _Look, pose: _Pose) -> float:
        """Which share of a frame its nearest keyframe shows."""
        key = self._keys[self._nearest(pose)]
        checked = _checked(look, key, np.linalg.inv(key.pose) @ pose, matches=0, least=0.0)
        return 0.0 if checked is None else checked.overlap

    def _nearest(self, guess: _Pose) -> int:
        """The oldest keyframe that looks the same way from the same place, or the nearest."""
        poses = np.array([key.pose for key in self._keys])
        moves = np.linalg.norm(poses[:, :3, 3] - guess[:3, 3], axis=1)
        cosines = (np.trace(poses[:, :3, :3] @ guess[:3, :3].T, axis1=1, axis2=2) - 1) / 2
        far = moves / _NEAR_MOVE + np.arccos(np.clip(cosines, -1, 1)) / _NEAR_TURN
        close = np.flatnonzero(far < 1)
        return int(close[0]) if len(close) else int(far.argmin())

    def _place(
        self, look: _Look, key: _Look, *, by: _Way, least: float = _AGREES
    ) -> _Placed | None:
        """Place a frame by the corners that it shares with a keyframe."""
        found = by(look, key)
        if found is None:
            return None
        T_key_cam, matches = found
        refined = self._refined(look, key, T_key_cam)
        both = (
            _checked(look, key, pose, matches=matches, least=least) for pose in (refined, T_key_cam)
        )
        return max((p for p in both if p), key=lambda placed: placed.close, default=None)

    def _by_corners(self, look: _Look, key: _Look) -> tuple[_Pose, int] | None:
        """The pose in the keyframe's camera that most corners agree on, and how many do."""
        if not len(look.descriptors) or not len(key.descriptors):
            return None
        pairs = self._matcher.match(key.descriptors, look.descriptors)
        first = np.array([p.queryIdx for p in pairs if p.distance < _FAR_BITS], dtype=int)
        second = np.array([p.trainIdx for p in pairs if p.distance < _FAR_BITS], dtype=int)
        return self._agreed(key.points[first], look.pixels[second], look.K)

    def _by_flow(self, look: _Look, last: _Look) -> tuple[_Pose, int] | None:
        """The same for corners of the frame before, followed: faint ones are not lost so soon."""
        if look.grey.shape != last.grey.shape or min(look.grey.shape) < _LEAST_SIDE:
            return None
        found = cv2.goodFeaturesToTrack(last.grey, self._options.features, 0.005, 6)
        if found is None:
            return None
        moved, known, _ = cv2.calcOpticalFlowPyrLK(last.grey, look.grey, found, found.copy())
        back, again, _ = cv2.calcOpticalFlowPyrLK(look.grey, last.grey, moved, moved.copy())
        # What does not come back to where it was has been mixed up.
        near = np.abs(back - found).max(axis=2)[:, 0] < 1
        kept = near & (known[:, 0] > 0) & (again[:, 0] > 0)
        before = found[kept, 0].astype(np.float64) + 0.5
        after = moved[kept, 0].astype(np.float64) + 0.5
        points = _lift(before, _depth_at(_steady(last.depth), before), last.K)
        return self._agreed(points, after, look.K)

    def _agreed(
        self, points: _Points, pixels: Float[np.ndarray, "n 2"], K: Float[np.ndarray, "3 3"]
    ) -> tuple[_Pose, int] | None:
        """The pose from which most of the points are seen where they are, and how many are."""
        known = points[:, 2] > 0
        points, pixels = points[known], pixels[known]
        least = self._options.matches
        if len(points) < least:
            return None
        good, turn, move, inliers = cv2.solvePnPRansac(
            points, pixels, K, None, iterationsCount=300, reprojectionError=_REPROJECTION,
            confidence=0.999, flags=cv2.SOLVEPNP_SQPNP,
        )  # fmt: skip
        if not good or inliers is None or len(inliers) < max(least, _SHARE * len(points)):
            return None
        kept = inliers[:, 0]
        turn, move = cv2.solvePnPRefineLM(points[kept], pixels[kept], K, None, turn, move)
        T_cam_key = np.eye(4)
        T_cam_key[:3, :3], T_cam_key[:3, 3] = cv2.Rodrigues(turn)[0], move[:, 0]
        if not np.isfinite(T_cam_key).all():
            return None
        return np.linalg.inv(T_cam_key), len(kept)

    def _refined(self, look: _Look, key: _Look, start: _Pose) -> _Pose:
        """A pose that corners agree on, moved to where the clouds lie on each other."""
        result = self._align(look, key, start, reach=2 * key.voxel)
        change = np.linalg.inv(start) @ result.T_target_source
        angle = np.linalg.norm(cv2.Rodrigues(change[:3, :3])[0])
        if np.linalg.norm(change[:3, 3]) > _PULL or angle > _PULL_TURN:
            return start
        free = _free_moves(result.H)
        # Where the clouds can slide along each other, corners decide.
        change[:3, 3] -= free @ free.T @ change[:3, 3]
        return np.asarray(start @ change)

    def _by_shape(self, look: _Look, key: _Look, guess: _Pose) -> _Placed | None:
        """Place a frame by its cloud alone, where there are no corners to match."""
        start = np.linalg.inv(key.pose) @ guess
        for reach in (6 * key.voxel, 2 * key.voxel):
            result = self._align(look, key, start, reach=reach)
            start = np.asarray(result.T_target_source)
        if _free_moves(result.H).shape[1]:
            return None
        return _checked(look, key, start, matches=0, least=_AGREES_ALONE)

    def _align(self, look: _Look, key: _Look, start: _Pose, *, reach: float) -> Any:
        return self._gicp.align(
            key.cloud,
            look.cloud,
            key.tree,
            init_T_target_source=start,
            registration_type="GICP",
            max_correspondence_distance=reach,
            max_iterations=12,
        )

    def _find_back(self, look: _Look) -> _Placed | None:
        """Place a frame against any keyframe: those with the most corners in common first."""
        step = math.ceil(len(self._keys) / _SEARCHED)
        found: list[tuple[int, _Look]] = []
        for key in self._keys[::-1][::step]:
            hit = self._by_corners(look, key)
            # Things that look alike agree by chance; nothing else says where the camera is.
            if hit is not None and hit[1] >= 2 * self._options.matches:
                found.append((hit[1], key))
        for _, key in sorted(found, key=lambda hit: -hit[0])[:3]:
            if placed := self._place(look, key, by=self._by_corners, least=_AGREES_ALONE):
                return placed
        return None

    def _remember(self, look: _Look, pose: _Pose, *, key: bool) -> None:
        """Go on from a pose, and keep the frame if it is a keyframe."""
        self._step = np.linalg.inv(self._last) @ pose if self._keys else np.eye(4)
        self._last = look.pose = pose
        self._before = look
        if not key:
            return
        self._keys.append(look)
        if len(self._keys) > self._options.keyframes:
            # Every second of the older half; the first stays, as it is the world.
            half = len(self._keys) // 2
            self._keys = self._keys[:half:2] + self._keys[half:]


def _with_pose(frame: Frame, camera: Camera, pose: _Pose, note: str) -> Frame:
    # Products of many turns stay turns only about.
    u, _, v = np.linalg.svd(pose[:3, :3])
    exact = pose.copy()
    exact[:3, :3] = u @ v
    return replace(frame, camera=replace(camera, T_world_cam=exact), notes=(*frame.notes, note))


def _lost(frame: Frame, camera: Camera, why: str) -> Frame:
    if camera.T_world_cam is not None:
        return frame
    return replace(frame, notes=(*frame.notes, f"no pose: odometry lost its way, {why}"))


def _checked(
    look: _Look, key: _Look, T_key_cam: _Pose, *, matches: int, least: float
) -> _Placed | None:
    """The pose in the world if enough depth of the frame agrees with the keyframe's."""
    points = look.grid @ T_key_cam[:3, :3].T + T_key_cam[:3, 3]
    ahead = points[:, 2] > 1e-3
    at = points @ key.K.T
    at = np.floor(at[:, :2] / np.maximum(at[:, 2:], 1e-3))
    rows, columns = key.depth.shape
    inside = ahead & (at >= 0).all(axis=1) & (at[:, 0] < columns) & (at[:, 1] < rows)
    x, y = at[inside].astype(int).T
    seen = key.depth[y, x]
    z = points[inside, 2][seen > 0]
    seen = seen[seen > 0]
    if len(seen) < _LEAST_COMPARED:
        return None
    apart = np.abs(z - seen) / np.minimum(z, seen)
    agrees = float((apart < _TOLERANCE).mean())
    if agrees < least:
        return None
    overlap = len(seen) / len(points) * agrees
    return _Placed(key.pose @ T_key_cam, matches, agrees, float((apart < _CLOSE).mean()), overlap)


def _free_moves(H: Float[np.ndarray, "6 6"]) -> Float[np.ndarray, "3 k"]:
    """Unit directions in which a cloud can slide, one a column; turns are let go along."""
    turns, mixed, moves = H[:3, :3], H[:3, 3:], H[3:, 3:]
    # What is known of moves when nothing is of turns (Schur's complement).
    known = moves - mixed.T @ np.linalg.pinv(turns) @ mixed
    values, vectors = np.linalg.eigh((known + known.T) / 2)
    return np.asarray(vectors[:, values < _FREE * max(values[-1], 1e-12)])


def _steady(depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Depth without what lies at its edges."""
    near = cv2.dilate(depth, np.ones((3, 3), np.uint8)) - cv2.erode(
        depth, np.ones((3, 3), np.uint8)
    )
    return np.where(near < _EDGE * depth, depth, 0.0)


def _depth_at(
    depth: Float[np.ndarray, "h w"], pixels: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, " n"]:
    at = np.floor(pixels).astype(int)
    rows, columns = depth.shape
    return np.asarray(depth[at[:, 1].clip(0, rows - 1), at[:, 0].clip(0, columns - 1)])


def _lift(
    pixels: Float[np.ndarray, "n 2"], z: Float[np.ndarray, " n"], K: Float[np.ndarray, "3 3"]
) -> _Points:
    y = (pixels[:, 1] - K[1, 2]) / K[1, 1]
    x = (pixels[:, 0] - K[0, 2] - K[0, 1] * y) / K[0, 0]
    return np.stack([x * z, y * z, z], axis=1).astype(np.float64)


def _grid(depth: Float[np.ndarray, "h w"], K: Float[np.ndarray, "3 3"], *, most: int) -> _Points:
    """Points of an even grid of pixels that have depth."""
    step = max(1, round(math.sqrt(depth.size / most)))
    rows, columns = np.mgrid[step // 2 : depth.shape[0] : step, step // 2 : depth.shape[1] : step]
    z = depth[rows, columns].ravel()
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=1) + 0.5
    return _lift(pixels[z > 0], z[z > 0], K)
