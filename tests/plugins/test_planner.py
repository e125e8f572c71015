"""The planner: the contract of language models, what it asks experts for, how it words answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from groundplane.core.answer import Answer, Status
from groundplane.core.detection import Outcome
from groundplane.core.host import load
from groundplane.core.orchestrator import Orchestrator, Resolvers
from groundplane.core.queries import Count
from groundplane.core.session import Done, Failed, Ground, Need, Prompt, Query, Resolved, Text
from groundplane.plugins.planner import Planner
from groundplane.spatial.resolver import QueryResolver
from groundplane.testing.language_models import (
    FakeResolver,
    LanguageModelContract,
    found,
    picture,
)
from groundplane.testing.scenes import SceneBuilder

PHOTO = picture(64, 48)
KITCHEN = SceneBuilder("kitchen").add("chair", at=(0, 0, 0)).add("chair", at=(2, 0, 0)).build()


class TestContract(LanguageModelContract):
    @pytest.fixture
    def model(self):
        return Planner()

    @pytest.fixture
    def prompts(self):
        return [
            Prompt(text="How many chairs are there?", scene=KITCHEN),
            Prompt(text="How many chairs are there?", images=(PHOTO,)),
            Prompt(text="What is left of the table?", images=(picture(40, 60), picture(8, 8)),
                   choices=("A. chair", "B. lamp"), vocabulary=("chair", "table")),
            Prompt(text="Write a poem."),
            Prompt(text="Is the lamp on the table?", scene=KITCHEN),
        ]  # fmt: skip


def test_it_is_found_by_name():
    assert isinstance(load("language_models", "planner", device="cpu"), Planner)


def opened(text, **details):
    """The session of one prompt and the events of its first step."""
    session = Planner().open([Prompt(text=text, **details)])
    return session, session.step([])


def grounded(text, vocabulary=None):
    """The phrases that one photo's question has looked for."""
    _, events = opened(text, images=(PHOTO,), vocabulary=vocabulary)
    grounds = [event for event in events if isinstance(event, Ground)]
    assert len(grounds) == 1
    return grounds[0].phrases


def said(events):
    return "".join(event.text for event in events if isinstance(event, Text))


class TestAsking:
    def test_a_scene_is_queried_and_nothing_is_grounded(self):
        _, events = opened("How many chairs are there?", scene=KITCHEN)

        assert [type(event) for event in events] == [Query, Need]
        assert isinstance(events[0].expression, Count)
        assert (events[0].on, events[1].requests) == ((), (events[0].request,))

    def test_a_photo_is_grounded_first_and_the_query_rests_on_it(self):
        _, events = opened("How many chairs are there?", images=(PHOTO,))

        assert [type(event) for event in events] == [Ground, Query, Need]
        assert events[1].on == (events[0].request,)

    @pytest.mark.parametrize(
        ("text", "phrases"),
        [
            ("How many chairs are there?", {"chair"}),
            ("Is the lamp on the table?", {"lamp", "table"}),
            ("How far is the sofa from the couch?", {"sofa"}),
            ("Are there more chairs than chairs?", {"chair"}),
            ("Which is closest to the tv: the television stand, the chair or the tv?",
             {"tv", "television stand", "chair"}),
            ("How big is the room?", set()),
        ],
    )  # fmt: skip
    def test_each_thing_is_looked_for_once(self, text, phrases):
        sent = grounded(text)

        assert sorted(sent) == sorted(phrases)

    def test_a_question_about_anything_sends_the_whole_vocabulary(self):
        assert grounded("What is left of the bus?", ("car", "dog", "bus")) == ("car", "dog", "bus")

    def test_what_the_vocabulary_lacks_is_sent_too(self):
        assert grounded("What is left of the bus?", ("car", "dog")) == ("car", "dog", "bus")

    def test_a_synonym_in_the_vocabulary_is_not_sent_twice(self):
        assert grounded("What is left of the couch?", ("sofa", "tv")) == ("sofa", "tv")

    def test_a_question_about_named_things_sends_no_more_than_those(self):
        assert grounded("How many cars are there?", ("car", "dog", "bus")) == ("car",)

    def test_a_label_of_the_vocabulary_is_a_name(self):
        text = "gizmo gadget distance"
        _, unknown = opened(text, images=(PHOTO,))

        assert isinstance(unknown[-1], Done)
        assert grounded(text, ("gizmo", "gadget")) == ("gizmo", "gadget")

    def test_nothing_is_asked_of_a_question_that_is_not_understood(self):
        _, events = opened("Write a poem.", images=(PHOTO,))

        assert [type(event) for event in events] == [Text, Done]
        assert events[1].finish == "not_understood"
        assert said(events).startswith("Question not understood: 'Write a poem.'")
        assert "How far is" in said(events) or "Which is" in said(events)


