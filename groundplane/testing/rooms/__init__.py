"""Furnished rooms whose truth is known: meshes, a camera walk, pictures, questions.

A name is loaded on first use, and what draws (moderngl, trimesh) only when a room is drawn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from groundplane.testing.rooms.making import RoomOptions, make_room
    from groundplane.testing.rooms.oracle import OracleDetector, OracleErrors
    from groundplane.testing.rooms.oracle_segmenter import OracleSegmenter
    from groundplane.testing.rooms.question import RoomQuestion
    from groundplane.testing.rooms.questions import make_questions
    from groundplane.testing.rooms.replay import Replay
    from groundplane.testing.rooms.room import Room
    from groundplane.testing.rooms.saving import load_replay, save_room

_HOMES = {
    "OracleDetector": "oracle",
    "OracleErrors": "oracle",
    "OracleSegmenter": "oracle_segmenter",
    "Replay": "replay",
    "Room": "room",
    "RoomOptions": "making",
    "RoomQuestion": "question",
    "load_replay": "saving",
    "make_questions": "questions",
    "make_room": "making",
    "save_room": "saving",
}

__all__ = [
    "OracleDetector",
    "OracleErrors",
    "OracleSegmenter",
    "Replay",
    "Room",
    "RoomOptions",
    "RoomQuestion",
    "load_replay",
    "make_questions",
    "make_room",
    "save_room",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
