"""The orchestrator: order, failures, deadlines, budgets, and one result whatever the timing."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.answer import Answer, GroundedText
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import InputError, MediaError, ProtocolError
from groundplane.core.expressions import Select
from groundplane.core.image import FrameMap, Image, Source
from groundplane.core.orchestrator import Budget, Finished, Orchestrator, Resolvers
from groundplane.core.queries import Count
from groundplane.core.regions import Regions
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
from groundplane.core.workers import WorkerPool
from groundplane.testing.language_models import ScriptedModel, Wait

PICTURE = Image(
    pixels=np.zeros((4, 4, 3), np.uint8),
    source=Source(name="black", content_hash="00"),
    frame_map=FrameMap.identity(),
)
PROMPT = Prompt(text="?", images=(PICTURE,))


def say(text, *refers, i=0):
    return Text(sequence=i, text=text, refers=refers)


def ground(name, *phrases, i=0, span=None):
    return Ground(sequence=i, request=name, phrases=phrases or ("dog",), span=span)


def query(name, *on, i=0):
    return Query(sequence=i, request=name, expression=Count(Select(name)), on=on)


def need(*names, i=0):
    return Need(sequence=i, requests=names)


def done(i=0):
    return Done(sequence=i)


def locate(boxes=((0.0, 0.0, 1.0, 1.0),), *, span=(0, 0), image=0):
    return Locate(
        sequence=0,
        boxes=np.array(boxes, dtype=float),
        frame_map=FrameMap.identity(),
        span=span,
        image=image,
    )


def tell(*names, i=0):
    """A line that tells what became of requests."""
    return lambda outcomes: [say(f"{name}={shown(outcomes[name])} ", i=i) for name in names]


def shown(outcome):
    if isinstance(outcome, Failed):
        return outcome.kind
    value = outcome.value
    return value.value if isinstance(value, Answer) else ",".join(value.regions.ids)


def found(event):
    """One region a phrase."""
    count = len(event.phrases)
    regions = Regions(
        ids=tuple(f"{event.request}.{phrase}" for phrase in event.phrases),
        boxes=torch.tensor([[0.0, 0.0, 4.0, 4.0]]).repeat(count, 1),
        scores=torch.ones(count),
        phrases=event.phrases,
        phrase_ids=torch.arange(count),
        image_size=(4, 4),
    )
    return DetectResult(regions=regions, outcomes=(Outcome.FOUND,) * count)


class Finder:
    """Finds every phrase; tells `before` each batch, and keeps the names of its requests."""

    def __init__(self, before=lambda names: None):
        self.before = before
        self.batches = []
        self.threads = []

    def resolve(self, calls):
        names = [call.event.request for call in calls]
        self.batches.append(names)
        self.threads.append(threading.current_thread())
        self.before(names)
        return [found(call.event) for call in calls]


class Solver:
    """Answers with the query's name and what it was given; or as `answer` says."""

    def __init__(self, answer=None):
        self.answer = answer or self.name_and_inputs
        self.batches = []

    @staticmethod
    def name_and_inputs(call):
        inputs = [i.kind if isinstance(i, Failed) else len(i.regions) for i in call.inputs]
        return Answer(value=f"{call.event.request}{inputs or ''}")

    def resolve(self, calls):
        self.batches.append([call.event.request for call in calls])
        return [self.answer(call) for call in calls]


def orchestrator(*scripts, finder=None, solver=None, **options):
    model = ScriptedModel(list(scripts))
    resolvers = Resolvers(ground=finder or Finder(), query=solver or Solver())
    return Orchestrator(model, resolvers=resolvers, **options), model


def run(*scripts, **options):
    """Run one prompt a script; the only text if there is one script."""
    runner, _ = orchestrator(*scripts, **options)
    texts = runner.run([PROMPT] * len(scripts))
    return texts[0] if len(scripts) == 1 else texts


def steps(text: GroundedText, name):
    return [step.detail for step in text.trace if step.name == name]


