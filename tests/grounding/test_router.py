import copy
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError, InputError, ProtocolError
from groundplane.core.expressions import Select
from groundplane.core.image import FrameMap, Image
from groundplane.core.masks import RleMask
from groundplane.core.orchestrator import Call, Resolver
from groundplane.core.queries import Count
from groundplane.core.regions import Regions
from groundplane.core.session import Ground, Prompt, Query
from groundplane.grounding.checking import MAX_REGIONS
from groundplane.grounding.experts import Expert
from groundplane.grounding.router import Router, Terms
from groundplane.testing.detectors import make_image

W, H = 40, 30


def picture(level: int = 0, *, name: str = "room.jpg") -> Image:
    return make_image(np.full((H, W, 3), level, np.uint8), name=name)


def call(*phrases: str, images: Sequence[Image] | None = None, image: int = 0) -> Call:
    event = Ground(sequence=0, request="g1", phrases=phrases, image=image)
    shown = (picture(),) if images is None else tuple(images)
    return Call(event=event, prompt=Prompt(text="?", images=shown), inputs=())


def good(request: DetectRequest) -> DetectResult:
    """One region for `chair` (two for `table`), none for `cat`, cannot for the rest."""
    found = [
        i for i, p in enumerate(request.phrases) for _ in range({"chair": 1, "table": 2}.get(p, 0))
    ]
    outcome = {"chair": Outcome.FOUND, "table": Outcome.FOUND, "cat": Outcome.NONE}
    n = len(found)
    return DetectResult(
        regions=Regions(
            ids=tuple(f"r{i}" for i in range(n)),
            boxes=torch.tensor([[1.0, 2, 11 + i, 12] for i in found]).reshape(-1, 4),
            scores=torch.full((n,), 0.9),
            phrases=request.phrases,
            phrase_ids=torch.tensor(found, dtype=torch.long),
            image_size=request.image.size,
        ),
        outcomes=tuple(outcome.get(p, Outcome.CANNOT) for p in request.phrases),
    )


class Fake:
    """An expert that answers each request by a function, and remembers what it was asked."""

    vocabulary = ("chair", "table", "cat")

    def __init__(self, answer: Callable[[DetectRequest], object] = good) -> None:
        self.answer = answer
        self.batches: list[list[DetectRequest]] = []

    def detect(self, requests):
        self.batches.append(list(requests))
        return [self.answer(request) for request in requests]


def resolve(fake: object, *calls: Call, **options: object) -> list:
    return Router.of(fake, name="fake", terms=Terms(**options)).resolve(calls)


def forced(value: object, **fields: object) -> object:
    """A copy with fields replaced unchecked, as an expert's own class could hold them."""
    made = copy.copy(value)
    for name, field in fields.items():
        object.__setattr__(made, name, field)
    return made


def bent(**columns: object) -> Callable[[DetectRequest], object]:
    """An expert's answer with some columns of its regions replaced."""

    def answer(request: DetectRequest) -> object:
        result = good(request)
        return forced(result, regions=forced(result.regions, **columns))

    return answer


