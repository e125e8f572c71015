"""Sizes compared: by volume, height and longest side, and what is as big."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.spatial import relations
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.relations import Thresholds


def box(*sizes, axes=None):
    turned = torch.eye(3) if axes is None else torch.tensor(axes)
    return Boxes3D(
        centers=torch.zeros(len(sizes), 3, dtype=torch.float64),
        sizes=torch.tensor(sizes, dtype=torch.float64),
        axes=turned.double().expand(len(sizes), 3, 3),
    )


FLAT, CUBE, POST = box((3, 3, 0.1)), box((1, 1, 1)), box((0.2, 0.2, 2))


@pytest.mark.parametrize(
    ("name", "more", "less"),
    [
        ("bigger", CUBE, FLAT), ("smaller", POST, FLAT), ("taller", POST, CUBE),
        ("shorter", FLAT, CUBE), ("longer", FLAT, POST),
    ],
)  # fmt: skip
def test_each_is_by_its_own_measure(name, more, less):
    holds = getattr(relations, name)

    assert holds(more, less).item()
    assert not holds(less, more).item()
    assert not holds(more, more).item()


def test_the_height_is_vertical_however_the_box_lies():
    lying = box((0.2, 0.2, 2), axes=[[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])

    assert relations.taller(CUBE, lying).item()
    assert relations.longer(lying, CUBE).item()


def test_rounding_makes_nothing_bigger():
    third = box((0.1 + 0.2, 1, 1))

    assert not relations.bigger(third, box((0.3, 1, 1))).item()
    assert relations.bigger(box((0.3 + 1e-6, 1, 1)), box((0.3, 1, 1))).item()


@pytest.mark.parametrize(
    ("sizes", "want"),
    [((1, 2, 3), True), ((3, 1, 2), True), ((1.15, 2.3, 3.4), True), ((1, 2, 3.6), False),
     ((0.8, 2, 3), False)],
)  # fmt: skip
def test_things_are_as_big_whichever_way_they_lie(sizes, want):
    assert relations.same_size(box((1, 2, 3)), box(sizes)).item() is want


def test_the_share_is_that_of_the_longer_side():
    one, other = box((1, 1, 1)), box((1, 1, 1.18))

    assert not relations.same_size(one, other, thresholds=Thresholds(size_share=0.15)).item()
    assert relations.same_size(one, other, thresholds=Thresholds(size_share=0.16)).item()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31))
def test_more_is_an_order(seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 4, (8, 3), generator=generator).double() / 4
    boxes = Boxes3D(centers=sizes, sizes=sizes, axes=torch.eye(3).double().expand(8, 3, 3))

    for name in ("bigger", "taller", "longer"):
        more = getattr(relations, name)(boxes, boxes)
        assert not (more & more.T).any()
        # Transitive: what is more than something more is more.
        steps = (more.double() @ more.double()) > 0
        assert (more | ~steps).all()
