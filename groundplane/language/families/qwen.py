"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL: pictures at their own size, on a grid of patches.

Positions are rotary in three axes: a picture takes as many as its longer side has patches, so the
text behind it stands nearer than its tokens say. The model finds the difference with the prompt.

Source: Wang et al., Qwen2-VL, 2024; Bai et al., Qwen2.5-VL, 2025; transformers' processors.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from groundplane.core.errors import InputError
from groundplane.core.frames import Frame
from groundplane.core.session import Prompt
from groundplane.language.family import Family, Inputs, Prepared
from groundplane.language.preparing import asked
from groundplane.language.wording import need_images

__all__ = ["FAMILIES"]

# What a question may hold as it is: a place that is asked about.
_PLACES = tuple(
    f"<|{name}_{end}|>" for name in ("object_ref", "box", "quad") for end in ("start", "end")
)
# Its processor refuses what is narrower.
_MAX_ASPECT = 200


def _prepare(processor: Any, model: Any, prompt: Prompt, *, who: str) -> Prepared:
    del model
    need_images(prompt, who)
    for index, image in enumerate(prompt.images):
        if max(image.size) > _MAX_ASPECT * min(image.size):
            raise InputError(
                f"{who}: picture {index} of {image.size[0]} by {image.size[1]} pixels: expected "
                f"sides of at most {_MAX_ASPECT} to 1; cut it into parts first"
            )
    inputs, dropped = asked(processor, prompt, who=who, but=_PLACES)
    frames = _frames(processor.image_processor, inputs, prompt)
    return Prepared(inputs=inputs, frames=frames, dropped=dropped)


def _frames(pictures: Any, inputs: Inputs, prompt: Prompt) -> tuple[Frame, ...]:
    """The pictures as they were resized, to whole patches.

    Source: the maintainers' answers in issues 676, 721 and 866 of the Qwen repository.
    """
    if not prompt.images:
        return ()
    grids, patch = inputs["image_grid_thw"].tolist(), int(pictures.patch_size)
    return tuple(
        Frame.resized(image.size, (across * patch, down * patch))
        for image, (_, down, across) in zip(prompt.images, grids, strict=True)
    )


FAMILIES = (
    Family(
        name="qwen2_vl",
        systems=("Qwen2-VL",),
        prepare=partial(_prepare, who="qwen2_vl"),
        dialect="qwen2-vl",
        places="rope",
        notes="Any number of pictures at their own shape; places are shares of 1000.",
    ),
    Family(
        name="qwen2_5_vl",
        systems=("Qwen2.5-VL",),
        prepare=partial(_prepare, who="qwen2_5_vl"),
        dialect="qwen2.5-vl",
        places="rope",
        notes="Any number of pictures at their own shape; places are pixels of the picture as its "
        "processor resized it.",
    ),
    Family(
        name="qwen3_vl",
        systems=("Qwen3-VL",),
        prepare=partial(_prepare, who="qwen3_vl"),
        dialect="qwen3-vl",
        places="rope",
        notes="Any number of pictures at their own shape; places are shares of 1000 again, and "
        "features of several layers of the tower enter the first layers of the text.",
    ),
)
