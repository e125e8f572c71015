"""Photos with marks: where they are drawn, and what cannot be drawn."""

import tracemalloc

import numpy as np
import pytest
import torch

from groundplane.apps.marking import Mark, draw_marks, marks_of
from groundplane.core.errors import InputError, OutputError
from groundplane.core.masks import encode
from groundplane.core.media import read_image
from groundplane.core.regions import Regions

GREY = read_image(np.full((80, 100, 3), 128, dtype=np.uint8), name="grey")


def box(*edges):
    return np.array([edges], dtype=np.float64)


@pytest.fixture
def drawn(tmp_path):
    """What differs from the bare photo, by the photo's pixels: a map of h by w."""

    def draw(*marks, image=GREY):
        pictures = []
        for name, given in (("bare.png", []), ("marked.png", marks)):
            draw_marks(image, given, tmp_path / name)
            pictures.append(read_image(tmp_path / name).pixels.astype(int))
        changed = np.abs(pictures[1] - pictures[0]).sum(axis=2) > 40
        width, height = image.size
        step = changed.shape[0] // height
        blocks = changed[: height * step, : width * step].reshape(height, step, width, step)
        return blocks.any(axis=(1, 3))

    return draw


def test_a_box_is_a_frame_with_its_label(drawn):
    changed = drawn(Mark(label="cup", boxes=box(20, 30, 60, 70)))
    assert changed[50, 20]
    assert changed[69, 40]
    assert not changed[40:60, 30:50].any()
    assert changed[26:30, 21:28].any()


def test_a_mask_is_filled_and_nothing_round_it(drawn):
    filled = np.zeros((80, 100), dtype=bool)
    filled[40:60, 50:80] = True
    changed = drawn(Mark(label="", masks=(encode(filled),)))
    assert changed[41:59, 51:79].all()
    assert not changed[:38].any()
    assert not changed[:, :48].any()


def test_many_masks_take_no_more_memory_than_few(tmp_path):
    grey = read_image(np.full((400, 400, 3), 128, dtype=np.uint8), name="grey")
    mark = Mark(label="", masks=(encode(np.ones((400, 400), dtype=bool)),))
    peaks = []
    draw_marks(grey, [mark], tmp_path / "warm.png")
    for count in (1, 30):
        tracemalloc.start()
        draw_marks(grey, [mark] * count, tmp_path / "many.png")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 5_000_000  # a layer a mask would take 150 MB


def test_an_outline_and_a_point_are_seen(drawn):
    shape = np.array([[10.0, 10], [40, 10], [40, 40]])
    changed = drawn(Mark(label="", polygons=(shape,), points=np.array([[80.0, 60.0]])))
    assert changed[15, 35]
    assert changed[60, 80]
    assert not changed[70:, :].any()


def test_what_lies_outside_or_is_no_number_is_left_out(drawn):
    marks = Mark(
        label="far",
        boxes=np.array([[500.0, 500, 600, 600], [np.nan] * 4, [-np.inf, 0, np.inf, 5]]),
        points=np.array([[np.nan, 1.0]]),
        polygons=(np.full((3, 2), np.inf),),
    )
    assert not drawn(marks).any()


def test_labels_at_the_edges_stand_within_the_photo(drawn):
    corners = [(0, 0, 5, 5), (95, 0, 100, 5), (0, 75, 5, 80), (95, 75, 100, 80)]
    marks = [Mark(label=f"corner {i}", boxes=box(*edges)) for i, edges in enumerate(corners)]
    assert drawn(*marks).shape == (80, 100)


def test_regions_become_marks_weak_ones_first():
    regions = Regions(
        ids=("a", "b"),
        boxes=torch.tensor([[0.0, 0, 5, 5], [1, 1, 9, 9]]),
        scores=torch.tensor([0.9, 0.2]),
        phrases=("cup",),
        phrase_ids=torch.tensor([0, -1]),
        image_size=(100, 80),
    )
    assert [(m.label, round(m.scores[0], 2)) for m in marks_of(regions)] == [
        ("region", 0.2),
        ("cup", 0.9),
    ]
    assert marks_of(Regions.empty(phrases=["cup"], image_size=(100, 80))) == []


@pytest.mark.parametrize("size", [(1, 1), (5, 900), (900, 5)])
def test_photos_of_any_shape(tmp_path, size):
    width, height = size
    image = read_image(np.zeros((height, width, 3), dtype=np.uint8))
    mark = Mark(label="红色 \U0001f415 a rather long label", boxes=box(0, 0, *size))
    draw_marks(image, [mark], tmp_path / "a.png", title="a title " * 30)
    assert max(read_image(tmp_path / "a.png").size) >= 1000


def test_a_mask_of_another_photo_is_refused(tmp_path):
    mark = Mark(label="cup", masks=(encode(np.zeros((5, 5), dtype=bool)),))
    with pytest.raises(InputError, match=r"mask of 'cup': expected \(80, 100\)"):
        draw_marks(GREY, [mark], tmp_path / "a.png")


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"ending in \.svg or \.png"):
        draw_marks(GREY, [], tmp_path / "a.jpg")
