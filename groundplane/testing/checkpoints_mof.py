"""A tiny mixture-of-features model with random weights, for tests."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groundplane.core.features import View
from groundplane.core.fusion.operator import FusionRule
from groundplane.core.towers.building import load_tower
from groundplane.core.towers.rules import TowerRule
from groundplane.core.towers.tower import Tower
from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import byte_pairs, make_model, save_checkpoint
from groundplane.testing.checkpoints_towers import save_clip, save_dinov2

__all__ = ["save_llama", "save_mof", "tiny_towers"]

_WHO = "groundplane.testing"
# The conversations of LLaVA-1.5, in the form of a template; pictures are in the content.
_TEMPLATE = (
    "{% for m in messages %}{{ m['role'].upper() + ': ' + m['content'] + ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def save_llama(folder: str | Path, *, seed: int = 0, **settings: Any) -> Path:
    """Save a tiny Llama with a byte-level tokenizer: 2 layers of width 32.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.
        **settings: Of its configuration, instead of these.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=_WHO, extra="mof")
    tokens, merges = byte_pairs(start="Ġ")
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<s>", "</s>", *tokens])}
    tokenizer = library.GPT2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        unk_token="<pad>",
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
    )
    tokenizer.chat_template = _TEMPLATE
    shape = {
        "vocab_size": len(vocabulary),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    config = library.LlamaConfig(**(shape | settings))
    return save_checkpoint(folder, make_model(library.LlamaForCausalLM, config, seed), tokenizer)


def tiny_towers(*, seed: int = 0) -> tuple[Tower, Tower]:
    """Towers of a tiny CLIP and a tiny DINOv2, of 4 by 4 cells each."""
    with tempfile.TemporaryDirectory() as place:
        clip = save_clip(Path(place) / "clip", seed=seed)
        dino = save_dinov2(Path(place) / "dinov2", seed=seed + 1)
        return (
            load_tower("clip", clip, TowerRule(), who=_WHO),
            load_tower("dinov2", dino, TowerRule(), who=_WHO),
        )


def save_mof(
    folder: str | Path,
    *,
    seed: int = 0,
    rule: FusionRule | None = None,
    towers: Sequence[Tower] | None = None,
) -> Path:
    """Save a tiny mixture-of-features model with its processor.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.
        rule: Of the fusion; None: interleaved.
        towers: None: those of `tiny_towers`.

    Returns:
        The folder.
    """
    from groundplane.mof.building import build_mof

    with tempfile.TemporaryDirectory() as place:
        llama = save_llama(Path(place) / "llama", seed=seed)
        model, processor = build_mof(
            llama,
            list(towers or tiny_towers(seed=seed)),
            rule,
            view=View(size=56, fit="pad"),
            seed=seed,
        )
    where = Path(folder)
    with contextlib.redirect_stderr(io.StringIO()):  # the progress bar of one small file
        model.save_pretrained(str(where))
    processor.save_pretrained(where)
    return where
