"""The contract that every detector passes, as a pytest class to subclass.

    class TestMine(DetectorContract):
        @pytest.fixture
        def detector(self):
            return groundplane.load("detectors", "mine")

Override `images` with pictures in which the detector finds something: only regions that are
there can be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from jaxtyping import UInt8

from groundplane.core.detection import Detector, DetectRequest, DetectResult, Outcome
from groundplane.core.image import FrameMap, Image, Source
from groundplane.core.regions import Regions

__all__ = ["DetectorContract", "make_image", "unlike_images"]

_NONSENSE = "qzxv wblorf"
# Batches of other sizes may sum in another order: a hundredth of a pixel, and of a percent.
_BOX_TOLERANCE = 1e-2
_SCORE_TOLERANCE = 1e-4


def make_image(pixels: UInt8[np.ndarray, "h w 3"], *, name: str = "made") -> Image:
    """An image of RGB pixels, for tests."""
    from hashlib import sha256

    shaped = np.ascontiguousarray(pixels)
    source = Source(name=name, content_hash=sha256(shaped.tobytes()).hexdigest())
    return Image(pixels=shaped, source=source, frame_map=FrameMap.identity())


def unlike_images() -> list[Image]:
    """Three images of unlike size and content, for contract tests."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)
    blocks = np.full((120, 90, 3), 235, dtype=np.uint8)
    blocks[20:60, 10:50] = (220, 20, 20)
    blocks[70:110, 40:80] = (20, 40, 220)
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (33, 200, 3))
    return [make_image(blocks), make_image(noise), make_image(ramp)]


