"""The orchestrator: order, failures, deadlines, budgets, and one result whatever the timing."""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.answer import Answer, GroundedText
from groundplane.core.errors import InputError, MediaError, ProtocolError
from groundplane.core.expressions import Select
from groundplane.core.image import FrameMap
from groundplane.core.locations import Problem, ProblemKind
from groundplane.core.orchestrator import Budget, Orchestrator, Resolvers
from groundplane.core.queries import Count
from groundplane.core.session import Done, Failed, Ground, Locate, Need, Prompt, Query, Text
from groundplane.core.session_notes import Injected, Note
from groundplane.core.workers import WorkerPool
from groundplane.testing.language_models import FakeResolver, ScriptedModel, Wait, found, picture

PROMPT = Prompt(text="?", images=(picture(4, 4),))


def say(text, *refers, i=0):
    return Text(sequence=i, text=text, refers=refers)


def ground(name, *phrases, i=0, span=None):
    return Ground(sequence=i, request=name, phrases=phrases or (f"dog {name}",), span=span)


def query(name, *on, i=0):
    return Query(sequence=i, request=name, expression=Count(Select(name)), on=on)


def need(*names, i=0):
    return Need(sequence=i, requests=names)


def done(i=0):
    return Done(sequence=i)


def locate(boxes, *, span):
    boxes = np.array(boxes, dtype=float)
    return Locate(sequence=0, boxes=boxes, frame_map=FrameMap.identity(), span=span)


def tell(*names, i=0):
    """A line that tells what became of requests."""
    return lambda outcomes: [say(f"{name}={shown(outcomes[name])} ", i=i) for name in names]


def shown(outcome):
    if isinstance(outcome, Failed):
        return outcome.kind
    value = outcome.value
    return value.value if isinstance(value, Answer) else ",".join(value.regions.ids)


def found_here(call):
    return found(call.event, image_size=(4, 4))


def finder(before=None):
    return FakeResolver(lambda call: found(call.event, image_size=(4, 4)), before=before)


def solver(answer=lambda call: Answer(value=call.event.request)):
    return FakeResolver(answer)


def orchestrator(*scripts, ground=None, query=None, **options):
    model = ScriptedModel(list(scripts))
    resolvers = Resolvers(ground=ground or finder(), query=query or solver())
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

    return finder(before)


def test_no_prompts_open_no_session():
    runner, model = orchestrator()
    assert runner.run([]) == []
    assert model.opened == []


def test_text_is_joined_and_finish_kept():
    text = run([say("The "), (say("so"), say("fa.")), Done(sequence=0, finish="length")])
    assert (text.text, text.finish, text.mentions) == ("The sofa.", "length", ())


def test_mentions_come_from_refers_spans_and_located_boxes_in_order_of_the_text():
    boxes = [(0, 0, 1, 1), (1, 1, 2, 2)]
    cat = (ground("late", "cat", span=(4, 7)), locate(boxes, span=(4, 5)))
    dog = (ground("no span"), locate([(0, 0, 1, 1)], span=(0, 3)))
    text = run([say("dog cat "), cat, dog, say("sofa", "s1", "s2"), done()])
    assert [(m.span, m.ids) for m in text.mentions] == [
        ((0, 3), ("located-3",)),
        ((4, 5), ("located-1", "located-2")),
        ((4, 7), ("late-1",)),
        ((8, 12), ("s1", "s2")),
    ]


def test_answers_follow_the_queries_and_leave_failed_ones_out():
    given = {"a": Answer(value="a"), "b": ValueError("no"), "c": Answer(value="c")}
    answers = solver(lambda call: given[call.event.request])
    text = run([query("c"), (query("b"), query("a")), done()], query=answers)
    assert [answer.value for answer in text.answers] == ["c", "a"]


def test_requests_still_open_at_done_are_waited_for(gate):
    threading.Timer(0.05, gate.set).start()
    text = run([say("dog"), (ground("g", span=(0, 3)), done())], ground=hang_on(gate))
    assert text.mentions[0].ids == ("g-1",)


