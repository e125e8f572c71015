"""What experts found, as records keep it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.annotation.found import Answered, outcomes_of, rows_of
from groundplane.core.annotation import AnnotationPrompt, ClassTable
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import GroundplaneError
from groundplane.core.masks import RleMask, encode
from groundplane.core.regions import Regions

SIZE = (40, 30)
PHRASES = ("cup", "hat")


def regions(*rows, **fields):
    """Regions from left, top, right, bottom, score and phrase."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    return Regions(
        ids=tuple(f"x{index}" for index in range(len(rows))),
        boxes=table[:, :4].float(),
        scores=table[:, 4].float(),
        phrases=PHRASES,
        phrase_ids=table[:, 5].long(),
        image_size=SIZE,
        **fields,
    )


def answered(kept, candidates=None, *, least=None, prompts=(0, 1)):
    named = set(kept.phrase_ids.tolist())
    outcomes = tuple(Outcome.FOUND if i in named else Outcome.NONE for i in range(len(PHRASES)))
    result = DetectResult(regions=kept, outcomes=outcomes, candidates=candidates)
    return Answered(result=result, prompts=prompts, least=least)


def rows(*answers, floor=0.1):
    return rows_of(answers, size=SIZE, floor=floor)


def table(found):
    return [
        (*box, score, prompt, kept)
        for box, score, prompt, kept in zip(
            found.boxes.tolist(),
            found.scores.tolist(),
            found.prompt_ids.tolist(),
            found.kept.tolist(),
            strict=True,
        )
    ]


def test_numbers_are_rounded_and_boxes_cut_to_the_picture():
    found = rows(answered(regions((-0.5, 1.23456, 40.4, 9, 0.987654, 1))))
    assert table(found) == [(0.0, 1.23, 40.0, 9.0, 0.9877, 1, True)]


def test_the_best_come_first_and_equals_by_box_and_prompt():
    given_rows = [(2, 0, 9, 9, 0.5, 0), (1, 0, 9, 9, 0.5, 1), (1, 0, 9, 9, 0.5, 0), (3, 0, 9, 9, 0.9, 0)]  # fmt: skip  # noqa: E501
    found = rows(answered(regions(*given_rows)))
    assert [(row[0], row[5]) for row in table(found)] == [(3, 0), (1, 0), (1, 1), (2, 0)]


def test_the_last_bits_of_numbers_do_not_change_the_order():
    near = [(2, 0, 9, 9, 0.50001, 0), (1, 0, 9, 9, 0.50002, 0)]
    swapped = [(2, 0, 9, 9, 0.50002, 0), (1, 0, 9, 9, 0.50001, 0)]
    assert table(rows(answered(regions(*near)))) == table(rows(answered(regions(*swapped))))


def test_candidates_down_to_the_floor_come_as_not_kept_and_none_twice():
    all_of_them = [(1, 0, 9, 9, 0.8, 0), (2, 0, 9, 9, 0.3, 0), (3, 0, 9, 9, 0.05, 0)]
    found = rows(answered(regions(all_of_them[0]), regions(*all_of_them)))
    assert [(row[0], row[6]) for row in table(found)] == [(1, True), (2, False)]


def test_what_the_expert_itself_gave_stays_below_the_floor():
    assert len(rows(answered(regions((1, 0, 9, 9, 0.05, 0))))) == 1


def test_two_equal_regions_of_the_expert_stay_two():
    twice = regions((1, 0, 9, 9, 0.8, 0), (1, 0, 9, 9, 0.8, 0))
    assert len(rows(answered(twice, twice))) == 2


def test_with_thresholds_the_score_says_what_is_kept():
    given_rows = regions((1, 0, 9, 9, 0.8, 0), (2, 0, 9, 9, 0.3, 0), (3, 0, 9, 9, 0.3, 1))
    found = rows(answered(given_rows, least=(0.5, 0.2)))
    assert [(row[0], row[6]) for row in table(found)] == [(1, True), (2, False), (3, True)]


def test_a_threshold_below_the_floor_keeps_what_reaches_it():
    given_rows = regions((1, 0, 9, 9, 0.06, 0), (2, 0, 9, 9, 0.04, 0))
    found = rows(answered(given_rows, least=(0.05, 0.05)))
    assert [(row[0], row[6]) for row in table(found)] == [(1, True)]


