"""Answers of MMVP: read by letter or text, and never guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.evaluation.mmvp_answers import read_choice, read_options

OPEN = {"a": "Open", "b": "Closed"}
YES = {"a": "Yes", "b": "No"}
READ = [
    (OPEN, "(a)", "a"),
    (OPEN, "(A)", "a"),
    (OPEN, "( b )", "b"),
    (OPEN, "a", "a"),
    (OPEN, "B", "b"),
    (OPEN, "b.", "b"),
    (OPEN, "**B**", "b"),
    (OPEN, "A) open", "a"),
    (OPEN, "b: closed", "b"),
    (OPEN, "(a) Open", "a"),
    (OPEN, "Open.", "a"),
    (OPEN, "  open\n", "a"),
    (OPEN, "\uff28\uff1a closed", "b"),  # other letters in full width
    (OPEN, "The wings are closer to being closed.", "b"),
    (OPEN, "The correct answer is (b).", "b"),
    (OPEN, "Answer: B", "b"),
    (OPEN, "Option a.", "a"),
    (OPEN, "My answer: I choose (b)", "b"),
    (OPEN, "The answer is b because the wings touch.", "b"),
    (OPEN, "First I thought the answer is (a), but the answer is (b).", "b"),
    (OPEN, "(b) Closed, rather than open.", "b"),
    (OPEN, "They are not open but closed.", "b"),
    (OPEN, "They aren't fully open, they are closed.", "b"),
    (OPEN, "<think>it may be (a)</think>(b)", "b"),
    (OPEN, "It is not (a), it is (b).", "b"),
    (OPEN, "(a) Open, not (b) Closed", "a"),
    (OPEN, "The answer is (a). Option (b) is wrong.", "a"),
    (OPEN, "Option b is wrong, so (a)", "a"),
    ({"a": "It is raining", "b": "It is not raining"}, "(b) It is not raining", "b"),
    (YES, "No, there isn't one.", "b"),
    (YES, "Yes, it is not small.", "a"),
    (YES, "No", "b"),
    ({"a": "Red", "b": "Dark red"}, "It is dark red.", "b"),
    ({"a": "To the left", "b": "To the right"}, "The dog looks to  the left", "a"),
    ({"a": "打开", "b": "关闭"}, "翅膀是打开的。", "a"),
    ({"a": "1", "b": "2", "c": "3"}, "There are 2 birds", "b"),
    ({"a": "A cat", "b": "A dog"}, "A dog", "b"),
    ({"a": "It's raining", "b": "It's dry"}, "It\u2019s dry", "b"),
]
UNREADABLE = [
    (OPEN, ""),
    (OPEN, "   "),
    (OPEN, "I cannot tell."),
    (OPEN, "(a) or (b)"),
    (OPEN, "open or closed"),
    (OPEN, "(a) Closed"),
    (OPEN, "a) closed"),
    (OPEN, "(c)"),
    (OPEN, "not open"),
    (OPEN, "The answer is not (a)."),
    (OPEN, "It isn't option (b)"),
    (OPEN, "Option B is incorrect."),
    (OPEN, "(a) is wrong"),
    (OPEN, "b) is not right"),
    (OPEN, "(a) Open is the wrong choice."),
    (OPEN, "reopened"),
    (OPEN, "A butterfly on a flower"),
    (OPEN, "\x00\ud800"),
    ({"a": "1", "b": "2"}, "There are 12 birds"),
    ({"a": "1", "b": "2"}, "About 2.5"),
    ({"a": "1", "b": "2"}, "0.2"),
    ({"a": "1", "b": "2"}, "2-3 of them"),
    ({"a": "One", "b": "Two"}, "There are 2."),
]


@pytest.mark.parametrize(("options", "said", "letter"), READ)
def test_an_answer_that_chooses_is_read(options, said, letter):
    assert read_choice(said, options) == letter


@pytest.mark.parametrize(("options", "said"), UNREADABLE)
def test_an_answer_that_chooses_none_or_several_is_not_guessed(options, said):
    assert read_choice(said, options) is None


@given(st.text(), st.sampled_from([OPEN, YES, {"a": "(", "b": "[.*"}]))
def test_whatever_is_said_gives_a_letter_or_none(said, options):
    assert read_choice(said, options) in {None, *options}


@given(st.sampled_from(sorted(OPEN)), st.sampled_from(["{}", "({})", "{}.", "{})", "Answer: ({})"]))
def test_letters_do_not_depend_on_case(letter, form):
    said = form.format(letter)
    assert read_choice(said, OPEN) == read_choice(said.upper(), OPEN) == letter


@pytest.mark.parametrize(
    "piece", ["open ", "not ", "(", "answer is ", "a ", "(a", "\n" * 9, "n't "]
)
def test_an_endless_answer_comes_to_an_end(piece):
    assert read_choice(piece * 200_000, OPEN) in {None, "a"}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("(a) Open (b) Closed", OPEN),
        ("(A) Open(B) Closed", OPEN),
        ("(a) Open, (b) Closed ;", OPEN),
        ("( a ) Open\n( b ) Closed", OPEN),
        ("(a) 0 (b) 1 (c) 2", {"a": "0", "b": "1", "c": "2"}),
        ("(a) Pack (of 3) (b) Bag", {"a": "Pack (of 3)", "b": "Bag"}),
    ],
)
def test_options_are_read_by_their_letters(text, options):
    assert read_options(text) == options


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Open, Closed",
        "(a) Open",
        "(a) Open (a) Closed",
        "(a) (b) Closed",
        "(a) X (b) x",
        "x (a) 1 (b) 2",
    ],
)
def test_options_that_cannot_be_told_apart_are_refused(text):
    with pytest.raises(InputError, match="options: expected"):
        read_options(text)
