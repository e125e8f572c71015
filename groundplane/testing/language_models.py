"""For authors of language models: the contract as tests, and a scripted model for others' tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pytest
import torch

from groundplane.core.answer import Answer
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import InputError
from groundplane.core.image import FrameMap, Image, Source
from groundplane.core.orchestrator import Call
from groundplane.core.regions import Regions
from groundplane.core.session import (
    Done,
    Event,
    Failed,
    Ground,
    LanguageModel,
    Locate,
    Need,
    Prompt,
    Query,
    Resolved,
    Session,
    Text,
)

__all__ = [
    "FakeResolver",
    "LanguageModelContract",
    "Play",
    "ScriptedModel",
    "Wait",
    "found",
    "picture",
]

Outcomes = Mapping[str, Resolved | Failed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """In a script: say nothing, not even `Need`, until these requests have an outcome."""

    requests: tuple[str, ...]


Line = Callable[[Outcomes], Sequence[Event]]
Item = Event | tuple[Event, ...] | Wait | Line
Play = Iterable[Item]


class ScriptedModel:
    """A language model that plays a script, for tests of what runs language models.

    A script is played one item a step: an event, a tuple of events (empty: a silent step), a
    function of the sequence's outcomes so far that gives events, or `Wait`, which takes no step
    of its own. After `Need`, the script stands still until all that was named has an outcome.
    A script that ends without `Done` falls silent. Events are sent as they are, wrong ones too.

    Args:
        scripts: One script a sequence, or a function of index and prompt that gives it.

    Attributes:
        opened: The prompts of each session.
        given: What each step was given, over all sessions.
    """

    def __init__(self, scripts: Sequence[Play] | Callable[[int, Prompt], Play]) -> None:
        self._scripts = scripts
        self.opened: list[tuple[Prompt, ...]] = []
        self.given: list[tuple[Resolved | Failed, ...]] = []

    def open(self, prompts: Sequence[Prompt]) -> Session:
        """Begin to play.

        Raises:
            InputError: If there are more prompts than scripts.
        """
        self.opened.append(tuple(prompts))
        if callable(self._scripts):
            make = self._scripts
            return _ScriptedSession([make(i, p) for i, p in enumerate(prompts)], given=self.given)
        if len(prompts) > len(self._scripts):
            raise InputError(
                f"scripted model: expected at most {len(self._scripts)} prompts, one a script, "
                f"got {len(prompts)}"
            )
        return _ScriptedSession(self._scripts[: len(prompts)], given=self.given)


class _ScriptedSession:
    def __init__(
        self, scripts: Sequence[Play], *, given: list[tuple[Resolved | Failed, ...]]
    ) -> None:
        self._players = [_Player(script=iter(script)) for script in scripts]
        self._given = given

    def step(self, resolutions: Sequence[Resolved | Failed]) -> list[Event]:
        self._given.append(tuple(resolutions))
        for outcome in resolutions:
            self._players[outcome.sequence].outcomes[outcome.request] = outcome
        return [event for player in self._players for event in player.play()]


@dataclass(slots=True, eq=False, kw_only=True)
class _Player:
    """Where one sequence is in its script."""

    script: Iterator[Item]
    outcomes: dict[str, Resolved | Failed] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    def play(self) -> Sequence[Event]:
        while all(name in self.outcomes for name in self.needs):
            self.needs = ()
            item = next(self.script, ())
            if isinstance(item, Wait):
                self.needs = item.requests
                continue
            events = self._events(item)
            needs = [event.requests for event in events if isinstance(event, Need)]
            self.needs = tuple(name for names in needs for name in names)
            return events
        return ()

    def _events(self, item: Event | tuple[Event, ...] | Line) -> Sequence[Event]:
        if isinstance(item, tuple):
            return item
        return (item,) if isinstance(item, Event) else item(dict(self.outcomes))


class FakeResolver:
    """A resolver that gives each call what `answer` says.

    Args:
        answer: From a call to its result.
        before: Called first with the names of a batch's requests; it may hang or raise.

    Attributes:
        batches: The names of the requests of each batch.
        threads: The thread of each batch.
    """

    def __init__(
        self,
        answer: Callable[[Call], object],
        *,
        before: Callable[[list[str]], None] | None = None,
    ) -> None:
        self._answer = answer
        self._before = before
        self.batches: list[list[str]] = []
        self.threads: list[threading.Thread] = []

    def resolve(self, calls: Sequence[Call]) -> list[object]:
        """Answer each call."""
        names = [call.event.request for call in calls]
        self.batches.append(names)
        self.threads.append(threading.current_thread())
        if self._before is not None:
            self._before(names)
        return [self._answer(call) for call in calls]


def picture(width: int, height: int) -> Image:
    """A grey ramp of that many pixels."""
    pixels = np.linspace(0, 255, width * height * 3).reshape(height, width, 3).astype(np.uint8)
    source = Source(name=f"{width} by {height}", content_hash=f"{width:032x}{height:032x}")
    return Image(pixels=pixels, source=source, frame_map=FrameMap.identity())


def found(event: Ground, *, image_size: tuple[int, int]) -> DetectResult:
    """A result with one region a phrase, each of the whole image."""
    count, (width, height) = len(event.phrases), image_size
    regions = Regions(
        ids=tuple(f"{event.request}-{number}" for number in range(1, count + 1)),
        boxes=torch.tensor([[0.0, 0.0, width, height]]).repeat(count, 1),
        scores=torch.full((count,), 0.9),
        phrases=event.phrases,
        phrase_ids=torch.arange(count),
        image_size=image_size,
    )
    return DetectResult(regions=regions, outcomes=(Outcome.FOUND,) * count)


Order = Literal["as asked", "reversed", "one by one"]
FailureKind = Literal["error", "deadline", "budget", "unsupported"]
Answerer = Callable[[Ground | Query], Resolved | Failed]
Resolve = Callable[[Ground | Query], object]


@dataclass(slots=True, eq=False, kw_only=True)
class _Transcript:
    """What a session said, and which sequences have ended or wait."""

    prompts: tuple[Prompt, ...]
    events: list[Event] = field(default_factory=list)
    finish: dict[int, str] = field(default_factory=dict)
    needs: dict[int, set[str]] = field(default_factory=dict)
    silent: bool = True

    def add(self, events: list[Event]) -> None:
        self.events.extend(events)
        self.silent = not events
        for event in events:
            if isinstance(event, Done):
                self.finish[event.sequence] = event.finish
            elif isinstance(event, Need):
                self.needs[event.sequence] = set(event.requests)

    def settle(self, event: Ground | Query) -> None:
        self.needs.get(event.sequence, set()).discard(event.request)

    def of(self, sequence: int) -> list[Event]:
        return [event for event in self.events if event.sequence == sequence]

    def text(self, sequence: int) -> str:
        return "".join(event.text for event in self.of(sequence) if isinstance(event, Text))

    def said(self, sequence: int) -> list[str]:
        """What a sequence said, however its text was cut and whoever spoke in between."""
        events = [event for event in self.of(sequence) if not isinstance(event, Text)]
        return [self.text(sequence), *map(repr, events)]

    @property
    def live(self) -> list[int]:
        return [index for index in range(len(self.prompts)) if index not in self.finish]

    @property
    def stuck(self) -> bool:
        """Whether the last step was silent or every open sequence waits."""
        return self.silent or all(self.needs.get(index) for index in self.live)


def _drive(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    answer: Answerer,
    *,
    order: Order = "as asked",
    bound: int,
) -> _Transcript:
    """Run a session to its end, or to `bound` steps, and one step more."""
    transcript = _Transcript(prompts=tuple(prompts))
    session = model.open(prompts)
    asked: list[Ground | Query] = []
    for _ in range(bound):
        if not transcript.live:
            transcript.add(_step(session, []))
            break
        given = _next_given(asked, order=order, stuck=transcript.stuck)
        outcomes = [answer(event) for event in given]
        for event in given:
            transcript.settle(event)
        events = _step(session, outcomes)
        transcript.add(events)
        asked.extend(event for event in events if isinstance(event, Ground | Query))
    return transcript


def _step(session: Session, outcomes: Sequence[Resolved | Failed]) -> list[Event]:
    events = session.step(outcomes)
    assert isinstance(events, list), f"step gave {type(events).__name__}, expected a list"
    strange = [event for event in events if not isinstance(event, Event)]
    assert not strange, f"step gave {strange!r}, which are no events"
    return events


def _next_given(asked: list[Ground | Query], *, order: Order, stuck: bool) -> list[Ground | Query]:
    """Take from the open requests those whose outcome the next step gets."""
    if order == "as asked":
        given = list(asked)
    elif order == "one by one":
        given = asked[:1]
    else:
        given = asked[::-1] if stuck else []
    taken = set(map(id, given))
    asked[:] = [event for event in asked if id(event) not in taken]
    return given


def _snapshot(prompts: Sequence[Prompt]) -> list[object]:
    """What prompts hold, deeply copied, in a form that compares."""
    return [
        (
            prompt.text,
            prompt.choices,
            tuple((i.source, i.size, i.pixels.tobytes()) for i in prompt.images),
            repr(prompt.scene),
        )
        for prompt in prompts
    ]


class LanguageModelContract:
    """What every language model plugin must pass: subclass it and override `model`.

    Override `prompts` where the model needs other ones (at least two), and `resolve` where it
    needs other results. `max_steps` bounds a session.
    """

    max_steps = 5000

    @pytest.fixture
    def model(self) -> LanguageModel:
        """The model under test."""
        raise NotImplementedError("LanguageModelContract: override the fixture `model`")

    @pytest.fixture
    def prompts(self) -> list[Prompt]:
        """At least two prompts that the model can answer."""
        return [
            Prompt(text="How many chairs are there?", images=(picture(64, 48),)),
            Prompt(
                text="What is left of the table?",
                images=(picture(40, 60), picture(8, 8)),
                choices=("A. chair", "B. lamp"),
            ),
            Prompt(text="Where is the dog?", images=(picture(1, 1),)),
        ]

    @pytest.fixture
    def resolve(self, prompts: list[Prompt]) -> Resolve:
        """The result of a request: one region a phrase, and the number 1 for a query."""

        def result(event: Ground | Query) -> object:
            if isinstance(event, Query):
                return Answer(value=1)
            image = prompts[event.sequence].images[event.image]
            return found(event, image_size=image.size)

        return result

    def test_opens_a_session(self, model: LanguageModel, prompts: list[Prompt]) -> None:
        assert isinstance(model, LanguageModel), "the model has no open()"
        session = model.open(prompts)
        assert isinstance(session, Session), "open() gave something without step()"

    def test_empty_batch_gives_no_events(self, model: LanguageModel) -> None:
        session = model.open([])
        assert [_step(session, []), _step(session, [])] == [[], []]

    def test_steps_without_results_are_allowed(
        self, model: LanguageModel, prompts: list[Prompt]
    ) -> None:
        session = model.open(prompts)
        for _ in range(10):
            _step(session, [])

    def test_sequences_are_in_range(
        self, model: LanguageModel, prompts: list[Prompt], resolve: Resolve
    ) -> None:
        transcript = self._run(model, prompts, resolve)
        wrong = [e for e in transcript.events if not 0 <= e.sequence < len(prompts)]
        assert not wrong, f"{len(prompts)} prompts, but these events: {wrong!r}"

    def test_request_ids_are_unique_within_a_sequence(
        self, model: LanguageModel, prompts: list[Prompt], resolve: Resolve
    ) -> None:
        transcript = self._run(model, prompts, resolve)
        ids = [(e.sequence, e.request) for e in transcript.events if isinstance(e, Ground | Query)]
        twice = {name for name in ids if ids.count(name) > 1}
        assert not twice, f"used more than once (sequence, request): {sorted(twice)}"

    def test_only_earlier_requests_are_named(
        self, model: LanguageModel, prompts: list[Prompt], resolve: Resolve
    ) -> None:
        known: set[tuple[int, str]] = set()
        for event in self._run(model, prompts, resolve).events:
            named = event.requests if isinstance(event, Need) else ()
            named = event.on if isinstance(event, Query) else named
            unknown = [name for name in named if (event.sequence, name) not in known]
            assert not unknown, f"{event!r} names unknown requests: {unknown}"
            if isinstance(event, Ground | Query):
                known.add((event.sequence, event.request))

    def test_images_exist(
        self, model: LanguageModel, prompts: list[Prompt], resolve: Resolve
    ) -> None:
        for event in self._run(model, prompts, resolve).events:
            if isinstance(event, Ground | Locate):
                count = len(prompts[event.sequence].images)
                assert 0 <= event.image < count, f"{count} images, but {event!r}"

    def test_text_is_text(
        self, model: LanguageModel, prompts: list[Prompt], resolve: Resolve
    ) -> None:
        texts = [e for e in self._run(model, prompts, resolve).events if isinstance(e, Text)]
        wrong = [event for event in texts if not isinstance(event.text, str)]
        assert not wrong, f"expected str as text: {wrong!r}"

    def test_spans_lie_in_the_text(
        self, model: LanguageModel, prompts: list[Prompt], resolve: Resolve
    ) -> None:
        transcript = self._run(model, prompts, resolve)
        for event in transcript.events:
            if isinstance(event, Ground | Locate) and event.span is not None:
                length = len(transcript.text(event.sequence))
                start, stop = event.span
                assert 0 <= start <= stop <= length, f"{length} characters, but {event!r}"

    def test_ends_when_requests_are_resolved(
        self, model: LanguageModel, prompts: list[Prompt], resolve: Resolve
    ) -> None:
        self._check_ended(self._run(model, prompts, resolve))

    @pytest.mark.parametrize("kind", ["error", "deadline", "budget", "unsupported"])
    def test_ends_when_requests_fail(
        self, model: LanguageModel, prompts: list[Prompt], kind: FailureKind
    ) -> None:
        def answer(event: Ground | Query) -> Failed:
            message = f"resolver 'contract': {kind}"
            return Failed(
                sequence=event.sequence, request=event.request, kind=kind, message=message
            )

        self._check_ended(_drive(model, prompts, answer, bound=self.max_steps))

    @pytest.mark.parametrize("order", ["reversed", "one by one"])
    def test_ends_in_any_order_of_results(
        self, model: LanguageModel, prompts: list[Prompt], resolve: Resolve, order: Order
    ) -> None:
        self._check_ended(self._run(model, prompts, resolve, order=order))

    def test_says_nothing_after_done(
        self, model: LanguageModel, prompts: list[Prompt], resolve: Resolve
    ) -> None:
        done: set[int] = set()
        for event in self._run(model, prompts, resolve).events:
            assert event.sequence not in done, f"after Done: {event!r}"
            if isinstance(event, Done):
                done.add(event.sequence)

    def test_batch_equals_singles(
        self, model: LanguageModel, prompts: list[Prompt], resolve: Resolve
    ) -> None:
        batch = self._run(model, prompts, resolve)
        for index, prompt in enumerate(prompts):

            def alone(event: Ground | Query, index: int = index) -> object:
                return resolve(replace(event, sequence=index))

            single = self._run(model, [prompt], alone)
            got = (batch.text(index), batch.finish.get(index))
            assert got == (single.text(0), single.finish.get(0)), f"prompt {index}"

    def test_same_input_gives_same_output(
        self, model: LanguageModel, prompts: list[Prompt], resolve: Resolve
    ) -> None:
        first, second = (self._run(model, prompts, resolve) for _ in range(2))
        for index in range(len(prompts)):
            assert first.said(index) == second.said(index), f"prompt {index}"

    def test_prompts_are_unchanged(
        self, model: LanguageModel, prompts: list[Prompt], resolve: Resolve
    ) -> None:
        given, before = list(prompts), _snapshot(prompts)
        self._run(model, given, resolve)
        assert len(given) == len(prompts), "the model changed the list of prompts"
        assert _snapshot(given) == before, "the model changed a prompt"

    def _run(
        self,
        model: LanguageModel,
        prompts: Sequence[Prompt],
        resolve: Resolve,
        *,
        order: Order = "as asked",
    ) -> _Transcript:
        def answer(event: Ground | Query) -> Resolved:
            value = resolve(event)
            return Resolved(sequence=event.sequence, request=event.request, value=value)

        return _drive(model, prompts, answer, order=order, bound=self.max_steps)

    def _check_ended(self, transcript: _Transcript) -> None:
        assert not transcript.live, (
            f"sequences {transcript.live}: no Done within {self.max_steps} steps"
        )
