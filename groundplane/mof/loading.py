"""A saved mixture-of-features model with its processor, its towers inside or beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from groundplane.core.checkpoints import check_folder, read_settings
from groundplane.core.errors import WeightsError, listing
from groundplane.core.towers.building import load_tower, tower_from_json
from groundplane.core.towers.rules import CLIP_MEAN, CLIP_STD, TowerRule
from groundplane.core.towers.tower import Tower, TowerConfig
from groundplane.core.weights import default_dtype, load_model
from groundplane.mof.checking import check_processor
from groundplane.mof.modeling import MofForConditionalGeneration
from groundplane.mof.processing import MofProcessor

__all__ = ["load_mof"]

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_mof(
    folder: Path,
    encoders: Sequence[str | Path] = (),
    *,
    who: str,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
) -> tuple[MofForConditionalGeneration, MofProcessor]:
    """Load a model to be used, and its processor.

    Args:
        folder: Where both were saved.
        encoders: For a checkpoint that leaves its towers out: the folders of the encoders'
            weights, in the order of fusion.
        who: Whose weights they are, for messages.
        device: Where the model is put.
        dtype: Its number type; None: float32 on a CPU, bfloat16 on CUDA.

    Raises:
        WeightsError: If a folder is refused, the towers are other ones than the model was saved
            with, or the processor is another model's.
    """
    towers = _towers(folder, encoders, who=who)
    model = load_model(
        MofForConditionalGeneration,
        folder,
        who=who,
        device=device,
        dtype=default_dtype(device, dtype),
        towers=towers,
    )
    processor = MofProcessor.from_pretrained(folder)
    check_processor(model, processor, folder=folder)
    return model, processor


def _towers(folder: Path, encoders: Sequence[str | Path], *, who: str) -> list[Tower] | None:
    """The towers that a checkpoint leaves out, in the number type that it was saved in."""
    check_folder(folder, who=who)
    path = folder / "config.json"
    told = read_settings(path, who=who) if path.is_file() else {}
    if told.get("tower_weights") != "reference":
        if encoders:
            raise WeightsError(f"{who}: {folder} has its towers inside: leave encoders out")
        return None
    parts = told.get("towers")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise WeightsError(f"{who}: {path}: towers: expected a list of objects, got {parts!r}")
    configs = [tower_from_json(part) for part in parts]
    if len(encoders) != len(configs):
        families = listing([config.family for config in configs], limit=8)
        raise WeightsError(
            f"{who}: {folder} leaves its towers out: expected the folders of {len(configs)} "
            f"encoders ({families}), got {len(encoders)}; give them in this order as the option "
            "encoders, separated by commas, or save the model with tower_weights='inside'"
        )
    kind = _TYPES.get(str(told.get("dtype") or told.get("torch_dtype")), torch.float32)
    return [
        load_tower(config.family, Path(place), _rule(config), who=who, dtype=kind)
        for config, place in zip(configs, encoders, strict=True)
    ]


def _rule(config: TowerConfig) -> TowerRule:
    """What was asked of the encoder's checkpoint to get this tower."""
    shared = (config.mean, config.std) == (CLIP_MEAN, CLIP_STD)
    return TowerRule(
        layer=config.layer,
        final_norm=config.final_norm,
        size=config.size,
        pixels="clip" if shared else "own",
    )
