"""Several towers over one batch of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from groundplane.core.errors import ShapeError
from groundplane.core.towers.tower import Tower, TowerOutput
from groundplane.core.views import canvas_to_tower

__all__ = ["encode_towers"]


def encode_towers(
    towers: Sequence[Tower] | nn.ModuleList,
    canvas: Shaped[Tensor, "b 3 s s"],
    *,
    filter: Literal["bilinear", "bicubic"] = "bicubic",
    streams: Sequence[torch.cuda.Stream] = (),
) -> list[TowerOutput]:
    """Encode a batch with every tower. Nothing is copied to the host, and it compiles whole.

    Args:
        towers: On the device of the canvas. Those of one size share one resized batch.
        canvas: What all towers see: grey levels, 0 to 255, of any number type.
        filter: How it is resized for a tower of another size; the view's.
        streams: On CUDA, one a tower: the towers run side by side, which gains only where one
            alone leaves the card idle. Not within a graph that is compiled. Empty: in order.

    Returns:
        One output a tower, in order.

    Raises:
        ShapeError: If the canvas is no batch of squares, or there is not one stream a tower.

    Examples:
        >>> from groundplane.testing.encoders import make_tower
        >>> outputs = encode_towers([make_tower(), make_tower()], torch.zeros(2, 3, 48, 48))
        >>> [tuple(output.tokens.shape) for output in outputs]
        [(2, 16, 16), (2, 16, 16)]
        >>> encode_towers([], torch.zeros(2, 3, 48, 48))
        []
    """
    if streams and len(streams) != len(towers):
        raise ShapeError(
            f"towers: expected one stream a tower, {len(towers)}, got {len(streams)} streams"
        )
    resized: dict[int, Tensor] = {}
    inputs = []
    each: list[Any] = list(towers)
    for tower in each:
        size = tower.config.size
        if size not in resized:
            resized[size] = canvas_to_tower(canvas, size, filter)
        inputs.append(resized[size])
    if inputs and streams:
        return _side_by_side(each, inputs, streams)
    return [tower(pixels) for tower, pixels in zip(each, inputs, strict=True)]


def _side_by_side(
    towers: Sequence[Tower], inputs: Sequence[Tensor], streams: Sequence[torch.cuda.Stream]
) -> list[TowerOutput]:
    """Each tower on its own stream, between what the current one did and will do."""
    current = torch.cuda.current_stream(inputs[0].device)
    outputs = []
    for tower, pixels, stream in zip(towers, inputs, streams, strict=True):
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            outputs.append(tower(pixels))
        pixels.record_stream(stream)
    for output, stream in zip(outputs, streams, strict=True):
        current.wait_stream(stream)
        for tensor in output:
            if tensor is not None:
                tensor.record_stream(current)
    return outputs
