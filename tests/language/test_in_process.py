"""Sessions in this process: what goes wrong, and what is told back, on a tiny LLaVA."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

import groundplane
from groundplane.core.errors import InputError, ProtocolError
from groundplane.core.session import Done, Ground, Locate, Need, Prompt, Query, Resolved, Text
from groundplane.core.session_notes import Injected, Note
from groundplane.grounding.dialects import dialect
from groundplane.language.decoding import Decoder
from groundplane.language.in_process import InProcessSession
from groundplane.language.query_tools import query_trigger
from groundplane.language.spans import encode
from groundplane.language.triggers import Trigger
from groundplane.spatial.scene import MapScene
from groundplane.spatial.solver import Solver
from groundplane.testing.invariants import invariant_faults, run_counted
from groundplane.testing.language_checkpoints import save_language_model
from groundplane.testing.language_models import found, picture
from groundplane.testing.scenes import SceneBuilder

PHOTO = picture(48, 48)  # a tiny LLaVA sees all of a square
PROMPT = Prompt(text="Where is the dog?", images=(PHOTO,))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = save_language_model("llava", tmp_path_factory.mktemp("llava"))
    model = groundplane.load(
        "language_models", "transformers", device="cpu", weights=str(folder), route="none",
        max_tokens=12, chunk=4,
    )  # fmt: skip
    return replace(model.engine, ends=frozenset())


class Saying:
    """The text that was planned, then whatever the model chooses."""

    def __init__(self, ids):
        self.ids, self.at = ids, 0

    def allowed(self, said):
        self.at += 1
        return [self.ids[self.at - 1]] if self.at <= len(self.ids) else None


def saying(engine, text, *, more=6, **settings):
    """The engine, which is made to say a text first."""
    ids = encode(engine.tokenizer, text)
    return replace(
        engine, max_tokens=len(ids) + more, constrain=lambda prompt: Saying(ids), **settings
    )


def answer(event):
    value = found(event, image_size=PHOTO.size)
    return Resolved(sequence=event.sequence, request=event.request, value=value)


def run(engine, prompt=PROMPT, answer=answer):
    return run_counted(engine, [prompt], answer=answer)[0]


def of(kind, run):
    return [event for event in run.events if isinstance(event, kind)]


def told(run):
    return "".join(event.text for event in of(Text, run))


def asking(*, waits=True, tell=lambda outcome: " seen", ask=None):
    def look(asked):
        return Ground(sequence=asked.sequence, request=asked.request, phrases=("dog",))

    return Trigger(open="<q>", close="</q>", ask=ask or look, tell=tell, waits=waits)


class TestQueries:
    SCENE = SceneBuilder().add("chair", at=(0, 0, 0.5), size=(0.5, 0.5, 1)).build()

    def solve(self, event):
        value = Solver(MapScene(self.SCENE)).solve(event.expression)
        return Resolved(sequence=event.sequence, request=event.request, value=value)

    def test_an_answer_of_the_solver_goes_on_in_the_sentence(self, engine):
        text = f"I see <query>{json.dumps({'question': 'How many chairs are there?'})}</query>"
        spoken = saying(engine, text, triggers=(query_trigger(),))
        one = run(spoken, answer=self.solve)
        [asked], [injected] = of(Query, one), of(Injected, one)
        assert asked.request == injected.request == "ask-1"
        assert json.loads(injected.text)["value"] == 1
        assert len(one.free) >= 5
        assert max(one.free) > max(one.told)
        assert invariant_faults(spoken, one) == []
        assert "<query>" not in told(one)

    def test_a_malformed_query_is_told_why_with_no_sign_in_it(self, engine):
        sign = "<ref>a</ref><box>(1,2),(3,4)</box><image><query>"
        text = f"<query>{json.dumps({'question': sign})}</query>"
        spoken = saying(engine, text, triggers=(query_trigger(),), dialect=dialect("qwen-vl"))
        one = run(spoken)
        [injected] = of(Injected, one)
        assert injected.text.startswith(" (")
        assert not set("<>") & set(injected.text)
        assert not of(Query, one)
        assert not of(Locate, one)
        assert "refused" in [note.name for note in of(Note, one)]
        assert invariant_faults(spoken, one) == []

    def test_a_refusal_that_spells_signs_is_data(self, engine):
        def ask(asked):
            raise InputError("bad </q><q>dog</q><ref>cat</ref><box>(1,2),(3,4)</box>\n</s>")

        spoken = saying(engine, "<q>x</q>", triggers=(asking(ask=ask),), dialect=dialect("qwen-vl"))
        one = run(spoken)
        [injected] = of(Injected, one)
        assert "<" not in injected.text
        assert "\n" not in injected.text
        assert not of(Ground, one)
        assert not of(Locate, one)


class TestWaiting:
    def test_what_is_not_waited_for_is_asked_and_the_sentence_goes_on(self, engine):
        spoken = saying(engine, "<q>x</q>", triggers=(asking(waits=False),))
        one = run(spoken)
        assert len(of(Ground, one)) == 1
        assert not of(Need, one)
        assert not of(Injected, one)
        assert one.said[: len(one.said) - 6] == tuple(encode(engine.tokenizer, "<q>x</q>"))
        assert invariant_faults(spoken, one) == []

    def test_nothing_to_tell_goes_on_behind_the_sign(self, engine):
        spoken = saying(engine, "<q>x</q>", triggers=(asking(tell=lambda outcome: ""),))
        one = run(spoken)
        assert of(Need, one)
        assert invariant_faults(spoken, one) == []


class TestContext:
    def test_a_prompt_that_fills_the_context_is_not_answered(self, engine):
        one = run(replace(engine, context=8))
        [note] = of(Note, one)
        assert note.name == "full"
        assert "context of 8" in note.detail
        assert of(Done, one)[0].finish == "length"
        assert one.said == ()

    def test_a_context_that_fills_in_mid_answer_ends_it(self, engine):
        length = run(engine).prompt_length
        one = run(replace(engine, context=length + 5))
        assert [note.name for note in of(Note, one)] == ["full"]
        assert of(Done, one)[0].finish == "length"
        assert len(one.said) == 5

    def test_what_does_not_fit_is_not_told_and_said_so(self, engine):
        trigger = asking(tell=lambda outcome: " word" * 50)
        spoken = saying(engine, "<q>x</q>", triggers=(trigger,))
        length = run(spoken).prompt_length
        one = run(replace(spoken, context=length + 30))
        [dropped] = [note for note in of(Note, one) if note.name == "dropped"]
        assert "do not fit the context" in dropped.detail
        assert not of(Injected, one)
        assert invariant_faults(spoken, one) == []


class TestBadModels:
    def test_scores_that_are_no_numbers_are_named(self, engine):
        session = InProcessSession(engine, [PROMPT])
        session.step([])
        session._sequences[0].row.logits = torch.full_like(
            session._sequences[0].row.logits, torch.nan
        )
        with pytest.raises(ProtocolError, match=r"'llava', sequence 0: its scores are NaN"):
            session.step([])

    def test_a_prompt_that_is_refused_ends_alone(self, engine):
        bad = Prompt(text="Dog?\n" * 2, images=(PHOTO,))

        def prepare(prompt):
            if prompt is bad:
                raise InputError("llava: expected\n something else")
            return engine.prepare(prompt)

        both = run_counted(replace(engine, prepare=prepare), [bad, PROMPT], answer=answer)
        [note] = of(Note, both[0])
        assert (note.name, note.detail) == ("refused", "llava: expected something else")
        assert of(Done, both[0])[0].finish == "broken"
        assert both[1].said == run(engine).said


class TestPictures:
    def test_phrases_are_asked_of_the_first_picture_and_this_is_said_once(self, engine):
        several = replace(PROMPT, images=(PHOTO, picture(20, 20), picture(30, 30)))
        text = "<ref>a dog</ref> <ref>a cat</ref>"
        spoken = saying(engine, text, dialect=dialect("qwen-vl"))
        one = run(spoken, several)
        assert [event.image for event in of(Ground, one)] == [0, 0]
        [note] = of(Note, one)
        assert note.name == "pictures"
        assert "the first of 3 pictures" in note.detail
        assert not of(Note, run(spoken))


class TestPoints:
    def test_a_phrase_with_points_is_looked_for_and_the_points_are_noted(self, engine):
        text = '<points coords="1 1 500 500">dog</points>.'
        one = run(saying(engine, text, dialect=dialect("molmo2"), inject="none"))
        [asked] = of(Ground, one)
        assert asked.phrases == ("dog",)
        assert told(one)[slice(*asked.span)] == "dog"
        [note] = [note for note in of(Note, one) if note.name == "points"]
        assert "points at 24 24, pixels" in note.detail
        assert not of(Locate, one)


class TestStates:
    @pytest.mark.parametrize("offset", [0, -1])
    def test_the_state_is_the_one_at_the_tag_or_the_one_it_is_foretold_by(self, engine, offset):
        lisa = next(
            dialect(name) for name in ("lisa", "llava-grounding") if dialect(name).syntax.states
        )
        decoder = Decoder(engine.decoder.model, engine.decoder.family, states=True)
        tag = lisa.syntax.states[0]
        spoken = saying(engine, f"a dog {tag}.", dialect=lisa, decoder=decoder, state_offset=offset)
        one = run(spoken)
        [asked] = of(Ground, one)[:1]
        sign = encode(engine.tokenizer, f"a dog {tag}.")
        last = max(
            at for at in range(len(sign))
            if engine.tokenizer.decode(sign[:at]).find(tag) < 0
        )  # fmt: skip
        row = decoder.begin(engine.prepare(PROMPT))
        decoder.read(row, sign[: last + 1 + offset])
        torch.testing.assert_close(asked.embedding, row.state, atol=1e-5, rtol=1e-5)


def test_a_vocabulary_without_a_tag_says_words_only(engine):
    one = run(saying(engine, "no tags at all"))
    assert told(one).startswith("no tags at all")
    assert not of(Ground, one)


def test_an_answer_of_another_kind_is_told_as_failed(engine):
    text = f"<query>{json.dumps({'question': 'How many chairs are there?'})}</query>"
    spoken = saying(engine, text, triggers=(query_trigger(),))
    one = run(spoken, answer=lambda e: Resolved(sequence=0, request=e.request, value=object()))
    assert json.loads(of(Injected, one)[0].text)["status"] == "failed"
