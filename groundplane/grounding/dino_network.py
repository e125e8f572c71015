"""The network of Grounding DINO, cut where the prompt comes in, and with faster attention.

It knows the modules by what they have and take, not by a version of the library that they come
from, and changes them in one instance only.

Source: Liu et al., Grounding DINO, 2023, section 3: image and text are encoded apart, then fused.
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

from groundplane.core.errors import PluginBrokenError
from groundplane.grounding.deformable import deformable_attention
from groundplane.grounding.fusion import FusionWeights, fuse_image_and_text

__all__ = ["DinoNetwork", "accelerate"]

_log = logging.getLogger(__name__)


class DinoNetwork:
    """The model, cut where the prompt comes in: first the picture, then picture and prompt.

    The model's own `forward` is run for the second part. Its image encoder is replaced by one
    that gives the feature maps made before, its text encoder by one that reads the prompt once
    for all pictures of a batch.
    """

    def __init__(self, model: Any, *, dtype: torch.dtype, who: str) -> None:
        inner: Any = getattr(model, "model", None)
        backbone: Any = getattr(inner, "backbone", None)
        reader: Any = getattr(inner, "text_backbone", None)
        fits = (
            isinstance(backbone, nn.Module)
            and isinstance(reader, nn.Module)
            and _takes(backbone, "pixel_values", "pixel_mask")
            and isinstance(getattr(backbone, "position_embedding", None), nn.Module)
        )
        if not fits:
            raise PluginBrokenError(
                f"{who}: this version of transformers lays {type(model).__name__} out unlike any "
                "that is known: expected an image encoder `model.backbone` and a text encoder "
                "`model.text_backbone`. Try: pip install 'transformers>=5,<6'"
            )
        self._lock = threading.Lock()
        self._model, self._dtype = model, dtype
        self.queries: int = model.config.num_queries
        self._levels: int = model.config.num_feature_levels
        if not accelerate(model):
            _log.warning("%s: no attention layer is one that is known to be faster", who)
        if dtype != torch.float32:
            # Weights of products are kept in the number type that the products are made in.
            for layer in model.modules():
                if isinstance(layer, nn.Linear | nn.Conv2d):
                    layer.to(dtype)
        self._backbone = backbone
        inner.backbone, inner.text_backbone = _Given(backbone), _ReadOnce(reader)

    def cells(self, canvas: tuple[int, int]) -> int:
        """Cells of all levels: of 8 pixels a side on the first, twice that on each next one."""
        steps = [8 << level for level in range(self._levels)]
        return sum(-(-canvas[0] // step) * -(-canvas[1] // step) for step in steps)

    def encode(self, values: Float[Tensor, "b 3 h w"], mask: Bool[Tensor, "b h w"]) -> list[Tensor]:
        """The feature maps of the image encoder."""
        with self._lock, self._numbers():
            pairs = self._backbone(values, mask.long())[0]
        return [features for features, _ in pairs]

    def read(
        self, features: Sequence[Tensor], mask: Bool[Tensor, "b h w"], ids: Sequence[int]
    ) -> tuple[Float[Tensor, "b q t"], Float[Tensor, "b q 4"]]:
        """Logits and boxes of encoded pictures for one prompt."""
        prompt = torch.tensor(ids, device=mask.device).expand(len(mask), -1)
        # The model looks only at the size of the pixels: they have been encoded before.
        stand_in = torch.zeros((), device=mask.device).expand(len(mask), 3, *mask.shape[1:])
        with self._lock, self._numbers():
            self._model.model.backbone.features = features
            try:
                out = self._model(pixel_values=stand_in, input_ids=prompt, pixel_mask=mask.long())
            finally:
                self._model.model.backbone.features = None
        return out.logits.float(), out.pred_boxes.float()

    def _numbers(self) -> AbstractContextManager[Any]:
        """Products in the stated number type, all else in float32."""
        if self._dtype == torch.float32:
            return nullcontext()
        device = next(self._model.parameters()).device
        return torch.autocast(device.type, dtype=self._dtype)


class _Given(nn.Module):
    """Stands for the image encoder and gives the feature maps that it was handed."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.position_embedding = backbone.position_embedding
        self.features: Sequence[Tensor] | None = None

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor) -> tuple[list[Any], list[Tensor]]:
        assert self.features is not None
        pairs, places = [], []
        for features in self.features:
            shape = features.shape[-2:]
            mask = interpolate(pixel_mask[None].float(), size=shape)[0].to(torch.bool)
            pairs.append((features, mask))
            places.append(self.position_embedding(features, mask).to(features.dtype))
        return pairs, places


