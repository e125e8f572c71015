"""`groundplane disagree`: what is told, what is drawn, what is refused."""

import json

import numpy as np
import plain_encoders
import pytest
from PIL import Image as PILImage

from groundplane.apps.heat import draw_heat
from groundplane.core.errors import OutputError, ShapeError
from groundplane.core.frames import Frame
from groundplane.testing.detectors import make_image


@pytest.fixture
def disagree(run, tmp_path, monkeypatch):
    """Run the command on a photo of noise over a flat half."""
    plain_encoders.install(tmp_path / "plugins")
    monkeypatch.syspath_prepend(str(tmp_path / "plugins"))
    pixels = np.full((80, 120, 3), 90, np.uint8)
    pixels[:40] = np.random.default_rng(0).integers(0, 256, (40, 120, 3))
    photo = tmp_path / "photo.png"
    PILImage.fromarray(pixels).save(photo)

    def call(*more, encoders="colours,edges"):
        return run("disagree", photo, "--encoders", encoders, *more)

    return call


def test_the_mean_and_the_worst_cells_are_told(disagree):
    code, out, err = disagree()
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("colours and edges on 6 by 6 cells: ")
    worst = [float(line.split()[0]) for line in lines[1:]]
    assert len(worst) == 5
    assert worst == sorted(worst, reverse=True)


def test_json_has_every_cell_in_pixels_of_the_photo(disagree):
    _, out, _ = disagree("--json", "--option", "first.cells=4", "--option", "second.cells=5")
    record = json.loads(out)
    assert (record["size"], record["grid"]) == ([120, 80], [4, 4])
    assert [cell["box"] for cell in record["cells"]][5] == [30.0, 20.0, 60.0, 40.0]
    values = [cell["value"] for cell in record["cells"]]
    assert record["mean"] == pytest.approx(sum(values) / 16, abs=1e-5)


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_it_is_drawn_the_same_each_time(disagree, tmp_path, kind):
    path = tmp_path / f"heat.{kind}"
    disagree("--out", path)
    before = path.read_bytes()
    disagree("--out", path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("encoders", "more", "said"),
    [
        ("colours", (), "expected two encoders"),
        ("colours,edges,edges", (), "expected two encoders"),
        ("colours,edgs", (), "edges"),
        ("colours,edges", ("--out", "x.jpg"), ".svg or .png"),
        ("colours,edges", ("--option", "first.crop=yes"), "unlike parts"),
        ("colours,edges", ("--option", "edge.cells=3"), "'edges'"),
        ("colours,edges", ("--option", "edges.cells=3", "--option", "second.cells=3"), "twice"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(disagree, encoders, more, said):
    code, _, err = disagree(*more, encoders=encoders)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1


def _corner(shape, row, column):
    """Whether a quarter of a drawing's photo: rows and columns halved."""
    height, width = shape
    rows = slice(0, height // 2) if row == 0 else slice(height // 2, height)
    columns = slice(0, width // 2) if column == 0 else slice(width // 2, width)
    return rows, columns


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_hot_cell_is_drawn_where_it_lies(tmp_path, place):
    values = np.full((2, 2), np.nan)
    values[place] = 0.7
    image = make_image(np.full((100, 100, 3), 128, np.uint8))
    draw_heat(image, values, Frame.original((100, 100)), tmp_path / "a.png")
    drawn = np.asarray(PILImage.open(tmp_path / "a.png").convert("RGB")).astype(int)
    # The photo without its margins and the bar: 720 of the sheet's points, two pixels each.
    photo = drawn[28 : 28 + 1440, 28 : 28 + 1440]
    hot = photo.max(axis=2) - photo.min(axis=2) > 40
    expected = np.zeros_like(hot)
    expected[_corner(hot.shape, *place)] = True
    assert (hot == expected).mean() > 0.99


def test_what_a_crop_leaves_out_stays_grey(tmp_path):
    image = make_image(np.full((50, 100, 3), 128, np.uint8))
    frame = Frame.cropped((100, 50), shortest=32, crop=32)
    draw_heat(image, np.full((4, 4), 0.7), frame, tmp_path / "a.png")
    drawn = np.asarray(PILImage.open(tmp_path / "a.png").convert("RGB")).astype(int)
    row = drawn[28 + 360, 28 : 28 + 1440]
    hot = row.max(axis=1) - row.min(axis=1) > 40
    assert abs(np.flatnonzero(hot)[0] - 360) <= 2
    assert abs(np.flatnonzero(hot)[-1] - 1079) <= 2


@pytest.mark.parametrize("size", [(1, 1), (2000, 10), (10, 2000)])
def test_any_shape_is_drawn(tmp_path, size):
    image = make_image(np.zeros((size[1], size[0], 3), np.uint8))
    title = "\u4e24\u4e2a encoders " * 20
    draw_heat(image, np.ones((3, 3)), Frame.original(size), tmp_path / "a.png", title=title)
    assert (tmp_path / "a.png").stat().st_size > 500


def test_a_grid_without_numbers_is_drawn_grey(tmp_path):
    image = make_image(np.zeros((10, 10, 3), np.uint8))
    draw_heat(image, np.full((2, 2), np.nan), Frame.original((10, 10)), tmp_path / "a.png")


def test_another_photos_frame_and_another_ending_are_refused(tmp_path):
    image = make_image(np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(ShapeError, match=r"expected a frame of 'made'"):
        draw_heat(image, np.ones((2, 2)), Frame.original((9, 10)), tmp_path / "a.png")
    with pytest.raises(OutputError, match=r"\.svg or \.png"):
        draw_heat(image, np.ones((2, 2)), Frame.original((10, 10)), tmp_path / "a.gif")


def test_clip_and_dinov2_themselves_are_compared(run, tmp_path):
    pytest.importorskip("transformers")
    from groundplane.testing.checkpoints_towers import save_clip, save_dinov2

    save_clip(tmp_path / "clip")
    save_dinov2(tmp_path / "dinov2")
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    PILImage.fromarray(pixels).save(tmp_path / "photo.png")
    options = [f"{name}.weights={tmp_path / name}" for name in ("clip", "dinov2")]
    given = [part for option in options for part in ("--option", option)]
    code, out, _ = run("disagree", tmp_path / "photo.png", "--json", "--device", "cpu", *given)
    record = json.loads(out)
    assert code == 0
    assert record["encoders"] == ["clip", "dinov2"]
    assert all(0 <= cell["value"] <= 2 for cell in record["cells"])
