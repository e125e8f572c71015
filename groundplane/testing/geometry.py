"""The contract that every geometry expert passes, as a pytest class to subclass.

    class TestMine(GeometryContract):
        @pytest.fixture
        def geometry(self):
            return groundplane.load("geometry", "mine")

Override `frames` where the expert must be given something that fits together, as odometry must.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import InputError
from groundplane.core.geometry import GeometryCapabilities, GeometryExpert
from groundplane.core.image import Image
from groundplane.testing.detectors import make_image, unlike_images

__all__ = ["GeometryContract", "make_frame"]

# Batches of other sizes may sum in another order.
_RTOL, _ATOL = 1e-3, 1e-5


def make_frame(
    image: Image, *, needs: frozenset[str] = frozenset(), index: int = 0, pose_known: bool = False
) -> Frame:
    """A frame for tests, with depth, intrinsics and pose where they are needed.

    Args:
        image: The picture.
        needs: What is filled in: `depth` is a slanted wall 2 to 4 m away, the camera looks through
            the middle of the picture, and moves 5 cm a frame to the right.
        index: Its place in the capture; ten frames make a second.
        pose_known: The same as `pose` in `needs`.

    Examples:
        >>> frame = make_frame(unlike_images()[0], needs=frozenset({"depth"}))
        >>> frame.depth.shape, frame.camera
        (torch.Size([120, 90]), None)
        >>> make_frame(unlike_images()[0]).depth is None
        True
    """
    width, height = image.size
    camera = None
    posed = pose_known or "pose" in needs
    if posed or "intrinsics" in needs:
        K = np.array([[width, 0.0, width / 2], [0.0, width, height / 2], [0.0, 0.0, 1.0]])
        pose = np.eye(4)
        pose[0, 3] = 0.05 * index
        camera = Camera(K=K, T_world_cam=pose if posed else None)
    wall = torch.linspace(2.0, 4.0, max(width, 1)).expand(height, max(width, 1))[:, :width]
    return Frame(
        image=image,
        index=index,
        time=index / 10,
        camera=camera,
        depth=wall.clone() if "depth" in needs else None,
        notes=("made for a test",),
    )


class GeometryContract:
    """What a geometry expert must do; subclass it and override `geometry`."""

    @pytest.fixture
    def geometry(self) -> GeometryExpert:
        """The expert under test."""
        return pytest.fail("override the fixture 'geometry' and give your expert there")

    @pytest.fixture
    def frames(self, geometry: GeometryExpert) -> list[Frame]:
        """At least three frames of one capture, in order, with what the expert needs."""
        needs = frozenset(_known(geometry).needs)
        return [make_frame(im, needs=needs, index=i) for i, im in enumerate(unlike_images())]

    def test_it_satisfies_the_protocol(self, geometry: GeometryExpert) -> None:
        assert isinstance(geometry, GeometryExpert), f"{geometry!r} lacks begin or estimate"
        _known(geometry)

    def test_no_frames_give_no_frames(self, geometry: GeometryExpert) -> None:
        geometry.begin()
        given = geometry.estimate([])
        assert given == [], f"no frames: expected [], got {given!r}"

    def test_the_same_frames_come_back_in_order(
        self, geometry: GeometryExpert, frames: list[Frame]
    ) -> None:
        for before, after in zip(frames, _estimate(geometry, frames), strict=True):
            assert after.image is before.image, f"frame {before.index}: it has another picture"
            told, asked = (after.index, after.time), (before.index, before.time)
            assert told == asked, f"index and time: expected {asked}, got {told}"
            kept = after.notes[: len(before.notes)]
            assert kept == before.notes, f"notes {before.notes} were replaced by {after.notes}"

    def test_what_it_tells_is_usable(self, geometry: GeometryExpert, frames: list[Frame]) -> None:
        for before, after in zip(frames, _estimate(geometry, frames), strict=True):
            _check_told(geometry, before, after)

    def test_what_it_does_not_give_stays(
        self, geometry: GeometryExpert, frames: list[Frame]
    ) -> None:
        gives = _known(geometry).gives
        full = [_filled(frame) for frame in frames]
        for before, after in zip(full, _estimate(geometry, full), strict=True):
            if "depth" not in gives:
                assert after.depth is before.depth, "its depth was changed, which it does not give"
            if "intrinsics" not in gives:
                assert _same_intrinsics(before, after), "its intrinsics were changed"
            if "pose" not in gives:
                assert _same_pose(before, after), "its pose was changed, which it does not give"

    def test_a_frame_that_lacks_what_is_needed_is_refused(
        self, geometry: GeometryExpert, frames: list[Frame]
    ) -> None:
        needs = _known(geometry).needs
        if not needs:
            pytest.skip("it needs nothing")
        bare = replace(frames[0], depth=None, camera=None)
        geometry.begin()
        try:
            given = geometry.estimate([bare])
        except InputError:
            return
        what = ", ".join(sorted(needs))
        pytest.fail(f"a frame without {what}: expected InputError, got {given!r}")

    def test_a_one_pixel_picture_is_answered(self, geometry: GeometryExpert) -> None:
        self._answers(geometry, np.full((1, 1, 3), 128, dtype=np.uint8))

    def test_a_narrow_picture_is_answered(self, geometry: GeometryExpert) -> None:
        self._answers(geometry, np.full((2, 300, 3), 90, dtype=np.uint8))

    def _answers(self, geometry: GeometryExpert, pixels: np.ndarray) -> None:
        needs = frozenset(_known(geometry).needs)
        frame = make_frame(make_image(pixels), needs=needs)
        _check_told(geometry, frame, _estimate(geometry, [frame])[0])

    def test_inputs_are_left_as_they_were(
        self, geometry: GeometryExpert, frames: list[Frame]
    ) -> None:
        pixels = [frame.image.pixels.copy() for frame in frames]
        depths = [None if frame.depth is None else frame.depth.clone() for frame in frames]
        given = list(frames)
        _estimate(geometry, given)
        assert all(a is b for a, b in zip(given, frames, strict=True)), "the list was changed"
        for frame, picture, depth in zip(frames, pixels, depths, strict=True):
            assert np.array_equal(frame.image.pixels, picture), "a picture was changed"
            if depth is not None and frame.depth is not None:
                assert torch.equal(frame.depth, depth), "a frame's own depth was changed"

    def test_the_same_input_gives_the_same_result(
        self, geometry: GeometryExpert, frames: list[Frame]
    ) -> None:
        first, second = (_estimate(geometry, frames) for _ in range(2))
        for one, other in zip(first, second, strict=True):
            _check_alike(one, other, what="the same frames twice", rtol=0.0, atol=0.0)

    def test_frames_at_once_equal_frames_one_by_one(
        self, geometry: GeometryExpert, frames: list[Frame]
    ) -> None:
        together = _estimate(geometry, frames)
        geometry.begin()
        for frame, other in zip(frames, together, strict=True):
            if not _known(geometry).sequential:
                geometry.begin()
            alone = geometry.estimate([frame])[0]
            _check_alike(alone, other, what="at once and one by one", rtol=_RTOL, atol=_ATOL)

    def test_a_new_capture_begins_anew(self, geometry: GeometryExpert, frames: list[Frame]) -> None:
        last = frames[-1]
        fresh = _estimate(geometry, [last])[0]
        _estimate(geometry, frames)
        again = _estimate(geometry, [last])[0]
        _check_alike(fresh, again, what="a new capture after another", rtol=0.0, atol=0.0)


def _known(geometry: GeometryExpert) -> GeometryCapabilities:
    known = getattr(geometry, "capabilities", None)
    assert isinstance(known, GeometryCapabilities), (
        f"capabilities: expected GeometryCapabilities, got {known!r}"
    )
    return known


def _estimate(geometry: GeometryExpert, frames: Sequence[Frame]) -> list[Frame]:
    geometry.begin()
    given = geometry.estimate(frames)
    assert isinstance(given, list), f"estimate: expected a list, got {type(given).__name__}"
    assert len(given) == len(frames), f"{len(frames)} frames, {len(given)} results"
    return given


def _filled(frame: Frame) -> Frame:
    """The frame with something in each place that is empty."""
    full = make_frame(
        frame.image, needs=frozenset({"depth", "intrinsics"}), index=frame.index, pose_known=True
    )
    camera = frame.camera
    if camera is None or camera.T_world_cam is None:
        pose = full.camera.T_world_cam if full.camera else None
        camera = full.camera if camera is None else replace(camera, T_world_cam=pose)
    depth = full.depth if frame.depth is None else frame.depth
    return replace(frame, camera=camera, depth=depth)


def _check_told(geometry: GeometryExpert, before: Frame, after: Frame) -> None:
    known = _known(geometry)
    if after.depth is not None:
        depth = after.depth.detach().cpu()
        assert bool(depth.isfinite().all()), "the depth holds NaN or infinity; 0 means unknown"
        assert bool((depth >= 0).all()), f"the depth goes below 0: {float(depth.min())}"
        if "depth" in known.gives:
            assert after.scale == known.scale, (
                f"scale: its capabilities say {known.scale!r}, a frame {after.scale!r}"
            )
    told = {
        "depth": after.depth is not None,
        "intrinsics": after.camera is not None,
        "pose": after.camera is not None and after.camera.T_world_cam is not None,
    }
    silent = sorted(what for what in known.gives if not told[what])
    new = len(after.notes) > len(before.notes)
    assert not silent or new, f"{', '.join(silent)} stayed unknown, and no note says why"


def _same_intrinsics(before: Frame, after: Frame) -> bool:
    if before.camera is None or after.camera is None:
        return before.camera is after.camera
    return bool(np.array_equal(before.camera.K, after.camera.K))


def _same_pose(before: Frame, after: Frame) -> bool:
    one, other = (frame.camera.T_world_cam if frame.camera else None for frame in (before, after))
    return one is other if one is None or other is None else bool(np.array_equal(one, other))


def _check_alike(one: Frame, other: Frame, *, what: str, rtol: float, atol: float) -> None:
    depths = (one.depth, other.depth)
    known = [depth is not None for depth in depths]
    assert known[0] == known[1], f"{what}: depth is known in one only"
    if depths[0] is not None and depths[1] is not None:
        gap = float((depths[0] - depths[1]).abs().max()) if depths[0].numel() else 0.0
        close = torch.allclose(depths[0], depths[1], rtol=rtol, atol=atol)
        assert close, f"{what}: depths differ by up to {gap:g}"
    cameras = (one.camera, other.camera)
    assert (cameras[0] is None) == (cameras[1] is None), f"{what}: one has no camera"
    if cameras[0] is None or cameras[1] is None:
        return
    close = np.allclose(cameras[0].K, cameras[1].K, rtol=rtol, atol=atol)
    assert close, f"{what}: intrinsics {cameras[0].K.tolist()} and {cameras[1].K.tolist()}"
    poses = [camera.T_world_cam for camera in (cameras[0], cameras[1])]
    assert (poses[0] is None) == (poses[1] is None), f"{what}: one has no pose"
    if poses[0] is not None and poses[1] is not None:
        close = np.allclose(poses[0], poses[1], rtol=rtol, atol=atol)
        assert close, f"{what}: poses {poses[0].tolist()} and {poses[1].tolist()}"
