"""A room with known truth in the forms of VSI-Bench: a video, a meta file, questions."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from groundplane.core.camera import Frame
from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.testing.captures import write_capture
from groundplane.testing.rooms.making import make_room
from groundplane.testing.rooms.oracle import OracleDetector
from groundplane.testing.rooms.question import Facts, facts_of
from groundplane.testing.rooms.questions import make_questions
from groundplane.testing.rooms.questions_order import first_seen
from groundplane.testing.rooms.replay import Replay

SEED, STEP, SIZE = 3, 36, (160, 120)
RATE = 30


class VideoOracle:
    """Knows what is in the frames of a video, which are nearly the pictures it was made from."""

    capabilities = OracleDetector.capabilities

    def __init__(self, replay: Replay, frames: Sequence[Frame]) -> None:
        self._oracle = OracleDetector(replay)
        self._images = [frame.image for frame in frames]
        self._pixels = np.stack([_small(image.pixels) for image in self._images])

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        return self._oracle.vocabulary

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        meant = [replace(request, image=self._true(request)) for request in requests]
        return self._oracle.detect(meant)

    def _true(self, request: DetectRequest):
        off = np.abs(self._pixels - _small(request.image.pixels)).mean(axis=(1, 2, 3))
        return self._images[int(off.argmin())]


def _small(pixels: np.ndarray) -> np.ndarray:
    return pixels[::4, ::4].astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VsiRoom:
    """Where everything is, and who knows what is in the video."""

    name: str
    videos: Path
    geometry: Path
    questions: Path
    meta: Path
    detector: VideoOracle


def write_vsi_room(folder: Path) -> VsiRoom:
    """Write a room as VSI-Bench publishes a scene, with its depth and poses beside."""
    room = make_room(SEED)
    shots = list(room.shots(step=STEP, size=SIZE))
    replay = Replay.of(room)
    # The video shows a picture every thirtieth of a second, so that is their time.
    frames = [
        replace(frame, index=index, time=index / RATE)
        for index, frame in enumerate(replay.watch(shots))
    ]
    write_capture(folder / "geometry" / room.name, frames, layout="rgbd", up=(0.0, 0.0, 1.0))
    (folder / "videos" / "scannet").mkdir(parents=True)
    walk = write_capture(folder, frames, layout="video")
    walk.rename(folder / "videos" / "scannet" / f"{room.name}.mp4")
    facts = facts_of(room, first_seen(shots))
    questions = folder / "questions.jsonl"
    made = make_questions(room, appeared=facts.appeared)
    questions.write_text("".join(json.dumps(each.record()) + "\n" for each in made))
    meta = folder / "meta.json"
    meta.write_text(json.dumps({room.name: meta_of(facts)}))
    return VsiRoom(
        name=room.name, videos=folder / "videos", geometry=folder / "geometry",
        questions=questions, meta=meta, detector=VideoOracle(replay, frames),
    )  # fmt: skip


def meta_of(facts: Facts, *, turn: float = 0.7, shift: tuple[float, ...] = (3.0, -2.0, 1.0)):
    """A scene of VSI-Bench's meta files, in a world that is turned and shifted."""
    about = np.array(
        [[np.cos(turn), -np.sin(turn), 0.0], [np.sin(turn), np.cos(turn), 0.0], [0.0, 0.0, 1.0]]
    )
    things = defaultdict(list)
    for solid in facts.solids:
        things[solid.label].append(
            {
                "centroid": (about @ solid.center + np.array(shift)).tolist(),
                "axesLengths": np.asarray(solid.sizes).tolist(),
                "normalizedAxes": (np.asarray(solid.axes) @ about.T).ravel().tolist(),
            }
        )
    return {
        "room_size": facts.room.area,
        "object_counts": {label: len(own) for label, own in things.items()},
        "object_bbox": things,
    }
