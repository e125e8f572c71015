"""The router of names and options, over installed plugins and over ones made for the test."""

from __future__ import annotations

import sys
import textwrap

import numpy as np
import pytest

from groundplane.core.detection import DetectRequest
from groundplane.core.errors import InputError, PluginBrokenError, PluginNotFoundError
from groundplane.core.host import DISABLE
from groundplane.grounding.router import Router, Terms
from groundplane.grounding.setup import make_router
from groundplane.testing.detectors import make_image

IMAGE = make_image(np.full((40, 60, 3), 128, np.uint8), name="grey.png")

PLUGINS = """
from dataclasses import dataclass
import torch
from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.regions import Regions

MADE = []

@dataclass(frozen=True)
class Options:
    weights: str
    size: int = 3

class Words:
    Options = Options
    capabilities = Capabilities(prompts=frozenset({"text"}), cost=50)
    vocabulary = None

    def __init__(self, options, *, device="cpu", dtype=None):
        MADE.append((type(self).__name__, options.weights, options.size, device))
        if options.weights == "missing":
            raise ImportError("no such library")

    def detect(self, requests):
        return [
            DetectResult(
                regions=Regions.empty(phrases=r.phrases, image_size=r.image.size),
                outcomes=(Outcome.NONE,) * len(r.phrases),
            )
            for r in requests
        ]

class Cheap(Words):
    capabilities = Capabilities(prompts=frozenset({"text"}), cost=5)
"""


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Two detectors of another distribution, `words` and `cheap`, both with needed weights."""
    (tmp_path / "router_mod.py").write_text(textwrap.dedent(PLUGINS))
    info = tmp_path / "gpr-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gpr\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[groundplane.detectors]\nwords = router_mod:Words\ncheap = router_mod:Cheap\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield sys.modules.get("router_mod") or __import__("router_mod")
    sys.modules.pop("router_mod", None)


def ask(router, *phrases):
    [result] = router.detect([DetectRequest(image=IMAGE, phrases=phrases)])
    return result


def told(result):
    return [f"{step.name}: {step.detail}" for step in result.steps]


class TestInstalled:
    def test_without_weights_words_go_to_the_expert_that_needs_none(self):
        result = ask(make_router(device="cpu"), "face", "sofa")
        assert result.outcomes == ("none", "cannot")
        assert told(result)[-2] == (
            "route: 'face' to detector 'opencv' (about 1 billion operations a look)"
        )
        assert "no expert can look for 'sofa': opencv knows: face, eye; not ready: " in result.note

    def test_what_is_not_ready_is_named_with_what_to_do(self):
        steps = told(ask(make_router(device="cpu"), "sofa"))
        assert any(
            step == "passed over: detector 'coco-file' for 'sofa': needs the option 'annotations', "
            "which was not given. Try: --option coco-file.annotations=VALUE"
            for step in steps
        )

    def test_with_weights_an_expert_takes_part(self, plugins):
        options = {"words.weights": "here", "words.size": "7"}
        result = ask(make_router(options=options, device="cpu"), "face", "sofa")
        assert result.outcomes == ("none", "none")
        assert plugins.MADE == [("Words", "here", 7, "cpu")]
        assert told(result)[-1] == (
            "route: 'sofa' to detector 'words' (about 50 billion operations a look)"
        )

    def test_the_cheapest_with_weights_is_asked_and_only_it_is_made(self, plugins):
        options = {"words.weights": "here", "cheap.weights": "there"}
        ask(make_router(options=options, device="cpu"), "sofa")
        assert [name for name, *_ in plugins.MADE] == ["Cheap"]

    def test_one_whose_library_is_missing_is_passed_over_by_name(self, plugins):
        options = {"words.weights": "here", "cheap.weights": "missing"}
        result = ask(make_router(options=options, device="cpu"), "sofa")
        assert result.outcomes == ("none",)
        assert any("passed over: detector 'cheap'" in step for step in told(result))
        assert any("no such library" in step for step in told(result))

    def test_no_plugin_is_made_for_a_list_of_words(self, plugins):
        router = make_router(options={"words.weights": "here"}, device="cpu")
        assert router.vocabulary is None
        assert plugins.MADE == []

    def test_one_that_is_disabled_does_not_take_part(self, monkeypatch):
        monkeypatch.setenv(DISABLE, "opencv")
        assert "opencv" not in ask(make_router(device="cpu"), "face").note

    def test_a_malformed_option_of_an_expert_is_an_error_at_once(self, plugins):
        options = {"words.weights": "here", "words.size": "big"}
        with pytest.raises(InputError, match="'big'"):
            make_router(options=options, device="cpu")

    def test_an_unknown_device_is_an_error_at_once(self):
        with pytest.raises(InputError, match="unknown device 'abacus'"):
            make_router(device="abacus")


class TestNamed:
    def test_a_single_one_is_made_at_once(self, plugins):
        router = make_router("words", options={"weights": "here"}, device="cpu")
        assert len(plugins.MADE) == 1
        assert router.who == "detector 'words'"

    def test_a_single_one_that_cannot_be_made_is_an_error_at_once(self, plugins):
        with pytest.raises(PluginBrokenError, match="no such library"):
            make_router("words", options={"weights": "missing"}, device="cpu")

    def test_several_are_routed_among_and_made_when_needed(self, plugins):
        options = {"words.weights": "here", "cheap.weights": "missing"}
        router = make_router(" words , cheap,words", options=options, device="cpu")
        assert plugins.MADE == []
        assert router.who == "router over cheap, words"
        assert ask(router, "sofa").outcomes == ("none",)

    def test_one_of_several_that_lacks_an_option_is_an_error(self, plugins):
        with pytest.raises(InputError, match="'cheap' needs the option 'weights'"):
            make_router("words,cheap", options={"words.weights": "here"}, device="cpu")

    def test_an_unknown_name_is_refused_with_near_ones(self):
        with pytest.raises(PluginNotFoundError, match="Did you mean 'opencv'"):
            make_router("opencv,opencb", device="cpu")

    @pytest.mark.parametrize("names", ["", " ", "opencv,", ",", "opencv,,coco-file"])
    def test_an_empty_name_is_refused(self, names):
        with pytest.raises(InputError, match="several with commas between them"):
            make_router(names, device="cpu")

    def test_an_unknown_segmenter_is_refused(self):
        with pytest.raises(PluginNotFoundError, match="segmenter 'samm' is not installed"):
            make_router("opencv", segmenter="samm", device="cpu")


class TestOptions:
    def test_a_bare_option_is_its_only_owner_s(self):
        router = make_router(options={"min_neighbors": "9"}, device="cpu")
        assert ask(router, "face").outcomes == ("none",)

    def test_a_bare_option_of_several_experts_must_say_whose_it_is(self, plugins):
        with pytest.raises(
            InputError, match=r"'size' may be meant for (words, cheap|cheap, words)"
        ):
            make_router("words,cheap", options={"size": "3"}, device="cpu")

    def test_an_option_of_nobody_is_refused_with_near_ones(self):
        with pytest.raises(InputError, match=r"no option 'scael'.*Did you mean 'scale'"):
            make_router(options={"scael": "2"}, device="cpu")

    def test_an_option_for_one_that_does_not_take_part_is_refused(self):
        with pytest.raises(InputError, match="'owl' does not take part"):
            make_router("opencv", options={"owl.weights": "x"}, device="cpu")

    def test_an_option_given_twice_is_refused(self):
        options = {"scale": "1.2", "opencv.scale": "1.3"}
        with pytest.raises(InputError, match="'scale' of 'opencv' is given twice"):
            make_router("opencv", options=options, device="cpu")

    def test_options_of_a_router_for_one_that_does_not_take_part_are_refused(self):
        with pytest.raises(InputError, match="options for 'owl', which does not take part"):
            Router.from_installed(["opencv"], options={"owl": {}}, device="cpu")

    def test_a_detector_that_is_made_takes_none(self):
        made = make_router("opencv", device="cpu")
        with pytest.raises(InputError, match="Router is made already; leave out the option 'x'"):
            make_router(made, options={"x": 1}, device="cpu")
        assert make_router(made, device="cpu").who == "detector 'Router'"


class TestMasks:
    def test_where_masks_are_wanted_all_segmenters_take_part(self):
        router = make_router("opencv", terms=Terms(masks=True), device="cpu")
        # None of them has weights here, but that is known only when one is needed.
        assert ask(router, "face").outcomes == ("none",)
