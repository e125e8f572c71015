"""What a job tells while it runs, and what it says at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "BatchHalved",
    "Draining",
    "ExpertRestarted",
    "Finished",
    "ItemFailed",
    "JobEvent",
    "Progress",
    "Started",
    "Summary",
]

Ending = Literal["complete", "interrupted", "failures", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The job begins.

    Attributes:
        total: Items of the source; None where they cannot be counted beforehand.
        recorded: Records that the run holds already.
    """

    total: int | None
    recorded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far this call is; what earlier calls did is in `skipped` only.

    Attributes:
        total: Items of the source; None where unknown.
        skipped: Items that were done already.
        done: Pictures that were annotated by this call.
        failed: Pictures that failed in this call.
        seconds: Since the call began.
        stages: Seconds of work by stage, added up over all processes: `read`, `decode`, `detect`
            and whatever else the experts tell, `write`.
    """

    total: int | None
    skipped: int
    done: int
    failed: int
    seconds: float
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFailed:
    """A picture has no annotation; the job goes on.

    Attributes:
        path: As in its record.
        stage: Where it failed.
        message: Why, in one line.
    """

    path: str
    stage: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHalved:
    """A batch did not fit into the device's memory.

    Attributes:
        size: The most pictures that go into a batch from now on.
    """

    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertRestarted:
    """The experts' process ended or hung, and another one was started.

    Attributes:
        count: How often by now.
    """

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """Nothing new is begun; what is decoded is still finished and written.

    Attributes:
        why: In one line.
    """

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a call did.

    Attributes:
        ended: `complete`; `interrupted`, where a person ended it; `failures`, where more failed
            than was allowed; `stopped`, where it was given up at once or ended by an error.
        total: Items of the source; None where unknown.
        skipped: Items that were done before.
        done: Pictures that this call annotated.
        failed: Pictures that failed in this call.
        regions: Regions that the expert gave in them.
        seconds: What the call took.
        stages: See `Progress`.
        hint: How to go on; empty where nothing is left to do.
    """

    ended: Ending
    total: int | None
    skipped: int
    done: int
    failed: int
    regions: int
    seconds: float
    stages: Mapping[str, float]
    hint: str = ""

    @property
    def rate(self) -> float:
        """Pictures a second in this call."""
        return (self.done + self.failed) / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The call is over.

    Attributes:
        summary: What it did.
    """

    summary: Summary


JobEvent = Started | Progress | ItemFailed | BatchHalved | ExpertRestarted | Draining | Finished
