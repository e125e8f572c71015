"""Every family: what is told in mid-sentence is read as without a cache, and read once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import groundplane
from groundplane.core.session import Ground, Prompt, Resolved
from groundplane.core.session_notes import Injected
from groundplane.grounding.dialects import dialect
from groundplane.language.decoding import Decoder
from groundplane.language.families import families
from groundplane.language.spans import encode
from groundplane.language.triggers import Trigger
from groundplane.testing.invariants import invariant_faults, run_counted, scores_without_cache
from groundplane.testing.language_checkpoints import save_language_model
from groundplane.testing.language_models import found, picture

PHOTO = picture(64, 48)
PROMPT = Prompt(text="Where is the dog?", images=(PHOTO,))
OTHER = Prompt(text="How many red chairs are there in it?", images=(picture(120, 30),))
NEEDS = {"smolvlm": "num2words"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}

    def model(name):
        if name in NEEDS:
            pytest.importorskip(NEEDS[name])
        if name not in made:
            folder = save_language_model(name, tmp_path_factory.mktemp(name))
            made[name] = groundplane.load(
                "language_models", "transformers", device="cpu", weights=str(folder),
                route="none", max_tokens=24, chunk=8,
            )  # fmt: skip
        return made[name]

    return model


class Interrupting:
    """Free but for a planned stretch after so many tokens, and no end before the last."""

    def __init__(self, engine, after, text):
        self.plan = encode(engine.tokenizer, text)
        self.after, self.spent = after, 0

    def allowed(self, said):
        at = self.spent - self.after
        self.spent += 1
        return [self.plan[at]] if 0 <= at < len(self.plan) else None


def asking(model, text, *, after=4, told=" red cup (3,4)", **settings):
    """The engine of a model that says a text after some free tokens, and waits for an answer."""
    engine = model.engine
    trigger = Trigger(
        open="<q>",
        close="</q>",
        ask=lambda a: Ground(sequence=a.sequence, request=a.request, phrases=("dog",)),
        tell=lambda outcome: told,
    )
    return replace(
        engine,
        ends=frozenset(),
        triggers=(trigger,),
        constrain=lambda prompt: Interrupting(engine, after, text),
        **settings,
    )


def answer(event):
    value = found(event, image_size=PHOTO.size)
    return Resolved(sequence=event.sequence, request=event.request, value=value)


def replacing(model):
    """The engine with a dialect in plain characters, whose own places an expert's replace."""
    spoken = dialect("qwen-vl")
    said = "<ref>a dog</ref><box>(1,2),(30,40)</box>"
    engine = asking(model, said, max_tokens=len(encode(model.engine.tokenizer, said)) + 16)
    return replace(engine, dialect=spoken, inject="replace", triggers=())


@pytest.mark.parametrize("name", families())
class TestEveryFamily:
    def test_what_is_told_is_read_as_without_a_cache_and_once(self, models, name):
        engine = asking(models(name), "<q>x</q>")
        [run] = run_counted(engine, [PROMPT], answer=answer)
        assert len(run.told) >= 3
        assert len(run.free) >= 8
        assert min(run.free) < min(run.told) < max(run.free)
        assert invariant_faults(engine, run) == []

    def test_what_replaces_its_own_place_is_read_as_without_a_cache(self, models, name):
        engine = replacing(models(name))
        [run] = run_counted(engine, [PROMPT], answer=answer)
        injected = [e for e in run.events if isinstance(e, Injected)]
        assert injected[0].cut > 3
        assert "30,40" not in engine.tokenizer.decode(list(run.said))
        assert invariant_faults(engine, run) == []

    def test_rows_of_a_batch_are_as_single_ones(self, models, name):
        engine = asking(models(name), "<q>x</q>")
        alone = [run_counted(engine, [prompt], answer=answer)[0] for prompt in (PROMPT, OTHER)]
        together = run_counted(engine, [PROMPT, OTHER], answer=answer)
        assert together[0].passed == sum(run.passed for run in alone)
        for one, same in zip(alone, together, strict=True):
            assert same.said == one.said
            assert invariant_faults(engine, same, alone=False) == []


class TestTheCheckerSees:
    @pytest.fixture
    def engine(self, models):
        return asking(models("llava"), "<q>x</q>")

    def test_a_wrong_continuation(self, engine):
        [run] = run_counted(engine, [PROMPT], answer=answer)
        at = max(run.free)
        wrong = (*run.said[:at], run.said[at] + 1, *run.said[at + 1 :])
        faults = invariant_faults(engine, replace(run, said=wrong))
        assert any(f"token {at}:" in fault for fault in faults)

    def test_wrong_scores_that_choose_the_same_token(self, engine):
        [run] = run_counted(engine, [PROMPT], answer=answer)
        at = max(run.free)
        off = dict(run.scores) | {at: run.scores[at] + 0.01}
        assert len(invariant_faults(engine, replace(run, scores=off))) == 1
        nothing = dict(run.scores) | {at: torch.full_like(run.scores[at], torch.nan)}
        assert len(invariant_faults(engine, replace(run, scores=nothing))) == 1

    @pytest.mark.parametrize("more", [-1, 1, 30])
    def test_tokens_that_are_read_twice_or_not_at_all(self, engine, more):
        [run] = run_counted(engine, [PROMPT], answer=answer)
        faults = invariant_faults(engine, replace(run, passed=run.passed + more))
        assert len(faults) == 1
        assert "went through the model" in faults[0]

    def test_positions_that_are_off_by_some(self, engine):
        shifted = replace(engine.decoder.family, first=engine.decoder.family.first + 5)
        off = replace(engine, decoder=Decoder(engine.decoder.model, shifted))
        [run] = run_counted(off, [PROMPT], answer=answer)
        assert invariant_faults(off, run)

    def test_a_prompt_of_another_picture(self, engine):
        [run] = run_counted(engine, [PROMPT], answer=answer)
        other = replace(PROMPT, images=(picture(30, 90),))
        assert invariant_faults(engine, replace(run, prompt=other))


def test_no_text_has_the_scores_of_the_prompt_alone(models):
    engine = models("llava").engine
    scores = scores_without_cache(engine, PROMPT, [])
    torch.testing.assert_close(scores[0], engine.decoder.begin(engine.prepare(PROMPT)).logits)
