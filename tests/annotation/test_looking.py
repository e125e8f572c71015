"""Terms of looking, and pictures as experts see them."""

import numpy as np
import pytest
from looks import picture

from groundplane.annotation.looking import LookTerms, failed_record, image_of
from groundplane.core.annotation import VideoFrame
from groundplane.core.errors import InputError


@pytest.mark.parametrize(
    "fields", [{"deadline": 0}, {"deadline": float("nan")}, {"memory": 0}, {"deaths": 0}]
)
def test_terms_out_of_range_are_refused(fields):
    with pytest.raises(InputError, match="experts: expected"):
        LookTerms(**fields)


def test_an_image_shares_the_pixels_and_turns_back_to_the_stored_ones():
    turned = picture(to_stored=(0.0, 1.0, 0.0, -1.0, 0.0, 40.0))
    image = image_of(turned)
    assert image.pixels is turned.pixels
    assert image.source.name == "a.png"
    assert image.frame_map.points(np.array([[1.0, 2.0]])).tolist() == [[2.0, 39.0]]


def test_frames_of_one_video_are_told_apart():
    frames = [
        picture(f"v#{n}", frame=VideoFrame(video="v", index=n, time=n / 25)) for n in range(2)
    ]
    assert len({image_of(frame).source.content_hash for frame in frames}) == 2


def test_a_failure_is_one_line_of_bounded_length():
    record = failed_record(picture(), "detect", "no\nluck " + "x" * 5000)
    assert record.failure.message.startswith("no luck x")
    assert len(record.failure.message) == 1000
    assert (record.status, record.size, record.path) == ("failed", (40, 30), "a.png")
