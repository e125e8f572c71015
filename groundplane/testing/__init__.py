"""Shipped with the library for plugin authors: the contract of each kind, to subclass.

A contract is loaded on first use, as it needs pytest. What else there is (servers, tiny
checkpoints, captures, experts that misbehave) is imported by the name of its module; rooms whose
truth is known are in `groundplane.testing.rooms`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from groundplane.testing.detectors import DetectorContract, make_image
    from groundplane.testing.encoders import EncoderContract
    from groundplane.testing.exporters import ExporterContract
    from groundplane.testing.geometry import GeometryContract, make_frame
    from groundplane.testing.language_models import LanguageModelContract
    from groundplane.testing.segmenters import SegmenterContract

_HOMES = {
    "DetectorContract": "detectors",
    "EncoderContract": "encoders",
    "ExporterContract": "exporters",
    "GeometryContract": "geometry",
    "LanguageModelContract": "language_models",
    "SegmenterContract": "segmenters",
    "make_frame": "geometry",
    "make_image": "detectors",
}

__all__ = [
    "DetectorContract",
    "EncoderContract",
    "ExporterContract",
    "GeometryContract",
    "LanguageModelContract",
    "SegmenterContract",
    "make_frame",
    "make_image",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
