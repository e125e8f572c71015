import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core import boxes as box_ops
from groundplane.core.errors import InputError, ShapeError
from groundplane.grounding.box_fusion import fuse

CASES = int(os.environ.get("GROUNDPLANE_CASES", "60"))


def plain_fusion(boxes, scores, groups, *, iou, weights):
    """The paper's algorithm as it is written: members in lists, means over them, no index."""
    wide = boxes.double()
    clusters = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i].item(), i)):
        best, best_iou = None, iou
        for cluster in clusters:
            if cluster["group"] != groups[i]:
                continue
            overlap = box_ops.iou(wide[i : i + 1], cluster["box"][None]).item()
            if overlap > best_iou:
                best, best_iou = cluster, overlap
        if best is None:
            best = {"group": groups[i], "members": []}
            clusters.append(best)
        best["members"].append(i)
        share = scores[best["members"]].double()
        share = share if share.sum() > 0 else torch.eye(1, len(share), dtype=torch.double)[0]
        best["box"] = (wide[best["members"]] * share[:, None]).sum(0) / share.sum()
    for cluster in clusters:
        members = cluster["members"]
        mean = scores[members].double().mean().item()
        cluster["score"] = min(mean * min(len(members), len(weights)) / sum(weights), 1.0)
    return sorted(clusters, key=lambda cluster: -cluster["score"])


def scattered(count, *, seed, side=60.0, spread=100.0, groups=2):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * spread
    size = torch.rand(count, 2, generator=generator) * side
    boxes = torch.cat([corner, corner + size], dim=1)
    scores = torch.rand(count, generator=generator).clamp(min=0.05)
    return boxes, scores, torch.randint(groups, (count,), generator=generator)


@st.composite
def cases(draw):
    boxes, scores, groups = scattered(
        draw(st.integers(0, 40)),
        seed=draw(st.integers(0, 10**6)),
        side=draw(st.sampled_from([5.0, 60.0, 500.0])),
        spread=draw(st.sampled_from([0.0, 20.0, 100.0])),
    )
    iou = draw(st.sampled_from([0.0, 0.1, 0.5, 0.55, 0.9, 1.0]))
    weights = draw(st.sampled_from([(1.0,), (1.0, 1.0), (2.0, 1.0, 0.5)]))
    return boxes, scores, groups, iou, weights


class TestFusion:
    @settings(max_examples=CASES, deadline=None)
    @given(cases())
    def test_it_is_what_the_paper_says(self, case):
        boxes, scores, groups, iou, weights = case
        fused = fuse(boxes, scores, groups=groups, iou=iou, weights=weights)
        plain = plain_fusion(boxes, scores, groups, iou=iou, weights=weights)
        assert len(fused.boxes) == len(plain)
        for index, cluster in enumerate(plain):
            assert torch.nonzero(fused.members == index).flatten().tolist() == sorted(
                cluster["members"]
            )
            # Means are summed in another order; float32 in the end.
            assert fused.scores[index].item() == pytest.approx(cluster["score"], abs=1e-6)
            assert torch.allclose(fused.boxes[index].double(), cluster["box"], rtol=0, atol=1e-3)

    def test_a_box_that_one_of_two_saw_has_half_its_score(self):
        fused = fuse(torch.tensor([[0.0, 0, 8, 8]]), torch.tensor([0.5]), weights=(1.0, 1.0))
        assert fused.scores.tolist() == [0.25]

    def test_a_box_pulls_the_mean_by_its_score(self):
        boxes = torch.tensor([[0.0, 0, 10, 10], [1.0, 0, 11, 10]])
        fused = fuse(boxes, torch.tensor([0.9, 0.3]))
        assert fused.boxes.tolist() == [pytest.approx([0.25, 0.0, 10.25, 10.0])]
        assert fused.scores.tolist() == [pytest.approx(0.6)]

    def test_a_cluster_may_walk_to_where_none_of_its_members_is(self):
        # The third box meets the mean of the first two, but neither of them.
        boxes = torch.tensor([[0.0, 0, 10, 4], [0.0, 0, 4, 10], [4.0, 4, 7, 7]])
        fused = fuse(boxes, torch.tensor([0.9, 0.9, 0.5]), iou=0.15)
        assert fused.members.tolist() == [0, 0, 0]

    def test_boxes_of_score_0_move_nothing(self):
        boxes = torch.tensor([[0.0, 0, 10, 10], [1.0, 0, 11, 10]])
        fused = fuse(boxes, torch.zeros(2))
        assert fused.boxes.tolist() == [[0, 0, 10, 10]]
        assert fused.members.tolist() == [0, 0]

    def test_a_score_is_never_above_1(self):
        boxes = torch.tensor([[0.0, 0, 10, 10]]).repeat(2, 1)
        assert fuse(boxes, torch.tensor([2.0, 2.0]), weights=(2.0, 1.0)).scores.tolist() == [1.0]

    def test_empty_boxes_stay_alone(self):
        boxes = torch.tensor([[3.0, 3, 3, 9], [3.0, 3, 3, 9], [0.0, 0, 9, 9]])
        assert len(fuse(boxes, torch.ones(3), iou=0.0).boxes) == 3

    def test_thousands_of_boxes_are_fused(self):
        boxes, scores, _ = scattered(5000, seed=1, side=40.0, spread=2000.0)
        twice = fuse(boxes.repeat(2, 1), scores.repeat(2), weights=(1.0, 1.0), iou=0.9)
        assert len(twice.boxes) <= 5000
        assert torch.equal(twice.members[:5000], twice.members[5000:])


class TestBadInput:
    @pytest.mark.parametrize("score", [-0.1, float("nan"), float("inf")])
    def test_a_score_that_is_no_weight_is_refused(self, score):
        with pytest.raises(InputError, match="scores of 0 or more"):
            fuse(torch.zeros(1, 4), torch.tensor([score]))

    @pytest.mark.parametrize("weights", [(), (0.0,), (-1.0, 1.0), (float("nan"),)])
    def test_weights_that_weigh_nothing_are_refused(self, weights):
        with pytest.raises(InputError, match="weights above 0"):
            fuse(torch.zeros(0, 4), torch.zeros(0), weights=weights)

    @pytest.mark.usefixtures("unchecked")
    def test_columns_of_other_lengths_are_refused(self):
        with pytest.raises(ShapeError, match="2 boxes but 1 groups"):
            fuse(torch.zeros(2, 4), torch.zeros(2), groups=torch.zeros(1, dtype=torch.long))

    def test_a_limit_out_of_range_is_refused(self):
        with pytest.raises(InputError, match="from 0 to 1"):
            fuse(torch.zeros(0, 4), torch.zeros(0), iou=2.0)