def test_answers_about_different_prompts_are_put_together():
    one = answered(regions((1, 0, 9, 9, 0.8, 1)), prompts=(2, 0))
    other = answered(regions((2, 0, 9, 9, 0.9, 0)), prompts=(1, 3))
    found = rows(one, other)
    assert found.prompt_ids.tolist() == [1, 0]
    assert outcomes_of([one, other], found, prompts=5) == (
        "found", "found", "none", "none", "cannot",
    )  # fmt: skip


def test_a_region_that_answers_no_phrase_is_unmapped():
    found = rows(answered(regions((1, 0, 9, 9, 0.8, -1)), least=(0.5, 0.5)))
    classes = ClassTable(names=("thing",), prompts=(AnnotationPrompt(text="cup", class_id=0),))
    kept = found.regions(classes)
    assert (kept.prompt_ids.tolist(), kept.class_ids.tolist()) == ([-1], [-1])


def test_classes_come_from_the_prompts():
    prompts = tuple(
        AnnotationPrompt(text=text, class_id=class_id)
        for text, class_id in (("cup", 1), ("hat", -1), ("mug", 1))
    )
    classes = ClassTable(names=("a", "b"), prompts=prompts)
    one = answered(regions((1, 0, 9, 9, 0.8, 0), (2, 0, 9, 9, 0.7, 1)), prompts=(2, 1))
    kept = rows(one).regions(classes)
    assert (kept.ids, kept.prompt_ids.tolist()) == (("r0", "r1"), [2, 1])
    assert kept.class_ids.tolist() == [1, -1]


def test_masks_stay_with_their_regions_and_some_may_have_none():
    mask = encode(np.ones((30, 40), dtype=np.bool_))
    masked = answered(regions((1, 0, 9, 9, 0.3, 0), masks=(mask,)))
    bare = answered(regions((1, 0, 9, 9, 0.8, 0)), prompts=(2, 3))
    found = rows(masked, bare)
    assert found.masks == (None, mask)
    assert found.bare() == [0]
    assert found.with_masks([0], [mask]).bare() == []


def test_malformed_runs_are_refused():
    broken = RleMask(size=(30, 40), counts=b"11")
    with pytest.raises(GroundplaneError, match="mask"):
        rows(answered(regions((1, 0, 9, 9, 0.3, 0), masks=(broken,))))


def test_half_precision_is_read_as_it_is():
    half = regions((1, 0, 9, 9, 0.5, 0))
    half = replace(half, boxes=half.boxes.half(), scores=half.scores.half())
    assert table(rows(answered(half))) == [(1.0, 0.0, 9.0, 9.0, 0.5, 0, True)]


ROW = st.tuples(
    *(st.integers(0, 300).map(lambda n: n / 100) for _ in range(2)),
    *(st.integers(300, 600).map(lambda n: n / 100) for _ in range(2)),
    st.integers(0, 20).map(lambda n: n / 20),
    st.integers(-1, 1),
)


def plain(kept, candidates, floor):
    """The same by loops over plain values."""

    def rounded(row):
        return (*(round(float(np.float32(n)), 2) for n in row[:4]), round(row[4], 4), row[5])

    given_rows = [rounded(row) for row in kept]
    more = [rounded(row) for row in candidates]
    chosen = [(row, True) for row in given_rows]
    chosen += [(row, False) for row in more if row not in given_rows and row[4] >= floor]
    chosen.sort(key=lambda one: (-one[0][4], *one[0][:4], one[0][5], not one[1]))
    return [(*row, own) for row, own in chosen]


@settings(max_examples=150, deadline=None)
@given(st.lists(ROW, max_size=8), st.lists(ROW, max_size=8), st.randoms())
def test_is_what_a_plain_loop_gives_in_whatever_order_things_come(kept, candidates, chance):
    candidates = kept[: len(kept) // 2] + candidates
    expected = plain(kept, candidates, 0.25)
    chance.shuffle(kept)
    chance.shuffle(candidates)
    found = rows(answered(regions(*kept), regions(*candidates)), floor=0.25)
    assert table(found) == expected
