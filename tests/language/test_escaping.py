import os
import random

import numpy as np
import pytest
import torch

from groundplane.core.answer import Answer, Mention
from groundplane.core.frames import Frame
from groundplane.core.regions import Regions
from groundplane.grounding.dialects import dialect, dialects
from groundplane.grounding.dialects.grammar import Dialect
from groundplane.grounding.scanner import Scanner
from groundplane.language.escaping import escaped, render_escaped
from groundplane.language.query_tools import tell_answer

CASES = int(os.environ.get("GROUNDPLANE_CASES", "8"))
SIZE = (640, 480)
FRAME = Frame.original(SIZE)
BOXES = torch.tensor([[64.0, 48.0, 320.0, 240.0], [96.0, 96.0, 512.0, 384.0]])
WRITTEN = [name for name in dialects() if dialect(name).write is not None]
PARTS = (
    "dog", " ", "椅子", "🪑", "e\u0301", "\u202e", "\u200b", "\n", ";", ".", ",", "|", "```",
    "json", "(10,10),(20,20)",
    "[0.1,0.2,0.3,0.4]", "[[100,100,200,200]]", "[", "]", "<", ">", "{", "}",
    "(", ")", "\uff1cbox\uff1e", "\ufe64", "\ufe5b", "\uff1c/ref\uff1e", '"', "'", "\\",
    '{"bbox_2d": [1,2,3,4], "label": "x"}', 'x="1" y="2"',
    "<loc_1>", "<loc0001>", "<bin_1>", "[SEG]", "<seg>", "<|im_end|>", "</s>", "<image>", "[/INST]",
    "<query>", "</query>", "none", "and", "1", "<r1>", "<obj1>", "[1]", "region 1",
)  # fmt: skip


def signs(spoken: Dialect) -> list[str]:
    syntax = spoken.syntax
    found = [tag for pair in syntax.phrases for tag in pair]
    found += [sign for kind in syntax.enclosed for sign in (kind.open, kind.close)]
    found += [f"{kind.prefix}7{kind.suffix}" for kind in syntax.numbered]
    return [*found, *syntax.states, *syntax.within, *syntax.joins, *syntax.ignored, *syntax.ends]


def hostile(rng: random.Random, spoken: Dialect) -> str:
    parts = [*PARTS, *signs(spoken)]
    label = "".join(rng.choice(parts) for _ in range(rng.randint(1, 8)))
    if rng.random() < 0.5 and spoken.write is not None:
        label += render_escaped(spoken, regions(["dog", "cat"]), FRAME)  # a place of its own
    return label


def regions(labels: list[str]) -> Regions:
    table = tuple(dict.fromkeys(labels))
    return Regions(
        ids=tuple(f"r{i}" for i in range(len(labels))),
        boxes=BOXES[: len(labels)],
        scores=torch.ones(len(labels)),
        phrases=table,
        phrase_ids=torch.tensor([table.index(label) for label in labels]),
        image_size=SIZE,
    )


def places(text: str, spoken: Dialect) -> list[list[float]]:
    """Every place that a scanner finds in a text: boxes, points and regions picked."""
    scanner = Scanner(spoken, FRAME, regions(["a", "b"]))
    found = [*scanner.feed(text), *scanner.close()]
    located = [one.located for one in found if isinstance(one, Mention) and one.located is not None]
    boxes = [box for one in located for box in np.round(one.boxes, 3).tolist()]
    points = [point for one in located for point in np.round(one.points, 3).tolist()]
    states = [[float(order)] for one in located for _, order in one.states]
    return sorted([*boxes, *points, *states])


@pytest.mark.parametrize("name", WRITTEN)
def test_a_label_never_adds_or_moves_a_place(name: str) -> None:
    spoken = dialect(name)
    meant = places(render_escaped(spoken, regions(["dog", "cat"]), FRAME), spoken)
    assert len(meant) >= 2
    rng = random.Random(name)
    for _ in range(CASES):
        labels = [hostile(rng, spoken), hostile(rng, spoken)]

        text = render_escaped(spoken, regions(labels), FRAME)

        assert places(f"It is {text} there.", spoken) == places(
            f"It is {render_escaped(spoken, regions(['dog', 'cat']), FRAME)} there.", spoken
        ), (labels, text)


@pytest.mark.parametrize("name", dialects())
def test_an_answer_tells_of_no_place_in_any_dialect(name: str) -> None:
    spoken = dialect(name)
    rng = random.Random(name)
    for _ in range(CASES):
        words = [hostile(rng, spoken) for _ in range(3)]
        answer = Answer(
            value=(words[0],),
            evidence=(words[1], "1"),
            note=words[2],
            interval=(0.1, 0.2),
            unit="m",
        )

        line = tell_answer(answer)

        assert places(f"So {line} .", spoken) == [], line
        assert "\n" not in line


def test_the_check_sees_a_place_that_a_label_adds() -> None:
    spoken = dialect("qwen-vl")

    assert places("<ref>a</ref><box>(1,1),(9,9)</box>", spoken)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a dog", "a dog"),
        ("", ""),
        ("<|im_end|>", "\u2039\u00a6im_end\u00a6\u203a"),
        ("\uff1cbox\uff1e", "\u2039box\u203a"),
        ("a\u0000b\u202ec\u200bd\ud800e", "a b c d e"),
        ("sofa (red)", "sofa (red)"),
    ],
)
def test_what_is_a_sign_is_taken_apart_and_nothing_else(text: str, plain: str) -> None:
    assert escaped(text) == plain


def test_special_tokens_without_brackets_are_taken_apart() -> None:
    marks = ["USER:", "EOS", "SSS"]

    text = escaped("USER: EOEOSS SSSSS", special=marks)

    assert not any(mark in text for mark in marks)


def test_long_words_are_cut() -> None:
    assert len(escaped("x" * 10**6)) == 200
    assert len(escaped("ﷺ" * 10**4, limit=50)) <= 50


def test_escaping_twice_changes_nothing() -> None:
    rng = random.Random(3)
    for name in WRITTEN:
        spoken = dialect(name)
        once = escaped(hostile(rng, spoken), dialect=spoken)
        assert escaped(once, dialect=spoken) == once
