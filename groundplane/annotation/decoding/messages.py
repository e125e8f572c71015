"""Messages between processes of ours: JSON values, each behind its length."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator, Mapping

__all__ = ["Message", "Unpacker", "pack", "receive"]

Message = dict[str, object]
_LENGTH = struct.Struct(">I")
# A video's frames that are done are the longest thing to be told: 64 million take 11 MB.
_MOST = 16 * 2**20


def pack(message: Mapping[str, object]) -> bytes:
    """A message as it goes over a socket; names with lone surrogates too.

    Examples:
        >>> pack({"a": 1})
        b'\\x00\\x00\\x00\\x08{"a": 1}'
    """
    body = json.dumps(message, allow_nan=False).encode("ascii")
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Puts messages together again from whatever pieces they come in.

    Examples:
        >>> unpacker = Unpacker()
        >>> list(unpacker.feed(b"\\0\\0\\0\\2{")), list(unpacker.feed(b"}"))
        ([], [{}])
        >>> list(Unpacker().feed(b""))
        []
    """

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take a piece; gives the messages that are whole with it.

        Raises:
            ValueError: If it is no message.
        """
        self._held += data
        while len(self._held) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._held)
            if length > _MOST:
                raise ValueError(f"a message of {length} bytes")
            end = _LENGTH.size + length
            if len(self._held) < end:
                return
            body = bytes(self._held[_LENGTH.size : end])
            del self._held[:end]
            yield _parse(body)


def receive(connection: socket.socket) -> Message:
    """Wait for one message.

    Raises:
        EOFError: If the other side has ended.
        ValueError: If it is no message.
    """
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    if length > _MOST:
        raise ValueError(f"a message of {length} bytes")
    return _parse(_exactly(connection, length))


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def _parse(body: bytes) -> Message:
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError("a message that is no JSON object")
    return message
