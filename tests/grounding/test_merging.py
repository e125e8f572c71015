import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core import boxes as box_ops
from groundplane.core import masks
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.regions import Regions
from groundplane.grounding import duplicates
from groundplane.grounding.merging import Overlap, merge_regions, suppress, winners

CASES = int(os.environ.get("GROUNDPLANE_CASES", "60"))


def plain_winners(boxes, scores, groups, overlap):
    """Greedy suppression as the definition says it: a loop over all pairs."""
    wide = boxes.double()
    order = sorted(range(len(boxes)), key=lambda i: (-scores[i].item(), i))
    won = list(range(len(boxes)))
    kept = []
    for i in order:
        for j in kept:
            if groups[i] != groups[j]:
                continue
            shared = box_ops.intersection(wide[i : i + 1], wide[j : j + 1]).item()
            one, two = (box_ops.area(wide[k : k + 1]).item() for k in (i, j))
            inside = overlap.containment is not None and shared > overlap.containment * min(
                one, two
            )
            if shared > overlap.iou * (one + two - shared) or inside:
                won[i] = j
                break
        else:
            kept.append(i)
    return won


def scattered(count, *, seed, side=60, spread=300, groups=3, whole=False):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * spread
    size = torch.rand(count, 2, generator=generator) ** 2 * side
    boxes = torch.cat([corner, corner + size], dim=1)
    if whole:
        boxes = boxes.round()
    scores = (torch.rand(count, generator=generator) * 20).round() / 20  # many ties
    return boxes, scores, torch.randint(groups, (count,), generator=generator)


@st.composite
def cases(draw):
    count = draw(st.integers(0, 60))
    boxes, scores, groups = scattered(
        count,
        seed=draw(st.integers(0, 10**6)),
        side=draw(st.sampled_from([1.0, 60.0, 1000.0])),
        spread=draw(st.sampled_from([0.0, 5.0, 300.0])),
        groups=draw(st.integers(1, 4)),
        whole=draw(st.booleans()),
    )
    limits = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0.0, 1.0))
    return boxes, scores, groups, Overlap(iou=draw(limits), containment=draw(st.none() | limits))


@pytest.fixture(params=["whole", "in parts"])
def way(request, monkeypatch):
    """Few boxes are taken at once, many in parts: both ways, whatever the number."""
    if request.param == "in parts":
        monkeypatch.setattr(duplicates, "_BUDGET", 8)
        monkeypatch.setattr(duplicates, "_PARTS", 3)


