"""A detector on another machine, asked over HTTP.

The protocol is described in docs/remote.md; `groundplane.testing.remote_server` serves any detector
with it. The other side is trusted in nothing: what it sends is bounded, checked, and given up on
when its time is over.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.core.weights import need_library
from groundplane.grounding.candidates import to_device
from groundplane.grounding.remote_calls import RemoteCaller, check_call_options
from groundplane.grounding.remote_protocol import Info, read_info, read_results, write_requests

__all__ = ["RemoteDetector", "RemoteOptions"]

_WHO = "detector 'remote'"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteOptions:
    """Options of `RemoteDetector`.

    Attributes:
        url: Where the server is, such as `https://gpu.example.org/owlv2`; `/info` and `/detect`
            are looked for below it.
        token_env: Name of the environment variable that holds the server's token.
        timeout: Seconds to wait for a connection, or for the next part of a reply.
        deadline: Seconds for a call with all its retries.
        retries: How often a call is made again where the server cannot be reached, breaks off,
            or says that it is busy (429, 502, 503, 504).
        max_reply: A longer reply is refused, bytes.
        picture: How pictures are sent; `jpeg` is smaller and loses a little.
        ca_file: Certificates that sign the server's, where the usual ones do not.
        use_proxy: Whether the proxies that the environment names are used.

    Raises:
        InputError: If a value is malformed or out of range.
    """

    url: str
    token_env: str = ""
    timeout: float = 30.0
    deadline: float = 60.0
    retries: int = 3
    max_reply: int = 64 * 2**20
    picture: Literal["png", "jpeg"] = "png"
    ca_file: Path | None = None
    use_proxy: bool = False

    def __post_init__(self) -> None:
        check_call_options(self, who=_WHO)


class RemoteDetector:
    """Asks a detector on another machine; a batch is one call.

    The server is not asked before it is needed. Safe to use from several threads, four at a time.

    Args:
        options: See `RemoteOptions`.
        device: Where the regions' tensors are put.
        dtype: Not used: the server has its own. Boxes and scores are float32.

    Raises:
        InputError: If the token's variable is not set, or the token would be sent unencrypted
            to another machine.
        PluginBrokenError: If httpx is not installed.
    """

    Options = RemoteOptions
    # What the server takes is known once it was asked; until then others are asked first.
    capabilities = Capabilities(prompts=frozenset({"text", "vocabulary"}), cost=math.inf)

    def __init__(
        self, options: RemoteOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        httpx = need_library("httpx", extra="remote", who=_WHO)
        self._options = options
        self._device = device
        self._caller = RemoteCaller(options, httpx=httpx, who=_WHO)
        self._lock = threading.Lock()
        self._info: Info | None = None

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The words that the server's detector knows; None if it takes any text.

        Raises:
            DetectorError: If the server cannot be asked.
        """
        with self._lock:
            if self._info is None:
                self._info = self._caller.call("GET", "info", b"", read_info)
                if self._info.capabilities is not None:
                    self.capabilities = self._info.capabilities
            return self._info.vocabulary

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order.

        Raises:
            DetectorError: If the server cannot be reached, refuses, is late, or replies with
                something else than the answers.
        """
        if not requests:
            return []
        body = write_requests(requests, picture=self._options.picture)

        def read(data: bytes) -> list[DetectResult]:
            return read_results(data, requests, source="remote")

        results = self._caller.call("POST", "detect", body, read)
        return [to_device(result, self._device) for result in results]
