"""A tiny OWLv2 with random weights, for tests."""

from __future__ import annotations

from pathlib import Path

import torch

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import byte_pairs, make_model, save_checkpoint

__all__ = ["save_owlv2"]

_SIDE = 96


def save_owlv2(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny OWLv2: pictures of 96 by 96 in patches of 16, texts of 24 tokens.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.

    Returns:
        The folder.
    """
    library = need_library("transformers", who="groundplane.testing", extra="owlv2")
    tokens, merges = byte_pairs(end="</w>")
    # The text's state is read at its highest id, so the end of a text must be the last token.
    vocabulary = {t: i for i, t in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    tokenizer = library.CLIPTokenizer(
        vocab=vocabulary, merges=merges, pad_token="!", model_max_length=24
    )
    text = library.Owlv2TextConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=24,
        pad_token_id=vocabulary["!"],
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
    )
    vision = library.Owlv2VisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=_SIDE,
        patch_size=16,
    )
    config = library.Owlv2Config(text_config=text, vision_config=vision, projection_dim=32)
    model = make_model(library.Owlv2ForObjectDetection, config, seed)
    with torch.no_grad():
        # Logits are (cosine + shift) * scale: a shift near 0 and a scale of some units spread
        # the scores; boxes stay some patches wide.
        model.class_head.logit_shift.weight.mul_(0.2)
        model.class_head.logit_shift.bias.fill_(-0.2)
        model.class_head.logit_scale.bias.fill_(4.0)
        model.box_head.dense2.weight.mul_(0.3)
    pictures = _pictures(library)
    processor = library.Owlv2Processor(image_processor=pictures, tokenizer=tokenizer)
    return save_checkpoint(folder, model, processor)


def _pictures(library: object) -> object:
    module = need_library(
        "transformers.models.owlv2.image_processing_pil_owlv2", who="groundplane.testing"
    )
    return module.Owlv2ImageProcessorPil(size={"height": _SIDE, "width": _SIDE})
