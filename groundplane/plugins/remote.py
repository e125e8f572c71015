"""A detector on another machine, asked over HTTP.

The protocol is described in docs/remote.md; `groundplane.testing.remote_server` serves any detector
with it. The other side is trusted in nothing: what it sends is bounded, checked, and given up on
when its time is over.
"""

from __future__ import annotations

import email.utils
import math
import os
import random
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.core.errors import DetectorError, InputError
from groundplane.core.files import one_line
from groundplane.core.weights import need_library
from groundplane.core.workers import Inbox, WorkerPool
from groundplane.grounding.addresses import plain_address
from groundplane.grounding.candidates import to_device
from groundplane.grounding.checking import BreachError
from groundplane.grounding.remote_protocol import (
    Info,
    printable,
    read_info,
    read_results,
    write_requests,
)

__all__ = ["RemoteDetector", "RemoteOptions"]

_WHO = "detector 'remote'"
_URL = {"who": _WHO, "example": "https://host:8000/path", "secret": "token"}
# A server that is busy, restarting or behind a proxy that lost it.
_AGAIN = (429, 502, 503, 504)
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 8.0
_CALLS = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteOptions:
    """Options of `RemoteDetector`.

    Attributes:
        url: Where the server is, such as `https://gpu.example.org/owlv2`; `/info` and `/detect`
            are looked for below it.
        token_env: Name of the environment variable that holds the server's token.
        timeout: Seconds to wait for a connection, or for the next part of a reply.
        deadline: Seconds for a call with all its retries.
        retries: How often a call is made again where the server cannot be reached, breaks off,
            or says that it is busy (429, 502, 503, 504).
        max_reply: A longer reply is refused, bytes.
        picture: How pictures are sent; `jpeg` is smaller and loses a little.
        ca_file: Certificates that sign the server's, where the usual ones do not.
        use_proxy: Whether the proxies that the environment names are used.

    Raises:
        InputError: If a value is malformed or out of range.
    """

    url: str
    token_env: str = ""
    timeout: float = 30.0
    deadline: float = 60.0
    retries: int = 3
    max_reply: int = 64 * 2**20
    picture: Literal["png", "jpeg"] = "png"
    ca_file: Path | None = None
    use_proxy: bool = False

    def __post_init__(self) -> None:
        plain_address(self.url, **_URL)
        limits = {
            "timeout": (0.001, 3600.0),
            "deadline": (0.001, 86_400.0),
            "retries": (0, 100),
            "max_reply": (1, 2**33),
        }
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(f"{_WHO}: option {name}: expected {least} to {most}, got {value}")


class RemoteDetector:
    """Asks a detector on another machine; a batch is one call.

    The server is not asked before it is needed. Safe to use from several threads, four at a time.

    Args:
        options: See `RemoteOptions`.
        device: Where the regions' tensors are put.
        dtype: Not used: the server has its own. Boxes and scores are float32.

    Raises:
        InputError: If the token's variable is not set, or the token would be sent unencrypted
            to another machine.
        PluginBrokenError: If httpx is not installed.
    """

    Options = RemoteOptions
    # What the server takes is known once it was asked; until then others are asked first.
    capabilities = Capabilities(prompts=frozenset({"text", "vocabulary"}), cost=math.inf)

    def __init__(
        self, options: RemoteOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self._httpx: Any = need_library("httpx", extra="remote", who=_WHO)
        self._options = options
        self._device = device
        self._base = options.url.rstrip("/")
        self._headers = _headers(options)
        self._ssl = _trust(self._httpx, options)
        self._pool = WorkerPool(_CALLS)
        self._lock = threading.Lock()
        self._info: Info | None = None

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The words that the server's detector knows; None if it takes any text.

        Raises:
            DetectorError: If the server cannot be asked.
        """
        with self._lock:
            if self._info is None:
                self._info = self._call("GET", "info", b"", read_info)
                if self._info.capabilities is not None:
                    self.capabilities = self._info.capabilities
            return self._info.vocabulary

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order.

        Raises:
            DetectorError: If the server cannot be reached, refuses, is late, or replies with
                something else than the answers.
        """
        if not requests:
            return []
        body = write_requests(requests, picture=self._options.picture)

        def read(data: bytes) -> list[DetectResult]:
            return read_results(data, requests, source="remote")

        results = self._call("POST", "detect", body, read)
        return [to_device(result, self._device) for result in results]

    def _call(self, method: str, path: str, body: bytes, read: Callable[[bytes], T]) -> T:
        """Make a call in a thread that can be left behind, as no read of a socket can be."""
        deadline = self._options.deadline
        client = self._httpx.Client(
            headers=self._headers,
            verify=self._ssl,
            trust_env=self._options.use_proxy,
            follow_redirects=False,
        )
        call = _Call(
            client,
            httpx=self._httpx,
            options=self._options,
            url=f"{self._base}/{path}",
            end=time.monotonic() + deadline,
        )
        with self._pool:
            inbox: Inbox[None] = Inbox(self._pool, deadline=deadline)
            try:
                inbox.submit(lambda: read(call.run(method, body)), tag=None)
                news = inbox.collect(call.end)
            finally:
                inbox.close()
                call.close()
        for task, what in news:
            if what == "ended" and task.error is None:
                return task.value  # type: ignore[return-value]
            if what == "ended" and isinstance(task.error, BreachError):
                raise DetectorError(f"{call.where}: {task.error}") from task.error
            if what == "ended" and task.error is not None:
                raise task.error
            if what == "refused":
                raise DetectorError(f"{call.where}: not asked: too many calls to it hang")
        raise DetectorError(f"{call.where}: no reply within {deadline:g} s")


def _headers(options: RemoteOptions) -> dict[str, str]:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if not options.token_env:
        return headers
    token = os.environ.get(options.token_env, "").strip()
    name = printable(options.token_env)
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"{_WHO}: expected a token in the environment variable {name!r}, which is "
            f"{'not set' if not token else 'set to something else'}"
        )
    parts = plain_address(options.url, **_URL)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise InputError(
            f"{_WHO}: the token of {name!r} would be sent unencrypted to {parts.hostname!r}; "
            "use https"
        )
    return {**headers, "Authorization": f"Bearer {token}"}


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _trust(httpx: Any, options: RemoteOptions) -> ssl.SSLContext:
    if options.ca_file is None:
        made: ssl.SSLContext = httpx.create_ssl_context(trust_env=options.use_proxy)
        return made
    try:
        return ssl.create_default_context(cafile=str(options.ca_file))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{_WHO}: option ca_file: {one_line(str(options.ca_file))}: cannot be read as "
            f"certificates: {printable(error)}"
        ) from error


