"""Keeps a worker process at work: starts it, hands it calls, and replaces one that died or hangs.

Whatever an expert does to its process, the one that speaks to the client goes on. A call whose
worker died is asked once more, alone in a process of its own: so a call that kills its worker
fails under its own name, and those that ran beside it are answered all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import subprocess
import sys
import threading
from concurrent.futures import Future
from typing import Any

from groundplane.apps.mcp.errors import ToolError
from groundplane.apps.mcp.plan import Plan
from groundplane.core.errors import InputError

__all__ = ["Crew"]

_log = logging.getLogger(__name__)

Record = dict[str, Any]

_COMMAND = (sys.executable, "-P", "-m", "groundplane.apps.mcp.worker")
# Seconds: that a worker has to start, and after a call's time until its worker is given up. Within
# its time an expert is given up by name, without loss for the others; this is for all else.
_START, _GRACE = 120.0, 0.75
# Calls that wait for one that is worked on to end, for each of these.
_QUEUE = 8


class _DiedError(Exception):
    """The worker's process has ended."""


class _Worker:
    """One process."""

    def __init__(self, plan: Plan) -> None:
        self.ready: Future[None] = Future()
        self._calls: dict[int, Future[Record]] = {}
        self._next = 0
        self._lock = threading.Lock()
        self._over = False
        self._process = subprocess.Popen(
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        self._send(plan.record())
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def over(self) -> bool:
        """Whether it has ended, or is about to."""
        return self._over

    def ask(self, tool: str, arguments: Record) -> tuple[int, Future[Record]]:
        """Hand it a call; gives the call's number and what will hold its answer."""
        answer: Future[Record] = Future()
        with self._lock:
            number = self._next
            self._next += 1
            if self._over:
                answer.set_exception(_DiedError())
                return number, answer
            self._calls[number] = answer
        self._send({"id": number, "tool": tool, "arguments": arguments})
        return number, answer

    def drop(self, number: int) -> None:
        """Nobody waits for a call any more."""
        self._send({"drop": number})

    def kill(self) -> None:
        """End it at once."""
        self._over = True
        self._process.kill()

    def close(self) -> None:
        """End it, and wait until it has ended."""
        self.kill()
        self._listener.join(_GRACE)

    def _send(self, message: Record) -> None:
        if self._process.stdin is None:
            return
        try:
            with self._lock:
                self._process.stdin.write(json.dumps(message, ensure_ascii=False) + "\n")
                self._process.stdin.flush()
        except (OSError, ValueError):
            self._over = True  # it is gone; whoever listens notices too, and tells the callers

    def _listen(self) -> None:
        """Hand out what it says, until it says no more."""
        try:
            for line in self._process.stdout or ():
                self._hear(json.loads(line))
        except (ValueError, KeyError, TypeError):
            _log.warning("a worker wrote what is no message")
        self.kill()
        code = self._process.wait()
        with self._lock:
            for stream in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):  # what was not sent cannot be sent any more
                    if stream is not None:
                        stream.close()
            calls, self._calls = list(self._calls.values()), {}
        if not self.ready.done():
            self.ready.set_exception(_DiedError())
        for call in calls:
            call.set_exception(_DiedError())
        if calls:
            _log.warning("a worker ended with exit code %s during %s calls", code, len(calls))

    def _hear(self, message: Record) -> None:
        if "fault" in message:
            self.ready.set_exception(InputError(message["fault"]))
        elif "ready" in message:
            self.ready.set_result(None)
        else:
            with self._lock:
                call = self._calls.pop(message["id"])
            if "error" in message:
                code, line = message["error"]
                call.set_exception(ToolError(code, line))
            else:
                call.set_result(message["result"])


class Crew:
    """Hands calls to workers; used from one event loop.

    Args:
        plan: What is served.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._worker: _Worker | None = None
        self._free = plan.calls
        self._line: list[asyncio.Future[None]] = []
        self._alone = asyncio.Lock()

    @property
    def seconds(self) -> float:
        """What a call may take."""
        return self._plan.seconds

    async def start(self) -> None:
        """Start the first worker, and wait until it has found its experts.

        Raises:
            InputError: If it cannot find them, or an option is none.
        """
        worker = self._current()
        try:
            await asyncio.wait_for(_shared(worker.ready), _START)
        except (_DiedError, TimeoutError) as error:
            raise InputError("the process of the experts cannot be started") from error

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()

    async def call(self, tool: str, arguments: Record) -> Record:
        """Have a call answered.

        Raises:
            ToolError: If it fails, takes too long, kills its process, or too many wait already.
        """
        await self._wait_in_line()
        try:
            return await self._ask(self._current(), tool, arguments)
        except _DiedError:
            return await self._ask_alone(tool, arguments)

    async def _ask_alone(self, tool: str, arguments: Record) -> Record:
        async with self._alone:
            await self._wait_in_line()
            worker = _Worker(self._plan)
            try:
                return await self._ask(worker, tool, arguments)
            except _DiedError as error:
                raise ToolError("expert_died") from error
            finally:
                worker.close()

    async def _ask(self, worker: _Worker, tool: str, arguments: Record) -> Record:
        """Ask a worker, once there is a free place; the place is free again when it answers."""
        loop = asyncio.get_running_loop()
        number, answer = worker.ask(tool, arguments)
        late = False

        def give_up() -> None:
            nonlocal late
            late = True
            worker.kill()

        starting = 0.0 if worker.ready.done() else _START
        timer = loop.call_later(self._plan.seconds + _GRACE + starting, give_up)

        def end(_: object) -> None:
            timer.cancel()
            self._leave()

        answer.add_done_callback(lambda done: loop.call_soon_threadsafe(end, done))
        try:
            record: Record = await _shared(answer)
        except _DiedError:
            if late:
                raise ToolError("too_slow") from None
            raise
        except asyncio.CancelledError:
            worker.drop(number)
            raise
        return record

    def _current(self) -> _Worker:
        if self._worker is None or self._worker.over:
            self._worker = _Worker(self._plan)
        return self._worker

    async def _wait_in_line(self) -> None:
        """Take a place, first come first served.

        Raises:
            ToolError: If the line is too long.
        """
        if self._free > 0:
            self._free -= 1
            return
        if len(self._line) >= _QUEUE * self._plan.calls:
            raise ToolError("busy")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # the place came at the same moment
            elif turn in self._line:
                self._line.remove(turn)
            raise

    def _leave(self) -> None:
        """Give the place to the next in line."""
        while self._line:
            turn = self._line.pop(0)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def _shared(future: Future[Any]) -> asyncio.Future[Any]:
    """What waits for a thread's future; giving up waiting does not cancel that one."""
    return asyncio.shield(asyncio.wrap_future(future))