def answered(text, outcome, **details):
    """What is said when the query ends so."""
    session, events = opened(text, **details)
    request = next(event.request for event in events if isinstance(event, Query))
    if isinstance(outcome, str):
        return session.step([Failed(sequence=0, request=request, kind="deadline", message=outcome)])
    return session.step([Resolved(sequence=0, request=request, value=outcome)])


class TestSaying:
    @pytest.mark.parametrize(
        ("outcome", "sentence"),
        [
            (Answer(value=2, unit="count"), "There are 2 chairs."),
            (Answer(value=2, unit="count", status=Status.AMBIGUOUS, note="two rooms have chairs"),
             "There are 2 chairs. This is open: two rooms have chairs."),
            (Answer(value=None, status=Status.AMBIGUOUS, note="which of the two rooms?"),
             "Which of the two rooms?"),
            (Answer(value=None, status=Status.UNKNOWN_OBJECT, note="no 'chair' in this scene"),
             "No 'chair' in this scene."),
            (Answer(value=None, status=Status.CANNOT_DETECT, note="'opencv' finds only faces"),
             "'opencv' finds only faces."),
            (Answer(value=None, status=Status.NEEDS_VIDEO, note="needs the video"),
             "This needs the video."),
            (Answer(value=None, status=Status.NOT_UNDERSTOOD), "No answer: not_understood."),
            ("expert 'x' took too long", "This could not be answered: expert 'x' took too long."),
            (7, "This could not be answered: no answer came back."),
        ],
    )  # fmt: skip
    def test_every_outcome_is_a_sentence(self, outcome, sentence):
        events = answered("How many chairs are there?", outcome, scene=KITCHEN)

        finish = "complete" if isinstance(outcome, Answer) else "broken"
        assert (said(events), events[-1]) == (sentence, Done(sequence=0, finish=finish))

    def test_every_status_is_among_them(self):
        for status in Status:
            answer = Answer(value=None, status=status)
            assert said(answered("How many chairs are there?", answer, scene=KITCHEN)).endswith(".")

    def test_the_words_refer_to_what_they_speak_of(self):
        answer = Answer(value=2.6, unit="m", evidence=("sofa", "tv"))
        events = answered("How far is the sofa from the tv?", answer, scene=KITCHEN)

        refers = {e.text: e.refers for e in events if isinstance(e, Text) and e.refers}
        assert refers == {"The sofa": ("sofa",), "the tv": ("tv",)}

    def test_the_result_of_a_ground_alone_is_no_answer(self):
        session, events = opened("How many chairs are there?", images=(PHOTO,))
        ground = events[0]
        result = found(ground, image_size=PHOTO.size)

        done = Resolved(sequence=0, request=ground.request, value=result)
        assert session.step([done]) == []

    def test_an_answer_given_twice_is_said_once(self):
        session, events = opened("How many chairs are there?", scene=KITCHEN)
        answer = Resolved(sequence=0, request=events[0].request, value=Answer(value=1))

        assert session.step([answer])
        assert session.step([answer]) == []


def run(prompts, ground=None):
    resolvers = Resolvers(ground=ground, query=QueryResolver())
    return Orchestrator(Planner(), resolvers=resolvers).run(prompts)


def test_a_question_on_a_scene_is_answered_from_end_to_end():
    (finished,) = run([Prompt(text="How many chairs are there?", scene=KITCHEN)])

    assert finished.text == "There are 2 chairs."
    assert finished.answers[0].evidence == ("chair-1", "chair-2")


def test_a_question_on_a_photo_is_answered_from_end_to_end():
    fake = FakeResolver(lambda call: found(call.event, image_size=call.prompt.images[0].size))
    (finished,) = run([Prompt(text="Are there any chairs?", images=(PHOTO,))], fake)

    assert finished.text == "Yes, there is a chair."


def test_an_expert_that_cannot_look_is_told():
    def cannot(call):
        result = found(call.event, image_size=PHOTO.size)
        return replace(result, outcomes=(Outcome.CANNOT,), note="this expert knows no chairs")

    (finished,) = run(
        [Prompt(text="How many chairs are there?", images=(PHOTO,))], FakeResolver(cannot)
    )

    assert finished.text == "This expert knows no chairs."
    assert finished.answers[0].status is Status.CANNOT_DETECT
