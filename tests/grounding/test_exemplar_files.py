"""Exemplars from a file of JSON lines: what is read, and what is refused by name."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image as PILImage
from plain_encoders import ColourEncoder, PlainOptions
from squares import BOXES, box_of, picture_of_squares

from groundplane.core.errors import InputError, MediaError
from groundplane.grounding.exemplar_files import learn_file
from groundplane.grounding.region_verifier import RegionVerifier

RED, BLUE, GREY = (list(BOXES[name]) for name in ("red", "blue", "grey"))


@pytest.fixture
def verifier():
    return RegionVerifier(ColourEncoder(PlainOptions(cells=12)))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pictures").mkdir()
    PILImage.fromarray(picture_of_squares().pixels).save(tmp_path / "pictures" / "a.png")
    PILImage.fromarray(picture_of_squares(24).pixels).save(tmp_path / "pictures" / "b.png")
    return tmp_path


def line(phrase="cup", image="pictures/a.png", **boxes):
    return json.dumps({"phrase": phrase, "image": image, **(boxes or {"boxes": [RED]})})


def write(folder, *lines, end="\n"):
    path = folder / "exemplars.jsonl"
    path.write_text(end.join(lines), encoding="utf-8")
    return path


def test_lines_of_a_phrase_are_learnt_together(folder, verifier):
    path = write(
        folder, line("Red  cup", boxes=[RED], negative=[GREY]), "",
        line("杯子", boxes=[BLUE]), line("red cup", "pictures/b.png", negative=[BLUE]),
    )  # fmt: skip
    known = learn_file(path, verifier)
    assert list(known) == ["Red cup", "杯子"]
    plain = verifier.learn(
        [(picture_of_squares(), box_of("red"))],
        [(picture_of_squares(), box_of("grey")), (picture_of_squares(24), box_of("blue"))],
    )
    torch.testing.assert_close(known["Red cup"].positive, plain.positive)
    torch.testing.assert_close(known["Red cup"].negative, plain.negative)
    torch.testing.assert_close(known["Red cup"].sizes, plain.sizes)
    assert known["Red cup"].encoder == plain.encoder


def test_endings_of_lines_and_a_mark_at_the_beginning_do_not_matter(folder, verifier):
    path = write(folder, "\ufeff" + line(), line("mug"), "", end="\r\n")
    assert list(learn_file(path, verifier)) == ["cup", "mug"]


def test_a_missing_file_is_named(folder, verifier):
    with pytest.raises(InputError, match=r"gone\.jsonl: cannot be read"):
        learn_file(folder / "gone.jsonl", verifier)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected one line or more"),
        ("{", r"line 1: expected JSON"),
        ("[" * 100_000, r"line 1: expected JSON"),
        ("[]", r"line 1: expected an object with phrase"),
        (line() + "\n" + line(box=[RED]), r"line 2: unknown 'box'"),
        (line(" "), "phrase: expected a text"),
        (json.dumps({"image": "a.png", "boxes": [RED]}), "phrase: expected a text, got None"),
        (line(image=3), "image: expected a text"),
        (line(image="a\0.png"), "image: expected a text"),
        (line(boxes=[]), "expected a box, in boxes or in negative"),
        (line(boxes=3), "boxes: expected a list of boxes"),
        (line(boxes=RED), r"expected boxes \[x0, y0, x1, y1\]"),
        (line(boxes=[[8, 8, 40]]), r"expected boxes \[x0"),
        (line(boxes=[[40, 8, 8, 40]]), "x0 < x1"),
        (line(negative=[[8, 8, True, 40]]), r"negative: expected boxes"),
        (line(boxes=[[8, 8, float("nan"), 40]]), r"expected boxes"),
        (line(boxes=[[8, 8, float("inf"), 40]]), r"expected boxes"),
        (line(boxes=[[8, 8, 10**400, 40]]), r"expected boxes"),
        (line(negative=[RED]), "'cup': exemplars: expected one box"),
        (line(boxes=[[500, 500, 600, 600]]), "line 1: 'cup': exemplars: the encoder sees less"),
    ],
)
def test_what_is_malformed_is_refused_with_its_line(folder, verifier, text, said):
    with pytest.raises(InputError, match=said):
        learn_file(write(folder, text), verifier)


def test_bytes_that_are_no_text_are_refused(folder, verifier):
    (folder / "x.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="expected UTF-8"):
        learn_file(folder / "x.jsonl", verifier)


def test_a_file_that_is_too_long_is_refused(folder, verifier):
    (folder / "x.jsonl").write_bytes(b" " * (2**24 + 1))
    with pytest.raises(InputError, match="at most"):
        learn_file(folder / "x.jsonl", verifier)


@pytest.mark.parametrize("image", ["pictures/gone.png", "exemplars.jsonl", "pictures"])
def test_a_picture_that_cannot_be_read_is_named_with_its_line(folder, verifier, image):
    with pytest.raises(MediaError, match=r"exemplars\.jsonl, line 1: "):
        learn_file(write(folder, line(image=image)), verifier)
