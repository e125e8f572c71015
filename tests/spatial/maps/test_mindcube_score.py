"""MindCube's similarity, against a version written out pair by pair, and its graphs."""

from __future__ import annotations

import math

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial.maps.mindcube import FACINGS, MindCubeMap, Placed
from groundplane.spatial.maps.mindcube_score import is_isomorphic, relation_graph, similarity

# What becomes of a place and of the facings that change.
TURNS = {
    "identity": (lambda x, y: (x, y), {}),
    "z_rot_90": (
        lambda x, y: (-y, x),
        {"up": "right", "right": "down", "down": "left", "left": "up"},
    ),
    "z_rot_180": (
        lambda x, y: (-x, -y),
        {"up": "down", "right": "left", "down": "up", "left": "right"},
    ),
    "z_rot_270": (
        lambda x, y: (y, -x),
        {"up": "left", "right": "up", "down": "right", "left": "down"},
    ),
    "x_rot_90": (
        lambda x, y: (x, 0),
        {"up": "inner", "down": "outer", "inner": "down", "outer": "up"},
    ),
    "y_rot_90": (
        lambda x, y: (0, y),
        {"left": "inner", "right": "outer", "inner": "right", "outer": "left"},
    ),
}


def plain_direction(a, b, facing_a, facing_b):
    dx, dy = b[0] - a[0], b[1] - a[1]
    if math.hypot(dx, dy) < 0.5:
        if facing_a == "inner" or facing_b == "outer":
            return "inner"
        if facing_a == "outer" or facing_b == "inner":
            return "outer"
        return "inner" if math.hypot(dx, dy) < 0.2 else None
    if abs(dx) > abs(dy):
        return "right" if dx > 0 else "left"
    return "down" if dy > 0 else "up"


def plain_similarity(written, truth):
    """(overall, directional, facing, rotation, isomorphic) by loops over names."""
    true = {
        o.name: o
        for o in (*truth.objects, *((truth.views or ()) if written.views is not None else ()))
    }
    own = {o.name: o for o in (*written.objects, *(written.views or ()))}
    names = [name for name in true if name in own]
    best = (0.0, 0.0, 0.0, None, False)
    for rotation, (turn, facings) in TURNS.items():
        at = {name: turn(*own[name].position) for name in names}
        faced = {name: facings.get(own[name].facing, own[name].facing) for name in names}
        right = total = 0
        same = len(names) == len(true) and bool(names)
        for a in names:
            for b in names:
                if a != b:
                    want = plain_direction(
                        true[a].position, true[b].position, true[a].facing, true[b].facing
                    )
                    got = plain_direction(at[a], at[b], faced[a], faced[b])
                    same &= want == got
                    total += want is not None
                    right += want is not None and want == got
        asked = [name for name in names if true[name].facing]
        directional = right / total if total else 0.0
        facing = sum(faced[n] == true[n].facing for n in asked) / len(asked) if asked else 1.0
        overall = 0.7 * directional + 0.3 * facing
        if names and overall > best[0]:
            best = (overall, directional, facing, rotation, same)
    return best


def placed(names, rows):
    return tuple(
        Placed(name=name, position=at, facing=facing)
        for name, (at, facing) in zip(names, rows, strict=False)
    )


# Rows of objects and of views. Maps are made in the test: a check of types draws by chance.
COORDINATE = st.integers(0, 9) | st.floats(0, 9).map(lambda x: round(x, 1))
ROW = st.tuples(st.tuples(COORDINATE, st.integers(0, 9)), st.sampled_from([None, *FACINGS]))
ROWS = st.tuples(st.lists(ROW, max_size=5), st.none() | st.lists(ROW, max_size=2))


def made_of(rows):
    objects, views = rows
    return MindCubeMap(
        objects=placed(["sofa", "tv", "lamp", "bed", "door"], objects),
        views=None if views is None else placed(["View 1", "View 2"], views),
    )


@given(ROWS, ROWS)
@settings(max_examples=200, deadline=None)
def test_the_similarity_is_that_of_the_plain_version(own, true):
    written, truth = made_of(own), made_of(true)
    made = similarity(written, truth)
    overall, directional, facing, rotation, isomorphic = plain_similarity(written, truth)

    assert made.overall == pytest.approx(overall, abs=1e-12)
    assert made.directional == pytest.approx(directional, abs=1e-12)
    assert made.facing == pytest.approx(facing, abs=1e-12)
    assert (made.rotation, made.isomorphic) == (rotation, isomorphic)


