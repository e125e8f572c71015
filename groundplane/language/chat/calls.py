"""Tool calls of a reply: put together from their parts, read strictly, and answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.core.frames import Frame
from groundplane.core.session import Failed, Ground, Prompt, Query, Resolved
from groundplane.language.chat.terms import Called, Tool
from groundplane.language.chat.transport import ToolPart
from groundplane.language.escaping import escaped_values
from groundplane.language.spatial_queries import read_json

__all__ = ["Call", "Calls", "Round"]

# Calls of one reply, and characters of the arguments of one; what is beyond is refused.
_MOST, _LONGEST = 32, 100_000


@dataclass(slots=True, eq=False, kw_only=True)
class Call:
    """One call, as far as it has come.

    Attributes:
        id: Of the interface, or made up where it gives none.
        name: The tool.
        arguments: JSON.
        request: The name of its request, where it has one.
        event: Its request; None of a call that could not be read.
        reply: What the model reads; None until it is known.
    """

    id: str = ""
    name: str = ""
    arguments: str = ""
    request: str = ""
    event: Ground | Query | None = None
    reply: Mapping[str, Any] | None = None


@dataclass(slots=True, eq=False)
class Calls:
    """The parts of one reply's calls."""

    parts: dict[int, Call] = field(default_factory=dict)
    dropped: int = 0

    def add(self, part: ToolPart) -> None:
        """Take a part; calls and characters beyond the limits are counted, not kept."""
        if part.index not in self.parts and len(self.parts) >= _MOST:
            self.dropped += 1
            return
        call = self.parts.setdefault(part.index, Call())
        call.id = call.id or part.id
        # Some interfaces repeat the whole name with each part, others split it.
        call.name = part.name if part.name.startswith(call.name) else call.name + part.name
        if len(call.arguments) <= _LONGEST:
            call.arguments += part.arguments

    def whole(self) -> list[Call]:
        """The calls, in order."""
        return [self.parts[index] for index in sorted(self.parts)]


class Round:
    """The calls of one reply and what becomes of them.

    Args:
        calls: Of the reply.
        tools: What may be called.
    """

    def __init__(self, calls: Sequence[Call], tools: Sequence[Tool]) -> None:
        self.calls = tuple(calls)
        self._tools = {tool.name: tool for tool in tools}

    def ask(
        self, sequence: int, prompt: Prompt, first: int, grounds: tuple[str, ...] = ()
    ) -> list[Ground | Query]:
        """Read all calls; those that are wrong are answered with what is wrong.

        Args:
            sequence: Index of the prompt.
            prompt: What was asked.
            first: Number of the first call within the answer.
            grounds: Requests for regions that the answer made before.
        """
        events: list[Ground | Query] = []
        for number, call in enumerate(self.calls, start=first):
            call.id = call.id or f"call-{number}"
            call.request = f"call-{number}"
            try:
                call.event = self._read(call, sequence, prompt, grounds)
                events.append(call.event)
                if isinstance(call.event, Ground):
                    grounds = (*grounds, call.request)
            except InputError as error:
                call.reply = {"error": str(error)}
        return events

    def _read(
        self, call: Call, sequence: int, prompt: Prompt, grounds: tuple[str, ...]
    ) -> Ground | Query:
        tool = self._tools.get(call.name)
        if tool is None:
            known = listing(self._tools)
            hint = did_you_mean(call.name[:40], self._tools)
            raise InputError(f"there is no tool {call.name[:40]!r}; there are {known}.{hint}")
        if len(call.arguments) > _LONGEST:
            raise InputError(f"the arguments are longer than {_LONGEST} characters")
        arguments = read_json(call.arguments or "{}", what=f"tool {tool.name}")
        return tool.ask(
            Called(
                sequence=sequence,
                request=call.request,
                arguments=arguments,
                prompt=prompt,
                grounds=grounds,
            )
        )

    def settle(self, outcome: Resolved | Failed, frames: Sequence[Frame]) -> None:
        """Put what became of a request into the words that the model reads."""
        for call in self.calls:
            if call.request == outcome.request and call.event is not None:
                image = call.event.image if isinstance(call.event, Ground) else 0
                frame = frames[image] if image < len(frames) else None
                told = self._tools[call.name].tell(call.event, outcome, frame)
                # A server may read signs in what a tool says, whoever has put them there.
                call.reply = escaped_values(told)

    @property
    def settled(self) -> bool:
        """Whether every call has its reply."""
        return all(call.reply is not None for call in self.calls)

    def messages(self, text: str) -> list[dict[str, Any]]:
        """The turn that called, and one message a call.

        Args:
            text: What the model said in that turn.
        """
        made = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments or "{}"},
            }
            for call in self.calls
        ]
        replies = [
            {
                "role": "tool",
                "tool_call_id": call.id,
                "content": json.dumps(call.reply, ensure_ascii=False, allow_nan=False),
            }
            for call in self.calls
        ]
        return [{"role": "assistant", "content": text or None, "tool_calls": made}, *replies]
