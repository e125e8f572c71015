"""Models of providers through litellm: recorded replies, frames, failures, and keys."""

import io
import json
import logging
import subprocess
import sys

import pytest
import transcripts

from groundplane.core.errors import InputError
from groundplane.core.host import load
from groundplane.core.orchestrator import Orchestrator, Resolvers
from groundplane.core.session import Prompt
from groundplane.language.providers import PROVIDERS, provider_of
from groundplane.testing.language_models import (
    FakeResolver,
    LanguageModelContract,
    found,
    picture,
)

# litellm reads its own deprecated fields with each reply.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Item:UserWarning"),
]
PHOTO = picture(640, 480)
KEY = "sk-very-secret-0123456789"


def ask(model, *replies, images=(PHOTO,), question="Where is the dog?", **options):
    """What a model says that gives these replies, and what was asked of its provider."""
    told = {"timeout": 20.0, "retries": 0} | options
    with transcripts.provider(*replies) as server:
        made = load("language_models", "litellm", device="cpu", model=model, url=server.url, **told)
        experts = FakeResolver(lambda call: found(call.event, image_size=PHOTO.size))
        runner = Orchestrator(made, resolvers=Resolvers(ground=experts))
        [text] = runner.run([Prompt(text=question, images=images)])
    return text, server.asked


def boxes(text):
    return [mention.located.boxes.round(1).tolist() for mention in text.mentions]


def notes(text, *names):
    return [step.detail for step in text.trace if step.name in names]


class TestContract(LanguageModelContract):
    max_steps = 20_000

    @pytest.fixture
    def model(self):
        with transcripts.provider(transcripts.openai("A chair", " and a lamp.")) as server:
            yield load(
                "language_models", "litellm", device="cpu", model="openai/gpt-4o",
                route="after", url=server.url, retries=0,
            )  # fmt: skip


class TestPlaces:
    def test_gemini_writes_y_first_in_thousandths(self):
        said = '```json\n[{"box_2d": [100, 200, 300, 400], "label": "dog"}]\n```'
        text, [(path, _, body)] = ask(
            "gemini/gemini-2.5-pro", transcripts.gemini("On", "e. ", said)
        )
        assert boxes(text) == [[[128.0, 48.0, 256.0, 144.0]]]
        assert "gemini-2.5-pro:streamGenerateContent" in path
        assert "ymin, xmin" in json.dumps(body["system_instruction"])

    def test_gemini_masks_are_read_with_their_box(self):
        from PIL import Image

        drawn = io.BytesIO()
        Image.new("L", (8, 8), 255).save(drawn, "PNG")
        import base64

        data = base64.b64encode(drawn.getvalue()).decode()
        said = json.dumps([{"box_2d": [100, 200, 300, 400], "label": "dog",
                            "mask": f"data:image/png;base64,{data}"}])  # fmt: skip
        text, _ = ask("gemini/gemini-2.5-flash", transcripts.gemini(said[:40], said[40:]))
        assert boxes(text) == [[[128.0, 48.0, 256.0, 144.0]]]

    def test_claude_sees_the_picture_at_a_size_that_its_provider_keeps(self):
        said = '[{"label": "dog", "bbox": [127, 95, 635, 476]}]'
        text, [(path, _, body)] = ask(
            "anthropic/claude-sonnet-4-5",
            transcripts.anthropic(said),
            images=(picture(4032, 3024),),
        )
        assert path == "/v1/messages"
        assert sent_size(body["messages"]) == (1270, 952)
        scale = 4032 / 1270
        assert boxes(text)[0][0] == pytest.approx(
            [127 * scale, 95 * 3024 / 952, 635 * scale, 476 * 3024 / 952], abs=0.1
        )

    def test_qwen_sees_the_picture_on_its_grid(self):
        said = '[{"bbox_2d": [0, 0, 644, 476], "label": "dog"}]'
        text, [(_, _, body)] = ask("dashscope/qwen-vl-max", transcripts.openai(said))
        assert sent_size(body["messages"]) == (644, 476)
        assert boxes(text) == [[[0.0, 0.0, 640.0, 480.0]]]

    def test_gpt_4o_picks_numbers_by_a_schema(self):
        said = json.dumps({"pieces": [{"text": "The dog", "marks": [1]}]})
        text, [(_, _, body)] = ask("openai/gpt-4o", transcripts.openai(said[:11], said[11:]))
        assert [mention.ids for mention in text.mentions] == [("marks-1-1",)]
        schema = body["response_format"]["json_schema"]["schema"]
        marks = schema["properties"]["pieces"]["items"]["properties"]["marks"]
        assert marks["items"]["enum"] == [1]

    @pytest.mark.parametrize(
        ("model", "reply"),
        [
            ("openai/gpt-4-turbo", transcripts.openai),
            ("anthropic/claude-3-opus-20240229", transcripts.anthropic),
        ],
    )
    def test_models_without_a_schema_write_numbers_in_brackets(self, model, reply):
        text, [(_, _, body)] = ask(model, reply("The dog [", "1] sleeps."))
        assert text.text == "The dog sleeps."
        assert [mention.ids for mention in text.mentions] == [("marks-1-1",)]
        assert "response_format" not in body

    def test_boxes_that_are_not_relied_on_are_told(self):
        said = '[{"label": "dog", "bbox": [1, 2, 30, 40]}]'
        text, _ = ask("anthropic/claude-3-opus-20240229", transcripts.anthropic(said), route="own")
        assert len(text.mentions) == 1
        assert any("verify them" in detail for detail in notes(text, "fallback"))

    def test_an_unknown_model_is_asked_with_marks(self):
        text, _ = ask("openai/house-model", transcripts.openai("The dog [1]."))
        assert [mention.ids for mention in text.mentions] == [("marks-1-1",)]