def turned(source, rotation):
    turn, facings = TURNS[rotation]
    rows = [(turn(*o.position), facings.get(o.facing, o.facing)) for o in source.objects]
    return MindCubeMap(objects=placed([o.name for o in source.objects], rows))


ROOM = MindCubeMap(
    objects=(
        Placed(name="sofa", position=(2, 7), facing="up"),
        Placed(name="tv", position=(2, 1), facing="down"),
        Placed(name="lamp", position=(7, 6)),
    )
)


@pytest.mark.parametrize("rotation", ["identity", "z_rot_90", "z_rot_180", "z_rot_270"])
def test_a_turned_map_is_as_good_and_isomorphic(rotation):
    made = similarity(turned(ROOM, rotation), ROOM)

    assert (made.overall, made.isomorphic) == (1.0, True)
    assert is_isomorphic(turned(ROOM, rotation), ROOM)


def test_a_mirrored_map_is_told_from_a_turned_one():
    rows = [((-o.position[0], o.position[1]), o.facing) for o in ROOM.objects]
    mirrored = MindCubeMap(objects=placed([o.name for o in ROOM.objects], rows))

    assert similarity(mirrored, ROOM).overall < 1
    assert not similarity(mirrored, ROOM).isomorphic
    assert not is_isomorphic(mirrored, ROOM)


def test_a_map_laid_on_a_line_counts_only_among_the_published_rotations():
    """Quarter turns about an axis of the plane keep one axis alone; a quirk of the measure."""
    truth = MindCubeMap(
        objects=(Placed(name="a", position=(0, 0)), Placed(name="b", position=(3, 0)))
    )
    written = MindCubeMap(
        objects=(Placed(name="a", position=(0, 0)), Placed(name="b", position=(1, 5)))
    )

    assert similarity(written, truth, rotations="published").overall == 1.0
    assert similarity(written, truth, rotations="plane").rotation == "z_rot_270"


def test_coverage_counts_the_true_names():
    part = MindCubeMap(objects=(*ROOM.objects[:2], Placed(name="cat", position=(0, 0))))
    made = similarity(part, ROOM)

    assert (made.coverage, made.isomorphic) == (pytest.approx(2 / 3), False)


def test_views_count_only_where_the_written_map_lists_views():
    truth = MindCubeMap(objects=ROOM.objects, views=(Placed(name="View 1", position=(0, 0)),))

    assert similarity(ROOM, truth).coverage == 1.0
    assert similarity(MindCubeMap(objects=ROOM.objects, views=()), truth).coverage == 0.75


def test_empty_maps_are_like_nothing():
    empty = MindCubeMap(objects=())

    assert similarity(empty, ROOM).overall == similarity(ROOM, empty).overall == 0.0
    assert similarity(ROOM, empty).rotation is None


class TestGraph:
    def test_edges_hold_angle_distance_and_direction(self):
        graph = relation_graph(ROOM)

        assert isinstance(graph, networkx.DiGraph)
        assert graph.edges["sofa", "tv"] == {
            "angle": pytest.approx(-math.pi / 2),
            "distance": 6.0,
            "direction": "up",
        }
        assert graph.number_of_edges() == 6
        assert graph.nodes["sofa"] == {"position": (2, 7), "facing": "up", "type": "object"}

    def test_things_in_one_place_have_no_edge(self):
        pair = (Placed(name="a", position=(1, 1)), Placed(name="b", position=(1, 1)))

        assert relation_graph(MindCubeMap(objects=pair)).number_of_edges() == 0

    def test_the_pattern_alone_may_be_compared(self):
        renamed = MindCubeMap(
            objects=tuple(
                Placed(name=f"thing {i}", position=item.position)
                for i, item in enumerate(turned(ROOM, "z_rot_90").objects)
            )
        )

        assert not is_isomorphic(renamed, ROOM)
        assert is_isomorphic(renamed, ROOM, names=False)

    def test_maps_that_are_too_large_are_refused_with_the_number(self):
        crowd = MindCubeMap(
            objects=tuple(Placed(name=f"{i}", position=(i, 0)) for i in range(1001))
        )

        with pytest.raises(InputError, match="at most 100 things, got 1001"):
            is_isomorphic(crowd, ROOM)
        with pytest.raises(InputError, match="at most 1000 things, got 1001"):
            similarity(crowd, ROOM)

    def test_an_empty_map_has_an_empty_graph(self):
        assert len(relation_graph(MindCubeMap(objects=()))) == 0