class TestRouting:
    def test_it_is_a_resolver(self):
        assert isinstance(Router.of(Fake()), Resolver)

    def test_found_none_and_cannot_come_through(self):
        (result,) = resolve(Fake(), call("chair", "cat", "unicorn"))
        assert result.outcomes == (Outcome.FOUND, Outcome.NONE, Outcome.CANNOT)
        assert result.regions.boxes.tolist() == [[1, 2, 11, 12]]

    def test_no_calls_ask_nothing(self):
        fake = Fake()
        assert resolve(fake) == []
        assert fake.batches == []

    def test_many_calls_become_one_batch_in_order(self):
        fake = Fake()
        results = resolve(fake, call("cat"), call("chair"), call("table", images=[picture(9)]))
        assert [r.regions.phrases for r in results] == [("cat",), ("chair",), ("table",)]
        assert [[r.phrases for r in batch] for batch in fake.batches] == [
            [("cat", "chair"), ("table",)]
        ]

    def test_the_same_question_is_asked_once(self):
        fake = Fake()
        first, other, again = resolve(fake, call("chair"), call("cat"), call("chair"))
        assert [r.phrases for r in fake.batches[0]] == [("chair", "cat")]
        assert again.regions.ids == first.regions.ids
        assert other.outcomes == (Outcome.NONE,)

    def test_phrases_in_another_order_share_a_request_and_keep_their_order(self):
        fake = Fake()
        one, two = resolve(fake, call("chair", "cat", "table"), call("table", "chair", "cat"))
        assert len(fake.batches[0]) == 1
        assert one.regions.labels() == two.regions.labels() == ("chair", "table", "table")
        assert two.regions.phrases == ("table", "chair", "cat")
        assert two.regions.phrase_ids.tolist() == [1, 0, 0]
        assert two.outcomes == (Outcome.FOUND, Outcome.FOUND, Outcome.NONE)

    def test_unmapped_regions_stay_unmapped(self):
        def answer(request):
            result = bent(phrase_ids=torch.tensor([-1]))(request)
            return replace(result, outcomes=(Outcome.NONE, Outcome.NONE))

        _, two = resolve(Fake(answer), call("chair", "cat"), call("cat", "chair"))
        assert two.regions.phrase_ids.tolist() == [-1]

    @settings(deadline=None)
    @given(st.permutations(["chair", "cat", "table", "table", "owl"]))
    def test_any_order_gives_what_asking_alone_gives(self, order):
        together = resolve(Fake(), call("chair", "cat", "table", "table", "owl"), call(*order))[1]
        alone = resolve(Fake(), call(*order))[0]
        assert together.outcomes == alone.outcomes
        assert together.regions.phrases == alone.regions.phrases
        assert sorted(together.regions.phrase_ids.tolist()) == sorted(
            alone.regions.phrase_ids.tolist()
        )

    def test_pictures_that_only_share_a_hash_are_kept_apart(self):
        dark, light = picture(0), picture(200)
        light = replace(light, source=dark.source)
        fake = Fake()
        resolve(fake, call("chair", images=[dark]), call("chair", images=[light]))
        assert len(fake.batches[0]) == 2

    def test_pictures_turned_another_way_are_kept_apart(self):
        plain = picture()
        turned = replace(plain, frame_map=FrameMap(matrix=np.array([[-1.0, 0, W], [0, 1, 0]])))
        fake = Fake()
        resolve(fake, call("chair", images=[plain]), call("chair", images=[turned]))
        assert len(fake.batches[0]) == 2

    def test_the_named_picture_of_the_prompt_is_used(self):
        fake = Fake()
        resolve(fake, call("chair", images=[picture(1), picture(2)], image=1))
        assert fake.batches[0][0].image.pixels[0, 0, 0] == 2

    def test_a_box_a_pixel_outside_is_cut(self):
        result = resolve(Fake(bent(boxes=torch.tensor([[-0.9, 0, W + 1.0, H]]))), call("chair"))[0]
        assert result.regions.boxes.tolist() == [[0, 0, W, H]]


class TestBadCalls:
    def test_a_prompt_without_images_is_an_error(self):
        (error,) = resolve(Fake(), call("chair", images=[]))
        assert isinstance(error, InputError)
        assert str(error) == (
            "request 'g1': there is no image to find chair in; give the prompt at least one image"
        )

    @pytest.mark.parametrize("index", [-1, 1, 99])
    def test_an_image_out_of_range_is_an_error(self, index):
        bad, fine = resolve(Fake(), call("chair", image=index), call("chair"))
        assert isinstance(bad, InputError)
        assert f"image {index} is out of range; the prompt has 1" in str(bad)
        assert fine.outcomes == (Outcome.FOUND,)

    def test_another_event_is_an_error(self):
        event = Query(sequence=0, request="q", expression=Count(Select("chair")))
        (error,) = resolve(Fake(), Call(event=event, prompt=Prompt(text=""), inputs=()))
        assert isinstance(error, ProtocolError)
        assert "expected a Ground event, got Query" in str(error)

    @pytest.mark.parametrize("deadline", [0.0, -1.0, float("nan")])
    def test_a_deadline_must_be_above_zero(self, deadline):
        with pytest.raises(InputError, match="deadline above 0"):
            Terms(deadline=deadline)


NAN, INF = float("nan"), float("inf")

