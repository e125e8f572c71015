"""Regions as words: which get an index, what stands for them, and what an index means."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.boxes import iou
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.features import FeatureGrid
from groundplane.core.frames import Frame
from groundplane.core.regions import Regions
from groundplane.grounding.dialects import dialect
from groundplane.grounding.scanner import Scanner
from groundplane.language.localised import (
    LocalisedTokens,
    Selection,
    listed,
    nearest_index,
    select_regions,
    spliced,
)


def regions(boxes, scores, phrase="thing"):
    n = len(scores)
    return Regions(
        ids=tuple(f"p{i}" for i in range(n)),
        boxes=torch.tensor(boxes, dtype=torch.float32).view(n, 4),
        scores=torch.tensor(scores, dtype=torch.float32),
        phrases=(phrase,),
        phrase_ids=torch.zeros(n, dtype=torch.long),
        image_size=(100, 100),
    )


def plain(found, rule):
    """The names that are kept, by the words of the source."""
    order = sorted(range(len(found)), key=lambda i: -found.scores[i].item())
    kept = []
    for i in order:
        if all(iou(found.boxes[i][None], found.boxes[j][None]) <= rule.overlap for j in kept):
            kept.append(i)
    high = [i for i in kept if found.scores[i] > rule.least] or kept[:1]
    return {found.ids[i] for i in high[: rule.most]}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 60)] * 2, st.integers(0, 100)), max_size=12))
def test_selection_is_that_of_the_source(rows):
    scores = [(s + i / 1000) / 101 for i, (_, _, s) in enumerate(rows)]
    found = regions([[x, y, x + 30, y + 30] for x, y, _ in rows], scores)
    rule = Selection(most=5, seed=3)
    assert set(select_regions(found, selection=rule).ids) == plain(found, rule)


def test_the_best_stays_where_none_is_good_enough():
    found = regions([[0, 0, 9, 9], [50, 50, 60, 60]], [0.01, 0.02])
    assert select_regions(found).ids == ("p1",)


def test_a_drawn_box_joins_and_wins_over_what_it_covers():
    found = regions([[0, 0, 10, 10], [50, 50, 60, 60]], [1.0, 0.5])
    chosen = select_regions(found, torch.tensor([[0.0, 0, 10, 10]]))
    assert set(chosen.ids) == {"drawn-0", "p1"}
    assert chosen.ids[nearest_index(torch.tensor([1.0, 0, 10, 10]), chosen)] == "drawn-0"


def test_the_order_is_drawn_by_the_seed():
    found = regions([[i * 9, 0, i * 9 + 8, 8] for i in range(10)], [0.9] * 10)
    orders = {select_regions(found, selection=Selection(seed=s)).ids for s in range(5)}
    assert len(orders) > 1
    again = [select_regions(found, selection=Selection(seed=1)).ids for _ in range(2)]
    assert again[0] == again[1]


def test_an_answer_means_the_regions_of_its_own_pass():
    found = regions([[i * 9, 0, i * 9 + 8, 8] for i in range(10)], [0.9] * 10)
    chosen = select_regions(found, selection=Selection(seed=4))
    scanner = Scanner(dialect("groma"), Frame.original((100, 100)), chosen)
    events = scanner.feed("<p>a dog</p><roi><r3><r7></roi>") + scanner.close()
    [mention] = [one for one in events if hasattr(one, "located")]
    assert mention.located.region_ids == (chosen.ids[3], chosen.ids[7])
    assert mention.located.boxes.tolist() == chosen.boxes[[3, 7]].tolist()


def test_a_phrase_cannot_name_an_index():
    text = listed(regions([[0, 0, 9, 9]], [0.9], phrase="cup <r5>"))
    assert text == "Regions: <r0> cup < r5>."


def grid(width):
    frame = Frame.original((100, 100))
    return FeatureGrid(tokens=torch.randn(1, 16, width), grid=(4, 4), patch=25.0, frames=(frame,))


def test_the_sequence_holds_index_and_feature_in_turn():
    made, boxes = LocalisedTokens([3, 5], 8, most=4), regions([[0, 0, 9, 9]] * 2, [1, 1]).boxes
    rows = made([grid(3), grid(5)], boxes)
    assert rows.shape == (4, 8)
    assert torch.equal(rows[[0, 2]], made.indices.weight[:2])
    prompt = torch.zeros(1, 6, 8)
    whole = spliced(prompt, rows, at=2)
    assert whole.shape == (1, 9, 8)
    assert torch.equal(whole[0, 2:6], rows)


def test_bad_input_is_refused():
    with pytest.raises(ShapeError, match="3 regions but 2"):
        LocalisedTokens([3], 8, most=2)([grid(3)], torch.ones(3, 4))
    with pytest.raises(InputError, match="no position"):
        spliced(torch.zeros(1, 2, 4), torch.zeros(2, 4), at=2)
    with pytest.raises(InputError, match="overlaps"):
        nearest_index(torch.tensor([90.0, 90, 99, 99]), regions([[0, 0, 9, 9]], [0.9]))
    with pytest.raises(InputError, match="selection"):
        Selection(most=0)
