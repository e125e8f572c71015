"""Vision networks of transformers as towers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundplane.core.errors import InputError, WeightsError, listing
from groundplane.core.towers.positions import position_rule, resample_positions
from groundplane.core.towers.rules import num_blocks
from groundplane.core.towers.tower import Tower, TowerConfig, TowerOutput, TowerShape
from groundplane.core.weights import need_library

__all__ = [
    "ARCHITECTURES",
    "TransformersNetwork",
    "fit_transformers_state",
    "transformers_network",
    "transformers_tower",
]


class Architecture(NamedTuple):
    """Where a class of transformers has its parts.

    Attributes:
        family: The encoder plugin that it belongs to.
        config: Class of its configuration.
        model: Class of the network.
        blocks: Path to its blocks.
        norm: Path to the last norm; empty if it has none.
        positions: Name of the table of position embeddings; empty if it computes them.
        prefix: Rows of that table that stand for no cell.
        summary: `projected`, `pooled`, `class` or `radio`.
    """

    family: str
    config: str
    model: str
    blocks: str
    norm: str
    positions: str = ""
    prefix: int = 1
    summary: str = "class"


# By `model_type` of the vision network.
ARCHITECTURES: dict[str, Architecture] = {
    "clip_vision_model": Architecture(
        "clip",
        "CLIPVisionConfig",
        "CLIPVisionModel",
        "encoder.layers",
        "post_layernorm",
        positions="embeddings.position_embedding.weight",
        summary="projected",
    ),
    "siglip_vision_model": Architecture(
        "siglip",
        "SiglipVisionConfig",
        "SiglipVisionModel",
        "encoder.layers",
        "post_layernorm",
        positions="embeddings.position_embedding.weight",
        prefix=0,
        summary="pooled",
    ),
    "blip_2_vision_model": Architecture(
        "eva-clip",
        "Blip2VisionConfig",
        "Blip2VisionModel",
        "encoder.layers",
        "post_layernorm",
        positions="embeddings.position_embedding",
    ),
    "dinov2": Architecture(
        "dinov2",
        "Dinov2Config",
        "Dinov2Model",
        "encoder.layer",
        "layernorm",
        positions="embeddings.position_embeddings",
    ),
    "dinov2_with_registers": Architecture(
        "dinov2",
        "Dinov2WithRegistersConfig",
        "Dinov2WithRegistersModel",
        "encoder.layer",
        "layernorm",
        positions="embeddings.position_embeddings",
    ),
    "dinov3_vit": Architecture(
        "dinov3", "DINOv3ViTConfig", "DINOv3ViTModel", "model.layer", "norm"
    ),
    "radio": Architecture(
        "radio", "RadioConfig", "RadioModel", "encoder.layer", "", summary="radio"
    ),
}
# What a checkpoint may not set: where code is found, and what is set here.
_NOT_TAKEN = ("auto_map", "architectures", "dtype", "image_size", "model_type", "torch_dtype")
_MOST = {
    "hidden_size": 16_384,
    "image_size": 65_536,
    "intermediate_size": 131_072,
    "max_img_size": 65_536,
    "num_attention_heads": 1_024,
    "num_hidden_layers": 256,
    "num_register_tokens": 1_024,
    "num_registers": 1_024,
    "patch_size": 1_024,
    "projection_dim": 16_384,
}


class TransformersNetwork(nn.Module):
    """A vision network of transformers that gives the output of one block.

    Args:
        model: The network.
        parts: Where its parts are.
        num_blocks: How many blocks the cells pass through.
        final_norm: Whether the last norm is put on them.
        summary: Whether a summary is made too; without it, blocks that the cells do not need
            are not run.
    """

    def __init__(
        self, model: Any, parts: Architecture, *, num_blocks: int, final_norm: bool, summary: bool
    ) -> None:
        super().__init__()
        self.model = model
        self.parts = parts
        self.num_blocks = num_blocks
        self.final_norm = final_norm
        self.summary = summary
        width, made = model.config.hidden_size, getattr(model.config, "projection_dim", 0)
        projects = summary and parts.summary == "projected" and made
        self.projection = nn.Linear(width, made, bias=False) if projects else nn.Identity()
        self.num_prefix = _num_prefix(model.config, parts)
        self.rotation: tuple[str, ...] = ()
        if hasattr(model, "rope_embeddings"):
            self._keep_rotation(model)

    def _keep_rotation(self, model: Any) -> None:
        """The angles of one size, from periods in float32: bfloat16 would spoil them."""
        side = model.config.image_size
        cosines, sines = model.rope_embeddings(torch.zeros(1, 3, side, side))
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)
        self.rotation = ("cosines", "sines")

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> TowerOutput:
        """Features of normalised pixels."""
        blocks = self.model.get_submodule(self.parts.blocks)
        hidden = self._embed(pixels)
        cells = hidden
        more: dict[str, Any] = {}
        if self.rotation:
            more["position_embeddings"] = tuple(getattr(self, name) for name in self.rotation)
        elif self.parts.blocks == "encoder.layers":
            more["attention_mask"] = None
        for index in range(len(blocks) if self.summary else self.num_blocks):
            hidden = blocks[index](hidden, **more)
            if index + 1 == self.num_blocks:
                cells = hidden
        tokens = self._norm(cells) if self.final_norm else cells
        made = self._summary(hidden) if self.summary else None
        return TowerOutput(tokens[:, self.num_prefix :], made)

    def _embed(self, pixels: Tensor) -> Tensor:
        """What enters the first block."""
        embedded: Tensor = self.model.embeddings(pixels)
        if self.parts.family == "clip":
            embedded = self.model.pre_layrnorm(embedded)
        return embedded

    def _norm(self, hidden: Tensor) -> Tensor:
        normed: Tensor = self.model.get_submodule(self.parts.norm)(hidden)
        return normed

    def _summary(self, hidden: Tensor) -> Tensor:
        made: Tensor
        if self.parts.summary == "radio":
            classes = hidden[:, : self.model.config.num_cls_tokens]
            return classes[:, self.model.summary_idxs].flatten(1)
        if self.parts.summary == "pooled":
            made = self.model.head(self._norm(hidden))
            return made
        made = self.projection(self._norm(hidden[:, 0]))
        return made


def transformers_network(config: TowerConfig, *, summary: bool = True) -> TransformersNetwork:
    """Make a network with random weights. Nothing is fetched.

    Args:
        config: Of the library `transformers`; `settings` are those of the network's own
            configuration.
        summary: Whether it gives a summary too.

    Raises:
        WeightsError: If the architecture is unknown or not the family's, or a setting is none of
            its own or out of bounds.
        InputError: If there is no such layer, the size is no multiple of the patch, or there is
            no final norm and one is asked for.
    """
    who = f"encoder {config.family!r}"
    library = need_library("transformers", who=who, extra="features")
    parts = ARCHITECTURES.get(config.architecture)
    if parts is None or parts.family != config.family:
        known = [name for name, one in ARCHITECTURES.items() if one.family == config.family]
        raise WeightsError(
            f"{who}: expected an architecture among {listing(known)}, got {config.architecture!r}"
        )
    made = _configuration(getattr(library, parts.config), config, who=who)
    if config.final_norm and not parts.norm:
        raise InputError(f"{who}: final_norm: {config.architecture} has no final norm")
    count = num_blocks(config.layer, made.num_hidden_layers, who=who)
    try:
        model = getattr(library, parts.model)(made)
    except (ArithmeticError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise WeightsError(f"{who}: transformers cannot make {parts.model}: {said}") from error
    return TransformersNetwork(
        model, parts, num_blocks=count, final_norm=config.final_norm, summary=summary
    )


def transformers_tower(config: TowerConfig, *, summary: bool = True) -> Tower:
    """Make a tower with random weights; see `transformers_network`."""
    network = transformers_network(config, summary=summary)
    settings = network.model.config
    side = config.size // settings.patch_size
    shape = TowerShape(name=config.family, grid=(side, side), width=settings.hidden_size)
    return Tower(network, config, shape=shape, patch=settings.patch_size)


def fit_transformers_state(
    state: Mapping[str, Tensor], network: TransformersNetwork
) -> dict[str, Tensor]:
    """Bring the tensors of a checkpoint to the network's names and size.

    Args:
        state: Tensors by name, of the vision network alone or with its language part, which is
            left out.
        network: Which they are for; only the position embeddings are resampled.

    Raises:
        ShapeError: If the position embeddings are for no square grid.
    """
    fitted: dict[str, Tensor] = {}
    parts = network.parts
    for full, tensor in state.items():
        if full.startswith(_OTHERS) or full.endswith("position_ids"):
            continue
        name = full.removeprefix("vision_model.")
        if name == "visual_projection.weight":
            if isinstance(network.projection, nn.Linear):
                fitted["projection.weight"] = tensor
        elif not name.startswith("input_conditioner."):
            fitted[f"model.{name}"] = tensor
    table = fitted.get(f"model.{parts.positions}")
    if table is not None:
        side = network.model.config.image_size // network.model.config.patch_size
        rule = position_rule(parts.family, registers=network.num_prefix > 1)
        rows = resample_positions(
            table.flatten(0, -2), (side, side), rule=rule, num_prefix=parts.prefix
        )
        fitted[f"model.{parts.positions}"] = rows if table.ndim == 2 else rows[None]
    for name, own in network.model.state_dict().items():
        # The tower normalises; what the network would do is not asked of the checkpoint.
        if name.startswith("input_conditioner."):
            fitted[f"model.{name}"] = own
    return fitted


# Parts of checkpoints that hold more than the vision network.
_OTHERS = ("text_model.", "text_projection.", "logit_", "language_", "qformer.", "query_tokens")


def _configuration(make: Callable[..., Any], config: TowerConfig, *, who: str) -> Any:
    """The library's configuration, of settings that it knows."""
    settings = {k: v for k, v in config.settings.items() if k not in _NOT_TAKEN}
    known = make().to_dict()
    strange = sorted(key for key in settings if key not in known)
    wrong = [
        f"{key}={settings[key]!r}"
        for key, most in _MOST.items()
        if key in settings and not _is_count(settings[key], most)
    ]
    if strange or wrong:
        raise WeightsError(
            f"{who}: settings of {config.architecture} that are not taken: "
            f"{listing([*strange, *wrong], limit=8)}"
        )
    made = make(**settings, image_size=config.size)
    if config.size % made.patch_size:
        raise InputError(
            f"{who}: size: expected a multiple of its patch of {made.patch_size} pixels, got "
            f"{config.size}"
        )
    return made


def _is_count(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _num_prefix(settings: Any, parts: Architecture) -> int:
    """Tokens in front that stand for no cell."""
    if parts.summary == "radio":
        return int(settings.num_summary_tokens)
    return parts.prefix + int(getattr(settings, "num_register_tokens", 0))
