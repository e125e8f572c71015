"""PaliGemma: pictures and question are read in both directions, what it says in one.

Source: Beyer et al., PaliGemma, 2024; `PaliGemmaProcessor` of transformers.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from groundplane.core.session import Prompt
from groundplane.language.canvases import processed_frame
from groundplane.language.family import Family, Inputs, Prepared, extended
from groundplane.language.wording import marks, need_images, pictures, question, without_marks

__all__ = ["FAMILIES"]

_WHO = "language model 'paligemma'"
_NO_SYSTEM = "the words before the question: its prompts have no place for them"


def _prepare(processor: Any, model: Any, prompt: Prompt) -> Prepared:
    del model
    need_images(prompt, _WHO, least=1)
    prompt, dropped = without_marks(prompt, marks(processor, processor.image_token))
    # The processor writes the mark of the beginning behind the pictures, and a new line at the end.
    text = processor.image_token * len(prompt.images) + question(prompt)
    # Of tensors it makes labels by a call that numpy warns of.
    made = processor(text=[text], images=[pictures(prompt)], return_tensors="np")
    inputs = {name: torch.as_tensor(value) for name, value in made.items() if name != "labels"}
    shown = processor.image_processor
    return Prepared(
        inputs=inputs,
        frames=tuple(processed_frame(shown, image.size) for image in prompt.images),
        dropped=(*dropped, *([_NO_SYSTEM] if prompt.system else [])),
    )


def _extend(inputs: Inputs, ids: Int[Tensor, "1 t"]) -> Inputs:
    """What it says is of the second kind: each token of it sees only those before."""
    longer = dict(extended(inputs, ids))
    kinds = inputs["token_type_ids"]
    said = torch.ones(1, ids.shape[1], dtype=kinds.dtype, device=kinds.device)
    longer["token_type_ids"] = torch.cat([kinds, said], dim=1)
    return longer


FAMILIES = (
    Family(
        name="paligemma",
        systems=("PaliGemma", "PaliGemma 2"),
        prepare=_prepare,
        dialect="paligemma",
        grounded="detect {question}",
        first=1,
        extend=_extend,
        notes="Positions count from 1; the prompt is read in both directions. Several things to "
        "detect stand between semicolons.",
    ),
)
