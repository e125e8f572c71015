"""A capture that ends early says so, be its last frame looked at or not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from groundplane.captures.videos import ends_early
from groundplane.mapping import MapTerms, build_map
from groundplane.mapping.given import capture_of
from groundplane.mapping.in_picture import look_through
from groundplane.mapping.looking import Looker
from groundplane.mapping.tally import MapTally
from groundplane.testing.rooms.oracle import OracleDetector

NOTE = "the video ends early: it is cut off"


@pytest.fixture(scope="module")
def cut(mapped):
    """A walk whose last frame shows nothing new, and after which the file is broken."""
    first = mapped.frames[:3]
    last = replace(first[-1], index=first[-1].index + 1, time=first[-1].time + 0.03, notes=(NOTE,))
    return [*first, last]


def test_a_map_says_that_its_video_ended_early(mapped, cut):
    made = build_map(cut, "toilet", detector=OracleDetector(mapped.replay))

    assert NOTE in made.notes
    assert not any(
        name.startswith(f"{cut[-1].index}:") for names in made.provenance.values() for name in names
    )


def test_so_does_what_is_answered_from_pictures_alone(mapped, cut):
    bare = [replace(frame, depth=None, camera=None) for frame in cut]
    looker = Looker(detector=OracleDetector(mapped.replay), phrases=("toilet",), thresholds={})

    made = look_through(capture_of(bare, MapTerms()), looker, MapTerms())

    assert NOTE in made.notes


def test_the_end_is_told_before_any_number_of_other_notes():
    tally = MapTally()
    tally.note([f"frame of kind {chr(97 + k)}" for k in range(25)])
    tally.note([NOTE])

    assert tally.told(there={"sofa"}, phrases=("sofa",), cannot={})[0] == NOTE
    assert ends_early(["the depth is rough"]) == []