BREACHES = [
    (bent(boxes=torch.tensor([[NAN, 0, 1, 1]])), "a box that is not finite"),
    (bent(boxes=torch.tensor([[0, 0, INF, 1]])), "a box that is not finite"),
    (bent(boxes=torch.tensor([[9.0, 0, 1, 1]])), "a box whose right or bottom comes first"),
    (bent(boxes=torch.tensor([[0.0, 9, 1, 1]])), "a box whose right or bottom comes first"),
    (bent(boxes=torch.tensor([[0.0, 0, W + 1.5, 1]])), "leaves the image of 40 x 30 pixels"),
    (bent(boxes=torch.tensor([[-1.5, 0, 1, 1]])), "leaves the image of 40 x 30 pixels"),
    (bent(boxes=torch.tensor([[0, 0, 1, 1]])), "boxes as a tensor of floating numbers, got torch"),
    (bent(boxes=np.zeros((1, 4))), "boxes as a tensor of floating numbers, got ndarray"),
    (bent(scores=torch.tensor([NAN])), "a score that is not in"),
    (bent(scores=torch.tensor([1.01])), "a score that is not in"),
    (bent(scores=torch.tensor([-0.1])), "a score that is not in"),
    (bent(scores=torch.tensor([True])), "scores as a tensor of floating"),
    (bent(phrase_ids=torch.tensor([1])), "a phrase id that is not in the table"),
    (bent(phrase_ids=torch.tensor([-2])), "a phrase id that is not in the table"),
    (bent(phrase_ids=torch.tensor([0.0])), "phrase_ids as a tensor of integer"),
    (bent(phrase_ids=torch.tensor([-1])), "'chair' is 'found' but has no region"),
    (bent(track_ids=torch.tensor([0.5])), "track_ids as a tensor of integer"),
    (bent(ids=(3,)), "ids as text, got int"),
    (bent(sources=(None,)), "sources as text, got NoneType"),
    (bent(masks=(RleMask(size=(W, H), counts=b"0"),)), "expected masks of size (30, 40)"),
    (bent(masks=("mask",)), "expected masks of size (30, 40)"),
    (bent(phrases=("sofa",)), "expected the phrases ('chair',), got ('sofa',)"),
    (bent(image_size=(H, W)), "expected the image size (40, 30)"),
    (lambda r: forced(good(r), outcomes=("found",)), "expected an Outcome for 'chair'"),
    (lambda r: forced(good(r), outcomes=(Outcome.NONE,)), "'chair' is 'none' but has a region"),
    (lambda r: forced(good(r), outcomes=(Outcome.CANNOT,)), "is 'cannot' but has a region"),
    (lambda r: forced(good(r), note=None), "expected a note in words"),
    (lambda r: forced(good(r), regions=good(r)), "expected a DetectResult"),
    (lambda r: None, "expected a DetectResult, got NoneType"),
    (lambda r: {"boxes": []}, "expected a DetectResult, got dict"),
]  # fmt: skip


def many(request: DetectRequest, n: int) -> DetectResult:
    return DetectResult(
        regions=Regions(
            ids=tuple(map(str, range(n))),
            boxes=torch.zeros(n, 4),
            scores=torch.zeros(n),
            phrases=request.phrases,
            phrase_ids=torch.arange(n) % len(request.phrases),
            image_size=request.image.size,
        ),
        outcomes=(Outcome.FOUND,) * len(request.phrases),
    )


