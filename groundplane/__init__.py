"""groundplane: grounding and spatial reasoning for any multimodal language model.

The public face is lazy: `import groundplane` loads no torch; a name is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from groundplane.asking import Asker, ask
    from groundplane.core.answer import Answer, GroundedText, Status
    from groundplane.core.errors import GroundplaneError
    from groundplane.core.frames import Frame
    from groundplane.core.host import available, load
    from groundplane.core.image import Image
    from groundplane.core.media import read_image
    from groundplane.core.regions import Regions
    from groundplane.finding import find
    from groundplane.grounding.parsing import parse
    from groundplane.grounding.setup import make_router
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
    "Caution": "groundplane.spatial.chances.worlds",
    "CognitiveMap": "groundplane.spatial.map",
    "Frame": "groundplane.core.frames",
    "GroundedText": "groundplane.core.answer",
    "GroundplaneError": "groundplane.core.errors",
    "Image": "groundplane.core.image",
    "Regions": "groundplane.core.regions",
    "Reply": "groundplane.replies",
    "Status": "groundplane.core.answer",
    "Story": "groundplane.spatial.stories",
    "ask": "groundplane.asking",
    "available": "groundplane.core.host",
    "find": "groundplane.finding",
    "load": "groundplane.core.host",
    "make_router": "groundplane.grounding.setup",
    "parse": "groundplane.grounding.parsing",
    "read_image": "groundplane.core.media",
    "verify": "groundplane.verifying",
}

__all__ = [
    "Answer",
    "Asker",
    "Boxes3D",
    "Caution",
    "CognitiveMap",
    "Frame",
    "GroundedText",
    "GroundplaneError",
    "Image",
    "Regions",
    "Reply",
    "Status",
    "Story",
    "__version__",
    "ask",
    "available",
    "find",
    "load",
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
