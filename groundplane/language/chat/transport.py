"""What a chat interface gives, piece by piece, and how it fails: the side of `ChatSession` that a
plugin supplies.

A transport is a `Chat`. It carries one request and gives its reply as it comes; it neither repeats
nor mends anything, but says with a `ChatError` what went wrong, and `ChatSession` acts on its
`kind`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from groundplane.core.errors import GroundplaneError

__all__ = ["Chat", "ChatError", "ChatErrorKind", "Delta", "ToolPart", "Usage"]

# `busy`: the same request may succeed later, and nothing of its reply has come (429, 500, 502,
# 503, 504, no connection). `broken`: the reply broke off, or what came is no reply. `full`: the
# prompt is longer than the model's context. `late`: silent for longer than is waited.
# `unsupported`: a field of the request is not known or not taken there. `refused`: all else.
ChatErrorKind = Literal["busy", "broken", "full", "late", "unsupported", "refused"]


class ChatError(GroundplaneError, RuntimeError):
    """A chat interface did not answer a request.

    Args:
        message: One line: who, and what went wrong; never a key.
        kind: What can be done about it; see `ChatErrorKind`.
        wait: Seconds that the other side asks to wait, of `busy`.
    """

    def __init__(self, message: str, *, kind: ChatErrorKind, wait: float = 0.0) -> None:
        super().__init__(message)
        self.kind = kind
        self.wait = wait


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPart:
    """A part of a tool call; parts of one `index` are one call.

    Attributes:
        index: Which call of the reply.
        id: The call's id, where the part brings it.
        name: The tool's name, or a part of it.
        arguments: Characters of the arguments' JSON.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens that a request took.

    Attributes:
        prompt: Of the prompt.
        completion: Of the reply.
        cached: Of the prompt, those that the other side had kept.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What one event of a reply brings.

    Attributes:
        text: More characters.
        calls: Parts of tool calls.
        finish: Why the reply ends, as the interface says it (`stop`, `length`, `tool_calls`,
            `content_filter`); empty until it ends.
        stopped_at: The stop sequence that ended it, where the interface tells.
        usage: Tokens, where the interface tells.
    """

    text: str = ""
    calls: tuple[ToolPart, ...] = ()
    finish: str = ""
    stopped_at: str = ""
    usage: Usage | None = None


@runtime_checkable
class Chat(Protocol):
    """A chat interface. `stream` is called from several threads at once."""

    def stream(self, request: Mapping[str, Any]) -> Iterator[Delta]:
        """Send a request and give its reply as it comes.

        Args:
            request: The body of a chat completion as OpenAI's interface has it: `messages`,
                `max_tokens`, `tools`, `stop`, ... A transport adds the model's name, its key and
                whatever makes the reply a stream.

        Yields:
            The reply's parts. A whole reply ends with a `finish`; after it only `usage` comes.

        Raises:
            ChatError: If there is no reply or it ends before its `finish`.
        """
        ...

    def close(self) -> None:
        """Give up what is under way and let go of connections; may be called twice."""
        ...
