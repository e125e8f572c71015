"""A prompt through the chat template and the processor of a model, and what was lost on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from groundplane.core.errors import InputError
from groundplane.core.session import Prompt
from groundplane.core.weights import need_library
from groundplane.language.canvases import middle_frame
from groundplane.language.family import Inputs, Prepared
from groundplane.language.wording import conversation, marks, need_images, pictures, without_marks

__all__ = ["asked", "one_size", "read_by", "worded"]


def asked(
    processor: Any, prompt: Prompt, *, who: str, but: Sequence[str] = (), **settings: Any
) -> tuple[Inputs, tuple[str, ...]]:
    """The inputs of a model for one prompt: template first, then its own processor.

    Args:
        processor: Of the model; it has a chat template.
        prompt: What is asked; signs of the model in its texts are taken apart.
        who: Names the family in messages.
        but: Signs that the texts may hold as what they are, such as those of its dialect.
        **settings: For the processor.

    Returns:
        The inputs, batch of 1, and what did not reach the model as it was written.

    Raises:
        InputError: If there is no template, it has no place for the pictures, or the processor
            refuses the prompt.
    """
    signs = [sign for sign in marks(processor) if sign not in but]
    safe, told = without_marks(prompt, signs)
    text, more = worded(processor, safe, who=who)
    return read_by(processor, text, safe, who=who, **settings), (*told, *more)


def worded(processor: Any, prompt: Prompt, *, who: str) -> tuple[str, tuple[str, ...]]:
    """The text of a prompt by the chat template, and what of it had to be said otherwise.

    Args:
        processor: Or a tokenizer; it has a chat template.
        prompt: With no sign of the model in it.
        who: Names the family in messages.

    Raises:
        InputError: If there is no template, or it has no place for the pictures.
    """
    if not getattr(processor, "chat_template", None):
        raise InputError(
            f"{who}: the processor has no chat template, so the question cannot be put as the "
            "model was trained to be asked; save chat_template.jinja beside its weights"
        )
    text, refusal = _rendered(processor, prompt)
    if refusal is None and prompt.system in text:
        return text, ()
    if not prompt.system:
        raise InputError(f"{who}: the chat template refuses the prompt: {refusal}") from refusal
    before = replace(prompt, system="", text=f"{prompt.system}\n{prompt.text}")
    text, refusal = _rendered(processor, before)
    if refusal is not None:
        raise InputError(f"{who}: the chat template refuses the prompt: {refusal}") from refusal
    return text, ("the chat template has no system turn: its text stands before the question",)


def read_by(processor: Any, text: str, prompt: Prompt, *, who: str, **settings: Any) -> Inputs:
    """What the processor makes of a worded prompt and its pictures, batch of 1, on the CPU.

    Raises:
        InputError: If it refuses them.
    """
    tokenizer = processor.tokenizer
    begun = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
    images = pictures(prompt)
    try:
        made = processor(
            text=[text],
            images=[images] if images else None,  # those of one prompt belong together
            return_tensors="pt",
            **({"add_special_tokens": False} if begun else {}),
            **settings,
        )
    except ValueError as error:
        sizes = [image.size for image in prompt.images]
        raise InputError(
            f"{who}: the processor refuses the question with {len(images)} pictures of the sizes "
            f"{sizes}: {error}"
        ) from error
    return dict(made)


def _rendered(processor: Any, prompt: Prompt) -> tuple[str, Exception | None]:
    """The text, or why the template does not take the prompt."""
    problem = need_library("jinja2.exceptions", who="chat template", extra="models").TemplateError
    try:
        text = processor.apply_chat_template(
            conversation(prompt), add_generation_prompt=True, tokenize=False
        )
    except problem as error:
        return "", error
    return str(text), None


def one_size(processor: Any, model: Any, prompt: Prompt, *, who: str) -> Prepared:
    """A prompt of a family whose pictures are padded to one size, of as many tokens each.

    Raises:
        InputError: If the processor writes another number of tokens than the model has cells.
    """
    need_images(prompt, who)
    inputs, dropped = asked(processor, prompt, who=who)
    vision = model.config.vision_config
    has = (vision.image_size // vision.patch_size) ** 2
    if prompt.images and processor.num_image_tokens != has:
        raise InputError(
            f"{who}: its processor writes {processor.num_image_tokens} tokens a picture, the "
            f"model has {has}. Try: the processor that was saved with the model"
        )
    frames = tuple(middle_frame(processor.image_processor, image.size) for image in prompt.images)
    return Prepared(inputs=inputs, frames=frames, dropped=dropped)
