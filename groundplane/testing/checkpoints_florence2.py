"""A tiny Florence-2 with random weights, for tests."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import byte_pairs, make_model, save_checkpoint

__all__ = ["save_florence2"]

_SIDE = 64
_FIRST = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_TAGS = ("od", "ocr", "cap", "ncap", "dcap", "grounding", "poly", "region_cap", "seg", "proposal")


def save_florence2(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny Florence-2: pictures of 64 by 64, the published places and tags as tokens.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.

    Returns:
        The folder.
    """
    library = need_library("transformers", who="groundplane.testing", extra="florence2")
    tokenizer = _tokenizer(library)
    model = make_model(library.Florence2ForConditionalGeneration, _config(library, tokenizer), seed)
    places = [tokenizer.convert_tokens_to_ids(f"<loc_{i}>") for i in range(1000)]
    with torch.no_grad():
        # Places are written more often than words, so that some of what it says is boxes.
        model.model.language_model.shared.weight[places] *= 1.6
        # What it says depends on where in its answer it is and on the picture, not only on the
        # last token.
        model.model.language_model.decoder.embed_positions.weight *= 4
        model.model.language_model.decoder.layers[0].encoder_attn.out_proj.weight *= 4
    model.generation_config.no_repeat_ngram_size = 3  # as published
    return save_checkpoint(folder, model, _processor(library, tokenizer))


def _config(library: ModuleType, tokenizer: Any) -> Any:
    vision = library.Florence2VisionConfig(
        depths=[1, 1, 1, 1],
        embed_dim=[8, 16, 16, 32],
        num_heads=[1, 2, 2, 2],
        num_groups=[1, 2, 2, 2],
        window_size=4,
        projection_dim=32,
        max_temporal_embeddings=4,
        max_position_embeddings=4,
    )
    text = library.BartConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=256,
    )
    return library.Florence2Config(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )


def _processor(library: ModuleType, tokenizer: Any) -> Any:
    pictures = library.CLIPImageProcessor(
        size={"height": _SIDE, "width": _SIDE},
        do_center_crop=False,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    # Patches of 32 by 32 pixels, and one token for the whole.
    pictures.image_seq_length = (_SIDE // 32) ** 2 + 1
    # Without them its own reading of answers fails, as `Unsupported parse task`.
    ways = ["pure_text", "description_with_bboxes", "bboxes", "polygons", "phrase_grounding"]
    ways += ["description_with_bboxes_or_polygons"]
    return library.Florence2Processor(
        image_processor=pictures,
        tokenizer=tokenizer,
        post_processor_config={way: {} for way in ways},
    )


def _tokenizer(library: ModuleType) -> Any:
    tokens, merges = byte_pairs(start="Ġ")
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*_FIRST, *tokens]))}
    tokenizer = library.BartTokenizer(
        vocab=vocabulary, merges=merges, extra_special_tokens={"image_token": "<image>"}
    )
    tags = [mark for tag in _TAGS for mark in (f"<{tag}>", f"</{tag}>")]
    tokenizer.add_tokens([f"<loc_{i}>" for i in range(1000)] + tags + ["<sep>", "<and>"])
    return tokenizer
