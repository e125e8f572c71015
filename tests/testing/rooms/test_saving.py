"""Rooms that were written are captures like any other, with the truth beside them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from groundplane.captures.opening import open_capture
from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.errors import InputError, OutputError
from groundplane.core.masks import decode
from groundplane.plugins.coco_file import CocoFileDetector, CocoFileOptions
from groundplane.spatial.scenes.files import load
from groundplane.testing.rooms.making import make_room
from groundplane.testing.rooms.oracle import OracleDetector
from groundplane.testing.rooms.saving import load_replay


@pytest.fixture(scope="module")
def room():
    return make_room(3)


@pytest.fixture(scope="module")
def folder(room, tmp_path_factory):
    return room.save(tmp_path_factory.mktemp("rooms") / "one", step=100, size=(160, 120))


def test_a_saved_room_reads_as_the_frames_that_were_drawn(room, folder):
    capture = open_capture(folder)
    assert capture.layout == "rgbd"
    assert capture.up == (0.0, 0.0, 1.0)
    drawn = list(room.frames(step=100, size=(160, 120)))
    read = list(capture.frames())
    assert len(read) == len(drawn)
    for one, other in zip(drawn, read, strict=True):
        assert np.array_equal(one.image.pixels, other.image.pixels)
        np.testing.assert_allclose(one.camera.K, other.camera.K)
        np.testing.assert_allclose(one.camera.T_world_cam, other.camera.T_world_cam, atol=1e-12)
        # Depth is kept in millimetres.
        assert float((one.depth - other.depth).abs().max()) <= 0.00051
        assert one.time == pytest.approx(other.time)


def test_an_oracle_looks_at_pictures_from_disk(room, folder):
    replay = load_replay(folder)
    assert replay.name == room.name
    frame = next(iter(open_capture(folder).frames()))
    shot = next(iter(room.shots(step=100, size=(160, 120))))
    assert np.array_equal(replay.ids_of(frame.image), shot.ids)


def test_the_file_of_masks_makes_coco_file_an_oracle_without_errors(room, folder):
    detector = CocoFileDetector(CocoFileOptions(annotations=folder / "coco.json"))
    oracle = OracleDetector(load_replay(folder))
    phrases = tuple(sorted({thing.label for thing in room.objects}))
    for frame in open_capture(folder).frames():
        asked = [DetectRequest(image=frame.image, phrases=phrases)]
        read, known = detector.detect(asked)[0].regions, oracle.detect(asked)[0].regions
        large = [i for i, mask in enumerate(read.masks) if decode(mask).sum() >= 30]
        assert sorted(read.masks[i].counts for i in large) == sorted(
            mask.counts for mask in known.masks
        )
    absent = DetectRequest(image=frame.image, phrases=("piano",))
    assert detector.detect([absent])[0].outcomes == (Outcome.NONE,)


def test_the_scene_file_is_a_map_with_the_true_boxes(room, folder):
    scene = load(folder / "scene.json")
    assert scene.labels == tuple(thing.label for thing in room.objects)
    centers = torch.tensor(np.stack([thing.box[0] for thing in room.objects]))
    torch.testing.assert_close(scene.objects.centers.double(), centers, atol=1e-5, rtol=0)
    assert scene.room_area == pytest.approx(room.area)


def test_the_truth_names_every_thing(room, folder):
    truth = json.loads((folder / "truth.json").read_text())
    assert [thing["id"] for thing in truth["objects"]] == [thing.id for thing in room.objects]
    assert truth["area"] == pytest.approx(room.area)


def test_a_video_has_the_whole_walk(room, tmp_path):
    short = make_room(7)
    folder = short.save(tmp_path / "filmed", step=400, size=(64, 48), video=True)
    film = open_capture(folder / "walk.mp4")
    times = [frame.time for frame in film.frames()]
    assert len(times) == len(short.walk)
    assert times[-1] == pytest.approx(float(short.walk.times[-1]), abs=0.01)


def test_a_folder_that_holds_something_is_left_alone(room, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="empty"):
        room.save(tmp_path, step=500)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_a_folder_that_is_no_saved_room_is_refused(tmp_path):
    with pytest.raises(InputError, match="no room"):
        load_replay(tmp_path)


def test_a_capture_in_memory_numbers_its_frames_as_one_on_disk(room, folder):
    memory, disk = room.capture(step=100, size=(160, 120)), open_capture(folder)
    assert memory.length == disk.length
    pairs = zip(memory.frames(1, 2), disk.frames(1, 2), strict=True)
    for one, other in pairs:
        assert one.index == other.index
        assert np.array_equal(one.image.pixels, other.image.pixels)
