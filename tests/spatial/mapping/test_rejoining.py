"""Sides of one box, seen one long after the other: one thing; what is two stays two."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seen import Crate, from_clouds, sighting

from groundplane.core.camera import Camera, Frame
from groundplane.core.media import read_image
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.mapping.builder import MapBuilder
from groundplane.spatial.mapping.rejoining import sides_of_one

FRIDGE = Crate(label="refrigerator", center=(0, 0, 0.85), size=(0.6, 0.7, 1.7))
FRONT, RIGHT, LEFT = (0.0, -3.0, 1.2), (3.0, 0.0, 1.2), (-3.0, 0.0, 1.2)
WIDTH, HEIGHT = 160, 120
K = np.array([[110.0, 0, WIDTH / 2], [0, 110, HEIGHT / 2], [0, 0, 1]])
PICTURE = read_image(np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))
WALLS = 6.0


def looking(eye: Sequence[float], at: Sequence[float], crates: Sequence[Crate]) -> Frame:
    """What a level camera measures of crates in a large empty room; no code of the map's."""
    ahead = np.array([at[0] - eye[0], at[1] - eye[1], 0])
    ahead /= np.linalg.norm(ahead)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = (ahead[1], -ahead[0], 0), (0, 0, -1), ahead
    pose[:3, 3] = eye
    u, v = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    rays = np.stack([u, v, np.ones_like(u)], axis=2) @ np.linalg.inv(K).T @ pose[:3, :3].T
    depth = np.full(u.shape, WALLS)
    for crate in crates:
        start = crate.axes @ (np.array(eye) - crate.center)
        with np.errstate(divide="ignore"):
            meets = (np.array([[-0.5], [0.5]]) * crate.size - start)[:, None, None]
            meets = meets / (rays @ crate.axes.T)[None]
        near, far = meets.min(axis=0).max(axis=2), meets.max(axis=0).min(axis=2)
        depth = np.where((near < far) & (near > 0), np.minimum(depth, near), depth)
    return Frame(
        image=PICTURE,
        index=0,
        camera=Camera(K=K, T_world_cam=pose),
        depth=torch.from_numpy(depth).float(),
    )


def seen(*looks: tuple[Sequence[Crate], Sequence[float]], all_there: Sequence[Crate]) -> MapBuilder:
    """A map of crates that are seen from places, one frame after another."""
    builder = MapBuilder()
    for index, (crates, eye) in enumerate(looks):
        view = looking(eye, crates[0].center, all_there)
        builder.add(sighting(crates, eye, frame=index, noise=0.005), frame=view)
    return builder


@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_two_sides_seen_one_after_the_other_are_one_thing(turn: float) -> None:
    fridge = Crate(label="refrigerator", center=(0, 0, 0.85), size=(0.6, 0.7, 1.7), turn=turn)
    eyes = [tuple(np.array(eye) @ fridge.axes) for eye in (FRONT, RIGHT)]
    builder = seen(*[([fridge], eye) for eye in eyes], all_there=[fridge])

    frozen = builder.freeze(name="kitchen")

    assert len(builder) == 2
    assert frozen.counts == {"refrigerator": 1}
    assert np.allclose(frozen.objects.centers[0].numpy(), fridge.center, atol=0.2)
    assert len(frozen.provenance["refrigerator"]) == 2


def test_three_sides_are_one_thing_as_large_as_it_is() -> None:
    looks = [([FRIDGE], eye) for eye in (LEFT, FRONT, RIGHT)]

    frozen = seen(*looks, all_there=[FRIDGE]).freeze(name="kitchen")

    assert frozen.counts == {"refrigerator": 1}
    sizes = sorted(frozen.objects.sizes[0].tolist())
    assert np.allclose(sizes, sorted(FRIDGE.size), atol=0.06)


