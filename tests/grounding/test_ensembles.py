import threading
import time

import numpy as np
import pytest
import torch

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError, InputError
from groundplane.core.regions import Regions
from groundplane.grounding.ensembles import Ensemble
from groundplane.grounding.experts import Expert
from groundplane.grounding.result_merging import Merging
from groundplane.testing.detectors import DetectorContract, make_image
from groundplane.testing.misbehaving import MISBEHAVIOURS, MisbehavingDetector

FOUND, NONE, CANNOT = Outcome.FOUND, Outcome.NONE, Outcome.CANNOT


class Fixed:
    """Finds its words at one box each, in the upper left of any picture."""

    def __init__(self, *words, box=(0.0, 0.0, 1.0, 1.0), score=0.8, free=False, finds=True):
        self.words, self.box, self.score, self.finds = words, box, score, finds
        self.vocabulary = None if free else words
        prompts = frozenset({"text"} if free else {"vocabulary"})
        self.capabilities = Capabilities(prompts=prompts, cost=2.0, licence="MIT")

    def detect(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        least = request.thresholds or (0.1,) * len(request.phrases)
        rows = [
            i
            for i, phrase in enumerate(request.phrases)
            if phrase in self.words and self.finds and self.score >= least[i]
        ]
        regions = Regions(
            ids=tuple(f"r{i}" for i in rows),
            boxes=torch.tensor([self.box] * len(rows)).reshape(-1, 4),
            scores=torch.full((len(rows),), self.score),
            phrases=request.phrases,
            phrase_ids=torch.tensor(rows, dtype=torch.long),
            image_size=request.image.size,
        )
        outcomes = tuple(
            FOUND if i in rows else NONE if phrase in self.words or not self.vocabulary else CANNOT
            for i, phrase in enumerate(request.phrases)
        )
        return DetectResult(regions=regions, outcomes=outcomes)


class Failing(Fixed):
    def detect(self, requests):
        raise RuntimeError("out of luck")


class FailingOnSmall(Fixed):
    def detect(self, requests):
        if any(min(request.image.size) < 10 for request in requests):
            raise RuntimeError("too small")
        return super().detect(requests)


class Hanging(Fixed):
    def __init__(self, *words):
        super().__init__(*words)
        self.go_on = threading.Event()

    def detect(self, requests):
        self.go_on.wait(20)
        return super().detect(requests)


class Broken(Fixed):
    def answer(self, request):
        result = super().answer(request)
        object.__setattr__(result.regions, "boxes", result.regions.boxes * float("nan"))
        return result


def ensemble(**members):
    options = {k: members.pop(k) for k in ("merging", "weights", "deadline") if k in members}
    return Ensemble([Expert.of(made, name=name) for name, made in members.items()], **options)


def image(side=20):
    return make_image(np.full((side, side, 3), 90, dtype=np.uint8), name=f"side{side}.png")


def ask(detector, *phrases, picture=None):
    return detector.detect([DetectRequest(image=picture or image(), phrases=phrases)])[0]


class TestOutcomes:
    def test_what_any_member_finds_is_found(self):
        result = ask(
            ensemble(a=Fixed("cup"), b=Fixed("dog"), c=Fixed("cup", finds=False)),
            "cup",
            "dog",
            "owl",
        )
        assert result.outcomes == (FOUND, FOUND, CANNOT)
        assert sorted(result.regions.ids) == ["a/r0", "b/r0"]
        assert "'owl' cannot be looked for: a knows: cup, b knows: dog" in result.note

    def test_none_needs_one_that_could_look(self):
        both = ensemble(a=Fixed("cup", finds=False), b=Fixed("dog"))
        assert ask(both, "cup").outcomes == (NONE,)
        assert ask(both, "owl").outcomes == (CANNOT,)

    def test_duplicates_are_merged(self):
        pair = {"a": Fixed("cup", score=0.6), "b": Fixed("cup", score=0.9)}
        assert ask(ensemble(**pair), "cup").regions.ids == ("b/r0",)
        fused = ask(ensemble(**pair, merging=Merging(method="fuse")), "cup")
        assert fused.regions.scores.tolist() == pytest.approx([0.75])
        light = ask(ensemble(**pair, weights=(2.0, 1.0)), "cup")
        assert light.regions.ids == ("a/r0",)

    def test_a_step_says_who_gave_how_many(self):
        steps = ask(ensemble(a=Fixed("cup"), b=Fixed("cup")), "cup").steps
        assert steps[-1].detail == "regions of a: 1, b: 1; 1 after nms"


class TestFailures:
    @pytest.mark.parametrize(
        ("bad", "said"), [(Failing("cup"), "out of luck"), (Broken("cup"), "not finite")]
    )
    @pytest.mark.usefixtures("unchecked")
    def test_a_member_that_fails_is_named_and_the_others_answer(self, bad, said):
        result = ask(ensemble(good=Fixed("cup"), bad=bad), "cup")
        assert result.outcomes == (FOUND,)
        assert "left out, as it failed: detector 'bad'" in result.note
        assert said in result.note
        assert said in result.steps[-1].detail

    def test_a_member_that_hangs_is_late_and_named(self):
        hanging = Hanging("cup")
        start = time.monotonic()
        result = ask(ensemble(good=Fixed("cup"), slow=hanging, deadline=0.4), "cup")
        assert time.monotonic() - start < 5  # far below its 20 seconds
        hanging.go_on.set()
        assert result.outcomes == (FOUND,)
        assert "detector 'slow': no result within 0.4 s" in result.note

    def test_a_member_fails_on_the_bad_request_only(self):
        both = ensemble(a=Fixed("cup"), b=FailingOnSmall("cup", box=(2.0, 2.0, 3.0, 3.0)))
        requests = [DetectRequest(image=image(side), phrases=("cup",)) for side in (20, 5, 30)]
        good, bad, other = both.detect(requests)
        assert [len(r.regions) for r in (good, bad, other)] == [2, 1, 2]
        assert "too small" in bad.note
        assert good.note == other.note == ""

    def test_where_all_fail_all_are_named(self):
        with pytest.raises(DetectorError, match=r"side20\.png.*detector 'a'.*detector 'b'"):
            ask(ensemble(a=Failing("cup"), b=Failing("cup")), "cup")

    def test_members_run_side_by_side(self):
        meeting = threading.Barrier(2, timeout=10)

        class Meeting(Fixed):
            def detect(self, requests):
                meeting.wait()
                return super().detect(requests)

        assert ask(ensemble(a=Meeting("cup"), b=Meeting("cup")), "cup").note == ""


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("way", MISBEHAVIOURS, ids=str)
def test_whatever_a_member_does_the_others_answer(way):
    bad = MisbehavingDetector(way, when=lambda request: "dog" in request.phrases)
    deadline = 1.0 if way.name == "hangs" else 30.0
    both = ensemble(good=Fixed("cup", "dog"), bad=bad, deadline=deadline)
    requests = [DetectRequest(image=image(), phrases=(word,)) for word in ("cup", "dog")]
    started = time.monotonic()
    try:
        near, hit = both.detect(requests)
    finally:
        bad.released.set()
    assert time.monotonic() - started < deadline + 1
    assert near.outcomes == hit.outcomes == (FOUND,)
    assert "good/r0" in [*near.regions.ids, *hit.regions.ids]
    assert near.note == ""
    assert hit.note == "" if not way.says else way.says in hit.note
    assert not way.says or "detector 'bad'" in hit.note


class TestAbilities:
    def test_words_and_abilities_are_those_of_all(self):
        both = ensemble(a=Fixed("cup", "dog"), b=Fixed("dog", "owl"))
        assert both.vocabulary == ("cup", "dog", "owl")
        assert both.capabilities == Capabilities(
            prompts=frozenset({"vocabulary"}), cost=4.0, licence="MIT"
        )
        free = ensemble(a=Fixed("cup"), b=Fixed(free=True))
        assert free.vocabulary is None
        assert free.capabilities.prompts == {"vocabulary", "text"}


class TestBadInput:
    def test_members_need_names_of_their_own(self):
        for members in ([], [Expert.of(Fixed("a"), name="x"), Expert.of(Fixed("b"), name="x")]):
            with pytest.raises(InputError, match="each with a name of its own"):
                Ensemble(members)

    @pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (1.0, float("inf"))])
    def test_weights_that_do_not_fit_are_refused(self, weights):
        with pytest.raises(InputError, match="2 weights above 0"):
            ensemble(a=Fixed("a"), b=Fixed("b"), weights=weights)

    @pytest.mark.parametrize("deadline", [0.0, -1.0, float("nan"), float("inf")])
    def test_a_deadline_that_is_none_is_refused(self, deadline):
        with pytest.raises(InputError, match="deadline above 0"):
            ensemble(a=Fixed("a"), deadline=deadline)


class TestContract(DetectorContract):
    @pytest.fixture
    def detector(self):
        return ensemble(a=Fixed("cup", "dog"), b=Fixed("cup", "owl", score=0.4), c=Failing("cup"))
