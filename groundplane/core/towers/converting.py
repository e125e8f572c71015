"""The same weights under the names of timm and under those of transformers.

Names are those of the modules in memory (`state_dict`): of timm's model, and of
`CLIPVisionModelWithProjection`, `CLIPVisionModel`, `SiglipVisionModel`, `Blip2VisionModel`,
`Dinov2Model`, `Dinov2WithRegistersModel`, `DINOv3ViTModel` and `RadioModel`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isqrt

import torch
from torch import Tensor

from groundplane.core.errors import WeightsError, listing
from groundplane.core.towers.tower_names import GATED, TABLES, Names

__all__ = ["timm_from_transformers", "transformers_from_timm"]

_POSITIONS = "embeddings.position_embeddings"


def timm_from_transformers(state: Mapping[str, Tensor], family: str) -> dict[str, Tensor]:
    """Tensors of transformers' network, by timm's names.

    Args:
        state: Tensors by name; `vision_model.` in front of a name is taken off.
        family: Name of the encoder plugin, such as `clip`.

    Returns:
        New names, and tensors that share memory with those given where they are the same. Of
        DINOv3 the queries and values have biases: the architecture is one of timm's `_qkvb`.

    Raises:
        WeightsError: If the family has no table, or a tensor is missing from a pair, is one that
            the family does not have, or has a shape that cannot be taken apart.
    """
    who = f"weights of {family!r}"
    left = {name.removeprefix("vision_model."): tensor for name, tensor in state.items()}
    for name in [name for name in left if name.endswith("mask_token")]:
        del left[name]  # of the training alone
    if family == "radio":
        _take_radio_apart(left)
    if {"embeddings.register_tokens", _POSITIONS, "embeddings.cls_token"} <= left.keys():
        # timm adds positions to cells alone; the class token's is a part of the token.
        table = left[_POSITIONS]
        left["embeddings.cls_token"] = left["embeddings.cls_token"] + table[:, :1]
        left[_POSITIONS] = table[:, 1:]
    gated = any(".gate_proj." in name for name in left)
    found = _moved(left, _rules(family, gated=gated), to_timm=True, who=who)
    if "head.weight" in found:
        weight = found["head.weight"]
        found["head.bias"] = weight.new_zeros(weight.shape[0])
    return found


def transformers_from_timm(state: Mapping[str, Tensor], family: str) -> dict[str, Tensor]:
    """Tensors of timm's network, by transformers' names; see `timm_from_transformers`.

    Raises:
        WeightsError: As there; and if CLIP's projection has a bias other than 0, which
            transformers' has not, or the family is `radio`, whose other tensors timm has not.
    """
    who = f"weights of {family!r}"
    left = dict(state)
    if family == "radio":
        raise WeightsError(f"{who}: timm's lack what transformers' network needs beside them")
    bias = left.pop("head.bias", None)
    if bias is not None and bool(bias.any()):
        raise WeightsError(f"{who}: head.bias: expected zeros, which need no place, got others")
    if "reg_token" in left and "pos_embed" in left:
        table = left["pos_embed"]
        left["pos_embed"] = torch.cat([torch.zeros_like(table[:, :1]), table], dim=1)
    token = left.get("cls_token")
    found = _moved(left, _rules(family, gated=_is_gated(left)), to_timm=False, who=who)
    if token is not None and family in ("dinov2", "dinov3"):
        mask = torch.zeros_like(token)
        found["embeddings.mask_token"] = mask[0] if family == "dinov2" else mask
    if "visual_projection.weight" in found:
        projection = found.pop("visual_projection.weight")
        found = {f"vision_model.{name}": tensor for name, tensor in found.items()}
        found["visual_projection.weight"] = projection
    return found


def _rules(family: str, *, gated: bool) -> list[Names]:
    if family not in TABLES:
        raise WeightsError(
            f"weights of {family!r}: expected a family that both timm and transformers have, "
            f"{listing(TABLES)}"
        )
    return TABLES[family] + GATED.get((family, gated), [])


def _is_gated(state: Mapping[str, Tensor]) -> bool:
    """Whether timm's blocks have a gate: a map of its own, or half of the first map's rows."""
    if "blocks.0.mlp.fc1_g.weight" in state:
        return True
    first, last = state.get("blocks.0.mlp.fc1.bias"), state.get("blocks.0.mlp.fc2.weight")
    return first is not None and last is not None and first.shape[0] == 2 * last.shape[-1]


def _take_radio_apart(left: dict[str, Tensor]) -> None:
    """RADIO's patches are flattened pixels, its tokens in front are one tensor."""
    for name in [n for n in left if n.startswith(("input_conditioner.", "summary_idxs"))]:
        del left[name]  # pixels are normalised, and the summary chosen, outside of the network
    rows = left.pop("embeddings.patch_projection.weight", None)
    tokens = left.pop("embeddings.cls_register_token", None)
    if rows is None or tokens is None:
        raise WeightsError("weights of 'radio': patch_projection or cls_register_token is missing")
    side = isqrt(rows.shape[1] // 3)
    left["patch_projection.weight"] = rows.reshape(rows.shape[0], 3, side, side)
    left["patch_projection.bias"] = rows.new_zeros(rows.shape[0])
    # One class token a teacher, then registers; timm calls all but the first registers.
    left["cls_token"], left["reg_token"] = tokens[None, :1], tokens[None, 1:]


def _moved(
    left: dict[str, Tensor], rules: Sequence[Names], *, to_timm: bool, who: str
) -> dict[str, Tensor]:
    """Apply the rules to all blocks; every tensor must be used up."""
    numbers = (re.search(r"(?:blocks|layers?)\.(\d+)\.", name) for name in left)
    blocks = sorted({found.group(1) for found in numbers if found})
    found: dict[str, Tensor] = {}
    for rule in rules:
        for block in blocks if "#" in rule.timm[0] else [""]:
            timm, theirs = ([n.replace("#", block) for n in side] for side in rule[:2])
            sources, targets = (theirs, timm) if to_timm else (timm, theirs)
            if all(name in left for name in sources if name):
                joined = _join([left.pop(name) if name else None for name in sources])
                if to_timm:
                    joined = joined[(None,) * rule.drop]
                elif rule.drop and joined.shape[: rule.drop] == (1,) * rule.drop:
                    joined = joined[(0,) * rule.drop]
                elif rule.drop:
                    raise WeightsError(
                        f"{who}: {timm[0]}: expected leading axes of length 1, got a shape of "
                        f"{tuple(joined.shape)}"
                    )
                shares = rule.shares if to_timm and rule.shares else (1,) * len(targets)
                found |= _split(joined, dict(zip(targets, shares, strict=True)), who=who)
    if left:
        raise WeightsError(
            f"{who}: tensors that have no place, or lack their fellows: "
            f"{listing(sorted(left), limit=8)}"
        )
    return found


def _join(tensors: Sequence[Tensor | None]) -> Tensor:
    """One below the other; zeros for those that are none."""
    if len(tensors) == 1 and tensors[0] is not None:
        return tensors[0]
    like = next(tensor for tensor in tensors if tensor is not None)
    return torch.cat([torch.zeros_like(like) if t is None else t for t in tensors])


def _split(joined: Tensor, shares: Mapping[str, int], *, who: str) -> dict[str, Tensor]:
    """Take rows apart by their shares; those without a name are dropped."""
    if len(shares) == 1:
        return dict.fromkeys(shares, joined)
    whole = sum(shares.values())
    rows = joined.shape[0] if joined.ndim else 0
    if rows % whole:
        raise WeightsError(
            f"{who}: expected a number of rows that {whole} parts share, {listing(shares)}, got "
            f"a shape of {tuple(joined.shape)}"
        )
    parts = torch.split(joined, [rows // whole * share for share in shares.values()])
    return {name: part.clone() for name, part in zip(shares, parts, strict=True) if name}
