"""The map of a rendered room, built as users build theirs, with noise of a kind or without."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from groundplane.captures.capture import Capture
from groundplane.core.camera import DepthNoise, Frame
from groundplane.evaluation.rooms_records import CLEAN, Condition
from groundplane.mapping import MapTerms, build_map
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.mapping.tallies import BuilderOptions
from groundplane.testing.rooms.noise import DepthErrors, PoseErrors, worse_depth, worse_pose
from groundplane.testing.rooms.oracle import OracleDetector, OracleErrors
from groundplane.testing.rooms.questions_order import LEAST_SHARE
from groundplane.testing.rooms.replay import Replay
from groundplane.testing.rooms.room import RenderedFrame, Room

__all__ = ["map_room"]

# What the detector gets wrong, by the name of the noise.
_ERRORS = {
    "misses": "miss",
    "lost": "lost",
    "false-alarms": "false_alarms",
    "bleed": "bleed",
    "confusion": "confusion",
    "flicker": "flicker",
}
# Degrees that a camera is turned for each metre that it is moved: half a degree a centimetre.
_TURN = 50.0


@dataclass(frozen=True, slots=True, eq=False)
class _Walk:
    """The frames of a walk, with the noise of a condition, as often as they are asked for."""

    kept: Sequence[Frame]
    condition: Condition
    seed: int

    def frames(self, start: int, step: int) -> Iterator[Frame]:
        return (_worse(frame, self.condition, self.seed) for frame in self.kept[start::step])


def map_room(room: Room, shots: Sequence[RenderedFrame], condition: Condition) -> CognitiveMap:
    """Look at the pictures of a walk and build the map of what is in them.

    Args:
        room: The room that is walked through.
        shots: What the camera saw; at least one.
        condition: What the detector, the depth or the poses get wrong.

    Raises:
        InputError: If the poses cannot be right; with noise of poses or depth they are trusted.
    """
    replay = Replay.of(room)
    frames = list(replay.watch(shots))
    name = _ERRORS.get(condition.noise)
    erring: dict[str, Any] = {name: condition.level} if name else {}
    errors = OracleErrors(seed=room.seed, **erring)
    capture = Capture(
        name=room.name,
        layout="rgbd",
        up=(0.0, 0.0, 1.0),
        length=len(frames),
        gives=frozenset({"depth", "intrinsics", "pose"}),
        source=_Walk(frames, condition, room.seed),
    )
    width, height = frames[0].image.size
    terms = MapTerms(
        poses="check" if condition == CLEAN else "trust",
        association=BuilderOptions(least_pixels=math.ceil(LEAST_SHARE * width * height)),
    )
    phrases = sorted({thing.label for thing in room.objects})
    return build_map(capture, phrases, detector=OracleDetector(replay, errors), terms=terms)


def _worse(frame: Frame, condition: Condition, seed: int) -> Frame:
    """A frame whose depth or pose is as wrong as the condition says."""
    level = condition.level
    if condition.noise == "depth":
        return worse_depth(frame, DepthErrors(noise=DepthNoise(linear=level), seed=seed))
    if condition.noise == "scale":
        return worse_depth(frame, DepthErrors(noise=DepthNoise(common=level), seed=seed))
    if condition.noise == "holes":
        return worse_depth(frame, DepthErrors(holes=level, flying=level, seed=seed))
    if condition.noise == "pose":
        return worse_pose(frame, PoseErrors(shift=level, turn=_TURN * level, seed=seed))
    if condition.noise == "drift":
        return worse_pose(frame, PoseErrors(drift=level, drift_turn=_TURN * level / 2, seed=seed))
    return frame
