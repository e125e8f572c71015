"""DeepSeek-VL: padded pictures of one size, as many tokens each as its processor states.

It has no location language: what it says is grounded by experts afterwards.

Source: Lu et al., DeepSeek-VL, 2024; `DeepseekVLImageProcessor` and `DeepseekVLProcessor` of
transformers.
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

_WHO = "language model 'deepseek_vl'"


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
        name="deepseek_vl",
        systems=("DeepSeek-VL",),
        prepare=_prepare,
        notes="Any number of pictures, as many tokens each as its processor states.",
    ),
)
