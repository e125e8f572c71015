"""A tiny PaliGemma with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import make_model, save_checkpoint
from groundplane.testing.language_checkpoints.tokenizers import WHO, byte_tokenizer

__all__ = ["SAVERS", "save_paligemma"]

_SIDE, _PATCH = 28, 7


def save_paligemma(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny PaliGemma: pictures of 28 by 28, 16 tokens each, the published places.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=WHO, extra="models")
    tokenizer = byte_tokenizer(
        marks=["<image>"], bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
    pictures = library.SiglipImageProcessor(size={"height": _SIDE, "width": _SIDE})
    pictures.image_seq_length = (_SIDE // _PATCH) ** 2
    # It adds the places and the codes of masks to the tokenizer.
    processor = library.PaliGemmaProcessor(pictures, tokenizer)
    config = _config(library, tokenizer)
    model = make_model(library.PaliGemmaForConditionalGeneration, config, seed)
    places = [tokenizer.convert_tokens_to_ids(f"<loc{i:04d}>") for i in range(1024)]
    with torch.no_grad():
        # Places are written more often than words, so that some of what it says is boxes.
        model.lm_head.weight[places] *= 1.3
        model.model.multi_modal_projector.linear.weight.mul_(3)
        for name, weight in model.named_parameters():
            if name.endswith("norm.weight"):
                weight.sub_(1)  # Gemma's norms add one
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
    speaking = library.GemmaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=1024,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    return library.PaliGemmaConfig(
        vision_config=vision,
        text_config=speaking,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=32,
        hidden_size=32,
        tie_word_embeddings=False,
    )


SAVERS = {"paligemma": save_paligemma}
