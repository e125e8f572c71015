"""The pieces of chat sessions give the same whatever way their input is cut."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.frames import smart_size
from groundplane.grounding.dialects import dialect
from groundplane.language.chat.messages import fit_for
from groundplane.language.chat.referring import Referrer
from groundplane.language.chat.secrets import Secret
from groundplane.language.chat.transport import ChatError, Delta, ToolPart
from groundplane.language.chat.wire import data_of, deltas
from groundplane.testing.language_models import picture

WORDS = st.lists(st.sampled_from(["dog", "dogs", "dog house", "hotdog", " ", ".", "the", "é"]))


def cut(text: str, at: list[int]) -> list[str]:
    places = [0, *sorted(n % (len(text) + 1) for n in at), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(places)]


@given(words=WORDS, at=st.lists(st.integers(0, 99), max_size=6))
def test_references_do_not_turn_on_how_a_text_is_cut(words: list[str], at: list[int]) -> None:
    text = "".join(words)

    def referred(pieces: list[str]) -> tuple[str, list[tuple[str, tuple[str, ...]]]]:
        referrer = Referrer()
        referrer.add("dog", ["d"])
        referrer.add("dog house", ["h"])
        told = [one for piece in pieces for one in referrer.feed(piece)] + referrer.close()
        return "".join(t for t, _ in told), [one for one in told if one[1]]

    whole = referred([text])
    assert whole[0] == text
    assert referred(cut(text, at)) == whole


@given(st.lists(st.integers(0, 999), max_size=8))
def test_events_do_not_turn_on_how_bytes_are_cut(at: list[int]) -> None:
    events = [{"choices": [{"delta": {"content": word}}]} for word in ("né", "漢字", "🙂")]
    body = "".join(f"data: {json.dumps(e, ensure_ascii=False)}\r\n\r\n" for e in events)
    raw = (": ping\n\n" + body + "data: [DONE]\n\n").encode()
    places = [0, *sorted(n % (len(raw) + 1) for n in at), len(raw)]
    chunks = [raw[a:b] for a, b in itertools.pairwise(places)]
    told = list(deltas(data_of(chunks, most=9999, longest=999)))
    assert "".join(d.text for d in told) == "né漢字🙂"


@given(st.text("key", max_size=30), st.lists(st.integers(0, 99), max_size=6))
def test_a_key_is_hidden_wherever_it_is_cut(text: str, at: list[int]) -> None:
    given_ = [Delta(text=p, calls=(ToolPart(index=0, arguments=p),)) for p in cut(text, at)]
    told = list(Secret("key").hidden([*given_, Delta(finish="stop")]))
    assert "key" not in "".join(d.text for d in told).replace("[key]", "|")
    said = "".join(d.text for d in told)
    arguments = "".join(part.arguments for d in told for part in d.calls)
    assert said == arguments == text.replace("key", "[key]")


@pytest.mark.parametrize(
    "data",
    ["[]", "{}", "nul", '{"choices": 3}', '{"choices": [3]}', '{"choices": [{"delta": 3}]}',
     '{"choices": [{"delta": {"content": 3}}]}', '{"error": {"message": "no"}}', "[" * 100_000,
     '{"choices": [{"delta": {"tool_calls": [{"index": "a"}]}}]}'],
)  # fmt: skip
def test_what_is_no_delta_is_a_broken_reply(data: str) -> None:
    with pytest.raises(ChatError) as caught:
        list(deltas([data]))
    assert caught.value.kind == "broken"


def test_half_a_surrogate_pair_is_no_text() -> None:
    [delta] = list(
        deltas(['{"choices": [{"delta": {"content": "\\ud800a"}, "finish_reason": "stop"}]}'])
    )
    assert delta.text.encode() == "\N{REPLACEMENT CHARACTER}a".encode()


@given(st.integers(1, 400), st.integers(1, 400))
def test_pictures_are_sent_at_a_size_that_the_server_leaves(width: int, height: int) -> None:
    if max(width, height) > 200 * min(width, height):
        return
    canvas = fit_for(dialect("qwen2.5-vl"))(picture(width, height)).canvas
    assert smart_size(canvas) == canvas
