"""Language models behind a server that speaks OpenAI's chat completions.

vLLM, SGLang, llama.cpp and `transformers serve` do. The server is trusted in nothing: what it
sends is bounded and checked, and given up on when its time is over.
"""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal

import torch

from groundplane.core.errors import InputError, listing
from groundplane.core.session import LanguageModel, Prompt, Session
from groundplane.core.weights import need_library
from groundplane.grounding.addresses import plain_address
from groundplane.grounding.dialects import dialect as dialect_of
from groundplane.grounding.remote_protocol import printable
from groundplane.language.chat.messages import fit_for
from groundplane.language.chat.probe import Probe
from groundplane.language.chat.secrets import Secret, retry_after
from groundplane.language.chat.session import ChatSession
from groundplane.language.chat.terms import ChatTerms
from groundplane.language.chat.tools import TOOLS
from groundplane.language.chat.transport import ChatError, Delta
from groundplane.language.chat.wire import data_of, deltas, message_of, reads_as_full
from groundplane.language.routes import Route, check_route, routed

__all__ = ["OpenAiServerLanguageModel", "OpenAiServerOptions"]

_WHO = "language model 'openai-server'"
_URL = {"who": _WHO, "example": "http://127.0.0.1:8000/v1", "secret": "key"}
_HOWS = ("auto", "tools", "continue", "text")
_MOST, _LONGEST, _ERROR = 64 * 2**20, 2**20, 2**16
# Statuses after which the same request may succeed.
_AGAIN = (408, 425, 429, 500, 502, 503, 504, 529)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAiServerOptions:
    """Options of `OpenAiServerLanguageModel`.

    Attributes:
        url: Where the interface is; `chat/completions` is looked for below it.
        model: The name by which the server knows the model.
        dialect: How the model says where things are; empty: it does not.
        route: Who finds places: `own` (the model, in its dialect or by calling experts), `after`
            (experts look for what its sentences name), `marks` (experts first, the model picks
            numbers), `none`.
        how: How results get into the answer with `own`: `tools`, `continue` (in mid-sentence),
            `text` (not at all), or `auto`: the best that the server honours.
        max_tokens: Most tokens of an answer.
        temperature: 0 takes the likeliest token.
        top_p: Share of the likeliest tokens that are drawn from.
        seed: Of the draws; sent where it is not negative.
        timeout: Seconds to wait for a connection, and for the next part of a reply.
        deadline: Seconds for a request with its retries.
        retries: How often a request is made again where the server is busy or not there.
        streams: Most requests at a time.
        factor: Of a model that resizes to a grid of patches: the sides are multiples of it.
        most_pixels: Of such a model: the greatest area that pictures are sent with, pixels.
        key_env: Name of the environment variable that holds the server's key.

    Raises:
        InputError: If a value is malformed or out of range.
    """

    url: str = "http://127.0.0.1:8000/v1"
    model: str = "default"
    dialect: str = ""
    route: str = "own"
    how: str = "auto"
    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    timeout: float = 60.0
    deadline: float = 300.0
    retries: int = 3
    streams: int = 8
    factor: int = 28
    most_pixels: int = 28 * 28 * 1280
    key_env: str = ""

    def __post_init__(self) -> None:
        plain_address(self.url, **_URL)
        limits: dict[str, tuple[float, float]] = {
            "max_tokens": (1, 1_000_000),
            "temperature": (0.0, 10.0),
            "top_p": (0.0, 1.0),
            "seed": (-1, 2**53),
            "timeout": (0.001, 3600.0),
            "deadline": (0.001, 86_400.0),
            "retries": (0, 100),
            "streams": (1, 256),
            "factor": (1, 256),
            "most_pixels": (4 * self.factor**2, 2**26),
        }
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(f"{_WHO}: option {name}: expected {least} to {most}, got {value}")
        if self.how not in _HOWS:
            shown = printable(self.how)
            raise InputError(f"{_WHO}: option how: expected one of {listing(_HOWS)}, got {shown!r}")
        check_route(self.route, who=_WHO)
        if self.dialect:
            dialect_of(self.dialect)  # refuses an unknown one, with those that are known


