"""Answers HTTP requests one function makes replies for, for remote experts in tests."""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from groundplane.core.errors import GroundplaneError
from groundplane.grounding.remote_parts import printable
from groundplane.grounding.remote_protocol import write_error

__all__ = ["HttpServing"]

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

    def __enter__(self) -> HttpServing:
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
