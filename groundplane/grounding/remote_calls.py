"""Calls to remote experts over HTTP: bounded, retried, and given up on when their time is over.

The other side is trusted in nothing. See docs/remote.md for what is promised.
"""

from __future__ import annotations

import email.utils
import os
import random
import ssl
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable
from urllib.parse import SplitResult

from groundplane.core.errors import DetectorError, InputError
from groundplane.core.files import one_line
from groundplane.core.workers import Inbox, WorkerPool
from groundplane.grounding.addresses import plain_address
from groundplane.grounding.checking import BreachError
from groundplane.grounding.remote_parts import printable

__all__ = ["CallOptions", "RemoteCaller", "check_call_options"]

# A server that is busy, restarting or behind a proxy that lost it.
_AGAIN = (429, 502, 503, 504)
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 8.0
_CALLS = 4

T = TypeVar("T")


@runtime_checkable
class CallOptions(Protocol):
    """What calls need of a plugin's options; docs/remote.md says what each means."""

    @property
    def url(self) -> str:
        """Where the server is."""
        ...

    @property
    def token_env(self) -> str:
        """Name of the environment variable that holds the token."""
        ...

    @property
    def timeout(self) -> float:
        """Seconds to wait for a connection or for the next part of a reply."""
        ...

    @property
    def deadline(self) -> float:
        """Seconds for a call with all its retries."""
        ...

    @property
    def retries(self) -> int:
        """How often a call is made again."""
        ...

    @property
    def max_reply(self) -> int:
        """Longest reply, bytes."""
        ...

    @property
    def ca_file(self) -> Path | None:
        """Certificates that sign the server's."""
        ...

    @property
    def use_proxy(self) -> bool:
        """Whether the environment's proxies are used."""
        ...


def check_call_options(options: CallOptions, *, who: str) -> None:
    """Check the options of a plugin that calls a server.

    Raises:
        InputError: If a value is malformed or out of range.
    """
    _address(options.url, who=who)
    limits = {
        "timeout": (0.001, 3600.0),
        "deadline": (0.001, 86_400.0),
        "retries": (0, 100),
        "max_reply": (1, 2**33),
    }
    for name, (least, most) in limits.items():
        value = getattr(options, name)
        if not least <= value <= most:
            raise InputError(f"{who}: option {name}: expected {least} to {most}, got {value}")


class RemoteCaller:
    """Calls one server; safe to use from several threads, four calls at a time.

    Args:
        options: Of the plugin, checked by `check_call_options`.
        httpx: The library.
        who: The plugin, for messages.

    Raises:
        InputError: If the token's variable is not set, or the token would be sent unencrypted
            to another machine.
    """

    def __init__(self, options: CallOptions, *, httpx: Any, who: str) -> None:
        self._httpx, self._options, self._who = httpx, options, who
        self._base = options.url.rstrip("/")
        self._headers = _headers(options, who=who)
        self._ssl = _trust(httpx, options, who=who)
        self._pool = WorkerPool(_CALLS)

    def call(self, method: str, path: str, body: bytes, read: Callable[[bytes], T]) -> T:
        """Make a call in a thread that can be left behind, as no read of a socket can be.

        Args:
            method: `GET` or `POST`.
            path: Below the server's URL.
            body: What is sent; empty for nothing.
            read: Makes the result of the reply's body; raises `BreachError` where it is no answer.

        Raises:
            DetectorError: If the server cannot be reached, refuses, is late, or replies with
                something else than an answer.
        """
        deadline = self._options.deadline
        client = self._httpx.Client(
            headers=self._headers,
            verify=self._ssl,
            trust_env=self._options.use_proxy,
            follow_redirects=False,
        )
        call = _Call(
            client,
            who=self._who,
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


def _address(url: str, *, who: str) -> SplitResult:
    return plain_address(url, who=who, example="https://host:8000/path", secret="token")


def _headers(options: CallOptions, *, who: str) -> dict[str, str]:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if not options.token_env:
        return headers
    token = os.environ.get(options.token_env, "").strip()
    name = printable(options.token_env)
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"{who}: expected a token in the environment variable {name!r}, which is "
            f"{'not set' if not token else 'set to something else'}"
        )
    parts = _address(options.url, who=who)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise InputError(
            f"{who}: the token of {name!r} would be sent unencrypted to {parts.hostname!r}; "
            "use https"
        )
    return {**headers, "Authorization": f"Bearer {token}"}


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _trust(httpx: Any, options: CallOptions, *, who: str) -> ssl.SSLContext:
    if options.ca_file is None:
        made: ssl.SSLContext = httpx.create_ssl_context(trust_env=options.use_proxy)
        return made
    try:
        return ssl.create_default_context(cafile=str(options.ca_file))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{who}: option ca_file: {one_line(str(options.ca_file))}: cannot be read as "
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
        self, client: Any, *, who: str, httpx: Any, options: CallOptions, url: str, end: float
    ) -> None:
        self._client, self._httpx, self._options, self._url = client, httpx, options, url
        self.end = end
        self.where = f"{who} at {printable(url)}"
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
