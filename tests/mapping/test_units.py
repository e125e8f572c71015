"""Maps of captures whose lengths have a unit of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import InputError
from groundplane.core.geometry import UNKNOWN_SHIFT
from groundplane.core.regions import Regions
from groundplane.mapping import MapTerms, build_map
from groundplane.mapping.building import make_mapper
from groundplane.mapping.units import Units
from groundplane.spatial.mapping.scaling import ScalingOptions
from groundplane.testing.detectors import make_image
from groundplane.testing.rooms.oracle import OracleDetector

FACTOR = 3.7
HEIGHT = 1.5
KNOWN = ScalingOptions(known={"toilet": 0.8})


@pytest.fixture(scope="module")
def reconstructed(mapped):
    """The room as a reconstruction from pictures has it: depth and poses of one unknown unit."""
    return [in_other_unit(frame) for frame in mapped.frames]


def in_other_unit(frame):
    pose = frame.camera.T_world_cam.copy()
    pose[:3, 3] /= FACTOR
    camera = replace(frame.camera, T_world_cam=pose)
    return replace(frame, depth=frame.depth / FACTOR, camera=camera, scale="relative")


class Counting:
    """Counts the frames that a detector is shown."""

    vocabulary = None

    def __init__(self, detector):
        self._detector, self.shown = detector, 0

    def detect(self, requests):
        self.shown += len(requests)
        return self._detector.detect(requests)


def test_poses_are_scaled_with_the_depth_that_has_their_unit(mapped, reconstructed):
    detector = OracleDetector(mapped.replay)
    true = build_map(mapped.frames, "toilet, bathtub", detector=detector)
    looking = Counting(detector)

    mapper = make_mapper(
        reconstructed, ("toilet", "bathtub"), detector=looking, terms=MapTerms(scaling=KNOWN)
    )
    *_, done = mapper.words()
    told = mapper.map()

    assert (told.scale, told.counts) == ("metric", true.counts)
    assert "depth scaled by the height of the toilet (0.80 m)" in told.notes
    # The thing is taken to face the camera, which looks down on it.
    ratio = told.objects.sizes / true.objects.sizes
    assert float((ratio - 1).abs().max()) < 0.2
    apart = [float((m.objects.centers[0] - m.objects.centers[1]).norm()) for m in (told, true)]
    assert apart[0] == pytest.approx(apart[1], rel=0.15)
    # To look takes time: frames that tell the unit are not looked at twice.
    assert looking.shown == done.keyframes


def test_without_what_is_known_lengths_stay_relative_and_the_map_says_so(mapped, reconstructed):
    terms = MapTerms(scaling=ScalingOptions(known={"piano": 1.2}))

    told = build_map(reconstructed, "toilet", detector=OracleDetector(mapped.replay), terms=terms)

    assert (told.scale, told.counts["toilet"]) == ("relative", 1)
    assert any(note.startswith("lengths stay without unit: nothing") for note in told.notes)


class TestUnits:
    """What goes together, of frames that nothing is looked for in."""

    @staticmethod
    def units(*gives, scaling=KNOWN):
        return Units(scaling, gives=gives, source="'walk'")

    def test_depth_of_an_expert_beside_poses_of_another_unit_is_refused(self, mapped):
        units = self.units("pose", "intrinsics")

        with pytest.raises(InputError, match="poses have a unit of their own, and the depth"):
            units.check(mapped.frames, posed="relative")
        units.check(mapped.frames, posed="metric")

    def test_poses_found_from_depth_without_a_common_unit_are_refused(self, mapped):
        apart = [replace(f, scale="relative", notes=(UNKNOWN_SHIFT,)) for f in mapped.frames]

        with pytest.raises(InputError, match="from which no poses can be found"):
            self.units("intrinsics").check(apart, posed="metric")
        self.units("pose", "intrinsics").check(apart, posed="metric")

    def test_one_unit_is_that_of_depth_and_poses_from_one_place(self, mapped, reconstructed):
        assert self.units("pose", "depth").is_one(reconstructed)
        assert self.units("intrinsics").is_one(reconstructed)
        assert not self.units("pose", "intrinsics").is_one(reconstructed)
        assert not self.units("pose", "depth").is_one(mapped.frames)

    def test_the_camera_height_scales_poses_and_depth_alike(self):

        # A camera that looks 45 degrees down at a floor, two units below it.
        pose = np.eye(4)
        pose[:3, :3] = np.array([[1, 0, 0], [0, -1, 1], [0, -1, -1]]) / [1, 2**0.5, 2**0.5]
        pose[:3, 3] = (4.0, 0, 2)
        K = np.array([[40.0, 0, 20], [0, 40, 20], [0, 0, 1]])
        v = (torch.arange(40) + 0.5 - 20) / 40
        depth = (2 * 2**0.5 / (1 + v))[:, None].expand(40, 40).contiguous().float()
        frame = Frame(
            image=make_image(np.zeros((40, 40, 3), dtype=np.uint8)), depth=depth,
            camera=Camera(K=K, T_world_cam=pose), scale="relative",
        )  # fmt: skip
        none = Regions.empty(phrases=(), image_size=(40, 40))
        units = self.units("pose", "depth", scaling=ScalingOptions(camera_height=HEIGHT))

        assert units.settle([frame], [none]) == ()
        told = units.in_metres(frame, none)

        assert told is not None
        assert told.camera.T_world_cam[:3, 3] == pytest.approx(
            (4 * HEIGHT / 2, 0, HEIGHT), rel=1e-2
        )
        assert float((told.depth / depth).mean()) == pytest.approx(HEIGHT / 2, rel=1e-2)