def test_trace_tells_each_event_and_what_became_of_it():
    text = run([say("a"), (ground("g"), need("g")), query("q", "g"), need("q"), done()])
    names = [step.name for step in text.trace]
    assert names == [
        "text", "ground", "need", "dispatch", "resolved",
        "query", "dispatch", "need", "resolved", "done",
    ]  # fmt: skip
    assert steps(text, "resolved") == [
        "'g': 1 regions: g-1 at [0.0, 0.0, 4.0, 4.0]", "'q': 'q', answered"
    ]  # fmt: skip
    assert steps(text, "dispatch")[0] == "'g' to ground resolver 'FakeResolver'"
    seconds = [step.seconds for step in text.trace]
    assert seconds == sorted(seconds)


def test_requests_of_one_step_and_kind_are_one_batch():
    experts, answers = finder(), solver()
    scripts = [[(ground(f"g{i}", i=i), query(f"q{i}", i=i)), done(i)] for i in range(3)]
    run(*scripts, ground=experts, query=answers)
    assert experts.batches == [["g0", "g1", "g2"]]
    assert answers.batches == [["q0", "q1", "q2"]]


def test_query_waits_for_what_it_is_about_and_gets_its_values():
    def answer(call):
        ids = [i.message if isinstance(i, Failed) else i.regions.ids for i in call.inputs]
        return Answer(value=str(ids))

    bad = replace(ground("b"), image=3)
    asks = (ground("a", "x", "y"), bad, query("q", "b", "a"), need("q"))
    text = run([asks, done()], query=solver(answer))
    assert text.answers[0].value == str(["image 3, but the prompt has 1 images", ("a-1", "a-2")])


def test_model_goes_on_while_a_request_runs(gate):
    def release(outcomes):
        return gate.set() or [say(f"{len(outcomes)} so far ")]

    script = [ground("g"), say("still "), release, need("g"), tell("g"), done()]
    assert run(script, ground=hang_on(gate)).text == "still 0 so far g=g-1 "


def test_other_sequences_go_on_while_one_waits(gate):
    waits = [(ground("g"), need("g")), tell("g"), done()]
    free = [lambda outcomes: gate.set() or [say("free", i=1)], done(1)]
    goes_on = [*[say("x", i=1)] * 20, *[()] * 20, *free]
    texts = run(waits, goes_on, ground=hang_on(gate))
    assert [text.text for text in texts] == ["g=g-1 ", "x" * 20 + "free"]


def test_results_may_come_in_another_order(gate):
    experts = hang_on(gate, "first")
    then = [lambda outcomes: gate.set() or [], need("first"), tell("first"), done()]
    script = [ground("first"), ground("second"), need("second"), tell("second"), *then]
    text = run(script, ground=experts)
    assert text.text == "second=second-1 first=first-1 "
    assert [detail[:8] for detail in steps(text, "resolved")] == ["'second'", "'first':"]


@pytest.mark.parametrize("last", [need("a", "b"), Wait(requests=("a", "b"))])
def test_waiting_takes_no_steps(gate, last):
    script = [ground("a"), ground("b"), last, tell("a", "b"), done()]
    runner, model = orchestrator(script, ground=hang_on(gate))
    threading.Timer(0.1, gate.set).start()
    assert runner.run([PROMPT])[0].text == "a=a-1 b=b-1 "
    assert len(model.given) <= 7


def test_need_of_settled_requests_does_not_wait():
    script = [ground("g"), need("g"), say("a"), need("g"), need(), say("b"), done()]
    assert run(script).text == "ab"


def test_a_session_without_progress_is_an_error():
    with pytest.raises(ProtocolError, match=r"'ScriptedModel', sequences 1: .*no progress"):
        run([done()], [say("x", i=1)])


