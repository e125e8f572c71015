"""Janus: one encoder to understand pictures, another to make them; only the first is used here.

It has no location language: what it says is grounded by experts afterwards.

Source: Wu et al., Janus, 2024; `JanusImageProcessor` and `JanusProcessor` of transformers.
"""

from __future__ import annotations

from typing import Any

from groundplane.core.errors import InputError
from groundplane.core.session import Prompt
from groundplane.language.canvases import middle_frame
from groundplane.language.family import Family, Prepared
from groundplane.language.preparing import asked
from groundplane.language.wording import need_images

__all__ = ["FAMILIES"]

_WHO = "language model 'janus'"


def _prepare(processor: Any, model: Any, prompt: Prompt) -> Prepared:
    need_images(prompt, _WHO)
    inputs, dropped = asked(processor, prompt, who=_WHO)
    vision = model.config.vision_config
    has = (vision.image_size // vision.patch_size) ** 2
    if prompt.images and processor.num_image_tokens != has:
        raise InputError(
            f"{_WHO}: its processor writes {processor.num_image_tokens} tokens a picture, the "
            f"model has {has}. Try: the processor that was saved with the model"
        )
    frames = tuple(middle_frame(processor.image_processor, image.size) for image in prompt.images)
    return Prepared(inputs=inputs, frames=frames, dropped=dropped)


FAMILIES = (
    Family(
        name="janus",
        systems=("Janus", "Janus-Pro"),
        prepare=_prepare,
        notes="Any number of pictures, as many tokens each as its processor states; the encoder, "
        "codes and head that make pictures are never run.",
    ),
)
