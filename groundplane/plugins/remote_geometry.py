"""A geometry expert on another machine, or in another environment, asked over HTTP.

For models whose libraries do not go together with these, such as VGGT or MASt3R. The protocol is
described in docs/geometry.md; `groundplane.testing.remote_geometry_server` serves any expert with
it, and `examples/geometry_server.py` shows a server that needs no groundplane. The other side is
trusted in nothing.
"""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from groundplane.core.camera import Frame
from groundplane.core.errors import InputError
from groundplane.core.geometry import GeometryCapabilities, Known
from groundplane.core.weights import need_library
from groundplane.grounding.remote_calls import RemoteCaller, check_call_options
from groundplane.grounding.remote_geometry_protocol import (
    GeometryRequest,
    read_geometry_info,
    read_geometry_results,
    write_geometry_request,
)

__all__ = ["RemoteGeometry", "RemoteGeometryOptions"]

_WHO = "geometry 'remote'"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteGeometryOptions:
    """Options of `RemoteGeometry`.

    Attributes:
        url: Where the server is, such as `https://gpu.example.org/vggt`; `/info` and `/estimate`
            are looked for below it.
        token_env: Name of the environment variable that holds the server's token.
        timeout: Seconds to wait for a connection, or for the next part of a reply.
        deadline: Seconds for a call with all its retries.
        retries: How often a call is made again where the server cannot be reached, breaks off,
            or says that it is busy (429, 502, 503, 504).
        max_reply: A longer reply is refused, bytes. A frame's depth takes 5.4 a pixel.
        picture: How pictures are sent; `jpeg` is smaller and loses a little.
        ca_file: Certificates that sign the server's, where the usual ones do not.
        use_proxy: Whether the proxies that the environment names are used.

    Raises:
        InputError: If a value is malformed or out of range.
    """

    url: str
    token_env: str = ""
    timeout: float = 300.0
    deadline: float = 600.0
    retries: int = 3
    max_reply: int = 512 * 2**20
    picture: Literal["png", "jpeg"] = "png"
    ca_file: Path | None = None
    use_proxy: bool = False

    def __post_init__(self) -> None:
        check_call_options(self, who=_WHO)


class RemoteGeometry:
    """Asks a geometry expert on another machine; the frames of a call are one request.

    What it gives is asked when it is made. Safe to use from several threads where the server's
    expert carries nothing over from frame to frame.

    Args:
        options: See `RemoteGeometryOptions`.
        device: Where depth is put.
        dtype: Not used: the server has its own. Depth is float32.

    Raises:
        DetectorError: If the server cannot be asked.
        InputError: If the token's variable is not set, or the token would be sent unencrypted
            to another machine.
        PluginBrokenError: If httpx is not installed.
    """

    Options = RemoteGeometryOptions
    # What the server's expert gives is known once it was asked.
    capabilities = GeometryCapabilities(gives=frozenset({"depth"}), scale="relative", cost=math.inf)

    def __init__(
        self,
        options: RemoteGeometryOptions,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        httpx = need_library("httpx", extra="remote", who=_WHO)
        self._options = options
        self._device = device
        self._caller = RemoteCaller(options, httpx=httpx, who=_WHO)
        self._lock = threading.Lock()
        self.capabilities = self._caller.call("GET", "info", b"", read_geometry_info).capabilities
        self.begin()

    def begin(self) -> None:
        """A new capture begins; the server is told with its first frames."""
        with self._lock:
            self._capture, self._begun = secrets.token_hex(8), False

    def estimate(self, frames: Sequence[Frame]) -> list[Frame]:
        """Fill in what the server's expert gives; see `GeometryExpert.estimate`.

        Raises:
            InputError: If a frame lacks what the server's expert needs.
            DetectorError: If the server cannot be reached, refuses, is late, or replies with
                something else than the frames.
        """
        if not frames:
            return []
        able = self.capabilities
        for frame in frames:
            _check_known(frame, able.needs)
        with self._lock:
            capture, begun = self._capture, self._begun
            self._begun = True
        request = GeometryRequest(capture=capture, begin=not begun, frames=tuple(frames))
        body = write_geometry_request(request, needs=able.needs, picture=self._options.picture)

        def read(data: bytes) -> list[Frame]:
            return read_geometry_results(data, frames, gives=able.gives, device=self._device)

        return self._caller.call("POST", "estimate", body, read)


def _check_known(frame: Frame, needs: frozenset[Known]) -> None:
    camera = frame.camera
    known: dict[Known, object] = {
        "depth": frame.depth,
        "intrinsics": camera,
        "pose": None if camera is None else camera.T_world_cam,
    }
    lacking = sorted(what for what in needs if known[what] is None)
    if lacking:
        raise InputError(
            f"{_WHO}: the server's expert needs {' and '.join(lacking)} of every frame, which "
            f"frame {frame.index} has not. Try: another expert before it that gives it"
        )
