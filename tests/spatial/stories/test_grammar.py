"""What sentences of stories say."""

from __future__ import annotations

import json
import re

import pytest
from stories import OFFSETS, wordings

from groundplane.spatial.stories.grammar import read_tokens
from groundplane.spatial.stories.words import UnreadError, plain, tokens_of


def read(text):
    """Each reading as `A (1, 0) B` or `A inside B`."""
    told = []
    for sentence in re.split(r"(?<=\.) ", text):
        for reading in read_tokens(tokens_of(plain(sentence))):
            x, y, z = reading.offset
            where = (x, y, z) if z else (x, y)
            how = "inside" if reading.kind == "inside" else where
            told.append(f"{reading.subject} {how} {reading.anchor}")
    return told


def opposite(told):
    subject, x, y, anchor = re.fullmatch(r"(.+) \((-?\d), (-?\d)\) (.+)", told).groups()
    return f"{anchor} ({-int(x)}, {-int(y)}) {subject}"


@pytest.mark.parametrize("offset", OFFSETS)
def test_every_wording_of_every_direction_is_read(offset):
    expected = f"X {offset} Y"
    for way in wordings(offset):
        for a, b in (("X", "Y"), ("A", "I"), ("the red box", "the tv")):
            told = read(way.format(a=a, b=b))
            expected = f"{a.removeprefix('the ')} {offset} {b.removeprefix('the ')}"
            assert told in ([expected], [opposite(expected)]), (way, told)


def test_every_sentence_of_stepgame_is_read(data_dir):
    lines = (data_dir / "stepgame" / "stepgame.jsonl").read_text(encoding="utf-8").splitlines()
    sentences = {sentence for line in lines for sentence in json.loads(line)["story"]}

    for sentence in sentences:
        assert len(read(sentence)) == 1, sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("W is placed at the bottom of P", ["W (0, -1) P"]),
        ("C is positioned in the front right corner of S", ["C (1, 1) S"]),
        ("A is left of B and below C", ["A (-1, 0) B", "A (0, -1) C"]),
        ("A is left of B, and C is above B", ["A (-1, 0) B", "C (0, 1) B"]),
        ("A is in front of B", ["A (0, 0, 1) B"]),
        ("A is behind B and to the left of it", ["A (-1, 0, -1) B"]),
        ("The cup is on the table", ["cup (0, 1) table"]),
        ("The key is in the box", ["key inside box"]),
        ("The box contains the key", ["key inside box"]),
        ("The key is inside the box and the box is left of the cup",
         ["key inside box", "box (-1, 0) cup"]),
        ("A is at the same place as B", ["A (0, 0) B"]),
        ("A overlaps B", ["A (0, 0) B"]),
        ("B is here, A is above it", ["A (0, 1) B"]),
        ("A and B are there", []),
    ],
)  # fmt: skip
def test_plain_english_is_read_as_it_says(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no words"),
        ("A is above", "from what the place is seen"),
        ("A is on the left", "from what the place is seen"),
        ("A is of B", "on which side"),
        ("A is next to B", "not on which side"),
        ("A and B are side by side", "not on which side"),
        ("A is above B horizontally", "horizontal does not go"),
        ("A is left of B vertically", "vertical does not go"),
        ("A is diagonally above B", "diagonal does not go"),
        ("A is below B at 2 o'clock", "exclude each other"),
        ("A is to the left and right of B", "exclude each other"),
        ("A is on the left and B is on the left", "exclude each other"),
        ("A and B are parallel, and C is above B", "none of those"),
        ("A and B are left of C", "expected a"),
        ("A is above it", "'it' stands for"),
        ("A perhaps is above B", "'perhaps'"),
        ("It rains", "expected a name"),
        ("A above B", "expected a verb"),
        ("A is above B C", "does not say where 'C' is"),
        ("the box of chocolates is above B", "expected"),
        ("If B is red, A is above B", "expected the center"),
        ("A, B and C are side by side with A on the left", "from what the place is seen"),
    ],
)
def test_what_has_no_sure_reading_is_refused(text, why):
    with pytest.raises(UnreadError, match=re.escape(why)):
        read(text)
