"""Tiny BLIP-2 and InstructBLIP with random weights: with an OPT or Llama, or with a T5."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import make_model, save_checkpoint, word_pieces
from groundplane.testing.language_checkpoints.tokenizers import WHO, byte_tokenizer, token_ids

__all__ = ["SAVERS", "save_blip2", "save_instructblip"]

_SIDE = 28
_QUERIES = 6
_Inner = Literal["opt", "llama", "t5"]


def save_blip2(folder: str | Path, *, seed: int = 0, inner: _Inner = "opt") -> Path:
    """Save a tiny BLIP-2: pictures of 28 by 28, 6 query tokens.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.
        inner: Its language model; with `t5` it is an encoder-decoder.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=WHO, extra="models")
    tokenizer = _tokenizer(inner)
    config = _config("Blip2", tokenizer, inner)
    model = make_model(library.Blip2ForConditionalGeneration, config, seed)
    _enliven(model)
    processor = library.Blip2Processor(
        library.BlipImageProcessor(size={"height": _SIDE, "width": _SIDE}),
        tokenizer,
        num_query_tokens=_QUERIES,
    )
    return save_checkpoint(folder, model, processor)


def save_instructblip(folder: str | Path, *, seed: int = 0, inner: _Inner = "llama") -> Path:
    """Save a tiny InstructBLIP, whose Q-Former reads the question by its own tokenizer.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.
        inner: Its language model; with `t5` it is an encoder-decoder.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=WHO, extra="models")
    tokenizer = _tokenizer(inner)
    config = _config("InstructBlip", tokenizer, inner)
    model = make_model(library.InstructBlipForConditionalGeneration, config, seed)
    _enliven(model)
    processor = library.InstructBlipProcessor(
        library.BlipImageProcessor(size={"height": _SIDE, "width": _SIDE}),
        tokenizer,
        library.BertTokenizer(vocab=word_pieces()),
        num_query_tokens=_QUERIES,
    )
    return save_checkpoint(folder, model, processor)


def _tokenizer(inner: _Inner) -> Any:
    if inner == "t5":
        return byte_tokenizer(marks=["<image>"], bos_token=None, unk_token="<unk>")
    return byte_tokenizer(marks=["<image>"], add_bos_token=True)


def _config(kind: str, tokenizer: Any, inner: _Inner) -> Any:
    library = need_library("transformers", who=WHO, extra="models")
    vision = getattr(library, f"{kind}VisionConfig")(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=_SIDE,
        patch_size=7,
    )
    queries = getattr(library, f"{kind}QFormerConfig")(
        vocab_size=len(word_pieces()),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        encoder_hidden_size=16,
    )
    return getattr(library, f"{kind}Config")(
        vision_config=vision,
        qformer_config=queries,
        text_config=_language(library, tokenizer, inner),
        num_query_tokens=_QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )


def _language(library: Any, tokenizer: Any, inner: _Inner) -> Any:
    shared = {"vocab_size": len(tokenizer)}
    shared |= token_ids(tokenizer, pad_token_id="<pad>", eos_token_id="</s>")
    if inner == "t5":
        return library.T5Config(
            d_model=32,
            d_kv=16,
            d_ff=64,
            num_layers=1,
            num_decoder_layers=2,
            num_heads=2,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
            decoder_start_token_id=shared["pad_token_id"],
            **shared,
        )
    shared |= token_ids(tokenizer, bos_token_id="<s>")
    shared |= {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    if inner == "llama":
        return library.LlamaConfig(intermediate_size=64, max_position_embeddings=512, **shared)
    return library.OPTConfig(
        word_embed_proj_dim=32, ffn_dim=64, max_position_embeddings=512, dropout=0.0, **shared
    )


def _enliven(model: Any) -> None:
    """What is said depends on the picture and on where in the text it is said."""
    inner = model.language_model
    with torch.no_grad():
        model.query_tokens.mul_(8)
        if inner.config.model_type == "opt":
            # One table reads and writes words: the last one would always be the likeliest.
            inner.get_input_embeddings().weight.mul_(0.2)
        for name, weight in model.named_parameters():
            if name.endswith(("crossattention.output.dense.weight", "EncDecAttention.o.weight")):
                weight.mul_(2)
            if name.endswith("relative_attention_bias.weight"):
                weight.mul_(8)


SAVERS = {"blip-2": save_blip2, "instructblip": save_instructblip}
