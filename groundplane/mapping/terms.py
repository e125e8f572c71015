"""On what terms a map is built from a capture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from groundplane.captures.options import CaptureOptions
from groundplane.core.errors import InputError
from groundplane.spatial.mapping.keyframes import KeyframeOptions
from groundplane.spatial.mapping.lifting import LiftingOptions
from groundplane.spatial.mapping.scaling import ScalingOptions
from groundplane.spatial.mapping.tallies import BuilderOptions

__all__ = ["MapTerms"]

# A day for a frame; the platform's own limit comes later.
_LONGEST = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MapTerms:
    """How a map is built; every default fits a walk through a room.

    Attributes:
        layout: The capture's layout; None finds out.
        capture: What its files do not say. A video that ends early gives a note, no error.
        every: Every how many-th frame is looked at, before keyframes are chosen among them.
        limit: Keyframes at most; None for all.
        batch: Frames that experts get at a time.
        deadline: Seconds that a geometry expert may take for a frame; one that takes longer is
            given up on, with an error that names it.
        poses: Whether poses are held against the depth of the first frames, or trusted.
        thresholds: Least scores in [0, 1] by phrase; a phrase without one is left to the expert.
        room: Whether floor and outline of the room are sought.
        cloud: How many coloured points are kept to look at; 0 for none.
        first: Keyframes that tell which way is up and whether the poses can be right; they are
            held in memory until then.
        scaling: What is known of the place, to give a relative depth its unit; things whose size
            is known are looked for as well.
        keyframes, lifting, association: See there.

    Raises:
        InputError: If a number is out of range.
    """

    layout: str | None = None
    capture: CaptureOptions = field(default_factory=lambda: CaptureOptions(whole=False))
    every: int = 1
    limit: int | None = None
    batch: int = 4
    deadline: float = 300.0
    poses: Literal["check", "trust"] = "check"
    thresholds: Mapping[str, float] = field(default_factory=dict)
    room: bool = True
    cloud: int = 0
    first: int = 12
    keyframes: KeyframeOptions = field(default_factory=KeyframeOptions)
    scaling: ScalingOptions = field(default_factory=ScalingOptions)
    lifting: LiftingOptions = field(default_factory=LiftingOptions)
    association: BuilderOptions = field(default_factory=BuilderOptions)

    def __post_init__(self) -> None:
        least = {"every": 1, "limit": 1, "batch": 1, "first": 1, "cloud": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(f"map: {name} must be at least {low}, got {value}")
        if not 0 < self.deadline <= _LONGEST:
            raise InputError(
                f"map: expected a deadline above 0 and of at most {_LONGEST:g} seconds, got "
                f"{self.deadline}"
            )
        if self.poses not in ("check", "trust"):
            raise InputError(f"map: poses must be 'check' or 'trust', got {self.poses!r}")
        for phrase, score in self.thresholds.items():
            if not 0 <= score <= 1:
                raise InputError(f"map: threshold of {phrase!r}: expected 0 to 1, got {score}")
