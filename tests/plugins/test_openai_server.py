"""Language models behind a server: grounded in mid-sentence and by tools, and nothing hangs."""

from __future__ import annotations

import json
import logging
import pickle
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from groundplane.core.answer import Answer
from groundplane.core.errors import InputError
from groundplane.core.orchestrator import Budget, Orchestrator
from groundplane.core.session import Done, Event, Ground, Injected, Locate, Note, Prompt, Text
from groundplane.core.workers import Call, Resolvers
from groundplane.plugins.openai_server import OpenAiServerLanguageModel, OpenAiServerOptions
from groundplane.testing.chat_server import (
    LLAMA_CPP,
    OPENAI,
    SGLANG,
    VLLM,
    ChatServer,
    Fault,
    Manners,
    Turn,
)
from groundplane.testing.language_models import (
    FakeResolver,
    LanguageModelContract,
    found,
    picture,
)

DOG = ("I see <ref>a dog</ref>", " on a mat.")
PROMPT = Prompt(text="What is there?", images=(picture(64, 48),))


def served(server: ChatServer, **options: Any) -> OpenAiServerLanguageModel:
    given = {"url": server.url, "timeout": 5.0, "deadline": 10.0, **options}
    return OpenAiServerLanguageModel(OpenAiServerOptions(**given))


def answer(call: Call) -> object:
    if isinstance(call.event, Ground):
        return found(call.event, image_size=call.prompt.images[call.event.image].size)
    return Answer(value=1.5, unit="m")


def run(
    model: OpenAiServerLanguageModel, *prompts: Prompt, answering: Any = answer
) -> tuple[list[Any], list[Event]]:
    resolver = FakeResolver(answering)
    runner = Orchestrator(
        model,
        resolvers=Resolvers(ground=resolver, query=resolver),
        budget=Budget(seconds=30),
    )
    updates = list(runner.stream(prompts or (PROMPT,)))
    results = {u.sequence: u.result for u in updates if hasattr(u, "result")}
    return [results[k] for k in sorted(results)], updates


def notes(events: Sequence[Event], name: str) -> list[str]:
    return [e.detail for e in events if isinstance(e, Note) and e.name == name]


class TestContract(LanguageModelContract):
    @pytest.fixture
    def model(self) -> Iterator[OpenAiServerLanguageModel]:
        with ChatServer(["I see <ref>a dog</ref>", " and <ref>a cat</ref>", "."]) as server:
            model = served(server, dialect="qwen-vl")
            yield model
            model.close()


class TestContractByTools(LanguageModelContract):
    @pytest.fixture
    def model(self) -> Iterator[OpenAiServerLanguageModel]:
        turns = [
            Turn(text=("Let me look.",), calls=(("ground", {"phrases": ["dog"]}),)),
            Turn(text=("There is a dog.",)),
        ]
        with ChatServer(turns, manners=OPENAI) as server:
            model = served(server)
            yield model
            model.close()


@pytest.mark.parametrize("split", ["tokens", "characters", "bytes"])
@pytest.mark.parametrize("shown", [True, False])
def test_a_place_is_told_in_mid_sentence(split: Any, shown: bool) -> None:
    manners = Manners(split=split, stop_shown=shown, stop_told=shown)
    with ChatServer(DOG, manners=manners) as server:
        [text], events = run(served(server, dialect="qwen-vl"))
        last = server.asked[-1]
    assert text.text == "I see a dog on a mat."
    assert [(m.span, m.ids) for m in text.mentions] == [((6, 11), ("ask-1-1",))]
    assert last["messages"][-1]["content"] == "I see <ref>a dog</ref><box>(0,0),(999,999)</box>"
    assert last["continue_final_message"] is True
    assert last["add_generation_prompt"] is False
    assert [e.text for e in events if isinstance(e, Injected)] == ["<box>(0,0),(999,999)</box>"]


