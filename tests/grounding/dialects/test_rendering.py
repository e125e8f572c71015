"""What a dialect writes is read back: each box within the dialect's own step, under its phrase."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.core.frames import Frame
from groundplane.core.regions import Regions
from groundplane.grounding.dialects import dialect, dialects
from groundplane.grounding.dialects.grammar import Dialect
from groundplane.grounding.dialects.rendering import render
from groundplane.grounding.parsing import parse

_PHRASES = ("a dog", "red cup", "two men", "\u4e00\u53ea\u72d7", "chair 7")
_WRITERS = [name for name in dialects() if dialect(name).write is not None]
_OF_BOXES = [
    name for name in _WRITERS if dialect(name).kind == "coordinates" and "molmo" not in name
]
_SIZES = st.tuples(st.integers(60, 3000), st.integers(60, 3000))


def _regions(
    boxes: list[tuple[float, float, float, float]], phrases: list[str], size: tuple[int, int]
) -> Regions:
    """Regions of boxes given as shares of the image's sides."""
    table = tuple(dict.fromkeys(phrases))
    scale = torch.tensor([*size, *size], dtype=torch.float64)
    return Regions(
        ids=tuple(f"r{k}" for k in range(len(boxes))),
        boxes=torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4) * scale,
        scores=torch.ones(len(boxes)),
        phrases=table,
        phrase_ids=torch.tensor([table.index(phrase) for phrase in phrases], dtype=torch.long),
        image_size=size,
    )


_Scene = tuple[list[tuple[float, float, float, float]], list[str], tuple[int, int]]


@st.composite
def _scenes(draw: st.DrawFn) -> _Scene:
    """Regions that no dialect's step makes one of: each begins in a column of its own."""
    columns = draw(st.lists(st.integers(0, 15), min_size=1, max_size=6, unique=True))
    boxes, phrases = [], []
    for column in columns:
        x0, y0 = (column + draw(st.floats(0, 0.9))) / 20, draw(st.floats(0, 0.75))
        width, height = draw(st.floats(0.13, 1 - x0)), draw(st.floats(0.13, 1 - y0))
        boxes.append((x0, y0, x0 + width, y0 + height))
        phrases.append(draw(st.sampled_from(_PHRASES)))
    return boxes, phrases, draw(_SIZES)


def _step(language: Dialect, frame: Frame) -> np.ndarray:
    """How far a coordinate may be from what was meant, pixels of the image: x and y."""
    convention = language.convention
    unit = 10.0**-convention.decimals
    across, down = frame.canvas
    step = np.array([unit, unit])
    if convention.divisor is not None:
        step = step * [across / convention.divisor, down / convention.divisor]
    corners = np.array([[0.0, 0.0], [step[0], step[1]]])
    moved = frame.points_to_image(corners)
    # One step, and a pixel where the model's own code cuts to whole pixels. A middle and a side
    # that are both rounded add up to two.
    doubled = 2 if convention.order == "cxcywh" else 1
    return np.abs(moved[1] - moved[0]) * doubled + convention.truncate + 1e-6


@pytest.mark.parametrize("name", _OF_BOXES)
@given(scene=_scenes())
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read_back(name: str, scene: _Scene) -> None:
    boxes, phrases, size = scene
    regions = _regions(boxes, phrases, size)
    language = dialect(name)
    frame = language.default_frame(size)
    # What is narrower than the digits tell apart is written without an area, and read as such.
    sides = (regions.boxes[:, 2:] - regions.boxes[:, :2]).numpy()
    assume((sides > 2 * _step(language, frame)).all())

    text = render(language, regions, frame)
    found = parse(text, dialect=language, size=size)

    read: dict[str, list[object]] = {phrase: [] for phrase in phrases}
    for mention in found.mentions:
        assert mention.located is not None
        read[mention.phrase] += list(mention.located.boxes)
        assert found.text[slice(*mention.span)] == mention.phrase
    step = _step(language, frame)
    for phrase, found_boxes in read.items():
        rows = [k for k, label in enumerate(phrases) if label == phrase]
        away = np.abs(np.array(found_boxes) - regions.boxes[rows].numpy())
        assert (away <= [*step, *step]).all(), (text, away, step)


@pytest.mark.parametrize("name", _OF_BOXES)
def test_locations_alone_are_written_without_phrases(name: str) -> None:
    regions = _regions([(0.1, 0.2, 0.5, 0.6)], ["a dog"], (640, 480))
    language = dialect(name)

    text = render(language, regions, language.default_frame((640, 480)), phrases=False)

    assert "dog" not in text
    found = parse(text, dialect=language, size=(640, 480))
    dropped = language.convention.phrase_need == "dropped"
    assert [len(m.located.boxes) for m in found.mentions if m.located] == [1] * (not dropped)


@pytest.mark.parametrize("name", ["groma", "rexseek", "spatialrgpt", "gpt-4o"])
def test_indices_are_read_back_as_the_regions_they_were_written_of(name: str) -> None:
    boxes = [(0.1, 0.1, 0.3, 0.3), (0.4, 0.4, 0.6, 0.6), (0.5, 0.1, 0.9, 0.2)]
    regions = _regions(boxes, ["a dog", "red cup", "a dog"], (640, 480))
    language = dialect(name)

    text = render(language, regions, Frame.original((640, 480)))
    found = parse(text, dialect=language, size=(640, 480), regions=regions)

    picked = [i for m in found.mentions for i in m.ids]
    assert sorted(picked) == ["r0", "r1", "r2"]
    rows = [m.located.boxes for m in found.mentions if m.located is not None]
    order = [int(i[1:]) for i in picked]
    np.testing.assert_allclose(np.concatenate(rows), regions.boxes[order].numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", _WRITERS)
def test_no_regions_give_no_text(name: str) -> None:
    none = Regions.empty(phrases=[], image_size=(640, 480))

    assert render(dialect(name), none, Frame.original((640, 480))) == ""


@pytest.mark.parametrize("name", [name for name in dialects() if name not in _WRITERS])
def test_dialect_without_written_locations_refuses_to_write_them(name: str) -> None:
    regions = _regions([(0.1, 0.2, 0.5, 0.6)], ["a dog"], (640, 480))

    with pytest.raises(InputError, match=f"dialect {name}: it has no way to write locations"):
        render(dialect(name), regions, Frame.original((640, 480)))


def test_phrase_with_a_sign_of_the_dialect_is_refused() -> None:
    regions = _regions([(0.1, 0.2, 0.5, 0.6)], ["a </ref> dog"], (640, 480))

    with pytest.raises(InputError, match="'</ref>', which is a sign"):
        render(dialect("qwen-vl"), regions, Frame.original((640, 480)))


def test_regions_of_another_image_are_refused() -> None:
    regions = _regions([(0.1, 0.2, 0.5, 0.6)], ["a dog"], (640, 480))

    with pytest.raises(InputError, match="frame is of one of"):
        render(dialect("qwen-vl"), regions, Frame.original((64, 48)))


def test_boxes_beyond_the_frame_are_written_at_its_edge() -> None:
    regions = _regions([(-0.5, -0.5, 1.5, 1.5)], ["a dog"], (640, 480))
    frame = Frame.original((640, 480))

    assert "(0,0),(999,999)" in render(dialect("qwen-vl"), regions, frame)
    assert "[0, 0, 1000, 1000]" in render(dialect("internvl"), regions, frame)
