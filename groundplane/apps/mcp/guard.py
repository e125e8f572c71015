"""Who may call over HTTP, and what of an error goes back.

A page in the user's browser can reach any server on the user's machine, by its address or by a
name that is made to point there (DNS rebinding). So every request, whatever its method and route,
must name this server as its host, come from no page of elsewhere, and carry the token. There are
no CORS headers.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from groundplane.apps.mcp.errors import reveals

__all__ = ["ARRIVAL", "MOST_BODY", "MOST_HEADERS", "Guard"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

# Bytes of all headers and of a body, and seconds for either of them to arrive.
MOST_HEADERS, MOST_BODY, ARRIVAL = 16 * 1024, 2**20, 10.0
_REFUSALS = {
    401: "unauthorized: send the server's token as 'Authorization: Bearer TOKEN'",
    403: "forbidden: this server is not to be called by that host or from that page",
    408: "timeout: the request did not arrive in time",
    413: "too_large: the body is too large",
    431: "too_large: the headers are too large",
}
_MALFORMED = "bad_request: the request is malformed"


class Guard:
    """Lets through what may call the server, before anything else sees it.

    Args:
        app: The server.
        names: `HOST:PORT` that it may be called by.
        token: What a client must know.
        basic: Whether it may also be sent as the password of any user (HTTP basic), for clients
            that can do nothing else.
        most: Bytes of a body at most.
    """

    def __init__(
        self,
        app: App,
        *,
        names: frozenset[str],
        token: str,
        basic: bool = False,
        most: int = MOST_BODY,
    ) -> None:
        self._app = app
        self._names = names
        self._origins = frozenset(f"{way}://{name}" for name in names for way in ("http", "https"))
        self._token = token.encode()
        self._basic, self._most = basic, most

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        status = self._fault(scope["headers"])
        if status:
            await _refuse(send, status)
            return
        try:
            async with asyncio.timeout(ARRIVAL):
                body = await _whole(receive, self._most)
        except TimeoutError:
            await _refuse(send, 408)
            return
        if body is None:
            await _refuse(send, 413)
            return
        await self._app(scope, _again(body, receive), _Careful(send))

    def _fault(self, headers: list[tuple[bytes, bytes]]) -> int:
        """The status that a request is refused with; 0 where it is not."""
        if sum(len(name) + len(value) for name, value in headers) > MOST_HEADERS:
            return 431
        own: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            own.setdefault(name.lower(), []).append(value)
        hosts, origins = own.get(b"host", []), own.get(b"origin", [])
        if len(hosts) != 1 or hosts[0].decode("latin-1").lower() not in self._names:
            return 403
        if any(origin.decode("latin-1").lower() not in self._origins for origin in origins):
            return 403
        tokens = own.get(b"authorization", [])
        if len(tokens) != 1 or not hmac.compare_digest(self._sent(tokens[0]), self._token):
            return 401
        return 0

    def _sent(self, header: bytes) -> bytes:
        """The token in a header; empty where there is none."""
        way, _, rest = header.partition(b" ")
        if way == b"Basic" and self._basic:
            try:
                return base64.b64decode(rest, validate=True).partition(b":")[2]
            except ValueError:
                return b""
        return rest if way == b"Bearer" else b""


async def _whole(receive: Receive, most: int) -> Message | None:
    """The body as one message; None if it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return message
        body += message.get("body", b"")
        if len(body) > most:
            return None
        if not message.get("more_body", False):
            return {"type": "http.request", "body": bytes(body), "more_body": False}


def _again(first: Message, receive: Receive) -> Receive:
    """What was read already, then what comes after it."""
    waiting = [first]

    async def give() -> Message:
        return waiting.pop() if waiting else await receive()

    return give


class _Careful:
    """Sends on; the text of an error that names anything of this machine or its software is cut."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._start = message
        elif self._start is None:
            await self._send(message)
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await _respond(self._send, self._start, _cleaned(bytes(self._body)))


def _cleaned(body: bytes) -> bytes:
    """An error's body without what it should not tell."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("error"), dict):
        text = body.decode("utf-8", "replace")
        return json.dumps({"error": _MALFORMED if reveals(text) else text}).encode()
    error = document["error"]
    if reveals(str(error.get("message", ""))):
        error["message"] = _MALFORMED
    if reveals(json.dumps(error.get("data"))):
        error["data"] = None
    return json.dumps(document).encode()


async def _respond(send: Send, start: Message, body: bytes) -> None:
    dropped = (b"content-length", b"content-type")
    headers = [pair for pair in start.get("headers", []) if pair[0].lower() not in dropped]
    headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({**start, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse(send: Send, status: int) -> None:
    headers = [(b"www-authenticate", b"Bearer")] if status == 401 else []
    headers.append((b"connection", b"close"))
    start: Message = {"type": "http.response.start", "status": status, "headers": headers}
    await _respond(send, start, json.dumps({"error": _REFUSALS[status]}).encode())
