"""The resolver of queries: on the prompt's scene, or on what an expert found."""

from dataclasses import replace

import pytest
import torch

from groundplane.core.answer import Answer, Status
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import InputError
from groundplane.core.expressions import (
    Except,
    Extreme,
    Relate,
    Select,
    Unique,
    Viewpoint,
)
from groundplane.core.queries import Attribute, Count, Direction, Exists, Measure
from groundplane.core.regions import Regions
from groundplane.core.session import Failed, Ground, Prompt, Query
from groundplane.core.workers import Call
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.resolver import QueryResolver
from groundplane.testing.scenes import SceneBuilder

COUNT = Query(sequence=0, request="q", expression=Count(Select("dogs")))


def call(event, scene=None, inputs=()):
    return Call(event=event, prompt=Prompt(text="?", scene=scene), inputs=tuple(inputs))


def found(outcome=Outcome.FOUND, note=""):
    boxes = torch.tensor([[0.0, 0, 9, 9], [20, 0, 29, 9]])
    count = 2 if outcome is Outcome.FOUND else 0
    regions = Regions(
        ids=("a", "b")[:count], boxes=boxes[:count], scores=torch.ones(count), phrases=("dog",),
        phrase_ids=torch.zeros(count, dtype=torch.long), image_size=(99, 99),
    )  # fmt: skip
    return DetectResult(regions=regions, outcomes=(outcome,), note=note)


def kennel():
    builder = SceneBuilder()
    for x in range(3):
        builder.add("dog", at=(x, 0, 0.2), size=(0.3, 0.3, 0.4))
    return builder.build()


def answer_of(*calls):
    return QueryResolver().resolve(calls)


def test_answers_on_the_scene_of_the_prompt():
    [answer] = answer_of(call(COUNT, kennel()))

    assert isinstance(answer, Answer)
    assert answer.value == 3
    assert answer.frame.kind == "world"


def test_answers_on_regions_in_the_image_plane():
    [answer] = answer_of(call(COUNT, inputs=[found(note="looked twice")]))

    assert answer.value == 2
    assert answer.evidence == ("a", "b")
    assert answer.frame.kind == "image"
    assert answer.note == "looked twice"


def test_found_nothing_is_none_and_cannot_look_is_a_refusal():
    none, cannot = answer_of(
        call(COUNT, inputs=[found(Outcome.NONE)]), call(COUNT, inputs=[found(Outcome.CANNOT)])
    )

    assert (none.value, none.status) == (0, Status.ANSWERED)
    assert (cannot.value, cannot.status) == (None, Status.CANNOT_DETECT)
    assert "'dog'" in cannot.note


def test_failed_expert_is_a_refusal_with_its_message():
    failed = Failed(sequence=0, request="g", kind="error", message="the expert fell over")

    [answer] = answer_of(call(COUNT, inputs=[failed]))

    assert answer.status is Status.CANNOT_DETECT
    assert answer.note == "the expert fell over"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (call(COUNT), "no scene and on no grounded regions"),
        (call(COUNT, scene="a string"), "not a CognitiveMap"),
        (call(COUNT, inputs=["text"]), "not on regions"),
        (call(COUNT, inputs=[found(), found()]), "rests on 2 requests"),
        (call(Ground(sequence=0, request="g", phrases=("dog",))), "cannot answer Ground"),
    ],
)
def test_call_that_cannot_be_answered_gives_its_error_alone(bad, words):
    error, answer = answer_of(bad, call(COUNT, kennel()))

    assert isinstance(error, InputError)
    assert words in str(error)
    assert answer.value == 3


def test_order_of_the_calls_is_kept_over_several_scenes():
    empty, full = SceneBuilder(counts={"dog": 7}).build(), kennel()

    answers = answer_of(*[call(COUNT, scene) for scene in (full, empty, full, empty)])

    assert [answer.value for answer in answers] == [3, 7, 3, 7]


def test_distance_method_is_the_one_chosen():
    scene = (
        SceneBuilder()
        .add("cup", at=(0, 0, 0), size=(0.52, 0.52, 0.52))
        .add("box", at=(2, 0.013, 0), yaw=30)
    )
    query = replace(
        COUNT,
        expression=Measure(name="distance", of=(Unique(Select("cup")), Unique(Select("box")))),
    )

    exact = QueryResolver().resolve([call(query, scene.build())])[0]
    sampled = QueryResolver(distance="sampled").resolve([call(query, scene.build())])[0]

    assert "exact" in exact.measure
    assert "sampled" in sampled.measure
    assert exact.value < sampled.value < exact.value + 0.1


def crowd(rows):
    """Boxes on a square lattice 2 m apart, the sofa in its corner and the tv east of it."""
    n = rows * rows
    k = torch.arange(n, dtype=torch.float64)
    unknown = torch.full((n,), torch.nan, dtype=torch.float64)
    return CognitiveMap(
        ids=("sofa", "tv", *(f"chair-{i}" for i in range(2, n))),
        labels=("sofa", "tv", *["chair"] * (n - 2)),
        objects=Boxes3D(
            centers=torch.stack([2 * (k % rows), 2 * (k // rows), 0 * k], dim=1),
            sizes=torch.full((n, 3), 0.5, dtype=torch.float64),
            axes=torch.eye(3, dtype=torch.float64).expand(n, 3, 3),
        ),
        scores=torch.ones(n, dtype=torch.float64),
        attributes=({},) * n,
        fronts=unknown[:, None].expand(n, 3),
        first_seen=unknown,
    )


def test_more_pairs_than_memory_holds_are_refused_with_a_reason():
    scene, chairs = crowd(80), Select("chairs")
    view = Viewpoint(origin=Unique(Select("sofa")), facing=Unique(Select("tv")))
    chair = Unique(chairs)
    asked = (
        Count(Relate(source=chairs, relation="near", anchor=chairs)),
        Count(Relate(source=chairs, relation="within", anchor=chairs, limit=1.0)),
        Count(Relate(source=chairs, relation="left_of", anchor=chairs, viewpoint=view)),
        Measure(name="distance", of=(chair, Select("chair"))),
        Direction(target=chair, viewpoint=Viewpoint(origin=chair, facing=chair)),
    )

    for answer in answer_of(*[call(replace(COUNT, expression=q), scene) for q in asked]):
        assert answer.status is Status.CANNOT_DETECT
        assert "pairs to compare; name fewer" in answer.note


def test_a_hundred_thousand_objects():
    rows = 316
    scene, chairs = crowd(rows), Select("chairs")
    sofa, tv = Unique(Select("sofa")), Unique(Select("tv"))
    east = Viewpoint(origin=sofa, facing=tv)
    asked = {
        Count(chairs): rows * rows - 2,
        Extreme(source=chairs, measure="distance", largest=False, anchor=sofa): f"chair-{rows}",
        Exists(Relate(source=chairs, relation="on", anchor=sofa)): False,
        Count(Relate(source=chairs, relation="within", anchor=sofa, limit=1.6)): 1,
        Count(Relate(source=chairs, relation="left_of", anchor=tv, viewpoint=east)): (
            rows * (rows - 1)
        ),
        Attribute(source=tv, name="place"): "1.50 m from the sofa",
        Direction(target=Unique(Select("chair-300")), viewpoint=east): "front",
        Count(Except(Select(), chairs)): 2,
    }

    answers = answer_of(*[call(replace(COUNT, expression=query), scene) for query in asked])

    assert [answer.value for answer in answers] == list(asked.values())
