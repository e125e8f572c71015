"""Several towers over one batch of pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from groundplane.core.errors import ShapeError
from groundplane.core.towers.tower import Tower, TowerOutput

__all__ = ["encode_towers", "shares_of"]


def encode_towers(
    towers: Sequence[Tower],
    canvas: UInt8[Tensor, "b 3 s s"] | Float[Tensor, "b 3 s s"],
    *,
    streams: Sequence[torch.cuda.Stream] = (),
) -> list[TowerOutput]:
    """Encode a batch with every tower. Nothing is copied to the host, and it compiles whole.

    Args:
        towers: On the device of the canvas. Those of one size share one resized batch.
        canvas: What all towers see: bytes, or shares of full brightness, 0 to 1.
        streams: On CUDA, one a tower: the towers run side by side, which gains only where one
            alone leaves the card idle. Not within a graph that is compiled. Empty: in order.

    Returns:
        One output a tower, in order.

    Raises:
        ShapeError: If the canvas is no batch of squares, or there is not one stream a tower.

    Examples:
        >>> encode_towers([], torch.zeros(2, 3, 48, 48))
        []
    """
    if canvas.ndim != 4 or canvas.shape[1] != 3 or canvas.shape[2] != canvas.shape[3]:
        raise ShapeError(
            f"towers: expected pictures of shape (pictures, 3, side, side), got "
            f"{tuple(canvas.shape)}"
        )
    if streams and len(streams) != len(towers):
        raise ShapeError(
            f"towers: expected one stream a tower, {len(towers)}, got {len(streams)} streams"
        )
    resized: dict[tuple[int, torch.dtype], Tensor] = {}
    for tower in towers:
        key = (tower.config.size, tower.mean.dtype)
        if key not in resized:
            resized[key] = shares_of(canvas, key[0], dtype=key[1])
    inputs = [resized[tower.config.size, tower.mean.dtype] for tower in towers]
    if inputs and streams:
        return _side_by_side(towers, inputs, streams)
    return [tower(pixels) for tower, pixels in zip(towers, inputs, strict=True)]


def shares_of(
    canvas: UInt8[Tensor, "b 3 s s"] | Float[Tensor, "b 3 s s"],
    size: int,
    *,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "b 3 t t"]:
    """A canvas as one tower sees it: of its side, in shares of full brightness.

    Args:
        canvas: Bytes, or shares of full brightness.
        size: Side to get, pixels.
        dtype: Number type to get; the resizing is done in float32.

    Examples:
        >>> shares_of(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8), 2).unique().tolist()
        [1.0]
        >>> shares_of(torch.zeros(0, 3, 4, 4), 2).shape
        torch.Size([0, 3, 2, 2])
    """
    shares = canvas if canvas.is_floating_point() else canvas.float() / 255
    if canvas.shape[-1] != size:
        # The filter overshoots at edges; a picture has nothing below black or above white.
        shares = interpolate(shares.float(), size=(size, size), mode="bicubic", antialias=True)
        shares = shares.clamp(0, 1)
    return shares.to(dtype)


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
