"""Points, indices, 3-D boxes, masks and providers' frames: what is particular to these dialects."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from groundplane.core.answer import GroundedText, Mention
from groundplane.core.frames import Frame
from groundplane.core.locations import Located, ProblemKind
from groundplane.core.regions import Regions
from groundplane.grounding.parsing import parse

_SIZE = (640, 480)


def _regions(count: int) -> Regions:
    boxes = torch.tensor([[10.0 * k, 0.0, 10.0 * k + 5, 8.0] for k in range(count)])
    return Regions(
        ids=tuple(f"r{k}" for k in range(count)),
        boxes=boxes,
        scores=torch.ones(count),
        phrases=(),
        phrase_ids=torch.full((count,), -1),
        image_size=_SIZE,
    )


def _located(mention: Mention) -> Located:
    assert mention.located is not None
    return mention.located


def _kinds(found: GroundedText) -> list[ProblemKind]:
    return [problem.kind for problem in found.problems]


def test_molmo_points_are_percent() -> None:
    text = 'There is <point x="61.5" y="40.4" alt="dog">a dog</point>.'
    found = parse(text, dialect="molmo", size=_SIZE)
    (mention,) = found.mentions
    assert found.text == "There is a dog."
    assert (mention.phrase, found.text[slice(*mention.span)]) == ("a dog", "a dog")
    assert _located(mention).points.round(6).tolist() == [[393.6, 193.92]]


def test_molmo_points_pair_in_order_where_numbers_repeat() -> None:
    text = '<points x1="10.0" y1="20.0" x2="30.0" y1="40.0" alt="hands">hands</points>'
    found = parse(text, dialect="molmo", size=(100, 100))
    assert _located(found.mentions[0]).points.tolist() == [[10.0, 20.0], [30.0, 40.0]]


def test_molmo_points_that_follow_each_other_keep_each_its_own_phrase() -> None:
    text = (
        '<point x="10" y="20" alt="a">cup</point> <points x1="5" y1="5" x2="6" y2="6">pens</points>'
    )
    found = parse(text, dialect="molmo", size=(100, 100))
    assert [mention.phrase for mention in found.mentions] == ["cup", "pens"]
    assert [_located(m).points.tolist() for m in found.mentions] == [[[10, 20]], [[5, 5], [6, 6]]]


def test_a_molmo_point_without_y_is_dropped_alone() -> None:
    text = '<points x1="10" y1="20" x2="30" alt="hands">hands</points>'
    found = parse(text, dialect="molmo", size=(100, 100))
    assert _located(found.mentions[0]).points.tolist() == [[10.0, 20.0]]
    assert _kinds(found) == [ProblemKind.MALFORMED]


def test_molmo2_reads_triplets_of_the_first_image() -> None:
    text = '<points coords="1 1 100 200 2 300 400;2 3 500 600">boats</points>'
    found = parse(text, dialect="molmo2", size=(1000, 500))
    assert _located(found.mentions[0]).points.tolist() == [[100.0, 100.0], [300.0, 200.0]]
    assert _kinds(found) == [ProblemKind.OUT_OF_IMAGE]


def test_moondream_gives_shares() -> None:
    found = parse({"points": [{"x": 0.5, "y": 0.25}]}, dialect="moondream", size=_SIZE)
    assert _located(found.mentions[0]).points.tolist() == [[320.0, 120.0]]
    half = {"objects": [{"x_min": 0.1, "y_min": 0.2}]}
    broken = parse(half, dialect="moondream", size=_SIZE)
    assert broken.mentions == ()
    assert _kinds(broken) == [ProblemKind.MALFORMED]


def test_gemini_points_are_y_first() -> None:
    found = parse('[{"point": [250, 500], "label": "cup"}]', dialect="gemini", size=_SIZE)
    assert _located(found.mentions[0]).points.tolist() == [[320.0, 120.0]]


def test_a_gemini_mask_that_cannot_be_decoded_leaves_the_box() -> None:
    text = '[{"box_2d": [0, 0, 500, 500], "mask": "data:image/png;base64,!", "label": "cup"}]'
    found = parse(text, dialect="gemini", size=_SIZE)
    assert _located(found.mentions[0]).boxes.tolist() == [[0.0, 0.0, 320.0, 240.0]]
    assert _located(found.mentions[0]).masks == ()
    assert _kinds(found) == [ProblemKind.MALFORMED]


def test_gemini_corners_inside_out_are_swapped_and_overshoot_is_said() -> None:
    text = '[{"box_2d": [500, 600, 100, 1040], "label": "cup"}]'
    found = parse(text, dialect="gemini", size=(1000, 1000))
    assert _located(found.mentions[0]).boxes.tolist() == [[600.0, 100.0, 1040.0, 500.0]]
    assert _kinds(found) == [ProblemKind.INVERTED, ProblemKind.OUT_OF_RANGE]


def test_qwen3_boxes_in_space_keep_their_raw_numbers() -> None:
    numbers = [2.88, 0.56, 6.28, 4.45, 1.7, 1.84, 0.75, 0.49, -0.25]
    text = f'{{"bbox_3d": {numbers}, "label": "car"}}'
    (box,) = _located(parse(text, dialect="qwen3-vl", size=_SIZE).mentions[0]).boxes_3d
    assert box.center == (2.88, 0.56, 6.28)
    assert box.size == (4.45, 1.7, 1.84)
    assert np.allclose(box.angles, [0.75 * math.pi, 0.49 * math.pi, -0.25 * math.pi])
    assert box.raw == tuple(numbers)


def test_claude_writes_pixels_of_the_resized_image() -> None:
    size = (4032, 3024)
    found = parse('[{"label": "cup", "bbox": [127, 95, 635, 476]}]', dialect="claude", size=size)
    expected = Frame.resized(size, (1270, 952)).to_image(np.array([[127.0, 95.0, 635.0, 476.0]]))
    assert np.allclose(_located(found.mentions[0]).boxes, expected)


@pytest.mark.parametrize(
    ("dialect", "text", "phrase", "ids"),
    [
        ("groma", "<p>two dogs</p><roi><r3><r7></roi> play", "two dogs", ("r3", "r7")),
        ("rexseek", "<ground>dogs</ground><objects><obj0><obj4></objects>", "dogs", ("r0", "r4")),
        ("gpt-4o", "It is the cup [3].", "the cup", ("r2",)),
        ("spatialrgpt", "Region [2] is wide.", "Region", ("r2",)),
    ],
)
def test_indices_pick_regions(dialect: str, text: str, phrase: str, ids: tuple[str, ...]) -> None:
    regions = _regions(8)
    found = parse(text, dialect=dialect, size=_SIZE, regions=regions)
    (mention,) = found.mentions
    assert mention.phrase == phrase
    assert mention.ids == ids
    rows = [regions.ids.index(name) for name in ids]
    assert _located(mention).boxes.tolist() == regions.boxes[rows].tolist()
    assert found.problems == ()


def test_an_index_that_no_region_has_is_said() -> None:
    text = "<p>dogs</p><roi><r1><r9></roi>"
    found = parse(text, dialect="groma", size=_SIZE, regions=_regions(3))
    assert found.mentions[0].ids == ("r1",)
    assert _kinds(found) == [ProblemKind.UNKNOWN_REGION]


def test_indices_without_a_list_ask_for_it() -> None:
    found = parse("<p>dogs</p><roi><r1></roi>", dialect="groma", size=_SIZE)
    assert _kinds(found) == [ProblemKind.NEEDS_REGIONS]


def test_ferret_boxes_in_a_row_are_one_phrase() -> None:
    found = parse("two dogs [0, 0, 100, 100] [500, 0, 600, 100] play", dialect="ferret", size=_SIZE)
    (mention,) = found.mentions
    assert mention.phrase == "two dogs"
    assert len(_located(mention).boxes) == 2
    assert found.text == "two dogs play"


def test_cogvlm_boxes_share_a_bracket() -> None:
    found = parse("dogs [[010,020,300,400;310,020,600,400]]", dialect="cogvlm", size=(1000, 1000))
    expected = [[10.0, 20.0, 300.0, 400.0], [310.0, 20.0, 600.0, 400.0]]
    assert _located(found.mentions[0]).boxes.tolist() == expected


def test_objects_without_a_label_are_kept_where_none_has_one() -> None:
    text = '[{"bbox_2d": [1, 2, 30, 40]}, {"bbox_2d": [5, 6, 70, 80]}]'
    found = parse(text, dialect="qwen3-vl", size=_SIZE)
    assert len(found.mentions) == 2
    assert found.problems == ()


def test_an_object_without_the_label_that_others_have_is_dropped_and_said() -> None:
    text = '[{"bbox_2d": [1, 2, 30, 40], "label": "dog"}, {"bbox_2d": [5, 6, 70, 80]}]'
    found = parse(text, dialect="qwen3-vl", size=_SIZE)
    assert [mention.phrase for mention in found.mentions] == ["dog"]
    (problem,) = found.problems
    assert problem.kind is ProblemKind.NO_PHRASE
    assert problem.span is not None
    assert text[slice(*problem.span)] == '{"bbox_2d": [5, 6, 70, 80]}'


def test_the_name_of_a_tool_is_no_label() -> None:
    call = '{"name": "mobile_use", "arguments": {"action": "click", "coordinate": [500, 120]}}'
    found = parse(f"<tool_call>{call}</tool_call>", dialect="qwen3-vl", size=_SIZE)
    assert [mention.phrase for mention in found.mentions] == [""]
    assert len(_located(found.mentions[0]).points) == 1
    assert found.problems == ()


def test_a_run_of_five_bins_is_no_box() -> None:
    bins = "<loc0256><loc0256><loc0768><loc0768><loc0768>"
    found = parse(f"{bins} cat", dialect="paligemma", size=_SIZE)
    assert found.mentions == ()
    assert _kinds(found)[0] is ProblemKind.MALFORMED


@pytest.mark.parametrize("end", ["</s>", "<|im_end|>"])
def test_either_language_model_of_internvl_may_end_the_text(end: str) -> None:
    text = f"<s><ref>a dog</ref><box>[[1, 2, 300, 400]]</box>{end}"
    assert parse(text, dialect="internvl", size=_SIZE).text == "a dog"


@pytest.mark.parametrize(
    ("dialect", "draft", "place"),
    [
        ("qwen3-vl", '{"bbox_2d": [1, 2, 3, 4]}', '{"bbox_2d": [100, 200, 300, 400]}'),
        ("glm-4v", "[[1, 2, 3, 4]]", "<|begin_of_box|>[[100, 200, 300, 400]]<|end_of_box|>"),
        (
            "internvl",
            "<ref>it</ref><box>[[1, 2, 3, 4]]</box>",
            "<ref>it</ref><box>[[100, 200, 300, 400]]</box>",
        ),
    ],
)
def test_a_thought_that_the_prompt_opened_is_not_read(dialect: str, draft: str, place: str) -> None:
    answer = f"Perhaps {draft}? No.\n</think>\n\nHere: {place}"
    found = parse(answer, dialect=dialect, size=(1000, 1000))
    whole = parse(f"<think>{answer}", dialect=dialect, size=(1000, 1000))
    (mention,) = found.mentions
    assert _located(mention).boxes.tolist() == [[100.0, 200.0, 300.0, 400.0]]
    assert "Perhaps" not in found.text
    start, end = _located(mention).source
    assert answer[start:end] in place
    assert "400" in answer[start:end]
    assert (found.text, mention.span) == (whole.text, whole.mentions[0].span)
    assert found.problems == whole.problems == ()