@pytest.fixture
def gate():
    """What hanging resolvers wait for; opened at the end, so that no thread stays."""
    event = threading.Event()
    yield event
    event.set()


def hang_on(gate, *hanging):
    """Hang in batches with these requests, or in all."""

    def before(names):
        if not hanging or set(names) & set(hanging):
            gate.wait()

    return Finder(before)


# What comes out.


def test_no_prompts_open_no_session():
    runner, model = orchestrator()
    assert runner.run([]) == []
    assert model.opened == []


def test_text_is_joined_and_finish_kept():
    text = run([say("The "), (say("so"), say("fa.")), Done(sequence=0, finish="length")])
    assert (text.text, text.finish, text.mentions) == ("The sofa.", "length", ())


def test_mentions_come_from_refers_spans_and_located_boxes_in_order_of_the_text():
    boxes = ((0, 0, 1, 1), (1, 1, 2, 2))
    text = run(
        [
            say("dog cat "),
            (ground("late", "cat", span=(4, 7)), locate(boxes, span=(4, 5))),
            (ground("none", span=None), locate(span=(0, 3)), say("sofa", "s1", "s2")),
            done(),
        ]
    )
    assert [(m.span, m.ids) for m in text.mentions] == [
        ((0, 3), ("located-3",)),
        ((4, 5), ("located-1", "located-2")),
        ((4, 7), ("late.cat",)),
        ((8, 12), ("s1", "s2")),
    ]


def test_answers_follow_the_queries_and_leave_failed_ones_out():
    solver = Solver(
        lambda c: ValueError("no") if c.event.request == "b" else Answer(value=c.event.request)
    )
    text = run([query("c"), (query("b"), query("a")), done()], solver=solver)
    assert [answer.value for answer in text.answers] == ["c", "a"]


def test_requests_still_open_at_done_are_waited_for(gate):
    finder = hang_on(gate)
    threading.Timer(0.05, gate.set).start()
    text = run([say("dog"), (ground("g", span=(0, 3)), done())], finder=finder)
    assert [m.ids for m in text.mentions] == [("g.dog",)]


def test_trace_tells_each_event_and_what_became_of_it():
    text = run([say("a"), (ground("g"), need("g")), query("q", "g"), need("q"), done()])
    names = [step.name for step in text.trace]
    assert names == [
        "text", "ground", "need", "dispatch", "resolved",
        "query", "dispatch", "need", "resolved", "done",
    ]  # fmt: skip
    assert steps(text, "resolved") == ["'g': 1 regions", "'q': 'q[1]', answered"]
    assert steps(text, "dispatch")[0] == "'g' to ground resolver 'Finder'"
    seconds = [step.seconds for step in text.trace]
    assert seconds == sorted(seconds)


# Batches, order, waiting.


def test_requests_of_one_step_and_kind_are_one_batch():
    finder, solver = Finder(), Solver()
    scripts = [[(ground(f"g{i}", i=i), query(f"q{i}", i=i)), done(i)] for i in range(3)]
    run(*scripts, finder=finder, solver=solver)
    assert finder.batches == [["g0", "g1", "g2"]]
    assert solver.batches == [["q0", "q1", "q2"]]


def test_query_waits_for_what_it_is_about_and_gets_its_values():
    def answer(call):
        ids = [i.message if isinstance(i, Failed) else i.regions.ids for i in call.inputs]
        return Answer(value=str(ids))

    bad = replace(ground("b"), image=3)
    asks = (ground("a", "x", "y"), bad, query("q", "b", "a"), need("q"))
    text = run([asks, done()], solver=Solver(answer))
    assert text.answers[0].value == str(["image 3, but the prompt has 1 images", ("a.x", "a.y")])


def test_model_goes_on_while_a_request_runs(gate):
    def release(outcomes):
        gate.set()
        return [say(f"{len(outcomes)} so far ")]

    script = [ground("g"), say("still "), release, need("g"), tell("g"), done()]
    assert run(script, finder=hang_on(gate)).text == "still 0 so far g=g.dog "


