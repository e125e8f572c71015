import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.core.regions import Regions
from groundplane.spatial.claim_relations import MapRelations, PlaneRelations, Wordings
from groundplane.spatial.plane import PlaneScene
from groundplane.spatial.relations.vsr import VSR_WORDS
from groundplane.testing.scenes import SceneBuilder

Box = tuple[float, float, float, float]


def picture(**boxes: Box) -> PlaneRelations:
    return PlaneRelations(regions(**boxes))


def regions(**boxes: Box) -> Regions:
    return Regions(
        ids=tuple(boxes),
        boxes=torch.tensor(list(boxes.values()), dtype=torch.float32).reshape(-1, 4),
        scores=torch.ones(len(boxes)),
        phrases=tuple(boxes),
        phrase_ids=torch.arange(len(boxes)),
        image_size=(100, 100),
    )


def told(checker: PlaneRelations | MapRelations, relation: str, *names: str) -> bool | None:
    """Whether a relation holds of single things; None where that cannot be told."""
    truths = checker.holds(relation, *([name] for name in names))
    return bool(truths.holds.all()) if bool(truths.known.all()) else None


# Wordings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names", "words"),
    [
        ("a cup to the left of it", ("left_of",), "to the left of"),
        ("A CUP ON TOP OF IT", ("on",), "ON TOP OF"),
        ("is at the right side of it", ("right_of",), "at the right side of"),
        ("far away from it", ("far",), "far away from"),
        ("across from it", ("opposite",), "across from"),
        ("along it", ("parallel", "next_to"), "along"),
        ("has as a part a wheel", (), "has as a part"),
    ],
)
def test_the_longest_wording_is_found(text: str, names: tuple[str, ...], words: str) -> None:
    [found] = Wordings().find(text)
    assert found.names == names
    assert text[slice(*found.span)] == words


def test_every_word_of_vsr_is_found_as_it_stands_in_the_table() -> None:
    for word, meaning in VSR_WORDS.items():
        found = Wordings().find(f"dog {word} the cat")
        assert found, word
        assert found[0].span == (4, 4 + len(word)), word
        # Questions' own wordings go first; they may tell more of a word than VSR's table.
        assert found[0].names or found[0].reason == meaning.reason


def test_a_wording_within_a_word_is_none() -> None:
    assert Wordings().find("an onion, a binder") == ()


def test_outside_denies_inside() -> None:
    [found] = Wordings().find("outside")
    assert (found.names, found.negated) == (("inside",), True)


# In a picture --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relation", "a", "b", "truth"),
    [
        ("left_of", (0, 0, 10, 10), (50, 0, 60, 10), True),
        ("left_of", (50, 0, 60, 10), (0, 0, 10, 10), False),
        ("left_of", (0, 0, 10, 10), (0, 50, 10, 60), None),
        ("above", (0, 0, 10, 10), (0, 50, 10, 60), True),
        ("above", (0, 50, 10, 60), (0, 0, 10, 10), False),
        ("above", (0, 0, 10, 10), (60, 50, 70, 60), None),
        ("under", (0, 50, 10, 60), (0, 0, 10, 10), True),
        ("under", (0, 0, 10, 10), (0, 50, 10, 60), False),
        ("on", (0, 0, 10, 11), (0, 10, 40, 30), True),
        ("on", (0, 0, 10, 10), (60, 60, 90, 90), False),
        ("on", (10, 15, 20, 25), (0, 10, 40, 30), None),
        ("supports", (0, 10, 40, 30), (0, 0, 10, 11), True),
        ("inside", (10, 10, 20, 20), (0, 0, 40, 40), True),
        ("inside", (50, 50, 90, 90), (0, 0, 40, 40), False),
        ("inside", (30, 30, 43, 43), (0, 0, 40, 40), None),
        ("contains", (0, 0, 40, 40), (10, 10, 20, 20), True),
        ("touches", (0, 0, 10, 10), (5, 5, 20, 20), None),
        ("touches", (0, 0, 10, 10), (50, 50, 60, 60), False),
        ("next_to", (0, 0, 10, 10), (11, 0, 21, 10), True),
        ("next_to", (0, 0, 10, 10), (80, 0, 90, 10), False),
        ("next_to", (0, 0, 10, 10), (25, 0, 35, 10), None),
        ("near", (0, 0, 10, 10), (15, 0, 25, 10), True),
        ("near", (0, 0, 10, 10), (80, 0, 90, 10), False),
        ("far", (0, 0, 10, 10), (80, 0, 90, 10), True),
        ("far", (0, 0, 10, 10), (11, 0, 21, 10), None),
        ("behind", (0, 0, 10, 10), (11, 0, 21, 10), None),
        ("facing", (0, 0, 10, 10), (11, 0, 21, 10), None),
        ("taller", (0, 0, 10, 10), (11, 0, 21, 90), None),
    ],
)
def test_a_picture_shows_a_relation_or_its_opposite_or_neither(
    relation: str, a: Box, b: Box, truth: bool | None
) -> None:
    assert told(picture(a=a, b=b), relation, "a", "b") is truth