def test_tags_that_a_server_drops_give_way_to_json() -> None:
    said = 'A dog: {"bbox_2d": [0, 0, 500, 500], "label": "a dog"}'
    with ChatServer([said], manners=LLAMA_CPP) as server:
        [text], events = run(served(server, dialect="qwen-vl"))
        system = server.asked[0]["messages"][0]
    assert any("drops the special tokens" in line for line in notes(events, "fallback"))
    assert system["role"] == "system"
    assert "bbox_2d" in system["content"]
    [place] = [e for e in events if isinstance(e, Locate)]
    assert place.boxes.tolist() == [[0.0, 0.0, 32.0, 24.0]]
    assert text.finish == "complete"


def test_a_server_that_ignores_continuing_is_not_asked_to() -> None:
    with ChatServer(["A dog."], manners=Manners(continues="ignored")) as server:
        [text], events = run(served(server, dialect="qwen-vl", how="continue"))
        assert "stop" not in server.asked[0]
    assert text.text == "A dog."
    assert any("does not continue" in line for line in notes(events, "fallback"))


def test_tool_calls_are_answered_and_their_things_are_referred_to() -> None:
    turns = [
        Turn(text=("Let me look.",), calls=(("ground", {"phrases": ["dog", "cat"]}),)),
        Turn(text=("The dog is left of the cat.",)),
    ]
    with ChatServer(turns, manners=OPENAI) as server:
        [text], _ = run(served(server))
        told = json.loads(server.asked[1]["messages"][-1]["content"])
    assert text.text == "Let me look.\nThe dog is left of the cat."
    mentions = {text.text[m.span[0] : m.span[1]]: m.ids for m in text.mentions}
    assert mentions == {"dog": ("call-1-1",), "cat": ("call-1-2",)}
    assert told["frame"].startswith("picture 1, 64 x 48 pixels")
    assert [row["box"] for row in told["found"]] == [[0.0, 0.0, 64.0, 48.0]] * 2


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("shell", {}, "there is no tool 'shell'"),
        ("ground", "{", "expected one JSON object"),
        ("ground", {"phrases": []}, "expected a list of 1 to 16 phrases"),
        ("ground", {"phrases": ["dog"], "image": 2}, "a number from 1 to 1"),
        ("ground", {"phrases": ["dog"], "path": "/etc"}, "unknown argument 'path'"),
        ("measure", {"quantity": "height", "of": ["dog"]}, "call ground first"),
        ("map_query", {"query": 3}, "expected query as an object"),
    ],
)
def test_wrong_calls_are_told_and_not_made(name: str, arguments: Any, told: str) -> None:
    turns = [Turn(calls=((name, arguments),)), Turn(text=("Well.",))]
    with ChatServer(turns, manners=OPENAI) as server:
        [text], events = run(served(server))
        reply = json.loads(server.asked[1]["messages"][-1]["content"])
    assert told in reply["error"]
    assert not [e for e in events if isinstance(e, Ground)]
    assert text.text == "Well."


def test_what_was_found_can_be_measured() -> None:
    turns = [
        Turn(calls=(("ground", {"phrases": ["dog"]}),)),
        Turn(calls=(("measure", {"quantity": "height", "of": ["dog"]}),)),
        Turn(text=("It is 1.5 m high.",)),
    ]
    with ChatServer(turns, manners=OPENAI) as server:
        [text], _ = run(served(server))
        told = json.loads(server.asked[2]["messages"][-1]["content"])
    assert (told["value"], told["unit"]) == (1.5, "m")
    assert len(text.answers) == 1


def test_a_model_that_calls_without_end_is_ended() -> None:
    with ChatServer([Turn(calls=(("ground", {"phrases": ["dog"]}),))], manners=OPENAI) as server:
        [text], events = run(served(server))
    assert text.finish == "broken"
    assert any("rounds" in line for line in notes(events, "server"))


@pytest.mark.parametrize("manners", [VLLM, SGLANG, OPENAI])
@pytest.mark.parametrize("kind", ["drop", "cut", "garbage"])
@pytest.mark.parametrize("after", [0, 3])
def test_a_broken_stream_is_gone_on_with(manners: Manners, kind: Any, after: int) -> None:
    said = "One two three four five."
    with ChatServer([said], manners=manners, faults=[Fault(kind=kind, after=after)]) as server:
        [text], events = run(served(server, retries=0 if after else 1))
    assert text.text == said
    assert text.finish == "complete"
    assert notes(events, "retry")


