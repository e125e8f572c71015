"""A tiny InternVL with random weights: InternViT's encoder before a Qwen2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import make_model, save_checkpoint
from groundplane.testing.language_checkpoints.tokenizers import WHO, byte_tokenizer, token_ids

__all__ = ["SAVERS", "save_internvl"]

_SIDE, _PATCH, _TILES = 32, 8, 4
_TOKENS = (_SIDE // _PATCH // 2) ** 2
_NAMES = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
# Signs of places are marks in the published tokenizers too.
_MARKS = ("<|im_start|>", "<|im_end|>", "<ref>", "</ref>", "<box>", "</box>")
# Turns as the published template writes them: each picture on a line, then the words.
_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<IMG_CONTEXT>\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def save_internvl(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny InternVL: at most 4 tiles of 32 by 32 and the whole, 4 tokens each.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=WHO, extra="models")
    tokenizer = byte_tokenizer(
        "Qwen2Tokenizer",
        marks=_MARKS,
        names=_NAMES,
        template=_TEMPLATE,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        bos_token=None,
    )
    model = make_model(library.InternVLForConditionalGeneration, _config(library, tokenizer), seed)
    _fill_tables(model, seed)
    square = {"height": _SIDE, "width": _SIDE}
    processor = library.InternVLProcessor(
        image_processor=library.GotOcr2ImageProcessor(
            size=square, crop_to_patches=True, max_patches=_TILES
        ),
        tokenizer=tokenizer,
        video_processor=library.InternVLVideoProcessor(size=square),
        image_seq_length=_TOKENS,
        chat_template=_TEMPLATE,
    )
    return save_checkpoint(folder, model, processor)


def _config(library: Any, tokenizer: Any) -> Any:
    vision = library.InternVLVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=_SIDE,
        patch_size=_PATCH,
        layer_scale_init_value=1.0,
    )
    text = library.Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=None,
        **token_ids(tokenizer, pad_token_id="<|endoftext|>", eos_token_id="<|im_end|>"),
    )
    return library.InternVLConfig(
        vision_config=vision,
        text_config=text,
        image_seq_length=_TOKENS,
        tie_word_embeddings=False,
        **token_ids(tokenizer, image_token_id="<IMG_CONTEXT>"),
    )


def _fill_tables(model: Any, seed: int) -> None:
    """Positions and the first token are tables: as matrices they would be drawn too small."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("position_embeddings", "cls_token")):
                weight.normal_(std=0.5, generator=generator)


SAVERS = {"internvl": save_internvl}