def test_other_sequences_go_on_while_one_waits(gate):
    def release(outcomes):
        gate.set()
        return [say("free", i=1)]

    waits = [(ground("g"), need("g")), tell("g"), done()]
    goes_on = [*(say("x", i=1) for _ in range(20)), *[()] * 20, release, done(1)]
    texts = run(waits, goes_on, finder=hang_on(gate))
    assert [text.text for text in texts] == ["g=g.dog ", "x" * 20 + "free"]


def test_results_may_come_in_another_order(gate):
    finder = hang_on(gate, "first")
    scripts = [[ground("first"), ground("second"), need("second"), tell("second"),
                lambda outcomes: gate.set() or [], need("first"), tell("first"), done()]]  # fmt: skip
    text = run(*scripts, finder=finder)
    assert text.text == "second=second.dog first=first.dog "
    assert [detail[:8] for detail in steps(text, "resolved")] == ["'second'", "'first':"]


@pytest.mark.parametrize("last", [need("a", "b"), Wait(requests=("a", "b"))])
def test_waiting_takes_no_steps(gate, last):
    runner, model = orchestrator(
        [ground("a"), ground("b"), last, tell("a", "b"), done()], finder=hang_on(gate)
    )
    threading.Timer(0.1, gate.set).start()
    assert runner.run([PROMPT])[0].text == "a=a.dog b=b.dog "
    assert len(model.given) <= 7


def test_need_of_settled_requests_does_not_wait():
    script = [ground("g"), need("g"), say("a"), need("g"), need(), say("b"), done()]
    assert run(script).text == "ab"


def test_a_session_without_progress_is_an_error():
    with pytest.raises(ProtocolError, match=r"'ScriptedModel', sequences 1: .*no progress"):
        run([done()], [say("x", i=1)])


# Failures.


def test_a_raising_batch_is_tried_again_one_by_one():
    def before(names):
        if "bad" in names:
            raise RuntimeError("two\n lines")

    finder = Finder(before)
    asks = (ground("a"), ground("bad"), ground("c"), need("a", "bad", "c"))
    text = run([asks, tell("a", "bad", "c"), done()], finder=finder, workers=1)
    assert text.text == "a=a.dog bad=error c=c.dog "
    assert finder.batches == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]
    assert len(steps(text, "retry")) == 3
    assert steps(text, "failed") == [
        "'bad', error: ground resolver 'Finder': RuntimeError: two lines"
    ]


class Gives:
    """Returns a fixed thing, or raises it."""

    def __init__(self, value):
        self.value = value

    def resolve(self, calls):
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "expected 1 results, got 0"),
        ([1, 2], "expected 1 results, got 2"),
        (None, "expected 1 results, got NoneType"),
        (iter([1]), "expected 1 results, got list_iterator"),
        (["yes"], "expected Answer, got str"),
        ([KeyError("x")], "KeyError: 'x'"),
        ([MediaError("cannot read it")], "cannot read it"),
        (OSError(), "OSError"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_what_a_resolver_does_wrong_fails_the_request(value, message):
    text = run([(query("q"), need("q")), tell("q"), done()], solver=Gives(value))
    assert text.text == "q=error "
    assert steps(text, "failed") == [f"'q', error: query resolver 'Gives': {message}"]


def test_ground_result_of_another_type_fails():
    text = run([(ground("g"), need("g")), done()], finder=Gives([Answer(value=1)]))
    assert "expected DetectResult, got Answer" in steps(text, "failed")[0]


def test_request_without_a_resolver_is_unsupported():
    model = ScriptedModel([[(ground("g"), query("q"), need("g", "q")), tell("g", "q"), done()]])
    text = Orchestrator(model, resolvers=Resolvers(query=Solver())).run([PROMPT])[0]
    assert text.text == "g=unsupported q=q "


def not_str():
    event = say("x")
    object.__setattr__(event, "text", 7)
    return event


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([need("z")], r"Need.*unknown requests z; known: none"),
        ([ground("g"), ground("g")], r"Ground.*'g' was used before"),
        ([query("q", "z")], r"Query.*unknown requests z"),
        ([query("q", "q")], r"Query.*unknown requests q"),
        ([done(), say("x")], r"Text.*after Done"),
        ([say("x", i=5)], r"sequence 5: Text.*expected a sequence of 0 to 1"),
        ([say("x", i=-1)], r"sequence -1: Text.*expected a sequence of 0 to 1"),
        (["event"], r"'event': str is not an event"),
        ([not_str()], r"Text.*expected str as text, got int"),
        ([ground("g", span=(3, 1))], r"Ground.*expected a span"),
        ([say("abc"), ground("g", span=(0, 4)), done()], r"Done.*ends at 4, but .* 3 characters"),
        ([locate(image=1)], r"Locate.*image 1, but the prompt has 1 images"),
        ([locate(((float("nan"),) * 4,))], r"Locate.*finite boxes"),
    ],
)
def test_broken_protocol_names_model_sequence_and_event(items, message):
    waits = [*[say("x", i=1)] * 5, done(1)]
    lines = [(lambda outcomes, item=item: [item]) for item in items]
    with pytest.raises(ProtocolError, match=f"'ScriptedModel', sequence .*{message}"):
        run(lines, waits)


