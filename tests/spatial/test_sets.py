"""Which objects a set expression names, on small scenes whose answers are worked out by hand."""

import pytest
import torch

from groundplane.core.answer import Status
from groundplane.core.expressions import (
    And,
    Except,
    Extreme,
    Filter,
    Or,
    Relate,
    Select,
    Unique,
    Viewpoint,
)
from groundplane.core.queries import Count, Exists, Measure
from groundplane.spatial import relations
from groundplane.spatial.scene import MapScene
from groundplane.spatial.solver import Solver
from groundplane.testing.scenes import SceneBuilder

CHAIRS = Select("chairs")


def the(name):
    return Unique(Select(name))


def room(**details):
    """A table with a cup on it, three chairs east of it, a lamp far off; x runs east."""
    return (
        SceneBuilder(**details)
        .add("table", at=(0, 0, 0.35), size=(1.6, 0.8, 0.7))
        .add("cup", at=(0.2, 0, 0.75), size=(0.1, 0.1, 0.1), attributes={"color": "red"})
        .add("chair", at=(1.5, 0, 0.5), size=(0.5, 0.5, 1.0), attributes={"color": "red"})
        .add("chair", at=(3.0, 0, 0.5), size=(0.5, 0.5, 1.2), attributes={"color": "blue"})
        .add("chair", at=(6.0, 0, 0.5), size=(0.5, 0.5, 0.8))
        .add("floor lamp", at=(0, 8, 0.8), size=(0.3, 0.3, 1.6))
    )


def ask(query, scene=None):
    return Solver(MapScene((scene or room()).build())).solve(query)


def nearest(source, anchor, *, largest=False, rank=1):
    return Extreme(source=source, measure="distance", largest=largest, anchor=anchor, rank=rank)


def related(source, relation, anchor, **details):
    return Relate(source=source, relation=relation, anchor=anchor, **details)


# -- select -------------------------------------------------------------------------------


def test_phrase_names_its_objects_by_label_synonym_kind_and_id():
    assert ask(CHAIRS).value == ("chair-1", "chair-2", "chair-3")
    assert ask(Select("mug")).value == ("cup",)
    lamp = ask(Select("lamp"))
    assert lamp.value == ("floor lamp",)
    assert "took floor lamp as 'lamp'" in lamp.note
    for text in ("chair-2", "chair 2", "Chair_2", "the chair #2"):
        assert ask(the(text)).value == "chair-2"


def test_anything_names_all_objects():
    assert len(ask(Select()).value) == 6


def test_colour_in_a_phrase_picks_by_attribute():
    assert ask(the("blue chair")).value == "chair-2"


def test_colour_that_nothing_states_is_not_an_absence():
    answer = ask(Exists(Select("green chair")))

    assert answer.value is None
    assert answer.status is Status.UNKNOWN_OBJECT
    assert "does not say which is 'green'" in answer.note


def test_unknown_object_lists_what_there_is_and_near_names():
    answer = ask(the("tabel"))

    assert answer.status is Status.UNKNOWN_OBJECT
    assert "table (1), cup (1), chair (3), floor lamp (1)" in answer.note
    assert "Did you mean 'table'?" in answer.note
    assert ask(Exists(Select("piano"))).value is False
    assert ask(Exists(Select("tabel"))).value is None


def test_unknown_object_anywhere_stops_the_query():
    for query in (
        And((CHAIRS, Select("piano"))),
        Except(CHAIRS, Select("piano")),
        Or((CHAIRS, Select("piano"))),
        related(CHAIRS, "near", the("piano")),
        nearest(CHAIRS, the("piano")),
        Count(Select("piano")),
    ):
        assert ask(query).status is Status.UNKNOWN_OBJECT


# -- counting ----------------------------------------------------------------------------------


def test_count_and_its_evidence():
    answer = ask(Count(CHAIRS))

    assert (answer.value, answer.unit, answer.status) == (3, "count", Status.ANSWERED)
    assert answer.evidence == ("chair-1", "chair-2", "chair-3")
    assert answer.note == ""


def test_stated_count_goes_before_boxes_and_says_so():
    answer = ask(Count(CHAIRS), room(counts={"chair": 5, "sofa": 2}))

    assert answer.value == 5
    assert answer.note == "the scene states 5 and holds boxes for 3"
    assert ask(Count(Select("sofas")), room(counts={"sofa": 2})).value == 2