class OpenAiServerLanguageModel:
    """A `language_models` plugin over a server; it is asked nothing before the first step.

    Args:
        options: See `OpenAiServerOptions`.
        device: Not used: the model runs elsewhere.
        dtype: Not used.

    Raises:
        InputError: If the key's variable is not set, or the key would be sent unencrypted over
            a public network.
        PluginBrokenError: If httpx is not installed.
    """

    Options = OpenAiServerOptions

    def __init__(
        self,
        options: OpenAiServerOptions | None = None,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        del device, dtype
        options = options or OpenAiServerOptions()
        httpx: Any = need_library("httpx", extra="served", who=_WHO)
        self._chat = _HttpChat(httpx, options, _secret(options))
        route = check_route(options.route, who=_WHO)
        own = route == "own"
        dialect = dialect_of(options.dialect) if options.dialect and own else None
        how: Any = options.how if own else "text"
        fields: dict[str, Any] = {"temperature": options.temperature, "top_p": options.top_p}
        if options.seed >= 0:
            fields["seed"] = options.seed
        terms = ChatTerms(
            fit=fit_for(dialect, factor=options.factor, most=options.most_pixels),
            fields=fields,
            max_tokens=options.max_tokens,
            retries=options.retries,
            deadline=options.deadline,
            streams=options.streams,
        )
        probe = Probe(self._chat, how=how, dialect=dialect, tools=TOOLS if own else ())
        self._model = _routed(_Served(self._chat, terms, probe), route)

    def open(self, prompts: Sequence[Prompt]) -> Session:
        """Begin a session: sequence i answers `prompts[i]`."""
        return self._model.open(prompts)

    def close(self) -> None:
        """Let go of the connections."""
        self._chat.close()


def _routed(model: LanguageModel, route: Route) -> LanguageModel:
    return routed(model, route)


class _Served:
    """The server as a language model without a route."""

    def __init__(self, chat: _HttpChat, terms: ChatTerms, probe: Probe) -> None:
        self._chat, self._terms, self._probe = chat, terms, probe

    def open(self, prompts: Sequence[Prompt]) -> ChatSession:
        regions = bool(prompts) and all(prompt.regions for prompt in prompts)
        return ChatSession(
            self._chat,
            prompts,
            terms=self._terms,
            ways=lambda: self._probe.ways(regions=regions),
        )


def _secret(options: OpenAiServerOptions) -> Secret:
    if not options.key_env:
        return Secret("")
    name, parts = printable(options.key_env), plain_address(options.url, **_URL)
    key = os.environ.get(options.key_env, "").strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(
            f"{_WHO}: expected a key in the environment variable {name!r}, which is "
            f"{'not set' if not key else 'set to something else'}"
        )
    if parts.scheme == "http" and not _is_near(parts.hostname or ""):
        raise InputError(
            f"{_WHO}: the key of {name!r} would be sent unencrypted to {parts.hostname!r}; use "
            "https, or the address of a machine in a private network"
        )
    return Secret(key)


def _is_near(host: str) -> bool:
    """Whether a host is this machine or an address of a private network."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_private


class _HttpChat:
    """A `Chat` over HTTP. One request is one stream; it repeats nothing."""

    def __init__(self, httpx: Any, options: OpenAiServerOptions, secret: Secret) -> None:
        self._httpx, self._options, self._secret = httpx, options, secret
        self._url = f"{options.url.rstrip('/')}/chat/completions"
        self._where = f"{_WHO} at {printable(options.url)}"
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._client: Any = None

    def stream(self, request: Mapping[str, Any]) -> Iterator[Delta]:
        """Send a request and give its reply as it comes."""
        body = {
            "model": self._options.model,
            **request,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        content = json.dumps(body, allow_nan=False).encode()
        try:
            yield from self._secret.hidden(self._send(content))
        except ChatError as error:
            message = self._secret.scrub(f"{self._where}: {error}")
            # The cause is not chained: a library's error may hold the request's headers.
            raise ChatError(message, kind=error.kind, wait=error.wait) from None

    def close(self) -> None:
        """Let go of the connections; streams end at their next read."""
        self._closed.set()
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connect(self) -> Any:
        with self._lock:
            if self._closed.is_set():
                raise ChatError("it was closed", kind="refused")
            if self._client is None:
                # No proxy, netrc file or redirect of the surroundings gets to see a prompt.
                self._client = self._httpx.Client(
                    timeout=self._options.timeout, trust_env=False, follow_redirects=False
                )
                weakref.finalize(self, self._client.close)
            return self._client

    def _send(self, content: bytes) -> Iterator[Delta]:
        httpx, begun = self._httpx, False
        headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream, application/json",
            "Accept-Encoding": "identity",
            **self._secret.headers,
        }
        try:
            with self._connect().stream(
                "POST", self._url, content=content, headers=headers
            ) as reply:
                for delta in self._read(reply):
                    begun = begun or bool(delta.text or delta.calls)
                    yield delta
        except httpx.ConnectTimeout as error:
            raise ChatError(f"no connection: {_said(error)}", kind="busy") from error
        except httpx.TimeoutException as error:
            seconds = self._options.timeout
            raise ChatError(f"silent for {seconds:g} s", kind="late") from error
        except httpx.ConnectError as error:
            raise ChatError(f"cannot be reached: {_said(error)}", kind="busy") from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            kind: Literal["broken", "busy"] = "broken" if begun else "busy"
            raise ChatError(f"broke off: {_said(error)}", kind=kind) from error

    def _read(self, reply: Any) -> Iterator[Delta]:
        if reply.status_code != 200:
            raise _refusal(reply, self._chunks(reply), bool(self._secret.headers))
        if reply.headers.get("Content-Encoding", "identity") != "identity":
            raise ChatError("the reply is compressed, which was not asked for", kind="refused")
        chunks = self._chunks(reply)
        if "json" in reply.headers.get("Content-Type", ""):
            yield message_of(_whole(chunks, _MOST))
            return
        yield from deltas(data_of(chunks, most=_MOST, longest=_LONGEST))

    def _chunks(self, reply: Any) -> Iterator[bytes]:
        for chunk in reply.iter_raw():
            if self._closed.is_set():
                raise ChatError("it was closed", kind="refused")
            yield chunk


def _whole(chunks: Iterator[bytes], most: int) -> str:
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > most:
            raise ChatError(f"the reply is longer than {most} bytes", kind="refused")
    return data.decode(errors="replace")


def _refusal(reply: Any, chunks: Iterator[bytes], keyed: bool) -> ChatError:
    """What a status other than 200 means."""
    status = reply.status_code
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > _ERROR:
            break
    said = _message(bytes(data))
    what = f"HTTP {status}{f': {said}' if said else ''}"
    if 300 <= status < 400:
        target = printable(reply.headers.get("Location", ""))
        return ChatError(f"{what}: redirects to {target!r}, which is not followed", kind="refused")
    if status in _AGAIN:
        wait = retry_after(reply.headers.get("Retry-After", ""))
        return ChatError(f"it is busy ({what})", kind="busy", wait=wait)
    if reads_as_full(said) or status == 413:
        return ChatError(f"the context is full ({what})", kind="full")
    if status in (401, 403):
        hint = "refuses the key" if keyed else "wants a key; name its variable with key_env"
        return ChatError(f"{hint} ({what})", kind="refused")
    return ChatError(what, kind="unsupported" if status in (400, 422, 501) else "refused")


def _message(data: bytes) -> str:
    text = data.decode(errors="replace")
    try:
        value = json.loads(text)
        problem = value.get("error", value) if isinstance(value, dict) else value
        inner = problem.get("message", problem) if isinstance(problem, dict) else problem
        return printable(inner)
    except (ValueError, RecursionError):
        return printable(text)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {printable(error)}".removesuffix(": ")
