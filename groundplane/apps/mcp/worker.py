"""The process that the experts run in, apart from the one that speaks to the client.

What an expert prints goes to stderr, and an expert that ends or blocks its process ends this one:
the server starts another. Messages are JSON, one a line. In: the plan, then `{"id", "tool",
"arguments"}` or `{"drop": id}`. Out: `{"ready": true}` or `{"fault": line}`, then `{"id",
"result"}` or `{"id", "error": [code, line]}`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any

from groundplane.apps.mcp.errors import ToolError, told
from groundplane.apps.mcp.plan import Plan
from groundplane.core.errors import GroundplaneError

if TYPE_CHECKING:
    from groundplane.apps.mcp.answering import Answers

__all__ = ["main"]

_log = logging.getLogger(__name__)


class _Desk:
    """Takes calls, has them worked on by a few threads, and hands the answers out."""

    def __init__(self, answers: Future[Answers], out: IO[str], *, workers: int) -> None:
        self._answers = answers
        self._out = out
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(workers)
        self._waiting: dict[int, Future[None]] = {}

    def take(self, message: dict[str, Any]) -> None:
        """Take a call, or drop one that nobody waits for any more."""
        if "drop" in message:
            waiting = self._waiting.pop(message["drop"], None)
            if waiting is not None and waiting.cancel():
                self.say({"id": message["drop"], "error": list(_pair(ToolError("cancelled")))})
            return
        number = message["id"]
        self._waiting[number] = job = self._pool.submit(self._work, message)
        job.add_done_callback(lambda _: self._waiting.pop(number, None))

    def _work(self, message: dict[str, Any]) -> None:
        try:
            result = self._answers.result().answer(message["tool"], message["arguments"])
            line = {"id": message["id"], "result": result}
        except BaseException as error:  # noqa: BLE001 - an expert may raise anything; it is told
            if not isinstance(error, ToolError):
                _log.warning("call %s failed", message["tool"], exc_info=error)
            line = {"id": message["id"], "error": list(_pair(told(error)))}
        self.say(line)

    def say(self, line: dict[str, Any]) -> None:
        """Write one message."""
        text = json.dumps(line, allow_nan=False) + "\n"
        with self._lock:
            self._out.write(text)
            self._out.flush()


def _pair(error: ToolError) -> tuple[str, str]:
    return error.code, error.line


def _own_streams() -> tuple[IO[str], IO[str]]:
    """Where messages come from and go to; everybody else reads nothing and prints to stderr."""
    came, went = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return os.fdopen(came, encoding="utf-8"), os.fdopen(went, "w", encoding="utf-8")


def _prepare(plan: Plan, answers: Future[Answers], desk: _Desk) -> None:
    """Import what is heavy and find the experts, while calls come in already."""
    try:
        from groundplane.apps.mcp.answering import Answers

        made = Answers(plan)
        made.prepare()
    except GroundplaneError as error:
        desk.say({"fault": str(error)})
        os._exit(2)
    desk.say({"ready": True})
    answers.set_result(made)


def main() -> None:
    """Work until nobody sends calls any more."""
    come, go = _own_streams()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="groundplane: %(message)s")
    plan = Plan.of(json.loads(come.readline()))
    answers: Future[Answers] = Future()
    desk = _Desk(answers, go, workers=plan.calls)
    threading.Thread(target=_prepare, args=(plan, answers, desk), daemon=True).start()
    for line in come:
        desk.take(json.loads(line))
    # Threads that hang in an expert would keep the process for ever.
    os._exit(0)


if __name__ == "__main__":
    main()
