"""A chat completion as it stands on the wire: server-sent events, or one JSON object, to deltas."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from typing import Any

from groundplane.grounding.remote_protocol import printable
from groundplane.language.chat.transport import ChatError, Delta, ToolPart, Usage

__all__ = ["data_of", "deltas", "message_of", "reads_as_full"]

# What servers say when a prompt is longer than their model's context, in lower case.
_FULL = (
    "context length", "context window", "context size", "maximum context", "context_length",
    "too long", "exceeds the available context", "max_model_len", "too many tokens",
    "exceed_context_size",
)  # fmt: skip


def reads_as_full(message: str) -> bool:
    """Whether a server's words say that the model's context is full.

    Examples:
        >>> reads_as_full("This model's maximum context length is 4096 tokens."), reads_as_full("")
        (True, False)
    """
    said = message.lower()
    return any(words in said for words in _FULL)


def data_of(chunks: Iterable[bytes], *, most: int, longest: int) -> Iterator[str]:
    """The data of server-sent events.

    Args:
        chunks: The body as it comes, cut anywhere.
        most: Most bytes of it.
        longest: Most bytes of a line, and of one event.

    Raises:
        ChatError: If either is more. Bytes that are no UTF-8 become the sign for that.

    Source: WHATWG HTML, section 9.2, server-sent events.

    Examples:
        >>> list(data_of([b"data: a\\n\\nda", b"ta: b\\r\\n\\r\\n"], most=99, longest=9))
        ['a', 'b']
        >>> list(data_of([], most=9, longest=9))
        []
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    line, event, total = "", "", 0
    for chunk in chunks:
        total += len(chunk)
        if total > most:
            raise ChatError(f"the reply is longer than {most} bytes", kind="refused")
        *whole, line = (line + decoder.decode(chunk)).split("\n")
        for one in whole:
            text = one.removesuffix("\r")
            if text.startswith("data:"):
                event += text.removeprefix("data:").removeprefix(" ")
            elif not text and event:
                yield event
                event = ""
        if max(len(line), len(event)) > longest:
            raise ChatError(f"a line of the reply is longer than {longest} bytes", kind="broken")
    if event or line.startswith("data:"):
        yield event or line.removeprefix("data:").strip()


def deltas(data: Iterable[str]) -> Iterator[Delta]:
    """The deltas of a stream's events; it is whole once a finish, or `[DONE]`, has come.

    Raises:
        ChatError: If an event is no such thing, brings an error, or the stream ends before.
    """
    finished = False
    for one in data:
        if one.strip() == "[DONE]":
            if not finished:
                yield Delta(finish="stop")
            return
        delta = _delta(_object(one))
        finished = finished or bool(delta.finish)
        yield delta
    if not finished:
        raise ChatError("the reply ends in the middle", kind="broken")


def message_of(data: str) -> Delta:
    """A whole completion, of a server that does not stream.

    Raises:
        ChatError: If it is none.
    """
    value = _object(data)
    delta = _delta(value, part="message")
    if not delta.finish:
        raise ChatError("the reply has no finish_reason", kind="broken")
    return delta


def _object(data: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        shown = printable(data, limit=80)
        raise ChatError(f"the reply is no JSON: {shown!r}", kind="broken") from error
    if not isinstance(value, dict):
        raise ChatError("the reply is no JSON object", kind="broken")
    problem = value.get("error")
    if problem:
        said = problem.get("message", problem) if isinstance(problem, dict) else problem
        kind = "full" if reads_as_full(str(said)[:2000]) else "broken"
        raise ChatError(f"it says: {printable(said)}", kind=kind)  # type: ignore[arg-type]
    return value


def _delta(value: dict[str, Any], *, part: str = "delta") -> Delta:
    usage = _usage(value.get("usage"))
    choices = value.get("choices")
    if not isinstance(choices, list):
        raise ChatError("the reply has no choices", kind="broken")
    if not choices:
        return Delta(usage=usage)
    choice = choices[0]
    said = (choice.get(part) if isinstance(choice, dict) else None) or {}
    if not isinstance(choice, dict) or not isinstance(said, dict):
        raise ChatError(f"a choice of the reply has no {part}", kind="broken")
    calls = said.get("tool_calls") or []
    finish, stopped = choice.get("finish_reason"), choice.get("stop_reason")
    if not isinstance(calls, list) or not isinstance(finish, str | None):
        raise ChatError("a choice of the reply is malformed", kind="broken")
    return Delta(
        text=_text(said.get("content")),
        calls=tuple(_part(call, place) for place, call in enumerate(calls)),
        finish=finish or "",
        stopped_at=stopped if isinstance(stopped, str) else "",
        usage=usage,
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):  # parts, as some servers send them
        texts = [one.get("text") for one in value if isinstance(one, dict)]
        value = "".join(text for text in texts if isinstance(text, str))
    if not isinstance(value, str):
        raise ChatError("the reply's content is no text", kind="broken")
    # JSON can spell half a surrogate pair, which is no text.
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _part(call: object, place: int) -> ToolPart:
    about = (call.get("function") if isinstance(call, dict) else None) or {}
    if not isinstance(call, dict) or not isinstance(about, dict):
        raise ChatError("a tool call of the reply is malformed", kind="broken")
    index, arguments = call.get("index", place), about.get("arguments")
    if isinstance(arguments, dict):  # some servers send them read
        arguments = json.dumps(arguments)
    texts = [call.get("id") or "", about.get("name") or "", arguments or ""]
    if type(index) is not int or not all(isinstance(text, str) for text in texts):
        raise ChatError("a tool call of the reply is malformed", kind="broken")
    return ToolPart(index=index, id=_text(texts[0]), name=_text(texts[1]), arguments=texts[2])


def _usage(value: object) -> Usage | None:
    if not isinstance(value, dict):
        return None
    details = value.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    counts = [value.get("prompt_tokens"), value.get("completion_tokens"), cached]
    prompt, completion, kept = (n if type(n) is int and 0 <= n < 2**40 else 0 for n in counts)
    return Usage(prompt=prompt, completion=completion, cached=kept)
