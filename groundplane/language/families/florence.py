"""Florence-2: an encoder-decoder that is asked by task signs and answers with labels and bins.

Source: Xiao et al., Florence-2, 2023; `Florence2Processor` of transformers.
"""

from __future__ import annotations

from typing import Any

import torch

from groundplane.core.errors import InputError
from groundplane.core.session import Prompt
from groundplane.language.canvases import processed_frame
from groundplane.language.family import Family, Prepared
from groundplane.language.wording import marks, need_images, pictures, question, without_marks

__all__ = ["FAMILIES"]

_WHO = "language model 'florence2'"
_NO_SYSTEM = "the words before the question: its prompts have no place for them"


def _prepare(processor: Any, model: Any, prompt: Prompt) -> Prepared:
    need_images(prompt, _WHO, least=1, most=1)
    prompt, dropped = without_marks(prompt, marks(processor, processor.image_token))
    try:
        made = processor(images=pictures(prompt), text=[question(prompt)], return_tensors="pt")
    except ValueError as error:
        raise InputError(
            f"{_WHO}: the processor refuses the question {prompt.text[:60]!r}: {error}"
        ) from error
    text, told = model.config.text_config, model.generation_config
    # As published, what it says begins with a token that it does not choose.
    forced = getattr(told, "forced_bos_token_id", None)
    start = [text.decoder_start_token_id, *([] if forced is None else [forced])]
    return Prepared(
        inputs=dict(made) | {"decoder_input_ids": torch.tensor([start])},
        frames=(processed_frame(processor.image_processor, prompt.images[0].size),),
        dropped=(*dropped, *([_NO_SYSTEM] if prompt.system else [])),
    )


FAMILIES = (
    Family(
        name="florence2",
        systems=("Florence-2",),
        prepare=_prepare,
        dialect="florence-2",
        grounded="<CAPTION_TO_PHRASE_GROUNDING>{question}",
        places="own",
        encoder_decoder=True,
        notes="One picture; asked by task signs such as <OD>, or in words.",
    ),
)
