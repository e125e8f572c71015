"""The contract that every detector passes, and what only this one promises."""

import numpy as np
import pytest
from groundplane_colour_blobs import ColourBlobs, Options

from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.errors import InputError
from groundplane.testing.detectors import DetectorContract, make_image


@pytest.fixture
def picture():
    """A red and a blue rectangle on grey; 100 wide, 60 high."""
    pixels = np.full((60, 100, 3), 128, dtype=np.uint8)
    pixels[10:30, 5:45] = (220, 20, 20)
    pixels[35:55, 60:90] = (20, 40, 220)
    return make_image(pixels)


class TestContract(DetectorContract):
    @pytest.fixture
    def detector(self):
        return ColourBlobs(Options(), device="cpu")

    @pytest.fixture
    def phrases(self):
        return ("red region", "blue", "green")

    @pytest.fixture
    def images(self, picture):
        noise = np.random.default_rng(1).integers(0, 256, (64, 48, 3), dtype=np.uint8)
        return [picture, make_image(noise)]


def test_it_finds_the_box_of_each_colour(picture):
    request = DetectRequest(image=picture, phrases=("blue", "red region", "green", "dog"))
    result = ColourBlobs(Options(), device="cpu").detect([request])[0]
    assert result.regions.boxes.tolist() == [[60, 35, 90, 55], [5, 10, 45, 30]]
    assert result.regions.labels() == ("blue", "red region")
    assert result.outcomes == (Outcome.FOUND, Outcome.FOUND, Outcome.NONE, Outcome.CANNOT)


def test_small_regions_are_left_out(picture):
    request = DetectRequest(image=picture, phrases=("red",))
    result = ColourBlobs(Options(min_area=801), device="cpu").detect([request])[0]
    assert result.outcomes == (Outcome.NONE,)


def test_an_impossible_area_is_refused():
    with pytest.raises(InputError, match="min_area >= 1"):
        Options(min_area=0)
