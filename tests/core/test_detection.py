"""Detect requests and results: their columns fit, and their numbers are in range."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.image import FrameMap, Image, Source
from groundplane.core.regions import Regions


def request(phrases, thresholds):
    image = Image(
        pixels=np.zeros((2, 2, 3), dtype=np.uint8),
        source=Source(name="black", content_hash="0"),
        frame_map=FrameMap.identity(),
    )
    return DetectRequest(image=image, phrases=phrases, thresholds=thresholds)


@given(st.lists(st.floats(0, 1)))
def test_thresholds_in_range_are_kept(thresholds):
    phrases = tuple(map(str, range(len(thresholds))))
    assert request(phrases, tuple(thresholds)).thresholds == tuple(thresholds)


@pytest.mark.parametrize("bad", [math.nan, -0.01, 1.01, math.inf, -math.inf])
def test_a_threshold_out_of_range_is_refused_with_its_phrase(bad):
    with pytest.raises(InputError, match=f"from 0 to 1 for 'cat', got {bad}"):
        request(("dog", "cat"), (0.5, bad))


def test_thresholds_must_match_the_phrases():
    assert request(("dog",), None).thresholds is None
    with pytest.raises(ShapeError, match="1 phrases but 2 thresholds"):
        request(("dog",), (0.5, 0.5))


def test_outcomes_must_match_the_phrases():
    regions = Regions.empty(phrases=["dog"], image_size=(2, 2))
    assert DetectResult(regions=regions, outcomes=(Outcome.NONE,)).outcomes == ("none",)
    with pytest.raises(ShapeError, match="1 phrases but 0 outcomes"):
        DetectResult(regions=regions, outcomes=())
