"""Which objects a phrase names: by id, by label, by what is stated, and when it names nothing."""

import pytest

from groundplane.core.answer import Status
from groundplane.core.expressions import Select
from groundplane.spatial.found import StopError
from groundplane.spatial.scene import MapScene
from groundplane.spatial.selecting import select_phrase
from groundplane.testing.scenes import SceneBuilder


def toys(**details):
    return MapScene(
        SceneBuilder("toys", **details)
        .add("sphere", at=(0, 0, 0), attributes={"color": "red", "size": "large"})
        .add("cube", at=(2, 0, 0), attributes={"color": "red", "size": "small"})
        .add("cube", at=(4, 0, 0), attributes={"color": "blue", "size": "large"})
        .build()
    )


def rows(phrase, **details):
    return select_phrase(toys(**details), Select(phrase)).index.tolist()


@pytest.mark.parametrize(
    ("phrase", "found"),
    [
        (None, [0, 1, 2]), ("cubes", [1, 2]), ("cube-2", [2]), ("balls", [0]), ("block", [1, 2]),
        ("big red ball", [0]), ("tiny blocks", [1]), ("red things", [0, 1]), ("big object", [0, 2]),
        ("yellow cubes", []), ("small red balls", []),
    ],
)  # fmt: skip
def test_a_phrase_names_what_fits_every_word(phrase, found):
    assert rows(phrase) == found


def test_a_label_that_is_counted_as_none_is_known():
    found = select_phrase(toys(counts={"cylinder": 0}), Select("red cylinders"))
    assert found.index.tolist() == []


@pytest.mark.parametrize(
    ("phrase", "note"),
    [
        ("cones", "no 'cone' in this scene; it has: sphere (1), cube (2)"),
        ("spheer", "Did you mean 'sphere'?"),
        ("wooden cubes", "does not say which is 'wooden'"),
        ("broken red cubes", "does not say which is 'broken'"),
        ("wooden things", "it has 3 of 'objects'"),
        ("red", "no 'red' in this scene"),
    ],
)
def test_what_the_scene_cannot_tell_is_no_empty_set(phrase, note):
    with pytest.raises(StopError) as stopped:
        rows(phrase)
    assert stopped.value.status is Status.UNKNOWN_OBJECT
    assert note in stopped.value.note


def test_a_ball_is_a_sports_ball_where_there_is_one():
    scene = MapScene(
        SceneBuilder().add("sports ball", at=(0, 0, 0)).add("sphere", at=(1, 0, 0)).build()
    )
    assert select_phrase(scene, Select("ball")).index.tolist() == [0]
