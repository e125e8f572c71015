import base64
import json
import os
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core import masks
from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import GroundplaneError, InputError
from groundplane.core.regions import Regions
from groundplane.grounding.checking import BreachError
from groundplane.grounding.remote_protocol import (
    Info,
    read_info,
    read_requests,
    read_results,
    write_info,
    write_requests,
    write_results,
)
from groundplane.testing.detectors import make_image

FUZZ = int(os.environ.get("GROUNDPLANE_FUZZ", "1000"))
WORDS = st.text(max_size=12)


def picture(width=8, height=6, level=90):
    return make_image(np.full((height, width, 3), level, dtype=np.uint8), name="a.png")


def made_result(phrases, *, seed):
    """A result about phrases, of anything that a result can hold."""
    numbers = torch.Generator().manual_seed(seed)
    count = seed % 5 if phrases else 0
    corner = torch.rand(count, 2, generator=numbers) * 3
    ids = torch.randint(-1, len(phrases) or 1, (count,), generator=numbers)
    regions = Regions(
        ids=tuple(f"r{i}" for i in range(count)),
        boxes=torch.cat([corner, corner + torch.rand(count, 2, generator=numbers)], dim=1),
        scores=torch.rand(count, generator=numbers),
        phrases=tuple(phrases),
        phrase_ids=ids,
        image_size=(8, 6),
        masks=(masks.encode(np.eye(6, 8, dtype=bool)),) * count if seed % 2 else None,
        sources=("there",) * count,
    )
    named = set(ids.tolist())
    return DetectResult(
        regions=regions,
        outcomes=tuple(Outcome.FOUND if i in named else Outcome.NONE for i in range(len(phrases))),
        note="seen",
        candidates=regions if seed % 3 else None,
        presence=(0.5,) * len(phrases) if seed % 7 else None,
        uncounted=(0,) if phrases else (),
    )


def request_for(result):
    return DetectRequest(image=picture(), phrases=result.regions.phrases)


class TestRoundTrips:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.lists(WORDS, max_size=4), st.integers(0, 10**6)), max_size=3))
    def test_results_come_back_as_they_were(self, drawn):
        given_ = [made_result(phrases, seed=seed) for phrases, seed in drawn]
        asked = [request_for(result) for result in given_]
        read = read_results(write_results(given_), asked, source="there")
        assert [encoded(result) for result in read] == [encoded(result) for result in given_]

    @settings(max_examples=40, deadline=None)
    @given(st.lists(WORDS, max_size=3), st.booleans(), st.booleans())
    def test_requests_come_back_as_they_were(self, phrases, with_thresholds, with_exemplars):
        n = len(phrases)
        image = picture()
        one = DetectRequest(
            image=image,
            phrases=tuple(phrases),
            thresholds=(0.25,) * n if with_thresholds else None,
            exemplars=((0.0, 0.5, 3.0, 4.0), *(None,) * (n - 1)) if with_exemplars and n else None,
        )
        data = write_requests([one, DetectRequest(image=image, phrases=())])
        assert len(json.loads(data)["images"]) == 1
        first, second = read_requests(data)
        for name in ("phrases", "thresholds", "exemplars"):
            assert getattr(first, name) == getattr(one, name)
        assert np.array_equal(first.image.pixels, image.pixels)
        assert first.image.source.name == "a.png"
        assert second.phrases == ()

    def test_jpeg_is_near_and_not_the_same(self):
        noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        asked = [DetectRequest(image=make_image(noise), phrases=("cup",))]
        [read] = read_requests(write_requests(asked, picture="jpeg"))
        difference = np.abs(read.image.pixels.astype(int) - noise)
        assert 0 < difference.mean() < 12

    @pytest.mark.parametrize(
        "info",
        [
            Info(name="x", vocabulary=None),
            Info(name="x", vocabulary=("face", "猫")),
            Info(
                name="x",
                vocabulary=(),
                capabilities=Capabilities(
                    prompts=frozenset({"text", "box"}), masks=True, cost=float("inf"), licence="MIT"
                ),
            ),
        ],
    )
    def test_what_a_server_says_of_itself_comes_back(self, info):
        assert read_info(write_info(info)) == info


