"""The experts that misbehave do so only where they are told to."""

import numpy as np
import pytest

from groundplane.core.detection import DetectRequest
from groundplane.grounding.checking import check_result
from groundplane.grounding.joining import read_only
from groundplane.testing.detectors import make_image
from groundplane.testing.misbehaving import (
    FATAL,
    MISBEHAVIOURS,
    MisbehavingDetector,
    WildDetector,
    well_behaved,
)


def request(*phrases, size=(30, 40)):
    image = make_image(np.zeros((*size, 3), np.uint8), name="room")
    return DetectRequest(image=read_only(image), phrases=phrases)


def test_every_way_has_a_name_of_its_own():
    names = [way.name for way in (*MISBEHAVIOURS, *FATAL)]
    assert len(set(names)) == len(names) >= 48


def test_an_installed_one_misbehaves_as_the_name_of_a_picture_says():
    detector = WildDetector(WildDetector.Options())
    fine, bad, few = (
        DetectRequest(
            image=make_image(np.zeros((30, 40, 3), np.uint8), name=name), phrases=("cup",)
        )
        for name in ("a/b.png", "a/gives None.png", "one result too few.png")
    )
    good, none = detector.detect([fine, bad])
    assert check_result(good, fine).outcomes == ("found",)
    assert none is None
    assert len(detector.detect([fine, few])) == 1


@pytest.mark.parametrize("size", [(1, 1), (30, 40), (40, 3)])
@pytest.mark.parametrize("phrases", [(), ("cup",), ("cup", "hat", "cup")])
def test_the_good_answer_keeps_the_contract(phrases, size):
    asked = request(*phrases, size=size)
    assert check_result(well_behaved(asked), asked).outcomes == ("found",) * len(phrases)


@pytest.mark.parametrize("way", MISBEHAVIOURS, ids=str)
def test_what_is_not_picked_is_answered_well(way):
    detector = MisbehavingDetector(way, when=lambda request: "bad" in request.phrases)
    asked = [request("cup"), request("hat", "eye")]
    for one, result in zip(asked, detector.detect(asked), strict=True):
        assert check_result(result, one).regions.phrases == one.phrases
    assert detector.batches == [asked]


@pytest.mark.parametrize("way", MISBEHAVIOURS, ids=str)
def test_what_is_picked_is_answered_as_its_name_says(way):
    detector = MisbehavingDetector(way)
    detector.released.set()
    asked = request("cup")
    try:
        given = detector.detect([asked])
        broken = not isinstance(given, list) or len(given) != 1
        if not broken:
            check_result(given[0], asked)
    except BaseException:  # noqa: BLE001 - some raise just that
        broken = True
    assert broken == (bool(way.says) and way.name != "hangs")
