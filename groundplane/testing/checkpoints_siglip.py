"""A tiny SigLIP with random weights, for tests."""

from __future__ import annotations

from pathlib import Path

import torch

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import byte_pairs, make_model, save_checkpoint

__all__ = ["save_siglip"]

_SIDE = 32


def save_siglip(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny SigLIP: pictures of 32 by 32 in patches of 8, texts of 16 tokens.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.

    Returns:
        The folder.
    """
    library = need_library("transformers", who="groundplane.testing", extra="models")
    tokens, merges = byte_pairs(end="</w>")
    vocabulary = {t: i for i, t in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    tokenizer = library.CLIPTokenizer(
        vocab=vocabulary, merges=merges, pad_token="!", model_max_length=16
    )
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2}
    text = library.SiglipTextConfig(
        **shape,
        vocab_size=len(vocabulary),
        num_hidden_layers=1,
        max_position_embeddings=16,
        pad_token_id=vocabulary["!"],
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
        projection_size=32,
    )
    vision = library.SiglipVisionConfig(
        **shape, num_hidden_layers=2, image_size=_SIDE, patch_size=8
    )
    config = library.SiglipConfig(text_config=text, vision_config=vision)
    model = make_model(library.SiglipModel, config, seed)
    with torch.no_grad():
        # Cosines of random features are some tenths: a scale of some units spreads them.
        model.logit_scale.fill_(2.0)
        model.logit_bias.fill_(0.0)
    module = need_library(
        "transformers.models.siglip.image_processing_pil_siglip", who="groundplane.testing"
    )
    pictures = module.SiglipImageProcessorPil(size={"height": _SIDE, "width": _SIDE})
    place = save_checkpoint(folder, model, tokenizer)
    pictures.save_pretrained(str(place))
    return place