def sent_size(messages):
    import base64

    from PIL import Image

    data = json.dumps(messages)
    start = data.index("iVBORw0K")
    picture_data = data[start : data.index('"', start)]
    with Image.open(io.BytesIO(base64.b64decode(picture_data))) as seen:
        return seen.size


class TestFailures:
    def test_a_safety_stop_breaks_the_answer_off_and_says_so(self):
        text, _ = ask("gemini/gemini-2.5-pro", transcripts.gemini(finish="SAFETY"))
        assert (text.finish, text.text) == ("broken", "")
        assert any("filter" in detail for detail in notes(text, "server"))

    @pytest.mark.parametrize("reply", [transcripts.openai(), b"<html>no</html>", b""])
    def test_an_empty_answer_is_asked_for_once_more_and_told(self, reply):
        text, asked = ask("openai/gpt-4-turbo", reply)
        assert (text.finish, text.text, len(asked)) == ("broken", "", 2)
        assert notes(text, "server") == ["openai/gpt-4-turbo: the reply is empty"]

    def test_a_refusal_in_words_is_text_without_places(self):
        text, _ = ask("openai/gpt-4-turbo", transcripts.openai("I'm sorry, I ", "can't help."))
        assert (text.text, text.mentions) == ("I'm sorry, I can't help.", ())

    def test_a_refusal_in_its_own_field_leaves_the_answer_empty_and_told(self):
        text, _ = ask("openai/gpt-4o", transcripts.openai("I can't.", refusal=True))
        assert (text.text, text.mentions) == ("", ())
        assert notes(text, "server") == ["openai/gpt-4o: the reply is empty"]

    def test_a_length_stop_is_told(self):
        text, _ = ask("openai/gpt-4-turbo", transcripts.openai("The dog", finish="length"))
        assert text.finish == "length"

    def test_a_reply_that_breaks_off_is_asked_again_without_a_repeat(self):
        half = transcripts.openai("The dog", " sle", finish="", done=False)
        text, asked = ask("openai/gpt-4-turbo", half, transcripts.openai("The dog sleeps."))
        assert (text.finish, text.text, len(asked)) == ("complete", "The dog sleeps.", 2)
        assert len(notes(text, "retry")) == 1

    def test_a_busy_provider_is_asked_again(self):
        busy = (429, b'{"error": {"message": "slow down"}}', {"Retry-After": "0"})
        text, asked = ask("openai/gpt-4-turbo", busy, transcripts.openai("Yes."), retries=2)
        assert (text.finish, text.text, len(asked)) == ("complete", "Yes.", 2)

    @pytest.mark.parametrize("status", [400, 401, 403, 404])
    def test_a_refused_request_is_not_asked_again(self, status):
        text, asked = ask(
            "openai/gpt-4-turbo", (status, b'{"error": {"message": "no"}}', {}), retries=3
        )
        assert (text.finish, len(asked)) == ("broken", 1)
        assert len(notes(text, "server")) == 1


