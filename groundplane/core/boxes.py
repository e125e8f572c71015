"""Boxes of an image as tensors: `xyxy` float pixels, half-open, no +1.

Everything runs on the boxes' own device and copies nothing to the host. A box whose right or
bottom edge lies before its left or top edge is empty. Areas and distances of half precision
boxes are computed and given in float32: their areas do not fit.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "area",
    "centers",
    "clip",
    "from_cxcywh",
    "from_xywh",
    "gap",
    "intersection",
    "iou",
    "to_cxcywh",
    "to_xywh",
]


def from_xywh(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Turn left, top, width, height into `xyxy`, pixels.

    Examples:
        >>> from_xywh(torch.tensor([[1.0, 2.0, 3.0, 4.0]])).tolist()
        [[1.0, 2.0, 4.0, 6.0]]
        >>> from_xywh(torch.zeros(0, 4)).shape
        torch.Size([0, 4])
    """
    corner, size = boxes[:, :2], boxes[:, 2:]
    return torch.cat([corner, corner + size], dim=1)


def to_xywh(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Turn `xyxy` into left, top, width, height, pixels.

    Examples:
        >>> to_xywh(torch.tensor([[1.0, 2.0, 4.0, 6.0]])).tolist()
        [[1.0, 2.0, 3.0, 4.0]]
    """
    return torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1)


def from_cxcywh(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Turn centre x, centre y, width, height into `xyxy`, pixels.

    Examples:
        >>> from_cxcywh(torch.tensor([[2.0, 4.0, 2.0, 4.0]])).tolist()
        [[1.0, 2.0, 3.0, 6.0]]
    """
    center, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat([center - half, center + half], dim=1)


def to_cxcywh(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Turn `xyxy` into centre x, centre y, width, height, pixels.

    Examples:
        >>> to_cxcywh(torch.tensor([[1.0, 2.0, 3.0, 6.0]])).tolist()
        [[2.0, 4.0, 2.0, 4.0]]
    """
    return torch.cat([centers(boxes), boxes[:, 2:] - boxes[:, :2]], dim=1)


def centers(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 2"]:
    """The middle of each box, pixels.

    Examples:
        >>> centers(torch.tensor([[1.0, 2.0, 3.0, 6.0]])).tolist()
        [[2.0, 4.0]]
    """
    # Half of the size first: the sum of two large half precision corners would overflow.
    return boxes[:, :2] + (boxes[:, 2:] - boxes[:, :2]) / 2


def area(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, " n"]:
    """The area of each box, square pixels; 0 for an empty box.

    Examples:
        >>> area(torch.tensor([[0.0, 0.0, 2.0, 3.0], [2.0, 0.0, 0.0, 3.0]])).tolist()
        [6.0, 0.0]
    """
    boxes = _widened(boxes)
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)


def clip(boxes: Float[Tensor, "n 4"], size: tuple[int, int]) -> Float[Tensor, "n 4"]:
    """Cut boxes at the image's edges.

    Args:
        boxes: `xyxy`, pixels.
        size: Width and height of the image, pixels.

    Returns:
        Boxes within the image; one that lay outside has no area.

    Examples:
        >>> clip(torch.tensor([[-5.0, 2.0, 30.0, 8.0]]), (20, 10)).tolist()
        [[0.0, 2.0, 20.0, 8.0]]
    """
    width, height = size
    x, y = boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)
    return torch.stack([x, y], dim=2).flatten(1)


def intersection(a: Float[Tensor, "n 4"], b: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """The area that each box of `a` shares with each of `b`, square pixels.

    Examples:
        >>> box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
        >>> intersection(box, box + 1).tolist()
        [[1.0]]
    """
    a, b = _widened(a), _widened(b)
    start = torch.maximum(a[:, None, :2], b[None, :, :2])
    end = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    return (end - start).clamp(min=0).prod(dim=2)


def iou(a: Float[Tensor, "n 4"], b: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """Intersection over union of each box of `a` with each of `b`; 0 where both are empty.

    Examples:
        >>> box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
        >>> iou(box, torch.tensor([[0.0, 0.0, 2.0, 4.0], [2.0, 0.0, 4.0, 2.0]])).tolist()
        [[0.5, 0.0]]
    """
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return torch.where(union > 0, shared / union, torch.zeros_like(shared))


def gap(a: Float[Tensor, "n 4"], b: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """The shortest distance from each box of `a` to each of `b`, pixels; 0 where they meet.

    Examples:
        >>> box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
        >>> gap(box, torch.tensor([[5.0, 6.0, 7.0, 8.0], [1.0, 1.0, 9.0, 9.0]])).tolist()
        [[5.0, 0.0]]
    """
    a, b = _widened(a), _widened(b)
    before = b[None, :, :2] - a[:, None, 2:]
    after = a[:, None, :2] - b[None, :, 2:]
    apart = torch.maximum(before, after).clamp(min=0)
    return torch.hypot(apart[..., 0], apart[..., 1])


def _widened(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Half precision to float32; all else as it is."""
    return boxes.float() if boxes.dtype in (torch.float16, torch.bfloat16) else boxes
