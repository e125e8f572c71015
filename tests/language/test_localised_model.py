"""Groma's way end to end: proposals, rows of features, an answer held to live indices, mentions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import InputError
from groundplane.core.features import FeatureGrid
from groundplane.core.frames import Frame
from groundplane.core.host import load
from groundplane.core.orchestrator import Orchestrator, Resolvers
from groundplane.core.regions import Regions
from groundplane.core.session import Prompt
from groundplane.grounding.experts import Expert
from groundplane.grounding.router import Router
from groundplane.language.localised import LocalisedTokens, Selection
from groundplane.language.localised_model import EngineModel, LocalisedModel, localised_engine
from groundplane.testing.detectors import make_image
from groundplane.testing.language_checkpoints.llava import save_llava
from groundplane.testing.language_models import ScriptedModel

NOISE = np.random.default_rng(2).integers(0, 256, (48, 64, 3), dtype=np.uint8)
IMAGE = make_image(NOISE)
MARKS, WORDS = ("<p>", "</p>", "<roi>", "</roi>"), tuple(f"<r{i}>" for i in range(9))
BOXES = [[2.0, 2, 20, 20], [30.0, 4, 60, 20], [5.0, 25, 25, 45], [30.0, 25, 60, 45]]
SAID = "<p>a dog</p><roi>"


class Proposing:
    """Finds four things wherever it looks."""

    vocabulary = None

    def detect(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        ids = torch.zeros(4, dtype=torch.long)
        regions = Regions(
            ids=("a", "b", "c", "d"),
            boxes=torch.tensor(BOXES),
            scores=torch.tensor([0.9, 0.8, 0.7, 0.6]),
            phrases=request.phrases,
            phrase_ids=ids,
            image_size=request.image.size,
        )
        outcomes = (Outcome.FOUND, *(Outcome.NONE,) * (len(request.phrases) - 1))
        return DetectResult(regions=regions, outcomes=outcomes)


class Cells:
    """An encoder: the mean colour of each of 4 by 4 cells of the picture."""

    def encode(self, images):
        rows = [
            torch.from_numpy(image.pixels.copy()).float().view(4, 12, 4, 16, 3).mean((1, 3))
            for image in images
        ]
        tokens = torch.stack(rows).flatten(1, 2) / 255
        frames = tuple(Frame.original(image.size) for image in images)
        return FeatureGrid(tokens=tokens, grid=(4, 4), patch=16.0, frames=frames)


class Begun:
    """Says a beginning, then what an index constraint leaves, then some words."""

    def __init__(self, ids, held, end, own):
        self.ids, self.held, self.end, self.own = ids, held, end, own

    def allowed(self, said):
        if len(said) < len(self.ids):
            self.held.allowed(said)
            return [self.ids[len(said)]]
        left = self.held.allowed(said)
        if left is None:
            return [self.end]
        self.own.append((tuple(said), left))
        return left


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = save_llava(tmp_path_factory.mktemp("groma"), marks=MARKS, words=WORDS)
    options = {"dialect": "groma", "weights": str(folder), "max_tokens": 60}
    return load("language_models", "transformers", device="cpu", **options)


@pytest.fixture(scope="module")
def tokens():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return LocalisedTokens([3], 32, most=9)


def ask(model, prompt):
    router = Router([Expert.of(Proposing(), name="proposing")])
    [text] = Orchestrator(model, resolvers=Resolvers(ground=router)).run([prompt])
    return text


def begun(engine, said=SAID, own=None):
    """The engine, whose text begins as planned and then picks."""
    ids = engine.tokenizer.encode(said, add_special_tokens=False)
    end = next(iter(engine.ends))
    hold = engine.constrain
    return replace(
        engine, constrain=lambda prompt: Begun(ids, hold(prompt), end, [] if own is None else own)
    )


def plain(engine, prompt, said):
    """Scores behind prompt and text, from one pass over all rows without a cache."""
    inputs = dict(engine.prepare(prompt).inputs)
    whole = engine.decoder.model
    rows = whole.get_input_embeddings()(torch.tensor([said]))
    inputs["inputs_embeds"] = torch.cat([inputs["inputs_embeds"], rows], dim=1)
    inputs["attention_mask"] = torch.ones(inputs["inputs_embeds"].shape[:2], dtype=torch.long)
    inputs.pop("input_ids")
    with torch.no_grad():
        return whole(**inputs, use_cache=False).logits[0, -1]


class TestRows:
    def test_indices_that_are_picked_become_exactly_those_regions(self, model, tokens):
        engine = begun(localised_engine(model.engine, Cells(), tokens))
        prompt = Prompt(text="Where is the dog?", images=(IMAGE,))
        spoken = LocalisedModel(EngineModel(engine=engine), told=False)
        text = ask(spoken, prompt)
        [mention] = text.mentions
        assert mention.phrase in ("", "a dog")
        assert text.text[slice(*mention.span)] == "a dog"
        assert mention.ids
        assert set(mention.ids) <= {"a", "b", "c", "d"}
        assert text.finish == "complete"

    def test_what_is_picked_is_what_a_pass_without_a_cache_scores_best(self, model, tokens):
        own = []
        engine = begun(localised_engine(model.engine, Cells(), tokens), own=own)
        prompt = Prompt(text="The dog?", images=(IMAGE,), regions=(proposals(),))
        session = EngineModel(engine=engine).open([prompt])
        while not session._sequences or session._sequences[0].finish is None:
            session.step([])
        said = session._sequences[0].said
        assert own
        for before, left in own:
            scores = plain(engine, prompt, list(before))
            best = max(left, key=lambda token: scores[token].item())
            assert said[len(before)] == best

    def test_features_stand_behind_the_picture_each_after_its_index(self, model, tokens):
        engine = localised_engine(model.engine, Cells(), tokens)
        prompt = Prompt(text="The dog?", images=(IMAGE,), regions=(proposals(),))
        bare = model.engine.prepare(prompt).inputs["input_ids"][0].tolist()
        inputs = engine.prepare(prompt).inputs
        ids = inputs["input_ids"][0].tolist()
        places = [ids.index(engine.tokenizer.convert_tokens_to_ids(f"<r{i}>")) for i in range(4)]
        rows = inputs["inputs_embeds"][0, [place + 1 for place in places]]
        made = tokens.features([Cells().encode([IMAGE])], proposals().boxes)
        torch.testing.assert_close(rows, made)
        last = len(bare) - 1 - bare[::-1].index(engine.banned[0])
        assert ids[: last + 1] == bare[: last + 1]
        assert ids[len(ids) - (len(bare) - last - 1) :] == bare[last + 1 :]
        assert inputs["attention_mask"].shape == inputs["input_ids"].shape

    def test_features_change_what_the_model_says_next(self, model, tokens):
        engine = localised_engine(model.engine, Cells(), tokens)
        prompt = Prompt(text="The dog?", images=(IMAGE,), regions=(proposals(),))
        moved = replace(proposals(), boxes=proposals().boxes.flip(0))
        one, two = (
            engine.decoder.begin(engine.prepare(replace(prompt, regions=(regions,)))).logits
            for regions in (proposals(), moved)
        )
        assert not torch.allclose(one, two)

    def test_no_regions_leave_the_prompt_as_it_is(self, model, tokens):
        engine = localised_engine(model.engine, Cells(), tokens)
        none = Regions.empty(phrases=(), image_size=IMAGE.size)
        prompt = Prompt(text="The dog?", images=(IMAGE,), regions=(none,))
        assert "inputs_embeds" not in engine.prepare(prompt).inputs
        assert engine.constrain(prompt) is None

    def test_a_dialect_without_indices_is_refused(self, model, tokens):
        with pytest.raises(InputError, match="picks regions"):
            localised_engine(replace(model.engine, dialect=None), Cells(), tokens)


def proposals():
    return Regions(
        ids=("a", "b", "c", "d"),
        boxes=torch.tensor(BOXES),
        scores=torch.tensor([0.9, 0.8, 0.7, 0.6]),
        phrases=("dog",),
        phrase_ids=torch.zeros(4, dtype=torch.long),
        image_size=IMAGE.size,
    )


class Heard:
    """Keeps the prompts that it is asked."""

    def __init__(self):
        self.prompts = []

    def open(self, prompts):
        self.prompts += prompts
        return ScriptedModel([[] for _ in prompts]).open(prompts)


class TestWords:
    def shown(self, text, regions=None):
        heard = Heard()
        selection = Selection(seed=3)
        given = (proposals() if regions is None else regions,)
        prompt = Prompt(text=text, images=(IMAGE,), regions=given)
        LocalisedModel(heard, selection=selection).open([prompt]).step([])
        [shown] = heard.prompts
        return shown

    def test_any_model_gets_the_regions_as_a_line(self):
        shown = self.shown("Where?")
        assert shown.text.splitlines()[0].startswith("Regions: <r0> dog, <r1> dog")
        assert set(shown.regions[0].ids) == {"a", "b", "c", "d"}

    def test_a_box_of_the_user_becomes_the_index_of_its_region(self):
        x0, y0, x1, y1 = BOXES[2]
        centre = f"{(x0 + x1) / 128:.4f},{(y0 + y1) / 96:.4f},{(x1 - x0) / 64:.4f}"
        shown = self.shown(f"What is [{centre},{(y1 - y0) / 48:.4f}]?")
        line = shown.text.splitlines()[1]
        index = int(line.removeprefix("What is <r").removesuffix(">?"))
        torch.testing.assert_close(
            shown.regions[0].boxes[index], torch.tensor(BOXES[2]), atol=0.05, rtol=0
        )
        assert shown.regions[0].ids[index] == "drawn-0"

    @pytest.mark.parametrize("text", ["[0.5,0.5,0,0]", "[1,2,3,4]", "[nan,0,0,0]", "[]", "🐕 [0.5"])
    def test_what_is_no_box_stays_text(self, text):
        assert self.shown(text).text.splitlines()[1] == text

    def test_an_index_that_a_user_writes_is_text(self):
        assert self.shown("Is <r1> red?").text.splitlines()[1] == "Is < r1> red?"

    def test_a_late_expert_leaves_no_regions(self):
        none = Regions.empty(phrases=(), image_size=IMAGE.size)
        assert self.shown("Where?", none).text == "Regions: none.\nWhere?"
