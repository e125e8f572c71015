"""LLaVA and its kin: CLIP's features through a projector, placed where the picture stands."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

from groundplane.core.session import Prompt
from groundplane.core.weights import need_library
from groundplane.language.canvases import processed_frame, stretched_frame
from groundplane.language.family import Family, Prepared
from groundplane.language.preparing import asked
from groundplane.language.wording import need_images

__all__ = ["FAMILIES", "padded_to_squares"]

_DIALECT = "llava-1.5"


def padded_to_squares(processor: Any, dialect: str) -> Any:
    """The processor as LLaVA-1.5 was trained: pictures are padded to squares of the mean colour.

    Published processors cut out the middle square instead, so that places at both ends of a
    picture cannot be written.

    Args:
        processor: It is not changed.
        dialect: Of places; any but `llava-1.5` leaves the processor as it is.

    Source: `expand2square` of LLaVA's repository; transformers, `LlavaImageProcessor.do_pad`.
    """
    if dialect != _DIALECT:
        return processor
    library = need_library("transformers", who="llava", extra="models")
    given = processor.image_processor
    # CLIP's processor, which many checkpoints name, knows of no such padding.
    kind = "LlavaImageProcessorPil" if type(given).__name__.endswith("Pil") else ""
    told = {**given.to_dict(), "do_pad": True}
    told.pop("image_processor_type", None)
    padding = copy.copy(processor)
    padding.image_processor = getattr(library, kind or "LlavaImageProcessor")(**told)
    return padding


def _prepare(processor: Any, model: Any, prompt: Prompt, *, who: str) -> Prepared:
    del model
    need_images(prompt, who)
    frames = tuple(processed_frame(processor.image_processor, i.size) for i in prompt.images)
    inputs, dropped = asked(processor, prompt, who=who)
    return Prepared(inputs=inputs, frames=frames, dropped=(*_unseen(prompt, frames), *dropped))


def _prepare_tiled(processor: Any, model: Any, prompt: Prompt, *, who: str) -> Prepared:
    """The whole picture, stretched, and parts of it at a larger scale."""
    need_images(prompt, who)
    side = model.config.vision_config.image_size
    frames = tuple(stretched_frame(image.size, (side, side)) for image in prompt.images)
    inputs, dropped = asked(processor, prompt, who=who)
    return Prepared(inputs=inputs, frames=frames, dropped=dropped)


def _unseen(prompt: Prompt, frames: tuple[Any, ...]) -> tuple[str, ...]:
    """What of the pictures is cut off."""
    told = []
    for index, (image, frame) in enumerate(zip(prompt.images, frames, strict=True)):
        x0, y0, x1, y1 = frame.visible
        share = (x1 - x0) * (y1 - y0) / (image.size[0] * image.size[1])
        if share < 0.995:
            told.append(
                f"picture {index}: the model sees its middle, {x0:.0f} {y0:.0f} {x1:.0f} {y1:.0f}, "
                f"{share:.0%} of it"
            )
    return tuple(told)


FAMILIES = (
    Family(
        name="llava",
        systems=("LLaVA", "LLaVA-1.5"),
        prepare=partial(_prepare, who="llava"),
        dialect=_DIALECT,
        grounded=(
            "Please provide the bounding box coordinate of the region this sentence describes: "
            "{question}"
        ),
        seeing=padded_to_squares,
        notes="places are of the picture padded to a square; published processors cut it instead",
    ),
    Family(
        name="llava_next",
        systems=("LLaVA-NeXT", "LLaVA-1.6"),
        prepare=partial(_prepare_tiled, who="llava_next"),
        notes="the whole picture and tiles of it; its places are not documented",
    ),
    Family(
        name="llava_onevision",
        systems=("LLaVA-OneVision",),
        prepare=partial(_prepare_tiled, who="llava_onevision"),
        notes="the whole picture and tiles of it; its places are not documented",
    ),
    Family(
        name="vipllava",
        systems=("ViP-LLaVA",),
        prepare=partial(_prepare, who="vipllava"),
        notes="made for marks that are drawn on the picture",
    ),
)
