"""The tools over HTTP on this machine, for clients that know the token."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import secrets
import socket
import sys
from typing import TYPE_CHECKING, Any

from groundplane.apps.mcp.crew import Crew
from groundplane.apps.mcp.guard import ARRIVAL, MOST_BODY, MOST_HEADERS, Guard
from groundplane.core.errors import InputError

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from groundplane.apps.mcp.serving import HttpTerms

__all__ = ["check_address", "serve"]

_ROUTE = "/mcp"
_MOST_CONNECTIONS, _MOST_SESSIONS, _SHORTEST_TOKEN = 128, 64, 16
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\]")


async def serve(crew: Crew, server: Server[dict[str, Any]], terms: HttpTerms) -> None:
    """Serve over HTTP until Ctrl-C.

    Raises:
        InputError: If the address cannot be listened on, or there is no good token.
    """
    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings

    host, port = check_address(terms.address)
    token = _token(terms.token_env)
    listener = _listen(host, port)
    names = _names(host, listener.getsockname()[1], terms.allowed)
    await crew.start()
    # The SDK checks hosts and origins too, where a request has come past the guard.
    security = TransportSecuritySettings(
        allowed_hosts=sorted(names),
        allowed_origins=sorted(f"{way}://{name}" for name in names for way in ("http", "https")),
    )
    app = server.streamable_http_app(
        streamable_http_path=_ROUTE,
        transport_security=security,
        max_request_body_size=MOST_BODY,
        max_sessions=_MOST_SESSIONS,
    )
    config = uvicorn.Config(
        Guard(app, names=names, token=token),
        http=_patient_protocol(), ws="none", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, lifespan="on", timeout_keep_alive=5,
        timeout_graceful_shutdown=1, limit_concurrency=_MOST_CONNECTIONS,
        h11_max_incomplete_event_size=MOST_HEADERS,
    )  # fmt: skip
    shown = f"[{host}]" if ":" in host else host
    _tell(f"listening on http://{shown}:{listener.getsockname()[1]}{_ROUTE}")
    if terms.token_env is None:
        _tell(f"token: {token}")
    await uvicorn.Server(config).serve(sockets=[listener])


def check_address(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`.

    Raises:
        InputError: If it is none.

    Examples:
        >>> check_address("127.0.0.1:8765"), check_address("[::1]:0")
        (('127.0.0.1', 8765), ('::1', 0))
        >>> check_address("")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: --http '': expected HOST:PORT, such as 127.0.0.1:8765
    """
    host, _, port = address.rpartition(":")
    number = int(port) if re.fullmatch(r"[0-9]{1,5}", port) else 65536
    if not _HOST.fullmatch(host) or number > 65535:
        raise InputError(f"--http {address!r}: expected HOST:PORT, such as 127.0.0.1:8765")
    return host.strip("[]"), number


def _token(name: str | None) -> str:
    """The token that clients must send: one from the environment, or a new one."""
    if name is None:
        return secrets.token_urlsafe(32)
    token = os.environ.get(name, "")
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise InputError(
            f"--token-env {name!r}: expected an environment variable with a token of at least "
            f"{_SHORTEST_TOKEN} printable ASCII characters"
        )
    return token


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InputError(
            f"--http: {host}:{port} cannot be listened on: {error.strerror}"
        ) from error
    return listener


def _names(host: str, port: int, allowed: tuple[str, ...]) -> frozenset[str]:
    """What the server may be called by: this machine, the address, and what is allowed further."""
    names = {f"{name}:{port}" for name in ("localhost", "127.0.0.1", "[::1]")}
    if not _everywhere(host):
        names.add(f"[{host}]:{port}" if ":" in host else f"{host.lower()}:{port}")
    for name in allowed:
        bare, colon, own = name.lower().rpartition(":")
        if colon and own.isdigit() and _HOST.fullmatch(bare):
            names.add(name.lower())
        elif _HOST.fullmatch(name):
            # A web server in front of this one may have the port that is not told.
            names |= {name.lower(), f"{name.lower()}:{port}"}
        else:
            raise InputError(f"--allow-host {name!r}: expected HOST or HOST:PORT")
    return frozenset(names)


def _everywhere(host: str) -> bool:
    """Whether it is the address that stands for all of the machine's."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _patient_protocol() -> Any:
    """uvicorn's HTTP, which closes connections whose headers do not arrive in time."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Protocol(H11Protocol):
        """Counts the time in which a connection has no request under way."""

        _idle: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._calm()

        def _watch(self) -> None:
            if self.cycle is not None and not self.cycle.response_complete:
                self._calm()
            elif self._idle is None:
                self._idle = self.loop.call_later(ARRIVAL, self.transport.close)

        def _calm(self) -> None:
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None

    return Protocol


def _tell(line: str) -> None:
    sys.stderr.write(f"groundplane: {line}\n")
    sys.stderr.flush()
