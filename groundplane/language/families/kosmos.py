"""Kosmos-2: places are cells of a grid of 32 by 32 over the picture.

Source: Peng et al., Kosmos-2, 2023; `Kosmos2Processor` of transformers.
"""

from __future__ import annotations

from typing import Any

from groundplane.core.errors import InputError
from groundplane.core.session import Prompt
from groundplane.language.canvases import processed_frame
from groundplane.language.family import Family, Prepared
from groundplane.language.wording import marks, need_images, pictures, question, without_marks

__all__ = ["FAMILIES"]

_WHO = "language model 'kosmos-2'"
_NO_SYSTEM = "the words before the question: its prompts have no place for them"


def _prepare(processor: Any, model: Any, prompt: Prompt) -> Prepared:
    need_images(prompt, _WHO, least=1, most=1)
    signs = marks(processor, processor.boi_token, processor.eoi_token)
    prompt, dropped = without_marks(prompt, signs)
    try:
        inputs = processor(
            images=pictures(prompt)[0],
            text=question(prompt),
            num_image_tokens=model.config.latent_query_num,
            return_tensors="pt",
        )
    except ValueError as error:
        size = prompt.images[0].size
        raise InputError(f"{_WHO}: the processor refuses a picture of {size}: {error}") from error
    return Prepared(
        inputs=dict(inputs),
        frames=(processed_frame(processor.image_processor, prompt.images[0].size),),
        dropped=(*dropped, *([_NO_SYSTEM] if prompt.system else [])),
    )


def _inner(model: Any) -> Any:
    """The whole wants the picture with every pass."""
    return model.text_model


FAMILIES = (
    Family(
        name="kosmos-2",
        systems=("Kosmos-2",),
        prepare=_prepare,
        dialect="kosmos-2",
        grounded="<grounding> {question}",
        places="own",
        inner=_inner,
        notes="One picture, as its processor states stretched to a square or cut out of the "
        "middle. Phrases are marked as they are said, each with its cells.",
    ),
)