def encoded(result):
    return json.loads(write_results([result]))["results"]


def answer(**changes):
    """A good reply about `cup`, with some fields changed."""
    regions = {
        "ids": ["a", "b"],
        "boxes": [[0, 0, 2.5, 3], [1, 1, 8, 6]],
        "scores": [0.5, 1],
        "phrases": [0, -1],
    }
    regions |= changes.pop("regions", {})
    result = {"size": [8, 6], "outcomes": ["found"], "regions": regions} | changes
    return {"protocol": 1, "results": [result]}


def read(document):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_results(data, [DetectRequest(image=picture(), phrases=("cup",))], source="there")


NAN = float("nan")
BAD_REPLIES = {
    "nothing": (b"", "expected JSON"),
    "no JSON": (b"<html>", "expected JSON"),
    "no text": (b"\xff\xfe\x00", "expected JSON"),
    "too deep": (b"[" * 200_000, "expected JSON"),
    "a list": (b"[]", "expected an object, got a list"),
    "another protocol": ({"protocol": 2}, "expected protocol 1, got 2"),
    "no results": ({"protocol": 1}, "expected results as a list, got nothing"),
    "too few results": ({"protocol": 1, "results": []}, "expected 1 results, got 0"),
    "too many results": ({"protocol": 1, "results": [{}] * 9}, "expected 1 results, got 9"),
    "an error": ({"protocol": 1, "results": [{"error": "no \x1b[31mluck"}]}, r"no  \[31mluck"),
    "a number for a result": ({"protocol": 1, "results": [3]}, "expected an object, got a number"),
    "another size": (answer(size=[9, 9]), r"expected the size \(8, 6\)"),
    "an unknown outcome": (answer(outcomes=["maybe"]), "'maybe' is not a valid"),
    "no outcome": (answer(outcomes=[]), "1 phrases but 0 outcomes"),
    "an outcome without a region": (answer(outcomes=["none"]), "'cup' is 'none' but has a region"),
    "NaN": (answer(regions={"scores": [NAN, 1]}), "finite numbers, got NaN"),
    "infinity": (json.dumps(answer()).replace("0.5", "1e999").encode(), "scores as finite"),
    "a huge integer": (json.dumps(answer()).replace("0.5", "9" * 400).encode(), "scores as finite"),
    "a score above 1": (answer(regions={"scores": [1.5, 1]}), r"not in \[0, 1\]"),
    "a score too few": (answer(regions={"scores": [1]}), "2 boxes but 1 scores"),
    "a box of three": (answer(regions={"boxes": [[0, 0, 2], [1, 1, 8, 6]]}), "four finite numbers"),
    "a box of words": (answer(regions={"boxes": [["0"] * 4] * 2}), "four finite numbers"),
    "a box of truths": (answer(regions={"boxes": [[True] * 4] * 2}), "four finite numbers"),
    "a box upside down": (answer(regions={"boxes": [[2, 2, 1, 1]] * 2}), "right or bottom"),
    "a box outside": (answer(regions={"boxes": [[0, 0, 99, 3]] * 2}), "leaves the image"),
    "an id twice": (answer(regions={"ids": ["a", "a"]}), "ids that are unique"),
    "a phrase that was not asked": (answer(regions={"phrases": [0, 1]}), "numbers of the request"),
    "a mask of another size": (
        answer(regions={"masks": [{"size": [1, 1], "counts": "1"}] * 2}),
        r"masks of size \[6, 8\]",
    ),
    "a mask of garbage": (
        answer(regions={"masks": [{"size": [6, 8], "counts": "\x01"}] * 2}),
        "no part of a run",
    ),
    "a presence too few": (answer(presence=[]), "1 phrases but 0 presences"),
    "a presence above 1": (answer(presence=[2]), r"presences in \[0, 1\]"),
    "many boxes": (
        answer(regions={"boxes": [[0, 0, 1, 1]] * 200_000}),
        "at most 10000 regions, got 200000",
    ),
    "a number of nothing": (answer(uncounted=[7]), "uncounted as numbers"),
}


