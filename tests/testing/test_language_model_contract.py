"""The contract accepts a good model and catches every way of breaking it; so does the run."""

from __future__ import annotations

import inspect
import itertools
import random
from dataclasses import replace

import numpy as np
import pytest

from groundplane.core.answer import Answer
from groundplane.core.errors import InputError, ProtocolError
from groundplane.core.expressions import Select
from groundplane.core.image import FrameMap
from groundplane.core.orchestrator import Budget, Orchestrator, Resolvers
from groundplane.core.queries import Count
from groundplane.core.session import (
    Done,
    Failed,
    Ground,
    Locate,
    Need,
    Prompt,
    Query,
    Resolved,
    Text,
)
from groundplane.testing.language_models import (
    FakeResolver,
    LanguageModelContract,
    ScriptedModel,
    Wait,
    picture,
)


def _good(index, prompt):
    """Say the question again, ask for a region and a number, and tell both."""
    yield Text(sequence=index, text=f"{prompt.text} ")
    size = len(prompt.text)
    yield (
        Locate(
            sequence=index,
            boxes=np.array([[0.0, 0.0, 1.0, 1.0]]),
            frame_map=FrameMap.identity(),
            span=(0, size),
        ),
        Ground(sequence=index, request="g", phrases=("dog",), span=(0, size)),
        Query(sequence=index, request="q", expression=Count(Select("dog")), on=("g",)),
        Need(sequence=index, requests=("g", "q")),
    )
    yield lambda outcomes: [
        Text(sequence=index, text=f"{name} {type(outcomes[name]).__name__}; ")
        for name in ("g", "q")
    ]
    yield Done(sequence=index)


def _with(*items, at=None):
    """The good script with items put in at a place; before Done unless told."""

    def script(index, prompt):
        good = list(_good(index, prompt))
        place = len(good) - 1 if at is None else at
        return good[:place] + [item(index) for item in items] + good[place:]

    return ScriptedModel(script)


def _text(text):
    return lambda index: Text(sequence=index, text=text)


def _not_str(index):
    event = Text(sequence=index, text="")
    object.__setattr__(event, "text", 7)
    return event


class _Broken:
    """A good model that is broken where a subclass overrides it."""

    def __init__(self):
        self.inner = ScriptedModel(_good)

    def open(self, prompts):
        return _BrokenSession(self, self.inner.open(prompts), list(prompts))

    def step(self, session, resolutions, prompts):
        return session.step(resolutions)


class _BrokenSession:
    def __init__(self, owner, session, prompts):
        self.owner, self.session, self.prompts = owner, session, prompts

    def step(self, resolutions):
        return self.owner.step(self.session, resolutions, self.prompts)


class _NoSession(_Broken):
    def open(self, prompts):
        return "session"


class _SpeaksToNobody(_Broken):
    def step(self, session, resolutions, prompts):
        return session.step(resolutions) or [Text(sequence=0, text="hello")]


class _NeedsResults(_Broken):
    def step(self, session, resolutions, prompts):
        events = session.step(resolutions)
        if not events and not resolutions:
            raise RuntimeError("nothing came")
        return events


class _StopsOn(_Broken):
    """Says nothing more once it got a certain outcome."""

    def __init__(self, stops):
        super().__init__()
        self.stops = stops
        self.stopped = False

    def step(self, session, resolutions, prompts):
        self.stopped = self.stopped or self.stops(resolutions)
        return [] if self.stopped else session.step(resolutions)


class _CountsSessions(_Broken):
    def __init__(self):
        count = itertools.count()
        self.inner = ScriptedModel(
            lambda i, p: [Text(sequence=i, text=str(next(count))), Done(sequence=i)]
        )


class _CountsPrompts(_Broken):
    def step(self, session, resolutions, prompts):
        return [
            replace(event, text=f"{event.text}{len(prompts)}") if isinstance(event, Text) else event
            for event in session.step(resolutions)
        ]


class _PaintsOver(_Broken):
    def step(self, session, resolutions, prompts):
        for prompt in prompts:
            prompt.images[0].pixels[:] = 0
        return session.step(resolutions)


class _TakesAway(_Broken):
    def open(self, prompts):
        session = super().open(list(prompts))
        if prompts:
            prompts.append(prompts[0])
        return session


def _failed_as(kind):
    return lambda outcomes: any(isinstance(o, Failed) and o.kind == kind for o in outcomes)


def _got_alone(outcomes):
    return len(outcomes) == 1


def _got_reversed(outcomes):
    return [o.request for o in outcomes[:2]] == ["q", "g"]


def _got_result(outcomes):
    return any(isinstance(outcome, Resolved) for outcome in outcomes)