def test_a_raising_batch_is_tried_again_one_by_one():
    def before(names):
        if "bad" in names:
            raise RuntimeError("two\n lines")

    experts = finder(before)
    asks = (ground("a"), ground("bad"), ground("c"), need("a", "bad", "c"))
    text = run([asks, tell("a", "bad", "c"), done()], ground=experts, workers=1)
    assert text.text == "a=a-1 bad=error c=c-1 "
    assert experts.batches == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]
    assert len(steps(text, "retry")) == 3
    failed = "'bad', error: ground resolver 'FakeResolver': RuntimeError: two lines"
    assert steps(text, "failed") == [failed]


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
    text = run([(query("q"), need("q")), tell("q"), done()], query=Gives(value))
    assert text.text == "q=error "
    assert steps(text, "failed") == [f"'q', error: query resolver 'Gives': {message}"]


def test_each_kind_needs_its_own_type_of_result():
    text = run([(ground("g"), need("g")), done()], ground=Gives([Answer(value=1)]))
    assert "expected DetectResult, got Answer" in steps(text, "failed")[0]


def test_request_without_a_resolver_is_unsupported():
    model = ScriptedModel([[(ground("g"), query("q"), need("g", "q")), tell("g", "q"), done()]])
    text = Orchestrator(model, resolvers=Resolvers(query=solver())).run([PROMPT])[0]
    assert text.text == "g=unsupported q=q "


def test_what_the_model_raises_passes_through():
    def line(outcomes):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run([line])