class TestBadReplies:
    def test_the_reply_that_they_are_made_of_is_good(self):
        [result] = read(answer())
        assert result.regions.boxes.tolist() == [[0, 0, 2.5, 3], [1, 1, 8, 6]]
        assert result.regions.sources == ("there", "there")

    @pytest.mark.parametrize("name", BAD_REPLIES)
    def test_they_are_refused_with_the_reason(self, name):
        reply, said = BAD_REPLIES[name]
        with pytest.raises(BreachError, match=said):
            read(reply)

    def test_a_note_cannot_steer_a_terminal(self):
        [result] = read(answer(note="bad\x1b]0;\x07" + "x" * 5000))
        assert result.note.isprintable()
        assert len(result.note) < 2100

    def test_mutants_end_as_answers_or_as_errors_of_ours(self):
        good = bytearray(json.dumps(answer(note="é")).encode())
        numbers = np.random.default_rng(0)
        for _ in range(FUZZ):
            mutant = bytearray(good)
            for place in numbers.integers(0, len(good), numbers.integers(1, 5)):
                mutant[place] = int(numbers.integers(0, 256))
            with suppress(BreachError):
                read(bytes(mutant))


def body(**changes):
    data = write_requests([DetectRequest(image=picture(), phrases=("cup",))])
    document = json.loads(data) | changes
    return json.dumps(document).encode()


class TestBadRequests:
    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "expected JSON"),
            (body(protocol=0), "expected protocol 1"),
            (body(requests={}), "requests as a list"),
            (body(requests=[{"image": 1, "phrases": []}]), "number of an image, got 1"),
            (body(requests=[{"image": True, "phrases": []}]), "number of an image"),
            (body(requests=[{"phrases": []}]), "number of an image"),
            (body(requests=[{"image": 0, "phrases": [3]}]), "phrases as a list of words"),
            (body(requests=[{"image": 0, "phrases": "cup"}]), "phrases as a list, got text"),
            (body(requests=[{"image": 0, "phrases": ["a"], "thresholds": [2]}]), "from 0 to 1"),
            (body(requests=[{"image": 0, "phrases": ["a"], "exemplars": [[1]]}]), "four finite"),
            (body(images=[{"name": "a", "data": "!"}]), "base64"),
            (body(images=[{"name": "a", "data": "AAAA"}]), "cannot read picture 'a'"),
            (
                body(images=[{"name": "a", "data": base64.b64encode(b"\x89PNG").decode()}]),
                "cannot read picture 'a'",
            ),
        ],
    )
    def test_they_are_refused_with_the_reason(self, data, said):
        with pytest.raises(InputError, match=said):
            read_requests(data)


class TestBadInfo:
    @pytest.mark.parametrize(
        ("document", "said"),
        [
            ({}, "expected protocol 1"),
            ({"protocol": 1}, "name as text"),
            ({"protocol": 1, "name": "x", "vocabulary": ["a", 3]}, "list of words"),
            ({"protocol": 1, "name": "x", "vocabulary": ["a\x1b"]}, "printable words"),
            ({"protocol": 1, "name": "x", "vocabulary": [" "]}, "printable words"),
            ({"protocol": 1, "name": "x", "capabilities": 3}, "an object"),
            ({"protocol": 1, "name": "x", "capabilities": {"prompts": ["magic"]}}, "magic"),
            (
                {"protocol": 1, "name": "x", "capabilities": {"prompts": ["text"], "masks": 1}},
                "true or false",
            ),
            (
                {"protocol": 1, "name": "x", "capabilities": {"prompts": ["text"], "cost": -1}},
                "cost",
            ),
        ],
    )
    def test_it_is_refused_with_the_reason(self, document, said):
        with pytest.raises(BreachError, match=said):
            read_info(json.dumps(document).encode())


def test_errors_stand_in_the_place_of_their_results():
    error = GroundplaneError("out of luck")
    told = json.loads(write_results([error]))
    assert told["results"] == [{"error": "out of luck"}]
