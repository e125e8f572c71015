"""A segmenter that knows the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor

from groundplane.core.capabilities import Capabilities
from groundplane.core.errors import InputError
from groundplane.core.masks import bounding_box, encode
from groundplane.core.regions import Regions
from groundplane.core.segmentation import SegmentRequest
from groundplane.testing.rooms.replay import Replay

__all__ = ["OracleSegmenter"]


class OracleSegmenter:
    """Gives the true mask of the thing that a prompt points at.

    A point names the thing under it; a box the thing whose own box in the picture is most alike.
    Walls, floor and ceiling are no things: their masks are empty.

    Args:
        replay: The pictures and what they show.
        device: Where the regions' tensors are put.
    """

    capabilities = Capabilities(prompts=frozenset({"box", "point"}), masks=True)

    def __init__(self, replay: Replay, *, device: str = "cpu") -> None:
        self._replay = replay
        self._device = torch.device(device)

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Regions]:
        """Answer each request, in order.

        Raises:
            InputError: If prompts are embeddings.
            DetectorError: If a picture was not shown to the replay, or has another size.
        """
        return [self._answer(request) for request in requests]

    def _answer(self, request: SegmentRequest) -> Regions:
        if request.embeddings is not None:
            raise InputError("oracle: takes boxes and points, no embeddings")
        ids = self._replay.ids_of(request.image)
        chosen = [self._chosen(request, which, ids) for which in range(len(request))]
        masks = tuple(
            encode(ids == id if id else np.zeros(ids.shape, dtype=bool)) for id, _ in chosen
        )
        boxes = []
        for which, mask in enumerate(masks):
            given = [0.0] * 4 if request.boxes is None else _within(request.boxes[which], ids)
            boxes.append([float(x) for x in bounding_box(mask)] if chosen[which][0] else given)
        on, num = self._device, len(request)
        return Regions(
            ids=tuple(f"oracle-{which}" for which in range(num)),
            boxes=torch.tensor(boxes, dtype=torch.float32, device=on).view(-1, 4),
            scores=torch.tensor([score for _, score in chosen], dtype=torch.float32, device=on),
            phrases=(),
            phrase_ids=torch.full((num,), -1, dtype=torch.long, device=on),
            image_size=request.image.size,
            masks=masks,
            sources=("oracle",) * num,
        )

    def _chosen(
        self, request: SegmentRequest, which: int, ids: Int32[np.ndarray, "h w"]
    ) -> tuple[int, float]:
        """The id that a prompt names, 0 for none, and how well it names it."""
        if request.points is not None:
            labels = request.point_labels
            on = torch.ones(len(request.points[which])) if labels is None else labels[which]
            if (id := _pointed_at(request.points[which], on, ids)) is not None:
                return id, float(id > 0)
        if request.boxes is None:
            return 0, 0.0
        return _most_alike(_within(request.boxes[which], ids), ids)


def _within(box: Tensor, ids: Int32[np.ndarray, "h w"]) -> list[float]:
    """A box cut off at the picture's border, empty where it holds nothing of it."""
    height, width = ids.shape
    x0, y0, x1, y1 = box.tolist()
    x0, x1 = (min(max(x, 0.0), float(width)) for x in (x0, x1))
    y0, y1 = (min(max(y, 0.0), float(height)) for y in (y0, y1))
    # A box that is turned inside out holds nothing.
    return [x0, y0, max(x0, x1), max(y0, y1)]


def _pointed_at(points: Tensor, on: Tensor, ids: Int32[np.ndarray, "h w"]) -> int | None:
    """The id under most of the points on the thing; None where none of them is in the picture."""
    height, width = ids.shape
    votes: dict[int, int] = {}
    inside = False
    for (x, y), sign in zip(points.tolist(), on.tolist(), strict=True):
        if sign < 0 or not (0 <= x < width and 0 <= y < height):
            continue
        id = int(ids[int(y), int(x)])
        inside |= sign > 0
        votes[id] = votes.get(id, 0) + (1 if sign > 0 else -1)
    if not inside:
        return None
    best = max(votes, key=lambda id: (votes[id], id))
    return best if votes[best] > 0 else 0


def _most_alike(box: list[float], ids: Int32[np.ndarray, "h w"]) -> tuple[int, float]:
    """The id whose own box overlaps a box most, and by how much (intersection over union)."""
    x0, y0, x1, y1 = box
    inside = ids[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))]
    best, most = 0, 0.0
    for id in np.unique(inside).tolist():
        if id == 0:
            continue
        rows, columns = np.nonzero(ids == id)
        a0, b0, a1, b1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        shared = max(0.0, min(x1, a1) - max(x0, a0)) * max(0.0, min(y1, b1) - max(y0, b0))
        whole = (x1 - x0) * (y1 - y0) + (a1 - a0) * (b1 - b0) - shared
        if shared / whole > most:
            best, most = id, float(shared / whole)
    return best, most
