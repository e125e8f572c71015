"""Tiny LLaVA, LLaVA-NeXT, LLaVA-OneVision and ViP-LLaVA with random weights, for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import make_model, save_checkpoint
from groundplane.testing.language_checkpoints.tokenizers import WHO, byte_tokenizer, token_ids

__all__ = ["SAVERS", "save_llava", "save_llava_next", "save_llava_onevision", "save_vipllava"]

_SIDE, _PATCH = 32, 8
_PATCHES = (_SIDE // _PATCH) ** 2
_GRID = [[32, 64], [64, 32], [64, 64]]
# Turns as LLaVA-1.5's conversations have them, pictures before words; published checkpoints have
# no turn of a system but its bare text.
_TURNS = (
    "{% for m in messages %}"
    "{% if m['role'] != 'system' %}{{ m['role'].upper() + ': ' }}{% endif %}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}{{ '<image>\n' }}{% endif %}"
    "{% endfor %}"
    "{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] + ' ' }}{% endif %}"
    "{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
_VIP_TURNS = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'][0]['text'] }}"
    "{% else %}{{ '###' + ('Human' if m['role'] == 'user' else 'Assistant') + ': ' }}"
    "{% for c in m['content'] %}"
    "{{ '<image>\n' if c['type'] == 'image' else c['text'] }}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}###Assistant:{% endif %}"
)
_QWEN_TURNS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + ' ' }}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
    "{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ '\n' + c['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_llava(
    folder: str | Path, *, seed: int = 0, marks: Sequence[str] = (), words: Sequence[str] = ()
) -> Path:
    """Save a tiny LLaVA-1.5: pictures of 32 by 32 in 16 patches, the middle cut out.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.
        marks: Special tokens beside its own, such as those that LLaVA-Grounding adds.
        words: Tokens that are text, such as the indices of Groma.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=WHO, extra="models")
    tokenizer = _llama_tokenizer(_TURNS, marks, words)
    config = library.LlavaConfig(vision_config=_clip(library), **_language(library, tokenizer))
    model = make_model(library.LlavaForConditionalGeneration, config, seed)
    pictures = library.CLIPImageProcessor(size={"shortest_edge": _SIDE}, crop_size=_square())
    return _save(folder, model, library.LlavaProcessor, pictures, tokenizer, seed)


def save_vipllava(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny ViP-LLaVA, which takes the features of several layers; see `save_llava`."""
    library = need_library("transformers", who=WHO, extra="models")
    tokenizer = _llama_tokenizer(_VIP_TURNS)
    config = library.VipLlavaConfig(
        vision_config=_clip(library), vision_feature_layer=[-2, 0], **_language(library, tokenizer)
    )
    model = make_model(library.VipLlavaForConditionalGeneration, config, seed)
    pictures = library.CLIPImageProcessor(size={"shortest_edge": _SIDE}, crop_size=_square())
    return _save(folder, model, library.LlavaProcessor, pictures, tokenizer, seed)


def save_llava_next(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny LLaVA-NeXT: the whole picture and tiles of 32 by 32; see `save_llava`."""
    library = need_library("transformers", who=WHO, extra="models")
    tokenizer = _llama_tokenizer(_TURNS)
    config = library.LlavaNextConfig(
        vision_config=_clip(library),
        image_grid_pinpoints=_GRID,
        **_language(library, tokenizer),
    )
    model = make_model(library.LlavaNextForConditionalGeneration, config, seed)
    pictures = library.LlavaNextImageProcessor(
        size={"shortest_edge": _SIDE}, crop_size=_square(), image_grid_pinpoints=_GRID
    )
    return _save(folder, model, library.LlavaNextProcessor, pictures, tokenizer, seed)


def save_llava_onevision(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny LLaVA-OneVision, of SigLIP and Qwen2; see `save_llava_next`."""
    library = need_library("transformers", who=WHO, extra="models")
    tokenizer = byte_tokenizer(
        "Qwen2Tokenizer",
        marks=["<|im_start|>", "<image>", "<video>"],
        template=_QWEN_TURNS,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        bos_token=None,
    )
    text = library.Qwen2Config(
        **_text_shape(tokenizer),
        **token_ids(tokenizer, pad_token_id="<|endoftext|>", eos_token_id="<|im_end|>"),
        bos_token_id=None,
    )
    vision = library.SiglipVisionConfig(
        **_VISION, image_size=_SIDE, patch_size=_PATCH, vision_use_head=False
    )
    config = library.LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_grid_pinpoints=_GRID,
        vision_aspect_ratio="anyres_max_4",
        **token_ids(tokenizer, image_token_index="<image>", video_token_index="<video>"),
    )
    model = make_model(library.LlavaOnevisionForConditionalGeneration, config, seed)
    _fill_tables(model, seed)
    pictures = library.LlavaOnevisionImageProcessor(size=_square(), image_grid_pinpoints=_GRID)
    processor = library.LlavaOnevisionProcessor(
        image_processor=pictures,
        tokenizer=tokenizer,
        video_processor=library.LlavaOnevisionVideoProcessor(size=_square()),
        num_image_tokens=_PATCHES,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_4",
        chat_template=tokenizer.chat_template,
    )
    return save_checkpoint(folder, model, processor)


SAVERS: dict[str, Callable[..., Path]] = {
    "llava": save_llava,
    "llava_next": save_llava_next,
    "llava_onevision": save_llava_onevision,
    "vipllava": save_vipllava,
}

_VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def _square() -> dict[str, int]:
    return {"height": _SIDE, "width": _SIDE}


def _clip(library: Any) -> Any:
    return library.CLIPVisionConfig(
        **_VISION, image_size=_SIDE, patch_size=_PATCH, projection_dim=24
    )


def _llama_tokenizer(template: str, marks: Sequence[str] = (), words: Sequence[str] = ()) -> Any:
    return byte_tokenizer(
        marks=["<image>", *marks],
        places=words,
        template=template,
        pad_token="<pad>",
        add_bos_token=True,
    )


def _text_shape(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
    }


def _language(library: Any, tokenizer: Any) -> dict[str, Any]:
    """The part of a configuration that is about the language model."""
    ids = token_ids(tokenizer, pad_token_id="<pad>", bos_token_id="<s>", eos_token_id="</s>")
    return {
        "text_config": library.LlamaConfig(**_text_shape(tokenizer), **ids),
        **token_ids(tokenizer, image_token_index="<image>"),
    }


def _fill_tables(model: Any, seed: int) -> None:
    """Positions and the first token are tables: as matrices they would be drawn too small."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "position_embedding" in name or name.endswith(("class_embedding", "newline")):
                weight.normal_(std=0.5, generator=generator)


def _save(
    folder: str | Path, model: Any, kind: Any, pictures: Any, tokenizer: Any, seed: int
) -> Path:
    _fill_tables(model, seed)
    processor = kind(
        image_processor=pictures,
        tokenizer=tokenizer,
        patch_size=_PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    return save_checkpoint(folder, model, processor)
