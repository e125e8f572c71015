"""Serves any detector over HTTP, for tests and for machines of one's own.

    python -m groundplane.testing.remote_server opencv --port 8000

The other side is the detector `remote`. There is no encryption here: to serve other machines put
a web server with TLS in front of it.
"""

from __future__ import annotations

import argparse
import hmac
import logging
import os
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import Detector, DetectRequest, DetectResult
from groundplane.core.errors import GroundplaneError, InputError
from groundplane.core.host import load
from groundplane.grounding.remote_protocol import (
    Info,
    printable,
    read_requests,
    write_error,
    write_info,
    write_results,
)

__all__ = ["RemoteServer", "main"]

_log = logging.getLogger(__name__)

# Seconds that a client may be silent in the middle of its request.
_SILENCE = 30.0


class RemoteServer:
    """A detector behind a port; use it as a context.

    Requests are answered one at a time. One that fails in a batch is asked alone, and the reply
    says of each what became of it.

    Args:
        detector: What is served.
        name: What it is called.
        token: What clients must show; empty for nothing.
        address: Host and port to listen on; the default is seen by this machine alone, and port 0
            is any that is free.
        max_body: A longer request is refused, bytes.

    Examples:
        >>> from groundplane.core.host import load
        >>> with RemoteServer(load("detectors", "opencv", device="cpu"), name="opencv") as server:
        ...     load("detectors", "remote", device="cpu", url=server.url).vocabulary
        ('face', 'eye')
    """

    def __init__(
        self,
        detector: Detector,
        *,
        name: str,
        token: str = "",
        address: tuple[str, int] = ("127.0.0.1", 0),
        max_body: int = 512 * 2**20,
    ) -> None:
        stated = getattr(detector, "capabilities", None)
        self._detector = detector
        self._token = token
        self._max_body = max_body
        self._turn = threading.Lock()
        self._info = Info(
            name=name,
            vocabulary=detector.vocabulary,
            capabilities=stated if isinstance(stated, Capabilities) else None,
        )
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

    def __enter__(self) -> RemoteServer:
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
            if (method, path) == ("GET", "/info"):
                return 200, write_info(self._info)
            if (method, path) == ("POST", "/detect"):
                with self._turn:
                    return 200, write_results(self._answers(read_requests(body)))
        except GroundplaneError as error:
            return 400, write_error(str(error))
        except Exception as error:  # noqa: BLE001 - a server outlives any request
            _log.exception("a request failed")
            return 500, write_error(type(error).__name__)
        return 404, write_error("expected GET /info or POST /detect")

    def _answers(self, requests: Sequence[DetectRequest]) -> list[DetectResult | GroundplaneError]:
        try:
            return list(self._detector.detect(requests))
        except GroundplaneError as error:
            if len(requests) == 1:
                return [error]
            return [answer for request in requests for answer in self._answers([request])]

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve an installed detector until interrupted."""
    parser = argparse.ArgumentParser(description="Serve a detector over HTTP.")
    parser.add_argument("detector", help="the plugin's name")
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
    detector = load("detectors", given.detector, device=given.device, **dict(pairs))
    server = RemoteServer(
        detector, name=given.detector, token=token, address=(given.host, given.port)
    )
    with server:
        sys.stdout.write(f"{given.detector} at {server.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
