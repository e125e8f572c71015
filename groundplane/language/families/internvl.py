"""InternVL: the whole picture, and tiles of it at a larger scale, in a Qwen2's chat.

Places are thousandths of the whole picture, behind the phrase they belong to.

Source: `eval/refcoco/evaluate_grounding.py` of OpenGVLab/InternVL; `InternVLProcessor` and
`GotOcr2ImageProcessor` of transformers.
"""

from __future__ import annotations

from typing import Any

from groundplane.core.errors import InputError
from groundplane.core.session import Prompt
from groundplane.language.canvases import stretched_frame
from groundplane.language.family import Family, Prepared
from groundplane.language.preparing import asked
from groundplane.language.wording import need_images

__all__ = ["FAMILIES"]

_WHO = "language model 'internvl'"
# What a question about places holds; to the tokenizers of published models they are marks.
_SIGNS = ("<ref>", "</ref>", "<box>", "</box>")


def _prepare(processor: Any, model: Any, prompt: Prompt) -> Prepared:
    need_images(prompt, _WHO)
    vision = model.config.vision_config
    rows, columns = (
        int(side // patch * model.config.downsample_ratio)
        for side, patch in zip(vision.image_size, vision.patch_size, strict=True)
    )
    if prompt.images and processor.image_seq_length != rows * columns:
        raise InputError(
            f"{_WHO}: its processor writes {processor.image_seq_length} tokens a tile, the model "
            f"has {rows * columns}. Try: the processor that was saved with the model"
        )
    seen = processor.image_processor.size
    canvas = (int(seen["width"]), int(seen["height"]))
    frames = tuple(stretched_frame(image.size, canvas) for image in prompt.images)
    inputs, dropped = asked(processor, prompt, who=_WHO, but=_SIGNS)
    return Prepared(inputs=inputs, frames=frames, dropped=dropped)


FAMILIES = (
    Family(
        name="internvl",
        systems=("InternVL2.5", "InternVL3", "InternVL3.5"),
        prepare=_prepare,
        dialect="internvl",
        grounded=(
            "Please provide the bounding box coordinate of the region this sentence describes: "
            "<ref>{question}</ref>"
        ),
        ends=("<|im_end|>",),
        notes="Any number of pictures: as many tiles as suit the shape, then the whole.",
    ),
)
