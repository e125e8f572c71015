"""Maps in one call, of frames, folders and pictures; and what is said of what is lacking."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
import torch

from groundplane.captures.capture import Capture
from groundplane.core.camera import Camera, Frame
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import DetectorError, InputError, PluginNotFoundError
from groundplane.core.geometry import UNKNOWN_SHIFT, GeometryCapabilities
from groundplane.core.regions import Regions
from groundplane.mapping import MapTerms, build_map
from groundplane.mapping.given import capture_of
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.mapping.scaling import ScalingOptions
from groundplane.testing.detectors import make_image
from groundplane.testing.rooms.oracle import OracleDetector
from tests.support.mapped_room import LEVEL


@pytest.fixture(scope="module")
def oracle(mapped):
    return OracleDetector(mapped.replay)


class Blind:
    """Finds nothing, whatever it is asked for."""

    vocabulary = None

    def detect(self, requests):
        return [
            DetectResult(
                regions=Regions.empty(phrases=one.phrases, image_size=one.image.size),
                outcomes=(Outcome.NONE,) * len(one.phrases),
            )
            for one in requests
        ]


class Teller:
    """Fills in depth, intrinsics or poses that were taken away, as the truth has them."""

    def __init__(self, frames, *gives, needs=(), sequential=False, lost=()):
        self.capabilities = GeometryCapabilities(
            gives=frozenset(gives), needs=frozenset(needs), sequential=sequential
        )
        self._frames = {frame.index: frame for frame in frames}
        self._lost = set(lost)
        self.seen, self.begun = [], 0

    def begin(self):
        self.begun += 1

    def estimate(self, frames):
        self.seen += [frame.index for frame in frames]
        return [self._told(frame) for frame in frames]

    def _told(self, frame):
        true = self._frames[frame.index]
        if frame.index in self._lost:
            return replace(frame, notes=("too little to see",))
        if "depth" in self.capabilities.gives:
            frame = replace(frame, depth=true.depth, noise=true.noise)
        if "pose" in self.capabilities.gives:
            return replace(frame, camera=true.camera)
        if "intrinsics" in self.capabilities.gives and frame.camera is None:
            return replace(frame, camera=Camera(K=true.camera.K))
        return frame


def without(frames, *parts):
    """The frames, less of what is known of them."""
    for frame in frames:
        depth = None if "depth" in parts else frame.depth
        camera = frame.camera
        if "pose" in parts:
            camera = None if "intrinsics" in parts else Camera(K=camera.K)
        yield Frame(
            image=frame.image, index=frame.index, time=frame.time, camera=camera, depth=depth,
            noise=frame.noise,
        )  # fmt: skip


def truth(mapped, *labels):
    wanted = labels or mapped.labels
    return Counter(thing.label for thing in mapped.room.objects if thing.label in wanted)


class TestTruth:
    def test_frames_become_the_things_of_the_room(self, mapped, oracle):
        scene = build_map(mapped.frames, mapped.labels, detector=oracle)

        assert Counter(scene.labels) == truth(mapped)
        centers = {thing.label: thing.box[0] for thing in mapped.room.objects}
        for label in ("toilet", "bathtub", "sink"):
            at = scene.objects.centers[scene.labels.index(label)].numpy()
            # Of things against a wall the back is never seen: half a thing's depth may be missing.
            assert np.linalg.norm(at - centers[label]) < 0.25
        assert scene.room_area == pytest.approx(mapped.room.area, rel=0.1)
        assert scene.floor == pytest.approx(mapped.room.floor, abs=0.05)
        assert scene.scale == "metric"
        assert all(scene.provenance[name] for name in scene.ids)

    def test_a_folder_gives_what_its_frames_give(self, mapped):
        options = {"annotations": str(mapped.instances)}

        scene = build_map(mapped.folder, "toilet, sink", detector="coco-file", options=options)

        assert Counter(scene.labels) == truth(mapped, "toilet", "sink")
        assert scene.name == "walk"

    def test_a_world_that_is_turned_comes_upright(self, mapped, oracle):
        turn = np.eye(4)
        turn[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]  # z up becomes y down
        turned = [
            replace(f, camera=replace(f.camera, T_world_cam=turn @ f.camera.T_world_cam))
            for f in mapped.frames
        ]

        straight = build_map(mapped.frames, "toilet", detector=oracle)
        scene = build_map(turned, "toilet", detector=oracle)

        assert float(scene.objects.sizes[0, 2]) == pytest.approx(
            float(straight.objects.sizes[0, 2]), abs=LEVEL
        )
        assert Counter(scene.labels) == Counter(straight.labels)

    def test_keyframes_end_at_the_limit(self, mapped, oracle):
        scene = build_map(
            mapped.frames, mapped.labels, detector=oracle, terms=MapTerms(limit=3, poses="trust")
        )

        frames = {name.split(":")[0] for names in scene.provenance.values() for name in names}
        assert len(frames) <= 3


class TestGeometry:
    def test_experts_in_a_row_fill_in_what_is_lacking(self, mapped, oracle):
        bare = without(mapped.frames, "depth", "pose", "intrinsics")
        depth = Teller(mapped.frames, "depth", "intrinsics")
        poses = Teller(mapped.frames, "pose", needs=("depth", "intrinsics"), sequential=True)

        scene = build_map(bare, mapped.labels, detector=oracle, geometry=[depth, poses])

        assert Counter(scene.labels) == truth(mapped)
        assert (depth.begun, poses.begun) == (1, 1)
        assert poses.seen == [frame.index for frame in mapped.frames]

    def test_depth_is_estimated_for_keyframes_alone_where_poses_are_known(self, mapped, oracle):
        depth = Teller(mapped.frames, "depth")
        terms = MapTerms(limit=4, batch=2, first=2)

        build_map(
            without(mapped.frames, "depth"), "toilet", detector=oracle, geometry=depth, terms=terms
        )

        assert len(depth.seen) < len(mapped.frames)

    def test_frames_whose_pose_stays_unknown_are_passed_over(self, mapped, oracle):
        every = [frame.index for frame in mapped.frames]
        poses = Teller(mapped.frames, "pose", needs=("depth",), lost=every)

        scene = build_map(without(mapped.frames, "pose"), "toilet", detector=oracle, geometry=poses)

        assert len(scene) == 0
        [note] = scene.notes
        assert f"none of {len(every)} frames could be placed" in note
        assert f"({len(every)}: its pose is not known: too little to see)" in note

    @pytest.mark.parametrize(
        ("parts", "told"),
        [
            (("depth",), "depth must be known of its frames; it is known: intrinsics, pose"),
            (("pose",), "--geometry odometry finds poses of frames with depth"),
            (("depth", "pose"), "--geometry depth-pro,odometry estimates depth, then poses"),
            (("depth", "pose", "intrinsics"), "depth, intrinsics, pose must be known"),
        ],
    )
    def test_what_is_lacking_is_said_with_who_could_tell_it(self, mapped, oracle, parts, told):
        with pytest.raises(InputError) as caught:
            build_map(without(mapped.frames, *parts), "toilet", detector=oracle)

        assert told in str(caught.value)
        assert "flat-floor" in str(caught.value)

    def test_an_expert_that_lacks_what_it_needs_is_named(self, mapped, oracle):
        poses = Teller(mapped.frames, "pose", needs=("depth", "intrinsics"))

        with pytest.raises(InputError, match=r"'Teller' needs depth, intrinsics, which nothing"):
            build_map(
                without(mapped.frames, "depth", "pose", "intrinsics"), "toilet", detector=oracle,
                geometry=poses,
            )  # fmt: skip

    def test_an_expert_that_loses_a_frame_is_named(self, mapped, oracle):
        depth = Teller(mapped.frames, "depth")
        depth.estimate = lambda frames: frames[1:]

        with pytest.raises(DetectorError, match=r"'Teller'.*expected the 4 frames"):
            build_map(without(mapped.frames, "depth"), "toilet", detector=oracle, geometry=depth)

    def test_what_is_no_expert_is_refused(self, mapped, oracle, unchecked):
        with pytest.raises(InputError, match="geometry: expected names of plugins"):
            build_map(mapped.frames, "toilet", detector=oracle, geometry=[3])


class TestPoses:
    @pytest.fixture
    def inverted(self, mapped):
        return [
            replace(f, camera=replace(f.camera, T_world_cam=np.linalg.inv(f.camera.T_world_cam)))
            for f in mapped.frames
        ]

    def test_inverted_poses_are_refused_by_name(self, inverted, oracle):
        with pytest.raises(InputError, match="--poses trust") as caught:
            build_map(inverted, "toilet", detector=oracle)

        assert "invert" in str(caught.value) or "world to camera" in str(caught.value)

    def test_trusted_ones_are_taken(self, inverted, oracle):
        scene = build_map(inverted, "toilet", detector=oracle, terms=MapTerms(poses="trust"))

        assert isinstance(scene, CognitiveMap)


class TestEmpty:
    def test_nothing_found_is_an_empty_map_with_the_reason(self, mapped, tmp_path):
        scene = build_map(mapped.frames, "toilet, sofa", detector=Blind())

        assert (len(scene), scene.counts) == (0, {"toilet": 0, "sofa": 0})
        assert scene.notes[-1].startswith("the map is empty: no 'toilet', 'sofa' was found in")
        scene.save(tmp_path / "scene.json")
        assert CognitiveMap.load(tmp_path / "scene.json").notes == scene.notes

    def test_what_nobody_can_look_for_is_noted(self, mapped, oracle):
        scene = build_map(mapped.frames, "toilet, unicorn", detector=oracle)

        assert "unicorn" not in scene.counts
        assert [note for note in scene.notes if note.startswith("nobody could look for 'unicorn'")]

    def test_where_nobody_can_look_for_anything_it_ends(self, mapped, oracle):
        with pytest.raises(DetectorError, match="no expert can look for 'unicorn'"):
            build_map(mapped.frames, "unicorn", detector=oracle)

    def test_depth_of_nothing_leaves_regions_out_and_says_so(self, mapped, oracle):
        blind = [replace(f, depth=torch.zeros_like(f.depth)) for f in mapped.frames]

        scene = build_map(blind, "toilet", detector=oracle)

        assert len(scene) == 0
        assert "none became an object (" in scene.notes[-1]


class TestBadInput:
    @pytest.mark.parametrize("phrases", ["", " , ", []])
    def test_no_phrase(self, mapped, phrases):
        with pytest.raises(InputError, match="name what to look for"):
            build_map(mapped.frames, phrases)

    def test_no_frame(self):
        with pytest.raises(InputError, match="there is no frame"):
            build_map(iter(()), "toilet")

    def test_no_such_detector(self, mapped):
        with pytest.raises(PluginNotFoundError):
            build_map(mapped.frames, "toilet", detector="no-such")

    def test_no_such_file(self):
        with pytest.raises(InputError, match=r"there is no 'walk\.mp4'"):
            build_map("/nowhere/walk.mp4", "toilet")

    def test_a_threshold_for_another_phrase(self, mapped):
        with pytest.raises(InputError, match=r"'toilets', which is none.*Did you mean 'toilet'"):
            build_map(mapped.frames, "toilet", terms=MapTerms(thresholds={"toilets": 0.5}))

    @pytest.mark.parametrize(
        "terms",
        [{"every": 0}, {"limit": 0}, {"batch": 0}, {"poses": "guess"}, {"thresholds": {"a": 2.0}}],
    )
    def test_terms_out_of_range(self, terms, unchecked):
        with pytest.raises(InputError):
            MapTerms(**terms)

    def test_neither_path_nor_frames(self, unchecked):
        with pytest.raises(InputError, match="expected a path, a capture, an image or frames"):
            build_map(3, "toilet")
        with pytest.raises(InputError, match="expected frames, got int"):
            build_map([3], "toilet")


def test_a_capture_of_one_picture_has_length_one():
    capture = capture_of(make_image(np.zeros((4, 6, 3), np.uint8)), MapTerms())

    assert isinstance(capture, Capture)
    assert (capture.length, capture.gives, len(list(capture.frames()))) == (1, frozenset(), 1)


class TestUnits:
    """Depth without a unit: each frame its own, unless something in it is known."""

    @pytest.fixture
    def relative(self, mapped):
        return [
            replace(f, depth=f.depth * factor, scale="relative", notes=(UNKNOWN_SHIFT,))
            for f, factor in zip(mapped.frames, cycle((0.3, 0.4, 0.5)))
        ]

    def test_frames_of_several_units_make_no_map(self, relative, oracle):
        with pytest.raises(InputError, match=r"a unit of its own.*--known door=2\.0"):
            build_map(relative, "toilet", detector=oracle, terms=MapTerms(poses="trust"))

    def test_what_is_known_gives_them_one(self, relative, mapped, oracle):
        door = next(thing for thing in mapped.room.objects if thing.label == "door")
        known = ScalingOptions(known={"door": float(door.box[1][2])})
        terms = MapTerms(poses="trust", scaling=known)

        scene = build_map(relative, "toilet", detector=oracle, terms=terms)

        assert scene.scale == "metric"
        assert set(scene.labels) <= {"door", "toilet"}
        assert "door" in scene.labels

    def test_one_unit_for_all_makes_a_relative_map(self, mapped, oracle):
        frames = [replace(f, scale="relative") for f in mapped.frames]

        scene = build_map(frames, "toilet", detector=oracle)

        assert scene.scale == "relative"
