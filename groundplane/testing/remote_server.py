"""Serves any detector over HTTP, for tests and for machines of one's own.

    python -m groundplane.testing.remote_server opencv --port 8000

The other side is the detector `remote`. There is no encryption here: to serve other machines put
a web server with TLS in front of it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import Detector, DetectRequest, DetectResult
from groundplane.core.errors import GroundplaneError
from groundplane.grounding.remote_protocol import (
    Info,
    read_requests,
    write_info,
    write_results,
)
from groundplane.testing.http_serving import HttpServing, Served, serve

__all__ = ["RemoteServer", "main"]


class RemoteServer(HttpServing):
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
        self._turn = threading.Lock()
        self._info = Info(
            name=name,
            vocabulary=detector.vocabulary,
            capabilities=stated if isinstance(stated, Capabilities) else None,
        )
        super().__init__(
            self._reply,
            token=token,
            address=address,
            max_body=max_body,
            expected="GET /info or POST /detect",
        )

    def _reply(self, method: str, path: str, body: bytes) -> bytes | None:
        if (method, path) == ("GET", "/info"):
            return write_info(self._info)
        if (method, path) == ("POST", "/detect"):
            with self._turn:
                return write_results(self._answers(read_requests(body)))
        return None

    def _answers(self, requests: Sequence[DetectRequest]) -> list[DetectResult | GroundplaneError]:
        try:
            return list(self._detector.detect(requests))
        except GroundplaneError as error:
            if len(requests) == 1:
                return [error]
            return [answer for request in requests for answer in self._answers([request])]


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve an installed detector until interrupted."""
    serve(Served(kind="detectors", noun="detector", server=RemoteServer), arguments)


if __name__ == "__main__":
    main()
