"""Places for a model that has no words for them: what its text names is looked for as it goes.

The way of BuboGPT (Zhao et al., 2023), for any language model: its text passes through unchanged,
and each time a sentence or clause has closed, experts are asked for the things that it names. The
model never waits, and never learns of it; what the experts do not find stays text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import InputError, listing
from groundplane.core.session import (
    Done,
    Event,
    Failed,
    Ground,
    LanguageModel,
    Locate,
    Need,
    Prompt,
    Resolved,
    Session,
    Text,
)
from groundplane.core.session_notes import Note
from groundplane.language.phrases import Spoken, closed_at, spoken_in

__all__ = ["AfterModel", "AfterSession"]

_NAME = "after"
# As many stretches of one text get places at most, however often the same thing is named.
_MOST_MENTIONS = 256
_MOST_TOLD = 32


class AfterModel:
    """A language model whose text gets its places from experts, as its sentences close.

    Args:
        model: Any language model.
        phrases: How many different phrases of one text are looked for at most; what comes after
            them is told and stays text.

    Raises:
        InputError: If `phrases` is not 1 or more.

    Examples:
        >>> from groundplane.core.session import Done, Ground, Prompt, Text
        >>> from groundplane.testing.language_models import ScriptedModel, picture
        >>> script = (Text(sequence=0, text="A dog sleeps. "), Done(sequence=0))
        >>> session = AfterModel(ScriptedModel([script])).open(
        ...     [Prompt(text="What is this?", images=(picture(8, 8),))])
        >>> [(e.phrases, e.span) for e in session.step([]) if isinstance(e, Ground)]
        [(('dog',), (0, 5))]
        >>> AfterModel(ScriptedModel([])).open([]).step([])
        []
    """

    def __init__(self, model: LanguageModel, *, phrases: int = 12) -> None:
        if phrases < 1:
            raise InputError(f"route 'after': expected phrases of 1 or more, got {phrases}")
        self._model, self._phrases = model, phrases

    def open(self, prompts: Sequence[Prompt]) -> AfterSession:
        """Begin a session: sequence i answers `prompts[i]`."""
        return AfterSession(self._model.open(prompts), prompts, phrases=self._phrases)


@dataclass(slots=True, eq=False, kw_only=True)
class _Sequence:
    """What one sequence has said, and what was asked for it.

    Attributes:
        index: Of the prompt.
        prompt: What it was asked.
        tail: Text that is not read yet; `read` characters stand before it.
        taken: Stretches that the model placed itself.
        asked: Phrases that were asked for.
        waiting: Requests without an outcome, with what each looks for.
        left_out: What was not asked for, by the reason.
        missing: What was asked for and not found, with what became of it.
        held: Whether the wait for them was said.
        done: The end of the inner model's text, held until every request is settled.
    """

    index: int
    prompt: Prompt
    tail: str = ""
    read: int = 0
    taken: list[tuple[int, int]] = field(default_factory=list)
    asked: dict[str, None] = field(default_factory=dict)
    requests: int = 0
    mentions: int = 0
    waiting: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, dict[str, None]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    found: set[str] = field(default_factory=set)
    held: bool = False
    done: Done | None = None
    ended: bool = False

    def leave_out(self, phrase: str, why: str) -> None:
        """Note what was not asked for; of a text without end the first ones."""
        if why in self.left_out or len(self.left_out) < _MOST_TOLD:
            phrases = self.left_out.setdefault(why, {})
            if len(phrases) < _MOST_TOLD:
                phrases[phrase] = None


class AfterSession:
    """Passes a session through and asks experts for what its text names."""

    def __init__(self, inner: Session, prompts: Sequence[Prompt], *, phrases: int) -> None:
        self._inner, self._most = inner, phrases
        self._sequences = [_Sequence(index=i, prompt=prompt) for i, prompt in enumerate(prompts)]

    def step(self, resolutions: Sequence[Resolved | Failed]) -> list[Event]:
        """Let the model go on; ask for what its closed sentences name."""
        theirs = [outcome for outcome in resolutions if not self._took(outcome)]
        events: list[Event] = []
        if theirs or any(one.done is None and not one.ended for one in self._sequences):
            for event in self._inner.step(theirs):
                events += self._passed(event)
        for sequence in self._sequences:
            events += self._read(sequence)
            events += self._end(sequence)
        return events

    def stop(self, sequence: int) -> None:
        """The sequence was ended from outside."""
        self._sequences[sequence].ended = True
        if callable(stop := getattr(self._inner, "stop", None)):
            stop(sequence)

    def close(self) -> None:
        """The run is over."""
        if callable(close := getattr(self._inner, "close", None)):
            close()

    def _passed(self, event: Event) -> list[Event]:
        sequence = self._sequences[event.sequence]
        if isinstance(event, Text):
            sequence.tail += event.text
        elif isinstance(event, Ground | Locate) and event.span is not None:
            sequence.taken.append(event.span)
        elif isinstance(event, Done):
            sequence.done = event
            return []
        return [event]

    def _read(self, sequence: _Sequence) -> list[Event]:
        """Ask for what the sentences name that have closed since."""
        if sequence.ended or not sequence.prompt.images:
            return []
        end = len(sequence.tail) if sequence.done is not None else closed_at(sequence.tail)
        if not end:
            return []
        text, sequence.tail = sequence.tail[:end], sequence.tail[end:]
        start, sequence.read = sequence.read, sequence.read + end
        sequence.taken = [span for span in sequence.taken if span[1] > start]
        events: list[Event] = []
        for one in spoken_in(text):
            moved = replace(one, span=(one.span[0] + start, one.span[1] + start))
            events += self._ask(sequence, moved)
        return events

    def _ask(self, sequence: _Sequence, one: Spoken) -> list[Event]:
        if any(start < one.span[1] and one.span[0] < stop for start, stop in sequence.taken):
            return []
        phrase, note = ("", one.unseen) if one.unseen else one.among(sequence.prompt.vocabulary)
        if note:
            sequence.leave_out(one.phrase, note)
        if not phrase:
            return []
        full = phrase not in sequence.asked and len(sequence.asked) >= self._most
        if full or sequence.mentions >= _MOST_MENTIONS:
            what = (
                f"more than {self._most} phrases" if full else f"more than {_MOST_MENTIONS} times"
            )
            sequence.leave_out(one.phrase, what)
            return []
        sequence.asked[phrase] = None
        sequence.mentions += 1
        return [
            self._request(sequence, phrase, one.span, image)
            for image in range(len(sequence.prompt.images))
        ]

    def _request(
        self, sequence: _Sequence, phrase: str, span: tuple[int, int], image: int
    ) -> Ground:
        sequence.requests += 1
        name = f"{_NAME}-{sequence.requests}"
        sequence.waiting[name] = phrase
        return Ground(
            sequence=sequence.index, request=name, phrases=(phrase,), image=image, span=span
        )

    def _took(self, outcome: Resolved | Failed) -> bool:
        """Whether an outcome is of a request that was made here."""
        sequence = self._sequences[outcome.sequence]
        phrase = sequence.waiting.pop(outcome.request, None)
        if phrase is None:
            return False
        if isinstance(outcome, Failed):
            sequence.missing[phrase] = f"{outcome.kind}: {outcome.message}"
        elif isinstance(outcome.value, DetectResult):
            if outcome.value.outcomes[0] is Outcome.FOUND:
                sequence.found.add(phrase)
            elif outcome.value.outcomes[0] is Outcome.CANNOT:
                sequence.missing[phrase] = "no expert can look for it"
            else:
                sequence.missing[phrase] = "not found"
        return True

    def _end(self, sequence: _Sequence) -> list[Event]:
        """The end of a text whose requests are settled, or the wait for them."""
        if sequence.done is None or sequence.ended:
            return []
        if sequence.waiting:
            held, sequence.held = sequence.held, True
            return [] if held else [Need(sequence=sequence.index, requests=(*sequence.waiting,))]
        sequence.ended = True
        return [*self._notes(sequence), sequence.done]

    def _notes(self, sequence: _Sequence) -> list[Event]:
        """What of the text has no places, and why."""
        told = []
        for phrase, why in sequence.missing.items():
            if phrase not in sequence.found:
                told.append(f"{phrase!r} stays text: {why}")
        for why, phrases in sequence.left_out.items():
            # A reason that names its phrase stands for itself.
            named = repr(next(iter(phrases))) in why
            what = listing(map(repr, phrases), limit=12)
            told.append(why if named else f"not looked for: {what} ({why})")
        if sequence.prompt.images and sequence.read and not sequence.asked and not told:
            told.append("the text names nothing that could be looked for")
        return [Note(sequence=sequence.index, name=_NAME, detail=detail) for detail in told]
