"""One conversion a dialect whose result was worked out by hand from the model's own rule."""

from __future__ import annotations

import numpy as np
import pytest

from groundplane.core.frames import Frame
from groundplane.grounding.parsing import parse

_SIZE = (640, 480)
_BOXES = [
    ("shikra", "[0.25,0.25,0.75,0.75]", [160, 80, 480, 400]),
    ("llava-1.5", "[0.25, 0.25, 0.75, 0.75]", [160, 80, 480, 400]),
    (
        "kosmos-2",
        "<object><patch_index_0044><patch_index_0863></object>",
        [250, 22.5, 630, 397.5],
    ),
    ("qwen-vl", "<box>(451,379),(731,806)</box>", [288.64, 181.92, 467.84, 386.88]),
    ("qwen2-vl", "<|box_start|>(451,379),(731,806)<|box_end|>", [288.64, 181.92, 467.84, 386.88]),
    ("qwen3-vl", '[{"bbox_2d": [100, 200, 300, 400]}]', [64, 96, 192, 192]),
    ("internvl", "<box>[[100, 200, 300, 400]]</box>", [64, 96, 192, 192]),
    (
        "deepseek-vl2",
        "<|ref|>it<|/ref|><|det|>[[580, 270, 999, 900]]<|/det|>",
        [371.57, 129.73, 640, 432.43],
    ),
    ("florence-2", "x<loc_52><loc_332><loc_932><loc_774>", [33, 159, 596, 371]),
    ("paligemma", "<loc0256><loc0128><loc0768><loc0512> cat", [80, 120, 320, 360]),
    ("minigpt-v2", "{<4><50><30><65>}", [25.6, 240, 192, 312]),
    ("cogvlm", "[[086,540,400,760]]", [55.04, 259.2, 256, 364.8]),
    ("ferret", "a car [98, 203, 456, 780]", [62.72, 97.44, 291.84, 374.4]),
    ("gemini", '{"box_2d": [100, 200, 300, 400]}', [128, 48, 256, 144]),
    ("rex-omni", "<|box_start|><0><35><980><987><|box_end|>", [0, 16.82, 627.83, 474.23]),
    ("locateanything", "<box><120><200><450><500></box>", [76.8, 96, 288, 240]),
    ("glm-4.5v", "<|begin_of_box|>[[100,200,300,400]]<|end_of_box|>", [64, 96, 192, 192]),
    ("groma", "[0.5874, 0.4748, 0.3462, 0.5059]", [265.15, 106.49, 486.72, 349.32]),
    (
        "moondream",
        '{"objects": [{"x_min": 0.1, "y_min": 0.2, "x_max": 0.3, "y_max": 0.4}]}',
        [64, 96, 192, 192],
    ),
]


@pytest.mark.parametrize(("name", "text", "expected"), _BOXES, ids=[row[0] for row in _BOXES])
def test_box_of_each_dialect_is_brought_to_pixels(
    name: str, text: str, expected: list[float]
) -> None:
    [mention] = parse(text, dialect=name, size=_SIZE).mentions

    assert mention.located is not None
    # The expected values are written with two decimals.
    np.testing.assert_allclose(mention.located.boxes, [expected], atol=0.0051)


def test_point_of_molmo_is_brought_to_pixels() -> None:
    text = '<point x="61.5" y="40.4" alt="dog">dog</point>'

    [mention] = parse(text, dialect="molmo", size=_SIZE).mentions

    assert mention.located is not None
    np.testing.assert_allclose(mention.located.points, [[393.6, 193.92]])


@pytest.mark.parametrize("seen", [None, (1316, 728)])
def test_qwen25_pixels_are_those_of_the_resized_image(seen: tuple[int, int] | None) -> None:
    text = '```json\n[{"bbox_2d": [100, 200, 300, 400], "label": "dog"}]\n```'

    [mention] = parse(text, dialect="qwen2.5-vl", size=(1920, 1080), seen=seen).mentions

    assert mention.located is not None
    expected = [[145.90, 296.70, 437.69, 593.41]]
    np.testing.assert_allclose(mention.located.boxes, expected, atol=0.0051)


def test_crop_of_the_image_is_a_frame_like_any_other() -> None:
    frame = Frame.cropped(_SIZE, shortest=336, crop=336)

    [mention] = parse(
        "[0.00, 0.00, 1.00, 1.00]", dialect="llava-1.5", size=_SIZE, frame=frame
    ).mentions

    assert mention.located is not None
    np.testing.assert_allclose(mention.located.boxes, [[80, 0, 560, 480]])
