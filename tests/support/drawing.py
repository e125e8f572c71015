"""Rooms are drawn by EGL; where there is none, tests that draw are skipped by that reason.

With `GROUNDPLANE_MUST_DRAW` set, as in CI, they fail instead: nothing is skipped unseen there.
"""

from __future__ import annotations

import doctest
import os

import pytest

from groundplane.core.errors import PluginBrokenError

MUST = "GROUNDPLANE_MUST_DRAW"
_SAID = "EGL gives no context"


def why_not(error: BaseException) -> str | None:
    """The reason to skip, if a test ended because nothing can be drawn here."""
    if isinstance(error, doctest.UnexpectedException):
        error = error.exc_info[1]
    if MUST in os.environ or not isinstance(error, PluginBrokenError) or _SAID not in str(error):
        return None
    return f"Skipped: {error}"


def as_skipped(
    item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
) -> pytest.TestReport:
    """The report of a test, which is that of a skipped one where nothing can be drawn."""
    reason = None if call.excinfo is None else why_not(call.excinfo.value)
    if reason is not None:
        path, line, _ = item.location
        report.outcome = "skipped"
        report.longrepr = (path, (line or 0) + 1, reason)
    return report


def need_drawing() -> None:
    """Draw one picture, in this process, before another one is started that must draw.

    Raises:
        PluginBrokenError: If nothing can be drawn here.
    """
    from groundplane.testing.rooms.making import make_room

    next(iter(make_room(3).shots(size=(16, 16))))