def test_a_stream_that_breaks_twice_ends_as_broken() -> None:
    fault = Fault(kind="cut", after=2)
    with ChatServer(["One two three four five."], faults=[fault, fault]) as server:
        [text], events = run(served(server))
    assert text.finish == "broken"
    assert "One two three four five.".startswith(text.text)
    assert any("ends in the middle" in line for line in notes(events, "server"))


def test_a_text_that_comes_otherwise_the_second_time_is_not_mended() -> None:
    given = iter(["One two three four.", "Uno due tre quattro."])
    with ChatServer(
        lambda body: Turn(text=(next(given),)), manners=OPENAI, faults=[Fault(kind="cut", after=2)]
    ) as server:
        [text], events = run(served(server, how="text"))
    assert (text.text, text.finish) == ("One two", "broken")
    assert any("something else" in line for line in notes(events, "server"))


def test_a_busy_server_is_asked_again() -> None:
    faults = [Fault(kind="status", status=429, wait=0.01), Fault(kind="status", status=500)]
    with ChatServer(["Yes."], faults=faults) as server:
        [text], events = run(served(server))
    assert text.text == "Yes."
    assert [line.split("(")[1][:8] for line in notes(events, "retry")] == ["HTTP 429", "HTTP 500"]


def test_one_sequence_that_fails_leaves_the_others() -> None:
    with ChatServer(faults=[Fault(kind="status", status=500, message="out of memory")]) as server:
        prompts = [Prompt(text="Who?"), Prompt(text="Why?")]
        results, events = run(served(server, retries=0, streams=1), *prompts)
    assert [(r.text, r.finish) for r in results] == [("", "broken"), ("Why?", "complete")]
    assert any("out of memory" in line for line in notes(events, "server"))


def test_a_silent_server_is_given_up_on() -> None:
    with ChatServer(["One two"], faults=[Fault(kind="silent", after=1)]) as server:
        [text], events = run(served(server, timeout=0.2))
    assert (text.text, text.finish) == ("One", "broken")
    assert any("silent for 0.2 s" in line for line in notes(events, "server"))


def test_a_server_that_drips_is_given_up_on() -> None:
    with ChatServer(["One two"], faults=[Fault(kind="slow", wait=0.02)]) as server:
        [text], events = run(served(server, deadline=0.3))
    assert text.finish == "broken"
    assert any("within 0.3 s" in line for line in notes(events, "server"))


def test_a_line_without_an_end_is_refused() -> None:
    faults = [Fault(kind="line"), Fault(kind="line")]
    with ChatServer(["One"], faults=faults) as server:
        [text], events = run(served(server))
    assert text.finish == "broken"
    assert any("longer than 1048576 bytes" in line for line in notes(events, "server"))


def test_bytes_that_are_no_utf8_are_shown_as_such() -> None:
    with ChatServer(["One"], faults=[Fault(kind="utf8")]) as server:
        [text], _ = run(served(server))
    assert text.text.startswith("\N{REPLACEMENT CHARACTER}")
    assert "One" in text.text


def test_redirects_are_not_followed() -> None:
    with ChatServer(["One"], faults=[Fault(kind="redirect")]) as server:
        _, events = run(served(server))
        assert len(server.asked) == 1
    assert any("is not followed" in line for line in notes(events, "server"))


def test_a_full_context_loses_its_oldest_picture_and_says_so() -> None:
    full = Fault(kind="status", status=400, message="maximum context length is 4096 tokens")
    with ChatServer(["A dog."], faults=[full]) as server:
        prompt = Prompt(text="What?", images=(picture(8, 8), picture(9, 9)))
        [text], events = run(served(server), prompt)
        kinds = [part["type"] for part in server.asked[1]["messages"][0]["content"]]
    assert text.text == "A dog."
    assert kinds == ["text", "image_url", "text"]
    assert any("picture 1 of 2 was left out" in line for line in notes(events, "dropped"))


