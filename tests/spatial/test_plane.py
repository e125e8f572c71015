"""The image plane as a scene: pixels, the photographer's left and right, and no depth."""

import pytest
import torch

from groundplane.core.answer import Status
from groundplane.core.expressions import Extreme, Or, Relate, Select, Unique, Viewpoint
from groundplane.core.queries import Attribute, Compare, Count, Direction, Exists, Measure
from groundplane.core.regions import Regions
from groundplane.spatial.plane import PlaneScene
from groundplane.spatial.scene import UnsupportedError
from groundplane.spatial.solver import Solver


def photo(*boxes, phrases=None, size=(300, 300)):
    """A photo of labelled `xyxy` boxes; `phrases` adds what was looked for and not found."""
    names = list(dict.fromkeys([*(label for label, _ in boxes), *(phrases or ())]))
    return PlaneScene(
        Regions(
            ids=tuple(f"r{i}" for i in range(len(boxes))),
            boxes=torch.tensor([box for _, box in boxes], dtype=torch.float32).reshape(-1, 4),
            scores=torch.ones(len(boxes)),
            phrases=tuple(names),
            phrase_ids=torch.tensor([names.index(label) for label, _ in boxes], dtype=torch.long),
            image_size=size,
        )
    )


def ask(scene, query):
    return Solver(scene).solve(query)


def the(name):
    return Unique(Select(name))


STREET = photo(
    ("dog", (10, 200, 50, 240)),
    ("dog", (250, 200, 290, 280)),
    ("car", (100, 100, 200, 200)),
    ("bird", (140, 60, 160, 80)),
    ("hat", (120, 90, 140, 110)),
    phrases=("cat",),
)


def test_counts_and_presence_of_what_was_looked_for():
    assert ask(STREET, Count(Select("dogs"))).value == 2
    assert ask(STREET, Count(Select("cat"))).value == 0
    assert ask(STREET, Exists(Select("cat"))).value is False
    assert ask(STREET, Exists(Select("dog"))).value is True


def test_what_was_not_looked_for_is_unknown_and_not_absent():
    answer = ask(STREET, Exists(Select("horse")))

    assert answer.status is Status.UNKNOWN_OBJECT
    assert answer.value is None
    assert "dog (2)" in answer.note


def test_left_and_right_are_the_photographers():
    left = ask(STREET, Relate(source=Select("dogs"), relation="left_of", anchor=the("car")))

    assert left.value == ("dog-1",)
    assert left.evidence == ("r0", "r2")
    assert left.frame.kind == "image"


def test_half_of_the_picture_without_an_anchor():
    query = Relate(source=Select("dogs"), relation="right_of", anchor=None)

    assert ask(STREET, query).value == ("dog-2",)


@pytest.mark.parametrize("relation", ["in_front_of", "behind"])
@pytest.mark.parametrize("anchor", ["car", None])
def test_depth_is_refused(relation, anchor):
    query = Relate(source=Select("dog"), relation=relation, anchor=the(anchor) if anchor else None)

    answer = ask(STREET, query)

    assert answer.status is Status.CANNOT_DETECT
    assert "depth" in answer.note
    assert answer.value is None


@pytest.mark.parametrize(
    "query",
    [
        Measure(name="distance", of=(the("car"), the("bird")), unit="m"),
        Measure(name="height", of=(the("car"),), unit="cm"),
        Measure(name="depth", of=(the("car"),)),
        Measure(name="elevation", of=(the("car"),)),
        Measure(name="room_area"),
        Relate(source=Select("dog"), relation="within", anchor=the("car"), limit=2.0),
        Direction(target=the("dog"), viewpoint=Viewpoint(origin=the("car"), facing=the("bird"))),
        Direction(target=the("bird"), viewpoint=None, sectors="front_back"),
        Relate(source=Select("dog"), relation="left_of", anchor=the("car"),
               viewpoint=Viewpoint(origin=the("car"), facing=the("bird"))),
        Attribute(source=the("car"), name="color"),
    ],
)  # fmt: skip
def test_what_a_photo_cannot_tell_is_refused_with_a_reason(query):
    answer = ask(STREET, query)

    assert answer.status is Status.CANNOT_DETECT
    assert answer.value is None
    assert answer.note


def test_measures_are_pixels():
    gap = ask(STREET, Measure(name="distance", of=(the("bird"), the("car"))))
    height = ask(STREET, Measure(name="height", of=(the("car"),)))
    area = ask(STREET, Measure(name="volume", of=(the("bird"),)))

    assert (gap.value, gap.unit) == (20, "px")
    assert (height.value, height.unit) == (100, "px")
    assert (area.value, area.unit) == (400, "px2")
    assert gap.frame.kind == "image"


