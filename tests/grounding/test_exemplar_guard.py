"""A detector that takes a blue square for a cup, and an encoder that knows better."""

from __future__ import annotations

import pytest
import torch
from plain_encoders import ColourEncoder, PlainOptions
from squares import BOXES, box_of, picture_of_squares

from groundplane.core.claims import Verdict
from groundplane.core.detection import Detector, DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError
from groundplane.core.regions import Regions
from groundplane.grounding.exemplar_guard import ExemplarGuard
from groundplane.grounding.region_verifier import RegionVerifier
from groundplane.verifying import verify


class _Credulous:
    """Gives both squares for every phrase, whatever it is."""

    vocabulary = None

    def detect(self, requests):
        results = []
        for request in requests:
            count = len(request.phrases)
            boxes = torch.tensor(list(BOXES.values())[:2] * count).view(-1, 4).float()
            regions = Regions(
                ids=tuple(map(str, range(2 * count))),
                boxes=boxes,
                scores=torch.tensor([0.9, 0.8] * count),
                phrases=request.phrases,
                phrase_ids=torch.arange(count).repeat_interleave(2),
                image_size=request.image.size,
            )
            results.append(
                DetectResult(regions=regions, outcomes=(Outcome.FOUND,) * count, candidates=regions)
            )
        return results


@pytest.fixture
def encoder():
    return ColourEncoder(PlainOptions(cells=12))


@pytest.fixture
def guard(encoder):
    verifier = RegionVerifier(encoder)
    known = {"Red  cup": verifier.learn([(picture_of_squares(), box_of("red"))])}
    return ExemplarGuard(_Credulous(), verifier, known)


def _ask(guard, *phrases):
    return guard.detect([DetectRequest(image=picture_of_squares(), phrases=phrases)])[0]


def test_it_is_a_detector(guard):
    assert isinstance(guard, Detector)
    assert guard.vocabulary is None
    assert guard.capabilities is None


def test_the_unlike_box_goes_with_its_reason_and_the_other_stays(guard):
    result = _ask(guard, "red cup", "chair")
    assert result.regions.ids == ("0", "2", "3")
    assert result.regions.scores.tolist() == pytest.approx([0.9, 0.9, 0.8])
    assert result.outcomes == (Outcome.FOUND, Outcome.FOUND)
    assert result.note == "unlike the exemplars: 'red cup' (0.00, expected 0.4)"
    assert result.steps[-1].name == "exemplars"


@pytest.mark.parametrize(("phrase", "left"), [("red cups", 1), ("cup", 2), ("big red cup", 2)])
def test_plurals_are_checked_and_other_phrases_are_not(guard, phrase, left):
    assert len(_ask(guard, phrase).regions) == left


def test_lower_thresholds_do_not_bring_it_back(guard):
    assert _ask(guard, "red cup").at([0.0]).regions.ids == ("0",)


def test_a_phrase_of_which_all_goes_ends_as_none(encoder):
    verifier = RegionVerifier(encoder)
    known = {"cup": verifier.learn([(picture_of_squares(), box_of("grey"))])}
    result = _ask(ExemplarGuard(_Credulous(), verifier, known), "cup")
    assert result.outcomes == (Outcome.NONE,)
    assert len(result.regions) == 0


def test_phrases_without_exemplars_are_not_encoded(guard, encoder):
    before = encoder.num_encoded
    result = _ask(guard, "chair")
    assert encoder.num_encoded == before
    assert len(result.regions) == 2
    assert guard.detect([]) == []
    assert len(_ask(guard).regions) == 0


def test_a_detector_that_breaks_its_contract_is_named(guard, monkeypatch):
    monkeypatch.setattr(guard._detector, "detect", lambda requests: [], raising=False)
    with pytest.raises(DetectorError, match="0 results for 1 requests"):
        _ask(guard, "cup")
    monkeypatch.setattr(guard._detector, "detect", lambda requests: ["no result"], raising=False)
    with pytest.raises(DetectorError, match="broke its contract"):
        _ask(guard, "cup")


def test_claims_are_checked_through_it(encoder):
    verifier = RegionVerifier(encoder)
    known = verifier.learn([(picture_of_squares(), box_of("red"))])
    guard = ExemplarGuard(_Credulous(), verifier, {"cup": known, "cups": known})

    def verdicts(detector):
        found = verify(picture_of_squares(), "There are two cups.", detector=detector)
        return [finding.verdict for finding in found.findings]

    assert verdicts(_Credulous()) == [Verdict.SUPPORTED]
    assert verdicts(guard) != [Verdict.SUPPORTED]
