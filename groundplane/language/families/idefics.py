"""Idefics2, Idefics3 and SmolVLM: chats over any number of pictures, cut into tiles.

They have no location language: what they say is grounded by experts afterwards.

Source: Laurencon et al., 2024; their processors in transformers.
"""

from __future__ import annotations

from typing import Any

from groundplane.core.frames import Frame
from groundplane.core.session import Prompt
from groundplane.language.family import Family, Prepared
from groundplane.language.preparing import asked
from groundplane.language.wording import need_images

__all__ = ["FAMILIES"]


def _prepare(processor: Any, model: Any, prompt: Prompt) -> Prepared:
    who = f"language model {model.config.model_type!r}"
    need_images(prompt, who)
    inputs, dropped = asked(processor, prompt, who=who)
    # Tiles and the view of all of it show the whole picture, so shares of it are its own.
    frames = tuple(Frame.original(image.size) for image in prompt.images)
    return Prepared(inputs=inputs, frames=frames, dropped=dropped)


_NOTES = "Any number of pictures; each is cut into tiles, with a view of the whole at the end"

FAMILIES = (
    Family(
        name="idefics2",
        systems=("Idefics2",),
        prepare=_prepare,
        ends=("<end_of_utterance>",),
        notes=f"{_NOTES}, where its processor says so.",
    ),
    Family(
        name="idefics3",
        systems=("Idefics3",),
        prepare=_prepare,
        ends=("<end_of_utterance>",),
        notes=f"{_NOTES}.",
    ),
    Family(
        name="smolvlm",
        systems=("SmolVLM", "SmolVLM2"),
        prepare=_prepare,
        ends=("<end_of_utterance>",),
        notes=f"{_NOTES}. Its processor needs the package num2words.",
    ),
)