def test_the_growing_map_does_not_change_when_it_is_frozen(tmp_path: Path) -> None:
    builder = seen(([FRIDGE], FRONT), ([FRIDGE], RIGHT), all_there=[FRIDGE])
    builder.save(tmp_path / "before")

    first, second = builder.freeze(name="kitchen"), builder.freeze(name="kitchen")

    builder.save(tmp_path / "after")
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()
    assert torch.equal(first.objects.sizes, second.objects.sizes)


def test_a_strip_of_a_thing_that_was_found_first_becomes_a_part_of_it() -> None:
    piano = Crate(label="piano", center=(0, 0, 0.6), size=(1.4, 0.6, 1.2))
    foot = Crate(label="piano", center=(0, 0.29, 0.2), size=(1.4, 0.02, 0.3))
    behind = (0.0, 3.0, 1.2)

    builder = seen(([foot], behind), ([piano], FRONT), ([piano], RIGHT), all_there=[piano])

    assert len(builder) > 1
    assert builder.freeze(name="hall").counts == {"piano": 1}


def test_two_cups_that_were_never_seen_in_one_frame_stay_two() -> None:
    cups = [Crate(label="cup", center=(x, 0, 1), size=(0.08, 0.08, 0.1)) for x in (0, 0.25)]
    builder = seen((cups[:1], FRONT), (cups[1:], RIGHT), all_there=cups)

    assert builder.freeze(name="kitchen").counts == {"cup": 2}


def test_two_doors_in_the_corner_of_a_room_enclose_air_and_stay_two() -> None:
    doors = [
        Crate(label="door", center=(0, 0.4, 1), size=(0.8, 0.01, 2)),
        Crate(label="door", center=(-0.4, 0, 1), size=(0.01, 0.8, 2)),
    ]
    builder = seen((doors[:1], FRONT), (doors[1:], RIGHT), all_there=doors)

    # Their points alone could be sides of a box.
    assert sides_of_one(doors[0].seen_from(FRONT), doors[1].seen_from(RIGHT)) is not None
    assert builder.freeze(name="hall").counts == {"door": 2}


def test_without_frames_nothing_tells_what_two_sides_enclose() -> None:
    builder = MapBuilder()
    builder.add(sighting([FRIDGE], FRONT, frame=0))
    builder.add(sighting([FRIDGE], RIGHT, frame=1))

    assert builder.freeze(name="kitchen").counts == {"refrigerator": 2}


def test_frames_that_look_elsewhere_tell_nothing() -> None:
    builder = MapBuilder()
    for index, eye in enumerate((FRONT, RIGHT)):
        away = looking(eye, tuple(2 * np.array(eye)), [FRIDGE])
        builder.add(sighting([FRIDGE], eye, frame=index), frame=away)

    assert builder.freeze(name="kitchen").counts == {"refrigerator": 2}


def test_sides_of_other_labels_are_never_joined() -> None:
    other = Crate(label="closet", center=FRIDGE.center, size=FRIDGE.size)
    builder = seen(([FRIDGE], FRONT), ([other], RIGHT), all_there=[FRIDGE])

    assert builder.freeze(name="kitchen").counts == {"refrigerator": 1, "closet": 1}


def test_sides_seen_in_one_frame_as_two_regions_stay_two() -> None:
    sides = [FRIDGE.seen_from(eye) for eye in (FRONT, RIGHT)]
    builder = MapBuilder()
    view = looking((2.0, -2.0, 1.2), FRIDGE.center, [FRIDGE])
    builder.add(from_clouds([FRIDGE, FRIDGE], sides), frame=view)

    assert builder.freeze(name="kitchen").counts == {"refrigerator": 2}


@pytest.mark.parametrize("gap", [0.0, 0.02, 0.2])
def test_two_cupboards_side_by_side_stay_two(gap: float) -> None:
    left = Crate(label="closet", center=(-0.5 - gap / 2, 0, 0.9), size=(1.0, 0.5, 1.8))
    right = Crate(label="closet", center=(0.5 + gap / 2, 0, 0.9), size=(1.0, 0.5, 1.8))

    assert sides_of_one(left.seen_from(FRONT), right.seen_from(FRONT)) is None
    corner_left, corner_right = left.seen_from((-5, -4, 1)), right.seen_from((5, -4, 1))
    assert sides_of_one(corner_left, corner_right) is None
    assert sides_of_one(left.seen_from(FRONT), right.seen_from(RIGHT)) is None


