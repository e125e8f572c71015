"""BLIP-2 and InstructBLIP: a Q-Former asks the picture, its queries stand before the text.

They have no location language: what they say is grounded by experts afterwards.

Source: Li et al., BLIP-2, 2023; Dai et al., InstructBLIP, 2023; the processors of transformers.
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

_NO_SYSTEM = "the words before the question: its prompts have no place for them"


def _blip2(processor: Any, model: Any, prompt: Prompt) -> Prepared:
    return _prepared(processor, model, prompt, "Question: {question} Answer:")


def _instructblip(processor: Any, model: Any, prompt: Prompt) -> Prepared:
    return _prepared(processor, model, prompt, "{question}")


def _prepared(processor: Any, model: Any, prompt: Prompt, form: str) -> Prepared:
    who = f"language model {model.config.model_type!r}"
    need_images(prompt, who, least=1, most=1)
    prompt, dropped = without_marks(prompt, marks(processor, str(processor.image_token)))
    # Without a question both describe the picture.
    asked = question(prompt)
    text = form.replace("{question}", asked) if asked.strip() else ""
    inputs = dict(processor(images=pictures(prompt), text=text, return_tensors="pt"))
    _check(inputs, model, who)
    if model.config.text_config.is_encoder_decoder:
        start = model.config.text_config.decoder_start_token_id
        inputs["decoder_input_ids"] = torch.tensor([[start]])
    return Prepared(
        inputs=inputs,
        frames=(processed_frame(processor.image_processor, prompt.images[0].size),),
        dropped=(*dropped, *([_NO_SYSTEM] if prompt.system else [])),
    )


def _check(inputs: dict[str, Any], model: Any, who: str) -> None:
    """Old checkpoints name no token of pictures: the model would not see the picture at all."""
    config = model.config
    placed = int((inputs["input_ids"] == config.image_token_index).sum())
    if placed != config.num_query_tokens:
        raise InputError(
            f"{who}: its processor writes {placed} tokens of the picture, the model has "
            f"{config.num_query_tokens} queries. Try: a newer revision, whose processor states "
            "num_query_tokens and whose configuration states image_token_index"
        )
    asked = inputs.get("qformer_input_ids")
    most = config.qformer_config.max_position_embeddings
    if asked is not None and asked.shape[1] > most:
        raise InputError(
            f"{who}: the question is {asked.shape[1]} tokens to its Q-Former, which reads {most} "
            "at most. Try: a shorter question"
        )


def _inner(model: Any) -> Any:
    """The whole asks the picture anew with every pass."""
    return model.language_model


FAMILIES = (
    Family(
        name="blip-2",
        systems=("BLIP-2",),
        prepare=_blip2,
        inner=_inner,
        encoder_decoder=True,
        notes="One picture; its features do not depend on the question. With a Flan-T5 it is an "
        "encoder-decoder.",
    ),
    Family(
        name="instructblip",
        systems=("InstructBLIP",),
        prepare=_instructblip,
        inner=_inner,
        encoder_decoder=True,
        notes="One picture; the question goes to the Q-Former too, so that no feature of the "
        "picture serves another question. With a Flan-T5 it is an encoder-decoder.",
    ),
)
