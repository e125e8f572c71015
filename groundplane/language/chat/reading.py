"""A reply's text as it comes: what is shown, what it says of places, and what it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from groundplane.core.answer import Mention
from groundplane.core.frames import Frame
from groundplane.core.locations import Problem
from groundplane.core.regions import Regions
from groundplane.grounding.dialects.grammar import PAYLOAD_LIMIT, Dialect
from groundplane.grounding.scanner import Scanner
from groundplane.language import spans
from groundplane.language.triggers import Trigger

__all__ = ["Closed", "Found", "Reader"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Closed:
    """A trigger's stretch that is closed.

    Attributes:
        trigger: Which.
        payload: The text between its signs.
        span: Characters of the shown text that speak of it.
    """

    trigger: Trigger
    payload: str
    span: tuple[int, int]


Found = str | Mention | Problem | Closed


class Reader:
    """Reads one answer, piece by piece.

    Args:
        triggers: What asks for something.
        dialect: The language of its places; None: it has none, and all else is shown.
        frame: The frame that the places' numbers live in; None without a picture.
        regions: What indices pick from.

    Attributes:
        shown: Characters that were shown so far.

    Examples:
        >>> from groundplane.grounding.dialects import dialect
        >>> reader = Reader((), dialect("qwen-vl"), Frame.original((640, 480)))
        >>> reader.feed("a <ref>cat</ref><bo"), reader.feed("x>(0,0),(500,500)</box>")
        (['a', ' cat'], [])
        >>> [mention] = reader.close()
        >>> mention.phrase, Reader((), None, None).close()
        ('cat', [])
    """

    def __init__(
        self,
        triggers: Sequence[Trigger],
        dialect: Dialect | None,
        frame: Frame | None,
        regions: Regions | None = None,
    ) -> None:
        self._scanner = Scanner(dialect, frame, regions) if dialect and frame else None
        pairs = dialect.syntax.phrases if dialect and self._scanner else ()
        # The scanner takes the dialect's own signs out of what is shown.
        passing = [t for t in triggers if t.shown and (t.open, t.close) in pairs]
        shown = [t for t in triggers if t.shown and t not in passing]
        self._payloads = frozenset(map(id, shown))
        self._watcher = spans.Watcher(tuple(triggers), passing=passing)
        self._tail, self.shown = "", 0

    @property
    def opened(self) -> Trigger | None:
        """The trigger whose stretch is not closed yet."""
        return self._watcher.opened

    @property
    def rest(self) -> str:
        """After a `Closed`: what came behind it and was not read yet."""
        return self._watcher.rest

    def feed(self, piece: str) -> list[Found]:
        """Take the next characters.

        Returns:
            What is certain now. A `Closed` is the last of it: feed "" to go on behind it, or
            `cut` what is there.
        """
        found: list[Found] = []
        self._keep(self._watcher.feed(piece), found)
        return found

    def cut(self) -> None:
        """Forget what came behind the last `Closed`."""
        self._watcher.rest = ""

    def told(self, text: str) -> list[Found]:
        """Text that the model was given in its answer; it asks for nothing, whatever is in it."""
        found: list[Found] = []
        self._show(text, found)
        return found

    def close(self) -> list[Found]:
        """The text ends here; a stretch that is still open is text."""
        found: list[Found] = []
        self._keep(self._watcher.close(), found)
        if self._scanner is not None:
            self._take(self._scanner.close(), found)
        return found

    def _keep(
        self, pieces: Sequence[spans.Given | spans.State | spans.Closed], found: list[Found]
    ) -> None:
        for piece in pieces:
            if isinstance(piece, spans.Given):
                self._show(piece.text, found)
            elif isinstance(piece, spans.Closed) and piece.trigger is not None:
                if id(piece.trigger) in self._payloads:
                    self._show(piece.payload, found)
                span = self._span(piece.payload)
                found.append(Closed(trigger=piece.trigger, payload=piece.payload, span=span))

    def _show(self, text: str, found: list[Found]) -> None:
        if text:
            self._take(self._scanner.feed(text) if self._scanner else [text], found)

    def _take(self, events: Sequence[str | Mention | Problem], found: list[Found]) -> None:
        for event in events:
            if isinstance(event, str):
                self.shown += len(event)
                self._tail = (self._tail + event)[-PAYLOAD_LIMIT:]
        found.extend(events)

    def _span(self, payload: str) -> tuple[int, int]:
        """Where the payload stands in what is shown; its end, where it is not shown."""
        words = payload.strip()
        at = self._tail.rfind(words) if words else -1
        if at < 0:
            return self.shown, self.shown
        start = self.shown - len(self._tail) + at
        return start, start + len(words)
