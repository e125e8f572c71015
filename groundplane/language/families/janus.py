"""Janus: one encoder to understand pictures, another to make them; only the first is used here.

It has no location language: what it says is grounded by experts afterwards.

Source: Wu et al., Janus, 2024; `JanusImageProcessor` and `JanusProcessor` of transformers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from groundplane.core.errors import InputError
from groundplane.core.frames import Frame
from groundplane.core.image import FrameMap
from groundplane.core.session import Prompt
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
    pictures = processor.image_processor
    frames = tuple(_frame(pictures, image.size) for image in prompt.images)
    return Prepared(inputs=inputs, frames=frames, dropped=dropped)


def _frame(pictures: Any, size: tuple[int, int]) -> Frame:
    """The longest side fills a square, the picture stands in its middle."""
    side = int(pictures.size["height"])
    scale = side / max(size)
    width, height = (max(round(edge * scale), pictures.min_size) for edge in size)
    canvas = max(width, height)
    shift = np.array([[1.0, 0.0, (canvas - width) // 2], [0.0, 1.0, (canvas - height) // 2]])
    middle = Frame(
        image_size=(width, height),
        canvas=(canvas, canvas),
        to_canvas=FrameMap(matrix=shift),
    )
    return Frame.resized(size, (width, height)).then(middle)


FAMILIES = (
    Family(
        name="janus",
        systems=("Janus", "Janus-Pro"),
        prepare=_prepare,
        notes="Any number of pictures, as many tokens each as its processor states; the encoder, "
        "codes and head that make pictures are never run.",
    ),
)
