"""Tiny Idefics2, Idefics3 and SmolVLM with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import make_model, save_checkpoint
from groundplane.testing.language_checkpoints.tokenizers import WHO, byte_tokenizer

__all__ = ["SAVERS", "save_idefics2", "save_idefics3", "save_smolvlm"]

_SIDE, _PATCH, _LATENTS = 16, 4, 4
_MARKS = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>")
_TILES = tuple(f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7))
# Turns as the published templates write them: a name, a colon, the parts, a mark of the end.
_TEMPLATE = (
    "{start}{% for m in messages %}{{ m['role'].capitalize() }}:"
    "{% if m['content'][0]['type'] != 'image' %} {% endif %}"
    "{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<end_of_utterance>{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


def save_idefics2(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny Idefics2 over a Mistral: 4 tokens a picture of at most 24 by 24."""
    library = need_library("transformers", who=WHO, extra="models")
    tokenizer = _tokenizer("", add_bos_token=True)
    pictures = library.Idefics2ImageProcessor(size={"shortest_edge": 8, "longest_edge": 24})
    processor = library.Idefics2Processor(
        pictures, tokenizer, image_seq_len=_LATENTS, chat_template=tokenizer.chat_template
    )
    perceiver = {"hidden_size": 32, "resampler_n_latents": _LATENTS, "resampler_depth": 1}
    perceiver |= {"resampler_n_heads": 2, "resampler_head_dim": 16, "num_key_value_heads": 1}
    config = library.Idefics2Config(
        vision_config=_vision(24),
        perceiver_config=perceiver,
        text_config=library.MistralConfig(sliding_window=None, **_text(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = make_model(library.Idefics2ForConditionalGeneration, config, seed)
    return save_checkpoint(folder, model, processor)


def save_idefics3(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny Idefics3 over a Llama: tiles of 16 by 16, 4 tokens each."""
    return _save_tiled("Idefics3", folder, seed, "<s>")


def save_smolvlm(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny SmolVLM; its processor needs the package num2words."""
    need_library("num2words", who=WHO, extra="models")
    return _save_tiled("SmolVLM", folder, seed, "<|im_start|>")


def _save_tiled(kind: str, folder: str | Path, seed: int, start: str) -> Path:
    library = need_library("transformers", who=WHO, extra="models")
    tokenizer = _tokenizer(start, bos_token=start)
    sides = {"size": {"longest_edge": 2 * _SIDE}, "max_image_size": {"longest_edge": _SIDE}}
    parts = [getattr(library, f"{kind}ImageProcessor")(**sides), tokenizer]
    if kind == "SmolVLM":
        parts.append(library.SmolVLMVideoProcessor(**sides))
    processor = getattr(library, f"{kind}Processor")(
        *parts, image_seq_len=_LATENTS, chat_template=tokenizer.chat_template
    )
    config = getattr(library, f"{kind}Config")(
        vision_config=_vision(_SIDE),
        text_config=library.LlamaConfig(**_text(tokenizer)),
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = make_model(getattr(library, f"{kind}ForConditionalGeneration"), config, seed)
    return save_checkpoint(folder, model, processor)


def _tokenizer(start: str, **settings: Any) -> Any:
    template = _TEMPLATE.replace("{start}", start)
    return byte_tokenizer(marks=[*_MARKS, *_TILES], template=template, **settings)


def _vision(side: int) -> dict[str, Any]:
    return {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": side,
        "patch_size": _PATCH,
    }


def _text(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


SAVERS = {"idefics2": save_idefics2, "idefics3": save_idefics3, "smolvlm": save_smolvlm}
