"""Geometry experts that misbehave: an error that names them, or a frame left out; no wrong map."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from groundplane.core.camera import Frame
from groundplane.core.errors import DetectorError, InputError, PluginBrokenError
from groundplane.core.geometry import GeometryCapabilities
from groundplane.mapping import MapTerms, build_map
from groundplane.mapping.guarding import GuardedExpert
from groundplane.testing.detectors import make_image
from groundplane.testing.geometry import make_frame
from groundplane.testing.misbehaving_geometry import GEOMETRY_MISBEHAVIOURS, WildGeometry
from groundplane.testing.rooms.oracle import OracleDetector

FAILING = [way for way in GEOMETRY_MISBEHAVIOURS if way.says]
LOSING = [way for way in GEOMETRY_MISBEHAVIOURS if way.lost]
# The guard's own checks are tried, not those of signatures.
pytestmark = pytest.mark.usefixtures("unchecked")
# Of walls, as frames of `make_frame` are.
NEEDS = frozenset({"depth", "pose"})


@pytest.fixture(scope="module")
def oracle(mapped):
    return OracleDetector(mapped.replay)


@pytest.fixture
def truth():
    rng = np.random.default_rng(0)
    pictures = [make_image(rng.integers(0, 255, (12, 16, 3), np.uint8)) for _ in range(3)]
    return [make_frame(image, needs=NEEDS, index=i) for i, image in enumerate(pictures)]


def bare(frames, *, keep=frozenset()):
    """The frames, less of what an expert is to fill in."""
    return [
        Frame(
            image=frame.image, index=frame.index, time=frame.time,
            depth=frame.depth if "depth" in keep else None,
            camera=frame.camera if "pose" in keep else None,
        )
        for frame in frames
    ]  # fmt: skip


def kept_by(way):
    """What frames must have where the expert does not give it."""
    return {"depth", "pose"} - way.gives


def guarded(wild, *, seconds=20.0):
    return GuardedExpert("wild", wild, seconds=seconds)


def test_every_way_fails_or_loses_something():
    assert len(FAILING) + len(LOSING) == len(GEOMETRY_MISBEHAVIOURS) >= 40


@pytest.mark.parametrize("way", FAILING, ids=str)
def test_what_breaks_the_contract_is_an_error_that_names_the_expert(way, truth):
    wild = WildGeometry(truth, way, when=lambda frame: frame.index == 1)
    seconds = 0.05 if way.name == "hangs" else 20.0

    with pytest.raises((DetectorError, InputError)) as caught:
        guarded(wild, seconds=seconds).estimate(bare(truth, keep=kept_by(way)))

    wild.released.set()
    said = str(caught.value)
    assert said.startswith("geometry 'wild': frames 0 to 2: ")
    assert way.says in said
    assert "\n" not in said
    assert len(said) < 700


@pytest.mark.parametrize("way", LOSING, ids=str)
def test_what_is_no_number_is_unknown_and_the_neighbours_stay(way, truth):
    wild = WildGeometry(truth, way, when=lambda frame: frame.index == 1)

    first, bad, last = guarded(wild).estimate(bare(truth))

    for told, true in ((first, truth[0]), (last, truth[2])):
        assert torch.equal(told.depth, true.depth)
        assert np.array_equal(told.camera.T_world_cam, true.camera.T_world_cam)
    assert bad.depth is None or bool((bad.depth.isfinite() & (bad.depth >= 0)).all())
    if "usable" in way.lost:
        assert bad.notes == (f"144 of 192 pixels have no depth: geometry 'wild' {way.lost}",)


@pytest.mark.parametrize(
    "bend",
    [lambda frames: frames, lambda frames: frames[::-1], lambda frames: frames[1:]],
    ids=["whole", "turned", "cut"],
)
def test_what_behaves_is_handed_on_as_it_is(bend, truth):
    wanted = bend(truth)

    told = guarded(WildGeometry(truth)).estimate(bare(wanted))

    for frame, true in zip(told, wanted, strict=True):
        assert frame.image is true.image
        assert (frame.index, frame.time, frame.notes) == (true.index, true.time, ())
        assert torch.equal(frame.depth, true.depth)


def test_no_frames_are_not_asked_for(truth):
    wild = WildGeometry(truth)
    wild.estimate = None

    assert guarded(wild).estimate([]) == []


def test_notes_before_its_own_must_stay(truth):
    wild = WildGeometry(truth)
    noted = [replace(frame, notes=("guessed",)) for frame in bare(truth)]
    wild.estimate = lambda frames: [replace(frame, notes=()) for frame in frames]

    with pytest.raises(DetectorError, match="expected its notes after those before"):
        guarded(wild).estimate(noted)


def test_an_error_of_ours_that_names_the_expert_is_handed_on(truth):
    wild = WildGeometry(truth)
    ours = InputError("geometry 'wild': frame 3 has no depth")

    def begin():
        raise ours

    wild.begin = begin
    with pytest.raises(InputError) as caught:
        guarded(wild).begin()

    assert caught.value is ours


def test_what_hangs_while_it_begins_is_given_up(truth):
    wild = WildGeometry(truth)
    wild.begin = wild.released.wait

    before = time.monotonic()
    with pytest.raises(DetectorError, match=r"geometry 'wild': begin: no result within 0\.05 s"):
        guarded(wild, seconds=0.05).begin()

    assert time.monotonic() - before < 10
    wild.released.set()


def test_it_runs_in_one_thread_that_ends_with_it(truth):
    seen = []
    wild = WildGeometry(truth)
    wild.begin = lambda: seen.append(threading.current_thread())
    guard = guarded(wild)
    for _ in range(3):
        guard.begin()

    assert len(set(seen)) == 1
    assert seen[0] is not threading.current_thread()
    del guard
    seen[0].join(10)
    assert not seen[0].is_alive()


def test_an_expert_that_does_not_say_what_it_gives_is_refused(truth):
    wild = WildGeometry(truth)
    wild.capabilities = {"gives": "depth"}

    with pytest.raises(PluginBrokenError, match="expected its capabilities as"):
        guarded(wild)


class TestMaps:
    """The same experts, with a map built of what they say."""

    TERMS = MapTerms(batch=4, deadline=0.2, poses="trust", room=False)

    def built(self, mapped, oracle, way, *, bad):
        wild = WildGeometry(mapped.frames, way, when=lambda frame: frame.index in bad)
        keep = kept_by(way)
        try:
            return build_map(
                bare(mapped.frames, keep=keep), "toilet", detector=oracle, geometry=wild,
                terms=replace(self.TERMS, deadline=0.05 if way.name == "hangs" else 60.0),
            )  # fmt: skip
        finally:
            wild.released.set()

    @pytest.mark.parametrize("way", FAILING, ids=str)
    def test_what_breaks_the_contract_ends_it(self, mapped, oracle, way):
        with pytest.raises((DetectorError, InputError), match="geometry 'WildGeometry': frames"):
            self.built(mapped, oracle, way, bad={mapped.frames[2].index})

    @pytest.mark.parametrize("way", LOSING, ids=str)
    def test_what_all_frames_lack_leaves_the_map_empty_and_says_why(self, mapped, oracle, way):
        scene = self.built(mapped, oracle, way, bad={frame.index for frame in mapped.frames})

        assert way.lost in " ".join(scene.notes)
        if "usable" not in way.lost:
            assert len(scene) == 0
            assert scene.notes[-1].startswith("the map is empty: none of ")

    def test_a_frame_that_is_left_out_leaves_the_map_of_the_others(self, mapped, oracle):
        lost = mapped.frames[4].index
        others = [frame for frame in mapped.frames if frame.index != lost]
        [way] = [way for way in LOSING if way.name == "no pose"]

        scene = self.built(mapped, oracle, way, bad={lost})
        wanted = build_map(others, "toilet", detector=oracle, terms=self.TERMS)

        assert scene.labels == wanted.labels
        assert torch.equal(scene.objects.centers, wanted.objects.centers)
        assert torch.equal(scene.objects.sizes, wanted.objects.sizes)


@pytest.mark.parametrize("deadline", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_deadline_is_a_number_of_seconds(deadline):
    with pytest.raises(InputError, match="deadline above 0"):
        MapTerms(deadline=deadline)


def test_what_it_gives_is_what_it_gave_when_it_was_made(truth):
    wild = WildGeometry(truth)
    guard = guarded(wild)
    wild.capabilities = GeometryCapabilities(gives=frozenset({"pose"}))

    assert guard.capabilities.gives == {"depth", "intrinsics", "pose"}