class TestKeys:
    def test_a_key_is_read_from_the_environment_and_left_nowhere(self, monkeypatch, caplog, capfd):
        monkeypatch.setenv("MY_KEY", KEY)
        caplog.set_level(logging.DEBUG)
        wrong = (401, json.dumps({"error": {"message": f"bad key {KEY}"}}).encode(), {})
        text, asked = ask("openai/gpt-4-turbo", wrong, key_env="MY_KEY")
        assert f"Bearer {KEY}" in asked[0][1].values()
        assert text.finish == "broken"
        left = [repr(text.trace), text.text, *capfd.readouterr()]
        left += [
            record.getMessage() for record in caplog.records if "litellm" not in record.name.lower()
        ]
        assert not [line for line in left if KEY in line]

    def test_a_missing_key_is_named(self, monkeypatch):
        monkeypatch.delenv("GEMINI_API_KEY", raising=False)
        with pytest.raises(InputError, match="'GEMINI_API_KEY', which is not set"):
            load("language_models", "litellm", device="cpu", model="gemini/gemini-2.5-pro")

    def test_a_key_that_is_none_is_not_shown(self, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "two words")
        with pytest.raises(InputError, match="set to something else") as told:
            load("language_models", "litellm", device="cpu", model="openai/gpt-4o")
        assert "two words" not in str(told.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ""}, "expected a model's name"),
        ({"route": "sideways"}, "expected one of own, after, marks, none"),
        ({"route": "own"}, "no known way to write places"),
        ({"dialect": "klingon"}, "is not known"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": float("nan")}, "temperature"),
        ({"timeout": float("inf")}, "timeout"),
        ({"url": "file:///etc/passwd"}, "expected http"),
    ],
)
def test_bad_options_are_refused(options, message):
    told = {"model": "openai/gpt-4o", "url": "http://127.0.0.1:1"} | options
    with pytest.raises(InputError, match=message):
        load("language_models", "litellm", device="cpu", **told)


def test_nothing_is_imported_before_the_first_question():
    code = (
        "import sys, groundplane\n"
        "groundplane.load('language_models', 'litellm', model='x/y', url='http://127.0.0.1:1')\n"
        "assert 'litellm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gemini/gemini-2.5-flash", "Gemini"),
        ("openrouter/google/gemini-3-pro", "Gemini"),
        ("gemini-1.5-pro", "Gemini 1"),
        ("claude-3-5-sonnet", "Claude 3"),
        ("anthropic/claude-opus-4-1", "Claude"),
        ("dashscope/qwen3-vl-plus", "Qwen3-VL"),
        ("openai/qwen-vl-max-latest", "Qwen-VL-Max"),
        ("gpt-4o-mini", "GPT-4o"),
        ("openai/o3", "GPT-4o"),
        ("gpt-4-vision-preview", "GPT-4V"),
        ("mistral/pixtral", "unknown"),
    ],
)
def test_models_are_known_by_their_names(model, name):
    assert provider_of(model).name == name


def test_who_writes_no_boxes_is_asked_with_marks():
    assert all(one.route == ("own" if one.native else "marks") for one in PROVIDERS)
