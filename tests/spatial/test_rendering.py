"""Pictures: they are whole, the same each time, and show what was asked for."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from groundplane.core import files
from groundplane.core.errors import InputError, OutputError
from groundplane.core.image import FrameMap, Image, Source
from groundplane.core.regions import Regions
from groundplane.spatial import rendering
from groundplane.spatial.labels import overlap
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.rendering import draw_map, draw_photo
from groundplane.testing.scenes import SceneBuilder

APARTMENT = Path(__file__).resolve().parents[2] / "examples" / "apartment.json"
EVIDENCE = (0xD1, 0x24, 0x0F)


def apartment():
    return CognitiveMap.load(APARTMENT)


def photo():
    ramp = np.linspace(40, 200, 90 * 120 * 3).astype(np.uint8).reshape(90, 120, 3)
    source = Source(name="ramp.png", content_hash="0")
    return Image(pixels=ramp, source=source, frame_map=FrameMap.identity())


def regions(size=(120, 90)):
    return Regions(
        ids=("a", "b", "c"),
        boxes=torch.tensor([[10.0, 20, 60, 80], [50, 10, 110, 70], [0, 0, 5, 5]]),
        scores=torch.tensor([0.9, 0.8, 0.25]),
        phrases=("dog", "cat"),
        phrase_ids=torch.tensor([0, 1, -1]),
        image_size=size,
    )


def drawn(path):
    """What a picture shows in words: matplotlib notes each text of an SVG in a comment."""
    return set(re.findall(r"<!-- (.*?) -->", path.read_text()))


def count(path, color):
    """Pixels of about that colour."""
    pixels = np.asarray(PillowImage.open(path).convert("RGB")).astype(int)
    return int((np.abs(pixels - color).max(axis=2) < 12).sum())


def picture_size(path):
    with PillowImage.open(path) as picture:
        return picture.size


class TestMap:
    def test_every_object_is_named_with_scale_and_legend(self, tmp_path):
        draw_map(apartment(), tmp_path / "map.svg")

        words = drawn(tmp_path / "map.svg")
        assert {*apartment().ids, "apartment", "2 m", "x", "y", "room"} <= words
        assert {"front of the object", "29 objects, 41.7 m²"} <= words
        assert not {"evidence", "distance", "viewpoint, looking along"} & words
        ElementTree.parse(tmp_path / "map.svg")

    def test_evidence_line_and_viewpoint_are_shown(self, tmp_path):
        plain, full = tmp_path / "plain.png", tmp_path / "full.png"
        asked = {
            "evidence": ["sofa", "tv"],
            "line": ((1.0, 5.0, 0.0), (4.0, 9.0, 0.0)),
            "viewpoint": ((3.8, 0.0, 0.0), (6.0, 2.0, 0.0)),
            "title": "How far?",
        }
        draw_map(apartment(), plain)
        draw_map(apartment(), full, **asked)
        draw_map(apartment(), tmp_path / "full.svg", **asked)

        assert count(plain, EVIDENCE) < 50
        assert count(full, EVIDENCE) > 2000
        words = drawn(tmp_path / "full.svg")
        assert {"How far?", "5.00 m", "evidence", "distance", "viewpoint, looking along"} <= words

    def test_evidence_stands_where_the_object_is(self, tmp_path):
        """The refrigerator stands at the right and, since y goes up, low in the picture."""
        draw_map(apartment(), tmp_path / "map.png", evidence=["refrigerator"])

        pixels = np.asarray(PillowImage.open(tmp_path / "map.png").convert("RGB")).astype(int)
        red = np.abs(pixels - EVIDENCE).max(axis=2) < 12
        height, width = red.shape
        rows, columns = np.nonzero(red[: int(height * 0.9)])  # the legend lies below
        assert columns.min() > width * 0.7
        assert rows.min() > height * 0.6

    def test_labels_of_the_apartment_do_not_overlap(self, tmp_path, monkeypatch):
        sheets = []
        real = rendering._Sheet.around
        monkeypatch.setattr(
            rendering._Sheet,
            "around",
            lambda *args, **named: sheets.append(real(*args, **named)) or sheets[-1],
        )
        draw_map(apartment(), tmp_path / "map.png")

        taken = np.array(sheets[0].taken)
        shared = overlap(taken, taken)
        np.fill_diagonal(shared, 0)
        assert len(taken) == len(apartment()) + 3  # and the scale, x and y
        assert shared.max() == 0

    @pytest.mark.parametrize("kind", ["svg", "png"])
    def test_the_same_scene_gives_the_same_bytes(self, tmp_path, kind):
        for name in "ab":
            draw_map(apartment(), tmp_path / f"{name}.{kind}", evidence=["tv"])

        first, second = ((tmp_path / f"{name}.{kind}").read_bytes() for name in "ab")
        assert first == second

    def test_odd_scenes_are_drawn(self, tmp_path):
        flat = SceneBuilder("$x_1$ 床", scale="relative")
        flat.add("$\\frac{1}{0}$", at=(1e6, -1e6, 0), size=(1e-6, 1e6, 1), front=[0, 0, 1])
        flat.add("床" * 100, at=(0, 0, 0), yaw=45)
        for number, scene in enumerate((flat.build(), SceneBuilder().build())):
            draw_map(scene, tmp_path / f"{number}.svg")
            ElementTree.parse(tmp_path / f"{number}.svg")

    def test_many_objects_get_labels_up_to_a_limit_that_is_said(self, tmp_path, monkeypatch):
        monkeypatch.setattr(rendering, "LABEL_LIMIT", 10)
        draw_map(apartment(), tmp_path / "map.svg", evidence=["cup"])

        words = drawn(tmp_path / "map.svg")
        assert {"cup", "10 of 29 objects have a label"} <= words
        assert len(words & set(apartment().ids)) == 10

    def test_a_viewpoint_that_looks_nowhere_is_refused(self, tmp_path):
        nowhere = ((1.0, 1.0, 0.0), (1.0, 1.0, 2.0))
        with pytest.raises(InputError, match="two points apart"):
            draw_map(apartment(), tmp_path / "map.svg", viewpoint=nowhere)
        assert list(tmp_path.iterdir()) == []


class TestPhoto:
    def test_labels_and_scores_are_shown(self, tmp_path):
        draw_photo(photo(), regions(), tmp_path / "photo.svg", title="Pets")

        assert {"Pets", "dog 0.90", "cat 0.80", "region 0.25"} <= drawn(tmp_path / "photo.svg")

    def test_evidence_is_thick_and_where_its_box_is(self, tmp_path):
        draw_photo(photo(), regions(), tmp_path / "plain.png")
        draw_photo(photo(), regions(), tmp_path / "photo.png", evidence=["b"])

        assert count(tmp_path / "plain.png", EVIDENCE) == 0
        pixels = np.asarray(PillowImage.open(tmp_path / "photo.png").convert("RGB")).astype(int)
        rows, columns = np.nonzero(np.abs(pixels - EVIDENCE).max(axis=2) < 12)
        scale = pixels.shape[1] / 120
        # Within the line's width; the tag stands above the box, so the top is not tested.
        assert columns.min() / scale == pytest.approx(50, abs=1)
        assert columns.max() / scale == pytest.approx(110, abs=1)
        assert rows.max() / scale == pytest.approx(70, abs=1)

    def test_the_photo_itself_is_shown_upright(self, tmp_path):
        draw_photo(photo(), Regions.empty(phrases=[], image_size=(120, 90)), tmp_path / "p.png")

        pixels = np.asarray(PillowImage.open(tmp_path / "p.png").convert("L")).astype(float)
        assert pixels[5].mean() < 60  # the ramp brightens downwards
        assert pixels[-5].mean() > 180

    def test_the_same_photo_gives_the_same_bytes(self, tmp_path):
        for name in ("a.svg", "b.svg"):
            draw_photo(photo(), regions(), tmp_path / name)

        assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()

    def test_the_title_of_a_narrow_photo_is_not_cut_at_its_sides(self, tmp_path):
        narrow = replace(photo(), pixels=np.full((400, 4, 3), 90, dtype=np.uint8))
        none = Regions.empty(phrases=[], image_size=(4, 400))
        draw_photo(narrow, none, tmp_path / "plain.png")
        draw_photo(narrow, none, tmp_path / "titled.png", title="There is nothing to see.")

        assert picture_size(tmp_path / "plain.png")[0] < 30
        pixels = np.asarray(PillowImage.open(tmp_path / "titled.png").convert("L"))
        assert pixels.shape[1] == 600
        columns = np.flatnonzero((pixels[:70] < 200).any(axis=0))
        assert 20 < columns.min() < columns.max() < 580

    def test_regions_of_another_size_are_refused(self, tmp_path):
        with pytest.raises(InputError, match=r"\(120, 90\) pixels.* got regions of \(90, 120\)"):
            draw_photo(photo(), regions((90, 120)), tmp_path / "photo.png")


DRAWINGS = {
    "map": lambda path, **more: draw_map(apartment(), path, **more),
    "photo": lambda path, **more: draw_photo(photo(), regions(), path, **more),
}


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
class TestBoth:
    @pytest.mark.parametrize("name", ["picture.gif", "picture"])
    def test_another_ending_is_refused_with_what_there_is(self, draw, name, tmp_path):
        with pytest.raises(OutputError, match=r"ending in \.svg or \.png"):
            draw(tmp_path / name)

    def test_unknown_evidence_is_refused_by_name(self, draw, tmp_path):
        with pytest.raises(InputError, match="evidence 'unicorn' is no "):
            draw(tmp_path / "picture.svg", evidence=["unicorn"])

    def test_a_folder_that_is_missing_is_an_output_error(self, draw, tmp_path):
        with pytest.raises(OutputError, match="cannot be written"):
            draw(tmp_path / "no" / "picture.png")

    def test_a_failure_leaves_the_old_picture_and_no_draft(self, draw, tmp_path, monkeypatch):
        target = tmp_path / "picture.png"
        target.write_bytes(b"old")

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(files.os, "fsync", full)
        with pytest.raises(OutputError, match="No space left"):
            draw(target)
        assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]
        assert target.read_bytes() == b"old"

    @pytest.mark.parametrize(
        ("words", "lines", "ending"), [(1, 1, "w0"), (30, 2, "w29"), (500, 3, "...")]
    )
    def test_a_long_title_takes_up_to_three_lines_above_the_drawing(
        self, draw, words, lines, ending, tmp_path
    ):
        title = " ".join(f"w{number}" for number in range(words))
        for name in ("picture.svg", "picture.png"):
            draw(tmp_path / name, title=title)
        draw(tmp_path / "short.png", title="w0")

        texts = re.findall(r"<!-- (.*?) -->", (tmp_path / "picture.svg").read_text())
        found = [text for text in texts if text.startswith("w") and text[1:2].isdigit()]
        assert len(found) == lines
        assert found[-1].endswith(ending)
        assert title.startswith(" ".join(found).removesuffix("..."))
        tall, flat = (picture_size(tmp_path / name) for name in ("picture.png", "short.png"))
        # A line takes 16 points at 144 dots an inch.
        assert (tall[0], tall[1] - flat[1]) == (flat[0], pytest.approx(32 * (lines - 1), abs=1))

    def test_settings_of_matplotlib_are_left_as_they_were(self, draw, tmp_path):
        # The backend is looked up when it is first read, so it is left out.
        before = {**dict.copy(mpl.rcParams), "backend": None}
        draw(tmp_path / "picture.png")

        assert {**dict.copy(mpl.rcParams), "backend": None} == before
        PillowImage.open(io.BytesIO((tmp_path / "picture.png").read_bytes())).verify()


def test_a_map_is_loaded_without_matplotlib_or_networkx():
    code = (
        "import sys; from groundplane.spatial.map import CognitiveMap as M; "
        f"M.load({str(APARTMENT)!r}).grid(); "
        "sys.exit('matplotlib' in sys.modules or 'networkx' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_drawing_never_loads_pyplot(tmp_path):
    code = (
        "import sys; from groundplane.spatial.map import CognitiveMap as M; "
        "from groundplane.spatial.rendering import draw_map; "
        f"draw_map(M.load({str(APARTMENT)!r}), {str(tmp_path / 'a.svg')!r}); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
