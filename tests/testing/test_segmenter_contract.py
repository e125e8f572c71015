"""The shipped contract: a good segmenter passes it, and each check fails one broken that way."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from groundplane.core.capabilities import Capabilities
from groundplane.core.masks import area, bounding_box, decode, encode
from groundplane.core.regions import Regions
from groundplane.testing.detectors import make_image
from groundplane.testing.segmenters import SegmenterContract

# The broken segmenters break types too; here the contract must see it, not the test-time checks.
pytestmark = pytest.mark.usefixtures("unchecked")


class Good:
    """Fills each box, or a square about each point that is on the thing; cuts out the others."""

    capabilities = Capabilities(prompts=frozenset({"box", "point"}), masks=True)

    def segment(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        width, height = request.image.size
        masks = [self.fill(request, i) for i in range(len(request))]
        rles = tuple(encode(mask) for mask in masks)
        return Regions(
            ids=tuple(f"m{i}" for i in range(len(rles))),
            boxes=torch.tensor([bounding_box(rle) for rle in rles]).reshape(-1, 4).float(),
            scores=torch.tensor([area(rle) / (width * height) for rle in rles]).reshape(-1),
            phrases=(),
            phrase_ids=torch.full((len(rles),), -1),
            image_size=request.image.size,
            masks=rles,
        )

    def fill(self, request, index):
        width, height = request.image.size
        mask = np.zeros((height, width), dtype=bool)
        if request.boxes is not None:
            x0, y0, x1, y1 = request.boxes[index].clamp(min=0).round().int().tolist()
            mask[y0 : max(y0, y1), x0 : max(x0, x1)] = True
        if request.points is None or (request.boxes is not None and not mask.any()):
            return mask
        labels = self.labels(request)[index].tolist()
        for (x, y), label in zip(request.points[index].int().tolist(), labels, strict=True):
            if 0 <= x <= width and 0 <= y <= height and label >= 0:
                around = mask[max(0, y - 6) : y + 6, max(0, x - 6) : x + 6]
                around[:] = bool(label)
        return mask

    def labels(self, request):
        given = request.point_labels
        return torch.ones(request.points.shape[:2]) if given is None else given


class Altered(Good):
    """A good segmenter whose results, or requests, pass through a fault."""

    def __init__(self, fault: Callable) -> None:
        self.fault = fault

    def answer(self, request):
        return self.fault(request, super().answer(request))


def columns(**changed):
    """A fault that replaces columns of regions by what a function makes of them."""
    return Altered(lambda _, r: replace(r, **{name: make(r) for name, make in changed.items()}))


def only_where(condition: Callable, fault: Callable):
    return Altered(lambda q, r: fault(q, r) if condition(q) else r)


def crash(*_):
    raise RuntimeError("cannot take this")


def shrink(_, regions):
    return regions.select(torch.arange(len(regions) - 1))


def shift(_, regions):
    masks = tuple(moved(mask) for mask in regions.masks)
    boxes = torch.tensor([bounding_box(mask) for mask in masks]).reshape(-1, 4).float()
    return replace(regions, masks=masks, boxes=boxes)


def moved(mask):
    return encode(np.roll(decode(mask), 9, axis=1))


def double_ids(_, regions):
    # Regions refuses double ids when it is made, so a plugin must go behind its back.
    object.__setattr__(regions, "ids", ("same",) * len(regions))
    return regions


def spoil_pixels(request, regions):
    request.image.pixels[0, 0] ^= 1
    return regions


def spoil_boxes(request, regions):
    if request.boxes is not None:
        request.boxes.add_(1)
    return regions


class Listing(Good):
    """A good segmenter whose list of results passes through a fault."""

    def __init__(self, fault: Callable) -> None:
        self.fault = fault

    def segment(self, requests):
        return self.fault(super().segment(requests))


class Sorted(Good):
    """Gives its regions largest first."""

    def answer(self, request):
        regions = super().answer(request)
        return regions.select(torch.argsort(regions.scores, descending=True))


class Drifting(Good):
    calls = 0

    def answer(self, request):
        Drifting.calls += 1
        regions = super().answer(request)
        return replace(regions, scores=regions.scores * (1 - 0.01 * (Drifting.calls % 7)))


class BatchBound(Good):
    def segment(self, requests):
        results = super().segment(requests)
        return [shift(None, r) for r in results] if len(requests) > 1 else results


class Padded(Good):
    """Takes padding for points."""

    def labels(self, request):
        return super().labels(request).abs()


class Negative(Good):
    """Takes labels that are left out for points that are not on the thing."""

    def labels(self, request):
        return super().labels(request) * (request.point_labels is not None)


class Emptying(Good):
    """Takes the requests out of the caller's list."""

    def segment(self, requests):
        taken = list(requests)
        requests.clear()
        return super().segment(taken)


class Filling(Good):
    """Finds something where a prompt points at nothing."""

    def fill(self, request, index):
        mask = super().fill(request, index)
        return mask if mask.any() else ~mask


class Sure(Good):
    """Is sure of its empty masks."""

    def answer(self, request):
        regions = super().answer(request)
        return replace(regions, scores=torch.where(regions.scores > 0, regions.scores, 1.0))