def test_what_is_only_counted_exists_but_cannot_be_measured():
    scene = room(counts={"sofa": 2})

    assert ask(Exists(Select("sofa")), scene).value is True
    for query in (
        Measure(name="height", of=(the("sofa"),)),
        Measure(name="distance", of=(the("sofa"), the("cup"))),
    ):
        answer = ask(query, scene)
        assert answer.status is Status.UNKNOWN_OBJECT
        assert "counts 2 of 'sofa' and holds no box" in answer.note


# -- and, or, except, filter, unique -----------------------------------------------------------


def test_and_or_except():
    near = related(Select(), "within", the("table"), limit=1.0)

    assert ask(And((CHAIRS, near))).value == ("chair-1",)
    assert ask(Except(CHAIRS, near)).value == ("chair-2", "chair-3")
    assert ask(Or((Select("cup"), CHAIRS, Select("mug")))).value == (
        "cup", "chair-1", "chair-2", "chair-3",
    )  # fmt: skip


def test_evidence_of_and_holds_what_each_part_rests_on():
    answer = ask(And((CHAIRS, related(Select(), "near", the("table")))))

    assert answer.value == ("chair-1",)
    assert answer.evidence == ("chair-1", "table")


def test_sets_do_not_inherit_the_stated_count_of_their_source():
    scene = room(counts={"chair": 9})
    near = related(Select(), "near", the("table"))

    assert ask(Count(CHAIRS), scene).value == 9
    assert ask(Count(And((CHAIRS, near))), scene).value == 1
    assert ask(Count(Except(CHAIRS, near)), scene).value == 2
    assert ask(Count(Filter(CHAIRS, "color", "red")), scene).value == 1
    assert ask(Count(Or((CHAIRS, Select("cup")))), scene).value == 10


def test_filter_by_attribute_says_what_is_not_stated():
    answer = ask(Filter(CHAIRS, "color", "RED"))

    assert answer.value == ("chair-1",)
    assert "the color of 1 of them is not stated" in answer.note
    assert ask(Count(Filter(Select("cup"), "color", "blue"))).value == 0


@pytest.mark.parametrize(
    ("word", "count"), [("blue", 2), ("dark blue", 1), ("navy", 0), ("red", 1)]
)
def test_filter_takes_a_shade_for_its_colour_as_a_phrase_does(word, count):
    builder = SceneBuilder()
    for x, color in enumerate(("dark blue", "blue", "red")):
        builder.add("chair", at=(x, 0, 0.5), attributes={"color": color})

    assert ask(Count(Filter(CHAIRS, "color", word)), builder).value == count


def test_filter_by_what_nothing_states_is_refused_not_zero():
    answer = ask(Count(Filter(CHAIRS, "material", "wood")))

    assert answer.status is Status.CANNOT_DETECT
    assert answer.value is None


def test_unique_of_several_is_open_and_lists_all():
    answer = ask(the("chair"))

    assert answer.status is Status.AMBIGUOUS
    assert answer.value == ("chair-1", "chair-2", "chair-3")
    assert "there are 3 of 'chair'" in answer.note
    assert ask(the("cup")).status is Status.ANSWERED


# -- relate ------------------------------------------------------------------------------------


def test_related_objects_come_nearest_first_with_evidence_in_that_order():
    scene = (
        SceneBuilder()
        .add("cup", at=(4, 0, 0))
        .add("cup", at=(1, 0, 0))
        .add("cup", at=(2, 0, 0))
        .add("bed", at=(0, 0, 0))
    )

    answer = ask(related(Select("cups"), "within", the("bed"), limit=9.0), scene)

    assert answer.value == ("cup-2", "cup-3", "cup-1")
    assert answer.evidence == ("cup-2", "cup-3", "cup-1", "bed")


def test_relation_without_anchor_asks_back():
    assert ask(related(CHAIRS, "near", None)).status is Status.AMBIGUOUS


def test_unknown_relation_is_refused():
    assert ask(related(CHAIRS, "orbits", the("table"))).status is Status.CANNOT_DETECT
    assert ask(related(CHAIRS, "within", the("table"))).status is Status.CANNOT_DETECT


def test_within_and_beyond_part_the_rest():
    inside = ask(Count(related(CHAIRS, "within", the("table"), limit=1.96))).value
    outside = ask(Count(related(CHAIRS, "beyond", the("table"), limit=1.96))).value

    assert (inside, outside) == (2, 1)


def test_empty_anchor_set_gives_an_empty_set_that_says_so():
    on_lamp = related(Select("cup"), "on", the("lamp"))

    answer = ask(Count(related(CHAIRS, "near", on_lamp)))

    assert answer.value == 0
    assert "there is no cup on the lamp" in answer.note


