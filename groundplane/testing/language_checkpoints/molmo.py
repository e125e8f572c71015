"""A tiny Molmo2 with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import make_model, save_checkpoint
from groundplane.testing.language_checkpoints.tokenizers import WHO, byte_tokenizer, token_ids

__all__ = ["SAVERS", "save_molmo2"]

_SIDE, _PATCH, _PARTS = 32, 8, 3
# They stand behind the vocabulary, in a table of their own: the model reads and never writes them.
_SEEN = (
    *("<im_start>", "<im_end>", "<im_patch>", "<im_col>", "<low_res_im_start>"),
    *("<|image|>", "<im_low>", "<frame_start>", "<frame_end>", "<|video|>"),
)
# Turns as the published template writes them, pictures where they stand.
_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<|image|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def save_molmo2(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny Molmo2: the whole in 4 tokens, and at most 3 parts of 32 by 32 in as many.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=WHO, extra="models")
    tokenizer = byte_tokenizer(
        "Qwen2Tokenizer",
        marks=["<|im_start|>", *_SEEN],
        template=_TEMPLATE,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        bos_token=None,
    )
    model = make_model(library.Molmo2ForConditionalGeneration, _config(library, tokenizer), seed)
    _fill_tables(model, seed)
    square = {"height": _SIDE, "width": _SIDE}
    processor = library.Molmo2Processor(
        image_processor=library.Molmo2ImageProcessor(
            size=square, patch_size=_PATCH, max_crops=_PARTS, overlap_margins=[1, 1]
        ),
        video_processor=library.Molmo2VideoProcessor(size=square, patch_size=_PATCH),
        tokenizer=tokenizer,
        chat_template=_TEMPLATE,
    )
    return save_checkpoint(folder, model, processor)


def _config(library: Any, tokenizer: Any) -> Any:
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    vision = library.Molmo2VisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        image_size=[_SIDE, _SIDE],
        patch_size=_PATCH,
        **heads,
    )
    adapter = library.Molmo2AdapterConfig(
        vision_feature_layer=[1, 0],
        hidden_size=32,
        intermediate_size=48,
        text_hidden_size=32,
        **heads,
    )
    text = library.Molmo2TextConfig(
        vocab_size=len(tokenizer) - len(_SEEN),
        additional_vocab_size=len(_SEEN),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        max_position_embeddings=4096,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **heads,
    )
    return library.Molmo2Config(
        vision_config=vision,
        adapter_config=adapter,
        text_config=text,
        **token_ids(
            tokenizer,
            image_start_token_id="<im_start>",
            image_end_token_id="<im_end>",
            image_patch_id="<im_patch>",
            low_res_image_start_token_id="<low_res_im_start>",
            frame_start_token_id="<frame_start>",
            frame_end_token_id="<frame_end>",
        ),
    )


def _fill_tables(model: Any, seed: int) -> None:
    """Positions and words are tables: as matrices they would be drawn too small."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "position_embedding" in name or "embed_tokens" in name:
                weight.normal_(std=0.5, generator=generator)


SAVERS = {"molmo2": save_molmo2}
