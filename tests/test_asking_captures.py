"""Questions to captures and to photos in metres: a map is built first, once, and then asked."""

from __future__ import annotations

import os
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
import torch

from groundplane.asking import Asker, CaptureChoice, ask
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import InputError
from groundplane.core.media import read_image
from groundplane.core.regions import Regions
from groundplane.mapping import MapTerms, keeping
from groundplane.spatial.mapping.keyframes import KeyframeOptions
from groundplane.testing.captures import write_capture
from groundplane.testing.rooms.oracle import OracleDetector
from groundplane.testing.scenes import SceneBuilder
from tests.support.mapped_room import write_room


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    return write_room(tmp_path_factory.mktemp("room"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The cache folder, and how often a map was built."""
    monkeypatch.setenv("GROUNDPLANE_CACHE", str(tmp_path / "cache"))
    built = []
    make = keeping.make_mapper

    def counted(source, phrases, **more):
        built.append(tuple(phrases))
        return make(source, phrases, **more)

    monkeypatch.setattr(keeping, "make_mapper", counted)
    return tmp_path / "cache" / "maps", built


@pytest.fixture
def asker(mapped, cache):
    def make(**more):
        options = {"annotations": str(mapped.instances)}
        return Asker(mapped.folder, detector="coco-file", options=options, **more)

    return make


def gap(room, a, b):
    """Metres between the centres of two things that there is one of."""
    centers = [thing.box[0] for thing in room.objects if thing.label in (a, b)]
    assert len(centers) == 2
    return float(np.linalg.norm(centers[0] - centers[1]))


class TestCapture:
    def test_a_distance_is_answered_in_metres_with_an_error_bar(self, asker, mapped):
        reply = asker().ask("How far is the toilet from the sink?")

        assert reply.unit == "m"
        assert 0 < reply.value < gap(mapped.room, "toilet", "sink")
        assert reply.answer.interval is not None
        assert set(reply.evidence) == {"toilet", "sink"}

    def test_a_count_and_what_is_not_there(self, asker, cache):
        made = asker()

        assert made.ask("How many dogs are there?").value == 0
        assert "the map is empty" in made.ask("How many dogs are there?").notes[-1]
        assert cache[1] == [("dog",)]

    def test_the_size_of_the_room_needs_no_phrase(self, asker, mapped, cache):
        reply = asker().ask("What is the size of this room?")

        assert reply.value == pytest.approx(mapped.room.area, rel=0.1)
        assert cache[1] == [()]

    def test_many_questions_share_one_map(self, asker, cache):
        made = asker()
        asked = ["How many toilets are there?", ("Which is seen first?", ["a", "b"])]

        replies = list(made.ask_many([*asked, "How tall is the sink?"]))

        assert [reply.failed for reply in replies] == [False, True, False]
        assert cache[1] == [("sink", "toilet")]
        assert made.scene is not None

    def test_the_next_call_takes_the_map_that_was_kept(self, asker, cache):
        first = asker().ask("How tall is the sink?")
        second = asker().ask("How tall is the sink?")

        assert second.record()["value"] == first.record()["value"]
        assert cache[1] == [("sink",)]

    def test_another_expert_a_touched_file_or_no_cache_build_anew(self, asker, cache, mapped):
        question = "How tall is the sink?"
        asker().ask(question)
        asker(capture=CaptureChoice(terms=MapTerms(every=2))).ask(question)
        assert len(cache[1]) == 2
        asker(capture=CaptureChoice(keep=False)).ask(question)
        assert len(cache[1]) == 3
        os.utime(mapped.folder / "poses.json")
        asker().ask(question)
        assert len(cache[1]) == 4
        os.utime(mapped.instances)  # what an option names is outside the capture
        asker().ask(question)
        assert len(cache[1]) == 5

    def test_a_damaged_map_is_built_anew(self, asker, cache):
        folder, built = cache
        asker().ask("How tall is the sink?")
        [kept] = folder.iterdir()
        kept.write_text(kept.read_text()[:100])

        assert not asker().ask("How tall is the sink?").failed
        assert len(built) == 2

    def test_phrases_that_are_given_are_looked_for_whatever_is_asked(self, asker, cache):
        asker(capture=CaptureChoice(find=("toilet", "towel"))).ask("How many towels are there?")

        assert cache[1] == [("toilet", "towel")]

    def test_noise_and_what_if_work_on_its_map(self, asker):
        sure = asker().ask("How tall is the sink?")
        unsure = asker(noise=0.2).ask("How tall is the sink?", what_if=True)

        width = [b - a for a, b in (sure.answer.interval, unsure.answer.interval)]
        assert width[1] > width[0]
        assert unsure.what_if

    def test_only_so_many_maps_are_kept(self, asker, cache, monkeypatch):
        monkeypatch.setattr(keeping, "_MOST", 1)
        made = asker()
        made.ask("How tall is the sink?")
        made.ask("How tall is the toilet?")

        assert len(list(cache[0].iterdir())) == 1

    def test_a_plain_folder_of_photos_is_none(self, mapped, cache):
        folder = mapped.folder / "image"

        assert not CaptureChoice().applies(folder)
        assert CaptureChoice(terms=MapTerms(layout="frames")).applies(folder)
        assert not CaptureChoice().applies("no-such.mp4")


class TestPhoto:
    @pytest.fixture
    def photo(self, mapped):
        """A frame as a photo, and where its depth comes from."""
        frame = next(f for f in mapped.frames if self._shows(mapped, f))
        return frame, _Depth(frame)

    @staticmethod
    def _shows(mapped, frame):
        ids = mapped.replay.ids_of(frame.image)
        toilet = next(thing.id for thing in mapped.room.objects if thing.label == "toilet")
        return (ids == toilet).sum() > 400

    def test_with_a_geometry_expert_it_is_answered_in_metres(self, photo, mapped):
        frame, depth = photo
        asker = Asker(
            frame.image,
            detector=OracleDetector(mapped.replay),
            capture=CaptureChoice(geometry=depth),
        )

        reply = asker.ask("How tall is the toilet?")

        assert reply.unit == "m"
        low, high = reply.answer.interval
        assert low < reply.value < high
        assert "made for this test" in reply.notes

    def test_without_one_in_the_plane_of_the_picture(self, photo, mapped):
        reply = ask(
            photo[0].image, "How tall is the toilet?", detector=OracleDetector(mapped.replay)
        )

        assert reply.unit == "px"
        assert "in metres with --geometry depth-pro" in reply.notes[0]

    def test_how_to_get_metres_is_not_said_where_none_are_needed(self, photo, mapped):
        reply = ask(
            photo[0].image, "How many toilets are there?", detector=OracleDetector(mapped.replay)
        )

        assert (reply.value, reply.notes) == (1, ())

    def test_options_of_a_geometry_expert_name_it(self, photo, mapped):
        options = {"flat-floor.height": 1.5, "flat-floor.tilt": 20, "flat-floor.fov": 60}
        asker = Asker(
            photo[0].image, detector=OracleDetector(mapped.replay), options=options, device="cpu"
        )

        reply = asker.ask("How many toilets are there?")

        assert any("the floor is taken to be flat" in note for note in reply.notes)

    def test_a_scene_and_a_folder_of_photos_take_none(self, photo, data_dir):
        scene = SceneBuilder().add("chair", at=(0, 0, 0.5), size=(0.5, 0.5, 1)).build()
        for source in (scene, data_dir / "photos"):
            with pytest.raises(InputError, match="takes no geometry expert"):
                Asker(source, capture=CaptureChoice(geometry=photo[1]))

    def test_a_camera_over_a_floor(self, data_dir):
        photo = data_dir / "coco" / "images" / "000000252219.jpg"
        options = {
            "coco-file.annotations": str(data_dir / "coco" / "instances.json"),
            "height": 1.5, "tilt": 0, "fov": 60,
        }  # fmt: skip
        asker = Asker(
            read_image(photo), detector="coco-file", options=options, device="cpu",
            capture=CaptureChoice(geometry="flat-floor"),
        )  # fmt: skip

        people = asker.ask("How many people are there?")
        lost = asker.ask("How tall is the umbrella?")

        assert people.value == 3
        assert any("the floor is taken to be flat, 1.5 m below" in note for note in people.notes)
        assert lost.failed
        assert any("no foot on the floor" in note for note in lost.notes)


class _Depth:
    """Depth and intrinsics of one picture, as they are."""

    def __init__(self, frame):
        from groundplane.core.geometry import GeometryCapabilities

        self.capabilities = GeometryCapabilities(gives=frozenset({"depth", "intrinsics"}))
        self._frame = frame

    def begin(self):
        pass

    def estimate(self, frames):
        camera = replace(self._frame.camera, T_world_cam=None)
        return [
            replace(one, depth=self._frame.depth, camera=camera, notes=("made for this test",))
            for one in frames
        ]


class TestVideoWithoutDepth:
    """Order and number follow from the pictures; whatever needs places is refused by name."""

    @pytest.fixture
    def asker(self, mapped, cache, tmp_path):
        video = write_capture(tmp_path / "video", mapped.frames[:8], layout="video")
        terms = MapTerms(keyframes=KeyframeOptions(least_seconds=0.0, blur=0.0))
        return Asker(video, detector=Scripted(), capture=CaptureChoice(terms=terms))

    def test_what_is_seen_first(self, asker):
        reply = asker.ask("What appears first, the sofa or the tv?")

        assert (reply.value, reply.failed) == ("tv", False)
        assert reply.notes[0].startswith("answered from the pictures, without depth")

    def test_a_count_is_the_most_at_a_time(self, asker):
        assert asker.ask("How many chairs are there?").value == 2
        # One look alone may be a false alarm.
        assert asker.ask("How many dogs are there?").value == 0

    def test_a_distance_is_refused_with_who_could_tell_it(self, asker):
        with pytest.raises(InputError, match=r"must be known .*--geometry depth-pro,odometry"):
            asker.ask("How far is the sofa from the tv?")


class Scripted:
    """Finds things by how many pictures it was shown before."""

    vocabulary = None
    # Of each label: how many there are from which picture on.
    script = MappingProxyType(
        {
            "tv": ((1, 1),),
            "sofa": ((0, 1), (1, 0), (3, 1)),
            "chair": ((2, 3), (3, 2)),
            "dog": ((2, 1), (3, 0)),
        }
    )

    def __init__(self):
        self.shown = 0

    def detect(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        steps = [self._count(phrase) for phrase in request.phrases]
        self.shown += 1
        owners = [index for index, count in enumerate(steps) for _ in range(count)]
        return DetectResult(
            regions=Regions(
                ids=tuple(f"r{i}" for i in range(len(owners))),
                boxes=torch.tensor([[1.0, 1, 9, 9]]).expand(len(owners), 4).clone(),
                scores=torch.ones(len(owners)),
                phrases=request.phrases,
                phrase_ids=torch.tensor(owners, dtype=torch.int64),
                image_size=request.image.size,
            ),
            outcomes=tuple(Outcome.FOUND if count else Outcome.NONE for count in steps),
        )

    def _count(self, phrase):
        label = phrase.removesuffix("s")
        return max((number for number in self.script[label] if number[0] <= self.shown),
                   default=(0, 0))[1]  # fmt: skip
