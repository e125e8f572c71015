"""Set-of-Mark: experts first, their regions numbered on the picture, and the model picks numbers.

For any language model that sees pictures, however badly it would write coordinates: it writes
none. Source: Set-of-Mark prompting (Yang et al., 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from groundplane.core.answer import Mention
from groundplane.core.detection import DetectResult
from groundplane.core.errors import InputError
from groundplane.core.frames import Frame
from groundplane.core.image import FrameMap
from groundplane.core.locations import Problem, ProblemKind
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
    Resolved,
    Session,
    Text,
)
from groundplane.core.session_notes import Note
from groundplane.grounding.dialects import dialect
from groundplane.grounding.scanner import Scanner
from groundplane.language.mark_answers import asked_with_marks, read_pieces
from groundplane.language.mark_choice import Numbered, candidates_of, choose, with_numbers

__all__ = ["MarksModel", "MarksSession"]

_NAME = "marks"
_WHO = "route 'marks'"


class MarksModel:
    """A language model that is shown the experts' regions as numbers and answers with them.

    Args:
        model: Any language model; it must not write places of its own.
        most: Numbers at most; the regions of the highest scores get them.
        structured: The model answers by `mark_answers.marks_format`; it is then opened for each
            prompt alone, with the regions that are drawn as `Prompt.regions`.

    Raises:
        InputError: If `most` is not 1 to 99.

    Examples:
        >>> from groundplane.testing.language_models import ScriptedModel, picture
        >>> session = MarksModel(ScriptedModel([])).open(
        ...     [Prompt(text="Where is the dog?", images=(picture(8, 8),))])
        >>> [type(event).__name__ for event in session.step([])]
        ['Ground', 'Need']
        >>> MarksModel(ScriptedModel([])).open([]).step([])
        []
    """

    def __init__(self, model: LanguageModel, *, most: int = 30, structured: bool = False) -> None:
        if not 1 <= most <= 99:
            raise InputError(f"{_WHO}: expected marks of 1 to 99, got {most}")
        self._model, self._most, self._structured = model, most, structured

    def open(self, prompts: Sequence[Prompt]) -> MarksSession:
        """Begin a session: sequence i answers `prompts[i]`."""
        return MarksSession(self._model, prompts, most=self._most, structured=self._structured)


@dataclass(slots=True, eq=False, kw_only=True)
class _Sequence:
    """How far one sequence is.

    Attributes:
        index: Of the prompt.
        prompt: What it was asked.
        waiting: Requests for candidates without an outcome, with their image.
        found: What the experts found, one an image.
        failures: What went wrong with them.
        numbered: What was drawn; None before it, or where there is nothing to draw.
        scanner: Reads the answer; None where nothing is drawn.
        held: Of a structured answer: what has come of it; else None.
        length: Characters that were shown.
        begun: Whether the candidates were asked for.
        opened: Whether the model was asked.
        ended: Whether nothing more is said of it.
    """

    index: int
    prompt: Prompt
    waiting: dict[str, int] = field(default_factory=dict)
    found: dict[int, Regions] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    numbered: Numbered | None = None
    scanner: Scanner | None = None
    held: list[str] | None = None
    length: int = 0
    begun: bool = False
    opened: bool = False
    ended: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class _Group:
    """A session of the model, and the sequences that it answers, in its order."""

    session: Session
    members: list[_Sequence]
    given: list[Resolved | Failed] = field(default_factory=list)


class MarksSession:
    """Asks the experts, draws what they found, and then the model."""

    def __init__(
        self, model: LanguageModel, prompts: Sequence[Prompt], *, most: int, structured: bool
    ) -> None:
        self._model, self._most, self._structured = model, most, structured
        self._sequences = [_Sequence(index=i, prompt=prompt) for i, prompt in enumerate(prompts)]
        self._groups: list[_Group] = []

    def step(self, resolutions: Sequence[Resolved | Failed]) -> list[Event]:
        """Take what the experts found; let the model go on where its picture is drawn."""
        for outcome in resolutions:
            if not self._took(outcome):
                self._hand_on(outcome)
        events: list[Event] = []
        for sequence in self._sequences:
            if not sequence.begun:
                sequence.begun = True
                events += _asked(sequence)
        events += self._open()
        for group in self._groups:
            if any(not member.ended for member in group.members) or group.given:
                given, group.given = group.given, []
                for event in group.session.step(given):
                    events += self._passed(group.members[event.sequence], event)
        return events

    def stop(self, sequence: int) -> None:
        """The sequence was ended from outside."""
        ended = self._sequences[sequence]
        ended.ended = ended.opened = True
        for group in self._groups:
            stop = getattr(group.session, "stop", None)
            if ended in group.members and callable(stop):
                stop(group.members.index(ended))

    def close(self) -> None:
        """The run is over."""
        for group in self._groups:
            if callable(close := getattr(group.session, "close", None)):
                close()

    # Before the model -------------------------------------------------------------------------

    def _took(self, outcome: Resolved | Failed) -> bool:
        """Whether an outcome is of a request for candidates."""
        sequence = self._sequences[outcome.sequence]
        image = sequence.waiting.pop(outcome.request, None)
        if image is None:
            return False
        if isinstance(outcome, Failed):
            sequence.failures.append(f"{outcome.kind}: {outcome.message}")
        else:
            sequence.found[image] = cast(DetectResult, outcome.value).regions
        return True

    def _open(self) -> list[Event]:
        """Ask the model about the pictures that can be drawn now."""
        ready = [one for one in self._sequences if not one.opened and not one.waiting]
        if not ready:
            return []
        events = [event for one in ready for event in self._draw(one)]
        shown = [_shown(one, structured=self._structured) for one in ready]
        parts = [[k] for k in range(len(ready))] if self._structured else [list(range(len(ready)))]
        for part in parts:
            session = self._model.open([shown[k] for k in part])
            self._groups.append(_Group(session=session, members=[ready[k] for k in part]))
        return events

    def _draw(self, sequence: _Sequence) -> list[Event]:
        """Choose what gets a number, and tell."""
        sequence.opened = True
        images = sequence.prompt.images
        if not images:
            return []
        tables = [
            sequence.found.get(k, Regions.empty(phrases=(), image_size=image.size))
            for k, image in enumerate(images)
        ]
        numbered = choose(tables, most=self._most)
        told = list(sequence.failures)
        if len(numbered):
            sequence.numbered = numbered
            frame = Frame.original(numbered.joined.image_size)
            sequence.scanner = Scanner(dialect("gpt-4o"), frame, numbered.joined)
            sequence.held = [] if self._structured else None
            pairs = zip(numbered.listed().splitlines(), numbered.homes, strict=True)
            told.append(f"drawn: {', '.join(f'{line} ({name})' for line, (_, name) in pairs)}")
            if numbered.left_out:
                told.append(f"no mark for {numbered.left_out} regions of lower scores")
        else:
            told.append("nothing was found to draw; the model sees the picture as it is")
        return [_note(sequence, detail) for detail in told]

    # The model's answer -----------------------------------------------------------------------

    def _hand_on(self, outcome: Resolved | Failed) -> None:
        sequence = self._sequences[outcome.sequence]
        for group in self._groups:
            if sequence in group.members:
                local = group.members.index(sequence)
                group.given.append(replace(outcome, sequence=local))

    def _passed(self, sequence: _Sequence, event: Event) -> list[Event]:
        event = replace(event, sequence=sequence.index)
        if isinstance(event, Done):
            events = [*self._rest(sequence), event]
            sequence.ended = True
            return events
        if sequence.scanner is None:
            return [event]
        if isinstance(event, Ground | Locate) and event.span is not None:
            raise InputError(
                f"{_WHO}: the model writes places of its own, of which marks know nothing. Try: "
                "route 'own', or the model without a dialect"
            )
        if not isinstance(event, Text):
            return [event]
        if sequence.held is not None:
            sequence.held.append(event.text)
            return [replace(event, text="")]
        told = self._scanned(sequence, sequence.scanner.feed(event.text))
        rest = Text(sequence=sequence.index, text="", refers=event.refers, tokens=event.tokens)
        return [*told, rest] if event.tokens or event.refers or not told else told

    def _rest(self, sequence: _Sequence) -> list[Event]:
        """What is known of an answer only at its end."""
        if sequence.scanner is None or sequence.numbered is None:
            return []
        events: list[Event] = []
        if sequence.held is not None:
            text = "".join(sequence.held)
            if not text.strip():
                return [_note(sequence, "the model said nothing")]
            try:
                pieces, faults = read_pieces(text, count=len(sequence.numbered))
            except InputError as error:
                events.append(replace(_note(sequence, f"{error}; read as text"), name="fallback"))
                events += self._scanned(sequence, sequence.scanner.feed(text))
            else:
                return [*_pieced(sequence, pieces), *(_note(sequence, fault) for fault in faults)]
        return [*events, *self._scanned(sequence, sequence.scanner.close())]

    def _scanned(
        self, sequence: _Sequence, found: Sequence[str | Mention | Problem]
    ) -> list[Event]:
        events: list[Event] = []
        for one in found:
            if isinstance(one, str):
                events.append(_said(sequence, one))
            elif isinstance(one, Mention):
                numbers = [_number_of(sequence, name) for name in one.ids]
                events += _picked(sequence, numbers, one.span)
            elif one.kind is not ProblemKind.NOTHING:
                events.append(replace(_note(sequence, one.message), problem=one))
        return events


def _asked(sequence: _Sequence) -> list[Event]:
    """Requests for what may get a number, and the wait for them."""
    prompt = sequence.prompt
    if prompt.regions:
        if len(prompt.regions) != len(prompt.images):
            raise InputError(
                f"{_WHO}: expected regions for each of {len(prompt.images)} images, got "
                f"{len(prompt.regions)}"
            )
        sequence.found = {k: cast(Regions, table) for k, table in enumerate(prompt.regions)}
        return []
    phrases = candidates_of(prompt) if prompt.images else ()
    if not phrases:
        return []
    events: list[Event] = []
    for image in range(len(prompt.images)):
        name = f"{_NAME}-{image + 1}"
        sequence.waiting[name] = image
        events.append(Ground(sequence=sequence.index, request=name, phrases=phrases, image=image))
    return [*events, Need(sequence=sequence.index, requests=tuple(sequence.waiting))]


def _shown(sequence: _Sequence, *, structured: bool) -> Prompt:
    """The prompt as the model gets it."""
    prompt, numbered = sequence.prompt, sequence.numbered
    if numbered is None:
        return prompt
    first, images = 1, []
    for image, table in zip(prompt.images, numbered.tables, strict=True):
        images.append(with_numbers(image, table, first=first) if len(table) else image)
        first += len(table)
    text = asked_with_marks(
        prompt.text, numbered.listed(), name=numbered.names[0], structured=structured
    )
    return replace(prompt, text=text, images=tuple(images), regions=numbered.tables)


def _pieced(sequence: _Sequence, pieces: Sequence[tuple[str, tuple[int, ...]]]) -> list[Event]:
    """The pieces of a structured answer, each with its places."""
    events: list[Event] = []
    for text, numbers in pieces:
        start = sequence.length + len(text) - len(text.lstrip())
        events.append(_said(sequence, text))
        end = max(start, sequence.length - (len(text) - len(text.rstrip())))
        events += _picked(sequence, numbers, (start, end))
    return events


def _said(sequence: _Sequence, text: str) -> Text:
    sequence.length += len(text)
    return Text(sequence=sequence.index, text=text)


def _number_of(sequence: _Sequence, name: str) -> int:
    """The number of an id of the joined table."""
    return cast(Numbered, sequence.numbered).joined.ids.index(name) + 1


def _picked(sequence: _Sequence, numbers: Sequence[int], span: tuple[int, int]) -> list[Event]:
    """The regions of numbers, told for each image apart."""
    numbered = cast(Numbered, sequence.numbered)
    homes, boxes = numbered.homes, numbered.joined.boxes.double().numpy()
    events: list[Event] = []
    for image in sorted({homes[number - 1][0] for number in numbers}):
        rows = [number - 1 for number in numbers if homes[number - 1][0] == image]
        events.append(
            Locate(
                sequence=sequence.index,
                boxes=np.asarray(boxes[rows]).reshape(-1, 4),
                frame_map=FrameMap.identity(),
                span=span,
                image=image,
                ids=tuple(homes[row][1] for row in rows),
            )
        )
    return events


def _note(sequence: _Sequence, detail: str) -> Note:
    return Note(sequence=sequence.index, name=_NAME, detail=detail)
