"""Where servers on this machine listen, what they may be called by, and the token they ask for."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import secrets
import socket
import sys
from typing import TYPE_CHECKING, Any

from groundplane.core.errors import InputError

if TYPE_CHECKING:
    from groundplane.apps.mcp.guard import Guard

__all__ = [
    "check_address",
    "listen",
    "make_token",
    "serve_guarded",
    "server_names",
    "shown_address",
    "tell",
]

_MOST_CONNECTIONS, _SHORTEST_TOKEN = 128, 16
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\]")


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


def make_token(name: str | None) -> str:
    """The token that clients must send: one from the environment, or a new one.

    Args:
        name: Of the environment variable; None makes one.

    Raises:
        InputError: If the variable holds no good token.
    """
    if name is None:
        return secrets.token_urlsafe(32)
    token = os.environ.get(name, "")
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise InputError(
            f"--token-env {name!r}: expected an environment variable with a token of at least "
            f"{_SHORTEST_TOKEN} printable ASCII characters"
        )
    return token


def listen(host: str, port: int) -> socket.socket:
    """A socket on which clients may connect from now on; port 0 takes a free one.

    Raises:
        InputError: If it cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        # Before its address is told: who connects early waits, and is not refused.
        listener.listen(_MOST_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise InputError(
            f"--http: {host}:{port} cannot be listened on: {error.strerror}"
        ) from error
    return listener


def server_names(host: str, port: int, allowed: tuple[str, ...]) -> frozenset[str]:
    """What a server may be called by: this machine, its address, and what is allowed further.

    Raises:
        InputError: If what is allowed is no host.

    Examples:
        >>> sorted(server_names("0.0.0.0", 80, ("pictures.example",)))
        ['127.0.0.1:80', '[::1]:80', 'localhost:80', 'pictures.example', 'pictures.example:80']
    """
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


def shown_address(listener: socket.socket) -> str:
    """`HOST:PORT` of a socket, as an address of the web has it."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def serve_guarded(guard: Guard, listener: socket.socket, *, most_headers: int) -> None:
    """Serve until Ctrl-C, with bounded headers, connections and times.

    Args:
        guard: The server behind its guard.
        listener: Where it listens.
        most_headers: Bytes of all headers.
    """
    import uvicorn

    config = uvicorn.Config(
        guard,
        http=_patient_protocol(), ws="none", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, lifespan="on", timeout_keep_alive=5,
        timeout_graceful_shutdown=1, limit_concurrency=_MOST_CONNECTIONS,
        h11_max_incomplete_event_size=most_headers,
    )  # fmt: skip
    await uvicorn.Server(config).serve(sockets=[listener])


def tell(line: str) -> None:
    """Say something on stderr."""
    sys.stderr.write(f"groundplane: {line}\n")
    sys.stderr.flush()


def _everywhere(host: str) -> bool:
    """Whether it is the address that stands for all of the machine's."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _patient_protocol() -> Any:
    """uvicorn's HTTP, which closes connections whose headers do not arrive in time."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    from groundplane.apps.mcp.guard import ARRIVAL

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
