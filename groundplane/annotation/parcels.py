"""What processes of ours tell each other: a JSON value, and blocks of bytes behind it."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Parcel", "receive", "send"]

Parcel = tuple[dict[str, Any], list[bytes]]

_COUNT = struct.Struct("<I")
_MOST_BLOCKS, _MOST_BYTES = 2**16, 2**31
_PIECE = 2**20


def send(
    connection: socket.socket, head: Mapping[str, object], blocks: Sequence[bytes] = ()
) -> None:
    """Send a parcel.

    Args:
        connection: A stream.
        head: JSON values; names with lone surrogates too.
        blocks: Bytes.

    Raises:
        OSError: If the other side is gone, or `TimeoutError` where the connection has a timeout.

    Examples:
        >>> here, there = socket.socketpair()
        >>> send(here, {"a": 1}, [b"xyz"])
        >>> receive(there)
        ({'a': 1}, [b'xyz'])
        >>> send(here, {}), receive(there)
        (None, ({}, []))
        >>> here.close(), there.close()
        (None, None)
    """
    parts = [json.dumps(head, allow_nan=False).encode("ascii"), *blocks]
    sizes = struct.pack(f"<{len(parts)}I", *map(len, parts))
    connection.sendall(b"".join([_COUNT.pack(len(parts)), sizes, *parts]))


def receive(connection: socket.socket, *, until: float | None = None) -> Parcel:
    """Wait for a parcel.

    Args:
        connection: A stream.
        until: Time of `time.monotonic` by which the whole of it has to be there; None waits for
            ever.

    Raises:
        TimeoutError: If it is not; where nothing of it came yet, it can be waited for again.
        EOFError: If the other side has ended.
        ValueError: If what comes is no parcel.
    """
    (count,) = _COUNT.unpack(_exactly(connection, _COUNT.size, until=until))
    if not 1 <= count <= _MOST_BLOCKS:
        raise ValueError(f"a parcel of {count} blocks")
    sizes = struct.unpack(f"<{count}I", _exactly(connection, 4 * count, until=until))
    if sum(sizes) > _MOST_BYTES:
        raise ValueError(f"a parcel of {sum(sizes)} bytes")
    head, *blocks = [_exactly(connection, size, until=until) for size in sizes]
    told = json.loads(head)
    if not isinstance(told, dict):
        raise ValueError("a parcel whose head is no JSON object")
    return told, blocks


def _exactly(connection: socket.socket, size: int, *, until: float | None) -> bytes:
    data = bytearray()
    while len(data) < size:
        if until is not None:
            connection.settimeout(max(until - time.monotonic(), 1e-3))
        piece = connection.recv(min(size - len(data), _PIECE))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
