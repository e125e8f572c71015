"""What the text of one sequence tells: words to show, places, requests, problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from groundplane.core.answer import Mention
from groundplane.core.errors import InputError
from groundplane.core.frames import Frame
from groundplane.core.image import FrameMap
from groundplane.core.locations import Problem
from groundplane.core.session import Event, Ground, Locate, Prompt, Query, Text
from groundplane.core.session_notes import Note
from groundplane.grounding.dialects.grammar import Dialect
from groundplane.grounding.scanner import Scanner
from groundplane.language.dialect_triggers import dialect_triggers
from groundplane.language.spans import Closed, Given, Piece, State, Watcher
from groundplane.language.triggers import Asked, Trigger

__all__ = ["Call", "Inject", "Telling"]

Inject = Literal["append", "replace", "none"]

# As many last characters of the shown text are kept, to find a phrase in them.
_TAIL = 8192
# Points of one phrase that a note names.
_MOST_POINTS = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """A stretch that has closed and whose request is under way, or was refused.

    Attributes:
        trigger: Its kind.
        event: The request; None where it was malformed.
        refused: Why, where it was.
        own: Whether the trigger is one of the dialect's phrases.
    """

    trigger: Trigger
    event: Ground | Query | None
    refused: str = ""
    own: bool = False


class Telling:
    """Reads the pieces of one sequence.

    Args:
        sequence: Its index.
        prompt: What it was asked.
        dialect: How its text says where things are; None: it does not.
        frames: One an image of the prompt.
        spelled: Whether the dialect's tags count where plain characters spell them.
        inject: Whether phrases of the dialect are asked of experts while the model waits.
        triggers: Other stretches that ask for something.

    Attributes:
        fresh: States whose tags were seen and whose hidden state is still to be given.
    """

    def __init__(
        self,
        sequence: int,
        prompt: Prompt,
        *,
        dialect: Dialect | None,
        frames: Sequence[Frame],
        spelled: bool,
        inject: Inject,
        triggers: Sequence[Trigger] = (),
    ) -> None:
        self.sequence, self.prompt = sequence, prompt
        own = dialect_triggers(dialect) if dialect is not None and inject != "none" else ()
        self._own = own if prompt.images else ()
        states = dialect.syntax.states if dialect is not None else ()
        self._watcher = Watcher([*self._own, *triggers], passing=self._own, states=states)
        self._watches = bool(self._own or triggers or states)
        self._scanner: Scanner | None = None
        if dialect is not None and frames:
            given: Any = prompt.regions[0] if prompt.regions else None
            self._scanner = Scanner(dialect, frames[0], given, spelled=spelled)
        self._events: list[Event] = []
        self._shown: list[str] = []
        self._tokens, self._length, self._tail = 0, 0, ""
        self._asked = 0
        self._granted: set[tuple[int, int]] = set()
        self._states: dict[tuple[str, int], object] = {}
        self._waiting: list[Mention] = []
        self.fresh: list[State] = []

    # What comes in ----------------------------------------------------------------------------

    def count(self, tokens: int = 1) -> None:
        """The model spent tokens."""
        self._tokens += tokens

    def hear(self, piece: Piece) -> Call | None:
        """Take a piece of text; gives the call that closes in it, behind which is `rest`."""
        if not self._watches:
            self._scan(piece.text, special=piece.special)
            return None
        return self._sort(self._watcher.feed(piece.text, special=piece.special))

    def go_on(self) -> Call | None:
        """Take what stood behind the last call."""
        return self._sort(self._watcher.feed(""))

    @property
    def rest(self) -> str:
        """Text behind the sign that closed the last call, in the same piece."""
        return self._watcher.rest

    def drop_rest(self) -> str:
        """Forget it: the model's token is taken back to the sign."""
        dropped, self._watcher.rest = self._watcher.rest, ""
        return dropped

    def told(self, piece: Piece) -> None:
        """Text that was put into the sentence: no call closes in it."""
        self._scan(piece.text, special=piece.special)

    def trust(self, event: Ground | Query | None) -> None:
        """The model's own place of a phrase counts: no expert gave one."""
        if isinstance(event, Ground) and event.span is not None:
            self._granted.discard(event.span)

    def state(self, state: State, value: object) -> None:
        """The hidden state of a tag."""
        self._states[(state.tag, state.order)] = value

    def close(self) -> None:
        """The text ends here."""
        self._sort(self._watcher.close())
        if self._scanner is not None:
            self._read(self._scanner.close())
        self.settle()

    def note(self, name: str, detail: str, problem: Problem | None = None) -> None:
        """Tell the reader how the text came about."""
        self._say_now()
        self._events.append(Note(sequence=self.sequence, name=name, detail=detail, problem=problem))

    def add(self, event: Event) -> None:
        """Tell an event, behind the text before it."""
        self._say_now()
        self._events.append(event)

    # What goes out ----------------------------------------------------------------------------

    def settle(self) -> None:
        """Ask for the mentions whose hidden states have come."""
        waiting, self._waiting = self._waiting, []
        for mention in waiting:
            self._ask_by_state(mention)

    def take(self) -> list[Event]:
        """What is to be told since this was asked last."""
        self._say_now()
        events, self._events = self._events, []
        return events

    def _say_now(self) -> None:
        if self._shown or self._tokens:
            text, self._shown = "".join(self._shown), []
            tokens, self._tokens = self._tokens, 0
            self._events.append(Text(sequence=self.sequence, text=text, tokens=tokens))

    def _show(self, text: str) -> None:
        self._shown.append(text)
        self._length += len(text)
        self._tail = (self._tail + text)[-_TAIL:] if self._watches else ""

    def _sort(self, found: Sequence[Given | State | Closed]) -> Call | None:
        for one in found:
            if isinstance(one, Given):
                self._scan(one.text, special=one.special)
            elif isinstance(one, State):
                self.fresh.append(one)
            elif one.trigger is None:
                self.note("unclosed", f"{one.payload!r} is never closed; shown as text")
            else:
                return self._call(one.trigger, one.payload)
        return None

    def _call(self, trigger: Trigger, payload: str) -> Call | None:
        own = trigger in self._own
        span = self._span(payload)
        if not own and trigger.shown:
            start = self._length
            self._scan(payload, special=False)
            span = (start, self._length)
        asked = Asked(
            sequence=self.sequence,
            request=f"ask-{self._asked + 1}",
            payload=payload,
            span=span or (self._length, self._length),
            prompt=self.prompt,
        )
        try:
            event = trigger.ask(asked)
        except InputError as error:
            self.note("refused", " ".join(str(error).split()))
            return Call(trigger=trigger, event=None, refused=str(error), own=own)
        if event is None:
            return None
        self._asked += 1
        if own and span is not None:
            self._granted.add(span)
        elif own and isinstance(event, Ground):
            event = replace(event, span=None)
        self.add(event)
        return Call(trigger=trigger, event=event, own=own)

    def _span(self, payload: str) -> tuple[int, int] | None:
        """Where the shown text ends in a phrase; None where it was shown in other words."""
        words = payload.strip()
        if not words or not self._tail.endswith(words):
            return None
        return self._length - len(words), self._length

    def _scan(self, text: str, *, special: bool) -> None:
        if self._scanner is None:
            if not special:
                self._show(text)
            return
        self._read(self._scanner.special(text) if special else self._scanner.feed(text))

    def _read(self, found: Sequence[str | Mention | Problem]) -> None:
        for one in found:
            if isinstance(one, str):
                self._show(one)
            elif isinstance(one, Mention):
                self._place(one)
            else:
                self.note("problem", one.message, one)

    def _place(self, mention: Mention) -> None:
        """Where the model says that a phrase is, or the request to look for it."""
        located = mention.located
        if not self.prompt.images or mention.span in self._granted:
            return
        if located is not None and located.states:
            self._waiting.append(mention)
        elif located is not None and len(located.boxes):
            picked = located.region_ids
            self.add(
                Locate(
                    sequence=self.sequence,
                    boxes=located.boxes,
                    frame_map=FrameMap.identity(),  # the scanner gives the image's own pixels
                    span=mention.span,
                    ids=picked if len(picked) == len(located.boxes) else (),
                )
            )
        else:
            if located is not None and len(located.points):
                self.note("points", _points_detail(mention))
            if mention.phrase:
                self._ground(mention, mention.phrase, None)

    def _ask_by_state(self, mention: Mention) -> None:
        assert mention.located is not None
        keys = mention.located.states
        if any(State(tag=tag, order=order) in self.fresh for tag, order in keys):
            self._waiting.append(mention)
            return
        for key in keys:
            state = self._states.pop(key, None)
            # Without words there is the state alone: nobody is to look for any other thing.
            if mention.phrase or state is not None:
                self._ground(mention, mention.phrase, state)

    def _ground(self, mention: Mention, phrase: str, state: object) -> None:
        self._asked += 1
        self.add(
            Ground(
                sequence=self.sequence,
                request=f"ask-{self._asked}",
                phrases=(phrase,),
                span=mention.span,
                embedding=state,
            )
        )


def _points_detail(mention: Mention) -> str:
    """What the model pointed at; a place of a text is a box, so a point alone gives none."""
    assert mention.located is not None
    points = mention.located.points
    shown = ", ".join(f"{x:.0f} {y:.0f}" for x, y in points[:_MOST_POINTS].tolist())
    more = f" and {len(points) - _MOST_POINTS} more" if len(points) > _MOST_POINTS else ""
    told = "the phrase is looked for" if mention.phrase else "no phrase stands with them"
    return f"the model points at {shown}{more}, pixels, which is no box: {told}"
