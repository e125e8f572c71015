"""Poses that the first keyframes cannot judge are judged by later ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from groundplane.core.errors import InputError
from groundplane.mapping import pose_watch
from groundplane.mapping.pose_watch import PoseWatch
from groundplane.spatial.mapping.pose_checks import PoseReport


def report(ok=True, reading="as given", *, other=0.4):
    shares = {"as given": 0.95, "pose units x 10": other}
    return PoseReport(ok=ok, reading=reading, agreement=shares, message=f"read as {reading}")


@pytest.fixture
def watch(mapped, monkeypatch):
    """A watch whose checks say what a test wants, and how often it was asked."""

    def make(*reports):
        left, asked = list(reports), []

        def check(frames):
            asked.append(len(frames))
            return left.pop(0)

        monkeypatch.setattr(pose_watch, "check_poses", check)
        return PoseWatch("walk", frames=3), asked

    return make


def test_what_the_first_keyframes_tell_is_not_asked_again(watch, mapped):
    watched, asked = watch(report())

    assert watched.begin(mapped.frames[:3]) == ()
    watched.see(mapped.frames[:6])

    assert asked == [3]


def test_later_keyframes_name_the_unit_that_the_first_could_not_tell(watch, mapped):
    watched, asked = watch(report(other=0.94), report(ok=False, reading="depth scale"))
    watched.begin(mapped.frames[:3])
    watched.see(mapped.frames[:2])

    with pytest.raises(InputError, match="'walk': read as depth scale"):
        watched.see(mapped.frames[2:3])
    assert asked == [3, 3]


def test_later_keyframes_that_fit_end_it(watch, mapped):
    watched, asked = watch(report(other=0.94), report(other=0.94), report())
    watched.begin(mapped.frames[:3])

    for at in range(12):
        watched.see(mapped.frames[at : at + 1])

    assert asked == [3, 3, 3]


def test_rough_later_poses_are_no_error(watch, mapped):
    watched, _ = watch(report(ok=None, reading="cannot tell"), *[report(False, "none")] * 8)

    assert "is not known" in watched.begin(mapped.frames[:3])[0]
    for _ in range(40):
        watched.see(mapped.frames[:1])


def test_depth_of_ten_times_too_much_is_named_wherever_it_can_be_told(mapped):
    still = [mapped.frames[0]] * 4
    far = [replace(frame, depth=frame.depth * 10) for frame in [*still, *mapped.frames[:12]]]
    watched = PoseWatch("walk", frames=6)

    watched.begin(far[:4])
    with pytest.raises(InputError, match=r"(its scale|their unit) is another"):
        watched.see(far[4:])
