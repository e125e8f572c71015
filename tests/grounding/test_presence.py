from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError, InputError, ShapeError
from groundplane.core.regions import Regions
from groundplane.grounding.presence import (
    GuardedDetector,
    PresenceGate,
    apply_gate,
    drop_likenesses,
)
from groundplane.testing.detectors import DetectorContract, make_image

FOUND, NONE, CANNOT = Outcome.FOUND, Outcome.NONE, Outcome.CANNOT
CUP = (0.0, 0.0, 10.0, 10.0)
NEAR = (0.0, 0.0, 10.0, 9.0)
FAR = (30.0, 0.0, 40.0, 10.0)


def made(*rows, phrases=("cup", "dog"), cannot=(), presence=None, least=0.0):
    """A result of rows of box, score and phrase id, thresholded."""
    regions = Regions(
        ids=tuple(f"r{i}" for i in range(len(rows))),
        boxes=torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor([row[1] for row in rows], dtype=torch.float32),
        phrases=phrases,
        phrase_ids=torch.tensor([row[2] for row in rows], dtype=torch.long),
        image_size=(50, 50),
    )
    plain = tuple(CANNOT if i in cannot else NONE for i in range(len(phrases)))
    whole = DetectResult(
        regions=regions, outcomes=plain, candidates=regions, presence=presence, uncounted=()
    )
    return whole.at((least,) * len(phrases))


class TestGate:
    def test_what_is_probably_absent_is_taken_away_and_named(self):
        gated = apply_gate(made((CUP, 0.9, 0), (FAR, 0.8, 1)), (0.9, 0.004), least=0.01)
        assert gated.outcomes == (FOUND, NONE)
        assert gated.regions.ids == ("r0",)
        assert gated.presence == (0.9, 0.004)
        assert "'dog' (0.004, expected 0.01)" in gated.note

    def test_candidates_cannot_bring_it_back(self):
        gated = apply_gate(made((CUP, 0.9, 0), least=0.5), (0.0, 0.0), least=0.5)
        assert gated.at((0.0, 0.0)).outcomes == (NONE, NONE)

    def test_what_is_at_the_limit_is_kept(self):
        assert apply_gate(made((CUP, 0.9, 0)), (0.5, 0.5), least=0.5).outcomes == (FOUND, NONE)

    def test_what_cannot_be_looked_for_stays_so(self):
        assert apply_gate(made(cannot=(1,)), (0.0, 0.0), least=0.5).outcomes == (NONE, CANNOT)

    def test_the_lower_of_the_experts_own_presence_and_the_gates_counts(self):
        gated = apply_gate(made((CUP, 0.9, 0), presence=(0.1, 0.9)), (0.8, 0.3), least=0.2)
        assert gated.presence == (0.1, 0.3)
        assert gated.outcomes == (NONE, NONE)

    def test_a_region_that_answers_no_phrase_is_kept(self):
        found = made((CUP, 0.9, 0)).regions
        unmapped = replace(found, phrase_ids=torch.tensor([-1]))
        gated = apply_gate(replace(made(), regions=unmapped), (0.0, 0.0), least=0.5)
        assert gated.regions.ids == ("r0",)

    def test_probabilities_that_are_none_are_refused(self):
        with pytest.raises(ShapeError, match="2 phrases but 1 probabilities"):
            apply_gate(made(), (0.1,), least=0.5)
        for bad in (float("nan"), 1.5, -0.1):
            with pytest.raises(InputError, match=r"in \[0, 1\]"):
                apply_gate(made(), (0.1, bad), least=0.5)


class TestLikenesses:
    def test_a_region_that_is_rather_a_likeness_goes(self):
        result = made((NEAR, 0.9, 2), (CUP, 0.8, 0), (FAR, 0.7, 0), phrases=("cup", "dog", "bowl"))
        left = drop_likenesses(result, num_asked=2)
        assert left.regions.ids == ("r2",)
        assert left.regions.phrases == ("cup", "dog")
        assert left.outcomes == (FOUND, NONE)
        assert "'cup' is rather 'bowl'" in left.note

    def test_a_weaker_or_distant_likeness_takes_nothing(self):
        result = made((CUP, 0.8, 0), (NEAR, 0.7, 2), (FAR, 0.9, 2), phrases=("cup", "dog", "bowl"))
        assert drop_likenesses(result, num_asked=2).regions.ids == ("r0",)

    def test_one_that_loses_all_ends_as_none(self):
        result = made((NEAR, 0.9, 1), (CUP, 0.8, 0), phrases=("cup", "bowl"))
        assert drop_likenesses(result, num_asked=1).outcomes == (NONE,)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 12), st.integers(1, 20), st.integers(0, 2)), max_size=10),
        st.integers(0, 20),
    )
    def test_thresholding_before_or_after_gives_the_same(self, drawn, twentieths):
        rows = [((x, 0.0, x + 9.0, 9.0), score / 20, phrase) for x, score, phrase in drawn]
        phrases, least = ("cup", "dog", "bowl"), twentieths / 20
        early = drop_likenesses(made(*rows, phrases=phrases, least=least), num_asked=2)
        late = drop_likenesses(made(*rows, phrases=phrases), num_asked=2).at((least, least))
        assert early.regions.ids == late.regions.ids
        assert early.outcomes == late.outcomes

    def test_numbers_out_of_range_are_refused(self):
        with pytest.raises(InputError, match="3 phrases or more"):
            drop_likenesses(made(), num_asked=3)
        with pytest.raises(InputError, match="iou from 0 to 1"):
            drop_likenesses(made(), num_asked=1, iou=2.0)