@pytest.mark.parametrize(
    ("relation", "subject", "anchor", "value"),
    [
        ("on", "cup", "table", True),
        ("on", "chair-1", "table", False),
        ("under", "table", "cup", True),
        ("supports", "table", "cup", True),
        ("supports", "cup", "table", False),
        ("above", "cup", "table", True),
        ("below", "cup", "table", False),
        ("near", "chair-1", "table", True),
        ("near", "lamp", "table", False),
        ("next_to", "chair-1", "table", True),
        ("touches", "cup", "table", True),
        ("inside", "cup", "table", False),
        ("contains", "table", "cup", False),
    ],
)
def test_relation_between_two(relation, subject, anchor, value):
    answer = ask(Exists(related(the(subject), relation, the(anchor))))

    assert answer.value is value
    assert answer.status is Status.ANSWERED
    assert answer.frame.kind == "world"
    assert {"lamp": "floor lamp"}.get(anchor, anchor) in answer.evidence


def test_between_takes_what_the_line_passes():
    between = related(CHAIRS, "between", Or((the("table"), the("chair-3"))))

    answer = ask(between)

    assert answer.value == ("chair-1", "chair-2")
    assert set(answer.evidence) == {"chair-1", "chair-2", "table", "chair-3"}


@pytest.mark.parametrize(
    "ends", [CHAIRS, Or((the("table"), CHAIRS)), Or((the("table"), the("table"))), None]
)
def test_between_needs_two_single_things(ends):
    answer = ask(related(Select("cup"), "between", ends))

    assert answer.status is Status.AMBIGUOUS
    assert answer.value is None


def test_prefilter_of_relations_changes_no_result():
    generator = torch.Generator().manual_seed(3)
    builder = SceneBuilder()
    for label in ["sofa", "table", "cup", "shelf", "chair"] * 6:
        at = (torch.rand(3, generator=generator) * torch.tensor([6.0, 6.0, 1.0])).tolist()
        size = (torch.rand(3, generator=generator) + 0.02).tolist()
        builder.add(label, at=tuple(at), size=tuple(size), yaw=at[0] * 60)
    scene = MapScene(builder.build())
    every = torch.arange(30)
    for name in (*relations.WORLD_RELATIONS, "supports"):
        whole = scene._close_relation(name, every, every)
        one = [scene.relation(name, every, every[i : i + 1]) for i in range(30)]
        other = [scene.relation(name, every[i : i + 1], every) for i in range(30)]
        assert torch.equal(torch.cat(one, dim=1), whole), name
        assert torch.equal(torch.cat(other), whole), name
    assert scene.relation("on", every[:0], every).shape == (0, 30)
    assert scene.relation("on", every, every[:0]).shape == (30, 0)


# -- extreme -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("largest", "rank", "value"),
    [(False, 1, "chair-1"), (False, 2, "chair-2"), (True, 1, "chair-3"), (True, 3, "chair-1")],
)
def test_rank_by_distance(largest, rank, value):
    answer = ask(nearest(CHAIRS, the("table"), largest=largest, rank=rank))

    assert answer.value == value
    assert answer.evidence == (value, "table")


@pytest.mark.parametrize("rank", [0, 4, -1])
def test_rank_that_is_not_there_is_refused(rank):
    assert ask(nearest(CHAIRS, the("table"), rank=rank)).status is Status.UNKNOWN_OBJECT


def test_an_object_is_not_nearest_to_itself():
    assert ask(nearest(Select(), the("table"))).value == "cup"
    assert ask(nearest(CHAIRS, CHAIRS)).status is Status.UNKNOWN_OBJECT


def test_extreme_by_measure_of_one_object():
    def best(measure, *, largest):
        return ask(Extreme(source=CHAIRS, measure=measure, largest=largest)).value

    assert best("height", largest=True) == "chair-2"
    assert best("height", largest=False) == "chair-3"


def test_tie_is_noted_with_the_others():
    answer = ask(Extreme(source=CHAIRS, measure="width", largest=True))

    assert answer.value == "chair-1"
    assert "chair-2, chair-3 are as good as equal" in answer.note


def test_no_tie_is_told_where_there_is_none():
    assert "as good as" not in ask(nearest(CHAIRS, the("table"))).note


def test_option_counts_by_its_best_object():
    options = Or((the("lamp"), the("chair")))

    near = ask(nearest(options, the("table")))
    far = ask(nearest(options, the("table"), largest=True))

    assert (near.value, near.evidence[0]) == ("chair", "chair-1")
    assert (far.value, far.evidence[0]) == ("lamp", "floor lamp")
    assert any(step.name == "compare" for step in near.steps)


