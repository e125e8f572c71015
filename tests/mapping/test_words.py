"""Phrases, notes and names from anywhere come out as a scene file takes them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.captures.capture import Capture
from groundplane.core.errors import InputError
from groundplane.mapping import MapTerms, build_map
from groundplane.mapping.geometry import split_options
from groundplane.mapping.looking import phrases_from
from groundplane.mapping.tally import readable_notes
from groundplane.spatial.map import CognitiveMap
from groundplane.testing.rooms.oracle import OracleDetector


@given(text=st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_phrases_are_short_texts_or_refused(text):
    try:
        phrases = phrases_from(text)
    except InputError:
        return
    assert len({phrase.casefold() for phrase in phrases}) == len(phrases)
    assert all(0 < len(phrase) <= 200 and phrase == phrase.strip() for phrase in phrases)


def test_phrases_of_any_script():
    assert phrases_from("椅子\uff0c沙发、👩‍💻; café") == ("椅子", "沙发", "👩‍💻", "café")


@pytest.mark.parametrize("phrase", ["a\0b", "x" * 201, "\ud800"])
def test_what_no_file_could_hold_is_no_phrase(phrase):
    with pytest.raises(InputError, match="is no phrase"):
        phrases_from([phrase])


def test_a_phrase_that_is_no_text(unchecked):
    with pytest.raises(InputError, match="expected phrases in words, got int"):
        phrases_from([3])


@given(notes=st.lists(st.text(alphabet=st.characters(), max_size=40), max_size=5))
@settings(max_examples=100, deadline=None)
def test_notes_come_back_from_a_scene_file(notes, tmp_path_factory):
    path = tmp_path_factory.mktemp("notes") / "scene.json"
    told = readable_notes(["it is empty", *notes])
    record = {"format": "groundplane-map", "version": 1, "objects": [], "notes": ["x"]}
    replace(CognitiveMap.from_record(record, source="test"), notes=told).save(path)

    assert CognitiveMap.load(path).notes == told


def test_there_are_not_too_many_notes_and_none_is_too_long():
    told = readable_notes(f"{i}{'x' * 5000}" for i in range(500))

    assert len(told) <= 100
    assert max(map(len, told)) <= 2000


def test_a_capture_with_a_wild_name_gives_a_map_that_can_be_read(mapped, tmp_path):
    class Source:
        def frames(self, start, step):
            return iter(mapped.frames[start:3:step])

    capture = Capture(
        name="a\nb" + "y" * 400, layout="frames", up=None, length=3,
        gives=frozenset({"depth", "intrinsics", "pose"}), source=Source(), notes=("\0\n",),
    )  # fmt: skip

    scene = build_map(
        capture, "toilet", detector=OracleDetector(mapped.replay), terms=MapTerms(poses="trust")
    )

    scene.save(tmp_path / "scene.json")
    assert CognitiveMap.load(tmp_path / "scene.json").name == scene.name


class TestOptions:
    """Whose option a key is: named, or clear."""

    OTHERS = {"detectors": "remote,opencv", "segmenters": ""}  # noqa: RUF012

    def split(self, options, geometry="flat-floor"):
        return split_options(options, geometry, others=self.OTHERS)

    def test_named_ones_go_to_whom_they_name(self):
        own, rest = self.split({"flat-floor.height": "1", "opencv.min_score": "0.5"})

        assert (own, rest) == ({"flat-floor": {"height": "1"}}, {"opencv.min_score": "0.5"})

    def test_bare_ones_go_to_the_only_one_that_has_them(self):
        own, rest = self.split({"height": "1", "min_score": "0.5"})

        assert (own, rest) == ({"flat-floor": {"height": "1"}}, {"min_score": "0.5"})

    def test_one_that_two_have_is_refused(self):
        with pytest.raises(InputError, match=r"'url' may be meant for remote, remote"):
            self.split({"url": "http://127.0.0.1"}, geometry="remote")

    def test_of_one_name_the_detector_comes_first(self):
        own, rest = self.split({"remote.url": "a", "geometry.remote.url": "b"}, geometry="remote")

        assert (own, rest) == ({"remote": {"url": "b"}}, {"remote.url": "a"})

    def test_no_options(self):
        assert self.split({}, geometry=None) == ({}, {})

    @pytest.mark.parametrize("names", ["a,,b", "", "a,a"])
    def test_names_that_are_empty_or_twice(self, names):
        with pytest.raises(InputError, match="expected a name, or several"):
            self.split({}, geometry=names)


def test_a_list_by_hand_means_one_thing_whatever_its_case():
    assert phrases_from("TV, sofa, tv, Sofa") == ("TV", "sofa")
    assert phrases_from(["TV", "tv"]) == ("TV", "tv")


def test_a_picture_without_geometry_is_told_all_that_it_lacks(mapped):
    with pytest.raises(InputError, match="to map it, depth, intrinsics must be known") as caught:
        build_map(mapped.frames[0].image, "sofa")
    assert "pose" not in str(caught.value).split("Try:")[0]