@pytest.mark.parametrize("gap", [0.05, 0.3])
def test_two_chairs_stay_two(gap: float) -> None:
    one = Crate(label="chair", center=(0, 0, 0.45), size=(0.5, 0.5, 0.9))
    for step in ((0.5 + gap, 0.0), (0.5 + gap, 0.5 + gap)):
        two = Crate(label="chair", center=(*step, 0.45), size=(0.5, 0.5, 0.9))
        for eye, other in ((FRONT, RIGHT), (RIGHT, FRONT), (FRONT, FRONT), (LEFT, (3, 3, 1))):
            assert sides_of_one(one.seen_from(eye), two.seen_from(other)) is None


def test_sides_at_other_heights_stay_two() -> None:
    above = Crate(label="closet", center=(0, 0, 2.0), size=(0.6, 0.7, 0.6))

    assert sides_of_one(FRIDGE.seen_from(FRONT), above.seen_from(RIGHT)) is None


def test_a_side_of_which_the_foot_is_hidden_still_counts() -> None:
    side = FRIDGE.seen_from(RIGHT)

    corners = sides_of_one(FRIDGE.seen_from(FRONT), side[side[:, 2] > 0.7])

    assert corners is not None
    assert np.allclose(corners[:, 2].max(), 1.7, atol=0.05)


@pytest.mark.parametrize("num", [1, 2])
def test_next_to_no_points_are_no_side(num: int) -> None:
    assert sides_of_one(FRIDGE.seen_from(FRONT), np.zeros((num, 3))) is None


@settings(max_examples=int(os.environ.get("GROUNDPLANE_CASES", "25")), deadline=None)
@given(
    wide=st.floats(0.4, 2.0),
    deep=st.floats(0.4, 2.0),
    turn=st.floats(0, math.pi),
    noise=st.floats(0, 0.012),
)
def test_the_box_round_two_sides_is_the_box(
    wide: float, deep: float, turn: float, noise: float
) -> None:
    crate = Crate(label="closet", center=(3, -2, 1), size=(wide, deep, 1.5), turn=turn)
    draw = np.random.default_rng(0)
    ahead, side = (
        crate.seen_from(np.array(off) @ crate.axes + crate.center)
        for off in ((0, -4, 0), (4, 0, 0))
    )

    corners = sides_of_one(*(c + draw.normal(0, noise, c.shape) for c in (ahead, side)))

    assert corners is not None
    half = [np.array([x, y, z]) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    true = np.array([h * crate.size / 2 @ crate.axes + crate.center for h in half])
    off = np.linalg.norm(corners[:, None] - true[None], axis=2).min(axis=1)
    assert off.max() < 0.08 + 4 * noise


@pytest.mark.skipif("GROUNDPLANE_ROOMS" not in os.environ, reason="draws rooms")
@pytest.mark.parametrize("seed", [61, 128, 300, 301])
def test_counts_of_rendered_rooms_are_right(seed: int) -> None:
    frozen, truth = rendered(seed)

    assert frozen.counts == truth


def rendered(seed: int) -> tuple[CognitiveMap, Counter[str]]:
    """The map of a made room, and how many things of each label it shows."""
    from groundplane.evaluation.rooms_mapping import map_room
    from groundplane.evaluation.rooms_maps import true_map
    from groundplane.evaluation.rooms_records import CLEAN
    from groundplane.testing.rooms.making import make_room
    from groundplane.testing.rooms.question import facts_of
    from groundplane.testing.rooms.questions_order import first_seen

    room = make_room(seed)
    shots = list(room.shots(step=20, size=(320, 240)))
    truth = true_map(facts_of(room, first_seen(shots)))
    return map_room(room, shots, CLEAN), Counter(truth.labels)