def test_options_that_tie_are_noted():
    scene = (
        SceneBuilder().add("bed", at=(0, 0, 0)).add("tv", at=(2, 0, 0)).add("oven", at=(-2, 0, 0))
    )

    answer = ask(nearest(Or((the("tv"), the("oven"))), the("bed")), scene)

    assert answer.value == "tv"
    assert "oven is as good as equal" in answer.note


def test_more_numerous_goes_by_stated_counts():
    scene = room(counts={"cup": 9})
    more = Extreme(source=Or((CHAIRS, Select("cups"))), measure="count", largest=True)
    fewer = Extreme(source=Or((CHAIRS, Select("cups"))), measure="count", largest=False)

    assert ask(more).value == "chair"
    assert ask(fewer).value == "cup"
    assert ask(more, scene).value == "cup"


def test_equal_numbers_are_noted():
    more = Extreme(source=Or((Select("cup"), Select("lamp"))), measure="count", largest=True)

    assert "there are as many of lamp: 1" in ask(more).note


def test_most_numerous_without_options_asks_back():
    query = Extreme(source=CHAIRS, measure="count", largest=True)

    assert ask(query).status is Status.AMBIGUOUS


# -- a singular that fits several --------------------------------------------------------------


def test_anchor_that_fits_several_is_open_where_the_result_depends_on_it():
    scene = (
        SceneBuilder()
        .add("bed", at=(0, 0, 0))
        .add("bed", at=(10, 0, 0))
        .add("tv", at=(1.5, 0, 0))
        .add("oven", at=(9.0, 0, 0))
    )

    answer = ask(nearest(Or((the("tv"), the("oven"))), the("bed")), scene)

    assert answer.status is Status.AMBIGUOUS
    assert answer.value == "oven"
    assert "there are 2 of 'bed' (bed-1, bed-2)" in answer.note
    assert "closest" in answer.note


def test_anchor_that_fits_several_is_answered_where_it_does_not_matter():
    answer = ask(nearest(Or((the("cup"), the("lamp"))), the("chair")))

    assert answer.status is Status.ANSWERED
    assert answer.value == "cup"
    assert "chair-1, chair-2, chair-3" in answer.note
    assert "the same for each" in answer.note


def test_subject_that_fits_several_is_open_where_it_holds_for_some():
    answer = ask(Exists(related(the("chair"), "near", the("table"))))

    assert answer.status is Status.AMBIGUOUS
    assert "it holds for chair-1 only" in answer.note

    answer = ask(Exists(related(the("chair"), "on", the("table"))))

    assert (answer.status, answer.value) == (Status.ANSWERED, False)
    assert "the same for each" in answer.note


def test_related_anchor_that_fits_several_is_open_where_they_differ():
    differ = ask(related(Select("cup"), "near", the("chair")))
    same = ask(related(Select("lamp"), "on", the("chair")))

    assert differ.status is Status.AMBIGUOUS
    assert "chair-1, chair-2, chair-3" in differ.note
    assert same.status is Status.ANSWERED
    assert "the same for each" in same.note


def test_viewpoint_that_fits_several_is_tried_at_each():
    def left_of_table(place):
        view = Viewpoint(origin=the(place), facing=the("table"))
        return ask(related(Select("lamp"), "left_of", the("table"), viewpoint=view))

    # All chairs stand east: from each the lamp in the north lies to the right.
    same = left_of_table("chair")

    assert (same.status, same.value) == (Status.ANSWERED, ())
    assert "chair-1, chair-2, chair-3" in same.note
    assert "the same for each" in same.note
    scene = room().add("chair", at=(-4, 0, 0.5))
    view = Viewpoint(origin=the("chair"), facing=the("table"))
    query = related(Select("lamp"), "left_of", the("table"), viewpoint=view)
    assert ask(query, scene).status is Status.AMBIGUOUS


def test_frame_of_a_viewpoint_deep_inside_is_named_and_its_objects_are_evidence():
    view = Viewpoint(origin=the("chair-3"), facing=the("table"))
    right = related(Select(), "right_of", the("table"), viewpoint=view)

    answer = ask(Count(related(CHAIRS, "beyond", Unique(right), limit=1.0)))

    assert answer.value == 3
    assert answer.frame.kind == "viewpoint"
    assert {"floor lamp", "table", "chair-3"} <= set(answer.evidence)