def test_what_needs_depth_says_so() -> None:
    truths = picture(a=(0, 0, 1, 1), b=(5, 0, 6, 1)).holds("behind", ["a"], ["b"])
    assert "needs depth" in truths.reason


def test_between_two_things_is_beside_the_line_that_joins_them() -> None:
    checker = picture(a=(0, 0, 10, 10), b=(80, 0, 90, 10), c=(40, 0, 50, 10), d=(0, 60, 10, 70))
    assert told(checker, "between", "c", "a", "b") is True
    assert told(checker, "between", "b", "a", "c") is False
    assert checker.holds("between", ["c"], [], ["a"]).holds.shape == (1, 0, 1)


def test_a_thing_stands_in_no_relation_to_itself() -> None:
    checker = picture(a=(0, 0, 40, 40), same=(0, 0, 40, 40.5))
    assert told(checker, "inside", "a", "a") is False
    assert told(checker, "near", "a", "same") is False


def test_nothing_gives_empty_tables() -> None:
    assert picture().holds("left_of", [], []).holds.shape == (0, 0)
    assert picture(a=(0, 0, 1, 1)).holds("on", ["a"], []).known.shape == (1, 0)


def test_an_unknown_id_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="'z' is none of the 1 things"):
        picture(a=(0, 0, 1, 1)).holds("on", ["z"], ["a"])


_SIDE = st.floats(1, 40, width=32)
_AT = st.floats(0, 59, width=32)
_BOX = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), _AT, _AT, _SIDE, _SIDE)


@given(_BOX, _BOX, st.sampled_from(["left_of", "above", "on", "inside", "next_to", "near"]))
def test_a_claim_holds_where_the_answer_to_the_question_is_yes(a: Box, b: Box, name: str) -> None:
    """What `ask` affirms in a picture, a claim of it is never contradicted, and the reverse."""
    made = regions(a=a, b=b)
    scene, index = PlaneScene(made), torch.tensor([0])
    other = torch.tensor([1])
    if name == "left_of":
        asked = bool(scene.side(name, index, other, scene.middle()))
    else:
        asked = bool(scene.relation(name, index, other))
    claimed = told(PlaneRelations(made), name, "a", "b")
    same = bool(PlaneRelations(made).holds("contains", ["a"], ["b"]).holds) and a == b
    assert claimed in ((True,) if asked and not same else (False, None)) or _overlap(a, b) > 0.94


def _overlap(a: Box, b: Box) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (whole - shared)


@given(_BOX, _BOX)
def test_left_of_one_way_is_right_of_the_other(a: Box, b: Box) -> None:
    checker = picture(a=a, b=b)
    assert told(checker, "left_of", "a", "b") == told(checker, "right_of", "b", "a")


# On a map ------------------------------------------------------------------------------------


def room() -> MapRelations:
    scene = (
        SceneBuilder()
        .add("table", at=(0, 0, 0.4), size=(1, 1, 0.8))
        .add("cup", at=(0, 0, 0.85), size=(0.1, 0.1, 0.1))
        .add("chair", at=(2, 0, 0.5), size=(0.5, 0.5, 1))
        .add("chair", at=(4, 0, 0.5), size=(0.5, 0.5, 1))
        .build()
    )
    return MapRelations(scene)


def test_a_map_tells_relations_of_boxes() -> None:
    assert told(room(), "on", "cup", "table") is True
    assert told(room(), "on", "table", "cup") is False
    assert told(room(), "between", "chair-1", "table", "chair-2") is True


def test_left_and_right_on_a_map_need_somebody_who_looks() -> None:
    truths = room().holds("left_of", ["cup"], ["chair-1"])
    assert not bool(truths.known.any())
    assert "nobody is named who looks" in truths.reason


def test_facing_needs_a_front() -> None:
    assert told(room(), "facing", "chair-1", "table") is None


def test_a_map_measures_in_metres() -> None:
    gaps = room().measure("distance", ["table"], ["chair-1", "chair-2"])
    assert not isinstance(gaps, str)
    assert gaps.tolist() == [[pytest.approx(1.25), pytest.approx(3.25)]]
    heights = room().measure("height", ["table"])
    assert not isinstance(heights, str)
    assert heights.tolist() == [pytest.approx(0.8)]


def test_a_picture_has_no_metres() -> None:
    assert "no metres" in str(picture(a=(0, 0, 1, 1)).measure("height", ["a"]))


def test_what_a_map_holds_is_seen_and_what_it_does_not_is_not_there() -> None:
    assert room().sighting("chairs").ids == ("chair-1", "chair-2")
    assert room().sighting("sofa").ids == ()
    assert room().sighting("sofa").known
    assert not room().sighting("red chair").known