class DetectorContract:
    """What a detector must do, whatever it detects; subclass it and override `detector`."""

    @pytest.fixture
    def detector(self) -> Detector:
        """The detector under test."""
        return pytest.fail("override the fixture 'detector' and give your detector there")

    @pytest.fixture
    def phrases(self, detector: Detector) -> tuple[str, ...]:
        """At least two phrases that the detector can look for."""
        return (detector.vocabulary or ("person", "chair", "red thing"))[:3]

    @pytest.fixture
    def images(self) -> list[Image]:
        """At least two images of unlike size."""
        return unlike_images()

    def test_it_satisfies_the_protocol(self, detector: Detector) -> None:
        assert isinstance(detector, Detector), f"{detector!r} has no vocabulary or no detect"
        words = detector.vocabulary
        proper = words is None or (
            isinstance(words, tuple) and all(isinstance(w, str) and w.strip() for w in words)
        )
        assert proper, f"vocabulary: expected None or a tuple of words, got {words!r}"

    def test_no_requests_give_no_results(self, detector: Detector) -> None:
        given = detector.detect([])
        assert given == [], f"no requests: expected [], got {given!r}"

    def test_one_result_per_request_in_order(
        self, detector: Detector, images: list[Image], phrases: tuple[str, ...]
    ) -> None:
        turned = [phrases[i % len(phrases) :] + phrases[: i % len(phrases)] for i in range(4)]
        requests = [
            DetectRequest(image=images[i % len(images)], phrases=asked)
            for i, asked in enumerate(turned)
        ]
        for request, result in zip(requests, _detect(detector, requests), strict=True):
            assert result.regions.phrases == request.phrases, (
                f"asked {request.phrases}, but the result at its place is about "
                f"{result.regions.phrases}"
            )

    def test_image_size_is_that_of_the_image(
        self, detector: Detector, images: list[Image], phrases: tuple[str, ...]
    ) -> None:
        for image, result in zip(images, _over(detector, images, phrases), strict=True):
            size = result.regions.image_size
            assert size == image.size, f"image_size: expected {image.size} (w, h), got {size}"

    def test_a_one_pixel_image_is_answered(
        self, detector: Detector, phrases: tuple[str, ...]
    ) -> None:
        image = make_image(np.full((1, 1, 3), 128, dtype=np.uint8))
        _well_formed(_over(detector, [image], phrases)[0], image)

    @pytest.mark.parametrize("level", [0, 128, 255])
    def test_an_image_of_one_grey_is_answered(
        self, detector: Detector, phrases: tuple[str, ...], level: int
    ) -> None:
        image = make_image(np.full((40, 60, 3), level, dtype=np.uint8))
        _well_formed(_over(detector, [image], phrases)[0], image)

    def test_no_phrases_give_empty_regions(self, detector: Detector, images: list[Image]) -> None:
        for result in _over(detector, images, ()):
            assert len(result.regions) == 0, f"no phrases, but {len(result.regions)} regions"
            assert result.outcomes == (), f"no phrases, but outcomes {result.outcomes}"

    def test_boxes_are_ordered_and_inside_the_image(
        self, detector: Detector, images: list[Image], phrases: tuple[str, ...]
    ) -> None:
        for image, result in zip(images, _over(detector, images, phrases), strict=True):
            _check_boxes(result.regions, image.size)

    def test_scores_are_between_0_and_1(
        self, detector: Detector, images: list[Image], phrases: tuple[str, ...]
    ) -> None:
        for result in _over(detector, images, phrases):
            _check_scores(result.regions)

    def test_phrase_ids_point_into_the_request(
        self, detector: Detector, images: list[Image], phrases: tuple[str, ...]
    ) -> None:
        for result in _over(detector, images, phrases):
            _check_phrase_ids(result.regions)

    def test_outcomes_agree_with_the_regions(
        self, detector: Detector, images: list[Image], phrases: tuple[str, ...]
    ) -> None:
        for result in _over(detector, images, phrases):
            _check_outcomes(result)

    def test_ids_are_unique(
        self, detector: Detector, images: list[Image], phrases: tuple[str, ...]
    ) -> None:
        for result in _over(detector, images, phrases):
            ids = result.regions.ids
            assert len(set(ids)) == len(ids), f"ids are not unique: {ids}"

    def test_a_nonsense_word_is_not_found(self, detector: Detector, images: list[Image]) -> None:
        results = _over(detector, images, (_NONSENSE,))
        for image, result in zip(images, results, strict=True):
            _well_formed(result, image)
            if detector.vocabulary is not None:
                assert result.outcomes == (Outcome.CANNOT,), (
                    f"{_NONSENSE!r} is not in the vocabulary: expected cannot, got "
                    f"{result.outcomes[0]}"
                )

    def test_it_can_look_for_what_it_says_it_knows(
        self, detector: Detector, images: list[Image], phrases: tuple[str, ...]
    ) -> None:
        known = [phrase for phrase in phrases if phrase in (detector.vocabulary or ())]
        for result in _over(detector, images, phrases):
            cannot = [
                phrase
                for phrase, outcome in zip(phrases, result.outcomes, strict=True)
                if outcome is Outcome.CANNOT and phrase in known
            ]
            assert not cannot, f"{cannot} are in the vocabulary, but it cannot look for them"

    def test_thresholds_are_kept(
        self, detector: Detector, images: list[Image], phrases: tuple[str, ...]
    ) -> None:
        for image, plain in zip(images, _over(detector, images, phrases), strict=True):
            scores = plain.regions.scores.tolist()
            # Between two scores, so that it parts them whatever the last digit is.
            middle = (min(scores) + max(scores)) / 2 if scores else 0.5
            for least in (middle, 1.0):
                wanted = (least,) * len(phrases)
                request = DetectRequest(image=image, phrases=phrases, thresholds=wanted)
                result = _detect(detector, [request])[0]
                _check_outcomes(result)
                low = [s for s in result.regions.scores.tolist() if s < least - 1e-6]
                assert not low, f"threshold {least:g}, but scores {low}"

    def test_the_same_input_gives_the_same_result(
        self, detector: Detector, images: list[Image], phrases: tuple[str, ...]
    ) -> None:
        first, second = (_over(detector, images, phrases) for _ in range(2))
        for one, other in zip(first, second, strict=True):
            _check_alike(one, other, what="the same request twice", box=0.0, score=0.0)
            assert one.regions.ids == other.regions.ids, "the same request twice: other ids"

    def test_inputs_are_left_as_they_were(
        self, detector: Detector, images: list[Image], phrases: tuple[str, ...]
    ) -> None:
        requests = [DetectRequest(image=image, phrases=phrases) for image in images]
        before = [image.pixels.copy() for image in images]
        given = list(requests)
        _detect(detector, given)
        assert given == requests, "the list of requests was changed"
        for image, pixels in zip(images, before, strict=True):
            assert np.array_equal(image.pixels, pixels), "the image's pixels were changed"

    def test_a_batch_equals_its_single_requests(
        self, detector: Detector, images: list[Image], phrases: tuple[str, ...]
    ) -> None:
        for image, batched in zip(images, _over(detector, images, phrases), strict=True):
            single = _over(detector, [image], phrases)[0]
            _check_alike(
                batched,
                single,
                what="in a batch and alone",
                box=_BOX_TOLERANCE,
                score=_SCORE_TOLERANCE,
            )

    @pytest.mark.parametrize("phrase", ["кошка", "赤い椅子", "café ☕ 🪑", "e\u0301tage\u200b"])
    def test_a_phrase_in_any_script_is_answered(
        self, detector: Detector, images: list[Image], phrase: str
    ) -> None:
        result = _over(detector, images[:1], (phrase,))[0]
        assert result.regions.phrases == (phrase,), f"{phrase!r} became {result.regions.phrases}"
        _well_formed(result, images[0])

    def test_two_hundred_phrases_are_answered(
        self, detector: Detector, images: list[Image], phrases: tuple[str, ...]
    ) -> None:
        many = (phrases + tuple(f"{_NONSENSE} {i}" for i in range(200)))[:200]
        result = _over(detector, images[:1], many)[0]
        assert result.regions.phrases == many, "the table of 200 phrases was changed"
        _well_formed(result, images[0])


