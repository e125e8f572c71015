"""GLM-4.1V: pictures at their own shape, on a grid of patches; places are thousandths.

Positions are rotary in three axes, as those of Qwen2-VL. The signs around places stand around
other final answers too.

Source: GLM-V Team, 2025; `Glm4vImageProcessor` and `Glm4vProcessor` of transformers.
"""

from __future__ import annotations

from typing import Any

from groundplane.core.frames import Frame
from groundplane.core.session import Prompt
from groundplane.language.canvases import stretched_frame
from groundplane.language.family import Family, Inputs, Prepared
from groundplane.language.preparing import asked
from groundplane.language.wording import need_images

__all__ = ["FAMILIES"]

_WHO = "language model 'glm4v'"
# What a question may hold as it is: a place that is asked about.
_SIGNS = ("<|begin_of_box|>", "<|end_of_box|>")


def _prepare(processor: Any, model: Any, prompt: Prompt) -> Prepared:
    del model
    need_images(prompt, _WHO)
    # Its processor makes the row of kinds through a conversion that NumPy 2 warns of.
    inputs, dropped = asked(processor, prompt, who=_WHO, but=_SIGNS, return_mm_token_type_ids=False)
    kinds = (inputs["input_ids"] == processor.image_token_id).long()
    frames = _frames(processor.image_processor, inputs, prompt)
    return Prepared(inputs={**inputs, "mm_token_type_ids": kinds}, frames=frames, dropped=dropped)


def _frames(pictures: Any, inputs: Inputs, prompt: Prompt) -> tuple[Frame, ...]:
    """The pictures as they were resized, to whole patches."""
    if not prompt.images:
        return ()
    grids, patch = inputs["image_grid_thw"].tolist(), int(pictures.patch_size)
    return tuple(
        stretched_frame(image.size, (across * patch, down * patch))
        for image, (_, down, across) in zip(prompt.images, grids, strict=True)
    )


FAMILIES = (
    Family(
        name="glm4v",
        systems=("GLM-4.1V",),
        prepare=_prepare,
        dialect="glm-4.5v",
        places="rope",
        ends=("<|user|>", "<|observation|>"),
        notes="Any number of pictures at their own shape, no longer than 200 times their width; "
        "models that think first write places behind their thoughts.",
    ),
)