class Words:
    """Finds each of its words at a fixed score in the upper left of any picture."""

    capabilities = Capabilities(prompts=frozenset({"vocabulary"}))

    def __init__(self, **scores):
        self.scores = scores
        self.vocabulary = tuple(scores)
        self.asked = []

    def detect(self, requests):
        self.asked += requests
        return [self.answer(request) for request in requests]

    def answer(self, request):
        rows = [
            ((0.0, 0.0, 1.0, 1.0), self.scores[phrase], i)
            for i, phrase in enumerate(request.phrases)
            if phrase in self.scores
        ]
        result = made(
            *rows,
            phrases=request.phrases,
            cannot=[i for i, p in enumerate(request.phrases) if p not in self.scores],
        )
        regions = result.regions.select(torch.arange(len(rows)))
        object.__setattr__(regions, "image_size", request.image.size)
        least = request.thresholds or (0.1,) * len(request.phrases)
        return DetectResult(regions=regions, outcomes=result.outcomes, candidates=regions).at(least)


class Gate:
    """Says that bright pictures hold `cup`, and that all hold anything else."""

    def presence(self, requests):
        return [
            tuple(
                float(request.image.pixels.mean()) / 255 if phrase == "cup" else 1.0
                for phrase in request.phrases
            )
            for request in requests
        ]


def image(level=200):
    return make_image(np.full((20, 30, 3), level, dtype=np.uint8))


def ask(detector, *phrases, picture=None, least=None):
    request = DetectRequest(image=picture or image(), phrases=phrases, thresholds=least)
    return detector.detect([request])[0]


class TestGuarded:
    def test_the_gate_judges_each_picture(self):
        guarded = GuardedDetector(Words(cup=0.9, dog=0.5), gate=Gate(), min_presence=0.5)
        assert ask(guarded, "cup", "dog").outcomes == (FOUND, FOUND)
        dark = ask(guarded, "cup", "dog", picture=image(20))
        assert dark.outcomes == (NONE, FOUND)
        assert dark.steps[-1].detail == "'cup' 0.078, 'dog' 1.000"

    def test_likenesses_are_asked_at_the_lowest_threshold(self):
        words = Words(cup=0.5, bowl=0.6)
        guarded = GuardedDetector(words, negatives=("bowl",))
        assert ask(guarded, "cup", "dog", least=(0.4, 0.9)).outcomes == (NONE, CANNOT)
        assert words.asked[0].phrases == ("cup", "dog", "bowl")
        assert words.asked[0].thresholds == (0.4, 0.9, 0.4)

    def test_a_likeness_that_is_asked_for_is_none(self):
        guarded = GuardedDetector(Words(cup=0.5, bowl=0.6), negatives=("bowl",))
        assert ask(guarded, "cup", "bowl").outcomes == (FOUND, FOUND)

    def test_its_words_are_the_detectors(self):
        guarded = GuardedDetector(Words(cup=0.5), gate=Gate())
        assert guarded.vocabulary == ("cup",)
        assert guarded.capabilities == Words.capabilities

    def test_a_gate_is_known_by_its_method(self):
        assert isinstance(Gate(), PresenceGate)
        assert not isinstance(Words(), PresenceGate)

    @pytest.mark.parametrize("given_", [[], [(0.5,)], [(float("nan"), 0.5)], [(2.0, 0.5)]])
    @pytest.mark.usefixtures("unchecked")
    def test_a_gate_that_breaks_its_contract_is_named(self, given_):
        class Broken:
            def presence(self, requests):
                return given_

        with pytest.raises(DetectorError, match="the gate"):
            ask(GuardedDetector(Words(cup=0.5), gate=Broken()), "cup", "dog")

    @pytest.mark.usefixtures("unchecked")
    def test_a_detector_that_breaks_its_contract_is_named(self):
        class Short(Words):
            def detect(self, requests):
                return []

        class Odd(Words):
            def detect(self, requests):
                return [3]

        with pytest.raises(DetectorError, match="0 results for 1 requests"):
            ask(GuardedDetector(Short(), gate=Gate()), "cup")
        with pytest.raises(DetectorError, match="broke its contract"):
            ask(GuardedDetector(Odd(), gate=Gate()), "cup")

    def test_options_that_guard_nothing_are_refused(self):
        with pytest.raises(InputError, match="a gate, or negatives"):
            GuardedDetector(Words())
        for bad in ({"min_presence": 1.5}, {"iou": -1.0}):
            with pytest.raises(InputError, match="from 0 to 1"):
                GuardedDetector(Words(), gate=Gate(), **bad)


class TestContract(DetectorContract):
    @pytest.fixture
    def detector(self):
        words = Words(cup=0.9, dog=0.5, bowl=0.7)
        return GuardedDetector(words, gate=Gate(), min_presence=0.3, negatives=("bowl", "hat"))
