"""Who may write to which slot, so that large pictures do not fill the memory."""

from __future__ import annotations

from groundplane.annotation.decoding.process import Job
from groundplane.annotation.decoding.slots import KEPT, Slots

__all__ = ["Grants"]


class Grants:
    """Hands out slots.

    Every slot may hold a small picture. All that is larger shares what is spared for it; one
    picture alone always passes, however large.

    Args:
        slots: The slots.
        spare: Bytes that may be taken beyond what every slot keeps.
    """

    def __init__(self, slots: Slots, *, spare: int) -> None:
        self._slots = slots
        self._spare = spare
        self._free = list(range(len(slots.fds)))[::-1]
        self._granted: dict[int, int] = {}
        self._used: dict[int, int] = {}

    def grant(self, job: Job, size: int = 0) -> bool:
        """Let a job write so many bytes to its slot, or to one that it gets now."""
        beyond = max(0, size - KEPT)
        taken = sum(self._granted.values()) - self._granted.get(job.slot, 0)
        if beyond and taken and taken + beyond > self._spare:
            return False
        if job.slot < 0:
            if not self._free:
                return False
            job.slot = self._free.pop()
        self._granted[job.slot] = max(beyond, self._granted.get(job.slot, 0))
        return True

    def covers(self, slot: int, size: int) -> bool:
        """Whether so many bytes may stand in a slot."""
        return slot in self._granted and size <= KEPT + self._granted[slot]

    def used(self, slot: int, size: int) -> None:
        """So many bytes were written to a slot."""
        self._used[slot] = max(size, self._used.get(slot, 0))

    def free(self, slot: int) -> None:
        """A slot is no longer needed; -1 is none, and freeing one twice changes nothing."""
        if slot not in self._granted:
            return
        # A job that ended early may have written all that it was granted.
        granted = self._granted.pop(slot)
        self._slots.trim(slot, max(self._used.pop(slot, 0), KEPT + granted))
        self._free.append(slot)