class _ReadOnce(nn.Module):
    """Reads the prompt of the first row; all rows of a batch have the same."""

    def __init__(self, reader: nn.Module) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, *tensors: Any, **settings: Any) -> SimpleNamespace:
        rows = len(tensors[0])
        first = [t[:1] if isinstance(t, Tensor) else t for t in tensors]
        state: Tensor = self.reader(*first, **settings)[0]
        return SimpleNamespace(last_hidden_state=state.expand(rows, -1, -1))


class _Deformable(nn.Module):
    """Multi-scale deformable attention with the projections of another module."""

    def __init__(self, old: Any) -> None:
        super().__init__()
        self.sampling_offsets, self.attention_weights = old.sampling_offsets, old.attention_weights
        self.value_proj, self.output_proj = old.value_proj, old.output_proj
        self.heads, self.levels, self.points = old.n_heads, old.n_levels, old.n_points

    def forward(  # noqa: PLR0913, PLR0917 - what the layer that it stands for takes
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        position_embeddings: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        spatial_shapes_list: Sequence[tuple[int, int]] = (),
        level_start_index: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """As the module that it replaces; it never waits for the device."""
        assert encoder_hidden_states is not None
        assert reference_points is not None
        if position_embeddings is not None:
            hidden_states = hidden_states + position_embeddings
        batch, queries = hidden_states.shape[:2]
        value = self.value_proj(encoder_hidden_states)
        if attention_mask is not None:
            value = value.masked_fill(~attention_mask[..., None], 0.0)
        value = value.view(batch, value.shape[1], self.heads, -1)
        each = (batch, queries, self.heads, self.levels, self.points)
        offsets = self.sampling_offsets(hidden_states)
        shares = self.attention_weights(hidden_states).view(*each[:3], -1).softmax(3).view(each)
        # b q h l p 2: a reference has a place on each level, or a place and a size.
        places = reference_points[:, :, None, :, None]
        if reference_points.shape[-1] == 2:
            # Offsets are in cells. One long row of factors is many times as fast as many pairs.
            shapes = tuple((int(height), int(width)) for height, width in spatial_shapes_list)
            factors = _per_cell(shapes, self.heads, self.points, places.device)
            locations = places + (offsets * factors.to(places.dtype)).view(*each, 2)
        else:
            sides = places[..., 2:] * (0.5 / self.points)
            locations = places[..., :2] + offsets.view(*each, 2) * sides
        out = deformable_attention(value, spatial_shapes_list, locations, shares)
        return self.output_proj(out), shares


@functools.lru_cache(maxsize=64)
def _per_cell(
    shapes: tuple[tuple[int, int], ...], heads: int, points: int, device: torch.device
) -> Float[Tensor, " n"]:
    """Shares of the sides that one cell is, for each head, level, point, x and y.

    Kept: each new one is a copy to the device, and every layer would wait for it.
    """
    # No tensor of the inference mode, in which the first call may be: others can use it too.
    with torch.inference_mode(mode=False):
        sizes = torch.tensor([(1 / width, 1 / height) for height, width in shapes])
        return sizes[None, :, None].expand(heads, -1, points, -1).flatten().to(device)


class _Fusion(nn.Module):
    """Attention between image and text with the projections of another module."""

    def __init__(self, old: Any) -> None:
        super().__init__()
        self.heads = old.num_heads
        self.vision_proj, self.text_proj = old.vision_proj, old.text_proj
        self.values_vision_proj = old.values_vision_proj
        self.values_text_proj = old.values_text_proj
        self.out_vision_proj, self.out_text_proj = old.out_vision_proj, old.out_text_proj

    def forward(
        self,
        vision_features: Tensor,
        text_features: Tensor,
        vision_attention_mask: Tensor | None = None,
        text_attention_mask: Tensor | None = None,
    ) -> tuple[tuple[Tensor, None], tuple[Tensor, None]]:
        """As the module that it replaces, but without the attention's weights."""
        weights = FusionWeights(
            heads=self.heads,
            image_query=_projection(self.vision_proj),
            text_key=_projection(self.text_proj),
            image_value=_projection(self.values_vision_proj),
            text_value=_projection(self.values_text_proj),
            image_out=_projection(self.out_vision_proj),
            text_out=_projection(self.out_text_proj),
        )
        image, text = fuse_image_and_text(
            vision_features,
            text_features,
            weights,
            image_padding=vision_attention_mask,
            text_padding=text_attention_mask,
        )
        return (image, None), (text, None)


class _Attention(nn.Module):
    """Attention of some tokens to others with the projections of another module."""

    def __init__(self, old: Any) -> None:
        super().__init__()
        self.heads, self.channels = old.num_attention_heads, old.attention_head_size
        self.query, self.key, self.value, self.out_proj = (
            old.query,
            old.key,
            old.value,
            old.out_proj,
        )

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        attention_mask: Tensor | None = None,
        output_attentions: bool | None = False,
    ) -> tuple[Tensor | None, ...]:
        """As the module that it replaces, but without the attention's weights."""
        q, k, v = (
            projected.view(len(projected), -1, self.heads, self.channels).transpose(1, 2)
            for projected in (self.query(queries), self.key(keys), self.value(values))
        )
        if attention_mask is not None:
            # The least number of one type may be minus infinity in another.
            least = torch.finfo(q.dtype).min
            attention_mask = attention_mask.clamp(min=least).to(q.dtype)
        out = scaled_dot_product_attention(q, k, v, attn_mask=attention_mask)
        out = self.out_proj(out.transpose(1, 2).flatten(2))
        return (out, None) if output_attentions else (out,)