FAR = (0, 10_000)

BROKEN = [
    ("test_opens_a_session", {}, _NoSession),
    ("test_empty_batch_gives_no_events", {}, _SpeaksToNobody),
    ("test_steps_without_results_are_allowed", {}, _NeedsResults),
    ("test_sequences_are_in_range", {}, lambda: _with(lambda i: Text(sequence=i + 9, text="x"))),
    (
        "test_request_ids_are_unique_within_a_sequence",
        {},
        lambda: _with(lambda i: Ground(sequence=i, request="g", phrases=("cat",))),
    ),
    (
        "test_only_earlier_requests_are_named",
        {},
        lambda: _with(lambda i: Need(sequence=i, requests=("nothing",)), at=0),
    ),
    (
        "test_only_earlier_requests_are_named",
        {},
        lambda: _with(
            lambda i: Query(
                sequence=i, request="z", expression=Count(Select("dog")), on=("nothing",)
            )
        ),
    ),
    (
        "test_images_exist",
        {},
        lambda: _with(
            lambda i: Locate(
                sequence=i,
                boxes=np.zeros((0, 4)),
                frame_map=FrameMap.identity(),
                span=(0, 1),
                image=7,
            )
        ),
    ),
    ("test_text_is_text", {}, lambda: _with(_not_str)),
    (
        "test_spans_lie_in_the_text",
        {},
        lambda: _with(lambda i: Ground(sequence=i, request="far", phrases=("a",), span=FAR)),
    ),
    ("test_ends_when_requests_are_resolved", {}, lambda: _StopsOn(_got_result)),
    *(
        (
            "test_ends_when_requests_fail",
            {"kind": kind},
            lambda kind=kind: _StopsOn(_failed_as(kind)),
        )
        for kind in ("error", "deadline", "budget", "unsupported")
    ),
    (
        "test_ends_in_any_order_of_results",
        {"order": "reversed"},
        lambda: _StopsOn(_got_reversed),
    ),
    ("test_ends_in_any_order_of_results", {"order": "one by one"}, lambda: _StopsOn(_got_alone)),
    (
        "test_says_nothing_after_done",
        {},
        lambda: ScriptedModel(lambda i, p: [*_good(i, p), Text(sequence=i, text="more")]),
    ),
    ("test_batch_equals_singles", {}, _CountsPrompts),
    ("test_same_input_gives_same_output", {}, _CountsSessions),
    ("test_prompts_are_unchanged", {}, _PaintsOver),
    ("test_prompts_are_unchanged", {}, _TakesAway),
]


def _call(name, model, others):
    """Call one check of the contract with its default prompts and results."""
    contract = LanguageModelContract()
    contract.max_steps = 50
    prompts = LanguageModelContract.prompts.__wrapped__(contract)
    given = {"model": model, "prompts": prompts, **others}
    given["resolve"] = LanguageModelContract.resolve.__wrapped__(contract, prompts)
    check = getattr(contract, name)
    return check(**{key: given[key] for key in inspect.signature(check).parameters})


class TestGoodModel(LanguageModelContract):
    @pytest.fixture
    def model(self):
        return ScriptedModel(_good)


@pytest.mark.parametrize(
    ("name", "others", "broken"),
    BROKEN,
    ids=[f"{name}-{number}" for number, (name, _, _) in enumerate(BROKEN)],
)
def test_contract_catches_a_broken_model(name, others, broken):
    _call(name, ScriptedModel(_good), others)
    with pytest.raises((AssertionError, RuntimeError)):
        _call(name, broken(), others)


def test_every_check_has_a_broken_model():
    checks = {name for name in dir(LanguageModelContract) if name.startswith("test_")}
    assert checks == {name for name, _, _ in BROKEN}


def test_contract_without_a_model_says_what_to_override():
    with pytest.raises(NotImplementedError, match="override the fixture `model`"):
        LanguageModelContract.model.__wrapped__(LanguageModelContract())


def test_scripted_model_plays_one_item_a_step():
    model = ScriptedModel([[_text("a")(0), (), (_text("b")(0), _text("c")(0)), Done(sequence=0)]])
    session = model.open([Prompt(text="?")])
    said = [[getattr(event, "text", "done") for event in session.step([])] for _ in range(5)]
    assert said == [["a"], [], ["b", "c"], ["done"], []]


def test_scripted_model_waits_with_and_without_need():
    ask = Ground(sequence=0, request="g", phrases=("dog",))
    for item in (Need(sequence=0, requests=("g",)), Wait(requests=("g",))):
        session = ScriptedModel([[(ask,), item, Done(sequence=0)]]).open([Prompt(text="?")])
        early = [session.step([]) for _ in range(3)]
        result = Resolved(sequence=0, request="g", value=1)
        assert not any(isinstance(event, Done) for step in early for event in step)
        assert session.step([result]) == [Done(sequence=0)]


