"""A tiny DeepSeek-VL with random weights: SigLIP's encoder before a Llama."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import make_model, save_checkpoint
from groundplane.testing.language_checkpoints.tokenizers import WHO, byte_tokenizer, token_ids

__all__ = ["SAVERS", "save_deepseek_vl"]

_SIDE, _PATCH = 32, 8
_IMAGE = "<image_placeholder>"
# Turns as the published template writes them: bare words of a system, names of the speakers.
_TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] == 'user' %}User: {% elif m['role'] == 'assistant' %}Assistant: {% endif %}"
    "{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image_placeholder>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '\n\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


def save_deepseek_vl(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny DeepSeek-VL: pictures of 32 by 32, 16 tokens each.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=WHO, extra="models")
    tokenizer = byte_tokenizer(
        names={"image_token": _IMAGE},
        template=_TEMPLATE,
        bos_token="<｜begin▁of▁sentence｜>",  # noqa: RUF001 - its own signs
        eos_token="<｜end▁of▁sentence｜>",  # noqa: RUF001
        add_bos_token=True,
    )
    model = make_model(
        library.DeepseekVLForConditionalGeneration, _config(library, tokenizer), seed
    )
    processor = library.DeepseekVLProcessor(
        library.DeepseekVLImageProcessor(size={"height": _SIDE, "width": _SIDE}, min_size=4),
        tokenizer,
        chat_template=_TEMPLATE,
        num_image_tokens=(_SIDE // _PATCH) ** 2,
    )
    return save_checkpoint(folder, model, processor)


def _config(library: Any, tokenizer: Any) -> Any:
    vision = library.SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=_SIDE,
        patch_size=_PATCH,
        vision_use_head=False,
    )
    text = library.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return library.DeepseekVLConfig(
        vision_config=vision,
        text_config=text,
        tie_word_embeddings=False,
        **token_ids(tokenizer, image_token_id=_IMAGE),
    )


SAVERS = {"deepseek_vl": save_deepseek_vl}
