"""A tiny Kosmos-2 with random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import make_model, save_checkpoint
from groundplane.testing.language_checkpoints.tokenizers import WHO, byte_tokenizer

__all__ = ["SAVERS", "save_kosmos2"]

_SIDE = 28


def save_kosmos2(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny Kosmos-2: pictures stretched to 28 by 28, 8 tokens each, the published cells.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=WHO, extra="models")
    tokenizer = byte_tokenizer(unk_token="<unk>")
    square = {"height": _SIDE, "width": _SIDE}
    # It adds the signs of phrases and the cells to the tokenizer.
    processor = library.Kosmos2Processor(
        library.CLIPImageProcessor(size=square, crop_size=square), tokenizer
    )
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "image_size": _SIDE, "patch_size": 7}
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 512, "embed_dim": 32}
    text |= {"layers": 2, "ffn_dim": 64, "attention_heads": 2, "tie_word_embeddings": False}
    text |= {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id}
    text |= {"eos_token_id": tokenizer.eos_token_id}
    config = library.Kosmos2Config(
        vision_config=vision, text_config=text, latent_query_num=8, tie_word_embeddings=False
    )
    model = make_model(library.Kosmos2ForConditionalGeneration, config, seed)
    with torch.no_grad():
        model.image_to_text_projection.dense.weight.mul_(3)
    return save_checkpoint(folder, model, processor)


SAVERS = {"kosmos-2": save_kosmos2}
