"""The shipped contract: a good detector passes it, and each check fails one broken that way."""

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

from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.regions import Regions
from groundplane.testing.detectors import DetectorContract, make_image

# The broken detectors break types too; here the contract must see it, not the test-time checks.
pytestmark = pytest.mark.usefixtures("unchecked")

WORDS = ("bright", "dark", "green", "blue")


class Good:
    """Finds `bright` and `dark` halves of an image; knows two more words that it never finds."""

    vocabulary = WORDS

    def detect(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        width, height = request.image.size
        mean = float(request.image.pixels.mean()) / 255
        known = {"bright": (mean, 0.0), "dark": (1 - mean, width / 2)}
        rows, outcomes = [], []
        for i, phrase in enumerate(request.phrases):
            least = request.thresholds[i] if request.thresholds else 0.05
            score, left = known.get(phrase, (-1.0, 0.0))
            if phrase not in WORDS:
                outcomes.append(Outcome.CANNOT)
            elif score < least:
                outcomes.append(Outcome.NONE)
            else:
                outcomes.append(Outcome.FOUND)
                rows.append((i, (left, 0.0, left + width / 2, float(height)), score))
        regions = Regions(
            ids=tuple(f"r{i}" for i in range(len(rows))),
            boxes=torch.tensor([row[1] for row in rows]).reshape(-1, 4),
            scores=torch.tensor([row[2] for row in rows], dtype=torch.float32),
            phrases=request.phrases,
            phrase_ids=torch.tensor([row[0] for row in rows], dtype=torch.long),
            image_size=request.image.size,
        )
        return DetectResult(regions=regions, outcomes=tuple(outcomes))


class Altered(Good):
    """A good detector whose results, or requests, pass through a fault."""

    def __init__(self, fault: Callable) -> None:
        self.fault = fault

    def answer(self, request):
        return self.fault(request, super().answer(request))


def regions(**columns):
    """A fault that replaces columns of non-empty regions by what a function makes of them."""

    def fault(_, result):
        if not len(result.regions):
            return result
        made = {name: make(result.regions) for name, make in columns.items()}
        return replace(result, regions=replace(result.regions, **made))

    return Altered(fault)


def only_where(condition: Callable, fault: Callable):
    return Altered(lambda q, r: fault(q, r) if condition(q) else r)


def crash(*_):
    raise RuntimeError("cannot take this")


def double_ids(_, result):
    # Regions refuses double ids when it is made, so a plugin must go behind its back.
    object.__setattr__(result.regions, "ids", ("same",) * len(result.regions))
    return result


def claim_found(_, result):
    return replace(result, outcomes=(Outcome.FOUND,) * len(result.outcomes))


def never_looks(request, result):
    nothing = Regions.empty(phrases=request.phrases, image_size=request.image.size)
    return replace(result, regions=nothing, outcomes=(Outcome.CANNOT,) * len(result.outcomes))


def spoil_pixels(request, result):
    request.image.pixels[0, 0] ^= 1
    return result


def other_table(_, result):
    table = tuple(phrase.encode("ascii", "replace").decode() for phrase in result.regions.phrases)
    return replace(result, regions=replace(result.regions, phrases=table))


def stray_region(request, result):
    stray = Regions(
        ids=("stray",),
        boxes=torch.tensor([[0.0, 0.0, 1.0, 1.0]]),
        scores=torch.tensor([0.5]),
        phrases=request.phrases,
        phrase_ids=torch.tensor([-1]),
        image_size=request.image.size,
    )
    return replace(result, regions=stray)


class Listing(Good):
    """A good detector whose list of results passes through a fault."""

    def __init__(self, fault: Callable) -> None:
        self.fault = fault

    def detect(self, requests):
        return self.fault(super().detect(requests))


class Drifting(Good):
    calls = 0

    def answer(self, request):
        Drifting.calls += 1
        result = super().answer(request)
        boxes = result.regions.boxes * (1 - 0.01 * (Drifting.calls % 7))
        return replace(result, regions=replace(result.regions, boxes=boxes))


class BatchBound(Good):
    def detect(self, requests):
        shift = 0.5 * (len(requests) > 1)
        results = super().detect(requests)
        return [
            replace(r, regions=replace(r.regions, boxes=(r.regions.boxes - shift).clamp(min=0)))
            for r in results
        ]


class Deaf(Good):
    """Takes no notice of thresholds."""

    def answer(self, request):
        return super().answer(replace(request, thresholds=None))


class Emptying(Good):
    """Takes the requests out of the caller's list."""

    def detect(self, requests):
        taken = list(requests)
        requests.clear()
        return super().detect(taken)


class Wordless(Good):
    vocabulary = ["bright"]  # noqa: RUF012 the fault: a list


class Mute:
    vocabulary = None


def beyond(r):
    return r.boxes + 1.0


def backwards(r):
    return r.boxes[:, [2, 1, 0, 3]]


def not_a_number(r):
    return torch.full_like(r.boxes, float("nan"))


BROKEN = {
    "test_it_satisfies_the_protocol": [Mute(), Wordless()],
    "test_no_requests_give_no_results": [Listing(lambda results: results or None)],
    "test_one_result_per_request_in_order": [
        Listing(lambda results: results[::-1]),
        Listing(lambda results: results[1:]),
        Listing(tuple),
    ],
    "test_image_size_is_that_of_the_image": [regions(image_size=lambda r: r.image_size[::-1])],
    "test_a_one_pixel_image_is_answered": [
        only_where(lambda q: q.image.size == (1, 1), crash),
        regions(boxes=beyond),
    ],
    "test_an_image_of_one_grey_is_answered": [
        only_where(lambda q: q.image.pixels.std() == 0, crash),
        regions(scores=lambda r: r.scores / 0.0),
    ],
    "test_no_phrases_give_empty_regions": [
        only_where(lambda q: not q.phrases, stray_region),
        only_where(lambda q: not q.phrases, crash),
    ],
    "test_boxes_are_ordered_and_inside_the_image": [
        regions(boxes=beyond),
        regions(boxes=backwards),
        regions(boxes=not_a_number),
        regions(boxes=lambda r: r.boxes - 1.0),
    ],
    "test_scores_are_between_0_and_1": [
        regions(scores=lambda r: r.scores + 1.0),
        regions(scores=lambda r: r.scores - 1.0),
        regions(scores=lambda r: r.scores * float("nan")),
    ],
    "test_phrase_ids_point_into_the_request": [
        regions(phrase_ids=lambda r: r.phrase_ids + 9),
        regions(phrase_ids=lambda r: r.phrase_ids - 9),
        regions(phrase_ids=lambda r: r.phrase_ids + 0.5),
    ],
    "test_outcomes_agree_with_the_regions": [
        Altered(claim_found),
        Altered(lambda _, r: replace(r, outcomes=(Outcome.NONE,) * len(r.outcomes))),
        Altered(lambda _, r: replace(r, outcomes=tuple(str(o) for o in r.outcomes))),
    ],
    "test_ids_are_unique": [Altered(double_ids)],
    "test_a_nonsense_word_is_not_found": [
        Altered(claim_found),
        Altered(lambda _, r: replace(r, outcomes=(Outcome.NONE,) * len(r.outcomes))),
    ],
    "test_it_can_look_for_what_it_says_it_knows": [Altered(never_looks)],
    "test_thresholds_are_kept": [Deaf()],
    "test_the_same_input_gives_the_same_result": [Drifting()],
    "test_inputs_are_left_as_they_were": [Altered(spoil_pixels), Emptying()],
    "test_a_batch_equals_its_single_requests": [BatchBound()],
    "test_a_phrase_in_any_script_is_answered": [Altered(other_table)],
    "test_two_hundred_phrases_are_answered": [
        only_where(lambda q: len(q.phrases) > 100, crash),
        only_where(lambda q: len(q.phrases) > 100, stray_region),
    ],
}
CASES = [(name, broken) for name, faults in BROKEN.items() for broken in faults]


def arguments(name: str) -> dict:
    """What pytest would hand to a check."""
    noise = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    ramp = np.broadcast_to(np.arange(120, dtype=np.uint8)[None, :, None], (20, 120, 3))
    given = {
        "images": [make_image(noise), make_image(ramp), make_image(noise[:7, :9])],
        "phrases": ("bright", "dark", "green"),
        "level": 128,
        "phrase": "кошка",
    }
    wanted = inspect.signature(getattr(DetectorContract, name)).parameters
    return {key: value for key, value in given.items() if key in wanted}


def checks() -> set[str]:
    return {name for name in vars(DetectorContract) if name.startswith("test_")}


class TestGoodDetector(DetectorContract):
    @pytest.fixture
    def detector(self):
        return Good()


class TestOpenDetector(DetectorContract):
    @pytest.fixture
    def detector(self):
        made = Good()
        made.vocabulary = None
        return made


def test_every_check_is_shown_to_fail():
    assert checks() == set(BROKEN)


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_the_good_detector_passes_with_the_same_arguments(name):
    getattr(DetectorContract(), name)(detector=Good(), **arguments(name))


@pytest.mark.parametrize(("name", "broken"), CASES)
def test_a_broken_detector_fails_its_check(name, broken):
    with pytest.raises((AssertionError, RuntimeError)):
        getattr(DetectorContract(), name)(detector=broken, **arguments(name))


def test_an_author_s_subclass_runs_under_pytest_and_reports_the_fault(tmp_path: Path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_mine.py").write_text(
        "import pytest\n"
        "from groundplane.testing.detectors import DetectorContract\n"
        "class Mine:\n"
        "    vocabulary = ('dog', 'cat')\n"
        "    def detect(self, requests): return []\n"
        "class TestMine(DetectorContract):\n"
        "    @pytest.fixture\n"
        "    def detector(self): return Mine()\n"
        "class TestForgotten(DetectorContract):\n"
        "    pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "3 requests, 0 results" in done.stdout
    assert "override the fixture 'detector'" in done.stdout
