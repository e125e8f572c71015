"""Which experts `ask` asks: all that are installed, one, several; and one that prints."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image as PILImage

PLUGINS = """
import sys
from dataclasses import dataclass
import torch
from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.regions import Regions

@dataclass(frozen=True)
class Options:
    size: int = 5

class Loud:
    Options = Options
    capabilities = Capabilities(prompts=frozenset({"text"}), cost=50)
    vocabulary = None

    def __init__(self, options, *, device="cpu", dtype=None):
        print("loading weights ...")
        self.size = options.size

    def detect(self, requests):
        print("looking ...")
        return [self.answer(r) for r in requests]

    def answer(self, request):
        n = len(request.phrases)
        return DetectResult(
            regions=Regions(
                ids=tuple(f"loud-{i}" for i in range(n)),
                boxes=torch.tensor([[0.0, 0, self.size, self.size]]).expand(n, 4),
                scores=torch.ones(n),
                phrases=request.phrases,
                phrase_ids=torch.arange(n),
                image_size=request.image.size,
            ),
            outcomes=(Outcome.FOUND,) * n,
        )
"""


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """A grey photo, and an expert `loud` of any words that is installed and prints."""
    site = tmp_path / "site"
    info = site / "gpl-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "loud_mod.py").write_text(PLUGINS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gpl\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[groundplane.detectors]\nloud = loud_mod:Loud\n")
    monkeypatch.syspath_prepend(str(site))
    path = tmp_path / "grey.png"
    PILImage.fromarray(np.full((40, 60, 3), 128, np.uint8)).save(path)
    yield path
    sys.modules.pop("loud_mod", None)


def routes(record):
    return [s["detail"] for s in record["trace"] if s["name"] in ("route", "passed over")]


def test_words_of_the_face_finder_stay_with_it_and_others_go_on(run, photo):
    code, out, _ = run("ask", photo, "How many faces are there?", "--json")
    assert code == 0
    assert routes(json.loads(out)) == [
        "'ground': 'face' to detector 'opencv' (about 1 billion operations a look)"
    ]
    code, out, _ = run("ask", photo, "How many cups are there?", "--json")
    record = json.loads(out)
    assert (code, record["value"], record["evidence"]) == (0, 1, ["loud-0"])
    assert routes(record) == [
        "'ground': detector 'opencv' for 'cup': knows: face, eye",
        "'ground': 'cup' to detector 'loud' (about 50 billion operations a look)",
    ]


def test_one_that_is_named_is_asked_alone(run, photo):
    code, out, _ = run("ask", photo, "How many faces are there?", "--json", "--detector", "loud")
    record = json.loads(out)
    assert (code, record["value"]) == (0, 1)
    assert routes(record) == [
        "'ground': 'face' to detector 'loud' (about 50 billion operations a look)"
    ]


@pytest.mark.parametrize("names", ["opencv,loud", "loud, opencv"])
def test_several_that_are_named_are_chosen_among(run, photo, names):
    options = ("--option", "loud.size=7", "--option", "min_neighbors=6")
    arguments = ("ask", photo, "How many cups are there?", "--json", "--detector", names, *options)
    code, out, _ = run(*arguments)
    assert code == 0
    assert json.loads(out)["regions"][0]["box"] == [0, 0, 7, 7]


def test_what_an_expert_prints_does_not_reach_stdout(run, photo):
    for more in ((), ("--json",)):
        arguments = ("ask", photo, "How many cups are there?", "--detector", "loud", *more)
        code, out, err = run(*arguments)
        assert code == 0
        assert "..." not in out
        assert "loading weights ...\nlooking ...\n" in err


def test_an_expert_of_several_that_does_not_exist_is_named(run, photo):
    code, out, err = run("ask", photo, "How many cups are there?", "--detector", "loud,lowd")
    assert (code, out) == (2, "")
    assert "detector 'lowd' is not installed" in err