class TestSuppression:
    @settings(max_examples=CASES, deadline=None)
    @given(cases())
    def test_it_is_what_a_loop_over_all_pairs_gives(self, case):
        boxes, scores, groups, overlap = case
        given_ = winners(boxes, scores, groups=groups, overlap=overlap)
        assert given_.tolist() == plain_winners(boxes, scores, groups, overlap)

    @pytest.mark.parametrize("seed", range(8))
    @pytest.mark.parametrize("overlap", [Overlap(iou=0.4), Overlap(iou=0.9, containment=0.7)])
    def test_in_parts_it_is_the_same(self, way, seed, overlap):
        boxes, scores, groups = scattered(150, seed=seed, spread=120.0, whole=seed % 2 == 0)
        given_ = winners(boxes, scores, groups=groups, overlap=overlap)
        assert given_.tolist() == plain_winners(boxes, scores, groups, overlap)

    def test_it_equals_torchvision_where_no_overlap_is_at_the_limit(self):
        ops = pytest.importorskip("torchvision").ops
        boxes, _, _ = scattered(3000, seed=5, spread=600.0)
        scores = torch.rand(3000, generator=torch.Generator().manual_seed(6))
        assert torch.equal(suppress(boxes, scores, iou=0.45), ops.nms(boxes, scores, 0.45))

    def test_overlap_at_the_limit_is_no_duplicate(self):
        # 3 of 10 square pixels: 0.3, which float32 rounds up.
        boxes = torch.tensor([[0.0, 0, 10, 1], [0.0, 0, 3, 1]])
        assert suppress(boxes, torch.tensor([0.9, 0.8]), iou=0.3).tolist() == [0, 1]
        assert suppress(boxes, torch.tensor([0.9, 0.8]), iou=0.29).tolist() == [0]

    def test_of_equal_scores_the_first_wins(self):
        boxes = torch.tensor([[0.0, 0, 8, 8]]).repeat(3, 1)
        assert suppress(boxes, torch.tensor([0.5, 0.7, 0.7])).tolist() == [1]

    def test_a_suppressed_box_suppresses_nothing(self):
        boxes = torch.tensor([[0.0, 0, 10, 1], [4.0, 0, 14, 1], [8.0, 0, 18, 1]])
        assert suppress(boxes, torch.tensor([0.9, 0.8, 0.7]), iou=0.4).tolist() == [0, 2]

    def test_other_groups_do_not_compete(self):
        boxes = torch.tensor([[0.0, 0, 8, 8]]).repeat(3, 1)
        groups = torch.tensor([2**40, -1, 2**40])
        assert suppress(boxes, torch.tensor([0.1, 0.2, 0.3]), groups=groups).tolist() == [2, 1]

    def test_empty_boxes_are_nobodys_duplicates(self):
        boxes = torch.tensor([[3.0, 3, 3, 9], [3.0, 3, 3, 9], [0.0, 0, 9, 9], [9.0, 9, 0, 0]])
        overlap = Overlap(iou=0.0, containment=0.0)
        kept = winners(boxes, torch.ones(4), overlap=overlap)
        assert kept.tolist() == [0, 1, 2, 3]

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_other_number_types_are_taken_as_they_are(self, dtype):
        boxes = torch.tensor([[0.0, 0, 300, 300], [0, 0, 300, 280]], dtype=dtype)
        assert suppress(boxes, torch.tensor([0.5, 0.25], dtype=dtype)).tolist() == [0]

    def test_thresholding_before_or_after_gives_the_same(self):
        boxes, scores, groups = scattered(400, seed=9, spread=200.0)
        kept = suppress(boxes, scores, groups=groups)
        sure = torch.nonzero(scores >= 0.5).flatten()
        early = sure[suppress(boxes[sure], scores[sure], groups=groups[sure])]
        assert torch.equal(kept[scores[kept] >= 0.5], early)

    def test_inputs_are_left_as_they_were(self):
        boxes, scores, groups = scattered(50, seed=1)
        before = boxes.clone(), scores.clone(), groups.clone()
        suppress(boxes, scores, groups=groups)
        assert all(torch.equal(a, b) for a, b in zip(before, (boxes, scores, groups), strict=True))


class TestCrowds:
    @pytest.mark.parametrize("iou", [0.5, 0.05])
    def test_33_000_boxes_equal_blockwise_suppression(self, iou):
        boxes, scores, _ = scattered(33_000, seed=3, side=60, spread=4000.0)
        ops = pytest.importorskip("torchvision").ops
        # Ties are broken alike; only float32 at the very limit could tell them apart.
        assert torch.equal(suppress(boxes, scores, iou=iou), ops.nms(boxes, scores, iou))

    def test_33_000_copies_of_one_box_leave_one(self):
        boxes = torch.tensor([[5.0, 5, 25, 25]]).repeat(33_000, 1)
        assert suppress(boxes, torch.linspace(0, 1, 33_000)).tolist() == [32_999]

    def test_parts_within_large_boxes_are_found_among_33_000(self):
        boxes, scores, _ = scattered(33_000, seed=4, side=8, spread=4000.0)
        boxes[:20] = torch.tensor([0.0, 0, 2000, 4008])
        scores[:20] = 2.0
        overlap = Overlap(iou=1.0, containment=0.99)
        won = winners(boxes, scores, overlap=overlap)
        inside = (boxes[:, 2] <= 2000) & (box_ops.area(boxes) > 0)
        assert won[inside].eq(0).all()


