"""A grounding head that is asked with hidden states of a language model: queries over a picture.

The picture is looked at once, whatever is asked: a number of queries each end as a box, a mask and
a row in a space of classes. A state is brought into that space and compared with all of them.

Sources: Zhang et al., OpenSeeD: A Simple Framework for Open-Vocabulary Segmentation and Detection,
2023 (queries that are classified by their likeness to an embedding, boxes refined layer by layer,
masks as products with a map of pixels), and Zhang et al., LLaVA-Grounding, 2023 (the embedding is
the projected state of the token `<seg>`). It is built of plain attention over one map, without the
deformable attention and the Swin backbone of those, and does not read their weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from groundplane.core.errors import InputError

__all__ = ["EmbeddingNetwork", "HeadShape", "Looked"]

# Pixels a cell of the map that masks are made on, and of the map that queries look at.
_FINE, _COARSE = 4, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadShape:
    """The shape of the network, as its `config.json` states it.

    Attributes:
        embedding_width: Numbers of a state of the language model.
        width: Numbers of a query.
        space: Numbers of a class.
        queries: How many things of a picture are looked at.
        layers: In which queries are refined.
        heads: Of their attention.
        feedforward: Width within a layer.
        canvas: Longest side of the picture, pixels; padded to a square to the right and below.

    Raises:
        InputError: If a number is out of range, or they do not fit each other.
    """

    embedding_width: int
    width: int = 256
    space: int = 512
    queries: int = 300
    layers: int = 9
    heads: int = 8
    feedforward: int = 2048
    canvas: int = 1024

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole or not 1 <= value <= 65_536:
                raise InputError(f"embedding head: {name}: expected 1 to 65536, got {value!r}")
        if self.width % self.heads or self.width % 4:
            raise InputError(
                f"embedding head: width: expected a multiple of 4 and of {self.heads} heads, got "
                f"{self.width}"
            )
        if self.canvas % _COARSE:
            raise InputError(
                f"embedding head: canvas: expected a multiple of {_COARSE}, got {self.canvas}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Looked:
    """What the queries made of one picture.

    Attributes:
        classes: Each query in the space of classes, of length 1.
        boxes: `cxcywh`, in shares of the padded canvas.
        masks: Each query, to be multiplied with the pixels.
        pixels: The map that masks are made on, one cell for 4 by 4 pixels of the canvas.
    """

    classes: Float[Tensor, "q space"]
    boxes: Float[Tensor, "q 4"]
    masks: Float[Tensor, "q d"]
    pixels: Float[Tensor, "d rows columns"]


class EmbeddingNetwork(nn.Module):
    """The network.

    Args:
        shape: See `HeadShape`.
    """

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        width = shape.width
        self.shape = shape
        self.stem = nn.Sequential(nn.Conv2d(3, width, _FINE, stride=_FINE), nn.GroupNorm(1, width))
        steps = round(math.log2(_COARSE // _FINE))
        self.down = nn.ModuleList(_Shrunk(width) for _ in range(steps))
        self.lateral = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(steps))
        self.fine = nn.Conv2d(width, width, 3, padding=1)
        self.queries = nn.Parameter(torch.zeros(shape.queries, width))
        self.anchors = nn.Parameter(torch.zeros(shape.queries, 4))
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                width, shape.heads, shape.feedforward, dropout=0.0, batch_first=True
            )
            for _ in range(shape.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.to_class = nn.Linear(width, shape.space, bias=False)
        self.to_box = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4))
        self.to_mask = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.project = nn.Linear(shape.embedding_width, shape.space)
        self.scale = nn.Parameter(torch.zeros(()))

    def look(self, values: Float[Tensor, "b 3 h w"], seen: Bool[Tensor, "b h w"]) -> list[Looked]:
        """Look at pictures.

        Args:
            values: Normalised pixels of the canvas.
            seen: Where there is picture and no padding.
        """
        maps = [self.stem(values)]
        for layer in self.down:
            maps.append(layer(maps[-1]))
        pixels = maps[-1]
        for lateral, larger in zip(self.lateral, reversed(maps[:-1]), strict=True):
            pixels = functional.interpolate(pixels, scale_factor=2.0, mode="nearest")
            pixels = pixels + lateral(larger)
        pixels = self.fine(pixels)
        cells = maps[-1].flatten(2).transpose(1, 2)
        cells = cells + _places(maps[-1])
        # A cell counts as seen where any of it is.
        blocks = functional.max_pool2d(seen[:, None].to(values.dtype), _COARSE)
        queries, boxes = self._refined(cells, blocks.flatten(1) == 0)
        classes = functional.normalize(self.to_class(queries).float(), dim=-1)
        masks = self.to_mask(queries)
        return [
            # Copies: a view would keep the whole batch alive in the cache.
            Looked(
                classes=classes[i].clone(),
                boxes=boxes[i].clone(),
                masks=masks[i].clone(),
                pixels=pixels[i].clone(),
            )
            for i in range(len(values))
        ]

    def _refined(
        self, cells: Float[Tensor, "b n d"], padding: Bool[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b q d"], Float[Tensor, "b q 4"]]:
        """Queries after all layers, and their boxes, each layer's moved on from the last one's."""
        many = len(cells)
        queries = self.queries.expand(many, -1, -1)
        places = self.anchors.expand(many, -1, -1)
        for layer in self.layers:
            queries = layer(queries + self.queries, cells, memory_key_padding_mask=padding)
            places = places + self.to_box(self.norm(queries))
        return self.norm(queries), places.float().sigmoid()

    def logits(self, looked: Looked, states: Float[Tensor, "n embedding"]) -> Float[Tensor, "q n"]:
        """How alike each query is to each state, in the space of classes."""
        weight, bias = self.project.weight.float(), self.project.bias.float()
        asked = functional.normalize(functional.linear(states.float(), weight, bias), dim=-1)
        return self.scale.float().exp() * (looked.classes @ asked.T)

    def mask_logits(self, looked: Looked, queries: Tensor) -> Float[Tensor, "k rows columns"]:
        """The masks of some queries, 4 pixels of the canvas a cell; above 0 is within."""
        return torch.einsum("kd,dhw->khw", looked.masks[queries], looked.pixels).float()


class _Shrunk(nn.Module):
    """Half the resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(1, width)

    def forward(self, cells: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d rows columns"]:
        shrunk: Tensor = functional.gelu(self.norm(self.convolution(cells)))
        return shrunk


def _places(cells: Float[Tensor, "b d h w"]) -> Float[Tensor, "1 n d"]:
    """Where each cell is: sines and cosines of its row and column, as in DETR."""
    _, width, rows, columns = cells.shape
    quarter = width // 4
    rates = 10_000 ** (-torch.arange(quarter, device=cells.device) / quarter)
    parts = []
    for length, shape in ((rows, (rows, 1)), (columns, (1, columns))):
        along = (torch.arange(length, device=cells.device) + 0.5) / length * (2 * math.pi)
        angles = along[:, None] * rates
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        parts.append(waves.view(*shape, -1).expand(rows, columns, -1))
    return torch.cat(parts, dim=-1).flatten(0, 1)[None].to(cells.dtype)
