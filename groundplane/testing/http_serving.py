"""Answers HTTP requests one function makes replies for, for remote experts in tests."""

from __future__ import annotations

import argparse
import hmac
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from groundplane.core.errors import GroundplaneError, InputError
from groundplane.core.host import load
from groundplane.grounding.remote_parts import printable
from groundplane.grounding.remote_protocol import write_error

__all__ = ["HttpServing", "Served", "serve"]

_log = logging.getLogger(__name__)

# Seconds that a client may be silent in the middle of its request.
_SILENCE = 30.0


class HttpServing:
    """A port at which requests are answered; use it as a context.

    Args:
        answer: Makes the reply's body of a method, a path and a body; None where it knows no such
            path. Errors of groundplane become status 400 with their text.
        token: What clients must show; empty for nothing.
        address: Host and port to listen on; port 0 is any that is free.
        max_body: A longer request is refused, bytes.
        expected: The methods and paths that there are, for the message where there is none.
    """

    def __init__(
        self,
        answer: Callable[[str, str, bytes], bytes | None],
        *,
        token: str,
        address: tuple[str, int],
        max_body: int,
        expected: str,
    ) -> None:
        self._answer = answer
        self._token = token
        self._max_body = max_body
        self._expected = expected
        self._http = ThreadingHTTPServer(address, self._handler())
        self._http.daemon_threads = True
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        """Where it is."""
        host, port = self._http.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def reply(self, method: str, path: str, *, token: str, body: bytes) -> tuple[int, bytes]:
        """The status and body that answer a request."""
        if self._token and not hmac.compare_digest(token.encode(), self._token.encode()):
            return 401, write_error("expected a token")
        try:
            data = self._answer(method, path, body)
        except GroundplaneError as error:
            return 400, write_error(str(error))
        except Exception as error:  # noqa: BLE001 - a server outlives any request
            _log.exception("a request failed")
            return 500, write_error(type(error).__name__)
        return (404, write_error(f"expected {self._expected}")) if data is None else (200, data)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            timeout = _SILENCE

            def do_GET(self) -> None:
                self._answer("GET", b"")

            def do_POST(self) -> None:
                stated = self.headers.get("Content-Length", "")
                if not stated.isdecimal() or int(stated[:20]) > server._max_body:
                    status = 413 if stated.isdecimal() else 411
                    self._send(status, write_error(f"expected at most {server._max_body} bytes"))
                    return
                body = self.rfile.read(int(stated))
                if len(body) == int(stated):
                    self._answer("POST", body)

            def _answer(self, method: str, body: bytes) -> None:
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                self._send(*server.reply(method, self.path, token=token, body=body))

            def _send(self, status: int, data: bytes) -> None:
                self.close_connection = True
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                _log.info("%s", printable(format % args))

        return Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Which plugins a command serves.

    Attributes:
        kind: Of the plugins, as `load` takes it.
        noun: What one is called.
        server: Makes the server of a plugin, with its `name`, `token` and `address`; a context
            that has a `url`.
    """

    kind: str
    noun: str
    server: Callable[..., Any]


def serve(served: Served, arguments: Sequence[str] | None = None) -> None:
    """Serve an installed plugin until interrupted.

    Raises:
        InputError: If the variable of the token is not set, or an option is malformed.
        PluginNotFoundError, PluginBrokenError: If the plugin cannot be had.
    """
    parser = argparse.ArgumentParser(description=f"Serve a {served.noun} over HTTP.")
    parser.add_argument("plugin", help="the plugin's name")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--token-env", default="", help="variable that holds the clients' token")
    given = parser.parse_args(arguments)
    pairs = [option.partition("=")[::2] for option in given.option]
    token = os.environ.get(given.token_env, "") if given.token_env else ""
    if given.token_env and not token:
        raise InputError(f"the environment variable {given.token_env!r} is not set")
    plugin = load(served.kind, given.plugin, device=given.device, **dict(pairs))
    server = served.server(plugin, name=given.plugin, token=token, address=(given.host, given.port))
    with server:
        sys.stdout.write(f"{given.plugin} at {server.url}\n")
        sys.stdout.flush()
        threading.Event().wait()