@pytest.fixture
def interrupts():
    """Interrupts are heard: a shell starts background jobs with them ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_interrupt_while_waiting_passes_through(gate):
    def before(names):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        gate.wait()

    with pytest.raises(KeyboardInterrupt):
        run([(ground("g"), need("g")), done()], ground=finder(before))


def test_interrupt_raised_by_a_resolver_passes_through():
    with pytest.raises(KeyboardInterrupt):
        run([(query("q"), need("q")), done()], query=Gives(KeyboardInterrupt()))


def test_a_hanging_request_fails_and_starves_nobody(gate):
    script = [ground("hangs"), ground("next"), need("next"), tell("next", "hangs"), done()]
    text = run(script, ground=hang_on(gate, "hangs"), workers=1, budget=Budget(deadline=0.15))
    assert text.text == "next=next-1 hangs=deadline "
    failed = "'hangs', deadline: ground resolver 'FakeResolver': no result within 0.15 s"
    assert steps(text, "failed") == [failed]


def test_a_late_result_is_dropped_and_noted(gate):
    experts = hang_on(gate, "a")

    def release(outcomes):
        gate.set()
        experts.threads[0].join(5)  # it was replaced, so it ends once its result is in
        return []

    script = [ground("a", span=(0, 1)), need("a"), ground("b"), need("b"), release,
              tell("a"), say("."), done()]  # fmt: skip
    text = run(script, ground=experts, workers=1, budget=Budget(deadline=0.15))
    assert text.text == "a=deadline ."
    assert text.mentions == ()
    assert steps(text, "late") == ["'a' dropped what ground resolver 'FakeResolver' gave"]


def test_when_every_thread_hangs_requests_are_refused_until_one_comes_back(gate):
    experts = hang_on(gate, *"abcd")
    names = "abcde"
    script = [*((ground(name), need(name)) for name in names), tell(*names), done()]
    runner, _ = orchestrator(script, ground=experts, workers=1, budget=Budget(deadline=0.15))
    text = runner.run([PROMPT])[0]
    assert text.text == "a=deadline b=deadline c=deadline d=deadline e=error "
    assert "not run: 4 calls past their deadline hang" in steps(text, "failed")[-1]
    gate.set()
    for thread in experts.threads:
        thread.join(5)
    assert runner.run([PROMPT])[0].text == "".join(f"{name}={name}-1 " for name in names)


def test_queued_requests_are_refused_when_the_last_thread_is_lost(gate):
    asks = [ground(name) for name in "abcdef"]
    script = [*asks, need(*"abcdef"), tell("e", "f"), done()]
    text = run(script, ground=hang_on(gate), workers=1, budget=Budget(deadline=0.02))
    assert text.text == "e=error f=error "


def test_threads_leave_when_the_run_is_over():
    run([(ground("g"), need("g")), done()], ground=(experts := finder()))
    experts.threads[0].join(5)
    assert not experts.threads[0].is_alive()


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
    command = [sys.executable, "-c", HANGS]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout.split(), ended.stderr) == (0, ["deadline", "False"], "")


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


def test_text_over_the_cap_is_cut_and_others_go_on():
    endless = (say("abc", "x") for _ in itertools.count())
    other = [*[say("y", i=1)] * 9, done(1)]
    texts = run(endless, other, budget=Budget(text=10))
    assert [(t.text, t.finish) for t in texts] == [("abcabcabca", "budget"), ("y" * 9, "complete")]
    assert [m.span for m in texts[0].mentions] == [(0, 3), (3, 6), (6, 9), (9, 10)]


def test_mentions_beyond_the_cap_are_cut_or_left_out():
    asks = (ground("a", span=(2, 9)), ground("b", span=(7, 9)))
    text = run([asks, say("abcdefghi"), done()], budget=Budget(text=5))
    assert [(m.span, m.ids) for m in text.mentions] == [((2, 5), ("a-1",))]


def test_seconds_over_end_a_sequence_that_waits(gate):
    script = [say("kept"), (ground("g"), need("g")), done()]
    text = run(script, ground=hang_on(gate), budget=Budget(seconds=0.2))
    assert (text.text, text.finish) == ("kept", "budget")
    assert steps(text, "failed") == ["'g', budget: the run's 0.2 s are over"]


def test_seconds_over_end_a_sequence_that_never_stops():
    endless = (say("") for _ in itertools.count())
    assert run(endless, budget=Budget(seconds=0.05, events=10**9)).finish == "budget"


def test_stream_tells_what_happens_as_it_happens():
    runner, model = orchestrator([say("a"), say("b"), (ground("g"), need("g")), done()])
    updates = runner.stream([PROMPT])
    assert next(updates).text == "a"
    assert len(model.given) == 1
    kinds = [type(update).__name__ for update in updates]
    assert kinds == ["Text", "Ground", "Need", "Resolved", "Done", "Finished"]


def test_closing_a_stream_gives_up_what_runs(gate):
    runner, model = orchestrator([ground("g"), say("a"), done()], ground=hang_on(gate))
    updates = runner.stream([PROMPT])
    next(updates)
    updates.close()
    assert len(model.given) == 1
    assert list(updates) == []


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
        results = [found(call.event, image_size=(4, 4)) for call in calls]
        names = [call.event.request for call in calls]
        return [ValueError("bad") if n == "bad" else r for n, r in zip(names, results, strict=True)]


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
    together = run(*scripts, ground=Turns(used), workers=PHASES)
    for i, text in enumerate(together):
        alone = run(timed_script(0, phases[i], bad=bad[i]), ground=Turns([phases[i]]), workers=1)
        assert replace(text, trace=()) == replace(alone, trace=())


class TestTheSameAgain:
    def test_phrases_that_were_looked_for_are_not_looked_for_again(self):
        resolver = FakeResolver(found_here)
        twice = (ground("a", "cat", span=(0, 3)), ground("b", "cat", span=(4, 7)), need("a", "b"))
        text = run([say("cat cat"), twice, ground("c", "cat"), need("c"), done()], ground=resolver)
        assert resolver.batches == [["a"]]
        assert [mention.ids for mention in text.mentions] == [("a-1",), ("a-1",)]
        assert steps(text, "again")[0] == "'b' as 'a', which asked for the same"
        assert [len(regions) for regions in text.regions] == [1]

    def test_a_look_that_failed_is_taken_again(self):
        def fail_once(call):
            return ValueError("no") if call.event.request == "a" else found_here(call)

        resolver = FakeResolver(fail_once)
        play = [ground("a", "cat"), need("a"), ground("b", "cat"), need("b"), done()]
        run(play, ground=resolver)
        assert resolver.batches == [["a"], ["b"]]

    def test_regions_of_two_looks_never_share_a_name(self):
        def same_name(call):
            result = found_here(call)
            return replace(result, regions=replace(result.regions, ids=("dino-0",)))

        play = [say("a b"), (ground("a", span=(0, 1)), ground("b", span=(2, 3))), done()]
        text = run(play, ground=FakeResolver(same_name))
        assert [mention.ids for mention in text.mentions] == [("dino-0",), ("b/dino-0",)]
        assert [regions.ids for regions in text.regions] == [("dino-0", "b/dino-0")]
        assert text.regions[0].labels() == ("dog a", "dog b")


class TestWhatIsTold:
    def test_a_note_joins_the_trace_and_its_problem_the_problems(self):
        problem = Problem(kind=ProblemKind.TRUNCATED, message="cut off", span=(0, 2))
        note = Note(sequence=0, name="dropped", detail="one\nimage", problem=problem)
        text = run([say("a"), note, done()])
        assert steps(text, "dropped") == ["one image"]
        assert text.problems == (problem,)

    def test_what_was_injected_is_told_with_its_tokens_and_the_cache(self):
        told = Injected(sequence=0, request="a", text="<box>", tokens=(5, 6), before=9, after=12)
        text = run([ground("a"), need("a"), told, done()])
        assert steps(text, "injected") == ["'a': '<box>', 2 tokens, cache 9 to 12"]

    def test_an_injection_for_no_request_is_refused(self):
        with pytest.raises(ProtocolError, match="unknown requests"):
            run([Injected(sequence=0, request="a", text="x"), done()])

    def test_boxes_of_the_models_own_stay_with_their_mention(self):
        text = run([say("dog here"), locate([(0, 0, 1, 1)], span=(0, 3)), done()])
        assert text.mentions[0].located.boxes.tolist() == [[0, 0, 1, 1]]
        assert text.mentions[0].phrase == "dog"


class TestBudgetOfTokensAndBoxes:
    def test_a_sequence_ends_with_its_last_token_and_its_session_is_told(self):
        stopped = []
        model = ScriptedModel([[Text(sequence=0, text="a", tokens=4)] * 3 + [done()]])
        opened = model.open

        def open_with_stop(prompts):
            session = opened(prompts)
            session.stop = stopped.append
            return session

        model.open = open_with_stop
        runner = Orchestrator(model, resolvers=Resolvers(), budget=Budget(tokens=7))
        [text] = runner.run([Prompt(text="?")])
        assert (text.text, text.finish, stopped) == ("aa", "budget", [0])

    def test_a_result_of_too_many_regions_is_refused(self):
        play = [ground("g"), need("g"), done()]
        text = run(play, budget=Budget(boxes=0))
        assert steps(text, "failed")[0].endswith(
            "1 regions, more than the 0 that a result may have"
        )

    def test_a_session_is_closed_whatever_ends_the_run(self):
        closed = []
        for script in ([say("a"), done()], [say("a", i=7)]):
            model = ScriptedModel([script])
            opened = model.open

            def open_with_close(prompts, opened=opened):
                session = opened(prompts)
                session.close = lambda: closed.append(True)
                return session

            model.open = open_with_close
            with contextlib.suppress(ProtocolError):
                Orchestrator(model, resolvers=Resolvers()).run([Prompt(text="?")])
        assert closed == [True, True]


def test_pictures_are_looked_at_ahead_while_the_model_reads():
    class Ahead(FakeResolver):
        seen: ClassVar[list] = []

        def prefetch(self, images):
            self.seen.extend(images)

    resolver = Ahead(found_here)
    image = picture(4, 4)
    model = ScriptedModel([[ground("g"), need("g"), done()]])
    prompt = Prompt(text="?", images=(image,))
    Orchestrator(model, resolvers=Resolvers(ground=resolver)).run([prompt])
    assert resolver.seen == [image]
