"""Laying one map over another: motions found again, mirrors and symmetries told."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.maps import alignment
from groundplane.spatial.maps.alignment import align
from groundplane.spatial.maps.cogmap import GridMap
from groundplane.spatial.maps.differences import diff
from groundplane.spatial.maps.map_change import take, transform
from groundplane.spatial.maps.matching import common_labels
from groundplane.spatial.maps.mindcube import MindCubeMap
from groundplane.testing.scenes import SceneBuilder

LABELS = ["sofa", "tv", "chair", "chair", "chair", "lamp", "table", "door", "door"]


def room(places, labels=None):
    scene = SceneBuilder("room", floor=0.0)
    for i, ((x, y), label) in enumerate(
        zip(places, labels or itertools.cycle(LABELS), strict=False)
    ):
        scene.add(label, at=(x, y, 0.3 + 0.1 * (i % 3)), size=(0.5, 0.8, 0.4), yaw=15 * i)
    return scene.build()


# Nine things that no motion but standing still maps onto themselves.
FLAT = room([(0, 0), (4, 0.5), (1, 3), (2.2, 3.1), (5, 4), (0.3, 5), (2.5, 1.4), (6, 2), (3, 6)])


def motion(degrees, shift=(0.0, 0.0, 0.0), *, scale=1.0, mirrored=False):
    angle = math.radians(degrees)
    turn = torch.tensor(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]],
        dtype=torch.float64,
    )
    matrix = torch.eye(4, dtype=torch.float64)
    flip = torch.diag(torch.tensor([-1.0 if mirrored else 1.0, 1, 1], dtype=torch.float64))
    matrix[:3, :3] = scale * turn @ flip
    matrix[:3, 3] = torch.tensor(shift, dtype=torch.float64)
    return matrix


@given(st.floats(-180, 180), st.tuples(*[st.floats(-20, 20)] * 3))
@settings(max_examples=25, deadline=None)
def test_a_motion_is_found_again(degrees, shift):
    matrix = motion(degrees, shift)
    made = align(FLAT, transform(FLAT, matrix))

    assert torch.allclose(made.matrix, matrix, atol=1e-6)
    assert made.residual < 1e-6
    assert (made.ambiguous, made.mirrored, made.mirror_better) == (False, False, False)
    assert {a for a, _ in made.matched} == set(FLAT.ids)


def test_the_map_is_laid_over_the_other():
    target = transform(FLAT, motion(50, (1, 2, 0.5)))
    laid = align(FLAT, target).apply(FLAT)

    assert torch.allclose(laid.objects.corners(), target.objects.corners(), atol=1e-6)
    assert laid.floor == pytest.approx(0.5)


@pytest.mark.parametrize("degrees", [0, 37, 180])
def test_a_mirrored_map_is_told_and_laid_over_if_asked(degrees):
    matrix = motion(degrees, (3, 1, 0), mirrored=True)
    mirrored = transform(FLAT, matrix)
    plain, flipped = align(FLAT, mirrored), align(FLAT, mirrored, mirror=True)

    assert (plain.mirrored, plain.mirror_better) == (False, True)
    assert (flipped.mirrored, flipped.residual < 1e-6) == (True, True)
    assert torch.allclose(flipped.matrix, matrix, atol=1e-6)
    laid = flipped.apply(FLAT)
    assert (torch.linalg.det(laid.objects.axes) > 0).all()


def test_a_map_that_is_not_mirrored_stays_so_though_it_might():
    made = align(FLAT, transform(FLAT, motion(20)), mirror=True)

    assert (made.mirrored, made.mirror_better) == (False, False)


def test_scale_is_found_if_asked():
    made = align(FLAT, transform(FLAT, motion(70, (1, 1, 1), scale=0.4)), scale=True)

    assert (made.scale, math.degrees(made.rotation)) == (pytest.approx(0.4), pytest.approx(70))


def test_what_has_moved_or_is_new_does_not_spoil_the_rest():
    centers = FLAT.objects.centers.clone()
    centers[[1, 4, 5]] += torch.tensor([[3.0, 2, 0], [-2, 4, 0], [4, -6, 0]])
    matrix = motion(-110, (5, 5, 0))
    target = transform(take(room([(x, y) for x, y, _ in centers.tolist()]), range(8)), matrix)
    made = align(FLAT, target)

    assert torch.allclose(made.matrix, matrix, atol=1e-6)
    assert len(made.matched) >= 5


def test_noise_leaves_a_residual_of_its_size():
    draw = torch.Generator().manual_seed(1)
    matrix = motion(65, (1, 0, 0))
    noisy = transform(FLAT, matrix)
    shaken = noisy.objects.centers + 0.05 * torch.randn(9, 3, generator=draw, dtype=torch.float64)
    noisy = room([(x, y) for x, y, _ in shaken.tolist()])
    made = align(FLAT, noisy)

    assert math.degrees(made.rotation) == pytest.approx(65, abs=3)
    assert 0.02 < made.residual < 0.12


def test_a_symmetric_layout_is_ambiguous():
    square = room([(0, 0), (2, 0), (2, 2), (0, 2)], ["chair"] * 4)

    assert align(square, square).ambiguous
    assert not align(FLAT, FLAT).ambiguous


def test_things_of_one_label_in_a_row_are_ambiguous_and_a_lamp_settles_it():
    row = [(0, 0), (1, 0), (2, 0)]
    assert align(room(row, ["chair"] * 3), room(row, ["chair"] * 3)).ambiguous
    told = room([*row, (3, 1)], ["chair"] * 3 + ["lamp"])
    assert not align(told, told).ambiguous


def test_one_common_object_fixes_the_shift_and_its_front_the_turn():
    one = SceneBuilder().add("sofa", at=(1, 2, 0), front=[1, 0, 0]).add("cup", at=(5, 5, 0)).build()
    other = (
        SceneBuilder().add("sofa", at=(4, 4, 1), front=[0, 1, 0]).add("pan", at=(0, 0, 0)).build()
    )
    made, unsure = align(one, other), align(take(FLAT, [0]), other)

    assert (made.matched, made.ambiguous) == ((("sofa", "sofa"),), False)
    assert math.degrees(made.rotation) == pytest.approx(90)
    assert (made.matrix @ torch.tensor([1, 2, 0, 1.0], dtype=torch.float64)).tolist() == (
        pytest.approx([4, 4, 1, 1])
    )
    assert (unsure.rotation, unsure.ambiguous) == (0.0, True)


def test_coincident_objects_fix_no_turn():
    stacked = room([(1, 1), (1, 1)], ["cup", "pan"])

    assert align(stacked, stacked).ambiguous


@pytest.mark.parametrize(
    ("own", "other"), [(["sofa"], ["sofas"]), ([], ["sofa"]), (["sofa"], []), ([], [])]
)
def test_maps_that_share_no_label_are_refused_with_their_labels(own, other):
    with pytest.raises(InputError, match=r"same label in both maps, got (sofa|none) and"):
        align(room([(0, 0)] * len(own), own), room([(0, 0)] * len(other), other))


@pytest.mark.parametrize("tolerance", [0.0, -1.0, math.nan, math.inf])
def test_a_tolerance_that_is_none_is_refused(tolerance):
    with pytest.raises(InputError, match="above 0"):
        align(FLAT, FLAT, tolerance=tolerance)


def test_labels_compare_without_case():
    upper = room([(0, 0), (3, 0), (1, 1)], ["Sofa", "TV ".strip(), "Coffee_Table"])
    lower = room([(0, 0), (3, 0), (1, 1)], ["sofa", "tv", "coffee table"])

    assert len(align(upper, lower).matched) == 3


def test_a_grid_map_that_a_model_turned_is_laid_over_the_true_one():
    grid = GridMap.of(FLAT.grid(20))
    turned = {label: tuple((19 - y, x) for x, y in at) for label, at in grid.objects.items()}
    made = align(GridMap(cells=20, objects=turned).to_map(), FLAT, scale=True)

    assert len(made.matched) == len(FLAT)
    assert made.residual < 0.3  # a cell is 0.34 m
    assert math.degrees(made.rotation) == pytest.approx(-90, abs=5)


def test_a_map_laid_over_a_metric_one_is_metric_and_can_be_compared_with_it():
    written = GridMap.of(FLAT.grid(20)).to_map()
    made = align(written, FLAT, scale=True)

    assert made.apply(written).scale == "metric"
    assert not diff(FLAT, made.apply(written), tolerance=1.0).moved
    assert align(written, FLAT, tolerance=9.0).apply(written).scale == "relative"


def test_a_map_written_upside_down_is_mirrored_back():
    upright = MindCubeMap.of(FLAT).to_map()
    upside = transform(upright, motion(180, mirrored=True))
    made = align(upside, upright, mirror=True, tolerance=0.3)

    assert made.mirrored
    assert len(made.matched) == len(FLAT)


@pytest.mark.parametrize("motions", [20_000, 500])
def test_a_sample_of_motions_finds_it_too_and_always_the_same(monkeypatch, motions):
    monkeypatch.setattr(alignment, "_MOTIONS", motions)
    draw = torch.Generator().manual_seed(2)
    places = (torch.rand(60, 2, generator=draw) * 12).tolist()
    crowd = room(places, ["chair"] * 50 + ["table"] * 8 + ["door"] * 2)
    matrix = motion(133, (-4, 2, 0))
    target = transform(crowd, matrix)
    made, again = align(crowd, target), align(crowd, target)

    assert torch.allclose(made.matrix, matrix, atol=1e-6)
    assert torch.equal(made.matrix, again.matrix)


def test_a_sample_that_finds_too_little_says_so(monkeypatch):
    monkeypatch.setattr(alignment, "_MOTIONS", 30)
    draw = torch.Generator().manual_seed(3)
    crowd = room((torch.rand(80, 2, generator=draw) * 20).tolist(), ["chair"] * 80)
    made = align(crowd, transform(crowd, motion(20, (9, 9, 0))))

    assert 2 * len(made.matched) < 80
    assert made.ambiguous


def test_a_crowd_in_which_any_motion_fits_half_is_not_told_as_sure(monkeypatch):
    """Things stand closer than the tolerance, so a wrong motion lays most on some other."""
    monkeypatch.setattr(alignment, "_MOTIONS", 40)
    generator = torch.Generator().manual_seed(0)
    places = (torch.rand(400, 2, generator=generator) * 7).tolist()
    crowd = room(places, ["chair"] * 400)

    made = align(crowd, crowd)

    assert made.residual > 0.1
    assert 2 * len(made.matched) > 400
    assert made.ambiguous


def test_real_rooms_are_found_again_after_a_turn(data_dir):
    path = data_dir / "vsi" / "scenes.json"
    for name in CognitiveMap.scenes(path)[:12]:
        scene = CognitiveMap.load(f"{path}#{name}")
        matrix = motion(77, (2, -3, 0))
        made = align(scene, transform(scene, matrix))
        assert made.residual < 1e-6
        assert made.ambiguous or torch.allclose(made.matrix, matrix, atol=1e-6)


@given(st.integers(0, 1000), st.booleans())
@settings(max_examples=15, deadline=None)
def test_motions_are_judged_as_the_plain_version_does(seed, mirrored):
    draw = torch.Generator().manual_seed(seed)
    points = [(torch.rand(n, 2, generator=draw) * 6).double() for n in (5, 6)]
    labels = [[LABELS[int(k)] for k in torch.randint(9, (len(p),), generator=draw)] for p in points]
    labels[1][0] = labels[0][0]
    a, b = (room(p.tolist(), names) for p, names in zip(points, labels, strict=True))
    finder = alignment._Finder(
        a=points[0].numpy(), b=points[1].numpy(), same=common_labels(a, b), free_scale=True,
        tolerance=0.7,
    )  # fmt: skip
    motions = finder._motions(mirrored)
    for h, cost in enumerate(finder._costs(motions).tolist()):
        turn, shift = motions.turn[h], motions.shift[h]
        moved = [turn * complex(-x if mirrored else x, y) + shift for x, y in points[0].tolist()]
        fixed = [complex(x, y) for x, y in points[1].tolist()]
        sides = []
        for own, other, own_labels, other_labels in (
            (moved, fixed, *labels),
            (fixed, moved, *reversed(labels)),
        ):
            likes = [
                [abs(p - q) ** 2 for q, m in zip(other, other_labels, strict=True) if m == name]
                for p, name in zip(own, own_labels, strict=True)
            ]
            bounded = [min(*found, 0.49) for found in likes if found]
            sides.append(sum(bounded) / len(bounded))
        assert cost == pytest.approx(sum(sides))
