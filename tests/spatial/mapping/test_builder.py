"""Growing maps: what is one thing stays one, what is two stays two."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from seen import Crate, from_clouds, sighting

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.mapping.builder import MapBuilder
from groundplane.spatial.mapping.tallies import BuilderOptions

SOFA = Crate(label="sofa", center=(0, 0, 0.4), size=(2.0, 0.9, 0.8))
CHAIR = Crate(label="chair", center=(2, 0, 0.45), size=(0.5, 0.5, 0.9))
FRONT, BEHIND = (0.0, -3.0, 1.5), (0.0, 3.0, 1.5)


def beside(crate: Crate, gap: float) -> Crate:
    """The same thing again, so far to its right."""
    x, y, z = crate.center
    return Crate(label=crate.label, center=(x + crate.size[0] + gap, y, z), size=crate.size)


def test_nothing_seen_gives_an_empty_map() -> None:
    builder = MapBuilder()
    builder.add(sighting([]))

    frozen = builder.freeze(name="empty", notes=("no object was found",))

    assert frozen.ids == ()
    assert frozen.counts == {}
    assert frozen.notes == ("no object was found",)
    assert builder.frames == 1


def test_one_thing_in_many_frames_stays_one() -> None:
    builder = MapBuilder()
    for frame in range(10):
        builder.add(sighting([SOFA, CHAIR], frame=frame, noise=0.01))

    frozen = builder.freeze(name="room")

    assert frozen.ids == ("chair", "sofa")
    assert frozen.counts == {"sofa": 1, "chair": 1}
    assert torch.allclose(
        frozen.objects.sizes[1], torch.tensor([2.0, 0.9, 0.8], dtype=torch.float64), atol=0.08
    )


@pytest.mark.parametrize("size", [(2.0, 0.9, 0.8), (0.6, 0.6, 1.2), (1.4, 0.4, 1.0)])
def test_a_thing_seen_from_the_front_and_then_from_behind_is_one(size: tuple) -> None:
    thing = Crate(label="sofa", center=(0, 0, size[2] / 2), size=size)
    builder = MapBuilder()
    builder.add(sighting([thing], FRONT, frame=0))
    builder.add(sighting([thing], BEHIND, frame=1))

    assert builder.freeze(name="room").counts == {"sofa": 1}


def test_a_tall_thing_that_the_camera_walks_round_is_one() -> None:
    fridge = Crate(label="refrigerator", center=(0, 0, 0.9), size=(0.6, 0.6, 1.8))
    builder = MapBuilder()
    for frame, angle in enumerate(np.linspace(0, 2 * np.pi, 9)):
        eye = (3 * np.sin(angle), -3 * np.cos(angle), 1.5)
        builder.add(sighting([fridge], eye, frame=frame, noise=0.01))

    assert builder.freeze(name="room").counts == {"refrigerator": 1}


@pytest.mark.parametrize("gap", [0.05, 0.1, 0.4])
def test_a_second_chair_beside_the_first_is_another_one(gap: float) -> None:
    other = beside(CHAIR, gap)
    builder = MapBuilder()
    builder.add(sighting([CHAIR], frame=0, noise=0.005))
    builder.add(sighting([other], frame=1, noise=0.005))
    builder.add(sighting([other, CHAIR], frame=2, noise=0.005))

    assert builder.freeze(name="room").counts == {"chair": 2}


def test_ids_of_several_are_numbered_and_counts_agree_with_the_boxes() -> None:
    builder = MapBuilder()
    builder.add(sighting([CHAIR, beside(CHAIR, 0.4), SOFA]))

    frozen = builder.freeze(name="room")

    assert sorted(frozen.ids) == ["chair-1", "chair-2", "sofa"]
    assert frozen.counts == {"chair": 2, "sofa": 1}
    assert len(frozen.objects) == 3


def test_the_order_of_regions_in_a_frame_does_not_matter() -> None:
    things = [SOFA, CHAIR, beside(CHAIR, 0.2), beside(CHAIR, 0.9)]
    builders = [MapBuilder(), MapBuilder()]
    for frame in range(4):
        clouds = [
            thing.seen_from(FRONT) + np.random.default_rng((frame, k)).normal(0, 0.01, 3)
            for k, thing in enumerate(things)
        ]
        builders[0].add(from_clouds(things, clouds, frame=frame))
        builders[1].add(from_clouds(things[::-1], clouds[::-1], frame=frame))

    first, second = (builder.freeze(name="room") for builder in builders)

    assert first.ids == second.ids
    assert torch.equal(first.objects.centers, second.objects.centers)
    assert torch.equal(first.objects.sizes, second.objects.sizes)
    assert torch.equal(first.scores, second.scores)


def test_counts_do_not_double_when_the_camera_returns() -> None:
    # 40 frames elsewhere, then back with the pose off by 4 cm.
    things = [SOFA, CHAIR, beside(CHAIR, 0.4)]
    far = Crate(label="chair", center=(6, 6, 0.45), size=(0.5, 0.5, 0.9))
    builder = MapBuilder()
    for frame in range(3):
        builder.add(sighting(things, frame=frame, noise=0.01))
    for frame in range(3, 43):
        builder.add(sighting([far], (6, 3, 1.5), frame=frame, noise=0.01))
    for frame in range(43, 46):
        builder.add(sighting(things, frame=frame, noise=0.01, shift=(0.03, 0.02, -0.02)))

    assert builder.freeze(name="room").counts == {"sofa": 1, "chair": 3}


def test_a_region_twice_in_a_frame_is_counted_once() -> None:
    builder = MapBuilder()
    builder.add(sighting([SOFA, SOFA]))
    builder.add(sighting([SOFA, SOFA], frame=1))

    frozen = builder.freeze(name="room")

    assert frozen.counts == {"sofa": 1}
    assert frozen.scores[0] < 0.99


def test_two_words_for_one_thing_make_one_object_of_the_surer_word() -> None:
    couch = Crate(label="couch", center=SOFA.center, size=SOFA.size, score=0.6)
    builder = MapBuilder()
    for frame in range(3):
        builder.add(sighting([SOFA, couch], frame=frame))

    assert builder.freeze(name="room").counts == {"sofa": 1}


def test_a_label_that_flips_is_outvoted() -> None:
    chair = Crate(label="chair", center=SOFA.center, size=SOFA.size, score=0.8)
    builder = MapBuilder()
    for frame in range(6):
        builder.add(sighting([chair if frame == 3 else SOFA], frame=frame))

    assert builder.freeze(name="room").counts == {"sofa": 1}


def test_a_wrong_word_for_a_part_view_makes_no_second_object() -> None:
    side = (-3.0, 0.0, 1.2)
    stool = Crate(label="stool", center=SOFA.center, size=SOFA.size, score=0.8)
    builder = MapBuilder()
    for frame in range(4):
        builder.add(sighting([SOFA], FRONT, frame=frame))
    builder.add(sighting([stool], side, frame=4))

    assert builder.freeze(name="room").counts == {"sofa": 1}


def test_a_wrong_word_at_first_sight_is_forgotten() -> None:
    stool = Crate(label="stool", center=SOFA.center, size=SOFA.size, score=0.9)
    builder = MapBuilder()
    builder.add(sighting([stool], (-3.0, -0.3, 1.2), frame=0))
    for frame in range(1, 6):
        builder.add(sighting([SOFA], (0.4 * frame - 1, -3.0, 1.5), frame=frame))

    assert builder.freeze(name="room").counts == {"sofa": 1}


def test_a_cushion_seen_beside_its_sofa_is_an_object_of_its_own() -> None:
    cushion = Crate(label="cushion", center=(0.5, 0, 0.9), size=(0.5, 0.5, 0.2))
    builder = MapBuilder()
    for frame in range(3):
        builder.add(sighting([SOFA, cushion], frame=frame))

    assert builder.freeze(name="room").counts == {"sofa": 1, "cushion": 1}


def test_a_cup_on_a_table_does_not_become_part_of_it() -> None:
    table = Crate(label="table", center=(0, 0, 0.7), size=(1.2, 0.8, 0.05))
    cup = Crate(label="cup", center=(0, 0, 0.775), size=(0.1, 0.1, 0.1))
    builder = MapBuilder()
    for frame in range(3):
        builder.add(sighting([table, cup], frame=frame))

    assert builder.freeze(name="room").counts == {"table": 1, "cup": 1}


def test_parts_seen_at_the_border_join_when_the_whole_is_seen() -> None:
    cloud = SOFA.seen_from(FRONT)
    builder = MapBuilder()
    for frame, part in enumerate((cloud[:, 0] < -0.6, cloud[:, 0] > 0.6, cloud[:, 0] > -2)):
        builder.add(from_clouds([SOFA], [cloud[part]], frame=frame, whole=frame == 2))

    assert builder.freeze(name="room").counts == {"sofa": 1}


def test_an_object_that_two_regions_keep_claiming_is_divided() -> None:
    left, right = CHAIR, beside(CHAIR, 0.02)
    both = np.concatenate([crate.seen_from(FRONT) for crate in (left, right)])
    builder = MapBuilder()
    for frame in range(2):
        builder.add(from_clouds([CHAIR], [both], frame=frame))
    for frame in range(2, 8):
        builder.add(sighting([left, right], frame=frame))

    frozen = builder.freeze(name="room")

    assert frozen.counts == {"chair": 2}
    assert torch.allclose(frozen.objects.sizes.amax(), torch.tensor(0.9).double(), atol=0.05)


def test_points_that_are_no_numbers_are_refused_and_change_nothing() -> None:
    builder = MapBuilder()
    builder.add(sighting([SOFA]))
    before = builder.freeze(name="room").to_json()
    seen = sighting([SOFA, CHAIR], frame=1)
    seen.points[3, 1] = float("nan")

    with pytest.raises(InputError, match="finite"):
        builder.add(seen)

    assert builder.freeze(name="room").to_json() == before
    assert builder.frames == 1


@pytest.mark.parametrize("score", [-0.1, 1.5, float("nan")])
def test_scores_out_of_range_are_refused(score: float) -> None:
    with pytest.raises(InputError, match="scores"):
        MapBuilder().add(
            sighting([Crate(label="a", center=(0, 0, 1), size=(1, 1, 1), score=score)])
        )


def test_counts_that_do_not_add_up_are_refused() -> None:
    seen = sighting([SOFA])
    seen.counts[0] += 1

    with pytest.raises(ShapeError, match="counts"):
        MapBuilder().add(seen)


def test_memory_stays_flat_over_many_frames(tmp_path: Path) -> None:
    # 2,000 frames where asked for: GROUNDPLANE_CASES=2000.
    frames = int(os.environ.get("GROUNDPLANE_CASES", "60"))
    builder, sizes = MapBuilder(BuilderOptions(most_voxels=500)), []
    for frame in range(frames):
        eye = (3 * np.sin(frame), -3.0, 1.5)
        builder.add(sighting([SOFA, CHAIR], eye, frame=frame, noise=0.02))
        if frame in (frames // 4, frames - 1):
            builder.save(tmp_path / "map")
            sizes.append((tmp_path / "map").stat().st_size)

    # Voxels settle; nothing else grows with the number of frames.
    assert sizes[1] < 1.3 * sizes[0]
    assert len(builder) == 2


def test_looks_tell_things_of_one_label_apart() -> None:
    # The pose is off by most of the gap: the red chair is seen where the blue one stood.
    looks = np.eye(2)
    pair = [CHAIR, beside(CHAIR, 0.05)]
    builder = MapBuilder(BuilderOptions(looks=1.0))
    for frame in range(3):
        builder.add(sighting(pair, frame=frame, features=looks))
    builder.add(sighting(pair[:1], frame=3, features=looks[:1], shift=(0.3, 0, 0)))

    first = builder.freeze(name="room").provenance
    assert sorted(map(len, first.values())) == [3, 4]
    assert next(ids for ids in first.values() if len(ids) == 4)[0] == "0:0"


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="least_overlap"):
        BuilderOptions(least_overlap=1.5)
    with pytest.raises(InputError, match="false_alarm"):
        BuilderOptions(false_alarm=0.9)
