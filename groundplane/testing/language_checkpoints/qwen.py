"""Tiny Qwen2-VL, Qwen2.5-VL and Qwen3-VL with random weights, for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import make_model, save_checkpoint
from groundplane.testing.language_checkpoints.tokenizers import WHO, byte_tokenizer, token_ids

__all__ = ["SAVERS", "save_qwen2_5_vl", "save_qwen2_vl", "save_qwen3_vl"]

_MARKS = (
    *("<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
    *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
)
# Turns as the published templates write them, pictures where they stand.
_TURNS = (
    "{% for m in messages %}{{first}}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Those before Qwen3-VL speak for the system where nobody does.
_SYSTEM = (
    "{% if loop.first and m['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
)
_HEAD = 16


def save_qwen2_vl(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny Qwen2-VL: patches of 14 by 14, a token for 4 of them, at most 8 a picture.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.

    Returns:
        The folder.
    """
    vision = {"depth": 1, "embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2, "num_heads": 1}
    return _save(folder, "Qwen2VL", vision, seed)


def save_qwen2_5_vl(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny Qwen2.5-VL, which sees in windows and in one layer all; see `save_qwen2_vl`."""
    vision = {**_VISION, "window_size": 56, "fullatt_block_indexes": [1]}
    return _save(folder, "Qwen2_5_VL", vision, seed)


def save_qwen3_vl(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny Qwen3-VL: patches of 16 by 16, features of two layers; see `save_qwen2_vl`."""
    vision = {
        **_VISION,
        "patch_size": 16,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0, 1],
    }
    return _save(folder, "Qwen3VL", vision, seed)


SAVERS: dict[str, Callable[..., Path]] = {
    "qwen2_vl": save_qwen2_vl,
    "qwen2_5_vl": save_qwen2_5_vl,
    "qwen3_vl": save_qwen3_vl,
}

_VISION = {
    "depth": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_heads": 1,
    "out_hidden_size": 32,
}


def _save(folder: str | Path, kind: str, vision: dict[str, Any], seed: int) -> Path:
    library = need_library("transformers", who=WHO, extra="models")
    latest = kind == "Qwen3VL"
    tokenizer = byte_tokenizer(
        "Qwen2Tokenizer",
        marks=_MARKS,
        template=_TURNS.replace("{{first}}", "" if latest else _SYSTEM),
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        bos_token=None,
    )
    config = getattr(library, f"{kind}Config")(
        vision_config=vision,
        text_config=_text(tokenizer, interleaved=latest),
        **token_ids(
            tokenizer,
            image_token_id="<|image_pad|>",
            video_token_id="<|video_pad|>",
            vision_start_token_id="<|vision_start|>",
            vision_end_token_id="<|vision_end|>",
        ),
    )
    model = make_model(getattr(library, f"{kind}ForConditionalGeneration"), config, seed)
    patch = 16 if latest else 14
    area = (2 * patch) ** 2
    shown = {"size": {"shortest_edge": area, "longest_edge": 8 * area}, "patch_size": patch}
    processor = getattr(library, f"{kind}Processor")(
        image_processor=library.Qwen2VLImageProcessor(**shown),
        tokenizer=tokenizer,
        video_processor=getattr(library, f"Qwen{3 if latest else 2}VLVideoProcessor")(**shown),
        chat_template=tokenizer.chat_template,
    )
    return save_checkpoint(folder, model, processor)


def _text(tokenizer: Any, *, interleaved: bool) -> dict[str, Any]:
    axes = {"mrope_section": [4, 2, 2], "mrope_interleaved": True}
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 4096,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            **(axes if interleaved else {"mrope_section": [2, 3, 3]}),
        },
        **({"head_dim": _HEAD} if interleaved else {}),
        "bos_token_id": None,
        **token_ids(tokenizer, pad_token_id="<|endoftext|>", eos_token_id="<|im_end|>"),
    }
