"""Every system of docs/models.md gives a grounded answer in the way that its row says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transcripts
from models_page import PAGE, page

from groundplane.core.detection import DetectRequest
from groundplane.core.host import load
from groundplane.core.media import read_image
from groundplane.core.orchestrator import Orchestrator, Resolvers
from groundplane.core.session import Prompt
from groundplane.grounding.dialects import dialect
from groundplane.grounding.dialects.rendering import render
from groundplane.grounding.setup import make_router
from groundplane.language.chat.messages import fit_for
from groundplane.language.families import families
from groundplane.language.systems import SYSTEMS, models_table
from groundplane.testing.chat_server import ChatServer, Manners, Turn
from groundplane.testing.checkpoints_embedding_head import save_embedding_head
from groundplane.testing.language_checkpoints import save_language_model

# litellm reads its own deprecated fields with each reply.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Item:UserWarning"),
]

SAID = "The photo shows a bus on the road."
REPLIES = {"gemini": transcripts.gemini, "anthropic": transcripts.anthropic}


class Truth:
    """A real photo, what people marked on it, and the expert that knows."""

    def __init__(self, data):
        options = {"annotations": str(data / "coco" / "instances.json")}
        self.image = read_image(data / "coco" / "images" / "000000423617.jpg")
        self.router = make_router("coco-file", options=options, device="cpu")
        [found] = self.router.detect([DetectRequest(image=self.image, phrases=("bus",))])
        self.regions = replace(found.regions, phrases=("a bus",))
        self.largest = self.regions.select(self._areas().argmax()[None])

    def _areas(self):
        boxes = self.regions.boxes
        return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])

    def ask(self, model, *, router=None, **more):
        prompt = Prompt(text="Where is the bus?", images=(self.image,), **more)
        resolvers = Resolvers(ground=router or self.router)
        [text] = Orchestrator(model, resolvers=resolvers).run([prompt])
        return text

    def written(self, name, frame):
        """The largest bus as a model of a dialect writes it in the frame that it sees."""
        text = render(dialect(name), self.largest, frame)
        return text.strip()


@pytest.fixture(scope="module")
def truth(data_dir):
    return Truth(data_dir)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(name):
        if name not in made:
            made[name] = save_language_model(name, tmp_path_factory.mktemp(name))
        return made[name]

    return folder


class Forced:
    """What a tiny model of random weights must say."""

    def __init__(self, ids):
        self.ids = ids

    def allowed(self, said):
        return self.ids[len(said) : len(said) + 1]


def in_process(system, truth, folders, tmp_path):
    states = system.dialect == "llava-grounding"
    options = {"dialect": system.dialect, "route": system.route, "inject": "none"}
    model = load(
        "language_models", "transformers", device="cpu",
        weights=str(folders(system.model)), **options,
    )  # fmt: skip
    text, router = SAID, None
    if states:
        text = "There is <g_s> the bus<g_e> <seg>."
        width = model._model.config.get_text_config().hidden_size
        head = save_embedding_head(tmp_path / "head", embedding_width=width)
        router = make_router("embedding-head", options={"weights": str(head)}, device="cpu")
    elif system.dialect:
        prompt = Prompt(text="Where is the bus?", images=(truth.image,))
        [frame] = model.engine.prepare(prompt).frames
        text = truth.written(system.dialect, frame)
    ids = tuple(model.engine.tokenizer.encode(text, add_special_tokens=False))
    model._inside.engine = replace(model.engine, max_tokens=len(ids))  # nothing else is said
    return truth.ask(model.with_triggers(constrain=lambda _: Forced(ids)), router=router)


def served(system, truth):
    text, more = SAID, {}
    if system.name == "Groma":
        text, more = "<p>a bus</p><roi><r0></roi>", {"regions": (truth.largest,)}
    elif system.dialect:
        text = truth.written(system.dialect, fit_for(dialect(system.dialect))(truth.image))
    with ChatServer([Turn(text=(text,))], manners=Manners(tags="kept")) as server:
        options = {"dialect": system.dialect, "route": system.route, "how": "text"}
        model = load("language_models", "openai-server", device="cpu", url=server.url, **options)
        return truth.ask(model, **more)


def provided(system, truth):
    if system.route == "own":
        text = truth.written(system.dialect, fit_for(dialect(system.dialect))(truth.image))
    elif system.name == "GPT-4o":
        text = json.dumps({"pieces": [{"text": "The bus", "marks": [1]}]})
    else:
        text = "The bus [1] is red."
    made = REPLIES.get(system.model.partition("/")[0], transcripts.openai)
    with transcripts.provider(made(text[:9], text[9:])) as server:
        model = load("language_models", "litellm", device="cpu", model=system.model, url=server.url)
        assert model.route == system.route
        return truth.ask(model)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.slug)
def test_a_grounded_answer(system, truth, folders, tmp_path):
    if system.plugin == "transformers":
        if system.model == "smolvlm":
            pytest.importorskip("num2words")
        text = in_process(system, truth, folders, tmp_path)
    else:
        text = (served if system.plugin == "openai-server" else provided)(system, truth)
    told = [step.detail for step in text.trace if step.name in ("server", "retry")]
    assert text.finish in ("complete", "length"), told
    assert text.mentions, text.trace
    mention = text.mentions[0]
    assert "bus" in text.text[slice(*mention.span)].lower() or mention.span[0] == mention.span[1]
    assert mention.ids
    if mention.located is not None:
        # The frame of each is undone: the box is the photo's again, within a step of its numbers.
        box = torch.from_numpy(mention.located.boxes[0])
        near = torch.tensor([*truth.image.size * 2]) / 25
        assert ((box - truth.largest.boxes[0].double()).abs() <= near).all()
    elif system.dialect != "llava-grounding":
        assert set(mention.ids) <= {*truth.regions.ids}


def test_every_system_of_the_list_and_every_family_has_a_row():
    names = {system.name for system in SYSTEMS}
    asked = "LLaVA LLaVA-1.5 BLIP-2 MiniGPT-4 InstructBLIP Qwen-VL Qwen2-VL Qwen2.5-VL Qwen3-VL "
    asked += "VILA Gemini GPT-4V Janus Shikra Groma LLaVA-Grounding Mono-InternVL"
    assert {*asked.split(), "Claude 3"} <= names
    assert len(names) == len(SYSTEMS)
    strange = {s.model for s in SYSTEMS if s.plugin == "transformers"} - set(families())
    assert not strange


def test_the_page_is_what_the_table_says():
    assert PAGE.read_text(encoding="utf-8") == page()


def test_a_page_with_another_row_is_noticed():
    assert models_table() in page()
    assert models_table(SYSTEMS[:-1]) + "\n\n" not in page()
    assert models_table([replace(SYSTEMS[0], route="none"), *SYSTEMS[1:]]) not in page()


def test_the_test_of_each_row_is_the_one_here(request):
    names = {item.nodeid for item in request.session.items}
    here = Path(__file__).relative_to(request.config.rootpath).as_posix()
    ran = {name for name in names if name.startswith(f"{here}::test_a_grounded_answer[")}
    listed = {system.test for system in SYSTEMS}
    assert len(listed) == len(SYSTEMS)
    assert ran <= listed
    assert all(test.startswith(f"{here}::{test_a_grounded_answer.__name__}[") for test in listed)
