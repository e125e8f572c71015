"""The resolver of queries: on the prompt's scene, or on what an expert found."""

from dataclasses import replace

import pytest
import torch

from groundplane.core.answer import Answer, Status
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import InputError
from groundplane.core.expressions import Select, Unique
from groundplane.core.queries import Count, Measure
from groundplane.core.regions import Regions
from groundplane.core.session import Failed, Ground, Prompt, Query
from groundplane.core.workers import Call
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
