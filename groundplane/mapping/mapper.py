"""The job that builds a map: frames in, objects and a room out, bounded in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.captures.capture import Capture
from groundplane.captures.videos import ends_early
from groundplane.core.camera import Frame, Scale
from groundplane.core.errors import listing
from groundplane.core.files import one_line
from groundplane.core.geometry import FLOOR_ONLY
from groundplane.core.regions import Regions
from groundplane.mapping.events import Ended, FrameTold, MapEvent, MapSummary
from groundplane.mapping.geometry import GeometryChain, known_of
from groundplane.mapping.looking import Looker
from groundplane.mapping.pose_watch import PoseWatch
from groundplane.mapping.tally import MapTally, readable_notes
from groundplane.mapping.terms import MapTerms
from groundplane.mapping.units import Units
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.mapping.builder import MapBuilder
from groundplane.spatial.mapping.cloud import Cloud, CloudKeeper
from groundplane.spatial.mapping.gravity import UpEstimate, aligned, estimate_up
from groundplane.spatial.mapping.keyframes import KeyframeChooser
from groundplane.spatial.mapping.lifting import Lifter
from groundplane.spatial.mapping.room import RoomBuilder
from groundplane.spatial.mapping.standing import stand_on_floor
from groundplane.spatial.mapping.standing_depth import deepened

__all__ = ["Mapper"]

# What is less of a camera's direction along the ground is nearly straight up or down.
_LEVEL = 0.05


class Mapper:
    """Goes through a capture and grows a map; iterate it to its end, or to where it is ended.

    Only a few frames are held at a time: those of a batch, and the first keyframes until it is
    known which way is up.

    Args:
        capture: The frames.
        looker: Who looks for what.
        geometry: Who fills in what the capture does not tell.
        terms: See `MapTerms`.

    Raises:
        InputError: If depth, intrinsics or poses stay unknown; it says who could tell them.
    """

    def __init__(
        self, capture: Capture, looker: Looker, *, geometry: GeometryChain, terms: MapTerms
    ) -> None:
        geometry.check(capture.gives, source=repr(capture.name))
        self._capture, self._looker, self._terms = capture, looker, terms
        self._early, self._late = geometry.split(capture.gives)
        self._chooser = KeyframeChooser(terms.keyframes)
        checks = terms.poses == "check"
        self._watch = PoseWatch(capture.name, frames=terms.first) if checks else None
        self._units = Units(terms.scaling, gives=capture.gives, source=repr(capture.name))
        # Of the poses of the files, if they have some.
        self._posed: Scale = "metric"
        # Found already, when the unit was sought.
        self._found: dict[int, Regions] = {}
        self._lifter = Lifter(terms.lifting)
        self._builder = MapBuilder(terms.association)
        self._room = RoomBuilder()
        self._cloud = CloudKeeper(most=terms.cloud) if terms.cloud else None
        # One picture shows no room, but it has a side that it was taken from.
        self._roomy = terms.room and capture.length != 1
        self._view: Float[Tensor, " 3"] | None = None
        self._up: UpEstimate | None = None
        # Of frames of which the floor alone is known; they are all seen from one place.
        self._over_floor: Frame | None = None
        self._tally = MapTally()
        self._ended = False
        self._begun = 0.0
        self._cameras: list[Float[np.ndarray, "4 4"]] = []

    def drain(self, why: str = "") -> None:
        """End after the frames that are being worked on; safe within a signal's handler."""
        del why
        self._ended = True

    def stop(self) -> None:
        """End at once; what was finished is in the map."""
        self._ended = True
        raise KeyboardInterrupt

    def words(self) -> Iterator[MapEvent]:
        """Build, and tell of each keyframe; the summary comes last.

        Raises:
            InputError: If the poses cannot be right, or a frame lacks what an expert needs.
            MediaError: If a file of the capture is missing, broken or cut off.
            DetectorError: If an expert fails, or no expert can look for any phrase.
        """
        self._begun = time.monotonic()
        self._early.begin()
        self._late.begin()
        for frames in self._keyframes():
            yield from self._take(frames)
            if self._ended or self._full():
                break
        yield self._summary()

    def map(self) -> CognitiveMap:
        """The map so far; one without objects says why."""
        known = self._roomy and self._tally.keyframes
        room = self._room.room() if known else None
        grown = self._builder.freeze(name=one_line(self._capture.name), room=room)
        phrases, cannot = self._looker.phrases, self._looker.cannot
        told = self._tally.told(there=set(grown.labels), phrases=phrases, cannot=cannot)
        return replace(
            grown,
            objects=self._objects(grown.objects),
            counts={**{phrase: 0 for phrase in phrases if phrase not in cannot}, **grown.counts},
            view=self._view,
            scale="relative" if "relative" in self._tally.scales else "metric",
            notes=readable_notes([*grown.notes, *self._capture.notes, *told]),
        )

    def _objects(self, boxes: Boxes3D) -> Boxes3D:
        """Boxes; faces that stand on a floor get the depth that nobody saw."""
        frame = self._over_floor
        if frame is None or frame.camera is None:
            return boxes
        return deepened(boxes, frame.camera, by_distance=frame.noise.quadratic)

    def cloud(self) -> Cloud | None:
        """The coloured points that were kept; None unless the terms ask for some."""
        return None if self._cloud is None else self._cloud.cloud()

    def cameras(self) -> list[Float[np.ndarray, "4 4"]]:
        """Where the camera was at each keyframe, camera to world, z up; as many as a cloud needs.

        Kept with the cloud only.
        """
        return list(self._cameras)

    def _keyframes(self) -> Iterator[list[Frame]]:
        """Keyframes with their geometry, a batch at a time, in a world whose z is up."""
        held: list[Frame] = []
        for batch in _batched(self._chosen(), self._terms.batch):
            frames = [frame for frame in self._late.estimate(batch) if self._usable(frame)]
            if self._up is None:
                held += frames
                if len(held) < self._terms.first:
                    continue
                frames, held = self._settled(held), []
            elif self._watch is not None:
                self._watch.see(frames)
            for part in _batched(iter(frames), self._terms.batch):
                yield [aligned(frame, self._up) for frame in part] if self._up else part
        for part in _batched(iter(self._settled(held)), self._terms.batch):
            yield [aligned(frame, self._up) for frame in part] if self._up else part

    def _chosen(self) -> Iterator[Frame]:
        """Frames that show something new; others are not even read where poses are in files."""
        if not self._early.experts:
            yield from self._chosen_unread()
            return
        frames = self._capture.frames(0, self._terms.every)
        for batch in _batched(frames, self._terms.batch):
            if self._ended:
                return
            self._tally.frames += len(batch)
            self._posed = batch[0].scale
            self._tally.note(ends_early(batch[-1].notes))
            for frame in self._early.estimate(batch):
                if "pose" not in known_of(frame):
                    self._tally.pass_over(frame.notes, "its pose is not known")
                elif self._chooser.wants(frame):
                    yield frame

    def _chosen_unread(self) -> Iterator[Frame]:
        """The same where no expert has to see every frame."""
        for glance in self._capture.glances(0, self._terms.every):
            if self._ended:
                return
            self._tally.frames += 1
            self._posed = glance.scale
            self._tally.note(ends_early(glance.notes))
            if glance.pose is None:
                self._tally.pass_over(glance.notes, "its pose is not known")
            elif self._chooser.may_want(glance.time, glance.pose, glance.scale):
                frame = glance.read()
                if self._chooser.wants(frame):
                    yield frame

    def _usable(self, frame: Frame) -> bool:
        lacking = sorted({"depth", "intrinsics", "pose"} - known_of(frame))
        if lacking:
            self._tally.pass_over(frame.notes, f"{listing(lacking)} not known")
        return not lacking

    def _settled(self, frames: list[Frame]) -> list[Frame]:
        """The first keyframes, once it is known which way is up and that poses can be right."""
        if self._up is not None or not frames:
            return frames
        if self._watch is not None:
            self._tally.note(self._watch.begin(frames))
        if self._capture.length != 1:
            trusted = self._terms.poses == "trust"
            self._units.check(frames, posed="metric" if trusted else self._posed)
        # Whoever knows the floor alone knows which way is up.
        floor = any(FLOOR_ONLY in frame.notes for frame in frames)
        self._up = estimate_up(frames, stated=(0, 0, 1) if floor else self._capture.up)
        self._tally.note(self._up.notes)
        if self._capture.length != 1 and self._units.wanted and self._units.is_one(frames):
            self._in_one_unit(frames)
        return frames

    def _in_one_unit(self, frames: list[Frame]) -> None:
        """Where depth and poses have one unit, it is told by what the first keyframes show."""
        upright = [aligned(frame, self._up) if self._up else frame for frame in frames]
        found = [r for part in _batched(iter(upright), self._terms.batch) for r in self._look(part)]
        self._tally.note(self._units.settle(upright, found))
        self._found = {frame.index: one for frame, one in zip(frames, found, strict=True)}

    def _look(self, frames: list[Frame]) -> list[Regions]:
        """What is in frames; nobody looks twice."""
        new = [frame for frame in frames if frame.index not in self._found]
        found = dict(zip([frame.index for frame in new], self._looker.look(new), strict=True))
        return [
            found[frame.index] if frame.index in found else self._found.pop(frame.index)
            for frame in frames
        ]

    def _take(self, frames: list[Frame]) -> Iterator[FrameTold]:
        """Look at frames and put what is seen into the map."""
        for bare, regions in zip(frames, self._look(frames), strict=True):
            if self._full():
                return
            placed = stand_on_floor(bare, regions)
            frame = self._units.in_metres(placed, regions)
            if frame is None:
                self._tally.pass_over(placed.notes, "its depth has no unit")
                continue
            seen = self._lifter.lift(regions, frame)
            self._builder.add(seen, frame=frame)
            if self._roomy:
                self._room.add(frame)
            if self._cloud is not None:
                self._cloud.add(frame)
                self._cameras += _poses_of(frame)
            self._tally.took(frame, regions, seen)
            if FLOOR_ONLY in bare.notes:
                self._over_floor = replace(bare, depth=None)
            if self._capture.length == 1:
                self._view = _view_of(frame)
            yield FrameTold(
                frame=frame.index, time=frame.time, length=self._capture.length,
                found=len(regions), lifted=len(seen), keyframes=self._tally.keyframes,
                seconds=time.monotonic() - self._begun,
            )  # fmt: skip

    def _full(self) -> bool:
        most = self._terms.limit
        return most is not None and self._tally.keyframes >= most

    def _summary(self) -> MapSummary:
        tally = self._tally
        ended: Ended = "interrupted" if self._ended else "limit" if self._full() else "complete"
        return MapSummary(
            ended=ended, frames=tally.frames, keyframes=tally.keyframes, regions=tally.regions,
            lifted=tally.lifted, passed_over=dict(tally.passed_over),
            left_out=tally.reasons(), cannot=dict(self._looker.cannot),
            seconds=time.monotonic() - self._begun,
        )  # fmt: skip


def _view_of(frame: Frame) -> Float[Tensor, " 3"] | None:
    """Where a camera looks along the ground; None if it looks straight up or down."""
    [pose] = _poses_of(frame) or [np.eye(4)]
    ahead = torch.tensor([*pose[:2, 2], 0.0], dtype=torch.float64)
    length = float(ahead.norm())
    return ahead / length if length > _LEVEL else None


def _poses_of(frame: Frame) -> list[Float[np.ndarray, "4 4"]]:
    pose = None if frame.camera is None else frame.camera.T_world_cam
    return [] if pose is None else [pose]


def _batched(frames: Iterator[Frame], size: int) -> Iterator[list[Frame]]:
    while batch := list(islice(frames, size)):
        yield batch
