"""A mixture-of-features model from a language model and encoders."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from groundplane.core.checkpoints import check_folder
from groundplane.core.errors import InputError, listing
from groundplane.core.features import Encoder, View
from groundplane.core.fusion.making import fusion_to_json, make_fusion
from groundplane.core.fusion.operator import FusionRule
from groundplane.core.towers.tower import Tower
from groundplane.core.weights import default_dtype, load_model, load_processor
from groundplane.mof.configuration import MofConfig, view_to_json
from groundplane.mof.modeling import MofForConditionalGeneration
from groundplane.mof.owning import convert_weights, own_towers
from groundplane.mof.processing import IMAGE_TOKEN, MofProcessor

__all__ = ["build_mof", "shared_view"]

_WHO = "mof"


def build_mof(
    language_model: str | Path | PreTrainedModel,
    encoders: Sequence[Encoder | Tower],
    rule: FusionRule | None = None,
    *,
    tokenizer: Any = None,
    view: View | None = None,
    seed: int | None = 0,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> tuple[MofForConditionalGeneration, MofProcessor]:
    """Put a language model, encoders and a new fusion together.

    Args:
        language_model: A folder of a causal one of transformers, with its tokenizer, or one that
            is loaded; it is used as it is, not copied.
        encoders: Encoder plugins, or their towers, in the order of fusion. Their weights are
            shared where they are of the device and the number type, and copied otherwise.
        rule: How they are fused; None: interleaved, with `mlp2x_gelu` adapters.
        tokenizer: Of a loaded language model. `<image>` is added where it has none.
        view: What all towers see; None: what the encoders have in common.
        seed: Of the fusion's weights.
        device: Where the model is put.
        dtype: Its number type; None: float32 on a CPU, bfloat16 on CUDA.

    Returns:
        The model, whose adapters still have to be trained, and its processor.

    Raises:
        InputError: If an encoder has no tower, two see unequal crops, or there is no tokenizer.
        WeightsError: If the folder is refused.
    """
    found = [_tower(encoder, index) for index, encoder in enumerate(encoders)]
    seen = view or shared_view(encoders)
    kind = default_dtype(device, dtype)
    towers = own_towers(found, device=device, dtype=kind)
    if not isinstance(language_model, PreTrainedModel):
        folder = Path(language_model)
        tokenizer = tokenizer or load_processor(AutoTokenizer, folder, who=_WHO)
        text: Any = _loaded(folder, dtype=kind)
    else:
        text = language_model
    if tokenizer is None:
        raise InputError(f"{_WHO}: expected the tokenizer of the language model, got none")
    rule = rule or FusionRule()
    if IMAGE_TOKEN not in tokenizer.get_vocab():
        tokenizer.add_tokens([IMAGE_TOKEN], special_tokens=True)
    config = MofConfig(
        text_config=copy.deepcopy(text.config),
        towers=MofConfig.towers_to_json(tuple(tower.config for tower in towers)),
        fusion=fusion_to_json(rule),
        view=view_to_json(seen),
        image_token_id=tokenizer.get_vocab()[IMAGE_TOKEN],
    )
    model = MofForConditionalGeneration(config, towers=towers, language_model=text)
    if seed is not None:
        shapes = [tower.shape for tower in towers]
        model.fusion = make_fusion(rule, shapes, model.report.width, seed=seed)
    convert_weights(model, dtype=kind)
    nn.Module.to(model, device=device)
    tokens = model.report.tokens
    return model, MofProcessor(tokenizer, view=seen, tokens=tokens)


def shared_view(encoders: Sequence[Encoder | Tower]) -> View:
    """What encoders see of a picture in common, at the largest of their sizes.

    Raises:
        InputError: If two see unequal crops: cell i of one would not be cell i of the other.
    """
    views: dict[str, View] = {
        f"{index} ({_tower(encoder, index).shape.name})": _view(encoder, index)
        for index, encoder in enumerate(encoders)
        if not isinstance(encoder, Tower)
    }
    sizes = [encoder.config.size for encoder in encoders if isinstance(encoder, Tower)]
    if not views:
        return View(size=max(sizes, default=View().size))
    first, *others = views.items()
    for name, other in others:
        if replace(other, size=first[1].size) != first[1]:
            raise InputError(
                f"{_WHO}: unequal crops: encoder {first[0]} sees {first[1]}, encoder {name} sees "
                f"{other}; load both with the same fit, or give one view to all"
            )
    return replace(first[1], size=max([*sizes, *(view.size for view in views.values())]))


def _tower(encoder: object, index: int) -> Tower:
    tower = encoder if isinstance(encoder, Tower) else getattr(encoder, "tower", None)
    if not isinstance(tower, Tower):
        raise InputError(
            f"{_WHO}: encoder {index} ({type(encoder).__name__}) has no tower to be part of a "
            f"model; expected one such as {listing(['clip', 'dinov2', 'siglip'])}"
        )
    return tower


def _view(encoder: object, index: int) -> View:
    view = getattr(encoder, "view", None)
    if not isinstance(view, View):
        raise InputError(
            f"{_WHO}: encoder {index} ({type(encoder).__name__}) does not say what of a picture it "
            "sees; give the view of all"
        )
    return view


def _loaded(folder: Path, *, dtype: torch.dtype) -> Any:
    """A language model, strictly: of the class that its configuration names."""
    check_folder(folder, who=_WHO)
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    found = AutoModelForCausalLM._model_mapping.get(type(config), None)
    if found is None:
        raise InputError(
            f"{_WHO}: {folder}: expected a causal language model, got {config.model_type!r}"
        )
    model = load_model(found, folder, who=_WHO, dtype=dtype)
    return model.requires_grad_(True)
