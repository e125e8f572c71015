"""The scanner shows text as it comes, holds back what may be a sign, and keeps its limits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outputs import OUTPUTS
from scanned import cut, found, proposals, scan

from groundplane.core.answer import Mention
from groundplane.core.frames import Frame
from groundplane.core.locations import Problem, ProblemKind
from groundplane.grounding.dialects import dialect, dialects
from groundplane.grounding.dialects.grammar import PAYLOAD_LIMIT, TAG_LIMIT
from groundplane.grounding.scanner import Event, Scanner
from groundplane.grounding.scanning.assembling import PROBLEMS_LIMIT
from groundplane.grounding.scanning.gathering import BOXES_LIMIT

_FRAME = Frame.original((640, 480))


def _scanner(name: str) -> Scanner:
    return Scanner(dialect(name), _FRAME)


def _events(name: str, text: str) -> list[Event]:
    scanner = _scanner(name)
    return scanner.feed(text) + scanner.close()


def _kinds(name: str, text: str) -> list[ProblemKind]:
    return [kind for kind, _, _ in scan(name, [text]).problems]


@pytest.mark.parametrize("name", dialects())
def test_every_split_finds_the_same(name: str) -> None:
    for text in OUTPUTS[name]:
        whole = scan(name, [text], regions=proposals())

        assert scan(name, list(text), regions=proposals()) == whole
        for size in (2, 3, 7):
            places = range(size, len(text), size)
            assert scan(name, cut(text, places), regions=proposals()) == whole


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_random_splits_of_random_texts_find_the_same(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(dialects()))
    parts = st.one_of(
        st.sampled_from([text for texts in OUTPUTS.values() for text in texts]),
        st.text(alphabet="<>[](){}\"'`,;:/|_ 0123abc\n\u72d7\U0001f600", max_size=20),
        st.text(max_size=10),
    )
    text = "".join(data.draw(st.lists(parts, max_size=4)))
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=8))

    whole = scan(name, [text], regions=proposals())

    assert scan(name, cut(text, places), regions=proposals()) == whole
    for phrase, span, *_ in whole.mentions:
        assert whole.text[slice(*span)] == phrase


def test_text_without_signs_is_shown_as_it_comes() -> None:
    scanner = _scanner("qwen-vl")

    assert [scanner.feed(piece) for piece in ["A", " man", " walks."]] == [
        ["A"],
        [" man"],
        [" walks."],
    ]
    assert scanner.close() == []


def test_text_of_a_phrase_is_shown_before_the_phrase_ends() -> None:
    scanner = _scanner("kosmos-2")

    assert scanner.feed("<phrase> a snow") == ["a snow"]
    assert scanner.feed("man</phrase>") == ["man"]


def test_half_a_tag_is_held_back_and_shown_when_it_is_none() -> None:
    scanner = _scanner("qwen-vl")

    assert scanner.feed("a <re") == ["a"]
    assert scanner.feed("al") == [" <real"]


def test_mention_comes_with_the_first_text_after_its_last_box() -> None:
    scanner = _scanner("qwen-vl")
    assert scanner.feed("<ref>it</ref><box>(1,1),(9,9)</box>") == ["it"]
    assert scanner.feed("<box>(2,2),(9,9)</box>") == []

    mention, text = scanner.feed(" is")

    assert isinstance(mention, Mention)
    assert mention.located is not None
    assert len(mention.located.boxes) == 2
    assert text == " is"


def test_object_of_a_list_comes_when_it_closes() -> None:
    scanner = _scanner("qwen3-vl")
    scanner.feed('[{"bbox_2d": [1, 2, 30, 40], "label": "a cat"')

    label, mention = scanner.feed("}")

    assert label == "a cat"
    assert isinstance(mention, Mention)


def test_spans_point_into_the_raw_text() -> None:
    text = "See<ref> a dog </ref> <box>(100,100),(500,500)</box>."

    [mention] = [event for event in _events("qwen-vl", text) if isinstance(event, Mention)]

    assert mention.located is not None
    assert mention.located.phrase_source is not None
    assert text[slice(*mention.located.source)] == "<box>(100,100),(500,500)</box>"
    assert text[slice(*mention.located.phrase_source)] == "a dog"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("See <ref>a dog</ref><box>(1,1),(9,9)</box> and", "See a dog and"),
        ("See <ref>a dog</ref> <box>(1,1),(9,9)</box> .", "See a dog."),
        ("<ref> a dog</ref><box>(1,1),(9,9)</box>\n\nNext", "a dog\n\nNext"),
        (
            "<ref>a dog</ref><box>(1,1),(9,9)</box><ref>a cat</ref><box>(1,1),(8,8)</box>",
            "a dog, a cat",
        ),
        ("  indented  ", "  indented  "),
        ("Hello <|im_end|>", "Hello"),
        ("<ref>\u72d7</ref><box>(1,1),(9,9)</box>\u5728\u3002", "\u72d7\u5728\u3002"),
    ],
)
def test_clean_text_has_the_blanks_that_a_reader_expects(text: str, clean: str) -> None:
    assert scan("qwen-vl", [text]).text == clean


# Limits --------------------------------------------------------------------------------------


def test_tag_that_is_too_long_is_text() -> None:
    text = f"<loc_{'0' * TAG_LIMIT}> dog"

    result = scan("florence-2", [text])

    assert result.text == text
    assert [kind for kind, _, _ in result.problems] == [ProblemKind.TOO_LONG]


def test_tag_of_the_greatest_length_is_a_tag() -> None:
    text = f"dog<loc_{'0' * (TAG_LIMIT - len('<loc_>'))}>"

    assert scan("florence-2", [text]).text == "dog"


@pytest.mark.parametrize(
    ("name", "opening"),
    [("qwen-vl", "<box>"), ("shikra", "["), ("molmo", '<point x="'), ("minigpt-v2", "{")],
)
def test_payload_that_is_too_long_is_text(name: str, opening: str) -> None:
    text = opening + "1" * (PAYLOAD_LIMIT + 100) + " end"

    result = scan(name, [text])

    assert result.text == text
    assert ProblemKind.TOO_LONG in [kind for kind, _, _ in result.problems]


def test_object_that_is_too_long_is_text_and_what_follows_is_read() -> None:
    limit = dialect("qwen2.5-vl").syntax.object_limit
    text = '{"a": "' + "x" * limit + '"} [{"bbox_2d": [1, 2, 30, 40], "label": "dog"}]'

    result = scan("qwen2.5-vl", [text])

    assert [mention[0] for mention in result.mentions] == ["dog"]
    assert ProblemKind.TOO_LONG in [kind for kind, _, _ in result.problems]


def test_phrase_that_is_too_long_is_text() -> None:
    text = f"<ref>{'word ' * PAYLOAD_LIMIT}</ref><box>(1,1),(9,9)</box>"

    assert ProblemKind.TOO_LONG in _kinds("qwen-vl", text)


def test_more_boxes_than_the_limit_are_dropped() -> None:
    boxes = "".join(f"<box>({k % 900},{k // 900}),(950,950)</box>" for k in range(BOXES_LIMIT + 5))

    result = scan("qwen-vl", [f"<ref>dots</ref>{boxes}"])

    assert [len(mention[3]) for mention in result.mentions] == [BOXES_LIMIT]
    assert [kind for kind, _, _ in result.problems] == [ProblemKind.TOO_MANY]


def test_phrase_within_a_phrase_is_said_and_the_inner_one_taken() -> None:
    result = scan("qwen-vl", ["<ref>big <ref>dog</ref><box>(1,1),(9,9)</box>"])

    assert [kind for kind, _, _ in result.problems] == [ProblemKind.NESTED]
    assert [mention[0] for mention in result.mentions] == ["dog"]


def test_place_within_a_place_is_said_and_the_inner_one_taken() -> None:
    result = scan("qwen-vl", ["<box>(1,1),<box>(1,1),(9,9)</box>"])

    assert [kind for kind, _, _ in result.problems] == [ProblemKind.NESTED]
    assert len(result.mentions) == 1


def test_problems_beyond_the_limit_are_not_listed() -> None:
    problems = scan("qwen-vl", ["</ref>" * 5000]).problems

    assert len(problems) == PROBLEMS_LIMIT
    assert problems[-1][0] is ProblemKind.TOO_MANY


def test_phrase_that_is_not_closed_before_its_box_is_read() -> None:
    result = scan("qwen-vl", ["<ref>a dog<box>(1,1),(9,9)</box>"])

    assert [kind for kind, _, _ in result.problems] == [ProblemKind.UNTERMINATED]
    assert [mention[0] for mention in result.mentions] == ["a dog"]


def test_closing_tags_that_close_nothing_are_said_and_not_shown() -> None:
    result = scan("qwen-vl", ["a</ref> b</box> c"])

    assert result.text == "a b c"
    assert [kind for kind, _, _ in result.problems] == [ProblemKind.MALFORMED] * 2


def test_work_grows_with_the_length_of_hostile_texts_and_no_faster() -> None:
    # In a process of its own: the checks of types would be most of the work.
    script = Path(__file__).parents[1] / "support" / "scanner_work.py"
    names = ["qwen-vl", "qwen3-vl", "shikra", "molmo", "minigpt-v2", "florence-2", "internvl"]

    made = subprocess.run(
        [sys.executable, str(script), *names], capture_output=True, text=True, check=True
    )

    # Four times the text; a quadratic scanner would do sixteen times the work.
    lines = made.stdout.splitlines()
    assert len(lines) == len(names)
    assert not [line for line in lines if float(line.split()[1]) > 5]


# Hidden states and indices -------------------------------------------------------------------


def test_states_are_counted_per_token_over_the_text() -> None:
    text = "<p>a dog</p> [SEG] and <p>two cats</p> [SEG] [SEG]"

    events = _events("glamm", text)

    states = [e.located.states for e in events if isinstance(e, Mention) and e.located]
    assert states == [(("[SEG]", 0),), (("[SEG]", 1), ("[SEG]", 2))]
    problems = [e.kind for e in events if isinstance(e, Problem)]
    assert problems == [ProblemKind.NEEDS_EXPERT] * 2


def test_indices_pick_regions_and_unknown_ones_are_said() -> None:
    scanner = Scanner(dialect("groma"), _FRAME, proposals(4))

    events = [*scanner.feed("<p>a dog</p><roi><r3><r7></roi>"), *scanner.close()]

    [mention] = [e for e in events if isinstance(e, Mention)]
    assert mention.ids == ("r3",)
    assert mention.located is not None
    assert mention.located.boxes.tolist() == [[3, 3, 53, 43]]
    assert [e.kind for e in events if isinstance(e, Problem)] == [ProblemKind.UNKNOWN_REGION]


def test_indices_without_regions_are_said() -> None:
    result = found(_events("rexseek", OUTPUTS["rexseek"][0]))

    assert [kind for kind, _, _ in result.problems] == [ProblemKind.NEEDS_REGIONS]
    assert [mention[0] for mention in result.mentions] == ["people in red"]


@pytest.mark.parametrize("name", ["minigpt-4", "bubogpt", "janus", "vila", "kimi-vl", "magma"])
def test_model_without_location_language_says_so_and_its_text_is_passed_through(name: str) -> None:
    text = "A man [0.1, 0.2] <b>\n"

    result = scan(name, [text])

    assert (result.text, result.mentions) == (text, ())
    assert [kind for kind, _, _ in result.problems] == [ProblemKind.NO_LOCATION_LANGUAGE]