def test_scripted_model_records_what_it_was_given():
    model, prompt = ScriptedModel([[Done(sequence=0)]]), Prompt(text="?")
    result = Resolved(sequence=0, request="g", value=1)
    session = model.open([prompt])
    session.step([])
    session.step([result])
    assert model.opened == [(prompt,)]
    assert model.given == [(), (result,)]


def test_scripted_model_refuses_more_prompts_than_scripts():
    with pytest.raises(InputError, match="at most 1 prompts"):
        ScriptedModel([[]]).open([Prompt(text="a"), Prompt(text="b")])


# What the orchestrator makes of models that break the protocol.


def _ground(name="g", span=None, i=0):
    return Ground(sequence=i, request=name, phrases=("dog",), span=span)


def _query(name="q", *on):
    return Query(sequence=0, request=name, expression=Count(Select("dog")), on=on)


def _locate(number=0.0, *, image=0):
    boxes, frame_map = np.full((1, 4), number), FrameMap.identity()
    return Locate(sequence=0, boxes=boxes, frame_map=frame_map, span=(0, 0), image=image)


class _Solver(FakeResolver):
    def __init__(self):
        super().__init__(lambda call: Answer(value=1))


def _run(model, *, prompts=1, budget=None):
    solver = _Solver()
    budget = budget or Budget()
    runner = Orchestrator(model, resolvers=Resolvers(query=solver), budget=budget)
    prompt = Prompt(text="?", images=(picture(4, 4),))
    return runner.run([prompt] * prompts), solver


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([Need(sequence=0, requests=("z",))], r"0: Need.*unknown requests z; known: none"),
        ([_ground(), _ground()], r"0: Ground.*'g' was used before"),
        ([_query("q", "z")], r"0: Query.*unknown requests z"),
        ([_query("q", "q")], r"0: Query.*unknown requests q"),
        ([Done(sequence=0), _text("x")(0)], r"0: Text.*after Done"),
        ([_text("x")(5)], r"5: Text.*expected a sequence of 0 to 1"),
        ([_text("x")(-1)], r"-1: Text.*expected a sequence of 0 to 1"),
        ([_not_str(0)], r"0: Text.*expected str as text, got int"),
        ([_ground(span=(3, 1))], r"0: Ground.*expected a span"),
        ([_ground(span=(0, 4)), Done(sequence=0)], r"0: Done.*ends at 4, .* 0 characters"),
        ([_locate(image=1)], r"0: Locate.*image 1, but the prompt has 1 images"),
        ([_locate(float("nan"))], r"0: Locate.*finite boxes"),
    ],
)
def test_run_names_model_sequence_and_event_of_a_broken_protocol(items, message):
    other = [*[_text("x")(1)] * 5, Done(sequence=1)]
    lines = [(lambda outcomes, item=item: [item]) for item in items]
    with pytest.raises(ProtocolError, match=f"'ScriptedModel', sequence {message}"):
        _run(ScriptedModel([lines, other]), prompts=2)


def test_run_checks_what_open_and_step_give():
    class StepsNothing(_Broken):
        def step(self, session, resolutions, prompts):
            return None

    class SaysStrings(_Broken):
        def step(self, session, resolutions, prompts):
            return ["event"]

    with pytest.raises(ProtocolError, match=r"'SaysStrings', sequence .*'event': str is not an"):
        _run(SaysStrings())
    with pytest.raises(ProtocolError, match=r"open\(\) gave str"):
        _run(_NoSession())
    with pytest.raises(ProtocolError, match=r"step\(\) gave NoneType"):
        _run(StepsNothing())


def test_a_model_that_always_calls_stops_at_the_cap_in_a_thousand_runs():
    for seed in range(1000):
        rng = random.Random(seed)
        calls, cap = rng.randrange(5), rng.randrange(6, 30)

        def script(rng=rng):
            for number in itertools.count():
                asks = [_query(f"{number}-{k}") for k in range(rng.randrange(1, 4))]
                wait = [Need(sequence=0, requests=(asks[0].request,))] * rng.randrange(2)
                yield (*asks, *wait)

        budget = Budget(calls=calls, events=cap)
        (text,), solver = _run(ScriptedModel([script()]), budget=budget)
        names = [step.name for step in text.trace]
        assert text.finish == "budget"
        assert names.count("query") + names.count("need") == cap, seed
        assert sum(map(len, solver.batches)) == min(calls, names.count("query")), seed
