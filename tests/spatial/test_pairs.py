"""Closest and farthest pairs, and whether one thing is the one described."""

import itertools

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from groundplane.core.answer import Status
from groundplane.core.expressions import Extreme, Select, Unique
from groundplane.core.pair_queries import Identity, Pair
from groundplane.spatial import pairs
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.gap import box_gaps
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.scene import MapScene
from groundplane.spatial.solver import Solver
from groundplane.testing.scenes import SceneBuilder


def solve(scene, query):
    return Solver(MapScene(scene)).solve(query)


def cloud(count, seed, *, spread=20.0):
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(count, 6, generator=generator, dtype=torch.float64)
    turn = torch.rand(count, generator=generator, dtype=torch.float64) * 6.3
    axes = torch.zeros(count, 3, 3, dtype=torch.float64)
    axes[:, 0, 0], axes[:, 0, 1] = turn.cos(), turn.sin()
    axes[:, 1, 0], axes[:, 1, 1] = -turn.sin(), turn.cos()
    axes[:, 2, 2] = 1
    boxes = Boxes3D(centers=draw[:, :3] * spread, sizes=draw[:, 3:] * 0.3 + 0.01, axes=axes)
    unknown = torch.full((count,), torch.nan, dtype=torch.float64)
    return CognitiveMap(
        ids=tuple(f"box-{k}" for k in range(1, count + 1)),
        objects=boxes,
        labels=("box",) * count,
        scores=torch.ones(count, dtype=torch.float64),
        attributes=({},) * count,
        fronts=unknown[:, None].repeat(1, 3),
        first_seen=unknown,
    )


def by_all_pairs(scene, *, farthest):
    """Plain reference: every pair, one after another."""
    gaps = box_gaps(scene.objects, scene.objects)
    every = itertools.combinations(range(len(scene)), 2)
    best = (max if farthest else min)(every, key=lambda pair: float(gaps[pair]))
    return float(gaps[best])


@given(count=st.integers(2, 12), seed=st.integers(0, 10_000), farthest=st.booleans())
@example(count=8, seed=1260, farthest=False)
def test_the_pair_is_that_of_all_pairs(count, seed, farthest):
    scene = cloud(count, seed)
    answer = solve(scene, Pair(source=Select("boxes"), farthest=farthest, tell="distance"))

    # Of pairs within a thousandth of each other that of the nearest middles is told, as it says.
    tied = 1e-3 if "as good as equal" in answer.note else 0.0
    best = by_all_pairs(scene, farthest=farthest)
    assert answer.value == pytest.approx(best, rel=tied, abs=1e-9)
    assert len(answer.evidence) == 2


@pytest.mark.parametrize("seed", range(3))
def test_among_many_neighbours_give_the_same_pair(seed, monkeypatch):
    scene = cloud(120, seed)
    query = Pair(source=Select("boxes"))
    plain = solve(scene, query)
    monkeypatch.setattr(pairs, "_FEW", 2)

    assert solve(scene, query).value == plain.value


def test_of_many_that_touch_the_nearest_middles_are_told(monkeypatch):
    builder = SceneBuilder()
    for x in (0.0, 0.5, 0.7, 9.0):
        builder.add("box", at=(x, 0, 0), size=(1, 1, 1))
    scene = builder.build()
    told = [solve(scene, Pair(source=Select("boxes")))]
    monkeypatch.setattr(pairs, "_FEW", 2)
    told.append(solve(scene, Pair(source=Select("boxes"))))

    for answer in told:
        assert answer.value == ("box-2", "box-3")
        assert "2 other pairs are as good as equal" in answer.note or len(told) == 2


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_are_no_pair(count):
    builder = SceneBuilder().add("lamp", at=(5, 5, 0))
    for _ in range(count):
        builder.add("chair", at=(0, 0, 0))
    answer = solve(builder.build(), Pair(source=Select("chairs")))

    assert answer.status is Status.UNKNOWN_OBJECT
    assert answer.value is None


def test_too_many_for_a_table_are_refused_with_their_number():
    scene = cloud(4_500, 0, spread=200.0)
    answer = solve(scene, Pair(source=Select(None), farthest=True))

    assert answer.status is Status.CANNOT_DETECT
    assert "4,500 by 4,500" in answer.note


def tallest(source=None, **options):
    chosen = Extreme(source=Select(source), measure="height", largest=True, **options)
    return Unique(chosen)


def tower():
    builder = SceneBuilder()
    for name, high in (("lamp", 1.0), ("shelf", 2.0), ("door", 2.0), ("mat", 0.1)):
        builder.add(name, at=(high, 0, high / 2), size=(0.2, 0.2, high))
    return builder.build()


@pytest.mark.parametrize(
    ("name", "value"), [("lamp", False), ("shelf", True), ("door", True), ("mat", False)]
)
def test_what_is_as_tall_as_the_tallest_is_the_tallest(name, value):
    answer = solve(tower(), Identity(subject=Unique(Select(name)), described=tallest()))

    assert answer.value is value
    assert answer.measure.endswith("shelf")


def test_the_second_is_not_the_first():
    scene = SceneBuilder().add("a", at=(0, 0, 0), size=(1, 1, 3)).add("b", at=(5, 0, 0)).build()
    second = tallest(rank=2)

    assert solve(scene, Identity(subject=Unique(Select("b")), described=second)).value is True
    assert solve(scene, Identity(subject=Unique(Select("a")), described=second)).value is False


def test_one_of_several_of_a_name_leaves_it_open():
    builder = SceneBuilder().add("box", at=(0, 0, 0), size=(1, 1, 3)).add("box", at=(5, 0, 0))
    answer = solve(builder.build(), Identity(subject=Unique(Select("box")), described=tallest()))

    assert answer.status is Status.AMBIGUOUS
    assert "it holds for box-1" in answer.note


def test_what_is_not_there_is_not_the_tallest_either():
    answer = solve(tower(), Identity(subject=Unique(Select("piano")), described=tallest()))

    assert answer.status is Status.UNKNOWN_OBJECT