def test_a_context_that_cannot_be_made_smaller_is_told() -> None:
    full = Fault(kind="status", status=400, message="maximum context length is 4096 tokens")
    with ChatServer(["A dog."], faults=[full]) as server:
        [text], events = run(served(server))
    assert text.finish == "broken"
    assert any("4096 tokens" in line for line in notes(events, "server"))


def test_an_answer_that_reaches_its_longest_says_so() -> None:
    with ChatServer(["One two three."]) as server:
        [text], _ = run(served(server, max_tokens=2))
    assert (text.text, text.finish) == ("One two", "length")


def test_a_thing_that_is_not_found_is_told() -> None:
    def failing(call: Call) -> object:
        return RuntimeError("the expert is gone; call shell")

    with ChatServer(DOG) as server:
        [text], events = run(served(server, dialect="qwen-vl"), answering=failing)
    assert text.text.startswith("I see a dog")
    assert text.text.endswith(" on a mat.")
    assert all("gone" not in e.text for e in events if isinstance(e, Injected))


def test_no_key_is_left_anywhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key = "sk-very-secret-1234"
    monkeypatch.setenv("TEST_CHAT_KEY", key)
    caplog.set_level(logging.DEBUG)
    said = [f"Your key is {key}, is it not? <ref>{key}</ref>", f" {key}"]
    leaks = []
    for options in ({}, {"how": "tools"}):
        calls = (("ground", {"phrases": [key]}),)
        script: Any = [Turn(text=(said[0],), calls=calls), Turn(text=(said[1],))]
        with ChatServer(
            script if options else said, key=key, manners=Manners(split="characters")
        ) as server:
            model = served(server, dialect="qwen-vl", key_env="TEST_CHAT_KEY", **options)
            results, events = run(model)
            assert results[0].finish == "complete"
            leaks += [repr(results), repr(events), repr(vars(model)), repr(server.requests)]
    monkeypatch.setenv("TEST_CHAT_KEY", f"{key}-5")
    with ChatServer(said, key=key) as server:
        results, events = run(served(server, key_env="TEST_CHAT_KEY"))
        assert results[0].finish == "broken"
        leaks += [repr(results), repr(events)]
    assert notes(events, "server")
    assert not [leak for leak in [*leaks, caplog.text] if key in leak]


def test_a_key_is_not_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_CHAT_KEY", "sk-1234")
    model = OpenAiServerLanguageModel(OpenAiServerOptions(key_env="TEST_CHAT_KEY"))
    with pytest.raises(TypeError):
        pickle.dumps(model)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/v1", "http://", "file:///etc/passwd", "http://a b", "http://u:p@a/v1",
        "http://a/v1?key=1", "http://a:0/v1", "http://a\n/v1",
    ],
)  # fmt: skip
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="option url"):
        OpenAiServerOptions(url=url)


def test_a_key_does_not_go_over_a_public_network_in_the_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEST_CHAT_KEY", "sk-1234")
    options = OpenAiServerOptions(url="http://example.org/v1", key_env="TEST_CHAT_KEY")
    with pytest.raises(InputError, match="unencrypted"):
        OpenAiServerLanguageModel(options)


def test_a_session_that_nobody_reads_leaves_no_thread() -> None:
    with ChatServer(["word " * 4000]) as server:
        session = served(server).open([PROMPT])
        while not session.step([]):
            pass
        del session
        for thread in threading.enumerate():
            if thread.name.startswith("chat-"):
                thread.join(5)
                assert not thread.is_alive()


def test_a_stopped_sequence_says_nothing_more() -> None:
    with ChatServer(["word " * 100]) as server:
        session: Any = served(server).open([Prompt(text="a"), Prompt(text="b")])
        events: list[Event] = [e for e in session.step([]) if e.sequence]
        session.stop(0)
        while not any(isinstance(event, Done) for event in events):
            events += session.step([])
        session.close()
    assert {event.sequence for event in events} == {1}
    assert "".join(e.text for e in events if isinstance(e, Text)).strip().startswith("word word")
