"""Vision transformers of timm as towers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from groundplane.core.errors import InputError, WeightsError
from groundplane.core.towers.positions import position_rule, resample_positions
from groundplane.core.towers.rules import num_blocks
from groundplane.core.towers.timm_settings import check_timm
from groundplane.core.towers.tower import Tower, TowerConfig, TowerOutput, TowerShape
from groundplane.core.weights import need_library

__all__ = ["TimmNetwork", "fit_timm_state", "timm_network", "timm_tower"]

# The class token says how alike two pictures are; in the others the head makes the embedding.
_CLASS_TOKEN = ("dinov2", "dinov3", "radio")


class TimmNetwork(nn.Module):
    """A vision transformer of timm that gives the output of one block.

    Args:
        model: A `VisionTransformer` or `Eva` of timm.
        num_blocks: How many blocks the cells pass through.
        final_norm: Whether the model's last norm is put on them.
        summary: `class` for the class token after all blocks and the norm, `head` for what the
            model's head makes of them, `none` to save the blocks that the cells do not need.
    """

    def __init__(self, model: Any, *, num_blocks: int, final_norm: bool, summary: str) -> None:
        super().__init__()
        self.model = model
        self.num_blocks = num_blocks
        self.final_norm = final_norm
        self.summary = summary

    def lean(self) -> TimmNetwork:
        """The same modules, without a summary."""
        return TimmNetwork(
            self.model, num_blocks=self.num_blocks, final_norm=self.final_norm, summary="none"
        )

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> TowerOutput:
        """Features of normalised pixels."""
        model, depth = self.model, len(self.model.blocks)
        hidden, rotation = self._embed(pixels)
        cells = hidden
        for index in range(self.num_blocks if self.summary == "none" else depth):
            if rotation is None:
                hidden = model.blocks[index](hidden)
            else:
                hidden = model.blocks[index](hidden, rope=rotation)
            if index + 1 == self.num_blocks:
                cells = hidden
        tokens = model.norm(cells) if self.final_norm else cells
        return TowerOutput(tokens[:, model.num_prefix_tokens :], self._summary(hidden))

    def _embed(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """What enters the first block, and the rotation of the attention, if it has one."""
        embedded = self.model._pos_embed(self.model.patch_embed(pixels))
        hidden, rotation = embedded if isinstance(embedded, tuple) else (embedded, None)
        return self.model.norm_pre(hidden), rotation

    def _summary(self, hidden: Tensor) -> Tensor | None:
        if self.summary == "none":
            return None
        normed = self.model.norm(hidden)
        made: Tensor = normed[:, 0] if self.summary == "class" else self.model.forward_head(normed)
        return made


def timm_network(config: TowerConfig, *, summary: bool = True) -> TimmNetwork:
    """Make a network with random weights. Nothing is fetched.

    Args:
        config: Of the library `timm`; `settings` are arguments of the architecture.
        summary: Whether it gives a summary too.

    Raises:
        WeightsError: If the architecture is unknown, is not one of the family, or a setting is
            not one that a checkpoint may make.
        InputError: If there is no such layer, the size is no multiple of the patch, or the
            architecture has no final norm and one is asked for.
    """
    who = f"encoder {config.family!r}"
    library = need_library("timm", who=who, extra="features")
    check_timm(config)
    settings = {**config.settings, "img_size": config.size}
    # With one size the angles of rotations are kept, computed in float32; else they would be
    # computed anew from what a conversion to bfloat16 has left of the periods.
    settings["dynamic_img_size"] = False
    try:
        model = library.create_model(config.architecture, pretrained=False, **settings)
    except (AssertionError, ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"{who}: timm cannot make {config.architecture} of these settings: {said}"
        ) from error
    if config.final_norm and isinstance(model.norm, nn.Identity):
        raise InputError(f"{who}: final_norm: {config.architecture} has no final norm")
    kind = "class" if config.family in _CLASS_TOKEN else "head"
    return TimmNetwork(
        model,
        num_blocks=num_blocks(config.layer, len(model.blocks), who=who),
        final_norm=config.final_norm,
        summary=kind if summary else "none",
    )


def timm_tower(config: TowerConfig, *, summary: bool = True) -> Tower:
    """Make a tower with random weights; see `timm_network`."""
    network = timm_network(config, summary=summary)
    model = network.model
    rows, columns = model.patch_embed.grid_size
    shape = TowerShape(name=config.family, grid=(rows, columns), width=model.embed_dim)
    return Tower(network, config, shape=shape, patch=model.patch_embed.patch_size[0])


def fit_timm_state(
    state: Mapping[str, Tensor], network: TimmNetwork, *, family: str
) -> dict[str, Tensor]:
    """Bring the tensors of a timm checkpoint to the network's size and names.

    Args:
        state: Tensors by name, as timm saves them.
        network: Which they are for; only the position embeddings are resampled.
        family: Name of the encoder plugin; see `position_rule`.

    Raises:
        ShapeError: If the position embeddings are for no square grid.
    """
    model = network.model
    fitted = {f"model.{name}": tensor for name, tensor in state.items()}
    table = state.get("pos_embed")
    if table is not None and table.ndim == 3 and model.pos_embed is not None:
        num_prefix = 0 if model.no_embed_class else model.num_prefix_tokens
        rule = position_rule(family, registers=model.reg_token is not None)
        rows = resample_positions(
            table[0], model.patch_embed.grid_size, rule=rule, num_prefix=num_prefix
        )
        fitted["model.pos_embed"] = rows[None]
    return fitted