class TestMisbehaviour:
    @pytest.mark.parametrize(("answer", "message"), BREACHES)
    def test_a_broken_result_names_the_expert_and_the_picture(self, answer, message):
        (error,) = resolve(Fake(answer), call("chair"))
        assert isinstance(error, DetectorError)
        assert str(error).startswith("detector 'fake' broke its contract on 'room.jpg': ")
        assert message in str(error)

    @pytest.mark.parametrize(("answer", "message"), BREACHES)
    def test_a_broken_result_does_not_harm_its_neighbours(self, answer, message):
        def picky(request):
            return answer(request) if request.image.source.name == "bad" else good(request)

        fake = Fake(picky)
        first, bad, last = resolve(
            fake, call("table"), call("chair", images=[picture(name="bad")]), call("cat")
        )
        assert first.outcomes == (Outcome.FOUND,)
        assert isinstance(bad, DetectorError)
        assert last.outcomes == (Outcome.NONE,)
        assert len(fake.batches) == 1

    def test_as_many_regions_as_allowed_pass(self):
        (result,) = resolve(Fake(lambda r: many(r, MAX_REGIONS)), call("chair"))
        assert len(result.regions) == MAX_REGIONS

    def test_a_phrase_that_is_no_text_fails_alone(self):
        first, bad, last = resolve(Fake(good), call("table"), call("a \ud800"), call("cat"))
        assert isinstance(first, DetectResult)
        assert isinstance(bad, InputError)
        assert r"'a \ud800' holds half a surrogate pair" in str(bad)
        assert isinstance(last, DetectResult)

    def test_many_phrases_may_have_more_regions(self):
        phrases = [f"thing {number}" for number in range(100)]
        (result,) = resolve(Fake(lambda r: many(r, 15_000)), call(*phrases))
        assert len(result.regions) == 15_000
        (error,) = resolve(Fake(lambda r: many(r, 20_001)), call(*phrases))
        assert "expected at most 20000 regions, got 20001" in str(error)

    def test_a_million_boxes_are_refused(self):
        (error,) = resolve(Fake(lambda r: many(r, 1_000_000)), call("chair"))
        assert "expected at most 10000 regions, got 1000000" in str(error)

    @pytest.mark.parametrize("raised", [ValueError("no\nluck"), KeyError(), SystemExit(3)])
    def test_what_the_expert_raises_is_told_in_one_line(self, raised):
        def explode(request):
            raise raised

        (error,) = resolve(Fake(explode), call("chair"))
        assert isinstance(error, DetectorError)
        expected = f"detector 'fake' failed on 'room.jpg': {type(raised).__name__}"
        assert str(error).startswith(expected)
        assert "\n" not in str(error)
        assert error.__cause__ is raised

    def test_an_error_of_ours_is_not_wrapped_twice(self):
        def explode(request):
            raise DetectorError("detector 'fake': picture 'room.jpg' is unknown")

        (error,) = resolve(Fake(explode), call("chair"))
        assert str(error) == "detector 'fake': picture 'room.jpg' is unknown"

    def test_an_interrupt_passes_through(self):
        def interrupt(request):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            resolve(Fake(interrupt), call("chair"))

    @pytest.mark.parametrize("given_back", [[], None, "text", 7, [good] * 3, iter(())])
    def test_a_wrong_number_of_results_is_an_error(self, given_back):
        fake = Fake()
        fake.detect = lambda requests: given_back
        (error,) = resolve(fake, call("chair"))
        assert isinstance(error, DetectorError)
        assert "broke its contract: expected a list of 1 results, got" in str(error)

    def test_a_failing_request_is_isolated_by_asking_in_halves(self, caplog):
        def picky(request):
            if request.image.source.name == "bad":
                raise RuntimeError("cannot open")
            return good(request)

        fake = Fake(picky)
        with caplog.at_level(logging.WARNING):
            first, bad, last = resolve(
                fake, call("chair"), call("chair", images=[picture(name="bad")]), call("cat")
            )
        assert first.outcomes == (Outcome.FOUND,)
        assert str(bad) == "detector 'fake' failed on 'bad': RuntimeError: cannot open"
        assert last.outcomes == (Outcome.NONE,)
        asked = [[r.image.source.name for r in batch] for batch in fake.batches]
        assert asked == [
            ["room.jpg", "bad"],
            ["room.jpg"],
            ["room.jpg", "bad"],
            ["room.jpg"],
            ["bad"],
        ]
        assert "a batch of 3 failed" in caplog.text

    def test_a_wrong_number_in_a_batch_is_asked_again_in_halves(self):
        class Short(Fake):
            def detect(self, requests):
                return super().detect(requests)[:1]

        one, two = resolve(Short(), call("chair"), call("cat"))
        assert one.outcomes == (Outcome.FOUND,)
        assert two.outcomes == (Outcome.NONE,)

    def test_an_expert_cannot_change_the_pixels(self):
        def vandal(request):
            request.image.pixels[:] = 0
            return good(request)

        shown = picture(77)
        (error,) = resolve(Fake(vandal), call("chair", images=[shown]))
        assert isinstance(error, DetectorError)
        assert "read-only" in str(error)
        assert (shown.pixels == 77).all()
        assert shown.pixels.flags.writeable

    def test_an_expert_that_changes_the_list_harms_nobody(self):
        class Clearing(Fake):
            def detect(self, requests):
                results = super().detect(requests)
                requests.clear()
                return results

        assert resolve(Clearing(), call("chair"))[0].outcomes == (Outcome.FOUND,)

    def test_an_expert_that_prints_is_answered_as_any_other(self, capsys):
        def chatty(request):
            sys.stdout.write("loading weights ...\n")
            return good(request)

        (result,) = resolve(Fake(chatty), call("chair"))
        assert result.outcomes == (Outcome.FOUND,)
        assert capsys.readouterr().out == "loading weights ...\n"


class TestLookingAhead:
    def test_the_expert_that_would_be_asked_first_encodes_the_pictures(self):
        seen = []

        def ahead(name, cost):
            expert = Fake(good)
            expert.capabilities = Capabilities(prompts=frozenset({"text"}), cost=cost)
            expert.prefetch = lambda images: seen.append((name, len(images)))
            return Expert.of(expert, name=name)

        Router([ahead("dear", 9.0), ahead("cheap", 1.0)]).prefetch([picture(1), picture(2)])
        assert seen == [("cheap", 2)]

    def test_an_expert_that_cannot_look_ahead_is_left_alone(self):
        Router.of(Fake(good)).prefetch([picture()])
