"""What a router makes and finds out before it is asked, and what it answers in two steps."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest
from groundplane.core.errors import DetectorError, GroundplaneError, PluginBrokenError
from groundplane.core.masks import encode
from groundplane.core.regions import Regions
from groundplane.core.segmentation import SegmentRequest
from groundplane.grounding.experts import Expert
from groundplane.grounding.router import Router, Terms
from groundplane.testing.detectors import make_image
from groundplane.testing.misbehaving import MISBEHAVIOURS, MisbehavingDetector, well_behaved

PICTURE = make_image(np.zeros((30, 40, 3), np.uint8), name="room")


class Words:
    """A detector of a few words."""

    def __init__(self, *words):
        self.vocabulary = words

    def detect(self, requests):
        return [well_behaved(request) for request in requests]


class Cutter:
    """Masks of everything; none of pictures called bad."""

    def segment(self, requests):
        if any(request.image.source.name == "bad" for request in requests):
            raise RuntimeError("no mask for this")
        return [
            Regions(
                ids=tuple(f"m{i}" for i in range(len(request))),
                boxes=request.boxes,
                scores=torch.ones(len(request)),
                phrases=(),
                phrase_ids=torch.full((len(request),), -1),
                image_size=request.image.size,
                masks=(encode(np.ones(request.image.pixels.shape[:2], dtype=np.bool_)),)
                * len(request),
            )
            for request in requests
        ]


def broken(name):
    def fail():
        raise PluginBrokenError(f"detector {name!r} lacks its library")

    return Expert(name, fail)


def test_phrases_that_somebody_can_look_for_are_not_lost():
    router = Router([Expert.of(Words("cup"), name="a"), Expert.of(Words("dog"), name="b")])
    assert router.ready([("cup", "text"), ("dogs", "text")]) == {}


def test_a_phrase_that_nobody_knows_is_told_with_what_each_knows():
    router = Router([Expert.of(Words("cup"), name="a"), Expert.of(Words("dog"), name="b")])
    assert router.ready([("sofa", "text")]) == {"sofa": "a knows: cup, b knows: dog"}


def test_an_expert_without_a_rival_is_asked_for_its_words_too():
    assert Router.of(Words("cup"), name="a").ready([("sofa", "text")]) == {"sofa": "a knows: cup"}


def test_who_cannot_be_made_comes_last_with_the_reason():
    router = Router([broken("x"), Expert.of(Words("cup"), name="a")])
    assert router.ready([("sofa", "text")]) == {"sofa": "a knows: cup, x lacks its library"}


def test_an_exemplar_is_lost_where_nobody_takes_one():
    lost = Router.of(Words("cup"), name="a").ready([("cup", "exemplar")])
    assert lost == {"cup": "a takes no exemplar prompt"}


def test_no_phrases_lose_nothing():
    assert Router.of(Words("cup")).ready([]) == {}


def test_a_segmenter_that_cannot_be_made_is_told_at_once():
    cutter = Expert("s", broken("s").load, kind="segmenter")
    detector = Expert.of(Words("cup"), name="a")
    able = Capabilities(prompts=frozenset({"vocabulary"}), masks=True)
    detector = Expert("a", detector.load, capabilities=able)
    router = Router([detector], segmenters=[cutter], terms=Terms(masks=True))
    with pytest.raises(DetectorError, match="no segmenter can make masks"):
        router.ready([("cup", "text")])


def test_masks_may_be_asked_for_in_a_second_step():
    router = Router(
        [Expert.of(Words("cup"), name="a")],
        segmenters=[Expert.of(Cutter(), name="s")],
        terms=Terms(masks=True),
    )
    request = DetectRequest(image=PICTURE, phrases=("cup",))
    [bare] = router.answer([request], bare=True)
    [whole] = router.answer([request])
    assert bare.regions.masks is None
    assert len(whole.regions.masks) == 1


def test_masks_that_fail_come_as_errors_beside_the_others():
    router = Router([Expert.of(Words("cup"), name="a")], segmenters=[Expert.of(Cutter(), name="s")])
    bad = make_image(np.zeros((30, 40, 3), np.uint8), name="bad")
    boxes = torch.tensor([[1.0, 1, 9, 9]])
    requests = [SegmentRequest(image=image, boxes=boxes) for image in (PICTURE, bad)]
    good, error = router.answer_masks(requests)
    assert len(good.masks) == 1
    assert isinstance(error, GroundplaneError)
    assert "segmenter 's' failed on 'bad'" in str(error)


def test_calls_that_were_given_up_are_counted_until_they_come_back():
    [hangs] = [way for way in MISBEHAVIOURS if way.name == "hangs"]
    expert = MisbehavingDetector(hangs)
    router = Router.of(expert, name="odd", terms=Terms(deadline=0.2))
    assert router.stuck == 0
    [answer] = router.answer([DetectRequest(image=PICTURE, phrases=("cup",))])
    assert isinstance(answer, DetectorError)
    assert router.stuck == 1
    expert.released.set()
    back = threading.Event()
    for _ in range(500):
        if router.stuck == 0 or back.wait(0.01):
            break
    assert router.stuck == 0
