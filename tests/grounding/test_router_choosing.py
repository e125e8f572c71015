"""Who is asked for what, what is said of the others, and what comes of several answers."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import Detector, DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError, InputError, PluginBrokenError
from groundplane.core.masks import encode
from groundplane.core.regions import Regions
from groundplane.core.segmentation import Segmenter, SegmentRequest
from groundplane.grounding.experts import Expert
from groundplane.grounding.router import Router, Terms
from groundplane.testing.detectors import DetectorContract, make_image

IMAGE = make_image(np.zeros((30, 40, 3), np.uint8), name="room.jpg")
OTHER = make_image(np.ones((20, 50, 3), np.uint8), name="hall.jpg")


class Fake:
    """Finds each word of its own once; anything if it knows no words."""

    def __init__(self, *words, cost=1.0, masks=False, prompts=None, cannot=(), absent=(), **extra):
        self.vocabulary = words or None
        kinds = prompts or ({"vocabulary"} if words else {"text"})
        self.capabilities = Capabilities(prompts=frozenset(kinds), cost=cost, masks=masks)
        self.cannot, self.absent, self.extra = cannot, absent, extra
        self.asked: list[list[tuple[str, ...]]] = []
        self.requests: list[DetectRequest] = []

    def detect(self, requests):
        self.asked.append([request.phrases for request in requests])
        self.requests += requests
        return [self.answer(request) for request in requests]

    def outcome(self, phrase):
        if phrase in self.cannot or (self.vocabulary and phrase not in self.vocabulary):
            return Outcome.CANNOT
        return Outcome.NONE if phrase in self.absent else Outcome.FOUND

    def answer(self, request):
        outcomes = tuple(map(self.outcome, request.phrases))
        least = request.thresholds or (0.0,) * len(outcomes)
        outcomes = tuple(
            Outcome.NONE if o is Outcome.FOUND and t > 0.5 else o
            for o, t in zip(outcomes, least, strict=True)
        )
        rows = [i for i, outcome in enumerate(outcomes) if outcome is Outcome.FOUND]
        n, (w, h) = len(rows), request.image.size
        whole = encode(np.ones((h, w), dtype=bool))
        regions = Regions(
            ids=tuple(f"r{i}" for i in range(n)),
            boxes=torch.tensor([[i, 0.0, i + 5, 5] for i in rows])
            .reshape(-1, 4)
            .clamp(max=min(w, h)),
            scores=torch.full((n,), 0.5),
            phrases=request.phrases,
            phrase_ids=torch.tensor(rows, dtype=torch.long),
            image_size=(w, h),
            masks=(whole,) * n if self.capabilities.masks else None,
        )
        extra = {name: make(regions) for name, make in self.extra.items()}
        return DetectResult(regions=regions, outcomes=outcomes, **extra)


def expert(fake, name):
    return Expert.of(fake, name=name)


def missing(name, why, **options):
    def make():
        raise PluginBrokenError(why)

    return Expert(name, make, **options)


def router(terms=Terms(), segmenters=(), **fakes):  # noqa: B008 - frozen
    experts = [
        fake if isinstance(fake, Expert) else expert(fake, name) for name, fake in fakes.items()
    ]
    return Router(experts, segmenters=segmenters, terms=terms)


def ask(one, *phrases, image=IMAGE, **fields):
    [result] = one.detect([DetectRequest(image=image, phrases=phrases, **fields)])
    return result


def steps(result):
    return [(step.name, step.detail) for step in result.steps]


class TestCost:
    def test_the_cheapest_that_can_is_asked(self):
        dear, cheap = Fake(cost=50), Fake(cost=3)
        ask(router(dear=dear, cheap=cheap), "cup")
        assert (dear.asked, cheap.asked) == ([], [[("cup",)]])

    def test_of_one_cost_the_first_given_is_asked(self):
        first, second = Fake(), Fake()
        ask(router(first=first, second=second), "cup")
        assert (len(first.asked), len(second.asked)) == (1, 0)

    def test_one_that_states_nothing_comes_last(self):
        class Silent(Fake):
            def __init__(self):
                super().__init__()
                del self.capabilities

            def answer(self, request):
                raise AssertionError("asked although a cheaper one can")

        assert ask(router(silent=Silent(), stated=Fake(cost=900)), "cup").outcomes == ("found",)

    def test_a_dear_expert_is_not_made_as_long_as_a_cheap_one_can(self):
        able = Capabilities(prompts=frozenset({"text"}), cost=99)
        dear = missing("dear", "made although nobody needs it", capabilities=able)
        result = ask(router(cheap=Fake("cup"), dear=dear), "cup")
        assert not dear.made
        assert steps(result) == [
            ("route", "'cup' to detector 'cheap' (about 1 billion operations a look)")
        ]


class TestWords:
    def test_each_phrase_goes_to_the_first_that_knows_it(self):
        faces, things, any_word = Fake("face"), Fake("cup", "chair", cost=2), Fake(cost=9)
        one = router(faces=faces, things=things, any=any_word)
        result = ask(one, "chair", "face", "unicorn", "cup")
        assert faces.asked == [[("face",)]]
        assert things.asked == [[("chair", "cup")]]
        assert any_word.asked == [[("unicorn",)]]
        assert result.outcomes == ("found",) * 4
        assert result.regions.phrases == ("chair", "face", "unicorn", "cup")
        assert sorted(result.regions.labels()) == ["chair", "cup", "face", "unicorn"]

    def test_plurals_and_synonyms_are_known(self):
        things, rest = Fake("couch"), Fake(cost=9)
        things.vocabulary = ("couch", "person")
        things.outcome = lambda phrase: Outcome.FOUND
        ask(router(things=things, rest=rest), "sofas", "people")
        assert things.asked == [[("sofas", "people")]]

    def test_what_a_vocabulary_cannot_check_goes_on(self):
        things, rest = Fake("chair"), Fake(cost=9)
        result = ask(router(things=things, rest=rest), "blue chair")
        assert (things.asked, rest.asked) == ([], [[("blue chair",)]])
        assert steps(result)[0] == (
            "passed over",
            (
                "detector 'things' for 'blue chair': cannot check 'blue' in 'blue chair'; "
                "it can look for: chair"
            ),
        )

    def test_what_an_expert_finds_out_that_it_cannot_goes_on(self):
        first = Fake(cannot=["cup"], note=lambda regions: "this expert takes no cups")
        second = Fake(cost=9)
        result = ask(router(first=first, second=second), "cup", "chair")
        assert first.asked == [[("cup", "chair")]]
        assert second.asked == [[("cup",)]]
        assert result.outcomes == ("found", "found")
        assert ("passed over", "detector 'first' for 'cup': takes no cups") in steps(result)

    def test_a_phrase_that_nobody_can_look_for_says_what_is_known(self):
        one = router(
            faces=Fake("face", "eye"), things=Fake("cup"), off=missing("off", "no weights")
        )
        result = ask(one, "sofa", "face")
        assert result.outcomes == ("cannot", "found")
        assert result.note == (
            "no expert can look for 'sofa': faces knows: face, eye; things knows: cup; "
            "not ready: off (the trace says why)"
        )
        assert ("passed over", "detector 'off' for 'sofa': no weights") in steps(result)
        assert ("route", "'sofa' to nobody") in steps(result)

    def test_thousands_that_nobody_can_look_for_leave_a_note_that_can_be_read(self):
        words = [f"thing number {number}" for number in range(3000)]
        result = ask(router(a=Fake("cup"), b=Fake("eye")), *words)
        assert set(result.outcomes) == {Outcome.CANNOT}
        assert len(result.note) < 10_000

    def test_one_found_one_absent_one_that_nobody_can_are_three_outcomes(self):
        result = ask(router(a=Fake("cup", "fork", absent=["fork"]), b=Fake("eye")), *WORDS)
        assert result.outcomes == (Outcome.FOUND, Outcome.NONE, Outcome.CANNOT)

    def test_an_expert_without_rivals_is_asked_everything(self):
        alone = Fake("face")
        assert ask(router(alone=alone), "sofa").outcomes == ("cannot",)
        assert alone.asked == [[("sofa",)]]

    def test_no_phrases_ask_nobody(self):
        alone = Fake()
        result = ask(router(alone=alone))
        assert (result.outcomes, len(result.regions), alone.asked) == ((), 0, [])
        assert result.regions.image_size == (40, 30)

    def test_a_failure_is_not_covered_up_by_the_next_expert(self):
        class Failing(Fake):
            def answer(self, request):
                raise RuntimeError("no luck")

        second = Fake(cost=9)
        with pytest.raises(DetectorError, match=r"detector 'first' failed on 'room\.jpg'"):
            ask(router(first=Failing(), second=second), "cup")
        assert second.asked == []

    def test_the_failure_of_one_expert_harms_no_request_of_another(self):
        class Failing(Fake):
            def answer(self, request):
                raise RuntimeError("no luck")

        one = router(first=Failing("cup"), second=Fake("chair"))
        both, cup, chair = one.answer(
            [
                DetectRequest(image=IMAGE, phrases=p)
                for p in (("cup", "chair"), ("cup",), ("chair",))
            ]
        )
        assert isinstance(both, DetectorError)
        assert isinstance(cup, DetectorError)
        assert chair.outcomes == ("found",)

    @pytest.mark.parametrize("phrase", ["кошка", "赤い椅子", "☕" * 3000, "e\u0301tage\u200b", ""])
    def test_a_phrase_in_any_script_and_of_any_length_has_a_bounded_trace(self, phrase):
        result = ask(router(a=Fake("cup"), b=Fake("eye")), phrase)
        assert result.outcomes == ("cannot",)
        assert all(len(step.detail) <= 400 for step in result.steps)
        assert len(result.note) < 1500


WORDS = ("cup", "fork", "sofa")


class TestPrompts:
    BOX = (1.0, 2.0, 9.0, 9.0)

    def test_an_exemplar_goes_to_an_expert_that_takes_one(self):
        words = Fake()
        shown = Fake(cost=9, prompts={"text", "exemplar"})
        one = router(words=words, shown=shown)
        result = ask(one, "cup", "thing", exemplars=(None, self.BOX))
        assert words.asked == [[("cup",)]]
        assert [request.exemplars for request in shown.requests] == [(self.BOX,)]
        assert ("passed over", "detector 'words' for 'thing': takes no exemplar prompt") in steps(
            result
        )

    def test_where_nobody_takes_an_exemplar_nobody_can(self):
        result = ask(router(a=Fake(), b=Fake()), "thing", exemplars=(self.BOX,))
        assert result.outcomes == ("cannot",)
        assert "a takes no exemplar prompt" in result.note

    def test_thresholds_go_along_with_their_phrases(self):
        faces, rest = Fake("face"), Fake(cost=9)
        ask(router(f=faces, r=rest), "cup", "face", "hat", thresholds=(0.1, 0.2, 0.3))
        assert faces.requests[0].thresholds == (0.2,)
        assert rest.requests[0].thresholds == (0.1, 0.3)

    def test_requests_with_and_without_thresholds_are_not_joined(self):
        fake = Fake()
        plain = DetectRequest(image=IMAGE, phrases=("cup",))
        router(a=fake).detect([plain, replace(plain, thresholds=(0.2,))])
        assert [request.thresholds for request in fake.requests] == [None, (0.2,)]

    def test_one_phrase_at_two_thresholds_is_asked_at_both(self):
        fake = Fake()
        low, high = (
            DetectRequest(image=IMAGE, phrases=("cup",), thresholds=(t,)) for t in (0.1, 0.8)
        )
        router(a=fake).detect([low, high])
        assert [request.thresholds for request in fake.requests] == [(0.1, 0.8)]


class TestFewCalls:
    def test_many_requests_are_one_call_an_expert(self):
        faces, rest = Fake("face"), Fake(cost=9)
        requests = [
            DetectRequest(image=image, phrases=("face", f"thing {i % 7}"))
            for i in range(50)
            for image in (IMAGE, OTHER)
        ]
        results = router(faces=faces, rest=rest).detect(requests)
        assert (len(faces.asked), len(rest.asked)) == (1, 1)
        assert faces.asked == [[("face",), ("face",)]]
        assert [len(phrases) for phrases in rest.asked[0]] == [7, 7]
        for request, result in zip(requests, results, strict=True):
            assert result.regions.phrases == request.phrases
            assert result.regions.image_size == request.image.size

    def test_a_batch_holds_so_many_pictures(self):
        fake = Fake()
        pictures = [make_image(np.full((9, 9, 3), i, np.uint8), name=str(i)) for i in range(10)]
        requests = [DetectRequest(image=p, phrases=(w,)) for w in ("a", "b") for p in pictures]
        router(a=fake, terms=Terms(batch=4)).detect(requests)
        assert [len(batch) for batch in fake.asked] == [4, 4, 2]
        assert all(phrases == ("a", "b") for batch in fake.asked for phrases in batch)

    def test_an_expert_that_looks_for_phrases_jointly_is_asked_unlike_requests_apart(self):
        joint = Fake()
        joint.capabilities = replace(joint.capabilities, joint=True)
        phrases = [("cup",), ("cup", "hat"), ("hat", "cup"), ("cup",), ("cup", "hat")]
        requests = [DetectRequest(image=IMAGE, phrases=asked) for asked in phrases]
        results = router(a=joint, b=Fake("eye", cost=9)).detect(requests)
        assert joint.asked == [[("cup",), ("cup", "hat"), ("hat", "cup")]]
        assert [result.regions.phrases for result in results] == phrases

    def test_together_gives_what_one_by_one_gives(self):
        def made():
            return router(faces=Fake("face"), things=Fake("cup", cost=2), rest=Fake(cost=9))

        requests = [
            DetectRequest(image=image, phrases=phrases)
            for image in (IMAGE, OTHER)
            for phrases in (("cup",), ("face", "hat"), ("hat", "cup", "hat"), ())
        ]
        together = made().detect(requests)
        for request, result in zip(requests, together, strict=True):
            [alone] = made().detect([request])
            assert result.outcomes == alone.outcomes
            assert sorted(result.regions.labels()) == sorted(alone.regions.labels())
            assert steps(result) == steps(alone)

    def test_the_same_again_gives_the_same(self):
        one = router(faces=Fake("face"), rest=Fake(cost=9))
        first, second = (ask(one, "cup", "face") for _ in range(2))
        assert first.regions.ids == second.regions.ids
        assert first.regions.boxes.equal(second.regions.boxes)
        assert (first.note, steps(first)) == (second.note, steps(second))


class TestSeveralAnswers:
    def test_ids_that_two_experts_use_are_told_apart(self):
        result = ask(router(faces=Fake("face"), rest=Fake(cost=9)), "cup", "face")
        assert sorted(result.regions.ids) == ["faces:r0", "rest:r0"]
        assert set(result.regions.sources) == {"faces", "rest"}

    def test_candidates_stay_where_all_keep_them(self):
        one = router(
            faces=Fake("face", candidates=lambda r: r), rest=Fake(cost=9, candidates=lambda r: r)
        )
        result = ask(one, "cup", "face", "hat")
        assert result.at((1.0, 0.0, 0.0)).outcomes == ("none", "found", "found")
        assert set(result.at((0.0,) * 3).regions.ids) == set(result.regions.ids)

    def test_candidates_go_where_one_keeps_none(self):
        one = router(faces=Fake("face", candidates=lambda r: r), rest=Fake(cost=9))
        assert ask(one, "cup", "face").candidates is None
        assert ask(one, "face").candidates is not None

    def test_presences_are_put_together(self):
        def told(regions):
            return tuple(len(phrase) / 10 for phrase in regions.phrases)

        one = router(faces=Fake("face", presence=told), rest=Fake(cost=9, presence=told))
        assert ask(one, "spoon", "face").presence == (0.5, 0.4)
        assert (
            ask(router(a=Fake("face", presence=told), b=Fake("eye")), "face", "eye").presence
            is None
        )

    def test_notes_are_told_with_their_expert(self):
        one = router(
            faces=Fake("face", note=lambda r: "this expert sees faces"),
            rest=Fake(cost=9, note=lambda r: "this expert guesses"),
        )
        note = ask(one, "cup", "face").note
        assert note == "rest: this expert guesses; faces: this expert sees faces"
        assert ask(one, "cup").note == "this expert guesses"


NO_MASKS = "gives no masks, and there is no segmenter to make them"


class Cutter:
    """A segmenter whose masks are the boxes."""

    def __init__(self, cost=5.0, prompts=("box",)):
        self.capabilities = Capabilities(prompts=frozenset(prompts), masks=True, cost=cost)
        self.asked: list[list[int]] = []

    def segment(self, requests):
        self.asked.append([len(request) for request in requests])
        return [self.answer(request) for request in requests]

    def answer(self, request):
        n, (w, h) = len(request), request.image.size
        masks = []
        for i in range(n):
            mask = np.zeros((h, w), dtype=bool)
            if request.boxes is not None:
                x0, y0, x1, y1 = (int(v) for v in request.boxes[i].tolist())
                mask[y0:y1, x0:x1] = True
            masks.append(encode(mask))
        return Regions(
            ids=tuple(f"m{i}" for i in range(n)),
            boxes=torch.zeros(n, 4) if request.boxes is None else request.boxes,
            scores=torch.ones(n),
            phrases=(),
            phrase_ids=torch.full((n,), -1),
            image_size=(w, h),
            masks=tuple(masks),
        )


class TestMasks:
    TERMS = Terms(masks=True)

    def test_boxes_without_masks_go_to_the_segmenter_in_one_call(self):
        cutter = Cutter()
        one = router(faces=Fake("face"), rest=Fake(cost=9), terms=self.TERMS,
                     segmenters=[expert(cutter, "cut")])  # fmt: skip
        results = one.detect(
            [DetectRequest(image=image, phrases=("face", "cup")) for image in (IMAGE, OTHER)]
        )
        assert cutter.asked == [[1, 1, 1, 1]]
        for result in results:
            assert len(result.regions.masks) == 2
            assert ("route", "1 boxes to segmenter 'cut' for masks") in steps(result)

    def test_an_expert_with_masks_needs_no_segmenter(self):
        cutter = Cutter()
        one = router(whole=Fake(masks=True), terms=self.TERMS, segmenters=[expert(cutter, "cut")])
        assert len(ask(one, "cup").regions.masks) == 1
        assert cutter.asked == []

    def test_the_cost_of_the_segmenter_counts(self):
        boxes, whole = Fake(cost=3), Fake(cost=6, masks=True)
        ask(router(b=boxes, w=whole, terms=self.TERMS, segmenters=[expert(Cutter(), "c")]), "cup")
        assert (len(boxes.asked), len(whole.asked)) == (0, 1)
        ask(router(b=boxes, w=whole, terms=self.TERMS,
                   segmenters=[expert(Cutter(cost=1), "c")]), "cup")  # fmt: skip
        assert (len(boxes.asked), len(whole.asked)) == (1, 1)

    def test_where_nobody_makes_masks_nobody_can(self):
        result = ask(router(a=Fake(), b=Fake(), terms=self.TERMS), "cup")
        assert result.outcomes == ("cannot",)
        assert f"a {NO_MASKS}" in result.note

    def test_a_segmenter_that_is_not_ready_is_passed_over(self):
        able = Capabilities(prompts=frozenset({"box"}), masks=True, cost=1)
        off = missing("off", "no weights", capabilities=able, kind="segmenter")
        cutter = Cutter()
        one = router(a=Fake(), terms=self.TERMS, segmenters=[off, expert(cutter, "cut")])
        assert ask(one, "cup").regions.masks is not None

    def test_where_no_segmenter_is_ready_the_request_fails_by_name(self):
        off = missing("off", "no weights", kind="segmenter")
        [error] = router(a=Fake(), terms=self.TERMS, segmenters=[off]).answer(
            [DetectRequest(image=IMAGE, phrases=("cup",))]
        )
        assert isinstance(error, DetectorError)
        assert "no segmenter can make masks from a box prompt: off no weights" in str(error)

    def test_nothing_found_asks_no_segmenter(self):
        cutter = Cutter()
        one = router(a=Fake(absent=["cup"]), terms=self.TERMS, segmenters=[expert(cutter, "cut")])
        assert ask(one, "cup").outcomes == ("none",)
        assert cutter.asked == []

    def test_prompts_choose_the_segmenter(self):
        boxes, points = Cutter(cost=1), Cutter(cost=9, prompts=("box", "point"))
        one = Router([], segmenters=[expert(boxes, "boxes"), expert(points, "points")])
        by_box = SegmentRequest(image=IMAGE, boxes=torch.tensor([[0.0, 0, 4, 5]]))
        by_point = SegmentRequest(image=IMAGE, points=torch.tensor([[[2.0, 2.0]]]))
        first, second = one.segment([by_point, by_box])
        assert (boxes.asked, points.asked) == ([[1]], [[1]])
        assert (len(first), len(second)) == (1, 1)

    def test_an_embedding_that_nobody_takes_fails_by_name(self):
        request = SegmentRequest(image=IMAGE, embeddings=torch.zeros(1, 1, 4))
        with pytest.raises(DetectorError, match="cut takes no embedding prompt"):
            Router([], segmenters=[expert(Cutter(), "cut")]).segment([request])


class TestMaking:
    def test_an_expert_is_made_once(self):
        made = []

        def make():
            made.append(1)
            return Fake("cup")

        one = router(a=Expert("a", make), b=Fake("eye"))
        ask(one, "cup")
        ask(one, "cup", "eye")
        assert len(made) == 1

    def test_one_that_cannot_be_made_is_tried_once_and_passed_over(self):
        tries = []

        def make():
            tries.append(1)
            raise PluginBrokenError("detector 'a' needs weights")

        able = Capabilities(prompts=frozenset({"text"}))
        one = router(a=Expert("a", make, capabilities=able), b=Fake(cost=9))
        for _ in range(2):
            result = ask(one, "cup")
            assert result.outcomes == ("found",)
        assert len(tries) == 1

    def test_one_that_hangs_while_it_is_made_fails_the_request_by_name_in_time(self):
        release = threading.Event()

        def make():
            release.wait(30)
            raise PluginBrokenError("too late")

        able = Capabilities(prompts=frozenset({"text"}), cost=0.1)
        one = router(
            a=Expert("a", make, capabilities=able), b=Fake(cost=9), terms=Terms(deadline=1)
        )
        started = time.monotonic()
        [answer] = one.answer([DetectRequest(image=IMAGE, phrases=("cup",))])
        release.set()
        assert time.monotonic() - started < 2
        # No time is left for the next in line, and that is not "no expert can".
        assert isinstance(answer, DetectorError)
        assert str(answer) == "detector 'a': no result within 1 s"

    def test_what_an_expert_says_with_its_options_counts(self):
        """Its class can give masks; this one, as it was made, does not."""
        able = Capabilities(prompts=frozenset({"text"}), masks=True)
        lazy = Expert("a", lambda: Fake(masks=False), capabilities=able)
        result = ask(router(a=lazy, b=Fake(masks=True, cost=9), terms=Terms(masks=True)), "cup")
        assert result.regions.masks is not None
        assert result.regions.sources in ((), ("b",))
        assert ("passed over", "detector 'a' for 'cup': " + NO_MASKS) in steps(result)

    def test_several_threads_make_an_expert_once(self):
        made, given = [], []

        def make():
            made.append(1)
            time.sleep(0.05)
            return Fake("cup")

        one = router(a=Expert("a", make), b=Fake("eye"))
        threads = [threading.Thread(target=lambda: given.append(ask(one, "cup"))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert (len(made), len(given)) == (1, 6)


class TestRouterItself:
    def test_it_is_a_detector_and_a_segmenter(self):
        one = router(a=Fake("cup"))
        assert isinstance(one, Detector)
        assert isinstance(one, Segmenter)

    def test_its_words_are_those_of_its_experts(self):
        assert router(a=Fake("cup", "eye"), b=Fake("eye", "hat")).vocabulary == (
            "cup",
            "eye",
            "hat",
        )
        assert router(a=Fake("cup"), b=Fake()).vocabulary is None
        assert router(a=Fake("cup"), off=missing("off", "no weights")).vocabulary == ("cup",)

    def test_to_tell_its_words_no_expert_of_free_text_is_made(self):
        able = Capabilities(prompts=frozenset({"text"}))
        assert router(a=missing("a", "made", capabilities=able), b=Fake("cup")).vocabulary is None

    def test_its_name_is_that_of_its_only_expert(self):
        assert router(a=Fake("cup")).who == "detector 'a'"
        assert router(a=Fake("cup"), b=Fake()).who == "router over a, b"

    def test_two_experts_of_one_name_are_refused(self):
        with pytest.raises(InputError, match="two detectors of one name among a, a"):
            Router([expert(Fake(), "a"), expert(Fake(), "a")])

    def test_no_expert_at_all_is_refused(self):
        with pytest.raises(InputError, match="at least one expert"):
            Router([])

    def test_an_expert_of_another_kind_is_refused(self):
        with pytest.raises(InputError, match="expected detectors, got segmenter 'cut'"):
            Router([expert(Cutter(), "cut")])

    def test_an_object_that_is_no_expert_is_refused(self, unchecked):
        with pytest.raises(InputError, match="expected an object with `vocabulary` and `detect`"):
            Expert.of(object())

    @pytest.mark.parametrize("batch", [0, -1])
    def test_a_batch_must_hold_something(self, batch):
        with pytest.raises(InputError, match="batch of at least 1"):
            Terms(batch=batch)


class TestContractOfOne(DetectorContract):
    @pytest.fixture
    def detector(self):
        return router(alone=Fake("cup", "chair", "person", candidates=lambda r: r))


class TestContractOfSeveral(DetectorContract):
    @pytest.fixture
    def detector(self):
        return router(
            faces=Fake("face", candidates=lambda r: r),
            things=Fake("cup", "chair", cost=2, absent=["chair"], candidates=lambda r: r),
        )
