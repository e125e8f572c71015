"""One process that decodes, as the pool sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from groundplane.annotation.decoding.messages import Message, Unpacker, pack
from groundplane.annotation.items import Item

__all__ = ["DecodeProcess", "Job"]

_COMMAND = (sys.executable, "-P", "-m", "groundplane.annotation.decoding.worker")
# Threads of the libraries below numpy would only take memory.
_ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# The C library would give the memory of each picture back and take it anew, page by page, which
# costs as much as decoding it.
_KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20)}
_TAIL = 2048
_SIGNALS = {int(one): one.name for one in signal.Signals} | {
    int(signal.SIGKILL): "SIGKILL, perhaps for lack of memory",
    int(signal.SIGXCPU): "SIGXCPU: it has computed for too long",
}


@dataclass(slots=True, eq=False)
class Job:
    """An item that a process was given.

    Attributes:
        item: The item.
        slot: The slot that it may write to; -1 for none.
        wish: Bytes that it waits to be given a slot for; 0 where it does not wait.
        since: When it was last seen to go on, in monotonic seconds.
    """

    item: Item
    slot: int = -1
    wish: int = 0
    since: float = 0.0


class DecodeProcess:
    """Starts a process; messages to it never wait, those from it are taken as they come.

    Args:
        slots: Descriptors of the shared memory.
        settings: What it is told first.
    """

    def __init__(self, slots: Sequence[int], settings: Mapping[str, object]) -> None:
        with contextlib.ExitStack() as undo:
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            with theirs:
                self._process = subprocess.Popen(
                    _COMMAND, stdin=theirs.fileno(), stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE, pass_fds=tuple(slots),
                    env={**os.environ, **_KEEPING, **_ALONE},
                    process_group=0,  # an interrupt from the terminal is not for it
                )  # fmt: skip
            undo.pop_all()
        ours.setblocking(False)
        self._socket = ours
        self._outgoing = bytearray()
        self._unpacker = Unpacker()
        self._tail = b""
        self.jobs: deque[Job] = deque()
        self.ready = False
        self.watched = False
        self.begun = time.monotonic()
        self.why = ""
        self.send(settings)

    @property
    def sockets(self) -> tuple[int, int]:
        """Descriptors to wait for: of messages, and of what it prints."""
        assert self._process.stderr is not None
        return self._socket.fileno(), self._process.stderr.fileno()

    @property
    def waits_to_send(self) -> bool:
        """Whether a message could not be sent yet."""
        return bool(self._outgoing)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def send(self, message: Mapping[str, object]) -> None:
        """Hand over a message; what does not fit now is kept for `flush`."""
        self._outgoing += pack(message)
        self.flush()

    def flush(self) -> None:
        """Send what is waiting."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while self._outgoing:
                del self._outgoing[: self._socket.send(self._outgoing)]

    def receive(self) -> Iterator[Message]:
        """The messages that have come.

        Raises:
            EOFError: If the process has ended.
            ValueError: If it wrote what is no message.
        """
        try:
            data = self._socket.recv(2**16)
        except BlockingIOError:
            return
        except ConnectionResetError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        yield from self._unpacker.feed(data)

    def listen(self) -> bool:
        """Take what it has printed, which only matters if it ends; False at the end of it."""
        assert self._process.stderr is not None
        data = os.read(self._process.stderr.fileno(), 2**16)
        self._tail = (self._tail + data)[-_TAIL:]
        return bool(data)

    def kill(self, why: str = "") -> None:
        """End it at once, for a reason that its item is told."""
        self.why = self.why or why
        self._process.kill()

    def ended(self) -> bool:
        """Whether the system has let go of it."""
        return self._process.poll() is not None

    def close(self) -> str:
        """Let go of it after its end; gives what it ended of."""
        code = self._process.poll()
        assert self._process.stderr is not None
        os.set_blocking(self._process.stderr.fileno(), False)
        with contextlib.suppress(BlockingIOError):
            while self.listen():
                pass
        self._process.stderr.close()
        self._socket.close()
        if self.why:
            return self.why
        if code is not None and code < 0:
            return f"the process that decoded it was ended by {_SIGNALS.get(-code, -code)}"
        lines = self._tail.decode("utf-8", "replace").strip().splitlines()
        last = "".join(c if c.isprintable() else " " for c in lines[-1])[:200] if lines else ""
        return f"the process that decoded it ended with code {code}" + (last and f" ({last})")
