"""The contract that every segmenter passes, as a pytest class to subclass.

    class TestMine(SegmenterContract):
        @pytest.fixture
        def segmenter(self):
            return groundplane.load("segmenters", "mine")

Override `images` with pictures in which the segmenter's masks are not all empty: only masks that
are there can be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.capabilities import Capabilities
from groundplane.core.image import Image
from groundplane.core.masks import area, bounding_box, decode
from groundplane.core.regions import Regions
from groundplane.core.segmentation import Segmenter, SegmentRequest
from groundplane.testing.detectors import make_image, unlike_images

__all__ = ["SegmenterContract"]

# Batches of other sizes may sum in another order: this part of the pixels, at the edge of a mask,
# and of a percent.
_PIXEL_TOLERANCE = 5e-3
_SCORE_TOLERANCE = 1e-4


class SegmenterContract:
    """What a segmenter must do; subclass it and override `segmenter`."""

    @pytest.fixture
    def segmenter(self) -> Segmenter:
        """The segmenter under test."""
        return pytest.fail("override the fixture 'segmenter' and give your segmenter there")

    @pytest.fixture
    def kinds(self, segmenter: Segmenter) -> frozenset[str]:
        """How it can be asked: its capabilities' prompts; without any, boxes and points."""
        known = getattr(segmenter, "capabilities", None)
        stated = known.prompts if isinstance(known, Capabilities) else ("box", "point")
        return frozenset(stated)

    @pytest.fixture
    def images(self) -> list[Image]:
        """At least two images of unlike size."""
        return unlike_images()

    def test_it_satisfies_the_protocol(self, segmenter: Segmenter) -> None:
        assert isinstance(segmenter, Segmenter), f"{segmenter!r} has no segment"
        known = getattr(segmenter, "capabilities", None)
        proper = known is None or (isinstance(known, Capabilities) and known.masks)
        assert proper, f"capabilities: expected Capabilities with masks=True, got {known!r}"

    def test_no_requests_give_no_results(self, segmenter: Segmenter) -> None:
        given = segmenter.segment([])
        assert given == [], f"no requests: expected [], got {given!r}"

    def test_a_request_for_no_thing_gives_no_region(
        self, segmenter: Segmenter, images: list[Image]
    ) -> None:
        request = SegmentRequest(image=images[0], boxes=torch.zeros(0, 4))
        regions = _segment(segmenter, [request])[0]
        assert len(regions) == 0, f"nothing was asked for, but {len(regions)} regions"

    def test_one_region_a_thing_for_each_request(
        self, segmenter: Segmenter, images: list[Image]
    ) -> None:
        requests = [
            SegmentRequest(image=images[i % len(images)], boxes=_boxes(images[i % len(images)], n))
            for i, n in enumerate((2, 1, 3, 2))
        ]
        for request, regions in zip(requests, _segment(segmenter, requests), strict=True):
            _well_formed(regions, request)

    def test_regions_come_in_the_order_of_the_things(
        self, segmenter: Segmenter, images: list[Image]
    ) -> None:
        for image in images:
            boxes = _boxes(image, 4)
            there = _over(segmenter, image, boxes)
            back = _over(segmenter, image, boxes.flip(0))
            _check_alike(there, back.select(torch.tensor([3, 2, 1, 0])), what="the other way round")

    def test_a_one_pixel_image_is_answered(self, segmenter: Segmenter) -> None:
        image = make_image(np.full((1, 1, 3), 128, dtype=np.uint8))
        request = SegmentRequest(image=image, boxes=torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
        _well_formed(_segment(segmenter, [request])[0], request)

    def test_a_narrow_image_is_answered(self, segmenter: Segmenter) -> None:
        image = make_image(np.full((2, 700, 3), 90, dtype=np.uint8))
        request = SegmentRequest(image=image, boxes=torch.tensor([[10.0, 0.0, 300.0, 2.0]]))
        _well_formed(_segment(segmenter, [request])[0], request)

    @pytest.mark.parametrize(
        ("box", "what"),
        [
            ((500.0, 500.0, 600.0, 600.0), "outside of the image"),
            ((-50.0, -50.0, -1.0, -1.0), "outside of the image"),
            ((10.0, 10.0, 10.0, 30.0), "without area"),
            ((30.0, 30.0, 10.0, 10.0), "turned inside out"),
        ],
    )
    def test_a_box_that_holds_nothing_gives_an_empty_mask(
        self,
        segmenter: Segmenter,
        images: list[Image],
        box: tuple[float, ...],
        what: str,
    ) -> None:
        good = _boxes(images[0], 2)
        asked = torch.cat([good[:1], torch.tensor([box]), good[1:]])
        regions = _over(segmenter, images[0], asked)
        _check_empty(regions, 1, what=f"a box {what}")
        others = regions.select(torch.tensor([0, 2]))
        _check_alike(others, _over(segmenter, images[0], good), what=f"beside a box {what}")

    def test_a_box_that_leaves_the_image_is_answered(
        self, segmenter: Segmenter, images: list[Image]
    ) -> None:
        width, height = images[0].size
        over = torch.tensor([[width / 2, height / 2, width * 3.0, height * 3.0]])
        request = SegmentRequest(image=images[0], boxes=over)
        _well_formed(_segment(segmenter, [request])[0], request)

    def test_a_hundred_boxes_are_answered(self, segmenter: Segmenter, images: list[Image]) -> None:
        boxes = _boxes(images[0], 100)
        regions = _over(segmenter, images[0], boxes)
        some = torch.tensor([0, 41, 99])
        _check_alike(
            regions.select(some), _over(segmenter, images[0], boxes[some]), what="among a hundred"
        )

    def test_points_of_all_labels_are_answered(
        self, segmenter: Segmenter, images: list[Image], kinds: frozenset[str]
    ) -> None:
        _needs("point", kinds)
        request = SegmentRequest(
            image=images[0],
            points=_points(images[0], 3, 3),
            point_labels=torch.tensor([[1, 1, 0], [1, 0, 0], [1, -1, -1]]),
        )
        _well_formed(_segment(segmenter, [request])[0], request)

    def test_padding_points_have_no_effect(
        self, segmenter: Segmenter, images: list[Image], kinds: frozenset[str]
    ) -> None:
        _needs("point", kinds)
        points = _points(images[0], 3, 2)
        padded = torch.cat([torch.full((3, 1, 2), 7.0), points, torch.zeros(3, 1, 2)], dim=1)
        labels = torch.tensor([[-1, 1, 0, -1]] * 3)
        plain, other = _segment(
            segmenter,
            [
                SegmentRequest(image=images[0], points=points, point_labels=labels[:, 1:3]),
                SegmentRequest(image=images[0], points=padded, point_labels=labels),
            ],
        )
        _check_alike(plain, other, what="with padding and without")

    def test_points_that_are_on_nothing_give_an_empty_mask(
        self, segmenter: Segmenter, images: list[Image], kinds: frozenset[str]
    ) -> None:
        _needs("point", kinds)
        inside = [images[0].size[0] / 2, images[0].size[1] / 2]
        request = SegmentRequest(
            image=images[0],
            points=torch.tensor([[inside], [inside], [[-9.0, 5.0]]]),
            point_labels=torch.tensor([[0], [-1], [1]]),
        )
        regions = _segment(segmenter, [request])[0]
        for index, what in enumerate(("not on it", "that are padding", "outside of the image")):
            _check_empty(regions, index, what=f"only points {what}")

    def test_labels_that_are_left_out_mean_on_the_thing(
        self, segmenter: Segmenter, images: list[Image], kinds: frozenset[str]
    ) -> None:
        _needs("point", kinds)
        request = SegmentRequest(image=images[0], points=_points(images[0], 2, 2))
        ones = replace(request, point_labels=torch.ones(2, 2, dtype=torch.long))
        left_out, stated = _segment(segmenter, [request, ones])
        _check_alike(left_out, stated, what="labels left out and stated")

    def test_a_box_and_points_together_are_answered(
        self, segmenter: Segmenter, images: list[Image], kinds: frozenset[str]
    ) -> None:
        _needs("point", kinds)
        request = SegmentRequest(
            image=images[0],
            boxes=_boxes(images[0], 3),
            points=_points(images[0], 3, 2),
            point_labels=torch.tensor([[1, 0], [0, 0], [-1, -1]]),
        )
        regions = _segment(segmenter, [request])[0]
        _well_formed(regions, request)
        alone = _over(segmenter, images[0], _boxes(images[0], 3))
        last = torch.tensor([2])
        _check_alike(regions.select(last), alone.select(last), what="with padding, and alone")

    def test_the_same_input_gives_the_same_result(
        self, segmenter: Segmenter, images: list[Image]
    ) -> None:
        for image in images:
            first, second = (_over(segmenter, image, _boxes(image, 3)) for _ in range(2))
            assert first.masks == second.masks, "the same request twice: other masks"
            assert first.ids == second.ids, "the same request twice: other ids"
            assert torch.equal(first.scores, second.scores), "the same request twice: other scores"

    def test_inputs_are_left_as_they_were(
        self, segmenter: Segmenter, images: list[Image], kinds: frozenset[str]
    ) -> None:
        prompts = {"boxes": _boxes(images[0], 2)}
        if "point" in kinds:
            prompts |= {
                "points": _points(images[0], 2, 2),
                "point_labels": torch.tensor([[1, 0], [1, -1]]),
            }
        before = {name: prompt.clone() for name, prompt in prompts.items()}
        pixels = images[0].pixels.copy()
        requests = [SegmentRequest(image=images[0], **prompts)]
        given = list(requests)
        _segment(segmenter, given)
        assert given == requests, "the list of requests was changed"
        assert np.array_equal(images[0].pixels, pixels), "the image's pixels were changed"
        for name, prompt in prompts.items():
            assert torch.equal(prompt, before[name]), f"the request's {name} were changed"

    def test_a_batch_equals_its_single_requests(
        self, segmenter: Segmenter, images: list[Image]
    ) -> None:
        requests = [
            SegmentRequest(image=images[i], boxes=_boxes(images[i], n))
            for n, i in ((2, 0), (1, 1), (3, 0), (2, -1))
        ]
        for request, batched in zip(requests, _segment(segmenter, requests), strict=True):
            single = _segment(segmenter, [request])[0]
            _check_alike(batched, single, what="in a batch and alone")


def _needs(kind: str, kinds: frozenset[str]) -> None:
    if kind not in kinds:
        pytest.skip(f"its capabilities name no {kind} prompt")


def _boxes(image: Image, num: int) -> Float[Tensor, "n 4"]:
    """Boxes within an image, no two alike."""
    width, height = image.size
    at = torch.arange(num) / max(num, 2)
    x, y = 0.1 + 0.4 * at, 0.4 - 0.3 * at
    corners = torch.stack([x, y, x + 0.4 + 0.1 * at, y + 0.5 - 0.1 * at], dim=1)
    return corners * torch.tensor([width, height, width, height])


def _points(image: Image, num: int, each: int) -> Float[Tensor, "n m 2"]:
    """Points within an image, no two alike."""
    at = (torch.arange(num * each).reshape(num, each) + 0.5) / (num * each)
    return torch.stack([at, 1 - 0.9 * at], dim=2) * torch.tensor(image.size)


def _segment(segmenter: Segmenter, requests: Sequence[SegmentRequest]) -> list[Regions]:
    results = segmenter.segment(requests)
    assert isinstance(results, list), f"segment: expected a list, got {type(results).__name__}"
    assert len(results) == len(requests), f"{len(requests)} requests, {len(results)} results"
    return results


def _over(segmenter: Segmenter, image: Image, boxes: Float[Tensor, "n 4"]) -> Regions:
    request = SegmentRequest(image=image, boxes=boxes)
    regions = _segment(segmenter, [request])[0]
    _well_formed(regions, request)
    return regions


def _well_formed(regions: Regions, request: SegmentRequest) -> None:
    width, height = request.image.size
    assert len(regions) == len(request), f"{len(request)} things, but {len(regions)} regions"
    size = regions.image_size
    assert size == (width, height), f"image_size: expected {(width, height)} (w, h), got {size}"
    masks = regions.masks
    assert masks is not None, "there are no masks"
    assert len(masks) == len(request), f"{len(request)} things, but {len(masks)} masks"
    boxes = regions.boxes.detach().cpu()
    for mask, box in zip(masks, boxes.tolist(), strict=True):
        assert mask.size == (height, width), f"mask of {mask.size}, expected {(height, width)}"
        if area(mask):
            around = bounding_box(mask)
            assert tuple(box) == around, f"box {box}, but the mask lies in {around}"
    edge = torch.tensor([width, height, width, height])
    # Not the opposite comparison: NaN must fail.
    inside = bool(((boxes >= 0) & (boxes <= edge)).all() and (boxes[:, :2] <= boxes[:, 2:]).all())
    assert inside, f"boxes turned round or outside of {(width, height)}: {boxes.tolist()}"
    scores = regions.scores.detach().cpu()
    assert bool(((scores >= 0) & (scores <= 1)).all()), f"scores not in [0, 1]: {scores.tolist()}"
    phrases = set(regions.phrase_ids.tolist())
    assert phrases <= {-1}, f"a segmenter answers no phrase (index -1), got {phrases}"
    assert len(set(regions.ids)) == len(regions.ids), f"ids are not unique: {regions.ids}"


def _check_empty(regions: Regions, index: int, *, what: str) -> None:
    assert regions.masks is not None, "there are no masks"
    pixels, score = area(regions.masks[index]), float(regions.scores[index])
    assert pixels == 0, f"{what}: expected an empty mask, got {pixels} pixels"
    assert score == 0, f"{what}: expected a score of 0, got {score}"


def _check_alike(one: Regions, other: Regions, *, what: str) -> None:
    assert len(one) == len(other), f"{what}: {len(one)} and {len(other)} regions"
    close = torch.allclose(one.scores, other.scores, rtol=0, atol=_SCORE_TOLERANCE)
    assert close, f"{what}: scores {one.scores.tolist()} and {other.scores.tolist()}"
    for index, (mask, same) in enumerate(zip(one.masks or (), other.masks or (), strict=True)):
        apart = float((decode(mask) != decode(same)).mean())
        assert apart <= _PIXEL_TOLERANCE, f"{what}: mask {index} differs in {apart:.1%} of pixels"
