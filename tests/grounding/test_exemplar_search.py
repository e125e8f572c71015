"""What is like an exemplar is found, wherever it stands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_encoders import ColourEncoder, PlainOptions
from squares import BLUE, BOXES, GREY, RED, box_of, picture_of_squares

from groundplane.core.boxes import iou
from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.errors import InputError
from groundplane.grounding.exemplar_search import ExemplarDetector, find_like
from groundplane.grounding.region_features import region_features
from groundplane.grounding.region_verifier import Exemplars, RegionVerifier
from groundplane.testing.detectors import DetectorContract, make_image


@pytest.fixture
def encoder():
    return ColourEncoder(PlainOptions(cells=12))


def _scene():
    """Two red squares of unlike size and a blue one."""
    pixels = np.full((96, 96, 3), GREY, np.uint8)
    pixels[8:40, 8:40], pixels[56:80, 64:88], pixels[56:88, 8:40] = RED, RED, BLUE
    return make_image(pixels)


def test_the_best_window_is_the_thing(encoder) -> None:
    known = RegionVerifier(encoder).learn([(picture_of_squares(), box_of("red"))])
    found = find_like(encoder.encode([picture_of_squares(24)]), known)
    truth = box_of("red", shift=24)
    assert float(found.alike[0]) == pytest.approx(1.0, abs=1e-5)
    best = found.boxes[found.alike >= found.alike[0] - 1e-4]
    assert float(iou(best, truth).max()) > 0.99
    assert bool((found.alike[1:] <= found.alike[:-1] + 1e-6).all())


def test_a_window_is_what_a_box_there_is(encoder) -> None:
    known = RegionVerifier(encoder).learn(
        [(_scene(), box_of("red"))], [(_scene(), torch.tensor([[8.0, 56, 40, 88]]))]
    )
    grid = encoder.encode([_scene()])
    found = find_like(grid, known)
    plain = region_features(grid, found.boxes)
    torch.testing.assert_close(
        found.alike, (plain.vectors @ known.positive.T).amax(1), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        found.other, (plain.vectors @ known.negative.T).amax(1), atol=1e-5, rtol=0
    )


def test_every_window_of_a_size_is_looked_at(encoder) -> None:
    known = RegionVerifier(encoder).learn([(_scene(), box_of("red"))])
    found = find_like(encoder.encode([_scene()]), known, scales=(1.0,))
    # 4 by 4 of 12 by 12 cells.
    assert len(found.boxes) == 9 * 9
    assert len({tuple(box) for box in found.boxes.tolist()}) == 81


@pytest.mark.parametrize("scales", [(), (0.0,), (float("nan"),), (-1.0,)])
def test_scales_that_cannot_be_are_refused(encoder, scales) -> None:
    known = RegionVerifier(encoder).learn([(_scene(), box_of("red"))])
    with pytest.raises(InputError, match="scales"):
        find_like(encoder.encode([_scene()]), known, scales=scales)


def test_exemplars_of_another_encoder_are_refused(encoder) -> None:
    known = Exemplars(
        positive=torch.ones(1, 5), sizes=torch.ones(1, 2), negative=torch.zeros(0, 5), encoder="x"
    )
    with pytest.raises(InputError, match="'x'"):
        find_like(encoder.encode([_scene()]), known)


class TestDetector:
    def test_both_things_are_found_and_the_other_is_not(self, encoder) -> None:
        request = DetectRequest(
            image=_scene(), phrases=("red one", "what?"), exemplars=(BOXES["red"], None)
        )
        (result,) = ExemplarDetector(encoder, threshold=0.9).detect([request])
        assert result.outcomes == (Outcome.FOUND, Outcome.CANNOT)
        boxes = result.regions.boxes
        assert len(boxes) == 2
        truth = torch.tensor([[8.0, 8, 40, 40], [64.0, 56, 88, 80]])
        assert float(iou(boxes, truth).amax(0).min()) > 0.5
        assert float(iou(boxes, torch.tensor([[8.0, 56, 40, 88]])).max()) == 0

    def test_an_exemplar_without_area_cannot_be_looked_for(self, encoder) -> None:
        request = DetectRequest(image=_scene(), phrases=("a",), exemplars=((4.0, 4.0, 4.0, 4.0),))
        (result,) = ExemplarDetector(encoder).detect([request])
        assert result.outcomes == (Outcome.CANNOT,)
        assert "no area" in result.note

    def test_only_pictures_with_exemplars_are_encoded(self, encoder) -> None:
        plain = DetectRequest(image=_scene(), phrases=("a",))
        asked = DetectRequest(image=_scene(), phrases=("a",), exemplars=(BOXES["blue"],))
        results = ExemplarDetector(encoder).detect([plain, asked, plain])
        assert encoder.num_encoded == 1
        assert [r.outcomes[0] for r in results] == [Outcome.CANNOT, Outcome.FOUND, Outcome.CANNOT]

    @pytest.mark.parametrize("wrong", [{"threshold": 1.1}, {"overlap": float("nan")}])
    def test_numbers_that_cannot_be_are_refused(self, encoder, wrong) -> None:
        with pytest.raises(InputError, match="from 0 to 1"):
            ExemplarDetector(encoder, **wrong)


class TestContract(DetectorContract):
    @pytest.fixture
    def detector(self) -> ExemplarDetector:
        return ExemplarDetector(ColourEncoder(PlainOptions()))
