"""Every misbehaviour through both doors: a request fails by name in time, the others do not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from groundplane.asking import Asker
from groundplane.core.answer import Status
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError
from groundplane.core.masks import RleMask, encode
from groundplane.core.orchestrator import Budget
from groundplane.core.regions import Regions
from groundplane.grounding.experts import Expert
from groundplane.grounding.router import Router, Terms
from groundplane.testing.detectors import make_image
from groundplane.testing.misbehaving import (
    MISBEHAVIOURS,
    MisbehavingDetector,
    Misbehaviour,
    well_behaved,
)

# Seconds; what does not hang is far within it, however busy the machine is.
DEADLINE = 20.0
# What hangs uses all of it: half is left for the neighbours.
HANGING = 2.0


def picture(name="room", level=0):
    return make_image(np.full((30, 40, 3), level, np.uint8), name=name)


def deadline_of(way: Misbehaviour) -> float:
    return HANGING if way.name == "hangs" else DEADLINE


@pytest.fixture(params=MISBEHAVIOURS, ids=str)
def way(request):
    return request.param


def is_bad(request):
    return request.image.source.name == "bad"


class TestRouter:
    def answers(self, way, requests):
        expert = MisbehavingDetector(way, when=is_bad)
        router = Router.of(expert, name="odd", terms=Terms(deadline=deadline_of(way)))
        started = time.monotonic()
        try:
            return router.answer(requests), time.monotonic() - started
        finally:
            expert.released.set()

    def test_a_request_fails_by_name_and_its_neighbours_are_served(self, way):
        names = ["first", "bad", "third", "fourth"]
        pictures = [picture(name, level) for level, name in enumerate(names)]
        requests = [DetectRequest(image=image, phrases=("chair",)) for image in pictures]
        (first, bad, third, fourth), took = self.answers(way, requests)
        for answer in (first, third, fourth):
            assert isinstance(answer, DetectResult), answer
            assert answer.outcomes == (Outcome.FOUND,)
            assert answer.regions.boxes.tolist() == well_behaved(requests[0]).regions.boxes.tolist()
        assert took <= deadline_of(way) + 1
        if not way.says:
            assert bad.outcomes == (Outcome.FOUND,)
            return
        assert isinstance(bad, DetectorError)
        assert str(bad).startswith("detector 'odd'")
        assert way.says in str(bad)
        assert "\n" not in str(bad)
        assert len(str(bad)) < 1500

    def test_pixels_and_requests_are_as_they_were(self, way):
        image = picture("bad", 77)
        request = DetectRequest(image=image, phrases=("chair",), thresholds=(0.5,))
        self.answers(way, [request])
        assert (image.pixels == 77).all()
        assert image.pixels.flags.writeable
        assert (request.phrases, request.thresholds, request.image) == (("chair",), (0.5,), image)


class TestAsk:
    def test_a_question_ends_by_name_and_the_others_are_answered(self, way):
        expert = MisbehavingDetector(way, when=lambda request: "cat" in request.phrases)
        budget = Budget(deadline=deadline_of(way))
        asker = Asker(picture(), detector=expert, budget=budget)
        asked = ["How many dogs are there?", "How many cats are there?", "Is there a bird?"]
        started = time.monotonic()
        try:
            dogs, cats, bird = asker.ask_many(asked)
        finally:
            expert.released.set()
        assert time.monotonic() - started <= deadline_of(way) + 1
        assert (dogs.value, bird.value) == (1, True)
        if not way.says:
            assert cats.value == 1
            return
        assert (cats.value, cats.status) == (None, Status.CANNOT_DETECT)
        assert "etector 'MisbehavingDetector'" in cats.text
        assert way.says in cats.text


class Segmenter:
    """Masks of the whole box, or what a function makes of a request."""

    def __init__(self, act=None):
        self.act = act or self.good
        self.asked = []

    def segment(self, requests):
        self.asked.append(len(requests))
        return [self.act(request) for request in requests]

    @staticmethod
    def good(request) -> Regions:
        n = len(request)
        w, h = request.image.size
        return Regions(
            ids=tuple(f"m{i}" for i in range(n)),
            boxes=request.boxes,
            scores=torch.ones(n),
            phrases=(),
            phrase_ids=torch.full((n,), -1),
            image_size=(w, h),
            masks=(encode(np.ones((h, w), dtype=bool)),) * n,
        )


def raising(request):
    raise RuntimeError("no luck")


def maskless(request):
    return replace(Segmenter.good(request), masks=None)


SEGMENTING = {
    "RuntimeError: no luck": raising,
    "expected Regions, got NoneType": lambda request: None,
    "expected masks, got none": maskless,
    "expected a region for each of 1 things, got 0": lambda request: Regions.empty(
        phrases=(), image_size=request.image.size
    ),
    "expected the image size (40, 30)": lambda request: replace(
        Segmenter.good(request), image_size=(1, 1)
    ),
    "expected masks of size (30, 40)": lambda request: replace(
        Segmenter.good(request), masks=(RleMask(size=(1, 1), counts=b"1"),) * len(request)
    ),
    "a box that leaves the image": lambda request: replace(
        Segmenter.good(request), boxes=request.boxes + 99
    ),
}


class TestSegmenters:
    @pytest.mark.parametrize("says", SEGMENTING)
    def test_one_that_misbehaves_fails_its_request_alone_and_by_name(self, says):
        act = SEGMENTING[says]
        cutter = Segmenter(lambda r: act(r) if is_bad(r) else Segmenter.good(r))
        router = Router(
            [Expert("any", lambda: MisbehavingDetector(MISBEHAVIOURS[-1]))],
            segmenters=[Expert.of(cutter, name="odd")],
            terms=Terms(masks=True, deadline=DEADLINE),
        )
        requests = [
            DetectRequest(image=picture(name, level), phrases=("chair",))
            for level, name in enumerate(["first", "bad", "third"])
        ]
        first, bad, third = router.answer(requests)
        assert [len(answer.regions.masks) for answer in (first, third)] == [1, 1]
        assert isinstance(bad, DetectorError)
        assert str(bad).startswith("segmenter 'odd'")
        assert says in str(bad)


class TestMemory:
    """A device whose memory holds a batch of so many pictures."""

    class Small(MisbehavingDetector):
        def __init__(self, room: int, too_large: Sequence[str] = ()) -> None:
            super().__init__(MISBEHAVIOURS[-2])
            self._room = room
            self._too_large = set(too_large)
            self.freed: list[bool] = []

        def detect(self, requests):
            self.batches.append(list(requests))
            alone = {request.image.source.name for request in requests} & self._too_large
            if len(requests) > self._room or alone:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return [well_behaved(request) for request in requests]

    def requests(self, count):
        return [
            DetectRequest(image=picture(f"p{i}", i % 256), phrases=("chair",)) for i in range(count)
        ]

    @pytest.mark.parametrize("room", [1, 3, 5, 64])
    def test_a_batch_shrinks_until_it_fits_and_nothing_is_lost(self, room):
        expert = self.Small(room)
        answers = Router.of(expert).answer(self.requests(100))
        assert all(answer.outcomes == (Outcome.FOUND,) for answer in answers)
        served = [len(batch) for batch in expert.batches if len(batch) <= room]
        assert sum(served) == 100

    def test_only_the_picture_that_never_fits_fails(self):
        expert = self.Small(8, too_large=["p5", "p77"])
        answers = Router.of(expert).answer(self.requests(100))
        failed = [i for i, answer in enumerate(answers) if isinstance(answer, DetectorError)]
        assert failed == [5, 77]
        assert "failed on 'p5': OutOfMemoryError" in str(answers[5])

    def test_what_was_cached_is_let_go(self):
        from groundplane.core.feature_cache import shared_cache

        shared_cache().get_or_make("encoding", lambda: torch.zeros(10))
        Router.of(self.Small(0)).answer(self.requests(1))
        assert shared_cache().stats.entries == 0

    @pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), ValueError("no luck")])
    def test_what_the_failed_call_held_is_let_go(self, error):
        import weakref

        held = []

        class Holding:
            vocabulary = None

            def detect(self, requests):
                features = torch.zeros(1000)
                held.append(weakref.ref(features))
                if len(requests) > 1:
                    raise error
                assert held[0]() is None, "the memory of the failed batch is still held"
                return [well_behaved(request) for request in requests]

        answers = Router.of(Holding()).answer(self.requests(2))
        assert all(isinstance(answer, DetectResult) for answer in answers)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_shrinks_until_it_fits_a_real_device():
    """A limit of a quarter of the memory; each picture takes a sixth of that."""
    total = torch.cuda.get_device_properties(0).total_memory
    room = total // 4
    each = room // 6

    class Hungry:
        vocabulary = None

        def __init__(self):
            self.served = []

        def detect(self, requests):
            held = [torch.empty(each, dtype=torch.uint8, device="cuda") for _ in requests]
            self.served.append(len(held))
            return [well_behaved(request) for request in requests]

    expert = Hungry()
    requests = [DetectRequest(image=picture(f"p{i}", i), phrases=("chair",)) for i in range(100)]
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction(0.25)
    try:
        answers = Router.of(expert).answer(requests)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert all(isinstance(answer, DetectResult) for answer in answers)
    assert sum(expert.served) == 100
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= before
