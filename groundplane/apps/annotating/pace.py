"""How fast a job goes and how long it will take, from what it tells of itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from groundplane.annotation.events import Progress

__all__ = ["Pace", "lasting", "shares"]

_WINDOW = 30.0


class Pace:
    """Pictures a second of late, and the time that is left.

    Only what this call did counts: what earlier calls did took it no time.

    Examples:
        >>> pace = Pace()
        >>> for second in (0, 10):
        ...     pace.see(Progress(total=100, skipped=40, done=second, failed=0, seconds=second))
        >>> pace.rate, pace.left
        (1.0, 50.0)
        >>> Pace().left is None
        True
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._rest: int | None = None

    def see(self, progress: Progress) -> None:
        """Take a word of progress into account."""
        now = progress.done + progress.failed
        self._seen.append((progress.seconds, now))
        while len(self._seen) > 2 and progress.seconds - self._seen[1][0] > _WINDOW:
            self._seen.popleft()
        total = progress.total
        # A video is one item and many pictures: then nobody knows what is left.
        known = total is not None and progress.skipped + now <= total
        self._rest = total - progress.skipped - now if total is not None and known else None

    @property
    def rate(self) -> float:
        """Pictures a second over the last half minute."""
        if len(self._seen) < 2:
            return 0.0
        (begin, before), (end, after) = self._seen[0], self._seen[-1]
        return (after - before) / (end - begin) if end > begin else 0.0

    @property
    def left(self) -> float | None:
        """Seconds that are left; None where that is not known."""
        rate = self.rate
        return self._rest / rate if self._rest is not None and rate > 0 else None


def lasting(seconds: float) -> str:
    """A span of time for people.

    Examples:
        >>> lasting(0.4), lasting(75), lasting(3725), lasting(200_000)
        ('0 s', '1:15', '1:02:05', '2 d 7 h')
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def shares(stages: Mapping[str, float]) -> str:
    """Which part of the work each stage is; those of no weight are left out.

    Examples:
        >>> shares({"read": 1.0, "decode": 2.0, "detect": 7.0})
        'read 10%, decode 20%, detect 70%'
        >>> shares({})
        ''
    """
    total = sum(stages.values())
    if total <= 0:
        return ""
    told = {name: 100 * spent / total for name, spent in stages.items()}
    return ", ".join(f"{name} {part:.0f}%" for name, part in told.items() if part >= 0.5)
