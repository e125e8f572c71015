"""Vision transformers of transformers as towers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundplane.core.errors import InputError
from groundplane.core.towers.positions import position_rule, resample_positions
from groundplane.core.towers.rules import num_blocks
from groundplane.core.towers.tower import Tower, TowerConfig, TowerOutput, TowerShape
from groundplane.core.towers.transformers_settings import check_size, make_transformers

__all__ = ["TransformersNetwork", "transformers_tower", "wrap_transformers"]


class TransformersNetwork(nn.Module):
    """A vision transformer of transformers that gives the output of one block.

    Args:
        model: A network of `KINDS`.
        architecture: Its `model_type`.
        num_blocks: How many blocks the cells pass through.
        final_norm: Whether the model's last norm is put on them.
        summary: Whether a summary is given too; without it only the blocks that the cells need
            are computed.
    """

    def __init__(
        self,
        model: nn.Module,
        architecture: str,
        *,
        num_blocks: int,
        final_norm: bool,
        summary: bool,
    ) -> None:
        super().__init__()
        self.model = model
        self.architecture = architecture
        self.num_blocks = num_blocks
        self.final_norm = final_norm
        self.summary = summary

    def lean(self) -> TransformersNetwork:
        """The same modules, without a summary."""
        return TransformersNetwork(
            self.model,
            self.architecture,
            num_blocks=self.num_blocks,
            final_norm=self.final_norm,
            summary=False,
        )

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> TowerOutput:
        """Features of normalised pixels."""
        model: Any = self.model
        parts = _PARTS[self.architecture]
        hidden = parts.embed(model, pixels)
        more = parts.more(model, pixels)
        cells = hidden
        for index, block in enumerate(model.get_submodule(parts.blocks)):
            if index >= self.num_blocks and not self.summary:
                break
            hidden = block(hidden, **more)
            if index + 1 == self.num_blocks:
                cells = hidden
        if self.final_norm:
            cells = model.get_submodule(parts.norm)(cells)
        made = parts.summarise(model, hidden) if self.summary else None
        return TowerOutput(cells[:, parts.num_prefix(model) :], made)


class _Parts(NamedTuple):
    """Where a kind of network has what every vision transformer has.

    Attributes:
        embed: Normalised pixels to what enters the first block.
        blocks: Path to the blocks.
        norm: Path to the last norm; empty if there is none.
        num_prefix: Tokens in front of the cells.
        summarise: What came out of the last block to a vector a picture, or None.
        more: Further arguments of each block, from the pixels.
    """

    embed: Callable[[Any, Tensor], Tensor]
    blocks: str
    norm: str
    num_prefix: Callable[[Any], int]
    summarise: Callable[[Any, Tensor], Tensor | None]
    more: Callable[[Any, Tensor], dict[str, Any]]


def transformers_tower(config: TowerConfig) -> Tower:
    """Make a tower with random weights, with a summary; nothing is fetched.

    Raises:
        WeightsError, InputError: See `check_transformers`; and if there is no such layer, or a
            final norm is asked for that is not there.
    """
    return wrap_transformers(make_transformers(config), config)


def wrap_transformers(model: Any, config: TowerConfig) -> Tower:
    """Make a tower of a network of transformers.

    Args:
        model: A network of `KINDS`, which is changed: its table of positions is brought to the
            size that is configured, and what towers do not use is taken out.
        config: What it is.

    Raises:
        InputError: If there is no such layer, the size is no multiple of the patch, or the
            network has no final norm and one is asked for.
    """
    who = f"encoder {config.family!r}"
    model = _pruned(model, config.architecture)
    parts = _PARTS[config.architecture]
    if config.final_norm and not parts.norm:
        raise InputError(f"{who}: final_norm: {config.architecture} has no final norm")
    patch = int(str(config.settings.get("patch_size", _config(model).patch_size)))
    check_size(config, patch)
    side = config.size // patch
    _fit_positions(model, config, side)
    depth = len(model.get_submodule(parts.blocks))
    count = num_blocks(config.layer, depth, who=who)
    network = TransformersNetwork(
        model,
        config.architecture,
        num_blocks=count,
        final_norm=config.final_norm,
        summary=True,
    )
    width = int(_config(model).hidden_size)
    shape = TowerShape(name=config.family, grid=(side, side), width=width)
    return Tower(network, config, shape=shape, patch=patch)


def _config(model: Any) -> Any:
    """Of the vision part."""
    return model.config if hasattr(model, "config") else model.vision_model.config


def _pruned(model: Any, architecture: str) -> Any:
    """Without buffers that a tower computes itself or has no use of."""
    if architecture == "clip_vision_model" and not hasattr(model, "vision_model"):
        shell = nn.Module()  # one without a projection is named as one with it
        shell.vision_model = model
        model = shell
    if architecture in ("clip_vision_model", "siglip_vision_model"):
        inner = model.vision_model if hasattr(model, "vision_model") else model
        inner.embeddings.register_buffer("position_ids", None, persistent=False)
    if architecture == "dinov3_vit":
        model.rope_embeddings = nn.Identity()
    if architecture == "radio":
        model.input_conditioner = nn.Identity()
        model.register_buffer("summary_idxs", None, persistent=False)
    return model


def _fit_positions(model: Any, config: TowerConfig, side: int) -> None:
    """Bring the table of positions to a grid; DINOv3 has none."""
    embeddings = (model.vision_model if hasattr(model, "vision_model") else model).embeddings
    found = [
        (owner, name)
        for owner, name in (
            (getattr(embeddings, "position_embedding", None), "weight"),
            (embeddings, "position_embedding"),
            (embeddings, "position_embeddings"),
        )
        if isinstance(getattr(owner, name, None), Tensor)
    ]
    for owner, name in found[:1]:
        table = getattr(owner, name)
        rule = position_rule(config.family, registers=hasattr(embeddings, "register_tokens"))
        rows = table if table.ndim == 2 else table[0]
        num_prefix = int(_has_class_row(config.architecture))
        new = resample_positions(rows.detach(), (side, side), rule=rule, num_prefix=num_prefix)
        if new.shape != rows.shape:
            new = new if table.ndim == 2 else new[None]
            setattr(owner, name, nn.Parameter(new, requires_grad=False))


def _has_class_row(architecture: str) -> bool:
    """Whether the table has a row for the class token."""
    return architecture not in ("siglip_vision_model", "radio")


def _embed_clip(model: Any, pixels: Tensor) -> Tensor:
    vision, inner = model.vision_model, model.vision_model.embeddings
    cells = inner.patch_embedding(pixels).flatten(2).transpose(1, 2)
    front = inner.class_embedding.expand(len(cells), 1, -1)
    whole = torch.cat([front, cells], dim=1) + inner.position_embedding.weight
    made: Tensor = vision.pre_layrnorm(whole)
    return made


def _summarise_clip(model: Any, hidden: Tensor) -> Tensor:
    made: Tensor = model.vision_model.post_layernorm(hidden[:, 0])
    if hasattr(model, "visual_projection"):
        made = model.visual_projection(made)
    return made


def _embed_siglip(model: Any, pixels: Tensor) -> Tensor:
    inner = model.embeddings
    cells: Tensor = inner.patch_embedding(pixels).flatten(2).transpose(1, 2)
    positions: Tensor = inner.position_embedding.weight
    return cells + positions


def _summarise_siglip(model: Any, hidden: Tensor) -> Tensor | None:
    if not model.use_head:
        return None
    made: Tensor = model.head(model.post_layernorm(hidden))
    return made


def _embed_blip2(model: Any, pixels: Tensor) -> Tensor:
    inner = model.embeddings
    cells = inner.patch_embedding(pixels).flatten(2).transpose(1, 2)
    front = inner.class_embedding.expand(len(cells), -1, -1)
    positions: Tensor = inner.position_embedding
    return torch.cat([front, cells], dim=1) + positions


def _summarise_blip2(model: Any, hidden: Tensor) -> Tensor:
    made: Tensor = model.post_layernorm(hidden[:, 0])
    return made


def _embed_dinov2(model: Any, pixels: Tensor) -> Tensor:
    inner = model.embeddings
    cells = inner.patch_embeddings.projection(pixels).flatten(2).transpose(1, 2)
    front = inner.cls_token.expand(len(cells), -1, -1)
    positions: Tensor = inner.position_embeddings
    whole = torch.cat([front, cells], dim=1) + positions
    if not hasattr(inner, "register_tokens"):
        return whole
    between = inner.register_tokens.expand(len(cells), -1, -1)
    return torch.cat([whole[:, :1], between, whole[:, 1:]], dim=1)


def _summarise_dinov2(model: Any, hidden: Tensor) -> Tensor:
    made: Tensor = model.layernorm(hidden[:, 0])
    return made


def _embed_dinov3(model: Any, pixels: Tensor) -> Tensor:
    inner = model.embeddings
    cells = inner.patch_embeddings(pixels).flatten(2).transpose(1, 2)
    front = [inner.cls_token, inner.register_tokens]
    return torch.cat([*(t.expand(len(cells), -1, -1) for t in front), cells], dim=1)


def _summarise_dinov3(model: Any, hidden: Tensor) -> Tensor:
    made: Tensor = model.norm(hidden[:, 0])
    return made


def _turned(model: Any, pixels: Tensor) -> dict[str, Any]:
    """Cosines and sines by which DINOv3 turns queries and keys of the cells.

    In float32, whatever the network runs in; so it is after a conversion to bfloat16 too.

    Source: facebookresearch/dinov3, `RopePositionEmbedding` (middles of cells in -1 to 1).
    """
    config, device = model.config, pixels.device
    side = pixels.shape[-1] // config.patch_size
    head = config.hidden_size // config.num_attention_heads
    steps = torch.arange(0, 1, 4 / head, dtype=torch.float32, device=device)
    middles = torch.arange(0.5, side, dtype=torch.float32, device=device) / side
    y, x = torch.meshgrid(middles, middles, indexing="ij")
    places = 2 * torch.stack([y, x], dim=-1).flatten(0, 1) - 1
    angles = (2 * torch.pi * places[:, :, None] / config.rope_theta**steps).flatten(1, 2).tile(2)
    return {"position_embeddings": (angles.cos().to(pixels.dtype), angles.sin().to(pixels.dtype))}


def _embed_radio(model: Any, pixels: Tensor) -> Tensor:
    inner, patch = model.embeddings, model.config.patch_size
    flat = nn.functional.unfold(pixels, patch, stride=patch).transpose(1, 2)
    cells = inner.patch_projection(flat) + inner.position_embedding
    front = inner.cls_register_token[None].expand(len(cells), -1, -1)
    return torch.cat([front, cells], dim=1)


def _summarise_radio(model: Any, hidden: Tensor) -> Tensor:
    return torch.cat([hidden[:, index] for index in model.config.summary_idxs], dim=1)


def _unmasked(_: Any, __: Tensor) -> dict[str, Any]:
    return {"attention_mask": None}


def _no_more(_: Any, __: Tensor) -> dict[str, Any]:
    return {}


def _none(_: Any) -> int:
    return 0


def _class_and_registers(model: Any) -> int:
    registers = getattr(model.embeddings, "register_tokens", None)
    return 1 + (0 if registers is None else int(registers.shape[1]))


def _one(_: Any) -> int:
    return 1


def _classes_and_registers(model: Any) -> int:
    return int(model.embeddings.cls_register_token.shape[0])


_DINOV2 = _Parts(
    _embed_dinov2,
    "encoder.layer",
    "layernorm",
    _class_and_registers,
    _summarise_dinov2,
    _unmasked,
)
_PARTS: dict[str, _Parts] = {
    "clip_vision_model": _Parts(
        _embed_clip,
        "vision_model.encoder.layers",
        "vision_model.post_layernorm",
        _one,
        _summarise_clip,
        _unmasked,
    ),
    "siglip_vision_model": _Parts(
        _embed_siglip, "encoder.layers", "post_layernorm", _none, _summarise_siglip, _unmasked
    ),
    "blip_2_vision_model": _Parts(
        _embed_blip2, "encoder.layers", "post_layernorm", _one, _summarise_blip2, _no_more
    ),
    "dinov2": _DINOV2,
    "dinov2_with_registers": _DINOV2,
    "dinov3_vit": _Parts(
        _embed_dinov3, "model.layer", "norm", _class_and_registers, _summarise_dinov3, _turned
    ),
    "radio": _Parts(
        _embed_radio, "encoder.layer", "", _classes_and_registers, _summarise_radio, _unmasked
    ),
}