def test_open_and_step_are_checked():
    class Wrong:
        def open(self, prompts):
            return self.session

        session = None

        def step(self, resolutions):
            return None

    with pytest.raises(ProtocolError, match=r"open\(\) gave NoneType"):
        Orchestrator(Wrong(), resolvers=Resolvers()).run([PROMPT])
    Wrong.session = Wrong()
    with pytest.raises(ProtocolError, match=r"step\(\) gave NoneType"):
        Orchestrator(Wrong(), resolvers=Resolvers()).run([PROMPT])


def test_what_the_model_raises_passes_through():
    def line(outcomes):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run([line])


def test_interrupt_while_waiting_passes_through(gate):
    def before(names):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        gate.wait()

    with pytest.raises(KeyboardInterrupt):
        run([(ground("g"), need("g")), done()], finder=Finder(before))


def test_interrupt_raised_by_a_resolver_passes_through():
    with pytest.raises(KeyboardInterrupt):
        run([(query("q"), need("q")), done()], solver=Gives(KeyboardInterrupt()))


# Deadlines and workers.


def test_a_hanging_request_fails_and_starves_nobody(gate):
    script = [ground("hangs"), ground("next"), need("next"), tell("next", "hangs"), done()]
    text = run(script, finder=hang_on(gate, "hangs"), workers=1, budget=Budget(deadline=0.05))
    assert text.text == "next=next.dog hangs=deadline "
    assert steps(text, "failed") == [
        "'hangs', deadline: ground resolver 'Finder': no result within 0.05 s"
    ]


def test_a_late_result_is_dropped_and_noted(gate):
    finder = hang_on(gate, "a")

    def release(outcomes):
        gate.set()
        finder.threads[0].join(5)  # it was replaced, so it ends once its result is in
        return []

    script = [ground("a", span=(0, 1)), need("a"), ground("b"), need("b"), release,
              tell("a"), say("."), done()]  # fmt: skip
    text = run(script, finder=finder, workers=1, budget=Budget(deadline=0.05))
    assert text.text == "a=deadline ."
    assert text.mentions == ()
    assert steps(text, "late") == ["'a' dropped what ground resolver 'Finder' gave"]


