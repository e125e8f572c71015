"""`groundplane parse`: a model's text in, places in pixels out; faults of the text are data."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from groundplane.core.media import read_image

DOG = "<ref>a dog</ref><box>(100,100),(500,500)</box> sleeps"


@pytest.fixture
def parse(run, monkeypatch):
    """Parse a text from stdin; further arguments are flags."""

    def call(text, *more, dialect="qwen-vl", size="640x480"):
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        sized = () if size is None else ("--size", size)
        return run("parse", "--dialect", dialect, *sized, *more)

    return call


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    PILImage.new("RGB", (640, 480), (90, 120, 150)).save(path)
    return path


class TestJson:
    def test_boxes_are_pixels_of_the_picture(self, parse):
        code, out, err = parse(DOG, "--json")
        record = json.loads(out)
        assert (code, err) == (0, "")
        assert (record["text"], record["dialect"]) == ("a dog sleeps", "qwen-vl")
        assert record["size"] == [640, 480]
        (mention,) = record["mentions"]
        assert (mention["phrase"], mention["span"]) == ("a dog", [0, 5])
        assert mention["boxes"] == [[64.0, 48.0, 320.0, 240.0]]
        assert (mention["points"], mention["polygons"], mention["masks"]) == ([], [], [])
        assert record["problems"] == []

    def test_problems_are_data(self, parse):
        code, out, err = parse("<ref>x</ref><box>(700,300),(600,999)</box><box>(1", "--json")
        problems = json.loads(out)["problems"]
        assert (code, err) == (0, "")
        assert [set(p) for p in problems] == [{"kind", "message", "span"}] * len(problems)
        assert "inverted" in [p["kind"] for p in problems]
        assert all(0 <= start <= end for start, end in (p["span"] for p in problems))

    def test_classes_drop_all_other_phrases(self, parse):
        record = json.loads(parse(DOG, "--json", "--classes", "cat, horse")[1])
        assert record["mentions"] == []
        assert record["problems"][0]["kind"] == "unlisted_class"
        assert len(json.loads(parse(DOG, "--json", "--classes", "a dog")[1])["mentions"]) == 1

    @pytest.mark.parametrize(
        "text", ["", "\n", "no place", "<box>", "\ufeff", "红色 🐕 e\u0301", "\0"]
    )
    def test_any_text_is_read(self, parse, text):
        code, out, _ = parse(text, "--json")
        assert code == 0
        assert json.loads(out)["mentions"] == []

    def test_the_size_that_the_model_saw(self, parse):
        text = '[{"bbox_2d": [100, 200, 300, 400], "label": "cup"}]'
        arguments = {"dialect": "qwen2.5-vl", "size": "1920x1080"}
        seen = json.loads(parse(text, "--json", "--seen", "1316x728", **arguments)[1])
        assert seen["mentions"][0]["boxes"][0] == pytest.approx(
            [145.90, 296.70, 437.69, 593.41], abs=0.01
        )


class TestText:
    def test_a_line_a_place_and_problems_on_stderr(self, parse):
        code, out, err = parse(DOG + " <box>(1")
        assert code == 0
        assert out.splitlines()[:2] == [
            "a dog sleeps",
            "  a dog (0-5): box 64.0, 48.0, 320.0, 240.0",
        ]
        assert err.startswith("groundplane: truncated at ")

    def test_a_file_is_read_like_stdin(self, run, parse, tmp_path):
        path = tmp_path / "said.txt"
        path.write_text(DOG + "\n", encoding="utf-8-sig")
        assert run("parse", "--dialect", "qwen-vl", "--size", "640x480", path) == parse(DOG)


class TestDrawing:
    def test_the_photo_says_the_size_and_is_drawn_on(self, parse, photo, tmp_path):
        out = tmp_path / "marked.png"
        code, told, _ = parse(DOG, "--on", photo, "--out", out, "--json", size=None)
        assert (code, json.loads(told)["size"]) == (0, [640, 480])
        drawn = read_image(out).pixels.astype(int)
        plain = tmp_path / "plain.png"
        parse("nothing", "--on", photo, "--out", plain, size=None)
        bare = read_image(plain).pixels.astype(int)
        assert drawn.shape == bare.shape
        rows, columns = np.nonzero(np.abs(drawn - bare).sum(axis=2) > 60)
        scale = drawn.shape[1] / 640
        # The box and the label above it, and nothing else.
        assert columns.min() / scale == pytest.approx(64, abs=2)
        assert columns.max() / scale == pytest.approx(320, abs=2)
        assert rows.max() / scale == pytest.approx(240, abs=2)

    @pytest.mark.parametrize("name", ["marked.svg", "marked.png"])
    def test_the_same_text_gives_the_same_picture(self, parse, photo, tmp_path, name):
        pictures = []
        for _ in range(2):
            parse(DOG, "--on", photo, "--out", tmp_path / name, size=None)
            pictures.append((tmp_path / name).read_bytes())
        assert pictures[0] == pictures[1]

    def test_a_place_beyond_the_photo_is_drawn_within_it(self, parse, photo, tmp_path):
        text = "<ref>far</ref><box>(900,900),(5000,5000)</box>"
        assert parse(text, "--on", photo, "--out", tmp_path / "a.png", size=None)[0] == 0


class TestFaultsOfTheCall:
    @pytest.mark.parametrize(
        "size", ["640", "640x", "0x480", "640x-1", "9999999x1", "axb", "1e3x5", ""]
    )
    def test_a_bad_size(self, parse, size):
        code, out, err = parse(DOG, size=size)
        assert (code, out) == (2, "")
        assert "expected WxH in pixels, such as 640x480" in err

    def test_no_size(self, parse):
        code, _, err = parse(DOG, size=None)
        assert code == 2
        assert "--size WxH" in err

    def test_an_unknown_dialect_shows_its_like(self, parse):
        code, _, err = parse(DOG, dialect="qwen-v")
        assert code == 2
        assert "Did you mean" in err
        assert "'qwen-vl'" in err

    @pytest.mark.parametrize("name", ["none.txt", ".", "a\0b"])
    def test_a_file_that_cannot_be_read(self, run, tmp_path, name):
        code, _, err = run("parse", "--dialect", "qwen-vl", "--size", "6x4", f"{tmp_path}/{name}")
        assert code == 2
        assert "cannot be read" in err
        assert len(err.splitlines()) == 1

    def test_bytes_that_are_no_text(self, parse):
        code, _, err = parse(b"dog \xff")
        assert code == 2
        assert "not UTF-8 at byte 4" in err

    def test_half_of_the_drawing_is_missing(self, parse, photo, tmp_path):
        for more in (("--on", photo), ("--out", tmp_path / "a.png")):
            code, _, err = parse(DOG, *more)
            assert code == 2
            assert "belong together" in err

    def test_a_size_that_is_not_the_photos(self, parse, photo, tmp_path):
        code, _, err = parse(DOG, "--on", photo, "--out", tmp_path / "a.png", size="64x48")
        assert code == 2
        assert "has 640 x 480 pixels" in err

    @pytest.mark.parametrize("out", ["a.jpg", "no/such/a.png"])
    def test_a_picture_that_cannot_be_written_is_said_first(self, parse, photo, tmp_path, out):
        code, told, err = parse(DOG, "--on", photo, "--out", tmp_path / out, size=None)
        assert (code, told) == (2, "")
        assert "--out" in err

    def test_no_classes(self, parse):
        assert parse(DOG, "--classes", " , ")[0] == 2


def test_half_a_surrogate_pair_is_still_json(tmp_path):
    text = '[{"bbox_2d": [1, 2, 3, 4], "label": "\\ud83d"}]'
    (tmp_path / "t.txt").write_text(text)
    command = [sys.executable, "-m", "groundplane", "parse", "--dialect", "qwen2.5-vl"]
    done = subprocess.run(
        [*command, "--size", "640x480", "--json", str(tmp_path / "t.txt")],
        capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["dialect"] == "qwen2.5-vl"


def test_the_page_shows_what_is_printed(parse):
    page = (Path(__file__).parents[2] / "docs" / "finding.md").read_text()
    text, flags = re.search(r"^echo '(.*)' \| groundplane (parse .*)$", page, re.M).groups()
    shown = re.search(r"```text\n(.*?)```", page, re.S)[1]
    assert flags == "parse --dialect qwen-vl --size 640x480"
    assert parse(text + "\n")[1] == shown
