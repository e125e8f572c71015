"""Serves any geometry expert over HTTP, for tests and for machines of one's own.

    python -m groundplane.testing.remote_geometry_server depth-pro --option weights=FOLDER

The other side is the geometry expert `remote`. There is no encryption here: to serve other
machines put a web server with TLS in front of it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from groundplane.core.camera import Frame
from groundplane.core.errors import GroundplaneError, InputError
from groundplane.core.geometry import GeometryExpert
from groundplane.grounding.remote_geometry_protocol import (
    GeometryInfo,
    GeometryRequest,
    read_geometry_request,
    write_geometry_info,
    write_geometry_results,
)
from groundplane.testing.http_serving import HttpServing, Served, serve

__all__ = ["RemoteGeometryServer", "main"]


class RemoteGeometryServer(HttpServing):
    """A geometry expert behind a port; use it as a context.

    Requests are answered one at a time. Of an expert that carries nothing over from frame to
    frame, a request that fails is asked frame by frame, and the reply says of each what became
    of it.

    Args:
        geometry: What is served.
        name: What it is called.
        token: What clients must show; empty for nothing.
        address: Host and port to listen on; the default is seen by this machine alone, and port 0
            is any that is free.
        max_body: A longer request is refused, bytes.

    Examples:
        >>> from groundplane.core.host import load
        >>> floor = load("geometry", "flat-floor", device="cpu", height=1.4, tilt=20, fov=60)
        >>> with RemoteGeometryServer(floor, name="floor") as server:
        ...     there = load("geometry", "remote", device="cpu", url=server.url)
        >>> sorted(there.capabilities.gives)
        ['depth', 'intrinsics', 'pose']
    """

    def __init__(
        self,
        geometry: GeometryExpert,
        *,
        name: str,
        token: str = "",
        address: tuple[str, int] = ("127.0.0.1", 0),
        max_body: int = 1024 * 2**20,
    ) -> None:
        self._geometry = geometry
        self._name = name
        self._turn = threading.Lock()
        self._capture = ""
        super().__init__(
            self._reply,
            token=token,
            address=address,
            max_body=max_body,
            expected="GET /info or POST /estimate",
        )

    def _reply(self, method: str, path: str, body: bytes) -> bytes | None:
        if (method, path) == ("GET", "/info"):
            able = self._geometry.capabilities
            return write_geometry_info(GeometryInfo(name=self._name, capabilities=able))
        if (method, path) == ("POST", "/estimate"):
            request = read_geometry_request(body)
            with self._turn:
                self._begin(request)
                return write_geometry_results(self._answers(request.frames), request.frames)
        return None

    def _begin(self, request: GeometryRequest) -> None:
        if request.begin:
            self._geometry.begin()
            self._capture = request.capture
        elif request.capture != self._capture and self._geometry.capabilities.sequential:
            raise InputError(
                "another capture was begun meanwhile, and this expert keeps one at a time. Try: "
                "begin again, with a server of your own"
            )

    def _answers(self, frames: Sequence[Frame]) -> list[Frame | GroundplaneError]:
        try:
            return list(self._geometry.estimate(frames))
        except GroundplaneError as error:
            if self._geometry.capabilities.sequential:
                raise
            if len(frames) == 1:
                return [error]
            return [answer for frame in frames for answer in self._answers([frame])]


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve an installed geometry expert until interrupted."""
    serve(Served(kind="geometry", noun="geometry expert", server=RemoteGeometryServer), arguments)


if __name__ == "__main__":
    main()