def test_bigger_is_the_larger_area():
    bigger = Compare(
        left=Measure(name="volume", of=(the("car"),)),
        operator="more",
        right=Measure(name="volume", of=(the("bird"),)),
    )

    assert ask(STREET, bigger).value is True


def test_nearest_and_rank():
    nearest = Extreme(source=Select(), measure="distance", largest=False, anchor=the("bird"))

    assert ask(STREET, nearest).value == "hat"
    assert ask(STREET, Extreme(
        source=Or((Select("dog"), Select("hat"))), measure="distance", largest=True,
        anchor=the("bird"),
    )).value == "dog"  # fmt: skip


@pytest.mark.parametrize(
    ("name", "subject", "anchor", "holds"),
    [
        ("above", "bird", "car", True),
        ("below", "car", "bird", True),
        ("below", "bird", "car", False),
        ("on", "hat", "car", True),
        ("on", "bird", "car", False),
        ("under", "car", "hat", True),
        ("supports", "car", "hat", True),
        ("touches", "hat", "car", True),
        ("touches", "bird", "car", False),
        ("near", "bird", "car", True),
        ("next_to", "bird", "car", False),
    ],
)
def test_relation_in_the_picture(name, subject, anchor, holds):
    query = Exists(Relate(source=the(subject), relation=name, anchor=the(anchor)))

    assert ask(STREET, query).value is holds


def test_inside_and_contains_mirror_each_other():
    scene = photo(("box", (0, 0, 100, 100)), ("cat", (20, 20, 60, 60)))

    assert ask(scene, Relate(source=Select(), relation="inside", anchor=the("box"))).value == (
        "cat",
    )
    assert ask(scene, Relate(source=Select(), relation="contains", anchor=the("cat"))).value == (
        "box",
    )


def test_unknown_relation_is_refused():
    with pytest.raises(UnsupportedError):
        STREET.relation("orbits", torch.tensor([0]), torch.tensor([1]))


@pytest.mark.parametrize(
    ("center", "word"),
    [
        ((250, 150), "right"),
        ((150, 50), "above"),
        ((50, 50), "above-left"),
        ((250, 250), "below-right"),
    ],
)
def test_direction_from_the_anchor_in_the_picture(center, word):
    x, y = center
    scene = photo(("cup", (140, 140, 160, 160)), ("fly", (x - 1, y - 1, x + 1, y + 1)))

    answer = ask(scene, Direction(target=the("fly"), viewpoint=None, anchor=the("cup")))

    assert answer.value == word
    assert answer.evidence == ("r1", "r0")


@pytest.mark.parametrize("sectors", ["sides", "compass"])
def test_same_place_has_no_direction(sectors):
    scene = photo(("cup", (140, 140, 160, 160)), ("fly", (145, 145, 155, 155)))

    answer = ask(
        scene, Direction(target=the("fly"), viewpoint=None, anchor=the("cup"), sectors=sectors)
    )

    assert answer.status is Status.AMBIGUOUS
    assert answer.value is None


def test_direction_of_several_is_open_and_lists_them():
    answer = ask(STREET, Direction(target=the("dog"), viewpoint=None, sectors="sides"))

    assert answer.status is Status.AMBIGUOUS
    assert "dog-1" in answer.note
    assert "dog-2" in answer.note


def test_place_is_a_ninth_of_the_picture():
    assert ask(STREET, Attribute(source=the("car"), name="place")).value == "middle"
    assert ask(STREET, Attribute(source=Select("dogs"), name="place")).value == (
        "bottom left", "bottom right",
    )  # fmt: skip


def test_place_of_one_of_two_is_open():
    answer = ask(STREET, Attribute(source=the("dog"), name="place"))

    assert answer.status is Status.AMBIGUOUS
    assert "dog-1, dog-2" in answer.note


def test_regions_that_answer_no_phrase_are_left_out():
    regions = Regions(
        ids=("a", "b"), boxes=torch.tensor([[0.0, 0, 1, 1], [2, 2, 3, 3]]), scores=torch.ones(2),
        phrases=("dog",), phrase_ids=torch.tensor([-1, 0]), image_size=(9, 9),
    )  # fmt: skip

    assert PlaneScene(regions).ids == ("b",)


def test_no_regions_at_all():
    scene = PlaneScene(Regions.empty(phrases=("dog",), image_size=(9, 9)))

    assert ask(scene, Count(Select("dog"))).value == 0
    assert ask(scene, Direction(target=the("dog"), viewpoint=None)).status is Status.UNKNOWN_OBJECT


def test_many_regions_of_a_phrase_get_names_in_one_pass():
    scene = photo(*[("dot", (i, 0, i + 1, 1)) for i in range(2000)], size=(2000, 10))

    assert scene.names[0] == "dot-1"
    assert scene.names[-1] == "dot-2000"
    assert len(set(scene.names)) == 2000
