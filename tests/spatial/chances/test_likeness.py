"""Chances of equal size, direction and line: what is alike in truth looks different under noise."""

import math

import pytest
import torch

from groundplane.spatial import relations
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.chances.relation_chances import relation_probability
from groundplane.spatial.relations.orientation import has_long_side

NAMES = ("same_size", "parallel", "perpendicular", "aligned_with")


def boxes_of(sizes, *, sigma=0.0, seed=0, yaw=None, centers=None):
    """Boxes as observed with noise on their sides and centres, and told so."""
    sizes = torch.as_tensor(sizes, dtype=torch.float64)
    n = len(sizes)
    generator = torch.Generator().manual_seed(seed)
    noise = sigma * torch.randn(n, 6, generator=generator, dtype=torch.float64)
    places = torch.rand(n, 3, generator=generator, dtype=torch.float64) * 8
    places = places if centers is None else torch.as_tensor(centers, dtype=torch.float64)
    turn = torch.zeros(n, dtype=torch.float64) if yaw is None else torch.as_tensor(yaw).double()
    axes = torch.zeros(n, 3, 3, dtype=torch.float64)
    axes[:, 0, 0], axes[:, 0, 1] = turn.cos(), turn.sin()
    axes[:, 1, 0], axes[:, 1, 1] = -turn.sin(), turn.cos()
    axes[:, 2, 2] = 1
    covariance = (sigma**2 * torch.eye(6, dtype=torch.float64)).expand(n, 6, 6).clone()
    return Boxes3D(
        centers=places + noise[:, :3],
        sizes=(sizes + noise[:, 3:]).clamp(min=1e-3),
        axes=axes,
        covariance=covariance if sigma else None,
    )


def off_diagonal(table):
    return table[~torch.eye(len(table), dtype=torch.bool)]


def varied(n, *, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, generator=generator, dtype=torch.float64) * 2 + 0.2


@pytest.mark.parametrize("name", NAMES)
class TestEach:
    def test_exact_boxes_give_the_truth(self, name):
        boxes = boxes_of(varied(9), yaw=torch.arange(9) * 0.3)

        found = relation_probability(name, boxes, boxes)

        assert torch.equal(found, getattr(relations, name)(boxes, boxes).double())

    def test_next_to_no_noise_is_next_to_the_truth(self, name):
        boxes = boxes_of(varied(9), sigma=1e-5, yaw=torch.arange(9) * math.pi / 4)

        found = relation_probability(name, boxes, boxes)

        truth = getattr(relations, name)(boxes, boxes).double()
        assert float((found - truth).abs().max()) < 0.01

    def test_it_is_symmetric(self, name):
        boxes = boxes_of(varied(9), sigma=0.1, yaw=torch.arange(9) * math.pi / 4)

        found = relation_probability(name, boxes, boxes)

        assert torch.allclose(off_diagonal(found), off_diagonal(found.T), atol=1e-9)

    def test_chances_lie_between_0_and_1(self, name):
        boxes, others = boxes_of(varied(9), sigma=0.3), boxes_of(varied(4, seed=2), sigma=0.1)

        found = relation_probability(name, boxes, others)

        assert found.shape == (9, 4)
        assert bool(((found >= 0) & (found <= 1 + 1e-9)).all())

    def test_nothing_gives_an_empty_table(self, name):
        boxes = boxes_of(varied(3), sigma=0.1)
        none = boxes[torch.zeros(0, dtype=torch.long)]

        assert relation_probability(name, none, boxes).shape == (0, 3)
        assert relation_probability(name, boxes, none).shape == (3, 0)
        assert relation_probability(name, none, none).shape == (0, 0)


def test_a_set_of_equal_chairs_teaches_that_its_members_are_equal():
    chairs = boxes_of(torch.full((12, 3), 0.5), sigma=0.05)
    pair = torch.tensor([0]), torch.tensor([1])

    together = relation_probability("same_size", chairs, chairs)
    alone = relation_probability("same_size", chairs[pair[0]], chairs[pair[1]])

    assert float(off_diagonal(together).mean()) > 0.8
    assert float(together[0, 1]) > float(alone[0, 0]) + 0.2


def test_things_of_many_sizes_are_not_taken_for_equal():
    found = relation_probability("same_size", *[boxes_of(varied(12), sigma=0.05)] * 2)

    truth = relations.same_size(*[boxes_of(varied(12))] * 2).double()
    assert float((off_diagonal(found) - off_diagonal(truth)).abs().mean()) < 0.1


def test_square_tables_are_seldom_taken_for_long():
    tables = boxes_of(torch.full((12, 3), 0.6), sigma=0.1)

    found = off_diagonal(relation_probability("parallel", tables, tables))

    # As observed, noise has made half of them long.
    assert float(has_long_side(tables).double().mean()) >= 0.5
    assert float(found.mean()) < 0.15


def test_what_is_long_runs_one_way_or_the_other():
    beds = boxes_of(torch.tensor([[2.0, 1.0, 0.5]] * 6), sigma=0.05,
                    yaw=torch.tensor([0, 0, 0, math.pi / 2, math.pi / 2, 0.6]))  # fmt: skip

    along = relation_probability("parallel", beds, beds)
    across = relation_probability("perpendicular", beds, beds)

    assert float(along[0, 1]) > 0.99
    assert float(across[0, 3]) > 0.99
    assert float(along[0, 5] + across[0, 5]) < 0.01
    assert bool((along + across <= 1 + 1e-9).all())


def test_a_row_of_chairs_is_in_line_whatever_the_noise_makes_of_it():
    # Two rows of ten, far apart in the other direction.
    places = [[i * 1.5, row * 4.0, 0.5] for row in range(2) for i in range(10)]
    chairs = boxes_of(torch.full((20, 3), 0.5), sigma=0.1, centers=places)

    found = relation_probability("aligned_with", chairs, chairs)

    assert float(off_diagonal(found[:10, :10]).mean()) > 0.55
    # By itself a pair is within the 10 cm of a line with a chance of 52 % at most.
    one, other = chairs[torch.tensor([0])], chairs[torch.tensor([1])]
    assert float(relation_probability("aligned_with", one, other)) < 0.53


def test_a_crooked_pair_stands_in_no_line():
    pair = boxes_of(torch.full((2, 3), 0.5), sigma=0.05, yaw=torch.tensor([0.0, 0.5]),
                    centers=[[0, 0, 0], [2, 0, 0]])  # fmt: skip

    assert float(relation_probability("aligned_with", pair, pair)[0, 1]) == 0.0
