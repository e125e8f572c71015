"""What a map that is being built tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Ended", "FrameTold", "MapEvent", "MapSummary"]

Ended = Literal["complete", "interrupted", "limit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTold:
    """A keyframe has gone into the map.

    Attributes:
        frame: Its index in the capture.
        time: Seconds into the capture.
        length: How many frames the capture has; None where that is not known.
        found: Regions that were found in it.
        lifted: How many of them went into the map.
        keyframes: Keyframes so far.
        seconds: Since the start of this call.
    """

    frame: int
    time: float
    length: int | None
    found: int
    lifted: int
    keyframes: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSummary:
    """What became of a capture.

    Attributes:
        ended: Whether it was gone through to its end.
        frames: Frames that were read.
        keyframes: Frames that were looked at; all others showed nothing new.
        regions: Regions that were found.
        lifted: Regions that went into the map.
        passed_over: Why frames were passed over, and how many.
        left_out: Why regions were left out, and how many.
        cannot: Phrases that no expert can look for, and why.
        seconds: What this call took.
    """

    ended: Ended
    frames: int = 0
    keyframes: int = 0
    regions: int = 0
    lifted: int = 0
    passed_over: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    cannot: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


MapEvent = FrameTold | MapSummary