def test_when_every_thread_hangs_requests_are_refused_until_one_comes_back(gate):
    finder = hang_on(gate, *"abcd")
    names = "abcde"
    asks = [item for name in names for item in (ground(name), need(name))]
    script = [*asks, tell(*names), done()]
    runner, _ = orchestrator(script, finder=finder, workers=1, budget=Budget(deadline=0.02))
    text = runner.run([PROMPT])[0]
    assert text.text == "a=deadline b=deadline c=deadline d=deadline e=error "
    assert "not run: 4 calls past their deadline hang" in steps(text, "failed")[-1]
    gate.set()
    for thread in finder.threads:
        thread.join(5)
    assert runner.run([PROMPT])[0].text == "".join(f"{name}={name}.dog " for name in names)


def test_queued_requests_are_refused_when_the_last_thread_is_lost(gate):
    asks = [ground(name) for name in "abcdef"]
    script = [*asks, need(*"abcdef"), tell("e", "f"), done()]
    text = run(script, finder=hang_on(gate), workers=1, budget=Budget(deadline=0.02))
    assert text.text == "e=error f=error "


def test_threads_leave_when_the_run_is_over():
    finder = Finder()
    run([(ground("g"), need("g")), done()], finder=finder)
    finder.threads[0].join(5)
    assert not finder.threads[0].is_alive()


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": 2, "limit": 1}])
def test_pool_refuses_wrong_sizes(wrong):
    with pytest.raises(InputError, match="worker pool: expected"):
        WorkerPool(**wrong)


HANGS = """
import threading
from groundplane.core.expressions import Select
from groundplane.core.orchestrator import Budget, Orchestrator, Resolvers
from groundplane.core.session import Done, Need, Prompt, Query, Text

class Hangs:
    def resolve(self, calls):
        threading.Event().wait()

class Model:
    def open(self, prompts):
        return self
    def step(self, outcomes):
        if not outcomes:
            ask = Query(sequence=0, request="q", expression=Select("a"))
            return [ask, Need(sequence=0, requests=("q",))]
        return [Text(sequence=0, text=outcomes[0].kind), Done(sequence=0)]

model = Orchestrator(Model(), resolvers=Resolvers(query=Hangs()), budget=Budget(deadline=0.1))
print(model.run([Prompt(text="?")])[0].text)
import sys
print("torch" in sys.modules)
"""


def test_interpreter_exits_with_a_hanging_resolver_and_loads_no_torch():
    done = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["deadline", "False"], "")


# Budgets.


@pytest.mark.parametrize(
    "wrong",
    [{"calls": -1}, {"events": 0}, {"text": -1}, {"seconds": 0.0}, {"deadline": -1.0},
     {"seconds": float("nan")}, {"deadline": float("inf")}],
)  # fmt: skip
def test_budget_refuses_what_makes_no_sense(wrong):
    with pytest.raises(InputError, match=f"budget: expected {next(iter(wrong))} "):
        Budget(**wrong)


def test_one_call_too_many_fails_and_the_text_goes_on():
    asks = (query("a"), query("b"), query("c"), need("a", "b", "c"))
    text = run([asks, tell("a", "b", "c"), done()], budget=Budget(calls=2))
    assert (text.text, text.finish) == ("a=a b=b c=budget ", "complete")


def test_a_model_that_always_calls_stops_at_the_cap_in_a_thousand_runs():
    for seed in range(1000):
        rng = random.Random(seed)
        calls, cap = rng.randrange(5), rng.randrange(6, 30)
        solver = Solver()

        def script(rng=rng):
            for number in itertools.count():
                asks = [query(f"{number}-{k}") for k in range(rng.randrange(1, 4))]
                yield (*asks, need(asks[0].request)) if rng.random() < 0.5 else tuple(asks)

        budget = Budget(calls=calls, events=cap)
        text = run(script(), solver=solver, budget=budget)
        asked = len(steps(text, "query"))
        assert text.finish == "budget"
        assert sum(map(len, solver.batches)) == min(calls, asked), seed
        assert asked + len(steps(text, "need")) == cap, seed


