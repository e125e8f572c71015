"""Molmo2: the whole picture, and overlapping parts of it at a larger scale.

Places are points, in thousandths of the whole picture. Tokens of pictures see each other in both
directions, so the prompt is read in one pass.

Source: Allen Institute for AI, Molmo2, 2025; `Molmo2ImageProcessor` and `Molmo2Processor` of
transformers.
"""

from __future__ import annotations

from typing import Any

from groundplane.core.session import Prompt
from groundplane.language.canvases import stretched_frame
from groundplane.language.family import Family, Prepared
from groundplane.language.preparing import asked
from groundplane.language.wording import need_images

__all__ = ["FAMILIES"]

_WHO = "language model 'molmo2'"


def _prepare(processor: Any, model: Any, prompt: Prompt) -> Prepared:
    del model
    need_images(prompt, _WHO)
    seen = processor.image_processor.size
    canvas = (int(seen["width"]), int(seen["height"]))
    frames = tuple(stretched_frame(image.size, canvas) for image in prompt.images)
    inputs, dropped = asked(processor, prompt, who=_WHO)
    return Prepared(inputs=inputs, frames=frames, dropped=dropped)


FAMILIES = (
    Family(
        name="molmo2",
        systems=("Molmo2",),
        prepare=_prepare,
        dialect="molmo2",
        ends=("<|im_end|>",),
        notes="Any number of pictures: the whole, then overlapping parts of it; it writes points.",
    ),
)