class _AgainError(Exception):
    """A try failed in a way that another may mend; `wait` is what the server asks for, seconds."""

    def __init__(self, why: str, *, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class _Call:
    """One call with its retries."""

    def __init__(
        self, client: Any, *, httpx: Any, options: RemoteOptions, url: str, end: float
    ) -> None:
        self._client, self._httpx, self._options, self._url = client, httpx, options, url
        self.end = end
        self.where = f"{_WHO} at {printable(url)}"
        self._closed = threading.Event()

    def close(self) -> None:
        """End it; a thread that still waits in it ends at its next read."""
        self._closed.set()
        self._client.close()

    def run(self, method: str, body: bytes) -> bytes:
        """The reply's body.

        Raises:
            DetectorError: If there is none.
        """
        tries = 0
        while True:
            try:
                return self._try(method, body)
            except _AgainError as error:
                tries += 1
                wait = max(error.wait, _backoff(tries))
                left = self.end - time.monotonic()
                if tries > self._options.retries or wait >= left:
                    more = "" if tries > self._options.retries else ", no time for more"
                    raise DetectorError(
                        f"{self.where}: {error} (tries: {tries}{more})"
                    ) from error.__cause__
                if self._closed.wait(wait):
                    raise DetectorError(f"{self.where}: given up") from error

    def _try(self, method: str, body: bytes) -> bytes:
        httpx = self._httpx
        seconds = max(0.001, min(self._options.timeout, self.end - time.monotonic()))
        content = {"content": body, "headers": {"Content-Type": "application/json"}} if body else {}
        try:
            with self._client.stream(method, self._url, timeout=seconds, **content) as reply:
                return self._read(reply)
        except httpx.TimeoutException as error:
            if isinstance(error, httpx.ConnectTimeout):
                raise _AgainError(f"no connection within {seconds:g} s") from error
            raise DetectorError(f"{self.where}: silent for {seconds:.3g} s") from error
        except httpx.TransportError as error:
            raise _AgainError(_said(error)) from error
        except httpx.HTTPError as error:
            raise DetectorError(f"{self.where}: {_said(error)}") from error

    def _unwelcome(self, status: int) -> str:
        variable = self._options.token_env
        if not variable:
            return (
                f"wants a token (HTTP {status}); put it into an environment variable and name that "
                "with --option token_env=NAME"
            )
        return f"refuses the token of {printable(variable)!r} (HTTP {status})"

    def _read(self, reply: Any) -> bytes:
        status = reply.status_code
        if status in _AGAIN:
            wait = _retry_after(reply.headers.get("Retry-After", ""))
            raise _AgainError(f"it is busy (HTTP {status})", wait=wait)
        if 300 <= status < 400:
            target = printable(reply.headers.get("Location", ""))
            raise DetectorError(
                f"{self.where}: redirects to {target!r}, which is not followed; if you trust it, "
                "name it as the url"
            )
        if status in (401, 403):
            raise DetectorError(f"{self.where}: {self._unwelcome(status)}")
        if reply.headers.get("Content-Encoding", "identity") != "identity":
            raise DetectorError(f"{self.where}: the reply is compressed, which was not asked for")
        data = self._body(reply)
        if status != 200:
            raise DetectorError(
                f"{self.where}: HTTP {status}: {printable(data.decode(errors='replace'))}"
            )
        return data

    def _body(self, reply: Any) -> bytes:
        most = self._options.max_reply
        too_long = f"{self.where}: the reply is longer than {most} bytes (option max_reply)"
        stated = reply.headers.get("Content-Length", "0")
        if stated.isdecimal() and int(stated[:20]) > most:
            raise DetectorError(too_long)
        data = bytearray()
        for chunk in reply.iter_raw():
            data += chunk
            if len(data) > most:
                raise DetectorError(too_long)
            if time.monotonic() >= self.end or self._closed.is_set():
                raise DetectorError(f"{self.where}: the reply was not complete in time")
        return bytes(data)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {printable(error)}".removesuffix(": ")


def _backoff(tries: int) -> float:
    """Seconds to wait: twice as long each time, by chance up to half of it less."""
    longest: float = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(tries - 1, 16))
    return longest * random.uniform(0.5, 1.0)


def _retry_after(text: str) -> float:
    """Seconds that a `Retry-After` header asks for: a number or a date; 0 where it is neither."""
    text = text.strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    try:
        when = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return max(0.0, when - time.time())
