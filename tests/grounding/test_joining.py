"""Requests joined and answers parted, against a plain reference over lists of rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.image import FrameMap
from groundplane.core.masks import RleMask
from groundplane.core.regions import Regions
from groundplane.grounding.joining import Part, combine, join, narrow, pick, read_only
from groundplane.testing.detectors import make_image

SIZE = (40, 30)
IMAGES = [make_image(np.full((30, 40, 3), i, np.uint8), name=f"p{i}") for i in range(3)]
MASK = RleMask(size=(30, 40), counts=b"0")


def answer(phrases, phrase_ids, *, masks=False, tracks=False, **fields):
    """A result with a region for each index, each with a box and score of its own."""
    n = len(phrase_ids)
    named = set(phrase_ids)
    regions = Regions(
        ids=tuple(f"r{i}" for i in range(n)),
        boxes=torch.tensor([[i, 0.0, i + 1, 9] for i in range(n)]).reshape(-1, 4),
        scores=torch.tensor([1 - i / 100 for i in range(n)]),
        phrases=tuple(phrases),
        phrase_ids=torch.tensor(phrase_ids, dtype=torch.long),
        image_size=SIZE,
        masks=(MASK,) * n if masks else None,
        track_ids=torch.arange(n) if tracks else None,
    )
    outcomes = tuple(Outcome.FOUND if i in named else Outcome.NONE for i in range(len(phrases)))
    return DetectResult(regions=regions, outcomes=outcomes, **fields)


def rows(regions):
    """Box, score and phrase of each region, in order."""
    return [
        (tuple(box), round(score, 4), label)
        for box, score, label in zip(
            regions.boxes.tolist(),
            regions.scores.tolist(),
            regions.labels(unmapped="-"),
            strict=True,
        )
    ]


words = st.sampled_from(["cup", "chair", "face", "hat"])
requests = st.lists(
    st.tuples(st.integers(0, 2), st.lists(words, max_size=4), st.sampled_from([None, 0.2, 0.7])),
    max_size=6,
)


def made(spec):
    return [
        DetectRequest(
            image=IMAGES[i],
            phrases=tuple(phrases),
            thresholds=None if least is None else (least,) * len(phrases),
        )
        for i, phrases, least in spec
    ]


class TestJoin:
    @settings(deadline=None)
    @given(requests)
    def test_every_phrase_stands_where_it_is_said_to(self, spec):
        asked = made(spec)
        joined = join(asked)
        for request, (index, places) in zip(asked, joined.places, strict=True):
            whole = joined.requests[index]
            assert whole.image.source == request.image.source
            assert tuple(whole.phrases[i] for i in places) == request.phrases
            if request.phrases and request.thresholds is not None:
                assert tuple(whole.thresholds[i] for i in places) == request.thresholds
            elif request.phrases:
                assert whole.thresholds is None

    @settings(deadline=None)
    @given(requests)
    def test_nothing_is_asked_twice(self, spec):
        joined = join(made(spec)).requests
        asked = [
            (r.image.source, phrase, None if r.thresholds is None else r.thresholds[i])
            for r in joined
            for i, phrase in enumerate(r.phrases)
        ]
        assert len(set(asked)) == len(asked)

    def test_pixels_of_a_joined_request_cannot_be_written_to(self):
        [request] = join([DetectRequest(image=IMAGES[0], phrases=("cup",))]).requests
        assert not request.image.pixels.flags.writeable
        assert read_only(request.image).pixels.base is not None
        assert IMAGES[0].pixels.flags.writeable

    def test_pictures_that_only_share_a_hash_or_are_turned_are_kept_apart(self):
        one = IMAGES[0]
        lookalike = replace(IMAGES[1], source=one.source)
        turned = replace(one, frame_map=FrameMap(matrix=np.array([[-1.0, 0, 40], [0, 1, 0]])))
        again = replace(one, pixels=one.pixels.copy())
        asked = [DetectRequest(image=i, phrases=("a",)) for i in (one, lookalike, turned, again)]
        assert [index for index, _ in join(asked).places] == [0, 1, 2, 0]

    def test_unlike_requests_are_kept_apart_where_only_alike_ones_may_be_joined(self):
        phrases = [("cup",), ("cup", "hat"), ("hat", "cup"), ("cup",), ("cup", "cup")]
        asked = [DetectRequest(image=IMAGES[0], phrases=p) for p in phrases]
        joined = join(asked, alike=True)
        assert [index for index, _ in joined.places] == [0, 1, 2, 0, 0]
        assert [r.phrases for r in joined.requests] == [("cup",), ("cup", "hat"), ("hat", "cup")]
        assert joined.places[-1] == (0, (0, 0))

    def test_exemplars_stay_with_their_phrases(self):
        box = (0.0, 0.0, 5.0, 5.0)
        plain = DetectRequest(image=IMAGES[0], phrases=("cup", "hat"))
        shown = replace(plain, exemplars=(None, box))
        joined = join([plain, shown])
        assert joined.requests[0].phrases == ("cup", "hat", "hat")
        assert joined.requests[0].exemplars == (None, None, box)
        assert joined.places == ((0, (0, 1)), (0, (0, 2)))


def plainly_picked(result, places):
    """Row by row: a region once for each place of its phrase; unmapped ones once."""
    picked = []
    for row, phrase in zip(rows(result.regions), result.regions.phrase_ids.tolist(), strict=True):
        times = 1 if phrase == -1 else sum(place == phrase for place in places)
        picked += [row] * times
    return sorted(picked)


class TestPick:
    @settings(deadline=None)
    @given(st.lists(st.integers(-1, 3), max_size=8), st.lists(st.integers(0, 3), max_size=6))
    def test_it_gives_the_regions_of_the_phrases_that_are_picked(self, phrase_ids, places):
        phrases = ("cup", "chair", "face", "hat")
        result = answer(phrases, phrase_ids, masks=True, tracks=True)
        picked = pick(result, places)
        assert picked.regions.phrases == tuple(phrases[i] for i in places)
        assert picked.outcomes == tuple(result.outcomes[i] for i in places)
        assert sorted(rows(picked.regions)) == plainly_picked(result, places)
        assert len(picked.regions.masks) == len(picked.regions)
        named = set(picked.regions.phrase_ids.tolist())
        for index, outcome in enumerate(picked.outcomes):
            assert (outcome is Outcome.FOUND) == (index in named)

    def test_all_in_order_is_the_answer_itself(self):
        result = answer(("cup", "hat"), [0, 1])
        assert pick(result, (0, 1)) is result

    def test_ids_of_regions_that_come_twice_are_new(self):
        result = answer(("cup", "hat"), [0, 1])
        clash = replace(result, regions=replace(result.regions, ids=("r", "r/1")))
        assert pick(clash, (0, 0, 1)).regions.ids == ("r", "r/1", "r/1/1")

    def test_candidates_and_presences_are_picked_too(self):
        scored = answer(("cup", "hat"), [0, 1, 1]).regions
        result = answer(("cup", "hat"), [1], candidates=scored, presence=(0.1, 0.9))
        picked = pick(result, (1,))
        assert picked.presence == (0.9,)
        assert picked.candidates.ids == ("r1", "r2")
        assert picked.at((0.985,)).regions.ids == ("r1",)


class TestNarrow:
    def test_columns_go_along(self):
        box = (0.0, 0.0, 5.0, 5.0)
        request = DetectRequest(
            image=IMAGES[0], phrases=("a", "b", "c"), thresholds=(0.1, 0.2, 0.3),
            exemplars=(None, box, None),
        )  # fmt: skip
        narrowed = narrow(request, (2, 1))
        assert narrowed.phrases == ("c", "b")
        assert narrowed.thresholds == (0.3, 0.2)
        assert narrowed.exemplars == (None, box)
        assert narrow(request, (0, 1, 2)) is request


class TestCombine:
    REQUEST = DetectRequest(image=IMAGES[0], phrases=("cup", "hat", "owl"))

    def combined(self, *parts, note=""):
        return combine(
            self.REQUEST,
            [Part(name=name, result=r, phrases=phrases) for name, r, phrases in parts],
            note=note,
        )

    def test_phrases_of_no_part_end_as_cannot(self):
        result = self.combined(("a", answer(("hat",), [0]), (1,)), note="no owls")
        assert result.outcomes == ("cannot", "found", "cannot")
        assert result.regions.labels() == ("hat",)
        assert result.note == "no owls"

    def test_no_parts_give_an_empty_answer(self):
        result = self.combined(note="nobody can")
        assert (result.outcomes, len(result.regions)) == (("cannot",) * 3, 0)
        assert result.candidates is result.presence is None

    def test_masks_stay_only_where_all_that_found_something_give_them(self):
        masked = ("a", answer(("cup",), [0], masks=True), (0,))
        bare, empty = answer(("hat",), [0]), answer(("hat",), [])
        assert self.combined(masked, ("b", bare, (1,))).regions.masks is None
        assert self.combined(masked, ("b", empty, (1,))).regions.masks == (MASK,)

    def test_tracks_are_unknown_where_one_gives_none(self):
        tracked = ("a", answer(("cup",), [0], tracks=True), (0,))
        result = self.combined(tracked, ("b", answer(("hat",), [0]), (1,)))
        assert result.regions.track_ids.tolist() == [0, -1]

    def test_unmapped_regions_stay_unmapped(self):
        result = self.combined(("a", answer(("hat",), [0, -1]), (1,)))
        assert result.regions.labels(unmapped="-") == ("hat", "-")

    def test_candidates_come_best_first(self):
        low = answer(("cup",), [0], candidates=answer(("cup",), [0, 0, 0]).regions)
        high = answer(("hat",), [0], candidates=answer(("hat",), [0, 0]).regions)
        result = self.combined(("a", low, (0,)), ("b", high, (1,)))
        scores = result.candidates.scores.tolist()
        assert scores == sorted(scores, reverse=True)
        assert len(result.candidates) == 5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_number_types_are_kept(dtype):
    result = answer(("cup", "hat"), [0, 1, 0])
    regions = replace(result.regions, boxes=result.regions.boxes.to(dtype))
    assert pick(replace(result, regions=regions), (1,)).regions.boxes.dtype is dtype


def test_a_crowd_is_told_of_the_phrase_in_its_new_place():
    whole = answer(("a", "b"), [0, 1], uncounted=(1,))
    assert pick(whole, [1, 0, 1]).uncounted == (0, 2)
    request = DetectRequest(image=IMAGES[0], phrases=("x", "a", "b"))
    parts = [Part(name="one", result=whole, phrases=(1, 2))]
    assert combine(request, parts, note="").uncounted == (2,)
