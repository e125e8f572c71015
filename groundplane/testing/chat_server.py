"""A server on this machine that speaks OpenAI's chat completions, for tests; it has no model.

It plays a script, or echoes the question, in the manner of a real server, and misbehaves where it
is told to:

    with ChatServer(["I see <ref>a dog</ref>", " on a mat."], manners=VLLM) as server:
        load("language_models", "openai-server", url=server.url, dialect="qwen-vl")
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

from groundplane.language.chat.probe import REPEAT

__all__ = [
    "LLAMA_CPP",
    "OPENAI",
    "SGLANG",
    "VLLM",
    "ChatServer",
    "Fault",
    "Manners",
    "Turn",
    "tokens_of",
]

_TAG = re.compile(r"<[^<>\s]{1,40}>")
_TOKEN = re.compile(r"<[^<>\s]{1,40}>|\s*[^\s<]+|\s+|<")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """What a server honours.

    Attributes:
        continues: What it does with `continue_final_message`.
        tags: Special tokens (here: all in angle brackets) are kept in the text, dropped from it,
            or kept where `skip_special_tokens` is false.
        stop_shown: It honours `include_stop_str_in_output`.
        stop_told: It names the stop sequence that it stopped at.
        tools: What it does with `tools`.
        strict: It refuses fields that OpenAI does not have.
        usage: It counts tokens.
        split: How it cuts its text.
    """

    continues: Literal["honoured", "ignored", "refused"] = "honoured"
    tags: Literal["kept", "dropped", "switchable"] = "switchable"
    stop_shown: bool = True
    stop_told: bool = True
    tools: Literal["honoured", "refused"] = "honoured"
    strict: bool = False
    usage: bool = True
    split: Literal["tokens", "characters", "bytes"] = "tokens"


# In the manner of servers as their documentation tells of it; what a given release honours, the
# probe finds out.
VLLM = Manners()
SGLANG = Manners(stop_shown=False, stop_told=False)
LLAMA_CPP = Manners(tags="dropped", continues="ignored", stop_shown=False, stop_told=False)
OPENAI = Manners(continues="refused", strict=True, stop_shown=False, stop_told=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How a request goes wrong.

    Attributes:
        kind: `status` (an error), `drop` (the connection ends), `cut` (the stream ends without a
            finish), `garbage` (no JSON), `utf8` (bytes that are none), `line` (one without an
            end), `silent` (nothing more comes), `slow` (byte by byte), `redirect`.
        status: Of `status`.
        message: The error's.
        wait: `Retry-After` in seconds, of `status`; of `slow` the seconds between bytes.
        after: Events of the reply that come before.
    """

    kind: Literal["status", "drop", "cut", "garbage", "utf8", "line", "silent", "slow", "redirect"]
    status: int = 500
    message: str = "it does not work"
    wait: float = 0.0
    after: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of the model.

    Attributes:
        text: Its text in pieces; what the client puts into it stands between two of them.
        calls: Tools that it calls behind the text: name and arguments, or the arguments' JSON.
        finish: Why it ends; empty: `stop`, or `tool_calls` where there are any.
    """

    text: tuple[str, ...] = ()
    calls: tuple[tuple[str, Mapping[str, Any] | str], ...] = ()
    finish: str = ""


Script = Sequence[str | Turn] | Callable[[Mapping[str, Any]], Turn]


def tokens_of(text: str) -> list[str]:
    """The tokens that the server cuts a text into: tags, and words with the blanks before them.

    Examples:
        >>> tokens_of("a dog</p>."), tokens_of("")
        (['a', ' dog', '</p>', '.'], [])
    """
    return _TOKEN.findall(text)


class ChatServer:
    """The server; use it as a context.

    Args:
        script: What the model says: pieces of one turn; `Turn`s, one after each round of tool
            calls; or a function from the request to its turn. None: it echoes the question. To a
            question that begins with "Repeat exactly", as the probe asks it, it always does so.
        manners: What it honours.
        faults: How the first requests, those of a probe not counted, go wrong; None for one that
            goes well.
        key: What clients must show; empty for nothing.

    Attributes:
        requests: The bodies of all requests.

    Examples:
        >>> from groundplane.core.host import load
        >>> from groundplane.core.orchestrator import Orchestrator, Resolvers
        >>> from groundplane.core.session import Prompt
        >>> with ChatServer(["Two chairs."]) as server:
        ...     model = load("language_models", "openai-server", device="cpu", url=server.url)
        ...     [text] = Orchestrator(model, resolvers=Resolvers()).run([Prompt(text="How many?")])
        >>> text.text
        'Two chairs.'
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        manners: Manners = VLLM,
        faults: Sequence[Fault | None] = (),
        key: str = "",
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        self._script, self._manners, self._key = script, manners, key
        self._faults = list(faults)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._http = _Http(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The bodies of the requests that were no probe."""
        return [body for body in self.requests if not _is_probe(body)]

    def __enter__(self) -> ChatServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    # What it says ------------------------------------------------------------------------------

    def _fault(self, body: dict[str, Any]) -> Fault | None:
        with self._lock:
            self.requests.append(body)
            if _is_probe(body) or not self._faults:
                return None
            return self._faults.pop(0)

    def _refusal(self, body: Mapping[str, Any]) -> str:
        """Why a request is not answered; empty: it is."""
        manners, own = self._manners, ("continue_final_message", "add_generation_prompt")
        if manners.strict:
            strange = [name for name in (*own, "skip_special_tokens") if name in body]
            if strange:
                return f"Unrecognized request argument supplied: {strange[0]}"
        if manners.continues == "refused" and body.get("continue_final_message"):
            return "continue_final_message is not supported"
        if manners.tools == "refused" and body.get("tools"):
            return '"auto" tool choice requires --enable-auto-tool-choice'
        return ""

    def _turn(self, body: Mapping[str, Any]) -> Turn:
        question = _words(next((m for m in body["messages"][::-1] if m["role"] == "user"), {}))
        if question.startswith(REPEAT):
            return Turn(text=(question.removeprefix(REPEAT),))
        if self._script is None:
            return Turn(text=(question,))
        if callable(self._script):
            return self._script(body)
        script = list(self._script)
        if all(isinstance(piece, str) for piece in script):
            return Turn(text=tuple(piece for piece in script if isinstance(piece, str)))
        turns = [turn for turn in script if isinstance(turn, Turn)]
        done = sum(m["role"] == "assistant" for m in body["messages"][:-1])
        return turns[min(done, len(turns) - 1)] if turns else Turn()

    def _events(self, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of a reply."""
        manners, turn = self._manners, self._turn(body)
        last = body["messages"][-1]
        going = last["role"] == "assistant"
        honoured = going and body.get("continue_final_message") and manners.continues == "honoured"
        said = _rest(turn.text, str(last["content"]) if honoured else "")
        said, stopped = self._stopped(said, body)
        tokens = tokens_of(said)
        most = int(body.get("max_tokens", 1000))
        finish = turn.finish or ("tool_calls" if turn.calls and body.get("tools") else "stop")
        if len(tokens) > most:
            tokens, finish, stopped = tokens[:most], "length", ""
        keep = manners.tags == "kept" or body.get("skip_special_tokens") is False
        if manners.tags == "dropped" or not keep:
            tokens = [token for token in tokens if not _TAG.fullmatch(token)]
        shown = tokens if manners.split == "tokens" else list("".join(tokens))
        for piece in shown:
            yield _choice({"content": piece})
        if finish == "tool_calls" and not stopped:
            yield from _calls(turn)
        told = {"stop_reason": stopped or None} if manners.stop_told else {}
        yield _choice({}, finish="stop" if stopped else finish, **told)
        if manners.usage and body.get("stream_options"):
            prompt = sum(len(tokens_of(_words(m))) + 4 for m in body["messages"])
            prompt += -2 if honoured else 3
            counts = {"prompt_tokens": prompt, "completion_tokens": len(tokens)}
            yield {"choices": [], "usage": {**counts, "total_tokens": prompt + len(tokens)}}

    def _stopped(self, said: str, body: Mapping[str, Any]) -> tuple[str, str]:
        """The text up to the first stop sequence, and that."""
        stops = body.get("stop") or []
        stops = [stops] if isinstance(stops, str) else stops
        places = [(said.find(sign), sign) for sign in stops if sign in said]
        if not places:
            return said, ""
        at, sign = min(places)
        shown = self._manners.stop_shown and body.get("include_stop_str_in_output")
        return said[: at + (len(sign) if shown else 0)], sign

    # How it sends it ---------------------------------------------------------------------------

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30.0

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
                self.close_connection = True
                with contextlib.suppress(OSError):  # the client may have left
                    server._answer(self, body)

            def log_message(self, format: str, *args: object) -> None:
                del format, args

        return Handler

    def _answer(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        fault = self._fault(body)
        if self._key and handler.headers.get("Authorization") != f"Bearer {self._key}":
            _refuse(handler, 401, f"wrong key: {handler.headers.get('Authorization')}")
        elif fault is not None and fault.kind == "status":
            wait = {"Retry-After": f"{fault.wait:g}"} if fault.wait else {}
            _refuse(handler, fault.status, fault.message, **wait)
        elif fault is not None and fault.kind == "redirect":
            _refuse(handler, 307, "elsewhere", Location=f"{self.url}/other")
        elif self._refusal(body):
            _refuse(handler, 400, self._refusal(body))
        else:
            self._stream(handler, body, fault)

    def _stream(
        self, handler: BaseHTTPRequestHandler, body: Mapping[str, Any], fault: Fault | None
    ) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("Connection", "close")
        handler.end_headers()
        for number, event in enumerate(self._events(body)):
            if fault is not None and number >= fault.after and self._fail(handler, fault):
                return
            data = f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
            slow = fault is not None and fault.kind == "slow"
            bits = [data[i : i + 1] for i in range(len(data))] if slow else [data]
            if self._manners.split == "bytes":
                bits = [data[i : i + 7] for i in range(0, len(data), 7)]
            for bit in bits:
                if fault is not None and slow and self._over.wait(fault.wait):
                    return
                _chunk(handler, bit)
        _chunk(handler, b"data: [DONE]\n\n")
        _chunk(handler, b"")

    def _fail(self, handler: BaseHTTPRequestHandler, fault: Fault) -> bool:
        """Go wrong; whether the reply is over with it."""
        if fault.kind == "garbage":
            _chunk(handler, b"data: <html>Bad gateway\n\n")
        elif fault.kind == "utf8":
            _chunk(handler, b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n')
            return False
        elif fault.kind == "line":
            end = time.monotonic() + 10
            while time.monotonic() < end and not self._over.is_set():
                _chunk(handler, b"x" * 65536)
        elif fault.kind == "silent":
            self._over.wait(30)
        elif fault.kind == "cut":
            _chunk(handler, b"")
        return fault.kind != "slow"


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


def _is_probe(body: Mapping[str, Any]) -> bool:
    """Whether a request is one of those by which a client finds out what is honoured."""
    asked = [_words(m) for m in body["messages"] if m["role"] == "user"]
    few = body.get("max_tokens") == 1 and asked[-1:] in (["Count to five."], ["Say yes."])
    return few or any(text.startswith(REPEAT) for text in asked)


def _words(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def _rest(pieces: Sequence[str], prefix: str) -> str:
    """What of a turn comes behind what was said, and was put between its pieces, before."""
    at = 0
    for number, piece in enumerate(pieces):
        place = prefix.find(piece, at)
        if place < 0 or not prefix:
            ends = (n for n in range(len(piece), 0, -1) if prefix[at:].endswith(piece[:n]))
            return piece[next(ends, 0) :] + "".join(pieces[number + 1 :])
        at = place + len(piece)
    return ""


def _choice(delta: Mapping[str, Any], *, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}


def _calls(turn: Turn) -> Iterator[dict[str, Any]]:
    """Tool calls in parts: the name, then the arguments, three characters at a time."""
    for index, (name, given) in enumerate(turn.calls):
        text = given if isinstance(given, str) else json.dumps(given)
        head = {"index": index, "id": f"id-{index}", "type": "function"}
        yield _choice({"tool_calls": [{**head, "function": {"name": name, "arguments": ""}}]})
        for start in range(0, len(text), 3):
            part = {"index": index, "function": {"arguments": text[start : start + 3]}}
            yield _choice({"tool_calls": [part]})


def _refuse(handler: BaseHTTPRequestHandler, status: int, message: str, **headers: str) -> None:
    data = json.dumps({"error": {"message": message, "code": status}}).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.send_header("Connection", "close")
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def _chunk(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
    handler.wfile.flush()
