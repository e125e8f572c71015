"""A video of a made room without depth: order and number come from its pictures."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from groundplane.asking import Asker, CaptureChoice
from groundplane.captures.opening import open_capture
from groundplane.mapping import MapTerms
from groundplane.spatial.mapping.keyframes import KeyframeOptions
from groundplane.testing.captures import write_capture
from groundplane.testing.rooms.making import make_room
from groundplane.testing.rooms.oracle import OracleDetector
from groundplane.testing.rooms.replay import Replay

SEED, STEP, SIZE = 3, 30, (160, 120)
# What shows fewer pixels is seen by no expert here, and not counted.
LEAST = 16


def named(image):
    """The picture with its pixels' hash, which pictures of a video do not have."""
    digest = hashlib.sha256(image.pixels.tobytes()).hexdigest()
    return replace(image, source=replace(image.source, name=digest, content_hash=digest))


class Watcher:
    """The oracle, for pictures of a video."""

    vocabulary = None

    def __init__(self, oracle):
        self.oracle = oracle

    def detect(self, requests):
        return self.oracle.detect([replace(one, image=named(one.image)) for one in requests])


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The room, the asker of its video, and how many of each label each picture shows."""
    room = make_room(SEED)
    shots = list(room.shots(step=STEP, size=SIZE))
    folder = tmp_path_factory.mktemp("walk")
    video = write_capture(folder, [shot.frame() for shot in shots], layout="video")
    replay, seen = Replay.of(room), []
    # Pictures of a video are not those that went in: what they show is told of them as they are.
    for frame, shot in zip(open_capture(video).frames(), shots, strict=True):
        replay.add(named(frame.image), shot.ids)
        ids, pixels = np.unique(shot.ids[shot.ids > 0], return_counts=True)
        seen.append([replay.labels[key] for key in ids[pixels >= LEAST].tolist()])
    terms = MapTerms(keyframes=KeyframeOptions(least_seconds=0.0, blur=0.0))
    asker = Asker(
        video,
        detector=Watcher(OracleDetector(replay)),
        capture=CaptureChoice(terms=terms, keep=False),
    )
    return asker, seen


def first(seen, label):
    """The first picture of two in a row that show it."""
    shows = [label in labels for labels in seen]
    return next(i for i in range(len(seen) - 1) if shows[i] and shows[i + 1])


def test_what_is_seen_first_and_that_it_is_from_the_pictures(walked):
    asker, seen = walked
    early, late = "toilet", "bathtub"
    if first(seen, early) > first(seen, late):
        early, late = late, early
    assert first(seen, late) - first(seen, early) >= 2

    reply = asker.ask(f"What appears first, the {late} or the {early}?")

    assert reply.value == early
    assert reply.notes[0].startswith("answered from the pictures, without depth")


def test_a_count_is_the_most_that_is_seen_at_a_time(walked):
    asker, seen = walked
    pairs = pairwise(seen)
    most = max(min(a.count("towel"), b.count("towel")) for a, b in pairs)

    assert most > 1
    assert asker.ask("How many towels are there?").value == most
