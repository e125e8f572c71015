"""A session over a chat interface: sequences answered side by side, none of which can hang it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

from groundplane.core.session import Event, Failed, Prompt, Resolved, Text
from groundplane.language.chat.answer import Answer
from groundplane.language.chat.streams import Streams
from groundplane.language.chat.terms import ChatTerms, Ways
from groundplane.language.chat.transport import Chat

__all__ = ["ChatSession"]

# Seconds that a step waits for news where there is none.
_PATIENCE = 0.03
# So many steps without news may pass before the session says that it is alive.
_SILENCE = 100


class ChatSession:
    """One batch of prompts over a `Chat`; a `core.session.Session`.

    Each sequence's requests run on threads; `step` takes what has come and waits some tens of
    milliseconds at most. Requests that fail at the start are made again, a reply that breaks off
    is gone on with once, without a repeat; whatever goes wrong is told as a `Note`, and ends its
    own sequence alone.

    Args:
        chat: The interface. It belongs to the caller, who closes it.
        prompts: Sequence i answers `prompts[i]`.
        terms: Limits, and what all requests have in common.
        ways: Gives how the interface is asked. Called on the threads, again for each sequence, so
            it may take its time and should remember; a `ChatError` of it ends the sequence. A
            prompt that cannot be worded ends its own sequence as well.
    """

    def __init__(
        self,
        chat: Chat,
        prompts: Sequence[Prompt],
        *,
        terms: ChatTerms,
        ways: Callable[[], Ways],
    ) -> None:
        self._streams = Streams(
            chat, most=terms.streams, retries=terms.retries, deadline=terms.deadline
        )
        # A session that nobody closes must not leave threads that wait for it.
        self._closer = weakref.finalize(self, self._streams.close)
        self._answers = [
            Answer(index, prompt, terms=terms, ways=ways) for index, prompt in enumerate(prompts)
        ]
        self._silent = 0
        self._begun = False

    def step(self, resolutions: Sequence[Resolved | Failed]) -> list[Event]:
        """Take outcomes and what has come of the replies; ask on where either allows it."""
        events: list[Event] = []
        if not self._begun:
            self._begun = True
            self._ask_on()
        for outcome in resolutions:
            events += self._answers[outcome.sequence].resolve(outcome)
        self._ask_on()
        for key, item in self._streams.take(0.0 if events else _PATIENCE):
            events += self._answers[key].take(item)
        self._ask_on()
        return events or self._alive()

    def stop(self, sequence: int) -> None:
        """Say nothing more of a sequence."""
        self._answers[sequence].stop()
        self._streams.leave(sequence)

    def close(self) -> None:
        """Leave all requests."""
        self._closer()

    def _ask_on(self) -> None:
        for answer in self._answers:
            if answer.idle:
                self._streams.leave(answer.sequence)
            make = answer.next_request()
            if make is not None:
                self._streams.leave(answer.sequence)
                self._streams.start(answer.sequence, make)

    def _alive(self) -> list[Event]:
        """A word that shows nothing, where a silent step would be taken for the end."""
        keys = self._streams.keys
        if not keys:
            return []
        self._silent += 1
        open_requests = any(answer.open for answer in self._answers)
        if not open_requests and self._silent % _SILENCE:
            return []
        return [Text(sequence=keys[0], text="")]
