"""Tiny checkpoints of vision transformers, of the true classes of transformers, for tests.

folder = save_clip(tmp_path / "weights")
encoder = groundplane.load("encoders", "clip", weights=str(folder))
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import byte_pairs, make_model, save_checkpoint

__all__ = ["save_blip2", "save_clip", "save_dinov2", "save_dinov3", "save_radio"]

_WHO = "groundplane.testing"
_SHAPE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
_NET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def save_clip(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny CLIP: pictures of 32 by 32 in patches of 8, texts of 24 tokens.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=_WHO, extra="clip")
    tokens, merges = byte_pairs(end="</w>")
    # The text's state is read at its highest id, so the end of a text must be the last token.
    vocabulary = {t: i for i, t in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    end = vocabulary["<|endoftext|>"]
    text = library.CLIPTextConfig(
        **(_SHAPE | {"num_hidden_layers": 1}),
        vocab_size=len(vocabulary),
        intermediate_size=48,
        max_position_embeddings=24,
        pad_token_id=end,
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=end,
        projection_dim=24,
    )
    vision = library.CLIPVisionConfig(
        **_SHAPE, intermediate_size=48, image_size=32, patch_size=8, projection_dim=24
    )
    config = library.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    model = make_model(library.CLIPModel, config, seed)
    tokenizer = library.CLIPTokenizer(
        vocab=vocabulary, merges=merges, pad_token="<|endoftext|>", model_max_length=24
    )
    place = save_checkpoint(folder, model, tokenizer)
    _save_pixels(place, 32, _CLIP)
    return place


def save_dinov2(folder: str | Path, *, seed: int = 0, registers: int = 0) -> Path:
    """Save a tiny DINOv2: pictures of 56 by 56 in patches of 14; see `save_clip`.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.
        registers: With any, the class of the checkpoints with registers.
    """
    library = need_library("transformers", who=_WHO, extra="dinov2")
    shape = {**_SHAPE, "image_size": 56, "patch_size": 14}
    if registers:
        config = library.Dinov2WithRegistersConfig(**shape, num_register_tokens=registers)
        return _save(folder, library.Dinov2WithRegistersModel, config, seed, _NET)
    return _save(folder, library.Dinov2Model, library.Dinov2Config(**shape), seed, _NET)


def save_dinov3(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny DINOv3: pictures of 64 by 64 in patches of 16, 4 registers; see `save_clip`."""
    library = need_library("transformers", who=_WHO, extra="dinov3")
    config = library.DINOv3ViTConfig(
        **_SHAPE, intermediate_size=64, image_size=64, patch_size=16, num_register_tokens=4
    )
    return _save(folder, library.DINOv3ViTModel, config, seed, _NET)


def save_radio(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny RADIO: pictures of 64 by 64 in patches of 16; see `save_clip`."""
    library = need_library("transformers", who=_WHO, extra="radio")
    config = library.RadioConfig(**_SHAPE, image_size=64, patch_size=16, max_img_size=128)
    return _save(folder, library.RadioModel, config, seed, ((0.0,) * 3, (1.0,) * 3))


def save_blip2(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny vision part of BLIP-2, which is EVA-CLIP's network; see `save_clip`."""
    library = need_library("transformers", who=_WHO, extra="eva-clip")
    config = library.Blip2VisionConfig(**_SHAPE, intermediate_size=64, image_size=56, patch_size=14)
    return _save(folder, library.Blip2VisionModel, config, seed, _CLIP)


def _save(
    folder: str | Path, kind: Any, config: Any, seed: int, colours: Sequence[Sequence[float]]
) -> Path:
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    model = make_model(kind, config, seed)
    _fill_tables(model, seed)
    with contextlib.redirect_stderr(io.StringIO()):  # the progress bar of one small file
        model.save_pretrained(str(place))
    _save_pixels(place, config.image_size, colours)
    return place


def _fill_tables(model: nn.Module, seed: int) -> None:
    """Tokens and positions are tables: as matrices they would be drawn too small or too large."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "token" in name or "position_embedding" in name or "class_embedding" in name:
                weight.normal_(std=0.5, generator=generator)


def _save_pixels(folder: Path, side: int, colours: Sequence[Sequence[float]]) -> None:
    mean, std = colours
    told = {"image_mean": list(mean), "image_std": list(std), "resample": 3}
    told |= {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