def _projection(layer: Any) -> tuple[Tensor, Tensor]:
    return layer.weight, layer.bias


# What a module must have, beside taking what its replacement takes.
_PARTS = {
    _Deformable: (
        *("sampling_offsets", "attention_weights", "value_proj", "output_proj"),
        *("n_heads", "n_levels", "n_points"),
    ),
    _Fusion: (
        *("vision_proj", "text_proj", "values_vision_proj", "values_text_proj"),
        *("out_vision_proj", "out_text_proj", "num_heads"),
    ),
    _Attention: (
        *("query", "key", "value", "out_proj"),
        *("num_attention_heads", "attention_head_size"),
    ),
}


def accelerate(model: nn.Module) -> int:
    """Replace the attention layers of a model by faster ones that compute the same.

    Modules that lack a part, or take other arguments, stay as they are.

    Args:
        model: Changed in place; only this instance, not its classes.

    Returns:
        How many layers were replaced.

    Examples:
        >>> accelerate(nn.Linear(2, 2))
        0
    """
    replaced = 0
    for holder in list(model.modules()):
        if isinstance(holder, nn.ReLU):
            # Of a feed-forward layer: what goes in is not used again, and is large.
            holder.inplace = True
        for name, child in list(holder.named_children()):
            for faster, parts in _PARTS.items():
                names = list(inspect.signature(faster.forward).parameters)[1:]
                if all(hasattr(child, part) for part in parts) and _takes(child, *names):
                    setattr(holder, name, faster(child))
                    replaced += 1
    return replaced


def _takes(module: nn.Module, *names: str) -> bool:
    """Whether a module's `forward` takes just these arguments, in this order."""
    return tuple(inspect.signature(module.forward).parameters) == names
