"""The shipped contract: a good expert passes it, and each check fails one broken that way."""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch

from groundplane.core.camera import Camera
from groundplane.core.errors import InputError
from groundplane.core.geometry import GeometryCapabilities
from groundplane.testing.detectors import unlike_images
from groundplane.testing.geometry import GeometryContract, make_frame

# The broken experts break types too; here the contract must see it, not the test-time checks.
pytestmark = pytest.mark.usefixtures("unchecked")

CHECKS = [name for name in vars(GeometryContract) if name.startswith("test_")]


class Good:
    """Tells a flat wall as far away as the picture is bright."""

    capabilities = GeometryCapabilities(gives=frozenset({"depth"}), scale="relative")

    def begin(self):
        pass

    def estimate(self, frames):
        return [self.answer(frame) for frame in frames]

    def answer(self, frame):
        depth = torch.full(frame.image.pixels.shape[:2], 1.0 + frame.image.pixels.mean())
        return replace(frame, depth=depth, scale="relative", notes=(*frame.notes, "guessed"))


class Walker(Good):
    """Goes a step a frame; needs depth and intrinsics."""

    capabilities = GeometryCapabilities(
        gives=frozenset({"pose"}), needs=frozenset({"depth", "intrinsics"}), sequential=True
    )

    def __init__(self):
        self.begin()

    def begin(self):
        self.steps = 0

    def answer(self, frame):
        if frame.depth is None or frame.camera is None:
            raise InputError("walker: nothing is known")
        pose = np.eye(4)
        pose[0, 3] = self.steps
        self.steps += 1
        return replace(frame, camera=replace(frame.camera, T_world_cam=pose))


class Altered(Good):
    """A good expert whose frames pass through a fault: the frame before, and what was told."""

    def __init__(self, fault):
        self.fault = fault

    def answer(self, frame):
        return self.fault(frame, super().answer(frame))


class Listing(Good):
    """A good expert whose list passes through a fault."""

    def __init__(self, fault):
        self.fault = fault

    def estimate(self, frames):
        return self.fault(super().estimate(frames))


class Drifting(Good):
    calls = 0

    def answer(self, frame):
        Drifting.calls += 1
        told = super().answer(frame)
        return replace(told, depth=told.depth * (1 + 0.01 * (Drifting.calls % 7)))


class BatchBound(Good):
    def estimate(self, frames):
        told = super().estimate(frames)
        return [replace(f, depth=f.depth * 2) for f in told] if len(told) > 1 else told


class Remembering(Walker):
    """Does not begin anew."""

    def begin(self):
        self.steps = getattr(self, "steps", 0)


class Careless(Walker):
    """Makes up what it needs."""

    def answer(self, frame):
        return super().answer(make_frame(frame.image, needs=frozenset({"depth", "intrinsics"})))


class Silent(Good):
    def answer(self, frame):
        return frame


class Emptying(Good):
    def estimate(self, frames):
        taken = list(frames)
        frames[:] = frames[::-1]
        return super().estimate(taken)


class NoCapabilities(Good):
    capabilities = None


class Mute:
    capabilities = Good.capabilities


def crash_where(condition):
    def fault(before, told):
        if condition(before):
            raise RuntimeError("cannot take this")
        return told

    return Altered(fault)


def depth(make):
    return Altered(lambda _, told: replace(told, depth=make(told.depth)))


def spoil_picture(before, told):
    before.image.pixels[0, 0] ^= 1
    return told


def move(before, told):
    camera = told.camera or make_frame(told.image, pose_known=True).camera
    pose = camera.T_world_cam.copy()
    pose[0, 3] += 1
    return replace(told, camera=Camera(K=camera.K, T_world_cam=pose))


def zoom(before, told):
    camera = told.camera
    if camera is None:
        return told
    return replace(told, camera=Camera(K=np.diag([2.0, 2, 1]) @ camera.K, T_world_cam=None))


def copied(_, told):
    return replace(told, image=replace(told.image, pixels=told.image.pixels.copy()))


BROKEN = {
    "test_it_satisfies_the_protocol": [Mute(), NoCapabilities()],
    "test_no_frames_give_no_frames": [Listing(lambda frames: frames or None)],
    "test_the_same_frames_come_back_in_order": [
        Listing(lambda frames: frames[::-1]),
        Listing(lambda frames: frames[1:]),
        Listing(tuple),
        Altered(copied),
        Altered(lambda _, told: replace(told, index=told.index + 1)),
        Altered(lambda _, told: replace(told, time=told.time + 1)),
        Altered(lambda _, told: replace(told, notes=("guessed",))),
    ],
    "test_what_it_tells_is_usable": [
        depth(lambda d: d * torch.nan),
        depth(lambda d: d * torch.inf),
        depth(torch.neg),
        Altered(lambda _, told: replace(told, scale="metric")),
        Silent(),
    ],
    "test_what_it_does_not_give_stays": [Altered(zoom), Altered(move)],
    "test_a_frame_that_lacks_what_is_needed_is_refused": [Careless()],
    "test_a_one_pixel_picture_is_answered": [crash_where(lambda f: f.image.size == (1, 1))],
    "test_a_narrow_picture_is_answered": [crash_where(lambda f: f.image.size[1] == 2)],
    "test_inputs_are_left_as_they_were": [Altered(spoil_picture), Emptying()],
    "test_the_same_input_gives_the_same_result": [Drifting()],
    "test_frames_at_once_equal_frames_one_by_one": [BatchBound()],
    "test_a_new_capture_begins_anew": [Remembering()],
}


def run(check, expert):
    contract = GeometryContract()
    given = {"geometry": expert}
    if "frames" in inspect.signature(getattr(contract, check)).parameters:
        able = getattr(expert, "capabilities", None) or Good.capabilities
        given["frames"] = [
            make_frame(image, needs=able.needs, index=i) for i, image in enumerate(unlike_images())
        ]
    getattr(contract, check)(**given)


def test_every_check_is_tried():
    assert set(BROKEN) == set(CHECKS)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("expert", [Good, Walker])
def test_a_good_expert_passes(check, expert):
    if check == "test_a_frame_that_lacks_what_is_needed_is_refused" and expert is Good:
        with pytest.raises(pytest.skip.Exception):
            run(check, expert())
    else:
        run(check, expert())


@pytest.mark.parametrize(
    ("check", "which"), [(check, i) for check in BROKEN for i in range(len(BROKEN[check]))]
)
def test_a_broken_expert_fails(check, which):
    with pytest.raises((AssertionError, RuntimeError, pytest.fail.Exception)):
        run(check, BROKEN[check][which])


def test_without_an_expert_the_author_is_told_what_to_do():
    fixture = GeometryContract.__dict__["geometry"]
    make = getattr(fixture, "__wrapped__", None) or fixture._get_wrapped_function()
    with pytest.raises(pytest.fail.Exception, match="override the fixture"):
        make(GeometryContract())
