"""Masks as tensors, turned into run-length masks on their own device.

A mask changes where a pixel differs from the one above it, or, in the first row, from the last
pixel of the column before. Only these few places are sorted, brought to the host, once a batch,
and written as runs; the pixels stay where they are.

Format: see `core.masks`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int32, Int64
from torch import Tensor
from torch.nn.functional import interpolate

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.mask_runs import write_runs
from groundplane.core.masks import RleMask

__all__ = ["EncodedMasks", "encode_batch", "encode_logits"]

# Enlarged masks that are held at once, bytes: four of 1080p in float32, and 32 on a card, which
# waits for the host once a chunk.
_CHUNK_BYTES = 2**25
_CHUNK_BYTES_CUDA = 2**28
# Changes that a CPU looks for at once, bytes: two masks of 1080p.
_CACHE_BYTES = 2**22
# Changes that are written as bytes at once.
_CACHE_TURNS = 2**15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedMasks:
    """Masks of one image, and what their runs say of them.

    Attributes:
        masks: The run-length masks.
        boxes: The smallest box around each mask, `xyxy` pixels, half-open, float32, on the device
            of the pixels; all 0 for an empty mask.
        areas: Pixels of each mask, float32, there too.
    """

    masks: tuple[RleMask, ...]
    boxes: Float[Tensor, "n 4"]
    areas: Float[Tensor, " n"]

    def __post_init__(self) -> None:
        n = len(self.masks)
        if tuple(self.boxes.shape) != (n, 4) or tuple(self.areas.shape) != (n,):
            raise ShapeError(
                f"encoded masks: {n} masks but boxes {tuple(self.boxes.shape)} and areas "
                f"{tuple(self.areas.shape)}"
            )


def encode_batch(masks: Bool[Tensor, "n h w"]) -> EncodedMasks:
    """Compress masks of one size; the same bytes as `core.masks.encode`, mask by mask.

    Raises:
        ShapeError: If it is not a boolean tensor of three axes, or a mask is too large.

    Examples:
        >>> found = encode_batch(torch.tensor([[[False, True], [True, True]]]))
        >>> found.masks, found.boxes.tolist(), found.areas.tolist()
        ((RleMask(size=(2, 2), counts=b'13'),), [[0.0, 0.0, 2.0, 2.0]], [3.0])
        >>> encode_batch(torch.zeros(0, 4, 4, dtype=torch.bool)).masks
        ()
    """
    if masks.dim() != 3 or masks.dtype != torch.bool:
        raise ShapeError(
            f"masks: expected a boolean tensor of shape (n, h, w), got {masks.dtype} "
            f"{tuple(masks.shape)}"
        )
    num, height, width = masks.shape
    RleMask(size=(height, width), counts=b"")  # refuses a size that is too large
    turns = torch.sort(_turns(masks)).values.cpu().numpy()
    return _from_turns(turns, num, (height, width), device=masks.device)


def encode_logits(
    logits: Float[Tensor, "n h w"],
    size: tuple[int, int],
    *,
    threshold: float = 0.0,
    enlarge: Callable[[Tensor, tuple[int, int]], Tensor] | None = None,
    chunk_bytes: int | None = None,
) -> EncodedMasks:
    """Enlarge masks that a model gives at low resolution, threshold and compress them.

    Args:
        logits: Any score that is higher within the mask; half precision is widened.
        size: Width and height of the image, pixels.
        threshold: A pixel above it belongs to the mask.
        enlarge: Brings logits (k, h, w) to (k, height, width), given the width and height; None:
            bilinear, pixel centres aligned, as SAM 2 and SAM 3 do.
        chunk_bytes: About how much memory the enlarged masks may take at once; None: 32 MB, and
            256 MB on CUDA.

    Raises:
        InputError: If the image has no pixel or `chunk_bytes` is not positive.
        ShapeError: If the logits have not three axes.

    Examples:
        >>> low = torch.tensor([[[9.0, -9.0], [9.0, -9.0]]])
        >>> encode_logits(low, (4, 4)).boxes.tolist()
        [[0.0, 0.0, 2.0, 4.0]]
        >>> encode_logits(low[:0], (4, 4)).masks
        ()
    """
    if logits.dim() != 3:
        raise ShapeError(f"mask logits: expected (n, h, w), got {tuple(logits.shape)}")
    width, height = size
    usual = _CHUNK_BYTES_CUDA if logits.is_cuda else _CHUNK_BYTES
    room = usual if chunk_bytes is None else chunk_bytes
    if min(width, height, room) < 1:
        raise InputError(f"mask logits: expected pixels to fill, got {size} and {chunk_bytes=}")
    RleMask(size=(height, width), counts=b"")
    step = max(1, room // (4 * width * height))
    bring = enlarge or _bilinear
    turns = []
    for start in range(0, len(logits), step):
        part = bring(logits[start : start + step].float(), size) > threshold
        turns.append(_turns(part) + start * width * height)
    every = torch.cat(turns) if turns else torch.zeros(0, dtype=torch.int64)
    places = torch.sort(every).values.cpu().numpy()
    return _from_turns(places, len(logits), (height, width), device=logits.device)


def _bilinear(
    logits: Float[Tensor, "k h w"], size: tuple[int, int]
) -> Float[Tensor, "k height width"]:
    width, height = size
    if logits.shape[1:] == (height, width):
        return logits
    enlarged = interpolate(logits[None], size=(height, width), mode="bilinear", align_corners=False)
    return enlarged[0]


def _turns(masks: Bool[Tensor, "n h w"]) -> Int64[Tensor, " k"]:
    """Where masks change, in no order: mask * pixels + place down the columns."""
    num, height, width = masks.shape
    if not masks.numel():
        return torch.zeros(0, dtype=torch.int64, device=masks.device)
    pixels = height * width
    # A CPU goes through a few masks at a time, in memory that it has at hand already.
    step = num if masks.is_cuda else max(1, _CACHE_BYTES // pixels)
    changed = torch.empty(min(step, num), height, width, dtype=torch.bool, device=masks.device)
    found = []
    for start in range(0, num, step):
        part = masks[start : start + step]
        edge = changed[: len(part)]
        torch.ne(part[:, 1:], part[:, :-1], out=edge[:, 1:])
        edge[:, 0, 0] = part[:, 0, 0]
        torch.ne(part[:, 0, 1:], part[:, -1, :-1], out=edge[:, 0, 1:])
        place = _nonzero(edge.view(-1))
        mask, within = place // pixels, place % pixels
        found.append((mask + start) * pixels + (within % width) * height + within // width)
    return torch.cat(found)


def _nonzero(flags: Bool[Tensor, " k"]) -> Int64[Tensor, " m"]:
    """As `torch.nonzero`; on a CPU eight flags at a time, for few are set."""
    whole = flags.numel() // 8 * 8
    if flags.is_cuda or whole < 4096:
        return torch.nonzero(flags).flatten()
    words = torch.nonzero(flags[:whole].view(torch.int64)).flatten()
    near = torch.nonzero(flags[:whole].view(-1, 8)[words])
    found = words[near[:, 0]] * 8 + near[:, 1]
    return torch.cat([found, torch.nonzero(flags[whole:]).flatten() + whole])


def _from_turns(
    turns: Int[np.ndarray, " k"], num: int, size: tuple[int, int], *, device: torch.device
) -> EncodedMasks:
    """Masks from the sorted places at which they change."""
    pixels = size[0] * size[1]
    bounds = np.searchsorted(turns, np.arange(num + 1) * pixels)
    masks: list[RleMask] = []
    boxes = np.zeros((num, 4), dtype=np.float32)
    areas = np.zeros(num, dtype=np.float32)
    start = 0
    while start < num:
        # Few enough changes for the processor's cache, or one mask.
        end = int(np.searchsorted(bounds, bounds[start] + _CACHE_TURNS, side="right")) - 1
        end = min(max(end, start + 1), num)
        owner = np.repeat(np.arange(end - start), np.diff(bounds[start : end + 1]))
        places = turns[bounds[start] : bounds[end]] - (owner + start) * pixels
        part = slice(start, end)
        counts = np.diff(bounds[start : end + 1])
        texts, boxes[part], areas[part] = _runs_of(places.astype(np.int32), owner, counts, size)
        masks.extend(RleMask(size=size, counts=text) for text in texts)
        start = end
    return EncodedMasks(
        masks=tuple(masks),
        boxes=torch.from_numpy(boxes).to(device),
        areas=torch.from_numpy(areas).to(device),
    )


def _runs_of(
    places: Int32[np.ndarray, " k"],
    owner: Int64[np.ndarray, " k"],
    counts: Int64[np.ndarray, " n"],
    size: tuple[int, int],
) -> tuple[list[bytes], Float[np.ndarray, "n 4"], Int64[np.ndarray, " n"]]:
    """The bytes, box and area of masks, from the places at which each changes."""
    # Each mask's places, then its end; a run is what lies between two of them.
    firsts = np.cumsum(counts + 1) - (counts + 1)
    edges = np.full(places.size + counts.size, size[0] * size[1], dtype=np.int32)
    edges[np.arange(places.size) + owner] = places
    runs = np.diff(edges, prepend=np.int32(0))
    runs[firsts] = edges[firsts]
    odd = (np.arange(places.size) - np.repeat(np.cumsum(counts) - counts, counts)) % 2 == 0
    begins = np.flatnonzero(odd) + owner[odd]
    boxes, areas = _measured(edges[begins], edges[begins + 1], (counts + 1) // 2, size)
    return write_runs(runs, counts + 1), boxes, areas


def _measured(
    starts: Int32[np.ndarray, " k"],
    ends: Int32[np.ndarray, " k"],
    counts: Int64[np.ndarray, " n"],
    size: tuple[int, int],
) -> tuple[Float[np.ndarray, "n 4"], Int64[np.ndarray, " n"]]:
    """The box and the area of each mask from its runs of ones, which are in order."""
    boxes = np.zeros((counts.size, 4), dtype=np.float32)
    areas = np.zeros(counts.size, dtype=np.int64)
    held = np.flatnonzero(counts)
    if not held.size:
        return boxes, areas
    height = np.int32(size[0])
    first = (np.cumsum(counts) - counts)[held]
    final = np.cumsum(counts)[held] - 1
    columns = starts // height
    tops = starts - columns * height
    # Past the last row where a run goes on in the next column: it touches that row and the first.
    bottoms = ends - columns * height
    boxes[held, 0] = columns[first]
    boxes[held, 2] = (ends[final] - 1) // height + 1
    boxes[held, 1] = np.minimum.reduceat(np.where(bottoms > height, 0, tops), first)
    boxes[held, 3] = np.minimum(np.maximum.reduceat(bottoms, first), height)
    areas[held] = np.add.reduceat(ends - starts, first, dtype=np.int64)
    return boxes, areas