def _detect(detector: Detector, requests: Sequence[DetectRequest]) -> list[DetectResult]:
    results = detector.detect(requests)
    assert isinstance(results, list), f"detect: expected a list, got {type(results).__name__}"
    assert len(results) == len(requests), f"{len(requests)} requests, {len(results)} results"
    return results


def _over(
    detector: Detector, images: Sequence[Image], phrases: tuple[str, ...]
) -> list[DetectResult]:
    return _detect(detector, [DetectRequest(image=image, phrases=phrases) for image in images])


def _well_formed(result: DetectResult, image: Image) -> None:
    _check_boxes(result.regions, image.size)
    _check_scores(result.regions)
    _check_phrase_ids(result.regions)
    _check_outcomes(result)


def _check_boxes(regions: Regions, image_size: tuple[int, int]) -> None:
    boxes = regions.boxes.detach().cpu().double()
    assert bool(torch.isfinite(boxes).all()), f"boxes are not finite: {boxes.tolist()}"
    ordered = bool((boxes[:, :2] <= boxes[:, 2:]).all())
    assert ordered, f"boxes are not x0 <= x1, y0 <= y1: {boxes.tolist()}"
    size = torch.tensor(image_size * 2, dtype=torch.double)
    inside = bool(((boxes >= 0) & (boxes <= size)).all())
    assert inside, f"boxes leave the image of {image_size}: {boxes.tolist()}"


def _check_scores(regions: Regions) -> None:
    scores = regions.scores.detach().cpu()
    # Not the opposite comparison: NaN must fail.
    assert bool(((scores >= 0) & (scores <= 1)).all()), f"scores not in [0, 1]: {scores.tolist()}"


def _check_phrase_ids(regions: Regions) -> None:
    ids, count = regions.phrase_ids.tolist(), len(regions.phrases)
    wrong = [i for i in ids if not (isinstance(i, int) and -1 <= i < count)]
    assert not wrong, f"phrase ids {wrong}, but there are {count} phrases (-1 is unmapped)"


def _check_outcomes(result: DetectResult) -> None:
    named = set(result.regions.phrase_ids.tolist())
    for i, (phrase, outcome) in enumerate(
        zip(result.regions.phrases, result.outcomes, strict=True)
    ):
        assert isinstance(outcome, Outcome), f"{phrase!r}: {outcome!r} is no Outcome"
        agree = (outcome is Outcome.FOUND) == (i in named)
        assert agree, f"{phrase!r}: {outcome.value}, but {'a' if i in named else 'no'} region"


def _check_alike(
    one: DetectResult, other: DetectResult, *, what: str, box: float, score: float
) -> None:
    assert one.outcomes == other.outcomes, f"{what}: {one.outcomes} and {other.outcomes}"
    first, second = one.regions, other.regions
    assert len(first) == len(second), f"{what}: {len(first)} and {len(second)} regions"
    columns = ((first.boxes, second.boxes, box), (first.scores, second.scores, score))
    for a, b, tolerance in columns:
        alike = torch.allclose(a, b, rtol=0, atol=tolerance)
        assert alike, f"{what}: {a.tolist()} and {b.tolist()}"
    assert torch.equal(first.phrase_ids, second.phrase_ids), f"{what}: other phrase ids"
