"""One sequence of a chat session: from what comes of its requests to events and the next request.

The text of an answer may come from several requests: behind a place that was stopped at, behind
tool calls, behind a stream that broke off. To the reader it is one text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from groundplane.core.answer import Mention
from groundplane.core.detection import DetectResult
from groundplane.core.errors import GroundplaneError, InputError
from groundplane.core.image import FrameMap
from groundplane.core.locations import Located, Problem
from groundplane.core.regions import Regions
from groundplane.core.session import (
    Done,
    Event,
    Failed,
    Ground,
    Locate,
    Need,
    Prompt,
    Query,
    Resolved,
    Text,
)
from groundplane.core.session_notes import Injected, Note
from groundplane.language.chat.calls import Calls, Round
from groundplane.language.chat.conversation import Conversation
from groundplane.language.chat.reading import Closed, Found, Reader
from groundplane.language.chat.referring import Referrer
from groundplane.language.chat.streams import Again, Ended, Item, Trouble
from groundplane.language.chat.terms import ChatTerms, Ways
from groundplane.language.chat.transport import ChatError, Delta
from groundplane.language.triggers import Asked, Told, Trigger

__all__ = ["Answer"]

Finish = Literal["complete", "length", "broken"]

_OTHER = "asked again after it broke off, it said something else than before"


class Answer:
    """What one sequence has said, asked and been told.

    Args:
        sequence: Index of the prompt.
        prompt: What it is asked.
        terms: Limits.
        ways: How the interface is asked; called on a thread.
    """

    def __init__(
        self, sequence: int, prompt: Prompt, *, terms: ChatTerms, ways: Callable[[], Ways]
    ) -> None:
        self.sequence = sequence
        self._prompt, self._terms, self._ask_ways = prompt, terms, ways
        self._state: Literal["asking", "waiting", "done"] = "asking"
        self._next: Callable[[], Mapping[str, Any]] | None = self._begin
        self._ways = Ways()
        self._talk = Conversation(prompt, terms=terms)
        self._reader = Reader((), None, None)
        self._referrer = Referrer()
        self._pending: dict[str, tuple[Ground | Query, Trigger]] = {}
        self._spans: set[tuple[int, int]] = set()
        self._round: Round | None = None
        self._calls, self._finish, self._stopped_at = Calls(), "", ""
        self._asked, self._resumed, self._told_ways, self._gap = 0, False, False, False
        self._grounds: tuple[str, ...] = ()

    @property
    def idle(self) -> bool:
        """Whether it takes nothing of its request any more."""
        return self._state != "asking"

    @property
    def open(self) -> bool:
        """Whether requests are under way that it does not wait for."""
        return bool(self._pending) and self._state == "asking"

    def next_request(self) -> Callable[[], Mapping[str, Any]] | None:
        """Makes the body of the request to be sent now; None where there is none."""
        make, self._next = self._next, None
        return make

    def stop(self) -> None:
        """It was ended from outside."""
        self._state, self._next = "done", None

    def take(self, item: Item) -> list[Event]:
        """What has come of its request."""
        if self._state != "asking" or self._next is not None:
            return []
        if isinstance(item, Again):
            return [self._note("retry", item.why)]
        if isinstance(item, Trouble):
            return self._failed(item.error)
        events: list[Event] = []
        if not self._told_ways:
            self._told_ways = True
            events += [self._note("fallback", line) for line in self._ways.notes]
            events += [self._note("pictures", line) for line in self._talk.remarks]
        return events + (self._ended() if isinstance(item, Ended) else self._delta(item))

    def resolve(self, outcome: Resolved | Failed) -> list[Event]:
        """What became of one of its requests."""
        if self._state == "done":
            return []
        if self._round is not None:
            return self._settle(self._round, outcome)
        event, trigger = self._pending.pop(outcome.request, (None, None))
        if event is None or trigger is None or not trigger.waits:
            return []
        frames = tuple(self._talk.frames)
        told = Told(event=event, outcome=outcome, prompt=self._prompt, frames=frames)
        return self._inject(trigger.tell(told), outcome.request)

    # The request -------------------------------------------------------------------------------

    def _begin(self) -> Mapping[str, Any]:
        """The first request; on its thread, since it may ask the interface what it can do."""
        self._ways = self._ask_ways()
        try:
            self._talk.begin(self._ways)
        except GroundplaneError as error:
            # Of this prompt alone; the other sequences go on.
            raise ChatError(str(error), kind="refused") from error
        self._read_anew()
        return self._talk.body()

    def _read_anew(self) -> None:
        image, frames = self._talk.first_image, self._talk.frames
        regions = self._prompt.regions[image] if image < len(self._prompt.regions) else None
        self._reader = Reader(
            self._ways.triggers,
            self._ways.dialect,
            frames[image] if image < len(frames) else None,
            regions if isinstance(regions, Regions) else None,
        )

    def _go_on(self) -> None:
        self._state, self._next = "asking", self._talk.body
        self._calls, self._finish, self._stopped_at = Calls(), "", ""

    # The reply ---------------------------------------------------------------------------------

    def _delta(self, delta: Delta) -> list[Event]:
        events: list[Event] = []
        for part in delta.calls:
            self._calls.add(part)
        self._finish = delta.finish or self._finish
        self._stopped_at = delta.stopped_at or self._stopped_at
        if delta.usage is not None:
            self._talk.spent += delta.usage.completion
            events.append(Text(sequence=self.sequence, text="", tokens=delta.usage.completion))
        if not delta.text:
            return events
        fresh = self._talk.fresh(delta.text)
        if fresh is None:
            return events + self._end("broken", _OTHER)
        return events + self._read(fresh)

    def _ended(self) -> list[Event]:
        """The reply is whole."""
        events: list[Event] = []
        if self._talk.behind:
            return self._end("broken", _OTHER)
        stopped = self._stop_sign()
        if stopped and self._reader.opened is not None:
            # The interface keeps the sign that it stopped at to itself.
            sign = self._reader.opened.close
            events += self._read(sign)
            if self._state != "asking" or self._next is not None:
                return events
        if self._calls.parts and self._ways.tools:
            return events + self._called()
        if stopped:
            self._go_on()
            return events
        if self._finish == "length":
            return events + self._end("length")
        if self._finish == "content_filter":
            return events + self._end("broken", "a filter of the interface ended the answer")
        return events + self._end("complete")

    def _stop_sign(self) -> bool:
        """Whether the reply was stopped at a sign that it was to be stopped at."""
        signs, opened = self._talk.stops, self._reader.opened
        if not signs or self._finish != "stop":
            return False
        if self._stopped_at:
            return self._stopped_at in signs
        waits = opened is not None and opened.waits and opened.close in signs
        return waits or self._talk.turn.endswith(signs)

    def _read(self, text: str) -> list[Event]:
        """More of the model's own text."""
        events: list[Event] = []
        if self._gap and text.strip():
            self._gap = False
            if self._reader.shown and not text[0].isspace():
                events += self._tell(self._reader.told("\n"))
        self._talk.turn += text
        found = self._reader.feed(text)
        while True:
            events += self._tell(found)
            if not found or not isinstance(found[-1], Closed):
                return events
            if self._state != "asking" or self._next is not None:
                # It was to stop there; what it said on is not kept.
                rest = len(self._reader.rest)
                self._talk.turn = self._talk.turn[: len(self._talk.turn) - rest]
                self._reader.cut()
                return events
            found = self._reader.feed("")

    def _tell(self, found: Sequence[Found]) -> list[Event]:
        events: list[Event] = []
        for one in found:
            if isinstance(one, str):
                events += self._say(self._referrer.feed(one))
            elif isinstance(one, Mention):
                events += self._place(one)
            elif isinstance(one, Problem):
                events.append(self._note("place", one.message, problem=one))
            else:
                events += self._ask(one)
        return events

    def _say(self, pieces: Sequence[tuple[str, tuple[str, ...]]]) -> list[Event]:
        return [Text(sequence=self.sequence, text=text, refers=ids) for text, ids in pieces]

    def _place(self, mention: Mention) -> list[Event]:
        """Where the model says that a phrase is, or the request to look for it."""
        if mention.span in self._spans or not self._prompt.images:
            return []  # an expert was asked for it
        image, located = self._talk.first_image, mention.located
        if located is not None and len(located.boxes):
            picked = located.region_ids
            return [
                Locate(
                    sequence=self.sequence,
                    boxes=located.boxes,
                    frame_map=FrameMap.identity(),  # the reader gives the image's own pixels
                    span=mention.span,
                    image=image,
                    ids=picked if len(picked) == len(located.boxes) else (),
                )
            ]
        if not mention.phrase or _said_elsewhere(located):
            return []
        self._asked += 1
        name, phrases = f"ground-{self._asked}", (mention.phrase,)
        sequence, span = self.sequence, mention.span
        return [Ground(sequence=sequence, request=name, phrases=phrases, image=image, span=span)]

    def _ask(self, closed: Closed) -> list[Event]:
        if closed.trigger.waits and self._talk.rounds >= self._terms.rounds:
            return []  # a model that asks without end is told nothing more
        self._asked += 1
        name = f"ask-{self._asked}"
        asked = Asked(
            sequence=self.sequence,
            request=name,
            payload=closed.payload,
            span=closed.span,
            prompt=self._prompt,
        )
        try:
            event = closed.trigger.ask(asked)
        except InputError as error:
            return self._inject(f" ({error})", "") if closed.trigger.waits else []
        if event is None:
            return []
        self._spans.add(closed.span)
        self._pending[name] = (event, closed.trigger)
        if not closed.trigger.waits:
            return [event]
        self._state = "waiting"
        return [event, Need(sequence=self.sequence, requests=(name,))]

    def _inject(self, text: str, request: str) -> list[Event]:
        """Tell the model something behind what it said, and let it go on."""
        events = [self._injected(request, text)] if text else []
        if self._ways.resumes:
            self._talk.turn += text
            events += self._tell(self._reader.told(text))
        else:
            self._talk.turned(text or "Go on.")
            self._gap = True
        self._talk.rounds += 1
        self._go_on()
        return events

    # Tools -------------------------------------------------------------------------------------

    def _called(self) -> list[Event]:
        calls = self._calls.whole()
        if self._talk.rounds > self._terms.rounds:
            why = f"it called tools in more than {self._terms.rounds} rounds"
            return self._end("broken", why)
        self._round = Round(calls, self._ways.tools)
        asked = self._round.ask(self.sequence, self._prompt, self._asked + 1, self._grounds)
        self._asked += len(calls)
        self._grounds += tuple(e.request for e in asked if isinstance(e, Ground))
        events: list[Event] = [*asked]
        if self._calls.dropped:
            events.append(self._note("dropped", f"{self._calls.dropped} parts of tool calls"))
        if not asked:
            return [*events, *self._next_round(self._round)]
        self._state = "waiting"
        return [*events, Need(sequence=self.sequence, requests=tuple(e.request for e in asked))]

    def _settle(self, current: Round, outcome: Resolved | Failed) -> list[Event]:
        current.settle(outcome, self._talk.frames)
        if isinstance(outcome, Resolved) and isinstance(outcome.value, DetectResult):
            regions = outcome.value.regions
            names: dict[str, list[str]] = {}
            for name, label in zip(regions.ids, regions.labels(), strict=True):
                names.setdefault(label, []).append(name)
            for label, ids in names.items():
                self._referrer.add(label, ids)
        return self._next_round(current) if current.settled else []

    def _next_round(self, current: Round) -> list[Event]:
        told = current.messages(self._talk.turn)
        self._talk.called(told)
        self._round, self._gap = None, True
        self._go_on()
        return [
            self._injected(call.request if call.event else "", str(message["content"]))
            for call, message in zip(current.calls, told[1:], strict=True)
        ]

    def _injected(self, request: str, text: str) -> Event:
        """What the model was told: of a request, or of a call that was none."""
        if request:
            return Injected(sequence=self.sequence, request=request, text=text)
        return self._note("told", text)

    # The end -----------------------------------------------------------------------------------

    def _failed(self, error: ChatError) -> list[Event]:
        """A request failed for good: mend it, once, or end."""
        if error.kind == "broken" and not self._resumed:
            self._resumed = True
            self._calls = Calls()
            how = self._talk.again(resumes=self._ways.resumes)
            self._go_on()
            return [self._note("retry", f"{error}; {how}")]
        if error.kind == "full":
            dropped = self._talk.shorten()
            if dropped:
                if not self._reader.shown:
                    self._read_anew()
                self._go_on()
                return [self._note("dropped", f"{dropped}, since {error}")]
        return self._end("broken", str(error))

    def _end(self, finish: Finish, why: str = "") -> list[Event]:
        events = self._tell(self._reader.close()) if self._state != "done" else []
        events = [event for event in events if not isinstance(event, Need)]
        events += self._say(self._referrer.close())
        self._state, self._next = "done", None
        if why:
            events.append(self._note("server", why))
        return [*events, Done(sequence=self.sequence, finish=finish)]

    def _note(self, name: str, detail: str, *, problem: Problem | None = None) -> Note:
        line = " ".join(detail.split())
        return Note(sequence=self.sequence, name=name, detail=line, problem=problem)


def _said_elsewhere(located: Located | None) -> bool:
    """Whether a place was given that is no box, such as a point, which no expert need look for."""
    return located is not None and bool(
        len(located.points) or located.polygons or located.boxes_3d or located.region_ids
    )