class Boastful(Good):
    capabilities = Capabilities(prompts=frozenset({"box"}), masks=False)


class Mute:
    pass


BROKEN = {
    "test_it_satisfies_the_protocol": [Mute(), Boastful()],
    "test_no_requests_give_no_results": [Listing(lambda results: results or None)],
    "test_a_request_for_no_thing_gives_no_region": [
        only_where(lambda q: len(q) == 0, crash),
        Listing(lambda results: results[1:]),
    ],
    "test_one_region_a_thing_for_each_request": [
        Listing(lambda results: results[::-1]),
        Listing(lambda results: results[1:]),
        Listing(tuple),
        Altered(shrink),
        Altered(double_ids),
        columns(masks=lambda r: None),
        columns(image_size=lambda r: r.image_size[::-1]),
        columns(masks=lambda r: tuple(replace(m, size=m.size[::-1]) for m in r.masks)),
        columns(boxes=lambda r: r.boxes + 1.0),
        columns(boxes=lambda r: r.boxes[:, [2, 1, 0, 3]]),
        columns(boxes=lambda r: r.boxes * float("nan")),
        columns(scores=lambda r: r.scores + 1.0),
        columns(scores=lambda r: r.scores * float("nan")),
        columns(phrase_ids=lambda r: r.phrase_ids + 1),
    ],
    "test_regions_come_in_the_order_of_the_things": [Sorted()],
    "test_a_one_pixel_image_is_answered": [only_where(lambda q: q.image.size == (1, 1), crash)],
    "test_a_narrow_image_is_answered": [only_where(lambda q: q.image.size[1] == 2, crash)],
    "test_a_box_that_holds_nothing_gives_an_empty_mask": [Filling(), Sure()],
    "test_a_box_that_leaves_the_image_is_answered": [
        only_where(lambda q: bool((q.boxes > q.image.size[0]).any()), crash)
    ],
    "test_a_hundred_boxes_are_answered": [
        only_where(lambda q: len(q) > 64, crash),
        only_where(lambda q: len(q) > 64, shift),
        only_where(lambda q: len(q) > 64, shrink),
    ],
    "test_points_of_all_labels_are_answered": [
        only_where(lambda q: q.points is not None, crash),
        only_where(lambda q: q.points is not None, shrink),
    ],
    "test_padding_points_have_no_effect": [Padded()],
    "test_points_that_are_on_nothing_give_an_empty_mask": [Filling(), Sure(), Padded()],
    "test_labels_that_are_left_out_mean_on_the_thing": [Negative()],
    "test_a_box_and_points_together_are_answered": [
        Padded(),
        only_where(lambda q: q.points is not None and q.boxes is not None, crash),
    ],
    "test_the_same_input_gives_the_same_result": [Drifting()],
    "test_inputs_are_left_as_they_were": [
        Altered(spoil_pixels),
        Altered(spoil_boxes),
        Emptying(),
    ],
    "test_a_batch_equals_its_single_requests": [BatchBound()],
}
CASES = [(name, broken) for name, faults in BROKEN.items() for broken in faults]


def arguments(name: str) -> dict:
    """What pytest would hand to a check."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    ramp = np.broadcast_to(np.arange(120, dtype=np.uint8)[None, :, None], (30, 120, 3))
    given = {
        "images": [make_image(noise), make_image(ramp), make_image(noise[:21, :33])],
        "kinds": frozenset({"box", "point"}),
        "box": (500.0, 500.0, 600.0, 600.0),
        "what": "outside of the image",
    }
    wanted = inspect.signature(getattr(SegmenterContract, name)).parameters
    return {key: value for key, value in given.items() if key in wanted}


def checks() -> set[str]:
    return {name for name in vars(SegmenterContract) if name.startswith("test_")}


class TestGoodSegmenter(SegmenterContract):
    @pytest.fixture
    def segmenter(self):
        return Good()


class TestSegmenterOfBoxesOnly(SegmenterContract):
    @pytest.fixture
    def segmenter(self):
        made = Good()
        made.capabilities = Capabilities(prompts=frozenset({"box"}), masks=True)
        return made


def test_every_check_is_shown_to_fail():
    assert checks() == set(BROKEN)


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_the_good_segmenter_passes_with_the_same_arguments(name):
    getattr(SegmenterContract(), name)(segmenter=Good(), **arguments(name))


@pytest.mark.parametrize(("name", "broken"), CASES)
def test_a_broken_segmenter_fails_its_check(name, broken):
    with pytest.raises((AssertionError, RuntimeError)):
        getattr(SegmenterContract(), name)(segmenter=broken, **arguments(name))


def test_an_author_s_subclass_runs_under_pytest_and_reports_the_fault(tmp_path: Path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_mine.py").write_text(
        "import pytest\n"
        "from groundplane.testing.segmenters import SegmenterContract\n"
        "class Mine:\n"
        "    def segment(self, requests): return []\n"
        "class TestMine(SegmenterContract):\n"
        "    @pytest.fixture\n"
        "    def segmenter(self): return Mine()\n"
        "class TestForgotten(SegmenterContract):\n"
        "    pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "4 requests, 0 results" in done.stdout
    assert "override the fixture 'segmenter'" in done.stdout
