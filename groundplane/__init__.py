"""groundplane: grounding and spatial reasoning for any multimodal language model.

The public face is lazy: `import groundplane` loads no torch; a name is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from groundplane.annotating import annotate
    from groundplane.asking import Asker, CaptureChoice, ask
    from groundplane.core.answer import Answer, GroundedText, Status
    from groundplane.core.errors import GroundplaneError
    from groundplane.core.features import FeatureGrid, View
    from groundplane.core.frames import Frame
    from groundplane.core.fusion.grids import fuse_grids
    from groundplane.core.fusion.making import make_fusion
    from groundplane.core.fusion.operator import FusionRule
    from groundplane.core.host import available, load
    from groundplane.core.image import Image
    from groundplane.core.media import read_image
    from groundplane.core.regions import Regions
    from groundplane.finding import find
    from groundplane.grounding.parsing import parse
    from groundplane.grounding.setup import make_router
    from groundplane.mapping import Mapper, MapTerms, build_map
    from groundplane.mof.building import build_mof
    from groundplane.replies import Reply
    from groundplane.spatial.boxes import Boxes3D
    from groundplane.spatial.chances.worlds import Caution
    from groundplane.spatial.map import CognitiveMap
    from groundplane.spatial.stories import Story
    from groundplane.verifying import verify

__version__ = "0.1.0"

_HOMES = {
    "Answer": "groundplane.core.answer",
    "Asker": "groundplane.asking",
    "Boxes3D": "groundplane.spatial.boxes",
    "CaptureChoice": "groundplane.asking",
    "Caution": "groundplane.spatial.chances.worlds",
    "CognitiveMap": "groundplane.spatial.map",
    "FeatureGrid": "groundplane.core.features",
    "Frame": "groundplane.core.frames",
    "FusionRule": "groundplane.core.fusion.operator",
    "GroundedText": "groundplane.core.answer",
    "GroundplaneError": "groundplane.core.errors",
    "Image": "groundplane.core.image",
    "MapTerms": "groundplane.mapping",
    "Mapper": "groundplane.mapping",
    "Regions": "groundplane.core.regions",
    "Reply": "groundplane.replies",
    "Status": "groundplane.core.answer",
    "Story": "groundplane.spatial.stories",
    "View": "groundplane.core.features",
    "annotate": "groundplane.annotating",
    "ask": "groundplane.asking",
    "available": "groundplane.core.host",
    "build_map": "groundplane.mapping",
    "build_mof": "groundplane.mof.building",
    "find": "groundplane.finding",
    "fuse_grids": "groundplane.core.fusion.grids",
    "load": "groundplane.core.host",
    "make_fusion": "groundplane.core.fusion.making",
    "make_router": "groundplane.grounding.setup",
    "parse": "groundplane.grounding.parsing",
    "read_image": "groundplane.core.media",
    "verify": "groundplane.verifying",
}

__all__ = [
    "Answer",
    "Asker",
    "Boxes3D",
    "CaptureChoice",
    "Caution",
    "CognitiveMap",
    "FeatureGrid",
    "Frame",
    "FusionRule",
    "GroundedText",
    "GroundplaneError",
    "Image",
    "MapTerms",
    "Mapper",
    "Regions",
    "Reply",
    "Status",
    "Story",
    "View",
    "__version__",
    "annotate",
    "ask",
    "available",
    "build_map",
    "build_mof",
    "find",
    "fuse_grids",
    "load",
    "make_fusion",
    "make_router",
    "parse",
    "read_image",
    "verify",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'groundplane' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