def test_text_over_the_cap_is_cut_and_others_go_on():
    endless = (say("abc", "x") for _ in itertools.count())
    other = [*[say("y", i=1)] * 9, done(1)]
    texts = run(endless, other, budget=Budget(text=10))
    assert [(t.text, t.finish) for t in texts] == [("abcabcabca", "budget"), ("y" * 9, "complete")]
    assert [m.span for m in texts[0].mentions] == [(0, 3), (3, 6), (6, 9), (9, 10)]


def test_mentions_beyond_the_cap_are_cut_or_left_out():
    asks = (ground("a", span=(2, 9)), ground("b", span=(7, 9)))
    text = run([asks, say("abcdefghi"), done()], budget=Budget(text=5))
    assert [(m.span, m.ids) for m in text.mentions] == [((2, 5), ("a.dog",))]


def test_seconds_over_end_a_sequence_that_waits(gate):
    script = [say("kept"), (ground("g"), need("g")), done()]
    text = run(script, finder=hang_on(gate), budget=Budget(seconds=0.1))
    assert (text.text, text.finish) == ("kept", "budget")
    assert steps(text, "failed") == ["'g', budget: the run's 0.1 s are over"]


def test_seconds_over_end_a_sequence_that_never_stops():
    endless = (say("") for _ in itertools.count())
    text = run(endless, budget=Budget(seconds=0.05, events=10**9))
    assert text.finish == "budget"


# Streaming.


def test_stream_tells_what_happens_as_it_happens():
    runner, model = orchestrator([say("a"), say("b"), (ground("g"), need("g")), done()])
    updates = runner.stream([PROMPT])
    assert next(updates).text == "a"
    assert len(model.given) == 1
    kinds = [type(update) for update in updates]
    assert kinds == [Text, Ground, Need, Resolved, Done, Finished]


def test_closing_a_stream_gives_up_what_runs(gate):
    finder = hang_on(gate)
    runner, model = orchestrator([ground("g"), say("a"), done()], finder=finder)
    updates = runner.stream([PROMPT])
    next(updates)
    updates.close()
    assert len(model.given) == 1
    assert list(updates) == []


# One result, whatever the timing.

COUNT = 200
PHASES = 6


class Turns:
    """Finds in a given order of phases: a batch waits until those before it have answered."""

    def __init__(self, order):
        self.order, self.turn, self.changed = order, 0, threading.Condition()

    def resolve(self, calls):
        phase = int(calls[0].event.phrases[0])
        with self.changed:
            self.changed.wait_for(lambda: self.order[self.turn] == phase, timeout=30)
            self.turn += 1
            self.changed.notify_all()
        return [
            ValueError("bad") if call.event.request.startswith("bad") else found(call.event)
            for call in calls
        ]


def timed_script(i, phase, *, bad):
    """Talk until the phase comes, ask, talk on, wait, ask about the result, tell both."""
    name = "bad" if bad else "good"
    return [
        *(say(f"{n} ", i=i) for n in range(phase)),
        ground(name, str(phase), i=i, span=(0, 1)),
        *(say("- ", i=i) for _ in range(PHASES - phase)),
        (query("q", name, i=i), need("q", name, i=i)),
        tell(name, "q", i=i),
        done(i),
    ]


@settings(max_examples=12, deadline=None)
@given(
    order=st.permutations(range(PHASES)),
    phases=st.lists(st.integers(0, PHASES - 1), min_size=COUNT, max_size=COUNT),
    bad=st.lists(st.booleans(), min_size=COUNT, max_size=COUNT),
)
def test_many_sequences_in_any_order_give_what_each_gives_alone(order, phases, bad):
    used = [phase for phase in order if phase in phases]
    scripts = [timed_script(i, phases[i], bad=bad[i]) for i in range(COUNT)]
    together = run(*scripts, finder=Turns(used), workers=PHASES)
    for i, text in enumerate(together):
        alone = run(timed_script(0, phases[i], bad=bad[i]), finder=Turns([phases[i]]), workers=1)
        assert (text.text, text.mentions, text.answers, text.finish) == (
            alone.text,
            alone.mentions,
            alone.answers,
            alone.finish,
        )