class TestMasks:
    def made(self, *pictures, boxes=None):
        found = [masks.encode(np.array(rows, dtype=bool)) for rows in pictures]
        tight = [masks.bounding_box(mask) for mask in found]
        return Regions(
            ids=tuple(f"r{i}" for i in range(len(found))),
            boxes=torch.tensor(boxes or tight, dtype=torch.float32),
            scores=torch.linspace(0.9, 0.5, len(found)),
            phrases=("thing",),
            phrase_ids=torch.zeros(len(found), dtype=torch.long),
            image_size=(3, 3),
            masks=tuple(found),
        )

    def test_crossing_masks_with_one_box_are_two_things(self):
        rising = [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
        falling = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
        merged = merge_regions(self.made(rising, falling))
        assert merged.regions.ids == ("r0", "r1")

    def test_like_masks_are_one_though_a_stray_pixel_stretches_a_box(self):
        plain = [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
        stray = [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
        merged = merge_regions(self.made(plain, stray), overlap=Overlap(iou=0.7))
        assert merged.regions.ids == ("r0",)
        assert merged.alternates.ids == ("r1",)

    def test_a_part_within_its_whole_is_an_alternate(self):
        whole = [[1, 1, 1], [1, 1, 1], [0, 0, 0]]
        part = [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
        inside = Overlap(iou=0.9, containment=0.8)
        assert merge_regions(self.made(whole, part), overlap=inside).regions.ids == ("r0",)

    @settings(max_examples=CASES, deadline=None)
    @given(st.integers(0, 10**6), st.floats(0, 1), st.none() | st.floats(0, 1))
    def test_masks_are_compared_pixel_by_pixel(self, seed, iou, containment):
        drawn = np.random.default_rng(seed).random((6, 5, 5)) < 0.4
        found = [masks.encode(each) for each in drawn]
        overlap = Overlap(iou=iou, containment=containment)
        boxes = torch.tensor([masks.bounding_box(m) for m in found], dtype=torch.float32)
        won = winners(boxes, torch.arange(6.0).flip(0), overlap=overlap, masks=found)
        expected, kept = [], []
        for i, mask in enumerate(drawn):
            rivals = [
                j
                for j in kept
                if overlap.holds(
                    np.array([(mask & drawn[j]).sum()], dtype=float),
                    np.array([drawn[j].sum()], dtype=float),
                    np.array([mask.sum()], dtype=float),
                )[0]
            ]
            expected.append(rivals[0] if rivals else i)
            kept += [] if rivals else [i]
        assert won.tolist() == expected


class TestRegions:
    def made(self, *rows):
        """Regions of rows of box, score and phrase id."""
        return Regions(
            ids=tuple(f"r{i}" for i in range(len(rows))),
            boxes=torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4),
            scores=torch.tensor([row[1] for row in rows], dtype=torch.float32),
            phrases=("man", "person"),
            phrase_ids=torch.tensor([row[2] for row in rows], dtype=torch.long),
            image_size=(50, 50),
        )

    def test_one_thing_under_two_words_keeps_the_better_and_lists_the_other(self):
        regions = self.made(
            ([0, 0, 9, 9], 0.4, 0), ([0, 0, 9, 8], 0.8, 1), ([20, 0, 29, 9], 0.3, 0)
        )
        merged = merge_regions(regions, across_phrases=True)
        assert merged.regions.ids == ("r1", "r2")
        assert merged.alternates.labels() == ("man",)
        assert merged.alternates.scores.tolist() == pytest.approx([0.4])
        assert merged.winners.tolist() == [0]

    def test_phrases_do_not_compete_unless_asked_to(self):
        regions = self.made(([0, 0, 9, 9], 0.4, 0), ([0, 0, 9, 8], 0.8, 1))
        assert merge_regions(regions).regions.ids == ("r1", "r0")

    def test_nothing_is_lost(self):
        boxes, scores, groups = scattered(80, seed=2, spread=40.0, groups=2)
        rows = list(zip(boxes.tolist(), scores.tolist(), groups.tolist(), strict=True))
        merged = merge_regions(self.made(*rows), across_phrases=True)
        assert sorted(merged.regions.ids + merged.alternates.ids) == sorted(
            f"r{i}" for i in range(80)
        )
        wins = merged.regions.scores[merged.winners]
        assert (wins >= merged.alternates.scores).all()
        assert (merged.regions.scores.diff() <= 0).all()

    def test_no_regions_give_no_regions(self):
        merged = merge_regions(self.made())
        assert len(merged.regions) == len(merged.alternates) == 0


class TestBadInput:
    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_a_box_that_is_not_finite_is_refused(self, value):
        with pytest.raises(InputError, match="finite"):
            suppress(torch.tensor([[0.0, 0, value, 1]]), torch.ones(1))

    def test_a_score_that_is_no_number_is_refused(self):
        with pytest.raises(InputError, match="numbers"):
            suppress(torch.zeros(1, 4), torch.tensor([float("nan")]))

    @pytest.mark.usefixtures("unchecked")
    def test_columns_of_other_lengths_are_refused(self):
        with pytest.raises(ShapeError, match="2 boxes but 1 scores"):
            suppress(torch.zeros(2, 4), torch.zeros(1))

    @pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
    def test_a_limit_out_of_range_is_refused(self, value):
        with pytest.raises(InputError, match="from 0 to 1"):
            Overlap(iou=value)
        with pytest.raises(InputError, match="from 0 to 1"):
            Overlap(containment=value)
