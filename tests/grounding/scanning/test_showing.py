"""Blanks around what is taken out: one rule, whatever pieces they come in."""

from __future__ import annotations

import pytest

from groundplane.grounding.scanning.nouns import REACH
from groundplane.grounding.scanning.showing import Shown


def _shown(*steps: str) -> str:
    """`#` is a sign taken out, blanks are held, other text is shown."""
    shown, out = Shown(), []
    for step in steps:
        if step == "#":
            shown.take_out()
        elif not step.strip():
            out.append(shown.wait(step))
        else:
            out.append(shown.show(step, 0)[0])
    out.append(shown.close())
    text = "".join(out)
    assert shown.at == len(text)
    return text


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (["a", " ", "b"], "a b"),
        (["a", " ", "#", " ", "b"], "a b"),
        (["a", " ", "#", "\n\n", "b"], "a\n\nb"),
        (["a", "#", "b"], "ab"),
        (["a", " ", "#", "."], "a."),
        (["a", " ", "."], "a ."),
        (["#", " ", "b"], "b"),
        ([" ", "b"], " b"),
        (["a", " ", "#", " "], "a"),
        (["a", " "], "a "),
        (["a", "   ", "#", " ", "#", "b"], "a b"),
    ],
)
def test_one_stretch_of_blanks_is_kept(steps: list[str], text: str) -> None:
    assert _shown(*steps) == text


def test_more_blanks_than_can_be_held_are_shown() -> None:
    assert _shown("a", " " * 10_000, "b") == "a" + " " * 10_000 + "b"
    assert _shown("a", *" " * 5_000, "b") == "a" + " " * 5_000 + "b"


def test_enough_of_the_last_text_is_remembered() -> None:
    shown = Shown()
    for _ in range(1000):
        shown.pass_over("x", 0)
    for _ in range(REACH):
        shown.pass_over("y", 0)

    assert shown.recent() == "y" * REACH


@pytest.mark.parametrize("piece", [1, 7, 150, 1000])
def test_what_is_remembered_does_not_depend_on_the_pieces(piece: int) -> None:
    text = "".join(f"word{k}-" for k in range(200))
    shown = Shown()
    for k in range(0, len(text), piece):
        shown.show(text[k : k + piece], 0)

    assert shown.recent() == text[-REACH:]


def test_joint_that_keeps_words_apart_is_left_out_before_other_signs() -> None:
    texts = []
    for after in ("b", "."):
        shown = Shown()
        shown.show("a", 0)
        shown.take_out()
        shown.join(", ", gap=True)
        texts.append(shown.show(after, 0)[0])

    assert texts == [", b", "."]
